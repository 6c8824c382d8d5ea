"""What NumPy shows of LAPACK ends before LU with its pivots, LDL and triangular systems. Here they are, over whole batches.

A system of equations becomes a product of simple matrices once, and is then solved for many right sides by substitution. The
loops run over columns or rows of one block; between blocks it is matrix products that do the work (Golub and Van Loan, Matrix
Computations, 4th ed., sections 3.1, 3.2 and 4.4).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.backends import kernel
from mytorch.ops.common import Op
from mytorch.ops.joining import cat_op
from mytorch.ops.matrices import lower, mH, upper

__mytorch__ = True

_BLOCK = 32  # columns at a time; what lies beyond them is updated by one product


# ---- triangular systems -------------------------------------------------------------------------------------------------------


def _forward_substitution(a: Any, b: Any, unit: bool) -> Any:
    """x with a x = b for lower triangular a: halves until a block is small, then row after row."""
    n = a.shape[-1]
    if n > _BLOCK:
        half = n // 2
        top = _forward_substitution(a[..., :half, :half], b[..., :half, :], unit)
        rest = b[..., half:, :] - a[..., half:, :half] @ top
        return np.concatenate([top, _forward_substitution(a[..., half:, half:], rest, unit)], axis=-2)
    x = b.copy()
    for i in range(n):
        if i:
            x[..., i, :] -= (a[..., i:i + 1, :i] @ x[..., :i, :])[..., 0, :]
        if not unit:
            x[..., i, :] /= a[..., i, i, None]
    return x


@kernel
def triangular_system(a: Any, b: Any, *, up: bool, unit: bool) -> Any:
    """x with a x = b, where only one triangle of a is read: the upper one if `up`; ones for its diagonal if `unit`."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    b = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    if up:  # the last equation first: read backwards, an upper triangle is a lower one
        return _forward_substitution(a[..., ::-1, ::-1], b[..., ::-1, :], unit)[..., ::-1, :].copy()
    return _forward_substitution(a, b, unit)


def _triangle_part(x: Any, up: bool, unit: bool) -> Any:
    return upper(x, int(unit)) if up else lower(x, -int(unit))


# a x = b: db = a^-H g, da = -db x^H within the triangle
triangular_op: Op = Op("linalg_solve_triangular", triangular_system,
                       lambda g, a, y, up, unit: _triangle_part(-triangular_op(mH(a), g, up=not up, unit=unit) @ mH(y), up, unit),
                       lambda g, a, up, unit: triangular_op(mH(a), g, up=not up, unit=unit), holomorphic=False)


# ---- LU with partial pivoting -------------------------------------------------------------------------------------------------


def _size(x: Any) -> Any:
    """How LAPACK measures a pivot: |re| + |im|."""
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


@kernel
def lu_with_pivots(a: Any) -> tuple[Any, Any, Any]:
    """(L below the diagonal and U above, rows exchanged at each step, first zero pivot), counted from 1; 0 if no pivot is zero."""
    batch, (m, n) = a.shape[:-2], a.shape[-2:]
    k = min(m, n)
    x = np.array(a.reshape(math.prod(batch), m, n))
    pivots = np.empty((len(x), k), np.int32)
    info = np.zeros(len(x), np.int32)
    every = np.arange(len(x))
    for start in range(0, k, _BLOCK):
        stop = min(start + _BLOCK, k)
        for j in range(start, stop):
            rows = j + np.argmax(_size(x[:, j:, j]), axis=1) if len(x) else every
            pivots[:, j] = rows + 1
            x[every, j], x[every, rows] = x[every, rows], x[every, j]
            pivot = x[:, j, j]
            info[(pivot == 0) & (info == 0)] = j + 1
            x[:, j + 1:, j] /= np.where(pivot == 0, np.ones((), x.dtype), pivot)[:, None]
            x[:, j + 1:, j + 1:stop] -= x[:, j + 1:, j, None] * x[:, j, None, j + 1:stop]
        if stop < n:
            x[:, start:stop, stop:] = _forward_substitution(x[:, start:stop, start:stop], x[:, start:stop, stop:], True)
            x[:, stop:, stop:] -= x[:, stop:, start:stop] @ x[:, start:stop, stop:]
    return x.reshape(a.shape), pivots.reshape(*batch, k), info.reshape(batch)


