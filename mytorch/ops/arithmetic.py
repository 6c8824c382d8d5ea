"""Arithmetic, powers, exponentials, logarithms, trigonometry and rounding, pointwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, engine_state
from mytorch.backends import MANY, kernel
from mytorch.engine_state import get_grad_enabled, get_mode
from mytorch.node_names import titled
from mytorch.ops import special_functions as sf
from mytorch.ops.choices import clamp, kept, kept_op, where
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, FLOAT32, FLOAT64, Op, TensorBase, apply, promoted, put_out, require_tensor, result_dtype, widened
from mytorch.ops.former_calls import reordered
from mytorch.ops.pointwise import binary, is_complex_valued, no_gradient, refuses, refusing, slope_of_input, slope_of_output, times, unary
from mytorch.ops.views import size_error

__mytorch__ = True

# Arrays of no dimensions: with them for 0 and 1, NumPy takes half the time on few elements that it takes with Python's numbers.
_ZERO, _ONE = np.zeros((), np.float32), np.ones((), np.float32)
_FEW = 256  # from here on `kept` is the faster way to choose

cos: Any  # named in formulas above their definition
cosh: Any
trunc: Any

# ---- arithmetic ---------------------------------------------------------------------------------------------------------------

_add = binary("add", np.add, lambda g: g, lambda g: g, numbers="either", doc="a + b with broadcasting. Derivative: g, g.")


def _refuse_bools(a: Any, b: Any) -> None:
    bools = [x.dtype.kind == "b" if isinstance(x, ndarray) else type(x) is bool for x in (a, b)]
    if all(bools):
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.")
    if any(bools):
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
                           "use the `~` or `logical_not()` operator instead.")


_sub = binary("sub", np.subtract, lambda g: g, lambda g: -g, numbers="either", refuse=_refuse_bools,
              doc="a - b with broadcasting. Derivative: g, -g.")


def over(g: Any, b: Any) -> Any:
    """g / b in a formula, by the kernel of `div` if g is an array of many numbers."""
    return _true_divide.op.kernel(g, b) if type(g) is ndarray and g.size >= MANY else g / b


def div_grad_divisor(g: Any, a: Any, b: Any) -> Any:
    """The derivative of a / b by b, times g."""
    if type(g) is ndarray and g.size >= MANY and type(b) is ndarray:
        if type(a) is not ndarray:
            return power_grad(g if a == 1 else times(g, a), b, exponent=-1.0)
        return times(neg(g), over(over(a, b), b))
    return -g * ((a / b) / b)  # b * b could overflow


mul = binary("mul", np.multiply, lambda g, b: g * b if type(g) is not ndarray or g.size < MANY else times(g, b),
             lambda g, a: g * a if type(g) is not ndarray or g.size < MANY else times(g, a), numbers="either",
             doc="a * b with broadcasting. Derivative: g * b, g * a.")
_true_divide = binary("div", np.true_divide, over, div_grad_divisor, rule="float", numbers="either",
                      doc="a / b with broadcasting; integers give floats. Derivative: g / b, -g * a / b^2.")


def _c_round(function: Callable[..., Any]) -> Callable[..., Any]:
    def divide(a: Any, b: Any) -> Any:
        if a.dtype.kind in "iub":
            if a.dtype.kind == "b":
                raise NotImplementedError(f"\"{function.__name__.strip('_')}\" not implemented for 'Bool': convert to integers")
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


def _c_remainder(a: Any, b: Any) -> Any:
    return np.fmod(a, b)


def _python_remainder(a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":  # a zero has the sign of b in NumPy, of a in torch
        rest = np.fmod(a, b)
        return np.where((rest != 0) & ((b < 0) != (rest < 0)), rest + b, rest)
    return np.remainder(a, b)


floor_divide = binary("floor_divide", _c_round(kernel(_floor_quotient, name="floor_divide")), no_gradient, no_gradient,
                      numbers="either", doc="floor(a / b). Derivative: zero.")
_divide_trunc = binary("div", _c_round(_trunc_divide), no_gradient, no_gradient, numbers="either", doc="trunc(a / b). Derivative: zero.")
_trunc_quotient = _divide_trunc.op.kernel


def _trunc_of_rounded(a: Any, b: Any) -> Any:
    quotient = _trunc_quotient(a, b)
    if quotient.dtype in (FLOAT16, BFLOAT16_NP):  # torch rounds to 16 bits before it truncates: 138.99 is 139
        return promoted(np.trunc, (_true_divide.op.kernel(a, b),))
    return quotient


_divide_trunc.op.kernel = _trunc_of_rounded


def scaled(x: Any, other: Any, alpha: Any) -> Any:
    """alpha * other, for adding to x: torch's rules for what alpha may be.

    Raises:
        RuntimeError: for an alpha of a higher category than the result's.
    """
    if alpha == 1 and alpha is not True:
        return other
    category = result_dtype(*[v._array if isinstance(v, TensorBase) else v for v in (x, other)]).category
    if alpha is True or alpha is False:
        if category != dtypes.BOOL:
            raise RuntimeError("Boolean alpha only supported for Boolean results.")
        return other if alpha else mul(other, False)
    if category <= dtypes.INTEGER and isinstance(alpha, (float, complex)):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if category <= dtypes.FLOATING and isinstance(alpha, complex):
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if category == dtypes.BOOL:
        return other if alpha else mul(other, False)
    return mul(other, alpha) if isinstance(other, TensorBase) else other * alpha


def add(input: Any, other: Any, *former: Any, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input + alpha * other, with broadcasting and promotion.

    Shape: any two that broadcast -> the broadcast shape.
    Derivative: g, alpha * g.
    """
    if former:
        other, alpha = reordered("add", other, former)
    return _add(input, other if alpha == 1 else scaled(input, other, alpha), out=out)


