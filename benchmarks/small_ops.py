"""1,000 small operations, with a graph and backward and without: what an operation costs apart from its arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from works import Work, plain

COUNT = 1000


def chain(step: Callable[[Any, Any], Any], per_step: int, graph: bool, both: bool) -> Callable[[Any], Callable[[], Any]]:
    """A work that applies `step` until COUNT operations are done, and goes backward if it keeps a graph."""

    def prepare(torch: Any) -> Callable[[], None]:
        a = torch.ones(10, requires_grad=graph)
        b = torch.full((10,), 0.999, requires_grad=graph and both)

        def work() -> Any:
            y = a
            for _ in range(COUNT // per_step):
                y = step(y, b)
            if graph:
                y.sum().backward()
            return y

        return work

    return prepare


def tensors(y: Any, b: Any) -> Any:
    """Two operations on two tensors."""
    return y * b + b


def numbers(y: Any, b: Any) -> Any:
    """Four operations with numbers, as in a formula."""
    return ((y * 0.9 + 1).exp()) / 2.5 * 0.1 - 0.05


def mixed(y: Any, b: Any) -> Any:
    """Five operations as a small network has them."""
    return ((y * b + b).tanh() - b).relu()


WORKS: dict[str, Work] = {
    "small-tensors": plain("tensors, forward + backward", chain(tensors, 2, True, False)),
    "small-leaves": plain("tensors that all need gradients", chain(tensors, 2, True, True)),
    "small-numbers": plain("numbers, forward + backward", chain(numbers, 6, True, False)),
    "small-mixed": plain("mixed, forward + backward", chain(mixed, 5, True, True)),
    "small-tensors-no-graph": plain("tensors, no graph", chain(tensors, 2, False, False)),
    "small-numbers-no-graph": plain("numbers, no graph", chain(numbers, 6, False, False)),
    "small-mixed-no-graph": plain("mixed, no graph", chain(mixed, 5, False, False)),
}
