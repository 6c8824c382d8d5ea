"""The gamma function's family: lgamma, digamma, polygamma, zeta, mvlgamma.

In float64 throughout; float32 rounds once at the end. DLMF is the Digital Library of Mathematical Functions, https://dlmf.nist.gov.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.node_names import titled
from mytorch.ops.common import Op, TensorBase, apply, apply_inplace, method_inplace, promoted, put_out, require_tensor
from mytorch.ops.pointwise import binary, refusing, unary
from mytorch.ops.special_functions import by_region, for_few, horner, in_blocks, interval
from mytorch.ops.special_rows import not_implemented
from mytorch.ops.special_tables import LGAMMA

__mytorch__ = True

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
# Bernoulli numbers B_2, B_4, ... B_24
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138,
             -236364091 / 2730)
_STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in reversed(list(enumerate(BERNOULLI[:8], 1))))
_TRIGAMMA = tuple(reversed(BERNOULLI[:10]))
_DIGAMMA = tuple(b / (2 * k) for k, b in reversed(list(enumerate(BERNOULLI[:9], 1))))


# ---- log Gamma ----------------------------------------------------------------------------------------------------------------


def _distance_to_integer(x: Any) -> Any:
    return x - np.round(x)  # exact


def stirling_rest(x: Any) -> Any:
    """log Gamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2) for x >= 8: DLMF 5.11.1, eight terms."""
    r = 1 / x
    return r * horner(r * r, _STIRLING)


def _lgamma_far(x: Any) -> Any:
    log_x = np.log(x)
    return x * (log_x - 1) - 0.5 * log_x + (_HALF_LOG_2PI + stirling_rest(x))


def _lgamma_middle(x: Any) -> Any:
    product = x * (x + 1) * (x + 2) * (x + 3) * (x + 4)  # Gamma(x + 5) = product * Gamma(x)
    return _lgamma_far(x + 5) - np.log(product)


def _lgamma_near(x: Any) -> Any:
    """-1/2 < x < 3: log Gamma(2 + d) is d times a polynomial, so that the zeros at 1 and 2 are exact."""
    low, middle = x < 0.5, x < 1.5
    d = x - np.where(middle, 1.0, 2.0)
    d[low] = x[low]
    y = d * horner(interval(d, -0.5, 1.0), LGAMMA)
    ratio = np.where(middle, x, 1.0)  # Gamma(2 + d) / Gamma(x)
    ratio[low] *= 1 + x[low]
    return y - np.log(np.abs(ratio))


def _lgamma_negative(x: Any) -> Any:
    """Reflection, DLMF 5.5.3: Gamma(x) Gamma(1 - x) sin(pi x) = pi, with Gamma(1 - x) = -x Gamma(-x)."""
    r = _distance_to_integer(x)
    y = -np.log(np.abs(np.sin(math.pi * r)) / math.pi) - np.log(-x) - lgamma_array(-x)
    return np.where((r == 0) | np.isinf(x), np.inf, y)


@for_few(math.lgamma)
@in_blocks
def lgamma_array(x: Any) -> Any:
    """log |Gamma(x)| of an array."""
    return by_region(x, ((x > -0.5) & (x < 3), _lgamma_near), ((x >= 8) & (x < np.inf), _lgamma_far), ((x >= 3) & (x < 8), _lgamma_middle),
                     (x <= -0.5, _lgamma_negative), (x == np.inf, lambda x: x))


lgamma = unary("lgamma", refusing("c", lgamma_array, "lgamma_vml_cpu"), lambda g, x: g * digamma(x), """log |Gamma(x)|.

Shape: any -> the same; integers give floats.
Derivative: g * digamma(x).
Raises:
    NotImplementedError: for complex numbers.
