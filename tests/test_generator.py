"""The generator against numbers that torch 2.13 draws, and against its own rules. (tests/parity compares with torch itself.)"""

from __future__ import annotations

import copy
import hashlib
import math
import pickle
import threading
from fractions import Fraction

import numpy as np
import pytest

from mytorch import draws, dtypes, generator
from mytorch.generator import Generator

BFLOAT16 = dtypes.bfloat16.np


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def words(g: Generator, n: int) -> list[int]:
    """The next n words of a generator, through integer draws that keep 27 bits of each."""
    return g.randint(0, 2**27, n).tolist()


# ---- known numbers -------------------------------------------------------------------------------------------------------------

def test_ten_thousandth_word_is_the_one_of_the_cpp_standard():
    # ISO C++ [rand.predef]: mt19937 with its default seed 5489 gives 4123659995
    assert seeded(5489).random_full(10000, np.int32)[-1] == 4123659995 % 2**31


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda g: g.random(3), [0.49625658988952637, 0.7682217955589294, 0.08847743272781372]),
        (lambda g: g.random(2, np.float64), [float.fromhex(x) for x in ("0x1.f0aac97c4aa2fp-1", "0x1.6a675d821cccp-1")]),
        (lambda g: g.random(3, np.float16), [0.496337890625, 0.76806640625, 0.0885009765625]),
        (lambda g: g.uniform(3, -0.1, 0.1), [float.fromhex(x) for x in ("-0x1.888666p-11", "0x1.b7746p-5", "-0x1.511e8ap-4")]),
        (lambda g: g.permutation(10), [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]),
        (lambda g: g.bernoulli(0.3, 12), [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1]),
        (lambda g: g.random_full(3), [900450186894289455, 3969543146641149120, 1895649597198586619]),
        (lambda g: g.multinomial(np.array([0.1, 0.2, 0.3, 0.4], np.float32), 3), [2, 1, 3]),
    ],
)
def test_seed_zero_gives_the_numbers_of_torch(draw, expected):
    assert draw(seeded()).tolist() == expected


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda g: g.normal(4), [1.5409960746765137, -0.293428897857666, -2.1787893772125244, 0.5684312582015991]),
        (lambda g: g.normal(18)[:3], [-1.1258398294448853, -1.152360200881958, 0.5666506290435791]),
        (lambda g: g.exponential(3), [3.508326292037964, 1.2303847074508667, 0.615044116973877]),
    ],
)
def test_seed_zero_gives_the_numbers_of_torch_up_to_the_logarithm(draw, expected):
    np.testing.assert_allclose(draw(seeded()), expected, rtol=3e-7)


def test_draws_of_different_kinds_go_on_with_one_stream():
    g = seeded()
    assert g.permutation(10).tolist() == [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]
    assert g.randint(0, 100, 6).tolist() == [83, 1, 66, 56, 99, 78]
    assert g.randint(0, 2**40, 2).tolist() == [931851835992, 602942290234]


def test_state_has_the_bytes_of_torch():
    g = seeded()
    g.random(1000)
    g.normal(3)
    state = g.state_array()
    assert state.shape == (5056,)
    assert hashlib.sha256(state.tobytes()).hexdigest() == "b224e8937eb7a12a08288c1a6d3a88acaece00c5b0bd7cd5694a3a1b6044ecbd"


def test_fresh_generator_starts_from_the_default_seed_of_torch():
    g = Generator()
    assert g.initial_seed() == 67280421310721
    assert g.random(2).tolist() == [0.267295241355896, 0.8725283145904541]


# ---- seeds and states ----------------------------------------------------------------------------------------------------------

def test_seed_and_initial_seed_do_not_load_the_random_module():
    g = seeded(3)
    assert g.initial_seed() == 3
    assert g._twister is None


def test_negative_seed_counts_down_from_two_to_the_64():
    assert seeded(-1).initial_seed() == 2**64 - 1
    assert seeded(-(2**63)).initial_seed() == 2**63
    assert seeded(-1).random(2).tolist() == [0.9937993884086609, 0.5713063478469849]


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seed_outside_64_bits_is_refused(seed):
    with pytest.raises(ValueError, match="expected a seed in"):
        Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", [1.5, "1", None, True])
def test_seed_that_is_no_integer_is_refused(seed):
    with pytest.raises(RuntimeError, match="expected a long"):
        Generator().manual_seed(seed)


