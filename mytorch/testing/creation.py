"""`make_tensor`: a tensor of random values for a test."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.ops import complex_parts, create

__mytorch__ = True

_INTEGERS = (dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64, dtypes.uint16, dtypes.uint32, dtypes.uint64)
_FLOATS = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)
_COMPLEX = {dtypes.complex64: dtypes.float32, dtypes.complex128: dtypes.float64}
_WITHOUT_SIGN = (dtypes.uint8, dtypes.uint16, dtypes.uint32, dtypes.uint64)


def make_tensor(*shape: Any, dtype: Any, device: Any, low: float | None = None, high: float | None = None, requires_grad: bool = False,
                noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None) -> Any:
    """A tensor of values drawn uniformly from [low, high), by the default generator: torch's values for torch's seed.

    Args:
        shape: sizes, or one sequence of them.
        low, high: default [0, 2) for bool, [0, 10) for unsigned integers, [-9, 10) for other integers, [-9, 9) for floating and
            complex dtypes; cut to what the dtype can hold, and rounded up for integers.
        noncontiguous: not contiguous, unless it has fewer than two elements.
        exclude_zero: the smallest positive number (1 for integers) in the place of zeros.
    Raises:
        ValueError: if low >= high, one is NaN, the dtype holds nothing in between, an integer shall require a gradient, or both
            noncontiguous and memory_format are given.
        TypeError: for another dtype.
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    if noncontiguous and memory_format is not None:
        raise ValueError("The parameters `noncontiguous` and `memory_format` are mutually exclusive, "
                         f"but got noncontiguous={noncontiguous} and memory_format={memory_format}")
    doubled = noncontiguous and math.prod(sizes) > 1
    if doubled:  # every second element of twice as many
        sizes = (*sizes[:-1], 2 * sizes[-1])
    whole = dtype is dtypes.bool_ or dtype in _INTEGERS
    if requires_grad and whole:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype}")
    if whole:
        result = _integers(sizes, dtype, device, low, high)
    elif dtype in _FLOATS or dtype in _COMPLEX:
        result = _reals(sizes, dtype, device, low, high)
    else:
        raise TypeError(f"The requested dtype '{dtype}' is not supported by torch.testing.make_tensor(). Use a bool, integer, floating or "
                        "complex dtype.")
    if doubled:
        result = result[..., 1::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero and whole:
        np.copyto(result._array, 1, where=result._array == 0, casting="unsafe")
    elif exclude_zero:
        result[result == 0] = dtypes.finfo(dtype).tiny
    return result.requires_grad_() if requires_grad else result


def _interval(low: Any, high: Any, default: tuple[float, float], lowest: float, highest: float, dtype: Any, whole: bool) -> tuple[Any, Any]:
    """The interval to draw from: checked, and cut to what the dtype holds."""
    low, high = [given if given is not None else usual for given, usual in zip((low, high), default, strict=True)]
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low == high and not whole:
        warnings.warn("Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated since 2.1 and will be "
                      "removed in 2.3. Use `torch.full(...)` instead.", FutureWarning, stacklevel=5)
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < lowest or low >= highest:
        raise ValueError(f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports [{lowest}, {highest})")
    low, high = max(low, lowest), min(high, highest)
    return (math.ceil(low), math.ceil(high)) if whole else (low, high)


def _integers(sizes: tuple[int, ...], dtype: Any, device: Any, low: Any, high: Any) -> Any:
    if dtype is dtypes.bool_:
        low, high = _interval(low, high, (0, 2), 0, 2, dtype, True)
    else:
        info = dtypes.iinfo(dtype)
        default = (0, 10) if dtype in _WITHOUT_SIGN else (-9, 10)
        # int64 itself has no number above its greatest
        low, high = _interval(low, high, default, info.min, info.max if dtype is dtypes.int64 else info.max + 1, dtype, True)
    return create.empty(sizes, dtype=dtype, device=device).random_(low, high)


def _reals(sizes: tuple[int, ...], dtype: Any, device: Any, low: Any, high: Any) -> Any:
    real = _COMPLEX.get(dtype, dtype)
    greatest = dtypes.finfo(real).max
    low, high = _interval(low, high, (-9, 9), -greatest, greatest, dtype, False)
    parts = create.empty(sizes if dtype is real else (*sizes, 2), dtype=real, device=device)
    if high - low >= greatest:  # wider than uniform_ can draw from
        parts.uniform_(low / 2, high / 2).mul_(2)
    else:
        parts.uniform_(low, high)
    return parts if dtype is real else complex_parts.view_as_complex(parts)


__all__ = ["make_tensor"]
