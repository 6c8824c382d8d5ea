"""Gather and scatter, slices named by an index tensor, masks; and the face of `indexing`, which is `x[...]` itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.engine_state import state
from mytorch.grad_mode import by_example
from mytorch.node_names import titled
from mytorch.ops.autocast import widest
from mytorch.ops.choices import kept_op, where
from mytorch.ops.common import Op, TensorBase, apply, apply_inplace, cast, narrowed, put_out, require_tensor, widened, wrap_dim
from mytorch.ops.elementwise import clone_for, copy_, fill_
from mytorch.ops.indexing import accumulate_at, getitem, index_op, index_put, index_put_, index_put_op, setitem, within  # noqa: F401 - a face
from mytorch.ops.layout import row_major
from mytorch.ops.views import broadcast_shapes, paste_op, refuse_overlap, repeated_zero, shape_of, size_error, zeros_for

__mytorch__ = True

# ---- gather and scatter: each other's derivatives -----------------------------------------------------------------------------


def grid(index: Any, dim: int) -> tuple[Any, ...]:
    """The key that picks, for every place of `index`, the entry it names along `dim`."""
    places = list(np.ogrid[tuple(slice(n) for n in index.shape)]) if index.ndim else []
    if index.ndim:
        places[dim] = index
    return tuple(places)


@kernel
def scatter_forward(x: Any, index: Any, src: Any, *, dim: int, reduce: str | None) -> Any:
    """A copy of x with numbers written, added or multiplied at the places that `index` names."""
    if index.size == 0:
        return x.copy()
    if index.ndim == 0 or x.ndim == 0:  # a 0-d tensor counts as one entry
        values = src.reshape(-1) if isinstance(src, ndarray) and src.ndim else src
        return scatter_forward(x.reshape(-1), index.reshape(-1), values, dim=0, reduce=reduce).reshape(x.shape)
    y = widened(x).copy()
    key = grid(index, dim)
    if isinstance(src, ndarray) and src.ndim:
        src = src[tuple(slice(n) for n in index.shape)]
    values = cast(np.asarray(src), y.dtype)
    if reduce is None:
        y[key] = values
    else:
        {"add": np.add, "multiply": np.multiply}[reduce].at(y, key, values)
    return narrowed(y, x.dtype)


@kernel
def gather_forward(x: Any, index: Any, *, dim: int) -> Any:
    """The numbers of x at the places that `index` names."""
    if index.size == 0:
        return np.empty(index.shape, x.dtype)
    if x.ndim == 0 or index.ndim == 0:
        return x.reshape(-1)[index.reshape(-1)].reshape(index.shape)
    return row_major(x[grid(index, dim)])


def _kept_part(g: Any, index: Any, dim: int, reduce: str | None) -> Any:
    if reduce == "multiply":
        raise NotImplementedError("scatter(reduce='multiply') has no derivative: multiply by a tensor of ones with the factors scattered into it")
    return g if reduce == "add" else scatter_op(g, index, 0.0, dim=dim, reduce=None)


def _fit_src(g: Any, src_shape: tuple[int, ...], index: Any, dim: int, reduce: str | None) -> Any:
    if reduce == "multiply":
        raise NotImplementedError("scatter(reduce='multiply') has no derivative: multiply by a tensor of ones with the factors scattered into it")
    shape = shape_of(index)
    if 0 in shape:
        return zeros_for(g, src_shape)
    picked = gather_op(g, index, dim=dim)
    if src_shape == shape or not src_shape:
        return picked
    return paste_op(picked, shape=src_shape, key=tuple(slice(n) for n in shape))


gather_op = Op("gather", gather_forward,
               lambda g, x_shape, index, dim: scatter_op(repeated_zero(g, x_shape), index, g, dim=dim, reduce="add"), None)
scatter_op: Op = Op("scatter", scatter_forward, lambda g, index, dim, reduce: _kept_part(g, index, dim, reduce), None,
                lambda g, index, src_shape, dim, reduce: _fit_src(g, src_shape, index, dim, reduce))


def _put(name: str, y: Any, out: Any, *inputs: Any) -> Any:
    """`out=` for functions that do not cast and refuse an `out` that overlaps an input."""
    if out is None:
        return y
    refuse_overlap(out, inputs)
    if out._array.dtype != y._array.dtype:
        raise RuntimeError(f"{name}(): Expected self and out to have the same dtype, but got self.dtype = {y.dtype} and out.dtype = {out.dtype}")
    return put_out(y, out)


def check_index(name: str, x: Any, dim: int, index: Any, src: Any = None) -> int:
    """The dimension, once index and src are what gather and scatter accept."""
    require_tensor(name, index, "index", 3)
    d = wrap_dim(dim, x._array.ndim)
    places = index._array
    if places.size == 0:
        return d
    if places.dtype.kind not in "iu" or places.itemsize < 4:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if max(places.ndim, 1) != max(x._array.ndim, 1):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {'input' if name == 'gather' else 'self'} tensor: "
                           f"index {list(places.shape)}, input {list(x._array.shape)}")
    for i, (n, m) in enumerate(zip(places.shape, x._array.shape, strict=False)):
        if i != d and n > m:
            raise RuntimeError(f"Size does not match at dimension {i} expected index {list(places.shape)} to be no larger than self "
                               f"{list(x._array.shape)} apart from dimension {d}")
    if isinstance(src, TensorBase) and places.size:
        if max(src._array.ndim, 1) != max(places.ndim, 1):
            raise RuntimeError(f"Index tensor must have the same number of dimensions as src tensor: index {list(places.shape)}, "
                               f"src {list(src._array.shape)}")
        if any(n > m for n, m in zip(places.shape, src._array.shape, strict=False)):
            raise RuntimeError(f"Expected index {list(places.shape)} to be no larger than src {list(src._array.shape)}")
        if src._array.dtype != x._array.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    size = x._array.shape[d] if x._array.ndim else 1
    if places.size and not within(places, 0, size):
        wrong = places.max() if places.max() >= size else places.min()
        raise RuntimeError(f"index {wrong} is out of bounds for dimension {d} with size {size}")
    return d


def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:  # noqa: A002
    """y[i, j, k] = x[index[i, j, k], j, k] for dim = 0, and so on. Derivative: g added where it was read.

    Shape: x (D...), index of as many dimensions, no larger than x outside `dim` -> y of index's shape.
    Raises:
        RuntimeError: for an index out of range, of another number of dimensions, or not integer.
    """
    require_tensor("gather", input)
    d = check_index("gather", input, dim, index)
    return _put("gather", apply(gather_op, (input, index), {"dim": d}), out, input, index)


def _from_front(indices: Any, size: int) -> Any:
    """Places counted from the end as places counted from the front."""
    return where(indices < 0, indices + size, indices) if indices._array.size and indices._array.min() < 0 else indices


def _put_places(run: Any, x: Any, index: Any, source: Any, accumulate: bool) -> Any:
    require_tensor("put_", index, "index", 2)
    require_tensor("put_", source, "source", 3)
    if index._array.dtype != np.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {dtypes.legacy_name(index.dtype)}")
    if index._array.size != source._array.size:
        raise RuntimeError(f"put_(): Expected source and index to have the same number of elements, but got source.numel() = "
                           f"{source._array.size}, index.numel() = {index._array.size}")
    return run(x.reshape(-1), (index.reshape(-1),), source.reshape(-1), accumulate)


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:  # noqa: A002
    """A copy with `source` written, or added, at the given places of the flattened tensor. Derivative: g elsewhere; g there."""
    return _put_places(index_put, input, index, source, accumulate).reshape(input._array.shape)


def put_(self: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """In-place `put`."""
    return copy_(self, put(self.clone(), index, source, accumulate))


def argwhere(input: Any) -> Any:  # noqa: A002
    """The indices of all non-zero elements, one row each."""
    return input.nonzero()


def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:  # noqa: A002
    """`gather` with broadcasting of the other dimensions and places from the end; without `dim`, of the flattened tensor."""
    y = _take_along_dim(input, indices, dim)
    return y if out is None else put_out(y, out)


def _take_along_dim(input: Any, indices: Any, dim: int | None) -> Any:  # noqa: A002
    if indices._array.dtype != np.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {dtypes.legacy_name(indices.dtype)}")
    if dim is None:
        return gather(input.reshape(-1), 0, _from_front(indices.reshape(-1), input._array.size))
    if input._array.ndim != indices._array.ndim:
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of dimensions, "
                           f"but got {input._array.ndim} dimensions for input, and {indices._array.ndim} dimensions for indices")
    d = wrap_dim(dim, input._array.ndim)
    indices = _from_front(indices, input._array.shape[d])
    a, b = list(input._array.shape), list(indices._array.shape)
    common = [0 if i == d else n if m == 1 else m for i, (m, n) in enumerate(zip(a, b, strict=True))]
    return gather(input.expand([a[d] if i == d else n for i, n in enumerate(common)]), d,
                  indices.expand([b[d] if i == d else n for i, n in enumerate(common)]))


def _scatter_call(run: Any, x: Any, dim: int, index: Any, src: Any, reduce: str | None, name: str) -> Any:
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    d = check_index(name, x, dim, index, src)
    title = name if isinstance(src, TensorBase) else "scatter_number"
    return run(scatter_op.variant(title), (x, index, src), {"dim": d, "reduce": reduce})


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:  # noqa: A002
    """A copy of x with y[index[i, j, k], j, k] = src[i, j, k] for dim = 0; `src` may be a number; reduce 'add' or 'multiply'.

    Derivative: g where x was kept; g read back at the places written.
    """
    return _scatter_call(apply, input, dim, index, value if src is None else src, reduce, "scatter")


def scatter_(self: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """In-place `scatter`."""
    return _scatter_call(apply_inplace, self, dim, index, value if src is None else src, reduce, "scatter")


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:  # noqa: A002
    """A copy of x with src added at the places that index names. Derivative: g; g read at those places."""
    return _scatter_call(apply, input, dim, index, src, "add", "scatter_add")


def scatter_add_(self: Any, dim: int, index: Any, src: Any) -> Any:
    """In-place `scatter_add`."""
    return _scatter_call(apply_inplace, self, dim, index, src, "add", "scatter_add")


# ---- along one dimension ------------------------------------------------------------------------------------------------------


@kernel
def index_add_forward(x: Any, index: Any, source: Any, *, dim: int) -> Any:
    """A copy of x with slices added at the places that `index` names."""
    if x.ndim == 0:
        return index_add_forward(x.reshape(1), index, source.reshape(-1), dim=0).reshape(())
    y = widened(x).copy()
    accumulate_at(np.moveaxis(y, dim, 0), (index.reshape(-1),), np.moveaxis(widened(source).astype(y.dtype), dim, 0) if source.ndim else source)
    return narrowed(y, x.dtype)


@kernel
def index_select_forward(x: Any, index: Any, *, dim: int) -> Any:
    """The slices of x at the places that `index` names."""
    return np.take(x, index, axis=dim) if x.ndim else x.reshape(1)[index].reshape(x.shape)


take_op = Op("index_select", index_select_forward,
             lambda g, x_shape, index, dim: index_add_op(repeated_zero(g, x_shape), index, g, dim=dim) if x_shape else g.sum(), None)
index_add_op: Op = Op("index_add", index_add_forward, lambda g: g, None, lambda g, index, dim: take_op(g, index, dim=dim))


def index_select(input: Any, dim: int, index: Any, *, out: Any = None) -> Any:  # noqa: A002
    """The slices along `dim` that a 1-d index tensor names, as a copy. Derivative: g added at those slices.

    Raises:
        IndexError: for an index out of range or not 1-d.
        RuntimeError: for an index that is not integer.
    """
    require_tensor("index_select", index, "index", 3)
    d = wrap_dim(dim, input._array.ndim)
    places = index._array
    if places.ndim > 1:
        raise IndexError(f"index_select(): Index is supposed to be a vector, got shape {list(places.shape)}")
    if places.dtype.kind not in "iu":
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    size = input._array.shape[d] if input._array.ndim else 1
    if places.size and not within(places, 0, size):
        raise IndexError(f"index out of range in self: {places.max() if places.max() >= size else places.min()} for dimension {d} with size {size}")
    return _put("index_select", apply(take_op, (input, index.reshape(-1)), {"dim": d}), out, input, index)


def check_slices(name: str, x: Any, dim: int, index: Any, source: Any = None) -> int:
    """The dimension, once index and source are what torch accepts."""
    d = wrap_dim(dim, x._array.ndim)
    require_tensor(name, index, "index", 3)
    places = index._array
    if places.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: {places.ndim}")
    legacy = dtypes.legacy_name(index.dtype)
    if name == "index_add_" and (places.dtype.kind not in "iu" or places.itemsize < 4):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index but got: {legacy}")
    if name != "index_add_" and places.dtype != np.int64:
        raise (IndexError if name == "index_fill_" else RuntimeError)(f"{name}(): Expected a long tensor for index, but got {legacy}")
    size = x._array.shape[d] if x._array.ndim else 1
    lowest = -size if name == "index_fill_" else 0
    if places.size and not within(places, lowest, size):
        wrong = places.max() if places.max() >= size else places.min()
        raise (RuntimeError if name == "index_add_" else IndexError)(f"{name}(): index {wrong} is out of bounds for dimension {d} with size {size}")
    if source is None:
        return d
    require_tensor(name, source, "source", 4)
    if source._array.dtype != x._array.dtype:
        raise RuntimeError(f"{name}(): self and source expected to have the same dtype, but got (self) {x.dtype} and (source) {source.dtype}")
    theirs, ours = list(source._array.shape), list(x._array.shape)
    unfit = RuntimeError if name == "index_add_" else IndexError
    if len(theirs) != len(ours) and theirs and ours:
        raise unfit(f"{name}(): When source and destination are not scalars, their dimensionality must match. "
                    f"Source dimensionality ({len(theirs)}), destination dimensionality ({len(ours)})")
    if (theirs[d] if theirs else 1) != places.size:
        raise unfit(f"{name}(): Number of indices ({places.size}) should be equal to source.size(dim) ({theirs[d] if theirs else 1})")
    if len(theirs) == len(ours) and theirs[:d] + theirs[d + 1:] != ours[:d] + ours[d + 1:]:
        raise RuntimeError(f"{name}(): source {theirs} does not fit self {ours} apart from dimension {d}")
    return d


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """A copy with slices of `source` added at the slices that index names. Derivative: g; g's slices.

    Raises:
        IndexError: for an index out of range or not 1-d.
        RuntimeError: if index, source and input do not fit.
    """
    d = check_slices("index_add_", input, dim, index, source)
    y = apply(index_add_op, (input, index, source if alpha == 1 else source * alpha), {"dim": d})
    return y if out is None else put_out(y, out)


def index_add_(self: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """In-place `index_add`."""
    d = check_slices("index_add_", self, dim, index, source)
    return apply_inplace(index_add_op, (self, index, source if alpha == 1 else source * alpha), {"dim": d})


def index_fill_(self: Any, dim: int, index: Any, value: Any) -> Any:
    """Set the slices that index names to a number (or a 0-d tensor)."""
    if isinstance(value, TensorBase) and value._array.ndim:
        raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._array.ndim} dimension(s).")
    d = check_slices("index_fill_", self, dim, index)
    if state.mode is not None and self._array.ndim:
        setitem(self, (slice(None),) * d + (index.reshape(-1),), value)
        return self
    places = np.unique(index._array % self._array.shape[d]) if self._array.ndim else index._array  # a slice named twice is written once
    if self._array.ndim == 0:
        return fill_(self, value) if places.size else self
    setitem(self, (slice(None),) * d + (places,), value)
    return self


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:  # noqa: A002
    """A copy with the slices that index names set to a number. Derivative: g outside of them; their sum for a 0-d tensor."""
    return index_fill_(clone_for(input, index, value), dim, index, value)


def index_copy_(self: Any, dim: int, index: Any, source: Any) -> Any:
    """Copy slices of `source` to the slices that index names."""
    d = check_slices("index_copy_", self, dim, index, source)
    if self._array.ndim == 0:
        return copy_(self, source.reshape(()))
    setitem(self, (slice(None),) * d + (index.reshape(-1),), source if source._array.ndim else source.reshape(1))
    return self


@widest
def index_copy(input: Any, dim: int, index: Any, source: Any, *, out: Any = None) -> Any:  # noqa: A002
    """A copy with slices of `source` at the slices that index names. Derivative: g outside of them; g's slices."""
    y = index_copy_(clone_for(input, index, source), dim, index, source)
    return y if out is None else put_out(y, out)


