"""Special functions that NumPy lacks, on floating arrays; computed in float64 and rounded to the input's dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__mytorch__ = True

# W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969): the coefficients of the three ranges,
# highest power first.
_ERF_NUM = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
_ERF_DEN = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_ERFC_NUM = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
             8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)
_ERFC_DEN = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3,
             4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3)
_TAIL_NUM = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
             6.58749161529837803e-4)
_TAIL_DEN = (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3)


BLOCK = 8192  # elements at a time: the dozen temporaries of a long polynomial then stay in the cache
FEW = 64  # up to so many elements, the function of Python's math module costs less than a dozen calls of NumPy


def in_blocks(function: Callable[..., Any]) -> Callable[..., Any]:
    """A pointwise function of 1-d float64 arrays, which it may write to, made a kernel: for arrays of any shapes that broadcast."""

    def run(*operands: Any) -> Any:
        shape = np.broadcast_shapes(*[x.shape for x in operands])
        flat = [np.broadcast_to(x, shape).reshape(-1) for x in operands]
        y = np.empty(flat[0].size, operands[0].dtype)
        for start in range(0, y.size, BLOCK):
            part = slice(start, start + BLOCK)
            y[part] = function(*[x[part].astype(np.float64) for x in flat])
        return y.reshape(shape)

    run.__module__ = function.__module__
    return run


def for_few(scalar: Callable[[float], float]) -> Callable[..., Any]:
    """The kernel below it, but for a few elements the same function of Python's own math module (the C library's)."""
    def decorate(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any) -> Any:
            if x.size <= FEW:
                try:
                    return np.array([scalar(v) for v in x.reshape(-1).tolist()], x.dtype).reshape(x.shape)
                except (ValueError, OverflowError):  # at a pole: Python raises where the kernel says inf
                    pass
            return kernel(x)
        run.__module__ = kernel.__module__
        return run
    return decorate


def by_region(x: Any, *regions: tuple[Any, Callable[[Any], Any]]) -> Any:
    """Each region is a mask and the function that holds there, which sees these elements only. NaN where no mask is true."""
    y = np.full_like(x, np.nan)
    for mask, function in regions:
        count = np.count_nonzero(mask)
        if count == x.size:
            return function(x)
        if count:
            y[mask] = function(x[mask])
    return y


def horner(t: Any, coefficients: tuple[float, ...]) -> Any:
    """The polynomial with these coefficients, highest power first."""
    y = t * coefficients[0]
    y += coefficients[1]
    for c in coefficients[2:]:
        y *= t
        y += c
    return y


def interval(x: Any, low: float, high: float) -> Any:
    """x moved from [low, high] to [-1, 1], where the polynomials of special_tables are given."""
    return (x - low) * (2 / (high - low)) - 1


# ---- the error function and its relatives -------------------------------------------------------------------------------------


def _erf_near(x: Any) -> Any:
    t = x * x
    return x * (horner(t, _ERF_NUM) / horner(t, _ERF_DEN))


def _erfcx_middle(x: Any) -> Any:
    return horner(x, _ERFC_NUM) / horner(x, _ERFC_DEN)


def _erfcx_far(x: Any) -> Any:
    t = 1 / (x * x)
    return (1 / np.sqrt(np.pi) - t * (horner(t, _TAIL_NUM) / horner(t, _TAIL_DEN))) / x


def _erfcx_positive(x: Any) -> Any:
    """e^(x^2) erfc(x) for x > 0.46875."""
    return by_region(x, (x <= 4, _erfcx_middle), (x > 4, _erfcx_far))


def gauss(x: Any, sign: int = -1) -> Any:
    """e^(-x^2), or e^(x^2) for sign=1: the square split in two, so that its rounding error is not magnified."""
    size = np.minimum(np.abs(x), 40.0)
    whole = np.trunc(size * 16) / 16
    return np.exp(sign * whole * whole) * np.exp(sign * (size - whole) * (size + whole))


def _erfc_far(x: Any) -> Any:
    size = np.abs(x)
    tail = gauss(size) * _erfcx_positive(size)
    return np.where(x > 0, tail, 2 - tail)


def _erf_far(x: Any) -> Any:
    size = np.abs(x)
    return np.copysign(1 - gauss(size) * _erfcx_positive(size), x)


@for_few(math.erf)
@in_blocks
def erf(x: Any) -> Any:
    """2 / sqrt(pi) * integral of e^(-t^2) from 0 to x."""
    size = np.abs(x)
    return by_region(x, (size <= 0.46875, _erf_near), (size > 0.46875, _erf_far))


@for_few(math.erfc)
@in_blocks
def erfc(x: Any) -> Any:
    """1 - erf(x), without cancellation for large x."""
    size = np.abs(x)
    return by_region(x, (size <= 0.46875, lambda x: 1 - _erf_near(x)), (size > 0.46875, _erfc_far))


@in_blocks
def erfcx(x: Any) -> Any:
    """e^(x^2) erfc(x), which neither overflows nor vanishes for large x."""
    return by_region(x, (np.abs(x) <= 0.46875, lambda x: gauss(x, 1) * (1 - _erf_near(x))), (x > 0.46875, _erfcx_positive),
                     (x < -0.46875, lambda x: 2 * gauss(x, 1) - _erfcx_positive(-x)))


_ONE = np.ones((), np.float32)  # with an array of no dimensions NumPy takes half the time that it takes with a number


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x); an overflow of e^-x gives 0, as it should."""
    y = np.negative(x, out=...)
    np.exp(y, out=y)
    np.add(y, _ONE if y.dtype is _ONE.dtype else 1, out=y)
    return np.reciprocal(y, out=y)


def log_add(a: Any, b: Any) -> Any:
    """log(e^a + e^b) on arrays, complex ones too: from the greater real part, so that the exponential of the difference is small."""
    if a.dtype.kind != "c":
        return np.logaddexp(a, b)
    first = (a.real >= b.real) | np.isnan(a.real)
    big, small = np.where(first, a, b), np.where(first, b, a)
    y = big + np.log1p(np.exp(small - big))
    level = np.isinf(big.real) & (big.real == small.real)  # inf - inf would be NaN
    return np.where(level, np.where(big.real < 0, big, np.log(np.exp(big) + np.exp(small))), y) if level.any() else y
