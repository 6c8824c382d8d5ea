"""Activations: pointwise functions between layers. (relu, sigmoid and tanh are in elementwise, softmax in softmax.)

Each is a function on arrays, computed in at least float32, and one formula for its derivative, which holds for Tensors as
well, so that it can be differentiated again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.autograd_engine import TensorBase
from mytorch.backends import kernel
from mytorch.generator import default_generator
from mytorch.grad_mode import by_example
from mytorch.ops import special_functions as sf
from mytorch.ops.autocast import get_casting, lowered
from mytorch.ops.choices import kept_op
from mytorch.ops.common import Op, apply, apply_inplace, narrowed, require_tensor, widened, wrap_dim
from mytorch.ops.elementwise import abs as absolute
from mytorch.ops.elementwise import add, div, exp, mul, sigmoid, sub, tanh, where
from mytorch.ops.elementwise import relu as _plain_relu
from mytorch.ops.pointwise import POINTWISE
from mytorch.ops.shape import basic_op, cat_op, reshape, shape_of

__mytorch__ = True


def _activation(name: str, function: Callable[..., Any], formula: Callable[..., Any]) -> Op:
    """An operation from a function on arrays of float32 or float64 (or integers) and its formula.

    A backend may answer both on arrays: as the kernels `name` and `name`_grad, which take what the function and the formula take.
    """

    names = formula.__code__.co_varnames[2:formula.__code__.co_argcount]  # of the metadata that the formula takes

    def compute(x: Any, **meta: Any) -> Any:
        return narrowed(np.asarray(function(widened(x), **meta)), x.dtype)

    def slope(g: Any, x: Any, **meta: Any) -> Any:
        return formula(g, x, *[meta[key] for key in names])

    gradient = kernel(slope, name=f"{name}_grad")

    def formula_of_two(g: Any, x: Any) -> Any:
        return gradient(g, x) if type(g) is np.ndarray is type(x) else formula(g, x)

    def formula_of_more(g: Any, x: Any, meta: Any) -> Any:
        return (gradient if type(g) is np.ndarray is type(x) else slope)(g, x, **meta)

    op = Op(name, kernel(compute, name=name), formula_of_more if names else formula_of_two, inputs="x")
    POINTWISE.add(op)
    return op


def _run(op: Op, x: Any, inplace: bool, meta: dict[str, Any] | None = None, integers: bool = False) -> Any:
    require_tensor(op.name, x)
    if x._array.dtype.kind not in "fV" and not (integers and x._array.dtype.kind in "iu"):
        raise NotImplementedError(f"\"{op.name}_cpu\" not implemented for '{dtypes.legacy_name(x.dtype)}': convert with .float()")
    return apply_inplace(op, (x,), meta) if inplace else apply(op, (x,), meta)


# ---- relu and its relatives ---------------------------------------------------------------------------------------------------


def relu(input: Any, inplace: bool = False) -> Any:  # noqa: A002
    """max(x, 0); NaN stays NaN. Derivative: g where x > 0."""
    if inplace:
        require_tensor("relu", input)
        return apply_inplace(_plain_relu.op, (input,))
    return _plain_relu(input)


def _leaky(x: Any, *, slope: float) -> Any:
    y = np.multiply(x, x.dtype.type(slope), out=...)
    return np.maximum(x, y, out=y) if 0 <= slope <= 1 else np.where(x > 0, x, y)


_leaky_relu_op: Op = _activation("leaky_relu", _leaky, lambda g, x, slope: where(x > 0, g, g * slope))


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:  # noqa: A002
    """x where x > 0, negative_slope * x elsewhere. Derivative: g or negative_slope * g.

    Source: Maas, Hannun, Ng 2013
    """
    if not isinstance(negative_slope, (int, float)):
        raise errors.type_error("leaky_relu", "negative_slope", 2, "Number", negative_slope)
    return _run(_leaky_relu_op, input, inplace, {"slope": negative_slope})


def _prelu(x: Any, weight: Any) -> Any:
    wide = widened(x)
    return narrowed(where(wide > 0, wide, mul(wide, widened(weight))), x.dtype)


_prelu_op: Op = Op("prelu", _prelu, lambda g, x, weight: where(x > 0, g, mul(g, weight)), lambda g, x: kept_op(mul(g, x), x <= 0))


def prelu(input: Any, weight: Any) -> Any:  # noqa: A002
    """x where x > 0, weight * x elsewhere, with one learned slope for all or one per channel (dimension 1).

    Raises:
        RuntimeError: if the number of slopes is neither 1 nor that of the channels, or dtypes differ.
    Derivative: g or weight * g; for weight the sum of g * x where x <= 0.
    Source: He et al. 2015, arXiv:1502.01852
    """
    require_tensor("prelu", input)
    require_tensor("prelu", weight, "weight", 2)
    if get_casting() is not None:
        input, weight = lowered(input, weight)  # noqa: A001
    x, w = input._array, weight._array
    if x.dtype != w.dtype:
        raise RuntimeError("prelu: Type promoting not supported. "
                           f"Got {dtypes.legacy_name(input.dtype)} and {dtypes.legacy_name(weight.dtype)}")
    if w.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {w.ndim}")
    if w.size != 1:
        if x.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = x.shape[1] if x.ndim > 1 else 1
        if channels != w.size:
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {w.size} and "
                               f"channel size = {channels}.")
    if w.ndim == 1:
        weight = reshape(weight, [w.size if d == 1 else 1 for d in range(x.ndim)])
    return apply(_prelu_op, (input, weight))


_rrelu_op: Op = Op("rrelu_with_noise", lambda x, noise: narrowed(np.multiply(widened(x), noise, out=...), x.dtype), lambda g, noise: g * noise, None)


@by_example
def rrelu(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Any:  # noqa: A002
    """Leaky relu whose slope is drawn from [lower, upper) for each x <= 0 in training, and is their mean otherwise.

    Source: Xu et al. 2015, arXiv:1505.00853
    """
    if lower > upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound: got {lower} and {upper}")
    if not training:
        return _run(_leaky_relu_op, input, inplace, {"slope": (lower + upper) / 2})
    require_tensor("rrelu", input)
    wide = widened(input._array)
    noise = np.ones(wide.shape, wide.dtype)
    negative = wide <= 0
    noise[negative] = default_generator.uniform((int(negative.sum()),), lower, upper, np.float64)
    return apply_inplace(_rrelu_op, (input, noise)) if inplace else apply(_rrelu_op, (input, noise))


_threshold_op: Op = _activation("threshold", lambda x, *, limit, value: np.where(x <= limit, x.dtype.type(value), x),
                            lambda g, x, limit: kept_op(g, x > limit))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:  # noqa: A002
    """x where x > threshold, value elsewhere. Derivative: g where x > threshold."""
    errors.require_numbers("threshold", threshold=threshold, value=value)
    return _run(_threshold_op, input, inplace, {"limit": threshold, "value": value}, integers=True)


_hardtanh_op: Op = _activation("hardtanh", lambda x, *, low, high: np.minimum(np.maximum(x, x.dtype.type(low)), x.dtype.type(high)),
                           lambda g, x, low, high: kept_op(g, (x > low) & (x < high)))


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:  # noqa: A002
    """x limited to [min_val, max_val]. Derivative: g strictly inside.

    Raises:
        ValueError: if min_val > max_val.
    """
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val: got {min_val} and {max_val}")
    return _run(_hardtanh_op, input, inplace, {"low": min_val, "high": max_val}, integers=True)


def relu6(input: Any, inplace: bool = False) -> Any:  # noqa: A002
    """min(max(x, 0), 6). Derivative: g where 0 < x < 6."""
    return _run(_hardtanh_op, input, inplace, {"low": 0, "high": 6}, integers=True)


_hardsigmoid_op: Op = _activation("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6,
                              lambda g, x: kept_op(g / 6, (x > -3) & (x < 3)))
_hardswish_op: Op = _activation("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6,
                            lambda g, x: kept_op(where(x < 3, g * (x / 3 + 0.5), g), x > -3))


def hardsigmoid(input: Any, inplace: bool = False) -> Any:  # noqa: A002
    """min(max(x + 3, 0), 6) / 6: the sigmoid in straight lines. Derivative: g / 6 where -3 < x < 3."""
    return _run(_hardsigmoid_op, input, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:  # noqa: A002
    """x * hardsigmoid(x). Derivative: g * (x / 3 + 1/2) where -3 < x < 3, g above.

    Source: Howard et al. 2019, arXiv:1905.02244
    """
    return _run(_hardswish_op, input, inplace)


_hardshrink_op: Op = _activation("hardshrink", lambda x, *, lambd: np.where((x >= -lambd) & (x <= lambd), x.dtype.type(0), x),
                             lambda g, x, lambd: kept_op(g, (x < -lambd) | (x > lambd)))
_softshrink_op: Op = _activation(
    "softshrink", lambda x, *, lambd: np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0)),
    lambda g, x, lambd: kept_op(g, (x < -lambd) | (x > lambd)))


def hardshrink(input: Any, lambd: float = 0.5) -> Any:  # noqa: A002
    """x where |x| > lambd, 0 elsewhere. Derivative: g where |x| > lambd."""
    return _run(_hardshrink_op, input, False, {"lambd": lambd})


def softshrink(input: Any, lambd: float = 0.5) -> Any:  # noqa: A002
    """x - lambd above lambd, x + lambd below -lambd, 0 between. Derivative: g where |x| > lambd.

    Raises:
        RuntimeError: for a negative lambd.
    """
    if lambd < 0:
        require_tensor("softshrink", input)
        raise RuntimeError(f"lambda must be in range [0, {dtypes.finfo(input.dtype).max:g}] for input dtype {dtypes.legacy_name(input.dtype)}, but "
                           f"found {lambd}")
    return _run(_softshrink_op, input, False, {"lambd": lambd})


# ---- exponential units --------------------------------------------------------------------------------------------------------

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946
# min(x, 0) whose derivative at 0 counts as that of x: exp of it never overflows
_below_zero: Op = _activation("clamp_max", lambda x: np.minimum(x, x.dtype.type(0)), lambda g, x: kept_op(g, x <= 0))


def _elu(x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    negative = np.expm1(np.minimum(x, x.dtype.type(0)) * x.dtype.type(input_scale))
    return np.where(x > 0, x * x.dtype.type(scale), negative * x.dtype.type(alpha * scale))


_elu_op: Op = _activation("elu", _elu, lambda g, x, alpha, scale, input_scale: where(
    x > 0, g * scale, g * exp(_below_zero(x) * input_scale) * (alpha * scale * input_scale)))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:  # noqa: A002
    """x where x > 0, alpha * (e^x - 1) elsewhere. Derivative: g, or g * alpha * e^x.

    Source: Clevert, Unterthiner, Hochreiter 2016, arXiv:1511.07289
    """
    return _run(_elu_op, input, inplace, {"alpha": alpha, "scale": 1.0, "input_scale": 1.0})


def selu(input: Any, inplace: bool = False) -> Any:  # noqa: A002
    """1.0507 * elu(x, 1.6733): keeps mean 0 and variance 1. Source: Klambauer et al. 2017, arXiv:1706.02515"""
    return _run(_elu_op, input, inplace, {"alpha": _SELU_ALPHA, "scale": _SELU_SCALE, "input_scale": 1.0})


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:  # noqa: A002
    """x where x > 0, alpha * (e^(x / alpha) - 1) elsewhere. Source: Barron 2017, arXiv:1704.07483

    Raises:
        RuntimeError: for alpha = 0.
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _run(_elu_op, input, inplace, {"alpha": alpha, "scale": 1.0, "input_scale": 1.0 / alpha})