def permutation_of(pivots: Any, rows: int) -> Any:
    """The row that the exchanges bring to each place: (*, k) -> (*, rows), so that a[order] = L U."""
    batch = pivots.shape[:-1]
    flat = pivots.reshape(math.prod(batch), pivots.shape[-1])
    order = np.tile(np.arange(rows), (len(flat), 1))
    every = np.arange(len(flat))
    for j in range(flat.shape[1]):
        other = flat[:, j] - 1
        order[every, j], order[every, other] = order[every, other], order[every, j]
    return order.reshape(*batch, rows)


def permutation_matrix(pivots: Any, *, rows: int, dtype: Any) -> Any:
    """P of A = P L U as a matrix."""
    return np.eye(rows, dtype=dtype)[permutation_of(pivots, rows)].mT


permutation_op = Op("lu_permutation", permutation_matrix, None)


def _lu_formula(g: Any, LU: Any, pivots: Any) -> Any:  # noqa: N803 - torch's names
    # A = P L U: dA = P L^-H (tril(L^H gL, -1) + triu(gU U^H)) U^-H where A is square. Further columns of U or rows of L are
    # products of the square part, and send their share there.
    gLU = g[0]
    m, n = LU.shape[-2:]
    k = min(m, n)
    square = LU[..., :k, :k]
    inner_l = mH(lower(square, -1)) @ lower(gLU[..., :k, :k], -1) + lower(gLU[..., :k, :k], -1)
    inner_u = upper(gLU[..., :k, :k]) @ mH(upper(square))
    if n > k:
        inner_l = inner_l - gLU[..., :, k:] @ mH(LU[..., :, k:])
    if m > k:
        inner_u = inner_u - mH(LU[..., k:, :]) @ gLU[..., k:, :]
    inner = lower(inner_l, -1) + upper(inner_u)
    up = mH(square)
    d = triangular_op(up, inner, up=True, unit=True)
    d = _divided_by_upper(d, square)
    if n > k:
        d = cat_op(d, triangular_op(up, gLU[..., :, k:], up=True, unit=True), dim=d.ndim - 1)
    if m > k:
        d = cat_op(d, _divided_by_upper(gLU[..., k:, :], square), dim=d.ndim - 2)
    return permutation_op(pivots, rows=m, dtype=_dtype(d)) @ d


def _divided_by_upper(x: Any, u: Any) -> Any:
    """x U^-H."""
    return mH(triangular_op(u, mH(x), up=True, unit=False))


def _dtype(x: Any) -> Any:
    return x.dtype if isinstance(x, np.ndarray) else x._array.dtype


lu_op = Op("linalg_lu_factor_ex", lu_with_pivots, _lu_formula, outputs="LU pivots info")


# ---- LDL: symmetric matrices that need not be positive ------------------------------------------------------------------------

_GROWTH = (1 + math.sqrt(17)) / 8  # the bound of Bunch and Kaufman 1977 on how small a pivot may be


def ldl_with_pivots(a: Any, *, hermitian: bool) -> tuple[Any, Any, Any]:
    """The factors of A = L D L^T (or L D L^H) of the lower triangle, as LAPACK packs them, with pivots and the first zero pivot.

    A positive pivot says with which row a step exchanged its own; a pair of equal negative ones marks a 2 by 2 block of D.
    Source: Bunch, Kaufman 1977, algorithm A, doi:10.1090/S0025-5718-1977-0428694-0
    """
    batch, n = a.shape[:-2], a.shape[-1]
    x = np.array(a.reshape(math.prod(batch), n, n))
    pivots = np.zeros((len(x), n), np.int32)
    info = np.zeros(len(x), np.int32)
    for i, matrix in enumerate(x):
        info[i] = _ldl_of_one(matrix, pivots[i], hermitian and x.dtype.kind == "c")
    return np.tril(x).reshape(a.shape), pivots.reshape(*batch, n), info.reshape(batch)


