"""Samplers: orders and their draws."""

from __future__ import annotations

from collections import Counter

import pytest

import mytorch
from mytorch.utils.data import BatchSampler, DistributedSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler


def test_sampler_without_iterator_says_what_to_write():
    with pytest.raises(NotImplementedError, match="__iter__"):
        iter(Sampler())


def test_sequential_sampler_counts():
    assert list(SequentialSampler("abc")) == [0, 1, 2]


def test_random_sampler_draws_as_torch_does():
    mytorch.manual_seed(0)
    assert list(RandomSampler(range(8))) == [2, 5, 4, 6, 1, 7, 0, 3]  # torch 2.13, manual_seed(0)
    assert list(WeightedRandomSampler([1.0, 2.0, 3.0], 6)) == [2, 1, 2, 2, 2, 1]


def test_a_shuffle_moves_the_default_stream_by_one_value_whatever_its_length():
    after = []
    for n in (3, 3000):
        mytorch.manual_seed(0)
        assert sorted(RandomSampler(range(n))) == list(range(n))
        after.append(mytorch.rand(1).item())
    assert after[0] == after[1]


def test_each_pass_has_its_own_order():
    sampler = RandomSampler(range(50))
    assert list(sampler) != list(sampler)


def test_samples_without_replacement_repeat_only_when_all_have_come():
    assert set(Counter(RandomSampler(range(10), num_samples=30)).values()) == {3}
    assert max(Counter(RandomSampler(range(10), num_samples=25)).values()) == 3


def test_samples_with_replacement_repeat():
    drawn = list(RandomSampler(range(10), replacement=True, num_samples=200))
    assert len(drawn) == 200
    assert set(drawn) == set(range(10))
    assert len(set(drawn[:10])) < 10


def test_random_sampler_follows_a_source_that_grows():
    source = [1, 2]
    sampler = RandomSampler(source)
    source.append(3)
    assert len(sampler) == 3
    assert sorted(sampler) == [0, 1, 2]


@pytest.mark.parametrize("num_samples", [0, -1, 1.5])
def test_random_sampler_refuses_a_count_that_is_not_positive(num_samples):
    with pytest.raises(ValueError, match=f"got num_samples={num_samples}"):
        RandomSampler(range(3), num_samples=num_samples)


def test_subset_sampler_permutes_the_given_indices():
    assert sorted(SubsetRandomSampler([9, 4, 7])) == [4, 7, 9]


def test_weights_decide():
    drawn = Counter(WeightedRandomSampler([0.0, 1.0, 3.0], 4000))
    assert drawn[0] == 0
    assert 2.5 < drawn[2] / drawn[1] < 3.5


def test_weighted_sampler_without_replacement_gives_each_once():
    assert sorted(WeightedRandomSampler([0.5, 0.1, 3.0], 3, replacement=False)) == [0, 1, 2]


def test_weights_that_require_a_gradient_can_be_drawn_from():
    weights = mytorch.ones(3, dtype=mytorch.float64, requires_grad=True)
    assert len(list(WeightedRandomSampler(weights, 5))) == 5


def test_weights_need_one_dimension():
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        WeightedRandomSampler([[1.0, 2.0]], 1)


def test_batches_keep_or_drop_the_rest():
    assert list(BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert len(BatchSampler(range(7), 3, False)) == 3
    assert len(BatchSampler(range(7), 3, True)) == 2


@pytest.mark.parametrize("batch_size", [0, -2, 1.5, True])
def test_batch_size_must_be_positive(batch_size):
    with pytest.raises(ValueError, match=f"got batch_size={batch_size}"):
        BatchSampler(range(3), batch_size, False)


def test_replicas_cover_the_dataset():
    parts = [list(DistributedSampler(range(10), 4, rank)) for rank in range(4)]
    assert [len(part) for part in parts] == [3, 3, 3, 3]
    assert set().union(*parts) == set(range(10))


def test_replicas_may_drop_the_tail():
    parts = [list(DistributedSampler(range(10), 4, rank, shuffle=False, drop_last=True)) for rank in range(4)]
    assert parts == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_replica_without_a_rank_says_what_to_pass():
    with pytest.raises(RuntimeError, match="pass num_replicas and rank"):
        DistributedSampler(range(3))


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_drawn_from_no_weights(count):
    with pytest.raises(RuntimeError, match=r"invalid multinomial distribution \(sum of probabilities <= 0\)"):
        list(WeightedRandomSampler([], count))
