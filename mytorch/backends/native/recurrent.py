"""Recurrent layers over whole sequences: csrc/kernels/recurrent.cpp. Projected LSTMs and 16-bit floats are the reference's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, empty
from mytorch.backends.rows import rows_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__mytorch__ = True


def _rows(x: Array) -> Array:
    """(T, B, I) or (rows, I) as rows."""
    return x if x.ndim == 2 or not x.size else x.reshape(-1, x.shape[-1])


def _sizes(batch_sizes: tuple[int, ...]) -> Array | None:
    """The kernel's array of sizes; None if all are equal. Sizes do not grow, so that the first and the last tell."""
    return None if batch_sizes[0] == batch_sizes[-1] else np.array(batch_sizes, np.int64)


def _ready(x: Array, *others: Array | None) -> list[Any] | None:
    """All of them as contiguous arrays, None as it is; None if they are not of one kind that the kernels know, or one is empty."""
    kind = x.dtype
    if kind is not FLOAT32 and kind is not FLOAT64:
        return None
    found: list[Any] = []
    for array in (x, *others):
        if array is None:
            found.append(None)
        elif array.dtype is not kind or not array.size:
            return None
        else:
            found.append(array if array.flags.c_contiguous else np.ascontiguousarray(array))
    return found


def _forward(run: Callable[..., Any], gates: int, x: Array, h0: Array, c0: Array | None, w_ih: Array, w_hh: Array, b_ih: Array | None,
             b_hh: Array | None, batch_sizes: tuple[int, ...], reverse: bool) -> Any:
    """y, last h, last c, h before each step, gates, q or c of each step: NotImplemented, or what the cell has of them."""
    given = _ready(_rows(x), h0, c0, w_ih, w_hh, b_ih, b_hh)
    if given is None:
        return NotImplemented
    count, size, kind = len(given[0]), h0.shape[1], x.dtype
    states = (count, size)
    y, h = empty(states, kind), empty(h0.shape, kind)
    kept = empty((count, gates * size), kind)
    c = None if c0 is None else empty(h0.shape, kind)
    previous, extra = (None, None) if gates == 1 else (empty(states, kind), empty(states, kind))
    done = run(*given, _sizes(batch_sizes), len(batch_sizes), reverse, y, h, c, previous, kept, extra)
    if done is NotImplemented:
        return done
    found = (y if x.ndim == 2 else y.reshape(*x.shape[:-1], size), h, c, previous, kept, extra)
    return tuple([part for part in found if part is not None])


def _backward(run: Callable[..., Any], gates: int, gradients: int, gy: Array | None, gh: Array | None, gc: Array | None, x: Array, h0: Array,
              c0: Array | None, w_ih: Array, w_hh: Array, previous: Array | None, kept: Array, extra: Array | None,
              batch_sizes: tuple[int, ...], reverse: bool, needs: Sequence[bool]) -> Any:
    """NotImplemented, or gradients of h0, c0, x, w_ih, w_hh and the sums of those of the gates; `needs` is of x, w_ih, w_hh."""
    kind = x.dtype
    given = _ready(_rows(x), None if gy is None else _rows(gy), h0, c0, w_ih, w_hh, previous, kept, extra)
    if given is None or not (gh is None or gh.dtype is kind) or not (gc is None or gc.dtype is kind):
        return NotImplemented
    rows, gy, *given = given
    needs_x, needs_w_ih, needs_w_hh = needs
    dh = np.zeros(h0.shape, kind) if gh is None else np.array(gh, order="C")
    dc = None if c0 is None else np.zeros(c0.shape, kind) if gc is None else np.array(gc, order="C")
    dx = empty(rows.shape, kind) if needs_x else None
    dw_ih = empty(w_ih.shape, kind) if needs_w_ih else None
    dw_hh = empty(w_hh.shape, kind) if needs_w_hh else None
    sums = np.empty(gradients * h0.shape[1], kind)
    done = run(gy, rows, *given, _sizes(batch_sizes), len(batch_sizes), reverse, dh, dc, dx, dw_ih, dw_hh, sums, None)
    if done is NotImplemented:
        return done
    return dh, dc, None if dx is None else dx.reshape(x.shape), dw_ih, dw_hh, sums


