"""The extension itself: its kernels for this processor, and what every override needs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import mytorch._native as _native
from mytorch.backends.native.signatures import differences

__mytorch__ = True

REVISION = 3  # of csrc/module.c: raised whenever a signature there changes

_lacking = differences(_native.signatures()) if hasattr(_native, "signatures") else ["signatures"]
if _native.REVISION != REVISION or _lacking:
    raise ImportError(
        f"the extension mytorch._native is revision {_native.REVISION}, this source expects {REVISION} ("
        f"missing or other kernels: {', '.join(_lacking) or 'none'}): build it again, `pip install -e .` in a checkout or "
        "`pip install --force-reinstall tinynet-mytorch`"
    )

library_path = _native.__file__
Block = _native.Block  # memory of the pool, which arrays are laid over
set_num_threads, get_num_threads = _native.set_num_threads, _native.get_num_threads
empty_cache, memory = _native.empty_cache, _native.memory
empty = _native.empty

Array = np.ndarray[Any, np.dtype[Any]]

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])  # mytorch.dtypes builds on the backends, so the dtype is spelled out again here


class Kernels:
    """The kernels of the chosen instruction set as attributes: `K.relu(x, y)`.

    Each takes what its signature in csrc/kernels says, and returns the first array that it wrote, or NotImplemented.
    """

    isa: str
    least: int | None = None  # a number that replaces every `at_least`, for tests: 0 lets kernels answer for arrays of any size

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the extension has no kernel {name!r}: build it again, `pip install -e .`")

    def use(self, isa: str) -> None:
        """Bind the kernels of `amx`, `avx512`, `avx2` or `baseline`; '' means the best that this processor has.

        Raises:
            ValueError: if this processor or this build has no such instruction set.
        """
        self.isa, table = _native.kernels(isa)
        self.__dict__.update(table)

    def worth(self, size: int, at_least: int) -> bool:
        """Whether a native call pays for that many elements."""
        return size >= (at_least if self.least is None else self.least)


K = Kernels()
try:
    K.use(os.environ.get("MYTORCH_ISA", ""))
except ValueError as error:
    raise ImportError(str(error)) from None


def known(kind: np.dtype[Any]) -> bool:
    """Whether it is float32, float64 or bfloat16, the one structured dtype: what kernels read and write themselves."""
    return kind is FLOAT32 or kind is FLOAT64 or kind.kind == "V"


def alike(a: Array, b: Array) -> bool:
    """Whether two arrays have one shape and one dtype that is known, and are row-major without gaps."""
    kind = a.dtype
    if (b.dtype is not kind and b.dtype != kind) or not known(kind) or a.shape != b.shape:
        return False
    return a.flags.c_contiguous and b.flags.c_contiguous


def dense(x: Array) -> Array:
    """x itself if it is row-major without gaps, otherwise a copy that is."""
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)
