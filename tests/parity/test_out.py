"""`out=`: the result is written into a given tensor, which is resized, cast to or refused as torch does it."""
# ruff: noqa: B023 - functions made in a loop are called in the same turn of it

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")


def x(t):
    return t.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])


CALLS = {  # one output
    "add": lambda t, a, o: t.add(a, a, alpha=2, out=o),
    "sub": lambda t, a, o: t.sub(a, 1, out=o),
    "mul": lambda t, a, o: t.mul(a, a, out=o),
    "div": lambda t, a, o: t.div(a, 2, out=o),
    "pow": lambda t, a, o: t.pow(a, 2, out=o),
    "exp": lambda t, a, o: t.exp(a, out=o),
    "sqrt": lambda t, a, o: t.sqrt(a.abs(), out=o),
    "abs": lambda t, a, o: t.abs(a, out=o),
    "neg": lambda t, a, o: t.neg(a, out=o),
    "tanh": lambda t, a, o: t.tanh(a, out=o),
    "sigmoid": lambda t, a, o: t.sigmoid(a, out=o),
    "clamp": lambda t, a, o: t.clamp(a, 0, 2, out=o),
    "round": lambda t, a, o: t.round(a, out=o),
    "maximum": lambda t, a, o: t.maximum(a, -a, out=o),
    "max of two": lambda t, a, o: t.max(a, -a, out=o),
    "addcmul": lambda t, a, o: t.addcmul(a, a, a, out=o),
    "lerp": lambda t, a, o: t.lerp(a, -a, 0.3, out=o),
    "where": lambda t, a, o: t.where(a > 0, a, -a, out=o),
    "atan2": lambda t, a, o: t.atan2(a, a, out=o),
    "sum": lambda t, a, o: t.sum(a, 1, out=o),
    "mean": lambda t, a, o: t.mean(a, 1, out=o),
    "prod": lambda t, a, o: t.prod(a, 1, out=o),
    "std": lambda t, a, o: t.std(a, 1, out=o),
    "var": lambda t, a, o: t.var(a, 1, out=o),
    "norm": lambda t, a, o: t.norm(a, dim=1, out=o),
    "logsumexp": lambda t, a, o: t.logsumexp(a, 1, out=o),
    "cumsum": lambda t, a, o: t.cumsum(a, 1, out=o),
    "cumprod": lambda t, a, o: t.cumprod(a, 1, out=o),
    "amax": lambda t, a, o: t.amax(a, 1, out=o),
    "mm": lambda t, a, o: t.mm(a, a.t(), out=o),
    "bmm": lambda t, a, o: t.bmm(a[None], a.t()[None], out=o),
    "matmul": lambda t, a, o: t.matmul(a, a.t(), out=o),
    "matmul of vectors": lambda t, a, o: t.matmul(a[0], a[1], out=o),
    "mv": lambda t, a, o: t.mv(a, a[0], out=o),
    "dot": lambda t, a, o: t.dot(a[0], a[1], out=o),
    "addmm": lambda t, a, o: t.addmm(t.ones(2, 2, dtype=a.dtype), a, a.t(), out=o),
    "baddbmm": lambda t, a, o: t.baddbmm(t.ones(1, 2, 2, dtype=a.dtype), a[None], a.t()[None], out=o),
    "outer": lambda t, a, o: t.outer(a[0], a[1], out=o),
    "cat": lambda t, a, o: t.cat([a, a], 1, out=o),
    "stack": lambda t, a, o: t.stack([a, a], out=o),
    "hstack": lambda t, a, o: t.hstack([a, a], out=o),
    "vstack": lambda t, a, o: t.vstack([a, a], out=o),
    "index_select": lambda t, a, o: t.index_select(a, 1, t.tensor([2, 0]), out=o),
    "gather": lambda t, a, o: t.gather(a, 1, t.tensor([[0], [2]]), out=o),
    "take": lambda t, a, o: t.take(a, t.tensor([0, 5]), out=o),
    "masked_select": lambda t, a, o: t.masked_select(a, a > 0, out=o),
    "tril": lambda t, a, o: t.tril(a, out=o),
    "diag": lambda t, a, o: t.diag(a[0], out=o),
}
INTEGER_RESULTS = {
    "argmax": lambda t, a, o: t.argmax(a, 1, out=o),
    "argsort": lambda t, a, o: t.sort(a, 1, out=(t.empty(0, dtype=a.dtype), o))[1],
    "nonzero": lambda t, a, o: t.nonzero(a > 0, out=o),
    "gt": lambda t, a, o: t.gt(a, 0, out=o),
    "eq": lambda t, a, o: t.eq(a, 1, out=o),
    "logical_not": lambda t, a, o: t.logical_not(a, out=o),
    "randperm": lambda t, a, o: t.randperm(5, out=o),
    "arange": lambda t, a, o: t.arange(5, out=o),
}
PAIRS = {  # (values, indices)
    "max": lambda t, a, o: t.max(a, 1, out=o),
    "min": lambda t, a, o: t.min(a, 0, keepdim=True, out=o),
    "sort": lambda t, a, o: t.sort(a, 1, out=o),
    "topk": lambda t, a, o: t.topk(a, 2, out=o),
    "kthvalue": lambda t, a, o: t.kthvalue(a, 2, out=o),
    "median": lambda t, a, o: t.median(a, 1, out=o),
    "mode": lambda t, a, o: t.mode(a, 1, out=o),
    "cummax": lambda t, a, o: t.cummax(a, 1, out=o),
}
FILLS = {
    "zeros": lambda t, a, o: t.zeros(2, 3, out=o),
    "ones": lambda t, a, o: t.ones(2, 3, out=o),
    "full": lambda t, a, o: t.full((2, 3), 2.5, out=o),
    "eye": lambda t, a, o: t.eye(3, out=o),
    "linspace": lambda t, a, o: t.linspace(0, 1, 5, out=o),
    "rand": lambda t, a, o: t.rand(2, 3, out=o),
    "randn": lambda t, a, o: t.randn(2, 3, out=o),
}


