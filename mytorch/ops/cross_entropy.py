"""Losses for classification: negative log-likelihood and cross entropy, fused with log-softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.ops.autocast import get_casting, in_float32
from mytorch.ops.common import Op, TensorBase, apply, narrowed, widened
from mytorch.ops.elementwise import kept_op, mul
from mytorch.ops.shape import shape_of
from mytorch.ops.softmax import largest, log_softmax, log_softmax_op, total
from mytorch.ops.sums import sum_op

__mytorch__ = True

_INT64 = np.dtype(np.int64)

# ---- what the losses share ----------------------------------------------------------------------------------------------------


def chosen_reduction(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction asked for, in today's words or in those of torch before 1.0 (which warn).

    Raises:
        ValueError: unless it is 'none', 'mean' or 'sum'.
    """
    if size_average is not None or reduce is not None:
        import warnings
        mean, each = size_average is None or size_average, reduce is not None and not reduce
        reduction = "none" if each else "mean" if mean else "sum"
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
                      UserWarning, stacklevel=3)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def check_tensors(name: str, **given: Any) -> None:
    """TypeError, worded as torch's, unless all arguments are Tensors."""
    for place, (argument, x) in enumerate(given.items(), 1):
        if not isinstance(x, TensorBase):
            raise errors.type_error(name, argument, place, "Tensor", x)


# ---- class indices ------------------------------------------------------------------------------------------------------------
# The kernels work on rows: (N, C, d...) becomes (N * d..., C), one row of class scores per target.


def _rows(x: Any) -> Any:
    """The class scores as a matrix, one row per target."""
    if x.ndim == 2:
        return x
    return x.reshape(1, -1) if x.ndim == 1 else np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _unrows(rows: Any, shape: tuple[int, ...]) -> Any:
    """Undo `_rows`."""
    if len(shape) <= 2:
        return rows.reshape(shape)
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _places(target: Any, classes: int, ignore_index: int) -> tuple[Any, Any]:
    """The class of each row, and which rows count (None: all of them).

    Raises:
        IndexError: for a target that is neither a class nor the ignored one.
    """
    places = target.reshape(-1).astype(np.int64, copy=False)
    # a negative number is a huge unsigned one: one comparison checks both bounds
    if not 0 <= ignore_index < classes and (not places.size or np.maximum.reduce(places.view(np.uint64)) < classes):
        return places, None
    counts = places != ignore_index
    wrong = counts & ((places < 0) | (places >= classes))
    if wrong.any():
        raise IndexError(f"Target {places[wrong][0]} is out of bounds.")
    return np.where(counts, places, 0), counts


def _row_weights(places: Any, counts: Any, weight: Any, np_dtype: Any) -> Any:
    """The weight of each row: its class's, 0 for a row that does not count; None where all are 1."""
    if weight is None:
        return None if counts is None else counts.astype(np_dtype)
    weights = widened(weight)[places]
    return weights if counts is None else np.where(counts, weights, 0)


def _weighted(losses: Any, weights: Any, counts: Any) -> Any:
    """Losses times weights; exactly 0 where a row does not count, even if its loss is infinite."""
    if weights is None:
        return losses
    return losses * weights if counts is None else np.where(counts, losses * weights, 0)


def _total_weight(weights: Any, places: Any) -> Any:
    return places.size if weights is None else np.add.reduce(weights)


def _row_slopes(g: Any, weights: Any, places: Any, reduction: str) -> Any:
    """d(result) / d(loss of a row), times g: a number, or one for each row."""
    if reduction == "none":
        return g.reshape(-1)
    return g / np.asarray(_total_weight(weights, places), g.dtype) if reduction == "mean" else g


def _reduced(losses: Any, weights: Any, places: Any, reduction: str, shape: tuple[int, ...]) -> Any:
    if reduction == "none":
        return losses.reshape(shape)
    y = np.add.reduce(losses, axis=None, out=...)
    return y if reduction == "sum" else np.true_divide(y, _total_weight(weights, places), dtype=losses.dtype, out=...)


