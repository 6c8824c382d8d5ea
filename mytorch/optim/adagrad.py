"""Adagrad."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.dtypes import cast
from mytorch.optim.blocks import blocks, effective_gradient
from mytorch.optim.optimizer import Optimizer, as_number, check_options, count_step, new_step, step_array
from mytorch.tensor import _wrap

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@kernel
def adagrad_step(param: Array, grad: Array, sum_sq: Array, *, lr: float, eps: float, weight_decay: float, maximize: bool) -> None:
    """One step of Adagrad, in place."""
    for p, g, v, s, t in blocks(param, grad, sum_sq):
        g = effective_gradient(p, g, s, t, weight_decay, maximize)
        # v_t = v_{t-1} + g_t^2
        v += np.multiply(g, g, out=t)
        # theta_t = theta_{t-1} - lr g_t / (sqrt(v_t) + eps)
        np.sqrt(v, out=t)
        t += eps
        np.divide(g, t, out=t)
        t *= lr
        p -= t


class Adagrad(Optimizer):
    """Adagrad: divide the gradient by the root of the sum of all its squares so far.

    v_t = v_{t-1} + g_t^2
    theta_t = theta_{t-1} - lr / (1 + (t - 1) * lr_decay) * g_t / (sqrt(v_t) + eps)

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        lr_decay: how fast the learning rate falls with the number of steps.
        weight_decay: L2 penalty, added to the gradient.
        initial_accumulator_value: v_0.
        eps: added to the denominator.
        maximize: ascend instead.
    State: step and sum (v), there from the start.
    Raises:
        ValueError: for a negative option.
    Source: Duchi, Hazan, Singer 2011, "Adaptive subgradient methods", JMLR 12, figure 1 with diagonal matrices
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, fused: bool | None = None) -> None:
        check_options({"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay,
                       "initial_accumulator_value": initial_accumulator_value, "eps": eps})
        super().__init__(params, {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
                                  "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable, "fused": fused})
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"step": new_step(), "sum": _wrap(_initial_sum(p._array, group))}

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "sum" not in state:  # a group that was added later
            state["step"] = step_array()
            state["sum"] = _initial_sum(param, group)
        step = count_step(state)
        lr = as_number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        adagrad_step(param, grad, state["sum"], lr=lr, eps=group["eps"], weight_decay=group["weight_decay"],
                     maximize=group["maximize"])


def _initial_sum(param: Array, group: dict[str, Any]) -> Array:
    value = group["initial_accumulator_value"]
    if param.dtype.kind == "c":
        value = complex(value, value)  # the squares of the real and of the imaginary part are summed apart
    total = np.empty_like(param)
    total[...] = cast(np.asarray(value), param.dtype)
    return total
