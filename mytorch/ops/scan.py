"""Running sums, products, extremes and log-sum-exps along a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.ops import return_types
from mytorch.ops.common import FLOAT32, FLOAT64, Op, TensorBase, apply, apply_inplace, floating, narrowed, put_out, widened
from mytorch.ops.elementwise import exp, kept_op, log, where
from mytorch.ops.extrema import put_outs, refuse_complex
from mytorch.ops.index import scatter_op
from mytorch.ops.layout import row_major
from mytorch.ops.pointwise import is_complex_valued
from mytorch.ops.shape import shape_of
from mytorch.ops.special_functions import log_add
from mytorch.ops.sums import converted, from_last, has_zero, numpy_names, one_dim, out_dtype, sum_op, to_last
from mytorch.ops.views import repeated_zero

__mytorch__ = True


def _scan(ufunc: np.ufunc, x: Any, dim: int, reverse: bool) -> Any:
    """ufunc accumulated along `dim`: in float64 for the smaller floats, rounded once; integers in int64."""
    if x.ndim == 0:
        return x.astype(np.int64) if x.dtype.kind in "biu" else x.copy()
    wide = widened(x)
    inner = np.int64 if wide.dtype.kind in "biu" else FLOAT64 if wide.dtype == FLOAT32 else wide.dtype
    way = (slice(None),) * dim + (slice(None, None, -1 if reverse else 1),)
    y = ufunc.accumulate(wide[way], axis=dim, dtype=inner)[way]
    return narrowed(row_major(y.astype(FLOAT32)), x.dtype) if wide.dtype == FLOAT32 else row_major(y)


# ---- sums ---------------------------------------------------------------------------------------------------------------------

@kernel
def cumsum_forward(x: Any, *, dim: int, reverse: bool = False) -> Any:
    """Running sums along a dimension."""
    return _scan(np.add, x, dim, reverse)


cumsum_op: Op = Op("cumsum", cumsum_forward, lambda g, dim, reverse: cumsum_op(g, dim=dim, reverse=not reverse))


@numpy_names
def cumsum(input: Any, dim: int, *, dtype: dtypes.dtype | None = None, out: Any = None) -> Any:  # noqa: A002
    """Running sums along a dimension: y_i = x_1 + ... + x_i. Integers and bools give int64.

    Raises:
        IndexError: for a dim that is not there.
    Derivative: running sums of g from the end.
    """
    d = one_dim("cumsum", input, dim)
    dtype = out_dtype(dtype, out)
    y = converted(apply(cumsum_op, (converted(input, dtype),), {"dim": d, "reverse": False}), dtype)
    return y if out is None else put_out(y, out)


def cumsum_(self: Any, dim: int, *, dtype: dtypes.dtype | None = None) -> Any:
    """In-place `cumsum`; the dtype stays this tensor's."""
    return apply_inplace(cumsum_op, (self,), {"dim": one_dim("cumsum_", self, dim), "reverse": False})


# ---- products -----------------------------------------------------------------------------------------------------------------


def _cumprod_formula(g: Any, x: Any, y: Any, dim: int) -> Any:
    # dx_k = sum over i >= k of g_i * (product of x_j, j <= i, j != k)
    shape = shape_of(x)
    if not shape:
        return g
    if not has_zero(x):
        return cumsum_op(g * y, dim=dim, reverse=True) / x
    if not isinstance(x, TensorBase):
        return _cumprod_slope_with_zeros(g, x, y, dim)
    n = shape[dim]
    rows, g = to_last(x, dim), to_last(g, dim)
    lead = tuple(rows.shape[:-1])
    products = cumprod_op(where(np.eye(n, dtype=bool), 1.0, rows.reshape((*lead, 1, n))), dim=len(lead) + 1)  # (..., k, i)
    terms = kept_op(products, np.tri(n, dtype=bool).T) * g.reshape((*lead, 1, n))
    return from_last(sum_op(terms, dim=(len(lead) + 1,), keepdim=False), dim)


def _cumprod_slope_with_zeros(g: Any, x: Any, y: Any, dim: int) -> Any:
    """The same in linear time, on arrays: only up to the first zero of a row does anything change."""
    x, y, g = (np.moveaxis(widened(a), dim, -1) for a in (x, y, g))
    zeros_so_far = np.cumsum(x == 0, axis=-1)
    first = (zeros_so_far == 1) & (x == 0)
    filled = np.where(first, 1, x)
    before = _scan(np.add, g * y, x.ndim - 1, True) / np.where(x == 0, 1, x)
    at_zero = _scan(np.add, g * np.multiply.accumulate(filled, axis=-1) * (zeros_so_far > 0), x.ndim - 1, True)
    return np.moveaxis(np.where(zeros_so_far == 0, before, np.where(first, at_zero, 0)), -1, dim)


@kernel
def cumprod_forward(x: Any, *, dim: int) -> Any:
    """Running products along a dimension."""
    return _scan(np.multiply, x, dim, False)


cumprod_op: Op = Op("cumprod", cumprod_forward, _cumprod_formula)


