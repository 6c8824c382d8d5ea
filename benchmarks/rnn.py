"""Recurrent layers, forward and backward: fused layers of both libraries, and a Python loop over a cell.

    python benchmarks/rnn.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pair import main


def layers(name: str, steps: int, batch: int, size: int, count: int) -> Callable[[Any], Callable[[], None]]:
    """A work: `count` layers of `size` features over (steps, batch, size), with all gradients of the weights."""

    def prepare(torch: Any) -> Callable[[], None]:
        torch.set_num_threads(2)
        torch.manual_seed(0)
        net = getattr(torch.nn, name)(size, size, num_layers=count)
        x = torch.randn(steps, batch, size)
        g = torch.randn(steps, batch, size)

        def work() -> None:
            net(x)[0].backward(g)
            net.zero_grad()

        return work

    return prepare


def cell_loop(torch: Any) -> Callable[[], None]:
    """100 steps of one GRUCell, written as a loop."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(128, 128)
    x = torch.randn(100, 32, 128)

    def work() -> None:
        h = torch.zeros(32, 128)
        for step in x:
            h = cell(step, h)
        h.sum().backward()
        cell.zero_grad()

    return work


WORKS = {
    "GRU 2 x 128, T = 100, batch 32": layers("GRU", 100, 32, 128, 2),
    "LSTM 2 x 128, T = 100, batch 32": layers("LSTM", 100, 32, 128, 2),
    "RNN 2 x 128, T = 100, batch 32": layers("RNN", 100, 32, 128, 2),
    "GRU 1 x 32, T = 30, batch 8": layers("GRU", 30, 8, 32, 1),
    "LSTM 1 x 256, T = 50, batch 64": layers("LSTM", 50, 64, 256, 1),
    "GRUCell 128 in a loop, T = 100, batch 32": cell_loop,
}

if __name__ == "__main__":
    main(__file__, WORKS, rounds=15)
