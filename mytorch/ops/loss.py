"""Losses of two tensors, element by element: squared, absolute, binary cross entropy, Kullback-Leibler, Poisson, Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, errors
from mytorch.autograd_engine import no_grad
from mytorch.backends import kernel
from mytorch.ops.autocast import full_precision, get_casting, in_float32
from mytorch.ops.common import Op, TensorBase, apply, narrowed, result_dtype, widened
from mytorch.ops.cross_entropy import check_tensors, chosen_reduction
from mytorch.ops.elementwise import abs as absolute
from mytorch.ops.elementwise import exp, kept_op, log, log1p, maximum, minimum, sgn, sigmoid, where
from mytorch.ops.shape import broadcast_tensors, shape_of
from mytorch.ops.sums import converted

__mytorch__ = True

# ---- what they share ----------------------------------------------------------------------------------------------------------


def elementwise_loss(name: str, value: Callable[..., Any], *formulas: Callable[..., Any] | None, inputs: str = "x target") -> Op:
    """An op that computes the loss of each element and reduces it: `value` on arrays, then none, mean or sum.

    Its formulas are written for one element's loss times `s`: see `_slope`.
    """

    def loss(*operands: Any, reduction: str, **meta: Any) -> Any:
        first = operands[0]
        values = value(*[None if a is None else widened(a) for a in operands], **meta)
        if reduction != "none":
            size = values.size
            values = np.add.reduce(values, axis=None, out=...)
            if reduction == "mean":
                values = np.true_divide(values, size, out=...)
        return narrowed(np.asarray(values), first.dtype)

    loss.__module__ = value.__module__
    return Op(name, kernel(loss, name=name), *formulas, inputs=inputs)


def _gradient(name: str, formula: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of x as a kernel on arrays; on Tensors it is the formula itself, which is also the kernel's reference."""
    on_arrays = kernel(formula, name=name)

    def gradient(g: Any, x: Any, target: Any, reduction: str, *rest: Any) -> Any:
        return on_arrays(g, x, target, reduction, *rest) if type(x) is ndarray and type(g) is ndarray else formula(g, x, target, reduction, *rest)

    return gradient if on_arrays.override is not None else formula


def _slope(g: Any, reduction: str, x: Any, target: Any) -> Any:
    """d(result) / d(loss of an element), times g: g itself, or its share of the mean."""
    if reduction != "mean":
        return g
    return g / max(math.prod(np.broadcast_shapes(shape_of(x), shape_of(target))), 1)


def reduced(values: Any, reduction: str) -> Any:
    """A Tensor of losses reduced as asked."""
    return values if reduction == "none" else values.sum() if reduction == "sum" else values.mean()


def _pair(name: str, x: Any, target: Any, integers: bool = False) -> tuple[Any, Any]:
    """Both tensors in their promoted dtype, with torch's warning where their shapes differ."""
    check_tensors(name, input=x, target=target)
    if get_casting() is not None:
        x, target = in_float32(x, target)
    a, b = x._array, target._array
    if a.shape != b.shape:
        import warnings
        warnings.warn(f"Using a target size (torch.Size({list(b.shape)})) that is different to the input size "
                      f"(torch.Size({list(a.shape)})). This will likely lead to incorrect results due to broadcasting. "
                      "Please ensure they have the same size.", UserWarning, stacklevel=3)
        x, target = broadcast_tensors(x, target)
    if a.dtype != b.dtype:
        common = result_dtype(a, b)
        x, target = converted(x, common), converted(target, common)
    kind = x._array.dtype.kind
    if (not integers and kind in "biu") or (kind == "c" and name in ("mse_loss", "smooth_l1_loss", "huber_loss")):
        legacy = dtypes.legacy_name(dtypes.from_numpy_dtype(x._array.dtype))
        raise NotImplementedError(f"{name} is not implemented for '{legacy}': convert the input to a floating dtype")
    return x, target


def as_dtype_of(like: Any, y: Any) -> Any:
    """A loss in the dtype of one of its inputs, which torch makes its output of."""
    if get_casting() is not None or y._array.dtype == like._array.dtype:
        return y
    if like._array.dtype.kind in "biu":
        given, of = (dtypes.legacy_name(dtypes.from_numpy_dtype(t._array.dtype)) for t in (y, like))
        raise RuntimeError(f"result type {given} can't be cast to the desired output type {of}")
    return converted(y, like.dtype)


