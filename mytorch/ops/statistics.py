"""Variance, log-sum-exp, norms, quantiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.backends import MANY, kernel
from mytorch.grad_mode import by_example
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import Op, TensorBase, apply, floating, narrowed, put_out, require_tensor, widened
from mytorch.ops.elementwise import abs as absolute
from mytorch.ops.elementwise import exp, isnan, kept_op, lerp, pow, sgn, sub, where  # noqa: A004
from mytorch.ops.extrema import tie_share
from mytorch.ops.index import gather
from mytorch.ops.layout import row_major
from mytorch.ops.pointwise import times
from mytorch.ops.sorting import sort
from mytorch.ops.sums import (
    Dims,
    converted,
    count,
    kept_shape,
    left_shape,
    mean,
    mean_op,
    numpy_names,
    one_dim,
    reduce_sum,
    reduced_dims,
    refused,
    spread,
    sum_of_squares,
)

__mytorch__ = True

# ---- variance -----------------------------------------------------------------------------------------------------------------


def _var(x: Any, *, dim: Dims, keepdim: bool, correction: float) -> Any:
    wide = widened(x)
    n = count(x.shape, dim)
    freedom = n - correction
    if wide.dtype.kind == "f" and wide.size >= MANY:  # the same by the kernels of these functions
        offset = sub(wide, reduce_sum(wide, dim=dim, keepdim=True) / n)
        offset = sub(offset, reduce_sum(offset, dim=dim, keepdim=True) / n)
        return narrowed(np.true_divide(sum_of_squares(offset, dim=dim, keepdim=keepdim), max(freedom, 0), out=..., order="C"), x.dtype)
    offset = np.subtract(wide, np.true_divide(np.add.reduce(wide, axis=dim, keepdims=True), n), out=...)
    # once more, from what rounding left: equal elements then have a variance of exactly 0, and a deviation without slope
    offset -= np.true_divide(np.add.reduce(offset, axis=dim, keepdims=True), n)
    squares = offset.real ** 2 + offset.imag ** 2 if offset.dtype.kind == "c" else offset * offset
    y = np.add.reduce(np.asarray(squares), axis=dim, keepdims=keepdim, out=...)
    return narrowed(np.true_divide(y, max(freedom, 0), out=..., order="C"), x.dtype)


def _var_formula(g: Any, x: Any, dim: Dims, keepdim: bool, correction: float) -> Any:
    offset = x - mean_op(x, dim=dim, keepdim=True)
    freedom = count(x.shape, dim) - correction
    g = spread(g, tuple(x.shape), dim, keepdim)
    return g * (2 / freedom) * offset if freedom > 0 else g * where(offset == 0, math.nan, math.inf)


def _std_formula(g: Any, x: Any, y: Any, dim: Dims, keepdim: bool, correction: float) -> Any:
    # where all elements are equal the slope of the root is infinite; torch answers 0
    zero = y == 0
    return _var_formula(kept_op(g / (y * 2 + zero), ~zero), x, dim, keepdim, correction)


def _std(x: Any, *, dim: Dims, keepdim: bool, correction: float) -> Any:
    return narrowed(np.sqrt(_var(widened(x), dim=dim, keepdim=keepdim, correction=correction), out=...), x.dtype)


_var_op = Op("var", _var, _var_formula, holomorphic=False)
_std_op = Op("std", _std, _std_formula, holomorphic=False)


def _spread_of(name: str, x: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    """What `var` and `std` share: torch's two generations of arguments, and its checks."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}(): give unbiased or correction, not both")
    correction = (1 if unbiased in (None, True) else 0) if correction is None else correction
    dims = reduced_dims(name, x, dim)
    if x._array.dtype.kind in "biu":
        raise RuntimeError(f"{name if 'mean' in name else 'std and var'} only support floating point and complex dtypes, got "
                           f"{dtypes.legacy_name(dtypes.from_numpy_dtype(x._array.dtype))}: convert with .float()")
    if count(x._array.shape, dims) - correction <= 0 and math.prod(kept_shape(x._array.shape, dims)):
        import warnings
        warnings.warn(f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
                      "(input numel divided by output numel).", UserWarning, stacklevel=4)
    op = _var_op if name.startswith("var") else _std_op
    return apply(op, (x,), {"dim": dims, "keepdim": keepdim, "correction": correction})


