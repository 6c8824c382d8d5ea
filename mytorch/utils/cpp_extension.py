"""torch's path for extensions in C++ and CUDA, which link against PyTorch itself: importing it is harmless, using it raises."""

from __future__ import annotations

from typing import Any

__mytorch__ = True

CUDA_HOME: str | None = None


def _refuse(name: str) -> NotImplementedError:
    return NotImplementedError(f"utils.cpp_extension.{name} is not supported: such an extension is compiled against PyTorch's own library. "
                               "Write a torch.autograd.Function, or call your library through ctypes on tensor.numpy()")


def CppExtension(name: str, sources: list[str], *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - torch's name
    """Not supported: raises NotImplementedError."""
    raise _refuse("CppExtension")


def CUDAExtension(name: str, sources: list[str], *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - torch's name
    """Not supported: raises NotImplementedError."""
    raise _refuse("CUDAExtension")


def load(name: str, sources: Any, *args: Any, **kwargs: Any) -> Any:
    """Not supported: raises NotImplementedError."""
    raise _refuse("load")


def load_inline(name: str, cpp_sources: Any, *args: Any, **kwargs: Any) -> Any:
    """Not supported: raises NotImplementedError."""
    raise _refuse("load_inline")


class BuildExtension:
    """Not supported: making one raises NotImplementedError."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise _refuse("BuildExtension")

    @classmethod
    def with_options(cls, **options: Any) -> Any:
        """Not supported: raises NotImplementedError."""
        raise _refuse("BuildExtension")


__all__ = ["BuildExtension", "CUDAExtension", "CppExtension", "load", "load_inline"]
