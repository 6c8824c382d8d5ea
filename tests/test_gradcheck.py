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
    with pytest.raises(NotImplementedError, match="check_batched_forward_grad"):
        gradcheck(torch.exp, leaf(2), check_forward_ad=True, check_batched_forward_grad=True)
    with pytest.raises(NotImplementedError, match="masked"):
        gradcheck(torch.exp, leaf(2), masked=True)
    with pytest.raises(AssertionError, match="at least one of check_forward_ad or check_backward_ad"):
        gradcheck(torch.exp, leaf(2), check_backward_ad=False)
    with pytest.raises(AssertionError, match="requires check_backward_ad"):
        gradcheck(torch.exp, leaf(2), check_backward_ad=False, check_forward_ad=True, check_batched_grad=True)
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(torch.exp, leaf(1).detach().expand(3).requires_grad_())
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double"):
        gradcheck(lambda x: x * 2, torch.ones(2, requires_grad=True), eps=1e-2, atol=1e-2)


@pytest.mark.parametrize("options", [{"fast_mode": True}, {"check_forward_ad": True}, {"check_forward_ad": True, "fast_mode": True},
                                     {"check_batched_grad": True}, {"check_grad_dtypes": True},
                                     {"check_forward_ad": True, "check_backward_ad": False}], ids=str)
def test_right_formulas_pass_every_check(options):
    assert gradcheck(lambda a, b: ((a @ b).tanh(), a.exp()), (leaf(2, 3), leaf(3, 2)), **options)
    z = leaf(2, dtype=torch.complex128)
    if not options.get("check_batched_grad"):
        assert gradcheck(lambda v: v * v.conj() + v.abs(), z, **options)
    assert gradcheck(lambda a: a.t().sin(), leaf(3, 2).detach().t().requires_grad_(), **options)


@pytest.mark.parametrize("options", [{"fast_mode": True}, {"check_batched_grad": True}, {"gen_non_contig_grad_outputs": True},
                                     {"check_fwd_over_rev": True}, {"check_fwd_over_rev": True, "check_rev_over_rev": False}], ids=str)
def test_right_second_derivatives_pass_every_check(options):
    assert gradgradcheck(lambda a, b: (a @ b).tanh(), (leaf(2, 3), leaf(3, 2)), **options)


def test_a_wrong_formula_is_caught_in_fast_mode():
    with pytest.raises(RuntimeError, match="fast_mode=False"):
        gradcheck(WrongSquare.apply, leaf(3), fast_mode=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradgradcheck(RightOnceWrongTwice.apply, leaf(3), fast_mode=True)


class WrongTangent(Function):
    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g

    @staticmethod
    def jvp(ctx, t):
        return t * 5


@pytest.mark.parametrize("fast", [False, True])
def test_a_wrong_tangent_is_caught(fast):
    assert gradcheck(WrongTangent.apply, leaf(2), fast_mode=fast)
    with pytest.raises(RuntimeError, match="computed with forward mode mismatch for output 0 with respect to input 0"):
        gradcheck(WrongTangent.apply, leaf(2), check_forward_ad=True, fast_mode=fast)


def test_a_backward_that_differs_from_run_to_run_is_caught():
    runs = []

    class Drifting(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            runs.append(1)
            return g * (2 + 1e-9 * len(runs))

    with pytest.raises(RuntimeError, match="not reentrant"):
        gradcheck(Drifting.apply, leaf(2))
    assert gradcheck(Drifting.apply, leaf(2), nondet_tol=1e-6)


def test_what_claims_to_have_no_gradient_must_not_move():
    assert gradcheck(lambda x: torch.ones(2, dtype=torch.float64), leaf(2))
    with pytest.raises(RuntimeError, match="expected to be zero"):
        gradcheck(lambda x: x.detach() * 2, leaf(2))


def test_a_failed_check_leaves_the_inputs_as_they_were():
    x = leaf(3)
    before = x.detach().clone()
    gradcheck(WrongSquare.apply, x, raise_exception=False)
    gradcheck(torch.exp, x)
    assert torch.equal(x.detach(), before)