def rnn_layer(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, *, batch_sizes: tuple[int, ...],
              reverse: bool, nonlinearity: str) -> Any:
    """(h of all steps, last h, h again)."""
    return _forward(K.rnn_tanh if nonlinearity == "tanh" else K.rnn_relu, 1, x, h0, None, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse)


def rnn_layer_grad(gy: Array | None, gh: Array | None, x: Array, h0: Array, w_ih: Array, w_hh: Array, hidden: Array, *,
                   batch_sizes: tuple[int, ...], reverse: bool, nonlinearity: str, needs: Sequence[bool]) -> Any:
    """Gradients of (x, h0, w_ih, w_hh, b_ih, b_hh)."""
    found = _backward(K.rnn_tanh_grad if nonlinearity == "tanh" else K.rnn_relu_grad, 1, 1, gy, gh, None, x, h0, None, w_ih, w_hh, None,
                      hidden, None, batch_sizes, reverse, (needs[0], needs[2], needs[3]))
    if found is NotImplemented:
        return found
    dh, _, dx, dw_ih, dw_hh, db = found
    return dx, dh, dw_ih, dw_hh, db, db


def gru_layer(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, *, batch_sizes: tuple[int, ...],
              reverse: bool) -> Any:
    """(h of all steps, last h, h before each step, gates r, z, n, q)."""
    return _forward(K.gru, 3, x, h0, None, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse)


def gru_layer_grad(gy: Array | None, gh: Array | None, x: Array, h0: Array, w_ih: Array, w_hh: Array, previous: Array | None, gates: Array,
                   q: Array, *, batch_sizes: tuple[int, ...], reverse: bool, needs: Sequence[bool]) -> Any:
    """Gradients of (x, h0, w_ih, w_hh, b_ih, b_hh)."""
    found = _backward(K.gru_grad, 3, 4, gy, gh, None, x, h0, None, w_ih, w_hh, previous, gates, q, batch_sizes, reverse,
                      (needs[0], needs[2], needs[3]))
    if found is NotImplemented:
        return found
    dh, _, dx, dw_ih, dw_hh, sums = found  # sums: of r, z, n, q
    size = h0.shape[1]
    db_hh = np.concatenate((sums[:2 * size], sums[3 * size:])) if needs[5] else None
    return dx, dh, dw_ih, dw_hh, sums[:3 * size], db_hh


def lstm_layer(x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, w_hr: Array | None, *,
               batch_sizes: tuple[int, ...], reverse: bool) -> Any:
    """(h of all steps, last h, last c, h before each step, gates i, f, g, o, c after each step)."""
    if w_hr is not None:
        return NotImplemented
    return _forward(K.lstm, 4, x, h0, c0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse)


def lstm_layer_grad(gy: Array | None, gh: Array | None, gc: Array | None, x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array,
                    w_hr: Array | None, previous: Array | None, gates: Array, cells: Array, *, batch_sizes: tuple[int, ...], reverse: bool,
                    needs: Sequence[bool]) -> Any:
    """Gradients of (x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr)."""
    if w_hr is not None:
        return NotImplemented
    found = _backward(K.lstm_grad, 4, 4, gy, gh, gc, x, h0, c0, w_ih, w_hh, previous, gates, cells, batch_sizes, reverse,
                      (needs[0], needs[3], needs[4]))
    if found is NotImplemented:
        return found
    dh, dc, dx, dw_ih, dw_hh, db = found
    return dx, dh, dc, dw_ih, dw_hh, db, db, None


# ---- cells: layers of one step, whose previous states are the first ones --------------------------------------------------------


