"""Hooks on saved tensors and checkpoints under every operation of the table; what they keep alive; edges, anomalies, switches."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import mytorch as torch
from mytorch.autograd import graph
from mytorch.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential, set_checkpoint_debug_enabled
from tests.gradients import tensors_of, weight_like
from tests.samples import rows
from tests.test_op_samples import as_function

with_torchs_warnings = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
DIFFERENTIABLE = rows(lambda s: s.grad)


def leaf(*values):
    return torch.tensor(values, requires_grad=True)


def gradients(outputs, leaves):
    """Of a weighted sum of the outputs, as arrays; None for a leaf that has none."""
    outputs = [y for y in tensors_of(outputs) if y.requires_grad]
    found = torch.autograd.grad(outputs, leaves, [weight_like(y, i) for i, y in enumerate(outputs)], allow_unused=True)
    return [g if g is None else g._array.copy() for g in found]


def leaves_of(args):
    return [x for x in args if isinstance(x, torch.Tensor) and x.requires_grad]


def assert_same(found, expected):
    for f, e in zip(found, expected, strict=True):
        assert (f is None) == (e is None)
        if e is not None:
            np.testing.assert_allclose(f, e, 1e-12, 1e-12)


class Parcel:
    """What a pack hook may return: anything."""

    def __init__(self, x):
        self.array = x._array.copy()


# ---- every operation ----------------------------------------------------------------------------------------------------------


@with_torchs_warnings
@pytest.mark.parametrize("sample", DIFFERENTIABLE)
def test_gradients_are_the_same_when_hooks_carry_what_was_saved(sample):
    function, args = as_function(sample)
    leaves = leaves_of(args)
    expected = gradients(function(*args), leaves)
    function, args = as_function(sample)
    with graph.saved_tensors_hooks(Parcel, lambda parcel: torch.from_numpy(parcel.array) if parcel.array.dtype.kind != "V" else None):
        outputs = function(*args)
    assert_same(gradients(outputs, leaves_of(args)), expected)


@with_torchs_warnings
@pytest.mark.parametrize("sample", DIFFERENTIABLE)
def test_gradients_are_the_same_under_a_checkpoint(sample):
    function, args = as_function(sample)
    leaves = leaves_of(args)
    expected = gradients(function(*args), leaves)
    function, args = as_function(sample)
    assert_same(gradients(checkpoint(function, *args, use_reentrant=False), leaves_of(args)), expected)


def second_gradients(function, args, wrap):
    """Of a weighted sum of the first gradients, as arrays."""
    leaves = leaves_of(args)
    outputs = [y for y in tensors_of(wrap(function, args)) if y.requires_grad]
    first = torch.autograd.grad(outputs, leaves, [weight_like(y, i) for i, y in enumerate(outputs)], allow_unused=True, create_graph=True)
    first = [g for g in first if g is not None and g.requires_grad]
    return gradients(first, leaves) if first else []


def with_hooks(function, args):
    with graph.saved_tensors_hooks(Parcel, lambda parcel: torch.from_numpy(parcel.array)):
        return function(*args)


@with_torchs_warnings
@pytest.mark.parametrize("wrap", [with_hooks, lambda function, args: checkpoint(function, *args, use_reentrant=False)], ids=["hooks", "checkpoint"])
@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.twice))
def test_second_gradients_are_the_same(sample, wrap):
    expected = second_gradients(*as_function(sample), lambda function, args: function(*args))
    assert_same(second_gradients(*as_function(sample), wrap), expected)


# ---- networks -----------------------------------------------------------------------------------------------------------------


def networks():
    conv = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
                               torch.nn.Linear(16, 3))
    recurrent = torch.nn.LSTM(6, 5, num_layers=2, batch_first=True, dropout=0.3)
    return {"conv": (conv, torch.randn(3, 2, 6, 6)), "lstm": (recurrent, torch.randn(2, 4, 6)),
            "norm": (torch.nn.Sequential(torch.nn.LayerNorm(6), torch.nn.GELU(), torch.nn.Dropout(0.2)), torch.randn(4, 6))}


def loss_of(result):
    return (result[0] if isinstance(result, tuple) else result).square().sum()


@pytest.mark.parametrize("way", ["hooks", "checkpoint", "reentrant"])
@pytest.mark.parametrize("name", ["conv", "lstm", "norm"])
def test_networks_have_the_same_gradients(name, way):
    found = []
    for wrapped in (False, True):
        torch.manual_seed(0)
        net, x = networks()[name]
        x.requires_grad_()
        if not wrapped:
            y = net(x)
        elif way == "hooks":
            with graph.saved_tensors_hooks(Parcel, lambda parcel: torch.from_numpy(parcel.array)):
                y = net(x)
        else:
            y = checkpoint((lambda v, net=net: net(v)[0]) if name == "lstm" else net, x, use_reentrant=way == "reentrant")
        loss_of(y).backward()
        found.append([x.grad, *[p.grad for p in net.parameters()]])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(b, a)


def test_bfloat16_goes_through_hooks():
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t.float(), lambda t: t.to(torch.bfloat16)):
        y = (x * x).exp().sum()
    y.backward()
    before, x.grad = x.grad, None
    (x * x).exp().sum().backward()
    assert torch.equal(before, x.grad)


# ---- memory ---------------------------------------------------------------------------------------------------------------------


def test_hooks_replace_what_the_graph_keeps_alive():
    a = leaf(1.0, 2.0)
    b = a * 2
    alive = weakref.ref(b)
    with graph.saved_tensors_hooks(lambda x: x.tolist(), lambda v: torch.tensor(v)):
        y = b.sin()
    array = weakref.ref(b._array)
    del b
    assert alive() is None and array() is None  # without a collector: there is no cycle
    y.sum().backward()
    np.testing.assert_allclose(a.grad._array, 2 * np.cos([2.0, 4.0]), rtol=1e-6)


def test_a_checkpoint_keeps_the_arguments_and_not_what_lies_between():
    arrays = []

    def function(v):
        for _ in range(5):
            v = v.sin()
            arrays.append(weakref.ref(v._array))
        return v * 1

    y = checkpoint(function, torch.ones(100, requires_grad=True), use_reentrant=False)
    assert all(ref() is None for ref in arrays)
    y.sum().backward()
    assert all(ref() is None for ref in arrays)


def test_an_outer_checkpoint_does_not_keep_the_arguments_of_inner_ones():
    arrays = []

    def inner(v):
        return v.sin().cos()

    def outer(v):
        for _ in range(4):
            v = checkpoint(inner, v, use_reentrant=False)
            arrays.append(weakref.ref(v._array))
        return v * 1

    x = torch.ones(3, requires_grad=True)
    y = checkpoint(outer, x, use_reentrant=False)
    assert all(ref() is None for ref in arrays)
    y.sum().backward()
    expected = torch.ones(3, requires_grad=True)
    z = expected
    for _ in range(4):
        z = z.sin().cos()
    z.sum().backward()
    torch.testing.assert_close(x.grad, expected.grad)


def test_the_graph_of_a_checkpoint_is_freed_by_backward_without_a_collector():
    gc.disable()
    try:
        x = torch.ones(3, requires_grad=True)
        y = checkpoint(lambda v: v.sin().cos(), x * 2, use_reentrant=False)
        node = weakref.ref(y.grad_fn)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_nothing_of_this_is_loaded_or_called_without_hooks():
    y = (leaf(1.0) * 2).exp()
    assert type(y.grad_fn).__name__ == "ExpBackward0" and not y.grad_fn.careful
    with graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        z = leaf(1.0).exp()
    assert type(z.grad_fn).__name__ == "ExpBackward0" and z.grad_fn.name() == "ExpBackward0"


# ---- errors -----------------------------------------------------------------------------------------------------------------------


def test_debug_lists_the_operations_of_both_runs_with_their_lines():
    runs = []

    def function(v):
        runs.append(1)
        return (v.exp() if len(runs) == 1 else v).sin().cos()

    with set_checkpoint_debug_enabled(True):
        y = checkpoint(function, leaf(1.0), use_reentrant=False)
    with pytest.raises(CheckpointError) as caught:
        y.backward()
    text = str(caught.value)
    forward, again = text.split("Operations executed during recomputation")
    assert "exp" in forward and "exp" not in again and "cos" in again
    assert "test_autograd_graph.py" in again and "in function" in again


def test_the_error_of_an_unpack_hook_names_the_line_of_the_forward_pass():
    with graph.saved_tensors_hooks(lambda x: x.detach(), lambda x: 1 / 0):
        y = leaf(1.0).exp()
    with pytest.raises(ZeroDivisionError, match=r"ExpBackward0, made at .*test_autograd_graph.py"):
        y.backward()


def test_segments_must_be_as_many_as_there_are_functions_at_most():
    with pytest.raises(ValueError, match="zero"):
        checkpoint_sequential([torch.sin], 3, leaf(1.0), use_reentrant=False)


def test_what_is_not_supported_is_refused_by_name():
    with pytest.raises(NotImplementedError, match="create_selective_checkpoint_contexts"):
        torch.utils.checkpoint.create_selective_checkpoint_contexts([])
    with pytest.raises(NotImplementedError, match="region_activation_memory_budget"):
        graph.region_activation_memory_budget(0.5)
    with pytest.raises(NotImplementedError, match="set_device_states"):
        torch.utils.checkpoint.set_device_states([0], [torch.zeros(1)])


# ---- edges, and what nodes keep -----------------------------------------------------------------------------------------------------


def test_an_edge_outlives_its_tensor():
    a = leaf(2.0, 3.0)
    b = a * a
    c = b.sum()
    edge = graph.get_gradient_edge(b)
    del b
    (g,) = torch.autograd.grad(c, edge)
    assert g.tolist() == [1.0, 1.0]


def test_an_edge_of_one_of_several_outputs():
    a = leaf(3.0, 1.0, 2.0)
    values, _ = a.sort()
    edge = graph.get_gradient_edge(values)
    torch.autograd.backward(edge, torch.tensor([1.0, 2.0, 3.0]))
    assert a.grad.tolist() == [3.0, 1.0, 2.0]


def test_a_node_that_keeps_nothing_of_a_name_says_so():
    node = leaf(1.0).exp().grad_fn
    with pytest.raises(AttributeError, match="_saved_other"):
        node._saved_other  # noqa: B018
    with pytest.raises(AttributeError, match="'ExpBackward0' object has no attribute 'speed'"):
        node.speed  # noqa: B018
    assert not hasattr(node, "_saved_weight")


def test_a_write_that_mutation_cannot_see_raises():
    with graph.allow_mutation_on_saved_tensors():
        a = leaf(2.0)
        b = a * 1
        y = b.sin()
        graph.increment_version(b)
        with pytest.raises(RuntimeError, match="does not see"):
            y.backward()


# ---- anomalies ----------------------------------------------------------------------------------------------------------------------


def test_anomaly_detection_names_the_line_and_ends_with_its_block():
    x = leaf(0.0, 1.0)
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"'SqrtBackward0' returned nan values in its 0th output") as caught:
        (x.sqrt() * 0).sum().backward()
    assert "test_autograd_graph.py" in str(caught.value)
    (x.sqrt() * 0).sum().backward()
    assert torch.isnan(x.grad).tolist() == [True, False]


def test_multithreading_switch_as_a_decorator_acts_during_calls_alone():
    @torch.autograd.set_multithreading_enabled(False)
    def inside():
        return torch.autograd.is_multithreading_enabled()

    assert torch.autograd.is_multithreading_enabled() and inside() is False and torch.autograd.is_multithreading_enabled()
