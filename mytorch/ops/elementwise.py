"""Pointwise operations: arithmetic, powers, exponentials, trigonometry, rounding, comparisons, logic.

A row here is the whole operation: `pointwise(name, function on arrays, formula per input)`. Formulas name what they need:
`g` is the gradient of the output, `x`, `a`, `b` inputs, `y` the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, engine_state, errors
from mytorch.autograd_engine import register
from mytorch.backends import kernel
from mytorch.engine_state import get_mode
from mytorch.ops import special_functions as sf
from mytorch.ops.common import (
    FLOAT32, FLOAT64, NUMBERS, Op, TensorBase, apply, apply_inplace, cast, method_inplace, promoted, put_out, require_tensor,
)

from mytorch.ops.shape import shape_of, zeros_for

__mytorch__ = True


def size_error(error: ValueError, *operands: Any) -> Exception:
    """torch's error for operands that do not broadcast, in place of NumPy's; any other error as it is."""
    shapes = [np.shape(x) for x in operands]
    ndim = max(len(shape) for shape in shapes)
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    for d in range(ndim - 1, -1, -1):
        sizes = [shape[d] for shape in padded if shape[d] != 1]
        for size in sizes:
            if size != sizes[0]:
                return RuntimeError(f"The size of tensor a ({sizes[0]}) must match the size of tensor b ({size}) at non-singleton dimension {d}: "
                                    f"shapes {', '.join(str(list(shape)) for shape in shapes)} do not broadcast")
    return error


def _unary_kernel(function: Callable[..., Any], careful: Callable[..., Any], rule: str) -> Callable[..., Any]:
    if hasattr(function, "reference"):  # a kernel of the seam: it returns an array by itself
        direct: Any = function
    elif isinstance(function, np.ufunc):
        def direct(x: Any) -> Any:
            return function(x, out=...)
    else:
        return lambda x: promoted(careful, (x,), rule)

    def run(x: Any) -> Any:
        if type(x) is ndarray and (x.dtype is FLOAT32 or x.dtype is FLOAT64):
            return direct(x)
        return promoted(careful, (x,), rule)

    return run


def _binary_kernel(function: Callable[..., Any], careful: Callable[..., Any], rule: str) -> Callable[..., Any]:
    direct = isinstance(function, np.ufunc)

    def run(a: Any, b: Any) -> Any:
        try:
            if direct and type(a) is ndarray:
                kind = a.dtype
                if kind is FLOAT32 or kind is FLOAT64:
                    if type(b) is ndarray:
                        if b.dtype is kind:
                            return function(a, b, out=...)
                    elif type(b) is float or type(b) is int:
                        return function(a, b, out=...)
            return promoted(careful, (a, b), rule)
        except ValueError as error:
            raise size_error(error, a, b) from None

    return run


def unary(name: str, function: Callable[..., Any], formula: Callable[..., Any] | None, doc: str, *, rule: str = "same",
          holomorphic: bool = True, careful: Callable[..., Any] | None = None) -> Any:
    """A pointwise function of one tensor, ready to be called on Tensors and, inside formulas, on arrays.

    Args:
        careful: what to run instead of `function` on anything but float32 and float64.
    """
    op = Op(name, _unary_kernel(function, careful or function, rule), formula, inputs="x", holomorphic=holomorphic)
    run = op.kernel

    def call(input: Any, *, out: Any = None) -> Any:  # noqa: A002 - torch's name
        if isinstance(input, TensorBase):
            if input._edge is None is input._view and not input._requires_grad and out is None and get_mode() is None:
                return engine_state.wrap(op.kernel(input._array))  # as below, in `binary`
            y = apply(op, (input,))
            return y if out is None else put_out(y, out)
        if isinstance(input, (ndarray, np.generic)):
            return run(np.asarray(input))
        raise errors.type_error(name, "input", 1, "Tensor", input)

    return _named(call, name, op, doc)


def binary(name: str, function: Callable[..., Any], *formulas: Callable[..., Any] | None, doc: str, rule: str = "same",
           holomorphic: bool = True, numbers: str = "second", careful: Callable[..., Any] | None = None) -> Any:
    """A pointwise function of two tensors, with broadcasting and torch's promotion.

    Args:
        numbers: which operand may be a Python number: 'second', 'either' or 'none'.
        careful: what to run instead of `function` on anything but float32 and float64.
    """
    op = Op(name, _binary_kernel(function, careful or function, rule), *formulas, inputs="a b", holomorphic=holomorphic)
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
                y = apply(op, (input, other))
            elif isinstance(other, np.generic) and second:
                y = apply(op, (input, other.item()))
            else:
                return _refuse(name, other)
            return y if out is None else put_out(y, out)
        if numbers == "either" and isinstance(other, TensorBase) and isinstance(input, (int, float, complex, np.generic)):
            y = apply(op, (input.item() if isinstance(input, np.generic) else input, other))
            return y if out is None else put_out(y, out)
        if isinstance(input, (ndarray, np.generic)):
            return run(np.asarray(input), other)
        raise errors.type_error(name, "input", 1, "Tensor", input)

    return _named(call, name, op, doc)


def _refuse(name: str, other: Any) -> Any:
    if isinstance(other, (int, float, complex, np.generic, ndarray, list, tuple, str, type(None), dict)):
        raise errors.type_error(name, "other", 2, "Tensor", other)
    return NotImplemented


def _named(call: Any, name: str, op: Op, doc: str) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    call.op = op
    return call


def _refusing(kinds: str, function: Callable[..., Any], kernel_name: str) -> Callable[..., Any]:
    """The function, with torch's refusal of dtypes whose NumPy kind is one of `kinds`."""
    def run(*operands: Any) -> Any:
        kind = operands[0].dtype
        if kind.kind in kinds:
            raise NotImplementedError(f'"{kernel_name}" not implemented for \'{dtypes.legacy_name(dtypes.from_numpy_dtype(kind))}\'')
        return function(*operands)
    return run


