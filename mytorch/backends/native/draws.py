"""Random draws: csrc/kernels/draws.cpp. Kernels draw from the memory of a Twister, in place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, empty

if TYPE_CHECKING:
    from collections.abc import Callable

    from mytorch.twister import Twister

    Shape = int | tuple[int, ...]

__mytorch__ = True

_BOOL = np.dtype(np.bool_)
_INT64 = np.dtype(np.int64)
_SMALLEST = 1024  # elements that dropout wants before a call pays


def _new(shape: Shape, dtype: np.dtype[Any]) -> Array:
    return empty(tuple(shape) if isinstance(shape, (tuple, list)) else (int(shape),), dtype)


def draw_uniform(twister: Twister, shape: Shape, dtype: np.dtype[Any], *, low: float, high: float) -> Any:
    """Uniform numbers, scaled as they are made."""
    if twister.memory is None or not math.isfinite(high - low):
        return NotImplemented
    out = _new(shape, dtype)
    return NotImplemented if K.draw_uniform(twister.memory, out, low, high) is NotImplemented else out


def draw_bernoulli(twister: Twister, shape: Shape, *, threshold: int) -> Any:
    """Booleans, compared as they are drawn."""
    if twister.memory is None:
        return NotImplemented
    out = _new(shape, _BOOL)
    K.draw_bernoulli(twister.memory, out, threshold)
    return out


def draw_integers(twister: Twister, shape: Shape, *, low: int, count: int) -> Any:
    """Remainders of words."""
    if twister.memory is None:
        return NotImplemented
    out = _new(shape, _INT64)
    K.draw_integers(twister.memory, out, low, count)
    return out


def draw_permutation(twister: Twister, n: int) -> Any:
    """A shuffle, place by place."""
    if twister.memory is None:
        return NotImplemented
    out = _new(n, _INT64)
    K.draw_permutation(twister.memory, out)
    return out


def box_muller(x: Array, *, mean: float, std: float) -> Any:
    """Units to normal numbers, in place."""
    return NotImplemented if K.box_muller(x, mean, std) is NotImplemented else None


def dropout_forward(x: Array, mask: Array, *, scale: float) -> Any:
    """x times the mask and the scale in one pass."""
    if not K.worth(x.size, _SMALLEST) or mask.dtype is not _BOOL or (x.dtype is not FLOAT32 and x.dtype is not FLOAT64):
        return NotImplemented
    if not (x.flags.c_contiguous and mask.flags.c_contiguous):
        return NotImplemented
    if x.shape != mask.shape:  # of whole channels
        return K.mul(x, np.multiply(mask, x.dtype.type(scale)), empty(x.shape, x.dtype)) if x.ndim == mask.ndim else NotImplemented
    return K.dropout(x, mask, scale, empty(x.shape, x.dtype))


overrides: dict[str, Callable[..., Any]] = {
    draw.__name__: draw for draw in (draw_uniform, draw_bernoulli, draw_integers, draw_permutation, box_muller, dropout_forward)
}
