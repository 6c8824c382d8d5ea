"""Run the Python blocks of a documentation page, and compare what they print with what the page shows.

A page is Markdown. Its ```python blocks run in order in one namespace. A block that is followed directly by an
```output block must print exactly that; a block without one must print nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import linecache
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """One python block: its source, the page's line of its first statement, and the output that the page shows."""

    source: str
    line: int
    expected: str = ""


def python_blocks(text: str) -> list[Block]:
    """The python blocks of a page, each with the output block that directly follows it."""
    blocks: list[Block] = []
    end_of_python = None  # where the last fence ended, if it was a python block
    for fence in FENCE.finditer(text):
        language, body = fence.groups()
        line = text.count("\n", 0, fence.start(2)) + 1
        if language == "output":
            if end_of_python is None or text[end_of_python : fence.start()].strip():
                raise ValueError(f"line {line - 1}: an output block must directly follow a python block")
            blocks[-1].expected = body
        if language == "python":
            blocks.append(Block(body, line))
        end_of_python = fence.end() if language == "python" else None
    return blocks


def run_page(path: Path, edit: Callable[[str], str] = lambda source: source, until: str | None = None) -> dict[str, object]:
    """Run a page's python blocks and return their namespace.

    Args:
        path: the page.
        edit: may change the source of each block before it runs.
        until: a line of the page, such as a heading, at which to stop.
    Raises:
        AssertionError: a block printed something other than the page shows; the message is the difference.
        Exception: whatever a block raises; its traceback names the page and the line of the page.
    """
    text = path.read_text(encoding="utf-8")
    linecache.cache[path.name] = (len(text), None, text.splitlines(keepends=True), path.name)  # the source that tracebacks show
    namespace: dict[str, object] = {"__name__": path.stem}
    for block in python_blocks(text if until is None else text[: text.index(f"\n{until}\n")]):
        printed = io.StringIO()
        # empty lines in front give every statement the number it has in the page, in tracebacks and on graph nodes;
        # the name alone, without its folder, makes those lines equal on every machine
        code = compile("\n" * (block.line - 1) + edit(block.source), path.name, "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if printed.getvalue() != block.expected:
            shown, got = block.expected.splitlines(), printed.getvalue().splitlines()
            difference = difflib.unified_diff(shown, got, "on the page", "printed", lineterm="")
            raise AssertionError(f"{path.name}, block at line {block.line}:\n" + "\n".join(difference))
    return namespace
