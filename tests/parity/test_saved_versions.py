"""Writes to what a node has saved: each program ends, or raises, as with torch; who counts the writes is found late, at the edge."""

from __future__ import annotations

import pytest

import mytorch

torch = pytest.importorskip("torch")


def leaf(t, *values):
    return t.tensor(list(values), requires_grad=True)


def write_to_an_intermediate(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    z = y * y
    y.add_(1)
    z.sum().backward()
    return a.grad


def write_before_saving(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    y.add_(1)
    (y * y).sum().backward()
    return a.grad


def write_before_and_after_saving(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    y.add_(1)
    z = y * y
    y.add_(1)
    z.sum().backward()


def write_through_a_view_made_later(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    z = y * y
    y[:1].mul_(3)
    z.sum().backward()


def write_through_a_view_made_before(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    v = y[:1]
    z = y * y
    v.mul_(3)
    z.sum().backward()


def write_to_the_root_of_a_saved_view(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    v = y[:1]
    z = v * v
    y.mul_(3)
    z.sum().backward()


def saved_view_of_a_written_root(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    y.mul_(3)
    v = y[:1]
    (v * v).sum().backward()
    return a.grad


def write_through_detach(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    z = y * y
    y.detach().add_(1)
    z.sum().backward()


def write_after_detach_in_place(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    z = y * y
    y.detach_()
    y.add_(1)
    z.sum().backward()


def write_through_data(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    z = y * y
    y.data.add_(0)
    z.sum().backward()
    return a.grad


def write_to_a_leaf(t):
    a = leaf(t, 1.0, 2.0)
    z = a * a
    with t.no_grad():
        a.add_(1)
    z.sum().backward()


def write_to_a_leaf_before(t):
    a = leaf(t, 1.0, 2.0)
    for _ in range(3):
        (a * a).sum().backward()
        with t.no_grad():
            a.sub_(a.grad)
    return a.grad, a


def write_to_a_view_of_a_leaf(t):
    a = leaf(t, 1.0, 2.0)
    z = a * a
    with t.no_grad():
        a.view(2)[0] = 7
    z.sum().backward()


def write_to_a_constant(t):
    a, c = leaf(t, 1.0, 2.0), t.ones(2)
    z = a * c
    c.add_(1)
    z.sum().backward()


def write_to_a_constant_before(t):
    a, c = leaf(t, 1.0, 2.0), t.ones(2)
    c.add_(1)
    (a * c).sum().backward()
    return a.grad


def write_a_result_into_a_constant(t):
    a, c = leaf(t, 1.0, 2.0), t.ones(2)
    z = a * c
    c.add_(z)
    c.sum().backward()


def write_to_a_constant_that_nobody_saved(t):
    a, c = leaf(t, 1.0, 2.0), t.ones(2)
    z = a + c
    c.add_(z)
    c.sum().backward()
    return a.grad


def write_to_a_saved_output(t):
    a = leaf(t, 1.0, 2.0)
    y = a.exp()
    y.add_(1)
    y.sum().backward()


def write_to_a_view_of_a_saved_output(t):
    a = leaf(t, 1.0, 2.0)
    y = a.exp()
    z = y + 1
    y[0] = 4
    z.sum().backward()


def chain_of_writes(t):
    a = leaf(t, 0.5, 0.25)
    y = (a * 1).exp_().sigmoid_()
    y.sum().backward()
    return a.grad


def write_after_a_write_that_saved_its_output(t):
    a = leaf(t, 0.5, 0.25)
    y = (a * 1).exp_()
    z = y + 0
    y.mul_(2)
    z.sum().backward()


def write_that_saved_a_copy(t):
    a, b = leaf(t, 0.5, 0.25), leaf(t, 3.0, 4.0)
    y = a * 1
    y.mul_(b)
    y.add_(1)
    y.sum().backward()
    return a.grad, b.grad


def second_derivative_of_a_write_that_saved_a_copy(t):
    a, b = leaf(t, 0.5, 0.25), leaf(t, 3.0, 4.0)
    y = (a * a).mul_(b)
    y.add_(1)
    da, db = t.autograd.grad(y.sum(), (a, b), create_graph=True)
    y.add_(1)
    (da * db).sum().backward()
    return a.grad, b.grad


def multiplied_by_itself_in_place(t):
    a = leaf(t, 0.5, 0.25)
    y = a * 1
    y.mul_(y)
    y.sum().backward()


def power_of_itself_in_place(t):
    a = leaf(t, 0.5, 0.25)
    y = a * 1
    y.pow_(y)
    y.sum().backward()


def power_in_place_of_a_constant_base(t):
    b, y = leaf(t, 3.0, 4.0), t.full((2,), 2.0)
    y.pow_(b)
    y.sum().backward()
    return b.grad


def constant_used_twice_in_a_write(t):
    b, y = leaf(t, 3.0, 4.0), t.full((2,), 2.0)
    y.addcmul_(y, b)
    y.sum().backward()
    return b.grad


def second_derivative_notices_later_writes(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    g, = t.autograd.grad((y * y * y).sum(), a, create_graph=True)
    y.add_(1)
    g.sum().backward()


def second_derivative_notices_writes_to_constants(t):
    a, c = leaf(t, 1.0, 2.0), t.full((2,), 3.0)
    g, = t.autograd.grad((a * a * c).sum(), a, create_graph=True)
    c.add_(1)
    g.sum().backward()


def write_to_one_of_several_outputs(t):
    a = leaf(t, 3.0, 1.0, 2.0)
    values, places = a.sort()
    values.mul_(2)
    values.sum().backward()
    return a.grad, places


def write_to_saved_places(t):
    a = leaf(t, 3.0, 1.0, 2.0)
    values, places = a.sort()
    places.add_(0)
    values.sum().backward()


def write_to_a_later_output(t):
    a = t.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    first, second = t.linalg.eigh(a)
    z = first.sum() + second.sum()
    second.mul_(2)
    z.backward()


def later_output_saved(t):
    a = t.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    r = t.linalg.qr(a)[1]
    z = r * r
    r.add_(1)
    z.sum().backward()


def later_output_used(t):
    a = t.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    q, r = t.linalg.qr(a)
    return r.output_nr, t.autograd.grad((r * r + q).sum(), (a, r), allow_unused=True), r.grad_fn.next_functions[0][1]


def function_of(t):
    class Twice(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y, z = x * 2, x * 3
            ctx.save_for_backward(x, y, z)
            return y, z

        @staticmethod
        def backward(ctx, g, h):
            x, y, z = ctx.saved_tensors
            return g * x * z + h * y
    return Twice


def users_function(t):
    a = leaf(t, 1.0, 2.0)
    y, z = function_of(t).apply(a)
    (y * z).sum().backward()
    return a.grad


def users_function_whose_output_is_written(t):
    a = leaf(t, 1.0, 2.0)
    y, z = function_of(t).apply(a * 1)
    w = y + z
    z.add_(1)
    w.sum().backward()


def users_function_whose_second_output_is_written_after_use(t):
    a = leaf(t, 1.0, 2.0)
    z = function_of(t).apply(a)[1]
    w = z * z
    z.detach().add_(1)
    w.sum().backward()


def backward_twice(t):
    a = leaf(t, 1.0, 2.0)
    z = (a * a).sum()
    z.backward()
    z.backward()


def backward_twice_with_a_number(t):
    a = leaf(t, 1.0, 2.0)
    z = (a * 3).sum()
    z.backward()
    z.backward()


def backward_twice_with_nothing_saved(t):
    a = leaf(t, 1.0, 2.0)
    z = (a + 3).sum()
    z.backward()
    z.backward()
    return a.grad


def hooks_leave_writes_unchecked(t):
    a, c = leaf(t, 1.0, 2.0), t.ones(2)
    with t.autograd.graph.saved_tensors_hooks(lambda x: x.clone(), lambda x: x):
        y = a * c
        z = y * y
    c.add_(1)
    y.add_(1)
    z.sum().backward()
    return a.grad


def hooks_on_one_of_two(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    z = y * a
    z.grad_fn._raw_saved_self.register_hooks(lambda x: x.clone(), lambda x: x)
    y.add_(1)
    z.sum().backward()
    return a.grad


def written_saved_value_taken_from_the_node(t):
    a = leaf(t, 1.0, 2.0)
    y = a * 2
    z = y * y
    z.grad_fn._saved_self.detach().add_(1)
    z.sum().backward()


PROGRAMS = [value for value in list(globals().values()) if getattr(value, "__module__", None) == __name__ and value not in (leaf, function_of)]


def outcome(program, t):
    def plain(x):
        if isinstance(x, (tuple, list)):
            return [plain(part) for part in x]
        return [round(n, 5) for n in x.detach().flatten().tolist()] if isinstance(x, t.Tensor) else x

    try:
        return plain(program(t))
    except RuntimeError as error:
        message = str(error).replace("detached in-place", "modified by an inplace operation")
        return next(reason for reason in ("modified by an inplace operation", "backward through the graph a second time", message)
                    if reason in message)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_program_ends_as_with_torch(program):
    assert outcome(program, mytorch) == outcome(program, torch)
