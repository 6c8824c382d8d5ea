"""Gradient clipping, by norm and by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch import dtypes
from mytorch.inplace import bump
from mytorch.tensor import Tensor, _wrap

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Array = np.ndarray[Any, Any]
    Tensors = Tensor | Iterable[Tensor]

__mytorch__ = True

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def get_total_norm(tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                   foreach: bool | None = None) -> Tensor:
    """The norm of the vector of the tensors' norms: for order 2, the norm of all elements together.

    Args:
        tensors: a Tensor or an iterable of them, usually gradients.
        norm_type: the order of the norm; float("inf") for the largest magnitude.
        error_if_nonfinite: refuse a norm that is infinite or NaN.
        foreach: accepted, without effect.
    Returns:
        A 0-d Tensor outside any graph; 0 for no tensors.
    Raises:
        RuntimeError: for a norm that is not finite, where that was asked for.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    order = float(norm_type)
    if not tensors:
        return _wrap(np.array(0.0, np.float32))
    norms = np.array([_norm(_as_real(t._array), order) for t in tensors])
    result = tensors[0].dtype.to_real()
    for t in tensors[1:]:
        result = dtypes.promote_types(result, t.dtype.to_real())
    total = _norm(norms.astype(np.promote_types(result.np, np.float32)) if result.np.kind == "f" else norms, order)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(f"The total norm of order {order} for gradients from `parameters` is non-finite, so it cannot be "
                           "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
                           "`error_if_nonfinite=False`")
    return _wrap(dtypes.cast(np.asarray(total), result.np))


def clip_grads_with_norm_(parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale the gradients by max_norm / total_norm where that is below 1, in place.

    Args:
        parameters: a Tensor or an iterable of Tensors; those without a gradient are left out.
        max_norm: the norm to scale to.
        total_norm: their norm, as `get_total_norm` gives it.
        foreach: accepted, without effect.
    """
    norm = _as_real(total_norm._array)
    scale = np.minimum(np.asarray(float(max_norm) / (norm + 1e-6), norm.dtype), 1.0)
    if scale == 1.0:
        return
    for grad in _gradients(parameters):
        array = grad._array
        if array.dtype.kind == "V":
            np.copyto(array, dtypes.float32_to_bfloat16(dtypes.bfloat16_to_float32(array) * scale))
        else:
            np.multiply(array, scale.item(), out=array)
        bump(grad)


def clip_grad_norm_(parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                    foreach: bool | None = None) -> Tensor:
    """Scale gradients in place so that their norm, all together, is at most `max_norm`.

    Args:
        parameters: a Tensor or an iterable of Tensors; those without a gradient are left out.
        max_norm: the largest norm allowed.
        norm_type, error_if_nonfinite, foreach: as for `get_total_norm`.
    Returns:
        The norm before, a 0-d Tensor.
    Raises:
        RuntimeError: for a norm that is not finite, where that was asked for.
    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1, arXiv:1211.5063
    """
    if not isinstance(parameters, Tensor):
        lazy = not hasattr(parameters, "__len__")
        parameters = list(parameters)
        if lazy and not parameters:
            import warnings
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    total_norm = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total_norm)
    return total_norm


def clip_grad_norm(parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                   foreach: bool | None = None) -> Tensor:
    """The old name of `clip_grad_norm_`."""
    import warnings

    warnings.warn("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
                  FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp each element of the gradients to [-clip_value, clip_value], in place.

    Args:
        parameters: a Tensor or an iterable of Tensors; those without a gradient are left out.
        clip_value: the largest magnitude allowed.
        foreach: accepted, without effect.
    """
    bound = float(clip_value)
    for grad in _gradients(parameters):
        array = grad._array
        if array.dtype.kind == "V":
            np.copyto(array, dtypes.float32_to_bfloat16(np.clip(dtypes.bfloat16_to_float32(array), -bound, bound)))
        else:
            np.clip(array, -bound, bound, out=array)
        bump(grad)


def _gradients(parameters: Tensors) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def _as_real(array: Array) -> Array:
    """The array as floats that NumPy adds well: 16 bits in float32."""
    if array.dtype == dtypes.BFLOAT16_NP:
        return dtypes.bfloat16_to_float32(array)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _norm(x: Array, order: float) -> Any:
    if order == 2.0:
        x = x.ravel("K")
        return np.sqrt(np.vdot(x, x).real)
    magnitude = np.abs(x)
    if order == float("inf"):
        return magnitude.max(initial=0)
    if order == float("-inf"):
        return magnitude.min()
    if order == 0.0:
        return np.count_nonzero(x)
    return (magnitude**order).sum() ** (1.0 / order)