def _log1p_exp(x: Any) -> Any:
    """log(1 + e^x) without overflow."""
    return np.maximum(x, x.dtype.type(0)) + np.log1p(np.exp(-np.abs(x)))


def _softplus(x: Any, *, beta: float, limit: float) -> Any:
    scaled = x * x.dtype.type(beta)
    return np.where(scaled > limit, x, _log1p_exp(scaled) / x.dtype.type(beta))


_softplus_op: Op = _activation("softplus", _softplus, lambda g, x, beta, limit: where(x * beta > limit, g, g * sigmoid(x * beta)))
_logsigmoid_op: Op = _activation("log_sigmoid", lambda x: -_log1p_exp(-x), lambda g, x: g * sigmoid(-x))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:  # noqa: A002
    """log(1 + e^(beta * x)) / beta, x itself where beta * x > threshold. Derivative: g * sigmoid(beta * x)."""
    errors.require_numbers("softplus", beta=beta, threshold=threshold)
    return _run(_softplus_op, input, False, {"beta": beta, "limit": threshold})


def logsigmoid(input: Any) -> Any:  # noqa: A002
    """log(sigmoid(x)) = -log(1 + e^-x). Derivative: g * sigmoid(-x)."""
    return _run(_logsigmoid_op, input, False)


# ---- smooth gates -------------------------------------------------------------------------------------------------------------