def take(input: Any, index: Any, *, out: Any = None) -> Any:  # noqa: A002
    """Elements of the flattened tensor at the given places, in the shape of index. Derivative: g added where it was read.

    Raises:
        IndexError: for a place outside, or any place of an empty tensor.
        RuntimeError: for an index that is not int64.
    """
    require_tensor("take", index, "index", 2)
    if index._array.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {dtypes.legacy_name(index.dtype)}")
    if index._array.size and not input._array.size:
        raise IndexError("take(): tried to take from an empty tensor")
    places = index if index._array.ndim else index.reshape(1)
    return _put("take", titled(getitem(input.reshape(-1), places).reshape(index._array.shape), "take"), out, input, index)


@by_example
def repeat_interleave(input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Any:  # noqa: A002
    """Each slice along `dim` repeated a number of times; flattened first without `dim`. Derivative: g summed over the copies."""
    if repeats is None:
        counts = input._array
        return input.new_tensor(np.repeat(np.arange(counts.size), counts), dtype=None)
    if dim is None:
        input, dim = input.reshape(-1), 0  # noqa: A001
    counts = repeats._array if isinstance(repeats, TensorBase) else repeats
    if np.ndim(counts) == 1 and np.size(counts) == 1:
        counts = int(np.reshape(counts, ()))
    if np.any(np.asarray(counts) < 0):
        raise RuntimeError("repeats can not be negative")
    size = input._array.shape[wrap_dim(dim, input._array.ndim)]
    if np.ndim(counts) and np.size(counts) != size:
        raise RuntimeError("repeats must have the same size as input along dim, "
                           f"but got repeats.size(0) = {np.size(counts)} and input.size({dim}) = {size}")
    return index_select(input, dim, input.new_tensor(np.repeat(np.arange(size), counts), dtype=None))


# ---- masks --------------------------------------------------------------------------------------------------------------------


@kernel
def masked_fill_forward(x: Any, mask: Any, value: Any) -> Any:
    """value where the mask is True, else x."""
    try:
        return row_major(np.where(mask, cast(np.asarray(value), x.dtype), x))
    except ValueError as error:
        raise size_error(error, x, mask) from None


masked_fill_op = Op("masked_fill", masked_fill_forward, lambda g, mask: kept_op(g, ~mask), None, lambda g, mask: kept_op(g, mask))


def _check_mask(name: str, mask: Any) -> None:
    require_tensor(name, mask, "mask", 1)
    if mask._array.dtype.kind != "b":
        raise RuntimeError(f"{name} only supports boolean masks, but got mask with dtype {mask.dtype}")


def _check_fill(x: Any, value: Any) -> None:
    if isinstance(value, TensorBase):
        if value._array.ndim:
            raise RuntimeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._array.ndim} dimension(s).")
    elif not isinstance(value, (int, float, complex, np.generic)):
        raise errors.type_error("masked_fill", "value", 2, "Number", value)
    if (value.is_complex() if isinstance(value, TensorBase) else isinstance(value, complex)) and not x.is_complex():  # type: ignore[attr-defined]
        raise RuntimeError(f"value cannot be converted to type {x.dtype} without overflow: a complex number for a real tensor")


