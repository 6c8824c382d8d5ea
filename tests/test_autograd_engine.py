"""The engine: nodes and edges, the walk, hooks, modes, versions, memory, depth."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

import mytorch as torch
from mytorch import autograd_engine as engine
from mytorch.grad_mode import Mode


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def test_the_example_that_the_project_began_with():
    a, b = leaf(2.0), leaf(5.0)
    c = a * b
    d = c + 3
    e = d * a
    e.backward()
    assert e.item() == 26.0
    assert a.grad.item() == 2 * 2 * 5 + 3  # e = a^2 b + 3 a
    assert b.grad.item() == 4.0


def test_next_functions_are_the_parents_own_nodes_accumulate_grad_or_none():
    a, b = leaf(2.0), torch.tensor([3.0])
    c = a * b
    d = c + c
    (first, nr), (second, _) = d.grad_fn.next_functions
    assert first is second is c.grad_fn and nr == 0
    (accumulate, _), (constant, _) = c.grad_fn.next_functions
    assert type(accumulate) is engine.AccumulateGrad and accumulate.variable is a and constant is None
    assert c.grad_fn.name() == "MulBackward0" and accumulate.name() == "AccumulateGrad"
    assert a.grad_fn is None and a.is_leaf and not c.is_leaf


def test_one_leaf_has_one_accumulate_grad_while_a_graph_lives():
    a = leaf(1.0)
    y, z = a * 2, a * 3
    assert y.grad_fn.next_functions[0][0] is z.grad_fn.next_functions[0][0]


def test_gradients_add_up_over_uses_and_over_calls():
    a = leaf(3.0)
    (a * a + a).sum().backward()
    assert a.grad.item() == 7.0
    (a * 2).backward()
    assert a.grad.item() == 9.0


def test_a_second_backward_raises_when_values_were_freed_and_works_with_retain_graph():
    a = leaf(3.0)
    y = a * a
    y.backward(retain_graph=True)
    y.backward()
    assert a.grad.item() == 12.0
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_a_second_backward_through_an_addition_works_since_it_saved_nothing():
    a = leaf(3.0)
    y = a + 1
    y.backward()
    y.backward()
    assert a.grad.item() == 2.0


def test_higher_derivatives_come_from_the_same_formulas():
    x = leaf(0.5)
    y = torch.sin(x)
    orders = [y]
    for _ in range(4):
        (g,) = torch.autograd.grad(orders[-1].sum(), x, create_graph=True)
        orders.append(g)
    assert orders[4].item() == pytest.approx(orders[0].item(), abs=1e-6)
    assert orders[2].item() == pytest.approx(-orders[0].item(), abs=1e-6)


def test_backward_with_create_graph_leaves_a_differentiable_grad():
    x = leaf(3.0)
    (x ** 3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (g,) = torch.autograd.grad(x.grad.sum(), x)
    assert g.item() == pytest.approx(18.0)


def test_backward_inputs_accumulates_only_there():
    a, b = leaf(2.0), leaf(3.0)
    (a * b).backward(inputs=[a])
    assert a.grad.item() == 3.0 and b.grad is None
    c = a * b
    (c * 2).backward(inputs=[c])
    c.retain_grad()
    assert c.grad.item() == 2.0


def test_backward_inputs_must_not_be_empty():
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (leaf(1.0) * 2).backward(inputs=[])


def test_grad_returns_gradients_and_touches_no_grad():
    a, b = leaf(2.0), leaf(3.0)
    c = a * b
    ga, gc_ = torch.autograd.grad(c * c, (a, c))
    assert ga.item() == 36.0 and gc_.item() == 12.0
    assert a.grad is None and b.grad is None


def test_grad_of_an_unused_input():
    a, b = leaf(2.0), leaf(3.0)
    with pytest.raises(RuntimeError, match="allow_unused"):
        torch.autograd.grad(a * 2, b)
    assert torch.autograd.grad(a * 2, b, allow_unused=True) == (None,)
    (zero,) = torch.autograd.grad(a * 2, b, materialize_grads=True)
    assert zero.tolist() == [0.0]


def test_grad_outputs_and_non_scalar_outputs():
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(RuntimeError, match="scalar outputs"):
        y.backward()
    y.backward(torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * x).backward(torch.ones(3))


def test_backward_of_a_constant_raises():
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.ones(1).backward()


def test_a_leaf_may_be_its_own_root():
    x = leaf(4.0)
    x.backward()
    assert x.grad.tolist() == [1.0]


def test_several_outputs_of_one_node():
    x = leaf(1.0, 2.0, 3.0)
    a, b, c = x.unbind()
    assert a.grad_fn is b.grad_fn and (a.output_nr, b.output_nr) == (0, 1)
    (a * 2 + c * 5).backward()
    assert x.grad.tolist() == [2.0, 0.0, 5.0]


def test_deep_graphs_need_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0


def test_wide_diamonds_are_walked_once():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0 ** 60


def test_order_is_topological():
    x = leaf(1.0)
    a = x * 2
    b = a * 3
    c = a + b
    order = engine.topological_order([c.grad_fn])
    place = {node: i for i, node in enumerate(order)}
    assert all(place[parent] < place[node] for node in order for parent, _ in node.next_functions if parent is not None)
    assert len(order) == 4


# ---- hooks --------------------------------------------------------------------------------------------------------------------


def test_tensor_hooks_see_and_replace_gradients():
    x = leaf(1.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    handle = y.register_hook(lambda g: g * 10)
    (y * 3).backward(retain_graph=True)
    assert seen == [3.0] and x.grad.item() == 60.0
    handle.remove()
    x.grad = None
    (y * 3).backward()
    assert x.grad.item() == 6.0


def test_leaf_hooks_run_before_and_after_accumulation():
    x = leaf(1.0)
    after = []
    x.register_hook(lambda g: g + 1)
    x.register_post_accumulate_grad_hook(lambda p: after.append(p.grad.item()))
    (x * 2).backward()
    assert x.grad.item() == 3.0 and after == [3.0]


def test_node_hooks():
    x = leaf(1.0)
    y = x * 2
    calls = []
    y.grad_fn.register_prehook(lambda outs: (outs[0] * 2,))
    y.grad_fn.register_hook(lambda ins, outs: calls.append((ins[0].item(), outs[0].item())))
    y.backward()
    assert calls == [(4.0, 2.0)] and x.grad.item() == 4.0


def test_retain_grad_keeps_the_gradient_of_a_computed_tensor():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    assert y.retains_grad
    (y * y).backward()
    assert y.grad.item() == 4.0


def test_grad_of_a_non_leaf_warns():
    y = leaf(1.0) * 2
    with pytest.warns(UserWarning, match="not a leaf"):
        assert y.grad is None


def test_a_hook_that_returns_nonsense_raises():
    y = leaf(1.0) * 2
    y.register_hook(lambda g: "no")
    with pytest.raises(TypeError, match="hook returned"):
        (y * 1).backward()


# ---- modes --------------------------------------------------------------------------------------------------------------------


def test_no_grad_is_a_context_manager_and_a_decorator():
    x = leaf(1.0)
    with torch.no_grad():
        assert not torch.is_grad_enabled() and not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad

    @torch.no_grad()
    def double(v):
        return v * 2

    @torch.no_grad
    def triple(v):
        return v * 3

    assert not double(x).requires_grad and not triple(x).requires_grad and (x * 2).requires_grad


def test_set_grad_enabled_works_at_once_and_as_a_context():
    x = leaf(1.0)
    torch.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    torch.set_grad_enabled(True)
    with torch.set_grad_enabled(False):
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_a_decorated_generator_switches_only_while_it_runs():
    @torch.no_grad()
    def steps():
        for _ in range(2):
            yield torch.is_grad_enabled()

    assert [(inside, torch.is_grad_enabled()) for inside in steps()] == [(False, True), (False, True)]


def test_inference_tensors_stay_out_of_graphs():
    x = leaf(1.0)
    with torch.inference_mode():
        y = x * 2
    assert y.is_inference() and not y.requires_grad
    with pytest.raises(RuntimeError, match="Inference tensors"):
        (y * x).backward()
    assert (y.clone() * x).requires_grad


def test_modes_are_per_thread():
    seen = []

    def look() -> None:
        seen.append(torch.is_grad_enabled())

    with torch.no_grad():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_mode_sees_every_operation_views_and_writes_included():
    class Recorder(Mode):
        def __init__(self) -> None:
            self.names: list[str] = []

        def handle(self, run, op, inputs, meta):
            self.names.append(op.name)
            return self.proceed(run, op, inputs, meta)

    x = torch.ones(2, 3)
    with Recorder() as recorder:
        y = x * 2
        y[0].add_(1)
        y.t()
        torch.cat([x, y]).sum()
    assert recorder.names == ["mul", "slice", "add", "permute", "cat", "sum"]


# ---- versions, in-place -------------------------------------------------------------------------------------------------------


def test_a_saved_tensor_that_was_written_is_refused_with_the_line():
    x = leaf(1.0)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*\n.*MulBackward0, made at .*test_autograd_engine.py:\d+"):
        z.backward()


def test_a_write_that_no_formula_minds_is_allowed():
    x = leaf(1.0)
    y = x * 2
    z = y + 1
    y.mul_(5)
    z.backward()
    assert x.grad.item() == 2.0


def test_a_write_after_detach_in_place_is_noticed():
    x = leaf(1.0)
    y = x * 2
    z = y * y
    y.detach_()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_leaves_refuse_writes_outside_no_grad():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="view of a leaf"):
        x[0].mul_(2)
    with torch.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0] and x._version == 1


def test_views_share_versions_and_data_does_not():
    x = torch.zeros(3)
    v, d, raw = x[1:], x.detach(), x.data
    v.add_(1)
    assert x._version == v._version == d._version == 1 and raw._version == 0
    assert raw.tolist() == [0.0, 1.0, 1.0]


def test_a_write_to_a_view_changes_the_roots_gradient():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 1
    v = y[:2]
    v.mul_(10)
    assert type(y.grad_fn).__name__ == "CopySlices"
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 10.0, 1.0]


def test_a_view_made_before_a_write_to_its_root_takes_the_new_history():
    x = leaf(1.0, 2.0)
    y = x * 1
    v = y[0]
    y.mul_(3)
    v.backward()
    assert x.grad.tolist() == [3.0, 0.0]


def test_a_write_of_a_differentiable_value_makes_the_target_differentiable():
    w = leaf(2.0)
    out = torch.zeros(3)
    row = out[1:]
    out[1] = w[0] * 3
    assert out.requires_grad and row.requires_grad
    row.sum().backward()
    assert w.grad.tolist() == [3.0]


def test_outputs_of_split_refuse_writes():
    x = leaf(1.0, 2.0)
    a, _ = (x * 1).split(1)
    with pytest.raises(RuntimeError, match="multiple views"):
        a.add_(1)


def test_expanded_memory_refuses_writes():
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.zeros(1).expand(3).add_(1)


# ---- the user's line ----------------------------------------------------------------------------------------------------------


def test_a_node_remembers_the_users_line():
    x = leaf(1.0)
    y = torch.nn.functional.softplus(x * 2) if hasattr(torch.nn.functional, "softplus") else (x * 2).exp()
    assert "test_autograd_engine.py" in y.grad_fn.line and "test_a_node_remembers" in y.grad_fn.line


def test_errors_in_backward_carry_the_forward_line():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise ValueError("broken on purpose")

    y = Broken.apply(leaf(1.0))  # the line to be named
    with pytest.raises(ValueError, match=r"broken on purpose\n.*BrokenBackward, made at .*test_autograd_engine.py"):
        y.backward()


def test_nodes_made_in_backward_take_the_line_of_the_differentiated_node():
    x = leaf(2.0)
    y = x * x * x
    line = y.grad_fn.line
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    assert g.grad_fn.line == line


# ---- memory -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_saved_output_makes_no_cycle(no_collector):
    x = leaf(1.0)
    y = x.exp()
    tensor, node = weakref.ref(y), weakref.ref(y.grad_fn)
    del y
    assert tensor() is None and node() is None


def test_graph_is_gone_when_the_loss_is(no_collector):
    x = leaf(1.0, 2.0)
    hidden = (x * 3).tanh()
    watch = weakref.ref(hidden.grad_fn)
    loss = (hidden * hidden).sum()
    del hidden
    loss.backward()
    del loss
    assert watch() is None


def test_a_saved_input_does_not_outlive_its_name(no_collector):
    x = leaf(3.0)
    y = x * 2
    z = y * y
    watch = weakref.ref(y)
    del y
    assert watch() is None
    z.backward()
    assert x.grad.item() == 24.0


def test_a_recorded_operation_makes_few_objects_for_the_collector(no_collector):
    x, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * b
    before = len(gc.get_objects())
    for _ in range(100):
        y = y * b  # the node, its edges, what it saved, the shape
    made = len(gc.get_objects()) - before
    assert 200 < made <= 420


def test_a_constant_is_let_go_after_backward(no_collector):
    x, c = leaf(3.0), torch.ones(1)
    z = (x * c).sum()
    watch = weakref.ref(c)
    del c
    assert watch() is not None
    z.backward()
    assert watch() is None


def test_inplace_and_views_make_no_cycle(no_collector):
    x = leaf(1.0, 2.0)
    y = x * 1
    y[0].mul_(2)
    y.exp_()
    y.mul_(y.detach())
    watch = weakref.ref(y)
    del y
    assert watch() is None


def test_user_function_makes_no_cycle(no_collector):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * x
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, _ = ctx.saved_tensors
            return 2 * x * g

    y = Square.apply(leaf(3.0))
    watch, node = weakref.ref(y), weakref.ref(y.grad_fn)
    y.backward()
    del y
    assert watch() is None and node() is None


def test_gradients_are_not_shared_between_leaves():
    a, b = leaf(1.0), leaf(1.0)
    (a + b).backward()
    a.grad.add_(1)
    assert b.grad.tolist() == [1.0]


def test_threads_may_walk_graphs_on_shared_parameters():
    w = leaf(1.0)

    def work() -> None:
        for _ in range(200):
            (w * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert w.grad.item() == 1600.0


def test_the_walk_is_reentrant():
    x = leaf(3.0)

    class Inner(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v):
            ctx.save_for_backward(v)
            return v * v

        @staticmethod
        def backward(ctx, g):
            (v,) = ctx.saved_tensors
            with torch.enable_grad():
                copy = v.detach().requires_grad_()
                (copy * copy).sum().backward()
            return copy.grad * g

    Inner.apply(x * 2).sum().backward()
    assert x.grad.item() == 24.0


def test_detect_anomaly_names_the_node_and_the_line_where_nan_was_born():
    x = leaf(0.0)
    y = (x.sqrt() * 0).sum()
    message = r"'SqrtBackward0' returned nan values in its 0th output.*\n.*test_autograd"
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=message):
        y.backward()
    x.grad = None
    (x.sqrt() * 0).sum().backward()
    assert x.grad.isnan().all()


def test_an_operation_without_a_derivative_refuses_instead_of_giving_zero():
    class Missing(engine.Op):
        pass

    op = Missing("half_of", lambda v: v / 2, None)
    with pytest.raises(NotImplementedError, match="derivative for half_of is not implemented"):
        op(leaf(1.0)).backward()


# ---- writes to views, as the walk sees them -------------------------------------------------------------------------------------


def test_grad_of_chosen_inputs_passes_through_a_write_to_a_view():
    x, w = leaf(1.0, 2.0, 3.0), leaf(4.0)
    y = x * 2
    y[1:2].mul_(w)
    (g,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert g.tolist() == [2.0, 8.0, 2.0]
    y.sum().backward(inputs=[x])
    assert x.grad.tolist() == [2.0, 8.0, 2.0] and w.grad is None


def test_the_second_derivative_passes_through_a_write_to_a_view():
    x, w = leaf(1.0, 2.0), leaf(2.0)
    y = x * 1
    y[1:].mul_(w)  # y = (x0, x1 w)
    gx, gw = torch.autograd.grad((y**3).sum(), [x, w], create_graph=True)
    assert gx.tolist() == [3.0, 96.0] and gw.tolist() == [96.0]  # (3 x0^2, 3 x1^2 w^3), 3 x1^3 w^2
    second = torch.autograd.grad(gx.sum() + gw.sum(), [x, w])
    assert second[0].tolist() == [6.0, 96.0 + 144.0] and second[1].tolist() == [144.0 + 96.0]


def test_an_output_saved_by_a_write_to_a_view_serves_the_second_derivative():
    x = leaf(0.0, 5.0)
    y = x * 1
    part = y[:1]
    part.exp_()
    (g,) = torch.autograd.grad((part * part).sum(), x, create_graph=True)
    g.sum().backward()
    assert g.tolist() == [2.0, 0.0] and x.grad.tolist() == [4.0, 0.0]


def test_a_write_to_a_view_can_be_differentiated_once_unless_the_graph_is_kept():
    x = leaf(1.0, 2.0)
    y = x * 1
    y[:1].mul_(3)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 2.0]
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_a_stale_view_of_several_refuses_every_time_it_is_asked():
    x = leaf(1.0, 2.0) * 1
    first, _ = x.unbind(0)
    x.mul_(2)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="returns multiple views"):
            first * 2


def test_a_view_of_several_of_a_constant_refuses_once_its_memory_depends_on_a_leaf():
    x = torch.zeros(2)
    first, _ = x.unbind(0)
    x.add_(leaf(1.0, 2.0))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="returns multiple views"):
            first * 2


@pytest.mark.parametrize("write", ["whole", "part"])
def test_retain_grad_follows_a_tensor_through_a_write(write):
    x = leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    (y if write == "whole" else y[:1]).mul_(3)
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == (2 * y).tolist()


# ---- what belongs to whom -------------------------------------------------------------------------------------------------------


def test_backward_to_a_tensor_that_retains_its_gradient_counts_it_once():
    y = leaf(2.0) * 1
    y.retain_grad()
    (y * y).sum().backward(inputs=[y])
    assert y.grad.tolist() == [4.0]


@pytest.mark.parametrize("create_graph", [False, True])
def test_two_leaves_never_share_the_memory_of_a_gradient(create_graph):
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = torch.ones(2)
    (a + b).backward(g, create_graph=create_graph)
    with torch.no_grad():
        a.grad.zero_()
    assert b.grad.tolist() == g.tolist() == [1.0, 1.0]


def test_a_write_between_first_and_second_derivative_is_noticed():
    y = leaf(3.0) * 1
    (g,) = torch.autograd.grad((y**3).sum(), y, create_graph=True)
    with torch.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        g.sum().backward()


def test_grad_at_a_middle_tensor_leaves_its_own_saved_values_for_later():
    x = leaf(3.0)
    h = x * x
    (g,) = torch.autograd.grad((h * h).sum(), h)
    h.backward(g)
    assert x.grad.tolist() == [108.0]  # 4 x^3


def test_a_complex_gradient_for_a_real_output_is_refused():
    with pytest.raises(RuntimeError, match="For complex Tensors"):
        (leaf(1.0) * 2).backward(torch.tensor([1j]))


def test_an_inference_tensor_refuses_a_write_outside_inference_mode():
    with torch.inference_mode():
        x = torch.ones(2) * 2
        x.add_(1)
    with pytest.raises(RuntimeError, match="clone"):
        x.add_(1)
    assert x.clone().add_(1).tolist() == [4.0, 4.0]


def test_large_gradients_are_summed_without_writing_to_what_others_hold():
    size = (100, 100)
    factors = [torch.randn(size) for _ in range(3)]
    for turned in (False, True):
        x = torch.randn(size, requires_grad=True)
        y = x * 2
        seen = []
        a = y + 1  # hands its gradient on as it is
        a.register_hook(seen.append)
        parts = [a * factors[0], y * factors[1], y * factors[2]]
        (parts[2] + parts[1] + parts[0] if turned else parts[0] + parts[1] + parts[2]).sum().backward()
        assert torch.equal(seen[0], factors[0])
        assert torch.allclose(x.grad, 2 * sum(factors), atol=1e-5)


def test_a_large_gradient_given_by_the_user_stays_as_it_is():
    x = torch.randn(100, 100, requires_grad=True)
    y = x * 2
    z = y * 3
    gy, gz = torch.ones(100, 100), torch.ones(100, 100)
    torch.autograd.backward([y, z], [gy, gz])
    assert torch.equal(gy, torch.ones(100, 100)) and torch.equal(gz, torch.ones(100, 100))
    assert torch.equal(x.grad, torch.full((100, 100), 8.0))


def test_a_second_backward_adds_in_place_and_counts_the_write():
    x = torch.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    first = x.grad
    version = first._version
    (x * 3).sum().backward()
    assert x.grad is first and first.tolist() == [5.0, 5.0, 5.0] and first._version == version + 1


@pytest.mark.parametrize("given", [torch.zeros(2, 3).t(), torch.zeros(3, 2, dtype=torch.float64)[:, :], torch.zeros(9, 2)[::3]])
def test_a_second_backward_adds_to_a_gradient_of_any_layout(given):
    x = torch.ones(3, 2, dtype=given.dtype, requires_grad=True)
    x.grad = given
    (x * 2).sum().backward()
    assert x.grad is given and torch.equal(given, torch.full((3, 2), 2.0, dtype=given.dtype))


def test_a_gradient_that_was_saved_notices_what_is_added_to_it():
    x = torch.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    w = torch.ones(3, requires_grad=True)
    y = (w * x.grad).sum()
    (x * 2).sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_hooks_see_what_an_operation_keeps_beside_its_output():
    x = torch.randn(4, 3, requires_grad=True)
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t.clone(), lambda t: t):
        y = torch.nn.functional.cross_entropy(x, torch.tensor([0, 2, 1, 0]))
    y.backward()
    assert shapes.count((4, 3)) == 2  # the scores, and their softmax
    expected = x.detach().softmax(1)
    expected[range(4), [0, 2, 1, 0]] -= 1
    assert torch.allclose(x.grad, expected / 4)


def test_the_line_of_an_operation_in_nested_layers_is_the_users():
    network = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()), torch.nn.Linear(2, 1))
    y = network(torch.ones(1, 2))
    node = y.grad_fn
    while node is not None and not isinstance(node, engine.AccumulateGrad):
        assert "test_the_line_of_an_operation_in_nested_layers" in node.line
        node = next((n for n, _ in node.next_functions if n is not None and not isinstance(n, engine.AccumulateGrad)), None)


def test_a_large_gradient_of_relu_is_written_over_only_if_nobody_else_has_it():
    mask = torch.randn(100, 100)
    expected = (mask > 0).to(torch.float32)
    for held in (False, True):
        x = mask.clone().requires_grad_()
        seen = []
        y = torch.relu(x * 1)
        if held:
            y.register_hook(seen.append)
        z = y * 1  # its own gradient is a new array, which goes to relu alone
        z.sum().backward()
        assert torch.equal(x.grad, expected)
        assert all(torch.equal(g, torch.ones(100, 100)) for g in seen)
    g = torch.ones(100, 100)
    x = mask.clone().requires_grad_()
    y = torch.relu(x)
    y.backward(g)
    assert torch.equal(x.grad, expected)
    assert torch.equal(g, torch.ones(100, 100))
    a, b = mask.clone().requires_grad_(), mask.clone().requires_grad_()
    (torch.relu(a) + torch.relu(b)).mul(2).sum().backward()  # both are handed one array
    assert torch.equal(a.grad, 2 * expected)
    assert torch.equal(b.grad, 2 * expected)
