"""Walking large arrays piece by piece, so that every pass of an update but the first finds its numbers in the cache.

An Adam update is a dozen passes over five arrays. Over a 784 x 512 weight each pass would fetch from main memory; over blocks of
128 KiB the arrays of a block stay in the second-level cache (0.7 ms against 1.1), and the scratch is one block, not one weight.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Array = np.ndarray[Any, Any]

__mytorch__ = True

_BLOCK_BYTES = 1 << 17


class _Scratch(threading.local):
    """The scratch arrays of each thread, by dtype: two optimizers may step at once on two threads."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[Any, int], Array] = {}

    def take(self, number: int, dtype: Any, shape: tuple[int, ...], size: int) -> Array:
        buffer = self.arrays.get((dtype, number))
        if buffer is None:
            buffer = self.arrays[dtype, number] = np.empty(_BLOCK_BYTES // dtype.itemsize, dtype)
        return buffer[:size].reshape(shape)


_scratch = _Scratch()


def blocks(param: Array, grad: Array, *state: Array | None) -> Iterator[tuple[Any, ...]]:
    """Matching pieces (param, grad, *state, s, t), where s and t are scratch of the pieces' shape, with any contents.

    Pieces of `param` and of `state` may be written to, `grad` is only read. All arrays have one shape and any strides; a state
    that is None stays None in every piece. Small arrays come as they are, large ones in pieces of one dimension.
    """
    size = param.size
    dtype = param.dtype
    if size * dtype.itemsize <= _BLOCK_BYTES:
        shape = param.shape
        yield (param, grad, *state, _scratch.take(0, dtype, shape, size), _scratch.take(1, dtype, shape, size))
        return
    places = [i for i, array in enumerate(state) if array is not None]
    operands = [param, grad, *(state[i] for i in places)]
    access: Any = [["readwrite"], ["readonly"], *(["readwrite"] for _ in places)]
    # External loop hands out pieces, in the order of memory; buffered bounds them, and copies only operands that are strided.
    flags: Any = ["external_loop", "buffered"]
    with np.nditer(operands, flags, access, buffersize=_BLOCK_BYTES // dtype.itemsize) as pieces:
        for p, g, *rest in pieces:
            found: list[Any] = [None] * len(state)
            for i, piece in zip(places, rest):
                found[i] = piece
            yield (p, g, *found, _scratch.take(0, dtype, p.shape, p.size), _scratch.take(1, dtype, p.shape, p.size))


# ---- lines that several papers share. Each works on the pieces of one block; t is scratch. -----------------------------------


def effective_gradient(p: Array, g: Array, s: Array, t: Array, weight_decay: float, maximize: bool) -> Array:
    """What the update calls g_t: -g when ascending, plus weight_decay * p. It is `g` itself or lies in the scratch `s`."""
    if maximize:
        g = np.negative(g, out=s)
    if weight_decay:
        np.multiply(p, weight_decay, out=t)
        g = np.add(g, t, out=s)
    return g


def update_mean(m: Array, g: Array, beta: float, t: Array) -> None:
    """m_t = beta m_{t-1} + (1 - beta) g_t, in place."""
    np.subtract(g, m, out=t)
    t *= 1 - beta
    m += t


def update_mean_square(v: Array, g: Array, beta: float, t: Array) -> None:
    """v_t = beta v_{t-1} + (1 - beta) g_t^2, in place."""
    np.multiply(g, 1 - beta, out=t)
    t *= g
    v *= beta
    v += t
