"""Copies of transposed arrays, and arrays joined: csrc/kernels/copy.cpp."""

from __future__ import annotations

import math
from typing import Any

from mytorch.backends.native.extension import Array, K, empty

__mytorch__ = True

_SMALLEST = 1024  # elements; below, NumPy is as fast
_SMALLEST_PART = 4096  # the same, of each array that is joined


def _moves(kind: Any) -> bool:
    """Whether the extension moves elements of this dtype."""
    return kind.kind == "V" or (kind.itemsize in (4, 8) and kind.kind in "fiu")


def contiguous(x: Array) -> Any:
    """x in row-major order; elements of 4 and 8 bytes, or bfloat16 whose rows lie along memory."""
    kind = x.dtype
    if not _moves(kind) or x.ndim < 2 or not K.worth(x.size, _SMALLEST):
        return NotImplemented
    return K.copy(x, empty(x.shape, kind))


def joined(xs: tuple[Array, ...], *, dim: int) -> Any:
    """Arrays of one type, of 4 or 8 bytes or bfloat16, one behind the other along a dimension."""
    first = xs[0]
    kind, shape = first.dtype, first.shape
    if not _moves(kind) or not K.worth(first.size, _SMALLEST_PART):
        return NotImplemented
    if not all((x.dtype is kind or x.dtype == kind) and x.size and x.flags.c_contiguous for x in xs):
        return NotImplemented
    y = empty((*shape[:dim], sum([x.shape[dim] for x in xs]), *shape[dim + 1:]), kind)
    outer, inner = math.prod(shape[:dim]), math.prod(shape[dim + 1:])
    begin = 0
    for x in xs:
        if K.put(x, y, outer, begin * inner) is NotImplemented:  # at an odd address
            return NotImplemented
        begin += x.shape[dim]
    return y


overrides = {"contiguous": contiguous, "joined": joined}
