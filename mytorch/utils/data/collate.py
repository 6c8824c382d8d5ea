"""From a list of samples to one batch: tensors are stacked, numbers become tensors, containers are walked through."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.dtypes import float64
from mytorch.ops.create import as_tensor, tensor
from mytorch.ops.shape import stack
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    CollateMap = dict[Any, Callable[..., Any]]  # keys: a type or a tuple of types; values: rule(batch, *, collate_fn_map)

__mytorch__ = True

_REFUSED = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def _collate_tensors(batch: Sequence[Tensor], *, collate_fn_map: CollateMap | None = None) -> Any:
    return stack(list(batch), 0)


def _collate_arrays(batch: Sequence[np.ndarray[Any, Any]], *, collate_fn_map: CollateMap | None = None) -> Any:
    if batch[0].dtype.kind in "SUO":
        raise TypeError(_REFUSED.format(batch[0].dtype))
    return collate([as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def _collate_array_scalars(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    return as_tensor(batch)


def _collate_floats(batch: Sequence[float], *, collate_fn_map: CollateMap | None = None) -> Any:
    return tensor(batch, dtype=float64)


def _collate_integers(batch: Sequence[int], *, collate_fn_map: CollateMap | None = None) -> Any:
    return tensor(batch)


def _keep(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Sequence[Any]:
    return batch


default_collate_fn_map: CollateMap = {
    Tensor: _collate_tensors,
    np.ndarray: _collate_arrays,
    (np.bool_, np.number, np.object_): _collate_array_scalars,
    float: _collate_floats,
    int: _collate_integers,
    str: _keep,
    bytes: _keep,
}
_OWN_RULES = dict(default_collate_fn_map)


def rules_are_own() -> bool:
    """Whether nobody has changed ``default_collate_fn_map``: then rows of tensors may be taken at once."""
    return default_collate_fn_map == _OWN_RULES


def _rule_for(kind: type, rules: CollateMap) -> Callable[..., Any] | None:
    """The rule of the type itself, else the first rule whose type it inherits from."""
    if kind in rules:
        return rules[kind]
    return next((rule for types, rule in rules.items() if issubclass(kind, types)), None)


def _mapping_like(model: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    """The items in a mapping of the model's class, a copy of the model where that can be changed; a dict if it cannot be made."""
    try:
        if not isinstance(model, MutableMapping):
            return type(model)(items)  # type: ignore[call-arg]
        result = copy(model)
        result.update(items)
        return result
    except TypeError:
        return items


def _sequence_like(model: Sequence[Any], items: list[Any]) -> Any:
    """The items in a sequence of the model's class; a list for tuples and for classes that cannot be made from items (range)."""
    if isinstance(model, tuple):
        return items
    try:
        if not isinstance(model, MutableSequence):
            return type(model)(items)  # type: ignore[call-arg]
        result = copy(model)
        for place, item in enumerate(items):
            result[place] = item
        return result
    except TypeError:
        return items


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Join samples by the rules of a map from type to function; containers are walked through down to what a rule knows.

    Args:
        batch: the samples, all alike.
        collate_fn_map: type, or tuple of types, -> function(batch, *, collate_fn_map). A sample's own type comes first, then
            the first type of the map that it inherits from.
    Raises:
        RuntimeError: if sequences in the batch differ in length, or tensors in shape.
        TypeError: if no rule knows the samples.
    """
    first = batch[0]
    rule = _rule_for(type(first), collate_fn_map or {})
    if rule is not None:
        return rule(batch, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        columns = {key: [sample[key] for sample in batch] for key in first}
        return _mapping_like(first, {key: collate(column, collate_fn_map=collate_fn_map) for key, column in columns.items()})
    if isinstance(first, tuple) and hasattr(first, "_fields"):  # a named tuple
        return type(first)(*(collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)))
    if isinstance(first, Sequence):
        lengths = {len(sample) for sample in batch}
        if len(lengths) > 1:
            raise RuntimeError(
                f"each element in list of batch should be of equal size; got sizes {sorted(lengths)}, "
                "pass a collate_fn that makes them equal"
            )
        return _sequence_like(first, [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)])
    raise TypeError(_REFUSED.format(type(first)))


def default_collate(batch: Sequence[Any]) -> Any:
    """The batch of these samples: what the DataLoader makes unless it is given another ``collate_fn``.

    ===================  ================================================
    samples              batch
    ===================  ================================================
    tensors, arrays      one tensor with a new first dimension
    float, int, bool     one tensor: float64, int64, bool
    str, bytes           the list of them
    mapping              the same mapping of batches
    named tuple          the same named tuple of batches
    tuple, list          a list of batches, one per place
    ===================  ================================================

    Shape:
        B tensors (*) -> (B, *)
    Raises:
        RuntimeError: if tensors differ in shape or sequences in length.
        TypeError: for samples of another type.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data: Any) -> Any:
    """NumPy arrays and scalars in a sample as tensors, all else as it is: the DataLoader's choice when it does not batch."""
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUO" else as_tensor(data)
    if isinstance(data, Mapping):
        return _mapping_like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _sequence_like(data, [default_convert(value) for value in data])
    return data
