"""autograd.Function: the user's own forward and backward."""

from __future__ import annotations

import pytest

import mytorch as torch
from mytorch.autograd import Function
from mytorch.autograd.function import once_differentiable


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def test_first_and_second_derivative_of_a_saved_output():
    x = leaf(0.5, 1.0)
    y = Exp.apply(x)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    assert torch.allclose(g, y) and torch.allclose(h, y)
    assert y.grad_fn.name() == "ExpBackward"
    assert repr(y.grad_fn).startswith("<torch.autograd.function.ExpBackward object at 0x")


def test_the_context_is_the_node():
    kept = []

    class Keep(Function):
        @staticmethod
        def forward(ctx, x):
            kept.append(ctx)
            ctx.note = "mine"
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g

    y = Keep.apply(leaf(1.0))
    assert kept[0] is y.grad_fn and y.grad_fn.note == "mine"


def test_several_outputs_constants_and_needs_input_grad():
    class Pair(Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            ctx.factor = factor
            assert ctx.needs_input_grad == (True, False, False)
            return x * factor, y + x

        @staticmethod
        def backward(ctx, ga, gb):
            return ga * ctx.factor + gb, None, None

    x = leaf(1.0)
    a, b = Pair.apply(x, 3.0, torch.ones(1))
    (a * 2 + b).backward()
    assert x.grad.item() == 7.0


def test_unused_outputs_get_zeros_or_none():
    seen = []

    class Two(Function):
        materialize = True

        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, ga, gb):
            seen.append(gb)
            return ga * 2, None

    for materialize in (True, False):
        Two.apply(leaf(1.0), materialize)[0].backward()
    assert seen[0].tolist() == [0.0] and seen[1] is None


def test_mark_non_differentiable():
    class Arg(Function):
        @staticmethod
        def forward(ctx, x):
            places = x.detach() * 0
            ctx.mark_non_differentiable(places)
            return x * 2, places

        @staticmethod
        def backward(ctx, g, _):
            return g * 2

    y, places = Arg.apply(leaf(1.0))
    assert y.requires_grad and not places.requires_grad


def test_mark_dirty_writes_in_place():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(1.0, 3.0)
    y = x * 1
    z = Double.apply(y)
    assert z is y and y._version >= 1
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_an_input_returned_as_it_is_becomes_an_alias():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = leaf(1.0)
    y = Same.apply(x)
    assert y is not x and y.data_ptr() == x.data_ptr()
    y.backward()
    assert x.grad.item() == 5.0


def test_setup_context_style():
    class Scale(Function):
        @staticmethod
        def forward(x, factor):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            _, ctx.factor = inputs

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None

    x = leaf(1.0)
    Scale.apply(x, 4.0).backward()
    assert x.grad.item() == 4.0


def test_once_differentiable_refuses_the_second_derivative():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = leaf(3.0)
    Once.apply(x).backward()
    assert x.grad.item() == 6.0
    (g,) = torch.autograd.grad(Once.apply(x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        g.backward()


def test_wrong_number_of_gradients_is_named():
    class Short(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match=r"incorrect number of gradients \(expected 2, got 1\)"):
        Short.apply(leaf(1.0), leaf(1.0)).backward()


def test_saved_tensors_are_checked_and_freed():
    x = leaf(1.0)
    y = Exp.apply(x)
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    z = Exp.apply(x)
    z.backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()


def test_save_for_backward_takes_only_tensors():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)
            return x * 1

    with pytest.raises(TypeError, match="save_for_backward"):
        Wrong.apply(leaf(1.0))


def test_forward_must_be_written():
    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Empty.apply(leaf(1.0))


def test_an_output_that_is_no_tensor_has_no_gradient():
    seen = []

    class Named(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, "two"

        @staticmethod
        def backward(ctx, g, name):
            seen.append(name)
            return g * 2

    y, name = Named.apply(leaf(1.0))
    y.backward(torch.ones(1))
    assert name == "two" and seen == [None]


def test_a_saved_output_without_gradient_comes_back_without_one():
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y, sign = x.exp(), x.sign()
            ctx.mark_non_differentiable(sign)
            ctx.save_for_backward(y, sign)
            return y, sign

        @staticmethod
        def backward(ctx, g, _):
            y, sign = ctx.saved_tensors
            assert y.requires_grad and not sign.requires_grad
            return g * y

    x = leaf(0.0)
    y, sign = Both.apply(x)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert g.requires_grad and not sign.requires_grad


class ScaleInPlace(torch.autograd.Function):
    """x *= s for the second argument x."""

    @staticmethod
    def forward(ctx, s, x):
        ctx.mark_dirty(x)
        ctx.save_for_backward(s, x.clone())
        return x.mul_(s)

    @staticmethod
    def backward(ctx, g):
        s, x = ctx.saved_tensors
        return (g * x).sum(), g * s


def test_a_view_may_be_written_as_any_argument():
    s, x = torch.tensor(3.0, requires_grad=True), leaf(1.0, 2.0)
    y = x * 1
    ScaleInPlace.apply(s, y[1:])
    y.sum().backward()
    assert y.tolist() == [1.0, 6.0] and x.grad.tolist() == [1.0, 3.0] and s.grad.item() == 2.0


def test_what_is_marked_dirty_must_be_returned():
    class Forgets(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2) + 1

    with pytest.raises(RuntimeError, match="marked as dirty"):
        Forgets.apply(leaf(1.0) * 1)


def test_a_function_that_writes_to_a_view_returns_nothing_else():
    class Two(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x, x + 1

    with pytest.raises(RuntimeError, match="more than one Tensor"):
        Two.apply((leaf(1.0, 2.0) * 1)[:1])


def test_notes_on_ctx_may_have_names_that_nodes_use():
    class Reshape(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.shape, ctx.dtype, ctx.outputs = x.shape, x.dtype, "mine"
            return x.reshape(-1) * 2

        @staticmethod
        def backward(ctx, g):
            assert (ctx.shape, ctx.dtype, ctx.outputs) == ((2, 3), torch.float64, "mine")
            return g.reshape(ctx.shape) * 2

        @staticmethod
        def jvp(ctx, t):
            assert ctx.shape == (2, 3)
            return t.reshape(-1) * 2

    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    (Reshape.apply(x) ** 2).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [[8.0] * 3] * 2
    assert torch.func.jvp(Reshape.apply, (x.detach(),), (x.detach(),))[1].tolist() == [2.0] * 6
