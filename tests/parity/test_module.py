"""nn.Module, containers and hooks: what a user sees is what torch shows, error texts and warnings included."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest

import mytorch
import mytorch.nn.module

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same  # noqa: E402


def layers(T: Any) -> tuple[Any, Any, Any]:
    """Three small layers of a framework: with parameters, with buffers of all kinds, with neither."""

    class Linear(T.nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.inputs, self.outputs = inputs, outputs
            self.weight = T.nn.Parameter(T.ones(outputs, inputs))
            self.bias = T.nn.Parameter(T.zeros(outputs))

        def forward(self, x: Any) -> Any:
            return x @ self.weight.t() + self.bias

        def extra_repr(self) -> str:
            return f"in_features={self.inputs}, out_features={self.outputs}"

    class Norm(T.nn.Module):
        _version = 2

        def __init__(self, n: int) -> None:
            super().__init__()
            self.weight = T.nn.Parameter(T.ones(n))
            self.register_parameter("bias", None)
            self.register_buffer("mean", T.zeros(n))
            self.register_buffer("count", T.tensor(0))
            self.register_buffer("scratch", T.ones(1), persistent=False)
            self.register_buffer("none", None)

        def forward(self, x: Any) -> Any:
            return x * self.weight

    class ReLU(T.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.relu()

    return Linear, Norm, ReLU


EXPRESSIONS = """
s
m.register_buffer('a', 3)
m.register_buffer(3, None)
m.register_buffer('a.b', None)
m.register_buffer('', None)
m.register_buffer('forward', None)
m.register_parameter('a', 3)
m.register_parameter('a', T.ones(3))
m.register_parameter('a', m.weight * 2)
m.register_parameter(3, None)
m.register_parameter('a.b', None)
m.register_parameter('', None)
m.register_parameter('forward', None)
m.add_module('a', 3)
m.add_module(3, None)
m.add_module('a.b', None)
m.add_module('', None)
m.add_module('forward', None)
do('m.weight = 3')
do('m.weight = T.ones(2)')
do('m.weight = None') or m.weight
do('m.weight = R()')
do('s.foo = m; s.foo = 3')
do('s.foo = m; s.foo = None') or s
do('bn.mean = 3')
do('bn.mean = T.ones(5)') or list(bn.named_buffers())
do('bn.mean = nn.Parameter(T.ones(2))') or (bn._buffers, bn._parameters)
do('bn.mean = None') or bn._buffers
do('bn.mean = R()') or (bn._buffers, bn._modules)
do('bn.q = nn.Buffer(T.ones(2), persistent=False)') or (bn.q, bn.state_dict())
do('bn.q = nn.Buffer(T.ones(2))') or (bn.q, bn.state_dict())
do('bn.weight = nn.Buffer(T.ones(2))')
do('s.a = nn.Buffer(T.ones(2)); s.a = m') or (s._buffers, s)
do('m.x = T.ones(2); m.x = nn.Parameter(T.ones(2))') or ('x' in vars(m), m._parameters)
do('del s.nope')
do('del bn.weight') or bn._parameters
do('del bn.mean; del bn.scratch') or (bn._buffers, bn._non_persistent_buffers_set)
do('del s[0]') or s
s.nope
nn.Module()(3)
nn.Module(3)
nn.Module(a=3)
m.train(3)
m.apply(3)
m(T.ones(2, 2), 3)
m == m, m == L(2, 2)
m.load_state_dict(3)
s.load_state_dict({'a': 3, '0.weight': T.ones(3, 3)})
s.load_state_dict({'a': 3, '0.weight': T.ones(3, 3)}, strict=False)
s.load_state_dict({'a': 3, '0.q.e': 2, '7.q': 3}, strict=False)
s.load_state_dict({'a': 3, '0.q.e': 2, '7.q': 3, '3.x': 5})
m.load_state_dict({'weight': 3, 'bias': T.ones(2)})
m.load_state_dict(m.state_dict())
bn.load_state_dict({**bn.state_dict(), 'count': T.ones(1, dtype=T.int64)}), bn.count
m.load_state_dict({'weight': T.ones(2, 2, dtype=T.int64), 'bias': T.ones(2)}), m.weight
(m.load_state_dict({'weight': T.ones(2, 2, dtype=T.float64) * 2, 'bias': T.ones(2)}, assign=True), m.weight, m.bias)
(m.requires_grad_(False).load_state_dict({'weight': T.ones(2, 2), 'bias': nn.Parameter(T.ones(2))}, assign=True), m.bias)
(bn.load_state_dict({'weight': T.ones(3), 'mean': T.ones(3, dtype=T.float64), 'count': T.tensor(3)}, assign=True), bn.mean)
m.load_state_dict({'weight': T.ones(2, 2, dtype=T.int64), 'bias': T.ones(2)}, assign=True)
s.state_dict()._metadata
bn.state_dict(prefix='x.')._metadata
bn.state_dict()
bn.state_dict(keep_vars=True)
m.state_dict({}, 'x.', True)
list(s.state_dict())
s.get_submodule('0.foo')
s.get_submodule('3.1')
s.get_submodule('foo')
s.get_submodule('')
s.get_submodule('0.weight')
s.set_submodule('', m)
s.set_submodule('a', 3)
s.set_submodule('a', m, strict=True)
s.set_submodule('a', m) or s
s.set_submodule('a.b', m)
s.set_submodule('3.1', m) or s
s.set_submodule('0.weight', m)
s.get_parameter('0.weight')
s.get_parameter('0.foo')
s.get_parameter('0.forward')
s.get_parameter('q.foo')
s.get_parameter('1.mean')
s.get_parameter('1.bias')
s.get_buffer('1.mean')
s.get_buffer('1.nope')
s.get_buffer('0.weight')
s.get_buffer('1.none')
m.to(T.int64)
m.to()
m.to(None)
m.to(T.float64).weight
m.to('cpu', T.float64).weight
m.to(device='cpu', dtype=T.float64, non_blocking=True).weight
m.to(T.ones(1, dtype=T.float64)).bias
m.to(memory_format=T.channels_last).weight
bn.double().state_dict()
bn.half().state_dict()
bn.bfloat16().state_dict()
bn.type(T.float64).state_dict()
s.double().float().state_dict()
(lambda weight: (m.double(), m.weight is weight))(m.weight)
do('m.weight.grad = T.ones(2, 2)') or m.double().weight.grad
do('m.weight.grad = T.ones(2, 2); m.zero_grad()') or m.weight.grad
do('m.weight.grad = T.ones(2, 2); m.zero_grad(False)') or m.weight.grad
do('m.weight.grad = T.ones(2, 2)') or (copy.deepcopy(m).weight.grad, copy.copy(m).weight is m.weight)
copy.deepcopy(s)
copy.deepcopy(s).state_dict()
do('s.shared = s[0]') or (lambda c: c.shared is c[0])(copy.deepcopy(s))
nn.Parameter(None)
nn.Parameter()
nn.Parameter(T.ones(2, dtype=T.int64))
nn.Parameter(T.ones(2, dtype=T.int64), requires_grad=False)
nn.Parameter(T.tensor(3.))
nn.Parameter(nn.Parameter(T.ones(2)))
nn.Parameter(T.ones(2), False)
nn.Parameter(T.ones(2, requires_grad=True) * 2).is_leaf
nn.Buffer()
nn.Buffer(T.ones(2))
isinstance(nn.Buffer(T.ones(2)), nn.Buffer), isinstance(T.ones(2), nn.Buffer), isinstance(T.ones(2), nn.Parameter)
isinstance(nn.Parameter(T.ones(1)), T.Tensor), type(nn.Buffer(T.ones(1))) is T.Tensor
[n for n, _ in s.named_modules()]
[n for n, _ in s.named_modules(prefix='p')]
[n for n, _ in s.named_parameters()]
[n for n, _ in s.named_parameters(recurse=False)]
[n for n, _ in s.named_parameters(prefix='p')]
[n for n, _ in s.named_buffers()]
[n for n, _ in bn.named_buffers(prefix='p')]
[n for n, _ in s.named_children()]
len(list(s.modules())), len(list(s.children())), len(list(s.parameters())), len(list(s.buffers()))
do('s.t = s[0]; s.u = nn.Sequential(s[0])') or [n for n, _ in s.named_modules(remove_duplicate=False)]
do('s.t = s[0]; s.u = nn.Sequential(s[0])') or ([n for n, _ in s.named_modules()], [n for n, _ in s.named_children()])
do('s.t = s[0]') or [[n for n, _ in s.named_parameters(remove_duplicate=d)] for d in (True, False)]
do('m.bias = m.weight') or [[n for n, _ in m.named_parameters(remove_duplicate=d)] for d in (True, False)]
'weight' in dir(m), '0' in dir(s), 'named_parameters' in dir(m)
(s.eval().training, s[3][0].training, s.train()[3][1].training)
[p.requires_grad for p in s.requires_grad_(False).parameters()]
m._get_name(), m._version, bn._version, m.dump_patches, m.call_super_init
nn.Sequential()(3)
nn.Sequential(R())
nn.Sequential([m])
nn.Sequential(3)
nn.Sequential({'a': m})
nn.Sequential(OrderedDict(a=m, b=R()))
s[5]
s[-3]
s['a']
s[:1]
s.append(3)
s.insert(5, m)
s.insert(1, m)
s.insert(-1, m)
s.extend([m])
s.extend(3)
s + 3
s + nn.Sequential(R())
s * 2
2 * s
s * 0
s * 'a'
s.pop(0)
(s.pop(-1), s)
(s.pop(slice(0, 2)), s)
s.__imul__(2)
s.__imul__(1)
do('del s[0:2]') or s
do('s[0] = m') or s
do('s[-1] = m') or s
s.__iadd__(nn.Sequential(R()))
s(T.ones(1, 2))
len(s), [type(x).__name__ for x in s]
nn.ModuleList([m, m, R(), L(1, 1)])
nn.ModuleList([m, nn.Sequential(m), nn.Sequential(m), nn.ModuleList([m, m])])
nn.ModuleList([m, R()])[9]
nn.ModuleList([m, R()])[1:]
nn.ModuleList([m, R()])['a']
nn.ModuleList([m, R()])[-1]
nn.ModuleList([m, R()]).extend(3)
nn.ModuleList([m, R()]).extend(m)
nn.ModuleList([m, R()]).append(3)
nn.ModuleList([m, R()])(3)
nn.ModuleList([m, R()]).pop()
nn.ModuleList([m, R()]).pop(0)
nn.ModuleList([m, R()]).pop(slice(0, 1))
nn.ModuleList([m, R()]) + [L(4, 4)]
nn.ModuleList([m, R()]).__iadd__([L(4, 4)])
do('z = nn.ModuleList([m, R()]); z.insert(2, m); z.insert(0, R()); z[1] = R(); del z[2]') or z
nn.ModuleList([])
nn.ModuleList([3])
nn.ModuleList(3)
nn.ModuleList([None, m])
nn.ModuleDict({'a': m, 'b': nn.ModuleList([m, m])})
nn.ModuleDict({'a': m})['c']
nn.ModuleDict({'a': m}).update(3)
nn.ModuleDict([('q', m)])
nn.ModuleDict([(3, m)])
nn.ModuleDict([(3,)])
nn.ModuleDict({'a': m}).pop('a')
nn.ModuleDict({'a': m}).pop('b')
(list(nn.ModuleDict({'a': m}).keys()), 'a' in nn.ModuleDict({'a': m}), len(nn.ModuleDict({'a': m})))
do("z = nn.ModuleDict({'a': m, 'b': R()}); del z['a']; z['c'] = m") or (z, list(z), list(z.items()), list(z.values()))
nn.ModuleDict({'forward': m})
nn.ModuleDict({'z': m, 'b': m})
nn.ModuleDict(nn.ModuleDict({'z': m, 'b': m}))
nn.ModuleDict(3)
nn.ParameterList([T.ones(2), nn.Parameter(T.ones(2, 3)), 3])
nn.ParameterList([T.ones(2)])
nn.ParameterList([T.tensor(2.)])
nn.ParameterList()
nn.ParameterList([T.ones(2), nn.Parameter(T.ones(2, 3)), 3])[0:2]
nn.ParameterList([T.ones(2)]).append(T.ones(1))
nn.ParameterList([T.ones(2)]).extend(3)
nn.ParameterList([T.ones(2)]).extend(T.ones(3))
nn.ParameterList([T.ones(2)])(3)
nn.ParameterList([T.ones(2)])[9]
nn.ParameterList([T.ones(2)])[-1]
dict(nn.ParameterList([T.ones(2), 3, T.ones(1)]).named_parameters())
do('z = nn.ParameterList([T.ones(2)]); z += [T.zeros(1)]; z[0] = T.zeros(3)') or (z, len(z), list(z))
nn.ParameterDict({'a': T.ones(2), 'b': nn.Parameter(T.ones(2, 3)), 'c': 3})
nn.ParameterDict({'b': T.ones(2), 'a': nn.Parameter(T.ones(2, 3))})
nn.ParameterDict(OrderedDict(b=T.ones(2), a=T.ones(1)))
nn.ParameterDict([('b', T.ones(2)), ('a', T.ones(1))])
nn.ParameterDict()
nn.ParameterDict({'a': T.ones(2)})['z']
nn.ParameterDict({'a': T.ones(2)})(3)
nn.ParameterDict({'a': T.ones(2)}).pop('a')
nn.ParameterDict({'a': T.ones(2), 'b': 3}).popitem()
nn.ParameterDict({'a': T.ones(2)}).get('z', 4)
nn.ParameterDict({'a': T.ones(2)}).setdefault('z', T.ones(3))
nn.ParameterDict({'a': T.ones(2)}).fromkeys(['a', 'b'], 3)
nn.ParameterDict({'a': T.ones(2)}) | nn.ParameterDict({'r': T.ones(1)})
nn.ParameterDict({'a': T.ones(2)}).copy()
list(reversed(nn.ParameterDict({'a': T.ones(2), 'b': 3})))
nn.ParameterDict({'a': T.ones(2)}).update({'r': T.ones(2)})
list(nn.ParameterDict({'a': T.ones(2)}).items())
nn.ParameterDict({'a': T.ones(2)}).update([(3,)])
nn.ParameterDict({'a': T.ones(2), 'q': nn.Parameter(T.ones(2))}).state_dict()
do("z = nn.ParameterDict({'a': T.ones(2), 'b': 3}); del z['a']; 1 in z; z.clear()") or (z, len(z))
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_has_torchs_outcome(expression: str) -> None:
    def scenario(T: Any) -> Any:
        Linear, Norm, ReLU = layers(T)
        network = T.nn.Sequential(Linear(2, 3), Norm(3), ReLU(), T.nn.Sequential(Linear(3, 2), Linear(3, 2)))
        names: dict[str, Any] = {"T": T, "nn": T.nn, "L": Linear, "R": ReLU, "m": Linear(2, 2), "bn": Norm(3), "s": network,
                                 "copy": copy, "OrderedDict": OrderedDict}
        names["do"] = lambda statements: exec(statements, names)
        return eval(expression, names)

    assert_same(scenario)


