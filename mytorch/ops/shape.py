"""Shape operations: views of the same memory wherever NumPy can give one, joining, splitting, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state, errors
from mytorch.autograd_engine import register
from mytorch.dtypes import promote_types
from mytorch.engine_state import state
from mytorch.ops.common import (
    FLOAT16, Op, TensorBase, apply, apply_inplace, bump, cast, narrowed, put_out, require_tensor, widened, wrap_dim, wrap_dims,
)

__mytorch__ = True


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or of a Tensor."""
    return x._array.shape if isinstance(x, TensorBase) else np.shape(x)


def zeros_for(like: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, an array or a Tensor as `like` is, of its dtype."""
    if isinstance(like, TensorBase):
        return like.new_zeros(shape)  # type: ignore[attr-defined]
    return np.zeros(shape, like.dtype)


def refuse_overlap(out: Any, inputs: Sequence[Any]) -> None:
    """RuntimeError if elements of `out` share memory with each other or with an input."""
    if any(s == 0 and n > 1 for s, n in zip(out._array.strides, out._array.shape, strict=True)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
                           "Please clone() the tensor before performing the operation.")
    if any(np.may_share_memory(out._array, x._array) for x in inputs):
        raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
                           "location. Please clone() the tensor before performing the operation.")


# ---- broadcasting: expand and sum_to are each other's derivatives -------------------------------------------------------------


def _sum_to(x: Any, *, shape: tuple[int, ...]) -> Any:
    if len(shape) > x.ndim:
        raise ValueError(f"cannot reduce shape {x.shape} to {shape}")
    lead = x.ndim - len(shape)
    for have, want in zip(x.shape[lead:], shape, strict=True):
        if want not in (have, 1):
            raise ValueError(f"cannot reduce shape {x.shape} to {shape}")
    axes = tuple(i for i in range(x.ndim) if i < lead or (shape[i - lead] == 1 and x.shape[i] != 1))
    wide = widened(x)
    if lead == 1 and axes == (0,) and x.ndim == 2 and wide.dtype.kind == "f" and x.shape[0] > 8:
        return narrowed(np.ones(x.shape[0], wide.dtype) @ wide, x.dtype)  # BLAS sums rows faster than np.sum does
    return narrowed(np.asarray(wide.sum(axis=axes, keepdims=True)).reshape(shape), x.dtype)


sum_to = Op("sum_to", _sum_to, lambda g, x_shape: expand_op(g, shape=x_shape))
expand_op = Op("expand", lambda x, *, shape: np.broadcast_to(x, shape), lambda g, x_shape: sum_to(g, shape=x_shape), view=True)
register(sum_to=sum_to)


def _sizes(args: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """The sizes of `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`."""
    if named is not None:
        args = (named,)
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple(int(a) for a in args)


def expand(input: Any, *sizes: Any, size: Any = None, implicit: bool = False) -> Any:  # noqa: A002
    """A view with dimensions of size 1, and new leading ones, repeated without copying; -1 keeps a size.

    Derivative: g summed over what was repeated.
    Raises:
        RuntimeError: if a size other than 1 would change.
    """
    wanted = _sizes(sizes, size)
    have = input._array.shape
    lead = len(wanted) - len(have)
    if lead < 0:
        raise RuntimeError(f"expand(torch.{input.type().removeprefix('torch.')}{{{list(have)}}}, size={list(wanted)}): the number of sizes "
                           f"provided ({len(wanted)}) must be greater or equal to the number of dimensions in the tensor ({len(have)})")
    full = []
    for i, n in enumerate(wanted):
        old = have[i - lead] if i >= lead else None
        if n == -1:
            if old is None:
                raise RuntimeError(f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}")
            n = old
        elif n < 0:
            raise RuntimeError(f"The expanded size of the tensor ({n}) isn't allowed: sizes are non-negative, or -1 to keep one")
        elif old is not None and old not in (1, n):
            raise RuntimeError(f"The expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton dimension {i}.  "
                               f"Target sizes: {list(wanted)}.  Tensor sizes: {list(have)}")
        full.append(n)
    return apply(expand_op, (input,), {"shape": tuple(full)})


def expand_as(input: Any, other: Any) -> Any:  # noqa: A002
    """`expand` to the shape of another tensor."""
    return expand(input, other._array.shape)


def broadcast_to(input: Any, size: Sequence[int]) -> Any:  # noqa: A002
    """`expand` under NumPy's name."""
    return expand(input, tuple(size))


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes(*[t._array.shape for t in tensors])
    return tuple(expand(t, shape) for t in tensors)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of these shapes broadcast to."""
    from mytorch.size import Size
    try:
        return Size(np.broadcast_shapes(*shapes))
    except ValueError:
        raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape: "
                           + ", ".join(str(list(s)) if not isinstance(s, int) else str(s) for s in shapes)) from None


# ---- reshape and its relatives ------------------------------------------------------------------------------------------------

reshape_op = Op("view", lambda x, *, shape: x.reshape(shape), lambda g, x_shape: reshape_op(g, shape=x_shape), view=True)


def _resolved(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The shape with its -1 replaced by what is left."""
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(s < -1 for s in shape):
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    known = math.prod(s for s in shape if s != -1)
    if -1 in shape:
        if known == 0 and count == 0:
            raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 can be "
                               "any value and is ambiguous")
        if known == 0 or count % known:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
        return tuple(count // known if s == -1 else s for s in shape)
    if known != count:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return shape


def reshape(input: Any, *sizes: Any, shape: Any = None) -> Any:  # noqa: A002
    """The same elements in another shape; one size may be -1. A view where the strides allow it, else a copy.

    Derivative: g in the old shape.
    Raises:
        RuntimeError: if the number of elements differs.
    """
    return apply(reshape_op, (input,), {"shape": _resolved(_sizes(sizes, shape), input._array.size)})


def view(input: Any, *shape: Any, size: Any = None, dtype: Any = None) -> Any:  # noqa: A002
    """The same memory in another shape, or read as another dtype of the same size. Derivative: g in the old shape.

    Raises:
        RuntimeError: if the strides do not allow a view; `reshape` copies then.
    """
    if dtype is not None:
        return _view_dtype(input, dtype)
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list, np.integer, TensorBase)):
        return _view_dtype(input, shape[0])
    wanted = _resolved(_sizes(shape, size), input._array.size)
    array = input._array
    if not array.flags.c_contiguous and array.size:
        try:
            array.reshape(wanted, copy=False)
        except ValueError:
            raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
                               "contiguous subspaces). Use .reshape(...) instead.") from None
    return apply(reshape_op, (input,), {"shape": wanted})


