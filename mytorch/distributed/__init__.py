"""`torch.distributed` as a build without it has it: there is one process, and the questions that programs ask first have answers."""

from __future__ import annotations

from enum import Enum
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


get_rank = get_world_size = get_backend = get_process_group_ranks = new_group = destroy_process_group = barrier = monitored_barrier = _no_group
all_reduce = all_gather = all_gather_into_tensor = all_gather_object = all_to_all = all_to_all_single = broadcast = _no_group
broadcast_object_list = gather = gather_object = reduce = reduce_scatter = reduce_scatter_tensor = scatter = _no_group
scatter_object_list = send = recv = isend = irecv = _no_group


class ReduceOp(Enum):
    """How `all_reduce` and `reduce` would put values together."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM = range(9)


class group:  # noqa: N801 - torch's name
    """The group of all processes, which there is none of: None."""

    WORLD = None


def init_process_group(*args: Any, **kwargs: Any) -> Any:
    """Raises NotImplementedError: training runs in one process."""
    raise NotImplementedError("torch.distributed.init_process_group() is not supported: training runs in one process; where "
                              "torch.distributed.is_available() is False, leave it out")
