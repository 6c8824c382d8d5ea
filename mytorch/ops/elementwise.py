"""Pointwise operations: the face of their family (arithmetic, choices, comparison, complex_parts), and writing in place."""
# ruff: noqa: I001, F401 - a face: names are imported to be re-exported

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import errors
from mytorch.autograd_engine import register
from mytorch.backends import kernel
from mytorch.engine_state import get_mode
from mytorch.ops.common import Op, TensorBase, apply, apply_inplace, cast, method_inplace
from mytorch.ops.former_calls import reordered, takes_former_calls
from mytorch.ops import layout
from mytorch.ops.views import size_error
from mytorch.ops.pointwise import (
    binary, is_complex_valued, no_gradient, refusing, unary,
)
from mytorch.ops.comparison import (
    bitwise_and, bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, differs, eq, equals, ge, gt,
    isfinite, isinf, isnan, isneginf, isposinf, isreal, le, logical_and, logical_not, logical_or, logical_xor, lt, ne, signbit,
)
from mytorch.ops.choices import (
    _clamp_op, _lerp_op, _nan_to_num_op, clamp, clamp_max, clamp_min, fmax, fmin, kept, kept_op, lerp, maximum, minimum,
    nan_to_num, where, where_method,
)
from mytorch.ops.added_products import addcdiv, addcmul
from mytorch.ops.arithmetic import (
    _add, _divide_trunc, _logit, _pow, _round_op, _sub, _true_divide, abs, acos, acosh, add, asin, asinh, atan,
    atan2, atanh, ceil, copysign, cos, cosh, deg2rad, div, erf, erfc, exp, exp2, expm1, float_power, floor, floor_divide, fmod,
    frac, gcd, heaviside, hypot, lcm, ldexp, log, log10, log1p, log2, logaddexp, logaddexp2, logit, mul, neg, nextafter, positive,
    pow, rad2deg, rdiv, reciprocal, relu, remainder, rfloordiv, round, rpow, rremainder, rsqrt, rsub, scaled, sgn, sigmoid, sign,
    sin, sinc, sinh, sqrt, square, sub, tan, tanh, trunc, xlogy,
)
from mytorch.ops.complex_parts import (
    angle, complex_, conj, imag, polar, real, view_as_complex, view_as_real,
)

__mytorch__ = True

# ---- conversion and copies ----------------------------------------------------------------------------------------------------

def _clone(x: Any) -> Any:
    return x.copy() if x.flags.c_contiguous else layout.copied(x, layout.preserve_format)


def _converted(x: Any, *, dtype: Any) -> Any:
    if x.dtype == dtype:
        return x
    if 0 not in x.strides:
        return cast(x, dtype)
    y = layout.new_like(x, dtype, layout.preserve_format)  # NumPy would put a repeated dimension innermost
    np.copyto(y, cast(x, dtype))
    return y


to_dtype = Op("to_copy", _converted,
              lambda g: g, holomorphic=False)
clone_op = Op("clone", _clone, lambda g: g)
laid_out_op = Op("clone", lambda x, *, wanted: layout.copied(x, wanted), lambda g: g)
copy_op = Op("copy", lambda x, source: np.broadcast_to(source if source.dtype == x.dtype else cast(source, x.dtype), x.shape),
             no_gradient, lambda g: g)
fill_op = Op("fill", lambda x, value: np.broadcast_to(cast(np.asarray(value), x.dtype), x.shape), no_gradient, lambda g: g)
_zero_op = fill_op.variant("zero")
register(to_dtype=to_dtype)


