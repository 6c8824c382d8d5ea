"""Decompositions under the names and with the arguments that they had before `torch.linalg`."""

from __future__ import annotations

from typing import Any

from mytorch.ops import decompositions, return_types, solvers
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import require_tensor
from mytorch.ops.factorizations import triangular_op
from mytorch.ops.least_squares import pinv
from mytorch.ops.matrices import check_matrix, check_same_dtype, check_square, mH, named, single

__mytorch__ = True


@full_precision
def cholesky(input: Any, upper: bool = False, *, out: Any = None) -> Any:  # noqa: A002 - torch's name
    """`linalg.cholesky`: the factor L of A = L L^H, or L^H if `upper`."""
    return decompositions.cholesky(input, upper=upper, out=out)


@full_precision
def qr(input: Any, some: bool = True, *, out: Any = None) -> Any:  # noqa: A002
    """`linalg.qr`, with mode 'reduced' if `some`, else 'complete'."""
    q, r = decompositions.qr(input, "reduced" if some else "complete")
    return named(return_types.qr, (q, r), out)


@full_precision
def svd(input: Any, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:  # noqa: A002
    """U, S and V with A = U diag(S) V^H: `linalg.svd` gives V^H instead.

    Args:
        some: only the first min(m, n) columns of U and V.
        compute_uv: if off, U (m, m) and V (n, n) are zeros.
    """
    check_matrix("linalg.svd", input)
    if not compute_uv:
        batch, (m, n) = input._array.shape[:-2], input._array.shape[-2:]
        return named(return_types.svd, (input.new_zeros((*batch, m, m)), decompositions.svdvals(input), input.new_zeros((*batch, n, n))), out)
    u, s, vh = decompositions.svd(input, not some)
    return named(return_types.svd, (u, s, mH(vh)), out)


def slogdet(input: Any, *, out: Any = None) -> Any:  # noqa: A002
    """`linalg.slogdet`: sign and logarithm of the size of the determinant."""
    return named(return_types.slogdet, tuple(solvers.slogdet(input)), out)


@full_precision
def pinverse(input: Any, rcond: float = 1e-15) -> Any:  # noqa: A002
    """`linalg.pinv`: the pseudo-inverse; singular values up to rcond times the largest count as zero."""
    return pinv(input, rcond)


@full_precision
def triangular_solve(input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *,  # noqa: A002, N803
                     out: Any = None) -> Any:
    """X with A X = input for a triangular A (A^T if `transpose`), and a copy of A: see `linalg.solve_triangular`."""
    check_square("triangular_solve", A)
    require_tensor("triangular_solve", input, "b")
    check_same_dtype("triangular_solve", input, A, "b A")
    if input._array.ndim < 2:
        raise RuntimeError(f"torch.triangular_solve: Expected b to have at least 2 dimensions, but it has {input._array.ndim} dimensions instead")
    if input._array.shape[-2] != A._array.shape[-1]:
        raise RuntimeError(f"Incompatible matrix sizes for triangular_solve: each A matrix is {A._array.shape[-1]} by {A._array.shape[-1]} "
                           f"but each b matrix is {input._array.shape[-2]} by {input._array.shape[-1]}")
    solvers.refuse_unequal_batches(A, input)
    if transpose:
        x = triangular_op(A.mT, input, up=not upper, unit=unitriangular)
    else:
        x = triangular_op(A, input, up=upper, unit=unitriangular)
    copy = A.expand(*x._array.shape[:-2], *A._array.shape[-2:]).clone()
    return named(return_types.triangular_solve, (x, copy), out)


def lu(A: Any, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:  # noqa: N803
    """`linalg.lu_factor` that does not complain of a zero pivot: (LU, pivots), and info if `get_infos`."""
    y = solvers.lu_packed("linalg.lu_factor", A, pivot)
    if get_infos:
        return named(return_types._lu_with_info, y, out)
    return named(tuple, y[:2], out)


def lu_solve(b: Any, LU_data: Any, LU_pivots: Any, *, out: Any = None) -> Any:  # noqa: N803
    """`linalg.lu_solve` with the right side first."""
    return single(solvers.lu_solve(LU_data, LU_pivots, b), out)
