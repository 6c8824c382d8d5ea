"""Rows of tables, and choices by a mask: csrc/kernels/choose.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.embedding
from tests.backends.agreement import check, declines, floats, needs_native, unaligned

pytestmark = needs_native

LOOK_UP = {"padding_idx": -1, "by_frequency": False}


def places(rows, *shape, dtype=np.int64):
    return np.random.default_rng(5).integers(0, rows, shape).astype(dtype)


@pytest.mark.parametrize("kind", [np.int64, np.int32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("shape", "width"), [((3,), 1), ((7, 9), 5), ((), 20), ((0,), 4), ((300, 40), 130)])
def test_rows_of_a_table(shape, width, dtype, kind):
    check("embedding_forward", floats(11, width, dtype=dtype), places(11, *shape, dtype=kind), bitwise=True, **LOOK_UP)


@pytest.mark.parametrize("kind", [np.int64, np.int32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", [-1, 3])
@pytest.mark.parametrize(("shape", "width"), [((3,), 1), ((7, 9), 5), ((), 20), ((0,), 4), ((300, 40), 130), ((16, 128), 128)])
def test_gradient_of_a_table(shape, width, padding, dtype, kind):
    check("embedding_grad", floats(*shape, width, dtype=dtype), places(11, *shape, dtype=kind), rows=11, padding_idx=padding, by_frequency=False,
          bitwise=True)


def test_large_table():
    check("embedding_grad", floats(20, 300), places(3000, 20), rows=3000, padding_idx=-1, by_frequency=False, bitwise=True)


def test_row_that_is_not_there_is_refused():
    with pytest.raises(IndexError, match="index out of range"):
        torch.nn.functional.embedding(torch.full((100,), 11), torch.zeros(11, 64))


def test_row_that_is_not_there_is_left_to_the_reference():
    from mytorch.backends.native import choose

    assert choose.embedding_forward(floats(11, 64), np.full(100, 11), **LOOK_UP) is NotImplemented
    assert choose.embedding_grad(floats(100, 64), np.full(100, -1), rows=11, padding_idx=-1, by_frequency=False) is NotImplemented


BROADCASTS = [((4, 5), (4, 5)), ((70, 65), (65,)), ((2, 3, 40, 50), (40, 50)), ((2, 3, 40, 50), (2, 1, 1, 50)), ((100_003,), (100_003,)),
              ((30, 40), (30, 1)), ((0, 4), (4,)), ((), ())]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "mask"), BROADCASTS)
def test_masked_fill(shape, mask, dtype):
    chosen = floats(*mask, seed=1) > 0 if mask else np.ones((), bool)
    for value in (-np.inf, 3, np.float64(0.1), np.asarray(-0.0)):
        check("masked_fill_forward", floats(*shape, dtype=dtype), chosen, value, bitwise=True)


def test_masked_fill_of_transposed_arrays():
    check("masked_fill_forward", floats(30, 40).T, (floats(30, 40, seed=1) > 0).T, 1.0, bitwise=True)
    check("masked_fill_forward", floats(30, 40)[:, ::2], (floats(30, 40, seed=1) > 0)[:, ::2], 1.0, bitwise=True)


@pytest.mark.parametrize("shapes", [((40, 50), (40, 50), (40, 50)),
                                    ((40, 50), (50,), (40, 1)), ((50,), (40, 50), ()), ((2, 1, 5), (3, 1), (2, 3, 5))])
def test_where(shapes):
    condition, a, b = shapes
    check("where_forward", floats(*condition) > 0, floats(*a, seed=1), np.asarray(floats(*b, seed=2)), bitwise=True)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 15), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_any_broadcast(shape, ones, dropped):
    small = [1 if ones >> i & 1 else n for i, n in enumerate(shape)][dropped:]
    check("masked_fill_forward", floats(*shape), np.asarray(floats(*small, seed=1) > 0), 2.0, bitwise=True)
    check("where_forward", floats(*shape) > 0, np.asarray(floats(*small, seed=1)), floats(*shape, seed=2), bitwise=True)


def test_where_keeps_the_sign_of_zero():
    y = torch.where(torch.ones(100, 100) > 0, torch.tensor(-0.0), torch.ones(100, 100))
    assert np.signbit(y.numpy()).all()


@pytest.mark.parametrize("x", [floats(32), floats(100, 128).astype(">f4"), floats(100, 128).astype(np.float16), unaligned(floats(100, 128))],
                         ids=["small", "big-endian", "half", "unaligned"])
def test_declined(x):
    declines("masked_fill_forward", x, np.ones(x.shape, bool), 2.0)
    declines("where_forward", np.ones(x.shape, bool), x, x)


def test_declined_by_frequency():
    declines("embedding_grad", floats(100, 64), places(11, 100), rows=11, padding_idx=-1, by_frequency=True)
