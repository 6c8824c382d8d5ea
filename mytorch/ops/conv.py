"""Convolutions: conv1d, conv2d, conv3d and their transposes, in any number of spatial dimensions.

Three linear maps give each other's derivatives, so gradients of every order are made of the same three kernels:

- `conv(x, weight)`: y[n, o, p] = sum over c, k of weight[o, c, k] * x[n, c, stride * p + dilation * k - padding];
- `conv_grad_input(g, weight)`: its transpose in x, which is also the forward of the transposed convolutions;
- `conv_grad_weight(g, x)`: its transpose in weight.

In NumPy each is one matrix product per image (im2col: a window becomes a column), a few images at a time, so that the
columns stay in the cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.ops.autocast import get_casting, lowered, without_autocast
from mytorch.ops.common import Op, TensorBase, apply, narrowed, widened
from mytorch.ops.shape import basic_op, pad_op, shape_of, squeeze, unsqueeze

__mytorch__ = True

_COLUMN_BYTES = 1 << 20  # measured: 0.25 to 4 MiB of columns at a time are equally fast, whole batches up to twice as slow

Ints = tuple[int, ...]


# ---- kernels ------------------------------------------------------------------------------------------------------------------


def output_size(size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """How many windows fit along each spatial dimension."""
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation))


def _images_at_a_time(count: int, column_bytes: int) -> int:
    return max(1, min(count, _COLUMN_BYTES // max(column_bytes, 1)))


def _columns(x: Any, kernel_size: Ints, out: Ints, stride: Ints, padding: Ints, dilation: Ints,
             groups: int) -> Iterator[tuple[slice, Any]]:
    """The windows of a few images at a time as (their place, columns (n, groups, C/groups * kernel, windows))."""
    count, channels = x.shape[:2]
    if math.prod(kernel_size) == 1 and x.shape[2:] == out and not any(padding):
        yield slice(0, count), x.reshape(count, groups, channels // groups, math.prod(out))
        return
    x = np.ascontiguousarray(x)
    step = _images_at_a_time(count, channels * math.prod(kernel_size) * math.prod(out) * x.itemsize)
    padded = any(padding)
    canvas = x
    if padded:
        canvas = np.zeros((step, channels, *[n + 2 * p for n, p in zip(x.shape[2:], padding)]), x.dtype)
        inside = canvas[(slice(None), slice(None), *[slice(p, p + n) for n, p in zip(x.shape[2:], padding)])]
    strides = canvas.strides
    jumps = (*[d * s for d, s in zip(dilation, strides[2:])], *[s0 * s for s0, s in zip(stride, strides[2:])])
    windows: Any = ndarray((len(canvas), channels, *kernel_size, *out), x.dtype, canvas, 0, (*strides[:2], *jumps))
    buffer = np.empty((step, *windows.shape[1:]), x.dtype)
    columns = buffer.reshape(step, groups, channels // groups * math.prod(kernel_size), math.prod(out))
    for start in range(0, count, step):
        n = min(step, count - start)
        if padded:
            inside[:n] = x[start:start + n]
            np.copyto(buffer[:n], windows[:n])
        else:
            np.copyto(buffer[:n], windows[start:start + n])
        yield slice(start, start + n), columns[:n]


@kernel
def conv(x: Any, weight: Any, bias: Any, *, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """Cross-correlation of x (N, C, *size) with weight (O, C/groups, *kernel), plus bias (O) or None -> (N, O, *out)."""
    like = x.dtype
    x, weight = widened(x), widened(weight)
    kernel_size, channels = weight.shape[2:], weight.shape[0]
    out = output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    y = np.empty((len(x), groups, channels // groups, math.prod(out)), x.dtype)
    rows = weight.reshape(groups, channels // groups, math.prod(weight.shape[1:]))
    for place, columns in _columns(x, kernel_size, out, stride, padding, dilation, groups):
        np.matmul(rows, columns, out=y[place])
    if bias is not None:
        y += widened(bias).reshape(groups, -1, 1)
    return narrowed(y.reshape(len(x), channels, *out), like)


@kernel
def conv_grad_input(g: Any, weight: Any, *, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """The gradient of x (N, C, *size) from that of the output, g (N, O, *out)."""
    like = g.dtype
    g, weight = widened(g), widened(weight)
    count, out, kernel_size = len(g), g.shape[2:], weight.shape[2:]
    channels = weight.shape[1] * groups
    g = g.reshape(count, groups, len(weight) // groups, math.prod(out))
    rows = weight.reshape(groups, len(weight) // groups, math.prod(weight.shape[1:]))
    rows = rows.swapaxes(1, 2)  # (groups, C/groups * kernel, O/groups)
    step = _images_at_a_time(count, channels * math.prod(kernel_size) * math.prod(out) * g.itemsize)
    columns = np.empty((step, groups, rows.shape[1], math.prod(out)), g.dtype)
    windows = columns.reshape(step, channels, *kernel_size, *out)
    dx = np.empty((count, channels, *size), g.dtype)
    inside = (slice(None), slice(None), *[slice(p, p + n) for n, p in zip(size, padding)])
    for start in range(0, count, step):
        n = min(step, count - start)
        np.matmul(rows, g[start:start + n], out=columns[:n])
        canvas = np.zeros((n, channels, *[s + 2 * p for s, p in zip(size, padding)]), g.dtype)
        for offset in np.ndindex(*kernel_size):
            target = canvas[(slice(None), slice(None), *_every(offset, out, stride, dilation))]
            target += windows[(slice(n), slice(None), *offset)]
        dx[start:start + n] = canvas[inside]
    return narrowed(dx, like)


def _every(offset: Sequence[int], out: Ints, stride: Ints, dilation: Ints) -> Iterator[slice]:
    """Where all windows have their element at this offset of the kernel."""
    return (slice(d * i, d * i + s * (n - 1) + 1, s) for i, n, s, d in zip(offset, out, stride, dilation))


@kernel
def conv_grad_weight(g: Any, x: Any, *, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """The gradient of weight (O, C/groups, *size) from that of the output, g (N, O, *out), and x (N, C, ...)."""
    like = g.dtype
    g, x = widened(g), widened(x)
    out, channels = g.shape[2:], g.shape[1]
    g = g.reshape(len(g), groups, channels // groups, math.prod(out))
    dw = np.zeros((groups, channels // groups, x.shape[1] // groups * math.prod(size)), g.dtype)
    for place, columns in _columns(x, size, out, stride, padding, dilation, groups):
        dw += np.matmul(g[place], columns.swapaxes(2, 3)).sum(axis=0)
    return narrowed(dw.reshape(channels, x.shape[1] // groups, *size), like)


@kernel
def conv_grad_bias(g: Any) -> Any:
    """The gradient of bias (O) from that of the output, g (N, O, *out): the sum over all but the channels."""
    return narrowed(widened(g).sum((0, *range(2, g.ndim))), g.dtype)


@kernel
def conv_transposed(x: Any, weight: Any, bias: Any, *, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """`conv_grad_input` as a forward operation, plus bias (C) or None: x (N, O, *out) -> (N, C, *size)."""
    meta: dict[str, Any] = {"size": size, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if bias is None:
        return conv_grad_input.reference(x, weight, **meta)
    y = conv_grad_input.reference(widened(x), widened(weight), **meta)  # 16-bit floats are rounded once, with the bias
    return narrowed(y + widened(bias).reshape(-1, *[1] * len(size)), x.dtype)


# ---- operations and their derivatives -----------------------------------------------------------------------------------------


def _as_large_as(y: Any, shape: Ints) -> Any:
    """y without windows beyond a shape: an output padding of a stride and more leaves room for further windows."""
    return y if shape_of(y) == shape else basic_op(y, key=tuple(slice(n) for n in shape))


def _of_g(h: Any, weight: Any, g_shape: Ints, **geometry: Any) -> Any:
    return _as_large_as(convolution_op(h, weight, None, **geometry), g_shape)


def _bias(g: Any) -> Any:
    return conv_grad_bias(g) if isinstance(g, ndarray) else g.sum((0, *range(2, len(shape_of(g)))))


convolution_op: Op = Op(
    "convolution", conv,
    lambda g, weight, x_shape, stride, padding, dilation, groups: grad_input_op(
        g, weight, size=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda g, x, weight_shape, stride, padding, dilation, groups: grad_weight_op(
        g, x, size=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda g: _bias(g))
# For these two the gradient that comes in belongs to dx and to dw: it is named h, and g is an input.
grad_input_op: Op = Op(
    "conv_grad_input", conv_grad_input,
    lambda h, weight, g_shape, stride, padding, dilation, groups: _of_g(
        h, weight, g_shape, stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda h, g, weight_shape, stride, padding, dilation, groups: grad_weight_op(
        g, h, size=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups))
grad_weight_op: Op = Op(
    "conv_grad_weight", conv_grad_weight,
    lambda h, x, g_shape, stride, padding, dilation, groups: _of_g(
        x, h, g_shape, stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda h, g, x_shape, stride, padding, dilation, groups: grad_input_op(
        g, h, size=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups))


_transposed_op: Op = Op(
    "convolution", conv_transposed,
    lambda g, weight, x_shape, stride, padding, dilation, groups: _of_g(
        g, weight, x_shape, stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda g, x, weight_shape, stride, padding, dilation, groups: grad_weight_op(
        x, g, size=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda g: _bias(g))


# ---- the door -----------------------------------------------------------------------------------------------------------------


_INT = frozenset({int})


def _options(function: str, stride: Any, padding: Any, dilation: Any, dims: int) -> tuple[Ints, Any, Ints]:
    """Each as one int per spatial dimension; a padding in words as it is."""
    if type(stride) is type(dilation) is type(padding) is tuple and len(stride) == len(dilation) == len(padding) == dims and (
            _INT.issuperset(map(type, (*stride, *padding, *dilation)))):
        return stride, padding, dilation  # as layers give them
    if not isinstance(padding, str):
        padding = _ints(function, "padding", padding, dims)
    return _ints(function, "stride", stride, dims), padding, _ints(function, "dilation", dilation, dims)


def _ints(function: str, name: str, value: Any, dims: int) -> Ints:
    """One int for all spatial dimensions, or one per dimension."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values):
        raise TypeError(f"{function}(): argument '{name}' must be an int or a tuple of {dims} ints, not {value!r}")
    if len(values) == 1:
        values = (*values,) * dims
    if len(values) != dims:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {dims} values to match the convolution "
                           f"dimensions, but got {name}={list(values)}")
    return tuple(int(v) for v in values)


