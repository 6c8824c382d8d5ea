"""`torch.cpu.amp`: the older names of `torch.amp` for the device 'cpu'."""

from __future__ import annotations

import warnings

from mytorch import amp, dtypes

__mytorch__ = True


def _deprecated(name: str) -> None:
    warnings.warn(f"`torch.cpu.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}('cpu', args...)` instead.",
                  FutureWarning, stacklevel=3)


class autocast(amp.autocast):  # noqa: N801 - torch's name
    """Deprecated: `torch.amp.autocast('cpu', ...)`."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.bfloat16, cache_enabled: bool = True) -> None:
        _deprecated("autocast")
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """Deprecated: `torch.amp.GradScaler('cpu', ...)`."""

    def __init__(self, init_scale: float = 2.0 ** 16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000,
                 enabled: bool = True) -> None:
        _deprecated("GradScaler")
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
