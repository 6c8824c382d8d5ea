"""Overrides of kernels by the C++ extension: which calls it answers, by kernel name. One file per family, as in csrc/kernels.

An override has the signature of the kernel it replaces. It declines, by returning NotImplemented, whatever the extension does not
do (dtype, layout) or does no faster than NumPy (small sizes); it declines here, in Python, before any native call. The arrays are
the caller's: an override never writes to its inputs. Results are annotated Any: an array, or NotImplemented.

Importing this module raises ImportError where the extension is missing or does not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.backends.native import (
    activations,
    arrange,
    attention,
    bfloat16,
    choose,
    conv,
    copy,
    draws,
    extremes,
    functions,
    gate,
    losses,
    matmul,
    norm,
    optim,
    order,
    pointwise,
    pool,
    recurrent,
    resize,
    scan,
    scatter,
    softmax,
    sums,
)
from mytorch.backends.native import extension as extension
from mytorch.backends.native.extension import library_path as library_path

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

overrides: dict[str, Callable[..., Any]] = {}
for _family in (activations, arrange, attention, bfloat16, choose, conv, copy, draws, extremes, functions, gate, losses, matmul, norm, optim,
                order, pointwise, pool, recurrent, resize, scan, scatter, softmax, sums):
    overrides.update(_family.overrides)
for _name, _stay_wide in bfloat16.WIDENED.items():
    if _name in overrides:
        overrides[_name] = bfloat16.widening(overrides[_name], _stay_wide)
