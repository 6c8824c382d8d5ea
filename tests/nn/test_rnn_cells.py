"""Cells are one operation per step: against layers of one step, finite differences, and what may be done with their results."""

from __future__ import annotations

import pytest

import mytorch as torch
from mytorch.autograd_engine import grad
from mytorch.nn.gru import GRUCell
from mytorch.nn.lstm import LSTMCell
from mytorch.nn.rnn import RNNCell
from mytorch.ops.recurrent import gru_op, lstm_op, rnn_op
from mytorch.ops.recurrent_cells import gru_cell_op, lstm_cell_op, rnn_cell_op

OPS = {
    "rnn tanh": (rnn_cell_op, rnn_op, 1, {"nonlinearity": "tanh"}),
    "rnn relu": (rnn_cell_op, rnn_op, 1, {"nonlinearity": "relu"}),
    "gru": (gru_cell_op, gru_op, 3, {}),
    "lstm": (lstm_cell_op, lstm_op, 4, {}),
}
CELLS = {"rnn": RNNCell, "gru": GRUCell, "lstm": LSTMCell}


def inputs_for(name, bias=True):
    """Random x, states and weights of a cell for a batch of 3."""
    gates = OPS[name][2]
    shapes = [(3, 4), (3, 5)] + [(3, 5)] * (name == "lstm") + [(gates * 5, 4), (gates * 5, 5), (gates * 5,), (gates * 5,)]
    given = [torch.randn(*shape, dtype=torch.float64).requires_grad_() for shape in shapes]
    return given if bias else [*given[:-2], None, None]


def states_of(op, results):
    """What the cell returns, as a list."""
    return list(results) if op.several else [results]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", OPS)
def test_cell_equals_a_layer_of_one_step(name, bias):
    op, layer, _, meta = OPS[name]
    given = inputs_for(name, bias)
    leaves = [x for x in given if x is not None]
    states = 2 if name == "lstm" else 1
    found = states_of(op, op(*given, **meta))
    expected = layer(*given, *[None] * (name == "lstm"), batch_sizes=(3,), reverse=False, **meta)[1:1 + states]
    directions = [torch.randn(3, 5, dtype=torch.float64) for _ in found]
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)
    for a, b in zip(grad(found, leaves, directions), grad(list(expected), leaves, directions), strict=True):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["rnn tanh", "gru", "lstm"])
def test_first_and_second_derivatives_agree_with_finite_differences(name):
    op, _, _, meta = OPS[name]
    given = inputs_for(name)

    def run(*values):
        return tuple(states_of(op, op(*values, **meta)))

    assert torch.autograd.gradcheck(run, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, given, fast_mode=True)


@pytest.mark.parametrize("name", CELLS)
def test_a_loop_over_a_cell_equals_the_layer(name):
    torch.manual_seed(3)
    cell = CELLS[name](4, 5).double()
    layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name](4, 5).double()
    with torch.no_grad():
        for own, other in zip(layer.parameters(), cell.parameters(), strict=True):
            own.copy_(other)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    state = None
    outputs = []
    for frame in x:
        state = cell(frame, state)
        outputs.append(state[0] if name == "lstm" else state)
    y, expected = torch.stack(outputs), layer(x)[0]
    assert torch.allclose(y, expected, rtol=1e-12, atol=1e-14)
    y.square().sum().backward()
    expected.square().sum().backward()
    for a, b in zip(cell.parameters(), layer.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_cell_makes_one_node(name):
    y = CELLS[name](4, 5)(torch.randn(3, 4))
    y = y[0] if name == "lstm" else y
    assert all(type(parent).__name__ == "AccumulateGrad" for parent, _ in y.grad_fn.next_functions if parent is not None)


@pytest.mark.parametrize("name", CELLS)
def test_cells_map_over_batches(name):
    cell = CELLS[name](4, 5)
    x = torch.randn(6, 3, 4)
    found, expected = torch.vmap(cell)(x), cell(x.reshape(18, 4))
    for a, b in zip(*([found], [expected]) if name != "lstm" else (found, expected), strict=True):
        assert torch.allclose(a.reshape(18, 5), b, atol=1e-6)


def test_a_gru_cells_output_may_be_written_to():
    cell, x = GRUCell(4, 5).double(), torch.randn(3, 4, dtype=torch.float64)
    y = cell(x)
    expected = grad((cell(x) * 2).square().sum(), list(cell.parameters()))
    y.mul_(2)
    for a, b in zip(grad(y.square().sum(), list(cell.parameters())), expected, strict=True):
        assert torch.allclose(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CELLS)
def test_cells_of_16_bit_floats_compute_in_float32(name, dtype):
    torch.manual_seed(1)
    cell = CELLS[name](4, 5).to(dtype)
    x = torch.randn(3, 4).to(dtype)
    wide = CELLS[name](4, 5)
    wide.load_state_dict({k: v.float() for k, v in cell.state_dict().items()})
    y, expected = cell(x), wide(x.float())
    y, expected = (y[0], expected[0]) if name == "lstm" else (y, expected)
    assert y.dtype == dtype
    assert torch.allclose(y.float(), expected, atol=1e-2)
    y.float().sum().backward()
    expected.sum().backward()
    for a, b in zip(cell.parameters(), wide.parameters(), strict=True):
        assert a.grad.dtype == dtype
        assert torch.allclose(a.grad.float(), b.grad, atol=5e-2)
