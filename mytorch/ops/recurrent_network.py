"""Stacks of recurrent layers, cells, and torch's functions for both: what nn.RNN, nn.GRU and nn.LSTM compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mytorch.dtypes import legacy_name
from mytorch.engine_state import get_mode
from mytorch.ops.autocast import get_casting, lowered
from mytorch.ops.common import Op, apply, require_tensor
from mytorch.ops.dropout import dropout as dropped
from mytorch.ops.recurrent import gru_op, lstm_op, rnn_op
from mytorch.ops.recurrent_cells import gru_cell_op, lstm_cell_op, rnn_cell_op
from mytorch.ops.shape import cat, stack, transpose

__mytorch__ = True

_GATES = {"rnn": 1, "gru": 3, "lstm": 4}
_CELLS = {"rnn": rnn_cell_op, "gru": gru_cell_op, "lstm": lstm_cell_op}


def _layer(op: Op, x: Any, states: Sequence[Any], weights: Sequence[Any], **meta: Any) -> tuple[Any, ...]:
    """One layer in one direction: (output, last state or states). Complex numbers take the plain operations."""
    given = (x, *states, *weights)
    current = get_casting()
    mixed = current is not None and any(t is not None and t._array.dtype != current.dtype for t in given)
    if mixed:  # products in autocast's lower type, the rest of the cell in the type of its states
        given = (x, *states, *lowered(*weights))
    if mixed or x._array.dtype.kind == "c":
        assert op.composite is not None
        return tuple(op.composite(*given, **meta))
    if len(meta["batch_sizes"]) == 1 and (op is not lstm_op or weights[4] is None) and get_mode() is None:  # a step of a loop, such as a decoder's
        return _one_step(op, x, states, weights, **meta)
    return tuple(apply(op, given, meta)[:1 + len(states)])


def _one_step(op: Op, x: Any, states: Sequence[Any], weights: Sequence[Any], batch_sizes: tuple[int, ...], reverse: bool,
              **meta: Any) -> tuple[Any, ...]:
    """The same by the operation of the cell, whose gradients wait for those of other steps."""
    rows = x if x._array.ndim == 2 else x.squeeze(0)
    found = apply(_CELLS[op.name], (rows, *states, *weights[:4]), meta)
    ends = tuple(found) if op is lstm_op else (found,)
    return ends[0] if rows is x else ends[0].unsqueeze(0), *ends


def _check_dtypes(x: Any, *others: Any) -> None:
    kind = x._array.dtype
    for other in others:
        if other is not None and other._array.dtype is not kind and other._array.dtype != kind and get_casting() is None:
            given, expected = (legacy_name(t.dtype) for t in (other, x))
            raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {given} and {expected}: "
                               "convert the states, the weights or the input with .to(...)")


def network(op: Op, x: Any, states: Sequence[Any], weights: Sequence[Sequence[Any]], *, batch_sizes: tuple[int, ...],
            bidirectional: bool = False, dropout_p: float = 0.0, **meta: Any) -> tuple[Any, ...]:
    """All layers and directions.

    Args:
        op: `rnn_op`, `gru_op` or `lstm_op`.
        x: (T, B, I), or packed rows (rows, I).
        states: one tensor (layers * directions, B, H) for each state of the cell.
        weights: for each layer and direction the operation's weights, None for what is left out.
        batch_sizes: rows of each step, none larger than the one before.
        dropout_p: between layers; 0 in evaluation.
        meta: passed to the operation.
    Returns:
        output of the last layer (T, B, directions * H) or (rows, directions * H), then the last states, each as in `states`.
    Raises:
        RuntimeError: for an empty sequence, or dtypes that differ.
    """
    if not batch_sizes:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    if op is lstm_op and get_casting() is not None:
        x, states, weights = lowered(x, states, weights)
    _check_dtypes(x, *states, *weights[0])
    directions = 2 if bidirectional else 1
    first = [s.unbind(0) for s in states]
    last: list[tuple[Any, ...]] = []
    for start in range(0, len(weights), directions):
        outputs = []
        for k in range(start, start + directions):
            y, *ends = _layer(op, x, [s[k] for s in first], weights[k], batch_sizes=batch_sizes, reverse=k > start, **meta)
            outputs.append(y)
            last.append(tuple(ends))
        x = cat(outputs, -1) if bidirectional else outputs[0]
        if start + directions < len(weights):
            x = dropped(x, dropout_p)
    return x, *(stack(parts) for parts in zip(*last, strict=True))


def weights_by_layer(op: Op, params: Sequence[Any], has_biases: bool, projects: bool) -> list[tuple[Any, ...]]:
    """A flat list of weights, in torch's order, as the operation's weights for each layer and direction."""
    count = 2 + 2 * has_biases + projects
    found = []
    for start in range(0, len(params), count):
        w_ih, w_hh, *rest = params[start:start + count]
        biases = rest[:2] if has_biases else (None, None)
        found.append((w_ih, w_hh, *biases, *((rest[-1] if projects else None,) if op is lstm_op else ())))
    return found


# ---- torch's functions --------------------------------------------------------------------------------------------------------


def _run(op: Op, args: tuple[Any, ...], **meta: Any) -> tuple[Any, ...]:
    """Either of torch's two signatures: (input, hx, params, ..., batch_first) or (data, batch_sizes, hx, params, ...)."""
    sizes = None
    if isinstance(args[3], (list, tuple)):
        x, sizes, hx, params, has_biases, num_layers, dropout_p, train, bidirectional = args
        batch_first = False
    else:
        x, hx, params, has_biases, num_layers, dropout_p, train, bidirectional, batch_first = args
    require_tensor(op.name, x)
    states = tuple(hx) if op is lstm_op else (hx,)
    if op is lstm_op and len(states) != 2:
        raise RuntimeError("lstm expects two hidden states")
    directions = 2 if bidirectional else 1
    projects = op is lstm_op and states[0]._array.shape[-1] != states[1]._array.shape[-1]
    if len(params) != num_layers * directions * (2 + 2 * bool(has_biases) + projects):
        raise RuntimeError("got an incorrect number of RNN parameters")
    x = transpose(x, 0, 1) if batch_first else x
    shape = x._array.shape
    expected = 3 if sizes is None else 2
    if len(shape) != expected:
        raise RuntimeError(f"input must have {expected} dimensions, got {len(shape)}")
    batch_sizes = (shape[1],) * shape[0] if sizes is None else tuple(sizes.tolist())
    _check_sizes(op, shape, states, params, num_layers * directions, batch_sizes)
    y, *last = network(op, x, states, weights_by_layer(op, params, bool(has_biases), projects), batch_sizes=batch_sizes,
                       bidirectional=bool(bidirectional), dropout_p=dropout_p if train else 0.0, **meta)
    return transpose(y, 0, 1) if batch_first else y, *last


