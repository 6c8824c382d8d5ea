"""Interpolation: csrc/kernels/resize.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

__mytorch__ = True


def blend(x: Array, *, dim: int, size: int, places: Array, weights: Array | None) -> Any:
    """y[i] = sum over k of weights[i, k] * x[places[i, k]] along a dimension."""
    return _blend(x, dim, places, weights, False)


def blend_grad(g: Array, *, dim: int, size: int, places: Array, weights: Array | None) -> Any:
    """The same with the tables the other way round: for each number of x the results that it went into."""
    if g.dtype is not FLOAT32 and g.dtype is not FLOAT64:
        return NotImplemented
    place = places.ravel()
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=size)
    rows = place[order]
    columns = np.arange(len(place)) - (np.cumsum(counts) - counts)[rows]
    results = np.zeros((size, counts.max()), np.int64)
    results[rows, columns] = order // places.shape[1]
    factors = np.zeros(results.shape, g.dtype)
    factors[rows, columns] = 1 if weights is None else weights.ravel()[order]
    return _blend(g, dim, results, factors, True)


def _blend(x: Array, dim: int, places: Array, weights: Array | None, padded: bool) -> Any:
    kind = x.dtype
    if (kind is not FLOAT32 and kind is not FLOAT64) or not x.size:
        return NotImplemented
    shape = (*x.shape[:dim], len(places), *x.shape[dim + 1:])
    factors = None if weights is None else dense(weights.astype(kind, copy=False))
    return K.blend(dense(x), dense(places), factors, empty(shape, kind), math.prod(x.shape[:dim]), math.prod(x.shape[dim + 1:]), padded)


overrides = {"blend": blend, "blend_grad": blend_grad}
