"""`x[...]` and `x[...] = v` against NumPy for every kind of key, with their gradients, and gather and scatter against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mytorch

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


def filled(shape, seed=0):
    return np.random.default_rng(seed).uniform(-2, 2, shape)


@st.composite
def basic(draw):
    """A shape and a key of integers, slices with positive steps, None and one Ellipsis."""
    shape = draw(SHAPES)
    key = draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=5))
    parts = key if isinstance(key, tuple) else (key,)
    assume(all(not isinstance(p, slice) or p.step is None or p.step > 0 for p in parts))
    return shape, key


@st.composite
def with_arrays(draw):
    """A shape and a key that mixes integer arrays, masks, slices and integers."""
    shape = draw(SHAPES)
    common = draw(st.sampled_from([(2,), (3,), (2, 2), (1,), (0,)]))
    parts = []
    dim = 0
    while dim < len(shape):
        kind = draw(st.sampled_from(["array", "list", "mask", "slice", "all", "int"]))
        n = shape[dim]
        if kind == "array":
            parts.append(draw(hnp.arrays(np.int64, common, elements=st.integers(-n, n - 1))))
        elif kind == "list":
            parts.append(draw(hnp.arrays(np.int64, common, elements=st.integers(-n, n - 1))).tolist() if common != (0,) else [])
        elif kind == "mask":
            mask = draw(hnp.arrays(np.bool_, (n,)))
            assume(len(common) == 1 and mask.sum() in (common[0], 1) and common[0] > 0)
            parts.append(mask)
        elif kind == "slice":
            parts.append(slice(draw(st.integers(0, n)), None, draw(st.integers(1, 2))))
        elif kind == "int":
            parts.append(draw(st.integers(-n, n - 1)))
        else:
            parts.append(slice(None))
        dim += 1
        if draw(st.booleans()):
            break
    return shape, tuple(parts)


def to_tensors(key):
    parts = key if isinstance(key, tuple) else (key,)
    return tuple(mytorch.from_numpy(p) if isinstance(p, np.ndarray) else p for p in parts)


def places_of(shape, key):
    """Which elements of the flattened tensor a key names. Integers and slices come first: torch selects before it applies arrays."""
    flat = np.arange(np.prod(shape)).reshape(shape)
    parts = key if isinstance(key, tuple) else (key,)
    if all(p is None or p is Ellipsis or isinstance(p, (int, slice)) for p in parts):
        return flat[key]
    first = tuple(p if isinstance(p, (int, slice)) else slice(None) for p in parts)
    return flat[first][tuple(slice(None) if isinstance(p, slice) else p for p in parts if not isinstance(p, int))]


def check_read(shape, key):
    x = filled(shape)
    places = places_of(shape, key)
    t = mytorch.from_numpy(x.copy()).requires_grad_()
    y = t[to_tensors(key)]
    assert tuple(y.shape) == np.shape(places)
    np.testing.assert_array_equal(y.detach().numpy(), x.reshape(-1)[places])
    g = np.asarray(filled(np.shape(places), 1))
    y.backward(mytorch.from_numpy(g))
    slope = np.zeros(x.size)
    np.add.at(slope, places, g)
    np.testing.assert_allclose(t.grad.numpy(), slope.reshape(shape), 1e-12, 1e-12)


def check_write(shape, key):
    x = filled(shape)
    places = places_of(shape, key)
    value = np.asarray(filled(np.shape(places), 2))
    leaf, source = mytorch.from_numpy(x.copy()).requires_grad_(), mytorch.from_numpy(value).requires_grad_()
    t = leaf * 1
    t[to_tensors(key)] = source
    expected = x.reshape(-1).copy()
    expected[places] = value
    np.testing.assert_array_equal(t.detach().numpy(), expected.reshape(shape))
    g = filled(shape, 3)
    t.backward(mytorch.from_numpy(g))
    kept = g.reshape(-1).copy()
    kept[places] = 0
    np.testing.assert_array_equal(leaf.grad.numpy(), kept.reshape(shape))
    np.testing.assert_array_equal(source.grad.numpy(), g.reshape(-1)[places])


@given(basic())
def test_basic_keys_read_views_as_numpy_does(case):
    shape, key = case
    check_read(shape, key)
    x = mytorch.from_numpy(filled(shape))
    y = x[to_tensors(key)]
    if y.numel():
        y.zero_()
        assert (x.numpy()[key] == 0).all()  # the same memory


@given(basic())
def test_basic_keys_write_as_numpy_does(case):
    check_write(*case)


@given(with_arrays())
def test_index_arrays_and_masks_read_copies_as_numpy_does(case):
    shape, key = case
    assume(any(not isinstance(p, (int, slice)) for p in key))
    check_read(shape, key)
    x = mytorch.from_numpy(filled(shape))
    x[to_tensors(key)].zero_()
    np.testing.assert_array_equal(x.numpy(), filled(shape))  # a copy: x is untouched


@given(with_arrays())
def test_index_arrays_and_masks_write_as_numpy_does(case):
    shape, key = case
    places = places_of(shape, key)
    assume(np.unique(places).size == np.size(places))  # which of two values at one place remains is left open
    check_write(shape, key)


@given(SHAPES, st.floats(-5, 5))
def test_a_number_fills_what_a_mask_names(shape, number):
    x = filled(shape)
    t = mytorch.from_numpy(x.copy())
    t[t > 0.5] = number
    np.testing.assert_array_equal(t.numpy(), np.where(x > 0.5, number, x))


@st.composite
def gathering(draw):
    """A shape, a dimension and an index of as many dimensions."""
    shape = draw(SHAPES)
    dim = draw(st.integers(0, len(shape) - 1))
    sizes = tuple(draw(st.integers(0, 3)) if i == dim else draw(st.integers(0, n)) for i, n in enumerate(shape))
    return shape, dim, draw(hnp.arrays(np.int64, sizes, elements=st.integers(0, shape[dim] - 1)))


@given(gathering())
def test_gather_reads_one_entry_per_index(case):
    shape, dim, index = case
    x = filled(shape)
    t = mytorch.from_numpy(x).requires_grad_()
    y = mytorch.gather(t, dim, mytorch.from_numpy(index))
    g = filled(index.shape, 1)
    y.backward(mytorch.from_numpy(g))
    slope = np.zeros(shape)
    for place in np.ndindex(index.shape):
        source = (*place[:dim], index[place], *place[dim + 1:])
        assert y.detach().numpy()[place] == x[source]
        slope[source] += g[place]
    np.testing.assert_allclose(t.grad.numpy(), slope, 1e-12, 1e-12)


@given(gathering())
def test_scatter_add_is_gathers_derivative(case):
    shape, dim, index = case
    src = filled(index.shape, 1)
    y = mytorch.scatter_add(mytorch.zeros(shape, dtype=mytorch.float64), dim, mytorch.from_numpy(index), mytorch.from_numpy(src))
    expected = np.zeros(shape)
    for place in np.ndindex(index.shape):
        expected[(*place[:dim], index[place], *place[dim + 1:])] += src[place]
    np.testing.assert_allclose(y.numpy(), expected, 1e-12, 1e-12)


def test_an_integer_beside_an_index_array_selects_first():
    """torch's order of dimensions where NumPy's differs: the selection is made before the arrays are applied."""
    x = mytorch.arange(24).reshape(2, 3, 4)
    assert tuple(x[0, :, mytorch.tensor([0, 1])].shape) == (3, 2)
    assert x[0, :, mytorch.tensor([0, 1])].tolist() == [[0, 1], [4, 5], [8, 9]]
    assert tuple(x[mytorch.tensor(1), :, [0, 1]].shape) == (3, 2)
    assert tuple(x[:, mytorch.tensor([0, 1]), 0].shape) == (2, 2)
    x[0, :, [0, 1]] = mytorch.tensor([[7, 8]])
    assert x[0, :, :2].tolist() == [[7, 8]] * 3


def test_index_tensors_apart_put_their_dimensions_first():
    x = mytorch.arange(24).reshape(2, 3, 4)
    rows, columns = mytorch.tensor([0, 1, 1]), mytorch.tensor([3, 2, 1])
    assert tuple(x[rows, :, columns].shape) == (3, 3)
    assert tuple(x[:, rows, columns].shape) == (2, 3)


def test_bool_keys_add_a_dimension():
    x = mytorch.arange(3)
    assert x[True].tolist() == [[0, 1, 2]]
    assert tuple(x[False].shape) == (0, 3)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_index_tensors_of_every_integer_dtype(dtype):
    x = mytorch.arange(5) * 10
    places = mytorch.tensor([1, 0, 1], dtype=getattr(mytorch, dtype))
    expected = [10, 30] if dtype == "uint8" else [10, 0, 10]  # uint8 is an old kind of mask
    if dtype == "uint8":
        places = mytorch.tensor([0, 1, 0, 1, 0], dtype=mytorch.uint8)
    assert x[places].tolist() == expected


def test_writing_through_a_long_key_reaches_the_gradient_of_everything():
    x = mytorch.zeros(4, 4, requires_grad=True)
    value = mytorch.ones(2, requires_grad=True)
    y = x * 2
    y[1:3, [0, 3]] = value
    (y * mytorch.arange(16.0).reshape(4, 4)).sum().backward()
    assert value.grad.tolist() == [4.0 + 8.0, 7.0 + 11.0]
    expected = 2 * mytorch.arange(16.0).reshape(4, 4)
    expected[1:3, [0, 3]] = 0
    assert x.grad.tolist() == expected.tolist()


def test_writing_after_reading_by_index_needs_no_copy():
    """x[index] keeps the places, not x: writing to x afterwards spoils nothing."""
    x = mytorch.ones(4, requires_grad=True) * 3
    y = x[mytorch.tensor([0, 2])]
    with mytorch.no_grad():
        x.zero_()
    assert mytorch.autograd.grad(y.sum(), x)[0].tolist() == [1, 0, 1, 0]


def test_elements_of_a_0d_tensor():
    x = mytorch.tensor(5.0)
    assert x[()].item() == x[...].item() == x[None][0].item() == 5.0
    with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
        x[0]


def test_iteration_and_negative_integers():
    x = mytorch.arange(6).reshape(3, 2)
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    assert x[-1].tolist() == [4, 5]
    with pytest.raises(IndexError, match="index -4 is out of bounds for dimension 0 with size 3"):
        x[-4]
