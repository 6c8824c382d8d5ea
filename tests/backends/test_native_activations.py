"""Activations and their gradients: csrc/kernels/activations.cpp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch
from mytorch import backends
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

SETTINGS = {
    "leaky_relu": [{"slope": 0.01}, {"slope": -0.5}, {"slope": 2}],
    "threshold": [{"limit": 0.1, "value": 20.0}],
    "hardtanh": [{"low": -1.0, "high": 1.0}, {"low": 0, "high": 6}],
    "hardsigmoid": [{}],
    "hardswish": [{}],
    "hardshrink": [{"lambd": 0.5}],
    "softshrink": [{"lambd": 0.5}],
    "elu": [dict(zip(("alpha", "scale", "input_scale"), numbers, strict=True)) for numbers in ((1.0, 1.0, 1.0), (1.67, 1.05, 1.0), (2.0, 1.0, 0.5))],
    "softplus": [{"beta": 1.0, "limit": 20.0}, {"beta": 3.0, "limit": 2.0}, {"beta": 1.0, "limit": math.inf}],
    "log_sigmoid": [{}],
    "mish": [{}],
}
CASES = [(name, meta) for name, choices in SETTINGS.items() for meta in choices]
SHAPES = [(), (0,), (1,), (15,), (17,), (64, 65), (3, 5, 1001)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "meta"), CASES)
def test_activation_and_gradient(name, meta, shape, dtype):
    x = floats(*shape, dtype=dtype, edges=True) * 4
    check(name, x, rtol=2e-6, atol=1e-30 if dtype == np.float32 else 1e-300, **meta)
    check(f"{name}_grad", floats(*shape, dtype=dtype, seed=1, edges=True), x[..., ::-1].copy() if shape else x, rtol=3e-6, atol=3e-6, **meta)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["elu", "softplus", "log_sigmoid", "mish"])
def test_digits_over_the_whole_range(name, dtype):
    meta = SETTINGS[name][0]
    small = np.geomspace(1e-12, 80, 5001)
    x = np.concatenate([-small, small]).astype(dtype)
    wide = x.astype(np.longdouble)
    exact = {"elu": np.where(wide > 0, wide, np.expm1(wide)), "softplus": np.where(wide > 20, wide, np.log1p(np.exp(wide))),
             "log_sigmoid": -np.log1p(np.exp(-wide)), "mish": wide * np.tanh(np.log1p(np.exp(wide)))}[name]
    with native_as():
        found = backends.kernels[name].override(x, **meta)
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(found, exact.astype(dtype), rtol=8 * unit)


@given(st.integers(0, 3000), st.sampled_from(CASES), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_any_length(size, case, seed):
    name, meta = case
    check(name, floats(size, seed=seed) * 5, rtol=2e-6, atol=1e-30, **meta)
    check(f"{name}_grad", floats(size, seed=seed + 1), floats(size, seed=seed) * 5, rtol=3e-6, atol=3e-6, **meta)


def test_gradient_of_another_layout_is_made_dense():
    g, x = floats(40, 30).T, floats(30, 40, seed=2)
    check("mish_grad", g, x, rtol=3e-6)


@pytest.mark.parametrize("name", ["hardtanh", "leaky_relu"])
def test_declines_what_it_does_not_compute(name):
    meta = SETTINGS[name][0]
    declines(name, np.arange(10), **meta)
    declines(name, floats(6, 8).T, **meta)
    declines(name, unaligned(floats(100)), **meta)
    declines(name, floats(10), **dict.fromkeys(meta, 1e60))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bounds", [(-1.0, 2.0), (0, None), (None, 0.5), (2.0, 1.0), (-float("inf"), float("inf"))])
@pytest.mark.parametrize("shape", SHAPES)
def test_clamp(shape, bounds, dtype):
    check("clamp_forward", np.multiply(floats(*shape, dtype=dtype, edges=True), 4, out=...), *bounds, bitwise=True)


def test_bounds_keep_the_sign_of_zero():
    x = floats(1000)
    with native_as():
        for y in (backends.kernels["threshold"].override(x, limit=0.0, value=-0.0), backends.kernels["hardtanh"].override(x, low=-0.0, high=9.0)):
            np.testing.assert_array_equal(np.signbit(y), x <= 0)


def test_clamp_declines_arrays_and_nan_as_bounds():
    for bounds in ((float("nan"), 1.0), (floats(10), 1.0), (None, True), (None, 1e60)):
        declines("clamp_forward", floats(10), *bounds)
    declines("clamp_forward", np.arange(10), 0, 5)


@pytest.mark.parametrize(("name", "meta"), CASES)
def test_half_numbers_are_computed_in_float32_and_rounded_once(name, meta):
    x, g = mytorch.linspace(-8, 8, 1001).bfloat16(), mytorch.linspace(-2, 3, 1001).bfloat16()
    with native_as():
        for kernel, given in ((backends.kernels[name], (x,)), (backends.kernels[f"{name}_grad"], (g, x))):
            half = kernel.override(*[part._array for part in given], **meta)
            wide = kernel.override(*[part.float()._array for part in given], **meta)
            assert mytorch.equal(mytorch.from_numpy(wide).bfloat16().view(mytorch.int16), mytorch.from_numpy(half.view(np.int16)))
