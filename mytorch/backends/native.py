"""Overrides of kernels by the C++ extension: which calls it answers, by kernel name.

An override has the signature of the kernel it replaces. It declines, by returning NotImplemented, whatever the extension does not
do (dtype, layout) or does no faster than NumPy (small sizes); it declines here, in Python, before any native call. The arrays are
the caller's: an override never writes to its inputs. Results are annotated Any: an array, or NotImplemented.

Importing this module raises ImportError where the extension is missing or does not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import mytorch._native as _native

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, np.dtype[Any]]

__mytorch__ = True

REVISION = 1  # of csrc/module.c: raised whenever a signature there changes

if _native.REVISION != REVISION:
    raise ImportError(
        f"the extension mytorch._native is revision {_native.REVISION}, this source expects {REVISION}: build it again, "
        "`pip install -e .` in a checkout or `pip install --force-reinstall tinynet-mytorch`"
    )

library_path = _native.__file__

_FLOAT32 = np.dtype(np.float32)
_RELU_FROM = 1024  # elements; below about 500 the second Python call costs more than np.maximum


def relu(x: Array) -> Any:
    """max(x, 0), NaN passed on, for contiguous float32. -0.0 stays -0.0, as in torch."""
    if x.size < _RELU_FROM or x.dtype is not _FLOAT32 or not x.flags.c_contiguous:
        return NotImplemented
    return _native.relu(x, np.empty_like(x))


overrides: dict[str, Callable[..., Any]] = {"relu": relu}
