"""What every pointwise operation is made with: `unary` and `binary` turn a function on arrays and its formulas into an operation.

A row `unary(name, function on arrays, formula per input)` is the whole operation. Formulas name what they need: `g` is the
gradient of the output, `x`, `a`, `b` inputs, `y` the output.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, engine_state, errors
from mytorch.backends import MANY, kernel, kernels
from mytorch.engine_state import get_mode
from mytorch.ops.common import FLOAT32, FLOAT64, NUMBERS, Op, TensorBase, apply, promoted, put_out, result_dtype
from mytorch.ops.views import shape_of, size_error, zeros_for

__mytorch__ = True

POINTWISE: set[Op] = set()  # every operation made here: its inputs broadcast, and each element of the output needs one of each

_OPERANDS = (ndarray, float, int)
_EXACT_OUT = frozenset({"abs", "neg", "ceil", "floor", "trunc", "frac", "sign", "sgn", "round", "hardshrink"})  # no cast into `out`


def seam(name: str, function: Any, operands: int) -> Any:
    """A ufunc as the kernel of its name, which returns an array; other functions as they are."""
    if not isinstance(function, np.ufunc):
        return function
    if operands == 1:
        return kernel(lambda x: function(x, out=...), name=name)
    return kernel(lambda a, b: function(a, b, out=...), name=name)


def _unary_kernel(name: str, function: Any, careful: Callable[..., Any], rule: str, least: int | None) -> Callable[..., Any]:
    override = getattr(seam(name, function, 1), "override", None)

    def run_carefully(x: Any) -> Any:
        if override is not None and type(x) is ndarray and x.dtype.kind == "V":
            y = override(x)
            if y is not NotImplemented:
                return y
        return promoted(careful, (x,), rule)

    if isinstance(function, np.ufunc):
        def run(x: Any) -> Any:
            try:
                if type(x) is ndarray and (x.dtype is FLOAT32 or x.dtype is FLOAT64):
                    if override is not None and x.size >= MANY:
                        y = override(x)
                        return function(x, out=...) if y is NotImplemented else y
                    return function(x, out=...)
                return run_carefully(x)
            except MemoryError as error:
                raise size_error(error, x) from None

        return run
    if not hasattr(function, "reference"):  # no kernel of the seam
        return lambda x: promoted(careful, (x,), rule)
    direct = function.reference

    def run_kernel(x: Any) -> Any:
        try:
            if type(x) is ndarray and (x.dtype is FLOAT32 or x.dtype is FLOAT64):
                if override is not None and x.size >= (MANY if least is None else least):
                    return function(x)
                return direct(x)
            return run_carefully(x)
        except MemoryError as error:
            raise size_error(error, x) from None

    return run_kernel


def _binary_kernel(name: str, function: Callable[..., Any], careful: Callable[..., Any], rule: str,
                   refuse: Callable[[Any, Any], None] | None) -> Callable[..., Any]:
    direct = isinstance(function, np.ufunc)
    override = None if not direct else seam(name, function, 2).override
    takes_bfloat16 = override is not None and careful is function

    def run_carefully(a: Any, b: Any) -> Any:
        if refuse is not None:
            refuse(a, b)
        if takes_bfloat16 and type(a) is ndarray and type(b) in _OPERANDS and (a.dtype.kind == "V" or (type(b) is ndarray and b.dtype.kind == "V")):
            y = override(a, b)  # type: ignore[misc]
            if y is not NotImplemented:
                return y
        return promoted(careful, (a, b), rule)

    if override is not None and careful is function:  # of two dtypes, or of 16 bits: after promotion the backend is asked too

        def careful(a: Any, b: Any) -> Any:
            y = override(a, b)
            return function(a, b) if y is NotImplemented else y

    def run(a: Any, b: Any) -> Any:
        try:
            if type(a) is ndarray and direct:
                kind = a.dtype
                if kind is FLOAT32 or kind is FLOAT64:
                    if type(b) is ndarray:
                        if b.dtype is kind:
                            if override is not None and a.size >= MANY:
                                y = override(a, b)
                                return function(a, b, out=...) if y is NotImplemented else y
                            return function(a, b, out=...)
                    elif type(b) is float or type(b) is int:
                        if override is not None and a.size >= MANY:
                            y = override(a, b)
                            return function(a, b, out=...) if y is NotImplemented else y
                        return function(a, b, out=...)
            elif direct and type(b) is ndarray and (type(a) is int or type(a) is float) and (b.dtype is FLOAT32 or b.dtype is FLOAT64):
                if override is not None and b.size >= MANY:
                    y = override(a, b)
                    return function(a, b, out=...) if y is NotImplemented else y
                return function(a, b, out=...)  # 1 - x
            return run_carefully(a, b)
        except (ValueError, MemoryError) as error:
            raise size_error(error, a, b) from None

    def into(a: Any, b: Any) -> Any:
        """The result written over a, where it is of a's shape and dtype; elsewhere a new array."""
        kind = a.dtype
        if kind is not FLOAT32 and kind is not FLOAT64:
            return run(a, b)
        if type(b) is ndarray:
            if b.dtype is not kind or b.shape != a.shape or (b is not a and np.may_share_memory(a, b)):
                return run(a, b)
        elif type(b) is not float and type(b) is not int:
            return run(a, b)
        if override is not None and a.size >= MANY:
            y = override(a, b, a)
            if y is not NotImplemented:
                return y
        return function(a, b, out=a)

    if direct:
        run.into = into  # type: ignore[attr-defined]
    return run


