"""Activations: values by their formulas, derivatives, no overflow, in place, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mytorch
from mytorch.autograd import gradcheck, gradgradcheck
from mytorch.nn import functional as F

NAN, INF = float("nan"), float("inf")


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


# function of one float -> what it must give, by the formula of its docstring
FORMULAS = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "hardtanh": lambda x: min(max(x, -1.0), 1.0),
    "hardsigmoid": lambda x: min(max(x + 3, 0.0), 6.0) / 6,
    "hardswish": lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
    "hardshrink": lambda x: x if abs(x) > 0.5 else 0.0,
    "softshrink": lambda x: math.copysign(max(abs(x) - 0.5, 0.0), x),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "celu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "softplus": lambda x: x if x > 20 else softplus(x),
    "logsigmoid": lambda x: -softplus(-x),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * math.tanh(softplus(x)),
    "gelu": lambda x: x * normal_cdf(x),
    "softsign": lambda x: x / (1 + abs(x)),
    "tanhshrink": lambda x: x - math.tanh(x),
    "rrelu": lambda x: x if x > 0 else x * (1 / 8 + 1 / 3) / 2,
}
POINTS = [-20.0, -6.5, -3.0, -2.5, -1.0, -0.5, -0.1, 0.0, 0.1, 0.3, 0.5, 0.7, 1.0, 2.5, 3.0, 5.0, 6.0, 6.5, 19.0, 21.0]


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_follow_the_formula(name, dtype):
    y = getattr(F, name)(mytorch.tensor(POINTS, dtype=getattr(mytorch, dtype)))
    expected = [FORMULAS[name](x) for x in mytorch.tensor(POINTS, dtype=getattr(mytorch, dtype)).tolist()]
    np.testing.assert_allclose(y.numpy(), expected, 1e-12 if dtype == "float64" else 1e-6, 1e-12 if dtype == "float64" else 1e-6)
    assert str(y.dtype) == f"torch.{dtype}"


SMOOTH = {name: getattr(F, name) for name in FORMULAS} | {
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"), "glu": lambda x: F.glu(x, 0), "threshold": lambda x: F.threshold(x, 0.2, 3.0),
    "softplus beta": lambda x: F.softplus(x, 2.0, 1.0), "elu alpha": lambda x: F.elu(x, -0.7), "celu alpha": lambda x: F.celu(x, 2.0),
    "leaky_relu steep": lambda x: F.leaky_relu(x, 1.5), "prelu": lambda x: F.prelu(x, mytorch.tensor(0.3, dtype=mytorch.float64)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_first_and_second_derivatives_are_numerically_right(name):
    x = mytorch.tensor([-4.1, -2.2, -0.7, -0.2, 0.15, 0.4, 0.9, 3.3], dtype=mytorch.float64, requires_grad=True)  # away from kinks
    assert gradcheck(SMOOTH[name], x)
    assert gradgradcheck(SMOOTH[name], x)


def test_third_derivative_of_gelu_is_that_of_its_curvature():
    x = mytorch.tensor([-1.2, 0.3, 2.0], dtype=mytorch.float64, requires_grad=True)
    for approximate in ("none", "tanh"):
        first, = mytorch.autograd.grad(F.gelu(x, approximate).sum(), x, create_graph=True)
        assert gradgradcheck(lambda t, a=approximate: mytorch.autograd.grad(F.gelu(t, a).sum(), t, create_graph=True)[0], x)
        assert first.requires_grad


def test_prelu_learns_one_slope_per_channel():
    x = mytorch.tensor([[-1.0, 2.0], [-3.0, -4.0]], requires_grad=True)
    w = mytorch.tensor([0.5, 0.25], requires_grad=True)
    F.prelu(x, w).sum().backward()
    assert w.grad.tolist() == [-4, -4]
    assert x.grad.tolist() == [[0.5, 1], [0.5, 0.25]]


@pytest.mark.parametrize("name", ["elu", "selu", "celu", "softplus", "logsigmoid", "silu", "mish", "gelu", "tanhshrink"])
def test_large_inputs_overflow_neither_values_nor_second_derivatives(name):
    x = mytorch.tensor([-1e4, -200.0, 200.0, 1e4], requires_grad=True)
    y = getattr(F, name)(x)
    first, = mytorch.autograd.grad(y.sum(), x, create_graph=True)
    second, = mytorch.autograd.grad(first.sum(), x)
    for values in (y.detach(), first.detach(), second):
        assert values.isfinite().all()


@pytest.mark.parametrize("name", FORMULAS)
def test_nan_stays_nan(name):
    assert getattr(F, name)(mytorch.tensor([NAN, 1.0])).isnan().tolist() == [True, False]


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hardtanh", "relu6", "hardshrink", "softshrink", "threshold"])
def test_an_infinite_gradient_does_not_leak_where_the_slope_is_zero(name):
    x = mytorch.tensor([-9.0, 0.0, 0.75], requires_grad=True)
    y = getattr(F, name)(x, *((0.1, 0.0) if name == "threshold" else ()))
    y.backward(mytorch.tensor([INF, INF, 1.0]))
    assert not x.grad.isnan().any()


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "hardtanh", "relu6", "hardsigmoid",
                                  "hardswish", "rrelu"])
def test_in_place_variants_write_into_their_input(name):
    x = mytorch.tensor([-2.0, -0.5, 0.5, 2.0])
    expected = getattr(F, name)(x)
    alias = x[:]
    assert getattr(F, name)(x, inplace=True) is x
    assert mytorch.equal(alias, expected)


def test_in_place_on_a_leaf_is_refused():
    x = mytorch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        F.relu(x, inplace=True)


def test_in_place_gradient_uses_the_value_before_the_write():
    x = mytorch.tensor([-1.0, 2.0], requires_grad=True)
    F.silu(x * 1, inplace=True).sum().backward()
    plain = x.detach().clone().requires_grad_()
    F.silu(plain).sum().backward()
    assert mytorch.equal(x.grad, plain.grad)


def test_rrelu_draws_a_slope_for_each_negative_element():
    x = mytorch.full((1000,), -1.0, requires_grad=True)
    y = F.rrelu(x, 0.2, 0.6, training=True)
    y.sum().backward()
    slopes = -y.detach().numpy()
    assert slopes.min() >= 0.2
    assert slopes.max() < 0.6
    assert len(set(slopes.tolist())) > 900
    np.testing.assert_array_equal(x.grad.numpy(), slopes)


@pytest.mark.parametrize("kind", [mytorch.float16, mytorch.bfloat16])
def test_sixteen_bit_activations_round_once(kind):
    x = mytorch.tensor(POINTS).to(kind).requires_grad_()
    y = F.gelu(x)
    y.sum().backward()
    wide = x.detach().float().requires_grad_()
    expected = F.gelu(wide)
    expected.sum().backward()
    assert mytorch.equal(y, expected.to(kind))
    assert mytorch.equal(x.grad, wide.grad.to(kind))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: F.elu(x.long()), NotImplementedError, "\"elu_cpu\" not implemented for 'Long'"),
        (lambda x: F.leaky_relu(3), TypeError, "leaky_relu(): argument 'input' (position 1) must be Tensor, not int"),
        (lambda x: F.gelu(x, approximate="erf"), RuntimeError, "approximate argument must be either none or tanh"),
        (lambda x: F.celu(x, 0), RuntimeError, "alpha cannot be 0 for CELU"),
        (lambda x: F.softshrink(x, -1), RuntimeError, "lambda must be in range [0, 3.40282e+38] for input dtype Float, but found -1"),
        (lambda x: F.hardtanh(x, 2, 1), ValueError, "min_val cannot be greater than max_val"),
        (lambda x: F.rrelu(x, 0.3, 0.2), RuntimeError, "Lower bound should be less than or equal to the upper bound"),
        (lambda x: F.glu(x), RuntimeError, "Halving dimension must be even, but dimension 1 is size 3"),
        (lambda x: F.glu(x[0, 0]), RuntimeError, "glu does not support scalars"),
        (lambda x: F.prelu(x, mytorch.ones(2)), RuntimeError, "Found parameter numbers = 2 and channel size = 3"),
        (lambda x: F.prelu(x, mytorch.ones(1, 3)), RuntimeError, "Expected `weight` to be a scalar or 1D tensor"),
        (lambda x: F.prelu(x, mytorch.ones(3).double()), RuntimeError, "Type promoting not supported. Got Float and Double"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(call, error, text):
    with pytest.raises(error) as caught:
        call(mytorch.rand(2, 3))
    assert text in str(caught.value)
