"""Pooling layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn.module import Module
from mytorch.nn.padding import ntuple
from mytorch.ops import adaptive_pool, fractional_pool, pool

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d",
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
]


class _MaxPoolNd(Module):
    _dims = 1

    def __init__(self, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] | None = None,
                 padding: int | tuple[int, ...] = 0, dilation: int | tuple[int, ...] = 1, return_indices: bool = False,
                 ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:  # noqa: A002
        function = (pool.max_pool1d, pool.max_pool2d, pool.max_pool3d)[self._dims - 1]
        return function(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
                f"ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPoolNd):
    """The largest value of each window of one dimension. See `nn.functional.max_pool1d`."""


class MaxPool2d(_MaxPoolNd):
    """The largest value of each window of two dimensions. See `nn.functional.max_pool2d`."""

    _dims = 2


class MaxPool3d(_MaxPoolNd):
    """The largest value of each window of three dimensions. See `nn.functional.max_pool3d`."""

    _dims = 3


class _MaxUnpoolNd(Module):
    _dims = 1

    def __init__(self, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] | None = None,
                 padding: int | tuple[int, ...] = 0) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, self._dims)
        self.stride = ntuple(kernel_size if stride is None else stride, self._dims)
        self.padding = ntuple(padding, self._dims)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:  # noqa: A002
        function = (adaptive_pool.max_unpool1d, adaptive_pool.max_unpool2d, adaptive_pool.max_unpool3d)[self._dims - 1]
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Values back at the places that `MaxPool1d(..., return_indices=True)` found, zeros elsewhere."""


class MaxUnpool2d(_MaxUnpoolNd):
    """Values back at the places that `MaxPool2d(..., return_indices=True)` found, zeros elsewhere."""

    _dims = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """Values back at the places that `MaxPool3d(..., return_indices=True)` found, zeros elsewhere."""

    _dims = 3


class _AvgPoolNd(Module):
    """What average pooling of all dimensions shares."""

    _dims = 2
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...]
    padding: int | tuple[int, ...]

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of each window of one dimension. See `nn.functional.avg_pool1d`."""

    def __init__(self, kernel_size: int | tuple[int], stride: int | tuple[int] | None = None, padding: int | tuple[int] = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, 1)
        self.stride = ntuple(kernel_size if stride is None else stride, 1)
        self.padding = ntuple(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return pool.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPool2or3d(_AvgPoolNd):
    def __init__(self, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] | None = None,
                 padding: int | tuple[int, ...] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: int | None = None) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        function = (pool.avg_pool2d, pool.avg_pool3d)[self._dims - 2]
        return function(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                        self.divisor_override)


class AvgPool2d(_AvgPool2or3d):
    """The mean of each window of two dimensions. See `nn.functional.avg_pool2d`."""


class AvgPool3d(_AvgPool2or3d):
    """The mean of each window of three dimensions. See `nn.functional.avg_pool3d`."""

    _dims = 3


class _LPPoolNd(Module):
    _dims = 1

    def __init__(self, norm_type: float, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] | None = None,
                 ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        function = (adaptive_pool.lp_pool1d, adaptive_pool.lp_pool2d, adaptive_pool.lp_pool3d)[self._dims - 1]
        return function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPoolNd):
    """The p-norm of each window of one dimension. See `nn.functional.lp_pool1d`."""


class LPPool2d(_LPPoolNd):
    """The p-norm of each window of two dimensions. See `nn.functional.lp_pool2d`."""

    _dims = 2


class LPPool3d(_LPPoolNd):
    """The p-norm of each window of three dimensions. See `nn.functional.lp_pool3d`."""

    _dims = 3


class _FractionalMaxPool(Module):
    _dims = 2

    def __init__(self, kernel_size: int | tuple[int, ...], output_size: int | tuple[int, ...] | None = None,
                 output_ratio: float | tuple[float, ...] | None = None, return_indices: bool = False,
                 _random_samples: Tensor | None = None) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = ntuple(kernel_size, self._dims)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else self._each(output_size)
        self.output_ratio = None if output_ratio is None else self._each(output_ratio)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def _each(self, value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * self._dims

    def forward(self, input: Tensor) -> Any:  # noqa: A002
        function = (fractional_pool.fractional_max_pool2d, fractional_pool.fractional_max_pool3d)[self._dims - 2]
        return function(input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest values of windows at random distances. See `nn.functional.fractional_max_pool2d`."""


class FractionalMaxPool3d(_FractionalMaxPool):
    """The largest values of windows at random distances, of volumes. See `nn.functional.fractional_max_pool3d`."""

    _dims = 3


class _AdaptiveAvgPoolNd(Module):
    _dims = 1

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        functions = (adaptive_pool.adaptive_avg_pool1d, adaptive_pool.adaptive_avg_pool2d, adaptive_pool.adaptive_avg_pool3d)
        return functions[self._dims - 1](input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The means of output_size windows that cover one dimension evenly."""


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The means of windows that cover two dimensions evenly. See `nn.functional.adaptive_avg_pool2d`."""

    _dims = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The means of windows that cover three dimensions evenly."""

    _dims = 3


class _AdaptiveMaxPoolNd(Module):
    _dims = 1

    def __init__(self, output_size: int | tuple[int | None, ...] | None, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:  # noqa: A002
        functions = (adaptive_pool.adaptive_max_pool1d, adaptive_pool.adaptive_max_pool2d, adaptive_pool.adaptive_max_pool3d)
        return functions[self._dims - 1](input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The largest values of windows that cover one dimension evenly."""


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The largest values of windows that cover two dimensions evenly. See `nn.functional.adaptive_max_pool2d`."""

    _dims = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The largest values of windows that cover three dimensions evenly."""

    _dims = 3
