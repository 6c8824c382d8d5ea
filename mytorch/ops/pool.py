"""Pooling over windows of given sizes: the largest value of each, or the mean, in 1, 2 and 3 dimensions.

Every kernel loops over the positions inside a window, not over the windows: each step is one pass over all windows at once.
The mean and the largest value are separable, so that a k x k window costs k + k passes; only when the place of the largest
is wanted, for a gradient or for `return_indices`, are all k * k positions compared.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.autograd_engine import requires_grad, state
from mytorch.backends import kernel
from mytorch.ops.autocast import full_precision, get_casting, in_float32
from mytorch.ops.common import Op, apply, narrowed, require_tensor, widened
from mytorch.ops.shape import squeeze, unsqueeze

__mytorch__ = True

Ints = tuple[int, ...]


# ---- windows ------------------------------------------------------------------------------------------------------------------


def _canvas(x: Any, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints, fill: Any) -> Any:
    """x (N, C, *size) with room for every window, or x itself if no window reaches beyond it."""
    need = [max(n + 2 * p, (o - 1) * s + d * (k - 1) + 1)
            for n, k, s, p, d, o in zip(x.shape[2:], kernel_size, stride, padding, dilation, out)]
    if not any(padding) and tuple(need) == x.shape[2:]:
        return np.ascontiguousarray(x)  # a result takes the layout of its operand, and pooled images are contiguous
    canvas = np.full((*x.shape[:2], *need), fill, x.dtype)
    canvas[_inside(x.shape[2:], padding)] = x
    return canvas


def _inside(size: Ints, padding: Ints) -> tuple[slice, ...]:
    return (slice(None), slice(None), *[slice(p, p + n) for n, p in zip(size, padding)])


def _at(offset: Sequence[int], stride: Ints, dilation: Ints, out: Ints) -> tuple[slice, ...]:
    """Where all windows have their element at this offset of the window."""
    spatial = [slice(d * i, d * i + s * (o - 1) + 1, s) for i, s, d, o in zip(offset, stride, dilation, out)]
    return (slice(None), slice(None), *spatial)


def _along(axis: int, i: int, stride: Ints, dilation: Ints, out: Ints) -> tuple[slice, ...]:
    """The same along one spatial dimension alone."""
    start = dilation[axis] * i
    return (slice(None),) * (2 + axis) + (slice(start, start + stride[axis] * (out[axis] - 1) + 1, stride[axis]),)


# ---- the largest of each window -----------------------------------------------------------------------------------------------


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


@kernel
def max_pool(x: Any, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Any:
    """The largest value of each window of x (N, C, *size); NaN wins."""
    y = _canvas(widened(x), kernel_size, stride, padding, dilation, out, _lowest(widened(x).dtype))
    for axis in reversed(range(len(out))):
        parts = [y[_along(axis, i, stride, dilation, out)] for i in range(kernel_size[axis])]
        y = parts[0].copy() if len(parts) == 1 else np.maximum(parts[0], parts[1])
        for part in parts[2:]:
            np.maximum(y, part, out=y)
    return narrowed(y, x.dtype)


@kernel
def max_pool_with_places(x: Any, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Any:
    """The largest value of each window and its place inside the window, counted in scan order (the first of equal ones)."""
    wide = widened(x)
    canvas = _canvas(wide, kernel_size, stride, padding, dilation, out, _lowest(wide.dtype))
    parts = [canvas[_at(offset, stride, dilation, out)] for offset in np.ndindex(*kernel_size)]
    y, places = _scan(parts, False)
    if y.dtype.kind == "f" and np.isnan(y).any():
        y, places = _scan(parts, True)
    lowest = y == _lowest(wide.dtype)
    if lowest.any():  # padding must not be named as the place of a maximum that is no larger: take the first real element
        inside = _canvas(np.ones((1, 1, *x.shape[2:]), np.bool_), kernel_size, stride, padding, dilation, out, False)
        for i, offset in reversed(list(enumerate(np.ndindex(*kernel_size)))):
            np.copyto(places, i, where=lowest & inside[_at(offset, stride, dilation, out)])
    return narrowed(y, x.dtype), places


def _scan(parts: list[Any], nan_counts: bool) -> tuple[Any, Any]:
    y = parts[0].copy()
    small = np.uint8 if len(parts) <= 256 else np.int32
    places = np.zeros(y.shape, small)
    for i, part in enumerate(parts[1:], 1):
        larger = part > y
        if nan_counts:  # the last NaN of a window is its maximum
            larger |= part != part
        np.maximum(places, larger.view(np.uint8) * small(i), out=places)
        np.maximum(y, part, out=y)
    return y, places


@kernel
def max_pool_grad(g: Any, places: Any, *, size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Any:
    """The gradient of x (N, C, *size): each g goes to the place its maximum came from."""
    wide, out = widened(g), g.shape[2:]
    finite = bool(np.isfinite(wide).all())
    canvas = _canvas(np.zeros((*g.shape[:2], *size), wide.dtype), kernel_size, stride, padding, dilation, out, 0)
    for i, offset in enumerate(np.ndindex(*kernel_size)):
        chosen = places == i
        share = wide * chosen if finite else np.where(chosen, wide, 0)  # inf * 0 is not 0
        canvas[_at(offset, stride, dilation, out)] += share.astype(wide.dtype, copy=False)
    dx = canvas[_inside(size, padding)]
    return narrowed(dx, g.dtype)


def _max_pool_take(x: Any, places: Any, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Any:
    """The values of x at places found before: what `max_pool` is once its choice is made."""
    out = places.shape[2:]
    canvas = _canvas(x, kernel_size, stride, padding, dilation, out, np.zeros((), x.dtype))
    y = np.zeros(places.shape, x.dtype)
    for i, offset in enumerate(np.ndindex(*kernel_size)):
        np.copyto(y, canvas[_at(offset, stride, dilation, out)], where=places == i)
    return y


def _flat_indices(places: Any, *, size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Any:
    """Places inside windows as int64 positions in the flattened spatial dimensions."""
    flat = np.zeros(places.shape, np.int64)
    for axis, offset in enumerate(np.unravel_index(places, kernel_size)):
        starts = np.arange(places.shape[2 + axis]) * stride[axis] - padding[axis]
        where = starts.reshape(-1, *[1] * (len(size) - 1 - axis)) + dilation[axis] * offset
        flat = flat * size[axis] + where
    return flat


_max_pool_op: Op = Op("max_pool", max_pool, None)
_max_pool_with_places_op: Op = Op(
    "max_pool_with_indices", max_pool_with_places,
    lambda g, places, x_shape, kernel_size, stride, padding, dilation: None if g[0] is None else max_pool_grad_op(
        g[0], places, size=x_shape[2:], kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation),
    outputs="y places")
max_pool_grad_op: Op = Op(
    "max_pool_backward", max_pool_grad,
    lambda h, places, kernel_size, stride, padding, dilation: max_pool_take_op(
        h, places, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation), None)
max_pool_take_op: Op = Op(
    "max_pool_take", _max_pool_take,
    lambda g, places, x_shape, kernel_size, stride, padding, dilation: max_pool_grad_op(
        g, places, size=x_shape[2:], kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation), None)
_flat_indices_op: Op = Op("max_pool_indices", _flat_indices, None)


# ---- the mean of each window --------------------------------------------------------------------------------------------------


def _divisor(size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, out: Ints, include_pad: bool,
             override: int | None) -> Any:
    """How many elements each window counts: a number, or an array over the windows."""
    if override is not None:
        return override
    counts: Any = np.ones((), np.int64)
    for n, k, s, p, o in zip(size, kernel_size, stride, padding, out):
        first = np.arange(o) * s - p
        last = np.minimum(first + k, n + p)  # a window that ceil_mode adds counts only as far as the padding goes
        inside = last - first if include_pad else np.minimum(last, n) - np.maximum(first, 0)
        counts = counts[..., None] * inside
    return counts.flat[0] if counts.min() == counts.max() else counts


def _divided(total: Any, divisor: Any) -> Any:
    if total.dtype.kind in "iu":
        return np.trunc(total / divisor).astype(total.dtype)
    return total / np.asarray(divisor, total.dtype)


@kernel
def avg_pool(x: Any, *, kernel_size: Ints, stride: Ints, padding: Ints, out: Ints, include_pad: bool,
             override: int | None) -> Any:
    """The mean of each window of x (N, C, *size), in whose padding there are zeros."""
    ones = (1,) * len(out)
    y = _canvas(widened(x), kernel_size, stride, padding, ones, out, 0)
    for axis in reversed(range(len(out))):
        parts = [y[_along(axis, i, stride, ones, out)] for i in range(kernel_size[axis])]
        y = parts[0].copy() if len(parts) == 1 else parts[0] + parts[1]
        for part in parts[2:]:
            y += part
    return narrowed(_divided(y, _divisor(x.shape[2:], kernel_size, stride, padding, out, include_pad, override)), x.dtype)


@kernel
def avg_pool_grad(g: Any, *, size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, include_pad: bool,
                  override: int | None) -> Any:
    """The gradient of x (N, C, *size): each g is spread evenly over its window."""
    wide, out, ones = widened(g), g.shape[2:], (1,) * len(size)
    share = _divided(wide, _divisor(size, kernel_size, stride, padding, out, include_pad, override))
    need = [max(n + 2 * p, (o - 1) * s + k) for n, k, s, p, o in zip(size, kernel_size, stride, padding, out)]
    for axis in range(len(size)):
        shape = (*share.shape[:2 + axis], need[axis], *share.shape[3 + axis:])
        canvas = np.zeros(shape, wide.dtype)
        for i in range(kernel_size[axis]):
            canvas[_along(axis, i, stride, ones, out)] += share
        share = canvas
    return narrowed(share[_inside(size, padding)], g.dtype)


avg_pool_op: Op = Op(
    "avg_pool", avg_pool,
    lambda g, x_shape, kernel_size, stride, padding, include_pad, override: avg_pool_grad_op(
        g, size=x_shape[2:], kernel_size=kernel_size, stride=stride, padding=padding, include_pad=include_pad, override=override))
avg_pool_grad_op: Op = Op(
    "avg_pool_backward", avg_pool_grad,
    lambda h, g_shape, kernel_size, stride, padding, include_pad, override: avg_pool_op(
        h, kernel_size=kernel_size, stride=stride, padding=padding, out=g_shape[2:], include_pad=include_pad, override=override))


# ---- the door -----------------------------------------------------------------------------------------------------------------

_WORDS = {1: "one int", 2: "two ints", 3: "three ints"}


def window_ints(function: str, name: str, value: Any, dims: int) -> Ints:
    """One int for all spatial dimensions, or one per dimension."""
    if type(value) is int:
        return (value,) * dims
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values):
        raise TypeError(f"{function}(): argument '{name}' must be int or tuple of {_WORDS[dims]}, not {value!r}")
    if len(values) == 1:
        values *= dims
    if len(values) != dims:
        raise RuntimeError(f"{function}: {name} must either be {'omitted, ' if name == 'stride' else ''}a single int, "
                           f"or a tuple of {_WORDS[dims]}, got {value!r}")
    return tuple(int(v) for v in values)


def batched(function: str, x: Any, dims: int) -> tuple[Any, bool]:
    """x as (N, C, *size), and whether N had to be added."""
    require_tensor(function, x)
    shape = x._array.shape
    if dims == 3 and len(shape) not in (4, 5):
        raise RuntimeError(f"{function}: non-empty 4D or 5D (batch mode) tensor expected for input, but got:{list(shape)}")
    if dims == 3 and 0 in shape[len(shape) - 4:]:
        raise RuntimeError(f"{function}(): Expected input's non-batch dimensions to have positive length, but input has a shape of "
                           f"{list(shape)} and non-batch dimension {shape[len(shape) - 4:].index(0)} has length zero!")
    if len(shape) not in (dims + 1, dims + 2) or 0 in shape[len(shape) - dims - 1:]:
        raise RuntimeError(f"{function}: Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with optional 0 dim batch size "
                           f"for input, but got:{list(shape)}")
    if x._array.dtype.kind in "bc":
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.legacy_name(x.dtype)}'")
    return (unsqueeze(x, 0), True) if len(shape) == dims + 1 else (x, False)


def _window(function: str, dims: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, Ints]:
    """Checked window sizes, as torch words it, which has words of its own for one dimension."""
    kernel_size = window_ints(function, "kernel_size", kernel_size, dims)
    stride = kernel_size if stride is None or stride == [] or stride == () else window_ints(function, "stride", stride, dims)
    padding, dilation = window_ints(function, "padding", padding, dims), window_ints(function, "dilation", dilation, dims)
    _check_window(function, kernel_size, stride, padding, dilation)
    return {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}


@functools.lru_cache(256)
def _check_window(function: str, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> None:
    """What is asked of windows alone: once for each layer."""
    if function == "max_pool1d":
        for name, values in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
            if min(values) < 1:
                raise RuntimeError(f"max_pool1d() {name} must be greater than zero, but got {values[0]}")
        if padding[0] < 0:
            raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {padding[0]}")
        if padding[0] > kernel_size[0] // 2:
            raise RuntimeError("max_pool1d() padding should be at most half of kernel size, but got "
                               f"padding={padding[0]} and kernel_size={kernel_size[0]}")
    if 0 in stride:
        raise RuntimeError(f"stride should not be zero: got stride {list(stride)}, kernel_size {list(kernel_size)}")
    for name, values in (("kernel size", kernel_size), ("stride", stride), ("dilation", dilation)):
        if min(values) < 1:
            raise RuntimeError(f"{name} should be greater than zero, but got {list(values)}")
    for k, p, d in zip(kernel_size, padding, dilation):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError("pad should be at most half of effective kernel size, but got "
                               f"pad={p}, kernel_size={k} and dilation={d}")


def _geometry(function: str, x: Any, window: dict[str, Ints], ceil_mode: bool) -> dict[str, Ints]:
    """The window, and the number of windows along each dimension."""
    return {**window, "out": _counts(function, x._array.shape, *window.values(), ceil_mode)}


@functools.lru_cache(256)
def _counts(function: str, shape: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> Ints:
    """How many windows there are along each dimension: computed once for each layer and size."""
    _, channels, *size = shape
    out = []
    for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation):
        count = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        # a window must begin inside the input, or in the padding before it
        out.append(count - 1 if ceil_mode and (count - 1) * s >= n + p else count)
    if min(out) < 1:
        if function == "max_pool1d":
            raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]}")
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, (channels, *size)))}). Calculated output size: "
                           f"({'x'.join(map(str, (channels, *[max(o, 0) for o in out])))}). Output size is too small")
    return tuple(out)


def _max_pool(function: str, dims: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
              return_indices: bool) -> Any:
    require_tensor(function, x)
    errors.require_bool(f"{function}_with_indices" if return_indices else function, "ceil_mode", 6, ceil_mode)
    window = _window(f"{function}_with_indices" if return_indices else function, dims, kernel_size, stride, padding, dilation)
    x, added = batched(function, x, dims)
    geometry = _geometry(function, x, window, ceil_mode)
    if not return_indices and state.mode is None and not (state.grad_enabled and requires_grad(x)):
        y = apply(_max_pool_op, (x,), geometry)
        return squeeze(y, 0) if added else y
    y, places = apply(_max_pool_with_places_op, (x,), geometry)
    if added:
        y = squeeze(y, 0)
    if not return_indices:
        return y
    del geometry["out"]
    indices = apply(_flat_indices_op, (places,), {"size": x._array.shape[2:], **geometry})
    return y, squeeze(indices, 0) if added else indices


def max_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,  # noqa: A002
               return_indices: bool = False) -> Any:
    """The largest value of each window of one dimension; see `max_pool2d`. Shape: (N, C, L) or (C, L)."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,  # noqa: A002
               return_indices: bool = False) -> Any:
    """The largest value of each window of two dimensions. NaN counts as largest; padding never does.

    Args:
        stride: distance of windows; kernel_size if not given.
        dilation: distance of the elements inside a window.
        ceil_mode: add a last window that reaches beyond the input, if it begins inside.
        return_indices: return (y, where each maximum lies in the flattened input plane) as well.
    Shape:
        x (N, C, H, W) or (C, H, W) -> H' = floor((H + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1. Any real dtype, kept.
    Raises:
        RuntimeError: for sizes that do not fit. NotImplementedError: for bool and complex.
    Derivative: g to the first largest value of each window.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,  # noqa: A002
               return_indices: bool = False) -> Any:
    """The largest value of each window of three dimensions; see `max_pool2d`. Shape: (N, C, D, H, W) or (C, D, H, W)."""
    if get_casting() is not None and not return_indices:  # as in torch, only the function without indices
        input, = in_float32(input)  # noqa: A001
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,  # noqa: A002
                            ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """`max_pool1d` that always returns (y, indices)."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,  # noqa: A002
                            ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """`max_pool2d` that always returns (y, indices)."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,  # noqa: A002
                            ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """`max_pool3d` that always returns (y, indices)."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _avg_pool(function: str, dims: int, x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, include_pad: bool,
              override: int | None) -> Any:
    require_tensor(function, x)
    errors.require_bool(function, "ceil_mode", 5, ceil_mode)
    errors.require_bool(function, "count_include_pad", 6, include_pad)
    if override is not None:
        errors.require_int(function, "divisor_override", 7, override)
    window = _window(function, dims, kernel_size, stride, padding, 1)
    if dims == 2 and x._array.ndim < 3:
        raise errors.dim_error(-3, x._array.ndim)
    x, added = batched(function, x, dims)
    if dims == 3 and any(n < k for n, k in zip(x._array.shape[2:], window["kernel_size"])):
        raise RuntimeError(f"{function}: input image {list(x._array.shape[2:])} smaller than kernel size {list(window['kernel_size'])}")
    geometry: dict[str, Any] = _geometry(function, x, window, ceil_mode)
    if override == 0:
        raise RuntimeError("divisor must be not zero")
    del geometry["dilation"]
    y = apply(avg_pool_op, (x,), {**geometry, "include_pad": include_pad, "override": override})
    return squeeze(y, 0) if added else y


def avg_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,  # noqa: A002
               count_include_pad: bool = True) -> Any:
    """The mean of each window of one dimension; see `avg_pool2d`. Shape: (N, C, L) or (C, L)."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,  # noqa: A002
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean of each window of two dimensions.

    Args:
        count_include_pad: divide by the window's size, zeros of the padding included; False: by the number of input elements.
        divisor_override: divide by this instead.
    Shape: x (N, C, H, W) or (C, H, W) -> as `max_pool2d`.
    Raises:
        RuntimeError: for sizes that do not fit, or a divisor of zero.
    Derivative: g / divisor to every element of the window.
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@full_precision
def avg_pool3d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,  # noqa: A002
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean of each window of three dimensions; see `avg_pool2d`. Shape: (N, C, D, H, W) or (C, D, H, W)."""
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices",
           "max_pool3d", "max_pool3d_with_indices"]
