"""Recurrent layers, forward and backward: csrc/kernels/recurrent.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
from mytorch import backends
from mytorch.backends import kernels
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = needs_native

KINDS = ["tanh", "relu", "gru", "lstm"]
PACKED = (5, 5, 3, 2, 2, 1)


def case(kind, batch_sizes, inputs, size, *, dtype=np.float32, bias=True, reverse=False, rows=None, seed=0):
    """The kernel's name, what it takes, and its metadata."""
    gates = {"gru": 3, "lstm": 4}.get(kind, 1)
    batch, steps = batch_sizes[0], len(batch_sizes)
    shape = (sum(batch_sizes), inputs) if batch_sizes[-1] != batch or rows else (steps, batch, inputs)
    x, *states = (floats(*s, dtype=dtype, seed=seed + i) for i, s in enumerate([shape, (batch, size), (batch, size)]))
    weights = [floats(gates * size, n, dtype=dtype, seed=seed + 9 + n) / np.sqrt(n).astype(dtype) for n in (inputs, size)]
    biases = [floats(gates * size, dtype=dtype, seed=seed + i) if bias else None for i in (20, 21)]
    meta = {"batch_sizes": batch_sizes, "reverse": reverse}
    if kind == "lstm":
        return "lstm_layer", [x, *states, *weights, *biases, None], meta
    if kind == "gru":
        return "gru_layer", [x, states[0], *weights, *biases], meta
    return "rnn_layer", [x, states[0], *weights, *biases], {**meta, "nonlinearity": kind}


def backward_case(kind, *args, arriving=(True, True, True), needs=None, **options):
    """The same for the gradient's kernel, after the forward pass of the reference."""
    name, given_, meta = case(kind, *args, **options)
    results = kernels[name].reference(*given_, **meta)
    ends = 3 if kind == "lstm" else 2
    grads = [floats(*y.shape, dtype=y.dtype, seed=40 + i) if arrives else None
             for i, (y, arrives) in enumerate(zip(results[:ends], arriving, strict=False))]
    weights = given_[:-3] if kind == "lstm" else given_[:-2]
    if kind == "lstm":
        weights.append(None)
    return f"{name}_grad", [*grads, *weights, *results[ends:]], {**meta, "needs": needs or (True,) * len(given_)}