_view_dtype_op = Op("view_dtype", lambda x, *, np_dtype: x.view(np_dtype), None, view=True)


def _view_dtype(x: Any, dtype: Any) -> Any:
    if x._array.ndim == 0 and dtype.itemsize != x._array.itemsize:
        raise RuntimeError(f"self.dim() cannot be 0 to view {x.dtype} as {dtype} (different element sizes)")
    try:
        return apply(_view_dtype_op, (x,), {"np_dtype": dtype.np})
    except ValueError as error:
        raise RuntimeError(f"cannot view {x.dtype} {list(x._array.shape)} as {dtype}: {error}") from None


def view_as(input: Any, other: Any) -> Any:  # noqa: A002
    """`view` with the shape of another tensor."""
    return view(input, other._array.shape)


def reshape_as(input: Any, other: Any) -> Any:  # noqa: A002
    """`reshape` to the shape of another tensor."""
    return reshape(input, other._array.shape)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:  # noqa: A002
    """Dimensions start_dim to end_dim made one: (N, C, H, W) with start_dim=1 -> (N, C*H*W)."""
    shape = input._array.shape
    if not shape:
        return reshape(input, 1)
    first, last = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last:
        return input
    return apply(reshape_op, (input,), {"shape": (*shape[:first], math.prod(shape[first:last + 1]), *shape[last + 1:])})


def ravel(input: Any) -> Any:  # noqa: A002
    """All elements in one dimension."""
    return reshape(input, -1)


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:  # noqa: A002
    """One dimension split into several; one size may be -1."""
    shape = input._array.shape
    d = wrap_dim(dim, len(shape))
    if len(sizes) == 0:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        fresh = _resolved(tuple(int(n) for n in sizes), shape[d])
    except RuntimeError:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({shape[d]}) "
                           "in the input tensor") from None
    return view(input, (*shape[:d], *fresh, *shape[d + 1:]))


def squeeze(input: Any, dim: Any = None) -> Any:  # noqa: A002
    """Dimensions of size 1 removed: all, or those named. Derivative: g in the old shape."""
    shape = input._array.shape
    if dim is None:
        gone = {i for i, size in enumerate(shape) if size == 1}
    else:
        dims = (dim,) if isinstance(dim, (int, np.integer)) else dim
        gone = {d for d in (wrap_dim(int(d), len(shape)) for d in dims) if shape and shape[d] == 1}
    return apply(reshape_op, (input,), {"shape": tuple(size for i, size in enumerate(shape) if i not in gone)})


