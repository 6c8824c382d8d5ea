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
            of its memory), or, where every operand is pointwise, 'zero_dim', 'empty' or 'expanded'.
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
        if self.layout == "empty":
            return (0, *shape[1:]) if shape else (0,)
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
        grad: has a derivative. twice: has a second one.
        pointwise: every tensor made by m may have any shape.
        random: draws from the generator: values are compared with torch's after the same seed only.
        torch: False where torch has no function of that name or answers differently, with the reason in a comment.
    """

    name: str
    args: Callable[[Maker], tuple[Any, ...]]
    kwargs: Any = field(default_factory=dict)
    grad: bool = True
    twice: bool = True
    pointwise: bool = False
    random: bool = False
    torch: bool = True

    def call(self, lib: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run it in a library."""
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

    call, function, keywords = Sample.call, Sample.function, Sample.keywords


def one(names: str, low: float = -2.0, high: float = 2.0, **options: Any) -> list[Sample]:
    """Rows of pointwise functions of one tensor with values in [low, high]."""
    return [Sample(name, lambda m: (m(2, 3, low=low, high=high),), pointwise=True, **options) for name in names.split()]


def two(names: str, low: float = -2.0, high: float = 2.0, **options: Any) -> list[Sample]:
    """Rows of pointwise functions of two tensors with values in [low, high], which broadcast."""
    return [Sample(name, lambda m: (m(2, 3, low=low, high=high), m(3, low=low, high=high)), pointwise=True, **options) for name in names.split()]


F = "nn.functional."

