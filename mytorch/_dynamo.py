"""`torch._dynamo`: there is no compiler, so its switches can be set and are without effect."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from mytorch.compiler import disable as disable
from mytorch.compiler import reset as reset

__mytorch__ = True


class _Switches(ModuleType):
    """Switches of a compiler that is not here. Those that nobody has set are None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


config = _Switches("mytorch._dynamo.config")
