"""Running sums, products and extremes: csrc/kernels/scan.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.scan
from tests.backends.agreement import check, declines, floats, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]


CASES = [((1,), 0), ((100_003,), 0), ((9, 7), 0), ((9, 7), 1), ((33, 4000), 0), ((33, 4000), 1), ((4, 64, 256), 1), ((3, 5, 17, 19), 1),
         ((3, 5, 17, 19), 2), ((3, 5, 17, 19), 3), ((2, 3000, 2), 1), ((1, 1, 2500), 1)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_running_products_are_numpys_to_the_bit(case, dtype):
    shape, dim = case
    x = floats(*shape, dtype=dtype)
    check("cumprod_forward", np.exp(x * 0.1, dtype=dtype), dim=dim, bitwise=True)
    check("cumprod_forward", x, dim=dim, bitwise=True)  # which come to zero
    check("cumprod_forward", floats(*shape, dtype=dtype, edges=True), dim=dim, bitwise=True)


@pytest.mark.parametrize("name", ["cummax_forward", "cummin_forward"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_running_extremes(case, dtype, name):
    """With NaN, infinities, and ties, of which the last one counts."""
    shape, dim = case
    check(name, floats(*shape, dtype=dtype), dim=dim)
    check(name, np.round(floats(*shape, dtype=dtype, seed=1) * 2), dim=dim)
    check(name, floats(*shape, dtype=dtype, edges=True), dim=dim)


@pytest.mark.parametrize("times", [1, 500])
def test_the_last_of_equal_numbers_and_of_nans_is_the_extreme(times):
    x = torch.tensor([[1.0, 1.0, -0.0, float("nan"), 5.0, float("nan"), 9.0]] * times)
    for found in (x.cummax(1), x.cummin(1), [y.t() for y in x.t().cummax(0)]):
        values, indices = found
        np.testing.assert_array_equal(values[:, 3:], np.full((times, 4), np.nan, np.float32))
        assert (indices[:, 3:] == torch.tensor([3, 3, 5, 5])).all()
    assert x.cummax(1).indices[0, :3].tolist() == [0, 1, 1]
    assert x.cummin(1).indices[0, :3].tolist() == [0, 1, 2]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_running_sums_are_numpys_to_the_bit(case, dtype, reverse):
    shape, dim = case
    check("cumsum_forward", floats(*shape, dtype=dtype), dim=dim, reverse=reverse, bitwise=True)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_running_sums_of_any_shape(shape, dim, reverse):
    check("cumsum_forward", floats(*shape, seed=dim), dim=dim % len(shape), reverse=reverse, bitwise=True)


@pytest.mark.parametrize("dim", [0, 1])
def test_nan_and_infinity_stay_from_where_they_are_on(dim):
    check("cumsum_forward", floats(40, 40, edges=True), dim=dim, bitwise=True)


def test_negative_zeros_stay_negative():
    y = torch.full((3, 20), -0.0).cumsum(1)
    assert np.signbit(y.numpy()).all()


def test_other_strides_are_summed_in_their_own_order():
    x = floats(30, 40)
    check("cumsum_forward", x.T, dim=0, bitwise=True)
    check("cumsum_forward", x[::2, ::3], dim=1, bitwise=True)
    check("cumsum_forward", np.broadcast_to(x[0], (5, 40)), dim=0, bitwise=True)
    check("cummax_forward", x.T, dim=0)
    check("cumprod_forward", x[::2, ::3], dim=1, bitwise=True)


def test_what_running_sums_decline():
    declines("cumsum_forward", np.arange(9), dim=0)
    declines("cumsum_forward", np.zeros((0, 3), np.float32), dim=1)
    declines("cumsum_forward", np.zeros((), np.float32), dim=0)
    declines("cumsum_forward", unaligned(floats(100)), dim=0)
    declines("cumprod_forward", np.arange(9), dim=0)
    declines("cummax_forward", np.arange(9), dim=0)
    declines("cummin_forward", unaligned(floats(100)), dim=0)


def test_the_gradient_is_the_running_sum_from_the_end():
    x, g = torch.randn(4, 50, 6, requires_grad=True), torch.randn(4, 50, 6)
    x.cumsum(1).backward(g)
    np.testing.assert_allclose(x.grad.numpy(), g.flip(1).cumsum(1).flip(1).numpy(), rtol=1e-6)
