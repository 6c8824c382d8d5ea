"""One recurrent layer in one direction over whole sequences, as one operation: tanh or relu RNN, GRU, LSTM.

Rows are packed as in a PackedSequence: all first steps, then all second steps, and so on; `batch_sizes[t]` rows belong to step t,
never more than to the step before. A padded batch (T, B, I) is the case of T equal sizes. Weights and gates are in torch's order:
GRU reset, update, new; LSTM input, forget, cell, output.

Forward: the input projections of all steps are one product, then each step is one product and its gates. Backward: the factors
that do not depend on the incoming gradient are computed for all steps at once, then each step is a few multiplications and one
product, and each weight gradient is one product at the end. While NumPy works on gates they are planes (gate, row, feature), so that what
a step touches is contiguous: two to three times faster than columns of wide rows. Kept for backward they are rows (row, gate *
feature), which is what native kernels work on.

The composites at the end of the file say the same step by step in plain operations: they are what a second derivative
differentiates, and what the tests compare the kernels with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from mytorch.backends import kernel
from mytorch.engine_state import as_array, as_tensor
from mytorch.late_product import taken
from mytorch.ops.common import Op, narrowed, widened
from mytorch.ops.elementwise import relu, sigmoid, tanh
from mytorch.ops.shape import cat

__mytorch__ = True

Array = Any


def _steps(batch_sizes: Sequence[int], reverse: bool) -> list[slice]:
    """The rows of each step, in the order in which the layer takes them."""
    rows = [slice(end - size, end) for end, size in zip(accumulate(batch_sizes), batch_sizes, strict=True)]
    return rows[::-1] if reverse else rows


def _fresh(state: Array) -> Array:
    """A copy of a state, to be overwritten step by step: rows whose sequence has ended keep their last value."""
    return np.array(widened(state), order="C")


def _planes(weight: Array, gates: int) -> Array:
    """A weight (gates * H, I) as one matrix (H, I) per gate."""
    return widened(weight).reshape(gates, -1, weight.shape[1])


def _projection(x: Array, weight: Array, bias: Array | None, gates: int) -> Array:
    """W x + b of all rows, by gate: (gates, rows, H)."""
    y = np.matmul(widened(x).reshape(-1, x.shape[-1]), _planes(weight, gates).mT)
    if bias is not None:
        y += bias.reshape(gates, 1, -1)
    return y


def _total_bias(b_ih: Array | None, b_hh: Array | None) -> Array | None:
    if b_ih is None:
        return None if b_hh is None else widened(b_hh)
    return widened(b_ih) if b_hh is None else widened(b_ih) + widened(b_hh)


def _transposed(weight: Array, gates: int, steps: int) -> Array:
    """The transposes of `_planes`: copied into order if enough steps read them, else as views."""
    view = _planes(weight, gates).mT
    return np.ascontiguousarray(view) if steps > 2 else view


def _by_rows(planes: Array) -> Array:
    """(gates, rows, H) as (rows, gates * H)."""
    gates, rows, size = planes.shape
    return np.ascontiguousarray(planes.transpose(1, 0, 2)).reshape(rows, gates * size)


def _by_gates(rows: Array, gates: int) -> Array:
    """(rows, gates * H) as (gates, rows, H)."""
    return np.ascontiguousarray(rows.reshape(len(rows), gates, rows.shape[1] // gates).transpose(1, 0, 2))


def _as_output(rows: Array, x: Array) -> Array:
    return narrowed(rows.reshape(*x.shape[:-1], rows.shape[-1]), x.dtype)


def _sigmoid(a: Array) -> None:
    np.negative(a, out=a)
    np.exp(a, out=a)
    a += 1
    np.reciprocal(a, out=a)


def _before(states: Array, first: Array, batch_sizes: Sequence[int], reverse: bool) -> Array:
    """For each row the state that its step began with, from the states that the steps ended with."""
    previous = np.empty_like(states)
    state = _fresh(first)
    for rows in _steps(batch_sizes, reverse):
        size = rows.stop - rows.start
        previous[rows] = state[:size]
        state[:size] = states[rows]
    return previous


def _incoming(g: Array | None, width: int) -> Array | None:
    return None if g is None else widened(g).reshape(-1, width)


def _final(g: Array | None, state: Array) -> Array:
    """The gradient of a last state as a buffer that becomes the gradient of the first one."""
    return np.zeros(state.shape, widened(state).dtype) if g is None else _fresh(g)


def _input_grads(d: Array, x: Array, w_ih: Array, needs: Sequence[bool]) -> tuple[Any, Any, Any]:
    """Gradients of x, its weight and its bias, from that of the projection."""
    dx = np.matmul(d, widened(w_ih)).reshape(x.shape) if needs[0] else None
    dw = np.matmul(d.T, widened(x).reshape(-1, x.shape[-1])) if needs[1] else None
    return dx, dw, d.sum(0) if needs[2] else None


# ---- RNN ----------------------------------------------------------------------------------------------------------------------


@kernel
def rnn_layer(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, *,
              batch_sizes: tuple[int, ...], reverse: bool, nonlinearity: str) -> tuple[Array, ...]:
    """h_t = act(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh) for all steps.

    Shape: x (T, B, I) or (rows, I), h0 (B, H) -> h of all steps (T, B, H) or (rows, H), last h (B, H), h again for backward.
    """
    hidden = _projection(x, w_ih, _total_bias(b_ih, b_hh), 1)[0]
    h, w = _fresh(h0), _transposed(w_hh, 1, len(batch_sizes))[0]
    product = np.empty_like(h)
    for rows in _steps(batch_sizes, reverse):
        step = hidden[rows]
        state = h[:len(step)]
        step += np.matmul(state, w, out=product[:len(step)])
        if nonlinearity == "tanh":
            np.tanh(step, out=step)
        else:
            np.maximum(step, 0, out=step)
        state[...] = step
    return _as_output(hidden.copy(), x), narrowed(h, x.dtype), hidden


@kernel
def rnn_layer_grad(gy: Array | None, gh: Array | None, x: Array, h0: Array, w_ih: Array, w_hh: Array, hidden: Array, *,
                   batch_sizes: tuple[int, ...], reverse: bool, nonlinearity: str, needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of (x, h0, w_ih, w_hh, b_ih, b_hh); None where `needs` is False."""
    dh, d = rnn_steps_grad(gy, gh, h0, w_hh, hidden, batch_sizes=batch_sizes, reverse=reverse, nonlinearity=nonlinearity)
    dx, dw_ih, db = _input_grads(d, x, w_ih, (needs[0], needs[2], needs[4] or needs[5]))
    dw_hh = np.matmul(d.T, _before(hidden, h0, batch_sizes, reverse)) if needs[3] else None
    return dx, dh, dw_ih, dw_hh, db, db


