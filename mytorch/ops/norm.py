"""Normalisation: batch, layer, group, instance and root-mean-square norm, local response norm, `normalize`.

Each norm is one fused kernel with a fused first derivative. Beside it stands the same norm written with plain operations, its
`composite`: that is what `create_graph=True` differentiates, and what the kernel is tested against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.engine_state import state
from mytorch.grad_mode import no_grad
from mytorch.ops.autocast import get_casting, in_float32
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, FLOAT32, Op, apply, bump, cast, narrowed, put_out, require_tensor, result_dtype, widened
from mytorch.ops.elementwise import add, copy_, div, mul, pow, rsqrt, square  # noqa: A004 - torch's names
from mytorch.ops.pool import avg_pool2d
from mytorch.ops.shape import pad, reshape

__mytorch__ = True

Ints = tuple[int, ...]


def _rstd(var: Any, eps: float) -> Any:
    return 1 / np.sqrt(var + var.dtype.type(eps))


def _channels_first(x: Any) -> Any:
    """(N, C, *) as (N, C, L): what follows the channels in one dimension."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _rows(x: Any, shape: Ints) -> Any:
    """(*, D...) as (rows, D): the dimensions to normalise over in one."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:x.ndim - len(shape)]), math.prod(shape))


# ---- batch norm ---------------------------------------------------------------------------------------------------------------


@kernel
def batch_norm_forward(x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, *, training: bool, eps: float) -> Any:
    """y, and the mean and the (biased) variance (C) that normalised it: of the batch, or the running ones."""
    wide = _channels_first(widened(x))
    if training:
        mean = wide.sum(axis=2).sum(axis=0) / wide.dtype.type(wide.shape[0] * wide.shape[2])
        y = wide - mean[:, None]
        var = np.einsum("ncl,ncl->nc", y, y).sum(axis=0) / wide.dtype.type(wide.shape[0] * wide.shape[2])
    else:
        mean, var = (cast(r, wide.dtype) for r in (running_mean, running_var))
        y = wide - mean[:, None]
    scale = _rstd(var, eps)
    y *= (scale if weight is None else scale * widened(weight))[:, None]
    if bias is not None:
        y += widened(bias)[:, None]
    return narrowed(y.reshape(x.shape), x.dtype), mean, var


@kernel
def batch_norm_grad(g: Any, x: Any, weight: Any, mean: Any, var: Any, *, training: bool, eps: float) -> Any:
    """dx, dweight, dbias."""
    wide = _channels_first(widened(g))
    centred = _channels_first(widened(x)) - mean[:, None]
    rstd = _rstd(var, eps)
    total = wide.sum(axis=2).sum(axis=0)
    against = np.einsum("ncl,ncl->nc", wide, centred).sum(axis=0)
    scale = (rstd if weight is None else rstd * widened(weight))[:, None]
    if training:
        count = wide.dtype.type(wide.shape[0] * wide.shape[2])
        dx = np.multiply(centred, (-against * rstd * rstd / count)[:, None], out=centred)
        dx += wide
        dx -= (total / count)[:, None]
        dx *= scale
    else:
        dx = wide * scale
    return narrowed(dx.reshape(x.shape), x.dtype), against * rstd, total


def _batch_norm_formula(g: Any, x: Any, weight: Any, mean: Any, var: Any, training: bool, eps: float) -> Any:
    return [*_batch_norm_grad_op(g[0], x, weight, mean, var, training=training, eps=eps), None, None]


def _batch_norm_plain(x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, y: Any, mean: Any, var: Any, *,
                      training: bool, eps: float) -> Any:
    dims = (0, *range(2, x.ndim))
    shape = (1, x.shape[1], *[1] * (x.ndim - 2))
    if training:
        centred = x - x.mean(dims, keepdim=True)
        y = centred * rsqrt(square(centred).mean(dims, keepdim=True) + eps)
    else:
        y = (x - reshape(running_mean, shape)) * rsqrt(reshape(running_var, shape) + eps)
    return _affine(y, weight, bias, shape)


def _affine(y: Any, weight: Any, bias: Any, shape: Ints) -> Any:
    if weight is not None:
        y = y * reshape(weight, shape)
    return y if bias is None else y + reshape(bias, shape)


_batch_norm_op: Op = Op("native_batch_norm", batch_norm_forward, joint=_batch_norm_formula, outputs="y mean var",
                    composite=_batch_norm_plain)
_batch_norm_grad_op: Op = Op("native_batch_norm_backward", batch_norm_grad, None, None, None, None, None,
                         outputs="dx dweight dbias")


def check_dtypes(function: str, x: Any, *parameters: Any) -> None:
    """Parameters have x's dtype, or float32 beside a 16-bit x."""
    kind = x._array.dtype
    if kind.kind not in "fV":
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.legacy_name(x.dtype)}': convert with .float()")
    for p in parameters:
        if p is None or p._array.dtype is kind:
            continue
        if p._array.dtype != kind and not (kind in (FLOAT16, BFLOAT16_NP) and p._array.dtype == FLOAT32):
            raise RuntimeError(f"{function}: mixed dtype (CPU): all inputs must share same datatype: input has {x.dtype}, "
                               f"a parameter or buffer {p.dtype}; convert one with .to()")


