"""torch's path ``utils``: the rooms below it load when they are asked for, as in ``import mytorch.utils.data``."""

from __future__ import annotations

__mytorch__ = True
