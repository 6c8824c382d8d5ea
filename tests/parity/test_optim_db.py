"""torch's own table of optimizers, `optim_db`: ten steps of every configuration give torch's parameters."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.optim

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from torch.testing._internal.common_optimizers import optim_db  # noqa: E402

STEPS = 10
REFUSED = ("differentiable",)  # NotImplementedError: see Optimizer


def configurations() -> list[Any]:
    found = []
    for info in optim_db:
        if info.optim_cls is torch.optim.SparseAdam:
            continue
        for i, sample in enumerate(info.optim_inputs_func(device=torch.device("cpu"), dtype=torch.float64)):
            found.append(pytest.param(info.optim_cls.__name__, sample.kwargs, id=f"{info.optim_cls.__name__}-{i}-{sample.desc}"))
    return found


def trained(T: Any, name: str, options: dict[str, Any], dtype: str) -> Any:
    """Two matrices after ten steps down a fixed bowl, in two groups."""
    random = np.random.RandomState(1)
    kind = getattr(T, dtype)
    params = [T.nn.Parameter(T.tensor(random.randn(4, 6)).to(kind)), T.nn.Parameter(T.tensor(random.randn(6, 4)).to(kind))]
    target = T.tensor(random.randn(4, 4)).to(kind)
    options = {key: mytorch.tensor(value.numpy()) if T is mytorch and isinstance(value, torch.Tensor) else value for key, value in options.items()}
    groups = params if name == "LBFGS" else [{"params": params[:1]}, {"params": params[1:]}]
    optimizer = getattr(T.optim, name)(groups, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (params[0] @ params[1] - target).square().mean()
        loss.backward()
        return loss

    for _ in range(STEPS):
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    return params


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), configurations())
def test_ten_steps_give_torchs_parameters(name: str, options: dict[str, Any], dtype: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if any(options.get(key) for key in REFUSED):
            with pytest.raises(NotImplementedError, match="optimizers do not support"):
                trained(mytorch, name, options, dtype)
            return
        expected = trained(torch, name, options, dtype)
        found = trained(mytorch, name, options, dtype)
    tolerance = 1e-6 if dtype == "float64" else 5e-6
    if name == "Muon":
        tolerance = 1e-4  # its iteration runs in bfloat16, whose products round by the order of their sums
    if name == "LBFGS" and dtype == "float32":
        tolerance = 2e-3  # 200 products of one step's directions: rounding of the first grows along the way
    for x, y in zip(found, expected):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("info", optim_db, ids=lambda info: info.optim_cls.__name__)
def test_bad_options_raise_torchs_errors(info: Any) -> None:
    if info.optim_cls is torch.optim.SparseAdam:
        with pytest.raises(NotImplementedError, match="use Adam"):
            mytorch.optim.SparseAdam([mytorch.ones(2, requires_grad=True)])
        return
    for case in info.optim_error_inputs_func(device="cpu", dtype=torch.float32):
        given = case.optimizer_error_input
        params, options = converted(given.params, {}), converted(given.kwargs, {})
        with pytest.raises(case.error_type, match=case.error_regex):
            use(info.optim_cls.__name__, params, options)


def use(name: str, params: Any, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(mytorch.optim, name)(params, **options).step()


def converted(value: Any, known: dict[int, Any]) -> Any:
    """mytorch's tensors for torch's, the same one wherever it is the same."""
    if isinstance(value, torch.Tensor):
        if id(value) not in known:
            copy = mytorch.from_numpy(value.detach().resolve_conj().numpy().copy())
            known[id(value)] = mytorch.nn.Parameter(copy) if isinstance(value, torch.nn.Parameter) else copy
            if value.grad is not None:
                known[id(value)].grad = mytorch.from_numpy(value.grad.resolve_conj().numpy().copy())
        return known[id(value)]
    if isinstance(value, dict):
        return {key: converted(item, known) for key, item in value.items()}
    return type(value)(converted(item, known) for item in value) if isinstance(value, (list, tuple)) else value
