"""The normal distribution's functions (erfinv, erfcx, ndtr, ndtri, log_ndtr) and small ones beside them: entr, xlog1py, frexp.

erf and erfc themselves are in arithmetic.py. DLMF is the Digital Library of Mathematical Functions, https://dlmf.nist.gov.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.dtypes import FLOATING, from_numpy_dtype
from mytorch.ops import return_types
from mytorch.ops import special_functions as sf
from mytorch.ops import special_tables as tables
from mytorch.ops.arithmetic import exp, log, log1p
from mytorch.ops.choices import where
from mytorch.ops.common import Op, apply, method_inplace, narrowed, put_out, require_tensor, widened
from mytorch.ops.pointwise import binary, refusing, unary
from mytorch.ops.special_functions import by_region, horner, in_blocks, interval

__mytorch__ = True

_ROOT_2 = math.sqrt(2)
_ROOT_HALF = math.sqrt(0.5)
_ROOT_PI = math.sqrt(math.pi)
_SHAPE = "\n\nShape: any -> the same; integers give floats."

# ---- inverses -----------------------------------------------------------------------------------------------------------------


def _growth(w: Any) -> Any:
    """erfinv(x) / x as a function of w = -log(1 - x^2): Giles 2011, Approximating the erfinv function, whose variable this is."""
    s = np.sqrt(w)
    return by_region(s, (s <= 2.5, lambda s: horner(interval(s * s, 0, 6.25), tables.ERFINV_CENTRE)),
                     ((s > 2.5) & (s <= 4), lambda s: horner(interval(s, 2.5, 4), tables.ERFINV_MIDDLE)),
                     ((s > 4) & (s <= 6.25), lambda s: horner(interval(s, 4, 6.25), tables.ERFINV_TAIL)),
                     ((s > 6.25) & (s <= 12.5), lambda s: horner(interval(s, 6.25, 12.5), tables.ERFINV_FAR)),
                     ((s > 12.5) & (s <= 27.5), lambda s: horner(interval(s, 12.5, 27.5), tables.ERFINV_FARTHEST)),
                     (s == np.inf, lambda s: s))


@in_blocks
def erfinv_array(x: Any) -> Any:
    """The inverse of erf, of an array."""
    return x * _growth(-np.log((1 - x) * (1 + x)))


@in_blocks
def _ndtri(p: Any) -> Any:
    """-sqrt(2) erfinv(1 - 2 q) of the smaller tail q: 1 - x^2 is 4 q (1 - q), without cancellation however small q is."""
    q = np.minimum(p, 1 - p)
    y = _ROOT_2 * (1 - 2 * q) * _growth(-np.log(4 * q * (1 - q)))
    return np.where(p < 0.5, -y, y)


erfinv = unary("erfinv", refusing("c", erfinv_array, "erfinv_vml_cpu"), lambda g, y: g * (exp(y * y) * (0.5 * _ROOT_PI)),
               f"The inverse of `erf`: erf(erfinv(x)) = x for -1 < x < 1; infinite at the ends, NaN beyond.{_SHAPE}\n"
               "Derivative: g * sqrt(pi) / 2 * e^(y^2).\nSource: Giles 2011, Approximating the erfinv function, GPU Computing Gems 2.", rule="float")
erfinv_ = method_inplace(erfinv.op, "erfinv_")
ndtri = unary("special_ndtri", refusing("c", _ndtri, "ndtri_cpu"), lambda g, y: g * (exp(y * y * 0.5) * math.sqrt(2 * math.pi)),
              f"The inverse of `ndtr`: the x that a standard normal variable stays below with probability p.{_SHAPE}\n"
              "Derivative: g * sqrt(2 pi) * e^(y^2 / 2).\nSource: as `erfinv`: sqrt(2) erfinv(2 p - 1).", rule="float")

# ---- tails --------------------------------------------------------------------------------------------------------------------

erfcx = unary("special_erfcx", refusing("c", sf.erfcx, "erfcx_cpu"), lambda g, x, y: g * (x * y * 2 - 2 / _ROOT_PI),
              f"e^(x^2) erfc(x), which neither overflows nor vanishes for large x.{_SHAPE}\n"
              "Derivative: g * (2 x y - 2 / sqrt(pi)).\nSource: Cody 1969, Math. Comp. 23.", rule="float")


@in_blocks
def _ndtr(x: Any) -> Any:
    return 0.5 * sf.erfc(x * -_ROOT_HALF)


@in_blocks
def _log_ndtr(x: Any) -> Any:
    return by_region(x, (x < -1, lambda u: np.log(0.5 * sf.erfcx(u * -_ROOT_HALF)) - 0.5 * u * u),
                     (x >= -1, lambda u: np.log1p(-0.5 * sf.erfc(u * _ROOT_HALF))))


ndtr = unary("special_ndtr", refusing("c", _ndtr, "ndtr_cpu"), lambda g, x: g * (exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))),
             f"P(X <= x) for a standard normal X: erfc(-x / sqrt(2)) / 2.{_SHAPE}\nDerivative: g * e^(-x^2 / 2) / sqrt(2 pi).\n"
             "Source: DLMF 7.2.2.", rule="float")
log_ndtr = unary("special_log_ndtr", refusing("c", _log_ndtr, "log_ndtr_cpu"),
                 lambda g, x: g * (math.sqrt(2 / math.pi) / erfcx(x * -_ROOT_HALF)),
                 f"log(ndtr(x)), exact far to the left, where ndtr vanishes.{_SHAPE}\n"
                 "Derivative: g * sqrt(2 / pi) / erfcx(-x / sqrt(2)).\nSource: DLMF 7.2.3.", rule="float")

# ---- logarithms with a factor -------------------------------------------------------------------------------------------------


def _entr(x: Any) -> Any:
    y = -x * np.log(np.where(x > 0, x, 1))
    return np.where(x < 0, np.asarray(-np.inf, y.dtype), np.where(np.isnan(x), x, y))


def _xlog1py(a: Any, b: Any) -> Any:
    return np.where((a == 0) & ~np.isnan(b), np.asarray(0, a.dtype), a * np.log1p(b))


def _xlog1py_formula(g: Any, a: Any, b: Any) -> Any:
    log_b = float(np.log1p(b)) if isinstance(b, (int, float)) else log1p(b)
    return where((a == 0) & (b <= -1), 0.0, g * log_b)


entr = unary("special_entr", refusing("c", _entr, "entr"), lambda g, x: g * (-log(x) - 1),
             f"-x log(x): the entropy's summand; zero at 0, -inf below.{_SHAPE}\nDerivative: -g * (1 + log(x)).", rule="float")
xlog1py = binary("special_xlog1py", refusing("c", _xlog1py, "xlog1py_cpu"), _xlog1py_formula,
                 lambda g, a, b: g * a / (b + 1), rule="float", numbers="either",
                 doc="a * log(1 + b), zero where a is zero.\n\nShape: any two that broadcast; integers give floats.\n"
                     "Derivative: g * log(1 + b), g * a / (1 + b).")

# ---- mantissa and exponent ----------------------------------------------------------------------------------------------------


def _frexp(x: Any) -> tuple[Any, Any]:
    mantissa, exponent = np.frexp(widened(x))
    return np.asarray(narrowed(mantissa, x.dtype)), np.asarray(exponent, np.int32)


def _ldexp(x: Any, exponent: Any) -> Any:
    return np.asarray(narrowed(np.ldexp(widened(x), -exponent), x.dtype))


_scaled_down: Op = Op("frexp_backward", _ldexp, lambda g, exponent: _scaled_down(g, exponent), None)
frexp_op: Op = Op("frexp", _frexp, lambda g, exponent: None if g[0] is None else _scaled_down(g[0], exponent), outputs="mantissa exponent")


def frexp(input: Any, *, out: Any = None) -> Any:  # noqa: A002
    """x = mantissa * 2 ** exponent with 1/2 <= |mantissa| < 1: a named tuple (mantissa, exponent); the exponent is int32.

    Shape: any -> twice the same.
    Derivative: g / 2 ** exponent for the mantissa.
    Raises:
        RuntimeError: for integers and complex numbers.
    """
    require_tensor("frexp", input)
    if from_numpy_dtype(input._array.dtype).category != FLOATING:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    y = apply(frexp_op, (input,))
    if out is not None:
        y = tuple(put_out(part, target) for part, target in zip(y, out, strict=True))
    return return_types.frexp(y)

