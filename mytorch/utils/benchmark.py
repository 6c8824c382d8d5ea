"""torch.utils.benchmark: time a statement often enough to believe the result, and set results side by side."""

from __future__ import annotations

import math
import timeit
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any

from mytorch import inspect_tensors

__mytorch__ = True

timer = perf_counter
_UNITS = (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0))


def select_unit(t: float) -> tuple[str, float]:
    """The unit that suits a time in seconds, and its size."""
    for name, size in _UNITS:
        if t < 999.95 * size:
            return name, size
    return _UNITS[-1]


def _quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile, interpolated between neighbours."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


class Measurement:
    """What a `Timer` measured: seconds per run of the statement, several times.

    Args:
        number_per_run: how many runs each of the raw times took.
        raw_times: seconds.
        title, description, num_threads: what was measured.
    """

    def __init__(self, number_per_run: int, raw_times: Sequence[float], title: str = "", sub_label: str | None = None,
                 description: str | None = None, env: str | None = None, num_threads: int = 1) -> None:
        self.number_per_run = number_per_run
        self.raw_times = list(raw_times)
        self.title = title
        self.sub_label = sub_label
        self.description = description
        self.env = env
        self.num_threads = num_threads
        self.metadata: dict[Any, Any] = {}

    @property
    def times(self) -> list[float]:
        """Seconds per run."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self) -> float:
        """The median of the times."""
        return _quantile(self.times, 0.5)

    @property
    def mean(self) -> float:
        """The mean of the times."""
        return math.fsum(self.times) / len(self.times)

    @property
    def iqr(self) -> float:
        """How far the third quartile of the times is from the first."""
        return _quantile(self.times, 0.75) - _quantile(self.times, 0.25)

    @property
    def has_warnings(self) -> bool:
        """Do the times differ too much to be believed?"""
        return self.iqr > 0.1 * self.median

    def meets_confidence(self, threshold: float = 0.1) -> bool:
        """Is the interquartile range below this part of the median?"""
        return self.iqr < threshold * self.median

    @property
    def as_row_name(self) -> str:
        """Its row in a comparison."""
        return self.sub_label or self.title

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Measurements of the same thing as one each; their times are turned into seconds per run."""
        found: dict[Any, Measurement] = {}
        for m in measurements:
            key = (m.title, m.sub_label, m.description, m.env, m.num_threads)
            whole = found.setdefault(key, Measurement(1, [], *key))
            whole.raw_times += m.times
        return list(found.values())

    def __repr__(self) -> str:
        lines = [f"<{type(self).__module__}.{type(self).__name__} object at {id(self):#x}>",
                 f"{self.title}{': ' + self.sub_label if self.sub_label else ''}", *([self.description] if self.description else [])]
        unit, size = select_unit(self.median)
        threads = f"{self.num_threads} thread{'s' if self.num_threads > 1 else ''}"
        if len(self.raw_times) == 1:
            lines += [f"  {self.median / size:.2f} {unit}", f"  1 measurement, {self.number_per_run} runs , {threads}"]
        else:
            low, high = _quantile(self.times, 0.25), _quantile(self.times, 0.75)
            lines += [f"  Median: {self.median / size:.2f} {unit}",
                      f"  IQR:    {self.iqr / size:.2f} {unit} ({low / size:.2f} to {high / size:.2f})",
                      f"  {len(self.raw_times)} measurements, {self.number_per_run} runs per measurement, {threads}"]
            if self.has_warnings:
                lines += [f"  WARNING: Interquartile range is {self.iqr / self.median:.1%} of the median measurement.",
                          "           This suggests significant environmental influence."]
        return "\n".join(lines)