def unsqueeze(input: Any, dim: int) -> Any:  # noqa: A002
    """A dimension of size 1 inserted at `dim`. Derivative: g in the old shape."""
    shape = input._array.shape
    d = wrap_dim(int(dim), len(shape) + 1)
    return apply(reshape_op, (input,), {"shape": (*shape[:d], 1, *shape[d:])})


def _set_shape_inplace(x: Any, fresh: Any) -> Any:
    """Give x the shape of a fresh view of it. The old shape lives on in a hidden root, on which x is that view from now on."""
    if fresh is x:
        return x
    if x._edge is None and x._requires_grad:
        if state.grad_enabled:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation. "
                               "Change its shape under torch.no_grad(), or take a view of it.")
        x.data = fresh
        bump(x)
        return x
    if x._view is None:
        root = engine_state.wrap(x._array)
        root._edge, root._storage = x._edge, fresh._storage
        fresh._view.root, fresh._view.refusal = root, None
    x._array, x._edge, x._view, x._storage = fresh._array, fresh._edge, fresh._view, fresh._storage
    bump(x)
    return x


def squeeze_(self: Any, dim: Any = None) -> Any:
    """In-place `squeeze`: changes the shape, not the values."""
    return _set_shape_inplace(self, squeeze(self, dim))


def unsqueeze_(self: Any, dim: int) -> Any:
    """In-place `unsqueeze`: changes the shape, not the values."""
    return _set_shape_inplace(self, unsqueeze(self, dim))


def transpose_(self: Any, dim0: int, dim1: int) -> Any:
    """In-place `transpose`: changes the strides, not the values."""
    return _set_shape_inplace(self, transpose(self, dim0, dim1))


def t_(self: Any) -> Any:
    """In-place `t`."""
    return _set_shape_inplace(self, t(self))


def as_strided_(self: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Any:
    """In-place `as_strided`: changes sizes and strides, not the values."""
    return _set_shape_inplace(self, as_strided(self, size, stride, storage_offset))


# ---- order of dimensions ------------------------------------------------------------------------------------------------------


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))


permute_op = Op("permute", lambda x, *, dims: x.transpose(dims), lambda g, dims: permute_op(g, dims=_inverse(dims)), view=True)


def permute(input: Any, *order: Any, dims: Any = None) -> Any:  # noqa: A002
    """The dimensions in another order, a view. Derivative: g in the old order."""
    order = _sizes(order, dims)
    ndim = input._array.ndim
    if len(order) != ndim:
        raise RuntimeError(f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering "
                           f"of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(order)}")
    found = tuple(wrap_dim(d, ndim) for d in order)
    if len(set(found)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return apply(permute_op, (input,), {"dims": found})


def transpose(input: Any, dim0: int, dim1: int) -> Any:  # noqa: A002
    """Two dimensions exchanged, a view. Derivative: g with them exchanged back."""
    ndim = input._array.ndim
    a, b = wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)
    dims = list(range(ndim))
    if ndim:
        dims[a], dims[b] = dims[b], dims[a]
    return apply(permute_op, (input,), {"dims": tuple(dims)})


def t(input: Any) -> Any:  # noqa: A002
    """The transpose of a matrix; a tensor of fewer dimensions itself."""
    if input._array.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._array.ndim}D")
    return transpose(input, 0, 1) if input._array.ndim == 2 else input


def reversed_dims(input: Any) -> Any:  # noqa: A002
    """All dimensions in reverse order: the property `T`."""
    return apply(permute_op, (input,), {"dims": tuple(reversed(range(input._array.ndim)))})


def matrix_transpose(input: Any) -> Any:  # noqa: A002
    """The last two dimensions exchanged: the property `mT`."""
    if input._array.ndim < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {input._array.ndim}-D tensor.")
    return transpose(input, -2, -1)


def movedim(input: Any, source: Any, destination: Any) -> Any:  # noqa: A002
    """Dimensions moved to new places, the others in their order."""
    ndim = input._array.ndim
    from_dims = wrap_dims(source, ndim) if not isinstance(source, (tuple, list)) or source else ()
    to_dims = wrap_dims(destination, ndim) if not isinstance(destination, (tuple, list)) or destination else ()
    if len(from_dims) != len(to_dims):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({source} dims) should contain the same number of dims as "
                           f"destination ({destination} dims)")
    order = [d for d in range(ndim) if d not in from_dims]
    for where, d in sorted(zip(to_dims, from_dims, strict=True)):
        order.insert(where, d)
    return permute(input, order)


