"""Where the time of a work goes under mytorch: its kernels, and the functions around them, in order of cost.

    python benchmarks/where.py gru cnn

The time of a function is its own, without that of the functions it calls; NumPy's ufuncs belong to the function that calls them.
The profiler costs about a microsecond per call, so that cheap and frequent functions look dearer than they are.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from pathlib import Path
from typing import Any

from suite import WORKS

import mytorch

PACKAGE = Path(mytorch.__file__).parent
SHOWN = 14


def profile(name: str, seconds: float = 1.5) -> list[tuple[str, int, float]]:
    """Functions as (name, calls in a step, own seconds in a step), the dearest first."""
    mytorch.manual_seed(0)
    task = WORKS[name].prepare(mytorch)
    task.begin()
    task.step()
    start = time.perf_counter()
    task.step()
    count = max(1, round(seconds / (time.perf_counter() - start)))
    profiler = cProfile.Profile(time.process_time)  # of all threads: other programs do not count
    with profiler:
        for _ in range(count):
            task.step()
    rows: dict[str, tuple[int, float]] = {}
    stats: Any = pstats.Stats(profiler)

    def add(name: str, calls: int, own: float) -> None:
        had = rows.get(name, (0, 0.0))
        rows[name] = had[0] + calls, had[1] + own

    for (path, line, function), (_, calls, own, _, callers) in stats.stats.items():
        if path != "~":
            add(label(path, line, function), calls, own)
        for caller, (_, calls_from, own_from, _) in callers.items() if path == "~" else ():  # C: its time is told by caller
            inner = function.removeprefix("<built-in method ").removeprefix("<method ").removesuffix(">")
            add(f"{label(*caller)} > {inner}", calls_from, own_from)
    return sorted(((name, round(calls / count), own / count) for name, (calls, own) in rows.items()), key=lambda row: -row[2])


def label(path: str, line: int, function: str) -> str:
    """A function, by its file: from the package's folder on, or the name alone."""
    if function in ("<lambda>", "<genexpr>", "<listcomp>"):
        function = f"{line}"
    return f"{Path(path).relative_to(PACKAGE)}:{function}" if Path(path).is_relative_to(PACKAGE) else f"{Path(path).name}:{function}"


def main(names: list[str]) -> None:
    """Print the dearest functions of each work."""
    mytorch.set_num_threads(1)
    for name in names:
        rows = profile(name)
        total = sum(own for _, _, own in rows)
        print(f"\n{WORKS[name].title}: {total * 1e3:.2f} ms of processor time in a step")
        for function, calls, own in rows[:SHOWN]:
            print(f"  {own / total:6.1%} {own * 1e3:9.3f} ms {calls:7} x  {function}")


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in WORKS]
    if unknown or len(sys.argv) < 2:
        raise SystemExit(f"name works of: {', '.join(WORKS)}")
    main(sys.argv[1:])