class Timer:
    """Times a statement, given as text: `Timer("x @ x", globals={"x": x}).blocked_autorange()`.

    Args:
        stmt: what to time. setup: what to run before each measurement. global_setup: for C++ alone.
        globals: the names that stmt sees.
        label, sub_label, description, env: how a comparison names it.
        num_threads: of the native library, while it runs.
    Raises:
        ValueError: if stmt is not a string.
        NotImplementedError: for C++.
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "", timer: Callable[[], float] = timer,
                 globals: dict[str, Any] | None = None, label: str | None = None, sub_label: str | None = None, description: str | None = None,
                 env: str | None = None, num_threads: int = 1, language: Any = "python") -> None:
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if str(language).lower() not in ("python", "py", "language.python") or global_setup:
            raise NotImplementedError("Timer(language='c++') is not supported: time a Python statement")
        self._timer = timeit.Timer(stmt, setup, timer, dict(globals or {}))
        self._clock = timer
        self._threads = num_threads
        title = label or (stmt if setup == "pass" else f"stmt: {stmt}, setup: {setup}")
        self._names = (title, sub_label, description, env, num_threads)

    def _time(self, number: int) -> float:
        before = inspect_tensors.get_num_threads()
        inspect_tensors.set_num_threads(self._threads)
        try:
            return max(self._timer.timeit(number), 1e-9)
        finally:
            inspect_tensors.set_num_threads(before)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One measurement of so many runs, after a warm-up of a hundredth of them."""
        self._time(max(number // 100, 2))
        return Measurement(number, [self._time(number)], *self._names)

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """Not supported, as in torch: use blocked_autorange."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback: Callable[[int, float], Any] | None = None) -> None:
        """Not supported, as in torch: use blocked_autorange."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _block(self, min_run_time: float) -> int:
        """How many runs take a thousandth of the time there is, and so drown what the clock itself costs."""
        number = 1
        while True:
            taken = self._time(number)
            if taken >= min_run_time / 1000 and taken >= 1e-5:
                return number
            number *= 10

    def blocked_autorange(self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2) -> Measurement:
        """Measurements of blocks of runs, until min_run_time seconds have passed."""
        number = self._block(min_run_time)
        times: list[float] = []
        while math.fsum(times) < min_run_time:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, *self._names)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback: Callable[[int, float], Any] | None = None) -> Measurement:
        """Measurements of blocks of runs, until their interquartile range is below threshold times their median."""
        number = self._block(min_run_time)
        times: list[float] = []
        while True:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
            found = Measurement(number, times, *self._names)
            total = math.fsum(times)
            if total >= max_run_time or (len(times) > 3 and total >= min_run_time and found.meets_confidence(threshold)):
                return found


class Compare:
    """Measurements in a table: a row per sub_label, a column per description."""

    def __init__(self, results: list[Measurement]) -> None:
        self._results = list(results)

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Add more."""
        self._results.extend(results)

    def print(self) -> None:
        """Print the table."""
        print(self)

    def __str__(self) -> str:
        results = Measurement.merge(self._results)
        unit, size = select_unit(min(m.median for m in results)) if results else ("s", 1.0)
        tables = []
        for title in dict.fromkeys(m.title for m in results):
            mine = [m for m in results if m.title == title]
            columns = list(dict.fromkeys(m.description or "" for m in mine))
            rows: list[list[str]] = [["", *columns]]
            for threads in dict.fromkeys(m.num_threads for m in mine):
                rows.append([f"{threads} threads:", *[""] * len(columns)])
                for name in dict.fromkeys(m.as_row_name for m in mine if m.num_threads == threads):
                    cells = {m.description or "": f"{m.median / size:.1f}" for m in mine if (m.as_row_name, m.num_threads) == (name, threads)}
                    rows.append([f"  {name}", *[cells.get(column, "") for column in columns]])
            widths = [max(len(row[i]) for row in rows) for i in range(len(columns) + 1)]
            lines = ["  |  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
                     for row in rows]
            tables.append("\n".join([f"[{f' {title} '.center(max(len(lines[0]) - 2, 0), '-')}]", *lines]))
        names = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds"}
        return "\n\n".join(tables) + f"\n\nTimes are in {names[unit]} ({unit}).\n"


__all__ = ["Compare", "Measurement", "Timer", "select_unit", "timer"]
