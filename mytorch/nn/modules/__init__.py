"""torch's paths of the layers: `nn.modules.batchnorm`, `nn.modules.activation`, ... The layers themselves live one room higher."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import mytorch.nn as _nn
from mytorch.nn.modules import utils as utils

__mytorch__ = True

# torch's file -> ours that hold its classes
_SOURCES = {
    "activation": "activations attention_layers", "adaptive": "classifier", "batchnorm": "batchnorm lazy",
    "channelshuffle": "upsampling", "container": "container sequential", "conv": "conv lazy", "distance": "distance",
    "dropout": "dropout", "flatten": "flatten", "fold": "upsampling", "instancenorm": "batchnorm lazy", "lazy": "lazy",
    "linear": "linear attention_layers lazy", "linear_cross_entropy": "classifier",
    "linear_cross_entropy_options": "classifier", "loss": "loss classifier", "module": "module",
    "normalization": "normalization", "padding": "padding", "pixelshuffle": "upsampling", "pooling": "pooling",
    "rnn": "rnn lstm gru", "sparse": "embedding", "transformer": "transformer", "upsampling": "upsampling",
}


def _file(name: str, sources: str) -> ModuleType:
    """A module of torch's name with the contents of ours."""
    module = ModuleType(f"{__name__}.{name}", f"The layers of torch.nn.modules.{name}.")
    for source in sources.split():
        contents = vars(importlib.import_module(f"mytorch.nn.{source}"))
        vars(module).update({key: value for key, value in contents.items() if not key.startswith("__") or key == "__mytorch__"})
    sys.modules[module.__name__] = module
    return module


globals().update({name: _file(name, sources) for name, sources in _SOURCES.items()})
globals().update({name: value for name, value in vars(_nn).items() if isinstance(value, type)})
