"""Running one scenario in torch and in mytorch, and comparing all that a user sees: result, error, warnings."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import pytest

import mytorch
import mytorch.nn
import mytorch.optim

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

torch = pytest.importorskip("torch")


def _as_torch_words_it(text: str) -> str:
    """Without addresses, and with the module paths of both packages made equal."""
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = text.replace("torch.nn.modules.", "torch.nn.").replace("mytorch.", "torch.")
    text = re.sub(r"torch\.nn\.(container|sequential|module)\.", "torch.nn.", text)
    return text.split("\n  in the backward of")[0]  # where the error came from is mytorch's addition


def outcome(scenario: Callable[[Any], Any], framework: Any) -> tuple[str, list[str]]:
    """The text of what `scenario(framework)` returns or raises, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of inf and NaN: mytorch filters them by module
        try:
            text = repr(scenario(framework))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    return _as_torch_words_it(text), [_as_torch_words_it(f"{w.category.__name__}: {w.message}") for w in caught]


def assert_same(scenario: Callable[[Any], Any]) -> None:
    """Both frameworks show the user the same."""
    assert outcome(scenario, mytorch) == outcome(scenario, torch)


def layers(T: Any) -> tuple[Any, Any, Any]:
    """Three small layers of a framework: with parameters, with buffers of all kinds, with neither."""

    class Linear(T.nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.inputs, self.outputs = inputs, outputs
            self.weight = T.nn.Parameter(T.ones(outputs, inputs))
            self.bias = T.nn.Parameter(T.zeros(outputs))

        def forward(self, x: Any) -> Any:
            return x @ self.weight.t() + self.bias

        def extra_repr(self) -> str:
            return f"in_features={self.inputs}, out_features={self.outputs}"

    class Norm(T.nn.Module):
        _version = 2

        def __init__(self, n: int) -> None:
            super().__init__()
            self.weight = T.nn.Parameter(T.ones(n))
            self.register_parameter("bias", None)
            self.register_buffer("mean", T.zeros(n))
            self.register_buffer("count", T.tensor(0))
            self.register_buffer("scratch", T.ones(1), persistent=False)
            self.register_buffer("none", None)

        def forward(self, x: Any) -> Any:
            return x * self.weight

    class ReLU(T.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.relu()

    return Linear, Norm, ReLU
