"""Running sums: csrc/kernels/scan.cpp."""

from __future__ import annotations

import math
from typing import Any

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

__mytorch__ = True


def cumsum_forward(x: Array, *, dim: int, reverse: bool = False) -> Any:
    """Running sums along a dimension; any size pays: NumPy makes several passes."""
    kind = x.dtype
    if (kind is not FLOAT32 and kind is not FLOAT64) or not x.ndim or not x.size or not K.worth(x.size, 1):
        return NotImplemented
    shape = x.shape
    return K.cumsum(dense(x), empty(shape, kind), math.prod(shape[:dim]), math.prod(shape[dim + 1:]), reverse)


overrides = {"cumsum_forward": cumsum_forward}
