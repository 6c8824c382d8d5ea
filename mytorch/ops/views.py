"""Views of the same memory wherever NumPy can give one: broadcasting, shapes, order of dimensions, slices, diagonals, windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state, errors
from mytorch.autograd_engine import register, requires_grad
from mytorch.backends import MANY, kernel, kernels
from mytorch.engine_state import state
from mytorch.ops.common import FLOAT16, Op, TensorBase, apply, bump, narrowed, require_tensor, widened, wrap_dim, wrap_dims

__mytorch__ = True


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or of a Tensor."""
    return x._array.shape if isinstance(x, TensorBase) else np.shape(x)


def size_error(error: ValueError | MemoryError, *operands: Any) -> Exception:
    """torch's error for operands that do not broadcast, or whose result has no room, in place of NumPy's; any other error as it is."""
    if isinstance(error, MemoryError):
        return errors.no_memory("pointwise operation", error)
    shapes = [np.shape(x) for x in operands]
    ndim = max(len(shape) for shape in shapes)
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    for d in range(ndim - 1, -1, -1):
        sizes = [shape[d] for shape in padded if shape[d] != 1]
        for size in sizes:
            if size != sizes[0]:
                return RuntimeError(f"The size of tensor a ({sizes[0]}) must match the size of tensor b ({size}) at non-singleton dimension {d}: "
                                    f"shapes {', '.join(str(list(shape)) for shape in shapes)} do not broadcast")
    return error


