"""Norms: csrc/kernels/norm.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mytorch import backends
from mytorch.ops import norm  # noqa: F401 - registers the kernels
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = needs_native

EPS = 1e-5
IMAGES = [(2, 3), (130, 37), (4, 5, 6), (2, 3, 8, 8), (7, 5, 7, 7), (2, 4, 33, 35), (3, 2, 40, 60), (2, 3, 2, 3, 5), (1, 1, 5000)]
ROWS = [((5, 1), (1,)), ((64, 7), (7,)), ((65, 16), (16,)), ((3, 50, 128), (128,)), ((4, 100), (100,)), ((9, 3, 5, 7), (5, 7)), ((2, 5000), (5000,)),
        ((3, 600), (600,))]


def parameters(n, dtype=np.float32):
    """Weight and bias in their four combinations."""
    weight, bias = floats(*n, dtype=dtype, seed=8), floats(*n, dtype=dtype, seed=9)
    return [(weight, bias), (weight, None), (None, bias), (None, None)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", IMAGES)
def test_batch_norm(shape, dtype):
    x, g = floats(*shape, dtype=dtype) * 3 + 1, floats(*shape, dtype=dtype, seed=1)
    running = floats(shape[1], dtype=dtype, seed=2), np.square(floats(shape[1], dtype=dtype, seed=3)) + 0.5
    for weight, bias in parameters((shape[1],), dtype):
        check("batch_norm_forward", x, weight, bias, None, None, training=True, eps=EPS, rtol=1e-4, atol=1e-5)
        check("batch_norm_forward", x, weight, bias, *running, training=False, eps=EPS, rtol=1e-4, atol=1e-5)
        _, mean, var = backends.kernels["batch_norm_forward"].reference(x, weight, bias, None, None, training=True, eps=EPS)
        check("batch_norm_grad", g, x, weight, mean, var, training=True, eps=EPS, rtol=1e-4, atol=1e-4)
        check("batch_norm_grad", g, x, weight, *running, training=False, eps=EPS, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", ROWS)
def test_layer_norm_and_rms_norm(case, dtype):
    full, shape = case
    x, g = floats(*full, dtype=dtype) * 3 + 1, floats(*full, dtype=dtype, seed=1)
    for weight, bias in parameters(shape, dtype):
        check("layer_norm_forward", x, weight, bias, shape=shape, eps=EPS, rtol=1e-4, atol=1e-5)
        _, mean, var = backends.kernels["layer_norm_forward"].reference(x, weight, bias, shape=shape, eps=EPS)
        if shape != (1,):
            check("layer_norm_grad", g, x, weight, mean, var, shape=shape, eps=EPS, rtol=1e-4, atol=1e-4)
        check("rms_norm_forward", x, weight, shape=shape, eps=EPS, rtol=1e-4, atol=1e-5)
        _, rstd = backends.kernels["rms_norm_forward"].reference(x, weight, shape=shape, eps=EPS)
        check("rms_norm_grad", g, x, weight, rstd, shape=shape, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(2, 6), (3, 12, 5), (2, 6, 8, 8), (2, 18, 7, 7), (1, 6, 40, 60)])
def test_group_norm(shape, groups):
    for dtype in (np.float32, np.float64):
        x, g = floats(*shape, dtype=dtype) * 3 + 1, floats(*shape, dtype=dtype, seed=1)
        if x.size == shape[0] * groups:
            continue  # groups of one value
        for weight, bias in parameters((shape[1],), dtype):
            check("group_norm_forward", x, weight, bias, groups=groups, eps=EPS, rtol=1e-4, atol=1e-5)
            _, mean, var = backends.kernels["group_norm_forward"].reference(x, weight, bias, groups=groups, eps=EPS)
            check("group_norm_grad", g, x, weight, mean, var, groups=groups, eps=EPS, rtol=1e-4, atol=1e-4)


@given(st.integers(1, 40), st.integers(2, 300))
@settings(max_examples=25, deadline=None)
def test_rows_of_any_length(rows, width):
    x, g, (weight, bias) = floats(rows, width), floats(rows, width, seed=1), parameters((width,))[0]
    check("layer_norm_forward", x, weight, bias, shape=(width,), eps=EPS, rtol=1e-4, atol=1e-5)
    _, mean, var = backends.kernels["layer_norm_forward"].reference(x, weight, bias, shape=(width,), eps=EPS)
    check("layer_norm_grad", g, x, weight, mean, var, shape=(width,), eps=EPS, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(32, 16, 32, 32), (4096, 8), (2, 3, 300, 301)])
def test_statistics_are_as_accurate_as_float64_makes_them(shape):
    x = floats(*shape) + 1000.0  # the squares have 20 bits more than the variance
    with native_as():
        _, mean, var = backends.kernels["batch_norm_forward"].override(x, None, None, None, None, training=True, eps=EPS)
        _, row_mean, row_var = backends.kernels["layer_norm_forward"].override(x, None, None, shape=shape[1:], eps=EPS)
    dims = (0, *range(2, len(shape)))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(dims), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var(dims), rtol=1e-6)
    flat = exact.reshape(shape[0], -1)
    np.testing.assert_allclose(row_mean, flat.mean(1), rtol=1e-7)
    np.testing.assert_allclose(row_var, flat.var(1), rtol=1e-6)


def test_nan_and_infinity_stay_in_their_row():
    x = floats(4, 128)
    x[1, 5], x[2, 7] = np.nan, np.inf
    with native_as():
        y, mean, var = backends.kernels["layer_norm_forward"].override(x, None, None, shape=(128,), eps=EPS)
    assert np.isnan(y[1:3]).all()
    assert np.isnan(var[1:3]).all()
    assert np.isnan(mean[1])
    assert np.isfinite(y[[0, 3]]).all()


def test_transposed_inputs_and_repeated_gradients():
    x, (weight, bias) = floats(6, 8, 10).transpose(2, 0, 1), parameters((8,))[0]
    check("layer_norm_forward", x, weight, bias, shape=(8,), eps=EPS, atol=1e-4)
    _, mean, var = backends.kernels["layer_norm_forward"].reference(x, weight, bias, shape=(8,), eps=EPS)
    check("layer_norm_grad", np.broadcast_to(np.float32(1), x.shape), x, weight, mean, var, shape=(8,), eps=EPS, atol=1e-4)


@pytest.mark.parametrize("x", [floats(64, 64).astype(np.float16), unaligned(floats(64, 64)), floats(0, 64)],
                         ids=["16 bits", "unaligned", "empty"])
def test_declined(x):
    declines("layer_norm_forward", x, None, None, shape=(x.shape[1],), eps=EPS)
    declines("rms_norm_forward", x, None, shape=(x.shape[1],), eps=EPS)
    if len(x):
        declines("batch_norm_forward", x, None, None, None, None, training=True, eps=EPS)


def test_parameters_of_another_dtype_decline():
    x = floats(64, 64)
    declines("layer_norm_forward", x, np.ones(64), None, shape=(64,), eps=EPS)


def test_shapes_that_do_not_fit_are_refused():
    from mytorch.backends.native.extension import K

    x, five = floats(4, 6), floats(5)
    y, four = np.empty_like(x), np.empty(4, np.float32)
    with pytest.raises(ValueError, match="per channel or column"):
        K.layer_norm(x, five, None, y, four, four.copy(), EPS)
    with pytest.raises(ValueError, match="rows fill"):
        K.layer_norm(x, None, None, y, five, five.copy(), EPS)
    with pytest.raises(ValueError, match="number per channel"):
        K.batch_norm(x, None, None, y, four, four.copy(), EPS)
    with pytest.raises(ValueError, match="one shape"):
        K.layer_norm(x, None, None, floats(6, 4), four, four.copy(), EPS)
    with pytest.raises(ValueError, match="groups"):
        K.group_norm(x, None, None, y, floats(4, 4), floats(4, 4), EPS)
