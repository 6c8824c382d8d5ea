"""Embedding, bags, one-hot: which rows are read, where gradients go, errors."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch.autograd import gradcheck, gradgradcheck
from mytorch.nn import functional as F


def table(requires_grad=True):
    return mytorch.tensor(np.random.default_rng(0).standard_normal((5, 3)), requires_grad=requires_grad)


def test_rows_are_read_and_gradients_add_up_in_them():
    w = table()
    y = F.embedding(mytorch.tensor([[1, 4], [1, 1]]), w)
    assert mytorch.equal(y[0, 1], w[4])
    y.sum().backward()
    assert w.grad.tolist() == [[0] * 3, [3] * 3, [0] * 3, [0] * 3, [1] * 3]


def test_the_padding_row_is_read_but_gets_no_gradient():
    w = table()
    y = F.embedding(mytorch.tensor([0, 3]), w, padding_idx=-2)
    assert mytorch.equal(y[1], w[3])
    y.sum().backward()
    assert w.grad.sum(1).tolist() == [3, 0, 0, 0, 0]


def test_scaling_by_frequency_divides_by_how_often_a_row_occurs():
    w = table()
    F.embedding(mytorch.tensor([2, 2, 2, 0]), w, scale_grad_by_freq=True).sum().backward()
    np.testing.assert_allclose(w.grad.sum(1).numpy(), [3, 0, 3, 0, 0])


def test_long_rows_are_scaled_down_in_place_when_read():
    w = mytorch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    y = F.embedding(mytorch.tensor([0, 1, 0]), w, max_norm=1.0)
    np.testing.assert_allclose(w.numpy(), [[0.6, 0.8], [0.3, 0.4], [6, 8]], 1e-6)
    assert mytorch.equal(y, w[mytorch.tensor([0, 1, 0])])
    assert w._version == 1


OPTIONS = [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True}]


@pytest.mark.parametrize("options", OPTIONS)
def test_derivatives_of_every_order_are_right(options):
    index = mytorch.tensor([[0, 2], [2, 4]])  # not the padding row, whose gradient is not the derivative
    if "scale_grad_by_freq" not in options:  # this option, too, changes the gradient on purpose
        assert gradcheck(lambda w: F.embedding(index, w, **options), table())
    assert gradgradcheck(lambda w: F.embedding(index, w).pow(2), table())


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_bag_reduces_the_rows_it_holds(mode):
    w = table(False)
    y = F.embedding_bag(mytorch.tensor([0, 2, 4, 1]), w, mytorch.tensor([0, 3, 3]), mode=mode)
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    np.testing.assert_allclose(y[0].numpy(), reduce(w.numpy()[[0, 2, 4]], axis=0))
    assert y[1].tolist() == [0, 0, 0]  # an empty bag
    assert mytorch.equal(y[2], w[1])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_have_right_derivatives(mode):
    index, offsets = mytorch.tensor([0, 2, 4, 1, 2]), mytorch.tensor([0, 3, 3])
    assert gradcheck(lambda w: F.embedding_bag(index, w, offsets, mode=mode), table())
    assert gradgradcheck(lambda w: F.embedding_bag(index, w, offsets, mode=mode).pow(2), table())


def test_one_hot_marks_the_class():
    assert F.one_hot(mytorch.tensor([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert F.one_hot(mytorch.tensor([1]), 3).dtype is mytorch.int64


INDEX = mytorch.tensor([0, 1])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda w: F.embedding(mytorch.tensor([5]), w), IndexError, "index out of range in self: embedding was asked for row 5 of 5"),
        (lambda w: F.embedding(mytorch.tensor([-1]), w), IndexError, "row -1"),
        (lambda w: F.embedding(mytorch.tensor([0.5]), w), RuntimeError, "scalar types: Long, Int; but got torch.FloatTensor"),
        (lambda w: F.embedding(INDEX, w[0]), RuntimeError, "'weight' must be 2-D"),
        (lambda w: F.embedding(INDEX, w, padding_idx=5), AssertionError, "Padding_idx must be within num_embeddings"),
        (lambda w: F.embedding_bag(INDEX, w), ValueError, "offsets has to be a 1D Tensor but got None"),
        (lambda w: F.embedding_bag(INDEX[None], w, INDEX), ValueError, "if input is 2D, then offsets has to be None"),
        (lambda w: F.embedding_bag(INDEX, w, mytorch.tensor([1])), RuntimeError, "offsets[0] has to be 0"),
        (lambda w: F.embedding_bag(INDEX, w, mytorch.tensor([0, 5])), RuntimeError, "offsets[-1] can not be greater than input's length 2"),
        (lambda w: F.embedding_bag(INDEX[None], w, mode="min"), ValueError, "mode has to be one of sum, mean or max"),
        (lambda w: F.embedding_bag(INDEX[None], w, per_sample_weights=INDEX[None]), NotImplementedError, "only supported for mode='sum'"),
        (lambda w: F.one_hot(mytorch.tensor([3]), 2), RuntimeError, "Class values must be smaller than num_classes"),
        (lambda w: F.one_hot(mytorch.tensor([-1])), RuntimeError, "Class values must be non-negative"),
        (lambda w: F.one_hot(mytorch.tensor([1.0])), RuntimeError, "index tensor of type LongTensor"),
        (lambda w: F.one_hot(mytorch.zeros(0, dtype=mytorch.int64)), RuntimeError, "Can not infer total number of classes"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(call, error, text):
    with pytest.raises(error) as caught:
        call(table())
    assert text in str(caught.value)
