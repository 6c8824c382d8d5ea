"""Sequential: modules one after another."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from mytorch.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Self

__mytorch__ = True


def position(modules: Any, index: Any) -> int:
    """A position from 0 on, from one that may be negative.

    Raises:
        IndexError: if it is out of range.
        TypeError: if it is no integer.
    """
    index = operator.index(index)
    count = len(modules)
    if not -count <= index < count:
        raise IndexError(f"index {index} is out of range")
    return index % count


def renumber(module: Module) -> None:
    """Name the submodules "0", "1", ... in their order."""
    children = list(module._modules.values())
    module._modules.clear()
    module._modules.update((str(i), child) for i, child in enumerate(children))


class Sequential(Module):
    """Modules called one after another, each on the output of the one before.

    Args:
        args: modules in order, or one OrderedDict of names and modules.
    Shape:
        x as the first module takes it -> the output of the last; x itself if there are none.
    Raises:
        TypeError: for anything that is no Module.
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, *args: Any) -> None:
        from collections import OrderedDict

        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Call the modules in order."""
        for module in self._modules.values():
            input = module(input)  # noqa: A001
        return input

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: Any) -> Any:
        """The module at a position, or a Sequential of the modules in a slice."""
        from collections import OrderedDict

        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return list(self._modules.values())[position(self, index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[position(self, index)], module)

    def __delitem__(self, index: Any) -> None:
        names = list(self._modules)
        for name in names[index] if isinstance(index, slice) else [names[position(self, index)]]:
            delattr(self, name)
        renumber(self)

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return Sequential(*self, *other)

    def __iadd__(self, other: Any) -> Self:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return self.extend(list(other))

    def __mul__(self, other: int) -> Sequential:
        self._check_factor(other)
        return Sequential(*list(self) * other)

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Self:
        self._check_factor(other)
        return self.extend(list(self) * (other - 1))

    def _check_factor(self, other: Any) -> None:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, sequential: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in sequential:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at a position.

        Raises:
            AssertionError: if it is no Module.
            IndexError: if the position is out of range.
        """
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._modules.clear()
        return self.extend(modules)

    def pop(self, key: Any) -> Module:
        """Take out the module at a position, or those of a slice, and return it."""
        module = self[key]
        del self[key]
        return module
