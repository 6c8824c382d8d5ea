"""LRScheduler: counts epochs and sets the learning rate of each parameter group. A schedule writes only its formula."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING

from mytorch.optim.optimizer import Optimizer, as_number
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__mytorch__ = True

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from None, the closed form is used "
    "instead of the new chainable form, where available."
)
_DOCS = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"


def warn(text: str, level: int = 3) -> None:
    """A UserWarning at the line that called the caller."""
    import warnings

    warnings.warn(text, UserWarning, stacklevel=level)


def own_value(value: Any) -> Any:
    """A number as it is, a Tensor as a copy that later writes do not change."""
    return value.clone() if isinstance(value, Tensor) else value


def set_option(group: dict[str, Any], name: str, value: Any) -> None:
    """Set an option of a group; a Tensor is written to, so that others who hold it see the change."""
    if isinstance(group[name], Tensor):
        group[name].fill_(as_number(value))
    else:
        group[name] = value


def check_optimizer(optimizer: object) -> None:
    """TypeError unless it is an Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each parameter group, from a single one or from a list.

    Raises:
        ValueError: if the list has another length.
    """
    groups = optimizer.param_groups
    if not isinstance(value, (list, tuple)):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise ValueError(f"{name} must have the same length as optimizer.param_groups. "
                         f"{name} has {len(value)} values, param_groups has {len(groups)}.")
    return list(value)


def _track_steps(optimizer: Optimizer) -> None:
    """Let the optimizer note that it has stepped: the schedule warns where it is stepped first."""
    step = optimizer.step
    if hasattr(step, "_wrapped_by_lr_sched"):
        return
    me = weakref.ref(optimizer)  # the optimizer holds `tracked`: a strong reference back, even a bound method, would be a cycle
    is_method = hasattr(step, "__func__")
    function: Callable[..., Any] = getattr(step, "__func__", step)
    del step

    @functools.wraps(function)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        self = me()
        self._opt_called = True  # type: ignore[union-attr]
        return function(self, *args, **kwargs) if is_method else function(*args, **kwargs)

    tracked._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = tracked  # type: ignore[method-assign]


class LRScheduler:
    """Base of all schedules. A subclass defines `get_lr`: the learning rates of epoch `last_epoch`, one per group.

    It may define `_get_closed_form_lr` too, which knows them from `base_lrs` alone and serves `step(epoch)`.

    Args:
        optimizer: whose groups' "lr" is set; their "initial_lr" remembers the value at the start.
        last_epoch: the last epoch of a run that is resumed, -1 for a new one.
    Raises:
        TypeError: if `optimizer` is no Optimizer.
        KeyError: if a resumed optimizer's groups have no "initial_lr".
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", own_value(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                               "last_epoch >= 0.\nThis typically happens when:\n1. You're trying to resume training from a "
                               "checkpoint but haven't properly loaded the optimizer state\n2. You're using last_epoch >= 0 for "
                               "a fresh training run (not recommended)")
        self.base_lrs = [own_value(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        _track_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the learning rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    # ---- formulas -------------------------------------------------------------------------------------------------------------

    def get_lr(self) -> list[Any]:
        """The learning rates of epoch `last_epoch`, from those of the epoch before."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    @property
    def _lrs(self) -> list[Any]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _warn_outside_step(self) -> None:
        """For `get_lr`: called by hand it gives the rates of the next epoch, not those in use."""
        if not self._get_lr_called_within_step:
            warn("To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", 4)

    def get_last_lr(self) -> list[Any]:
        """The learning rates in use, one per group."""
        return self._last_lr

    # ---- stepping -------------------------------------------------------------------------------------------------------------

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, after the optimizer's step; `epoch`, deprecated, jumps to any.

        Warns:
            UserWarning: if the optimizer has not stepped before, so that the first learning rate would go unused.
        """
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warn("Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                     f"Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. {_DOCS}")
            elif not getattr(self.optimizer, "_opt_called", False):
                warn("Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, you should "
                     "call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  Failure to do this will "
                     f"result in PyTorch skipping the first value of the learning rate schedule. {_DOCS}")
        self._step_count += 1
        if epoch is not None:
            warn(EPOCH_WARNING)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed_form = getattr(self, "_get_closed_form_lr", None)
                values = self.get_lr() if closed_form is None else closed_form()
        finally:
            self._get_lr_called_within_step = False
        self._set_lrs(values)

    def _set_lrs(self, values: list[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values):
            set_option(group, "lr", value)
        self._last_lr = [own_value(lr) for lr in self._lrs]

    # ---- checkpoints ----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.__dict__.update(state_dict)
