"""Decompositions of matrices over NumPy's LAPACK: Cholesky, QR, eigenvalues, singular values. All take batches (*, m, n).

A derivative is written in terms of the factors and of products with them, so that it can be differentiated again. The pattern is
the same everywhere: move the gradient into the basis of the factors (`U^H g V`), solve a small equation entry by entry there, and
move back. G. is the gradient of a factor; ^H the conjugate transpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch.ops import return_types
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import Op, apply
from mytorch.ops.complex_parts import imag, is_complex_valued
from mytorch.ops.factorizations import triangular_op
from mytorch.ops.joining import cat_op
from mytorch.ops.matrices import (
    LinAlgError,
    check_matrix,
    check_square,
    diag_matrix,
    diag_of,
    identity_for,
    lower,
    mH,
    named,
    plus,
    refuse_info,
    refuse_phase,
    single,
    upper,
    wants_derivative,
)
from mytorch.ops.views import shape_of

__mytorch__ = True


# ---- Cholesky -----------------------------------------------------------------------------------------------------------------


def _cholesky(x: Any, *, up: bool) -> tuple[Any, Any]:
    """(L, order of the first minor that is not positive) of the lower triangles; 0 where the matrix is positive definite.

    With `up`, L^H of the upper triangles.
    """
    if up:
        y, info = _cholesky(x.conj().mT, up=False)
        return np.ascontiguousarray(y.conj().mT), info
    info = np.zeros(x.shape[:-2], np.int32)
    try:
        return np.linalg.cholesky(x), info
    except np.linalg.LinAlgError:
        y = np.empty_like(x)
        for place in np.ndindex(x.shape[:-2]):
            y[place], info[place] = _cholesky_of_one(x[place])
        return y, info


def _cholesky_of_one(x: Any) -> tuple[Any, int]:
    try:
        return np.linalg.cholesky(x), 0
    except np.linalg.LinAlgError:
        y = np.tril(x)
        for j in range(len(x)):  # column by column, to see where it stops
            pivot = y[j, j].real
            if not pivot > 0:
                return y, j + 1
            y[j:, j] /= np.sqrt(pivot)
            y[j + 1:, j + 1:] -= np.tril(y[j + 1:, j, None] * y[j + 1:, j].conj())
        return y, 0


def _cholesky_formula(g: Any, y: Any, up: bool) -> Any:
    # dA = L^-H Phi L^-1, Phi: half of the lower triangle of L^H GL, and of its mirror image above the diagonal
    right, gL = (y, mH(g[0])) if up else (mH(y), g[0])  # noqa: N806 - names as in the literature; right is L^H
    inner = lower(right @ gL)
    inner = (inner + mH(lower(inner, -1))) / 2
    left = triangular_op(right, inner, up=True, unit=False)
    return mH(triangular_op(right, mH(left), up=True, unit=False))


_cholesky_op = Op("linalg_cholesky_ex", _cholesky, _cholesky_formula, outputs="y info")
_NOT_POSITIVE = ("The factorization could not be completed because the input is not positive-definite "
                 "(the leading minor of order {} is not positive-definite).")


def _cholesky_factor(name: str, x: Any, up: bool, check: bool) -> tuple[Any, Any]:
    check_square(name, x)
    y, info = apply(_cholesky_op, (x,), {"up": up})
    if check:
        refuse_info(info._array, name, _NOT_POSITIVE)
    return y, info


@full_precision
def cholesky(A: Any, *, upper: bool = False, out: Any = None) -> Any:  # noqa: N803
    """The lower triangular L with positive diagonal and A = L L^H, of a hermitian positive definite A; only A's lower triangle is read.

    Args:
        upper: give L^H, from A's upper triangle.
    Shape: (*, n, n) -> (*, n, n).
    Raises:
        LinAlgError: if A is not positive definite. RuntimeError: if A is not square or not floating.
    Derivative: L^-H (T + tril(T, -1)^H) L^-1 / 2, T the lower triangle of L^H g.
    Source: Murray 2016, eq. 9, arXiv:1602.07527
    """
    y = _cholesky_factor("linalg.cholesky", A, upper, True)[0]
    return single(y, out)


@full_precision
def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:  # noqa: N803
    """`cholesky` with `info` in place of an error: 0, or the order of the first leading minor that is not positive.

    Shape: (*, n, n) -> L (*, n, n), info (*) int32.
    """
    return named(return_types.linalg_cholesky_ex, _cholesky_factor("linalg.cholesky_ex", A, upper, check_errors), out)


# ---- QR -----------------------------------------------------------------------------------------------------------------------


def _qr(x: Any, *, mode: Any) -> tuple[Any, Any]:
    if mode == "r":
        return np.zeros((0,), x.dtype), np.linalg.qr(x, mode="r")
    if mode == "complete" and x.shape[-1] == 0:  # NumPy leaves Q unset there
        return np.broadcast_to(np.eye(x.shape[-2], dtype=x.dtype), (*x.shape[:-1], x.shape[-2])).copy(), np.zeros_like(x)
    q, r = np.linalg.qr(x, mode=mode)
    return q, r


def _qr_formula(g: Any, Q: Any, R: Any, mode: str) -> Any:  # noqa: N803
    if mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
                           "linalg.qr(A, mode='reduced') if you are going to require gradients.")
    gQ, gR = g  # noqa: N806
    m, n = shape_of(Q)[-2], shape_of(R)[-1]
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols: use mode='reduced'")
    if m >= n:
        return _qr_of_tall(gQ, gR, Q, R)
    # A = [A1 A2] with A1 = Q R1 square and R2 = Q^H A2
    left, right = R[..., :, :m], R[..., :, m:]
    if gR is None:
        return _wide(_qr_of_tall(gQ, None, Q, left), Q @ right * 0)
    gR1, gR2 = gR[..., :, :m], gR[..., :, m:]  # noqa: N806
    return _wide(_qr_of_tall(plus(gQ, Q @ (right @ mH(gR2))), gR1, Q, left), Q @ gR2)


def _wide(left: Any, right: Any) -> Any:
    return cat_op(left, right, dim=len(shape_of(left)) - 1)


def _qr_of_tall(gQ: Any, gR: Any, Q: Any, R: Any) -> Any:  # noqa: N803
    # dA = (GQ + Q sym(triu(GR R^H - Q^H GQ))) R^-H, sym(X) = X + X^H - Re(diag X)
    inner = plus(None if gR is None else gR @ mH(R), None if gQ is None else -(mH(Q) @ gQ))
    inner = upper(inner)
    inner = inner + mH(inner) - diag_matrix(diag_of(inner).real)
    return mH(triangular_op(R, mH(plus(gQ, Q @ inner)), up=True, unit=False))


_qr_op = Op("linalg_qr", _qr, _qr_formula, outputs="Q R")


@full_precision
def qr(A: Any, mode: str = "reduced", *, out: Any = None) -> Any:  # noqa: N803
    """A = Q R with orthonormal columns in Q and an upper triangular R.

    Args:
        mode: 'reduced' (k = min(m, n) columns in Q), 'complete' (Q is square), 'r' (Q is left empty).
    Shape: (*, m, n) -> Q (*, m, k), R (*, k, n).
    Raises:
        RuntimeError: for another mode; in backward for mode 'r', and for 'complete' where m > n.
    Derivative: (GQ + Q sym(triu(GR R^H - Q^H GQ))) R^-H, sym(X) = X + X^H - Re(diag X), for m >= n.
    Source: Roberts and Roberts 2020, arXiv:2009.10071; Walter, Lehmann, Lamour 2012.
    """
    check_matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    return named(return_types.linalg_qr, apply(_qr_op, (A,), {"mode": mode}), out)


# ---- eigenvalues --------------------------------------------------------------------------------------------------------------


def _over_gaps(x: Any, values: Any) -> Any:
    """x_ij / (L_j - L_i) off the diagonal, and 0 on it."""
    gaps = values[..., None, :] - values[..., :, None]
    return (x - diag_matrix(diag_of(x))) / (gaps + identity_for(values, shape_of(values)[-1]))


def _converged(function: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"{name}: The algorithm failed to converge because the input matrix is ill-conditioned, has too many repeated "
                          "values, or contains values that are not finite.") from None


def _on_finite(function: Any, name: str, x: Any, read: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The results of a function of matrices, with NaN for each matrix that is not finite in the part `read`."""
    bad = ~np.isfinite(read).all((-2, -1))
    if not bad.any():
        found = _converged(function, name, x, *args, **kwargs)
        return tuple(found) if isinstance(found, tuple) else (found,)
    good = np.where(bad[..., None, None], np.zeros((), x.dtype), x)
    return tuple(np.where(bad.reshape(bad.shape + (1,) * (y.ndim - bad.ndim)), np.array(np.nan, y.dtype), y)
                 for y in _on_finite(function, name, good, good, *args, **kwargs))


