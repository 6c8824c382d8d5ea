"""One step of a recurrent network as one operation: the layers of recurrent.py without what only several steps need.

A loop of Python over a cell runs each of these once per step, so that they keep little: an RNN its output, a GRU its gates, an LSTM
its gates and its new cell state. The kernels are those of the layers with one step; so are the composites.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.backends import kernel
from mytorch.ops.common import Op, widened
from mytorch.ops.recurrent import (
    gru_composite,
    gru_layer,
    gru_layer_grad,
    lstm_composite,
    lstm_layer,
    lstm_layer_grad,
    on_arrays,
    rnn_composite,
    rnn_layer,
    rnn_layer_grad,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__mytorch__ = True

Array = Any


def _one_step(x: Any) -> dict[str, Any]:
    return {"batch_sizes": (x.shape[0],), "reverse": False}


@kernel
def rnn_cell(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, *, nonlinearity: str) -> Array:
    """act(W_ih x + b_ih + W_hh h + b_hh): x (B, I), h (B, H) -> (B, H)."""
    return rnn_layer.reference(x, h, w_ih, w_hh, b_ih, b_hh, nonlinearity=nonlinearity, **_one_step(x))[0]


@kernel
def rnn_cell_grad(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, y: Array, *, nonlinearity: str,
                  needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of (x, h, w_ih, w_hh, b_ih, b_hh)."""
    return rnn_layer_grad.reference(g, None, x, h, w_ih, w_hh, widened(y), nonlinearity=nonlinearity, needs=needs, **_one_step(x))


@kernel
def gru_cell(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None) -> tuple[Array, ...]:
    """h' (B, H); for backward gates r, z, n (B, 3 H) and q (B, H) of `gru_layer`."""
    y, _, _, gates, q = gru_layer.reference(x, h, w_ih, w_hh, b_ih, b_hh, **_one_step(x))
    return y, gates, q


@kernel
def gru_cell_grad(g: Array, x: Array, h: Array, w_ih: Array, w_hh: Array, gates: Array, q: Array, *,
                  needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of (x, h, w_ih, w_hh, b_ih, b_hh)."""
    return gru_layer_grad.reference(g, None, x, h, w_ih, w_hh, widened(h), gates, q, needs=needs, **_one_step(x))


@kernel
def lstm_cell(x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None) -> tuple[Array, ...]:
    """h', c' (B, H); for backward gates i, f, g, o (B, 4 H) of `lstm_layer`."""
    y, _, c_next, _, gates, _ = lstm_layer.reference(x, h, c, w_ih, w_hh, b_ih, b_hh, None, **_one_step(x))
    return y, c_next, gates


@kernel
def lstm_cell_grad(g: Array | None, gc: Array | None, x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, c_next: Array, gates: Array, *,
                   needs: Sequence[bool]) -> tuple[Any, ...]:
    """Gradients of (x, h, c, w_ih, w_hh, b_ih, b_hh)."""
    return lstm_layer_grad.reference(g, None, gc, x, h, c, w_ih, w_hh, None, widened(h), gates, widened(c_next), needs=(*needs, False),
                                     **_one_step(x))[:7]


# ---- the operations -----------------------------------------------------------------------------------------------------------


def _rnn_composite(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any, nonlinearity: str) -> Any:
    return rnn_composite(x, h, w_ih, w_hh, b_ih, b_hh, nonlinearity=nonlinearity, **_one_step(x))[0]


def _gru_composite(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any) -> Any:
    return gru_composite(x, h, w_ih, w_hh, b_ih, b_hh, **_one_step(x))[0]


def _lstm_composite(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *saved: Any) -> tuple[Any, ...]:
    return lstm_composite(x, h, c, w_ih, w_hh, b_ih, b_hh, None, **_one_step(x))[1:]


def _rnn_gradients(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, y: Any, nonlinearity: Any, needs: Any) -> Sequence[Any]:
    return on_arrays(rnn_cell_grad, g, x, h, w_ih, w_hh, y, nonlinearity=nonlinearity, needs=needs)


def _gru_gradients(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, gates: Any, q: Any, needs: Any) -> Sequence[Any]:
    return on_arrays(gru_cell_grad, g, x, h, w_ih, w_hh, gates, q, needs=needs)


def _lstm_gradients(g: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, c_next: Any, gates: Any, needs: Any) -> Sequence[Any]:
    return on_arrays(lstm_cell_grad, g[0], g[1], x, h, c, w_ih, w_hh, c_next, gates, needs=needs)


rnn_cell_op = Op("rnn_cell", rnn_cell, joint=_rnn_gradients, composite=_rnn_composite)
gru_cell_op = Op("gru_cell", gru_cell, joint=_gru_gradients, kept="gates q", composite=_gru_composite)
lstm_cell_op = Op("lstm_cell", lstm_cell, joint=_lstm_gradients, outputs="y c_next", kept="gates", composite=_lstm_composite)