def times(g: Any, x: Any) -> Any:
    """g * x in a formula, by the kernel of `mul` if g is an array of many numbers."""
    return kernels["mul"](g, x) if type(g) is ndarray and g.size >= MANY else g * x


@kernel
def add_to(total: Any, x: Any) -> Any:
    """total + x, written over total: arrays of one shape."""
    return np.add(total, x, out=total)


def unary(name: str, function: Callable[..., Any], formula: Callable[..., Any] | None, doc: str, *, rule: str = "same",
          holomorphic: bool = True, careful: Callable[..., Any] | None = None, least: int | None = None) -> Any:
    """A pointwise function of one tensor, ready to be called on Tensors and, inside formulas, on arrays.

    Args:
        careful: what to run instead of `function` on anything but float32 and float64.
        least: elements from which a backend is asked, where that is not MANY since NumPy makes many passes.
    """
    op = Op(name, _unary_kernel(name, function, careful or function, rule, least), formula, inputs="x", holomorphic=holomorphic)
    run = op.kernel

    def call(input: Any, *, out: Any = None) -> Any:  # noqa: A002 - torch's name
        if isinstance(input, TensorBase):
            if input._edge is None is input._view and not input._requires_grad and out is None and get_mode() is None:
                return engine_state.wrap(op.kernel(input._array))  # as below, in `binary`
            y = apply(op, (input,))
            return y if out is None else put_out(y, out, name in _EXACT_OUT, (input,))
        if isinstance(input, (ndarray, np.generic)):
            return run(np.asarray(input))
        raise errors.type_error(name, "input", 1, "Tensor", input)

    return _named(call, name, op, doc)


