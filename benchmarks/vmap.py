"""What vmap is for: gradients of each example, Jacobians, ensembles, pairs; against torch, and against the plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from works import Work, plain

EXAMPLES = 64


def mlp(torch: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The gradient of one example's loss in an MLP of 784, 128 and 10 units, and a batch of examples."""
    F = torch.nn.functional  # noqa: N806 - torch's custom
    torch.manual_seed(0)
    parameters = (torch.randn(128, 784) * 0.05, torch.zeros(128), torch.randn(10, 128) * 0.05, torch.zeros(10))

    def loss(p: Any, x: Any, t: Any) -> Any:
        h = F.relu(F.linear(x, p[0], p[1]))
        return F.cross_entropy(F.linear(h, p[2], p[3]).unsqueeze(0), t.unsqueeze(0))

    return torch.func.grad(loss), (parameters, torch.randn(EXAMPLES, 784), torch.randint(0, 10, (EXAMPLES,)))


def cnn(torch: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The same in a network of two convolutions on images of 28 x 28."""
    F = torch.nn.functional  # noqa: N806
    torch.manual_seed(0)
    parameters = (torch.randn(8, 1, 3, 3) * 0.1, torch.zeros(8), torch.randn(16, 8, 3, 3) * 0.1, torch.zeros(16), torch.randn(10, 400) * 0.05)

    def loss(p: Any, x: Any, t: Any) -> Any:
        h = F.max_pool2d(F.relu(F.conv2d(x.unsqueeze(0), p[0], p[1])), 2)
        h = F.max_pool2d(F.relu(F.conv2d(h, p[2], p[3])), 2)
        return F.cross_entropy(F.linear(h.flatten(1), p[4]), t.unsqueeze(0))

    return torch.func.grad(loss), (parameters, torch.randn(EXAMPLES, 1, 28, 28), torch.randint(0, 10, (EXAMPLES,)))


def at_once(model: Any) -> Callable[[Any], Callable[[], Any]]:
    """The gradients of all examples by vmap."""
    def prepare(torch: Any) -> Callable[[], Any]:
        gradient, args = model(torch)
        mapped = torch.func.vmap(gradient, in_dims=(None, 0, 0))
        return lambda: mapped(*args)

    return prepare


def one_by_one(model: Any) -> Callable[[Any], Callable[[], Any]]:
    """The gradients of all examples by a loop."""
    def prepare(torch: Any) -> Callable[[], Any]:
        gradient, (parameters, x, t) = model(torch)

        def work() -> Any:
            for i in range(EXAMPLES):
                last = gradient(parameters, x[i], t[i])
            return last

        return work

    return prepare


def jacobian(name: str) -> Callable[[Any], Callable[[], Any]]:
    """A Jacobian of 100 x 100."""
    def prepare(torch: Any) -> Callable[[], Any]:
        torch.manual_seed(0)
        w, v = torch.randn(100, 100) * 0.1, torch.randn(100)
        of = getattr(torch.func, name)(lambda v: torch.tanh(w @ torch.tanh(w @ v)))
        return lambda: of(v)

    return prepare


def ensemble(torch: Any) -> Callable[[], Any]:
    """Eight networks of two layers, each with its own input."""
    torch.manual_seed(0)
    w1, w2, x = torch.randn(8, 64, 32) * 0.1, torch.randn(8, 10, 64) * 0.1, torch.randn(8, 16, 32)
    model = torch.func.vmap(lambda w1, w2, x: torch.nn.functional.linear(torch.tanh(torch.nn.functional.linear(x, w1)), w2))
    return lambda: model(w1, w2, x)


def pairs(torch: Any) -> Callable[[], Any]:
    """The distances of 200 points from one another, by vmap of vmap."""
    torch.manual_seed(0)
    points = torch.randn(200, 20)
    of_pair = torch.func.vmap(lambda p, q: ((p - q) ** 2).sum().sqrt(), in_dims=(None, 0))
    distances = torch.func.vmap(of_pair, in_dims=(0, None))
    return lambda: distances(points, points)


def small(torch: Any) -> Callable[[], Any]:
    """150 operations on vectors of 10: what an operation costs inside vmap apart from its arithmetic."""
    torch.manual_seed(0)
    x, b = torch.randn(10, 10), torch.randn(10)

    def chain(v: Any) -> Any:
        for _ in range(50):
            v = (v * b + b).tanh()
        return v

    mapped = torch.func.vmap(chain)
    return lambda: mapped(x)


WORKS: dict[str, Work] = {
    "vmap-mlp": plain("gradients of 64 examples, MLP", at_once(mlp)),
    "vmap-mlp-loop": plain("the same in a loop", one_by_one(mlp)),
    "vmap-cnn": plain("gradients of 64 examples, CNN", at_once(cnn)),
    "vmap-cnn-loop": plain("the same, in a loop", one_by_one(cnn)),
    "jacrev": plain("jacrev, 100 x 100", jacobian("jacrev")),
    "jacfwd": plain("jacfwd, 100 x 100", jacobian("jacfwd")),
    "ensemble": plain("ensemble of 8", ensemble),
    "pairs": plain("distances of 200 points", pairs),
    "vmap-small": plain("150 small operations", small),
}