@numpy_names
def var(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None,  # noqa: A002
        out: Any = None) -> Any:
    """The variance of all elements, or over dimensions: sum |x - mean|^2 / (n - correction), correction 1 unless given.

    Args:
        unbiased: the older way to say correction=1 (True) or 0 (False).
    Shape: x (D...) -> x's shape without `dim`. dtype: floating or complex; the result is real.
    Raises:
        RuntimeError: for integers and bools. A warning where n <= correction; the result is NaN or inf then.
    Derivative: 2 g (x - mean) / (n - correction).
    """
    y = _spread_of("var", input, dim, unbiased, keepdim, correction)
    return y if out is None else put_out(y, out)


@numpy_names
def std(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None,  # noqa: A002
        out: Any = None) -> Any:
    """The standard deviation: the square root of `var`, whose arguments it has.

    Derivative: g (x - mean) / (y (n - correction)), 0 where y is 0.
    """
    y = _spread_of("std", input, dim, unbiased, keepdim, correction)
    return y if out is None else put_out(y, out)


@numpy_names
def var_mean(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,  # noqa: A002
             correction: float | None = None) -> tuple[Any, Any]:
    """(`var`, `mean`) over the same dimensions."""
    y = _spread_of("var_mean", input, dim, unbiased, keepdim, correction)
    return y, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def std_mean(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,  # noqa: A002
             correction: float | None = None) -> tuple[Any, Any]:
    """(`std`, `mean`) over the same dimensions."""
    y = _spread_of("std_mean", input, dim, unbiased, keepdim, correction)
    return y, mean(input, None if isinstance(dim, bool) else dim, keepdim)


# ---- log-sum-exp --------------------------------------------------------------------------------------------------------------


@kernel
def logsumexp_forward(x: Any, *, dim: Dims, keepdim: bool) -> Any:
    """log(sum(e^x)), computed from the largest."""
    wide = floating(widened(x))
    top = np.maximum.reduce(wide.real, axis=dim, keepdims=True, initial=-math.inf)
    top = np.where(np.isfinite(top), top, 0).astype(wide.real.dtype)  # inf - inf would be NaN
    total = np.add.reduce(np.exp(wide - top), axis=dim, keepdims=True)
    y = row_major(np.asarray(np.log(total) + top))
    if not keepdim:
        y = y.reshape(left_shape(x.shape, dim))
    return narrowed(y, x.dtype)


def _logsumexp_formula(g: Any, x: Any, y: Any, x_shape: tuple[int, ...], dim: Dims, keepdim: bool) -> Any:
    if not keepdim:
        shape = kept_shape(x_shape, dim)
        g, y = g.reshape(shape), y.reshape(shape)
    return times(exp(sub(x, y)), g)


_logsumexp_op = Op("logsumexp", logsumexp_forward, _logsumexp_formula)


