"""Every row of the table of operations gives torch's values, dtypes, gradients, second gradients and errors."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from tests.samples import ERRORS, Maker, rows

torch = pytest.importorskip("torch")

from tests.parity.op_db_values import check_equal, check_gradients  # noqa: E402 - it imports torch

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def leaves(value):
    """The tensors that require a gradient, in nested sequences."""
    if isinstance(value, (torch.Tensor, mytorch.Tensor)):
        return [value] if value.requires_grad else []
    return [x for part in value for x in leaves(part)] if isinstance(value, (tuple, list)) else []


def run(lib, sample, **options):
    """Arguments and result of a row in a library, from seed 0."""
    maker = Maker(lib, sample.name, **options)
    args, kwargs = sample.args(maker), sample.keywords(maker)
    lib.manual_seed(0)
    return args, sample.call(lib, args, kwargs)


def ones(lib, outputs):
    """A gradient for each output: ones, made uneven so that sums do not cancel."""
    return [lib.from_numpy(np.linspace(0.5, 1.5, max(y.numel(), 1))[:y.numel()].reshape(tuple(y.shape))).to(y.dtype) for y in outputs]


def compare_gradients(sample, twice, **options):
    """First and, if `twice`, second gradients of a row in both libraries."""
    mine, y = run(mytorch, sample, **options)
    theirs, expected = run(torch, sample, **options)
    outs, expected_outs = leaves(y), leaves(expected)
    assert len(outs) == len(expected_outs)
    xs, expected_xs = leaves(mine), leaves(theirs)
    if not expected_outs:
        return
    first = mytorch.autograd.grad(outs, xs, ones(mytorch, outs), allow_unused=True, create_graph=twice)
    expected_first = torch.autograd.grad(expected_outs, expected_xs, ones(torch, expected_outs), allow_unused=True, create_graph=twice)
    check_gradients(first, expected_first, expected_xs, "gradient")
    if not twice:
        return
    kept = [i for i, g in enumerate(expected_first) if g is not None and g.requires_grad]
    if not kept:
        return
    roots = [first[i] for i in kept if first[i].requires_grad]
    second = mytorch.autograd.grad(roots, xs, ones(mytorch, roots), allow_unused=True) if roots else [None] * len(xs)
    expected_roots = [expected_first[i] for i in kept]
    try:
        expected_second = torch.autograd.grad(expected_roots, expected_xs, ones(torch, expected_roots), allow_unused=True)
    except (NotImplementedError, RuntimeError) as refusal:
        assert "not implemented" in str(refusal)  # noqa: PT017 - torch has no second derivative; the plain suite measures ours
        return
    check_gradients(second, expected_second, expected_xs, "second gradient")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sample", rows(lambda s: s.torch))
def test_value_is_torchs(sample, dtype):
    check_equal(run(mytorch, sample, dtype=dtype)[1], run(torch, sample, dtype=dtype)[1], sample.name)


@pytest.mark.parametrize("sample", rows(lambda s: s.torch and s.grad))
def test_gradients_are_torchs(sample):
    compare_gradients(sample, sample.twice)


@pytest.mark.parametrize("layout", ["zero_dim", "empty", "expanded"])
@pytest.mark.parametrize("sample", rows(lambda s: s.torch and s.pointwise))
def test_pointwise_values_and_gradients_are_torchs_for_every_shape(sample, layout):
    check_equal(run(mytorch, sample, layout=layout)[1], run(torch, sample, layout=layout)[1], sample.name)
    if sample.grad:
        compare_gradients(sample, False, layout=layout)


@pytest.mark.parametrize("sample", rows(lambda s: s.torch and s.pointwise))
def test_pointwise_values_and_gradients_are_torchs_where_native_kernels_answer(sample):
    options = {"layout": "large", "dtype": "float32"}
    check_equal(run(mytorch, sample, **options)[1], run(torch, sample, **options)[1], sample.name)
    if sample.grad:
        compare_gradients(sample, False, **options)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("sample", rows(lambda s: s.torch and s.pointwise and s.name not in ("complex", "polar")))
def test_half_precision_value_is_torchs(sample, dtype):
    """Two units in the last place: torch's vectorised functions, too, are that far from the exact value."""
    try:
        expected = run(torch, sample, dtype=dtype)[1]
    except (NotImplementedError, RuntimeError) as refusal:
        assert "not implemented" in str(refusal)  # noqa: PT017 - torch refuses this dtype
        return
    check_equal(run(mytorch, sample, dtype=dtype)[1], expected, sample.name)


@pytest.mark.parametrize("error", rows(table=ERRORS))
def test_torch_raises_the_same_error(error):
    maker = Maker(torch, error.name)
    with pytest.raises(error.kind) as caught:
        error.call(torch, error.args(maker), error.keywords(maker))
    assert error.text in str(caught.value)
