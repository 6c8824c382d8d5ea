"""From flat places to coordinates, coordinates of a fixed number of nonzeros, indexing under a mask, and a hash of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes, engine_state
from mytorch.grad_mode import by_example
from mytorch.ops.common import Op, TensorBase, apply, cast, put_out, require_tensor, wrap_dims
from mytorch.ops.index import masked_fill
from mytorch.ops.indexing import index_put
from mytorch.ops.sorting import nonzero

__mytorch__ = True


@by_example
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The coordinates, in a tensor of a shape, of places counted in row-major order: one tensor per dimension.

    c_d = (i // (n_(d+1) ... n_D)) mod n_d

    Args:
        shape: an int or a sequence of ints.
    Raises:
        TypeError: for indices or sizes that are not integers.
        ValueError: for a negative size.
    """
    require_tensor("unravel_index", indices, "indices", 1)
    if indices._array.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if isinstance(shape, TensorBase) or not isinstance(shape, (int, np.integer, Sequence)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    for size in sizes:
        if not isinstance(size, (int, np.integer)):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(size)}")
    if any(size < 0 for size in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    places = cast(indices._array, np.dtype(np.int64))
    if 0 in sizes and places.size:
        raise RuntimeError(f"ZeroDivisionError: a tensor of shape {list(sizes)} has no places")
    found = []
    for d, size in enumerate(sizes):
        inner = math.prod(sizes[d + 1:])
        found.append(engine_state.wrap(np.asarray(places // max(inner, 1) % max(size, 1))))
    return tuple(found)


@by_example
def nonzero_static(input: Any, *, size: int, fill_value: int = -1, out: Any = None) -> Any:  # noqa: A002
    """The indices of the first `size` nonzero elements; where there are fewer, rows of `fill_value`. Shape: (*) -> (size, dims).

    Raises:
        RuntimeError: for a negative size.
    """
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    found = nonzero(input)._array[:size]
    y = np.full((size, found.shape[1]), fill_value, np.int64)
    y[:len(found)] = found
    y = engine_state.wrap(y)
    return y if out is None else put_out(y, out)


def _inside(x: Any, indices: Sequence[Any]) -> tuple[Any, ...]:
    """The indices moved to the nearest place that there is."""
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"_unsafe_masked_index(): argument 'indices' must be tuple of Tensors, not {type(indices).__name__}")
    for i, index in enumerate(indices):
        if not isinstance(index, TensorBase):
            raise TypeError(f"expected Tensor as element {i} in argument 2, but got {type(index).__name__}")
    return tuple(index.clamp(-size, size - 1) for index, size in zip(indices, x._array.shape, strict=False))


def _unsafe_masked_index(input: Any, mask: Any, indices: Sequence[Any], fill: float) -> Any:  # noqa: A002
    """x[indices] where the mask is True, `fill` elsewhere; indices out of range are moved inside. Derivative: g where it is True."""
    return masked_fill(input[_inside(input, indices)], ~mask, fill)


def _unsafe_masked_index_put_accumulate(input: Any, mask: Any, indices: Sequence[Any], values: Any) -> Any:  # noqa: A002
    """A copy of x with `values` added at the indices where the mask is True. Derivative: g; g at the indices where it is True."""
    return index_put(input, _inside(input, indices), masked_fill(values, ~mask, 0), accumulate=True)


def _xor_sum(x: Any, *, dims: tuple[int, ...], keepdim: bool) -> Any:
    wide = cast(x, np.dtype(np.int64 if x.dtype.kind in "biu" else np.float64))
    bits: Any = np.ascontiguousarray(wide).view(np.uint64).reshape(x.shape)
    fold: Any = np.bitwise_xor.reduce
    return np.asarray(fold(bits, axis=dims, keepdims=keepdim))


_hash_op = Op("hash_tensor", _xor_sum, None)


def hash_tensor(input: Any, dim: Any = (), *, keepdim: bool = False, mode: int = 0, out: Any = None) -> Any:  # noqa: A002
    """The exclusive or of the 64 bits of each element (floats as float64, integers as int64): equal values, equal hash, in any order.

    Args:
        dim: which dimensions; all by default.
        mode: 0, the only one.
    Shape: as `sum`. dtype: uint64.
    Raises:
        RuntimeError: for another mode, or all dimensions of an empty tensor; NotImplementedError for complex numbers.
    """
    require_tensor("hash_tensor", input)
    x = input._array
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    if x.dtype.kind == "c":
        raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{dtypes.legacy_name(input.dtype)}'")
    if not x.size and dim == ():
        raise RuntimeError("hash_tensor: Expected reduction dim to be specified for input.numel() == 0. "
                           "Specify the reduction dim with the 'dim' argument.")
    y = apply(_hash_op, (input.detach(),), {"dims": wrap_dims(dim, x.ndim), "keepdim": keepdim})
    return y if out is None else put_out(y, out)
