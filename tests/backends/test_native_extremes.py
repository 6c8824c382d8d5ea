"""The largest and the smallest along dimensions: csrc/kernels/extremes.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.extrema
from mytorch import backends
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

CASES = [((1,), 0), ((33,), 0), ((10_001,), 0), ((500, 40), 0), ((500, 40), 1), ((4, 64, 256), 1), ((3, 5, 70, 9), 2), ((3, 5, 7, 900), 3),
         ((9, 3000), 0), ((1, 1, 5000), 1), ((40_000, 3), 1), ((2, 40_000, 2), 1)]


def ties(shape, dtype=np.float32, seed=0):
    """Numbers of which many are equal."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_the_first_place_of_each(case, name, dtype):
    shape, dim = case
    for x in (floats(*shape, dtype=dtype), ties(shape, dtype)):
        for keepdim in (False, True):
            check(f"{name}_forward", x, dim=dim, keepdim=keepdim, bitwise=True)
            check(f"a{name}_forward", x, dim=(dim,), keepdim=keepdim, bitwise=True)


@pytest.mark.parametrize("dim", [(0, 1), (1, 2), (0, 1, 2), (2, 1), (2, 3)])
def test_neighbouring_dimensions_are_one(dim):
    x = ties((6, 5, 9, 20))
    check("amax_forward", x, dim=dim, keepdim=False, bitwise=True)
    y = x.max(dim)
    check("extremes_grad", floats(*y.shape), x, y, dim=dim, keepdim=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_shared_among_equals(case, dtype):
    shape, dim = case
    x = ties(shape, dtype)
    y = x.max(dim, keepdims=True)
    check("extremes_grad", floats(*y.shape, dtype=dtype, seed=1), x, y, dim=(dim,), keepdim=True)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_any_shape(shape, dim, seed):
    dim %= len(shape)
    x = ties(shape, seed=seed)
    check("max_forward", x, dim=dim, keepdim=False, bitwise=True)
    y = x.min(dim)
    check("extremes_grad", floats(*y.shape), x, y, dim=(dim,), keepdim=False)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", ["max", "min"])
def test_the_first_nan_wins(name, dim):
    x = ties((50, 50))
    x[20, :] = np.inf
    x[:, 9] = -np.inf
    x[[3, 30, 31, 49], [7, 7, 8, 49]] = np.nan
    check(f"{name}_forward", x, dim=dim, keepdim=False, bitwise=True)
    check(f"a{name}_forward", x, dim=(dim,), keepdim=False, bitwise=True)
    with np.errstate(all="ignore"):
        y = getattr(x, name)(dim)
        check("extremes_grad", floats(50, edges=True), x, y, dim=(dim,), keepdim=False)


@pytest.mark.parametrize("n", [1, 15, 16, 31, 32, 33, 200])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_of_one_value_alone(n, value):
    check("max_forward", np.full((3, n), value, np.float32), dim=1, keepdim=False, bitwise=True)
    check("min_forward", np.full((n, 40), value, np.float32), dim=0, keepdim=False, bitwise=True)


def test_what_extremes_decline():
    x = floats(40, 40)
    with native_as():
        declines("amax_forward", x.T, dim=(0,), keepdim=False)
        declines("amax_forward", unaligned(x), dim=(0,), keepdim=False)
        declines("amax_forward", x, dim=None, keepdim=False)
        declines("amax_forward", floats(4, 5, 6), dim=(0, 2), keepdim=False)
        declines("amax_forward", np.arange(40).reshape(4, 10), dim=(0,), keepdim=False)
        assert backends.kernels["max_forward"].override(np.zeros((0, 4), np.float32), dim=0, keepdim=False) is NotImplemented


def test_amax_has_a_second_derivative():
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: x.amax(1).pow(3), (x,))
    assert torch.autograd.gradgradcheck(lambda x: x.max(0)[0].pow(3), (x,))
