"""The public random functions draw torch's numbers: same seed, same values, same place in the stream afterwards.

Each row of `EXACT` is equal to the last bit, each row of `CLOSE` to so many units in the last place (a logarithm, a sine or a
cosine is in it, and NumPy's vectorised ones round differently from torch's). A few seeds always; all 50 with MYTORCH_FULL=1.
"""
# ruff: noqa: B023 - functions made in a loop are called in the same turn of it

from __future__ import annotations

import os

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")

SEEDS = range(50) if os.environ.get("MYTORCH_FULL") == "1" else (0, 7, 42)
SIZES = [(0,), (1,), (2,), (15,), (16,), (17,), (3, 5), (4, 25), (1000,), (2, 3, 70)]
FLOATS = ["float32", "float64", "float16", "bfloat16"]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]


def bits(x):
    """A tensor's values as an array that can be compared bit by bit: integers of the same width."""
    x = x.detach()
    name = str(x.dtype).split(".")[-1]
    if name == "bfloat16":
        return x.float().numpy().view(np.int32) >> 16
    array = np.ascontiguousarray(x.numpy())
    return array.view(f"i{array.dtype.itemsize}") if array.dtype.kind == "f" else array


def ordered(pattern, width):
    """Bit patterns of floats as integers that count the floats between them."""
    pattern = pattern.astype(np.int64)
    return np.where(pattern < 0, -(pattern & ((1 << (width - 1)) - 1)), pattern)


def compare(ours, theirs, ulps):
    assert str(ours.dtype) == str(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    if theirs.is_complex():
        ours, theirs = mytorch.view_as_real(ours), torch.view_as_real(theirs)
    mine, reference = bits(ours), bits(theirs)
    if not ulps or not theirs.is_floating_point():
        np.testing.assert_array_equal(mine, reference)
        return
    if theirs.dtype == torch.float64:  # 64 bits leave no room to count in: relative
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=ulps * 2.3e-16, atol=ulps * 2.3e-16)
        return
    # values near zero are sums or products of larger ones: an absolute bound of one unit at 1 belongs to the tolerance
    unit = {torch.float32: 2.0**-23, torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}[theirs.dtype]
    np.testing.assert_allclose(ours.detach().float().numpy(), theirs.detach().float().numpy(), rtol=ulps * unit, atol=ulps * unit)


def same_place():
    """Both streams go on with the same words; the kept half of a normal pair agrees to rounding."""
    ours, theirs = mytorch.get_rng_state().numpy().copy(), torch.get_rng_state().numpy().copy()
    np.testing.assert_allclose(ours[5024:5032].view(np.float64), theirs[5024:5032].view(np.float64), rtol=1e-13, atol=1e-15)
    ours[5024:5032] = theirs[5024:5032] = 0
    np.testing.assert_array_equal(ours, theirs)


def drawn(t, row, seed, *args):
    t.manual_seed(seed)
    found = row(t, *args)
    return list(found) if isinstance(found, (tuple, list)) else [found]


def check(row, *args, ulps=0):
    for seed in SEEDS:
        ours, theirs = drawn(mytorch, row, seed, *args), drawn(torch, row, seed, *args)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b, ulps)
        same_place()


def at(t, name):
    return getattr(t, name)


def strided(t, size, name):
    """A tensor that is not contiguous: every other column of one twice as wide."""
    return t.zeros(*size[:-1], size[-1] * 2, dtype=at(t, name))[..., ::2]