# ---- joining and splitting ----------------------------------------------------------------------------------------------------


def _cat(*xs: Any, dim: int) -> Any:
    first = xs[0].dtype
    if any(x.dtype != first for x in xs):
        from mytorch.dtypes import from_numpy_dtype
        common = from_numpy_dtype(first)
        for x in xs[1:]:
            common = promote_types(common, from_numpy_dtype(x.dtype))
        xs = tuple(x if x.dtype == common.np else cast(x, common.np) for x in xs)
    return np.concatenate(xs, axis=dim)


def _cat_formula(g: Any, shapes: list[tuple[int, ...]], dim: int, needs: tuple[bool, ...]) -> list[Any]:
    grads = []
    start = 0
    for shape, need in zip(shapes, needs, strict=True):
        end = start + shape[dim]
        grads.append(basic_op(g, key=(slice(None),) * dim + (slice(start, end),)) if need else None)
        start = end
    return grads


cat_op = Op("cat", _cat, joint=_cat_formula, inputs="")


def _check_tensors(name: str, tensors: Any) -> None:
    if not isinstance(tensors, (tuple, list)):
        raise errors.type_error(name, "tensors", 1, "tuple of Tensors", tensors)
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    for i, x in enumerate(tensors):
        if not isinstance(x, TensorBase):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")


def cat(tensors: Sequence[Any], dim: int = 0, *, axis: int | None = None, out: Any = None) -> Any:
    """Tensors joined along a dimension that exists; the other sizes must agree. Derivative: each its slice of g.

    Raises:
        RuntimeError: for an empty list, or sizes that differ elsewhere.
        TypeError: if an element is not a Tensor.
    """
    dim = dim if axis is None else axis
    if isinstance(tensors, (tuple, list)) and not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    _check_tensors("cat", tensors)
    kept = [x for x in tensors if x._array.shape != (0,)] or list(tensors)
    first = kept[0]._array.shape
    if not first:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    d = wrap_dim(dim, len(first))
    for i, x in enumerate(kept):
        shape = x._array.shape
        if len(shape) != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}")
        for j, (a, b) in enumerate(zip(first, shape, strict=True)):
            if j != d and a != b:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {d}. Expected size {a} but got size {b} "
                                   f"for tensor number {i} in the list.")
    y = apply(cat_op, tuple(kept), {"dim": d})
    if out is not None:
        refuse_overlap(out, kept)
    return y if out is None else put_out(y, out)


def _stack_formula(g: Any, shapes: list[Any], dim: int, needs: tuple[bool, ...]) -> list[Any]:
    before = (slice(None),) * dim
    return [basic_op(g, key=(*before, i)) if need else None for i, need in enumerate(needs)]


stack_op = Op("stack", lambda *xs, dim: np.stack(xs, axis=dim), joint=_stack_formula, inputs="")


def stack(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """Tensors of one shape joined along a new dimension. Derivative: each its slice of g."""
    _check_tensors("stack", tensors)
    first = tensors[0]._array
    for i, x in enumerate(tensors):
        if x._array.shape != first.shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                               f"{list(x._array.shape)} at entry {i}")
    if any(x._array.dtype != first.dtype for x in tensors):
        y = cat([unsqueeze(x, dim) for x in tensors], dim)
    else:
        y = apply(stack_op, tuple(tensors), {"dim": wrap_dim(dim, first.ndim + 1)})
    return y if out is None else put_out(y, out)


def _split(x: Any, *, sizes: tuple[int, ...], dim: int) -> tuple[Any, ...]:
    parts = []
    start = 0
    before = (slice(None),) * dim
    for size in sizes:
        parts.append(x[(*before, slice(start, start + size))])
        start += size
    return tuple(parts)


def _split_formula(g: list[Any], x_shape: tuple[int, ...], sizes: tuple[int, ...], dim: int) -> Any:
    like = next(part for part in g if part is not None)
    parts = [zeros_for(like, (*x_shape[:dim], size, *x_shape[dim + 1:])) if part is None else part for part, size in zip(g, sizes, strict=True)]
    return cat_op(*parts, dim=dim)


