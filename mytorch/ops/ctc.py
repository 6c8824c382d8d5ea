"""Connectionist temporal classification: the probability of a label sequence, summed over all ways to align it with the frames.

The labels are stretched to l' = (blank, l1, blank, l2, ..., blank) with S = 2 L + 1 places. alpha[t, s] is the logarithm of the
probability of all alignments of frames 0 to t that end at place s; beta[t, s] that of all continuations from there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.grad_mode import by_example
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import Op, TensorBase, apply, require_tensor
from mytorch.ops.cross_entropy import chosen_reduction
from mytorch.ops.elementwise import clamp_min, div, exp, where
from mytorch.ops.index import gather
from mytorch.ops.joining import cat, stack
from mytorch.ops.shape import squeeze, unsqueeze
from mytorch.ops.statistics import logsumexp

__mytorch__ = True

_NEVER = -1e30  # the logarithm of zero where a finite number is needed: its exponential is 0 in every dtype


def _places(labels: Any, blank: int) -> tuple[Any, Any]:
    """l' of each sample (N, S), and at which places the blank before may be skipped: between two different labels."""
    batch, longest = labels.shape
    places = np.full((batch, 2 * longest + 1), blank, np.int64)
    places[:, 1::2] = labels
    skips = np.zeros(places.shape, np.bool_)
    skips[:, 2:] = places[:, 2:] != places[:, :-2]
    return places, skips


def _log_add(*terms: Any) -> Any:
    """log of the sum of e^term, element by element; -inf of nothing but -inf."""
    top = np.maximum.reduce(terms)
    safe = np.where(top == -np.inf, top.dtype.type(0), top)
    total = np.exp(terms[0] - safe)
    for term in terms[1:]:
        total += np.exp(term - safe)
    return np.log(total) + safe


def _shifted(a: Any, by: int, where: Any = None) -> Any:
    """a[:, s - by] at place s, -inf where there is none or `where` forbids it."""
    y = np.full_like(a, -np.inf)
    if by > 0:
        y[:, by:] = a[:, :-by]
    else:
        y[:, :by] = a[:, -by:]
    if where is not None:
        y[~where] = -np.inf
    return y


@kernel
def ctc_forward(log_probs: Any, labels: Any, frames: Any, lengths: Any, *, blank: int, zero_infinity: bool) -> Any:
    """The negative log-probability of each sample (N), and alpha (T, N, S).

    Args:
        log_probs: (T, N, C). labels: (N, L). frames, lengths: (N), how many frames and labels of each sample count.
    """
    steps, batch, _ = log_probs.shape
    places, skips = _places(labels, blank)
    each = np.arange(batch)
    alpha = np.full((steps, *places.shape), -np.inf, log_probs.dtype)
    scores = np.take_along_axis(log_probs, np.broadcast_to(places, alpha.shape), 2)
    for t in range(steps):
        if t == 0:
            alpha[0, :, 0] = scores[0, :, 0]
            alpha[0, :, 1:2] = scores[0, :, 1:2]
        else:
            before = alpha[t - 1]
            alpha[t] = _log_add(before, _shifted(before, 1), _shifted(before, 2, skips)) + scores[t]
    nll = np.where(lengths == 0, 0.0, np.inf).astype(log_probs.dtype)  # of a sample without frames
    if steps:
        last = alpha[np.maximum(frames - 1, 0), each]
        end = last[each, 2 * lengths]
        inside = np.where(lengths == 0, -np.inf, last[each, np.maximum(2 * lengths - 1, 0)]).astype(end.dtype)
        nll = np.where(frames > 0, -_log_add(end, inside), nll)
    return nll, alpha


