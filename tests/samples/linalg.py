"""Rows of decompositions, solvers and other functions of whole matrices.

Eigenvectors and singular vectors are determined up to their sign: the matrices here are small enough for every LAPACK to choose
the same. Where only one triangle of a matrix is read, the gradient that is given back is nevertheless symmetric, as torch's, which
is not what moving one element measures: those rows have slopes=False, and tests/ops/test_linalg.py measures along symmetric
directions.
"""

from __future__ import annotations

import numpy as np

from tests.samples.rows import Error, Sample


def definite(m, n, *batch):
    """Symmetric positive definite matrices."""
    a = m.rng.uniform(-1, 1, (*batch, n, n))
    return m.values(a @ a.swapaxes(-1, -2) + n * np.eye(n))


def regular(m, n, *batch):
    """Matrices far from singular."""
    return m.values(m.rng.uniform(-1, 1, (*batch, n, n)) + n * np.eye(n))


def triangle(m, n, *batch):
    """Lower triangular matrices with a positive diagonal."""
    return m.values(np.tril(m.rng.uniform(-1, 1, (*batch, n, n))) + 2 * np.eye(n))


def symmetric(m, n):
    """Symmetric matrices with eigenvalues of both signs, apart from each other."""
    a = m.rng.uniform(-1, 1, (n, n))
    return m.values(a + a.T + np.diag(np.linspace(-3, 3, n)))


def distinct(m, n):
    """A matrix whose eigenvalues are real and apart from each other."""
    return m.values(np.diag(np.arange(1.0, n + 1) * 3) + m.rng.uniform(-0.5, 0.5, (n, n)))


def factors(m, n):
    """LU and pivots as they come from a factorisation."""
    return m.values(m.rng.uniform(-1, 1, (n, n)) + 3 * np.eye(n)), m.index([*range(2, n + 1), n], "int32")


def reflections(m, rows, columns):
    """Vectors and factors of reflections that are orthogonal: tau = 2 / |v|^2."""
    a = m.rng.uniform(-1, 1, (rows, columns))
    v = np.tril(a, -1) + np.eye(rows, columns)
    return m.values(a), m.values(2 / (v * v).sum(0))


HERMITIAN = {"slopes": False, "twice": False}

DECOMPOSITIONS = [
    *[Sample(name, lambda m: (definite(m, 3, 2),), **HERMITIAN)
      for name in ("linalg.cholesky", "linalg.cholesky_ex", "cholesky")],
    Sample("linalg.cholesky", lambda m: (definite(m, 3),), {"upper": True}, **HERMITIAN),
    Sample("cholesky_inverse", lambda m: (triangle(m, 3),), **HERMITIAN),
    Sample("cholesky_solve", lambda m: (m(3, 2), triangle(m, 3)), **HERMITIAN),
    Sample("cholesky_solve", lambda m: (m(2, 3, 2), triangle(m, 3)), {"upper": False}, **HERMITIAN),
    Sample("linalg.qr", lambda m: (m(2, 4, 3),)),
    Sample("linalg.qr", lambda m: (regular(m, 3),), {"mode": "complete"}),
    Sample("linalg.qr", lambda m: (m(2, 4),)),
    Sample("linalg.qr", lambda m: (m.complex(3, 2),), slopes=False, twice=False),  # torch's choice among phases
    Sample("linalg.qr", lambda m: (m.const(4, 2), "r"), grad=False),
    Sample("qr", lambda m: (m(3, 2),)),
    Sample("linalg.eigh", lambda m: (symmetric(m, 2),), **HERMITIAN),
    Sample("linalg.eigvalsh", lambda m: (symmetric(m, 4),), **HERMITIAN),
    Sample("linalg.eigvalsh", lambda m: (m.const(3, 3), "U"), grad=False),
    Sample("linalg.eig", lambda m: (distinct(m, 2).detach(),), grad=False),
    Sample("linalg.eigvals", lambda m: (distinct(m, 3),)),
    Sample("linalg.eigvals", lambda m: (m.const(2, 3, 3),), grad=False, torch=False),  # pairs of conjugates come in either order
    Sample("linalg.svd", lambda m: (m(4, 2),), {"full_matrices": False}),
    Sample("linalg.svd", lambda m: (m(2, 3, 3),)),
    Sample("svd", lambda m: (m(5, 2),)),
    Sample("svd", lambda m: (m(2, 3),), {"compute_uv": False}),
    Sample("linalg.svdvals", lambda m: (m(2, 3, 4),)),
    Sample("linalg.svdvals", lambda m: (m.const(3, 2),), grad=False),
    Sample("linalg.lu", lambda m: (m(2, 3, 3),)),
    Sample("linalg.lu", lambda m: (m(4, 2),)),
    Sample("linalg.lu", lambda m: (m(2, 4),)),
    *[Sample(name, lambda m: (m(3, 3),)) for name in ("linalg.lu_factor", "linalg.lu_factor_ex", "lu")],
    Sample("lu_unpack", lambda m: factors(m, 3)),
    Sample("lu_unpack", lambda m: (*factors(m, 3), True, False)),
    *[Sample(name, lambda m: (symmetric(m, 4).detach(),), grad=False) for name in ("linalg.ldl_factor", "linalg.ldl_factor_ex")],
    Sample("linalg.ldl_solve", lambda m: (*(x.detach() for x in factors(m, 3)), m.const(3, 2)), grad=False),
    Sample("geqrf", lambda m: (m.const(4, 3),), grad=False),
    Sample("linalg.householder_product", lambda m: reflections(m, 4, 2)),
    Sample("orgqr", lambda m: reflections(m, 3, 3)),
    Sample("ormqr", lambda m: (*reflections(m, 4, 2), m(4, 3))),
    Sample("ormqr", lambda m: (*reflections(m, 3, 2), m(2, 3), False, True)),
    Sample("svd_lowrank", lambda m: (m(4, 3),), {"q": 3}, random=True),
    Sample("pca_lowrank", lambda m: (m(4, 3),), {"q": 2}, random=True, grad=False, torch=False),
]