def test_reseeding_forgets_the_kept_normal_value():
    g = seeded()
    g.normal(1)
    assert g.manual_seed(0).normal(1) == seeded().normal(1)


def test_seed_from_the_system_differs_each_time_and_restarts_the_stream():
    g = Generator()
    first = g.seed()
    a = g.random(4)
    assert g.seed() != first
    assert g.initial_seed() != first
    np.testing.assert_array_equal(g.manual_seed(first).random(4), a)


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 625, 1248, 5000])
def test_state_restores_the_stream(drawn):
    g = seeded(7)
    g.random(drawn)
    state = g.get_state()
    expected = words(g, 700)
    other = Generator().set_state(state)
    assert other.initial_seed() == 7
    np.testing.assert_array_equal(other.state_array(), state)
    assert words(other, 700) == expected


def test_state_keeps_the_second_value_of_a_normal_pair():
    g = seeded()
    g.normal(3)
    other = Generator().set_state(g.get_state())
    assert g.normal(1) == other.normal(1)
    assert g.normal(5).tolist() == other.normal(5).tolist()


def test_state_of_a_tensor_is_taken_from_its_array():
    class Box:
        _array = seeded(5).state_array()

    np.testing.assert_array_equal(Generator().set_state(Box()).random(3), seeded(5).random(3))


def test_get_state_goes_through_the_registered_wrapper(monkeypatch):
    monkeypatch.setattr(generator, "wrap_state", lambda array: ("wrapped", array.size))
    assert seeded().get_state() == ("wrapped", 5056)


def test_bad_states_are_refused_and_change_nothing():
    g = seeded()
    good = g.state_array()
    broken = good.copy()
    broken[8:12] = 0
    for state, error, message in (
        (3, TypeError, "but got int"),
        (good.astype(np.float32), TypeError, "but got float32"),
        (good[:-1], RuntimeError, "got 5055 bytes"),
        (np.zeros(2 * 5056, np.uint8)[::2], RuntimeError, "contiguous"),
        (broken, RuntimeError, "Invalid mt19937 state"),
        (np.zeros(5056, np.uint8), RuntimeError, "Invalid mt19937 state"),
    ):
        with pytest.raises(error, match=message):
            g.set_state(state)
    np.testing.assert_array_equal(g.state_array(), good)


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g)), Generator.clone_state])
def test_copies_go_on_alone(twin):
    g = seeded(4)
    g.normal(3)
    other = twin(g)
    assert other is not g
    a = g.random(5).tolist()
    assert other.random(5).tolist() == a
    assert other.initial_seed() == 4


def test_other_devices_have_no_generator():
    assert Generator("cpu").device == Generator().device == Generator("cpu:0").device == "cpu"
    with pytest.raises(RuntimeError, match="got device 'cuda', expected 'cpu'"):
        Generator("cuda")


def test_module_functions_serve_the_default_generator():
    before = generator.default_generator.get_state()
    try:
        assert generator.manual_seed(3.0) is generator.default_generator
        assert generator.initial_seed() == 3
        np.testing.assert_array_equal(generator.default_generator.random(3), seeded(3).random(3))
        assert generator.seed() == generator.initial_seed()
    finally:
        generator.default_generator.set_state(before)


