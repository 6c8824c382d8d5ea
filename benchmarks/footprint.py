"""What a library costs before it computes: the time of its import, and its size on disk."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"jax": "jax", "mlx": "mlx.core", "tinygrad": "tinygrad"}  # where the name to import is another
IMPORT = "import time; t = time.{clock}(); import {module}; print(time.{clock}() - t)"


def import_seconds(library: str, clock: str) -> float:
    """The time of one import in a fresh process."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), env.get("PYTHONPATH"))))
    code = IMPORT.format(module=MODULES.get(library, library), clock=clock)
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout)


def import_times(libraries: list[str], rounds: int, clock: str = "perf_counter") -> dict[str, list[float]]:
    """Import times in turn; a first import of each, which warms the disk's cache, does not count. numpy is among them."""
    names = ["numpy", *libraries]
    for name in names:
        import_seconds(name, clock)
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(import_seconds(name, clock))
    return found


def install_sizes(libraries: list[str]) -> dict[str, dict[str, float]]:
    """The megabytes of each library alone, and with all that its installation requires."""
    sizes = {}
    for library in libraries:
        own = folder_bytes(ROOT / "mytorch") if library == "mytorch" else distribution_bytes(library)
        needs = {"numpy"} if library == "mytorch" else required(library, set()) - {canonical(library)}
        sizes[library] = {"own_mb": own / 1e6, "all_mb": (own + sum(distribution_bytes(name) for name in needs)) / 1e6}
    return sizes


def folder_bytes(folder: Path) -> int:
    """The sizes of all files below a folder, without byte code."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def distribution_bytes(name: str) -> int:
    """The sizes of the files of an installed distribution, without byte code."""
    paths = (file.locate() for file in importlib.metadata.files(name) or [] if "__pycache__" not in str(file))
    return sum(os.stat(path).st_size for path in paths if os.path.isfile(path))


def canonical(name: str) -> str:
    """A distribution's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(name: str, seen: set[str]) -> set[str]:
    """A distribution and those it requires, as far as they are installed; extras are left out."""
    name = canonical(name)
    if name in seen:
        return seen
    try:
        needs = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return seen
    seen.add(name)
    for need in needs:
        if "extra ==" not in need:
            match = re.match(r"[\w.-]+", need)
            assert match is not None
            required(match[0], seen)
    return seen
