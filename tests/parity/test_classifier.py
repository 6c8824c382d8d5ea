"""The adaptive softmax and the linear layer with its loss against torch: names, initial weights, values, gradients, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
import mytorch.nn

torch = pytest.importorskip("torch")

from tests.parity.outcome import outcome  # noqa: E402

LIBS = (mytorch, torch)


def assert_close(ours, theirs):
    ours, theirs = np.asarray(ours.detach()), theirs.detach().numpy()
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def adaptive(T, **options):
    T.manual_seed(0)
    return T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10, 15], div_value=2.0, dtype=T.float64, **options)


@pytest.mark.parametrize("head_bias", [True, False])
@pytest.mark.parametrize("target", [[0, 5, 12, 17, 3], [1, 2, 3, 0, 0], [19, 18, 4, 9, 10], 7])
def test_the_adaptive_softmax_is_torchs(head_bias, target):
    found = []
    for T in LIBS:
        layer = adaptive(T, head_bias=head_bias)
        shape = (5, 8) if isinstance(target, list) else (8,)
        x = T.tensor(np.random.default_rng(1).standard_normal(shape)).requires_grad_()
        output, loss = layer(x, T.tensor(target))
        loss.backward()
        rows = x.reshape(-1, 8)
        tensors = [output, loss, x.grad, layer.log_prob(rows), layer.predict(rows), *[p.grad for p in layer.parameters() if p.grad is not None]]
        found.append((repr(layer), list(layer.state_dict()), [p.grad is None for p in layer.parameters()], tensors))
    assert found[0][:3] == found[1][:3]
    for ours, theirs in zip(found[0][3], found[1][3], strict=True):
        assert_close(ours, theirs)


REFUSALS = {
    "no cutoffs": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, []),
    "cutoffs that fall": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [10, 5]),
    "a cutoff of 0": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [0, 5]),
    "a cutoff too large": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 20]),
    "a fraction": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5.5, 7]),
    "batches": lambda T: adaptive(T)(T.ones(5, 8, dtype=T.float64), T.tensor([1, 2])),
    "a single target": lambda T: adaptive(T)(T.ones(5, 8, dtype=T.float64), T.tensor(1)),
    "many targets": lambda T: adaptive(T)(T.ones(5, 8, dtype=T.float64), T.tensor([[1, 2]])),
    "a target too large": lambda T: adaptive(T)(T.ones(2, 8, dtype=T.float64), T.tensor([1, 20])),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_torchs(case):
    ours, theirs = (outcome(REFUSALS[case], T)[0] for T in LIBS)
    assert ours.startswith(theirs)


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"out_features": (4, 3), "bias": True}, {"reduction": "none", "label_smoothing": 0.2}])
def test_the_linear_cross_entropy_layer_is_torchs(options):
    found = []
    for T in LIBS:
        T.manual_seed(0)
        layer = T.nn.LinearCrossEntropyLoss(5, 7, weight=T.linspace(0.5, 1.5, 7, dtype=T.float64), ignore_index=2, dtype=T.float64, **options)
        x = T.tensor(np.random.default_rng(1).standard_normal((6, 5))).requires_grad_()
        target = np.random.default_rng(2).integers(0, 7, (6, *options.get("out_features", ())))
        loss = layer(x, T.tensor(target))
        loss.sum().backward()
        found.append((repr(layer), list(layer.state_dict()), [loss, x.grad, *[p.grad for p in layer.parameters()]]))
    assert found[0][:2] == found[1][:2]
    for ours, theirs in zip(found[0][2], found[1][2], strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("size", [None, 1, 4, 100])
@pytest.mark.parametrize("call", [{}, {"reduction": "sum"}, {"reduction": "none"}, {"ignore_index": 2}, {"linear_bias": True, "weight": True}])
def test_scores_of_a_few_rows_at_a_time_give_the_same_loss(size, call):
    """The chunked path against torch's plain one, with first and second gradients."""
    found = []
    for T in LIBS:
        x, w = (T.tensor(np.random.default_rng(i).standard_normal(s)).requires_grad_() for i, s in enumerate([(9, 4), (6, 4)]))
        b = T.tensor(np.random.default_rng(5).standard_normal(6)).requires_grad_()
        options = {"options": mytorch.nn.LinearCrossEntropyOptions(batch_chunk_size=size)} if T is mytorch else {}
        known = {"linear_bias": b, "weight": T.linspace(0.5, 1.5, 6, dtype=T.float64)}
        target = T.tensor(np.random.default_rng(3).integers(0, 6, 9))
        loss = T.nn.functional.linear_cross_entropy(x, w, target, **{k: known.get(k, v) for k, v in call.items()}, **options)
        leaves = [x, w, b] if "linear_bias" in call else [x, w]
        plain = T.autograd.grad(loss.sum(), leaves, retain_graph=True)
        first = T.autograd.grad(loss.sum(), leaves, create_graph=True)
        second = T.autograd.grad(sum(g.square().sum() for g in first), leaves)
        found.append([loss, *plain, *first, *second])
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs)


def test_options_look_and_refuse_as_torchs():
    for values in ({}, {"batch_chunk_size": 3}, {"batch_chunk_size": 0}, {"chunking_method": "x"}, {"chunking_method": "aspect_ratio:3"},
                   {"acc_policy": "x"}, {"acc_policy": "accurate", "allow_retain_graph": True}, {"acc_dtype": "x"}):
        ours, theirs = (outcome(lambda T: T.nn.LinearCrossEntropyOptions(**values), T)[0] for T in LIBS)  # noqa: B023 - runs at once
        assert theirs.startswith(ours)


def test_options_that_do_not_apply_warn():
    options = mytorch.nn.LinearCrossEntropyOptions()
    with pytest.warns(UserWarning, match="``options`` ignored"):
        mytorch.nn.LinearCrossEntropyLoss(3, 4, label_smoothing=0.1, options=options)(mytorch.ones(2, 3), mytorch.tensor([0, 1]))
    with pytest.raises(TypeError, match="LinearCrossEntropyOptions"):
        mytorch.nn.functional.linear_cross_entropy(mytorch.ones(2, 3), mytorch.ones(4, 3), mytorch.tensor([0, 1]), options=3)
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        mytorch.nn.functional.linear_cross_entropy(mytorch.ones(2, 3), mytorch.ones(4, 3), mytorch.tensor([0, 4]), options=options)
