"""Module: parameters, buffers and submodules under names, and what a network does with all of them at once.

Hooks are in `module_hooks.py`, checkpoints in `module_state.py`, conversion in `module_convert.py`; the functions there are
bound here as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn import module_convert, module_hooks, module_state
from mytorch.nn.module_hooks import (
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from mytorch.nn.parameter import Buffer, Parameter, type_name
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self

__mytorch__ = True

__all__ = [
    "Module", "register_module_forward_pre_hook", "register_module_forward_hook", "register_module_full_backward_pre_hook",
    "register_module_backward_hook", "register_module_full_backward_hook", "register_module_buffer_registration_hook",
    "register_module_module_registration_hook", "register_module_parameter_registration_hook",
]

_IncompatibleKeys = module_state._IncompatibleKeys  # torch's place


def _addindent(text: str, spaces: int) -> str:
    """The text with all lines but the first moved to the right: what a printed module does to its parts."""
    return text.replace("\n", "\n" + " " * spaces)


_MEMBER_TABLES = ("_parameters", "_buffers", "_modules")


def _fresh_state() -> dict[str, Any]:
    """What every module's `__dict__` holds from the start; the names are torch's."""
    return {
        "training": True,
        "_parameters": {},
        "_buffers": {},
        "_non_persistent_buffers_set": set(),
        "_backward_pre_hooks": {},
        "_backward_hooks": {},
        "_is_full_backward_hook": None,
        "_forward_hooks": {},
        "_forward_hooks_with_kwargs": {},
        "_forward_hooks_always_called": {},
        "_forward_pre_hooks": {},
        "_forward_pre_hooks_with_kwargs": {},
        "_state_dict_hooks": {},
        "_state_dict_pre_hooks": {},
        "_load_state_dict_pre_hooks": {},
        "_load_state_dict_post_hooks": {},
        "_modules": {},
    }


class Module:
    """Base of all layers and networks.

    A subclass calls `super().__init__()`, assigns Parameters, buffers and Modules to attributes, and defines `forward`. Call the
    module itself, never its `forward`: calling runs the hooks.

    Raises:
        AttributeError: if a Parameter or Module is assigned before `super().__init__()`.
        TypeError: if something else is assigned to the name of a Parameter, buffer or Module.
    """

    dump_patches = False
    call_super_init = False  # for multiple inheritance: pass the constructor's arguments on to the next class
    _version = 1
    _hooked = False  # True on an instance that has hooks: `__call__` reads one flag
    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            if kwargs:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        self.__dict__.update(_fresh_state())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input: Any) -> Any:  # noqa: A002 - torch's name
        """What the module computes; every subclass defines it.

        Raises:
            NotImplementedError: here.
        """
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked or module_hooks.any_global:
            return module_hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs) if kwargs else self.forward(*args)

    _call_impl = __call__

    # ---- attributes -----------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if "_modules" in own:  # else Module.__init__() has not run; what follows is read often, and written without a loop
            if name in own["_parameters"]:
                return own["_parameters"][name]
            if name in own["_modules"]:
                return own["_modules"][name]
            if name in own["_buffers"]:
                return own["_buffers"][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        table = None
        for candidate in _MEMBER_TABLES:
            if name in state.get(candidate, ()):
                table = candidate
        if table is None and not isinstance(value, (Tensor, Module)):
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            if "_parameters" not in state:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name)
            self.register_parameter(name, value)
        elif table == "_parameters":
            if value is not None:
                raise TypeError(f"cannot assign '{type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)")
            self.register_parameter(name, None)
        elif isinstance(value, Module) or table == "_modules":
            self._set_module(name, value)
        elif isinstance(value, Buffer) or table == "_buffers":
            self._set_buffer(name, value)
        else:
            object.__setattr__(self, name, value)

    def _set_module(self, name: str, value: Any) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError("cannot assign module before Module.__init__() call")
        if not isinstance(value, Module) and value is not None:
            raise TypeError(f"cannot assign '{type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)")
        if name not in self._modules:
            self._forget(name)
        self._modules[name] = module_hooks.on_registration("module", self, name, value)

    def _set_buffer(self, name: str, value: Any) -> None:
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        if not isinstance(value, Tensor) and value is not None:
            raise TypeError(f"cannot assign '{type_name(value)}' as buffer '{name}' "
                            "(torch.nn.Buffer, torch.Tensor or None expected)")
        if name in self._buffers and not isinstance(value, Buffer):  # a plain tensor stays as persistent as the one before
            self._buffers[name] = module_hooks.on_registration("buffer", self, name, value)
        else:
            if name not in self._buffers:
                self._forget(name)
            self.register_buffer(name, value, getattr(value, "persistent", True))

    def _forget(self, name: str) -> None:
        """Remove whatever goes by this name, so that it can become something else."""
        self.__dict__.pop(name, None)
        for table in _MEMBER_TABLES:
            self.__dict__[table].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name: str) -> None:
        for table in _MEMBER_TABLES:
            if name in self.__dict__.get(table, ()):
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(_fresh_state())  # a pickle may be older than some of the tables
        self.__dict__.update(state)

    # ---- registration ---------------------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a Parameter under a name; None keeps the name free, and out of state_dict.

        Raises:
            TypeError: if the name is no string or `param` no Parameter.
            KeyError: if the name is empty, holds a dot or is an attribute already.
            ValueError: if `param` was computed.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(f"cannot assign '{type_name(param)}' object to parameter '{name}' "
                                "(torch.nn.Parameter or None required)")
            if param.grad_fn is not None:
                raise ValueError(f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                                 f"explicitly. To express '{name}' as a function of another Tensor, compute the value in the "
                                 "forward() method.")
            param = module_hooks.on_registration("parameter", self, name, param)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module but is no Parameter; it moves and is saved with the module.

        Args:
            name: attribute name.
            tensor: the buffer; None keeps the name free.
            persistent: whether state_dict holds it.
        Raises:
            TypeError, KeyError: as for `register_parameter`.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)")
        self._buffers[name] = module_hooks.on_registration("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name.

        Raises:
            TypeError, KeyError: as for `register_parameter`.
        """
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = module_hooks.on_registration("module", self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    def _check_name(self, kind: str, name: Any, table: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type_name(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in table and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    # ---- looking up by dotted names -------------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name such as "encoder.0"; "" is this module.

        Raises:
            AttributeError: if there is none.
        """
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted name; its parent must exist, and with `strict` a module at that name too.

        Raises:
            ValueError: for an empty name or something else than a Module.
            AttributeError: if the parent, or with `strict` the module, does not exist.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        parent_name, _, name = target.rpartition(".")
        parent = self.get_submodule(parent_name)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The Parameter of a dotted name such as "encoder.0.weight"; AttributeError if there is none."""
        found = self._get_member(target)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{target.rpartition('.')[2]}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name such as "norm.running_mean"; AttributeError if there is none."""
        found: Tensor = self._get_member(target)
        path, _, name = target.rpartition(".")
        if name not in self.get_submodule(path)._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return found

    def _get_member(self, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        return getattr(module, name)

    # ---- iterating ------------------------------------------------------------------------------------------------------------

    def named_modules(self, memo: set[Module] | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) for this module and all below it, parents first.

        Args:
            memo: modules that were seen already.
            prefix: put before every name.
            remove_duplicate: a module under two names is given once.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, parents first."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct submodules, each module once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(self, get_members_fn: Callable[[Module], Any], prefix: str = "", recurse: bool = True,
                       remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        seen = set()
        for path, module in self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]:
            for name, member in get_members_fn(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield f"{path}.{name}" if path else name, member

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, Parameter) of this module and, with `recurse`, of all below it; a shared Parameter once."""
        return self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The Parameters of this module and, with `recurse`, of all below it, each once."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer) of this module and, with `recurse`, of all below it; a shared buffer once."""
        return self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, with `recurse`, of all below it, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # ---- doing something with all of it ---------------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module, children first; often an initializer."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode (dropout drops, batch norm takes the batch's statistics) here and below.

        Raises:
            ValueError: if `mode` is no bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let all Parameters record gradients, or freeze them."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all Parameters, or set them to zero where `set_to_none` is False."""
        for param in self.parameters():
            if param.grad is None:
                continue
            if set_to_none:
                param.grad = None
            else:
                param.grad = param.grad.detach()
                param.grad.zero_()

    def share_memory(self) -> Self:
        """Move all Parameters and buffers to memory that processes share."""
        from mytorch.multiprocessing.reductions import share
        share(*self.parameters(), *self.buffers())  # their aliases are looked for once
        return self._apply(lambda t: t.share_memory_())

    # ---- conversion: module_convert.py ----------------------------------------------------------------------------------------

    _apply = module_convert._apply
    to = module_convert.to
    to_empty = module_convert.to_empty
    type = module_convert.to_type
    float = module_convert.to_float
    double = module_convert.to_double
    half = module_convert.to_half
    bfloat16 = module_convert.to_bfloat16
    cpu = module_convert.to_cpu
    cuda = module_convert.to_cuda
    xpu = module_convert.to_xpu
    ipu = module_convert.to_ipu
    mtia = module_convert.to_mtia
    compile = module_convert.compile_module

    # ---- printing -------------------------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What the printed module shows between its parentheses; subclasses override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if not self._modules and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        lines += [f"({name}): " + _addindent(repr(module), 2) for name, module in self._modules.items()]
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"

    # ---- hooks: module_hooks.py -----------------------------------------------------------------------------------------------

    register_forward_pre_hook = module_hooks.register_forward_pre_hook
    register_forward_hook = module_hooks.register_forward_hook
    register_full_backward_pre_hook = module_hooks.register_full_backward_pre_hook
    register_full_backward_hook = module_hooks.register_full_backward_hook
    register_backward_hook = module_hooks.register_backward_hook
    register_state_dict_pre_hook = module_hooks.register_state_dict_pre_hook
    register_state_dict_post_hook = module_hooks.register_state_dict_post_hook
    register_load_state_dict_pre_hook = module_hooks.register_load_state_dict_pre_hook
    register_load_state_dict_post_hook = module_hooks.register_load_state_dict_post_hook
    _register_state_dict_hook = module_hooks._register_state_dict_hook
    _register_load_state_dict_pre_hook = module_hooks._register_load_state_dict_pre_hook

    # ---- checkpoints: module_state.py -----------------------------------------------------------------------------------------

    T_destination = module_state.T_destination
    get_extra_state = module_state.get_extra_state
    set_extra_state = module_state.set_extra_state
    state_dict = module_state.state_dict
    load_state_dict = module_state.load_state_dict
    _save_to_state_dict = module_state._save_to_state_dict
    _load_from_state_dict = module_state._load_from_state_dict
