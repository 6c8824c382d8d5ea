"""vmap in torch and here: the same numbers, gradients, draws and refusals; and every operation of torch's own table under vmap."""

from __future__ import annotations

import itertools
import os
import warnings

import numpy as np
import pytest

import mytorch
from mytorch.func.pytree import flatten, unflatten
from tests.gradients import tensors_of

pytest.importorskip("torch")
pytest.importorskip("expecttest")

import torch

from tests.parity.op_db_runner import UNINITIALISED, counterpart, full_name, rows
from tests.parity.op_db_values import Unconvertible, to_mytorch

pytestmark = pytest.mark.filterwarnings("ignore")

FULL = bool(os.environ.get("MYTORCH_FULL"))


def arrays(value):
    """All tensors of a nested result, as arrays."""
    if isinstance(value, dict):
        value = list(value.values())
    return [a for part in value for a in arrays(part)] if isinstance(value, (tuple, list)) else [np.asarray(value.detach().numpy())]


class Data:
    """The same numbers for both libraries."""

    def __init__(self, lib):
        rng = np.random.default_rng(0)

        def make(*shape):
            return lib.from_numpy(rng.standard_normal(shape))

        self.x, self.t, self.image = make(5, 4), lib.tensor([0, 1, 2, 1, 0]), make(3, 1, 8, 8)
        self.mlp = {"w1": make(6, 4), "b1": make(6), "w2": make(3, 6), "b2": make(3)}
        self.cnn = (make(4, 1, 3, 3), make(4), make(2, 4 * 9))
        self.c, self.z, self.batch_of_vectors = make(5, 4), make(4), make(7, 5, 6)


def logits(lib, p, x):
    F = lib.nn.functional
    return F.linear(lib.tanh(F.linear(x, p["w1"], p["b1"])), p["w2"], p["b2"])


def mlp_loss(lib):
    return lambda p, x, t: lib.nn.functional.cross_entropy(logits(lib, p, x).unsqueeze(0), t.unsqueeze(0))


def cnn_loss(lib):
    F = lib.nn.functional

    def loss(p, x, t):
        h = F.max_pool2d(F.relu(F.conv2d(x.unsqueeze(0), p[0], p[1])), 2)
        return F.cross_entropy(F.linear(h.flatten(1), p[2]), t.unsqueeze(0))

    return loss


def squares(lib, d):
    return lambda v: (lib.tanh(d.mlp["w1"] @ v) ** 2).sum()


def vector(lib, d):
    return lambda v: lib.tanh(d.mlp["w1"] @ v) * v.sum()


def ensemble(d):
    return {name: p.expand(3, *p.shape) * d.z[:3].reshape(3, *[1] * p.dim()) for name, p in d.mlp.items()}


def batched_grad_outputs(lib, d):
    x = d.x.clone().requires_grad_()
    y = lib.tanh(lib.nn.functional.linear(x, d.mlp["w1"], d.mlp["b1"]))
    return lib.autograd.grad(y, x, d.batch_of_vectors, is_grads_batched=True)


