"""One step of a recurrent network as one operation: the layers of recurrent.py without what only several steps need.

A loop of Python over a cell runs each of these once per step, so that they keep little: an RNN its output, a GRU its gates, an LSTM
its gates and its new cell state. The kernels are those of the layers with one step; so are the composites.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends import kernel
from mytorch.late_product import LateProduct
from mytorch.ops.common import Op, widened
from mytorch.ops.recurrent import (
    gru_composite,
    gru_layer,
    gru_steps_grad,
    lstm_composite,
    lstm_layer,
    lstm_steps_grad,
    on_arrays,
    rnn_composite,
    rnn_layer,
    rnn_steps_grad,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__mytorch__ = True

Array = Any
Columns = tuple[tuple[int, int], ...]


def _one_step(x: Any) -> dict[str, Any]:
    return {"batch_sizes": (x.shape[0],), "reverse": False}


@kernel
def rnn_cell(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, *, nonlinearity: str) -> Array:
    """act(W_ih x + b_ih + W_hh h + b_hh): x (B, I), h (B, H) -> (B, H)."""
    return rnn_layer.reference(x, h, w_ih, w_hh, b_ih, b_hh, nonlinearity=nonlinearity, **_one_step(x))[0]


@kernel
def rnn_cell_grad(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, y: Array, *, nonlinearity: str,
                  needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of x, h and (B, H) of what `nonlinearity` was applied to, and the sum of the latter over the batch."""
    dh, d = rnn_steps_grad(g, None, h, w_hh, widened(y), nonlinearity=nonlinearity, **_one_step(x))
    return _input_grad(d, w_ih, needs), dh, d, d.sum(0)


@kernel
def gru_cell(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None) -> tuple[Array, ...]:
    """h' (B, H); for backward gates r, z, n (B, 3 H) and q (B, H) of `gru_layer`."""
    y, _, _, gates, q = gru_layer.reference(x, h, w_ih, w_hh, b_ih, b_hh, **_one_step(x))
    return y, gates, q


@kernel
def gru_cell_grad(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, gates: Array, q: Array, *,
                  needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of x, h and (B, 4 H) of what goes into r, z and n, and of q; and the sum of the latter over the batch."""
    dh, d = gru_steps_grad(g, None, h, w_hh, widened(h), gates, q, **_one_step(x))
    return _input_grad(d[:, :gates.shape[1]], w_ih, needs), dh, d, d.sum(0)


@kernel
def lstm_cell(x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None) -> tuple[Array, ...]:
    """h', c' (B, H); for backward gates i, f, g, o (B, 4 H) of `lstm_layer`."""
    y, _, c_next, _, gates, _ = lstm_layer.reference(x, h, c, w_ih, w_hh, b_ih, b_hh, None, **_one_step(x))
    return y, c_next, gates


@kernel
def lstm_cell_grad(g: Array | None, gc: Array | None, x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, c_next: Array, gates: Array, *,
                   needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of x, h, c and (B, 4 H) of what goes into the gates, and the sum of the latter over the batch."""
    dh, dc, d, _ = lstm_steps_grad(g, None, gc, h, c, w_hh, None, gates, widened(c_next), **_one_step(x))
    return _input_grad(d, w_ih, needs), dh, dc, d, d.sum(0)


def _input_grad(d: Array, w_ih: Array, needs: Sequence[bool]) -> Array | None:
    return np.matmul(d, widened(w_ih)) if needs[0] else None


# ---- the operations -----------------------------------------------------------------------------------------------------------


def _rnn_composite(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any, nonlinearity: str) -> Any:
    return rnn_composite(x, h, w_ih, w_hh, b_ih, b_hh, nonlinearity=nonlinearity, **_one_step(x))[0]


def _gru_composite(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any) -> Any:
    return gru_composite(x, h, w_ih, w_hh, b_ih, b_hh, **_one_step(x))[0]


def _lstm_composite(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any) -> tuple[Any, ...]:
    return lstm_composite(x, h, c, w_ih, w_hh, b_ih, b_hh, None, **_one_step(x))[1:]


def _rnn_gradients(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, y: Any, nonlinearity: Any, needs: Any) -> Sequence[Any]:
    return on_arrays(_rnn_by_factors, g, x, h, w_ih, w_hh, y, nonlinearity=nonlinearity, needs=needs)


def _rnn_by_factors(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, y: Array, *, nonlinearity: str,
                    needs: Sequence[bool]) -> tuple[Any, ...]:
    dx, dh, d, db = rnn_cell_grad(g, x, h, w_ih, w_hh, y, nonlinearity=nonlinearity, needs=needs)
    every = ((0, d.shape[1]),)
    return dx, dh, _late(d, x, every, w_ih, needs[2]), _late(d, h, every, w_hh, needs[3]), db, db


def _gru_gradients(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, gates: Any, q: Any, needs: Any) -> Sequence[Any]:
    return on_arrays(_gru_by_factors, g, x, h, w_ih, w_hh, gates, q, needs=needs)


def _gru_by_factors(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, *saved: Array, needs: Sequence[bool]) -> tuple[Any, ...]:
    dx, dh, d, db = gru_cell_grad(g, x, h, w_ih, w_hh, *saved, needs=needs)  # d: of r, z, n and q
    size = h.shape[1]
    two, three = 2 * size, 3 * size
    db_hh = np.concatenate((db[:two], db[three:])) if needs[5] else None
    return (dx, dh, _late(d, x, ((0, three),), w_ih, needs[2]), _late(d, h, ((0, two), (three, 4 * size)), w_hh, needs[3]), db[:three], db_hh)


def _lstm_gradients(g: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, c_next: Any, gates: Any, needs: Any) -> Sequence[Any]:
    return on_arrays(_lstm_by_factors, g[0], g[1], x, h, c, w_ih, w_hh, c_next, gates, needs=needs)


def _lstm_by_factors(g: Array, gc: Array, x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, *saved: Array,
                     needs: Sequence[bool]) -> tuple[Any, ...]:
    dx, dh, dc, d, db = lstm_cell_grad(g, gc, x, h, c, w_ih, w_hh, *saved, needs=needs)
    every = ((0, d.shape[1]),)
    return dx, dh, dc, _late(d, x, every, w_ih, needs[3]), _late(d, h, every, w_hh, needs[4]), db, db


def _late(d: Array, x: Array, columns: Columns, weight: Array, needed: bool) -> LateProduct | None:
    """The gradient of a weight from columns of d. A loop over a cell takes the products of many steps at once."""
    return LateProduct(d, widened(x), columns, weight.shape) if needed else None


rnn_cell_op = Op("rnn_cell", rnn_cell, joint=_rnn_gradients, composite=_rnn_composite)
gru_cell_op = Op("gru_cell", gru_cell, joint=_gru_gradients, kept="gates q", composite=_gru_composite)
lstm_cell_op = Op("lstm_cell", lstm_cell, joint=_lstm_gradients, outputs="y c_next", kept="gates", composite=_lstm_composite)