def _weighted(values: Any, weight: Any, reduction: str, over_weights: bool) -> Any:
    """Losses times weights of the same shape; their mean is over the sum of the weights, or over the elements."""
    if weight._array.shape != values._array.shape:
        raise ValueError("Weights and input must have the same size.")
    values = values * weight
    return values.sum() / weight.sum() if reduction == "mean" and over_weights else reduced(values, reduction)


# ---- squared and absolute differences -----------------------------------------------------------------------------------------


def _squares(x: Any, target: Any) -> Any:
    d = np.subtract(x, target, out=...)
    return np.square(d, out=d)


_mse_grad = _gradient("mse_loss_grad", lambda g, x, target, reduction: (x - target) * (_slope(g, reduction, x, target) * 2))
_mse_op = elementwise_loss(
    "mse_loss", _squares,
    lambda g, x, target, reduction: _mse_grad(g, x, target, reduction),
    lambda g, x, target, reduction: _mse_grad(g, target, x, reduction))


def mse_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",  # noqa: A002
             weight: Any = None) -> Any:
    """The squared difference (x - target)^2: its mean, sum, or each ('none').

    Args:
        weight: a factor per element; the mean is then over the sum of the weights.
        size_average, reduce: deprecated; use reduction.
    Shape: x, target (D...), which broadcast with a warning -> (), or (D...) for 'none'.
    Raises:
        ValueError: for an unknown reduction. NotImplementedError: for integers.
    Derivative: 2 (x - target) g / n.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    x, target = _pair("mse_loss", input, target)
    if weight is not None:
        return _weighted(apply(_mse_op, (x, target), {"reduction": "none"}), weight, reduction, True)
    return apply(_mse_op, (x, target), {"reduction": reduction})


_l1_grad = _gradient("l1_loss_grad", lambda g, x, target, reduction: sgn(x - target) * _slope(g, reduction, x, target))
_l1_op = elementwise_loss(
    "l1_loss", lambda x, target: np.abs(np.subtract(x, target, out=...)),
    lambda g, x, target, reduction: _l1_grad(g, x, target, reduction),
    lambda g, x, target, reduction: _l1_grad(g, target, x, reduction))


def l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",  # noqa: A002
            weight: Any = None) -> Any:
    """The absolute difference |x - target|: its mean, sum, or each ('none'). Arguments as for `mse_loss`.

    Derivative: sign(x - target) g / n, 0 where they are equal.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    x, target = _pair("l1_loss", input, target, integers=True)
    if weight is not None or x._array.dtype.kind in "biuc":
        values = absolute(x - target)
        return reduced(values, reduction) if weight is None else _weighted(values, weight, reduction, True)
    return apply(_l1_op, (x, target), {"reduction": reduction})


def _smooth(x: Any, target: Any, *, beta: float) -> Any:
    size = np.abs(np.subtract(x, target, out=...))
    return np.where(size < beta, size * size * (0.5 / beta if beta else 0.0), size - 0.5 * beta)


def _smooth_slope(d: Any, beta: float) -> Any:
    if not beta:
        return sgn(d)
    far = absolute(d) >= beta  # false for NaN, which so passes
    return kept_op(d / beta, ~far) + kept_op(sgn(d), far)


_smooth_l1_grad = _gradient(
    "smooth_l1_loss_grad", lambda g, x, target, reduction, beta: _smooth_slope(x - target, beta) * _slope(g, reduction, x, target))
_smooth_l1_op = elementwise_loss(
    "smooth_l1_loss", _smooth,
    lambda g, x, target, reduction, beta: _smooth_l1_grad(g, x, target, reduction, beta),
    lambda g, x, target, reduction, beta: _smooth_l1_grad(g, target, x, reduction, beta))


