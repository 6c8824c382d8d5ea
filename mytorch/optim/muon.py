"""Muon: momentum whose update is made orthogonal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mytorch import dtypes
from mytorch.autograd_engine import no_grad
from mytorch.optim.optimizer import Optimizer, as_number
from mytorch.tensor import Tensor, _wrap

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Array = np.ndarray[Any, Any]

__mytorch__ = True


@no_grad()
def orthogonalized(matrix: Array, coefficients: tuple[float, float, float], steps: int, eps: float) -> Array:
    """About U V^T of the matrix's U S V^T: Newton and Schulz' iteration X <- a X + (b X X^T + c (X X^T)^2) X, in bfloat16 as torch's."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    a, b, c = coefficients
    x = _wrap(matrix).to(dtypes.bfloat16)
    tall = matrix.shape[0] > matrix.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=eps)  # singular values of at most 1, where the iteration converges
    for _ in range(steps):
        gram = x @ x.T
        x = x.addmm(gram.addmm(gram, gram, beta=b, alpha=c), x, beta=a)
    wide: Array = (x.T if tall else x).float()._array
    return wide


class Muon(Optimizer):
    """Muon: SGD with momentum, each step made orthogonal, so that all directions of a weight matrix move alike.

    B_t = momentum * B_{t-1} + (1 - momentum) * g_t
    O_t = orthogonalized((1 - momentum) * g_t + momentum * B_t with nesterov, else B_t)
    theta_t = theta_{t-1} (1 - lr * weight_decay) - lr * s * O_t

    with s = sqrt(max(1, rows / columns)) for "original" and 0.2 sqrt(max(rows, columns)) for "match_rms_adamw". For the matrices
    of hidden layers; embeddings, biases and the last layer are for AdamW.

    Args:
        params: two-dimensional Parameters or groups of them, see Optimizer.
        lr: learning rate, a number or a one-element Tensor.
        weight_decay: shrinks the weights directly.
        momentum: decay rate of B.
        nesterov: look one step ahead.
        ns_coefficients: (a, b, c) of Newton and Schulz' iteration.
        eps: the smallest norm that a matrix is divided by.
        ns_steps: iterations.
        adjust_lr_fn: "original" (None) or "match_rms_adamw".
    State: momentum_buffer (B).
    Raises:
        ValueError: for a negative option, an unknown adjust_lr_fn, or a parameter that is no matrix.
    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et al. 2025, arXiv:2502.16982
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95, nesterov: bool = True,
                 ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315), eps: float = 1e-7, ns_steps: int = 5,
                 adjust_lr_fn: str | None = None) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for name, value in (("Learning rate", as_number(lr)), ("momentum", momentum), ("weight decay", weight_decay)):
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
                                  "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}")

    def _step_parameter(self, p: Tensor, grad: Array, group: dict[str, Any]) -> None:
        if p.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        super()._step_parameter(p, grad, group)

    def _update(self, param: Array, grad: Array, state: dict[str, Array], group: dict[str, Any]) -> None:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = np.zeros_like(grad)
        mean, momentum, lr = state["momentum_buffer"], group["momentum"], as_number(group["lr"])
        mean += (grad - mean) * mean.dtype.type(1 - momentum)
        update = grad + (mean - grad) * mean.dtype.type(momentum) if group["nesterov"] else mean
        update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = param.shape
        scale = 0.2 * math.sqrt(max(rows, columns)) if group["adjust_lr_fn"] == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
        param *= 1 - lr * group["weight_decay"]
        param -= update.astype(param.dtype) * param.dtype.type(lr * scale)
