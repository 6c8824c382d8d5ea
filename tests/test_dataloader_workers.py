"""Worker processes of the DataLoader: what they load, how they fail, and that nothing of them is left behind."""

from __future__ import annotations

import collections
import faulthandler
import gc
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import mytorch
from mytorch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset, get_worker_info, processes, transfer

pytestmark = [
    pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the datasets here are local classes: they need fork"),
    # on a machine with one processor two workers are too many
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]

ROOT = Path(__file__).parents[1]
FULL = os.environ.get("MYTORCH_FULL") == "1"
Point = collections.namedtuple("Point", ["x", "y"])


def forked(dataset, *args, num_workers=2, **options):
    return DataLoader(dataset, *args, num_workers=num_workers, multiprocessing_context="fork", **options)


def names_in_shared_memory():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


@pytest.fixture(autouse=True)
def nothing_is_left():
    """After each test: no process, no segment of shared memory, no mapped batch."""
    names = names_in_shared_memory()
    yield
    gc.collect()  # what pytest.raises caught holds frames in a cycle
    assert multiprocessing.active_children() == []
    assert {name for name in names_in_shared_memory() - names if "mytorch" in name} == set()
    assert len(transfer._mapped) == 0


class Squares(Dataset):
    offset = 0

    def __init__(self, size=6):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.offset + index * index


class Calling(Dataset):
    """Sample i is what the function says of i."""

    def __init__(self, function, size=8):
        self.function, self.size = function, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.function(index)


class Stream(IterableDataset):
    def __init__(self, size=7):
        self.size = size

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, self.size, info.num_workers))


# ---- what they load -----------------------------------------------------------------------------------------------------------


def test_batches_are_those_of_one_process():
    def batches(count):
        mytorch.manual_seed(3)
        return [batch.tolist() for batch in DataLoader(Squares(11), 3, shuffle=True, num_workers=count)]

    assert batches(2) == batches(0)


def test_workers_take_turns_in_processes_of_their_own():
    pids = [pid.item() for pid in forked(Calling(lambda i: os.getpid(), 6))]
    assert pids[0::2] == [pids[0]] * 3
    assert pids[1::2] == [pids[1]] * 3
    assert len({*pids, os.getpid()}) == 3


def test_no_worker_outside_of_a_worker():
    list(forked(Squares()))
    assert get_worker_info() is None


def test_info_tells_number_count_seed_and_dataset():
    def info(index):
        mine = get_worker_info()
        return mine.id, mine.num_workers, mine.seed, type(mine.dataset).__name__, mine.worker_method

    (first, second) = forked(Calling(info, 2), None, generator=mytorch.Generator().manual_seed(3))
    assert first[:2] == [0, 2]
    assert second == [1, 2, first[2] + 1, "Calling", "multiprocessing"]


def test_draws_in_workers_leave_the_streams_outside_alone():
    def draw(index):
        return mytorch.rand(1).item(), random.random(), np.random.rand()

    def after(action):
        mytorch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        action()
        return draw(0)[1:], mytorch.rand(2).tolist()

    generator = mytorch.Generator()
    assert after(lambda: list(forked(Calling(draw), generator=generator))) == after(lambda: None)


def test_streams_differ_by_worker_and_by_pass():
    loader = forked(Calling(lambda i: mytorch.rand(1)))
    assert len({batch.item() for _ in range(2) for batch in loader}) == 16


def test_init_configures_the_copy_of_its_worker_only():
    def init(worker_id):
        get_worker_info().dataset.offset = 100 * worker_id

    dataset = Squares(4)
    assert [batch.item() for batch in forked(dataset, worker_init_fn=init)] == [0, 101, 4, 109]
    assert dataset.offset == 0


@pytest.mark.parametrize("persistent", [True, False])
def test_persistent_workers_are_the_same_processes_in_each_pass(persistent):
    loader = forked(Calling(lambda i: os.getpid()), persistent_workers=persistent)
    first, second = ({pid.item() for pid in loader} for _ in range(2))
    assert (first == second) is persistent


def test_pass_left_early_does_not_disturb_the_next_of_persistent_workers():
    loader = forked(Squares(20), 2, persistent_workers=True)
    for batch in loader:
        assert batch.tolist() == [0, 1]
        break
    assert [batch.tolist() for batch in loader] == [[i * i, (i + 1) ** 2] for i in range(0, 20, 2)]


