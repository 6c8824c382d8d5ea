"""Scatter with a reduction: sums, products, means and extremes of all entries that an index sends to one place."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.inplace import apply_inplace
from mytorch.ops.choices import kept_op, where
from mytorch.ops.common import Op, apply, narrowed, put_out, require_tensor, widened
from mytorch.ops.index import check_index, check_slices, gather_op, grid, scatter_op
from mytorch.ops.views import paste_op, shape_of, zeros_for

__mytorch__ = True

_UFUNCS = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _identity(reduce: str, dtype: np.dtype[Any]) -> Any:
    """What a place begins with where the input itself does not count."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.kind == "b":
        return reduce == "amin"
    if dtype.kind == "f":
        return -np.inf if reduce == "amax" else np.inf
    return np.iinfo(dtype).min if reduce == "amax" else np.iinfo(dtype).max


def _scatter_reduce(x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool) -> Any:
    if index.size == 0:
        return x.copy()
    y = widened(x).copy()
    key = grid(index, dim)
    values = widened(src)[tuple(slice(n) for n in index.shape)]
    if not include_self:
        y[key] = _identity(reduce, y.dtype)
    _UFUNCS[reduce].at(y, key, values)
    if reduce == "mean":
        counts = np.full(y.shape, int(include_self))
        np.add.at(counts, key, 1)
        np.maximum(counts, 1, out=counts)
        y = np.floor_divide(y, counts).astype(y.dtype) if y.dtype.kind in "iu" else (y / counts).astype(y.dtype)
    return narrowed(y, x.dtype)


def _ones(like: Any, shape: tuple[int, ...]) -> Any:
    return zeros_for(like, shape) + 1


def _mean_shares(g: Any, index: Any, x_shape: tuple[int, ...], dim: int, include_self: bool) -> tuple[Any, Any]:
    counts = _ones(g, x_shape) if include_self else zeros_for(g, x_shape)
    counts = scatter_op(counts, index, _ones(g, shape_of(index)), dim=dim, reduce="add")
    share = g / where(counts == 0, 1.0, counts)
    return share, gather_op(share, index, dim=dim)


def _extreme_shares(g: Any, x: Any, index: Any, src: Any, y: Any, dim: int) -> tuple[Any, Any]:
    """g, divided evenly among the entries that are the extreme."""
    from_self, from_src = x == y, src == gather_op(y, index, dim=dim)
    count = scatter_op(kept_op(_ones(g, shape_of(x)), from_self), index, kept_op(_ones(g, shape_of(src)), from_src), dim=dim, reduce="add")
    share = g / where(count == 0, 1.0, count)
    return kept_op(share, from_self), kept_op(gather_op(share, index, dim=dim), from_src)


def _prod_shares(g: Any, x: Any, index: Any, src: Any, y: Any, dim: int, include_self: bool) -> tuple[Any, Any]:
    """g times the product of the others: the result divided by the entry, or, for a zero, the product without it."""
    meta = {"dim": dim, "reduce": "prod", "include_self": include_self}
    x_safe, src_safe = where(x == 0, 1.0, x), where(src == 0, 1.0, src)
    to_self = g * scatter_reduce_op(x_safe, index, src, **meta) / x_safe
    zeros = kept_op(_ones(g, shape_of(src)), src == 0)
    zeros_there = gather_op(scatter_op(zeros_for(g, shape_of(x)), index, zeros, dim=dim, reduce="add"), index, dim=dim)
    without = gather_op(g * scatter_reduce_op(x, index, src_safe, **meta), index, dim=dim)
    to_src = where((src == 0) & (zeros_there == 1), without, gather_op(g * y, index, dim=dim) / src_safe)
    return to_self, to_src


