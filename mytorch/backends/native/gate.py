"""Gates: glu and lerp, csrc/kernels/gate.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty, known

__mytorch__ = True


def glu_forward(x: Array, *, dim: int) -> Any:
    """The first half times the sigmoid of the second; any size pays: NumPy makes several passes."""
    shape = x.shape
    if not known(x.dtype) or not x.size or not K.worth(x.size, 1) or not x.flags.c_contiguous:
        return NotImplemented
    return K.glu(x, empty((*shape[:dim], shape[dim] // 2, *shape[dim + 1:]), x.dtype), math.prod(shape[:dim]))


def glu_grad(g: Array, x: Array, *, dim: int) -> Any:
    """The gradients of both halves."""
    kind = x.dtype
    if not known(kind) or g.dtype != kind or not x.size or not K.worth(x.size, 1) or not x.flags.c_contiguous:
        return NotImplemented
    return K.glu_grad(dense(g), x, empty(x.shape, kind), math.prod(x.shape[:dim]))


def lerp_forward(a: Any, b: Any, w: Any) -> Any:
    """Arrays of one shape mixed by a number; row-major ones: of others the result has their order, as in torch."""
    if (type(w) is not float and type(w) is not int) or not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return NotImplemented
    kind = a.dtype
    if (kind is not FLOAT32 and kind is not FLOAT64) or b.dtype is not kind or a.shape != b.shape:
        return NotImplemented
    if not a.flags.c_contiguous or not b.flags.c_contiguous or not K.worth(a.size, 1):
        return NotImplemented
    return K.lerp(a, b, w, empty(a.shape, kind))


overrides = {"glu_forward": glu_forward, "glu_grad": glu_grad, "lerp_forward": lerp_forward}