EXACT = {
    "rand": lambda t, n, d: t.rand(n, dtype=at(t, d)),
    "rand_like": lambda t, n, d: t.rand_like(t.zeros(n, dtype=at(t, d))),
    "rand_out": lambda t, n, d: t.rand(n, out=t.empty(n, dtype=at(t, d)), dtype=at(t, d)),
    "uniform_": lambda t, n, d: t.zeros(n, dtype=at(t, d)).uniform_(-0.3, 1.7),
    "uniform_ of a view": lambda t, n, d: strided(t, n, d).uniform_(),
    "random_": lambda t, n, d: t.zeros(n, dtype=at(t, d)).random_(),
    "random_ up to": lambda t, n, d: t.zeros(n, dtype=at(t, d)).random_(100),
    "random_ between": lambda t, n, d: t.zeros(n, dtype=at(t, d)).random_(-3, 9),
    "bernoulli_ number": lambda t, n, d: t.zeros(n, dtype=at(t, d)).bernoulli_(0.3),
    "bernoulli_ default": lambda t, n, d: t.zeros(n, dtype=at(t, d)).bernoulli_(),
    "bernoulli_ tensor": lambda t, n, d: t.zeros(n, dtype=at(t, d)).bernoulli_(t.full(n, 0.4)),
    "bernoulli_ float64 tensor": lambda t, n, d: t.zeros(n, dtype=at(t, d)).bernoulli_(t.full(n, 0.4, dtype=t.float64)),
    "bernoulli": lambda t, n, d: t.bernoulli(t.full(n, 0.4, dtype=at(t, d))),
    "bernoulli number": lambda t, n, d: t.bernoulli(t.zeros(n, dtype=at(t, d)), 0.25),
    "bernoulli method": lambda t, n, d: t.full(n, 0.6, dtype=at(t, d)).bernoulli(),
    "bernoulli_ of a view": lambda t, n, d: strided(t, n, d).bernoulli_(0.5),
    "dropout": lambda t, n, d: t.nn.functional.dropout(t.ones(n, dtype=at(t, d)), 0.3),
    "dropout method": lambda t, n, d: t.nn.Dropout(0.5)(t.ones(n, dtype=at(t, d))),
    "alpha_dropout": lambda t, n, d: t.nn.functional.alpha_dropout(t.ones(n, dtype=at(t, d)), 0.3, training=True) == 1,
    "geometric_": lambda t, n, d: t.zeros(n, dtype=at(t, d)).geometric_(0.2),
    "randint float": lambda t, n, d: t.randint(0, 9, n, dtype=at(t, d)),
    "randint_like": lambda t, n, d: t.randint_like(t.zeros(n, dtype=at(t, d)), -5, 9),
}

CLOSE = {  # rounding of NumPy's log, sin, cos: units in the last place
    "randn": (3, lambda t, n, d: t.randn(n, dtype=at(t, d))),
    "randn_like": (3, lambda t, n, d: t.randn_like(t.zeros(n, dtype=at(t, d)))),
    "normal_": (8, lambda t, n, d: t.zeros(n, dtype=at(t, d)).normal_(0.5, 2.0)),
    "normal_ of a view": (8, lambda t, n, d: strided(t, n, d).normal_(0.5, 2.0)),
    "normal of tensors": (8, lambda t, n, d: t.normal(t.ones(n, dtype=at(t, d)), t.full(n, 0.5, dtype=at(t, d)))),
    "normal of a mean": (8, lambda t, n, d: t.normal(t.ones(n, dtype=at(t, d)), 0.5)),
    "normal of a deviation": (8, lambda t, n, d: t.normal(1.0, t.full(n, 0.5, dtype=at(t, d)))),
    "normal with a size": (8, lambda t, n, d: t.normal(1.0, 0.5, n, dtype=at(t, d))),
    "exponential_": (2, lambda t, n, d: t.zeros(n, dtype=at(t, d)).exponential_(1.5)),
    "exponential_ of a view": (2, lambda t, n, d: strided(t, n, d).exponential_(1.5)),
    "log_normal_": (8, lambda t, n, d: t.zeros(n, dtype=at(t, d)).log_normal_(0.2, 0.5)),
    "cauchy_": (8, lambda t, n, d: t.zeros(n, dtype=at(t, d)).cauchy_(0.5, 2.0)),
}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("row", EXACT)
def test_draw_is_torchs_to_the_last_bit(row, name):
    for size in SIZES:
        check(EXACT[row], size, name)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("row", CLOSE)
def test_draw_is_torchs_to_a_few_units_in_the_last_place(row, name):
    ulps, function = CLOSE[row]
    for size in SIZES:
        check(function, size, name, ulps=ulps)


