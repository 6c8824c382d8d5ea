"""Order: sorting, the k largest, distinct values, places in a sorted sequence, counts of values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.grad_mode import by_example
from mytorch.ops import return_types
from mytorch.ops.common import Op, TensorBase, apply, as_operand, cast, narrowed, put_out, require_tensor, result_dtype, widened
from mytorch.ops.extrema import chosen_grad, chosen_grad_of, put_outs, refuse_complex
from mytorch.ops.sums import numpy_names, one_dim
from mytorch.ops.views import refuse_overlap

__mytorch__ = True

# ---- sorting ------------------------------------------------------------------------------------------------------------------


def _order(x: Any, dim: int, descending: bool) -> Any:
    """Indices that sort x along `dim`. Equal elements keep their order; NaN counts as the largest."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)


@kernel
def sort_forward(x: Any, *, dim: int, descending: bool) -> tuple[Any, Any]:
    """x in order along `dim`, and the indices that order it."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    indices = _order(widened(x), dim, descending)
    return np.take_along_axis(x, indices, dim), indices


def _several_chosen(g: Any, indices: Any, x_shape: tuple[int, ...], dim: int) -> Any:
    return chosen_grad(g, indices, x_shape, dim, True)


_sort_op = Op("sort", sort_forward, _several_chosen, outputs="values indices")


@numpy_names
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool | None = False, *, out: Any = None) -> Any:  # noqa: A002
    """x in order along a dimension: a named tuple (values, indices). Always stable; NaN counts as the largest.

    Raises:
        RuntimeError: for complex numbers.
    Derivative: g put back to where each value came from.
    """
    d = one_dim("sort", input, dim)
    if input._array.dtype.kind == "c":
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    found = return_types.sort(apply(_sort_op, (input,), {"dim": d, "descending": bool(descending)}))
    return found if out is None else put_outs(found, out)


@numpy_names
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool | None = False) -> Any:  # noqa: A002
    """The indices that sort x along a dimension: `sort(...).indices`."""
    require_tensor("argsort", input)
    return sort(input.detach(), dim, descending).indices


def msort(input: Any, *, out: Any = None) -> Any:  # noqa: A002
    """x in order along its first dimension: the values of `sort`."""
    y = sort(input, 0).values
    return y if out is None else put_out(y, out)


@kernel
def topk_forward(x: Any, *, k: int, dim: int, largest: bool) -> tuple[Any, Any]:
    """The k largest (or smallest) along `dim`, in order, and their indices."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    wide = widened(x)
    n = x.shape[dim]
    if k > 0 and k * 8 < n:  # find the k first, then sort only those
        part = np.argpartition(wide, n - k if largest else k - 1, axis=dim)
        some = np.sort(np.take(part, range(n - k, n) if largest else range(k), axis=dim), axis=dim)
        indices = np.take_along_axis(some, _order(np.take_along_axis(wide, some, dim), dim, largest), dim)
    else:
        indices = np.take(_order(wide, dim, largest), range(k), axis=dim)
    return np.take_along_axis(x, indices, dim), indices


_topk_op = Op("topk", topk_forward, _several_chosen, outputs="values indices")


@numpy_names
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:  # noqa: A002
    """The k largest (or smallest) elements along a dimension, in order: a named tuple (values, indices). NaN is the largest.

    Raises:
        RuntimeError: if there are fewer than k elements, and for bool or complex numbers.
    Derivative: g put back to where each value came from.
    """
    d = one_dim("topk", input, dim)
    x = input._array
    if x.dtype.kind in "bc":
        raise RuntimeError(f"topk does not support {'bool' if x.dtype.kind == 'b' else 'complex'} dtypes on CPU")
    if not 0 <= k <= (x.shape[d] if x.ndim else 1):
        raise RuntimeError("selected index k out of range")
    found = return_types.topk(apply(_topk_op, (input,), {"k": int(k), "dim": d, "largest": bool(largest)}))
    return found if out is None else put_outs(found, out)


def _kthvalue(x: Any, *, k: int, dim: int, keepdim: bool) -> tuple[Any, Any]:
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    places = np.take(np.argpartition(widened(x), k - 1, axis=dim), [k - 1], axis=dim)
    values = np.take_along_axis(x, places, dim)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


_kthvalue_op = Op("kthvalue", _kthvalue, chosen_grad_of, outputs="values indices")


@numpy_names
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """The k-th smallest element (k from 1) along a dimension: a named tuple (values, indices). NaN counts as the largest.

    Raises:
        RuntimeError: if there is no k-th element; IndexError for an empty dimension.
    Derivative: g at the index chosen.
    """
    d = one_dim("kthvalue", input, dim)
    refuse_complex("kthvalue_cpu", input, "bc")
    shape = input._array.shape or (1,)
    if shape[d] == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {d} to have non-zero size.")
    if not 1 <= k <= shape[d]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    if out is not None:
        refuse_overlap(out[0], [input])
    found = return_types.kthvalue(apply(_kthvalue_op, (input,), {"k": int(k), "dim": d, "keepdim": keepdim}))
    return found if out is None else put_outs(found, out)