# ---- selection: gradients that a mask lets through ----------------------------------------------------------------------------

_MANY = 4096  # from here on bit masks beat np.where, which stumbles over branches


@kernel
def kept(x: Any, mask: Any) -> Any:
    """x where the mask is True, else zero; also where x is infinite or NaN, which a product with the mask would not give."""
    if x.size > _MANY and x.shape == mask.shape and (x.dtype is FLOAT32 or x.dtype is FLOAT64) and x.flags.c_contiguous:
        bits = np.dtype(f"i{x.itemsize}")
        y = np.ascontiguousarray(mask).view(np.int8).astype(bits)
        np.negative(y, out=y)  # all bits set where True
        return np.bitwise_and(y, x.view(bits), out=y).view(x.dtype)
    return np.where(mask, x, np.zeros((), x.dtype))


kept_op = Op("masked_fill", kept, lambda g, mask: kept_op(g, mask), None, inputs="x mask")


def _no_gradient(g: Any) -> Any:
    return zeros_for(g, shape_of(g))


# ---- arithmetic ---------------------------------------------------------------------------------------------------------------

_add = binary("add", np.add, lambda g: g, lambda g: g, numbers="either", doc="a + b with broadcasting. Derivative: g, g.")


def _subtract(a: Any, b: Any) -> Any:
    if a.dtype.kind == "b":
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
                           "use the `~` or `logical_not()` operator instead.")
    return np.subtract(a, b)


_sub = binary("sub", np.subtract, lambda g: g, lambda g: -g, numbers="either", careful=_subtract,
              doc="a - b with broadcasting. Derivative: g, -g.")

mul = binary("mul", np.multiply, lambda g, b: g * b, lambda g, a: g * a, numbers="either",
             doc="a * b with broadcasting. Derivative: g * b, g * a.")
_true_divide = binary("div", np.true_divide, lambda g, b: g / b, lambda g, a, b: -g * a / (b * b), rule="float", numbers="either",
                      doc="a / b with broadcasting; integers give floats. Derivative: g / b, -g * a / b^2.")


def _c_round(function: Callable[..., Any]) -> Callable[..., Any]:
    def divide(a: Any, b: Any) -> Any:
        if a.dtype.kind in "iub":
            if not np.all(b):
                raise RuntimeError("ZeroDivisionError")
            return function(a, b)
        return function(a, b)
    return divide


def _trunc_divide(a: Any, b: Any) -> Any:
    if a.dtype.kind in "iu":
        quotient = np.floor_divide(a, b)
        return quotient + ((quotient < 0) & (quotient * b != a))
    return np.trunc(np.true_divide(a, b))