@kernel
def ctc_grad(g: Any, log_probs: Any, labels: Any, frames: Any, lengths: Any, nll: Any, alpha: Any, *, blank: int,
             zero_infinity: bool) -> Any:
    """g (e^log_probs - P(class at t | labels)): the gradient of log_probs, as if they were the logits of a softmax."""
    steps, batch = log_probs.shape[:2]
    places, skips = _places(labels, blank)
    each = np.arange(batch)
    scores = np.take_along_axis(log_probs, np.broadcast_to(places, alpha.shape), 2)
    ends = np.full(places.shape, -np.inf, log_probs.dtype)
    ends[each, 2 * lengths] = 0
    ends[each[lengths > 0], 2 * lengths[lengths > 0] - 1] = 0
    onward = np.zeros_like(skips)  # places whose next blank may be skipped
    onward[:, :-2] = skips[:, 2:]
    posterior = np.zeros_like(log_probs)
    beta = np.full_like(ends, -np.inf)
    for t in reversed(range(steps)):
        if t < steps - 1:
            ahead = beta + scores[t + 1]
            beta = _log_add(ahead, _shifted(ahead, -1), _shifted(ahead, -2, onward))
        beta = np.where((frames - 1 == t)[:, None], ends, beta)
        joint = np.exp(alpha[t] + beta + nll[:, None])
        np.add.at(posterior[t], (each[:, None], places), joint)
    dx = (np.exp(log_probs) - posterior) * g[:, None]
    lost = np.isinf(nll)
    dx[:, lost] = 0 if zero_infinity else np.nan
    dx[np.arange(steps)[:, None] >= frames] = 0
    return dx


def _ctc_plain(log_probs: Any, labels: Any, frames: Any, lengths: Any, nll: Any, alpha: Any, *, blank: int, zero_infinity: bool) -> Any:
    """The same by plain operations. Probabilities that sum to 1 change nothing; that they do gives the gradient of `ctc_grad`."""
    steps, batch = log_probs._array.shape[:2]
    places, skips = _places(labels._array, blank)
    index = labels.new_tensor(places, dtype=dtypes.int64)
    scores = [gather(log_probs[t], 1, index) for t in range(steps)]
    start = np.arange(places.shape[1]) < 2
    none = log_probs.new_full((batch, 2), _NEVER)
    a = where(_bools(log_probs, start), scores[0], _NEVER)
    for t in range(1, steps):
        one = cat([none[:, :1], a[:, :-1]], 1)
        two = where(_bools(log_probs, skips), cat([none, a], 1)[:, :places.shape[1]], _NEVER)
        now = logsumexp(stack([a, one, two]), 0) + scores[t]
        a = where(_bools(log_probs, (t < frames._array)[:, None]), now, a)
    ends = np.zeros(places.shape, np.bool_)
    each, count = np.arange(batch), lengths._array
    ends[each, 2 * count] = True
    ends[each[count > 0], 2 * count[count > 0] - 1] = True
    total = -logsumexp(where(_bools(log_probs, ends), a, _NEVER), 1)
    inside = _bools(log_probs, np.arange(steps)[:, None] < frames._array)
    mass = where(unsqueeze(inside, 2), exp(log_probs), 0.0).sum((0, 2))
    return where(_bools(log_probs, frames._array > 0), total, 0.0) + mass - mass.detach(), alpha


def _bools(like: Any, values: Any) -> Any:
    return like.new_tensor(values, dtype=dtypes.bool_)


_ctc_op: Op = Op(
    "ctc_loss", ctc_forward,
    lambda g, log_probs, labels, frames, lengths, nll, alpha, blank, zero_infinity: _ctc_grad_op(
        g[0], log_probs, labels, frames, lengths, nll, alpha, blank=blank, zero_infinity=zero_infinity),
    None, None, None, outputs="nll alpha", composite=_ctc_plain)
_ctc_grad_op: Op = Op("ctc_loss_backward", ctc_grad, *[None] * 7)


# ---- the door -----------------------------------------------------------------------------------------------------------------

_WHILE = "(while checking arguments for ctc_loss)"


def _lengths(name: str, given: Any, batch: int) -> Any:
    """Lengths as an int64 array of one per sample."""
    if isinstance(given, TensorBase):
        given = given._array
        if given.dtype.kind not in "iu":
            raise RuntimeError(f"{name} must be integral, got {dtypes.from_numpy_dtype(given.dtype)}")
    found = np.asarray(given, np.int64).reshape(-1)
    if found.size != batch:
        raise RuntimeError(f"{name} must be of size batch_size: got {found.size} for a batch of {batch}")
    if found.min(initial=0) < 0:
        raise RuntimeError(f"Expected {name} to have value at least 0, but got value {found.min()} {_WHILE}")
    return found


