"""`torch.amp`: automatic mixed precision on the CPU. See `autocast` and `GradScaler`."""

from mytorch.amp.autocast_mode import autocast as autocast
from mytorch.amp.autocast_mode import custom_bwd as custom_bwd
from mytorch.amp.autocast_mode import custom_fwd as custom_fwd
from mytorch.amp.autocast_mode import is_autocast_available as is_autocast_available
from mytorch.amp.grad_scaler import GradScaler as GradScaler

__mytorch__ = True
__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available", "GradScaler"]
