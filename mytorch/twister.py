"""The source of all words: NumPy's Mersenne twister, with its state at hand for native kernels. Loaded at the first draw."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

__mytorch__ = True


class Twister(np.random.MT19937):
    """NumPy's mt19937, whose state native kernels draw from in place, so that both go on where the other stopped.

    memory: its 624 words and the number of those already drawn, 32 bits each, without a copy; None should NumPy's structure
        ever be another one. Valid while the twister lives.
    """

    memory: Array | None

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        words = np.ctypeslib.as_array((ctypes.c_uint32 * 625).from_address(self.ctypes.state_address))
        state = self.state["state"]
        self.memory = words if words[624] == state["pos"] and np.array_equal(words[:624], state["key"]) else None
