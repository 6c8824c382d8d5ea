"""Sliding blocks of images as columns, the way back, and the bilinear form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.ops.autocast import without_autocast
from mytorch.ops.common import Op, apply, narrowed, require_tensor, widened
from mytorch.ops.conv import output_size
from mytorch.ops.elementwise import add
from mytorch.ops.linalg import einsum
from mytorch.ops.pool import window_ints
from mytorch.ops.shape import squeeze, unsqueeze

__mytorch__ = True

Ints = tuple[int, ...]


def _targets(kernel_size: Ints, stride: Ints, dilation: Ints, out: Ints) -> list[tuple[slice, ...]]:
    """For each offset inside a block, where all blocks have that element."""
    starts = ([d * i for d, i in zip(dilation, offset)] for offset in np.ndindex(*kernel_size))
    return [(slice(None), slice(None), *[slice(a, a + s * (n - 1) + 1, s) for a, n, s in zip(start, out, stride)])
            for start in starts]


def _im2col(x: Any, *, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Any:
    out = output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    canvas = np.pad(x, ((0, 0), (0, 0), *[(p, p) for p in padding])) if any(padding) else x
    parts = [canvas[target] for target in _targets(kernel_size, stride, dilation, out)]
    return np.stack(parts, 2).reshape(x.shape[0], x.shape[1] * math.prod(kernel_size), math.prod(out))


def _col2im(x: Any, *, size: Ints, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Any:
    out = output_size(size, kernel_size, stride, padding, dilation)
    count = math.prod(kernel_size)
    columns = widened(x).reshape(x.shape[0], x.shape[1] // count, count, *out)
    canvas = np.zeros((*columns.shape[:2], *[n + 2 * p for n, p in zip(size, padding)]), columns.dtype)
    for k, target in enumerate(_targets(kernel_size, stride, dilation, out)):
        canvas[target] += columns[:, :, k]
    return narrowed(canvas[(slice(None), slice(None), *[slice(p, p + n) for n, p in zip(size, padding)])], x.dtype)


_im2col_op: Op = Op("im2col", _im2col, lambda g, x_shape, kernel_size, dilation, padding, stride: _col2im_op(
    g, size=x_shape[2:], kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride))
_col2im_op: Op = Op("col2im", _col2im, lambda g, kernel_size, dilation, padding, stride: _im2col_op(
    g, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride))


def _geometry(function: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Ints]:
    found = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    geometry = {name: window_ints(function, name, value, 2) for name, value in found.items()}
    for name, values in geometry.items():
        if min(values) < (0 if name == "padding" else 1):
            raise RuntimeError(f"{function}: {name} should be {'non-negative' if name == 'padding' else 'greater than zero'}, "
                               f"but got {list(values)}")
    return geometry


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:  # noqa: A002
    """The blocks that a convolution would see, as columns: (N, C, H, W) -> (N, C * kH * kW, blocks). Derivative: `fold` of g.

    Raises:
        RuntimeError: for other numbers of dimensions, or if no block fits.
    """
    require_tensor("unfold", input)
    shape = input._array.shape
    if len(shape) not in (3, 4):
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
                           "input, "
                           f"but got: {list(shape)}")
    geometry = _geometry("unfold", kernel_size, dilation, padding, stride)
    out = _blocks(shape[-2:], geometry)
    if min(out) < 1:
        raise RuntimeError(f"Given input with spatial size {shape[-2:]} and {geometry}, calculated shape of the array of "
                           "sliding blocks as "
                           f"{out}, but its components must be at least one.")
    x = unsqueeze(input, 0) if len(shape) == 3 else input
    y = apply(_im2col_op, (x,), geometry)
    return squeeze(y, 0) if len(shape) == 3 else y


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:  # noqa: A002
    """Columns summed back into an image: (N, C * kH * kW, blocks) -> (N, C, *output_size). Derivative: `unfold` of g.

    Raises:
        RuntimeError: if the sizes do not fit.
    """
    require_tensor("fold", input)
    shape = input._array.shape
    if len(shape) not in (2, 3):
        raise RuntimeError(f"Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size, but got: {list(shape)}")
    size = window_ints("fold", "output_size", output_size, 2)
    geometry = _geometry("fold", kernel_size, dilation, padding, stride)
    block = math.prod(geometry["kernel_size"])
    if shape[-2] % block:
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
                           f"input.size(1)={shape[-2]} and kernel_size={geometry['kernel_size']}.")
    blocks = math.prod(_blocks(size, geometry))
    if blocks != shape[-1]:
        raise RuntimeError(f"Given output_size={size} and {geometry}, expected size of input's dimension 2 to match the "
                           "calculated number "
                           f"of sliding blocks {blocks}, but got input.size(2)={shape[-1]}.")
    x = unsqueeze(input, 0) if len(shape) == 2 else input
    y = apply(_col2im_op, (x,), {"size": size, **geometry})
    return squeeze(y, 0) if len(shape) == 2 else y


def _blocks(size: Ints, geometry: dict[str, Ints]) -> Ints:
    return output_size(size, geometry["kernel_size"], geometry["stride"], geometry["padding"], geometry["dilation"])


@without_autocast
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y[o] = input1^T weight[o] input2 + bias[o]. Shape: (*, I), (*, J), weight (O, I, J), bias (O) -> (*, O).

    Raises:
        RuntimeError: if sizes do not fit.
    """
    for place, (name, x) in enumerate((("input1", input1), ("input2", input2), ("weight", weight)), 1):
        require_tensor("bilinear", x, name, place)
    a, b, w = input1._array, input2._array, weight._array
    if a.ndim != b.ndim or a.shape[:-1] != b.shape[:-1]:
        raise RuntimeError(f"bilinear(): input batch dimensions do not match: got {list(a.shape)} and {list(b.shape)}")
    for k, x in ((1, a), (2, b)):
        if x.shape[-1] != w.shape[k]:
            raise RuntimeError(f"bilinear(): input{k} size does not match weight size: got {x.shape[-1]} but expected "
                               f"{w.shape[k]}")
    if bias is not None and bias._array.shape != w.shape[:1]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {list(bias._array.shape)} but expected "
                           f"{w.shape[0]}")
    y = einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else add(y, bias)


__all__ = ["bilinear", "fold", "unfold"]