def _silu(x: Any) -> Any:
    return x * sf.sigmoid(x)


def _silu_formula(g: Any, x: Any) -> Any:
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


_silu_op: Op = _activation("silu", _silu, _silu_formula)


def silu(input: Any, inplace: bool = False) -> Any:  # noqa: A002
    """x * sigmoid(x), also called swish. Derivative: g * s * (1 + x * (1 - s)), s = sigmoid(x).

    Source: Elfwing, Uchibe, Doya 2017, arXiv:1702.03118
    """
    if isinstance(input, TensorBase) and input._array.dtype.kind == "c":
        y = mul(input, sigmoid(input))
        return input.copy_(y) if inplace else y  # type: ignore[attr-defined]
    return _run(_silu_op, input, inplace)


def _mish_formula(g: Any, x: Any) -> Any:
    t = tanh(_softplus_op(x, beta=1.0, limit=math.inf))
    return g * (t + x * (1 - t * t) * sigmoid(x))


_mish_op: Op = _activation("mish", lambda x: x * np.tanh(_log1p_exp(x)), _mish_formula)


def mish(input: Any, inplace: bool = False) -> Any:  # noqa: A002
    """x * tanh(softplus(x)). Derivative: g * (t + x * (1 - t^2) * sigmoid(x)), t = tanh(softplus(x)).

    Source: Misra 2019, arXiv:1908.08681
    """
    return _run(_mish_op, input, inplace)


