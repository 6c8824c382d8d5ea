"""torch's own table of operations in forward mode: the tangents of its samples.

MYTORCH_FULL=1 runs every sample in float64 and complex128, instead of the first three of each operation in float64.
"""

from __future__ import annotations

import os
from itertools import islice

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")
pytest.importorskip("hypothesis")

from tests.parity import op_db_runner as runner  # noqa: E402 - it needs torch
from tests.parity.op_db_values import Unconvertible, flat, fresh, to_mytorch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

FULL = bool(os.environ.get("MYTORCH_FULL"))
DIFFERENT = {
    "cholesky_inverse": "of matrices with large condition numbers: three to five digits agree",
    "triangular_solve": "torch's tangent is wrong: finite differences side with this one",
    "native_group_norm": "the statistics are constants here",
    "linalg.cholesky": "of a matrix that moves off symmetry: torch's two modes differ from each other",
    "linalg.cholesky_ex": "as linalg.cholesky",
    "logcumsumexp": "infinite complex numbers give NaN",
    "linalg.norm/subgradients_at_zero": "of orders below 1 the slope at zero is infinite: NaN here, 0 in torch",
}


def has_forward_mode(op):
    return (op.supports_forward_ad and op.supports_autograd and op.name not in runner.UNINITIALISED | runner.UP_TO_PHASE
            and runner.counterpart(op) is not None)


def mapped(function, structure):
    """The structure with a function applied to each of its tensors."""
    if isinstance(structure, (torch.Tensor, mytorch.Tensor)):
        return function(structure)
    if type(structure) in (list, tuple):
        return type(structure)(mapped(function, x) for x in structure)
    if isinstance(structure, dict):
        return {key: mapped(function, x) for key, x in structure.items()}
    return structure


def pushed(lib, function, args, kwargs, directions, process):
    """The tangents of the floating outputs when the tensors that require a gradient move along `directions`."""
    fw = lib.autograd.forward_ad
    rest = iter(directions)
    with fw.dual_level():
        args, kwargs = (mapped(lambda x: fw.make_dual(x.detach(), next(rest)) if x.requires_grad else x, part) for part in (args, kwargs))
        result = process(runner.quiet(function, *args, **kwargs))
        outputs = [y for y in flat(result) if isinstance(y, lib.Tensor) and (y.is_floating_point() or y.is_complex())]
        found = [fw.unpack_dual(y).tangent for y in outputs]
    return [np.zeros(tuple(y.shape)) if t is None else (t if lib is mytorch else t.resolve_conj().resolve_neg()).numpy(force=True)
            for y, t in zip(outputs, found, strict=True)]


@pytest.mark.parametrize("op", [pytest.param(op, id=runner.full_name(op)) for op in runner.op_db if has_forward_mode(op)])
def test_tangents_are_torchs(op):
    if runner.full_name(op) in DIFFERENT:
        pytest.skip(DIFFERENT[runner.full_name(op)])
    for dtype in {torch.float64, torch.complex128 if FULL else torch.float64} & op.supported_dtypes("cpu"):
        for sample in islice(op.sample_inputs("cpu", dtype, requires_grad=True), None if FULL else 3):
            args, kwargs = fresh((sample.input, *sample.args)), fresh(sample.kwargs)
            generator = torch.Generator().manual_seed(3)
            moving = [x for x in flat((args, kwargs)) if isinstance(x, torch.Tensor) and x.requires_grad]
            directions = [torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in moving]
            try:
                expected = pushed(torch, op.op, args, kwargs, directions, sample.output_process_fn_grad)
                given = to_mytorch((args, kwargs)), to_mytorch(directions)
            except (NotImplementedError, RuntimeError, Unconvertible):  # torch refuses its own sample, or it holds what has no counterpart
                continue
            found = pushed(mytorch, runner.counterpart(op), *given[0], given[1], sample.output_process_fn_grad)
            assert len(found) == len(expected)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, 1e-4, 1e-6, err_msg=runner.describe(args, kwargs))
