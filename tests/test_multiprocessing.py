"""Tensors in shared memory: what moves there, what two processes see, and that nothing is left behind."""

from __future__ import annotations

import copy
import faulthandler
import gc
import io
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import mytorch as torch
import mytorch.multiprocessing as mp
from mytorch.multiprocessing import shared_memory

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="local functions need fork")

ROOT = Path(__file__).parents[1]
LARGE = shared_memory._SMALL  # so many float32 have a block of their own


def names():
    return {name for name in os.listdir("/dev/shm") if name.startswith("mytorch_")} if os.path.isdir("/dev/shm") else set()


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = names()
    yield
    gc.collect()
    assert multiprocessing.active_children() == []
    assert names() - before == set()
    assert len(shared_memory._blocks) == 0


@pytest.fixture(params=sorted(mp.get_all_sharing_strategies()))
def strategy(request):
    mp.set_sharing_strategy(request.param)
    yield request.param
    mp.set_sharing_strategy("file_descriptor")


def in_child(function, *args):
    """Call it in a forked process."""
    process = mp.get_context("fork").Process(target=function, args=args)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def sent(*values, context=None):
    """What arrives of values that go through a pipe, and so to this very process."""
    queue = (context or mp.get_context("fork")).SimpleQueue()
    queue.put(values)
    return queue.get()


# ---- moving -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3, LARGE])
def test_shared_tensor_is_the_same_with_the_same_values(size, strategy):
    x = torch.arange(float(size))
    assert not x.is_shared()
    assert x.share_memory_() is x
    assert x.is_shared()
    assert torch.equal(x, torch.arange(float(size)))


def test_child_writes_where_the_parent_reads(strategy):
    x = torch.zeros(2, 3).share_memory_()
    in_child(lambda: x[1].add_(2))
    assert x.tolist() == [[0, 0, 0], [2, 2, 2]]


def test_tensor_that_is_not_shared_is_copied_by_a_fork():
    x = torch.zeros(2)
    in_child(lambda: x.add_(1))
    assert x.tolist() == [0, 0]


@pytest.mark.parametrize("alias", ["view", "transposed", "detached", "data", "of the view", "expanded"])
def test_aliases_move_together(alias):
    x = torch.zeros(4, 3)
    y = {"view": lambda: x[1:3], "transposed": lambda: x.t(), "detached": lambda: x.detach(), "data": lambda: x.data,
         "of the view": lambda: x[1:][1:].detach(), "expanded": lambda: x[0].expand(2, 3)}[alias]()
    offset, strides = y.storage_offset(), y.stride()
    y.share_memory_()
    assert x.is_shared()
    assert (y.storage_offset(), y.stride()) == (offset, strides)
    in_child(lambda: x.fill_(5))
    assert set(y.reshape(-1).tolist()) == {5}


def test_gradient_flows_through_shared_leaves_and_views():
    w = torch.ones(3, requires_grad=True)
    v = w[1:]
    w.share_memory_()
    (v * w[:2]).sum().backward()
    assert w.grad.tolist() == [1, 2, 1]
    with torch.no_grad():
        w -= w.grad
    assert v.tolist() == [-1, 0]


def test_numpy_array_of_a_tensor_that_moved_keeps_its_values():
    x = torch.ones(3)
    array = x.numpy()
    x.share_memory_()
    x.zero_()
    assert array.tolist() == [1, 1, 1]


def test_module_shares_parameters_and_buffers():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    state = model.state_dict()  # aliases of all of them
    assert model.share_memory() is model
    assert all(t.is_shared() for t in [*model.parameters(), *model.buffers()])
    in_child(lambda: [p.data.fill_(4) for p in model.parameters()])
    assert {v for p in model.parameters() for v in p.reshape(-1).tolist()} == {4}
    assert set(state["0.weight"].reshape(-1).tolist()) == {4}


