"""Sums, means, products and counts over dimensions, and what every reduction shares."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.node_names import titled
from mytorch.ops.autocast import get_casting, in_float32
from mytorch.ops.common import FLOAT32, FLOAT64, Op, TensorBase, apply, narrowed, put_out, require_tensor, widened, wrap_dim, wrap_dims
from mytorch.ops.elementwise import isnan, kept_op, to_dtype, where
from mytorch.ops.layout import row_major
from mytorch.ops.shape import expand_op, permute_op, shape_of

__mytorch__ = True

Dims = tuple[int, ...] | None  # None: all dimensions

# ---- what every reduction shares ----------------------------------------------------------------------------------------------


def numpy_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a reduction also take NumPy's `axis` and `keepdims` for `dim` and `keepdim`, as torch does."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            if "axis" in kwargs:
                kwargs["dim"] = kwargs.pop("axis")
            if "keepdims" in kwargs:
                kwargs["keepdim"] = kwargs.pop("keepdims")
        return function(*args, **kwargs)

    return call


def reduced_dims(name: str, x: Any, dim: Any) -> Dims:
    """The dimensions to reduce, counted from the front; None means all.

    Raises:
        TypeError: if x is not a Tensor or dim is not made of ints.
        IndexError, RuntimeError: for a dim that is not there, or named twice.
    """
    require_tensor(name, x)
    if dim is None:
        return None
    ndim = x._array.ndim
    if isinstance(dim, (int, np.integer)) and not isinstance(dim, bool):
        d = wrap_dim(int(dim), ndim)
        return (d,) if ndim else None
    if not isinstance(dim, (tuple, list)):
        raise TypeError(f"{name}(): argument 'dim' must be int or tuple of ints, not {type(dim).__name__}")
    dims = wrap_dims(dim, ndim)
    return dims if dim and ndim else None


def one_dim(name: str, x: Any, dim: Any) -> int:
    """One dimension, counted from the front (0 for a 0-d tensor); TypeError if it is not an int."""
    require_tensor(name, x)
    if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool):
        raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
    return wrap_dim(int(dim), x._array.ndim)


def converted(x: Any, dtype: dtypes.dtype | None) -> Any:
    """x in the dtype asked for by `dtype=`: before anything is computed, and after sums that integers do in int64."""
    return x if dtype is None or x._array.dtype == dtype.np else apply(to_dtype, (x,), {"dtype": dtype.np})


def refused(text: str, x: Any, error: type[Exception] = RuntimeError) -> Exception:
    """An exception that ends in the name of x's dtype as torch writes it: 'Got Long'."""
    return error(text + dtypes.legacy_name(dtypes.from_numpy_dtype(x._array.dtype)))


def kept_shape(shape: tuple[int, ...], dim: Dims) -> tuple[int, ...]:
    """The shape after a reduction that keeps its dimensions, with size 1."""
    return tuple(1 if dim is None or i in dim else n for i, n in enumerate(shape))


def left_shape(shape: tuple[int, ...], dim: Dims) -> tuple[int, ...]:
    """The shape after a reduction that drops its dimensions."""
    return tuple(n for i, n in enumerate(shape) if dim is not None and i not in dim)


def count(shape: tuple[int, ...], dim: Dims) -> int:
    """How many elements become one."""
    return math.prod(shape) if dim is None else math.prod(shape[d] for d in dim)


def spread(y: Any, shape: tuple[int, ...], dim: Dims, keepdim: bool) -> Any:
    """What a reduction left, repeated to the shape it came from (array or Tensor)."""
    if dim is not None and not keepdim:
        y = y.reshape(kept_shape(shape, dim))
    return expand_op(y, shape=shape)


# ---- sum and mean -------------------------------------------------------------------------------------------------------------

_LONG = 1024  # additions in a row that float32 bears; NumPy's pairwise summation covers only the last dimension


@kernel
def reduce_sum(x: Any, *, dim: Dims, keepdim: bool) -> Any:
    """Sum over dimensions. Integers and bools add up in int64, 16-bit floats in float32."""
    kind = x.dtype
    if kind is FLOAT32 and dim is not None and x.size >= _LONG and dim[0] != x.ndim - 1 and x.shape[dim[0]] >= _LONG:
        return row_major(np.add.reduce(x, axis=dim, keepdims=keepdim, dtype=FLOAT64, out=...).astype(FLOAT32))
    if kind is FLOAT32 or kind is FLOAT64 or kind.char in "fdFD":  # a dtype that was pickled is equal, yet another object
        y = np.add.reduce(x, axis=dim, keepdims=keepdim, out=...)
        return y if y.ndim < 2 else row_major(y)
    if kind.kind in "biu":
        return row_major(np.add.reduce(x, axis=dim, keepdims=keepdim, dtype=np.int64, out=...))
    return narrowed(reduce_sum.reference(widened(x), dim=dim, keepdim=keepdim), kind)


