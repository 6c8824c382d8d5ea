"""Pooling: values by their definition, which element gets the gradient, NaN, edges, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import mytorch
from mytorch.autograd import gradcheck, gradgradcheck
from mytorch.nn import functional as F

NAN, INF = float("nan"), float("inf")


def draw(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape)


def windows(x, kernel, stride, padding, dilation=1):
    """The real elements of each window of one image plane, with the place of the window."""
    height, width = x.shape
    for i, j in itertools.product(range((height + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1),
                                  range((width + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)):
        rows = [r for r in (i * stride - padding + dilation * k for k in range(kernel)) if 0 <= r < height]
        columns = [c for c in (j * stride - padding + dilation * k for k in range(kernel)) if 0 <= c < width]
        yield i, j, x[np.ix_(rows, columns)]


GEOMETRIES = [(2, 2, 0, 1), (3, 2, 1, 1), (2, 1, 1, 2), (3, 3, 0, 1), (5, 1, 2, 1)]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES)
def test_max_pool_takes_the_largest_of_each_window(kernel, stride, padding, dilation):
    x = draw(7, 8)
    for t in (mytorch.tensor(x), mytorch.tensor(x, requires_grad=True)):  # without and with the places of the maxima
        y = F.max_pool2d(t[None], kernel, stride, padding, dilation)[0].detach().numpy()
        for i, j, window in windows(x, kernel, stride, padding, dilation):
            assert y[i, j] == window.max()


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_avg_pool_divides_by_the_window_or_by_its_real_elements(kernel, stride, padding):
    x = draw(7, 8)
    t = mytorch.tensor(x)[None]
    whole = F.avg_pool2d(t, kernel, stride, padding)[0].numpy()
    real = F.avg_pool2d(t, kernel, stride, padding, count_include_pad=False)[0].numpy()
    for i, j, window in windows(x, kernel, stride, padding):
        np.testing.assert_allclose(whole[i, j], window.sum() / kernel**2)
        np.testing.assert_allclose(real[i, j], window.mean())


def test_adaptive_windows_cover_the_input_evenly():
    x = mytorch.arange(7.0).reshape(1, 1, 7)
    assert F.adaptive_avg_pool1d(x, 3).tolist() == [[[1.0, 3.0, 5.0]]]  # 0-2, 2-4, 4-6
    assert F.adaptive_max_pool1d(x, 3).tolist() == [[[2.0, 4.0, 6.0]]]
    assert F.adaptive_avg_pool1d(x, 0).shape == (1, 1, 0)


def test_of_equal_elements_the_first_gets_the_gradient():
    x = mytorch.zeros(1, 1, 2, 4, requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0]]]]


def test_an_element_in_several_windows_gets_the_sum_of_their_gradients():
    x = mytorch.tensor([[[0.0, 5.0, 1.0]]], requires_grad=True)
    F.max_pool1d(x, 2, 1).sum().backward()
    assert x.grad.tolist() == [[[0, 2, 0]]]


def test_nan_wins_in_max_pool():
    x = mytorch.tensor([[[1.0, NAN, 2.0, 3.0]]], requires_grad=True)
    y = F.max_pool1d(x, 2)
    y.sum().backward()
    assert np.isnan(y.tolist()[0][0][0])
    assert y.tolist()[0][0][1] == 3
    assert x.grad.tolist() == [[[0, 1, 0, 1]]]
    with mytorch.no_grad():
        assert F.max_pool1d(x, 2).isnan().tolist() == [[[True, False]]]


def test_padding_never_wins_over_minus_infinity():
    x = mytorch.full((1, 1, 3), -INF, requires_grad=True)
    y, indices = F.max_pool1d(x, 3, 1, 1, return_indices=True)
    y.backward(mytorch.ones(1, 1, 3))
    assert indices.tolist() == [[[0, 0, 1]]]
    assert x.grad.tolist() == [[[2, 1, 0]]]


def test_an_infinite_gradient_stays_where_it_belongs():
    x = mytorch.tensor([[[1.0, 2.0, 4.0, 3.0]]], requires_grad=True)
    F.max_pool1d(x, 2).backward(mytorch.tensor([[[INF, 1.0]]]))
    assert x.grad.tolist() == [[[0, INF, 1, 0]]]


def test_unpool_puts_values_back_where_the_indices_say():
    x = mytorch.tensor([[[1.0, 4.0, 3.0, 2.0]]])
    y, indices = F.max_pool1d(x, 2, return_indices=True)
    assert indices.dtype is mytorch.int64
    assert F.max_unpool1d(y, indices, 2).tolist() == [[[0, 4, 3, 0]]]
    assert F.max_unpool1d(y, indices, 2, output_size=(5,)).shape == (1, 1, 5)


def test_windows_with_more_than_256_positions_keep_their_places():
    x = np.zeros((1, 1, 20, 20))
    x[0, 0, 19, 18] = 1
    assert F.max_pool2d(mytorch.tensor(x), 20, return_indices=True)[1].item() == 19 * 20 + 18


FUNCTIONS = [
    lambda t: F.max_pool2d(t, 2), lambda t: F.max_pool2d(t, 3, 1, 1), lambda t: F.avg_pool2d(t, 2), lambda t: F.lp_pool2d(t, 3, 2),
    lambda t: F.avg_pool2d(t, 3, 2, 1, ceil_mode=True, count_include_pad=False), lambda t: F.adaptive_avg_pool2d(t, (3, 2)),
    lambda t: F.adaptive_max_pool2d(t, (3, 2)),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_first_and_second_derivatives_are_numerically_right(function):
    x = mytorch.tensor(np.random.default_rng(0).permutation(40).reshape(1, 2, 4, 5) / 10.0 + 0.1, requires_grad=True)  # no ties
    assert gradcheck(lambda t: function(t).pow(2), x)
    assert gradgradcheck(lambda t: function(t).pow(2), x)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_strided_and_unbatched_inputs_give_the_same(function):
    x = mytorch.tensor(draw(6, 4, 2, 3).clip(0.1))
    strided = x.permute(3, 2, 1, 0)
    assert mytorch.equal(function(strided), function(strided.contiguous()))
    assert function(strided).is_contiguous()
    assert mytorch.equal(function(strided[0]), function(strided)[0])


def test_an_empty_batch_gives_an_empty_output():
    x = mytorch.zeros(0, 2, 4, 4, requires_grad=True)
    y = F.max_pool2d(x, 2)
    y.sum().backward()
    assert y.shape == (0, 2, 2, 2)
    assert F.avg_pool2d(x, 2).shape == (0, 2, 2, 2)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: F.max_pool2d(x, (2, 2, 2)), RuntimeError, "kernel_size must either be a single int, or a tuple of two ints"),
        (lambda x: F.max_pool2d(x, 2, stride=(1, 1, 1)), RuntimeError, "stride must either be omitted, a single int, or a tuple"),
        (lambda x: F.max_pool2d(x, 0), RuntimeError, "stride should not be zero"),
        (lambda x: F.max_pool2d(x, 2, padding=2), RuntimeError, "pad should be at most half of effective kernel size, but got pad=2"),
        (lambda x: F.max_pool2d(x, 2, padding=-1), RuntimeError, "pad must be non-negative, but got pad: -1"),
        (lambda x: F.max_pool2d(x, 2, dilation=0), RuntimeError, "dilation should be greater than zero"),
        (lambda x: F.max_pool2d(x, 2.5), TypeError, "'kernel_size' must be int or tuple of two ints"),
        (lambda x: F.max_pool2d(x[0, 0], 2), RuntimeError, "Expected 3D or 4D (batch mode) tensor"),
        (lambda x: F.max_pool2d(x[:, :0], 2), RuntimeError, "but got:[1, 0, 5, 5]"),
        (lambda x: F.max_pool2d(x[..., :1], 2), RuntimeError, "Calculated output size: (3x2x0). Output size is too small"),
        (lambda x: F.max_pool2d(x > 0, 2), NotImplementedError, "\"max_pool2d\" not implemented for 'Bool'"),
        (lambda x: F.max_pool2d(3, 2), TypeError, "argument 'input' (position 1) must be Tensor, not int"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), RuntimeError, "divisor must be not zero"),
        (lambda x: F.adaptive_avg_pool2d(x, (2, 2, 2)), RuntimeError, "adaptive_avg_pool2d: output_size must be 2"),
        (lambda x: F.adaptive_avg_pool2d(x, -1), RuntimeError, "greater than or equal to 0 but received [-1, -1]"),
        (lambda x: F.adaptive_avg_pool2d(x.long(), 2), NotImplementedError, "not implemented for 'Long'"),
        (lambda x: F.adaptive_avg_pool2d(x[..., :0], 2), RuntimeError, "with dimension 3 being empty"),
        (lambda x: F.adaptive_max_pool2d(x[0, 0], 2), RuntimeError, "Expected 3D or 4D tensor, but got [5, 5]"),
        (lambda x: F.max_unpool2d(x, x.long() + 999, 2), RuntimeError, "Found an invalid max index: 999"),
        (lambda x: F.max_unpool2d(x, x[:, :2].long(), 2), RuntimeError, "shape of indices to be same as that of the input"),
        (lambda x: F.max_unpool2d(x, x, 2), RuntimeError, "elements in indices should be type int64"),
        (lambda x: F.max_unpool2d(x, x.long(), 2, output_size=(20, 20)), ValueError, "(dim 0 must be between 8 and 12)"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(call, error, text):
    with pytest.raises(error) as caught:
        call(mytorch.rand(1, 3, 5, 5))
    assert text in str(caught.value)
