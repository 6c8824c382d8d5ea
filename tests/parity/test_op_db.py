"""torch's own table of operations, run against mytorch: whatever differs is named here, with the reason.

MYTORCH_FULL=1 runs every sample input that torch generates, instead of six per operation and dtype.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest")

from tests.parity.op_db_runner import counterpart, full_name, op_db, rows, run_op

FULL = bool(os.environ.get("MYTORCH_FULL"))

# operation -> kind of check -> why it fails. An entry whose check passes makes the test fail.
GAPS: dict[str, dict[str, str]] = {
    "addbmm": {"inplace": "torch gives self another size; here what is written in place keeps its own"},
    "bernoulli": {"grad": "the draw is a constant, torch gives it a zero gradient"},
    "kthvalue": {"errors": "out= may be the input"},
    "multinomial": {"errors": "out= may be the input"},
    "norm/nuc": {"forward": "the nuclear norm needs singular values", "method": "the nuclear norm needs singular values"},
    "nn.functional.batch_norm": {"forward": "an empty batch of one dimension is refused"},
    "nn.functional.embedding": {"forward": "sparse=True: gradients are dense"},
    "nn.functional.embedding_bag": {"forward": "sparse=True: gradients are dense"},
    "sum_to_size": {"forward": "torch sums a 0-d bool to int64", "method": "torch sums a 0-d bool to int64"},
}

# What mytorch does not have: a name, or, with an asterisk, how a name begins or ends, and why.
INTERNAL = "torch's own helper, or a second name for a private kernel"
COPIES = "the copying twin of a view: x.view_operation().clone()"
DECOMPOSITION = "no decompositions of matrices"
LATER = "not there yet"
ABSENT = {
    "fft.*": "no Fourier transforms", "stft": "no Fourier transforms", "istft": "no Fourier transforms",
    "linalg.*": DECOMPOSITION, "masked.*": "masked tensors are a prototype", "signal.*": "no windows", "special.*": "no further special functions",
    "sparse.*": "no sparse tensors", "to_sparse": "no sparse tensors", "torch.*": INTERNAL, "_*": INTERNAL, "native_*": INTERNAL,
    "jiterator_*": "compiles for CUDA", "*_copy": COPIES, "unsafe_*": INTERNAL, "grid_sampler_*": INTERNAL, "slice": INTERNAL,
    "max_pool2d_with_indices_backward": INTERNAL, "hash_tensor": INTERNAL, "nonzero_static": INTERNAL, "as_strided_scatter": LATER,
    "nn.functional.linear_cross_entropy": LATER, "nn.functional.ctc_loss": LATER, "nn.functional.fractional_max_pool*": LATER,
    "nn.functional.grid_sample": LATER, "nn.functional.multi_head_attention_forward": LATER, "nn.functional.pdist": LATER,
    "nn.functional.scaled_dot_product_attention": LATER,
    "chalf": "no complex numbers of 16-bit floats", "empty_permuted": LATER, "frexp": LATER, "gradient": LATER, "histogram*": LATER,
    "corrcoef": LATER, "cov": LATER, "renorm": LATER, "unravel_index": LATER,
    **dict.fromkeys(("digamma", "erfinv", "i0", "igamma", "igammac", "lgamma", "mvlgamma", "polygamma"), "no further special functions"),
    **dict.fromkeys(("cholesky*", "geqrf", "logdet", "lu*", "matrix_exp", "ormqr", "pca_lowrank", "pinverse", "qr", "svd*"), DECOMPOSITION),
    "triangular_solve": DECOMPOSITION,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", rows(), ids=full_name)
def test_operation_is_torchs(op):
    name = full_name(op)
    report = run_op(op, None if FULL else 6)
    known = GAPS.get(name, {})
    surprises = [f"{kind}: {text}" for kind, text in report.failures if kind not in known]
    assert not surprises, "\n".join(surprises[:10])
    healed = set(known) - report.failing()
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
