"""`torch.cpu`: the device that is always there, under the names that programs for any device ask for."""

from __future__ import annotations

from typing import Any

__mytorch__ = True


def is_available() -> bool:
    """Always True."""
    return True


def is_initialized() -> bool:
    """Always True."""
    return True


def device_count() -> int:
    """Always 1."""
    return 1


def current_device() -> str:
    """Always 'cpu'."""
    return "cpu"


def set_device(device: Any) -> None:
    """Accepted: there is one."""


def synchronize(device: Any = None) -> None:
    """Nothing to wait for: operations have ended when they return."""


def empty_cache() -> None:
    """Give the memory that waits in the kernels' pool back to the system. torch has the name for other devices only.

    Arrays that are alive stay as they are. The next ones cost fresh memory: call it after the large model, not in a loop.
    """
    from mytorch import backends
    backends.empty_cache()


class Stream:
    """A queue of work: there is one, and it is always empty."""

    def __init__(self, priority: int = -1) -> None:
        self.priority = priority

    def wait_stream(self, stream: Stream) -> None:
        """Nothing to wait for."""

    def synchronize(self) -> None:
        """Nothing to wait for."""


_stream = Stream()


def current_stream(device: Any = None) -> Stream:
    """The one stream."""
    return _stream


class stream:  # noqa: N801 - torch's name
    """`with torch.cpu.stream(s):` changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> Stream | None:
        return self.stream

    def __exit__(self, *exc: object) -> None:
        return None


def __getattr__(name: str) -> Any:
    if name == "amp":
        import importlib
        return importlib.import_module("mytorch.cpu.amp")
    raise AttributeError(f"module 'mytorch.cpu' has no attribute '{name}': if torch has it, it is not supported yet")