PROGRAMS = {
    "per-sample gradients of an MLP": lambda lib, f, d: f.vmap(f.grad(mlp_loss(lib)), in_dims=(None, 0, 0))(d.mlp, d.x, d.t),
    "per-sample gradients of a CNN": lambda lib, f, d: f.vmap(f.grad(cnn_loss(lib)), in_dims=(None, 0, 0))(d.cnn, d.image, d.t[:3] % 2),
    "jacrev": lambda lib, f, d: f.jacrev(vector(lib, d))(d.x[0]),
    "jacfwd": lambda lib, f, d: f.jacfwd(vector(lib, d))(d.x[0]),
    "vmap of jacrev": lambda lib, f, d: f.vmap(f.jacrev(vector(lib, d)))(d.x),
    "vmap of jacfwd": lambda lib, f, d: f.vmap(f.jacfwd(vector(lib, d)))(d.x),
    "hessian": lambda lib, f, d: f.hessian(squares(lib, d))(d.x[0]),
    "vmap of hessian": lambda lib, f, d: f.vmap(f.hessian(squares(lib, d)))(d.x),
    "jacrev of jacrev": lambda lib, f, d: f.vmap(f.jacrev(f.jacrev(squares(lib, d))))(d.x),
    "jacfwd of jacfwd": lambda lib, f, d: f.vmap(f.jacfwd(f.jacfwd(squares(lib, d))))(d.x),
    "jacrev of jacfwd": lambda lib, f, d: f.vmap(f.jacrev(f.jacfwd(squares(lib, d))))(d.x),
    "gradient of what closes over an example": lambda lib, f, d: f.vmap(lambda c: f.grad(lambda z: (z * c).sin().sum())(d.z))(d.c),
    "the same, two levels": lambda lib, f, d: f.vmap(lambda a: f.vmap(lambda b: f.grad(lambda z: (z * a * b).sin().sum())(d.z))(d.c))(d.c),
    "gradient of vmap": lambda lib, f, d: f.grad(lambda w: f.vmap(lambda v: lib.tanh(w @ v).sum())(d.x).sum())(d.mlp["w1"]),
    "gradient of vmap of gradient": lambda lib, f, d: f.grad(
        lambda w: f.vmap(f.grad(lambda v: lib.tanh(w @ v).sum()))(d.x).pow(2).sum())(d.mlp["w1"]),
    "vmap of jvp": lambda lib, f, d: f.vmap(lambda v, t: f.jvp(vector(lib, d), (v,), (t,)))(d.x, d.c),
    "jvp of vmap": lambda lib, f, d: f.jvp(f.vmap(vector(lib, d)), (d.x,), (d.c,)),
    "vmap of jvp of gradient": lambda lib, f, d: f.vmap(
        lambda c: f.jvp(lambda x: f.grad(lambda z: (z * c * x).sin().sum())(x), (d.z,), (d.z * 2,)))(d.c),
    "ensemble": lambda lib, f, d: f.vmap(lambda p, x: logits(lib, p, x), in_dims=(0, None))(ensemble(d), d.x),
    "ensemble, two levels": lambda lib, f, d: f.vmap(lambda p: f.vmap(lambda v: logits(lib, p, v), out_dims=1)(d.x))(ensemble(d)),
    "gradients of an ensemble": lambda lib, f, d: f.vmap(f.grad(lambda p: logits(lib, p, d.x).pow(2).sum()))(ensemble(d)),
    "chunks": lambda lib, f, d: f.vmap(f.grad(squares(lib, d)), chunk_size=2)(d.x),
    "batched gradients": lambda lib, f, d: batched_grad_outputs(lib, d),
    "out_dims": lambda lib, f, d: f.vmap(lambda v: (v, {"a": v[0], "b": d.z}), out_dims=(-1, {"a": 0, "b": None}))(d.x),
    "negative in_dims": lambda lib, f, d: f.vmap(lambda v, w: v @ w, in_dims=(-1, 0))(d.x, d.mlp["w1"][:4, :1].expand(4, 5)[:, :5]),
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs_give_torchs_numbers(name):
    found, expected = (arrays(PROGRAMS[name](lib, lib.func, Data(lib))) for lib in (mytorch, torch))
    assert [a.shape for a in found] == [a.shape for a in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, 1e-9, 1e-11)


# ---- modules ------------------------------------------------------------------------------------------------------------------


def test_ensembles_of_modules():
    def outputs(lib):
        lib.manual_seed(0)
        models = [lib.nn.Sequential(lib.nn.Linear(4, 8), lib.nn.BatchNorm1d(8), lib.nn.Tanh(), lib.nn.Linear(8, 2)) for _ in range(3)]
        parameters, buffers = lib.func.stack_module_state(models)
        x = lib.arange(20.0).reshape(5, 4) / 20

        def call(p, b, x):
            return lib.func.functional_call(models[0], (p, b), (x,))

        trained = lib.vmap(call, in_dims=(0, 0, None))(parameters, buffers, x)
        for m in models:
            m.eval()
        return arrays([trained, lib.vmap(call, in_dims=(0, 0, None))(parameters, buffers, x), *[b.to(lib.float32) for b in buffers.values()]])

    for a, b in zip(outputs(mytorch), outputs(torch), strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)


# ---- draws --------------------------------------------------------------------------------------------------------------------

DRAWS = {
    "rand": lambda lib, v: v + lib.rand(4),
    "randn": lambda lib, v: v + lib.randn(4),
    "randn_like": lambda lib, v: lib.randn_like(v),
    "randint": lambda lib, v: v + lib.randint(0, 9, (4,)),
    "dropout": lambda lib, v: lib.nn.functional.dropout(v + 1),
    "uniform_": lambda lib, v: v.clone().uniform_(),
    "bernoulli": lambda lib, v: lib.bernoulli(v.sigmoid()),
    "randperm": lambda lib, v: v + lib.randperm(4),
}


@pytest.mark.parametrize("randomness", ["same", "different"])
@pytest.mark.parametrize("name", list(DRAWS))
def test_draws_are_torchs(name, randomness):
    if (name, randomness) == ("bernoulli", "same"):
        pytest.skip("torch refuses the same draws for probabilities that differ")
    found = []
    for lib in (mytorch, torch):
        lib.manual_seed(3)
        found.append(lib.vmap(lambda v, lib=lib: DRAWS[name](lib, v), randomness=randomness)(lib.zeros(8, 4)).numpy())
    np.testing.assert_allclose(*found, 1e-5, 1e-6)


# ---- refusals -----------------------------------------------------------------------------------------------------------------

REFUSALS = {
    "item": lambda lib, x: lib.vmap(lambda v: v[0].item())(x),
    "bool": lambda lib, x: lib.vmap(lambda v: v if v[0] > 0 else -v)(x),
    "float": lambda lib, x: lib.vmap(lambda v: float(v.sum()))(x),
    "nonzero": lambda lib, x: lib.vmap(lambda v: v.nonzero())(x),
    "mask": lambda lib, x: lib.vmap(lambda v: v[v > 0])(x),
    "unique": lambda lib, x: lib.vmap(lib.unique)(x),
    "copy_": lambda lib, x: lib.vmap(lambda v: lib.zeros(4).copy_(v))(x),
    "setitem": lambda lib, x: lib.vmap(lambda v: lib.zeros(4).__setitem__(0, v[0]))(x),
    "draw": lambda lib, x: lib.vmap(lambda v: v + lib.rand(4))(x),
    "draw in place": lambda lib, x: lib.vmap(lambda v: lib.zeros(4).uniform_() + v, randomness="different")(x),
    "randomness": lambda lib, x: lib.vmap(lambda v: v, randomness="none")(x),
    "sizes": lambda lib, x: lib.vmap(lambda a, b: a)(x, x[:2]),
    "in_dim": lambda lib, x: lib.vmap(lambda a: a, in_dims=3)(x),
    "in_dim of 0-d": lambda lib, x: lib.vmap(lambda a: a)(x[0, 0]),
    "in_dims of another kind": lambda lib, x: lib.vmap(lambda a: a, in_dims="a")(x),
    "in_dims of another structure": lambda lib, x: lib.vmap(lambda a: a, in_dims=(0, 0))(x),
    "in_dim no int": lambda lib, x: lib.vmap(lambda a: a, in_dims=(0.5,))(x),
    "no tensor": lambda lib, x: lib.vmap(lambda a: a)(1.0),
    "nothing mapped": lambda lib, x: lib.vmap(lambda a: a, in_dims=(None,))(x),
    "no arguments": lambda lib, x: lib.vmap(lambda: 1)(),
    "returns None": lambda lib, x: lib.vmap(lambda a: None)(x),
    "returns a number": lambda lib, x: lib.vmap(lambda a: 1.0)(x),
    "out_dims of another structure": lambda lib, x: lib.vmap(lambda a: (a, a), out_dims=(0, 1, 2))(x),
    "out_dims of another kind": lambda lib, x: lib.vmap(lambda a: a, out_dims="a")(x),
    "out_dim None": lambda lib, x: lib.vmap(lambda a: a, out_dims=None)(x),
    "out_dim too far": lambda lib, x: lib.vmap(lambda a: a, out_dims=4)(x),
    "chunk_size": lambda lib, x: lib.vmap(lambda a: a, chunk_size=0)(x),
    "backward": lambda lib, x: lib.vmap(lambda a: a.sum().backward())(x.clone().requires_grad_()),
    "data": lambda lib, x: lib.vmap(lambda a: a.data)(x),
    "one_hot": lambda lib, x: lib.vmap(lambda a: lib.nn.functional.one_hot(a))(x.long().abs()),
    "batch norm": lambda lib, x: lib.vmap(lambda a: lib.nn.functional.batch_norm(a.reshape(2, 2), lib.zeros(2), lib.ones(2), training=True))(x),
    "batched gradients": lambda lib, x: lib.autograd.grad(*(lambda a: (a * 2, a))(x.clone().requires_grad_()), x[0], is_grads_batched=True),
}
SAID = 50  # so many characters of the message are torch's


@pytest.mark.parametrize("name", list(REFUSALS))
def test_refusals_are_torchs(name):
    errors = []
    for lib in (mytorch, torch):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what is compared
            REFUSALS[name](lib, lib.arange(12.0).reshape(3, 4) - 5)
        errors.append((caught.type, str(caught.value)[:SAID]))
    assert errors[0] == errors[1]


# ---- torch's table of operations ----------------------------------------------------------------------------------------------

VALUES_DECIDE = "vmap: "  # how every refusal begins whose reason is that examples may differ
OF_MEMORY = {"as_strided", "as_strided_copy", "as_strided_scatter", "view", "view_as", "resize_", "resize_as_"}


@pytest.mark.parametrize("op", rows(), ids=full_name)
def test_every_operation_under_vmap_is_the_loop(op):
    function = counterpart(op)
    if function is None or op.name in UNINITIALISED | OF_MEMORY or torch.float64 not in op.supported_dtypes("cpu"):
        pytest.skip("nothing to compare")
    for sample in itertools.islice(op.sample_inputs("cpu", torch.float64, requires_grad=False), None if FULL else 3):
        try:
            leaves, spec = flatten((to_mytorch((sample.input, *sample.args)), to_mytorch(sample.kwargs)))
        except Unconvertible:
            continue
        for chosen in ([slice(None)], [slice(0, 1)])[:2 if FULL else 1]:
            _compare(function, leaves, spec, [i for i, x in enumerate(leaves) if isinstance(x, mytorch.Tensor)][chosen[0]])


def _compare(function, leaves, spec, places):
    """vmap over copies of a sample that differ in size, or order, against the loop over them."""
    def call(*values):
        args, kwargs = unflatten(spec, [x.clone() if isinstance(x, mytorch.Tensor) else x for x in values])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tuple(tensors_of(function(*args, **kwargs)))

    def variant(x, k):
        return x * (1 - 0.1 * k) if x.is_floating_point() else mytorch.roll(x, k, -1) if x.dim() and x.numel() else x.clone()

    copies = {i: [variant(leaves[i].detach(), k) for k in range(3)] for i in places}
    expected = []
    try:
        for k in range(3):
            mytorch.manual_seed(0)
            expected.append(call(*[copies[i][k] if i in copies else x for i, x in enumerate(leaves)]))
    except (RuntimeError, IndexError, ValueError):  # the copies are not what the operation takes
        return
    if not places or not expected[0]:
        return
    mytorch.manual_seed(0)
    batch = [mytorch.stack(copies[i]) if i in copies else x for i, x in enumerate(leaves)]
    try:
        found = mytorch.vmap(call, in_dims=tuple(0 if i in copies else None for i in range(len(leaves))), randomness="same")(*batch)
    except RuntimeError as error:
        if not str(error).startswith((VALUES_DECIDE, "Batch norm got a batched tensor")):
            raise
        return
    for y, column in zip(found, zip(*expected, strict=True), strict=True):
        wanted = mytorch.stack(list(column))
        assert (y.dtype, y.shape) == (wanted.dtype, wanted.shape)
        if y.dtype != mytorch.bfloat16:
            np.testing.assert_allclose(y.detach().numpy(), wanted.detach().numpy(), 1e-6, 1e-7)