def _cell_backward(run: Callable[..., Any], gradients: int, g: Array | None, gc: Array | None, x: Array, h: Array, c: Array | None, w_ih: Array,
                   w_hh: Array, kept: Array, extra: Array | None, needs_x: bool) -> Any:
    """NotImplemented, or gradients of x, h, c (None without one) and the gates, and the sums of the latter."""
    given = _ready(x, g, h, c, w_ih, w_hh, kept, extra)
    kind, shape = x.dtype, h.shape
    if given is None or not (gc is None or gc.dtype is kind):
        return NotImplemented
    rows, g, h, c, w_ih, w_hh, kept, extra = given
    dx = empty(x.shape, kind) if needs_x else None
    dh = np.zeros(shape, kind)
    dc = None if c is None else np.zeros(shape, kind) if gc is None else np.array(gc, order="C")
    d, sums = rows_for(w_hh, shape[0], gradients * shape[1]), np.empty(gradients * shape[1], kind)
    done = run(g, rows, h, c, w_ih, w_hh, None, kept, extra, None, 1, 0, dh, dc, dx, None, None, sums, d)
    return done if done is NotImplemented else (dx, dh, dc, d, sums)


def _without_c(found: Any) -> Any:
    return found if found is NotImplemented else (found[0], found[1], found[3], found[4])


def rnn_cell(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, *, nonlinearity: str) -> Any:
    """h'."""
    given = _ready(x, h, None, w_ih, w_hh, b_ih, b_hh)
    if given is None:
        return NotImplemented
    y = empty(h.shape, x.dtype)
    return (K.rnn_tanh if nonlinearity == "tanh" else K.rnn_relu)(*given, None, 1, 0, y, None, None, None, y, None)


def rnn_cell_grad(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, y: Array, *, nonlinearity: str, needs: Sequence[bool]) -> Any:
    """Gradients of x, h and the argument of `nonlinearity`, and the sum of the latter."""
    run = K.rnn_tanh_grad if nonlinearity == "tanh" else K.rnn_relu_grad
    return _without_c(_cell_backward(run, 1, g, None, x, h, None, w_ih, w_hh, y, None, needs[0]))


def gru_cell(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None) -> Any:
    """(h', gates r, z, n, q)."""
    given = _ready(x, h, None, w_ih, w_hh, b_ih, b_hh)
    if given is None:
        return NotImplemented
    kind, shape = x.dtype, h.shape
    y, gates, q = empty(shape, kind), empty((shape[0], 3 * shape[1]), kind), empty(shape, kind)
    done = K.gru(*given, None, 1, 0, y, None, None, None, gates, q)
    return done if done is NotImplemented else (y, gates, q)


def gru_cell_grad(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, gates: Array, q: Array, *, needs: Sequence[bool]) -> Any:
    """Gradients of x, h and (r, z, n, q), and the sum of the latter."""
    return _without_c(_cell_backward(K.gru_grad, 4, g, None, x, h, None, w_ih, w_hh, gates, q, needs[0]))


def lstm_cell(x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None) -> Any:
    """(h', c', gates i, f, g, o)."""
    given = _ready(x, h, c, w_ih, w_hh, b_ih, b_hh)
    if given is None:
        return NotImplemented
    kind, shape = x.dtype, h.shape
    y, gates, c_next = empty(shape, kind), empty((shape[0], 4 * shape[1]), kind), empty(shape, kind)
    done = K.lstm(*given, None, 1, 0, y, None, None, None, gates, c_next)
    return done if done is NotImplemented else (y, c_next, gates)


def lstm_cell_grad(g: Array | None, gc: Array | None, x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, c_next: Array, gates: Array, *,
                   needs: Sequence[bool]) -> Any:
    """Gradients of x, h, c and (i, f, g, o), and the sum of the latter."""
    return _cell_backward(K.lstm_grad, 4, g, gc, x, h, c, w_ih, w_hh, gates, c_next, needs[0])


overrides = {f.__name__: f for f in (rnn_layer, rnn_layer_grad, gru_layer, gru_layer_grad, lstm_layer, lstm_layer_grad,
                                     rnn_cell, rnn_cell_grad, gru_cell, gru_cell_grad, lstm_cell, lstm_cell_grad)}
