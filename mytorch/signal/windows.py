"""Windows, under torch's names: `mytorch.signal.windows.hann(512)`. See ops/windows.py."""
# ruff: noqa: I001 - a face: names are imported to be re-exported

from __future__ import annotations

from mytorch.ops.windows import (
    bartlett as bartlett, blackman as blackman, cosine as cosine, exponential as exponential, gaussian as gaussian,
    general_cosine as general_cosine, general_hamming as general_hamming, hamming as hamming, hann as hann, kaiser as kaiser,
    nuttall as nuttall,
)

__mytorch__ = True
