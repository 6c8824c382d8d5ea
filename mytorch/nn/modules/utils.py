"""One value for every dimension: `_pair(3)` is (3, 3). Programs take these from torch.nn.modules.utils."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn.padding import ntuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__mytorch__ = True


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """A function that repeats a single value n times and leaves sequences as they are."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if hasattr(x, "__iter__") else ntuple(x, n)

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = (_ntuple(n, name) for n, name in enumerate(("_single", "_pair", "_triple", "_quadruple"), 1))


def _reverse_repeat_tuple(t: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    """Each element n times, the last one first: what `pad` makes of a padding per dimension."""
    return tuple(x for x in reversed(t) for _ in range(n))


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix, such as the 'module.' of DataParallel, off the names of a checkpoint, in place."""
    tables = [state_dict]
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        tables.append(metadata)
    for table in tables:
        for key in list(table):
            if key.startswith(prefix) or (table is metadata and key and key == prefix.rstrip(".")):
                table[key[len(prefix):]] = table.pop(key)
