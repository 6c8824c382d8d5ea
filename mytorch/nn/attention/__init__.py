"""Choosing between implementations of attention, under torch's names. There is one here, and every choice runs it."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__mytorch__ = True

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(Enum):
    """torch's implementations of `nn.functional.scaled_dot_product_attention`. They differ in speed and memory, not in values."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[None]:
    """A block in which attention runs on one of `backends`: here the same implementation whichever is named.

    Raises:
        AssertionError: unless they are SDPBackends.
    """
    named = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(named, (list, tuple)) or not all(isinstance(backend, SDPBackend) for backend in named):
        raise AssertionError(f"Backend must be an instance of SDPBackend or a list of SDPBackend instances, got {backends!r}")
    yield
