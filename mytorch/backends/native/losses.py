"""Losses of two arrays, element by element: csrc/kernels/losses.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import Array, K, alike, dense, empty

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True


def _values(kernel: str, edge: str | None = None) -> Callable[..., Any]:
    """The override of a loss and what its elements are reduced to: of any size, since NumPy makes several passes.

    Args:
        edge: the keyword of the loss that says where it turns into a line.
    """
    each, total = kernel, f"{kernel}_sum"

    def override(x: Array, target: Array, *, reduction: str, **meta: float) -> Any:
        if not alike(x, target):
            return NotImplemented
        at = 0.0 if edge is None else meta[edge]
        if reduction == "none":
            return getattr(K, each)(x, target, at, empty(x.shape, x.dtype))
        if not x.size:
            return NotImplemented  # a sum of nothing, or a mean
        return getattr(K, total)(x, target, at, empty((), x.dtype), x.size if reduction == "mean" else 1.0)

    return override


def _gradient(kernel: str) -> Callable[..., Any]:
    """The override of the gradient of x; g is one number, or one for each element."""
    def override(g: Array, x: Array, target: Array, reduction: str, edge: float = 0.0) -> Any:
        if not alike(x, target) or (g.dtype is not x.dtype and g.dtype != x.dtype) or g.shape != (x.shape if reduction == "none" else ()):
            return NotImplemented
        divisor = x.size if reduction == "mean" and x.size else 1.0
        return getattr(K, kernel)(dense(g), x, target, edge, empty(x.shape, x.dtype), divisor)

    return override


_bce_logits = _values("bce_logits_loss")


def bce_logits(x: Array, target: Array, pos_weight: Array | None, *, reduction: str) -> Any:
    """Binary cross entropy of logits."""
    if pos_weight is None:
        return _bce_logits(x, target, reduction=reduction)
    if not alike(x, target) or not x.size or pos_weight.dtype != x.dtype:
        return NotImplemented
    if reduction == "none":
        return K.bce_weighted_logits_loss(x, target, _repeated(pos_weight, x.shape), empty(x.shape, x.dtype), 0.0)
    divisor = x.size if reduction == "mean" else 1.0
    return K.bce_weighted_logits_loss(x, target, _repeated(pos_weight, x.shape), empty((), x.dtype), divisor)


def bce_weighted_logits_grad(g: Array, x: Array, target: Array, reduction: str, pos_weight: Array) -> Any:
    """Its gradient of x, with weights."""
    if not alike(x, target) or {pos_weight.dtype, g.dtype} != {x.dtype} or g.shape != (x.shape if reduction == "none" else ()):
        return NotImplemented
    divisor = x.size if reduction == "mean" and x.size else 1.0
    return K.bce_weighted_logits_loss_grad(dense(g), x, target, _repeated(pos_weight, x.shape), empty(x.shape, x.dtype), divisor)


def _repeated(x: Array, shape: tuple[int, ...]) -> Array:
    """x with memory of its own for every element of the shape that it broadcasts to."""
    repeated = np.broadcast_to(x, shape)
    y = K.copy(repeated, empty(shape, x.dtype))
    return dense(repeated) if y is NotImplemented else y


overrides: dict[str, Callable[..., Any]] = {
    "mse_loss": _values("mse_loss"), "l1_loss": _values("l1_loss"), "smooth_l1_loss": _values("smooth_l1_loss", "beta"),
    "huber_loss": _values("huber_loss", "delta"), "binary_cross_entropy": _values("bce_loss"),
    "binary_cross_entropy_with_logits": bce_logits, "bce_weighted_logits_loss_grad": bce_weighted_logits_grad,
    **{f"{name}_grad": _gradient(f"{name}_grad") for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "bce_loss", "bce_logits_loss")},
}
