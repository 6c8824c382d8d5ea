"""`torch.compiler`: there is no compiler, everything runs eagerly, and what would steer it has nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mytorch.inspect_tensors import compile as compile  # noqa: A004 - torch's name

__mytorch__ = True


def is_compiling() -> bool:
    """Is this code being compiled? Never."""
    return False


def is_dynamo_compiling() -> bool:
    """Is this code being compiled? Never."""
    return False


def is_exporting() -> bool:
    """Is this code being exported? Never."""
    return False


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function itself: it is not compiled. Usable as a decorator."""
    return (lambda function: function) if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """The function itself."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """The function itself."""
    return fn


def reset() -> None:
    """Forget what was compiled: nothing was."""


def cudagraph_mark_step_begin() -> None:
    """There are no CUDA graphs."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The backends of `torch.compile`: none."""
    return []


__all__ = ["allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
           "is_dynamo_compiling", "is_exporting", "list_backends", "reset"]
