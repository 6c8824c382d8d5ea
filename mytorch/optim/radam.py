"""RAdam: rectified Adam."""

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
def radam_step(param: Array, grad: Array, exp_avg: Array, exp_avg_sq: Array, *, alpha: float, eps: float | None, decay: float,
               beta1: float, beta2: float, weight_decay: float, maximize: bool) -> None:
    """One step of RAdam, in place, of size `alpha`; `eps` is None while the variance is not trusted, and v then only gathers.
    The weights are multiplied by `decay` before."""
    for p, g, m, v, s, t in blocks(param, grad, exp_avg, exp_avg_sq):
        if decay != 1:
            p *= decay
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        update_mean(m, g, beta1, t)
        update_mean_square(v, g, beta2, t)
        # theta_t = theta_{t-1} - alpha m_t / (sqrt(v_t) + eps)
        np.multiply(m, alpha, out=s)
        if eps is not None:
            np.sqrt(v, out=t)
            t += eps
            s /= t
        p -= s


class RAdam(Optimizer):
    """RAdam: Adam that steps by the mean gradient alone until its variance rests on enough gradients.

    rho_inf = 2 / (1 - beta2) - 1
    rho_t = rho_inf - 2 * t * beta2^t / (1 - beta2^t)
    r_t = sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t))
    theta_t = theta_{t-1} - lr * r_t * m_hat * sqrt(1 - beta2^t) / (sqrt(v_t) + eps)    if rho_t > 5
    theta_t = theta_{t-1} - lr * m_hat                                                otherwise

    where m_t, v_t and m_hat = m_t / (1 - beta1^t) are Adam's.

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        betas: decay rates of the two means.
        eps: added to the denominator.
        weight_decay: L2 penalty, added to the gradient.
        decoupled_weight_decay: shrink the weights directly, as AdamW does.
        maximize: ascend instead.
    State: step, exp_avg (m), exp_avg_sq (v).
    Raises:
        ValueError: for a negative option, or a beta outside [0, 1).
    Source: Liu and others 2020, algorithm 2, arXiv:1908.03265 (which asks for rho_t > 4)
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False) -> None:
        check_options({"lr": lr, "eps": eps})
        check_betas(betas)
        check_options({"weight_decay": weight_decay})
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
                                  "foreach": foreach, "capturable": capturable,
                                  "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "exp_avg" not in state:
            state["step"] = step_array()
            state["exp_avg"] = np.zeros_like(param)
            state["exp_avg_sq"] = np.zeros_like(param)
        step = count_step(state)
        lr = as_number(group["lr"])
        beta1, beta2 = group["betas"]
        correction2 = 1 - beta2**step
        alpha = lr / (1 - beta1**step)
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * beta2**step / correction2
        trusted = rho > 5.0
        if trusted:
            r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            alpha *= r * math.sqrt(correction2)
        decoupled = group["decoupled_weight_decay"]
        radam_step(param, grad, state["exp_avg"], state["exp_avg_sq"], alpha=alpha, eps=group["eps"] if trusted else None,
                   decay=1 - lr * group["weight_decay"] if decoupled else 1, beta1=beta1, beta2=beta2,
                   weight_decay=0 if decoupled else group["weight_decay"], maximize=group["maximize"])
