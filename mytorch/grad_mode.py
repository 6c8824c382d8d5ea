"""Modes: whether a graph is recorded (no_grad and its relatives), and who else sees each operation (Mode)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mytorch.engine_state import InferenceStorage, get_grad_enabled, get_mode, put_grad_enabled, state

if TYPE_CHECKING:
    from mytorch.autograd_engine import Op

__mytorch__ = True


class Mode:
    """Sees every operation while it is entered, on this thread: subclasses define `handle`."""

    _below: Mode | None = None
    follows_backward = False  # does it see what a backward walk computes, too?

    def __enter__(self) -> Mode:
        self._below, state.mode = state.mode, self
        return self

    def __exit__(self, *exc: object) -> None:
        state.mode = self._below

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        """Do what this mode does with the operation; `self.proceed(...)` passes it on. `run` is apply or apply_inplace."""
        return self.proceed(run, op, inputs, meta)

    def attach(self, node: Any, saved: list[Any]) -> None:
        """Give Tensors rebuilt from what `node` saved whatever the modes know of them."""
        if self._below is not None:
            self._below.attach(node, saved)

    def check_out(self, y: Any) -> None:
        """Refuse a result that `out=` would lose something of."""
        if self._below is not None:
            self._below.check_out(y)

    def handle_function(self, function: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a user's Function, `run(args, kwargs)`, and return its output and its ctx. What it does inside is seen as ever."""
        return run(args, kwargs) if self._below is None else self._below.handle_function(function, run, args, kwargs)

    def proceed(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        """Run the operation under the modes below this one."""
        state.mode = self._below
        try:
            return run(op, inputs, meta)
        finally:
            state.mode = self

    def call(self, function: Callable[..., Any], again: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function that is marked `by_example`; `again` is the marked function."""
        return function(*args, **kwargs) if self._below is None else self._below.call(function, again, args, kwargs)

    def like(self, x: Any, others: Iterable[Any]) -> Any:
        """x, ready to be copied and to have `others` written into the copy."""
        return x if self._below is None else self._below.like(x, others)

    def walk_back(self, outputs: Any, grads: Any, keep: bool, create_graph: bool, inputs: Any) -> Any:
        """Run a backward walk; of the modes entered only those that follow it see its operations, as operations on Tensors."""
        from mytorch.backward_walk import walk_from
        mode: Mode | None = self
        while mode is not None and not mode.follows_backward:
            mode = mode._below
        if mode is not None:
            from mytorch.func.walking import walk_under_modes
            return walk_under_modes(outputs, grads, keep, create_graph, inputs)
        state.mode = None
        try:
            return walk_from(outputs, grads, keep, create_graph, inputs)
        finally:
            state.mode = self


def by_example(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that looks at values outside of operations: vmap runs it once for every example."""
    from functools import wraps

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        mode = get_mode()
        return function(*args, **kwargs) if mode is None else mode.call(function, call, args, kwargs)

    return call


# ---- gradient modes -----------------------------------------------------------------------------------------------------------


class _GradMode:
    """A context manager and decorator that sets whether a graph is recorded on this thread."""

    _value = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(get_grad_enabled())
        put_grad_enabled(self._value)

    def __exit__(self, *exc: object) -> None:
        put_grad_enabled(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _decorate(function, self.clone)

    def clone(self) -> Any:
        """A fresh context of the same kind: one per call of a decorated function."""
        return type(self)()


def _decorate(function: Callable[..., Any], context: Callable[[], Any]) -> Callable[..., Any]:
    from functools import wraps

    if function.__code__.co_flags & 0x20 if hasattr(function, "__code__") else False:  # a generator: enter around each step
        @wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Any:
            with context():
                generator = function(*args, **kwargs)
            sent = None
            while True:
                try:
                    with context():
                        item = generator.send(sent)
                except StopIteration as stop:
                    return stop.value
                sent = yield item
        return steps

    @wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)
    return inside


class no_grad(_GradMode):  # noqa: N801 - torch's name
    """Record no graph inside: `with no_grad():` or `@no_grad()` (or `@no_grad`)."""

    _value = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return object.__new__(cls) if function is None else _decorate(function, cls)


class enable_grad(no_grad):  # noqa: N801 - torch's name
    """Record a graph inside, also within `no_grad`."""

    _value = True


class set_grad_enabled(_GradMode):  # noqa: N801 - torch's name
    """Record a graph or not: as a function at once, as a context manager until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._value = bool(mode)
        self._entered_from: bool | None = state.grad_enabled
        state.grad_enabled = self._value

    def __enter__(self) -> None:
        self._before.append(state.grad_enabled if self._entered_from is None else self._entered_from)
        self._entered_from = None
        state.grad_enabled = self._value

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._entered_from is not None:
            state.grad_enabled = self._entered_from
        return _decorate(function, self.clone)

    def clone(self) -> set_grad_enabled:
        return set_grad_enabled(self._value)


class inference_mode(Mode):  # noqa: N801 - torch's name
    """Record nothing inside and never let its results enter a graph: a stricter `no_grad`."""

    def __new__(cls, mode: Any = True) -> Any:
        return _decorate(mode, cls) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.enabled = mode

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _decorate(function, lambda: inference_mode(self.enabled))

    def __enter__(self) -> inference_mode:
        super().__enter__()
        self._grad_before = state.grad_enabled
        if self.enabled:
            state.grad_enabled = False
        else:
            state.mode = self._below
            state.grad_enabled = True
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        state.grad_enabled = self._grad_before

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        result = self.proceed(run, op, inputs, meta)
        for out in (result if isinstance(result, (tuple, list)) else [result]):
            if out._storage is None:
                out._storage = InferenceStorage()
        return result


def is_grad_enabled() -> bool:
    """Is a graph recorded on this thread?"""
    return get_grad_enabled()


def is_inference_mode_enabled() -> bool:
    """Is inference mode on for this thread?"""
    return isinstance(state.mode, inference_mode)