def rnn_steps_grad(gy: Array | None, gh: Array | None, h0: Array, w_hh: Array, hidden: Array, *, batch_sizes: tuple[int, ...], reverse: bool,
                   nonlinearity: str) -> tuple[Array, Array]:
    """Gradients of h0 and, (rows, H), of what `nonlinearity` was applied to."""
    d = 1 - np.square(hidden) if nonlinearity == "tanh" else (hidden > 0).astype(hidden.dtype)  # the slopes, then the gradients
    gy, dh, w = _incoming(gy, hidden.shape[1]), _final(gh, h0), widened(w_hh)
    for rows in reversed(_steps(batch_sizes, reverse)):
        step = d[rows]
        state = dh[:len(step)]
        if gy is not None:
            state += gy[rows]
        step *= state
        np.matmul(step, w, out=state)
    return dh, d


# ---- GRU ----------------------------------------------------------------------------------------------------------------------


@kernel
def gru_layer(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, *,
              batch_sizes: tuple[int, ...], reverse: bool) -> tuple[Array, ...]:
    """r, z = sigmoid(W_ih x_t + b_ih + W_hh h + b_hh); q = W_hn h + b_hn; n = tanh(W_in x_t + b_in + r q); h_t = n + z (h - n).

    Shape: x (T, B, I) or (rows, I), h0 (B, H) -> h of all steps, last h (B, H); for backward h before each step (rows, H),
        gates r, z, n (rows, 3 H), q (rows, H).
    """
    h, w = _fresh(h0), _transposed(w_hh, 3, len(batch_sizes))
    bias, bias_q = _gru_biases(b_ih, b_hh, h.shape[1])
    gates = _projection(x, w_ih, bias, 3)
    y, previous, q = (np.empty(gates.shape[1:], gates.dtype) for _ in range(3))
    product, scratch = np.empty((3, *h.shape), gates.dtype), np.empty_like(h)
    for rows in _steps(batch_sizes, reverse):
        step, candidate = gates[:, rows], q[rows]
        count = len(candidate)
        state, n, t = h[:count], step[2], scratch[:count]
        previous[rows] = state
        recurrent = np.matmul(state, w, out=product[:, :count])
        reset_update = step[:2]
        reset_update += recurrent[:2]
        _sigmoid(reset_update)
        np.add(recurrent[2], bias_q, out=candidate)
        n += np.multiply(step[0], candidate, out=t)
        np.tanh(n, out=n)
        state -= n
        state *= step[1]
        state += n
        y[rows] = state
    return _as_output(y, x), narrowed(h, x.dtype), previous, _by_rows(gates), q


