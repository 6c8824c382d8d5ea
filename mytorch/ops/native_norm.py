"""torch's lower names of the norms and of dropout, which return what they computed on the way as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.grad_mode import by_example
from mytorch.ops.common import apply, narrowed, require_tensor
from mytorch.ops.dropout import dropout
from mytorch.ops.norm import batch_norm_parts, check_dtypes, check_normalized, group_norm_op, layer_norm_op
from mytorch.ops.shape import reshape
from mytorch.ops.softmax import softmax_grad_op

__mytorch__ = True


def _statistics(x: Any, mean: Any, var: Any, shape: Sequence[int], eps: float) -> tuple[Any, Any]:
    """The mean and 1 / sqrt(var + eps), in x's dtype and the given shape, as constants."""
    rstd = 1 / np.sqrt(var._array + var._array.dtype.type(eps))
    return tuple(x.new_tensor(narrowed(a.reshape(shape), x._array.dtype)) for a in (mean._array, rstd))


@by_example
def native_layer_norm(input: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:  # noqa: A002
    """`layer_norm` that returns (y, mean, 1 / sqrt(var + eps)).

    Shape: x (*, D...) -> y (*, D...), statistics (*, 1...). dtype: floating, kept.
    Raises, Derivative: as for `layer_norm`; none of the statistics.
    """
    shape = check_normalized("native_layer_norm", input, normalized_shape, weight, bias)
    y, mean, var = apply(layer_norm_op, (input, weight, bias), {"shape": shape, "eps": eps})
    lead = input._array.shape[:input._array.ndim - len(shape)]
    return (y, *_statistics(input, mean, var, (*lead, *[1] * len(shape)), eps))


@by_example
def native_group_norm(input: Any, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int,  # noqa: A002, N803
                      eps: float) -> tuple[Any, Any, Any]:
    """`group_norm` that returns (y, mean, 1 / sqrt(var + eps)).

    Shape: x of N * C * HxW elements -> y of x's shape, statistics (N, group). dtype: floating, kept.
    Raises:
        RuntimeError: for sizes or dtypes that do not fit.
    Derivative: as for `group_norm`; none of the statistics.
    """
    require_tensor("native_group_norm", input)
    if group <= 0 or C % group:
        raise RuntimeError(f"Expected number of channels in input to be divisible by num_groups, but got C={C} and group={group}")
    if input._array.size != N * C * HxW:
        raise RuntimeError(f"native_group_norm: input has {input._array.size} elements, expected N * C * HxW = {N * C * HxW}")
    check_dtypes("native_group_norm", input, weight, bias)
    y, mean, var = apply(group_norm_op, (reshape(input, (N, C, HxW)), weight, bias), {"groups": group, "eps": eps})
    return (reshape(y, input._array.shape), *_statistics(input, mean, var, (N, group), eps))


@by_example
def native_batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,  # noqa: A002
                      eps: float) -> tuple[Any, Any, Any]:
    """`batch_norm` that returns (y, mean, 1 / sqrt(var + eps)); the statistics are empty in evaluation.

    Shape: x (N, C, *), parameters (C) -> y of x's shape, statistics (C) or (0). dtype: floating, kept.
    Raises, Derivative: as for `batch_norm`; none of the statistics.
    """
    require_tensor("native_batch_norm", input)
    if input._array.ndim < 2:
        raise IndexError(f"native_batch_norm: expected at least 2 dimensions, (N, C, *), but got {list(input._array.shape)}")
    y, mean, var = batch_norm_parts(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return y, input.new_zeros(0), input.new_zeros(0)
    return (y, *_statistics(input, mean, var, (input._array.shape[1],), eps))


@by_example
def _native_batch_norm_legit(input: Any, weight: Any, bias: Any, *rest: Any) -> tuple[Any, Any, Any]:  # noqa: A002
    """`native_batch_norm`: running_mean, running_var, training, momentum, eps; or, without running statistics, the last three."""
    return native_batch_norm(input, weight, bias, *(rest if len(rest) == 5 else (None, None, *rest)))


@by_example
def _batch_norm_with_update(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float,  # noqa: A002
                            eps: float) -> tuple[Any, Any, Any, Any]:
    """`native_batch_norm` in training, and an empty tensor, where torch keeps a library's notes."""
    found = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return (*found, input.new_zeros(0, dtype=dtypes.uint8))


def native_dropout(input: Any, p: float, train: bool | None) -> tuple[Any, Any]:  # noqa: A002
    """`dropout` that returns (y, which elements it kept).

    Raises:
        ValueError: if p is not in [0, 1].
    Derivative: g / (1 - p) where x was kept.
    """
    require_tensor("native_dropout", input)
    if train is False:
        return input.clone(), input.new_ones(input._array.shape, dtype=dtypes.bool_)
    kept = dropout(input.new_ones(input._array.shape), p)  # 1 / (1 - p) or 0: one draw for the mask and for the values
    return input * kept, kept != 0


def native_dropout_backward(grad_output: Any, mask: Any, scale: float) -> Any:
    """The gradient of dropout's input: grad_output where the mask kept it, times scale."""
    require_tensor("native_dropout_backward", grad_output, "grad_output", 1)
    return grad_output * mask * scale


def _softmax_backward_data(grad_output: Any, output: Any, dim: int, input_dtype: Any) -> Any:
    """The gradient of softmax's input from that of its output: output * (grad_output - sum(grad_output * output))."""
    require_tensor("_softmax_backward_data", grad_output, "grad_output", 1)
    dim = dim + output._array.ndim if dim < 0 else dim
    dx = apply(softmax_grad_op, (grad_output, output), {"dim": dim})
    return dx if dx.dtype is input_dtype else dx.to(input_dtype)


__all__ = ["native_batch_norm", "native_dropout", "native_dropout_backward", "native_group_norm", "native_layer_norm"]
