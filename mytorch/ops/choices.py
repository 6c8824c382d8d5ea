"""Choosing between values: where, masks, maximum and minimum, clamp, lerp, nan_to_num."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.node_names import titled
from mytorch.ops.common import BFLOAT16_NP, FLOAT32, FLOAT64, Op, TensorBase, apply, promoted, put_out, require_tensor, result_dtype
from mytorch.ops.comparison import isfinite
from mytorch.ops.pointwise import binary, refuses, times
from mytorch.ops.views import size_error

__mytorch__ = True


_MANY = 4096  # from here on bit masks beat np.where, which stumbles over branches


@kernel
def kept(x: Any, mask: Any) -> Any:
    """x where the mask is True, else zero; also where x is infinite or NaN, which a product with the mask would not give."""
    if x.size > _MANY and x.shape == mask.shape and (x.dtype is FLOAT32 or x.dtype is FLOAT64) and x.flags.c_contiguous:
        bits = np.dtype(f"i{x.itemsize}")
        y = np.ascontiguousarray(mask).view(np.int8).astype(bits)
        np.negative(y, out=y)  # all bits set where True
        return np.bitwise_and(y, x.view(bits), out=y).view(x.dtype)
    if x.dtype == BFLOAT16_NP:  # zero is no bit set
        return np.multiply(x.view(np.uint16), mask, out=...).view(x.dtype)
    return np.where(mask, x, np.zeros((), x.dtype))


kept_op: Op = Op("masked_fill", kept, lambda g, mask: kept_op(g, mask), None, inputs="x mask")


def _larger_share(g: Any, a: Any, b: Any) -> Any:
    return kept_op(g, a > b) + kept_op(g * 0.5, a == b)


def _ordered(function: Any) -> Any:
    """The function, with torch's refusal of complex numbers, which have no order."""
    def run(a: Any, b: Any) -> Any:
        if a.dtype.kind == "c":
            raise RuntimeError(f"{function.__name__} not implemented for complex tensors.")
        return function(a, b)
    return run


maximum = binary("maximum", np.maximum, lambda g, a, b: _larger_share(g, a, b), lambda g, a, b: _larger_share(g, b, a), holomorphic=False,
                 numbers="none", careful=_ordered(np.maximum), doc="The larger of the two; NaN wins. Derivative: g to the larger, halved at ties.")
minimum = binary("minimum", np.minimum, lambda g, a, b: _larger_share(g, b, a), lambda g, a, b: _larger_share(g, a, b), holomorphic=False,
                 numbers="none", careful=_ordered(np.minimum), doc="The smaller of the two; NaN wins. Derivative: g to the smaller, halved at ties.")
fmax = binary("fmax", np.fmax, lambda g, a, b: kept_op(g, (a >= b) | (b != b)), lambda g, a, b: kept_op(g, ~((a >= b) | (b != b))), holomorphic=False,
              numbers="none", refuse=refuses("c", "fmax not implemented for complex tensors.", RuntimeError),
              doc="The larger of the two; a number wins over NaN. Derivative: g to the one chosen.")
fmin = binary("fmin", np.fmin, lambda g, a, b: kept_op(g, (a <= b) | (b != b)), lambda g, a, b: kept_op(g, ~((a <= b) | (b != b))), holomorphic=False,
              numbers="none", refuse=refuses("c", "fmin not implemented for complex tensors.", RuntimeError),
              doc="The smaller of the two; a number wins over NaN. Derivative: g to the one chosen.")


