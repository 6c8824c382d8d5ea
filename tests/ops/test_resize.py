"""Interpolation, pixel shuffles, unfold and fold, the bilinear form."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch.autograd import gradcheck, gradgradcheck
from mytorch.nn import functional as F


def draw(*shape):
    return mytorch.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def test_nearest_repeats_pixels():
    x = mytorch.tensor([[[1.0, 2.0]]])
    assert F.interpolate(x, scale_factor=2).tolist() == [[[1, 1, 2, 2]]]
    assert F.interpolate(x, size=3).tolist() == [[[1, 1, 2]]]


def test_linear_goes_straight_between_pixels():
    x = mytorch.tensor([[[0.0, 4.0]]])
    assert F.interpolate(x, size=4, mode="linear").tolist() == [[[0, 1, 3, 4]]]
    assert F.interpolate(x, size=5, mode="linear", align_corners=True).tolist() == [[[0, 1, 2, 3, 4]]]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_plane_stays_a_plane(mode):
    rows, columns = np.mgrid[0:6, 0:5]
    x = mytorch.tensor(2.0 * rows + 3.0 * columns)[None, None]
    y = F.interpolate(x, size=(11, 9), mode=mode, align_corners=True)[0, 0].numpy()
    rows, columns = np.mgrid[0:11, 0:9]
    inside = (slice(2, -2), slice(2, -2))  # the cubic repeats its border
    np.testing.assert_allclose(y[inside], (rows + 1.5 * columns)[inside], 1e-6)


def test_nan_stays_with_its_neighbours():
    x = mytorch.zeros(1, 1, 8)
    x[0, 0, 7] = float("nan")
    assert F.interpolate(x, size=16, mode="linear").isnan().sum() == 3


OPTIONS = [{"scale_factor": 2}, {"size": (3, 7), "mode": "bilinear"}, {"size": (3, 7), "mode": "bicubic"}, {"size": (2, 2), "mode": "area"},
           {"size": (5, 3), "mode": "nearest-exact"}]


@pytest.mark.parametrize("options", OPTIONS)
def test_interpolation_has_right_derivatives(options):
    assert gradcheck(lambda x: F.interpolate(x, **options), draw(1, 2, 4, 3))
    assert gradgradcheck(lambda x: F.interpolate(x, **options).pow(2), draw(1, 2, 4, 3))


def test_pixel_unshuffle_undoes_pixel_shuffle():
    x = draw(2, 8, 3, 2)
    y = F.pixel_shuffle(x, 2)
    assert y.shape == (2, 2, 6, 4)
    assert mytorch.equal(F.pixel_unshuffle(y, 2), x)
    assert y[0, 0, :2, :2].tolist() == [[x[0, 0, 0, 0].item(), x[0, 1, 0, 0].item()], [x[0, 2, 0, 0].item(), x[0, 3, 0, 0].item()]]


def test_channel_shuffle_interleaves_groups():
    assert F.channel_shuffle(mytorch.arange(6.0).reshape(1, 6, 1), 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_convolution_is_a_product_with_unfolded_blocks():
    x, w = draw(2, 3, 6, 5), draw(4, 3, 3, 2)
    columns = F.unfold(x, (3, 2), padding=1, stride=2)
    y = (w.reshape(4, -1) @ columns).reshape(2, 4, 3, 3)
    np.testing.assert_allclose(y.detach().numpy(), F.conv2d(x, w, stride=2, padding=1).detach().numpy(), 1e-10)


def test_fold_sums_what_unfold_copied():
    x = mytorch.ones(1, 1, 4, 4)
    counts = F.fold(F.unfold(x, 3), (4, 4), 3)
    assert counts[0, 0].tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert gradgradcheck(lambda t: F.fold(F.unfold(t, 2, padding=1).pow(2), (3, 4), 2, padding=1), draw(1, 2, 3, 4))


def test_bilinear_is_a_form_per_output():
    a, b, w, c = draw(2, 3), draw(2, 4), draw(5, 3, 4), draw(5)
    y = F.bilinear(a, b, w, c)
    np.testing.assert_allclose(y[1, 2].item(), (a[1] @ w[2] @ b[1] + c[2]).item())
    assert gradgradcheck(F.bilinear, (a, b, w, c))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: F.interpolate(x), ValueError, "either size or scale_factor should be defined"),
        (lambda x: F.interpolate(x, size=3, scale_factor=2), ValueError, "only one of size or scale_factor should be defined"),
        (lambda x: F.interpolate(x, size=(3,)), ValueError, "must have the same number of spatial dimensions"),
        (lambda x: F.interpolate(x, size=3, mode="cubic"), NotImplementedError, "(got cubic)"),
        (lambda x: F.interpolate(x, size=3, mode="linear"), NotImplementedError, "Got 4D input, but linear mode needs 3D input"),
        (lambda x: F.interpolate(x, size=3, align_corners=True), ValueError, "align_corners option can only be set with"),
        (lambda x: F.interpolate(x, size=0), RuntimeError, "Input and output sizes should be greater than 0"),
        (lambda x: F.interpolate(x.long(), size=3), NotImplementedError, "not implemented for 'Long'"),
        (lambda x: F.pixel_shuffle(x, 3), RuntimeError, "input.size(-3)=4 is not divisible by 9"),
        (lambda x: F.pixel_unshuffle(x, 2), RuntimeError, "expects width to be divisible by downscale_factor"),
        (lambda x: F.channel_shuffle(x, 3), RuntimeError, "Number of channels must be divisible by groups"),
        (lambda x: F.unfold(x, 9), RuntimeError, "its components must be at least one"),
        (lambda x: F.fold(x[0], (4, 4), 3), RuntimeError, "divisible by the product of kernel_size"),
        (lambda x: F.bilinear(x, x, mytorch.ones(2, 5, 4)), RuntimeError, "input2 size does not match weight size: got 5 but expected 4"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(call, error, text):
    with pytest.raises(error) as caught:
        call(mytorch.rand(1, 4, 6, 5))
    assert text in str(caught.value)
