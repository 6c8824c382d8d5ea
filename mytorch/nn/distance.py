"""Distances and similarities of pairs of vectors, as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn.module import Module
from mytorch.ops.linalg import cosine_similarity
from mytorch.ops.margin_loss import pairwise_distance

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["PairwiseDistance", "CosineSimilarity"]


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps over the last dimension. See `nn.functional.pairwise_distance`.

    Shape: x1, x2 (N, D) or (D) -> (N) or (), with a last size of 1 if `keepdim`.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Any:
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """The cosine of the angle between x1 and x2 along a dimension. See `nn.functional.cosine_similarity`."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Any:
        return cosine_similarity(x1, x2, self.dim, self.eps)
