"""`torch.jit` for programs that use TorchScript on the side: functions and modules stay Python, and run eagerly.

Annotations and questions have their answers; `script` and `trace` return what they are given, which computes the same.
TorchScript's own files cannot be written or read: `save` and `load` raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__mytorch__ = True

__all__ = ["Final", "annotate", "export", "freeze", "ignore", "is_scripting", "is_tracing", "isinstance", "load", "optimize_for_inference",
           "save", "script", "script_if_tracing", "trace", "trace_module", "unused"]


def is_scripting() -> bool:
    """Is this code being compiled by TorchScript? Never."""
    return False


def is_tracing() -> bool:
    """Is this code being traced? Never."""
    return False


def script(obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> Any:
    """The function, class or module itself."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself: its branches are decided at each call, not once."""
    return func


def trace_module(mod: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """The module itself."""
    return mod


def script_if_tracing(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """A decorator that tells TorchScript to leave a function in Python, where it is anyway."""
    return drop if callable(drop) else lambda function: function


def unused(fn: Any) -> Any:
    """The function itself."""
    return fn


def script_method(fn: Any) -> Any:
    """The method itself."""
    return fn


def export(fn: Any) -> Any:
    """The function itself."""
    return fn


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value itself."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:  # noqa: A001 - torch's name
    """Python's isinstance; a generic type such as list[int] is asked for its origin alone."""
    import builtins
    from typing import get_origin
    kinds = target_type if builtins.isinstance(target_type, tuple) else (target_type,)
    origins: list[Any] = [get_origin(kind) or kind for kind in kinds]
    return builtins.isinstance(obj, tuple(origins))


def freeze(mod: Any, *args: Any, **kwargs: Any) -> Any:
    """The module itself."""
    return mod


def optimize_for_inference(mod: Any, *args: Any, **kwargs: Any) -> Any:
    """The module itself."""
    return mod


def __getattr__(name: str) -> Any:
    """`ScriptModule`, made when first asked for: it needs nn."""
    if name != "ScriptModule":
        raise AttributeError(f"module 'mytorch.jit' has no attribute '{name}': if torch has it, it is not supported yet")
    from mytorch.nn.module import Module

    class ScriptModule(Module):
        """A Module written for TorchScript, which runs as any other does. What `script` and `trace` return is none of these."""

    found = globals()[name] = ScriptModule
    return found


def save(m: Any, f: Any, *args: Any, **kwargs: Any) -> None:
    """Not supported.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("torch.jit.save is not supported: save the state_dict with torch.save and build the module from its class")


def load(f: Any, *args: Any, **kwargs: Any) -> Any:
    """Not supported.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("torch.jit.load is not supported: a TorchScript file holds compiled code; ask for the state_dict instead")
