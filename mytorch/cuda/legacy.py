"""`torch.cuda.FloatTensor` and its relatives: names to compare with; no tensor is of them, and none can be made."""

from __future__ import annotations

from typing import Any

from mytorch import dtypes

__mytorch__ = True


class _CudaType(type):
    """A type without instances."""

    dtype: dtypes.dtype
    is_cuda = True

    def __instancecheck__(cls, instance: Any) -> bool:
        return False

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"type torch.cuda.{cls.__name__} not available. This build computes on the CPU: use torch.{cls.__name__}.")


_KINDS = {"BFloat16": dtypes.bfloat16, "Bool": dtypes.bool_, "Byte": dtypes.uint8, "Char": dtypes.int8, "Double": dtypes.float64,
          "Float": dtypes.float32, "Half": dtypes.float16, "Int": dtypes.int32, "Long": dtypes.int64, "Short": dtypes.int16}
TYPES = {f"{name}Tensor": _CudaType(f"{name}Tensor", (), {"dtype": dtype, "__module__": "torch.cuda"}) for name, dtype in _KINDS.items()}
