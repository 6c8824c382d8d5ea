"""Optimizer: parameter groups, the state of each parameter, checkpoints and hooks. A subclass writes only its update."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from mytorch import dtypes
from mytorch.autograd_engine import RemovableHandle, enable_grad
from mytorch.inplace import bump
from mytorch.tensor import Tensor, _wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Array = np.ndarray[Any, Any]
    Group = dict[str, Any]

__mytorch__ = True

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]


class _Required:
    """The default of an option that has none: see `required`."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()

_FLOAT32 = np.dtype(np.float32)
_global_pre_hooks: dict[int, Callable[..., Any]] = {}
_global_post_hooks: dict[int, Callable[..., Any]] = {}
_NO_HOOKS: dict[int, Callable[..., Any]] = {}


def _add_hook(table: dict[int, Any], hook: Any, prepend: bool = False) -> RemovableHandle:
    handle = RemovableHandle(table)
    others = dict(table) if prepend else {}
    if prepend:
        table.clear()
    table[handle.id] = hook
    table.update(others)
    return handle


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before the step of every optimizer."""
    return _add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after the step of every optimizer."""
    return _add_hook(_global_post_hooks, hook)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step`, with the hooks of the optimizer and those of all optimizers around it."""

    @functools.wraps(step)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        self = args[0]
        own = self.__dict__.get("_optimizer_step_pre_hooks", _NO_HOOKS)  # a subclass around another optimizer may never have called __init__
        if own or _global_pre_hooks:
            for hook in (*_global_pre_hooks.values(), *own.values()):
                result = hook(self, args, kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}.")
                    args, kwargs = result
        loss = step(*args, **kwargs)
        own = self.__dict__.get("_optimizer_step_post_hooks", _NO_HOOKS)
        if own or _global_post_hooks:
            for hook in (*own.values(), *_global_post_hooks.values()):
                hook(self, args, kwargs)
        return loss

    hooked.hooked = True  # type: ignore[attr-defined]
    return hooked


def as_number(value: Any) -> Any:
    """An option that may be given as a one-element Tensor (lr, betas), as a Python number."""
    return value.item() if isinstance(value, Tensor) else value


class Optimizer:
    """Base of all optimizers.

    A subclass gives its options as `defaults` and defines `_update(param, grad, state, group)`, which changes the array `param`
    in place. `state` is the parameter's dict of arrays (name to array); what the update adds to it is kept, as Tensors, in
    `self.state[parameter]`. A subclass may override `step` instead, as in torch.

    Args:
        params: Parameters, or (name, Parameter) pairs, or dicts with the key "params" that may override any option.
        defaults: the value of each option where a group does not set its own.
    Raises:
        TypeError: if `params` is a Tensor, or holds anything but Tensors.
        ValueError: if it is empty, or a Tensor is not a leaf, or is in two groups.
        NotImplementedError: for differentiable=True. foreach, fused and capturable change no number and are accepted.
    """

    _counters: tuple[str, ...] = ("step",)  # the state that has no number per weight, and so no dtype of the parameter

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        _check_implementation(defaults)
        self.defaults = defaults
        self._make_hook_tables()
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, "
                            f"but got {params.type()}")
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[Group] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.step)  # type: ignore[method-assign]

    # ---- the step -----------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: recomputes the loss and its gradients; called first, with a graph recorded.
        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                grad = p._grad
                if grad is not None:
                    self._step_parameter(p, grad._array, group)
        return loss

    step = _with_hooks(step)

    def _step_parameter(self, p: Tensor, grad: Array, group: Group) -> None:
        param = p._array
        kind = param.dtype
        tensors = self.state.get(p) if self.state else None
        state = {name: tensor._array for name, tensor in tensors.items() if tensor is not None} if tensors else {}
        known = len(state)
        if kind is _FLOAT32 or (kind.kind == "f" and kind.itemsize > 2):
            self._update(param, grad, state, group)
        else:
            self._update_wide(param, grad, state, group)
        if len(state) != known:
            tensors = self.state[p]
            for name, array in state.items():
                if tensors.get(name) is None:
                    tensors[name] = _wrap(array)
        bump(p)

    def _update_wide(self, param: Array, grad: Array, state: dict[str, Array], group: Group) -> None:
        """The update of a parameter whose numbers NumPy would round badly: 16 bits in float32, complex as pairs of reals."""
        stored = {"": param, **{name: array for name, array in state.items() if name not in self._counters}}
        wide = {name: _widen(array) for name, array in stored.items()}
        wide_state = {**state, **wide}
        del wide_state[""]
        self._update(wide[""], _widen(grad), wide_state, group)
        for name, array in wide_state.items():
            if name not in state:
                state[name] = array if name in self._counters else np.empty_like(param)
            if name not in self._counters:
                _narrow(array, state[name])
        _narrow(wide[""], param)

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: Group) -> None:
        """Change `param` in place: the lines of the paper."""
        raise NotImplementedError(f"{type(self).__name__} defines neither _update nor step")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero where `set_to_none` is False."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                else:
                    clear_grad(p)

    # ---- groups -------------------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Add a group: a dict with the key "params" and options that differ from the defaults.

        Raises:
            TypeError, ValueError: as for the constructor, or if an option without a default is missing.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of tensors in "
                            "sets will change between runs. Please use a list instead.")
        params = list(params)
        names = None
        if any(isinstance(p, tuple) for p in params):
            if not all(isinstance(p, tuple) for p in params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            names = [p[0] for p in params]
            params = [p[1] for p in params]
        self._check_params(params, names)
        param_group["params"] = params
        if names is not None:
            param_group["param_names"] = names
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            import warnings
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                          "see github.com/pytorch/pytorch/issues/40967 for more information", stacklevel=3)
        taken = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in taken for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def _check_params(self, params: list[Any], names: list[str] | None) -> None:
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        if self.param_groups and ("param_names" in self.param_groups[0]) != (names is not None):
            given = "without" if names is None else "with"
            raise ValueError("all optimizer param groups should be with/without names. "
                             f"cannot add param group {given} names to the optimizer")

    # ---- checkpoints --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later: {"state": {number: tensors}, "param_groups": [options and parameter numbers]}.

        Parameters are numbered in the order of the groups. The tensors are those of the optimizer, not copies.
        """
        for pre_hook in list(self._optimizer_state_dict_pre_hooks.values()):
            pre_hook(self)
        numbers: dict[int, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
        groups = [{**{k: v for k, v in group.items() if k != "params"}, "params": [numbers[id(p)] for p in group["params"]]}
                  for group in self.param_groups]
        state = {numbers[id(p)] if isinstance(p, Tensor) else p: value for p, value in self.state.items()}
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            replaced = hook(self, result)
            if replaced is not None:
                result = replaced
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned; the tensors are copied, in each parameter's dtype.

        Raises:
            ValueError: if the groups differ in number or in size from those of this optimizer.
        """
        state_dict = state_dict.copy()
        for pre_hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            replaced = pre_hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced
        groups = [dict(group) for group in state_dict["param_groups"]]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(new["params"]) != len(old["params"]) for new, old in zip(groups, self.param_groups)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        parameter_of: dict[Any, Any] = {}
        for new, old in zip(groups, self.param_groups):
            parameter_of.update(zip(new["params"], old["params"]))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for number, value in state_dict["state"].items():
            p = parameter_of.get(number)
            if p is None:
                state[number] = value
            else:
                state[p] = {name: self._load_value(name, v, p) for name, v in value.items()}
        for new, old in zip(groups, self.param_groups):
            new["params"] = old["params"]
            if "param_names" in old:
                new.setdefault("param_names", old["param_names"])
        self.__setstate__({"state": state, "param_groups": _copied_options(groups)})
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    def _load_value(self, name: str, value: Any, p: Tensor) -> Any:
        if name == "step":  # kept as it was: the dtype of the parameter may be too small for the count
            return value.clone() if isinstance(value, Tensor) else new_step(value)
        if isinstance(value, Tensor):
            if name in self._counters and p.itemsize <= 2:  # products and rates that 16 bits would spoil
                return value.to(dtypes.float32, copy=True)
            return value.to(p.dtype, copy=True) if p.is_floating_point() else value.clone()
        if isinstance(value, dict):
            return {k: self._load_value(k, v, p) for k, v in value.items()}
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hook_tables()
        for group in self.param_groups:
            for name, default in self.defaults.items():  # an option that is younger than the checkpoint
                group.setdefault(name, default)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [*([""] if i else []), f"Parameter Group {i}"]
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])

    # ---- hooks --------------------------------------------------------------------------------------------------------------

    def _make_hook_tables(self) -> None:
        self._optimizer_step_pre_hooks: dict[int, Any] = {}
        self._optimizer_step_post_hooks: dict[int, Any] = {}
        self._optimizer_state_dict_pre_hooks: dict[int, Any] = {}
        self._optimizer_state_dict_post_hooks: dict[int, Any] = {}
        self._optimizer_load_state_dict_pre_hooks: dict[int, Any] = {}
        self._optimizer_load_state_dict_post_hooks: dict[int, Any] = {}

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return (new_args, new_kwargs)."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict` collects."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` on the result of `state_dict`; it may return another."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading, on a shallow copy; it may return another."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def clear_grad(p: Tensor) -> None:
    """Set a parameter's gradient to zero, cut off from the graph that made it."""
    if p.grad is not None:
        p.grad = p.grad.detach()
        p.grad.zero_()


