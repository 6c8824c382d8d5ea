"""Layers against torch's: signatures, repr, state_dict, initial weights, outputs and gradients."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import mytorch
from mytorch import nn

torch = pytest.importorskip("torch")

# (name, positional arguments, keywords, input shape or None)
ROWS = [
    ("Identity", (1, 2), {}, (2, 3)),
    ("Linear", (3, 4), {}, (5, 3)),
    ("Linear", (3, 4), {"bias": False}, (2, 5, 3)),
    ("Linear", (3, 4), {}, (3,)),
    ("Conv1d", (2, 4, 3), {}, (2, 2, 9)),
    ("Conv1d", (2, 4, 3), {"padding": "same", "dilation": 2, "padding_mode": "reflect"}, (2, 2, 9)),
    ("Conv2d", (2, 4, 3), {}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, 3), {}, (2, 6, 7)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 2), "groups": 2, "bias": False}, (2, 4, 6, 7)),
    ("Conv2d", (2, 4, 4), {"padding": "same", "padding_mode": "replicate"}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, 3), {"padding": 1, "padding_mode": "circular"}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, 3), {"padding": "valid", "padding_mode": "circular"}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, 2), {"padding": "same"}, (2, 2, 6, 7)),
    ("Conv3d", (2, 3, 2), {"padding": 1}, (2, 2, 4, 3, 4)),
    ("ConvTranspose1d", (2, 4, 3), {"stride": 2, "output_padding": 1}, (2, 2, 5)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, (2, 4, 4, 3)),
    ("ConvTranspose2d", (4, 6, 3), {"dilation": 2, "bias": False}, (4, 4, 3)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": 2}, (2, 2, 3, 2, 3)),
    ("MaxPool1d", (2,), {}, (2, 3, 7)),
    ("MaxPool2d", (3, 2), {"padding": 1, "ceil_mode": True}, (2, 3, 7, 8)),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 6)),
    ("MaxPool3d", (2,), {"dilation": 2}, (2, 2, 5, 5, 5)),
    ("AvgPool1d", (3,), {"padding": 1}, (2, 3, 7)),
    ("AvgPool2d", (3, 2), {"padding": 1, "count_include_pad": False, "ceil_mode": True}, (2, 3, 7, 8)),
    ("AvgPool2d", (2,), {"divisor_override": 3}, (2, 3, 7, 8)),
    ("AvgPool3d", (2,), {}, (2, 2, 5, 4, 5)),
    ("LPPool1d", (2, 3), {}, (2, 3, 9)),
    ("LPPool2d", (3, 2), {}, (2, 3, 6, 5)),
    ("LPPool3d", (2, 2), {}, (2, 3, 4, 5, 4)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveAvgPool2d", ((None, 3),), {}, (2, 3, 7, 8)),
    ("AdaptiveAvgPool2d", (1,), {}, (3, 7, 8)),
    ("AdaptiveAvgPool3d", (2,), {}, (2, 3, 3, 4, 5)),
    ("AdaptiveMaxPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveMaxPool2d", (3,), {}, (2, 3, 7, 8)),
    ("AdaptiveMaxPool2d", ((3, 4),), {}, (2, 3, 6, 8)),
    ("AdaptiveMaxPool3d", (2,), {}, (2, 3, 3, 4, 5)),
    ("BatchNorm1d", (3,), {}, (5, 3)),
    ("BatchNorm1d", (3,), {"momentum": None}, (5, 3, 4)),
    ("BatchNorm2d", (3,), {}, (4, 3, 5, 2)),
    ("BatchNorm2d", (3,), {"affine": False}, (4, 3, 5, 2)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (4, 3, 5, 2)),
    ("BatchNorm2d", (3,), {"bias": False}, (4, 3, 5, 2)),
    ("BatchNorm3d", (3,), {"eps": 1e-3}, (2, 3, 2, 3, 2)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 6)),
    ("InstanceNorm1d", (3,), {"affine": True}, (3, 6)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (2, 3, 4, 5)),
    ("InstanceNorm3d", (3,), {}, (2, 3, 2, 4, 3)),
    ("LayerNorm", (4,), {}, (2, 3, 4)),
    ("LayerNorm", ((3, 4),), {"bias": False}, (2, 3, 4)),
    ("LayerNorm", ([3, 4],), {"elementwise_affine": False, "eps": 1e-2}, (2, 3, 4)),
    ("GroupNorm", (2, 4), {}, (2, 4, 5)),
    ("GroupNorm", (2, 4), {"affine": False}, (2, 4)),
    ("GroupNorm", (4, 4), {"bias": False}, (2, 4, 3, 3)),
    ("RMSNorm", (4,), {}, (2, 3, 4)),
    ("RMSNorm", ((3, 4),), {"eps": 1e-2, "elementwise_affine": False}, (2, 3, 4)),
    ("LocalResponseNorm", (3,), {}, (2, 5, 4)),
    ("LocalResponseNorm", (2, 0.1, 0.5, 2.0), {}, (2, 5, 4, 3)),
    ("Dropout", (0.3,), {}, (4, 5)),
    ("Dropout", (0.0,), {}, (4, 5)),
    ("Dropout", (1.0,), {}, (4, 5)),
    ("Dropout1d", (0.5,), {}, (3, 4, 5)),
    ("Dropout1d", (0.5,), {}, (4, 5)),
    ("Dropout2d", (0.5,), {}, (3, 4, 5, 2)),
    ("Dropout3d", (0.5,), {}, (3, 4, 5, 2, 2)),
    ("Dropout3d", (0.5,), {}, (4, 5, 2, 2)),
    ("AlphaDropout", (0.4,), {}, (4, 5)),
    ("FeatureAlphaDropout", (0.4,), {}, (4, 5, 3)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, 3)), {}, (2, 6)),
    ("ZeroPad1d", (2,), {}, (2, 3, 4)),
    ("ZeroPad2d", ((1, 2, 0, 3),), {}, (2, 3, 4, 5)),
    ("ZeroPad3d", (1,), {}, (2, 3, 4, 5)),
    ("ConstantPad1d", (2, 3.5), {}, (2, 3, 4)),
    ("ConstantPad2d", ((1, -1, 2, 0), 0.5), {}, (2, 3, 4)),
    ("ConstantPad3d", (1, 0.5), {}, (2, 3, 4, 5)),
    ("ReflectionPad1d", (2,), {}, (2, 3, 4)),
    ("ReflectionPad2d", ((1, 2, 3, 0),), {}, (2, 3, 4, 5)),
    ("ReflectionPad3d", (1,), {}, (2, 3, 4, 5, 3)),
    ("ReplicationPad1d", (2,), {}, (2, 3, 4)),
    ("ReplicationPad2d", ((1, 2, 3, 0),), {}, (2, 3, 4, 5)),
    ("ReplicationPad3d", (1,), {}, (2, 3, 4, 5, 3)),
    ("CircularPad1d", (2,), {}, (2, 3, 4)),
    ("CircularPad2d", ((1, 2, 3, 0),), {}, (2, 3, 4, 5)),
    ("CircularPad3d", (1,), {}, (2, 3, 4, 5, 3)),
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 4)),
    ("Upsample", ((5, 7),), {"mode": "bilinear"}, (2, 3, 4, 5)),
    ("Upsample", (), {"scale_factor": 1.7, "mode": "bicubic", "align_corners": True}, (2, 3, 4, 5)),
    ("Upsample", (7,), {"mode": "linear"}, (2, 3, 4)),
    ("Upsample", (3,), {"mode": "trilinear"}, (2, 3, 4, 5, 6)),
    ("UpsamplingNearest2d", (), {"scale_factor": 3}, (2, 3, 4, 5)),
    ("UpsamplingBilinear2d", (6,), {}, (2, 3, 4, 5)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 4)),
    ("PixelUnshuffle", (2,), {}, (2, 2, 4, 6)),
    ("ChannelShuffle", (2,), {}, (2, 6, 3)),
    ("Unfold", (2,), {"padding": 1, "stride": 2}, (2, 3, 4, 5)),
    ("Fold", ((4, 5), 2), {"dilation": 2}, (2, 8, 6)),
    ("ReLU", (), {}, (3, 4)),
    ("ReLU", (True,), {}, (3, 4)),
    ("ReLU6", (), {}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Tanh", (), {}, (3, 4)),
    ("Softmax", (1,), {}, (3, 4)),
    ("LogSoftmax", (0,), {}, (3, 4)),
    ("Softmin", (1,), {}, (3, 4)),
    ("Softmax2d", (), {}, (3, 4, 2)),
    ("LeakyReLU", (0.2, True), {}, (3, 4)),
    ("LeakyReLU", (), {}, (3, 4)),
    ("ELU", (0.7,), {}, (3, 4)),
    ("SELU", (), {}, (3, 4)),
    ("CELU", (0.7, True), {}, (3, 4)),
    ("GELU", (), {}, (3, 4)),
    ("GELU", ("tanh",), {}, (3, 4)),
    ("SiLU", (), {}, (3, 4)),
    ("Mish", (True,), {}, (3, 4)),
    ("Softplus", (2.0, 1.0), {}, (3, 4)),
    ("Softsign", (), {}, (3, 4)),
    ("Hardtanh", (-0.5, 0.7), {}, (3, 4)),
    ("Hardsigmoid", (), {}, (3, 4)),
    ("Hardswish", (True,), {}, (3, 4)),
    ("LogSigmoid", (), {}, (3, 4)),
    ("PReLU", (), {}, (3, 4)),
    ("PReLU", (4,), {"init": 0.5}, (3, 4, 2)),
    ("RReLU", (), {}, (3, 4)),
    ("RReLU", (0.1, 0.9), {}, (5, 4)),
    ("Threshold", (0.1, 20.0), {}, (3, 4)),
    ("GLU", (), {}, (3, 4)),
    ("GLU", (1,), {}, (3, 4, 5)),
    ("Hardshrink", (0.3,), {}, (3, 4)),
    ("Softshrink", (0.3,), {}, (3, 4)),
    ("Tanhshrink", (), {}, (3, 4)),
]
IDS = [f"{i}-{row[0]}" for i, row in enumerate(ROWS)]
NAMES = sorted({row[0] for row in ROWS} | {"Bilinear", "CrossMapLRN2d", "Embedding", "EmbeddingBag", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"})
BUILDS = [*ROWS, ("Bilinear", (2, 3, 4), {}, None), ("Embedding", (5, 3), {"padding_idx": -2, "max_norm": 1.0}, None),
          ("Embedding", (5, 3), {"norm_type": 1.0, "scale_grad_by_freq": True}, None),
          ("EmbeddingBag", (5, 3), {"mode": "sum", "padding_idx": 1, "max_norm": 2.0}, None), ("MaxUnpool2d", (2,), {}, None)]


def both(name, args, kwargs):
    """The same layer twice, built from seed 0."""
    mytorch.manual_seed(0)
    torch.manual_seed(0)
    return getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)


def close(ours, theirs, rtol=1e-5, atol=1e-5):
    assert (theirs is None) == (ours is None)
    if theirs is not None:
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert str(ours.dtype) == str(theirs.dtype)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol, atol)


@pytest.mark.parametrize("name", NAMES)
def test_constructor_has_torchs_parameters(name):
    def of(cls):
        return [(p.name, p.kind, p.default) for p in inspect.signature(cls.__init__).parameters.values() if p.kind not in (2, 4)]

    assert of(getattr(nn, name)) == of(getattr(torch.nn, name))


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), BUILDS)
def test_layer_prints_and_starts_as_torchs(name, args, kwargs, shape):
    ours, theirs = both(name, args, kwargs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value, 0, 0)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), ROWS, ids=IDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding=.same.:UserWarning")
def test_layer_computes_as_torchs(name, args, kwargs, shape, training):
    ours, theirs = both(name, args, kwargs)
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for step in range(2):
        ours.train(training)
        theirs.train(training)
        x, tx = mytorch.tensor(values + step, requires_grad=True), torch.tensor(values + step, requires_grad=True)
        mytorch.manual_seed(step)
        torch.manual_seed(step)
        y, ty = ours(x * 1), theirs(tx * 1)
        close(y, ty)
        (y * y.detach()).sum().backward()
        (ty * ty.detach()).sum().backward()
        close(x.grad, tx.grad, 1e-4, 1e-4)
        for p, tp in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(p.grad, tp.grad, 1e-4, 1e-4)
        for b, tb in zip(ours.buffers(), theirs.buffers(), strict=True):
            close(b, tb)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_cross_map_norm_has_torchs_values(size):  # its gradients differ: torch's are not those of its own forward
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 2))
    ours, theirs = both("CrossMapLRN2d", (size, 0.5), {})
    assert repr(ours) == repr(theirs)
    close(ours(mytorch.tensor(x)), theirs(torch.tensor(x)), 1e-12, 1e-12)
