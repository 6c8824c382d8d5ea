"""Fractional max-pooling: windows of one size at random distances, so that the output's size may be any fraction of the input's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.grad_mode import by_example
from mytorch.ops.adaptive_pool import flat_spatial, paste_op, pick
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import Op, apply, require_tensor, widened
from mytorch.ops.pool import window_ints
from mytorch.ops.random import rand
from mytorch.ops.shape import squeeze, unsqueeze

__mytorch__ = True

Ints = tuple[int, ...]


def _starts(samples: Any, size: int, kernel: int, out: int) -> Any:
    """Where the windows of each plane begin (*, out): steps of alpha = (size - kernel) / (out - 1), shifted by the plane's sample."""
    starts = np.empty((*samples.shape, out), np.int64)
    if out > 1:
        alpha = samples.dtype.type((size - kernel) / (out - 1))
        steps = np.arange(out - 1, dtype=samples.dtype)
        starts[..., :-1] = ((steps + samples[..., None]) * alpha).astype(np.int64) - (samples * alpha).astype(np.int64)[..., None]
    starts[..., -1:] = size - kernel
    return starts


def _fractional_max(x: Any, samples: Any, *, kernel_size: Ints, out: Ints) -> Any:
    """The largest value of each window and its position in the flattened spatial dimensions; NaN is largest."""
    sizes, dims = x.shape[2:], len(out)
    first = np.zeros((1,) * (2 + dims), np.int64)  # position of each window's first element
    order = range(dims) if dims == 3 else reversed(range(dims))  # of images, the first sample is the width's
    starts = {d: _starts(widened(samples[:x.shape[0], :, i]), sizes[d], kernel_size[d], out[d]) for i, d in enumerate(order)}
    for d in range(dims):
        shape = (*x.shape[:2], *[out[d] if e == d else 1 for e in range(dims)])
        first = first + starts[d].reshape(shape) * math.prod(sizes[d + 1:])
    flat, first = flat_spatial(widened(x)), flat_spatial(np.broadcast_to(first, (*x.shape[:2], *out)))
    best, places = np.full(first.shape, -np.inf, flat.dtype), first.copy()
    for offset in np.ndindex(*kernel_size):
        here = first + sum(i * math.prod(sizes[d + 1:]) for d, i in enumerate(offset))
        values = np.take_along_axis(flat, here, 2)
        better = (values > best) | np.isnan(values)
        np.copyto(best, values, where=better)
        np.copyto(places, here, where=better)
    places = places.reshape(*x.shape[:2], *out)
    return pick(x, places), places


_fractional_max_op: Op = Op(
    "fractional_max_pool", _fractional_max,
    lambda g, places, x_shape: None if g[0] is None else paste_op(g[0], places, size=x_shape[2:]), None, outputs="y places")


def _output_size(function: str, dims: int, x: Any, output_size: Any, output_ratio: Any) -> Ints:
    if output_size is None and output_ratio is None:
        raise ValueError(f"{function} requires specifying either an output_size or an output_ratio")
    if output_size is not None:
        values = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
        if len(values) != dims:
            raise RuntimeError(f"{function}: output_size must either be a single Int or tuple of Ints, got {output_size}")
        for v in values:
            errors.require_int(function, "output_size", 3, v)
        if min(values) < 0:
            raise RuntimeError(f"{function}: Trying to create tensor with negative dimension {min(values)}: output_size {list(values)}")
        return tuple(int(v) for v in values)
    if x._array.ndim < dims:
        raise errors.dim_error(-dims, x._array.ndim)
    ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * dims
    return tuple(int(n * r) for n, r in zip(x._array.shape[-dims:], ratios, strict=True))


def _check_samples(samples: Any, x: Any, dims: int) -> None:
    shape = samples._array.shape
    if len(shape) != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {len(shape)}")
    if samples._array.dtype != x._array.dtype:
        raise RuntimeError(f"Expect _random_samples to have the same dtype as input, {x.dtype}; got {samples.dtype}")
    if shape[0] < x._array.shape[0]:
        raise RuntimeError(f"Expect _random_samples.size(0) no less then input batch size. Got {shape[0]} for {x._array.shape[0]}")
    if shape[1] != x._array.shape[1]:
        raise RuntimeError(f"Expect _random_samples.size(1) equals to input channel size. Got {shape[1]} for {x._array.shape[1]}")
    if shape[2] != dims:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {dims}; got {shape[2]}.")