def eigh_arrays(x: Any, *, UPLO: str) -> tuple[Any, Any]:  # noqa: N803 - torch's name
    """Eigenvalues and eigenvectors of arrays; NaN for a matrix that is not finite."""
    values, vectors = _on_finite(np.linalg.eigh, "linalg.eigh", x, np.tril(x) if UPLO == "L" else np.triu(x), UPLO)
    return values, vectors


def _eigh_formula(g: Any, L: Any, V: Any) -> Any:  # noqa: N803
    # dA = V (skew(V^H GV) / 2E + diag(GL)) V^H: the hermitian one of all that give the same along hermitian directions
    gL, gV = g  # noqa: N806
    if gV is None:
        return (V * gL[..., None, :]) @ mH(V)
    inner = mH(V) @ gV
    if is_complex_valued(V):
        refuse_phase("linalg_eigh", "eigenvectors", imag(diag_of(inner)))
    inner = _over_gaps(_skew(inner), L) / 2
    return V @ (inner if gL is None else inner + diag_matrix(gL)) @ mH(V)


_eigh_op = Op("linalg_eigh", eigh_arrays, _eigh_formula, outputs="L V")


def _check_triangle(UPLO: str) -> str:  # noqa: N803
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


@full_precision
def eigh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:  # noqa: N803
    """Eigenvalues (ascending) and eigenvectors of a hermitian matrix: A = V diag(L) V^H. Only one triangle is read.

    Shape: (*, n, n) -> L (*, n) real, V (*, n, n), eigenvectors in its columns.
    Raises:
        RuntimeError: if A is not square or UPLO is not 'L' or 'U'; in backward if a loss depends on the phase of complex vectors.
    Derivative: V (diag(GL) + skew(V^H GV) / 2E) V^H, skew(X) = X - X^H, E_ij = L_j - L_i.
    Source: Giles 2008, section 3.1; Boeddeker et al. 2017, arXiv:1701.00392
    """
    check_square("linalg.eigh", A)
    return named(return_types.linalg_eigh, apply(_eigh_op, (A,), {"UPLO": _check_triangle(UPLO)}), out)


