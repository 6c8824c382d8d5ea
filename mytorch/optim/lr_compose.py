"""Schedules made of schedules: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from mytorch.optim.lr_base import LRScheduler, own_value, set_option
from mytorch.optim.lr_plateau import ReduceLROnPlateau

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mytorch.optim.optimizer import Optimizer

__mytorch__ = True


def _check_parts(owner: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
    for i, scheduler in enumerate(schedulers):
        if not hasattr(scheduler, "optimizer"):
            raise TypeError(f"{owner} at index {i} should have `optimizer` as its attribute.")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(f"{owner} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
                             f"specified when calling `step`, but got one at index {i} in the given schedulers sequence.")
        if scheduler.optimizer is not optimizer:
            raise ValueError(f"{owner} expects all schedulers to belong to the same optimizer, but got scheduler "
                             f"{type(scheduler).__name__} at index {i} has {scheduler.optimizer}, "
                             f"which is different from {type(optimizer).__name__}.")


class _Composite(LRScheduler):
    """What both have in common: a list of schedules, saved and loaded with them."""

    _schedulers: Sequence[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the state of each part."""
        state = {name: value for name, value in super().state_dict().items() if name != "_schedulers"}
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.__dict__.update({name: value for name, value in state_dict.items() if name != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(state)


class SequentialLR(_Composite):
    """One schedule after another: the next one starts, at its epoch 0, at each epoch of `milestones`.

    Args:
        optimizer: the optimizer of all of them.
        schedulers: the schedules in order.
        milestones: rising epochs, one fewer than schedules.
        last_epoch: the last epoch of a run that is resumed, -1 for a new one.
    Raises:
        ValueError: if the numbers do not fit, an optimizer differs, or a part is ReduceLROnPlateau.
        TypeError: if a part is no schedule.
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1) -> None:
        if len(schedulers) < 1:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        _check_parts("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError("Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                             f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to "
                             f"be equal to {len(milestones)}")
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:  # every part has set its first learning rate: take them back
            set_option(group, "lr", group["initial_lr"])
        _undo_first_step(self)
        schedulers[0]._initial_step()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Go on to the next epoch, with the schedule whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def _undo_first_step(scheduler: Any) -> None:
    for part in scheduler._schedulers:
        if hasattr(part, "_schedulers"):
            _undo_first_step(part)
        else:
            part.last_epoch -= 1


class ChainedScheduler(_Composite):
    """Several schedules at once: each changes the learning rate that the one before has set.

    Args:
        schedulers: the schedules in order; those with a chainable form combine as products.
        optimizer: the optimizer of all of them, by default that of the first.
    Raises:
        ValueError: for none, another optimizer, or ReduceLROnPlateau among them.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) < 1:
            raise ValueError("ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.")
        optimizer = optimizer or schedulers[0].optimizer
        _check_parts("ChainedScheduler", schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = [own_value(lr) for lr in self._lrs]

    def step(self) -> None:  # type: ignore[override]
        """Go on to the next epoch in every schedule, in order."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = [own_value(lr) for lr in self._lrs]
