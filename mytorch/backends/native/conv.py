"""Convolutions and their gradients: csrc/kernels/conv.cpp and conv_weight.cpp."""

from __future__ import annotations

from typing import Any

from mytorch.backends.native.bfloat16 import widened
from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty, known

__mytorch__ = True

_SMALLEST = 512  # numbers in the output; below, NumPy is as fast

Ints = tuple[int, ...]


def _geometry(stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """Nine integers: three axes each, the missing ones in front."""
    missing = 3 - len(stride)
    if missing == 1:
        return (1, *stride, 0, *padding, 1, *dilation)
    if missing == 2:
        return (1, 1, *stride, 0, 0, *padding, 1, 1, *dilation)
    return (*stride, *padding, *dilation)


def _fits(a: Array, b: Array) -> bool:
    kind = a.dtype
    return known(kind) and (b.dtype is kind or b.dtype == kind) and 3 <= a.ndim <= 5


def _bias(bias: Array | None, kind: Any) -> Array | None:
    """The bias as the kernels take it: beside bfloat16 in float32."""
    if bias is None:
        return None
    return widened(bias) if kind.kind == "V" and bias.dtype is not FLOAT32 else dense(bias)


def conv(x: Array, weight: Array, bias: Array | None, *, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """Convolution of float32 or float64 over one to three axes; other layouts than the contiguous one are copied first."""
    if not _fits(x, weight):
        return NotImplemented
    shape, size = x.shape, weight.shape
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(shape[2:], size[2:], stride, padding, dilation)]
    y = empty((shape[0], size[0], *out), x.dtype)
    if not K.worth(y.size, _SMALLEST):
        return NotImplemented
    return K.conv(dense(x), dense(weight), _bias(bias, x.dtype), y, *_geometry(stride, padding, dilation), groups)


def conv_grad_input(g: Array, weight: Array, *, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """The gradient in the input: a convolution of g for every phase of the stride."""
    return conv_transposed(g, weight, None, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transposed(x: Array, weight: Array, bias: Array | None, *, size: Ints, stride: Ints, padding: Ints, dilation: Ints,
                    groups: int) -> Any:
    """The same as a forward operation, with a bias."""
    if not _fits(x, weight):
        return NotImplemented
    y = empty((x.shape[0], weight.shape[1] * groups, *size), x.dtype)
    if not K.worth(y.size, _SMALLEST):
        return NotImplemented
    return K.conv_grad_input(dense(x), dense(weight), _bias(bias, x.dtype), y, *_geometry(stride, padding, dilation), groups)


def conv_grad_weight(g: Array, x: Array, *, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """The gradient in the weight: partial sums over a number of images that the shapes decide, added in order."""
    if not _fits(g, x) or not K.worth(g.size, _SMALLEST):
        return NotImplemented
    dw = empty((g.shape[1], x.shape[1] // groups, *size), g.dtype)
    return K.conv_grad_weight(dense(g), dense(x), dw, *_geometry(stride, padding, dilation), groups)


def conv_grad_bias(g: Array) -> Any:
    """The sum over all but the channels."""
    if (g.dtype is not FLOAT32 and g.dtype is not FLOAT64) or not K.worth(g.size, _SMALLEST):
        return NotImplemented
    return K.conv_grad_bias(dense(g), empty((g.shape[1],), g.dtype))


overrides = {
    "conv": conv,
    "conv_grad_bias": conv_grad_bias,
    "conv_grad_input": conv_grad_input,
    "conv_grad_weight": conv_grad_weight,
    "conv_transposed": conv_transposed,
}
