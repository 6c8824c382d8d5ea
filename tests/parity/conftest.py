"""torch computes on one thread here: with more, which of two writes to one place comes last (max_unpool2d with an index that stands
twice) is left to chance."""

from __future__ import annotations

try:
    import torch
except ImportError:  # the tests of this folder are skipped
    pass
else:
    torch.set_num_threads(1)