SOLVERS = [
    *[Sample(name, lambda m: (regular(m, 3, 2),))
      for name in ("linalg.inv", "linalg.inv_ex", "inverse", "linalg.det", "det", "linalg.slogdet", "slogdet",
                                                              "logdet", "linalg.pinv", "pinverse")],
    Sample("linalg.inv", lambda m: (m.complex(2, 2),)),
    Sample("linalg.det", lambda m: (m.complex(3, 3),)),
    Sample("linalg.det", lambda m: (m.values([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]]),), twice=False,
           torch=False),  # singular: torch's gradient is 0 where its factorisation meets a zero, which it does on some processors
    Sample("linalg.slogdet", lambda m: (m.complex(3, 3),)),
    *[Sample(name, lambda m: (regular(m, 3), m(3, 2))) for name in ("linalg.solve", "linalg.solve_ex", "linalg.lstsq")],
    Sample("linalg.solve", lambda m: (regular(m, 3, 2), m(2, 3))),
    Sample("linalg.solve", lambda m: (regular(m, 3), m(4, 2, 3)), {"left": False}),
    Sample("linalg.solve", lambda m: (m.complex(2, 2), m.complex(2, 3))),
    Sample("linalg.solve_triangular", lambda m: (regular(m, 3), m(3, 2)), {"upper": True}),
    Sample("linalg.solve_triangular", lambda m: (regular(m, 3), m(2, 2, 3)), {"upper": False, "left": False, "unitriangular": True}),
    Sample("triangular_solve", lambda m: (m(3, 2), regular(m, 3))),
    Sample("triangular_solve", lambda m: (m(3, 2), regular(m, 3), False, True)),
    Sample("linalg.lu_solve", lambda m: (*factors(m, 3), m(2, 3, 2))),
    Sample("linalg.lu_solve", lambda m: (*factors(m, 3), m(2, 3)), {"left": False, "adjoint": True}),
    Sample("lu_solve", lambda m: (m(3, 2), *factors(m, 3))),
    Sample("linalg.lstsq", lambda m: (m(4, 2), m(4, 3)), {"driver": "gelsd"}),
    Sample("linalg.lstsq", lambda m: (m(2, 4), m(2, 1))),
    Sample("linalg.pinv", lambda m: (m(2, 4, 3),)),
    Sample("linalg.pinv", lambda m: (symmetric(m, 3),), {"hermitian": True}, **HERMITIAN),
    Sample("linalg.matrix_rank", lambda m: (m.values([[1.0, 2.0], [2.0, 4.0]]),), grad=False),
    Sample("linalg.tensorinv", lambda m: (m.values(m.rng.uniform(-1, 1, (4, 2, 2)) + np.eye(4).reshape(4, 2, 2) * 4),), {"ind": 1}),
    Sample("linalg.tensorsolve", lambda m: (m.values(m.rng.uniform(-1, 1, (2, 2, 4)) + np.eye(4).reshape(2, 2, 4) * 4), m(2, 2))),
]

