"""Packed sequences: a batch of sequences of different lengths without padding, and the ways in and out.

The rows of a PackedSequence are all first steps, then all second steps, and so on; sequences are ordered by length, longest first,
so that `batch_sizes[t]` sequences still run at step t. This is the order in which recurrent layers read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mytorch import errors
from mytorch.dtypes import cast
from mytorch.ops.common import Op, TensorBase, apply
from mytorch.tensor import Tensor, _wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    Array = np.ndarray[Any, np.dtype[Any]]

__mytorch__ = True

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence", "pad_sequence", "unpad_sequence",
           "pack_sequence", "unpack_sequence"]


class PackedSequence_(NamedTuple):  # noqa: N801 - torch's name
    """The fields of a PackedSequence."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(PackedSequence_):
    """A batch of sequences as rows, step after step; made by `pack_sequence` or `pack_padded_sequence`, taken by recurrent layers.

    Args:
        data: (rows, *): all first steps, all second steps, ...
        batch_sizes: int64 (T): how many rows belong to each step.
        sorted_indices: where each sequence, longest first, stood in the batch it came from; None if it was in this order.
        unsorted_indices: the inverse permutation.
    Raises:
        AssertionError: without batch_sizes, unless `data` is a pair of both.
    """

    __slots__ = ()

    def __new__(cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None) -> Self:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("Expected data to be a list or tuple of length 2 (data, batch_sizes), or batch_sizes to be given")
            data, batch_sizes = data
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert the data as `Tensor.to` does; the sequence itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._with(data)

    def _with(self, data: Any) -> Self:
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def pin_memory(self) -> Self:
        """The same with its data in pinned memory."""
        return self._with(self.data.pin_memory())

    def is_pinned(self) -> bool:
        """Is the data in pinned memory?"""
        return bool(self.data.is_pinned())

    @property
    def is_cuda(self) -> bool:
        """Is the data on a GPU?"""
        return bool(self.data.is_cuda)

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Move the data to a GPU; raises where there is none."""
        return self._with(self.data.cuda(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> Self:
        """Move the data to the CPU."""
        return self.to("cpu", *args, **kwargs)

    def double(self) -> Self:
        """The data as float64."""
        return self._converted(self.data.double())

    def float(self) -> Self:
        """The data as float32."""
        return self._converted(self.data.float())

    def half(self) -> Self:
        """The data as float16."""
        return self._converted(self.data.half())

    def long(self) -> Self:
        """The data as int64."""
        return self._converted(self.data.long())

    def int(self) -> Self:
        """The data as int32."""
        return self._converted(self.data.int())

    def short(self) -> Self:
        """The data as int16."""
        return self._converted(self.data.short())

    def char(self) -> Self:
        """The data as int8."""
        return self._converted(self.data.char())

    def byte(self) -> Self:
        """The data as uint8."""
        return self._converted(self.data.byte())

    def _converted(self, data: Any) -> Self:
        return self if data is self.data else self._with(data)


# ---- the operations: rows of a mask out of a padded batch, and back -----------------------------------------------------------


def _pad_rows(data: Array, *, mask: Array, value: Any) -> Array:
    padded = np.full((*mask.shape, *data.shape[1:]), cast(np.asarray(value), data.dtype), data.dtype)
    padded[mask] = data
    return padded


# Each is the other's derivative.
_pack_op: Op = Op("pack_padded_sequence", lambda x, *, mask: x[mask], lambda g, mask: _pad_op(g, mask=mask, value=0))
_pad_op: Op = Op("pad_packed_sequence", _pad_rows, lambda g, mask: _pack_op(g, mask=mask))


def _places(batch_first: bool, i: int, length: int, longest: int, left: bool) -> tuple[Any, ...]:
    """Where sequence i lies in the padded batch."""
    steps = slice(longest - length, longest) if left else slice(length)
    return (i, steps) if batch_first else (steps, i)


def _pad(*sequences: Array, longest: Any, batch_first: Any, value: Any, left: Any) -> Array:
    first = sequences[0]
    lead = (len(sequences), longest) if batch_first else (longest, len(sequences))
    y = np.full((*lead, *first.shape[1:]), cast(np.asarray(value), first.dtype), first.dtype)
    for i, x in enumerate(sequences):
        y[_places(batch_first, i, len(x), longest, left)] = x if x.dtype == first.dtype else cast(x, first.dtype)
    return y


def _pad_formula(g: Any, shapes: list[Any], longest: Any, batch_first: Any, left: Any, needs: tuple[bool, ...]) -> list[Any]:
    return [g[_places(batch_first, i, shape[0], longest, left)] if need else None
            for i, (shape, need) in enumerate(zip(shapes, needs, strict=True))]


_pad_sequence_op = Op("pad_sequence", _pad, joint=_pad_formula, inputs="")


# ---- the functions ------------------------------------------------------------------------------------------------------------


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another: `invert_permutation(p)[p[i]] == i`. None gives None.

    Raises:
        TypeError: for something else than a tensor.
    """
    if permutation is None:
        return None
    if not isinstance(permutation, TensorBase):
        raise errors.type_error("invert_permutation", "permutation", 1, "Tensor", permutation)
    inverse = np.empty_like(permutation._array)
    inverse[permutation._array] = np.arange(permutation._array.size)
    return _wrap(inverse)


