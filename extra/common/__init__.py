"""What several programs of extra/ share: their options, a progress bar, their data. It knows neither mytorch nor torch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1]
STANDARD_LIBRARY = Path(os.__file__).parent
MODULES = ("argparse", "ast", "calendar", "configparser", "csv", "dataclasses", "difflib", "doctest", "enum", "functools", "heapq",
           "inspect", "ipaddress", "locale", "mailbox", "optparse", "os", "pathlib", "pdb", "pickle", "random", "shutil", "socket",
           "statistics", "string", "subprocess", "tarfile", "textwrap", "threading", "trace", "typing", "uuid", "zipfile")


def read_options(arguments: list[str] | None, file: str, doc: str | None, smoke: dict[str, int], **numbers: Any) -> argparse.Namespace:
    """The options of a program: its numbers with their defaults, --seed, --threads and --smoke.

    Args:
        arguments: of the command line; those of this process if None.
        file, doc: the program's own `__file__` and `__doc__`, whose first line says what it does.
        smoke: numbers that --smoke sets, so that the program ends after a few steps.
        numbers: name=(default, what it is), a number above 0 of the default's type; or name=((one, another), what it is), a choice.
    """
    parser = argparse.ArgumentParser(prog=Path(file).name, description=(doc or "").partition("\n")[0])
    for name, (default, what) in {**numbers, "seed": (0, "of all that is random"), "threads": (1, "of matrix products")}.items():
        kind: dict[str, Any] = {"type": type(default), "default": default}
        if isinstance(default, tuple):
            kind = {"choices": default, "default": default[0]}
        parser.add_argument("--" + name.replace("_", "-"), **kind, help=f"{what} (default: {kind['default']})")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that all works")
    options = parser.parse_args(arguments)
    for name, (default, _) in numbers.items():
        if not isinstance(default, tuple) and not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0, not {getattr(options, name)}")
    if options.smoke:
        vars(options).update(smoke)
    return options


def progress(items: Iterable[Any], text: str = "") -> Iterable[Any]:
    """The items, with tqdm's bar where tqdm is installed and somebody watches."""
    if not find_spec("tqdm") or not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    return tqdm(items, desc=text, leave=False)


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """4,000 images (N, 1, 28, 28) from 0 to 1 with their labels (N,), and 1,000 more for the test; see extra/data/README.md."""
    with np.load(HERE / "data" / "mnist5k.npz") as file:
        images, labels = file["images"][:, None].astype(np.float32) / 255, file["labels"].astype(np.int64)
    return images[:4000], labels[:4000], images[4000:], labels[4000:]


def drawn(images: np.ndarray) -> str:
    """Images (N, 28, 28) side by side, as text: a character for each 2 x 1 pixels."""
    rows = images.clip(0, 0.999).reshape(len(images), 14, 2, 28).mean(axis=2)  # (N, 14, 28)
    return "\n".join(" ".join("".join(" .:-=+*#%@"[int(10 * v)] for v in row) for row in line) for line in rows.transpose(1, 0, 2))


def source_of(*names: str) -> Iterator[str]:
    """The Python source of modules of the standard library, a text for each file: real text, and always there."""
    for name in names:
        path = STANDARD_LIBRARY / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            yield file.read_text(encoding="utf-8")


def characters(*names: str) -> tuple[str, np.ndarray, np.ndarray]:
    """The alphabet of `source_of(*names)`, and its characters as numbers: nine tenths of each file to learn from, the rest to test."""
    texts = list(source_of(*names))
    alphabet = "".join(sorted(set().union(*texts)))
    number = {character: i for i, character in enumerate(alphabet)}
    parts = [np.array([number[character] for character in text], np.int64) for text in texts]
    return (alphabet, np.concatenate([part[: len(part) * 9 // 10] for part in parts]),
            np.concatenate([part[len(part) * 9 // 10 :] for part in parts]))
