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

__mytorch__ = True


class set_detect_anomaly:  # noqa: N801 - torch's name
    """Accepted: every error in backward names the forward line anyway. NaN gradients are not searched for."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        return None


class detect_anomaly(set_detect_anomaly):  # noqa: N801 - torch's name
    """As `set_detect_anomaly(True)`."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)
