"""`SummaryWriter`: TensorBoard's event files, written by the package tensorboardX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.errors import missing_package

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter as SummaryWriter

__mytorch__ = True


def __getattr__(name: str) -> Any:
    if name != "SummaryWriter":
        raise AttributeError(f"module 'mytorch.utils.tensorboard' has no attribute '{name}'")
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise missing_package("torch.utils.tensorboard.SummaryWriter", "tensorboardX", "tensorboard") from None
    return SummaryWriter
