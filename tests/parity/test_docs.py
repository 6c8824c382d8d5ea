"""Where a page says that PyTorch does the same, PyTorch itself is asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, run_page

torch = pytest.importorskip("torch")


def as_torch(source: str) -> str:
    """A block with its imports of mytorch turned into imports of torch."""
    return re.sub(r"\bmytorch\b", "torch", source)


@pytest.mark.parametrize(
    ("name", "until"),
    [
        ("how_autograd_works", None),
        ("index", None),
        ("quickstart", None),
        ("coming_from_torch", "## What differs"),
        ("the_graph", "## The forward line"),
    ],
)
def test_the_page_prints_the_same_on_torch(name: str, until: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(DOCS / f"{name}.md", as_torch, until)
