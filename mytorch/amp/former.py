"""The older names of `torch.amp` for one device: `torch.cpu.amp` and `torch.cuda.amp`, which warn."""

from __future__ import annotations

import warnings
from typing import Any

from mytorch.amp.autocast_mode import autocast
from mytorch.amp.grad_scaler import GradScaler
from mytorch.dtypes import dtype as dtype_type

__mytorch__ = True


def deprecated(device: str, name: str, arguments: str) -> None:
    """The warning that `torch.<device>.amp.<name>` gives; to be called by what the user calls."""
    warnings.warn(f"`torch.{device}.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}({arguments})` instead.",
                  FutureWarning, stacklevel=3)


def classes_for(device: str, low: dtype_type) -> tuple[Any, Any]:
    """`autocast`, to a 16-bit dtype that is the device's own, and `GradScaler`, each without the argument for the device."""

    class DeviceAutocast(autocast):
        def __init__(self, enabled: bool = True, dtype: dtype_type = low, cache_enabled: bool = True) -> None:
            deprecated(device, "autocast", f"'{device}', args...")
            super().__init__(device, dtype, enabled, cache_enabled)

    class DeviceGradScaler(GradScaler):
        def __init__(self, init_scale: float = 2.0 ** 16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000,
                     enabled: bool = True) -> None:
            deprecated(device, "GradScaler", f"'{device}', args...")
            super().__init__(device, init_scale, growth_factor, backoff_factor, growth_interval, enabled)

    for made, original in ((DeviceAutocast, autocast), (DeviceGradScaler, GradScaler)):
        made.__name__ = made.__qualname__ = original.__name__
        made.__module__ = f"mytorch.{device}.amp"
        made.__doc__ = f"Deprecated: `torch.amp.{original.__name__}('{device}', ...)`."
    return DeviceAutocast, DeviceGradScaler
