"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.blocks import blocks, effective_gradient, update_mean, update_mean_square
from mytorch.optim.optimizer import Optimizer, as_number, check_betas, check_options, count_step, step_array

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@kernel
def nadam_step(param: Array, grad: Array, exp_avg: Array, exp_avg_sq: Array, *, step: float, of_grad: float, of_mean: float,
               decay: float, beta1: float, beta2: float, eps: float, weight_decay: float, maximize: bool) -> None:
    """Step number `step` (from 1) of NAdam, in place: `of_grad` and `of_mean` are the step sizes of g and of m, and the
    weights are multiplied by `decay` before."""
    correction2 = math.sqrt(1 - beta2**step)
    for p, g, m, v, s, t in blocks(param, grad, exp_avg, exp_avg_sq):
        if decay != 1:
            p *= decay
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        update_mean(m, g, beta1, t)
        update_mean_square(v, g, beta2, t)
        # theta_t = theta_{t-1} - (of_grad g_t + of_mean m_t) / (sqrt(v_t) / correction2 + eps)
        np.multiply(g, of_grad, out=s)
        np.multiply(m, of_mean, out=t)
        s += t
        np.sqrt(v, out=t)
        t /= correction2
        t += eps
        s /= t
        p -= s


class NAdam(Optimizer):
    """NAdam: Adam that looks one step of momentum ahead, with a momentum that grows from beta1 / 2 to beta1.

    mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2)
    m_t = beta1 * m_{t-1} + (1 - beta1) * g_t
    v_t = beta2 * v_{t-1} + (1 - beta2) * g_t^2
    m_hat = mu_{t+1} * m_t / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) * g_t / (1 - mu_1 ... mu_t)
    theta_t = theta_{t-1} - lr * m_hat / (sqrt(v_t / (1 - beta2^t)) + eps)

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        betas: decay rates of the two means.
        eps: added to the denominator.
        weight_decay: L2 penalty, added to the gradient.
        momentum_decay: how fast mu_t grows.
        decoupled_weight_decay: shrink the weights directly, as AdamW does.
        maximize: ascend instead.
    State: step, mu_product, exp_avg (m), exp_avg_sq (v).
    Raises:
        ValueError: for a negative option, or a beta outside [0, 1).
    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2 and section 3
    """

    _counters = ("step", "mu_product")

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
                 decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
                 differentiable: bool = False) -> None:
        check_options({"lr": lr, "eps": eps})
        check_betas(betas)
        check_options({"weight_decay": weight_decay, "momentum_decay": momentum_decay})
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
                                  "maximize": maximize, "foreach": foreach, "capturable": capturable,
                                  "differentiable": differentiable})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "exp_avg" not in state:
            state["step"] = step_array()
            state["mu_product"] = step_array(1.0)
            state["exp_avg"] = np.zeros_like(param)
            state["exp_avg_sq"] = np.zeros_like(param)
        step = count_step(state)
        lr = as_number(group["lr"])
        beta1, beta2 = group["betas"]
        mu = beta1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * group["momentum_decay"]))
        state["mu_product"] *= mu
        product = state["mu_product"].item()
        decoupled = group["decoupled_weight_decay"]
        nadam_step(param, grad, state["exp_avg"], state["exp_avg_sq"], step=step, of_grad=lr * (1 - mu) / (1 - product),
                   of_mean=lr * mu_next / (1 - product * mu_next), decay=1 - lr * group["weight_decay"] if decoupled else 1,
                   beta1=beta1, beta2=beta2, eps=group["eps"], weight_decay=0 if decoupled else group["weight_decay"],
                   maximize=group["maximize"])
