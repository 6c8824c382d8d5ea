"""Sums over dimensions: csrc/kernels/sums.cpp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch.ops.sums
import mytorch.ops.views  # noqa: F401 - registers the kernels
from mytorch import backends
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

CASES = [((10_001,), None), ((3, 5, 7), None), ((2048, 10), (0,)), ((300, 4000), (0,)), ((300, 4000), (1,)), ((5, 70_000), (1,)),
         ((32, 16, 9, 9), (0, 2, 3)), ((6, 50, 33), (1,)), ((6, 50, 33), (0, 1)), ((6, 50, 33), (0, 2)),
         ((2, 3, 4, 5), (0, 2)), ((3, 20_001), (0,)), ((5, 2, 33), (1,)), ((2, 8, 9, 31), (0, 1)),
         ((1, 700, 1), (1,)), ((7, 1, 900), (0,)), ((4, 5), ()), ((), None)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_sum(case, keepdim, dtype):
    shape, dim = case
    check("reduce_sum", floats(*shape, dtype=dtype), dim=dim, keepdim=keepdim, rtol=1e-4, atol=1e-4)
    check("sum_of_squares", floats(*shape, dtype=dtype), dim=dim, keepdim=keepdim, rtol=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 31))
@settings(max_examples=40, deadline=None)
def test_sum_over_any_dimensions(shape, which):
    dim = tuple(i for i in range(len(shape)) if which >> i & 1)
    turns = 1 + sum((i in dim) != (i + 1 in dim) for i in range(len(shape) - 1))
    if turns < 4 and dim:
        check("reduce_sum", floats(*shape), dim=dim, keepdim=True, rtol=1e-4, atol=1e-4)
        check("sum_to", floats(*shape), shape=tuple(1 if i in dim else n for i, n in enumerate(shape)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", [((128, 10), (10,)), ((128, 512), (512,)), ((4, 128, 96), (96,)), ((4, 5, 6), (5, 1)), ((4, 5, 6), ()),
                                  ((4, 5, 6), (1, 1, 1)), ((2, 3, 4, 5), (3, 1, 1)), ((2, 3), (2, 3))])
def test_sum_of_gradients_that_were_broadcast(case):
    shape, wanted = case
    check("sum_to", floats(*shape), shape=wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", [((1 << 20,), None), ((1 << 18, 3), (0,)), ((16, 8, 100, 100), (0, 2, 3)), ((4, 1 << 17), (1,))])
def test_sum_is_rounded_once_or_nearly(case):
    shape, dim = case
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    with native_as():
        y = backends.kernels["reduce_sum"].override(x, dim=dim, keepdim=False)
    exact = x.astype(np.float64).sum(dim)
    np.testing.assert_allclose(y, exact, rtol=2e-7)


def test_a_long_sum_of_float64_loses_nothing():
    x = np.random.default_rng(0).standard_normal(1 << 20)
    with native_as():
        y = backends.kernels["reduce_sum"].override(x, dim=None, keepdim=False)
    np.testing.assert_allclose(y, math.fsum(x), rtol=0, atol=1e-12)


def test_nan_and_infinity():
    x = floats(4, 2000)
    x[0, 5], x[1, 7], x[2, 1999] = np.nan, np.inf, -np.inf
    x[2, 0] = np.inf
    for dim in ((0,), (1,), None):
        check("reduce_sum", x, dim=dim, keepdim=False, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("x", [floats(8, 8), np.ones((64, 64), np.int32), floats(64, 64).T, unaligned(floats(64, 64)), floats(0, 5000)],
                         ids=["small", "integers", "transposed", "unaligned", "empty"])
def test_declined(x):
    declines("reduce_sum", x, dim=(0,), keepdim=False)
    declines("sum_to", x, shape=(1, x.shape[1]))


@pytest.mark.parametrize("x", [floats(8, 8), floats(1, 3), floats(33, 1)], ids=["square", "row", "column"])
def test_the_gradient_of_a_bias_agrees_at_any_size(x):
    check("sum_to", x, shape=(x.shape[1],))


@pytest.mark.parametrize("x", [np.ones((64, 64), np.int32), floats(64, 64).T, unaligned(floats(64, 64)), floats(0, 5000)],
                         ids=["integers", "transposed", "unaligned", "empty"])
def test_the_gradient_of_a_bias_declines(x):
    declines("sum_to", x, shape=(x.shape[1],))


def test_dimensions_that_take_more_turns_decline():
    with native_as():
        for dim in ((1, 3), (0, 2, 4)):
            assert backends.kernels["reduce_sum"].override(floats(4, 4, 4, 4, 4), dim=dim, keepdim=False) is NotImplemented


def test_shapes_that_do_not_fit_are_refused():
    from mytorch.backends.native.extension import K

    x = floats(4, 6)
    with pytest.raises(ValueError, match="elements"):
        K.sum(x, np.empty(5, np.float32), 1, 1, 4, 6, 1.0)
    with pytest.raises(ValueError, match="elements"):
        K.sum(x, np.empty(6, np.float32), 1, 1, 5, 6, 1.0)
    with pytest.raises(ValueError, match="positive"):
        K.sum(x, np.empty(6, np.float32), 1, 1, 0, 6, 1.0)
    with pytest.raises(ValueError, match="length"):
        K.repeat(x, np.empty(50, np.float32), 1.0)
