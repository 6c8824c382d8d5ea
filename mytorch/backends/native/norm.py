"""Batch, layer, group and root-mean-square norm, and their gradients: csrc/kernels/norm.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.backends.native.extension import FLOAT32, FLOAT64, Array, K, dense, empty

__mytorch__ = True

Ints = tuple[int, ...]


def _answers(x: Array, *others: Array | None) -> bool:
    """Whether all are float32, or float64, and parameters lie in order. Any size pays: NumPy makes a dozen passes."""
    kind = x.dtype
    if (kind is not FLOAT32 and kind is not FLOAT64) or not x.size:
        return False
    for p in others:  # noqa: SIM110 - a generator takes three times as long
        if p is not None and ((p.dtype is not kind and p.dtype != kind) or not p.flags.c_contiguous):
            return False
    return True


def _answers_for_channels(x: Array, *others: Array | None) -> bool:
    """The same for kernels that also take bfloat16, beside which parameters are float32."""
    if x.dtype.kind != "V":
        return _answers(x, *others)
    return x.size > 0 and all(p is None or (p.dtype is FLOAT32 and p.flags.c_contiguous) for p in others)


def batch_norm_forward(x: Array, weight: Array | None, bias: Array | None, running_mean: Array | None, running_var: Array | None, *,
                       training: bool, eps: float) -> Any:
    """y, and the mean and the (biased) variance (C) that normalised it: of the batch, or the running ones."""
    if not _answers_for_channels(x, weight, bias, running_mean, running_var):
        return NotImplemented
    y = empty(x.shape, x.dtype)
    if training:
        kind = FLOAT32 if x.dtype.kind == "V" else x.dtype
        mean, var = np.empty(x.shape[1], kind), np.empty(x.shape[1], kind)
        done = K.batch_norm(dense(x), weight, bias, y, mean, var, eps)
    else:
        assert running_mean is not None and running_var is not None
        mean, var = running_mean, running_var
        done = K.batch_norm_by(dense(x), weight, bias, mean, var, y, eps)
    return done if done is NotImplemented else (y, mean, var)


def batch_norm_grad(g: Array, x: Array, weight: Array | None, mean: Array, var: Array, *, training: bool, eps: float) -> Any:
    """dx, dweight, dbias."""
    if not _answers_for_channels(x, weight, mean, var) or g.dtype != x.dtype:
        return NotImplemented
    dx, dweight, dbias = empty(x.shape, x.dtype), np.empty(x.shape[1], mean.dtype), np.empty(x.shape[1], mean.dtype)
    done = K.batch_norm_grad(dense(g), dense(x), weight, mean, var, dx, dweight, dbias, training, eps)
    return done if done is NotImplemented else (dx, dweight, dbias)


def layer_norm_forward(x: Array, weight: Array | None, bias: Array | None, *, shape: Ints, eps: float) -> Any:
    """y, and the mean and (biased) variance of each row."""
    if not _answers(x, weight, bias):
        return NotImplemented
    rows = x.size // math.prod(shape)
    y, mean, var = empty(x.shape, x.dtype), np.empty(rows, x.dtype), np.empty(rows, x.dtype)
    done = K.layer_norm(dense(x), weight, bias, y, mean, var, eps)
    return done if done is NotImplemented else (y, mean, var)


def layer_norm_grad(g: Array, x: Array, weight: Array | None, mean: Array, var: Array, *, shape: Ints, eps: float) -> Any:
    """dx, dweight, dbias."""
    if not _answers(x, weight, mean, var) or g.dtype is not x.dtype:
        return NotImplemented
    dx, dweight, dbias = empty(x.shape, x.dtype), np.empty(shape, x.dtype), np.empty(shape, x.dtype)
    done = K.layer_norm_grad(dense(g), dense(x), weight, mean, var, dx, dweight, dbias, eps)
    return done if done is NotImplemented else (dx, dweight, dbias)


def rms_norm_forward(x: Array, weight: Array | None, *, shape: Ints, eps: float) -> Any:
    """y, and 1 / sqrt(mean(x^2) + eps) of each row."""
    if not _answers(x, weight):
        return NotImplemented
    y, rstd = empty(x.shape, x.dtype), np.empty(x.size // math.prod(shape), x.dtype)
    done = K.rms_norm(dense(x), weight, y, rstd, eps)
    return done if done is NotImplemented else (y, rstd)


def rms_norm_grad(g: Array, x: Array, weight: Array | None, rstd: Array, *, shape: Ints) -> Any:
    """dx, dweight."""
    if not _answers(x, weight, rstd) or g.dtype is not x.dtype:
        return NotImplemented
    dx, dweight = empty(x.shape, x.dtype), np.empty(shape, x.dtype)
    done = K.rms_norm_grad(dense(g), dense(x), weight, rstd, dx, dweight)
    return done if done is NotImplemented else (dx, dweight)


def group_norm_forward(x: Array, weight: Array | None, bias: Array | None, *, groups: int, eps: float) -> Any:
    """y, and the mean and (biased) variance (N, groups)."""
    if not _answers(x, weight, bias):
        return NotImplemented
    y, mean, var = empty(x.shape, x.dtype), np.empty((len(x), groups), x.dtype), np.empty((len(x), groups), x.dtype)
    done = K.group_norm(dense(x), weight, bias, y, mean, var, eps)
    return done if done is NotImplemented else (y, mean, var)


def group_norm_grad(g: Array, x: Array, weight: Array | None, mean: Array, var: Array, *, groups: int, eps: float) -> Any:
    """dx, dweight, dbias."""
    if not _answers(x, weight, mean, var) or g.dtype is not x.dtype:
        return NotImplemented
    dx, dweight, dbias = empty(x.shape, x.dtype), np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    done = K.group_norm_grad(dense(g), dense(x), weight, mean, var, dx, dweight, dbias, eps)
    return done if done is NotImplemented else (dx, dweight, dbias)


overrides = {"batch_norm_forward": batch_norm_forward, "batch_norm_grad": batch_norm_grad, "layer_norm_forward": layer_norm_forward,
             "layer_norm_grad": layer_norm_grad, "rms_norm_forward": rms_norm_forward, "rms_norm_grad": rms_norm_grad,
             "group_norm_forward": group_norm_forward, "group_norm_grad": group_norm_grad}
