"""bfloat16 on the native kernels: conversions to the bit, products against float32, on every unit that the processor has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
from mytorch import backends, dtypes
from mytorch.nn import functional as F
from tests.backends.agreement import NATIVE, check, floats, instruction_sets, native_as, needs_native

pytestmark = needs_native

if NATIVE:
    from mytorch.backends.native import bfloat16
    from mytorch.backends.native.extension import K

narrow = dtypes.float32_to_bfloat16.reference
wide = dtypes.bfloat16_to_float32.reference
UNITS = [(isa, vectors) for isa in instruction_sets() for vectors in (0, 1)]  # 1: AVX512-BF16 also where float32 is quicker


def lower(*shape, seed=0, order="C"):
    """Random bfloat16, row-major or column-major."""
    x = narrow(floats(*shape, seed=seed))
    return x if order == "C" else np.asfortranarray(x.view(np.uint16)).view(x.dtype)


@pytest.mark.parametrize("shape", [(40000,), (3, 5, 7), (0, 4), (), (1,), (70, 33)])
def test_conversions_are_the_references_to_the_bit(shape):
    x = floats(*shape, edges=True) if shape else np.float32(1.3).reshape(())
    check("float32_to_bfloat16", x, bitwise=True)
    check("bfloat16_to_float32", narrow(x), bitwise=True)


def test_every_bfloat16_converts_there_and_back():
    every = np.arange(1 << 16, dtype=np.uint16).view(dtypes.BFLOAT16_NP)
    check("bfloat16_to_float32", every, bitwise=True)
    check("float32_to_bfloat16", wide(every), bitwise=True)


def test_halfway_numbers_round_to_even_and_the_largest_to_infinity():
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F7F8000, 0xFF7FFFFF, 0x00008000, 0x7F800001], np.uint32)
    found = bfloat16.float32_to_bfloat16(np.resize(bits, 7 * 400).view(np.float32)).view(np.uint16)[:7]
    assert [hex(n) for n in found] == ["0x3f80", "0x3f82", "0x3f81", "0x7f80", "0xff80", "0x0", "0x7fc0"]


@pytest.mark.parametrize("change", [
    lambda x: x.transpose(2, 0, 1), lambda x: x[:, ::2], lambda x: x[::-1, :, 3:9], lambda x: x[..., ::-2], lambda x: x.transpose(0, 2, 1)[1:],
])
def test_conversions_read_any_strides_and_keep_the_order_of_dimensions(change):
    x = change(floats(6, 20, 30))
    halves = change(lower(6, 20, 30))
    check("float32_to_bfloat16", x, bitwise=True)
    check("bfloat16_to_float32", halves, bitwise=True)


SIZES = st.sampled_from([0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 100, 130, 257])


@settings(max_examples=60, deadline=None)
@given(m=SIZES, n=SIZES, k=SIZES, orders=st.tuples(st.sampled_from("CF"), st.sampled_from("CF")), unit=st.sampled_from(UNITS), seed=st.integers(0, 9))
def test_products_of_any_sizes_are_float32s(m, n, k, orders, unit, seed):
    a, b, bias = lower(m, k, seed=seed, order=orders[0]), lower(k, n, seed=seed + 1, order=orders[1]), lower(n, seed=seed + 2)
    expected = wide(a) @ wide(b) + wide(bias)
    bfloat16.ANY_VECTORS = unit[1]
    try:
        with native_as(unit[0]):
            found = bfloat16.product(a, b, bias, np.full((m, n), np.nan, np.float32))
            rounded = bfloat16.product(a, b, bias, np.empty((m, n), a.dtype))
    finally:
        bfloat16.ANY_VECTORS = 0
    np.testing.assert_allclose(found, expected, 1e-4, 1e-4)
    np.testing.assert_array_equal(rounded.view(np.uint16), narrow(found).view(np.uint16))


@pytest.mark.parametrize("unit", UNITS)
def test_a_product_has_the_same_bits_on_any_number_of_threads(unit, monkeypatch):
    monkeypatch.setattr(bfloat16, "ANY_VECTORS", unit[1])
    for shapes in [((300, 200), (200, 190)), ((5, 3, 40, 64), (5, 3, 64, 33)), ((2, 200, 150), (2, 150, 180))]:
        a, b = lower(*shapes[0]), lower(*shapes[1], seed=1)
        answers = set()
        for threads in (1, 2, 3, 4):
            with native_as(unit[0], threads):
                answers.add(backends.kernels["matmul"].override(a, b).tobytes())
        assert len(answers) == 1
        expected = wide(a) @ wide(b)
        np.testing.assert_allclose(wide(np.frombuffer(answers.pop(), a.dtype)).reshape(expected.shape), expected, 2e-2, 2e-2)


@pytest.mark.parametrize("unit", UNITS)
def test_nan_and_infinity_pass_through_a_product(unit, monkeypatch):
    monkeypatch.setattr(bfloat16, "ANY_VECTORS", unit[1])
    x = floats(40, 50)
    x[3, 4], x[7, 8] = np.nan, np.inf
    with native_as(unit[0]):
        y = wide(backends.kernels["matmul"].override(narrow(x), narrow(np.abs(floats(50, 60, seed=1)) + 1)))
    assert np.isnan(y[3]).all()
    assert np.isposinf(y[7]).all()
    assert np.isfinite(np.delete(y, (3, 7), axis=0)).all()


def test_a_transposed_view_and_an_expanded_batch_are_read_where_they_lie():
    a, b = lower(4, 70, 50).transpose(0, 2, 1), np.broadcast_to(lower(70, 44, seed=1), (4, 70, 44))
    for isa in instruction_sets():
        with native_as(isa):
            found = wide(backends.kernels["matmul"].override(a, b))
            np.testing.assert_allclose(found, wide(a) @ wide(b), 2e-2, 2e-2)


def test_the_binding_refuses_products_that_do_not_fit():
    a = lower(40, 50)
    if K.matmul_bfloat16(a, lower(50, 40), None, np.zeros((40, 40), np.float32), 0) is not NotImplemented:
        with pytest.raises(ValueError, match="sizes do not fit"):
            K.matmul_bfloat16(a, lower(51, 40), None, np.zeros((40, 40), np.float32), 0)
    with pytest.raises(ValueError, match="one shape"):
        K.cast(a, np.zeros((50, 40), np.float32))


@pytest.mark.parametrize("name", ["gelu", "scaled_dot_product_attention"])
def test_functions_that_widen_round_once_as_the_reference_does(name):
    function = getattr(F, name)
    x = torch.randn(2, 3, 40, 32)
    lowered = x.bfloat16().requires_grad_()
    raised = lowered.detach().float().requires_grad_()
    args = (lambda t: (t,)) if name == "gelu" else (lambda t: (t, t * 0.5, t + 1))
    with native_as():
        y = function(*args(lowered))
        y.sum().backward()
    expected = function(*args(raised))
    expected.sum().backward()
    assert y.dtype is lowered.grad.dtype is torch.bfloat16
    np.testing.assert_allclose(y.detach().float().numpy(), expected.detach().numpy(), 2e-2, 2e-2)
    np.testing.assert_allclose(lowered.grad.float().numpy(), raised.grad.numpy(), 4e-2, 4e-2)


GEOMETRY = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
WINDOWS = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}
X, G, WEIGHT = (2, 4, 12, 12), (2, 6, 12, 12), (6, 4, 3, 3)


@pytest.mark.parametrize(("name", "shapes", "meta"), [
    ("conv", (X, WEIGHT, (6,)), GEOMETRY),
    ("conv_transposed", (G, WEIGHT, (4,)), {**GEOMETRY, "size": (12, 12)}),
    ("conv_grad_input", (G, WEIGHT), {**GEOMETRY, "size": (12, 12)}),
    ("conv_grad_weight", (G, X), {**GEOMETRY, "size": (3, 3)}),
    ("max_pool", (X,), {**WINDOWS, "dilation": (1, 1), "out": (6, 6)}),
    ("max_pool_with_places", (X,), {**WINDOWS, "dilation": (1, 1), "out": (6, 6)}),
    ("avg_pool", (X,), {**WINDOWS, "out": (6, 6), "include_pad": True, "override": None}),
    ("avg_pool_grad", ((2, 4, 6, 6),), {**WINDOWS, "size": (12, 12), "include_pad": True, "override": None}),
])
def test_kernels_of_images_widen_and_round_once(name, shapes, meta):
    arguments = [narrow(floats(*shape, seed=i)) for i, shape in enumerate(shapes)]
    if name == "conv" or name == "conv_transposed":
        arguments[2] = wide(arguments[2])  # a bias of float32 stays as it is
    kernel = backends.kernels[name]
    with native_as():
        found = kernel.override(*arguments, **meta)
    expected = kernel.reference(*arguments, **meta)
    for a, b in zip(found if type(found) is tuple else (found,), expected if type(expected) is tuple else (expected,), strict=True):
        assert a.dtype == b.dtype
        if a.dtype == dtypes.BFLOAT16_NP:
            np.testing.assert_allclose(wide(a), wide(b), rtol=2**-7, atol=1e-6)
        else:
            np.testing.assert_array_equal(a, b)


def test_batch_norm_keeps_its_statistics_in_float32():
    x, weight = narrow(floats(*X)), floats(4, seed=1)
    forward, backward = backends.kernels["batch_norm_forward"], backends.kernels["batch_norm_grad"]
    with native_as():
        y, mean, var = forward.override(x, weight, weight, None, None, training=True, eps=1e-5)
        dx, dweight, dbias = backward.override(y, x, weight, mean, var, training=True, eps=1e-5)
    assert (y.dtype, mean.dtype, var.dtype) == (x.dtype, np.float32, np.float32)
    assert (dx.dtype, dweight.dtype, dbias.dtype) == (x.dtype, np.float32, np.float32)
    expected = forward.reference(x, weight, weight, None, None, training=True, eps=1e-5)
    np.testing.assert_allclose(wide(y), wide(expected[0]), rtol=2**-7, atol=1e-6)
    np.testing.assert_allclose(wide(dx), wide(backward.reference(y, x, weight, mean, var, training=True, eps=1e-5)[0]), rtol=2**-6, atol=1e-3)


def test_kept_of_bfloat16_is_zero_where_the_mask_is_not():
    x = lower(100, 50)
    mask = np.arange(5000).reshape(100, 50) % 3 == 0
    np.testing.assert_array_equal(wide(backends.kernels["kept"](x, mask)), np.where(mask, wide(x), np.float32(0)))


def test_a_linear_layer_under_autocast_has_bfloat16_results_and_float32_gradients():
    layer, x = torch.nn.Linear(96, 80), torch.randn(50, 96)
    with torch.autocast("cpu"):
        y = layer(x)
    assert y.dtype is torch.bfloat16
    y.float().square().sum().backward()
    exact = layer(x)
    np.testing.assert_allclose(y.detach().float().numpy(), exact.detach().numpy(), 3e-2, 3e-2)
    assert layer.weight.grad.dtype is torch.float32
    inner = torch.autograd.grad(exact.square().sum(), layer.weight)[0]
    assert float((layer.weight.grad - inner).norm() / inner.norm()) < 1e-2
