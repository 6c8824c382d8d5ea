"""The backend seam: a kernel is a NumPy function; a backend may answer in its place.

`@kernel` marks the NumPy reference, which lives in mytorch/ops/. If a backend has an override of that name, the kernel becomes a
call of the override that falls back on the reference when the override declines (returns NotImplemented); if none has, the kernel
is the reference itself and costs nothing. Kernels take and return arrays: nothing here knows tensors.

MYTORCH_BACKEND, read once when this module is imported, chooses: `reference` binds no override, `native` insists on the C++
extension, and unset or `auto` uses the extension where there is one. MYTORCH_ISA and MYTORCH_NUM_THREADS: docs/native_kernels.md.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, Protocol, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

    class Kernel(Protocol[P, R]):
        """A kernel as `@kernel` leaves it: callable, with both implementations at hand for tests."""

        __name__: str
        reference: Callable[P, R]
        override: Callable[P, R] | None

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


__mytorch__ = True

kernels: dict[str, Kernel[..., Any]] = {}  # every kernel of the package by name, as its module was imported


def kernel(reference: Callable[P, R], *, name: str | None = None) -> Kernel[P, R]:
    """Register a NumPy function as the kernel of its name, and let a backend answer in its place.

    Args:
        reference: the NumPy implementation. Its name is the kernel's name, one in the package.
        name: another name for the kernel: `kernel(lambda x: np.maximum(x, 0), name="relu")`.
    Returns:
        `reference` itself where no backend overrides it, otherwise a function of the same signature that asks the override and,
        if that returns NotImplemented, the reference. Either way it has the attributes `reference` and `override` (or None).
    Raises:
        ValueError: if the name is taken by another kernel.
    """
    if name is None:
        name = reference.__name__
    else:
        reference.__name__ = name
    if name in kernels:
        first = kernels[name].reference.__module__
        raise ValueError(f"kernel: {name!r} in {reference.__module__} is already a kernel in {first}; choose another name")
    override = _overrides.get(name)
    chosen: Any = reference if override is None else _with_override(reference, override)
    chosen.reference = reference
    chosen.override = override
    bound: Kernel[P, R] = chosen
    kernels[name] = bound
    return bound


def native_status() -> tuple[bool, str]:
    """Whether the C++ kernels are in use, and why (not)."""
    return _status


def set_num_threads(count: int) -> None:
    """Let the native kernels use that many threads, 256 at most. Without the extension the number is only remembered."""
    global _threads
    _threads = count
    if _extension is not None:
        _extension.set_num_threads(min(count, MOST_THREADS))


def get_num_threads() -> int:
    """The number of threads that the native kernels may use: what was set last, or as `default_threads` says."""
    return int(_extension.get_num_threads()) if _extension is not None else _threads or default_threads()


def default_threads() -> int:
    """MYTORCH_NUM_THREADS, else the first number of OMP_NUM_THREADS, else the processors that this process may run on.

    Raises:
        ValueError: if MYTORCH_NUM_THREADS is not a positive number. OMP_NUM_THREADS speaks to others too: nonsense there is ignored.
    """
    own = os.environ.get("MYTORCH_NUM_THREADS", "")
    if own:
        if not own.isdecimal() or int(own) < 1:
            raise ValueError(f"MYTORCH_NUM_THREADS is {own!r}; expected a positive number (or leave it unset)")
        return min(int(own), MOST_THREADS)
    openmp = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if openmp.isdecimal() and int(openmp) > 0:
        return min(int(openmp), MOST_THREADS)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, MOST_THREADS)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An array with any contents: over memory that is used again, where the extension has a pool of it."""
    return np.empty(shape, dtype) if _extension is None else _extension.empty(shape, dtype)


def empty_cache() -> None:
    """Give the memory that waits in the pool of the native kernels back to the system (`mytorch.cpu.empty_cache` to users)."""
    if _extension is not None:
        _extension.empty_cache()


