"""Sorting, and the k largest or smallest: csrc/kernels/order.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch.ops.sorting  # noqa: F401 - registers the kernels
from mytorch import backends
from tests.backends.agreement import EDGES, check, declines, floats, instruction_sets, native_as, needs_native, unaligned

pytestmark = needs_native

DTYPES = [np.float32, np.float64, np.int32, np.int64]
SHAPES = [(1,), (15,), (48,), (49,), (3, 100), (7, 4095), (2, 4096), (100_003,), (40, 3, 17), (2000, 1)]


def numbers(*shape, dtype):
    """Draws among which some are equal, and of floats every special value."""
    if np.dtype(dtype).kind == "f":
        x = np.round(floats(*shape, dtype=dtype), 2)
        x.reshape(-1)[:EDGES.size] = EDGES[:x.size]
        return x
    return np.random.default_rng(0).integers(-1000, 1000, shape).astype(dtype)


def distinct(*shape, dtype):
    """A permutation of distinct numbers, of either sign."""
    n = np.prod(shape)
    return (np.random.default_rng(1).permutation(n) - n // 2).reshape(shape).astype(dtype)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sorted_rows(shape, dtype, descending):
    check("sort_forward", numbers(*shape, dtype=dtype), dim=len(shape) - 1, descending=descending, bitwise=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_whole_range_of_a_type_is_sorted(dtype):
    bits = np.random.default_rng(2).integers(0, 256, 8 * 50_000, dtype=np.uint8).view(dtype)
    check("sort_forward", bits, dim=0, descending=False, bitwise=True)
    check("sort_forward", bits, dim=0, descending=True, bitwise=True)


def test_equal_numbers_keep_their_order():
    for x in (np.tile(np.array([0.0, -0.0], np.float32), 500), np.full(1000, np.nan, np.float32), np.tile(EDGES, 100)):
        for isa in instruction_sets():
            with native_as(isa):
                _, indices = backends.kernels["sort_forward"].override(x, dim=0, descending=True)
                same = (x[indices][1:] == x[indices][:-1]) | (np.isnan(x[indices][1:]) & np.isnan(x[indices][:-1]))
                assert (np.diff(indices)[same] > 0).all()


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "k"), [((100,), 1), ((64, 1000), 10), ((5, 70), 64), ((5, 1000), 100), ((3, 17), 17), ((1, 50_001), 3)])
def test_best_of_rows(shape, k, dtype, largest):
    check("topk_forward", distinct(*shape, dtype=dtype), k=k, dim=len(shape) - 1, largest=largest, bitwise=True)


@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, -1.5, float("inf"), float("-inf"), float("nan"), 1e-42]), min_size=1, max_size=70), st.data())
@settings(max_examples=60, deadline=None)
def test_best_of_a_row_with_equal_and_special_values(values, data):
    k = data.draw(st.integers(1, len(values)))
    x = np.array(values, np.float32)
    kernel = backends.kernels["topk_forward"]
    for largest in (True, False):
        expected, _ = kernel.reference(x, k=k, dim=0, largest=largest)
        for isa in instruction_sets():
            with native_as(isa):
                found, indices = kernel.override(x, k=k, dim=0, largest=largest)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(x[indices], found)
            assert len(set(indices.tolist())) == k


@pytest.mark.parametrize(("x", "dim"), [(floats(20, 20), 0), (floats(20, 20).astype(np.float16), 1), (np.zeros((4, 0), np.float32), 1),
                                    (np.ones((20, 20), np.uint8), 1), (unaligned(floats(20, 20)), 1)])
def test_declined(x, dim):
    declines("sort_forward", x, dim=dim, descending=False)
    if x.shape[dim] > 2:
        declines("topk_forward", x, k=3, dim=dim, largest=True)


def test_shapes_that_do_not_fit_are_refused():
    from mytorch.backends.native.extension import K

    x, places = floats(4, 6), np.empty((4, 6), np.int64)
    with pytest.raises(ValueError, match="one shape"):
        K.sort(x, np.empty((6, 4), np.float32), places, 0)
    with pytest.raises(ValueError, match="expected a contiguous array of the kernel's type"):
        K.sort(x, np.empty((4, 6), np.float32), np.empty((4, 6), np.int32), 0)
    for rows, k in ((4, 7), (3, 2), (4, 0)):
        with pytest.raises(ValueError, match="expected k of each row"):
            K.topk(x, np.empty((rows, k), np.float32), np.empty((rows, k), np.int64), 1)
