"""Losses that ask for a margin: between scores, classes, similar and dissimilar pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.grad_mode import by_example
from mytorch.ops.activation import logsigmoid
from mytorch.ops.autocast import full_precision, without_autocast
from mytorch.ops.cross_entropy import check_tensors, chosen_reduction
from mytorch.ops.elementwise import clamp_min, exp, log1p, minimum, sqrt, where
from mytorch.ops.index import gather
from mytorch.ops.loss import as_dtype_of, reduced
from mytorch.ops.statistics import norm

__mytorch__ = True


@full_precision
def soft_margin_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,  # noqa: A002
                     reduction: str = "mean") -> Any:
    """log(1 + e^(-t x)) for targets t of 1 and -1. Derivative: -g t / (1 + e^(t x)) / n."""
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("soft_margin_loss", input=input, target=target)
    values = log1p(exp(-(input * target)))
    if values._array.shape != input._array.shape:
        raise RuntimeError(f"output with shape {list(input._array.shape)} doesn't match the broadcast shape {list(values._array.shape)}")
    return reduced(as_dtype_of(input, values), reduction)


@full_precision
def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, size_average: bool | None = None,  # noqa: A002
                         reduce: bool | None = None, reduction: str = "mean") -> Any:
    """x where the target is 1, max(0, margin - x) where it is -1: for distances x of similar and dissimilar pairs."""
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("hinge_embedding_loss", input=input, target=target)
    apart = where(target != 1, clamp_min(margin - input, 0), 0.0)
    return reduced(apart + where(target != -1, input, 0.0), reduction)


@full_precision
def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
                        reduce: bool | None = None, reduction: str = "mean") -> Any:
    """max(0, -t (x1 - x2) + margin): x1 shall rank higher where t is 1, lower where it is -1.

    Raises:
        RuntimeError: if the numbers of dimensions differ.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1._array.ndim == input2._array.ndim == target._array.ndim:
        raise RuntimeError("margin_ranking_loss : All input tensors should have same dimension but got sizes: "
                           f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} ")
    return reduced(clamp_min(-target * (input1 - input2) + margin, 0), reduction)


@full_precision
def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
                          reduce: bool | None = None, reduction: str = "mean") -> Any:
    """1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin) where it is -1.

    Shape: x1, x2 (N, D), target (N); or (D) and () -> (), or target's shape for 'none'.
    Raises:
        RuntimeError: for other shapes.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    ndim = target._array.ndim
    if ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1._array.ndim != ndim + 1 or input2._array.ndim != ndim + 1:
        raise RuntimeError(f"{ndim}D target tensor expects {ndim + 1}D input tensors, but found inputs with sizes "
                           f"{list(input1._array.shape)} and {list(input2._array.shape)}.")
    product = (input1 * input2).sum(-1)
    size_1, size_2 = (input1 * input1).sum(-1) + 1e-12, (input2 * input2).sum(-1) + 1e-12
    cosine = product / sqrt(size_1 * size_2)
    values = where(target == 1, 1 - cosine, 0.0) + where(target == -1, clamp_min(cosine - margin, 0), 0.0)
    return reduced(values, reduction)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps over the last dimension. Shape: (N, D) and (N, D), or (D) -> (N), or ()."""
    check_tensors("pairwise_distance", x1=x1, x2=x2)
    return norm(x1 - x2 + eps, p, -1, keepdim)


@full_precision
def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
                        swap: bool = False, size_average: bool | None = None, reduce: bool | None = None,
                        reduction: str = "mean") -> Any:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the `pairwise_distance`.

    Args:
        swap: use d(positive, negative) where that is smaller than d(anchor, negative).
    Raises:
        ValueError: unless the margin is positive. RuntimeError: if the numbers of dimensions differ.
    Source: Balntas, Riba, Ponsa, Mikolajczyk 2016, "Learning shallow convolutional feature descriptors with triplet losses"
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return _triplet(anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, reduction)


def _triplet(anchor: Any, positive: Any, negative: Any, distance: Callable[[Any, Any], Any], margin: float, swap: bool,
             reduction: str) -> Any:
    check_tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    if not anchor._array.ndim == positive._array.ndim == negative._array.ndim:
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the same number of dimensions, but "
                           f"got: anchor {anchor._array.ndim}D, positive {positive._array.ndim}D, and negative "
                           f"{negative._array.ndim}D inputs")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clamp_min(near - far + margin, 0), reduction)


