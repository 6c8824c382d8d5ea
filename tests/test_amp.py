"""Mixed precision: casts in the graph, contexts, and the scaler. (Which function computes in what: tests/parity/test_amp.py.)"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest

import mytorch as torch
from mytorch import nn


@pytest.fixture
def layer() -> nn.Linear:
    return nn.Linear(4, 3)


@pytest.fixture
def x() -> Any:
    return torch.randn(2, 4)


def test_weights_stay_in_float32_and_get_float32_gradients(layer: nn.Linear, x: Any) -> None:
    with torch.autocast("cpu"):
        y = layer(x)
        loss = (y ** 2).sum()
    loss.backward()
    assert (y.dtype, layer.weight.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype) == (torch.bfloat16, *[torch.float32] * 3)
    exact = 2 * (layer(x).detach().T @ x)
    np.testing.assert_allclose(layer.weight.grad.numpy(), exact.numpy(), rtol=0.05, atol=0.05)


def test_the_cast_is_a_node_of_the_graph(layer: nn.Linear, x: Any) -> None:
    with torch.autocast("cpu"):
        y = layer(x)
    names = {parent.name() for parent, _ in y.grad_fn.next_functions if parent is not None}
    assert names == {"ToCopyBackward0"}


def cast_of(y: Any) -> Any:
    """The node of the cast of the second operand."""
    return y.grad_fn.next_functions[1][0]


def test_a_weight_is_cast_once_in_a_context() -> None:
    weight, x = torch.randn(4, 4, requires_grad=True), torch.randn(2, 4)
    with torch.autocast("cpu"):
        first, second = x @ weight, x @ weight
    with torch.autocast("cpu"):
        third = x @ weight
    with torch.autocast("cpu", cache_enabled=False):
        fourth, fifth = x @ weight, x @ weight
    assert cast_of(first) is cast_of(second)
    assert len({id(cast_of(y)) for y in (first, third, fourth, fifth)}) == 4
    (first + second).float().sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), 2 * x.sum(0)[:, None].expand(4, 4).numpy(), rtol=0.05, atol=0.05)


def test_a_weight_that_is_written_is_cast_anew() -> None:
    weight, x = torch.ones(4, 4, requires_grad=True), torch.ones(2, 4)
    with torch.autocast("cpu"):
        before = x @ weight
        with torch.no_grad():
            weight.mul_(2)
        after = x @ weight
        weight.data = torch.zeros(4, 4)
        replaced = x @ weight
    assert [y[0, 0].item() for y in (before, after, replaced)] == [4.0, 8.0, 0.0]


def test_a_weight_that_is_used_without_gradients_first_gets_one_later() -> None:
    weight, x = torch.randn(4, 4, requires_grad=True), torch.randn(2, 4)
    with torch.autocast("cpu"):
        with torch.no_grad():
            assert not (x @ weight).requires_grad
        y = x @ weight
    y.float().sum().backward()
    assert weight.grad is not None


def test_contexts_nest_and_leave_all_as_it_was() -> None:
    x = torch.ones(2, 2)
    with torch.autocast("cpu"):
        with torch.autocast("cpu", dtype=torch.float16):
            inner = (x @ x).dtype
        with torch.autocast("cpu", enabled=False):
            off = (x @ x).dtype
        outer = (x @ x).dtype
    assert (inner, off, outer, (x @ x).dtype) == (torch.float16, torch.float32, torch.bfloat16, torch.float32)
    assert not torch.is_autocast_enabled("cpu")
    assert torch.get_autocast_dtype("cpu") is torch.bfloat16


def test_an_exception_ends_the_context() -> None:
    with pytest.raises(KeyError), torch.autocast("cpu"):
        raise KeyError
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


def test_a_decorator_casts_also_where_the_function_calls_itself() -> None:
    @torch.autocast("cpu")
    def product(depth: int) -> Any:
        """The product."""
        return product(depth - 1) if depth else torch.ones(2, 2) @ torch.ones(2, 2)

    assert product(2).dtype is torch.bfloat16
    assert product.__doc__ == "The product."
    assert not torch.is_autocast_enabled("cpu")


def test_other_threads_do_not_cast() -> None:
    found: list[Any] = []
    with torch.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype))
        thread.start()
        thread.join()
    assert found == [torch.float32]


def test_a_switch_without_a_context_works_until_it_is_set_back() -> None:
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.set_autocast_enabled("cpu", True)
    try:
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float16
    finally:
        torch.set_autocast_enabled("cpu", False)
        torch.set_autocast_dtype("cpu", torch.bfloat16)
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


def test_no_gpu_means_a_warning_and_no_casts() -> None:
    with pytest.warns(UserWarning, match="CUDA is not available"):
        context = torch.autocast("cuda")
    with context:
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


def test_writing_in_place_keeps_the_type_and_the_precision() -> None:
    a = torch.full((2, 2), 1.001)
    with torch.autocast("cpu"):
        y = torch.zeros(2, 2).addmm_(a, a)
        out = torch.empty(2, 2)
        torch.mm(a, a, out=out)
    assert y.dtype is torch.float32
    assert y[0, 0].item() == out[0, 0].item() == pytest.approx(2 * 1.001 ** 2, abs=1e-6)


@pytest.mark.parametrize("make", [
    lambda: nn.LSTM(4, 3, bidirectional=True), lambda: nn.GRU(4, 3, num_layers=2), lambda: nn.RNN(4, 3),
    lambda: nn.MultiheadAttention(4, 2), lambda: nn.TransformerEncoderLayer(4, 2, 8),
], ids=["lstm", "gru", "rnn", "attention", "transformer"])
def test_layers_learn_under_autocast(make: Any) -> None:
    module = make()
    x = torch.randn(5, 2, 4)
    args = (x, x, x) if isinstance(module, nn.MultiheadAttention) else (x,)

    def loss_of(y: Any) -> Any:
        y = y[0] if isinstance(y, tuple) else y
        return (y.float() * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum()

    if isinstance(module, nn.TransformerEncoderLayer):
        module.eval()  # no dropout: the two runs are compared
    loss_of(module(*args)).backward()
    exact = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    with torch.autocast("cpu"):
        loss = loss_of(module(*args))
    loss.backward()
    for p, wanted in zip(module.parameters(), exact, strict=True):
        assert p.grad.dtype is torch.float32
        assert (p.grad - wanted).abs().max().item() <= 0.06 * max(1.0, wanted.abs().max().item())


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_checkpoint_is_computed_again_as_it_was_computed_first(use_reentrant: bool) -> None:
    from mytorch.utils.checkpoint import checkpoint
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    x = torch.randn(2, 4, requires_grad=True)
    seen: list[Any] = []

    def run(x: Any) -> Any:
        y = layers(x)
        seen.append(y.dtype)
        return y

    with torch.autocast("cpu"):
        y, plain = checkpoint(run, x, use_reentrant=use_reentrant), layers(x)
    wanted = torch.autograd.grad(plain.float().sum(), layers.parameters())
    y.float().sum().backward()
    assert seen[0] is torch.bfloat16
    assert set(seen) == {torch.bfloat16}
    for p, g in zip(layers.parameters(), wanted, strict=True):
        assert torch.equal(p.grad, g)


# ---- GradScaler ---------------------------------------------------------------------------------------------------------------


def weight_and_optimizer() -> tuple[Any, Any]:
    weight = torch.ones(2, requires_grad=True)
    return weight, torch.optim.SGD([weight], lr=0.5)


def test_a_scaled_step_is_the_step_without_a_scaler() -> None:
    weight, optimizer = weight_and_optimizer()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((weight * torch.tensor([1.0, 3.0])).sum()).backward()
    assert weight.grad.tolist() == [1024.0, 3072.0]
    scaler.step(optimizer)
    assert weight.grad.tolist() == [1.0, 3.0]
    assert weight.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_step_that_overflowed_is_skipped_and_the_scale_falls(bad: float) -> None:
    weight, optimizer = weight_and_optimizer()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    scaler.scale((weight * torch.tensor([1.0, bad])).sum()).backward()
    assert scaler.step(optimizer) is None
    scaler.update()
    assert weight.tolist() == [1.0, 1.0]
    assert scaler.get_scale() == 4.0
    for _ in range(2):
        optimizer.zero_grad()
        scaler.scale(weight.sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 8.0


def test_an_overflow_of_one_optimizer_skips_only_its_step() -> None:
    (a, first), (b, second) = weight_and_optimizer(), weight_and_optimizer()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(a.sum() + (b * math.inf).sum()).backward()
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert (a.tolist(), b.tolist(), scaler.get_scale()) == ([0.5, 0.5], [1.0, 1.0], 4.0)


def test_a_scaler_refuses_calls_in_the_wrong_order() -> None:
    weight, optimizer = weight_and_optimizer()
    scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(AssertionError, match="_scale is None"):
        scaler.step(optimizer)
    scaler.scale(weight.sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="called after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="step\\(\\) has already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, closure=lambda: None)


def test_gradients_in_float16_are_refused() -> None:
    weight = torch.ones(2, dtype=torch.float16, requires_grad=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(weight.sum()).backward()
    with pytest.raises(ValueError, match="FP16"):
        scaler.unscale_(torch.optim.SGD([weight], lr=1.0))


def test_a_disabled_scaler_passes_everything_through() -> None:
    weight, optimizer = weight_and_optimizer()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    loss = weight.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (weight.tolist(), scaler.get_scale(), scaler.state_dict()) == ([0.5, 0.5], 1.0, {})