# ---- distinct values ----------------------------------------------------------------------------------------------------------


def _no_derivative(name: str) -> Any:
    def refuse(g: Any) -> Any:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return refuse


def _unique(x: Any, *, dim: int | None) -> tuple[Any, Any, Any]:
    wide = widened(x if dim is not None else x.reshape(-1))
    values, inverse, counts = np.unique(wide, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    return narrowed(values, x.dtype), inverse.reshape(x.shape if dim is None else -1).astype(np.int64), counts.astype(np.int64)


def _unique_consecutive(x: Any, *, dim: int | None) -> tuple[Any, Any, Any]:
    rows = x.reshape(-1) if dim is None else np.moveaxis(x, dim, 0)
    flat = widened(rows.reshape(len(rows), -1) if rows.size else rows.reshape(len(rows), 0))
    fresh = np.ones(len(rows), bool)
    fresh[1:] = np.any(flat[1:] != flat[:-1], axis=1)
    starts = np.flatnonzero(fresh)
    values = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, dim)
    inverse = np.cumsum(fresh, dtype=np.int64) - 1
    return values, inverse.reshape(x.shape if dim is None else -1), np.diff(np.append(starts, len(rows))).astype(np.int64)


_unique_op = Op("unique2", _unique, _no_derivative("_unique2"), outputs="values inverse counts")
_unique_consecutive_op = Op("unique_consecutive", _unique_consecutive, _no_derivative("unique_consecutive"),
                            outputs="values inverse counts")


def _distinct(name: str, op: Op, x: Any, return_inverse: bool, return_counts: bool, dim: int | None) -> Any:
    d = None
    if isinstance(x, TensorBase):
        refuse_complex("unique", x)
    if dim is None:
        require_tensor(name, x)
    else:
        d = one_dim(name, x, dim)
        shape = x._array.shape
        if not shape:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        if 0 in shape[:d] + shape[d + 1:]:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    values, inverse, counts = apply(op, (x,), {"dim": d})
    extra = ([inverse] if return_inverse else []) + ([counts] if return_counts else [])
    return (values, *extra) if extra else values


def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,  # noqa: A002
           dim: int | None = None) -> Any:
    """The distinct values of x, in order; with `dim`, the distinct slices. Each NaN is distinct.

    Returns:
        the values, or a tuple of them with `return_inverse` (where each element of x went) and `return_counts`.
    Raises:
        NotImplementedError: when a gradient arrives, as in torch.
    """
    return _distinct("unique", _unique_op, input, return_inverse, return_counts, dim)


def unique_consecutive(input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:  # noqa: A002
    """x without the elements (with `dim`, slices) that equal the one before: like `unique` of runs, in x's own order."""
    return _distinct("unique_consecutive", _unique_consecutive_op, input, return_inverse, return_counts, dim)


# ---- where ... ----------------------------------------------------------------------------------------------------------------

_nonzero_op = Op("nonzero", lambda x: np.stack([a.astype(np.int64) for a in np.nonzero(widened(x))], axis=1) if x.ndim
                 else np.zeros((int(bool(widened(x))), 0), np.int64), None)


def nonzero(input: Any, *, as_tuple: bool = False, out: Any = None) -> Any:  # noqa: A002
    """The indices of the nonzero elements, in row-major order: (n, dims), or with `as_tuple` one tensor per dimension."""
    require_tensor("nonzero", input)
    if as_tuple:
        x = input if input._array.ndim else input.reshape(1)
        return tuple(apply(_nonzero_op, (x,)).unbind(1))
    y = apply(_nonzero_op, (input,))
    return y if out is None else put_out(y, out, True)


def _searchsorted(sequence: Any, values: Any, sorter: Any, *, right: bool, np_dtype: Any) -> Any:
    inner = result_dtype(sequence, values).np if isinstance(values, ndarray) and values.ndim else sequence.dtype
    if inner.kind in "iu" and np.asarray(values).dtype.kind == "f":
        inner = np.dtype(np.float64)
    if not isinstance(values, ndarray):
        values = cast(np.asarray(values), inner)
    sequence, values = widened(as_operand(sequence, inner)), widened(as_operand(values, inner))
    if sorter is not None:
        sequence = np.take_along_axis(sequence, sorter, -1)
    side: Any = "right" if right else "left"
    if sequence.ndim == 1:
        places = np.searchsorted(sequence, values, side)
    else:
        places = np.empty(values.shape, np.int64)
        for row in np.ndindex(sequence.shape[:-1]):
            places[row] = np.searchsorted(sequence[row], values[row], side)
    if values.dtype.kind == "f":
        places = np.where(np.isnan(values), sequence.shape[-1], places)  # nothing is >= NaN
    return np.asarray(places, np_dtype)


_searchsorted_op = Op("searchsorted", _searchsorted, None, None, None)


def searchsorted(sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,  # noqa: A002
                 sorter: Any = None, out: Any = None) -> Any:
    """Where each value would go in a sorted sequence: the first place i with sequence[i] >= value (right: > value).

    Shape: sequence (n) with values of any shape, or sequence (D..., n) with values (D..., m) -> the shape of the values.
    Raises:
        RuntimeError: if the leading sizes differ, or `side` and `right` contradict each other.
    """
    require_tensor("searchsorted", sorted_sequence, "sorted_sequence")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was "
                           "True")
    refuse_complex("searchsorted_out_cpu", sorted_sequence, "bc")
    boundaries = sorted_sequence._array.shape
    shape = input._array.shape if isinstance(input, TensorBase) else ()
    if len(boundaries) > 1 and boundaries[:-1] != shape[:-1]:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                           f"boundaries tensor and input value tensor must match, but we got boundaries tensor {list(boundaries)} and input "
                           f"value tensor {list(shape)}")
    meta = {"right": right or side == "right", "np_dtype": np.dtype(np.int32 if out_int32 else np.int64)}
    y = apply(_searchsorted_op, (sorted_sequence, input, sorter), meta)
    return y if out is None else put_out(y, out)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None) -> Any:  # noqa: A002
    """The bucket of each value between 1-d sorted boundaries: `searchsorted(boundaries, input)`."""
    require_tensor("bucketize", boundaries, "boundaries", 2)
    if boundaries._array.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries._array.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


