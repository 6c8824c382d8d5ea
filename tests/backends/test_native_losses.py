"""Losses of two arrays: csrc/kernels/losses.cpp."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch import backends
from mytorch.nn import functional
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

DISTANCES = {"mse_loss": {}, "l1_loss": {}, "smooth_l1_loss": {"beta": 0.7}, "huber_loss": {"delta": 0.6}}
GRADIENTS = {"mse_loss": "mse_loss_grad", "l1_loss": "l1_loss_grad", "smooth_l1_loss": "smooth_l1_loss_grad", "huber_loss": "huber_loss_grad",
             "binary_cross_entropy": "bce_loss_grad", "binary_cross_entropy_with_logits": "bce_logits_loss_grad"}
SHAPES = [(), (1,), (15,), (16,), (17,), (64, 65), (3, 5, 1001), (2, 1, 3, 1, 2, 7), (100_003,)]
REDUCTIONS = ["none", "sum", "mean"]


def probabilities(*shape, dtype, seed):
    return np.random.default_rng(seed).random(shape).astype(dtype)


def given(name, shape, dtype, edges=False):
    """Arguments of the loss, its metadata, and those that follow the reduction in the gradient's call."""
    if name in DISTANCES:
        meta = DISTANCES[name]
        return (floats(*shape, dtype=dtype, edges=edges), floats(*shape, dtype=dtype, seed=1)), meta, tuple(meta.values())
    target = probabilities(*shape, dtype=dtype, seed=1)
    if name == "binary_cross_entropy":
        x = probabilities(*shape, dtype=dtype, seed=0)
        if edges:
            x.reshape(-1)[:4] = np.array([0, 1, 1e-30, 0.5])[: x.size]
        return (x, target), {}, ()
    return (floats(*shape, dtype=dtype, edges=edges) * 5, target, None), {}, ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", GRADIENTS)
def test_loss_and_gradient(name, reduction, shape, dtype):
    arguments, meta, edge = given(name, shape, dtype, edges=reduction == "none")
    check(name, *arguments, reduction=reduction, **meta, rtol=3e-6, atol=1e-6)
    g = floats(*(shape if reduction == "none" else ()), dtype=dtype, seed=2)
    check(GRADIENTS[name], g, *arguments[:2], reduction, *edge, rtol=3e-6, atol=1e-6)  # differences of near numbers


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", [*DISTANCES, "binary_cross_entropy_with_logits"])
def test_nan_and_infinity_reach_the_result(name, reduction):
    for value in (np.nan, np.inf, -np.inf):
        arguments, meta, edge = given(name, (1003,), np.float32)
        arguments[0][500] = value
        check(name, *arguments, reduction=reduction, **meta, rtol=3e-6, atol=1e-6)
        g = floats(*((1003,) if reduction == "none" else ()), seed=2)
        check(GRADIENTS[name], g, *arguments[:2], reduction, *edge, rtol=3e-6, atol=1e-6)  # differences of near numbers


def test_an_edge_of_zero_makes_smooth_l1_the_absolute_difference():
    x, target = floats(1003, edges=True), floats(1003, seed=1)
    x[20] = target[20]
    check("smooth_l1_loss", x, target, reduction="none", beta=0.0)
    check("smooth_l1_loss_grad", floats(1003), x, target, "none", 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", [((), ()), ((17,), (17,)), ((17,), (1,)), ((40, 50), (50,)), ((40, 50), (40, 1)), ((40, 50), ()),
                                    ((2, 1, 3, 1, 2, 7), (3, 1, 1, 7)), ((100_003,), (1,))])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_logits_with_weights_of_the_positive_targets(reduction, shapes, dtype):
    (x, target, _), _, _ = given("binary_cross_entropy_with_logits", shapes[0], dtype, edges=reduction == "none")
    weight = np.abs(floats(*shapes[1], dtype=dtype, seed=3))
    check("binary_cross_entropy_with_logits", x, target, weight, reduction=reduction, rtol=3e-6, atol=1e-6)
    g = floats(*(shapes[0] if reduction == "none" else ()), dtype=dtype, seed=2)
    check("bce_weighted_logits_loss_grad", g, x, target, reduction, weight, rtol=3e-6, atol=2e-6)


