"""What autocast is set to on this thread, by device: the functions `torch.is_autocast_enabled` and so on."""

from __future__ import annotations

import threading
import warnings
from typing import Any

from mytorch import dtypes
from mytorch.device import device
from mytorch.ops.autocast import Casting, casting

__mytorch__ = True

_AVAILABLE = ("cpu", "cuda", "xpu", "mps", "hpu", "mtia", "xla", "ipu")


class _Settings(threading.local):
    """Of each thread: which devices cast, to what, and the weights that have been cast since the outermost context began."""

    def __init__(self) -> None:
        self.enabled: dict[str, bool] = {}
        self.dtype: dict[str, dtypes.dtype] = {}
        self.cache_enabled = True
        self.nesting = 0
        self.kept: dict[Any, tuple[Any, ...]] = {}

    def apply(self) -> None:
        """Tell the functions of ops/: only the CPU computes here."""
        on = self.enabled.get("cpu", False)
        casting.set(Casting(get_autocast_dtype("cpu").np, self.kept if self.cache_enabled else None) if on else None)


settings = _Settings()


def _kind(device_type: Any) -> str:
    return device(device_type).type


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Is autocast on for this kind of device ('cuda' if none is named, as in torch)?"""
    return settings.enabled.get("cuda" if device_type is None else _kind(device_type), False)


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """`set_autocast_enabled('cpu', True)`: turn autocast on or off for this thread, until it is set again."""
    kind, value = ("cuda", device_type) if enabled is None else (_kind(device_type), enabled)
    settings.enabled[kind] = bool(value)
    settings.apply()


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """The type that autocast lowers to: bfloat16 on the CPU and on XLA, float16 elsewhere, unless it was set."""
    kind = _kind(device_type)
    if kind not in _AVAILABLE:
        raise RuntimeError(f"unsupported scalarType: there is no autocast on the device '{kind}'")
    return settings.dtype.get(kind, dtypes.bfloat16 if kind in ("cpu", "xla", "hpu") else dtypes.float16)


def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    """Set the type that autocast lowers to, for this thread."""
    settings.dtype[_kind(device_type)] = dtype
    settings.apply()


def is_autocast_available(device_type: str) -> bool:
    """Can `autocast` be asked for this kind of device? (On all but the CPU it has nothing to do here.)"""
    return _kind(device_type) in _AVAILABLE


def is_autocast_cache_enabled() -> bool:
    """Are weights that were cast kept until the end of the outermost context?"""
    return settings.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep cast weights until the end of the outermost context, or not."""
    settings.cache_enabled = bool(enabled)
    settings.apply()


def clear_autocast_cache() -> None:
    """Forget the weights that were cast."""
    settings.kept.clear()


def autocast_increment_nesting() -> int:
    """Enter one context more; how many are open."""
    settings.nesting += 1
    return settings.nesting


def autocast_decrement_nesting() -> int:
    """Leave one context; how many are open."""
    settings.nesting -= 1
    return settings.nesting


# ---- older names --------------------------------------------------------------------------------------------------------------


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"torch.{old} is deprecated. Please use torch.{new} instead.", DeprecationWarning, stacklevel=3)


def is_autocast_cpu_enabled() -> bool:
    """Deprecated: `is_autocast_enabled('cpu')`."""
    _deprecated("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Deprecated: `set_autocast_enabled('cpu', enabled)`."""
    _deprecated("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dtypes.dtype:
    """Deprecated: `get_autocast_dtype('cpu')`."""
    _deprecated("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dtypes.dtype) -> None:
    """Deprecated: `set_autocast_dtype('cpu', dtype)`."""
    _deprecated("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtypes.dtype:
    """Deprecated: `get_autocast_dtype('cuda')`."""
    _deprecated("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dtypes.dtype) -> None:
    """Deprecated: `set_autocast_dtype('cuda', dtype)`."""
    _deprecated("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype("cuda", dtype)
