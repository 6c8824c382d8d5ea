"""map_location: where storages go. Everything goes to main memory; other places are refused with torch's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.device import device
from mytorch.serialization.rebuild import Storage

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True


def restorer(map_location: Any) -> Callable[[Storage, str], Storage]:
    """What to call with each storage and the location that the file gives for it.

    Args:
        map_location: None, a device or its name, a dict from the file's locations to new ones, or a function of
            (storage, location) that returns the storage, or None for the default.

    Raises:
        TypeError: for anything else.
    """
    if map_location is None:
        return _restore
    if isinstance(map_location, dict):
        return lambda storage, location: _restore(storage, str(map_location.get(location, location)))
    if isinstance(map_location, (str, device, bytes)):
        wanted = map_location.decode("ascii", "replace") if isinstance(map_location, bytes) else str(map_location)
        return lambda storage, location: _restore(storage, wanted)
    if not callable(map_location):
        raise TypeError("load: map_location must be None, a device, a string, a dict or a function of (storage, location), "
                        f"got {type(map_location).__name__}")

    def ask(storage: Storage, location: str) -> Storage:
        result = map_location(storage, location)
        if result is None:
            return _restore(storage, location)
        if not isinstance(result, Storage):
            raise TypeError("load: the function given as map_location must return a storage or None, "
                            f"got {type(result).__name__}")
        return result

    return ask


def _restore(storage: Storage, location: str) -> Storage:
    kind = location.split(":", 1)[0]
    if kind == "cpu":
        return storage
    if kind in ("cuda", "hpu", "xpu", "mtia"):
        raise RuntimeError(f"Attempting to deserialize object on a {kind.upper()} device but torch.{kind}.is_available() is "
                           "False. If you are running on a CPU-only machine, please use torch.load with "
                           "map_location=torch.device('cpu') to map your storages to the CPU.")
    if kind == "meta":
        raise NotImplementedError("load: map_location='meta' is not supported: there are no tensors without data; use 'cpu'")
    raise RuntimeError("don't know how to restore data location of torch.storage.UntypedStorage "
                       f"(tagged with {location[:80]!r}); use map_location='cpu'")
