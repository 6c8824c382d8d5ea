"""`torch.distributed` as a build without it has it: there is one process, and the questions that programs ask first have answers."""

from __future__ import annotations

from typing import Any

__mytorch__ = True


def is_available() -> bool:
    """Always False: training runs in one process."""
    return False


def is_initialized() -> bool:
    """Always False: there is no process group."""
    return False


def is_nccl_available() -> bool:
    """Always False."""
    return False


is_gloo_available = is_mpi_available = is_ucc_available = is_torchelastic_launched = is_nccl_available


def _no_group(*args: Any, **kwargs: Any) -> Any:
    raise ValueError("Default process group has not been initialized: torch.distributed is not available here (is_available() is False); "
                     "ask is_available() and is_initialized() first, and run as one process")


get_rank = get_world_size = get_backend = barrier = all_reduce = all_gather = broadcast = reduce = gather = scatter = _no_group


def init_process_group(*args: Any, **kwargs: Any) -> Any:
    """Raises NotImplementedError: training runs in one process."""
    raise NotImplementedError("torch.distributed.init_process_group() is not supported: training runs in one process; where "
                              "torch.distributed.is_available() is False, leave it out")
