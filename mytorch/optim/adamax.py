"""Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.blocks import blocks, effective_gradient, update_mean
from mytorch.optim.optimizer import Optimizer, as_number, check_betas, check_options, count_step, step_array

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@kernel
def adamax_step(param: Array, grad: Array, exp_avg: Array, exp_inf: Array, *, step: float, lr: float, beta1: float, beta2: float,
                eps: float, weight_decay: float, maximize: bool) -> None:
    """Step number `step` (from 1) of Adamax, in place."""
    alpha = lr / (1 - beta1**step)
    for p, g, m, u, s, t in blocks(param, grad, exp_avg, exp_inf):
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        update_mean(m, g, beta1, t)
        # u_t = max(beta2 u_{t-1}, |g_t| + eps)
        np.abs(g, out=t)
        t += eps
        u *= beta2
        np.maximum(u, t, out=u)
        # theta_t = theta_{t-1} - alpha_t m_t / u_t
        np.divide(m, u, out=t)
        t *= alpha
        p -= t


class Adamax(Optimizer):
    """Adamax: Adam with the largest recent gradient in place of the root of the mean square.

    m_t = beta1 * m_{t-1} + (1 - beta1) * g_t
    u_t = max(beta2 * u_{t-1}, |g_t| + eps)
    theta_t = theta_{t-1} - lr / (1 - beta1^t) * m_t / u_t

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        betas: decay rates of the mean and of the maximum.
        eps: added to the size of the gradient.
        weight_decay: L2 penalty, added to the gradient.
        maximize: ascend instead.
    State: step, exp_avg (m) and exp_inf (u).
    Raises:
        ValueError: for a negative option, or a beta outside [0, 1).
    Source: Kingma, Ba 2015, algorithm 2, arXiv:1412.6980
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False) -> None:
        check_options({"lr": lr, "eps": eps})
        check_betas(betas)
        check_options({"weight_decay": weight_decay})
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "exp_avg" not in state:
            state["step"] = step_array()
            state["exp_avg"] = np.zeros_like(param)
            state["exp_inf"] = np.zeros_like(param)
        step = count_step(state)
        beta1, beta2 = group["betas"]
        adamax_step(param, grad, state["exp_avg"], state["exp_inf"], step=step, lr=as_number(group["lr"]),
                    beta1=beta1, beta2=beta2, eps=group["eps"], weight_decay=group["weight_decay"], maximize=group["maximize"])
