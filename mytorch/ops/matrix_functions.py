"""Functions of whole matrices: norms, condition, powers, the exponential, chains of products, covariance."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.grad_mode import by_example
from mytorch.ops.autocast import full_precision, lower_precision
from mytorch.ops.common import FLOAT64, Op, apply, apply_inplace, require_tensor, widened, wrap_dim
from mytorch.ops.complex_parts import complex_, conj
from mytorch.ops.decompositions import svdvals
from mytorch.ops.elementwise import clamp, copy_op, fill, mul, to_dtype, where
from mytorch.ops.extrema import amax, amin
from mytorch.ops.joining import cat, cat_op
from mytorch.ops.linalg import cross as cross_product
from mytorch.ops.linalg import mm
from mytorch.ops.matrices import check_same_dtype, check_square, identity_for, mH, single
from mytorch.ops.scan import cumprod
from mytorch.ops.solvers import inv, inv_ex, solve
from mytorch.ops.statistics import vector_norm
from mytorch.ops.sums import converted, refused
from mytorch.ops.views import diagonal as diagonal_view
from mytorch.ops.views import movedim, zeros_for

__mytorch__ = True


# ---- norms --------------------------------------------------------------------------------------------------------------------


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None,  # noqa: A002, N803
                out: Any = None) -> Any:
    """A norm of matrices: 'fro' (root of the sum of squares), 'nuc' (sum of singular values), 2 and -2 (largest and smallest singular
    value), 1 and -1 (largest and smallest sum of a column's sizes), inf and -inf (of a row's).

    Args:
        dim: the dimensions of rows and columns.
        dtype: convert to it first.
    Shape: (*, m, n) -> (*), with two sizes of 1 if keepdim; the result is real.
    Raises:
        RuntimeError: for another ord, fewer than 2 dimensions, integers; 16-bit floats where singular values are needed.
    Derivative: that of vector_norm, of svdvals or of the sums; shared among ties.
    """
    name = "linalg.matrix_norm"
    require_tensor(name, A)
    if not isinstance(dim, (tuple, list)):
        raise TypeError(f"linalg_matrix_norm(): argument 'dim' must be tuple of ints, not {type(dim).__name__}")
    if A._array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {' '.join(str(d) for d in dim)}")
    A = converted(A, dtype)  # noqa: N806
    if A._array.dtype.kind in "biu":
        raise refused(f"{name}: Expected a floating point or complex tensor as input. Got ", A)
    rows, columns = (wrap_dim(d, A._array.ndim) for d in dim)
    if rows == columns:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro" or (not A._array.size and (ord == "nuc" or ord in (1, 2, math.inf))):
        return vector_norm(A, 2, (rows, columns), keepdim, out=out)
    if ord in ("nuc", 2, -2):
        if A._array.dtype.itemsize < 4 or A._array.dtype.kind == "V":
            raise refused(f"{name}: Low precision dtypes not supported. Got ", A)
        sizes = svdvals(movedim(A, (rows, columns), (-2, -1)))
        y = sizes.sum(-1) if ord == "nuc" else amax(sizes, -1) if ord == 2 else amin(sizes, -1)
        if keepdim:
            for d in sorted((rows, columns)):
                y = y.unsqueeze(d)
        return single(y, out)
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(A, 1, first, True)
    y = amax(sums, second, keepdim=True) if ord > 0 else amin(sums, second, keepdim=True)
    return single(y if keepdim else y.squeeze((rows, columns)), out)


def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None, dtype: Any = None) -> Any:  # noqa: A002, N803
    """`vector_norm` or `matrix_norm`, whichever fits the number of dimensions.

    Args:
        ord: None is the 2-norm of all elements, or over `dim`.
        dim: one dimension, for vectors, or two, for matrices; without it, and with an ord, A must be 1-d or 2-d.
    """
    require_tensor("linalg.norm", A)
    dims = (dim,) if isinstance(dim, (int, np.integer)) else dim
    if dims is not None and len(dims) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
    if isinstance(ord, str):
        return matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype, out=out)
    if dims is None and ord is not None and A._array.ndim not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A._array.ndim}D.")
    if ord is not None and (len(dims) == 2 if dims is not None else A._array.ndim == 2):
        return matrix_norm(A, ord, (0, 1) if dims is None else dims, keepdim, dtype=dtype, out=out)
    return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype, out=out)


@full_precision
def cond(A: Any, p: Any = None, *, out: Any = None) -> Any:  # noqa: N803
    """How much solving with A magnifies errors: norm(A) * norm(A^-1), which for p = None or 2 is the ratio of singular values.

    Args:
        p: None, 2, -2, or for square matrices 'fro', 'nuc', 1, -1, inf, -inf. A singular matrix has inf.
    Shape: (*, m, n) -> (*).
    """
    require_tensor("linalg.cond", A)
    if A._array.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p is None or p in (2, -2):
        sizes = svdvals(A)
        if not sizes._array.shape[-1]:
            return single(sizes.sum(-1), out)
        largest, smallest = sizes[..., 0], sizes[..., -1]
        return single(smallest / largest if p == -2 else largest / smallest, out)
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    check_square(f"linalg.cond(ord={p})", A)
    if not A._array.size:
        return single(A.real.sum((-2, -1)), out)
    inverse, info = inv_ex(A)
    if p == "nuc":  # singular values of inf and NaN do not exist
        inverse = where((info != 0)[..., None, None], 0.0, inverse)
    return single(where(info != 0, math.inf, matrix_norm(A, p) * matrix_norm(inverse, p)), out)


# ---- powers and products ------------------------------------------------------------------------------------------------------


def matrix_power(A: Any, n: int, *, out: Any = None) -> Any:  # noqa: N803
    """A multiplied n times with itself, by repeated squaring; of the inverse for a negative n, the identity for 0.

    Shape: (*, m, m) -> (*, m, m).
    Raises:
        LinAlgError: for a singular A and a negative n. TypeError: if n is not an int.
    """
    name = "linalg.matrix_power"
    require_tensor(name, A)
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool):
        raise TypeError(f"linalg_matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}")
    if A._array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if A._array.shape[-1] != A._array.shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {A._array.shape[-2]} by {A._array.shape[-1]} matrices")
    if n == 0:
        return single(fill(A, 0) + identity_for(A, A._array.shape[-1]), out)
    power, n = (inv(A), -n) if n < 0 else (A, n)
    y = None
    while True:
        if n & 1:
            y = power if y is None else y @ power
        n >>= 1
        if not n:
            return single(y.clone() if y is A else y, out)
        power = power @ power


# The numerator of the Pade approximant of order 13 of e^x; the denominator is the same in -x.
_PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0, 10559470521600.0,
         670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0)
_REACH = 5.371920351148152  # the 1-norm up to which it is exact to rounding in float64


def _matrix_exp(x: Any) -> Any:
    wide = widened(x).astype(np.complex128 if x.dtype.kind == "c" else FLOAT64)
    if not wide.size:
        return x.copy()
    size = np.abs(wide).sum(-2).max(-1)
    halvings = np.maximum(np.ceil(np.log2(np.maximum(np.where(np.isfinite(size), size, 0), 1e-300) / _REACH)), 0).astype(int)
    a = wide / np.exp2(halvings)[..., None, None]
    eye = np.eye(x.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    b = _PADE
    odd = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    y = np.linalg.solve(even - odd, even + odd)
    for i in range(int(halvings.max(initial=0))):
        y = np.where((halvings > i)[..., None, None], y @ y, y)
    return np.asarray(y).astype(x.dtype) if x.dtype.kind != "V" else _as_half(y, x.dtype)


def _as_half(y: Any, dtype: Any) -> Any:
    return dtypes.cast(y.astype(np.float32), dtype)


def _matrix_exp_formula(g: Any, x: Any) -> Any:
    # exp([[A, E], [0, A]]) has the derivative in direction E as its upper right block; the adjoint goes with A^H
    n = x.shape[-1]
    a, dim = mH(x), len(x.shape) - 1
    block = cat_op(cat_op(a, g, dim=dim), cat_op(a * 0, a, dim=dim), dim=dim - 1)
    return matrix_exp_op(block)[..., :n, n:]


matrix_exp_op: Op = Op("linalg_matrix_exp", _matrix_exp, _matrix_exp_formula, holomorphic=False)


def matrix_exp(A: Any) -> Any:  # noqa: N803
    """The exponential 1 + A + A^2 / 2 + ... of square matrices: (*, n, n) -> (*, n, n).

    Computed by halving A until a quotient of polynomials is exact, and squaring the result as often.
    Derivative: the upper right block of exp([[A^H, g], [0, A^H]]).
    Source: Higham 2005, algorithm 2.3, doi:10.1137/04061101X; Najfeld and Havel 1995 for the derivative.
    """
    name = "linalg.matrix_exp"
    require_tensor(name, A)
    if A._array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if A._array.dtype.kind in "biu":
        raise refused(f"{name}: Expected a floating point or complex tensor as input. Got ", A)
    m, n = A._array.shape[-2:]
    if m != n:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {m} by {n} matrices")
    return apply(matrix_exp_op, (A,))


def multi_dot(tensors: Any, *, out: Any = None) -> Any:
    """The product of matrices in the order of multiplications that costs least; the first and the last may be vectors.

    Raises:
        RuntimeError: for fewer than two tensors, or shapes or dtypes that do not fit.
    Source: Cormen et al., Introduction to Algorithms, section 15.2.
    """
    xs = list(tensors)
    if len(xs) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(xs)}")
    for i, x in enumerate(xs):
        require_tensor("multi_dot", x, "tensors", 1)
        if i in (0, len(xs) - 1):
            if x._array.ndim not in (1, 2):
                raise RuntimeError(f"multi_dot(): the {'last' if i else 'first'} tensor must be 1D or 2D but got {x._array.ndim}D")
        elif x._array.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x._array.ndim}D")
        if x._array.dtype != xs[0]._array.dtype:
            raise RuntimeError(f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {xs[0].dtype} and tensor {i} {x.dtype}")
    matrices = list(xs)
    if xs[0]._array.ndim == 1:
        matrices[0] = xs[0].unsqueeze(0)
    if xs[-1]._array.ndim == 1:
        matrices[-1] = xs[-1].unsqueeze(-1)
    for i, (a, b) in enumerate(pairwise(matrices)):
        if a._array.shape[1] != b._array.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {list(xs[i]._array.shape)} and {list(xs[i + 1]._array.shape)} "
                               "cannot be multiplied")
    y = _product(matrices, _cheapest_cuts([matrices[0]._array.shape[0], *[x._array.shape[1] for x in matrices]]), 0, len(matrices) - 1)
    if xs[0]._array.ndim == 1:
        y = y.squeeze(0)
    return single(y.squeeze(-1) if xs[-1]._array.ndim == 1 else y, out)


def _cheapest_cuts(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each run of matrices i..j, matrix i being sizes[i] by sizes[i + 1], so that the products cost least."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cuts = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            found = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            cuts[i, j] = min(found, key=found.__getitem__)
            cost[i, j] = found[cuts[i, j]]
    return cuts


def _product(matrices: list[Any], cuts: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return matrices[i]
    return mm(_product(matrices, cuts, i, cuts[i, j]), _product(matrices, cuts, cuts[i, j] + 1, j))


@lower_precision
def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The sum of conj(x) * y along a dimension; the others broadcast."""
    require_tensor("linalg_vecdot", x, "x", 1)
    require_tensor("linalg_vecdot", y, "y", 2)
    if x._array.dtype.kind in "biu":
        raise refused("linalg.vecdot: Expected a floating point or complex tensor as input. Got ", x)
    check_same_dtype("linalg.vecdot", x, y, "x y")
    if x._array.ndim == y._array.ndim == 1 and x._array.size != y._array.size:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{x._array.size}] and src [{y._array.size}] to have the same number of "
                           f"elements, but got {x._array.size} and {y._array.size} elements respectively")
    return single(mul(conj(x), y).sum(dim), out)


