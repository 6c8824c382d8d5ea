"""utils.checkpoint against torch: each program is run by both, and what it returns, warns or raises is compared."""

from __future__ import annotations

import importlib
import warnings

import pytest

import mytorch

torch = pytest.importorskip("torch")


def checkpoints(t):
    return importlib.import_module(f"{t.__name__}.utils.checkpoint")


def plain(value):
    if isinstance(value, (mytorch.Tensor, torch.Tensor)):
        return [str(value.dtype).rpartition(".")[2], value.tolist()]
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def outcome(program, library, reentrant):
    """('value', what it returned) or ('error', class, message), and the first words of its warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = "value", plain(program(library, reentrant))
        except Exception as error:
            name = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins" or c.__name__ == "CheckpointError")
            found = "error", name, error.args[0]
    return found, [(w.category.__name__, str(w.message)[:60]) for w in seen]


def leaf(t, *values):
    return t.tensor(values, requires_grad=True)


def small_net(t):
    t.manual_seed(0)
    return t.nn.Sequential(t.nn.Linear(3, 8), t.nn.ReLU(), t.nn.Linear(8, 8), t.nn.Tanh(), t.nn.Dropout(0.5), t.nn.Linear(8, 2))


# ---- programs ---------------------------------------------------------------------------------------------------------------------------


def a_function(t, reentrant):
    x, y = leaf(t, 1.0, 2.0), leaf(t, 3.0, 4.0)
    z = checkpoints(t).checkpoint(lambda a, b, c: (a * b).sin() * c, x, y, 2.0, use_reentrant=reentrant)
    z.sum().backward()
    return z.detach(), x.grad, y.grad


def several_outputs_some_without_gradient(t, reentrant):
    x = leaf(t, 3.0, 1.0, 2.0)
    a, b = checkpoints(t).checkpoint(lambda v: ((v * v).sort()), x, use_reentrant=reentrant)
    a.exp().sum().backward()
    return a.detach(), b, x.grad


def a_network_with_dropout(t, reentrant):
    net, x = small_net(t), t.linspace(-1, 1, 12).reshape(4, 3).requires_grad_()
    y = checkpoints(t).checkpoint(net, x, use_reentrant=reentrant)
    after = t.rand(3)
    y.square().sum().backward()
    return y.detach(), after, t.rand(3), x.grad, [p.grad for p in net.parameters()]


def dropout_drawn_anew(t, reentrant):
    t.manual_seed(3)
    x = t.ones(40, requires_grad=True)
    y = checkpoints(t).checkpoint(lambda v: t.nn.functional.dropout(v, 0.5) * v, x, use_reentrant=reentrant, preserve_rng_state=False)
    y.sum().backward()
    return y.detach(), t.rand(2)  # after the draws of both runs


def in_segments(t, reentrant):
    net, x = small_net(t), t.linspace(-1, 1, 12).reshape(4, 3).requires_grad_()
    found = []
    for segments in (1, 2, 3, 6):
        t.manual_seed(5)
        y = checkpoints(t).checkpoint_sequential(net, segments, x, use_reentrant=reentrant)
        net.zero_grad()
        x.grad = None
        y.square().sum().backward()
        found += [y.detach(), x.grad, *[p.grad for p in net.parameters()]]
    return found


def nested(t, reentrant):
    check = checkpoints(t).checkpoint
    x = leaf(t, 0.3, 0.6)

    def inner(v):
        return v.sin().exp()

    def outer(v):
        return check(inner, check(inner, v * 2, use_reentrant=reentrant).cos(), use_reentrant=reentrant) * v

    y = check(outer, x, use_reentrant=reentrant)
    y.sum().backward()
    return y.detach(), x.grad


def inputs_without_gradient(t, reentrant):
    w = leaf(t, 2.0)
    y = checkpoints(t).checkpoint(lambda v: v * w, t.ones(2), use_reentrant=reentrant)
    return y.detach(), y.requires_grad


def without_grad_mode(t, reentrant):
    with t.no_grad():
        y = checkpoints(t).checkpoint(t.sin, leaf(t, 1.0), use_reentrant=reentrant)
    return y, y.requires_grad


def without_saying_which(t, reentrant):
    return checkpoints(t).checkpoint(t.sin, leaf(t, 1.0)).detach()


def segments_without_saying_which(t, reentrant):
    return checkpoints(t).checkpoint_sequential([t.sin, t.cos], 2, leaf(t, 1.0)).detach()


def keyword_arguments(t, reentrant):
    x, k = leaf(t, 1.0), leaf(t, 5.0)
    y = checkpoints(t).checkpoint(lambda v, k=None: v.sin() * k, x, k=k, use_reentrant=reentrant)
    y.backward()
    return y.detach(), x.grad, k.grad


def autograd_grad(t, reentrant):
    x = leaf(t, 1.0, 2.0)
    return t.autograd.grad(checkpoints(t).checkpoint(lambda v: v.sin() * v, x, use_reentrant=reentrant).sum(), x)


def backward_inputs(t, reentrant):
    x = leaf(t, 1.0, 2.0)
    checkpoints(t).checkpoint(lambda v: v.sin() * v, x, use_reentrant=reentrant).sum().backward(inputs=[x])
    return x.grad


def second_derivative(t, reentrant):
    x = leaf(t, 1.0, 2.0)
    y = checkpoints(t).checkpoint(lambda v: v.sin() * v * v, x, use_reentrant=reentrant).sum()
    (g,) = t.autograd.grad(y, x, create_graph=True)
    return t.autograd.grad(g.sum(), x)


def contexts(t, reentrant):
    log = []

    class Note:
        def __init__(self, word):
            self.word = word

        def __enter__(self):
            log.append("in " + self.word)

        def __exit__(self, *exc):
            log.append("out " + self.word)

    x = leaf(t, 1.0)
    y = checkpoints(t).checkpoint(lambda v: v.sin().cos(), x, use_reentrant=reentrant, context_fn=lambda: (Note("first"), Note("second")))
    log.append("between")
    y.backward()
    return log


def number_of_runs(t, reentrant):
    found = []
    for early_stop in (True, False):
        steps = []

        def function(v, steps=steps):
            steps.append(1)
            v = v.sin().cos()
            steps.append(2)
            v = v + 1
            steps.append(3)
            return v

        x = leaf(t, 1.0)
        y = checkpoints(t).checkpoint(function, x, use_reentrant=reentrant, early_stop=early_stop)
        y.backward(retain_graph=True)
        y.backward()
        found.append([steps, plain(x.grad)])
    return found


def early_stop_switch(t, reentrant):
    found = []
    for enabled in (True, False):
        steps = []
        x = leaf(t, 1.0)
        with checkpoints(t).set_checkpoint_early_stop(enabled):
            y = checkpoints(t).checkpoint(lambda v, s=steps: (v.sin(), s.append(1))[0], x, use_reentrant=reentrant)
        y.backward()
        found.append(len(steps))
    return found


def unknown_determinism_check(t, reentrant):
    return checkpoints(t).checkpoint(t.sin, leaf(t, 1.0), use_reentrant=reentrant, determinism_check="strict").detach()


def debug_flag(t, reentrant):
    return checkpoints(t).checkpoint(t.sin, leaf(t, 1.0), use_reentrant=reentrant, debug=True).detach()


def debug_with_contexts(t, reentrant):
    import contextlib
    return checkpoints(t).checkpoint(t.sin, leaf(t, 1.0), use_reentrant=reentrant, debug=True,
                                     context_fn=lambda: (contextlib.nullcontext(), contextlib.nullcontext())).detach()


def a_second_run_that_saves_more(t, reentrant):
    runs = []

    def function(v):
        runs.append(1)
        v = v.sin()
        return v.exp().cos() if len(runs) > 1 else v.cos()

    x = leaf(t, 1.0)
    checkpoints(t).checkpoint(function, x, use_reentrant=reentrant, early_stop=False).sum().backward()
    return x.grad


def a_second_run_that_saves_less(t, reentrant):
    runs = []

    def function(v):
        runs.append(1)
        v = v.sin()
        return v.exp().cos() if len(runs) == 1 else v.cos()

    x = leaf(t, 1.0)
    checkpoints(t).checkpoint(function, x, use_reentrant=reentrant).sum().backward()
    return x.grad


def a_second_run_of_other_shapes(t, reentrant):
    runs = []

    def function(v):
        runs.append(1)
        return (v[:2] if len(runs) > 1 else v).sin().cos().sum()

    x = leaf(t, 1.0, 2.0, 3.0)
    checkpoints(t).checkpoint(function, x, use_reentrant=reentrant).backward()
    return x.grad


def backward_twice(t, reentrant):
    y = checkpoints(t).checkpoint(t.sin, leaf(t, 1.0), use_reentrant=reentrant)
    y.backward()
    y.backward()


def an_argument_written_in_between(t, reentrant):
    x = leaf(t, 1.0)
    v = x * 1
    y = checkpoints(t).checkpoint(t.sin, v, use_reentrant=reentrant)
    v.add_(1)
    y.backward()


def an_output_without_gradient(t, reentrant):
    y = checkpoints(t).checkpoint(lambda v: v.detach(), leaf(t, 1.0), use_reentrant=reentrant)
    y.backward()


def a_function_that_raises(t, reentrant):
    checkpoints(t).checkpoint(lambda v: v @ v[:0], leaf(t, 1.0, 2.0), use_reentrant=reentrant)


def unknown_keyword_for_segments(t, reentrant):
    checkpoints(t).checkpoint_sequential([t.sin], 1, leaf(t, 1.0), use_reentrant=reentrant, early_stop=False)


def detached_variables(t, reentrant):
    c = checkpoints(t)
    found = c.detach_variable((leaf(t, 1.0), 3, t.ones(1)))
    return [found[0].requires_grad, found[0].is_leaf, found[1], found[2].requires_grad]


def detached_list(t, reentrant):
    return checkpoints(t).detach_variable([leaf(t, 1.0)])


def user_function_inside(t, reentrant):
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = leaf(t, 1.5, 2.0)
    y = checkpoints(t).checkpoint(lambda v: Square.apply(v.sin()).exp(), x, use_reentrant=reentrant)
    y.sum().backward()
    return y.detach(), x.grad


def writes_in_place_inside(t, reentrant):
    def function(v):
        w = v * 2
        w.mul_(w.sin())
        w[0].exp_()
        return w * v

    x = leaf(t, 0.5, 0.7)
    y = checkpoints(t).checkpoint(function, x, use_reentrant=reentrant)
    y.sum().backward()
    return y.detach(), x.grad


PROGRAMS = [value for name, value in sorted(globals().items()) if callable(value) and getattr(value, "__module__", "") == __name__
            and name not in ("plain", "outcome", "leaf", "checkpoints", "small_net")]


@pytest.mark.parametrize("reentrant", [False, True], ids=["graph kept", "reentrant"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_the_program_ends_as_in_torch(program, reentrant):
    (kind, *expected), expected_warnings = outcome(program, torch, reentrant)
    (found_kind, *found), found_warnings = outcome(program, mytorch, reentrant)
    assert found_warnings == [(c, w) for c, w in expected_warnings if "deprecated" not in w]
    assert found_kind == kind, (found, expected)
    if kind == "value":
        compare(found, expected)
    elif program is not a_function_that_raises:  # torch's message is another: its class is in the table of errors
        assert found[0] == expected[0]
        wanted = expected[1].split(". ")[0].split("\n\n")[0].split("modified by")[0]
        assert found[1].startswith(wanted), found[1]
    else:
        assert found[0] == expected[0]


def compare(found, expected):
    if isinstance(expected, list):
        assert isinstance(found, list), found
        assert len(found) == len(expected), (found, expected)
        for f, e in zip(found, expected):
            compare(f, e)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=2e-5, abs=1e-6)
    else:
        assert found == expected