def _padded(targets: Any, lengths: Any, batch: int) -> Any:
    """Labels as (N, longest), from rows or from one sequence with all of them."""
    labels = targets._array.astype(np.int64)
    longest = int(lengths.max(initial=0))
    if labels.ndim == 1:
        if labels.size != lengths.sum():
            raise RuntimeError(f"Expected tensor to have size {lengths.sum()} at dimension 0, but got size {labels.size} for argument #2 "
                               f"'targets' {_WHILE}")
        rows = np.zeros((batch, longest), np.int64)
        rows[np.arange(longest) < lengths[:, None]] = labels
        return rows
    if labels.ndim != 2:
        raise RuntimeError(f"Expected 1 to 2 dimensions, but got {labels.ndim}-dimensional tensor for argument #2 'targets' {_WHILE}")
    if labels.shape[0] != batch:
        raise RuntimeError(f"Expected tensor to have size {batch} at dimension 0, but got size {labels.shape[0]} for argument #2 'targets' "
                           f"{_WHILE}")
    if labels.shape[1] < longest:
        raise RuntimeError(f"Expected tensor to have size at least {longest} at dimension 1, but got size {labels.shape[1]} for argument "
                           f"#2 'targets' {_WHILE}")
    return labels[:, :longest]


@by_example
@full_precision
def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
             zero_infinity: bool = False) -> Any:
    """-log P(labels): P sums over all alignments that become the labels once repetitions are merged and blanks dropped.

    Args:
        log_probs: log-probabilities of the classes in each frame, from `log_softmax`.
        targets: labels, a row per sample (N, L), or of all samples one after the other.
        input_lengths, target_lengths: how many frames and labels of each sample count: a Tensor, list or tuple.
        blank: the class that stands for no label.
        reduction: 'mean' divides each loss by its number of labels, then takes the mean; 'sum'; 'none'.
        zero_infinity: losses of labels that no alignment can produce (too many for the frames) become 0, as do their gradients.
    Shape: log_probs (T, N, C), or (T, C) for a single sample -> (), or (N) for 'none'. dtype: float32 or float64.
    Raises:
        RuntimeError: for lengths, labels or a blank that do not fit. NotImplementedError: for other dtypes.
    Derivative: g (e^log_probs - P(class at t | labels)): that of the logits behind log_probs, as torch has it. It differs from
        the slope by what `log_softmax` drops.
    Source: Graves et al. 2006, equations 3 to 16, doi:10.1145/1143844.1143891
    """
    reduction = chosen_reduction(reduction)
    require_tensor("ctc_loss", log_probs, "log_probs", 1)
    require_tensor("ctc_loss", targets, "targets", 2)
    ndim = log_probs._array.ndim
    if ndim not in (2, 3):
        raise RuntimeError(f"Expected 3-dimensional tensor, but got {ndim}-dimensional tensor for argument #1 'log_probs' {_WHILE}")
    if log_probs._array.dtype not in (np.float32, np.float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{dtypes.legacy_name(log_probs.dtype)}': convert with .float()")
    single = ndim == 2
    if single:
        log_probs, targets = unsqueeze(log_probs, 1), unsqueeze(targets, 0)
    steps, batch, classes = log_probs._array.shape
    errors.require_int("ctc_loss", "blank", 5, blank)
    errors.require_bool("ctc_loss", "zero_infinity", 7, zero_infinity)
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: got {blank} of {classes} classes")
    frames, lengths = _lengths("input_lengths", input_lengths, batch), _lengths("target_lengths", target_lengths, batch)
    if frames.max(initial=0) > steps:
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {frames.max()} {_WHILE}")
    labels = _padded(targets, lengths, batch)
    counted = labels[np.arange(labels.shape[1]) < lengths[:, None]]
    if counted.size and (counted.min() < 0 or counted.max() >= classes):
        raise IndexError(f"ctc_loss: labels must be in [0, {classes}), got {counted.min()} to {counted.max()}")
    labels = np.where(np.arange(labels.shape[1]) < lengths[:, None], labels, blank)  # what fills up the rows may be anything
    loss = apply(_ctc_op, (log_probs, labels, frames, lengths), {"blank": blank, "zero_infinity": zero_infinity})[0]
    if zero_infinity:
        loss = where(loss == math.inf, 0.0, loss)
    if reduction == "mean":
        return div(loss, clamp_min(loss.new_tensor(lengths, dtype=loss.dtype), 1)).mean()
    if reduction == "sum":
        return loss.sum()
    return squeeze(loss, 0) if single else loss


__all__ = ["ctc_loss"]
