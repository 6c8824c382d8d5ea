"""Checkpointing: less memory for more time. What backward needs of a function is computed again instead of kept.

The saved tensors of the function are replaced by numbered placeholders (by saved-tensor hooks). The first placeholder that
backward opens runs the function once more; the tensors saved in that second run, in the same order, are what the placeholders
stand for. The older variant, `use_reentrant=True`, is a `Function` whose backward runs forward and a backward of its own.

Source: Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174
"""

from __future__ import annotations

import threading
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from mytorch.autograd.function import Function
from mytorch.autograd.saved_tensors import Packed, _innermost, saved_tensors_hooks
from mytorch.autograd_engine import Mode, backward, enable_grad, gradient_edge, is_grad_enabled, no_grad, requires_grad, state
from mytorch.dtypes import from_numpy_dtype
from mytorch.engine_state import TensorBase, storage_of
from mytorch.generator import default_generator
from mytorch.ops.autocast import casting_as, get_casting
from mytorch.random import fork_rng

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mytorch.autograd_engine import Op

__mytorch__ = True

state.follow_walks = True  # the reentrant variant asks whether it runs inside of autograd.grad

TIP = ("\n\nTip: To see a more detailed error message, either pass `debug=True` to\n`torch.utils.checkpoint.checkpoint(...)` or wrap the code "
       "block\nwith `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to\nenable checkpoint-debug mode globally.")
NO_REENTRANT = ("When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter to .backward(). "
                "To resolve this error, you can either set use_reentrant=False, or call .backward() without passing the `inputs` argument.")
PASS_EXPLICITLY = ("the use_reentrant parameter should be passed explicitly: use_reentrant=False is recommended, and True is what is taken "
                   "without it. The first keeps the graph of the function and recomputes what it saved; the second runs a backward inside "
                   "of backward, and works neither with autograd.grad nor with keyword arguments.")


class CheckpointError(RuntimeError):
    """Raised when the second run of a function saves other tensors than the first."""


class _StopRecomputation(Exception):  # noqa: N818 - not an error: all that was asked for has been computed
    def __init__(self, frame: _Frame) -> None:
        self.frame = frame


def noop_context_fn() -> tuple[Any, Any]:
    """Two contexts that do nothing: for the forward pass and for the second run."""
    return nullcontext(), nullcontext()


class _Switch:
    """A context that overrides a parameter of all checkpoints called inside."""

    value: bool | None = None

    def __init__(self, enabled: bool | None) -> None:
        self._enabled = enabled

    def __enter__(self) -> None:
        self._before = type(self).value
        type(self).value = self._enabled

    def __exit__(self, *exc: object) -> None:
        type(self).value = self._before


class set_checkpoint_early_stop(_Switch):  # noqa: N801 - torch's name
    """Inside, checkpoints stop the second run as soon as all is there that backward needs, or not: overrides `early_stop`."""


