"""Hooks of modules: functions of the user that run around forward, around backward, and around checkpoints.

`Module` binds the functions that take `self` as its methods; the others register hooks for all modules.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from mytorch.autograd_engine import RemovableHandle
from mytorch.tensor import Tensor, _wrap

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mytorch.nn.module import Module

    Hook = Callable[..., Any]

__mytorch__ = True

any_global = False  # is there a hook for all modules? `Module.__call__` reads this flag, and one of the module; `_any_left` lowers both

_forward_pre: dict[int, Hook] = {}
_forward: dict[int, Hook] = {}
_forward_with_kwargs: dict[int, bool] = {}
_forward_always: dict[int, bool] = {}
_backward_pre: dict[int, Hook] = {}
_backward: dict[int, Hook] = {}
_registration: dict[str, dict[int, Hook]] = {"parameter": {}, "buffer": {}, "module": {}}
_backward_kind: str | None = None  # "full" or "legacy": hooks for all modules are of one kind


class _Handle(RemovableHandle):
    """A handle that also takes out what other tables say about the hook."""

    __slots__ = ("_notes",)

    def __init__(self, table: dict[int, Any], *notes: dict[int, Any]) -> None:
        super().__init__(table)
        self._notes = notes

    def remove(self) -> None:
        super().remove()
        for table in self._notes:
            table.pop(self.id, None)


def _add(table: dict[int, Any], hook: Any, prepend: bool = False,
         notes: tuple[tuple[dict[int, Any], bool], ...] = ()) -> RemovableHandle:
    """Put a hook into its table, and into the tables of `notes` whose flag is set."""
    handle = _Handle(table, *(note for note, _ in notes))
    others = dict(table) if prepend else {}
    if prepend:
        table.clear()
    table[handle.id] = hook
    table.update(others)
    for note, is_set in notes:
        if is_set:
            note[handle.id] = True
    return handle


def _add_own(module: Module, table: dict[int, Any], hook: Any, prepend: bool = False,
             notes: tuple[tuple[dict[int, Any], bool], ...] = ()) -> RemovableHandle:
    """Put a hook that runs around forward or backward into a table of the module."""
    handle = _add(table, hook, prepend, notes)
    module._hooked = True  # last: see `_any_left`
    return handle


# ---- registration on one module -----------------------------------------------------------------------------------------------


def register_forward_pre_hook(self: Module, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
    """Call `hook(module, args)`, or `hook(module, args, kwargs)`, before forward; what it returns replaces the arguments.

    Args:
        hook: returns None, the new args (or a single one), or with `with_kwargs` a pair (args, kwargs).
        prepend: run it before the hooks that are there.
        with_kwargs: also give it the keyword arguments.
    Returns:
        A handle whose `remove()` takes the hook out.
    """
    return _add_own(self, self._forward_pre_hooks, hook, prepend, ((self._forward_pre_hooks_with_kwargs, with_kwargs),))


def register_forward_hook(self: Module, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False,
                          always_call: bool = False) -> RemovableHandle:
    """Call `hook(module, args, output)`, or `hook(module, args, kwargs, output)`, after forward; it may return a new output.

    Args:
        hook: returns None or the new output.
        prepend: run it before the hooks that are there.
        with_kwargs: also give it the keyword arguments.
        always_call: call it also where forward raises (its own error is then a warning).
    Returns:
        A handle whose `remove()` takes the hook out.
    """
    notes = ((self._forward_hooks_with_kwargs, with_kwargs), (self._forward_hooks_always_called, always_call))
    return _add_own(self, self._forward_hooks, hook, prepend, notes)


def register_full_backward_pre_hook(self: Module, hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Call `hook(module, grad_output)` before the module's backward; what it returns replaces grad_output."""
    return _add_own(self, self._backward_pre_hooks, hook, prepend)


