"""The incomplete gamma functions: igamma and igammac.

Four ways, by where (a, x) lies: a power series to the left of a, a continued fraction to the right, a series of its own for the upper
function where x is small, and for large a near x Temme's uniform expansion. DLMF: https://dlmf.nist.gov.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from mytorch.ops.arithmetic import exp, log
from mytorch.ops.common import apply_inplace
from mytorch.ops.pointwise import binary, refusing
from mytorch.ops.special_functions import erfc, horner, in_blocks
from mytorch.ops.special_gamma import lgamma, lgamma_array, stirling_rest
from mytorch.ops.special_rows import not_implemented

__mytorch__ = True

_EPSILON = 2.0 ** -53
_MOST_TERMS = 2000

# ---- the common factor --------------------------------------------------------------------------------------------------------

# log(1 + m) - m = -m^2 (1/2 - m/3 + m^2/4 - ...): for |m| < 0.1
_LOG1P_REST = tuple((-1.0) ** (k + 1) / k for k in range(18, 1, -1))


def _log1p_rest(m: Any) -> Any:
    """log(1 + m) - m, without cancellation."""
    return np.where(np.abs(m) < 0.1, m * m * horner(m, _LOG1P_REST), np.log1p(m) - m)


def _factor(a: Any, x: Any) -> Any:
    """x^a e^-x / Gamma(a + 1)."""
    y = np.exp(a * np.log(x) - x - lgamma_array(a + 1))
    large = a >= 10
    if large.any():  # the powers cancel: by Stirling's formula it is e^(a (log(1 + m) - m)) / (sqrt(2 pi a) e^rest), m = x / a - 1
        b, c = a[large], x[large]
        m = (c - b) / b
        rest = np.where(m < -0.5, np.log(c / b) - m, _log1p_rest(m))
        y[large] = np.exp(b * rest - stirling_rest(b)) / np.sqrt(2 * math.pi * b)
    return y


# ---- four expansions ----------------------------------------------------------------------------------------------------------


def _lower_series(a: Any, x: Any) -> Any:
    """P for x < a + 1: DLMF 8.11.4, factor * sum_n x^n / ((a + 1) ... (a + n))."""
    total, term = np.ones_like(x), np.ones_like(x)
    below = a.copy()
    for _ in range(_MOST_TERMS):
        below += 1
        term *= x / below
        total += term
        if not (term > _EPSILON * total).any():
            break
    return _factor(a, x) * total


def _upper_fraction(a: Any, x: Any) -> Any:
    """Q for x > a: the even part of the continued fraction DLMF 8.9.2, run by Lentz's method (Numerical Recipes, 6.2)."""
    b = x + 1 - a
    c = np.full_like(x, 1e300)
    d = 1 / b
    h = d.copy()
    for i in range(1, _MOST_TERMS):
        an = i * (a - i)
        b += 2
        d = 1 / (an * d + b)
        c = b + an / c
        step = c * d
        h *= step
        if not (np.abs(step - 1) > 8 * _EPSILON).any():  # steps are exact to a few units only
            break
    return a * _factor(a, x) * h


def _upper_series(a: Any, x: Any) -> Any:
    """Q for small x: 1 - x^a / Gamma(a + 1) (1 + a sum_n (-x)^n / ((a + n) n!)), DLMF 8.7.1, with 1 - x^a / Gamma(a + 1) by expm1."""
    total, term = np.zeros_like(x), np.ones_like(x)
    for n in range(1, 40):
        term *= -x / n
        total += term / (a + n)
    log_power = a * np.log(x) - lgamma_array(a + 1)
    return -np.expm1(log_power) - a * np.exp(log_power) * total


@functools.cache
def _temme() -> tuple[tuple[float, ...], ...]:
    """The coefficients of c_0(eta), ... c_8(eta), highest power first, as exact fractions rounded once.

    With eta^2 / 2 = m - log(1 + m): m = eta + m_2 eta^2 + ... follows from m' m = eta (1 + m); c_0 = 1 / m - 1 / eta; and
    c_k = c_(k-1)' / eta + (-1)^k g_k / m, where g_k are Stirling's coefficients of Gamma (DLMF 8.12.8-12, 5.11.3).
    """
    orders, terms = 9, 18
    size = terms + 2 * orders
    m = [Fraction(0), Fraction(1)]
    for n in range(2, size + 2):  # the coefficient of eta^n in m m' = eta + eta m
        known = sum((m[i] * (n + 1 - i) * m[n + 1 - i] for i in range(2, n)), Fraction(0))
        m.append((m[n - 1] - known) / (n + 1))
    reciprocal = [Fraction(1)]  # of m / eta
    for n in range(1, size + 1):
        reciprocal.append(-sum((m[i + 1] * reciprocal[n - i] for i in range(1, n + 1)), Fraction(0)))
    rest = reciprocal[1:]  # 1 / m = 1 / eta + rest
    c = [list(rest)]
    for _ in range(1, orders):
        last = c[-1]
        g = -last[1]  # the terms in 1 / eta cancel: that is (-1)^k g_k
        c.append([(n + 2) * last[n + 2] + g * rest[n] for n in range(len(last) - 2)])
    return tuple(tuple(float(v) for v in reversed(row[:terms])) for row in c)


