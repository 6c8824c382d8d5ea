"""`torch.cuda.amp`: the older names of `torch.amp` for the device 'cuda'."""

from __future__ import annotations

from typing import Any

from mytorch import amp, dtypes
from mytorch.amp.former import classes_for, deprecated

__mytorch__ = True

autocast, GradScaler = classes_for("cuda", dtypes.float16)


def custom_fwd(fwd: Any = None, *, cast_inputs: dtypes.dtype | None = None) -> Any:
    """Deprecated: `torch.amp.custom_fwd(..., device_type='cuda')`."""
    deprecated("cuda", "custom_fwd", "args..., device_type='cuda'")
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Any) -> Any:
    """Deprecated: `torch.amp.custom_bwd(..., device_type='cuda')`."""
    deprecated("cuda", "custom_bwd", "args..., device_type='cuda'")
    return amp.custom_bwd(bwd, device_type="cuda")