@full_precision
def eigvalsh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:  # noqa: N803
    """The eigenvalues of a hermitian matrix, ascending: (*, n, n) -> (*, n). Derivative: V diag(g) V^H."""
    check_square("linalg.eigvalsh", A)
    if wants_derivative(A):
        y = apply(_eigh_op, (A,), {"UPLO": _check_triangle(UPLO)})[0]
    else:
        y = apply(_eigvalsh_op, (A,), {"UPLO": _check_triangle(UPLO)})
    return single(y, out)


def _eigvalsh(x: Any, *, UPLO: str) -> Any:  # noqa: N803
    return _on_finite(np.linalg.eigvalsh, "linalg.eigvalsh", x, np.tril(x) if UPLO == "L" else np.triu(x), UPLO)[0]


_eigvalsh_op = Op("linalg_eigvalsh", _eigvalsh, None)  # only where no gradient is wanted


def _complex(x: Any) -> Any:
    return x if x.dtype.kind == "c" else x.astype(np.result_type(x.dtype, np.complex64))


def _eig(x: Any) -> tuple[Any, Any]:
    if not np.isfinite(x).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    values, vectors = _converged(np.linalg.eig, "linalg.eig", x)
    return _complex(values), _complex(vectors)


def _eig_formula(g: Any, L: Any, V: Any) -> Any:  # noqa: N803
    # dA = V^-H (diag(GL) + (V^H GV - V^H V diag(Re(V^H GV))) / conj(E)) V^H
    from mytorch.ops.solvers import solve_op
    gL, gV = g  # noqa: N806
    if gV is None:
        return solve_op(mH(V), gL[..., :, None] * mH(V))
    inner = mH(V) @ gV
    diagonal = diag_of(inner)
    refuse_phase("linalg_eig", "eigenvectors", imag(diagonal))
    inner = _over_gaps(inner - (mH(V) @ V) * diagonal.real[..., None, :], L.conj())
    return solve_op(mH(V), (inner if gL is None else inner + diag_matrix(gL)) @ mH(V))


