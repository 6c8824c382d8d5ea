"""torch.profiler: what is recorded, how it nests, the schedule, the table and the trace."""

from __future__ import annotations

import gzip
import json
import threading
import time

import pytest

import mytorch as torch
from mytorch.autograd import profiler as autograd_profiler
from mytorch.engine_state import state
from mytorch.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule, tensorboard_trace_handler


def small_net():
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 2))


def names(events):
    return [event.name for event in events]


def test_operations_forward_and_nodes_backward_are_recorded_in_order():
    x = torch.ones(3, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        (x.exp() * 2).sum().backward()
    assert names(prof.events()) == ["aten::exp", "aten::mul", "aten::sum", "SumBackward0", "MulBackward0", "ExpBackward0",
                                    "torch::autograd::AccumulateGrad"]
    assert x.grad is not None and state.mode is None and state.watcher is None


def test_gradients_are_the_same_with_and_without_a_profile():
    torch.manual_seed(0)
    net, x = small_net(), torch.randn(4, 5)
    net(x).square().sum().backward()
    before = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    with profile():
        net(x).square().sum().backward()
    assert all(torch.equal(p.grad, b) for p, b in zip(net.parameters(), before))


def test_writes_in_place_carry_torchs_underscore():
    with profile() as prof:
        torch.ones(2).add_(1)
    assert "aten::add_" in names(prof.events())


def test_events_inside_a_range_are_its_children_and_count_for_its_total_alone():
    with profile() as prof, record_function("outer"):
        with record_function("inner"):
            torch.ones(1000).exp()
        time.sleep(0.002)
    outer, inner = (next(e for e in prof.events() if e.name == name) for name in ("outer", "inner"))
    assert inner.cpu_parent is outer and [c.name for c in inner.cpu_children] == ["aten::exp"]
    assert outer.cpu_time_total >= 2000 and outer.cpu_time_total >= inner.cpu_time_total
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - inner.cpu_time_total)
    assert prof.events().self_cpu_time_total == pytest.approx(outer.cpu_time_total)


def test_record_function_decorates_and_costs_nothing_without_a_profile():
    @record_function("work")
    def work(x):
        return x * 2

    assert work(torch.ones(1)).item() == 2
    with profile() as prof:
        work(torch.ones(1))
        work(torch.ones(1))
    (average,) = [e for e in prof.key_averages() if e.key == "work"]
    assert average.count == 2


def test_key_averages_add_up_and_may_keep_shapes_apart():
    with profile(record_shapes=True) as prof:
        for n in (2, 3, 3):
            torch.ones(n, 4).exp()
    (exp,) = [e for e in prof.key_averages() if e.key == "aten::exp"]
    assert exp.count == 3 and exp.input_shapes == []
    assert exp.cpu_time == pytest.approx(exp.cpu_time_total / 3)
    grouped = [(e.input_shapes, e.count) for e in prof.key_averages(group_by_input_shape=True) if e.key == "aten::exp"]
    assert grouped == [([[2, 4]], 1), ([[3, 4]], 2)]


def test_a_range_inside_one_of_its_own_name_is_counted_once():
    with profile() as prof, record_function("a"), record_function("a"):
        time.sleep(0.001)
    (average,) = prof.key_averages()
    assert average.count == 2
    assert average.cpu_time_total == pytest.approx(max(e.cpu_time_total for e in prof.events()))


def test_memory_is_that_of_the_results():
    x = torch.ones(100, 10)
    with profile(profile_memory=True) as prof, record_function("both"):
        x.exp()
        x.t()
    events = {e.name: e for e in prof.events()}
    assert events["aten::exp"].self_cpu_memory_usage == 4000
    assert events["both"].cpu_memory_usage == 4000 and events["both"].self_cpu_memory_usage == 0