@pytest.mark.parametrize("persistent", [True, False])
def test_sharded_stream_is_read_to_its_end(persistent):
    loader = forked(Stream(), 2, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == [[0, 2], [1, 3], [4, 6], [5]]


def test_samplers_and_collate_functions_are_used():
    batches = BatchSampler(RandomSampler(range(9), generator=mytorch.Generator().manual_seed(1)), 4, True)
    assert [len(batch) for batch in forked(Squares(9), batch_sampler=batches, collate_fn=list)] == [4, 4]


def test_dataset_that_takes_many_indices_at_once_is_asked_so():
    class Many(Squares):
        def __getitems__(self, indices):
            assert isinstance(indices, list)
            return [-index for index in indices]

    assert [batch.tolist() for batch in forked(Many(4), 2)] == [[0, -1], [-2, -3]]


class Forever:
    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        while True:
            yield from self.sampler


@pytest.mark.parametrize("by_name", [True, False])
def test_passes_can_share_one_endless_iterator(by_name):
    class Endless(DataLoader):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            if by_name:  # as programs do that know the attribute of torch's loader
                self._DataLoader__initialized = False
                self.batch_sampler = Forever(self.batch_sampler)
                self._DataLoader__initialized = True
            else:
                object.__setattr__(self, "batch_sampler", Forever(self.batch_sampler))
            self.batches = super().__iter__()

        def __len__(self):
            return len(self.batch_sampler.sampler)

        def __iter__(self):
            return (next(self.batches) for _ in range(len(self)))

    loader = Endless(Squares(5), 2, num_workers=2, multiprocessing_context="fork")
    assert [[batch.tolist() for batch in loader] for _ in range(3)] == [[[0, 1], [4, 9], [16]]] * 3
    with pytest.raises(ValueError, match="should not be set"):
        loader.batch_size = 3


def test_batches_may_be_made_in_shared_memory():
    def collate(samples):
        storage = samples[0].untyped_storage()._new_shared(sum(sample.nbytes for sample in samples))
        out = samples[0].new(storage).resize_(len(samples), *samples[0].shape)
        return mytorch.stack(samples, 0, out=out)

    batches = list(forked([mytorch.full((LARGE,), float(i)) for i in range(4)], 2, collate_fn=collate))
    assert [batch[:, -1].tolist() for batch in batches] == [[0, 1], [2, 3]]
    assert all(batch.is_shared() for batch in batches)


def test_stream_that_each_worker_reads_whole_is_explained():
    class Whole(IterableDataset):
        def __iter__(self):
            return iter(range(2))

        def __len__(self):
            return 2

    loader = forked(Whole(), None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match=r"reported to be 2 .* but [34] samples have been fetched\. Each worker reads a whole copy of the stream"):
        assert [int(x) for x in loader] == [0, 0, 1, 1]


def test_pass_that_is_over_stays_over():
    batches = iter(forked(Squares(2)))
    assert len(list(batches)) == 2
    assert list(batches) == []
    assert multiprocessing.active_children() == []


def test_batches_come_as_they_are_ready_if_order_is_waived(tmp_path):
    gate = tmp_path / "gate"

    def slow_first(index):
        while index == 0 and not gate.exists():
            time.sleep(0.01)
        return index

    batches = iter(forked(Calling(slow_first, 4), in_order=False, prefetch_factor=1))
    first = [next(batches).item() for _ in range(3)]
    gate.touch()
    assert first == [1, 2, 3]
    assert [batch.item() for batch in batches] == [0]


@pytest.mark.parametrize("method", ["spawn", "forkserver"] if FULL else ["spawn"])
def test_other_start_methods_give_the_same_batches(method, tmp_path):
    output = run(
        tmp_path,
        f"""
        loader = DataLoader(Data(), 3, num_workers=2, multiprocessing_context="{method}", generator=mytorch.Generator().manual_seed(5))
        alone = DataLoader(Data(), 3, num_workers=2, multiprocessing_context="fork", generator=mytorch.Generator().manual_seed(5))
        one, other = list(loader), list(alone)
        assert len(one) == len(other) == 3
        assert all(mytorch.equal(x, y) for a, b in zip(one, other) for x, y in zip(a, b))
        """,
    )
    assert output == ""


def test_start_method_may_be_named_and_is_checked():
    assert DataLoader(range(3), num_workers=1, multiprocessing_context="spawn").multiprocessing_context.get_start_method() == "spawn"
    with pytest.raises(ValueError, match="multiprocessing_context='spoon'"):
        DataLoader(range(3), num_workers=1, multiprocessing_context="spoon")
    with pytest.raises(TypeError, match="multiprocessing_context=3"):
        DataLoader(range(3), num_workers=1, multiprocessing_context=3)


def test_dataset_that_cannot_be_pickled_is_refused_by_spawn_with_the_way_out():
    loader = DataLoader(Calling(lambda i: i), num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(Exception, match="pickle") as caught:
        iter(loader)
    assert "multiprocessing_context='fork'" in caught.value.__notes__[0]


def test_more_workers_than_processors_are_warned_of(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    with pytest.warns(UserWarning, match="will create 2 worker processes in total"):
        DataLoader(range(3), num_workers=2)


# ---- how batches travel -------------------------------------------------------------------------------------------------------

LARGE = transfer.SHARED_FROM // 4  # so many float32 fill the smallest batch that goes through shared memory


@pytest.fixture(params=["shared memory", "refused", "absent"])
def memory(request, monkeypatch):
    def refuse(name):
        raise OSError("no memory files here")

    if request.param == "refused":
        monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    elif request.param == "absent":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    return request.param


def nested(size):
    def sample(index):
        tensor = mytorch.arange(size, dtype=mytorch.float32) + index
        return {
            "tensor": tensor,
            "strided": tensor.reshape(2, -1).t(),
            "bfloat16": tensor.to(mytorch.bfloat16),
            "point": Point(np.full(3, index, np.int16), index / 2),
            "list": ["text", (index, b"bytes"), mytorch.empty(0)],
        }

    return Calling(sample, 4)


def assert_equal(ours, expected):
    assert type(ours) is type(expected)
    if isinstance(expected, mytorch.Tensor):
        assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape)
        assert mytorch.equal(ours, expected)
    elif isinstance(expected, dict):
        assert list(ours) == list(expected)
        assert_equal(list(ours.values()), list(expected.values()))
    elif isinstance(expected, (list, tuple)):
        assert len(ours) == len(expected)
        for one, other in zip(ours, expected):
            assert_equal(one, other)
    else:
        assert ours == expected


@pytest.mark.parametrize("size", [2, LARGE], ids=["small", "large"])
def test_nested_batches_arrive_whole(size, memory):
    batches = list(forked(nested(size), 2))
    assert_equal(batches, list(DataLoader(nested(size), 2)))
    shared = memory == "shared memory" and size == LARGE and hasattr(os, "memfd_create")
    assert len(transfer._mapped) == (2 if shared else 0)


def test_batches_may_be_written_and_outlive_their_workers(memory):
    first, second = forked(TensorDataset(mytorch.zeros(4, LARGE)), 2)
    first[0].add_(1)
    assert first[0].sum().item() == 2 * LARGE
    assert second[0].sum().item() == 0


def test_kept_batches_do_not_use_up_the_descriptors(monkeypatch):
    monkeypatch.setattr(transfer, "MAPPED_AT_MOST", 3)
    batches = list(forked(TensorDataset(mytorch.arange(8.0).reshape(8, 1).expand(8, LARGE)), 1))
    assert [batch[0][0, -1].item() for batch in batches] == list(range(8))
    assert len(transfer._mapped) <= 3


def test_descriptors_are_closed_after_a_pass():
    def open_files():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc to count descriptors in")
    loader = forked(TensorDataset(mytorch.zeros(8, LARGE)), 2)
    list(loader)
    before = open_files()
    for _ in range(3):
        list(loader)
        next(iter(loader))
    assert open_files() == before


# ---- how they fail ------------------------------------------------------------------------------------------------------------


class OwnError(Exception):
    pass


class TwoArgumentsError(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)


def failing(error, at=5):
    def sample(index):
        if index == at:
            raise error
        return index

    return Calling(sample)


@pytest.mark.parametrize("kind", [ValueError, OwnError, KeyError, TypeError])
def test_error_keeps_its_class_and_names_worker_batch_and_sample(kind):
    with pytest.raises(kind) as caught:
        list(forked(failing(kind("the cause")), 2))
    text = str(caught.value)
    assert text.startswith(f"Caught {kind.__name__} in DataLoader worker process 0.\n")
    assert "batch 2, sample 5 (place 1 of the samples [4, 5])" in text
    assert "Original Traceback (most recent call last):" in text
    assert f"{Path(__file__).name}" in text
    assert "the cause" in text


def test_error_that_cannot_be_made_again_becomes_a_runtime_error():
    class LocalError(Exception):
        pass

    for error in (LocalError("the cause"), TwoArgumentsError(3, "the cause")):
        with pytest.raises(RuntimeError, match=rf"Caught {type(error).__name__} in DataLoader worker process 1(.|\n)*the cause"):
            list(forked(failing(error)))


def test_pass_goes_on_after_an_error():
    batches = iter(forked(failing(ValueError("odd"), at=1), None))
    assert next(batches) == 0
    with pytest.raises(ValueError, match="odd"):
        next(batches)
    assert list(batches) == [2, 3, 4, 5, 6, 7]


def test_error_of_init_is_raised_at_the_first_batch():
    def init(worker_id):
        raise OwnError("no start")

    with pytest.raises(OwnError, match=r"worker process 0(.|\n)*no start"):
        list(forked(Squares(), worker_init_fn=init))


def test_error_of_collate_is_raised():
    def collate(samples):
        raise OwnError("no batch")

    with pytest.raises(OwnError, match=r"batch 0 of the samples \[0, 1\](.|\n)*no batch"):
        list(forked(Squares(), 2, collate_fn=collate))


def test_error_of_a_stream_is_raised():
    class Breaking(IterableDataset):
        def __iter__(self):
            yield from range(3)
            raise OwnError("dry")

    with pytest.raises(OwnError, match=r"worker process 0(.|\n)*batch 1 of its stream, sample 1 of it(.|\n)*dry"):
        list(forked(Breaking(), 2, num_workers=1))


def test_batch_that_cannot_be_sent_names_itself():
    with pytest.raises(Exception, match=r"Caught \w+ in DataLoader worker process 0\.\nIt was loading sample 0(.|\n)*pickle"):
        list(forked(Calling(lambda i: lambda: i), None))


def test_batch_with_a_graph_is_refused():
    x = mytorch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="graph leaves"):
        list(forked(Calling(lambda i: x * i), None))


class MuteError(Exception):
    def __str__(self):
        raise ValueError("no words")


class ClosedError(Exception):
    def __str__(self):
        return "the same words always"


def test_error_that_hides_its_message_still_tells_it():
    with pytest.raises(RuntimeError, match=r"Caught MuteError in DataLoader worker process 0(.|\n)*sample 5"):
        list(forked(failing(MuteError()), 2))
    with pytest.raises(ClosedError) as caught:
        list(forked(failing(ClosedError()), 2))
    assert caught.value.__notes__[0].startswith("Caught ClosedError in DataLoader worker process 0.")
    with pytest.raises(RuntimeError, match=r"Caught ExceptionGroup in DataLoader worker process 0(.|\n)*the cause"):
        list(forked(failing(ExceptionGroup("several", [ValueError("the cause")])), 2))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), SystemExit(1)], ids=lambda error: type(error).__name__)