def _check(function: str, x: Any, weight: Any, bias: Any, dims: int, groups: int) -> None:
    """What both directions ask of their tensors, and groups."""
    if not (isinstance(x, TensorBase) and isinstance(weight, TensorBase) and (bias is None or isinstance(bias, TensorBase))):
        for place, (name, value) in enumerate((("input", x), ("weight", weight), ("bias", bias)), 1):
            if not isinstance(value, TensorBase) and not (name == "bias" and value is None):
                raise errors.type_error(function, name, place, "Tensor", value)
    ndim, wide = x._array.ndim, weight._array.ndim
    if ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {function}, "
                           f"but got input of size: {list(x._array.shape)}")
    if wide != dims + 2:
        shape = list(weight._array.shape)
        if wide < 3:
            raise RuntimeError(f"weight should have at least three dimensions, (out, in / groups, *kernel), but got weight of size {shape}")
        raise RuntimeError(f"Expected {wide}-dimensional input for {wide}-dimensional weight {shape}, but got {ndim}-dimensional "
                           f"input of size {list(x._array.shape)} instead: {function} takes a {dims + 2}-dimensional weight")
    kind = x._array.dtype
    if weight._array.dtype is not kind and weight._array.dtype != kind:
        raise RuntimeError(f"{function}: expected scalar type {dtypes.legacy_name(x.dtype)} but found "
                           f"{dtypes.legacy_name(weight.dtype)}: input and weight must have one dtype; convert one, for example "
                           "with input.to(weight.dtype)")
    if bias is not None and bias._array.dtype is not kind and bias._array.dtype != kind:
        raise RuntimeError(f"Input type ({x.dtype.name}) and bias type ({bias.dtype.name}) should be the same")
    if kind.kind == "b":
        raise NotImplementedError(f"\"{function}\" not implemented for 'Bool': convert with .float()")
    if type(groups) is not int and (isinstance(groups, bool) or not isinstance(groups, int)):
        raise TypeError(f"{function}(): argument 'groups' must be int, not {type(groups).__name__}")


