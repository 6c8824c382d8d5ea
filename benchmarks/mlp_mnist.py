"""The MLP of extra/mnist.py, trained under mytorch and under torch by the same lines: only the import differs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from works import Work, plain

PROGRAM = Path(__file__).resolve().parents[1] / "extra" / "mnist.py"
BATCH = 64
SHIPPED = Namespace(data=None, download=None, validate=False, smoke=False)  # options: all of the digits that ship


class Quiet:
    """Stands in for the progress bar: a bar would cost time, and its lines would mix with the timings."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def set_description_str(self, description: str, refresh: bool = True) -> None:
        """Show nothing."""


def program(library: Any) -> Any:
    """extra/mnist.py as a module that imports this library."""
    module = ModuleType("mnist")
    module.__dict__["__file__"] = str(PROGRAM)
    exec(compile(PROGRAM.read_text(encoding="utf-8").replace("mytorch", library.__name__), str(PROGRAM), "exec"), module.__dict__)
    module.__dict__["progress"] = Quiet
    return module


def untrained(library: Any, mnist: Any) -> tuple[Any, Callable[[], object]]:
    """The MLP, and how to give it its first weights again: a network that has nothing left to learn meets denormal numbers."""
    library.manual_seed(0)
    model = mnist.mlp()
    first = {name: weight.clone() for name, weight in model.state_dict().items()}
    return model, lambda: model.load_state_dict(first)


def epoch(library: Any) -> Callable[[], None]:
    """An epoch as the program runs it: DataLoader, shifts, network, loss, backward, Adam, schedule, running accuracy."""
    mnist = program(library)
    (images, labels), _ = mnist.load(SHIPPED)
    model, begin_again = untrained(library, mnist)

    def work() -> None:
        begin_again()
        mnist.train(model, images, labels, 1, BATCH, 0.003)

    return work


def steps(library: Any) -> Callable[[], None]:
    """The same number of steps on batches that lie ready: network, loss, backward, Adam, and nothing else."""
    mnist = program(library)
    (images, labels), _ = mnist.load(SHIPPED)
    batches = list(zip(images.split(BATCH), labels.split(BATCH)))
    model, begin_again = untrained(library, mnist)

    def work() -> None:
        begin_again()
        optimizer = library.optim.Adam(model.parameters(), 0.003)
        for inputs, targets in batches:
            loss = library.nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return work


def prediction(library: Any) -> Callable[[], None]:
    """The digits of 1,000 images."""
    mnist = program(library)
    _, (images, _) = mnist.load(SHIPPED)
    model, _ = untrained(library, mnist)
    return lambda: mnist.predict(model, images)


WORKS: dict[str, Work] = {
    "mnist-epoch": plain("extra/mnist.py, an epoch: 4,000 digits in batches of 64", epoch),
    "mnist-steps": plain("its 63 steps, on batches that lie ready", steps),
    "mnist-prediction": plain("1,000 digits predicted", prediction),
}
