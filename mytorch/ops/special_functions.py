"""Special functions that NumPy lacks, on floating arrays; computed in float64 and rounded to the input's dtype."""

from __future__ import annotations

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


def _ratio(numerator: tuple[float, ...], denominator: tuple[float, ...], t: Any) -> Any:
    top = np.full_like(t, numerator[0])
    for c in numerator[1:]:
        top = top * t + c
    bottom = np.full_like(t, denominator[0])
    for c in denominator[1:]:
        bottom = bottom * t + c
    return top / bottom


def _erfc_positive(x: Any) -> Any:
    """erfc for x > 0.46875, in float64."""
    t = 1 / (x * x)
    far = (1 / np.sqrt(np.pi) - t * _ratio(_TAIL_NUM, _TAIL_DEN, t)) / x
    y = np.where(x <= 4, _ratio(_ERFC_NUM, _ERFC_DEN, np.minimum(x, 4.0)), far)
    # e^(-x^2) with the square split in two, so that its rounding error is not magnified
    whole = np.trunc(x * 16) / 16
    return np.where(x > 27, 0.0, np.exp(-whole * whole) * np.exp(-(x - whole) * (x + whole)) * y)


def erf(x: Any) -> Any:
    """2 / sqrt(pi) * integral of e^(-t^2) from 0 to x."""
    wide = np.asarray(x, np.float64)
    size = np.abs(wide)
    small = wide * _ratio(_ERF_NUM, _ERF_DEN, np.minimum(size, 0.5) ** 2)
    large = np.sign(wide) * (1 - _erfc_positive(np.clip(size, 0.4, 30)))
    return np.where(size <= 0.46875, small, np.where(np.isnan(wide), wide, large)).astype(x.dtype)


def erfc(x: Any) -> Any:
    """1 - erf(x), without cancellation for large x."""
    wide = np.asarray(x, np.float64)
    size = np.abs(wide)
    small = 1 - wide * _ratio(_ERF_NUM, _ERF_DEN, np.minimum(size, 0.5) ** 2)
    tail = _erfc_positive(np.clip(size, 0.4, 30))
    large = np.where(wide > 0, tail, 2 - tail)
    return np.where(size <= 0.46875, small, np.where(np.isnan(wide), wide, large)).astype(x.dtype)


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x); an overflow of e^-x gives 0, as it should."""
    y = np.negative(x, out=...)
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)