def _update_running(running: Any, now: Any, momentum: float, factor: float = 1.0, over_samples: bool = False) -> None:
    """running = (1 - momentum) * running + momentum * factor * now, where now may first be averaged over its first dimension."""
    if running is None:
        return
    if state.mode is not None:
        if type(now._array) is not np.ndarray and type(running._array) is np.ndarray:
            raise RuntimeError("Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated in place, "
                               "were not batched. Give each example its own, use eval(), or set track_running_stats=False.")
        with no_grad():
            copy_(running, running * (1 - momentum) + (now.mean(0) if over_samples else now) * (momentum * factor))
        return
    array, values = running._array, now._array.mean(axis=0) if over_samples else now._array
    if array.dtype == FLOAT32 == values.dtype and not over_samples:  # without four temporary arrays and as many looks at types
        array *= 1 - momentum
        change = values * factor
        change *= momentum
        array += change
        bump(running)
        return
    array[...] = cast(np.asarray((1 - momentum) * widened(array) + momentum * (values * factor)), array.dtype)
    bump(running)


def batch_norm(input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,  # noqa: A002
               momentum: float = 0.1, eps: float = 1e-5) -> Any:
    """Normalise each channel over the batch (training), or by running statistics (evaluation).

    y = (x - mean) / sqrt(var + eps) * weight + bias

    In training the running statistics become (1 - momentum) * old + momentum * batch, with the unbiased variance.

    Shape: x (N, C, *), all others (C) -> (N, C, *). dtype: floating, kept.
    Raises:
        ValueError: in training, for a single value per channel, or eps <= 0.
        RuntimeError: for sizes or dtypes that differ, or running statistics that are missing in evaluation.
    Derivative: dx = weight / std * (g - mean(g) - xhat * mean(g * xhat)); dweight = sum(g * xhat), dbias = sum(g). In evaluation
        dx = weight / std * g.
    Source: Ioffe, Szegedy 2015, algorithm 1, arXiv:1502.03167
    """
    require_tensor("batch_norm", input)
    shape = input._array.shape
    if shape == (0,):  # torch lets it pass
        return input.clone()
    if len(shape) < 2:
        raise RuntimeError(f"batch_norm: expected at least 2 dimensions, (N, C, *), but got input of size {list(shape)}")
    if training and math.prod(shape[:1]) * math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(shape)}; one value has no "
                         "variance: call eval(), or drop the last batch")
    if training and eps <= 0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    return batch_norm_parts(input, running_mean, running_var, weight, bias, training, momentum, eps)[0]


_CHANNELWISE = ("running_mean", "running_var", "weight", "bias")


