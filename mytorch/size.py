"""Size: the shape of a tensor, a tuple of ints with torch's extras."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex

__mytorch__ = True


class Size(tuple):  # type: ignore[type-arg]  # tuple[int, ...] at run time costs a slower subclass creation
    """Sizes of a tensor, one int per dimension: ``Size([2, 3]).numel() == 6``."""

    __slots__ = ()

    def numel(self) -> int:
        """Number of elements of a tensor of this size."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self))

    def __mul__(self, times: SupportsIndex) -> Size:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[Any, ...]:
        return (Size, (tuple(self),))
