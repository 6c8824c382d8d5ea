"""Rows of reductions and of what sorts."""

from __future__ import annotations

from tests.samples.rows import Sample

REDUCTIONS = [
    *[Sample(name, lambda m: (m(2, 3, low=0.3),)) for name in ("sum", "mean", "prod", "var", "std", "norm", "nansum", "nanmean")],
    *[Sample(name, lambda m: (m(2, 3, 4, low=0.3), 1)) for name in ("sum", "mean", "prod", "var", "std", "logsumexp", "nansum", "nanmean")],
    *[Sample(name, lambda m: (m(2, 3, 4),), {"dim": -1, "keepdim": True}) for name in ("sum", "mean", "var", "std", "logsumexp")],
    *[Sample(name, lambda m: (m(2, 3, 4), (0, 2))) for name in ("sum", "mean", "var", "std", "logsumexp", "amax", "amin")],
    *[Sample(name, lambda m: (m(2, 3),)) for name in ("max", "min", "median", "nanmedian", "amax", "amin", "aminmax")],
    *[Sample(name, lambda m: (m(3, 4), 1)) for name in ("max", "min", "median", "nanmedian", "kthvalue", "mode")],
    *[Sample(name, lambda m: (m(3, 4),), grad=False) for name in ("argmax", "argmin")],
    *[Sample(name, lambda m: (m(3, 4), 1, True), grad=False) for name in ("argmax", "argmin")],
    *[Sample(name, lambda m: (m.bools(3, 4),), grad=False) for name in ("any", "all")],
    *[Sample(name, lambda m: (m.bools(3, 4), 1), grad=False) for name in ("any", "all", "count_nonzero")],
    *[Sample(name, lambda m: (m(3, 4), 1)) for name in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")],
    *[Sample(name, lambda m: (m(2, 3, 4), 1)) for name in ("var_mean", "std_mean")],
    Sample("sum", lambda m: (m.ints(2, 3),), grad=False),
    Sample("sum", lambda m: (m(2, 3),), lambda m: {"dtype": m.dt("float32")}, twice=False, slopes=False),
    Sample("sum", lambda m: (m.complex(2, 3), 1)),
    Sample("prod", lambda m: (m.values([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]), 1)),
    Sample("cumprod", lambda m: (m.values([1.0, 0.0, 2.0, 3.0]), 0)),
    Sample("var", lambda m: (m(2, 3, 4), 1), {"correction": 0}),
    Sample("std", lambda m: (m(2, 3, 4), 1, False)),
    Sample("max", lambda m: (m(2, 3), m(3)), pointwise=True),
    Sample("min", lambda m: (m(2, 3), m(3)), pointwise=True),
    Sample("max", lambda m: (m.values([1.0, 2.0, 2.0]),), grad=False),
    Sample("norm", lambda m: (m(2, 3, 4), 1, 2)),
    Sample("norm", lambda m: (m(2, 3, 4), 3, (0, 2))),
    Sample("norm", lambda m: (m(2, 3), float("inf"), 1)),
    Sample("dist", lambda m: (m(2, 3), m(3), 2)),
    Sample("quantile", lambda m: (m(3, 4), 0.3, 1)),
    Sample("quantile", lambda m: (m(3, 4), m.const(2, low=0.1, high=0.9), 1), twice=False),
    Sample("nanquantile", lambda m: (m(3, 4), 0.3, 1)),
    Sample("histc", lambda m: (m(20), 5, -2, 2), grad=False),
    Sample("bincount", lambda m: (m.ints(10),), grad=False),
    Sample("bincount", lambda m: (m.ints(10), m.const(10)), {"minlength": 7}, grad=False),
]

ORDER = [
    Sample("sort", lambda m: (m(3, 4), 1)),
    Sample("sort", lambda m: (m(3, 4),), {"dim": 0, "descending": True, "stable": True}),
    Sample("argsort", lambda m: (m(3, 4), 1, True), grad=False),
    Sample("msort", lambda m: (m(3, 4),)),
    Sample("topk", lambda m: (m(3, 4), 2)),
    Sample("topk", lambda m: (m(3, 4), 2, 0, False)),
    Sample("unique", lambda m: (m.ints(10),), grad=False),
    Sample("unique", lambda m: (m.ints(10),), {"return_inverse": True, "return_counts": True}, grad=False),
    Sample("unique_consecutive", lambda m: (m.ints(10, high=2),), grad=False),
    Sample("nonzero", lambda m: (m.ints(3, 4, high=2),), grad=False),
    Sample("searchsorted", lambda m: (m.index([1, 3, 5, 7]), m.ints(6, high=9)), grad=False),
    Sample("bucketize", lambda m: (m.ints(2, 3, high=9), m.index([1, 3, 5, 7])), {"right": True}, grad=False),
]

ROWS = [*REDUCTIONS, *ORDER]