def batch_norm_parts(x: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: bool, momentum: float,
                     eps: float) -> tuple[Any, Any, Any]:
    """y, and the mean and the variance that normalised it."""
    channels = x._array.shape[1]
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError(f"{'running_var' if running_mean is not None else 'running_mean'} must be defined in evaluation mode")
    wanted = (channels,)
    plain = x._array.dtype is FLOAT32
    for name, p in zip(_CHANNELWISE, (running_mean, running_var, weight, bias)):
        if p is not None:
            array = p._array
            plain = plain and array.dtype is FLOAT32
            if array.shape != wanted:
                raise RuntimeError(f"{name} should contain {channels} elements not {array.size}")
    if not plain:
        check_dtypes("batch_norm", x, running_mean, running_var, weight, bias)
    running = (None, None) if training else (running_mean, running_var)  # training writes to them: they must not be saved
    y, mean, var = apply(_batch_norm_op, (x, weight, bias, *running), {"training": training, "eps": eps})
    if training and x._array.size:
        count = x._array.size // channels
        _update_running(running_mean, mean, momentum)
        _update_running(running_var, var, momentum, count / (count - 1) if count > 1 else math.nan)
    return y, mean, var


# ---- layer norm and root-mean-square norm -------------------------------------------------------------------------------------


@kernel
def layer_norm_forward(x: Any, weight: Any, bias: Any, *, shape: Ints, eps: float) -> Any:
    """y, and the mean and (biased) variance of each row."""
    wide = _rows(widened(x), shape)
    count = wide.dtype.type(wide.shape[1])
    mean = wide.sum(axis=1) / count
    y = wide - mean[:, None]
    var = np.einsum("rd,rd->r", y, y) / count
    y *= _rstd(var, eps)[:, None]
    if weight is not None:
        y *= widened(weight).reshape(-1)
    if bias is not None:
        y += widened(bias).reshape(-1)
    return narrowed(y.reshape(x.shape), x.dtype), mean, var


@kernel
def layer_norm_grad(g: Any, x: Any, weight: Any, mean: Any, var: Any, *, shape: Ints, eps: float) -> Any:
    """dx, dweight, dbias."""
    wide = _rows(widened(g), shape)
    rstd = _rstd(var, eps)[:, None]
    xhat = _rows(widened(x), shape) - mean[:, None]
    xhat *= rstd
    dweight = np.einsum("rd,rd->d", wide, xhat)
    dbias = wide.sum(axis=0)
    scaled = wide if weight is None else wide * widened(weight).reshape(-1)
    count = wide.dtype.type(wide.shape[1])
    against = np.einsum("rd,rd->r", scaled, xhat) / count
    dx = np.multiply(xhat, -against[:, None], out=xhat)
    dx += scaled
    dx -= (scaled.sum(axis=1) / count)[:, None]
    dx *= rstd
    return narrowed(dx.reshape(x.shape), x.dtype), dweight.reshape(shape), dbias.reshape(shape)


def _layer_norm_formula(g: Any, x: Any, weight: Any, mean: Any, var: Any, shape: Ints, eps: float) -> Any:
    return _layer_norm_grad_op(g[0], x, weight, mean, var, shape=shape, eps=eps)


def _layer_norm_plain(x: Any, weight: Any, bias: Any, y: Any, mean: Any, var: Any, *, shape: Ints, eps: float) -> Any:
    dims = tuple(range(-len(shape), 0))
    centred = x - x.mean(dims, keepdim=True)
    return _affine(centred * rsqrt(square(centred).mean(dims, keepdim=True) + eps), weight, bias, shape)


layer_norm_op: Op = Op("native_layer_norm", layer_norm_forward, joint=_layer_norm_formula, outputs="y mean var",
                    composite=_layer_norm_plain)
_layer_norm_grad_op: Op = Op("native_layer_norm_backward", layer_norm_grad, None, None, None, None, None,
                         outputs="dx dweight dbias")


