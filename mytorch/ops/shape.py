"""Shape operations: the face of their family (views, joining), and those that copy: repetition, order, triangles, padding."""
# ruff: noqa: I001, F401 - a face: names are imported to be re-exported

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import engine_state, errors
from mytorch.backends import MANY, kernel, kernels
from mytorch.node_names import titled
from mytorch.ops.autocast import get_casting, in_float32
from mytorch.ops.choices import kept
from mytorch.ops.common import Op, apply, apply_inplace, cast, narrowed, put_out, require_tensor, widened, wrap_dim, wrap_dims
from mytorch.ops.elementwise import clone_for
from mytorch.ops.layout import row_major
from mytorch.ops.views import (
    as_strided, as_strided_, as_strided_op, basic_op, broadcast_shapes, broadcast_tensors, broadcast_to, diagonal, diagonal_op,
    expand, expand_as, expand_op, flatten, fold_op, matrix_transpose, movedim, narrow, paste_diagonal_op, paste_op, permute,
    permute_op, ravel, refuse_overlap, reshape, reshape_as, reshape_op, reversed_dims, select, shape_of, size_error, sizes_of,
    squeeze, squeeze_, strided_paste_op, sum_to, swapaxes, t, t_, transpose, transpose_, unflatten, unfold, unfold_op, unsqueeze,
    unsqueeze_, view, view_as, zeros_for,
)
from mytorch.ops.joining import (
    atleast_1d, atleast_2d, atleast_3d, block_diag, cartesian_prod, cat, cat_op, check_tensors, chunk, column_stack, combinations,
    dsplit, dstack, hsplit, hstack, listed, row_stack, split, split_op, split_with_sizes, stack, stack_op, tensor_split, unbind,
    unbind_op, vsplit, vstack,
)

__mytorch__ = True


def _untile(g: Any, *, shape: tuple[int, ...], reps: tuple[int, ...]) -> Any:
    padded = (1,) * (len(reps) - len(shape)) + shape
    split_shape = [n for pair in zip(reps, padded, strict=True) for n in pair]
    wide = kernels["reduce_sum"](widened(g).reshape(split_shape), dim=tuple(range(0, 2 * len(reps), 2)), keepdim=False)
    return narrowed(wide.reshape(shape), g.dtype)


def _tile(x: Any, *, reps: tuple[int, ...]) -> Any:
    if x.size < MANY or len(reps) > _MOST_REPEATED:
        return np.tile(x, reps)
    padded = (1,) * (len(reps) - x.ndim) + x.shape
    repeated = np.broadcast_to(x.reshape([n for size in padded for n in (1, size)]), [n for pair in zip(reps, padded, strict=True) for n in pair])
    return _copied(repeated).reshape([n * size for n, size in zip(reps, padded, strict=True)])


def _copied(x: Any) -> Any:
    """A new array in row-major order, by a backend if x is large."""
    return x.copy() if x.size < MANY or x.flags.c_contiguous else kernels["contiguous"](x)


_MOST_REPEATED = 16  # NumPy has arrays of 64 dimensions; each is two here

tile_op: Op = Op("repeat", _tile, lambda g, x_shape, reps: untile_op(g, shape=x_shape, reps=reps))
untile_op: Op = Op("repeat_backward", _untile, lambda g, reps: tile_op(g, reps=reps))


def repeat(input: Any, *sizes: Any, repeats: Any = None) -> Any:  # noqa: A002
    """The tensor copied a number of times along each dimension, new ones in front. Derivative: the sum of g over the copies."""
    reps = sizes_of(sizes, repeats)
    if len(reps) < input._array.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(r < 0 for r in reps):
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(reps)}")
    return apply(tile_op, (input,), {"reps": reps})


def tile(input: Any, *sizes: Any, dims: Any = None) -> Any:  # noqa: A002
    """`repeat` under NumPy's rules: missing leading repeats are 1."""
    reps = sizes_of(sizes, dims)
    return repeat(input, (1,) * (input._array.ndim - len(reps)) + reps)


@kernel
def roll_forward(x: Any, *, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    """Elements moved around in a circle along dimensions."""
    return row_major(np.roll(x, shifts, dims))


flip_op: Op = Op("flip", lambda x, *, dims: _copied(np.flip(x, dims)), lambda g, dims: flip_op(g, dims=dims))
roll_op: Op = Op("roll", roll_forward,
             lambda g, shifts, dims: roll_op(g, shifts=tuple(-s for s in shifts), dims=dims))


def flip(input: Any, *given: Any, dims: Any = None) -> Any:  # noqa: A002
    """A copy with the order along the dimensions reversed. Derivative: g reversed."""
    given = sizes_of(given, dims)
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
        return titled(reshape(roll(reshape(input, -1), steps, (0,)), input._array.shape), "roll")
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


def _triangle_of(x: Any, *, diagonal: int, lower: bool) -> Any:
    rows, columns = x.shape[-2:]
    inside = np.tri(rows, columns, diagonal if lower else diagonal - 1, dtype=np.bool_) == lower
    return row_major(kept(x, inside) if x.dtype.kind == "f" and x.size >= MANY else np.where(inside, x, np.zeros((), x.dtype)))


triangle_op: Op = Op("tril", _triangle_of, lambda g, diagonal, lower: triangle_op(g, diagonal=diagonal, lower=lower))


def _triangle(name: str, x: Any, diagonal: int, lower: bool, out: Any) -> Any:
    require_tensor(name, x)
    if x._array.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    y = apply(triangle_op if lower else triangle_op.variant("triu"), (x,), {"diagonal": diagonal, "lower": lower})
    return y if out is None else put_out(y, out, True)


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
    return y if out is None else put_out(y, out, True)


def trace(input: Any) -> Any:  # noqa: A002
    """The sum of the diagonal of a matrix. Derivative: g on the diagonal."""
    if get_casting() is not None:
        input, = in_float32(input)  # noqa: A001
    if input._array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._array.ndim}")
    if input._array.dtype.kind == "b":
        raise NotImplementedError("\"trace\" not implemented for 'Bool': convert with .long()")
    return titled(diagonal(input).sum(), "trace")