def _isin(elements: Any, test_elements: Any, *, invert: bool) -> Any:
    inner = result_dtype(elements, test_elements).np
    return np.asarray(np.isin(widened(as_operand(elements, inner)), widened(as_operand(test_elements, inner)), invert=invert))


_isin_op = Op("isin", _isin, None, None)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Is each element among the test elements (with `invert`: not among them)? Either may be a number."""
    if not isinstance(elements, TensorBase) and not isinstance(test_elements, TensorBase):
        raise TypeError("isin(): expected a Tensor as elements or as test_elements, got "
                        f"{type(elements).__name__} and {type(test_elements).__name__}")
    for x in (elements, test_elements):
        if isinstance(x, TensorBase) and x._array.dtype.kind in "bc":
            raise RuntimeError(f"Unsupported input type encountered for isin(): {dtypes.legacy_name(dtypes.from_numpy_dtype(x._array.dtype))}")
    return apply(_isin_op, (elements, test_elements), {"invert": invert})


# ---- counts -------------------------------------------------------------------------------------------------------------------


def _unsupported(kernel_name: str, array: Any) -> Exception:
    legacy = dtypes.legacy_name(dtypes.from_numpy_dtype(array.dtype))
    return NotImplementedError(f"\"{kernel_name}\" not implemented for '{legacy}'")


def _bincount(x: Any, weights: Any, *, minlength: int) -> Any:
    if weights is None:
        return np.bincount(x, minlength=minlength).astype(np.int64)
    y = np.bincount(x, widened(weights), minlength)
    return y.astype(np.float32) if weights.dtype == np.float32 else y


_bincount_op = Op("bincount", _bincount, None, None)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:  # noqa: A002
    """How often each value 0, 1, 2, ... occurs in a 1-d integer tensor, or the sum of the weights of its occurrences.

    Shape: x (n), weights (n) -> (max(x) + 1), at least (minlength).
    Raises:
        RuntimeError: for negative values, other shapes; NotImplementedError for floats and bools.
    """
    require_tensor("bincount", input)
    x = input._array
    if x.dtype.kind not in "iu":
        raise _unsupported("bincount_cpu", x)
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if x.ndim != 1 or (x.size and x.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights._array.shape != x.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    return apply(_bincount_op, (input, None if weights is None else weights.detach()), {"minlength": minlength})


def _histc(x: Any, *, bins: int, low: float, high: float) -> Any:
    values = widened(x).reshape(-1)
    values = values[(values >= low) & (values <= high)]
    # each step rounded to x's dtype, as in torch: a 16-bit number near an edge falls into the bin that its 16-bit quotient names
    steps: Any = narrowed(values - np.asarray(low, values.dtype), x.dtype)
    steps = narrowed(widened(steps) * bins, x.dtype)
    width = widened(narrowed(np.asarray(high - low, values.dtype), x.dtype))
    places = widened(narrowed(widened(steps) / width, x.dtype)).astype(np.int64)
    return narrowed(np.bincount(np.minimum(places, bins - 1), minlength=bins).astype(widened(x).dtype), x.dtype)


_histc_op = Op("histc", _histc, None)


@by_example
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None) -> Any:  # noqa: A002
    """How many elements fall into each of `bins` equal parts of [min, max]; of x's own range where min = max.

    Raises:
        RuntimeError: for a range that is empty or not finite, or bins < 1; NotImplementedError for integers.
    """
    require_tensor("histc", input)
    x = widened(input._array)
    if x.dtype.kind != "f":
        raise _unsupported("histogram_cpu", x)
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(min), float(max)
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    y = apply(_histc_op, (input.detach(),), {"bins": bins, "low": low, "high": high})
    return y if out is None else put_out(y, out)