def test_sure_mistakes_are_finite():
    x, target = np.array([0, 0, 1, 1], np.float32), np.array([0, 1, 0, 1], np.float32)
    check("binary_cross_entropy", x, target, reduction="none", bitwise=True)
    with native_as():
        np.testing.assert_array_equal(backends.kernels["binary_cross_entropy"].override(x, target, reduction="none"), [0, 100, 100, 0])


def test_logits_far_from_zero_do_not_overflow():
    x = np.array([-3e38, -1e4, -200, -90, 90, 200, 1e4, 3e38] * 3, np.float32)
    target = np.repeat(np.array([0, 0.5, 1], np.float32), 8)
    check("binary_cross_entropy_with_logits", x, target, None, reduction="none", rtol=1e-6, atol=1e-37)
    check("bce_logits_loss_grad", np.ones((), np.float32), x, target, "mean", rtol=1e-6, atol=1e-37)


def test_long_sums_keep_their_digits():
    x, target = floats(3_000_001) + 1000, floats(3_000_001, seed=1)
    exact = np.square(x.astype(np.float64) - target).mean()
    with native_as():
        found = backends.kernels["mse_loss"].override(x, target, reduction="mean")
    assert abs(float(found) - exact) < 1e-6 * exact


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", GRADIENTS)
def test_bfloat16_is_rounded_once(name, reduction):
    from mytorch.dtypes import BFLOAT16_NP, cast

    def narrow(a):
        return cast(a, BFLOAT16_NP)

    def wide(a):
        return cast(a, np.dtype(np.float32))

    arguments, meta, edge = given(name, (1003,), np.float32)
    half = [narrow(a) for a in arguments[:2]]
    g = narrow(floats(*((1003,) if reduction == "none" else ()), seed=2))
    rest = [None] * (len(arguments) - 2)
    loss, gradient = backends.kernels[name], backends.kernels[GRADIENTS[name]]
    with native_as():
        pairs = [(loss.override(*half, *rest, reduction=reduction, **meta),
                  loss.override(*map(wide, half), *rest, reduction=reduction, **meta)),
                 (gradient.override(g, *half, reduction, *edge), gradient.override(wide(g), *map(wide, half), reduction, *edge))]
    for found, expected in pairs:
        assert found.dtype == BFLOAT16_NP
        np.testing.assert_array_equal(wide(found), wide(narrow(expected)))


@pytest.mark.parametrize("x", [
    floats(100).astype(">f4"), floats(100, 2)[:, 0], floats(10, 12).T, unaligned(floats(100)), floats(100).astype(np.float16),
], ids=["big-endian", "strided", "transposed", "unaligned", "float16"])
def test_declined(x):
    declines("mse_loss", x, x, reduction="mean")
    declines("mse_loss_grad", np.ones((), x.dtype), x, x, "mean")


def test_other_pairs_are_declined():
    x = floats(40, 50)
    declines("mse_loss", x, x[0], reduction="mean")
    declines("mse_loss", x, x.astype(np.float64), reduction="mean")
    declines("mse_loss_grad", x, x, x[0], "none")
    declines("mse_loss_grad", np.ones((), np.float64), x, x, "mean")
    declines("mse_loss", x[:0], x[:0], reduction="mean")
    declines("binary_cross_entropy_with_logits", x, np.abs(x), np.ones(50, np.float64), reduction="mean")


def test_an_expanded_gradient_is_taken():
    x, target = floats(300, 70), floats(300, 70, seed=1)
    check("mse_loss_grad", np.broadcast_to(np.float32(2), x.shape), x, target, "none")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", GRADIENTS)
def test_derivatives_of_both_inputs_and_of_the_gradient(name, reduction):
    arguments, meta, _ = given(name, (20, 30), np.float64)
    options = {"reduction": reduction, **meta}

    def derivatives(dtype):
        x, target = (mytorch.tensor(a, dtype=dtype, requires_grad=True) for a in arguments[:2])
        y = getattr(functional, name)(x, target, **options)
        first = mytorch.autograd.grad((y * y).sum(), (x, target), create_graph=True)
        second = mytorch.autograd.grad((first[0] * first[0]).sum(), (x, target))
        return [t.detach().numpy() for t in (*first, *second)]

    for found, expected in zip(derivatives(mytorch.float32), derivatives(mytorch.float64), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4 * max(1.0, np.abs(expected).max()))