def _gru_biases(b_ih: Array | None, b_hh: Array | None, size: int) -> tuple[Array | None, Any]:
    """The bias that joins the input projections and the one of q, which the reset gate multiplies."""
    if b_hh is None:
        return (None if b_ih is None else widened(b_ih)), 0
    recurrent = widened(b_hh)
    joint = np.zeros_like(recurrent) if b_ih is None else widened(b_ih).copy()
    joint[:2 * size] += recurrent[:2 * size]
    return joint, recurrent[2 * size:]


@kernel
def gru_layer_grad(gy: Array | None, gh: Array | None, x: Array, h0: Array, w_ih: Array, w_hh: Array, previous: Array, gates: Array,
                   q: Array, *, batch_sizes: tuple[int, ...], reverse: bool, needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of (x, h0, w_ih, w_hh, b_ih, b_hh); None where `needs` is False."""
    dh, d = gru_steps_grad(gy, gh, h0, w_hh, previous, gates, q, batch_sizes=batch_sizes, reverse=reverse)
    size = q.shape[1]
    dx, dw_ih, db_ih = _input_grads(d[:, :3 * size], x, w_ih, (needs[0], needs[2], needs[4]))
    recurrent = np.delete(d, np.s_[2 * size:3 * size], 1)  # of W_hh h + b_hh
    dw_hh = np.matmul(recurrent.T, previous) if needs[3] else None
    return dx, dh, dw_ih, dw_hh, db_ih, recurrent.sum(0) if needs[5] else None


def gru_steps_grad(gy: Array | None, gh: Array | None, h0: Array, w_hh: Array, previous: Array, gates: Array, q: Array, *,
                   batch_sizes: tuple[int, ...], reverse: bool) -> tuple[Array, Array]:
    """Gradients of h0 and, (rows, 4 H), of what goes into r, z and n, and of q: the first three are also those of the input
    projections, and r, z and q those of the recurrent ones."""
    gates = _by_gates(gates, 3)
    r, z, n = gates
    size = q.shape[1]
    d = np.empty((4, *q.shape), q.dtype)  # of r, z, q and n: the slopes, then the gradients
    d[:2] = 1 - gates[:2]
    d[3] = d[1] * (1 - np.square(n))
    d[:2] *= gates[:2]
    d[0] *= q
    d[1] *= previous - n
    gy, dh, w = _incoming(gy, size), _final(gh, h0), _planes(w_hh, 3)
    product = np.empty((3, *dh.shape), dh.dtype)
    for rows in reversed(_steps(batch_sizes, reverse)):
        step = d[:, rows]
        d_r, d_z, d_q, d_n = step
        count = len(d_n)
        state = dh[:count]
        if gy is not None:
            state += gy[rows]
        d_n *= state
        d_r *= d_n
        d_z *= state
        np.multiply(d_n, r[rows], out=d_q)
        state *= z[rows]
        for part in np.matmul(step[:3], w, out=product[:, :count]):
            state += part
    return dh, _by_rows(d[[0, 1, 3, 2]])


# ---- LSTM ---------------------------------------------------------------------------------------------------------------------


@kernel
def lstm_layer(x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, w_hr: Array | None, *,
               batch_sizes: tuple[int, ...], reverse: bool) -> tuple[Array, ...]:
    """i, f, o = sigmoid(...), g = tanh(...) of W_ih x_t + b_ih + W_hh h + b_hh; c_t = f c + i g; h_t = o tanh(c_t), times W_hr if given.

    Shape: x (T, B, I) or (rows, I), h0 (B, P), c0 (B, H) -> h of all steps (T, B, P) or (rows, P), last h, last c; for backward
        h before each step (rows, P), gates i, f, g, o (rows, 4 H), c after each step (rows, H).
    """
    h, c, w = _fresh(h0), _fresh(c0), _transposed(w_hh, 4, len(batch_sizes))
    w_project = None if w_hr is None else _transposed(w_hr, 1, len(batch_sizes))[0]
    gates = _projection(x, w_ih, _total_bias(b_ih, b_hh), 4)
    y, previous = (np.empty((gates.shape[1], h.shape[1]), gates.dtype) for _ in range(2))
    cells, product, scratch = np.empty(gates.shape[1:], gates.dtype), np.empty((4, *c.shape), gates.dtype), np.empty_like(c)
    for rows in _steps(batch_sizes, reverse):
        step = gates[:, rows]
        count = step.shape[1]
        state, cell, t = h[:count], c[:count], scratch[:count]
        previous[rows] = state
        step += np.matmul(state, w, out=product[:, :count])
        _sigmoid(step[:2])
        np.tanh(step[2], out=step[2])
        _sigmoid(step[3])
        cell *= step[1]
        cell += np.multiply(step[0], step[2], out=t)
        cells[rows] = cell
        np.tanh(cell, out=t)
        if w_project is None:
            np.multiply(t, step[3], out=state)
        else:
            t *= step[3]
            np.matmul(t, w_project, out=state)
        y[rows] = state
    return _as_output(y, x), narrowed(h, x.dtype), narrowed(c, x.dtype), previous, _by_rows(gates), cells


@kernel
def lstm_layer_grad(gy: Array | None, gh: Array | None, gc: Array | None, x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array,
                    w_hr: Array | None, previous: Array, gates: Array, cells: Array, *, batch_sizes: tuple[int, ...], reverse: bool,
                    needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of (x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr); None where `needs` is False."""
    dh, dc, d, projected = lstm_steps_grad(gy, gh, gc, h0, c0, w_hh, w_hr, gates, cells, batch_sizes=batch_sizes, reverse=reverse)
    dx, dw_ih, db = _input_grads(d, x, w_ih, (needs[0], needs[3], needs[5] or needs[6]))
    dw_hh = np.matmul(d.T, previous) if needs[4] else None
    dw_hr = None if projected is None else np.matmul(projected.T, _by_gates(gates, 4)[3] * np.tanh(cells))
    return dx, dh, dc, dw_ih, dw_hh, db, db, dw_hr


def lstm_steps_grad(gy: Array | None, gh: Array | None, gc: Array | None, h0: Array, c0: Array, w_hh: Array, w_hr: Array | None, gates: Array,
                    cells: Array, *, batch_sizes: tuple[int, ...], reverse: bool) -> tuple[Array, Array, Array, Array | None]:
    """Gradients of h0, c0, (rows, 4 H) of what goes into the gates, and, if there is a w_hr, of each step's h."""
    gates, tanh_c = _by_gates(gates, 4), np.tanh(cells)
    d, to_cell = _lstm_slopes(gates, tanh_c, _before(cells, c0, batch_sizes, reverse))
    gy, dh, dc, w = _incoming(gy, h0.shape[1]), _final(gh, h0), _final(gc, c0), _planes(w_hh, 4)
    w_project: Any = None if w_hr is None else widened(w_hr)
    projected = None if w_hr is None else np.empty((len(cells), h0.shape[1]), cells.dtype)
    product = np.empty((4, *dh.shape), dh.dtype)
    for rows in reversed(_steps(batch_sizes, reverse)):
        step, through = d[:, rows], to_cell[rows]
        count = len(through)
        state, cell = dh[:count], dc[:count]
        if gy is not None:
            state += gy[rows]
        inner = state
        if projected is not None:
            projected[rows] = state
            inner = np.matmul(state, w_project)
        step[3] *= inner
        through *= inner
        cell += through
        step[:3] *= cell
        cell *= gates[1, rows]
        np.add.reduce(np.matmul(step, w, out=product[:, :count]), axis=0, out=state)
    return dh, dc, _by_rows(d), projected


def _lstm_slopes(gates: Array, tanh_c: Array, c_before: Array) -> tuple[Array, Array]:
    """What the step's gradient multiplies: slopes of the gates i, f, g (by that of c) and o (by that of h), and of c by h."""
    i, _, g, o = gates
    d = np.subtract(1, gates)
    d *= gates
    d[0] *= g
    d[1] *= c_before
    d[2] = (1 - np.square(g)) * i
    d[3] *= tanh_c
    return d, (1 - np.square(tanh_c)) * o


# ---- the same, in plain operations --------------------------------------------------------------------------------------------


def _unrolled(cell: Callable[..., tuple[Any, ...]], x: Any, states: tuple[Any, ...], w_ih: Any, b_ih: Any,
              batch_sizes: tuple[int, ...], reverse: bool) -> tuple[Any, ...]:
    """A layer step by step: `cell(projected input, *states)` gives the next states, of which the first is the output."""
    projected = x.reshape(-1, x.shape[-1]) @ w_ih.mT
    if b_ih is not None:
        projected = projected + b_ih
    inputs = projected.split(list(batch_sizes))
    live = tuple(s[:batch_sizes[-1 if reverse else 0]] for s in states)
    ended: list[tuple[Any, ...]] = []
    outputs = [None] * len(batch_sizes)
    order = range(len(batch_sizes))
    for t in reversed(order) if reverse else order:
        size, before = batch_sizes[t], live[0].shape[0]
        if size < before:
            ended.append(tuple(s[size:] for s in live))
            live = tuple(s[:size] for s in live)
        elif size > before:
            live = tuple(cat([s, first[before:size]]) for s, first in zip(live, states, strict=True))
        live = cell(inputs[t], *live)
        outputs[t] = live[0]
    last = (cat([s, *[part[k] for part in reversed(ended)]]) for k, s in enumerate(live))
    return cat(outputs).reshape(*x.shape[:-1], -1), *last


def _affine(h: Any, weight: Any, bias: Any) -> Any:
    y = h @ weight.mT
    return y if bias is None else y + bias


def rnn_composite(x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any, batch_sizes: tuple[int, ...],
                  reverse: bool, nonlinearity: str) -> tuple[Any, ...]:
    """`rnn_layer` in plain operations: (h of all steps, last h)."""
    activate = tanh if nonlinearity == "tanh" else relu

    def cell(a: Any, h: Any) -> tuple[Any, ...]:
        return (activate(a + _affine(h, w_hh, b_hh)),)

    return _unrolled(cell, x, (h0,), w_ih, b_ih, batch_sizes, reverse)


def gru_composite(x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any, batch_sizes: tuple[int, ...],
                  reverse: bool) -> tuple[Any, ...]:
    """`gru_layer` in plain operations: (h of all steps, last h)."""
    def cell(a: Any, h: Any) -> tuple[Any, ...]:
        a_r, a_z, a_n = a.chunk(3, -1)
        b_r, b_z, q = _affine(h, w_hh, b_hh).chunk(3, -1)
        n = tanh(a_n + sigmoid(a_r + b_r) * q)
        return (n + sigmoid(a_z + b_z) * (h - n),)

    return _unrolled(cell, x, (h0,), w_ih, b_ih, batch_sizes, reverse)


def lstm_composite(x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any, *saved: Any,
                   batch_sizes: tuple[int, ...], reverse: bool) -> tuple[Any, ...]:
    """`lstm_layer` in plain operations: (h of all steps, last h, last c)."""
    def cell(a: Any, h: Any, c: Any) -> tuple[Any, ...]:
        i, f, g, o = (a + _affine(h, w_hh, b_hh)).chunk(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h if w_hr is None else h @ w_hr.mT), c

    return _unrolled(cell, x, (h0, c0), w_ih, b_ih, batch_sizes, reverse)


# ---- the operations -----------------------------------------------------------------------------------------------------------


def on_arrays(grad_kernel: Callable[..., Any], *values: Any, **meta: Any) -> Sequence[Any]:
    """A gradient kernel on arrays, or on Tensors where a node is called by hand without recording a graph. The last value is never None."""
    if type(values[-1]) is np.ndarray:
        return grad_kernel(*values, **meta)
    return [as_tensor(taken(d)) for d in grad_kernel(*[as_array(v) for v in values], **meta)]


def _rnn_gradients(g: Any, x: Any, h0: Any, w_ih: Any, w_hh: Any, hidden: Any, batch_sizes: Any, reverse: Any, nonlinearity: Any,
                   needs: Any) -> Sequence[Any]:
    return on_arrays(rnn_layer_grad, g[0], g[1], x, h0, w_ih, w_hh, hidden, batch_sizes=batch_sizes, reverse=reverse,
                     nonlinearity=nonlinearity, needs=needs)


def _gru_gradients(g: Any, x: Any, h0: Any, w_ih: Any, w_hh: Any, previous: Any, gates: Any, q: Any, batch_sizes: Any, reverse: Any,
                   needs: Any) -> Sequence[Any]:
    return on_arrays(gru_layer_grad, g[0], g[1], x, h0, w_ih, w_hh, previous, gates, q, batch_sizes=batch_sizes, reverse=reverse,
                     needs=needs)


def _lstm_gradients(g: Any, x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, w_hr: Any, previous: Any, gates: Any, cells: Any,
                    batch_sizes: Any, reverse: Any, needs: Any) -> Sequence[Any]:
    return on_arrays(lstm_layer_grad, g[0], g[1], g[2], x, h0, c0, w_ih, w_hh, w_hr, previous, gates, cells, batch_sizes=batch_sizes,
                     reverse=reverse, needs=needs)


rnn_op = Op("rnn", rnn_layer, joint=_rnn_gradients, inputs="x h0 w_ih w_hh b_ih b_hh", outputs="y h hidden", composite=rnn_composite)
gru_op = Op("gru", gru_layer, joint=_gru_gradients, inputs="x h0 w_ih w_hh b_ih b_hh", outputs="y h previous gates q",
            composite=gru_composite)
lstm_op = Op("lstm", lstm_layer, joint=_lstm_gradients, inputs="x h0 c0 w_ih w_hh b_ih b_hh w_hr",
             outputs="y h c previous gates cells", composite=lstm_composite)
