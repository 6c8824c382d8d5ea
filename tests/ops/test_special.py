"""Special functions keep the identities that define them: no reference needed."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mytorch
from mytorch import special


def grid(low, high, count=400):
    return mytorch.from_numpy(np.linspace(low, high, count))


def assert_close(found, expected, tolerance=1e-13):
    np.testing.assert_allclose(found.numpy(), expected.numpy() if isinstance(expected, mytorch.Tensor) else expected, tolerance, tolerance)


def test_gamma_of_whole_numbers_is_a_factorial():
    n = np.arange(1.0, 150.0)
    assert_close(mytorch.lgamma(mytorch.from_numpy(n)), [math.log(math.factorial(int(v) - 1)) for v in n])


@pytest.mark.parametrize(("low", "high"), [(0.01, 3.0), (3.0, 20.0), (-7.9, -0.1)])
def test_recurrences_of_the_gamma_family_hold(low, high):
    x = grid(low, high)
    assert_close(mytorch.lgamma(x + 1) - mytorch.lgamma(x), x.abs().log(), 1e-11)
    assert_close((mytorch.digamma(x + 1) - mytorch.digamma(x)) * x, np.ones(400), 1e-9)
    for n in (1, 2, 5) if low > 0 else (1,):  # near a pole, higher orders cancel
        gap = mytorch.polygamma(n, x + 1) - mytorch.polygamma(n, x)
        assert_close(gap * x ** (n + 1) * (-1) ** n / math.factorial(n), np.ones(400), 1e-6)


def test_many_elements_give_what_few_give():
    x = grid(0.1, 20.0, 1000)
    for function in (mytorch.lgamma, mytorch.erf, mytorch.erfc):
        assert_close(function(x)[:40], function(x[:40]), 1e-14)


def test_poles_are_infinite_and_nothing_warns():
    x = mytorch.tensor([0.0, -1.0, -2.0, math.inf, -math.inf], dtype=mytorch.float64)
    assert mytorch.lgamma(x).tolist() == [math.inf] * 5
    assert mytorch.digamma(x)[0] == -math.inf
    assert mytorch.isnan(mytorch.digamma(x)[1:3]).all()


def test_known_values():
    one = mytorch.ones(1, dtype=mytorch.float64)
    assert_close(mytorch.digamma(one), [-0.57721566490153286])
    assert_close(mytorch.polygamma(1, one), [math.pi ** 2 / 6])
    assert_close(special.zeta(4 * one, one), [math.pi ** 4 / 90])
    assert_close(mytorch.lgamma(one / 2), [math.log(math.pi) / 2])
    assert_close(special.airy_ai(0 * one), [1 / (3 ** (2 / 3) * math.gamma(2 / 3))])
    assert_close(mytorch.mvlgamma(3 * one, 2), [math.log(math.pi) / 2 + math.lgamma(3) + math.lgamma(2.5)])


def test_both_parts_of_the_incomplete_gamma_function_add_up_to_one():
    a, x = mytorch.from_numpy(np.geomspace(0.01, 1e4, 60))[:, None], mytorch.from_numpy(np.geomspace(0.01, 1e4, 60))
    assert_close(mytorch.igamma(a, x) + mytorch.igammac(a, x), np.ones((60, 60)))
    assert_close(mytorch.igamma(mytorch.ones_like(x), x), -mytorch.expm1(-x))
    half = mytorch.full_like(x, 0.5)
    assert_close(mytorch.igammac(half, x), mytorch.erfc(x.sqrt()))


def test_inverses_undo_their_functions():
    assert_close(mytorch.erf(mytorch.erfinv(grid(-0.999, 0.999))), grid(-0.999, 0.999))
    assert_close(special.ndtri(special.ndtr(grid(-6.0, 5.0))), grid(-6.0, 5.0), 1e-9)
    assert_close(special.log_ndtr(grid(-30.0, 5.0)).exp(), special.ndtr(grid(-30.0, 5.0)), 1e-12)
    assert_close(special.erfcx(grid(-5.0, 5.0)) * (-grid(-5.0, 5.0) ** 2).exp(), mytorch.erfc(grid(-5.0, 5.0)))


@pytest.mark.parametrize(("low", "high"), [(0.1, 2.0), (2.0, 8.0), (8.0, 60.0)])
def test_wronskians_of_bessel_functions_hold(low, high):
    x = grid(low, high)
    assert_close((special.bessel_j1(x) * special.bessel_y0(x) - special.bessel_j0(x) * special.bessel_y1(x)) * x, np.full(400, 2 / math.pi))
    kept = special.i0e(x) * special.scaled_modified_bessel_k1(x) + special.i1e(x) * special.scaled_modified_bessel_k0(x)
    assert_close(kept * x, np.ones(400))
    assert_close(special.modified_bessel_k0(x) * x.exp(), special.scaled_modified_bessel_k0(x))
    assert_close(special.modified_bessel_i1(x) * (-x).exp(), special.i1e(x))


@pytest.mark.parametrize("edge", [-4.0, 0.0, 2.0, 4.0])
def test_airy_function_is_smooth_and_solves_its_equation(edge):
    h = 1e-3
    x = edge + h * np.arange(-6, 7)
    y = special.airy_ai(mytorch.from_numpy(x)).numpy()
    second = (-y[4:] + 16 * y[3:-1] - 30 * y[2:-2] + 16 * y[1:-3] - y[:-4]) / (12 * h * h)
    np.testing.assert_allclose(second, x[2:-2] * y[2:-2], 1e-6, 1e-8)


def test_orthogonal_polynomials_are_what_their_first_degrees_say():
    x = grid(-1.3, 1.3)
    two, three = mytorch.full_like(x, 2.0), mytorch.full_like(x, 3.0)
    assert_close(special.chebyshev_polynomial_t(x, three), 4 * x ** 3 - 3 * x)
    assert_close(special.chebyshev_polynomial_u(x, two), 4 * x ** 2 - 1)
    assert_close(special.hermite_polynomial_h(x, three), 8 * x ** 3 - 12 * x)
    assert_close(special.hermite_polynomial_he(x, three), x ** 3 - 3 * x)
    assert_close(special.laguerre_polynomial_l(x, two), (x ** 2 - 4 * x + 2) / 2)
    assert_close(special.legendre_polynomial_p(x, three), (5 * x ** 3 - 3 * x) / 2)
    assert_close(special.shifted_chebyshev_polynomial_t(x, two), 2 * (2 * x - 1) ** 2 - 1)


def test_degree_that_is_high_agrees_with_the_recurrence():
    x = grid(-0.99, 0.99)
    for kind in "tuvw":
        run = getattr(special, f"chebyshev_polynomial_{kind}")
        assert_close(run(x, 12), 2 * x * run(x, 11) - run(x, 10), 1e-11)
        assert_close(run(x, 9), 2 * x * run(x, 8) - run(x, 7), 1e-11)


def test_frexp_takes_a_number_apart():
    x = mytorch.tensor([0.0, 1.0, -3.5, 1e-3, 1e30])
    mantissa, exponent = mytorch.frexp(x)
    assert exponent.dtype is mytorch.int32
    assert mytorch.equal(mantissa * 2.0 ** exponent, x)
    assert mytorch.frexp(x).mantissa.abs()[1:].min() >= 0.5
