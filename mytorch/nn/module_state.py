"""Checkpoints of modules: state_dict and load_state_dict. `Module` binds these functions as its methods."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import TYPE_CHECKING

from mytorch.autograd_engine import no_grad
from mytorch.nn.parameter import Parameter
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mytorch.nn.module import Module

__mytorch__ = True

T_destination = dict  # the type of a state dict

_EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict returns: names that the module has and the checkpoint lacks, and the other way round."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


def get_extra_state(self: Module) -> Any:
    """Further state for the checkpoint; a subclass that has some overrides this and `set_extra_state`."""
    raise RuntimeError(f"{type(self).__name__}.get_extra_state: only a subclass that overrides it has extra state")


def set_extra_state(self: Module, state: Any) -> None:
    """Take back what `get_extra_state` returned."""
    raise RuntimeError(f"{type(self).__name__}.set_extra_state: only a subclass that overrides it has extra state")


def _has(module: Module, name: str) -> bool:
    """Does the module's class override get_extra_state or set_extra_state?"""
    return getattr(type(module), name) is not globals()[name]


# ---- saving -------------------------------------------------------------------------------------------------------------------


def state_dict(self: Module, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
    """All Parameters and persistent buffers, by dotted name.

    Args:
        destination: a dict to fill; by default a new OrderedDict.
        prefix: put before every name.
        keep_vars: give the Parameters themselves instead of tensors cut off from the graph.
    Returns:
        The dict. Its tensors share memory with the module. Its attribute `_metadata` holds each module's version.
    """
    if args:
        import warnings
        warnings.warn("Positional args are being deprecated, use kwargs instead. Refer to "
                      "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
                      FutureWarning, stacklevel=2)
        given = dict(zip(("destination", "prefix", "keep_vars"), args))
        destination = given.get("destination") if destination is None else destination
        prefix = given.get("prefix", prefix) if prefix == "" else prefix
        keep_vars = given.get("keep_vars", False) or keep_vars
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    local_metadata = {"version": self._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = local_metadata
    for pre_hook in list(self._state_dict_pre_hooks.values()):
        pre_hook(self, prefix, keep_vars)
    self._save_to_state_dict(destination, prefix, keep_vars)
    for name, module in self._modules.items():
        if module is not None:
            module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook, public in list(self._state_dict_hooks.values()):
        result = hook(self, destination, prefix, local_metadata)
        if public and result is not None:
            raise RuntimeError("state_dict post-hook must return None")
        if result is not None:
            destination = result
    return destination


def _save_to_state_dict(self: Module, destination: Any, prefix: str, keep_vars: bool) -> None:
    """Put what this module itself holds into `destination`; submodules follow on their own."""
    for name, param in self._parameters.items():
        if param is not None:
            destination[prefix + name] = param if keep_vars else param.detach()
    for name, buffer in self._buffers.items():
        if buffer is not None and name not in self._non_persistent_buffers_set:
            destination[prefix + name] = buffer if keep_vars else buffer.detach()
    if _has(self, "get_extra_state"):
        destination[prefix + _EXTRA_STATE] = self.get_extra_state()


# ---- loading ------------------------------------------------------------------------------------------------------------------


def load_state_dict(self: Module, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
    """Copy the values of a checkpoint into Parameters and buffers of the same names.

    Args:
        state_dict: what `state_dict` returned; it is not changed.
        strict: refuse names that are missing or unexpected.
        assign: put the checkpoint's tensors in place of the module's, keeping their dtype, instead of copying.
    Returns:
        The lists missing_keys and unexpected_keys.
    Raises:
        RuntimeError: for a tensor of another shape or, with `strict`, for other names; it lists all of them.
        TypeError: if `state_dict` is no mapping.
    """
    from collections.abc import Mapping

    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    metadata = getattr(state_dict, "_metadata", None)
    copied = OrderedDict(state_dict)
    if metadata is not None:
        copied._metadata = metadata  # type: ignore[attr-defined]
    incompatible = _IncompatibleKeys([], [])
    errors: list[str] = []
    _load(self, copied, "", metadata, assign, incompatible, errors)
    if strict:
        for kind, keys in (("Unexpected", incompatible.unexpected_keys), ("Missing", incompatible.missing_keys)):
            if keys:
                names = ", ".join(f'"{key}"' for key in keys)
                errors.insert(0, f"{kind} key(s) in state_dict: {names}. ")
    if errors:
        raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
    return incompatible


def _load(module: Module, state: OrderedDict[str, Any], prefix: str, metadata: Any, assign: bool, incompatible: _IncompatibleKeys,
          errors: list[str]) -> None:
    local_metadata = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
    if assign:
        local_metadata["assign_to_params_buffers"] = True
    missing, unexpected = incompatible
    module._load_from_state_dict(state, prefix, local_metadata, True, missing, unexpected, errors)
    for name, child in module._modules.items():
        if child is not None:
            start = f"{prefix}{name}."
            part = OrderedDict((key, value) for key, value in state.items() if key.startswith(start))
            _load(child, part, start, metadata, assign, incompatible, errors)
    for hook in list(module._load_state_dict_post_hooks.values()):
        if hook(module, incompatible) is not None:
            raise AssertionError("Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                                 "values, if incompatible_keys need to be modified, it should be done inplace.")


def _load_from_state_dict(self: Module, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
                          unexpected_keys: list[str], error_msgs: list[str]) -> None:
    """Load what this module itself holds, adding to the lists what does not fit; submodules follow on their own."""
    for hook, with_module in list(self._load_state_dict_pre_hooks.values()):
        first = (self,) if with_module else ()
        hook(*first, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
    assign = local_metadata.get("assign_to_params_buffers", False)
    buffers = {name: b for name, b in self._buffers.items() if name not in self._non_persistent_buffers_set}
    own = {name: value for name, value in {**self._parameters, **buffers}.items() if value is not None}
    for name, target in own.items():
        key = prefix + name
        if key in state_dict:
            problem = _load_tensor(self, name, target, key, state_dict[key], assign)
            if problem is not None:
                error_msgs.append(problem)
        elif strict:
            missing_keys.append(key)
    extra_key = prefix + _EXTRA_STATE
    takes_extra = _has(self, "set_extra_state")
    if takes_extra and extra_key in state_dict:
        self.set_extra_state(state_dict[extra_key])
    elif takes_extra and strict:
        missing_keys.append(extra_key)
    elif strict and extra_key in state_dict:
        unexpected_keys.append(extra_key)
    if strict:
        for key in state_dict:
            if key.startswith(prefix) and key != extra_key:
                name, dot, _ = key[len(prefix):].partition(".")
                if name not in (self._modules if dot else own):
                    unexpected_keys.append(key)


def _load_tensor(module: Module, name: str, target: Tensor, key: str, value: Any, assign: bool) -> str | None:
    """Copy or assign one tensor; returns what is wrong with it, if anything."""
    if not isinstance(value, Tensor):
        return (f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint '
                f"but received {type(value)}")
    if target.dim() == 0 and value.dim() == 1 and value.numel() > 0:
        value = value[0]  # scalars were once saved as vectors of one
    if value.shape != target.shape:
        return (f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
                f"the shape in current model is {target.shape}.")
    try:
        with no_grad():
            if not assign:
                target.copy_(value)
            elif isinstance(target, Parameter):
                if not isinstance(value, Parameter):
                    value = Parameter(value, requires_grad=target.requires_grad)
                setattr(module, name, value.requires_grad_(target.requires_grad))
            else:
                setattr(module, name, value)
    except Exception as error:
        return (f'While copying the parameter named "{key}", whose dimensions in the model are {target.shape} and whose '
                f"dimensions in the checkpoint are {value.shape}, an exception occurred : {error.args}.")
    return None