def _formula(g: Any, x: Any, index: Any, src: Any, y: Any, x_shape: tuple[int, ...], src_shape: tuple[int, ...], dim: int, reduce: str,
             include_self: bool) -> list[Any]:
    places = tuple(slice(n) for n in shape_of(index))
    if 0 in shape_of(index):
        return [g, None, zeros_for(g, src_shape)]
    part = src[places]
    if reduce == "sum":
        to_self, to_src = g, gather_op(g, index, dim=dim)
    elif reduce == "mean":
        to_self, to_src = _mean_shares(g, index, x_shape, dim, include_self)
    elif reduce == "prod":
        to_self, to_src = _prod_shares(g, x, index, part, y, dim, include_self)
    else:
        to_self, to_src = _extreme_shares(g, x, index, part, y, dim)
    if not include_self:
        to_self = scatter_op(to_self, index, 0.0, dim=dim, reduce=None)
    return [to_self, None, to_src if shape_of(to_src) == src_shape else paste_op(to_src, shape=src_shape, key=places)]


scatter_reduce_op: Op = Op("scatter_reduce", _scatter_reduce, joint=_formula, inputs="x index src")


def _run(run: Any, name: str, x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    require_tensor(name, src, "src", 4)
    if reduce not in _UFUNCS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}.")
    d = check_index(name, x, dim, index, src)
    kind = x._array.dtype.kind
    if (kind == "c" and reduce in ("amax", "amin")) or (kind == "b" and reduce == "mean"):
        raise NotImplementedError(f"\"scatter_gather_tensor_cpu_reduce_{reduce}\" not implemented for '{dtypes.legacy_name(x.dtype)}'")
    if x._array.ndim == 0 or index._array.ndim == 0:  # a 0-d tensor counts as one entry
        y = _run(apply, name, x.clone().reshape(-1), 0, index.reshape(-1), src.reshape(-1), reduce, include_self).reshape(x._array.shape)
        return y if run is apply else x.copy_(y)
    return run(scatter_reduce_op, (x, index, src), {"dim": d, "reduce": reduce, "include_self": include_self})


def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True, out: Any = None) -> Any:  # noqa: A002
    """A copy of x in which each place holds the sum, prod, mean, amax or amin of what the index sends there from `src`.

    Args:
        include_self: whether the input's own entry counts as well.
    Shape: x (D...), index of as many dimensions, no larger than src and, outside of `dim`, than x -> y of x's shape.
    Derivative: g to every entry that counts: whole (sum), divided by their number (mean), to the extreme ones evenly (amax, amin),
        times the product of the others (prod).
    Raises:
        RuntimeError: for an unknown reduction, an index out of range, or other dtypes.
    """
    y = _run(apply, "scatter_reduce", input, dim, index, src, reduce, include_self)
    return y if out is None else put_out(y, out)


def scatter_reduce_(self: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """In-place `scatter_reduce`."""
    return _run(apply_inplace, "scatter_reduce_", self, dim, index, src, reduce, include_self)


def _along(run: Any, x: Any, dim: int, index: Any, source: Any, reduce: str, include_self: bool) -> Any:
    if x._array.dtype.kind in "bc":
        raise NotImplementedError(f"\"index_func_\" not implemented for '{dtypes.legacy_name(x.dtype)}'")
    if reduce == "sum" or reduce not in _UFUNCS:
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    d = check_slices("index_add_", x, dim, index, source)
    places = index.reshape([-1 if i == d else 1 for i in range(max(source._array.ndim, 1))]).expand(source._array.shape or (1,))
    return _run(run, "index_reduce", x, d, places.long(), source if source._array.ndim else source.reshape(1), reduce, include_self)


def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True, out: Any = None) -> Any:  # noqa: A002
    """A copy of x in which each slice that index names holds the prod, mean, amax or amin of those slices of `source`."""
    y = _along(apply, input, dim, index, source, reduce, include_self)
    return y if out is None else put_out(y, out)


def index_reduce_(self: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """In-place `index_reduce`."""
    return _along(apply_inplace, self, dim, index, source, reduce, include_self)