def _floor_quotient(a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":  # NumPy's floor_divide gives NaN for x / 0, torch gives inf
        return np.where(b == 0, np.true_divide(a, b), np.floor_divide(a, b))
    return np.floor_divide(a, b)


floor_divide = binary("floor_divide", _c_round(_floor_quotient), _no_gradient, _no_gradient,
                      numbers="either", doc="floor(a / b). Derivative: zero.")
_divide_trunc = binary("div", _c_round(_trunc_divide), _no_gradient, _no_gradient, numbers="either", doc="trunc(a / b). Derivative: zero.")


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input + alpha * other, with broadcasting and promotion.

    Shape: any two that broadcast -> the broadcast shape.
    Derivative: g, alpha * g.
    """
    return _add(input, other if alpha == 1 else mul(other, alpha) if isinstance(other, TensorBase) else other * alpha, out=out)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input - alpha * other, with broadcasting and promotion.

    Raises:
        RuntimeError: for two bool tensors, as in torch.
    Derivative: g, -alpha * g.
    """
    return _sub(input, other if alpha == 1 else mul(other, alpha) if isinstance(other, TensorBase) else other * alpha, out=out)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:  # noqa: A002
    """other - alpha * input: the reflected subtraction."""
    require_tensor("rsub", input)
    if not isinstance(other, (TensorBase, int, float, complex, np.generic)):
        return NotImplemented
    return _sub(other, input if alpha == 1 else mul(input, alpha))


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:  # noqa: A002
    """input / other, with broadcasting; `rounding_mode` is None, 'trunc' or 'floor'.

    Derivative: g / b, -g * a / b^2; zero when rounded.
    Raises:
        RuntimeError: for an integer division by zero with a rounding mode, or an unknown mode.
    """
    if rounding_mode is None:
        return _true_divide(input, other, out=out)
    if rounding_mode == "floor":
        return floor_divide(input, other, out=out)
    if rounding_mode == "trunc":
        return _divide_trunc(input, other, out=out)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


def rdiv(input: Any, other: Any) -> Any:  # noqa: A002
    """other / input: the reflected division."""
    return _true_divide(other, input) if isinstance(other, (TensorBase, int, float, complex, np.generic)) else NotImplemented


def rfloordiv(input: Any, other: Any) -> Any:  # noqa: A002
    """floor(other / input): the reflected floor division."""
    return floor_divide(other, input)


remainder = binary("remainder", _c_round(np.remainder), lambda g: g, lambda g, a, b: -g * floor_divide.op(a, b),
                   numbers="either", doc="a - b * floor(a / b): Python's modulus, its sign is b's.\n\nDerivative: g, -g * floor(a / b).")
fmod = binary("fmod", _c_round(np.fmod), lambda g: g, lambda g, a, b: -g * trunc(a / b),
              doc="a - b * trunc(a / b): C's modulus, its sign is a's.\n\nDerivative: g, -g * trunc(a / b).")


def rremainder(input: Any, other: Any) -> Any:  # noqa: A002
    """other % input: the reflected modulus."""
    return remainder(other, input)


def _power(a: Any, b: Any) -> Any:
    if a.dtype.kind in "iu" and b.dtype.kind == "i" and b.size and b.min() < 0:
        safe = np.power(a, np.maximum(b, 0))
        return np.where(b >= 0, safe, np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0)))
    return np.power(a, b)


def _power_kernel(a: Any, b: Any) -> Any:
    if type(a) is ndarray and (a.dtype is FLOAT32 or a.dtype is FLOAT64) and (type(b) is int or type(b) is float):
        if b == 2:
            return np.square(a, out=...)
        if b == 0.5:
            return np.sqrt(a, out=...)
        return np.power(a, b, out=...)
    if isinstance(b, int) and b < 0 and a.dtype.kind in "iub":
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    try:
        return promoted(_power, (a, b))
    except ValueError as error:
        raise size_error(error, a, b) from None


def _pow_grad_base(g: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float, complex)):
        if b == 0:
            return _no_gradient(g)
        return g * a * 2 if b == 2 else g * (b * pow(a, b - 1))
    return where(b == 0, 0.0, g * (b * pow(a, b - 1)))


def _pow_grad_exponent(g: Any, a: Any, b: Any, y: Any) -> Any:
    # 0 ** b has slope zero for b >= 0, where the formula y * log(a) would give 0 * -inf
    slope = y * log(a if isinstance(a, (TensorBase, ndarray)) else _number(a, y))
    return where((a == 0) & (b == 0 if _complex(b) else b >= 0), 0.0, g * slope)


def _complex(x: Any) -> bool:
    if isinstance(x, TensorBase):
        return bool(x._array.dtype.kind == "c")
    return bool(np.asarray(x).dtype.kind == "c")


def _number(value: Any, like: Any) -> Any:
    return np.asarray(value, (like._array if isinstance(like, TensorBase) else like).dtype)


_pow = binary("pow", _power, _pow_grad_base, _pow_grad_exponent, numbers="either", doc="a ** b.")
_pow.op.kernel = _power_kernel


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:  # noqa: A001, A002
    """input ** exponent, with broadcasting.

    Derivative: g * b * a^(b - 1), g * a^b * log(a) (zero where a = 0 and b >= 0).
    Raises:
        RuntimeError: for an integer tensor and a negative integer exponent.
    """
    return _pow(input, exponent, out=out)


def rpow(input: Any, other: Any) -> Any:  # noqa: A002
    """other ** input: the reflected power."""
    return _pow(other, input) if isinstance(other, (TensorBase, int, float, complex, np.generic)) else NotImplemented


def _negate(x: Any) -> Any:
    if x.dtype.kind == "b":
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, "
                           "use the `~` or `logical_not()` operator instead.")
    return np.negative(x)


def _keep_sign(x: Any) -> Any:
    if x.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return x


neg = unary("neg", np.negative, lambda g: -g, "-x. Derivative: -g.", careful=_negate)
positive = unary("positive", np.positive, lambda g: g, "+x: the same values. Derivative: g.", careful=_keep_sign)


def _abs_formula(g: Any, x: Any) -> Any:
    return (g.real if _complex(g) else g) * sgn(x)


abs = unary("abs", np.abs, _abs_formula, "|x|. Derivative: g * sgn(x), zero at 0.", holomorphic=False,  # noqa: A001
            careful=_refusing("b", np.abs, "abs_cpu"))
