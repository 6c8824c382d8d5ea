"""A layer and the batch normalisation after it as one layer, for evaluation.

BN(Wx + b) = W'x + b',  W' = W * s,  b' = (b - mean) * s + beta,  s = gamma / sqrt(var + eps)

Source: Jacob et al. 2018, section 3.2, arXiv:1712.05877
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.ops.arithmetic import rsqrt
from mytorch.ops.create import ones_like, zeros_like

if TYPE_CHECKING:
    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

M = TypeVar("M", bound=Module)


def _fused(weight: Any, bias: Any, mean: Any, var: Any, eps: float, gamma: Any, beta: Any, dim: int) -> tuple[Parameter, Parameter]:
    """Weight and bias of the two layers together; `dim` counts the outputs in the weight."""
    bias = zeros_like(mean) if bias is None else bias
    gamma = ones_like(mean) if gamma is None else gamma
    beta = zeros_like(mean) if beta is None else beta
    scale = gamma * rsqrt(var + eps)
    shape = [1] * weight.dim()
    shape[dim] = -1
    fused_weight = (weight * scale.reshape(shape)).to(weight.dtype)
    fused_bias = ((bias - mean) * scale + beta).to(bias.dtype)
    return Parameter(fused_weight.detach(), weight.requires_grad), Parameter(fused_bias.detach(), bias.requires_grad)


def fuse_conv_bn_weights(conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
                         bn_b: Tensor | None, transpose: bool = False) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution that does what the convolution and the batch normalisation after it do in evaluation.

    Args:
        conv_w, conv_b: of the convolution. bn_rm, bn_rv, bn_eps, bn_w, bn_b: running statistics, eps, weight and bias of the other.
        transpose: whether the convolution is transposed: outputs are the weight's dimension 1.
    """
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor,
                           bn_b: Tensor) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer that does what it and the batch normalisation after it do in evaluation."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _check(layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A copy of a convolution that does the work of the batch normalisation after it, too.

    Raises:
        AssertionError: if one of them is in training mode, or there are no running statistics.
    """
    _check(conv, bn)
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    fused: Any = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
                                                    transpose)
    return fused


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A copy of a linear layer that does the work of the batch normalisation after it, too.

    Raises:
        AssertionError: if one of them is in training mode, there are no running statistics, or the sizes do not fit.
    """
    _check(linear, bn)
    fused: Any = copy.deepcopy(linear)
    if fused.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
                             f"linear.out_features={fused.out_features} and bn.num_features={bn.num_features}")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    return fused
