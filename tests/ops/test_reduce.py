"""Reductions, sorting, softmax and losses against what is known without torch: identities, exact sums, finite differences."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mytorch
from mytorch import backends
from mytorch.nn import functional as F
from mytorch.ops import cross_entropy as classes
from mytorch.ops import return_types, scan

RNG = np.random.default_rng(0)
MATRICES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.sampled_from([-2.0, -1, 0, 0.5, 3]))


def leaf(values, dtype=np.float64):
    return mytorch.tensor(np.asarray(values, dtype), requires_grad=True)


def slopes(function, x, step=1e-6):
    """Central differences of a function of arrays that returns a number."""
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        result[place] = (function(up) - function(down)) / (2 * step)
    return result


# ---- sums ---------------------------------------------------------------------------------------------------------------------


def test_float32_sums_of_long_columns_stay_exact():
    x = mytorch.full((200_000, 3), 0.1)
    assert np.allclose(x.sum(0).numpy(), 20_000, rtol=1e-6)  # adding in float32 alone ends 0.2 % off


def test_float16_sums_accumulate_in_float32():
    assert mytorch.ones(5000, dtype=mytorch.float16).sum().item() == 5000  # in float16, 2048 + 1 is 2048
    assert mytorch.ones(5000, dtype=mytorch.bfloat16).cumsum(0)[-1].item() == 4992  # 5000, rounded once


def test_integers_and_bools_sum_in_int64():
    x = mytorch.full((10,), 100, dtype=mytorch.uint8)
    assert x.sum().item() == 1000
    assert (x > 0).sum().dtype is mytorch.int64
    assert x.sum(dtype=mytorch.int32).dtype is mytorch.int32


def test_gradient_of_a_sum_may_be_written_to():
    x = leaf([[1.0, 2], [3, 4]])
    x.sum().backward()
    x.grad.add_(1)
    assert x.grad.tolist() == [[2, 2], [2, 2]]


def test_out_is_resized_and_filled():
    y = mytorch.empty(0)
    assert mytorch.sum(mytorch.ones(2, 3), 1, out=y) is y
    assert y.tolist() == [3, 3]
    values, indices = mytorch.empty(0), mytorch.empty(0, dtype=mytorch.int64)
    mytorch.max(mytorch.tensor([[1.0, 5], [7, 2]]), 1, out=(values, indices))
    assert (values.tolist(), indices.tolist()) == ([5, 7], [1, 0])


def test_unknown_dim_is_a_type_error():
    for wrong in ("a", 1.5):
        with pytest.raises(TypeError, match="argument 'dim' must be int"):
            mytorch.ones(2).sum(wrong)


# ---- products, scans ----------------------------------------------------------------------------------------------------------


@given(MATRICES)
def test_gradients_of_products_match_differences_with_any_zeros(x):
    weight = np.linspace(1, 2, x.size).reshape(x.shape)
    for ours, theirs in [(lambda t: t.prod(1).sum(), lambda a: a.prod(1).sum()),
                         (lambda t: (t.cumprod(1) * mytorch.tensor(weight)).sum(), lambda a: (a.cumprod(1) * weight).sum())]:
        t = leaf(x)
        for create_graph in (False, True):
            (g,) = mytorch.autograd.grad(ours(t), t, create_graph=create_graph)
            np.testing.assert_allclose(g.detach().numpy(), slopes(theirs, x), atol=1e-6)


@given(MATRICES)
def test_second_derivatives_of_products_match_differences(x):
    weight = mytorch.tensor(np.linspace(1, 2, x.size).reshape(x.shape))
    for function in (lambda t: t.prod(), lambda t: (t.cumprod(1) * weight).sum()):
        def first(a, function=function):
            t = leaf(a)
            return float((mytorch.autograd.grad(function(t), t)[0] * weight).sum())
        t = leaf(x)
        (g,) = mytorch.autograd.grad(function(t), t, create_graph=True)
        if g.requires_grad:
            (second,) = mytorch.autograd.grad((g * weight).sum(), t, allow_unused=True)
            np.testing.assert_allclose(np.zeros_like(x) if second is None else second.numpy(), slopes(first, x), atol=1e-4)


def test_in_place_scans_keep_their_gradient():
    x = leaf([1.0, 2, 3])
    y = x * 1
    scan.cumsum_(y, 0)
    y.backward(mytorch.tensor([1.0, 10, 100], dtype=mytorch.float64))
    assert x.grad.tolist() == [111, 110, 100]
    z = leaf([1.0, 2, 3])
    w = z * 1
    scan.cumprod_(w, 0).sum().backward()
    assert z.grad.tolist() == [9, 4, 2]


# ---- extremes, order ----------------------------------------------------------------------------------------------------------


def test_max_along_a_dimension_takes_the_first_of_ties_and_max_of_all_shares():
    x = leaf([[1.0, 3, 3]])
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0]]
    x.grad = None
    x.max().backward()
    assert x.grad.tolist() == [[0, 0.5, 0.5]]


def test_named_tuples_unpack_pickle_and_print():
    found = mytorch.tensor([[1.0, 5], [7, 2]]).max(1)
    values, indices = found
    assert values is found.values
    assert indices is found.indices
    assert type(pickle.loads(pickle.dumps(return_types.max((1, 2))))) is return_types.max
    assert repr(found).startswith("torch.return_types.max(\nvalues=tensor([5., 7.]),\nindices=")
    with pytest.raises(TypeError, match="2-sequence"):
        return_types.max((1, 2, 3))


def test_deviation_of_equal_elements_is_zero_without_slope():
    x = leaf(np.full((3, 7), 0.1))
    y = x.std(1)
    y.sum().backward()
    assert not y.detach().numpy().any()
    assert not x.grad.numpy().any()


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.integers(0, 5)), st.booleans())
def test_topk_is_the_beginning_of_sort(x, largest):
    k = max(1, len(x) // 10)
    values = mytorch.tensor(x).topk(k, largest=largest).values
    assert values.tolist() == mytorch.tensor(x).sort(descending=largest).values[:k].tolist()


def test_values_without_a_derivative_refuse_a_gradient():
    x = leaf([1.0, 2, 1])
    with pytest.raises(NotImplementedError, match="the derivative for '_unique2' is not implemented"):
        x.unique().sum().backward()
    assert not x.histc(3).requires_grad


# ---- softmax and cross entropy ------------------------------------------------------------------------------------------------


def test_softmax_sums_to_one_and_forgets_a_shift():
    x = mytorch.tensor(RNG.standard_normal((3, 50)))
    y = x.softmax(1)
    np.testing.assert_allclose(y.sum(1).numpy(), 1, rtol=1e-12)
    np.testing.assert_allclose((x + 1e4).softmax(1).numpy(), y.numpy(), rtol=1e-9)
    np.testing.assert_allclose(x.log_softmax(1).exp().numpy(), y.numpy(), rtol=1e-12)


def test_fused_kernels_are_open_to_backends():
    for name in ("softmax_forward", "softmax_backward", "log_softmax_forward", "log_softmax_backward", "nll_forward", "nll_backward",
                 "cross_entropy_forward", "cross_entropy_backward", "reduce_sum"):
        assert backends.kernels[name].reference.__name__ == name


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [-100, 1])
@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 3), (5,)], ids=str)
def test_fused_cross_entropy_equals_its_composition(shape, ignored, weighted, smoothing):
    target = mytorch.tensor(np.asarray(RNG.integers(0, 5, shape[:1] + shape[2:]) if len(shape) > 1 else 3))
    weight = mytorch.tensor(np.linspace(0.5, 1.5, 5)) if weighted else None
    for reduction in ("mean", "sum", "none"):
        meta = {"ignore_index": ignored, "reduction": reduction, "label_smoothing": smoothing}
        x, same = leaf(RNG.standard_normal(shape)), None
        fused = F.cross_entropy(x, target, weight, **meta)
        same = leaf(x.detach().numpy())
        plain = classes.cross_entropy_op.composite(same, target, weight, None, **meta)
        np.testing.assert_allclose(fused.detach().numpy(), plain.detach().numpy(), rtol=1e-12)
        fused.sum().backward()
        plain.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), same.grad.numpy(), atol=1e-12)


def test_ignored_rows_do_not_count_even_if_infinite():
    x = leaf([[0.0, -np.inf], [1.0, 2.0]])
    y = F.cross_entropy(x, mytorch.tensor([-100, 0]))
    y.backward()
    assert y.item() == pytest.approx(np.log(1 + np.e))
    assert x.grad[0].tolist() == [0, 0]


def test_second_derivative_of_cross_entropy_is_the_covariance_of_softmax():
    x = leaf(RNG.standard_normal((1, 4)))
    (g,) = mytorch.autograd.grad(F.cross_entropy(x, mytorch.tensor([2])), x, create_graph=True)
    rows = [mytorch.autograd.grad(g[0, i], x, retain_graph=True)[0][0].numpy() for i in range(4)]
    p = x.detach().softmax(1).numpy()[0]
    np.testing.assert_allclose(rows, np.diag(p) - np.outer(p, p), atol=1e-12)


@pytest.mark.parametrize("wrong", [10, -1, 2**40])
def test_a_target_that_is_no_class_is_named(wrong):
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(IndexError, match=f"^Target {wrong} is out of bounds.$"):
            loss(mytorch.ones(3, 10), mytorch.tensor([0, wrong, 1]))


def test_loss_of_logits_neither_overflows_nor_loses_its_slope():
    x = leaf([-1000.0, 0, 1000])
    y = F.binary_cross_entropy_with_logits(x, mytorch.tensor([1.0, 1, 0], dtype=mytorch.float64), reduction="none")
    y.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), [1000, np.log(2), 1000])
    np.testing.assert_allclose(x.grad.numpy(), [-1, -0.5, 1])
