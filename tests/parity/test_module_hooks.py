"""Hooks of modules: what they are given, when they run and what their results replace is as in torch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import mytorch
import mytorch.nn.module

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same, layers  # noqa: E402


def one_layer(T: Any) -> tuple[Any, Any]:
    Linear, _, _ = layers(T)
    return Linear(2, 2), T.tensor([[1.0, 2.0]], requires_grad=True)


def module_file(T: Any) -> Any:
    """Where the functions live that register hooks for all modules."""
    return torch.nn.modules.module if T is torch else mytorch.nn.module


class Raises:
    """Mixed into a Module: its forward raises."""

    def forward(self, x: Any) -> None:
        raise ValueError("boom")


def hook_sees_arguments_and_output(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    before = m.register_forward_pre_hook(lambda mod, args: log.append(("before", mod is m, args)))
    after = m.register_forward_hook(lambda mod, args, y: log.append(("after", args, y)))
    m(x)
    before.remove()
    m(x)
    after.remove()
    return log, m(x), len(m._forward_hooks)


def hooks_replace_arguments_and_output(T: Any) -> Any:
    m, x = one_layer(T)
    results = [m(x)]
    for register, hook in ((m.register_forward_pre_hook, lambda mod, args: args[0] * 2),
                           (m.register_forward_pre_hook, lambda mod, args: (args[0] + 1,)),
                           (m.register_forward_hook, lambda mod, args, y: y * 10),
                           (m.register_forward_hook, lambda mod, args, y: None)):
        register(hook)
        results.append(m(x))
    return results


def hooks_see_and_replace_keyword_arguments(T: Any) -> Any:
    class Scale(T.nn.Module):
        def forward(self, x: Any, *, factor: int = 1) -> Any:
            return x * factor

    m = Scale()
    log: list[Any] = []
    m.register_forward_pre_hook(lambda mod, args, kwargs: log.append((args, kwargs)), with_kwargs=True)
    m.register_forward_pre_hook(lambda mod, args, kwargs: (args, {"factor": 5}), with_kwargs=True)
    handle = m.register_forward_hook(lambda mod, args, kwargs, y: log.append((args, kwargs, y)), with_kwargs=True)
    y = m(T.ones(1), factor=2)
    handle.remove()
    return log, y, m(T.ones(1)), len(m._forward_hooks_with_kwargs)


def pre_hook_returns_nonsense(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_forward_pre_hook(lambda mod, args, kwargs: 3, with_kwargs=True)
    return m(x)


def hooks_run_in_order_and_global_ones_first(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    for i in range(3):
        m.register_forward_hook(lambda mod, args, y, i=i: log.append(i), prepend=i == 2)
        m.register_forward_pre_hook(lambda mod, args, i=i: log.append(("before", i)), prepend=i == 2)
    handles = [module_file(T).register_module_forward_hook(lambda mod, args, y: log.append("all")),
               module_file(T).register_module_forward_pre_hook(lambda mod, args: log.append("before all"))]
    m(x)
    for handle in handles:
        handle.remove()
    m(x)
    return log


def always_called_hook_runs_after_an_error(T: Any) -> Any:
    m = type("M", (Raises, T.nn.Module), {})()
    log: list[Any] = []
    m.register_forward_hook(lambda mod, args, y: log.append(("not called", y)))
    m.register_forward_hook(lambda mod, args, y: log.append(("called", y)), always_call=True)
    with pytest.raises(ValueError, match="boom"):
        m(3)
    return log


def error_in_an_always_called_hook_becomes_a_warning(T: Any) -> Any:
    m = type("M", (Raises, T.nn.Module), {})()
    m.register_forward_hook(lambda mod, args, y: 1 / 0, always_call=True)
    return m(3)


def error_in_a_hook_runs_only_the_hooks_that_did_not_run(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    m.register_forward_hook(lambda *args: log.append("first"), always_call=True)
    m.register_forward_hook(lambda *args: 1 / 0)
    m.register_forward_hook(lambda *args: log.append("last"), always_call=True)
    with pytest.raises(ZeroDivisionError):
        m(x)
    return log


def state_dict_hooks_run_around_saving_and_loading(T: Any) -> Any:
    Linear, Norm, _ = layers(T)
    s = T.nn.Sequential(Linear(1, 1), Norm(1))
    log: list[Any] = []

    def after(m: Any, state: Any, prefix: str, metadata: Any) -> None:
        log.append(("after", list(state), prefix, metadata))
        state["extra"] = 1

    s[0].register_state_dict_pre_hook(lambda m, prefix, keep_vars: log.append(("before", prefix, keep_vars)))
    s[0].register_state_dict_post_hook(after)
    s[0]._register_load_state_dict_pre_hook(lambda *args: log.append(("loading", list(args[0]), *args[1:])))
    s[0].register_load_state_dict_pre_hook(lambda m, *args: log.append(("loading", type(m).__name__, list(args[0]), *args[1:])))
    s.register_load_state_dict_post_hook(lambda m, keys: (log.append(("loaded", repr(keys))), keys.unexpected_keys.clear())[1])
    return log, s.load_state_dict(s.state_dict())


def state_dict_post_hook_returns_something(T: Any) -> Any:
    m, _ = one_layer(T)
    m.register_state_dict_post_hook(lambda m, state, prefix, metadata: state)
    return m.state_dict()


def private_state_dict_hook_replaces_the_dict(T: Any) -> Any:
    m, _ = one_layer(T)
    m._register_state_dict_hook(lambda m, state, prefix, metadata: {"a": 1})
    return m.state_dict()


def loading_hook_renames_keys(T: Any) -> Any:
    m, _ = one_layer(T)

    def rename(state: Any, prefix: str, *rest: Any) -> None:
        state[prefix + "weight"] = state.pop(prefix + "w")

    m._register_load_state_dict_pre_hook(rename)
    state = {"0.w": T.ones(2, 2) * 3, "0.bias": T.ones(2)}
    return T.nn.Sequential(m).load_state_dict(state), m.weight, list(state)


def extra_state_is_saved_and_loaded(T: Any) -> Any:
    class Counter(T.nn.Module):
        def get_extra_state(self) -> Any:
            return 3

        def set_extra_state(self, state: Any) -> None:
            self.got = state

    m = Counter()
    loaded = m.load_state_dict({"_extra_state": 4})
    s = T.nn.Sequential(Counter())
    return m.state_dict(), m.got, loaded, s.state_dict(), s.load_state_dict({}, strict=False)


def extra_state_of_a_module_that_has_none(T: Any) -> Any:
    return T.nn.Module().load_state_dict({"_extra_state": 4})


def loading_sees_the_version_that_was_saved(T: Any) -> Any:
    class Old(T.nn.Module):
        _version = 3

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
            self.seen = metadata.get("version")
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    m = Old()
    state = m.state_dict()
    m.load_state_dict(state)
    seen = m.seen
    m.load_state_dict(dict(state))
    return seen, m.seen


def registration_hooks_see_every_name(T: Any) -> Any:
    log: list[Any] = []
    handles = []
    for kind in ("parameter", "buffer", "module"):
        register = getattr(module_file(T), f"register_module_{kind}_registration_hook")
        handles.append(register(lambda m, name, value, kind=kind: log.append((kind, name))))
    Linear, Norm, ReLU = layers(T)
    s = T.nn.Sequential(Linear(1, 1), Norm(1))
    s.x = ReLU()
    s.y = T.nn.Parameter(T.ones(1))
    s.z = T.nn.Buffer(T.ones(1))
    s.z = T.ones(2)
    for handle in handles:
        handle.remove()
    s.unseen = ReLU()
    return log


def full_backward_hook_sees_both_gradients(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    handle = m.register_full_backward_hook(lambda mod, gi, go: log.append((mod is m, gi, go)))
    y = m(x)
    y.sum().backward()
    handle.remove()
    m(x).sum().backward()
    return log, x.grad, m.weight.grad, type(y.grad_fn).__name__


def full_backward_hooks_replace_gradients(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 10,))
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0] + 1,))
    m.register_full_backward_pre_hook(lambda mod, go: (go[0] * 3,))
    m(x).sum().backward()
    return x.grad, m.weight.grad


def full_backward_hook_without_input_gradient(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    m.register_full_backward_hook(lambda mod, gi, go: log.append((gi, go)))
    m.register_full_backward_pre_hook(lambda mod, go: log.append(("before", go)))
    m(x.detach()).sum().backward()
    return log, m.weight.grad


def full_backward_hook_returns_a_gradient_that_nobody_takes(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_hook(lambda mod, gi, go: (T.ones(1, 2),))
    m(x.detach()).sum().backward()


def full_backward_hook_of_many_inputs_and_outputs(T: Any) -> Any:
    class Many(T.nn.Module):
        def forward(self, a: Any, n: int, b: Any) -> Any:
            return a * n, b * 2, 7, a + b

    m = Many()
    log: list[Any] = []
    m.register_full_backward_hook(lambda mod, gi, go: log.append((gi, go)))
    m.register_full_backward_pre_hook(lambda mod, go: log.append(("before", go)))
    a = T.ones(2, requires_grad=True)
    b = T.ones(2)
    m(a, 3, b)[0].sum().backward()
    outputs = m(a, 3, b.requires_grad_())
    (outputs[3].sum() + outputs[1].sum()).backward()
    return log, a.grad, b.grad


def full_backward_hook_returns_too_many(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0], gi[0]))
    m(x).sum().backward()


def full_backward_hook_returns_a_list(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_hook(lambda mod, gi, go: [gi[0] * 2])
    m(x).sum().backward()
    return x.grad


def full_backward_hook_returns_a_number(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_hook(lambda mod, gi, go: 3)
    try:
        m(x).sum().backward()
    except TypeError:
        return "TypeError"


def full_backward_pre_hook_returns_a_list(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_pre_hook(lambda mod, go: [go[0] * 2])
    m(x).sum().backward()
    return x.grad


def public_and_private_state_dict_hooks_are_told_apart(T: Any) -> Any:
    m, _ = one_layer(T)

    def hook(*args: Any) -> None:
        pass

    m.register_state_dict_post_hook(hook)
    return m._register_state_dict_hook(hook)


def full_backward_pre_hook_returns_too_many(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_pre_hook(lambda mod, go: (go[0], go[0]))
    m(x).sum().backward()


def full_backward_hooks_of_nested_modules(T: Any) -> Any:
    Linear, _, ReLU = layers(T)
    s = T.nn.Sequential(Linear(2, 2), ReLU(), Linear(2, 2))
    log: list[Any] = []
    for i, module in enumerate(s.modules()):
        module.register_full_backward_hook(lambda mod, gi, go, i=i: log.append((i, gi, go)))
    x = T.ones(1, 2, requires_grad=True)
    s(x).sum().backward()
    return log, x.grad


def full_backward_hook_of_a_dict_output(T: Any) -> Any:
    class Named(T.nn.Module):
        def forward(self, a: Any) -> Any:
            return {"a": a * 2}

    m = Named()
    m.register_full_backward_hook(lambda mod, gi, go: None)
    a = T.ones(2, requires_grad=True)
    m(a)["a"].sum().backward()
    return a.grad


def full_backward_hook_without_a_graph(T: Any) -> Any:
    m, x = one_layer(T)
    m.register_full_backward_hook(lambda mod, gi, go: None)
    with T.no_grad():
        return m(x)


def full_backward_hook_runs_in_each_backward(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    m.register_full_backward_hook(lambda mod, gi, go: log.append((gi, go)))
    y = m(x)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return log, x.grad


def full_backward_hook_lets_second_derivatives_through(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    m.register_full_backward_hook(lambda mod, gi, go: log.append(len(gi)))
    (gradient,) = T.autograd.grad((m(x) ** 3).sum(), x, create_graph=True)
    gradient.sum().backward()
    return log, x.grad


def global_backward_hooks(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    handles = [module_file(T).register_module_full_backward_hook(lambda mod, gi, go: log.append((gi, go))),
               module_file(T).register_module_full_backward_pre_hook(lambda mod, go: log.append(go))]
    m(x).sum().backward()
    for handle in handles:
        handle.remove()
    m(x).sum().backward()
    return log


def two_kinds_of_backward_hooks(T: Any) -> Any:
    m, _ = one_layer(T)
    m.register_full_backward_hook(lambda *args: None)
    m.register_backward_hook(lambda *args: None)


def two_kinds_of_backward_hooks_in_the_other_order(T: Any) -> Any:
    m, _ = one_layer(T)
    m.register_backward_hook(lambda *args: None)
    m.register_full_backward_hook(lambda *args: None)


def hooks_are_copied_with_the_module(T: Any) -> Any:
    m, x = one_layer(T)
    log: list[Any] = []
    m.register_forward_hook(log_one(log))
    copied = copy.deepcopy(m)
    copied(x)
    return log, len(copied._forward_hooks)


class log_one:  # noqa: N801 - a function with state, which deepcopy copies
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __call__(self, module: Any, args: Any, output: Any) -> None:
        self.log.append(1)


SCENARIOS = [
    hook_sees_arguments_and_output, hooks_replace_arguments_and_output, hooks_see_and_replace_keyword_arguments,
    pre_hook_returns_nonsense, hooks_run_in_order_and_global_ones_first, always_called_hook_runs_after_an_error,
    error_in_an_always_called_hook_becomes_a_warning, error_in_a_hook_runs_only_the_hooks_that_did_not_run,
    state_dict_hooks_run_around_saving_and_loading, state_dict_post_hook_returns_something,
    private_state_dict_hook_replaces_the_dict, loading_hook_renames_keys, extra_state_is_saved_and_loaded,
    extra_state_of_a_module_that_has_none, loading_sees_the_version_that_was_saved, registration_hooks_see_every_name,
    full_backward_hook_sees_both_gradients, full_backward_hooks_replace_gradients, full_backward_hook_without_input_gradient,
    full_backward_hook_returns_a_gradient_that_nobody_takes, full_backward_hook_of_many_inputs_and_outputs,
    full_backward_hook_returns_a_list, full_backward_hook_returns_a_number, full_backward_pre_hook_returns_a_list,
    public_and_private_state_dict_hooks_are_told_apart,
    full_backward_hook_returns_too_many, full_backward_pre_hook_returns_too_many, full_backward_hooks_of_nested_modules,
    full_backward_hook_of_a_dict_output, full_backward_hook_without_a_graph, full_backward_hook_runs_in_each_backward,
    full_backward_hook_lets_second_derivatives_through, global_backward_hooks, two_kinds_of_backward_hooks,
    two_kinds_of_backward_hooks_in_the_other_order, hooks_are_copied_with_the_module,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_hooks_have_torchs_outcome(scenario: Any) -> None:
    assert_same(scenario)