class set_checkpoint_debug_enabled(_Switch):  # noqa: N801 - torch's name
    """Inside, checkpoints note their operations and list them in the error, or not (None: as `debug` says)."""


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None,
               context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn, determinism_check: str = "default", debug: bool = False,
               early_stop: bool = True, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, of which backward keeps the arguments alone and computes the rest again.

    Args:
        function: anything that gives the same when run again; draws of random numbers are repeated.
        use_reentrant: False for the variant that keeps the graph; True for the older one, without keywords and autograd.grad.
        context_fn: returns two contexts, one for the first run and one for the second. Not with use_reentrant=True.
        determinism_check: 'default' compares shape, dtype and device of what both runs saved; 'none' does not.
        debug: note the operations of both runs, and list them if they differ.
        early_stop: end the second run once everything that was saved is there again.
        kwargs: `preserve_rng_state=False` leaves the random draws different; the rest goes to the function.
    Raises:
        CheckpointError: in backward, if the second run saved other tensors.
        ValueError: for keywords, context_fn or debug together with use_reentrant=True.
    """
    if use_reentrant is None:
        warnings.warn(f"torch.utils.checkpoint: {PASS_EXPLICITLY}", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    debug = debug if set_checkpoint_debug_enabled.value is None else set_checkpoint_debug_enabled.value
    if debug and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    early_stop = early_stop if set_checkpoint_early_stop.value is None else set_checkpoint_early_stop.value
    if not is_grad_enabled():
        return function(*args, **kwargs)
    first, second = (_OpLog(), _OpLog()) if debug else context_fn()
    frame = _Frame(function, args, kwargs, second, default_generator.state_array() if preserve else None, determinism_check, early_stop)
    frame.first = first
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


def _metadata(x: Any) -> dict[str, Any]:
    return {"shape": x.shape, "dtype": x.dtype, "device": x.device}


class _Frame:
    """One call of a checkpointed function: how to run it again, and what the second run has saved."""

    first: Any  # the context of the first run: with debug, its log

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any, rng_state: Any,
                 determinism_check: str, early_stop: bool) -> None:
        hooks = _innermost.get()  # of a checkpoint around this one: let it recompute the arguments as well

        def keep(x: Any) -> Any:
            if not isinstance(x, TensorBase):
                return x
            if hooks is not None:
                return Packed(hooks.pack_hook, hooks.unpack_hook, x, gradient_edge(x))
            return _Argument(x)

        self.function = function
        self.args = [keep(x) for x in args]
        self.kwargs = {name: keep(x) for name, x in kwargs.items()}
        self.context = context
        self.rng_state = rng_state
        self.casting = get_casting()
        self.compare = determinism_check == "default"
        self.early_stop = early_stop
        self.metadata: list[dict[str, Any]] = []  # of each tensor saved by the first run
        self.recomputed: dict[int, Any] = {}
        self.lock = threading.RLock()  # of one graph, several threads may run backward

    def pack(self, x: Any) -> int:
        """In the first run: the number of the tensor is all that is kept of it."""
        self.metadata.append(_metadata(x))
        return len(self.metadata) - 1

    def unpack(self, number: int) -> Any:
        """In backward: the tensor of that number, from the second run."""
        with self.lock:
            if number not in self.recomputed:
                self.recompute()
            return self.recomputed.pop(number)  # each is opened once per backward, and then no longer needed

    def recompute(self) -> None:
        """Run the function again, with the same random draws, and catch what it saves."""
        found: list[Any] = []
        count = len(self.metadata)

        def catch(x: Any) -> Any:
            if len(found) == count:
                raise CheckpointError(self.explained("torch.utils.checkpoint: trying to save more tensors during recomputation than during "
                                                     "the original forward pass."))
            found.append(x.detach())
            if self.early_stop and len(found) == count:
                raise _StopRecomputation(self)
            return x.detach()

        args, kwargs = [_opened(x) for x in self.args], {name: _opened(x) for name, x in self.kwargs.items()}
        with fork_rng(enabled=self.rng_state is not None):
            if self.rng_state is not None:
                default_generator.set_state(self.rng_state)
            try:
                with enable_grad(), casting_as(self.casting), saved_tensors_hooks(catch, lambda x: x), self.context:
                    self.function(*args, **kwargs)
            except _StopRecomputation as stop:
                if stop.frame is not self:
                    raise
        self.check(found)
        self.recomputed = dict(enumerate(found))

    def check(self, found: list[Any]) -> None:
        """Did both runs save the same?"""
        if len(found) != len(self.metadata):
            raise CheckpointError(self.explained(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.metadata)}\n"
                f"Number of tensors saved during recomputation: {len(found)}."))
        if not self.compare:
            return
        different = [(i, saved, _metadata(x)) for i, (saved, x) in enumerate(zip(self.metadata, found, strict=True)) if saved != _metadata(x)]
        if different:
            lines = "".join(f"tensor at position {i}:\nsaved metadata: {saved}\nrecomputed metadata: {now}\n" for i, saved, now in different)
            raise CheckpointError(self.explained("torch.utils.checkpoint: Recomputed values for the following tensors have different metadata "
                                                 f"than during the forward pass.\n{lines}."))

    def explained(self, message: str) -> str:
        """The message with the operations of both runs, or with how to have them."""
        if not isinstance(self.context, _OpLog):
            return message + TIP
        return (f"{message}\n\nOperations executed during the original forward:\n\n{self.first}\n\n"
                f"Operations executed during recomputation:\n\n{self.context}\n")


class _Argument:
    """A tensor the function was called with: backward refuses to run it again on other values."""

    def __init__(self, x: Any) -> None:
        self.tensor = x
        self.storage = storage_of(x)
        self.version = self.storage.version

    def opened(self) -> Any:
        if self.storage.version != self.version:
            raise RuntimeError("one of the variables needed for gradient computation has been modified by an inplace operation: an argument "
                               f"of a checkpointed function, of shape {list(self.tensor._array.shape)}, is at version {self.storage.version}; "
                               f"expected version {self.version} instead.")
        return self.tensor


def _opened(x: Any) -> Any:
    if isinstance(x, Packed):
        return x.open_attached()
    return x.opened() if isinstance(x, _Argument) else x


class _OpLog(Mode):
    """Notes the operations that run inside, with the line of the program that asked for each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __enter__(self) -> _OpLog:
        self.lines.clear()
        super().__enter__()
        return self

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        result = self.proceed(run, op, inputs, meta)
        shapes = ", ".join(f"{from_numpy_dtype(y._array.dtype)}{list(y._array.shape)}"
                           for y in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(y, TensorBase))
        self.lines.append(f"${len(self.lines) + 1}: {shapes} = {op.name}   ({_user_line()})")
        return result

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _user_line() -> str:
    import sys
    frame: Any = sys._getframe(1)
    while frame is not None and "__mytorch__" in frame.f_globals:
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"


