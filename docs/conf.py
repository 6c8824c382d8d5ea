"""Sphinx settings. `sphinx-build -W -b html docs docs/_build` writes the pages; nothing is fetched to build or to read them."""

from __future__ import annotations

project = "TinyNet"
author = "the TinyNet authors"
copyright = author  # noqa: A001 (the name Sphinx reads)

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "TinyNet"
myst_heading_anchors = 3
