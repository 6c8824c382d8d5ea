"""torch.func: the same structures, values, graphs and refusals as torch, and the programs of its tutorials."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.parity.functions import assert_both

torch = pytest.importorskip("torch")

# torch's own: linearize traces through deprecated parts of it
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

X = np.array([1.0, 2.0], np.float32)
V = np.array([1.0, 10.0], np.float32)
Y = np.array([3.0, 4.0], np.float32)
A = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def face(lib):
    return importlib.import_module(f"{lib.__name__}.func")


def closing_over(lib):
    w = lib.ones(2, requires_grad=True)
    return face(lib).grad(lambda x: (x ** 2 * w).sum())


def wavy(x):
    return x.sin() * x.sum()


def cubes(L):
    return L.arange(24.0).reshape(2, 3, 4) / 10, L.ones(2, 3, 4) / 2


CASES = {
    "grad": lambda L, x, v: face(L).grad(lambda x: (x ** 3).sum())(x),
    "grad of an unused argument": lambda L, x, v: face(L).grad(lambda x: v.sum())(x),
    "grad by two": lambda L, x, v: face(L).grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(x, v),
    "grad by the last": lambda L, x, v: face(L).grad(lambda x, y: (x * y).sum(), argnums=-1)(x, v),
    "grad by a missing one": lambda L, x, v: face(L).grad(lambda x, y: (x * y).sum(), argnums=2)(x, v),
    "grad by one twice": lambda L, x, v: face(L).grad(lambda x, y: (x * y).sum(), argnums=(0, 0))(x, v),
    "grad by a name": lambda L, x, v: face(L).grad(lambda x, y: (x * y).sum(), argnums="a")(x, v),
    "grad by none": lambda L, x, v: face(L).grad(lambda x: x.sum(), argnums=())(x),
    "grad with aux": lambda L, x, v: face(L).grad(lambda x: (x.sum(), {"a": x * 2}), has_aux=True)(x),
    "grad with aux missing": lambda L, x, v: face(L).grad(lambda x: x.sum(), has_aux=True)(x),
    "grad with aux of text": lambda L, x, v: face(L).grad(lambda x: (x.sum(), "a"), has_aux=True)(x),
    "grad of a vector": lambda L, x, v: face(L).grad(lambda x: x)(x),
    "grad of a list": lambda L, x, v: face(L).grad(lambda x: [x.sum()])(x),
    "grad of a complex": lambda L, x, v: face(L).grad(lambda x: (x * x).sum())(x.to(L.complex64)),
    "grad by a dictionary": lambda L, x, v: face(L).grad(lambda d: (d["a"] * d["b"]).sum())({"a": x, "b": v}),
    "grad by a number": lambda L, x, v: face(L).grad(lambda d: (d["a"] * d["b"]).sum())({"a": x, "b": 2}),
    "grad with keywords": lambda L, x, v: face(L).grad(lambda x, y=1: (x * y).sum())(x, y=v),
    "grad writing in place": lambda L, x, v: face(L).grad(lambda x: x.mul_(2).sum())(x),
    "grad writing to a clone": lambda L, x, v: face(L).grad(lambda x: x.clone().mul_(2).mul_(x).sum())(x),
    "grad of grad": lambda L, x, v: face(L).grad(lambda x: face(L).grad(lambda y: (y ** 3).sum())(x).sum())(x),
    "grad closing over a leaf": lambda L, x, v: closing_over(L)(x),
    "grad adding a leaf": lambda L, x, v: face(L).grad(lambda x: (x ** 2 + L.ones(2, requires_grad=True)).sum())(x),
    "grad of what requires grad": lambda L, x, v: face(L).grad(lambda x: (x ** 2).sum())(x.requires_grad_()),
    "grad under no_grad": lambda L, x, v: L.no_grad()(lambda: face(L).grad(lambda x: (x ** 2).sum())(x.requires_grad_()))(),
    "no_grad inside": lambda L, x, v: face(L).grad(lambda x: (x ** 2).sum() + L.no_grad()(lambda: (x ** 3).sum())())(x),
    "autograd.grad inside": lambda L, x, v: face(L).grad(lambda x: L.autograd.grad((x ** 3).sum(), x, create_graph=True)[0].sum())(x),
    "backward through grad": lambda L, x, v: L.autograd.grad(face(L).grad(lambda x: (x ** 3).sum())(x.requires_grad_()).sum(), x),
    "grad_and_value": lambda L, x, v: face(L).grad_and_value(lambda x, y: (x * y).sum(), argnums=(0, 1))(x, v),
    "grad_and_value with aux": lambda L, x, v: face(L).grad_and_value(lambda x: (x.sum(), x * 2), has_aux=True)(x),
    "vjp": lambda L, x, v: face(L).vjp(lambda x: x * 2, x)[1](v),
    "vjp of two": lambda L, x, v: face(L).vjp(lambda x, y: (x * y, x.sum()), x, v)[1]((v, L.tensor(1.0))),
    "vjp spread": lambda L, x, v: face(L).vjp(lambda x: (x * 2, x.sum()), x)[1](v, L.tensor(1.0)),
    "vjp twice": lambda L, x, v: [face(L).vjp(lambda x: x ** 2, x)[1](u) for u in (v, x)],
    "vjp value": lambda L, x, v: face(L).vjp(lambda x: {"a": x.exp()}, x)[0],
    "vjp with aux": lambda L, x, v: face(L).vjp(lambda x: (x * 2, x * 3), x, has_aux=True)[::2],
    "vjp of another structure": lambda L, x, v: face(L).vjp(lambda x: x * 2, x)[1]((v,)),
    "vjp of another shape": lambda L, x, v: face(L).vjp(lambda x: x * 2, x)[1](L.ones(3)),
    "vjp of a number": lambda L, x, v: face(L).vjp(lambda x: 3, x),
    "vjp at a number": lambda L, x, v: face(L).vjp(lambda x: x * 2, 3),
    "vjp with aux missing": lambda L, x, v: face(L).vjp(lambda x: x * 2, x, has_aux=True),
    "jvp": lambda L, x, v: face(L).jvp(lambda x: (x * 2, {"a": x.sin().sum()}), (x,), (v,)),
    "jvp of a tree": lambda L, x, v: face(L).jvp(lambda d: d["a"] * d["b"], ({"a": x, "b": v},), ({"a": v, "b": x},)),
    "jvp of jvp": lambda L, x, v: face(L).jvp(lambda x: face(L).jvp(lambda y: y ** 3, (x,), (v,))[1], (x,), (v,)),
    "jvp of grad": lambda L, x, v: face(L).jvp(face(L).grad(lambda x: (x ** 3).sum()), (x,), (v,)),
    "grad of jvp": lambda L, x, v: face(L).grad(lambda x: face(L).jvp(lambda y: y ** 3, (x,), (v,))[1].sum())(x),
    "jvp mixing levels": lambda L, x, v: face(L).jvp(lambda x: face(L).jvp(lambda y: x * y, (v,), (L.ones(2),))[1], (x,), (v,)),
    "jvp of a constant": lambda L, x, v: face(L).jvp(lambda x: L.ones(3), (x,), (v,)),
    "jvp of a constant, strictly": lambda L, x, v: face(L).jvp(lambda x: L.ones(3), (x,), (v,), strict=True),
    "jvp with aux": lambda L, x, v: face(L).jvp(lambda x: (x * 2, x * 3), (x,), (v,), has_aux=True),
    "jvp under no_grad": lambda L, x, v: face(L).jvp(L.no_grad()(lambda x: x * 2), (x,), (v,)),
    "jvp of detach": lambda L, x, v: face(L).jvp(lambda x: x.detach() * 2 + x, (x,), (v,)),
    "jvp without a tuple": lambda L, x, v: face(L).jvp(lambda x: x * 2, x, v),
    "jvp of two directions": lambda L, x, v: face(L).jvp(lambda x: x * 2, (x,), (v, v)),
    "jvp of nothing": lambda L, x, v: face(L).jvp(lambda: x * 2, (), ()),
    "jvp of another shape": lambda L, x, v: face(L).jvp(lambda x: x * 2, (x,), (L.ones(3),)),
    "jvp of integers": lambda L, x, v: face(L).jvp(lambda x: x * 2, (L.tensor([1]),), (L.tensor([1]),)),
    "jvp of a number": lambda L, x, v: face(L).jvp(lambda x: 2, (x,), (v,)),
    "jvp at a number": lambda L, x, v: face(L).jvp(lambda x: x * 2, (3,), (3,)),
    "jvp writing in place": lambda L, x, v: face(L).jvp(lambda x: x.clone().mul_(x)[:1].add_(x[1]), (x,), (v,)),
    "jvp keeps the graph": lambda L, x, v: face(L).jvp(lambda x: x ** 2, (x.requires_grad_(),), (v,)),
    "jacrev": lambda L, x, v: face(L).jacrev(lambda x: x.outer(x).sin())(x),
    "jacrev of a tree": lambda L, x, v: face(L).jacrev(lambda x, y: (x * y, {"a": y.sum()}), argnums=(0, 1))(x, v),
    "jacrev with aux": lambda L, x, v: face(L).jacrev(lambda x: (x * 2, x.sum()), has_aux=True)(x),
    "jacrev in chunks": lambda L, x, v: [face(L).jacrev(lambda x: x.outer(x).sin(), chunk_size=n)(x) for n in (1, 3, 10)],
    "jacrev in chunks of none": lambda L, x, v: face(L).jacrev(lambda x: x * 2, chunk_size=0)(x),
    "jacrev of integers": lambda L, x, v: face(L).jacrev(lambda x: x * 2)(L.tensor([1])),
    "jacrev of a number": lambda L, x, v: face(L).jacrev(lambda x: 3)(x),
    "jacrev keeps the graph": lambda L, x, v: face(L).jacrev(lambda x: (x ** 2).outer(v))(x.requires_grad_()),
    "jacfwd": lambda L, x, v: face(L).jacfwd(lambda x: x.outer(x).sin())(x),
    "jacfwd of a tree": lambda L, x, v: face(L).jacfwd(lambda x, y: (x * y, {"a": y.sum()}), argnums=(0, 1))(x, v),
    "jacfwd by a tree": lambda L, x, v: face(L).jacfwd(lambda d: d["a"] * d["b"].sum())({"a": x, "b": v}),
    "jacfwd with aux": lambda L, x, v: face(L).jacfwd(lambda x: (x * 2, x.sum()), has_aux=True)(x),
    "jacfwd with aux missing": lambda L, x, v: face(L).jacfwd(lambda x: x * 2, has_aux=True)(x),
    "jacfwd drawing": lambda L, x, v: face(L).jacfwd(lambda x: x * L.rand(2))(x),
    "jacfwd drawing the same": lambda L, x, v: face(L).jacfwd(lambda x: x * L.rand(2), randomness="same")(x),
    "jacfwd drawing otherwise": lambda L, x, v: face(L).jacfwd(lambda x: x * L.rand(2), randomness="x")(x),
    "hessian": lambda L, x, v: face(L).hessian(lambda x: (x ** 3).sum() * x[0])(x),
    "hessian by two": lambda L, x, v: face(L).hessian(lambda x, y: (x ** 2 * y).sum(), argnums=(0, 1))(x, v),
    "hessian four ways": lambda L, x, v: [a(b(lambda x: x.sin().prod()))(x) for a in (face(L).jacfwd, face(L).jacrev)
                                          for b in (face(L).jacfwd, face(L).jacrev)],
    "linearize": lambda L, x, v: face(L).linearize(lambda x: x.sin(), x)[1](v),
    "linearize twice": lambda L, x, v: (lambda y, f: (y, f(v, x), f(x, v)))(*face(L).linearize(lambda x, y: {"a": x.sin() * y, "b": y}, x, v)),
    "linearize by too many": lambda L, x, v: face(L).linearize(lambda x: x * 2, x)[1](x, x),
    "linearize by another shape": lambda L, x, v: face(L).linearize(lambda x: x * 2, x)[1](L.ones(3)),
    "linearize by another dtype": lambda L, x, v: face(L).linearize(lambda x: x * 2, x)[1](L.ones(2).double()),
    "vmap of grad": lambda L, x, v: face(L).vmap(face(L).grad(lambda x: (x ** 3).sum()))(x.outer(v)),
    "vmap of grad by what is shared": lambda L, x, v: face(L).vmap(face(L).grad(lambda w, x: (w * x).sin().sum()), (None, 0))(v, x.outer(v)),
    "vmap of jvp": lambda L, x, v: face(L).vmap(lambda x, t: face(L).jvp(lambda y: y.sin() * y.sum(), (x,), (t,)))(x.outer(v), v.outer(x)),
    "vmap of jvp by what is shared": lambda L, x, v: face(L).vmap(lambda t: face(L).jvp(lambda y: y.sin() * y.sum(), (x,), (t,)))(v.outer(x)),
    "vmap of jvp of grad": lambda L, x, v: face(L).vmap(lambda x, t: face(L).jvp(face(L).grad(lambda y: y.sin().prod()), (x,), (t,)))(
        x.outer(v), v.outer(x)),
    "jvp of vmap": lambda L, x, v: face(L).jvp(face(L).vmap(lambda y: y.sin() * y.sum()), (x.outer(v),), (v.outer(x),)),
    "jvp of vmap of grad": lambda L, x, v: face(L).jvp(face(L).vmap(face(L).grad(lambda y: y.sin().prod())), (x.outer(v),), (v.outer(x),)),
    "grad of vmap of jvp": lambda L, x, v: face(L).grad(lambda x: face(L).vmap(
        lambda x, t: face(L).jvp(lambda y: y.sin() * y.sum(), (x,), (t,))[1])(x.outer(v), v.outer(x)).sum())(x),
    "vmap of hessian": lambda L, x, v: face(L).vmap(face(L).hessian(lambda y: y.sin().prod()))(x.outer(v)),
    "vmap of vmap of grad": lambda L, x, v: face(L).vmap(face(L).vmap(face(L).grad(lambda a, b: (a * b).sin().sum()), (None, 0)), (0, None))(
        x.outer(v), v.outer(x)),
    "vmap of vmap of jvp": lambda L, x, v: face(L).vmap(face(L).vmap(lambda x, t: face(L).jvp(wavy, (x,), (t,))[1]))(*cubes(L)),
    "vmap of jvp of vmap": lambda L, x, v: face(L).vmap(lambda x, t: face(L).jvp(face(L).vmap(wavy), (x,), (t,))[1])(*cubes(L)),
    "vmap of jvp of vmap of jvp": lambda L, x, v: face(L).vmap(lambda x, t: face(L).jvp(
        face(L).vmap(lambda y: face(L).jvp(wavy, (y,), (y * 2,))[1]), (x,), (t,))[1])(*cubes(L)),
    "vmap of jvp that closes over the batch": lambda L, x, v: face(L).vmap(
        lambda w: face(L).jvp(lambda x: (x * w).sin() * w.sum(), (x,), (v,))[1])(v.outer(x)),
    "vmap of jacfwd that closes over the batch": lambda L, x, v: face(L).vmap(
        lambda w: face(L).jacfwd(lambda x: (x * w).sin() * w.sum())(x))(v.outer(x)),
    "vmap of jacfwd of jacfwd": lambda L, x, v: face(L).vmap(face(L).jacfwd(face(L).jacfwd(lambda x: x.prod() * x)))(x.outer(v)),
    "vmap of grad of jvp": lambda L, x, v: face(L).vmap(face(L).grad(lambda x: face(L).jvp(wavy, (x,), (x * 2,))[1].sum()))(x.outer(v)),
    "vmap along the second dimension of jvp": lambda L, x, v: face(L).vmap(
        lambda x, t: face(L).jvp(wavy, (x,), (t,))[1], in_dims=(1, 1), out_dims=1)(x.outer(v), v.outer(x)),
    "vmap of jvp that writes": lambda L, x, v: face(L).vmap(lambda x, t: face(L).jvp(
        lambda x: x.clone().mul_(x * 1).add_(1)[1:], (x,), (t,))[1])(x.outer(v), v.outer(x)),
    "vmap of jvp of a fused layer": lambda L, x, v: face(L).vmap(lambda x, t: face(L).jvp(
        lambda x: L.nn.functional.layer_norm(x, (2,), eps=0.1), (x,), (t,))[1])(x.outer(v), v.outer(x)),
    "hessian of a fused loss": lambda L, x, v: face(L).hessian(
        lambda x: L.nn.functional.cross_entropy(x.outer(v), L.tensor([0, 1])))(x),
    "vmap of vjp": lambda L, x, v: face(L).vmap(face(L).vjp(lambda y: y.outer(y).sin(), x)[1])(L.eye(4).reshape(4, 2, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name):
    assert_both(torch, CASES[name], X, V)


# ---- modules as functions -----------------------------------------------------------------------------------------------------


def network(L):
    net = L.nn.Sequential(L.nn.Linear(3, 4), L.nn.Tanh(), L.nn.Linear(4, 2))
    return net, dict(net.named_parameters())


def tied(L):
    class Tied(L.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = L.nn.Parameter(L.ones(1))
            self.b = self.a
            self.register_buffer("buf", L.zeros(1))

        def forward(self, x):
            return self.a + 10 * self.b + 100 * self.buf + x

    return Tied()


def after_call_of_batch_norm(L, x):
    net = L.nn.BatchNorm1d(3)
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    y = face(L).functional_call(net, buffers, x)
    return y, buffers, dict(net.named_buffers())


CALLS = {
    "as it is": lambda L, f, x: f(network(L)[0], network(L)[1], x),
    "in two dictionaries": lambda L, f, x: f(L.nn.Linear(3, 1), ({"weight": L.ones(1, 3)}, {"bias": L.zeros(1)}), (x,)),
    "a name twice": lambda L, f, x: f(L.nn.Linear(3, 1), ({"weight": L.ones(1, 3)}, {"weight": L.ones(1, 3)}), (x,)),
    "an unknown name": lambda L, f, x: f(L.nn.Linear(3, 1), {"foo": x}, (x,)).shape,
    "an unknown name, strictly": lambda L, f, x: f(L.nn.Linear(3, 1), {"weight": L.ones(1, 3), "bias": x, "foo": x}, (x,), strict=True),
    "a missing name, strictly": lambda L, f, x: f(L.nn.Linear(3, 1), {"weight": L.ones(1, 3)}, (x,), strict=True),
    "no tensor": lambda L, f, x: f(L.nn.Linear(3, 1), {"weight": 3}, (x,)),
    "no dictionary": lambda L, f, x: f(L.nn.Linear(3, 1), None, (x,)),
    "keywords": lambda L, f, x: f(L.nn.Linear(3, 1), {"weight": L.ones(1, 3), "bias": L.zeros(1)}, kwargs={"input": x}),
    "tied": lambda L, f, x: f(tied(L), {"a": L.tensor([2.0])}, x),
    "not tied": lambda L, f, x: f(tied(L), {"a": L.tensor([2.0])}, x, tie_weights=False),
    "tied to two values": lambda L, f, x: f(tied(L), {"a": L.tensor([2.0]), "b": L.tensor([3.0])}, x),
    "two values": lambda L, f, x: f(tied(L), {"a": L.tensor([2.0]), "b": L.tensor([3.0])}, x, tie_weights=False),
    "a buffer": lambda L, f, x: f(tied(L), {"buf": L.tensor([2.0])}, x),
    "tied, strictly": lambda L, f, x: f(tied(L), {"a": L.tensor([2.0]), "buf": L.tensor([2.0])}, x, strict=True),
    "buffers written": lambda L, f, x: after_call_of_batch_norm(L, x),
    "grad": lambda L, f, x: face(L).grad(lambda p: f(network(L)[0], p, x).square().sum())(
        {name: p.detach() for name, p in network(L)[1].items()}),
}


@pytest.mark.parametrize("name", CALLS)
def test_functional_call(name):
    assert_both(torch, lambda L, x: CALLS[name](L, face(L).functional_call, x), A)


def test_functional_call_puts_the_parameters_back_even_after_an_error():
    def run(L, x):
        net = L.nn.Linear(3, 1)
        with pytest.raises(RuntimeError):
            face(L).functional_call(net, {"weight": L.ones(5, 5)}, x)
        return net.weight

    assert_both(torch, run, A)


def test_stateless_functional_call_is_the_same_with_a_warning():
    def run(L, x):
        stateless = importlib.import_module(f"{L.__name__}.nn.utils.stateless")
        with pytest.warns(FutureWarning, match="deprecated"):
            return stateless.functional_call(L.nn.Linear(3, 1), {"weight": L.ones(1, 3), "bias": L.zeros(1)}, x)

    assert_both(torch, run, A)


@pytest.mark.parametrize("models", [
    lambda L: [L.nn.BatchNorm1d(2), L.nn.BatchNorm1d(2)], lambda L: [], lambda L: [L.nn.Linear(1, 1), L.nn.ReLU()],
    lambda L: [L.nn.Linear(1, 1), L.nn.Linear(1, 1).eval()], lambda L: [L.nn.Linear(1, 1), L.nn.Linear(2, 1)],
    lambda L: [L.nn.Linear(2, 1), L.nn.Linear(2, 1)]])
def test_stack_module_state(models):
    assert_both(torch, lambda L: face(L).stack_module_state(models(L)))


def test_replace_all_batch_norm_modules_takes_the_running_statistics():
    def run(L):
        net = face(L).replace_all_batch_norm_modules_(L.nn.Sequential(L.nn.Linear(3, 3), L.nn.BatchNorm1d(3)))
        return net.state_dict(), net(L.ones(4, 3))

    assert_both(torch, run)


# ---- the programs of torch's tutorials ----------------------------------------------------------------------------------------


def images(L, n=6):
    return L.randn(n, 1, 8, 8), L.randint(0, 3, (n,))


def small_cnn(L):
    return L.nn.Sequential(L.nn.Conv2d(1, 4, 3), L.nn.ReLU(), L.nn.MaxPool2d(2), L.nn.Flatten(), L.nn.Linear(36, 3))


def per_sample_gradients(L):
    F = face(L)
    net = small_cnn(L)
    params = {k: v.detach() for k, v in net.named_parameters()}
    buffers = {k: v.detach() for k, v in net.named_buffers()}
    x, y = images(L)

    def loss(params, buffers, sample, target):
        prediction = F.functional_call(net, (params, buffers), (sample.unsqueeze(0),))
        return L.nn.functional.cross_entropy(prediction, target.unsqueeze(0))

    found = F.vmap(F.grad(loss), in_dims=(None, None, 0, 0))(params, buffers, x, y)
    for i in range(len(x)):
        one = F.grad(loss)(params, buffers, x[i], y[i])
        for name in one:
            np.testing.assert_allclose(found[name][i].numpy(), one[name].numpy(), 1e-4, 1e-5)
    return found


def jacobians_and_hessians(L):
    F = face(L)
    weight, bias, x = L.randn(4, 5), L.randn(4), L.randn(5)
    batch = L.randn(3, 5)

    def predict(weight, bias, x):
        return L.nn.functional.linear(x, weight, bias).tanh()

    _, pull_back = F.vjp(lambda x: predict(weight, bias, x), x)
    by_hand, = F.vmap(pull_back)(L.eye(4))

    def hvp(f, primals, tangents):
        return F.jvp(F.grad(f), primals, tangents)[1]

    def hvp_in_reverse(f, primals, tangents):
        _, pull = F.vjp(F.grad(f), *primals)
        return pull(*tangents)[0]

    def f(x):
        return x.sin().sum() ** 2

    return (by_hand, F.jacrev(predict, argnums=2)(weight, bias, x), F.jacfwd(predict, argnums=2)(weight, bias, x),
            F.jacrev(predict, argnums=(0, 1))(weight, bias, x), F.hessian(predict, argnums=2)(weight, bias, x),
            F.vmap(F.jacrev(predict, argnums=2), in_dims=(None, None, 0))(weight, bias, batch),
            F.vmap(F.hessian(predict, argnums=2), in_dims=(None, None, 0))(weight, bias, batch),
            hvp(f, (x,), (bias.new_ones(5),)), hvp_in_reverse(f, (x,), (bias.new_ones(5),)),
            F.jacrev(lambda x: predict(weight, bias, x).sum(0))(batch))


def ensembling(L):
    F = face(L)
    models = [L.nn.Sequential(L.nn.Linear(6, 5), L.nn.ReLU(), L.nn.Linear(5, 3)) for _ in range(4)]
    params, buffers = F.stack_module_state(models)
    base = models[0]

    def call(params, buffers, x):
        return F.functional_call(base, (params, buffers), (x,))

    x = L.randn(4, 2, 6)
    different = F.vmap(call)(params, buffers, x)
    shared = F.vmap(call, in_dims=(0, 0, None))(params, buffers, x[0])
    shared.square().mean().backward()
    return different, shared, {name: p.grad for name, p in params.items()}


def neural_tangent_kernel(L):
    F = face(L)
    net = small_cnn(L)
    params = {k: v.detach() for k, v in net.named_parameters()}
    a, b = L.randn(3, 1, 8, 8), L.randn(2, 1, 8, 8)

    def call(params, x):
        return F.functional_call(net, params, (x.unsqueeze(0),)).squeeze(0)

    def by_jacobians():
        one, two = (F.vmap(F.jacrev(call), (None, 0))(params, x) for x in (a, b))
        one, two = ([j.flatten(2) for j in jac.values()] for jac in (one, two))
        return L.stack([L.einsum("Naf,Mbf->NMab", j, k) for j, k in zip(one, two, strict=True)]).sum(0)

    def by_products():
        def get(x1, x2):
            def of(p, x):
                return call(p, x)

            output, pull = F.vjp(lambda p: of(p, x1), params)

            def slice_of(vector):
                return F.jvp(lambda p: of(p, x2), (params,), pull(vector))[1]

            return F.vmap(slice_of)(L.eye(output.numel()))

        return F.vmap(F.vmap(get, (None, 0)), (0, None))(a, b)

    one, two = by_jacobians(), by_products()
    np.testing.assert_allclose(one.numpy(), two.transpose(-1, -2).numpy(), 1e-3, 1e-4)
    return one, two


def maml(L):
    F = face(L)
    net = L.nn.Sequential(L.nn.Linear(1, 8), L.nn.ReLU(), L.nn.Linear(8, 1))
    params = dict(net.named_parameters())
    amplitude, phase = L.rand(5) * 4.9 + 0.1, L.rand(5) * 3.14
    x = L.rand(5, 10, 1) * 10 - 5
    y = amplitude[:, None, None] * (x - phase[:, None, None]).sin()
    optimizer = L.optim.Adam(net.parameters(), lr=1e-2)

    def loss_of(params, x, y):
        return L.nn.functional.mse_loss(F.functional_call(net, params, (x,)), y)

    def after_one_step(x, y):
        slopes = F.grad(loss_of)(params, x[:5], y[:5])
        adapted = {name: p - 0.1 * slopes[name] for name, p in params.items()}
        return loss_of(adapted, x[5:], y[5:])

    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.vmap(after_one_step)(x, y).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses, {name: p.detach() for name, p in params.items()}


def lennard_jones(L):
    F = face(L)
    r = L.linspace(0.5, 2, 10).reshape(-1, 1)
    displacement = L.cat([r, L.zeros(10, 2)], 1)
    net = L.nn.Sequential(L.nn.Linear(1, 8), L.nn.Tanh(), L.nn.Linear(8, 8), L.nn.Tanh(), L.nn.Linear(8, 1))
    optimizer = L.optim.SGD(net.parameters(), lr=1e-4)

    def energy(r):
        return 0.5 * ((1 / r) ** 12 - (1 / r) ** 6)

    def force_of(energy_of, d):
        return -F.grad(lambda d: energy_of(d.norm(keepdim=True)).squeeze())(d)

    wanted = F.vmap(lambda d: force_of(energy, d))(displacement)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        params = dict(net.named_parameters())
        force = F.vmap(lambda d: force_of(lambda r: F.functional_call(net, params, (r,)), d))(displacement)  # noqa: B023
        loss = (0.01 * (force - wanted).square().mean())
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return wanted, losses


def lagrangian(L):
    F = face(L)

    def energy(q, speed):
        return 0.5 * (speed ** 2).sum() * (1 + q.cos().sum()) + q.cos().prod()

    def acceleration(q, speed):
        mass = F.hessian(energy, argnums=1)(q, speed)
        mixed = F.jacfwd(F.grad(energy, argnums=1))(q, speed)
        return L.linalg.solve(mass, F.grad(energy)(q, speed) - mixed @ speed)

    q, speed = L.tensor([0.3, -0.2]).double(), L.tensor([1.0, 0.5]).double()  # in float32 torch mixes dtypes here, and fails
    return acceleration(q, speed), F.vmap(acceleration)(L.stack([q, speed]), L.stack([speed, q]))


def divergence_of_a_field(L):
    F = face(L)
    net = L.nn.Sequential(L.nn.Linear(3, 8), L.nn.Softplus(), L.nn.Linear(8, 3))
    x = L.randn(5, 3)
    exact = F.vmap(lambda x: F.jacrev(net)(x).trace())(x)
    laplacian = F.vmap(lambda x: F.hessian(lambda y: net(y).sum())(x).trace())(x)
    return exact, laplacian


def forward_mode_through_a_module(L):
    fw = importlib.import_module(f"{L.__name__}.autograd.forward_ad")
    net = L.nn.Linear(5, 5)
    x = L.randn(16, 5)
    params = dict(net.named_parameters())
    tangents = {name: L.rand_like(p) for name, p in params.items()}
    with fw.dual_level():
        for name, p in params.items():
            delattr(net, name)
            setattr(net, name, fw.make_dual(p, tangents[name]))
        by_attributes = fw.unpack_dual(net(x)).tangent
    other = L.nn.Linear(5, 5)
    with fw.dual_level():
        duals = {name: fw.make_dual(p, tangents[name]) for name, p in params.items()}
        by_call = fw.unpack_dual(face(L).functional_call(other, duals, x)).tangent
    found = by_attributes, by_call, face(L).jvp(lambda p: face(L).functional_call(other, p, (x,)), (params,), (tangents,))[1]
    return [t.detach() for t in found]  # here torch keeps a graph whose gradients are zero


def gauss_newton(L):
    F = face(L)
    x = L.linspace(-1, 1, 20)
    y = 2 * (1.5 * x).sin() + 0.3
    p = L.tensor([1.0, 1.0, 0.0])
    for _ in range(5):
        J, residual = F.jacfwd(lambda p: ((p[0] * (p[1] * x).sin() + p[2] - y),) * 2, has_aux=True)(p)
        p = p - L.linalg.solve(J.T @ J + 1e-3 * L.eye(3), J.T @ residual)
    return p


PROGRAMS = [per_sample_gradients, jacobians_and_hessians, ensembling, neural_tangent_kernel, maml, lennard_jones, lagrangian,
            divergence_of_a_field, forward_mode_through_a_module, gauss_newton]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_program_of_the_tutorials(program):
    assert_both(torch, program, tolerance=2e-4)
