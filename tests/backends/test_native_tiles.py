"""Products, convolutions and recurrent layers of float32 on AMX: csrc/kernels/tiles.h, conv_tiles.h and recurrent_tiles.h.

The tests run where a processor has none, too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mytorch import backends
from tests.backends.agreement import check, floats, instruction_sets, native_as, needs_native
from tests.backends.test_native_conv import check_all, make
from tests.backends.test_native_recurrent import backward_case, case, check_both

pytestmark = needs_native

# Numbers of many sizes, to which a sum of products has to be true.
DRAWS = {
    "normal": lambda g, *shape: g.standard_normal(shape),
    "of one sign": lambda g, *shape: g.random(shape),
    "of many sizes": lambda g, *shape: g.standard_normal(shape) * np.exp(3 * g.standard_normal(shape)),
    "large": lambda g, *shape: g.standard_normal(shape) * 1e15,
    "small": lambda g, *shape: g.standard_normal(shape) * 1e-14,
}

SIZES = st.integers(60, 300)


def matmul(a, b, isa):
    with native_as(isa):
        return backends.kernels["matmul"].override(a, b)


def error(y, a, b):
    """Root of the mean square of errors, each relative to the sum of its products' sizes."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.sqrt(np.mean(((y - a @ b) / (np.abs(a) @ np.abs(b))) ** 2))


@pytest.mark.parametrize("depth", [100, 512, 3000])
@pytest.mark.parametrize("draw", DRAWS)
def test_is_as_exact_as_products_of_float32_are(draw, depth):
    g = np.random.default_rng(depth)
    a, b = (DRAWS[draw](g, *shape).astype(np.float32) for shape in [(130, depth), (depth, 150)])
    errors = [error(matmul(a, b, isa), a, b) for isa in instruction_sets()]
    assert errors[0] <= 1.2 * errors[-1]
    assert errors[0] < 2e-7


def test_numbers_that_bfloat16_holds_are_multiplied_exactly():
    g = np.random.default_rng(0)
    a, b = (g.integers(-128, 128, shape).astype(np.float32) for shape in [(96, 128), (128, 96)])
    for isa in instruction_sets():
        np.testing.assert_array_equal(matmul(a, b, isa), a @ b)


def test_every_bit_of_a_number_takes_part():
    a = np.zeros((128, 128), np.float32)
    np.fill_diagonal(a, 1)
    b = np.random.default_rng(0).standard_normal((128, 160)).astype(np.float32)
    for isa in instruction_sets():
        np.testing.assert_array_equal(matmul(a, b, isa), b)
        np.testing.assert_array_equal(matmul(b.T, a, isa), b.T)


@settings(max_examples=40, deadline=None)
@given(m=SIZES, n=SIZES, k=st.integers(60, 700), orders=st.tuples(st.sampled_from("CFS"), st.sampled_from("CFS")), seed=st.integers(0, 9))
def test_sizes_and_orders(m, n, k, orders, seed):
    def matrix(rows, columns, order, seed):
        x = floats(rows, 2 * columns, seed=seed)[:, ::2] if order == "S" else floats(rows, columns, seed=seed)
        return np.asfortranarray(x) if order == "F" else x

    check("matmul", matrix(m, k, orders[0], seed), matrix(k, n, orders[1], seed + 1), atol=2e-4)


@pytest.mark.parametrize("sizes", [(64, 3000, 70), (70, 4100, 200), (1000, 200, 80), (33, 129, 2000), (600, 600, 600)])
def test_long_sums_and_long_results(sizes):
    m, k, n = sizes
    check("matmul", floats(m, k), floats(k, n, seed=1), atol=1e-3)
    check("matmul", floats(k, m).T, floats(n, k, seed=1).T, atol=1e-3)
    check("linear", floats(m, k), floats(n, k, seed=1), floats(n, seed=2), atol=1e-3)


EXTREMES = [np.nan, np.inf, -np.inf, 3e37, 1e-45, 1e31, -1e-38]


