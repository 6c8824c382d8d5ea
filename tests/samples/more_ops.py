"""Rows of histograms, segments, finite differences, coordinates and the copying twins of views."""

from __future__ import annotations

from tests.samples.rows import Error, Sample

COPIES = [
    Sample("alias_copy", lambda m: (m(2, 3),)),
    Sample("detach_copy", lambda m: (m(2, 3),), grad=False),
    Sample("as_strided_copy", lambda m: (m.values([1.0, 2.0, 3.0, 4.0]), (2, 2), (1, 2))),
    Sample("diagonal_copy", lambda m: (m(2, 3, 3), 1, 1, 2)),
    Sample("expand_copy", lambda m: (m(2, 1), (3, 2, 4))),
    Sample("narrow_copy", lambda m: (m(3, 4), 1, -3, 2)),
    Sample("permute_copy", lambda m: (m(2, 3, 4), (2, 0, 1))),
    Sample("select_copy", lambda m: (m(2, 3), 1, -1)),
    Sample("slice_copy", lambda m: (m(5, 3), 0, 1, -1, 2)),
    Sample("split_copy", lambda m: (m(5, 3), 2)),
    Sample("split_with_sizes_copy", lambda m: (m(5, 3), [1, 4])),
    Sample("squeeze_copy", lambda m: (m(1, 3, 1), (0, 2))),
    Sample("t_copy", lambda m: (m(2, 3),)),
    Sample("transpose_copy", lambda m: (m(2, 3, 4), 0, -1)),
    Sample("unbind_copy", lambda m: (m(2, 3), 1)),
    Sample("unfold_copy", lambda m: (m(7), 0, 3, 2)),
    Sample("unsqueeze_copy", lambda m: (m(2, 3), 1)),
    Sample("view_copy", lambda m: (m(2, 3), (3, -1))),
    Sample("view_as_real_copy", lambda m: (m.complex(2, 3),)),
    Sample("view_as_complex_copy", lambda m: (m.const(3, 2),), grad=False),
    Sample("unsafe_chunk", lambda m: (m(5, 3), 2)),
    Sample("unsafe_split", lambda m: (m(5, 3), 2)),
    Sample("unsafe_split_with_sizes", lambda m: (m(5, 3), [1, 4])),
    # torch's gradient of as_strided_scatter is 1 at the first places of memory, wherever src went: its own gradcheck refuses it
    Sample("as_strided_scatter", lambda m: (m.values([[1.0, 2.0], [3.0, 4.0]]), m(2), (2,), (2,), 1), torch=False),
]

COUNTS = [
    Sample("histogram", lambda m: (m.const(20), 4), grad=False),
    Sample("histogram", lambda m: (m.const(20), 4), lambda m: {"range": (-1.0, 1.5), "weight": m.const(20, low=0.1), "density": True}, grad=False),
    Sample("histogram", lambda m: (m.const(20), m.values([-2.0, -1.0, 0.5, 2.0]).detach()), grad=False),
    Sample("histogramdd", lambda m: (m.const(20, 2), [2, 3]), grad=False),
    Sample("histogramdd", lambda m: (m.const(20, 2), 2), lambda m: {"weight": m.const(20, low=0.1), "density": True}, grad=False),
    Sample("hash_tensor", lambda m: (m.const(2, 3), 1), grad=False),
    Sample("nonzero_static", lambda m: (m.ints(2, 3, high=2),), {"size": 4, "fill_value": 9}, grad=False),
    Sample("unravel_index", lambda m: (m.ints(5, high=24), (2, 3, 4)), grad=False),
]

OTHERS = [
    *[Sample("segment_reduce", lambda m, reduce=reduce: (m(6, 2), reduce), lambda m: {"lengths": m.index([2, 1, 3])}, twice=False)
      for reduce in ("sum", "mean", "max", "min", "prod")],
    Sample("segment_reduce", lambda m: (m(2, 3, 2), "sum"), lambda m: {"offsets": m.index([[0, 1, 3], [0, 3, 3]]), "axis": 1, "initial": 2},
           twice=False),
    Sample("gradient", lambda m: (m(4, 3),)),
    Sample("gradient", lambda m: (m(4, 3),), {"spacing": 0.5, "edge_order": 2, "dim": 0}),
    Sample("gradient", lambda m: (m(4, 3),), lambda m: {"spacing": (m.values([0.0, 1.0, 3.0, 3.5]).detach(), m.values([0.0, 2.0, 5.0]).detach()),
                                                        "edge_order": 2}),
    Sample("empty_permuted", lambda m: ((2, 0, 3), (2, 0, 1)), grad=False),
    Sample("Tensor.fill_diagonal_", lambda m: (m(5, 2), 3.0), {"wrap": True}),
    Sample("Tensor.fill_diagonal_", lambda m: (m(2, 2, 2), 3.0)),
]

ROWS = [*COPIES, *COUNTS, *OTHERS]