def test_exception_that_ends_a_process_ends_the_worker(error):
    with pytest.raises(RuntimeError, match=r"worker 0 ended with exit code 1 while it loaded batch 2, sample 5"):
        list(forked(failing(error), 2))


def kill(number):
    return lambda: os.kill(os.getpid(), number)


DEATHS = {
    "exit": (lambda: os._exit(3), r"ended with exit code 3"),
    "SIGKILL": (kill(signal.SIGKILL), r"was killed by signal 9 \(SIGKILL\)"),
    "SIGTERM": (kill(signal.SIGTERM), r"was killed by signal 15 \(SIGTERM\)"),
    "SIGSEGV": (lambda: (faulthandler.disable(), kill(signal.SIGSEGV)()), r"was killed by signal 11 \(SIGSEGV\)"),
}


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("persistent", [True, False])
def test_death_names_worker_cause_and_sample(death, persistent):
    act, cause = DEATHS[death]
    main = os.getpid()

    def sample(index):
        if index == 5 and os.getpid() != main:
            act()
        return index

    loader = forked(Calling(sample), 2, prefetch_factor=1, persistent_workers=persistent)
    batches = iter(loader)
    assert next(batches).tolist() == [0, 1]
    expected = (
        rf"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly: worker 0 {cause} while it loaded batch 2, sample 5 "
        r"\(place 1 of the samples \[4, 5\]\)"
    )
    for _ in range(2):  # and it stays so
        with pytest.raises(RuntimeError, match=expected):
            list(batches)
        assert multiprocessing.active_children() == []
    assert next(iter(loader)).tolist() == [0, 1]  # another pass has new workers


