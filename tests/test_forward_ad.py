"""Forward mode against reverse mode over the whole table of samples, without torch: <u, J t> is the same number either way."""

from __future__ import annotations

import gc
import importlib
import random
import threading
import weakref

import numpy as np
import pytest

import mytorch
import mytorch.autograd.forward_ad as fw
from mytorch.autograd import tangents
from tests.gradients import differentiable, tensors_of, weight_like
from tests.samples import rows
from tests.test_op_samples import SHAPES_ONLY, arguments, as_function, inplace_name, run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def random_like(x, seed):
    rng = np.random.default_rng(seed)
    data = rng.standard_normal(x.shape)
    if x.is_complex():
        data = data + 1j * rng.standard_normal(x.shape)
    return mytorch.from_numpy(np.asarray(data)).to(x.dtype)


def dot(pairs):
    """The real part of the sum of conj(a) * b: the inner product in which gradients are taken."""
    return sum(float(np.real(np.vdot(a._array, b._array))) for a, b in pairs if a is not None and b is not None)


def directions(args):
    places = [i for i, x in enumerate(args) if isinstance(x, mytorch.Tensor) and x.requires_grad]
    return places, {i: random_like(args[i], 50 + i) for i in places}


def pushed(function, args, ts):
    """The outputs that can be differentiated and their tangents."""
    duals = [fw.make_dual(x, ts[i]) if i in ts else x for i, x in enumerate(args)]
    return [fw.unpack_dual(y) for y in tensors_of(function(*duals)) if y.is_floating_point() or y.is_complex()]


def pulled(function, args, places):
    outputs = differentiable(function(*args))
    weights = [weight_like(y, seed) for seed, y in enumerate(outputs)]
    leaves = [args[i] for i in places]
    return outputs, weights, mytorch.autograd.grad(outputs, leaves, weights, allow_unused=True)


def refuses_second_derivative(sample):
    return not sample.twice


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.slopes))
def test_tangent_is_what_the_gradient_says(sample):
    function, args = as_function(sample)
    places, ts = directions(args)
    outputs, weights, gradients = pulled(function, args, places)
    try:
        with fw.dual_level():
            pairs = [(y, t) for y, t in pushed(function, args, ts) if y.requires_grad]
    except NotImplementedError:
        assert refuses_second_derivative(sample)
        return
    assert len(pairs) == len(outputs)
    for (y, t), expected in zip(pairs, outputs, strict=True):
        np.testing.assert_allclose(y._array, expected._array)
        assert t is None or (t.shape == y.shape and t.dtype is y.dtype)
    forward = dot([(w, t) for w, (_, t) in zip(weights, pairs, strict=True)])
    assert forward == pytest.approx(dot([(g, ts[i]) for g, i in zip(gradients, places, strict=True)]), 1e-7, 1e-7)


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.twice))
def test_forward_over_reverse_and_reverse_over_forward_are_the_second_derivative(sample):
    function, args = as_function(sample)
    places, ts = directions(args)
    others = {i: random_like(args[i], 90 + i) for i in places}
    _, weights, _ = pulled(function, args, places)

    def gradient(values):
        outputs = differentiable(function(*values))
        leaves = [values[i] for i in places]
        return mytorch.autograd.grad(outputs, leaves, weights, allow_unused=True, create_graph=True)

    first = gradient(args)
    kept = [(g, others[i]) for g, i in zip(first, places, strict=True) if g is not None and g.requires_grad]
    leaves = [args[i] for i in places]
    second = (mytorch.autograd.grad([g for g, _ in kept], leaves, [w for _, w in kept], allow_unused=True) if kept else [None] * len(leaves))
    expected = dot([(h, ts[i]) for h, i in zip(second, places, strict=True)])

    with fw.dual_level():
        duals = [fw.make_dual(x, ts[i]) if i in ts else x for i, x in enumerate(args)]
        found = [None if g is None else fw.unpack_dual(g).tangent for g in gradient(duals)]
    assert dot([(others[i], t) for t, i in zip(found, places, strict=True)]) == pytest.approx(expected, 1e-7, 1e-7)

    with fw.dual_level():
        pairs = [(y, t) for y, t in pushed(function, args, ts) if y.requires_grad]
    kept = [(t, w) for (_, t), w in zip(pairs, weights, strict=True) if t is not None and t.requires_grad]
    found = (mytorch.autograd.grad([t for t, _ in kept], leaves, [w for _, w in kept], allow_unused=True) if kept else [None] * len(leaves))
    assert dot([(g, others[i]) for g, i in zip(found, places, strict=True)]) == pytest.approx(expected, 1e-7, 1e-7)


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.twice and s.slopes))
def test_short_ways_agree_with_the_double_vjp(sample, monkeypatch):
    function, args = as_function(sample)
    _, ts = directions(args)
    with fw.dual_level():
        short = [t for _, t in pushed(function, args, ts)]
    for table in ("LINEAR", "PRODUCTS"):
        monkeypatch.setattr(tangents, table, {})
    for table in ("POINTWISE", "ALL_LINEAR"):
        monkeypatch.setattr(tangents, table, frozenset())
    with fw.dual_level():
        long = [t for _, t in pushed(function, args, ts)]
    for a, b in zip(short, long, strict=True):
        zero = 0 if a is None or b is None else None
        np.testing.assert_allclose(zero if a is None else a._array, zero if b is None else b._array, 1e-9, 1e-9)


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.slopes and not s.random and inplace_name(s) is not None and s.name not in SHAPES_ONLY))
def test_in_place_variant_writes_the_tangent_too(sample):
    function, args = as_function(sample)
    _, ts = directions(args)
    like = run(sample)
    if any(isinstance(a, (list, tuple)) for a in arguments(sample)[0]) or like.shape != args[0].shape or like.dtype is not args[0].dtype:
        return
    _, kwargs = arguments(sample)
    with fw.dual_level():
        duals = [fw.make_dual(x.detach(), ts[i]) if i in ts else x for i, x in enumerate(args)]
        expected = fw.unpack_dual(function(*duals)).tangent
    with fw.dual_level():
        duals = [fw.make_dual(x.detach(), ts[i].clone()) if i in ts else x for i, x in enumerate(args)]
        base = mytorch.stack([duals[0], duals[0]])
        part, whole = base[0], base[1].reshape(-1)
        getattr(part, inplace_name(sample))(*duals[1:], **kwargs)
        found, other = fw.unpack_dual(base).tangent, fw.unpack_dual(whole).tangent
    zero = np.zeros(tuple(like.shape))
    np.testing.assert_allclose(zero if found is None else found[0]._array, zero if expected is None else expected._array, 1e-9, 1e-9)
    np.testing.assert_allclose(zero.ravel() if other is None else other._array, ts[0]._array.ravel() if 0 in ts else zero.ravel())