def test_tensor_out_of_sight_of_the_collector_moves_too():
    x = torch.ones(3)
    alias = x.detach()
    gc.freeze()
    try:
        x.share_memory_()
    finally:
        gc.unfreeze()
    assert x.is_shared() and alias.tolist() == [1, 1, 1]


def test_copies_are_not_shared():
    x = torch.ones(3).share_memory_()
    for y in (x.clone(), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x + 0):
        assert not y.is_shared()


def test_shared_tensor_is_saved_and_loaded():
    x = torch.arange(6.0).reshape(2, 3).share_memory_()
    file = io.BytesIO()
    torch.save({"x": x, "row": x[1]}, file)
    file.seek(0)
    found = torch.load(file)
    assert torch.equal(found["x"], x)
    assert not found["x"].is_shared()


def test_many_small_tensors_take_few_descriptors():
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc to count descriptors in")

    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    tensors = [torch.full((100,), float(i)).share_memory_() for i in range(300)]
    assert count() - before <= 6
    assert all(set(t.tolist()) == {i} for i, t in enumerate(tensors))
    del tensors
    gc.collect()
    large = [torch.zeros(LARGE).share_memory_() for _ in range(3)]
    assert count() - before <= 9
    del large
    gc.collect()
    assert count() - before <= 3  # what is kept for the next small ones


def test_many_larger_tensors_share_blocks_too(monkeypatch):
    monkeypatch.setattr(shared_memory, "_MANY", 5)
    tensors = [torch.full((LARGE,), float(i)).share_memory_() for i in range(30)]
    assert len(shared_memory._blocks) <= 7
    assert all(set(t.tolist()) == {i} for i, t in enumerate(tensors))


def test_forked_processes_do_not_put_tensors_in_the_same_place():
    first = torch.ones(2).share_memory_()
    there = mp.get_context("fork").SimpleQueue()

    def child():
        mine = torch.full((2,), 7.0).share_memory_()
        there.put(mine)
        there.put(mine.tolist())
        time.sleep(1)

    process = mp.get_context("fork").Process(target=child)
    process.start()
    here = torch.full((2,), 3.0).share_memory_()
    theirs, values = there.get(), there.get()
    process.join()
    assert (first.tolist(), here.tolist(), theirs.tolist(), values) == ([1, 1], [3, 3], [7, 7], [7, 7])


def test_memory_that_is_used_up_is_an_error_that_leaves_the_tensor_alone(monkeypatch):
    def refuse(*args):
        raise OSError(28, "No space left on device")

    x = torch.ones(3)
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OSError, match="No space left"):
        x.share_memory_()
    assert x.tolist() == [1, 1, 1]
    assert not x.is_shared()
    shared_memory._common = None


# ---- sending ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64, torch.complex64], ids=str)
def test_sent_tensor_is_the_same_memory(dtype, strategy):
    x = torch.tensor([1, 0, 1]).to(dtype)
    (y,) = sent(x)
    assert y.dtype is dtype and torch.equal(x, y)
    assert y.data_ptr() == x.data_ptr()
    y[1] = 1
    assert torch.equal(x, torch.ones(3, dtype=dtype))


def test_sent_aliases_are_aliases(strategy):
    x = torch.arange(6.0).reshape(2, 3)
    whole, row, turned, again = sent(x, x[1], x.t(), x)
    assert whole is again
    assert (row.storage_offset(), turned.stride()) == (3, (1, 3))
    whole[1, 0] = 9
    assert row[0].item() == turned[0, 1].item() == x[1, 0].item() == 9
    assert torch.as_strided(row, (6,), (1,), 0).tolist() == x.reshape(-1).tolist()


def test_sent_tensor_keeps_what_it_is():
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    p.tag = "mine"
    frozen, found, empty, scalar = sent(torch.nn.Parameter(torch.ones(2), requires_grad=False), p, torch.zeros(0, 3), torch.tensor(2.0))
    assert type(found) is torch.nn.Parameter and found.requires_grad and found.tag == "mine"
    assert found.grad is None
    assert not frozen.requires_grad
    assert (empty.shape, scalar.item()) == ((0, 3), 2)


