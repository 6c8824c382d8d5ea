"""Recurrent layers, cells and packed sequences against torch: values, gradients, draws, names, error texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.nn.utils.rnn

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same, outcome  # noqa: E402

# torch says once per process that oneDNN has no projections
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")

KINDS = {"RNN": {}, "RNN relu": {"nonlinearity": "relu"}, "GRU": {}, "LSTM": {}, "LSTM proj": {"proj_size": 3}}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "deep": {"num_layers": 3},
    "both ways": {"num_layers": 2, "bidirectional": True},
    "batch first": {"batch_first": True, "bidirectional": True, "bias": False},
}


def pair(kind: str, dtype: str = "float64", **options: Any) -> tuple[Any, Any]:
    """The same layer in mytorch and in torch, with the same weights because both drew them from seed 0."""
    made = []
    for T in (mytorch, torch):
        T.manual_seed(0)
        made.append(getattr(T.nn, kind.split()[0])(5, 4, dtype=getattr(T, dtype), **KINDS.get(kind, {}), **options))
    return made[0], made[1]


def both(array: Any) -> tuple[Any, Any]:
    """Leaves with the same values."""
    return mytorch.tensor(array).requires_grad_(), torch.tensor(array).requires_grad_()


def flat(result: Any) -> list[Any]:
    """The tensors of nested tuples, PackedSequences included."""
    if isinstance(result, tuple):
        return [part for item in result for part in flat(item)]
    return [] if result is None else [result]


def assert_close(ours: Any, theirs: Any, rtol: float) -> None:
    found, expected = np.asarray(ours.detach()), theirs.detach().numpy()
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def compare(m: Any, t: Any, inputs: list[tuple[Any, Any]], run: Any, rtol: float = 1e-12, second: bool = False) -> None:
    """Outputs, gradients of the inputs and all weights, and with `second` the gradients of those gradients."""
    found = []
    for place, (T, layer) in enumerate(((mytorch, m), (torch, t))):
        outputs = [y for y in flat(run(T, layer, [x[place] for x in inputs])) if y.is_floating_point()]
        leaves = [x[place] for x in inputs] + list(layer.parameters())
        rng = np.random.default_rng(1)
        directions = [T.tensor(rng.standard_normal(tuple(y.shape))).to(y.dtype) for y in outputs]
        grads = T.autograd.grad(outputs, leaves, directions, create_graph=second)
        parts = [*outputs, *grads]
        if second:
            total = sum((g * T.tensor(rng.standard_normal(tuple(g.shape)))).sum() for g in grads)
            parts += T.autograd.grad(total, leaves, allow_unused=True)
        found.append(parts)
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert_close(ours, theirs, rtol)


def states_for(kind: str, options: dict[str, Any], batch: int, rng: Any, dtype: str = "float64") -> list[tuple[Any, Any]]:
    count = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    widths = {"LSTM": (4, 4), "LSTM proj": (3, 4)}.get(kind, (4,))
    return [both(rng.standard_normal((count, batch, width)).astype(dtype)) for width in widths]


def hx(kind: str, states: list[Any]) -> Any:
    return tuple(states) if kind.startswith("LSTM") else states[0]


# ---- layers -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_states_and_all_gradients_are_torchs(kind, shape):
    options = SHAPES[shape]
    m, t = pair(kind, **options)
    rng = np.random.default_rng(0)
    inputs = [both(rng.standard_normal((3, 6, 5) if options.get("batch_first") else (6, 3, 5))), *states_for(kind, options, 3, rng)]
    compare(m, t, inputs, lambda T, layer, given: layer(given[0], hx(kind, given[1:])))


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_as_close_as_its_precision(kind):
    options = SHAPES["both ways"]
    m, t = pair(kind, "float32", **options)
    rng = np.random.default_rng(0)
    inputs = [both(rng.standard_normal((20, 7, 5)).astype("float32")), *states_for(kind, options, 7, rng, "float32")]
    compare(m, t, inputs, lambda T, layer, given: layer(given[0], hx(kind, given[1:])), rtol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["no bias", "both ways"])
def test_second_gradients_are_torchs(kind, shape):
    options = SHAPES[shape]
    m, t = pair(kind, **options)
    rng = np.random.default_rng(0)
    inputs = [both(rng.standard_normal((4, 2, 5))), *states_for(kind, options, 2, rng)]
    compare(m, t, inputs, lambda T, layer, given: layer(given[0], hx(kind, given[1:])), rtol=1e-11, second=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_sorted", [True, False])
def test_packed_input_gives_torchs_packed_output_and_gradients(kind, is_sorted):
    options = {"num_layers": 2, "bidirectional": True}
    m, t = pair(kind, **options)
    rng = np.random.default_rng(0)
    inputs = [both(rng.standard_normal((7, 4, 5))), *states_for(kind, options, 4, rng)]
    lengths = [7, 4, 4, 1] if is_sorted else [4, 1, 7, 4]

    def run(T, layer, given):
        packed = T.nn.utils.rnn.pack_padded_sequence(given[0], lengths, enforce_sorted=is_sorted)
        y, last = layer(packed, hx(kind, given[1:]))
        assert y.batch_sizes.tolist() == [4, 3, 3, 3, 1, 1, 1]
        padded, out_lengths = T.nn.utils.rnn.pad_packed_sequence(y, padding_value=-1.0)
        assert out_lengths.tolist() == lengths
        return padded, y.data, last

    compare(m, t, inputs, run)


@pytest.mark.parametrize("kind", KINDS)
def test_second_gradients_of_packed_sequences_are_torchs(kind):
    options = {"bidirectional": True}
    m, t = pair(kind, **options)
    rng = np.random.default_rng(0)
    inputs = [both(rng.standard_normal((4, 3, 5))), *states_for(kind, options, 3, rng)]

    def run(T, layer, given):
        packed = T.nn.utils.rnn.pack_padded_sequence(given[0], [2, 4, 1], enforce_sorted=False)
        y, last = layer(packed, hx(kind, given[1:]))
        return T.nn.utils.rnn.pad_packed_sequence(y)[0], last

    compare(m, t, inputs, run, rtol=1e-11, second=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"batch_first": True, "bidirectional": True, "num_layers": 2}])
def test_unbatched_input_and_missing_states_are_taken_as_by_torch(kind, options):
    m, t = pair(kind, **options)
    x = both(np.random.default_rng(0).standard_normal((6, 5)))
    compare(m, t, [x], lambda T, layer, given: layer(given[0]))
    rng = np.random.default_rng(1)
    unbatched = [tuple(s.detach()[:, 0].requires_grad_() for s in state) for state in states_for(kind, options, 1, rng)]
    compare(m, t, [x, *unbatched], lambda T, layer, given: layer(given[0], hx(kind, given[1:])))


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers_drops_what_torch_drops(kind):
    options = {"num_layers": 3, "dropout": 0.4, "bidirectional": True}
    m, t = pair(kind, "float32", **options)
    x = both(np.random.default_rng(0).standard_normal((6, 3, 5)).astype("float32"))

    def run(T, layer, given):
        T.manual_seed(3)
        first = layer(given[0])
        T.manual_seed(4)
        packed = T.nn.utils.rnn.pack_padded_sequence(given[0], [6, 3, 2])
        second = layer(packed)[0].data
        layer.eval()
        return first, second, layer(given[0])

    compare(m, t, [x], run, rtol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_bit_layers_stay_near_torchs(kind):
    for dtype, tolerance in (("float16", 4e-3), ("bfloat16", 3e-2)):
        m, t = pair(kind, "float32", num_layers=2)
        x = both(np.random.default_rng(0).standard_normal((6, 3, 5)).astype("float32"))
        parts = []
        for T, layer, leaf in ((mytorch, m, x[0]), (torch, t, x[1])):
            layer.to(getattr(T, dtype))
            y = layer(leaf.to(getattr(T, dtype)))[0]
            assert str(y.dtype) == f"torch.{dtype}"
            grads = T.autograd.grad((y.float() ** 2).sum(), [leaf, *layer.parameters()])
            assert str(grads[1].dtype) == f"torch.{dtype}"
            parts.append([g.detach().float() for g in (y, *grads)])
        for ours, theirs in zip(*parts, strict=True):
            scale = float(theirs.abs().max())
            np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), rtol=0, atol=tolerance * max(scale, 1.0) * 3)


def test_large_gates_saturate_as_torchs_do():
    for kind in ("GRU", "LSTM"):
        m, t = pair(kind, "float32")
        x = both((np.random.default_rng(0).standard_normal((5, 3, 5)) * 200).astype("float32"))
        compare(m, t, [x], lambda T, layer, given: layer(given[0]), rtol=1e-5)


def test_initial_weights_are_torchs_draws():
    for kind in KINDS:
        m, t = pair(kind, "float32", num_layers=2, bidirectional=True)
        names = [name for name, _ in t.named_parameters()]
        assert [name for name, _ in m.named_parameters()] == names
        for name in names:
            np.testing.assert_array_equal(np.asarray(getattr(m, name).detach()), getattr(t, name).detach().numpy())
        assert [[tuple(w.shape) for w in layer] for layer in m.all_weights] == [[tuple(w.shape) for w in layer] for layer in t.all_weights]


# ---- cells --------------------------------------------------------------------------------------------------------------------

CELLS = {"RNNCell": {}, "RNNCell relu": {"nonlinearity": "relu"}, "GRUCell": {}, "LSTMCell": {}}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(3,), ()])
def test_cells_and_their_second_gradients_are_torchs(kind, bias, batch):
    m, t = pair(kind, bias=bias, **CELLS[kind])
    rng = np.random.default_rng(0)
    inputs = [both(rng.standard_normal((*batch, size))) for size in (5, 4, *([4] if kind == "LSTMCell" else []))]

    def run(T, cell, given):
        state = tuple(given[1:]) if kind == "LSTMCell" else given[1]
        for _ in range(3):
            state = cell(given[0], state)
        return state, cell(given[0])

    compare(m, t, inputs, run, rtol=1e-11, second=True)


def test_a_loop_over_a_cell_equals_the_layer():
    for kind in ("RNN", "GRU", "LSTM"):
        layer, _ = pair(kind)
        cell, _ = pair(kind + "Cell")
        cell.load_state_dict({name: layer.state_dict()[name + "_l0"] for name in cell.state_dict()})
        x = mytorch.randn(6, 3, 5, dtype=mytorch.float64)
        state = None
        for t in range(6):
            state = cell(x[t], state)
        y, last = layer(x)
        for found, expected in zip(flat((state,)), flat((last,)), strict=True):
            assert mytorch.allclose(found, expected[0])
        assert mytorch.allclose(flat((state,))[0], y[-1])


# ---- functions ----------------------------------------------------------------------------------------------------------------


def test_functions_take_padded_and_packed_signatures():
    rng = np.random.default_rng(0)
    x, sizes = rng.standard_normal((6, 3, 5)), [3, 3, 2, 1]
    for name, gates in (("rnn_tanh", 1), ("rnn_relu", 1), ("gru", 3), ("lstm", 4)):
        weights = [rng.standard_normal(s) for s in ((4 * gates, 5), (4 * gates, 4), (4 * gates,), (4 * gates,))]
        found = []
        for T in (mytorch, torch):
            params = [T.tensor(w) for w in weights]
            h = T.ones(1, 3, 4, dtype=T.float64)
            state = (h, h) if name == "lstm" else h
            function = getattr(T, name)
            padded = function(T.tensor(x), state, params, True, 1, 0.0, False, False, False)
            first = function(T.tensor(x.transpose(1, 0, 2)), state, params[:2], False, 1, 0.0, False, False, True)
            packed = function(T.tensor(x.reshape(-1, 5)[:9]), T.tensor(sizes), state, params, True, 1, 0.0, False, False)
            found.append([*padded, *first, *packed])
        for ours, theirs in zip(*found, strict=True):
            assert_close(ours, theirs, 1e-12)


# ---- what users see -----------------------------------------------------------------------------------------------------------

EXPRESSIONS = """
nn.RNN(3, 4, 2, 'relu', False, True, .5, True)
nn.LSTM(3, 4, proj_size=2, num_layers=2)
nn.GRU(3, 4)
nn.RNN(3, 4, dropout=.5)
(nn.RNNCell(3, 4), nn.RNNCell(3, 4, bias=False, nonlinearity='relu'), nn.LSTMCell(3, 4, bias=False), nn.GRUCell(3, 4))
(g.mode, nn.RNN(3, 4).mode, nn.RNN(3, 4, nonlinearity='relu').mode, l.mode, g.proj_size, g.dropout)
g(R(3))
g(R(3, 3, 3, 3))
l(R(3, 3, 3, 3))
nn.RNN(3, 4)(R(3, 3, 3, 3))
g(R(3, 3, 7))
g(R(3, 7))
g(R(3, 3, 3).double())
g(R(3, 3, 3).long())
g(R(5, 2, 3), R(4, 2, 5))
g(R(5, 2, 3), R(4, 4))
g(R(5, 3), R(4, 2, 4))
l(R(5, 3), (R(4, 2, 4), R(4, 2, 4)))
l(R(5, 3), (R(4, 2), R(4, 2, 4)))
l(R(5, 2, 3), (R(4, 2), R(4, 2, 4)))
l(R(5, 2, 3), (R(4, 2, 4), R(4, 2, 4)))
l(R(5, 2, 3), (R(4, 2, 2), R(4, 2, 2)))
nn.RNN(3, 4)(R(5, 2, 3), R(1, 2, 3))
g(R(0, 2, 3))
l(R(0, 2, 3))
g(R(5, 0, 3))[0].shape
g(R(5, 2, 3)[:, :, :])[0].is_contiguous()
nn.GRU(3, 4, batch_first=True)(R(5, 2, 3))[0].stride()
g.get_expected_hidden_size(R(5, 2, 3), None)
l.get_expected_cell_size(R(5, 2, 3), None)
g.check_hidden_size(R(1, 2, 3), (1, 2, 4))
g.check_forward_args(R(5, 2, 3), R(1, 2, 3), None)
g.flatten_parameters()
[[tuple(w.shape) for w in part] for part in l.all_weights]
nn.RNN(3, 4, nonlinearity='x')
nn.RNN(3, 4, proj_size=2)
nn.GRU(3, 4, proj_size=2)
nn.LSTM(3, 4, proj_size=4)
nn.LSTM(3, 4, proj_size=-1)
nn.LSTM(3, 4, dropout=2)
nn.LSTM(3, 4, dropout=True)
nn.LSTM(3, 4, bias=1)
nn.LSTM(3, 4, batch_first=0)
nn.LSTM(3, 4, num_layers=0)
nn.GRU(3., 4)
nn.GRU(0, 4)
nn.GRU(3, 4.)
nn.GRU(3, 0)
nn.RNNBase('X', 3, 4)
nn.RNNCell(3, 4)(R(3, 3, 3))
nn.GRUCell(3, 4)(R(3, 3, 3))
nn.LSTMCell(3, 4)(R(3, 3, 3))
nn.GRUCell(3, 4)(R(3, 5))
nn.GRUCell(3, 4)(R(5))
nn.GRUCell(3, 4)(R(3, 3), R(2, 4))
nn.GRUCell(3, 4)(R(3, 3), R(3, 5))
nn.GRUCell(3, 4)(R(3, 3), R(4))
nn.GRUCell(3, 4)(R(3, 3), R(3, 1, 4))
nn.GRUCell(3, 4)(R(3), R(1, 4))
nn.LSTMCell(3, 4)(R(3, 3), (R(2, 4), R(2, 4)))
nn.LSTMCell(3, 4)(R(3, 3), (R(3, 4), R(3, 5)))
nn.LSTMCell(3, 4)(R(3, 3), (R(3, 4), R(2, 4)))
nn.LSTMCell(3, 4)(R(3, 3), (R(3, 1, 4), R(3, 4)))
nn.LSTMCell(3, 4)(R(3, 3), (R(3, 4),))
nn.RNNCell(3, 4, nonlinearity='x')(R(2, 3))
P(R(4, 3, 2), [1, 4, 2])
P(R(4, 3, 2), [4, 2, 0])
P(R(4, 3, 2), [4, 0, 2], enforce_sorted=False)
P(R(4, 3, 2), [4, 2])
P(R(4, 3, 2), [4, 2], batch_first=True)
P(R(4), [3])
P(R(4, 3, 2)[:, :0], [])
P(R(4, 3, 2), [3, 2, 1])
P(R(4, 3, 2), (3, 2, 1))
P(R(4, 3, 2), T.tensor([1, 4, 2]), enforce_sorted=False)
P(R(4, 3), T.tensor([2, 4, 2]), enforce_sorted=False)
P(R(4, 3, 2), [3, 2, 1, 1], batch_first=True)
P(R(4, 3, 2), T.tensor([4, 2, 1], dtype=T.int32)).batch_sizes
U.pad_packed_sequence(p)
U.pad_packed_sequence(p, True, -1., 6)
U.pad_packed_sequence(p, total_length=3)
U.pad_packed_sequence(P(R(4, 3, 2), [1, 4, 2], enforce_sorted=False), batch_first=True, padding_value=9.)
U.pad_sequence([R(2, 2), R(4, 2), R(1, 2)])
U.pad_sequence([R(2, 2), R(4, 2)], True, -1., 'left')
U.pad_sequence([R(2, 2), R(4, 2).double()]).dtype
U.pad_sequence([T.ones(2, dtype=T.int64), T.ones(3)], padding_value=7)
U.pad_sequence([T.ones(0, 2), R(2, 2)])
U.pad_sequence(R(3, 2))
U.pad_sequence(x for x in (R(2), R(3)))
U.pad_sequence([])
U.pad_sequence('ab')
U.pad_sequence(3)
U.pad_sequence([R(2), R(3)], padding_side='top')
U.unpad_sequence(R(4, 3, 2), T.tensor([2, 4, 1]))
U.unpad_sequence(R(4, 3, 2), T.tensor([2, 1, 3, 1]), batch_first=True)
U.pack_sequence([R(4, 2), R(2, 2), R(1, 2)])
U.pack_sequence([R(2, 2), R(4, 2), R(1, 2)])
U.pack_sequence([R(2, 2), R(4, 2), R(1, 2)], enforce_sorted=False)
U.unpack_sequence(U.pack_sequence([R(2, 2), R(4, 2), R(1, 2)], enforce_sorted=False))
U.invert_permutation(T.tensor([2, 0, 1]))
U.invert_permutation(None)
U.PackedSequence((R(3, 2), T.tensor([2, 1])))
U.PackedSequence(R(3, 2), T.tensor([2, 1]), T.tensor([1, 0]))
(p.to(T.float64).data.dtype, p.to(T.float32) is p, p.double().data.dtype, p.long().data.dtype, p.cpu() is p, p.is_cuda, p.half().data.dtype)
(p._fields, len(p), isinstance(p, tuple), p.is_pinned())
nn.GRU(2, 4)(p, R(1, 2, 4))
nn.GRU(2, 4)(p, R(2, 4))
nn.GRU(1, 4)(p)
nn.GRU(2, 4)(U.PackedSequence(R(3, 2, 2), T.tensor([2, 1])))
[type(y).__name__ for y in nn.GRU(2, 4)(p)]
nn.GRU(2, 4)(P(R(4, 3, 2), [1, 4, 2], enforce_sorted=False))[0].sorted_indices
"""


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_what_a_user_sees_is_what_torch_shows(expression):
    def scenario(T):
        T.manual_seed(0)
        U = T.nn.utils.rnn

        def R(*shape):
            count = int(np.prod(shape))
            return (T.arange(count, dtype=T.float32) / 4).reshape(*shape)

        names = {"T": T, "nn": T.nn, "U": U, "R": R, "P": U.pack_padded_sequence, "p": U.pack_padded_sequence(R(4, 3, 2), [4, 2, 1]),
                 "g": T.nn.GRU(3, 4, num_layers=2, bidirectional=True),
                 "l": T.nn.LSTM(3, 4, proj_size=2, num_layers=2, bidirectional=True)}
        return eval(expression, names)

    assert_same(scenario)


ERROR_CLASSES = """
g(R(3, 3, 3), R(4, 3, 4).double())
nn.GRUCell(3, 4)(R(2, 3).double())
U.pad_sequence([R(2, 2), R(2, 3)])
U.PackedSequence(R(3, 2))
U.invert_permutation([1, 0])
P(R(4, 3, 2), T.tensor([[4, 2, 1]]))
T.gru(R(5, 3, 2), R(1, 2, 4), list(nn.GRU(2, 4).parameters()), True, 1, 0., False, False, False)
T.gru(R(5, 3, 2), R(1, 3, 4), list(nn.GRU(2, 4).parameters())[:2], True, 1, 0., False, False, False)
T.gru(R(5, 3, 7), R(1, 3, 4), list(nn.GRU(2, 4).parameters()), True, 1, 0., False, False, False)
T.lstm(R(5, 3, 2), (R(1, 3, 4),), list(nn.LSTM(2, 4).parameters()), True, 1, 0., False, False, False)
T.lstm_cell(R(3, 2), R(3, 4), R(16, 2), R(16, 4))
T.gru_cell(R(3, 2), R(3, 4), R(5, 2), R(12, 4))
T.gru_cell(R(3, 2), None, R(12, 2), R(12, 4))
"""


@pytest.mark.parametrize("expression", ERROR_CLASSES.strip().splitlines())
def test_errors_that_we_word_otherwise_have_torchs_class(expression):
    def scenario(T):
        U = T.nn.utils.rnn
        names = {"T": T, "nn": T.nn, "U": U, "P": U.pack_padded_sequence, "R": T.ones, "g": T.nn.GRU(3, 4, num_layers=4)}
        return eval(expression, names)

    ours, theirs = outcome(scenario, mytorch)[0], outcome(scenario, torch)[0]
    assert ours.split(":")[0] == theirs.split(":")[0]
    assert "Error" in ours.split(":")[0]


def test_a_state_dict_goes_both_ways():
    m, t = pair("LSTM", "float32", num_layers=2, bidirectional=True, proj_size=2)
    assert list(m.state_dict()) == list(t.state_dict())
    t.load_state_dict({name: torch.tensor(np.asarray(w)) for name, w in m.state_dict().items()})
