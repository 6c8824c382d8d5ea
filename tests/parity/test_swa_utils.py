"""Averaged models and their schedule: torch's numbers, step for step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.optim

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same  # noqa: E402


def averaged(T: Any, choose: Any, use_buffers: bool) -> Any:
    """A small network with a batch norm, trained a little, and its average."""
    swa_utils = T.optim.swa_utils
    T.manual_seed(0)
    net = T.nn.Sequential(T.nn.Linear(3, 5), T.nn.BatchNorm1d(5), T.nn.ReLU(), T.nn.Linear(5, 2))
    mean = swa_utils.AveragedModel(net, use_buffers=use_buffers, **choose(swa_utils))
    optimizer = T.optim.SGD(net.parameters(), lr=0.5)
    schedule = swa_utils.SWALR(optimizer, swa_lr=0.05, anneal_epochs=3)
    random = np.random.RandomState(0)
    batches = [T.tensor(random.randn(8, 3).astype(np.float32)) for _ in range(6)]
    rates = []
    for x in batches:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        mean.update_parameters(net)
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    swa_utils.update_bn(batches, mean)
    return mean, rates, mean(batches[0])


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("choose", [
    lambda utils: {},
    lambda utils: {"avg_fn": utils.get_swa_avg_fn()},
    lambda utils: {"avg_fn": utils.get_ema_avg_fn(0.9)},
    lambda utils: {"multi_avg_fn": utils.get_swa_multi_avg_fn()},
    lambda utils: {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.9)},
    lambda utils: {"avg_fn": lambda mean, now, count: 0.3 * mean + 0.7 * now},
], ids=["default", "swa", "ema", "swa of lists", "ema of lists", "own"])
def test_averages_and_rates_are_torchs(choose: Any, use_buffers: bool) -> None:
    if use_buffers and "get_swa_multi_avg_fn" in repr(choose(mytorch.optim.swa_utils)):
        for T in (torch, mytorch):  # the plain mean in place has no answer for a count of batches
            with pytest.raises(RuntimeError):
                averaged(T, choose, use_buffers)
        return
    expected, theirs, y_expected = averaged(torch, choose, use_buffers)
    found, ours, y = averaged(mytorch, choose, use_buffers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(y.detach().numpy(), y_expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    mine, other = found.state_dict(), expected.state_dict()
    assert list(mine) == list(other)
    for key, value in other.items():
        np.testing.assert_allclose(mine[key].numpy(), value.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("options", [{"anneal_strategy": "linear"}, {"anneal_strategy": "cos", "anneal_epochs": 5}, {"anneal_epochs": 0}])
def test_swalr_gives_torchs_rates_over_20_steps(options: Any) -> None:
    found = {}
    for T in (torch, mytorch):
        optimizer = T.optim.SGD([{"params": [T.nn.Parameter(T.ones(1))]}, {"params": [T.nn.Parameter(T.ones(1))], "lr": 2.0}], lr=0.5)
        schedule = T.optim.swa_utils.SWALR(optimizer, swa_lr=[0.1, 0.2], **options)
        found[T.__name__] = [(optimizer.step(), schedule.step(), schedule.get_last_lr())[-1] for _ in range(20)]
    np.testing.assert_allclose(found["mytorch"], found["torch"], rtol=1e-12)


def test_bad_arguments_raise_torchs_errors() -> None:
    for T in (torch, mytorch):
        swa_utils = T.optim.swa_utils
        net = T.nn.Linear(1, 1)
        optimizer = T.optim.SGD(net.parameters(), lr=0.1)
        with pytest.raises(ValueError, match="Invalid decay value 2 provided"):
            swa_utils.get_ema_avg_fn(2)
        with pytest.raises(ValueError, match="anneal_strategy must be one of 'cos' or 'linear', instead got steps"):
            swa_utils.SWALR(optimizer, 0.1, anneal_strategy="steps")
        with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0, got -1"):
            swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn should be provided"):
            swa_utils.AveragedModel(net, avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn())


# S: swa_utils; L: what functions have seen
SCENARIOS = """
S.AveragedModel(nn.Linear(2, 1))
S.AveragedModel(nn.Linear(2, 1)).state_dict()
S.AveragedModel(nn.Linear(2, 1), 'cpu').n_averaged.device
S.AveragedModel(3)
S.get_ema_multi_avg_fn(1.1)
(do('m = nn.Linear(2, 1, dtype=T.float64); a = S.AveragedModel(m); a.update_parameters(m)'), a.n_averaged, a.module.weight.dtype, a.module.weight.requires_grad)
(do('m = nn.BatchNorm1d(2); a = S.AveragedModel(m, multi_avg_fn=S.get_ema_multi_avg_fn(.5), use_buffers=True); m.weight.data.fill_(3.); a.update_parameters(m); m.weight.data.fill_(5.); m(T.ones(4, 2)); a.update_parameters(m)'), a.state_dict())
(do('m = nn.BatchNorm1d(2); a = S.AveragedModel(m, avg_fn=S.get_ema_avg_fn(.5)); m.weight.data.fill_(3.); a.update_parameters(m); m.weight.data.fill_(5.); m(T.ones(4, 2)); a.update_parameters(m)'), a.state_dict())
(do('m = nn.Linear(2, 1); a = S.AveragedModel(m, avg_fn=lambda x, y, n: L.append((type(x).__name__, n)) or y); a.update_parameters(m); a.update_parameters(m)'), L)
(do('m = nn.Linear(2, 1); a = S.AveragedModel(m, multi_avg_fn=lambda x, y, n: L.append((type(x).__name__, len(x), n))); a.update_parameters(m); a.update_parameters(m)'), L)
(do('m = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(.5)); m.eval(); S.update_bn([T.arange(8.).reshape(4, 2), T.ones(4, 2)], m)'), m.state_dict(), m.training, m[0].momentum)
(do('m = nn.Sequential(nn.BatchNorm1d(2)); S.update_bn([(T.arange(8.).reshape(4, 2), 3), [T.ones(4, 2), 4]], m)'), m.state_dict(), m.training, m[0].momentum)
(do('m = nn.Sequential(nn.BatchNorm1d(2)); S.update_bn([], m)'), m.state_dict())
(do('m = nn.Sequential(nn.Linear(2, 2)); S.update_bn(iter([3, 4]), m)'), m.training)
(do('m = nn.Sequential(nn.BatchNorm1d(2)); S.update_bn([T.ones(4, 2)], m, device="cpu")'), m.state_dict())
(do('m = nn.Linear(2, 1); a = S.AveragedModel(m); b = S.AveragedModel(m); a.update_parameters(m); b.load_state_dict(a.state_dict())'), b.n_averaged)
(do('import copy, pickle; a = S.AveragedModel(nn.Linear(2, 1)); b = copy.deepcopy(a); c = pickle.loads(pickle.dumps(a))'), b.n_averaged, c)
""".strip().splitlines()  # noqa: E501 - one scenario, one line


@pytest.mark.parametrize("expression", SCENARIOS)
def test_the_outcome_is_torchs(expression: str) -> None:
    def scenario(T: Any) -> Any:
        T.manual_seed(0)
        names: dict[str, Any] = {"T": T, "nn": T.nn, "S": T.optim.swa_utils, "L": []}
        names["do"] = lambda statements: exec(statements, names)
        return eval(expression, names)

    assert_same(scenario)