def test_subclass_of_a_user_is_sent_as_itself():
    (y,) = sent(torch.ones(2).as_subclass(Marked))
    assert type(y) is Marked and y.is_shared()


class Marked(torch.Tensor):
    pass


def test_modules_are_sent_as_they_are():
    linear = torch.nn.Linear(2, 2)
    lazy, tied = sent(torch.nn.LazyLinear(3), torch.nn.ModuleList([linear, linear]))
    assert lazy(torch.ones(2, 5)).shape == (2, 3)
    assert tied[0].weight is tied[1].weight
    assert tied[0].weight.data_ptr() == linear.weight.data_ptr()


def test_graph_is_not_sent():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        sent(x * 2)
    (y,) = sent((x * 2).detach())
    assert y.tolist() == [2, 2]


def test_processes_answer_each_other_in_one_tensor(strategy):
    context = mp.get_context("fork")
    there, back = context.Queue(), context.Queue()

    def child():
        x = there.get()
        x.mul_(10)
        back.put("done")
        assert there.get() == "end"

    process = context.Process(target=child)
    process.start()
    x = torch.arange(3)
    there.put(x)
    assert back.get(timeout=60) == "done"
    there.put("end")
    process.join()
    assert x.tolist() == [0, 10, 20]
    assert process.exitcode == 0


def test_tensors_are_sent_by_value_where_memory_cannot_be_shared(monkeypatch):
    monkeypatch.setattr(shared_memory, "AVAILABLE", False)
    x = torch.ones(3)
    (y,) = sent(x)
    y.zero_()
    assert (x.tolist(), x.is_shared(), y.is_shared()) == ([1, 1, 1], False, False)
    with pytest.raises(NotImplementedError, match="share_memory_"):
        x.share_memory_()


def test_sender_that_has_ended_is_named_as_the_cause():
    context = mp.get_context("fork")
    queue = context.Queue()
    in_child(lambda: queue.put(torch.ones(2)))
    with pytest.raises(OSError, match=r"refused|No such file") as caught:
        queue.get(timeout=60)
    assert "sender has ended before" in caught.value.__notes__[0]


def test_sender_may_end_first_where_files_have_names():
    mp.set_sharing_strategy("file_system")
    try:
        queue = mp.get_context("fork").Queue()
        in_child(lambda: queue.put(torch.ones(2)))
        assert queue.get(timeout=60).tolist() == [1, 1]
    finally:
        mp.set_sharing_strategy("file_descriptor")


def test_pool_maps_over_tensors():
    with mp.get_context("fork").Pool(2) as pool:
        assert [y.tolist() for y in pool.map(torch.neg, [torch.ones(2) * i for i in range(3)])] == [[0, 0], [-1, -1], [-2, -2]]


def test_batch_of_a_loader_can_be_sent_on():
    data = torch.utils.data.TensorDataset(torch.arange(2.0 * LARGE).reshape(2, LARGE))
    batches = [batch[0] for batch in torch.utils.data.DataLoader(data, 1, num_workers=1, multiprocessing_context="fork")]
    assert all(batch.is_shared() for batch in batches)
    (found,) = sent(batches[1])
    found[0, 0] = -1
    assert batches[1][0, :2].tolist() == [-1, LARGE + 1]


def test_strategies_are_those_of_torch():
    assert mp.get_all_sharing_strategies() == {"file_descriptor", "file_system"}
    assert mp.get_sharing_strategy() == "file_descriptor"
    with pytest.raises(AssertionError, match="invalid sharing strategy 'pigeon'"):
        mp.set_sharing_strategy("pigeon")


def test_names_of_python_are_here():
    assert all(getattr(mp, name) is getattr(multiprocessing, name) for name in multiprocessing.__all__ if name != "reducer")
    assert set(multiprocessing.__all__) < set(mp.__all__)


def test_functions_are_sent_by_name():
    for function in (torch.tanh, torch.add, torch.nn.functional.sigmoid, torch.special.erfinv, torch.Tensor.exp_, torch.stack):
        assert pickle.loads(pickle.dumps(function)) is function


