"""Layers without initial weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.generator import default_generator
from mytorch.nn.module import Module

if TYPE_CHECKING:
    from typing import Any

__mytorch__ = True

__all__ = ["skip_init"]


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """A layer whose Parameters hold values without meaning, to be loaded; no random numbers are taken from the generator.

    Args:
        module_cls: the layer's class, whose constructor takes `device`. The rest are its arguments.
    Raises:
        RuntimeError: if it is no Module, or takes no `device`. TypeError: if it is no class.
    """
    import inspect

    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = default_generator.get_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        default_generator.set_state(state)
