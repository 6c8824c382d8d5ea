"""Convolutions and their gradients: csrc/kernels/conv.cpp, conv_weight.cpp and conv_depthwise.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mytorch import backends
from mytorch.ops.conv import output_size
from tests.backends.agreement import check, declines, floats, instruction_sets, native_as, needs_native, unaligned

pytestmark = needs_native

# images, channels per group, output channels per group, groups, size, kernel, stride, padding, dilation
CASES = {
    "3 x 3 on rows of one vector": (2, 3, 5, 1, (6, 32), (3, 3), 1, 1, 1),
    "rows that are no whole vectors": (2, 4, 20, 1, (9, 26), (3, 3), 1, 0, 1),
    "one input channel": (3, 1, 32, 1, (12, 12), (3, 3), 1, 0, 1),
    "one output channel": (3, 5, 1, 1, (12, 12), (3, 3), 1, 2, 1),
    "small images together": (20, 6, 16, 1, (8, 8), (3, 3), 1, 1, 1),
    "images of one place": (40, 7, 9, 1, (1, 1), (3, 3), 1, 1, 1),
    "one output that sees the whole image": (30, 7, 45, 1, (4, 4), (4, 4), 3, 0, 1),
    "one output that sees all but a row": (30, 7, 9, 1, (5, 4), (4, 4), 3, 0, 1),
    "a single image, cut into parts": (1, 24, 30, 1, (40, 41), (3, 3), 1, 1, 1),
    "more channels than one piece": (2, 90, 15, 1, (7, 9), (3, 3), 1, 1, 1),
    "channels a power of two apart": (2, 6, 7, 1, (16, 16), (1, 1), 1, 0, 1),
    "1 x 1": (2, 40, 33, 1, (10, 11), (1, 1), 1, 0, 1),
    "1 x 1 with a stride": (2, 10, 33, 1, (10, 11), (1, 1), 2, 0, 1),
    "stride 2": (2, 5, 17, 1, (17, 34), (3, 3), 2, 1, 1),
    "strides that differ": (2, 3, 4, 1, (21, 23), (3, 5), (3, 2), (2, 0), 1),
    "a stride beyond the kernel": (2, 3, 4, 1, (21, 23), (2, 2), 4, 0, 1),
    "dilation": (2, 3, 4, 1, (15, 20), (3, 3), 1, 2, 2),
    "stride and dilation with a common divisor": (2, 3, 4, 1, (19, 40), (3, 3), 2, 3, 4),
    "more padding than kernel": (2, 3, 4, 1, (5, 6), (2, 2), 1, 5, 1),
    "groups": (2, 3, 5, 4, (9, 17), (3, 3), 1, 1, 1),
    "depthwise": (2, 1, 1, 19, (9, 17), (3, 3), 1, 1, 1),
    "depthwise with a stride": (2, 1, 1, 6, (15, 40), (5, 5), 2, 2, 1),
    "depthwise with stride 3 and dilation": (2, 1, 1, 6, (20, 31), (3, 3), 3, 4, 2),
    "depthwise with a multiplier": (2, 1, 3, 6, (9, 33), (3, 4), 1, 1, 1),
    "one axis": (3, 24, 30, 1, (100,), (8,), 4, 0, 1),
    "one axis, a long kernel": (2, 3, 5, 1, (400,), (150,), 1, 0, 1),
    "one axis, one image": (1, 30, 40, 1, (1000,), (5,), 1, 2, 1),
    "three axes": (2, 3, 4, 1, (5, 6, 18), (3, 2, 3), (1, 2, 1), (1, 0, 2), 1),
    "three axes, one image": (1, 8, 10, 1, (8, 12, 13), (3, 3, 3), 1, 1, 1),
    "three axes, depthwise": (2, 1, 1, 3, (5, 6, 18), (3, 2, 3), 2, 1, 1),
    **(MANY_IMAGES := {  # the matrix unit takes 32 at a time
        "many images": (32, 32, 32, 1, (9, 8), (3, 3), 1, 1, 1),
        "many images, none of whose sizes is even": (63, 61, 95, 1, (7, 9), (3, 3), 1, 2, 1),
        "many images, a single row of channels": (64, 16, 30, 1, (6, 7), (5, 4), 1, 2, 1),
        "many images, groups": (31, 32, 48, 2, (6, 6), (3, 3), 1, 1, 1),
        "many images, a stride": (64, 64, 64, 1, (9, 12), (3, 3), 2, 1, 1),
        "many images, strides beyond the kernel": (64, 256, 256, 1, (8, 8), (2, 2), 3, 0, 1),
        "many images, dilation and a stride": (64, 32, 64, 1, (12, 11), (3, 3), (1, 2), 3, (3, 2)),
        "many images, 1 x 1": (64, 256, 256, 1, (5, 6), (1, 1), 1, 0, 1),
        "many images, more padding than kernel": (64, 64, 64, 1, (3, 4), (2, 2), 1, 4, 1),
        "many images, one axis": (64, 48, 64, 1, (70,), (5,), 1, 2, 1),
        "many images, one axis, more padding than places": (64, 64, 64, 1, (5,), (3,), 1, 40, 1),
        "many images, three axes": (32, 32, 40, 1, (4, 5, 6), (2, 3, 3), 1, 1, 1),
        "many images, one sheet of outputs": (64, 64, 64, 1, (3, 6, 5), (3, 2, 2), 1, 0, 1),
    }),
}


def make(images, channels, outputs, groups, size, kernel, stride, padding, dilation, dtype=np.float32):
    """x, weight, bias, g, and the metadata."""
    dims = len(size)
    stride, padding, dilation = ((n,) * dims if isinstance(n, int) else n for n in (stride, padding, dilation))
    meta = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    out = output_size(size, kernel, stride, padding, dilation)
    x = floats(images, channels * groups, *size, dtype=dtype)
    weight = floats(outputs * groups, channels, *kernel, dtype=dtype, seed=1)
    return x, weight, floats(outputs * groups, dtype=dtype, seed=2), floats(images, outputs * groups, *out, dtype=dtype, seed=3), meta


def check_all(x, weight, bias, g, meta):
    rounding = {"rtol": 1e-4, "atol": 1e-5 * max(10.0, g.size / g.shape[1]) ** 0.5 + 1e-4}
    check("conv", x, weight, bias, **rounding, **meta)
    check("conv", x, weight, None, **rounding, **meta)
    check("conv_grad_input", g, weight, size=x.shape[2:], **rounding, **meta)
    check("conv_grad_weight", g, x, size=weight.shape[2:], **rounding, **meta)
    check("conv_grad_bias", g, **rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_convolution_and_its_gradients(case, dtype):
    check_all(*make(*CASES[case], dtype=dtype))


@st.composite
def geometries(draw):
    dims = draw(st.integers(1, 3))
    depthwise = draw(st.booleans()) and draw(st.booleans())
    groups = draw(st.integers(2, 9)) if depthwise else draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = (1, draw(st.integers(1, 2))) if depthwise else (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    kernel = [draw(st.integers(1, 5)) for _ in range(dims)]
    stride = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    padding = tuple(draw(st.integers(0, 4)) for _ in range(dims))
    most = (150, 34, 8)[dims - 1]
    size = [max(draw(st.integers(1, most)), d * (k - 1) + 1 - 2 * p) for d, k, p in zip(dilation, kernel, padding, strict=True)]
    return draw(st.integers(1, 18 // dims)), channels, outputs, groups, tuple(size), tuple(kernel), stride, padding, dilation


@given(geometries())
@settings(max_examples=25, deadline=None)
def test_any_geometry(case):
    check_all(*make(*case))


@given(geometries(), st.data())
@settings(max_examples=10, deadline=None)
def test_output_padding_of_transposed_convolutions(case, data):
    x, weight, _, g, meta = make(*case)
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + data.draw(st.integers(0, max(s, d) - 1)) for n, k, s, p, d in zip(
        g.shape[2:], weight.shape[2:], meta["stride"], meta["padding"], meta["dilation"], strict=True))
    if min(size) > 0:
        bias = floats(x.shape[1], seed=5)
        check("conv_transposed", g, weight, bias, size=size, rtol=1e-4, atol=1e-3, **meta)


@pytest.mark.parametrize("case", ["rows that are no whole vectors", "stride 2", "depthwise", "small images together", "one axis"])
def test_layouts_other_than_the_contiguous_one(case):
    x, weight, bias, g, meta = make(*CASES[case])
    turned = [np.asfortranarray(x), np.ascontiguousarray(weight[::-1])[::-1], bias, np.asfortranarray(g)]
    check_all(*turned, meta)


@pytest.mark.parametrize("case", ["3 x 3 on rows of one vector", "rows that are no whole vectors", "stride 2", "small images together",
                                  "depthwise", "depthwise with a stride", "one axis", "three axes", "many images"])
def test_nan_and_infinity_go_where_they_belong(case):
    x, weight, bias, g, meta = make(*CASES[case])
    x[0, 0, ..., -1] = np.inf
    x[-1, -1, ..., 0] = np.nan
    g[0, 0, ..., -1] = np.inf
    check_all(x, weight, bias, g, meta)


@pytest.mark.parametrize("case", MANY_IMAGES)
def test_many_images_are_worth_a_matrix_unit(case):
    """Do the cases above get there? Its sums differ from those of the vector units in their last bits."""
    if "amx" not in instruction_sets():
        pytest.skip("this processor has no matrix unit")
    x, weight, _, g, meta = make(*CASES[case])
    found = []
    for isa in ("amx", "avx512"):
        with native_as(isa):
            found.append(backends.kernels["conv_grad_weight"].override(g, x, size=weight.shape[2:], **meta))
    assert not np.array_equal(*found)


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e12, 1e30])
@pytest.mark.parametrize("place", [0, 4, 8])
def test_weight_gradients_of_numbers_of_all_sizes(scale, place):
    """The matrix unit cannot split what is too large or too small: no error beyond that of a sum in float32."""
    x, weight, _, g, meta = make(*CASES["many images"])
    x[:, :, place] *= np.float32(scale)
    g[:, :, 8 - place] *= np.float32(scale)
    kernel = backends.kernels["conv_grad_weight"]
    for of_g, of_x in ((1, 1), (1e-15, 1e-20), (1e5, 1e-38)):
        given = g * np.float32(of_g), x * np.float32(of_x)
        exact = kernel.reference(*(a.astype(np.float64) for a in given), size=weight.shape[2:], **meta)
        terms = kernel.reference(*(abs(a.astype(np.float64)) for a in given), size=weight.shape[2:], **meta)
        for isa in instruction_sets():
            with native_as(isa), np.errstate(over="ignore", invalid="ignore"):
                found = kernel.override(*given, size=weight.shape[2:], **meta)
                fine = (abs(found - exact) <= 1e-5 * terms + 1e-36) | (terms > 1e38)
            assert fine.all(), isa


@pytest.mark.parametrize(("x", "weight"), [((0, 3, 5, 5), (4, 3, 3, 3)), ((2, 0, 5, 5), (4, 0, 3, 3)), ((2, 3, 5, 5), (0, 3, 3, 3))])
def test_sizes_of_zero_are_left_to_the_reference(x, weight):
    meta = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    with native_as():
        declines("conv", floats(*x), floats(*weight), None, **meta)
        declines("conv_grad_weight", floats(x[0], weight[0], 3, 3), floats(*x), size=(3, 3), **meta)
        declines("conv_grad_input", floats(x[0], weight[0], 3, 3), floats(*weight), size=(5, 5), **meta)


def test_other_dtypes_and_alignments_and_small_outputs_are_left_to_the_reference():
    meta = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
    x, weight = floats(4, 3, 200), floats(5, 3, 3)
    with native_as():
        declines("conv", x.astype(np.float16), weight.astype(np.float16), None, **meta)
        declines("conv", x.astype(np.int64), weight.astype(np.int64), None, **meta)
        declines("conv", unaligned(x), weight, None, **meta)
    declines("conv", floats(1, 1, 5), floats(1, 1, 3), None, **meta)


@pytest.mark.parametrize("name", ["conv", "conv_grad_input", "conv_grad_weight"])
def test_arrays_that_do_not_fit_are_refused_before_memory_is_touched(name):
    from mytorch.backends.native.extension import K

    x, weight, g, dw = floats(2, 3, 8, 8), floats(4, 3, 3, 3), floats(2, 4, 7, 6), floats(4, 3, 3, 3)
    numbers = (1, 1, 1, 0, 0, 0, 1, 1, 1, 1)
    arrays = {"conv": (x, weight, None, g), "conv_grad_input": (g, weight, None, x), "conv_grad_weight": (g, x, dw)}[name]
    with pytest.raises(ValueError, match="sizes do not fit"):
        getattr(K, name)(*arrays, *numbers)
    with pytest.raises(ValueError, match="channels do not fit"):
        getattr(K, name)(*arrays, *numbers[:-1], 3)


def test_the_gradients_are_the_transposes_of_the_convolution():
    x, weight, _, g, meta = make(*CASES["stride and dilation with a common divisor"], dtype=np.float64)
    kernels = backends.kernels
    product = (kernels["conv"](x, weight, None, **meta) * g).sum()
    assert np.isclose((kernels["conv_grad_input"](g, weight, size=x.shape[2:], **meta) * x).sum(), product)
    assert np.isclose((kernels["conv_grad_weight"](g, x, size=weight.shape[2:], **meta) * weight).sum(), product)


def test_the_input_gradient_of_a_huge_stride_is_left_to_the_reference():
    meta = {"size": (200, 9), "stride": (90, 100), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    with native_as():
        declines("conv_grad_input", floats(2, 4, 3, 1), floats(4, 3, 2, 2), **meta)