def cross(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:  # noqa: A002
    """The vector product of 3-vectors along a dimension; the others broadcast.

    Raises:
        RuntimeError: if the numbers of dimensions differ, or `dim` has not the size 3.
    """
    require_tensor("linalg.cross", input)
    require_tensor("linalg.cross", other, "other", 2)
    if input._array.ndim != other._array.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if input._array.dtype != other._array.dtype:
        raise RuntimeError(f"expected scalar type {dtypes.legacy_name(input.dtype)} but found {dtypes.legacy_name(other.dtype)}")
    d = wrap_dim(dim, input._array.ndim)
    m, n = input._array.shape[d], other._array.shape[d]
    if (m, n) != (3, 3):
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {m} and {n}")
    return cross_product(input, other, d, out=out)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:  # noqa: N803
    """A view of the diagonals of matrices, as the last dimension."""
    return diagonal_view(A, offset, dim1, dim2)


def vander(x: Any, N: int | None = None) -> Any:  # noqa: N803
    """The powers 0 to N - 1 of the elements: (*, n) -> (*, n, N); N is n by default.

    Raises:
        RuntimeError: for N < 1, or a 0-d x without N.
    """
    require_tensor("linalg.vander", x, "x", 1)
    count = (x._array.shape[-1] if x._array.ndim else 0) if N is None else N
    if count < 1:
        raise RuntimeError("N must be greater than 1.")
    x = (x if x._array.ndim else x.unsqueeze(0)).unsqueeze(-1)
    ones = zeros_for(x, x._array.shape) + 1
    return cumprod(cat([ones, x.expand(*x._array.shape[:-1], count - 1)], -1), -1)


# ---- tensors as matrices ------------------------------------------------------------------------------------------------------


@full_precision
def tensorinv(A: Any, ind: int = 2, *, out: Any = None) -> Any:  # noqa: N803
    """The inverse for tensordot: the first `ind` dimensions are the rows, the others the columns, and both count the same.

    Shape: (r..., c...) -> (c..., r...).
    Raises:
        RuntimeError: for an ind below 1, or unequal products of sizes. LinAlgError: for a singular A.
    """
    require_tensor("linalg.tensorinv", A)
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    rows, columns = A._array.shape[:ind], A._array.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
                           f"{math.prod(columns)} != {math.prod(rows)}")
    return single(inv(A.reshape(math.prod(rows), math.prod(columns))).reshape(*columns, *rows), out)