# ---- long random programs of views and writes ---------------------------------------------------------------------------------

VIEWS = [lambda x: x.reshape(-1), lambda x: x.t() if x.dim() == 2 else x[1:], lambda x: x[..., 1:], lambda x: x[0] if x.dim() == 2 else x[:2],
         lambda x: x.unsqueeze(0).squeeze(0), lambda x: x[..., ::2], lambda x: x.view(x.shape)]
FRESH = [lambda x, y: x.sin(), lambda x, y: x * y, lambda x, y: x + 0.5 * y, lambda x, y: x.tanh() * x, lambda x, y: x.clone(), lambda x, y: x - 1]
WRITES = [lambda x, y: x.mul_(0.5), lambda x, y: x.add_(y), lambda x, y: x.mul_(y), lambda x, y: x.copy_(y), lambda x, y: x.sin_(),
          lambda x, y: x.zero_(), lambda x, y: x[..., :1].add_(1.5), lambda x, y: x[..., 0].copy_(y[..., -1])]


def random_program(L, seed, *arrays, backward=False):
    """Views of, writes to and operations on dual tensors as the seed decides, in a library: values, tangents, and the gradient of these.

    Args:
        backward: instead, the gradient of the values, taken inside the level, and its tangent.
    """
    rng = random.Random(seed)
    forward_ad = importlib.import_module(f"{L.__name__}.autograd.forward_ad")
    with forward_ad.dual_level():
        a, b, c, d = arrays
        if seed % 2 or backward:
            a.requires_grad_()
        pool = [forward_ad.make_dual(a, b.clone()) * 1, b.clone(), c.clone(), forward_ad.make_dual(d, b[0].clone()).clone()]
        for _ in range(14):
            kind = rng.choice(("view", "fresh", "write", "write"))
            x = rng.choice(pool)
            alike = [y for y in pool if y.shape == x.shape]
            y = rng.choice(alike)
            step = rng.randrange(100)
            if kind == "view":
                pool.append(VIEWS[step % len(VIEWS)](x))
            elif kind == "fresh":
                pool.append(FRESH[step % len(FRESH)](x, y))
            elif x.numel() > 1:
                shared = step % 3 == 0 and y is not x  # of x.mul_(x) torch's tangent is wrong
                WRITES[step % len(WRITES)](x, y if shared else y.clone())
        found = [forward_ad.unpack_dual(x) for x in pool]
        if backward:
            loss = sum((y * y if k % 2 else y.sin()).sum() for k, y in enumerate(pool) if y.requires_grad)
            g = L.autograd.grad(loss, a, allow_unused=True)[0] if isinstance(loss, L.Tensor) else None
            return [L.zeros_like(a) if t is None else t.detach() for t in ((None, None) if g is None else forward_ad.unpack_dual(g))]
    ts = [t for _, t in found if t is not None]
    through = [t.sum() for t in ts if t.requires_grad]
    g = L.autograd.grad(sum(through), a, allow_unused=True)[0] if through else None
    return [[y.detach() for y, _ in found], [L.zeros_like(y) if t is None else t.detach() for y, t in found],
            L.zeros_like(a) if g is None else g]


