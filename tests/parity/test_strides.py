"""How tensors lie in memory, as far as users see it: strides, contiguity, memory formats, what is a view and what a copy."""
# ruff: noqa: B023 - functions made in a loop are called in the same turn of it

from __future__ import annotations

import random

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")

FORMATS = ["contiguous_format", "channels_last", "channels_last_3d", "preserve_format"]


def facts(x, strict=True):
    """What a tensor says of its memory. Unless strict, without what leads to no element: strides of sizes of 1, the offset of nothing."""
    steps = [s if strict or n != 1 else None for n, s in zip(x.shape, x.stride(), strict=True)]
    return {
        "shape": tuple(x.shape),
        "stride": steps if strict or x.numel() else None,
        "offset": x.storage_offset() if strict or x.numel() else None,
        "contiguous": x.is_contiguous(),
        "values": x.detach().tolist(),
    }


def outcome(function):
    """What a call returns, or the class of what it raises."""
    try:
        return function()
    except Exception as error:
        return type(error)


def assert_same(function, strict=True):
    """The same outcome from both libraries; tensors are compared by their facts."""
    ours, theirs = outcome(lambda: function(mytorch)), outcome(lambda: function(torch))
    assert isinstance(ours, mytorch.Tensor) == isinstance(theirs, torch.Tensor), (ours, theirs)
    if isinstance(theirs, torch.Tensor):
        assert facts(ours, strict) == facts(theirs, strict)
    else:
        assert ours == theirs


# ---- chains of views ----------------------------------------------------------------------------------------------------------


def random_view(rng, shape):
    """A view operation, as a function of a tensor of either library, that suits the shape."""
    ndim = len(shape)
    dim = rng.randrange(ndim) if ndim else 0
    choices = [lambda x: x.unsqueeze(dim), lambda x: x[None], lambda x: x.squeeze()]
    if ndim:
        order = rng.sample(range(ndim), ndim)
        start = rng.randrange(max(shape[dim], 1))
        length = rng.randrange(max(shape[dim] - start, 0) + 1)
        step = rng.choice([1, 1, 2, 3])
        other = rng.randrange(ndim)
        choices += [
            lambda x: x.permute(order),
            lambda x: x.permute(order),
            lambda x: x.transpose(dim, other),
            lambda x: x.narrow(dim, start, length),
            lambda x: x[(slice(None),) * dim + (slice(start, None, step),)],
            lambda x: x[..., None],
            lambda x: x.squeeze(dim),
            lambda x: x.flatten(),
            lambda x: x.T if x.dim() == 2 else x,
        ]
        if shape[dim] > 0:
            choices.append(lambda x: x.select(dim, start))
        if shape[dim] == 1:
            choices.append(lambda x: x.expand(*[3 if d == dim else -1 for d in range(ndim)]))
        if ndim > 1 and dim != other:
            choices.append(lambda x: x.diagonal(0, dim, other))
        if shape[dim] > 1:
            choices.append(lambda x: x.unfold(dim, 2, 1))
    return rng.choice(choices)


def random_tensor(t, rng):
    """A tensor that is not contiguous, after some views of a base."""
    shape = [rng.choice([1, 2, 3, 4]) for _ in range(rng.randrange(1, 5))]
    count = int(np.prod(shape))
    x = t.arange(count, dtype=t.float32).reshape(shape)
    for _ in range(rng.randrange(4)):
        x = random_view(rng, tuple(x.shape))(x)
        if x.dim() > 5:
            break
    return x


def pair(seed):
    """The same random tensor of both libraries, and a source of further choices."""
    made = [random_tensor(t, random.Random(seed)) for t in (mytorch, torch)]
    return made[0], made[1], random.Random(seed + 1_000_000)


@pytest.mark.parametrize("block", range(10))
def test_chains_of_views_have_torchs_strides(block):
    for seed in range(block * 40, block * 40 + 40):
        ours, theirs, _ = pair(seed)
        assert facts(ours, False) == facts(theirs, False), seed


def factorisation(rng, count):
    """A random shape of that many elements, sometimes with sizes of 1 and a -1."""
    shape = []
    while count > 1 and len(shape) < 4:
        factor = rng.choice([d for d in range(1, count + 1) if count % d == 0])
        shape.append(factor)
        count //= factor
    shape.append(count)
    rng.shuffle(shape)
    if rng.random() < 0.3:
        shape[rng.randrange(len(shape))] = -1
    return shape


@pytest.mark.parametrize("block", range(10))
def test_view_refuses_and_reshape_copies_where_torch_does(block):
    for seed in range(block * 60, block * 60 + 60):
        ours, theirs, rng = pair(seed)
        if theirs.numel() == 0:
            continue
        for _ in range(4):
            shape = factorisation(rng, theirs.numel())
            mine, reference = outcome(lambda: ours.view(shape)), outcome(lambda: theirs.view(shape))
            assert isinstance(mine, mytorch.Tensor) == isinstance(reference, torch.Tensor), (seed, theirs.shape, theirs.stride(), shape)
            if isinstance(reference, torch.Tensor):
                assert facts(mine, False) == facts(reference, False), (seed, shape)
            else:
                assert mine is reference
            mine, reference = ours.reshape(shape), theirs.reshape(shape)
            assert (mine.data_ptr() == ours.data_ptr()) == (reference.data_ptr() == theirs.data_ptr()), (seed, shape)
            assert facts(mine, False) == facts(reference, False), (seed, shape)


