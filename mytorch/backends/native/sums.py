"""Sums over dimensions: csrc/kernels/sums.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.backends.native.extension import FLOAT32, Array, K, empty, known

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_SMALLEST = 2048  # elements; below, NumPy is as fast

Ints = tuple[int, ...]


def _reduction(name: str) -> Callable[..., Any]:
    """The override of a sum over dimensions of an array that lies in order."""
    def override(x: Array, *, dim: Ints | None, keepdim: bool) -> Any:
        if not _answers(x):
            return NotImplemented
        if dim is None:
            return getattr(K, name)(x, empty((1,) * x.ndim if keepdim else (), x.dtype), 1, 1, x.size, 1, 1.0)
        if keepdim:
            shape = tuple([1 if i in dim else n for i, n in enumerate(x.shape)])
        else:
            shape = tuple([n for i, n in enumerate(x.shape) if i not in dim])
        return _sum(name, x, dim, shape)

    return override


def sum_to(x: Array, *, shape: Ints) -> Any:
    """The sum over the dimensions that broadcasting added or repeated."""
    kind = x.dtype
    if (kind is FLOAT32 or kind.kind == "V") and x.ndim == 2 and shape == x.shape[1:] and x.size > 0 and x.flags.c_contiguous:  # a bias: any size
        return K.sum(x, empty(shape, x.dtype), 1, 1, x.shape[0], x.shape[1], 1.0)
    lead = x.ndim - len(shape)
    if lead < 0 or not _answers(x) or any(n not in (1, m) for n, m in zip(shape, x.shape[lead:])):
        return NotImplemented
    dim = tuple([i for i, m in enumerate(x.shape) if i < lead or (m != 1 and shape[i - lead] == 1)])
    return _sum("sum", x, dim, shape)


def _answers(x: Array) -> bool:
    return K.worth(x.size, _SMALLEST) and known(x.dtype) and x.size > 0 and x.flags.c_contiguous


def _sum(name: str, x: Array, dim: Ints, shape: Ints) -> Any:
    """As the kernel sees it: x (a, b, c, d), summed over a and c, each of them one or several dimensions, or none."""
    a, b, c, d = 1, 1, 1, 1
    turn = 0  # how often dimensions that stay and those that go have taken turns; from the end: d stays, c goes, b stays, a goes
    for i in range(x.ndim - 1, -1, -1):
        n = x.shape[i]
        if n == 1:
            continue
        if (i in dim) != (turn % 2 == 1):
            turn += 1
        if turn == 0:
            d *= n
        elif turn == 1:
            c *= n
        elif turn == 2:
            b *= n
        elif turn == 3:
            a *= n
        else:
            return NotImplemented
    return getattr(K, name)(x, empty(shape, x.dtype), a, b, c, d, 1.0)


overrides = {"reduce_sum": _reduction("sum"), "sum_to": sum_to, "sum_of_squares": _reduction("sum_of_squares")}