PERMUTED = {
    "uniform_": (0, lambda t, x: x.uniform_(-1, 1)),
    "normal_": (8, lambda t, x: x.normal_(0.5, 2.0)),
    "random_": (0, lambda t, x: x.random_(50)),
    "bernoulli_": (0, lambda t, x: x.bernoulli_(0.4)),
    "bernoulli_ of its own": (0, lambda t, x: x.bernoulli_(t.full_like(x, 0.4))),
    "bernoulli_ of another order": (0, lambda t, x: x.bernoulli_(t.linspace(0, 1, x.numel()).reshape(x.shape))),
    "bernoulli": (0, lambda t, x: t.bernoulli(t.full_like(x, 0.4))),
    "exponential_": (2, lambda t, x: x.exponential_()),
    "geometric_": (0, lambda t, x: x.geometric_(0.3)),
    "poisson": (0, lambda t, x: t.poisson(t.full_like(x, 3.0))),
    "rand_like": (0, lambda t, x: t.rand_like(x)),
    "rand_like contiguous": (0, lambda t, x: t.rand_like(x, memory_format=t.contiguous_format)),
    "randn_like": (3, lambda t, x: t.randn_like(x)),
    "randint_like": (0, lambda t, x: t.randint_like(x, 4)),
    "dropout": (0, lambda t, x: t.nn.functional.dropout(t.ones_like(x), 0.4)),
}


@pytest.mark.parametrize("row", PERMUTED)
def test_a_permuted_tensor_is_filled_in_the_order_of_its_memory(row):
    ulps, function = PERMUTED[row]
    for size, order in (((5, 4), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (1, 0, 2)), ((2, 3, 4, 5), (0, 3, 1, 2))):
        check(lambda t: function(t, t.zeros(size).permute(order)), ulps=ulps)
        assert function(mytorch, mytorch.zeros(size).permute(order)).stride() == function(torch, torch.zeros(size).permute(order)).stride()


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_complex_draws_are_torchs(name):
    for size in SIZES:
        check(lambda t: t.rand(size, dtype=at(t, name)))
        check(lambda t: t.randn(size, dtype=at(t, name)), ulps=3)
        check(lambda t: t.zeros(size, dtype=at(t, name)).normal_(), ulps=3)


@pytest.mark.parametrize("name", INTEGERS)
def test_integer_draws_are_torchs(name):
    for size in SIZES:
        check(lambda t: t.randint(0, 100, size, dtype=at(t, name)))
        check(lambda t: t.zeros(size, dtype=at(t, name)).random_())
        check(lambda t: t.zeros(size, dtype=at(t, name)).random_(5))
        check(lambda t: t.zeros(size, dtype=at(t, name)).bernoulli_(0.5))
        check(lambda t: t.zeros(size, dtype=at(t, name)).geometric_(0.5))
        check(lambda t: t.randint_like(t.zeros(size, dtype=at(t, name)), 9))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 2), (-7, 5), (0, 2**28 - 1), (0, 2**28), (-5, 2**31), (0, 2**32 - 1), (0, 2**32),
                                           (0, 2**32 + 1), (-(2**40), 2**41), (-(2**63), 2**63 - 1), (2**62, 2**62 + 3)])
def test_randint_of_any_range_is_torchs(low, high):
    for size in SIZES:
        check(lambda t: t.randint(low, high, size))
        check(lambda t: t.zeros(size, dtype=t.int64).random_(low, high))


@pytest.mark.parametrize("n", [0, 1, 2, 10, 499, 500, 1000, 4096, 20000])
def test_randperm_is_torchs(n):
    check(lambda t: t.randperm(n))
    check(lambda t: t.randperm(n, dtype=t.int32))
    if n <= 500:  # float16 counts to 2048
        check(lambda t: t.randperm(n, dtype=t.float16))


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_multinomial_is_torchs(name):
    for rows in ((9,), (3, 9), (2, 300)):
        for k in (1, 2, 5, 9):
            check(lambda t: t.multinomial(t.rand(rows, dtype=at(t, name)) + 0.01, k))
            check(lambda t: t.multinomial(t.rand(rows, dtype=at(t, name)) + 0.01, k, replacement=True))
            check(lambda t: t.rand(rows, dtype=at(t, name)).multinomial(k, True))
    check(lambda t: t.multinomial(t.rand(5, 3, dtype=at(t, name)).t(), 2))
    check(lambda t: t.multinomial(t.rand(5, 3, dtype=at(t, name)).t(), 2, True))


