"""All benchmarks: `make bench`. mytorch against torch, and against torch.compile, JAX, MLX and tinygrad where they are installed.

    python benchmarks/run.py                   everything, in about a quarter of an hour
    python benchmarks/run.py --quick           fewer and shorter rounds, no torch.compile
    python benchmarks/run.py --only gru        one work, or one family; may be repeated
    python benchmarks/run.py --publish         also write benchmarks/results.json and docs/performance.md

Results go to benchmarks/out: results.json, performance.md, performance.svg.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import footprint
import peers
import report
from sides import Side
from suite import FAMILIES, FLOAT32, WORKS
from works import agree

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
COMPILE_LIMIT = 75  # seconds in which torch.compile must be ready with a network
PREPARE_LIMIT = 60
CLOCKS = {"wall": "perf_counter", "processor": "process_time"}
FRESH = ("training", "layers", "autocast", "program")  # families whose works have processes of their own: memory is measured there
# which libraries a family is measured with, beyond mytorch and torch
BEYOND = {"training": ("torch.compile", *peers.LIBRARIES), "inference": ("torch.compile",)}
NOT_COMPILED = ("small-mlp", "cell-loop", "rnn", "gru", "lstm")  # recurrent layers are not compiled, loops take minutes

Results = dict[str, Any]


def installed(libraries: list[str]) -> list[str]:
    """Those that can be imported; a line for each of the others."""
    found = []
    for library in libraries:
        if library != "mytorch" and importlib.util.find_spec(library.partition(".")[0]) is None:
            print(f"{library} is left out: it is not installed here", flush=True)
        else:
            found.append(library)
    return found


class Run:
    """A run of the benchmarks: its options, the processes that are open, and what was measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        wanted = options.libraries or ["mytorch", "torch", *([] if options.quick else ["torch.compile"]), *peers.LIBRARIES]
        self.libraries = installed(wanted)
        self.sides: dict[str, Side] = {}
        self.rows: list[dict[str, Any]] = []
        self.limits: dict[str, list[float]] = {}
        self.versions: dict[str, str] = {}
        self.began = time.monotonic(), busy_seconds(), own_seconds()

    def side(self, library: str) -> Side:
        """The process of a library, opened if it is not."""
        if library not in self.sides or self.sides[library].process.poll() is not None:
            self.sides[library] = Side(library, self.options.threads, CLOCKS[self.options.clock])
            self.versions[library] = self.sides[library].ask("version", PREPARE_LIMIT)
        return self.sides[library]

    def close(self) -> None:
        """Measure the limit with those that have a product of matrices, and end all processes."""
        for library in ("mytorch", "torch"):
            if library in self.sides and self.sides[library].process.poll() is None:
                with contextlib.suppress(RuntimeError):  # a process that has ended has no limit
                    self.limits.setdefault("numpy" if library == "mytorch" else library, []).append(self.sides[library].ask("product_limit"))
        for side in self.sides.values():
            side.close()
        self.sides.clear()

    def columns(self, family: str, name: str) -> dict[str, tuple[str, str]]:
        """What a row compares: label -> (library, work)."""
        libraries = [library for library in self.libraries if library in ("mytorch", "torch", *BEYOND.get(family, ()))]
        if name in NOT_COMPILED:
            libraries = [library for library in libraries if library != "torch.compile"]
        columns = {library: (library, name) for library in libraries
                   if library not in peers.LIBRARIES or (name in peers.MODELS and peers.has(library, name))}
        if name in FLOAT32:
            columns |= {f"{library} float32": (library, FLOAT32[name]) for library in libraries}
        return columns

    def measure(self, family: str, name: str) -> None:
        """Prepare a work in all processes, compare what it computes, and time it in turn."""
        cells: dict[str, dict[str, Any]] = {}
        columns = self.columns(family, name)
        for label, (library, work) in columns.items():
            try:
                prepared = self.side(library).ask("prepare", COMPILE_LIMIT if library == "torch.compile" else PREPARE_LIMIT, work=work)
                cells[label] = {**prepared, "seconds": []}
                if family in ("training", "layers") and library in ("mytorch", "torch", "torch.compile"):
                    cells[label] |= self.side(library).ask("memory", work=work, steps=5)
            except RuntimeError as error:
                cells[label] = {"skipped": str(error)}
        tolerance = WORKS[name].tolerance
        oracle = cells.get("torch", {}).get("values") or cells.get("mytorch", {}).get("values")
        for label, cell in cells.items():
            if oracle and tolerance and "values" in cell and not label.endswith("float32") and not agree(cell["values"], oracle, tolerance):
                cells[label] = {"skipped": f"computes something else: {cell['values'][:3]} instead of {oracle[:3]}"}
        end = time.monotonic() + self.options.patience
        for i in range(self.options.rounds):
            if i >= 3 and time.monotonic() > end:
                break
            for label in list(columns)[:: 1 if i % 2 else -1]:
                self.time(cells[label], *columns[label])
        row = {"family": family, "name": name, "title": WORKS[name].title, "libraries": cells}
        self.rows.append(row)
        print(report.line(row), flush=True)

    def time(self, cell: dict[str, Any], library: str, work: str) -> None:
        """One timing of one column, unless it was given up."""
        if "skipped" in cell:
            return
        try:
            cell["seconds"].append(self.side(library).ask("time", work=work, seconds=self.options.seconds))
        except RuntimeError as error:
            cell.clear()
            cell["skipped"] = str(error)

    def family(self, family: str, names: list[str]) -> None:
        """Measure the works of one family."""
        print(f"\n== {family}", flush=True)
        for name in names:
            try:
                self.measure(family, name)
            finally:
                if family in FRESH:
                    self.close()
        self.close()

    def footprint(self) -> Results:
        """Import times and sizes on disk."""
        libraries = [library for library in self.libraries if library != "torch.compile"]
        times = footprint.import_times(libraries, 3 if self.options.quick else 9, CLOCKS[self.options.clock])
        return {"imports": times, "sizes": footprint.install_sizes(libraries)}

    def results(self) -> Results:
        """Everything that was measured."""
        elapsed, busy, own = (now - then for now, then in zip((time.monotonic(), busy_seconds(), own_seconds()), self.began))
        others = max(0.0, busy - own) / (elapsed * (os.cpu_count() or 1))  # the share of the processor that other programs took
        machine = {"processor": processor(), "cores": os.cpu_count(), "threads": self.options.threads, "clock": self.options.clock,
                   "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
                   "rounds": self.options.rounds, "others": others, "versions": self.versions}
        return {"machine": machine, "limits": self.limits, "rows": self.rows}


