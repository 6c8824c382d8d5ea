"""Optimizers and learning-rate schedules, under torch.optim's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.optim import lr_scheduler
from mytorch.optim.adadelta import Adadelta
from mytorch.optim.adafactor import Adafactor
from mytorch.optim.adagrad import Adagrad
from mytorch.optim.adam import Adam
from mytorch.optim.adamax import Adamax
from mytorch.optim.adamw import AdamW
from mytorch.optim.asgd import ASGD
from mytorch.optim.lbfgs import LBFGS
from mytorch.optim.muon import Muon
from mytorch.optim.nadam import NAdam
from mytorch.optim.optimizer import Optimizer
from mytorch.optim.radam import RAdam
from mytorch.optim.rmsprop import RMSprop
from mytorch.optim.rprop import Rprop
from mytorch.optim.sgd import SGD
from mytorch.optim.sparse_adam import SparseAdam

if TYPE_CHECKING:
    from typing import Any

__mytorch__ = True

__all__ = ["Optimizer", "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD",
           "LBFGS", "Adafactor", "Muon", "SparseAdam", "lr_scheduler"]


def __getattr__(name: str) -> Any:
    """swa_utils stands on nn, so it is loaded when first touched."""
    if name == "swa_utils":
        import importlib
        return importlib.import_module("mytorch.optim.swa_utils")
    raise AttributeError(f"module 'mytorch.optim' has no attribute '{name}'")
