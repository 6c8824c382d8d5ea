"""The one table that knows how to call each operation. From a row the tests make: value and gradient against torch, gradient and
second gradient against measured slopes, layouts, 0-d, empty and expanded inputs, in-place, `out=` and method variants, dtypes.

A row is `Sample(name, arguments, keywords)`: `arguments` is given a maker `m` and returns the positional arguments:

    m(2, 3)             float tensor of that shape that requires a gradient; low= and high= bound its values
    m.const(2, 3)       the same without a gradient
    m.ints(3, high=5)   int64 below high;  m.bools(3);  m.complex(2, 3);  m.index([0, 2]) is exactly these int64 values
    m.values([1., 2.])  exactly these floats, with a gradient
    m.lib               the library: mytorch, or torch

`Error` rows are calls that raise: the class and a part of the message, both torch's own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Maker:
    """Makes the arguments of one row for a library: the same values each time, whatever the library, dtype and memory layout.

    Args:
        lib: the module whose tensors to make.
        name: seeds the values.
        dtype: of the floats.
        layout: 'plain', 'strided' (every second column of a wider array), 'transposed' (column-major), 'shifted' (not at the start
            of its memory), or, where every operand is pointwise, 'zero_dim', 'empty', 'expanded' or 'large' (thousands of elements: where
            native kernels answer).
        grad: whether floats require a gradient.
    """

    def __init__(self, lib: Any, name: str, dtype: str = "float64", layout: str = "plain", grad: bool = True) -> None:
        self.lib, self.dtype, self.layout, self.grad = lib, dtype, layout, grad
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def __call__(self, *shape: int, low: float = -2.0, high: float = 2.0) -> Any:
        return self.const(*shape, low=low, high=high).requires_grad_(self.grad)

    def const(self, *shape: int, low: float = -2.0, high: float = 2.0) -> Any:
        """A float tensor that requires no gradient."""
        return self._tensor(self.rng.uniform(low, high, self._shape(shape)), self.dtype)

    def values(self, data: Any) -> Any:
        """A float tensor of exactly these values that requires a gradient."""
        return self._tensor(np.array(data, np.float64), self.dtype).requires_grad_(self.grad)

    def complex(self, *shape: int, grad: bool = True) -> Any:
        """A complex tensor, by default with a gradient."""
        data = self.rng.uniform(-2, 2, self._shape(shape)) + 1j * self.rng.uniform(-2, 2, self._shape(shape))
        return self._tensor(data, "complex64" if self.dtype == "float32" else "complex128").requires_grad_(self.grad and grad)

    def ints(self, *shape: int, high: int = 5, low: int = 0, dtype: str = "int64") -> Any:
        """Integers in [low, high)."""
        return self._tensor(self.rng.integers(low, high, self._shape(shape)), dtype)

    def bools(self, *shape: int) -> Any:
        """True and False, both where there are two elements or more."""
        data = self.rng.random(self._shape(shape)) < 0.5
        if data.size > 1:
            data.reshape(-1)[:2] = True, False
        return self._tensor(data, "bool")

    def index(self, data: Any, dtype: str = "int64") -> Any:
        """Exactly these integers or bools."""
        return self.lib.tensor(data, dtype=getattr(self.lib, dtype))

    def dt(self, name: str) -> Any:
        """A dtype of the library."""
        return getattr(self.lib, name)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.layout == "zero_dim":
            return ()
        if self.layout == "large":
            return tuple({2: 64, 3: 130}.get(n, n) for n in shape)
        if self.layout == "empty":
            return (*shape[:-1], 0) if shape else ()
        return shape

    def _tensor(self, data: Any, dtype: str) -> Any:
        half = dtype in ("float16", "bfloat16")
        data = np.asarray(data).astype(np.float32 if half else np.dtype(dtype))
        if self.layout == "expanded" and data.ndim:
            one = self._wrap(np.ascontiguousarray(data[:1]), dtype)
            return one.expand(*data.shape)
        return self._wrap(self._laid_out(data), dtype)

    def _wrap(self, array: Any, dtype: str) -> Any:
        t = self.lib.from_numpy(array)
        return t.to(getattr(self.lib, dtype)) if dtype in ("float16", "bfloat16") else t

    def _laid_out(self, data: Any) -> Any:
        if self.layout == "strided" and data.ndim:
            memory = np.zeros((*data.shape[:-1], 2 * data.shape[-1]), data.dtype)
            memory[..., ::2] = data
            return memory[..., ::2]
        if self.layout == "transposed":
            return np.array(data, order="F")
        if self.layout == "shifted":
            memory = np.zeros(data.size + 3, data.dtype)
            memory[3:] = data.reshape(-1)
            return memory[3:].reshape(data.shape)
        return np.array(data)


@dataclass(frozen=True)
class Sample:
    """One call of one operation.

    Args:
        name: the function in the torch namespace, or 'Tensor.x', or 'nn.functional.x'.
        args: positional arguments from a Maker.
        kwargs: keyword arguments, or a function of a Maker that returns them.
        grad: has a derivative. twice: has a second one. slopes: False where finite differences do not measure it: it is computed
            in float32, or is torch's invention rather than the slope.
        pointwise: every tensor made by m may have any shape.
        random: draws from the generator: values are compared with torch's after the same seed only.
        torch: False where torch has no function of that name or answers differently, with the reason in a comment.
    """

    name: str
    args: Callable[[Maker], tuple[Any, ...]]
    kwargs: Any = field(default_factory=dict)
    grad: bool = True
    twice: bool = True
    slopes: bool = True
    pointwise: bool = False
    random: bool = False
    torch: bool = True

    def call(self, lib: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run it in a library; what writes in place gets a copy of its first argument."""
        if self.name.startswith("Tensor.") and self.name.endswith("_") and not self.name.endswith("__"):
            args = (args[0].clone(), *args[1:])
        return self.function(lib)(*args, **kwargs)

    def function(self, lib: Any) -> Any:
        """The function itself, in a library."""
        found = lib
        for part in self.name.split("."):
            found = getattr(found, part)
        return found

    def keywords(self, maker: Maker) -> dict[str, Any]:
        """The keyword arguments."""
        return self.kwargs(maker) if callable(self.kwargs) else dict(self.kwargs)


@dataclass(frozen=True)
class Error:
    """A call that raises `kind` with `text` in its message, in torch and here."""

    name: str
    args: Callable[[Maker], tuple[Any, ...]]
    kind: type[Exception]
    text: str
    kwargs: Any = field(default_factory=dict)

    function, keywords = Sample.function, Sample.keywords

    def call(self, lib: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run it in a library."""
        return self.function(lib)(*args, **kwargs)


def one(names: str, low: float = -2.0, high: float = 2.0, prefix: str = "", **options: Any) -> list[Sample]:
    """Rows of pointwise functions of one tensor with values in [low, high]."""
    return [Sample(prefix + name, lambda m: (m(2, 3, low=low, high=high),), pointwise=True, **options) for name in names.split()]


def two(names: str, low: float = -2.0, high: float = 2.0, **options: Any) -> list[Sample]:
    """Rows of pointwise functions of two tensors with values in [low, high], which broadcast."""
    return [Sample(name, lambda m: (m(2, 3, low=low, high=high), m(3, low=low, high=high)), pointwise=True, **options) for name in names.split()]


F = "nn.functional."