def test_stacks_name_the_users_line_forward_and_backward(tmp_path):
    x = torch.ones(2, requires_grad=True)
    with profile(with_stack=True) as prof:
        y = x.exp().sum()
        y.backward()
    events = {e.name: e for e in prof.events()}
    assert "test_profiler.py" in events["aten::exp"].stack[0]
    assert "test_profiler.py" in events["ExpBackward0"].stack[0]
    prof.export_stacks(tmp_path / "stacks.txt", "self_cpu_time_total")
    assert "test_profiler.py" in (tmp_path / "stacks.txt").read_text()
    assert "Source Location" in prof.key_averages(group_by_stack_n=1).table()


def test_stacks_cannot_be_exported_if_they_were_not_recorded(tmp_path):
    with profile() as prof:
        torch.ones(1).exp()
    with pytest.raises(AssertionError, match="with_stack=True"):
        prof.export_stacks(tmp_path / "stacks.txt")


def test_the_table_is_sorted_cut_and_totalled():
    with profile(record_shapes=True, profile_memory=True) as prof:
        for _ in range(3):
            torch.ones(5).exp()
        torch.ones(5).sin()
    table = prof.key_averages().table(sort_by="count", row_limit=1)
    lines = table.splitlines()
    assert lines[0].startswith("---") and lines[0] == lines[2] == lines[4]
    assert lines[1].split()[0] == "Name"
    for title in ("Self CPU %", "CPU total", "CPU time avg", "CPU Mem", "# of Calls"):
        assert title in lines[1]
    assert "aten::exp" in lines[3] and lines[3].rstrip().endswith("3")
    assert lines[5].startswith("Self CPU time total: ")
    assert "aten::sin" not in table
    assert len(prof.key_averages().table(row_limit=-1).splitlines()) == len(prof.key_averages()) + 5
    assert "ms" in prof.key_averages().table(time_unit="ms").splitlines()[-1]
    with pytest.raises(AttributeError, match="speed"):
        prof.key_averages().table(sort_by="speed")


def test_tables_of_an_accelerators_time_are_all_zero():
    with profile() as prof:
        torch.ones(5).exp()
    assert "aten::exp" in prof.key_averages().table(sort_by="cuda_time_total")
    assert prof.key_averages()[0].cuda_time_total == 0


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_the_chrome_trace_holds_every_event(tmp_path, name):
    with profile(record_shapes=True) as prof, record_function("all"):
        torch.ones(2, 3, requires_grad=True).exp().sum().backward()
    prof.add_metadata("note", "mine")
    prof.add_metadata_json("numbers", "[1, 2]")
    prof.export_chrome_trace(str(tmp_path / name))
    with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "rt") as file:
        trace = json.load(file)
    events = {e["name"]: e for e in trace["traceEvents"] if e["ph"] == "X"}
    assert {"all", "aten::exp", "ExpBackward0"} <= set(events)
    exp, everything = events["aten::exp"], events["all"]
    assert exp["args"]["Input Dims"] == [[2, 3]] and exp["cat"] == "cpu_op" and everything["cat"] == "user_annotation"
    assert everything["ts"] <= exp["ts"] and exp["ts"] + exp["dur"] <= everything["ts"] + everything["dur"]
    assert trace["note"] == "mine" and trace["numbers"] == [1, 2]


def test_the_schedule_goes_in_cycles():
    n, w, r, s = ProfilerAction.NONE, ProfilerAction.WARMUP, ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE
    action = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    assert [action(i) for i in range(11)] == [n, n, w, r, s, n, w, r, s, n, n]
    assert [schedule(wait=0, warmup=0, active=1)(i) for i in range(3)] == [s, s, s]
    with pytest.raises(AssertionError, match="non-negative"):
        action(-1)
    with pytest.raises(AssertionError, match="need > 0"):
        schedule(wait=0, warmup=0, active=0)


def test_a_scheduled_profile_hands_over_each_cycle():
    found = []

    def ready(prof):
        found.append((prof.step_num, names(prof.events()).count("aten::exp"), names(prof.events()).count("ProfilerStep*")))

    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready) as prof:
        for _ in range(10):
            torch.ones(1).exp()
            prof.step()
    assert found == [(4, 2, 2), (8, 2, 2)]
    assert [e.trace_name for e in prof.events() if e.key == "ProfilerStep*"] == ["ProfilerStep#6", "ProfilerStep#7"]
    assert state.mode is None


