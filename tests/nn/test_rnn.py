"""Recurrent layers: the fused kernels against plain operations and finite differences, graphs, memory, edge cases."""

from __future__ import annotations

import copy
import pickle

import pytest

import mytorch as torch
from mytorch.autograd_engine import grad
from mytorch.nn.gru import GRU, GRUCell
from mytorch.nn.lstm import LSTM, LSTMCell
from mytorch.nn.rnn import RNN, RNNBase, RNNCell
from mytorch.nn.util import pack_padded_sequence, pad_packed_sequence
from mytorch.ops.recurrent import gru_op, lstm_op, rnn_op

CASES = {
    "rnn tanh": (rnn_op, 1, {"nonlinearity": "tanh"}),
    "rnn relu": (rnn_op, 1, {"nonlinearity": "relu"}),
    "gru": (gru_op, 3, {}),
    "lstm": (lstm_op, 4, {}),
    "lstm projected": (lstm_op, 4, {}),
}


def inputs_for(name, bias=True, dtype=torch.float64, batch=3, rows=None, steps=4):
    """Random inputs of a layer's operation: x, states, weights."""
    op, gates, _ = CASES[name]
    projected = 2 if name == "lstm projected" else 5
    x_shape = (steps, batch, 4) if rows is None else (rows, 4)
    shapes = [x_shape, (batch, projected)] + [(batch, 5)] * (op is lstm_op)
    shapes += [(gates * 5, 4), (gates * 5, projected), (gates * 5,), (gates * 5,)]
    tensors = [torch.randn(*shape, dtype=dtype).requires_grad_() for shape in shapes]
    if not bias:
        tensors[-2:] = [None, None]
    if op is lstm_op:
        tensors.append(torch.randn(2, 5, dtype=dtype).requires_grad_() if name == "lstm projected" else None)
    return tensors


def visible(op, outputs):
    """Without what the operation keeps for its backward."""
    return list(outputs[:3 if op is lstm_op else 2])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_sizes", [(3, 3, 3, 3), (3, 2, 2, 1)])
