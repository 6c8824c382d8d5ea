"""`torch.torch_version`: a version that compares as a version, 2.4 before 2.13, with text and with tuples of numbers."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any

from mytorch._version import FOLLOWS
from mytorch._version import __version__ as _own

__mytorch__ = True

_FIRST_RELEASES = {"a": -3, "b": -2, "rc": -1, "dev": -4}  # 2.13.0rc1 comes before 2.13.0


class TorchVersion(str):
    """A text such as "2.13.0+cpu", which orders by the numbers in it.

    `torch.__version__ >= "2.4"` and `torch.__version__ >= (2, 4)` ask for the release. What comes after "+" counts last.
    """

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        return _compared(self, other) < 0 if isinstance(other, (str, tuple, list)) else NotImplemented

    def __le__(self, other: Any) -> bool:
        return _compared(self, other) <= 0 if isinstance(other, (str, tuple, list)) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return _compared(self, other) > 0 if isinstance(other, (str, tuple, list)) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return _compared(self, other) >= 0 if isinstance(other, (str, tuple, list)) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return _compared(self, other) == 0 if isinstance(other, (str, tuple, list)) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return _compared(self, other) != 0 if isinstance(other, (str, tuple, list)) else NotImplemented

    __hash__ = str.__hash__


def _parts(version: Any) -> tuple[list[int], int, str] | None:
    """The release's numbers, where it stands among its first releases (0: it is one itself), and what follows the plus sign."""
    text = version if isinstance(version, str) else ".".join(map(str, version))
    public, _, local = text.partition("+")
    found = re.match(r"v?(\d+(?:\.\d+)*)[-_.]?(a|b|rc|dev)?", public)
    return found and ([int(number) for number in found[1].split(".")], _FIRST_RELEASES.get(found[2], 0), local)


def _compared(one: Any, other: Any) -> int:
    """-1, 0 or 1: `one` is before `other`, the same, or after it. A number that is left out is 0; what is no version orders as text."""
    mine, theirs = _parts(one), _parts(other)
    pairs: list[tuple[Any, Any]] = [(str(one), str(other))]
    if mine is not None and theirs is not None:
        pairs = [*zip_longest(mine[0], theirs[0], fillvalue=0), *zip(mine[1:], theirs[1:], strict=True)]
    return next((-1 if a < b else 1 for a, b in pairs if a != b), 0)


__version__ = TorchVersion(f"{FOLLOWS}+mytorch{_own}")  # what a program that runs with this package as its torch is told
