"""Joining tensors and splitting them: cat, stack and their relatives, split, chunk, unbind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mytorch import dtypes, engine_state, errors
from mytorch.backends import empty, kernel
from mytorch.dtypes import promote_types
from mytorch.ops.common import Op, TensorBase, apply, cast, put_out, require_tensor, wrap_dim
from mytorch.ops.layout import images_or_row_major, row_major
from mytorch.ops.views import basic_op, narrow, refuse_overlap, reshape, unsqueeze, zeros_for

__mytorch__ = True


def _cat(*xs: Any, dim: int) -> Any:
    first = xs[0].dtype
    if any(x.dtype != first for x in xs):
        from mytorch.dtypes import from_numpy_dtype
        common = from_numpy_dtype(first)
        for x in xs[1:]:
            common = promote_types(common, from_numpy_dtype(x.dtype))
        xs = tuple(x if x.dtype == common.np else cast(x, common.np) for x in xs)
    return joined(xs, dim=dim)


@kernel
def joined(xs: tuple[Any, ...], *, dim: int) -> Any:
    """Arrays of one dtype, one behind the other along a dimension."""
    if xs[0].dtype.kind == "f" and all(x.flags.c_contiguous for x in xs):
        shape = list(xs[0].shape)
        shape[dim] = sum(x.shape[dim] for x in xs)
        return np.concatenate(xs, axis=dim, out=empty(tuple(shape), xs[0].dtype))
    return images_or_row_major(np.concatenate(xs, axis=dim))


def _cat_formula(g: Any, shapes: list[tuple[int, ...]], dim: int, needs: tuple[bool, ...]) -> list[Any]:
    grads = []
    start = 0
    for shape, need in zip(shapes, needs, strict=True):
        end = start + shape[dim]
        grads.append(basic_op(g, key=(slice(None),) * dim + (slice(start, end),)) if need else None)
        start = end
    return grads


cat_op: Op = Op("cat", _cat, joint=_cat_formula, inputs="")


def check_tensors(name: str, tensors: Any) -> None:
    """TypeError or RuntimeError unless it is a non-empty sequence of Tensors."""
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
    check_tensors("cat", tensors)
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
    if out is None:
        return y
    refuse_overlap(out, kept)
    _check_cast(y, out)
    return put_out(y, out)


def _stack_formula(g: Any, shapes: list[Any], dim: int, needs: tuple[bool, ...]) -> list[Any]:
    before = (slice(None),) * dim
    return [basic_op(g, key=(*before, i)) if need else None for i, need in enumerate(needs)]


stack_op: Op = Op("stack", lambda *xs, dim: row_major(np.stack(xs, axis=dim)), joint=_stack_formula, inputs="")


def _check_cast(y: Any, out: Any) -> None:
    """TypeError unless the joined tensors can be cast to the dtype of `out`."""
    require_tensor("cat", out, "out", 1)
    if y.dtype.category > out.dtype.category:
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {dtypes.legacy_name(out.dtype)}")


def stack(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """Tensors of one shape joined along a new dimension. Derivative: each its slice of g."""
    check_tensors("stack", tensors)
    first = tensors[0]._array
    for i, x in enumerate(tensors):
        if x._array.shape != first.shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                               f"{list(x._array.shape)} at entry {i}")
    if any(x._array.dtype != first.dtype for x in tensors):
        y = cat([unsqueeze(x, dim) for x in tensors], dim)
    else:
        y = apply(stack_op, tuple(tensors), {"dim": wrap_dim(dim, first.ndim + 1)})
    if out is not None:
        _check_cast(y, out)
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


split_op: Op = Op("split", _split, _split_formula, outputs="parts", view=True)


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
    if input._array.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    length = input._array.shape[wrap_dim(dim, input._array.ndim)]
    if isinstance(indices_or_sections, TensorBase):
        indices_or_sections = indices_or_sections._array.tolist()
    if isinstance(indices_or_sections, int):
        if indices_or_sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {indices_or_sections}")
        few, more = divmod(length, indices_or_sections)
        return split(input, [few + 1] * more + [few] * (indices_or_sections - more), dim)
    cuts = [0, *[min(max(int(i) if i >= 0 else int(i) + length, 0), length) for i in indices_or_sections], length]
    return tuple(narrow(input, dim, a, max(b - a, 0)) for a, b in pairwise(cuts))


def _unbind_formula(g: list[Any], x_shape: tuple[int, ...], dim: int) -> Any:
    like = next(part for part in g if part is not None)
    shape = x_shape[:dim] + x_shape[dim + 1:]
    return stack_op(*[zeros_for(like, shape) if part is None else part for part in g], dim=dim)


unbind_op: Op = Op("unbind", lambda x, *, dim: tuple(x[(slice(None),) * dim + (i, ...)] for i in range(x.shape[dim])), _unbind_formula,
               outputs="parts", view=True)


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:  # noqa: A002
    """Views of all slices along a dimension. Derivative: g's slices stacked."""
    if input._array.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    d = wrap_dim(dim, input._array.ndim)
    return apply(unbind_op, (input,), {"dim": d}) if input._array.shape[d] else ()


def hstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Joined along the second dimension (the first for 1-d tensors)."""
    check_tensors("hstack", tensors)
    tensors = [atleast_1d(x) for x in tensors]
    return cat(tensors, 0 if tensors[0]._array.ndim == 1 else 1, out=out)


def vstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Joined along the first dimension, 1-d tensors as rows."""
    check_tensors("vstack", tensors)
    return cat([atleast_2d(x) for x in tensors], 0, out=out)


def dstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Joined along the third dimension."""
    check_tensors("dstack", tensors)
    return cat([atleast_3d(x) for x in tensors], 2, out=out)


def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors as (1,)."""
    found = [reshape(x, 1) if x._array.ndim == 0 else x for x in listed(tensors)]
    return found[0] if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)) else tuple(found)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of fewer dimensions as a row."""
    found = [reshape(x, 1, -1) if x._array.ndim < 2 else x for x in listed(tensors)]
    return found[0] if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)) else tuple(found)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer dimensions with dimensions of size 1 added."""
    found = [reshape(x, 1, -1, 1) if x._array.ndim < 2 else unsqueeze(x, -1) if x._array.ndim == 2 else x for x in listed(tensors)]
    return found[0] if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)) else tuple(found)


def listed(tensors: tuple[Any, ...]) -> list[Any]:
    """The tensors of `f(a, b)` or `f([a, b])`."""
    return list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)


def column_stack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Joined along the second dimension, 0-d and 1-d tensors as columns."""
    check_tensors("column_stack", tensors)
    return cat([reshape(x, x._array.size, 1) if x._array.ndim < 2 else x for x in tensors], 1, out=out)


def split_method(self: Any, split_size: Any, dim: int = 0) -> tuple[Any, ...]:
    """`split`, whose argument the method calls `split_size`."""
    return split(self, split_size, dim)


def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:  # noqa: A002
    """Views of consecutive parts of the given sizes."""
    return split(input, list(split_sizes), dim)


def _split_along(name: str, x: Any, dim: int, least: int, sections: Any) -> tuple[Any, ...]:
    if x._array.ndim < least:
        raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension{'s' if least > 1 else ''}, "
                           f"but got a tensor with {x._array.ndim} dimensions!")
    if isinstance(sections, int) and (sections <= 0 or x._array.shape[dim] % sections):
        raise RuntimeError(f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {x._array.shape[dim]} "
                           f"is not divisible by the split_size {sections}!")
    return tensor_split(x, sections, dim)


def hsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:  # noqa: A002
    """`tensor_split` along the second dimension (the first of a 1-d tensor), in equal parts or at indices."""
    return _split_along("hsplit", input, 0 if input._array.ndim == 1 else 1, 1, indices_or_sections)


def vsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:  # noqa: A002
    """`tensor_split` along the first dimension, in equal parts or at indices."""
    return _split_along("vsplit", input, 0, 2, indices_or_sections)


def dsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:  # noqa: A002
    """`tensor_split` along the third dimension, in equal parts or at indices."""
    return _split_along("dsplit", input, 2, 3, indices_or_sections)


def block_diag(*tensors: Any) -> Any:
    """Matrices on the diagonal of a larger one, zeros elsewhere; 0-d and 1-d tensors count as rows. Derivative: each its block of g."""
    blocks = [reshape(x, 1, x._array.size) if x._array.ndim < 2 else x for x in tensors]
    for i, x in enumerate(blocks):
        if x._array.ndim != 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x._array.ndim} dimensions")
    columns = sum(x._array.shape[1] for x in blocks)
    rows = []
    before = 0
    for x in blocks:
        height, width = x._array.shape
        left, right = x.new_zeros((height, before)), x.new_zeros((height, columns - before - width))
        rows.append(cat([left, x, right], 1))
        before += width
    return cat(rows, 0) if rows else engine_state.wrap(np.zeros((1, 0), np.float32))


def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of one element of each 1-d tensor, as rows; of a single tensor, itself."""
    xs = listed(tensors)
    if any(x._array.ndim != 1 for x in xs):
        raise RuntimeError(f"Expect a 1D vector, but got shapes {[list(x._array.shape) for x in xs]}")
    if len(xs) == 1:
        return xs[0]
    places = np.indices([x._array.size for x in xs]).reshape(len(xs), -1)
    return stack([x[places[i]] for i, x in enumerate(xs)], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:  # noqa: A002
    """All choices of r elements of a 1-d tensor in their order, as rows."""
    if input._array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input._array.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))
    import itertools
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input._array.size), r)), np.int64).reshape(-1, r)
    return input[places]


row_stack = vstack
