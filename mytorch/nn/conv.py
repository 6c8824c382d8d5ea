"""Convolution layers, plain and transposed, in one, two and three dimensions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mytorch.nn import init
from mytorch.nn.module import Module
from mytorch.nn.padding import ntuple
from mytorch.nn.parameter import Parameter
from mytorch.ops import conv
from mytorch.ops.create import empty
from mytorch.ops.shape import pad

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _ConvNd(Module):
    """What all convolution layers hold: geometry, weight and bias.

    Weight and bias start uniform on [-k, k), k = 1 / sqrt(fan_in), fan_in = weight's size without its first dimension.
    """

    _dims = 1
    _transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                 output_padding: Any, groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any) -> None:
        super().__init__()
        n = self._dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = ntuple(kernel_size, n)
        self.stride = ntuple(stride, n)
        self.padding = padding if isinstance(padding, str) and not self._transposed else ntuple(padding, n)
        self.dilation = ntuple(dilation, n)
        self.transposed = self._transposed
        self.output_padding = ntuple(output_padding, n)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty((*channels, *self.kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check(self) -> None:
        if self.groups <= 0:
            raise ValueError(f"groups must be a positive integer, got {self.groups}")
        if self.in_channels % self.groups:
            raise ValueError(f"in_channels must be divisible by groups, got {self.in_channels} and {self.groups}")
        if self.out_channels % self.groups:
            raise ValueError(f"out_channels must be divisible by groups, got {self.out_channels} and {self.groups}")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {self.padding!r}, should be one of {{'same', 'valid'}}")
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        modes = ("zeros", "reflect", "replicate", "circular")
        if self.padding_mode not in modes:
            raise ValueError(f"padding_mode must be one of {modes}, but got padding_mode='{self.padding_mode}'")
        if self.transposed and self.padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}, got {self.padding_mode!r}')

    def reset_parameters(self) -> None:
        """Draw the initial weights anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # this slope gives the bound 1 / sqrt(fan_in)
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        zeros = (0,) * self._dims
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != zeros:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * len(self.dilation):
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != zeros:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...],
                 stride: int | tuple[int, ...] = 1, padding: str | int | tuple[int, ...] = 0, dilation: int | tuple[int, ...] = 1,
                 groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, device,
                         dtype)

    @property
    def _reversed_padding_repeated_twice(self) -> list[int]:  # torch's name: convolutions of other people's ask for it
        """The padding as `pad` wants it: (before, after) for each dimension, the last one first."""
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
            return [width for total in reversed(totals) for width in (total // 2, total - total // 2)]
        if isinstance(self.padding, str):
            return [0] * (2 * self._dims)
        return [width for p in reversed(self.padding) for width in (p, p)]

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        convolve = (conv.conv1d, conv.conv2d, conv.conv3d)[self._dims - 1]
        if self.padding_mode != "zeros":
            input = pad(input, self._reversed_padding_repeated_twice, self.padding_mode)  # noqa: A001
            return convolve(input, weight, bias, self.stride, 0, self.dilation, self.groups)
        return convolve(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        own: dict[str, Any] = self._parameters
        try:  # as in Linear: the table answers sooner than `self.weight`
            weight, bias = own["weight"], own["bias"]
        except KeyError:  # computed from others: parametrizations, weight_norm
            weight, bias = self.weight, self.bias
        return self._conv_forward(input, weight, bias)


class Conv1d(_Conv):
    """Convolution over one dimension; see `Conv2d`. Shape: (N, C, L) or (C, L) -> (N, O, L') or (O, L')."""


class Conv2d(_Conv):
    """Convolution over two dimensions; see `nn.functional.conv2d` for the formula.

    Weight (O, C/groups, kH, kW) and bias (O) start uniform on [-k, k), k = 1 / sqrt(C/groups * kH * kW).

    Args:
        in_channels, out_channels: C and O.
        kernel_size, stride, padding, dilation: an int, or one per dimension; padding may be 'valid' or 'same'.
        groups: channels are split into so many groups, each with its own outputs.
        bias: False leaves the bias out.
        padding_mode: 'zeros', 'reflect', 'replicate' or 'circular'.
    Shape: (N, C, H, W) or (C, H, W) -> (N, O, H', W') or (O, H', W').
    Raises:
        ValueError: for groups that do not divide the channels, or an unknown padding.
    """

    _dims = 2


class Conv3d(_Conv):
    """Convolution over three dimensions; see `Conv2d`. Shape: (N, C, D, H, W) or (C, D, H, W)."""

    _dims = 3


class _ConvTransposeNd(_ConvNd):
    _transposed = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...],
                 stride: int | tuple[int, ...] = 1, padding: int | tuple[int, ...] = 0, output_padding: int | tuple[int, ...] = 0,
                 groups: int = 1, bias: bool = True, dilation: int | tuple[int, ...] = 1, padding_mode: str = "zeros",
                 device: Any = None, dtype: Any = None) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
                         padding_mode, device, dtype)

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple[int, ...]:  # noqa: A002
        """What must be added at one end so that the output has the wanted size."""
        if output_size is None:
            return self.output_padding
        n, ndim = self._dims, input._array.ndim
        wanted = tuple(output_size)[-n:]
        if len(output_size) not in (n, ndim):
            raise ValueError(f"ConvTranspose{n}D: for {ndim}D input, output_size must have {n} or {ndim} elements (got "
                             f"{len(output_size)})")
        least = [(size - 1) * s - 2 * p + d * (k - 1) + 1 for size, s, p, d, k in zip(
            input._array.shape[-n:], self.stride, self.padding, self.dilation, self.kernel_size)]
        most = [low + s - 1 for low, s in zip(least, self.stride)]
        if any(not low <= size <= high for low, size, high in zip(least, wanted, most)):
            raise ValueError(f"requested an output size of {tuple(output_size)}, but valid sizes range from {least} to {most} "
                             f"(for an input of {input._array.shape[2:]})")
        return tuple(size - low for size, low in zip(wanted, least))

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:  # noqa: A002
        convolve = (conv.conv_transpose1d, conv.conv_transpose2d, conv.conv_transpose3d)[self._dims - 1]
        extra = self._output_padding(input, output_size)
        return convolve(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution over one dimension; see `ConvTranspose2d`. Shape: (N, C, L) or (C, L)."""


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution over two dimensions: the input gradient of a `Conv2d`, as a layer.

    Args:
        output_padding: added to the output's size at one end; forward's `output_size` chooses it for you.
    Shape: (N, C, H, W) or (C, H, W) -> H' = (H - 1)*stride - 2*padding + dilation*(kH - 1) + output_padding + 1.
    Raises:
        ValueError: for groups that do not divide the channels, another padding_mode than 'zeros', or an output_size out of reach.
    """

    _dims = 2


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution over three dimensions; see `ConvTranspose2d`. Shape: (N, C, D, H, W) or (C, D, H, W)."""

    _dims = 3
