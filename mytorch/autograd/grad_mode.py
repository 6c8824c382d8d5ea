"""torch's path of the gradient modes, and the switch of its backward threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.grad_mode import _GradMode
from mytorch.grad_mode import enable_grad as enable_grad
from mytorch.grad_mode import inference_mode as inference_mode
from mytorch.grad_mode import no_grad as no_grad
from mytorch.grad_mode import set_grad_enabled as set_grad_enabled

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_multithreading = True


class set_multithreading_enabled(_GradMode):  # noqa: N801 - torch's name
    """May backward use one thread per device? At once as a function, until the end as a context manager or decorator.

    On a CPU the answer changes nothing, in torch as here: backward runs in the thread that calls it.
    """

    def __init__(self, mode: bool) -> None:
        self._value = bool(mode)
        self._outer = _set(self._value)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        _set(self._outer)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        _set(self._outer)
        return super().__call__(function)

    def clone(self) -> Any:
        """A fresh context of the same kind."""
        return set_multithreading_enabled(self._value)


def _set(value: bool) -> bool:
    global _multithreading
    before, _multithreading = _multithreading, value
    return before


def is_multithreading_enabled() -> bool:
    """Was `set_multithreading_enabled` left on?"""
    return _multithreading


__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]
