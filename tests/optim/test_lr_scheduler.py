"""Schedules by themselves: the formula of each, and their warnings."""

from __future__ import annotations

import math
from typing import Any

import pytest

import mytorch as torch
from mytorch import nn, optim
from mytorch.optim import lr_scheduler as schedules


def make(lr: float = 0.8) -> Any:
    return optim.SGD([nn.Parameter(torch.ones(1))], lr=lr, momentum=0.9)


def rates(optimizer: Any, scheduler: Any, epochs: int) -> list[float]:
    """The learning rates of the first epochs."""
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (lambda o: schedules.StepLR(o, 3, 0.5), lambda t: 0.8 * 0.5 ** (t // 3)),
        (lambda o: schedules.MultiStepLR(o, [2, 5, 5], 0.5), lambda t: 0.8 * 0.5 ** ((t >= 2) + 2 * (t >= 5))),
        (lambda o: schedules.ExponentialLR(o, 0.9), lambda t: 0.8 * 0.9**t),
        (lambda o: schedules.ConstantLR(o, 0.25, 4), lambda t: 0.8 * (0.25 if t < 4 else 1)),
        (lambda o: schedules.LinearLR(o, 0.2, 0.9, 5), lambda t: 0.8 * (0.2 + 0.7 * min(t, 5) / 5)),
        (lambda o: schedules.PolynomialLR(o, 6, 2.0), lambda t: 0.8 * (1 - min(t, 6) / 6) ** 2),
        (lambda o: schedules.CosineAnnealingLR(o, 5, 0.1), lambda t: 0.1 + 0.7 * (1 + math.cos(math.pi * t / 5)) / 2),
        (lambda o: schedules.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: 0.8 / (1 + t)),
        (lambda o: schedules.MultiplicativeLR(o, lambda t: 0.7), lambda t: 0.8 * 0.7**t),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 4), lambda t: 0.8 * (1 + math.cos(math.pi * (t % 4) / 4)) / 2),
        (lambda o: schedules.CyclicLR(o, 0.8, 1.2, 4), lambda t: 0.8 + 0.1 * min(t % 8, 8 - t % 8)),
    ],
)
def test_schedule_follows_its_formula(schedule: Any, formula: Any) -> None:
    optimizer = make()
    assert rates(optimizer, schedule(optimizer), 14) == pytest.approx([formula(t) for t in range(14)], abs=1e-12)


def test_one_cycle_rises_to_the_top_and_ends_at_the_bottom_while_momentum_mirrors_it() -> None:
    optimizer = make()
    scheduler = schedules.OneCycleLR(optimizer, max_lr=1.0, total_steps=20, pct_start=0.25, div_factor=10.0,
                                     final_div_factor=100.0)
    seen, momenta = [], []
    for step in range(20):
        seen.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if step < 19:
            scheduler.step()
    assert (seen[0], seen[4], seen[19]) == pytest.approx((0.1, 1.0, 0.001))
    assert seen[:5] == sorted(seen[:5])
    assert seen[4:] == sorted(seen[4:], reverse=True)
    assert (momenta[0], momenta[4], momenta[19]) == pytest.approx((0.95, 0.85, 0.95))


def test_restarts_double_the_period_and_accept_fractions_of_epochs() -> None:
    optimizer = make()
    scheduler = schedules.CosineAnnealingWarmRestarts(optimizer, 2, T_mult=2)
    for epoch, (period, position) in {1.5: (2, 1.5), 2.0: (4, 0.0), 5.0: (4, 3.0), 6.5: (8, 0.5)}.items():
        scheduler.step(epoch)
        assert (scheduler.T_i, scheduler.T_cur) == (period, position)
        assert scheduler.get_last_lr() == pytest.approx([0.8 * (1 + math.cos(math.pi * position / period)) / 2])


def test_plateau_waits_for_its_patience() -> None:
    optimizer = make()
    scheduler = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    seen = []
    for metric in (5.0, 4.0, 4.0, 4.0, 4.0, 3.0, torch.tensor(3.0), 3.0, 3.0):
        scheduler.step(metric)
        seen.append(scheduler.get_last_lr()[0])
    assert seen == [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2]


def test_sequence_hands_over_at_its_milestones() -> None:
    optimizer = make()
    warm_up = schedules.LinearLR(optimizer, 0.25, 1.0, 3)
    decay = schedules.ExponentialLR(optimizer, 0.5)
    scheduler = schedules.SequentialLR(optimizer, [warm_up, decay], [3])
    assert rates(optimizer, scheduler, 6) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.4, 0.2])


def test_chain_multiplies() -> None:
    optimizer = make()
    scheduler = schedules.ChainedScheduler([schedules.ConstantLR(optimizer, 0.5, 2), schedules.ExponentialLR(optimizer, 0.9)])
    assert rates(optimizer, scheduler, 4) == pytest.approx([0.4, 0.36, 0.8 * 0.81, 0.8 * 0.729])
    assert scheduler.get_last_lr() == pytest.approx([0.8 * 0.9**4])


def test_stepping_before_the_optimizer_warns_once() -> None:
    scheduler = schedules.StepLR(make(), 1)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler\.step\(\)` before `optimizer\.step\(\)`"):
        scheduler.step()
    scheduler.step()


def test_the_warning_points_at_the_users_line() -> None:
    scheduler = schedules.StepLR(make(), 1)
    with pytest.warns(UserWarning, match="Detected call") as caught:
        scheduler.step()
    assert caught[0].filename == __file__


def test_a_new_schedule_of_a_trained_optimizer_starts_from_its_first_rate() -> None:
    optimizer = make()
    rates(optimizer, schedules.ExponentialLR(optimizer, 0.5), 3)
    assert schedules.LambdaLR(optimizer, lambda t: 1.0).base_lrs == [0.8]


def test_each_group_has_its_own_rate() -> None:
    optimizer = optim.SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in (1.0, 0.1)])
    scheduler = schedules.ExponentialLR(optimizer, 0.5)
    rates(optimizer, scheduler, 2)
    assert scheduler.get_last_lr() == pytest.approx([0.25, 0.025])


def test_checkpoint_holds_no_optimizer() -> None:
    state = schedules.StepLR(make(), 3).state_dict()
    assert "optimizer" not in state
    assert {"step_size", "gamma", "base_lrs", "last_epoch", "_step_count", "_last_lr"} <= set(state)
