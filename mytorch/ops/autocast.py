"""Which functions compute in what precision under `torch.autocast` on the CPU, and the casts before them.

Three rules, as PyTorch 2.13 has them (measured function by function: tests/parity/test_amp.py):

- `lowered`: products of matrices, convolutions, attention and linear layers take bfloat16 or float16;
- `full_precision`: losses, transforms, decompositions and long products take float32;
- `widest`: what joins tensors takes the widest of their types.

All others run in whatever type arrives. Only floating tensors other than float64 are cast. Outside of autocast, a function
asks one context variable and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import numpy as np

from mytorch.autograd_engine import TensorBase, apply
from mytorch.dtypes import BFLOAT16_NP
from mytorch.engine_state import get_grad_enabled

__mytorch__ = True

_FLOAT32 = np.dtype(np.float32)
_CASTABLE = (_FLOAT32, np.dtype(np.float16), BFLOAT16_NP)


class Casting:
    """Autocast, while it is on: the lower type, and the weights that have been cast to it (None: they are not kept)."""

    __slots__ = ("dtype", "kept")

    def __init__(self, dtype: np.dtype[Any], kept: dict[Any, tuple[Any, ...]] | None) -> None:
        self.dtype = dtype
        self.kept = kept


casting: ContextVar[Casting | None] = ContextVar("casting", default=None)
get_casting = casting.get


def lowered(*values: Any) -> Any:
    """The tensors among `values` in autocast's lower type; the rest as it is."""
    current = get_casting()
    assert current is not None, "asked for where get_casting() is not None"
    return [_cast(x, current.dtype, current.kept) for x in values]


def in_float32(*values: Any) -> Any:
    """The tensors among `values` in float32; the rest as it is."""
    return [_cast(x, _FLOAT32, None) for x in values]


def _cast(x: Any, wanted: np.dtype[Any], kept: dict[Any, tuple[Any, ...]] | None) -> Any:
    if not isinstance(x, TensorBase):
        return type(x)(_cast(part, wanted, kept) for part in x) if type(x) in (list, tuple) else x
    given = x._array.dtype
    if given == wanted or given not in _CASTABLE:
        return x
    from mytorch.ops.elementwise import to_dtype
    if kept is None or x._edge is not None or not x._requires_grad:
        return apply(to_dtype, (x,), {"dtype": wanted})
    # A weight is cast once, however often it is used: its gradients meet in the cast. A write to it makes the copy stale.
    key = (id(x), wanted, get_grad_enabled())
    version = 0 if x._storage is None else x._storage.version
    found = kept.get(key)
    if found is not None and found[1] is x._array and found[2] == version:
        return found[3]
    y = apply(to_dtype, (x,), {"dtype": wanted})
    kept[key] = (x, x._array, version, y)  # holds x, so that no other tensor gets its id
    return y


def lower_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Under autocast, give the function its tensors in the lower type."""
    return _under(function, lambda values: lowered(*values))


def full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Under autocast, give the function its tensors in float32."""
    return _under(function, lambda values: in_float32(*values))


def widest(function: Callable[..., Any]) -> Callable[..., Any]:
    """Under autocast, give the function its tensors in float32 if one of them is, in the lower type if none is."""

    def cast(values: list[Any]) -> Any:
        wide = any(isinstance(x, TensorBase) and x._array.dtype == _FLOAT32 for x in values)
        return in_float32(*values) if wide else lowered(*values)

    return _under(function, cast)


def _under(function: Callable[..., Any], cast: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """The function, which under autocast gets its arguments cast; what it calls itself runs as outside of autocast."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if get_casting() is None or kwargs.get("out") is not None:
            return function(*args, **kwargs)
        given = cast([*args, *kwargs.values()])
        before = casting.set(None)
        try:
            return function(*given[:len(args)], **dict(zip(kwargs, given[len(args):])))
        finally:
            casting.reset(before)

    return call


def without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the function run as outside of autocast: one that writes in place keeps its tensor's type."""
    return _under(function, list)


@contextmanager
def casting_as(current: Casting | None) -> Iterator[None]:
    """Cast, or do not, as it was when `current` was read: for what runs a function a second time."""
    before = casting.set(None if current is None else Casting(current.dtype, {}))
    try:
        yield
    finally:
        casting.reset(before)