def check_both(kind, *args, **options):
    """Forward and backward agree with the reference."""
    name, given_, meta = case(kind, *args, **options)
    check(name, *given_, atol=1e-4, **meta)
    name, given_, meta = backward_case(kind, *args, **options)
    check(name, *given_, atol=1e-3, rtol=1e-3, **meta)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("batch_sizes", [(3, 3, 3), PACKED, (33, 33), (1,) * 5, (17, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_agree_with_the_reference(kind, dtype, batch_sizes, reverse):
    check_both(kind, batch_sizes, 7, 13, dtype=dtype, reverse=reverse)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_without_biases(kind):
    check_both(kind, PACKED, 4, 16, bias=False)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_threads_divide_the_columns_of_large_weights(kind, reverse):
    size = {"gru": 300, "lstm": 260}.get(kind, 520)
    check_both(kind, (18, 16, 16, 2), 5, size, reverse=reverse)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_divide_the_sequences_of_a_batch(kind):
    check_both(kind, (32,) * 4, 64, 64)


@given(st.sampled_from(KINDS), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 40), st.integers(1, 70), st.booleans(),
       st.booleans())
@settings(max_examples=20, deadline=None)
def test_any_sizes(kind, sizes, inputs, size, reverse, bias):
    check_both(kind, tuple(sorted(sizes, reverse=True)), inputs, size, reverse=reverse, bias=bias)


@pytest.mark.parametrize("arriving", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_do_not_arrive_count_as_zeros(kind, arriving):
    name, given_, meta = backward_case(kind, PACKED, 4, 6, arriving=arriving)
    check(name, *given_, atol=1e-3, **meta)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_is_made_that_nobody_needs(kind):
    count = 8 if kind == "lstm" else 6
    name, given_, meta = backward_case(kind, PACKED, 4, 6, needs=(False,) * count)
    with native_as():
        found = kernels[name].override(*given_, **meta)
    assert found[0] is None  # that of x
    assert found[-5 if kind == "lstm" else -4] is None  # of w_ih
    assert found[-4 if kind == "lstm" else -3] is None  # of w_hh


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_any_strides(kind):
    name, given_, meta = case(kind, (4, 4, 4), 6, 8)
    given_[0] = np.ascontiguousarray(given_[0].transpose(1, 0, 2)).transpose(1, 0, 2)  # as with batch_first
    given_[1] = np.asfortranarray(given_[1])
    given_ = [np.asfortranarray(a) if a is not None and a.ndim == 2 else a for a in given_]
    check(name, *given_, atol=1e-4, **meta)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_infinity_pass_as_in_the_reference(kind):
    name, given_, meta = case(kind, (3, 3, 3), 4, 5)
    given_[0][1, 1, 2], given_[0][0, 2, 1] = np.nan, np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        check(name, *given_, atol=1e-4, **meta)


@pytest.mark.parametrize("kind", KINDS)
def test_large_preactivations_saturate(kind):
    name, given_, meta = case(kind, (3, 3, 3), 4, 5)
    given_[0] *= 1e4 if kind != "relu" else 1
    with np.errstate(over="ignore"):
        check(name, *given_, atol=1e-4, **meta)


def test_other_dtypes_projections_and_empty_batches_are_left_to_the_reference():
    name, given_, meta = case("gru", (3, 3), 4, 5)
    declines(name, *[a.astype(np.float16) for a in given_], **meta)
    declines(name, given_[0][:, :0], given_[1][:0], *given_[2:], batch_sizes=(0, 0), reverse=False)
    name, given_, meta = case("lstm", (3, 3), 4, 5)
    declines(name, given_[0], floats(3, 2), given_[2], given_[3], floats(20, 2), *given_[5:7], floats(2, 5), **meta)


@pytest.mark.parametrize("position", [0, 1, 2, 3, 4])
def test_unaligned_arrays_are_left_to_the_reference(position):
    name, given_, meta = case("gru", (3, 3), 4, 5)
    given_[position] = unaligned(given_[position])
    declines(name, *given_, **meta)


def test_sizes_that_do_not_fit_are_refused_before_memory_is_touched():
    name, (x, h0, w_ih, w_hh, *biases), meta = case("gru", (3, 3), 4, 5)
    override = kernels[name].override
    for wrong in ([x, h0[:2], w_ih, w_hh], [x, h0, w_ih[:, :3], w_hh], [x, h0, w_ih, w_hh[:, :3]], [x, h0, w_ih[:9], w_hh[:9]]):
        with pytest.raises(ValueError, match="expected"):
            override(*wrong, *biases, **meta)
    for sizes in ((3, 4), (3, 2), (3, 3, 0), (2, 2, 2), (4, 2)):
        with pytest.raises(ValueError, match="expected"):
            override(x.reshape(6, 4), h0, w_ih, w_hh, *biases, batch_sizes=sizes, reverse=False)


def cell_case(kind, batch, inputs, size, **options):
    """The name of the cell's kernel, what it takes, and its metadata."""
    name, given_, meta = case(kind, (batch,), inputs, size, rows=True, **options)
    given_ = given_[:-1] if kind == "lstm" else given_
    return name.replace("layer", "cell"), given_, {k: v for k, v in meta.items() if k == "nonlinearity"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 7, 13), (32, 64, 64), (45, 20, 33)])
@pytest.mark.parametrize("kind", KINDS)
def test_cells_agree_with_the_reference(kind, sizes, dtype):
    name, given_, meta = cell_case(kind, *sizes, dtype=dtype)
    check(name, *given_, atol=1e-4, **meta)
    found = kernels[name].reference(*given_, **meta)
    grads = [floats(*sizes[::2], dtype=dtype, seed=30 + i) for i in range(2 if kind == "lstm" else 1)]
    saved = found[1:] if isinstance(found, tuple) else [found]
    for arriving in (grads, [None, *grads[1:]]) if kind == "lstm" else (grads,):
        check(f"{name}_grad", *arriving, *given_[:-2], *saved, needs=(True,) * len(given_), atol=1e-3, rtol=1e-3, **meta)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2, "batch_first": True}, {"bias": False}])
def test_modules_train_as_with_the_reference(kind, options, monkeypatch):
    torch.manual_seed(0)
    network = getattr(torch.nn, kind)(6, 10, **options).double()
    x = torch.randn(4, 5, 6, dtype=torch.float64)

    def gradients():
        network.zero_grad()
        y, _ = network(x)
        (y * y).sum().backward()
        return [y.detach().numpy(), *[p.grad.numpy().copy() for p in network.parameters()]]

    found = gradients()
    recurrent = __import__("mytorch.ops.recurrent", fromlist=["rnn_op"])
    for op, name in ((recurrent.rnn_op, "rnn"), (recurrent.gru_op, "gru"), (recurrent.lstm_op, "lstm")):
        monkeypatch.setattr(op, "kernel", backends.kernels[f"{name}_layer"].reference)
        monkeypatch.setattr(recurrent, f"{name}_layer_grad", backends.kernels[f"{name}_layer_grad"].reference)
    for a, b in zip(found, gradients(), strict=True):
        np.testing.assert_allclose(a, b, 1e-10, 1e-12)
