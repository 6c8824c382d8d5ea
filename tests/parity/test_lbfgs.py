"""L-BFGS: torch's losses, step by step, with and without the line search, and torch's bookkeeping."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import mytorch

torch = pytest.importorskip("torch")


def rosenbrock(T: Any, x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def run(T: Any, steps: int = 6, **options: Any) -> tuple[list[float], Any, int]:
    x = T.tensor([-1.5, 2.0, 0.5], dtype=T.float64, requires_grad=True)
    unused = T.zeros(2, dtype=T.float64, requires_grad=True)
    optimizer = T.optim.LBFGS([x, unused], **options)
    calls = 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = rosenbrock(T, x)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(steps)]
    return [*losses, *x.tolist()], optimizer.state_dict(), calls


OPTIONS = [{"line_search_fn": "strong_wolfe"}, {"lr": 1e-3}, {"lr": 1e-3, "history_size": 3, "max_iter": 7},
           {"line_search_fn": "strong_wolfe", "max_iter": 4, "lr": 0.5}, {"line_search_fn": "strong_wolfe", "max_eval": 5},
           {"line_search_fn": "strong_wolfe", "tolerance_grad": 1.0}, {"lr": 1e-3, "tolerance_change": 1e-2},
           {"line_search_fn": "strong_wolfe", "lr": 100.0}, {"line_search_fn": "strong_wolfe", "lr": 3e-3}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_losses_calls_and_state_are_torchs(options: dict[str, Any]) -> None:
    found, ours, calls = run(mytorch, **options)
    expected, theirs, torchs_calls = run(torch, **options)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert calls == torchs_calls
    assert ours["param_groups"] == theirs["param_groups"]
    ours, theirs = ours["state"][0], theirs["state"][0]
    assert set(ours) == set(theirs) - {"al"}  # torch's scratch, written before it is read
    assert (ours["n_iter"], ours["func_evals"], len(ours["ro"])) == (theirs["n_iter"], theirs["func_evals"], len(theirs["ro"]))


def test_a_run_goes_on_from_a_checkpoint() -> None:
    x = mytorch.tensor([-1.5, 2.0, 0.5], dtype=mytorch.float64, requires_grad=True)
    optimizer = mytorch.optim.LBFGS([x], max_iter=3, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = rosenbrock(mytorch, x)
        loss.backward()
        return loss

    optimizer.step(closure)
    state = copy.deepcopy(optimizer.state_dict())
    start = x.detach().clone()
    expected = [optimizer.step(closure).item() for _ in range(2)]
    x = start.requires_grad_()
    optimizer = mytorch.optim.LBFGS([x])
    optimizer.load_state_dict(state)
    assert [optimizer.step(closure).item() for _ in range(2)] == expected


@pytest.mark.parametrize("T", [torch, mytorch], ids=["torch", "mytorch"])
def test_what_it_refuses(T: Any) -> None:
    x = T.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="per-parameter options"):
        T.optim.LBFGS([{"params": [x]}, {"params": [T.ones(1, requires_grad=True)]}])
    with pytest.raises(TypeError, match="closure"):
        T.optim.LBFGS([x]).step()

    def closure() -> Any:
        x.grad = None
        loss = (x * x).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        T.optim.LBFGS([x], line_search_fn="armijo").step(closure)
