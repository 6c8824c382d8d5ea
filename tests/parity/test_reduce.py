"""Reductions, scans and sorting give torch's values, gradients, second gradients, dtypes, errors and warnings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import mytorch
from tests.parity.compare import assert_same, assert_same_error

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 5))
INPUTS = {
    "matrix": X,
    "vector": RNG.standard_normal(7),
    "0-d": np.array(1.7),
    "transposed": RNG.standard_normal((5, 4, 3)).T,
    "strided": RNG.standard_normal((6, 4, 10))[::2, :, ::2],
    "expanded": np.broadcast_to(RNG.standard_normal((4, 1)), (3, 4, 5)),
}
WITH_ZEROS = np.where(RNG.random((3, 4, 5)) < 0.3, 0.0, X)
WITH_NAN = np.where(RNG.random((3, 4, 5)) < 0.1, math.nan, X)
TIES = np.round(X)
EMPTY = np.zeros((0, 3))
INTEGERS = {d: RNG.integers(0, 4, (3, 4)).astype(d) for d in ("int64", "int32", "uint8", "int8", "bool")}


def dims_of(x):
    """Dimensions, and sets of them, that x has."""
    single = [0, -1] if x.ndim < 2 else [0, 1, -1]
    return [None, *single, *([(0, 2), (-1, 0)] if x.ndim == 3 else [])]


def call(name, *args, **kwargs):
    return lambda m, *inputs: getattr(m, name)(*inputs, *args, **kwargs)


# ---- over one or several dimensions -------------------------------------------------------------------------------------------

MANY_DIMS = ["sum", "mean", "nansum", "nanmean", "amax", "amin", "var", "std", "var_mean", "std_mean", "any", "all", "logsumexp", "norm"]
ONE_DIM = ["max", "min", "argmax", "argmin", "median", "nanmedian", "prod", "aminmax"]
SCANS = ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", MANY_DIMS)
def test_reduction_over_dimensions(name, kind, keepdim):
    x = INPUTS[kind]
    if kind == "0-d" and name.startswith(("var", "std")):
        pytest.skip("one element has no variance: torch warns")
    for dim in dims_of(x):
        if dim is None and name == "logsumexp":
            dim = tuple(range(x.ndim)) or 0
        assert_same(torch, call(name, dim=dim, keepdim=keepdim), x)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", ONE_DIM)
def test_reduction_over_one_dimension(name, kind):
    x = INPUTS[kind]
    if kind == "expanded" and name in ("median", "nanmedian"):
        pytest.skip("torch chooses any of equal elements")
    assert_same(torch, call(name), x)
    for dim in [d for d in dims_of(x) if isinstance(d, int)]:
        for keepdim in (False, True):
            assert_same(torch, call(name, dim=dim, keepdim=keepdim), x)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", SCANS)
def test_scan(name, kind):
    for dim in [d for d in dims_of(INPUTS[kind]) if isinstance(d, int)]:
        assert_same(torch, call(name, dim), INPUTS[kind])


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "max", "min", "argmax", "argmin", "median", "nanmedian", "nansum", "nanmean",
                                  "cummax", "cummin", "logsumexp", "var", "norm", "any", "all", "count_nonzero"])
def test_nan_wins_or_is_skipped_as_in_torch(name):
    assert_same(torch, call(name, dim=1), WITH_NAN)
    if name not in ("cummax", "cummin", "logsumexp"):
        assert_same(torch, call(name), WITH_NAN)


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min", "aminmax", "cummax", "cummin", "argmax"])
def test_gradient_at_ties(name):
    assert_same(torch, call(name, dim=1), TIES)
    if name in ("amax", "amin", "max", "min", "aminmax"):
        assert_same(torch, lambda m, x: getattr(x, name)(), TIES)


@pytest.mark.parametrize("name", ["prod", "cumprod"])
@pytest.mark.parametrize("row", [[0.0, 2, 3], [1.0, 0, 2, 0, 3], [0.0, 0], [2.0, 3, 0]])
def test_products_differentiate_through_zeros(name, row):
    assert_same(torch, call(name, 0), np.array(row))
    assert_same(torch, call(name, 1), WITH_ZEROS)


def test_third_derivative_of_a_product_with_zeros():
    def gradient(m, x):
        return m.autograd.grad(x.prod(), x, create_graph=True)[0]  # assert_same differentiates it twice more
    assert_same(torch, gradient, np.array([0.0, 2, 0, 3]))


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "max", "argmax", "any", "all", "logsumexp", "cumsum", "cummax", "norm",
                                  "median", "aminmax", "count_nonzero", "sort"])
def test_empty_input(name):
    assert_same(torch, call(name, dim=1), EMPTY)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin", "any", "all", "logsumexp", "nansum", "count_nonzero", "cumsum", "cumprod",
                                  "cummax", "argmax", "max", "mode"])
def test_integers_and_bools(name, dtype):
    if (name, dtype) == ("argmax", "bool"):
        pytest.skip("torch refuses")
    assert_same(torch, lambda m, x: getattr(m, name)(x, 1)[0] if name in ("mode", "cummax") else getattr(m, name)(x, 1), INTEGERS[dtype])


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "cumsum", "cumprod", "nansum"])
@pytest.mark.parametrize("wanted", ["float32", "float64", "int32"])
def test_dtype_argument(name, wanted):
    if wanted == "int32" and name == "mean":
        pytest.skip("torch refuses")
    assert_same(torch, lambda m, x: getattr(m, name)(x, 1, dtype=getattr(m, wanted)), INTEGERS["int64"])


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std", "cumsum", "cumprod", "logsumexp"])
def test_complex_numbers(name):
    z = RNG.standard_normal((3, 4)) + 1j * RNG.standard_normal((3, 4))
    assert_same(torch, call(name, 1), z)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "logsumexp", "amax", "cumsum", "norm", "max", "sort"])
def test_half_precision_rounds_once(name, dtype):
    x = RNG.standard_normal((4, 50))
    found = []
    for m in (mytorch, torch):
        t = m.tensor(x).to(getattr(m, dtype)).requires_grad_()
        y = getattr(m, name)(t, dim=1)
        y = y[0] if isinstance(y, tuple) else y
        y.sum().backward()
        assert str(y.dtype) == f"torch.{dtype}"
        found.append((y.detach().double().numpy(), t.grad.double().numpy()))
    step = 2.0**-10 if dtype == "float16" else 2.0**-7
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2 * step, atol=2 * step * np.abs(theirs).max())


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, math.inf, -math.inf, -1, "fro", None])
@pytest.mark.parametrize("dim", [None, 1, (0, 2)])
def test_norm(p, dim):
    assert_same(torch, lambda m, x: m.norm(x, p, dim), X)
    zero_row = np.concatenate([np.zeros((1, 4, 5)), X])
    assert_same(torch, lambda m, x: m.norm(x, p, dim), zero_row, second=False)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, math.inf])
def test_dist(p):
    assert_same(torch, lambda m, x, y: m.dist(x, y, p), X, RNG.standard_normal((4, 5)))


@pytest.mark.parametrize("correction", [0, 1, 1.5, 2])
@pytest.mark.parametrize("name", ["var", "std"])
def test_correction_and_older_arguments(name, correction):
    assert_same(torch, call(name, 1, correction=correction), X)
    assert_same(torch, call(name, False), X)
    assert_same(torch, call(name, 1, False), X)
    assert_same(torch, lambda m, x: getattr(x, name)(0, True, True), X)
    assert_same(torch, call(name, axis=0, keepdims=True), X)


def test_numpy_names_of_arguments():
    for name in ("sum", "mean", "amax", "argmax", "any", "max"):
        assert_same(torch, call(name, axis=1, keepdims=True), X)
    assert_same(torch, call("cumsum", axis=1), X)


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantile(name, interpolation):
    for dim in (None, 0, -1):
        for keepdim in (False, True):
            assert_same(torch, call(name, 0.37, dim, keepdim, interpolation=interpolation), X)
            # of several NaN torch takes any: compare values alone
            values = call(name, 0.37, dim, keepdim, interpolation=interpolation)
            assert_same(torch, lambda m, x, values=values: values(m, x.detach()), WITH_NAN)
    assert_same(torch, lambda m, x, q: getattr(m, name)(x, q, 1, interpolation=interpolation), X, np.array([0.1, 0.55, 0.93]))


# ---- order --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("x", [*INPUTS.values(), TIES, WITH_NAN, EMPTY], ids=[*INPUTS, "ties", "nan", "empty"])
def test_sort(x, descending):
    for dim in (0, -1):
        for name in ("sort", "argsort"):
            assert_same(torch, call(name, dim=dim, descending=descending, stable=True), x)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("k", [0, 1, 3, 40])
def test_topk(k, largest):
    assert_same(torch, call("topk", k, 1, largest), RNG.standard_normal((3, 400)))
    assert_same(torch, call("topk", k, 0, largest), RNG.standard_normal((40, 2, 3)))


def test_kthvalue_msort_and_nan():
    for k in (1, 2, 4):
        assert_same(torch, call("kthvalue", k, 1), X)
        assert_same(torch, call("kthvalue", k, 1, True), X)
    assert_same(torch, call("msort"), X)
    assert_same(torch, call("topk", 3), np.array([1.0, math.nan, 3, 2]))


@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize("name", ["unique", "unique_consecutive"])
def test_unique(name, dim):
    x = RNG.integers(0, 3, (6, 2))
    for values in (x, x.astype(np.float64)):
        assert_same(torch, lambda m, t: getattr(m, name)(t.detach(), return_inverse=True, return_counts=True, dim=dim), values)
        assert_same(torch, lambda m, t: getattr(m, name)(t.detach(), dim=dim), values)


@pytest.mark.parametrize("text", [
    "m.nonzero(T([[0, 1], [2, 0]]))", "m.nonzero(T(5))", "m.nonzero(T([[0., 2.]]), as_tuple=True)", "m.nonzero(T(5), as_tuple=True)",
    "m.bincount(T([1, 2, 2]))", "m.bincount(T([1, 2, 2]), T([1., 2, 3]))", "m.bincount(T([1, 2, 2]), T([1, 2, 3]), 6)",
    "m.histc(T([1., 2, 3, 5]), 3)", "m.histc(T([1., 2, 3, 5]), 3, 1, 2)", "m.histc(T([2., 2]), 4)", "m.histc(m.empty(0), 4)",
    "m.searchsorted(T([1, 3, 5]), T([1, 2, 6]))", "m.searchsorted(T([1, 3, 5]), 3, right=True)", "m.searchsorted(T([1, 3, 5]), 3, side='right')",
    "m.searchsorted(T([[1, 3, 5], [2, 4, 6]]), T([[3, 9], [3, 1]]))", "m.searchsorted(T([1, 3, 5]), T([2., 3]))",
    "m.searchsorted(T([5, 1, 3]), T([3]), sorter=T([1, 2, 0]))", "m.searchsorted(T([1., 3]), T([float('nan')]))",
    "m.bucketize(T([[1., 2]]), T([1., 1.5]), out_int32=True)", "m.bucketize(3, T([1, 2, 3, 4]))",
    "m.isin(T([[1, 2], [3, 4]]), T([2, 3]), invert=True)", "m.isin(T([1, 2]), 2)", "m.isin(2, T([1, 2]))", "m.isin(T([1.5]), T([1]))",
    "m.median(m.empty(0))", "m.any(T([1, 0], dtype=m.uint8))", "m.any(T([[1, 0], [0, 0]]), dim=())", "m.count_nonzero(T([[1, 0], [2, 0]]), (0, 1))",
    "m.max(T([1, 5]), T([3, 2]))", "m.sum(T([1, 2]), dtype=m.float16)", "m.mean(T([1, 2]), dtype=m.float32)", "m.prod(T([3, 2]), dtype=m.int32)",
])
def test_small_cases(text):
    assert_same(torch, lambda m: eval(text, {"m": m, "T": m.tensor}))


# ---- errors, warnings, printing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "m.empty(0).max()", "m.empty(0, 3).max(0)", "m.empty(0, 3).amax()", "m.empty(0, 3).amin(0)", "m.empty(0).argmax()",
    "m.empty(0, 3).argmin(0)", "m.empty(0, 3).aminmax()", "m.empty(0, 3).aminmax(dim=0)", "m.empty(0, 3).median(0)", "m.empty(0, 3).mode(0)",
    "m.tensor([1, 2]).mean()", "m.tensor([1, 2]).mean(dtype=m.int64)", "m.tensor([1, 2]).var()", "m.tensor([1, 2]).norm()",
    "m.ones(2, 2).sum(5)", "m.ones(2, 2).sum((0, 0))", "m.ones(2, 2).argmax(dim=5)", "m.ones(2).cumsum(1)", "m.tensor([1 + 1j]).max()",
    "m.tensor([1 + 1j]).max(0)", "m.tensor([1 + 1j]).argmax()", "m.tensor([1 + 1j]).sort()", "m.tensor([1 + 1j]).amax()",
    "m.empty(0).norm(p=float('inf'))", "m.tensor([1, 2]).nanmean()", "m.sum('a')", "m.max(3)", "m.topk(m.ones(3), 5)", "m.topk(m.ones(3), -1)",
    "m.topk(m.tensor([True]), 1)", "m.kthvalue(m.ones(3), 4)", "m.kthvalue(m.empty(0), 1)", "m.bincount(m.ones(3))",
    "m.bincount(m.tensor([-1]))", "m.bincount(m.tensor([1]), minlength=-1)", "m.bincount(m.tensor([1]), m.ones(2))",
    "m.histc(m.ones(2), 0)", "m.histc(m.ones(2), 3, 5, 1)", "m.histc(m.tensor([1]), 3)", "m.searchsorted(m.ones(2), 1, side='rigt')",
    "m.searchsorted(m.ones(2), 1, side='left', right=True)", "m.searchsorted(m.ones(2, 2), m.ones(3))", "m.bucketize(1, m.ones(2, 2))",
    "m.unique(m.empty(0, 3), dim=1)", "m.quantile(m.arange(5), .5)", "m.quantile(m.empty(0), .5)", "m.ones(2, 3).max((0, 1))",
    "m.logsumexp(m.ones(2), None)", "m.max(m.ones(2, 2), 0, out=(m.ones(2), m.ones(2)))", "m.unique(m.ones(2, requires_grad=True)).sum().backward()",
])
def test_errors(text):
    if "5, 1)" in text or "(0, 1))" in text or "out=" in text:  # worded differently on purpose, or naming dtypes in C++ words
        with pytest.raises((RuntimeError, TypeError)):
            eval(text, {"m": mytorch})
        return
    assert_same_error(torch, lambda m: eval(text, {"m": m}))


@pytest.mark.parametrize("name", ["var", "std", "var_mean", "std_mean"])
def test_too_few_degrees_of_freedom_warn(name):
    found = []
    for m in (mytorch, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            y = getattr(m, name)(m.ones(1))
        found.append((str(caught[0].message).split(" (Triggered")[0], caught[0].category, repr(y)))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["max", "min", "median", "mode", "sort", "cummax", "aminmax"])
def test_named_tuples_look_like_torchs(name):
    ours, theirs = (getattr(m, name)(m.tensor([[1.0, 3.0], [5.0, 2.0]]), dim=1) for m in (mytorch, torch))
    assert repr(ours) == repr(theirs)
    first, second = ("min", "max") if name == "aminmax" else ("values", "indices")
    assert getattr(ours, first) is ours[0]
    assert getattr(ours, second) is ours[1]