@pytest.mark.parametrize("seed", range(80))
def test_random_program_of_views_and_writes_has_the_tangents_and_gradients_that_slopes_measure(seed):
    a, b, c = np.random.default_rng(seed).standard_normal((3, 3, 4))
    other, step = np.random.default_rng(seed + 1000).standard_normal((3, 4)), 1e-6

    def run(a, d):
        return random_program(mytorch, seed, *[mytorch.tensor(np.array(x)) for x in (a, b, c, d)])

    try:
        _, found, g = run(a, c[0])
    except RuntimeError as error:  # the program writes to what the gradient of a tangent needs
        if "modified by an inplace operation" not in str(error) or seed % 2 == 0:
            raise
        return
    above, below = run(a + step * b, c[0] + step * b[0])[0], run(a - step * b, c[0] - step * b[0])[0]
    for t, y, z in zip(found, above, below, strict=True):
        np.testing.assert_allclose(t._array, (y - z)._array / (2 * step), 1e-5, 1e-5)
    if seed % 2:
        above, below = run(a + step * other, c[0])[1], run(a - step * other, c[0])[1]
        slope = sum(float((t - s).sum()) for t, s in zip(above, below, strict=True)) / (2 * step)
        assert float((g * mytorch.tensor(other)).sum()) == pytest.approx(slope, 1e-5, 1e-5)


@pytest.mark.parametrize("seed", range(80))
def test_gradient_through_a_random_program_has_the_tangent_that_slopes_measure(seed):
    a, b, c = np.random.default_rng(seed).standard_normal((3, 3, 4))

    def run(step):
        arrays = a + step * b, b, c, c[0] + step * b[0]
        return random_program(mytorch, seed, *[mytorch.tensor(np.array(x)) for x in arrays], backward=True)

    try:
        _, tangent = run(0.0)
    except RuntimeError as error:  # the program writes to what its gradient needs
        if "modified by an inplace operation" not in str(error):
            raise
        return
    slope = (run(1e-6)[0] - run(-1e-6)[0])._array / 2e-6
    np.testing.assert_allclose(tangent._array, slope, 1e-4, 1e-4)


# ---- levels -------------------------------------------------------------------------------------------------------------------


def test_level_is_left_after_an_error():
    with pytest.raises(ZeroDivisionError), fw.dual_level():
        raise ZeroDivisionError
    assert fw.enter_dual_level() == 0
    fw.exit_dual_level()
    assert mytorch.engine_state.state.mode is None


def test_tangents_end_with_their_level():
    x = mytorch.ones(2)
    with fw.dual_level():
        y = fw.make_dual(x, mytorch.ones(2)) * 3
    with fw.dual_level():
        assert fw.unpack_dual(y).tangent is None
        z = fw.make_dual(y, mytorch.full((2,), 5.0)) * 2
        assert fw.unpack_dual(z).tangent.tolist() == [10.0, 10.0]
    assert fw.unpack_dual(z).tangent is None


def test_each_thread_has_levels_of_its_own():
    found = []

    def work():
        found.append(fw.unpack_dual(x * 2).tangent)
        with fw.dual_level():
            found.append(fw.unpack_dual(fw.make_dual(mytorch.ones(1), mytorch.ones(1)) * 2).tangent.item())

    with fw.dual_level():
        x = fw.make_dual(mytorch.ones(1), mytorch.ones(1))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert fw.unpack_dual(x * 2).tangent.item() == 2
    assert found == [None, 2.0]


def test_levels_leave_no_cycles():
    def run():
        x = mytorch.ones(3, requires_grad=True)
        with fw.dual_level():
            y = (fw.make_dual(x, mytorch.ones(3)).sin() * 2).reshape(3, 1)
            fw.unpack_dual(y)
        return weakref.ref(y)

    gc.collect()
    gc.disable()
    try:
        assert run()() is None
    finally:
        gc.enable()


def test_dual_of_a_level_that_is_used_as_a_decorator():
    @fw.dual_level()
    def slope(x):
        return fw.unpack_dual((fw.make_dual(x, mytorch.ones_like(x)) ** 2).sum()).tangent

    assert slope(mytorch.tensor([1.0, 2.0])).item() == 6


def test_tangent_is_laid_out_as_the_tensor_so_that_views_write_to_it():
    x = mytorch.arange(6.0).reshape(2, 3).t().contiguous().t()
    with fw.dual_level():
        d = fw.make_dual(x, mytorch.ones(2, 3)) * 1
        d.t().reshape(-1)[1] = 7.0
        assert fw.unpack_dual(d).tangent.tolist() == [[1, 1, 1], [0, 1, 1]]


