"""Pooling with windows that adapt to a wanted output size, the inverse of max-pooling, and pooling by p-norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import Op, apply, narrowed, require_tensor, widened
from mytorch.ops.elementwise import abs as absolute
from mytorch.ops.elementwise import mul, pow, relu, sign
from mytorch.ops.pool import avg_pool1d, avg_pool2d, avg_pool3d, batched, max_pool1d, max_pool2d, max_pool3d, window_ints
from mytorch.ops.shape import squeeze, unsqueeze

__mytorch__ = True

Ints = tuple[int, ...]


# ---- windows that adapt to a wanted output size -------------------------------------------------------------------------------


def _bins(size: int, out: int) -> list[tuple[int, int]]:
    """Where each of `out` windows begins and ends: they cover the input evenly and may overlap."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


@kernel
def adaptive_avg(x: Any, *, out: Ints) -> Any:
    """Means of windows that cover x (N, C, *size) evenly."""
    y = np.ascontiguousarray(widened(x))
    if all(o == 1 for o in out):  # one pass over all spatial dimensions
        return narrowed(flat_spatial(y).mean(axis=2).reshape(*y.shape[:2], *out), x.dtype)
    for axis, o in enumerate(out, 2):
        if y.shape[axis] == o:
            continue
        lead = (slice(None),) * axis
        parts = [y[(*lead, slice(a, b))].mean(axis=axis, keepdims=True) for a, b in _bins(y.shape[axis], o)]
        y = np.concatenate(parts, axis) if parts else y[(*lead, slice(0))]
    return narrowed(y.copy() if y is x else y, x.dtype)


@kernel
def adaptive_avg_grad(g: Any, *, size: Ints) -> Any:
    """The gradient of x (N, C, *size): each g is spread evenly over its window."""
    wide = widened(g)
    for axis, n in enumerate(size, 2):
        if wide.shape[axis] == n:
            continue
        lead = (slice(None),) * axis
        dx = np.zeros((*wide.shape[:axis], n, *wide.shape[axis + 1:]), wide.dtype)
        for i, (a, b) in enumerate(_bins(n, wide.shape[axis])):
            dx[(*lead, slice(a, b))] += wide[(*lead, slice(i, i + 1))] / (b - a)
        wide = dx
    return narrowed(wide, g.dtype)


adaptive_avg_op: Op = Op("adaptive_avg_pool", adaptive_avg, lambda g, x_shape: adaptive_avg_grad_op(g, size=x_shape[2:]))
adaptive_avg_grad_op: Op = Op("adaptive_avg_pool_backward", adaptive_avg_grad,
                          lambda h, g_shape: adaptive_avg_op(h, out=g_shape[2:]))


def _adaptive_max(x: Any, *, out: Ints) -> Any:
    """The largest value of each adapted window and its position in the flattened spatial dimensions."""
    wide, size = np.ascontiguousarray(widened(x)), x.shape[2:]
    places = np.empty((*x.shape[:2], *out), np.int64)
    positions = np.arange(math.prod(size)).reshape(size)
    bins = [_bins(n, o) for n, o in zip(size, out)]
    for window in np.ndindex(*out):
        where = tuple(slice(*bins[axis][i]) for axis, i in enumerate(window))
        part = wide[(slice(None), slice(None), *where)]
        flat = part.reshape(*x.shape[:2], math.prod(part.shape[2:]))
        best = flat.argmax(axis=2)
        if wide.dtype.kind == "f" and np.isnan(flat).any():  # the last NaN of a window is its maximum
            last = flat.shape[2] - 1 - np.isnan(flat)[..., ::-1].argmax(axis=2)
            best = np.where(np.isnan(flat).any(axis=2), last, best)
        places[(slice(None), slice(None), *window)] = positions[where].reshape(-1)[best]
    return pick(x, places), places


def pick(x: Any, places: Any) -> Any:
    """Values of x (N, C, *size) at positions in its flattened spatial dimensions (N, C, *out)."""
    return np.take_along_axis(flat_spatial(x), flat_spatial(places), 2).reshape(places.shape)


def flat_spatial(x: Any) -> Any:
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _paste(g: Any, places: Any, *, size: Ints) -> Any:
    """The transpose of `pick`: values that go to the same position add up."""
    dx = np.zeros((*g.shape[:2], math.prod(size)), widened(g).dtype)
    n, c = np.indices(g.shape[:2])
    np.add.at(dx, (n[..., None], c[..., None], flat_spatial(places)), flat_spatial(widened(g)))
    return narrowed(dx.reshape(*g.shape[:2], *size), g.dtype)


