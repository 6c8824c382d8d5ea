"""Rprop: resilient backpropagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.blocks import blocks
from mytorch.optim.optimizer import Optimizer, as_number, check_options, count_step, step_array

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@kernel
def rprop_step(param: Array, grad: Array, prev: Array, step_size: Array, *, eta_minus: float, eta_plus: float, smallest: float,
               largest: float, maximize: bool) -> None:
    """One step of Rprop, in place."""
    for p, g, before, d, s, t in blocks(param, grad, prev, step_size):
        if maximize:
            g = np.negative(g, out=s)
        np.multiply(g, before, out=t)
        turned = t < 0
        # d_t = d_{t-1} eta_plus where g keeps its sign, d_{t-1} eta_minus where it turns
        np.multiply(d, eta_plus, out=d, where=t > 0)
        np.multiply(d, eta_minus, out=d, where=turned)
        np.clip(d, smallest, largest, out=d)
        # where it turns there is no step, and the next one counts as a first
        np.copyto(before, g)
        before[turned] = 0
        # theta_t = theta_{t-1} - d_t sign(g_t)
        np.sign(before, out=t)
        t *= d
        p -= t


class Rprop(Optimizer):
    """Rprop: each weight has a step of its own, which grows while the gradient keeps its sign and shrinks when it turns.

    d_t = clip(d_{t-1} * eta_plus) if g_t * g_{t-1} > 0, clip(d_{t-1} * eta_minus) and g_t = 0 if < 0, else d_{t-1}
    theta_t = theta_{t-1} - d_t * sign(g_t)

    For full batches: the noise of small ones turns the sign.

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: the first step, a number or a one-element Tensor.
        etas: (eta_minus, eta_plus).
        step_sizes: the smallest and the largest step.
        maximize: ascend instead.
    State: step, prev (g of the last step) and step_size (d).
    Raises:
        ValueError: for a negative lr, or etas that are not 0 < eta_minus < 1 < eta_plus.
    Source: Riedmiller, Braun 1993, "A direct adaptive method for faster backpropagation learning"
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False) -> None:
        check_options({"lr": lr})
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable, "capturable": capturable})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "prev" not in state:
            state["step"] = step_array()
            state["prev"] = np.zeros_like(param)
            state["step_size"] = np.full_like(param, as_number(group["lr"]))
        count_step(state)
        eta_minus, eta_plus = group["etas"]
        smallest, largest = group["step_sizes"]
        rprop_step(param, grad, state["prev"], state["step_size"], eta_minus=eta_minus, eta_plus=eta_plus, smallest=smallest,
                   largest=largest, maximize=group["maximize"])
