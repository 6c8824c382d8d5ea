"""The profiler: how long each operation and each node of a backward takes, and which line asked for it.

It is a `Mode`, so that it sees every operation of this thread; backward walks hand it their steps one by one.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from mytorch.autograd.profiler_util import EventList as EventList
from mytorch.autograd.profiler_util import FunctionEvent as FunctionEvent
from mytorch.autograd.profiler_util import FunctionEventAvg as FunctionEventAvg
from mytorch.autograd.profiler_util import nest
from mytorch.autograd_engine import AccumulateGrad, Mode, Node, state
from mytorch.backward_walk import _visit
from mytorch.engine_state import TensorBase
from mytorch.inplace import apply_inplace

if TYPE_CHECKING:
    from mytorch.autograd_engine import Op

__mytorch__ = True

_MAX_STACK = 32
_active: list[Recorder] = []  # those that record now, for ranges; appended to and removed from by whole assignments


class Recorder(Mode):
    """Notes what runs between `start` and `stop`.

    Args:
        shapes: note the shapes of inputs. memory: the bytes of results. stacks: the user's lines.
    """

    def __init__(self, shapes: bool = False, memory: bool = False, stacks: bool = False) -> None:
        self.shapes = shapes
        self.memory = memory
        self.stacks = stacks
        self.records: list[tuple[Any, ...]] = []
        self.began = perf_counter_ns()
        self._handles: list[Any] = []

    def start(self) -> None:
        """Begin to record, also what other threads do in backward."""
        self.__enter__()
        self._outer_watcher = state.watcher
        state.watcher = self.watch
        _active.append(self)
        optimizer = sys.modules.get("mytorch.optim.optimizer")  # if nobody has loaded it, there is no step to see
        if optimizer is not None:
            self._handles = [optimizer.register_optimizer_step_pre_hook(_begin_step), optimizer.register_optimizer_step_post_hook(_end_step)]

    def stop(self) -> None:
        """End it; modes entered since stay as they are."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self in _active:
            _active.remove(self)
        state.watcher = self._outer_watcher
        if state.mode is self:
            self.__exit__()
            return
        above = state.mode
        while above is not None and above._below is not self:
            above = above._below
        if above is not None:
            above._below = self._below

    def add(self, name: str, begin: int, category: str, shapes: Any = (), stack: Any = (), memory: int = 0) -> None:
        """Note that something ended just now."""
        self.records.append((name, begin, perf_counter_ns(), threading.get_native_id(), category, shapes, stack, memory))

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        """Run the operation and note how long it took."""
        begin = perf_counter_ns()
        result = self.proceed(run, op, inputs, meta)
        end = perf_counter_ns()
        written = run is apply_inplace
        shapes = [list(x._array.shape) if isinstance(x, TensorBase) else [] for x in inputs] if self.shapes else ()
        memory = 0
        if self.memory and not written:
            memory = sum(y._array.nbytes for y in (result if isinstance(result, (tuple, list)) else (result,))
                         if isinstance(y, TensorBase) and not op.view)
        self.records.append((f"aten::{op.name}{'_' if written and not op.name.endswith('_') else ''}", begin, end, threading.get_native_id(),
                             "cpu_op", shapes, _stack() if self.stacks else (), memory))
        return result

    def watch(self, node: Node, g: Any, *rest: Any) -> None:
        """Let a step of a backward walk happen and note it."""
        begin = perf_counter_ns()
        (self._outer_watcher or _visit)(node, g, *rest)
        name = "torch::autograd::AccumulateGrad" if isinstance(node, AccumulateGrad) else node.name()
        line = node.line if self.stacks else None
        shapes = [list(part.shape) if part is not None else [] for part in _arrays(g)] if self.shapes else ()
        self.add(name, begin, "cpu_op", shapes, [line] if line else ())

    def events(self) -> EventList:
        """Everything noted so far, in the order in which it began."""
        found = [FunctionEvent(i, name, thread, (begin - self.began) / 1000, (end - self.began) / 1000, category, list(shapes), list(stack), memory)
                 for i, (name, begin, end, thread, category, shapes, stack, memory) in enumerate(sorted(self.records, key=lambda r: (r[1], -r[2])))]
        nest(found)
        return EventList(found, shapes=self.shapes, memory=self.memory, stacks=self.stacks)


