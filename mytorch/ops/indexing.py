"""Indexing: `x[...]` and `x[...] = v`, for integers, slices, None, ..., masks, lists and index tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.engine_state import state
from mytorch.inplace import check_inplace
from mytorch.ops.common import Op, TensorBase, apply, apply_inplace, bump, cast, narrowed, require_tensor, widened
from mytorch.ops.elementwise import copy_, fill_
from mytorch.ops.layout import row_major
from mytorch.ops.views import basic_op, repeated_zero, shape_of

__mytorch__ = True


class _Slot:
    """Marks, in a key, the place of an index array, which travels as an input of its own."""

    def __repr__(self) -> str:
        return "<index tensor>"


_SLOT = _Slot()


def _filled(key: tuple[Any, ...], indices: Sequence[Any]) -> tuple[Any, ...]:
    rest = iter(indices)
    return tuple(next(rest) if part is _SLOT else part for part in key)


def accumulate_at(y: Any, key: tuple[Any, ...], values: Any) -> None:
    """y[key] += values where an index may occur several times."""
    np.add.at(y, key, values)


@kernel
def within(places: Any, lowest: int, end: int) -> bool:
    """Whether all places, of which there are some, are from `lowest` on and below `end`."""
    return bool(places.min() >= lowest and places.max() < end)


@kernel
def index_put_forward(x: Any, values: Any, *indices: Any, key: tuple[Any, ...], accumulate: bool) -> Any:
    """A copy of x with values written, or added, at x[key]."""
    place = _filled(key, indices)
    if isinstance(values, ndarray) and values.ndim > 1 and values.shape[0] == 1 and values.ndim > x[place].ndim:  # NumPy would take it
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result of shape "
                           f"{list(x[place].shape)}")
    if accumulate:
        y = widened(x).copy()
        accumulate_at(y, place, widened(np.asarray(values)).astype(y.dtype))
        return narrowed(y, x.dtype)
    y = x.copy()
    y[place] = cast(np.asarray(values), x.dtype)
    return y


class _Indexed(Op):
    """An operation whose formula may name `places`: the index tensors, which follow the named inputs and are all that is kept of them."""

    __slots__ = ()

    def plan(self, mask: int, count: int) -> tuple[list[int], list[int], bool, bool]:
        if (mask, count) not in self._plans:
            ins, *others = super().plan(mask, count)
            self._plans[mask, count] = ([*ins, *range(len(self.inputs), count)], *others)  # type: ignore[assignment]
        return self._plans[mask, count]

    def _place(self, name: str) -> tuple[Any, Any]:
        return (slice(len(self.inputs), -2 - self.output_count), None) if name == "places" else super()._place(name)


def _index_put_formula(g: Any, places: Any, key: tuple[Any, ...], accumulate: bool, needs: tuple[bool, ...]) -> list[Any]:
    kept = None
    if needs[0]:
        kept = g if accumulate else index_put_op(g, 0.0, *places, key=key, accumulate=False)
    return [kept, index_op(g, *places, key=key) if needs[1] else None] + [None] * len(places)


@kernel
def index_forward(x: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    """x[key], a copy."""
    return row_major(np.asarray(x[_filled(key, indices)]))


index_op = _Indexed("index", index_forward, inputs="x",
                    joint=lambda g, x_shape, places, key: [
                        index_put_op(repeated_zero(g, x_shape), g, *places, key=key, accumulate=True)] + [None] * len(places))
index_put_op: Op = _Indexed("index_put", index_put_forward, inputs="x values",
                            joint=lambda g, places, key, accumulate, needs: _index_put_formula(g, places, key, accumulate, needs))


def _parse(x: Any, key: Any) -> tuple[tuple[Any, ...], list[Any]]:
    """A key as NumPy understands it, with its index tensors taken out; checks what torch checks."""
    parts = key if isinstance(key, tuple) else (key,)
    found: list[Any] = []
    indices: list[Any] = []
    for part in parts:
        if isinstance(part, TensorBase):
            array = part._array
            if array.dtype.kind not in "iub":
                raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
            if array.ndim == 0 and array.dtype.kind != "b" and type(array) is ndarray:  # inside vmap it may differ between examples
                found.append(int(array))
                continue
            if array.dtype == np.uint8:
                part = part.bool()  # type: ignore[attr-defined]
            found.append(_SLOT)
            indices.append(part)
        elif isinstance(part, (list, ndarray, range)):
            array = np.asarray(part)
            if array.size == 0:
                array = array.astype(np.int64)
            if array.dtype.kind not in "iub":
                raise IndexError(f"indices must be integers, slices, None, ... or tensors of them, got {part!r}")
            found.append(_SLOT)
            indices.append(array)
        elif isinstance(part, slice):
            bounds = [int(b) if isinstance(b, TensorBase) else b for b in (part.start, part.stop, part.step)]  # type: ignore[call-overload]
            if bounds[2] is not None and bounds[2] <= 0:
                raise ValueError("step must be greater than zero")
            found.append(slice(*bounds))
        elif part is None or part is Ellipsis:
            found.append(part)
        elif isinstance(part, (bool, np.bool_)):
            found.append(_SLOT)
            indices.append(np.asarray(part))
        elif isinstance(part, (int, np.integer)):
            found.append(int(part))
        elif hasattr(part, "__index__"):
            found.append(part.__index__())
        elif isinstance(part, str):
            raise TypeError("new(): invalid data type 'str'")
        else:
            raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                             f"(got {type(part).__name__})")
    _check_bounds(x._array.shape, found, indices)
    return tuple(found), indices


def _check_bounds(shape: tuple[int, ...], key: list[Any], indices: list[Any]) -> None:
    """IndexError as torch words it for too many indices or one out of range."""
    arrays = [i._array if isinstance(i, TensorBase) else i for i in indices]
    rest = iter(arrays)
    consumed = []
    for part in key:
        if part is _SLOT:
            array = next(rest)
            consumed.append((part, array, array.ndim if array.dtype.kind == "b" else 1))
        else:
            consumed.append((part, None, 0 if part is None or part is Ellipsis else 1))
    used = sum(n for _, _, n in consumed)
    if used > len(shape):
        if not shape:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert "
                             "a 0-dim tensor to a number")
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    dim = 0
    for part, array, width in consumed:
        if part is Ellipsis:
            dim += len(shape) - used
            continue
        if isinstance(part, int):
            if not -shape[dim] <= part < shape[dim]:
                raise IndexError(f"index {part} is out of bounds for dimension {dim} with size {shape[dim]}")
        elif array is not None and array.dtype.kind == "b":
            if array.shape != shape[dim:dim + width]:
                raise IndexError(f"The shape of the mask {list(array.shape)} at index 0 does not match the shape of the indexed tensor "
                                 f"{list(shape)} at index {dim}")
        elif array is not None and array.size and not within(array, -shape[dim], shape[dim]):
            low, high = array.min(), array.max()
            raise IndexError(f"index {high if high >= shape[dim] else low} is out of bounds for dimension {dim} with size {shape[dim]}")
        dim += width


def _in_two_steps(ndim: int, key: tuple[Any, ...], indices: Sequence[Any]) -> tuple[tuple[Any, ...] | None, tuple[Any, ...]]:
    """A key with index tensors as a basic key (None if it changes nothing) and a key of index tensors and whole dimensions.

    Integers, slices and None come first, as in torch; NumPy would take an integer beside an index tensor for an index tensor too.
    """
    arrays = [i._array if isinstance(i, TensorBase) else i for i in indices]
    widths = [array.ndim if array.dtype.kind == "b" else 1 for array in arrays]
    rest = iter(widths)
    basic: list[Any] = []
    places: list[Any] = []
    changes = False
    used = sum(widths) + sum(1 for part in key if part is not _SLOT and part is not None and part is not Ellipsis)
    for part in key:
        if part is _SLOT:
            basic += [slice(None)] * next(rest)
            places.append(part)
        elif part is Ellipsis:
            basic += [slice(None)] * (ndim - used)
            places += [slice(None)] * (ndim - used)
        else:
            basic.append(part)
            changes = changes or part != slice(None)
            if not isinstance(part, int):
                places.append(slice(None))
    return tuple(basic) if changes else None, tuple(places)


def getitem(self: Any, key: Any) -> Any:
    """`x[key]`: a view for integers, slices, None and ...; a copy for index tensors, lists and masks.

    Derivative: g written (views) or added (index tensors) into zeros of x's shape.
    Raises:
        IndexError: for an index out of range, too many indices, a mask of another shape, or what is no index.
    """
    if type(key) is int:
        shape = self._array.shape
        if shape and -shape[0] <= key < shape[0]:
            return apply(basic_op, (self,), {"key": (key,)})
    found, indices = _parse(self, key)
    if not indices:
        return apply(basic_op, (self,), {"key": found})
    first, found = _in_two_steps(self._array.ndim, found, indices)
    part = self if first is None else apply(basic_op, (self,), {"key": first})
    try:
        return apply(index_op, (part, *indices), {"key": found})
    except IndexError as error:
        raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes "
                         f"{', '.join(str(list(shape_of(i))) for i in indices)}: {error}") from None


def setitem(self: Any, key: Any, value: Any) -> None:
    """`x[key] = value`, with broadcasting. Derivative: g's written part goes to the value, the rest to x.

    Raises:
        IndexError: as for `x[key]`.
        RuntimeError: if the value does not broadcast, or a leaf that requires a gradient would be written.
    """
    found, indices = _parse(self, key)
    if isinstance(value, (ndarray, np.generic)):
        value = self.new_tensor(value, dtype=None)
    elif not isinstance(value, TensorBase) and not isinstance(value, (int, float, complex)):
        raise TypeError(f"can't assign a {type(value).__name__} to a torch.{self.type().removeprefix('torch.')}")
    if not indices:
        part = apply(basic_op, (self,), {"key": found})
        if isinstance(value, TensorBase):
            copy_(part, _without_leading_ones(value, part._array.ndim))
        else:
            fill_(part, value)
        return
    if isinstance(value, TensorBase):
        value = _without_leading_ones(value, 0)
    first, found = _in_two_steps(self._array.ndim, found, indices)
    if first is not None:
        self = apply(basic_op, (self,), {"key": first})
    if state.mode is None and not check_inplace(self, (value,)):
        arrays = [i._array if isinstance(i, TensorBase) else i for i in indices]
        source = value._array if isinstance(value, TensorBase) else np.asarray(value)
        try:
            self._array[_filled(found, arrays)] = cast(source, self._array.dtype)
        except (ValueError, IndexError, TypeError) as error:
            raise _unfit(value, error) from None
        bump(self)
        return
    _put(apply_inplace, self, found, indices, value, False)


def _put(run: Any, x: Any, key: tuple[Any, ...], indices: Sequence[Any], values: Any, accumulate: bool) -> Any:
    try:
        return run(index_put_op, (x, values, *indices), {"key": key, "accumulate": accumulate})
    except (ValueError, IndexError, TypeError) as error:
        raise _unfit(values, error) from None


def _unfit(value: Any, error: Exception) -> Exception:
    """torch's error for values that do not broadcast to what is indexed, in place of NumPy's."""
    return (IndexError if isinstance(error, IndexError) else RuntimeError)(
        f"shape mismatch: value tensor of shape {list(shape_of(value))} cannot be broadcast to indexing result: {error}")


def _without_leading_ones(value: Any, ndim: int) -> Any:
    while value._array.ndim > ndim and value._array.shape[0] == 1:
        value = value.squeeze(0)
    return value


def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:  # noqa: A002
    """A copy with `values` written, or added, at the places that a tuple of index tensors names. Derivative: g elsewhere; g there.

    Raises:
        IndexError: for an index out of range.
        RuntimeError: if values do not broadcast to what is indexed, or have another dtype.
    """
    return _put(apply, input, *_parse(input, _checked(input, indices, values)), values, accumulate)


def index_put_(self: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """In-place `index_put`."""
    return _put(apply_inplace, self, *_parse(self, _checked(self, indices, values)), values, accumulate)


def _checked(x: Any, indices: Sequence[Any], values: Any) -> tuple[Any, ...]:
    if not isinstance(indices, (tuple, list)):
        raise errors.type_error("index_put", "indices", 1, "tuple of Tensors", indices)
    require_tensor("index_put", values, "values", 2)
    if values._array.dtype != x._array.dtype:
        raise RuntimeError("Index put requires the source and destination dtypes match, "
                           f"got {dtypes.legacy_name(x.dtype)} for the destination and {dtypes.legacy_name(values.dtype)} for the source.")
    for n, index in enumerate(indices):
        if not isinstance(index, TensorBase):
            raise TypeError(f"expected Tensor as element {n} in argument 0, but got {type(index).__name__}")
    return tuple(indices)