def masked_fill(input: Any, mask: Any, value: Any) -> Any:  # noqa: A002
    """A copy with a number (or 0-d tensor) wherever the broadcast mask is True. Derivative: g outside the mask.

    Raises:
        RuntimeError: if the mask is not bool.
    """
    _check_mask("masked_fill", mask)
    _check_fill(input, value)
    return apply(masked_fill_op, (input, mask, value))


def masked_fill_(self: Any, mask: Any, value: Any) -> Any:
    """In-place `masked_fill`."""
    _check_mask("masked_fill_", mask)
    _check_fill(self, value)
    return apply_inplace(masked_fill_op, (self, mask, value))


def masked_select(input: Any, mask: Any, *, out: Any = None) -> Any:  # noqa: A002
    """The elements where the broadcast mask is True, in one dimension."""
    _check_mask("masked_select", mask)
    shape = broadcast_shapes(input._array.shape, mask._array.shape)
    return _put("masked_select", titled(getitem(input.expand(shape), mask.expand(shape)), "masked_select"), out, input, mask)


def _masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    shape = np.broadcast_shapes(x.shape, mask.shape)
    y = np.broadcast_to(x, shape).copy()
    picked = np.broadcast_to(mask, shape)
    count = int(picked.sum())
    if count > source.size:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes and enough elements: the mask has {count} ones, "
                           f"source has {source.size} elements")
    y[picked] = source.reshape(-1)[:count]
    return y


