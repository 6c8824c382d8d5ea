"""`torch._inductor`: there is no compiler, so its switches can be set and are without effect."""

from __future__ import annotations

from mytorch._dynamo import _Switches

__mytorch__ = True

config = _Switches("mytorch._inductor.config")