@kernel
def nll_forward(x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str) -> Any:
    """-weight[target] * x[target], over the rows' weights where reduction is 'mean'."""
    rows = widened(_rows(x))
    places, counts = _places(target, rows.shape[1], ignore_index)
    weights = _row_weights(places, counts, weight, rows.dtype)
    losses = _weighted(-rows[np.arange(len(places)), places], weights, counts)
    return narrowed(_reduced(losses, weights, places, reduction, target.shape if x.ndim > 1 else ()), x.dtype)


@kernel
def nll_backward(g: Any, target: Any, weight: Any, *, shape: tuple[int, ...], ignore_index: int, reduction: str) -> Any:
    """The gradient of x, of that shape, in `nll_forward`: linear in g, and its transpose."""
    wide = widened(g)
    classes = shape[1] if len(shape) > 1 else shape[0]
    places, counts = _places(target, classes, ignore_index)
    weights = _row_weights(places, counts, weight, wide.dtype)
    slopes = _weighted(-_row_slopes(wide, weights, places, reduction), weights, counts)
    rows = np.zeros((places.size, classes), wide.dtype)
    rows[np.arange(places.size), places] = slopes
    return narrowed(_unrows(rows, shape), g.dtype)


nll_op: Op = Op("nll_loss", nll_forward, lambda g, target, weight, x_shape, ignore_index, reduction: nll_grad_op(
    g, target, weight, shape=x_shape, ignore_index=ignore_index, reduction=reduction), None, None)
nll_grad_op: Op = Op("nll_loss_backward", nll_backward, lambda g, target, weight, ignore_index, reduction: nll_op(
    g, target, weight, ignore_index=ignore_index, reduction=reduction), None, None, inputs="a target weight")


@kernel
def cross_entropy_forward(x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str,
                          label_smoothing: float) -> tuple[Any, Any]:
    """`nll_forward` of log-softmax in one pass, and the softmax, as rows, which is all that the derivative needs."""
    rows = widened(_rows(x))
    places, counts = _places(target, rows.shape[1], ignore_index)
    weights = _row_weights(places, counts, weight, rows.dtype)
    # subtract the largest: exp overflows float32 above 88
    p = np.subtract(rows, largest(rows, 1), out=...)
    picked = p[np.arange(len(places)), places]
    smooth = None
    if label_smoothing:
        smooth = np.add.reduce(p, axis=1) if weight is None else p @ widened(weight)
    np.exp(p, out=p)
    sums = total(p, 1)
    p /= sums
    logs = np.log(sums, out=sums)[:, 0]
    losses = _weighted(logs - picked, weights, counts)
    if smooth is not None:
        mass = rows.shape[1] if weight is None else np.add.reduce(widened(weight))
        smooth = logs * mass - smooth  # -sum over classes of weight * log-probability
        share = label_smoothing / rows.shape[1]
        losses = (1 - label_smoothing) * losses + share * (smooth if counts is None else np.where(counts, smooth, 0))
    y = _reduced(losses, weights, places, reduction, target.shape if x.ndim > 1 else ())
    return narrowed(np.asarray(y, rows.dtype), x.dtype), p


@kernel
def cross_entropy_backward(g: Any, p: Any, target: Any, weight: Any, *, shape: tuple[int, ...], ignore_index: int, reduction: str,
                           label_smoothing: float) -> Any:
    """The gradient of x, of that shape: softmax * (row's weight) - weight at the target, per row."""
    classes = p.shape[1]
    places, counts = _places(target, classes, ignore_index)
    weights = _row_weights(places, counts, weight, p.dtype)
    slopes = np.asarray(_row_slopes(widened(g), weights, places, reduction), p.dtype)
    hit = slopes * (1 - label_smoothing) if label_smoothing else slopes
    hit = _weighted(hit, weights, counts)
    if not label_smoothing:
        rows = p * (hit[:, None] if np.ndim(hit) else hit)
    else:
        each = np.broadcast_to(slopes * (label_smoothing / classes), places.shape)
        each = each if counts is None else np.where(counts, each, 0)
        spread = np.ones(classes, p.dtype) if weight is None else widened(weight)
        rows = p * (hit + each * np.add.reduce(spread))[:, None] - each[:, None] * spread
    rows[np.arange(places.size), places] -= hit
    return _unrows(rows, shape)


