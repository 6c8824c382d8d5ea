"""`Variable`: torch's old wrapper; today it returns the tensor itself."""

from __future__ import annotations

from typing import Any

from mytorch.autograd_engine import TensorBase
from mytorch.errors import type_error
from mytorch.tensor import Tensor

__mytorch__ = True


class _VariableType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        if not isinstance(data, TensorBase):
            raise type_error("Variable", "data", 1, "Tensor", data)
        t = data.detach()  # type: ignore[attr-defined]
        return t.requires_grad_() if requires_grad else t


class Variable(metaclass=_VariableType):
    """`Variable(tensor, requires_grad=False)`: the tensor, detached; kept for old programs."""