def smooth_l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",  # noqa: A002
                   beta: float = 1.0) -> Any:
    """With d = x - target: d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere.

    Raises:
        RuntimeError: for a negative beta; 0 gives `l1_loss`.
    Derivative: (d / beta, or sign(d)) g / n.
    Source: Girshick 2015, eq. 3, arXiv:1504.08083
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    x, target = _pair("smooth_l1_loss", input, target)
    return apply(_smooth_l1_op, (x, target), {"reduction": reduction, "beta": beta})


def _huber(x: Any, target: Any, *, delta: float) -> Any:
    size = np.abs(np.subtract(x, target, out=...))
    return np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))


def _huber_slope(d: Any, delta: float) -> Any:
    far = absolute(d) > delta  # false for NaN, which so passes
    return kept_op(d, ~far) + kept_op(sgn(d) * delta, far)


_huber_grad = _gradient(
    "huber_loss_grad", lambda g, x, target, reduction, delta: _huber_slope(x - target, delta) * _slope(g, reduction, x, target))
_huber_op = elementwise_loss(
    "huber_loss", _huber,
    lambda g, x, target, reduction, delta: _huber_grad(g, x, target, reduction, delta),
    lambda g, x, target, reduction, delta: _huber_grad(g, target, x, reduction, delta))


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:  # noqa: A002
    """With d = x - target: d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere.

    Args:
        weight: a factor per element; the mean stays one over the elements.
    Raises:
        RuntimeError: unless delta is positive.
    Derivative: (d, or delta sign(d)) g / n.
    Source: Huber 1964, doi:10.1214/aoms/1177703732
    """
    reduction = chosen_reduction(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    x, target = _pair("huber_loss", input, target)
    if weight is not None:
        return _weighted(apply(_huber_op, (x, target), {"reduction": "none", "delta": delta}), weight, reduction, False)
    return as_dtype_of(input, apply(_huber_op, (x, target), {"reduction": reduction, "delta": delta}))


# ---- binary cross entropy -----------------------------------------------------------------------------------------------------


def _bce(x: Any, target: Any) -> Any:
    # the logarithms are kept above -100, so that one sure mistake cannot make the sum infinite
    return (target - 1) * np.maximum(np.log1p(-x), -100) - target * np.maximum(np.log(x), -100)


_bce_grad = _gradient(
    "bce_loss_grad", lambda g, x, target, reduction: _slope(g, reduction, x, target) * (x - target) / maximum.op((1 - x) * x, 1e-12))
_bce_op = elementwise_loss(
    "binary_cross_entropy", _bce,
    lambda g, x, target, reduction: _bce_grad(g, x, target, reduction),
    lambda g, x, target, reduction: _slope(g, reduction, x, target) * (log1p(-x) - log(x)))


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,  # noqa: A002
                         reduce: bool | None = None, reduction: str = "mean") -> Any:
    """-(t log(x) + (1 - t) log(1 - x)) for probabilities x, its logarithms kept above -100.

    Args:
        weight: a factor per element, which broadcasts.
        size_average, reduce: deprecated; use reduction.
    Shape: x, target (D...) alike -> (), or (D...) for 'none'.
    Raises:
        ValueError: if the shapes differ. RuntimeError: if the dtypes do, or values lie outside [0, 1].
    Derivative: g (x - t) / (x (1 - x)) / n, with at least 1e-12 below; g (log(1 - x) - log(x)) / n for t.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("binary_cross_entropy", input=input, target=target)
    if get_casting() is not None:
        input, target, weight = in_float32(input, target, weight)  # noqa: A001
    a, b = input._array, target._array
    if a.shape != b.shape:
        raise ValueError(f"Using a target size (torch.Size({list(b.shape)})) that is different to the input size "
                         f"(torch.Size({list(a.shape)})) is deprecated. Please ensure they have the same size.")
    given, wanted = (dtypes.legacy_name(dtypes.from_numpy_dtype(array.dtype)) for array in (b, a))
    if a.dtype != b.dtype:
        raise RuntimeError(f"Found dtype {given} but expected {wanted}: target must have input's dtype")
    if a.dtype.kind not in "fV":
        raise NotImplementedError(f"\"binary_cross_entropy\" not implemented for '{wanted}'")
    for name, array in (("input", widened(a)), ("target", widened(b))):
        if array.size and not (array.min() >= 0 and array.max() <= 1):
            raise RuntimeError(f"all elements of {name} should be between 0 and 1")
    if weight is None:
        return apply(_bce_op, (input, target), {"reduction": reduction})
    return reduced(apply(_bce_op, (input, target), {"reduction": "none"}) * _fitting(weight, a.shape), reduction)


