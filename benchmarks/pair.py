"""Run the same work under mytorch and under torch in one pair of processes, in turn, and report ratios and their spread.

The two processes stay alive; a round asks each in turn for one timing, so that a slow phase of the machine meets both. The
ratio of a round is mytorch's time divided by torch's: below 1, mytorch is faster.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def serve(name: str, works: dict[str, Callable[[Any], Callable[[], None]]]) -> None:
    """The child's side: prepare every work with its library, then time the one that each line of input names."""
    import importlib
    import time

    library = importlib.import_module(name)
    ready = {title: prepare(library) for title, prepare in works.items()}
    print("ready", flush=True)
    for line in sys.stdin:
        work = ready[json.loads(line)]
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)


class Side:
    """One of the two processes."""

    def __init__(self, script: str, library: str) -> None:
        self.process = subprocess.Popen([sys.executable, script, "--serve", library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.read() != "ready":
            raise SystemExit(f"the {library} side of {script} did not start")

    def read(self) -> str:
        """One line of its answer."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def time(self, work: str) -> float:
        """Seconds for one run of a work."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(work) + "\n")
        self.process.stdin.flush()
        return float(self.read())


def compare(script: str, works: dict[str, Any], rounds: int = 30) -> None:
    """The parent's side: alternate the two processes and print a line for each work."""
    try:
        sides = Side(script, "mytorch"), Side(script, "torch")
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    print(f"{'work':44} {'mytorch':>10} {'torch':>10} {'ratio':>7} {'spread of the ratio (10 % .. 90 %)':>36}")
    for work in works:
        pairs = []
        for i in range(rounds + 2):
            order = sides if i % 2 else sides[::-1]
            found = {side: side.time(work) for side in order}
            if i >= 2:  # the first rounds warm up
                pairs.append((found[sides[0]], found[sides[1]]))
        ratios = sorted(a / b for a, b in pairs)
        ours, theirs = (statistics.median(p[k] for p in pairs) * 1e3 for k in (0, 1))
        tenth = len(ratios) // 10
        print(f"{work:44} {ours:8.3f}ms {theirs:8.3f}ms {statistics.median(ratios):7.2f} "
              f"{ratios[tenth]:18.2f} .. {ratios[-1 - tenth]:.2f}", flush=True)
    for side in sides:
        side.process.terminate()


def main(script: str, works: dict[str, Any], rounds: int = 30) -> None:
    """Be the parent, or with `--serve LIBRARY` one of the children."""
    if len(sys.argv) > 2 and sys.argv[1] == "--serve":
        serve(sys.argv[2], works)
    else:
        compare(script, works, rounds)
