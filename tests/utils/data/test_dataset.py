"""Datasets, and the ways to combine and split them."""

from __future__ import annotations

import pytest

import mytorch
from mytorch.utils.data import ChainDataset, ConcatDataset, Dataset, IterableDataset, StackDataset, Subset, TensorDataset, random_split


class Squares(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index * index


class Batched(Squares):
    """Answers whole batches, and remembers that it did."""

    def __init__(self):
        self.requests = []

    def __getitems__(self, indices):
        self.requests.append(list(indices))
        return [index * index for index in indices]


class TenEleven(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return 10 + index


class Stream(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


def test_dataset_without_items_says_what_to_write():
    with pytest.raises(NotImplementedError, match="implement __getitem__"):
        Dataset()[0]


def test_dataset_has_no_length_of_its_own():
    with pytest.raises(TypeError):
        len(Dataset())


def test_tensor_dataset_gives_rows():
    dataset = TensorDataset(mytorch.arange(6).reshape(3, 2), mytorch.tensor([7, 8, 9]))
    x, y = dataset[1]
    assert (x.tolist(), y.item(), len(dataset)) == ([2, 3], 8, 3)


def test_tensor_dataset_names_the_sizes_that_differ():
    with pytest.raises(AssertionError, match=r"Size mismatch between tensors: first sizes \[2, 3\]"):
        TensorDataset(mytorch.ones(2), mytorch.ones(3))


def test_concat_counts_on_and_from_the_end():
    both = Squares() + TenEleven()
    assert isinstance(both, ConcatDataset)
    assert [both[i] for i in range(len(both))] == [0, 1, 4, 9, 16, 10, 11]
    assert both[-1] == 11
    assert both[-7] == 0
    assert both.cumulative_sizes == [5, 7]


def test_concat_refuses_indices_out_of_reach():
    both = ConcatDataset([[1], [2]])
    with pytest.raises(ValueError, match="got -3, length 2"):
        both[-3]
    with pytest.raises(IndexError):
        both[2]


def test_streams_chain():
    both = Stream(2) + Stream(3)
    assert isinstance(both, ChainDataset)
    assert list(both) == [0, 1, 0, 1, 2]
    assert len(both) == 5


def test_streams_and_items_do_not_mix():
    with pytest.raises(AssertionError, match="use ConcatDataset"):
        list(ChainDataset([[1]]))
    with pytest.raises(AssertionError, match="use ChainDataset"):
        ConcatDataset([Stream(1)])


def test_stack_gives_tuples_or_dicts():
    assert StackDataset(Squares(), "abcde")[2] == (4, "c")
    assert StackDataset(x=Squares(), y="abcde")[2] == {"x": 4, "y": "c"}
    assert StackDataset(x=Batched(), y="abcde").__getitems__([1, 3]) == [{"x": 1, "y": "b"}, {"x": 9, "y": "d"}]


def test_stack_notices_a_part_that_answers_too_little():
    class Short(Squares):
        def __getitems__(self, indices):
            return [0]

    with pytest.raises(ValueError, match="Expected 2, got 1"):
        StackDataset(Short()).__getitems__([0, 1])


def test_stack_names_the_lengths_that_differ():
    with pytest.raises(ValueError, match=r"lengths \[5, 2\]"):
        StackDataset(Squares(), [1, 2])


def test_subset_maps_indices():
    subset = Subset(Squares(), [4, 2])
    assert (len(subset), subset[0], subset[1]) == (2, 16, 4)
    assert subset.__getitems__([1, 0]) == [4, 16]


def test_subset_of_a_subset_asks_for_the_batch_once():
    inner = Batched()
    assert Subset(Subset(inner, [4, 3, 2]), [2, 0]).__getitems__([0, 1]) == [4, 16]
    assert inner.requests == [[2, 4]]


def test_subset_with_half_an_override_says_how_to_write_the_other():
    class Odd(Subset):
        def __getitem__(self, index):
            return 0

    with pytest.raises(NotImplementedError, match="def __getitems__"):
        Odd([1], [0])


def test_random_split_is_a_partition():
    parts = random_split(Squares(), [2, 3])
    assert [len(part) for part in parts] == [2, 3]
    assert sorted([*parts[0], *parts[1]]) == [0, 1, 4, 9, 16]


def test_random_split_draws_as_torch_does():
    mytorch.manual_seed(0)
    assert random_split(range(6), [4, 2])[0].indices == [2, 5, 3, 0]  # torch 2.13, manual_seed(0)


def test_fractions_deal_what_is_left_to_the_first_parts():
    assert [len(part) for part in random_split(range(10), [0.34, 0.33, 0.33])] == [4, 3, 3]


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="split at index 1 is 0"):
        random_split(range(3), [1.0, 0.0])


def test_random_split_says_what_does_not_add_up():
    with pytest.raises(ValueError, match="add up to 6, the dataset has 5"):
        random_split(Squares(), [3, 3])
    with pytest.raises(ValueError, match=r"index 0 is not between 0 and 1: got -0\.5"):
        random_split(Squares(), [-0.5, 1.5])
