"""Stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.blocks import blocks, effective_gradient
from mytorch.optim.optimizer import Optimizer, as_number, check_options

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@kernel
def sgd_step(param: Array, grad: Array, momentum_buffer: Array | None, lr: float, momentum: float, dampening: float,
             weight_decay: float, nesterov: bool, maximize: bool, first: bool) -> None:
    """One step of SGD, in place; `first` says that the momentum buffer holds nothing yet."""
    for p, g, b, s, t in blocks(param, grad, momentum_buffer):
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        if b is not None:
            # b_t = momentum b_{t-1} + (1 - dampening) g_t, and b_1 = g_1
            if first:
                np.copyto(b, g)
            else:
                b *= momentum
                b += np.multiply(g, 1 - dampening, out=t) if dampening else g
            # Nesterov looks ahead: g_t + momentum b_t
            g = np.add(g, np.multiply(b, momentum, out=t), out=s) if nesterov else b
        # theta_t = theta_{t-1} - lr g_t
        p -= np.multiply(g, lr, out=t)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay.

    g_t = gradient + weight_decay * theta_{t-1}
    b_t = momentum * b_{t-1} + (1 - dampening) * g_t,  b_1 = g_1   (with nesterov, g_t + momentum * b_t replaces b_t below)
    theta_t = theta_{t-1} - lr * b_t

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        momentum, dampening, nesterov: see above; without momentum, b_t = g_t.
        weight_decay: L2 penalty.
        maximize: ascend instead.
    State: momentum_buffer, where momentum is not 0.
    Raises:
        ValueError: for negative lr, momentum or weight_decay, and for nesterov without momentum or with dampening.
    Source: Polyak 1964; Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization and momentum in deep
        learning", eq. 1-4, in the form that scales by lr outside the buffer.
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: float | Tensor = 0, nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 differentiable: bool = False, fused: bool | None = None) -> None:
        check_options({"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                                  "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
                                  "differentiable": differentiable, "fused": fused})

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        first = momentum != 0 and "momentum_buffer" not in state
        if first:
            state["momentum_buffer"] = np.empty_like(param)
        lr = group["lr"]
        sgd_step(param, grad, state["momentum_buffer"] if momentum != 0 else None, lr if type(lr) is float else as_number(lr), momentum,
                 group["dampening"], as_number(group["weight_decay"]), group["nesterov"], group["maximize"], first)
