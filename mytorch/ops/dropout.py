"""Dropout: elements or whole channels are set to zero at random, the rest is scaled up so that the mean stays.

The masks are those that torch draws from the same seed: the default generator decides, one draw per element (or channel) in the
order of memory.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.generator import default_generator
from mytorch.ops.common import Op, apply, apply_inplace, compute_dtype, narrowed, require_tensor, widened
from mytorch.ops.shape import squeeze, unsqueeze

__mytorch__ = True


@kernel
def dropout_forward(x: Any, mask: Any, *, scale: float) -> Any:
    """x * scale where the mask (bool, broadcast) keeps it, x * 0 elsewhere."""
    wide = widened(x)
    y = np.multiply(wide, mask, out=...)
    y *= wide.dtype.type(scale)
    return narrowed(y, x.dtype)


@kernel
def alpha_dropout_forward(x: Any, mask: Any, *, a: float, kept: float, dropped: float) -> Any:
    """a * x + kept where the mask keeps it, 0 * x + dropped elsewhere."""
    wide = widened(x)
    y = np.multiply(wide, mask, out=...)
    y *= wide.dtype.type(a)
    y += np.where(mask, wide.dtype.type(kept), wide.dtype.type(dropped))
    return narrowed(y, x.dtype)


dropout_op: Op = Op("dropout", dropout_forward, lambda g, mask, scale: dropout_op(g, mask, scale=scale), None)
_alpha_dropout_op: Op = Op("alpha_dropout", alpha_dropout_forward, lambda g, mask, a: dropout_op(g, mask, scale=a), None)

_SELU_LIMIT = 1.7580993408473766  # scale * alpha of SELU: what it tends to for large negative x, with the sign changed


def _mask(x: Any, p: float, per_channel: bool) -> Any:
    """Which elements, or channels, are kept; as torch draws it, in the order of x's memory."""
    shape = x._array.shape
    if per_channel:
        if len(shape) < 2:
            raise RuntimeError(f"Feature dropout requires at least 2 dimensions in the input, got {len(shape)}")
        return default_generator.dropout_mask(p, (*shape[:2], *[1] * (len(shape) - 2)))
    if x._array.flags.c_contiguous:
        return default_generator.dropout_mask(p, shape)
    order = sorted(range(len(shape)), key=lambda d: -abs(x._array.strides[d]))
    return default_generator.dropout_mask(p, tuple(shape[d] for d in order)).transpose(np.argsort(order))


def _dropout(function: str, x: Any, p: float, training: bool, inplace: bool, *, per_channel: bool = False,
             alpha: bool = False) -> Any:
    require_tensor(function, x)
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 0 or not training or x._array.size == 0:
        return x
    if x._array.dtype.kind in "biu":
        raise RuntimeError("result type Float can't be cast to the desired output type "
                           f"{dtypes.legacy_name(x.dtype)}: {function} needs a floating-point input; convert with .float()")
    run: Any = apply_inplace if inplace else apply
    if p == 1:
        return run(dropout_op, (x, np.zeros((), np.bool_)), {"scale": 0.0})
    mask = _mask(x, p, per_channel)
    if not alpha:
        return run(dropout_op, (x, mask), {"scale": _scale(x, p)})
    a = 1 / math.sqrt((_SELU_LIMIT * _SELU_LIMIT * p + 1) * (1 - p))
    kept = _SELU_LIMIT * a * p
    return run(_alpha_dropout_op, (x, mask), {"a": a, "kept": kept, "dropped": kept - _SELU_LIMIT * a})


def _scale(x: Any, p: float) -> float:
    """1 / (1 - p), rounded as torch rounds it, in the dtype it computes in."""
    kind = compute_dtype(x.dtype)
    return float(kind.type(1) / kind.type(1 - p)) if kind.kind == "f" else 1 / (1 - p)


def drop_channels(function: str, x: Any, p: float, training: bool, inplace: bool) -> Any:
    """`dropout` of whole channels, for `function` to call. Shape: (N, C, *)."""
    return _dropout(function, x, p, training, inplace, per_channel=True)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002
    """Set each element to zero with probability p and divide the others by 1 - p; the identity unless training.

    Shape: any, kept. dtype: floating or complex, kept.
    Raises:
        ValueError: if p is not in [0, 1]. RuntimeError: for an integer input.
    Derivative: g / (1 - p) where x was kept, zero elsewhere.
    Source: Srivastava et al. 2014, JMLR 15
    """
    return _dropout("dropout", input, p, training, inplace)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002
    """`dropout` of whole channels. Shape: (N, C, L) or (C, L)."""
    ndim = input._array.ndim
    if ndim not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input. "
                           "Note that dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
                           "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs).")
    return _per_channel("dropout1d", input, p, training, inplace, unbatched=ndim == 2)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002
    """`dropout` of whole channels. Shape: (N, C, H, W); three dimensions are read as (N, C, L).

    Source: Tompson et al. 2015, arXiv:1411.4280
    """
    ndim = input._array.ndim
    if ndim == 3:
        warnings.warn("dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired "
                      "- input is interpreted as shape (N, C, L), where C is the channel dim. Please use dropout1d instead.",
                      stacklevel=2)
    elif ndim != 4:
        _warn_ndim("dropout2d", ndim, 2)
    return _per_channel("dropout2d", input, p, training, inplace)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002
    """`dropout` of whole channels. Shape: (N, C, D, H, W) or (C, D, H, W)."""
    ndim = input._array.ndim
    if ndim not in (4, 5):
        _warn_ndim("dropout3d", ndim, 3)
    return _per_channel("dropout3d", input, p, training, inplace, unbatched=ndim != 5)


def _warn_ndim(function: str, ndim: int, spatial: int) -> None:
    warnings.warn(f"{function}: Received a {ndim}-D input to {function}, which is deprecated: it drops channels of "
                  f"inputs with {spatial} spatial dimensions, a channel dimension, and an optional batch dimension "
                  f"(i.e. {spatial + 1}D or {spatial + 2}D inputs). Please use dropout instead.", stacklevel=3)


def _per_channel(function: str, x: Any, p: float, training: bool, inplace: bool, unbatched: bool = False) -> Any:
    if not unbatched:
        return _dropout(function, x, p, training, inplace, per_channel=True)
    y = squeeze(_dropout(function, unsqueeze(x, 0), p, training, inplace, per_channel=True), 0)
    return x if inplace else y


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:  # noqa: A002
    """Dropout for SELU networks: what is dropped takes SELU's lower limit, and mean and variance stay 0 and 1.

    Source: Klambauer et al. 2017, arXiv:1706.02515
    """
    return _dropout("alpha_dropout", input, p, training, inplace, alpha=True)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:  # noqa: A002
    """`alpha_dropout` of whole channels. Shape: (N, C, *)."""
    return _dropout("feature_alpha_dropout", input, p, training, inplace, per_channel=True, alpha=True)


__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]
