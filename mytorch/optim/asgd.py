"""ASGD: averaged stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.blocks import blocks, effective_gradient
from mytorch.optim.optimizer import Optimizer, as_number, check_options, count_step, step_array

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@kernel
def asgd_step(param: Array, grad: Array, ax: Array, *, eta: float, mu: float, lambd: float, weight_decay: float,
              maximize: bool) -> None:
    """One step of ASGD, in place."""
    for p, g, mean, s, t in blocks(param, grad, ax):
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        # theta_t = (1 - lambd eta_t) theta_{t-1} - eta_t g_t
        np.multiply(g, eta, out=t)
        p *= 1 - lambd * eta
        p -= t
        # the mean of the weights: a_t = a_{t-1} + mu_t (theta_t - a_{t-1})
        np.subtract(p, mean, out=t)
        t *= mu
        mean += t


class ASGD(Optimizer):
    """ASGD: gradient descent that also keeps the mean of the weights since step t0.

    theta_t = (1 - lambd * eta_t) * theta_{t-1} - eta_t * g_t
    a_t = a_{t-1} + mu_t * (theta_t - a_{t-1})
    eta_{t+1} = lr / (1 + lambd * lr * t)^alpha,  mu_{t+1} = 1 / max(1, t - t0)

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        lambd: decay of the weights and, with `alpha`, of the learning rate.
        alpha: power of that decay.
        t0: the step from which the mean is taken.
        weight_decay: L2 penalty, added to the gradient.
        maximize: ascend instead.
    State: step, eta, mu and ax (the mean).
    Raises:
        ValueError: for a negative lr or weight_decay.
    Source: Polyak, Juditsky 1992, "Acceleration of stochastic approximation by averaging"; Bottou 2010, section 5.1
    """

    _counters = ("step", "eta", "mu")

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75,
                 t0: float = 1e6, weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
                 capturable: bool = False) -> None:
        check_options({"lr": lr, "weight_decay": weight_decay})
        super().__init__(params, {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
                                  "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
                                  "capturable": capturable})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        lr = as_number(group["lr"])
        if "ax" not in state:
            state["step"] = step_array()
            state["eta"] = step_array(lr)
            state["mu"] = step_array(1.0)
            state["ax"] = np.zeros_like(param)
        step = count_step(state)
        asgd_step(param, grad, state["ax"], eta=state["eta"].item(), mu=state["mu"].item(), lambd=group["lambd"],
                  weight_decay=group["weight_decay"], maximize=group["maximize"])
        state["eta"][...] = lr / (1 + group["lambd"] * lr * step) ** group["alpha"]
        state["mu"][...] = 1 / max(1, step - group["t0"])
