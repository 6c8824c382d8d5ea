"""The distances between all rows of one matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.ops.common import Op, apply, require_tensor
from mytorch.ops.pointwise import no_gradient
from mytorch.ops.statistics import norm

__mytorch__ = True


def _largest(d: Any) -> Any:
    return np.abs(d).max(axis=-1, initial=0)


def _signs(d: Any) -> Any:
    """The sign of each row's elements of largest size, 0 elsewhere: the slope of the largest size."""
    return np.sign(d) * (np.abs(d) == _largest(d)[..., None])


# torch gives every one of several largest differences the whole gradient
_chebyshev_op: Op = Op("pdist", _largest, lambda g, d: g[..., None] * _signs_op(d))
_signs_op: Op = Op("pdist_backward", _signs, no_gradient)


def pdist(input: Any, p: float = 2.0) -> Any:  # noqa: A002
    """The p-norm distance of each pair of rows i < j: (0, 1), (0, 2), ..., (1, 2), ...

    Args:
        p: the order of the norm, 0 to infinity; 0 counts the differences that are not zero.
    Shape: (N, D) -> (N (N - 1) / 2). dtype: float32 or float64, kept.
    Raises:
        RuntimeError: for other numbers of dimensions, integers, or a negative p.
    Derivative: that of the norm of x_i - x_j, to both rows; zero where the rows are equal.
    """
    require_tensor("pdist", input)
    if input._array.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input._array.ndim}D")
    if not input.is_floating_point():
        raise RuntimeError(f"pdist only supports floating-point dtypes, got {input.dtype}")
    if p < 0:
        raise RuntimeError(f"pdist only supports non-negative p values, got {p}")
    if input._array.dtype not in (np.float32, np.float64):
        raise NotImplementedError(f"\"pdist\" not implemented for '{dtypes.legacy_name(input.dtype)}': convert with .float()")
    first, second = np.triu_indices(input._array.shape[0], 1)
    first, second = (input.new_tensor(i, dtype=dtypes.int64) for i in (first, second))
    difference = input.index_select(0, first) - input.index_select(0, second)
    return apply(_chebyshev_op, (difference,)) if p == math.inf else norm(difference, p, -1)


__all__ = ["pdist"]