def _check_groups(shape: Ints, groups: int) -> None:
    if groups <= 0:
        raise RuntimeError(f"non-positive groups is not supported: got groups={groups}")
    if shape[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, "
                           f"but got weight of size {list(shape)} instead")
    if shape[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
                           f"but got weight of size {list(shape)} instead")


def _check_geometry(stride: Ints, padding: Ints, dilation: Ints) -> None:
    if min(stride) <= 0:
        raise RuntimeError(f"non-positive stride is not supported: got stride={list(stride)}")
    if min(padding) < 0:
        raise RuntimeError(f"negative padding is not supported: got padding={list(padding)}")
    if min(dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")


def _check_bias(bias: Ints | None, channels: int, weight: Ints, transposed: str) -> None:
    if bias is not None and bias != (channels,):
        raise RuntimeError(f"Given {transposed}weight of size {list(weight)}, expected bias to be 1-dimensional "
                           f"with {channels} elements, but got bias of size {list(bias)} instead")


def _check_kernel(shape: Sequence[int]) -> None:
    if 0 in shape[2:]:
        raise RuntimeError(f"kernel size should be greater than zero, but got {list(shape[2:])}")


def _x_text(sizes: Sequence[int]) -> str:
    return f"({' x '.join(str(n) for n in sizes)})"


def _too_small(size: Ints, padding: Ints, dilation: Ints, kernel_size: Ints) -> RuntimeError:
    padded = [n + 2 * p for n, p in zip(size, padding)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel_size)]
    return RuntimeError(f"Calculated padded input size per channel: {_x_text(padded)}. Kernel size: {_x_text(reach)}. "
                        "Kernel size can't be greater than actual input size")


