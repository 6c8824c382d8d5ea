"""Normalisation: fused kernels against their plain compositions, derivatives, running statistics, edges, errors."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch.autograd import gradcheck, gradgradcheck
from mytorch.nn import functional as F
from mytorch.ops import norm


def draw(*shape, requires_grad=False):
    values = np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape)
    return mytorch.tensor(values, requires_grad=requires_grad)


FUNCTIONS = {
    "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "batch_norm in evaluation": lambda x, w, b: F.batch_norm(x, mytorch.zeros(4).double() + 0.5, mytorch.ones(4).double() * 2, w, b),
    "group_norm": lambda x, w, b: F.group_norm(x, 2, w, b),
    "instance_norm": lambda x, w, b: F.instance_norm(x, None, None, w, b),
    "layer_norm": lambda x, w, b: F.layer_norm(x, (4, 3), w, b),
    "rms_norm": lambda x, w, b: F.rms_norm(x, (4, 3), w),
}


def given(name, affine=True):
    wshape = (4, 3) if name in ("layer_norm", "rms_norm") else (4,)
    w, b = (draw(*wshape, requires_grad=True), draw(*wshape, requires_grad=True)) if affine else (None, None)
    return draw(2, 4, 3, requires_grad=True), w, b


@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_derivatives_are_numerically_right(name):
    inputs = given(name)
    inputs = inputs[:2] if name == "rms_norm" else inputs
    function = (lambda *t: FUNCTIONS[name](*t, None)) if name == "rms_norm" else FUNCTIONS[name]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


OPS = {
    "batch_norm": (norm._batch_norm_op, (None, None), {"training": True, "eps": 1e-5}),
    "batch_norm in evaluation": (norm._batch_norm_op, "running", {"training": False, "eps": 1e-5}),
    "group_norm": (norm.group_norm_op, (), {"groups": 2, "eps": 1e-5}),
    "layer_norm": (norm.layer_norm_op, (), {"shape": (4, 3), "eps": 1e-5}),
    "rms_norm": (norm._rms_norm_op, (), {"shape": (4, 3), "eps": 1e-5}),
}


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("affine", [True, False])
def test_fused_kernel_equals_its_plain_composition(name, affine):
    op, rest, meta = OPS[name]
    x, w, b = given(name, affine)
    rest = (draw(4), draw(4).abs() + 1) if rest == "running" else rest
    inputs = (x, w, *rest) if name == "rms_norm" else (x, w, b, *rest)
    fused = op(*inputs, **meta)
    plain = op.composite(*inputs, *fused, **meta)
    g = draw(2, 4, 3)
    leaves = [t for t in (x, w, b) if t is not None and not (t is b and name == "rms_norm")]
    np.testing.assert_allclose(fused[0].detach().numpy(), plain.detach().numpy(), 1e-12, 1e-12)
    for mine, expected in zip(mytorch.autograd.grad(fused[0], leaves, g), mytorch.autograd.grad(plain, leaves, g), strict=True):
        np.testing.assert_allclose(mine.numpy(), expected.numpy(), 1e-9, 1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_strided_inputs_give_what_contiguous_ones_give(name):
    x = draw(3, 4, 2)
    _, w, b = given(name)
    y = FUNCTIONS[name](x.permute(2, 1, 0), w, b)
    assert mytorch.equal(y, FUNCTIONS[name](x.permute(2, 1, 0).contiguous(), w, b))
    assert y.is_contiguous()


def test_batch_norm_gives_mean_zero_and_variance_one():
    y = F.batch_norm(draw(8, 3, 5, 5) * 7 + 100, None, None, training=True)
    np.testing.assert_allclose(y.mean((0, 2, 3)).numpy(), 0, atol=1e-12)
    np.testing.assert_allclose(y.var((0, 2, 3), unbiased=False).numpy(), 1, 1e-5)


def test_float32_statistics_survive_a_large_mean():
    x = (draw(64, 2, 16, 16) + 1000).float()
    y = F.batch_norm(x, None, None, training=True)
    exact = F.batch_norm(x.double(), None, None, training=True)
    np.testing.assert_allclose(y.numpy(), exact.numpy(), atol=2e-3)


def test_running_statistics_move_by_the_momentum_with_the_unbiased_variance():
    x = draw(4, 2, 5)
    mean, var = mytorch.zeros(2).double(), mytorch.ones(2).double()
    version = mean._version
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean((0, 2)).numpy())
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var((0, 2)).numpy())
    assert mean._version > version


def test_evaluation_leaves_running_statistics_alone():
    mean, var = mytorch.zeros(2).double(), mytorch.ones(2).double()
    y = F.batch_norm(draw(4, 2, 5), mean, var)
    assert mean.tolist() == [0, 0]
    np.testing.assert_allclose(y.numpy(), draw(4, 2, 5).numpy() / np.sqrt(1 + 1e-5))


def test_a_second_batch_norm_of_the_same_buffers_does_not_disturb_the_first_backward():
    x, mean, var = draw(4, 2, requires_grad=True), mytorch.zeros(2).double(), mytorch.ones(2).double()
    first = F.batch_norm(x, mean, var, training=True)
    F.batch_norm(x, mean, var, training=True)
    first.pow(3).sum().backward()
    assert x.grad.abs().sum() > 0


def test_group_norm_of_one_group_is_layer_norm_over_all_but_the_batch():
    x = draw(2, 4, 3)
    np.testing.assert_allclose(F.group_norm(x, 1).numpy(), F.layer_norm(x, (4, 3)).numpy(), 1e-12)
    np.testing.assert_allclose(F.group_norm(x, 4).numpy(), F.instance_norm(x).numpy(), 1e-12)


@pytest.mark.parametrize("kind", [mytorch.float16, mytorch.bfloat16])
def test_sixteen_bit_norms_compute_in_float32(kind):
    x = (draw(4, 256) * 300).to(kind)  # squares overflow float16
    y = F.layer_norm(x, (256,))
    assert y.dtype is kind
    np.testing.assert_allclose(y.float().numpy(), F.layer_norm(x.float(), (256,)).numpy(), atol=2e-2)


def test_empty_batches_pass():
    for name, function in FUNCTIONS.items():
        _, w, b = given(name)
        x = mytorch.zeros(0, 4, 3, dtype=mytorch.float64, requires_grad=True)
        function(x, w, b).sum().backward()
        assert x.grad.shape == (0, 4, 3), name


def test_normalize_guards_a_zero_vector():
    y = F.normalize(mytorch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(y.numpy(), [[0.6, 0.8], [0, 0]], 1e-6)


def test_local_response_norm_follows_its_formula():
    x = draw(1, 5, 2).numpy()
    y = F.local_response_norm(mytorch.tensor(x), 3, alpha=0.5, beta=0.7, k=2.0).numpy()
    for c in range(5):
        squares = (x[:, max(c - 1, 0):c + 2] ** 2).sum(1)
        np.testing.assert_allclose(y[:, c], x[:, c] / (2 + 0.5 / 3 * squares) ** 0.7)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: F.batch_norm(x[:1, :, :1], None, None, training=True), ValueError, "Expected more than 1 value per channel"),
        (lambda x: F.batch_norm(x, None, None), RuntimeError, "running_mean must be defined in evaluation mode"),
        (lambda x: F.batch_norm(x, mytorch.zeros(3), mytorch.ones(4)), RuntimeError, "running_mean should contain 4 elements not 3"),
        (lambda x: F.batch_norm(x, None, None, mytorch.ones(3), training=True), RuntimeError, "weight should contain 4 elements not 3"),
        (lambda x: F.batch_norm(x.double(), None, None, mytorch.ones(4), training=True), RuntimeError, "mixed dtype (CPU)"),
        (lambda x: F.batch_norm(x.long(), None, None, training=True), NotImplementedError, "not implemented for 'Long'"),
        (lambda x: F.batch_norm(x[0, 0], None, None, training=True), RuntimeError, "expected at least 2 dimensions"),
        (lambda x: F.layer_norm(x, (4,)), RuntimeError, "Given normalized_shape=[4], expected input with shape [*, 4]"),
        (lambda x: F.layer_norm(x, ()), RuntimeError, "Expected normalized_shape to be at least 1-dimensional"),
        (lambda x: F.layer_norm(x, 3), TypeError, "'normalized_shape' (position 2) must be tuple of ints, not int"),
        (lambda x: F.layer_norm(x, (3,), mytorch.ones(2)), RuntimeError, "Expected weight to be of same shape as normalized_shape"),
        (lambda x: F.rms_norm(x, (3,), mytorch.ones(2)), RuntimeError, "Expected weight to be of same shape as normalized_shape"),
        (lambda x: F.group_norm(x, 3), RuntimeError, "number of channels in input to be divisible by num_groups"),
        (lambda x: F.group_norm(x, 2, mytorch.ones(3)), RuntimeError, "Expected weight to be a vector of size equal to the number"),
        (lambda x: F.group_norm(x[0, 0], 1), RuntimeError, "Expected at least 2 dimensions for input tensor but received 1"),
        (lambda x: F.instance_norm(x[..., :1]), ValueError, "Expected more than 1 spatial element when training"),
        (lambda x: F.instance_norm(x, use_input_stats=False), RuntimeError, "Expected running_mean and running_var to be defined"),
        (lambda x: F.local_response_norm(x[0], 2), ValueError, "Expected 3D or higher dimensionality input (got 2 dimensions)"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(call, error, text):
    with pytest.raises(error) as caught:
        call(mytorch.rand(2, 4, 3))
    assert text in str(caught.value)
