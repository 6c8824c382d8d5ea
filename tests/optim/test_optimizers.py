"""Optimizers by themselves: the papers' formulas written out, layouts, dtypes, memory, hooks."""

from __future__ import annotations

import gc
import inspect
import math
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import mytorch as torch
from mytorch import nn, optim
from mytorch.optim import optimizer as optimizer_file
from mytorch.optim.blocks import blocks

KINDS = (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.Adamax, optim.NAdam, optim.RAdam,
         optim.Rprop, optim.ASGD)


def parameter(array: Any, gradient: Any = None) -> Any:
    p = nn.Parameter(torch.tensor(array))
    p.grad = None if gradient is None else torch.tensor(gradient)
    return p


# ---- the papers' formulas, one number at a time -------------------------------------------------------------------------------


def sgd(x: float, gradients: list[float]) -> float:
    b = 0.0
    for t, g in enumerate(gradients, 1):
        g += 0.1 * x
        b = g if t == 1 else 0.9 * b + (1 - 0.2) * g
        x -= 0.01 * b
    return x


def nesterov(x: float, gradients: list[float]) -> float:
    b = 0.0
    for g in gradients:
        b = 0.9 * b + g
        x -= 0.01 * (g + 0.9 * b)
    return x


def adam(x: float, gradients: list[float]) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = 0.8 * m + 0.2 * g
        v = 0.9 * v + 0.1 * g * g
        x -= 0.01 * (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.9**t)) + 1e-3)
    return x


def amsgrad_with_decay(x: float, gradients: list[float]) -> float:
    m = v = largest = 0.0
    for t, g in enumerate(gradients, 1):
        g += 0.3 * x
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        largest = max(largest, v)
        x -= 0.01 * (m / (1 - 0.9**t)) / (math.sqrt(largest / (1 - 0.999**t)) + 1e-8)
    return x


def adamw(x: float, gradients: list[float]) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        x -= 0.01 * 0.5 * x
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        x -= 0.01 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return x


def rmsprop(x: float, gradients: list[float]) -> float:
    v = mean = b = 0.0
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        mean = 0.9 * mean + 0.1 * g
        b = 0.5 * b + g / (math.sqrt(v - mean * mean) + 1e-3)
        x -= 0.01 * b
    return x


def adagrad(x: float, gradients: list[float]) -> float:
    v = 0.25
    for t, g in enumerate(gradients, 1):
        v += g * g
        x -= 0.01 / (1 + (t - 1) * 0.1) * g / (math.sqrt(v) + 1e-3)
    return x


def adadelta(x: float, gradients: list[float]) -> float:
    v = u = 0.0
    for g in gradients:
        v = 0.8 * v + 0.2 * g * g
        d = math.sqrt(u + 1e-3) / math.sqrt(v + 1e-3) * g
        u = 0.8 * u + 0.2 * d * d
        x -= 0.5 * d
    return x


def adamax(x: float, gradients: list[float]) -> float:
    m = u = 0.0
    for t, g in enumerate(gradients, 1):
        m = 0.8 * m + 0.2 * g
        u = max(0.9 * u, abs(g) + 1e-3)
        x -= 0.01 / (1 - 0.8**t) * m / u
    return x


def nadam(x: float, gradients: list[float]) -> float:
    m = v = 0.0
    product = 1.0
    for t, g in enumerate(gradients, 1):
        m = 0.8 * m + 0.2 * g
        v = 0.9 * v + 0.1 * g * g
        mu = 0.8 * (1 - 0.5 * 0.96 ** (t * 0.1))
        after = 0.8 * (1 - 0.5 * 0.96 ** ((t + 1) * 0.1))
        product = float(np.float32(product) * np.float32(mu))  # state in float32, as torch keeps it
        m_hat = after * m / (1 - product * after) + (1 - mu) * g / (1 - product)
        x -= 0.01 * m_hat / (math.sqrt(v / (1 - 0.9**t)) + 1e-3)
    return x


