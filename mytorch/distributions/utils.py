"""torch's path of the tools that distributions are written with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

from mytorch.autograd_engine import enable_grad
from mytorch.distributions.distribution import broadcast_all
from mytorch.distributions.distribution import clamped as clamp_probs
from mytorch.ops.arithmetic import log, log1p, sigmoid
from mytorch.ops.create import zeros
from mytorch.ops.random import normal
from mytorch.ops.softmax import softmax

__mytorch__ = True

euler_constant = 0.57721566490153286060  # Euler and Mascheroni's


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Probabilities: 1 / (1 + exp(-logits)) if each place is an event of its own, else softmax over the last dimension."""
    return sigmoid(logits) if is_binary else softmax(logits, -1)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """log(p / (1 - p)) if each place is an event of its own, else log(p)."""
    kept = clamp_probs(probs)
    return log(kept) - log1p(-kept) if is_binary else log(kept)


def tril_matrix_to_vec(mat: Any, diag: int = 0) -> Any:
    """The elements on and below a diagonal, row by row.

    Shape:
        (*, n, n) -> (*, number of them)
    Raises:
        ValueError: if diag lies outside of the matrix.
    """
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = _below(n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Any, diag: int = 0) -> Any:
    """The lower triangular matrix of which `tril_matrix_to_vec` makes `vec`.

    Shape:
        (*, D) -> (*, n, n), where n follows from D.
    Raises:
        ValueError: if no n does.
    """
    count = vec.shape[-1]
    # D = n (n + 1) / 2 + n diag - diag (diag + 1) / 2 where diag <= 0, solved for n
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if not float(n).is_integer():
        raise ValueError(f"The size of last dimension is {count} which cannot be expressed as the lower triangular part of a square D x D matrix.")
    size = int(n)
    rows, columns = _below(size, diag)
    matrix = zeros(*vec.shape[:-1], size, size, dtype=vec.dtype)
    matrix[..., rows, columns] = vec
    return matrix


def _below(n: int, diag: int) -> tuple[list[int], list[int]]:
    places = [(i, j) for i in range(n) for j in range(min(n, i + diag + 1))]
    return [i for i, _ in places], [j for _, j in places]


class lazy_property:  # noqa: N801 - torch's name
    """A property that is computed when first read, with gradients, and kept as an attribute of the object."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, kind: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def _standard_normal(shape: Sequence[int], dtype: Any, device: Any) -> Any:
    blank = zeros(shape, dtype=dtype)
    return normal(blank, blank + 1)


def _sum_rightmost(value: Any, dim: int) -> Any:
    """The sum over the last `dim` dimensions."""
    return value if dim == 0 else value.reshape(*value.shape[:-dim], -1).sum(-1)


__all__ = ["broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits", "tril_matrix_to_vec", "vec_to_tril_matrix"]
