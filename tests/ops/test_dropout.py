"""Dropout: what is drawn, what is scaled, what is left alone."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch.autograd import gradgradcheck
from mytorch.nn import functional as F


def test_elements_are_zero_or_scaled_and_gradients_take_the_same_mask():
    x = mytorch.ones(1000, requires_grad=True)
    y = F.dropout(x, 0.25)
    y.sum().backward()
    assert set(y.tolist()) == {0.0, float(np.float32(1) / np.float32(0.75))}
    assert 650 < int((y > 0).sum()) < 850
    assert mytorch.equal(x.grad, y)


def test_the_seed_decides():
    masks = []
    for seed in (1, 1, 2):
        mytorch.manual_seed(seed)
        masks.append(F.dropout(mytorch.ones(50)).tolist())
    assert masks[0] == masks[1] != masks[2]


@pytest.mark.parametrize("options", [{"p": 0.0}, {"training": False}])
def test_nothing_happens_without_probability_or_training(options):
    x = mytorch.ones(3)
    assert F.dropout(x, **options) is x


def test_probability_one_gives_zeros():
    x = mytorch.ones(3, requires_grad=True)
    y = F.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("name", "shape"), [("dropout1d", (8, 9, 4)), ("dropout2d", (8, 9, 2, 3)), ("dropout3d", (8, 9, 2, 2, 2)),
                                             ("feature_alpha_dropout", (8, 9, 4))])
def test_channels_are_kept_or_dropped_as_a_whole(name, shape):
    y = getattr(F, name)(mytorch.ones(shape), 0.5, training=True).reshape(72, -1)
    assert (y == y[:, :1]).all()
    assert len(set(y[:, 0].tolist())) == 2


def test_alpha_dropout_keeps_mean_and_variance():
    y = F.alpha_dropout(mytorch.randn(200_000), 0.3, training=True)
    assert abs(float(y.mean())) < 0.02
    assert abs(float(y.std()) - 1) < 0.02


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout"])
def test_second_derivatives_pass(name):
    def function(x):
        mytorch.manual_seed(0)
        return getattr(F, name)(x, 0.4, training=True).pow(2)

    assert gradgradcheck(function, mytorch.randn(3, 4, dtype=mytorch.float64, requires_grad=True))


def test_in_place_writes_into_the_input():
    x = mytorch.ones(100)
    assert F.dropout(x, inplace=True) is x
    assert 0 < int((x == 0).sum()) < 100


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.dropout(mytorch.ones(3), 1.5), ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
        (lambda: F.dropout(mytorch.ones(3), -0.1), ValueError, "but got -0.1"),
        (lambda: F.dropout(mytorch.tensor([1, 2])), RuntimeError, "can't be cast to the desired output type Long"),
        (lambda: F.dropout(3), TypeError, "must be Tensor, not int"),
        (lambda: F.dropout1d(mytorch.ones(3)), RuntimeError, "dropout1d: Expected 2D or 3D input, but received a 1D input"),
        (lambda: F.feature_alpha_dropout(mytorch.ones(3), training=True), RuntimeError, "at least 2 dimensions"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_dropout_of_images_warns_of_other_shapes():
    with pytest.warns(UserWarning, match="Received a 2-D input to dropout2d"):
        F.dropout2d(mytorch.ones(2, 2))
    with pytest.warns(UserWarning, match="use dropout1d"):
        F.dropout2d(mytorch.ones(2, 2, 2))