@numpy_names
def cumprod(input: Any, dim: int, *, dtype: dtypes.dtype | None = None, out: Any = None) -> Any:  # noqa: A002
    """Running products along a dimension: y_i = x_1 * ... * x_i. Integers and bools give int64.

    Derivative: the running sum from the end of g y, divided by x; without dividing where x has zeros.
    """
    d = one_dim("cumprod", input, dim)
    dtype = out_dtype(dtype, out)
    y = converted(apply(cumprod_op, (converted(input, dtype),), {"dim": d}), dtype)
    return y if out is None else put_out(y, out)


def cumprod_(self: Any, dim: int, *, dtype: dtypes.dtype | None = None) -> Any:
    """In-place `cumprod`; the dtype stays this tensor's."""
    return apply_inplace(cumprod_op, (self,), {"dim": one_dim("cumprod_", self, dim)})


# ---- log-sum-exps -------------------------------------------------------------------------------------------------------------


def _logcumsumexp_formula(g: Any, x: Any, y: Any, dim: int, reverse: bool) -> Any:
    # dx_k = e^(x_k) * (sum over i >= k of g_i e^(-y_i)); the sum in logarithms, positive and negative g apart.
    # log(0) is the lowest finite number here: -inf would give inf - inf in the next derivative
    if not shape_of(x):
        return g
    if is_complex_valued(x):
        return exp(logcumsumexp_op(log(g) - y, dim=dim, reverse=not reverse) + x)
    nothing = dtypes.finfo(dtypes.from_numpy_dtype((x._array if isinstance(x, TensorBase) else x).dtype)).min

    def half(part: Any) -> Any:
        absent = part <= 0
        logs = where(absent, nothing, log(where(absent, 1.0, part)))
        return exp(logcumsumexp_op(logs - y, dim=dim, reverse=not reverse) + x)

    return half(g) - half(-g)


def _logcumsumexp(x: Any, *, dim: int, reverse: bool = False) -> Any:
    if x.dtype.kind != "c" or not x.ndim:
        return _scan(np.logaddexp, floating(x), dim, reverse)
    y = x.copy()
    rows = np.moveaxis(np.flip(y, dim) if reverse else y, dim, 0)
    for i in range(1, len(rows)):
        rows[i] = log_add(rows[i - 1], rows[i])
    return y


logcumsumexp_op: Op = Op("logcumsumexp", _logcumsumexp, _logcumsumexp_formula)


@numpy_names
def logcumsumexp(input: Any, dim: int, *, out: Any = None) -> Any:  # noqa: A002
    """Running log-sum-exps along a dimension: y_i = log(e^x_1 + ... + e^x_i), without overflow.

    Derivative: e^x times the running sum of g e^-y from the end.
    """
    y = apply(logcumsumexp_op, (input,), {"dim": one_dim("logcumsumexp", input, dim), "reverse": False})
    return y if out is None else put_out(y, out)


# ---- extremes -----------------------------------------------------------------------------------------------------------------


def _running(ufunc: np.ufunc) -> Callable[..., Any]:
    def scan(x: Any, *, dim: int) -> tuple[Any, Any]:
        if x.ndim == 0:
            return x.copy(), np.zeros((), np.int64)
        wide = widened(x)
        best = ufunc.accumulate(wide, axis=dim)
        steps = np.arange(x.shape[dim]).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
        hits = np.where((wide == best) | (wide != wide), steps, 0)  # the last of ties; NaN, which wins, equals nothing
        return row_major(narrowed(best, x.dtype)), row_major(np.maximum.accumulate(hits, axis=dim))

    return scan


def _running_formula(g: Any, indices: Any, x_shape: tuple[int, ...], dim: int) -> Any:
    return scatter_op(repeated_zero(g[0], x_shape), indices, g[0], dim=dim, reduce="add")


_cummax_op = Op("cummax", kernel(_running(np.maximum), name="cummax_forward"), _running_formula, inputs="x", outputs="values indices")
_cummin_op = Op("cummin", kernel(_running(np.minimum), name="cummin_forward"), _running_formula, inputs="x", outputs="values indices")


@numpy_names
def cummax(input: Any, dim: int, *, out: Any = None) -> Any:  # noqa: A002
    """The largest so far along a dimension, and its last index: a named tuple (values, indices). NaN wins.

    Derivative: g added at the indices.
    """
    d = one_dim("cummax", input, dim)
    refuse_complex("cummax_cpu", input)
    found = return_types.cummax(apply(_cummax_op, (input,), {"dim": d}))
    return found if out is None else put_outs(found, out)


@numpy_names
def cummin(input: Any, dim: int, *, out: Any = None) -> Any:  # noqa: A002
    """The smallest so far along a dimension, and its last index: a named tuple (values, indices). NaN wins.

    Derivative: g added at the indices.
    """
    d = one_dim("cummin", input, dim)
    refuse_complex("cummin_cpu", input)
    found = return_types.cummin(apply(_cummin_op, (input,), {"dim": d}))
    return found if out is None else put_outs(found, out)