sign = unary("sign", lambda x: x if x.dtype.kind == "b" else np.sign(x), _no_gradient, "-1, 0 or 1. Derivative: zero.")


def _sgn(x: Any) -> Any:
    if x.dtype.kind != "c":
        return x if x.dtype.kind == "b" else np.sign(x)
    size = np.abs(x)
    return np.where(size == 0, 0, x / np.where(size == 0, 1, size)).astype(x.dtype)


def _sgn_formula(g: Any, x: Any, y: Any) -> Any:
    if not _complex(x):
        return _no_gradient(g)
    # d sgn(x) = i * sgn(x) * Im(conj(sgn(x)) dx) / |x|
    size = abs(x)
    safe = where(size == 0, size * 0 + 1, size)
    return where(size == 0, 0.0, (g - y * (g * y.conj()).real) / safe)


sgn = unary("sgn", _sgn, _sgn_formula, "x / |x|, zero at zero: `sign` for complex numbers too.", holomorphic=False)
square = unary("square", np.square, lambda g, x: g * (x * 2), "x * x. Derivative: 2 * g * x.")
_square_kernel = square.op.kernel
square.op.kernel = lambda x: x.astype(np.int64) if x.dtype.kind == "b" else _square_kernel(x)
reciprocal = unary("reciprocal", np.reciprocal, lambda g, y: -g * y * y, "1 / x. Derivative: -g / x^2.", rule="float")
sqrt = unary("sqrt", np.sqrt, lambda g, y: g / (y * 2), "Square root. Derivative: g / (2 sqrt(x)).", rule="float")
rsqrt = unary("rsqrt", lambda x: 1 / np.sqrt(x), lambda g, x, y: g * y / x * -0.5, "1 / sqrt(x). Derivative: -g x^(-3/2) / 2.", rule="float")

# ---- exponentials and logarithms ----------------------------------------------------------------------------------------------

exp = unary("exp", np.exp, lambda g, y: g * y, "e^x. Derivative: g * e^x.", rule="float")
exp2 = unary("exp2", np.exp2, lambda g, y: g * y * math.log(2), "2^x. Derivative: g * 2^x * log 2.", rule="float")
expm1 = unary("expm1", np.expm1, lambda g, y: g * (y + 1), "e^x - 1, exact near 0. Derivative: g * e^x.", rule="float")
log = unary("log", np.log, lambda g, x: g / x, "Natural logarithm. Derivative: g / x.", rule="float")
log2 = unary("log2", np.log2, lambda g, x: g / (x * math.log(2)), "Logarithm to base 2. Derivative: g / (x log 2).", rule="float")
log10 = unary("log10", np.log10, lambda g, x: g / (x * math.log(10)), "Logarithm to base 10. Derivative: g / (x log 10).", rule="float")
log1p = unary("log1p", np.log1p, lambda g, x: g / (x + 1), "log(1 + x), exact near 0. Derivative: g / (1 + x).", rule="float")
logaddexp = binary("logaddexp", np.logaddexp, lambda g, a, b: g / (exp(b - a) + 1), lambda g, a, b: g / (exp(a - b) + 1), rule="float",
                   numbers="none", doc="log(e^a + e^b) without overflow. Derivative: g / (1 + e^(b - a)), g / (1 + e^(a - b)).")
logaddexp2 = binary("logaddexp2", np.logaddexp2, lambda g, a, b: g / (exp2(b - a) + 1), lambda g, a, b: g / (exp2(a - b) + 1), rule="float",
                    numbers="none", doc="log2(2^a + 2^b) without overflow. Derivative: g / (1 + 2^(b - a)), g / (1 + 2^(a - b)).")

# ---- trigonometry -------------------------------------------------------------------------------------------------------------

sin = unary("sin", np.sin, lambda g, x: g * cos(x), "Sine. Derivative: g * cos(x).", rule="float")
cos = unary("cos", np.cos, lambda g, x: -g * sin(x), "Cosine. Derivative: -g * sin(x).", rule="float")
tan = unary("tan", np.tan, lambda g, y: g * (y * y + 1), "Tangent. Derivative: g * (1 + tan(x)^2).", rule="float")
asin = unary("asin", np.arcsin, lambda g, x: g / sqrt(1 - x * x), "Inverse sine. Derivative: g / sqrt(1 - x^2).", rule="float")
acos = unary("acos", np.arccos, lambda g, x: -g / sqrt(1 - x * x), "Inverse cosine. Derivative: -g / sqrt(1 - x^2).", rule="float")
atan = unary("atan", np.arctan, lambda g, x: g / (x * x + 1), "Inverse tangent. Derivative: g / (1 + x^2).", rule="float")
sinh = unary("sinh", np.sinh, lambda g, x: g * cosh(x), "Hyperbolic sine. Derivative: g * cosh(x).", rule="float")
cosh = unary("cosh", np.cosh, lambda g, x: g * sinh(x), "Hyperbolic cosine. Derivative: g * sinh(x).", rule="float")
tanh = unary("tanh", np.tanh, lambda g, y: g * (1 - y * y), "Hyperbolic tangent. Derivative: g * (1 - tanh(x)^2).", rule="float")
asinh = unary("asinh", np.arcsinh, lambda g, x: g / sqrt(x * x + 1), "Inverse hyperbolic sine. Derivative: g / sqrt(x^2 + 1).", rule="float")
acosh = unary("acosh", np.arccosh, lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)),
              "Inverse hyperbolic cosine. Derivative: g / sqrt(x^2 - 1).", rule="float")
