"""The DataLoader: order, batches, options."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mytorch
from mytorch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Subset, TensorDataset
from mytorch.utils.data.collate import default_collate_fn_map


class Stream(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


class Rows(Dataset):
    """A dataset that is asked row by row."""

    def __init__(self, *tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors[0])

    def __getitem__(self, index):
        return tuple(tensor[index] for tensor in self.tensors)


def numbers(loader):
    return [batch.tolist() for batch in loader]


def test_seed_zero_gives_the_batches_of_torch_pass_after_pass():
    mytorch.manual_seed(0)
    loader = DataLoader(range(8), batch_size=3, shuffle=True)
    assert numbers(loader) == [[2, 0, 5], [3, 1, 4], [7, 6]]  # torch 2.13, manual_seed(0)
    assert numbers(loader) == [[0, 3, 7], [1, 6, 2], [5, 4]]


def test_length_counts_batches():
    assert len(DataLoader(range(8), 3)) == 3
    assert len(DataLoader(range(8), 3, drop_last=True)) == 2
    assert len(DataLoader(range(8), None)) == 8
    assert len(DataLoader(Stream(8), 3)) == 3
    assert len(DataLoader(Stream(8), 3, drop_last=True)) == 2


def test_batch_is_a_list_of_tensors():
    loader = DataLoader(TensorDataset(mytorch.arange(6).reshape(3, 2), mytorch.arange(3)), 2)
    x, y = next(iter(loader))
    assert (x.tolist(), y.tolist()) == ([[0, 1], [2, 3]], [0, 1])


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: Subset(Subset(d, range(9, -1, -1)), [3, 1, 8])])
def test_rows_taken_at_once_equal_rows_taken_one_by_one(wrap):
    tensors = mytorch.rand(10, 2, 3), mytorch.arange(10), mytorch.rand(10).to(mytorch.bfloat16)
    batches = []
    for dataset in (TensorDataset(*tensors), Rows(*tensors)):
        mytorch.manual_seed(1)
        batches.append([[part.tolist() for part in batch] for batch in DataLoader(wrap(dataset), 4, shuffle=True)])
    assert batches[0] == batches[1]


def test_batch_owns_its_memory():
    x = mytorch.zeros(4)
    (batch,) = next(iter(DataLoader(TensorDataset(x), 4)))
    batch += 1
    assert x.tolist() == [0.0] * 4


def test_override_of_one_row_is_honoured():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * part for part in super().__getitem__(index))

    (batch,) = next(iter(DataLoader(Doubled(mytorch.arange(3)), 3)))
    assert batch.tolist() == [0, 2, 4]


def test_changed_collate_rule_is_honoured_for_rows_of_tensors(monkeypatch):
    monkeypatch.setitem(default_collate_fn_map, mytorch.Tensor, lambda batch, *, collate_fn_map: len(batch))
    assert next(iter(DataLoader(TensorDataset(mytorch.arange(3)), 2))) == [2]


def test_gradient_reaches_the_dataset():
    x = mytorch.ones(3, requires_grad=True)
    for (batch,) in DataLoader(TensorDataset(x), 2):
        batch.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_index_out_of_range_is_an_index_error():
    with pytest.raises(IndexError):
        list(DataLoader(TensorDataset(mytorch.ones(2)), batch_sampler=[[0, 5]]))


def test_stream_is_cut_into_batches():
    assert numbers(DataLoader(Stream(5), 2)) == [[0, 1], [2, 3], [4]]
    assert numbers(DataLoader(Stream(5), 2, drop_last=True)) == [[0, 1], [2, 3]]


def test_stream_gives_up_no_sample_too_many():
    class Counting(IterableDataset):
        taken = 0

        def __iter__(self):
            while True:
                self.taken += 1
                yield self.taken

    stream = Counting()
    next(iter(DataLoader(stream, 3)))
    assert stream.taken == 3


def test_stream_longer_than_it_said_warns():
    class Liar(Stream):
        def __len__(self):
            return 1

    loader = DataLoader(Liar(2), None)
    assert len(loader) == 1
    with pytest.warns(UserWarning, match="reported to be 1 .* but 2 samples"):
        list(loader)


def test_pass_that_is_over_stays_over():
    batches = iter(DataLoader(range(2)))
    assert len(list(batches)) == 2
    assert list(batches) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "non-negative"),
        ({"timeout": -1}, "non-negative"),
        ({"prefetch_factor": 2}, "num_workers > 0"),
        ({"num_workers": 1, "prefetch_factor": -1}, "non-negative"),
        ({"persistent_workers": True}, "needs num_workers > 0"),
        ({"multiprocessing_context": "fork"}, "got num_workers=0"),
        ({"sampler": [0], "shuffle": True}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive with batch_size"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive with drop_last"),
        ({"batch_size": 0}, "got batch_size=0"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(range(3), **options)


def test_stream_refuses_an_order():
    with pytest.raises(ValueError, match="unspecified shuffle option, but got shuffle=True"):
        DataLoader(Stream(3), shuffle=True)


@pytest.mark.parametrize("options", [{"timeout": 1}, {"num_workers": 1, "prefetch_factor": 0}])
def test_options_that_cannot_work_fail_at_the_first_pass(options):
    loader = DataLoader(range(3), **options)
    with pytest.raises(AssertionError, match="got"):
        iter(loader)


def test_what_the_sampler_was_built_from_cannot_be_replaced():
    loader = DataLoader(range(3))
    with pytest.raises(ValueError, match="batch_size attribute should not be set"):
        loader.batch_size = 2
    loader.collate_fn = sum
    assert list(loader) == [0, 1, 2]


def test_parts_are_found_under_the_names_of_torch():
    loader = DataLoader(range(3), batch_size=2, shuffle=True, drop_last=True)
    assert isinstance(loader.sampler, RandomSampler)
    assert loader.batch_sampler.sampler is loader.sampler
    assert (loader.batch_size, loader.drop_last, loader.num_workers, loader.prefetch_factor) == (2, True, 0, None)


def test_classes_take_type_arguments():
    class Typed(Dataset[int]):
        pass

    assert issubclass(Typed, Dataset)
    assert DataLoader[int]


def test_import_of_the_package_does_not_load_the_data_room():
    code = "import sys, mytorch.utils; assert 'mytorch.utils.data' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
