"""torch's own table of operations, run against mytorch: whatever differs is named here, with the reason.

MYTORCH_FULL=1 runs every sample input that torch generates in twelve dtypes, instead of six per operation and three per dtype in five.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest")

from tests.parity.op_db_runner import DTYPES, EVERY_DTYPE, counterpart, full_name, op_db, rows, run_op

FULL = bool(os.environ.get("MYTORCH_FULL"))

NO_HALF_COMPLEX = "no complex numbers of 16-bit floats: NumPy has none"
ORDER = "float32 weights of float64 data: the order of a sum shows where the divisor almost vanishes"  # which processors differ in
# operation -> kind of check -> why it fails. An entry whose check passes makes the full run fail, unless its reason is ORDER.
GAPS: dict[str, dict[str, str]] = {
    "addbmm": {"inplace": "torch gives self another size; here what is written in place keeps its own"},
    "as_strided_scatter": {"grad": "torch's gradient is not the slope: its own gradcheck refuses it"},
    "matrix_exp": dict.fromkeys(("forward", "method"), "torch's own error in float32 is beyond the tolerance, its float16 overflows to NaN"),
    "complex": {"forward": NO_HALF_COMPLEX},
    "cov": dict.fromkeys(("grad", "gradgrad"), ORDER),
    "linalg.norm/subgradients_at_zero": {"gradgrad": "the second derivative of the 2-norm at zero: torch says NaN, here it is 0"},
    "svd_lowrank": {"gradgrad": "one of many differs by 2e-6: each multiplication by A A^H squares the condition"},
    "narrow_copy": {"errors": "IndexError for a dimension that is not there, as narrow; torch: RuntimeError"},
    "native_group_norm": {"grad": "torch marks the statistics as differentiable and drops what arrives there; here they are constants"},
    "nn.functional.multi_head_attention_forward": {"forward": "float16 is rounded between the steps, each library in other places"},
    "special.bessel_j0": {"forward": "torch's own error is 4e-7 just above 5"},
    "special.bessel_y1": {"forward": "torch's own error is 8e-7 just above 5"},
    "view_as_complex": {"forward": NO_HALF_COMPLEX},
}

# What mytorch does not have: a name, or, with an asterisk, how a name begins or ends, and why.
INTERNAL = "torch's own helper, or a second name for a private kernel"
LATER = "not there yet"
ABSENT = {
    "masked.*": "masked tensors are a prototype",
    "sparse.*": "no sparse tensors", "to_sparse": "no sparse tensors", "torch.*": INTERNAL,
    "jiterator_*": "compiles for CUDA", "slice": INTERNAL, "max_pool2d_with_indices_backward": INTERNAL,
    "chalf": NO_HALF_COMPLEX,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", rows(), ids=full_name)
def test_operation_is_torchs(op):
    name = full_name(op)
    report = run_op(op, None if FULL else 6, EVERY_DTYPE if FULL else DTYPES)
    known = GAPS.get(name, {})
    surprises = [f"{kind}: {text}" for kind, text in report.failures if kind not in known]
    assert not surprises, "\n".join(surprises[:10])
    lasting = {kind for kind, reason in known.items() if reason != ORDER}
    healed = lasting - report.failing() if FULL else ()  # some fail in dtypes or samples that only the full run has
    assert not healed, f"passes now, take the entry out: {sorted(healed)}"


def absent_entry(name):
    """The entry of ABSENT that names it, or None."""
    return next((entry for entry in ABSENT if fnmatchcase(name, entry)), None)


def missing_names():
    return sorted({op.name for op in op_db if counterpart(op) is None})


def test_every_operation_that_is_missing_is_named():
    assert [name for name in missing_names() if absent_entry(name) is None] == []


def test_every_name_of_what_is_missing_is_missing():
    used = {absent_entry(name) for name in missing_names()}
    assert sorted(set(ABSENT) - used) == []


def test_page_of_compatibility_names_every_operation():
    from tests.parity.op_db_page import NO, outside

    text = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text()
    cells = [[cell.strip() for cell in line.split("|")] for line in text.split("## Every operation")[1].splitlines() if line.startswith("| ")]
    marks = {row[1]: row[2] for row in cells[1:]}
    counted = {full_name(op): counterpart(op) is None for op in op_db if not outside(full_name(op))}
    assert {name: mark == NO for name, mark in marks.items()} == counted, "make compatibility writes the page anew"