def triplet_margin_with_distance_loss(anchor: Any, positive: Any, negative: Any, *,
                                      distance_function: Callable[[Any, Any], Any] | None = None, margin: float = 1.0,
                                      swap: bool = False, reduction: str = "mean") -> Any:
    """`triplet_margin_loss` with a distance of one's own; without, `pairwise_distance`."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, chosen_reduction(reduction))


def _class_rows(x: Any) -> Any:
    """Scores as (N, C), from (N, C), (C) or (). RuntimeError for other shapes."""
    shape = x._array.shape
    if len(shape) > 2 or 0 in shape[-1:]:
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(shape)}")
    return x if len(shape) == 2 else x.reshape(1, -1)


def _check_labels(target: Any) -> None:
    """RuntimeError for targets that are not int64."""
    if target._array.dtype != np.int64:
        found = dtypes.legacy_name(dtypes.from_numpy_dtype(target._array.dtype))
        raise RuntimeError(f"expected scalar type Long but found {found}")


@by_example
@full_precision
def multi_margin_loss(input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,  # noqa: A002
                      size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Any:
    """The hinge loss of classes: sum over i != t of weight[t] max(0, margin - x[t] + x[i])^p, divided by C.

    Shape: x (N, C), target (N) of int64; or (C) and () -> (), or target's shape for 'none'.
    Raises:
        ValueError: unless p is 1 or 2. RuntimeError: for a target that is no class, or shapes that do not fit.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("multi_margin_loss", input=input, target=target)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight._array.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    rows = _class_rows(input)
    n, classes = rows._array.shape
    if weight is not None and weight._array.shape != (classes,):
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight._array.shape)}")
    if target._array.shape not in ((n,), () if n == 1 else (n,)):
        raise RuntimeError("multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
                           f"size). Expected target size [{n}], but got {list(target._array.shape)}. Input has shape "
                           f"{list(input._array.shape)}.")
    _check_labels(target)
    places = target._array.reshape(-1)
    if np.any((places < 0) | (places >= classes)):
        raise RuntimeError("target out of range")
    short = clamp_min(margin - gather(rows, 1, target.reshape(n, 1)) + rows, 0)
    values = short * short if p == 2 else short
    if weight is not None:
        values = values * weight[target.reshape(n, 1)]
    others = rows.new_tensor(np.arange(classes) != places[:, None], dtype=None)
    values = where(others, values, 0.0).sum(1) / classes
    return reduced(values.reshape(target._array.shape) if reduction == "none" else values, reduction)


@by_example
@full_precision
def multilabel_margin_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,  # noqa: A002
                           reduction: str = "mean") -> Any:
    """The hinge loss of label sets: the sum over labels j and other classes i of max(0, 1 - (x[j] - x[i])), divided by C.

    Shape: x, target (N, C) or (C); a row of targets lists its labels up to the first -1 -> (), or (N) for 'none'.
    Raises:
        RuntimeError: if the shapes differ, or a label is no class.
    """
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("multilabel_margin_loss", input=input, target=target)
    rows = _class_rows(input)
    if input._array.shape != target._array.shape:
        raise RuntimeError(f"inconsistent target size: {list(target._array.shape)} for input of size: {list(input._array.shape)}")
    _check_labels(target)
    n, classes = rows._array.shape
    labels = target._array.reshape(n, classes)
    if np.any((labels < -1) | (labels >= classes)):
        raise RuntimeError("argument #2 'target' is out of range")
    listed = np.logical_and.accumulate(labels >= 0, axis=1)
    wanted = np.zeros((n, classes), bool)
    wanted[np.nonzero(listed)[0], labels[listed]] = True
    picked = gather(rows, 1, rows.new_tensor(np.where(listed, labels, 0), dtype=None))
    short = clamp_min(1 - picked.unsqueeze(2) + rows.unsqueeze(1), 0)  # (N, j, i)
    pairs = rows.new_tensor(listed[:, :, None] & ~wanted[:, None, :], dtype=None)
    values = where(pairs, short, 0.0).sum((1, 2)) / classes
    return reduced(values.reshape(()) if input._array.ndim < 2 else values, reduction)


@without_autocast
def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,  # noqa: A002
                                reduce: bool | None = None, reduction: str = "mean") -> Any:
    """The mean over the classes of the binary cross entropy with logits, times weight (C). Shape: x, target (N, C)."""
    reduction = chosen_reduction(reduction, size_average, reduce)
    check_tensors("multilabel_soft_margin_loss", input=input)
    values = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))  # target (N, C), or what broadcasts with it
    values = values if weight is None else values * weight
    axis = input._array.ndim - 1
    return reduced(values.sum(axis) / input._array.shape[axis], reduction)
