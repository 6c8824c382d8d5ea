"""Pointwise functions: csrc/kernels/pointwise.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import BFLOAT16, FLOAT32, FLOAT64, Array, K, alike, dense, empty

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_HUGE = 1e30  # a number that float32 holds
_SMALLEST = 8192  # elements: below, NumPy is done before a call pays; from here on the pool has the memory of results
_SMALLEST_HALF = 64  # the same of bfloat16, which NumPy widens and rounds in a dozen calls


def _answers(x: Array, at_least: int = _SMALLEST) -> bool:
    """Whether the extension maps this array: contiguous, of a type it knows, and large enough."""
    kind = x.dtype
    if kind is FLOAT32 or kind is FLOAT64:
        return K.worth(x.size, at_least) and x.flags.c_contiguous
    return kind.kind == "V" and K.worth(x.size, min(at_least, _SMALLEST_HALF)) and x.flags.c_contiguous


def _unary(name: str, at_least: int = _SMALLEST) -> Callable[[Array], Any]:
    def override(x: Array) -> Any:
        return getattr(K, name)(x, empty(x.shape, x.dtype)) if _answers(x, at_least) else NotImplemented

    return override


def _binary(name: str, number_first: str | None = None) -> Callable[..., Any]:
    """The override of a function of two arrays, one of which has the shape of the result.

    Args:
        number_first: the kernel for (number, array), where operands may be numbers.
    """
    number_second = f"{name}_number"

    def mixed(a: Array, b: Array) -> Any:
        """float32 and bfloat16 of one shape, in any order: float32."""
        if name not in _MIXED or a.shape != b.shape or {a.dtype, b.dtype} != _BOTH:
            return NotImplemented
        return getattr(K, name)(a, b, empty(a.shape, FLOAT32))

    def override(a: Any, b: Any, out: Any = None) -> Any:
        """The function, in a new array; or in `out`, which has the result's shape and dtype, and may be a."""
        if not isinstance(b, np.ndarray):
            if number_first is None or not _answers(a) or not -_HUGE < b < _HUGE:
                return NotImplemented
            return getattr(K, number_second)(a, b, empty(a.shape, a.dtype) if out is None else out)
        if not isinstance(a, np.ndarray):
            if number_first is None or not _answers(b) or not -_HUGE < a < _HUGE:
                return NotImplemented
            return getattr(K, number_first)(b, a, empty(b.shape, b.dtype))
        large, small = (a, b) if (a.ndim, a.size) >= (b.ndim, b.size) else (b, a)
        if not _answers(large) or not small.flags.c_contiguous:
            return NotImplemented
        if small.dtype is not large.dtype and small.dtype != large.dtype:
            return mixed(a, b)
        if small.shape != large.shape[large.ndim - small.ndim:] and not _repeats(small.shape, large.shape):
            return NotImplemented
        return getattr(K, name)(a, b, empty(large.shape, large.dtype) if out is None else out)

    return override


def _repeats(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether the one broadcasts to the other."""
    return len(small) <= len(large) and all(n in (1, m) for n, m in zip(reversed(small), reversed(large)))


_MIXED = frozenset({"add", "sub", "mul"})
_BOTH = {FLOAT32, BFLOAT16}


def _gradient(name: str) -> Callable[[Array, Array], Any]:
    """The override of g times a slope: two arrays of one shape, of any size, since NumPy makes several passes."""
    def override(g: Array, x: Array) -> Any:
        return getattr(K, name)(g, x, empty(g.shape, g.dtype)) if alike(g, x) else NotImplemented

    return override


def gelu_forward(x: Array, *, approximate: str) -> Any:
    """x times the normal distribution function at x, exact (float32) or by tanh."""
    if not _answers(x, 1):
        return NotImplemented
    return (K.gelu if approximate == "none" else K.gelu_tanh)(x, empty(x.shape, x.dtype))


def gelu_grad(g: Array, x: Array, *, approximate: str) -> Any:
    """g times the slope of gelu."""
    if not _answers(x, 1) or g.shape != x.shape or g.dtype != x.dtype:
        return NotImplemented
    return (K.gelu_grad if approximate == "none" else K.gelu_tanh_grad)(dense(g), x, empty(x.shape, x.dtype))


def add_to(total: Array, x: Array) -> Any:
    """total + x, written over total."""
    if not _answers(total) or total.shape != x.shape or x.dtype != total.dtype or not x.flags.c_contiguous:
        return NotImplemented
    return K.add(total, x, total)


def relu_grad_over(g: Array, y: Array) -> Any:
    """g where y is not 0 or less, written over g."""
    if not _answers(g) or g.shape != y.shape or y.dtype != g.dtype or not y.flags.c_contiguous:
        return NotImplemented
    return K.relu_grad(g, y, g)


def kept(x: Array, mask: Array) -> Any:
    """x where the mask is True, else zero."""
    if not _answers(x):
        return NotImplemented
    if mask.shape == x.shape and mask.flags.c_contiguous:
        return K.kept(x, mask, empty(x.shape, x.dtype))
    if x.dtype.kind == "V" or not _repeats(mask.shape, x.shape):
        return NotImplemented
    return K.where(mask, x, np.zeros((), x.dtype), empty(x.shape, x.dtype))


overrides: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in ("relu", "exp", "log", "tanh", "square", "neg", "abs", "sqrt")},
    **{name: _unary(name, 1) for name in ("sigmoid", "silu")},  # of which NumPy makes several passes
    "add": _binary("add", "add_number"), "sub": _binary("sub", "number_sub"), "mul": _binary("mul", "mul_number"),
    "div": _binary("div", "number_div"), "maximum": _binary("maximum"), "minimum": _binary("minimum"),
    **{name: _gradient(name) for name in ("relu_grad", "tanh_grad", "sigmoid_grad", "silu_grad")},
    "gelu_forward": gelu_forward, "gelu_grad": gelu_grad, "kept": kept, "add_to": add_to, "relu_grad_over": relu_grad_over,
}
