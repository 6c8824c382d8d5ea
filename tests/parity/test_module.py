"""nn.Module and containers: what a user sees is what torch shows, error texts and warnings included."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest

import mytorch

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same, layers  # noqa: E402

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
do('bn.scratch = nn.Buffer(T.zeros(3))') or (list(bn.state_dict()), list(bn._buffers))
do('bn.scratch = T.zeros(5)') or (list(bn.state_dict()), list(bn._buffers))
do('bn.mean = nn.Buffer(T.zeros(3), persistent=False)') or (list(bn.state_dict()), list(bn._buffers))
do('p = nn.Parameter(T.ones(2)); p.foo = 3; q = copy.deepcopy(p)') or hasattr(q, 'foo')
nn.Buffer(nn.Parameter(T.ones(2)))
m.type(T.int64)
type(m.load_state_dict(m.state_dict())).__name__
nn.factory_kwargs({})
nn.factory_kwargs(None)
sorted(nn.factory_kwargs({'device': 'cpu', 'dtype': T.float64}).items())
sorted(nn.factory_kwargs({'dtype': T.float64, 'memory_format': T.channels_last}).items())
nn.factory_kwargs({'factory_kwargs': {'dtype': T.float64}, 'device': 'cpu'})
nn.factory_kwargs({'factory_kwargs': {'dtype': T.float64}, 'dtype': T.float32})
nn.factory_kwargs({'factory_kwargs': {'bad': 1}})
nn.factory_kwargs({'bad': 1})
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


def test_every_public_method_of_torchs_module_is_there() -> None:
    names = {name for name in dir(torch.nn.Module) if not name.startswith("_")}
    assert not {name for name in names if not hasattr(mytorch.nn.Module, name)}


@pytest.mark.parametrize("name", ["xpu", "ipu", "mtia"])
def test_devices_that_are_not_there_are_named(name: str) -> None:
    with pytest.raises(NotImplementedError, match=f"device '{name}'"):
        getattr(mytorch.nn.Linear(1, 1), name)()
    with pytest.raises(NotImplementedError, match=f"device '{name}:1'"):
        getattr(mytorch.nn.Linear(1, 1), name)(1)


def test_module_survives_pickling() -> None:
    nn = mytorch.nn
    s = nn.Sequential(nn.ParameterList([mytorch.ones(2)]), nn.ModuleDict({"a": nn.Sequential()}))
    copied = pickle.loads(pickle.dumps(s))
    assert repr(copied) == repr(s)
    assert repr(copied.state_dict()) == repr(s.state_dict())


def shared(T: Any, module: Any) -> list[bool]:
    return [t.is_shared() for t in (*module.parameters(), *module.buffers())]


def test_a_module_shares_its_memory_as_torchs() -> None:
    def scenario(T: Any) -> Any:
        _, Norm, _ = layers(T)
        network = T.nn.Sequential(Norm(2), T.nn.Linear(2, 1, dtype=T.float64))
        T.nn.init.ones_(network[1].weight)
        network[0].weight.grad = T.ones(2)
        optimizer = T.optim.SGD(network[:1].parameters(), lr=0.5)
        before = shared(T, network)
        same = network.share_memory() is network
        optimizer.step()  # the Parameters are the same objects
        return [before, same, shared(T, network), network[0].weight, network[0].weight.grad.is_shared(), network[1].weight,
                shared(T, copy.deepcopy(network))]

    assert_same(scenario)