_eig_op = Op("linalg_eig", _eig, _eig_formula, outputs="L V")


@full_precision
def eig(A: Any, *, out: Any = None) -> Any:  # noqa: N803
    """Eigenvalues and eigenvectors of length 1 of a square matrix: A = V diag(L) V^-1. Both are complex.

    Shape: (*, n, n) -> L (*, n), V (*, n, n), eigenvectors in its columns.
    Raises:
        RuntimeError: if A is not square or not finite; in backward if a loss depends on the phase of the vectors.
    Derivative: V^-H (diag(GL) + (V^H GV - V^H V diag(Re(V^H GV))) / conj(E)) V^H, E_ij = L_j - L_i; its real part for a real A.
    Source: Boeddeker et al. 2017, eq. 4.77, arXiv:1701.00392
    """
    check_square("linalg.eig", A)
    return named(return_types.linalg_eig, apply(_eig_op, (A,)), out)


def _eigvals(x: Any) -> Any:
    return _complex(_on_finite(np.linalg.eigvals, "linalg.eigvals", x, x)[0])


_eigvals_op = Op("linalg_eigvals", _eigvals, None)  # only where no gradient is wanted


@full_precision
def eigvals(A: Any, *, out: Any = None) -> Any:  # noqa: N803
    """The eigenvalues of a square matrix, complex: (*, n, n) -> (*, n). Derivative: V^-H diag(g) V^H."""
    check_square("linalg.eigvals", A)
    y = apply(_eig_op, (A,))[0] if wants_derivative(A) else apply(_eigvals_op, (A,))
    return single(y, out)


# ---- singular values ----------------------------------------------------------------------------------------------------------


def svd_arrays(x: Any, *, full_matrices: bool) -> tuple[Any, Any, Any]:
    """U, S and V^H of arrays; NaN for a matrix that is infinite."""
    refuse_nan(x)
    u, s, vh = _on_finite(np.linalg.svd, "linalg.svd", x, x, full_matrices)
    return u, s, vh


def refuse_nan(x: Any) -> None:
    """LinAlgError for matrices with NaN, which have no singular values; those of infinite ones are NaN."""
    if np.isnan(x).any():
        raise LinAlgError("linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values.")