def binary(name: str, function: Callable[..., Any], *formulas: Callable[..., Any] | None, doc: str, rule: str = "same",
           holomorphic: bool = True, numbers: str = "second", careful: Callable[..., Any] | None = None,
           refuse: Callable[[Any, Any], None] | None = None) -> Any:
    """A pointwise function of two tensors, with broadcasting and torch's promotion.

    Args:
        numbers: which operand may be a Python number: 'second', 'either' or 'none'.
        careful: what to run instead of `function` on anything but float32 and float64.
        refuse: raises for operands, of other dtypes than these two, that torch refuses.
    """
    op = Op(name, _binary_kernel(name, function, careful or function, rule, refuse), *formulas, inputs="a b", holomorphic=holomorphic)
    run = op.kernel
    second = frozenset() if numbers == "none" else NUMBERS

    def call(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002 - torch's name
        if isinstance(input, TensorBase):
            if isinstance(other, TensorBase):
                # what the door does with two constants and no mode, without the walk through it: a quarter of a small operation
                if (input._edge is None is other._edge and input._view is None is other._view and out is None
                        and not (input._requires_grad or other._requires_grad) and get_mode() is None):
                    return engine_state.wrap(op.kernel(input._array, other._array))
                y = apply(op, (input, other))
            elif type(other) in second:
                if input._edge is None is input._view and not input._requires_grad and out is None and get_mode() is None:
                    return engine_state.wrap(op.kernel(input._array, other))
                y = apply(op, (input, other))
            elif isinstance(other, (np.generic, int, float, complex)) and second:
                y = apply(op, (input, _plain(other)))
            else:
                return _refuse(name, other)
            return y if out is None else put_out(y, out, False, (input, other))
        if numbers == "either" and isinstance(other, TensorBase) and isinstance(input, (int, float, complex, np.generic)):
            y = apply(op, (input.item() if isinstance(input, np.generic) else input, other))
            return y if out is None else put_out(y, out)
        if isinstance(input, (ndarray, np.generic)):
            return run(np.asarray(input), other)
        raise errors.type_error(name, "input", 1, "Tensor", input)

    return _named(call, name, op, doc)


def _plain(number: Any) -> Any:
    """The Python number that a number of NumPy's, or of a class derived from int, float or complex, is."""
    if isinstance(number, np.generic):
        return number.item()
    kinds: tuple[Any, ...] = (int, float, complex)
    return next(kind(number) for kind in kinds if isinstance(number, kind))


def _refuse(name: str, other: Any) -> Any:
    if isinstance(other, (np.generic, ndarray)) or type(other) in _NO_OPERANDS:
        raise errors.type_error(name, "other", 2, "Tensor", other)
    return NotImplemented  # a class of somebody's own may know what to do, one derived from tuple too


_NO_OPERANDS = frozenset({int, float, complex, bool, list, tuple, str, type(None), dict})


def _named(call: Any, name: str, op: Op, doc: str) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__module__ = sys._getframe(2).f_globals["__name__"]  # of the row: pickle finds the function there
    call.__doc__ = doc
    call.op = op
    POINTWISE.add(op)
    return call


def slope_of_input(name: str, formula: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The derivative formula(g, x), with arrays of many numbers as the kernel `name`, which a backend may compute in one pass."""
    on_arrays = kernel(formula, name=name)

    def gradient(g: Any, x: Any) -> Any:
        return on_arrays(g, x) if type(g) is ndarray and g.size >= MANY and type(x) is ndarray else formula(g, x)

    return gradient


def slope_of_output(name: str, formula: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same of a derivative formula(g, y)."""
    on_arrays = kernel(formula, name=name)

    def gradient(g: Any, y: Any) -> Any:
        return on_arrays(g, y) if type(g) is ndarray and g.size >= MANY and type(y) is ndarray else formula(g, y)

    return gradient


def refusing(kinds: str, function: Callable[..., Any], kernel_name: str, error: type[Exception] = NotImplementedError) -> Callable[..., Any]:
    """The function, with torch's refusal of dtypes whose NumPy kind is one of `kinds`.

    Args:
        kernel_name: of torch's kernel, which its message names; or the message itself.
    """
    def run(*operands: Any) -> Any:
        _refuse_kinds(kinds, operands[0].dtype, kernel_name, error)
        return function(*operands)
    return run


def refuses(kinds: str, kernel_name: str, error: type[Exception] = NotImplementedError) -> Callable[[Any, Any], None]:
    """The same refusal as a function of two operands before they are promoted."""
    return lambda a, b: _refuse_kinds(kinds, result_dtype(a, b).np, kernel_name, error)


def _refuse_kinds(kinds: str, given: Any, kernel_name: str, error: type[Exception]) -> None:
    if given.kind in kinds:
        legacy = dtypes.legacy_name(dtypes.from_numpy_dtype(given))
        raise error(kernel_name if " " in kernel_name else f'"{kernel_name}" not implemented for \'{legacy}\'')


def no_gradient(g: Any) -> Any:
    """The derivative of a step function: zeros, also where g is infinite."""
    return zeros_for(g, shape_of(g))


def is_complex_valued(x: Any) -> bool:
    """Is x an array, a Tensor or a number with imaginary parts?"""
    if isinstance(x, TensorBase):
        return bool(x._array.dtype.kind == "c")
    return bool(np.asarray(x).dtype.kind == "c")
