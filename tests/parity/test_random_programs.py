"""Random programs of views, writes in place, index writes and detach: torch's values and gradients, or an error where torch has one."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns of index writes to expanded tensors
EXAMPLES = 5000 if os.environ.get("MYTORCH_FULL") else 400
SHAPES = [(2, 3), (3, 2, 2), (4,), (1, 3), (), (2, 1, 2)]


# ---- what a step may do: functions of the library, the tensors so far, the chosen tensor and two small integers ----------------


def dim(x, a):
    return a % x.dim() if x.dim() else 0


def values(lib, shape, seed):
    """Fixed numbers without a gradient."""
    rng = np.random.default_rng(seed)
    return lib.from_numpy(rng.uniform(-1.5, 1.5, tuple(shape)))


def mask(lib, x, a):
    return values(lib, x.shape, a) > 0


def base(x):
    """x, unless it is a view: what as_strided reads outside of a view has a gradient in torch only after a write."""
    if x._base is not None:
        raise ValueError("a view")
    return x


def factors(x, a):
    """Another shape with as many elements."""
    n = x.numel()
    return [(-1,), (n, 1), (1, n), (2, -1) if n % 2 == 0 and n else (-1,)][a % 4]


VIEWS = {
    "slice": lambda lib, x, y, a, b: x[a % 2::1 + b % 2],
    "select": lambda lib, x, y, a, b: x.select(dim(x, a), b % 2),
    "negative": lambda lib, x, y, a, b: x[-1],
    "newaxis": lambda lib, x, y, a, b: x[None, ..., :1],
    "transpose": lambda lib, x, y, a, b: x.transpose(dim(x, a), dim(x, b)),
    "t": lambda lib, x, y, a, b: x.t(),
    "view": lambda lib, x, y, a, b: x.view(factors(x, a)),
    "reshape": lambda lib, x, y, a, b: x.reshape(factors(x, a)),
    "flatten": lambda lib, x, y, a, b: x.flatten(),
    "unsqueeze": lambda lib, x, y, a, b: x.unsqueeze(a % (x.dim() + 1)),
    "squeeze": lambda lib, x, y, a, b: x.squeeze(),
    "diagonal": lambda lib, x, y, a, b: x.diagonal(a % 2),
    "expand": lambda lib, x, y, a, b: x.unsqueeze(0).expand(2, *x.shape),
    "narrow": lambda lib, x, y, a, b: x.narrow(dim(x, a), b % 2, 1),
    "movedim": lambda lib, x, y, a, b: x.movedim(dim(x, a), dim(x, b)),
    "unfold": lambda lib, x, y, a, b: x.unfold(dim(x, a), 2, 2),
    "as_strided": lambda lib, x, y, a, b: base(x).as_strided((2,), (1 + a % 2,), b % 2),
    "chunk": lambda lib, x, y, a, b: x.chunk(2, dim(x, a))[-1],
    "split": lambda lib, x, y, a, b: x.split(1, dim(x, a))[0],
    "unbind": lambda lib, x, y, a, b: x.unbind(dim(x, a))[0],
    "detach": lambda lib, x, y, a, b: x.detach(),
    "contiguous": lambda lib, x, y, a, b: x.contiguous(),
    "view_as": lambda lib, x, y, a, b: x.view_as(y),
    "expand_as": lambda lib, x, y, a, b: x.expand_as(y),
}

NEW = {
    "clone": lambda lib, x, y, a, b: x.clone(),
    "mul": lambda lib, x, y, a, b: x * y,
    "scale": lambda lib, x, y, a, b: x * 0.5 + 1,
    "sin": lambda lib, x, y, a, b: x.sin(),
    "exp": lambda lib, x, y, a, b: (x * 0.1).exp(),  # saves its output
    "square": lambda lib, x, y, a, b: x * x,  # saves its input
    "sum": lambda lib, x, y, a, b: x.sum(dim(x, a), keepdim=True),
    "gathered": lambda lib, x, y, a, b: x[lib.tensor([0, a % 2, 0])],
    "masked": lambda lib, x, y, a, b: x[mask(lib, x, a)],
}

# The other operand is a clone: torch reads it while it writes, and the result is undefined where they overlap.
WRITES = {
    "mul_": lambda lib, x, y, a, b: x.mul_(0.5 + a % 3),
    "mul_tensor_": lambda lib, x, y, a, b: x.mul_(y.clone()),
    "add_tensor_": lambda lib, x, y, a, b: x.add_(y.clone(), alpha=2),
    "add_constant_": lambda lib, x, y, a, b: x.add_(values(lib, x.shape, a)),
    "copy_": lambda lib, x, y, a, b: x.copy_(y.clone()),
    "sin_": lambda lib, x, y, a, b: x.sin_(),
    "exp_": lambda lib, x, y, a, b: x.mul_(0.1).exp_(),
    "relu_": lambda lib, x, y, a, b: x.relu_(),
    "zero_": lambda lib, x, y, a, b: x.zero_(),
    "fill_": lambda lib, x, y, a, b: x.fill_(0.25),
    "fill_tensor_": lambda lib, x, y, a, b: x.fill_(y.sum()),
    "masked_fill_": lambda lib, x, y, a, b: x.masked_fill_(mask(lib, x, a), 0.75),
    "clamp_": lambda lib, x, y, a, b: x.clamp_(-0.8, 0.9),
    "index_add_": lambda lib, x, y, a, b: x.index_add_(0, lib.tensor([0, 0]), x.detach()[:1].repeat(2, *[1] * (x.dim() - 1))),
    "scatter_": lambda lib, x, y, a, b: x.scatter_(0, lib.zeros(x.shape, dtype=lib.int64)[:1], y),
    "unsqueeze_": lambda lib, x, y, a, b: x.unsqueeze_(a % (x.dim() + 1)),
    "squeeze_": lambda lib, x, y, a, b: x.squeeze_(),
    "transpose_": lambda lib, x, y, a, b: x.transpose_(dim(x, a), dim(x, b)),
}


def write(index, value):
    """A step `x[index] = value`."""
    def run(lib, x, y, a, b):
        x[index(lib, x, a, b)] = value(lib, x, y, a)
        return x
    return run


ASSIGNMENTS = {
    "set_slice": write(lambda lib, x, a, b: slice(a % 2, None, 1 + b % 2), lambda lib, x, y, a: 0.3),
    "set_slice_tensor": write(lambda lib, x, a, b: slice(a % 2, None), lambda lib, x, y, a: y.clone()),
    "set_row": write(lambda lib, x, a, b: a % 2, lambda lib, x, y, a: y.clone()),
    "set_all": write(lambda lib, x, a, b: ..., lambda lib, x, y, a: y.clone()),
    "set_places": write(lambda lib, x, a, b: lib.tensor([0, a % 2]), lambda lib, x, y, a: 0.3),
    "set_places_tensor": write(lambda lib, x, a, b: lib.tensor([a % 2]), lambda lib, x, y, a: y.clone()),
    "set_mask": write(lambda lib, x, a, b: mask(lib, x, b), lambda lib, x, y, a: 0.3),
    "set_mask_tensor": write(lambda lib, x, a, b: mask(lib, x, b), lambda lib, x, y, a: y.sum()),
}

# Always with a graph: under no_grad, torch gets a gradient of the wrong shape from the former, and calls the latter requires_grad
# where their base is, without sending them one.
GRAPH_ONLY = {"unsqueeze_", "squeeze_", "transpose_", *VIEWS}
STEPS = {**VIEWS, **NEW, **WRITES, **ASSIGNMENTS}


# ---- running a program --------------------------------------------------------------------------------------------------------


def execute(lib, shape, program):
    """The outcome of a program: the tensors it ends with and the leaf's gradient, or the error that ended it."""
    leaf = values(lib, shape, 7).requires_grad_()
    tensors = [leaf * values(lib, shape, 8), values(lib, shape, 9), leaf]
    try:
        for name, i, j, a, b, grad in program:
            x, y = tensors[i % len(tensors)], tensors[j % len(tensors)]
            _ = [t.grad_fn for t in tensors]  # torch renews the node of a view only when asked for it, and may refuse the view till then
            with lib.enable_grad() if grad or name in GRAPH_ONLY else lib.no_grad():
                result = STEPS[name](lib, x, y, a, b)
            if not any(result is t for t in tensors):
                tensors.append(result)
        needs = [t.grad_fn is not None for t in tensors]
        reached = [t for t, need in zip(tensors, needs, strict=True) if need]
        if reached:
            loss = sum((t * values(lib, t.shape, 20 + k)).sum() for k, t in enumerate(reached))
            loss.backward()
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        return None, f"{type(error).__name__}: {error}"
    return (tensors, needs, leaf.grad), None


