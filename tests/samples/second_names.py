"""Rows of functions that are others under a second name."""

from __future__ import annotations

from tests.samples.rows import Error, Sample

ROWS = [
    Sample("concat", lambda m: ([m(2, 3), m(1, 3)],)),
    Sample("swapaxes", lambda m: (m(2, 3, 4), 0, 2)),
    Sample("moveaxis", lambda m: (m(2, 3, 4), 0, 2)),
    Sample("Tensor.swapaxes_", lambda m: (m(2, 3), 0, 1)),
    Sample("adjoint", lambda m: (m.complex(2, 3, 4),)),
    Sample("ger", lambda m: (m(2), m(3))),
    Sample("spmm", lambda m: (m(2, 3), m(3, 4))),
    Sample("detach", lambda m: (m(2, 3),), grad=False),
    Sample("detach_", lambda m: (m.const(2, 3),), grad=False),
    *[Sample(name, lambda m: (m(3, 4, 2), 0.4, True), random=True)
      for name in ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")],
    *[Sample(name, lambda m: (m.const(3, 4, 2), 0.4, True), random=True, grad=False)
      for name in ("dropout_", "alpha_dropout_", "feature_dropout_", "feature_alpha_dropout_")],
    Sample("rrelu", lambda m: (m(3, 4), 0.1, 0.4, True), random=True, slopes=False),
    Sample("embedding", lambda m: (m(5, 3), m.ints(2, 2))),
    Sample("embedding_renorm_", lambda m: (m.const(5, 3), m.ints(3), 0.5, 2.0), grad=False),
    Sample("batch_norm", lambda m: (m(4, 3, 2), m(3), m(3), None, None, True, 0.1, 1e-5, False)),
    Sample("instance_norm", lambda m: (m(4, 3, 5), m(3), m(3), None, None, True, 0.1, 1e-5, False)),
    Sample("ctc_loss", lambda m: (m(6, 2, 4).log_softmax(2), m.ints(2, 2, low=1, high=4), m.index([6, 5]), m.index([2, 1])), {"reduction": 2},
           grad=False),
    Sample("frobenius_norm", lambda m: (m(2, 3), (0, 1))),
    Sample("nuclear_norm", lambda m: (m(3, 2),)),
    Sample("norm_except_dim", lambda m: (m(2, 3, 2), 2, 1)),
    Sample("vander", lambda m: (m(3), 4), torch=False),  # torch's own backward fails: it writes in place what it saved
    Sample("vander", lambda m: (m(3), 1), grad=False),
    Sample("binomial", lambda m: (m.values([3.0, 0.0]).detach(), m.values([0.5, 0.2]).detach()), grad=False, random=True, torch=False),
    Sample("Tensor.map_", lambda m: (m.const(2, 3), m.const(2, 3), lambda a, b: a - 2 * b), grad=False),
    Sample("Tensor.map2_", lambda m: (m.const(2, 3), m.const(2, 3), m.const(3), lambda a, b, c: a - 2 * b + c), grad=False),
    Sample("Tensor.resize", lambda m: (m.const(2, 3), 3, 2), grad=False, torch=False),  # torch warns that it is deprecated
    Sample("Tensor.to_dense", lambda m: (m(2, 3),)),
    *[Sample(name, lambda m: (m.const(2, 3),), grad=False)
      for name in ("is_conj", "is_neg", "is_distributed", "is_inference", "is_signed", "get_device", "Tensor.dim_order")],
    Sample("is_same_size", lambda m: (m.const(2, 3), m.const(2)), grad=False),
    Sample("Tensor.is_set_to", lambda m: (m.const(2, 3), m.const(2, 3)), grad=False),
    # the address of fresh memory is another one each time
    Sample("Tensor.const_data_ptr", lambda m: (m.const(0),), grad=False, torch=False),
]

ERRORS = [
    Error("vander", lambda m: (m(2, 2),), RuntimeError, "x must be a one-dimensional tensor"),
    Error("binomial", lambda m: (m.ints(2), m.const(2, low=0.1, high=0.9)), ValueError, "only supports floating-point dtypes for count, got: Long"),
    Error("feature_dropout", lambda m: (m(3), 0.5, True), RuntimeError, "Feature dropout requires at least 2 dimensions in the input"),
    Error("Tensor.map_", lambda m: (m(3), m(3), lambda a, b: a), RuntimeError, "that requires grad"),
]
