"""Workers: what a loading process of torch sees, played in the main process.

A worker has its own copy of the dataset and its own random streams, seeded with the loader's base seed plus the worker's number.
Whatever a dataset draws inside a worker is therefore what it draws in torch's worker, and the main stream does not move.
"""

from __future__ import annotations

import random
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mytorch.generator import default_generator

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True


class WorkerInfo(NamedTuple):
    """What ``get_worker_info`` tells: the worker's number, how many there are, its seed and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_current: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The worker in which this code runs, or None outside of any. For ``IterableDataset.__iter__`` and ``worker_init_fn``."""
    return _current


class _Streams(NamedTuple):
    """Where the three global random streams are: this package's, Python's and NumPy's."""

    mytorch: Any
    python: Any
    numpy: Any

    @classmethod
    def now(cls) -> _Streams:
        return cls(default_generator.get_state(), random.getstate(), np.random.get_state())

    def restore(self) -> None:
        default_generator.set_state(self.mytorch)
        random.setstate(self.python)
        np.random.set_state(self.numpy)


def _own(dataset: Any) -> Any:
    """A shallow copy, so that a worker may set the dataset's attributes; the dataset itself where its class refuses copies."""
    try:
        return copy(dataset)
    except TypeError:
        return dataset


class Worker:
    """One worker: code in its ``with`` block draws from its streams and sees its ``get_worker_info()``.

    Args:
        id: its number, from 0.
        num_workers: how many there are.
        base_seed: the loader's seed of this pass.
        dataset: copied (shallowly) for this worker.
        init_fn: called once with the number, inside the worker.
    """

    def __init__(self, id: int, num_workers: int, base_seed: int, dataset: Any, init_fn: Callable[[int], Any] | None) -> None:  # noqa: A002
        self.info = WorkerInfo(id, num_workers, base_seed + id, _own(dataset))
        self._inside: _Streams | None = None
        self._outside: tuple[WorkerInfo | None, _Streams] | None = None
        with self:
            default_generator.manual_seed(self.info.seed)
            random.seed(self.info.seed)
            # a seed sequence keeps NumPy's stream apart from Python's, which is the same twister
            entropy = [id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
            np.random.seed(np.random.SeedSequence(entropy).generate_state(4))
            if init_fn is not None:
                init_fn(id)

    def __enter__(self) -> Worker:
        global _current
        self._outside = _current, _Streams.now()
        _current = self.info
        if self._inside is not None:
            self._inside.restore()
        return self

    def __exit__(self, *error: object) -> None:
        global _current
        assert self._outside is not None
        self._inside = _Streams.now()
        _current, streams = self._outside
        streams.restore()