def _unpool(x: Any, places: Any, *, size: Ints) -> Any:
    y = np.zeros((*x.shape[:2], math.prod(size)), x.dtype)
    np.put_along_axis(y, flat_spatial(places), flat_spatial(x), 2)
    return y.reshape(*x.shape[:2], *size)


_pick_op: Op = Op("pick", pick, lambda g, places, x_shape: paste_op(g, places, size=x_shape[2:]), None)
paste_op: Op = Op("paste", _paste, lambda h, places: _pick_op(h, places), None)
_unpool_op: Op = Op("max_unpool", _unpool, lambda g, places: _pick_op(g, places), None)
_adaptive_max_op: Op = Op(
    "adaptive_max_pool", _adaptive_max,
    lambda g, places, x_shape: None if g[0] is None else paste_op(g[0], places, size=x_shape[2:]), outputs="y places")

# ---- the door -----------------------------------------------------------------------------------------------------------------


def _wanted(function: str, x: Any, dims: int, output_size: Any) -> Ints:
    """The output size with None replaced by the input's size."""
    values = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    if any(isinstance(v, bool) or not (hasattr(v, "__index__") or (v is None and dims > 1 and isinstance(output_size, (tuple, list))))
           for v in values):
        raise errors.type_error(function, "output_size", 2, "tuple of ints", output_size)
    if dims > 1 and x._array.ndim <= len(values) and isinstance(output_size, (tuple, list)):
        raise ValueError(f"Input dimension should be at least {len(values) + 1}, got {x._array.ndim} for {function}")
    if len(values) != dims:
        torchs = (f"{function}() argument 'output_size' should contain one int" if dims == 1 else f"{function}: output_size must be {dims}"
                  if "avg" in function else f"{function}(): internal error: output_size.size() must be {dims}")
        raise RuntimeError(f"{torchs} (got {len(values)}): give one int, or {dims}; None keeps a size")
    size = x._array.shape[x._array.ndim - dims:]
    found = tuple(n if v is None else int(v) for n, v in zip(size, values))
    if min(found) < 0:
        if "max" in function:
            raise RuntimeError(f"{function}: Trying to create tensor with negative dimension {min(found)}: output_size {list(found)}")
        raise RuntimeError(f"{function}: elements of output_size must be greater than or equal to 0 but received {list(found)}")
    return found


def _adaptive_input(function: str, x: Any, dims: int) -> None:
    shape = list(x._array.shape)
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(f"{function}(): Expected {dims + 1}D or {dims + 2}D tensor, but got {shape}")
    for d in range(len(shape) - dims, len(shape)):
        if shape[d] == 0:
            raise RuntimeError(f"{function}(): Expected input to have non-zero size for non-batch dimensions, "
                               f"but input has sizes {shape} with dimension {d} being empty")


def _adaptive_avg_pool(function: str, dims: int, x: Any, output_size: Any) -> Any:
    require_tensor(function, x)
    out = _wanted(function, x, dims, output_size)
    _adaptive_input(function, x, dims)
    if x._array.dtype.kind in "biu":
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.legacy_name(x.dtype)}': convert with .float()")
    if x._array.ndim == dims + 1:
        return squeeze(apply(adaptive_avg_op, (unsqueeze(x, 0),), {"out": out}), 0)
    return apply(adaptive_avg_op, (x,), {"out": out})


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:  # noqa: A002
    """The means of output_size windows that cover one dimension evenly; see `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:  # noqa: A002
    """The means of windows that cover the input evenly: window i of o reaches from floor(i * H / o) to ceil((i + 1) * H / o).

    Args:
        output_size: an int for both dimensions, or one per dimension; None keeps a size.
    Shape: x (N, C, H, W) or (C, H, W) -> (N, C, *output_size) or (C, *output_size). dtype: floating, kept.
    Raises:
        RuntimeError: for other numbers of dimensions, an empty dimension, or negative sizes.
    Derivative: each g spread evenly over its window.
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


