"""`torch.backends.cudnn` and its neighbours: switches of libraries that are not here. They can be set and are without effect."""

from __future__ import annotations

from types import ModuleType
from typing import Any

__mytorch__ = True


class _Absent(ModuleType):
    """A library that this build does not use: its switches may be set, `is_available()` is False. A module, since programs import it."""

    def __init__(self, name: str, **switches: Any) -> None:
        super().__init__(f"mytorch.backends.{name}")
        self.__dict__.update(switches)

    def is_available(self) -> bool:
        """Always False."""
        return False

    is_built = is_available

    def version(self) -> None:
        """None: there is no such library here."""
        return


class _CudaSwitches(_Absent):
    """`torch.backends.cuda`: like the others, with the switches of its matrix products one level deeper."""

    def __init__(self) -> None:
        super().__init__("cuda", matmul=_Absent("cuda.matmul", allow_tf32=False, fp32_precision="ieee"))

    def enable_flash_sdp(self, enabled: bool) -> None:
        """Accepted without effect."""

    enable_mem_efficient_sdp = enable_math_sdp = enable_flash_sdp


cudnn = _Absent("cudnn", benchmark=False, deterministic=False, enabled=True, allow_tf32=True)
cuda = _CudaSwitches()
mps = _Absent("mps")
mkl = _Absent("mkl")
mkldnn = _Absent("mkldnn", enabled=False)
openmp = _Absent("openmp")
