"""Numbers and slices picked, written or added by arrays of places: csrc/kernels/scatter.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

__mytorch__ = True

_INT64 = np.dtype(np.int64)
_SMALLEST = 512  # numbers of which slices are taken; below, NumPy is as fast. The others pay at any size: NumPy builds a grid of places
_MANY = 8192  # places from which on two passes of NumPy cost more than a call


def within(places: Array, lowest: int, end: int) -> Any:
    """Whether lowest <= places < end; the kernel declines if not."""
    if not K.worth(places.size, _MANY) or not _are_places(places) or not places.flags.c_contiguous:
        return NotImplemented
    return True if K.within(places, lowest, end) is None else NotImplemented


def gather_forward(x: Array, index: Array, *, dim: int) -> Any:
    """Numbers of any type picked along a dimension; the others are as long in the places as in x."""
    if not K.worth(index.size, 1) or not _fits(x, index, dim) or not x.flags.c_contiguous:
        return NotImplemented
    return K.gather(x, dense(index), empty(index.shape, x.dtype), *_around(x.shape, dim))


def scatter_forward(x: Array, index: Array, src: Any, *, dim: int, reduce: str | None) -> Any:
    """Numbers written, or float32 and float64 added, along a dimension."""
    if not K.worth(index.size, 1) or reduce == "multiply" or not _fits(x, index, dim) or not _readable(x):
        return NotImplemented
    if not isinstance(src, np.ndarray):
        src = np.asarray(src, x.dtype) if x.dtype.kind == "f" else src
    if not isinstance(src, np.ndarray) or src.dtype != x.dtype or (src.ndim and src.shape != index.shape):
        return NotImplemented
    return K.scatter(x, dense(index), dense(src), empty(x.shape, x.dtype), *_around(x.shape, dim), reduce == "add")


def index_select_forward(x: Array, index: Array, *, dim: int) -> Any:
    """Slices of any type along a dimension."""
    return _take(x, index, dim) if _are_many(x, index) else NotImplemented


def index_add_forward(x: Array, index: Array, source: Array, *, dim: int) -> Any:
    """Slices added along a dimension."""
    return _add(x, index, source, dim) if K.worth(x.size, 1) else NotImplemented


def index_forward(x: Array, *indices: Array, key: tuple[Any, ...]) -> Any:
    """x[:, places], for places in one dimension alone."""
    if len(indices) != 1 or not _are_many(x, indices[0]):
        return NotImplemented
    return _take(x, indices[0], _only_place(key))


def index_put_forward(x: Array, values: Any, *indices: Array, key: tuple[Any, ...], accumulate: bool) -> Any:
    """x[:, places] += values, for places in one dimension alone."""
    if not accumulate or len(indices) != 1 or not K.worth(x.size, 1) or not isinstance(values, np.ndarray):
        return NotImplemented
    return _add(x, indices[0], values, _only_place(key))


def _take(x: Array, index: Array, dim: int) -> Any:
    if not 0 <= dim < x.ndim or not _are_places(index) or not x.size or not index.size or not x.flags.c_contiguous:
        return NotImplemented
    y = empty((*x.shape[:dim], *index.shape, *x.shape[dim + 1:]), x.dtype)
    return K.take_slices(x, dense(index), y, *_around(x.shape, dim))


def _add(x: Array, index: Array, source: Array, dim: int) -> Any:
    kind = x.dtype
    if (kind is not FLOAT32 and kind is not FLOAT64) or source.dtype is not kind or not 0 <= dim < x.ndim or not _are_places(index):
        return NotImplemented
    if source.shape != (*x.shape[:dim], *index.shape, *x.shape[dim + 1:]) or not source.size or not x.size or not _readable(x):
        return NotImplemented
    return K.add_slices(x, dense(index), dense(source), empty(x.shape, kind), *_around(x.shape, dim))


def _are_many(x: Array, index: Array) -> bool:
    return K.worth(max(x.size, index.size), _SMALLEST)


def _are_places(index: Array) -> bool:
    return index.dtype is _INT64 or index.dtype == _INT64


def _fits(x: Array, index: Array, dim: int) -> bool:
    """Whether the places are those of a whole array: as long as x in the other dimensions."""
    return (_are_places(index) and 0 < x.ndim == index.ndim and x.size > 0 and index.size > 0 and x.dtype.kind in "fiuV"
            and x.shape[:dim] == index.shape[:dim] and x.shape[dim + 1:] == index.shape[dim + 1:])


def _readable(x: Array) -> bool:
    return x.flags.c_contiguous or not any(x.strides)  # one number, repeated


def _around(shape: tuple[int, ...], dim: int) -> tuple[int, int]:
    """How many numbers lie before a dimension and behind it."""
    return math.prod(shape[:dim]), math.prod(shape[dim + 1:])


_WHOLE = slice(None)


def _only_place(key: tuple[Any, ...]) -> int:
    """The dimension of the only places of a key whose other parts are whole dimensions; -1 if they are not."""
    dims = [i for i, part in enumerate(key) if type(part) is not slice]
    return dims[0] if len(dims) == 1 and all(part == _WHOLE for part in key if type(part) is slice) and key[dims[0]] is not None else -1


overrides = {"within": within, "gather_forward": gather_forward, "scatter_forward": scatter_forward,
             "index_select_forward": index_select_forward, "index_add_forward": index_add_forward, "index_forward": index_forward,
             "index_put_forward": index_put_forward}
