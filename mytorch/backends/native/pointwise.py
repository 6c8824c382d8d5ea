"""Pointwise functions: csrc/kernels/pointwise.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, empty

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_HUGE = 1e30  # a number that float32 holds
_SMALLEST = 8192  # elements: below, NumPy is done before a call pays; from here on the pool has the memory of results


def _answers(x: Array) -> bool:
    """Whether the extension maps this array: contiguous, of a type it knows, and large enough."""
    return K.worth(x.size, _SMALLEST) and (x.dtype is FLOAT32 or x.dtype is FLOAT64) and x.flags.c_contiguous


def _unary(name: str) -> Callable[[Array], Any]:
    def override(x: Array) -> Any:
        return getattr(K, name)(x, empty(x.shape, x.dtype)) if _answers(x) else NotImplemented

    return override


def _binary(name: str, number_first: str | None = None) -> Callable[[Any, Any], Any]:
    """The override of a function of two arrays, one of which has the shape of the result.

    Args:
        number_first: the kernel for (number, array), where operands may be numbers.
    """
    number_second = f"{name}_number"

    def override(a: Any, b: Any) -> Any:
        if not isinstance(b, np.ndarray):
            if number_first is None or not _answers(a) or not -_HUGE < b < _HUGE:
                return NotImplemented
            return getattr(K, number_second)(a, b, empty(a.shape, a.dtype))
        if not isinstance(a, np.ndarray):
            if number_first is None or not _answers(b) or not -_HUGE < a < _HUGE:
                return NotImplemented
            return getattr(K, number_first)(b, a, empty(b.shape, b.dtype))
        large, small = (a, b) if (a.ndim, a.size) >= (b.ndim, b.size) else (b, a)
        if not _answers(large) or small.dtype is not large.dtype or not small.flags.c_contiguous:
            return NotImplemented
        if small.shape != large.shape[large.ndim - small.ndim:] and not _repeats(small.shape, large.shape):
            return NotImplemented
        return getattr(K, name)(a, b, empty(large.shape, large.dtype))

    return override


def _repeats(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether the one broadcasts to the other."""
    return len(small) <= len(large) and all(n in (1, m) for n, m in zip(reversed(small), reversed(large)))


def _gradient(name: str) -> Callable[[Array, Array], Any]:
    """The override of g times a slope: two arrays of one shape."""
    def override(g: Array, x: Array) -> Any:
        if not _answers(g) or g.shape != x.shape or x.dtype is not g.dtype or not x.flags.c_contiguous:
            return NotImplemented
        return getattr(K, name)(g, x, empty(g.shape, g.dtype))

    return override


def gelu_forward(x: Array, *, approximate: str) -> Any:
    """x times the normal distribution function at x, exact (float32) or by tanh."""
    if not _answers(x):
        return NotImplemented
    return (K.gelu if approximate == "none" else K.gelu_tanh)(x, empty(x.shape, x.dtype))


def gelu_grad(g: Array, x: Array, *, approximate: str) -> Any:
    """g times the slope of gelu."""
    if not _answers(g) or g.shape != x.shape or x.dtype is not g.dtype or not x.flags.c_contiguous:
        return NotImplemented
    return (K.gelu_grad if approximate == "none" else K.gelu_tanh_grad)(g, x, empty(g.shape, g.dtype))


def kept(x: Array, mask: Array) -> Any:
    """x where the mask is True, else zero."""
    if not _answers(x):
        return NotImplemented
    if mask.shape == x.shape and mask.flags.c_contiguous:
        return K.kept(x, mask, empty(x.shape, x.dtype))
    if not _repeats(mask.shape, x.shape):
        return NotImplemented
    return K.where(mask, x, np.zeros((), x.dtype), empty(x.shape, x.dtype))


overrides: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in ("relu", "exp", "log", "tanh", "sigmoid", "silu", "square", "neg", "abs", "sqrt")},
    "add": _binary("add", "add_number"), "sub": _binary("sub", "number_sub"), "mul": _binary("mul", "mul_number"),
    "div": _binary("div", "number_div"), "maximum": _binary("maximum"), "minimum": _binary("minimum"),
    **{name: _gradient(name) for name in ("relu_grad", "tanh_grad", "sigmoid_grad", "silu_grad")},
    "gelu_forward": gelu_forward, "gelu_grad": gelu_grad, "kept": kept,
}
