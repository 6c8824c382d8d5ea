"""One module on several devices, under torch.nn.parallel's names. This build has one device, so there is nothing to split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.device import require_cpu
from mytorch.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__mytorch__ = True

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


class DataParallel(Module):
    """A module whose batches torch splits over its GPUs. Where there is none, in torch as here, it calls `module` itself.

    What stays of it is the wrapper: parameters are named "module.weight", as in checkpoints of models trained on GPUs.

    Args:
        module: the module to call.
        device_ids, output_device: None, an empty list, or devices that this build has.
        dim: the dimension of the batch, kept for scripts that read it.
    Raises:
        RuntimeError: for a device that this build does not have.
    """

    def __init__(self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        for device in [*(device_ids or ()), output_device]:
            require_cpu(device)
        self.module = module
        self.dim = dim
        self.device_ids: list[Any] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """A module whose gradients torch averages over processes. Here there is one process: the name can be imported and asked for, not called.

    Raises:
        ValueError: always; in torch, where no process group has been made.
    """

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        raise ValueError("Default process group has not been initialized: torch.distributed is not available here (is_available() is "
                         "False), so DistributedDataParallel cannot wrap a module: run as one process, and train the module itself")


def data_parallel(module: Module, inputs: Any, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0,
                  module_kwargs: dict[str, Any] | None = None) -> Any:
    """`module(*inputs, **module_kwargs)`: `DataParallel` as a function."""
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*arguments, **(module_kwargs or {}))
