"""Every page of the documentation that contains Python is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, python_blocks, run_page

# the essay has a test file of its own
PAGES = [path for path in sorted(DOCS.glob("*.md")) if path.stem != "how_autograd_works"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_block_of_the_page_runs_and_prints_what_the_page_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a page may write files
    run_page(path)


@pytest.mark.parametrize("name", ["quickstart", "coming_from_torch", "the_graph"])
def test_the_page_has_blocks_to_run(name: str) -> None:
    blocks = python_blocks((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    assert sum(1 for block in blocks if block.expected) >= 3


def page_of(tmp_path: Path, *blocks: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text("# Page\n\n" + "\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


def test_a_block_that_raises_fails_at_its_line_of_the_page(tmp_path: Path) -> None:
    path = page_of(tmp_path, "```python\nx = 1\n```", "```python\n\nx / 0\n```")
    with pytest.raises(ZeroDivisionError) as raised:
        run_page(path)
    assert raised.traceback[-1].lineno + 1 == 9
    assert path.read_text(encoding="utf-8").splitlines()[8] == "x / 0"


def test_output_that_differs_from_the_page_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="block at line 4:"):
        run_page(page_of(tmp_path, "```python\nprint(1)\n```", "```output\n2\n```"))


def test_output_that_the_page_does_not_show_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="block at line 4:"):
        run_page(page_of(tmp_path, "```python\nprint(1)\n```", "Then.", "```text\n1\n```"))


def test_an_output_block_that_belongs_to_no_python_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 8: an output block must directly follow"):
        run_page(page_of(tmp_path, "```python\n```", "Then.", "```output\n1\n```"))


def test_blocks_share_one_namespace_and_print_in_order(tmp_path: Path) -> None:
    path = page_of(tmp_path, "```python\nx = 1\n```", "```text\nnot run\n```", "```python\nprint(x)\n```", "```output\n1\n```")
    assert run_page(path)["x"] == 1
