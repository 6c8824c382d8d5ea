"""Checkpoints of optimizers and schedules go from torch to mytorch and back, and the run goes on as if it had stayed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.optim

torch = pytest.importorskip("torch")

DIRECTIONS = [pytest.param(torch, mytorch, id="from torch"), pytest.param(mytorch, torch, id="to torch")]

OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "foreach": True, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.01}),
    ("Adam", {"fused": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "foreach": True}),
    ("AdamW", {"capturable": True, "fused": True}),  # on the CPU torch takes the first with the second alone
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adagrad", {"lr_decay": 0.01, "initial_accumulator_value": 0.1}),
    ("Adadelta", {}),
    ("Adamax", {"weight_decay": 0.01}),
    ("NAdam", {"momentum_decay": 0.01}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.01}),
    ("RAdam", {}),
    ("Rprop", {}),
    ("ASGD", {"t0": 3, "lambd": 0.01}),
    ("Adafactor", {}),
    ("Adafactor", {"weight_decay": 0.01, "maximize": True}),
    ("Muon", {"lr": 0.01}),
    ("LBFGS", {"lr": 0.3, "max_iter": 3, "history_size": 2}),
    ("LBFGS", {"line_search_fn": "strong_wolfe", "max_iter": 3}),
]


def parameters(T: Any, name: str, kind: str) -> list[Any]:
    random = np.random.RandomState(0)
    shapes = [(4, 6), (6, 3)] if name == "Muon" else [(4, 6), (6,), (2, 3, 2)]
    return [T.nn.Parameter(T.tensor(random.randn(*shape)).to(getattr(T, kind))) for shape in shapes]


def new_optimizer(T: Any, name: str, options: dict[str, Any], params: list[Any]) -> Any:
    groups = params if name == "LBFGS" else [{"params": params[:1]}, {"params": params[1:], "weight_decay": 0.02}]
    if name == "Rprop":
        groups = [{"params": params[:1]}, {"params": params[1:], "etas": (0.4, 1.3)}]
    return getattr(T.optim, name)(groups, **options)


def steps(optimizer: Any, params: list[Any], count: int) -> None:
    """Down a fixed bowl that is not the same in all directions."""
    for _ in range(count):
        def closure() -> Any:
            optimizer.zero_grad()
            loss = sum(((i + 1) * (p - 0.3) ** 2 + 0.1 * (p * p[:1]).cos()).sum() for i, p in enumerate(params))
            loss.backward()
            return loss

        optimizer.step(closure)


def carried(source: Any, target: Any, content: Any, weights_only: bool) -> Any:
    """What the target library reads from the file that the source library wrote."""
    file = io.BytesIO()
    source.save(content, file)
    return target.load(io.BytesIO(file.getvalue()), weights_only=weights_only)


def assert_equal_parameters(found: list[Any], expected: list[Any], tolerance: float) -> None:
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x.detach().float().numpy(), y.detach().float().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_a_run_goes_on_in_the_other_library(name: str, options: dict[str, Any], source: Any, target: Any, weights_only: bool, kind: str) -> None:
    params = parameters(source, name, kind)
    optimizer = new_optimizer(source, name, options, params)
    steps(optimizer, params, 4)
    saved = carried(source, target, {"params": [p.detach() for p in params], "optimizer": optimizer.state_dict()}, weights_only)

    others = [target.nn.Parameter(p) for p in saved["params"]]
    resumed = new_optimizer(target, name, {**options, "lr": 0.5}, others)
    resumed.load_state_dict(saved["optimizer"])
    assert [group["lr"] for group in resumed.param_groups] == [group["lr"] for group in optimizer.param_groups]
    steps(optimizer, params, 5)
    steps(resumed, others, 5)
    tolerance = {"Muon": 5e-3, "LBFGS": 1e-4}.get(name, 2e-6)  # Muon's iteration rounds to bfloat16; LBFGS multiplies rounding
    assert_equal_parameters(others, params, tolerance)


@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_the_state_has_the_same_names_and_types(name: str, options: dict[str, Any], source: Any, target: Any) -> None:
    def described(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: described(item) for key, item in value.items() if key != "al"}  # LBFGS: torch's scratch
        if isinstance(value, (list, tuple)):
            return [described(item) for item in value]
        if hasattr(value, "dtype"):
            return str(value.dtype).split(".")[1], tuple(value.shape)
        return type(value).__name__

    found = []
    for T in (source, target):
        params = parameters(T, name, "float32")
        optimizer = new_optimizer(T, name, options, params)
        steps(optimizer, params, 2)
        found.append(described(optimizer.state_dict()))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
@pytest.mark.parametrize("name", ["SGD", "AdamW", "NAdam"])
def test_a_run_in_half_precision_goes_on_in_the_other_library(name: str, source: Any, target: Any, kind: str) -> None:
    options = {"momentum": 0.9} if name == "SGD" else {"lr": 0.01, "eps": 1e-3}
    params = parameters(source, name, kind)
    optimizer = new_optimizer(source, name, options, params)
    steps(optimizer, params, 4)
    saved = carried(source, target, {"params": [p.detach() for p in params], "optimizer": optimizer.state_dict()}, True)
    others = [target.nn.Parameter(p) for p in saved["params"]]
    resumed = new_optimizer(target, name, options, others)
    resumed.load_state_dict(saved["optimizer"])
    steps(optimizer, params, 5)
    steps(resumed, others, 5)
    assert_equal_parameters(others, params, 0.05 if kind == "bfloat16" else 0.01)


# ---- schedules ----------------------------------------------------------------------------------------------------------------

SCHEDULES = """
L.LambdaLR(o, lambda e: .9 ** e)
L.MultiplicativeLR(o, lambda e: .9 + e / 100)
L.StepLR(o, 3, .5)
L.MultiStepLR(o, [3, 5, 7, 9], .5)
L.ConstantLR(o, .5, 6)
L.LinearLR(o, .1, .7, 8)
L.ExponentialLR(o, .9)
L.CosineAnnealingLR(o, 7, .01)
L.PolynomialLR(o, 9, 2.)
L.ChainedScheduler([L.ConstantLR(o, .1, 4), L.ExponentialLR(o, .9)])
L.SequentialLR(o, [L.LinearLR(o, .1, 1., 3), L.CosineAnnealingLR(o, 8)], [6])
L.SequentialLR(o, [L.SequentialLR(o, [L.ConstantLR(o, .1, 2), L.ExponentialLR(o, .9)], [3]), L.StepLR(o, 2)], [8])
L.CyclicLR(o, .1, .5, 3, 4, mode='triangular2')
L.CyclicLR(o, .1, .5, 3, mode='exp_range', gamma=.9)
L.CyclicLR(o, .1, .5, 3, scale_fn=lambda x: .5 ** x)
L.OneCycleLR(o, .5, 30)
L.OneCycleLR(o, [.5, .6], 30, anneal_strategy='linear', three_phase=True)
L.CosineAnnealingWarmRestarts(o, 3, 2, .01)
L.ReduceLROnPlateau(o, patience=1, factor=.5)
L.ReduceLROnPlateau(o, 'max', patience=0, cooldown=2, min_lr=[.01, .02], threshold_mode='abs')
S.SWALR(o, .05, anneal_epochs=8)
S.SWALR(o, [.05, .06], anneal_epochs=8, anneal_strategy='linear')
""".strip().splitlines()


def scheduled(T: Any, expression: str, name: str) -> tuple[Any, Any]:
    """A fresh optimizer of two groups and its schedule."""
    params = [T.nn.Parameter(T.ones(2)), T.nn.Parameter(T.ones(3))]
    options = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(T.optim, name)([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.1, **options)
    return optimizer, eval(expression, {"L": T.optim.lr_scheduler, "S": T.optim.swa_utils, "o": optimizer})


METRICS = [5.0, 4.0, 4.5, 4.6, 4.0, 3.9, 4.2, 4.4, 4.4, 4.4, 4.4, 4.4, 4.4, 1.0, 1.0, 1.0, 1.0]


def rates(optimizer: Any, schedule: Any, start: int, count: int) -> list[Any]:
    found = []
    for i in range(start, start + count):
        optimizer.step()
        schedule.step(*([METRICS[i]] if type(schedule).__name__ == "ReduceLROnPlateau" else []))
        found.append([(g["lr"], g.get("momentum") or g["betas"][0]) for g in optimizer.param_groups])
    return found


@pytest.mark.filterwarnings("ignore:Detected call")  # of a sequence within a sequence, in both libraries
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("expression", SCHEDULES)
def test_a_schedule_goes_on_in_the_other_library(expression: str, name: str, source: Any, target: Any, weights_only: bool) -> None:
    optimizer, schedule = scheduled(source, expression, name)
    rates(optimizer, schedule, 0, 5)
    content = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    saved = carried(source, target, content, weights_only)
    others, resumed = scheduled(target, expression, name)
    others.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["schedule"])
    if not expression.startswith("L.Chained") and "Sequential" not in expression:
        assert resumed.last_epoch == schedule.last_epoch
    np.testing.assert_allclose(resumed.get_last_lr(), schedule.get_last_lr(), rtol=1e-15)
    np.testing.assert_allclose(rates(others, resumed, 5, 12), rates(optimizer, schedule, 5, 12), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Detected call")
@pytest.mark.parametrize("expression", SCHEDULES)
def test_the_state_of_a_schedule_has_the_same_names(expression: str) -> None:
    found = []
    for T in (torch, mytorch):
        optimizer, schedule = scheduled(T, expression, "SGD")
        rates(optimizer, schedule, 0, 3)
        found.append({key: type(value).__name__ for key, value in schedule.state_dict().items()})
    assert found[1] == found[0]
