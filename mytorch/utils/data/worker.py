"""What runs in a worker process: it is sent the indices of batches, and answers with the batches.

A worker has its own copy of the dataset and its own random streams, seeded with the loader's base seed plus the worker's number:
whatever a dataset draws inside a worker is what it draws in torch's worker.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mytorch.generator import default_generator
from mytorch.utils.data.reader import Reader

if TYPE_CHECKING:
    import queue
    import socket
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from mytorch.utils.data.reader import Job

__mytorch__ = True

RESUME = b"resume"  # the message that begins another pass; any other is a pickled (number of the task, index)
_WATCH_EVERY = 1.0  # seconds between two looks whether the parent lives


class WorkerInfo(NamedTuple):
    """What ``get_worker_info`` tells: the worker's number, how many there are, its seed and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None  # torch: the streams of a worker thread; a process has its own global ones
    worker_method: str = "multiprocessing"


class Start(NamedTuple):
    """What a worker is told when it starts."""

    job: Job
    number: int
    num_workers: int
    base_seed: int
    init_fn: Callable[[int], Any] | None
    persistent: bool


class Failure(NamedTuple):
    """An exception on its way to the parent, which raises it anew."""

    kind: bytes | None  # the pickled class, None if that cannot be pickled
    name: str
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        import pickle
        import traceback

        try:
            kind = pickle.dumps(type(error))
        except Exception:  # a local class, or whatever a metaclass raises
            kind = None
        return cls(kind, type(error).__name__, "".join(traceback.format_exception(error)))


_current: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The worker in which this code runs, or None in the main process. For ``IterableDataset.__iter__`` and ``worker_init_fn``."""
    return _current


def seed_streams(base_seed: int, number: int) -> None:
    """Restart the global random streams of this process, this package's, Python's and NumPy's, as torch's worker does."""
    default_generator.manual_seed(base_seed + number)
    random.seed(base_seed + number)
    # a seed sequence keeps NumPy's stream apart from Python's, which is the same twister
    entropy = [number, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(entropy).generate_state(4))


def work(start: Start, connection: Connection, progress: Any, foreign: list[Connection]) -> None:
    """The life of a worker process.

    Args:
        start: what to do.
        connection: to the parent. That it closes means the end.
        progress: shared with the parent: the task and the place of the sample, two numbers for each worker.
        foreign: connections that a fork has copied into this process and that are not its own.
    """
    import queue
    import threading

    from mytorch.inspect_tensors import set_num_threads
    from mytorch.utils.data.transfer import socket_of

    for other in foreign:
        other.close()
    _leave_signals_to_parent()
    tasks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), daemon=True).start()
    set_num_threads(1)  # the workers are the parallel part
    seed_streams(start.base_seed, start.number)
    global _current
    _current = WorkerInfo(start.number, start.num_workers, start.base_seed + start.number, start.job.dataset)
    channel = socket_of(connection)
    try:
        _Worker(start, connection, channel, progress).serve(tasks)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent wants no more
    finally:
        if channel is not None:
            channel.close()


def _leave_signals_to_parent() -> None:
    """Ctrl-C reaches all processes of a terminal: the parent decides what it means. SIGTERM ends a worker, whatever the parent does
    at it. Both were inherited by a fork, as was the descriptor that tells the parent's event loop of signals.
    """
    import signal

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which programs started by the dataset would inherit
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the parent held it back for the start


def _listen(connection: Connection, tasks: queue.SimpleQueue[bytes | None]) -> None:
    """Take messages out of the pipe at once, so that the parent never waits, and end the process when its parent is gone."""
    import os
    import time

    parent = os.getppid()
    try:
        while os.getppid() == parent:
            if connection.poll(_WATCH_EVERY):
                tasks.put(connection.recv_bytes())
    except (EOFError, OSError):
        tasks.put(None)  # after this batch; a parent that lives ends a worker that does not come to it
    while os.getppid() == parent:
        time.sleep(_WATCH_EVERY)
    os._exit(1)


class _Worker:
    """Reads what it is asked for, and answers each task with ("batch" | "end" | "error", number of the task, place)."""

    def __init__(self, start: Start, connection: Connection, channel: socket.socket | None, progress: Any) -> None:
        self.start, self.connection, self.channel = start, connection, channel
        self.progress, self.slot = progress, 2 * start.number
        self.reader: Reader | None = None
        self.failure: Failure | None = None  # of worker_init_fn or the dataset's __iter__: answers every task of the pass
        self.init = start.init_fn

    def note(self, place: int) -> None:
        self.progress[self.slot + 1] = place

    def begin(self) -> None:
        """Begin a pass: a stream starts anew."""
        self.failure = None
        try:
            if self.init is not None:
                init, self.init = self.init, None
                init(self.start.number)
            self.reader = Reader(self.start.job, self.note)
        except Exception as error:
            self.failure = Failure.of(error)

    def serve(self, tasks: queue.SimpleQueue[bytes | None]) -> None:
        import pickle

        self.begin()
        ended = False
        while (message := tasks.get()) is not None:
            if message == RESUME:
                self.begin()
                ended = False
            elif not ended:
                ended = self.answer(*pickle.loads(message))
                if ended and not self.start.persistent:
                    return

    def answer(self, number: int, index: Any) -> bool:
        """Read one batch and send it; whether the stream has ended."""
        from mytorch.utils.data.transfer import pack, send

        self.note(-1)
        self.progress[self.slot] = number
        failure, kind = self.failure, "batch"
        if failure is None:
            assert self.reader is not None
            try:
                packed = pack(self.reader.read(index))
            except Exception as error:
                if isinstance(error, StopIteration) and self.start.job.iterable:
                    kind = "end"
                else:
                    failure = Failure.of(error)
        if failure is not None:
            kind = "error"
        if kind != "batch":
            packed = pack(failure)
        send(self.connection, self.channel, (kind, number, self.progress[self.slot + 1]), packed)
        return kind == "end"
