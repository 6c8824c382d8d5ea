"""Forward mode against torch: dual tensors through operations, views, writes in place, and the user's own Functions."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import mytorch
from tests.gradients import tensors_of
from tests.parity.functions import assert_both, outcome
from tests.samples import Maker, rows
from tests.test_forward_ad import random_program

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

X = np.array([1.0, 2.0], np.float32)
V = np.array([1.0, 10.0], np.float32)


def face(lib):
    return importlib.import_module(f"{lib.__name__}.autograd.forward_ad")


def dual(lib, x, v):
    return face(lib).make_dual(x.clone(), v.clone())


def unpacked(lib, *tensors):
    return [tuple(face(lib).unpack_dual(t)) for t in tensors]


def square_function(lib, with_jvp):
    class Square(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(x)
            ctx.save_for_forward(x)
            ctx.x, ctx.factor = x, factor
            return x * x * factor, x + 1

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 * ctx.saved_tensors[0] * ctx.factor + h, None

    class SquareForward(Square):
        @staticmethod
        def jvp(ctx, t, _):
            return 2 * ctx.x * t * ctx.factor, t

    return SquareForward if with_jvp else Square


def write_to_part_of_a_constant(L, x, v):
    base = L.zeros(3)
    part, other = base[0], base[:2]
    part.copy_(dual(L, x, v)[1])
    return unpacked(L, base, part, other)


def write_through_two_views(L, x, v):
    d = dual(L, x, v).outer(L.ones(3))
    d.t()[1:].reshape(2, 2).mul_(L.tensor([[1.0, 2.0], [3.0, 4.0]]))
    d[0].add_(d[1].clone())
    return unpacked(L, d, d[:, 1], d.t())


def write_to_the_base(L, x, v):
    base = L.zeros(2, 2)
    row = base[1]
    base.add_(dual(L, x, v))
    row.mul_(3)
    return unpacked(L, base, row)


def in_backward(L, x, v):
    d = dual(L, x, v).requires_grad_()
    w = L.tensor([3.0, 4.0], requires_grad=True)
    g, h = L.autograd.grad((w * d ** 3).sum(), (d, w))
    return unpacked(L, g, h)


def grad_of_a_leaf(L, x, v):
    w = L.tensor([3.0, 4.0], requires_grad=True)
    (w * dual(L, x, v)).sin().sum().backward()
    return w.grad.detach().clone()  # here .grad has a tangent as well, which torch drops


def backward_through_a_tangent(L, x, v):
    x, v = x.requires_grad_(), v.requires_grad_()
    t = face(L).unpack_dual(face(L).make_dual(x, v).sin().prod()).tangent
    return L.autograd.grad(t, (x, v))


def second_backward_through_a_tangent(L, x, v):
    x = x.requires_grad_()
    t = face(L).unpack_dual(face(L).make_dual(x, v).sin().prod()).tangent
    g, = L.autograd.grad(t, x, create_graph=True)
    return L.autograd.grad(g.square().sum(), x)


def fused_layers(L, x, v):
    d = dual(L, (x.outer(v) / 10).double(), v.outer(x).double())
    layer_norm = L.nn.functional.layer_norm(d, (2,), L.tensor([0.5, 2.0]).double())
    loss = L.nn.functional.cross_entropy(d, L.tensor([0, 1]))
    batch_norm = L.nn.functional.batch_norm(d.exp(), None, None, training=True)
    gru = L.nn.GRU(2, 2, batch_first=True).double().requires_grad_(False)
    return unpacked(L, layer_norm, loss, batch_norm, gru(d.unsqueeze(0))[0])


CASES = {
    "views": lambda L, x, v: unpacked(L, *(lambda d: (d[1:], d.reshape(2, 1), d.unsqueeze(0).expand(3, 2), d.flip(0)))(dual(L, x, v))),
    "several outputs": lambda L, x, v: unpacked(L, *dual(L, x, v).split(1), *dual(L, x, v).sort(descending=True)),
    "integers have none": lambda L, x, v: unpacked(L, dual(L, x, v).argmax(), dual(L, x, v) > 1),
    "detach drops it": lambda L, x, v: unpacked(L, dual(L, x, v).detach(), dual(L, x, v).data),
    "no_grad keeps it": lambda L, x, v: unpacked(L, L.no_grad()(lambda: dual(L, x, v) * 2)()),
    "requires_grad": lambda L, x, v: [dual(L, x, v).requires_grad, (dual(L, x.requires_grad_(), v) * 2).requires_grad],
    "another dtype": lambda L, x, v: unpacked(L, dual(L, x, v).double() * 2, dual(L, x, v).half()),
    "complex": lambda L, x, v: unpacked(L, *(lambda d: (d.abs(), d.conj() * d, d.angle(), d.real, d ** 2, L.view_as_real(d)))(
        dual(L, x * (1 + 2j), v * (1 - 1j)))),
    "made twice": lambda L, x, v: face(L).make_dual(dual(L, x, v), v),
    "another shape": lambda L, x, v: face(L).make_dual(x, L.ones(3)),
    "integers": lambda L, x, v: face(L).make_dual(L.tensor([1]), L.tensor([1.0])),
    "integer tangent": lambda L, x, v: face(L).make_dual(x, L.tensor([1, 2])),
    "a second level": lambda L, x, v: face(L).enter_dual_level(),
    "unpack what is not dual": lambda L, x, v: unpacked(L, x),
    "out": lambda L, x, v: L.mul(dual(L, x, v), 2, out=L.empty(2)),
    "to NumPy": lambda L, x, v: [dual(L, x, v).numpy().tolist(), dual(L, x, v).tolist(), dual(L, x, v)[0].item()],
    "mul_": lambda L, x, v: unpacked(L, dual(L, x, v).mul_(3), dual(L, x, v).mul_(dual(L, x, v)), x.clone().mul_(dual(L, x, v))),
    "zero_": lambda L, x, v: unpacked(L, dual(L, x, v).zero_(), dual(L, x, v).copy_(L.ones(2)), dual(L, x, v).fill_(2.0)),
    "written item": lambda L, x, v: unpacked(L, *(lambda d: (d.__setitem__(0, d[1] * 2), d)[1:])(dual(L, x, v))),
    "drawn in place": lambda L, x, v: [face(L).unpack_dual(dual(L, x, v).normal_()).tangent],
    "squeezed in place": lambda L, x, v: unpacked(L, dual(L, x, v).unsqueeze_(0) * 2, dual(L, x.outer(v), v.outer(x)).t_().sin()),
    "the user's tangent is written": lambda L, x, v: (lambda t: (face(L).make_dual(x, t).mul_(3), t)[1])(v.clone()),
    "part of a constant": write_to_part_of_a_constant,
    "two views": write_through_two_views,
    "the base": write_to_the_base,
    "in backward": in_backward,
    ".grad": grad_of_a_leaf,
    "backward": backward_through_a_tangent,
    "second backward": second_backward_through_a_tangent,
    "fused layers": fused_layers,
    "Function": lambda L, x, v: unpacked(L, *square_function(L, True).apply(dual(L, x, v), 3.0)),
    "Function without jvp": lambda L, x, v: square_function(L, False).apply(dual(L, x, v), 3.0),
    "Function of no dual": lambda L, x, v: square_function(L, False).apply(x, 3.0),
    "leaf tangent written": lambda L, x, v: face(L).make_dual(x, v.requires_grad_()).mul_(3),
}


@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name):
    def run(L, x, v):
        with face(L).dual_level():
            return CASES[name](L, x, v)

    assert_both(torch, run, X, V)


@pytest.mark.parametrize("call", [
    lambda L, x, v: face(L).make_dual(x, v), lambda L, x, v: face(L).exit_dual_level(), lambda L, x, v: tuple(face(L).unpack_dual(x)),
    lambda L, x, v: [face(L).enter_dual_level(), face(L).exit_dual_level()],
    lambda L, x, v: [face(L).enter_dual_level(), (y := dual(L, x, v) * 2), face(L).exit_dual_level(), tuple(face(L).unpack_dual(y))],
])
def test_outside_of_a_level(call):
    assert_both(torch, call, X, V)


# ---- every operation ----------------------------------------------------------------------------------------------------------


# where finite differences side with us: torch's tangents of these are wrong, or None
TORCH_IS_WRONG = {"triangular_solve", "scatter_reduce"}


def pushed(lib, sample):
    """The differentiable outputs of a row and their tangents; None if the library refuses."""
    maker = Maker(lib, sample.name)
    args, kwargs = sample.args(maker), sample.keywords(maker)
    rng = np.random.default_rng(1)

    def made(x):
        if isinstance(x, (list, tuple)):
            return type(x)(map(made, x))
        if not isinstance(x, lib.Tensor) or not x.requires_grad:
            return x
        data = rng.standard_normal(tuple(x.shape)) + (1j * rng.standard_normal(tuple(x.shape)) if x.is_complex() else 0)
        return face(lib).make_dual(x.detach(), lib.tensor(np.asarray(data)).to(x.dtype))

    lib.manual_seed(0)
    with face(lib).dual_level():
        result = sample.call(lib, made(list(args)), kwargs)
        outputs = tensors_of(result) if lib is mytorch else [y for y in (result if isinstance(result, (list, tuple)) else [result])
                                                             if isinstance(y, torch.Tensor)]
        return [tuple(face(lib).unpack_dual(y)) for y in outputs if y.is_floating_point() or y.is_complex()]


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.torch and s.slopes and not s.random and s.name not in TORCH_IS_WRONG))
def test_tangent_of_every_operation(sample):
    try:
        expected = pushed(torch, sample)
    except (NotImplementedError, RuntimeError) as error:
        pytest.skip(f"torch: {str(error)[:60]}")
    found = pushed(mytorch, sample)
    assert len(found) == len(expected)
    for (y, t), (z, s) in zip(found, expected, strict=True):
        np.testing.assert_allclose(y.numpy(force=True), z.numpy(force=True), 1e-6, 1e-9)
        zero = np.zeros(tuple(y.shape))
        np.testing.assert_allclose(zero if t is None else t.numpy(force=True), zero if s is None else s.numpy(force=True), 1e-6, 1e-9)


# ---- long random programs of views and writes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(100))
def test_random_program_of_views_and_writes(seed):
    a, b, c = np.random.default_rng(seed).standard_normal((3, 3, 4))
    arrays = a, b, c, c[0]
    expected, message = outcome(torch, lambda L, *xs: random_program(L, seed, *xs), arrays)
    if isinstance(expected, type):  # torch writes into the memory of tangents that it needs again, and refuses the backward
        assert "in-place operation" in message or "inplace operation" in message
        assert seed % 2
        return
    assert_both(torch, lambda L, *xs: random_program(L, seed, *xs), *arrays, tolerance=1e-6)


@pytest.mark.parametrize("seed", [seed for seed in range(100) if seed != 15])  # there torch writes to a leaf of its own making, and refuses
def test_gradient_through_a_random_program(seed):
    a, b, c = np.random.default_rng(seed).standard_normal((3, 3, 4))
    assert_both(torch, lambda L, *xs: random_program(L, seed, *xs, backward=True), a, b, c, c[0], tolerance=1e-6)
