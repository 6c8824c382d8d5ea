"""Layers that learn the number of their input's features from the first input: LazyLinear, LazyConv2d, LazyBatchNorm2d, ...

Until then their Parameters have a dtype but no shape. The first call gives them one, draws the initial weights, and turns the layer
into its plain class: a LazyLinear becomes a Linear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch import dtypes
from mytorch.nn import batchnorm, conv
from mytorch.nn.linear import Linear
from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.ops.create import empty, tensor
from mytorch.size import Size
from mytorch.tensor import Tensor, wrap_as

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, Self

__mytorch__ = True

__all__ = [
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d",
    "LazyConvTranspose2d", "LazyConvTranspose3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear",
    "LazyModuleMixin", "UninitializedBuffer", "UninitializedParameter", "UninitializedTensorMixin",
]


# ---- tensors without a shape --------------------------------------------------------------------------------------------------


class _NoValues(np.ndarray):
    """An array that has a dtype and nothing else: to compute with it raises."""

    @property  # type: ignore[misc]
    def shape(self) -> Any:
        """Kernels and checks read it first: ValueError."""
        _refuse("an operation")

    ndim = shape

    def tolist(self) -> NoReturn:
        """There is none yet: ValueError."""
        _refuse("tolist")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> NoReturn:
        _refuse(ufunc.__name__)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        _refuse(func.__name__)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"Attempted to use an uninitialized parameter in {name}. This error happens when you are using a `LazyModule` or "
                     "explicitly manipulating `torch.nn.parameter.UninitializedParameter` objects. When using LazyModules Call `forward` "
                     "with a dummy batch to initialize the parameters before calling torch functions")


class UninitializedTensorMixin(Tensor):
    """What uninitialised Parameters and buffers share."""

    __slots__ = ()
    cls_to_become: type[Any] = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> Any:
        return wrap_as(cls, empty(0, device=device, dtype=dtype)._array.view(_NoValues), requires_grad)

    @property
    def data(self) -> Tensor:
        """An empty tensor of its dtype."""
        return empty(0, dtype=self.dtype)

    @data.setter
    def data(self, value: Tensor) -> None:
        self._array = value._array.view(_NoValues)

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Take a shape, with memory as it comes, and become an ordinary tensor."""
        plain = empty(tuple(shape), device=device, dtype=self.dtype if dtype is None else dtype)
        self._array = plain._array
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        """There is none yet: RuntimeError."""
        raise RuntimeError("Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
                           "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` to "
                           "initialize the parameters before accessing their attributes.")

    def numel(self) -> int:
        """There are no elements yet: ValueError."""
        _refuse("numel")

    def item(self) -> NoReturn:
        """There is none yet: ValueError."""
        _refuse("item")

    def detach(self) -> Any:
        """Itself: there is nothing to share memory with."""
        return self

    def size(self, dim: int | None = None) -> Any:
        """Size([0]), as torch has it."""
        return Size((0,)) if dim is None else Size((0,))[dim]

    def is_shared(self) -> NoReturn:
        """There is no memory yet: ValueError."""
        _refuse("is_shared")

    def share_memory_(self) -> NoReturn:
        """There is no memory yet: RuntimeError."""
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters before "
                           "calling `module.share_memory()`.")

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(requires_grad=self.requires_grad, dtype=self.dtype)
            memo[id(self)].__dict__.update(self.__dict__)
        return memo[id(self)]

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"<{type(self).__name__}>"


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A Parameter whose shape is not known yet. `materialize(shape)` makes it an ordinary one, the same object.

    Raises:
        RuntimeError: if its shape is asked for. ValueError: if it is used in a computation.
    """

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return super().__new__(cls, requires_grad, device, dtype)


class UninitializedBuffer(UninitializedTensorMixin):
    """A buffer whose shape is not known yet. `materialize(shape)` makes it an ordinary tensor, the same object.

    Args:
        persistent: whether state_dict holds it.
    """

    __slots__ = ()

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> Any:
        buffer = super().__new__(cls, requires_grad, device, dtype)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer


def is_lazy(param: Any) -> bool:
    """Is it a Parameter or buffer without a shape?"""
    return isinstance(param, UninitializedTensorMixin)


# ---- modules that wait --------------------------------------------------------------------------------------------------------


class LazyModuleMixin(Module):
    """A module with uninitialised Parameters, which its first input initialises.

    A subclass names `cls_to_become`, the class it then turns into, and defines `initialize_parameters(*input)`, which materialises
    them. Put it before the class it waits for: `class LazyLinear(LazyModuleMixin, Linear)`.

    Raises:
        RuntimeError: at the first call, if initialize_parameters leaves a Parameter without a shape.
    """

    cls_to_become: type[Any] | None = None

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give all Parameters their shapes, from an input."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Is a Parameter or buffer of this module without a shape?"""
        return any(is_lazy(value) for value in (*self._parameters.values(), *self._buffers.values()))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise RuntimeError(f"module {type(self).__name__} has not been fully initialized")
        if self.cls_to_become is None:
            return super().__call__(*args, **kwargs)
        self.__class__ = self.cls_to_become
        return self(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name, own in {**self._parameters, **self._buffers}.items():
            value = state_dict.get(prefix + name)
            if is_lazy(own) and value is not None and not is_lazy(value):
                own.materialize(value.shape)  # type: ignore[union-attr]
        waiting = {name: table for table in (self._parameters, self._buffers) for name, own in table.items()
                   if is_lazy(own) and is_lazy(state_dict.get(prefix + name))}
        kept: dict[str, Any] = {name: table[name] for name, table in waiting.items()}
        if waiting:  # nothing to copy on either side: both are left out of the rest
            state_dict = {key: value for key, value in state_dict.items() if key.removeprefix(prefix) not in waiting}
        try:
            for name, table in waiting.items():
                table[name] = None
            super()._load_from_state_dict(state_dict, prefix, *rest)
        finally:
            for name, table in waiting.items():
                table[name] = kept[name]

    def share_memory(self) -> Self:
        """As every module's, once there is memory: RuntimeError before."""
        for value in (*self._parameters.values(), *self._buffers.values()):
            if is_lazy(value):
                value.share_memory_()  # type: ignore[union-attr]
        return super().share_memory()

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        parameters, buffers = dict(self._parameters), dict(self._buffers)
        for value in (*parameters.values(), *buffers.values()):
            if is_lazy(value):
                value._array = fn(empty(0, dtype=value.dtype))._array.view(_NoValues)  # type: ignore[union-attr]
        for table in (self._parameters, self._buffers):
            for name in [name for name, value in table.items() if is_lazy(value)]:
                del table[name]
        super()._apply(fn, recurse)
        tables: Any = ((self._parameters, parameters), (self._buffers, buffers))
        for table, before in tables:
            now = dict(table)
            table.clear()  # and filled again, so that the order stays
            table.update({name: value if is_lazy(value) else now[name] for name, value in before.items()})
        return self


class _Waiting(LazyModuleMixin):
    """A layer of this file: it becomes the last of its bases, and `_counted` names what it counts in its first input."""

    _counted: str

    def __init_subclass__(cls) -> None:
        cls.cls_to_become = cls.__bases__[-1]

    def reset_parameters(self) -> None:
        """Draw the initial weights anew, once there are any."""
        if not self.has_uninitialized_params() and getattr(self, self._counted) != 0:
            super().reset_parameters()  # type: ignore[misc]


class LazyLinear(_Waiting, Linear):
    """A Linear that takes in_features from the last size of its first input. Arguments otherwise as for `Linear`."""

    _counted = "in_features"

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        Linear.__init__(self, 0, 0, False, device, dtype)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input: Tensor) -> None:  # noqa: A002
        """Shapes from the last size of an input."""
        if not self.has_uninitialized_params():
            if self.in_features == 0:  # loaded from a checkpoint
                self.in_features = int(self.weight.shape[-1])
            return
        self.in_features = int(input.shape[-1])
        _materialize(self.weight, (self.out_features, self.in_features))
        _materialize(self.bias, (self.out_features,))
        self.reset_parameters()