def rprop(x: float, gradients: list[float]) -> float:
    d = 0.01
    before = 0.0
    for g in gradients:
        d = min(max(d * (1.5 if g * before > 0 else 0.7 if g * before < 0 else 1), 0.008), 0.02)
        before = 0.0 if g * before < 0 else g
        x -= d * math.copysign(1, before) * (before != 0)
    return x


@pytest.mark.parametrize(
    ("formula", "make"),
    [
        (sgd, lambda p: optim.SGD(p, 0.01, momentum=0.9, dampening=0.2, weight_decay=0.1)),
        (nesterov, lambda p: optim.SGD(p, 0.01, momentum=0.9, nesterov=True)),
        (adam, lambda p: optim.Adam(p, 0.01, (0.8, 0.9), 1e-3)),
        (amsgrad_with_decay, lambda p: optim.Adam(p, 0.01, weight_decay=0.3, amsgrad=True)),
        (adamw, lambda p: optim.AdamW(p, 0.01, weight_decay=0.5)),
        (rmsprop, lambda p: optim.RMSprop(p, 0.01, 0.9, 1e-3, momentum=0.5, centered=True)),
        (adagrad, lambda p: optim.Adagrad(p, 0.01, 0.1, initial_accumulator_value=0.25, eps=1e-3)),
        (adadelta, lambda p: optim.Adadelta(p, 0.5, 0.8, eps=1e-3)),
        (adamax, lambda p: optim.Adamax(p, 0.01, (0.8, 0.9), eps=1e-3)),
        (nadam, lambda p: optim.NAdam(p, 0.01, (0.8, 0.9), eps=1e-3, momentum_decay=0.1)),
        (rprop, lambda p: optim.Rprop(p, 0.01, (0.7, 1.5), (0.008, 0.02))),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_steps_follow_the_paper(formula: Any, make: Any) -> None:
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=6), random.normal(size=(30, 6))
    p = parameter(start)
    optimizer = make([p])
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
    expected = [formula(x, list(column)) for x, column in zip(start, gradients.T)]
    np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_maximize_is_a_step_along_the_opposite_gradient(kind: Any) -> None:
    up, down = parameter([1.0, 2.0], [0.5, -3.0]), parameter([1.0, 2.0], [-0.5, 3.0])
    kind([up], lr=0.1, maximize=True).step()
    kind([down], lr=0.1).step()
    assert up.tolist() == down.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_quadratic_is_minimized(kind: Any) -> None:
    p = parameter([3.0, -2.0])
    optimizer = kind([p], lr=10.0 if kind is optim.Adadelta else 0.3)  # Adadelta's steps begin at the root of eps
    for _ in range(400):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    assert np.abs(p.detach().numpy()).max() < 0.2


# ---- blocks and layouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 32768, 32769, 100_000])
def test_blocks_cover_every_element_once(size: int) -> None:
    param, grad, state = np.zeros(size, np.float32), np.arange(size, dtype=np.float32), np.zeros(size, np.float32)
    for p, g, s, absent, a, b in blocks(param, grad, state, None):
        assert absent is None
        assert p.shape == g.shape == s.shape == a.shape == b.shape
        assert not np.shares_memory(a, b)
        p += 1
        s += g
    assert (param == 1).all()
    np.testing.assert_array_equal(state, grad)


def test_blocks_hold_at_most_128_kib() -> None:
    sizes = [p.nbytes for p, *_ in blocks(np.zeros(100_000), np.zeros(100_000))]
    assert max(sizes) <= 1 << 17
    assert sum(sizes) == 800_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(6, 4), (300, 200)])