def _temme_parts(a: Any, x: Any) -> tuple[Any, Any, Any]:
    """eta sqrt(a / 2), and the corrections to P and Q: DLMF 8.12.3-4."""
    m = (x - a) / a
    half_square = -_log1p_rest(m)
    eta = np.copysign(np.sqrt(2 * half_square), m)
    total = np.zeros_like(x)
    for row in reversed(_temme()):
        total = total / a + horner(eta, row)
    return eta * np.sqrt(0.5 * a), np.exp(-a * half_square) / np.sqrt(2 * math.pi * a) * total, total


# ---- put together -------------------------------------------------------------------------------------------------------------


def _one_minus(function: Any) -> Any:
    return lambda a, x: 1 - function(a, x)


def _temme_lower(a: Any, x: Any) -> Any:
    z, rest, _ = _temme_parts(a, x)
    return 0.5 * erfc(-z) - rest


def _temme_upper(a: Any, x: Any) -> Any:
    z, rest, _ = _temme_parts(a, x)
    return 0.5 * erfc(z) + rest


def _regions(a: Any, x: Any) -> list[tuple[Any, Any, Any]]:
    """(mask, how to get P, how to get Q): the masks do not overlap."""
    inside = (a > 0) & (x > 0) & (a < np.inf) & (x < np.inf)
    near = inside & (a > 100) & (np.abs(x - a) < 0.3 * a)
    rest = inside & ~near
    small = rest & (x <= 1.1)
    # where Q is the smaller of the two: Q's own series, which does not cancel there (Gautschi 1979, ACM TOMS 5, 466)
    upper = small & np.where(x <= 0.5, a < -0.4 / np.log(np.minimum(x, 0.5)), a < 1.1 * x)
    fraction = rest & ~small & (x >= a + np.where(a > 1, 1.5 * np.sqrt(a), 0.0))  # before, P is below 0.95 and its series is faster
    series = rest & ~upper & ~fraction
    return [(near, _temme_lower, _temme_upper), (upper, _one_minus(_upper_series), _upper_series),
            (fraction, _one_minus(_upper_fraction), _upper_fraction), (series, _lower_series, _one_minus(_lower_series))]


def _evaluated(a: Any, x: Any, upper: bool) -> Any:
    y = np.full_like(x, np.nan)
    zero, one = (1.0, 0.0) if upper else (0.0, 1.0)
    valid = (a >= 0) & (x >= 0)
    y[valid & (x == 0) & (a > 0)] = zero
    y[valid & (a == 0) & (x > 0)] = one
    y[valid & (a == np.inf) & (x < np.inf)] = zero
    y[valid & (a < np.inf) & (x == np.inf)] = one
    for mask, lower_function, upper_function in _regions(a, x):
        if mask.any():
            y[mask] = (upper_function if upper else lower_function)(a[mask], x[mask])
    return y


@in_blocks
def _igamma(a: Any, x: Any) -> Any:
    return _evaluated(a, x, False)


@in_blocks
def _igammac(a: Any, x: Any) -> Any:
    return _evaluated(a, x, True)


def _slope(a: Any, b: Any) -> Any:
    return exp(log(b) * (a - 1) - b - lgamma(a))


_DOC = ("\n\nShape: any two that broadcast. NaN for negative a or x.\nDerivative: not implemented for a; {sign}g * x^(a - 1) e^-x / Gamma(a) for x."
        "\nRaises:\n    NotImplementedError: if the gradient with respect to a is asked for.\nSource: DLMF 8.2.4, 8.11.4, 8.9.2, 8.12.3.")
igamma = binary("igamma", refusing("biuc", _igamma, "igamma_cpu"), not_implemented("igamma: input"), lambda g, a, b: g * _slope(a, b),
                numbers="none", doc="P(a, x): the part of Gamma(a) = integral of t^(a - 1) e^-t that lies below x." + _DOC.format(sign=""))
igammac = binary("igammac", refusing("biuc", _igammac, "igammac_cpu"), not_implemented("igammac: input"), lambda g, a, b: -g * _slope(a, b),
                 numbers="none", doc="Q(a, x) = 1 - P(a, x): the part of Gamma(a) that lies above x." + _DOC.format(sign="-"))


def igamma_(self: Any, other: Any) -> Any:
    """In-place `igamma`."""
    return apply_inplace(igamma.op, (self, other))


def igammac_(self: Any, other: Any) -> Any:
    """In-place `igammac`."""
    return apply_inplace(igammac.op, (self, other))