def _ldl_of_one(a: Any, pivots: Any, hermitian: bool) -> int:
    """Factor one matrix in its own memory."""
    n, k, info = len(a), 0, 0
    while k < n:
        if hermitian:
            a[k, k] = a[k, k].real
        row, wide = _ldl_pivot(a, k)
        if row < 0:
            info = info or k + 1
            pivots[k] = k + 1
            k += 1
            continue
        last = k + wide - 1
        if row != last:
            _exchange(a, k, last, row, hermitian)
        below = a[k + wide:, k:k + wide]
        block = np.tril(a[k:k + wide, k:k + wide])
        block += (np.tril(block, -1).conj() if hermitian else np.tril(block, -1)).T
        scaled = below @ np.linalg.inv(block)
        update = scaled @ (below.conj() if hermitian else below).T
        a[k + wide:, k + wide:] -= np.tril(update)
        below[...] = scaled
        pivots[k:last + 1] = row + 1 if wide == 1 else -(row + 1)
        k += wide
    return info


def _ldl_pivot(a: Any, k: int) -> tuple[int, int]:
    """(row to bring to the front, size of the block); row -1 where the column is zero."""
    own = _size(a[k, k])
    column = _size(a[k + 1:, k])
    if not column.size:
        return (k, 1) if own > 0 else (-1, 1)
    largest = column.max()
    if max(own, largest) == 0:
        return -1, 1
    if own >= _GROWTH * largest:
        return k, 1
    row = k + 1 + int(np.argmax(column))
    others = max(_size(a[row, k:row]).max(), _size(a[row + 1:, row]).max(initial=0))
    if own * others >= _GROWTH * largest * largest:
        return k, 1
    if _size(a[row, row]) >= _GROWTH * others:
        return row, 1
    return row, 2


def _exchange(a: Any, k: int, i: int, j: int, hermitian: bool) -> None:
    """Exchange rows and columns i < j of the symmetric matrix whose lower triangle begins at k."""
    a[j + 1:, [i, j]] = a[j + 1:, [j, i]]
    middle = a[i + 1:j, i].copy()
    a[i + 1:j, i] = a[j, i + 1:j].conj() if hermitian else a[j, i + 1:j]
    a[j, i + 1:j] = middle.conj() if hermitian else middle
    if hermitian:
        a[j, i] = a[j, i].conj()
    a[i, i], a[j, j] = a[j, j], a[i, i]
    if i > k:
        a[[i, j], k] = a[[j, i], k]


def ldl_system(ld: Any, pivots: Any, b: Any, *, hermitian: bool) -> Any:
    """x with A x = b from the packed factors of `ldl_with_pivots`."""
    batch = np.broadcast_shapes(ld.shape[:-2], b.shape[:-2])
    n, columns = b.shape[-2:]
    count = math.prod(batch)
    factors = np.broadcast_to(ld, (*batch, n, n)).reshape(count, n, n)
    places = np.broadcast_to(pivots, (*batch, n)).reshape(count, n)
    x = np.array(np.broadcast_to(b, (*batch, n, columns)).reshape(count, n, columns))
    for i in range(count):
        _ldl_solve_one(factors[i], places[i], x[i], hermitian and ld.dtype.kind == "c")
    return x.reshape(*batch, n, columns)


def _ldl_solve_one(ld: Any, pivots: Any, x: Any, hermitian: bool) -> None:
    n = len(pivots)
    steps = []  # (first row, size of its block, row that was exchanged with the block's last)
    k = 0
    while k < n:
        wide = 1 if pivots[k] > 0 else 2
        steps.append((k, wide, abs(int(pivots[k])) - 1))
        k += wide
    for k, wide, row in steps:  # L and D
        last = k + wide - 1
        x[[last, row]] = x[[row, last]]
        x[k + wide:] -= ld[k + wide:, k:k + wide] @ x[k:k + wide]
        block = np.tril(ld[k:k + wide, k:k + wide])
        block += (np.tril(block, -1).conj() if hermitian else np.tril(block, -1)).T
        x[k:k + wide] = np.linalg.solve(block, x[k:k + wide]) if wide == 2 else x[k:k + wide] / block
    for k, wide, row in reversed(steps):  # the transpose of L
        last = k + wide - 1
        left = ld[k + wide:, k:k + wide]
        x[k:k + wide] -= (left.conj() if hermitian else left).T @ x[k + wide:]
        x[[last, row]] = x[[row, last]]


ldl_factor_op = Op("linalg_ldl_factor_ex", ldl_with_pivots, None, outputs="LD pivots info")
ldl_solve_op = Op("linalg_ldl_solve", ldl_system, None, None, None, inputs="LD pivots B")
