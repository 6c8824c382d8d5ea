"""The state of the default generator: torch.manual_seed and its relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch import generator
from mytorch.autograd_engine import TensorBase
from mytorch.generator import Generator, default_generator
from mytorch.tensor import _wrap

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

generator.wrap_state = _wrap


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; from here on the draws are torch's for that seed."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system and return the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator was given last."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The default generator's state as a uint8 tensor, in torch's layout."""
    return _wrap(default_generator.state_array())


def set_rng_state(new_state: Any) -> None:
    """Put the default generator into a state that `get_rng_state` returned, here or in torch."""
    if not isinstance(new_state, TensorBase) or new_state._array.dtype != np.uint8:
        raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
    default_generator.set_state(new_state)


class fork_rng:  # noqa: N801 - torch's name
    """Inside, draws change the default generator; at the end its state is as before."""

    def __init__(self, devices: Any = None, enabled: bool = True, device_type: str = "cuda") -> None:
        self._enabled = enabled

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As a decorator: each call of the function runs inside."""
        from functools import wraps

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with fork_rng(enabled=self._enabled):
                return function(*args, **kwargs)

        return inside

    def __enter__(self) -> None:
        if self._enabled:
            self._state = default_generator.state_array()

    def __exit__(self, *exc: object) -> None:
        if self._enabled:
            default_generator.set_state(self._state)


__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]