def _fitting(weight: Any, shape: tuple[int, ...]) -> Any:
    """The weight, if it broadcasts to that shape; else RuntimeError."""
    have = weight._array.shape
    if len(have) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(have), reversed(shape))):
        raise RuntimeError(f"weight of shape {list(have)} does not broadcast to the input's shape {list(shape)}")
    return weight


def _bce_of_logits(x: Any, target: Any, pos_weight: Any) -> Any:
    rest = np.log1p(np.exp(-np.abs(x)))  # log(1 + e^-|x|): no overflow on either side
    if pos_weight is None:
        return np.maximum(x, 0) - x * target + rest
    return (1 - target) * x + ((pos_weight - 1) * target + 1) * (rest + np.maximum(-x, 0))


def _log_sigmoid(x: Any) -> Any:
    return minimum.op(x, 0) - log1p(exp(-absolute(x)))


_bce_logits_grad = _gradient(
    "bce_logits_loss_grad", lambda g, x, target, reduction: _slope(g, reduction, x, target) * (sigmoid(x) - target))


_bce_weighted_logits_grad = _gradient(
    "bce_weighted_logits_loss_grad", lambda g, x, target, reduction, pos_weight:
    _slope(g, reduction, x, target) * ((pos_weight * target + 1 - target) * sigmoid(x) - pos_weight * target))


def _logits_grad(g: Any, x: Any, target: Any, pos_weight: Any, reduction: str) -> Any:
    if pos_weight is None:
        return _bce_logits_grad(g, x, target, reduction)
    return _bce_weighted_logits_grad(g, x, target, reduction, pos_weight)


def _target_slope(x: Any, pos_weight: Any) -> Any:
    return -x if pos_weight is None else _log_sigmoid(-x) - pos_weight * _log_sigmoid(x)


