"""Parametrizations: a parameter that is computed from others each time it is read, such as a matrix kept symmetric.

`register_parametrization(layer, "weight", Symmetric())` moves the weight to `layer.parametrizations.weight.original` and makes
`layer.weight` a property that gives `Symmetric()(original)`. The layer's class becomes a subclass of its own, which holds the property.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mytorch.grad_mode import no_grad
from mytorch.nn.container import ModuleDict, ModuleList
from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__mytorch__ = True

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]

_caches_open = 0
_cache: dict[tuple[int, str], Any] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Within it, each parametrized tensor is computed once, at its first use; what was computed is forgotten at the end."""
    global _caches_open
    _caches_open += 1
    try:
        yield
    finally:
        _caches_open -= 1
        if not _caches_open:
            _cache.clear()


def _register(module: Module, name: str, value: Any) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _replace(tensor: Any, value: Tensor) -> None:
    """Let a tensor, which optimizers may know, hold other values, of any shape."""
    tensor.data = value.detach().clone() if value is tensor else value.detach()


def _inverse(module: Any, value: Any) -> Any:
    """The right inverse of one parametrization, and whether it has one; a tensor or a tuple of them."""
    if not hasattr(module, "right_inverse"):
        return value
    try:
        return module.right_inverse(value)
    except NotImplementedError:
        return value


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in order, and what they compute it from: `original`, or `original0`, `original1`, ...

    Args:
        modules: at least one; each maps a tensor to a tensor (the first may take several). With a method `right_inverse`, the
            tensor can be assigned to, and starts out with its value.
        original: the Parameter or buffer that becomes parametrized.
        unsafe: leave the checks of shape and dtype out.
    Raises:
        ValueError: if the shape or dtype would change, or a right_inverse gives no tensor.
    """

    original: Any
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            start: Any = original
            for module in reversed(modules):
                start = _inverse(module, start)
        if not isinstance(start, (Tensor, Sequence)):
            raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                             f"Got {type(start).__name__}")
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if self.is_tensor else len(start)
        if isinstance(start, Tensor):
            self._start_with_one(original, start)
        else:
            self._start_with_several(original, start)
        if not unsafe:
            result: Any = self()
            if not isinstance(result, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
            for kind, before, after in (("dtype", dtype, result.dtype), ("shape", shape, result.shape)):
                if before != after:
                    raise ValueError(f"Registering a parametrization may not change the {kind} of the tensor, unless `unsafe` flag is "
                                     f"enabled.\nunparametrized {kind}: {before}\nparametrized {kind}: {after}")

    def _start_with_one(self, original: Tensor, start: Tensor) -> None:
        if original.dtype != start.dtype:
            raise ValueError("When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                             f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {start.dtype}")
        with no_grad():  # the same object, so that an optimizer made before goes on training it
            _replace(original, start)
        _register(self, "original", original)

    def _start_with_several(self, original: Tensor, start: Sequence[Any]) -> None:
        for i, part in enumerate(start):
            if not isinstance(part, Tensor):
                raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                                 f"Got element {i} of the sequence with type {type(part).__name__}.")
            made = Parameter(part, original.requires_grad) if isinstance(original, Parameter) else part
            _register(self, f"original{i}", made)

    def right_inverse(self, value: Tensor) -> None:
        """Set what the tensor is computed from, so that it becomes `value`.

        Raises:
            RuntimeError: if a parametrization has no right_inverse. ValueError: if it gives something of another kind or dtype.
        """
        with no_grad():
            start: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                start = module.right_inverse(start)
            if self.is_tensor:
                self._assign(self.original, start, "original", "`right_inverse` should return a tensor")
            else:
                if not isinstance(start, Sequence):
                    raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(start).__name__}.")
                if len(start) != self.ntensors:
                    raise ValueError(f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. "
                                     f"Got a sequence of length {len(start)}.")
                for i, part in enumerate(start):
                    self._assign(getattr(self, f"original{i}"), part, f"original{i}",
                                 f"`right_inverse` must return a sequence of tensors. Element {i}:")

    def _assign(self, own: Tensor, value: Any, name: str, complaint: str) -> None:
        if not isinstance(value, Tensor):
            raise ValueError(f"{complaint}. Got {type(value).__name__}")
        if own.dtype != value.dtype:
            raise ValueError(f"The tensor `{name}` has dtype {own.dtype}, while `right_inverse` gives {value.dtype}")
        _replace(own, value)

    def forward(self) -> Any:
        if self.is_tensor:
            value = self[0](self.original)
        else:
            value = self[0](*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        for module in list(self)[1:]:
            value = module(value)
        return value


# ---- a module's own class -----------------------------------------------------------------------------------------------------


def _refuse_pickling(self: Any) -> Any:
    raise RuntimeError("Serialization of parametrized modules is only supported through state_dict(): save that, and load it into a "
                       "module that was parametrized in the same way")


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    """A copy of the same class; the usual way would pickle."""
    if id(self) in memo:
        return memo[id(self)]
    replica = object.__new__(type(self))
    memo[id(self)] = replica
    replica.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return replica


def _give_own_class(module: Module) -> None:
    """Make a subclass for this module alone, to hold properties."""
    cls: Any = type(module)
    members: dict[str, Any] = {"__getstate__": _refuse_pickling, "__module__": __name__}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = _deepcopy
    object.__setattr__(module, "__class__", type(f"Parametrized{cls.__name__}", (cls,), members))


def _give_property(module: Module, name: str) -> None:
    """Reading the tensor computes it; assigning to it inverts."""

    def read(self: Any) -> Any:
        computed = self.parametrizations[name]
        if not _caches_open:
            return computed()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = computed()
        return _cache[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


# ---- registering and removing -------------------------------------------------------------------------------------------------


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Compute a parameter or buffer of a module by a parametrization from now on, and return the module.

    A tensor may have several: the last registered is applied last.

    Args:
        tensor_name: the Parameter or buffer.
        parametrization: a Module whose forward maps a tensor to one of the same shape and dtype. Its `right_inverse`, if it has one,
            gives what to start from (a tensor or a sequence of them), and allows assigning to the tensor.
        unsafe: allow changes of shape and dtype, and leave the checks out.
    Raises:
        ValueError: if there is no such tensor, or the parametrization changes shape or dtype.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_another(module, tensor_name, parametrization)
        chain: Any = module.parametrizations[tensor_name]
        chain.append(parametrization)
        chain.unsafe |= unsafe
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'")
    chain = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _give_own_class(module)
        module.parametrizations = ModuleDict()
    _give_property(module, tensor_name)
    module.parametrizations[tensor_name] = chain
    return module


def _check_another(module: Module, name: str, parametrization: Any) -> None:
    """Does a further parametrization keep shape and dtype, both ways?"""
    before = getattr(module, name)
    after = parametrization(before)
    if not isinstance(after, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(after).__name__}.")
    way = f"module.{name}"
    for kind, old, new in (("dtype", before.dtype, after.dtype), ("shape", before.shape, after.shape)):
        if old != new:
            raise ValueError(f"Registering a parametrization may not change the {kind} of the tensor, unless the `unsafe` flag is "
                             f"enabled.\n{way}.{kind}: {old}\nparametrization({way}).{kind}: {new}")
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        inverse = parametrization.right_inverse(after)
    except NotImplementedError:
        return
    if not isinstance(inverse, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(inverse).__name__}")
    for kind, old, new in (("shape", before.shape, inverse.shape), ("dtype", before.dtype, inverse.dtype)):
        if old != new:
            raise ValueError(f"The tensor returned by parametrization.right_inverse must have the same {kind} as {way}, unless the "
                             f"`unsafe` flag is enabled.\n{way}.{kind}: {old}\nreturned {kind}: {new}")


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Has the module a parametrized tensor, or is the one of this name parametrized?"""
    chains = getattr(module, "parametrizations", None)
    if not isinstance(chains, ModuleDict):
        return False
    return len(chains) > 0 if tensor_name is None else tensor_name in chains


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a tensor of a module an ordinary Parameter or buffer again, and return the module.

    Args:
        leave_parametrized: keep the computed value; False puts the original back.
    Raises:
        ValueError: if the tensor is not parametrized, or computed from several and the original is asked for.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    chains: Any = module.parametrizations
    chain = chains[tensor_name]
    if chain.is_tensor:
        original = chain.original
        if leave_parametrized:
            with no_grad():
                _replace(original, getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence "
                         "of tensors.")
    delattr(type(module), tensor_name)
    del chains[tensor_name]
    if not chains:
        delattr(module, "parametrizations")
        object.__setattr__(module, "__class__", type(module).__bases__[0])
    _register(module, tensor_name, original)
    return module


def type_before_parametrizations(module: Module) -> type[Any]:
    """The module's class as it was before any parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: Module, tensor_name: str | None = None) -> Module:
    """Register the parametrizations of one module on another too, with the originals shared, and return the other.

    Args:
        tensor_name: transfer those of one tensor; None for all.
    Raises:
        KeyError: if the tensor named is not parametrized.
    """
    if not is_parametrized(from_module):
        return to_module
    chains: Any = from_module.parametrizations
    for name in chains if tensor_name is None else [tensor_name]:
        chain = chains[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in chain:
            register_parametrization(to_module, name, parametrization, unsafe=chain.unsafe)
        target: Any = to_module.parametrizations[name]
        for part in ("original",) if chain.is_tensor else [f"original{i}" for i in range(chain.ntensors)]:
            setattr(target, part, getattr(chain, part))
    return to_module