Source: DLMF 5.11.1 (Stirling's series) from 8 on, 5.5.1 and 5.5.3 below; a polynomial fit between -1/2 and 3.
""", rule="float")


# ---- its derivatives ----------------------------------------------------------------------------------------------------------


def _digamma_far(x: Any) -> Any:
    """DLMF 5.11.2, for x >= 8."""
    r = 1 / x
    s = r * r
    return np.log(x) - (0.5 * r + s * horner(s, _DIGAMMA))


def _digamma_near(x: Any) -> Any:
    """0 <= x < 8: digamma(x + 8) - the sum of 1 / (x + k), k < 8, kept as one fraction."""
    top, bottom = np.ones_like(x), x.copy()
    for k in range(1, 8):
        step = x + k
        top *= step
        top += bottom
        bottom *= step
    return _digamma_far(x + 8) - top / bottom


def _digamma_negative(x: Any) -> Any:
    """Reflection, DLMF 5.5.4; no value at the poles."""
    r = _distance_to_integer(x)
    return np.where(r == 0, np.nan, digamma_array(1 - x) - math.pi / np.tan(math.pi * r))


@in_blocks
def digamma_array(x: Any) -> Any:
    """The derivative of log Gamma, of an array."""
    return by_region(x, (x >= 8, _digamma_far), ((x >= 0) & (x < 8), _digamma_near), (x < 0, _digamma_negative))


digamma: Any = unary("digamma", refusing("c", digamma_array, "digamma"), lambda g, x: g * polygamma_op(x, n=1),
                """The derivative of `lgamma`: psi(x) = Gamma'(x) / Gamma(x).

Shape: any -> the same; integers give floats. -inf at 0, NaN at the negative integers.
Derivative: g * polygamma(1, x).
Raises:
    NotImplementedError: for complex numbers.
Source: DLMF 5.11.2 from 8 on, 5.5.2 and 5.5.4 below.
""", rule="float")


def _trigamma_far(x: Any) -> Any:
    """DLMF 5.15.8 with its derivative's series, for x >= 8."""
    r = 1 / x
    s = r * r
    return r + 0.5 * s + r * s * horner(s, _TRIGAMMA)


def _trigamma_near(x: Any) -> Any:
    """0 <= x < 8: trigamma(x + 8) + the sum of 1 / (x + k)^2, k < 8; the smallest first."""
    y = _trigamma_far(x + 8)
    for k in range(7, -1, -1):
        y += 1 / np.square(x + k)
    return y


def _trigamma_negative(x: Any) -> Any:
    """Reflection, the derivative of DLMF 5.5.4."""
    return (math.pi / np.sin(math.pi * _distance_to_integer(x))) ** 2 - trigamma_array(1 - x)


@in_blocks
def trigamma_array(x: Any) -> Any:
    """The derivative of digamma, of an array."""
    return by_region(x, (x >= 8, _trigamma_far), ((x >= 0) & (x < 8), _trigamma_near), (x < 0, _trigamma_negative))


def _trigamma_at_poles(x: Any) -> Any:
    """At the negative integers torch's pi^2 / sin(pi x)^2, which is finite, since a rounded pi x is no pole."""
    y = trigamma_array(x)
    poles = (x < 0) & (x == np.floor(x)) & (x > -np.inf)
    if poles.any():
        pi = x.dtype.type(math.pi)
        y[poles] = (pi / np.sin(pi * x[poles])) ** 2
    return y


def _zeta_far(s: Any, q: Any) -> Any:
    """Euler-Maclaurin's formula (DLMF 25.11.28 with N = 10 terms and twelve corrections) for q > 0, s > 1."""
    total = q ** -s
    for k in range(1, 10):
        total += (q + k) ** -s
    w = q + 10
    power = w ** -s
    total += power * w / (s - 1) + 0.5 * power
    factor = power * s / w  # s (s + 1) ... (s + 2 j - 2) w^(-s - 2 j + 1)
    factorial = 2.0
    for j, b in enumerate(BERNOULLI, 1):
        total += b / factorial * factor
        factor *= (s + (2 * j - 1)) * (s + 2 * j) / (w * w)
        factorial *= (2 * j + 1) * (2 * j + 2)
    return total


def _zeta_left(s: Any, q: Any) -> Any:
    """q < 0, not an integer, and s an integer: the terms left of zero are two tails of the sum the other way."""
    part = q - np.floor(q)
    sign = np.where(s % 2 == 0, 1.0, -1.0)
    return _zeta_far(s, part) + sign * (_zeta_far(s, 1 - part) - _zeta_far(s, 1 - q))


@in_blocks
def zeta_array(s: Any, q: Any) -> Any:
    """Hurwitz' zeta function of arrays."""
    y = np.full_like(q, np.nan)
    y[(s == 1) | ((s > 1) & (q <= 0) & (q == np.floor(q)))] = np.inf
    right = (s > 1) & (q > 0)
    if right.any():
        y[right] = _zeta_far(s[right], q[right])
    left = (s > 1) & (q < 0) & (q != np.floor(q)) & (s == np.floor(s))
    if left.any():
        y[left] = _zeta_left(s[left], q[left])
    return y


zeta: Any = binary("special_zeta", zeta_array, not_implemented("zeta"), lambda g, a, b: -g * a * zeta.op(a + 1, b), rule="float", numbers="either",
              doc="""Hurwitz' zeta function: sum over k >= 0 of (q + k)^-s, of s and q; s = 1 gives inf, s < 1 NaN.

Shape: any two that broadcast; integers give floats.
Derivative: not implemented for s; -g * s * zeta(s + 1, q) for q.
Raises:
    NotImplementedError: if the gradient with respect to s is asked for.
Source: DLMF 25.11.1, evaluated by Euler-Maclaurin's formula.
""")


def _polygamma(x: Any, *, n: int) -> Any:
    if n == 0:
        return promoted(digamma_array, (x,), "float")
    if n == 1:
        return promoted(refusing("c", _trigamma_at_poles, "polygamma"), (x,), "float")
    factor = float(math.factorial(n)) if n <= 170 else math.inf

    @in_blocks
    def values(x: Any) -> Any:
        """(-1)^(n + 1) n! zeta(n + 1, x): DLMF 25.11.12."""
        return (factor if n % 2 else -factor) * zeta_array(np.full_like(x, n + 1), x)

    return promoted(refusing("c", values, "polygamma"), (x,), "float")


polygamma_op: Op = Op("polygamma", _polygamma, lambda g, x, n: g * polygamma_op(x, n=n + 1), inputs="x")


def _check_order(n: Any) -> int:
    if isinstance(n, TensorBase) or not isinstance(n, (int, np.integer)) or isinstance(n, bool):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return int(n)


def polygamma(n: int, input: Any, *, out: Any = None) -> Any:  # noqa: A002
    """The n-th derivative of `digamma`: (-1)^(n + 1) n! zeta(n + 1, x).

    Shape: any -> the same; integers give floats.
    Derivative: g * polygamma(n + 1, x).
    Raises:
        RuntimeError: for a negative n.
    Source: DLMF 25.11.12.
    """
    require_tensor("polygamma", input, "input", 2)
    y = apply(polygamma_op, (input,), {"n": _check_order(n)})
    return y if out is None else put_out(y, out)


def polygamma_method(self: Any, n: int) -> Any:
    """The n-th derivative of `digamma`: `polygamma` as a method."""
    return polygamma(n, self)


def polygamma_(self: Any, n: int) -> Any:
    """In-place `polygamma`."""
    return apply_inplace(polygamma_op, (self,), {"n": _check_order(n)})


# ---- several dimensions -------------------------------------------------------------------------------------------------------


def mvlgamma(input: Any, p: int, *, out: Any = None) -> Any:  # noqa: A002
    """The logarithm of the gamma function of p dimensions.

    log Gamma_p(x) = p (p - 1) / 4 * log(pi) + sum_(j < p) lgamma(x - j / 2)

    Shape: any -> the same; integers give floats.
    Derivative: g * sum_(j < p) digamma(x - j / 2).
    Raises:
        RuntimeError: for p < 1.
    Source: DLMF 35.3.4.
    """
    require_tensor("mvlgamma", input)
    if not isinstance(p, (int, np.integer)) or isinstance(p, bool):
        raise TypeError(f"mvlgamma(): argument 'p' (position 2) must be int, not {type(p).__name__}")
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    y = lgamma(input) + 0.25 * p * (p - 1) * math.log(math.pi)
    for j in range(1, p):
        y = y + lgamma(input - 0.5 * j)
    y = titled(y, "mvlgamma")
    return y if out is None else put_out(y, out)


def mvlgamma_(self: Any, p: int) -> Any:
    """In-place `mvlgamma`."""
    y = mvlgamma(self.clone(), p)
    if y.dtype is not self.dtype:
        raise RuntimeError(f"result type {y.dtype} can't be cast to the desired output type {self.dtype}: convert with .float() first")
    return self.copy_(y)


lgamma_ = method_inplace(lgamma.op, "lgamma_")
digamma_ = method_inplace(digamma.op, "digamma_")