def _svd_formula(g: Any, U: Any, S: Any, Vh: Any) -> Any:  # noqa: N803
    # dA = U (skew(U^H GU)/E S + S skew(V^H GV)/E + diag GS) V^H + (1 - U U^H) GU S^-1 V^H + U S^-1 GV^H (1 - V V^H)
    gU, gS, gVh = g  # noqa: N806
    k = shape_of(S)[-1]
    m, n = shape_of(U)[-2], shape_of(Vh)[-1]
    U, Vh = U[..., :, :k], Vh[..., :k, :]  # noqa: N806 - what full_matrices adds has no gradient
    gU = None if gU is None else gU[..., :, :k]  # noqa: N806
    gVh = None if gVh is None else gVh[..., :k, :]  # noqa: N806
    if gU is None and gVh is None:
        return (U * gS[..., None, :]) @ Vh
    row, column = S[..., None, :], S[..., :, None]
    inner_u = None if gU is None else _skew(mH(U) @ gU)
    inner_v = None if gVh is None else _skew(Vh @ mH(gVh))
    if is_complex_valued(U):
        refuse_phase("svd", "singular vectors", imag(diag_of(plus(inner_u, inner_v))))
    inner = plus(None if inner_u is None else _over_gaps(inner_u, S * S) * row, None if inner_v is None else column * _over_gaps(inner_v, S * S))
    if gS is not None:
        inner = inner + diag_matrix(gS)
    if inner_u is not None and is_complex_valued(U):
        inner = inner + diag_matrix(diag_of(inner_u) / (S * 2))
    d = U @ inner @ Vh
    if gU is not None and m > k:
        d = d + (gU / row - U @ (mH(U) @ (gU / row))) @ Vh
    if gVh is not None and n > k:
        d = d + U @ (gVh / column - ((gVh / column) @ mH(Vh)) @ Vh)
    return d


def _skew(x: Any) -> Any:
    return x - mH(x)


_svd_op = Op("linalg_svd", svd_arrays, _svd_formula, outputs="U S Vh")


@full_precision
def svd(A: Any, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:  # noqa: N803
    """The singular value decomposition A = U diag(S) V^H: S descending, U and V with orthonormal columns.

    Args:
        full_matrices: square U and V; otherwise only their first k = min(m, n) columns.
        driver: must be None: other LAPACK drivers exist on CUDA only.
    Shape: (*, m, n) -> U (*, m, m or k), S (*, k) real, Vh (*, n or k, n).
    Raises:
        LinAlgError: if A has NaN, or the iteration does not converge. RuntimeError: in backward, if a loss depends on the
            phase of complex vectors. Equal singular values have no derivative of their vectors: the gradient is not finite.
    Derivative: U (skew(U^H GU) / E S + S skew(V^H GV) / E + diag GS) V^H + (1 - U U^H) GU S^-1 V^H + U S^-1 GV^H (1 - V V^H),
        E_ij = S_j^2 - S_i^2, skew(X) = X - X^H.
    Source: Townsend 2016, Differentiating the singular value decomposition; Wan and Zhang 2019, arXiv:1909.02659 (complex).
    """
    check_matrix("linalg.svd", A)
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")
    return named(return_types.linalg_svd, svd_of(A, full_matrices), out)


def svd_of(x: Any, full_matrices: bool = False) -> tuple[Any, Any, Any]:
    """`svd` without its checks, as a plain tuple."""
    u, s, vh = apply(_svd_op, (x,), {"full_matrices": full_matrices})
    return u, s, vh


@full_precision
def svdvals(A: Any, *, driver: str | None = None, out: Any = None) -> Any:  # noqa: N803
    """The singular values, descending: (*, m, n) -> (*, min(m, n)). Derivative: U diag(g) V^H."""
    check_matrix("linalg.svdvals", A)
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")
    y = svd_of(A)[1] if wants_derivative(A) else apply(_svdvals_op, (A,))
    return single(y, out)


def _svdvals(x: Any) -> Any:
    refuse_nan(x)
    return _on_finite(np.linalg.svd, "linalg.svdvals", x, x, compute_uv=False)[0]


_svdvals_op = Op("linalg_svdvals", _svdvals, None)  # only where no gradient is wanted