def _check_implementation(options: dict[str, Any]) -> None:
    if options.get("fused"):
        if options.get("differentiable"):
            raise RuntimeError("`fused` does not support `differentiable`")
        if options.get("foreach"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if options.get("differentiable"):
        raise NotImplementedError("optimizers do not support differentiable=True: updates are computed in place on arrays, "
                                  "outside the graph")


def check_options(options: dict[str, Any]) -> None:
    """Refuse negative options, with torch's texts: lr, eps, weight_decay, momentum and other values that must not be negative.

    Raises:
        ValueError: naming the option and its value.
    """
    names = {"lr": "learning rate", "eps": "epsilon value"}
    for name, value in options.items():
        if name == "lr" and isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not value >= 0.0:
            raise ValueError(f"Invalid {names.get(name, f'{name} value')}: {value}")


def check_betas(betas: Any) -> None:
    """Refuse decay rates outside [0, 1), with torch's text."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def _widen(array: Array) -> Array:
    if array.dtype == dtypes.BFLOAT16_NP:
        return dtypes.bfloat16_to_float32(array)
    if array.dtype.kind == "c":
        return np.array(array, order="C", ndmin=1).view(array.real.dtype)
    return array.astype(np.float32)


def _narrow(wide: Array, array: Array) -> None:
    if array.dtype.kind == "c":
        wide = wide.view(array.dtype).reshape(array.shape)
    np.copyto(array, dtypes.cast(wide, array.dtype))


def _copied_options(groups: list[Group]) -> list[Group]:
    from copy import deepcopy

    return [{k: v if k == "params" else deepcopy(v) for k, v in group.items()} for group in groups]


def new_step(count: float = 0.0) -> Tensor:
    """A step counter as torch keeps it: a 0-d float32 Tensor (float64 if that is the default dtype)."""
    return _wrap(step_array(count))


def count_step(state: dict[str, Array]) -> float:
    """Count a step in state["step"], and return its number, from 1. (NumPy's `+= 1` takes longer than a step of a small weight.)"""
    array = state["step"]
    number: float = array.item() + 1
    array[()] = number
    return number


def step_array(count: float = 0.0) -> Array:
    """The array of `new_step`."""
    return np.array(count, np.float64 if dtypes.get_default_dtype() is dtypes.float64 else np.float32)