@full_precision
def tensorsolve(A: Any, B: Any, dims: Any = None, *, out: Any = None) -> Any:  # noqa: N803
    """X with tensordot(A, X, X.ndim) = B.

    Args:
        dims: dimensions of A to move to its end first.
    Shape: A (b..., x...), B (b...) -> (x...).
    Raises:
        RuntimeError: if the products of sizes differ. LinAlgError: for a singular A.
    """
    require_tensor("linalg.tensorsolve", A)
    require_tensor("linalg.tensorsolve", B, "B", 2)
    if dims is not None:
        moved = list(dims)
        A = movedim(A, moved, list(range(A._array.ndim - len(moved), A._array.ndim)))  # noqa: N806
    unknown = A._array.shape[B._array.ndim:]
    count = math.prod(unknown)
    if A._array.size != count * count or B._array.size != count:
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
                           f"{count} != {math.prod(A._array.shape[:B._array.ndim])}")
    return single(solve(A.reshape(count, count), B.reshape(-1)).reshape(unknown), out)


# ---- statistics of rows -------------------------------------------------------------------------------------------------------


def _weights(name: str, given: Any, count: int, kinds: str, what: str) -> None:
    require_tensor("cov", given, name)
    if given._array.ndim > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {given._array.ndim} dimensions")
    if given._array.dtype.kind not in kinds:
        raise RuntimeError(f"cov(): expected {name} to have {what} dtype but got {name} with {dtypes.legacy_name(given.dtype)} dtype")
    if given._array.size != count:
        raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations in the input but got "
                           f"{given._array.size} != {count}")
    if given._array.size and given._array.min() < 0:
        raise RuntimeError(f"cov(): {name} cannot be negative")


