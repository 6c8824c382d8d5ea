"""Weights of convolutions in another memory format."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mytorch.nn.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
from mytorch.nn.module import Module

if TYPE_CHECKING:
    from typing import Any

__mytorch__ = True

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

M = TypeVar("M", bound=Module)


def _convert(module: M, kinds: tuple[type[Module], ...], memory_format: Any) -> M:
    for layer in module.modules():
        if isinstance(layer, kinds):
            weight: Any = layer.weight
            weight.data = weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Lay out the weights of all Conv2d and ConvTranspose2d in a module as `memory_format`, such as channels_last."""
    return _convert(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Lay out the weights of all Conv3d and ConvTranspose3d in a module as `memory_format`, such as channels_last_3d."""
    return _convert(module, (Conv3d, ConvTranspose3d), memory_format)
