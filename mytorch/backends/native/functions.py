"""Functions of one number, powers among them, and their gradients; remainders: csrc/kernels/functions.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, alike, empty, known

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_SMALLEST = 8192  # elements; below, NumPy's one pass is done before a call pays
_EXPONENTS = frozenset({2.0, 3.0, -1.0, -2.0, 0.5, -0.5})  # which torch computes without its function for powers


def _unary(kernel: str, at_least: int = _SMALLEST, wide: bool = True) -> Callable[[Array], Any]:
    """The override of a function of one array.

    Args:
        wide: whether the kernel knows float64, too.
    """
    def override(x: Array) -> Any:
        kind = x.dtype
        if not (kind is FLOAT32 or kind.kind == "V" or (wide and kind is FLOAT64)) or not K.worth(x.size, at_least) or not x.flags.c_contiguous:
            return NotImplemented
        return getattr(K, kernel)(x, empty(x.shape, kind))

    return override


def _gradient(kernel: str, wide: bool = True) -> Callable[..., Any]:
    """The override of a function of two arrays of one shape: as a rule g times a slope, from the input or from the output v."""
    def override(g: Array, v: Array, out: Array | None = None) -> Any:
        if not (K.worth(g.size, _SMALLEST) and alike(g, v)) or (g.dtype is FLOAT64 and not wide):
            return NotImplemented
        return getattr(K, kernel)(g, v, empty(g.shape, g.dtype) if out is None else out)

    return override


def power(x: Array, *, exponent: float) -> Any:
    """x^exponent, of the exponents that take no logarithm."""
    if exponent not in _EXPONENTS or not known(x.dtype) or not K.worth(x.size, _SMALLEST) or not x.flags.c_contiguous:
        return NotImplemented
    return K.power(x, exponent, empty(x.shape, x.dtype))


def power_grad(g: Array, x: Array, *, exponent: float) -> Any:
    """g times the slope of such a power."""
    if exponent not in _EXPONENTS or not (K.worth(g.size, _SMALLEST) and alike(g, x)):
        return NotImplemented
    return K.power_grad(g, x, exponent, empty(g.shape, g.dtype))


def logaddexp(a: Any, b: Any, out: Array | None = None) -> Any:
    """log(e^a + e^b) of two arrays of one shape."""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray) or not alike(a, b):
        return NotImplemented
    return K.logaddexp(a, b, empty(a.shape, a.dtype) if out is None else out)


def logaddexp_grad(g: Array, a: Array, b: Array) -> Any:
    """g times the slope of a in log(e^a + e^b)."""
    if not alike(a, b) or not alike(g, a):
        return NotImplemented
    return K.logaddexp_grad(g, a, b, empty(g.shape, g.dtype))


def _division(kernel: str) -> Callable[[Array, Array], Any]:
    """The override of a rounded quotient or its remainder, of float32: b has a's shape, or is one number."""
    def override(a: Array, b: Array) -> Any:
        if a.dtype is not FLOAT32 or b.dtype is not FLOAT32 or not K.worth(a.size, _SMALLEST) or not a.flags.c_contiguous:
            return NotImplemented
        if not (b.shape == a.shape and b.flags.c_contiguous) and b.ndim > 0:
            return NotImplemented
        return getattr(K, kernel)(a, b, empty(a.shape, FLOAT32))

    return override


def _added(kernel: str) -> Callable[..., Any]:
    """The override of x + value * (a * b, or a / b)."""
    def override(x: Array, a: Array, b: Array, *, value: float) -> Any:
        if not (K.worth(x.size, _SMALLEST) and alike(x, a) and alike(a, b)):
            return NotImplemented
        return getattr(K, kernel)(x, a, b, value, empty(x.shape, x.dtype))

    return override


overrides: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in ("log2", "log10", "expm1", "exp2", "sinh", "cosh", "sign")},
    "tan": _unary("tan", wide=False), "atan": _unary("atan", wide=False), "atan2": _gradient("atan2", wide=False),
    **{name: _division(name) for name in ("fmod", "remainder", "floor_divide")},
    "sin": _unary("sin", wide=False), "cos": _unary("cos", wide=False), "erf": _unary("erf", 1, wide=False), "log1p": _unary("log1p"),
    "sin_grad": _gradient("sin_grad", wide=False), "cos_grad": _gradient("cos_grad", wide=False),
    "erf_grad": _gradient("erf_grad", wide=False), "log1p_grad": _gradient("log1p_grad"), "sqrt_grad": _gradient("sqrt_grad"),
    "reciprocal_grad": _gradient("reciprocal_grad"), "rsqrt_grad": _gradient("rsqrt_grad"),
    "reciprocal": lambda x: power(x, exponent=-1.0), "rsqrt": lambda x: power(x, exponent=-0.5),
    "abs_grad": _gradient("abs_grad"), "logaddexp": logaddexp, "logaddexp_grad": logaddexp_grad,
    "addcmul": _added("addcmul"), "addcdiv": _added("addcdiv"), "power": power, "power_grad": power_grad,
}
