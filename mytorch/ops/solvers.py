"""Systems of equations: solve, inverses, determinants, least squares, and solving with factors that are known already.

Nearly all derivatives here are one solve with the conjugate transpose: A X = B gives dB = A^-H g and dA = -dB X^H.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.grad_mode import by_example
from mytorch.ops import return_types
from mytorch.ops.autocast import full_precision, without_autocast
from mytorch.ops.common import Op, apply, require_tensor
from mytorch.ops.complex_parts import is_complex_valued
from mytorch.ops.elementwise import log, where
from mytorch.ops.factorizations import (
    ldl_factor_op,
    ldl_solve_op,
    lu_op,
    lu_with_pivots,
    permutation_matrix,
    permutation_op,
    triangular_op,
    triangular_system,
)
from mytorch.ops.matrices import (
    check_matrix,
    check_same_dtype,
    check_square,
    constant_for,
    identity_for,
    lower,
    mH,
    named,
    refuse_info,
    single,
    upper,
)
from mytorch.ops.sums import has_zero, prod_others_op
from mytorch.ops.views import shape_of

__mytorch__ = True

_SINGULAR = "The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular."


# ---- inverse and solve --------------------------------------------------------------------------------------------------------


def _inverse(x: Any) -> tuple[Any, Any]:
    try:
        return np.linalg.inv(x), np.zeros(x.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        return _solve_by_lu(x, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape))


def _solve_by_lu(a: Any, b: Any) -> tuple[Any, Any]:
    """(x, first zero pivot of each matrix): where one is singular, x has inf and NaN."""
    packed, pivots, info = lu_with_pivots(a)
    rows = permutation_matrix(pivots, rows=a.shape[-1], dtype=a.dtype).mT @ b
    return triangular_system(packed, triangular_system(packed, rows, up=False, unit=True), up=True, unit=False), info


_inverse_op = Op("linalg_inv_ex", _inverse, lambda g, inverse: -mH(inverse) @ g[0] @ mH(inverse), outputs="inverse info")


@full_precision
def inv(A: Any, *, out: Any = None) -> Any:  # noqa: N803 - torch's name
    """The inverse of square matrices: (*, n, n) -> (*, n, n).

    Raises:
        LinAlgError: for a singular matrix; its message says which of the batch. RuntimeError: if A is not square or not floating.
    Derivative: -Y^H g Y^H.
    Source: Giles 2008, section 2.2.3.
    """
    check_square("linalg.inv", A)
    y, info = apply(_inverse_op, (A,))
    refuse_info(info._array, "linalg.inv", _SINGULAR)
    return single(y, out)


@full_precision
def inv_ex(A: Any, *, check_errors: bool = False, out: Any = None) -> Any:  # noqa: N803
    """`inv` with `info` in place of an error: 0, or the first zero pivot of a singular matrix, whose inverse has inf and NaN."""
    check_square("linalg.inv_ex", A)
    y = apply(_inverse_op, (A,))
    if check_errors:
        refuse_info(y[1]._array, "linalg.inv_ex", _SINGULAR)
    return named(return_types.linalg_inv_ex, y, out)


@full_precision
def inverse(input: Any, *, out: Any = None) -> Any:  # noqa: A002 - torch's name
    """`linalg.inv` under its older name."""
    return inv(input, out=out)


def _solve(a: Any, b: Any) -> tuple[Any, Any]:
    try:
        return np.linalg.solve(a, b), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        return _solve_by_lu(a, b)


def _solve_formula(g: Any, a: Any, x: Any, needs: tuple[bool, bool]) -> list[Any]:
    db = solve_op(mH(a), g[0])
    return [-db @ mH(x) if needs[0] else None, db]


_solve_op = Op("linalg_solve_ex", _solve, joint=_solve_formula, inputs="a b", outputs="x info")


def solve_op(a: Any, b: Any) -> Any:
    """x with a x = b, of arrays or of Tensors; in formulas."""
    return _solve_op(a, b)[0]


def _is_vectors(a: Any, b: Any) -> bool:
    """Is b one vector per matrix of a?"""
    return b._array.ndim == 1 or (b._array.ndim == a._array.ndim - 1 and b._array.shape == a._array.shape[:-1])


def _solve_checked(name: str, A: Any, B: Any, left: bool) -> tuple[Any, Any]:  # noqa: N803
    check_square(name, A)
    require_tensor(name, B, "B", 2)
    check_same_dtype(name, A, B)
    vectors = _is_vectors(A, B)
    b = B.unsqueeze(-1) if vectors else B
    if vectors and not left:
        raise RuntimeError(f"{name}: Vector broadcasting of the left hand side is not supported for left=False. "
                           "In this case linalg.solve is equivalent to B / A.squeeze(-1)")
    n, rows = A._array.shape[-1], b._array.shape[-2 if left else -1]
    if n != rows:
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {equation} ({n}x{n} and "
                           f"{b._array.shape[-2]}x{b._array.shape[-1]})")
    refuse_unequal_batches(A, b)
    x, info = apply(_solve_op, (A, b) if left else (A.mT, b.mT))
    if not left:
        x = x.mT
    return x.squeeze(-1) if vectors else x, info


def refuse_unequal_batches(a: Any, b: Any) -> None:
    """RuntimeError unless the batches of two tensors of matrices broadcast."""
    try:
        np.broadcast_shapes(a._array.shape[:-2], b._array.shape[:-2])
    except ValueError:
        raise RuntimeError(f"The size of the batches must match or be 1: {list(a._array.shape)} and {list(b._array.shape)}") from None


@full_precision
def solve(A: Any, B: Any, *, left: bool = True, out: Any = None) -> Any:  # noqa: N803
    """X with A X = B, or X A = B if not `left`.

    Shape: A (*, n, n), B (*, n, k) or a vector (n) or (*, n) -> the shape of B, batches broadcast.
    Raises:
        LinAlgError: for a singular matrix. RuntimeError: for shapes that do not fit, or two dtypes.
    Derivative: dB = A^-H g, dA = -dB X^H.
    Source: Giles 2008, section 2.3.1.
    """
    x, info = _solve_checked("linalg.solve", A, B, left)
    refuse_info(info._array, "torch.linalg.solve", "The solver failed because the input matrix is singular.")
    return single(x, out)


@full_precision
def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:  # noqa: N803
    """`solve` with `info` in place of an error: 0, or the first zero pivot of a singular matrix."""
    y = _solve_checked("linalg.solve_ex", A, B, left)
    if check_errors:
        refuse_info(y[1]._array, "torch.linalg.solve_ex", "The solver failed because the input matrix is singular.")
    return named(return_types.linalg_solve_ex, y, out)


def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Any = None) -> Any:  # noqa: N803
    """X with A X = B (or X A = B) for a triangular A, of which only that triangle is read. A zero on the diagonal gives inf or NaN.

    Args:
        upper: which triangle.
        unitriangular: take the diagonal for ones.
    Shape: A (*, n, n), B (*, n, k) -> (*, n, k).
    Raises:
        RuntimeError: for shapes that do not fit, or two dtypes.
    Derivative: dB = A^-H g, dA = the triangle of -dB X^H.
    """
    name = "linalg.solve_triangular"
    check_square(name, A)
    require_tensor(name, B, "B", 2)
    if B._array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    check_same_dtype(name, A, B)
    if A._array.shape[-1] != B._array.shape[-2 if left else -1]:
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
                           f"({A._array.shape[-2]}x{A._array.shape[-1]} and {B._array.shape[-2]}x{B._array.shape[-1]})")
    refuse_unequal_batches(A, B)
    if left:
        return single(apply(triangular_op, (A, B), {"up": upper, "unit": unitriangular}), out)
    return single(apply(triangular_op, (A.mT, B.mT), {"up": not upper, "unit": unitriangular}).mT, out)


# ---- determinants -------------------------------------------------------------------------------------------------------------


def _det_formula(g: Any, x: Any, y: Any) -> Any:
    # dA = g conj(det A) A^-H; for a singular A the matrix of cofactors, from singular vectors
    if not has_zero(y):
        n = shape_of(x)[-1]
        return solve_op(mH(x), (g * y.conj())[..., None, None] * identity_for(x, n))
    from mytorch.ops.decompositions import svd_of
    if isinstance(x, np.ndarray):
        u, s, vh = np.linalg.svd(x, full_matrices=False)
        turn = np.linalg.det(u @ vh)
    else:
        u, s, vh = svd_of(x)
        turn = det(u @ vh)
    return (g * turn.conj())[..., None, None] * ((u * prod_others_op(s)[..., None, :]) @ vh)


_det_op = Op("linalg_det", lambda x: np.asarray(np.linalg.det(x)), _det_formula, holomorphic=False)


def det(A: Any, *, out: Any = None) -> Any:  # noqa: N803
    """The determinant of square matrices: (*, n, n) -> (*).

    Derivative: g conj(det A) A^-H (Jacobi's formula); for a singular A, g times the conjugate matrix of cofactors.
    Source: Giles 2008, section 2.2.4.
    """
    check_square("linalg.det", A)
    return single(apply(_det_op, (A,)), out)


def _slogdet(x: Any) -> tuple[Any, Any]:
    sign, size = np.linalg.slogdet(x)
    return np.asarray(sign), np.asarray(size)


def _slogdet_formula(g: Any, x: Any, sign: Any) -> Any:
    # A^-H (g of log|det| + i Im(conj(sign) g of the sign)): the sign of a real determinant has no slope
    g_sign, g_size = g
    total = g_size
    if is_complex_valued(x):
        turn = None if g_sign is None else (sign.conj() * g_sign).imag * 1j
        total = turn if g_size is None else g_size + 0j if turn is None else g_size + turn
    if total is None:
        return x * 0
    return solve_op(mH(x), total[..., None, None] * identity_for(x, shape_of(x)[-1]))


_slogdet_op = Op("linalg_slogdet", _slogdet, _slogdet_formula, outputs="sign logabsdet")


def slogdet(A: Any, *, out: Any = None) -> Any:  # noqa: N803
    """Sign and logarithm of the size of the determinant, which neither over- nor underflow: (*, n, n) -> (*), (*).

    A singular matrix has sign 0 and logarithm -inf; a complex one a sign on the unit circle.
    Derivative: A^-H (g of log|det| + i Im(conj(sign) g of sign)).
    """
    check_square("linalg.slogdet", A)
    return named(return_types.linalg_slogdet, apply(_slogdet_op, (A,)), out)


def logdet(input: Any) -> Any:  # noqa: A002 - torch's name
    """log(det A): NaN where the determinant is negative, -inf where it is 0. Derivative: g A^-H."""
    check_square("linalg.slogdet", input)
    sign, size = apply(_slogdet_op, (input,))
    if sign.is_complex():
        return log(sign) + size
    return where(sign == -1, float("nan"), size)


# ---- LU and LDL ---------------------------------------------------------------------------------------------------------------


def lu_packed(name: str, A: Any, pivot: bool) -> tuple[Any, Any, Any]:  # noqa: N803
    """(LU, pivots, info) after torch's checks."""
    check_matrix(name, A)
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")
    packed, pivots, info = apply(lu_op, (A,))
    return packed, pivots, info


def lu_factor(A: Any, *, pivot: bool = True, out: Any = None) -> Any:  # noqa: N803
    """L and U of A = P L U in one matrix (the ones on L's diagonal are not stored), and the rows that were exchanged, from 1.

    Shape: (*, m, n) -> LU (*, m, n), pivots (*, min(m, n)) int32.
    Raises:
        RuntimeError: if a pivot is zero, so that no system can be solved; for pivot=False.
    Derivative: P L^-H (tril(L^H GL, -1) + triu(GU U^H)) U^-H for a square A.
    Source: de Hoog, Anderssen, Lukas 2011, doi:10.1016/j.laa.2011.03.005
    """
    packed, pivots, info = lu_packed("linalg.lu_factor", A, pivot)
    refuse_info(info._array, "torch.linalg.lu_factor", "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you "
                "still want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)", RuntimeError)
    return named(return_types.linalg_lu_factor, (packed, pivots), out)


def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:  # noqa: N803
    """`lu_factor` with `info` in place of an error: 0, or the first zero pivot."""
    y = lu_packed("linalg.lu_factor_ex", A, pivot)
    if check_errors:
        refuse_info(y[2]._array, "torch.linalg.lu_factor_ex", "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero.",
                    RuntimeError)
    return named(return_types.linalg_lu_factor_ex, y, out)


@by_example
def lu(A: Any, *, pivot: bool = True, out: Any = None) -> Any:  # noqa: N803
    """A = P L U: a permutation matrix, a lower triangle with ones on its diagonal and an upper triangle.

    Shape: (*, m, n) -> P (*, m, m), L (*, m, k), U (*, k, n) with k = min(m, n). Derivative: see `lu_factor`.
    """
    packed, pivots, _ = lu_packed("linalg.lu", A, pivot)
    return named(return_types.linalg_lu, unpacked(packed, pivots), out)


def unpacked(packed: Any, pivots: Any) -> tuple[Any, Any, Any]:
    """P, L and U of packed factors."""
    m, n = packed._array.shape[-2:]
    k = min(m, n)
    p = permutation_op(pivots, rows=m, dtype=packed._array.dtype)
    left = lower(packed[..., :, :k], -1)
    return p, left + identity_for(left, m, k), upper(packed[..., :k, :])


@by_example
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True, *, out: Any = None) -> Any:  # noqa: N803
    """P, L and U from what `lu_factor` returns; empty where `unpack_data` or `unpack_pivots` is off."""
    require_tensor("lu_unpack", LU_data, "LU_data")
    require_tensor("lu_unpack", LU_pivots, "LU_pivots", 2)
    if unpack_pivots and LU_pivots._array.dtype != np.int32:
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype. Note: this function is "
                           "intended to be used with the output produced by torch.linalg.lu_factor")
    nothing = LU_data.new_zeros((0,))
    if not unpack_data and not unpack_pivots:
        return named(return_types.lu_unpack, (nothing, nothing, nothing), out)
    if not unpack_pivots:
        size = min(LU_data._array.shape[-2:])
        order = np.broadcast_to(np.arange(1, size + 1, dtype=np.int32), (*LU_data._array.shape[:-2], size))
        LU_pivots = constant_for(LU_data, order)  # noqa: N806
    p, left, right = unpacked(LU_data, LU_pivots)
    parts = (p if unpack_pivots else nothing, left if unpack_data else nothing, right if unpack_data else nothing)
    return named(return_types.lu_unpack, parts, out)