def _check_sizes(op: Op, shape: tuple[int, ...], states: Sequence[Any], params: Sequence[Any], count: int,
                 batch_sizes: tuple[int, ...]) -> None:
    w_ih = params[0]._array.shape
    if shape[-1] != w_ih[1]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({sum(batch_sizes)}x{shape[-1]} and {w_ih[1]}x{w_ih[0]}): "
                           f"{op.name}: input has {shape[-1]} features, weight_ih expects {w_ih[1]}")
    widths = (params[1]._array.shape[1], w_ih[0] // _GATES[op.name])
    for state, width in zip(states, widths, strict=False):
        wanted = (count, batch_sizes[0] if batch_sizes else 0, width)
        if batch_sizes and state._array.shape != wanted:
            raise RuntimeError(f"Expected hidden size {wanted}, got {list(state._array.shape)}")


def rnn_tanh(input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any, bidirectional: Any,  # noqa: A002
             batch_first: Any = False) -> tuple[Any, ...]:
    """Layers of tanh RNNs: (output, h_n). Also takes torch's packed form (data, batch_sizes, hx, params, ..., bidirectional).

    Args:
        params: w_ih, w_hh and, with has_biases, b_ih, b_hh of each layer and direction.
    Shape: input (T, B, I), hx (layers * directions, B, H) -> output (T, B, directions * H), h_n as hx.
    Raises:
        RuntimeError: for sizes or numbers of weights that do not fit.
    """
    return _run(rnn_op, (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first), nonlinearity="tanh")


def rnn_relu(input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any, bidirectional: Any,  # noqa: A002
             batch_first: Any = False) -> tuple[Any, ...]:
    """Layers of relu RNNs: as `rnn_tanh`."""
    return _run(rnn_op, (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first), nonlinearity="relu")


def gru(input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any, bidirectional: Any,  # noqa: A002
        batch_first: Any = False) -> tuple[Any, ...]:
    """Layers of GRUs: as `rnn_tanh`, with gates reset, update, new in the weights."""
    return _run(gru_op, (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first))


def lstm(input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any, bidirectional: Any,  # noqa: A002
         batch_first: Any = False) -> tuple[Any, ...]:
    """Layers of LSTMs: as `rnn_tanh`, with hx = (h_0, c_0), gates input, forget, cell, output: (output, h_n, c_n).

    Where h_0 is narrower than c_0, each layer's weights end with a projection w_hr.
    """
    return _run(lstm_op, (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first))


# ---- cells: one step ----------------------------------------------------------------------------------------------------------


def _cell(op: Op, layer: Op, name: str, x: Any, states: Sequence[Any], weights: Sequence[Any], **meta: Any) -> tuple[Any, ...]:
    """The states after one step: by the cell's own operation, or as a layer of one step where that knows more."""
    require_tensor(name, x)
    for i, state in enumerate(states):
        require_tensor(name, state, "hx", 2)
        _check_cell(layer, x._array.shape, state._array.shape, weights, i)
    _check_dtypes(x, *states, *weights)
    if get_mode() is None and get_casting() is None and x._array.dtype.kind != "c":
        found = apply(op, (x, *states, *weights), meta)
        return found if op.several else (found,)
    none = (None,) if layer is lstm_op else ()  # no projection
    return _layer(layer, x, states, (*weights, *none), batch_sizes=(x._array.shape[0],), reverse=False, **meta)[1:]


def _check_cell(op: Op, x: tuple[int, ...], h: tuple[int, ...], weights: Sequence[Any], place: int) -> None:
    """RuntimeError, worded as torch's, where input, state `place` and weights do not fit."""
    w_ih, w_hh = weights[0]._array.shape, weights[1]._array.shape
    gates = _GATES[op.name]
    if len(x) == 2 and h == (x[0], w_hh[1]) and w_ih == (gates * w_hh[1], x[1]):
        return
    if len(x) != 2:
        raise RuntimeError(f"input must have 2 dimensions, got {len(x)}: give a batch, input.unsqueeze(0)")
    if x[1] != w_ih[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {x[1]} expected {w_ih[1]}")
    if h[:1] != x[:1]:
        raise RuntimeError(f"Input batch size {x[0]} doesn't match hidden{place} batch size {h[0] if h else 'of a 0-d tensor'}")
    if h[1:] != w_hh[1:]:
        raise RuntimeError(f"hidden{place} has inconsistent hidden_size: got {h[1] if len(h) > 1 else h}, expected {w_hh[1]}")
    raise RuntimeError(f"weight_ih first dim must be {gates} * hidden_size = {gates * w_hh[1]}, but got {w_ih[0]}")


def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:  # noqa: A002
    """tanh(W_ih x + b_ih + W_hh h + b_hh): (B, I), (B, H) -> (B, H).

    Raises:
        RuntimeError: for sizes or dtypes that do not fit.
    """
    return _cell(rnn_cell_op, rnn_op, "rnn_tanh_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh), nonlinearity="tanh")[0]


def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:  # noqa: A002
    """relu(W_ih x + b_ih + W_hh h + b_hh): as `rnn_tanh_cell`."""
    return _cell(rnn_cell_op, rnn_op, "rnn_relu_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh), nonlinearity="relu")[0]


def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:  # noqa: A002
    """One step of a GRU: as `rnn_tanh_cell`, with gates reset, update, new in the weights."""
    return _cell(gru_cell_op, gru_op, "gru_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> tuple[Any, Any]:  # noqa: A002
    """One step of an LSTM: hx = (h, c), both (B, H) -> (h, c); gates input, forget, cell, output in the weights.

    Raises:
        TypeError: if hx is not a tuple or list.
        RuntimeError: for sizes, dtypes or a number of states that do not fit.
    """
    if not isinstance(hx, (tuple, list)):
        raise TypeError(f"lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not {type(hx).__name__}")
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    h, c = _cell(lstm_cell_op, lstm_op, "lstm_cell", input, tuple(hx), (w_ih, w_hh, b_ih, b_hh))
    return h, c
