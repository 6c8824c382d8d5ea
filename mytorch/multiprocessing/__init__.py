"""Python's `multiprocessing`, whose queues, pipes and processes share tensors: both sides see the same memory.

All its names are here, and `spawn`. A tensor that is sent is moved to shared memory first; `tensor.share_memory_()` and
`module.share_memory()` do that beforehand. Tensors are shared through Python's own `multiprocessing` as well.
"""

from __future__ import annotations

from multiprocessing import *  # noqa: F403
from multiprocessing import __all__ as _theirs

from mytorch.multiprocessing import reductions as reductions
from mytorch.multiprocessing import shared_memory as _shared_memory
from mytorch.multiprocessing.reductions import init_reductions as init_reductions
from mytorch.multiprocessing.spawn import ProcessContext as ProcessContext
from mytorch.multiprocessing.spawn import ProcessExitedException as ProcessExitedException
from mytorch.multiprocessing.spawn import ProcessRaisedException as ProcessRaisedException
from mytorch.multiprocessing.spawn import SpawnContext as SpawnContext
from mytorch.multiprocessing.spawn import spawn as spawn
from mytorch.multiprocessing.spawn import start_processes as start_processes

__mytorch__ = True

__all__ = ["get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy"]
__all__ += _theirs


def set_sharing_strategy(new_strategy: str) -> None:
    """How memory is shared from now on: "file_descriptor", the default, or "file_system", which keeps fewer files open.

    Call it before processes are started: those forked before do not share the tracker of names, which then warns at the end.

    Raises:
        AssertionError: for another word.
    """
    if new_strategy not in _shared_memory.STRATEGIES:
        raise AssertionError(f"invalid sharing strategy '{new_strategy}', expected one of {set(_shared_memory.STRATEGIES)}")
    if new_strategy == "file_system":
        _shared_memory.start_tracking()
    _shared_memory.strategy = new_strategy


def get_sharing_strategy() -> str:
    """How memory is shared."""
    return _shared_memory.strategy


def get_all_sharing_strategies() -> set[str]:
    """The words that `set_sharing_strategy` knows."""
    return set(_shared_memory.STRATEGIES)
