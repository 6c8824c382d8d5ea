"""Softmax, the losses and their modules give torch's values, gradients, second gradients, errors and warnings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.nn.functional
from mytorch.ops import softmax as softmaxes
from tests.parity.compare import assert_same, assert_same_error

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
A, B, C = (RNG.standard_normal((3, 4)) for _ in range(3))
P, Q = RNG.uniform(0.05, 0.95, (3, 4)), RNG.random((3, 4))
W = RNG.uniform(0.2, 1.2, 5)
REDUCTIONS = ("mean", "sum", "none")
SHAPES = [(4, 5), (5,), (4, 5, 3), (2, 5, 3, 2), (2, 5, 2, 2, 2)]


def loss(name, *args, **kwargs):
    return lambda m, *tensors: getattr(m.nn.functional, name)(*tensors, *args, **kwargs)


def class_indices(shape, ignored=None):
    target = RNG.integers(0, 5, shape[:1] + shape[2:] if len(shape) > 1 else ())
    return np.asarray(target if ignored is None or not target.ndim else np.where(RNG.random(target.shape) < 0.3, ignored, target))


# ---- softmax ------------------------------------------------------------------------------------------------------------------

SOFTMAX_INPUTS = {"matrix": RNG.standard_normal((4, 5)), "large": RNG.standard_normal((3, 4, 50)) * 50, "vector": RNG.standard_normal(7),
                  "0-d": np.array(1.5), "no rows": np.zeros((0, 3)), "no columns": np.zeros((3, 0)), "transposed": RNG.standard_normal((5, 4)).T}


@pytest.mark.parametrize("kind", SOFTMAX_INPUTS)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax(name, kind):
    x = SOFTMAX_INPUTS[kind]
    for dim in (0, -1):
        assert_same(torch, loss(name, dim), x)
        if name != "softmin":
            assert_same(torch, lambda m, t, dim=dim: getattr(m, name)(t, dim), x)
            assert_same(torch, lambda m, t, dim=dim: getattr(t, name)(dim, dtype=m.float64), x)


@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_without_a_dim_warns_and_chooses_as_torch(name, shape):
    ours = softmaxes.softmin if name == "softmin" else getattr(softmaxes, f"functional_{name}")
    x = RNG.standard_normal(shape)
    with pytest.warns(UserWarning, match=f"Implicit dimension choice for {name} has been deprecated"):
        y = ours(mytorch.tensor(x))
    with pytest.warns(UserWarning, match=f"Implicit dimension choice for {name}"):
        reference = getattr(torch.nn.functional, name)(torch.tensor(x))
    np.testing.assert_allclose(y.numpy(), reference.numpy(), rtol=1e-12)


def test_softmax_of_infinities_is_torchs():
    x = np.array([[-math.inf, -math.inf], [math.inf, 0], [-math.inf, 1], [math.nan, 0]])
    for name in ("softmax", "log_softmax"):
        assert_same(torch, loss(name, 1), x, second=False)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_draws_as_torch(hard):
    found = []
    for m in (mytorch, torch):
        m.manual_seed(3)
        logits = m.tensor(A.astype(np.float32), requires_grad=True)
        y = m.nn.functional.gumbel_softmax(logits, tau=0.7, hard=hard)
        (y * m.tensor(B.astype(np.float32))).sum().backward()
        found.append((y.detach().numpy(), logits.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


# ---- classes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("ignored", [None, -100, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_indices(shape, ignored, weighted):
    x, target = RNG.standard_normal(shape), class_indices(shape, ignored)
    options = {} if ignored is None else {"ignore_index": ignored}

    def run(name, **options):
        def weight(m, like):
            return m.tensor(W).to(like.dtype) if weighted else None
        assert_same(torch, lambda m, x, t: getattr(m.nn.functional, name)(x, t, weight(m, x), **options), x, target)

    for reduction in REDUCTIONS:
        run("nll_loss", reduction=reduction, **options)
        for smoothing in (0.0, 0.1):
            run("cross_entropy", reduction=reduction, label_smoothing=smoothing, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_probabilities(shape, smoothing):
    x, target = RNG.standard_normal(shape), RNG.random(shape)
    for reduction in REDUCTIONS:
        assert_same(torch, loss("cross_entropy", reduction=reduction, label_smoothing=smoothing), x, target)

        def weighted(m, x, t, reduction=reduction):
            return m.nn.functional.cross_entropy(x, t, m.tensor(W).to(x.dtype), reduction=reduction)
        assert_same(torch, weighted, x, target)


@pytest.mark.parametrize(("x", "target"), [
    (RNG.standard_normal((4, 5)), np.full(4, -100)),  # nothing counts: 0 / 0
    (np.zeros((0, 3)), np.zeros(0, np.int64)),
    (RNG.standard_normal((4, 5)) * 1000, np.array([0, 1, 2, 3])),
    (np.array([[1.0, -math.inf, 2], [3, -math.inf, 0]]), np.array([0, 2])),
    (RNG.standard_normal((5, 4)).T, np.array([4, 0, 1, 2])),
    (RNG.standard_normal((4, 5)), np.array([4, 0, 1, 2], np.uint8)),
    (RNG.standard_normal((300, 70)), RNG.integers(0, 70, 300)),  # wide enough for the other way of reducing rows
], ids=["all ignored", "no rows", "large", "-inf", "transposed", "bytes", "wide"])
def test_class_indices_at_the_edges(x, target):
    for reduction in REDUCTIONS:
        assert_same(torch, loss("cross_entropy", reduction=reduction), x, target, second=bool(np.isfinite(x).all()))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["cross_entropy", "mse_loss", "binary_cross_entropy_with_logits", "kl_div", "smooth_l1_loss"])
def test_half_precision_losses(name, dtype):
    x, y = RNG.standard_normal((6, 40)), RNG.random((6, 40))
    found = []
    for m in (mytorch, torch):
        t = m.tensor(x).to(getattr(m, dtype)).requires_grad_()
        target = m.tensor(np.arange(6) * 5) if name == "cross_entropy" else m.tensor(y).to(t.dtype)
        value = getattr(m.nn.functional, name)(t, target, reduction="sum")
        value.backward()
        found.append((value.detach().double().numpy(), t.grad.double().numpy()))
    step = 2.0**-10 if dtype == "float16" else 2.0**-7
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=3 * step, atol=3 * step * np.abs(theirs).max())


# ---- element by element -------------------------------------------------------------------------------------------------------

PAIRS = [("mse_loss", {}), ("l1_loss", {}), ("smooth_l1_loss", {}), ("smooth_l1_loss", {"beta": 0.5}), ("smooth_l1_loss", {"beta": 0.0}),
         ("huber_loss", {}), ("huber_loss", {"delta": 0.4}), ("binary_cross_entropy_with_logits", {}), ("kl_div", {}),
         ("kl_div", {"log_target": True}), ("soft_margin_loss", {}), ("poisson_nll_loss", {}), ("poisson_nll_loss", {"full": True}),
         ("poisson_nll_loss", {"log_input": False})]
OPERANDS = {"matrices": (A, B), "0-d": (np.array(0.7), np.array(0.3)), "empty": (np.zeros((0, 3)), np.zeros((0, 3))),
            "transposed": (A.T, B.T), "strided": (RNG.standard_normal((6, 8))[::2, ::2], B)}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("kind", OPERANDS)
@pytest.mark.parametrize(("name", "options"), PAIRS, ids=str)
def test_pointwise_loss(name, options, kind):
    x, y = OPERANDS[kind]
    if name in ("kl_div", "poisson_nll_loss"):
        y = np.asarray(np.abs(y) * 3 + 0.01)
    if options.get("log_input") is False:
        x = np.asarray(np.abs(x) + 0.1)
    for reduction in (*REDUCTIONS, *(["batchmean"] if name == "kl_div" else [])):
        def run(m, x, y, reduction=reduction):
            return getattr(m.nn.functional, name)(x, y.detach() if name == "soft_margin_loss" else y, reduction=reduction, **options)
        assert_same(torch, run, x, y)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction):
    assert_same(torch, loss("binary_cross_entropy", reduction=reduction), P, Q)
    assert_same(torch, lambda m, x, y, w: m.nn.functional.binary_cross_entropy(x, y, w.detach(), reduction=reduction), P, Q, RNG.random(4))
    edges = np.array([0.0, 1, 0.3, 0, 1])
    assert_same(torch, loss("binary_cross_entropy", reduction=reduction), edges, np.array([0.0, 1, 0.2, 1, 0]), second=False, tolerance=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("scale", [1, 100])
def test_binary_cross_entropy_with_logits_and_weights(reduction, scale):
    def run(m, x, y, weight, positive):
        weight, positive = weight.detach(), positive.detach()
        return m.nn.functional.binary_cross_entropy_with_logits(x, y, weight, pos_weight=positive, reduction=reduction)
    assert_same(torch, run, A * scale, Q, RNG.random(4), RNG.random((3, 1)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weight_per_element(name, reduction):
    assert_same(torch, lambda m, x, y, w: getattr(m.nn.functional, name)(x, y, weight=w, reduction=reduction), A, B, RNG.random((3, 4)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("full", [False, True])
def test_gaussian_nll_loss(reduction, full):
    for variance in (Q + 0.1, Q[:, 0] + 0.1, Q[:, :1] + 0.1):
        assert_same(torch, loss("gaussian_nll_loss", full=full, reduction=reduction), A, B, variance)
    assert_same(torch, lambda m, x, y: m.nn.functional.gaussian_nll_loss(x, y, 0.7, full, reduction=reduction), A, B)
    assert_same(torch, loss("gaussian_nll_loss", full=full, reduction=reduction), A, B, Q * 1e-7, tolerance=1e-4)


# ---- margins ------------------------------------------------------------------------------------------------------------------

SIGNS = np.sign(C).astype(np.int64)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_margin_losses(margin, reduction):
    options = {"margin": margin, "reduction": reduction}
    assert_same(torch, loss("hinge_embedding_loss", **options), A, SIGNS)
    assert_same(torch, loss("margin_ranking_loss", **options), A, B, SIGNS)
    assert_same(torch, loss("cosine_embedding_loss", margin=margin - 0.5, reduction=reduction), A, B, np.array([1, -1, -1]))
    assert_same(torch, loss("cosine_embedding_loss", reduction=reduction), A[0], B[0], np.array(-1))
    assert_same(torch, loss("triplet_margin_with_distance_loss", **options), A, B, C)
    for p in (1, 2, 3.0):
        for swap in (False, True):
            assert_same(torch, loss("triplet_margin_loss", p=p, swap=swap, **options), A, B, C)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multi_class_margin_losses(reduction):
    target = np.array([3, 0, 1])
    for p in (1, 2):
        assert_same(torch, loss("multi_margin_loss", p=p, margin=0.8, reduction=reduction), A, target, second=False)

        def weighted(m, x, t, w, p=p):
            return m.nn.functional.multi_margin_loss(x, t, p, weight=w.detach(), reduction=reduction)
        assert_same(torch, weighted, A, target, RNG.random(4), second=False)
        assert_same(torch, loss("multi_margin_loss", p=p, reduction=reduction), A[0], np.array(1), second=False)
    labels = np.array([[3, 0, -1, 1], [-1, 0, 1, 2], [0, 1, 2, 3]])
    assert_same(torch, loss("multilabel_margin_loss", reduction=reduction), A, labels, second=False)
    assert_same(torch, loss("multilabel_margin_loss", reduction=reduction), A[0], labels[0], second=False)
    assert_same(torch, lambda m, x, y, w: m.nn.functional.multilabel_soft_margin_loss(x, y, w.detach(), reduction=reduction),
                A, (Q > 0.5) * 1.0, RNG.random(4))


def test_pairwise_distance():
    for p in (1, 1.5, 2):
        assert_same(torch, loss("pairwise_distance", p, keepdim=True), A, B)


# ---- modules ------------------------------------------------------------------------------------------------------------------

MODULES = [("L1Loss", {}, (A, B)), ("MSELoss", {}, (A, B)), ("SmoothL1Loss", {"beta": 0.5}, (A, B)), ("HuberLoss", {"delta": 0.4}, (A, B)),
           ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 1}, (A, np.array([3, 1, 0]))),
           ("NLLLoss", {"ignore_index": 1}, (A, np.array([3, 1, 0]))), ("BCELoss", {}, (P, Q)), ("BCEWithLogitsLoss", {}, (A, Q)),
           ("KLDivLoss", {"log_target": True}, (A, B)), ("PoissonNLLLoss", {"full": True, "eps": 1e-3}, (A, Q * 9)),
           ("GaussianNLLLoss", {"full": True}, (A, B, Q + 0.1)), ("HingeEmbeddingLoss", {"margin": 0.3}, (A, SIGNS)),
           ("MarginRankingLoss", {"margin": 0.3}, (A, B, SIGNS)), ("CosineEmbeddingLoss", {"margin": 0.1}, (A, B, np.array([1, -1, -1]))),
           ("TripletMarginLoss", {"p": 1.0, "swap": True}, (A, B, C)), ("TripletMarginWithDistanceLoss", {"margin": 0.5}, (A, B, C)),
           ("MultiMarginLoss", {"p": 2, "margin": 0.5}, (A, np.array([3, 1, 0]))),
           ("MultiLabelMarginLoss", {}, (A, np.array([[3, 0, -1, 1], [-1, 0, 1, 2], [0, 1, 2, 3]])))]


@pytest.mark.parametrize(("name", "options", "inputs"), MODULES, ids=[row[0] for row in MODULES])
def test_module(name, options, inputs):
    for reduction in ("sum", "none"):
        def run(m, *tensors, reduction=reduction):
            return getattr(m.nn, name)(reduction=reduction, **options)(*tensors)
        assert_same(torch, run, *inputs, second=False)
    ours, theirs = (getattr(m.nn, name)(**options) for m in (mytorch, torch))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "MultiMarginLoss", "MultiLabelSoftMarginLoss"])
def test_weight_of_a_module_is_a_saved_buffer(name):
    ours, theirs = (getattr(m.nn, name)(weight=m.ones(3)) for m in (mytorch, torch))
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]
    assert ours.double().weight.dtype is mytorch.float64


# ---- errors and warnings ------------------------------------------------------------------------------------------------------

ERRORS = [
    "F.cross_entropy(o(2, 3), T([0, 5]))", "F.cross_entropy(o(2, 3), T([0, -1]))", "F.cross_entropy(o(2, 3), T([0, 1], dtype=m.int32))",
    "F.cross_entropy(o(2, 3), T([0., 1]))", "F.cross_entropy(o(2, 3), T([0, 1, 1]))", "F.cross_entropy(o(2, 3, 4), T([0, 1]))",
    "F.cross_entropy(o(2, 3, 4), o(2, 5, dtype=m.int64))", "F.cross_entropy(o(2, 3), T([0, 1]), weight=o(2))",
    "F.cross_entropy(o(2, 3), T([0, 1]), weight=o(3).double())", "F.cross_entropy(o(2, 3), T([0, 1]), reduction='x')",
    "F.cross_entropy(o(2, 3), T([0, 1]), label_smoothing=2.)", "F.cross_entropy(o(2, 3), o(2, 3, dtype=m.int64))",
    "F.cross_entropy(o(2, 3), o(2, 3), ignore_index=1)", "F.cross_entropy('a', T([0, 1]))", "F.cross_entropy(o(2, 3), [0, 1])",
    "F.cross_entropy(o(2, 3, dtype=m.int64), T([0, 1]))", "F.nll_loss(o(2, 3), T([0, 5]))", "F.nll_loss(o(2, 3), T([0, 1, 1]))",
    "F.nll_loss(T(1.), T(0))", "F.nll_loss(o(2, 3), o(2, 3, dtype=m.int64))", "F.nll_loss(o(2, 3, dtype=m.int64), T([1, 2]))",
    "F.mse_loss(o(2), o(2), reduction='x')", "F.smooth_l1_loss(o(2), o(2), beta=-1)", "F.huber_loss(o(2), o(2), delta=0)",
    "F.mse_loss(o(2), o(2), weight=o(3))", "F.binary_cross_entropy(o(2), o(3))", "F.binary_cross_entropy(T([2.]), o(1))",
    "F.binary_cross_entropy(T([float('nan')]), o(1))", "F.binary_cross_entropy(o(2) * .5, o(2) * 3)",
    "F.binary_cross_entropy(o(2) / 2, o(2).double())", "F.binary_cross_entropy_with_logits(o(2), o(3))",
    "F.binary_cross_entropy_with_logits(o(2), o(2, dtype=m.int64))", "F.kl_div(o(2, 2), o(2, 2), reduction='x')",
    "F.margin_ranking_loss(o(2, 1), o(2), o(2))", "F.cosine_embedding_loss(o(2, 3), o(2, 3), o(2, 1))",
    "F.cosine_embedding_loss(o(2, 3), o(3), o(2))", "F.triplet_margin_loss(o(2, 3), o(2, 3), o(3))",
    "F.triplet_margin_loss(o(2, 3), o(2, 3), o(2, 3), margin=-1)", "F.gaussian_nll_loss(o(2), o(2), o(3))",
    "F.gaussian_nll_loss(o(2), o(2), -o(2))", "F.gaussian_nll_loss(o(2), o(2), -2.)", "F.gaussian_nll_loss(o(2), o(2), o(2), reduction='x')",
    "F.multi_margin_loss(o(2, 3), T([0, 5]))", "F.multi_margin_loss(o(2, 3), T([0, 1]), p=3)", "F.multi_margin_loss(o(2, 3), T([0, 1, 1]))",
    "F.multilabel_margin_loss(o(2, 3), T([[0, -1], [2, 1]]))", "F.softmax(o(2, dtype=m.int64), 0)", "F.softmax(o(2), 3)",
    "m.nn.TripletMarginLoss(margin=0)", "m.nn.MultiMarginLoss(p=3)",
]


@pytest.mark.parametrize("text", ERRORS)
def test_errors(text):
    assert_same_error(torch, lambda m: eval(text, {"m": m, "F": m.nn.functional, "T": m.tensor, "o": m.ones}))


@pytest.mark.parametrize("text", [
    "F.mse_loss(o(2, 3), o(3))", "F.l1_loss(o(2, 3), o(3))", "F.smooth_l1_loss(o(2, 3), o(3))", "F.huber_loss(o(2, 3), o(3))",
    "F.kl_div(o(2, 2), o(2, 2))", "F.mse_loss(o(2), o(2), size_average=False)", "F.cross_entropy(o(2, 3), m.tensor([0, 1]), reduce=False)",
    "m.nn.L1Loss(size_average=True)", "m.nn.NLLLoss(reduce=False)", "F.binary_cross_entropy(o(2) / 2, o(2), size_average=False)",
])
def test_warnings(text):
    found = []
    for m in (mytorch, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = eval(text, {"m": m, "F": m.nn.functional, "o": m.ones})
        found.append(([(str(w.message), w.category) for w in caught], repr(y)))
    assert found[0] == found[1]
    assert found[0][0]


def test_dtypes_are_promoted():
    for other in (np.float64, np.int64):
        def run(m, x, other=other):
            return m.nn.functional.mse_loss(x, m.tensor(np.ones((3, 4), other)))
        assert_same(torch, run, A, second=False)
