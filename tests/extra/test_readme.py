"""README.md and CONTRIBUTING.md: their code runs, what they quote is there, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mytorch
from tests.docs.pages import python_blocks, run_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "extra/README.md"]


def test_the_code_of_the_readme_prints_what_it_shows():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sum(1 for block in python_blocks(text) if block.expected) >= 2
    run_page(ROOT / "README.md")


def test_the_first_example_takes_ten_lines_or_so():
    first = python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    assert len([line for line in first.source.splitlines() if line]) <= 13


def test_what_contributing_quotes_is_in_the_file_it_names():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quotes = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert len(quotes) >= 3
    for quote in quotes:
        path = re.findall(r"`((?:mytorch|tests)/[\w/]+\.py)`", text[: quote.start()])[-1]  # the last one named above
        source = (ROOT / path).read_text(encoding="utf-8")
        for line in quote[1].splitlines():
            assert line.strip() in source, f"CONTRIBUTING.md quotes a line that is not in {path}: {line}"


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("https://"):
            assert ((ROOT / page).parent / target).exists(), target
    for path in re.findall(r"`((?:mytorch|extra|docs|tests|benchmarks|csrc)/[\w/.]*)`", text):
        assert (ROOT / path).exists() or path.startswith("extra/out"), path


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for commands in re.findall(r"(?:^\$ |`)make ((?:[a-z-]+ ?)+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE):
        assert set(commands.split()) <= targets, commands


def test_options_of_the_examples_are_told():
    text = (ROOT / "extra" / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"--[a-z][a-z-]*", text))
    real = {"--help"}
    for program in ("mnist.py", "build_CNN.py", "mlp_scan.py"):
        real |= set(re.findall(r'add\("(--[a-z-]+)"', (ROOT / "extra" / program).read_text(encoding="utf-8")))
    for path in (ROOT / "extra").glob("*.py"):  # those that read_options of extra/common reads
        for call in re.findall(r"read_options\((.*?)\n    \w", path.read_text(encoding="utf-8"), re.DOTALL):
            real |= {"--" + name.replace("_", "-") for name in re.findall(r"\b(\w+)=\(", call)} | {"--seed", "--threads", "--smoke"}
    assert told <= real, told - real


def test_what_the_readme_says_is_absent_is_absent():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    absent = re.search(r"\*\*Whole rooms of PyTorch\*\*:(.*?)\n-", text, re.DOTALL)[1]
    names = re.findall(r"`torch\.(\w+)`", absent)
    assert len(names) >= 3
    assert not [name for name in names if hasattr(mytorch, name)], "these have arrived: take them off the list in README.md"
