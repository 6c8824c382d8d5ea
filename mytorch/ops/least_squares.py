"""Least squares and what belongs to it: pseudo-inverse, rank, reflections, decompositions of low rank."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.grad_mode import by_example
from mytorch.ops import return_types
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import Op, TensorBase, apply, require_tensor
from mytorch.ops.decompositions import eigh_arrays, eigvalsh, qr, svd, svd_arrays, svdvals
from mytorch.ops.factorizations import triangular_op
from mytorch.ops.matrices import LinAlgError, check_matrix, check_square, diag_matrix, identity_for, lower, mH, named, single, upper
from mytorch.ops.random import randn
from mytorch.ops.views import shape_of

__mytorch__ = True


# ---- pseudo-inverse and rank --------------------------------------------------------------------------------------------------


def _number(x: Any) -> Any:
    """A tolerance as an array that stands beside singular values (*, k)."""
    return np.asarray(x._array if isinstance(x, TensorBase) else x, np.float64)[..., None]


def _threshold(name: str, x: Any, sizes: Any, atol: Any, rtol: Any) -> Any:
    """max(atol, rtol * largest) for the sizes (*, k) of singular values; rtol is eps * max(m, n) unless a tolerance is given."""
    for argument, given in (("atol", atol), ("rtol", rtol)):
        if isinstance(given, TensorBase) and given._array.dtype.kind == "c":
            raise RuntimeError(f"{name}: {argument} tensor of complex type is not supported.")
    default = np.finfo(x._array.dtype).eps * max(x._array.shape[-2:])
    if rtol is None:
        rtol = default if atol is None else np.where(_number(atol)[..., 0] > 0, 0.0, default)
    largest = sizes.max(-1, keepdims=True, initial=0)
    return np.maximum(0.0 if atol is None else _number(atol), _number(rtol) * largest)


def _pinv(x: Any, *, threshold: Any, hermitian: bool) -> Any:
    if hermitian:
        values, u = eigh_arrays(x, UPLO="L")
        keep = np.abs(values) > threshold(np.abs(values))
        return (u * np.where(keep, 1 / np.where(keep, values, 1), 0).astype(values.dtype)[..., None, :]) @ u.conj().mT
    u, s, vh = svd_arrays(x, full_matrices=False)
    keep = s > threshold(s)
    return (vh.conj().mT * np.where(keep, 1 / np.where(keep, s, 1), 0).astype(s.dtype)[..., None, :]) @ u.conj().mT


def _pinv_formula(g: Any, x: Any, y: Any) -> Any:
    # dY = -Y dA Y + Y Y^H dA^H (1 - A Y) + (1 - Y A) dA^H Y^H Y
    yh, gh = mH(y), mH(g)
    left, right = gh @ (y @ yh), (yh @ y) @ gh
    return left - x @ (y @ left) + right - (right @ y) @ x - yh @ g @ yh


_pinv_op = Op("linalg_pinv", _pinv, _pinv_formula, holomorphic=False)


@by_example
def pinv(A: Any, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None) -> Any:  # noqa: N803
    """The pseudo-inverse of Moore and Penrose, by singular values; those up to max(atol, rtol * largest) count as zero.

    Args:
        rcond: rtol under its older name.
        hermitian: A is hermitian: eigenvalues of its lower triangle serve.
        atol, rtol: numbers or tensors that broadcast with the batch; rtol is eps * max(m, n) unless a tolerance is given.
    Shape: (*, m, n) -> (*, n, m).
    Raises:
        RuntimeError: if A is not made of matrices of floats, or hermitian and not square.
    Derivative: -Y^H g Y^H + (1 - A Y) g^H Y Y^H + Y^H Y g^H (1 - Y A).
    Source: Golub and Pereyra 1973, eq. 4.12, doi:10.1137/0710036
    """
    require_tensor("linalg.pinv", A)
    if A._array.ndim < 2 or A._array.dtype.kind in "biu":
        raise RuntimeError(f"linalg.pinv({dtypes.legacy_name(A.dtype)}{{{list(A._array.shape)}}}): expected a tensor with 2 or more dimensions of "
                           "float, double, cfloat or cdouble types")
    check_matrix("linalg.pinv", A)
    rtol = rcond if rtol is None else rtol
    if hermitian:
        check_square("linalg.eigh", A)
    threshold = partial(_threshold, "linalg.pinv", A.detach(), atol=atol, rtol=rtol)
    return single(apply(_pinv_op, (A,), {"threshold": threshold, "hermitian": hermitian}), out)


@by_example
@full_precision
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None) -> Any:  # noqa: N803
    """How many singular values exceed max(atol, rtol * largest): (*, m, n) -> (*) int64.

    Args:
        tol: atol under its older name, with rtol 0.
        hermitian: A is hermitian: the sizes of its eigenvalues serve.
    Raises:
        RuntimeError: if A is not made of matrices of floats.
    """
    require_tensor("torch.linalg.matrix_rank", A)
    if A._array.ndim < 2:
        raise RuntimeError("torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions.")
    if tol is not None:
        atol, rtol = tol, 0.0
    A = A.detach()  # noqa: N806
    sizes = (eigvalsh(A).abs() if hermitian else svdvals(A))._array
    count = np.asarray((sizes > _threshold("torch.linalg.matrix_rank", A, sizes, atol, rtol)).sum(-1), np.int64)
    return single(A.new_tensor(count, dtype=None), out)


# ---- least squares ------------------------------------------------------------------------------------------------------------


def _lstsq(a: Any, b: Any, *, rcond: float, driver: str) -> tuple[Any, Any, Any, Any]:
    m, n = a.shape[-2:]
    u, s, vh = svd_arrays(a, full_matrices=False)
    keep = s > rcond * s.max(-1, keepdims=True, initial=0)
    rank = np.asarray(keep.sum(-1), np.int64)
    if driver == "gels":
        if (rank < min(m, n)).any():
            raise LinAlgError("torch.linalg.lstsq: The least squares solution could not be computed because the input matrix does not "
                              "have full rank; driver='gelsd' solves it.")
        keep = np.ones_like(keep)
    inverse = np.where(keep, 1 / np.where(keep, s, 1), 0).astype(s.dtype)
    x = vh.conj().mT @ (inverse[..., None] * (u.conj().mT @ b))
    residuals = np.zeros((0,), s.dtype)
    if m > n and driver != "gelsy" and (rank == n).all():
        rest = a @ x - b
        residuals = np.add.reduce(rest.real ** 2 + rest.imag ** 2, axis=-2) if rest.dtype.kind == "c" else np.add.reduce(rest * rest, axis=-2)
    if driver == "gels":
        rank = np.zeros((0,), np.int64)
    return x, residuals, rank, s if driver in ("gelsd", "gelss") else np.zeros((0,), s.dtype)


def _lstsq_formula(g: Any, a: Any, b: Any, x: Any, needs: tuple[bool, bool]) -> list[Any]:
    # X = A^+ B, so gB = A^+H gX and the pseudo-inverse gets gX B^H. At the least |B - A X|^2 a step of X does not change it.
    g_x, g_rest = g[0], g[1]
    da = db = None
    if g_x is not None:
        inverse = _pinv_op(a, threshold=_full_rank(a), hermitian=False)
        db = mH(inverse) @ g_x
        da = _pinv_formula(g_x @ mH(b), a, inverse) if needs[0] else None
    if g_rest is not None and 0 not in shape_of(g_rest):
        pull = (b - a @ x) * (g_rest[..., None, :] * 2)
        db = pull if db is None else db + pull
        da = -pull @ mH(x) if da is None else da - pull @ mH(x)
    return [da if needs[0] else None, db]


def _full_rank(a: Any) -> Any:
    dtype = a._array.dtype if isinstance(a, TensorBase) else a.dtype
    least = np.finfo(dtype).eps * max(shape_of(a)[-2:])
    return lambda sizes: least * sizes.max(-1, keepdims=True, initial=0)


_lstsq_op = Op("linalg_lstsq", _lstsq, joint=_lstsq_formula, inputs="a b", outputs="x residuals rank sizes")


@full_precision
def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None, out: Any = None) -> Any:  # noqa: N803
    """The shortest X of those with the least |A X - B|, by singular values.

    Args:
        rcond: singular values up to rcond times the largest count as zero; eps * max(m, n) by default.
        driver: which results there are: 'gelsy' (the default) gives the rank, 'gelsd' and 'gelss' also singular_values, 'gels'
            insists on full rank. The others are empty tensors.
    Shape: A (*, m, n), B (*, m, k) or vectors (*, m) -> solution (*, n, k) or (*, n); residuals (*, k), the sums of squares, if
        m > n, all ranks are full and the driver is not 'gelsy'; rank (*) int64; singular_values (*, min(m, n)).
    Raises:
        RuntimeError: for shapes that do not fit, two dtypes, or another driver. LinAlgError: from 'gels' without full rank.
    Derivative: dB = A^+H g; for A, that of the pseudo-inverse with g B^H.
    Source: Golub and Pereyra 1973, doi:10.1137/0710036
    """
    name = "torch.linalg.lstsq"
    require_tensor(name, A)
    require_tensor(name, B, "B", 2)
    a_shape, b_shape = A._array.shape, B._array.shape
    if len(a_shape) < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if not b_shape:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    if A._array.dtype != B._array.dtype:
        raise RuntimeError(f"{name}: Expected input and other to have the same dtype, but got input's dtype {dtypes.legacy_name(A.dtype)} and "
                           f"other's dtype {dtypes.legacy_name(B.dtype)}")
    check_matrix(name, A)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver!r}")
    vectors = len(b_shape) == 1 or (len(b_shape) == len(a_shape) - 1 and b_shape == a_shape[:-1])
    b = B.unsqueeze(-1) if vectors else B
    if a_shape[-2] != b._array.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size({-1 if vectors else -2}): {list(a_shape)} and {list(b_shape)}")
    try:
        np.broadcast_shapes(a_shape[:-2], b._array.shape[:-2])
    except ValueError:
        raise RuntimeError(f"{name}: the batches {list(a_shape[:-2])} and {list(b._array.shape[:-2])} do not broadcast") from None
    least = float(np.finfo(A._array.dtype).eps * max(a_shape[-2:])) if rcond is None else float(rcond)
    x, residuals, rank, sizes = apply(_lstsq_op, (A, b), {"rcond": least, "driver": driver or "gelsy"})
    return named(return_types.linalg_lstsq, (x.squeeze(-1) if vectors else x, residuals, rank, sizes.detach()), out)


# ---- reflections --------------------------------------------------------------------------------------------------------------


def _geqrf(x: Any) -> tuple[Any, Any]:
    packed, tau = np.linalg.qr(x, mode="raw")
    return np.ascontiguousarray(packed.mT), tau


_geqrf_op = Op("geqrf", _geqrf, None, outputs="a tau")


@full_precision
def geqrf(input: Any, *, out: Any = None) -> Any:  # noqa: A002 - torch's name
    """QR as LAPACK packs it: R above, and below it the vectors v of the reflections 1 - tau v v^H whose product is Q. No derivative.

    Shape: (*, m, n) -> a (*, m, n), tau (*, min(m, n)).
    """
    require_tensor("geqrf", input)
    if input._array.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    if input._array.dtype.kind in "biu":
        raise NotImplementedError(f"\"geqrf_cpu\" not implemented for '{dtypes.legacy_name(input.dtype)}'")
    return named(return_types.geqrf, apply(_geqrf_op, (input,)), out)


def _reflections(packed: Any, tau: Any) -> tuple[Any, Any]:
    """V and T with the product of the reflections H_1 ... H_k = 1 - V T V^H.

    The compact form of Schreiber and Van Loan 1989. T^-1 = diag(1 / tau) + triu(V^H V, 1), here without dividing by tau:
    T = (1 + diag(tau) triu(V^H V, 1))^-1 diag(tau) (Puglisi 1992), so that one triangular system replaces a loop over reflections.
    """
    k = tau._array.shape[-1]
    v = lower(packed[..., :, :k], -1)
    v = v + identity_for(v, v._array.shape[-2], k)
    between = upper(mH(v) @ v, 1) * tau.unsqueeze(-1)
    return v, triangular_op(between, diag_matrix(tau), up=True, unit=True)


@full_precision
def householder_product(A: Any, tau: Any, *, out: Any = None) -> Any:  # noqa: N803
    """The first n columns of the product of reflections 1 - tau_i v_i v_i^H, v_i below the diagonal of column i of A (1 on it).

    Shape: A (*, m, n), tau (*, k) with k <= n <= m -> (*, m, n). Derivative: that of Q = 1 - V T V^H, see Schreiber and Van Loan 1989.
    Raises:
        RuntimeError: for shapes that do not fit.
    """
    name = "torch.linalg.householder_product"
    require_tensor(name, A)
    require_tensor(name, tau, "tau", 2)
    if A._array.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    m, n = A._array.shape[-2:]
    if m < n:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if n < tau._array.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if A._array.ndim - tau._array.ndim != 1 or A._array.shape[:-2] != tau._array.shape[:-1]:
        raise RuntimeError(f"{name}: Expected tau to have one dimension less than input and its batch, but got tau.shape "
                           f"{list(tau._array.shape)} and input.shape {list(A._array.shape)}")
    if A._array.dtype != tau._array.dtype:
        raise RuntimeError(f"{name}: tau dtype {dtypes.legacy_name(tau.dtype)} does not match input dtype {dtypes.legacy_name(A.dtype)}")
    check_matrix(name, A)
    v, t = _reflections(A, tau)
    return single(identity_for(v, m, n) - v @ (t @ mH(v[..., :n, :])), out)


@full_precision
def orgqr(input: Any, input2: Any, *, out: Any = None) -> Any:  # noqa: A002
    """`householder_product` under LAPACK's name."""
    return householder_product(input, input2, out=out)


