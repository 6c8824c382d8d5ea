"""Classifiers that are a loss at the same time: a linear layer with its cross entropy, and the adaptive softmax for many classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mytorch.nn.container import ModuleList
from mytorch.nn.linear import Linear
from mytorch.nn.module import Module
from mytorch.nn.sequential import Sequential
from mytorch.ops.joining import cat
from mytorch.ops.linear_cross_entropy import LinearCrossEntropyOptions as LinearCrossEntropyOptions
from mytorch.ops.linear_cross_entropy import linear_cross_entropy
from mytorch.ops.softmax import log_softmax

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"]


class LinearCrossEntropyLoss(Module):
    """A linear layer to num_classes scores and their cross entropy with the target.

    Args:
        out_features: sizes d1, ..., dK of a loss at each of d1 x ... x dK places.
        bias: learn a bias.
        weight: one factor per class.
        reduction, ignore_index, label_smoothing: as for `nn.functional.linear_cross_entropy`.
        options: LinearCrossEntropyOptions, to compute the scores of a few rows at a time and save memory.
    Shape: input (N, in_features) or (in_features), target (N, *out_features), or probabilities (N, num_classes, *out_features).
    Raises:
        RuntimeError: for a weight of another size, label_smoothing outside [0, 1], and shapes that do not fit.
    """

    weight: Tensor | None

    def __init__(self, in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (), bias: bool = False, device: Any = None,
                 dtype: Any = None, reduction: str = "mean", weight: Tensor | None = None, ignore_index: int | None = None,
                 label_smoothing: float = 0.0, options: Any = None) -> None:
        super().__init__()
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}")
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        self.in_features = in_features
        self.num_classes = num_classes
        self.out_features = tuple(out_features)
        self.reduction = reduction
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.options = options
        self.register_buffer("weight", weight)
        self.linear = Linear(in_features, num_classes * math.prod(self.out_features), bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        shape = (self.num_classes, *self.out_features)
        bias = None if self.linear.bias is None else self.linear.bias.reshape(shape)
        loss: Tensor = linear_cross_entropy(input, self.linear.weight.reshape(*shape, self.in_features), target, linear_bias=bias,
                                            weight=self.weight, reduction=self.reduction, ignore_index=self.ignore_index,
                                            label_smoothing=self.label_smoothing, options=self.options)
        return loss

    def extra_repr(self) -> str:
        return (f"in_features={self.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, "
                f"bias={self.linear.bias is not None}, reduction={self.reduction}, ignore_index={self.ignore_index}, "
                f"label_smoothing={self.label_smoothing}, options={self.options}")


class _ASMoutput(NamedTuple):  # noqa: N801 - torch's name
    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over very many classes, sorted by frequency: the frequent ones and some clusters of rare ones share the head.

    A class in cluster i has log-probability head[cluster i] + tail_i[class]. Only the clusters that occur among the targets are
    computed, and rarer clusters work with narrower projections.

    Args:
        cutoffs: where clusters begin: classes below cutoffs[0] are in the head, those up to cutoffs[1] in the first cluster, ...
        div_value: cluster i projects to in_features / div_value^(i + 1) features first.
        head_bias: the head has a bias.
    Shape: input (N, in_features), target (N) -> output (N), the log-probabilities of the targets, and loss (), minus their mean;
        or without N.
    Raises:
        ValueError: for cutoffs that are not increasing integers below n_classes. RuntimeError: for targets that do not fit.
    Source: Grave et al. 2017, arXiv:1609.04309
    """

    head: Linear
    tail: ModuleList

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0, head_bias: bool = False,
                 device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (cutoffs != sorted(set(cutoffs)) or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1
                or any(int(c) != c for c in cutoffs)):
            raise ValueError("cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value is "
                             f"between 1 and n_classes-1, got {cutoffs} for {n_classes} classes")
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        options = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            width = int(in_features // div_value ** (i + 1))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(Sequential(Linear(in_features, width, bias=False, **options), Linear(width, size, bias=False, **options)))

    def reset_parameters(self) -> None:
        """Draw the initial weights anew."""
        self.head.reset_parameters()
        tails: Any = self.tail
        for first, second in tails:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        self._check(input_, target_)
        single = target_.dim() == 0
        x, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if single else (input_, target_)
        head = log_softmax(self.head(x), 1)
        within = target.clone()  # each target's column in the head: itself, or its cluster
        tails = head.new_zeros(target.shape)
        for i, tail in enumerate(self.tail):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            rows = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if rows.numel():
                within[rows] = self.shortlist_size + i
                local = log_softmax(tail(x[rows]), 1).gather(1, (target[rows] - low).unsqueeze(1)).squeeze(1)
                tails = tails.index_copy(0, rows, local)
        output = head.gather(1, within.unsqueeze(1)).squeeze(1) + tails
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if single else output, loss)

    def _check(self, x: Tensor, target: Tensor) -> None:
        if target.dim() == 1:
            if x.shape[0] != target.shape[0]:
                raise RuntimeError("Input and target should have the same size in the batch dimension.")
        elif target.dim() != 0:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        elif x.dim() != 1:
            raise RuntimeError(f"0D target tensor expects 1D input tensors, but found inputs with size {x.shape}")
        if target.numel() and (int(target.min()) < 0 or int(target.max()) >= self.n_classes):
            raise RuntimeError(f"Target values should be in [0, {self.n_classes - 1}], but values in range [{int(target.min())}, "
                               f"{int(target.max())}] were found. ")

    def log_prob(self, input: Tensor) -> Tensor:  # noqa: A002
        """The log-probabilities of all classes (N, n_classes)."""
        head = log_softmax(self.head(input), 1)
        parts = [head[:, :self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            column = self.shortlist_size + i
            parts.append(head[:, column:column + 1] + log_softmax(tail(input), 1))
        joined: Tensor = cat(parts, 1)
        return joined

    def predict(self, input: Tensor) -> Tensor:  # noqa: A002
        """The most probable class of each row (N)."""
        best: Tensor = self.log_prob(input).argmax(1)
        return best
