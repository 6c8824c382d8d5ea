"""Dropout layers: random zeros in training, the identity in evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn.module import Module
from mytorch.ops import dropout

if TYPE_CHECKING:
    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    """Holds p, the probability of a zero.

    Raises:
        ValueError: if p is not in [0, 1].
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Set elements to zero with probability p in training, and divide the others by 1 - p. Shape: any, kept.

    Source: Srivastava et al. 2014, JMLR 15
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return dropout.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """`Dropout` of whole channels. Shape: (N, C, L) or (C, L), kept."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return dropout.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """`Dropout` of whole channels. Shape: (N, C, H, W), kept."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return dropout.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """`Dropout` of whole channels. Shape: (N, C, D, H, W) or (C, D, H, W), kept."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return dropout.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout for SELU networks: keeps mean 0 and variance 1. Source: Klambauer et al. 2017, arXiv:1706.02515"""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return dropout.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """`AlphaDropout` of whole channels."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return dropout.feature_alpha_dropout(input, self.p, self.training)
