"""Scaled dot-product attention: csrc/kernels/attention.cpp."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, Array, K, empty, known

__mytorch__ = True

_SMALLEST = 1 << 13  # scores
_FEW = 8  # queries: the kernel works on 32 of them at a time


def _answers(q: Array, k: Array, v: Array, keep: Array | None) -> bool:
    kind = q.dtype
    if not known(kind) or k.dtype != kind or v.dtype != kind or keep is not None:
        return False
    return K.worth(q.shape[-2], _FEW) and K.worth(q.size * k.shape[-2], _SMALLEST * q.shape[-1]) and q.size * k.size * v.size > 0


def _wide(kind: np.dtype[Any]) -> np.dtype[Any]:
    """What is computed in: float32 for bfloat16."""
    return FLOAT32 if kind.kind == "V" else kind


def _mask(mask: Array | None, q: Array, k: Array) -> Any:
    return None if mask is None else np.broadcast_to(mask, (*q.shape[:-1], k.shape[-2]))


def laid_out_like(x: Array, width: int) -> Array:
    """A result of x's shape but for its width; of four dimensions, they lie in memory in x's order: heads within rows, mostly."""
    if x.ndim != 4 or x.flags.c_contiguous or 0 in x.strides:
        return empty((*x.shape[:-1], width), x.dtype)
    order = sorted(range(3), key=lambda dim: -x.strides[dim])
    y = empty((*(x.shape[dim] for dim in order), width), x.dtype)
    return y.transpose(*(order.index(dim) for dim in range(3)), 3)


def attention_forward(q: Array, k: Array, v: Array, mask: Any, keep: Any, *, scale: float, causal: bool, kept: float) -> Any:
    """y and the logarithm of the sum of e^score of each query; not with dropout."""
    if not _answers(q, k, v, keep):
        return NotImplemented
    y, lse = laid_out_like(q, v.shape[-1]), empty(q.shape[:-1], _wide(q.dtype))
    done = K.attention(q, k, v, _mask(mask, q, k), y, lse, scale, causal)
    return done if done is NotImplemented else (y, lse)


def attention_grad(g: Array, q: Array, k: Array, v: Array, mask: Any, keep: Any, y: Array, lse: Array, *, scale: float, causal: bool,
                   kept: float) -> Any:
    """dq, dk and dv, from scores that are computed again."""
    if not _answers(q, k, v, keep) or g.dtype != q.dtype or lse.dtype != _wide(q.dtype) or not lse.flags.c_contiguous:
        return NotImplemented
    dq, dk, dv = (laid_out_like(x, x.shape[-1]) for x in (q, k, v))
    done = K.attention_grad(g, q, k, v, _mask(mask, q, k), y, lse, dq, dk, dv, scale, causal)
    return done if done is NotImplemented else (dq, dk, dv)


overrides = {"attention_forward": attention_forward, "attention_grad": attention_grad}
