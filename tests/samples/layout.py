"""Rows of operations that choose how a result lies in memory."""

from __future__ import annotations

from tests.samples.rows import Sample

ROWS = [
    Sample("clone", lambda m: (m(2, 3, 2, 2),), lambda m: {"memory_format": m.lib.channels_last}),
    Sample("Tensor.contiguous", lambda m: (m(2, 3, 2, 2),), lambda m: {"memory_format": m.lib.channels_last}),
]