FUNCTIONS = [
    *[Sample("linalg.matrix_norm", lambda m: (m(2, 3, 4),), {"ord": ord}) for ord in ("fro", "nuc", 2, -2, 1, -1, float("inf"), -float("inf"))],
    Sample("linalg.matrix_norm", lambda m: (m(3, 2, 4), 2, (2, 0), True)),
    Sample("linalg.vector_norm", lambda m: (m(2, 3), 3, 1)),
    Sample("linalg.norm", lambda m: (m(2, 3),)),
    Sample("linalg.norm", lambda m: (m(2, 3), 1)),
    Sample("linalg.norm", lambda m: (m(2, 3, 4), 2, (0, 2))),
    Sample("linalg.norm", lambda m: (m(2, 3), 2, 1, True)),
    Sample("norm", lambda m: (m(2, 3), "nuc")),
    *[Sample("linalg.cond", lambda m: (regular(m, 3),), {"p": p}) for p in (None, -2)],
    # torch refuses its own second backward of these: it writes in place what it needs
    *[Sample("linalg.cond", lambda m: (regular(m, 3),), {"p": p}, torch=False) for p in ("fro", "nuc", 1)],
    *[Sample(name, lambda m: (m(2, 3, 3), 3)) for name in ("linalg.matrix_power", "matrix_power")],
    Sample("linalg.matrix_power", lambda m: (regular(m, 3), -2)),
    *[Sample(name, lambda m: (m(2, 3, 3),)) for name in ("linalg.matrix_exp", "matrix_exp")],
    Sample("linalg.matrix_exp", lambda m: (m(3, 3, low=-9, high=9),), slopes=False, twice=False),
    Sample("linalg.multi_dot", lambda m: ([m(2), m(2, 3), m(3, 4), m(4)],)),
    Sample("linalg.vecdot", lambda m: (m.complex(2, 3), m.complex(3))),
    Sample("linalg.cross", lambda m: (m(2, 3), m(1, 3))),
    Sample("linalg.diagonal", lambda m: (m(2, 3, 4),), {"offset": 1}),
    Sample("linalg.vander", lambda m: (m(2, 3),), {"N": 4}),
    Sample("linalg.matmul", lambda m: (m(2, 3), m(3, 2))),
    Sample("cov", lambda m: (m(3, 5),)),
    Sample("cov", lambda m: (m(3, 5),), lambda m: {"fweights": m.index([1, 2, 0, 3, 1]), "aweights": m(5, low=0.5), "correction": 0}),
    Sample("cov", lambda m: (m.complex(2, 4),)),
    Sample("corrcoef", lambda m: (m(3, 5),)),
    Sample("renorm", lambda m: (m(3, 4), 2, 0, 1.5)),
]

ROWS = [*DECOMPOSITIONS, *SOLVERS, *FUNCTIONS]

