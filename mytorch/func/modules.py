"""Modules as functions of their parameters, for the transforms: functional_call, and many modules as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mytorch.engine_state import TensorBase

if TYPE_CHECKING:
    from mytorch.nn.module import Module

__mytorch__ = True


def functional_call(module: Module, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: dict[str, Any] | None = None, *,
                    tie_weights: bool = True, strict: bool = False) -> Any:
    """Call a module with these tensors in place of its own parameters and buffers, which are back afterwards.

    The dictionaries are differentiable arguments: `grad(lambda p: functional_call(net, p, x).sum())(dict(net.named_parameters()))`.
    A buffer that the call replaced or wrote to is found in the dictionary afterwards.

    Args:
        parameter_and_buffer_dicts: tensors by dotted name, or a tuple of such dictionaries without a name in common.
        args: the argument of the call, or a tuple of them.
        tie_weights: one name of a shared parameter stands for all its names.
        strict: refuse names that are missing or unknown.
    Raises:
        ValueError: for no dictionary, a name in two of them, or two values for tied names.
        TypeError: for a value that is no Tensor.
        RuntimeError: with `strict`, for names that are missing or unknown.
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        given = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        given = _merged(parameter_and_buffer_dicts)
    else:
        raise ValueError("Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, "
                         f"but got {type(parameter_and_buffer_dicts)}")
    return call_with(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def _merged(dicts: Sequence[Any]) -> dict[str, Any]:
    if not all(isinstance(d, dict) for d in dicts):
        raise ValueError(f"Expected all elements of parameter_and_buffer_dicts to be dictionaries, got {[type(d) for d in dicts]}")
    names = [name for d in dicts for name in d]
    twice = sorted({name for name in names if names.count(name) > 1}, key=names.index)
    if twice:
        raise ValueError(f"{twice} appeared in multiple dictionaries; behavior of functional call is ambiguous")
    return {name: x for d in dicts for name, x in d.items()}


def call_with(module: Module, given: dict[str, Any], args: Any, kwargs: dict[str, Any] | None, *, tie_weights: bool, strict: bool) -> Any:
    """`functional_call` with one dictionary, whose entries are renewed by what the call left in their places."""
    places = _places(module)
    values = _with_tied_names(module, places, given) if tie_weights else dict(given)
    if strict:
        _refuse_other_names(module, places, values)
    for x in values.values():
        if not isinstance(x, TensorBase):
            raise TypeError(f"{x} is not an instance of torch.Tensor")
    before = {}
    try:
        for name, x in values.items():
            if name in places:
                table, key = places[name]
                before[name] = table[key]
                table[key] = x
        given_args = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*given_args, **(kwargs or {}))
    finally:
        for name, x in before.items():
            table, key = places[name]
            if name in given and table.get(key) is not None:
                given[name] = table[key]
            table[key] = x


def _places(module: Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer is kept, by dotted name: under all its names."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key in table:
                found[f"{prefix}.{key}" if prefix else key] = (table, key)
    return found


def _with_tied_names(module: Module, places: dict[str, tuple[dict[str, Any], str]], given: dict[str, Any]) -> dict[str, Any]:
    names_of: dict[int, list[str]] = {}
    for name, (table, key) in places.items():
        if table[key] is not None:
            names_of.setdefault(id(table[key]), []).append(name)
    values = dict(given)
    for names in names_of.values():
        chosen = [name for name in names if name in given]
        if len({id(given[name]) for name in chosen}) > 1:
            raise ValueError(f"functional_call got multiple values for keys {sorted(chosen)}, which are tied. "
                             "Consider using tie_weights=False")
        if chosen:
            values.update(dict.fromkeys(names, given[chosen[0]]))
    return values


def _refuse_other_names(module: Module, places: dict[str, tuple[dict[str, Any], str]], values: dict[str, Any]) -> None:
    missing = sorted(name for name, (table, key) in places.items() if name not in values and table[key] is not None)
    unexpected = sorted(name for name in values if name not in places)
    if missing or unexpected:
        text = f"Error(s) in reparametrizing for {type(module).__name__}:"
        for what, names in (("Unexpected", unexpected), ("Missing", missing)):
            if names:
                text += f"\n\t{what} key(s): {', '.join(map(repr, names))}."
        raise RuntimeError(text)


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of modules of one kind, each stacked along a new first dimension: an ensemble for vmap.

    Raises:
        RuntimeError: for no module, modules of several classes or modes, or shapes that differ.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(m.training != models[0].training for m in models):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params = {name: _stacked([dict(m.named_parameters())[name] for m in models]) for name, _ in models[0].named_parameters()}
    buffers = {name: _stacked([dict(m.named_buffers())[name] for m in models]) for name, _ in models[0].named_buffers()}
    return params, buffers


def _stacked(tensors: list[Any]) -> Any:
    from mytorch.ops.joining import stack
    leaves = all(t.is_leaf for t in tensors)
    if leaves:  # a leaf of its own, to train the ensemble with
        if len({t.requires_grad for t in tensors}) > 1:
            raise RuntimeError("stack_module_state: Expected all parameters of one name to have the same requires_grad.")
        return stack([t.detach() for t in tensors]).requires_grad_(tensors[0].requires_grad)
    return stack(tensors)


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Take the running statistics from every batch normalisation in a module, in place: vmap cannot write to them."""
    from mytorch.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d
    for part in root.modules():
        if isinstance(part, (BatchNorm1d, BatchNorm2d, BatchNorm3d)):
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return root


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """Refused: it rewrites a function for compilers that know no writes in place.

    Raises:
        NotImplementedError: always. Functions run as they are, in-place writes included.
    """
    raise NotImplementedError("func.functionalize is not supported: there is no compiler here that would need it; call the function itself")


def debug_unwrap(tensor: Any, *, recurse: bool = True) -> Any:
    """The tensor of the whole batch behind one inside vmap; any other tensor itself. For printing only."""
    while hasattr(tensor, "_full"):
        tensor = tensor._full
        if not recurse:
            break
    return tensor


__all__ = ["debug_unwrap", "functional_call", "functionalize", "replace_all_batch_norm_modules_", "stack_module_state"]
