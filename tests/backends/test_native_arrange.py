"""Padding, cropping and rolling: csrc/kernels/arrange.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.shape
from tests.backends.agreement import check, declines, floats, native_as, needs_native

pytestmark = needs_native

PADS = [((9,), ((2, 3),)), ((9,), ((-2, 30_000),)), ((5, 7), ((0, 0), (1, 2))), ((5, 7), ((3, 1), (0, 0))), ((5, 7), ((-1, 2), (2, -3))),
        ((4, 6, 16, 16), ((0, 0), (0, 0), (1, 1), (1, 1))), ((3, 8, 5, 9), ((0, 0), (-2, -3), (0, 0), (0, 0))),
        ((2, 3, 4, 5), ((1, 0), (0, 1), (2, 2), (-1, -1))), ((40, 50, 33), ((0, 0), (-1, -1), (-1, -1))), ((4, 3), ((0, 0), (-3, 0))),
        ((4, 3), ((0, 0), (-1, -2))), ((4, 3), ((-4, 6), (0, 1))), ((0, 3), ((1, 1), (1, 1))), ((3, 4), ((0, 0), (0, 0)))]
ROLLS = [((9,), (2,), (0,)), ((50_000,), (-7,), (0,)), ((5, 7), (1,), (0,)), ((5, 7), (-20,), (1,)), ((64, 64, 16, 16), (1,), (1,)),
         ((3, 4, 5), (1, 2), (0, 2)), ((3, 4, 5), (1, -3), (1, 1)), ((2, 30_000, 3), (999,), (1,)), ((4, 1), (3,), (1,))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int16, np.bool_])
@pytest.mark.parametrize("case", PADS)
def test_padded_with_zeros(case, dtype):
    shape, widths = case
    check("pad_forward", (floats(*shape) * 9).astype(dtype), widths=widths, value=0.0, bitwise=True)


@pytest.mark.parametrize("value", [1.5, -np.inf, -0.0])
@pytest.mark.parametrize("case", PADS)
def test_padded_with_a_number(case, value):
    shape, widths = case
    check("pad_forward", floats(*shape, edges=True), widths=widths, value=value, bitwise=True)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_padded_and_cropped_in_any_way(dims):
    shape, widths = [n for n, _, _ in dims], tuple((before, after) for n, before, after in dims if n + min(before, 0) + min(after, 0) >= 0)
    if len(widths) == len(shape):
        check("pad_forward", floats(*shape), widths=widths, value=2.0, bitwise=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.bool_, np.complex128])
@pytest.mark.parametrize("case", ROLLS)
def test_rolled(case, dtype):
    shape, shifts, dims = case
    check("roll_forward", (floats(*shape) * 9).astype(dtype), shifts=shifts, dims=dims, bitwise=True)


def test_strided_arrays_are_taken_in_their_own_order():
    x = floats(30, 40)
    check("pad_forward", x.T, widths=((1, 1), (0, 2)), value=0.0, bitwise=True)
    check("roll_forward", x[:, ::2], shifts=(3,), dims=(1,), bitwise=True)


def test_what_is_left_to_the_reference():
    with native_as():
        declines("pad_forward", floats(3, 4).astype(np.float16), widths=((1, 1), (0, 0)), value=1.0)
        declines("pad_forward", floats(3, 4).astype(np.complex128), widths=((1, 1), (0, 0)), value=0.0)
        declines("pad_forward", floats(3, 4), widths=((1, 1), (0, 0)), value=1e38)
        declines("pad_forward", floats(3, 4).astype(np.complex64), widths=((1, 1), (0, 0)), value=1j)
        declines("pad_forward", np.zeros((), np.float32), widths=(), value=0.0)
        with pytest.raises(ValueError, match="broadcast"):
            mytorch.ops.shape.pad_forward(floats(3), widths=((-5, 9),), value=0.0)
        declines("roll_forward", np.zeros((0, 3), np.float32), shifts=(1,), dims=(1,))


@pytest.mark.parametrize("dims", [(), (0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_large_arrays_are_flipped_as_small_ones(dims):
    x = floats(40, 30, 20)
    y = torch.from_numpy(x).flip(dims)
    np.testing.assert_array_equal(y.numpy(), np.flip(x, dims))
    assert not np.may_share_memory(y.numpy(), x)


@pytest.mark.parametrize("reps", [(1, 1, 1), (2, 1, 1), (1, 3, 1), (1, 1, 2), (2, 3, 1, 2), (0, 1, 1), (2, 1, 1, 1)])
def test_large_arrays_are_repeated_as_small_ones(reps):
    x = torch.randn(40, 30, 20, requires_grad=True)
    y = x.repeat(*reps)
    np.testing.assert_array_equal(y.detach().numpy(), np.tile(x.detach().numpy(), reps))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(x.shape, np.prod(reps), np.float32))