# ---- hooks --------------------------------------------------------------------------------------------------------------------


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
    full_backward_hook_returns_too_many, full_backward_pre_hook_returns_too_many, full_backward_hooks_of_nested_modules,
    full_backward_hook_of_a_dict_output, full_backward_hook_without_a_graph, full_backward_hook_runs_in_each_backward,
    full_backward_hook_lets_second_derivatives_through, global_backward_hooks, two_kinds_of_backward_hooks,
    two_kinds_of_backward_hooks_in_the_other_order, hooks_are_copied_with_the_module,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_hooks_have_torchs_outcome(scenario: Any) -> None:
    assert_same(scenario)


def test_every_public_method_of_torchs_module_is_there_or_known_to_be_missing() -> None:
    without_meaning_here = {"compile", "ipu", "mtia", "xpu"}
    names = {name for name in dir(torch.nn.Module) if not name.startswith("_")}
    assert {name for name in names if not hasattr(mytorch.nn.Module, name)} == without_meaning_here


def test_module_survives_pickling() -> None:
    nn = mytorch.nn
    s = nn.Sequential(nn.ParameterList([mytorch.ones(2)]), nn.ModuleDict({"a": nn.Sequential()}))
    copied = pickle.loads(pickle.dumps(s))
    assert repr(copied) == repr(s)
    assert repr(copied.state_dict()) == repr(s.state_dict())
