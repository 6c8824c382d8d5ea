"""Signal processing, under torch's names: `mytorch.signal.windows`."""

from __future__ import annotations

from mytorch.signal import windows as windows

__mytorch__ = True
