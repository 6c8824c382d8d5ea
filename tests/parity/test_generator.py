"""Every draw against torch: values, what is left of the stream, and states handed over in both directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mytorch import dtypes
from mytorch.generator import Generator

torch = pytest.importorskip("torch")

SEEDS = range(50)
SHAPES = [(0,), (1,), (2,), (5,), (15,), (16,), (17,), (31,), (3, 5, 4), (624,), (1000,)]
HALVES = ["float16", "bfloat16"]
FLOATS = ["float32", "float64", *HALVES]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
LOGARITHM = {"float32": 2e-6, "float64": 4e-15, "float16": 2e-3, "bfloat16": 1.6e-2, "complex64": 2e-6, "complex128": 4e-15}


def np_dtype(name: str) -> Any:
    return (dtypes.bool_ if name == "bool" else getattr(dtypes, name)).np


def to_numpy(tensor: Any) -> Any:
    return dtypes.float32_to_bfloat16(tensor.float().numpy()) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def check(g: Generator, ours: Any, theirs: Any, tolerance: float = 0.0) -> None:
    """Equal values (up to a tolerance, relative for values above 1), dtypes, shapes, and the same place in the stream."""
    expected = to_numpy(theirs)
    assert ours.dtype == expected.dtype
    assert ours.shape == expected.shape
    if expected.dtype.names:
        ours, expected = dtypes.bfloat16_to_float32(ours), dtypes.bfloat16_to_float32(expected)
    if tolerance:
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(ours, expected)
    check_state(g)


def check_state(g: Generator) -> None:
    ours, theirs = g.state_array(), torch.get_rng_state().numpy()
    kept = slice(5024, 5032)  # the second value of a normal pair: a logarithm and a sine are in it
    np.testing.assert_allclose(ours[kept].view(np.float64), theirs[kept].view(np.float64), rtol=1e-13, atol=1e-15)
    ours[kept] = theirs[kept]
    np.testing.assert_array_equal(ours, theirs)


def both(seed: int) -> Generator:
    torch.manual_seed(seed)
    return Generator().manual_seed(seed)


def empty(shape: tuple[int, ...], name: str) -> Any:
    return torch.empty(shape, dtype=getattr(torch, name))


# ---- uniform -------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [*FLOATS, "complex64", "complex128"])
def test_random_equals_rand(name):
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            check(g, g.random(shape, np_dtype(name)), torch.rand(shape, dtype=getattr(torch, name)))


@pytest.mark.parametrize("name", FLOATS)
def test_uniform_equals_uniform_(name):
    bounds = [(-0.1, 0.1), (2.5, 7.3), (-3, 0.005), (1, 1), (0.0, 0.25), (-1000.25, -1000.0)]
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            low, high = bounds[seed % len(bounds)]
            check(g, g.uniform(shape, low, high, np_dtype(name)), empty(shape, name).uniform_(low, high))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_bernoulli_equals_bernoulli_with_a_number(p):
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            check(g, g.bernoulli(p, shape), empty(shape, "bool").bernoulli_(p))


@pytest.mark.parametrize("name", FLOATS)
def test_bernoulli_equals_bernoulli_with_probabilities(name):
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            p = torch.rand(shape, dtype=getattr(torch, name))
            g.random(shape, np_dtype(name))
            check(g, g.bernoulli(to_numpy(p), shape), torch.bernoulli(p).bool())


def test_dropout_mask_equals_dropout():
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES[1:]:
            kept = torch.nn.functional.dropout(torch.ones(shape), 0.3) != 0
            check(g, g.dropout_mask(0.3, shape), kept)


# ---- integers ------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [*INTEGERS, "bool", *FLOATS])
def test_random_full_equals_random_without_bounds(name):
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            check(g, g.random_full(shape, np_dtype(name)), empty(shape, name).random_())


@pytest.mark.parametrize(
    ("low", "high", "names"),
    [
        (0, 2, [*INTEGERS, "uint16", "uint32", "uint64", "bool", *FLOATS]),
        (0, 10, [*INTEGERS, *FLOATS]),
        (-100, 27, ["int8", "int64", *FLOATS]),
        (0, 2**28 - 1, ["int32", "int64", "uint32", "float64"]),
        (0, 2**28, ["int32", "int64", "uint32", "uint64", "float64"]),
        (7, 2**31 - 1, ["int32", "int64"]),
        (-(2**63), 2**63 - 1, ["int64"]),
        (-(2**63), None, ["int64", "float32", "float64", "bfloat16"]),
        (3, None, [*INTEGERS, "uint16", "uint32", *FLOATS]),
    ],
)
def test_randint_equals_random_with_bounds(low, high, names):
    for name in names:
        for seed in SEEDS:
            g = both(seed)
            for shape in SHAPES[:9]:
                check(g, g.randint(low, high, shape, np_dtype(name)), empty(shape, name).random_(low, high))


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [
        (0, 65504, "float16"),
        (-65504, 60000, "float16"),
        (-(2**26) - 6, 2**40, "float32"),
        (0, 2**60, "float64"),
        (-777, 70001, "bfloat16"),
    ],
)
@pytest.mark.filterwarnings("ignore:(from|to - 1) is out of bounds:UserWarning")
def test_bounds_that_a_float_does_not_hold_move_as_in_torch(low, high, name):
    for seed in SEEDS:
        g = both(seed)
        check(g, g.randint(low, high, (500,), np_dtype(name)), empty((500,), name).random_(low, high))


def test_permutation_equals_randperm():
    for seed in SEEDS:
        g = both(seed)
        for n in (0, 1, 2, 3, 10, 100, 499, 500, 501, 3000):
            check(g, g.permutation(n), torch.randperm(n))
    check(g, g.permutation(60000), torch.randperm(60000))


# ---- normal --------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [*FLOATS, "complex64", "complex128"])
def test_normal_equals_randn(name):
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            theirs = torch.randn(shape, dtype=getattr(torch, name))
            check(g, g.normal(shape, np_dtype=np_dtype(name)), theirs, LOGARITHM[name])


@pytest.mark.parametrize("name", FLOATS)
def test_normal_equals_normal_(name):
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            theirs = empty(shape, name).normal_(0.3, 2.7)
            check(g, g.normal(shape, 0.3, 2.7, np_dtype(name)), theirs, 4 * LOGARITHM[name])


@pytest.mark.parametrize("name", FLOATS)
def test_fewer_than_sixteen_normal_values_are_equal_to_the_last_bit(name):
    for seed in SEEDS:
        g = both(seed)
        for n in (1, 2, 7, 14, 15):
            check(g, g.normal((n,), 0.3, 2.7, np_dtype(name)), empty((n,), name).normal_(0.3, 2.7))


def test_normal_into_a_strided_tensor_comes_in_pairs():
    for seed in SEEDS:
        g = both(seed)
        check(g, g.normal((30,), contiguous=False), torch.empty(60)[::2].normal_(), 1e-6)


def test_few_normal_values_of_different_dtypes_share_the_kept_one():
    for seed in SEEDS:
        g = both(seed)
        for n, name in ((1, "float32"), (2, "float64"), (20, "float32"), (4, "float16"), (3, "float32"), (1, "float64")):
            check(g, g.normal((n,), np_dtype=np_dtype(name)), torch.randn(n, dtype=getattr(torch, name)), LOGARITHM[name])


@pytest.mark.parametrize("name", FLOATS)
def test_inverted_distributions_equal_those_of_torch(name):
    d, tolerance = np_dtype(name), {"float16": 1e-3, "bfloat16": 8e-3}.get(name, 1e-6 if name == "float32" else 1e-12)
    for seed in SEEDS:
        g = both(seed)
        for shape in SHAPES:
            check(g, g.exponential(shape, 1.7, d), empty(shape, name).exponential_(1.7), tolerance)
            check(g, g.cauchy(shape, 0.3, 1.7, d), empty(shape, name).cauchy_(0.3, 1.7), tolerance)
            check(g, g.log_normal(shape, 0.3, 0.7, d), empty(shape, name).log_normal_(0.3, 0.7), tolerance)
            check(g, g.geometric(shape, 0.3, d), empty(shape, name).geometric_(0.3))


@pytest.mark.parametrize("name", INTEGERS)
def test_geometric_equals_geometric_of_integers(name):
    for seed in SEEDS:
        g = both(seed)
        check(g, g.geometric((300,), 0.3, np_dtype(name)), empty((300,), name).geometric_(0.3))


# ---- multinomial ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("shape", [(7,), (3, 9), (2, 500)])
def test_multinomial_equals_multinomial(name, shape):
    # p / q of the half types ties often, and torch leaves the order of ties open: one sample at a time there
    samples = (1,) if name in HALVES else (1, 2, 5)
    for seed in SEEDS:
        g = both(seed)
        theirs = torch.rand(shape, dtype=getattr(torch, name)) + 0.01
        g.random(shape, np_dtype(name))
        ours = to_numpy(theirs)
        for k in samples:
            check(g, g.multinomial(ours, k), torch.multinomial(theirs, k))
        for k in (1, 2, 5):
            check(g, g.multinomial(ours, k, True), torch.multinomial(theirs, k, True))
        if len(shape) == 2:
            check(g, g.multinomial(ours.T, 1), torch.multinomial(theirs.T, 1))


# ---- one stream ----------------------------------------------------------------------------------------------------------------

DRAWS = [
    lambda g, n: (g.random(n), torch.rand(n), 0.0),
    lambda g, n: (g.random(n, np.float64), torch.rand(n, dtype=torch.float64), 0.0),
    lambda g, n: (g.normal(n), torch.randn(n), 2e-6),
    lambda g, n: (g.normal(n, np_dtype=np.float16), torch.randn(n, dtype=torch.float16), 2e-3),
    lambda g, n: (g.randint(0, 10, n), torch.randint(0, 10, (n,)), 0.0),
    lambda g, n: (g.randint(0, 2**40, n), torch.randint(0, 2**40, (n,)), 0.0),
    lambda g, n: (g.permutation(n), torch.randperm(n), 0.0),
    lambda g, n: (g.bernoulli(0.4, n), torch.empty(n, dtype=torch.bool).bernoulli_(0.4), 0.0),
    lambda g, n: (g.exponential(n), torch.empty(n).exponential_(), 1e-6),
    lambda g, n: (g.log_normal(n), torch.empty(n).log_normal_(), 1e-5),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_draws_stays_with_torch(seed):
    g, order = both(seed), np.random.default_rng(seed)
    for _ in range(40):
        ours, theirs, tolerance = DRAWS[order.integers(len(DRAWS))](g, int(order.choice([1, 3, 15, 16, 33, 700])))
        check(g, ours, theirs, tolerance)


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 625, 2000])
@pytest.mark.parametrize("normals", [0, 1])
def test_states_pass_in_both_directions(drawn, normals):
    torch.manual_seed(12)
    torch.rand(drawn)
    torch.randn(normals)
    g = Generator().set_state(torch.get_rng_state().numpy())
    assert g.initial_seed() == torch.initial_seed() == 12
    check(g, g.normal((3,)), torch.randn(3))
    check(g, g.random((700,)), torch.rand(700))
    other = Generator().manual_seed(99)
    other.normal(3)
    torch.set_rng_state(torch.from_numpy(other.state_array()))
    check(other, other.normal((3,)), torch.randn(3))
    check(other, other.random((5,), np.float64), torch.rand(5, dtype=torch.float64))


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63, 2**64 - 1, -1, -(2**63), 2**64, -(2**63) - 1])
def test_seeds_are_taken_as_torch_takes_them(seed):
    theirs = torch.Generator()
    try:
        theirs.manual_seed(seed)
    except ValueError:
        with pytest.raises(ValueError, match="Overflow"):
            Generator().manual_seed(seed)
        return
    ours = Generator().manual_seed(seed)
    assert ours.initial_seed() == theirs.initial_seed()
    np.testing.assert_array_equal(ours.state_array(), theirs.get_state().numpy())
    np.testing.assert_array_equal(ours.random(5), torch.rand(5, generator=theirs).numpy())


def test_initial_weights_are_those_of_torch():
    g = both(0)
    layer = torch.nn.Linear(784, 128)
    bound = 1 / 784**0.5
    np.testing.assert_array_equal(g.uniform((128, 784), -bound, bound), layer.weight.detach().numpy())
    check(g, g.uniform((128,), -bound, bound), layer.bias.detach())


def test_errors_have_the_class_of_torch():
    g = Generator()
    for ours, theirs in (
        (lambda: g.uniform(3, 1, 0), lambda: torch.empty(3).uniform_(1, 0)),
        (lambda: g.uniform(3, 0, 1, np.int64), lambda: empty((3,), "int64").uniform_()),
        (lambda: g.normal(3, 0, -1), lambda: torch.empty(3).normal_(0, -1)),
        (lambda: g.randint(0, 300, 3, np.uint8), lambda: empty((3,), "uint8").random_(0, 300)),
        (lambda: g.randint(5, 5, 3), lambda: torch.randint(5, 5, (3,))),
        (lambda: g.randint(0, 2**63, 3), lambda: torch.randint(0, 2**63, (3,))),
        (lambda: g.random_full(3, np.uint16), lambda: empty((3,), "uint16").random_()),
        (lambda: g.permutation(-1), lambda: torch.randperm(-1)),
        (lambda: g.bernoulli(2.0, 3), lambda: torch.empty(3).bernoulli_(2.0)),
        (lambda: g.bernoulli(np.array([1, 0]), 2), lambda: torch.bernoulli(torch.tensor([1, 0]))),
        (lambda: g.geometric(3, 1.0), lambda: torch.empty(3).geometric_(1.0)),
        (lambda: g.exponential(3, 0.0), lambda: torch.empty(3).exponential_(0.0)),
        (lambda: g.multinomial(np.ones(3, np.float32), 4), lambda: torch.multinomial(torch.ones(3), 4)),
        (lambda: g.multinomial(np.zeros(3, np.float32), 2), lambda: torch.multinomial(torch.zeros(3), 2)),
        (lambda: g.set_state(3), lambda: torch.Generator().set_state(3)),
        (lambda: g.set_state(np.zeros(5, np.uint8)), lambda: torch.Generator().set_state(torch.zeros(5, dtype=torch.uint8))),
        (lambda: g.manual_seed(1.5), lambda: torch.Generator().manual_seed(1.5)),
        (lambda: Generator("cuda"), lambda: torch.Generator("meta")),
    ):
        with pytest.raises(Exception) as expected:  # noqa: PT011 - the class is what is compared
            theirs()
        with pytest.raises(expected.type):
            ours()
