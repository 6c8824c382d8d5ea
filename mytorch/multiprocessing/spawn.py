"""`spawn`: the same function in several processes, whose failures are raised here."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import connection, context, get_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

__all__ = ["ProcessContext", "ProcessException", "ProcessExitedException", "ProcessRaisedException", "SpawnContext", "spawn", "start_processes"]

_TO_END = 5.0  # seconds that processes have after Ctrl-C, before SIGTERM
_TO_TERMINATE = 30.0  # seconds that a process has after SIGTERM, before SIGKILL


class ProcessException(Exception):  # noqa: N818 - torch's name
    """One of the processes has failed: which one, and what it said."""

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid = msg, error_index, pid
        self.pid = pid

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """The function has raised: the message has the traceback."""


class ProcessExitedException(ProcessException):
    """The process has ended by a signal, or with an exit code other than 0."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _run(fn: Callable[..., Any], index: int, args: tuple[Any, ...], errors: connection.Connection) -> None:
    """The life of one process: what the function raises goes to the parent as text."""
    import sys
    import threading
    import traceback

    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass  # the terminal has sent it to all processes, the parent decides
    except Exception:
        errors.send(traceback.format_exc())
        sys.exit(1)


def _end_with_parent() -> None:
    """Interrupt this process when its parent is gone, so that none is left behind."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        # what a shell has started in the background may ignore interrupts
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)


class ProcessContext:
    """The running processes of a `spawn(..., join=False)`."""

    def __init__(self, processes: list[Any], errors: list[connection.Connection]) -> None:
        self.processes, self._errors = processes, errors
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until a process ends. If it has failed, end all others and raise.

        Args:
            timeout: seconds to wait; None for ever.
            grace_period: seconds that the others have to end by themselves once one has failed.
        Returns:
            Whether all have ended; call it until it is True.
        Raises:
            ProcessRaisedException: if the function has raised; the message has its traceback.
            ProcessExitedException: if a process was killed or has ended with a code other than 0.
        """
        if not self.sentinels:
            return True
        failed = None
        for sentinel in connection.wait(list(self.sentinels), timeout):
            index = self.sentinels.pop(sentinel)
            self.processes[index].join()
            if self.processes[index].exitcode and failed is None:
                failed = index
        if failed is None:
            return not self.sentinels
        self._end_others(grace_period)
        raise self._error_of(failed)

    def _end_others(self, grace_period: float | None) -> None:
        if grace_period is not None:
            self._wait(grace_period)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        self._wait(_TO_TERMINATE)
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))

    def _error_of(self, index: int) -> ProcessException:
        process, errors = self.processes[index], self._errors[index]
        try:
            if errors.poll():
                text = f"\n\n-- Process {index} terminated with the following error:\n{errors.recv()}"
                return ProcessRaisedException(text, index, process.pid)
        except EOFError:
            pass  # it has said nothing
        code = process.exitcode
        if code >= 0:
            return ProcessExitedException(f"process {index} terminated with exit code {code}", index, process.pid, code)
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"<Unknown signal {-code}>"
        return ProcessExitedException(f"process {index} terminated with signal {name}", index, process.pid, code, name)


class SpawnContext(ProcessContext):
    """The ProcessContext of processes started by the method "spawn"."""


def start_processes(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
                    start_method: str = "spawn") -> ProcessContext | None:
    """Run `fn(i, *args)` for i = 0 to nprocs - 1, each in a process of its own.

    Args:
        fn: a function at the top of a module, for methods other than fork.
        args: its further arguments; tensors among them are shared with the processes.
        nprocs: how many.
        join: wait for all of them. If not, a ProcessContext is returned, to join later.
        daemon: whether they end with this process by force; they then can start none themselves.
        start_method: "spawn", "fork" or "forkserver".
    Raises:
        ProcessRaisedException, ProcessExitedException: as `ProcessContext.join`.
    """
    ways: context.BaseContext = get_context(start_method)
    started: list[Any] = []
    errors = []
    kind = SpawnContext if start_method == "spawn" else ProcessContext
    try:
        for index in range(nprocs):
            mine, its = ways.Pipe(duplex=False)
            errors.append(mine)
            process = ways.Process(target=_run, args=(fn, index, args, its), daemon=daemon)  # type: ignore[attr-defined]
            process.start()
            its.close()
            started.append(process)
        processes = kind(started, errors)
        if not join:
            return processes
        while not processes.join():
            pass
        return None
    except KeyboardInterrupt:
        kind(started, errors)._end_others(_TO_END)  # a terminal has interrupted them too
        raise
    except BaseException:
        kind(started, errors)._end_others(None)
        raise


def spawn(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
          start_method: str = "spawn") -> ProcessContext | None:
    """Run `fn(i, *args)` for i = 0 to nprocs - 1, each in a fresh interpreter. See `start_processes`.

    A program that calls it needs `if __name__ == "__main__":` around its main part, as always with "spawn".
    """
    if start_method != "spawn":
        import warnings

        warnings.warn(f"This method only supports start_method=spawn (got: {start_method}).\nTo use a different start_method use:\n\t\t "
                      "torch.multiprocessing.start_processes(...)", FutureWarning, stacklevel=2)
    return start_processes(fn, args, nprocs, join, daemon, "spawn")
