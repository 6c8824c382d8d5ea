"""`torch.cuda.amp`: the older names of `torch.amp` for the device 'cuda'."""

from __future__ import annotations

import warnings
from typing import Any

from mytorch import amp, dtypes

__mytorch__ = True


def _deprecated(name: str) -> None:
    warnings.warn(f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}('cuda', args...)` instead.",
                  FutureWarning, stacklevel=3)


class autocast(amp.autocast):  # noqa: N801 - torch's name
    """Deprecated: `torch.amp.autocast('cuda', ...)`."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.float16, cache_enabled: bool = True) -> None:
        _deprecated("autocast")
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """Deprecated: `torch.amp.GradScaler('cuda', ...)`."""

    def __init__(self, init_scale: float = 2.0 ** 16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000,
                 enabled: bool = True) -> None:
        _deprecated("GradScaler")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Any = None, *, cast_inputs: dtypes.dtype | None = None) -> Any:
    """Deprecated: `torch.amp.custom_fwd(..., device_type='cuda')`."""
    _deprecated("custom_fwd")
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Any = None) -> Any:
    """Deprecated: `torch.amp.custom_bwd(..., device_type='cuda')`."""
    _deprecated("custom_bwd")
    return amp.custom_bwd(bwd, device_type="cuda")