def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Write the values of `src`, broadcast and cast, into this tensor. Derivative: g goes to `src`.

    Raises:
        RuntimeError: if the shape of src does not broadcast to this one.
    """
    if not isinstance(src, TensorBase):
        raise errors.type_error("copy_", "other", 1, "Tensor", src)
    try:
        return apply_inplace(copy_op, (self, src))
    except ValueError as error:
        fault = size_error(error, self._array, src._array)
        raise fault if fault is not error else RuntimeError(
            f"output with shape {list(self._array.shape)} doesn't match the broadcast shape {list(src._array.shape)}") from None


def clone(input: Any, *, memory_format: Any = None) -> Any:  # noqa: A002
    """A copy of the values in the order they lie in memory, or row-major for another memory_format. Derivative: g."""
    if memory_format is None:
        return apply(clone_op, (input,))
    return apply(laid_out_op, (input,), {"wanted": layout.as_format("clone", memory_format, layout.preserve_format)})


def clone_for(x: Any, *others: Any) -> Any:
    """A copy into which `others` will be written: inside vmap with an example for each, where they have one."""
    mode = get_mode()
    return clone(x if mode is None else mode.like(x, others))


def fill(input: Any, value: Any) -> Any:  # noqa: A002
    """A copy with every element set to a number or to a 0-d tensor. Derivative: zero; the sum of g for the value."""
    return fill_(clone_for(input, value), value)


def fill_(self: Any, value: Any) -> Any:
    """Set every element to a number or to a 0-d tensor."""
    if isinstance(value, TensorBase) and value._array.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value._array.ndim} dimensions.")
    if isinstance(value, (str, bytes, list, tuple, dict, type(None))):
        raise errors.type_error("fill_", "value", 1, "Number or 0-d Tensor", value)
    return apply_inplace(fill_op, (self, value))


def zero_(self: Any) -> Any:
    """Set every element to zero."""
    return apply_inplace(_zero_op, (self, 0))


def add_(self: Any, other: Any, *former: Any, alpha: Any = 1) -> Any:
    """In-place `add`."""
    if former:
        other, alpha = reordered("add_", other, former)
    return apply_inplace(_add.op, (self, other if alpha == 1 else scaled(self, other, alpha)))


def sub_(self: Any, other: Any, *former: Any, alpha: Any = 1) -> Any:
    """In-place `sub`."""
    if former:
        other, alpha = reordered("sub_", other, former)
    return apply_inplace(_sub.op, (self, other if alpha == 1 else scaled(self, other, alpha)))


def div_(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """In-place `div`."""
    op = {None: _true_divide.op, "floor": floor_divide.op, "trunc": _divide_trunc.op}[rounding_mode]
    return apply_inplace(op, (self, other))


@takes_former_calls("value")
def addcmul_(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """In-place `addcmul`."""
    return copy_(self, addcmul(self.clone(), tensor1, tensor2, value=value)) if self._array.itemsize == 2 else add_(
        self, mul(tensor1, tensor2), alpha=value)


@takes_former_calls("value")
def addcdiv_(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """In-place `addcdiv`."""
    return copy_(self, addcdiv(self.clone(), tensor1, tensor2, value=value)) if self._array.itemsize == 2 else add_(
        self, div(tensor1, tensor2), alpha=value)


def lerp_(self: Any, end: Any, weight: Any) -> Any:
    """In-place `lerp`."""
    return apply_inplace(_lerp_op, (self, end, weight))


def abs_(self: Any) -> Any:
    """In-place `abs`, for real tensors only."""
    if self.is_complex():
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return apply_inplace(abs.op, (self,))


def conj_physical_(self: Any) -> Any:
    """In-place `conj_physical`."""
    return copy_(self, conj(self)) if self.is_complex() else self


def pow_(self: Any, exponent: Any) -> Any:
    """In-place `pow`."""
    return apply_inplace(_pow.op, (self, exponent))


def round_(self: Any, *, decimals: int = 0) -> Any:
    """In-place `round`."""
    return apply_inplace(_round_op, (self,), {"decimals": decimals})


mul_ = method_inplace(mul.op, "mul_")
neg_ = method_inplace(neg.op, "neg_")
exp_ = method_inplace(exp.op, "exp_")
exp2_ = method_inplace(exp2.op, "exp2_")
expm1_ = method_inplace(expm1.op, "expm1_")
log_ = method_inplace(log.op, "log_")
log2_ = method_inplace(log2.op, "log2_")
log10_ = method_inplace(log10.op, "log10_")
log1p_ = method_inplace(log1p.op, "log1p_")
sin_ = method_inplace(sin.op, "sin_")
cos_ = method_inplace(cos.op, "cos_")
tan_ = method_inplace(tan.op, "tan_")
asin_ = method_inplace(asin.op, "asin_")
acos_ = method_inplace(acos.op, "acos_")
atan_ = method_inplace(atan.op, "atan_")
sinh_ = method_inplace(sinh.op, "sinh_")
cosh_ = method_inplace(cosh.op, "cosh_")
tanh_ = method_inplace(tanh.op, "tanh_")
asinh_ = method_inplace(asinh.op, "asinh_")
acosh_ = method_inplace(acosh.op, "acosh_")
atanh_ = method_inplace(atanh.op, "atanh_")
sigmoid_ = method_inplace(sigmoid.op, "sigmoid_")
relu_ = method_inplace(relu.op, "relu_")
erf_ = method_inplace(erf.op, "erf_")
erfc_ = method_inplace(erfc.op, "erfc_")
sqrt_ = method_inplace(sqrt.op, "sqrt_")
rsqrt_ = method_inplace(rsqrt.op, "rsqrt_")
square_ = method_inplace(square.op, "square_")
reciprocal_ = method_inplace(reciprocal.op, "reciprocal_")
floor_ = method_inplace(floor.op, "floor_")
ceil_ = method_inplace(ceil.op, "ceil_")
trunc_ = method_inplace(trunc.op, "trunc_")
frac_ = method_inplace(frac.op, "frac_")
sign_ = method_inplace(sign.op, "sign_")
sgn_ = method_inplace(sgn.op, "sgn_")
floor_divide_ = method_inplace(floor_divide.op, "floor_divide_")
remainder_ = method_inplace(remainder.op, "remainder_")
fmod_ = method_inplace(fmod.op, "fmod_")
bitwise_and_ = method_inplace(bitwise_and.op, "bitwise_and_")
bitwise_or_ = method_inplace(bitwise_or.op, "bitwise_or_")
bitwise_xor_ = method_inplace(bitwise_xor.op, "bitwise_xor_")
bitwise_not_ = method_inplace(bitwise_not.op, "bitwise_not_")
bitwise_left_shift_ = method_inplace(bitwise_left_shift.op, "bitwise_left_shift_")
bitwise_right_shift_ = method_inplace(bitwise_right_shift.op, "bitwise_right_shift_")
logical_and_ = method_inplace(logical_and.op, "logical_and_")
logical_or_ = method_inplace(logical_or.op, "logical_or_")
logical_xor_ = method_inplace(logical_xor.op, "logical_xor_")
logical_not_ = method_inplace(logical_not.op, "logical_not_")
eq_ = method_inplace(eq.op, "eq_")
ne_ = method_inplace(ne.op, "ne_")
lt_ = method_inplace(lt.op, "lt_")
le_ = method_inplace(le.op, "le_")
gt_ = method_inplace(gt.op, "gt_")
ge_ = method_inplace(ge.op, "ge_")
atan2_ = method_inplace(atan2.op, "atan2_")
hypot_ = method_inplace(hypot.op, "hypot_")
copysign_ = method_inplace(copysign.op, "copysign_")
gcd_ = method_inplace(gcd.op, "gcd_")
lcm_ = method_inplace(lcm.op, "lcm_")
nextafter_ = method_inplace(nextafter.op, "nextafter_")
xlogy_ = method_inplace(xlogy.op, "xlogy_")
sinc_ = method_inplace(sinc.op, "sinc_")
deg2rad_ = method_inplace(deg2rad.op, "deg2rad_")
rad2deg_ = method_inplace(rad2deg.op, "rad2deg_")


def clamp_(self: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """In-place `clamp`."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return apply_inplace(_clamp_op, (self, min, max))


