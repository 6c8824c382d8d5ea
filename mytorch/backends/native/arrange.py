"""Padding, cropping and rolling: csrc/kernels/arrange.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

__mytorch__ = True

_SMALLEST = 4096  # elements; below, NumPy is as fast
_HUGE = 1e30  # a number that float32 holds

Ints = tuple[int, ...]


def pad_forward(x: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Any:
    """x with a number around it, or cropped where a width is negative; of any type, with another number than 0 of float32 and float64."""
    kind = x.dtype
    if not x.ndim or kind.itemsize > 8 or not K.worth(x.size, _SMALLEST) or not isinstance(value, (int, float)):
        return NotImplemented
    if not (-_HUGE < value < _HUGE or math.isinf(value)):
        return NotImplemented
    if kind is not FLOAT32 and kind is not FLOAT64 and value:
        return NotImplemented
    shape = tuple([n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)])
    if any(n + min(before, 0) + min(after, 0) < 0 for n, (before, after) in zip(x.shape, widths, strict=True)):  # nothing is left to crop
        return NotImplemented
    number = np.asarray(value, kind) if kind.kind == "f" else np.zeros((), kind)
    return K.pad(dense(x), np.array([before for before, _ in widths], np.int64), number, empty(shape, kind))


def roll_forward(x: Array, *, shifts: Ints, dims: Ints) -> Any:
    """x moved around in a circle along dimensions."""
    if not dims or not x.size or not K.worth(x.size, _SMALLEST):
        return NotImplemented
    shape = x.shape
    y = dense(x)
    for shift, dim in zip(shifts, dims, strict=True):
        step = shift % shape[dim] * math.prod(shape[dim + 1:])
        y = K.rotate(y, empty(shape, x.dtype), math.prod(shape[:dim]), step)
        if y is NotImplemented:
            break
    return y


overrides = {"pad_forward": pad_forward, "roll_forward": roll_forward}
