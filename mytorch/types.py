"""torch's names for annotations: `Number`, `Device`, `_size` and the like."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import IO, Any, TypeAlias

from mytorch.autograd_engine import Node
from mytorch.device import device as _device_type
from mytorch.dtypes import dtype as _dtype_type
from mytorch.size import Size
from mytorch.storage import TypedStorage, UntypedStorage
from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["Device", "FileLike", "Number", "Storage"]

_int: TypeAlias = builtins.int
_float: TypeAlias = builtins.float
_bool: TypeAlias = builtins.bool
_complex: TypeAlias = builtins.complex
_str: TypeAlias = builtins.str
_bytes: TypeAlias = builtins.bytes
_dtype: TypeAlias = _dtype_type
_device: TypeAlias = _device_type
_layout: TypeAlias = str
_size: TypeAlias = Size | list[int] | tuple[int, ...]

_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
_TensorOrOptionalTensors: TypeAlias = Tensor | Sequence[Tensor | None]
GradientEdge: TypeAlias = tuple[Node, int]
_TensorOrTensorsOrGradEdge: TypeAlias = Tensor | Sequence[Tensor] | GradientEdge | Sequence[GradientEdge]

Number: TypeAlias = int | float | bool
_Number = (int, float, bool)  # for isinstance
Device: TypeAlias = _device_type | str | int | None
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]
Storage: TypeAlias = UntypedStorage | TypedStorage

# sizes are never symbols here
IntLikeType: TypeAlias = int
FloatLikeType: TypeAlias = float
BoolLikeType: TypeAlias = bool
_symsize: TypeAlias = Size | Sequence[int]
py_sym_types: tuple[Any, ...] = ()
