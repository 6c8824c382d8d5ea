"""The largest and the smallest along dimensions: csrc/kernels/extremes.cpp."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_SMALLEST = 512  # numbers; below, NumPy finds values as fast, but not their places and gradients
_INT64 = np.dtype(np.int64)

Ints = tuple[int, ...]


def _around(x: Array, dim: Ints | None, at_least: int = 1) -> tuple[int, int, int] | None:
    """How many numbers lie before the dimensions, which are neighbours, in them, and behind; None if there is nothing for the kernel."""
    if (x.dtype is not FLOAT32 and x.dtype is not FLOAT64) or not x.size or not K.worth(x.size, at_least) or not x.flags.c_contiguous:
        return None
    if dim is None or not dim:
        return None  # one long row is not shared out between threads
    dims = sorted(dim)
    first, last = dims[0], dims[-1]
    if last - first + 1 != len(dims):
        return None
    return math.prod(x.shape[:first]), math.prod(x.shape[first:last + 1]), math.prod(x.shape[last + 1:])


def _left(shape: Ints, dim: Ints, keepdim: bool) -> Ints:
    return tuple([1 if i in dim else n for i, n in enumerate(shape) if keepdim or i not in dim])


def _values(largest: bool) -> Callable[..., Any]:
    def override(x: Array, *, dim: Ints | None, keepdim: bool) -> Any:
        around = _around(x, dim, _SMALLEST)
        if around is None or dim is None:
            return NotImplemented
        return K.extremes(x, empty(_left(x.shape, dim, keepdim), x.dtype), None, around[0], around[2], largest)

    return override


def _values_and_places(largest: bool) -> Callable[..., Any]:
    def override(x: Array, *, dim: int, keepdim: bool) -> Any:
        around = _around(x, (dim,))
        if around is None:
            return NotImplemented
        shape = _left(x.shape, (dim,), keepdim)
        values, places = empty(shape, x.dtype), empty(shape, _INT64)
        done = K.extremes(x, values, places, around[0], around[2], largest)
        return done if done is NotImplemented else (values, places)

    return override


def extremes_grad(g: Array, x: Array, y: Array, *, dim: Ints | None, keepdim: bool) -> Any:
    """The gradient of extremes, shared among the equals of a row."""
    around = _around(x, dim)
    if around is None or g.dtype is not x.dtype or y.dtype is not x.dtype or not y.flags.c_contiguous:
        return NotImplemented
    return K.extremes_grad(dense(g), x, y, empty(x.shape, x.dtype), around[0], around[2])


overrides = {"amax_forward": _values(True), "amin_forward": _values(False), "max_forward": _values_and_places(True),
             "min_forward": _values_and_places(False), "extremes_grad": extremes_grad}