split_op = Op("split", _split, _split_formula, outputs="parts", view=True)


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of consecutive parts: of a size each (the last may be smaller), or of the given sizes. Derivative: g's parts joined."""
    require_tensor("split", tensor, "tensor", 1)
    if tensor._array.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, tensor._array.ndim)
    length = tensor._array.shape[d]
    if isinstance(split_size_or_sections, (int, np.integer)):
        size = int(split_size_or_sections)
        if size < 0 or (size == 0 and length):
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
        sizes = [size] * (length // size) + ([length % size] if length % size else []) if length else [0]
    else:
        sizes = [int(s) for s in split_size_or_sections]
        if sum(sizes) != length or any(s < 0 for s in sizes):
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {length} (input tensor's size at dimension {d}), "
                               f"but got split_sizes={sizes}")
    return apply(split_op, (tensor,), {"sizes": tuple(sizes), "dim": d})


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:  # noqa: A002
    """At most `chunks` views of equal size (the last may be smaller)."""
    if input._array.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    length = input._array.shape[wrap_dim(dim, input._array.ndim)]
    if length == 0:
        return split(input, [0] * chunks, dim)
    return split(input, -(-length // chunks), dim)


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:  # noqa: A002
    """Views of parts: a number of nearly equal ones, or cut at the given indices."""
    length = input._array.shape[wrap_dim(dim, input._array.ndim)]
    if isinstance(indices_or_sections, int):
        few, more = divmod(length, indices_or_sections)
        return split(input, [few + 1] * more + [few] * (indices_or_sections - more), dim)
    cuts = [0, *[min(max(int(i) if i >= 0 else int(i) + length, 0), length) for i in indices_or_sections], length]
    return tuple(narrow(input, dim, a, max(b - a, 0)) for a, b in zip(cuts[:-1], cuts[1:], strict=True))


def _unbind_formula(g: list[Any], x_shape: tuple[int, ...], dim: int) -> Any:
    like = next(part for part in g if part is not None)
    shape = x_shape[:dim] + x_shape[dim + 1:]
    return stack_op(*[zeros_for(like, shape) if part is None else part for part in g], dim=dim)


unbind_op = Op("unbind", lambda x, *, dim: tuple(x[(slice(None),) * dim + (i, ...)] for i in range(x.shape[dim])), _unbind_formula,
               outputs="parts", view=True)


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:  # noqa: A002
    """Views of all slices along a dimension. Derivative: g's slices stacked."""
    if input._array.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    d = wrap_dim(dim, input._array.ndim)
    return apply(unbind_op, (input,), {"dim": d}) if input._array.shape[d] else ()


def hstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Joined along the second dimension (the first for 1-d tensors)."""
    _check_tensors("hstack", tensors)
    tensors = [atleast_1d(x) for x in tensors]
    return cat(tensors, 0 if tensors[0]._array.ndim == 1 else 1, out=out)


def vstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Joined along the first dimension, 1-d tensors as rows."""
    _check_tensors("vstack", tensors)
    return cat([atleast_2d(x) for x in tensors], 0, out=out)


def dstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Joined along the third dimension."""
    _check_tensors("dstack", tensors)
    return cat([atleast_3d(x) for x in tensors], 2, out=out)


def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors as (1,)."""
    found = [reshape(x, 1) if x._array.ndim == 0 else x for x in _listed(tensors)]
    return found[0] if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)) else tuple(found)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of fewer dimensions as a row."""
    found = [reshape(x, 1, -1) if x._array.ndim < 2 else x for x in _listed(tensors)]
    return found[0] if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)) else tuple(found)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer dimensions with dimensions of size 1 added."""
    found = [reshape(x, 1, -1, 1) if x._array.ndim < 2 else unsqueeze(x, -1) if x._array.ndim == 2 else x for x in _listed(tensors)]
    return found[0] if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)) else tuple(found)


def _listed(tensors: tuple[Any, ...]) -> list[Any]:
    return list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)


# ---- slices -------------------------------------------------------------------------------------------------------------------


def _paste(g: Any, *, shape: tuple[int, ...], key: tuple[Any, ...]) -> Any:
    y = np.zeros(shape, g.dtype)
    y[key] = g
    return y


basic_op = Op("slice", lambda x, *, key: x[(*key, ...)] if Ellipsis not in key else x[key],
              lambda g, x_shape, key: paste_op(g, shape=x_shape, key=key), view=True)
paste_op = Op("slice_backward", _paste, lambda g, key: basic_op(g, key=key))


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:  # noqa: A002
    """A view of `length` entries from `start` along a dimension."""
    if input._array.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input._array.ndim)
    size = input._array.shape[d]
    if isinstance(start, TensorBase) and (start._array.ndim or start._array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    start = int(start)  # type: ignore[call-overload]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return apply(basic_op, (input,), {"key": (slice(None),) * d + (slice(start, start + length),)})


def select(input: Any, dim: int, index: int) -> Any:  # noqa: A002
    """A view of one slice along a dimension, which is removed."""
    d = wrap_dim(dim, input._array.ndim)
    size = input._array.shape[d] if input._array.ndim else 0
    if not input._array.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input._array.shape)} at dimension {d}")
    return apply(basic_op, (input,), {"key": (slice(None),) * d + (int(index),)})


