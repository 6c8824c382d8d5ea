"""Numbers and slices picked, written or added by arrays of places: csrc/kernels/scatter.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.index
from mytorch import backends
from mytorch.ops.indexing import _SLOT
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = needs_native

CASES = [((7,), 0, 5), ((500, 40), 0, 900), ((500, 40), 1, 3), ((4, 64, 16, 16), 1, 64), ((3, 5, 70, 9), 2, 1), ((3, 5, 7, 900), 3, 33),
         ((1, 9, 3000), 1, 20), ((1, 3000, 1), 1, 70_000)]
WHOLE = slice(None)


def places(shape, dim, count, seed=1):
    """Random places along `dim`, `count` of them, for each of the other dimensions."""
    return np.random.default_rng(seed).integers(0, shape[dim], (*shape[:dim], count, *shape[dim + 1:]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.float16])
@pytest.mark.parametrize("case", CASES)
def test_gather(case, dtype):
    shape, dim, _ = case
    x = (floats(*shape) * 100).astype(dtype)
    check("gather_forward", x, places(*case), dim=dim, bitwise=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_numbers_that_meet_are_added_in_the_order_of_their_places(case, dtype):
    shape, dim, _ = case
    index = places(*case)
    x, source = floats(*shape, dtype=dtype), floats(*index.shape, dtype=dtype, seed=2)
    check("scatter_forward", x, index, source, dim=dim, reduce="add", bitwise=True)
    check("scatter_forward", np.broadcast_to(np.asarray(0.5, dtype), shape), index, source, dim=dim, reduce="add", bitwise=True)


@pytest.mark.parametrize("case", CASES)
def test_the_last_number_written_stays(case):
    shape, dim, _ = case
    index = places(*case)
    check("scatter_forward", floats(*shape), index, floats(*index.shape, seed=2), dim=dim, reduce=None, bitwise=True)
    check("scatter_forward", floats(*shape), index, 0.25, dim=dim, reduce=None, bitwise=True)
    check("scatter_forward", np.arange(np.prod(shape)).reshape(shape), index, index, dim=dim, reduce=None, bitwise=True)


@pytest.mark.parametrize("case", CASES)
def test_slices(case):
    shape, dim, count = case
    index = np.random.default_rng(3).integers(0, shape[dim], count)
    x = floats(*shape)
    check("index_select_forward", x, index, dim=dim, bitwise=True)
    source = floats(*shape[:dim], count, *shape[dim + 1:], seed=2)
    check("index_add_forward", x, index, source, dim=dim, bitwise=True)
    key = (*[WHOLE] * dim, _SLOT, *[WHOLE] * (len(shape) - dim - 1))
    from_end = np.where(index % 2 == 0, index, index - shape[dim])
    check("index_forward", x, from_end, key=key, bitwise=True)
    check("index_put_forward", x, source, from_end, key=key, accumulate=True, bitwise=True)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.int64, np.complex128])
@pytest.mark.parametrize("shape", [(3, 700, 1), (3, 500, 2), (2, 300, 3), (700,)])
def test_slices_of_every_size(shape, dtype):
    x = (floats(*shape) * 20).astype(dtype)
    dim = len(shape) // 2
    check("index_select_forward", x, np.random.default_rng(4).integers(-shape[dim], shape[dim], 900), dim=dim, bitwise=True)


def test_places_of_several_dimensions_name_slices():
    x, index = floats(6, 50, 8), np.random.default_rng(0).integers(-50, 50, (4, 30))
    check("index_forward", x, index, key=(WHOLE, _SLOT, WHOLE), bitwise=True)
    check("index_put_forward", x, floats(6, 4, 30, 8), index, key=(WHOLE, _SLOT), accumulate=True, bitwise=True)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_any_shape(shape, dim, count, seed):
    dim %= len(shape)
    index = places(shape, dim, count, seed)
    x, source = floats(*shape), floats(*index.shape, seed=seed)
    check("gather_forward", x, index, dim=dim, bitwise=True)
    check("scatter_forward", x, index, source, dim=dim, reduce="add", bitwise=True)
    check("index_add_forward", x, index.reshape(-1)[:count], source, dim=dim, bitwise=True)


def test_special_values_are_moved_and_added():
    x, index = floats(20, 30, edges=True), places((20, 30), 0, 25)
    check("gather_forward", x, index, dim=0, bitwise=True)
    with np.errstate(invalid="ignore"):
        check("scatter_forward", x, index, floats(25, 30, edges=True), dim=0, reduce="add", bitwise=True)


@pytest.mark.parametrize("wrong", [-1, 9])
def test_places_outside_are_left_to_the_reference(wrong):
    index = np.zeros((30, 9), np.int64)
    index[17, 4] = wrong
    x = floats(30, 9)
    with native_as():
        assert backends.kernels["gather_forward"].override(x, index, dim=1) is NotImplemented
        assert backends.kernels["scatter_forward"].override(x, index, x, dim=1, reduce="add") is NotImplemented
        assert backends.kernels["index_select_forward"].override(x, np.array([0, wrong * 10]), dim=1) is NotImplemented
        assert backends.kernels["index_add_forward"].override(x, np.full(9, wrong * 10), x, dim=1) is NotImplemented


@pytest.mark.parametrize("least", [0, 10**9])
def test_a_wrong_place_raises_and_writes_nothing(least):
    index = torch.zeros(100, 100, dtype=torch.int64)
    index[50, 3] = 100
    x = torch.zeros(100, 100)
    with native_as(least=least):
        with pytest.raises(RuntimeError, match="index 100 is out of bounds for dimension 1 with size 100"):
            x.gather(1, index)
        with pytest.raises(RuntimeError, match="index 100 is out of bounds for dimension 1 with size 100"):
            x.scatter_add_(1, index, torch.ones(100, 100))
        with pytest.raises(IndexError, match="index 100 is out of bounds for dimension 0 with size 100"):
            x[index]
    assert not x.numpy().any()


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_within(size):
    index = np.random.default_rng(0).integers(-5, 9, size)
    index[0], index[-1] = 0, 8
    low, kernel = int(index.min()), backends.kernels["within"]
    for threads in (1, 3):
        with native_as(threads=threads):
            assert kernel.override(index, low, 9) is True
            assert kernel.override(index, low, 8) is NotImplemented
            assert kernel.override(index, low + 1, 9) is NotImplemented
            assert kernel(index, low, 9)
            assert not kernel(index, low, 8)
            assert not kernel(index, low + 1, 9)


def test_what_is_left_to_the_reference():
    x, index = floats(30, 40), places((30, 40), 1, 40)
    with native_as():
        declines("gather_forward", x.T, np.ascontiguousarray(index.T), dim=0)
        declines("gather_forward", x, index.astype(np.int32), dim=1)
        declines("gather_forward", x, index[:20], dim=1)
        declines("gather_forward", unaligned(x), index, dim=1)
        declines("scatter_forward", x, index, x, dim=1, reduce="multiply")
        declines("scatter_forward", x, index[:20], x[:20], dim=1, reduce="add")
        declines("scatter_forward", x.astype(np.int64), index, index, dim=1, reduce="add")
        declines("index_forward", x, index[0] % 30, index[1], key=(_SLOT, _SLOT))
        declines("index_forward", x, index[0] % 30, key=(_SLOT, slice(0, 5)))
        declines("index_forward", x, x > 0, key=(_SLOT,))
        declines("index_put_forward", x, x[0], index[0] % 30, key=(_SLOT, WHOLE), accumulate=True)
        declines("index_put_forward", x, x[0], index[0] % 30, key=(_SLOT, WHOLE), accumulate=False)


def test_strided_places_and_sources_are_taken():
    x, index = floats(30, 40), places((40, 30), 0, 40).T
    check("gather_forward", x, index, dim=1, bitwise=True)
    check("scatter_forward", x, index, floats(40, 30).T, dim=1, reduce="add", bitwise=True)


def test_the_gradient_of_gather_adds_where_numbers_were_read():
    x, index = torch.randn(20, 30, 5, requires_grad=True), torch.from_numpy(places((20, 30, 5), 1, 70))
    x.gather(1, index).sum().backward()
    counts = (index.numpy()[:, :, None] == np.arange(30)[:, None]).sum(1)
    np.testing.assert_array_equal(x.grad.numpy(), counts)
    (dx,) = torch.autograd.grad(x.gather(1, index).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(dx.sum(), x)
    np.testing.assert_allclose(second.numpy(), 6 * x.detach().numpy() * counts, rtol=1e-4, atol=1e-4)
