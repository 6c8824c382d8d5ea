"""torch's path of `get_worker_info`."""

from __future__ import annotations

from mytorch.utils.data.worker import WorkerInfo as WorkerInfo
from mytorch.utils.data.worker import get_worker_info as get_worker_info

__mytorch__ = True
