"""`torch.backends.cudnn` and its neighbours: switches of libraries that are not here. They can be set and are without effect."""

from __future__ import annotations

from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}': if torch has it, it is not supported yet")


class _CudnnSwitches(_Absent):
    """`torch.backends.cudnn`: its switches can also be set for the length of a `with` block."""

    def set_flags(self, _enabled: bool | None = None, _benchmark: bool | None = None, _benchmark_limit: int | None = None,
                  _deterministic: bool | None = None, _allow_tf32: bool | None = None) -> tuple[Any, ...]:
        """Set those that are given; what all five were before."""
        names = ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")
        before = tuple(getattr(self, name) for name in names)
        given = (_enabled, _benchmark, _benchmark_limit, _deterministic, _allow_tf32)
        self.__dict__.update({name: value for name, value in zip(names, given, strict=True) if value is not None})
        return before

    @contextmanager
    def flags(self, enabled: bool = False, benchmark: bool = False, benchmark_limit: int = 10, deterministic: bool = False,
              allow_tf32: bool = True) -> Iterator[None]:
        """Other switches inside the block, those of before after it."""
        before = self.set_flags(enabled, benchmark, benchmark_limit, deterministic, allow_tf32)
        try:
            yield
        finally:
            self.set_flags(*before)


class _CudaSwitches(_Absent):
    """`torch.backends.cuda`: like the others, with the switches of its matrix products one level deeper."""

    def __init__(self) -> None:
        super().__init__("cuda", matmul=_Absent("cuda.matmul", allow_tf32=False, fp32_precision="ieee"))

    def enable_flash_sdp(self, enabled: bool) -> None:
        """Accepted without effect."""

    enable_mem_efficient_sdp = enable_math_sdp = enable_flash_sdp


class _Cpu(ModuleType):
    """`torch.backends.cpu`."""

    def get_cpu_capability(self) -> str:
        """The instruction set of the kernels in use, as torch spells it: 'AVX512', 'AVX2' or 'DEFAULT'."""
        from mytorch.backends import instruction_set
        name = instruction_set()
        return {"": "DEFAULT", "baseline": "DEFAULT", "amx": "AVX512"}.get(name, name.upper())


cpu = _Cpu("mytorch.backends.cpu")
cudnn = _CudnnSwitches("cudnn", benchmark=False, benchmark_limit=10, deterministic=False, enabled=True, allow_tf32=True)
cuda = _CudaSwitches()
mps = _Absent("mps")
mkl = _Absent("mkl")
mkldnn = _Absent("mkldnn", enabled=False)
openmp = _Absent("openmp")