# erf(x) = x * P(x^2) / Q(x^2) on |x| < 3.92, fitted for the least relative error (2e-8; 4e-7 once evaluated in float32)
_ERF_P = (2.0501171283268035e-06, 0.00028487850679339834, 0.003765439523653334, 0.052748182608191425, 0.19040236471107183,
          1.128379146303299)
_ERF_Q = (3.809180068915081e-05, 0.0011624918841185983, 0.014968864404042775, 0.11410741680914907, 0.502072444703187, 1.0)
_ROOT_HALF = math.sqrt(0.5)
_TANH_SCALE, _TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


def _horner(coefficients: tuple[float, ...], z: Any) -> Any:
    y = z * z.dtype.type(coefficients[0])
    for c in coefficients[1:-1]:
        y += z.dtype.type(c)
        y *= z
    y += z.dtype.type(coefficients[-1])
    return y


def _normal_cdf(x: Any) -> Any:
    """(1 + erf(x / sqrt 2)) / 2."""
    if x.dtype != np.float32:
        return 0.5 * (1 + sf.erf(x * _ROOT_HALF))
    u = np.clip(x * np.float32(_ROOT_HALF), np.float32(-3.92), np.float32(3.92))
    z = u * u
    u *= _horner(_ERF_P, z)
    u /= _horner(_ERF_Q, z)
    u += np.float32(1)
    u *= np.float32(0.5)
    return u


def _inner_tanh(x: Any) -> Any:
    kind = x.dtype.type
    return np.tanh(kind(_TANH_SCALE) * (x + kind(_TANH_CUBIC) * (x * x * x)))


@kernel
def gelu_forward(x: Any, *, approximate: str) -> Any:
    """x times the normal distribution function at x, or its approximation by tanh."""
    wide = widened(x)
    if approximate == "none":
        return narrowed(np.asarray(wide * _normal_cdf(wide)), x.dtype)
    return narrowed(np.asarray(wide * (0.5 * (1 + _inner_tanh(wide)))), x.dtype)


@kernel
def gelu_grad(g: Any, x: Any, *, approximate: str) -> Any:
    """g times the derivative of gelu at x."""
    wide = widened(x)
    kind = wide.dtype.type
    if approximate == "none":
        slope = np.exp(wide * wide * kind(-0.5)) * kind(1 / math.sqrt(2 * math.pi)) * wide + _normal_cdf(wide)
    else:
        t = _inner_tanh(wide)
        slope = 0.5 * (1 + t) + kind(0.5) * wide * (1 - t * t) * (kind(_TANH_SCALE) * (1 + kind(3 * _TANH_CUBIC) * wide * wide))
    return narrowed(np.asarray(widened(g) * slope), x.dtype)


def _gelu_curve(h: Any, g: Any, x: Any, approximate: str) -> Any:
    """h * g times the second derivative of gelu."""
    if approximate == "none":
        return h * g * (exp(x * x * -0.5) * (2 - x * x) * (1 / math.sqrt(2 * math.pi)))
    t = tanh((x + x * x * x * _TANH_CUBIC) * _TANH_SCALE)
    first = (x * x * (3 * _TANH_CUBIC) + 1) * _TANH_SCALE  # of the argument of tanh
    second = x * (6 * _TANH_CUBIC * _TANH_SCALE)
    return h * g * (1 - t * t) * (first + x * (second * 0.5 - t * first * first))


_gelu_op: Op = Op("gelu", gelu_forward, lambda g, x, approximate: _gelu_grad_op(g, x, approximate=approximate))
_gelu_grad_op: Op = Op("gelu_backward", gelu_grad, lambda h, x, approximate: _gelu_grad_op(h, x, approximate=approximate),
                   lambda h, g, x, approximate: _gelu_curve(h, g, x, approximate))


