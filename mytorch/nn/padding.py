"""Padding layers: wider borders, of a constant, mirrored, repeated or wrapped around."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn.module import Module
from mytorch.ops.shape import pad

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ReflectionPad1d",
    "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d",
    "ZeroPad3d",
]


def ntuple(value: Any, n: int) -> tuple[Any, ...]:
    """A sequence as a tuple; a single value n times."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


class _Pad(Module):
    """Widen the last `dims` dimensions by `padding`: an int, or (before, after) for each, the last dimension first."""

    _dims = 1
    _mode = "constant"
    padding: tuple[int, ...]

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        self.padding = ntuple(padding, 2 * self._dims)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_Pad):
    """Widen by a constant."""

    value: float

    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Widen the last dimension by a constant; negative widths crop. Shape: (*, W) -> (*, W + before + after)."""


class ConstantPad2d(_ConstantPadNd):
    """Widen the last two dimensions by a constant; `padding` is an int or (left, right, top, bottom)."""

    _dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Widen the last three dimensions by a constant."""

    _dims = 3


class ZeroPad1d(ConstantPad1d):
    """Widen the last dimension by zeros."""

    def __init__(self, padding: int | tuple[int, int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Widen the last two dimensions by zeros; `padding` is an int or (left, right, top, bottom)."""

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Widen the last three dimensions by zeros."""

    def __init__(self, padding: int | tuple[int, int, int, int, int, int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ReflectionPadNd(_Pad):
    """Widen by reflection at the edges."""

    _mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """Widen the last dimension by its mirror image, the edge not repeated: abc -> cbabcba for 2."""


class ReflectionPad2d(_ReflectionPadNd):
    """Widen the last two dimensions by their mirror images."""

    _dims = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Widen the last three dimensions by their mirror images."""

    _dims = 3


class _ReplicationPadNd(_Pad):
    """Widen by copies of the edges."""

    _mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """Widen the last dimension by its edge: abc -> aaabccc for 2."""


class ReplicationPad2d(_ReplicationPadNd):
    """Widen the last two dimensions by their edges."""

    _dims = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Widen the last three dimensions by their edges."""

    _dims = 3


class _CircularPadNd(_Pad):
    """Widen by the other end, with a check of the input's dimensions."""

    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        fewest, given = self._dims + 1, input.dim()
        if given not in (fewest, fewest + 1):
            raise ValueError(f"expected {fewest}D or {fewest + 1}D input (got {given}D input)")
        return pad(input, self.padding, self._mode)


class CircularPad1d(_CircularPadNd):
    """Widen the last dimension by its other end: abc -> bcabcab for 2."""


class CircularPad2d(_CircularPadNd):
    """Widen the last two dimensions by their other ends."""

    _dims = 2


class CircularPad3d(_CircularPadNd):
    """Widen the last three dimensions by their other ends."""

    _dims = 3
