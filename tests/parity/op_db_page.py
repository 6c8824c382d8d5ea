"""The page docs/compatibility.md, written from what the runner of `op_db` measured and the reasons that tests/parity/test_op_db.py names."""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch

from tests.parity.op_db_runner import KINDS, counterpart, full_name, op_db
from tests.parity.test_op_db import ABSENT, GAPS, absent_entry

# Not counted: what lies outside of this library's purpose, or needs another machine.
OUTSIDE = {
    "sparse.*": "sparse tensors", "to_sparse": "sparse tensors", "masked.*": "masked tensors", "jiterator_*": "compiles for CUDA",
    "signal.windows.*": "window functions", "torch._scaled_mm*": "8-bit floats on CUDA", "torch.ops.aten.*": "private kernels",
}
HEADS = {"forward": "value", "grad": "gradient", "gradgrad": "second gradient", "method": "method", "inplace": "in place", "errors": "errors"}
YES, NO = "✓", "–"

HEAD = """# Compatibility with PyTorch, operation by operation

PyTorch tests its own operators with a table of sample calls, `op_db`. This page is the result of running that table, as torch {version}
ships it, against `mytorch`: every sample input in twelve dtypes (float64, float32, float16, bfloat16, complex128, complex64, the
integers and bool), its gradient and second gradient in float64 and complex128, the Tensor method and the in-place variant, and the
calls that must fail with torch's class of error. `make compatibility` measures all that anew and writes the page.

An operation counts as passed for a kind only if all its samples pass. {outside} of the {every} entries are not counted:
{groups}.

| | value | gradient | second gradient | method | in place | errors |
|---|---|---|---|---|---|---|
{sums}

Values are equal within 1e-7 (float64), 1e-4 (float32), 4e-3 (float16) and 2e-2 (bfloat16); where the 16-bit results of both
libraries are further apart, ours has to be as near to the float64 result as torch's. Factors that are determined up to a sign or a
phase are compared without it, and random draws are equal to torch's after the same seed.

## What differs, and why

{gaps}

## What is missing

{absent}

## Every operation

{yes} all samples pass; 3/4 of them do; {no} the operation is missing. A blank: torch has nothing to compare with.

| operation | {heads} |
{rule}
"""


def outside(name):
    """Is it an entry that is not counted?"""
    return any(fnmatchcase(name, entry) for entry in OUTSIDE)


def mark(report, kind):
    """One cell of the table."""
    tried, passed = report.tried[kind], report.passed[kind]
    return "" if not tried else YES if passed == tried else f"{passed}/{tried}"


def kinds_of_missing(op):
    """The kinds of checks that a missing operation fails."""
    gradient = op.supports_autograd and bool(op.supported_backward_dtypes("cpu"))
    method = op.method_variant is not None and getattr(op.method_variant, "__name__", "<lambda>") != "<lambda>"
    have = {"forward": True, "grad": gradient, "gradgrad": gradient and op.supports_gradgrad, "method": method,
            "inplace": op.inplace_variant is not None, "errors": op.error_inputs_func is not None}
    return {kind for kind in KINDS if have[kind]}


def summary(reports, missing):
    """How many of the entries pass, by kind, as two rows of a table."""
    shares, counts = [], []
    for kind in KINDS:
        tried = [r for r in reports if r.tried[kind]]
        clean = sum(r.passed[kind] == r.tried[kind] for r in tried)
        total = len(tried) + sum(kind in kinds_of_missing(op) for op in missing)
        shares.append(f"{100 * clean / max(total, 1):.1f} %")
        counts.append(f"{clean} of {total}")
    return f"| **pass** | {' | '.join(shares)} |\n| entries | {' | '.join(counts)} |"


def reasons(names):
    """A list of names, those with the same reason together."""
    grouped = {}
    for name, reason in names:
        grouped.setdefault(reason, []).append(f"`{name}`")
    return "\n".join(f"- {reason}: {', '.join(sorted(set(found)))}" for reason, found in sorted(grouped.items()))


def page(reports):
    """The whole page."""
    counted = [r for r in reports if not outside(r.name)]
    absent = [op for op in op_db if counterpart(op) is None]
    missing = [op for op in absent if not outside(full_name(op))]
    entries = sorted(full_name(op) for op in op_db)
    known = [(f"{name} ({HEADS[kind]})", reason) for name, kinds in GAPS.items() for kind, reason in kinds.items()]
    unknown = [(f"{r.name} ({HEADS[kind]})", f"not explained yet: {text}") for r in counted for kind in sorted(r.failing())
               for text in [next(text for k, text in r.failures if k == kind)] if kind not in GAPS.get(r.name, {})]
    text = HEAD.format(
        version=torch.__version__.split("+")[0], every=len(entries), outside=sum(outside(name) for name in entries),
        groups=", ".join(dict.fromkeys(OUTSIDE.values())), sums=summary(counted, missing), gaps=reasons(known + unknown),
        absent=reasons([(op.name, ABSENT[absent_entry(op.name)]) for op in missing]), yes=YES, no=NO,
        heads=" | ".join(HEADS.values()), rule="|---" * (len(KINDS) + 1) + "|")
    by_name = {r.name: r for r in counted}
    lines = []
    for name in entries:
        if name in by_name:
            lines.append(f"| {name} | " + " | ".join(mark(by_name[name], kind) for kind in KINDS) + " |")
        elif not outside(name):
            lines.append(f"| {name} | {NO}" + " |" * len(KINDS))
    return text + "\n".join(lines) + "\n"
