"""Running sums, products and extremes: csrc/kernels/scan.cpp."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_INT64 = np.dtype(np.int64)


def _answers(x: Array) -> bool:
    """Whether the kernels know it; any size pays: NumPy makes several passes."""
    return (x.dtype is FLOAT32 or x.dtype is FLOAT64) and x.ndim > 0 and x.size > 0 and K.worth(x.size, 1)


def _fold(name: str) -> Callable[..., Any]:
    """The override of running sums or products."""
    def override(x: Array, *, dim: int, reverse: bool = False) -> Any:
        if not _answers(x):
            return NotImplemented
        shape = x.shape
        return getattr(K, name)(dense(x), empty(shape, x.dtype), math.prod(shape[:dim]), math.prod(shape[dim + 1:]), reverse)

    return override


def _extreme(name: str) -> Callable[..., Any]:
    """The override of running extremes and their places."""
    def override(x: Array, *, dim: int) -> Any:
        if not _answers(x):
            return NotImplemented
        shape, places = x.shape, empty(x.shape, _INT64)
        y = getattr(K, name)(dense(x), empty(shape, x.dtype), places, math.prod(shape[:dim]), math.prod(shape[dim + 1:]))
        return y if y is NotImplemented else (y, places)

    return override


overrides = {"cumsum_forward": _fold("cumsum"), "cumprod_forward": _fold("cumprod"), "cummax_forward": _extreme("cummax"),
             "cummin_forward": _extreme("cummin")}