def memory() -> tuple[int, int, int]:
    """Bytes of the native kernels' pool: idle, in use, and the largest sum of both so far; zeros without the extension."""
    return _extension.memory() if _extension is not None else (0, 0, 0)


def instruction_set() -> str:
    """The build of the kernels that runs here, 'amx', 'avx512', 'avx2' or 'baseline'; '' without the extension."""
    if _extension is None:
        return ""
    from mytorch.backends.native.extension import K
    return K.isa


def _with_override(reference: Callable[P, R], override: Callable[P, R]) -> Callable[P, R]:
    code = getattr(reference, "__code__", None)
    if code is not None and code.co_argcount == 2 and not code.co_kwonlyargcount and not code.co_flags & _ANY_NUMBER:
        return _with_override_of_two(reference, override)

    @functools.wraps(reference)
    def ask_override_first(*args: P.args, **kwargs: P.kwargs) -> R:
        y = override(*args, **kwargs)
        return reference(*args, **kwargs) if y is NotImplemented else y

    return ask_override_first


def _with_override_of_two(reference: Callable[P, R], override: Callable[P, R]) -> Callable[P, R]:
    """The same for a function of two arrays, the most frequent kind: Python passes two arguments in half the time of `*args`."""
    @functools.wraps(reference)
    def ask_override_first(a: Any, b: Any) -> R:
        y = override(a, b)  # type: ignore[call-arg]
        return reference(a, b) if y is NotImplemented else y  # type: ignore[call-arg]

    return ask_override_first  # type: ignore[return-value]


def _load(choice: str) -> tuple[dict[str, Callable[..., Any]], tuple[bool, str], Any]:
    """The overrides by kernel name, the status, and the extension or None, for a value of MYTORCH_BACKEND."""
    if choice not in ("", "auto", "native", "reference"):
        raise ValueError(f"MYTORCH_BACKEND is {choice!r}; expected auto, native or reference (or leave it unset)")
    if choice == "reference":
        return {}, (False, "MYTORCH_BACKEND=reference asks for NumPy alone"), None
    try:
        from mytorch.backends import native
    except ImportError as error:
        reason = _explain(error)
        if choice == "native":
            raise ImportError(f"MYTORCH_BACKEND=native, but {reason}") from error
        return {}, (False, reason), None
    native.extension.set_num_threads(default_threads())
    return native.overrides, (True, f"the extension {native.library_path} is loaded"), native.extension


def _explain(error: ImportError) -> str:
    if error.name == "mytorch._native" and isinstance(error, ModuleNotFoundError):
        return (
            "the extension mytorch._native was not built: a source tree that is not installed has none, and an install leaves it "
            "out where a working C++17 compiler or the headers of Python are missing; `pip install -v` shows what it found"
        )
    if error.name == "mytorch._native":
        return f"the extension mytorch._native does not load: {error}"
    return str(error)


MANY = 8192  # elements from which callers ask a backend where NumPy takes one pass: a small operation does not pay for the question
_ANY_NUMBER = 0x0c  # the flags of a function with *args or **kwargs
MOST_THREADS = 256  # as many as csrc/threads.cpp has room for
_threads = 0  # what a user set where there is no extension; 0: nothing
_overrides, _status, _extension = _load(os.environ.get("MYTORCH_BACKEND", ""))

# The types of `base` of an array that is no view of another: none, or memory of the pool.
NO_VIEW: tuple[type, ...] = (type(None),) if _extension is None else (type(None), _extension.Block)


def __getattr__(name: str) -> Any:
    """torch's own `torch.backends.cudnn`, `.mps` and so on: see faces.py."""
    if name in ("cpu", "cudnn", "cuda", "mps", "mkl", "mkldnn", "openmp"):
        import importlib
        return getattr(importlib.import_module("mytorch.backends.faces"), name)
    raise AttributeError(f"module 'mytorch.backends' has no attribute '{name}'")