def _materialize(value: Any, shape: tuple[int, ...]) -> None:
    if is_lazy(value):
        value.materialize(shape)


class _LazyConv(_Waiting, conv._ConvNd):
    _counted = "in_channels"

    def _wait(self, out_channels: int, bias: bool, groups: int, padding_mode: str, device: Any, dtype: Any, *geometry: Any) -> None:
        """The constructor: what the plain class makes for no channels at all is replaced."""
        kernel_size, stride, padding, dilation, output_padding = geometry
        conv._ConvNd.__init__(self, 0, 0, kernel_size, stride, padding, dilation, output_padding, groups, False, padding_mode, device, dtype)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input: Tensor, *args: Any) -> None:  # noqa: A002
        """Shapes from the channels of an input."""
        if not self.has_uninitialized_params():
            if self.in_channels == 0:  # loaded from a checkpoint
                axis = 0 if self.transposed else 1
                self.in_channels = int(self.weight.shape[axis]) * (1 if self.transposed else self.groups)
            return
        dims = self._dims + 1
        if input.dim() not in (dims, dims + 1):
            raise RuntimeError(f"Expected {dims}D (unbatched) or {dims + 1}D (batched) input to {type(self).__name__}, but got input of size: "
                               f"{input.shape}")
        self.in_channels = int(input.shape[-dims])
        if self.in_channels % self.groups:
            raise ValueError(f"in_channels must be divisible by groups, got {self.in_channels} and {self.groups}")
        pair = (self.in_channels, self.out_channels // self.groups) if self.transposed else (self.out_channels, self.in_channels // self.groups)
        _materialize(self.weight, (*pair, *self.kernel_size))
        _materialize(self.bias, (self.out_channels,))
        self.reset_parameters()


class _LazyPlainConv(_LazyConv):
    def __init__(self, out_channels: int, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] = 1,
                 padding: str | int | tuple[int, ...] = 0, dilation: int | tuple[int, ...] = 1, groups: int = 1, bias: bool = True,
                 padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None:
        self._wait(out_channels, bias, groups, padding_mode, device, dtype, kernel_size, stride, padding, dilation, 0)


class _LazyConvTranspose(_LazyConv):
    def __init__(self, out_channels: int, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] = 1,
                 padding: int | tuple[int, ...] = 0, output_padding: int | tuple[int, ...] = 0, groups: int = 1, bias: bool = True,
                 dilation: int | tuple[int, ...] = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None:
        self._wait(out_channels, bias, groups, padding_mode, device, dtype, kernel_size, stride, padding, dilation, output_padding)


class LazyConv1d(_LazyPlainConv, conv.Conv1d):
    """A Conv1d that takes in_channels from its first input. Arguments otherwise as for `Conv1d`."""


class LazyConv2d(_LazyPlainConv, conv.Conv2d):
    """A Conv2d that takes in_channels from its first input. Arguments otherwise as for `Conv2d`."""


class LazyConv3d(_LazyPlainConv, conv.Conv3d):
    """A Conv3d that takes in_channels from its first input. Arguments otherwise as for `Conv3d`."""


class LazyConvTranspose1d(_LazyConvTranspose, conv.ConvTranspose1d):
    """A ConvTranspose1d that takes in_channels from its first input. Arguments otherwise as for `ConvTranspose1d`."""


class LazyConvTranspose2d(_LazyConvTranspose, conv.ConvTranspose2d):
    """A ConvTranspose2d that takes in_channels from its first input. Arguments otherwise as for `ConvTranspose2d`."""


class LazyConvTranspose3d(_LazyConvTranspose, conv.ConvTranspose3d):
    """A ConvTranspose3d that takes in_channels from its first input. Arguments otherwise as for `ConvTranspose3d`."""


class _LazyNorm(_Waiting, batchnorm._NormBase):
    _counted = "num_features"

    def __init__(self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True) -> None:
        batchnorm._NormBase.__init__(self, 0, eps, momentum, False, False, device, dtype, bias)
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**options)
            if bias:
                self.bias = UninitializedParameter(**options)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**options)
            self.running_var = UninitializedBuffer(**options)
            self.num_batches_tracked = tensor(0, dtype=dtypes.int64, device=device)

    def initialize_parameters(self, input: Tensor) -> None:  # noqa: A002
        """Shapes from the channels of an input."""
        if not self.has_uninitialized_params():
            known = self.weight if self.weight is not None else self.running_mean
            if self.num_features == 0 and known is not None:  # loaded from a checkpoint
                self.num_features = int(known.shape[0])
            return
        self.num_features = int(input.shape[1])
        for value in (self.weight, self.bias, self.running_mean, self.running_var):
            _materialize(value, (self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_LazyNorm, batchnorm.BatchNorm1d):
    """A BatchNorm1d that takes num_features from its first input. Arguments otherwise as for `BatchNorm1d`."""


class LazyBatchNorm2d(_LazyNorm, batchnorm.BatchNorm2d):
    """A BatchNorm2d that takes num_features from its first input. Arguments otherwise as for `BatchNorm2d`."""


class LazyBatchNorm3d(_LazyNorm, batchnorm.BatchNorm3d):
    """A BatchNorm3d that takes num_features from its first input. Arguments otherwise as for `BatchNorm3d`."""


class LazyInstanceNorm1d(_LazyNorm, batchnorm.InstanceNorm1d):
    """An InstanceNorm1d that takes num_features from its first input. Arguments otherwise as for `InstanceNorm1d`."""


class LazyInstanceNorm2d(_LazyNorm, batchnorm.InstanceNorm2d):
    """An InstanceNorm2d that takes num_features from its first input. Arguments otherwise as for `InstanceNorm2d`."""


class LazyInstanceNorm3d(_LazyNorm, batchnorm.InstanceNorm3d):
    """An InstanceNorm3d that takes num_features from its first input. Arguments otherwise as for `InstanceNorm3d`."""