# ---- how draws use the stream --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, BFLOAT16, np.complex64], ids=str)
def test_uniform_draws_do_not_depend_on_how_they_are_cut(dtype):
    n = 2 * draws.CHUNK + 5
    whole = seeded(1).uniform(n, -1.0, 3.0, dtype)
    g = seeded(1)
    parts = [g.uniform(k, -1.0, 3.0, dtype) for k in (1, 0, draws.CHUNK, n - 1 - draws.CHUNK)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    np.testing.assert_array_equal(whole.reshape(-1, 1), seeded(1).uniform((n, 1), -1.0, 3.0, dtype))


def test_normal_blocks_larger_than_a_chunk_equal_smaller_ones():
    n = 3 * draws.CHUNK
    g = seeded(1)
    np.testing.assert_array_equal(seeded(1).normal(n), np.concatenate([g.normal(16), g.normal(n - 16)]))


def test_normal_pairs_do_not_depend_on_how_they_are_cut():
    g = seeded(2)
    parts = [g.normal(k, np_dtype=np.float64) for k in (1, 3, 0, 15, 1, 7, 5)]
    np.testing.assert_allclose(np.concatenate(parts), seeded(2).normal(32, np_dtype=np.float64, contiguous=False), rtol=1e-15)


def test_many_normal_pairs_equal_few_at_a_time():
    g = seeded(2)
    parts = [g.normal(15, np_dtype=np.float64) for _ in range(20)]
    np.testing.assert_allclose(seeded(2).normal(300, np_dtype=np.float64, contiguous=False), np.concatenate(parts), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_rest_of_a_normal_draw_is_its_last_sixteen_values_anew(dtype):
    long, short = seeded(3).normal(21, 1.0, 2.0, dtype), seeded(3).normal(16, 1.0, 2.0, dtype)
    np.testing.assert_array_equal(long[:5], short[:5])
    assert not np.any(long[5:16] == short[5:])


def test_empty_draws_take_nothing():
    g = seeded()
    before = g.state_array()
    for draw in (g.random, g.normal, g.exponential, g.log_normal, g.random_full):
        assert draw((0, 3)).shape == (0, 3)
    assert g.permutation(0).tolist() == []
    assert g.permutation(1).tolist() == [0]
    assert g.randint(0, 5, (2, 0)).shape == (2, 0)
    assert g.bernoulli(0.5, 0).shape == (0,)
    assert g.multinomial(np.ones((0, 3), np.float32), 2).shape == (0, 2)
    np.testing.assert_array_equal(g.state_array(), before)


def test_threads_share_a_stream_without_losing_a_word():
    g, got = seeded(), []

    def work() -> None:
        for _ in range(50):
            got.append(g.random(100))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_array_equal(np.sort(np.concatenate(got)), np.sort(seeded().random(4 * 50 * 100)))


# ---- what each draw promises ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform_never_reaches_its_upper_bound(dtype):
    for low, high in ((0.0, 1.0), (1.0, 1.0 + 4 * np.finfo(dtype).eps), (-3.0, 2.0)):
        x = seeded().uniform(20000, low, high, dtype)
        assert x.dtype == dtype
        assert x.min() >= dtype(low)
        assert x.max() < dtype(high)
    assert set(seeded().uniform(5, 2.0, 2.0, dtype).tolist()) == {2.0}


def test_bfloat16_uniform_never_reaches_its_upper_bound():
    x = dtypes.bfloat16_to_float32(seeded().random(5000, BFLOAT16))
    assert x.min() >= 0
    assert x.max() < 1


def test_uniform_refuses_what_is_no_range():
    for low, high, dtype, message in (
        (1, 0, np.float32, "found from=1 > to=0"),
        (0, 1e39, np.float32, "to is out of bounds for float32"),
        (-1e5, 0, np.float16, "from is out of bounds for float16"),
        (float("nan"), 1, np.float32, "from is out of bounds"),
        (-3e38, 3e38, np.float32, "expects to - from"),
    ):
        with pytest.raises(RuntimeError, match=message):
            seeded().uniform(3, low, high, dtype)
    with pytest.raises(NotImplementedError, match="\"uniform\" not implemented for 'Long'"):
        seeded().uniform(3, 0, 1, np.int64)


def test_moments_are_those_of_the_distribution():
    g, n = seeded(11), 200_000
    for values, mean, variance in (
        (g.random(n), 1 / 2, 1 / 12),
        (g.uniform(n, -2, 4, np.float64), 1, 3),
        (g.normal(n, 3, 2), 3, 4),
        (g.normal(n, 3, 2, contiguous=False), 3, 4),
        (g.exponential(n, 2.0), 1 / 2, 1 / 4),
        (g.geometric(n, 0.25), 4, 12),
        (g.bernoulli(0.3, n), 0.3, 0.21),
        (g.randint(-5, 6, n), 0, 10),
        (np.log(g.log_normal(n, 0.5, 0.25)), 0.5, 1 / 16),
        (np.abs(np.arctan(g.cauchy(n, 0, 1, np.float64))), math.pi / 4, math.pi**2 / 48),
    ):
        assert abs(np.mean(values, dtype=np.float64) - mean) < 5 * math.sqrt(variance / n)
        assert abs(np.var(values, dtype=np.float64) / variance - 1) < 0.05


def test_complex_normal_has_variance_one_in_all():
    z = seeded().normal((1000, 50), np_dtype=np.complex64)
    assert z.dtype == np.complex64
    assert abs(np.var(z) - 1) < 0.02
    assert abs(np.var(z.real) - 0.5) < 0.02


def test_bernoulli_takes_an_array_of_probabilities():
    p = np.array([0.0, 0.25, 1.0], np.float32)
    x = seeded().bernoulli(p, (10000, 3))
    assert x.dtype == np.bool_
    assert x[:, 0].sum() == 0
    assert x[:, 2].all()
    assert abs(x[:, 1].mean() - 0.25) < 0.02
    np.testing.assert_array_equal(x, seeded().random((10000, 3)) < p)


@pytest.mark.parametrize("p", [0.0, 0.5, 0.3, 1e-9, 1.0])
def test_bernoulli_compares_unit_float64_values(p):
    np.testing.assert_array_equal(seeded().bernoulli(p, 3000), seeded().random(3000, np.float64) < p)


def test_dropout_mask_keeps_one_minus_p():
    np.testing.assert_array_equal(seeded().dropout_mask(0.2, (30, 40)), seeded().bernoulli(0.8, (30, 40)))


def test_randint_covers_its_range_and_stays_inside():
    for low, high, dtype in ((-3, 4, np.int8), (0, 2, np.bool_), (250, 256, np.uint8), (5, 6, np.float32)):
        x = seeded().randint(low, high, 500, dtype)
        assert x.dtype == dtype
        assert sorted(set(x.astype(int).tolist())) == list(range(low, high))


def test_randint_takes_long_words_from_two_to_the_28_on():
    def taken(count: int) -> int:
        g = seeded()
        g.randint(0, count, 10)
        return int(g.state_array()[16])

    assert taken(2**28 - 1) == 10
    assert taken(2**28) == 20


def test_randint_without_upper_bound_reaches_the_largest_value():
    assert seeded().randint(250, None, 500, np.uint8).max() == 255
    assert seeded().randint(2**24 - 3, None, 500, np.float32).max() == 2**24
    assert seeded().randint(-(2**63), None, 500).min() < -(2**62)


def test_float_bounds_move_inwards_to_values_that_the_dtype_holds():
    with pytest.warns(UserWarning, match="float16 does not hold every integer"):
        assert draws.integer_range(0, 65504, "float16") == (0, 65472)  # 65503 would be rounded to 65504
    with pytest.warns(UserWarning, match="float32 does not hold every integer"):
        assert draws.integer_range(-(2**26) - 6, 5, "float32")[0] == -(2**26)  # -2^26 - 5 would be rounded to -2^26 - 8


def test_randint_refuses_bounds_that_do_not_fit():
    for low, high, dtype, error, message in (
        (5, 5, np.int64, RuntimeError, "from=5 >= to=5"),
        (0, 300, np.uint8, RuntimeError, "to - 1 is out of bounds for uint8: got 299"),
        (-1, 5, np.uint64, RuntimeError, "from is out of bounds for uint64"),
        (0, 70000, np.float16, RuntimeError, "to - 1 is out of bounds for float16"),
        (0, 2**63, np.int64, ValueError, "expected 64-bit integers"),
        (0, 2, np.complex64, RuntimeError, "complex64"),
        (-(2**63), None, np.int32, RuntimeError, "got int32"),
    ):
        with pytest.raises(error, match=message):
            seeded().randint(low, high, 3, dtype)
    with pytest.raises(NotImplementedError, match="uint16"):
        seeded().random_full(3, np.uint16)


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.int8, 127), (np.uint8, 255), (np.bool_, 1), (np.float16, 2**11), (BFLOAT16, 2**8)], ids=str
)
def test_random_full_covers_the_dtype(dtype, largest):
    x = dtypes.cast(seeded().random_full(40000, dtype), np.dtype(np.float64))
    assert x.min() == 0
    assert x.max() == largest


