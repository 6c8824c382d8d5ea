"""Broadcasting and type promotion of pointwise operations, against NumPy's rules for shapes and a table of torch's for dtypes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mytorch

BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "eq": np.equal, "lt": np.less, "atan2": np.arctan2}
SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0)
THREE = hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3, min_side=0)


def filled(shape, seed):
    return np.random.default_rng(seed).uniform(-2, 2, shape)


@given(st.sampled_from(sorted(BINARY)), SHAPES)
def test_binary_operations_broadcast_as_numpy_does(name, shapes):
    a, b = (filled(shape, i) for i, shape in enumerate(shapes.input_shapes))
    y = getattr(mytorch, name)(mytorch.from_numpy(a), mytorch.from_numpy(b))
    expected = BINARY[name](a, b)
    assert tuple(y.shape) == shapes.result_shape
    np.testing.assert_array_equal(y.numpy(), expected)


@given(SHAPES)
def test_gradient_has_the_shape_of_its_input_and_sums_over_the_copies(shapes):
    a, b = (mytorch.from_numpy(filled(shape, i)).requires_grad_() for i, shape in enumerate(shapes.input_shapes))
    g = filled(shapes.result_shape, 2)
    (a * b).backward(mytorch.from_numpy(g))
    for x, other in ((a, b), (b, a)):
        full = g * np.broadcast_to(other.detach().numpy(), shapes.result_shape)
        lead = full.ndim - x.ndim
        axes = tuple(i for i in range(full.ndim) if i < lead or (x.shape[i - lead] == 1 and full.shape[i] != 1))
        expected = full.sum(axis=axes, keepdims=True).reshape(tuple(x.shape))
        assert x.grad.shape == x.shape
        np.testing.assert_allclose(x.grad.numpy(), expected, 1e-12, 1e-12)


@given(THREE)
def test_where_broadcasts_three_ways(shapes):
    condition, a, b = (filled(shape, i) for i, shape in enumerate(shapes.input_shapes))
    y = mytorch.where(mytorch.from_numpy(np.asarray(condition > 0)), mytorch.from_numpy(a), mytorch.from_numpy(b))
    np.testing.assert_array_equal(y.numpy(), np.where(condition > 0, a, b))


@given(THREE)
def test_addcmul_and_lerp_broadcast_three_ways(shapes):
    a, b, c = (filled(shape, i) for i, shape in enumerate(shapes.input_shapes))
    tensors = [mytorch.from_numpy(x) for x in (a, b, c)]
    np.testing.assert_allclose(mytorch.addcmul(*tensors, value=0.5).numpy(), a + 0.5 * b * c, 1e-12, 1e-12)
    np.testing.assert_allclose(mytorch.lerp(*tensors).numpy(), a + c * (b - a), 1e-9, 1e-9)


@given(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3), hnp.array_shapes(min_dims=0, max_dims=4, max_side=3))
def test_shapes_that_do_not_broadcast_are_refused(first, second):
    a, b = mytorch.ones(first), mytorch.ones(second)
    try:
        expected = np.broadcast_shapes(first, second)
    except ValueError:
        for function in (mytorch.add, mytorch.maximum, mytorch.eq):
            with pytest.raises(RuntimeError, match=r"The size of tensor a \(\d+\) must match .* at non-singleton dimension \d"):
                function(a, b)
        with pytest.raises(RuntimeError):
            mytorch.broadcast_shapes(first, second)
        return
    assert tuple((a + b).shape) == expected == tuple(mytorch.broadcast_shapes(first, second))
    assert [tuple(t.shape) for t in mytorch.broadcast_tensors(a, b)] == [expected, expected]


@given(SHAPES)
def test_in_place_writes_do_not_grow(shapes):
    first, second = shapes.input_shapes
    a, b = mytorch.from_numpy(filled(first, 0)), mytorch.from_numpy(filled(second, 1))
    if shapes.result_shape != first:
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            a.add_(b)
        return
    expected = a.numpy() + b.numpy()
    np.testing.assert_array_equal(a.add_(b).numpy(), expected)


@given(hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), st.integers(0, 2))
def test_expand_repeats_without_copying(shape, lead):
    x = mytorch.from_numpy(filled(shape, 0)).requires_grad_()
    target = (2,) * lead + tuple(4 if n == 1 else n for n in shape)
    y = x.expand(target)
    assert y.data_ptr() == x.data_ptr()
    np.testing.assert_array_equal(y.detach().numpy(), np.broadcast_to(x.detach().numpy(), target))
    y.sum().backward()
    copies = y.numel() // max(x.numel(), 1)
    np.testing.assert_allclose(x.grad.numpy(), np.full(shape, float(copies)))


# (dtype, dtype) -> dtype of the sum, https://docs.pytorch.org/docs/stable/tensor_attributes.html
PROMOTIONS = [
    ("uint8", "int8", "int16"), ("int32", "int64", "int64"), ("int64", "float16", "float16"), ("float16", "bfloat16", "float32"),
    ("bool", "uint8", "uint8"), ("int64", "float32", "float32"), ("float32", "float64", "float64"), ("float32", "complex64", "complex64"),
    ("float64", "complex64", "complex128"), ("bool", "bool", "bool"),
]


@pytest.mark.parametrize(("a", "b", "expected"), PROMOTIONS)
def test_two_dtypes_give_the_smallest_that_holds_both(a, b, expected):
    x, y = mytorch.ones(2, dtype=getattr(mytorch, a)), mytorch.ones(2, dtype=getattr(mytorch, b))
    assert (x + y).dtype is getattr(mytorch, expected)
    assert (y + x).dtype is getattr(mytorch, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
def test_a_number_or_a_0d_tensor_does_not_widen_its_category(dtype):
    x = mytorch.ones(2, dtype=getattr(mytorch, dtype))
    assert (x + 1).dtype is x.dtype
    if x.is_floating_point():
        assert (x * 2.5).dtype is x.dtype
        assert (x * mytorch.tensor(2.5, dtype=mytorch.float64)).dtype is x.dtype
    else:
        assert (x * 2.5).dtype is mytorch.float32
        assert (x * mytorch.tensor(2.5, dtype=mytorch.float64)).dtype is mytorch.float64


def test_integers_become_floats_where_the_function_needs_them():
    x = mytorch.tensor([1, 4])
    for y in (x / 2, x.sqrt(), x.exp(), mytorch.atan2(x, x)):
        assert y.dtype is mytorch.float32
    assert (x // 2).dtype is mytorch.int64
    assert (x ** 2).dtype is mytorch.int64