# Never differentiated itself: where a graph of the backward is asked for, the composite below is what is differentiated.
_gradient_op = Op("cross_entropy_loss_backward", cross_entropy_backward, None, None, None, None)


def _cross_entropy_formula(g: Any, target: Any, weight: Any, p: Any, x_shape: tuple[int, ...], meta: dict[str, Any]) -> Any:
    backward: Any = _gradient_op.kernel if type(p) is ndarray else _gradient_op
    return backward(g, p, target, weight, shape=x_shape, **meta)


def _cross_entropy_composite(x: Any, target: Any, weight: Any, y: Any, ignore_index: int, reduction: str, label_smoothing: float) -> Any:
    """The same as a composition of operations: the fused kernel's oracle, and what its own derivative is taken of."""
    logp = log_softmax_op(x, dim=min(1, len(shape_of(x)) - 1))
    nll = nll_op(logp, target, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return nll
    everywhere = -_over_classes(logp, weight)
    # a row's smoothing counts in full, whatever the weight of its class, but is averaged over the same total weight
    counts = target != ignore_index
    counted = counts.to(logp.dtype)
    smooth = kept_op(everywhere, counts)
    if reduction != "none":
        smooth = smooth.sum()
    if reduction == "mean":
        smooth = smooth / (counted if weight is None else counted * weight[target.clamp(0, len(weight) - 1).long()]).sum()
    return (1 - label_smoothing) * nll + label_smoothing / shape_of(x)[min(1, len(shape_of(x)) - 1)] * smooth


def _over_classes(logp: Any, weight: Any) -> Any:
    """Sum over the classes of weight * log-probability."""
    ndim = len(shape_of(logp))
    axis = min(1, ndim - 1)
    if weight is not None:
        logp = mul(logp, weight.reshape(-1, *[1] * (ndim - axis - 1)))
    return sum_op(logp, dim=(axis,), keepdim=False)


cross_entropy_op = Op("cross_entropy_loss", cross_entropy_forward, _cross_entropy_formula, None, None, kept="p",
                      composite=_cross_entropy_composite)

# ---- the public functions -----------------------------------------------------------------------------------------------------


def _check_weight(weight: Any, classes: int, x: Any) -> None:
    if weight is None:
        return
    if weight._array.shape != (classes,):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or no classes but got weight "
                           f"tensor of shape: {list(weight._array.shape)}")
    if weight._array.dtype != x._array.dtype:
        given, wanted = (dtypes.legacy_name(dtypes.from_numpy_dtype(a._array.dtype)) for a in (weight, x))
        raise RuntimeError(f"expected scalar type {wanted} but found {given}: weight must have input's dtype")


def _check_target(x: Any, target: Any, weight: Any) -> None:
    """What torch requires of class indices: their dtype and shape."""
    shape, wanted = x._array.shape, target._array.shape
    kind = target._array.dtype
    if weight is None and len(shape) == 2 and shape[:1] == wanted and kind is _INT64:
        return  # the usual case, without further questions
    if kind != np.int64 and kind != np.uint8:
        raise RuntimeError("expected target dtype to be Long or Byte, but got "
                           f"{dtypes.legacy_name(dtypes.from_numpy_dtype(kind))}")
    if not shape:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if len(shape) > 1 and (not wanted or shape[0] != wanted[0]):
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size ({wanted[0] if wanted else 1}).")
    if len(shape) <= 2 and len(wanted) > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if len(shape) == 1 and math.prod(wanted) != 1:
        raise ValueError(f"Expected a single target for an input of one dimension, got target of shape {list(wanted)}")
    if len(shape) > 2 and wanted != (shape[0], *shape[2:]):
        raise RuntimeError(f"Expected target size {[shape[0], *shape[2:]]}, got {list(wanted)}")
    _check_weight(weight, shape[1] if len(shape) > 1 else shape[0], x)


