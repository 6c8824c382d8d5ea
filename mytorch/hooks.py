"""Hooks: functions of the user that see, and may replace, gradients on their way."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from mytorch.engine_state import TensorBase, as_array, as_tensor

__mytorch__ = True

_retain_lock = threading.Lock()  # of one graph, several threads may run backward


class RemovableHandle:
    """Returned by every register function of a hook; `remove()` takes the hook out again."""

    __slots__ = ("_id", "_table")
    _count = 0

    def __init__(self, table: dict[int, Any]) -> None:
        RemovableHandle._count += 1
        self._id = RemovableHandle._count
        self._table = table

    @property
    def id(self) -> int:
        """The key of the hook in its table."""
        return self._id

    def remove(self) -> None:
        """Take the hook out; a second call does nothing."""
        self._table.pop(self._id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one node: on each output's gradient, before and after the node runs, and who retains its gradient."""

    __slots__ = ("after", "before", "post_accumulate", "retain", "tensor")

    def __init__(self) -> None:
        self.tensor: dict[int, tuple[int, Callable[[Any], Any]]] = {}
        self.before: dict[int, Callable[[tuple[Any, ...]], Any]] = {}
        self.after: dict[int, Callable[..., Any]] = {}
        self.retain: dict[int, weakref.ref[TensorBase]] = {}
        self.post_accumulate: dict[int, Callable[[Any], None]] = {}

    def add(self, table: dict[int, Any], hook: Any) -> RemovableHandle:
        """Put a hook into one of the tables."""
        handle = RemovableHandle(table)
        table[handle.id] = hook
        return handle

    def on_gradients(self, grads: list[Any], as_tensors: bool) -> list[Any]:
        """The gradients of a node's outputs, after the hooks that may replace them have seen them."""
        tensors = [as_tensor(g) for g in grads]
        for nr, hook in list(self.tensor.values()):
            if tensors[nr] is not None:
                tensors[nr] = _replacement(hook(tensors[nr]), tensors[nr])
        for prehook in list(self.before.values()):
            result = prehook(tuple(tensors))
            if result is not None:
                tensors = list(result) if isinstance(result, tuple) else [result]
        for nr, ref in self.retain.items():
            tensor = ref()
            if tensor is not None and tensors[nr] is not None:
                with _retain_lock:
                    tensor._grad = tensors[nr] if tensor._grad is None else tensor._grad + tensors[nr]
        return tensors if as_tensors else [as_array(t) for t in tensors]


def _replacement(result: Any, given: Any) -> Any:
    if result is None:
        return given
    if not isinstance(result, TensorBase):
        raise TypeError(f"expected Variable, but hook returned '{type(result).__name__}'")
    if result._array.shape != given._array.shape:
        raise RuntimeError(f"hook has changed the size of value: it was given {given._array.shape} and returned {result._array.shape}")
    return result
