"""Calls with a factor in front of what it multiplies: `p.add_(-lr, grad)`, as programs were written before PyTorch 1.5.

PyTorch still takes them and warns. So do these functions: `add`, `sub`, `addcmul`, `addcdiv`, `addmm` and its relatives, and
their in-place variants.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mytorch.ops.common import TensorBase

__mytorch__ = True


def reordered(name: str, alpha: Any, former: tuple[Any, ...]) -> tuple[Any, Any]:
    """(other, alpha) of a call `add(input, alpha, other)`: `former` is what was given after the two arguments that `add` has."""
    if len(former) != 1 or not _is_number(alpha) or not isinstance(former[0], TensorBase):
        raise TypeError(f"{name}() takes two tensors, and a factor by keyword: {name}(input, other, alpha=...); got {2 + len(former)} arguments")
    _warn(name, "alpha", 4)
    return former[0], alpha


def takes_former_calls(*factors: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for a function of three tensors: numbers among its positional arguments are those factors, in this order.

    `addmm(beta, input, alpha, mat1, mat2)`, `addmm(beta, input, mat1, mat2)` and `input.addmm(beta, mat1, mat2)` are
    `addmm(input, mat1, mat2, beta=beta, alpha=alpha)`.
    """
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            if len(args) > 3 and isinstance(args[-1], TensorBase) and isinstance(args[-2], TensorBase):
                tensors = [x for x in args if not _is_number(x) or isinstance(x, TensorBase)]
                numbers = [x for x in args if _is_number(x) and not isinstance(x, TensorBase)]
                if len(tensors) == 3 and len(numbers) <= len(factors) and not kwargs.keys() & set(factors):
                    _warn(function.__name__, factors[0], 3)
                    return function(*tensors, **dict(zip(factors, numbers, strict=False)), **kwargs)
            return function(*args, **kwargs)

        return run

    return decorate


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, complex, np.number)) or (isinstance(x, TensorBase) and x._array.ndim == 0)


def _warn(name: str, factor: str, level: int) -> None:
    warnings.warn(f"This overload of {name} is deprecated: the factor in front of the tensors is meant by keyword, "
                  f"{name}(..., {factor}=...)", UserWarning, stacklevel=level)
