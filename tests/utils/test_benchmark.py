"""utils.benchmark: measurements, their statistics and tables; utils.cpp_extension refuses; utils.hooks."""

from __future__ import annotations

import pytest

import mytorch as torch
from mytorch.utils import benchmark, cpp_extension, hooks


def ticking(step):
    """A clock that moves by `step` seconds at each look."""
    now = [0.0]

    def clock():
        now[0] += step
        return now[0]

    return clock


def test_timeit_divides_by_the_number_of_runs():
    m = benchmark.Timer("x + 1", globals={"x": torch.ones(2)}, timer=ticking(0.5), label="add").timeit(100)
    assert m.times == [0.005] and m.raw_times == [0.5] and m.median == m.mean == 0.005 and m.iqr == 0
    assert "add" in repr(m) and "5.00 ms" in repr(m) and "100 runs" in repr(m)


def test_the_statement_is_run_so_many_times_after_its_setup():
    log = []
    benchmark.Timer("log.append(1)", setup="log.append(0)", globals={"log": log}).timeit(50)
    assert log.count(0) == 2 and log.count(1) == 52 and log[-51] == 0


def test_blocked_autorange_measures_until_the_time_is_over():
    calls = []
    m = benchmark.Timer("pass", timer=ticking(0.03)).blocked_autorange(callback=lambda n, t: calls.append((n, t)), min_run_time=0.2)
    assert len(m.raw_times) == 7 and len(calls) == 7 and all(n == m.number_per_run for n, _ in calls)
    assert m.median == pytest.approx(0.03 / m.number_per_run) and "Median" in repr(m) and "WARNING" not in repr(m)


def test_adaptive_autorange_stops_when_the_times_agree():
    m = benchmark.Timer("pass", timer=ticking(0.03)).adaptive_autorange()
    assert len(m.raw_times) == 4 and m.meets_confidence()


def test_quartiles_and_warnings():
    m = benchmark.Measurement(10, [10.0, 20.0, 30.0, 40.0, 50.0], "t")
    assert (m.median, m.mean, m.iqr) == (3.0, 3.0, 2.0)
    assert m.has_warnings and not m.meets_confidence(0.5) and "66.7%" in repr(m)


def test_merge_puts_measurements_of_one_thing_together():
    a, b, c = (benchmark.Measurement(n, [1.0], title) for n, title in ((1, "a"), (2, "a"), (1, "b")))
    merged = benchmark.Measurement.merge([a, b, c])
    assert [(m.title, m.times) for m in merged] == [("a", [1.0, 0.5]), ("b", [1.0])]


def test_compare_sets_rows_and_columns_side_by_side(capsys):
    results = [benchmark.Measurement(1, [t], "matmul", sub, what) for sub, what, t in
               (("small", "mine", 1e-6), ("small", "other", 2e-6), ("large", "mine", 5e-6))]
    table = benchmark.Compare(results[:2])
    table.extend_results(results[2:])
    table.print()
    lines = capsys.readouterr().out.splitlines()
    assert "matmul" in lines[0] and lines[1].split() == ["|", "mine", "|", "other"] and lines[2].startswith("1 threads:")
    assert lines[3].split() == ["small", "|", "1.0", "|", "2.0"] and lines[4].split() == ["large", "|", "5.0", "|"]
    assert lines[-2] == "Times are in microseconds (us)."


def test_a_timer_refuses_what_it_cannot_time():
    with pytest.raises(ValueError, match="only a `str` stmt"):
        benchmark.Timer(3)
    with pytest.raises(NotImplementedError, match="c\\+\\+"):
        benchmark.Timer("f();", language="c++")
    with pytest.raises(NotImplementedError, match="blocked_autorange"):
        benchmark.Timer("pass").repeat()


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    benchmark.Timer("pass", num_threads=1).timeit(10)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("call", [lambda: cpp_extension.CppExtension("a", []), lambda: cpp_extension.CUDAExtension("a", []),
                                  lambda: cpp_extension.load("a", []), lambda: cpp_extension.load_inline("a", ""),
                                  cpp_extension.BuildExtension, lambda: cpp_extension.BuildExtension.with_options(no_python_abi_suffix=True)])
def test_extensions_are_refused_when_used(call):
    with pytest.raises(NotImplementedError, match="cpp_extension"):
        call()


def test_handles_are_of_torchs_class_path():
    handle = torch.ones(1, requires_grad=True).register_hook(lambda g: g)
    assert isinstance(handle, hooks.RemovableHandle)


def test_a_room_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="not supported yet"):
        torch.utils.mobile_optimizer  # noqa: B018
