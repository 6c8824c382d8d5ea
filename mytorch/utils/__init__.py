"""torch's path ``utils``: the rooms below it load when they are asked for, as in ``import mytorch.utils.data``."""

from __future__ import annotations

from typing import Any

__mytorch__ = True


_ROOMS = frozenset({"_pytree", "benchmark", "checkpoint", "collect_env", "cpp_extension", "data", "dlpack", "hooks", "model_zoo", "tensorboard"})


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'mytorch.utils' has no attribute '{name}': if torch has it, it is not supported yet")
    import importlib
    return importlib.import_module(f"mytorch.utils.{name}")
