"""What decompositions and solvers share: checks at the door, the conjugate transpose, diagonals, and their own error.

Inside, `mH(x)` is the conjugate transpose, `diag_of` the diagonal as a vector and `diag_matrix` a vector on a diagonal. All of
them take arrays and Tensors, so that formulas may use them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes, engine_state
from mytorch.autograd_engine import requires_grad
from mytorch.engine_state import get_mode
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, TensorBase, put_out, require_tensor
from mytorch.ops.complex_parts import conj
from mytorch.ops.extrema import put_outs
from mytorch.ops.shape import triangle_op
from mytorch.ops.sums import refused
from mytorch.ops.views import diagonal_op, paste_diagonal_op, shape_of

__mytorch__ = True


class LinAlgError(RuntimeError):
    """A matrix has no inverse, is not positive definite, or an iteration did not converge."""


# ---- what a formula needs, for arrays and for Tensors -------------------------------------------------------------------------


def mH(x: Any) -> Any:  # noqa: N802 - torch's name
    """The conjugate transpose of matrices."""
    return conj(x).mT


def diag_of(x: Any) -> Any:
    """The diagonals of matrices as vectors: (*, m, n) -> (*, min(m, n))."""
    ndim = len(shape_of(x))
    return diagonal_op(x, offset=0, dim1=ndim - 2, dim2=ndim - 1)


def diag_matrix(v: Any) -> Any:
    """Matrices with vectors on their diagonals: (*, n) -> (*, n, n)."""
    shape = shape_of(v)
    return paste_diagonal_op(v, shape=(*shape, shape[-1]), offset=0, dim1=len(shape) - 1, dim2=len(shape))


def lower(x: Any, diagonal: int = 0) -> Any:
    """The lower triangle."""
    return triangle_op(x, diagonal=diagonal, lower=True)


def upper(x: Any, diagonal: int = 0) -> Any:
    """The upper triangle."""
    return triangle_op(x, diagonal=diagonal, lower=False)


def constant_for(like: Any, array: Any) -> Any:
    """A constant array beside `like`: itself, or a Tensor where `like` is one."""
    array = np.asarray(array)
    return engine_state.wrap(array) if isinstance(like, TensorBase) else array


def identity_for(like: Any, n: int, columns: int | None = None) -> Any:
    """The identity matrix in the dtype of `like`."""
    dtype = like._array.dtype if isinstance(like, TensorBase) else like.dtype
    return constant_for(like, np.eye(n, columns, dtype=dtype))


def wants_derivative(x: Any) -> bool:
    """May the derivative at x be asked for, by backward or by a mode?"""
    return get_mode() is not None or requires_grad(x)


def plus(a: Any, b: Any) -> Any:
    """The sum of two gradients of which either may be missing."""
    if a is None:
        return b
    return a if b is None else a + b


def refuse_phase(function: str, what: str, part: Any) -> None:
    """RuntimeError if a loss depends on the phase of complex vectors, which no decomposition determines.

    Args:
        part: the imaginary part that is 0 for every loss that ignores the phase.
    """
    array = engine_state.as_array(part)
    if not np.allclose(array, 0, 1e-2, 1e-2):
        raise RuntimeError(f"{function}_backward: The {what} in the complex case are specified up to multiplication by e^{{i phi}}. "
                           "The specified loss function depends on this quantity, so it is ill-defined. Use only what is independent of "
                           "it, such as absolute values or products with the conjugate.")


# ---- checks at the door -------------------------------------------------------------------------------------------------------


def check_floating(name: str, x: Any) -> None:
    """RuntimeError for integers; for 16-bit floats, in which no decomposition is exact enough, torch's class of error."""
    kind = x._array.dtype
    if kind.kind in "biu":
        raise refused(f"{name}: Expected a floating point or complex tensor as input. Got ", x)
    if kind in (FLOAT16, BFLOAT16_NP):
        checked_first = name in ("linalg.inv", "linalg.slogdet", "linalg.lstsq")  # the others find it out in their kernels
        raise refused(f"{name}: Low precision dtypes not supported. Got ", x, RuntimeError if checked_first else NotImplementedError)


def check_matrix(name: str, x: Any, argument: str = "A") -> None:
    """TypeError or RuntimeError unless x is a Tensor of matrices of floats."""
    require_tensor(name, x, argument, 1)
    if x._array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    check_floating(name, x)


def check_square(name: str, x: Any, argument: str = "A") -> None:
    """`check_matrix`, and RuntimeError unless the matrices are square."""
    check_matrix(name, x, argument)
    m, n = x._array.shape[-2:]
    if m != n:
        raise RuntimeError(f"{name}: {argument} must be batches of square matrices, but they are {m} by {n} matrices")


def check_same_dtype(name: str, a: Any, b: Any, names: str = "A B") -> None:
    """RuntimeError unless both have one dtype."""
    first, second = names.split()
    if a._array.dtype != b._array.dtype:
        given = [dtypes.legacy_name(x.dtype) for x in (a, b)]
        raise RuntimeError(f"{name}: Expected {first} and {second} to have the same dtype, but found {first} of type {given[0]} "
                           f"and {second} of type {given[1]} instead")


def refuse_info(info: Any, name: str, text: str, kind: type[Exception] = LinAlgError) -> None:
    """Raise `kind` if a matrix of the batch failed; `{}` in the text is where, counted from 1."""
    while hasattr(info, "whole"):  # inside vmap: all examples together
        info = info.whole
    bad = np.flatnonzero(info)
    if bad.size:
        where = f"(Batch element {bad[0]}): " if info.ndim else ""
        raise kind(f"{name}: {where}{text.format(int(info.reshape(-1)[bad[0]]))}")


def named(kind: Any, y: Any, out: Any = None) -> Any:
    """Results under their names, written into the tensors of `out=` where those are given."""
    return kind(y) if out is None else put_outs(kind(y), out)


def single(y: Any, out: Any) -> Any:
    """A result, written into `out=` where that is given."""
    return y if out is None else put_out(y, out)
