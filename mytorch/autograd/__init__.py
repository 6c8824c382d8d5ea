"""Automatic differentiation: backward, grad, Function, and the gradient modes."""

from __future__ import annotations

from typing import Any

from mytorch.autograd import anomaly_mode as anomaly_mode
from mytorch.autograd import function as function
from mytorch.autograd import grad_mode as grad_mode
from mytorch.autograd.anomaly_mode import detect_anomaly as detect_anomaly
from mytorch.autograd.anomaly_mode import set_detect_anomaly as set_detect_anomaly
from mytorch.autograd.function import Function as Function
from mytorch.autograd.grad_mode import is_multithreading_enabled as is_multithreading_enabled
from mytorch.autograd.grad_mode import set_multithreading_enabled as set_multithreading_enabled
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

_LAZY = frozenset({"forward_ad", "functional", "graph", "profiler", "variable"})  # loaded when first touched


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'mytorch.autograd' has no attribute '{name}': if torch has it, it is not supported yet")
    import importlib
    return importlib.import_module(f"mytorch.autograd.{name}")
