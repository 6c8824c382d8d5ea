"""Softmax and its relatives, and cross entropy: csrc/kernels/softmax.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_INT64 = np.dtype(np.int64)
_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def _answers(x: Array) -> bool:
    return (x.dtype is FLOAT32 or x.dtype is FLOAT64) and x.flags.c_contiguous and x.ndim > 0  # any size pays: NumPy makes several passes


def _forward(name: str) -> Callable[..., Any]:
    def override(x: Array, *, dim: int) -> Any:
        return getattr(K, name)(x, dim % x.ndim, empty(x.shape, x.dtype)) if _answers(x) else NotImplemented

    return override


def _backward(name: str) -> Callable[..., Any]:
    def override(g: Array, y: Array, *, dim: int) -> Any:
        if not _answers(y) or g.dtype is not y.dtype or g.shape != y.shape:
            return NotImplemented
        return getattr(K, name)(dense(g), y, dim % y.ndim, empty(y.shape, y.dtype))

    return override


def logsumexp_forward(x: Array, *, dim: Any, keepdim: bool) -> Any:
    """log(sum(e^x)) over one dimension, or over all."""
    if not _answers(x):
        return NotImplemented
    if dim is None or len(dim) == x.ndim:
        y = empty((1,) * x.ndim if keepdim else (), x.dtype)
        return K.logsumexp(x.reshape(-1), 0, y)
    if len(dim) != 1:
        return NotImplemented
    d = dim[0] % x.ndim
    return K.logsumexp(x, d, empty((*x.shape[:d], *((1,) if keepdim else ()), *x.shape[d + 1:]), x.dtype))


def _plain(x: Array, target: Array, weight: Any, label_smoothing: float) -> bool:
    """Whether the extension has this cross entropy: of a matrix, without weights and smoothing. Any size pays: NumPy makes a dozen passes."""
    return (weight is None and not label_smoothing and x.ndim == 2 and (x.dtype is FLOAT32 or x.dtype is FLOAT64) and x.flags.c_contiguous
            and (target.dtype is _INT64 or target.dtype == _INT64))


def cross_entropy_forward(x: Array, target: Array, weight: Any, *, ignore_index: int, reduction: str, label_smoothing: float) -> Any:
    """The loss, and softmax(x)."""
    if not _plain(x, target, weight, label_smoothing):
        return NotImplemented
    y, p = empty(target.shape if reduction == "none" else (), x.dtype), empty(x.shape, x.dtype)
    done = K.cross_entropy(x, dense(target), ignore_index, _REDUCTIONS[reduction], y, p)
    return done if done is NotImplemented else (y, p)


def cross_entropy_backward(g: Array, p: Array, target: Array, weight: Any, *, shape: tuple[int, ...], ignore_index: int, reduction: str,
                           label_smoothing: float) -> Any:
    """softmax(x) - 1 at the target, times the slope of the row."""
    if len(shape) != 2 or g.dtype is not p.dtype or not _plain(p, target, weight, label_smoothing):
        return NotImplemented
    return K.cross_entropy_grad(dense(g), p, dense(target), ignore_index, _REDUCTIONS[reduction], empty(shape, p.dtype))


overrides: dict[str, Callable[..., Any]] = {
    "softmax_forward": _forward("softmax"), "log_softmax_forward": _forward("log_softmax"),
    "softmax_backward": _backward("softmax_grad"), "log_softmax_backward": _backward("log_softmax_grad"),
    "logsumexp_forward": logsumexp_forward, "cross_entropy_forward": cross_entropy_forward, "cross_entropy_backward": cross_entropy_backward,
}