def test_function_of_the_user_tells_its_tangent_at_every_level():
    class Cube(mytorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x
            y = x ** 3
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, _ = ctx.saved_tensors
            return 3 * x ** 2 * g

        @staticmethod
        def jvp(ctx, t):
            return 3 * ctx.x ** 2 * t

    one = mytorch.tensor(1.0)

    def slope(x):
        return mytorch.func.jvp(Cube.apply, (x,), (one,))[1]

    x = mytorch.tensor(2.0)
    assert slope(x).item() == 12
    assert mytorch.func.jvp(slope, (x,), (one,))[1].item() == 12
    assert mytorch.func.grad(slope)(x).item() == 12
    assert mytorch.func.jvp(mytorch.func.grad(Cube.apply), (x,), (one,))[1].item() == 12


def test_function_of_the_user_that_returns_too_few_tangents_is_refused():
    class Two(mytorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def jvp(ctx, t):
            return t * 2

    with fw.dual_level(), pytest.raises(RuntimeError, match="returned 1 tangents, forward returned 2 outputs"):
        Two.apply(fw.make_dual(mytorch.ones(1), mytorch.ones(1)))


@pytest.mark.parametrize("call", [lambda: fw.make_dual(3, mytorch.ones(1)), lambda: fw.make_dual(mytorch.ones(1), 3), lambda: fw.unpack_dual(3)])
def test_what_is_no_tensor_is_refused(call):
    with fw.dual_level(), pytest.raises(TypeError, match="must be Tensor, not int"):
        call()


def test_dual_tensor_shows_its_tangent():
    with fw.dual_level():
        d = fw.make_dual(mytorch.tensor([1.0, 2.0]), mytorch.tensor([1.0, 10.0]))
        assert str(d * 2) == "tensor([2., 4.], tangent=tensor([ 2., 20.]))"
        assert str(d.sum()) == "tensor(3., tangent=11.0)"
    assert str(d) == "tensor([1., 2.])"


@pytest.mark.parametrize("writes", [True, False])
def test_function_that_writes_in_place_writes_the_tangent_of_every_alias(writes):
    class Triple(mytorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(3)

        @staticmethod
        def jvp(ctx, t):
            return t.mul_(3) if writes else t * 3

    with fw.dual_level():
        d = fw.make_dual(mytorch.tensor([1.0, 2.0]), mytorch.tensor([1.0, 10.0])) * 1
        part = d[1:]
        Triple.apply(d)
        assert fw.unpack_dual(d).tangent.tolist() == [3.0, 30.0]
        assert fw.unpack_dual(part).tangent.tolist() == [30.0]


def test_gradient_in_a_level_is_shared_by_no_two_leaves():
    a, b = mytorch.ones(2, requires_grad=True), mytorch.ones(2, requires_grad=True)
    with fw.dual_level():
        (a + b).sum().backward()
        a.grad.zero_()
    assert b.grad.tolist() == [1.0, 1.0]


def test_write_without_a_graph_leaves_the_tangents_that_older_nodes_keep():
    x = mytorch.tensor([1.0, 2.0], requires_grad=True)
    with fw.dual_level():
        d = fw.make_dual(x, mytorch.tensor([1.0, 10.0]))
        y = d * d
        z = y.sin()
        with mytorch.no_grad():
            y.data.add_(0)
            y.mul_(mytorch.ones(2))
        g, = mytorch.autograd.grad((d * d * 3).sum(), x)
        assert fw.unpack_dual(g).tangent.tolist() == [6.0, 60.0]
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            mytorch.autograd.grad(z.sum(), x)


def test_strided_view_of_a_dual_with_gaps_has_the_right_tangent():
    x = mytorch.arange(24.0).reshape(4, 6)[:, ::2]
    t = mytorch.arange(12.0).reshape(4, 3)
    with fw.dual_level():
        d = fw.make_dual(x, t)
        y, tangent = fw.unpack_dual(d.as_strided((3, 2), (6, 2), 6))
    assert y.tolist() == [[6, 8], [12, 14], [18, 20]]
    assert tangent.tolist() == [[3, 4], [6, 7], [9, 10]]


def test_views_of_an_unpacked_tensor_have_no_tangent():
    with fw.dual_level():
        y = fw.make_dual(mytorch.ones(3), mytorch.ones(3)) * 2
        primal = fw.unpack_dual(y).primal
        assert fw.unpack_dual(primal[1:]).tangent is None
        assert all(fw.unpack_dual(part).tangent is None for part in primal.split(1))
        assert fw.unpack_dual(primal.reshape(3, 1) * 2).tangent is None
        assert fw.unpack_dual(y[1:]).tangent.tolist() == [2.0, 2.0]