# ---- the older variant ------------------------------------------------------------------------------------------------------------


class CheckpointFunction(Function):
    """`checkpoint(use_reentrant=True)`: backward runs the function again, with a graph, and then backward through that graph."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        """Run the function without a graph and keep its arguments."""
        check_backward_validity(args)
        ctx.function = function
        ctx.casting = get_casting()
        ctx.rng_state = default_generator.state_array() if preserve_rng_state else None
        ctx.constants = [None if isinstance(x, TensorBase) else x for x in args]
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, TensorBase)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        with no_grad():
            return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Run the function again on detached arguments, backward through it, and hand on their gradients."""
        if state.walk is not None and state.walk.needed is not None:
            raise RuntimeError(NO_REENTRANT)
        args = list(ctx.constants)
        for i, x in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[i] = x
        fresh = detach_variable(tuple(args))
        with fork_rng(enabled=ctx.rng_state is not None):
            if ctx.rng_state is not None:
                default_generator.set_state(ctx.rng_state)
            with enable_grad(), casting_as(ctx.casting):
                outputs = ctx.function(*fresh)
        pairs = [(y, g) for y, g in zip(outputs if isinstance(outputs, tuple) else (outputs,), grads, strict=True) if requires_grad(y)]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([y for y, _ in pairs], [g for _, g in pairs])
        return (None, None, *[x.grad if isinstance(x, TensorBase) else None for x in fresh])  # type: ignore[attr-defined]


def check_backward_validity(inputs: Sequence[Any]) -> None:
    """Warn if none of the inputs requires a gradient: the reentrant variant then gives none to the parameters either."""
    if not any(requires_grad(x) for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with each tensor replaced by a leaf of the same values that requires a gradient if it did.

    Raises:
        RuntimeError: if given anything but a tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(x.detach().requires_grad_(requires_grad(x)) if isinstance(x, TensorBase) else x for x in inputs)  # type: ignore[attr-defined]


# ---- sequences --------------------------------------------------------------------------------------------------------------------


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """Run functions (or an nn.Sequential) one after another, in segments, all but the last of which are checkpointed.

    Args:
        segments: into how many parts to cut; the last takes what is left over.
        kwargs: `preserve_rng_state`, as in `checkpoint`.
    Raises:
        ValueError: for other keywords.
    """
    if use_reentrant is None:
        warnings.warn(f"torch.utils.checkpoint.checkpoint_sequential: {PASS_EXPLICITLY}", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)

    def run(begin: int, end: int) -> Callable[[Any], Any]:
        def segment(x: Any) -> Any:
            for step in steps[begin:end]:
                x = step(x)
            return x
        return segment

    size = len(steps) // segments
    last = 0
    for begin in range(0, size * (segments - 1), size):
        last = begin + size
        input = checkpoint(run(begin, last), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return run(last, len(steps))(input)


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The accelerators that hold the arguments, and their random states: there are none."""
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Any], *, device_type: str | None = None) -> None:
    """Give accelerators back the random states of `get_device_states`: there are none to give."""
    if devices or states:
        raise NotImplementedError("set_device_states: accelerators are not supported; their lists must be empty")


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple[Any, Any]:
    """Not supported.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("create_selective_checkpoint_contexts is not supported: checkpoint the cheap parts of the model, and leave out "
                              "the dear ones")


__all__ = ["CheckpointError", "CheckpointFunction", "check_backward_validity", "checkpoint", "checkpoint_sequential",
           "create_selective_checkpoint_contexts", "detach_variable", "get_device_states", "noop_context_fn", "set_checkpoint_debug_enabled",
           "set_checkpoint_early_stop", "set_device_states"]