def test_death_of_an_idle_worker_is_reported():
    batches = iter(forked(Squares(40), prefetch_factor=1))
    next(batches)
    os.kill(batches._team.workers[1].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="worker 1 was killed by signal 9"):
        list(batches)


def test_hang_ends_in_a_timeout_that_names_worker_and_sample(monkeypatch):
    monkeypatch.setattr(processes, "_TO_TERMINATE", 0.2)

    def sample(index):
        if index == 5:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a worker that will not go
            while True:
                time.sleep(100)
        return index

    with pytest.raises(RuntimeError) as caught:
        list(forked(Calling(sample), 2, timeout=4, num_workers=1))
    assert re.fullmatch(
        r"DataLoader timed out after 4 seconds: worker 0 \(pid \d+\) has not delivered batch 2, sample 5 \(place 1 of the samples \[4, 5\]\)",
        str(caught.value),
    )
    assert multiprocessing.active_children() == []


# ---- nothing is left behind ---------------------------------------------------------------------------------------------------


def test_workers_end_with_the_last_batch():
    batches = iter(forked(Squares(4)))
    assert len(multiprocessing.active_children()) == 2
    list(batches)
    assert multiprocessing.active_children() == []


def test_workers_end_at_break():
    for _ in forked(TensorDataset(mytorch.zeros(40, LARGE)), 2):
        break
    assert multiprocessing.active_children() == []