@full_precision
def ormqr(input: Any, tau: Any, other: Any, left: bool = True, transpose: bool = False, *, out: Any = None) -> Any:  # noqa: A002
    """Q @ other, or other @ Q if not `left`, for the square Q of `geqrf`; Q^H for Q if `transpose`.

    Shape: input (*, s, k), tau (*, k), other (*, m, n), s = m if left else n -> (*, m, n).
    Raises:
        RuntimeError: for shapes or dtypes that do not fit.
    """
    for x, what in ((input, "input"), (other, "other")):
        require_tensor("ormqr", x, what)
        if x._array.ndim < 2:
            raise RuntimeError(f"torch.ormqr: {what} must have at least 2 dimensions.")
    dim = -2 if left else -1
    if other._array.shape[dim] < tau._array.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{dim}] must be greater than or equal to tau.shape[-1]")
    if tau._array.shape[-1] != min(other._array.shape[dim], input._array.shape[-1]):
        raise RuntimeError(f"torch.ormqr: tau.shape[-1] must be equal to min(other.shape[{dim}], input.shape[-1])")
    if other._array.shape[dim] != input._array.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{dim}] must be equal to input.shape[-2]")
    if input._array.shape[:-2] != tau._array.shape[:-1] or input._array.shape[:-2] != other._array.shape[:-2]:
        raise RuntimeError("torch.ormqr: batch dimensions of tau and other to be equal to input.shape[:-2], but got "
                           f"{list(input._array.shape)}, {list(tau._array.shape)} and {list(other._array.shape)}")
    if not input._array.dtype == tau._array.dtype == other._array.dtype:
        raise RuntimeError("torch.ormqr: Expected input, tau and other to have the same dtype, but got "
                           f"{dtypes.legacy_name(input.dtype)}, {dtypes.legacy_name(tau.dtype)} and {dtypes.legacy_name(other.dtype)}")
    check_matrix("torch.ormqr", input)
    v, t = _reflections(input, tau)
    t = mH(t) if transpose else t
    y = other - v @ (t @ (mH(v) @ other)) if left else other - ((other @ v) @ t) @ mH(v)
    return single(y, out)


