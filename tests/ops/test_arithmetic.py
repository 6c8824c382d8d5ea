"""Arithmetic at NaN, at zeros of both signs and at infinity, of few numbers and of many, which native kernels may compute."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch

NAN, INF = float("nan"), float("inf")
COUNTS = pytest.mark.parametrize("times", [1, 3000])  # 3000 times five numbers or more are enough for a kernel


def repeated(values, times, **options):
    return mytorch.tensor(values * times, **options)


def same(y, expected, times):
    """Equal to the last bit, apart from how NaN is written."""
    y, expected = y.numpy(), np.array(expected * times, np.float32)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y) & ~np.isnan(y), np.signbit(expected) & ~np.isnan(expected))


@COUNTS
def test_the_sign_of_nan_is_zero(times):
    x = repeated([NAN, -0.0, 2.0, -INF, -1e-42], times, requires_grad=True)
    same(mytorch.sign(x).detach(), [0.0, 0.0, 1.0, -1.0, -1.0], times)
    same(mytorch.sgn(x).detach(), [0.0, 0.0, 1.0, -1.0, -1.0], times)
    x.abs().sum().backward()
    same(x.grad, [0.0, 0.0, 1.0, -1.0, -1.0], times)


@COUNTS
def test_the_slope_of_copysign_is_nan_at_nan(times):
    x = repeated([NAN, 0.0, -2.0, 3.0, 1.0], times, requires_grad=True)
    mytorch.copysign(x, 1.0).sum().backward()
    same(x.grad, [NAN, 0.0, -1.0, 1.0, 1.0], times)


@COUNTS
@pytest.mark.parametrize("divisor", ["number", "tensor"])
def test_remainders_of_zero_have_the_sign_of_the_dividend(divisor, times):
    for a, b, expected in [([6.0, -6.0, 0.0, -0.0, 5.0], 3.0, [0.0, -0.0, 0.0, -0.0, 2.0]),
                           ([6.0, -6.0, 0.0, -0.0, 5.0], -3.0, [0.0, -0.0, 0.0, -0.0, -1.0]),
                           ([1.0, -1.0, INF, NAN, -0.0], INF, [1.0, INF, NAN, NAN, -0.0]), ([1.0, -1.0, INF, NAN, -0.0], 0.0, [NAN] * 5)]:
        x = repeated(a, times)
        same(mytorch.remainder(x, b if divisor == "number" else mytorch.full_like(x, b)), expected, times)
    assert mytorch.remainder(mytorch.tensor([-7, 7]), 3).tolist() == [2, 1]


@COUNTS
@pytest.mark.parametrize(("loss", "options", "at_nan"), [("l1_loss", {}, 0.0), ("smooth_l1_loss", {}, NAN), ("smooth_l1_loss", {"beta": 0.0}, 0.0),
                                                         ("huber_loss", {}, NAN), ("huber_loss", {"delta": 0.5}, NAN)])
def test_the_slopes_of_losses_at_nan(loss, options, at_nan, times):
    x = repeated([NAN, 3.0, -INF, 0.0, -4.0], times, requires_grad=True)
    getattr(mytorch.nn.functional, loss)(x, mytorch.zeros(5 * times), reduction="sum", **options).backward()
    far = options.get("delta", 1.0)
    same(x.grad, [at_nan, far, -far, 0.0, -far], times)