def register_full_backward_hook(self: Module, hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` after the module's backward; what it returns replaces grad_input.

    Both are tuples with one gradient per positional argument and per output; None for what is no Tensor or needs no gradient.

    Raises:
        RuntimeError: if the module has hooks of `register_backward_hook`.
    """
    _set_backward_kind(self, is_full=True)
    return _add_own(self, self._backward_hooks, hook, prepend)


def register_backward_hook(self: Module, hook: Hook) -> RemovableHandle:
    """The old kind of backward hook, which sees only the last operation of the module: prefer `register_full_backward_hook`."""
    _set_backward_kind(self, is_full=False)
    return _add_own(self, self._backward_hooks, hook)


def _set_backward_kind(module: Module, is_full: bool) -> None:
    if module._is_full_backward_hook not in (None, is_full):
        raise RuntimeError("Cannot use both regular backward hooks and full backward hooks on a single Module. "
                           "Please use only one of them.")
    module._is_full_backward_hook = is_full


def register_state_dict_pre_hook(self: Module, hook: Hook) -> RemovableHandle:
    """Call `hook(module, prefix, keep_vars)` before the module's state is collected."""
    return _add(self._state_dict_pre_hooks, hook)


def register_state_dict_post_hook(self: Module, hook: Hook) -> RemovableHandle:
    """Call `hook(module, state_dict, prefix, local_metadata)` after it; the hook changes the dict in place and returns None."""
    return _add(self._state_dict_hooks, (hook, True))


def _register_state_dict_hook(self: Module, hook: Hook) -> RemovableHandle:
    """As `register_state_dict_post_hook`, but what the hook returns replaces the dict."""
    if any(known is hook and public for known, public in self._state_dict_hooks.values()):
        raise RuntimeError("Cannot register the same function as the state dict post hook that was previously registered via "
                           "register_state_dict_post_hook")
    return _add(self._state_dict_hooks, (hook, False))


def register_load_state_dict_pre_hook(self: Module, hook: Hook) -> RemovableHandle:
    """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)` first."""
    return _register_load_state_dict_pre_hook(self, hook, with_module=True)


def _register_load_state_dict_pre_hook(self: Module, hook: Hook, with_module: bool = False) -> RemovableHandle:
    """As the public function; without `with_module`, the module is not among the hook's arguments."""
    return _add(self._load_state_dict_pre_hooks, (hook, with_module))


def register_load_state_dict_post_hook(self: Module, hook: Hook) -> RemovableHandle:
    """Call `hook(module, incompatible_keys)` after loading; the hook may change the lists of keys in place."""
    return _add(self._load_state_dict_post_hooks, hook)


# ---- registration for all modules ---------------------------------------------------------------------------------------------


def _add_global(table: dict[int, Any], hook: Any, notes: tuple[tuple[dict[int, Any], bool], ...] = ()) -> RemovableHandle:
    """Put a hook that runs around forward or backward into a table of all modules."""
    global any_global
    handle = _add(table, hook, False, notes)
    any_global = True  # last: see `_any_left`
    return handle


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module; what it returns replaces the arguments."""
    return _add_global(_forward_pre, hook)


def register_module_forward_hook(hook: Hook, *, with_kwargs: bool = False, always_call: bool = False) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module, before the module's own hooks."""
    return _add_global(_forward, hook, ((_forward_with_kwargs, with_kwargs), (_forward_always, always_call)))


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, grad_output)` before the backward of every module."""
    return _add_global(_backward_pre, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` after the backward of every module."""
    return _add_global_backward(hook, "full")


def register_module_backward_hook(hook: Hook) -> RemovableHandle:
    """The old kind of backward hook, for every module: prefer `register_module_full_backward_hook`."""
    return _add_global_backward(hook, "legacy")


def _add_global_backward(hook: Hook, kind: str) -> RemovableHandle:
    global _backward_kind
    if _backward_kind not in (None, kind):
        raise RuntimeError("Cannot use both regular backward hooks and full backward hooks as a global Module hook. "
                           "Please use only one of them.")
    _backward_kind = kind
    return _add_global(_backward, hook)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, name, param)` when a Parameter is registered; what it returns takes the Parameter's place."""
    return _add(_registration["parameter"], hook)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, name, buffer)` when a buffer is registered; what it returns takes the buffer's place."""
    return _add(_registration["buffer"], hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, name, submodule)` when a submodule is registered; what it returns takes the submodule's place."""
    return _add(_registration["module"], hook)


def on_registration(kind: str, module: Module, name: str, value: Any) -> Any:
    """The value to register under `name`, after the registration hooks of its kind have seen it."""
    for hook in list(_registration[kind].values()):
        replaced = hook(module, name, value)
        if replaced is not None:
            value = replaced
    return value