def test_workers_end_when_the_loop_is_left_by_an_error():
    def train():
        for _ in forked(Squares()):
            raise OwnError

    with pytest.raises(OwnError):
        train()
    gc.collect()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_end_with_their_iterator(persistent):
    gc.disable()  # so that nothing but the last reference ends them
    try:
        loader = forked(Squares(), persistent_workers=persistent)
        batches = iter(loader)
        next(batches)
        del batches, loader
        assert multiprocessing.active_children() == []
    finally:
        gc.enable()


def test_workers_end_at_a_keyboard_interrupt(monkeypatch):
    def sample(index):
        if index == 3:
            os.kill(os.getppid(), signal.SIGINT)
            while True:
                time.sleep(100)
        return index

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(forked(Calling(sample)))
        assert multiprocessing.active_children() == []
    finally:
        signal.signal(signal.SIGINT, previous)


def test_interrupt_that_reaches_the_workers_too_does_not_end_them():
    for _ in range(5):
        batches = iter(forked(Squares(20)))
        for worker in batches._team.workers:  # which have hardly begun
            os.kill(worker.pid, signal.SIGINT)
        assert len(list(batches)) == 20


def run(folder, body, returncode=0):
    """What a program prints, to stdout and stderr together; it runs on its own."""
    program = folder / "program.py"
    head = """
        import os, signal, sys, time
        import mytorch
        from mytorch.utils.data import DataLoader, Dataset

        class Data(Dataset):
            def __len__(self):
                return 8

            def __getitem__(self, index):
                return mytorch.full((20000,), float(index)), mytorch.rand(2)

        class Hanging(Data):
            def __getitem__(self, index):
                if index == 7:
                    time.sleep(1000)
                return super().__getitem__(index)

        def show_workers(batches):
            print(*(worker.pid for worker in batches._team.workers), flush=True)
    """
    body = textwrap.indent(textwrap.dedent(body), "    ")
    program.write_text(textwrap.dedent(head) + '\nif __name__ == "__main__":\n' + body)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This DataLoader will create", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )
    assert result.returncode == returncode, result.stdout
    return result.stdout


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, and not yet collected by the process that adopted it


EXITS = {
    "at the end": ("", 0),
    "by sys.exit": ("sys.exit(3)", 3),
    "by an error": ("raise SystemExit(4)", 4),
    "by SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    "by os._exit": ("os._exit(5)", 5),
}


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", EXITS if FULL else ["at the end", "by SIGKILL"])
@pytest.mark.parametrize("persistent", [True, False])
def test_workers_end_with_the_interpreter(end, persistent, tmp_path):
    action, returncode = EXITS[end]
    output = run(
        tmp_path,
        f"""
        loader = DataLoader(Data(), num_workers=2, persistent_workers={persistent}, multiprocessing_context="fork")
        batches = iter(loader)
        next(batches)
        show_workers(batches)
        {action}
        """,
        returncode,
    )
    assert re.fullmatch(r"\d+ \d+\n", output)  # and no warning
    left = [int(pid) for pid in output.split()]
    limit = time.monotonic() + 60  # the ones whose parent was killed look for it once a second
    while any(map(is_running, left)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(map(is_running, left))


def test_processes_are_not_imported_without_workers(tmp_path):
    run(tmp_path, "list(DataLoader(Data(), 2))\nassert 'multiprocessing' not in sys.modules and 'socket' not in sys.modules")