# ---- two processes train one model; other ways to start; ends ------------------------------------------------------------------


def run(folder, body, returncode=0):
    """What a program prints; it runs on its own."""
    program = folder / "program.py"
    head, _, main = textwrap.dedent(body).partition("# main\n")
    common = "import os, signal, sys, time\nimport mytorch as torch\nimport mytorch.multiprocessing as mp\n"
    program.write_text(f'{common}{head}\nif __name__ == "__main__":\n{textwrap.indent(main, "    ")}')
    done = subprocess.run([sys.executable, "-W", "error", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
    assert done.returncode == returncode, done.stdout
    return done.stdout


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("named", [False, True], ids=["descriptors", "names"])
def test_two_processes_train_one_model(method, named, tmp_path):
    output = run(tmp_path, f"""
        def train(rank, model, x, y, steps):
            torch.set_num_threads(1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            generator = torch.Generator().manual_seed(rank)
            for _ in range(100):
                rows = torch.randint(0, len(x), (16,), generator=generator)
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
                optimizer.step()
                steps[rank] += 1
        # main
        torch.manual_seed(0)
        if {named}:
            mp.set_sharing_strategy("file_system")
        x = torch.randn(100, 3)
        y = x @ torch.tensor([[1.0], [-2.0], [3.0]])
        model = torch.nn.Linear(3, 1).share_memory()
        steps = torch.zeros(2, dtype=torch.int64)
        steps.share_memory_()
        context = mp.get_context("{method}")
        workers = [context.Process(target=train, args=(rank, model, x, y, steps)) for rank in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print([worker.exitcode for worker in workers], steps.tolist(), bool((model.weight - torch.tensor([1.0, -2.0, 3.0])).abs().max() < 0.01))
        """)
    assert output == "[0, 0] [100, 100] True\n"


@pytest.mark.parametrize("named", [False, True], ids=["descriptors", "names"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_stream_of_tensors_leaves_nothing_behind(named, method, tmp_path):
    output = run(tmp_path, f"""
        def double(there, back):
            while (x := there.get()) is not None:
                back.put(x * 2)
        # main
        if {named}:
            mp.set_sharing_strategy("file_system")
        context = mp.get_context("{method}")
        there, back = context.Queue(), context.Queue()
        worker = context.Process(target=double, args=(there, back))
        worker.start()
        count = lambda: len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for i in range(60):
            there.put(torch.full((50000 if i % 3 else 10,), float(i)))
            assert back.get()[-1].item() == 2 * i
            if i == 10:
                before = count()
        assert count() <= before + 2
        unread = context.Queue()
        unread.put(torch.ones(3))
        there.put(None)
        worker.join()
        print(worker.exitcode)
        """)
    # the tensor that nobody has read is taken away with a warning
    assert re.sub(r".*resource_tracker.*\n.*\n", "", output) == "0\n"
    limit = time.monotonic() + 30
    while names() and time.monotonic() < limit:
        time.sleep(0.05)


def test_killed_processes_leave_no_memory_behind(tmp_path):
    if not os.path.isdir("/dev/shm"):
        pytest.skip("names are in /dev/shm")
    before = names()
    output = run(tmp_path, """
        # main
        mp.set_sharing_strategy("file_system")
        x = torch.ones(100000).share_memory_()
        print(len([name for name in os.listdir("/dev/shm") if name.startswith(f"mytorch_{os.getpid()}_")]), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """, -signal.SIGKILL)
    assert output.startswith("1\n")
    limit = time.monotonic() + 30
    while names() - before and time.monotonic() < limit:
        time.sleep(0.05)
    assert names() - before == set()


# ---- spawn --------------------------------------------------------------------------------------------------------------------


def start(function, count=2, **options):
    return mp.start_processes(function, nprocs=count, start_method="fork", **options)


def test_spawn_calls_the_function_with_index_and_arguments(tmp_path):
    output = run(tmp_path, """
        def add(index, shared, amount):
            shared[index] += index + amount
        # main
        shared = torch.zeros(3)
        print(mp.spawn(add, args=(shared, 10), nprocs=3), shared.tolist())
        """)
    assert output == "None [10.0, 11.0, 12.0]\n"


def failing(act, at=1):
    def function(index):
        if index == at:
            act()
        time.sleep(1000)

    return function


def raise_value_error():
    raise ValueError("odd")


def test_error_in_a_process_is_raised_and_ends_the_others():
    with pytest.raises(mp.ProcessRaisedException) as caught:
        start(failing(raise_value_error))
    text = str(caught.value)
    assert text.startswith("\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n")
    assert "ValueError: odd" in text
    assert caught.value.error_index == 1
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("act", "text", "code", "name"), [
    (lambda: os._exit(3), "process 1 terminated with exit code 3", 3, None),
    (lambda: sys.exit(4), "process 1 terminated with exit code 4", 4, None),
    (lambda: os.kill(os.getpid(), signal.SIGKILL), "process 1 terminated with signal SIGKILL", -9, "SIGKILL"),
    (lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)), "process 1 terminated with signal SIGSEGV", -11, "SIGSEGV"),
])
def test_end_of_a_process_is_raised_with_its_cause(act, text, code, name):
    with pytest.raises(mp.ProcessExitedException, match=f"^{text}$") as caught:
        start(failing(act))
    error = caught.value
    assert (error.error_index, error.exit_code, error.signal_name) == (1, code, name)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.exit_code, again.error_pid) == (text, code, error.error_pid)


