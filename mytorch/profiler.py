"""torch.profiler: a profile with a schedule, for training loops; what it records is told in `mytorch.autograd.profiler`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from time import perf_counter_ns
from typing import Any

from mytorch.autograd.profiler import EventList, Recorder, refuse_options
from mytorch.autograd.profiler import record_function as record_function

__mytorch__ = True


class ProfilerActivity(Enum):
    """What to profile. There is the CPU alone: the others are names."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(Enum):
    """What a profile does in a step: nothing, get ready, record, or record and hand over the trace at its end."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def supported_activities() -> set[ProfilerActivity]:
    """The activities that are there: the CPU."""
    return {ProfilerActivity.CPU}


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:
    """A function from the number of a step to what the profile does in it: cycles of wait, warmup and active steps.

    Args:
        repeat: so many cycles, 0 for no end. skip_first: steps before the first. skip_first_wait: nonzero leaves out its wait.
    Raises:
        AssertionError: for negative numbers, or no active step.
    """
    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        cycle = wait + warmup + active
        if repeat > 0 and step // cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError(f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), "
                             f"active={active} (need > 0), repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0).")
    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False,
                              use_python_export: bool = False) -> Callable[[profile], None]:
    """An `on_trace_ready` that writes each trace into a folder: <worker>.<time>.pt.trace.json.

    Args:
        worker_name: default: the host's name and the process's number.
        use_gzip: compress it; the name then ends in .gz.
    """
    def write(prof: profile) -> None:
        import os
        import socket
        from time import time_ns
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time_ns()}.pt.trace.json{'.gz' if use_gzip else ''}"))

    return write


class profile:  # noqa: N801 - torch's name
    """A profile of what runs in a `with` block, or between start() and stop(): of all of it, or of steps that a schedule picks.

    Args:
        activities: those to profile; they must name the CPU.
        schedule: from a step's number to a ProfilerAction; call `step()` at the end of each.
        on_trace_ready: called with this profile when a recorded cycle ends.
        record_shapes: note the shapes of inputs. profile_memory: the bytes of results. with_stack: the lines that asked.
        acc_events: keep the events of earlier cycles.
    Raises:
        AssertionError: if activities name nothing that is there.
        NotImplementedError: for with_flops, experimental_config, execution_trace_observer and use_cuda.
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None, schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[[profile], Any] | None = None, record_shapes: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, experimental_config: Any = None,
                 execution_trace_observer: Any = None, acc_events: bool = False, use_cuda: bool | None = None,
                 custom_trace_id_callback: Callable[[], str] | None = None) -> None:
        self.activities = set(activities) if activities is not None else supported_activities()
        if not self.activities & supported_activities():
            raise AssertionError("No valid profiler activities found")
        refuse_options((("with_flops", with_flops), ("experimental_config", experimental_config),
                        ("execution_trace_observer", execution_trace_observer), ("use_cuda", use_cuda),
                        ("custom_trace_id_callback", custom_trace_id_callback)))
        self.on_trace_ready = on_trace_ready
        self.record_shapes, self.profile_memory, self.with_stack = record_shapes, profile_memory, with_stack
        self.acc_events = acc_events
        self._scheduled = schedule is not None
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._recorder: Recorder | None = None
        self._recording = False
        self._events: EventList | None = None
        self._metadata: dict[str, Any] = {}

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, as `with` does."""
        if self.current_action in _RECORDING:
            self._begin()
        self._step_began = perf_counter_ns()

    def stop(self) -> None:
        """End; a cycle that is under way is handed over."""
        if self._recording:
            self._end_step()
            self._end()

    def step(self) -> None:
        """Say that a step has ended and the next begins."""
        before = self.current_action
        self._end_step()
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        if self._recording and (before is ProfilerAction.RECORD_AND_SAVE or self.current_action not in _RECORDING):
            self._end()
        if not self._recording and self.current_action in _RECORDING:
            self._begin()
        self._step_began = perf_counter_ns()

    def _begin(self) -> None:
        kept = self._recorder.records if self._recorder is not None and self.acc_events else []
        began = self._recorder.began if kept and self._recorder is not None else None
        self._recorder = Recorder(self.record_shapes, self.profile_memory, self.with_stack)
        self._recorder.records = kept
        if began is not None:
            self._recorder.began = began
        self._events = None
        self._recording = True
        self._recorder.start()

    def _end_step(self) -> None:
        if self._recording and self._scheduled and self._recorder is not None:
            self._recorder.add(f"ProfilerStep#{self.step_num}", self._step_began, "user_annotation")

    def _end(self) -> None:
        assert self._recorder is not None
        self._recorder.stop()
        self._recording = False
        self._events = None
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def events(self) -> EventList:
        """The events of the last cycle.

        Raises:
            AssertionError: before anything was recorded.
        """
        if self._recorder is None:
            raise AssertionError("Profiler must be initialized before getting events")
        if self._events is None or self._recording:
            self._events = self._recorder.events()
        return self._events

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False) -> EventList:
        """The events added up by name, for `.table(sort_by="cpu_time_total", row_limit=10)`.

        Raises:
            AssertionError: before anything was recorded.
        """
        if self._recorder is None:
            raise AssertionError("Profiler must be initialized before getting key averages")
        return self.events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path: str) -> None:
        """Write the events for chrome://tracing; gzip if path ends in .gz."""
        self.events().export_chrome_trace(path, self._metadata)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks for flame graphs; needs with_stack=True."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        self.events().export_stacks(path, metric)

    def add_metadata(self, key: str, value: str) -> None:
        """Put a string into the trace."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Put a value, given as JSON, into the trace."""
        import json
        self._metadata[key] = json.loads(value)


__all__ = ["ProfilerAction", "ProfilerActivity", "profile", "record_function", "schedule", "supported_activities", "tensorboard_trace_handler"]