def _named_padding(x: Any, padding: str, kernel_size: Ints, stride: Ints, dilation: Ints) -> tuple[Any, Ints]:
    """The padding in numbers for 'valid' and 'same'; an odd total is evened out by a zero after the input."""
    if padding == "valid":
        return x, (0,) * len(kernel_size)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'; expected 'same', 'valid' or integers")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = tuple(d * (k - 1) for d, k in zip(dilation, kernel_size))
    if any(t % 2 for t in total):
        x = apply(pad_op, (x,), {"widths": ((0, 0), (0, 0), *[(0, t % 2) for t in total]), "value": 0.0})
    return x, tuple(t // 2 for t in total)


@functools.lru_cache(256)
def _check_sizes(shape: Ints, weight: Ints, bias: Ints | None, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> None:
    """What a convolution asks of the sizes of its input (with its batch), weight and bias: asked once for each layer and size."""
    _check_groups(weight, groups)
    _check_geometry(stride, padding, dilation)
    if shape[1] != weight[1] * groups:
        raise RuntimeError(f"Given groups={groups}, weight of size {list(weight)}, expected input{list(shape)} to have "
                           f"{weight[1] * groups} channels, but got {shape[1]} channels instead")
    _check_bias(bias, weight[0], weight, "")
    _check_kernel(weight)
    for n, p, d, k in zip(shape[2:], padding, dilation, weight[2:]):
        if n + 2 * p < d * (k - 1) + 1:
            raise _too_small(shape[2:], padding, dilation, weight[2:])


def _conv(function: str, dims: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    if get_casting() is not None:
        x, weight, bias = lowered(x, weight, bias)
    _check(function, x, weight, bias, dims, groups)
    stride, padding, dilation = _options(function, stride, padding, dilation, dims)
    unbatched = x._array.ndim == dims + 1
    if unbatched:
        x = unsqueeze(x, 0)
    if isinstance(padding, str):
        x, padding = _named_padding(x, padding, weight._array.shape[2:], stride, dilation)
    _check_sizes(x._array.shape, weight._array.shape, None if bias is None else bias._array.shape, stride, padding, dilation, groups)
    y = apply(convolution_op, (x, weight, bias), {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})
    return squeeze(y, 0) if unbatched else y


def _conv_transpose(function: str, dims: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
                    groups: int, dilation: Any) -> Any:
    if get_casting() is not None:
        x, weight, bias = lowered(x, weight, bias)
    _check(function, x, weight, bias, dims, groups)
    _check_groups(weight._array.shape, groups)
    stride, dilation = _ints(function, "stride", stride, dims), _ints(function, "dilation", dilation, dims)
    padding, extra = _ints(function, "padding", padding, dims), _ints(function, "output_padding", output_padding, dims)
    _check_geometry(stride, padding, dilation)
    unbatched = x._array.ndim == dims + 1
    if unbatched:
        x = unsqueeze(x, 0)
    shape, wshape = x._array.shape, weight._array.shape
    if shape[1] != wshape[0]:
        raise RuntimeError(f"Given transposed=1, weight of size {list(wshape)}, expected input{list(shape)} to have {wshape[0]} "
                           f"channels, but got {shape[1]} channels instead")
    _check_bias(None if bias is None else bias._array.shape, wshape[1] * groups, wshape, "transposed=1, ")
    _check_kernel(wshape)
    if not wshape[1] or 0 in shape[2:]:
        raise RuntimeError(f"only zero batch or zero channel inputs are supported, and weights that are not empty: got input {list(shape)} "
                           f"and weight {list(wshape)}")
    if min(extra) < 0:
        raise RuntimeError(f"negative output_padding is not supported: got output_padding={list(extra)}")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got output_padding: "
                           f"{list(extra)} stride: {list(stride)} dilation: {list(dilation)}")
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1
                 for n, k, s, p, d, e in zip(shape[2:], wshape[2:], stride, padding, dilation, extra))
    if min(size) < 1:
        raise RuntimeError(f"Given input size per channel: {_x_text(shape[2:])}. Calculated output size per channel: "
                           f"{_x_text(size)}. Output size is too small")
    y = apply(_transposed_op, (x, weight, bias),
              {"size": size, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups})
    return squeeze(y, 0) if unbatched else y


def conv1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,  # noqa: A002
           groups: int = 1) -> Any:
    """Convolution over one dimension; see `conv2d`. Shape: (N, C, L) or (C, L), weight (O, C/groups, K) -> (N, O, L')."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,  # noqa: A002
           groups: int = 1) -> Any:
    """Convolution over two dimensions (cross-correlation, as everywhere in deep learning).

    y[n, o, i, j] = bias[o] + sum over c, a, b of weight[o, c, a, b] * x[n, c, stride*i + dilation*a - padding, ...]

    Args:
        stride, padding, dilation: an int, or one per dimension; padding may be 'valid' (none) or 'same' (keeps the size).
        groups: channels are split into so many groups, each with its own outputs.
    Shape:
        x (N, C, H, W) or (C, H, W), weight (O, C/groups, kH, kW), bias (O)
        -> (N, O, H', W') or (O, H', W'), H' = floor((H + 2*padding - dilation*(kH - 1) - 1) / stride) + 1.
    Raises:
        RuntimeError: for sizes, dtypes or groups that do not fit.
    Derivative: dx is the transposed convolution of g, dweight the correlation of g with x, dbias the sum of g per channel.
    Source: Dumoulin, Visin 2016, arXiv:1603.07285
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,  # noqa: A002
           groups: int = 1) -> Any:
    """Convolution over three dimensions; see `conv2d`. Shape: (N, C, D, H, W) or (C, D, H, W), weight (O, C/groups, ...)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,  # noqa: A002
                     groups: int = 1, dilation: Any = 1) -> Any:
    """Transposed convolution over one dimension; see `conv_transpose2d`. Shape: (N, C, L) or (C, L), weight (C, O/groups, K)."""
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,  # noqa: A002
                     groups: int = 1, dilation: Any = 1) -> Any:
    """Transposed convolution over two dimensions: the gradient of `conv2d` with respect to its input, as a forward operation.

    Args:
        output_padding: added to the output's size at one end, to choose among the input sizes that a stride makes equal.
    Shape:
        x (N, C, H, W) or (C, H, W), weight (C, O/groups, kH, kW), bias (O)
        -> H' = (H - 1)*stride - 2*padding + dilation*(kH - 1) + output_padding + 1.
    Raises:
        RuntimeError: for sizes, dtypes or groups that do not fit, or an output padding not below stride or dilation.
    Derivative: dx is the convolution of g, dweight the correlation of x with g.
    Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin, Visin 2016, arXiv:1603.07285
    """
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,  # noqa: A002
                     groups: int = 1, dilation: Any = 1) -> Any:
    """Transposed convolution over three dimensions; see `conv_transpose2d`."""
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


@without_autocast
def convolution(input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,  # noqa: A002
                output_padding: Any, groups: int) -> Any:
    """The convolution, transposed or not, of as many dimensions as the weight has beyond two; see `conv2d`."""
    dims = weight._array.ndim - 2
    if transposed:
        return _conv_transpose("convolution", dims, input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _conv("convolution", dims, input, weight, bias, stride, padding, dilation, groups)


__all__ = ["convolution", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
