"""Convolutions: values by their definition, the family closed under differentiation, edges, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import mytorch
from mytorch.autograd import gradcheck, gradgradcheck
from mytorch.nn import functional as F
from mytorch.ops import conv


def draw(*shape, dtype=np.float64):
    return np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape).astype(dtype)


def by_definition(x, w, stride, padding, dilation, groups):
    """The sums of the formula, one output at a time."""
    dims = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    per_group = w.shape[0] // groups
    for o in range(w.shape[0]):
        channels = slice(o // per_group * w.shape[1], (o // per_group + 1) * w.shape[1])
        for place in itertools.product(*map(range, out)):
            window = tuple(slice(p * stride[i], p * stride[i] + dilation[i] * (w.shape[2 + i] - 1) + 1, dilation[i])
                           for i, p in enumerate(place))
            y[(slice(None), o, *place)] = (x[(slice(None), channels, *window)] * w[o]).sum(axis=tuple(range(1, dims + 2)))
    return y


CASES = [
    # x, weight, stride, padding, dilation, groups
    ((2, 3, 9), (4, 3, 3), (2,), (1,), (1,), 1),
    ((2, 4, 9), (6, 2, 2), (1,), (0,), (3,), 2),
    ((2, 3, 6, 5), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 6, 5), (4, 3, 3, 2), (2, 3), (2, 1), (1, 2), 1),
    ((3, 4, 6, 5), (8, 1, 3, 3), (1, 2), (1, 1), (1, 1), 4),
    ((2, 3, 4, 5), (4, 3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 4, 5, 3), (3, 2, 2, 3, 2), (1, 2, 1), (1, 0, 1), (1, 1, 1), 1),
]


@pytest.mark.parametrize(("xshape", "wshape", "stride", "padding", "dilation", "groups"), CASES)
def test_values_follow_the_definition(xshape, wshape, stride, padding, dilation, groups):
    x, w = draw(*xshape), draw(*wshape)
    function = getattr(F, f"conv{len(stride)}d")
    y = function(mytorch.tensor(x), mytorch.tensor(w), None, stride, padding, dilation, groups)
    np.testing.assert_allclose(y.numpy(), by_definition(x, w, stride, padding, dilation, groups), 1e-12, 1e-12)


@pytest.mark.parametrize(("xshape", "wshape", "stride", "padding", "dilation", "groups"), CASES)
def test_the_three_kernels_are_transposes_of_one_another(xshape, wshape, stride, padding, dilation, groups):
    """<g, conv(x, w)> = <conv_grad_input(g, w), x> = <conv_grad_weight(g, x), w>."""
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, w = draw(*xshape), draw(*wshape)
    y = conv.conv(x, w, None, **geometry)
    g = draw(*y.shape)
    expected = (g * y).sum()
    np.testing.assert_allclose((conv.conv_grad_input(g, w, size=xshape[2:], **geometry) * x).sum(), expected)
    np.testing.assert_allclose((conv.conv_grad_weight(g, x, size=wshape[2:], **geometry) * w).sum(), expected)


@pytest.mark.parametrize("limit", [1, 2000, 1 << 30])
def test_values_do_not_depend_on_how_many_images_are_taken_at_a_time(monkeypatch, limit):
    monkeypatch.setattr(conv, "_COLUMN_BYTES", limit)
    x, w, g = draw(5, 2, 6, 6), draw(3, 2, 3, 3), draw(5, 3, 6, 6)
    geometry = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    np.testing.assert_allclose(conv.conv(x, w, None, **geometry), by_definition(x, w, (1, 1), (1, 1), (1, 1), 1), 1e-12, 1e-12)
    whole = conv.conv_grad_input(g, w, size=(6, 6), **geometry), conv.conv_grad_weight(g, x, size=(3, 3), **geometry)
    parts = [(conv.conv_grad_input(g[i:i + 1], w, size=(6, 6), **geometry),
              conv.conv_grad_weight(g[i:i + 1], x[i:i + 1], size=(3, 3), **geometry)) for i in range(5)]
    np.testing.assert_allclose(whole[0], np.concatenate([p[0] for p in parts]), 1e-12, 1e-12)
    np.testing.assert_allclose(whole[1], sum(p[1] for p in parts), 1e-12, 1e-12)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "groups": 2}])
def test_first_and_second_derivatives_are_numerically_right(name, options):
    groups = options.get("groups", 1)
    shape = (4, 2 // groups, 2, 2) if name == "conv2d" else (2, 4 // groups, 2, 2)
    given = [mytorch.tensor(draw(*s), requires_grad=True) for s in ((2, 2, 4, 3), shape, (4,))]
    assert gradcheck(lambda *t: getattr(F, name)(*t, **options), given)
    assert gradgradcheck(lambda *t: getattr(F, name)(*t, **options), given)


def test_third_derivatives_pass_through_the_same_kernels():
    x, w = (mytorch.tensor(draw(*s), requires_grad=True) for s in ((1, 1, 4), (1, 1, 2)))
    assert gradgradcheck(lambda x, w: mytorch.autograd.grad(F.conv1d(x, w).pow(3).sum(), (x, w), create_graph=True), (x, w))


def test_transposed_convolution_is_the_gradient_of_convolution():
    x, w, g = draw(2, 3, 6, 5), draw(4, 3, 3, 2), draw(2, 4, 3, 4)
    t = mytorch.tensor(x, requires_grad=True)
    F.conv2d(t, mytorch.tensor(w), stride=(2, 1), padding=(1, 0)).backward(mytorch.tensor(g))
    back = F.conv_transpose2d(mytorch.tensor(g), mytorch.tensor(w), stride=(2, 1), padding=(1, 0), output_padding=(1, 0))
    np.testing.assert_allclose(back.numpy(), t.grad.numpy(), 1e-12)


def test_same_padding_keeps_the_size_and_puts_the_odd_zero_last():
    x = mytorch.arange(4.0).reshape(1, 1, 4)
    w = mytorch.tensor([[[1.0, 10.0]]])
    assert F.conv1d(x, w, padding="same").tolist() == [[[10.0, 21.0, 32.0, 3.0]]]


def test_an_image_without_a_batch_gives_one_without():
    x, w, b = mytorch.tensor(draw(3, 6, 5)), mytorch.tensor(draw(4, 3, 3, 3)), mytorch.tensor(draw(4))
    assert mytorch.equal(F.conv2d(x, w, b), F.conv2d(x[None], w, b)[0])


def test_an_empty_batch_gives_empty_outputs_and_zero_gradients():
    x, w = mytorch.zeros(0, 3, 5, 5, requires_grad=True), mytorch.ones(4, 3, 3, 3, requires_grad=True)
    y = F.conv2d(x, w)
    y.sum().backward()
    assert y.shape == (0, 4, 3, 3)
    assert x.grad.shape == x.shape
    assert not w.grad.any()


def test_strided_inputs_give_what_contiguous_ones_give():
    x, w = draw(5, 6, 3, 2), draw(4, 4, 3, 3).astype(np.float64)
    given = mytorch.tensor(x).permute(3, 2, 0, 1)
    weight = mytorch.tensor(w)[:, ::2][:, :, ::1].expand(4, 2, 3, 3)
    y = F.conv2d(given[:, :2], weight)
    assert mytorch.equal(y, F.conv2d(given[:, :2].contiguous(), weight.contiguous()))
    assert y.is_contiguous()


def test_nan_spreads_to_the_windows_that_hold_it_alone():
    x = mytorch.zeros(1, 1, 7)
    x[0, 0, 3] = float("nan")
    assert F.conv1d(x, mytorch.ones(1, 1, 3)).isnan().tolist() == [[[False, True, True, True, False]]]


def test_sixteen_bit_floats_add_up_in_float32():
    x = mytorch.full((1, 1, 4096), 0.001, dtype=mytorch.float16)
    y = F.conv1d(x, mytorch.ones(1, 1, 4096, dtype=mytorch.float16))
    assert y.dtype is mytorch.float16
    assert abs(y.item() - 4096 * float(x[0, 0, 0])) < 4e-3


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 2, 3, 3)), RuntimeError, "expected input[1, 3, 5, 5] to have 2 channels, but got 3"),
        (lambda r: F.conv2d(r(5, 5), r(4, 3, 3, 3)), RuntimeError, "Expected 3D (unbatched) or 4D (batched) input to conv2d"),
        (lambda r: F.conv2d(r(1, 3, 2, 2), r(4, 3, 3, 3)), RuntimeError, "Kernel size: (3 x 3). Kernel size can't be greater"),
        (lambda r: F.conv1d(r(1, 3, 5), r(4, 3, 3), dilation=3), RuntimeError, "Kernel size: (7)"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), r(5)), RuntimeError, "bias to be 1-dimensional with 4 elements"),
        (lambda r: F.conv2d(r(1, 3, 5, 5).double(), r(4, 3, 3, 3)), RuntimeError, "expected scalar type Double but found Float"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), r(4).double()), RuntimeError, "bias type (float64) should be the same"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), stride=0), RuntimeError, "non-positive stride is not supported"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), stride=(1, 2, 3)), RuntimeError, "list of 2 values to match the convolution"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), padding=-1), RuntimeError, "negative padding is not supported"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), padding=1.5), TypeError, "argument 'padding' must be an int"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), dilation=0), RuntimeError, "dilation should be greater than zero"),
        (lambda r: F.conv2d(r(1, 4, 5, 5), r(3, 2, 3, 3), groups=2), RuntimeError, "weight to be divisible by 2 at dimension 0"),
        (lambda r: F.conv2d(r(1, 4, 5, 5), r(4, 2, 3, 3), groups=0), RuntimeError, "non-positive groups is not supported"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), stride=2, padding="same"), RuntimeError, "not supported for strided"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), padding="full"), RuntimeError, "Invalid padding string: 'full'"),
        (lambda r: F.conv2d(r(1, 3, 5, 5) > 0, r(4, 3, 3, 3) > 0), NotImplementedError, "not implemented for 'Bool'"),
        (lambda r: F.conv2d([1], r(4, 3, 3, 3)), TypeError, "argument 'input' (position 1) must be Tensor, not list"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), None), TypeError, "argument 'weight' (position 2) must be Tensor, not NoneType"),
        (lambda r: F.conv2d(r(1, 3, 5, 5), r(0, 3, 3, 3)), RuntimeError, "expected weight to be at least 1 at dimension 0"),
        (lambda r: F.conv_transpose2d(r(1, 3, 5, 5), r(4, 3, 3, 3)), RuntimeError, "Given transposed=1, weight of size [4, 3, 3, 3]"),
        (lambda r: F.conv_transpose1d(r(1, 3, 5), r(3, 4, 3), output_padding=1), RuntimeError, "output padding must be smaller"),
        (lambda r: F.conv_transpose2d(r(1, 3, 1, 1), r(3, 4, 3, 3), padding=2), RuntimeError, "Output size is too small"),
        (lambda r: F.conv_transpose1d(r(1, 3, 5), r(3, 4, 3), output_padding=-1), RuntimeError, "negative output_padding"),
    ],
)
def test_what_does_not_fit_is_refused_in_torchs_words(call, error, text):
    with pytest.raises(error) as caught:
        call(mytorch.rand)
    assert text in str(caught.value)


def test_the_node_is_named_after_torchs():
    y = F.conv2d(mytorch.rand(1, 1, 3, 3, requires_grad=True), mytorch.rand(1, 1, 2, 2))
    assert y.grad_fn.name() == "ConvolutionBackward0"