@numpy_names
def logsumexp(input: Any, dim: Any, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """log(sum(e^x)) over dimensions without overflow; -inf of nothing.

    Shape: x (D...) -> x's shape without `dim`. Integers become the default float.
    Derivative: g softmax(x).
    """
    if dim is None:
        raise errors.type_error("logsumexp", "dim", 2, "tuple of ints", dim)
    y = apply(_logsumexp_op, (input,), {"dim": reduced_dims("logsumexp", input, dim), "keepdim": keepdim})
    return y if out is None else put_out(y, out)


# ---- norms --------------------------------------------------------------------------------------------------------------------


def _vector_norm(x: Any, *, ord: float, dim: Dims, keepdim: bool) -> Any:  # noqa: A002
    wide = widened(x)
    if ord == 2 and dim is None and wide.dtype.kind == "f" and wide.flags.c_contiguous:
        flat = wide.reshape(-1)
        y = np.sqrt(np.dot(flat, flat), out=...)  # BLAS: one pass, no temporary
        y = y.reshape(kept_shape(x.shape, None)) if keepdim else y
    elif ord == 2 and wide.dtype.kind == "f":
        y = np.sqrt(sum_of_squares(wide, dim=dim, keepdim=keepdim), out=...)
    elif ord == 1 and wide.dtype.kind == "f":
        y = reduce_sum(np.abs(wide), dim=dim, keepdim=keepdim)
    else:
        y = _norm_of_sizes(np.abs(wide), ord, dim, keepdim)
    return narrowed(row_major(np.asarray(y, wide.real.dtype)), x.dtype)


def _norm_of_sizes(size: Any, ord: float, dim: Any, keepdim: bool) -> Any:  # noqa: A002
    if ord == 0:
        return np.add.reduce(size != 0, axis=dim, keepdims=keepdim, dtype=np.int64, out=...)
    if ord == math.inf:
        return np.maximum.reduce(size, axis=dim, keepdims=keepdim, out=...)
    if ord == -math.inf:
        return np.minimum.reduce(size, axis=dim, keepdims=keepdim, out=...)
    return np.power(np.add.reduce(np.power(size, ord), axis=dim, keepdims=keepdim, out=...), 1 / ord)


def _vector_norm_formula(g: Any, x: Any, y: Any, ord: float, dim: Dims, keepdim: bool) -> Any:  # noqa: A002
    shape = tuple(x.shape)
    g = spread(g, shape, dim, keepdim)
    if ord == 0:
        return x * 0
    if ord == 1:
        return g * sgn(x)
    if abs(ord) == math.inf:
        return g * tie_share(absolute(x), y, dim=dim, keepdim=keepdim) * sgn(x)
    y = spread(y, shape, dim, keepdim)
    zero = y == 0
    if ord == 2:
        return kept_op(x * (g / (y + zero)), ~zero)
    # sgn(x) |x|^(p-1) y^(1-p), 0 where the norm is 0, or where |x|^(p-1) is infinite at 0
    size = absolute(x)
    slope = pow(size, ord - 1) * (g / pow(y + zero, ord - 1))
    return sgn(x) * kept_op(slope, ~zero & ((size != 0) | (ord >= 1)))


_vector_norm_op = Op("linalg_vector_norm", _vector_norm, _vector_norm_formula, holomorphic=False)


@numpy_names
def vector_norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None,  # noqa: A002
                out: Any = None) -> Any:
    """(sum |x|^ord)^(1 / ord) of all elements, or over dimensions.

    Args:
        ord: inf gives the largest |x|, -inf the smallest, 0 the number of nonzero elements.
    Shape: x (D...) -> x's shape without `dim`; the result is real.
    Raises:
        RuntimeError: for integers, and for an empty x where ord is negative or inf.
    Derivative: g sgn(x) (|x| / y)^(ord - 1), 0 where y is 0; for inf, g shared among the elements of largest |x|.
    """
    return _norm("linalg.vector_norm", x, ord, dim, keepdim, dtype, out)


def _norm(name: str, x: Any, ord: float, dim: Any, keepdim: bool, dtype: Any, out: Any) -> Any:  # noqa: A002
    dims = reduced_dims(name, x, dim)
    if isinstance(ord, str):
        raise errors.type_error(name.replace(".", "_"), "ord", 2, "Number", ord)
    x = converted(x, dtype)
    array = x._array
    if array.dtype.kind in "biu":
        raise refused(f"{name}: Expected a floating point or complex tensor as input. Got ", x)
    if not array.size and (ord < 0 or ord == math.inf):
        if dims is None:
            raise RuntimeError(f"{name} cannot compute the {ord:g} norm on an empty tensor because the operation does not have "
                               "an identity")
        for d in dims:
            if not array.shape[d]:
                raise RuntimeError(f"{name} cannot compute the {ord:g} norm on the dimension {d} because this dimension is empty "
                                   "and the operation does not have an identity")
    y = apply(_vector_norm_op, (x,), {"ord": float(ord), "dim": dims, "keepdim": keepdim})
    return y if out is None else put_out(y, out, True)