def _lengths_array(lengths: Any) -> Array:
    given = lengths._array if isinstance(lengths, TensorBase) else np.asarray(lengths)
    if given.ndim != 1:
        raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {given.ndim}D: one length per sequence")
    return given.astype(np.int64)


def pack_padded_sequence(input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False,  # noqa: A002
                         enforce_sorted: bool = True) -> PackedSequence:
    """Pack a padded batch: what lies behind the end of each sequence is left out.

    Args:
        input: (T, B, *), or (B, T, *) with batch_first.
        lengths: of the B sequences, at least 1 each.
        enforce_sorted: False sorts the sequences by length first, and `pad_packed_sequence` and the recurrent layers put them back.
    Shape: -> data (sum of lengths, *).
    Raises:
        RuntimeError: for lengths that are not sorted (with enforce_sorted), not positive, too long, or not one per sequence.
    Derivative: g at the places that were packed, 0 at the padding.
    """
    if input.dim() < 2:
        raise errors.dim_error(1, input.dim())
    batch_dim = 0 if batch_first else 1
    sizes = _lengths_array(lengths)
    sorted_indices = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        sizes = sizes[order]
        sorted_indices = _wrap(order)
        if len(order) == input.shape[batch_dim]:
            input = input.index_select(batch_dim, sorted_indices)  # noqa: A001
    x = input.transpose(0, 1) if batch_first else input
    steps, batch = x.shape[:2]
    if x.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if len(sizes) != batch:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} (batch_size={batch})")
    if sizes.min() <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if np.any(sizes[1:] > sizes[:-1]):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
                           "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement "
                           "if you do not need ONNX exportability.")
    if sizes[0] > steps:
        raise RuntimeError(f"Expected every length to be at most {steps}, the steps of input {tuple(input.shape)}, but got {sizes[0]}")
    mask = np.arange(steps)[:, None] < sizes  # (T, B)
    data = apply(_pack_op, (x,), {"mask": mask})
    return PackedSequence(data, _wrap(np.count_nonzero(mask, axis=1)[:sizes[0]].astype(np.int64)), sorted_indices)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Tensor, Tensor]:
    """The padded batch of a PackedSequence and its lengths: the inverse of `pack_padded_sequence`.

    Args:
        batch_first: (B, T, *) instead of (T, B, *).
        padding_value: written behind the end of each sequence.
        total_length: T, if it shall be more than the longest length.
    Raises:
        ValueError: if total_length is less than the longest length.
    """
    sizes = sequence.batch_sizes._array
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError("Expected total_length to be at least the length of the longest sequence in input, but got "
                             f"total_length={total_length} and max sequence length being {steps}")
        sizes = np.concatenate([sizes, np.zeros(total_length - steps, sizes.dtype)])
    mask = np.arange(sizes[0]) < sizes[:, None]  # (T, B)
    padded = apply(_pad_op, (sequence.data,), {"mask": mask, "value": padding_value})
    lengths = _wrap(np.count_nonzero(mask, axis=0).astype(np.int64))
    if batch_first:
        padded = padded.transpose(0, 1)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices]
    return padded, lengths


def pad_sequence(sequences: Tensor | Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Tensor:
    """Stack sequences of different lengths, padded to the longest.

    Args:
        sequences: tensors (L_i, *), the trailing sizes equal; the first one's dtype is kept.
        batch_first: (B, L, *) instead of (L, B, *).
        padding_value: written where a sequence has ended.
        padding_side: 'right', or 'left' for padding before the beginning.
    Raises:
        RuntimeError: for no sequence, something that is not iterable, or trailing sizes that differ.
        TypeError: if an element is not a Tensor.
    Derivative: each sequence its part of g.
    """
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    elif not hasattr(sequences, "__iter__"):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    given = tuple(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    for i, x in enumerate(given):
        if not isinstance(x, TensorBase):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
        if x._array.ndim == 0 or x._array.shape[1:] != given[0]._array.shape[1:]:
            raise RuntimeError(f"The trailing sizes of all sequences must match: sequence 0 has shape {given[0]._array.shape}, "
                               f"sequence {i} {x._array.shape}; expected (length, *) with one and the same *")
    meta = {"longest": max(len(x._array) for x in given), "batch_first": batch_first, "value": padding_value, "left": padding_side == "left"}
    padded: Tensor = apply(_pad_sequence_op, given, meta)
    return padded


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False) -> list[Tensor]:
    """The sequences (L_i, *) of a padded batch (T, B, *), or (B, T, *) with batch_first: the inverse of `pad_sequence`."""
    sizes = _lengths_array(lengths).tolist()
    return [padded_sequences[_places(batch_first, i, length, length, False)].clone() for i, length in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (L_i, *).

    Args:
        enforce_sorted: demand that they come longest first; False sorts them.
    Raises:
        RuntimeError: as `pad_sequence` and `pack_padded_sequence`.
    """
    return pack_padded_sequence(pad_sequence(sequences), [len(x) for x in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences (L_i, *) of a PackedSequence, in the order of the batch it came from."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
