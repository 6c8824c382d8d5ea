"""Layers: what they hold, how they start, what training and evaluation change, errors."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest

import mytorch
from mytorch import nn
from mytorch.nn import functional as F


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (lambda: nn.Linear(3, 4), {"weight": (4, 3), "bias": (4,)}),
        (lambda: nn.Linear(3, 4, bias=False), {"weight": (4, 3)}),
        (lambda: nn.Bilinear(2, 3, 4), {"weight": (4, 2, 3), "bias": (4,)}),
        (lambda: nn.Conv2d(4, 6, (3, 2), groups=2), {"weight": (6, 2, 3, 2), "bias": (6,)}),
        (lambda: nn.ConvTranspose1d(4, 6, 3, groups=2), {"weight": (4, 3, 3), "bias": (6,)}),
        (lambda: nn.LayerNorm((2, 3)), {"weight": (2, 3), "bias": (2, 3)}),
        (lambda: nn.LayerNorm(3, bias=False), {"weight": (3,)}),
        (lambda: nn.RMSNorm(3), {"weight": (3,)}),
        (lambda: nn.GroupNorm(2, 4), {"weight": (4,), "bias": (4,)}),
        (lambda: nn.BatchNorm2d(3),
         {"weight": (3,), "bias": (3,), "running_mean": (3,), "running_var": (3,), "num_batches_tracked": ()}),
        (lambda: nn.BatchNorm1d(3, affine=False, track_running_stats=False), {}),
        (lambda: nn.InstanceNorm2d(3), {}),
        (lambda: nn.Embedding(5, 3), {"weight": (5, 3)}),
        (lambda: nn.PReLU(4), {"weight": (4,)}),
    ],
)
def test_state_has_torchs_names_and_shapes(layer, shapes):
    assert {name: tuple(value.shape) for name, value in layer().state_dict().items()} == shapes


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [(lambda: nn.Linear(50, 40), 50), (lambda: nn.Conv2d(8, 20, 3), 72), (lambda: nn.ConvTranspose2d(8, 20, 3), 180),
     (lambda: nn.Conv1d(8, 40, 5, groups=4), 10)],
)
def test_weights_start_uniform_within_the_bound_of_their_fan_in(layer, fan_in):
    for p in layer().parameters():
        bound = 1 / math.sqrt(fan_in)
        assert 0.85 * bound < float(p.detach().abs().max()) <= bound


def test_weights_have_the_dtype_asked_for():
    layer = nn.Conv2d(1, 2, 3, dtype=mytorch.float64)
    assert layer.weight.dtype is layer.bias.dtype is mytorch.float64
    assert nn.BatchNorm1d(2, dtype=mytorch.float64).running_mean.dtype is mytorch.float64


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: nn.Linear(3, 4), "Linear(in_features=3, out_features=4, bias=True)"),
        (lambda: nn.Conv2d(1, 2, 3, padding=1), "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"),
        (lambda: nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (lambda: nn.Dropout(0.2), "Dropout(p=0.2, inplace=False)"),
        (lambda: nn.ReLU(), "ReLU()"),
        (lambda: nn.Embedding(5, 3, padding_idx=0), "Embedding(5, 3, padding_idx=0)"),
        (lambda: nn.Softmax(1), "Softmax(dim=1)"),
        (lambda: nn.Upsample(scale_factor=2), "Upsample(scale_factor=2.0, mode='nearest')"),
    ],
)
def test_a_layer_prints_its_options(layer, text):
    assert repr(layer()) == text


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_convolution_pads_in_its_own_mode(mode):
    layer = nn.Conv2d(1, 2, 3, padding=(1, 2), padding_mode=mode)
    x = mytorch.randn(1, 1, 5, 6)
    expected = F.conv2d(F.pad(x, (2, 2, 1, 1), mode=mode), layer.weight, layer.bias)
    assert mytorch.equal(layer(x), expected)


def test_transposed_convolution_hits_the_output_size_asked_for():
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    x = mytorch.randn(1, 1, 4, 4)
    assert layer(x).shape == (1, 1, 7, 7)
    assert layer(x, output_size=(8, 7)).shape == (1, 1, 8, 7)
    with pytest.raises(ValueError, match=r"valid sizes range from \[7, 7\] to \[8, 8\]"):
        layer(x, output_size=(9, 7))


def test_batch_norm_tracks_statistics_in_training_and_uses_them_in_evaluation():
    layer = nn.BatchNorm1d(2, momentum=0.5)
    x = mytorch.tensor([[0.0, 2.0], [2.0, 6.0]])
    layer(x)
    assert layer.running_mean.tolist() == [0.5, 2]
    assert layer.running_var.tolist() == [1.5, 4.5]
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    np.testing.assert_allclose(layer(x).detach().numpy(), (x.numpy() - [0.5, 2]) / np.sqrt(np.array([1.5, 4.5]) + 1e-5), 1e-6)
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_without_momentum_averages_over_all_batches():
    layer = nn.BatchNorm1d(1, momentum=None)
    for value in (0.0, 2.0, 10.0):
        layer(mytorch.tensor([[value], [value]]))
    np.testing.assert_allclose(layer.running_mean.numpy(), [4], 1e-6)


def test_batch_norm_without_statistics_normalises_by_the_batch_in_evaluation():
    layer = nn.BatchNorm1d(3, track_running_stats=False).eval()
    np.testing.assert_allclose(layer(mytorch.randn(8, 3)).mean(0).detach().numpy(), 0, atol=1e-6)


def test_batch_norm_loads_states_saved_before_batches_were_counted():
    layer = nn.BatchNorm1d(2)
    old = OrderedDict(weight=mytorch.ones(2), bias=mytorch.zeros(2), running_mean=mytorch.ones(2), running_var=mytorch.ones(2))
    layer.load_state_dict(old)
    assert layer.running_mean.tolist() == [1, 1]
    assert layer.num_batches_tracked.item() == 0
    fresh = layer.state_dict()
    del fresh["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        layer.load_state_dict(fresh)


def test_instance_norm_refuses_statistics_it_does_not_track():
    with pytest.raises(RuntimeError, match="Unexpected running stats buffer"):
        nn.InstanceNorm1d(2).load_state_dict({"running_mean": mytorch.ones(2)})


def test_batch_norm_passes_a_second_gradient():
    layer = nn.BatchNorm2d(2).double()
    x = mytorch.randn(3, 2, 2, 2, dtype=mytorch.float64, requires_grad=True)
    penalty, = mytorch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
    penalty.pow(2).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_dropout_is_the_identity_in_evaluation():
    x = mytorch.ones(20)
    layer = nn.Dropout(0.5)
    assert 0 < int((layer(x) == 0).sum()) < 20
    assert layer.eval()(x) is x


def test_the_padding_row_of_an_embedding_starts_at_zero_and_stays_there():
    layer = nn.Embedding(4, 3, padding_idx=-1)
    assert layer.padding_idx == 3
    assert layer.weight[3].tolist() == [0, 0, 0]
    layer(mytorch.tensor([3, 1])).sum().backward()
    assert layer.weight.grad.sum(1).tolist() == [0, 3, 0, 0]


def test_a_pretrained_embedding_is_frozen_unless_asked():
    values = mytorch.randn(4, 3)
    assert not nn.Embedding.from_pretrained(values).weight.requires_grad
    assert nn.Embedding.from_pretrained(values, freeze=False).weight.requires_grad
    bag = nn.EmbeddingBag.from_pretrained(values, mode="sum")
    assert mytorch.equal(bag(mytorch.tensor([[0, 1]]))[0], values[0] + values[1])


def test_flatten_and_unflatten_undo_each_other():
    x = mytorch.randn(2, 3, 4)
    assert nn.Flatten()(x).shape == (2, 12)
    assert mytorch.equal(nn.Unflatten(1, (3, 4))(nn.Flatten()(x)), x)


def test_unpool_layer_undoes_pool_layer():
    x = mytorch.randn(1, 2, 4, 4)
    y, indices = nn.MaxPool2d(2, return_indices=True)(x)
    back = nn.MaxUnpool2d(2)(y, indices)
    assert int((back != 0).sum()) == 8
    assert mytorch.equal(nn.MaxPool2d(2)(back.clamp_min(-9)), y.clamp_min(0) * (y > 0))


def test_softmax2d_sums_to_one_over_channels():
    np.testing.assert_allclose(nn.Softmax2d()(mytorch.randn(2, 3, 4, 5)).sum(1).numpy(), 1, 1e-6)


def test_rrelu_draws_in_training_alone():
    layer, x = nn.RReLU(), mytorch.full((50,), -1.0)
    assert len(set(layer(x).tolist())) > 40
    assert len(set(layer.eval()(x).tolist())) == 1


def test_a_small_network_learns():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1),
                          nn.Linear(16, 2))
    x = mytorch.randn(64, 1, 4, 4)
    target = (x.mean((1, 2, 3)) > 0).long()
    optimizer = mytorch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(1) == target).float().mean() > 0.9


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, "groups must be a positive integer"),
        (lambda: nn.Conv2d(4, 4, 3, padding="full"), ValueError, "Invalid padding string 'full'"),
        (lambda: nn.Conv2d(4, 4, 3, padding="same", stride=2), ValueError, "padding='same' is not supported for strided"),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"), ValueError, "but got padding_mode='mirror'"),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), ValueError, 'Only "zeros" padding mode is supported'),
        (lambda: nn.Bilinear(0, 1, 1), ValueError, "in1_features must be > 0, but got 0"),
        (lambda: nn.GroupNorm(2, 3), ValueError, "num_channels (3) must be divisible by num_groups (2)"),
        (lambda: nn.Dropout(1.5), ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
        (lambda: nn.Hardtanh(1, 0), AssertionError, "max_val (0) must be greater than min_val (1)"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), AssertionError, "Padding_idx must be within num_embeddings"),
        (lambda: nn.Embedding(3, 2, _weight=mytorch.ones(2, 2)), AssertionError, "Shape of weight does not match"),
        (lambda: nn.Embedding.from_pretrained(mytorch.ones(3)), AssertionError, "expected to be 2-dimensional"),
        (lambda: nn.Unflatten("a", ("b",)), TypeError, "element of type str"),
        (lambda: nn.BatchNorm2d(3)(mytorch.ones(2, 3)), ValueError, "expected 4D input (got 2D input)"),
        (lambda: nn.BatchNorm1d(3)(mytorch.ones(3)), ValueError, "expected 2D or 3D input (got 1D input)"),
        (lambda: nn.InstanceNorm1d(3, affine=True)(mytorch.ones(2, 4, 5)), ValueError, "to match num_features (3), but got: 4"),
        (lambda: nn.Softmax2d()(mytorch.ones(2, 2)), ValueError, "expected input to be 3D or 4D, got 2D instead"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(build, error, text):
    with pytest.raises(error) as caught:
        build()
    assert text in str(caught.value)
