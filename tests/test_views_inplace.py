"""Views and writes in place: which memory is shared, which gradient comes back, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch


def matrix(requires_grad=True):
    """A computed 2 x 3 tensor and its leaf."""
    leaf = mytorch.ones(2, 3, dtype=mytorch.float64, requires_grad=requires_grad)
    return leaf, leaf * 2


WEIGHT = mytorch.arange(6.0, dtype=mytorch.float64).reshape(2, 3)

VIEWS = {
    "slice": lambda x: x[:, 1:],
    "select": lambda x: x.select(1, 0),
    "transpose": lambda x: x.t(),
    "view": lambda x: x.view(3, 2),
    "reshape": lambda x: x.reshape(-1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "diagonal": lambda x: x.diagonal(),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "permute": lambda x: x.permute(1, 0),
    "unfold": lambda x: x.unfold(1, 3, 1),
    "as_strided": lambda x: x.as_strided((2, 2), (3, 1), 1),
    "flatten": lambda x: x.flatten(),
    "twice": lambda x: x[1].view(3)[::2],
    "expand": lambda x: x.expand(1, 2, 3),
    "T": lambda x: x.T,
    "chained": lambda x: x.t().unsqueeze(0)[..., 1],
}


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_view_shares_memory_and_sees_writes(name):
    x = WEIGHT.clone()
    v = VIEWS[name](x)
    assert np.shares_memory(v.numpy(), x.numpy())
    assert v._base is x
    x.mul_(10)
    np.testing.assert_array_equal(v.numpy(), VIEWS[name](x).numpy())
    v.fill_(-1)
    assert (VIEWS[name](x) == -1).all()


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_write_to_a_view_sends_its_gradient_through_the_write(name):
    """x.view(...).mul_(c) is x * (c in the view, 1 elsewhere)."""
    leaf, x = matrix()
    v = VIEWS[name](x)
    v.mul_(5)
    factor = mytorch.ones_like(WEIGHT)
    VIEWS[name](factor).fill_(5)
    (x * WEIGHT).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), (2 * factor * WEIGHT).numpy())
    np.testing.assert_array_equal(x.detach().numpy(), (2 * factor).numpy())


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_write_to_the_base_reaches_older_views(name):
    leaf, x = matrix()
    v = VIEWS[name](x)
    x.mul_(WEIGHT)
    expected = mytorch.ones(2, 3, dtype=mytorch.float64, requires_grad=True)
    VIEWS[name](expected * 2 * WEIGHT).sum().backward()
    v.sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), expected.grad.numpy())


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_copy_into_a_view_cuts_the_old_gradient_and_carries_the_new(name):
    leaf, x = matrix()
    v = VIEWS[name](x)
    source = mytorch.full(tuple(v.shape), 3.0, dtype=mytorch.float64, requires_grad=True)
    v.copy_(source)
    (x * WEIGHT).sum().backward()
    kept = WEIGHT.clone()
    VIEWS[name](kept).zero_()
    np.testing.assert_array_equal(leaf.grad.numpy(), (2 * kept).numpy())
    np.testing.assert_array_equal(source.grad.numpy(), VIEWS[name](WEIGHT).numpy())


def test_gradient_that_arrives_in_another_order_of_memory_is_written_where_it_belongs():
    """The gradient of x is laid out like x.t(): the flat view of it must still be a view."""
    leaf, x = matrix()
    x.view(-1).mul_(WEIGHT.view(-1))
    (x.t() * WEIGHT.reshape(3, 2)).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), (2 * WEIGHT * WEIGHT.reshape(3, 2).t()).numpy())


def test_second_gradient_passes_a_write_to_a_view():
    leaf = mytorch.ones(4, dtype=mytorch.float64, requires_grad=True)
    x = leaf * leaf
    x[1:3].mul_(leaf[1:3])  # x is l^2, l^3, l^3, l^2
    first, = mytorch.autograd.grad(x.sum(), leaf, create_graph=True)
    second, = mytorch.autograd.grad(first.sum(), leaf)
    assert first.tolist() == [2, 3, 3, 2]
    assert second.tolist() == [2, 6, 6, 2]


def test_saved_value_that_was_overwritten_is_refused_by_name():
    _, x = matrix()
    y = x * x
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation: .*\[2, 3\].* is at version 1; expected version 0"):
        y.sum().backward()


def test_saved_value_that_was_overwritten_through_a_view_is_refused():
    _, x = matrix()
    y = x.exp()
    y[0].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_write_to_what_nothing_saved_is_fine():
    leaf, x = matrix()
    y = x + 1
    x.zero_()
    y.sum().backward()
    assert (leaf.grad == 2).all()


def test_leaf_and_its_views_refuse_writes():
    leaf = mytorch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        leaf.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        leaf[0] = 1
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        leaf.unsqueeze_(0)
    with mytorch.no_grad():
        leaf.add_(1)
        leaf[0] = 5
    assert leaf.tolist() == [5, 2, 2]
    assert leaf.is_leaf


def test_outputs_of_a_split_refuse_writes():
    _, x = matrix()
    for part in (x.chunk(2)[0], x.split(1)[0], x.unbind(0)[0]):
        with pytest.raises(RuntimeError, match="output of a function that returns multiple views"):
            part.mul_(2)


def test_outputs_of_a_split_without_a_graph_may_be_written():
    x = WEIGHT.clone()
    x.chunk(3, 1)[1].zero_()
    assert (x[:, 1] == 0).all()


def test_repeated_memory_refuses_writes():
    x = mytorch.zeros(1, 3).expand(2, 3)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory location"):
        x.add_(1)
    x[0].add_(1)  # one copy of it
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_view_made_under_no_grad_refuses_a_write_with_a_graph():
    _, x = matrix()
    with mytorch.no_grad():
        v = x[0]
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode and is being modified inplace"):
        v.mul_(2)


def test_view_made_without_grad_is_refused_once_its_base_was_written():
    x = mytorch.ones(3, requires_grad=True)
    y = x * 2
    with mytorch.no_grad():
        v = y[:2]
    y.mul_(x)
    with pytest.raises(RuntimeError, match="its base or another view of its base has been modified inplace"):
        _ = v * 3
    with mytorch.no_grad():
        assert (v * 3).tolist() == [6, 6]


def test_leaf_that_was_detached_since_gets_no_gradient():
    x = mytorch.ones(3, requires_grad=True)
    y = (x * 2).sum()
    x.detach_()
    y.backward()
    assert x.grad is None


def test_out_that_overlaps_itself_is_refused():
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        mytorch.add(mytorch.ones(3), 1, out=mytorch.zeros(1).expand(3))


def test_detach_shares_memory_and_the_count_of_writes():
    _, x = matrix()
    y = x * x
    d = x.detach()
    assert not d.requires_grad
    d.add_(1)
    assert np.shares_memory(d.numpy(), x.detach().numpy())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_data_is_written_without_being_counted():
    leaf, x = matrix()
    y = x * 3
    x.data.add_(1)
    assert x._version == 0
    y.sum().backward()
    assert (leaf.grad == 6).all()


def test_a_chain_of_writes_has_the_gradient_of_its_formula():
    leaf = mytorch.tensor([0.5, 1.5], dtype=mytorch.float64, requires_grad=True)
    x = leaf.clone()
    x.mul_(3).add_(leaf).sin_()
    x.sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), 4 * np.cos(4 * leaf.detach().numpy()))


def test_operators_with_assignment_write_in_place():
    x = mytorch.ones(3)
    address = x.data_ptr()
    y = x
    x += 1
    x *= 3
    x -= 2
    x /= 2
    x //= 1
    x **= 2
    assert y is x
    assert x.data_ptr() == address
    assert x.tolist() == [4, 4, 4]


def test_write_that_would_change_dtype_is_refused():
    x = mytorch.ones(3, dtype=mytorch.int64)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        x.add_(0.5)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        x.div_(2)
    x.add_(mytorch.ones(3, dtype=mytorch.int32))
    assert x.tolist() == [2, 2, 2]


@pytest.mark.parametrize("change", [lambda x: x.unsqueeze_(0), lambda x: x.t_(), lambda x: x.transpose_(0, 1), lambda x: x.squeeze_(),
                                    lambda x: x.as_strided_((3, 2), (1, 3))])
def test_shape_changed_in_place_keeps_memory_values_and_gradient(change):
    leaf, x = matrix()
    before = x.detach().clone()
    address = x.data_ptr()
    assert change(x) is x
    assert x.data_ptr() == address
    x.mul_(3)
    expected = change(before)
    np.testing.assert_array_equal(x.detach().numpy(), 3 * expected.numpy())
    x.sum().backward()
    assert (leaf.grad == 6).all()


def test_views_made_before_a_change_of_shape_keep_their_meaning():
    leaf, x = matrix()
    row = x[0]
    x.t_()
    row.mul_(5)
    assert x.detach().tolist() == [[10, 2], [10, 2], [10, 2]]
    (x * WEIGHT.t()).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), np.array([[10.0], [2.0]]) * WEIGHT.numpy())


def test_retained_gradient_is_that_of_the_tensor_after_the_write():
    leaf, x = matrix()
    x.retain_grad()
    x.mul_(3)
    (x * WEIGHT).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), WEIGHT.numpy())
    np.testing.assert_array_equal(leaf.grad.numpy(), (6 * WEIGHT).numpy())


def test_reshape_copies_only_where_it_must():
    x = WEIGHT.clone()
    assert x.reshape(3, 2).data_ptr() == x.data_ptr()
    assert x.t().reshape(-1).data_ptr() != x.data_ptr()
    with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
        x.t().view(-1)
    assert x.t().contiguous().view(-1).tolist() == [0, 3, 1, 4, 2, 5]


def test_strides_and_offsets_are_those_of_torch():
    x = WEIGHT.clone()
    assert x.stride() == (3, 1)
    assert x.t().stride() == (1, 3)
    assert x[1, 1:].storage_offset() == 4
    assert x.unsqueeze(1).stride() == (3, 3, 1)
    assert x.expand(4, 2, 3).stride() == (0, 3, 1)
    assert x[:, ::2].stride() == (3, 2)
    assert not x.t().is_contiguous()
    assert x.t().contiguous().stride() == (2, 1)


def test_as_strided_reads_the_whole_memory_and_no_more():
    x = WEIGHT.clone()
    assert x[1].as_strided((2,), (1,), 0).tolist() == [0, 1]
    assert x[:, 2].as_strided((3, 2), (1, 3), 0).tolist() == [[0, 3], [1, 4], [2, 5]]
    for size, stride, offset in (((7,), (1,), 0), ((2,), (6,), 0), ((1,), (1,), 6), ((2,), (-1,), 3)):
        with pytest.raises(RuntimeError, match=r"out of bounds for storage of size 48|Negative"):
            x.as_strided(size, stride, offset)


# ---- written over the first operand, by kernels where it is large ---------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 200])  # 200 x 200 is enough for a kernel
@pytest.mark.parametrize("name", ["add_", "sub_", "mul_", "div_"])
def test_inplace_arithmetic_writes_what_the_function_returns(name, n):
    for other in (mytorch.randn(n, n), mytorch.randn(n), mytorch.randn(1, 1), mytorch.tensor(1.5), 2, -0.5, mytorch.randn(n, n).t(),
                  mytorch.randn(n, n).double()):
        x = mytorch.randn(n, n)
        expected, memory = getattr(x, name[:-1])(other), x.data_ptr()
        y = getattr(x, name)(other)
        assert y is x and x.data_ptr() == memory and x._version == 1
        assert mytorch.equal(x, expected.float())


@pytest.mark.parametrize("n", [5, 200])
def test_inplace_arithmetic_reads_its_own_memory_before_it_writes(n):
    for other in (lambda x: x, lambda x: x.t(), lambda x: x[0], lambda x: x.flip(0), lambda x: x[:, 0]):
        x = mytorch.randn(n, n)
        expected = x + other(x)
        assert mytorch.equal(x.add_(other(x)), expected)
    x = mytorch.randn(n * n + 1)
    expected = x[1:] * x[:-1]
    assert mytorch.equal(x[1:].mul_(x[:-1]), expected)


@pytest.mark.parametrize("n", [5, 200])
def test_the_gradient_of_inplace_arithmetic_uses_the_values_before_it(n):
    a, b = mytorch.randn(n, n, requires_grad=True), mytorch.rand(n, n) + 0.5
    b.requires_grad_()
    g = mytorch.randn(n, n)
    expected = mytorch.autograd.grad((a * 3 * b / b.exp() + b), (a, b), g)
    found = mytorch.autograd.grad((a * 3).mul_(b).div_(b.exp()).add_(b), (a, b), g)
    for x, y in zip(found, expected):
        mytorch.testing.assert_close(x, y)
    y = a.exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("n", [5, 200])
def test_a_refused_inplace_write_changes_nothing(n):
    x = mytorch.ones(n, 1)
    with pytest.raises(RuntimeError, match="broadcast"):
        x.add_(mytorch.ones(n, n * n))
    assert mytorch.equal(x, mytorch.ones(n, 1))