def test_strided_parameters_and_gradients_get_the_same_numbers(kind: Any, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    start, gradient = random.normal(size=shape), random.normal(size=shape)
    plain = parameter(start, gradient)
    turned = nn.Parameter(torch.tensor(start.T.copy()).t())
    sparse = nn.Parameter(torch.tensor(np.repeat(start, 2, axis=1))[:, ::2])
    turned.grad = torch.tensor(np.repeat(gradient, 3, axis=0))[::3]
    sparse.grad = torch.tensor(gradient.T.copy()).t()
    for p in (plain, turned, sparse):
        optimizer = kind([p], lr=0.1)
        optimizer.step()
        optimizer.step()
    np.testing.assert_array_equal(turned.detach().numpy(), plain.detach().numpy())
    np.testing.assert_array_equal(sparse.detach().numpy(), plain.detach().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_broadcast_gradient_is_only_read(kind: Any) -> None:
    p = parameter(np.ones((300, 200)))
    p.grad = torch.tensor(0.5, dtype=torch.float64).expand(300, 200)
    decay = {} if kind is optim.Rprop else {"weight_decay": 0.1}
    optimizer = kind([p], lr=0.1, maximize=True, **decay)
    optimizer.step()
    assert p.grad[0, 0].item() == 0.5
    assert np.unique(p.detach().numpy()).size == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_parameters_take_the_float32_step_rounded_once(kind: Any, dtype: Any) -> None:
    start, gradient = torch.randn(50).to(dtype), torch.randn(50).to(dtype)
    narrow, wide = nn.Parameter(start.clone()), nn.Parameter(start.float())
    narrow.grad, wide.grad = gradient, gradient.float()
    for p in (narrow, wide):
        kind([p], lr=0.1).step()
    assert narrow.dtype is dtype
    assert narrow.tolist() == wide.detach().to(dtype).tolist()


def test_state_of_16_bit_parameters_has_their_dtype_but_for_the_step() -> None:
    p = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    p.grad = torch.ones(3, dtype=torch.bfloat16)
    optimizer = optim.Adam([p])
    optimizer.step()
    assert {name: t.dtype for name, t in optimizer.state[p].items()} == {
        "step": torch.float32, "exp_avg": torch.bfloat16, "exp_avg_sq": torch.bfloat16}


def test_two_threads_step_without_disturbing_each_other() -> None:
    def run(seed: int, found: dict[int, Any]) -> None:
        random = np.random.default_rng(seed)
        p = parameter(random.normal(size=70_000))
        optimizer = optim.Adam([p], weight_decay=0.1, maximize=True)
        for _ in range(20):
            p.grad = torch.tensor(random.normal(size=70_000))
            optimizer.step()
        found[seed] = p.detach().numpy()

    alone: dict[int, Any] = {}
    together: dict[int, Any] = {}
    run(1, alone)
    run(2, alone)
    threads = [threading.Thread(target=run, args=(seed, together)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        np.testing.assert_array_equal(together[seed], alone[seed])


# ---- in place -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_writes_into_the_arrays_that_are_there_and_counts_it(kind: Any) -> None:
    p = parameter([1.0, 2.0], [0.1, 0.2])
    optimizer = kind([p], lr=0.1)
    optimizer.step()
    addresses = [p.data_ptr(), *(t.data_ptr() for t in optimizer.state[p].values())]
    before = p._version
    optimizer.step()
    assert [p.data_ptr(), *(t.data_ptr() for t in optimizer.state[p].values())] == addresses
    assert p._version > before
    assert p.grad.tolist() == pytest.approx([0.1, 0.2])


def test_backward_refuses_a_graph_whose_parameter_was_stepped() -> None:
    p = parameter([1.0, 2.0], [1.0, 1.0])
    loss = (p * p).sum()
    optim.SGD([p]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_plain_sgd_keeps_no_state() -> None:
    p = parameter([1.0], [1.0])
    optimizer = optim.SGD([p])
    optimizer.step()
    assert optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("kind", KINDS)
def test_loading_a_checkpoint_copies_it(kind: Any) -> None:
    p = parameter([1.0], [1.0])
    first = kind([p], **({"momentum": 0.9} if kind is optim.SGD else {}))
    first.step()
    saved = first.state_dict()
    before = {name: t.item() for name, t in saved["state"][0].items()}
    second = kind([p])
    second.load_state_dict(saved)
    second.step()
    assert {name: t.item() for name, t in saved["state"][0].items()} == before
    assert second.param_groups[0] is not first.param_groups[0]


def test_a_checkpoint_without_a_younger_option_gets_its_default() -> None:
    p = parameter([1.0], [1.0])
    optimizer = optim.Adam([p])
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["decoupled_weight_decay"]
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is False


def test_an_old_checkpoint_with_a_number_as_step_goes_on() -> None:
    p = parameter([1.0], [1.0])
    optimizer = optim.Adam([p])
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = 7
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 8.0


def test_an_optimizer_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        p = parameter([1.0], [1.0])
        optimizer = optim.Adam([p])
        scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
        optimizer.step()
        scheduler.step()
        alive = weakref.ref(optimizer)
        del optimizer, scheduler
        assert alive() is None
    finally:
        gc.enable()


# ---- options, subclasses, hooks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_is_part_of_a_graph_is_refused(kind: Any) -> None:
    with pytest.raises(NotImplementedError, match="differentiable=True"):
        kind([parameter([1.0])], differentiable=True)


@pytest.mark.parametrize("option", ["foreach", "fused", "capturable"])
@pytest.mark.parametrize("kind", KINDS)
def test_options_about_speed_change_no_number(kind: Any, option: str) -> None:
    if option not in inspect.signature(kind).parameters:
        with pytest.raises(TypeError, match=option):
            kind([parameter([1.0])], **{option: True})
        return
    found = []
    for options in ({}, {option: True}):
        p = parameter([1.0, -2.0], [0.5, 3.0])
        optimizer = kind([p], **options)
        optimizer.step()
        optimizer.step()
        found.append(p.tolist())
    assert found[0] == found[1]


def test_closure_runs_with_a_graph_also_inside_no_grad() -> None:
    p = parameter([3.0])
    optimizer = optim.SGD([p], lr=0.5)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9.0
    assert p.item() == 0.0


def test_a_subclass_writes_only_its_update() -> None:
    class Sign(optim.Optimizer):
        """theta_t = theta_{t-1} - lr sign(g_t); counts its steps in its state."""

        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        def _update(self, param: Any, grad: Any, state: Any, group: Any) -> None:
            state.setdefault("step", np.zeros((), np.float32))
            state["step"] += 1
            param -= group["lr"] * np.sign(grad)

    p = parameter([1.0, 1.0], [5.0, -0.1])
    optimizer = Sign([p], 0.25)
    optimizer.step()
    optimizer.step()
    assert p.tolist() == [0.5, 1.5]
    assert optimizer.state[p]["step"].item() == 2.0


def test_a_subclass_with_a_step_of_its_own_has_hooks_too() -> None:
    class Descent(optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])

    p = parameter([1.0], [0.5])
    optimizer = Descent([p], {"lr": 1.0})
    seen: list[str] = []
    handles = [optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("before")),
               optimizer_file.register_optimizer_step_pre_hook(lambda o, args, kwargs: seen.append("before all")),
               optimizer_file.register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append("after all"))]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert p.item() == 0.0
    assert seen == ["before all", "before", "after all"]


def test_an_optimizer_around_another_that_never_called_init_steps() -> None:
    class Every(optim.Optimizer):
        def __init__(self, inner: optim.Optimizer) -> None:
            self.inner, self.param_groups, self.seen = inner, inner.param_groups, 0

        def step(self, closure: Any = None) -> Any:
            self.seen += 1
            return self.inner.step(closure)

    p = parameter([1.0], [0.5])
    optimizer = Every(optim.SGD([p], lr=1.0))
    optimizer.step()
    assert (p.item(), optimizer.seen) == (0.5, 1)


def test_an_optimizer_without_an_update_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Optimizer defines neither _update nor step"):
        optim.Optimizer([parameter([1.0], [1.0])], {}).step()


def test_a_required_option_must_be_given() -> None:
    with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter lr"):
        optim.Optimizer([parameter([1.0])], {"lr": optimizer_file.required})
    assert optim.Optimizer([{"params": [parameter([1.0])], "lr": 1}], {"lr": optimizer_file.required}).param_groups[0]["lr"] == 1