ERRORS = [
    Error("linalg.inv", lambda m: (m.const(2, 3),), RuntimeError,
          "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices"),
    Error("linalg.inv", lambda m: (m.ints(3, 3),), RuntimeError,
          "linalg.inv: Expected a floating point or complex tensor as input. Got Long"),
    Error("linalg.inv", lambda m: (m.const(3, 3).zero_(),), RuntimeError,
          "linalg.inv: The diagonal element 1 is zero, the inversion could not be"),
    Error("linalg.inv", lambda m: (m.const(2, 3, 3).zero_(),), RuntimeError,
          "linalg.inv: (Batch element 0): The diagonal element 1 is zero"),
    Error("linalg.solve", lambda m: (m.const(3, 3), m.const(4, 1)), RuntimeError,
          "Incompatible shapes of A and B for the equation AX = B (3x3 and 4x1)"),
    Error("linalg.solve", lambda m: (m.const(3, 3), m.ints(3)), RuntimeError,
          "linalg.solve: Expected A and B to have the same dtype"),
    Error("linalg.solve", lambda m: (m.const(3, 3).zero_(), m.const(3)), RuntimeError,
          "The solver failed because the input matrix is singular."),
    Error("linalg.cholesky", lambda m: (m.const(3, 3).zero_(),), RuntimeError,
          "(the leading minor of order 1 is not positive-definite)"),
    Error("linalg.svd", lambda m: (m.const(3),), RuntimeError, "linalg.svd: The input tensor A must have at least 2 dimensions."),
    Error("linalg.svd", lambda m: (m.const(2, 2) * float("nan"),), RuntimeError,
          "The algorithm failed to converge because the input matrix contained non-finite"),
    Error("linalg.eig", lambda m: (m.const(2, 2) / 0,), RuntimeError,
          "torch.linalg.eig: input tensor should not contain infs or NaNs."),
    Error("linalg.eigh", lambda m: (m.const(2, 2), "X"), RuntimeError, "Expected UPLO argument to be 'L' or 'U', but got X"),
    Error("linalg.qr", lambda m: (m.const(2, 2), "x"), RuntimeError,
          "qr received unrecognized mode 'x' but expected one of 'reduced' (default), 'r'"),
    Error("linalg.lu_factor", lambda m: (m.const(3, 3).zero_(),), RuntimeError, "torch.linalg.lu_factor: U[1,1] is zero"),
    Error("linalg.lu_factor", lambda m: (m.const(3, 3),), RuntimeError,
          "LU without pivoting is not implemented on the CPU", {"pivot": False}),
    Error("linalg.lstsq", lambda m: (m.const(3, 2), m.const(3, 1)), RuntimeError,
          "parameter `driver` should be one of (gels, gelsy, gelsd, gelss)",
          {"driver": "x"}),
    Error("linalg.matrix_norm", lambda m: (m.const(3, 3),), RuntimeError,
          "linalg.matrix_norm: Order 3 not supported.", {"ord": 3}),
    Error("linalg.norm", lambda m: (m.const(2, 3, 4),), RuntimeError,
          "If dim is not specified but ord is, the input must be 1D or 2D. Got 3D.",
          {"ord": 2}),
    Error("linalg.cond", lambda m: (m.const(3, 3),), RuntimeError, "linalg.cond got an invalid norm type: x", {"p": "x"}),
    Error("linalg.cross", lambda m: (m.const(4), m.const(4)), RuntimeError,
          "linalg.cross: inputs dimension -1 must have length 3. Got 4 and 4"),
    Error("linalg.multi_dot", lambda m: ([m.const(2)],), RuntimeError, "multi_dot(): expected at least 2 tensors but got 1"),
    Error("linalg.vecdot", lambda m: (m.const(3), 1.0), TypeError,
          "linalg_vecdot(): argument 'y' (position 2) must be Tensor, not float"),
    Error("linalg.matrix_power", lambda m: (m.const(3, 3), 1.5), TypeError,
          "linalg_matrix_power(): argument 'n' (position 2) must be int"),
    Error("linalg.tensorinv", lambda m: (m.const(2, 2), 0), RuntimeError,
          "Expected a strictly positive integer for 'ind', but got 0"),
    Error("linalg.vander", lambda m: (m.const(3),), RuntimeError, "N must be greater than 1.", {"N": 0}),
    Error("linalg.householder_product", lambda m: (m.const(2, 3), m.const(2)), RuntimeError,
          "must be greater than or equal to input.shape[-1]"),
    Error("geqrf", lambda m: (m.ints(2, 2),), NotImplementedError, "\"geqrf_cpu\" not implemented for 'Long'"),
    Error("matrix_exp", lambda m: (m.const(2, 3),), RuntimeError,
          "linalg.matrix_exp: A must be batches of square matrices, but they are 2 by 3"),
    Error("cov", lambda m: (m.bools(3),), RuntimeError, "cov(): bool dtype is not supported for input"),
    Error("renorm", lambda m: (m.const(3), 2, 0, 1.0), RuntimeError,
          "renorm: input needs at least 2 dimensions, got 1 dimensions"),
    Error("pca_lowrank", lambda m: (m.const(3, 2), 5), ValueError,
          "q(=5) must be non-negative integer and not greater than min(m, n)=2"),
    Error("norm", lambda m: (m.const(3), "nuc"), RuntimeError,
          "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."),
]