ARITHMETIC = [
    *two("add sub mul maximum minimum fmax fmin"),
    *two("div true_divide hypot atan2 remainder fmod", 0.5, 3.0),
    *two("pow logaddexp logaddexp2 copysign xlogy", 0.5, 2.0),
    *one("abs neg positive square exp exp2 expm1 sin cos tan sinh cosh tanh atan asinh sigmoid relu erf erfc deg2rad rad2deg frac sgn"),
    *one("sqrt rsqrt reciprocal log log2 log10 log1p", 0.5, 3.0),
    *one("asin acos atanh", -0.8, 0.8),
    *one("acosh", 1.2, 3.0),
    *one("floor ceil trunc round sign angle nan_to_num"),
    Sample("add", lambda m: (m(2, 3), m(2, 1)), {"alpha": 2.5}, pointwise=True),
    Sample("add", lambda m: (m(2, 3), 2)),
    Sample("sub", lambda m: (m(3), m(2, 1)), {"alpha": 3}, pointwise=True),
    Sample("rsub", lambda m: (m(2, 3), m(3)), pointwise=True),
    Sample("mul", lambda m: (m(2, 3), 2.5)),
    Sample("mul", lambda m: (m.complex(2, 3), m.complex(3))),
    Sample("div", lambda m: (m.complex(2, 3), m.complex(3))),
    Sample("div", lambda m: (m(2, 3), m(3, low=0.3, high=1)), {"rounding_mode": "floor"}, twice=False, pointwise=True),
    Sample("div", lambda m: (m(2, 3), m(3, low=0.3, high=1)), {"rounding_mode": "trunc"}, twice=False, pointwise=True),
    Sample("floor_divide", lambda m: (m(2, 3), m(3, low=0.3, high=1)), grad=False, pointwise=True),
    Sample("pow", lambda m: (m(2, 3), 3)),
    Sample("pow", lambda m: (m(2, 3, low=0.3), 2.5)),
    Sample("pow", lambda m: (2.5, m(2, 3))),
    Sample("pow", lambda m: (m.values([0.0, 0.0, 2.0]), m.values([2.0, 3.0, 0.0])), twice=False),
    Sample("exp", lambda m: (m.complex(2, 3),)),
    Sample("log", lambda m: (m.complex(2, 3),)),
    Sample("abs", lambda m: (m.complex(2, 3),)),
    Sample("sgn", lambda m: (m.complex(2, 3),)),
    Sample("round", lambda m: (m(2, 3),), {"decimals": 1}, twice=False, pointwise=True),
    Sample("lerp", lambda m: (m(2, 3), m(3), m(2, 3)), pointwise=True),
    Sample("lerp", lambda m: (m(2, 3), m(3), 0.3), pointwise=True),
    Sample("addcmul", lambda m: (m(2, 3), m(2, 1), m(3)), {"value": 0.5}, pointwise=True),
    Sample("addcdiv", lambda m: (m(2, 3), m(2, 1), m(3, low=0.5)), {"value": 0.5}, pointwise=True),
    Sample("clamp", lambda m: (m(2, 3), -0.5, 0.5), pointwise=True),
    Sample("clamp", lambda m: (m(2, 3), m(3, low=-1, high=-0.5), m(3, low=0.5, high=1)), pointwise=True),
    Sample("clamp", lambda m: (m(2, 3),), {"max": 0.2}, pointwise=True),
    Sample("clamp_min", lambda m: (m(2, 3), 0.2), pointwise=True),
    Sample("clamp_max", lambda m: (m(2, 3), 0.2), pointwise=True),
    Sample("where", lambda m: (m.bools(2, 3), m(2, 3), m(3)), pointwise=True),
    Sample("where", lambda m: (m.bools(2, 3), m(2, 3), 1.5), pointwise=True),
    Sample("Tensor.where", lambda m: (m(2, 3), m.bools(2, 3), m(3)), pointwise=True),
    Sample("nan_to_num", lambda m: (m.values([np.nan, np.inf, -np.inf, 1.0]),), {"nan": 2.0, "posinf": 3.0, "neginf": 4.0}, grad=False),
    Sample("complex", lambda m: (m(2, 3), m(2, 3)), pointwise=True),
    Sample("polar", lambda m: (m(2, 3, low=0.5), m(2, 3)), pointwise=True),
    Sample("real", lambda m: (m.complex(2, 3),)),
    Sample("imag", lambda m: (m.complex(2, 3),)),
    Sample("conj", lambda m: (m.complex(2, 3),)),
    Sample("angle", lambda m: (m.complex(2, 3),)),
    Sample("view_as_real", lambda m: (m.complex(2, 3),)),
    Sample("view_as_complex", lambda m: (m(3, 2),)),
    Sample("Tensor.clone", lambda m: (m(2, 3),), pointwise=True),
    Sample("Tensor.contiguous", lambda m: (m(2, 3).t(),)),
    Sample("Tensor.to", lambda m: (m(2, 3), m.dt("float32")), twice=False),
    Sample("Tensor.copy_", lambda m: (m(2, 3) * 1, m(3))),
    Sample("Tensor.fill_", lambda m: (m(2, 3) * 1, m())),
    Sample("Tensor.zero_", lambda m: (m(2, 3) * 1,), twice=False),
    Sample("fix", lambda m: (m(2, 3),), twice=False, pointwise=True),
    *one("arcsin arccos arctanh", -0.8, 0.8),
    *one("arctan arcsinh"),
    *one("arccosh", 1.2, 3.0),
    *two("arctan2", 0.5, 3.0),
    *one("logit", 0.1, 0.9),
    *one("sinc", 0.2, 2.0),
    *two("ldexp heaviside nextafter float_power gcd lcm", 0.5, 2.0, grad=False)[3:4],
]

COMPARISON = [
    *two("eq ne lt le gt ge greater greater_equal less less_equal not_equal logical_and logical_or logical_xor", grad=False),
    *one("logical_not isnan isinf isfinite isposinf isneginf isreal signbit", grad=False),
    Sample("eq", lambda m: (m.ints(2, 3), 2), grad=False, pointwise=True),
    Sample("isnan", lambda m: (m.values([np.nan, 1.0, np.inf]),), grad=False),
    *[Sample(name, lambda m: (m.ints(2, 3, low=-9, high=9), m.ints(3, low=-9, high=9)), grad=False, pointwise=True)
      for name in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    *[Sample(name, lambda m: (m.ints(2, 3, low=-9, high=9), m.ints(3, high=4)), grad=False, pointwise=True)
      for name in ("bitwise_left_shift", "bitwise_right_shift")],
    Sample("bitwise_not", lambda m: (m.ints(2, 3, low=-9, high=9),), grad=False, pointwise=True),
    Sample("isin", lambda m: (m.ints(2, 3), m.ints(4)), grad=False),
    Sample("Tensor.equals", lambda m: (m(2, 3), m(2, 3)), grad=False, torch=False),  # `==` itself
]