def gelu(input: Any, approximate: str = "none") -> Any:  # noqa: A002
    """x * P(X <= x) for a standard normal X: x * (1 + erf(x / sqrt 2)) / 2.

    Args:
        approximate: 'none', or 'tanh' for x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
    Derivative: g * (P(X <= x) + x * density(x)).
    Source: Hendrycks, Gimpel 2016, arXiv:1606.08415
    """
    if approximate not in ("none", "tanh"):
        wrong = RuntimeError(f"approximate argument must be either none or tanh, got {approximate!r}.")
        raise wrong if isinstance(approximate, str) else errors.type_error("gelu", "approximate", 2, "str", approximate)
    return _run(_gelu_op, input, False, {"approximate": approximate})


def softsign(input: Any) -> Any:  # noqa: A002
    """x / (1 + |x|)."""
    return div(input, add(absolute(input), 1))


def tanhshrink(input: Any) -> Any:  # noqa: A002
    """x - tanh(x)."""
    return sub(input, tanh(input))


def _half(dim: int, size: int, second: bool) -> tuple[slice, ...]:
    return (*[slice(None)] * dim, slice(size // 2, size) if second else slice(0, size // 2))


@kernel
def glu_forward(x: Any, *, dim: int) -> Any:
    """The first half times the sigmoid of the second."""
    wide = widened(x)
    size = x.shape[dim]
    return narrowed(wide[_half(dim, size, False)] * sf.sigmoid(wide[_half(dim, size, True)]), x.dtype)


@kernel
def glu_grad(g: Any, x: Any, *, dim: int) -> Any:
    """The gradients of both halves, one behind the other (arrays or Tensors)."""
    a, b = (basic_op(x, key=_half(dim, shape_of(x)[dim], second)) for second in (False, True))
    s = sigmoid(b)
    return cat_op(g * s, g * a * (s * (1 - s)), dim=dim)


_glu_op: Op = Op("glu", glu_forward, lambda g, x, dim: (glu_grad.reference if isinstance(x, TensorBase) else glu_grad)(g, x, dim=dim))


def glu(input: Any, dim: int = -1) -> Any:  # noqa: A002
    """The first half times the sigmoid of the second half, along a dimension. Shape: (*, 2n, *) -> (*, n, *).

    Raises:
        RuntimeError: if the dimension has an odd size.
    Source: Dauphin et al. 2017, arXiv:1612.08083
    """
    require_tensor("glu", input)
    errors.require_int("glu", "dim", 2, dim)
    shape = input._array.shape
    if not shape:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    d = wrap_dim(dim, len(shape))
    if shape[d] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {d} is size {shape[d]}")
    return _run(_glu_op, input, False, {"dim": d})


# ---- in place -----------------------------------------------------------------------------------------------------------------


def relu_(input: TensorBase) -> Any:  # noqa: A002
    """In-place `relu`."""
    return relu(input, True)


def leaky_relu_(input: TensorBase, negative_slope: float = 0.01) -> Any:  # noqa: A002
    """In-place `leaky_relu`."""
    return leaky_relu(input, negative_slope, True)


def rrelu_(input: TensorBase, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:  # noqa: A002
    """In-place `rrelu`."""
    return rrelu(input, lower, upper, training, True)


def threshold_(input: TensorBase, threshold: float, value: float) -> Any:  # noqa: A002
    """In-place `threshold`."""
    return _run(_threshold_op, input, True, {"limit": threshold, "value": value}, integers=True)


def hardtanh_(input: TensorBase, min_val: float = -1.0, max_val: float = 1.0) -> Any:  # noqa: A002
    """In-place `hardtanh`."""
    return hardtanh(input, min_val, max_val, True)


def elu_(input: TensorBase, alpha: float = 1.0) -> Any:  # noqa: A002
    """In-place `elu`."""
    return elu(input, alpha, True)


def selu_(input: TensorBase) -> Any:  # noqa: A002
    """In-place `selu`."""
    return selu(input, True)


def celu_(input: TensorBase, alpha: float = 1.0) -> Any:  # noqa: A002
    """In-place `celu`."""
    return celu(input, alpha, True)


__all__ = ["celu", "celu_", "elu", "elu_", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_",
           "leaky_relu", "leaky_relu_", "logsigmoid", "mish", "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu",
           "selu_", "silu", "softplus", "softshrink", "softsign", "tanhshrink", "threshold", "threshold_"]