def _arrays(g: Any) -> list[Any]:
    return [part if part is None or isinstance(part, ndarray) else part._array for part in (g if isinstance(g, list) else [g])]


def _stack() -> list[str]:
    """The user's lines, innermost first."""
    lines: list[str] = []
    frame: Any = sys._getframe(2)
    while frame is not None and len(lines) < _MAX_STACK:
        if "__mytorch__" not in frame.f_globals:
            lines.append(f"{frame.f_code.co_filename}({frame.f_lineno}): {frame.f_code.co_name}")
        frame = frame.f_back
    return lines


_steps: dict[int, int] = {}  # of each thread: when its optimizer began a step


def _begin_step(optimizer: Any, args: Any, kwargs: Any) -> None:
    _steps[threading.get_ident()] = perf_counter_ns()


def _end_step(optimizer: Any, args: Any, kwargs: Any) -> None:
    begin = _steps.pop(threading.get_ident(), None)
    for recorder in list(_active):
        if begin is not None:
            recorder.add(f"Optimizer.step#{type(optimizer).__name__}.step", begin, "user_annotation")


class record_function:  # noqa: N801 - torch's name
    """A named range in the profile: `with record_function("loss"):`, or a decorator of a function.

    Args:
        name: shown in the table. args: a note, kept as the attribute `args`.
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args

    def __enter__(self) -> record_function:
        self._begin = perf_counter_ns()
        self._recorders = list(_active)
        return self

    def __exit__(self, *exc: object) -> None:
        for recorder in self._recorders:
            if recorder in _active:
                recorder.add(self.name, self._begin, "user_annotation")

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return inside


def refuse_options(options: Iterable[tuple[str, Any]]) -> None:
    """NotImplementedError for the first option that is set."""
    for name, value in options:
        if value:
            raise NotImplementedError(f"profile({name}={value!r}) is not supported: leave it out")


class profile:  # noqa: N801 - torch's name
    """A profile of what runs in a `with` block: `with torch.autograd.profiler.profile() as prof:`, then `print(prof)`.

    Args:
        enabled: False makes the block do nothing.
        record_shapes: note the shapes of inputs. profile_memory: the bytes of results. with_stack: the lines that asked.
        with_modules: names of TorchScript modules, of which there are none, in torch's eager mode as here.
        use_kineto, use_cpu: torch's choice of its own machinery; of no effect.
    Raises:
        NotImplementedError: for use_cuda, use_device, with_flops and experimental_config.
        RuntimeError: if entered twice.
    """

    def __init__(self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None, record_shapes: bool = False,
                 with_flops: bool = False, profile_memory: bool = False, with_stack: bool = False, with_modules: bool = False,
                 use_kineto: bool = False, use_cpu: bool = True, experimental_config: Any = None, acc_events: bool = False) -> None:
        refuse_options((("use_cuda", use_cuda), ("use_device", use_device not in (None, "cpu") and use_device), ("with_flops", with_flops),
                        ("experimental_config", experimental_config)))
        self.enabled = enabled
        self.entered = False
        self._recorder = Recorder(record_shapes, profile_memory, with_stack)
        self._events: EventList | None = None

    def __enter__(self) -> profile | None:
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self.entered = True
        self._recorder.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            self._recorder.stop()
            self._events = None

    @property
    def function_events(self) -> EventList:
        """The events recorded."""
        if self._events is None:
            self._events = self._recorder.events()
        return self._events

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False) -> EventList:
        """The events added up by name: see `EventList.key_averages`."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def table(self, sort_by: str | None = None, row_limit: int = 100, **options: Any) -> str:
        """The events as a table: see `EventList.table`."""
        return self.function_events.table(sort_by, row_limit, **options)

    def export_chrome_trace(self, path: str) -> None:
        """Write the events for chrome://tracing."""
        self.function_events.export_chrome_trace(path)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks for flame graphs; needs with_stack=True."""
        if not self._recorder.stacks:
            raise AssertionError("export_stacks() requires with_stack=True")
        self.function_events.export_stacks(path, metric)

    def total_average(self) -> FunctionEventAvg:
        """All events added up."""
        return self.function_events.total_average()

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, each counted once, in microseconds."""
        return self.function_events.self_cpu_time_total

    def __str__(self) -> str:
        return str(self.function_events) if self.entered else "<unfinished torch.autograd.profile>"

    __repr__ = __str__


__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Recorder", "profile", "record_function"]
