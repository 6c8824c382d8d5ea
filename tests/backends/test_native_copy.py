"""Copies of transposed arrays, and arrays joined: csrc/kernels/copy.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch.ops.elementwise
import mytorch.ops.joining  # noqa: F401 - both register kernels
from tests.backends.agreement import check, declines, floats, needs_native, unaligned

pytestmark = needs_native


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.uint32])
@pytest.mark.parametrize("case", [((64, 48), (1, 0)), ((65, 47), (1, 0)), ((1000, 3), (1, 0)), ((3, 1000), (1, 0)), ((2, 16, 30, 20), (0, 2, 3, 1)),
                                  ((2, 30, 4, 32), (0, 2, 1, 3)), ((5, 6, 7, 8), (3, 1, 2, 0)), ((40, 1, 50), (2, 1, 0)),
                                  ((2, 3, 4, 5, 6, 7), (5, 3, 1, 4, 2, 0)), ((0, 5), (1, 0)), ((600, 700), (1, 0))])
def test_permuted(case, dtype):
    shape, dims = case
    x = floats(*shape, edges=True) if dtype == np.float32 else np.arange(np.prod(shape)).reshape(shape)
    check("contiguous", x.astype(dtype).transpose(dims), bitwise=True)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_permuted_any_way(shape, random):
    dims = list(range(len(shape)))
    random.shuffle(dims)
    x = floats(*shape).transpose(dims)
    if not x.flags.c_contiguous and x.size > 1 and x.T.ndim > 1 and sum(n > 1 for n in x.shape) > 1:
        check("contiguous", x, bitwise=True)


def test_rows_that_are_repeated_apart_or_reversed():
    x = floats(70, 90)
    check("contiguous", np.broadcast_to(x, (3, 70, 90)), bitwise=True)
    check("contiguous", x[::2], bitwise=True)
    check("contiguous", x[::-1], bitwise=True)
    check("contiguous", x.T[:, ::-1], bitwise=True)


@pytest.mark.parametrize("x", [floats(8, 8).T, floats(64, 64).astype(np.float16).T, floats(64, 64)[::2, ::2], floats(64, 90).T[::3],
                               unaligned(floats(64, 64)).T, floats(64, 64).astype(np.complex64).T],
                         ids=["small", "2 bytes", "apart both ways", "transposed and apart", "unaligned", "complex"])
def test_declined(x):
    declines("contiguous", x)


def test_shapes_that_do_not_fit_are_refused():
    from mytorch.backends.native.extension import K

    for wrong in (np.empty((6, 4), np.float32), np.empty((4, 6)), np.empty((6, 4), np.float32).T):
        with pytest.raises(ValueError, match="one shape"):
            K.copy(floats(6, 4).T, wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize("case", [((70, 90), 1, 3), ((16, 128, 128), 2, 3), ((4, 5, 600), 1, 2), ((70, 90), 0, 4), ((100_000,), 0, 2),
                                  ((33, 1), 1, 40), ((3, 40_000), 1, 2), ((1, 1), 0, 2)])
def test_joined(case, dtype):
    shape, dim, count = case
    xs = []
    for i in range(count):
        own = list(shape)
        own[dim] += i % 3
        xs.append((floats(*own, seed=i, edges=True) if dtype == np.float32 else np.arange(np.prod(own)).reshape(own)).astype(dtype))
    check("joined", tuple(xs), dim=dim, bitwise=True)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.data())
@settings(max_examples=40, deadline=None)
def test_joined_along_any_dimension(shape, data):
    dim = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=4))
    check("joined", tuple(floats(*shape[:dim], n, *shape[dim + 1:], seed=n) for n in sizes), dim=dim, bitwise=True)


@pytest.mark.parametrize("xs", [(floats(80, 80), floats(80, 80).T), (floats(80, 80), unaligned(floats(80, 80))), (floats(4, 4), floats(0, 4)),
                                (floats(80, 80).astype(np.float16),) * 2, (floats(80, 80).astype(np.complex64),) * 2],
                         ids=["not in order", "unaligned", "empty", "2 bytes", "complex"])
def test_joining_is_declined(xs):
    declines("joined", xs, dim=0)


def test_a_part_that_does_not_fit_is_refused():
    from mytorch.backends.native.extension import K

    x, y = floats(6, 4), np.empty((6, 9), np.float32)
    for begin, outer in ((6, 6), (-1, 6), (0, 5), (0, 0)):
        with pytest.raises(ValueError, match=r"fits|in order"):
            K.put(x, y, outer, begin)
