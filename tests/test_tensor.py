"""Tensor: dtypes and promotion, memory shared with NumPy, conversion, pickling, copies, iteration, attributes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import mytorch as torch


def test_python_data_becomes_torchs_dtypes():
    assert torch.tensor(1).dtype is torch.int64
    assert torch.tensor([1.0, 2]).dtype is torch.float32
    assert torch.tensor([True]).dtype is torch.bool
    assert torch.tensor([1j]).dtype is torch.complex64
    assert torch.tensor(np.float64(2.0) * np.ones(2)).dtype is torch.float64
    assert torch.tensor([]).dtype is torch.float32
    assert torch.tensor([torch.tensor(1.5), torch.tensor(2.5)]).tolist() == [1.5, 2.5]


@pytest.mark.parametrize(("data", "error"), [
    ([[1, 2], [3]], ValueError), ("text", TypeError), ([None], RuntimeError), ([{}], RuntimeError), (2**64, ValueError), ([1, "a"], TypeError),
])
def test_bad_data_raises_as_in_torch(data, error):
    with pytest.raises(error):
        torch.tensor(data)


def test_default_dtype_changes_what_floats_become():
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.tensor(1.0).dtype is torch.float64 and torch.zeros(1).dtype is torch.float64
        assert torch.tensor(1j).dtype is torch.complex128 and (torch.arange(3) / 2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with pytest.raises(TypeError, match="floating-point"):
        torch.set_default_dtype(torch.int32)


@pytest.mark.parametrize(("a", "b", "expected"), [
    (torch.int32, torch.float16, torch.float16), (torch.int64, torch.float32, torch.float32), (torch.uint8, torch.int8, torch.int16),
    (torch.bool, torch.uint8, torch.uint8), (torch.float16, torch.bfloat16, torch.float32), (torch.float64, torch.complex64, torch.complex128),
    (torch.bfloat16, torch.int64, torch.bfloat16), (torch.bool, torch.bool, torch.bool),
])
def test_promotion_follows_categories(a, b, expected):
    assert torch.promote_types(a, b) is torch.promote_types(b, a) is expected
    x, y = torch.ones(2, dtype=a), torch.ones(2, dtype=b)
    assert (x + y).dtype is expected
    assert torch.result_type(x, y) is expected


def test_zero_dim_tensors_and_numbers_promote_only_by_category():
    x = torch.ones(2)
    assert (x + torch.tensor(1.0, dtype=torch.float64)).dtype is torch.float32
    assert (torch.ones(2, dtype=torch.int32) + torch.tensor(1.5)).dtype is torch.float32
    assert (torch.ones(2, dtype=torch.uint8) + 300).tolist() == [45, 45]
    assert (torch.ones(2, dtype=torch.int32) + 1).dtype is torch.int32
    assert (torch.ones(2, dtype=torch.float16) * 2.5).dtype is torch.float16
    assert (torch.ones(2) * 1j).dtype is torch.complex64
    assert (torch.tensor(True) + torch.tensor(2)).dtype is torch.int64


def test_integer_division_gives_floats():
    assert (torch.tensor([3]) / torch.tensor([2])).tolist() == [1.5]
    assert (torch.tensor([-3]) // 2).tolist() == [-2]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        torch.tensor([1]) // 0


def test_bfloat16_rounds_to_nearest_even_and_computes_in_float32():
    x = torch.tensor([1.0, 1 / 3, 3.0e38], dtype=torch.bfloat16)
    assert x.float().tolist() == [1.0, 0.333984375, pytest.approx(2.99e38, rel=1e-2)]
    w = torch.tensor([2.0, 4.0], dtype=torch.bfloat16, requires_grad=True)
    ((w * w).sum() * 0.5).backward()
    assert w.grad.dtype is torch.bfloat16 and w.grad.tolist() == [2.0, 4.0]
    assert torch.matmul(torch.ones(2, 3, dtype=torch.bfloat16), torch.ones(3, 2, dtype=torch.bfloat16)).tolist() == [[3.0, 3.0]] * 2
    with pytest.raises(TypeError, match="BFloat16"):
        x.numpy()


def test_complex_gradients_follow_torchs_convention():
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    (z * z.conj()).real.sum().backward()
    assert torch.allclose(z.grad, torch.tensor([2 + 4j, 6 - 2j]))
    w = torch.tensor([1 + 1j], requires_grad=True)
    (w * (2 - 3j)).abs().sum().backward()
    v = w.detach() * (2 - 3j)
    assert torch.allclose(w.grad, v / v.abs() * (2 + 3j))


def test_numpy_shares_memory_both_ways():
    array = np.zeros(3, np.float32)
    x = torch.from_numpy(array)
    x[0] = 5
    array[1] = 7
    assert array[0] == 5 and x.tolist() == [5.0, 7.0, 0.0]
    assert np.shares_memory(x.numpy(), array)
    assert np.shares_memory(torch.as_tensor(array).numpy(), array)
    assert not np.shares_memory(torch.tensor(array).numpy(), array)


def test_numpy_of_a_tensor_that_requires_a_gradient_raises():
    x = torch.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match="detach"):
        x.numpy()
    assert x.detach().numpy().shape == (1,)


def test_numpy_functions_take_tensors():
    x = torch.tensor([1.0, 4.0])
    assert np.asarray(x).tolist() == [1.0, 4.0]
    assert np.sqrt(x.numpy()).tolist() == [1.0, 2.0]
    assert np.array(x, dtype=np.float64).dtype == np.float64


def test_dlpack_goes_both_ways_without_a_copy():
    array = np.arange(4, dtype=np.float32)
    x = torch.from_dlpack(array)
    x[0] = 9
    assert array[0] == 9
    back = np.from_dlpack(x)
    assert np.shares_memory(back, array)
    with pytest.raises(BufferError, match="require gradient"):
        torch.ones(1, requires_grad=True).__dlpack__()
    assert torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x)).tolist() == [9.0, 1.0, 2.0, 3.0]


def test_pickle_and_deepcopy_keep_everything_of_a_leaf():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.note = "mine"
    (x * 2).sum().backward()
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert y.tolist() == x.tolist() and y.requires_grad and y.note == "mine" and y.data_ptr() != x.data_ptr()
    assert copy.deepcopy(x).grad.tolist() == [2.0, 2.0]
    assert copy.copy(x).data_ptr() == x.data_ptr()
    half = torch.ones(2, dtype=torch.bfloat16)
    assert pickle.loads(pickle.dumps(half)).dtype is torch.bfloat16
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


def test_legacy_constructors():
    assert torch.Tensor(2, 3).shape == (2, 3)
    assert torch.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert torch.LongTensor([1, 2]).dtype is torch.int64
    assert torch.FloatTensor(2).dtype is torch.float32
    assert isinstance(torch.ones(1), torch.FloatTensor) and not isinstance(torch.ones(1), torch.LongTensor)
    assert torch.ones(1).type() == "torch.FloatTensor"
    assert torch.ones(1).type(torch.LongTensor).dtype is torch.int64
    assert torch.ones(1).new([3, 4]).tolist() == [3.0, 4.0]
    assert isinstance(torch.ones(1), torch.Tensor)


def test_sizes_strides_and_contiguity():
    x = torch.zeros(2, 3, 4)
    assert x.size() == torch.Size([2, 3, 4]) and x.size(-1) == 4 and x.dim() == 3 and x.numel() == 24
    assert x.stride() == (12, 4, 1) and x.transpose(0, 2).stride() == (1, 4, 12)
    assert not x.transpose(0, 2).is_contiguous() and x.transpose(0, 2).contiguous().is_contiguous()
    assert x[1, 2].storage_offset() == 20
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.size(3)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.transpose(0, 2).view(-1)
    assert str(x.shape) == "torch.Size([2, 3, 4])" and x.shape[1:] == torch.Size([3, 4]) and x.shape.numel() == 24


def test_items_and_truth():
    assert torch.tensor(2.5).item() == 2.5 and int(torch.tensor(3)) == 3 and float(torch.tensor([1.5])) == 1.5
    assert [10, 20, 30][torch.tensor(1)] == 20
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        torch.ones(2).item()
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(torch.ones(2))
    assert [row.tolist() for row in torch.arange(4).reshape(2, 2)] == [[0, 1], [2, 3]]
    with pytest.raises(TypeError, match="0-d"):
        list(torch.tensor(1))
    assert len(torch.zeros(3, 2)) == 3 and 2 in torch.arange(3)


def test_user_attributes_and_subclasses():
    class Named(torch.Tensor):
        pass

    x = torch.ones(2)
    x.tag = {"a": 1}
    assert x.tag["a"] == 1
    named = Named([1.0, 2.0])
    assert isinstance(named, torch.Tensor) and (named * 2).tolist() == [2.0, 4.0]


def test_requires_grad_rules():
    with pytest.raises(RuntimeError, match="floating point"):
        torch.ones(1, dtype=torch.int64).requires_grad_()
    y = torch.ones(1, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="leaf variables"):
        y.requires_grad = False
    assert not y.detach().requires_grad and y.detach().data_ptr() == y.data_ptr()


def test_data_assignment_keeps_the_parameter():
    w = torch.ones(2, requires_grad=True)
    w.data = torch.tensor([3.0, 4.0])
    assert w.requires_grad and w.is_leaf and w.tolist() == [3.0, 4.0]
    w.data.mul_(2)
    assert w.tolist() == [6.0, 8.0] and w._version == 0


def test_grad_assignment_is_checked():
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="different size"):
        w.grad = torch.ones(3)
    with pytest.raises(TypeError, match="expected to be a Tensor"):
        w.grad = 3
    w.grad = torch.ones(2)
    assert w.grad.tolist() == [1.0, 1.0]


def test_conversion():
    x = torch.tensor([1.7, -2.3])
    assert x.long().tolist() == [1, -2] and x.to(torch.int32).dtype is torch.int32
    assert x.to("cpu") is x and x.to(torch.float32) is x and x.to(x.double()).dtype is torch.float64
    w = torch.ones(2, requires_grad=True)
    w.double().sum().backward()
    assert w.grad.dtype is torch.float32
    with pytest.raises(RuntimeError, match="CUDA"):
        x.to("cuda")
    with pytest.raises(RuntimeError, match="Invalid device"):
        x.to("Nowhere!")
    with pytest.raises(RuntimeError, match=r"cuda.*cpu"):
        x.cuda()


def test_operators_refuse_what_is_no_number():
    x = torch.ones(2)
    for other in ("a", [1, 2], None, {}):
        with pytest.raises(TypeError):
            x + other
    assert (x == "a") is False and (x != None) is True  # noqa: E711


def test_reflected_and_inplace_operators():
    x = torch.tensor([2.0, 4.0])
    assert (1 - x).tolist() == [-1.0, -3.0] and (8 / x).tolist() == [4.0, 2.0] and (2 ** x).tolist() == [4.0, 16.0] and (5 % x).tolist() == [1.0, 1.0]
    y = x
    y += 1
    y *= 2
    y -= 2
    y /= 2
    assert y is x and x.tolist() == [2.0, 4.0] and x._version == 4
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.ones(2, dtype=torch.int64).add_(1.5)
    with pytest.raises(RuntimeError, match="broadcast shape"):
        torch.ones(1).add_(torch.ones(3))


def test_matmul_operator_checks_shapes():
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"):
        torch.ones(2, 3) @ torch.ones(4, 5)


def test_huge_sizes_raise_and_leave_the_process_usable():
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torch.zeros(1 << 40, 1 << 20)
    with pytest.raises(RuntimeError, match="negative"):
        torch.zeros(-1)
    assert torch.zeros(2).sum().item() == 0


@pytest.mark.parametrize("kind", [int, float, complex])
def test_python_numbers_are_made_of_one_element_only(kind):
    assert kind(torch.tensor([[3.0]])) == 3
    with pytest.raises(ValueError, match=r"only one element tensors can be converted to Python scalars.*\[2\]"):
        kind(torch.ones(2))


def test_the_method_unfold_slides_a_window_along_a_dimension():
    x = torch.arange(6.0, requires_grad=True)
    windows = x.unfold(0, 3, 2)
    assert windows.tolist() == [[0, 1, 2], [2, 3, 4]]
    windows.sum().backward()
    assert x.grad.tolist() == [1, 1, 2, 1, 1, 0]
    with pytest.raises(RuntimeError, match="maximum size for tensor at dimension 0 is 6 but size is 9"):
        x.unfold(0, 9, 1)


@pytest.mark.parametrize("name", ["mps", "xpu", "meta"])
def test_devices_that_this_build_lacks_are_refused_by_name(name):
    with pytest.raises(NotImplementedError, match=f"device '{name}'"):
        torch.ones(2, device=name)


def test_the_number_of_blas_threads_can_be_set():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert torch.get_num_threads() == 1
        assert torch.allclose(torch.ones(300, 300) @ torch.ones(300, 300), torch.full((300, 300), 300.0))
        with pytest.raises(RuntimeError, match="positive integer"):
            torch.set_num_threads(0)
    finally:
        torch.set_num_threads(before)