_bce_logits_op = elementwise_loss(
    "binary_cross_entropy_with_logits", _bce_of_logits,
    _logits_grad,
    lambda g, x, target, pos_weight, reduction: _slope(g, reduction, x, target) * _target_slope(x, pos_weight),
    lambda g, x, target, reduction: -_slope(g, reduction, x, target) * target * _log_sigmoid(x),
    inputs="x target pos_weight")


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,  # noqa: A002
                                     reduce: bool | None = None, reduction: str = "mean", pos_weight: Any = None) -> Any:
    """-(p t log(sigmoid(x)) + (1 - t) log(1 - sigmoid(x))), computed without overflow; p is pos_weight, or 1.

    Args:
        weight: a factor per element, which broadcasts.
        pos_weight: a factor for the positive targets, which broadcasts.
        size_average, reduce: deprecated; use reduction.
    Shape: x, target (D...) alike -> (), or (D...) for 'none'.
    Raises:
        ValueError: if the shapes differ.
    Derivative: g (sigmoid(x) - t) / n.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("binary_cross_entropy_with_logits", input=input, target=target)
    shape, wanted = input._array.shape, target._array.shape
    if shape != wanted:
        raise ValueError(f"Target size (torch.Size({list(wanted)})) must be the same as input size (torch.Size({list(shape)}))")
    if target._array.dtype.kind in "biu":
        given, of = (dtypes.legacy_name(dtypes.from_numpy_dtype(t._array.dtype)) for t in (input, target))
        raise RuntimeError(f"result type {given} can't be cast to the desired output type {of}: give the target as floats, "
                           "target.float()")
    if input._array.dtype.kind in "biuc":
        legacy = dtypes.legacy_name(dtypes.from_numpy_dtype(input._array.dtype))
        raise NotImplementedError(f"\"log_sigmoid_cpu\" not implemented for '{legacy}': convert with .float()")
    of = target
    x, target = _pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is not None:
        pos_weight = _fitting(converted(pos_weight, x.dtype), shape)
    if weight is None:
        return as_dtype_of(of, apply(_bce_logits_op, (x, target, pos_weight), {"reduction": reduction}))
    values = apply(_bce_logits_op, (x, target, pos_weight), {"reduction": "none"}) * _fitting(weight, shape)
    return reduced(as_dtype_of(of, values), reduction)


# ---- distributions ------------------------------------------------------------------------------------------------------------


def _kl(x: Any, target: Any, *, log_target: bool) -> Any:
    if log_target:
        return np.exp(target) * (target - x)
    return np.where(target == 0, 0, target * np.log(target)) - target * x


def _kl_target_slope(x: Any, target: Any, log_target: bool) -> Any:
    return exp(target) * (target - x + 1) if log_target else log(target) + 1 - x


_kl_op = elementwise_loss(
    "kl_div", _kl,
    lambda g, x, target, reduction, log_target: -_slope(g, reduction, x, target) * (exp(target) if log_target else target),
    lambda g, x, target, reduction, log_target: _slope(g, reduction, x, target) * _kl_target_slope(x, target, log_target))


@full_precision
def kl_div(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",  # noqa: A002
           log_target: bool = False) -> Any:
    """The Kullback-Leibler divergence t (log(t) - x) of log-probabilities x from probabilities t.

    Args:
        reduction: 'batchmean' (sum / N) is the divergence proper; 'mean' divides by all elements and warns.
        log_target: the target holds log-probabilities as well.
    Shape: x, target (D...), which broadcast -> (), or (D...) for 'none'.
    Derivative: -g t; for t: g (log(t) + 1 - x).
    """
    errors.require_bool("kl_div", "log_target", 6, log_target)
    for x in (input, target):
        if isinstance(x, TensorBase) and x._array.dtype.kind in "biuc":
            what = "Complex" if x._array.dtype.kind == "c" else "Integral"
            raise RuntimeError(f"kl_div: {what} inputs not supported: give log-probabilities and probabilities as floats")
    batchmean = reduction == "batchmean" and size_average is None and reduce is None
    if reduction == "mean" and size_average is None and reduce is None:
        import warnings
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size."
                      "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
                      "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
                      UserWarning, stacklevel=2)
    reduction = "sum" if batchmean else chosen_reduction(reduction, size_average, reduce)
    check_tensors("kl_div", input=input, target=target)
    x, target = (input, target) if input._array.shape == target._array.shape else broadcast_tensors(input, target)
    x, target = _pair("kl_div", x, target)
    y = apply(_kl_op, (x, target), {"reduction": reduction, "log_target": bool(log_target)})
    return y / input._array.shape[0] if batchmean and input._array.ndim else y


@full_precision
def poisson_nll_loss(input: Any, target: Any, log_input: bool = True, full: bool = False, size_average: bool | None = None,  # noqa: A002
                     eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean") -> Any:
    """The negative log-likelihood of counts t under a Poisson rate: e^x - t x for log-rates, x - t log(x + eps) for rates.

    Args:
        full: add Stirling's approximation of log(t!) where t > 1.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("poisson_nll_loss", input=input, target=target)
    errors.require_bool("poisson_nll_loss", "log_input", 3, log_input)
    errors.require_bool("poisson_nll_loss", "full", 4, full)
    errors.require_float("poisson_nll_loss", "eps", 5, eps)
    values = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        counts = where(target > 1, target, 1.0)
        stirling = counts * log(counts) - counts + log(counts * (2 * math.pi)) * 0.5
        values = values + where(target > 1, stirling, 0.0)
    return reduced(values, reduction)


def gaussian_nll_loss(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,  # noqa: A002
                      reduction: str = "mean") -> Any:
    """The negative log-likelihood of the target under Gaussians of mean x and variance var: (log(var) + (x - t)^2 / var) / 2.

    Args:
        var: a number, or a tensor of x's shape, or of it without its last size, or with 1 in place of one size.
        full: add log(2 pi) / 2.
        eps: var is kept at or above it; the gradient of var does not notice.
    Raises:
        ValueError: if var is negative or of another shape.
    Source: Nix, Weigend 1994, doi:10.1109/ICNN.1994.374138
    """
    check_tensors("gaussian_nll_loss", input=input, target=target)
    if not isinstance(var, TensorBase):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input.new_full(input._array.shape, float(var))
    shape, given = input._array.shape, var._array.shape
    if given != shape:
        if given == shape[:-1]:
            var = var.unsqueeze(-1)
        elif len(given) != len(shape) or [b for a, b in zip(shape, given, strict=True) if a != b] != [1]:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    if var._array.size and widened(var._array).min() < 0:
        raise ValueError("var has negative entry/entries")
    var = var.clone()
    with no_grad():
        var.clamp_(min=eps)
    d = input - target
    values = (log(var) + d * d / var) * 0.5
    return reduced(values + 0.5 * math.log(2 * math.pi) if full else values, reduction)