atanh = unary("atanh", np.arctanh, lambda g, x: g / (1 - x * x), "Inverse hyperbolic tangent. Derivative: g / (1 - x^2).", rule="float")
atan2 = binary("atan2", np.arctan2, lambda g, a, b: g * b / (a * a + b * b), lambda g, a, b: -g * a / (a * a + b * b), rule="float",
               numbers="none", doc="Angle of the point (b, a). Derivative: g * b / (a^2 + b^2), -g * a / (a^2 + b^2).")
hypot = binary("hypot", np.hypot, lambda g, a, y: g * (a / y), lambda g, b, y: g * (b / y),
               numbers="none", doc="sqrt(a^2 + b^2). Derivative: g * a / y, g * b / y.")
deg2rad = unary("deg2rad", np.deg2rad, lambda g: g * (math.pi / 180), "Degrees to radians.", rule="float")
rad2deg = unary("rad2deg", np.rad2deg, lambda g: g * (180 / math.pi), "Radians to degrees.", rule="float")

# ---- activations that are plain pointwise functions ---------------------------------------------------------------------------

sigmoid = unary("sigmoid", sf.sigmoid, lambda g, y: g * ((1 - y) * y), "1 / (1 + e^-x). Derivative: g * y * (1 - y).", rule="float")


def _relu(x: Any) -> Any:
    if x.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return np.maximum(x, x.dtype.type(0), out=...)


relu = unary("relu", kernel(_relu, name="relu"), lambda g, y: kept_op(g, y > 0), "max(x, 0); NaN stays NaN. Derivative: g where x > 0.")
erf = unary("erf", sf.erf, lambda g, x: g * (exp(-x * x) * (2 / math.sqrt(math.pi))),
            "Error function. Derivative: g * 2 / sqrt(pi) * e^(-x^2).", rule="float")
erfc = unary("erfc", sf.erfc, lambda g, x: g * (exp(-x * x) * (-2 / math.sqrt(math.pi))),
             "1 - erf(x), exact for large x. Derivative: -g * 2 / sqrt(pi) * e^(-x^2).", rule="float")

# ---- rounding -----------------------------------------------------------------------------------------------------------------

floor = unary("floor", np.floor, _no_gradient, "The largest integer not above x. Derivative: zero.", careful=_refusing("b", np.floor, "floor_vml_cpu"))
ceil = unary("ceil", np.ceil, _no_gradient, "The smallest integer not below x. Derivative: zero.", careful=_refusing("b", np.ceil, "ceil_vml_cpu"))
trunc = unary("trunc", np.trunc, _no_gradient, "The integer part. Derivative: zero.", careful=_refusing("b", np.trunc, "trunc_vml_cpu"))
frac = unary("frac", _refusing("biu", lambda x: x - np.trunc(x), "frac_cpu"), lambda g: g, "The fractional part, with x's sign. Derivative: g.")


def _round(x: Any, *, decimals: int = 0) -> Any:
    if x.dtype is FLOAT32 or x.dtype is FLOAT64:
        return np.asarray(np.round(x, decimals))
    return promoted(_refusing("b", lambda v: np.round(v, decimals), "round_vml_cpu"), (x,))


_round_op = Op("round", _round, _no_gradient, inputs="x")


def round(input: Any, *, decimals: int = 0, out: Any = None) -> Any:  # noqa: A001, A002
    """Nearest integer, halves to even; `decimals` digits after the point. Derivative: zero."""
    require_tensor("round", input)
    y = apply(_round_op, (input,), {"decimals": decimals})
    return y if out is None else put_out(y, out)


# ---- choices ------------------------------------------------------------------------------------------------------------------


def _larger_share(g: Any, a: Any, b: Any) -> Any:
    return kept_op(g, a > b) + kept_op(g * 0.5, a == b)


maximum = binary("maximum", np.maximum, lambda g, a, b: _larger_share(g, a, b), lambda g, a, b: _larger_share(g, b, a), holomorphic=False,
                 numbers="none", doc="The larger of the two; NaN wins. Derivative: g to the larger, halved at ties.")
minimum = binary("minimum", np.minimum, lambda g, a, b: _larger_share(g, b, a), lambda g, a, b: _larger_share(g, a, b), holomorphic=False,
                 numbers="none", doc="The smaller of the two; NaN wins. Derivative: g to the smaller, halved at ties.")
