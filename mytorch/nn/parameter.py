"""Parameter: a tensor that a module learns. Buffer: one that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch import dtypes
from mytorch.autograd_engine import storage_of
from mytorch.tensor import Tensor, wrap_as

if TYPE_CHECKING:
    from typing import Any

__mytorch__ = True

__all__ = ["Buffer", "Parameter"]


def type_name(value: object) -> str:
    """What error messages call a value: 'torch.FloatTensor' for a tensor, else the name of its class."""
    if isinstance(value, Tensor):
        return str(value.type())
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _data_of(owner: str, data: Any) -> Tensor:
    if data is None:
        return wrap_as(Tensor, np.empty(0, dtypes.get_default_dtype().np))
    if not isinstance(data, Tensor):
        raise AttributeError(f"{owner}: got {type_name(data)}, expected a Tensor; make one with torch.tensor(...)")
    return data


class _ParameterMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        # a user's subclass of Tensor keeps its class when it becomes a Parameter, and is marked instead
        return cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A leaf tensor that requires a gradient and, assigned to an attribute of a Module, becomes one of its parameters.

    Args:
        data: the values; memory is shared. None for none.
        requires_grad: False freezes it.
    Raises:
        RuntimeError: if it shall require a gradient and is of an integer dtype.
        AttributeError: if `data` is no Tensor.
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        data = _data_of(cls.__name__, data)
        if not isinstance(requires_grad, bool):
            raise TypeError(f"{cls.__name__}: argument 'requires_grad' must be bool, not {type_name(requires_grad)}")
        array = data._array
        if requires_grad and array.dtype.kind not in "fcV":
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        is_plain = type(data) is Tensor or isinstance(data, cls)
        param = wrap_as(cls if is_plain else type(data), array, requires_grad)
        param._storage = storage_of(data)
        if not is_plain:
            param._is_param = True
        return param

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy of the values; as in torch, neither the gradient nor attributes are copied."""
        if id(self) in memo:
            return memo[id(self)]
        copied = memo[id(self)] = wrap_as(type(self), self._array.copy(order="K"), self._requires_grad)
        return copied

    def _is_parameter(self) -> bool:
        return True


class _BufferMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_BufferMeta):
    """Marks a tensor, so that assigning it to an attribute of a Module registers a buffer; what is made is a plain Tensor.

    Args:
        data: the values; memory is shared. None for none.
        persistent: whether state_dict holds it.
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        data = _data_of(cls.__name__, data)
        buffer = wrap_as(Tensor if type(data) is Parameter else type(data), data._array, data.requires_grad)
        buffer._storage = storage_of(data)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The keywords among `device`, `dtype` and `memory_format` with which a layer makes its tensors.

    Args:
        kwargs: what a layer's constructor was given beside its own arguments; under "factory_kwargs" it may hold a dict of more.
    Raises:
        TypeError: for any other keyword, and for one that is given in both places.
    """
    if kwargs is None:
        return {}
    simple = {"device", "dtype", "memory_format"}
    unknown = kwargs.keys() - simple - {"factory_kwargs"}
    if unknown:
        raise TypeError(f"unexpected kwargs {unknown}")
    found = dict(kwargs.get("factory_kwargs", {}))
    for name in ("device", "dtype", "memory_format"):
        if name in kwargs:
            if name in found:
                raise TypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
            found[name] = kwargs[name]
    return found


def __getattr__(name: str) -> object:
    if name in ("UninitializedBuffer", "UninitializedParameter", "UninitializedTensorMixin", "is_lazy"):
        # torch's place; they live with the layers that wait
        from mytorch.nn import lazy
        return getattr(lazy, name)
    raise AttributeError(f"module 'mytorch.nn.parameter' has no attribute '{name}': if torch has it, it is not supported yet")
