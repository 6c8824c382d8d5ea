"""`torch.linalg`: decompositions, solvers, norms and products of matrices. Each function lives in its family's file of `ops/`."""

from __future__ import annotations

from mytorch.ops.decompositions import cholesky as cholesky
from mytorch.ops.decompositions import cholesky_ex as cholesky_ex
from mytorch.ops.decompositions import eig as eig
from mytorch.ops.decompositions import eigh as eigh
from mytorch.ops.decompositions import eigvals as eigvals
from mytorch.ops.decompositions import eigvalsh as eigvalsh
from mytorch.ops.decompositions import qr as qr
from mytorch.ops.decompositions import svd as svd
from mytorch.ops.decompositions import svdvals as svdvals
from mytorch.ops.least_squares import householder_product as householder_product
from mytorch.ops.least_squares import lstsq as lstsq
from mytorch.ops.least_squares import matrix_rank as matrix_rank
from mytorch.ops.least_squares import pinv as pinv
from mytorch.ops.linalg import matmul_function as matmul
from mytorch.ops.matrices import LinAlgError as LinAlgError
from mytorch.ops.matrix_functions import cond as cond
from mytorch.ops.matrix_functions import cross as cross
from mytorch.ops.matrix_functions import diagonal as diagonal
from mytorch.ops.matrix_functions import matrix_exp as matrix_exp
from mytorch.ops.matrix_functions import matrix_norm as matrix_norm
from mytorch.ops.matrix_functions import matrix_power as matrix_power
from mytorch.ops.matrix_functions import multi_dot as multi_dot
from mytorch.ops.matrix_functions import norm as norm
from mytorch.ops.matrix_functions import tensorinv as tensorinv
from mytorch.ops.matrix_functions import tensorsolve as tensorsolve
from mytorch.ops.matrix_functions import vander as vander
from mytorch.ops.matrix_functions import vecdot as vecdot
from mytorch.ops.solvers import det as det
from mytorch.ops.solvers import inv as inv
from mytorch.ops.solvers import inv_ex as inv_ex
from mytorch.ops.solvers import ldl_factor as ldl_factor
from mytorch.ops.solvers import ldl_factor_ex as ldl_factor_ex
from mytorch.ops.solvers import ldl_solve as ldl_solve
from mytorch.ops.solvers import lu as lu
from mytorch.ops.solvers import lu_factor as lu_factor
from mytorch.ops.solvers import lu_factor_ex as lu_factor_ex
from mytorch.ops.solvers import lu_solve as lu_solve
from mytorch.ops.solvers import slogdet as slogdet
from mytorch.ops.solvers import solve as solve
from mytorch.ops.solvers import solve_ex as solve_ex
from mytorch.ops.solvers import solve_triangular as solve_triangular
from mytorch.ops.statistics import vector_norm as vector_norm

__mytorch__ = True

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "householder_product",
    "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp",
    "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd",
    "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]
