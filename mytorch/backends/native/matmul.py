"""Products of matrices, and the gradients of a Linear layer: csrc/kernels/matmul.cpp and linear.cpp."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.bfloat16 import product
from mytorch.backends.native.extension import BFLOAT16, FLOAT32, FLOAT64, Array, K, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

__mytorch__ = True


def _multiply(a: Array, b: Array, bias: Array | None, y: Array) -> Any:
    return K.matmul(a, b, bias, y) if y.dtype is FLOAT32 or y.dtype is FLOAT64 else product(a, b, bias, y)


def matmul(a: Array, b: Array) -> Any:
    """(*, m, k) @ (*, k, n) of float32, float64 or bfloat16 in any strides."""
    kind = a.dtype
    if kind is FLOAT32 is b.dtype and a.ndim == 2 == b.ndim:  # the usual case, without further questions
        return K.matmul(a, b, None, empty((a.shape[0], b.shape[1]), kind))
    if kind is not FLOAT32 and kind is not FLOAT64 and kind != BFLOAT16:
        return NotImplemented
    if b.dtype != kind or a.ndim < 2 or b.ndim < 2:
        return NotImplemented
    lead = a.shape[:-2]
    if b.ndim > 2 and b.shape[:-2] == lead and b.size and not any(b.strides[:-2]):  # one matrix, repeated by expand()
        b = b[(0,) * len(lead)]
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:  # one large product instead of many small ones
        y = empty((math.prod(a.shape[:-1]), b.shape[-1]), kind)
        done = _multiply(a.reshape(len(y), a.shape[-1]), b, None, y)
        return done if done is NotImplemented else y.reshape(*a.shape[:-1], b.shape[-1])
    if b.shape[:-2] != lead:
        lead = np.broadcast_shapes(lead, b.shape[:-2])
        a, b = np.broadcast_to(a, lead + a.shape[-2:]), np.broadcast_to(b, lead + b.shape[-2:])
    return _multiply(a, b, None, empty((*lead, a.shape[-2], b.shape[-1]), kind))


def linear(x: Array, weight: Array, bias: Array | None) -> Any:
    """x (*, in) @ weight (out, in)^T + bias (out)."""
    kind = x.dtype
    if bias is not None and (bias.dtype is not kind or bias.shape != weight.shape[:1] or not bias.flags.c_contiguous):
        return NotImplemented
    if kind is FLOAT32 is weight.dtype and x.ndim == 2:
        return K.matmul(x, weight.T, bias, empty((x.shape[0], weight.shape[0]), kind))
    if (kind is not FLOAT32 and kind is not FLOAT64 and kind != BFLOAT16) or weight.dtype != kind:
        return NotImplemented
    if x.ndim == 2:
        return _multiply(x, weight.T, bias, empty((len(x), len(weight)), kind))
    y = empty((*x.shape[:-1], len(weight)), kind)
    rows = math.prod(x.shape[:-1])
    done = _multiply(x.reshape(rows, x.shape[-1]), weight.T, bias, y.reshape(rows, len(weight)))
    return done if done is NotImplemented else y


def linear_grad(g: Array, x: Array | None, weight: Array | None, *, needs: Sequence[bool]) -> Any:
    """Gradients of (x, weight, bias)."""
    kind = g.dtype
    if x is None or (kind is not FLOAT32 and kind is not FLOAT64) or not g.flags.c_contiguous or not g.size or not x.size:
        return NotImplemented
    ins, outs = x.shape[-1], g.shape[-1]
    rows, g_rows = (x, g) if g.ndim == 2 else (x.reshape(-1, ins), g.reshape(-1, outs))
    needs_x, _, needs_bias = needs
    dx = empty(x.shape, kind) if needs_x else None
    dw = empty((outs, ins), kind)
    db = empty((outs,), kind) if needs_bias else None
    done = K.linear_grad(g_rows, rows, weight, dx, dw, db)
    return done if done is NotImplemented else (dx, dw, db)


overrides = {"matmul": matmul, "linear": linear, "linear_grad": linear_grad}
