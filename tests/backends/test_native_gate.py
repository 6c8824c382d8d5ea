"""Gates: glu and lerp, csrc/kernels/gate.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mytorch as torch
import mytorch.ops.activation
import mytorch.ops.choices
from tests.backends.agreement import check, declines, floats, native_as, needs_native, unaligned

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

CASES = [((2,), 0), ((10_002,), 0), ((6, 7), 0), ((5, 8), 1), ((64, 64, 16, 16), 1), ((2, 3, 4, 34), 3), ((2, 40_000), 0), ((2, 40_000), 1)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_glu_and_its_gradient(case, dtype):
    shape, dim = case
    x = floats(*shape, dtype=dtype)
    check("glu_forward", x, dim=dim)
    half = tuple(n // 2 if i == dim else n for i, n in enumerate(shape))
    check("glu_grad", floats(*half, dtype=dtype, seed=1), x, dim=dim)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_glu_of_any_shape(shape, dim):
    dim %= len(shape)
    doubled = [2 * n if i == dim else n for i, n in enumerate(shape)]
    check("glu_forward", floats(*doubled), dim=dim)
    check("glu_grad", floats(*shape, seed=1), floats(*doubled), dim=dim)


def test_gates_of_special_values():
    with np.errstate(all="ignore"):
        check("glu_forward", floats(4, 30, edges=True), dim=1)
        check("glu_grad", floats(4, 15, edges=True), floats(4, 30), dim=1)


def test_what_gates_decline():
    x = floats(40, 40)
    with native_as():
        declines("glu_forward", x.T, dim=0)
        declines("glu_forward", unaligned(x), dim=0)
        declines("glu_forward", np.zeros((0, 4), np.float32), dim=1)
        declines("glu_grad", x[:20], x.T, dim=0)
        declines("lerp_forward", x, x[0], 0.5)
        declines("lerp_forward", x, x, x)
        declines("lerp_forward", x, x.astype(np.float64), 0.5)
        declines("lerp_forward", 1.0, x, 0.5)
        declines("lerp_forward", x.T, x.T, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [0, 1, 0.3, 0.5, 0.7, -2.0, 3.0, float("inf")])
@pytest.mark.parametrize("shape", [(1,), (33, 7), (20_001,), (0,), (3, 1, 50)])
def test_mixtures(shape, weight, dtype):
    with np.errstate(all="ignore"):
        check("lerp_forward", floats(*shape, dtype=dtype), floats(*shape, dtype=dtype, seed=1), weight)
        check("lerp_forward", floats(*shape, dtype=dtype, edges=True), floats(*shape, dtype=dtype, seed=1), weight)


def test_the_ends_of_a_mixture_are_exact():
    x, z = torch.randn(1000), torch.randn(1000) * 1e6
    assert torch.equal(torch.lerp(x, z, 0.0), x)
    assert torch.equal(torch.lerp(x, z, 1.0), z)


def test_glu_has_a_second_derivative():
    x = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: torch.nn.functional.glu(x, 1), (x,))
