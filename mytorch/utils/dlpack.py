"""Tensors exchanged with other libraries without a copy, by the DLPack protocol (https://dmlc.github.io/dlpack)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch.autograd_engine import TensorBase
from mytorch.tensor import _wrap

__mytorch__ = True


class _Capsule:
    """What NumPy's reader wants, around a bare capsule."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # main memory


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Any:
    """A tensor over the memory of an object with `__dlpack__` (or of a DLPack capsule).

    Raises:
        BufferError, RuntimeError: if the memory is not the CPU's or its dtype has no counterpart.
    """
    if isinstance(ext_tensor, TensorBase):
        return ext_tensor.detach()  # type: ignore[attr-defined]
    array = np.from_dlpack(ext_tensor if hasattr(ext_tensor, "__dlpack__") else _Capsule(ext_tensor))
    if not array.flags.writeable:
        array = array.copy() if copy is None else array
    return _wrap(array.copy() if copy else array)


def to_dlpack(tensor: Any) -> Any:
    """A DLPack capsule over the tensor's memory."""
    return tensor.__dlpack__()
