"""The functional transforms without torch: they nest, mix with vmap and modules, and leave the caller's graph alone."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest

import mytorch
from mytorch import func
from mytorch.func import pytree

Point = namedtuple("Point", "x y")


def near(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a.numpy(force=True), b.numpy(force=True), tolerance, tolerance)


def vector(*values):
    return mytorch.tensor(values, dtype=mytorch.float64)


# ---- trees --------------------------------------------------------------------------------------------------------------------

TREES = [3, None, (), (1,), [1, [2, (3,)]], {"b": 1, "a": {"c": 2}}, Point(1, [2, 3]), OrderedDict(x=1, y=(2,)), defaultdict(list, q=[3]),
         deque([1, (2, 3)], maxlen=4)]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_tree_is_put_together_again(tree):
    leaves, spec = pytree.flatten(tree)
    again = pytree.unflatten(spec, leaves)
    assert again == tree
    assert type(again) is type(tree)
    assert spec == pytree.flatten(again)[1]
    assert spec.num_leaves == len(leaves)


@pytest.mark.parametrize(("tree", "text"), [((1,), "(*,)"), ((1, [2]), "(*, [*])"), ({"a": 1}, "{'a': *}"), (Point(1, 2), "Point(*, *)"), (3, "*")])
def test_tree_shows_its_shape(tree, text):
    assert str(pytree.flatten(tree)[1]) == text


def test_trees_of_another_shape_differ():
    specs = [pytree.flatten(tree)[1] for tree in TREES[2:]]
    assert all(a != b for i, a in enumerate(specs) for b in specs[:i])


def test_leaves_that_are_too_many_or_too_few_are_refused():
    _, spec = pytree.flatten((1, [2]))
    for leaves in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="has 2 leaves"):
            pytree.unflatten(spec, leaves)


def test_prefix_spreads_over_what_is_below_it():
    assert pytree.broadcast_prefix((0, None), ([1, 2], {"a": 3})) == [0, 0, None]
    assert pytree.broadcast_prefix(1, ([1, 2], {"a": 3})) == [1, 1, 1]
    assert pytree.broadcast_prefix((0, [1]), ([1, 2], {"a": 3})) is None
    assert pytree.broadcast_prefix({"a": 0}, {"b": 0}) is None


def test_map_leaves_takes_trees_of_one_shape():
    assert pytree.map_leaves(lambda a, b: a + b, {"a": (1, 2)}, {"a": (3, 4)}) == {"a": (4, 6)}
    with pytest.raises(ValueError, match="trees differ"):
        pytree.map_leaves(lambda a, b: a, (1,), [1])


# ---- derivatives --------------------------------------------------------------------------------------------------------------


def f(x):
    return (x.sin() * x.roll(1) + x.prod() * 0.1).sum()


WAYS = {"grad": func.grad, "jacrev": func.jacrev, "jacfwd": func.jacfwd}


@pytest.mark.parametrize("third", WAYS)
@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_derivatives_of_any_order_in_any_mode_are_one(first, second, third):
    x = vector(0.3, -0.5, 1.2)

    def twice(x):
        return WAYS[second](lambda x: (WAYS[first](f)(x) * vector(1, 2, 3)).sum())(x)

    def measured(x, step=1e-5):
        rows = [(twice(x + step * e) - twice(x - step * e)).sum() / (2 * step) for e in mytorch.eye(3, dtype=mytorch.float64)]
        return mytorch.stack(rows)

    near(WAYS[third](lambda x: twice(x).sum())(x), measured(x), 1e-7)


def test_levels_of_forward_mode_do_not_mix():
    one = mytorch.tensor(1.0)
    inner = mytorch.func.jvp(lambda x: x * func.jvp(lambda y: x + y, (one,), (one,))[1], (one,), (one,))[1]
    assert inner.item() == 1  # with mixed levels it would be 2


def test_result_is_a_constant_unless_the_caller_differentiates_it():
    w = mytorch.ones(2, requires_grad=True)
    x = mytorch.ones(2)
    assert not func.grad(lambda x: (x ** 3).sum())(x).requires_grad
    assert func.grad(lambda x: (x ** 3 * w).sum())(x).requires_grad
    assert not func.vjp(lambda x: x ** 2, x)[0].requires_grad
    value, pull = func.vjp(lambda x: w * x ** 2, x)
    assert value.requires_grad
    assert pull(x)[0].requires_grad
    with mytorch.no_grad():
        assert not func.grad(lambda x: (x ** 3 * w).sum())(x).requires_grad


def test_gradient_flows_through_the_result_into_the_callers_leaf():
    w = vector(2.0, 3.0).requires_grad_()
    x = vector(0.5, 1.5).requires_grad_()
    g = func.grad(lambda x: (x ** 3 * w).sum())(x)
    g.sum().backward()
    near(w.grad, 3 * x.detach() ** 2)
    near(x.grad, 6 * x.detach() * w.detach())


def test_callers_tensors_are_left_as_they_were():
    x = mytorch.ones(2)
    w = mytorch.ones(2, requires_grad=True)
    func.grad(lambda x: (x * w).sum())(x)
    assert x.grad is None
    assert w.grad is None
    assert not x.requires_grad
    assert x.is_leaf


def test_graph_of_a_gradient_is_dropped_with_it():
    held = []

    def loss(x):
        y = x.exp()
        held.append(weakref.ref(y))
        return y.sum()

    gc.collect()
    gc.disable()
    try:
        func.grad(loss)(mytorch.ones(3))
        assert held[0]() is None
    finally:
        gc.enable()


def test_modes_are_left_after_an_error():
    def bad(x):
        raise ZeroDivisionError

    x = mytorch.ones(3)
    for call in (lambda: func.jvp(bad, (x,), (x,)), lambda: func.grad(bad)(x), lambda: func.jacfwd(bad)(x), lambda: func.hessian(bad)(x)):
        with pytest.raises(ZeroDivisionError):
            call()
        assert mytorch.engine_state.state.mode is None
        assert mytorch.is_grad_enabled()


def test_linearize_is_jvp_without_running_the_function_again():
    calls = []

    def g(x, y):
        calls.append(1)
        return {"a": x.sin() * y, "b": [y.sum()]}

    x, y = vector(0.1, 0.2), vector(3.0, 4.0)
    output, along = func.linearize(g, x, y)
    for t in ((x, y), (y, x)):
        expected = func.jvp(g, (x, y), t)[1]
        calls.clear()
        found = along(*t)
        assert not calls
        near(found["a"], expected["a"])
        near(found["b"][0], expected["b"][0])
    near(output["a"], x.sin() * y)


@pytest.mark.parametrize("rows", [1, 2, 5, 9])
def test_jacobians_by_rows_by_columns_and_in_chunks_are_one(rows):
    x = mytorch.linspace(-1, 1, 4, dtype=mytorch.float64)
    w = mytorch.linspace(0, 2, 4 * rows, dtype=mytorch.float64).reshape(rows, 4)

    def g(x):
        return (w @ x).tanh(), {"s": x.sum()}

    expected = func.jacfwd(g)(x)
    for chunk in (None, 1, 2, 100):
        found = func.jacrev(g, chunk_size=chunk)(x)
        near(found[0], expected[0])
        near(found[1]["s"], expected[1]["s"])


def test_jacobian_of_no_elements_has_no_elements():
    x = mytorch.zeros(3)
    assert func.jacrev(lambda x: x[:0])(x).shape == (0, 3)
    assert func.jacrev(lambda x: x.sum())(mytorch.zeros(0)).shape == (0,)


def test_forward_mode_goes_through_recurrent_and_normalising_layers():
    mytorch.manual_seed(0)
    x = mytorch.randn(4, 3, 5, dtype=mytorch.float64)
    t = mytorch.randn(4, 3, 5, dtype=mytorch.float64)
    for layer in (mytorch.nn.LSTM(5, 2, 2, bidirectional=True), mytorch.nn.GRU(5, 2), mytorch.nn.LayerNorm(5), mytorch.nn.GroupNorm(3, 3),
                  mytorch.nn.BatchNorm1d(3), mytorch.nn.MultiheadAttention(5, 1)):
        layer = layer.double().requires_grad_(False)

        def g(x, layer=layer):
            y = layer(x, x, x) if isinstance(layer, mytorch.nn.MultiheadAttention) else layer(x)
            return y[0] if isinstance(y, tuple) else y

        u = mytorch.randn_like(g(x))
        pushed = (func.jvp(g, (x,), (t,))[1] * u).sum()
        pulled = (func.vjp(g, x)[1](u)[0] * t).sum()
        near(pushed, pulled, 1e-8)


# ---- with vmap ----------------------------------------------------------------------------------------------------------------


def test_gradient_of_each_example_is_that_of_a_loop():
    net = mytorch.nn.Sequential(mytorch.nn.Linear(3, 4), mytorch.nn.Tanh(), mytorch.nn.Linear(4, 2)).double()
    params = {name: p.detach() for name, p in net.named_parameters()}
    x = mytorch.randn(5, 3, dtype=mytorch.float64)

    def loss(params, x):
        return func.functional_call(net, params, x).square().sum()

    found = func.vmap(func.grad(loss), (None, 0))(params, x)
    for i in range(5):
        one = func.grad(loss)(params, x[i])
        for name in params:
            near(found[name][i], one[name])


@pytest.mark.parametrize("inner", [func.hessian, lambda f: func.jacrev(func.jacfwd(f)), lambda f: func.jacfwd(func.jacfwd(f)),
                                   lambda f: func.jacrev(func.grad(f)), lambda f: func.jacfwd(func.grad(f))])
def test_hessian_of_each_example_is_that_of_a_loop(inner):
    xs = mytorch.linspace(-1, 1, 12, dtype=mytorch.float64).reshape(4, 3)
    near(func.vmap(inner(f))(xs), mytorch.stack([func.hessian(f)(x) for x in xs]))


def test_ensemble_is_trained_as_its_members_are():
    mytorch.manual_seed(0)
    members = [mytorch.nn.Linear(3, 1).double() for _ in range(3)]
    x, y = mytorch.randn(8, 3, dtype=mytorch.float64), mytorch.randn(8, 1, dtype=mytorch.float64)
    params, buffers = func.stack_module_state(members)
    outputs = func.vmap(lambda p, b: func.functional_call(members[0], (p, b), x))(params, buffers)
    (outputs - y).square().mean((1, 2)).sum().backward()
    for i, member in enumerate(members):
        (member(x) - y).square().mean().backward()
        near(params["weight"].grad[i], member.weight.grad)
        near(params["bias"].grad[i], member.bias.grad)


# ---- refusals, and weight -----------------------------------------------------------------------------------------------------


def test_functionalize_is_refused_by_name():
    with pytest.raises(NotImplementedError, match="functionalize is not supported"):
        func.functionalize(lambda x: x)


def test_debug_unwrap_shows_the_batch():
    seen = []
    func.vmap(lambda x: seen.append(func.debug_unwrap(x).shape) or x)(mytorch.ones(4, 2))
    assert seen == [(4, 2)]
    x = mytorch.ones(1)
    assert func.debug_unwrap(x) is x


def test_import_of_the_package_does_not_load_the_transforms():
    code = ("import sys, mytorch; loaded = [m for m in sys.modules if m.startswith('mytorch.func') or m.endswith('forward_ad')]; "
            "assert not loaded, loaded; mytorch.func.grad; mytorch.autograd.forward_ad.make_dual; mytorch.autograd.functional.jacobian")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("transform", [func.jacrev, func.jacfwd])
def test_jacobians_of_complex_numbers_are_refused(transform):
    z = mytorch.tensor([1 + 2j])
    with pytest.raises(RuntimeError, match="Expected all inputs to be real"):
        transform(lambda z: z * z)(z)
    with pytest.raises(RuntimeError, match="Expected all outputs to be real"):
        transform(lambda x: x * (1 + 2j))(mytorch.ones(2))


def test_transforms_go_through_checkpoints():
    from mytorch.utils.checkpoint import checkpoint
    x = vector(0.3, -0.5, 1.2)

    def stored(x):
        return checkpoint(f, x, use_reentrant=False)

    near(func.grad(stored)(x), func.grad(f)(x))
    near(func.jvp(func.grad(stored), (x,), (x,))[1], func.jvp(func.grad(f), (x,), (x,))[1])


@pytest.mark.parametrize("prepare", [lambda x: x, lambda x: x.requires_grad_(), lambda x: x.requires_grad_() * 2])
def test_function_that_writes_to_its_argument_is_refused_and_nothing_is_written(prepare):
    x = prepare(mytorch.ones(2))
    before = x.tolist()
    with pytest.raises(RuntimeError):
        func.grad(lambda x: x.mul_(2).sum())(x)
    assert x.tolist() == before