# ---- repetition, order, triangles ---------------------------------------------------------------------------------------------


def _untile(g: Any, *, shape: tuple[int, ...], reps: tuple[int, ...]) -> Any:
    padded = (1,) * (len(reps) - len(shape)) + shape
    split_shape = [n for pair in zip(reps, padded, strict=True) for n in pair]
    wide = widened(g).reshape(split_shape).sum(axis=tuple(range(0, 2 * len(reps), 2)))
    return narrowed(np.asarray(wide).reshape(shape), g.dtype)


tile_op = Op("repeat", lambda x, *, reps: np.tile(x, reps), lambda g, x_shape, reps: untile_op(g, shape=x_shape, reps=reps))
untile_op = Op("repeat_backward", _untile, lambda g, reps: tile_op(g, reps=reps))


def repeat(input: Any, *sizes: Any, repeats: Any = None) -> Any:  # noqa: A002
    """The tensor copied a number of times along each dimension, new ones in front. Derivative: the sum of g over the copies."""
    reps = _sizes(sizes, repeats)
    if len(reps) < input._array.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(r < 0 for r in reps):
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(reps)}")
    return apply(tile_op, (input,), {"reps": reps})


def tile(input: Any, *sizes: Any, dims: Any = None) -> Any:  # noqa: A002
    """`repeat` under NumPy's rules: missing leading repeats are 1."""
    reps = _sizes(sizes, dims)
    return repeat(input, (1,) * (input._array.ndim - len(reps)) + reps)


flip_op = Op("flip", lambda x, *, dims: np.flip(x, dims).copy(), lambda g, dims: flip_op(g, dims=dims))
roll_op = Op("roll", lambda x, *, shifts, dims: np.roll(x, shifts, dims), lambda g, shifts, dims: roll_op(g, shifts=tuple(-s for s in shifts), dims=dims))


def flip(input: Any, *given: Any, dims: Any = None) -> Any:  # noqa: A002
    """A copy with the order along the dimensions reversed. Derivative: g reversed."""
    given = _sizes(given, dims)
    return apply(flip_op, (input,), {"dims": wrap_dims(given, input._array.ndim) if given else ()})