@kernel
def sum_of_squares(x: Any, *, dim: Dims, keepdim: bool) -> Any:
    """Sum of x * x over dimensions, of real floats."""
    return row_major(np.add.reduce(x * x, axis=dim, keepdims=keepdim, out=...))


sum_op: Op = Op("sum", reduce_sum, lambda g, x_shape, dim, keepdim: spread(g, x_shape, dim, keepdim))


def out_dtype(dtype: dtypes.dtype | None, out: Any) -> dtypes.dtype | None:
    """The dtype to sum or multiply in: the one asked for, else that of `out`."""
    return out.dtype if dtype is None and isinstance(out, TensorBase) else dtype  # type: ignore[attr-defined]


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None, out: Any = None,  # noqa: A001, A002
        axis: Any = None, keepdims: bool = False) -> Any:
    """The sum of all elements, or over one or several dimensions.

    Args:
        dim: an int, a tuple of ints, or None for all.
        keepdim: keep the reduced dimensions with size 1.
        dtype: convert to this dtype first. Integers and bools sum to int64 without it.
        axis, keepdims: NumPy's names of dim and keepdim.
    Shape: x (D...) -> x's shape without `dim`. The sum of nothing is 0.
    Raises:
        IndexError: for a dim that is not there; RuntimeError for one named twice.
    Derivative: g, repeated.
    """
    dims = reduced_dims("sum", input, dim if axis is None else axis)
    dtype = out_dtype(dtype, out)
    y = apply(sum_op, (converted(input, dtype),), {"dim": dims, "keepdim": keepdim or keepdims})
    if dtype is not None:
        y = converted(y, dtype)
    return y if out is None else put_out(y, out)


def _mean(x: Any, *, dim: Dims, keepdim: bool) -> Any:
    wide = widened(x)
    y = np.true_divide(reduce_sum(wide, dim=dim, keepdim=keepdim), count(x.shape, dim), out=...)
    return narrowed(y, x.dtype)


mean_op = Op("mean", _mean, lambda g, x_shape, dim, keepdim: spread(g / count(x_shape, dim), x_shape, dim, keepdim))


def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None, out: Any = None,  # noqa: A002
         axis: Any = None, keepdims: bool = False) -> Any:
    """The mean of all elements, or over one or several dimensions; the mean of nothing is NaN.

    Shape: x (D...) -> x's shape without `dim`. dtype: floating or complex, kept.
    Raises:
        RuntimeError: for integers and bools without `dtype`.
    Derivative: g / n, repeated.
    """
    dims = reduced_dims("mean", input, dim if axis is None else axis)
    x = converted(input, dtype)
    if x._array.dtype.kind in "biu":
        what = "Input" if dtype is None else "Optional"
        raise refused(f"mean(): could not infer output dtype. {what} dtype must be either a floating point or complex dtype. "
                      "Got: ", x)
    y = apply(mean_op, (x,), {"dim": dims, "keepdim": keepdim or keepdims})
    return y if out is None else put_out(y, out)


def _without_nan(x: Any) -> Any:
    if x._array.dtype.kind == "c":
        raise RuntimeError("nansum on CPU does not support complex inputs")
    return where(isnan(x), 0.0, x) if x._array.dtype.kind in "fcV" else x


@numpy_names
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None, out: Any = None) -> Any:  # noqa: A002
    """`sum` with NaN counted as 0. Derivative: g, repeated, 0 where x is NaN."""
    require_tensor("nansum", input)
    return titled(sum(_without_nan(converted(input, dtype)), dim, keepdim, dtype=dtype, out=out), "nansum")


@numpy_names
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None, out: Any = None) -> Any:  # noqa: A002
    """The mean of the elements that are not NaN; NaN if there are none. Derivative: g / their number, 0 where x is NaN.

    Raises:
        RuntimeError: for integers and bools.
    """
    require_tensor("nanmean", input)
    x = converted(input, dtype)
    if x._array.dtype.kind in "biu":
        raise refused("nanmean(): expected input to have floating point or complex dtype but got ", x)
    y = sum(_without_nan(x), dim, keepdim) / sum(~isnan(x), dim, keepdim)
    return y if out is None else put_out(y, out)


# ---- product ------------------------------------------------------------------------------------------------------------------


def has_zero(x: Any) -> bool:
    """Is any element zero? A derivative may then not divide by x."""
    return not bool(np.all(widened(x._array if isinstance(x, TensorBase) else x)))


def to_last(x: Any, dim: int) -> Any:
    """A dimension moved to the end (array or Tensor)."""
    ndim = len(shape_of(x))
    return x if dim == ndim - 1 else permute_op(x, dims=(*(d for d in range(ndim) if d != dim), dim))