def check_normalized(function: str, x: Any, normalized_shape: Any, weight: Any, bias: Any) -> Ints:
    require_tensor(function, x)
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(f"{function}(): argument 'normalized_shape' (position 2) must be tuple of ints, "
                        f"not {type(normalized_shape).__name__}")
    shape = tuple(int(n) for n in normalized_shape)
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
                           "but got normalized_shape = []")
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and p._array.shape != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                               f"{list(p._array.shape)} and normalized_shape = {list(shape)}")
    if x._array.shape[-len(shape):] != shape:
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*, {', '.join(map(str, shape))}], "
                           f"but got input of size{list(x._array.shape)}")
    if function != "rms_norm" or x._array.dtype.kind != "c":
        check_dtypes(function, x, weight, bias)
    return shape


def layer_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:  # noqa: A002
    """Normalise over the last dimensions (layer normalisation).

    y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias

    Args:
        normalized_shape: trailing sizes to normalise over.
    Shape: x (N, *, D...) -> y, same shape. dtype: floating, kept.
    Raises:
        RuntimeError: if the trailing sizes of x differ from normalized_shape.
    Derivative: dx = (g' - mean(g') - xhat * mean(g' * xhat)) / std,  g' = g * weight.
    Source: Ba, Kiros, Hinton 2016, eq. 3-4, arXiv:1607.06450
    """
    shape = check_normalized("layer_norm", input, normalized_shape, weight, bias)
    errors.require_float("layer_norm", "eps", 5, eps)
    return apply(layer_norm_op, (input, weight, bias), {"shape": shape, "eps": eps})[0]


@kernel
def rms_norm_forward(x: Any, weight: Any, *, shape: Ints, eps: float) -> Any:
    """y, and 1 / sqrt(mean(x^2) + eps) of each row."""
    wide = _rows(widened(x), shape)
    rstd = _rstd(np.einsum("rd,rd->r", wide, wide) / wide.dtype.type(wide.shape[1]), eps)
    y = wide * rstd[:, None]
    if weight is not None:
        y *= widened(weight).reshape(-1)
    return narrowed(y.reshape(x.shape), x.dtype), rstd


@kernel
def rms_norm_grad(g: Any, x: Any, weight: Any, rstd: Any, *, shape: Ints) -> Any:
    """dx, dweight."""
    wide = _rows(widened(g), shape)
    xhat = _rows(widened(x), shape) * rstd[:, None]
    dweight = np.einsum("rd,rd->d", wide, xhat).reshape(shape)
    scaled = wide if weight is None else wide * widened(weight).reshape(-1)
    against = np.einsum("rd,rd->r", scaled, xhat) / wide.dtype.type(wide.shape[1])
    dx = np.multiply(xhat, -against[:, None], out=xhat)
    dx += scaled
    dx *= rstd[:, None]
    return narrowed(dx.reshape(x.shape), x.dtype), dweight


def _rms_norm_formula(g: Any, x: Any, weight: Any, rstd: Any, shape: Ints) -> Any:
    return _rms_norm_grad_op(g[0], x, weight, rstd, shape=shape)


def _rms_norm_plain(x: Any, weight: Any, y: Any, rstd: Any, *, shape: Ints, eps: float) -> Any:
    y = x * rsqrt(square(x).mean(tuple(range(-len(shape), 0)), keepdim=True) + eps)
    return y if weight is None else y * weight


_rms_norm_op: Op = Op("rms_norm", rms_norm_forward, joint=_rms_norm_formula, outputs="y rstd", composite=_rms_norm_plain)
_rms_norm_grad_op: Op = Op("rms_norm_backward", rms_norm_grad, None, None, None, None, outputs="dx dweight")