def test_process_that_will_not_go_is_killed(monkeypatch):
    monkeypatch.setattr(sys.modules["mytorch.multiprocessing.spawn"], "_TO_TERMINATE", 0.2)
    ready = mp.get_context("fork").Event()

    def stubborn(index):
        if index == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ready.set()
            time.sleep(1000)
        ready.wait()
        raise_value_error()

    with pytest.raises(mp.ProcessRaisedException):
        start(stubborn)
    assert multiprocessing.active_children() == []


def test_interrupted_process_ends_in_silence():
    def interrupt(index):
        raise KeyboardInterrupt

    assert start(interrupt) is None


def test_context_is_joined_later():
    gate = mp.get_context("fork").Event()
    running = start(lambda index: gate.wait(), join=False)
    assert isinstance(running, mp.ProcessContext)
    assert running.pids() == [process.pid for process in running.processes]
    assert running.join(timeout=0.01) is False
    gate.set()
    while not running.join(timeout=60):
        pass
    assert [process.exitcode for process in running.processes] == [0, 0]


def test_spawn_starts_by_spawn_alone():
    with pytest.warns(FutureWarning, match="only supports start_method=spawn"), pytest.raises(Exception, match="pickle"):
        mp.spawn(lambda index: None, start_method="fork")


def test_processes_end_with_their_parent(tmp_path):
    output = run(tmp_path, """
        def wait(index, told):
            told[index] = os.getpid()
            time.sleep(1000)
        # main
        told = torch.zeros(2, dtype=torch.int64)
        running = mp.spawn(wait, args=(told,), nprocs=2, join=False)
        while not told.all():
            time.sleep(0.01)
        print(*told.tolist(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """, -signal.SIGKILL)
    pids = [int(pid) for pid in re.findall(r"\d+", output.splitlines()[0])]
    limit = time.monotonic() + 30
    while any(map(is_running, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_of_it_is_loaded_with_the_package(tmp_path):
    program = "import sys, mytorch as torch; torch.ones(2).is_shared(); print([m for m in sys.modules if 'multiprocessing' in m])"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_numbers_in_bytes_are_those_of_the_array():
    x = torch.from_numpy(np.asfortranarray(np.arange(6.0).reshape(2, 3)))[:, 1:]
    values = x.tolist()
    x.share_memory_()
    assert x.tolist() == values
