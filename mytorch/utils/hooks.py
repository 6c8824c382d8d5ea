"""torch's path of what every register function of a hook returns."""

from __future__ import annotations

from mytorch.hooks import RemovableHandle as RemovableHandle

__mytorch__ = True

__all__ = ["RemovableHandle"]
