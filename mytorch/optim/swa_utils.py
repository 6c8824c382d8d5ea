"""Averages of weights over training: AveragedModel, its averaging functions, SWALR and update_bn, as torch.optim.swa_utils."""

from __future__ import annotations

import itertools
import math
from copy import deepcopy
from typing import TYPE_CHECKING

from mytorch import nn
from mytorch.autograd_engine import no_grad
from mytorch.nn.batchnorm import _BatchNorm
from mytorch.ops.create import tensor
from mytorch.optim.lr_base import LRScheduler, per_group
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from mytorch.optim.optimizer import Optimizer

__mytorch__ = True

__all__ = ["AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn"]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """The exponential mean: `fn(averaged, now, count)` is decay * averaged + (1 - decay) * now.

    Raises:
        ValueError: for a decay outside [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """The plain mean: `fn(averaged, now, count)` is averaged + (now - averaged) / (count + 1).

    Source: Izmailov et al. 2018, arXiv:1803.05407
    """

    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], None]:
    """`get_ema_avg_fn` for lists of tensors, in place."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list: Any, current_param_list: Any, _: Any) -> None:
        for averaged, now in zip(ema_param_list, current_param_list, strict=True):
            if averaged.is_floating_point() or averaged.is_complex():
                averaged.lerp_(now, 1 - decay)
            else:
                averaged.copy_(averaged * decay + now * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable[[Any, Any, Any], None]:
    """`get_swa_avg_fn` for lists of tensors, in place."""

    @no_grad()
    def swa_update(averaged_param_list: Any, current_param_list: Any, num_averaged: Any) -> None:
        for averaged, now in zip(averaged_param_list, current_param_list, strict=True):
            if averaged.is_floating_point() or averaged.is_complex():
                averaged.lerp_(now, float(1 / (num_averaged + 1)))
            else:
                averaged.add_(now - averaged, alpha=1 / (num_averaged + 1))

    return swa_update


class AveragedModel(nn.Module):
    """A copy of a model whose parameters are means of those that the model had at each `update_parameters(model)`.

    Args:
        model: copied.
        device: only the CPU exists.
        avg_fn: `fn(averaged, now, count)` gives the new mean of one parameter; the plain mean by default.
        multi_avg_fn: the same in place, for lists of parameters.
        use_buffers: average buffers as well; otherwise they are copied.
    State: module, the averaged copy; n_averaged, how many were averaged.
    Raises:
        AssertionError: if both functions are given.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, device: Any = None, avg_fn: Callable[..., Any] | None = None,
                 multi_avg_fn: Callable[..., Any] | None = None, use_buffers: bool = False) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model answers."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: nn.Module) -> None:
        """Take the model's parameters into the means."""
        averaged = list(itertools.chain(self.module.parameters(), self.module.buffers()) if self.use_buffers else self.parameters())
        now = list(itertools.chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters())
        averaged, now = [t.detach() for t in averaged], [t.detach() for t in now]
        count = int(self.n_averaged.item())
        with no_grad():
            if count == 0:
                for mean, value in zip(averaged, now, strict=True):
                    mean.copy_(value)
            elif self.multi_avg_fn is not None:
                self.multi_avg_fn(averaged, now, self.n_averaged)
            else:
                mean_of = self.avg_fn or get_swa_avg_fn()
                for mean, value in zip(averaged, now, strict=True):
                    mean.copy_(mean_of(mean, value, self.n_averaged))
            if not self.use_buffers:
                for mean, value in zip(self.module.buffers(), model.buffers(), strict=True):
                    mean.detach().copy_(value.detach())
            self.n_averaged += 1


@no_grad()
def update_bn(loader: Iterable[Any], model: nn.Module, device: Any = None) -> None:
    """Set the running statistics of all batch norms to the means over one pass of the loader; its batches, or their first item, are
    the model's input. Needed after weights were averaged."""
    norms = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            module.reset_running_stats()
            norms[module] = module.momentum
    if not norms:
        return
    was_training = model.training
    model.train()
    for module in norms:
        module.momentum = None  # the plain mean over all batches
    for batch in loader:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(x.to(device) if device is not None else x)
    for module, momentum in norms.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Moves the learning rate from what it is to `swa_lr` in `anneal_epochs` steps, then keeps it.

    Args:
        optimizer: whose groups it sets.
        swa_lr: the last learning rate, one for all groups or one each.
        anneal_epochs: steps on the way.
        anneal_strategy: "cos" or "linear".
        last_epoch: the step to go on from, -1 for the beginning.
    Raises:
        ValueError: for an unknown strategy, or anneal_epochs that is not an integer of 0 or more.
    """

    def __init__(self, optimizer: Optimizer, swa_lr: float | list[float], anneal_epochs: int = 10, anneal_strategy: str = "cos",
                 last_epoch: int = -1) -> None:
        for lr, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, t: float) -> float:
        """How far, from 0 to 1, of the way at t of the time."""
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        """The next learning rates: the way that was left, from the share that the last step had to that of this one."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before = self._share(max(0, min(1, (step - 1) / max(1, self.anneal_epochs))))
        share = self._share(max(0, min(1, step / max(1, self.anneal_epochs))))
        found = []
        for group in self.optimizer.param_groups:
            last, lr = group["swa_lr"], group["lr"]
            start = last if before == 1 else (lr - before * last) / (1 - before)
            found.append(last * share + start * (1 - share))
        return found
