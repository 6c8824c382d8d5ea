"""Adadelta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.blocks import blocks, effective_gradient, update_mean_square
from mytorch.optim.optimizer import Optimizer, as_number, check_options, count_step, step_array

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@kernel
def adadelta_step(param: Array, grad: Array, square_avg: Array, acc_delta: Array, *, lr: float, rho: float, eps: float,
                  weight_decay: float, maximize: bool) -> None:
    """One step of Adadelta, in place."""
    for p, g, v, u, s, t in blocks(param, grad, square_avg, acc_delta):
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        update_mean_square(v, g, rho, t)
        # d_t = sqrt(u_{t-1} + eps) / sqrt(v_t + eps) g_t
        np.add(v, eps, out=t)
        np.sqrt(t, out=t)
        np.divide(g, t, out=s)
        np.add(u, eps, out=t)
        np.sqrt(t, out=t)
        s *= t
        # u_t = rho u_{t-1} + (1 - rho) d_t^2
        np.multiply(s, 1 - rho, out=t)
        t *= s
        u *= rho
        u += t
        # theta_t = theta_{t-1} - lr d_t
        s *= lr
        p -= s


class Adadelta(Optimizer):
    """Adadelta: the step is the gradient, scaled from the size of past gradients to the size of past steps.

    v_t = rho * v_{t-1} + (1 - rho) * g_t^2
    d_t = sqrt(u_{t-1} + eps) / sqrt(v_t + eps) * g_t
    u_t = rho * u_{t-1} + (1 - rho) * d_t^2
    theta_t = theta_{t-1} - lr * d_t

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: a factor on every step, a number or a one-element Tensor.
        rho: decay rate of both means.
        eps: added under both roots.
        weight_decay: L2 penalty, added to the gradient.
        maximize: ascend instead.
    State: step, square_avg (v) and acc_delta (u).
    Raises:
        ValueError: for a negative option or a rho outside [0, 1].
    Source: Zeiler 2012, algorithm 1, arXiv:1212.5701
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1.0, rho: float = 0.9, eps: float = 1e-6,
                 weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
                 differentiable: bool = False) -> None:
        check_options({"lr": lr})
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_options({"eps": eps, "weight_decay": weight_decay})
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
                                  "capturable": capturable, "foreach": foreach, "differentiable": differentiable})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "square_avg" not in state:
            state["step"] = step_array()
            state["square_avg"] = np.zeros_like(param)
            state["acc_delta"] = np.zeros_like(param)
        count_step(state)
        adadelta_step(param, grad, state["square_avg"], state["acc_delta"], lr=as_number(group["lr"]), rho=group["rho"],
                      eps=group["eps"], weight_decay=group["weight_decay"], maximize=group["maximize"])