@numpy_names
def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None,  # noqa: A002
         dtype: dtypes.dtype | None = None) -> Any:
    """`vector_norm` of order p under its old name; 'fro' is p = 2, and 'nuc' the sum of the singular values of matrices.

    Raises:
        RuntimeError: for another word, or 'nuc' of anything but matrices.
    """
    if p == "nuc":
        from mytorch.ops.matrix_functions import matrix_norm
        require_tensor("norm", input)
        dims = tuple(range(input._array.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        return matrix_norm(input, "nuc", dims, keepdim, dtype=dtype, out=out)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm(): p is {p!r}; expected a number, 'fro', 'nuc' or None")
    return _norm("linalg.vector_norm", input, 2.0 if p is None or p == "fro" else p, dim, keepdim, dtype, out)


def dist(input: Any, other: Any, p: float = 2) -> Any:  # noqa: A002
    """The p-norm of input - other, which broadcast."""
    require_tensor("dist", input)
    require_tensor("dist", other, "other", 2)
    return _norm("linalg.vector_norm", input - other, p, None, False, None, None)


# ---- quantiles ----------------------------------------------------------------------------------------------------------------

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@numpy_names
@by_example
@full_precision
def quantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",  # noqa: A002
             out: Any = None) -> Any:
    """The q-th quantiles (q between 0 and 1, a number or a 1-d tensor) of all elements or along a dimension; NaN wins.

    Shape: x (D...) -> x's shape without `dim`, preceded by q's size if q is 1-d.
    Raises:
        RuntimeError: for an empty or non-float input, or q outside [0, 1].
    Derivative: g to the one or two elements between which the quantile lies; for q, g times their distance and n - 1.
    """
    y = _quantile("quantile", input, q, dim, keepdim, interpolation, False)
    return y if out is None else put_out(y, out)


@numpy_names
@by_example
@full_precision
def nanquantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",  # noqa: A002
                out: Any = None) -> Any:
    """`quantile` of the elements that are not NaN."""
    y = _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
    return y if out is None else put_out(y, out)


def _quantile(name: str, x: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool) -> Any:
    q = _checked_fractions(name, x, q, interpolation)
    shape = x._array.shape
    d = None if dim is None else one_dim(name, x, dim)
    # (D...) -> rows of what becomes one number
    rows = x.reshape(1, -1) if d is None or not shape else x.movedim(d, -1).reshape(-1, shape[d])
    ordered = sort(rows).values  # NaN last
    n = rows._array.shape[1]
    missing = isnan(ordered)._array
    last = np.maximum(n - 1 - missing.sum(1, keepdims=True), 0) if skip_nan else np.full((len(missing), 1), n - 1)
    ranks = q.reshape(1, -1) * x.new_tensor(last.astype(x._array.dtype), dtype=None)  # (rows, q)
    if not skip_nan:
        ranks = where(x.new_tensor(missing[:, -1:], dtype=None), float(n - 1), ranks)
    y = _between(ordered, ranks, interpolation).transpose(0, 1)  # (q, rows)
    dims = None if d is None else (d,)
    y = y.reshape(q._array.size, *(kept_shape(shape, dims) if keepdim else left_shape(shape, dims)))
    return y if q._array.ndim else y[0]


def _checked_fractions(name: str, x: Any, q: Any, interpolation: str) -> Any:
    require_tensor(name, x)
    array = x._array
    if array.size == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if array.dtype.kind != "f" or array.itemsize < 4:
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
                           f"{interpolation}")
    if isinstance(q, TensorBase) and q._array.dtype != array.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    fractions = q if isinstance(q, TensorBase) else x.new_tensor(q, dtype=x.dtype)
    if fractions._array.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if not np.all((fractions._array >= 0) & (fractions._array <= 1)):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    return fractions


def _between(ordered: Any, ranks: Any, interpolation: str) -> Any:
    """The values at fractional places of sorted rows."""
    places = ranks._array
    if interpolation in ("lower", "higher", "nearest"):
        roundings: dict[str, Any] = {"lower": np.floor, "higher": np.ceil, "nearest": np.round}
        places = roundings[interpolation](places)
    low = np.floor(places)
    y = gather(ordered, 1, ordered.new_tensor(low.astype(np.int64), dtype=None))
    if interpolation not in ("linear", "midpoint"):
        return y
    above = gather(ordered, 1, ordered.new_tensor(np.ceil(places).astype(np.int64), dtype=None))
    return lerp(y, above, 0.5 if interpolation == "midpoint" else ranks - ordered.new_tensor(low, dtype=None))
