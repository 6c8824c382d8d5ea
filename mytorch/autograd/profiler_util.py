"""What a profile recorded: events, their nesting, averages per name, the table, the trace for a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__mytorch__ = True


class Interval(NamedTuple):
    """When an event began and ended, in microseconds since the profile began."""

    start: float
    end: float

    def elapsed_us(self) -> float:
        """How long it lasted."""
        return self.end - self.start


def format_time(us: float) -> str:
    """A time in the unit that suits it."""
    if us >= 1_000_000:
        return f"{us / 1_000_000:.3f}s"
    return f"{us / 1000:.3f}ms" if us >= 1000 else f"{us:.3f}us"


def format_time_in(us: float, unit: str | None) -> str:
    """A time in the unit asked for ('s', 'ms' or 'us'), or in the one that suits it."""
    if unit is None:
        return format_time(us)
    return f"{us / {'s': 1_000_000, 'ms': 1000, 'us': 1}[unit]:.3f}{unit}"


def format_memory(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit, scale in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(size) >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{int(size)} B"


class _Times:
    """What events and averages have in common."""

    device_time = device_time_total = self_device_time_total = cuda_time = cuda_time_total = self_cuda_time_total = 0.0  # no accelerator
    device_memory_usage = self_device_memory_usage = 0
    device_type = "cpu"
    is_async = is_remote = is_legacy = False
    node_id = -1
    flops = None
    cpu_time_total: float
    self_cpu_time_total: float
    count: int

    @property
    def cpu_time(self) -> float:
        """The mean time of a call, in microseconds."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        """The mean time of a call, with its unit."""
        return format_time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        """The time of all calls, with its unit."""
        return format_time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        """The time of all calls less that of events inside, with its unit."""
        return format_time(self.self_cpu_time_total)


class FunctionEvent(_Times):
    """One operation, node of a backward, or labelled range.

    Attributes:
        time_range: start and end in microseconds. cpu_children, cpu_parent: the events inside, and the one around.
        cpu_memory_usage: bytes of the results that were made inside; self_cpu_memory_usage: by this event itself.
    """

    count = 1

    def __init__(self, id: int, name: str, thread: int, start: float, end: float, category: str, input_shapes: list[Any],
                 stack: list[str], memory: int) -> None:
        self.id = id
        self.trace_name = name
        self.name = self.key = "ProfilerStep*" if name.startswith("ProfilerStep#") else name
        self.thread = thread
        self.time_range = Interval(start, end)
        self.category = category
        self.is_user_annotation = category == "user_annotation"
        self.input_shapes = input_shapes
        self.stack = stack
        self.self_cpu_memory_usage = memory
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """How long it lasted, in microseconds."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """The same without the events inside."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes of the results made in this event and inside."""
        return self.self_cpu_memory_usage + sum(child.cpu_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        return (f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} start_us={self.time_range.start:.3f} "
                f"end_us={self.time_range.end:.3f} cpu_children={[child.id for child in self.cpu_children]} thread={self.thread} "
                f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage}>")


