"""Gradients of weights that are used again and again: their factors wait for one product."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import mytorch as torch
from mytorch.backends import rows
from mytorch.backends.rows import MOST_ROWS, joined, rows_for
from mytorch.late_product import LateProduct, taken

CELLS = {"RNN": 1, "GRU": 3, "LSTM": 4}


def factors(count, columns, seed, dtype=np.float32):
    """d (count, 8) and x (count, columns)."""
    draw = np.random.default_rng(seed)
    return draw.standard_normal((count, 8)).astype(dtype), draw.standard_normal((count, columns)).astype(dtype)


@pytest.mark.parametrize("columns", [((0, 8),), ((0, 6),), ((0, 2), (5, 8))])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_the_sum_is_that_of_the_products(columns, count):
    chosen = np.concatenate([np.arange(*pair) for pair in columns])
    pairs = [factors(MOST_ROWS // 16, 5, seed) for seed in range(count)]
    total, expected = None, 0
    for d, x in pairs:
        late = LateProduct(d, x, columns, (len(chosen), 5))
        total = late if total is None else total + late
        expected = expected + d[:, chosen].T.astype(np.float64) @ x
    np.testing.assert_allclose(taken(total), expected, rtol=1e-4, atol=1e-3)


def test_arrays_and_products_of_other_columns_join_the_sum():
    d, x = factors(4, 8, 0)
    late = LateProduct(d, x, ((0, 8),), (8, 8))
    late = late + np.ones((8, 8), np.float32)
    late = late + LateProduct(d, x, ((4, 8), (0, 4)), (8, 8))
    late = late + LateProduct(d, x, ((0, 8),), (8, 8))
    product = d.T @ x
    np.testing.assert_allclose(late.value(), 2 * product + 1 + np.concatenate((product[4:], product[:4])), rtol=1e-5, atol=1e-5)


def test_rows_for_one_weight_lie_below_each_other_until_nobody_holds_them():
    weight = np.zeros((8, 3), np.float32)
    parts = [rows_for(weight, 5, 8) for _ in range(4)]
    for i, part in enumerate(parts):
        part[:] = i
    together = joined(parts)
    assert np.shares_memory(together, parts[0])
    np.testing.assert_array_equal(together[:, 0], np.repeat(np.arange(4), 5))
    assert rows_for(weight, 5, 9).base is not parts[0].base  # of another width
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(rows_for(weight, 5, 8)))
    thread.start()
    thread.join()
    assert elsewhere[0].base is not parts[0].base
    assert len(rows_for(weight, MOST_ROWS, 8)) == MOST_ROWS
    parts = part = together = elsewhere = thread = None
    gc.collect()
    assert not any(key[0] == id(weight) for key in rows._blocks)


def test_what_does_not_lie_so_is_copied_together():
    block = np.arange(48.0).reshape(12, 4)
    for parts in ([block[4:6], block[0:4], block[6:8]], [block[0:2], block[3:5]], [block[0:4:2], block[4:8]], [block[:2, :3], block[2:4, :3]],
                  [block[0:2], np.zeros((2, 4))], [block.reshape(6, 2, 4)[0], block.reshape(6, 2, 4)[1]]):
        np.testing.assert_array_equal(joined(parts), np.concatenate(parts))


def step_by_step(kind, cell, x):
    """The last h of a loop over a cell."""
    h = torch.zeros(x.shape[1], cell.hidden_size, dtype=x.dtype)
    state = (h, h) if kind == "LSTM" else h
    for frame in x:
        state = cell(frame, state)
    return state[0] if kind == "LSTM" else state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("steps", "batch"), [(7, 3), (40, 60), (3, 700)])
@pytest.mark.parametrize("kind", CELLS)
def test_a_loop_over_a_cell_has_the_gradients_of_the_layer(kind, steps, batch, dtype):
    torch.manual_seed(0)
    cell = getattr(torch.nn, f"{kind}Cell")(6, 9, dtype=dtype)
    layer = getattr(torch.nn, kind)(6, 9, dtype=dtype)
    for own, other in zip(layer.parameters(), cell.parameters(), strict=True):
        own.data.copy_(other.data)
    x = torch.randn(steps, batch, 6, dtype=dtype)
    step_by_step(kind, cell, x).sin().mean().backward()
    layer(x)[0][-1].sin().mean().backward()
    for own, other in zip(cell.parameters(), layer.parameters(), strict=True):
        assert torch.allclose(own.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"num_layers": 2, "batch_first": True}, {"bias": False}])
@pytest.mark.parametrize("kind", CELLS)
def test_a_loop_over_a_layer_has_the_gradients_of_the_sequence(kind, options):
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(4, 5, **options)
    axis = 1 if options.get("batch_first") else 0
    x = torch.randn(3, 6, 4) if axis else torch.randn(6, 3, 4)
    whole, last = layer(x)
    (whole.sin().sum() + (last[0] if kind == "LSTM" else last).cos().sum()).backward()
    expected = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    outputs, state = [], None
    for step in x.split(1, axis):
        y, state = layer(step, state)
        outputs.append(y)
    y = torch.cat(outputs, axis)
    assert torch.allclose(y, whole, atol=1e-6)
    (y.sin().sum() + (state[0] if kind == "LSTM" else state).cos().sum()).backward()
    for p, other in zip(layer.parameters(), expected, strict=True):
        assert torch.allclose(p.grad, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_one_step_both_ways_packed_and_projected(kind):
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4)
    layer = getattr(torch.nn, kind)(4, 5, bidirectional=True)
    y, _ = layer(x)
    packed, _ = layer(torch.nn.utils.rnn.pack_padded_sequence(x, [1, 1, 1]))
    assert torch.equal(packed.data, y[0])
    back = getattr(torch.nn, f"{kind}Cell")(4, 5)
    back.load_state_dict({name.removesuffix("_l0_reverse"): p for name, p in layer.state_dict().items() if name.endswith("reverse")})
    found = back(x[0])
    assert torch.allclose(y[0, :, 5:], found[0] if kind == "LSTM" else found, atol=1e-6)
    if kind == "LSTM":
        assert torch.nn.LSTM(4, 5, proj_size=2)(x)[0].shape == (1, 3, 2)


def test_other_uses_of_the_weight_add_to_its_gradient():
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(5, 5)
    x = torch.randn(6, 4, 5)

    def loss():
        h = torch.zeros(4, 5)
        total = (cell.weight_ih * 2).sum() + torch.nn.functional.linear(x[0], cell.weight_hh).sin().sum()
        for frame in x:
            h = torch.gru_cell(frame, h, cell.weight_ih, cell.weight_ih if frame is None else cell.weight_hh, cell.bias_ih, cell.bias_hh)
            total = total + torch.gru_cell(h, h, cell.weight_hh, cell.weight_ih, cell.bias_ih, cell.bias_hh).sum()  # the other way round
        return total + (h * h).sum()

    loss().backward()
    found = [p.grad.clone() for p in cell.parameters()]
    expected = torch.autograd.grad(loss(), list(cell.parameters()), create_graph=True)  # through plain operations
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_hooks_of_the_weight_see_the_sum_once():
    cell, seen = torch.nn.RNNCell(3, 4), []
    cell.weight_ih.register_hook(lambda g: seen.append(g.clone()))
    step_by_step("RNN", cell, torch.randn(5, 2, 3)).sum().backward()
    assert len(seen) == 1
    assert torch.equal(seen[0], cell.weight_ih.grad)


def test_a_weight_that_is_computed_gets_the_product_too():
    torch.manual_seed(0)
    cell, scale = torch.nn.RNNCell(3, 4), torch.ones(4, 3, requires_grad=True)
    x = torch.randn(5, 2, 3)
    h = torch.zeros(2, 4)
    weight = cell.weight_ih.detach() * scale
    for frame in x:
        h = torch.rnn_tanh_cell(frame, h, weight, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    h.sum().backward()
    step_by_step("RNN", cell, x).sum().backward()
    assert torch.allclose(scale.grad, cell.weight_ih.grad * cell.weight_ih, rtol=1e-5, atol=1e-6)