def outcome(t, function):
    """What a call returns, as text and values, or the class of what it raises; and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            t.manual_seed(0)
            found = function(t)
        except Exception as error:
            found = type(error)
    return found, sorted({(w.category.__name__, str(w.message)[:60]) for w in caught})


def facts(y):
    return str(y.dtype).split(".")[-1], tuple(y.shape)


def steps(y):
    """The strides, where they lead to other elements."""
    return [s if n > 1 else None for n, s in zip(y.shape, y.stride(), strict=True)] if y.numel() else None


def assert_same(function, strides=False):
    """Same result and warnings. The function returns (result, out)."""
    ours, theirs = outcome(mytorch, function), outcome(torch, function)
    assert ours[1] == theirs[1]
    if isinstance(theirs[0], type):
        assert ours[0] is theirs[0], (ours[0], theirs[0])
        return
    assert not isinstance(ours[0], type), (ours[0], theirs[0])
    (mine, out), (reference, reference_out) = ours[0], theirs[0]
    assert (mine is out) == (reference is reference_out)
    assert facts(mine) == facts(reference)
    assert not strides or steps(mine) == steps(reference)
    np.testing.assert_allclose(mine.to(mytorch.float64).numpy(), reference.to(torch.float64).numpy(), 1e-5, 1e-6)


def given(make):
    """Runs a call with an `out` that `make` makes and returns (result, out)."""
    def with_call(call, prepare=x):
        def run(t):
            o = make(t)
            return call(t, prepare(t), o), o
        return run
    return with_call


KINDS = {
    "empty": lambda t: t.empty(0),
    "another size": lambda t: t.zeros(7),
    "another number of dimensions": lambda t: t.zeros(2, 2, 2),
    "float64": lambda t: t.empty(0, dtype=t.float64),
    "float16": lambda t: t.empty(0, dtype=t.float16),
    "int64": lambda t: t.empty(0, dtype=t.int64),
    "bool": lambda t: t.empty(0, dtype=t.bool),
    "complex64": lambda t: t.empty(0, dtype=t.complex64),
    "no tensor": lambda t: 3,
    "a list": lambda t: [t.empty(0)],
    "needs a gradient": lambda t: t.empty(0).requires_grad_(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", CALLS)
def test_out_is_filled_resized_cast_or_refused_as_in_torch(row, kind):
    if kind == "complex64" and row in ("cumprod", "prod", "std", "var", "norm", "amax", "logsumexp"):
        return  # torch's kernels accept another set of dtypes for each
    run = given(KINDS[kind])(CALLS[row])
    if kind == "complex64":
        ours, theirs = outcome(mytorch, run), outcome(torch, run)
        assert isinstance(ours[0], type) == isinstance(theirs[0], type)
        return
    if kind == "bool" and row in ("cumsum", "cumprod"):
        return  # torch has no kernel for bools there
    if kind == "no tensor" and row in ("add", "sub", "mul", "div"):
        return  # torch takes the number for a tensor there
    assert_same(run)


@pytest.mark.parametrize("row", CALLS)
def test_out_of_the_right_size_keeps_its_strides(row):
    shape = tuple(CALLS[row](torch, x(torch), None).shape) if row not in ("max of two",) else (2, 3)

    def transposed(t):
        return t.zeros(tuple(reversed(shape))).permute(*reversed(range(len(shape)))) if shape else t.zeros(())

    def strided(t):
        return t.zeros(*shape[:-1], 2 * shape[-1])[..., ::2] if shape else t.zeros(())

    def expanded(t):
        return t.zeros(()).expand(shape)

    pointwise = row in ("add", "sub", "mul", "div", "pow", "exp", "sqrt", "abs", "neg", "tanh", "sigmoid", "clamp", "maximum", "where", "atan2")
    for make in (transposed, strided, *[expanded] * pointwise):
        assert_same(given(make)(CALLS[row]), strides=True)


@pytest.mark.parametrize("row", CALLS)
def test_inputs_that_need_a_gradient_refuse_out(row):
    run = given(lambda t: t.empty(0))
    if row != "diag":  # torch copies there, and lets the gradient go
        assert_same(run(CALLS[row], lambda t: x(t).requires_grad_()))

    def without_graph(t):
        with t.no_grad():
            return run(CALLS[row], lambda t: x(t).requires_grad_())(t)

    assert_same(without_graph)


@pytest.mark.parametrize("row", ["add", "mul", "exp", "clamp", "neg", "cumsum", "mm", "matmul", "cat", "tril", "addmm", "index_select"])
def test_out_that_shares_memory_with_an_input(row):
    def same(t):
        a = t.arange(9.0).reshape(3, 3)
        return CALLS[row](t, a, a), a

    def shifted(t):
        memory = t.arange(12.0)
        a, o = memory[:9].reshape(3, 3), memory[3:].reshape(3, 3)
        return CALLS[row](t, a, o), o

    if row in ("add", "mul", "exp", "clamp", "neg", "tril"):
        assert_same(same)
    if row in ("add", "mul", "exp", "clamp", "neg"):
        assert_same(shifted)


@pytest.mark.parametrize("row", [*INTEGER_RESULTS, *FILLS])
@pytest.mark.parametrize("name", ["int64", "bool", "float32", "uint8", "float64"])
def test_integer_results_and_new_tensors_go_into_out_as_in_torch(row, name):
    if name == "bool" and row in ("randperm", "arange", "linspace"):
        return  # torch has no kernel for them
    call = INTEGER_RESULTS.get(row) or FILLS[row]
    for size in (0, 7):
        assert_same(given(lambda t: t.zeros(size, dtype=getattr(t, name)))(call))


@pytest.mark.parametrize("row", PAIRS)
def test_pairs_of_outputs_go_into_pairs(row):
    def pair(t, value, index):
        def call(prepare=x):
            o = (t.zeros(value[0], dtype=getattr(t, value[1])), t.zeros(index[0], dtype=getattr(t, index[1])))
            found = PAIRS[row](t, prepare(t), o)
            assert found[0] is o[0]
            assert found[1] is o[1]
            return found
        return call

    for value, index in (((0, "float32"), (0, "int64")), ((7, "float32"), (0, "int64")), ((0, "float64"), (0, "int64")),
                         ((0, "float32"), (0, "int32")),
                         ((0, "int64"), (0, "int64"))):
        for i in (0, 1):
            assert_same(lambda t: (lambda found: (found[i], found[i]))(pair(t, value, index)()))
    assert_same(lambda t: (lambda found: (found[0], found[0]))(pair(t, (0, "float32"), (0, "int64"))(lambda t: x(t).requires_grad_())))
