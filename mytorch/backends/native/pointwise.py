"""Pointwise functions: csrc/kernels/pointwise.cpp."""

from __future__ import annotations

from typing import Any

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, empty

__mytorch__ = True

_SMALLEST = 1024  # elements; below about 500 the second Python call costs more than np.maximum


def relu(x: Array) -> Any:
    """max(x, 0), NaN passed on, for contiguous float32 and float64. -0.0 stays -0.0, as in torch."""
    if not K.worth(x.size, _SMALLEST) or (x.dtype is not FLOAT32 and x.dtype is not FLOAT64) or not x.flags.c_contiguous:
        return NotImplemented
    return K.relu(x, empty(x.shape, x.dtype))


overrides = {"relu": relu}
