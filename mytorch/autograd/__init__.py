"""Automatic differentiation: backward, grad, Function, and the gradient modes."""

from __future__ import annotations

from typing import Any

from mytorch.autograd import function as function
from mytorch.autograd.function import Function as Function
from mytorch.autograd.gradcheck import GradcheckError as GradcheckError
from mytorch.autograd.gradcheck import gradcheck as gradcheck
from mytorch.autograd.gradcheck import gradgradcheck as gradgradcheck
from mytorch.autograd.variable import Variable as Variable
from mytorch.autograd_engine import backward as backward
from mytorch.autograd_engine import enable_grad as enable_grad
from mytorch.autograd_engine import grad as grad
from mytorch.autograd_engine import inference_mode as inference_mode
from mytorch.autograd_engine import no_grad as no_grad
from mytorch.autograd_engine import set_grad_enabled as set_grad_enabled
from mytorch.autograd_engine import state

__mytorch__ = True


class set_detect_anomaly:  # noqa: N801 - torch's name
    """Search every gradient of a backward pass for NaN, at once and until the end of a `with` block.

    The RuntimeError names the node and, as every error in backward does, the line of the forward pass.

    Args:
        mode: on or off.
        check_nan: torch's switch between the search and mere tracing; without it nothing is left to switch on.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = state.check_nan
        state.check_nan = mode and check_nan

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        state.check_nan = self._before


class detect_anomaly(set_detect_anomaly):  # noqa: N801 - torch's name
    """`set_detect_anomaly(True)` for a `with` block."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)
        self._value = state.check_nan
        state.check_nan = self._before

    def __enter__(self) -> None:
        self._before = state.check_nan
        state.check_nan = self._value
