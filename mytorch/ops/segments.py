"""Reductions of consecutive segments of unequal length, and joining by chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes, engine_state
from mytorch.grad_mode import by_example
from mytorch.ops.choices import where
from mytorch.ops.common import put_out, require_tensor, wrap_dim
from mytorch.ops.joining import cat, check_tensors
from mytorch.ops.scatter_reduce import scatter_reduce
from mytorch.ops.shape import pad
from mytorch.ops.views import narrow, reshape

__mytorch__ = True

# What a segment without elements gives, and scatter_reduce's name of the reduction.
_REDUCTIONS = {"sum": (0.0, "sum"), "mean": (0.0, "sum"), "max": (-math.inf, "amax"), "min": (math.inf, "amin"), "prod": (1.0, "prod")}


def _segment_of_each(lengths: Any, begins: Any, size: int) -> Any:
    """For every place along the axis the segment that it lies in; places outside of all segments get a number of their own."""
    count = lengths.shape[-1]
    places = np.arange(size)
    ends = begins + lengths
    owner = np.full((*lengths.shape[:-1], size), count, np.int64)
    for i in range(count):
        owner[(places >= begins[..., i:i + 1]) & (places < ends[..., i:i + 1])] = i
    return owner


def _checked_lengths(x: Any, lengths: Any, offsets: Any, axis: int, unsafe: bool) -> tuple[Any, Any]:
    """The lengths of the segments and where they begin."""
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    given = (offsets if offsets is not None else lengths)._array
    if given.dtype.kind not in "iu":
        raise NotImplementedError("\"_segment_reduce_lengths_cpu_kernel1\" not implemented for "
                                  f"'{dtypes.legacy_name(dtypes.from_numpy_dtype(given.dtype))}': lengths and offsets are integers")
    if axis != given.ndim - 1:
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of {'offsets' if offsets is not None else 'lengths'} "
                           f"but got {axis}.")
    if given.shape[:-1] != x._array.shape[:axis]:
        raise RuntimeError(f"segment_reduce(): data of shape {list(x._array.shape)} and segments of shape {list(given.shape)} "
                           f"differ before axis {axis}")
    if offsets is not None:
        return np.diff(given, axis=-1), given[..., :-1]
    if not unsafe:
        if (given < 0).any():
            raise RuntimeError("lengths contains negative value!")
        if (given.sum(-1) != x._array.shape[axis]).any():
            raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when !unsafe.")
    return given, np.cumsum(given, -1) - given


@by_example
def segment_reduce(data: Any, reduce: str, *, lengths: Any = None, indices: Any = None, offsets: Any = None, axis: int = 0,
                   unsafe: bool = False, initial: float | None = None, out: Any = None) -> Any:
    """The sum, mean, max, min or prod of each of several consecutive segments of an axis.

    y_i = reduce(initial, x[b_i], ..., x[b_i + n_i - 1]),  b_i = n_0 + ... + n_(i-1);  a mean is the sum over n_i.

    Args:
        lengths: n, how long the segments are; or
        offsets: b, where they begin, and the end of the last.
        unsafe: do not check that the lengths add up to the size of the axis.
        initial: what each segment starts from; without it, one without elements gives 0, NaN, -inf, inf or 1.
    Shape: x (B..., N, *), lengths (B..., S) with axis = the number of B -> y (B..., S, *). dtype: floating, kept.
    Derivative: of sum g, of mean g / n, of max and min g shared among the equals, of prod g y / x.
    Raises:
        RuntimeError: for lengths that do not add up, another axis, a reduction that does not exist.
        NotImplementedError: for integers, or indices.
    """
    require_tensor("segment_reduce", data, "data", 1)
    x = data._array
    axis = wrap_dim(axis, x.ndim)
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, max or min, got {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if not data.is_floating_point():
        raise NotImplementedError(f"\"_segment_reduce_cpu\" not implemented for '{dtypes.legacy_name(data.dtype)}'")
    sizes, begins = _checked_lengths(data, lengths, offsets, axis, unsafe)
    count = sizes.shape[-1]
    after = (1,) * (x.ndim - axis - 1)
    owner = _segment_of_each(sizes, begins, x.shape[axis])
    index = engine_state.wrap(np.ascontiguousarray(np.broadcast_to(owner.reshape(*owner.shape, *after), x.shape)))
    identity, kind = _REDUCTIONS[reduce]
    base = data.new_full((*x.shape[:axis], count + 1, *x.shape[axis + 1:]), identity)
    y = narrow(scatter_reduce(base, axis, index, data, kind, include_self=False), axis, 0, count)
    if initial is not None:
        y = {"sum": lambda: y + initial, "mean": lambda: y + initial, "prod": lambda: y * initial,
             "max": lambda: where(y < initial, initial, y), "min": lambda: where(y > initial, initial, y)}[reduce]()
    if reduce == "mean":
        divisors = sizes if initial is None else np.maximum(sizes, 1)  # nothing over nothing is NaN
        y = y / engine_state.wrap(divisors.reshape(*sizes.shape, *after))
    return y if out is None else put_out(y, out)


def _chunk_cat(tensors: Sequence[Any], dim: int, num_chunks: int, *, out: Any = None) -> Any:
    """Tensors cut along `dim` into `num_chunks` chunks each (the last ones filled with zeros), chunk k of all of them side by side.

    Shape: x_i (B..., N_i, *) -> (B..., num_chunks, total).
    Raises:
        RuntimeError: for no tensors, num_chunks < 1, or sizes before `dim` that differ.
    """
    if not tensors:
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    check_tensors("_chunk_cat", tensors)
    if num_chunks < 1:
        raise RuntimeError(f"_chunk_cat expects positive num_chunks, got {num_chunks}")
    shapes = [x._array.shape for x in tensors]
    if any(0 in shape for shape in shapes):
        raise RuntimeError(f"_chunk_cat expects non-empty tensor, got shapes {[list(shape) for shape in shapes]}")
    if dim < 0 and len({len(shape) for shape in shapes}) > 1:
        raise RuntimeError("_chunk_cat expects non-negative dim when input tensors have different ndims")
    d = wrap_dim(dim, len(shapes[0])) if dim < 0 else dim
    if any(d >= len(shape) for shape in shapes):
        raise RuntimeError(f"_chunk_cat expects dim < ndim for all input tensors, got dim {dim} and shapes {[list(shape) for shape in shapes]}")
    if any(shape[:d] != shapes[0][:d] for shape in shapes):
        raise RuntimeError("_chunk_cat expects same sizes of 0,...,dim-1 dimensions for all tensors, "
                           f"got shapes {[list(shape) for shape in shapes]}")
    rows = []
    for x, shape in zip(tensors, shapes, strict=True):
        missing = -shape[d] % num_chunks
        filled = pad(x, [0, 0] * (len(shape) - d - 1) + [0, missing]) if missing else x
        rows.append(reshape(filled, (*shape[:d], num_chunks, -1)))
    y = cat(rows, d + 1)
    return y if out is None else put_out(y, out)