@by_example
@without_autocast
def lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False, out: Any = None) -> Any:  # noqa: N803
    """X with A X = B (X A = B if not `left`; A^H for A if `adjoint`) from the factors that `lu_factor` gave.

    Shape: LU (*, n, n), pivots (*, n), B (*, n, k) -> (*, n, k), batches broadcast. Derivative: that of two triangular systems.
    Raises:
        RuntimeError: if pivots are not int32, or shapes or dtypes do not fit.
    """
    name = "linalg.lu_solve"
    check_square(name, LU, "LU")
    require_tensor(name, B, "B", 3)
    if pivots._array.dtype != np.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type torch.int32, got {pivots.dtype}")
    check_same_dtype(name, LU, B, "LU B")
    if B._array.ndim < 2 or LU._array.shape[-1] != B._array.shape[-2 if left else -1]:
        raise RuntimeError(f"{name}: Incompatible shapes of LU {list(LU._array.shape)} and B {list(B._array.shape)} for the equation "
                           f"{'AX = B' if left else 'XA = B'}")
    if pivots._array.shape != LU._array.shape[:-1]:
        raise RuntimeError(f"{name}: Number of pivots per batch should be same as the dimension of the matrix: got {list(pivots._array.shape)} "
                           f"for {list(LU._array.shape)}")
    refuse_unequal_batches(LU, B)
    return single(_solve_packed(LU, pivots, B, adjoint) if left else mH(_solve_packed(LU, pivots, mH(B), not adjoint)), out)


