"""What a benchmark is: a work, prepared with one library, of which the two sides must agree on what it computes.

A work is written once, as a function of the module `torch`, which is torch or mytorch. It returns a `Task`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import flops

CHECKED_STEPS = 5  # of training, after which two libraries must have had the same losses


def transform(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is done to the forward pass of a network: nothing. A process that measures torch.compile puts that in this place."""
    return function


class Task(NamedTuple):
    """A prepared work.

    step: one unit of what is timed; returns what it computed.
    values: numbers that tell what the work computes; both libraries must give the same.
    begin: brings the task back to where it was before its first step, or nothing to do.
    flops: multiplications and additions of the products (matrix products, convolutions) in a step; 0 where there are none.
    """

    step: Callable[[], Any]
    values: Callable[[], list[float]]
    begin: Callable[[], None]
    flops: float = 0.0


class Model(NamedTuple):
    """A network in training: the network, the batch, its loss on that batch, and how to make its optimizer."""

    network: Any
    batch: tuple[Any, Any]
    loss: Callable[[], Any]
    optimizer: Callable[[Any], Any]


class Work(NamedTuple):
    """A row of the benchmarks.

    prepare: from a library (and sizes) to a Task.
    tiny: the sizes at which tests run it.
    tolerance: by which the values of two libraries may differ, relative to the values; None where they are random and differ.
    """

    title: str
    prepare: Callable[..., Task]
    tiny: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's default, which nobody writes to
    tolerance: float | None = 1e-3


def nothing() -> None:
    """There is nothing to bring back."""


def training(torch: Any, model: Model, autocast: bool = False) -> Task:
    """Steps of training on one batch: loss, gradients, update.

    Every burst of steps begins with the first weights again: a network that has nothing left to learn meets denormal numbers.
    """
    def loss_of_batch() -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext():
            return model.loss()

    forward = transform(loss_of_batch if autocast else model.loss)
    first = {name: weight.clone() for name, weight in model.network.state_dict().items()}
    optimizer = None

    def begin() -> None:
        nonlocal optimizer
        model.network.load_state_dict(first)
        optimizer = model.optimizer(model.network.parameters())

    def step() -> Any:
        loss = forward()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def values() -> list[float]:
        begin()
        return [step().item() for _ in range(CHECKED_STEPS)]

    return Task(step, values, begin, flops.of_step(model.network, model.loss, torch))


def inference(torch: Any, network: Any, x: Any) -> Task:
    """One prediction, without a graph."""
    network.eval()
    forward = transform(network)

    def step() -> Any:
        with torch.no_grad():
            return forward(x)

    return Task(step, lambda: digest([step()]), nothing, flops.of_step(network, step, torch, training=False))


def plain(title: str, prepare: Callable[[Any], Callable[[], Any]]) -> Work:
    """A Work of which `prepare` returns the step alone; what the step returns, tensors or nothing, is what it computes."""
    def task(torch: Any) -> Task:
        step = prepare(torch)

        def values() -> list[float]:
            result = step()
            return digest(list(result) if isinstance(result, list | tuple) else [] if result is None else [result])

        return Task(step, values, nothing)

    return Work(title, task)


def digest(tensors: list[Any]) -> list[float]:
    """Two numbers for each tensor: the mean of its absolute values, and a mean with weights that tell places apart."""
    numbers = []
    for tensor in tensors:
        x = tensor.detach().double().flatten()
        count = max(x.numel(), 1)
        weights = 1 + (x.abs() * 0 + 1).cumsum(0) / count  # 1 .. 2
        numbers += [(x.abs().sum() / count).item(), ((x.abs() * weights).sum() / count).item()]
    return numbers


def agree(ours: list[float], theirs: list[float], tolerance: float) -> bool:
    """Whether two lists of values tell of the same computation."""
    return len(ours) == len(theirs) and all(abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-6) for a, b in zip(ours, theirs))