def zeros_for(like: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, an array or a Tensor as `like` is, of its dtype."""
    if isinstance(like, TensorBase):
        return like.new_zeros(shape)  # type: ignore[attr-defined]
    return np.zeros(shape, like.dtype)


def refuse_overlap(out: Any, inputs: Sequence[Any]) -> None:
    """RuntimeError if elements of `out` share memory with each other or with an input."""
    require_tensor("out", out, "out", 1)
    if any(s == 0 and n > 1 for s, n in zip(out._array.strides, out._array.shape, strict=True)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
                           "Please clone() the tensor before performing the operation.")
    if any(np.may_share_memory(out._array, x._array) for x in inputs):
        raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
                           "location. Please clone() the tensor before performing the operation.")


def repeated_zero(like: Any, shape: tuple[int, ...]) -> Any:
    """The same for a kernel that copies them: an array of one zero, repeated, which takes no memory and no time to write."""
    if isinstance(like, TensorBase):
        return like.new_zeros(shape)  # type: ignore[attr-defined]
    return ndarray(shape, like.dtype, _ZERO_BYTES, strides=(0,) * len(shape))


_ZERO_BYTES = bytes(16)  # of the widest dtype


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


def _expand(x: Any, *, shape: tuple[int, ...]) -> Any:
    if math.prod(shape) == x.size:  # nothing is repeated
        return x.reshape(shape)
    y = np.broadcast_to(x, shape)
    if x.flags.writeable:  # parts of it may be written; whoever writes to all of it is refused
        y.flags.writeable = True
    return y


sum_to: Op = Op("sum_to", kernel(_sum_to, name="sum_to"), lambda g, x_shape: expand_op(g, shape=x_shape))
expand_op: Op = Op("expand", _expand, lambda g, x_shape: sum_to(g, shape=x_shape), view=True)
register(sum_to=sum_to)


def sizes_of(args: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """The sizes of `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`."""
    if named is not None:
        args = (named,)
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    try:
        return tuple(map(index, args))
    except TypeError:
        odd = next(a for a in args if not hasattr(a, "__index__"))
        raise TypeError(f"sizes must be a tuple of ints, not {type(odd).__name__}: got {odd!r}") from None


def expand(input: Any, *sizes: Any, size: Any = None, implicit: bool = False) -> Any:  # noqa: A002
    """A view with dimensions of size 1, and new leading ones, repeated without copying; -1 keeps a size.

    Derivative: g summed over what was repeated.
    Raises:
        RuntimeError: if a size other than 1 would change.
    """
    wanted = sizes_of(sizes, size)
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


def sum_to_size(input: Any, *size: Any) -> Any:  # noqa: A002
    """Summed to a shape that expands to the input's: the derivative of `expand`. Derivative: g expanded.

    Raises:
        RuntimeError: if that shape does not expand to the input's.
    """
    shape = sizes_of(size)
    if input._array.dtype.kind in "biu" and (shape != input._array.shape or not shape):
        input = input.long()  # sums of integers are int64
    try:
        return apply(sum_to, (input,), {"shape": shape}) if shape != input._array.shape else input
    except ValueError:
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(input._array.shape)}.") from None


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
    try:
        shape = np.broadcast_shapes(*[t._array.shape for t in tensors])
    except ValueError as error:
        raise size_error(error, *[t._array for t in tensors]) from None
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

def _reshape(x: Any, *, shape: tuple[int, ...]) -> Any:
    if x.size >= MANY and not x.flags.c_contiguous:  # a backend may copy faster
        try:
            return x.reshape(shape, copy=False)
        except ValueError:
            return kernels["contiguous"](x).reshape(shape)
    return x.reshape(shape)


reshape_op: Op = Op("view", _reshape, lambda g, x_shape: reshape_op(g, shape=x_shape), view=True)


_unsqueeze_op, _squeeze_op = reshape_op.variant("unsqueeze"), reshape_op.variant("squeeze")
_squeeze_dim_op, _squeeze_dims_op = reshape_op.variant("squeeze_dim"), reshape_op.variant("squeeze_dims")


def _resolved(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The shape with its -1 replaced by what is left."""
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if shape and min(shape) < -1:
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    known = math.prod(shape)
    if -1 in shape:
        known = -known
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
    return apply(reshape_op, (input,), {"shape": _resolved(sizes_of(sizes, shape), input._array.size)})


def view(input: Any, *shape: Any, size: Any = None, dtype: Any = None) -> Any:  # noqa: A002
    """The same memory in another shape, or read as another dtype of the same size. Derivative: g in the old shape.

    Raises:
        RuntimeError: if the strides do not allow a view; `reshape` copies then.
    """
    if dtype is not None:
        return _view_dtype(input, dtype)
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list, np.integer, TensorBase)):
        return _view_dtype(input, shape[0])
    wanted = _resolved(sizes_of(shape, size), input._array.size)
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
        dims = [wrap_dim(dim, len(shape))] if type(dim) is int else [wrap_dim(d, len(shape)) for d in sizes_of((dim,))]
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"dim {next(d for d in dims if dims.count(d) > 1)} appears multiple times in the list of dims")
        gone = {d for d in dims if shape and shape[d] == 1}
    op = _squeeze_op if dim is None else _squeeze_dims_op if isinstance(dim, (tuple, list)) else _squeeze_dim_op
    return apply(op, (input,), {"shape": tuple(size for i, size in enumerate(shape) if i not in gone)})


def unsqueeze(input: Any, dim: int) -> Any:  # noqa: A002
    """A dimension of size 1 inserted at `dim`. Derivative: g in the old shape."""
    shape = input._array.shape
    if not hasattr(dim, "__index__"):
        raise errors.type_error("unsqueeze", "dim", 1, "int", dim)
    d = wrap_dim(int(dim), len(shape) + 1)
    return apply(_unsqueeze_op, (input,), {"shape": (*shape[:d], 1, *shape[d:])})


def _refuse_shape_change(x: Any) -> None:
    """What in-place writes refuse of a view, changes of its shape refuse too."""
    view = x._view
    if view is None or not state.grad_enabled:
        return
    if view.owner()._edge is None and view.owner()._requires_grad:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation. "
                           "Change its shape under torch.no_grad(), or take a view of it.")
    if view.refusal is not None and (requires_grad(x) or requires_grad(view.owner())):
        raise RuntimeError(f"Output 0 of this operation {view.refusal}")