@by_example
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:  # noqa: A002
    """The covariances of variables, which are the rows: sum (x_i - mean_i) conj(x_j - mean_j) / (n - correction).

    Args:
        fweights: how often each observation (column) was made, integers. aweights: how much each counts.
    Shape: (v, n) -> (v, v); (n) -> ().
    Raises:
        RuntimeError: for more than 2 dimensions, bools, or weights of another size, dtype or sign.
    """
    require_tensor("cov", input)
    if input._array.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input._array.ndim} dimensions")
    if input._array.dtype.kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input if input._array.ndim == 2 else input.reshape(1, -1)
    count = x._array.shape[1]
    weight = None
    if fweights is not None:
        _weights("fweights", fweights, count, "iu", "integral")
        weight = fweights
    if aweights is not None:
        _weights("aweights", aweights, count, "fV", "floating point")
        weight = aweights if weight is None else weight * aweights
    total: Any = count if weight is None else weight.sum()
    if weight is not None and (count == 0 or float(total) == 0):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    mean = (x if weight is None else x * weight).sum(1, keepdim=True) / total
    left = total - correction
    if aweights is not None and correction != 0:
        left = total - correction * (weight * aweights).sum() / total
    if float(left) <= 0:
        import warnings
        warnings.warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.", UserWarning,
                      stacklevel=2)
        left = left * 0 + 0  # not the -0.0 of a negative number
    x = x - mean
    return (x @ mH(x if weight is None else x * weight) / left).squeeze()