def nll_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,  # noqa: A002
             reduce: bool | None = None, reduction: str = "mean") -> Any:
    """The negative log-likelihood of class indices, given log-probabilities.

    y = -weight[t] * x[t] per target; 'mean' divides the sum by that of the weights.

    Args:
        weight: one factor per class (C).
        ignore_index: targets of this value count neither in the sum nor in the mean.
        size_average, reduce: deprecated; use reduction.
    Shape: x (N, C, d...), target (N, d...) of int64; or x (C), target (). -> (), or target's shape for reduction='none'.
    Raises:
        IndexError: for a target that is no class. ValueError, RuntimeError: for shapes or dtypes that do not fit.
    Derivative: -g * weight[t] at the target, over the sum of weights for 'mean'; 0 elsewhere.
    """
    if size_average is not None or reduce is not None or reduction not in ("mean", "sum", "none"):
        reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("nll_loss", input=input, target=target)
    errors.require_int("nll_loss_nd", "ignore_index", 5, ignore_index)
    if get_casting() is not None:
        input, weight = in_float32(input, weight)  # noqa: A001
    _check_target(input, target, weight)
    if input._array.dtype.kind not in "fV":
        raise NotImplementedError("\"nll_loss_out_frame\" not implemented for "
                                  f"'{dtypes.legacy_name(dtypes.from_numpy_dtype(input._array.dtype))}'")
    return apply(nll_op, (input, target, weight), {"ignore_index": ignore_index, "reduction": reduction})


def cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,  # noqa: A002
                  reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    """The cross entropy between softmax(x) and targets: class indices, or probabilities of x's shape.

    y = -sum over classes of weight * q * log_softmax(x), where q is 1 at the target, or the probabilities, mixed with
    label_smoothing / C for all classes. With indices, 'mean' divides by the sum of the targets' weights, else by N d....

    Args:
        weight: one factor per class (C).
        ignore_index: targets of this value do not count (for class indices only).
        size_average, reduce: deprecated; use reduction.
    Shape: x (N, C, d...) or (C), target (N, d...) of int64, or x's shape of a floating dtype -> (), or (N, d...) for 'none'.
    Raises:
        IndexError: for a target that is no class. ValueError, RuntimeError: for shapes or dtypes that do not fit.
    Derivative: (softmax(x) - q) * g / N for plain weights: one fused kernel, forward and backward.
    """
    if size_average is not None or reduce is not None or reduction not in ("mean", "sum", "none"):
        reduction = chosen_reduction(reduction, size_average, reduce)
    if not (isinstance(input, TensorBase) and isinstance(target, TensorBase)):
        check_tensors("cross_entropy_loss", input=input, target=target)
    if type(ignore_index) is not int:
        errors.require_int("cross_entropy_loss", "ignore_index", 5, ignore_index)
    if get_casting() is not None:
        input, target, weight = in_float32(input, target, weight)  # noqa: A001
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    kind = target._array.dtype.kind
    if input._array.shape == target._array.shape:
        if kind not in "fV":
            raise RuntimeError("Expected floating point type for target with class probabilities, got "
                               f"{dtypes.legacy_name(dtypes.from_numpy_dtype(target._array.dtype))}")
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    _check_target(input, target, weight)
    if input._array.dtype.kind not in "fV":
        log_softmax(input, 0)  # raises: there is no softmax of integers
    return apply(cross_entropy_op, (input, target, weight),
                 {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": label_smoothing})


def _of_probabilities(x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float) -> Any:
    shape = x._array.shape
    if not shape:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    axis = min(1, len(shape) - 1)
    classes = shape[axis]
    _check_weight(weight, classes, x)
    logp = log_softmax(x, axis)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    losses = -_over_classes(logp * target, weight)
    if reduction == "none":
        return losses
    y = losses.sum()
    return y if reduction == "sum" else y / (math.prod(shape) // classes if classes else 0)

