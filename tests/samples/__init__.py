"""The one table that knows how to call each operation: the ROWS and ERRORS of every file in this folder, see rows.py."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.samples.rows import Error as Error
from tests.samples.rows import Maker as Maker
from tests.samples.rows import Sample as Sample

_FAMILIES = [import_module(f"tests.samples.{path.stem}") for path in sorted(Path(__file__).parent.glob("[a-z]*.py"))]
SAMPLES: list[Sample] = [row for family in _FAMILIES for row in getattr(family, "ROWS", [])]
ERRORS: list[Error] = [row for family in _FAMILIES for row in getattr(family, "ERRORS", [])]


def rows(keep: Callable[[Any], bool] = lambda row: True, table: Any = None) -> list[Any]:
    """The rows that `keep` accepts, as pytest parameters named after the operation and its place in the table."""
    import pytest

    counts: dict[str, int] = {}
    found = []
    for row in SAMPLES if table is None else table:
        counts[row.name] = counts.get(row.name, 0) + 1
        if keep(row):
            found.append(pytest.param(row, id=f"{row.name}-{counts[row.name]}"))
    return found