# ---- low rank -----------------------------------------------------------------------------------------------------------------


def _range_of(x: Any, q: int, niter: int) -> Any:
    """Orthonormal columns that nearly span the columns of x: Halko, Martinsson, Tropp 2009, algorithm 4.4, arXiv:0909.4061."""
    start = randn(x._array.shape[-1], q, dtype=x.dtype)
    basis = qr(x @ start)[0]
    for _ in range(niter):
        basis = qr(mH(x) @ basis)[0]
        basis = qr(x @ basis)[0]
    return basis


def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple[Any, Any, Any]:  # noqa: N803
    """U, S, V with A - M close to U diag(S) V^H, of rank q, by products with a random matrix.

    Args:
        q: slightly more than the rank. niter: how often to multiply by A A^H, which sharpens the answer.
        M: what to subtract from A, of A's shape (or with one row per matrix).
    Shape: (*, m, n) -> U (*, m, q), S (*, q), V (*, n, q).
    Source: Halko, Martinsson, Tropp 2009, algorithm 5.1, arXiv:0909.4061
    """
    require_tensor("svd_lowrank", A)
    m, n = A._array.shape[-2:]
    q = 6 if q is None else q
    niter = 2 if niter is None else niter
    x = A if M is None else A - M.expand(A._array.shape)
    if m < n:
        v, s, u = svd_lowrank(mH(x), q, niter)
        return u, s, v
    basis = _range_of(x, q, niter)
    u, s, vh = svd(mH(basis) @ x, full_matrices=False)
    return basis @ u, s, mH(vh)


def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Any, Any, Any]:  # noqa: N803
    """Principal components: `svd_lowrank` of A, from which the means of its columns are subtracted if `center`.

    Args:
        q: how many components; min(6, m, n) by default.
    Shape: (*, m, n) -> U (*, m, q), S (*, q), V (*, n, q); the components are the columns of V.
    Raises:
        ValueError: if q is negative or larger than min(m, n), or niter is negative.
    """
    require_tensor("pca_lowrank", A)
    m, n = A._array.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)