def processor() -> str:
    """The name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor")


def busy_seconds() -> float:
    """The processor time that the whole machine has spent, where the system tells it; else what this run has spent."""
    try:
        user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:])
    except (OSError, ValueError):
        return own_seconds()
    return (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK")  # rest: interrupts, and what the host took away


def own_seconds() -> float:
    """The processor time of this process and of those that it has ended."""
    return sum(os.times()[:4])


def selection(only: list[str] | None) -> dict[str, list[str]]:
    """Families, with the works of each that are wanted.

    Raises:
        SystemExit: a name is neither a family nor a work.
    """
    unknown = set(only or ()) - set(WORKS) - set(FAMILIES) - {"footprint"}
    if unknown:
        raise SystemExit(f"no benchmark is named {', '.join(sorted(unknown))}; there are footprint, {', '.join(FAMILIES)} and {', '.join(WORKS)}")
    chosen = {family: [name for name in works if not only or family in only or name in only] for family, works in FAMILIES.items()}
    return {family: names for family, names in chosen.items() if names}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer and shorter rounds, no torch.compile")
    add("--only", action="append", metavar="NAME", help="a work or a family; may be repeated")
    add("--threads", type=int, default=2, help="of every library (default: 2)")
    add("--clock", choices=CLOCKS, default="wall",
        help="count seconds of the wall, or of the processor: the latter, with --threads 1, suits a busy machine")
    add("--rounds", type=int, help="timings of each library in each work (default: 11, quick: 5)")
    add("--seconds", type=float, help="length of one timing (default: 0.15, quick: 0.05)")
    add("--libraries", type=lambda text: text.split(","), help="of mytorch,torch,torch.compile,jax,mlx,tinygrad")
    add("--out", type=Path, default=HERE / "out", help="folder of the results (default: benchmarks/out)")
    add("--publish", action="store_true", help="write benchmarks/results.json, docs/performance.md and docs/performance.svg too")
    options = parser.parse_args(arguments)
    if options.publish and options.only:
        parser.error("--publish takes a whole run, not --only")
    options.rounds = options.rounds or (5 if options.quick else 11)
    options.patience = 5 if options.quick else 20  # seconds after which a work that has three rounds gets no further one
    options.seconds = options.seconds or (0.05 if options.quick else 0.15)
    return options


def main(arguments: list[str] | None = None) -> None:
    """Measure what is wanted, and write it down."""
    options = parse(arguments)
    run = Run(options)
    wanted = selection(options.only)
    extra = run.footprint() if not options.only or "footprint" in options.only else {}
    for family, names in wanted.items():
        try:
            run.family(family, names)
        except KeyboardInterrupt:  # what is measured is written
            print("stopped")
            break
    for side in run.sides.values():
        side.close()
    results = run.results() | extra
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(report.rounded(results), indent=1) + "\n", encoding="utf-8")
    written = report.write(results, options.out)
    if options.publish:
        shutil.copy(options.out / "results.json", HERE / "results.json")
        for path in written:
            shutil.copy(path, DOCS / path.name)
    print(f"\nwritten: {', '.join(str(path) for path in (options.out / 'results.json', *written))}")


if __name__ == "__main__":
    main()
