"""`torch.backends.cudnn` and its neighbours: switches of libraries that are not here. They can be set and are without effect."""

from __future__ import annotations

from typing import Any

__mytorch__ = True


class _Absent:
    """A library that this build does not use: its switches may be set, `is_available()` is False."""

    def __init__(self, **switches: Any) -> None:
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
        super().__init__(matmul=_Absent(allow_tf32=False, fp32_precision="ieee"))

    def enable_flash_sdp(self, enabled: bool) -> None:
        """Accepted without effect."""

    enable_mem_efficient_sdp = enable_math_sdp = enable_flash_sdp


cudnn = _Absent(benchmark=False, deterministic=False, enabled=True, allow_tf32=True)
cuda = _CudaSwitches()
mps = _Absent()
mkl = _Absent()
mkldnn = _Absent(enabled=False)
openmp = _Absent()
