"""Every schedule over a hundred epochs: torch's learning rates and momenta, its closed forms, its warnings and its errors."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.optim

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same  # noqa: E402

EPOCHS = 100

# o: the optimizer (two groups); L: lr_scheduler; S: swa_utils
SCHEDULES = """
L.LambdaLR(o, lambda e: .95 ** e)
L.LambdaLR(o, [lambda e: 1 / (1 + e), lambda e: math.cos(e / 20)])
L.LambdaLR(o, lambda e: min((e + 1) / 10, ((e + 1) / 10) ** -.5))
L.MultiplicativeLR(o, lambda e: .97)
L.MultiplicativeLR(o, [lambda e: .9 + e / 1000, lambda e: 1 + math.sin(e) / 10])
L.StepLR(o, 30)
L.StepLR(o, 7, .6)
L.StepLR(o, 1, 1.01)
L.MultiStepLR(o, [30, 80])
L.MultiStepLR(o, [50, 3, 50, 51], .5)
L.MultiStepLR(o, [])
L.MultiStepLR(o, [0, 4], .5)
L.ConstantLR(o)
L.ConstantLR(o, .25, 40)
L.ConstantLR(o, 1., 10)
L.ConstantLR(o, .5, 0)
L.ConstantLR(o, .5, 1)
L.LinearLR(o)
L.LinearLR(o, .01, 1., 50)
L.LinearLR(o, 1., 0., 99)
L.LinearLR(o, .5, .5, 20)
L.LinearLR(o, .1, .9, 1)
L.ExponentialLR(o, .95)
L.ExponentialLR(o, 1.02)
L.CosineAnnealingLR(o, 100)
L.CosineAnnealingLR(o, 10)
L.CosineAnnealingLR(o, 33, .001)
L.CosineAnnealingLR(o, 7, .5)
L.CosineAnnealingLR(o, 1)
L.PolynomialLR(o)
L.PolynomialLR(o, 100, .9)
L.PolynomialLR(o, 60, 2.)
L.PolynomialLR(o, 1, 3.)
L.ChainedScheduler([L.ConstantLR(o, .1, 20), L.ExponentialLR(o, .95)])
L.ChainedScheduler([L.LinearLR(o, .1, 1., 10), L.CosineAnnealingLR(o, 90), L.MultiStepLR(o, [40], .5)])
L.ChainedScheduler([L.StepLR(o, 9, .5), L.MultiplicativeLR(o, lambda e: 1.01)], optimizer=o)
L.ChainedScheduler([L.ChainedScheduler([L.ConstantLR(o, .1, 20), L.StepLR(o, 9)]), L.ExponentialLR(o, .95)])
L.ChainedScheduler([L.SequentialLR(o, [L.ConstantLR(o, .1, 20), L.StepLR(o, 9)], [30]), L.ExponentialLR(o, .95)])
L.SequentialLR(o, [L.LinearLR(o, .1, 1., 10), L.CosineAnnealingLR(o, 90)], [10])
L.SequentialLR(o, [L.ConstantLR(o, .1, 20), L.ExponentialLR(o, .9)], [20])
L.SequentialLR(o, [L.ExponentialLR(o, .9), L.StepLR(o, 5, .5), L.PolynomialLR(o, 30)], [30, 60])
L.SequentialLR(o, [L.LinearLR(o, .1, 1., 5), L.CosineAnnealingWarmRestarts(o, 10, 2)], milestones=[5])
L.SequentialLR(o, [L.StepLR(o, 5)], [])
L.SequentialLR(o, [L.LambdaLR(o, lambda e: (e + 1) / 20), L.OneCycleLR(o, .5, 90)], [20])
L.CyclicLR(o, .1, .5, 20)
L.CyclicLR(o, .1, .5, 5, 15)
L.CyclicLR(o, [.1, .2], [.5, .6], 10, mode='triangular2')
L.CyclicLR(o, .1, .5, 8, 3, mode='exp_range', gamma=.97)
L.CyclicLR(o, .1, .5, 8, scale_fn=lambda x: 1 / x)
L.CyclicLR(o, .1, .5, 8, scale_fn=lambda x: .99 ** x, scale_mode='iterations', base_momentum=.5, max_momentum=.99)
L.CyclicLR(o, .1, .5, 8, cycle_momentum=False)
L.CyclicLR(o, .1, .5, 8, base_momentum=[.6, .7], max_momentum=[.8, .9])
L.OneCycleLR(o, .5, 101)
L.OneCycleLR(o, [.5, .9], 120, pct_start=.1)
L.OneCycleLR(o, .5, epochs=11, steps_per_epoch=10, three_phase=True)
L.OneCycleLR(o, .5, 101, anneal_strategy='linear', div_factor=5., final_div_factor=100.)
L.OneCycleLR(o, .5, 101, cycle_momentum=False, three_phase=True, pct_start=.4)
L.OneCycleLR(o, .5, 101, base_momentum=[.6, .7], max_momentum=[.8, .9], pct_start=1.)
L.CosineAnnealingWarmRestarts(o, 10)
L.CosineAnnealingWarmRestarts(o, 10, 2)
L.CosineAnnealingWarmRestarts(o, 3, 3, .01)
L.CosineAnnealingWarmRestarts(o, 1)
S.SWALR(o, .05)
S.SWALR(o, [.05, .5], anneal_epochs=50, anneal_strategy='linear')
S.SWALR(o, .05, anneal_epochs=0)
""".strip().splitlines()
PLATEAUS = """
L.ReduceLROnPlateau(o)
L.ReduceLROnPlateau(o, 'max', .5, 3)
L.ReduceLROnPlateau(o, 'min', .5, 2, threshold=.1, threshold_mode='rel')
L.ReduceLROnPlateau(o, 'min', .5, 2, threshold=.3, threshold_mode='abs')
L.ReduceLROnPlateau(o, 'max', .7, 0, threshold=.3, threshold_mode='abs', cooldown=3)
L.ReduceLROnPlateau(o, patience=1, min_lr=[.01, .05])
L.ReduceLROnPlateau(o, patience=1, min_lr=.03, eps=.02)
""".strip().splitlines()


def optimizer_of(T: Any, name: str = "SGD", lr: Any = 0.1) -> Any:
    params = [T.nn.Parameter(T.ones(2)), T.nn.Parameter(T.ones(3))]
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    return getattr(T.optim, name)([{"params": params[:1]}, {"params": params[1:], "lr": 3 * lr}], lr=lr, **options)


def schedule_of(T: Any, expression: str, optimizer: Any) -> Any:
    return eval(expression, {"L": T.optim.lr_scheduler, "S": T.optim.swa_utils, "o": optimizer, "math": math})


def metric(epoch: int) -> float:
    return 3 + 2 * math.cos(epoch / 5) - epoch / 60 + math.sin(7.0 * epoch) / 5


def walk(optimizer: Any, schedule: Any, epochs: Any) -> list[list[float]]:
    """Learning rate and momentum of each group, after each of the epochs, and what get_last_lr says."""
    found = []
    for epoch in epochs:
        optimizer.step()
        schedule.step(*([metric(epoch)] if type(schedule).__name__ == "ReduceLROnPlateau" else []))
        momenta = [group["momentum"] if "momentum" in group else group["betas"][0] for group in optimizer.param_groups]
        found.append([float(v) for v in [*(group["lr"] for group in optimizer.param_groups), *momenta, *schedule.get_last_lr()]])
    return found


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
@pytest.mark.parametrize("expression", SCHEDULES + PLATEAUS)
def test_a_hundred_epochs_have_torchs_rates_and_momenta(expression: str, name: str) -> None:
    found = []
    for T in (mytorch, torch):
        optimizer = optimizer_of(T, name)
        found.append(walk(optimizer, schedule_of(T, expression, optimizer), range(EPOCHS)))
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("expression", [e for e in SCHEDULES + PLATEAUS if "[.5, .9]" not in e])
def test_a_rate_that_is_a_tensor_follows(expression: str) -> None:
    found = []
    for T in (mytorch, torch):
        optimizer = optimizer_of(T, lr=T.tensor(0.1, dtype=T.float64))
        found.append(walk(optimizer, schedule_of(T, expression, optimizer), range(EPOCHS)))
        assert all(isinstance(group["lr"], T.Tensor) for group in optimizer.param_groups)
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("expression", SCHEDULES + PLATEAUS)
def test_a_state_dict_halfway_goes_on_to_the_same_end(expression: str) -> None:
    found = []
    for T in (mytorch, torch):
        optimizer = optimizer_of(T)
        schedule = schedule_of(T, expression, optimizer)
        walk(optimizer, schedule, range(EPOCHS // 2))
        resumed = optimizer_of(T, lr=0.7)
        second = schedule_of(T, expression, resumed)
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        second.load_state_dict(copy.deepcopy(schedule.state_dict()))
        rest = walk(resumed, second, range(EPOCHS // 2, EPOCHS))
        np.testing.assert_allclose(rest, walk(optimizer, schedule, range(EPOCHS // 2, EPOCHS)), rtol=1e-12)
        found.append(rest)
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("expression", [e for e in SCHEDULES if not e.startswith(("L.Chained", "L.Sequential"))])
def test_step_to_an_epoch_uses_torchs_closed_form_and_warns(expression: str) -> None:
    def scenario(T: Any) -> Any:
        optimizer = optimizer_of(T)
        schedule = schedule_of(T, expression, optimizer)
        optimizer.step()
        found = []
        for epoch in (1, 2, 10, 3, 0, 57, 90):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                schedule.step(epoch)
            told = [str(w.message).partition(" Please open an issue")[0] for w in caught]  # there, with torch
            found.append((told, [float(f"{v:.10g}") for v in [*schedule.get_last_lr(), schedule.last_epoch]]))
        return found

    assert_same(scenario)


@pytest.mark.parametrize("expression", SCHEDULES)
def test_the_first_step_warns_where_the_optimizer_has_not_stepped(expression: str) -> None:
    def scenario(T: Any) -> Any:
        schedule = schedule_of(T, expression, optimizer_of(T))
        schedule.step()
        schedule.step()
        return None

    assert_same(scenario)


@pytest.mark.parametrize("expression", SCHEDULES)
def test_get_lr_outside_of_step_warns_or_refuses_as_torch(expression: str) -> None:
    def scenario(T: Any) -> Any:
        optimizer = optimizer_of(T)
        schedule = schedule_of(T, expression, optimizer)
        optimizer.step()
        schedule.step()
        try:
            return [float(f"{v:.10g}") for v in schedule.get_lr()]
        except NotImplementedError:  # ours says more than torch's, which is empty
            return "refused"

    assert_same(scenario)


@pytest.mark.parametrize("expression", [e.replace(")", ", last_epoch=9)") if e.count(")") == 1 else "" for e in SCHEDULES])
def test_a_run_is_resumed_by_last_epoch(expression: str) -> None:
    if not expression:
        return

    def scenario(T: Any) -> Any:
        optimizer = optimizer_of(T)
        for group in optimizer.param_groups:
            group.update({"initial_lr": group["lr"] * 2, "max_lr": 0.5, "min_lr": 0.001, "base_momentum": 0.8, "max_momentum": 0.9})
        schedule = schedule_of(T, expression, optimizer)
        start = [*schedule.get_last_lr(), schedule.last_epoch, schedule._step_count]
        return [[float(f"{v:.9g}") for v in row] for row in [start, *walk(optimizer, schedule, range(30))]]

    assert_same(scenario)


ERRORS = """
L.LambdaLR(o, [lambda e: 1])
L.MultiplicativeLR(o, [lambda e: 1])
L.LambdaLR(3, lambda e: 1)
L.StepLR(3, 1)
L.StepLR(o, 'a').step()
L.StepLR(o, 0).step()
L.StepLR(o, 3, last_epoch=2)
L.MultiStepLR(o, 3)
L.ConstantLR(o, 1.5)
L.ConstantLR(o, -.1)
L.LinearLR(o, 0)
L.LinearLR(o, 1.5)
L.LinearLR(o, .5, 1.5)
L.LinearLR(o, .5, -1)
L.ExponentialLR(o)
L.PolynomialLR(o, 0).step()
L.CosineAnnealingLR(o)
L.CosineAnnealingLR(o, 0).step()
L.CyclicLR(o, .1, .5, mode='zigzag')
L.CyclicLR(o, [.1], .5)
L.CyclicLR(o, .1, [.5, .5, .5])
L.CyclicLR(o, .1, .5, base_momentum=[.1])
L.CyclicLR(T.optim.Adagrad([T.ones(2, requires_grad=True)]), .1, .5)
L.OneCycleLR(T.optim.Adagrad([T.ones(2, requires_grad=True)]), .1, 10)
L.OneCycleLR(3, .1, 10)
L.OneCycleLR(o, .1)
L.OneCycleLR(o, .1, epochs=3)
L.OneCycleLR(o, .1, epochs=0, steps_per_epoch=3)
L.OneCycleLR(o, .1, epochs=3, steps_per_epoch=-3)
L.OneCycleLR(o, .1, 0)
L.OneCycleLR(o, .1, 1.5)
L.OneCycleLR(o, .1, 10, pct_start=2.)
L.OneCycleLR(o, .1, 10, pct_start=1)
L.OneCycleLR(o, .1, 10, anneal_strategy='sin')
L.OneCycleLR(o, [.1], 10)
L.OneCycleLR(o, .1, 10, max_momentum=[.9])
[L.OneCycleLR(o, .1, 2).step() for _ in range(1)]
(lambda s: [(o.step(), s.step()) for _ in range(4)])(L.OneCycleLR(o, .1, 2))
L.CosineAnnealingWarmRestarts(o, 0)
L.CosineAnnealingWarmRestarts(o, 1.5)
L.CosineAnnealingWarmRestarts(o, 2, 0)
L.CosineAnnealingWarmRestarts(o, 2, 1.5)
L.CosineAnnealingWarmRestarts(o, 2, 1, None)
L.CosineAnnealingWarmRestarts(o, 2).step(-3)
L.ReduceLROnPlateau(o, factor=1)
L.ReduceLROnPlateau(o, mode='middle')
L.ReduceLROnPlateau(o, threshold_mode='middle')
L.ReduceLROnPlateau(o, min_lr=[1])
L.ReduceLROnPlateau(o).step()
L.ReduceLROnPlateau(o).step('a')
L.ReduceLROnPlateau(o).step(None)
L.ReduceLROnPlateau(3)
L.SequentialLR(o, [], [])
L.SequentialLR(o, [L.StepLR(o, 1)], [1, 2])
L.SequentialLR(o, [L.StepLR(o, 1), 3], [1])
L.SequentialLR(o, [L.StepLR(o, 1), L.StepLR(other, 1)], [1])
L.SequentialLR(o, [L.StepLR(o, 1), L.ReduceLROnPlateau(o)], [1])
L.SequentialLR(o, [L.StepLR(o, 1), L.StepLR(o, 1)], [1]).step(3)
L.ChainedScheduler([])
L.ChainedScheduler([3])
L.ChainedScheduler([L.StepLR(o, 1), L.StepLR(other, 1)])
L.ChainedScheduler([L.StepLR(o, 1)], other)
L.ChainedScheduler([L.StepLR(o, 1), L.ReduceLROnPlateau(o)])
L.ChainedScheduler([L.StepLR(o, 1)]).step(3)
S.SWALR(o, [.1])
S.SWALR(o, .1, anneal_strategy='sin')
S.SWALR(o, .1, anneal_epochs=-1)
S.SWALR(o, .1, anneal_epochs=1.5)
L.NoSuchLR
""".strip().splitlines()


@pytest.mark.parametrize("expression", ERRORS)
def test_a_bad_argument_raises_torchs_error(expression: str) -> None:
    def scenario(T: Any) -> Any:
        names = {"L": T.optim.lr_scheduler, "S": T.optim.swa_utils, "o": optimizer_of(T), "other": optimizer_of(T), "T": T}
        return eval(expression, names) and None

    assert_same(scenario)


@pytest.mark.parametrize("T", [torch, mytorch], ids=["torch", "mytorch"])
def test_a_schedule_of_ones_own_follows_its_get_lr(T: Any) -> None:
    class Warmup(T.optim.lr_scheduler.LRScheduler):
        def __init__(self, optimizer: Any, steps: int) -> None:
            self.steps = steps
            super().__init__(optimizer)

        def get_lr(self) -> list[float]:
            return [base * min(1.0, (self.last_epoch + 1) / self.steps) for base in self.base_lrs]

    optimizer = optimizer_of(T)
    schedule = Warmup(optimizer, 4)
    assert schedule.get_last_lr() == pytest.approx([0.025, 0.075])
    assert [row[0] for row in walk(optimizer, schedule, range(5))] == pytest.approx([0.05, 0.075, 0.1, 0.1, 0.1])
    assert pickle.loads(pickle.dumps(schedule.state_dict()))["steps"] == 4