def test_a_cycle_cut_short_is_handed_over_and_events_may_be_kept_across_cycles():
    found = []
    with profile(schedule=schedule(wait=0, warmup=0, active=1), acc_events=True,
                 on_trace_ready=lambda p: found.append(names(p.events()).count("aten::exp"))) as prof:
        for _ in range(3):
            torch.ones(1).exp()
            prof.step()
    assert found == [1, 2, 3, 3]


def test_the_tensorboard_handler_writes_a_file_per_cycle(tmp_path):
    handler = tensorboard_trace_handler(str(tmp_path / "logs"), worker_name="me")
    with profile(schedule=schedule(wait=0, warmup=0, active=1, repeat=2), on_trace_ready=handler) as prof:
        for _ in range(2):
            torch.ones(1).exp()
            prof.step()
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == 2 and all(f.name.startswith("me.") and f.name.endswith(".pt.trace.json") for f in files)
    assert json.loads(files[0].read_text())["traceEvents"]


def test_steps_of_optimizers_are_ranges():
    net = small_net()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 5)).sum().backward()
    with profile() as prof:
        optimizer.step()
    assert "Optimizer.step#Adam.step" in names(prof.events())
    optimizer.step()
    assert names(prof.events()).count("Optimizer.step#Adam.step") == 1


def test_backward_in_another_thread_is_seen_with_that_threads_number():
    x = torch.ones(2, requires_grad=True)
    with profile() as prof:
        thread = threading.Thread(target=lambda: x.exp().sum().backward())
        thread.start()
        thread.join()
    (event,) = [e for e in prof.events() if e.name == "ExpBackward0"]
    assert event.thread != threading.get_native_id()


def test_profiles_nest():
    with profile() as outer:
        torch.ones(1).exp()
        with profile() as inner:
            torch.ones(1).sin()
            torch.ones(1, requires_grad=True).cos().backward()
    assert "aten::exp" in names(outer.events()) and "aten::sin" in names(outer.events()) and "CosBackward0" in names(outer.events())
    assert "aten::exp" not in names(inner.events()) and "aten::sin" in names(inner.events()) and "CosBackward0" in names(inner.events())


def test_an_exception_ends_the_profile():
    prof = profile()

    def work():
        with prof:
            torch.ones(1).exp()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert state.mode is None and state.watcher is None and "aten::exp" in names(prof.events())


def test_start_and_stop_without_with():
    prof = profile()
    with pytest.raises(AssertionError, match="initialized"):
        prof.key_averages()
    prof.start()
    torch.ones(1).exp()
    prof.stop()
    assert "aten::exp" in names(prof.events())


def test_autograds_own_profile():
    with autograd_profiler.profile(record_shapes=True) as prof, autograd_profiler.record_function("all"):
        torch.ones(3, requires_grad=True).exp().sum().backward()
    assert "ExpBackward0" in str(prof) and "Input Shapes" in prof.table(row_limit=2)
    assert prof.self_cpu_time_total > 0
    assert prof.self_cpu_time_total == pytest.approx(prof.total_average().self_cpu_time_total)
    assert any(e.key == "all" for e in prof.key_averages())
    with pytest.raises(RuntimeError, match="not reentrant"):
        prof.__enter__()


def test_a_profile_that_is_not_enabled_does_nothing():
    with autograd_profiler.profile(enabled=False) as prof:
        torch.ones(1).exp()
    assert prof is None


@pytest.mark.parametrize("option", ["with_flops", "experimental_config", "use_cuda"])
def test_options_that_are_not_supported_are_refused_by_name(option):
    with pytest.raises(NotImplementedError, match=option):
        profile(**{option: True})
    with pytest.raises(NotImplementedError, match=option):
        autograd_profiler.profile(**{option: True})


def test_activities_must_be_there():
    with pytest.raises(AssertionError, match="No valid profiler activities"):
        profile(activities=[ProfilerActivity.CUDA])
    assert torch.profiler.supported_activities() == {ProfilerActivity.CPU}