def _solve_packed(packed: Any, pivots: Any, b: Any, adjoint: bool) -> Any:
    p = permutation_op(pivots, rows=packed._array.shape[-1], dtype=packed._array.dtype)
    if not adjoint:  # P L U x = b
        rows = p.mT @ b
        return triangular_op(packed, triangular_op(packed, rows, up=False, unit=True), up=True, unit=False)
    up = mH(packed)  # U^H L^H P^T x = b
    return p @ triangular_op(up, triangular_op(up, b, up=False, unit=False), up=True, unit=True)


def ldl_factor(A: Any, *, hermitian: bool = False, out: Any = None) -> Any:  # noqa: N803
    """The packed factors of A = L D L^T (L D L^H if `hermitian`), D with blocks of 1 and 2 rows, and LAPACK's pivots. No derivative.

    Shape: (*, n, n) -> LD (*, n, n), pivots (*, n) int32.
    Raises:
        RuntimeError: if D has a zero block.
    Source: Bunch, Kaufman 1977, doi:10.1090/S0025-5718-1977-0428694-0
    """
    factors, pivots, info = _ldl("linalg.ldl_factor", A, hermitian)
    refuse_info(info._array, "torch.linalg.ldl_factor", "D[{0},{0}] is zero: the matrix is singular", RuntimeError)
    return named(return_types.linalg_ldl_factor, (factors, pivots), out)