def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:  # noqa: A002
    """Divide by the root mean square over the last dimensions: y = x / sqrt(mean(x^2) + eps) * weight.

    Args:
        eps: the dtype's machine epsilon if not given.
    Shape: x (*, D...) -> y, same shape. dtype: floating, kept.
    Raises:
        RuntimeError: if the trailing sizes of x differ from normalized_shape.
    Derivative: dx = (g' - xhat * mean(g' * xhat)) / rms,  g' = g * weight.
    Source: Zhang, Sennrich 2019, arXiv:1910.07467
    """
    require_tensor("rms_norm", input)
    if weight is not None and weight.dtype is not input.dtype and input._array.dtype.kind in "fcV":
        common = result_dtype(input._array, weight._array)  # computed in the wider dtype, returned in the input's
        return rms_norm(input.to(common), normalized_shape, weight.to(common), eps).to(input.dtype)
    shape = check_normalized("rms_norm", input, normalized_shape, weight, None)
    eps = dtypes.finfo(input.dtype).eps if eps is None else eps
    errors.require_float("rms_norm", "eps", 4, eps)
    if input.is_complex():
        return _rms_norm_plain(input, weight, None, None, shape=shape, eps=eps)
    return apply(_rms_norm_op, (input, weight), {"shape": shape, "eps": eps})[0]


# ---- group and instance norm --------------------------------------------------------------------------------------------------