def corrcoef(input: Any) -> Any:  # noqa: A002
    """The correlations of variables, which are the rows: cov_ij / sqrt(cov_ii cov_jj), clipped to [-1, 1]. (v, n) -> (v, v)."""
    require_tensor("corrcoef", input)
    if input._array.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input._array.ndim} dimensions")
    c = cov(input)
    if c._array.ndim == 0:
        return c / c
    spread = diagonal_view(c).real.sqrt()
    c = c / spread.unsqueeze(-1) / spread.unsqueeze(0)
    if c.is_complex():
        return complex_(clamp(c.real, -1, 1), clamp(c.imag, -1, 1))
    return clamp(c, -1, 1)


def renorm(input: Any, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Any:  # noqa: A002
    """Every slice along `dim` shrunk to p-norm `maxnorm` where it is longer.

    Raises:
        RuntimeError: for fewer than 2 dimensions, a p that is not positive, or a negative maxnorm.
    """
    require_tensor("renorm", input)
    if isinstance(p, complex):
        raise RuntimeError("renorm: p must be real-valued")
    if not p > 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    ndim = input._array.ndim
    if ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {ndim} dimensions")
    d = wrap_dim(dim, ndim)
    size = vector_norm(input, p, tuple(i for i in range(ndim) if i != d), True)
    factor = where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
    return single(mul(input, apply(to_dtype, (factor,), {"dtype": size._array.dtype})), out)


def renorm_(self: Any, p: float, dim: int, maxnorm: float) -> Any:
    """In-place `renorm`: writes into this tensor's memory and returns it."""
    return apply_inplace(copy_op, (self, renorm(self.clone(), p, dim, maxnorm)))
