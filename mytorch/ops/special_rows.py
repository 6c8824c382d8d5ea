"""What rows of special functions share: derivatives that torch lacks, and functions that it counts as constants."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from mytorch.autograd_engine import no_grad
from mytorch.ops.pointwise import binary, refusing, unary

__mytorch__ = True


def not_implemented(name: str) -> Any:
    """The formula of an input for which torch, too, has no derivative: asking for it raises, in torch's words."""
    def formula(g: Any) -> Any:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")
    return formula


def constant_unary(name: str, function: Callable[..., Any], doc: str) -> Any:
    """A function of one tensor without a derivative: its result requires no gradient, as in torch."""
    inner = unary(f"special_{name}", refusing("c", function, f"{name}_cpu"), None, doc, rule="float")

    def call(input: Any, *, out: Any = None) -> Any:  # noqa: A002 - torch's name
        with no_grad():
            return inner(input, out=out)

    return _named(call, name, doc)


def constant_binary(name: str, function: Callable[..., Any], doc: str) -> Any:
    """A function of a tensor and a degree, either of which may be a number, without a derivative."""
    inner = binary(f"special_{name}", refusing("c", function, f"{name}_cpu"), None, None, doc=doc, rule="float", numbers="either")

    def call(input: Any, n: Any, *, out: Any = None) -> Any:  # noqa: A002
        with no_grad():
            return inner(input, n, out=out)

    return _named(call, name, doc)


def _named(call: Any, name: str, doc: str) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__module__ = sys._getframe(2).f_globals["__name__"]  # of the row: pickle finds the function there
    call.__doc__ = f"{doc}\n\nShape: any -> the same; integers give floats. Derivative: none, as in torch: the result requires no gradient."
    return call