masked_scatter_op = Op("masked_scatter", _masked_scatter, lambda g, mask: kept_op(g, ~mask), None,
                       lambda g, mask, source_shape: masked_take_op(g, mask, shape=source_shape))


def _masked_take(g: Any, mask: Any, *, shape: tuple[int, ...]) -> Any:
    picked = g[np.broadcast_to(mask, g.shape)]
    y = np.zeros(int(np.prod(shape)), g.dtype)
    y[:picked.size] = picked
    return y.reshape(shape)


masked_take_op: Op = Op("masked_scatter_backward", _masked_take,
                    lambda g, x_shape, mask: masked_scatter_op(zeros_for(g, x_shape), mask, g), None, inputs="x mask")


def _check_source(x: Any, source: Any) -> None:
    require_tensor("masked_scatter", source, "source", 2)
    if source._array.dtype != x._array.dtype:
        raise RuntimeError(f"masked_scatter_: expected self and source to have same dtypes but got {dtypes.legacy_name(x.dtype)} and "
                           f"{dtypes.legacy_name(source.dtype)}")


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:  # noqa: A002
    """A copy with consecutive elements of `source` wherever the mask is True."""
    _check_mask("masked_scatter", mask)
    _check_source(input, source)
    return apply(masked_scatter_op, (input, mask, source))


def masked_scatter_(self: Any, mask: Any, source: Any) -> Any:
    """In-place `masked_scatter`."""
    _check_mask("masked_scatter_", mask)
    _check_source(self, source)
    return apply_inplace(masked_scatter_op, (self, mask, source))
