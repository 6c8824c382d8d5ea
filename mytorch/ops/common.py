"""What every family of operations needs: promotion at the door of a kernel, dimensions, `out=`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, errors
from mytorch.autograd_engine import Op, TensorBase, apply, requires_grad, state
from mytorch.dtypes import BFLOAT16_NP, COMPLEX, FLOATING, cast, combine_priorities, from_numpy_dtype, number_dtype, promote_types
from mytorch.inplace import apply_inplace, bump, refuse_overlap

__mytorch__ = True

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
FLOAT16 = np.dtype(np.float16)
NUMBERS = frozenset({int, float, bool, complex, np.float64})


def result_dtype(*operands: Any) -> dtypes.dtype:
    """torch's result type of arrays and Python numbers: dimensions before 0-d before numbers."""
    found: list[dtypes.dtype | None] = [None, None, None]
    for x in operands:
        if isinstance(x, (ndarray, np.generic)) and not isinstance(x, (float, complex)):
            priority, d = (0 if x.ndim else 1), from_numpy_dtype(x.dtype)
        else:
            priority, d = 2, number_dtype(x)
        before = found[priority]
        found[priority] = d if before is None else promote_types(before, d)
    return combine_priorities(*found)


def compute_dtype(d: dtypes.dtype) -> np.dtype[Any]:
    """The NumPy dtype to compute in: float32 for the 16-bit floats, which round once at the end."""
    return FLOAT32 if d is dtypes.float16 or d is dtypes.bfloat16 else d.np


def as_operand(x: Any, np_dtype: np.dtype[Any]) -> ndarray[Any, Any]:
    """An array of that dtype from an array or a number; integers wrap around as in torch."""
    if isinstance(x, ndarray):
        return x if x.dtype == np_dtype else cast(x, np_dtype)
    if np_dtype.kind in "iu" and isinstance(x, int):
        bits = np_dtype.itemsize * 8
        x &= (1 << bits) - 1
        return np.array(x, f"u{np_dtype.itemsize}").astype(np_dtype)
    return np.asarray(x).astype(np_dtype)


def promoted(function: Callable[..., Any], operands: Sequence[Any], rule: str = "same") -> Any:
    """Run a NumPy function of pointwise operands as torch would: promoted, in at least float32, rounded once.

    Args:
        rule: 'same' (result has the promoted dtype), 'float' (integers become the default float) or 'bool'.
    """
    wanted = result_dtype(*operands)
    if rule == "float" and wanted.category < FLOATING:
        wanted = dtypes.get_default_dtype()
    inner = compute_dtype(wanted)
    try:
        y = np.asarray(function(*[as_operand(x, inner) for x in operands]))
    except TypeError as error:
        if not str(error).startswith("ufunc '"):
            raise
        name = str(error).split("'")[1]
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.legacy_name(wanted)}'") from None
    if rule == "bool" or y.dtype == wanted.np or (wanted.category == COMPLEX and y.dtype.kind == "f"):
        return y
    return cast(y, wanted.np)