def from_last(x: Any, dim: int) -> Any:
    """The last dimension moved to `dim`: undoes `to_last`."""
    ndim = len(shape_of(x))
    dims = list(range(ndim - 1))
    dims.insert(dim, ndim - 1)
    return x if dim == ndim - 1 else permute_op(x, dims=tuple(dims))


def _prod(x: Any, *, dim: int | None, keepdim: bool) -> Any:
    wanted = np.int64 if x.dtype.kind in "biu" else None
    return narrowed(row_major(np.multiply.reduce(widened(x), axis=dim, keepdims=keepdim, dtype=wanted, out=...)), x.dtype)


def _prod_formula(g: Any, x: Any, dim: int | None, keepdim: bool) -> Any:
    shape = shape_of(x)
    if dim is None:
        return spread(g, shape, None, keepdim) * prod_others_op(x.reshape(-1)).reshape(shape)
    return spread(g, shape, (dim,), keepdim) * from_last(prod_others_op(to_last(x, dim)), dim)


def _prod_others(x: Any) -> Any:
    """For each element the product of the others in its row: what is left of it times what is right of it."""
    wide = widened(x)
    left, right = np.ones_like(wide), np.ones_like(wide)
    np.multiply.accumulate(wide[..., :-1], axis=-1, out=left[..., 1:])
    np.multiply.accumulate(wide[..., :0:-1], axis=-1, out=right[..., -2::-1])
    return narrowed(left * right, x.dtype)


def _prod_others_formula(g: Any, x: Any, y: Any) -> Any:
    # y_i = product of x_j, j != i, so d(g . y) / dx_k = sum over i != k of g_i * product of x_j, j not in {i, k}
    if not has_zero(x):
        product = g * y
        return (sum_op(product, dim=(product.ndim - 1,), keepdim=True) - product) / x
    shape = shape_of(x)
    n = shape[-1]
    diagonal = np.eye(n, dtype=bool)
    pairs = prod_others_op(where(diagonal, 1.0, x.reshape((*shape[:-1], 1, n))))  # (..., i, k)
    terms = kept_op(pairs, ~diagonal) * g.reshape((*shape[:-1], n, 1))
    return sum_op(terms, dim=(len(shape) - 1,), keepdim=False)


prod_op = Op("prod", _prod, _prod_formula)
prod_others_op = Op("prod_backward", _prod_others, _prod_others_formula)


@numpy_names
def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None, out: Any = None) -> Any:  # noqa: A002
    """The product of all elements, or over one dimension; the product of nothing is 1.

    Shape: x (D...) -> x's shape without `dim`. Integers and bools give int64.
    Derivative: g times the product of the others, found without dividing, so that zeros are right.
    """
    d = None if dim is None else one_dim("prod", input, dim)
    require_tensor("prod", input)
    if get_casting() is not None and out is None:
        input, = in_float32(input)  # noqa: A001
    dtype = out_dtype(dtype, out)
    x = converted(input, dtype)
    y = converted(apply(prod_op, (x,), {"dim": d if x._array.ndim else None, "keepdim": keepdim}), dtype)
    return y if out is None else put_out(y, out)


# ---- truth and counts: no derivative ------------------------------------------------------------------------------------------


def _truth(ufunc: np.ufunc) -> Callable[..., Any]:
    def reduce(x: Any, *, dim: Dims, keepdim: bool) -> Any:
        y = ufunc.reduce(widened(x), axis=dim, keepdims=keepdim, dtype=bool, out=...)
        return y.astype(np.uint8) if x.dtype == np.uint8 else y  # torch keeps uint8, its bool of old

    return reduce


_any_op = Op("any", _truth(np.logical_or), None)
_all_op = Op("all", _truth(np.logical_and), None)


@numpy_names
def any(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A001, A002
    """Is any element nonzero, of all or over dimensions? NaN counts as nonzero; of nothing, none is.

    The result is bool, but uint8 for uint8, torch's bool of old; dim=() reduces nothing.
    """
    dims = () if dim == () else reduced_dims("any", input, dim)
    y = apply(_any_op, (input,), {"dim": dims, "keepdim": keepdim})
    return y if out is None else put_out(y, out)


@numpy_names
def all(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A001, A002
    """Is every element nonzero, of all or over dimensions? NaN counts as nonzero; of nothing, all are.

    The result is bool, but uint8 for uint8, torch's bool of old; dim=() reduces nothing.
    """
    dims = () if dim == () else reduced_dims("all", input, dim)
    y = apply(_all_op, (input,), {"dim": dims, "keepdim": keepdim})
    return y if out is None else put_out(y, out)


_count_nonzero_op = Op("count_nonzero", lambda x, *, dim: np.asarray(np.count_nonzero(widened(x), axis=dim), np.int64), None)


@numpy_names
def count_nonzero(input: Any, dim: Any = None) -> Any:  # noqa: A002
    """How many elements are not zero, as int64; NaN counts."""
    return apply(_count_nonzero_op, (input,), {"dim": reduced_dims("count_nonzero", input, dim)})
