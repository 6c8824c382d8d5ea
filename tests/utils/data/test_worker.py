"""Workers, played in the main process."""

from __future__ import annotations

import random

import numpy as np
import pytest

import mytorch
import mytorch.utils.data.dataloader as loaders
from mytorch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info
from mytorch.utils.data.worker import Worker


@pytest.fixture
def announced(monkeypatch):
    monkeypatch.setattr(loaders, "_workers_announced", True)


class Drawing(Dataset):
    offset = 0

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return get_worker_info().id, self.offset, mytorch.rand(1).item()


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, 7, info.num_workers))


def test_workers_are_announced_once(monkeypatch):
    monkeypatch.setattr(loaders, "_workers_announced", False)
    with pytest.warns(UserWarning, match="num_workers=2 starts no processes here") as caught:
        DataLoader(range(3), num_workers=2)
    assert caught[0].filename == __file__
    DataLoader(range(3), num_workers=3)  # a second warning would be an error


def test_no_worker_outside_of_a_pass(announced):
    list(DataLoader(Drawing(), num_workers=2))
    assert get_worker_info() is None


def test_workers_take_turns(announced):
    batches = list(DataLoader(Drawing(), 1, num_workers=2))
    assert [batch[0].item() for batch in batches] == [0, 1, 0, 1, 0, 1]


def test_draws_in_a_worker_leave_the_streams_outside_alone(announced):
    def three():
        return mytorch.rand(1).item(), random.random(), np.random.rand()

    mytorch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    with Worker(0, 1, 5, None, None):
        inside = three()
    outside = three()
    mytorch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    assert three() == outside
    assert inside != outside


def test_worker_goes_on_where_it_was():
    def draws(blocks):
        worker = Worker(0, 1, 5, None, None)
        result = []
        for count in blocks:
            with worker:
                result += mytorch.rand(count).tolist() + [random.random() for _ in range(count)]
            mytorch.rand(3)
        return sorted(result)

    assert draws([4]) == draws([1, 2, 1])


def test_worker_streams_differ_by_number_and_by_pass(announced):
    loader = DataLoader(Drawing(), 1, num_workers=3)
    drawn = [batch[2].item() for _ in range(2) for batch in loader]
    assert len(set(drawn)) == 12


def test_streams_come_back_after_an_error(announced):
    class Failing(Drawing):
        def __getitem__(self, index):
            mytorch.rand(1)
            raise KeyError(index)

    mytorch.manual_seed(0)
    batches = iter(DataLoader(Failing(), num_workers=1))
    before = mytorch.random.get_rng_state().tolist()
    with pytest.raises(KeyError):
        next(batches)
    assert mytorch.random.get_rng_state().tolist() == before
    assert get_worker_info() is None


def test_init_configures_the_copy_of_its_worker_only(announced):
    def init(worker_id):
        get_worker_info().dataset.offset = 10 * worker_id

    dataset = Drawing()
    batches = list(DataLoader(dataset, 1, num_workers=2, worker_init_fn=init))
    assert [batch[1].item() for batch in batches] == [0, 10, 0, 10, 0, 10]
    assert dataset.offset == 0


def test_worker_info_tells_number_count_seed_and_dataset(announced):
    seen = []
    generator = mytorch.Generator().manual_seed(3)
    list(DataLoader(Drawing(), num_workers=2, generator=generator, worker_init_fn=lambda _: seen.append(get_worker_info())))
    assert [(info.id, info.num_workers) for info in seen] == [(0, 2), (1, 2)]
    assert seen[1].seed == seen[0].seed + 1
    assert all(isinstance(info.dataset, Drawing) for info in seen)


def test_sharded_stream_is_read_to_its_end(announced):
    batches = [batch.tolist() for batch in DataLoader(Stream(), 2, num_workers=3)]
    assert batches == [[0, 3], [1, 4], [2, 5], [6]]


def test_dataset_that_refuses_copies_is_shared(announced):
    class Single(Drawing):
        def __copy__(self):
            raise TypeError("one only")

    assert len(list(DataLoader(Single(), num_workers=2))) == 6


@pytest.mark.parametrize(("persistent", "calls"), [(True, [0, 1]), (False, [0, 1, 0, 1])])
def test_persistent_workers_start_once(announced, persistent, calls):
    started = []
    loader = DataLoader(Drawing(), num_workers=2, persistent_workers=persistent, worker_init_fn=started.append)
    assert [len(list(loader)) for _ in range(2)] == [6, 6]
    assert started == calls


def test_start_method_is_checked(announced):
    with pytest.raises(ValueError, match="multiprocessing_context='spoon'"):
        DataLoader(range(3), num_workers=1, multiprocessing_context="spoon")
    with pytest.raises(TypeError, match="multiprocessing_context=3"):
        DataLoader(range(3), num_workers=1, multiprocessing_context=3)
    assert DataLoader(range(3), num_workers=1, multiprocessing_context="spawn").multiprocessing_context == "spawn"
