"""bfloat16 on the native kernels: conversions to the bit, products against float32, on every unit that the processor has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
from mytorch import backends, dtypes
from mytorch.nn import functional as F
from tests.backends.agreement import NATIVE, check, declines, floats, instruction_sets, native_as, needs_native

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


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("isa", instruction_sets())
def test_float16_converts_there_and_back(isa):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wider = np.clip(floats(4, 5, 1001, edges=True), -3e35, 3e35) * np.float32(300)  # some too large, some below the normal numbers
    halfway = (every[:-1].astype(np.float32) + every[1:].astype(np.float32)) / 2
    with native_as(isa):
        for x in (wider, halfway, wider.transpose(1, 2, 0), wider[:, :, ::3], wider * np.float32(1e-7)):
            if isa == "baseline":
                declines("float32_to_float16", x)
                continue
            expected, found = dtypes.float32_to_float16.reference(x), dtypes.float32_to_float16.override(x)
            assert found.dtype == np.float16
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(np.signbit(found)[~np.isnan(x)], np.signbit(x)[~np.isnan(x)])
        if isa != "baseline":
            np.testing.assert_array_equal(dtypes.float16_to_float32.override(every), every.astype(np.float32))


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


def check_rounded(name, *arguments, atol=1e-6, **meta):
    """The override answers for bfloat16 as the reference does, but for one rounding, and with the same bits on 1 to 4 threads."""
    kernel = backends.kernels[name]
    expected = kernel.reference(*arguments, **meta)
    expected = expected if type(expected) is tuple else (expected,)
    for isa in instruction_sets():
        answers = set()
        for threads in (1, 2, 3, 4):
            with native_as(isa, threads):
                found = kernel.override(*arguments, **meta)
            assert found is not NotImplemented, f"{name} declined on {isa}"
            found = found if type(found) is tuple else (found,)
            answers.add(b"".join(part.tobytes() for part in found if part is not None))
        assert len(answers) == 1, f"{name} on {isa}: the number of threads changes bits"
        for a, b in zip(found, expected, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            if a.dtype == dtypes.BFLOAT16_NP:
                np.testing.assert_allclose(wide(a), wide(b), rtol=2**-7, atol=atol, err_msg=f"{name} on {isa}")
            else:
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max(initial=1.0), err_msg=f"{name} on {isa}")


EDGY = [lower(5, 77), lower(3, 4, 5), lower(16), narrow(floats(40, 33, edges=True)), lower(300, 70)]


@pytest.mark.parametrize("name", ["relu", "exp", "tanh", "square", "neg", "abs", "sigmoid", "silu"])
def test_functions_of_one_number_widen_and_round_once(name):
    for x in EDGY:
        with np.errstate(all="ignore"):
            expected = narrow(np.asarray(backends.kernels[name].reference(wide(x))))
        for isa in instruction_sets():
            with native_as(isa):
                found = backends.kernels[name].override(x)
            np.testing.assert_allclose(wide(found), wide(expected), rtol=2**-7, atol=1e-30, err_msg=f"{name} on {isa}")


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
def test_functions_of_two_numbers_widen_and_round_once(name):
    for x in EDGY:
        other = narrow(wide(x)[..., ::-1].copy() + np.float32(0.25))
        for b in (other, np.ascontiguousarray(other[..., :1]), np.ascontiguousarray(other.reshape(-1)[: x.shape[-1]])):
            with np.errstate(all="ignore"):
                expected = narrow(backends.kernels[name].reference(wide(x), wide(b)))
            for isa in instruction_sets():
                with native_as(isa):
                    found = backends.kernels[name].override(x, b)
                np.testing.assert_array_equal(wide(found), wide(expected), err_msg=f"{name} on {isa}")


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_bfloat16_beside_float32_gives_float32(name):
    a, b = lower(30, 41), floats(30, 41, seed=1)
    for first, second in ((a, b), (b, a)):
        expected = backends.kernels[name].reference(*(wide(x) if x.dtype == a.dtype else x for x in (first, second)))
        for isa in instruction_sets():
            with native_as(isa):
                found = backends.kernels[name].override(first, second)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)


def test_sums_of_types_promote_as_without_the_extension():
    x, y, number = torch.randn(40, 50).bfloat16(), torch.randn(40, 50), torch.tensor(1.5)
    with native_as():
        assert (x + y).dtype is torch.float32
        assert (x + number).dtype is torch.bfloat16  # a tensor without dimensions does not raise the type
        assert (x * 2.0).dtype is (2 - x).dtype is torch.bfloat16
        np.testing.assert_array_equal((x + y).numpy(), x.float().numpy() + y.numpy())
        np.testing.assert_array_equal((x + number).float().numpy(), (x.float() + 1.5).bfloat16().float().numpy())
        assert (x * 1j).dtype is torch.complex64


@pytest.mark.parametrize("size", [5, 16, 1000, 40000])
def test_gradients_of_functions_are_the_references(size):
    g, y = lower(size), narrow(np.maximum(floats(size, seed=1, edges=True), 0))
    for isa in instruction_sets():
        with native_as(isa):
            found = backends.kernels["relu_grad"].override(g, y)
            gelu = [backends.kernels["gelu_grad"].override(g, lower(size, seed=2), approximate=way) for way in ("none", "tanh")]
        np.testing.assert_array_equal(wide(found), wide(backends.kernels["relu_grad"].reference(g, y)))
        for way, a in zip(("none", "tanh"), gelu, strict=True):
            expected = backends.kernels["gelu_grad"].reference(g, lower(size, seed=2), approximate=way)
            np.testing.assert_allclose(wide(a), wide(expected), rtol=2**-7, atol=1e-5)


def test_relu_passes_gradients_of_bfloat16_where_it_is_positive():
    x = torch.randn(100, 90).bfloat16().requires_grad_()
    with native_as():
        torch.relu(x).sum().backward()
    np.testing.assert_array_equal(x.grad.float().numpy(), (x.detach().float().numpy() > 0).astype(np.float32))
    (second,) = torch.autograd.grad(torch.autograd.grad(torch.relu(x).square().sum(), x, create_graph=True)[0].sum(), x)
    np.testing.assert_array_equal(second.float().numpy(), 2 * (x.detach().float().numpy() > 0))


@pytest.mark.parametrize(("shape", "dim"), [((40, 70), (0,)), ((40, 70), (1,)), ((6, 5, 77), (0, 2)), ((3000,), None), ((4, 9, 8, 8), (2, 3))])
def test_sums_of_bfloat16_are_rounded_once(shape, dim):
    check_rounded("reduce_sum", lower(*shape), dim=dim, keepdim=False, atol=2e-2)


def test_copies_and_joined_arrays_of_bfloat16_keep_every_bit():
    every = np.arange(1 << 16, dtype=np.uint16).view(dtypes.BFLOAT16_NP)
    heads = every.reshape(4, 64, 8, 32).transpose(0, 2, 1, 3)
    for isa in instruction_sets():
        with native_as(isa):
            np.testing.assert_array_equal(backends.kernels["contiguous"].override(heads).view(np.uint16), np.ascontiguousarray(heads).view(np.uint16))
            parts = tuple(every.reshape(64, 32, 32)[i : i + 20] for i in (0, 20))
            joined = backends.kernels["joined"].override(parts, dim=1)
        np.testing.assert_array_equal(joined.view(np.uint16), np.concatenate([part.view(np.uint16) for part in parts], axis=1))


LAYERS = [  # of x, of the weight, and what is not one, nothing, one and one
    ((3, 16, 20, 18), (16, 16, 3, 3), {"padding": (1, 1)}),
    ((2, 40, 13, 9), (70, 40, 3, 3), {"padding": (1, 1)}),
    ((9, 32, 8, 8), (33, 32, 3, 3), {"padding": (1, 1)}),
    ((2, 32, 17, 16), (48, 32, 3, 3), {"padding": (1, 1), "stride": (2, 2)}),
    ((2, 100, 16, 16), (40, 100, 1, 1), {"stride": (2, 2)}),
    ((1, 24, 40, 30), (32, 24, 5, 3), {"padding": (4, 2), "dilation": (2, 1), "stride": (1, 3)}),
    ((2, 64, 12, 12), (64, 32, 3, 3), {"padding": (0, 2), "groups": 2}),
    ((4, 30, 200), (50, 30, 5), {"padding": (2,), "stride": (2,)}),
    ((1, 20, 9, 10, 11), (24, 20, 3, 3, 3), {"padding": (1, 1, 1)}),
]


@pytest.mark.parametrize(("of_x", "of_weight", "given"), LAYERS)
def test_convolutions_of_bfloat16_and_their_gradients_are_rounded_once(of_x, of_weight, given):
    axes = len(of_x) - 2
    meta = {"stride": (1,) * axes, "padding": (0,) * axes, "dilation": (1,) * axes, "groups": 1, **given}
    x, weight, bias = lower(*of_x), lower(*of_weight, seed=1), floats(of_weight[0], seed=2)
    y = backends.kernels["conv"].reference(x, weight, bias, **meta)
    g = lower(*y.shape, seed=3)
    scale = np.sqrt(np.prod(of_weight[1:]))
    check_rounded("conv", x, weight, bias, atol=1e-5 * scale, **meta)
    check_rounded("conv", x, weight, None, atol=1e-5 * scale, **meta)
    check_rounded("conv_grad_input", g, weight, size=of_x[2:], atol=1e-5 * scale, **meta)
    check_rounded("conv_grad_weight", g, x, size=of_weight[2:], atol=1e-5 * np.sqrt(y.size / of_weight[0]), **meta)


@pytest.mark.skipif("amx" not in instruction_sets(), reason="no matrix unit")
def test_the_matrix_unit_takes_convolutions_of_bfloat16_as_they_are():
    meta = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    geometry = (1, 1, 1, 0, 1, 1, 1, 1, 1, 1)
    x, weight, g = lower(4, 32, 16, 16), lower(32, 32, 3, 3, seed=1), lower(4, 32, 16, 16, seed=2)
    empty = np.zeros_like
    with native_as("amx"):
        assert K.conv(x, weight, None, empty(g), *geometry) is not NotImplemented
        assert K.conv_grad_input(g, weight, None, empty(x), *geometry) is not NotImplemented
        assert K.conv_grad_weight(g, x, empty(weight), *geometry) is not NotImplemented
        values = wide(x)
        values[1, 3, 0, 5] = np.inf
        assert K.conv_grad_weight(g, narrow(values), empty(weight), *geometry) is NotImplemented  # zero times Inf: float32 answers
    for isa in instruction_sets():
        with native_as(isa):
            found = wide(backends.kernels["conv_grad_weight"].override(g, narrow(values), size=(3, 3), **meta))
        touched = ~np.isfinite(found)
        assert touched[:, 3].any()
        assert not np.delete(touched, 3, axis=1).any()


@settings(max_examples=25, deadline=None)
@given(queries=st.sampled_from([8, 16, 17, 33, 64, 100]), keys=st.sampled_from([1, 16, 31, 40, 128, 300]),
       inner=st.sampled_from([4, 16, 17, 32, 40, 64]), outer=st.sampled_from([4, 16, 32, 33, 70]),
       how=st.sampled_from(["all", "causal", "masked"]), apart=st.booleans(), seed=st.integers(0, 9))
def test_attention_of_bfloat16_is_rounded_once(queries, keys, inner, outer, how, apart, seed):
    q, k, v = lower(2, 3, queries, inner, seed=seed), lower(2, 3, keys, inner, seed=seed + 1), lower(2, 3, keys, outer, seed=seed + 2)
    if apart:  # heads within rows, as a network has them
        q, k, v = (np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for x in (q, k, v))
    mask = None
    if how == "masked":
        mask = np.random.default_rng(seed).random((queries, keys)) < 0.7
        mask[:, 0] = True
    settings_ = {"scale": inner ** -0.5, "causal": how == "causal", "kept": 1.0}
    forward, backward = backends.kernels["attention_forward"], backends.kernels["attention_grad"]
    y, lse = forward.reference(wide(q), wide(k), wide(v), mask, None, **settings_)
    g = lower(*y.shape, seed=seed + 3)
    expected = (narrow(y), lse, *backward.reference(wide(g), wide(q), wide(k), wide(v), mask, None, wide(narrow(y)), lse, **settings_))
    for isa in instruction_sets():
        answers = set()
        for threads in (1, 2, 3):
            with native_as(isa, threads):
                found, sums = forward.override(q, k, v, mask, None, **settings_)
                grads = backward.override(g, q, k, v, mask, None, narrow(y), lse, **settings_)
            answers.add(b"".join(part.tobytes() for part in (found, sums, *grads)))
        assert len(answers) == 1
        np.testing.assert_allclose(sums, lse, rtol=1e-4, atol=1e-4)
        for a, b in zip((found, *grads), (y, *expected[2:]), strict=True):
            np.testing.assert_allclose(wide(a), b, rtol=2**-7, atol=3e-4 * np.abs(b).max() + 1e-5)


def test_batch_norm_of_bfloat16_answers_for_columns_and_for_given_statistics():
    weight, bias = floats(37, seed=1), floats(37, seed=2)
    mean, var = floats(37, seed=3), np.abs(floats(37, seed=4)) + np.float32(0.5)
    for shape in ((50, 37), (6, 37, 11), (4, 37, 8, 8)):
        x, g = lower(*shape), lower(*shape, seed=5)
        for training in (True, False):
            check_rounded("batch_norm_forward", x, weight, bias, mean, var, training=training, eps=1e-5, atol=1e-5)
            check_rounded("batch_norm_grad", g, x, weight, mean, var, training=training, eps=1e-5, atol=1e-4)


def test_means_of_whole_images_and_their_gradients_are_rounded_once():
    whole = {"kernel_size": (8, 8), "stride": (8, 8), "padding": (0, 0), "include_pad": True, "override": None}
    check_rounded("adaptive_avg", lower(3, 50, 8, 8), out=(1, 1))
    check_rounded("adaptive_avg_grad", lower(3, 50, 1, 1), size=(8, 8))
    check_rounded("avg_pool", lower(3, 50, 8, 8), out=(1, 1), **whole)
    check_rounded("avg_pool_grad", lower(3, 50, 1, 1), size=(8, 8), **whole)


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