@full_precision
def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:  # noqa: A002
    """The means of windows that cover three dimensions evenly; see `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


_MAX_POOL = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


def _adaptive_max_pool(dims: int, x: Any, output_size: Any, return_indices: bool) -> Any:
    function = f"adaptive_max_pool{dims}d"
    require_tensor(function, x)
    out = _wanted(function, x, dims, output_size)
    _adaptive_input(function, x, dims)
    size = x._array.shape[x._array.ndim - dims:]
    if all(o and n % o == 0 for n, o in zip(size, out)):  # windows of one size that do not overlap
        return _MAX_POOL[dims](x, tuple(n // o for n, o in zip(size, out)), return_indices=return_indices)
    x, added = batched(function, x, dims)
    y, places = apply(_adaptive_max_op, (x,), {"out": out})
    if added:
        y, places = squeeze(y, 0), squeeze(places, 0)
    return (y, places) if return_indices else y


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:  # noqa: A002
    """The largest values of windows that cover one dimension evenly; see `adaptive_max_pool2d`."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:  # noqa: A002
    """The largest values of windows that cover the input evenly; windows as in `adaptive_avg_pool2d`.

    Args:
        return_indices: return (y, where each maximum lies in the flattened input plane) as well.
    Shape: x (N, C, H, W) or (C, H, W) -> (N, C, *output_size) or (C, *output_size).
    Derivative: g to the first largest value of each window.
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


@full_precision
def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:  # noqa: A002
    """The largest values of windows that cover three dimensions evenly; see `adaptive_max_pool2d`."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Any:  # noqa: A002
    """`adaptive_max_pool1d` that always returns (y, indices)."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Any:  # noqa: A002
    """`adaptive_max_pool2d` that always returns (y, indices)."""
    return adaptive_max_pool2d(input, output_size, True)


@full_precision
def adaptive_max_pool3d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Any:  # noqa: A002
    """`adaptive_max_pool3d` that always returns (y, indices)."""
    return adaptive_max_pool3d(input, output_size, True)


def _unpool_size(function: str, x: Any, dims: int, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Ints:
    kernel_size = window_ints(function, "kernel_size", kernel_size, dims)
    stride = window_ints(function, "stride", kernel_size if stride is None else stride, dims)
    padding = window_ints(function, "padding", padding, dims)
    default = tuple((n - 1) * s + k - 2 * p for n, k, s, p in zip(x._array.shape[2:], kernel_size, stride, padding))
    if output_size is None:
        return default
    wanted = tuple(output_size)[-dims:]
    if len(output_size) not in (dims, dims + 2):
        raise ValueError(f"output_size should be a sequence containing {dims} or {dims + 2} elements, "
                         f"but it has a length of '{len(output_size)}'")
    for d, (n, usual, s) in enumerate(zip(wanted, default, stride)):
        if not usual - s < n < usual + s:
            raise ValueError(f'invalid output_size "{tuple(wanted)}" (dim {d} must be between {usual - s} and {usual + s})')
    return wanted


def _max_unpool(function: str, dims: int, x: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any,
                output_size: Any) -> Any:
    x, added = batched(function, x, dims)
    require_tensor(function, indices, "indices", 2)
    if added:
        indices = unsqueeze(indices, 0)
    if indices._array.dtype != np.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    if indices._array.shape != x._array.shape:
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(x._array.shape)}) "
                           f"but got indices tensor with shape: {list(indices._array.shape)}")
    size = _unpool_size(function, x, dims, kernel_size, stride, padding, output_size)
    where = indices._array
    if where.size and (where.min() < 0 or where.max() >= math.prod(size)):
        wrong = where.min() if where.min() < 0 else where.max()
        raise RuntimeError(f"Found an invalid max index: {wrong} (output volumes are of size {'x'.join(map(str, size))})")
    y = apply(_unpool_op, (x, indices), {"size": size})
    return squeeze(y, 0) if added else y


@full_precision
def max_unpool1d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,  # noqa: A002
                 output_size: Any = None) -> Any:
    """Values back where `max_pool1d(..., return_indices=True)` found them, zeros elsewhere. Derivative: g at these places."""
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


@full_precision
def max_unpool2d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,  # noqa: A002
                 output_size: Any = None) -> Any:
    """Values back where `max_pool2d(..., return_indices=True)` found them, zeros elsewhere. Derivative: g at these places."""
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


@full_precision
def max_unpool3d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,  # noqa: A002
                 output_size: Any = None) -> Any:
    """Values back where `max_pool3d(..., return_indices=True)` found them, zeros elsewhere. Derivative: g at these places."""
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _lp_pool(dims: int, x: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    average = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}[dims]
    count = math.prod(window_ints(f"lp_pool{dims}d", "kernel_size", kernel_size, dims))
    mean = average(pow(x, norm_type), kernel_size, stride, 0, ceil_mode)
    # the sign guards an odd power: a negative sum gives zero, not NaN
    return pow(mul(mul(sign(mean), relu(absolute(mean))), count), 1.0 / norm_type)


def lp_pool1d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:  # noqa: A002
    """(sum of x^p over each window)^(1/p), over one dimension."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:  # noqa: A002
    """(sum of x^p over each window)^(1/p), over two dimensions."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:  # noqa: A002
    """(sum of x^p over each window)^(1/p), over three dimensions."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool1d_with_indices",
           "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "lp_pool1d",
           "lp_pool2d", "lp_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d"]
