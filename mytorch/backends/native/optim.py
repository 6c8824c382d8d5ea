"""Steps of optimizers: csrc/kernels/optim.cpp.

A kernel declines arrays that are not of one shape and dtype, or not contiguous; any size pays, since the reference is a dozen
calls of NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.backends.native.extension import Array, K

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True


def _done(param: Any) -> Any:
    """None, as the references return, if the kernel has answered."""
    return NotImplemented if param is NotImplemented else None


def sgd_step(param: Array, grad: Array, momentum_buffer: Array | None, lr: float, momentum: float, dampening: float,
             weight_decay: float, nesterov: bool, maximize: bool, first: bool) -> Any:
    """p, and the momentum buffer if there is one."""
    return _done(K.sgd_step(param, grad, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, first))


def adam_step(param: Array, grad: Array, exp_avg: Array, exp_avg_sq: Array, max_exp_avg_sq: Array | None, step: float,
              lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, maximize: bool) -> Any:
    """p, m, v, and the largest v if it is kept."""
    return _done(K.adam_step(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, decoupled,
                             maximize))


def adamax_step(param: Array, grad: Array, exp_avg: Array, exp_inf: Array, *, step: float, lr: float, beta1: float, beta2: float,
                eps: float, weight_decay: float, maximize: bool) -> Any:
    """p, m and u."""
    return _done(K.adamax_step(param, grad, exp_avg, exp_inf, step, lr, beta1, beta2, eps, weight_decay, maximize))


def nadam_step(param: Array, grad: Array, exp_avg: Array, exp_avg_sq: Array, *, step: float, of_grad: float, of_mean: float,
               decay: float, beta1: float, beta2: float, eps: float, weight_decay: float, maximize: bool) -> Any:
    """p, m and v."""
    return _done(K.nadam_step(param, grad, exp_avg, exp_avg_sq, step, of_grad, of_mean, decay, beta1, beta2, eps, weight_decay, maximize))


def radam_step(param: Array, grad: Array, exp_avg: Array, exp_avg_sq: Array, *, alpha: float, eps: float | None, decay: float,
               beta1: float, beta2: float, weight_decay: float, maximize: bool) -> Any:
    """p, m and v."""
    trusted = eps is not None
    return _done(K.radam_step(param, grad, exp_avg, exp_avg_sq, alpha, eps if trusted else 0.0, trusted, decay, beta1, beta2, weight_decay,
                              maximize))


def adagrad_step(param: Array, grad: Array, sum_sq: Array, *, lr: float, eps: float, weight_decay: float, maximize: bool) -> Any:
    """p and v."""
    return _done(K.adagrad_step(param, grad, sum_sq, lr, eps, weight_decay, maximize))


def adadelta_step(param: Array, grad: Array, square_avg: Array, acc_delta: Array, *, lr: float, rho: float, eps: float,
                  weight_decay: float, maximize: bool) -> Any:
    """p, v and u."""
    return _done(K.adadelta_step(param, grad, square_avg, acc_delta, lr, rho, eps, weight_decay, maximize))


def asgd_step(param: Array, grad: Array, ax: Array, *, eta: float, mu: float, lambd: float, weight_decay: float,
              maximize: bool) -> Any:
    """p and its mean."""
    return _done(K.asgd_step(param, grad, ax, eta, mu, lambd, weight_decay, maximize))


def rmsprop_step(param: Array, grad: Array, square_avg: Array, grad_avg: Array | None, momentum_buffer: Array | None, *,
                 lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, maximize: bool) -> Any:
    """p, v, and the mean gradient and the momentum buffer if there are."""
    return _done(K.rmsprop_step(param, grad, square_avg, grad_avg, momentum_buffer, lr, alpha, eps, weight_decay, momentum, maximize))


def rprop_step(param: Array, grad: Array, prev: Array, step_size: Array, *, eta_minus: float, eta_plus: float, smallest: float,
               largest: float, maximize: bool) -> Any:
    """p, the gradient that counts next time, and d."""
    return _done(K.rprop_step(param, grad, prev, step_size, eta_minus, eta_plus, smallest, largest, maximize))


overrides: dict[str, Callable[..., Any]] = {
    step.__name__: step for step in (sgd_step, adam_step, adamax_step, nadam_step, radam_step, adagrad_step, adadelta_step, asgd_step,
                                     rmsprop_step, rprop_step)
}