@by_example
def _fractional_max_pool(dims: int, x: Any, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Any) -> tuple[Any, Any]:
    function = f"fractional_max_pool{dims}d"
    require_tensor(function, x)
    shape = x._array.shape
    out = _output_size(function, dims, x, output_size, output_ratio)
    if samples is None and len(shape) <= dims:
        raise errors.dim_error(-dims - 1, len(shape))
    kernel = window_ints(function, "kernel_size", kernel_size, dims)
    if min(kernel) < 1:
        raise RuntimeError(f"{function}: kernel_size must be positive, got {kernel_size}")
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(f"{function}(): Expected {dims + 1}D or {dims + 2}D tensor, but got: {list(shape)}")
    for d in range(len(shape) - dims - 1, len(shape)):
        if shape[d] == 0:
            raise RuntimeError(f"{function}(): Expected input to have non-zero size for non-batch dimensions, but got{list(shape)} with "
                               f"dimension {d} being empty.")
    if x._array.dtype.kind in "biuc":
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.legacy_name(x.dtype)}': convert with .float()")
    for name, n, k, o in zip(("time", "height", "width")[3 - dims:], shape[-dims:], kernel, out, strict=True):
        if o + k - 1 > n - (dims == 3):  # of volumes torch asks for one more
            raise RuntimeError(f"{function}(): pool {name} {k} too large relative to input {name} {n}: {o} windows are wanted")
    added = len(shape) == dims + 1
    if added:
        x = unsqueeze(x, 0)
    if samples is None:
        samples = rand(*x._array.shape[:2], dims, dtype=x.dtype)
    _check_samples(samples, x, dims)
    y, places = apply(_fractional_max_op, (x, samples.detach()), {"kernel_size": kernel, "out": out})
    return (squeeze(y, 0), squeeze(places, 0)) if added else (y, places)


@full_precision
def fractional_max_pool2d(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,  # noqa: A002
                          return_indices: bool = False, _random_samples: Any = None) -> Any:
    """The largest value of windows at random, growing positions: window i begins at floor((i + u) a) - floor(u a), the last at the end.

    Args:
        output_size: how many windows, an int or one per dimension; or output_ratio: that as a fraction of the input's size.
        return_indices: return (y, where each maximum lies in the flattened input plane) as well.
        _random_samples: u in [0, 1) per plane, (N, C, 2); drawn if not given. a = (size - kernel_size) / (windows - 1).
    Shape: x (N, C, H, W) or (C, H, W) -> (N, C, *output_size) or (C, *output_size). dtype: floating, kept.
    Raises:
        ValueError: if neither size nor ratio is given. RuntimeError: for sizes that do not fit.
    Derivative: g to the first largest value of each window.
    Source: Graham 2014, arXiv:1412.6071
    """
    y, places = fractional_max_pool2d_with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
    return (y, places) if return_indices else y


@full_precision
def fractional_max_pool2d_with_indices(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,  # noqa: A002
                                       return_indices: bool = False, _random_samples: Any = None) -> tuple[Any, Any]:
    """`fractional_max_pool2d` that always returns (y, indices)."""
    return _fractional_max_pool(2, input, kernel_size, output_size, output_ratio, _random_samples)


@full_precision
def fractional_max_pool3d(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,  # noqa: A002
                          return_indices: bool = False, _random_samples: Any = None) -> Any:
    """`fractional_max_pool2d` of volumes. Shape: x (N, C, T, H, W) or (C, T, H, W); _random_samples (N, C, 3)."""
    y, places = fractional_max_pool3d_with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
    return (y, places) if return_indices else y


@full_precision
def fractional_max_pool3d_with_indices(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,  # noqa: A002
                                       return_indices: bool = False, _random_samples: Any = None) -> tuple[Any, Any]:
    """`fractional_max_pool3d` that always returns (y, indices)."""
    return _fractional_max_pool(3, input, kernel_size, output_size, output_ratio, _random_samples)


__all__ = ["fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d", "fractional_max_pool3d_with_indices"]