def _set_shape_inplace(x: Any, fresh: Any) -> Any:
    """Give x the shape of a fresh view of it. The old shape lives on in a hidden root, on which x is that view from now on."""
    if hasattr(x, "_full"):  # inside vmap: so with the whole batch
        _set_shape_inplace(x._full, fresh._full)
        return x
    _refuse_shape_change(x)
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
    if hasattr(fresh, "_tangents"):
        x._tangents = fresh._tangents
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


permute_op: Op = Op("permute", lambda x, *, dims: x.transpose(dims), lambda g, dims: permute_op(g, dims=_inverse(dims)), view=True)


_transpose_op, _t_op = permute_op.variant("transpose"), permute_op.variant("t")


def permute(input: Any, *order: Any, dims: Any = None) -> Any:  # noqa: A002
    """The dimensions in another order, a view. Derivative: g in the old order."""
    order = sizes_of(order, dims)
    ndim = input._array.ndim
    if len(order) != ndim:
        raise RuntimeError(f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering "
                           f"of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(order)}")
    found = tuple(wrap_dim(d, ndim) for d in order)
    if len(set(found)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return apply(permute_op, (input,), {"dims": found})


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:  # noqa: A002
    """`transpose` with NumPy's names."""
    return transpose(input, axis0, axis1)


def transpose(input: Any, dim0: int, dim1: int) -> Any:  # noqa: A002
    """Two dimensions exchanged, a view. Derivative: g with them exchanged back."""
    ndim = input._array.ndim
    a, b = wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)
    dims = list(range(ndim))
    if ndim:
        dims[a], dims[b] = dims[b], dims[a]
    return apply(_transpose_op, (input,), {"dims": tuple(dims)})


def t(input: Any) -> Any:  # noqa: A002
    """The transpose of a matrix; a tensor of fewer dimensions itself."""
    require_tensor("t", input)
    if input._array.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._array.ndim}D")
    return apply(_t_op, (input,), {"dims": tuple(reversed(range(input._array.ndim)))})


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


# ---- slices -------------------------------------------------------------------------------------------------------------------


def _paste(g: Any, *, shape: tuple[int, ...], key: tuple[Any, ...]) -> Any:
    y = np.zeros(shape, g.dtype)
    y[key] = g
    return y


basic_op: Op = Op("slice", lambda x, *, key: x[(*key, ...)] if Ellipsis not in key else x[key],
              lambda g, x_shape, key: paste_op(g, shape=x_shape, key=key), view=True)
