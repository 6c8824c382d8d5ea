"""Anomaly detection: a backward that searches every gradient for NaN."""

from __future__ import annotations

from mytorch.autograd_engine import state

__mytorch__ = True

_enabled = False  # of the whole process, as torch's


class set_detect_anomaly:  # noqa: N801 - torch's name
    """Search every gradient of a backward pass for NaN, at once and until the end of a `with` block.

    The RuntimeError names the node and, as every error in backward does, the line of the forward pass. Because nodes know
    their line anyway, nothing is traced in the forward pass, and the search is the whole cost.

    Args:
        mode: on or off, in all threads.
        check_nan: torch's switch between the search and mere tracing; without it nothing is left to switch on.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = _enabled, state.check_nan
        _switch(bool(mode), bool(mode and check_nan))

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        _switch(*self._before)


class detect_anomaly(set_detect_anomaly):  # noqa: N801 - torch's name
    """`set_detect_anomaly(True)` for a `with` block. Unlike torch it does not warn of its cost: see there."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan

    def __enter__(self) -> None:
        self._before = _enabled, state.check_nan
        _switch(True, self._check_nan)


def _switch(enabled: bool, check_nan: bool) -> None:
    global _enabled
    _enabled = enabled
    state.check_nan = check_nan


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Anomaly detection on or off, without a context."""
    _switch(bool(enabled), bool(enabled and check_nan))


def is_anomaly_enabled() -> bool:
    """Is anomaly detection on?"""
    return _enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Does it, when on, search for NaN?"""
    return state.check_nan or not _enabled


__all__ = ["detect_anomaly", "set_detect_anomaly"]
