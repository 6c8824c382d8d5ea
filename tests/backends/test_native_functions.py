"""Functions of one number, their gradients, angles and remainders: csrc/kernels/functions.cpp."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mytorch
from mytorch import backends
from tests.backends.agreement import EDGES, check, declines, floats, instruction_sets, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

SINGLE = ["sin", "cos", "tan", "atan", "erf"]  # float64 stays with NumPy
UNARY = [*SINGLE, "log1p", "log2", "log10", "expm1", "exp2", "sinh", "cosh", "sign", "rsqrt", "reciprocal"]
SINGLE_GRADIENTS = ["sin_grad", "cos_grad", "erf_grad"]
GRADIENTS = [*SINGLE_GRADIENTS, "log1p_grad", "abs_grad", "sqrt_grad", "reciprocal_grad", "rsqrt_grad"]
DIVISIONS = ["fmod", "remainder", "floor_divide"]
EXPONENTS = [2, 3.0, -1, -2, 0.5, -0.5]
SHAPES = [(), (0,), (1,), (15,), (16,), (17,), (64, 65), (3, 5, 1001), (2, 1, 3, 1, 2, 7), (100_003,)]


def ulps(y, exact):
    """How far float32 results are from exact ones, in units of their last digit."""
    return np.abs(y.astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNARY)
def test_function_of_one_array(name, shape, dtype):
    x = floats(*shape, dtype=dtype, edges=True)
    if dtype == np.float64 and name in SINGLE:
        declines(name, x)
    else:
        check(name, x, rtol=1e-6, atol=1e-30 if dtype == np.float32 else 1e-300)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name, shape, dtype):
    g, v = floats(*shape, dtype=dtype), floats(*shape, dtype=dtype, seed=1, edges=True)
    if dtype == np.float64 and name in SINGLE_GRADIENTS:
        declines(name, g, v)
    else:
        check(name, g, v, rtol=2e-6, atol=1e-30 if dtype == np.float32 else 1e-300)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_power(exponent, shape, dtype):
    x, g = floats(*shape, dtype=dtype, edges=True), floats(*shape, dtype=dtype, seed=1)
    atol = 1e-30 if dtype == np.float32 else 1e-300
    check("power", x, exponent=exponent, rtol=1e-6, atol=atol)
    check("power_grad", g, x, exponent=exponent, rtol=2e-6, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_functions_of_several_arrays(shape, dtype):
    a, b, c = (floats(*shape, dtype=dtype, seed=seed, edges=seed == 0) for seed in range(3))
    check("logaddexp", a, b, rtol=1e-6, atol=1e-6)
    check("logaddexp", a, a, rtol=1e-6, atol=1e-6)  # also of equal infinities
    check("logaddexp_grad", c, 30 * a, b, rtol=1e-6, atol=1e-30 if dtype == np.float32 else 1e-300)
    for value in (1, -0.75):
        check("addcmul", a, b, c, value=value, rtol=1e-6, atol=1e-6)
        check("addcdiv", a, b, c, value=value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize(("name", "exact"), [("sin", np.sin), ("cos", np.cos), ("tan", np.tan)])
def test_circle_is_right_to_the_last_digits_at_any_angle(name, exact, isa):
    far, quarters = np.geomspace(1e-38, 3e38, 20_001), np.arange(1, 7600) * (np.pi / 2)
    x = np.concatenate([np.linspace(-12_100, 12_100, 200_001), quarters, far]).astype(np.float32)
    with native_as(isa):
        assert ulps(backends.kernels[name].override(x), exact(x.astype(np.float64))).max() < 4


# Between these numbers, and every size of them down to the smallest, where results of float32 are normal numbers.
RANGES = {"atan": (-30, 30), "sinh": (-89, 89), "cosh": (-89, 89), "expm1": (-90, 88.7), "exp2": (-126, 127.9), "log2": (1e-37, 3),
          "log10": (1e-37, 3)}


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("name", RANGES)
def test_function_is_right_to_the_last_digits(name, isa):
    low, high = RANGES[name]
    small = np.geomspace(1e-37, high, 20_001)
    x = np.concatenate([np.linspace(low, high, 200_001), small, *([-small[small <= -low]] if low < 0 else [])]).astype(np.float32)
    exact = backends.kernels[name].reference(x.astype(np.float64))
    with native_as(isa):
        assert ulps(backends.kernels[name].override(x), exact).max() < 4


@pytest.mark.parametrize("isa", instruction_sets())
def test_powers_of_two_and_their_logarithms_are_exact(isa):
    n = np.arange(-149, 128)
    powers = np.ldexp(1.0, n).astype(np.float32)
    with native_as(isa):
        np.testing.assert_array_equal(backends.kernels["exp2"].override(n.astype(np.float32)), powers)
        np.testing.assert_array_equal(backends.kernels["log2"].override(powers), n)


@pytest.mark.parametrize("isa", instruction_sets())
def test_angle(isa):
    edges = np.concatenate([EDGES, [1, -1]]).astype(np.float32)
    a, b = (v.ravel() for v in np.meshgrid(edges, edges))
    a, b = np.concatenate([a, floats(20_001)]), np.concatenate([b, floats(20_001, seed=1)])
    exact = np.arctan2(a.astype(np.float64), b.astype(np.float64))
    with native_as(isa):
        y = backends.kernels["atan2"].override(a, b)
        declines("atan2", exact, exact)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(exact))
    np.testing.assert_array_equal(np.signbit(y)[~np.isnan(y)], np.signbit(exact)[~np.isnan(y)])
    some = np.abs(exact) > 1e-37
    assert ulps(y[some], exact[some]).max() < 3
    assert (np.abs(y[~some]) <= 1e-37)[~np.isnan(exact[~some])].all()


@pytest.mark.parametrize("name", DIVISIONS)
def test_division(name):
    """To the last bit: near and far quotients, whole ones, numbers below the normal ones, and every pair of special values."""
    numbers = np.concatenate([EDGES, [1, 3, -3, 0.1, -7.5, 2**24, 6e30]]).astype(np.float32)
    a, b = (v.ravel() for v in np.meshgrid(numbers, numbers))
    check(name, a, b, bitwise=True)
    whole = np.random.default_rng(0).integers(-50, 50, 20_001).astype(np.float32)
    for seed, scale in enumerate([0.01, 1, 1e3, 1e7, 1e12]):
        a, b = floats(20_001, seed=seed) * np.float32(scale), floats(20_001, seed=seed + 1)
        check(name, a, b, bitwise=True)
        check(name, whole, whole[::-1].copy(), bitwise=True)
        for number in (0.7, -3, 0.0, np.inf):
            check(name, a, np.array(number, np.float32), bitwise=True)
    declines(name, a.astype(np.float64), b.astype(np.float64))
    declines(name, a.reshape(-1, 3), b[:3])


@pytest.mark.parametrize("isa", instruction_sets())
def test_erf_is_right_to_the_last_digits(isa):
    x = np.concatenate([np.linspace(-5, 5, 40_001), np.geomspace(1e-37, 10, 10_001), -np.geomspace(1e-37, 1, 10_001)]).astype(np.float32)
    exact = np.array([math.erf(v) for v in x.tolist()])
    with native_as(isa):
        assert ulps(backends.kernels["erf"].override(x), exact).max() < 2


@pytest.mark.parametrize("isa", instruction_sets())
def test_log1p_is_right_to_the_last_digits(isa):
    x = np.concatenate([np.linspace(-0.999, 5, 40_001), np.geomspace(1e-37, 1e38, 20_001), -np.geomspace(1e-37, 0.9, 20_001)]).astype(np.float32)
    with native_as(isa):
        assert ulps(backends.kernels["log1p"].override(x), np.log1p(x.astype(np.float64))).max() < 3


@pytest.mark.parametrize("name", ["sin", "tan", "atan", "erf", "log1p", "expm1", "sinh"])
def test_odd_functions_keep_the_sign_of_zero(name):
    with native_as():
        y = backends.kernels[name].override(np.array([0.0, -0.0] * 20, np.float32))
    assert (y == 0).all()
    assert (np.signbit(y) == [False, True] * 20).all()


@pytest.mark.parametrize("name", [*UNARY, "sin_grad", "rsqrt_grad"])
def test_bfloat16_is_rounded_once(name):
    from mytorch.dtypes import BFLOAT16_NP, cast

    x = cast(np.abs(floats(1003)) + 0.5, BFLOAT16_NP)
    wide = [cast(x, np.dtype(np.float32))] * (2 if name.endswith("grad") else 1)
    with native_as():
        y = backends.kernels[name].override(*[x] * len(wide))
        expected = backends.kernels[name].override(*wide)
    assert y.dtype == BFLOAT16_NP
    np.testing.assert_array_equal(cast(y, np.dtype(np.float32)), cast(cast(expected, BFLOAT16_NP), np.dtype(np.float32)))


@pytest.mark.parametrize("x", [
    floats(32), floats(10_000).astype(">f4"), floats(10_000, 2)[:, 0], floats(100, 128).T, unaligned(floats(10_000)),
], ids=["small", "big-endian", "strided", "transposed", "unaligned"])
def test_declined(x):
    declines("sin", x)
    declines("rsqrt", x)
    declines("sin_grad", x, x)
    declines("power", x, exponent=3)
    declines("power_grad", x, x, exponent=3)


def test_other_exponents_and_pairs_are_declined():
    x = np.abs(floats(10_000)) + 0.1
    declines("power", x, exponent=1.7)
    declines("power_grad", x, x, exponent=5)
    declines("sqrt_grad", x[:1], x)
    declines("addcmul", x, x[:1], x, value=1)
    declines("logaddexp", x, x[:1])
    declines("sqrt_grad", x.astype(np.float64), x)


@pytest.mark.parametrize("name", ["sin", "cos", "erf", "log1p", "rsqrt", "reciprocal", "sqrt", "exp", "log", "square"])
def test_many_numbers_give_the_gradient_of_few(name):
    x = mytorch.rand(20_000) + 0.5
    many, few = x.clone().requires_grad_(), [part.clone().requires_grad_() for part in x.split(50)]
    getattr(mytorch, name)(many).sum().backward()
    for part in few:
        getattr(mytorch, name)(part).sum().backward()
    np.testing.assert_allclose(many.grad.numpy(), np.concatenate([part.grad.numpy() for part in few]), rtol=1e-5)


@pytest.mark.parametrize("function", [lambda x: x ** 3, lambda x: x ** -2, lambda x: 1 / x, lambda x: 3.5 / x, lambda x: x.flip(0) / x, mytorch.sin,
                                      mytorch.erf, mytorch.rsqrt, lambda x: mytorch.addcdiv(x, x * x, x + 1, value=-2),
                                      lambda x: mytorch.addcmul(x, x * x, x, value=0.5), lambda x: mytorch.logaddexp(x, x * x)])
def test_second_derivative_of_many_numbers(function):
    def second(x):
        (g,) = mytorch.autograd.grad(function(x).sum(), x, create_graph=True)
        return mytorch.autograd.grad(g.sum(), x)[0].numpy()

    x = mytorch.rand(20_000, dtype=mytorch.float64) + 0.5
    narrow, wide = x.float().requires_grad_(), x.requires_grad_()
    np.testing.assert_allclose(second(narrow), second(wide), rtol=2e-4, atol=1e-5)
