"""The product of matrices: csrc/kernels/matmul.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.agreement import check, declines, floats, needs_native

pytestmark = needs_native

SIZES = [(1, 1, 1), (3, 5, 7), (14, 256, 32), (15, 257, 33), (1, 784, 512), (129, 700, 270), (2, 3, 1000), (70, 600, 33)]


def matrix(rows, columns, dtype, transposed, seed):
    return floats(columns, rows, dtype=dtype, seed=seed).T if transposed else floats(rows, columns, dtype=dtype, seed=seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("sizes", SIZES)
def test_product_in_every_transposition(sizes, transposed, dtype):
    m, k, n = sizes
    check("matmul", matrix(m, k, dtype, transposed[0], 1), matrix(k, n, dtype, transposed[1], 2), atol=3e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [256, 384, 512])  # columns of the left factor a power of two apart are packed, others read in place
@pytest.mark.parametrize(("depth", "columns"), [(40, 30), (385, 270), (800, 20)])
def test_product_with_many_rows_that_lie_side_by_side(rows, depth, columns, dtype):
    left = matrix(rows, depth, dtype, True, 1)
    check("matmul", left, floats(depth, columns, dtype=dtype, seed=2), atol=3e-4)
    check("linear", left, floats(columns, depth, dtype=dtype, seed=2), floats(columns, dtype=dtype, seed=3), atol=3e-4)


@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 80), st.integers(1, 3), st.integers(1, 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_product_of_strided_matrices(m, k, n, step_a, step_b, backwards):
    a = floats(m, k * step_a)[:, ::step_a]
    b = floats(k * step_b, n, seed=1)[::-step_b if backwards else step_b]
    check("matmul", a, b, atol=3e-4)


@pytest.mark.parametrize(("a", "b"), [((4, 20, 30), (4, 30, 40)), ((2, 3, 5, 6), (2, 3, 6, 7)), ((3, 4, 5), (5, 6)),
                                      ((2, 1, 5, 6), (3, 6, 4)), ((5, 6), (3, 6, 4))])
def test_batches_broadcast(a, b):
    check("matmul", floats(*a), floats(*b, seed=1), atol=1e-4)


def test_one_matrix_repeated_by_expand():
    check("matmul", floats(3, 5, 6), np.broadcast_to(floats(6, 4, seed=1), (3, 6, 4)))


@pytest.mark.parametrize(("a", "b"), [((0, 5), (5, 3)), ((4, 0), (0, 3)), ((4, 5), (5, 0)), ((0, 4, 5), (0, 5, 3))])
def test_sizes_of_zero(a, b):
    check("matmul", floats(*a), floats(*b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (1,), (4,), (5,), (27,), (28,), (29,), (3, 7), (0,)])
def test_linear(rows, bias, dtype):
    x, weight = floats(*rows, 130, dtype=dtype), floats(70, 130, dtype=dtype, seed=1)
    check("linear", x, weight, floats(70, dtype=dtype, seed=2) if bias else None, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("needs", [(True, True, True), (False, True, True), (True, True, False), (False, True, False)])
@pytest.mark.parametrize("rows", [(), (1,), (5,), (16,), (45,), (3, 7), (600,)])
def test_gradients_of_linear(rows, needs, dtype):
    weight = floats(70, 130, dtype=dtype, seed=1) if needs[0] else None
    check("linear_grad", floats(*rows, 70, dtype=dtype), floats(*rows, 130, dtype=dtype, seed=2), weight, needs=needs, atol=3e-4)


def test_gradients_of_linear_with_strides():
    x, weight = floats(130, 40).T, floats(130, 70, seed=1).T
    check("linear_grad", floats(40, 70, seed=2), x, weight, needs=(True, True, True), atol=3e-4)
    declines("linear_grad", np.broadcast_to(floats(1, 70), (40, 70)), x, weight, needs=(True, True, True))
    declines("linear_grad", floats(40, 70), None, weight, needs=(True, False, True))
    declines("linear_grad", floats(0, 70), floats(0, 130), weight, needs=(True, True, True))


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 28, 29])
def test_few_rows_against_a_matrix_either_way_round(rows):
    for n in (1, 31, 32, 33, 100):
        check("matmul", floats(rows, 67), floats(67, n, seed=1), atol=1e-4)
        check("matmul", floats(rows, 67), floats(n, 67, seed=1).T, atol=1e-4)


def test_nan_and_infinity_go_where_they_belong():
    a, b = floats(40, 50), floats(50, 60, seed=1)
    a[3, 4], b[7, 8] = np.nan, np.inf
    check("matmul", a, b, atol=1e-4)


@pytest.mark.parametrize("bias", [floats(1), floats(2, 3), floats(6)[::2]], ids=["one number", "a matrix", "strided"])
def test_a_bias_of_another_form_is_left_to_the_reference(bias):
    declines("linear", floats(2, 5), floats(3, 5), bias)


def test_agrees_on_the_smallest_products():
    check("matmul", floats(2, 3), floats(3, 2))
    check("linear", floats(1, 2), floats(1, 2), None)


def test_declines_other_dtypes():
    declines("matmul", np.ones((64, 64), np.int64), np.ones((64, 64), np.int64))
    declines("matmul", floats(64, 64).astype(">f4"), floats(64, 64).astype(">f4"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 40), (300, 100), (2, 40_000), (3, 7, 33), (4, 5, 60, 90), (0, 20), (3, 0, 20)])
def test_outer_products(shape, dtype):
    *lead, m, n = shape
    a, b = floats(*lead, m, 1, dtype=dtype), floats(*lead, 1, n, dtype=dtype, seed=1)
    check("matmul", a, b)
    check("matmul", floats(*lead, 1, m, dtype=dtype).swapaxes(-1, -2), b)
    check("matmul", a, floats(*lead, 1, 2 * n, dtype=dtype)[..., ::2])
    check("matmul", a, np.broadcast_to(b[(0,) * len(lead)] if 0 not in lead else b, b.shape))
    check("linear", a, floats(n, 1, dtype=dtype), floats(n, dtype=dtype, seed=2), atol=1e-6)
