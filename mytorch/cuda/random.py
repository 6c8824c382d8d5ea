"""torch's path of the random state of GPUs, of which there are none: seeding is accepted, states cannot be had."""

from __future__ import annotations

from typing import Any

from mytorch.cuda import _refuse
from mytorch.cuda import manual_seed as manual_seed
from mytorch.cuda import manual_seed_all as manual_seed_all

__mytorch__ = True


def seed() -> None:
    """Accepted without effect, as in torch without a GPU."""


def seed_all() -> None:
    """Accepted without effect, as in torch without a GPU."""


def get_rng_state_all() -> list[Any]:
    """The states of all devices: none."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Accepts the empty list."""
    for _ in new_states:
        _refuse()


initial_seed = get_rng_state = set_rng_state = _refuse

__all__ = ["get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state",
           "set_rng_state_all"]
