"""Steps of optimizers: csrc/kernels/optim.cpp."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch
import mytorch.optim  # its kernels are registered when it is imported
from mytorch import backends
from tests.backends.agreement import EDGES, check, floats, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

SHAPES = [(), (0,), (1,), (15,), (16,), (17,), (31, 33), (40_001,)]
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.1, "maximize": False}


def mean_of(x):
    return x * 0.1


def squares(x):
    return x * x


# For every kernel: how its state arises from normal draws (None: absent), and sets of options.
STEPS = {
    "sgd_step": [([state], {"lr": 0.1, "momentum": 0.9, "dampening": dampening, "weight_decay": decay, "nesterov": nesterov, "maximize": maximize,
                            "first": first})
                 for state, dampening, decay, nesterov, maximize, first in [
                     (None, 0, 0, False, False, False), (None, 0, 0.1, False, True, False), (mean_of, 0.0, 0.0, False, False, True),
                     (mean_of, 0.2, 0.1, False, False, False), (mean_of, 0, 0.1, True, True, False), (mean_of, 0, 0, True, False, True)]],
    "adam_step": [([mean_of, squares, largest], {**ADAM, "step": step, "weight_decay": decay, "decoupled": decoupled, "maximize": maximize})
                  for largest, step, decay, decoupled, maximize in [
                      (None, 1.0, 0, False, False), (None, 7.0, 0.1, False, True), (None, 3.0, 0.1, True, False), (squares, 2.0, 0, False, False)]],
    "adamax_step": [([mean_of, np.abs], {**ADAM, "step": 3.0}), ([mean_of, np.abs], {**ADAM, "step": 1.0, "maximize": True})],
    "nadam_step": [([mean_of, squares], {"step": 3.0, "of_grad": 0.1, "of_mean": 0.2, "decay": decay, "beta1": 0.9, "beta2": 0.99, "eps": 1e-3,
                                         "weight_decay": 0.1, "maximize": False}) for decay in (1, 0.9)],
    "radam_step": [([mean_of, squares], {"alpha": 0.1, "eps": eps, "decay": decay, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1,
                                         "maximize": False}) for eps, decay in [(None, 1), (1e-3, 1), (1e-3, 0.9)]],
    "adagrad_step": [([squares], {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "maximize": maximize}) for maximize in (False, True)],
    "adadelta_step": [([squares, squares], {"lr": 0.1, "rho": 0.9, "eps": 1e-3, "weight_decay": 0.1, "maximize": False})],
    "asgd_step": [([mean_of], {"eta": 0.1, "mu": 0.5, "lambd": 0.01, "weight_decay": 0.1, "maximize": False})],
    "rmsprop_step": [([lambda x: x * x + 1, mean, momentum], {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.9,
                                                              "maximize": False})
                     for mean, momentum in [(None, None), (mean_of, None), (None, mean_of), (mean_of, mean_of)]],
    "rprop_step": [([np.copy, np.abs], {"eta_minus": 0.5, "eta_plus": 1.2, "smallest": 0.1, "largest": 1.0, "maximize": maximize})
                   for maximize in (False, True)],
}
CASES = [pytest.param(name, *case, id=f"{name}-{i}") for name, cases in STEPS.items() for i, case in enumerate(cases)]


def arrays(state, shape, dtype):
    made = [None if make is None else np.asarray(make(floats(*shape, dtype=dtype, seed=2 + i)), dtype) for i, make in enumerate(state)]
    return [floats(*shape, dtype=dtype), floats(*shape, dtype=dtype, seed=1), *made]


def check_step(name, given_arrays, **options):
    written = [i for i, array in enumerate(given_arrays) if array is not None and i != 1]
    check(name, *given_arrays, in_place=written, bitwise=True, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "state", "options"), CASES)
def test_step(name, state, options, shape, dtype):
    check_step(name, arrays(state, shape, dtype), **options)


@pytest.mark.parametrize(("name", "state", "options"), CASES)
def test_special_gradients(name, state, options):
    """NaN, infinities and zeros of both signs arrive where the reference lets them."""
    given_arrays = arrays(state, (EDGES.size * 2,), np.float32)
    edges = np.clip(EDGES, -1e10, 1e10, where=np.isfinite(EDGES), out=EDGES.copy())  # a square that overflows in one product may not in fma
    given_arrays[1] = np.concatenate([edges, edges[::-1]])
    check_step(name, given_arrays, **options)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.sampled_from(sorted(STEPS)))
@settings(max_examples=30, deadline=None)
def test_any_shape(shape, name):
    state, options = STEPS[name][-1]
    check_step(name, arrays(state, shape, np.float32), **options)


def test_infinite_weights_stay_out_of_gradients_without_decay():
    p = np.array([np.inf, 1.0], np.float32)
    check_step("sgd_step", [p, np.ones_like(p), np.zeros_like(p)], lr=0.1, momentum=0.9, dampening=0, weight_decay=0, nesterov=False,
               maximize=False, first=False)


@pytest.mark.parametrize("change", [
    lambda x: np.asfortranarray(x),
    lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    lambda x: unaligned(x),
    lambda x: x.astype(np.float64),
    lambda x: x.astype(np.float16),
    lambda x: x.reshape(7, 5),
], ids=["transposed", "strided", "unaligned", "another dtype", "float16", "another shape"])
@pytest.mark.parametrize("name", sorted(STEPS))
def test_gradients_unlike_the_weights_are_declined(name, change):
    state, options = STEPS[name][0]
    p, g, *rest = arrays(state, (5, 7), np.float32)
    before = p.copy()
    assert backends.kernels[name].override(p, change(g), *rest, **options) is NotImplemented
    np.testing.assert_array_equal(p, before)


def test_overrides_have_the_signatures_of_their_references():
    for name in STEPS:
        kernel = backends.kernels[name]
        expected, found = inspect.signature(kernel.reference), inspect.signature(kernel.override)
        assert [(p.name, p.kind) for p in expected.parameters.values()] == [(p.name, p.kind) for p in found.parameters.values()], name


@pytest.mark.parametrize("rule", ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "ASGD", "RMSprop", "Rprop"])
def test_a_transposed_parameter_learns_as_a_contiguous_one(rule):
    x = mytorch.tensor(floats(3, 4))
    plain = mytorch.nn.Parameter(x.clone())
    turned = mytorch.nn.Parameter(x.t().contiguous().t())
    optimizers = [getattr(mytorch.optim, rule)([p]) for p in (plain, turned)]
    for _ in range(3):
        for p, optimizer in zip((plain, turned), optimizers, strict=True):
            p.grad = (p.detach() * p.detach() + 1).contiguous()
            optimizer.step()
    mytorch.testing.assert_close(turned.detach(), plain.detach(), rtol=1e-5, atol=1e-6)
