"""`torch.cuda` where there is none: questions are answered (no device), requests say why they cannot be met."""

from __future__ import annotations

from typing import Any

from mytorch.device import device as device_type
from mytorch.device import require_cpu

__mytorch__ = True


def is_available() -> bool:
    """Always False: this build computes on the CPU."""
    return False


def is_initialized() -> bool:
    """Always False."""
    return False


def device_count() -> int:
    """Always 0."""
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without effect, as in torch without a GPU."""


def manual_seed_all(seed: int) -> None:
    """Accepted without effect, as in torch without a GPU."""


def empty_cache() -> None:
    """Nothing is cached."""


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Always False: no device."""
    return False


def _refuse(*args: Any, **kwargs: Any) -> Any:
    return require_cpu(device_type("cuda"))


synchronize = current_device = set_device = get_device_name = get_device_properties = get_device_capability = memory_allocated = _refuse
max_memory_allocated = memory_reserved = max_memory_reserved = reset_peak_memory_stats = current_stream = Stream = Event = _refuse
mem_get_info = stream = get_rng_state = set_rng_state = init = _refuse


def __getattr__(name: str) -> Any:
    if name.endswith("Tensor"):  # torch.cuda.FloatTensor: to compare with
        from mytorch.cuda.legacy import TYPES
        if name in TYPES:
            return TYPES[name]
    if name in ("random", "amp"):
        import importlib
        return importlib.import_module(f"mytorch.cuda.{name}")
    raise AttributeError(f"module 'mytorch.cuda' has no attribute '{name}': if torch has it, it is not supported yet")


class device:  # noqa: N801 - torch's name
    """`with torch.cuda.device(i):` does nothing for None or a negative index and raises RuntimeError otherwise."""

    def __init__(self, device: Any) -> None:
        if device is not None and device != -1:
            _refuse()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None