# ---- new tensors from others --------------------------------------------------------------------------------------------------

NEW = {
    "clone": lambda t, x: x.clone(),
    "clone contiguous": lambda t, x: x.clone(memory_format=t.contiguous_format),
    "contiguous": lambda t, x: x.contiguous(),
    "empty_like": lambda t, x: t.empty_like(x).fill_(1),
    "zeros_like": lambda t, x: t.zeros_like(x),
    "zeros_like contiguous": lambda t, x: t.zeros_like(x, memory_format=t.contiguous_format),
    "ones_like": lambda t, x: t.ones_like(x),
    "full_like": lambda t, x: t.full_like(x, 3),
    "to another dtype": lambda t, x: x.to(t.float64),
    "double": lambda t, x: x.double(),
    "to copy": lambda t, x: x.to(t.float32, copy=True),
    "exp": lambda t, x: x.exp(),
    "neg": lambda t, x: -x,
    "plus a number": lambda t, x: x + 1,
    "times itself": lambda t, x: x * x,
    "relu": lambda t, x: t.relu(x),
    "sigmoid": lambda t, x: x.sigmoid(),
    "compared": lambda t, x: x > 2,
    "where": lambda t, x: t.where(x > 2, x, 0.0),
    "clamp": lambda t, x: x.clamp(1, 5),
    "pow": lambda t, x: x**2,
    "lerp": lambda t, x: x.lerp(x, 0.5),
    "nan_to_num": lambda t, x: x.nan_to_num(),
}


def overlaps(x):
    """Do several elements share a place?"""
    places = sum(np.arange(n).reshape([-1 if e == d else 1 for e in range(x.dim())]) * x.stride(d) for d, n in enumerate(x.shape))
    return np.unique(places).size < np.broadcast_to(places, tuple(x.shape)).size


@pytest.mark.parametrize("row", NEW)
def test_results_of_one_tensor_have_torchs_strides(row):
    for seed in range(120):
        ours, theirs, _ = pair(seed)
        if row == "nan_to_num" and overlaps(theirs):
            continue  # of repeated and overlapping dimensions, NumPy's order differs from torch's
        mine, reference = NEW[row](mytorch, ours), NEW[row](torch, theirs)
        assert mine.is_contiguous() == reference.is_contiguous(), seed
        found, expected = facts(mine, False), facts(reference, False)
        if row in ("exp", "sigmoid"):
            np.testing.assert_allclose(found.pop("values"), expected.pop("values"), 1e-6)
        assert found == expected, (seed, theirs.shape, theirs.stride())


@pytest.mark.parametrize("block", range(6))
def test_results_of_two_tensors_have_torchs_strides(block):
    rng = random.Random(block)
    for _ in range(60):
        shape = [rng.choice([1, 2, 3]) for _ in range(rng.randrange(1, 5))]
        # where the operands' orders differ and the first is permuted, torch takes that order, and NumPy row-major: not compared
        first, second = (rng.sample(range(len(shape)), len(shape)) for _ in range(2))
        orders = rng.choice([(first, first), (list(range(len(shape))), second)])

        def make(t, which):
            order = orders[which]
            back = sorted(range(len(order)), key=order.__getitem__)
            return t.arange(float(np.prod(shape))).reshape([shape[d] for d in order]).permute(back)

        assert_same(lambda t: make(t, 0) + make(t, 1), False)
        assert_same(lambda t: make(t, 0) * make(t, 1), False)
        assert_same(lambda t: t.maximum(make(t, 0), make(t, 1)), False)


@pytest.mark.parametrize("other", [(), (1,), (5,), (3, 1, 1), (1, 3, 1, 1), (2, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0)], ids=str)
def test_an_image_batch_keeps_its_order_when_a_smaller_tensor_is_added(order, other):
    back = sorted(range(4), key=order.__getitem__)

    def images(t):
        return t.arange(120.0).reshape([(2, 3, 4, 5)[d] for d in order]).permute(back)

    assert_same(lambda t: images(t) + t.ones(other), False)
    assert_same(lambda t: t.ones(other) * images(t), False)
    assert_same(lambda t: (images(t) - t.ones(other)).relu(), False)


