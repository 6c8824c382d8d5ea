"""torch's paths of what programs take from inside the loader: `_utils.collate`, `_utils.worker`."""

from __future__ import annotations

from mytorch.utils.data._utils import collate as collate
from mytorch.utils.data._utils import worker as worker

__mytorch__ = True

MP_STATUS_CHECK_INTERVAL = 5.0
HAS_NUMPY = True
