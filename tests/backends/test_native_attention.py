"""Scaled dot-product attention: csrc/kernels/attention.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch.ops.attention  # noqa: F401 - registers its kernels
from mytorch import backends
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

SIZES = [(1, 1, 1, 1), (9, 7, 3, 5), (32, 32, 16, 32), (33, 65, 32, 32), (128, 128, 32, 32), (130, 300, 17, 40), (300, 130, 64, 33),
         (257, 513, 8, 70)]


def attend(q, k, v, mask=None, causal=False, scale=0.3, **tolerance):
    """Forward and gradient agree with the reference."""
    options = {"scale": scale, "causal": causal, "kept": 1.0}
    check("attention_forward", q, k, v, mask, None, **options, **{"rtol": 1e-5, "atol": 2e-5, **tolerance})
    y, lse = backends.kernels["attention_forward"].reference(q, k, v, mask, None, **options)
    g = floats(*y.shape, dtype=q.dtype, seed=7)
    check("attention_grad", g, q, k, v, mask, None, y, lse, **options, **{"rtol": 1e-4, "atol": 1e-4, **tolerance})


def inputs(batch, sizes, dtype=np.float32):
    rows, cols, inner, outer = sizes
    return (floats(*batch, rows, inner, dtype=dtype), floats(*batch, cols, inner, dtype=dtype, seed=1),
            floats(*batch, cols, outer, dtype=dtype, seed=2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_sizes(sizes, causal, dtype):
    attend(*inputs((2,), sizes, dtype), causal=causal)


@given(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40), st.booleans())
@settings(max_examples=15, deadline=None)
def test_any_sizes(batch, rows, cols, inner, outer, causal):
    attend(*inputs(batch, (rows, cols, inner, outer)), causal=causal)


@pytest.mark.parametrize("causal", [False, True])
def test_heads_within_rows(causal):
    x = floats(2, 70, 3, 4, 16)  # (B, T, q k v, H, D), as one projection gives them
    attend(*(x[:, :, i].swapaxes(1, 2) for i in range(3)), causal=causal)


def test_results_lie_in_memory_as_the_query_does():
    x = floats(2, 70, 12, 16)
    options = {"scale": 0.3, "causal": True, "kept": 1.0}
    kernel = backends.kernels["attention_forward"]
    for q in (x.swapaxes(1, 2), x.transpose(1, 2, 0, 3), x, x[:, :, :3].swapaxes(1, 2)):
        with native_as():
            y, _ = kernel.override(q, q, q, None, None, **options)
        assert y.strides == kernel.reference(q, q, q, None, None, **options)[0].strides
    assert kernel(x.swapaxes(1, 2), x.swapaxes(1, 2), x.swapaxes(1, 2), None, None, **options)[0].swapaxes(1, 2).flags.c_contiguous


def test_strided_columns():
    attend(*(x[..., ::2] for x in inputs((2,), (40, 50, 16, 20))))


def test_many_heads_and_few():
    attend(*inputs((3, 3), (300, 40, 8, 8)), causal=True)
    attend(*inputs((1, 1), (600, 700, 8, 8)), causal=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(40, 50), (2, 1, 40, 50), (2, 3, 40, 50), (2, 1, 1, 50), (40, 1)])
def test_masks_broadcast(shape, dtype):
    q, k, v = inputs((2, 3), (40, 50, 16, 20), dtype)
    numbers = floats(*shape, dtype=dtype, seed=3)
    attend(q, k, v, numbers)
    attend(q, k, v, numbers > -0.5)


def test_long_masks():
    q, k, v = inputs((2,), (300, 600, 8, 8))
    attend(q, k, v, floats(300, 600, seed=3) > 0)
    attend(q, k, v, np.where(floats(300, 600, seed=3) > 0, -np.inf, 1).astype(np.float32))


@pytest.mark.parametrize("numbers", [False, True])
def test_query_for_which_nothing_takes_part_gets_zeros(numbers):
    q, k, v = inputs((2,), (300, 600, 8, 8))
    mask = np.ones((300, 600), bool)
    mask[5] = mask[:, 3] = mask[100, :500] = mask[200, 300:] = False
    attend(q, k, v, np.where(mask, 0, -np.inf).astype(np.float32) if numbers else mask)
    y, lse = backends.kernels["attention_forward"].override(q, k, v, mask, None, scale=0.3, causal=False, kept=1.0)
    assert not y[:, 5].any()
    assert not lse[:, 5].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_special_numbers(which, value):
    x = [*inputs((2,), (40, 50, 16, 20))]
    x[which][1, 20, 3] = value
    attend(*x)
    if which < 2:  # a hidden value times 0 is NaN, or left out, as the blocks fall
        check("attention_forward", *x, None, None, atol=2e-5, scale=0.3, causal=True, kept=1.0)


def test_a_bool_mask_hides_nan():
    q, k, v = inputs((2,), (40, 50, 16, 20))
    k[:, 49] = np.nan
    mask = np.ones((40, 50), bool)
    mask[:, 49] = False
    options = {"scale": 0.3, "causal": False, "kept": 1.0}
    check("attention_forward", q, k, v, mask, None, atol=2e-5, **options)


def test_large_scores():
    q, k, v = inputs((2,), (40, 300, 16, 20))
    attend(q * 30, k * 30, v, rtol=1e-3, atol=3e-2)


@pytest.mark.parametrize("convert", [lambda x: x.astype(np.float16), lambda x: x.astype(">f4"), unaligned], ids=["half", "big-endian", "unaligned"])
def test_declined(convert):
    q, k, v = (convert(x) for x in inputs((2,), (100, 100, 16, 20)))
    declines("attention_forward", q, k, v, None, None, scale=0.3, causal=False, kept=1.0)


def test_declined_with_dropout_and_one_query():
    q, k, v = inputs((2,), (100, 100, 16, 20))
    declines("attention_forward", q, k, v, None, np.ones((2, 100, 100), bool), scale=0.3, causal=False, kept=1.0)
    declines("attention_forward", q[:, :1], k, v, None, None, scale=0.3, causal=False, kept=1.0)
    declines("attention_forward", q, k, v, floats(100, 100, dtype=np.float64), None, scale=0.3, causal=False, kept=1.0)
