"""Pooling: csrc/kernels/pool.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mytorch import backends
from mytorch.ops import adaptive_pool, pool  # noqa: F401 - registers the kernels
from tests.backends.agreement import check, declines, floats, needs_native, unaligned

pytestmark = needs_native


def geometry(size, kernel_size, stride, padding, dilation=None, ceil=False):
    """Keywords of the kernels, with the number of windows as torch counts it."""
    dilation = dilation or (1,) * len(size)
    out = []
    for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True):
        count = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil else 0)) // s + 1
        out.append(count - 1 if ceil and (count - 1) * s >= n + p else count)
    return {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "out": tuple(out)}


WINDOWS = [  # size, kernel, stride, padding, dilation, ceil_mode
    ((24, 24), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((112, 40), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((33, 35), (3, 2), (2, 3), (1, 1), (1, 1), True),
    ((17, 50), (3, 3), (1, 1), (1, 1), (1, 1), False),
    ((20, 71), (2, 3), (3, 4), (0, 1), (2, 3), False),
    ((7, 7), (7, 7), (1, 1), (0, 0), (1, 1), False),
    ((5, 6), (1, 1), (2, 3), (0, 0), (1, 1), False),
    ((1, 1), (1, 1), (1, 1), (0, 0), (1, 1), False),
    ((9, 9), (2, 2), (2, 2), (1, 1), (1, 1), True),
    ((40,), (3,), (2,), (1,), (1,), False),
    ((101,), (4,), (4,), (0,), (1,), True),
    ((25, 67), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((25, 67), (2, 2), (2, 2), (0, 0), (1, 1), True),
    ((9, 33), (3, 2), (3, 2), (0, 0), (1, 1), False),
    ((131,), (2,), (2,), (0,), (1,), False),
    ((5, 3), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((16, 16), (4, 4), (4, 4), (0, 0), (1, 1), False),
    ((6, 45), (2, 3), (2, 3), (0, 0), (1, 1), False),
    ((28,), (2,), (2,), (0,), (1,), False),
]


def _max_everywhere(x, seed=3, **sizes):
    check("max_pool", x, bitwise=True, **sizes)
    check("max_pool_with_places", x, bitwise=True, **sizes)
    y, places = backends.kernels["max_pool_with_places"].reference(x, **sizes)
    g = floats(*y.shape, dtype=x.dtype, seed=seed)
    sizes = {**sizes, "size": x.shape[2:]}
    del sizes["out"]
    check("max_pool_grad", g, places, **sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("window", WINDOWS)
def test_max_pool(window, dtype):
    size, *rest = window
    _max_everywhere(floats(2, 3, *size, dtype=dtype), **geometry(size, *rest))


@pytest.mark.parametrize("window", WINDOWS)
def test_max_pool_of_equal_values_infinities_and_nan(window):
    size, *rest = window
    x = np.random.default_rng(0).integers(0, 3, (2, 3, *size)).astype(np.float32)
    _max_everywhere(x, **geometry(size, *rest))
    x[x == 0] = -np.inf
    x[x == 2] = np.inf
    _max_everywhere(x, **geometry(size, *rest))
    _max_everywhere(np.full_like(x, -np.inf), **geometry(size, *rest))
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    _max_everywhere(x, **geometry(size, *rest))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("include_pad", [True, False])
@pytest.mark.parametrize("override", [None, 3, -2])
@pytest.mark.parametrize("window", [w for w in WINDOWS if set(w[4]) == {1}])
def test_avg_pool(window, include_pad, override, dtype):
    size, *rest = window
    sizes = geometry(size, *rest)
    del sizes["dilation"]
    sizes.update(include_pad=include_pad, override=override)
    x = floats(2, 3, *size, dtype=dtype)
    check("avg_pool", x, **sizes)
    g = floats(2, 3, *sizes.pop("out"), dtype=dtype, seed=1)
    check("avg_pool_grad", g, size=size, **sizes)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_windows_of_any_size(data):
    dims = data.draw(st.integers(1, 2))
    several = st.integers(1, 5)
    kernel, stride, dilation = (tuple(data.draw(several) for _ in range(dims)) for _ in range(3))
    padding = tuple(data.draw(st.integers(0, (d * (k - 1) + 1) // 2)) for k, d in zip(kernel, dilation, strict=True))
    size = tuple(data.draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 40)) for k, d, p in zip(kernel, dilation, padding, strict=True))
    sizes = geometry(size, kernel, stride, padding, dilation, data.draw(st.booleans()))
    _max_everywhere(floats(data.draw(st.integers(0, 2)), 3, *size), **sizes)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (5, 7, 7, 7), (2, 3, 40), (1, 2, 4, 6, 8), (2, 70, 100, 101)])
def test_mean_of_the_whole_image(shape):
    ones = (1,) * (len(shape) - 2)
    check("adaptive_avg", floats(*shape), out=ones)
    if len(shape) < 5:
        check("adaptive_avg_grad", floats(*shape[:2], *ones), size=shape[2:])


def test_adaptive_windows_of_one_size():
    check("adaptive_avg", floats(2, 3, 12, 20), out=(4, 5))
    check("adaptive_avg_grad", floats(2, 3, 4, 5), size=(12, 20))
    declines("adaptive_avg", floats(2, 3, 13, 20), out=(4, 5))
    declines("adaptive_avg_grad", floats(2, 3, 4, 5), size=(13, 20))


def test_transposed_images_and_repeated_gradients():
    sizes = geometry((12, 12), (2, 2), (2, 2), (0, 0))
    _max_everywhere(floats(8, 4, 12, 12).transpose(0, 1, 3, 2), **sizes)
    places = np.zeros((8, 4, 6, 6), np.uint8)
    sizes = {k: v for k, v in sizes.items() if k != "out"}
    check("max_pool_grad", np.broadcast_to(np.float32(2), places.shape), places, size=(12, 12), **sizes)


@pytest.mark.parametrize("x", [np.arange(4096).reshape(1, 1, 64, 64), unaligned(floats(1, 1, 64, 64)),
                               floats(1, 1, 16, 16, 16)], ids=["integers", "unaligned", "three dimensions"])
def test_declined(x):
    dims = x.ndim - 2
    sizes = geometry(x.shape[2:], (2,) * dims, (2,) * dims, (0,) * dims)
    declines("max_pool", x, **sizes)
    declines("max_pool_with_places", x, **sizes)
    del sizes["dilation"]
    declines("avg_pool", x, include_pad=True, override=None, **sizes)


def test_windows_of_more_elements_than_a_byte_counts_decline():
    sizes = geometry((40, 40), (17, 17), (3, 3), (0, 0))
    declines("max_pool_with_places", floats(2, 2, 40, 40), **sizes)
    check("max_pool", floats(2, 2, 40, 40), bitwise=True, **sizes)


def test_shapes_that_do_not_fit_are_refused():
    from mytorch.backends.native.extension import K

    x, y = floats(2, 3, 8, 8), np.empty((2, 3, 4, 4), np.float32)
    for wrong in (np.empty((2, 2, 4, 4), np.float32), np.empty((2, 3, 4), np.float32), y.transpose(0, 1, 3, 2)):
        with pytest.raises(ValueError, match="max_pool:"):
            K.max_pool(x, wrong, None, 2, 2, 2, 2, 0, 0, 1, 1)
    with pytest.raises(ValueError, match="places"):
        K.max_pool(x, y, np.empty((2, 3, 4, 3), np.uint8), 2, 2, 2, 2, 0, 0, 1, 1)
    with pytest.raises(ValueError, match="positive"):
        K.max_pool(x, y, None, 2, 0, 2, 2, 0, 0, 1, 1)
    # places that no window has are passed over
    dx = np.empty_like(x)
    assert not K.max_pool_grad(y, np.full(y.shape, 200, np.uint8), dx, 2, 2, 2, 2, 0, 0, 1, 1).any()