def diagflat(input: Any, offset: int = 0) -> Any:  # noqa: A002
    """The matrix with all elements of the input on its diagonal."""
    return diag_embed(reshape(input, -1), offset)


def _written(input: Any, part: Any, src: Any, name: str) -> Any:  # noqa: A002
    """The copy of which `part` is a view, after src was written to it."""
    if part._array.shape != src._array.shape:
        raise RuntimeError(f"{name}: expected src to have a size equal to the slice of self. src size = {list(src._array.shape)}, "
                           f"slice size = {list(part._array.shape)}")
    part.copy_(src)
    return input


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:  # noqa: A002
    """A copy with `src` at one index of a dimension. Derivative: g elsewhere; g there."""
    y = clone_for(input, src)
    return _written(y, select(y, dim, index), src, "select_scatter")


def slice_scatter(input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:  # noqa: A002
    """A copy with `src` in a slice of a dimension. Derivative: g elsewhere; g there."""
    y = clone_for(input, src)
    d = wrap_dim(dim, y._array.ndim)
    return _written(y, y[(slice(None),) * d + (slice(start, end, step),)], src, "slice_scatter")


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:  # noqa: A002
    """A copy with `src` on a diagonal. Derivative: g elsewhere; g there."""
    y = clone_for(input, src)
    return _written(y, diagonal(y, offset, dim1, dim2), src, "diagonal_scatter")


def fill_diagonal_(self: Any, fill_value: float, wrap: bool = False) -> Any:
    """Write one number on the main diagonal: x[i, ..., i]. Derivative: g elsewhere.

    Args:
        wrap: in a tall matrix, begin again one row below where the diagonal ended.
    Raises:
        RuntimeError: for a tensor of fewer than two dimensions, or more than two that are not of one size.
    """
    if not isinstance(fill_value, (int, float, complex, np.generic)):
        raise errors.type_error("fill_diagonal_", "fill_value", 1, "Number", fill_value)
    shape = self._array.shape
    if len(shape) < 2:
        raise RuntimeError(f"dimensions must larger than 1, but got a tensor of shape {list(shape)}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError(f"all dimensions of input must be of equal length, but got {list(shape)}")
    inside = np.zeros(shape, np.bool_)
    np.fill_diagonal(inside, True, wrap)
    return self.masked_fill_(engine_state.wrap(inside), fill_value)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """Coordinate grids of 1-d tensors; indexing 'ij' (rows first, torch's default) or 'xy'."""
    xs = [x if x._array.ndim else reshape(x, 1) for x in listed(tensors)]
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


# ---- padding ------------------------------------------------------------------------------------------------------------------


@kernel
def pad_forward(x: Any, *, widths: tuple[tuple[int, int], ...], value: float) -> Any:
    """x with a number around it, or cropped where a width is negative."""
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    y = np.empty(shape, x.dtype)
    y[...] = cast(np.asarray(value), x.dtype)
    target = tuple(slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))
    source = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))
    y[target] = x[source]
    return y


pad_op: Op = Op("constant_pad_nd", pad_forward,
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
    if not isinstance(pad, (tuple, list)):
        raise errors.type_error("pad", "pad", 2, "tuple of ints", pad)
    for i, n in enumerate(pad):
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, but found element of type {type(n).__name__} at pos {i}")
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
        if value is not None and not isinstance(value, complex):
            errors.require_float("pad", "value", 4, value)
        return apply(pad_op, (input,), {"widths": widths, "value": 0.0 if value is None else value})
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}: expected 'constant', 'reflect', 'replicate' or 'circular'")
    _check_image(input, len(pairs), mode)
    y = input
    if get_casting() is not None and (mode == "replicate" or (mode == "reflect" and len(pairs) < 3)):
        y, = in_float32(input)
    for i, (before, after) in enumerate(pairs):
        if before or after:
            d = ndim - 1 - i
            y = y.index_select(d, _pad_places(y._array.shape[d], before, after, mode, y))
    return y


def _check_image(x: Any, dims: int, mode: str) -> None:
    """Can the last `dims` dimensions be reflected or replicated? There must be one or two more, and numbers in them."""
    shape = list(x._array.shape)
    if len(shape) not in (dims + 1, dims + 2) or dims not in (1, 2, 3):
        raise NotImplementedError(f"Padding size {2 * dims} is not supported for {len(shape)}D input tensor.\nSupported combinations for "
                                  "non-constant padding: 2 widths for 2D or 3D input, 4 for 3D or 4D, 6 for 4D or 5D")
    if mode == "circular":
        return
    if 0 in shape[len(shape) - dims - 1:]:
        raise RuntimeError(f"Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions "
                           f"for input, but got: {shape}")
    if x._array.dtype.kind == "b":
        kind = "reflection" if mode == "reflect" else "replication"
        raise NotImplementedError(f'"{kind}_pad{dims}d" not implemented for \'Bool\'')


def constant_pad_nd(input: Any, pad: Sequence[int], value: float = 0) -> Any:  # noqa: A002
    """`pad` with a constant."""
    return globals()["pad"](input, pad, "constant", value)


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
