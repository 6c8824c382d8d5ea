"""Pooling over windows of one or two dimensions: csrc/kernels/pool.cpp, and sums.cpp where one window is the whole
image, or where few of them lie side by side.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty, known

__mytorch__ = True

_PLACE = np.dtype(np.uint8)
_FEW = 16  # windows in a row: from here on a vector of windows pays
_LONG = 1024  # numbers in a row that blocks have

Ints = tuple[int, ...]


def _answers(x: Array, image: int, kernel_size: Ints) -> bool:
    """Whether the extension has this pooling of that many elements. Any number pays: NumPy makes a dozen passes."""
    return (x.dtype is FLOAT32 or x.dtype is FLOAT64) and len(kernel_size) < 3 and K.worth(image, 1)


def _sizes(kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """Eight integers: of the rows and of the columns."""
    if len(kernel_size) == 2:
        return (*kernel_size, *stride, *padding, *dilation)
    return (1, *kernel_size, 1, *stride, 0, *padding, 1, *dilation)


def max_pool(x: Array, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Any:
    """The largest value of each window of x (N, C, *size); NaN wins."""
    if not _answers(x, x.size, kernel_size):
        return NotImplemented
    return K.max_pool(dense(x), empty(x.shape[:2] + out, x.dtype), None, *_sizes(kernel_size, stride, padding, dilation))


def max_pool_with_places(x: Array, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Any:
    """The largest value of each window and its place inside the window, in windows of at most 256 elements."""
    if not _answers(x, x.size, kernel_size) or math.prod(kernel_size) > 256:
        return NotImplemented
    shape = x.shape[:2] + out
    y, places = empty(shape, x.dtype), empty(shape, _PLACE)
    done = K.max_pool(dense(x), y, places, *_sizes(kernel_size, stride, padding, dilation))
    return done if done is NotImplemented else (y, places)


def max_pool_grad(g: Array, places: Array, *, size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Any:
    """The gradient of x (N, C, *size): each g goes to the place its maximum came from."""
    dx = empty(g.shape[:2] + size, g.dtype)
    if not _answers(g, dx.size, kernel_size) or places.dtype != _PLACE:
        return NotImplemented
    return K.max_pool_grad(dense(g), dense(places), dx, *_sizes(kernel_size, stride, padding, dilation))


def avg_pool(x: Array, *, kernel_size: Ints, stride: Ints, padding: Ints, out: Ints, include_pad: bool, override: int | None) -> Any:
    """The mean of each window of x (N, C, *size), in whose padding there are zeros."""
    if _is_image(kernel_size, x.shape[2:], padding, out, override):
        return adaptive_avg(x, out=out)
    if not _answers(x, x.size, kernel_size):
        return NotImplemented
    y = empty(x.shape[:2] + out, x.dtype)
    if override is None and y.size and _blocks(x.shape[2:], kernel_size, stride, padding, out):
        return K.block_means(dense(x), y, y.size // out[-1], math.prod(kernel_size[:-1]), out[-1], kernel_size[-1])
    return K.avg_pool(dense(x), y, *_sizes(kernel_size, stride, padding, (1,) * len(out)), include_pad, override or 0)


def avg_pool_grad(g: Array, *, size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, include_pad: bool, override: int | None) -> Any:
    """The gradient of x (N, C, *size): each g is spread evenly over its window."""
    dx = empty(g.shape[:2] + size, g.dtype)
    if _is_image(kernel_size, size, padding, g.shape[2:], override):
        return K.repeat(dense(g), dx, math.prod(size)) if _spreads(g, dx.size, kernel_size) else NotImplemented
    if not _answers(g, dx.size, kernel_size):
        return NotImplemented
    if override is None and g.size and _blocks(size, kernel_size, stride, padding, g.shape[2:]):
        return K.block_spread(dense(g), dx, g.size // g.shape[-1], math.prod(kernel_size[:-1]), g.shape[-1], kernel_size[-1])
    return K.avg_pool_grad(dense(g), dx, *_sizes(kernel_size, stride, padding, (1,) * len(size)), include_pad, override or 0)


def _blocks(size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, out: Ints) -> bool:
    """Whether windows lie side by side, cover all, and are fewer in a row than a vector has numbers."""
    return (stride == kernel_size and 0 < out[-1] < _FEW and size[-1] <= _LONG and not any(padding)
            and all(n == k * o for n, k, o in zip(size, kernel_size, out)))


def _spreads(x: Array, image: int, kernel_size: Ints) -> bool:
    """The same for a window that is the whole image: of bfloat16 as well."""
    return known(x.dtype) and len(kernel_size) < 3 and K.worth(image, 1)


def _is_image(kernel_size: Ints, size: Ints, padding: Ints, out: Ints, override: int | None) -> bool:
    """Whether the only window is the whole image."""
    return kernel_size == size and override is None and not any(padding) and math.prod(out) == 1


def adaptive_avg(x: Array, *, out: Ints) -> Any:
    """Means of windows that cover x evenly: of the whole image, or of windows of one size."""
    size = x.shape[2:]
    if not x.size or not _spreads(x, x.size, ()):
        return NotImplemented
    if math.prod(out) == 1:
        length = math.prod(size)
        return K.sum(dense(x), empty(x.shape[:2] + out, x.dtype), 1, x.shape[0] * x.shape[1], length, 1, length)
    windows = _even(size, out)
    if windows is None or len(size) == 3:
        return NotImplemented
    return avg_pool(x, kernel_size=windows, stride=windows, padding=(0,) * len(out), out=out, include_pad=True, override=None)


def adaptive_avg_grad(g: Array, *, size: Ints) -> Any:
    """The gradient of x (N, C, *size)."""
    windows = _even(size, g.shape[2:])
    if windows is None or len(size) == 3:
        return NotImplemented
    return avg_pool_grad(g, size=size, kernel_size=windows, stride=windows, padding=(0,) * len(size), include_pad=True, override=None)


def _even(size: Ints, out: Ints) -> Ints | None:
    """The size of the windows, if all have one."""
    if 0 in out or any(n % o for n, o in zip(size, out)):
        return None
    return tuple(n // o for n, o in zip(size, out))


overrides = {"max_pool": max_pool, "max_pool_with_places": max_pool_with_places, "max_pool_grad": max_pool_grad, "avg_pool": avg_pool,
             "avg_pool_grad": avg_pool_grad, "adaptive_avg": adaptive_avg, "adaptive_avg_grad": adaptive_avg_grad}
