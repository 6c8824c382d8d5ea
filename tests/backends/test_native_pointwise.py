"""Pointwise functions: csrc/kernels/pointwise.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mytorch import backends
from tests.backends.agreement import EDGES, check, declines, floats, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

UNARY = ["relu", "exp", "log", "tanh", "sigmoid", "silu", "square", "neg", "abs", "sqrt"]
EXACT = {"relu", "square", "neg", "abs", "sqrt", "add", "sub", "mul", "div", "maximum", "minimum", "relu_grad", "kept"}
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum"]
GRADIENTS = ["relu_grad", "tanh_grad", "sigmoid_grad", "silu_grad"]
SHAPES = [(), (0,), (1,), (15,), (16,), (17,), (64, 65), (3, 5, 1001), (100_003,)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNARY)
def test_function_of_one_array(name, shape, dtype):
    check(name, floats(*shape, dtype=dtype, edges=True), bitwise=name in EXACT, rtol=1e-6, atol=1e-30 if dtype == np.float32 else 1e-300)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid"])
def test_function_over_its_whole_range(name, dtype):
    top = {"exp": 100, "log": 1e30, "tanh": 20, "sigmoid": 100}[name] * (8 if dtype == np.float64 and name == "exp" else 1)
    x = np.linspace(0.0 if name == "log" else -top, top, 20_001).astype(dtype)
    if name == "log":
        x = np.concatenate([x, np.geomspace(1e-44, 1e38, 20_001).astype(dtype)])
    smallest = np.finfo(dtype).tiny if name == "sigmoid" else np.finfo(dtype).smallest_subnormal  # torch's is 0 there, and so is ours
    check(name, x, rtol=1e-6 if dtype == np.float32 else 1e-9, atol=3e6 * smallest if dtype == np.float64 else 3 * smallest)


def test_relu_keeps_the_sign_of_zero_as_torch_does():
    y = backends.kernels["relu"].override(np.full(10_000, -0.0, np.float32))
    assert np.signbit(y).all()


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gelu(shape, approximate):
    x = floats(*shape) * 3
    check("gelu_forward", x, approximate=approximate, rtol=3e-6, atol=5e-6)  # the reference's own error
    check("gelu_grad", floats(*shape, seed=1), x, approximate=approximate, rtol=1e-5, atol=1e-5)


def test_gelu_keeps_the_digits_of_small_results():
    from math import erfc, sqrt

    x = np.linspace(-12, 12, 4001, dtype=np.float32)
    exact = np.array([v * 0.5 * erfc(-v / sqrt(2)) for v in x.astype(np.float64)])
    with native_as():
        np.testing.assert_allclose(backends.kernels["gelu_forward"].override(x, approximate="none"), exact, rtol=5e-6, atol=1e-38)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", [((17,), (17,)), ((40, 50), (50,)), ((40, 50), (40, 1)), ((3, 1, 5), (2, 3, 4, 5)), ((6,), (5, 6)),
                                    ((2, 3, 4, 5), (1, 3, 1, 1)), ((0, 4), (4,)), ((100_003,), (1,)), ((2, 3), ()), ((300, 70), (300, 70))])
@pytest.mark.parametrize("name", BINARY)
def test_function_of_two_arrays(name, shapes, dtype):
    check(name, floats(*shapes[0], dtype=dtype, edges=True), floats(*shapes[1], dtype=dtype, seed=1), bitwise=True)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 31), st.integers(0, 4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_broadcasting(shape, ones, dropped, exchanged):
    small = [1 if ones >> i & 1 else n for i, n in enumerate(shape)][min(dropped, len(shape)):]
    a, b = floats(*shape), floats(*small, seed=1)
    check("sub", *((b, a) if exchanged else (a, b)), bitwise=True)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("number", [2, -0.75, 0.0, -0.0, float("1e20")])
def test_number_on_either_side(name, number):
    for dtype in (np.float32, np.float64):
        x = floats(10_001, dtype=dtype, edges=True)
        check(name, x, number, bitwise=True)
        check(name, number, x, bitwise=True)
        check(name, np.full((10_001, 1), number, dtype), x.reshape(10_001, 1) * np.ones(2, dtype), bitwise=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name, shape):
    check(name, floats(*shape, edges=True), floats(*shape, seed=1), bitwise=name in EXACT, rtol=2e-6, atol=1e-6)


def test_gradient_of_relu_passes_where_its_output_is_nan():
    check("relu_grad", np.ones(EDGES.size, np.float32), EDGES, bitwise=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kept(dtype):
    x = floats(10_001, dtype=dtype, edges=True)
    check("kept", x, np.arange(x.size) % 3 == 0, bitwise=True)


@pytest.mark.parametrize("x", [
    floats(32),  # too small to gain anything
    floats(10_000).astype(">f4"),
    floats(10_000, 2)[:, 0],  # strided
    floats(100, 128).T,
    unaligned(floats(10_000)),
], ids=["small", "big-endian", "strided", "transposed", "unaligned"])
def test_declined(x):
    declines("relu", x)
    declines("add", x, x)
    declines("mul", x, 2.0)
    declines("kept", x, np.ones(x.shape, bool))


def test_numbers_beyond_the_array_are_declined():
    declines("mul", floats(10_000, dtype=np.float64), 10**40)
    declines("add", floats(10_000), float("nan"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_added_in_place(shape, dtype):
    check("add_to", floats(*shape, dtype=dtype, edges=True), floats(*shape, dtype=dtype, seed=1), in_place=(0,), bitwise=True)
    if len(shape) == 2:
        declines("add_to", floats(*shape, dtype=dtype), floats(*shape[::-1], dtype=dtype).T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_relu_written_over_g(shape, dtype):
    y = np.maximum(floats(*shape, dtype=dtype, edges=True, seed=1), 0)
    check("relu_grad_over", floats(*shape, dtype=dtype), y, in_place=(0,), bitwise=True)
