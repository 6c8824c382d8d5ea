"""Activations and their gradients: csrc/kernels/activations.cpp."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mytorch.backends.native.extension import Array, K, dense, empty, known

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_HUGE = 1e30  # a number that float32 holds
# The names of the numbers that each is given, of which a kernel takes three.
_SETTINGS = {
    "leaky_relu": ("slope",), "threshold": ("limit", "value"), "hardtanh": ("low", "high"), "hardsigmoid": (), "hardswish": (),
    "hardshrink": ("lambd",), "softshrink": ("lambd",), "elu": ("alpha", "scale", "input_scale"), "softplus": ("beta", "limit"),
    "log_sigmoid": (), "mish": (),
}


def _answers(x: Array, numbers: list[float]) -> bool:
    """Whether the extension computes this: NumPy makes several passes, so at any size."""
    return known(x.dtype) and x.flags.c_contiguous and all(-_HUGE < number < _HUGE or number == math.inf for number in numbers)


def _forward(name: str) -> Callable[..., Any]:
    names = _SETTINGS[name]
    rest = (0.0,) * (3 - len(names))

    def override(x: Array, **meta: Any) -> Any:
        numbers = [meta[key] for key in names]
        return getattr(K, name)(x, *numbers, *rest, empty(x.shape, x.dtype)) if _answers(x, numbers) else NotImplemented

    return override


def _gradient(name: str) -> Callable[..., Any]:
    names = _SETTINGS[name]
    rest = (0.0,) * (3 - len(names))
    kernel_name = f"{name}_grad"

    def override(g: Array, x: Array, **meta: Any) -> Any:
        numbers = [meta[key] for key in names]
        if g.shape != x.shape or g.dtype != x.dtype or not _answers(x, numbers):
            return NotImplemented
        return getattr(K, kernel_name)(dense(g), x, *numbers, *rest, empty(x.shape, x.dtype))

    return override


def clamp_forward(x: Array, low: Any, high: Any) -> Any:
    """The kernel of hardtanh, where the bounds are numbers or None. It lets NaN of x pass; a bound that is NaN would have to spread."""
    below, above = -math.inf if low is None else low, math.inf if high is None else high
    for bound in (below, above):
        if type(bound) not in (int, float) or not (-_HUGE < bound < _HUGE or abs(bound) == math.inf):
            return NotImplemented
    return K.hardtanh(x, below, above, 0.0, empty(x.shape, x.dtype)) if _answers(x, []) else NotImplemented


overrides: dict[str, Callable[..., Any]] = {
    "clamp_forward": clamp_forward,
    **{name: _forward(name) for name in _SETTINGS},
    **{f"{name}_grad": _gradient(name) for name in _SETTINGS},
}