fmax = binary("fmax", np.fmax, lambda g, a, b: kept_op(g, (a >= b) | (b != b)), lambda g, a, b: kept_op(g, ~((a >= b) | (b != b))), holomorphic=False,
              numbers="none", doc="The larger of the two; a number wins over NaN. Derivative: g to the one chosen.")
fmin = binary("fmin", np.fmin, lambda g, a, b: kept_op(g, (a <= b) | (b != b)), lambda g, a, b: kept_op(g, ~((a <= b) | (b != b))), holomorphic=False,
              numbers="none", doc="The smaller of the two; a number wins over NaN. Derivative: g to the one chosen.")


def _where(condition: Any, a: Any, b: Any) -> Any:
    try:
        if type(a) is ndarray and type(b) is ndarray and a.dtype == b.dtype:
            return np.where(condition, a, b)
        return promoted(lambda x, y: np.where(condition, x, y), (a, b))
    except ValueError as error:
        raise size_error(error, condition, a, b) from None


_where_op = Op("where", _where, None, lambda g, condition: kept_op(g, condition), lambda g, condition: kept_op(g, ~condition),
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
        if condition._array.dtype.kind != "b":
            if condition._array.dtype != np.uint8:
                raise RuntimeError("where expected condition to be a boolean tensor, but got a tensor with dtype "
                                   f"{dtypes.legacy_name(dtypes.from_numpy_dtype(condition._array.dtype))}")
            condition = condition.bool()  # type: ignore[attr-defined]
    y = _where_op(condition, input, other)
    return y if out is None else put_out(y, out)


def _clamp(x: Any, low: Any, high: Any) -> Any:
    # np.maximum and np.minimum propagate NaN, as torch's clamp does
    def limit(v: Any, *bounds: Any) -> Any:
        bounds_left = list(bounds)
        if low is not None:
            v = np.maximum(v, bounds_left.pop(0))
        return v if high is None else np.minimum(v, bounds_left.pop(0))
    given = [bound for bound in (low, high) if bound is not None]
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


_clamp_op = Op("clamp", _clamp, lambda g, x, low, high: kept_op(g, _clamp_inside(x, low, high)),
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
    return y if out is None else put_out(y, out)


def clamp_(self: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """In-place `clamp`."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return apply_inplace(_clamp_op, (self, min, max))


def clamp_min(input: Any, min: Any, *, out: Any = None) -> Any:  # noqa: A002
    """x limited from below."""
    return clamp(input, min=min, out=out)


def clamp_max(input: Any, max: Any, *, out: Any = None) -> Any:  # noqa: A002
    """x limited from above."""
    return clamp(input, max=max, out=out)


def _lerp(a: Any, b: Any, w: Any) -> Any:
    try:
        return promoted(lambda a, b, w: np.where(np.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w)), (a, b, w))
    except ValueError as error:
        raise size_error(error, a, b, w) from None


_lerp_op = Op("lerp", _lerp, lambda g, w: g * (1 - w), lambda g, w: g * w, lambda g, a, b: g * (b - a))


def lerp(input: Any, end: Any, weight: Any, *, out: Any = None) -> Any:  # noqa: A002
    """input + weight * (end - input). Derivative: g * (1 - w), g * w, g * (end - input)."""
    y = _lerp_op(input, end, weight)
    return y if out is None else put_out(y, out)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input + value * tensor1 * tensor2."""
    product = mul(tensor1, tensor2)
    return add(input, product if value == 1 else mul(product, value), out=out)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input + value * tensor1 / tensor2."""
    quotient = div(tensor1, tensor2)
    return add(input, quotient if value == 1 else mul(quotient, value), out=out)


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

# ---- complex parts ------------------------------------------------------------------------------------------------------------

_conj_op = Op("conj", lambda x: np.conj(x), lambda g: conj(g), holomorphic=False)


def conj(input: Any) -> Any:  # noqa: A002
    """The complex conjugate; a real tensor itself. Derivative: conj(g)."""
    return _conj_op(input) if _complex(input) else input


_real_op = Op("real", lambda x: x.real, lambda g: g + 0j, view=True, holomorphic=False)
_imag_op = Op("imag", lambda x: x.imag, lambda g: g * 1j, view=True, holomorphic=False)


def real(input: Any) -> Any:  # noqa: A002
    """The real part, a view; a real tensor itself. Derivative: g."""
    return _real_op(input) if _complex(input) else input


def imag(input: Any) -> Any:  # noqa: A002
    """The imaginary part, a view. Derivative: g * i.

    Raises:
        RuntimeError: for a real tensor.
    """
    if not _complex(input):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _imag_op(input)


def _angle(x: Any) -> Any:
    y = np.angle(x)
    return np.where(np.isnan(x), x, y).astype(x.dtype) if x.dtype.kind == "f" else y


def _angle_formula(g: Any, x: Any) -> Any:
    if not _complex(x):
        return _no_gradient(g)
    size = (x * x.conj()).real
    return where(size == 0, 0.0, (g * 1j) * x / where(size == 0, size * 0 + 1, size))


angle = unary("angle", _angle, _angle_formula, "The angle of a complex number in radians; 0 or pi for a real one.", rule="float", holomorphic=False)

_complex_op = Op("complex", lambda real, imag: (real + 1j * imag).astype(np.result_type(real.dtype, np.complex64)),
                 lambda g: g.real, lambda g: g.imag, holomorphic=False)


def complex_(real: Any, imag: Any, *, out: Any = None) -> Any:
    """real + i * imag, from two tensors of one floating dtype. Derivative: Re(g), Im(g)."""
    require_tensor("complex", real, "real", 1)
    require_tensor("complex", imag, "imag", 2)
    if real._array.dtype != imag._array.dtype:
        raise RuntimeError(f"Expected object of scalar type {dtypes.legacy_name(real.dtype)} but got scalar type "
                           f"{dtypes.legacy_name(imag.dtype)} for second argument")
    y = apply(_complex_op, (real, imag))
    if out is not None and out._array.dtype != y._array.dtype:
        raise RuntimeError(f"Expected object of scalar type {dtypes.legacy_name(y.dtype)} but got scalar type "
                           f"{dtypes.legacy_name(out.dtype)} for argument 'out'")
    return y if out is None else put_out(y, out)


_polar_op = Op("polar", lambda a, b: (a * np.cos(b) + 1j * (a * np.sin(b))).astype(np.result_type(a.dtype, np.complex64)),
               lambda g, b: (g * _polar_op(b * 0 + 1, -b)).real, lambda g, a, b: (g * _polar_op(a, -b) * -1j).real, holomorphic=False)


def polar(abs: Any, angle: Any, *, out: Any = None) -> Any:
    """abs * e^(i * angle). Derivative: Re(conj(g) e^(i angle)) and its like for the angle."""
    require_tensor("polar", abs, "abs", 1)
    require_tensor("polar", angle, "angle", 2)
    if abs._array.dtype != angle._array.dtype:
        raise RuntimeError(f"Expected object of scalar type {dtypes.legacy_name(abs.dtype)} but got scalar type "
                           f"{dtypes.legacy_name(angle.dtype)} for second argument")
    y = _polar_op(abs, angle)
    return y if out is None else put_out(y, out)


_view_as_real_op = Op("view_as_real", lambda x: np.ascontiguousarray(x).view(x.real.dtype).reshape(*x.shape, 2)
                      if not x.flags.c_contiguous else x.reshape(*x.shape, 1).view(x.real.dtype),
                      lambda g: _view_as_complex_op(g), view=True, holomorphic=False)
_view_as_complex_op = Op("view_as_complex", lambda x: np.ascontiguousarray(x).view(np.result_type(x.dtype, np.complex64))[..., 0],
                         lambda g: _view_as_real_op(g), view=True, holomorphic=False)


def view_as_real(input: Any) -> Any:  # noqa: A002
    """A complex tensor (*) as a real one (*, 2): a view."""
    if not _complex(input):
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _view_as_real_op(input)


def view_as_complex(input: Any) -> Any:  # noqa: A002
    """A real tensor (*, 2) as a complex one (*): a view."""
    if _complex(input) or input._array.shape[-1:] != (2,):
        raise RuntimeError(f"Tensor must be real with a last dimension of size 2, got shape {list(input._array.shape)}")
    return _view_as_complex_op(input)


# ---- comparisons and logic: no derivative -------------------------------------------------------------------------------------


def _comparison(name: str, function: Any, doc: str, numbers: str = "second") -> Any:
    return binary(name, function, None, None, rule="bool", doc=doc, numbers=numbers)


eq = _comparison("eq", np.equal, "a == b, pointwise.")
ne = _comparison("ne", np.not_equal, "a != b, pointwise.")
lt = _comparison("lt", np.less, "a < b, pointwise.")
le = _comparison("le", np.less_equal, "a <= b, pointwise.")
gt = _comparison("gt", np.greater, "a > b, pointwise.")
ge = _comparison("ge", np.greater_equal, "a >= b, pointwise.")
logical_and = _comparison("logical_and", np.logical_and, "a and b as truth values.", "none")
logical_or = _comparison("logical_or", np.logical_or, "a or b as truth values.", "none")
logical_xor = _comparison("logical_xor", np.logical_xor, "Exactly one of a and b is true.", "none")
logical_not = unary("logical_not", np.logical_not, None, "x is zero or False.", rule="bool")
isnan = unary("isnan", np.isnan, None, "x is not a number.", rule="bool")
isinf = unary("isinf", lambda x: np.isinf(x), None, "x is infinite.", rule="bool")
isfinite = unary("isfinite", np.isfinite, None, "x is neither infinite nor NaN.", rule="bool")
isposinf = unary("isposinf", np.isposinf, None, "x is +inf.", rule="bool")
isneginf = unary("isneginf", np.isneginf, None, "x is -inf.", rule="bool")
signbit = unary("signbit", lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0, None, "The sign bit of x is set.", rule="bool")
isreal = unary("isreal", np.isreal, None, "The imaginary part of x is zero.", rule="bool")


def _integers_only(name: str, function: Any) -> Any:
    return _refusing("fc", function, f"{name}_cpu")


bitwise_and = binary("bitwise_and", _integers_only("bitwise_and", np.bitwise_and), None, None, numbers="either", doc="Bits set in both; `and` for bools.")
bitwise_or = binary("bitwise_or", _integers_only("bitwise_or", np.bitwise_or), None, None, numbers="either", doc="Bits set in either; `or` for bools.")
bitwise_xor = binary("bitwise_xor", _integers_only("bitwise_xor", np.bitwise_xor), None, None, numbers="either", doc="Bits set in one only.")
bitwise_not = unary("bitwise_not", _integers_only("bitwise_not", np.invert), None, "All bits flipped; `not` for bools.")
bitwise_left_shift = binary("bitwise_left_shift", _integers_only("lshift", np.left_shift), None, None, numbers="either", doc="a * 2^b by shifting bits.")
bitwise_right_shift = binary("bitwise_right_shift", _integers_only("rshift", np.right_shift), None, None, numbers="either", doc="a / 2^b by shifting bits.")

# ---- conversion and copies ----------------------------------------------------------------------------------------------------

to_dtype = Op("to_copy", lambda x, *, dtype: x if x.dtype == dtype else cast(x, dtype),
              lambda g: g, holomorphic=False)
clone_op = Op("clone", lambda x: x.copy(order="K"), lambda g: g)
copy_op = Op("copy", lambda x, source: np.broadcast_to(source if source.dtype == x.dtype else cast(source, x.dtype), x.shape),
             _no_gradient, lambda g: g)
fill_op = Op("fill", lambda x, value: np.broadcast_to(cast(np.asarray(value), x.dtype), x.shape), _no_gradient, lambda g: g)
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


def fill_(self: Any, value: Any) -> Any:
    """Set every element to a number or to a 0-d tensor."""
    if isinstance(value, TensorBase) and value._array.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value._array.ndim} dimensions.")
    return apply_inplace(fill_op, (self, value))


def zero_(self: Any) -> Any:
    """Set every element to zero."""
    return apply_inplace(fill_op, (self, 0))


def add_(self: Any, other: Any, *, alpha: Any = 1) -> Any:
    """In-place `add`."""
    return apply_inplace(_add.op, (self, other if alpha == 1 else other * alpha))


def sub_(self: Any, other: Any, *, alpha: Any = 1) -> Any:
    """In-place `sub`."""
    return apply_inplace(_sub.op, (self, other if alpha == 1 else other * alpha))


def div_(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """In-place `div`."""
    op = {None: _true_divide.op, "floor": floor_divide.op, "trunc": _divide_trunc.op}[rounding_mode]
    return apply_inplace(op, (self, other))


def addcmul_(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """In-place `addcmul`."""
    return add_(self, mul(tensor1, tensor2), alpha=value)


def addcdiv_(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """In-place `addcdiv`."""
    return add_(self, div(tensor1, tensor2), alpha=value)


def lerp_(self: Any, end: Any, weight: Any) -> Any:
    """In-place `lerp`."""
    return apply_inplace(_lerp_op, (self, end, weight))


def round_(self: Any, *, decimals: int = 0) -> Any:
    """In-place `round`."""
    return apply_inplace(_round_op, (self,), {"decimals": decimals})


mul_ = method_inplace(mul.op, "mul_")
pow_ = method_inplace(_pow.op, "pow_")
neg_ = method_inplace(neg.op, "neg_")
abs_ = method_inplace(abs.op, "abs_")
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
deg2rad_ = method_inplace(deg2rad.op, "deg2rad_")
rad2deg_ = method_inplace(rad2deg.op, "rad2deg_")


def nan_to_num_(self: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Any:
    """In-place `nan_to_num`."""
    return apply_inplace(_nan_to_num_op, (self,), {"nan": nan, "posinf": posinf, "neginf": neginf})


def clamp_min_(self: Any, min: Any) -> Any:  # noqa: A002
    """In-place `clamp_min`."""
    return clamp_(self, min=min)


def clamp_max_(self: Any, max: Any) -> Any:  # noqa: A002
    """In-place `clamp_max`."""
    return clamp_(self, max=max)


contiguous_op = Op("contiguous", lambda x: np.ascontiguousarray(x).reshape(x.shape), lambda g: g)


def equals(self: Any, other: Any) -> Any:
    """`==`: pointwise for tensors and numbers, False for anything else."""
    return eq(self, other) if isinstance(other, (TensorBase, int, float, complex, np.generic)) else NotImplemented


def differs(self: Any, other: Any) -> Any:
    """`!=`: pointwise for tensors and numbers, True for anything else."""
    return ne(self, other) if isinstance(other, (TensorBase, int, float, complex, np.generic)) else NotImplemented


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