def fliplr(input: Any) -> Any:  # noqa: A002
    """Columns in reverse order."""
    if input._array.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Any) -> Any:  # noqa: A002
    """Rows in reverse order."""
    if input._array.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:  # noqa: A002
    """Elements shifted along dimensions; what leaves at one end enters at the other. Derivative: g shifted back."""
    steps = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        return reshape(roll(reshape(input, -1), steps, (0,)), input._array.shape)
    found = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(found) != len(steps):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(found)}")
    return apply(roll_op, (input,), {"shifts": steps, "dims": tuple(wrap_dim(d, input._array.ndim) for d in found)})


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:  # noqa: A002
    """Rotated by k quarter turns in the plane of two dimensions."""
    ndim = input._array.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    a, b = (wrap_dim(d, ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return flip(input, a, b)
    return transpose(flip(input, b), a, b) if k == 1 else flip(transpose(input, a, b), b)


triangle_op = Op("tril", lambda x, *, diagonal, lower: np.where(np.tri(*x.shape[-2:], diagonal if lower else diagonal - 1, dtype=bool) == lower,
                                                                x, np.zeros((), x.dtype)),
                 lambda g, diagonal, lower: triangle_op(g, diagonal=diagonal, lower=lower))


def _triangle(name: str, x: Any, diagonal: int, lower: bool, out: Any) -> Any:
    require_tensor(name, x)
    if x._array.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    y = apply(triangle_op, (x,), {"diagonal": diagonal, "lower": lower})
    return y if out is None else put_out(y, out)


def tril(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:  # noqa: A002
    """The lower triangle, zeros above the diagonal. Derivative: g's lower triangle."""
    return _triangle("tril", input, diagonal, True, out)


def triu(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:  # noqa: A002
    """The upper triangle, zeros below the diagonal. Derivative: g's upper triangle."""
    return _triangle("triu", input, diagonal, False, out)


def tril_(self: Any, diagonal: int = 0) -> Any:
    """In-place `tril`."""
    return apply_inplace(triangle_op, (self,), {"diagonal": diagonal, "lower": True})


def triu_(self: Any, diagonal: int = 0) -> Any:
    """In-place `triu`."""
    return apply_inplace(triangle_op, (self,), {"diagonal": diagonal, "lower": False})


def _paste_diagonal(g: Any, *, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    y = np.zeros(shape, g.dtype)
    part = np.diagonal(y, offset, dim1, dim2)
    part.flags.writeable = True
    part[...] = g
    return y


def _diagonal(x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    part = np.diagonal(x, offset, dim1, dim2)
    if x.flags.writeable:
        part.flags.writeable = True
    return part


diagonal_op = Op("diagonal", _diagonal, lambda g, x_shape, offset, dim1, dim2: paste_diagonal_op(g, shape=x_shape, offset=offset, dim1=dim1, dim2=dim2),
                 view=True)
paste_diagonal_op = Op("diagonal_backward", _paste_diagonal, lambda g, offset, dim1, dim2: diagonal_op(g, offset=offset, dim1=dim1, dim2=dim2))


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:  # noqa: A002
    """A view of the diagonal of two dimensions, as the last dimension."""
    ndim = input._array.ndim
    a, b = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return apply(diagonal_op, (input,), {"offset": offset, "dim1": a, "dim2": b})


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:  # noqa: A002
    """Matrices with the last dimension of the input on a diagonal."""
    ndim = input._array.ndim + 1
    a, b = sorted((wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)))
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input._array.shape[-1] + (offset if offset > 0 else -offset)
    shape = list(input._array.shape[:-1])
    shape.insert(a, size)
    shape.insert(b, size)
    return apply(paste_diagonal_op, (input,), {"shape": tuple(shape), "offset": offset, "dim1": a, "dim2": b})


def diag(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:  # noqa: A002
    """The matrix with a 1-d input on its diagonal, or a copy of the diagonal of a matrix."""
    if input._array.ndim == 1:
        y = diag_embed(input, diagonal)
    elif input._array.ndim == 2:
        y = globals()["diagonal"](input, diagonal).clone()
    else:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._array.ndim}D")
    return y if out is None else put_out(y, out)


def trace(input: Any) -> Any:  # noqa: A002
    """The sum of the diagonal of a matrix. Derivative: g on the diagonal."""
    if input._array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._array.ndim}")
    return diagonal(input).sum()


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """Coordinate grids of 1-d tensors; indexing 'ij' (rows first, torch's default) or 'xy'."""
    xs = [x if x._array.ndim else reshape(x, 1) for x in _listed(tensors)]
    if not xs:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if any(x._array.ndim > 1 for x in xs):
        raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got shapes {[list(x._array.shape) for x in xs]}")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(xs) >= 2
    if swap:
        xs[0], xs[1] = xs[1], xs[0]
    shape = tuple(x._array.size for x in xs)
    grids = [expand(reshape(x, [-1 if j == i else 1 for j in range(len(xs))]), shape) for i, x in enumerate(xs)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


# ---- windows ------------------------------------------------------------------------------------------------------------------


def _unfold(x: Any, *, dim: int, size: int, step: int) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim, writeable=x.flags.writeable)
    return windows[(slice(None),) * dim + (slice(None, None, step),)]


def _fold(g: Any, *, shape: tuple[int, ...], dim: int, size: int, step: int) -> Any:
    y = np.zeros(shape, np.float32 if g.dtype == FLOAT16 else g.dtype)
    for i in range(size):
        part = y[(slice(None),) * dim + (slice(i, i + step * (g.shape[dim] - 1) + 1, step),)]
        part += g[..., i]
    return y.astype(g.dtype)


unfold_op = Op("unfold", _unfold, lambda g, x_shape, dim, size, step: fold_op(g, shape=x_shape, dim=dim, size=size, step=step), view=True)
fold_op = Op("unfold_backward", _fold, lambda g, dim, size, step: unfold_op(g, dim=dim, size=size, step=step))


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:  # noqa: A002
    """A view of all windows of `size` along a dimension, `step` apart; the window is the last dimension."""
    if input._array.ndim == 0:
        if size > 1:
            raise RuntimeError(f"maximum size for tensor at dimension 0 is 1 but size is {size}")
        return reshape(input, 1)[:size]
    d = wrap_dim(dimension, input._array.ndim)
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > input._array.shape[d]:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {input._array.shape[d]} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return apply(unfold_op, (input,), {"dim": d, "size": size, "step": step})


def _strided(x: Any, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {list(size)} and {list(stride)}")
    if any(s < 0 for s in stride) or any(n < 0 for n in size) or (offset is not None and offset < 0):
        raise RuntimeError("as_strided: Negative sizes, strides and offsets are not supported, "
                           f"got size {list(size)}, stride {list(stride)}, storage_offset {offset}")
    base = x
    while isinstance(base.base, ndarray):
        base = base.base
    flat = base.reshape(-1) if base.flags.c_contiguous else np.ascontiguousarray(x).reshape(-1)
    start = (x.__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // x.itemsize if offset is None else offset
    last = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else start
    if last >= max(flat.size, 1):
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start} are out of bounds for "
                           f"storage of size {flat.size * x.itemsize}")
    return np.lib.stride_tricks.as_strided(flat[start:], size, [s * x.itemsize for s in stride])


def _strided_paste(g: Any, *, shape: tuple[int, ...], size: Any, stride: Any, offset: Any) -> Any:
    count = math.prod(shape)
    places = _strided(np.arange(count), size, stride, offset or 0)
    y = np.zeros(count, g.dtype)
    np.add.at(y, places, g)
    return y.reshape(shape)


as_strided_op = Op("as_strided", lambda x, *, size, stride, offset: _strided(x, size, stride, offset),
                   lambda g, x_shape, size, stride, offset: strided_paste_op(g, shape=x_shape, size=size, stride=stride, offset=offset), view=True)
strided_paste_op = Op("as_strided_backward", _strided_paste, lambda g, size, stride, offset: as_strided_op(g, size=size, stride=stride, offset=offset))


def as_strided(input: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Any:  # noqa: A002
    """A view of the same memory with sizes and strides (in elements) chosen freely.

    Raises:
        RuntimeError: if it would reach outside the memory.
    """
    return apply(as_strided_op, (input,), {"size": tuple(size), "stride": tuple(stride), "offset": storage_offset})


# ---- padding ------------------------------------------------------------------------------------------------------------------


def _pad_constant(x: Any, *, widths: tuple[tuple[int, int], ...], value: float) -> Any:
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    y = np.empty(shape, x.dtype)
    y[...] = cast(np.asarray(value), x.dtype)
    target = tuple(slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))
    source = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))
    y[target] = x[source]
    return y


pad_op = Op("constant_pad_nd", _pad_constant,
            lambda g, widths: pad_op(g, widths=tuple((-a, -b) for a, b in widths), value=0.0))


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:  # noqa: A002
    """Widen a tensor: `pad` gives (before, after) for the last dimension, then for the one before it, and so on.

    Args:
        mode: 'constant' (with `value`; negative widths crop), 'reflect', 'replicate' or 'circular'.
    Derivative: g where the input went; for the other modes, summed over the copies.
    Raises:
        RuntimeError: for an odd number of widths, or too many.
    """
    require_tensor("pad", input)
    ndim = input._array.ndim
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * ndim:
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got padding length {len(pad)} "
                           f"and input of dimension {ndim}")
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    if mode == "constant":
        widths = tuple(reversed(pairs + [(0, 0)] * (ndim - len(pairs))))
        if any(n + a + b < 0 for n, (a, b) in zip(input._array.shape, widths, strict=True)):
            raise RuntimeError(f"The input size {list(input._array.shape)} with padding {list(pad)} resulted in a negative output size")
        return apply(pad_op, (input,), {"widths": widths, "value": 0.0 if value is None else value})
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}: expected 'constant', 'reflect', 'replicate' or 'circular'")
    y = input
    for i, (before, after) in enumerate(pairs):
        if before or after:
            d = ndim - 1 - i
            y = y.index_select(d, _pad_places(y._array.shape[d], before, after, mode, y))
    return y


def _pad_places(size: int, before: int, after: int, mode: str, like: Any) -> Any:
    places = np.arange(-before, size + after)
    if mode == "reflect":
        if before >= size or after >= size:
            raise RuntimeError("Argument #4: Padding size should be less than the corresponding input dimension, "
                               f"but got: padding ({before}, {after}) at a dimension of size {size}")
        places = np.abs(places)
        places = np.where(places >= size, 2 * (size - 1) - places, places)
    elif mode == "replicate":
        places = np.clip(places, 0, size - 1)
    else:
        if before > size or after > size:
            raise RuntimeError(f"Padding value causes wrapping around more than once: ({before}, {after}) at a dimension of size {size}")
        inner = np.arange(max(-before, 0), size - max(-after, 0))  # what negative widths leave is repeated
        places = inner[np.arange(-max(before, 0), inner.size + max(after, 0)) % inner.size]
    return like.new_tensor(places, dtype=None)
