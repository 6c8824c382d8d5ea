"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.optim.adam import Adam

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.optim.adam import Betas
    from mytorch.tensor import Tensor

__mytorch__ = True


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly, so that it is not divided by the root of v_t.

    theta_t = (1 - lr * weight_decay) * theta_{t-1} - Adam's step

    Args:
        weight_decay: shrinkage per step, times lr.
        params, lr, betas, eps, amsgrad, maximize: as for Adam.
    State: as for Adam.
    Raises:
        ValueError: as for Adam.
    Source: Loshchilov, Hutter 2019, algorithm 2, arXiv:1711.05101
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 capturable: bool = False, differentiable: bool = False, fused: bool | None = None) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
                         differentiable=differentiable, fused=fused, decoupled_weight_decay=True)
