"""Normalisation with running statistics: BatchNorm and InstanceNorm."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from mytorch import dtypes
from mytorch.engine_state import get_mode
from mytorch.inplace import bump
from mytorch.nn import init
from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.ops.create import empty, ones, tensor, zeros
from mytorch.ops.norm import batch_norm, instance_norm
from mytorch.ops.shape import squeeze, unsqueeze

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "SyncBatchNorm"]


class _NormBase(Module):
    """Weight, bias and running statistics, one of each per channel."""

    _version = 2  # 2: num_batches_tracked is saved
    _ndims: tuple[int, ...] = (2, 3)  # numbers of dimensions that an input may have
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
                 device: Any, dtype: Any, bias: bool) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(empty(num_features, **options)) if affine else None)
        self.register_parameter("bias", Parameter(empty(num_features, **options)) if affine and bias else None)
        self.register_buffer("running_mean", zeros(num_features, **options) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, **options) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=dtypes.int64, device=device) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the running statistics as at the start."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        ndim = input._array.ndim
        if ndim not in self._ndims:
            raise ValueError(f"expected {' or '.join(f'{n}D' for n in self._ndims)} input (got {ndim}D input)")

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
                              unexpected_keys: list[str], error_msgs: list[str]) -> None:
        if self.track_running_stats and (local_metadata.get("version") or 1) < 2:
            key = f"{prefix}num_batches_tracked"
            if key not in state_dict:
                state_dict[key] = self.num_batches_tracked if self.num_batches_tracked is not None else tensor(0, dtype=dtypes.int64)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)


def _count(batches: Tensor) -> None:
    """batches += 1, without a look at what only tensors with gradients and modes need."""
    if get_mode() is None and type(batches._array) is np.ndarray:
        np.add(batches._array, 1, out=batches._array)
        bump(batches)
    else:
        batches.add_(1)


class _BatchNorm(_NormBase):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        tracking = self.training and self.track_running_stats
        if tracking and self.num_batches_tracked is not None:
            _count(self.num_batches_tracked)
            if self.momentum is None:  # the plain average over all batches seen
                momentum = 1.0 / float(self.num_batches_tracked)
        own, buffers = self._parameters, self._buffers
        try:  # as in Linear: the tables answer sooner than `self.weight`
            weight, bias, mean, var = own["weight"], own["bias"], buffers["running_mean"], buffers["running_var"]
        except KeyError:  # computed from others: parametrizations
            weight, bias, mean, var = self.weight, self.bias, self.running_mean, self.running_var
        by_batch = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        return batch_norm(input, mean, var, weight, bias, by_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); see `BatchNorm2d`."""


class BatchNorm2d(_BatchNorm):
    """Normalise each channel over batch and image; in evaluation, by running statistics.

    y = (x - mean) / sqrt(var + eps) * weight + bias; weight starts at 1, bias at 0.

    Args:
        num_features: the number of channels C.
        momentum: the share of a new batch in the running statistics; None averages over all batches.
        affine: learn weight and bias. bias: False leaves the bias out.
        track_running_stats: False normalises by the batch in evaluation, too.
    Shape: (N, C, H, W), kept.
    Raises:
        ValueError: for other numbers of dimensions, or a single value per channel in training.
    Source: Ioffe, Szegedy 2015, arXiv:1502.03167
    """

    _ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W); see `BatchNorm2d`."""

    _ndims = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes of a group. In one process, which is what there is, that is `BatchNorm2d`.

    Args:
        process_group: leave it None. The rest as for `BatchNorm2d`.
    Shape: (N, C, *), kept.
    Raises:
        ValueError: for fewer than two dimensions. NotImplementedError: for a process group.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None, *,
                 bias: bool = True) -> None:
        if process_group is not None:
            raise NotImplementedError("SyncBatchNorm(process_group=...) is not supported: there is one process; leave process_group=None")
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if input._array.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input._array.ndim}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: Any = None) -> Any:
        """The module with a SyncBatchNorm, of the same Parameters and buffers, in the place of each BatchNorm."""
        converted = module
        if isinstance(module, _BatchNorm):
            converted = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats, process_group)
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(converted, name, getattr(module, name))
            converted.training = module.training
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted


class _InstanceNorm(_NormBase):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 track_running_stats: bool = False, device: Any = None, dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        self._check_input_dim(input)
        unbatched = input._array.ndim == self._ndims[0]
        channel_dim = input._array.ndim - self._ndims[0]
        channels = input._array.shape[channel_dim]
        if channels != self.num_features:
            if self.affine:
                raise ValueError(f"expected input's size at dim={channel_dim} to match num_features ({self.num_features}), "
                                 f"but got: {channels}.")
            warnings.warn(f"input's size at dim={channel_dim} does not match num_features. You can silence this warning by not "
                          "passing "
                          "in num_features, which is not used because affine=False", stacklevel=2)
        x = unsqueeze(input, 0) if unbatched else input
        y = instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                          self.training or not self.track_running_stats, 0.0 if self.momentum is None else self.momentum, self.eps)
        return squeeze(y, 0) if unbatched else y

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
                              unexpected_keys: list[str], error_msgs: list[str]) -> None:
        if local_metadata.get("version") is None and not self.track_running_stats:
            stale = [key for key in (f"{prefix}running_mean", f"{prefix}running_var") if key in state_dict]
            if stale:
                names = " and ".join(f'"{key}"' for key in stale)
                kind = type(self).__name__
                error_msgs.append(f"Unexpected running stats buffer(s) {names} for {kind} with track_running_stats=False: "
                                  "remove these "
                                  f"keys from state_dict, or set track_running_stats=True in {kind}.")
                for key in stale:
                    state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)


class InstanceNorm1d(_InstanceNorm):
    """Normalise each channel of each sample over its length; see `InstanceNorm2d`. Shape: (N, C, L) or (C, L), kept."""


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each sample over its image: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        affine: learn weight and bias; not by default.
        track_running_stats: keep running statistics, and use them in evaluation; not by default.
    Shape: (N, C, H, W) or (C, H, W), kept.
    Raises:
        ValueError: for other numbers of dimensions or channels, or a single value per channel.
    Source: Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022
    """

    _ndims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalise each channel of each sample over its volume; see `InstanceNorm2d`. Shape: (N, C, D, H, W) or (C, D, H, W)."""

    _ndims = (4, 5)