def test_fused_layer_equals_the_plain_operations(name, reverse, bias, batch_sizes):
    op, _, meta = CASES[name]
    packed = batch_sizes[-1] != 3
    given = inputs_for(name, bias, rows=sum(batch_sizes) if packed else None)
    leaves = [x for x in given if x is not None]
    meta = {**meta, "batch_sizes": batch_sizes, "reverse": reverse}
    fused = visible(op, op(*given, **meta))
    plain = visible(op, op.composite(*given, **meta))
    directions = [torch.randn(*y.shape, dtype=torch.float64) for y in fused]
    for found, expected in zip(fused, plain, strict=True):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)
    for found, expected in zip(grad(fused, leaves, directions), grad(plain, leaves, directions), strict=True):
        assert torch.allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_finite_differences(name):
    op, _, meta = CASES[name]
    given = inputs_for(name, rows=6)
    meta = {**meta, "batch_sizes": (3, 2, 1), "reverse": True}
    weights = [torch.randn(*y.shape, dtype=torch.float64) for y in visible(op, op(*given, **meta))]

    def loss():
        return sum((y * w).sum() for y, w in zip(visible(op, op(*given, **meta)), weights, strict=True))

    leaves = [x for x in given if x is not None]
    for leaf, g in zip(leaves, grad(loss(), leaves), strict=True):
        step = torch.randn(*leaf.shape, dtype=torch.float64) * 1e-6
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                leaf.add_(step, alpha=sign)
                values.append(loss().item())
                leaf.add_(step, alpha=-sign)
        assert (values[0] - values[1]) / 2 == pytest.approx((g * step).sum().item(), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_second_derivative_of_one_output_agrees_with_finite_differences(name):
    op, _, meta = CASES[name]
    given = inputs_for(name)
    meta = {**meta, "batch_sizes": (3,) * 4, "reverse": False}
    leaves = [x for x in given if x is not None]

    def slope():
        y = op(*given, **meta)[0]
        return grad((y * y).sum(), leaves[0], create_graph=True)[0].square().sum()

    w_hh = leaves[3 if op is lstm_op else 2]  # w_ih or w_hh: both reach every step
    (second,) = grad(slope(), w_hh)
    step = torch.randn(*w_hh.shape, dtype=torch.float64) * 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            w_hh.add_(step, alpha=sign)
        values.append(slope().item())
        with torch.no_grad():
            w_hh.add_(step, alpha=-sign)
    assert (values[0] - values[1]) / 2 == pytest.approx((second * step).sum().item(), rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_only_gradients_that_are_asked_for_are_computed(name):
    op, _, meta = CASES[name]
    given = inputs_for(name)
    meta = {**meta, "batch_sizes": (3,) * 4, "reverse": False}
    places = [i for i, x in enumerate(given) if x is not None]
    everything = dict(zip(places, grad(op(*given, **meta)[0].sum(), [given[i] for i in places]), strict=True))
    for i in places:
        alone = [None if x is None else x.detach() for x in given]
        alone[i].requires_grad_()
        (found,) = grad(op(*alone, **meta)[0].sum(), [alone[i]])
        assert torch.allclose(found, everything[i])


@pytest.mark.parametrize(("layer", "states"), [(RNN, 1), (GRU, 1), (LSTM, 2)])
def test_a_padded_batch_gives_what_each_sequence_gives_alone(layer, states):
    lengths = [2, 5, 1, 5]
    net = layer(3, 4, num_layers=2, bidirectional=True)
    x = torch.randn(5, 4, 3)
    y, last = net(pack_padded_sequence(x, lengths, enforce_sorted=False))
    padded, _ = pad_packed_sequence(y)
    for i, length in enumerate(lengths):
        alone, alone_last = net(x[:length, i])
        assert torch.allclose(padded[:length, i], alone, atol=1e-6)
        assert not padded[length:, i].any()
        for whole, single in zip(last if states == 2 else (last,), alone_last if states == 2 else (alone_last,), strict=True):
            assert torch.allclose(whole[:, i], single, atol=1e-6)


def test_a_backward_may_run_twice_with_the_graph_retained():
    net = LSTM(3, 4)
    y, _ = net(torch.randn(5, 2, 3))
    loss = y.sum()
    loss.backward(retain_graph=True)
    first = [w.grad.clone() for w in net.parameters()]
    loss.backward()
    for w, g in zip(net.parameters(), first, strict=True):
        assert torch.allclose(w.grad, 2 * g)


def test_both_biases_have_gradients_of_their_own():
    net = RNN(3, 4)
    net(torch.randn(5, 2, 3))[0].sum().backward()
    assert torch.equal(net.bias_ih_l0.grad, net.bias_hh_l0.grad)
    net.bias_ih_l0.grad.zero_()
    assert net.bias_hh_l0.grad.any()


@pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
def test_the_output_may_be_written_in_place_before_backward(layer):
    net = layer(3, 4)
    x = torch.randn(5, 2, 3)
    y, _ = net(x)
    expected = grad(y.relu().sum(), list(net.parameters()))
    y, _ = net(x)
    y.relu_()
    for found, wanted in zip(grad(y.sum(), list(net.parameters())), expected, strict=True):
        assert torch.allclose(found, wanted)


def test_a_weight_written_in_place_before_backward_is_refused():
    net = GRU(3, 4)
    y, _ = net(torch.randn(5, 2, 3))
    with torch.no_grad():
        net.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
def test_the_last_state_alone_carries_the_whole_gradient(layer):
    net = layer(3, 4, bidirectional=True)
    x = torch.randn(5, 2, 3).requires_grad_()
    y, last = net(x)
    h = last[0] if layer is LSTM else last
    by_state = grad(h.sum(), x, retain_graph=True)[0]
    by_output = grad(y[-1, :, :4].sum() + y[0, :, 4:].sum(), x)[0]
    assert torch.allclose(by_state, by_output, atol=1e-6)


def test_inputs_and_states_are_never_written():
    for layer in (RNN, GRU, LSTM):
        net = layer(3, 4)
        x = torch.randn(5, 2, 3).requires_grad_()
        h = torch.randn(1, 2, 4)
        before = x.detach().clone(), h.clone()
        y, _ = net(x, (h, h) if layer is LSTM else h)
        g = torch.randn(*y.shape)
        g_before = g.clone()
        y.backward(g)
        assert torch.equal(x, before[0])
        assert torch.equal(h, before[1])
        assert torch.equal(g, g_before)


def test_expanded_states_and_strided_inputs_are_read_right():
    net = GRU(3, 4, batch_first=True)
    x = torch.randn(3, 5, 2).transpose(0, 2)[:, ::2]  # (2, 3, 3), strided
    h = torch.randn(1, 1, 4).expand(1, 2, 4)
    y, _ = net(x, h)
    expected, _ = net(x.contiguous(), h.contiguous())
    assert torch.equal(y, expected)


def test_nothing_is_recorded_without_gradients():
    net = LSTM(3, 4, num_layers=2)
    with torch.no_grad():
        y, (h, c) = net(torch.randn(5, 2, 3))
    assert y.grad_fn is None
    assert h.grad_fn is None
    assert c.grad_fn is None


def test_a_node_called_by_hand_without_a_graph_gives_the_gradients():
    for name, (op, _, meta) in CASES.items():
        given = inputs_for(name)
        outputs = op(*given, **meta, batch_sizes=(3,) * 4, reverse=False)
        g = torch.randn(*outputs[0].shape, dtype=torch.float64)
        expected = grad(outputs[0], given[0], g, retain_graph=True)[0]
        with torch.no_grad():
            found = outputs[0].grad_fn(g, *[None] * (len(outputs) - 1))
        assert torch.equal(found[0], expected), name


def test_complex_weights_take_the_plain_operations():
    net = RNN(3, 4).to(torch.complex64)
    x = torch.randn(5, 2, 3).to(torch.complex64)
    y, last = net(x)
    assert y.dtype is torch.complex64
    h = torch.zeros(2, 4, dtype=torch.complex64)
    for t in range(5):
        h = (x[t] @ net.weight_ih_l0.mT + net.bias_ih_l0 + h @ net.weight_hh_l0.mT + net.bias_hh_l0).tanh()
    assert torch.allclose(y[-1], h)
    assert torch.allclose(last[0], h)


def test_saturated_gates_make_neither_warnings_nor_nan():
    for layer in (GRU, LSTM):
        net = layer(3, 4)
        x = (torch.randn(5, 2, 3) * 1e4).requires_grad_()
        y, _ = net(x)
        y.sum().backward()
        assert bool(torch.isfinite(y).all())
        assert bool(torch.isfinite(x.grad).all())


def test_a_nan_in_one_sequence_stays_in_it():
    for layer in (RNN, GRU, LSTM):
        x = torch.randn(5, 3, 3)
        x[2, 1] = float("nan")
        y, _ = layer(3, 4)(x)
        assert bool(torch.isnan(y[2:, 1]).all())
        assert bool(torch.isfinite(y[:, [0, 2]]).all())
        assert bool(torch.isfinite(y[:2]).all())


def test_one_step_one_sequence_and_no_sequence():
    for layer in (RNN, GRU, LSTM):
        net = layer(3, 4, bidirectional=True)
        assert net(torch.randn(1, 1, 3))[0].shape == (1, 1, 8)
        empty = torch.randn(5, 0, 3).requires_grad_()
        y, _ = net(empty)
        assert y.shape == (5, 0, 8)
        y.sum().backward()
        assert empty.grad.shape == (5, 0, 3)
        assert not net.weight_hh_l0.grad.any()


def test_layers_are_copied_and_pickled_whole():
    for net in (RNN(3, 4, nonlinearity="relu"), GRU(3, 4, num_layers=2), LSTM(3, 4, proj_size=2), GRUCell(3, 4), LSTMCell(3, 4)):
        x = torch.randn(5, 3)
        expected = net(x)[0]
        for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert repr(twin) == repr(net)
            assert torch.equal(twin(x)[0], expected)
            assert all(a is not b for a, b in zip(twin.parameters(), net.parameters(), strict=True))


def test_a_replaced_weight_is_used():
    net = GRU(3, 4)
    x = torch.randn(5, 2, 3)
    for name, weight in list(net.named_parameters()):
        setattr(net, name, torch.nn.Parameter(torch.zeros(*weight.shape)))
    assert not net(x)[0].any()
    del net.weight_ih_l0
    net.weight_ih_l0 = torch.ones(12, 3)  # a plain tensor, as reparametrizations leave it
    assert net(x)[0].any()


def test_dropout_of_everything_leaves_only_the_biases_above():
    net = RNN(3, 4, num_layers=2, dropout=1.0)
    y, _ = net(torch.randn(5, 2, 3))
    alone, _ = net(torch.randn(5, 2, 3))
    assert torch.equal(y, alone)
    net.eval()
    assert not torch.equal(net(torch.randn(5, 2, 3))[0], alone)


def test_dropout_on_one_layer_warns():
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        GRU(3, 4, dropout=0.5)


def test_the_base_has_no_forward():
    with pytest.raises(NotImplementedError):
        RNNBase("GRU", 3, 4)(torch.randn(5, 2, 3))


def test_dtypes_that_do_not_fit_are_named():
    net = GRU(3, 4)
    with pytest.raises(ValueError, match=r"torch\.float64.*torch\.float32"):
        net(torch.randn(5, 2, 3, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="same dtype, but got Double and Float"):
        net(torch.randn(5, 2, 3), torch.zeros(1, 2, 4, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="same dtype, but got Double and Float"):
        LSTMCell(3, 4)(torch.randn(2, 3), (torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.float64)))


def test_cells_without_a_state_begin_with_zeros():
    for cell in (RNNCell(3, 4), GRUCell(3, 4), LSTMCell(3, 4)):
        x, h = torch.randn(2, 3), torch.zeros(2, 4)
        found, expected = cell(x), cell(x, (h, h) if isinstance(cell, LSTMCell) else h)
        assert torch.equal(found[0], expected[0])


def test_recurrent_nets_learn_to_remember():
    # the sign of the first input, after four steps of noise
    for layer in (GRU, LSTM):
        torch.manual_seed(0)
        net, read = layer(1, 16), torch.randn(16, 1).requires_grad_()
        optimizer = torch.optim.Adam([*net.parameters(), read], lr=0.03)
        losses = []
        for _ in range(120):
            x = torch.randn(5, 64, 1)
            target = (x[0] > 0).float() * 2 - 1
            loss = (net(x)[0][-1] @ read - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert min(losses[:5]) > 0.8
        assert max(losses[-5:]) < 0.35
