"""The backend seam: a kernel is a NumPy function; a backend may answer in its place.

`@kernel` marks the NumPy reference, which lives in mytorch/ops/. If a backend has an override of that name, the kernel becomes a
call of the override that falls back on the reference when the override declines (returns NotImplemented); if none has, the kernel
is the reference itself and costs nothing. Kernels take and return arrays: nothing here knows tensors.

MYTORCH_BACKEND, read once when this module is imported, chooses: `reference` binds no override, `native` insists on the C++
extension, and unset or `auto` uses the extension where there is one.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

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


def _with_override(reference: Callable[P, R], override: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(reference)
    def ask_override_first(*args: P.args, **kwargs: P.kwargs) -> R:
        y = override(*args, **kwargs)
        return reference(*args, **kwargs) if y is NotImplemented else y

    return ask_override_first


def _load(choice: str) -> tuple[dict[str, Callable[..., Any]], tuple[bool, str]]:
    """The overrides by kernel name, and the status, for a value of MYTORCH_BACKEND."""
    if choice not in ("", "auto", "native", "reference"):
        raise ValueError(f"MYTORCH_BACKEND is {choice!r}; expected auto, native or reference (or leave it unset)")
    if choice == "reference":
        return {}, (False, "MYTORCH_BACKEND=reference asks for NumPy alone")
    try:
        from mytorch.backends import native
    except ImportError as error:
        reason = _explain(error)
        if choice == "native":
            raise ImportError(f"MYTORCH_BACKEND=native, but {reason}") from error
        return {}, (False, reason)
    return native.overrides, (True, f"the extension {native.library_path} is loaded")


def _explain(error: ImportError) -> str:
    if error.name == "mytorch._native" and isinstance(error, ModuleNotFoundError):
        return (
            "the extension mytorch._native was not built: a source tree that is not installed has none, and an install leaves it "
            "out where a working C++17 compiler or the headers of Python are missing; `pip install -v` shows what it found"
        )
    if error.name == "mytorch._native":
        return f"the extension mytorch._native does not load: {error}"
    return str(error)


_overrides, _status = _load(os.environ.get("MYTORCH_BACKEND", ""))


def __getattr__(name: str) -> Any:
    """torch's own `torch.backends.cudnn`, `.mps` and so on: see faces.py."""
    if name in ("cudnn", "cuda", "mps", "mkl", "mkldnn", "openmp"):
        import importlib
        return getattr(importlib.import_module("mytorch.backends.faces"), name)
    raise AttributeError(f"module 'mytorch.backends' has no attribute '{name}'")
