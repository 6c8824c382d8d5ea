"""gradcheck and gradgradcheck: they pass right formulas, catch wrong ones, and say which."""

from __future__ import annotations

import pytest

import mytorch as torch
from mytorch.autograd import Function, gradcheck, gradgradcheck


class WrongSquare(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x * g


class RightOnceWrongTwice(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x.detach() ** 2 * g


def leaf(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def test_right_formulas_pass():
    assert gradcheck(lambda a, b: (a @ b).tanh(), (leaf(2, 3), leaf(3, 2)))
    assert gradgradcheck(lambda a, b: (a @ b).tanh(), (leaf(2, 3), leaf(3, 2)))
    assert gradcheck(lambda a: (a.exp(), a.sum()), leaf(3))


def test_complex_formulas_pass():
    z = leaf(2, dtype=torch.complex128)
    assert gradcheck(lambda v: v * v.conj() + v.abs(), z)
    assert gradgradcheck(lambda v: v * v.sin(), z)


def test_a_wrong_formula_is_caught_and_named():
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        gradcheck(WrongSquare.apply, leaf(3))
    assert not gradcheck(WrongSquare.apply, leaf(3), raise_exception=False)


def test_a_wrong_second_derivative_is_caught():
    assert gradcheck(RightOnceWrongTwice.apply, leaf(3))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradgradcheck(RightOnceWrongTwice.apply, leaf(3))


def test_inputs_without_gradients_and_unsupported_options_raise():
    with pytest.raises(ValueError, match="at least one input"):
        gradcheck(torch.exp, torch.ones(2))
    with pytest.raises(NotImplementedError, match="check_forward_ad"):
        gradcheck(torch.exp, leaf(2), check_forward_ad=True)
