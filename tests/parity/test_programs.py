"""Whole programs as people write them, run twice: as they are, and with `torch` replaced in their imports and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))


def with_mytorch(source: str) -> str:
    """The program with `mytorch` in place of `torch` in its import lines."""
    source = re.sub(r"^import torch$", "import mytorch as torch", source, flags=re.M)
    source = re.sub(r"^import torch\.(\S+) as", r"import mytorch.\1 as", source, flags=re.M)
    return re.sub(r"^from torch\b", "from mytorch", source, flags=re.M)


def printed(source: str, name: str) -> list[list[Any]]:
    """What the program gives to `print`, one list per call."""
    lines: list[list[Any]] = []
    names = {"__name__": name, "print": lambda *values: lines.append(list(values))}
    exec(compile(source, name, "exec", dont_inherit=True), names)
    return lines


def assert_near(found: Any, expected: Any, where: str) -> None:
    """Floats to four digits or so (training multiplies the rounding of the last bit), everything else exactly."""
    assert type(found) is type(expected), where
    if isinstance(found, float):
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-4), where
    elif isinstance(found, dict):
        assert_near(list(found.items()), list(expected.items()), where)
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected), where
        for a, b in zip(found, expected):
            assert_near(a, b, where)
    else:
        assert found == expected, where


def test_only_import_lines_change():
    before = "import torch\nimport torch.nn as nn\nfrom torch import nn\nfrom torch.nn import functional as F\ntorch.ones(2)  # from torch\n"
    assert with_mytorch(before).splitlines() == ["import mytorch as torch", "import mytorch.nn as nn", "from mytorch import nn",
                                                 "from mytorch.nn import functional as F", "torch.ones(2)  # from torch"]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_prints_torchs_numbers(path: Path) -> None:
    source = path.read_text()
    found, expected = printed(with_mytorch(source), f"mytorch_{path.stem}"), printed(source, path.stem)
    assert len(expected) >= 5
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert_near(ours, theirs, f"print {i}: {ours} against torch's {theirs}")
