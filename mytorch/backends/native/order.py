"""Sorting, and the k largest or smallest: csrc/kernels/order.cpp."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch.backends.native.extension import Array, K, dense, empty

__mytorch__ = True

_MOST = 64  # of the best that are kept in order while a row is read; more are sorted
_INT64 = np.dtype(np.int64)
_KINDS = frozenset({np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32), _INT64})


def _answers(x: Array, dim: int) -> bool:
    """Whether the extension sorts this. Any size pays: NumPy makes several passes."""
    return dim == x.ndim - 1 and x.dtype in _KINDS and x.size > 0


def sort_forward(x: Array, *, dim: int, descending: bool) -> Any:
    """The values of each row in order, and where they were."""
    if not _answers(x, dim):
        return NotImplemented
    values, indices = empty(x.shape, x.dtype), empty(x.shape, _INT64)
    done = K.sort(dense(x), values, indices, descending)
    return done if done is NotImplemented else (values, indices)


def topk_forward(x: Array, *, k: int, dim: int, largest: bool) -> Any:
    """The first k of each row in descending order (or ascending), and where they were."""
    if not _answers(x, dim) or k == 0:
        return NotImplemented
    if k > _MOST:
        found = sort_forward(x, dim=dim, descending=largest)
        return found if found is NotImplemented else tuple([np.ascontiguousarray(part[..., :k]) for part in found])
    shape = (*x.shape[:-1], k)
    values, indices = empty(shape, x.dtype), empty(shape, _INT64)
    done = K.topk(dense(x), values, indices, largest)
    return done if done is NotImplemented else (values, indices)


overrides = {"sort_forward": sort_forward, "topk_forward": topk_forward}