@kernel
def where_forward(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b."""
    try:
        if type(a) is ndarray and type(b) is ndarray and a.dtype == b.dtype:
            return np.where(condition, a, b)
        return promoted(lambda x, y: np.where(condition, x, y), (a, b))
    except ValueError as error:
        raise size_error(error, condition, a, b) from None


_where_op = Op("where", where_forward, None, lambda g, condition: kept_op(g, condition), lambda g, condition: kept_op(g, ~condition),
               inputs="condition a b")


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:  # noqa: A002
    """input where the condition holds, other elsewhere, with broadcasting; with the condition alone, `nonzero(as_tuple=True)`.

    Derivative: g where the condition holds, g elsewhere.
    Raises:
        RuntimeError: if the condition is not bool.
    """
    if isinstance(condition, TensorBase):
        if input is None and other is None:
            return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined]
        if input is None or other is None:
            raise TypeError("where() received an invalid combination of arguments: expected (Tensor condition), or (Tensor condition, Tensor or "
                            "Number input, Tensor or Number other)")
        if condition._array.dtype.kind != "b":
            if condition._array.dtype != np.uint8:
                raise RuntimeError("where expected condition to be a boolean tensor, but got a tensor with dtype "
                                   f"{dtypes.legacy_name(dtypes.from_numpy_dtype(condition._array.dtype))}")
            condition = condition.bool()  # type: ignore[attr-defined]
    y = _where_op(condition, input, other)
    return y if out is None else put_out(y, out, True)


def where_method(self: Any, condition: Any, other: Any) -> Any:
    """The method `x.where(condition, other)`: x where the condition holds, other elsewhere."""
    return where(condition, self, other)


@kernel
def clamp_forward(x: Any, low: Any, high: Any) -> Any:
    """x limited to [low, high], each of which may be None, a number or an array; high where low is larger."""
    # np.maximum and np.minimum propagate NaN, as torch's clamp does
    def limit(v: Any, *bounds: Any) -> Any:
        bounds_left = list(bounds)
        if low is not None:
            v = np.maximum(v, bounds_left.pop(0))
        return v if high is None else np.minimum(v, bounds_left.pop(0))
    given = [bound for bound in (low, high) if bound is not None]
    if x.dtype.kind == "c" or (len(given) == 2 and result_dtype(x, *given).np.kind == "b"):
        raise NotImplementedError("clamp is not supported for complex types" if x.dtype.kind == "c" else "\"clamp_cpu\" not implemented for 'Bool'")
    if x.dtype is FLOAT32 and all(type(bound) in (int, float) for bound in given):
        return np.asarray(limit(x, *given))
    try:
        return promoted(limit, (x, *given))
    except ValueError as error:
        raise size_error(error, x, *given) from None


def _clamp_inside(x: Any, low: Any, high: Any) -> Any:
    if low is None:
        return x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


_clamp_op = Op("clamp", clamp_forward, lambda g, x, low, high: kept_op(g, _clamp_inside(x, low, high)),
               lambda g, x, low, high: kept_op(g, x < low if high is None else (x < low) & (low < high)),
               lambda g, x, low, high: kept_op(g, x > high if low is None else (x > high) | (low > high)), holomorphic=False)


def clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> Any:  # noqa: A002
    """x limited to [min, max]; either bound may be None, a number or a tensor. NaN stays NaN.

    Derivative: g where min <= x <= max; a tensor bound gets g where it is in force.
    """
    require_tensor("clamp", input)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    y = apply(_clamp_op, (input, min, max))
    return y if out is None else put_out(y, out, True, (input,))


def clamp_min(input: Any, min: Any, *, out: Any = None) -> Any:  # noqa: A002
    """x limited from below."""
    return titled(clamp(input, min=min, out=out), "clamp_min")


def clamp_max(input: Any, max: Any, *, out: Any = None) -> Any:  # noqa: A002
    """x limited from above."""
    return titled(clamp(input, max=max, out=out), "clamp_max")


@kernel
def lerp_forward(a: Any, b: Any, w: Any) -> Any:
    """a + w (b - a), from the nearer end: exact where w is 0 or 1."""
    if result_dtype(a, b, w).np.kind in "biu" or result_dtype(a).np.kind in "biu":
        raise NotImplementedError(f"\"lerp_kernel_scalar\" not implemented for '{dtypes.legacy_name(result_dtype(a))}'")
    try:
        return promoted(lambda a, b, w: np.where(np.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w)), (a, b, w))
    except ValueError as error:
        raise size_error(error, a, b, w) from None


_lerp_op = Op("lerp", lerp_forward, lambda g, w: times(g, 1 - w), lambda g, w: times(g, w), lambda g, a, b: g * (b - a))


def lerp(input: Any, end: Any, weight: Any, *, out: Any = None) -> Any:  # noqa: A002
    """input + weight * (end - input). Derivative: g * (1 - w), g * w, g * (end - input)."""
    y = _lerp_op(input, end, weight)
    return y if out is None else put_out(y, out)


def nan_to_num(input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None, *, out: Any = None) -> Any:  # noqa: A002
    """NaN and infinities replaced, by default by 0 and the dtype's largest and smallest values. Derivative: g where x is finite."""
    require_tensor("nan_to_num", input)
    y = apply(_nan_to_num_op, (input,), {"nan": nan, "posinf": posinf, "neginf": neginf})
    return y if out is None else put_out(y, out)


def _nan_to_num(x: Any, *, nan: Any, posinf: Any, neginf: Any) -> Any:
    if x.dtype.kind in "biu":
        return x.copy()
    limits = dtypes.finfo(dtypes.from_numpy_dtype(x.dtype))
    return promoted(lambda v: np.nan_to_num(v, nan=nan or 0.0, posinf=limits.max if posinf is None else posinf,
                                            neginf=limits.min if neginf is None else neginf), (x,))


_nan_to_num_op = Op("nan_to_num", _nan_to_num, lambda g, x: kept_op(g, isfinite(x)), holomorphic=False)