@pytest.mark.parametrize("n", [2, 3, 10, 499, 500, 501, 5000])
def test_both_ways_to_shuffle_agree(n):
    for seed in range(20):
        targets = np.arange(n) + seeded(seed).random(n, np.float64) * np.arange(n, 0, -1)
        targets = targets.astype(np.int64)
        np.testing.assert_array_equal(draws.swap_all(targets), draws.swap_one_by_one(targets))
    unmoved = np.arange(n)
    np.testing.assert_array_equal(draws.swap_all(unmoved), unmoved)
    to_the_end = np.full(n, n - 1)
    np.testing.assert_array_equal(draws.swap_all(to_the_end), draws.swap_one_by_one(to_the_end))


def test_permutation_holds_every_number_once():
    for n in (7, 600):
        x = seeded().permutation(n)
        assert x.dtype == np.int64
        assert sorted(x.tolist()) == list(range(n))
    with pytest.raises(RuntimeError, match="negative dimension -1"):
        seeded().permutation(-1)
    with pytest.raises(NotImplementedError, match="n = 300000000"):
        seeded().permutation(300_000_000)


def test_multinomial_draws_with_the_given_weights():
    weights = np.array([[1.0, 3.0, 0.0, 4.0], [0.0, 0.0, 2.0, 0.0]])
    with_replacement = seeded().multinomial(weights, 20000, True)
    assert with_replacement.shape == (2, 20000)
    np.testing.assert_allclose(np.bincount(with_replacement[0], minlength=4) / 20000, weights[0] / 8, atol=0.02)
    assert set(with_replacement[1].tolist()) == {2}
    singles = seeded().multinomial(np.broadcast_to(weights[0], (20000, 4)), 1)
    np.testing.assert_allclose(np.bincount(singles[:, 0], minlength=4) / 20000, weights[0] / 8, atol=0.02)
    without = seeded().multinomial(weights[:1], 3)
    assert sorted(without[0].tolist()) == [0, 1, 3]


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_refuses_what_are_no_weights(replacement):
    for probs, message in (
        ([[-1.0, 2.0]], "element < 0"),
        ([[np.nan, 2.0]], "`nan`"),
        ([[np.inf, 2.0]], "`inf`"),
        ([[1.0, 1.0], [0.0, 0.0]], "sum of probabilities <= 0"),
        (np.ones((2, 2, 2)), "1 or 2 dim"),
    ):
        with pytest.raises(RuntimeError, match=message):
            seeded().multinomial(np.array(probs, np.float32), 2, replacement)
    with pytest.raises(RuntimeError, match="floating-point"):
        seeded().multinomial(np.array([1, 2]), 1, replacement)
    with pytest.raises(RuntimeError, match="n_sample <= 0"):
        seeded().multinomial(np.ones(3, np.float32), 0, replacement)
    with pytest.raises(RuntimeError, match="without replacement"):
        seeded().multinomial(np.ones(3, np.float32), 4)


