"""Adafactor: second moments kept as a row and a column per matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mytorch.backends import kernel
from mytorch.optim.optimizer import Optimizer, as_number, count_step, step_array
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Array = np.ndarray[Any, Any]

__mytorch__ = True


def _rms(x: Array) -> float:
    """The root of the mean square."""
    return float(np.linalg.norm(x)) / math.sqrt(max(x.size, 1))


def _decayed(mean: Array, now: Array, weight: float) -> None:
    """mean + weight (now - mean), in place."""
    mean += (now - mean) * mean.dtype.type(weight)


@kernel
def adafactor_step(param: Array, grad: Array, row_var: Array | None, col_var: Array | None, variance: Array | None, *, step: float,
                   lr: float, beta2_decay: float, eps1: float, eps2: float, d: float, weight_decay: float, maximize: bool) -> None:
    """Step number `step` (from 1) of Adafactor, in place: with row_var and col_var for two dimensions and more, else with variance."""
    if maximize:
        grad = -grad
    weight = step**beta2_decay  # 1 - beta2 of this step
    alpha = max(eps2, _rms(param)) * min(lr, 1 / math.sqrt(step))
    if weight_decay:
        param *= 1 - lr * weight_decay
    if row_var is not None and col_var is not None:
        # ||g||^2 / n as the mean of squares, along rows and along columns
        _decayed(row_var, np.square(np.linalg.norm(grad, axis=-1, keepdims=True)) / grad.shape[-1], weight)
        _decayed(col_var, np.square(np.linalg.norm(grad, axis=-2, keepdims=True)) / grad.shape[-2], weight)
        estimate = row_var @ col_var
        estimate /= np.maximum(row_var.mean(-2, keepdims=True), eps1)
    else:
        assert variance is not None
        _decayed(variance, grad * grad, weight)
        estimate = variance.copy()
    # U_t = g_t / sqrt(V_t), then clipped to an RMS of d
    update = np.maximum(estimate, eps1 * eps1, out=estimate)
    np.reciprocal(np.sqrt(update, out=update), out=update)
    update *= grad
    param -= update * param.dtype.type(alpha / max(1.0, _rms(update) / d))


class Adafactor(Optimizer):
    """Adafactor: Adam's second moment of an n x m matrix from n + m numbers, and steps relative to the size of the weights.

    R_t, C_t = the decaying means of g_t^2 along rows and along columns, with beta2_t = 1 - t^beta2_decay
    V_t = R_t C_t / max(mean(R_t), eps1); of a vector, the decaying mean of g_t^2
    U_t = g_t / max(sqrt(V_t), eps1), divided by max(1, RMS(U_t) / d)
    theta_t = theta_{t-1} (1 - lr * weight_decay) - max(eps2, RMS(theta_{t-1})) * min(lr, 1/sqrt(t)) * U_t

    Args:
        params: Parameters or groups of them, see Optimizer.
        lr: the largest relative step, a number or a one-element Tensor.
        beta2_decay: the exponent of beta2's decay.
        eps: (eps1, eps2); None for eps1 is the dtype's eps.
        d: the largest RMS of an update.
        weight_decay: shrinks the weights directly.
        maximize: ascend instead.
    State: step, row_var and col_var of a matrix (or more dimensions), variance of a vector.
    Raises:
        ValueError: for a negative option, or d below 1.
    Source: Shazeer, Stern 2018, arXiv:1804.04235, with torch's use of lr and eps1
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
                 foreach: bool | None = None, maximize: bool = False) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if beta2_decay > 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        if not as_number(lr) >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        super().__init__(params, {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
                                  "foreach": foreach, "maximize": maximize})

    def _step_parameter(self, p: Tensor, grad: Array, group: dict[str, Any]) -> None:
        if p.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        super()._step_parameter(p, grad, group)

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "step" not in state:
            state["step"] = step_array()
            if grad.ndim > 1:
                state["row_var"] = np.zeros((*grad.shape[:-1], 1), grad.dtype)
                state["col_var"] = np.zeros((*grad.shape[:-2], 1, grad.shape[-1]), grad.dtype)
            else:
                state["variance"] = np.zeros_like(grad)
        step = count_step(state)
        eps1, eps2 = group["eps"]
        adafactor_step(param, grad, state.get("row_var"), state.get("col_var"), state.get("variance"), step=step,
                       lr=as_number(group["lr"]), beta2_decay=group["beta2_decay"], eps1=np.finfo(param.dtype).eps if eps1 is None else eps1,
                       eps2=eps2, d=group["d"], weight_decay=group["weight_decay"], maximize=group["maximize"])