@pytest.mark.parametrize("name", FLOATS)
def test_poisson_is_torchs(name):
    for rate in (0.0, 0.3, 1.0, 5.0, 9.9, 10.0, 11.0, 40.0, 100.0):
        for size in SIZES:
            check(lambda t: t.poisson(t.full(size, rate, dtype=at(t, name))))
    check(lambda t: t.poisson(t.rand(300, dtype=at(t, name)) * 30))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout_of_channels_is_torchs(p):
    F = "functional"
    check(lambda t: at(t.nn, F).dropout(t.ones(40, 5), p))
    check(lambda t: at(t.nn, F).dropout1d(t.ones(40, 5, 3), p))
    check(lambda t: at(t.nn, F).dropout2d(t.ones(4, 5, 3, 3), p))
    check(lambda t: at(t.nn, F).dropout3d(t.ones(4, 5, 3, 3, 2), p))
    check(lambda t: at(t.nn, F).feature_alpha_dropout(t.ones(4, 5, 3, 3), p, training=True) == 1)
    check(lambda t: t.nn.Dropout(p)(t.ones(16).requires_grad_()))


INIT = {
    "uniform_": (0, lambda init, w: init.uniform_(w, -1.0, 2.0)),
    "normal_": (8, lambda init, w: init.normal_(w, 0.5, 0.1)),
    "trunc_normal_": (16, lambda init, w: init.trunc_normal_(w, 0.0, 1.0, -1.5, 2.0)),
    "constant_": (0, lambda init, w: init.constant_(w, 0.3)),
    "ones_": (0, lambda init, w: init.ones_(w)),
    "zeros_": (0, lambda init, w: init.zeros_(w)),
    "eye_": (0, lambda init, w: init.eye_(w)),
    "xavier_uniform_": (0, lambda init, w: init.xavier_uniform_(w, 1.5)),
    "xavier_normal_": (8, lambda init, w: init.xavier_normal_(w)),
    "kaiming_uniform_": (0, lambda init, w: init.kaiming_uniform_(w, a=5**0.5)),
    "kaiming_uniform_ relu": (0, lambda init, w: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu")),
    "kaiming_normal_": (8, lambda init, w: init.kaiming_normal_(w)),
    "sparse_": (8, lambda init, w: init.sparse_(w, 0.3)),
}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("row", INIT)
def test_initial_weights_are_torchs(row, name):
    ulps, function = INIT[row]
    for size in ((3, 4), (4, 4), (5, 3), (17, 20), (64, 33)):
        check(lambda t: function(t.nn.init, t.empty(size, dtype=at(t, name))), ulps=ulps)


def test_orthogonal_weights_are_torchs():
    for size in ((4, 4), (5, 3), (3, 5), (17, 20)):
        for name in ("float32", "float64"):
            ulps = 64  # a QR decomposition: LAPACK libraries differ in the order of their sums
            check(lambda t: t.nn.init.orthogonal_(t.empty(size, dtype=at(t, name))), ulps=ulps)
    check(lambda t: t.nn.init.dirac_(t.empty(3, 4, 3)))


LAYERS = {
    "Linear": lambda n: n.Linear(30, 20),
    "Conv2d": lambda n: n.Conv2d(3, 8, 3),
    "ConvTranspose2d": lambda n: n.ConvTranspose2d(3, 8, 3),
    "Embedding": lambda n: n.Embedding(20, 10),
    "LSTM": lambda n: n.LSTM(5, 6, num_layers=2, bidirectional=True),
    "GRUCell": lambda n: n.GRUCell(5, 6),
    "Bilinear": lambda n: n.Bilinear(4, 5, 6),
}


@pytest.mark.parametrize("row", LAYERS)
def test_a_new_layer_has_torchs_weights(row):
    check(lambda t: list(LAYERS[row](t.nn).parameters()), ulps=3 if row == "Embedding" else 0)


# ---- the generator's own face -------------------------------------------------------------------------------------------------


def test_a_generator_of_its_own_draws_torchs_numbers_and_leaves_the_default_one_alone():
    for seed in SEEDS:
        ours, theirs = mytorch.Generator(), torch.Generator()
        assert ours.initial_seed() == theirs.initial_seed()
        assert ours.manual_seed(seed) is ours
        theirs.manual_seed(seed)
        mytorch.manual_seed(1)
        before = mytorch.get_rng_state()
        for draw in (lambda t, g: t.rand(5, generator=g), lambda t, g: t.randint(9, (20,), generator=g), lambda t, g: t.randperm(30, generator=g),
                     lambda t, g: t.zeros(7).uniform_(generator=g), lambda t, g: t.bernoulli(t.full((9,), 0.5), generator=g),
                     lambda t, g: t.multinomial(t.ones(9), 3, generator=g), lambda t, g: t.zeros(5).random_(7, generator=g),
                     lambda t, g: t.zeros(9).bernoulli_(0.3, generator=g), lambda t, g: t.zeros(9).geometric_(0.3, generator=g)):
            compare(draw(mytorch, ours), draw(torch, theirs), 0)
        compare(mytorch.randn(40, generator=ours), torch.randn(40, generator=theirs), 3)
        assert mytorch.equal(before, mytorch.get_rng_state())
        np.testing.assert_array_equal(ours.get_state().numpy(), theirs.get_state().numpy())


def test_states_are_exchanged_in_both_directions():
    for seed in SEEDS:
        torch.manual_seed(seed)
        torch.rand(seed + 3)
        torch.randn(3)
        mytorch.set_rng_state(mytorch.from_numpy(torch.get_rng_state().numpy()))
        assert mytorch.initial_seed() == torch.initial_seed()
        compare(mytorch.randn(3), torch.randn(3), 0)
        compare(mytorch.rand(700), torch.rand(700), 0)
        mytorch.randn(1)
        torch.set_rng_state(torch.from_numpy(mytorch.get_rng_state().numpy()))
        compare(mytorch.randn(3), torch.randn(3), 0)
        compare(mytorch.randperm(50), torch.randperm(50), 0)
        generator = torch.Generator()
        generator.set_state(torch.from_numpy(mytorch.default_generator.get_state().numpy()))
        compare(mytorch.rand(9), torch.rand(9, generator=generator), 0)


def outcome(function):
    try:
        return function()
    except Exception as error:
        return type(error)


def test_generators_answer_as_torchs():
    for t in (mytorch, torch):
        g = t.Generator().manual_seed(5)
        copy = g.clone_state()
        assert t.equal(copy.get_state(), g.get_state())
        assert copy.initial_seed() == 5
        assert t.equal(t.rand(3, generator=copy), t.rand(3, generator=g))
        first = g.get_state()
        t.rand(9, generator=g)
        assert g.set_state(first) is g
        assert t.equal(g.get_state(), first)
        seed = g.seed()
        assert seed == g.initial_seed()
        assert isinstance(seed, int)
        assert str(g.device) == "cpu"
        assert t.default_generator.initial_seed() == t.initial_seed()
        assert isinstance(t.seed(), int)
        assert t.random.manual_seed(3) is t.default_generator
        assert t.random.initial_seed() == 3
        assert first.dtype is t.uint8
        assert tuple(first.shape) == (5056,)
    for refused in (lambda t: t.Generator().graphsafe_set_state(t.Generator()), lambda t: t.Generator().graphsafe_get_state(),
                    lambda t: t.rand(3, generator=5), lambda t: t.set_rng_state(t.zeros(5)), lambda t: t.set_rng_state(t.zeros(5, dtype=t.uint8)),
                    lambda t: t.manual_seed("a"), lambda t: t.Generator().manual_seed(1.5), lambda t: t.Generator(device="nowhere")):
        assert outcome(lambda: refused(mytorch)) == outcome(lambda: refused(torch))


def test_fork_rng_puts_the_stream_back():
    for t in (mytorch, torch):
        t.manual_seed(4)
        before = t.get_rng_state()
        with t.random.fork_rng():
            t.manual_seed(9)
            t.randn(3)
        assert t.equal(before, t.get_rng_state())
        with t.random.fork_rng(enabled=False):
            t.rand(3)
        assert not t.equal(before, t.get_rng_state())
        before = t.get_rng_state()
        try:
            with t.random.fork_rng(devices=[]):
                t.rand(3)
                raise KeyError
        except KeyError:
            pass
        assert t.equal(before, t.get_rng_state())


        @t.random.fork_rng()
        def draw():
            return t.rand(3)

        assert t.equal(draw(), draw())
        assert t.equal(before, t.get_rng_state())
