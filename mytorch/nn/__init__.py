"""Networks: modules, containers, parameters, initial weights, under torch.nn's names."""

from __future__ import annotations

from mytorch.nn import init, utils
from mytorch.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList
from mytorch.nn.module import Module
from mytorch.nn.parameter import Buffer, Parameter
from mytorch.nn.sequential import Sequential

__mytorch__ = True
