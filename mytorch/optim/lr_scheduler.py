"""Learning-rate schedules, under the names of torch.optim.lr_scheduler: what the learning rate of each epoch (or batch) is."""

from __future__ import annotations

from mytorch.optim.lr_base import LRScheduler
from mytorch.optim.lr_compose import ChainedScheduler, SequentialLR
from mytorch.optim.lr_cycle import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from mytorch.optim.lr_decay import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from mytorch.optim.lr_plateau import ReduceLROnPlateau

__mytorch__ = True

__all__ = [
    "LRScheduler", "StepLR", "MultiStepLR", "ExponentialLR", "ConstantLR", "LinearLR", "PolynomialLR", "CosineAnnealingLR",
    "LambdaLR", "MultiplicativeLR", "OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts", "ReduceLROnPlateau", "SequentialLR",
    "ChainedScheduler",
]

_LRScheduler = LRScheduler  # torch's old name, which subclasses in the wild still use