def test_parameters_outside_their_range_are_refused():
    g = seeded()
    for draw, message in (
        (lambda: g.normal(3, 0, -1), "found std -1"),
        (lambda: g.normal(3, 0, float("nan")), "found std nan"),
        (lambda: g.log_normal(3, 0, 0), "found std=0"),
        (lambda: g.exponential(3, 0), "found lambda=0"),
        (lambda: g.geometric(3, 1), "got p=1"),
        (lambda: g.cauchy(3, 0, 0), "found sigma=0"),
        (lambda: g.bernoulli(1.5, 3), "got p=1.5"),
        (lambda: g.bernoulli(float("nan"), 3), "got p=nan"),
        (lambda: g.bernoulli(np.array([0.5, 2.0]), 2), "got one outside"),
    ):
        with pytest.raises(RuntimeError, match=message):
            draw()
    for draw in (g.normal, g.log_normal, g.exponential, g.cauchy):
        with pytest.raises(NotImplementedError, match="int32"):
            draw(3, np_dtype=np.int32)
    with pytest.raises(NotImplementedError, match="uint16"):
        g.geometric(3, 0.5, np.uint16)
    with pytest.raises(NotImplementedError, match="int64"):
        g.bernoulli(np.array([0, 1]), 2)


def test_scaling_rounds_once():
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.random(20)
        factor, offset = (float(v) for v in rng.normal(size=2) * 10.0 ** rng.integers(-8, 8, 2))
        exact = [float(Fraction(v) * Fraction(factor) + Fraction(offset)) for v in x.tolist()]
        assert draws.scale(x, factor, offset).tolist() == exact
    assert draws.scale(np.array([0.5]), 1e300, 1.0).tolist() == [5e299]
    assert draws.scale(np.array([0.5]), 0.0, 1.0).tolist() == [1.0]