# ---- the call with hooks ------------------------------------------------------------------------------------------------------


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module.forward(*args, **kwargs)` with all hooks around it."""
    if not _any_left(module):
        return module.forward(*args, **kwargs)
    called: set[int] = set()
    try:
        args, kwargs = _before_forward(module, args, kwargs)
        boundary = _boundary(module)
        if boundary is not None:
            args = boundary.on_inputs(args)
        result = module.forward(*args, **kwargs)
        for number, hook in (*_forward.items(), *module._forward_hooks.items()):
            called.add(number)
            replaced = _call_forward_hook(module, number, hook, args, kwargs, result)
            if replaced is not None:
                result = replaced
        if boundary is not None:
            result = boundary.on_outputs(result)
        _watch_last_node(module, result)
        return result
    except Exception:
        _call_remaining(module, args, kwargs, called)
        raise


def _any_left(module: Module) -> bool:
    """Whether a hook is there to be called. A flag is lowered where all its hooks have been removed, so that nobody need ask again.

    Another thread may add one meanwhile: it raises the flag after that, and here the tables are looked at again after it is lowered.
    """
    global any_global
    if any_global and not _global_hooks():
        any_global = False
        if _global_hooks():
            any_global = True
    if module._hooked and not _own_hooks(module):
        module._hooked = False
        if _own_hooks(module):
            module._hooked = True
    return module._hooked or any_global


def _global_hooks() -> bool:
    return bool(_forward_pre or _forward or _backward_pre or _backward)


def _own_hooks(module: Module) -> bool:
    return bool(module._forward_pre_hooks or module._forward_hooks or module._backward_pre_hooks or module._backward_hooks)


def _before_forward(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for number, hook in (*_forward_pre.items(), *module._forward_pre_hooks.items()):
        if number in module._forward_pre_hooks_with_kwargs:
            result = hook(module, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError("forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                                       f"but got {result}.")
                args, kwargs = result
        else:
            result = hook(module, args)
            if result is not None:
                args = result if isinstance(result, tuple) else (result,)
    return args, kwargs


def _call_forward_hook(module: Module, number: int, hook: Hook, args: Any, kwargs: Any, result: Any) -> Any:
    if number in _forward_with_kwargs or number in module._forward_hooks_with_kwargs:
        return hook(module, args, kwargs, result)
    return hook(module, args, result)


def _call_remaining(module: Module, args: Any, kwargs: Any, called: set[int]) -> None:
    """Forward raised: run the hooks with always_call that have not run, on the output None."""
    for number, hook in (*_forward.items(), *module._forward_hooks.items()):
        kind = "global module" if number in _forward_always else "module"
        if number in called or not (number in _forward_always or number in module._forward_hooks_always_called):
            continue
        try:
            _call_forward_hook(module, number, hook, args, kwargs, None)
        except Exception as error:
            import warnings
            warnings.warn(f"{kind} forward hook with ``always_call=True`` raised an exception that was silenced as another error "
                          f"was raised in forward: {error}", stacklevel=2)


# ---- backward hooks -----------------------------------------------------------------------------------------------------------


def _boundary(module: Module) -> _Boundary | None:
    """The boundary nodes of this call, if a full backward hook wants any."""
    before = [*_backward_pre.values(), *module._backward_pre_hooks.values()]
    after = list(_backward.values()) if _backward_kind == "full" else []
    if module._is_full_backward_hook:
        after += module._backward_hooks.values()
    return _Boundary(module, after, before) if before or after else None


class _Boundary:
    """Two identity nodes, behind a module's inputs and before its outputs: what crosses them are the hooks' arguments."""

    def __init__(self, module: Module, hooks: list[Hook], pre_hooks: list[Hook]) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.has_input_node = False
        self.input_count = 0
        self.input_places: list[int] = []
        self.input_kinds: list[tuple[Any, Any]] = []
        self.grad_outputs: tuple[Any, ...] | None = None

    def on_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.input_count = len(args)
        args, node, self.input_places = _pass_through(args)
        if node is not None:
            self.has_input_node = True
            self.input_kinds = [(args[i]._array.shape, args[i]._array.dtype) for i in self.input_places]
            node.register_hook(self._after_inputs)
        return args

    def on_outputs(self, result: Any) -> Any:
        if not isinstance(result, (Tensor, tuple)):
            if self.hooks:
                import warnings
                warnings.warn("For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                              f"but received {type(result)}", stacklevel=3)
            return result
        outputs = (result,) if isinstance(result, Tensor) else result
        outputs, node, places = _pass_through(outputs)
        if node is not None:
            count = len(outputs)
            node.register_prehook(lambda grads: self._before_outputs(_spread(grads, places, count), places))
        return outputs[0] if isinstance(result, Tensor) else outputs

    def _before_outputs(self, grad_outputs: tuple[Any, ...], places: list[int]) -> tuple[Any, ...]:
        for hook in self.pre_hooks:
            replaced = hook(self.module, grad_outputs)
            if replaced is not None:
                grad_outputs = _checked(replaced, grad_outputs, "pre hook", "grad_output")
        self.grad_outputs = grad_outputs
        if self.hooks and not self.has_input_node:  # no gradient will come out: the hooks have seen all there is to see
            import warnings
            warnings.warn("Full backward hook is firing when gradients are computed with respect to module outputs since no "
                          "inputs require gradients. See https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html"
                          "#torch.nn.Module.register_full_backward_hook for more details.", stacklevel=2)
            for hook in self.hooks:
                result = hook(self.module, (None,) * self.input_count, grad_outputs)
                if result is not None and not (isinstance(result, tuple) and all(r is None for r in result)):
                    raise RuntimeError("Backward hook for Modules where no input requires gradient should always return None "
                                       "or None for all gradients.")
            self.grad_outputs = None
        return tuple(grad_outputs[i] for i in places)

    def _after_inputs(self, grads: tuple[Any, ...], _: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_outputs is None:
            return grads  # the gradient came from elsewhere, not through the module's outputs
        filled = tuple(_wrap(np.zeros(*kind)) if g is None else g for g, kind in zip(grads, self.input_kinds))
        grad_inputs = _spread(filled, self.input_places, self.input_count)
        for hook in self.hooks:
            replaced = hook(self.module, grad_inputs, self.grad_outputs)
            if replaced is not None:
                grad_inputs = _checked(replaced, grad_inputs, "hook", "grad_input")
        self.grad_outputs = None
        return tuple(grad_inputs[i] for i in self.input_places)


@functools.cache
def _identity() -> Any:
    """The identity as a Function of any number of Tensors; made when first needed, as few programs do."""
    from mytorch.autograd.function import Function

    class BackwardHookFunction(Function):
        """The identity: its node is where module hooks wait."""

        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
            return tensors

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads

    return BackwardHookFunction


def _pass_through(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, list[int]]:
    """The values with the Tensors among them led through one identity node, that node, and the places of these Tensors."""
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    if not any(values[i].requires_grad for i in places):
        return values, None, places
    passed = _identity().apply(*(values[i] for i in places))
    result = list(values)
    for i, tensor in zip(places, passed):
        result[i] = tensor
    node = next((t.grad_fn for t in passed if t.grad_fn is not None), None)
    return tuple(result), node, places


def _spread(grads: tuple[Any, ...], places: list[int], count: int) -> tuple[Any, ...]:
    found = [None] * count
    for i, g in zip(places, grads):
        found[i] = g
    return tuple(found)


def _checked(replaced: Any, given: tuple[Any, ...], kind: str, what: str) -> tuple[Any, ...]:
    if len(replaced) != len(given):
        raise RuntimeError(f"Backward {kind} returned an invalid number of {what}, got {len(replaced)}, but expected {len(given)}")
    if isinstance(replaced, Tensor):
        raise RuntimeError(f"hook 'hook' has changed the size of value: return a tuple, of one gradient for each {what}")
    return tuple(replaced)


def _watch_last_node(module: Module, result: Any) -> None:
    """Legacy backward hooks: they wait at the node of the first Tensor of the output."""
    hooks = list(_backward.values()) if _backward_kind == "legacy" else []
    if module._is_full_backward_hook is False:
        hooks += module._backward_hooks.values()
    if not hooks:
        return
    while not isinstance(result, Tensor):
        result = next(iter(result.values())) if isinstance(result, dict) else result[0]
    if result.grad_fn is not None:
        for hook in hooks:
            result.grad_fn.register_hook(lambda grad_inputs, grad_outputs, hook=hook: hook(module, grad_inputs, grad_outputs))
