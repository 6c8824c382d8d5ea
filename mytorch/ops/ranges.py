"""Tensors of evenly spaced numbers: `arange`, `linspace`, `logspace`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.autograd_engine import TensorBase
from mytorch.dtypes import cast, get_default_dtype
from mytorch.ops.common import put_out
from mytorch.ops.create import allocated, as_dtype, finished, number_of

__mytorch__ = True


def arange(start: Any, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
           requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """start, start + step, ... up to but without `end`; int64 if all are ints, else the default float.

    Raises:
        RuntimeError: for a step of zero or of the wrong sign.
    """
    first, last = (0, number_of(start)) if end is None else (number_of(start), number_of(end))
    step = number_of(step)
    if not (math.isfinite(first) and math.isfinite(last)):
        raise RuntimeError(f"unsupported range: {first} -> {last}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (last - first) * step < 0:
        raise RuntimeError(f"upper bound and lower bound inconsistent with step sign: arange({first}, {last}, {step})")
    whole = all(isinstance(v, int) for v in (first, last, step))
    if dtype is None and out is not None:
        dtype = out.dtype
    d = as_dtype(dtype) if dtype is not None else dtypes.int64 if whole else get_default_dtype()
    integer = d.category <= dtypes.INTEGER and not whole
    if integer and d is dtypes.int64:  # integers from the start, as in torch: arange(0.5, 4.5, dtype=int64) is 0, 1, 2, 3
        whole, first, last, step = True, int(first), int(last), int(step)
    if integer and int(step) == 0:
        raise ValueError("step must be nonzero, but rounds to zero in an integer dtype")
    count = -(-(last - first) // step) if whole else math.ceil((last - first) / step)
    allocated("arange", np.empty, (count,), d)  # raises if there is no room; the memory is not touched
    if d.category <= dtypes.INTEGER:  # the narrower integers are counted before they are rounded
        array = np.arange(count, dtype=np.int64)
        if int(step) != 1:
            array *= int(step)
        if int(first):
            array += int(first)
    else:
        array = np.arange(count, dtype=np.float64) * step + first
    y = finished(array if array.dtype == d.np else cast(array, d.np), requires_grad, device)
    if out is not None and out._array.size not in (0, count):
        import warnings
        warnings.warn(f"The number of elements in the out tensor of shape {list(out._array.shape)} is {out._array.size} which does not match the "
                      f"computed number of elements {count}. Note that this may occur as a result of rounding error. The out tensor will be "
                      f"resized to a tensor of shape ({count},).", UserWarning, stacklevel=2)
    return y if out is None else put_out(y, out, warn=False)


def range_(start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
           requires_grad: bool = False) -> Any:
    """Like `arange`, but with `end` included (deprecated in torch too)."""
    count = math.floor((end - start) / step) + 1
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    y = finished(cast(np.arange(count) * step + start, d.np), requires_grad, device)
    return y if out is None else put_out(y, out, warn=False)


def _check_steps(name: str, start: Any, end: Any, steps: Any) -> None:
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool):
        raise errors.type_error(name, "steps", 3, "int", steps)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    allocated(name, np.empty, (int(steps),), dtypes.float64)  # raises if there is no room
    for which, x in (("start", start), ("end", end)):
        if isinstance(x, TensorBase) and x._array.ndim:
            raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors, but got {which} with {x._array.ndim} dimension(s).")


def _evenly_spaced(first: Any, last: Any, steps: int, d: dtypes.dtype) -> Any:
    """`steps` numbers from first to last, counted from whichever end is nearer, so that both ends are exact."""
    inner = d.np if d.np in (np.dtype("f4"), np.dtype("f8")) else np.dtype("c16" if d.is_complex else "f8")

    def rounded(x: Any) -> Any:
        """After each step, to 16 bits where the result has 16 bits, as torch does."""
        return cast(cast(np.asarray(x), d.np), inner) if d in (dtypes.float16, dtypes.bfloat16) else np.asarray(x, inner)

    a, b = rounded(first), rounded(last)
    if steps == 1:
        return a.reshape(1)
    gap = rounded(rounded(b - a) / rounded(max(steps - 1, 1)))
    near = (steps + 1) // 2
    y = np.empty(steps, inner)
    y[:near] = rounded(a + rounded(gap * rounded(np.arange(near))))
    y[near:] = rounded(b - rounded(gap * rounded(np.arange(steps - near - 1, -1, -1))))
    return y


def linspace(start: Any, end: Any, steps: int, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """`steps` evenly spaced numbers from start to end, both included.

    Raises:
        RuntimeError: for a negative number of steps.
    """
    _check_steps("linspace", start, end, steps)
    first, last = number_of(start), number_of(end)
    d = as_dtype(dtype) if dtype is not None else get_default_dtype().to_complex() if isinstance(first, complex) or isinstance(last, complex) \
        else get_default_dtype() if out is None else out.dtype
    if d.category == dtypes.INTEGER:
        first, last = int(first), int(last)
    array = _evenly_spaced(first, last, steps, d)
    y = finished(cast(np.trunc(array) if d.category == dtypes.INTEGER else array, d.np), requires_grad, device)
    return y if out is None else put_out(y, out, warn=False)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """base ** x for `steps` evenly spaced exponents."""
    _check_steps("logspace", start, end, steps)
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    first, last = number_of(start), number_of(end)
    if d.category == dtypes.INTEGER:
        first, last = int(first), int(last)
    if d in (dtypes.float16, dtypes.bfloat16) and steps > 1:  # the ends have 16 bits, as in torch, what lies between has more
        first, last = (float(cast(cast(np.asarray(v, np.float64), d.np), np.dtype(np.float64))) for v in (first, last))
    y = finished(cast(np.power(base, np.linspace(first, last, steps)), d.np), requires_grad, device)
    return y if out is None else put_out(y, out, warn=False)