ROW_MAJOR = {
    "softmax": lambda t, x: t.softmax(x, 0),
    "log_softmax": lambda t, x: t.log_softmax(x, 1),
    "sum": lambda t, x: x.sum(1),
    "sum of ints": lambda t, x: x.long().sum(1),
    "mean": lambda t, x: x.mean(1, keepdim=True),
    "prod": lambda t, x: x.prod(1),
    "var": lambda t, x: x.var(1),
    "std": lambda t, x: x.std(1),
    "norm": lambda t, x: x.norm(dim=1),
    "logsumexp": lambda t, x: x.logsumexp(1),
    "cumsum": lambda t, x: x.cumsum(1),
    "cumprod": lambda t, x: x.cumprod(0),
    "cummax": lambda t, x: x.cummax(1)[0],
    "cat": lambda t, x: t.cat([x, x]),
    "stack": lambda t, x: t.stack([x, x]),
    "roll": lambda t, x: x.roll(1, 0),
    "triu": lambda t, x: x.triu(),
    "gather": lambda t, x: x.gather(1, t.zeros_like(x, dtype=t.int64)),
    "masked_fill": lambda t, x: x.masked_fill(x > 4, 0.0),
    "einsum": lambda t, x: t.einsum("abc,dbc->ad", x, x),
    "index": lambda t, x: x[[0, 1]],
    "index of the second": lambda t, x: x[:, [0, 1]],
    "fft": lambda t, x: t.fft.fft(x).abs() * 0,
}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)], ids=str)
@pytest.mark.parametrize("row", ROW_MAJOR)
def test_view_works_on_results_of_permuted_tensors_where_it_does_in_torch(row, order):
    ours, theirs = (ROW_MAJOR[row](t, t.arange(24.0).reshape([(2, 3, 4)[d] for d in order]).permute(sorted(range(3), key=order.__getitem__)))
                    for t in (mytorch, torch))
    assert tuple(ours.shape) == tuple(theirs.shape)
    if isinstance(outcome(lambda: theirs.view(-1)), torch.Tensor):
        np.testing.assert_allclose(ours.view(-1).numpy(), theirs.view(-1).numpy(), 1e-5, 1e-5)


# ---- memory formats -----------------------------------------------------------------------------------------------------------

SIZES = [(2, 3), (2, 3, 4, 5), (1, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 1), (2, 3, 2, 2, 2), (4,), ()]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_memory_formats_lay_out_as_in_torch(name, size):
    def base(t):
        return t.arange(float(np.prod(size))).reshape(size)

    def form(t):
        return getattr(t, name)

    assert_same(lambda t: base(t).contiguous(memory_format=form(t)))
    assert_same(lambda t: base(t).clone(memory_format=form(t)))
    assert_same(lambda t: base(t).to(memory_format=form(t)))
    assert_same(lambda t: base(t).to(t.float64, memory_format=form(t)))
    assert_same(lambda t: t.zeros_like(base(t), memory_format=form(t)))
    assert_same(lambda t: t.empty(size, memory_format=form(t)).fill_(2))
    assert_same(lambda t: base(t).is_contiguous(memory_format=form(t)))
    assert_same(lambda t: base(t).contiguous(memory_format=form(t)).contiguous(memory_format=form(t)))
    assert_same(lambda t: base(t).to(memory_format=form(t)).contiguous())
    assert_same(lambda t: base(t).to(memory_format=form(t)).is_contiguous(memory_format=form(t)))
    assert_same(lambda t: base(t).to(memory_format=form(t)).is_contiguous())
    assert_same(lambda t: base(t).to(memory_format=form(t)) + 1, False)
    assert_same(lambda t: base(t).to(memory_format=form(t)).double(), False)
    assert_same(lambda t: base(t).to(memory_format=form(t)).clone(), False)
    assert_same(lambda t: base(t).transpose(0, -1).to(memory_format=form(t)), False) if size and 1 not in size else None


def test_a_format_passes_through_a_network_and_its_gradient():
    for t in (mytorch, torch):
        x = t.arange(120.0).reshape(2, 3, 4, 5).requires_grad_()
        y = x.contiguous(memory_format=t.channels_last)
        (y * y).sum().backward()
        assert t.equal(x.grad, 2 * x.detach())
        assert x.contiguous() is x
        assert y.contiguous(memory_format=t.channels_last) is y
        assert y.to(memory_format=t.channels_last) is y
        assert repr(t.channels_last) == "torch.channels_last"
        assert isinstance(t.channels_last, t.memory_format)
    layers = [t.nn.Conv2d(3, 4, 2).to(memory_format=t.channels_last) for t in (mytorch, torch)]
    assert layers[0].weight.stride() == layers[1].weight.stride()
    assert layers[0].bias.stride() == layers[1].bias.stride()


def test_something_else_than_a_format_is_refused_as_in_torch():
    for call in (lambda t: t.zeros(2, 3).contiguous(memory_format=3), lambda t: t.zeros(2, 3).clone(memory_format="channels_last"),
                 lambda t: t.zeros(2, 3).to(memory_format=1), lambda t: t.empty(2, memory_format=1),
                 lambda t: t.zeros_like(t.zeros(2), memory_format=1),
                 lambda t: t.zeros(2, memory_format=t.contiguous_format), lambda t: t.zeros(2).is_contiguous(memory_format=2)):
        assert outcome(lambda: call(mytorch)) is outcome(lambda: call(torch)) is TypeError
