"""The largest and the smallest, over dimensions or between tensors; where they are; median and mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.ops import return_types
from mytorch.ops.common import Op, TensorBase, apply, narrowed, put_out, require_tensor, widened
from mytorch.ops.elementwise import maximum, minimum
from mytorch.ops.index import scatter_op
from mytorch.ops.shape import shape_of
from mytorch.ops.sums import Dims, kept_shape, numpy_names, one_dim, reduced_dims, spread
from mytorch.ops.views import repeated_zero

__mytorch__ = True

# ---- what they share ----------------------------------------------------------------------------------------------------------


def put_outs(result: Any, out: Any) -> Any:
    """Write results into a tuple of `out=` tensors, and return those under the result's names.

    Raises:
        RuntimeError: if a tensor has another dtype than its result.
    """
    for y, target in zip(result, out, strict=True):
        require_tensor("out", target, "out", 1)
        if y._array.dtype != target._array.dtype:
            wanted, given = (dtypes.from_numpy_dtype(t._array.dtype).name for t in (y, target))
            raise RuntimeError(f"Expected out tensor to have dtype {wanted}, but got {given} instead")
    return type(result)(put_out(y, target) for y, target in zip(result, out, strict=True))


def chosen_grad(g: Any, indices: Any, x_shape: tuple[int, ...], dim: int, keepdim: bool) -> Any:
    """The gradient of values picked along `dim`, no element twice: g at their indices, 0 elsewhere."""
    g = g[0]
    if not keepdim and x_shape:
        kept = kept_shape(x_shape, (dim,))
        g, indices = g.reshape(kept), indices.reshape(kept)
    return scatter_op(repeated_zero(g, x_shape), indices, g, dim=dim, reduce=None)


def _tie_share(x: Any, y: Any, *, dim: Dims, keepdim: bool, nan_ties: bool) -> Any:
    """For each element that equals the extreme of its row, 1 / how many do; 0 for the others. NaN equals NaN on request."""
    x, y = widened(x), spread(widened(y), x.shape, dim, keepdim)
    ties = (x == y) | (np.isnan(x) & np.isnan(y)) if nan_ties else x == y
    return np.asarray(ties / np.add.reduce(ties, axis=dim, keepdims=True)).astype(x.dtype)


@kernel
def extremes_grad(g: Any, x: Any, y: Any, *, dim: Dims, keepdim: bool) -> Any:
    """The gradient of the extremes y of x over dimensions: shared equally among ties, on arrays."""
    return spread(g, x.shape, dim, keepdim) * _tie_share(x, y, dim=dim, keepdim=keepdim, nan_ties=False)


_tie_share_op = Op("tie_share", _tie_share, None, None)


def tie_share(x: Any, y: Any, *, dim: Dims = None, keepdim: bool = False, nan_ties: bool = False) -> Any:
    """How the gradient of an extreme y is shared among its ties in x: a constant, for arrays or Tensors."""
    if isinstance(x, TensorBase):
        x, y = x.detach(), y.detach()  # type: ignore[attr-defined]
    return _tie_share_op(x, y, dim=dim, keepdim=keepdim, nan_ties=nan_ties)


def _shared_over(g: Any, x: Any, y: Any, dim: Dims, keepdim: bool) -> Any:
    """The gradient of extremes over dimensions, for arrays or Tensors."""
    if not isinstance(x, TensorBase):
        return extremes_grad(g, x, y, dim=dim, keepdim=keepdim)
    return spread(g, shape_of(x), dim, keepdim) * tie_share(x, y, dim=dim, keepdim=keepdim)


def _shared(g: Any, x: Any, y: Any) -> Any:
    """The gradient of one element chosen from all: shared among its equals, NaN among NaNs."""
    return spread(g, shape_of(x), None, False) * tie_share(x, y, nan_ties=True)


def refuse_complex(kernel_name: str, x: Any, kinds: str = "c") -> None:
    """NotImplementedError for complex numbers, which have no order, or for other kinds that torch leaves out."""
    if x._array.dtype.kind in kinds:
        legacy = dtypes.legacy_name(dtypes.from_numpy_dtype(x._array.dtype))
        raise NotImplementedError(f"\"{kernel_name}\" not implemented for '{legacy}'")


def _refuse_empty(name: str, x: Any, dims: Dims, whole: type[Exception] = RuntimeError, hint: bool = True) -> None:
    if x._array.size:
        return
    if dims is None and x._array.ndim:
        raise whole(f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
                    + (" Specify the reduction dim with the 'dim' argument." if hint else ""))
    for d in dims or ():
        if x._array.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


# ---- max and min --------------------------------------------------------------------------------------------------------------


def _extreme_ops(ufunc: np.ufunc, arg: Callable[..., Any], name: str) -> tuple[Op, Op, Op]:
    """The ops of `amax(dim)`, `max()` and, with indices, `max(dim)`. NaN wins in all."""

    def extreme(x: Any, *, dim: Dims, keepdim: bool) -> Any:
        return narrowed(ufunc.reduce(widened(x), axis=dim, keepdims=keepdim, out=...), x.dtype)

    def extreme_and_index(x: Any, *, dim: int, keepdim: bool) -> tuple[Any, Any]:
        if x.ndim == 0:
            return x.copy(), np.zeros((), np.int64)
        wide = widened(x)
        values = narrowed(ufunc.reduce(wide, axis=dim, keepdims=keepdim, out=...), x.dtype)
        return values, np.asarray(arg(wide, axis=dim, keepdims=keepdim), np.int64)

    return (Op(f"a{name}", kernel(extreme, name=f"a{name}_forward"),
               lambda g, x, y, dim, keepdim: _shared_over(g, x, y, dim, keepdim), holomorphic=False),
            Op(name, lambda x: extreme(x, dim=None, keepdim=False), _shared, holomorphic=False).variant(f"{name}_all"),
            Op(name, kernel(extreme_and_index, name=f"{name}_forward"), chosen_grad_of, outputs="values indices"))


def chosen_grad_of(g: Any, indices: Any, x_shape: tuple[int, ...], dim: int, keepdim: bool) -> Any:
    """`chosen_grad` as a formula of an op with outputs 'values indices'."""
    return chosen_grad(g, indices, x_shape, dim, keepdim)


_amax_op, _max_all_op, _max_op = _extreme_ops(np.maximum, np.argmax, "max")
_amin_op, _min_all_op, _min_op = _extreme_ops(np.minimum, np.argmin, "min")


def _extreme(name: str, x: Any, dim: Any, keepdim: bool, other: Any, out: Any) -> Any:
    """The three faces of `max` and `min`: of all elements, along a dimension, of two tensors."""
    require_tensor(name, x)
    if isinstance(dim, TensorBase) or other is not None:
        return (maximum if name == "max" else minimum)(x, dim if other is None else other, out=out)
    if dim is None:
        refuse_complex(f"{name}_all", x)
        _refuse_empty(name, x, None)
        y = apply(_max_all_op if name == "max" else _min_all_op, (x,))
        return y if out is None else put_out(y, out)
    d = one_dim(name, x, dim)
    if x._array.dtype.kind == "c":
        raise RuntimeError(f"{name}(): does not support complex input")
    _refuse_empty(name, x, (d,) if x._array.ndim else ())
    found = getattr(return_types, name)(apply(_max_op if name == "max" else _min_op, (x,), {"dim": d, "keepdim": keepdim}))
    return found if out is None else put_outs(found, out)


@numpy_names
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:  # noqa: A001, A002
    """The largest element; with `dim`, the largest along it and their indices; with a tensor, `maximum` of the two.

    Returns:
        a 0-d Tensor, or a named tuple (values, indices), or a Tensor of the broadcast shape. NaN wins; the first index of ties.
    Raises:
        RuntimeError, IndexError: where there is nothing to choose from. NotImplementedError for complex numbers.
    Derivative: with `dim`, g at the index chosen; otherwise g shared equally among ties.
    """
    return _extreme("max", input, dim, keepdim, other, out)


@numpy_names
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:  # noqa: A001, A002
    """The smallest element; with `dim`, the smallest along it and their indices; with a tensor, `minimum` of the two.

    Returns, Raises, Derivative: as for `max`.
    """
    return _extreme("min", input, dim, keepdim, other, out)


def _values_only(name: str, op: Op, x: Any, dim: Any, keepdim: bool, out: Any) -> Any:
    dims = reduced_dims(name, x, dim)
    refuse_complex(f"{name[1:]}_values_cpu", x)
    _refuse_empty(name, x, dims)
    y = apply(op, (x,), {"dim": dims, "keepdim": keepdim})
    return y if out is None else put_out(y, out, True)


@numpy_names
def amax(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """The largest elements over one or several dimensions; NaN wins. Derivative: g shared equally among ties."""
    return _values_only("amax", _amax_op, input, dim, keepdim, out)


@numpy_names
def amin(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """The smallest elements over one or several dimensions; NaN wins. Derivative: g shared equally among ties."""
    return _values_only("amin", _amin_op, input, dim, keepdim, out)


@numpy_names
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False, out: Any = None) -> Any:  # noqa: A002
    """The smallest and the largest, of all elements or along a dimension: a named tuple (min, max).

    Raises:
        RuntimeError, IndexError: where there is nothing to choose from.
    Derivative: g shared equally among ties.
    """
    require_tensor("aminmax", input)
    if dim is None and not input._array.size:
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    if dim is not None and input._array.ndim and not input._array.shape[one_dim("aminmax", input, dim)]:
        raise IndexError(f"aminmax: Expected reduction dim {one_dim('aminmax', input, dim)} to have non-zero size.")
    found = return_types.aminmax((amin(input, dim, keepdim), amax(input, dim, keepdim)))
    return found if out is None else put_outs(found, out)


# ---- where they are -----------------------------------------------------------------------------------------------------------


def _arg(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, dim, keepdim: np.asarray(function(widened(x), axis=dim, keepdims=keepdim), np.int64)


_argmax_op = Op("argmax", _arg(np.argmax), None, inputs="x")
_argmin_op = Op("argmin", _arg(np.argmin), None, inputs="x")


def _index_of(name: str, op: Op, x: Any, dim: Any, keepdim: bool, out: Any) -> Any:
    require_tensor(name, x)
    d = None if dim is None else one_dim(name, x, dim)
    if x._array.dtype.kind in "bc":
        raise RuntimeError(f"{name}(): does not support {'bool' if x._array.dtype.kind == 'b' else 'complex'} input")
    _refuse_empty(name, x, None if d is None else (d,), IndexError, hint=False)
    y = apply(op, (x,), {"dim": d if x._array.ndim else None, "keepdim": keepdim})
    return y if out is None else put_out(y, out, True)


@numpy_names
def argmax(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """The index of the largest element, along `dim` or in the flattened tensor: the first of ties, NaN before all. int64."""
    return _index_of("argmax", _argmax_op, input, dim, keepdim, out)


@numpy_names
def argmin(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """The index of the smallest element, along `dim` or in the flattened tensor: the first of ties, NaN before all. int64."""
    return _index_of("argmin", _argmin_op, input, dim, keepdim, out)


# ---- median and mode ----------------------------------------------------------------------------------------------------------


def _pick(x: Any, places: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The values at indices `places` (kept dimension) and these indices, the dimension dropped unless kept."""
    values = np.take_along_axis(x, places, dim)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def _median(x: Any, *, dim: int, keepdim: bool, skip_nan: bool) -> tuple[Any, Any]:
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    wide = widened(x)
    n = x.shape[dim]
    missing = np.isnan(wide) if wide.dtype.kind == "f" else np.zeros(x.shape, bool)
    if skip_nan:
        ranks = (np.maximum(n - missing.sum(dim, keepdims=True), 1) - 1) // 2
        places = np.take_along_axis(np.argsort(wide, axis=dim, kind="stable"), ranks, dim)
    else:
        middle = np.take(np.argpartition(wide, (n - 1) // 2, axis=dim), [(n - 1) // 2], axis=dim)
        places = np.where(missing.any(dim, keepdims=True), np.argmax(missing, axis=dim, keepdims=True), middle)
    return _pick(x, places, dim, keepdim)


_median_op = Op("median", _median, chosen_grad_of, outputs="values indices").variant("median_dim")


def _median_all(x: Any, *, skip_nan: bool) -> Any:
    if not x.size:
        if x.dtype.kind in "iu":
            return np.asarray(np.iinfo(x.dtype).min, x.dtype)
        return narrowed(np.asarray(np.nan, widened(x).dtype), x.dtype)
    return np.asarray(_median(x.reshape(-1), dim=0, keepdim=False, skip_nan=skip_nan)[0])


_median_all_op = Op("median", _median_all, _shared)


def _middle(name: str, x: Any, dim: Any, keepdim: bool, out: Any) -> Any:
    require_tensor(name, x)
    skip_nan = name == "nanmedian"
    refuse_complex("median_cpu" if dim is None else "median_out", x, "bc")
    if dim is None:
        y = apply(_median_all_op, (x,), {"skip_nan": skip_nan})
        return y if out is None else put_out(y, out)
    d = one_dim(name, x, dim)
    _refuse_empty("median", x, (d,))
    found = getattr(return_types, name)(apply(_median_op, (x,), {"dim": d, "keepdim": keepdim, "skip_nan": skip_nan}))
    return found if out is None else put_outs(found, out)


@numpy_names
def median(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """The median of all elements; with `dim`, a named tuple (values, indices). Of two middle ones the lower; NaN wins.

    Derivative: with `dim`, g at the index chosen; otherwise g shared equally among ties.
    """
    return _middle("median", input, dim, keepdim, out)


@numpy_names
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """`median` of the elements that are not NaN; NaN only where all are."""
    return _middle("nanmedian", input, dim, keepdim, out)


def _mode(x: Any, *, dim: int, keepdim: bool) -> tuple[Any, Any]:
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    rows = np.moveaxis(widened(x), dim, -1)
    places = np.empty(rows.shape[:-1], np.int64)
    for row in np.ndindex(places.shape):
        values, counts = np.unique(rows[row], return_counts=True)
        winner = values[np.argmax(counts)]
        places[row] = np.flatnonzero((rows[row] == winner) | ((winner != winner) & (rows[row] != rows[row])))[-1]
    return _pick(x, np.expand_dims(places, dim), dim, keepdim)


_mode_op = Op("mode", _mode, chosen_grad_of, outputs="values indices")


@numpy_names
def mode(input: Any, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """The most frequent values along a dimension, the smallest of ties, and the last index of each: (values, indices).

    Derivative: g at the index chosen.
    """
    d = one_dim("mode", input, dim)
    refuse_complex("mode_cpu", input)
    _refuse_empty("mode", input, (d,) if input._array.ndim else ())
    found = return_types.mode(apply(_mode_op, (input,), {"dim": d, "keepdim": keepdim}))
    return found if out is None else put_outs(found, out)


