"""RMSprop."""

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
def rmsprop_step(param: Array, grad: Array, square_avg: Array, grad_avg: Array | None, momentum_buffer: Array | None, *,
                 lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, maximize: bool) -> None:
    """One step of RMSprop, in place; with `grad_avg` it is centered."""
    for p, g, v, m, b, s, t in blocks(param, grad, square_avg, grad_avg, momentum_buffer):
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        update_mean_square(v, g, alpha, t)
        if m is not None:
            # m_t = alpha m_{t-1} + (1 - alpha) g_t; the variance v_t - m_t^2 takes the place of v_t
            np.subtract(g, m, out=t)
            t *= 1 - alpha
            m += t
            np.multiply(m, m, out=t)
            v = np.subtract(v, t, out=t)
        np.sqrt(v, out=t)
        t += eps
        np.divide(g, t, out=t)
        if b is not None:
            # b_t = momentum b_{t-1} + g_t / (sqrt(v_t) + eps)
            b *= momentum
            b += t
        # theta_t = theta_{t-1} - lr b_t
        p -= np.multiply(t if b is None else b, lr, out=t)


class RMSprop(Optimizer):
    """RMSprop: divide the gradient by the root of a running mean of its square.

    v_t = alpha * v_{t-1} + (1 - alpha) * g_t^2
    theta_t = theta_{t-1} - lr * g_t / (sqrt(v_t) + eps)

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        alpha: decay rate of the running mean.
        eps: added to the denominator.
        weight_decay: L2 penalty, added to the gradient.
        momentum: if not 0, the quotients gather in a momentum buffer.
        centered: divide by the root of the estimated variance instead (subtract the squared mean gradient).
        maximize: ascend instead.
    State: step, square_avg (v), momentum_buffer with momentum, grad_avg with centered.
    Raises:
        ValueError: for a negative option.
    Source: Tieleman, Hinton 2012, Coursera lecture 6.5; centered: Graves 2013, eq. 38-45, arXiv:1308.0850
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0, momentum: float = 0, centered: bool = False, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False) -> None:
        check_options({"lr": lr, "eps": eps, "momentum": momentum, "weight_decay": weight_decay, "alpha": alpha})
        super().__init__(params, {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
                                  "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        if "square_avg" not in state:
            state["step"] = step_array()
            state["square_avg"] = np.zeros_like(param)
            if momentum > 0:
                state["momentum_buffer"] = np.zeros_like(param)
            if group["centered"]:
                state["grad_avg"] = np.zeros_like(param)
        count_step(state)
        rmsprop_step(param, grad, state["square_avg"], state["grad_avg"] if group["centered"] else None,
                     state["momentum_buffer"] if momentum > 0 else None, lr=as_number(group["lr"]), alpha=group["alpha"],
                     eps=group["eps"], weight_decay=group["weight_decay"], momentum=momentum, maximize=group["maximize"])
