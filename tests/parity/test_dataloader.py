"""Data loading equals torch's: every scenario below runs once with torch and once with mytorch, and must give the same."""

from __future__ import annotations

import collections
import itertools
import os
import random
import re
import signal
import time
import warnings

import numpy as np
import pytest

import mytorch
import mytorch.utils.data

torch = pytest.importorskip("torch")

Point = collections.namedtuple("Point", ["x", "y"])


def plain(x):
    """Nested results as comparable values: a tensor becomes its dtype, shape and numbers."""
    if isinstance(x, (torch.Tensor, mytorch.Tensor)):
        return "tensor", str(x.dtype), tuple(x.shape), x.tolist()
    if isinstance(x, dict):
        return type(x).__name__, {key: plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [plain(value) for value in x]
    if isinstance(x, np.ndarray):
        return "ndarray", str(x.dtype), x.tolist()
    return type(x).__name__, x


def outcome(scenario, package):
    """What the scenario returns, and where its random streams then are; or the class of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package.manual_seed(7)
        random.seed(7)
        np.random.seed(7)
        try:
            result = scenario(package, package.utils.data)
        except Exception as error:
            return type(error).__name__
        return plain(result), package.rand(3).tolist(), random.random(), float(np.random.rand())


def assert_same(scenario):
    assert outcome(scenario, mytorch) == outcome(scenario, torch)


def passes(loader, count=3):
    return [list(loader) for _ in range(count)]


def table(T, n=23):
    return T.utils.data.TensorDataset(T.arange(n * 2).reshape(n, 2), T.arange(n).float())


# ---- order --------------------------------------------------------------------------------------------------------------------

SAMPLERS = {
    "sequential": lambda T, D: D.SequentialSampler(range(10)),
    "random": lambda T, D: D.RandomSampler(range(100)),
    "random of one": lambda T, D: D.RandomSampler([5]),
    "random fewer": lambda T, D: D.RandomSampler(range(100), num_samples=7),
    "random more": lambda T, D: D.RandomSampler(range(10), num_samples=25),
    "random twice": lambda T, D: D.RandomSampler(range(10), num_samples=20),
    "replacement": lambda T, D: D.RandomSampler(range(10), replacement=True),
    "replacement of 64": lambda T, D: D.RandomSampler(range(10), replacement=True, num_samples=64),
    "replacement of 70": lambda T, D: D.RandomSampler(range(1000), replacement=True, num_samples=70),
    "generator": lambda T, D: D.RandomSampler(range(40), generator=T.Generator().manual_seed(3)),
    "generator more": lambda T, D: D.RandomSampler(range(10), num_samples=20, generator=T.Generator().manual_seed(3)),
    "generator replacement": lambda T, D: D.RandomSampler(range(10), True, 64, T.Generator().manual_seed(3)),
    "subset": lambda T, D: D.SubsetRandomSampler([5, 7, 9, 11, 2]),
    "subset generator": lambda T, D: D.SubsetRandomSampler([5, 7, 9, 11, 2], T.Generator().manual_seed(4)),
    "weighted": lambda T, D: D.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 50),
    "weighted once": lambda T, D: D.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 5, replacement=False),
    "weighted tensor": lambda T, D: D.WeightedRandomSampler(T.tensor([1.0, 2.0, 3.0]), 9, generator=T.Generator().manual_seed(1)),
    "batches": lambda T, D: D.BatchSampler(D.RandomSampler(range(23)), 5, False),
    "full batches": lambda T, D: D.BatchSampler(D.RandomSampler(range(23)), 5, True),
    "batches of any iterable": lambda T, D: D.BatchSampler("abcdefg", 3, False),
    **{
        f"distributed {drop} {n} {rank} of {count}": (
            lambda T, D, drop=drop, n=n, rank=rank, count=count: D.DistributedSampler(range(n), count, rank, True, 5, drop)
        )
        for drop, n, (rank, count) in itertools.product([True, False], [1, 3, 10, 12], [(0, 1), (1, 4), (3, 4), (6, 7)])
    },
    "distributed in order": lambda T, D: D.DistributedSampler(range(10), 4, 2, shuffle=False),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler_gives_the_order_of_torch(name):
    def scenario(T, D):
        sampler = SAMPLERS[name](T, D)
        orders = passes(sampler)
        generator = getattr(sampler, "generator", None)
        return len(sampler), orders, None if generator is None else T.rand(2, generator=generator)

    assert_same(scenario)


def test_distributed_sampler_changes_with_the_epoch_as_in_torch():
    def scenario(T, D):
        sampler = D.DistributedSampler(range(20), 2, 0)
        orders = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            orders.append(list(sampler))
        return orders

    assert_same(scenario)


LENGTHS = [[20, 3], [23], [0, 23], [20, 4], [1.0], [0.5, 0.5], [0.3, 0.3, 0.4], [0.9, 0.1, 0.0], [0.34, 0.56, 0.1], [0.5, 0.3]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_random_split_cuts_as_torch(lengths):
    def scenario(T, D):
        generator = T.Generator().manual_seed(42)
        parts = D.random_split(range(23), lengths), D.random_split(range(23), lengths, generator=generator)
        return [[(len(part), list(part.indices), list(part)) for part in pair] for pair in parts]

    assert_same(scenario)


# ---- batches ------------------------------------------------------------------------------------------------------------------

LOADERS = {
    "plain": lambda T, D: D.DataLoader(table(T)),
    "batches": lambda T, D: D.DataLoader(table(T), 5),
    "shuffle": lambda T, D: D.DataLoader(table(T), batch_size=5, shuffle=True),
    "drop_last": lambda T, D: D.DataLoader(table(T), batch_size=5, shuffle=True, drop_last=True),
    "generator": lambda T, D: D.DataLoader(table(T), batch_size=5, shuffle=True, generator=T.Generator().manual_seed(2)),
    "generator without shuffle": lambda T, D: D.DataLoader(table(T), batch_size=5, generator=T.Generator().manual_seed(2)),
    "no batching": lambda T, D: D.DataLoader(table(T), batch_size=None, shuffle=True),
    "sampler": lambda T, D: D.DataLoader(table(T), 4, sampler=D.SubsetRandomSampler(range(3, 12))),
    "sampler list": lambda T, D: D.DataLoader(table(T), 4, sampler=[3, 1, 2, -1, 0]),
    "eager sampler without batching": lambda T, D: D.DataLoader(table(T), None, sampler=Eager(T)),
    "eager sampler": lambda T, D: D.DataLoader(table(T), 3, sampler=Eager(T)),
    "eager batch sampler": lambda T, D: D.DataLoader(table(T), batch_sampler=EagerPairs(T)),
    "batch_sampler": lambda T, D: D.DataLoader(table(T), batch_sampler=D.BatchSampler(D.RandomSampler(range(9)), 4, True)),
    "batch_sampler list": lambda T, D: D.DataLoader(table(T), batch_sampler=[[0, 1], [2], [5, 5, 5]]),
    "subset": lambda T, D: D.DataLoader(D.Subset(D.Subset(table(T), [4, 9, 2, 7]), [3, 0, 1]), 2, shuffle=True),
    "split": lambda T, D: D.DataLoader(D.random_split(table(T), [0.8, 0.2])[0], 6, shuffle=True),
    "concat": lambda T, D: D.DataLoader(table(T, 3) + table(T, 4), 2, shuffle=True),
    "stack": lambda T, D: D.DataLoader(D.StackDataset(range(6), table(T, 6)), 4, shuffle=True),
    "stack dict": lambda T, D: D.DataLoader(D.StackDataset(a=range(6), b=D.Subset(table(T), range(6))), 4, shuffle=True),
    "list": lambda T, D: D.DataLoader([1, 2, 3], 2, shuffle=True),
    "dicts": lambda T, D: D.DataLoader([{"a": i, "b": [i, 0.5]} for i in range(5)], 2),
    "collate_fn": lambda T, D: D.DataLoader(list("abcdefg"), 3, collate_fn="".join),
    "empty": lambda T, D: D.DataLoader([], 3),
    "empty shuffled": lambda T, D: D.DataLoader([], 3, shuffle=True),
    "augmented": lambda T, D: D.DataLoader(augmented(T), 3, shuffle=True),
    "pinned": lambda T, D: D.DataLoader(table(T), 5, pin_memory=True),
    "stream": lambda T, D: D.DataLoader(stream(T, 7), 3),
    "stream full": lambda T, D: D.DataLoader(stream(T, 7), 3, drop_last=True),
    "stream exact": lambda T, D: D.DataLoader(stream(T, 6), 3),
    "stream singles": lambda T, D: D.DataLoader(stream(T, 4), None),
    "stream empty": lambda T, D: D.DataLoader(stream(T, 0), 2),
    "chain": lambda T, D: D.DataLoader(stream(T, 4) + stream(T, 3), 3),
}


class Eager:
    """A sampler that draws when it is asked for its iterator, not at the first index."""

    def __init__(self, T):
        self.T = T

    def __iter__(self):
        return iter(self.T.randperm(7).tolist())

    def __len__(self):
        return 7


class EagerPairs(Eager):
    def __iter__(self):
        return iter(self.T.randperm(8).reshape(4, 2).tolist())

    def __len__(self):
        return 4


def augmented(T, n=11):
    """A dataset that draws from all three global streams, and notes the worker it runs in."""

    class Augmented(T.utils.data.Dataset):
        factor = 1.0

        def __len__(self):
            return n

        def __getitem__(self, index):
            info = T.utils.data.get_worker_info()
            worker = None if info is None else (info.id, info.num_workers, info.seed, info.dataset is self)
            draws = T.rand(2) * self.factor, random.random(), np.random.rand()
            return [index, *draws, str(worker)]

    return Augmented()


def stream(T, n, sharded=False):
    class Stream(T.utils.data.IterableDataset):
        limit = n

        def __iter__(self):
            info = T.utils.data.get_worker_info()
            first, step = (info.id, info.num_workers) if sharded and info is not None else (0, 1)
            for i in range(first, self.limit, step):
                yield i, T.rand(1)

        def __len__(self):
            return self.limit

    return Stream()


@pytest.mark.parametrize("name", LOADERS)
def test_loader_gives_the_batches_of_torch(name):
    def scenario(T, D):
        loader = LOADERS[name](T, D)
        return len(loader), len(iter(loader)) if "stream" not in name and name != "chain" else None, passes(loader)

    assert_same(scenario)


def test_generator_of_a_loader_is_left_where_torch_leaves_it():
    def scenario(T, D):
        generator = T.Generator().manual_seed(2)
        passes(D.DataLoader(table(T), 5, shuffle=True, generator=generator))
        return T.rand(2, generator=generator)

    assert_same(scenario)


def test_draws_between_batches_do_not_change_the_order():
    def scenario(T, D):
        result = []
        for _ in range(2):
            for batch in D.DataLoader(table(T), 5, shuffle=True):
                result += [batch, T.rand(1)]
        return result

    assert_same(scenario)


@pytest.mark.parametrize("replacement", [True, False])
def test_sampler_draws_ahead_as_far_as_torch(replacement):
    def scenario(T, D):
        generator = T.Generator().manual_seed(3)
        sampler = D.RandomSampler(range(40), replacement, 100, generator)
        return [(index, T.rand(1, generator=generator)) for index in sampler]

    assert_same(scenario)


def test_two_passes_at_once_are_as_in_torch():
    def scenario(T, D):
        loader = D.DataLoader(table(T, 6), 2, shuffle=True)
        return list(zip(loader, loader)), [list(itertools.islice(loader, 1)) for _ in range(2)]

    assert_same(scenario)


def test_exhausted_pass_stays_exhausted():
    def scenario(T, D):
        batches = iter(D.DataLoader(table(T, 3), 2))
        return list(batches), list(batches), next(batches, "over")

    assert_same(scenario)


# ---- workers: torch starts processes, so these take a second each --------------------------------------------------------------


def set_factor(T):
    def init(worker_id):
        info = T.utils.data.get_worker_info()
        info.dataset.factor = 10.0 ** (worker_id + 1)
        T.rand(worker_id)

    return init


WORKERS = {
    "augmented": lambda T, D: D.DataLoader(augmented(T), 3, shuffle=True, num_workers=2),
    "init": lambda T, D: D.DataLoader(
        augmented(T), 2, num_workers=2, worker_init_fn=set_factor(T), generator=T.Generator().manual_seed(5)
    ),
    "persistent": lambda T, D: D.DataLoader(augmented(T), 3, shuffle=True, num_workers=2, persistent_workers=True),
    "eager": lambda T, D: D.DataLoader(table(T), None, sampler=Eager(T), num_workers=1),
    "eager persistent": lambda T, D: D.DataLoader(table(T), 2, sampler=Eager(T), num_workers=2, persistent_workers=True),
    "batch_sampler": lambda T, D: D.DataLoader(
        augmented(T), batch_sampler=D.BatchSampler(D.RandomSampler(range(11)), 4, True), num_workers=2, prefetch_factor=1
    ),
    "nested": lambda T, D: D.DataLoader([{"a": i, "b": (T.ones(3) * i, "s", [0.5])} for i in range(7)], 3, num_workers=2),
    "large": lambda T, D: D.DataLoader(D.TensorDataset(T.arange(3 * 20000).reshape(3, 20000)), 1, shuffle=True, num_workers=2),
    "collate_fn": lambda T, D: D.DataLoader(list("abcdefg"), 3, collate_fn="".join, num_workers=2),
    "empty": lambda T, D: D.DataLoader([], 3, num_workers=2),
    "fewer batches than workers": lambda T, D: D.DataLoader(table(T, 3), 4, num_workers=2, timeout=60),
    "out of order of one worker": lambda T, D: D.DataLoader(augmented(T), 2, num_workers=1, in_order=False),
    "stream persistent": lambda T, D: D.DataLoader(stream(T, 7, sharded=True), 2, num_workers=2, persistent_workers=True),
    "stream singles": lambda T, D: D.DataLoader(stream(T, 5, sharded=True), None, num_workers=2),
    "stream full": lambda T, D: D.DataLoader(stream(T, 7), 3, num_workers=2, drop_last=True),
    "stream repeated": lambda T, D: D.DataLoader(stream(T, 5), 2, num_workers=2),
    "stream sharded": lambda T, D: D.DataLoader(stream(T, 7, sharded=True), 2, num_workers=2, prefetch_factor=1),
}


@pytest.mark.parametrize("name", WORKERS)
def test_workers_give_the_batches_of_torch(name):
    def scenario(T, D):
        loader = WORKERS[name](T, D)
        return len(loader), passes(loader, 2)

    assert_same(scenario)


def random_loader(T, D, seed):
    """A loader with arguments drawn at random; the same for both packages."""
    pick = random.Random(seed).choice
    n, generator = pick([1, 5, 12]), pick([None, T.Generator().manual_seed(seed)])
    dataset = pick([lambda: augmented(T, n), lambda: D.ConcatDataset([table(T, n), table(T, 3)]),
                    lambda: D.Subset(augmented(T, 20), range(n, -1, -1)), lambda: D.StackDataset(a=table(T, n), b=list(range(n))),
                    lambda: D.random_split(table(T, 20), [0.5, 0.3, 0.2])[1]])()
    size = len(dataset)
    order = pick([
        dict, lambda: {"shuffle": True}, lambda: {"sampler": D.RandomSampler(dataset, True, pick([None, 40]), generator)},
        lambda: {"sampler": D.RandomSampler(dataset, num_samples=pick([3, 2 * size]), generator=generator)},
        lambda: {"sampler": D.WeightedRandomSampler([pick([0.5, 1, 2]) for _ in range(size)], size, pick([True, False]), generator)},
        lambda: {"sampler": D.SubsetRandomSampler(list(range(0, size, 2)), generator)},
        lambda: {"sampler": D.DistributedSampler(dataset, 3, pick([0, 1, 2]), pick([True, False]), seed, pick([True, False]))},
        lambda: {"batch_sampler": D.BatchSampler(D.RandomSampler(dataset, generator=generator), 3, pick([True, False]))},
    ])()
    if "batch_sampler" not in order:
        order["batch_size"] = pick([None, 1, 2, 5])
    workers = {"num_workers": 2, "persistent_workers": pick([True, False]), "prefetch_factor": pick([1, 2, 4])} if pick([True, False, False]) else {}
    return D.DataLoader(dataset, generator=pick([None, generator]), **order, **workers)


@pytest.mark.parametrize("seed", range(200 if os.environ.get("MYTORCH_FULL") == "1" else 25))
def test_any_loader_gives_the_batches_of_torch(seed):
    def scenario(T, D):
        loader = random_loader(T, D, seed)
        result = [len(loader)]
        for epoch in range(3):
            if hasattr(loader.sampler, "set_epoch"):
                loader.sampler.set_epoch(epoch)
            result.append(list(itertools.islice(loader, [None, 1, None][epoch])))
        return result

    assert_same(scenario)


def test_sampler_is_asked_ahead_as_in_torch():
    def scenario(T, D):
        asked = []

        class Noting(D.Sampler):
            def __iter__(self):
                for i in range(8):
                    asked.append(i)
                    yield i

        loader = D.DataLoader(table(T), 1, sampler=Noting(), num_workers=1, prefetch_factor=3)
        batches = iter(loader)
        trail = [len(asked)]
        for _ in range(8):
            next(batches)
            trail.append(len(asked))
        return trail

    assert_same(scenario)


class OwnError(Exception):
    pass


class OddError(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)


def failing(T, error):
    class Failing(T.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            if index == 3:
                raise error
            return index

    return Failing()


def failing_stream(T):
    class Failing(T.utils.data.IterableDataset):
        def __iter__(self):
            yield 1
            raise OwnError("dry")

    return Failing()


def refuse(worker_id):
    raise OwnError("no start")


def die(worker_id):
    time.sleep(0.2)  # until the parent waits for a batch: torch's handler of SIGCHLD raises wherever the parent is
    os.kill(os.getpid(), signal.SIGKILL)


WORKER_ERRORS = {
    **{
        repr(error): (lambda T, D, error=error: D.DataLoader(failing(T, error), 2, num_workers=2))
        for error in (ValueError("odd"), KeyError("odd"), IndexError(), OwnError("odd"), OddError(3, "odd"), StopIteration(), OSError(2, "odd"))
    },
    "stream": lambda T, D: D.DataLoader(failing_stream(T), 2, num_workers=1),
    "init": lambda T, D: D.DataLoader(table(T), 2, num_workers=1, worker_init_fn=refuse),
    "collate": lambda T, D: D.DataLoader(table(T), 2, num_workers=1, collate_fn=refuse),
    "uneven": lambda T, D: D.DataLoader([T.ones(1), T.ones(2)], 2, num_workers=1),
    "kill": lambda T, D: D.DataLoader(table(T), 2, num_workers=1, worker_init_fn=die),
}


# torch's handler of SIGCHLD raises anew in whatever runs when a second signal comes: at times in its own iterator's destructor.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function _MultiProcessingDataLoaderIter.__del__:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", WORKER_ERRORS)
def test_error_in_a_worker_is_raised_as_in_torch(name):
    def scenario(T, D):
        seen, batches = [], iter(WORKER_ERRORS[name](T, D))
        while len(seen) < 9:
            try:
                seen.append(next(batches))
            except StopIteration as error:
                seen.append(f"over {str(error).splitlines()[:1]}")
                break
            except Exception as error:
                seen.append((type(error).__name__, re.sub(r"pid(\(s\))? \d+.*|exited unexpectedly.*", "", str(error).splitlines()[0])))
                if name in ("kill", "init"):
                    break
        return seen

    assert_same(scenario)


# ---- collate ------------------------------------------------------------------------------------------------------------------

BATCHES = {
    "floats": lambda T: [1.0, 2.5],
    "float then int": lambda T: [1.0, 2],
    "int then float": lambda T: [1, 2.5],
    "ints": lambda T: [1, 2],
    "bools": lambda T: [True, False],
    "strings": lambda T: ["a", "b"],
    "bytes": lambda T: [b"a", b"b"],
    "tensors": lambda T: [T.ones(2, 3), T.zeros(2, 3)],
    "0-d tensors": lambda T: [T.tensor(1), T.tensor(2)],
    "bool tensors": lambda T: [T.tensor([True]), T.tensor([False])],
    "arrays": lambda T: [np.ones((2, 2)), np.zeros((2, 2))],
    "int16 arrays": lambda T: [np.array([1, 2], np.int16)] * 2,
    "0-d arrays": lambda T: [np.array(1.5), np.array(2.5)],
    "float32 scalars": lambda T: [np.float32(1), np.float32(2)],
    "float64 scalars": lambda T: [np.float64(1), np.float64(2)],
    "int32 scalars": lambda T: [np.int32(1), np.int32(2)],
    "bool scalars": lambda T: [np.bool_(True), np.bool_(False)],
    "float16 scalars": lambda T: [np.float16(1.5)],
    "uint8 scalars": lambda T: [np.uint8(3)],
    "lists": lambda T: [[1, 2.0], [3, 4.0]],
    "tuples": lambda T: [(1, "a"), (3, "b")],
    "named": lambda T: [Point(1, 2.0), Point(3, 4.0)],
    "dicts": lambda T: [{"a": 1, "b": T.ones(1)}, {"a": 2, "b": T.zeros(1)}],
    "ordered": lambda T: [collections.OrderedDict(a=1), collections.OrderedDict(a=2)],
    "ranges": lambda T: [range(2), range(2)],
    "nested": lambda T: [{"x": (1, [2.0, {"y": "s"}])}] * 2,
    "string arrays": lambda T: [np.array(["a"])],
    "object arrays": lambda T: [np.array([None])],
    "string scalars": lambda T: [np.str_("a")],
    "uneven tensors": lambda T: [T.ones(2), T.ones(3)],
    "uneven lists": lambda T: [[1], [1, 2]],
    "none": lambda T: [None],
    "complex": lambda T: [1 + 2j],
    "sets": lambda T: [{1}],
    "nothing": lambda T: [],
}


@pytest.mark.parametrize("name", BATCHES)
def test_collate_joins_as_torch(name):
    assert_same(lambda T, D: D.default_collate(BATCHES[name](T)))


@pytest.mark.parametrize("name", [name for name in BATCHES if name != "nothing"])
def test_convert_turns_as_torch(name):
    assert_same(lambda T, D: D.default_convert(BATCHES[name](T)[0]))


def test_gradients_pass_through_collate_as_in_torch():
    def scenario(T, D):
        x = T.ones(4, 2, requires_grad=True)
        for (batch,) in D.DataLoader(D.TensorDataset(x), 3):
            (batch * batch).sum().backward()
        return x.grad

    assert_same(scenario)


# ---- errors -------------------------------------------------------------------------------------------------------------------

ERRORS = {
    "num_workers": lambda T, D: D.DataLoader([1], num_workers=-1),
    "timeout": lambda T, D: D.DataLoader([1], timeout=-1),
    "timeout alone": lambda T, D: list(D.DataLoader([1], timeout=1)),
    "prefetch alone": lambda T, D: D.DataLoader([1], prefetch_factor=2),
    "prefetch negative": lambda T, D: D.DataLoader([1], num_workers=1, prefetch_factor=-1),
    "persistent": lambda T, D: D.DataLoader([1], persistent_workers=True),
    "context alone": lambda T, D: D.DataLoader([1], multiprocessing_context="fork"),
    "context unknown": lambda T, D: D.DataLoader([1], num_workers=1, multiprocessing_context="spoon"),
    "context odd": lambda T, D: D.DataLoader([1], num_workers=1, multiprocessing_context=3),
    "batch_size": lambda T, D: D.DataLoader([1], batch_size=0),
    "batch_size odd": lambda T, D: D.DataLoader([1], batch_size=1.5),
    "batch_size bool": lambda T, D: D.DataLoader([1], batch_size=True),
    "sampler and shuffle": lambda T, D: D.DataLoader([1], sampler=[0], shuffle=True),
    "batch_sampler and size": lambda T, D: D.DataLoader([1], batch_sampler=[[0]], batch_size=2),
    "batch_sampler and drop": lambda T, D: D.DataLoader([1], batch_sampler=[[0]], drop_last=True),
    "batch_sampler and sampler": lambda T, D: D.DataLoader([1], batch_sampler=[[0]], sampler=[0]),
    "drop without batches": lambda T, D: D.DataLoader([1], batch_size=None, drop_last=True),
    "drop odd": lambda T, D: D.DataLoader([1], drop_last=2),
    "stream shuffle": lambda T, D: D.DataLoader(stream(T, 3), shuffle=True),
    "stream sampler": lambda T, D: D.DataLoader(stream(T, 3), sampler=[0]),
    "stream batch_sampler": lambda T, D: D.DataLoader(stream(T, 3), batch_sampler=[[0]]),
    "stream iterator length": lambda T, D: len(iter(D.DataLoader(stream(T, 3)))),
    "no length": lambda T, D: len(D.DataLoader([1, 2], sampler=iter([0, 1]))),
    "set dataset": lambda T, D: setattr(D.DataLoader([1]), "dataset", [2]),
    "set batch_size": lambda T, D: setattr(D.DataLoader([1]), "batch_size", 2),
    "set persistent": lambda T, D: setattr(D.DataLoader([1]), "persistent_workers", True),
    "dataset item": lambda T, D: D.Dataset()[0],
    "dataset length": lambda T, D: len(D.Dataset()),
    "sampler iterator": lambda T, D: iter(D.Sampler()),
    "abstract stream": lambda T, D: D.IterableDataset(),
    "tensor sizes": lambda T, D: D.TensorDataset(T.ones(2), T.ones(3)),
    "no concat": lambda T, D: D.ConcatDataset([]),
    "concat stream": lambda T, D: D.ConcatDataset([stream(T, 2)]),
    "concat index": lambda T, D: D.ConcatDataset([[1, 2], [3]])[5],
    "concat negative": lambda T, D: D.ConcatDataset([[1, 2], [3]])[-4],
    "chain lists": lambda T, D: list(D.ChainDataset([[1]])),
    "chain lists length": lambda T, D: len(D.ChainDataset([[1]])),
    "no stack": lambda T, D: D.StackDataset(),
    "mixed stack": lambda T, D: D.StackDataset([1], a=[2]),
    "stack sizes": lambda T, D: D.StackDataset([1], [2, 3]),
    "subset index": lambda T, D: D.Subset([1, 2], [0])[1],
    "fraction": lambda T, D: D.random_split(range(10), [-0.5, 1.5]),
    "lengths": lambda T, D: D.random_split(range(10), [5, 6]),
    "replacement": lambda T, D: D.RandomSampler([1], replacement=1),
    "num_samples": lambda T, D: D.RandomSampler([1], num_samples=0),
    "num_samples odd": lambda T, D: D.RandomSampler([1], num_samples=1.5),
    "empty random": lambda T, D: D.RandomSampler([]),
    "weights": lambda T, D: D.WeightedRandomSampler([[1.0]], 1),
    "weighted samples": lambda T, D: D.WeightedRandomSampler([1.0], 0),
    "weighted replacement": lambda T, D: D.WeightedRandomSampler([1.0], 1, replacement=1),
    "weighted too few": lambda T, D: list(D.WeightedRandomSampler([1.0], 2, replacement=False)),
    "weighted negative": lambda T, D: list(D.WeightedRandomSampler([1.0, -1.0], 2)),
    "rank": lambda T, D: D.DistributedSampler([1], 2, 2),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_has_the_class_of_torch(name):
    expected = outcome(ERRORS[name], torch)
    assert isinstance(expected, str), f"torch raises nothing: {expected}"
    assert outcome(ERRORS[name], mytorch) == expected


def test_subset_that_overrides_one_of_two_is_refused_as_in_torch():
    def scenario(T, D):
        class Odd(D.Subset):
            def __getitem__(self, index):
                return 0

        return Odd([1], [0])

    assert outcome(scenario, mytorch) == outcome(scenario, torch) == "NotImplementedError"
