"""`torch.accelerator` where there is none: questions are answered, requests say why they cannot be met."""

from __future__ import annotations

from typing import Any

__mytorch__ = True


def is_available() -> bool:
    """Always False: this build computes on the CPU."""
    return False


def device_count() -> int:
    """Always 0."""
    return 0


def current_accelerator(check_available: bool = False) -> Any:
    """The accelerator's device: None."""
    return None


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("Cannot access accelerator device when none is available.")


synchronize = current_device_index = current_device_idx = set_device_index = set_device_idx = current_stream = set_stream = _refuse
memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = memory_stats = empty_cache = get_memory_info = _refuse
reset_peak_memory_stats = reset_accumulated_memory_stats = get_device_capability = _refuse


class device_index:  # noqa: N801 - torch's name
    """`with torch.accelerator.device_index(i):` does nothing for None and raises RuntimeError otherwise."""

    def __init__(self, device: int | None) -> None:
        self.idx = device

    def __enter__(self) -> None:
        if self.idx is not None:
            _refuse()

    def __exit__(self, *exc: object) -> None:
        return None
