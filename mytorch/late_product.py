"""The gradient of a weight that a program uses again and again, as a loop over the cell of a recurrent network does.

Each use adds the product of two matrices of few rows, d^T x, to a gradient as large as the weight. Added up, they are one product of the
rows of all uses, which takes a fraction of the time. So an operation may hand over the factors alone; the walk puts those of one weight
together, and takes their product when it reaches the weight's own node.
"""

from __future__ import annotations

from typing import Any

from mytorch.backends import MANY, kernels
from mytorch.backends.rows import MOST_ROWS, joined

__mytorch__ = True

Array = Any


class LateProduct:
    """d^T x, a gradient of shape (columns of d, columns of x), not taken yet. The factors must not be written any more.

    Args:
        d: gradients (rows, *), of the dtype of the product. Those of one weight may lie below each other in memory: `backends.rows`.
        x: (rows, n).
        columns: which columns of d count, as pairs of begin and end.
        shape: the weight's.
    """

    __slots__ = ("columns", "d", "dense", "dtype", "rows", "shape", "x")

    size = MANY  # for the walk: nothing to be added at once

    def __init__(self, d: Array, x: Array, columns: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> None:
        self.d = [d]
        self.x = [x]
        self.columns = columns
        self.rows = len(d)
        self.dense: Array | None = None  # what is summed up already
        self.shape = shape
        self.dtype = d.dtype

    def __add__(self, other: Any) -> LateProduct:
        """The sum with another gradient of the same weight, an array or one just made, written over this one."""
        if type(other) is not LateProduct or other.columns != self.columns:
            other = taken(other)
            self.dense = other if self.dense is None else kernels["add"](self.dense, other)
            return self
        self.d += other.d
        self.x += other.x
        self.rows += other.rows
        if self.rows >= MOST_ROWS:  # they are still in the processor's cache; and the memory is bounded
            self.dense = self.value()
            self.d, self.x, self.rows = [], [], 0
        return self

    def value(self) -> Array:
        """The gradient as an array."""
        if not self.d:
            return self.dense
        d, x = joined(self.d), joined(self.x)
        matmul = kernels["matmul"]
        product = joined([matmul(d[:, begin:end].T, x) for begin, end in self.columns])
        return product if self.dense is None else kernels["add"](self.dense, product)


def taken(d: Any) -> Any:
    """A gradient as an array, or whatever else it is."""
    return d.value() if type(d) is LateProduct else d