@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("place", [(3, 200), (129, 0)])
def test_one_extreme_number_goes_where_it_belongs(extreme, place):
    a, b = floats(150, 700), floats(700, 140, seed=1)
    a[place] = extreme
    scale = max(1.0, abs(extreme)) if np.isfinite(extreme) else 1.0
    check("matmul", a, b, rtol=1e-4, atol=1e-4 * scale)
    check("matmul", b.T.copy(), a.T.copy(), rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("factors", [(1e-30, 1.0), (1e-30, 1e-20), (1e30, 1e-30), (0.0, 1.0), (1.0, 0.0), (1e20, 1e16)])
def test_factors_of_every_size(factors):
    a, b = floats(130, 260) * np.float32(factors[0]), floats(260, 140, seed=1) * np.float32(factors[1])
    size = factors[0] * factors[1]
    check("matmul", a, b, rtol=1e-4, atol=1e-4 * size if size > 1e-38 else 1e-44)


def test_a_result_beyond_float32_is_infinite():
    a = np.full((128, 128), 1e20, np.float32)
    for isa in instruction_sets():
        assert np.isposinf(matmul(a, a, isa)).all()


CASES = {
    "channels that fill a tile": (2, 32, 64, 1, (20, 22), (3, 3), 1, 1, 1),
    "more": (2, 64, 40, 1, (12, 30), (3, 3), 1, 0, 1),
    "many": (1, 150, 70, 1, (10, 11), (3, 3), 1, 1, 1),
    "an odd number of channels": (2, 41, 64, 1, (13, 17), (3, 3), 1, 1, 1),
    "two taps in a tile": (2, 15, 64, 1, (20, 20), (5, 5), 1, 2, 1),
    "two taps and few rows": (2, 16, 15, 1, (20, 20), (7, 7), 1, 3, 1),
    "dilation": (2, 16, 64, 1, (20, 25), (3, 4), 1, 2, 3),
    "stride": (2, 32, 64, 1, (21, 23), (3, 3), 2, 1, 1),
    "groups": (2, 32, 40, 3, (14, 15), (3, 3), 1, 1, 1),
    "small images": (20, 64, 64, 1, (5, 6), (3, 3), 1, 1, 1),
    "small images and a large weight": (20, 160, 200, 1, (5, 6), (3, 3), 1, 1, 1),
    "1 x 1": (2, 96, 64, 1, (14, 15), (1, 1), 1, 0, 1),
    "one axis": (3, 48, 64, 1, (200,), (5,), 1, 2, 1),
    "one axis with a stride": (3, 48, 64, 1, (200,), (8,), 4, 0, 1),
    "three axes": (2, 32, 40, 1, (6, 7, 18), (3, 2, 3), 1, (1, 0, 2), 1),
}


@pytest.mark.parametrize("case", CASES)
def test_convolutions(case):
    check_all(*make(*CASES[case]))


@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("where", ["image", "weight"])
def test_convolutions_of_one_extreme_number(where, extreme):
    x, weight, bias, g, meta = make(3, 32, 64, 1, (16, 18), (3, 3), 1, 1, 1)
    if where == "image":
        x[1, 3, 4, 5] = g[1, 3, 4, 5] = extreme
    else:
        weight[7, 3, 1, 2] = extreme
    scale = max(1.0, abs(extreme)) if np.isfinite(extreme) else 1.0
    check("conv", x, weight, bias, rtol=1e-4, atol=1e-3 * scale, **meta)
    if where == "image":  # the reference multiplies NaN in the weight by less of the padding
        check("conv_grad_input", g, weight, size=x.shape[2:], rtol=1e-4, atol=1e-3 * scale, **meta)
        check("conv_grad_weight", g, x, size=weight.shape[2:], rtol=1e-4, atol=1e-3 * scale, **meta)


@pytest.mark.parametrize("channel", [3, 70, 159])
def test_one_extreme_number_among_images_that_share_a_weight(channel):
    x, weight, bias, _, meta = make(20, 160, 200, 1, (5, 6), (3, 3), 1, 1, 1)
    x[7, channel, 2, 3] = np.inf
    check("conv", x, weight, bias, rtol=1e-4, atol=1e-3, **meta)


SIZES_OF_STEPS = [(32,) * 12, (5,) * 10, (20,) * 9 + (17,) * 3 + (3,) * 2]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES_OF_STEPS)
@pytest.mark.parametrize(("kind", "size"), [("tanh", 256), ("gru", 128), ("lstm", 128), ("lstm", 160), ("gru", 320)])
def test_recurrent_layers(kind, size, sizes, reverse):
    check_both(kind, sizes, 40, size, reverse=reverse)


@pytest.mark.parametrize("extreme", [np.nan, np.inf, 3e37])
@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_recurrent_layers_with_one_extreme_number(kind, extreme):
    name, arrays, meta = case(kind, (20,) * 10, 40, 192)
    arrays[0][3, 5, 7] = extreme
    check(name, *arrays, atol=1e-4, **meta)
    name, arrays, meta = backward_case(kind, (20,) * 10, 40, 192)
    arrays[0][3, 5, 7] = extreme
    check(name, *arrays, atol=1e-3 * (extreme if np.isfinite(extreme) else 1), rtol=1e-3, **meta)