TORCH_ALONE = (
    "some elements of the input tensor and the written-to tensor",  # torch writes while it reads; mytorch computes the result first
    "Function ScatterBackward0 returned an invalid gradient",  # torch wants src to have the size of index
    "Function torch::autograd::CopySlices returned an invalid gradient",  # the same, in a view
)
MYTORCH_ALONE = (
    "more than one element of the written-to tensor refers to a single memory location",  # index writes: torch only warns
    "ValueError: a view",  # base() above: after a change of its own shape a tensor is a view of what it was
)


def array(t):
    return np.zeros(()) if t is None else np.array(t.detach().numpy())


def compare(shape, program):
    """AssertionError unless both libraries come to the same end."""
    expected, refusal = execute(torch, shape, program)
    found, mine = execute(mytorch, shape, program)
    if refusal is not None:
        if any(text in refusal for text in TORCH_ALONE):
            return
        assert mine is not None, f"torch refuses ({refusal[:200]}), mytorch does not"
        return
    if mine is not None and any(text in mine for text in MYTORCH_ALONE):
        return
    assert mine is None, f"torch runs it, mytorch refuses: {mine[:300]}"
    for a, b in zip(found[0], expected[0], strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(array(a), array(b), 1e-9, 1e-9)
    assert found[1] == expected[1], "which tensors have a grad_fn"
    np.testing.assert_allclose(array(found[2]), array(expected[2]), 1e-9, 1e-9, err_msg="the leaf's gradient")


def steps(names):
    """A step of one of the named kinds; one in eight runs without a graph."""
    small = st.integers(0, 5)
    grad = st.sampled_from([True] * 7 + [False])
    return st.tuples(st.sampled_from(sorted(names)), st.integers(0, 8), st.integers(0, 8), small, small, grad)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(SHAPES), st.lists(steps([*VIEWS, *WRITES]), min_size=2, max_size=6))
def test_views_and_writes_in_place(shape, program):
    compare(shape, program)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(SHAPES), st.lists(steps([*VIEWS, *ASSIGNMENTS, "clone", "gathered", "masked"]), min_size=2, max_size=6))
def test_views_and_index_writes(shape, program):
    compare(shape, program)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(SHAPES), st.lists(steps(STEPS), min_size=3, max_size=10))
def test_everything_together(shape, program):
    compare(shape, program)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_each_step_alone_runs_somewhere(name):
    """No step is so restricted that programs never get past it."""
    runs = [execute(torch, shape, [(name, 0, 1, a, b, True)])[1] for shape in SHAPES for a in range(3) for b in range(2)]
    assert None in runs, runs[0]
