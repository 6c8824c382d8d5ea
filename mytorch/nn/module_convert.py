"""Conversion of modules: to another dtype, to a device. `Module` binds these functions as its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch import dtypes
from mytorch.autograd_engine import no_grad
from mytorch.device import device as Device
from mytorch.nn.parameter import type_name
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from mytorch.nn.module import Module

    M = TypeVar("M", bound=Module)

__mytorch__ = True


def _apply(self: M, fn: Callable[[Any], Any], recurse: bool = True) -> M:
    """Replace the data of every Parameter, its gradient, and every buffer by `fn` of it; Parameters stay the same objects."""
    if recurse:
        for module in self.children():
            module._apply(fn)
    for param in self._parameters.values():
        if param is None:
            continue
        with no_grad():
            param.data = fn(param)
            if param.grad is not None:
                wants_grad = param.grad.requires_grad
                param.grad = fn(param.grad).requires_grad_(wants_grad)
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = fn(buffer)
    return self


def to(self: M, *args: Any, **kwargs: Any) -> M:
    """Convert Parameters and buffers in place: `to(dtype)`, `to(device)`, `to(device, dtype)` or `to(tensor)`.

    A dtype changes floating and complex ones only.

    Raises:
        TypeError: if the dtype is an integer type.
        RuntimeError: for a device that is not there.
    """
    device, dtype, non_blocking = _parse_to(*args, **kwargs)
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}")

    def convert(t: Any) -> Any:
        form = kwargs.get("memory_format") if t.dim() in (4, 5) else None  # a layout of images and volumes
        return t.to(device, dtype if t.is_floating_point() or t.is_complex() else None, non_blocking, memory_format=form)

    return self._apply(convert)


def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
    """Move to a device without keeping any value."""
    return self._apply(lambda t: t.new_empty(t.shape, device=device), recurse)


def to_type(self: M, dst_type: Any) -> M:
    """Cast all Parameters and buffers."""
    return self._apply(lambda t: t.type(dst_type))


def to_float(self: M) -> M:
    """Cast floating Parameters and buffers to float32."""
    return self._apply(lambda t: t.float() if t.is_floating_point() else t)


def to_double(self: M) -> M:
    """Cast floating Parameters and buffers to float64."""
    return self._apply(lambda t: t.double() if t.is_floating_point() else t)


def to_half(self: M) -> M:
    """Cast floating Parameters and buffers to float16."""
    return self._apply(lambda t: t.half() if t.is_floating_point() else t)


def to_bfloat16(self: M) -> M:
    """Cast floating Parameters and buffers to bfloat16."""
    return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)


def to_cpu(self: M) -> M:
    """Move to the CPU, where everything is."""
    return self._apply(lambda t: t.cpu())


def to_cuda(self: M, device: Any = None) -> M:
    """Move to a GPU; raises where there is none."""
    return self._apply(lambda t: t.cuda(device))


def to_xpu(self: M, device: Any = None) -> M:
    """Move to an Intel GPU; raises, as there is none."""
    return self.to(f"xpu:{device}" if isinstance(device, int) else device or "xpu")


def to_ipu(self: M, device: Any = None) -> M:
    """Move to a Graphcore IPU; raises, as there is none."""
    return self.to(f"ipu:{device}" if isinstance(device, int) else device or "ipu")


def to_mtia(self: M, device: Any = None) -> M:
    """Move to an MTIA accelerator; raises, as there is none."""
    return self.to(f"mtia:{device}" if isinstance(device, int) else device or "mtia")


def compile_module(self: M, *args: Any, **kwargs: Any) -> None:
    """Accepted, like `torch.compile`: everything runs eagerly, and forward stays as it is."""


def _parse_to(*args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False, tensor: Any = None,
              copy: bool = False, memory_format: Any = None) -> tuple[Any, Any, bool]:
    """The device, dtype and non_blocking that a call of `to` asks for."""
    first = args[0] if args else tensor
    if isinstance(first, Tensor):
        return first.device, first.dtype, non_blocking or (len(args) > 1 and args[1])
    if isinstance(first, dtypes.dtype):
        return device, first, non_blocking or (len(args) > 1 and args[1])
    if first is not None and not isinstance(first, (str, int, Device)):
        raise TypeError(f"to(): argument 'device' (position 1) must be torch.device, not {type_name(first)}")
    names = ("device", "dtype", "non_blocking")
    given = {**dict(zip(names, (device, dtype, non_blocking))), **{n: a for n, a in zip(names, args) if a is not None}}
    return given["device"], given["dtype"], given["non_blocking"]
