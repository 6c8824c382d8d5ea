"""Convolution, pooling, normalisation, dropout, embedding, activations and resizing against torch's: values, gradients, second
gradients, odd inputs, errors."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch.nn import functional as F

torch = pytest.importorskip("torch")

NAN, INF = float("nan"), float("inf")


class Ints:
    """An index input: its values."""

    def __init__(self, *values):
        self.array = np.array(values)


# (function of nn.functional, inputs: shapes of float tensors, Ints or None, keywords)
DIFFERENTIABLE = [
    ("conv1d", [(2, 3, 8), (4, 3, 3), (4,)], {}),
    ("conv1d", [(3, 8), (4, 3, 3), (4,)], {"stride": 2, "padding": 1}),
    ("conv1d", [(2, 4, 9), (4, 1, 3)], {"groups": 4, "dilation": 3, "padding": "same"}),
    ("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2), (4,)], {}),
    ("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2), (4,)], {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
    ("conv2d", [(2, 4, 6, 5), (6, 2, 2, 3), (6,)], {"groups": 2, "padding": 1}),
    ("conv2d", [(2, 4, 6, 5), (8, 1, 3, 3)], {"groups": 4, "stride": 2}),
    ("conv2d", [(2, 3, 4, 5), (4, 3, 1, 1), (4,)], {}),
    ("conv2d", [(2, 3, 4, 5), (4, 3, 1, 1), (4,)], {"stride": 2, "padding": 1}),
    ("conv2d", [(3, 6, 5), (4, 3, 3, 2)], {"padding": "valid"}),
    ("conv2d", [(0, 3, 6, 5), (4, 3, 3, 2), (4,)], {}),
    ("conv3d", [(2, 2, 4, 5, 4), (3, 2, 2, 3, 2), (3,)], {"padding": (1, 0, 1), "stride": (1, 2, 1)}),
    ("conv_transpose1d", [(2, 3, 5), (3, 4, 3), (4,)], {"stride": 2, "padding": 1, "output_padding": 1}),
    ("conv_transpose1d", [(3, 5), (3, 4, 3)], {}),
    ("conv_transpose1d", [(2, 3, 5), (3, 4, 1), (4,)], {"output_padding": 1, "dilation": 2}),
    ("conv_transpose2d", [(2, 3, 4, 3), (3, 4, 3, 2), (4,)], {}),
    ("conv_transpose2d", [(2, 4, 4, 3), (4, 3, 3, 2), (6,)], {"groups": 2, "stride": (2, 1), "output_padding": (1, 0)}),
    ("conv_transpose2d", [(2, 3, 4, 3), (3, 4, 3, 3), (4,)], {"dilation": 3, "padding": 2, "output_padding": 2}),
    ("conv_transpose3d", [(2, 2, 3, 2, 3), (2, 3, 2, 2, 2), (3,)], {"stride": 2, "padding": 1}),
    ("max_pool1d", [(2, 3, 9)], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool1d", [(3, 9)], {"kernel_size": 2}),
    ("max_pool2d", [(2, 3, 6, 8)], {"kernel_size": 2}),
    ("max_pool2d", [(2, 3, 7, 8)], {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (2, 1)}),
    ("max_pool2d", [(3, 7, 8)], {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ("max_pool2d", [(2, 3, 7, 7)], {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
    ("max_pool2d", [(0, 3, 7, 7)], {"kernel_size": 2}),
    ("max_pool3d", [(2, 2, 5, 4, 5)], {"kernel_size": 2, "stride": (1, 2, 2), "padding": 1}),
    ("avg_pool1d", [(2, 3, 9)], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool1d", [(3, 9)], {"kernel_size": 4, "ceil_mode": True}),
    ("avg_pool2d", [(2, 3, 6, 8)], {"kernel_size": 2}),
    ("avg_pool2d", [(2, 3, 7, 8)], {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1)}),
    ("avg_pool2d", [(3, 7, 8)], {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ("avg_pool2d", [(2, 3, 7, 8)], {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", [(2, 3, 7, 8)], {"kernel_size": 3, "padding": 1, "divisor_override": 2}),
    ("avg_pool3d", [(2, 2, 5, 4, 5)], {"kernel_size": 2, "padding": 1, "count_include_pad": False}),
    ("adaptive_avg_pool1d", [(2, 3, 7)], {"output_size": 3}),
    ("adaptive_avg_pool2d", [(2, 3, 7, 5)], {"output_size": (3, 7)}),
    ("adaptive_avg_pool2d", [(2, 3, 7, 5)], {"output_size": 1}),
    ("adaptive_avg_pool2d", [(3, 7, 5)], {"output_size": (None, 2)}),
    ("adaptive_avg_pool3d", [(2, 3, 4, 5, 3)], {"output_size": (3, 2, 3)}),
    ("adaptive_max_pool1d", [(2, 3, 7)], {"output_size": 3}),
    ("adaptive_max_pool2d", [(2, 3, 7, 5)], {"output_size": (3, 7)}),
    ("adaptive_max_pool2d", [(3, 6, 5)], {"output_size": (3, 1)}),
    ("adaptive_max_pool3d", [(2, 3, 4, 5, 3)], {"output_size": (3, 2, 3)}),
    ("max_unpool1d", [(1, 2, 3), Ints([[0, 3, 5], [1, 2, 4]])], {"kernel_size": 2}),
    ("max_unpool2d", [(1, 1, 2, 2), Ints([[[0, 3], [9, 14]]])], {"kernel_size": 2, "output_size": (5, 4)}),
    ("lp_pool1d", [(2, 3, 8)], {"norm_type": 2.0, "kernel_size": 3}),
    ("lp_pool2d", [(2, 3, 8, 5)], {"norm_type": 2.0, "kernel_size": 2, "stride": 3, "ceil_mode": True}),
    ("interpolate", [(2, 3, 5)], {"scale_factor": 2.5}),
    ("interpolate", [(2, 3, 5, 4)], {"size": (7, 3), "mode": "nearest-exact"}),
    ("interpolate", [(2, 3, 5)], {"size": 8, "mode": "linear"}),
    ("interpolate", [(2, 3, 5, 4)], {"scale_factor": (1.7, 0.6), "mode": "bilinear"}),
    ("interpolate", [(2, 3, 5, 4)], {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True}),
    ("interpolate", [(2, 3, 5, 4)], {"size": (9, 9), "mode": "bilinear", "align_corners": True}),
    ("interpolate", [(2, 3, 5, 4)], {"size": (9, 3), "mode": "bicubic"}),
    ("interpolate", [(2, 3, 5, 4)], {"size": (9, 3), "mode": "bicubic", "align_corners": True}),
    ("interpolate", [(2, 3, 5, 4)], {"size": (3, 3), "mode": "area"}),
    ("interpolate", [(2, 3, 3, 4, 2)], {"size": (5, 3, 4), "mode": "trilinear"}),
    ("pixel_shuffle", [(2, 8, 2, 3)], {"upscale_factor": 2}),
    ("pixel_unshuffle", [(2, 4, 6)], {"downscale_factor": 2}),
    ("channel_shuffle", [(2, 6, 2, 3)], {"groups": 3}),
    ("unfold", [(2, 3, 6, 5)], {"kernel_size": (2, 3), "stride": 2, "padding": 1, "dilation": (2, 1)}),
    ("fold", [(2, 12, 12)], {"output_size": (5, 4), "kernel_size": 2}),
    ("batch_norm", [(4, 3, 5), None, None, (3,), (3,)], {"training": True}),
    ("batch_norm", [(4, 3), None, None, (3,)], {"training": True, "eps": 1e-2}),
    ("batch_norm", [(4, 3, 2, 3), None, None], {"training": True}),
    ("layer_norm", [(2, 3, 4)], {"normalized_shape": (4,)}),
    ("group_norm", [(2, 4, 3)], {"num_groups": 2}),
    ("instance_norm", [(2, 3, 4), None, None, (3,), (3,)], {}),
    ("rms_norm", [(2, 3, 4)], {"normalized_shape": (3, 4)}),
    ("local_response_norm", [(2, 5, 3)], {"size": 3, "alpha": 0.5}),
    ("normalize", [(3, 4)], {}),
    ("normalize", [(3, 4, 2)], {"p": 1.0, "dim": (0, 2)}),
    ("embedding", [Ints([0, 2, 2], [1, 0, 4]), (5, 3)], {}),
    ("embedding", [Ints([0, 2, 2], [1, 0, 4]), (5, 3)], {"padding_idx": 2, "scale_grad_by_freq": True}),
    ("embedding_bag", [Ints([0, 2, 2], [1, 0, 4]), (5, 3)], {"mode": "mean"}),
    ("embedding_bag", [Ints([0, 2, 2], [1, 0, 4]), (5, 3)], {"mode": "sum", "padding_idx": 0}),
    ("embedding_bag", [Ints(0, 2, 2, 1, 0, 4), (5, 3), Ints(0, 2, 2, 5)], {"mode": "max"}),
    ("embedding_bag", [Ints(0, 2, 2, 1, 0, 4), (5, 3), Ints(0, 2, 6)], {"mode": "mean", "include_last_offset": True}),
    ("bilinear", [(2, 3), (2, 4), (5, 3, 4), (5,)], {}),
    ("bilinear", [(2, 2, 3), (2, 2, 4), (5, 3, 4)], {}),
    ("relu", [(3, 4)], {}),
    ("leaky_relu", [(3, 4)], {"negative_slope": 0.3}),
    ("leaky_relu", [(3, 4)], {"negative_slope": -1.5}),
    ("prelu", [(3, 4), (1,)], {}),
    ("prelu", [(3, 4, 2), (4,)], {}),
    ("prelu", [(3, 4), ()], {}),
    ("rrelu", [(3, 4)], {}),
    ("threshold", [(3, 4)], {"threshold": 0.2, "value": 5.0}),
    ("hardtanh", [(3, 4)], {"min_val": -0.5, "max_val": 0.6}),
    ("relu6", [(3, 4)], {}),
    ("hardsigmoid", [(3, 4)], {}),
    ("hardswish", [(3, 4)], {}),
    ("hardshrink", [(3, 4)], {"lambd": 0.3}),
    ("softshrink", [(3, 4)], {"lambd": 0.3}),
    ("elu", [(3, 4)], {"alpha": 0.6}),
    ("selu", [(3, 4)], {}),
    ("celu", [(3, 4)], {"alpha": 0.6}),
    ("softplus", [(3, 4)], {"beta": 2.0, "threshold": 1.0}),
    ("logsigmoid", [(3, 4)], {}),
    ("silu", [(3, 4)], {}),
    ("mish", [(3, 4)], {}),
    ("gelu", [(3, 4)], {}),
    ("gelu", [(3, 4)], {"approximate": "tanh"}),
    ("softsign", [(3, 4)], {}),
    ("tanhshrink", [(3, 4)], {}),
    ("glu", [(3, 4)], {}),
    ("glu", [(4, 3)], {"dim": 0}),
]
IDS = [f"{i}-{row[0]}" for i, row in enumerate(DIFFERENTIABLE)]
# torch, or its CPU build, has no second derivative of these
NO_SECOND = {"hardsigmoid", "max_unpool1d", "max_unpool2d", "embedding_bag", "channel_shuffle", "fold", "bilinear"}


def inputs(spec, dtype):
    rng = np.random.default_rng(0)
    return [s if s is None else s.array if isinstance(s, Ints) else rng.standard_normal(s).astype(dtype) for s in spec]


def tensors(package, arrays):
    return [a if a is None else package.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]


def derivatives(package, name, arrays, kwargs, second):
    """The output, the gradients of its weighted sum, and those of the weighted sum of these."""
    functional = package.nn.functional
    given = tensors(package, arrays)
    y = getattr(functional, name)(*given, **kwargs)
    leaves = [t for t in given if t is not None and t.requires_grad]
    weights = np.random.default_rng(1).standard_normal(tuple(y.shape)).astype(str(y.dtype)[6:])
    first = package.autograd.grad((y * package.tensor(weights)).sum(), leaves, create_graph=second)
    if not second:
        return [y, *first]
    total = sum((g * g).sum() for g in first)
    if not total.requires_grad:  # a piecewise linear function
        return [y, *first, *[None] * len(leaves)]
    return [y, *first, *package.autograd.grad(total, leaves, allow_unused=True)]


def equal(ours, theirs, rtol, atol=None):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if b is None or a is None:
            other = a if b is None else b
            assert other is None or not other.detach().numpy().any()
            continue
        assert tuple(a.shape) == tuple(b.shape)
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol, rtol if atol is None else atol)


@pytest.mark.parametrize(("name", "spec", "kwargs"), DIFFERENTIABLE, ids=IDS)
@pytest.mark.filterwarnings("ignore:Using padding=.same.:UserWarning")
def test_value_gradient_and_second_gradient_are_torchs(name, spec, kwargs):
    arrays = inputs(spec, np.float64)
    second = name not in NO_SECOND
    rtol = 1e-7 if name in ("celu", "hardsigmoid") else 1e-10  # torch rounds 1 / alpha and 1 / 6 to float32
    equal(derivatives(mytorch, name, arrays, kwargs, second), derivatives(torch, name, arrays, kwargs, second), rtol)


@pytest.mark.parametrize(("name", "spec", "kwargs"), DIFFERENTIABLE, ids=IDS)
@pytest.mark.filterwarnings("ignore:Using padding=.same.:UserWarning")
def test_float32_and_strided_inputs_agree(name, spec, kwargs):
    arrays = inputs(spec, np.float32)
    strided = [a if a is None or a.ndim < 2 else np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1) for a in arrays]
    equal(derivatives(mytorch, name, strided, kwargs, False), derivatives(torch, name, arrays, kwargs, False), 2e-5)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "batch_norm", "layer_norm", "group_norm",
                                  "rms_norm", "gelu", "silu", "elu", "adaptive_avg_pool2d", "interpolate", "leaky_relu", "hardtanh"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_is_within_its_rounding(name, kind):
    _, spec, kwargs = next(row for row in DIFFERENTIABLE if row[0] == name)
    arrays = inputs(spec, np.float32)
    results = []
    for package in (mytorch, torch):
        given = [None if a is None else package.tensor(a).to(getattr(package, kind)).requires_grad_() for a in arrays]
        y = getattr(package.nn.functional, name)(*given, **kwargs)
        y.sum().backward()
        assert str(y.dtype) == f"torch.{kind}"
        results.append([y.detach().float(), *[t.grad.float() for t in given if t is not None]])
    equal(*results, 2e-2 if kind == "bfloat16" else 2e-3, 4e-2 if kind == "bfloat16" else 5e-3)


WEIGHTED_NORMS = [("layer_norm", (2, 3, 4), {"normalized_shape": (3, 4)}, (3, 4), True),
                  ("rms_norm", (2, 3), {"normalized_shape": (3,)}, (3,), False),
                  ("group_norm", (2, 4, 3), {"num_groups": 2}, (4,), True)]


@pytest.mark.parametrize(("name", "shape", "kwargs", "wshape", "has_bias"), WEIGHTED_NORMS)
def test_norms_with_weights_have_torchs_second_gradients(name, shape, kwargs, wshape, has_bias):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape), rng.standard_normal(wshape), rng.standard_normal(wshape)][:3 if has_bias else 2]
    found = []
    for package in (mytorch, torch):
        x, *affine = tensors(package, arrays)
        y = getattr(package.nn.functional, name)(x, **kwargs, **dict(zip(["weight", "bias"], affine)))
        first = package.autograd.grad((y**3).sum(), [x, *affine], create_graph=True)
        second = package.autograd.grad(sum((g * g).sum() for g in first), [x, *affine], allow_unused=True)
        found.append([y, *first, *second])
    equal(*found, 1e-9)


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_statistics_are_torchs(name):
    x = np.random.default_rng(0).standard_normal((4, 3, 5))
    found = []
    for package in (mytorch, torch):
        mean, var = package.zeros(3, dtype=package.float64), package.ones(3, dtype=package.float64)
        options = {"training": True} if name == "batch_norm" else {}
        y = getattr(package.nn.functional, name)(package.tensor(x), mean, var, momentum=0.3, **options)
        options = {"training": False} if name == "batch_norm" else {"use_input_stats": False}
        t = package.tensor(x, requires_grad=True)
        z = getattr(package.nn.functional, name)(t, mean, var, package.tensor([1.0, 2.0, 3.0], dtype=package.float64), **options)
        g, = package.autograd.grad((z**2).sum(), t, create_graph=True)
        second, = package.autograd.grad(g.pow(2).sum(), t)
        found.append([mean, var, y, z, g, second])
    equal(*found, 1e-10)


def test_half_inputs_take_float32_parameters_in_batch_norm():
    x = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float16)
    found = []
    for package in (mytorch, torch):
        w, b = package.full((3,), 1.5, requires_grad=True), package.zeros(3, requires_grad=True)
        t = package.tensor(x, requires_grad=True)
        y = package.nn.functional.batch_norm(t, package.zeros(3), package.ones(3), w, b, training=True)
        y.float().pow(2).sum().backward()
        found.append([y, t.grad, w.grad, b.grad])
    equal(*found, 1e-2)


POOLS = [("max_pool1d", (2, 7), (3,)), ("max_pool2d", (2, 7, 8), (3, 2)), ("max_pool3d", (1, 2, 5, 4, 5), (2, 2, 2))]


@pytest.mark.parametrize(("name", "shape", "kernel"), POOLS)
@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 1, "dilation": 2}, {"ceil_mode": True, "stride": 2}])
def test_max_pool_indices_are_torchs(name, shape, kernel, options):
    x = np.random.default_rng(0).integers(0, 3, shape).astype(np.float32)  # many ties
    equal(getattr(F, name)(mytorch.tensor(x), kernel, return_indices=True, **options),
          getattr(torch.nn.functional, name)(torch.tensor(x), kernel, return_indices=True, **options), 0)


@pytest.mark.parametrize("out", [2, 3, 5])
def test_adaptive_max_pool_indices_are_torchs(out):
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 7, 6)).astype(np.float32)
    equal(F.adaptive_max_pool2d(mytorch.tensor(x), out, return_indices=True),
          torch.nn.functional.adaptive_max_pool2d(torch.tensor(x), out, return_indices=True), 0)


@pytest.mark.parametrize("values", [[NAN, 1, NAN, 5, 2, 7], [1, NAN, 3, 4, -INF, -INF], [-INF, -INF, -INF, INF, INF, NAN]])
def test_max_pool_treats_nan_and_infinity_as_torch(values):
    x = np.array([values], np.float32)
    found = []
    for package in (mytorch, torch):
        t = package.tensor(x, requires_grad=True)
        y, indices = package.nn.functional.max_pool1d(t, 3, 1, 1, return_indices=True)
        y.backward(package.tensor([[1.0, 2.0, INF, 4.0, 5.0, 6.0]]))
        plain = package.nn.functional.max_pool1d(package.tensor(x), 3, 1, 1)
        found.append([y, indices, t.grad, plain])
    equal(*found, 0)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign",
                                  "tanhshrink", "hardtanh", "relu6", "hardsigmoid", "hardswish", "logsigmoid", "hardshrink",
                                  "softshrink", "rrelu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation_at_special_points_is_torchs(name, dtype):
    finite = [0.0, -0.0, 1e-30, -1e-30, 3.0, -3.0, 0.5, -0.5, 6.0, 100.0, -100.0, 20.0, 1.0, -1.0, 1e4, -1e4]
    x = np.array([*finite, *([] if name == "gelu" else [INF, -INF, NAN])], dtype)  # torch's gelu(inf) depends on the dtype
    found = []
    for package in (mytorch, torch):
        t = package.tensor(x, requires_grad=True)
        y = getattr(package.nn.functional, name)(t)
        y.sum().backward()
        found.append([y, t.grad[:len(finite)]])
    equal(*found, 1e-6, 2e-6)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "hardtanh", "relu6", "hardsigmoid",
                                  "hardswish", "rrelu", "threshold", "dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d"])
def test_inplace_writes_and_differentiates_as_torch(name):
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    args = (0.1, 2.0) if name == "threshold" else ()
    options = {"training": True} if "dropout" in name or name == "rrelu" else {}
    found = []
    for package in (mytorch, torch):
        package.manual_seed(0)
        t = package.tensor(x, requires_grad=True)
        h = t * 2
        y = getattr(package.nn.functional, name)(h, *args, inplace=True, **options)
        assert y is h
        y.pow(2).sum().backward()
        found.append([y, t.grad])
    equal(*found, 1e-5, 1e-6)


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_dropout_draws_torchs_masks(name, p, dtype):
    shape = {"dropout1d": (3, 4, 5), "dropout2d": (3, 4, 5, 2), "dropout3d": (3, 4, 2, 2, 2)}.get(name, (5, 4, 6))
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = []
    for package in (mytorch, torch):
        package.manual_seed(3)
        t = package.tensor(x).to(getattr(package, dtype))
        y = getattr(package.nn.functional, name)(t, p, training=True)
        found.append([y.float(), package.rand(3)])  # and leave the generator where torch leaves it
    equal(*found, 1e-2 if dtype == "bfloat16" else 1e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_dropout_of_a_permuted_tensor_draws_in_the_order_of_memory(order):
    x = np.ones((4, 5, 6), np.float32)
    found = []
    for package in (mytorch, torch):
        package.manual_seed(0)
        found.append([package.nn.functional.dropout(package.tensor(x).permute(order), 0.5)])
    equal(*found, 0)


def test_embedding_renormalises_the_rows_it_reads():
    table = np.random.default_rng(0).standard_normal((5, 3)) * 3
    found = []
    for package in (mytorch, torch):
        w = package.tensor(table)
        y = package.nn.functional.embedding(package.tensor([0, 2, 2]), w, max_norm=1.0, norm_type=1.5)
        found.append([y, w])
    equal(*found, 1e-9)


def test_embedding_bag_weighs_its_rows():
    rng = np.random.default_rng(0)
    table, factors = rng.standard_normal((5, 3)), rng.standard_normal((2, 3))
    found = []
    for package in (mytorch, torch):
        w, f = package.tensor(table, requires_grad=True), package.tensor(factors, requires_grad=True)
        y = package.nn.functional.embedding_bag(package.tensor([[0, 2, 2], [1, 4, 0]]), w, mode="sum", per_sample_weights=f)
        y.pow(2).sum().backward()
        found.append([y, w.grad, f.grad])
    equal(*found, 1e-9)


@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_embedding_bag_leaves_out_the_padding_row(mode):
    table = np.random.default_rng(0).standard_normal((5, 3))
    found = []
    for package in (mytorch, torch):
        w = package.tensor(table, requires_grad=True)
        given = package.tensor([1, 2, 1, 1, 3]), w, package.tensor([0, 2, 4])
        y = package.nn.functional.embedding_bag(*given, mode=mode, padding_idx=1)
        y.pow(2).sum().backward()
        found.append([y, w.grad])
    equal(*found, 1e-9)


@pytest.mark.parametrize("values", [[0, 2, 1], [[3, 0], [1, 1]], 2])
def test_one_hot_is_torchs(values):
    equal([F.one_hot(mytorch.tensor(values))], [torch.nn.functional.one_hot(torch.tensor(values))], 0)
    equal([F.one_hot(mytorch.tensor(values), 6)], [torch.nn.functional.one_hot(torch.tensor(values), 6)], 0)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "conv2d", "threshold", "hardtanh", "relu6", "interpolate"])
def test_integers_are_computed_as_torch_does(name):
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 9, (2, 3, 4, 4)), rng.integers(-3, 3, (2, 3, 2, 2))
    kwargs = {"max_pool2d": {"kernel_size": 2}, "avg_pool2d": {"kernel_size": 2}, "conv2d": {"weight": w},
              "threshold": {"threshold": 1, "value": 20}, "interpolate": {"size": (5, 3)}}.get(name, {})
    if name == "interpolate":
        x = x.astype(np.uint8)
    found = [[getattr(p.nn.functional, name)(p.tensor(x), **{k: p.tensor(v) if k == "weight" else v for k, v in kwargs.items()})]
             for p in (mytorch, torch)]
    equal(*found, 0)


def test_complex_convolution_is_torchs():
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((2, 3, 5, 5), (4, 3, 3, 3)))
    found = []
    for package in (mytorch, torch):
        t, v = package.tensor(x, requires_grad=True), package.tensor(w, requires_grad=True)
        y = package.nn.functional.conv2d(t, v, stride=2)
        (y * y.conj()).real.sum().backward()
        found.append([y, t.grad, v.grad])
    equal(*found, 1e-10)
