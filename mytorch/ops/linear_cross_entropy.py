"""The cross entropy of a linear layer's output, as one function: the last layer of a classifier with its loss.

With many classes the scores, (rows, classes), are by far the largest array of a network. Given options, they are computed a few rows at
a time, forwards and again backwards, and never kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.grad_mode import by_example
from mytorch.ops.common import Op, apply, narrowed, require_tensor, widened
from mytorch.ops.cross_entropy import chosen_reduction, cross_entropy
from mytorch.ops.linalg import linear_function
from mytorch.ops.shape import reshape

__mytorch__ = True

_SCORES = 1 << 20  # computed at a time, if nothing else is asked for


class LinearCrossEntropyOptions:
    """How `linear_cross_entropy` saves memory: it computes the scores of `batch_chunk_size` rows at a time.

    Args:
        batch_chunk_size: rows at a time; by default as many as make a million scores.
        chunking_method: torch's ways to choose that number, 'auto' or 'aspect_ratio:r': here all are the default.
        acc_policy, acc_dtype: torch's choices of the dtype to add up in: here always float32 for 16-bit floats, else the input's.
        allow_retain_graph: backward can always be repeated here.
    Raises:
        ValueError: for other values.
    """

    _POLICIES = ("accurate", "balanced", "compact", "auto")
    _DTYPES = (None, dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)

    def __init__(self, allow_retain_graph: bool = False, batch_chunk_size: int | None = None, chunking_method: str | None = "auto",
                 acc_policy: str = "auto", acc_dtype: dtypes.dtype | None = None) -> None:
        if batch_chunk_size is not None and (not isinstance(batch_chunk_size, int) or batch_chunk_size < 1):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {batch_chunk_size}")
        if chunking_method not in (None, "auto") and not str(chunking_method).startswith("aspect_ratio:"):
            raise ValueError(f"invalid chunking_method: {chunking_method!r}")
        if acc_policy not in self._POLICIES:
            raise ValueError(f"invalid acc_policy: {acc_policy!r}")
        if not any(acc_dtype is known for known in self._DTYPES):
            raise ValueError(f"acc_dtype must be one of {{None, torch.float16, torch.bfloat16, torch.float32, torch.float64}}, got {acc_dtype!r}")
        self.allow_retain_graph = allow_retain_graph
        self.batch_chunk_size = batch_chunk_size
        self.chunking_method = chunking_method
        self.acc_policy = acc_policy
        self.acc_dtype = acc_dtype

    def __repr__(self) -> str:
        return f"LinearCrossEntropyOptions({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinearCrossEntropyOptions) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


# ---- a few rows at a time -----------------------------------------------------------------------------------------------------


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _scores(x: Any, w: Any, b: Any, rows: slice) -> Any:
    z = np.matmul(x[rows], w.T)
    return z if b is None else np.add(z, b, out=z)


@kernel
def linear_nll_forward(x: Any, w: Any, b: Any, target: Any, factor: Any, *, size: int) -> Any:
    """factor * (log(sum e^z) - z[target]) with z = x w^T + b, and the logarithm itself, for each row of x (N, F)."""
    wide, weight, bias = widened(x), widened(w), None if b is None else widened(b)
    lse, picked = np.empty(len(x), wide.dtype), np.empty(len(x), wide.dtype)
    for rows in _chunks(len(x), size):
        z = _scores(wide, weight, bias, rows)
        picked[rows] = z[np.arange(len(z)), target[rows]]
        top = z.max(axis=1)
        z -= top[:, None]
        lse[rows] = np.log(np.exp(z, out=z).sum(axis=1)) + top
    return narrowed((lse - picked) * widened(factor), x.dtype), lse


@kernel
def linear_nll_grad(g: Any, x: Any, w: Any, b: Any, target: Any, factor: Any, lse: Any, *, size: int) -> Any:
    """dx, dw, db: the gradient of z is g * factor * (softmax(z) - 1 at the target)."""
    wide, weight, bias = widened(x), widened(w), None if b is None else widened(b)
    scale = widened(g) * widened(factor)
    dx, dw, db = np.empty_like(wide), np.zeros_like(weight), np.zeros(len(w), wide.dtype)
    for rows in _chunks(len(x), size):
        z = _scores(wide, weight, bias, rows)
        z -= lse[rows, None]
        dz = np.exp(z, out=z)
        dz[np.arange(len(dz)), target[rows]] -= 1
        dz *= scale[rows, None]
        dx[rows] = np.matmul(dz, weight)
        dw += np.matmul(dz.T, wide[rows])
        db += dz.sum(axis=0)
    return narrowed(dx, x.dtype), narrowed(dw, w.dtype), narrowed(db, x.dtype)


def _linear_nll_plain(x: Any, w: Any, b: Any, target: Any, factor: Any, y: Any, lse: Any, *, size: int) -> Any:
    z = linear_function(x, w, b)
    return (z.logsumexp(1) - z.gather(1, target.unsqueeze(1)).squeeze(1)) * factor, lse


_linear_nll_op: Op = Op(
    "linear_cross_entropy", linear_nll_forward,
    joint=lambda g, x, w, b, target, factor, lse, size: [*_linear_nll_grad_op(g[0], x, w, b, target, factor, lse, size=size), None, None],
    outputs="y lse", composite=_linear_nll_plain)
_linear_nll_grad_op: Op = Op("linear_cross_entropy_backward", linear_nll_grad, *[None] * 7, outputs="dx dw db")


@by_example
def _chunked(x: Any, w: Any, b: Any, target: Any, weight: Any, reduction: str, ignore_index: int, size: int | None) -> Any:
    """`linear_cross_entropy` for class indices, never more than `size` rows of scores at a time."""
    single = x._array.ndim == 1
    rows = reshape(x, (-1, x._array.shape[-1]))
    classes, labels = w._array.shape[0], target._array.reshape(-1)
    if labels.size != rows._array.shape[0]:
        raise ValueError(f"Expected input batch_size ({rows._array.shape[0]}) to match target batch_size ({labels.size}).")
    kept = labels != ignore_index
    wrong = kept & ((labels < 0) | (labels >= classes))
    if wrong.any():
        raise IndexError(f"Target {labels[wrong][0]} is out of bounds.")
    labels = np.where(kept, labels, 0)
    wide = widened(rows._array).dtype
    factor = kept.astype(wide) if weight is None else (widened(weight._array)[labels] * kept).astype(wide)
    size = max(1, _SCORES // max(classes, 1)) if size is None else size
    losses = apply(_linear_nll_op, (rows, w, b, labels, factor), {"size": size})[0]
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    return losses.sum() if reduction == "sum" else losses.sum() / float(factor.sum()) if factor.any() else losses.sum() * math.nan


# ---- the door -----------------------------------------------------------------------------------------------------------------


def linear_cross_entropy(input: Any, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None,  # noqa: A002
                         reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0,
                         options: Any = None) -> Any:
    """cross_entropy(linear(input, linear_weight, linear_bias), target, ...).

    Args:
        linear_weight: (C, F), or (C, d1, ..., dK, F) for a loss at each place of d1 x ... x dK.
        linear_bias: (C) or (C, d1, ..., dK).
        ignore_index: targets of this value do not count; -100 if not given. For class indices only.
        weight, reduction, label_smoothing: as for `cross_entropy`.
        options: `LinearCrossEntropyOptions`: compute the scores of a few rows at a time, which takes less memory. For class indices,
            a matrix linear_weight and no label_smoothing; otherwise they are left aside with a warning.
    Shape: input (F) or (N, F), target (), (N) or (N, d1, ..., dK) of int64, or probabilities (C) or (N, C, d1, ..., dK)
        -> (), or the shape of the losses for 'none'.
    Raises:
        RuntimeError: for shapes that do not fit. ValueError: if only the batch sizes differ. NotImplementedError: if options are given.
    Derivative: that of its parts: with p = softmax of the scores, dscores = (p - 1 at the target) g / N.
    """
    for position, (name, x) in enumerate((("input", input), ("linear_weight", linear_weight), ("target", target)), 1):
        require_tensor("linear_cross_entropy", x, name, position)
    if options is not None and not isinstance(options, LinearCrossEntropyOptions):
        raise TypeError(f"linear_cross_entropy(): argument 'options' must be LinearCrossEntropyOptions or None, not {type(options).__name__}")
    shape, wide = input._array.shape, linear_weight._array.shape
    if len(shape) not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {len(shape)}")
    if len(wide) < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {len(wide)}")
    if shape[-1] != wide[-1]:
        raise RuntimeError(f"expected equal input and linear_weight last dimensions (in_features), got {shape[-1]} and {wide[-1]}, "
                           "respectively")
    if len(wide) > 2 and len(shape) == 1:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape {wide} requires batched input, (N, {wide[-1]}), got "
                           f"unbatched input with shape {shape}")
    if linear_bias is not None and linear_bias._array.shape != wide[:-1]:
        raise RuntimeError(f"expected linear_bias shape {wide[:-1]}, got {linear_bias._array.shape}")
    if ignore_index is not None and target.is_floating_point():
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    if len(shape) == 2 and target._array.ndim and target._array.shape[0] != shape[0]:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size ({target._array.shape[0]}).")
    if options is not None:
        if target.dtype is dtypes.int64 and len(wide) == 2 and not label_smoothing and input.is_floating_point():
            return _chunked(input, linear_weight, linear_bias, target, weight, chosen_reduction(reduction),
                            -100 if ignore_index is None else ignore_index, options.batch_chunk_size)
        import warnings
        warnings.warn("linear_cross_entropy: ``options`` ignored; the chunked path needs label_smoothing == 0, target.dtype == int64 and "
                      "a linear_weight of two dimensions", UserWarning, stacklevel=2)
    rows = math.prod(wide[:-1])
    bias = None if linear_bias is None else reshape(linear_bias, (rows,))
    logits = linear_function(input, reshape(linear_weight, (rows, wide[-1])), bias)
    logits = reshape(logits, (*shape[:-1], *wide[:-1]))  # (N, C * d1 * ... * dK) -> (N, C, d1, ..., dK)
    return cross_entropy(logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index, reduction=reduction,
                         label_smoothing=label_smoothing)


__all__ = ["LinearCrossEntropyOptions", "linear_cross_entropy"]
