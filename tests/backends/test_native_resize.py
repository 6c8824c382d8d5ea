"""Interpolation: csrc/kernels/resize.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.resize
from mytorch.backends import kernels
from tests.backends.agreement import check, declines, floats, needs_native, unaligned

pytestmark = needs_native

SHAPES = [((3, 7), 1), ((5, 6, 9), 1), ((2, 3, 16, 16), 2), ((2, 3, 16, 17), 3), ((40, 50, 20), 2), ((4, 300), 0), ((2, 9, 2), 1)]


def table(size, out, terms, seed=0, weighted=True):
    """Places (out, terms) below `size`, and weights, of which some are zero."""
    draw = np.random.default_rng(seed)
    weights = draw.standard_normal((out, terms)).astype(np.float32) * (draw.random((out, terms)) < 0.8)
    return draw.integers(0, size, (out, terms)), weights if weighted else None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("terms", "weighted"), [(1, False), (1, True), (2, True), (5, True)])
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_blends_and_their_gradients(shape, dim, terms, weighted, dtype):
    size = shape[dim]
    for out in (1, 5, 2 * size):
        places, weights = table(size, out, terms, weighted=weighted)
        meta = {"dim": dim, "size": size, "places": places, "weights": weights}
        check("blend", floats(*shape, dtype=dtype), atol=1e-5, **meta)
        g = floats(*shape[:dim], out, *shape[dim + 1:], dtype=dtype, seed=1)
        check("blend_grad", g, atol=1e-4, rtol=1e-4, **meta)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 30), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_any_sizes(shape, dim, out, terms, seed):
    dim %= len(shape)
    places, weights = table(shape[dim], out, terms, seed)
    meta = {"dim": dim, "size": shape[dim], "places": places, "weights": weights}
    check("blend", floats(*shape), atol=1e-5, **meta)
    check("blend_grad", floats(*shape[:dim], out, *shape[dim + 1:]), atol=1e-4, **meta)


def test_what_no_result_came_from_has_no_gradient_whatever_the_others_are():
    g = np.full((2, 3), np.nan, np.float32)
    found = kernels["blend_grad"](g, dim=1, size=5, places=np.array([[1], [1], [4]]), weights=None)
    np.testing.assert_array_equal(np.isnan(found), [[False, True, False, False, True]] * 2)
    assert not found[:, [0, 2, 3]].any()


def test_arrays_of_any_strides():
    places, weights = table(6, 4, 2)
    check("blend", floats(6, 5).T, dim=1, size=6, places=places, weights=weights, atol=1e-6)
    check("blend", np.broadcast_to(floats(1, 6), (5, 6)), dim=1, size=6, places=np.asfortranarray(places), weights=weights[:, ::1], atol=1e-6)


def test_other_dtypes_and_places_are_left_or_refused():
    places, weights = table(6, 4, 2)
    for x in (floats(5, 6).astype(np.float16), floats(0, 6), unaligned(floats(5, 6))):
        declines("blend", x, dim=1, size=6, places=places, weights=weights)
    for wrong in (-1, 6):
        with pytest.raises(ValueError, match="place outside"):
            kernels["blend"].override(floats(5, 6), dim=1, size=6, places=np.array([[0], [wrong]]), weights=None)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_images_as_with_the_reference(mode, monkeypatch):
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64, requires_grad=True)

    def run():
        x.grad = None
        y = torch.nn.functional.interpolate(x, (17, 8), mode=mode)
        (y * y).sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    found = run()
    for op, name in ((mytorch.ops.resize._blend_op, "blend"), (mytorch.ops.resize._blend_grad_op, "blend_grad")):
        monkeypatch.setattr(op, "kernel", kernels[name].reference)
    monkeypatch.setattr(mytorch.ops.resize, "blend_grad", kernels["blend_grad"].reference)
    for a, b in zip(found, run(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