class FunctionEventAvg(_Times):
    """The events of one name (and, if grouped so, of the same shapes or the same lines) added up."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.count = 0
        self.cpu_time_total = 0.0
        self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = 0
        self.self_cpu_memory_usage = 0
        self.input_shapes: list[Any] = []
        self.stack: list[str] = []
        self.is_user_annotation = False

    def add(self, other: Any) -> FunctionEventAvg:
        """Add an event, or another sum."""
        if not self.count:
            self.input_shapes, self.stack, self.is_user_annotation = other.input_shapes, other.stack, other.is_user_annotation
        nested = getattr(other, "cpu_parent", None)
        while nested is not None and nested.key != self.key:
            nested = nested.cpu_parent
        if nested is None:  # an event inside one of its own name is counted there already
            self.cpu_time_total += other.cpu_time_total
            self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_time_total += other.self_cpu_time_total
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        self.count += other.count
        return self

    def __iadd__(self, other: Any) -> FunctionEventAvg:
        return self.add(other)

    def __repr__(self) -> str:
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} cpu_time={self.cpu_time_str} "
                f"input_shapes={self.input_shapes or ''} cpu_memory_usage={self.cpu_memory_usage}>")


class EventList(list[Any]):
    """The events of a profile, or the averages that `key_averages` makes of them.

    Args:
        shapes, memory, stacks: was that recorded? The table then has its column.
    """

    def __init__(self, events: Iterable[Any] = (), *, shapes: bool = False, memory: bool = False, stacks: bool = False) -> None:
        super().__init__(events)
        self._shapes = shapes
        self._memory = memory
        self._stacks = stacks

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, each counted once, in microseconds."""
        return sum(event.self_cpu_time_total for event in self)

    def total_average(self) -> FunctionEventAvg:
        """All events added up under the name 'Total'."""
        total = FunctionEventAvg("Total")
        for event in self:
            total += event
        return total

    def key_averages(self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False) -> EventList:
        """The events added up by name.

        Args:
            group_by_input_shapes: keep calls with other shapes apart.
            group_by_stack_n: keep calls from other lines apart, by so many lines of the stack.
        """
        found: dict[Any, FunctionEventAvg] = {}
        for event in self:
            key = (event.key, str(event.input_shapes) if group_by_input_shapes else "", *event.stack[:group_by_stack_n])
            average = found.setdefault(key, FunctionEventAvg(event.key))
            average.add(event)
            if not group_by_input_shapes:
                average.input_shapes = []
            average.stack = average.stack[:group_by_stack_n]
        return EventList(found.values(), shapes=group_by_input_shapes, memory=self._memory, stacks=group_by_stack_n > 0)

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75, max_name_column_width: int = 55,
              max_shapes_column_width: int = 80, header: str | None = None, top_level_events_only: bool = False,
              time_unit: str | None = None) -> str:
        """The events as a table, one a line.

        Args:
            sort_by: an attribute to sort by, greatest first: 'cpu_time', 'cpu_time_total', 'self_cpu_time_total',
                'cpu_memory_usage', 'self_cpu_memory_usage' or 'count'.
            row_limit: at most so many lines; -1 for all.
            top_level_events_only: leave out events inside others.
        Raises:
            AttributeError: for another sort_by.
        """
        total = self.self_cpu_time_total
        events = sorted(self, key=lambda event: getattr(event, sort_by), reverse=True) if sort_by is not None else list(self)
        if top_level_events_only:
            events = [event for event in events if getattr(event, "cpu_parent", None) is None]
        shown = events if row_limit < 0 else events[:row_limit]

        def part(us: float) -> str:
            return f"{us / total * 100:.2f}%" if total else "nan"

        def time(us: float) -> str:
            return format_time_in(us, time_unit)

        columns: list[tuple[str, int, Callable[[Any], str]]] = [
            ("Name", max_name_column_width, lambda e: e.key),
            ("Self CPU %", 0, lambda e: part(e.self_cpu_time_total)), ("Self CPU", 0, lambda e: time(e.self_cpu_time_total)),
            ("CPU total %", 0, lambda e: part(e.cpu_time_total)), ("CPU total", 0, lambda e: time(e.cpu_time_total)),
            ("CPU time avg", 0, lambda e: time(e.cpu_time))]
        if self._memory:
            columns += [("CPU Mem", 0, lambda e: format_memory(e.cpu_memory_usage)),
                        ("Self CPU Mem", 0, lambda e: format_memory(e.self_cpu_memory_usage))]
        columns.append(("# of Calls", 0, lambda e: str(e.count)))
        if self._shapes:
            columns.append(("Input Shapes", max_shapes_column_width, lambda e: str(e.input_shapes)))
        if self._stacks:
            columns.append(("Source Location", max_src_column_width, lambda e: e.stack[0] if e.stack else ""))
        text = _lay_out([(title, limit) for title, limit, _ in columns], [[cell(event) for _, _, cell in columns] for event in shown])
        return f"{header + chr(10) if header else ''}{text}Self CPU time total: {time(total)}\n"

    def __str__(self) -> str:
        return self.table()

    def export_chrome_trace(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        """Write the events for chrome://tracing, or any other viewer of the Trace Event format; gzip if path ends in .gz."""
        import gzip
        import json
        import os
        pid = os.getpid()
        events: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": "python"}}]
        for event in self:
            args: dict[str, Any] = {"External id": event.id}
            if event.input_shapes:
                args["Input Dims"] = event.input_shapes
            if event.stack:
                args["Call stack"] = ";".join(event.stack)
            if event.self_cpu_memory_usage:
                args["Bytes"] = event.self_cpu_memory_usage
            events.append({"ph": "X", "cat": event.category, "name": event.trace_name, "pid": pid, "tid": event.thread,
                           "ts": event.time_range.start, "dur": event.cpu_time_total, "args": args})
        trace = {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": events, "traceName": path, **(metadata or {})}
        with (gzip.open(path, "wt") if path.endswith(".gz") else open(path, "w", encoding="utf-8")) as file:
            json.dump(trace, file)

    def export_stacks(self, path: str, metric: str) -> None:
        """Write the stacks with their time, one a line, for flame graphs.

        Raises:
            ValueError: if metric is not 'self_cpu_time_total' or 'self_cuda_time_total'.
        """
        if metric not in ("self_cpu_time_total", "self_cuda_time_total", "self_xpu_time_total", "self_privateuse1_time_total"):
            raise ValueError("metric should be one of: ['self_cpu_time_total', 'self_cuda_time_total']")
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                value = int(getattr(event, metric, 0))
                if event.stack and value > 0:
                    file.write(";".join(line.replace(" ", "_").replace(";", ",") for line in reversed(event.stack)) + f" {value}\n")


def _lay_out(columns: list[tuple[str, int]], rows: list[list[str]]) -> str:
    """Lines of text: each column as wide as its widest cell, cut to its limit (0: never cut, at least 12 wide)."""
    def cut(text: str, limit: int) -> str:
        return text if not limit or len(text) <= limit else text[:limit - 3] + "..."

    cells = [[cut(text, limit) for text, (_, limit) in zip(row, columns, strict=True)] for row in rows]
    widths = [max([12 if not limit else 0, len(title), *[len(row[i]) for row in cells]]) for i, (title, limit) in enumerate(columns)]
    rule = "  ".join("-" * width for width in widths) + "  \n"
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) + "  \n"
             for row in [[title for title, _ in columns], *cells]]
    return rule + lines[0] + rule + "".join(lines[1:]) + rule


def nest(events: list[FunctionEvent]) -> None:
    """Find which event lies inside which, per thread, by their times."""
    for thread in {event.thread for event in events}:
        open_events: list[FunctionEvent] = []
        for event in sorted((e for e in events if e.thread == thread), key=lambda e: (e.time_range.start, -e.time_range.end)):
            while open_events and open_events[-1].time_range.end <= event.time_range.start:
                open_events.pop()
            if open_events and event.time_range.end <= open_events[-1].time_range.end:
                event.cpu_parent = open_events[-1]
                event.cpu_parent.cpu_children.append(event)
            open_events.append(event)


__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Interval", "format_memory", "format_time"]
