"""Optimizers and schedules: torch's numbers over many steps, torch's checkpoints, texts and warnings."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.optim

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same  # noqa: E402

OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD")


# ---- numbers ------------------------------------------------------------------------------------------------------------------


def train(T: Any, name: str, options: dict[str, Any], dtype: str = "float32", steps: int = 150, groups: bool = False) -> Any:
    """Random gradients for parameters (one larger than a block, one sometimes without a gradient); the optimizer after it."""
    random = np.random.RandomState(0)
    kind = getattr(T, dtype)
    params = [T.nn.Parameter(T.tensor(random.randn(*shape)).to(kind)) for shape in ((7, 5), (5,), (300, 200), ())]
    chosen: Any = [{"params": params[:1]}, {"params": params[1:], "lr": 0.02}] if groups else params
    optimizer = getattr(T.optim, name)(chosen, **options)
    for step in range(steps):
        for p in params:
            p.grad = T.tensor(random.randn(*p.shape)).to(kind)
        if step % 7 == 3:
            params[1].grad = None
        optimizer.step()
    return params, optimizer


def numbers(tensor: Any) -> Any:
    return tensor.detach().to(mytorch.float64 if isinstance(tensor, mytorch.Tensor) else torch.float64).numpy()


def assert_trains_as_torch(name: str, options: dict[str, Any], tolerance: float, **how: Any) -> None:
    found, ours = train(mytorch, name, options, **how)
    expected, theirs = train(torch, name, options, **how)
    for x, y in zip(found, expected):
        np.testing.assert_allclose(numbers(x), numbers(y), rtol=tolerance, atol=tolerance)
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    assert {i: set(state) for i, state in ours["state"].items()} == {i: set(state) for i, state in theirs["state"].items()}
    for i, state in theirs["state"].items():
        for key, value in state.items():
            assert str(ours["state"][i][key].dtype) == str(value.dtype)
            scale = float(value.abs().max()) + 1e-30
            np.testing.assert_allclose(numbers(ours["state"][i][key]) / scale, numbers(value) / scale, rtol=0, atol=4 * tolerance)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}),
        ("SGD", {"momentum": 0.9}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
        ("SGD", {"weight_decay": 0.1, "maximize": True}),
        ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
        ("SGD", {"lr": 0.01, "foreach": True}),
        ("SGD", {"lr": 0.01, "fused": True}),
        ("Adam", {}),
        ("Adam", {"lr": 0.01, "amsgrad": True}),
        ("Adam", {"weight_decay": 0.1}),
        ("Adam", {"maximize": True, "weight_decay": 0.1, "amsgrad": True}),
        ("Adam", {"betas": (0.5, 0.9), "eps": 1e-3}),
        ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
        ("AdamW", {}),
        ("AdamW", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
        ("AdamW", {"maximize": True}),
        ("RMSprop", {}),
        ("RMSprop", {"momentum": 0.9}),
        ("RMSprop", {"centered": True}),
        ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
        ("RMSprop", {"maximize": True, "alpha": 0.9}),
        ("Adagrad", {}),
        ("Adagrad", {"lr_decay": 0.01}),
        ("Adagrad", {"weight_decay": 0.1, "initial_accumulator_value": 0.5}),
        ("Adagrad", {"maximize": True}),
        ("Adadelta", {}),
        ("Adadelta", {"lr": 0.3, "rho": 0.7, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
        ("Adamax", {}),
        ("Adamax", {"betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
        ("NAdam", {}),
        ("NAdam", {"momentum_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
        ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
        ("RAdam", {}),
        ("RAdam", {"betas": (0.8, 0.99), "weight_decay": 0.1, "maximize": True}),
        ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
        ("Rprop", {}),
        ("Rprop", {"etas": (0.7, 1.5), "step_sizes": (1e-3, 0.02), "maximize": True}),
        ("ASGD", {}),
        ("ASGD", {"t0": 20, "lambd": 0.01, "weight_decay": 0.1, "maximize": True}),
    ],
)
def test_float32_training_gives_torchs_numbers(name: str, options: dict[str, Any]) -> None:
    assert_trains_as_torch(name, options, 5e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_have_their_own_options(name: str) -> None:
    # NAdam's two terms have opposite signs now and then: their difference keeps fewer digits
    assert_trains_as_torch(name, {"lr": 0.1}, 1e-5 if name == "NAdam" else 1e-6, groups=True, steps=40)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float64_training_gives_torchs_numbers(name: str) -> None:
    assert_trains_as_torch(name, {"lr": 0.1}, 1e-14, dtype="float64", steps=40)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bfloat16_training_gives_torchs_numbers_up_to_its_rounding(name: str) -> None:
    # torch rounds NAdam's two terms one by one
    assert_trains_as_torch(name, {"lr": 0.01}, 8e-2 if name == "NAdam" else 3e-2, dtype="bfloat16", steps=15)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad"])  # torch's Adam loses small squares: float16 cannot hold them
def test_float16_training_gives_torchs_numbers_up_to_its_rounding(name: str) -> None:
    options = {"lr": 0.01} if name == "SGD" else {"lr": 0.01, "eps": 1e-3}  # the default eps is 0 in float16: torch divides by it
    assert_trains_as_torch(name, options, 4e-3, dtype="float16", steps=15)


# ---- what users see -----------------------------------------------------------------------------------------------------------

FOR_EACH_OPTIMIZER = """
O([{'params': [p]}, {'params': [q], 'lr': .5}])
O([p]).defaults
O([p, q]).state_dict()
O([p], lr=-1.)
O([p], betas=(-1., .9))
O([p], betas=(.9, 2.))
O([p], eps=-1.)
O([p], weight_decay=-1.)
O([p], momentum=-1.)
O([p], alpha=-1.)
O([p], lr_decay=-1.)
O([p], initial_accumulator_value=-1.)
O([p], nesterov=True)
O([p], nesterov=True, momentum=.9, dampening=.1)
O([p], fused=True, differentiable=True)
O([p], fused=True, foreach=True)
O([p], lr=T.tensor([.1, .2]))
O([p], lr=T.tensor([.1]))
O([p], betas=(T.tensor(.9), .99))
O([])
O(p)
O({'a': p})
O(3)
O({p})
O([p, p])
O([3])
O([p * 2])
O([{'a': 3}])
O([{'params': {p, q}}])
O([{'params': [p]}, {'params': [p]}])
O([{'params': p}])
O([p]).add_param_group([q])
O([p]).add_param_group({'params': q})
O([('a', p), ('b', q)]).state_dict()
O([('a', p), q])
O([p, ('a', q)])
O([{'params': [('a', p)]}, {'params': [q]}])
O([{'params': [p]}, {'params': [('a', q)]}])
O([p]).load_state_dict(O([p, q]).state_dict())
O([p]).load_state_dict(O([{'params': [p]}, {'params': [q]}]).state_dict())
O([p]).load_state_dict({})
(do('p.grad = T.ones(3); a = O([p]); a.step(); b = O([p], lr=7.); b.load_state_dict(a.state_dict()); b.step()'), b, p)
(do('p.grad = T.ones(3); O([p]).zero_grad(False)'), p.grad)
(do('p.grad = T.ones(3); O([p]).zero_grad()'), p.grad)
(do('p.grad = T.ones(3); a = O([p]); b = copy.deepcopy(a); p.grad = None; a.step()'), p, b.param_groups[0]['params'])
(do('p.grad = T.ones(3); a = O([p]); a.step(); b = pickle.loads(pickle.dumps(a))'), b, b.state_dict())
(do('p.grad = T.ones(3); v = p._version; O([p]).step()'), p._version > v)
O([p]).step(lambda: 5.)
O([p]).step(lambda: (p * 2).sum())
sorted(O([p]).__getstate__())
(do('z = nn.Parameter(T.ones(0)); z.grad = T.ones(0); O([z]).step()'), z)
""".strip().splitlines()

ONCE = """
optim.Optimizer([p], {})
optim.SGD(iter([p, q]))
optim.SGD([{'params': iter([p, q])}])
optim.Adam([p], lr=T.tensor(.1), foreach=True)
(do('a = optim.SGD([p]); a.register_step_pre_hook(lambda o, args, kwargs: 3)'), fails(a.step))
(do('L = []; a = optim.SGD([p]); h = a.register_step_pre_hook(lambda o, a, k: L.append((o is a[0], len(a), k))); a.step(); a.step(closure=None); h.remove(); a.step()'), L)
(do('L = []; a = optim.SGD([p]); a.register_step_post_hook(lambda o, a, k: L.append((len(a), k))); a.step(); a.step(None)'), L)
(do('a = optim.SGD([p]); a.register_state_dict_post_hook(lambda o, state: {**state, "x": 3})'), a.state_dict())
(do('L = []; a = optim.SGD([p]); a.register_state_dict_pre_hook(lambda o: L.append(o is a)); a.state_dict()'), L)
(do('L = []; a = optim.SGD([p]); a.register_load_state_dict_pre_hook(lambda o, s: L.append(sorted(s))); a.load_state_dict(a.state_dict())'), L)
(do('L = []; a = optim.SGD([p]); a.register_load_state_dict_post_hook(lambda o: L.append(o is a)); a.load_state_dict(a.state_dict())'), L)
(do('p.grad = T.ones(3); p.requires_grad_(False); optim.SGD([p], lr=1.).step()'), p)
(do('p.grad = T.zeros(3); optim.Adam([p], lr=1.).step()'), p)
(do('p.grad = T.ones(3); lr = T.tensor(.5); a = optim.SGD([p], lr=lr); a.step(); lr.fill_(.25); a.step()'), p)
(do('p.grad = T.ones(3); a = optim.Adam([p], lr=T.tensor(.3), betas=(T.tensor(.9), T.tensor(.99))); a.step(); a.step()'), p)
(do('c.grad = T.tensor([1 + 1j, 1 - 3j]); a = optim.Adam([c], lr=.7); a.step(); a.step()'), c, a.state_dict()['state'])
(do('c.grad = T.tensor([1 + 1j, 1 - 3j]); a = optim.SGD([c], lr=.7, momentum=.9); a.step(); a.step()'), c, a.state_dict()['state'])
(do('c.grad = T.tensor([1 + 1j, 1 - 3j]); a = optim.Adagrad([c], lr=.7, initial_accumulator_value=1.); a.step()'), c, a.state_dict()['state'])
(do('c.grad = T.tensor([1 + 1j, 1 - 3j]); a = optim.RMSprop([c], lr=.7, momentum=.9, centered=True); a.step()'), c, a.state_dict()['state'])
(do('T.set_default_dtype(T.float64); p.grad = T.ones(3, dtype=T.float32); a = optim.Adam([p]); a.step(); T.set_default_dtype(T.float32)'), a.state_dict()['state'][0]['step'].dtype)
(do('p.grad = T.ones(3); a = optim.SGD([p], momentum=.9); a.load_state_dict({"state": {0: {"momentum_buffer": None}}, "param_groups": a.state_dict()["param_groups"]}); a.step()'), a.state_dict()['state'], p)
""".strip().splitlines()  # noqa: E501 - one scenario, one line


def evaluate(expression: str, T: Any, **more: Any) -> Any:
    def fails(function: Any) -> bool:
        with pytest.raises(RuntimeError, match="must return None or a tuple of"):
            function()
        return True

    names = {"T": T, "nn": T.nn, "optim": T.optim, "copy": copy, "pickle": pickle, "fails": fails, **more}
    names |= {"p": T.nn.Parameter(T.ones(3)), "q": T.nn.Parameter(T.ones(2, 2)), "c": T.nn.Parameter(T.tensor([1 + 2j, 3 - 1j]))}
    names["do"] = lambda statements: exec(statements, names)
    return eval(expression, names)


@pytest.mark.parametrize("expression", FOR_EACH_OPTIMIZER)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_has_torchs_outcome(name: str, expression: str) -> None:
    assert_same(lambda T: evaluate(expression, T, O=getattr(T.optim, name)))


@pytest.mark.parametrize("expression", ONCE)
def test_expression_has_torchs_outcome(expression: str) -> None:
    assert_same(lambda T: evaluate(expression, T))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_of_torch_goes_on_here_as_there(name: str) -> None:
    options = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}}.get(name, {})
    expected, theirs = train(torch, name, options, steps=6)
    params = [mytorch.nn.Parameter(mytorch.tensor(p.detach().numpy())) for p in expected]
    ours = getattr(mytorch.optim, name)(params, lr=123.0, **options)
    state = theirs.state_dict()
    state["state"] = {i: {k: mytorch.tensor(v.numpy().copy()) for k, v in s.items()} for i, s in state["state"].items()}
    ours.load_state_dict(state)
    for p, x in zip(params, expected):
        p.grad = mytorch.ones_like(p)
        x.grad = torch.ones_like(x)
    ours.step()
    theirs.step()
    for p, x in zip(params, expected):
        np.testing.assert_allclose(numbers(p), numbers(x), rtol=1e-6, atol=1e-6)


# ---- schedules ----------------------------------------------------------------------------------------------------------------

SCHEDULES = """
L.StepLR(o, 3)
L.StepLR(o, 4, .5)
L.MultiStepLR(o, [3, 5, 3, 9])
L.ExponentialLR(o, .9)
L.LambdaLR(o, lambda e: .9 ** e)
L.MultiplicativeLR(o, lambda e: .9 + e / 100)
L.ConstantLR(o)
L.ConstantLR(o, .5, 4)
L.ConstantLR(o, .5, 0)
L.LinearLR(o)
L.LinearLR(o, .1, .7, 8)
L.LinearLR(o, 1., 0., 8)
L.PolynomialLR(o)
L.PolynomialLR(o, 9, 2.)
L.CosineAnnealingLR(o, 10)
L.CosineAnnealingLR(o, 4, .01)
L.CosineAnnealingLR(o, 1)
L.CosineAnnealingWarmRestarts(o, 3, 2)
L.CosineAnnealingWarmRestarts(o, 3, 1, .01)
L.OneCycleLR(o, .5, 30)
L.OneCycleLR(o, .5, epochs=5, steps_per_epoch=6, three_phase=True, pct_start=.2)
L.OneCycleLR(o, .5, 30, anneal_strategy='linear', div_factor=5., final_div_factor=100.)
L.OneCycleLR(o, .5, 30, cycle_momentum=False)
L.CyclicLR(o, .1, .5, 3)
L.CyclicLR(o, .1, .5, 3, 5)
L.CyclicLR(o, .1, .5, 3, mode='triangular2')
L.CyclicLR(o, .1, .5, 3, mode='exp_range', gamma=.9)
L.CyclicLR(o, .1, .5, 3, scale_fn=lambda x: .5 ** x)
L.CyclicLR(o, .1, .5, 3, scale_fn=lambda x: .5 ** x, scale_mode='iterations')
L.CyclicLR(o, .1, .5, 3, cycle_momentum=False)
L.SequentialLR(o, [L.ConstantLR(o, .1, 2), L.ExponentialLR(o, .9)], [3])
L.SequentialLR(o, [L.LinearLR(o, .1, 1., 4), L.CosineAnnealingLR(o, 8)], [4])
L.SequentialLR(o, [L.LinearLR(o, .1, 1., 4), L.StepLR(o, 2, .5), L.MultiStepLR(o, [2, 3])], [4, 8])
L.SequentialLR(o, [L.CosineAnnealingWarmRestarts(o, 3), L.PolynomialLR(o, 4)], [5])
L.SequentialLR(o, [L.PolynomialLR(o, 4), L.CosineAnnealingWarmRestarts(o, 3)], [5])
L.SequentialLR(o, [L.MultiplicativeLR(o, lambda e: .9), L.LambdaLR(o, lambda e: .5 ** e)], [5])
L.SequentialLR(o, [L.LambdaLR(o, lambda e: .5 ** e), L.MultiplicativeLR(o, lambda e: .9)], [5])
L.SequentialLR(o, [L.SequentialLR(o, [L.ConstantLR(o, .1, 2), L.ExponentialLR(o, .9)], [3]), L.StepLR(o, 2)], [6])
L.SequentialLR(o, [L.ChainedScheduler([L.ConstantLR(o, .1, 2), L.ExponentialLR(o, .9)]), L.StepLR(o, 2)], [6])
L.SequentialLR(o, [L.ConstantLR(o, .1, 2), L.OneCycleLR(o, .5, 30)], [3])
L.SequentialLR(o, [L.ConstantLR(o, .1, 2), L.CyclicLR(o, .1, .5, 3)], [3])
L.ChainedScheduler([L.ConstantLR(o, .1, 4), L.ExponentialLR(o, .9)])
L.ChainedScheduler([L.StepLR(o, 2, .5), L.LinearLR(o, .1, 1., 4)], o)
""".strip().splitlines()
JUMPING = [e for e in SCHEDULES if not e.startswith(("L.SequentialLR", "L.ChainedScheduler"))]


def make(T: Any, name: str = "SGD", lr: Any = 0.1, groups: int = 1) -> Any:
    params = [{"params": [T.nn.Parameter(T.ones(3))], "lr": lr * (i + 1)} for i in range(groups)]
    return getattr(T.optim, name)(params, **({"momentum": 0.9} if name == "SGD" else {}))


def schedule(expression: str, T: Any, optimizer: Any) -> Any:
    return eval(expression, {"L": T.optim.lr_scheduler, "o": optimizer})


def plain(value: Any) -> Any:
    """Comparable contents: floats to 12 digits (6 where they were float32), callables by type, dicts in sorted order."""
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value, key=str) if key not in ("params", "_scale_fn_ref")}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if hasattr(value, "item"):
        return "tensor", float(f"{value.item():.5g}")
    return value if isinstance(value, (int, str)) or value is None else type(value).__name__


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("expression", SCHEDULES)
def test_schedule_gives_torchs_rates_and_state(expression: str, name: str) -> None:
    def scenario(T: Any) -> Any:
        optimizer = make(T, name, groups=2)
        scheduler = schedule(expression, T, optimizer)
        seen = [plain(optimizer.param_groups), plain(scheduler.state_dict())]
        for _ in range(25):
            optimizer.step()
            scheduler.step()
            seen.append([plain((g["lr"], g.get("momentum"), g.get("betas"))) for g in optimizer.param_groups])
        return seen, plain(scheduler.state_dict()), plain(scheduler.get_last_lr())

    assert_same(scenario)


@pytest.mark.parametrize("expression", SCHEDULES)
def test_schedule_writes_into_a_tensor_rate(expression: str) -> None:
    def scenario(T: Any) -> Any:
        optimizer = make(T, lr=T.tensor(0.1))
        rate = optimizer.param_groups[0]["lr"]
        scheduler = schedule(expression, T, optimizer)
        seen = []
        for _ in range(12):
            optimizer.step()
            scheduler.step()
            seen.append(plain(rate))
        return seen, rate is optimizer.param_groups[0]["lr"], plain(getattr(scheduler, "base_lrs", None))

    assert_same(scenario)


@pytest.mark.parametrize("expression", SCHEDULES)
def test_schedule_goes_on_from_a_checkpoint(expression: str) -> None:
    def scenario(T: Any) -> Any:
        optimizer = make(T)
        scheduler = schedule(expression, T, optimizer)
        for _ in range(4):
            optimizer.step()
            scheduler.step()
        resumed = make(T, lr=0.77)
        second = schedule(expression, T, resumed)
        resumed.load_state_dict(optimizer.state_dict())
        second.load_state_dict(scheduler.state_dict())
        seen = []
        for _ in range(12):
            resumed.step()
            second.step()
            seen.append(plain(resumed.param_groups))
        return seen

    assert_same(scenario)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("expression", JUMPING)
def test_schedule_jumps_to_an_epoch(expression: str) -> None:
    def rates(T: Any) -> Any:
        optimizer = make(T)
        scheduler = schedule(expression, T, optimizer)
        optimizer.step()
        seen = []
        for epoch in (3, 1, 7, 0, 2):
            scheduler.step(epoch)
            seen.append(plain(optimizer.param_groups))
        return seen

    assert rates(mytorch) == rates(torch)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau_reduces_when_torchs_does(mode: str, threshold_mode: str) -> None:
    def scenario(T: Any) -> Any:
        optimizer = make(T, groups=2)
        scheduler = T.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, threshold_mode=threshold_mode, patience=1,
                                                           cooldown=1, threshold=0.1, min_lr=[0.0005, 0.02])
        seen = []
        for metric in (1, 1, 1, 1, 1, 1, 1, 0.5, 0.49, 0.48, 0.47, math.nan, 0.3, 2.0, 4.0, 4.1):
            scheduler.step(metric)
            seen.append((plain(optimizer.param_groups), plain(scheduler.state_dict()), scheduler.in_cooldown))
        return seen

    assert_same(scenario)


SCHEDULE_TEXTS = """
L.StepLR(3, 3)
L.StepLR(o, 3, last_epoch=2)
L.StepLR(o, 3).get_lr()
L.StepLR(o, 3).step()
(do('o.step()'), L.StepLR(o, 3).step())
do('s = L.StepLR(o, 3); o.step(); s.step(); s.step(); s.step()')
do('s = L.StepLR(o, 3); o.step = lambda: 3; s.step(); s.step(); s.step()')
do('s = L.StepLR(o, 3); t = L.StepLR(o, 2); o.step(); s.step(); t.step()')
L.OneCycleLR(o, .5)
L.OneCycleLR(o, .5, total_steps=-1)
L.OneCycleLR(o, .5, total_steps=1.5)
L.OneCycleLR(o, .5, epochs=-1, steps_per_epoch=2)
L.OneCycleLR(o, .5, epochs=1, steps_per_epoch=-2)
L.OneCycleLR(o, .5, epochs=1)
L.OneCycleLR(o, .5, 10, pct_start=2)
L.OneCycleLR(o, .5, 10, anneal_strategy='x')
L.OneCycleLR(o, [.5, .3], 10)
L.OneCycleLR(o, .5, 10, base_momentum=[.5, .3])
L.OneCycleLR(3, .5, 10)
L.OneCycleLR(make('Adagrad'), .5, 10)
do('s = L.OneCycleLR(o, .5, 3)\\nfor i in range(5): o.step(); s.step()')
L.LambdaLR(o, [lambda e: 1, lambda e: 2])
L.MultiplicativeLR(o, [lambda e: 1, lambda e: 2])
L.ConstantLR(o, 2.)
L.LinearLR(o, 2.)
L.LinearLR(o, .5, 2.)
L.LinearLR(o, 0.)
L.CosineAnnealingWarmRestarts(o, 0)
L.CosineAnnealingWarmRestarts(o, 3, .5)
L.CosineAnnealingWarmRestarts(o, 3, 2, eta_min='a')
L.CosineAnnealingWarmRestarts(o, 3, 2).step(-1)
(do('s = L.CosineAnnealingWarmRestarts(o, 3, 2)'), [(s.step(e), *o.param_groups[0].values(), s.T_cur, s.T_i)[2:] for e in (.5, 1.25, 3, 8.9, 21)])
L.ReduceLROnPlateau(o, factor=1.)
L.ReduceLROnPlateau(3)
L.ReduceLROnPlateau(o, 'x')
L.ReduceLROnPlateau(o, threshold_mode='x')
L.ReduceLROnPlateau(o, min_lr=[1, 2])
L.ReduceLROnPlateau(o).state_dict()
L.ReduceLROnPlateau(o).get_last_lr()
L.CyclicLR(o, .1, .5, mode='x')
L.CyclicLR(o, [.1, .2], .5)
L.CyclicLR(3, .1, .5)
L.SequentialLR(o, [], [])
L.SequentialLR(o, [L.StepLR(o, 3)], [2])
L.SequentialLR(o, [L.StepLR(o, 3), L.StepLR(o2, 3)], [2])
L.SequentialLR(o, [L.StepLR(o, 3), L.ReduceLROnPlateau(o)], [2])
L.SequentialLR(o, [3, L.StepLR(o, 3)], [2])
L.ChainedScheduler([])
L.ChainedScheduler([L.StepLR(o, 3), L.StepLR(o2, 3)])
L.ChainedScheduler([L.StepLR(o, 3), L.ReduceLROnPlateau(o)])
L.ChainedScheduler([L.StepLR(o, 3)], o2)
(resume(), L.CosineAnnealingLR(o, 10, last_epoch=4).state_dict(), o.param_groups[0]['lr'])
(resume(), L.ExponentialLR(o, .5, last_epoch=4).state_dict(), o.param_groups[0]['lr'])
(resume(), L.PolynomialLR(o, 10, last_epoch=4).state_dict(), o.param_groups[0]['lr'])
(resume(), L.LinearLR(o, .5, last_epoch=3).state_dict(), o.param_groups[0]['lr'])
(do('s = L.OneCycleLR(o, .5, 10); o.step(); s.step(); s = L.OneCycleLR(o, .5, 10, last_epoch=2)'), s.state_dict(), o.param_groups[0]['momentum'])
copy.deepcopy(L.StepLR(o, 3)).state_dict()
L.LambdaLR(o, Half()).state_dict()
""".strip().splitlines()


class Half:
    """A callable object: schedules keep its attributes."""

    def __init__(self) -> None:
        self.times = 0.5

    def __call__(self, epoch: int) -> float:
        return self.times**epoch


@pytest.mark.parametrize("expression", SCHEDULE_TEXTS)
def test_schedule_texts_and_warnings_are_torchs(expression: str) -> None:
    def scenario(T: Any) -> Any:
        o = make(T)
        resume = {"initial_lr": 0.1, "lr": 0.05}
        names: dict[str, Any] = {"T": T, "L": T.optim.lr_scheduler, "o": o, "o2": make(T), "copy": copy, "Half": Half,
                                 "make": lambda name: make(T, name), "resume": lambda: o.param_groups[0].update(resume)}
        names["do"] = lambda statements: exec(statements, names)
        result = eval(expression, names)
        return type(result).__name__ if hasattr(result, "state_dict") else result

    assert_same(scenario)
