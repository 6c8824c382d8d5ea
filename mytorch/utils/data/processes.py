"""Worker processes as the main process sees them: started, asked, waited for, and ended without a trace."""

from __future__ import annotations

import contextlib
import os
import pickle
import reprlib
import signal
import time
import weakref
from multiprocessing import connection as pipes
from typing import TYPE_CHECKING, Any

from mytorch.utils.data.transfer import receive, socket_of
from mytorch.utils.data.worker import RESUME, Start, work

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

    from mytorch.utils.data.reader import Job
    from mytorch.utils.data.worker import Failure

__mytorch__ = True

_GRACE = 5.0  # seconds that a worker has to end its batch once it is not needed any more
_TO_TERMINATE = 2.0  # seconds that it has after SIGTERM, before SIGKILL


class WorkerDiedError(Exception):
    """The pipe of a worker is closed, or stuck in the middle of a batch."""


class Process:
    """One worker process and the pipe to it.

    Args:
        context: a context of multiprocessing: fork, spawn or forkserver.
        start: what the worker is told.
        progress: memory shared with all workers of the loader.
        others: the connections of the workers started before: a forked process closes its copies of them.
        timeout: seconds after which a transfer that has stopped halfway is given up; 0 for never.
    """

    def __init__(self, context: Any, start: Start, progress: Any, others: list[Connection], timeout: float) -> None:
        self.number = start.number
        self.connection, far_end = context.Pipe(duplex=True)
        try:
            foreign = [*others, self.connection] if context.get_start_method() == "fork" else []
            self.process = context.Process(target=work, args=(start, far_end, progress, foreign), daemon=True)
            with _interrupts_held():
                self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            far_end.close()
        self.pid = self.process.pid
        self.channel: socket.socket | None = socket_of(self.connection)
        if timeout and self.channel is not None:
            _limit_transfers(self.channel, timeout)

    def tell(self, message: bytes) -> None:
        """Send a message. One that a dead worker cannot take is dropped: waiting for its answer reports the death."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(message)

    def take(self) -> tuple[Any, Any]:
        """The next answer, as (header, packed value)."""
        try:
            return receive(self.connection, self.channel)
        except (EOFError, OSError) as error:
            raise WorkerDiedError from error

    def hang_up(self) -> None:
        """Close the pipe: the worker ends when it has finished its batch."""
        if self.channel is not None:
            import socket

            with contextlib.suppress(OSError):
                self.channel.shutdown(socket.SHUT_RDWR)  # also where another process holds a copy of this end
            self.channel.close()
        self.connection.close()

    def ending(self) -> str:
        """How the process ended, in words."""
        self.process.join(_TO_TERMINATE)  # its pipe may close a moment before it is over
        code = self.process.exitcode
        if code is None:
            return "is alive, but its pipe is closed or stuck"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""
        return f"was killed by signal {-code}{name}"


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold SIGINT back, also in a process that starts here: it lets go once it has a handler, so that Ctrl-C never kills it half begun."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _limit_transfers(channel: socket.socket, timeout: float) -> None:
    import socket
    import struct

    limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6) + 1)  # struct timeval
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def end_processes(workers: list[Process], owner: int, grace: float = _GRACE) -> None:
    """End all workers: let them finish a batch for so many seconds, then SIGTERM, then SIGKILL. Does nothing in a forked copy."""
    if os.getpid() != owner:
        return
    ending, workers[:] = workers[:], []
    for worker in ending:
        worker.hang_up()
    for after, end in ((grace, None), (_TO_TERMINATE, "terminate"), (None, "kill")):
        if end is not None:
            for worker in ending:
                getattr(worker.process, end)()
        deadline = None if after is None else time.monotonic() + after
        for worker in ending:
            worker.process.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        ending = [worker for worker in ending if worker.process.exitcode is None]
        if not ending:
            return


class Team:
    """The workers of one iterator. They end when it is collected, when the interpreter exits, and when ``end`` is called.

    Args:
        context: of multiprocessing; None for its default.
        job: what to read.
        count: how many workers.
        base_seed: worker i is seeded with base_seed + i.
        init_fn: called in each worker with its number.
        persistent: whether workers outlive their part of a stream.
        timeout: seconds to wait for a batch; 0 for ever.
    """

    def __init__(
        self, context: Any, job: Job, count: int, base_seed: int, init_fn: Callable[[int], Any] | None, persistent: bool, timeout: float
    ) -> None:
        if context is None:
            import multiprocessing

            context = multiprocessing.get_context()
        self.timeout, self.owner = timeout, os.getpid()
        self.progress = context.RawArray("q", 2 * count)
        self.workers: list[Process] = []
        self._end = weakref.finalize(self, end_processes, self.workers, self.owner)
        try:
            for number in range(count):
                start = Start(job, number, count, base_seed, init_fn, persistent)
                others = [worker.connection for worker in self.workers]
                self.workers.append(Process(context, start, self.progress, others, timeout))
        except BaseException as error:
            self.end(0.0)
            if isinstance(error, (TypeError, AttributeError, pickle.PicklingError)):
                error.add_note(
                    f"DataLoader: worker {len(self.workers)} could not be started by {context.get_start_method()!r}: dataset, collate_fn and "
                    "worker_init_fn must be picklable, so defined at the top of a module; or choose multiprocessing_context='fork'"
                )
            raise

    @property
    def alive(self) -> bool:
        return bool(self.workers)

    def end(self, grace: float = _GRACE) -> None:
        """End the processes now."""
        end_processes(self.workers, self.owner, grace)
        self._end.detach()

    def ask(self, number: int, task: int, index: Any) -> None:
        self.workers[number].tell(pickle.dumps((task, index)))

    def resume(self) -> None:
        for worker in self.workers:
            worker.tell(RESUME)

    def answer(self, numbers: Iterable[int], deadline: float | None) -> tuple[Any, Any] | Process | None:
        """The next answer of one of these workers; the worker itself if it has died; None when the deadline has passed."""
        by_source: dict[Any, Process] = {}
        for number in numbers:
            worker = self.workers[number]
            by_source[worker.connection] = by_source[worker.process.sentinel] = worker
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = pipes.wait(list(by_source), left)
        if not ready:
            return None
        # what a worker sent before it died comes first: its pipe is read until it is empty
        source = next((one for one in ready if not isinstance(one, int)), ready[0])
        worker = by_source[source]
        if isinstance(source, int) and not worker.connection.poll():
            return worker
        try:
            return worker.take()
        except WorkerDiedError:
            return worker

    def place_of(self, number: int, task: int) -> int:
        """At which sample of this task the worker is, -1 at none."""
        return self.progress[2 * number + 1] if self.progress[2 * number] == task else -1


class _Verbatim(str):
    """A message that KeyError, which shows the repr of its argument, leaves readable."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def error_of(failure: Failure, where: str, number: int) -> Exception:
    """The exception of a worker with its traceback as the message; RuntimeError where its class takes no message."""
    text = f"Caught {failure.name} in DataLoader worker process {number}.\nIt was loading {where}.\nOriginal {failure.traceback}"
    try:
        kind: Any = pickle.loads(failure.kind) if failure.kind is not None else RuntimeError
        if kind is KeyError:
            return KeyError(_Verbatim(text))
        error = kind(message=text) if getattr(kind, "message", None) else kind(text)
        if text not in str(error):  # it says something of its own, or cannot even say that
            error.add_note(text)
    except Exception:
        return RuntimeError(text)
    return error if isinstance(error, Exception) else RuntimeError(text)


def describe(task: int, index: Any, place: int, iterable: bool, batched: bool) -> str:
    """A task in words: "batch 3, sample 17 (place 1 of the indices [5, 17])"."""
    if iterable:
        return f"batch {task} of its stream" + (f", sample {place} of it" if place >= 0 else "")
    if not batched:
        return f"sample {index!r}"
    shown = reprlib.repr(index)
    if place < 0 or not hasattr(index, "__getitem__"):
        return f"batch {task} of the samples {shown}"
    return f"batch {task}, sample {index[place]!r} (place {place} of the samples {shown})"
