"""Adam: adaptive moment estimation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.blocks import blocks, effective_gradient, update_mean, update_mean_square
from mytorch.optim.optimizer import Optimizer, as_number, check_betas, check_options, count_step, step_array
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Array = np.ndarray[Any, Any]
    Betas = tuple[float | Tensor, float | Tensor]

__mytorch__ = True


@kernel
def adam_step(param: Array, grad: Array, exp_avg: Array, exp_avg_sq: Array, max_exp_avg_sq: Array | None, step: float,
              lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, maximize: bool) -> None:
    """Step number `step` (from 1) of Adam, in place; `decoupled` weight decay is AdamW's, a `max_exp_avg_sq` AMSGrad's."""
    # The reordering of section 2 of the paper: both bias corrections go into the step size, and into eps.
    correction2 = math.sqrt(1 - beta2**step)
    alpha = lr * correction2 / (1 - beta1**step)
    eps_hat = eps * correction2
    for p, g, m, v, v_max, s, t in blocks(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq):
        if decoupled and weight_decay:
            p *= 1 - lr * weight_decay
        g = effective_gradient(p, g, s, t, 0 if decoupled else weight_decay, maximize)
        update_mean(m, g, beta1, t)
        update_mean_square(v, g, beta2, t)
        if v_max is not None:
            v = np.maximum(v_max, v, out=v_max)
        # theta_t = theta_{t-1} - alpha_t m_t / (sqrt(v_t) + eps_hat)
        np.sqrt(v, out=t)
        t += eps_hat
        np.divide(m, t, out=t)
        t *= alpha
        p -= t


class Adam(Optimizer):
    """Adam: each weight's step is its mean gradient over the root of its mean squared gradient.

    m_t = beta1 * m_{t-1} + (1 - beta1) * g_t
    v_t = beta2 * v_{t-1} + (1 - beta2) * g_t^2
    theta_t = theta_{t-1} - lr * (m_t / (1 - beta1^t)) / (sqrt(v_t / (1 - beta2^t)) + eps)

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        betas: decay rates of the two means, both numbers or both one-element Tensors.
        eps: added to the denominator.
        weight_decay: L2 penalty, added to the gradient.
        amsgrad: divide by the largest v_t so far.
        maximize: ascend instead.
        decoupled_weight_decay: shrink the weights directly, as AdamW does.
    State: step, exp_avg (m), exp_avg_sq (v), and max_exp_avg_sq with amsgrad.
    Raises:
        ValueError: for a negative option, a beta outside [0, 1), or a Tensor lr that has more than one element.
    Source: Kingma, Ba 2015, algorithm 1, arXiv:1412.6980; amsgrad: Reddi, Kale, Kumar 2018, arXiv:1904.09237
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
                 capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
                 decoupled_weight_decay: bool = False) -> None:
        check_options({"lr": lr, "eps": eps, "weight_decay": weight_decay})
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_betas(betas)
        if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
            raise ValueError("betas must be either both floats or both Tensors")
        if isinstance(betas[0], Tensor) and foreach and not capturable:
            raise ValueError("betas[0] as a Tensor is not supported for capturable=False and foreach=True")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                                  "maximize": maximize, "foreach": foreach, "capturable": capturable,
                                  "differentiable": differentiable, "fused": fused,
                                  "decoupled_weight_decay": decoupled_weight_decay})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "exp_avg" not in state:
            state["step"] = step_array()
            state["exp_avg"] = np.zeros_like(param)
            state["exp_avg_sq"] = np.zeros_like(param)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = np.zeros_like(param)
        step = count_step(state)
        beta1, beta2 = group["betas"]
        adam_step(param, grad, state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"] if group["amsgrad"] else None,
                  step, as_number(group["lr"]), as_number(beta1), as_number(beta2), group["eps"], group["weight_decay"],
                  group["decoupled_weight_decay"], group["maximize"])
