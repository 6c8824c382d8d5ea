"""How elements lie in memory: strides, torch's memory formats, and new arrays that are laid out like others.

A memory format names an order of dimensions. channels_last keeps a batch of images (N, C, H, W) in the order N, H, W, C, so that the
channels of one pixel are neighbours; preserve_format keeps the order that a tensor has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch import errors

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

__mytorch__ = True


class memory_format:  # noqa: N801 - torch's name
    """An order of dimensions in memory: `contiguous_format`, `channels_last`, `channels_last_3d` or `preserve_format`."""

    __slots__ = ("name", "order")

    def __init__(self, name: str, order: tuple[int, ...] | None) -> None:
        self.name = name
        self.order = order  # of the dimensions, the outermost first; None where every number of dimensions will do

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def __deepcopy__(self, memo: Any) -> memory_format:
        return self

    def check(self, ndim: int) -> tuple[int, ...]:
        """The order of the dimensions of a tensor with that many.

        Raises:
            RuntimeError: if the format wants another number.
        """
        if self.order is None:
            return tuple(range(ndim))
        if ndim != len(self.order):
            raise RuntimeError(f"required rank {len(self.order)} tensor to use {self.name} format, got one of {ndim} dimension(s)")
        return self.order


contiguous_format = memory_format("contiguous_format", None)
preserve_format = memory_format("preserve_format", None)
channels_last = memory_format("channels_last", (0, 2, 3, 1))
channels_last_3d = memory_format("channels_last_3d", (0, 2, 3, 4, 1))


def as_format(function: str, given: Any, default: memory_format) -> memory_format:
    """The memory format asked for; TypeError for anything else."""
    if given is None:
        return default
    if not isinstance(given, memory_format):
        raise errors.type_error(function, "memory_format", 1, "torch.memory_format", given)
    return given


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The order that puts dimensions back."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def strides_of(array: Array) -> tuple[int, ...]:
    """torch's strides of an array, in elements. NumPy gives a new dimension of size 1 the stride 0: torch counts on from the next one."""
    steps = [s // array.itemsize for s in array.strides]
    for d in range(len(steps) - 1, -1, -1):
        if steps[d] == 0 and (array.shape[d] <= 1 or not array.size):
            steps[d] = steps[d + 1] * max(array.shape[d + 1], 1) if d + 1 < len(steps) else 1
    return tuple(steps)


def in_order(array: Array, order: tuple[int, ...]) -> bool:
    """Do the elements lie in memory row by row, with the dimensions in that order?"""
    return bool(array.transpose(order).flags.c_contiguous)


def suggested(array: Array) -> memory_format:
    """The format that the strides speak for: channels_last only where they say so, not where sizes of 1 leave it open."""
    if array.ndim in (4, 5) and not array.flags.c_contiguous:
        form = channels_last if array.ndim == 4 else channels_last_3d
        if form.order is not None and in_order(array, form.order):
            return form
    return contiguous_format


def dims_by_stride(array: Array) -> tuple[int, ...]:
    """The dimensions from the outermost to the innermost as they lie in memory; a stride of 0 tells nothing, and stays in place."""
    shape, strides = array.shape, array.strides
    inner_first = list(range(array.ndim))[::-1]
    for i in range(1, len(inner_first)):  # an insertion sort: incomparable dimensions do not move past each other
        at = i
        for j in range(i - 1, -1, -1):
            a, b = inner_first[j], inner_first[at]
            if not strides[a] or not strides[b]:
                continue
            if strides[a] > strides[b] or (strides[a] == strides[b] and shape[a] > shape[b]):
                inner_first[j], inner_first[at] = b, a
                at = j
            else:
                break
    return tuple(reversed(inner_first))


def row_major(y: Array) -> Array:
    """A result laid out as torch lays it out where NumPy would keep the order of a transposed input: so `view` works on it as there."""
    return y if y.ndim < 2 or y.flags.c_contiguous else np.ascontiguousarray(y)


def images_or_row_major(y: Array) -> Array:
    """The same, but channels_last stays channels_last."""
    return y if y.ndim < 2 or y.flags.c_contiguous or suggested(y) is not contiguous_format else np.ascontiguousarray(y)


def new_like(array: Array, np_dtype: Any, wanted: memory_format, make: Any = np.empty) -> Array:
    """A new array of that shape in a memory format; preserve_format keeps the order of the dimensions in memory.

    Args:
        make: np.empty, np.zeros or a function like them: (shape, dtype) -> array.
    """
    if wanted is preserve_format:
        order = None if array.flags.c_contiguous else dims_by_stride(array)
    else:
        order = None if wanted.order is None else wanted.check(array.ndim)
    if order is None:
        return make(array.shape, np_dtype)
    return make(tuple(array.shape[d] for d in order), np_dtype).transpose(inverse(order))


def new_in(shape: tuple[int, ...], np_dtype: Any, wanted: memory_format, make: Any = np.empty) -> Array:
    """A new array of a shape in a memory format."""
    if wanted is preserve_format:
        raise RuntimeError("unsupported memory format Preserve: there is no tensor whose format could be kept")
    order = wanted.check(len(shape))
    if wanted.order is None:
        return make(shape, np_dtype)
    return make(tuple(shape[d] for d in order), np_dtype).transpose(inverse(order))


def copied(array: Array, wanted: memory_format) -> Array:
    """A copy of an array in a memory format."""
    y = new_like(array, array.dtype, wanted)
    np.copyto(y, array)
    return y
