"""Rows of tables, and choices by a mask: csrc/kernels/choose.cpp."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, empty

__mytorch__ = True

_SMALLEST = 4096  # numbers


def embedding_forward(table: Array, indices: Array, *, padding_idx: int, by_frequency: bool) -> Any:
    """Rows of a table of any type."""
    width = table.shape[1]
    if not table.flags.c_contiguous or not indices.flags.c_contiguous or not K.worth(indices.size * width, _SMALLEST):
        return NotImplemented
    return K.take_rows(table, indices, empty((*indices.shape, width), table.dtype))


def embedding_grad(g: Array, indices: Array, *, rows: int, padding_idx: int, by_frequency: bool) -> Any:
    """Rows added up where they came from, in their order."""
    kind = g.dtype
    if by_frequency or (kind is not FLOAT32 and kind is not FLOAT64) or not g.flags.c_contiguous or not K.worth(g.size, 0):
        return NotImplemented
    return K.add_to_rows(g, np.ascontiguousarray(indices), padding_idx, empty((rows, g.shape[-1]), kind))


def choose(mask: Array, a: Array, b: Array, shape: tuple[int, ...]) -> Any:
    """a where the mask is True, else b, all of which broadcast to `shape`."""
    return K.where(mask, a, b, empty(shape, a.dtype))


def masked_fill_forward(x: Array, mask: Array, value: Any) -> Any:
    """A number where the mask is True."""
    kind = x.dtype
    if (kind is not FLOAT32 and kind is not FLOAT64) or not K.worth(x.size, _SMALLEST) or not _spreads(mask.shape, x.shape):
        return NotImplemented
    return choose(mask, np.asarray(value, kind), x, x.shape)


def where_forward(condition: Array, a: Any, b: Any) -> Any:
    """Two arrays of one type, one of which has the shape of the result."""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray) or a.dtype is not b.dtype:
        return NotImplemented
    large = max((a, b, condition), key=lambda x: (x.ndim, x.size))
    shape = large.shape
    if (a.dtype is not FLOAT32 and a.dtype is not FLOAT64) or not K.worth(large.size, _SMALLEST):
        return NotImplemented
    if not (_spreads(a.shape, shape) and _spreads(b.shape, shape) and _spreads(condition.shape, shape)):
        return NotImplemented
    return choose(condition, a, b, shape)


def _spreads(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether the one broadcasts to the other."""
    return small == large or (len(small) <= len(large) and all(n in (1, m) for n, m in zip(reversed(small), reversed(large))))


overrides = {"embedding_forward": embedding_forward, "embedding_grad": embedding_grad, "masked_fill_forward": masked_fill_forward,
             "where_forward": where_forward}
