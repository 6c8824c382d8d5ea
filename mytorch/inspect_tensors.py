"""Questions about tensors and settings of the library: is_tensor, allclose, equal, result_type, set_num_threads, ..."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import backends, dtypes
from mytorch.autograd_engine import TensorBase
from mytorch.device import device, require_cpu
from mytorch.ops.common import require_tensor
from mytorch.ops.common import result_dtype as _result_dtype

__mytorch__ = True


def is_tensor(obj: Any) -> bool:
    """Is the object a Tensor?"""
    return isinstance(obj, TensorBase)


def is_storage(obj: Any) -> bool:
    """Is the object a storage, as `tensor.untyped_storage()` gives?"""
    import sys

    storages = sys.modules.get("mytorch.storage")
    return storages is not None and isinstance(obj, (storages.UntypedStorage, storages.TypedStorage))


def is_floating_point(input: Any) -> bool:  # noqa: A002
    """Is the dtype a floating one?"""
    require_tensor("is_floating_point", input)
    return bool(input.dtype.is_floating_point)


def is_complex(input: Any) -> bool:  # noqa: A002
    """Is the dtype a complex one?"""
    require_tensor("is_complex", input)
    return bool(input.dtype.is_complex)


def is_nonzero(input: Any) -> bool:  # noqa: A002
    """Is the only element not zero?"""
    return bool(input)


def numel(input: Any) -> int:  # noqa: A002
    """The number of elements."""
    require_tensor("numel", input)
    return int(input._array.size)


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The dtype of an arithmetic operation on two tensors or numbers."""
    return _result_dtype(*[x._array if isinstance(x, TensorBase) else x for x in (tensor1, tensor2)])


def can_cast(from_: dtypes.dtype, to: dtypes.dtype) -> bool:
    """May a value of one dtype be cast to the other without changing its kind: complex to real, float to integer, number to bool?"""
    return from_.category <= to.category


def set_default_tensor_type(t: Any) -> None:
    """Legacy: the default dtype by the name of a tensor type, such as 'torch.DoubleTensor'."""
    if getattr(t, "is_cuda", False) or (isinstance(t, str) and t.startswith("torch.cuda.")):
        raise TypeError(f"type {t if isinstance(t, str) else f'torch.cuda.{t.__name__}'} not available: this build computes on the CPU.")
    dtypes.set_default_dtype(dtypes.from_legacy_name(t) if isinstance(t, str) else t.dtype)


def set_default_device(device: Any) -> None:
    """Accepts 'cpu'; RuntimeError for anything else."""
    require_cpu(device)


def get_default_device() -> Any:
    """The device of new tensors: the CPU."""
    return device("cpu")


def typename(obj: Any) -> str:
    """The name of an object's type; of a tensor, the legacy name of its dtype: 'torch.FloatTensor'."""
    if isinstance(obj, TensorBase):
        return str(obj.type())  # type: ignore[attr-defined]
    kind = type(obj)
    return kind.__qualname__ if kind.__module__ in ("builtins", "__builtin__") else f"{kind.__module__}.{kind.__qualname__}"


def get_num_interop_threads() -> int:
    """The number of operations that run at once: 1, each where it is called."""
    return 1


def set_num_interop_threads(num: int) -> None:
    """Accepted: operations run one after the other.

    Raises:
        RuntimeError: if the number is not a positive integer.
    """
    if not isinstance(num, int) or num <= 0:
        raise RuntimeError("set_num_interop_threads expects a positive integer")


def set_flush_denormal(mode: bool) -> bool:
    """Treat the tiniest floats as zero? Returns False: NumPy keeps them."""
    return False


def get_num_threads() -> int:
    """The number of threads that an operation may use: what was set, or MYTORCH_NUM_THREADS, OMP_NUM_THREADS or all processors."""
    return backends.get_num_threads()


def set_num_threads(num: int) -> None:
    """Let operations use that many threads: the native kernels and, from this call on, NumPy's BLAS, which else decides by itself.

    Results do not depend on it: every kernel gives the same bits on any number of threads.

    Raises:
        RuntimeError: if the number is not a positive integer.
    """
    if not isinstance(num, int) or num <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    backends.set_num_threads(num)
    setter = _blas_thread_setter()
    if setter is not None:
        setter(num)


def _blas_thread_setter() -> Any:
    """The function of NumPy's BLAS that sets its number of threads, or None where it has none."""
    import ctypes
    from pathlib import Path

    package = Path(np.__file__).parent  # wheels keep the BLAS beside the package: numpy.libs, or .dylibs on macOS
    for library in (*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")):
        handle = ctypes.CDLL(str(library))  # loaded already: this only finds it
        for name in ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads"):
            if hasattr(handle, name):
                return getattr(handle, name)
    return None


_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted: float32 products are always computed in float32 ('highest')."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"{precision} is not one of 'highest', 'high', 'medium'")
    _precision = precision


def get_float32_matmul_precision() -> str:
    """The precision that was set last; products are computed in float32 in any case."""
    return _precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: every algorithm here is deterministic."""


def get_deterministic_debug_mode() -> int:
    """2, which is 'error': every algorithm here is deterministic."""
    return 2


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Accepted: every algorithm here is deterministic."""


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Would an algorithm that is not deterministic only warn? There is none."""
    return False


def are_deterministic_algorithms_enabled() -> bool:
    """Always True: every algorithm here is deterministic."""
    return True


def compile(model: Any = None, **options: Any) -> Any:  # noqa: A001
    """The model or function itself: everything runs eagerly. Usable as a decorator, as torch's is."""
    return (lambda function: function) if model is None else model


def cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
    """`true_fn(*operands)` if pred holds, else `false_fn(*operands)`; the gradient goes through the branch that ran.

    Raises:
        RuntimeError: if pred is a tensor of several elements.
    """
    if isinstance(pred, TensorBase) and pred._array.size != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    return true_fn(*operands) if pred else false_fn(*operands)


def get_device_module(device: Any = None) -> Any:
    """The module of a device: `torch.cpu`, or `torch.cuda`, which answers that there is none.

    Raises:
        RuntimeError: for a device without a module.
    """
    import importlib
    kind = "cpu" if device is None else str(getattr(device, "type", device)).partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise RuntimeError(f"Invalid device '{device}', a valid device type is one of: ['cpu', 'cuda']")
    return importlib.import_module(f"mytorch.{kind}")


_warn_always = False


def set_warn_always(b: bool) -> None:
    """torch's switch to repeat warnings of its C++ part, which has none here: it is remembered."""
    global _warn_always
    _warn_always = bool(b)


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was told."""
    return _warn_always


__all__ = [name for name in dir() if not name.startswith("_") and name not in ("annotations", "np")]