def widened(x: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """float32 values of a float16 or bfloat16 array; any other array as it is."""
    kind = x.dtype
    if kind is FLOAT32 or kind is FLOAT64:  # the usual answer first: comparing with a structured dtype takes as long as a small operation
        return x
    return cast(x, FLOAT32) if kind in (FLOAT16, BFLOAT16_NP) else x


def narrowed(y: Any, like: np.dtype[Any]) -> Any:
    """The end of what `widened` begins: rounded once to the dtype of the input."""
    if like is FLOAT32 or like is FLOAT64:
        return y
    return cast(np.asarray(y), like) if like in (FLOAT16, BFLOAT16_NP) else y


def floating(x: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """An integer or bool array as the default float; a floating array as it is."""
    return cast(x, dtypes.get_default_dtype().np) if x.dtype.kind in "biu" else x


def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front; IndexError if it is not there."""
    bound = ndim or 1
    if not -bound <= dim < bound:
        raise errors.dim_error(dim, ndim)
    return dim + bound if dim < 0 else dim


def wrap_dims(dims: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions counted from the front; None or () means all; RuntimeError for one given twice."""
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, (int, np.integer)):
        return (wrap_dim(int(dims), ndim),) if ndim else (wrap_dim(int(dims), ndim),)[:0]
    found = tuple(wrap_dim(int(d), ndim) for d in dims)
    if len(set(found)) != len(found):
        raise RuntimeError(f"dim {next(d for d in found if found.count(d) > 1)} appears multiple times in the list of dims")
    return found if found and ndim else tuple(range(ndim))


def require_tensor(function: str, x: Any, argument: str = "input", position: int = 1) -> None:
    """TypeError, worded as torch's, unless x is a Tensor."""
    if not isinstance(x, TensorBase):
        raise errors.type_error(function, argument, position, "Tensor", x)


def put_out(y: Any, out: Any, exact: bool = False, inputs: Sequence[Any] = (), warn: bool = True) -> Any:
    """Write a result into the `out=` tensor: resized if its shape differs, its dtype kept, no graph.

    Args:
        exact: refuse an `out` of another dtype than the result's.
        inputs: of a pointwise operation: `out` may be one of them, but not share a part of their memory.
        warn: if an `out` with elements is resized; what makes new tensors does so in silence.
    Raises:
        RuntimeError: if a gradient would be lost, or the result cannot be cast to out's dtype.
    """
    require_tensor("out", out, "out", 1)
    if state.mode is not None:
        state.mode.check_out(y)
    if state.grad_enabled and (requires_grad(y) or requires_grad(out)):
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    source = y._array
    target = from_numpy_dtype(out._array.dtype)
    given = from_numpy_dtype(source.dtype)
    if exact and given is not target:
        raise RuntimeError(f"Expected out tensor to have dtype {given.name}, but got {target.name} instead")
    refuse_overlap(out._array)
    if inputs:
        refuse_partial_overlap(out._array, inputs)
    if given.category > target.category:
        raise RuntimeError(f"result type {dtypes.legacy_name(given)} can't be cast to the desired output type {dtypes.legacy_name(target)}")
    if out._array.shape != source.shape:
        if warn:
            warn_resized(out, source.shape)
        out._array = np.empty(source.shape, target.np)
    np.copyto(out._array, source if given is target else cast(source, target.np))
    bump(out)
    return out


def refuse_partial_overlap(target: ndarray[Any, Any], inputs: Sequence[Any]) -> None:
    """RuntimeError if an array that is to be written shares memory with an input without being the same elements."""
    for x in inputs:
        if not isinstance(x, TensorBase) or not np.may_share_memory(target, x._array):
            continue
        a = x._array
        same = (target.shape, target.strides) == (a.shape, a.strides) and target.ctypes.data == a.ctypes.data
        if not same and np.shares_memory(target, a):
            raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
                               "location. Please clone() the tensor before performing the operation.")


def warn_resized(out: Any, shape: tuple[int, ...]) -> None:
    """torch's warning for an output that had elements, of another shape than the result's."""
    if out._array.size:
        import warnings
        warnings.warn(f"An output with one or more elements was resized since it had shape {list(out._array.shape)}, which does not match the "
                      f"required output shape {list(shape)}. This behavior is deprecated, and in a future PyTorch release outputs will not be "
                      "resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero "
                      "elements with t.resize_(0).", UserWarning, stacklevel=4)


def method_inplace(op: Op, name: str) -> Callable[..., Any]:
    """The in-place variant of an operation: `x.exp_()` for `exp`."""

    def of_one(self: Any) -> Any:
        return apply_inplace(op, (self,))

    def of_two(self: Any, other: Any) -> Any:
        return apply_inplace(op, (self, other))

    inplace: Callable[..., Any] = of_one if len(op.inputs) == 1 else of_two
    inplace.__name__, inplace.__qualname__, inplace.__module__ = name, f"Tensor.{name}", "mytorch.tensor"
    inplace.__doc__ = f"In-place `{name[:-1]}`: writes into this tensor's memory and returns it."
    return inplace


__all__ = ["BFLOAT16_NP", "FLOAT16", "FLOAT32", "FLOAT64", "NUMBERS", "Op", "TensorBase", "apply", "apply_inplace", "as_operand",
           "bump", "cast", "compute_dtype", "floating", "method_inplace", "narrowed", "promoted", "put_out", "require_tensor",
           "result_dtype", "widened", "wrap_dim", "wrap_dims"]
