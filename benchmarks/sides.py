"""The processes that are compared. Each has one library and stays alive; its parent asks each in turn, so that a slow phase of the
machine meets all of them.

The parent writes a command as a line of JSON, and reads a line of JSON as the answer: see `Child`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TORCH_STYLE = ("mytorch", "torch", "torch.compile")  # these run the works as they are written
PAUSE = 0.05  # seconds before a timing, in which the threads of the other libraries stop waiting for work


class Side:
    """The parent's end of a process."""

    def __init__(self, library: str, threads: int, clock: str = "perf_counter") -> None:
        # byte code on disk, as every installed package has it; thread numbers for the BLAS and OpenMP that a library may bring
        env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        env |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent), env.get("PYTHONPATH"))))
        self.library = library
        command = [sys.executable, str(HERE / "sides.py"), library, str(threads), clock]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)

    def ask(self, do: str, timeout: float = 60, **details: Any) -> Any:
        """The answer to a command.

        Raises:
            RuntimeError: it failed, took too long, or the process has ended. After the latter two the process is gone.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):  # it ended, or was ended by close
            raise RuntimeError("the process has ended") from None
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            self.close()
            raise RuntimeError(f"took more than {timeout:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Child:
    """The process's own end: one library, and the tasks that are prepared. Its methods are the commands."""

    def __init__(self, library: str, threads: int, clock: str) -> None:
        self.library = library
        self.clock = getattr(time, clock)
        self.tasks: dict[str, Any] = {}
        if hasattr(os, "sched_setaffinity"):  # holds for libraries that have no setting
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        self.torch = self._import(threads) if library in TORCH_STYLE else None

    def _import(self, threads: int) -> Any:
        """The library as `torch`."""
        import works

        if self.library == "mytorch":
            import mytorch as torch
        else:
            import torch
        torch.set_num_threads(threads)
        if self.library == "torch.compile":
            works.transform = torch.compile
        return torch

    def version(self) -> str:
        """Of the library; for mytorch also which kernels it runs on."""
        from importlib.metadata import version

        if self.library == "mytorch":
            from mytorch.backends import native_status

            return f"{self.torch.__version__} ({'C++ kernels' if native_status()[0] else 'NumPy alone'})"
        return self.torch.__version__ if self.torch is not None else version(self.library)

    def prepare(self, work: str) -> dict[str, Any]:
        """Prepare a work: what it computes, and its operations."""
        if self.torch is None:
            import peers

            task = peers.prepare(self.library, work)
        else:
            from suite import WORKS

            self.torch.manual_seed(0)
            task = WORKS[work].prepare(self.torch)
        self.tasks[work] = task
        return {"values": task.values(), "flops": task.flops}

    def time(self, work: str, seconds: float) -> float:
        """The seconds of a step: the mean over a burst of about that length, after steps that are not timed."""
        task = self.tasks[work]
        time.sleep(PAUSE)
        task.begin()
        task.step()
        start = self.clock()
        task.step()
        once = self.clock() - start
        if once > seconds:
            return once
        count = round(seconds / max(once, 1e-7))
        start = self.clock()
        for _ in range(count):
            task.step()
        return (self.clock() - start) / count

    def memory(self, work: str, steps: int) -> dict[str, float]:
        """Minor page faults of a steady step, and the most memory that the process has had, in MB."""
        import resource

        task = self.tasks[work]
        task.begin()
        for _ in range(3):
            task.step()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(steps):
            task.step()
        after = resource.getrusage(resource.RUSAGE_SELF)
        unit = 1 if sys.platform == "darwin" else 1024
        return {"faults": (after.ru_minflt - before) / steps, "peak_mb": after.ru_maxrss * unit / 1e6}

    def product_limit(self, repeats: int = 8, size: int = 2048) -> float:
        """The operations in a second of the fastest of a few products of 2048 x 2048 in float32: torch's, or NumPy's."""
        if self.library == "torch":
            a = self.torch.randn(size, size)
            multiply: Callable[[], Any] = lambda: self.torch.mm(a, a)  # noqa: E731
        else:
            import numpy as np

            b = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
            out = np.empty_like(b)
            multiply = lambda: np.matmul(b, b, out=out)  # noqa: E731
        times = []
        for _ in range(repeats):
            start = self.clock()
            multiply()
            times.append(self.clock() - start)
        return 2.0 * size**3 / min(times)


def serve(library: str, threads: int, clock: str) -> None:
    """Answer commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which writes what it has
    child: Child | None = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            child = child or Child(library, threads, clock)
            answer = {"result": getattr(child, command.pop("do"))(**command)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
