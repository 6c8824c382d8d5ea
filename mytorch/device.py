"""Devices. Arrays live in main memory; the other names are known so that asking for one fails with a reason."""

from __future__ import annotations

import re
from typing import Any

from mytorch import errors

__mytorch__ = True

_KINDS = ("cpu", "cuda", "meta", "mps", "xpu", "mtia", "hip", "xla", "ipu", "vulkan", "hpu", "privateuseone")
_PATTERN = re.compile(r"([a-z]+)(?::(0|[1-9][0-9]*))?$")


class device:  # noqa: N801 - torch's name
    """A kind of device and an optional index: ``device("cpu")``, ``device("cuda", 0)``, ``device("cuda:0")``.

    Raises:
        RuntimeError: if the name is not a device that torch knows.
    """

    __slots__ = ("index", "type")

    index: int | None
    type: str

    def __init__(self, type: str | int | device, index: int | None = None) -> None:  # noqa: A002 - torch's name
        if isinstance(type, device):
            index = type.index
            type = type.type  # noqa: A001 - torch's name
        elif isinstance(type, int):
            index = type
            type = "cuda"  # noqa: A001
        if index is not None and not isinstance(index, int):
            raise errors.type_error("device", "index", 2, "int", index)
        found = _PATTERN.match(type)
        if found is None:
            raise RuntimeError(f"Invalid device string: '{type}'")
        if found[1] not in _KINDS:
            raise RuntimeError(f"Expected one of {', '.join(_KINDS)} device type at start of device string: {found[1]}")
        if found[2] is not None and index is not None:
            raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {type}")
        self.type = found[1]
        self.index = int(found[2]) if found[2] is not None else index

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type,) if self.index is None else (self.type, self.index))

    def __enter__(self) -> device:
        require_cpu(self)
        return self

    def __exit__(self, *exc: object) -> None:
        return None


CPU = device("cpu")


class NoCudaError(RuntimeError, AssertionError):
    """A CUDA device was asked for. torch without CUDA raises AssertionError here and RuntimeError there: this is both."""


def require_cpu(where: Any) -> device:
    """The device asked for, if it is one that this build has.

    Raises:
        NoCudaError: (a RuntimeError) for CUDA devices. NotImplementedError: for every other device but the CPU.
    """
    if where is None or where is CPU:
        return CPU
    wanted = where if isinstance(where, device) else device(where)
    if wanted.type == "cpu":
        return CPU
    if wanted.type == "cuda":
        raise NoCudaError(f"device '{wanted}' asked for, but mytorch computes on the CPU and was not compiled with CUDA enabled "
                           "(torch.cuda.is_available() is False): use device='cpu'")
    raise NotImplementedError(f"device '{wanted}' asked for, but mytorch has only the device 'cpu': use device='cpu'")