def sub(input: Any, other: Any, *former: Any, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input - alpha * other, with broadcasting and promotion.

    Raises:
        RuntimeError: for two bool tensors, as in torch.
    Derivative: g, -alpha * g.
    """
    if former:
        other, alpha = reordered("sub", other, former)
    return _sub(input, other if alpha == 1 else scaled(input, other, alpha), out=out)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:  # noqa: A002
    """other - alpha * input: the reflected subtraction."""
    require_tensor("rsub", input)
    if not isinstance(other, (TensorBase, int, float, complex, np.generic)):
        return NotImplemented
    y = _sub(other, input if alpha == 1 else scaled(other, input, alpha))
    return titled(y, "rsub")


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:  # noqa: A002
    """input / other, with broadcasting; `rounding_mode` is None, 'trunc' or 'floor'.

    Derivative: g / b, -g * a / b^2; zero when rounded.
    Raises:
        RuntimeError: for an integer division by zero with a rounding mode, or an unknown mode.
    """
    if rounding_mode is None:
        return _true_divide(input, other, out=out)
    if rounding_mode == "floor":
        return titled(floor_divide(input, other, out=out), "div_rounded")
    if rounding_mode == "trunc":
        return titled(_divide_trunc(input, other, out=out), "div_rounded")
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


def rdiv(input: Any, other: Any) -> Any:  # noqa: A002
    """other / input: the reflected division."""
    return _true_divide(other, input) if isinstance(other, (TensorBase, int, float, complex, np.generic)) else NotImplemented


def rfloordiv(input: Any, other: Any) -> Any:  # noqa: A002
    """floor(other / input): the reflected floor division."""
    return floor_divide(other, input)


remainder = binary("remainder", _c_round(kernel(_python_remainder, name="remainder")), lambda g: g, lambda g, a, b: -g * floor_divide.op(a, b),
                   numbers="either", doc="a - b * floor(a / b): Python's modulus, its sign is b's.\n\nDerivative: g, -g * floor(a / b).")
fmod = binary("fmod", _c_round(kernel(_c_remainder, name="fmod")), lambda g: g, lambda g, a, b: -g * trunc(a / b),
              doc="a - b * trunc(a / b): C's modulus, its sign is a's.\n\nDerivative: g, -g * trunc(a / b).")


def rremainder(input: Any, other: Any) -> Any:  # noqa: A002
    """other % input: the reflected modulus."""
    return remainder(other, input)


def _power(a: Any, b: Any) -> Any:
    if a.dtype.kind in "iu" and b.dtype.kind == "i" and b.size and b.min() < 0:
        safe = np.power(a, np.maximum(b, 0))
        return np.where(b >= 0, safe, np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0)))
    return np.power(a, b)


@kernel
def power(x: Any, *, exponent: float) -> Any:
    """x^exponent of floats, the usual exponents by products, quotients and roots."""
    if exponent == 2:
        return np.square(x, out=...)
    if exponent == 0.5:
        return np.sqrt(x, out=...)
    if exponent == 3:
        return np.multiply(x * x, x, out=...)
    if exponent == -1:
        return np.reciprocal(x, out=...)
    if exponent == -2:
        return np.reciprocal(x * x, out=...)
    if exponent == -0.5:
        return np.reciprocal(np.sqrt(x), out=...)
    return np.power(x, exponent, out=...)


@kernel
def power_grad(g: Any, x: Any, *, exponent: float) -> Any:
    """g exponent x^(exponent - 1) of floats."""
    return g * (x * 2) if exponent == 2 else g * (power.reference(x, exponent=exponent - 1) * exponent)


def _power_kernel(a: Any, b: Any) -> Any:
    if type(a) is ndarray and (a.dtype is FLOAT32 or a.dtype is FLOAT64) and (type(b) is int or type(b) is float):
        return power(a, exponent=b) if a.size >= MANY else power.reference(a, exponent=b)
    if isinstance(b, int) and b < 0 and a.dtype.kind in "iub":
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if type(b) is ndarray and b.dtype.kind == "b" and (type(a) is bool or (type(a) is ndarray and a.dtype.kind == "b")):
        raise NotImplementedError("\"pow\" not implemented for 'Bool': convert to integers")
    try:
        return promoted(_power, (a, b))
    except ValueError as error:
        raise size_error(error, a, b) from None


def _pow_grad_base(g: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float, complex)):
        if b == 0:
            return no_gradient(g)
        if type(a) is ndarray is type(g) and (a.dtype is FLOAT32 or a.dtype is FLOAT64) and not isinstance(b, complex):
            return power_grad(g, a, exponent=b) if a.size >= MANY else power_grad.reference(g, a, exponent=b)
        return g * (a * 2) if b == 2 else g * (b * pow(a, b - 1))
    return where(b == 0, 0.0, g * (b * pow(a, b - 1)))


def _pow_grad_exponent(g: Any, a: Any, b: Any, y: Any) -> Any:
    # 0 ** b has slope zero for b >= 0, where the formula y * log(a) would give 0 * -inf
    slope = y * (log(a) if isinstance(a, (TensorBase, ndarray)) else np.log(a).item())
    return where((a == 0) & (b == 0 if is_complex_valued(b) else b >= 0), 0.0, g * slope)


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


neg = unary("neg", np.negative, lambda g: -g, "-x. Derivative: -g.", careful=_negate)


def positive(input: Any) -> Any:  # noqa: A002
    """+x: the tensor itself.

    Raises:
        RuntimeError: for a bool tensor.
    """
    require_tensor("positive", input)
    if input._array.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _sign(x: Any) -> Any:
    return np.subtract(x > 0, x < 0, out=..., dtype=x.dtype)  # zero for NaN, too, where np.sign gives NaN


@kernel
def abs_grad(g: Any, x: Any) -> Any:
    """g sign(x) of real arrays."""
    return g * _sign(x)


def _abs_formula(g: Any, x: Any) -> Any:
    if type(g) is ndarray is type(x) and g.dtype is FLOAT32 is x.dtype:
        return abs_grad(g, x) if g.size >= MANY else abs_grad.reference(g, x)
    return (g.real if is_complex_valued(g) else g) * sgn(x)


abs = unary("abs", np.abs, _abs_formula, "|x|. Derivative: g * sgn(x), zero at 0.", holomorphic=False,  # noqa: A001
            careful=refusing("b", np.abs, "abs_cpu"))
sign = unary("sign", kernel(_sign, name="sign"), no_gradient, "-1, 0 or 1; 0 for NaN. Derivative: zero.",
             careful=refusing("c", lambda x: x if x.dtype.kind == "b" else _sign(x), "Unlike NumPy, torch.sign is not intended to support complex "
                              "numbers. Please use torch.sgn instead."))


def _sgn(x: Any) -> Any:
    if x.dtype.kind != "c":
        return x if x.dtype.kind == "b" else _sign(x)
    size = np.abs(x)
    return np.where(size == 0, 0, x / np.where(size == 0, 1, size)).astype(x.dtype)


def _sgn_formula(g: Any, x: Any, y: Any) -> Any:
    if not is_complex_valued(x):
        return no_gradient(g)
    # d sgn(x) = i * sgn(x) * Im(conj(sgn(x)) dx) / |x|
    size = abs(x)
    safe = where(size == 0, size * 0 + 1, size)
    return where(size == 0, 0.0, (g - y * (g * y.conj()).real) / safe)


sgn = unary("sgn", _sgn, _sgn_formula, "x / |x|, zero at zero: `sign` for complex numbers too.", holomorphic=False)
square = unary("square", np.square, lambda g, x: _pow_grad_base(g, x, 2), "x * x. Derivative: 2 * g * x.")
_square_kernel = square.op.kernel
square.op.kernel = lambda x: x.astype(np.int64) if x.dtype.kind == "b" else _square_kernel(x)
reciprocal = unary("reciprocal", np.reciprocal, slope_of_output("reciprocal_grad", lambda g, y: -g * y * y), "1 / x. Derivative: -g / x^2.",
                   rule="float")
sqrt = unary("sqrt", np.sqrt, slope_of_output("sqrt_grad", lambda g, y: g / (y * 2)), "Square root. Derivative: g / (2 sqrt(x)).", rule="float")


def _reciprocal_root(x: Any) -> Any:
    return np.true_divide(1, np.sqrt(x), out=...)


rsqrt = unary("rsqrt", kernel(_reciprocal_root, name="rsqrt"),
              slope_of_output("rsqrt_grad", lambda g, y: g * (y * y * y) * -0.5), "1 / sqrt(x). Derivative: -g x^(-3/2) / 2.", rule="float")

# ---- exponentials and logarithms ----------------------------------------------------------------------------------------------

exp = unary("exp", np.exp, lambda g, y: g * y if type(g) is not ndarray or g.size < MANY else times(g, y), "e^x. Derivative: g * e^x.", rule="float")
exp2 = unary("exp2", np.exp2, lambda g, y: g * y * math.log(2), "2^x. Derivative: g * 2^x * log 2.", rule="float")
expm1 = unary("expm1", np.expm1, lambda g, y: g * (y + 1), "e^x - 1, exact near 0. Derivative: g * e^x.", rule="float")
log = unary("log", np.log, lambda g, x: g / x if type(g) is not ndarray or g.size < MANY else over(g, x), "Natural logarithm. Derivative: g / x.",
            rule="float")
log2 = unary("log2", np.log2, lambda g, x: g / (x * math.log(2)), "Logarithm to base 2. Derivative: g / (x log 2).", rule="float")
log10 = unary("log10", np.log10, lambda g, x: g / (x * math.log(10)), "Logarithm to base 10. Derivative: g / (x log 10).", rule="float")
log1p = unary("log1p", np.log1p, slope_of_input("log1p_grad", lambda g, x: g / (x + 1)), "log(1 + x), exact near 0. Derivative: g / (1 + x).",
              rule="float")


@kernel
def logaddexp_grad(g: Any, a: Any, b: Any) -> Any:
    """g e^a / (e^a + e^b)."""
    return g / (exp(b - a) + 1)


def _logaddexp_formula(g: Any, a: Any, b: Any) -> Any:
    return (logaddexp_grad if type(g) is ndarray and g.size >= MANY and type(a) is ndarray else logaddexp_grad.reference)(g, a, b)


logaddexp = binary("logaddexp", np.logaddexp, _logaddexp_formula, lambda g, a, b: _logaddexp_formula(g, b, a), rule="float",
                   numbers="none", careful=sf.log_add, refuse=refuses("biu", "logaddexp_cpu"),
                   doc="log(e^a + e^b) without overflow. Derivative: g / (1 + e^(b - a)), g / (1 + e^(a - b)).")
logaddexp2 = binary("logaddexp2", np.logaddexp2, lambda g, a, b: g / (exp2(b - a) + 1), lambda g, a, b: g / (exp2(a - b) + 1), rule="float",
                    numbers="none", refuse=refuses("biu", "logaddexp2_cpu"),
                    doc="log2(2^a + 2^b) without overflow. Derivative: g / (1 + 2^(b - a)), g / (1 + 2^(a - b)).")

# ---- trigonometry -------------------------------------------------------------------------------------------------------------

sin = unary("sin", np.sin, slope_of_input("sin_grad", lambda g, x: g * cos(x)), "Sine. Derivative: g * cos(x).", rule="float")
cos = unary("cos", np.cos, slope_of_input("cos_grad", lambda g, x: -g * sin(x)), "Cosine. Derivative: -g * sin(x).", rule="float")
tan = unary("tan", np.tan, lambda g, y: g * (y * y + 1), "Tangent. Derivative: g * (1 + tan(x)^2).", rule="float")
asin = unary("asin", np.arcsin, lambda g, x: g / sqrt(1 - x * x), "Inverse sine. Derivative: g / sqrt(1 - x^2).", rule="float")
acos = unary("acos", np.arccos, lambda g, x: -g / sqrt(1 - x * x), "Inverse cosine. Derivative: -g / sqrt(1 - x^2).", rule="float")
atan = unary("atan", np.arctan, lambda g, x: g / (x * x + 1), "Inverse tangent. Derivative: g / (1 + x^2).", rule="float")
sinh = unary("sinh", np.sinh, lambda g, x: g * cosh(x), "Hyperbolic sine. Derivative: g * cosh(x).", rule="float")
cosh = unary("cosh", np.cosh, lambda g, x: g * sinh(x), "Hyperbolic cosine. Derivative: g * sinh(x).", rule="float")


@kernel
def tanh_grad(g: Any, y: Any) -> Any:
    """g (1 - y^2) of float32 arrays."""
    d = np.multiply(y, y, out=...)
    np.subtract(_ONE, d, out=d)
    return np.multiply(g, d, out=d)


def _tanh_gradient(g: Any, y: Any) -> Any:
    if type(y) is not ndarray or y.dtype is not FLOAT32:
        return g * (1 - y * y)
    return tanh_grad(g, y) if y.size >= MANY else tanh_grad.reference(g, y)


tanh = unary("tanh", np.tanh, _tanh_gradient, "Hyperbolic tangent. Derivative: g * (1 - tanh(x)^2).", rule="float")
asinh = unary("asinh", np.arcsinh, lambda g, x: g / sqrt(x * x + 1), "Inverse hyperbolic sine. Derivative: g / sqrt(x^2 + 1).", rule="float")
acosh = unary("acosh", np.arccosh, lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)),
              "Inverse hyperbolic cosine. Derivative: g / sqrt(x^2 - 1).", rule="float")
atanh = unary("atanh", np.arctanh, lambda g, x: g / (1 - x * x), "Inverse hyperbolic tangent. Derivative: g / (1 - x^2).", rule="float")
atan2 = binary("atan2", np.arctan2, lambda g, a, b: g * b / (a * a + b * b), lambda g, a, b: -g * a / (a * a + b * b), rule="float",
               numbers="none", doc="Angle of the point (b, a). Derivative: g * b / (a^2 + b^2), -g * a / (a^2 + b^2).")
hypot = binary("hypot", np.hypot, lambda g, a, y: g * (a / y), lambda g, b, y: g * (b / y),
               numbers="none", refuse=refuses("biu", "hypot_cpu"), doc="sqrt(a^2 + b^2). Derivative: g * a / y, g * b / y.")
deg2rad = unary("deg2rad", np.deg2rad, lambda g: g * (math.pi / 180), "Degrees to radians.", rule="float")
rad2deg = unary("rad2deg", np.rad2deg, lambda g: g * (180 / math.pi), "Radians to degrees.", rule="float")

# ---- activations that are plain pointwise functions ---------------------------------------------------------------------------

@kernel
def sigmoid_grad(g: Any, y: Any) -> Any:
    """g y (1 - y) of float32 arrays."""
    d = np.subtract(_ONE, y, out=...)
    np.multiply(d, y, out=d)
    return np.multiply(g, d, out=d)


def _sigmoid_gradient(g: Any, y: Any) -> Any:
    if type(y) is not ndarray or y.dtype is not FLOAT32:
        return g * ((1 - y) * y)
    return sigmoid_grad(g, y) if y.size >= MANY else sigmoid_grad.reference(g, y)


sigmoid = unary("sigmoid", kernel(sf.sigmoid), _sigmoid_gradient, "1 / (1 + e^-x). Derivative: g * y * (1 - y).", rule="float")


def _relu(x: Any) -> Any:
    if x.dtype is FLOAT32:
        return np.maximum(x, _ZERO, out=...)
    if x.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    if x.dtype.kind == "c":
        raise NotImplementedError("clamp is not supported for complex types")
    return np.maximum(x, x.dtype.type(0), out=...)


@kernel
def relu_grad(g: Any, y: Any) -> Any:
    """g where y is not 0 or less: also where it is NaN."""
    if g.dtype is FLOAT32 is y.dtype and g.size < _FEW:
        d = g.copy()
        d[np.less_equal(y, _ZERO, out=...)] = 0
        return d
    return kept(g, ~(widened(y) <= 0))


def _relu_gradient(g: Any, y: Any) -> Any:
    if type(g) is ndarray is type(y) and g.dtype.kind == "f":
        return relu_grad(g, y)
    plain = isinstance(g, TensorBase) and get_mode() is None and not get_grad_enabled()
    if plain and g._array.dtype.kind == "V" and g._array.dtype == y._array.dtype:
        return engine_state.wrap(relu_grad(g._array, y._array))
    return kept_op(g, ~(y <= 0))


relu = unary("relu", kernel(_relu, name="relu"), _relu_gradient,
             "max(x, 0); NaN stays NaN. Derivative: g where x > 0, and where x is NaN.")


@kernel
def relu_grad_over(g: Any, y: Any) -> Any:
    """`relu_grad`, written over g."""
    g[y <= 0] = 0
    return g


relu.op.over = relu_grad_over
erf = unary("erf", kernel(sf.erf, name="erf"), slope_of_input("erf_grad", lambda g, x: g * (exp(-x * x) * (2 / math.sqrt(math.pi)))),
            "Error function. Derivative: g * 2 / sqrt(pi) * e^(-x^2).", rule="float", careful=refusing("c", sf.erf, "erf_vml_cpu"), least=1)
erfc = unary("erfc", sf.erfc, lambda g, x: g * (exp(-x * x) * (-2 / math.sqrt(math.pi))),
             "1 - erf(x), exact for large x. Derivative: -g * 2 / sqrt(pi) * e^(-x^2).", rule="float",
             careful=refusing("c", sf.erfc, "erfc_vml_cpu"))

# ---- rounding -----------------------------------------------------------------------------------------------------------------

floor = unary("floor", np.floor, no_gradient, "The largest integer not above x. Derivative: zero.", careful=refusing("b", np.floor, "floor_vml_cpu"))
ceil = unary("ceil", np.ceil, no_gradient, "The smallest integer not below x. Derivative: zero.", careful=refusing("b", np.ceil, "ceil_vml_cpu"))
trunc = unary("trunc", np.trunc, no_gradient, "The integer part. Derivative: zero.", careful=refusing("b", np.trunc, "trunc_vml_cpu"))
frac = unary("frac", refusing("biu", lambda x: x - np.trunc(x), "frac_cpu"), lambda g: g, "The fractional part, with x's sign. Derivative: g.")


def _round(x: Any, *, decimals: int = 0) -> Any:
    if x.dtype is FLOAT32 or x.dtype is FLOAT64:
        return np.asarray(np.round(x, decimals))
    return promoted(refusing("biuc" if decimals else "bc", lambda v: np.round(v, decimals), "round_cpu" if decimals else "round_vml_cpu"), (x,))


_round_op = Op("round", _round, no_gradient, inputs="x")


def round(input: Any, *, decimals: int = 0, out: Any = None) -> Any:  # noqa: A001, A002
    """Nearest integer, halves to even; `decimals` digits after the point. Derivative: zero."""
    require_tensor("round", input)
    y = apply(_round_op, (input,), {"decimals": decimals})
    return y if out is None else put_out(y, out, True, (input,))


# ---- less common functions ----------------------------------------------------------------------------------------------------


def _copysign_formula(g: Any, a: Any, y: Any) -> Any:
    return where(a == 0, 0.0, g * (y / a))


copysign = binary("copysign", np.copysign, lambda g, a, y: _copysign_formula(g, a, y), no_gradient, rule="float", holomorphic=False,
                  doc="|a| with the sign of b, also of -0. Derivative: g * sign(a) * sign(b), zero at a = 0.")
nextafter = binary("nextafter", np.nextafter, lambda g: g, no_gradient, numbers="none", refuse=refuses("biu", "nextafter_cpu"),
                   doc="The next representable number after a towards b.")
gcd = binary("gcd", refusing("bfc", np.gcd, "gcd_cpu"), None, None, numbers="none", doc="Greatest common divisor of integers.")
lcm = binary("lcm", refusing("bfc", np.lcm, "lcm_cpu"), None, None, numbers="none", doc="Least common multiple of integers.")
_heaviside = binary("heaviside", np.heaviside, None, None, numbers="none", doc="Step function.",
                    refuse=refuses("c", "heaviside is not yet implemented for complex tensors.", RuntimeError),
                    careful=lambda a, b: np.where(a == 0, b, (a > 0).astype(b.dtype)))


def heaviside(input: Any, values: Any, *, out: Any = None) -> Any:  # noqa: A002
    """0 for negative elements, 1 for positive ones, `values` at zero.

    Raises:
        RuntimeError: if the dtypes differ.
    """
    require_tensor("heaviside", input)
    require_tensor("heaviside", values, "values", 2)
    if input._array.dtype != values._array.dtype:
        raise RuntimeError(f"heaviside is not yet implemented for tensors with different dtypes: {input.dtype} and {values.dtype}")
    return _heaviside(input, values, out=out)


def ldexp(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002
    """input * 2 ** other."""
    require_tensor("ldexp", input)
    require_tensor("ldexp", other, "other", 2)
    return mul(input, pow(2.0, other), out=out)


def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:  # noqa: A002
    """input ** exponent in float64 (complex128 for complex numbers)."""
    operands = [input, exponent]
    wide = "complex128" if any(is_complex_valued(x) for x in operands) else "float64"
    wanted = dtypes.complex128 if wide == "complex128" else dtypes.float64
    base, power = (x.to(wanted) if isinstance(x, TensorBase) else x for x in operands)  # type: ignore[attr-defined]
    return pow(base, power, out=out)


def _xlogy(a: Any, b: Any) -> Any:
    return np.where((a == 0) & ~np.isnan(b), 0, a * np.log(b))


def _xlogy_formula(g: Any, a: Any, b: Any) -> Any:
    log_b = float(np.log(b)) if isinstance(b, (int, float)) else log(b)
    return where((a == 0) & (b <= 0), 0.0, g * log_b)


xlogy = binary("xlogy", _xlogy, _xlogy_formula, lambda g, a, b: g * a / b, rule="float", refuse=refuses("c", "xlogy_cpu"),
               numbers="either", doc="a * log(b), zero where a is zero. Derivative: g * log(b), g * a / b.")
_logit = unary("logit", refusing("c", lambda x: np.log(x / (1 - x)), "logit_cpu"), lambda g, x: g / (x * (1 - x)), "log(x / (1 - x)).", rule="float")


def logit(input: Any, eps: float | None = None, *, out: Any = None) -> Any:  # noqa: A002
    """log(x / (1 - x)), the inverse of sigmoid; with `eps`, of x clamped to [eps, 1 - eps]. Derivative: g / (x (1 - x))."""
    require_tensor("logit", input)
    return _logit(input if eps is None else clamp(input, eps, 1 - eps), out=out)


def _sinc_formula(g: Any, x: Any) -> Any:
    t = x * math.pi
    safe = where(x == 0, 1.0, x)
    return where(x == 0, 0.0, g * ((t * cos(t) - sin(t)) / (safe * safe * math.pi)))


def _sinc(x: Any) -> Any:
    t = x * math.pi
    return np.where(x == 0, np.ones((), x.dtype), np.sin(t) / t)


sinc = unary("sinc", _sinc, _sinc_formula, "sin(pi x) / (pi x), one at zero. Derivative: g (cos(pi x) - sinc(x)) / x, zero at zero.",
             rule="float")
