"""A user's Function inside vmap."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch.func import grad, vmap


class Triple(mytorch.autograd.Function):
    """2 x, with a derivative of 3 to tell it apart."""

    @staticmethod
    def forward(x):
        return x * 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.size_of_x = inputs[0].shape

    @staticmethod
    def backward(ctx, g):
        assert g.shape == ctx.size_of_x
        return g * 3


class ByExample(Triple):
    """May be run example by example."""

    generate_vmap_rule = True


class WithRule(Triple):
    """Has a rule of its own."""

    @staticmethod
    def vmap(info, in_dims, x):
        assert (info.batch_size, info.randomness, in_dims) == (3, "error", (0,))
        return WithRule.apply(x).T, 1


def test_a_function_without_a_rule_is_refused():
    with pytest.raises(RuntimeError, match="You tried to vmap over Triple, but it does not have vmap support"):
        vmap(Triple.apply)(mytorch.ones(3, 4))


@pytest.mark.parametrize("function", [ByExample, WithRule])
def test_a_function_with_a_rule_and_its_derivative(function):
    x = mytorch.randn(3, 4)
    np.testing.assert_array_equal(vmap(function.apply)(x), 2 * x)
    np.testing.assert_array_equal(vmap(grad(lambda v: function.apply(v).sum()))(x), np.full((3, 4), 3.0))
