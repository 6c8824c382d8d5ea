"""Convolution of sequences laid out as time, batch, channels."""

from __future__ import annotations

from typing import Any

from mytorch.ops.autocast import lower_precision
from mytorch.ops.common import require_tensor
from mytorch.ops.conv import conv1d
from mytorch.ops.shape import permute

__mytorch__ = True


@lower_precision
def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:  # noqa: A002
    """`conv1d` of sequences that are time first.

    Shape: x (T, N, C), weight (K, C, C'), bias (C') -> (T + 2 pad - K + 1, N, C'). dtype: floating, kept.
    Raises:
        RuntimeError: for other numbers of dimensions or sizes that do not fit.
    Derivative: that of `conv1d`.
    """
    for position, (name, x) in enumerate((("input", input), ("weight", weight), ("bias", bias)), 1):
        require_tensor("conv_tbc", x, name, position)
    if input._array.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if weight._array.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if bias._array.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    if input._array.shape[2] != weight._array.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor: got "
                           f"{list(input._array.shape)} and {list(weight._array.shape)}")
    if weight._array.shape[2] != bias._array.shape[0]:
        raise RuntimeError(f"Bias size must equal dim 2 in the weight tensor (output channels): got {list(bias._array.shape)} and "
                           f"{list(weight._array.shape)}")
    y = conv1d(permute(input, (1, 2, 0)), permute(weight, (2, 1, 0)), bias, padding=pad)  # (T, N, C) -> (N, C, T)
    return permute(y, (2, 0, 1))


__all__ = ["conv_tbc"]