def _groups(x: Any, groups: int) -> Any:
    """(N, C, *) as (N, groups, C/groups * L)."""
    return np.ascontiguousarray(x).reshape(x.shape[0], groups, x.shape[1] // groups * math.prod(x.shape[2:]))


@kernel
def group_norm_forward(x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> Any:
    """y, and the mean and (biased) variance (N, groups)."""
    wide = _groups(widened(x), groups)
    count = wide.dtype.type(wide.shape[2])
    mean = wide.sum(axis=2) / count
    y = wide - mean[..., None]
    var = np.einsum("ngk,ngk->ng", y, y) / count
    y *= _rstd(var, eps)[..., None]
    y = _channels_first(y.reshape(x.shape))
    if weight is not None:
        y *= widened(weight)[:, None]
    if bias is not None:
        y += widened(bias)[:, None]
    return narrowed(y.reshape(x.shape), x.dtype), mean, var


@kernel
def group_norm_grad(g: Any, x: Any, weight: Any, mean: Any, var: Any, *, groups: int, eps: float) -> Any:
    """dx, dweight, dbias."""
    wide = _channels_first(widened(g))
    rstd = _rstd(var, eps)[..., None]
    xhat = _groups(widened(x), groups) - mean[..., None]
    xhat *= rstd
    dweight = np.einsum("ncl,ncl->nc", wide, xhat.reshape(wide.shape)).sum(axis=0)
    dbias = wide.sum(axis=2).sum(axis=0)
    scaled = (wide if weight is None else wide * widened(weight)[:, None]).reshape(xhat.shape)
    count = wide.dtype.type(xhat.shape[2])
    against = np.einsum("ngk,ngk->ng", scaled, xhat) / count
    dx = np.multiply(xhat, -against[..., None], out=xhat)
    dx += scaled
    dx -= (scaled.sum(axis=2) / count)[..., None]
    dx *= rstd
    return narrowed(dx.reshape(x.shape), x.dtype), dweight, dbias


def _group_norm_formula(g: Any, x: Any, weight: Any, mean: Any, var: Any, groups: int, eps: float) -> Any:
    return _group_norm_grad_op(g[0], x, weight, mean, var, groups=groups, eps=eps)


def _group_norm_plain(x: Any, weight: Any, bias: Any, y: Any, mean: Any, var: Any, *, groups: int, eps: float) -> Any:
    shape = x.shape
    parts = reshape(x, (shape[0], groups, shape[1] // groups * math.prod(shape[2:])))
    centred = parts - parts.mean(2, keepdim=True)
    y = reshape(centred * rsqrt(square(centred).mean(2, keepdim=True) + eps), shape)
    return _affine(y, weight, bias, (1, shape[1], *[1] * (len(shape) - 2)))


group_norm_op: Op = Op("native_group_norm", group_norm_forward, joint=_group_norm_formula, outputs="y mean var",
                    composite=_group_norm_plain)
_group_norm_grad_op: Op = Op("native_group_norm_backward", group_norm_grad, None, None, None, None, None,
                         outputs="dx dweight dbias")


def _check_channels(x: Any, weight: Any, bias: Any) -> None:
    shape = x._array.shape
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and p._array.shape != (shape[1],):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} "
                               f"of shape {list(p._array.shape)} and input of shape {list(shape)}")


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:  # noqa: A002
    """Normalise each sample over groups of channels: y = (x - mean) / sqrt(var + eps) * weight + bias, weight per channel.

    Shape: x (N, C, *), weight and bias (C) -> (N, C, *). dtype: floating, kept.
    Raises:
        RuntimeError: if num_groups does not divide C, or sizes differ. ValueError: for groups of one value.
    Derivative: dx = (g' - mean(g') - xhat * mean(g' * xhat)) / std over each group,  g' = g * weight.
    Source: Wu, He 2018, arXiv:1803.08494
    """
    require_tensor("group_norm", input)
    errors.require_float("group_norm", "eps", 5, eps)
    shape = input._array.shape
    if len(shape) < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {len(shape)}")
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if shape[1] % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(shape)} and num_groups={num_groups}")
    if shape[0] * (shape[1] // num_groups) * math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(shape)}")
    _check_channels(input, weight, bias)
    check_dtypes("group_norm", input, weight, bias)
    return apply(group_norm_op, (input, weight, bias), {"groups": num_groups, "eps": eps})[0]


def instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,  # noqa: A002
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Any:
    """Normalise each channel of each sample over its extent, or by running statistics if use_input_stats is False.

    Shape: x (N, C, *), all others (C) -> (N, C, *). dtype: floating, kept.
    Raises:
        ValueError: for inputs without extent. RuntimeError: for sizes that differ, or running statistics that are missing.
    Derivative: as `group_norm` with one group per channel.
    Source: Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022
    """
    require_tensor("instance_norm", input)
    errors.require_float("instance_norm", "momentum", 7, momentum)
    errors.require_float("instance_norm", "eps", 8, eps)
    shape = input._array.shape
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    extent = math.prod(shape[2:])
    if extent == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(shape)}")
    _check_channels(input, weight, bias)
    check_dtypes("instance_norm", input, weight, bias)
    y, mean, var = apply(group_norm_op, (input, weight, bias), {"groups": shape[1], "eps": eps})
    if input._array.size:
        _update_running(running_mean, mean, momentum, over_samples=True)
        _update_running(running_var, var, momentum, extent / (extent - 1), over_samples=True)
    return y


# ---- compositions -------------------------------------------------------------------------------------------------------------


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:  # noqa: A002
    """Divide by the activity of neighbouring channels: y = x / (k + alpha * mean of x^2 over `size` channels)^beta.

    Shape: (N, C, *) with at least one dimension after the channels, kept.
    Raises:
        ValueError: for fewer than three dimensions.
    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.3
    """
    require_tensor("local_response_norm", input)
    shape = input._array.shape
    if len(shape) < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {len(shape)} dimensions)")
    if input._array.size == 0:
        return input
    pooled, = in_float32(input) if get_casting() is not None and len(shape) > 3 else (input,)
    squares = reshape(mul(pooled, pooled), (shape[0], 1, shape[1], math.prod(shape[2:])))
    mean = avg_pool2d(pad(squares, (0, 0, size // 2, (size - 1) // 2)), (size, 1), stride=1)
    return div(input, pow(add(mul(reshape(mean, shape), alpha), k), beta))


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:  # noqa: A002
    """Divide by the p-norm along a dimension: y = x / max(||x||_p, eps). Shape: any, kept."""
    require_tensor("normalize", input)
    y = div(input, input.norm(p, dim, keepdim=True).clamp_min(eps))
    return y if out is None else put_out(y, out)


__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "normalize", "rms_norm"]
