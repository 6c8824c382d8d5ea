"""`torch.cpu.amp`: the older names of `torch.amp` for the device 'cpu'."""

from __future__ import annotations

from mytorch import dtypes
from mytorch.amp.former import classes_for

__mytorch__ = True

autocast, GradScaler = classes_for("cpu", dtypes.bfloat16)
