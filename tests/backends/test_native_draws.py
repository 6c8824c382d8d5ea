"""Random draws: csrc/kernels/draws.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch
from mytorch import backends
from mytorch.twister import Twister
from tests.backends.agreement import check, declines, floats, instruction_sets, native_as, needs_native

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
SIZES = [0, 1, 2, 3, 7, 8, 15, 16, 17, 311, 312, 623, 624, 625, 4095, 4097, 10_001]


def twister(seed, drawn=0):
    """A stream that was read before, also by an odd number of words."""
    source = Twister(0)
    source._legacy_seeding(seed)
    source.random_raw(drawn)
    return source


def place(source):
    state = source.state["state"]
    return state["pos"], state["key"].tobytes()


def draws_alike(name, *args, seed=0, drawn=0, **options):
    """Override and reference draw the same bits, and leave the stream at the same place."""
    kernel = backends.kernels[name]
    reference = twister(seed, drawn)
    expected = kernel.reference(reference, *args, **options)
    for isa in instruction_sets():
        source = twister(seed, drawn)
        with native_as(isa):
            found = kernel.override(source, *args, **options)
        assert found is not NotImplemented
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), isa
        np.testing.assert_array_equal(found, expected, err_msg=isa)
        assert place(source) == place(reference), isa


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 1000])
@pytest.mark.parametrize("n", SIZES)
def test_draws_of_the_same_words(n, drawn):
    for dtype in (FLOAT32, FLOAT64):
        draws_alike("draw_uniform", n, dtype, low=0.0, high=1.0, drawn=drawn)
        draws_alike("draw_uniform", (n,), dtype, low=float(dtype.type(-0.3)), high=float(dtype.type(1.7)), drawn=drawn)
    draws_alike("draw_bernoulli", n, threshold=3 << 50, drawn=drawn)
    draws_alike("draw_integers", n, low=-7, count=50_257, drawn=drawn)
    draws_alike("draw_permutation", n, drawn=drawn)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3000), st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_draws_from_any_place_of_any_stream(seed, drawn, n):
    draws_alike("draw_uniform", n, FLOAT32, low=0.0, high=1.0, seed=seed, drawn=drawn)
    draws_alike("draw_permutation", n, seed=seed, drawn=drawn)


@given(st.floats(-(2.0**99), 2.0**99, width=32), st.floats(0, 2.0**99, width=32))
@settings(max_examples=30, deadline=None)
def test_uniform_in_any_range(low, width):
    for dtype in (FLOAT32, FLOAT64):
        first, last = float(dtype.type(low)), float(dtype.type(low) + dtype.type(width))
        draws_alike("draw_uniform", 100, dtype, low=first, high=last)


def test_uniform_never_reaches_its_upper_bound():
    high = float(np.nextafter(np.float32(1), np.float32(2)))
    draws_alike("draw_uniform", 10_000, FLOAT32, low=1.0, high=high)  # rounding would make half of them `high`
    y = backends.kernels["draw_uniform"].override(twister(0), 10_000, FLOAT32, low=1.0, high=high)
    assert (y == 1).all()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 2**16, 2**28 - 1, 2**31, 2**32 - 1])
def test_remainders_are_exact(count):
    draws_alike("draw_integers", 20_000, low=-(2**40), count=count)


@pytest.mark.parametrize("threshold", [0, 1, 2**52, 2**53 - 1, 2**53])
def test_bernoulli_from_never_to_always(threshold):
    draws_alike("draw_bernoulli", (3, 2001), threshold=threshold)
    mean = backends.kernels["draw_bernoulli"].override(twister(1), 20_000, threshold=threshold).mean()
    assert abs(mean - threshold / 2**53) < 0.02


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 16, 32, 48, 128, 144, 8192, 8208, 100_000])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 2.0)])
def test_box_muller(n, dtype, mean, std):
    units = np.random.default_rng(0).random(n).astype(dtype)
    units[: n // 16] = 0  # logarithm of 1, angle 0
    if dtype == np.float32:
        units[n // 2 :] = np.floor(units[n // 2 :] * 2**24) / 2**24  # as drawn: below 1
    units = np.minimum(units, np.nextafter(dtype(1), dtype(0)))
    check("box_muller", units, mean=mean, std=std, in_place=(0,), rtol=2e-6, atol=2e-6)


def test_box_muller_is_as_exact_as_float32_allows():
    units = np.random.default_rng(1).integers(0, 2**24, 160_000).astype(np.float32) / np.float32(2**24)
    u, v = (units.reshape(-1, 2, 8)[:, i].astype(np.float64) for i in (0, 1))
    angle = (np.float32(2 * np.pi) * v.astype(np.float32)).astype(np.float64)
    radius = np.sqrt(-2 * np.log(1 - u))
    exact = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
    for isa in instruction_sets():
        x = units.copy()
        with native_as(isa):
            backends.kernels["box_muller"].override(x, mean=0.0, std=1.0)
        np.testing.assert_allclose(x, exact, rtol=3e-7, atol=3e-7, err_msg=isa)


def test_box_muller_declines_what_is_not_float():
    kernel = backends.kernels["box_muller"].override
    assert kernel(np.zeros(16, np.float16), mean=0.0, std=1.0) is NotImplemented
    with pytest.raises(ValueError, match="blocks of 16"):
        kernel(floats(17), mean=0.0, std=1.0)
    with pytest.raises(ValueError, match="contiguous"):
        kernel(floats(32)[::2], mean=0.0, std=1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (15,), (17,), (64, 65), (100_003,)])
def test_dropout(shape, dtype):
    x = floats(*shape, dtype=dtype, edges=True)
    check("dropout_forward", x, np.random.default_rng(0).random(shape) < 0.5, scale=1 / 0.7, bitwise=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_of_whole_channels(dtype):
    x = floats(7, 9, 5, 11, dtype=dtype, edges=True)
    check("dropout_forward", x, np.random.default_rng(0).random((7, 9, 1, 1)) < 0.5, scale=1 / 0.7, bitwise=True)


def test_dropout_declines():
    x, mask = floats(100, 100), np.ones((100, 100), bool)
    declines("dropout_forward", x.T, mask, scale=2.0)
    declines("dropout_forward", x, mask[0], scale=2.0)
    declines("dropout_forward", x.astype(np.float16), mask, scale=2.0)
    declines("dropout_forward", x[0], mask[0], scale=2.0)


def test_a_state_of_another_shape_is_refused():
    from mytorch.backends.native.extension import K

    with pytest.raises(ValueError, match="625 words"):
        K.draw_uniform(np.zeros(624, np.uint32), floats(4), 0.0, 1.0)
    with pytest.raises(ValueError, match="at most 624"):
        K.draw_uniform(np.full(625, 625, np.uint32), floats(4), 0.0, 1.0)


def test_a_stream_goes_on_between_numpy_and_native_kernels():
    """One word at a time from NumPy, some from a kernel, and again: the words of one stream, in order."""
    source, plain = twister(5), np.random.MT19937(0)
    plain._legacy_seeding(5)
    words = plain.random_raw(5000)
    at = 0
    for n in (1, 600, 30, 700, 5):
        np.testing.assert_array_equal(source.random_raw(n), words[at : at + n])
        at += n
        integers = backends.kernels["draw_integers"].override(source, n, low=0, count=2**32 - 1)
        np.testing.assert_array_equal(integers, words[at : at + n] % (2**32 - 1))
        at += n


def test_the_generators_state_is_restored_in_the_middle_of_a_block():
    g = mytorch.Generator().manual_seed(3)
    mytorch.rand(1001, generator=g)
    state = g.get_state()
    first = mytorch.randn(1000, generator=g), mytorch.randperm(100, generator=g)
    g.set_state(state)
    second = mytorch.randn(1000, generator=g), mytorch.randperm(100, generator=g)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_without_the_twisters_memory_the_reference_answers():
    source = twister(0)
    source.memory = None
    assert backends.kernels["draw_uniform"].override(source, 4, FLOAT32, low=0.0, high=1.0) is NotImplemented
    np.testing.assert_array_equal(backends.kernels["draw_uniform"](source, 4, FLOAT32, low=0.0, high=1.0),
                                  backends.kernels["draw_uniform"](twister(0), 4, FLOAT32, low=0.0, high=1.0))
