"""Memory for the gradients of many uses of one weight, each a few rows: they lie one below the other, so that nobody copies them together."""

from __future__ import annotations

import weakref
from threading import get_ident
from typing import Any

import numpy as np

from mytorch.backends import empty

__mytorch__ = True

Array = Any

MOST_ROWS = 1024  # that lie together

_blocks: dict[tuple[int, int], tuple[weakref.ref[Array], int]] = {}  # blocks in use, and how many rows of each are taken


def rows_for(weight: Array, rows: int, columns: int) -> Array:
    """Memory (rows, columns) for the factor of a gradient of `weight`: right below what this thread got for it before, as long as that
    is in use, so that factors of many uses need not be copied together."""
    if rows > MOST_ROWS // 2:
        return empty((rows, columns), weight.dtype)
    key = id(weight), get_ident()
    found = _blocks.get(key)
    if found is not None:
        block, taken_rows = found[0](), found[1]
        if block is not None and len(block) >= taken_rows + rows and block.shape[1] == columns and block.dtype is weight.dtype:
            _blocks[key] = found[0], taken_rows + rows
            return block[taken_rows:taken_rows + rows]
    block = empty((-(-MOST_ROWS // rows) * rows, columns), weight.dtype)
    _blocks[key] = weakref.ref(block, lambda gone: _forget(key, gone)), rows
    return block[:rows]


def _forget(key: tuple[int, int], gone: weakref.ref[Array]) -> None:
    found = _blocks.get(key)
    if found is not None and found[0] is gone:
        del _blocks[key]


def joined(parts: list[Array]) -> Array:
    """Matrices one below the other: where they lie so, as those of `rows_for` do, a view, else a copy."""
    first = parts[0]
    if len(parts) == 1:
        return first
    rows = sum([len(part) for part in parts])
    block = first.base
    if type(block) is np.ndarray and block.shape[1:] == first.shape[1:] and block.strides == first.strides:
        begin = place = _address(first)
        for part in parts:
            if part.base is not block or part.strides != block.strides or part.shape[1] != block.shape[1] or _address(part) != place:
                break
            place += len(part) * block.strides[0]
        else:
            begin = (begin - _address(block)) // block.strides[0]
            return block[begin:begin + rows]
    return np.concatenate(parts, out=empty((rows, first.shape[1]), first.dtype))


def _address(x: Array) -> int:
    return int(x.__array_interface__["data"][0])
