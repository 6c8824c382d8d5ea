"""Differences of neighbours and areas under samples: diff, trapezoid, cumulative_trapezoid."""

from __future__ import annotations

from typing import Any

from mytorch.ops.arithmetic import add, mul, sub
from mytorch.ops.common import TensorBase, put_out, require_tensor, wrap_dim
from mytorch.ops.comparison import logical_xor
from mytorch.ops.joining import cat
from mytorch.ops.views import narrow, reshape

__mytorch__ = True


def _neighbours(x: Any, d: int) -> tuple[Any, Any]:
    """All entries of a dimension but the last, and all but the first."""
    steps = max(x._array.shape[d] - 1, 0)
    return narrow(x, d, 0, steps), narrow(x, d, min(1, x._array.shape[d]), steps)


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *, out: Any = None) -> Any:  # noqa: A002
    """The n-th difference along a dimension: each entry minus the one before it. Of bools: whether they differ.

    Raises:
        RuntimeError: for a 0-d tensor or a negative n.
    """
    require_tensor("diff", input)
    if input._array.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    d = wrap_dim(dim, input._array.ndim)
    y = input.clone() if n == 0 else cat([x for x in (prepend, input, append) if x is not None], d)
    for _ in range(n):
        before, after = _neighbours(y, d)
        y = logical_xor(after, before) if y._array.dtype.kind == "b" else sub(after, before)
    return y if out is None else put_out(y, out)


def _areas(y: Any, x: Any, dx: Any, d: int) -> Any:
    """The area of each trapezoid between neighbours, and the dimension."""
    if x is not None and dx is not None:
        raise TypeError("trapezoid(): pass either x or dx, not both")
    before, after = _neighbours(y, d)
    heights = add(before, after)
    if x is None:
        return mul(heights, (1 if dx is None else dx) / 2)
    if isinstance(x, TensorBase) and x._array.ndim == 1 < y._array.ndim:  # one grid for all
        x = reshape(x, [-1 if i == d else 1 for i in range(y._array.ndim)])
    left, right = _neighbours(x, d - y._array.ndim + x._array.ndim)
    return mul(mul(heights, sub(right, left)), 0.5)


def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The area under y along a dimension by the trapezoidal rule, over the points x or the spacing dx (1 by default)."""
    require_tensor("trapezoid", y, "y", 1)
    d = wrap_dim(dim, y._array.ndim)
    return _areas(y, x, dx, d).sum(d)


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """`trapezoid` up to each point but the first."""
    require_tensor("cumulative_trapezoid", y, "y", 1)
    d = wrap_dim(dim, y._array.ndim)
    return _areas(y, x, dx, d).cumsum(d)


trapz = trapezoid