paste_op: Op = Op("slice_backward", _paste, lambda g, key: basic_op(g, key=key))


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:  # noqa: A002
    """A view of `length` entries from `start` along a dimension."""
    if input._array.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input._array.ndim)
    size = input._array.shape[d]
    if isinstance(start, TensorBase) and (start._array.ndim or start._array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    start = int(start)
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


# ---- diagonals ----------------------------------------------------------------------------------------------------------------


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


diagonal_op: Op = Op("diagonal", _diagonal, lambda g, x_shape, offset, dim1, dim2:
                 paste_diagonal_op(g, shape=x_shape, offset=offset, dim1=dim1, dim2=dim2), view=True)
paste_diagonal_op: Op = Op("diagonal_backward", _paste_diagonal, lambda g, offset, dim1, dim2: diagonal_op(g, offset=offset, dim1=dim1, dim2=dim2))


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:  # noqa: A002
    """A view of the diagonal of two dimensions, as the last dimension."""
    ndim = input._array.ndim
    a, b = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return apply(diagonal_op, (input,), {"offset": offset, "dim1": a, "dim2": b})


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


unfold_op: Op = Op("unfold", _unfold, lambda g, x_shape, dim, size, step: fold_op(g, shape=x_shape, dim=dim, size=size, step=step), view=True)
fold_op: Op = Op("unfold_backward", _fold, lambda g, dim, size, step: unfold_op(g, dim=dim, size=size, step=step))


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


def memory_of(x: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """The array that owns the memory of x."""
    base = x
    while base.base is not None:
        owner: Any = base.base
        if not isinstance(owner, ndarray):
            owner = getattr(owner, "base", None)  # NumPy's as_strided puts an object of its own in between
        if not isinstance(owner, ndarray):
            break
        base = owner
    return base


def _flat_memory(x: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """The whole memory that x lies in, in one dimension."""
    base = memory_of(x)
    return base.transpose(sorted(range(base.ndim), key=lambda d: -base.strides[d])).reshape(-1).view(x.dtype)


def _start(x: ndarray[Any, Any], flat: ndarray[Any, Any]) -> int:
    """Where x begins in its memory, in elements."""
    return int(x.__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // x.itemsize


def _reach(size: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """The place of the last element, from the first; -1 if there is none."""
    return sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else -1


def _strided(x: Any, *, size: tuple[int, ...], stride: tuple[int, ...], shift: int, own: tuple[int, ...]) -> Any:
    flat = _flat_memory(x)
    start = _start(x, flat) + shift
    if start < 0 or start + _reach(size, stride) >= max(flat.size, 1):
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start} are out of bounds for "
                           f"storage of size {flat.size * x.itemsize}")
    return np.lib.stride_tricks.as_strided(flat[start:], size, [s * x.itemsize for s in stride])


def _strided_paste(g: Any, *, shape: tuple[int, ...], own: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], shift: int,
                   share: str) -> Any:
    """g, laid out by size and stride, added into a memory, which is read by shape and own; `shift` lies between the two beginnings.

    Where one of the two has several elements at one place, the original's (its side is `share`), they share what is there.
    """
    low = min(0, shift)
    there = _places(size, stride, shift - low)
    here = _places(shape, own, -low)
    counts = np.bincount((here if share == "output" else there).reshape(-1), minlength=1)
    wide = widened(g)
    memory = np.zeros(int(max(there.max(initial=0), here.max(initial=0))) + 1, wide.dtype)
    np.add.at(memory, there, wide / counts[there] if share == "input" and counts.max() > 1 else wide)
    y = memory[here]
    return narrowed(y / counts[here] if share == "output" and counts.max() > 1 else y, g.dtype)


def _places(size: tuple[int, ...], stride: tuple[int, ...], start: int) -> Any:
    places = np.full((), start, np.int64)
    for n, step in zip(size, stride, strict=True):
        places = places[..., None] + np.arange(n) * step
    return places


as_strided_op: Op = Op("as_strided", _strided, lambda g, x_shape, size, stride, shift, own: strided_paste_op(
    g, shape=x_shape, own=own, size=size, stride=stride, shift=shift, share="output"), view=True)
strided_paste_op: Op = Op("as_strided_backward", _strided_paste, lambda g, shape, own, size, stride, shift, share: strided_paste_op(
    g, shape=size, own=stride, size=shape, stride=own, shift=-shift, share="input" if share == "output" else "output"))


def as_strided(input: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Any:  # noqa: A002
    """A view of the same memory with sizes and strides (in elements) chosen freely.

    Derivative: g added up at each place of the memory; what lies outside of the input is lost.
    Raises:
        RuntimeError: if it would reach outside the memory.
    """
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {list(size)} and {list(stride)}")
    if any(s < 0 for s in stride) or any(n < 0 for n in size) or (storage_offset is not None and storage_offset < 0):
        raise RuntimeError("as_strided: Negative sizes, strides and offsets are not supported, "
                           f"got size {list(size)}, stride {list(stride)}, storage_offset {storage_offset}")
    x = input._array
    shift = 0 if storage_offset is None else storage_offset - _start(x, _flat_memory(x))
    own = tuple(s // x.itemsize for s in x.strides)
    return apply(as_strided_op, (input,), {"size": size, "stride": stride, "shift": shift, "own": own})
