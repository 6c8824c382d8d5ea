"""SparseAdam, which is refused: there are no sparse gradients here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__mytorch__ = True


class SparseAdam(Optimizer):
    """Adam for sparse gradients alone. Raises NotImplementedError: gradients are dense here, so use Adam."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 maximize: bool = False) -> None:
        raise NotImplementedError("SparseAdam is not supported: it takes sparse gradients only, and gradients are dense here; use Adam")