def ldl_factor_ex(A: Any, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:  # noqa: N803
    """`ldl_factor` with `info` in place of an error: 0, or the first zero block of D."""
    y = _ldl("linalg.ldl_factor_ex", A, hermitian)
    if check_errors:
        refuse_info(y[2]._array, "torch.linalg.ldl_factor_ex", "D[{0},{0}] is zero: the matrix is singular", RuntimeError)
    return named(return_types.linalg_ldl_factor_ex, y, out)


def _ldl(name: str, A: Any, hermitian: bool) -> tuple[Any, Any, Any]:  # noqa: N803
    check_square(name, A)
    factors, pivots, info = apply(ldl_factor_op, (A,), {"hermitian": hermitian})
    return factors, pivots, info


def ldl_solve(LD: Any, pivots: Any, B: Any, *, hermitian: bool = False, out: Any = None) -> Any:  # noqa: N803
    """X with A X = B from the factors that `ldl_factor` gave: (*, n, n), (*, n), (*, n, k) -> (*, n, k). No derivative.

    Raises:
        RuntimeError: if shapes or dtypes do not fit, or pivots are not integers.
    """
    name = "torch.linalg.ldl_solve"
    check_square(name, LD, "LD")
    require_tensor(name, B, "B", 3)
    if B._array.ndim < 2:
        raise RuntimeError(f"{name}: Expected B to have at least 2 dimensions, but it has {B._array.ndim} dimensions instead")
    if pivots._array.shape != LD._array.shape[:-1]:
        raise RuntimeError(f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
                           f"{list(pivots._array.shape)} for {list(LD._array.shape)}")
    if pivots._array.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {dtypes.legacy_name(pivots.dtype)}")
    check_same_dtype(name, LD, B, "LD B")
    refuse_unequal_batches(LD, B)
    return single(apply(ldl_solve_op, (LD, pivots, B), {"hermitian": hermitian}), out)


# ---- with the factor of Cholesky ----------------------------------------------------------------------------------------------


def _cholesky_solve(b: Any, factor: Any, *, up: bool) -> Any:
    first = factor.conj().mT if up else factor
    y = triangular_system(first, b, up=False, unit=False)
    return triangular_system(first.conj().mT, y, up=True, unit=False)


def _cholesky_solve_factor(g: Any, factor: Any, y: Any, up: bool) -> Any:
    # of A = L L^H the gradient is C = -dB X^H; L then gets (C + C^H) L, beyond its triangle too, as in torch
    c = -_cholesky_solve_op(g, factor, up=up) @ mH(y)
    return factor @ (c + mH(c)) if up else (c + mH(c)) @ factor


_cholesky_solve_op: Op = Op("cholesky_solve", _cholesky_solve, lambda g, factor, up: _cholesky_solve_op(g, factor, up=up),
                            _cholesky_solve_factor, holomorphic=False)


@full_precision
def cholesky_solve(B: Any, L: Any, upper: bool = False, *, out: Any = None) -> Any:  # noqa: N803
    """X with A X = B, where L is the Cholesky factor of A (`upper`: its conjugate transpose): (*, n, k), (*, n, n) -> (*, n, k)."""
    for x, letter in ((B, "b"), (L, "u")):
        require_tensor("cholesky_solve", x, letter)
        if x._array.ndim < 2:
            raise RuntimeError(f"{letter} should have at least 2 dimensions, but has {x._array.ndim} dimensions instead")
    check_square("cholesky_solve", L, "L")
    check_same_dtype("cholesky_solve", B, L, "B L")
    if B._array.shape[-2] != L._array.shape[-1]:
        raise RuntimeError(f"Incompatible matrix sizes for cholesky_solve: each A matrix is {L._array.shape[-1]} by {L._array.shape[-1]} "
                           f"but each b matrix is {B._array.shape[-2]} by {B._array.shape[-1]}")
    refuse_unequal_batches(L, B)
    return single(apply(_cholesky_solve_op, (B, L), {"up": upper}), out)


@full_precision
def cholesky_inverse(L: Any, upper: bool = False, *, out: Any = None) -> Any:  # noqa: N803
    """The inverse of the matrix whose Cholesky factor is L: (*, n, n) -> (*, n, n)."""
    check_square("cholesky_inverse", L, "L")
    return single(cholesky_solve(identity_for(L, L._array.shape[-1]), L, upper), out)