def logit_(self: Any, eps: float | None = None) -> Any:
    """In-place `logit`."""
    if eps is not None:
        clamp_(self, eps, 1 - eps)
    return apply_inplace(_logit.op, (self,))


def float_power_(self: Any, exponent: Any) -> Any:
    """In-place `float_power`, for float64 and complex128 only.

    Raises:
        RuntimeError: for another dtype: the result has float64.
    """
    wanted = "torch.complex128" if is_complex_valued(self) or is_complex_valued(exponent) else "torch.float64"
    if str(self.dtype) != wanted:
        raise RuntimeError(f"the base given to float_power_ has dtype {self.dtype} but the operation's result requires dtype {wanted}")
    return copy_(self, float_power(self.clone(), exponent))


def heaviside_(self: Any, values: Any) -> Any:
    """In-place `heaviside`."""
    return copy_(self, heaviside(self, values))


def ldexp_(self: Any, other: Any) -> Any:
    """In-place `ldexp`."""
    return mul_(self, pow(2.0, other))


def nan_to_num_(self: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Any:
    """In-place `nan_to_num`."""
    return apply_inplace(_nan_to_num_op, (self,), {"nan": nan, "posinf": posinf, "neginf": neginf})


def clamp_min_(self: Any, min: Any) -> Any:  # noqa: A002
    """In-place `clamp_min`."""
    return clamp_(self, min=min)


def clamp_max_(self: Any, max: Any) -> Any:  # noqa: A002
    """In-place `clamp_max`."""
    return clamp_(self, max=max)


def _contiguous(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(x.shape)


contiguous_op = Op("contiguous", kernel(_contiguous, name="contiguous"), lambda g: g)


subtract, subtract_ = sub, sub_
multiply, multiply_ = mul, mul_
divide, divide_ = div, div_
true_divide, true_divide_ = div, div_
negative, negative_ = neg, neg_
absolute, absolute_ = abs, abs_
clip, clip_ = clamp, clamp_
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
arcsin, arccos, arctan, arctan2, arcsinh, arccosh, arctanh = asin, acos, atan, atan2, asinh, acosh, atanh
fix = trunc
