"""Softmax and its relatives, and cross entropy: csrc/kernels/softmax.cpp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.cross_entropy
import mytorch.ops.softmax
import mytorch.ops.statistics
from mytorch import backends
from tests.backends.agreement import check, declines, floats, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

FORWARD = ["softmax_forward", "log_softmax_forward"]
SHAPES = [(1,), (7,), (16,), (17,), (128, 10), (70, 65), (5, 3, 1000), (2, 100_003)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FORWARD)
def test_last_dimension(name, shape, dtype):
    x = floats(*shape, dtype=dtype) * 4
    check(name, x, dim=len(shape) - 1, rtol=1e-5, atol=2e-6)
    y = backends.kernels[name].reference(x, dim=-1)
    check(name.replace("forward", "backward"), floats(*shape, dtype=dtype, seed=1), y, dim=-1, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("shape", [(3, 5, 7), (20, 30, 16), (4, 130, 33)])
@pytest.mark.parametrize("name", FORWARD)
def test_other_dimensions(name, shape, dim, dtype):
    x = floats(*shape, dtype=dtype) * 4
    check(name, x, dim=dim, rtol=1e-5, atol=2e-6)
    y = backends.kernels[name].reference(x, dim=dim)
    check(name.replace("forward", "backward"), floats(*shape, dtype=dtype, seed=1), y, dim=dim, rtol=1e-4, atol=1e-5)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_any_shape(shape, dim):
    x, dim = floats(*shape), dim % len(shape)
    check("softmax_forward", x, dim=dim, atol=1e-6)
    check("log_softmax_backward", x, x, dim=dim, rtol=1e-4, atol=1e-4)
    check("logsumexp_forward", x, dim=(dim,), keepdim=False, atol=3e-6)


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0)])
def test_sizes_of_zero(name, shape):
    check(name, floats(*shape), dim=len(shape) - 1)
    check(name.replace("forward", "backward"), floats(*shape), floats(*shape), dim=len(shape) - 1)


@pytest.mark.parametrize("dim", [0, 1])
def test_special_numbers(dim):
    x = floats(50, 60)
    x[1, 2], x[3, 4], x[5, 6], x[7], x[9, :30], x[:, 13] = math.nan, math.inf, -math.inf, -math.inf, -math.inf, -300
    x[11, 12] = 3e38
    for name in FORWARD:
        check(name, x, dim=dim, atol=1e-6)
    check("logsumexp_forward", x, dim=(dim,), keepdim=True, atol=3e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_probabilities_keep_their_digits(dtype):
    x = np.linspace(-110, 0, 4001).astype(dtype)
    check("softmax_forward", x, dim=0, rtol=3e-5, atol=3e-45 if dtype == np.float32 else 1e-300)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keepdim", [True, False])
@pytest.mark.parametrize("dim", [(0,), (1,), (2,), (0, 1, 2), None])
def test_logsumexp(dim, keepdim, dtype):
    check("logsumexp_forward", floats(30, 40, 5, dtype=dtype) * 5, dim=dim, keepdim=keepdim, atol=5e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("ignore_index", [-100, 3, 1])
@pytest.mark.parametrize("shape", [(1, 4), (128, 10), (70, 65), (3, 5000), (0, 5)])
def test_cross_entropy(shape, ignore_index, reduction, dtype):
    x, target = floats(*shape, dtype=dtype) * 4, np.random.default_rng(1).integers(0, 4, shape[0])
    if ignore_index < 0:
        target[:1] = ignore_index
    options = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": 0.0}
    check("cross_entropy_forward", x, target, None, **options, atol=1e-5)
    y, p = backends.kernels["cross_entropy_forward"].reference(x, target, None, **options)
    g = np.asarray(floats(*y.shape, dtype=dtype, seed=2))
    check("cross_entropy_backward", g, p, target, None, shape=shape, **options, atol=1e-6)


def test_cross_entropy_of_infinite_scores():
    x, target = floats(40, 30), np.arange(40) % 30
    x[1, 1], x[2, 5], x[3, 3], x[4] = -math.inf, -math.inf, math.nan, -1e30
    for ignore_index in (-100, 1, 3):
        check("cross_entropy_forward", x, target, None, ignore_index=ignore_index, reduction="none", label_smoothing=0.0, atol=1e-5)


@pytest.mark.parametrize("wrong", [-1, 10])
def test_wrong_class_is_refused(wrong):
    x, target = torch.zeros(100, 10), torch.tensor([3] * 99 + [wrong])
    with pytest.raises(IndexError, match=f"Target {wrong} is out of bounds"):
        torch.nn.functional.cross_entropy(x, target)


@pytest.mark.parametrize("x", [floats(30, 400).astype(">f4"), floats(30, 400).T, floats(30, 400).astype(np.float16),
                               unaligned(floats(30, 400))],
                         ids=["big-endian", "transposed", "half", "unaligned"])
def test_declined(x):
    for name in FORWARD:
        declines(name, x, dim=0)
        declines(name.replace("forward", "backward"), x, x, dim=0)
    declines("logsumexp_forward", x, dim=(0,), keepdim=False)


def test_declined_with_weights_and_smoothing():
    x, target = floats(100, 10), np.zeros(100, np.int64)
    declines("cross_entropy_forward", x, target, floats(10), ignore_index=-100, reduction="mean", label_smoothing=0.0)
    declines("cross_entropy_forward", x, target, None, ignore_index=-100, reduction="mean", label_smoothing=0.1)
    declines("logsumexp_forward", floats(10, 10, 10), dim=(0, 1), keepdim=False)