ERRORS = [
    Error("histogram", lambda m: (m.const(5), 0), RuntimeError, "bins must be > 0, but got 0"),
    Error("histogram", lambda m: (m.const(5), 3), RuntimeError, "min should not exceed max, but got min 2 max 1", {"range": (2.0, 1.0)}),
    Error("histogram", lambda m: (m.ints(5), 3), NotImplementedError, "\"histogramdd\" not implemented for 'Long'"),
    Error("histogramdd", lambda m: (m.const(5, 2), [1, 2, 3]), RuntimeError, "size of bins must be equal to the innermost dimension"),
    Error("gradient", lambda m: (m(3, 3),), RuntimeError, "only supports edge_order=1 and edge_order=2", {"edge_order": 3}),
    Error("gradient", lambda m: (m(3, 1),), RuntimeError, "expected each dimension size to be at least"),
    Error("segment_reduce", lambda m: (m(4), "sum"), RuntimeError, "Either lengths or offsets must be defined"),
    Error("segment_reduce", lambda m: (m(4), "sum"), RuntimeError, "Expected all rows of lengths along axis to sum to",
          lambda m: {"lengths": m.index([1, 2])}),
    Error("unravel_index", lambda m: (m(3), (2, 3)), TypeError, "expected 'indices' to be integer dtype"),
    Error("nonzero_static", lambda m: (m.const(3),), RuntimeError, "'size' must be an non-negative integer", {"size": -1}),
    Error("hash_tensor", lambda m: (m.const(3),), RuntimeError, "Unknown hash_tensor mode: 1", {"mode": 1}),
    Error("view_copy", lambda m: (m(2, 3), (4, 2)), RuntimeError, "shape '[4, 2]' is invalid for input of size 6"),
    Error("as_strided_scatter", lambda m: (m(4), m(2), (2,), (9,)), RuntimeError, "out of bounds for storage"),
    Error("empty_permuted", lambda m: ((2, 3), (0, 0)), RuntimeError, "Duplicate dim not allowed"),
    Error("Tensor.fill_diagonal_", lambda m: (m.const(3), 1), RuntimeError, "dimensions must larger than 1"),
    # complex numbers have no order, and torch leaves out some integers and bools
    *[Error(name, lambda m: (m.complex(2, 3, grad=False), m.complex(2, 3, grad=False)), NotImplementedError,
            f"\"{name}_cpu\" not implemented for 'ComplexDouble'") for name in ("lt", "le", "gt", "ge")],
    *[Error(name, lambda m: (m.complex(3, grad=False), m.complex(3, grad=False)), RuntimeError, f"{name} not implemented for complex tensors")
      for name in ("fmax", "fmin")],
    Error("clamp", lambda m: (m.complex(3, grad=False), 0), NotImplementedError, "clamp is not supported for complex types"),
    Error("relu", lambda m: (m.complex(3, grad=False),), NotImplementedError, "clamp is not supported for complex types"),
    Error("sign", lambda m: (m.complex(3, grad=False),), NotImplementedError, "torch.sign is not intended to support complex numbers"),
    Error("signbit", lambda m: (m.complex(3, grad=False),), NotImplementedError, "signbit is not implemented for complex tensors"),
    Error("isposinf", lambda m: (m.complex(3, grad=False),), RuntimeError, "isposinf does not support complex inputs"),
    Error("heaviside", lambda m: (m.complex(3, grad=False), m.complex(3, grad=False)), RuntimeError, "heaviside is not yet implemented for complex"),
    Error("erf", lambda m: (m.complex(3, grad=False),), NotImplementedError, "\"erf_vml_cpu\" not implemented for 'ComplexDouble'"),
    Error("xlogy", lambda m: (m.complex(3, grad=False), m.complex(3, grad=False)), NotImplementedError, "\"xlogy_cpu\" not implemented for"),
    Error("unique", lambda m: (m.complex(3, grad=False),), NotImplementedError, "\"unique\" not implemented for 'ComplexDouble'"),
    Error("kthvalue", lambda m: (m.bools(3), 1), NotImplementedError, "\"kthvalue_cpu\" not implemented for 'Bool'"),
    Error("isin", lambda m: (m.bools(3), m.bools(3)), RuntimeError, "Unsupported input type encountered for isin(): Bool"),
    Error("logaddexp", lambda m: (m.ints(3), m.ints(3)), NotImplementedError, "\"logaddexp_cpu\" not implemented for 'Long'"),
    Error("hypot", lambda m: (m.ints(3), m.ints(3)), NotImplementedError, "\"hypot_cpu\" not implemented for 'Long'"),
    Error("lerp", lambda m: (m.ints(3), m.ints(3), 0.5), NotImplementedError, "\"lerp_kernel_scalar\" not implemented for 'Long'"),
    Error("addcdiv", lambda m: (m.ints(3), m.ints(3), m.ints(3, low=1)), RuntimeError, "Integer division with addcdiv is no longer supported"),
    Error("mm", lambda m: (m.bools(2, 2), m.bools(2, 2)), NotImplementedError, "\"addmm_impl_cpu_\" not implemented for 'Bool'"),
    Error("trace", lambda m: (m.bools(2, 2),), NotImplementedError, "\"trace\" not implemented for 'Bool'"),
    Error("polar", lambda m: (m.ints(3), m.ints(3)), RuntimeError, "Expected both inputs to be Half, Float or Double tensors but got Long and Long"),
]
