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

ARITHMETIC = [
    *two("add sub mul maximum minimum fmax fmin"),
    *two("div true_divide hypot atan2 remainder fmod", 0.5, 3.0),
    *two("pow logaddexp logaddexp2 copysign xlogy", 0.5, 2.0),
    *one("abs neg positive square exp exp2 expm1 sin cos tan sinh cosh tanh atan asinh sigmoid relu erf erfc deg2rad rad2deg frac nan_to_num"),
    *one("sqrt rsqrt reciprocal log log2 log10 log1p", 0.5, 3.0),
    *one("asin acos atanh", -0.8, 0.8),
    *one("acosh", 1.2, 3.0),
    *one("floor ceil trunc round sign sgn angle", twice=False),
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
    *[Sample(name, lambda m: (m.complex(2, 3),)) for name in ("conj", "conj_physical", "resolve_conj", "resolve_neg")],
    Sample("angle", lambda m: (m.complex(2, 3),)),
    Sample("view_as_real", lambda m: (m.complex(2, 3),)),
    Sample("view_as_complex", lambda m: (m(3, 2),)),
    Sample("Tensor.clone", lambda m: (m(2, 3),), pointwise=True),
    Sample("Tensor.contiguous", lambda m: (m(2, 3).t(),)),
    Sample("Tensor.to", lambda m: (m(2, 3), m.dt("float32")), twice=False, slopes=False),
    Sample("Tensor.copy_", lambda m: (m(2, 3), m(3))),
    Sample("Tensor.fill_", lambda m: (m(2, 3), m()), twice=False),
    Sample("Tensor.zero_", lambda m: (m(2, 3),), twice=False),
    Sample("fix", lambda m: (m(2, 3),), twice=False, pointwise=True),
    *one("arcsin arccos arctanh", -0.8, 0.8),
    *one("arctan arcsinh"),
    *one("arccosh", 1.2, 3.0),
    *two("arctan2", 0.5, 3.0),
    *one("sinc", 0.2, 2.0),
    *one("logit", 0.1, 0.9),
    Sample("logit", lambda m: (m(2, 3, low=0.1, high=0.9), 0.2), pointwise=True),
    Sample("ldexp", lambda m: (m(2, 3), m(3)), pointwise=True),
    Sample("float_power", lambda m: (m(2, 3, low=0.3), m(3)), pointwise=True),
    Sample("nextafter", lambda m: (m(2, 3), m(3)), grad=False, pointwise=True),
    Sample("heaviside", lambda m: (m.values([-1.0, 0.0, 2.0]), m(3)), grad=False),
    Sample("gcd", lambda m: (m.ints(2, 3, high=40), m.ints(3, high=40)), grad=False, pointwise=True),
    Sample("lcm", lambda m: (m.ints(2, 3, high=40), m.ints(3, high=40)), grad=False, pointwise=True),
    Sample("clone", lambda m: (m(2, 3),), pointwise=True),
    Sample("fill", lambda m: (m(2, 3), m()), twice=False),
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
    Sample("isclose", lambda m: (m(2, 3), m(3)), {"rtol": 0.5, "atol": 0.1}, grad=False, pointwise=True),
    *[Sample(f"Tensor.{name}", lambda m: (m(2, 3), m(3)), grad=False, pointwise=True) for name in ("__eq__", "__ne__")],
]

REDUCTIONS = [
    *[Sample(name, lambda m: (m(2, 3, low=0.3),)) for name in ("sum", "mean", "prod", "var", "std", "norm", "nansum", "nanmean")],
    *[Sample(name, lambda m: (m(2, 3, 4, low=0.3), 1)) for name in ("sum", "mean", "prod", "var", "std", "logsumexp", "nansum", "nanmean")],
    *[Sample(name, lambda m: (m(2, 3, 4),), {"dim": -1, "keepdim": True}) for name in ("sum", "mean", "var", "std", "logsumexp")],
    *[Sample(name, lambda m: (m(2, 3, 4), (0, 2))) for name in ("sum", "mean", "var", "std", "logsumexp", "amax", "amin")],
    *[Sample(name, lambda m: (m(2, 3),)) for name in ("max", "min", "median", "nanmedian", "amax", "amin", "aminmax")],
    *[Sample(name, lambda m: (m(3, 4), 1)) for name in ("max", "min", "median", "nanmedian", "kthvalue", "mode")],
    *[Sample(name, lambda m: (m(3, 4),), grad=False) for name in ("argmax", "argmin")],
    *[Sample(name, lambda m: (m(3, 4), 1, True), grad=False) for name in ("argmax", "argmin")],
    *[Sample(name, lambda m: (m.bools(3, 4),), grad=False) for name in ("any", "all")],
    *[Sample(name, lambda m: (m.bools(3, 4), 1), grad=False) for name in ("any", "all", "count_nonzero")],
    *[Sample(name, lambda m: (m(3, 4), 1)) for name in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")],
    *[Sample(name, lambda m: (m(2, 3, 4), 1)) for name in ("var_mean", "std_mean")],
    Sample("sum", lambda m: (m.ints(2, 3),), grad=False),
    Sample("sum", lambda m: (m(2, 3),), lambda m: {"dtype": m.dt("float32")}, twice=False, slopes=False),
    Sample("sum", lambda m: (m.complex(2, 3), 1)),
    Sample("prod", lambda m: (m.values([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]), 1)),
    Sample("cumprod", lambda m: (m.values([1.0, 0.0, 2.0, 3.0]), 0)),
    Sample("var", lambda m: (m(2, 3, 4), 1), {"correction": 0}),
    Sample("std", lambda m: (m(2, 3, 4), 1, False)),
    Sample("max", lambda m: (m(2, 3), m(3)), pointwise=True),
    Sample("min", lambda m: (m(2, 3), m(3)), pointwise=True),
    Sample("max", lambda m: (m.values([1.0, 2.0, 2.0]),), grad=False),
    Sample("norm", lambda m: (m(2, 3, 4), 1, 2)),
    Sample("norm", lambda m: (m(2, 3, 4), 3, (0, 2))),
    Sample("norm", lambda m: (m(2, 3), float("inf"), 1)),
    Sample("dist", lambda m: (m(2, 3), m(3), 2)),
    Sample("quantile", lambda m: (m(3, 4), 0.3, 1)),
    Sample("quantile", lambda m: (m(3, 4), m.const(2, low=0.1, high=0.9), 1), twice=False),
    Sample("nanquantile", lambda m: (m(3, 4), 0.3, 1)),
    Sample("histc", lambda m: (m(20), 5, -2, 2), grad=False),
    Sample("bincount", lambda m: (m.ints(10),), grad=False),
    Sample("bincount", lambda m: (m.ints(10), m.const(10)), {"minlength": 7}, grad=False),
]

ORDER = [
    Sample("sort", lambda m: (m(3, 4), 1)),
    Sample("sort", lambda m: (m(3, 4),), {"dim": 0, "descending": True, "stable": True}),
    Sample("argsort", lambda m: (m(3, 4), 1, True), grad=False),
    Sample("msort", lambda m: (m(3, 4),)),
    Sample("topk", lambda m: (m(3, 4), 2)),
    Sample("topk", lambda m: (m(3, 4), 2, 0, False)),
    Sample("unique", lambda m: (m.ints(10),), grad=False),
    Sample("unique", lambda m: (m.ints(10),), {"return_inverse": True, "return_counts": True}, grad=False),
    Sample("unique_consecutive", lambda m: (m.ints(10, high=2),), grad=False),
    Sample("nonzero", lambda m: (m.ints(3, 4, high=2),), grad=False),
    Sample("searchsorted", lambda m: (m.index([1, 3, 5, 7]), m.ints(6, high=9)), grad=False),
    Sample("bucketize", lambda m: (m.ints(2, 3, high=9), m.index([1, 3, 5, 7])), {"right": True}, grad=False),
]

SHAPE = [
    Sample("reshape", lambda m: (m(2, 3, 4), (4, -1))),
    Sample("Tensor.reshape", lambda m: (m(2, 6), 3, 4)),
    Sample("Tensor.view", lambda m: (m.values([[1.0, 2.0], [3.0, 4.0]]), 4)),
    Sample("Tensor.view", lambda m: (m.ints(4), m.dt("float64")), grad=False),
    Sample("Tensor.view_as", lambda m: (m.values([1.0, 2.0, 3.0, 4.0]), m.const(2, 2))),
    Sample("Tensor.reshape_as", lambda m: (m(2, 3), m.const(3, 2))),
    Sample("flatten", lambda m: (m(2, 3, 4), 1)),
    Sample("ravel", lambda m: (m(2, 3),)),
    Sample("unflatten", lambda m: (m(6, 2), 0, (2, -1))),
    Sample("squeeze", lambda m: (m(2, 1, 3, 1),)),
    Sample("squeeze", lambda m: (m(2, 1, 3, 1), 1)),
    Sample("unsqueeze", lambda m: (m(2, 3), -1)),
    Sample("transpose", lambda m: (m(2, 3, 4), 0, 2)),
    Sample("t", lambda m: (m(2, 3),)),
    Sample("permute", lambda m: (m(2, 3, 4), (2, 0, 1))),
    Sample("movedim", lambda m: (m(2, 3, 4), 0, 2)),
    Sample("Tensor.expand", lambda m: (m(2, 1), 4, 2, 3)),
    Sample("Tensor.expand_as", lambda m: (m(2, 1), m.const(2, 3))),
    Sample("Tensor.sum_to_size", lambda m: (m(4, 2, 3), 2, 1)),
    Sample("broadcast_to", lambda m: (m(2, 1), (4, 2, 3))),
    Sample("broadcast_tensors", lambda m: (m(2, 1), m(3))),
    Sample("broadcast_shapes", lambda m: ((2, 1), (3,)), grad=False),
    Sample("Tensor.repeat", lambda m: (m(2, 3), 2, 1, 2)),
    Sample("tile", lambda m: (m(2, 3), (2,))),
    Sample("repeat_interleave", lambda m: (m(2, 3), 2)),
    Sample("repeat_interleave", lambda m: (m(2, 3), m.index([1, 3])), {"dim": 0}),
    Sample("cat", lambda m: ([m(2, 3), m(1, 3)],)),
    Sample("cat", lambda m: ([m(2, 3), m(2, 2)], -1)),
    Sample("stack", lambda m: ([m(2, 3), m(2, 3)], 1)),
    Sample("hstack", lambda m: ([m(2, 3), m(2, 1)],)),
    Sample("vstack", lambda m: ([m(2, 3), m(3)],)),
    Sample("dstack", lambda m: ([m(2, 3), m(2, 3)],)),
    *[Sample(name, lambda m: (m(3),)) for name in ("atleast_1d", "atleast_2d", "atleast_3d")],
    Sample("split", lambda m: (m(5, 2), 2)),
    Sample("split", lambda m: (m(2, 5), [1, 4], 1)),
    Sample("chunk", lambda m: (m(5, 2), 3)),
    Sample("tensor_split", lambda m: (m(5, 2), 3)),
    Sample("tensor_split", lambda m: (m(5, 2), (1, 3))),
    Sample("unbind", lambda m: (m(3, 2), 1)),
    Sample("narrow", lambda m: (m(4, 3), 0, 1, 2)),
    Sample("select", lambda m: (m(4, 3), 1, -1)),
    Sample("flip", lambda m: (m(2, 3), (0, 1))),
    Sample("fliplr", lambda m: (m(2, 3),)),
    Sample("flipud", lambda m: (m(2, 3),)),
    Sample("roll", lambda m: (m(2, 3), 1)),
    Sample("roll", lambda m: (m(2, 3), (1, -1), (0, 1))),
    Sample("rot90", lambda m: (m(2, 3),)),
    Sample("tril", lambda m: (m(3, 4), 1)),
    Sample("triu", lambda m: (m(2, 3, 3),)),
    Sample("diagonal", lambda m: (m(3, 4), 1)),
    Sample("diagonal", lambda m: (m(2, 3, 4), 0, 2, 1)),
    Sample("diag", lambda m: (m(3),)),
    Sample("diag", lambda m: (m(3, 4), -1)),
    Sample("diag_embed", lambda m: (m(2, 3),)),
    Sample("trace", lambda m: (m(3, 4),)),
    Sample("meshgrid", lambda m: (m(2), m(3)), {"indexing": "ij"}),
    Sample("meshgrid", lambda m: (m(2), m(3)), {"indexing": "xy"}),
    Sample("Tensor.unfold", lambda m: (m(5, 2), 0, 3, 1)),
    Sample("as_strided", lambda m: (m.values([1.0, 2.0, 3.0, 4.0, 5.0]), (2, 2), (2, 1), 1)),
    Sample(F + "pad", lambda m: (m(2, 3), (1, 2, 0, 1)), {"value": 0.5}),
    *[Sample(F + "pad", lambda m: (m(1, 2, 3, 4), (1, 2, 0, 1)), {"mode": mode}) for mode in ("reflect", "replicate", "circular")],
    Sample("constant_pad_nd", lambda m: (m(2, 3), (1, -1), 0.5)),
    Sample("column_stack", lambda m: ([m(2), m(2, 3)],)),
    Sample("block_diag", lambda m: (m(2, 3), m(2), m())),
    Sample("cartesian_prod", lambda m: (m(2), m(3))),
    Sample("combinations", lambda m: (m(4), 2)),
    Sample("diagflat", lambda m: (m(2, 2), 1)),
    Sample("hsplit", lambda m: (m(2, 4), 2)),
    Sample("vsplit", lambda m: (m(4, 2), [1, 3])),
    Sample("dsplit", lambda m: (m(2, 2, 4), 2)),
    Sample("split_with_sizes", lambda m: (m(5, 2), [2, 3])),
    Sample("select_scatter", lambda m: (m(3, 4), m(3), 1, 2)),
    Sample("slice_scatter", lambda m: (m(4, 2), m(2, 2)), {"start": 1, "end": 3}),
    Sample("diagonal_scatter", lambda m: (m(3, 3), m(3))),
    Sample("diff", lambda m: (m(2, 5),), {"n": 2}),
    Sample("trapezoid", lambda m: (m(2, 5), m(5))),
    Sample("trapezoid", lambda m: (m(2, 5),), {"dx": 0.5}),
    Sample("cumulative_trapezoid", lambda m: (m(2, 5),)),
]

INDEXING = [
    Sample("Tensor.__getitem__", lambda m: (m(3, 4), 1)),
    Sample("Tensor.__getitem__", lambda m: (m(3, 4), (slice(None, None, 2), None, slice(1, 3)))),
    Sample("Tensor.__getitem__", lambda m: (m(2, 3, 4), (..., 1))),
    Sample("Tensor.__getitem__", lambda m: (m(3, 4), m.index([2, 0, 2]))),
    Sample("Tensor.__getitem__", lambda m: (m(3, 4), (m.index([[0, 1], [2, 0]]), m.index([1, 3])))),
    Sample("Tensor.__getitem__", lambda m: (m(3, 4), m.bools(3, 4))),
    Sample("Tensor.__getitem__", lambda m: (m(2, 3, 4), (slice(None), [0, 2], slice(1, 3)))),
    Sample("gather", lambda m: (m(3, 4), 1, m.ints(3, 2, high=4))),
    Sample("take_along_dim", lambda m: (m(3, 4), m.ints(3, 1, high=4), 1)),
    Sample("take", lambda m: (m(3, 4), m.index([[0, 5], [11, -1]]))),
    Sample("scatter", lambda m: (m(3, 4), 0, m.index([[0, 1, 2, 0]]), m(1, 4))),
    Sample("scatter", lambda m: (m(3, 4), 1, m.index([[0], [1], [3]]), 2.5)),
    Sample("scatter", lambda m: (m(3, 4), 0, m.index([[0, 1, 2, 0]]), m(1, 4)), {"reduce": "multiply"}, grad=False),
    Sample("scatter_add", lambda m: (m(3, 4), 0, m.index([[0, 1, 2, 0], [0, 0, 1, 1]]), m(2, 4))),
    Sample("index_select", lambda m: (m(3, 4), 1, m.index([3, 0, 3]))),
    Sample("index_add", lambda m: (m(3, 4), 0, m.index([2, 0, 2]), m(3, 4)), {"alpha": 0.5}),
    Sample("index_copy", lambda m: (m(3, 4), 0, m.index([2, 0]), m(2, 4))),
    Sample("index_fill", lambda m: (m(3, 4), 1, m.index([3, 0]), 2.5)),
    Sample("index_put", lambda m: (m(3, 4), (m.index([2, 0]), m.index([1, 1])), m(2))),
    Sample("index_put", lambda m: (m(3, 4), (m.index([2, 2]),), m(2, 4), True)),
    Sample("masked_fill", lambda m: (m(2, 3), m.bools(3), 2.5), pointwise=True),
    Sample("masked_fill", lambda m: (m(2, 3), m.bools(3), m())),
    Sample("masked_select", lambda m: (m(2, 3), m.bools(2, 3))),
    Sample("masked_scatter", lambda m: (m(2, 3), m.bools(2, 3), m(6))),
    *[Sample("scatter_reduce", lambda m, r=r: (m(3, 4), 0, m.index([[0, 1, 2, 0], [0, 0, 1, 1]]), m(2, 4), r))
      for r in ("sum", "prod", "mean", "amax", "amin")],
    *[Sample("scatter_reduce", lambda m, r=r: (m(3, 4), 0, m.index([[0, 1, 2, 0], [0, 0, 1, 1]]), m(2, 4), r), {"include_self": False})
      for r in ("sum", "prod", "mean", "amax", "amin")],
    Sample("scatter_reduce", lambda m: (m(2), 0, m.index([0, 0, 1, 1, 1]), m.values([2.0, 0.0, 3.0, 0.0, 0.0]), "prod"), twice=False),
    *[Sample("index_reduce", lambda m, r=r: (m(3, 4), 1, m.index([0, 2, 0]), m(3, 3), r)) for r in ("prod", "mean", "amax", "amin")],
    Sample("put", lambda m: (m(2, 3), m.index([0, 4]), m(2))),
    Sample("put", lambda m: (m(2, 3), m.index([4, 4]), m(2), True)),
    Sample("argwhere", lambda m: (m.ints(3, 4, high=2),), grad=False),
]

LINALG = [
    Sample("matmul", lambda m: (m(2, 3), m(3, 4))),
    Sample("matmul", lambda m: (m(2, 1, 3, 2), m(3, 2, 4))),
    Sample("matmul", lambda m: (m(2, 3, 2), m(2, 4))),
    Sample("matmul", lambda m: (m(3), m(2, 3, 4))),
    Sample("matmul", lambda m: (m(2, 3, 4), m(4))),
    Sample("matmul", lambda m: (m.complex(2, 3), m.complex(3, 2))),
    Sample("mm", lambda m: (m(2, 3), m(3, 4))),
    Sample("bmm", lambda m: (m(2, 3, 4), m(2, 4, 2))),
    Sample("mv", lambda m: (m(2, 3), m(3))),
    Sample("dot", lambda m: (m(3), m(3))),
    Sample("vdot", lambda m: (m.complex(3), m.complex(3))),
    Sample("inner", lambda m: (m(2, 3), m(4, 3))),
    Sample("outer", lambda m: (m(2), m(3))),
    Sample("addmm", lambda m: (m(2, 4), m(2, 3), m(3, 4)), {"beta": 0.5, "alpha": 2}),
    Sample("addmv", lambda m: (m(2), m(2, 3), m(3)), {"beta": 0.5, "alpha": 2}),
    Sample("addr", lambda m: (m(2, 3), m(2), m(3))),
    Sample("baddbmm", lambda m: (m(2, 2, 2), m(2, 2, 3), m(2, 3, 2))),
    Sample("addbmm", lambda m: (m(2, 2), m(2, 2, 3), m(2, 3, 2))),
    Sample("Tensor.addmm_", lambda m: (m(2, 4), m(2, 3), m(3, 4)), {"beta": 0.5, "alpha": 2}),
    Sample("chain_matmul", lambda m: (m(2, 3), m(3, 4), m(4, 2))),
    Sample("tensordot", lambda m: (m(2, 3, 4), m(4, 3, 2)), {"dims": ([1, 2], [1, 0])}),
    Sample("einsum", lambda m: ("bij,bjk->bik", m(2, 3, 4), m(2, 4, 2))),
    Sample("einsum", lambda m: ("ii->i", m(3, 3))),
    Sample("einsum", lambda m: ("i,j,jk->ik", m(2), m(3), m(3, 2))),
    Sample("einsum", lambda m: ("...i,i", m(2, 3), m(3))),
    Sample("kron", lambda m: (m(2, 3), m(2, 2))),
    Sample("cross", lambda m: (m(2, 3), m(2, 3)), {"dim": 1}),
    Sample("cosine_similarity", lambda m: (m(2, 3), m(2, 3))),
    Sample("cdist", lambda m: (m(2, 3), m(4, 3))),
    Sample(F + "linear", lambda m: (m(2, 3), m(4, 3), m(4))),
    Sample(F + "linear", lambda m: (m(2, 2, 3), m(4, 3))),
    Sample(F + "bilinear", lambda m: (m(2, 3), m(2, 4), m(5, 3, 4), m(5))),
]

ACTIVATIONS = [
    *one("elu selu celu gelu silu mish softplus softsign tanhshrink logsigmoid leaky_relu relu6 hardtanh hardsigmoid hardswish hardshrink "
         "softshrink relu sigmoid tanh", prefix=F),
    Sample(F + "gelu", lambda m: (m(2, 3),), {"approximate": "tanh"}, pointwise=True),
    Sample(F + "softplus", lambda m: (m(2, 3), 2.0, 1.0), pointwise=True),
    Sample(F + "threshold", lambda m: (m(2, 3), 0.3, 5.0), pointwise=True),
    Sample(F + "prelu", lambda m: (m(2, 3), m(3))),
    Sample(F + "glu", lambda m: (m(2, 4),)),
    Sample(F + "rrelu", lambda m: (m(2, 3),), pointwise=True),
    Sample(F + "rrelu", lambda m: (m(2, 3),), {"training": True}, random=True),
    Sample("softmax", lambda m: (m(2, 3), 1)),
    Sample(F + "softmax", lambda m: (m(2, 3),), {"dim": 0}),
    Sample("log_softmax", lambda m: (m(2, 3), 1)),
    Sample(F + "log_softmax", lambda m: (m(2, 3),), {"dim": 0}),
    Sample(F + "softmin", lambda m: (m(2, 3), 1)),
    Sample(F + "gumbel_softmax", lambda m: (m(2, 3),), random=True),
]

CONVOLUTIONS = [
    Sample("conv1d", lambda m: (m(2, 2, 5), m(3, 2, 3), m(3)), {"padding": 1}),
    Sample("conv2d", lambda m: (m(1, 2, 4, 4), m(4, 1, 3, 3), m(4)), {"groups": 2, "padding": 1, "stride": 2}),
    Sample("conv2d", lambda m: (m(1, 2, 5, 5), m(2, 2, 2, 2)), {"dilation": 2}),
    Sample("conv3d", lambda m: (m(1, 1, 3, 3, 3), m(2, 1, 2, 2, 2), m(2))),
    Sample("conv_transpose1d", lambda m: (m(1, 2, 3), m(2, 2, 3), m(2)), {"stride": 2, "output_padding": 1}),
    Sample("conv_transpose2d", lambda m: (m(1, 2, 3, 3), m(2, 2, 2, 2), m(2)), {"stride": 2}),
    Sample("conv_transpose3d", lambda m: (m(1, 1, 2, 2, 2), m(1, 2, 2, 2, 2))),
    Sample("convolution", lambda m: (m(1, 2, 4), m(3, 2, 3), m(3), [1], [1], [1], False, [0], 1)),
    Sample(F + "unfold", lambda m: (m(1, 2, 4, 4), 2)),
    Sample(F + "fold", lambda m: (m(1, 8, 9), (4, 4), 2)),
    *[Sample(f"{F}max_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 2)) for d in (1, 2, 3)],
    Sample(F + "max_pool2d", lambda m: (m.const(1, 2, 4, 4), 2), grad=False),
    Sample(F + "max_pool2d", lambda m: (m(1, 2, 5, 5), 3), {"stride": 2, "padding": 1, "return_indices": True}),
    *[Sample(f"{F}avg_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 2)) for d in (1, 2, 3)],
    Sample(F + "avg_pool2d", lambda m: (m(1, 2, 5, 5), 3), {"stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True}),
    *[Sample(f"{F}adaptive_avg_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 3)) for d in (1, 2, 3)],
    *[Sample(f"{F}adaptive_max_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 3)) for d in (1, 2, 3)],
    *[Sample(f"{F}lp_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d, low=0.3), 2, 2)) for d in (1, 2, 3)],
    Sample(F + "max_unpool1d", lambda m: (m(1, 1, 2), m.index([[[1, 2]]]), 2)),
    Sample(F + "max_unpool2d", lambda m: (m(1, 1, 2, 2), m.index([[[[0, 3], [9, 14]]]]), 2)),
    Sample(F + "max_unpool3d", lambda m: (m(1, 1, 1, 1, 2), m.index([[[[[1, 2]]]]]), 2)),
    *[Sample(F + "interpolate", lambda m: (m(1, 2, 3, 4),), {"size": (5, 6), "mode": mode}) for mode in ("nearest", "bilinear", "bicubic", "area")],
    Sample(F + "interpolate", lambda m: (m(1, 2, 4),), {"scale_factor": 1.5, "mode": "linear", "align_corners": True}),
    Sample(F + "upsample_nearest", lambda m: (m(1, 2, 3, 4),), {"scale_factor": 2}),
    Sample(F + "upsample_bilinear", lambda m: (m(1, 2, 3, 4),), {"scale_factor": 2}),
    Sample(F + "upsample", lambda m: (m(1, 2, 3, 4),), {"scale_factor": 2}),
    Sample(F + "pixel_shuffle", lambda m: (m(1, 4, 2, 2), 2)),
    Sample(F + "pixel_unshuffle", lambda m: (m(1, 1, 4, 4), 2)),
    Sample(F + "channel_shuffle", lambda m: (m(1, 4, 2, 2), 2)),
]

NORMALIZATION = [
    Sample(F + "batch_norm", lambda m: (m(4, 3), m.const(3), m.const(3, low=0.5), m(3), m(3))),
    Sample(F + "batch_norm", lambda m: (m(2, 3, 4), None, None, m(3), m(3)), {"training": True}),
    Sample(F + "layer_norm", lambda m: (m(2, 3, 4), (3, 4), m(3, 4), m(3, 4))),
    Sample(F + "group_norm", lambda m: (m(2, 4, 3), 2, m(4), m(4))),
    Sample(F + "instance_norm", lambda m: (m(2, 3, 4),)),
    Sample(F + "rms_norm", lambda m: (m(2, 3, 4), (4,), m(4))),
    Sample(F + "local_response_norm", lambda m: (m(2, 4, 3), 2)),
    Sample(F + "normalize", lambda m: (m(2, 3),)),
]

LOSSES = [
    *[Sample(F + name, lambda m: (m(2, 3), m(2, 3))) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")],
    *[Sample(F + name, lambda m: (m(2, 3), m(2, 3)), {"reduction": "none"}, pointwise=True)
      for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")],
    Sample(F + "cross_entropy", lambda m: (m(3, 4), m.ints(3, high=4)), {"label_smoothing": 0.1}),
    Sample(F + "cross_entropy", lambda m: (m(2, 3, 4), m.ints(2, 4, high=3), m.const(3, low=0.5)), {"reduction": "sum", "ignore_index": 1}),
    Sample(F + "cross_entropy", lambda m: (m(3, 4), m(3, 4, low=0.1, high=0.4))),
    Sample(F + "nll_loss", lambda m: (m(3, 4), m.ints(3, high=4))),
    Sample(F + "nll_loss", lambda m: (m(2, 3, 4), m.ints(2, 4, high=3)), {"reduction": "none"}),
    Sample(F + "binary_cross_entropy", lambda m: (m(2, 3, low=0.1, high=0.9), m(2, 3, low=0.1, high=0.9))),
    Sample(F + "binary_cross_entropy_with_logits", lambda m: (m(2, 3), m(2, 3, low=0.1, high=0.9)),
           lambda m: {"pos_weight": m.const(3, low=0.5)}),
    Sample(F + "kl_div", lambda m: (m(2, 3), m(2, 3, low=0.1, high=0.9)), {"reduction": "batchmean"}),
    Sample(F + "poisson_nll_loss", lambda m: (m(2, 3), m(2, 3, low=0.5))),
    Sample(F + "gaussian_nll_loss", lambda m: (m(2, 3), m(2, 3), m(2, 3, low=0.5))),
    Sample(F + "soft_margin_loss", lambda m: (m(2, 3), m.const(2, 3).sign())),
    Sample(F + "hinge_embedding_loss", lambda m: (m(2, 3), m.const(2, 3).sign())),
    Sample(F + "margin_ranking_loss", lambda m: (m(3), m(3), m.const(3).sign())),
    Sample(F + "cosine_embedding_loss", lambda m: (m(3, 4), m(3, 4), m.const(3).sign())),
    Sample(F + "triplet_margin_loss", lambda m: (m(3, 4), m(3, 4), m(3, 4))),
    Sample(F + "triplet_margin_with_distance_loss", lambda m: (m(3, 4), m(3, 4), m(3, 4))),
    Sample(F + "pairwise_distance", lambda m: (m(3, 4), m(3, 4))),
    Sample(F + "multi_margin_loss", lambda m: (m(3, 4), m.ints(3, high=4))),
    Sample(F + "multilabel_margin_loss", lambda m: (m(2, 3), m.index([[0, -1, 1], [2, 1, -1]]))),
    Sample(F + "multilabel_soft_margin_loss", lambda m: (m(2, 3), m.ints(2, 3, high=2).to(m.dt(m.dtype)))),
]

EMBEDDING = [
    Sample(F + "embedding", lambda m: (m.ints(2, 3), m(5, 4))),
    Sample(F + "embedding", lambda m: (m.ints(2, 3), m(5, 4)), {"padding_idx": 1, "scale_grad_by_freq": True}, twice=False, slopes=False),
    *[Sample(F + "embedding_bag", lambda m: (m.ints(5), m(5, 4), m.index([0, 2])), {"mode": mode})
      for mode in ("sum", "mean", "max")],
    Sample(F + "one_hot", lambda m: (m.ints(2, 3), 6), grad=False),
]

RECURRENT = [
    *[Sample(name, lambda m: (m(3, 2, 4), m(1, 2, 3), [m(3, 4), m(3, 3), m(3), m(3)], True, 1, 0.0, False, False, False))
      for name in ("rnn_tanh", "rnn_relu")],
    Sample("gru", lambda m: (m(3, 2, 4), m(1, 2, 3), [m(9, 4), m(9, 3), m(9), m(9)], True, 1, 0.0, False, False, False)),
    Sample("lstm", lambda m: (m(3, 2, 4), [m(1, 2, 3), m(1, 2, 3)], [m(12, 4), m(12, 3), m(12), m(12)], True, 1, 0.0, False, False, False)),
    *[Sample(name, lambda m: (m(2, 4), m(2, 3), m(3, 4), m(3, 3), m(3), m(3))) for name in ("rnn_tanh_cell", "rnn_relu_cell")],
    Sample("gru_cell", lambda m: (m(2, 4), m(2, 3), m(9, 4), m(9, 3), m(9), m(9))),
    Sample("lstm_cell", lambda m: (m(2, 4), [m(2, 3), m(2, 3)], m(12, 4), m(12, 3), m(12), m(12))),
]

RANDOM = [
    Sample("rand", lambda m: (2, 3), grad=False, random=True),
    Sample("randn", lambda m: (4, 5), grad=False, random=True),
    Sample("randint", lambda m: (2, 9, (3, 4)), grad=False, random=True),
    Sample("randperm", lambda m: (7,), grad=False, random=True),
    *[Sample(name, lambda m: (m.const(2, 3),), grad=False, random=True) for name in ("rand_like", "randn_like")],
    Sample("randint_like", lambda m: (m.const(2, 3), 9), grad=False, random=True),
    Sample("normal", lambda m: (1.0, 2.0, (2, 3)), grad=False, random=True),
    Sample("normal", lambda m: (m.const(2, 3), m.const(2, 3, low=0.1)), grad=False, random=True),
    Sample("bernoulli", lambda m: (m.const(2, 3, low=0.1, high=0.9),), grad=False, random=True),
    Sample("multinomial", lambda m: (m.const(4, low=0.1), 3), grad=False, random=True),
    Sample("poisson", lambda m: (m.const(2, 3, low=0.1),), grad=False, random=True, torch=False),  # another algorithm than torch's
    *[Sample(f"Tensor.{name}", lambda m: (m.const(20),), grad=False, random=True)
      for name in ("uniform_", "normal_", "exponential_", "bernoulli_")],
    *[Sample(f"Tensor.{name}", lambda m: (m.const(20),), grad=False, random=True, torch=False) for name in ("cauchy_", "log_normal_")],
    Sample("Tensor.geometric_", lambda m: (m.const(20), 0.4), grad=False, random=True, torch=False),
    Sample("Tensor.normal_", lambda m: (m(20),), twice=False, random=True),
    Sample("Tensor.random_", lambda m: (m.ints(20), 9), grad=False, random=True),
    *[Sample(F + name, lambda m: (m(2, 3, 4),), {"p": 0.4, "training": True}, random=True)
      for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")],
]

CREATION = [
    Sample("zeros", lambda m: (2, 3), grad=False),
    Sample("ones", lambda m: ((2, 3),), lambda m: {"dtype": m.dt("int32")}, grad=False),
    Sample("full", lambda m: ((2, 3), 7), grad=False),
    Sample("empty", lambda m: (2, 0), grad=False),
    Sample("empty_strided", lambda m: ((2, 0), (1, 2)), grad=False),
    *[Sample(name, lambda m: (m.const(2, 3),), grad=False) for name in ("zeros_like", "ones_like")],
    Sample("empty_like", lambda m: (m.const(2, 0),), grad=False),
    Sample("full_like", lambda m: (m.const(2, 3), 7), grad=False),
    Sample("eye", lambda m: (3, 4), grad=False),
    Sample("arange", lambda m: (1, 9, 2), grad=False),
    Sample("arange", lambda m: (0.5, 2, 0.25), grad=False),
    Sample("linspace", lambda m: (0, 1, 7), grad=False),
    Sample("logspace", lambda m: (0, 2, 5), grad=False),
    Sample("range", lambda m: (1, 5, 2), grad=False, torch=False),  # torch warns
    Sample("tril_indices", lambda m: (3, 4, 1), grad=False),
    Sample("triu_indices", lambda m: (3, 4, -1), grad=False),
    Sample("tensor", lambda m: ([[1, 2.5], [3, 4]],), grad=False),
    Sample("as_tensor", lambda m: ([1, 2],), grad=False),
    Sample("asarray", lambda m: ([True, False],), grad=False),
    Sample("from_numpy", lambda m: (np.arange(6.0).reshape(2, 3),), grad=False),
    Sample("frombuffer", lambda m: (bytearray(8),), lambda m: {"dtype": m.dt("int16")}, grad=False),
    Sample("scalar_tensor", lambda m: (2.5,), grad=False),
    Sample("Tensor.new_tensor", lambda m: (m.const(2), [1, 2]), grad=False),
    Sample("Tensor.new_zeros", lambda m: (m.const(2), (2, 3)), grad=False),
    Sample("Tensor.new_ones", lambda m: (m.const(2), 2, 3), grad=False),
    Sample("Tensor.new_full", lambda m: (m.const(2), (2, 3), 7), grad=False),
    Sample("Tensor.new_empty", lambda m: (m.const(2), (2, 0)), grad=False),
    Sample("Tensor.new_empty_strided", lambda m: (m.const(2), (2, 0), (1, 2)), grad=False),
    Sample("Tensor.resize_as_", lambda m: (m.const(2, 3), m.const(3, 2)), grad=False),
    Sample("Tensor.resize_", lambda m: (m.const(2, 3), 3, 2), grad=False),
]

SAMPLES = [*ARITHMETIC, *COMPARISON, *REDUCTIONS, *ORDER, *SHAPE, *INDEXING, *LINALG, *ACTIVATIONS, *CONVOLUTIONS, *NORMALIZATION, *LOSSES,
           *EMBEDDING, *RECURRENT, *RANDOM, *CREATION]

ERRORS = [
    Error("add", lambda m: (m(2, 3), m(4)), RuntimeError, "must match the size of tensor b (4) at non-singleton dimension 1"),
    Error("add", lambda m: (m(2, 3), "a"), TypeError, "add()"),
    Error("add", lambda m: (m.const(2, 3), 1), RuntimeError, "unsupported operation: more than one element of the written-to tensor",
          lambda m: {"out": m.const(1, 3).expand(2, 3)}),
    Error("mul", lambda m: (m(2, 3), None), TypeError, "mul()"),
    Error("sub", lambda m: (m.bools(3), m.bools(3)), RuntimeError, "with two bool tensors is not supported. Use the `^` or `logical_xor()`"),
    Error("sub", lambda m: (m.bools(3), 1), RuntimeError, "with a bool tensor is not supported"),
    Error("add", lambda m: (m.ints(3), 1), RuntimeError, "argument alpha must not be a floating point number", {"alpha": 1.5}),
    Error("neg", lambda m: (m.bools(3),), RuntimeError, "on a bool tensor is not supported"),
    Error("div", lambda m: (m(2), m(2)), RuntimeError, "div expected rounding_mode to be one of", {"rounding_mode": "up"}),
    Error("floor_divide", lambda m: (m.ints(3), 0), RuntimeError, "ZeroDivisionError"),
    Error("remainder", lambda m: (m.ints(3), 0), RuntimeError, "ZeroDivisionError"),
    Error("pow", lambda m: (m.ints(3), -1), RuntimeError, "Integers to negative integer powers are not allowed"),
    Error("maximum", lambda m: (m(3), 2.0), TypeError, "maximum()"),
    Error("clamp", lambda m: (m(3),), RuntimeError, "At least one of 'min' or 'max' must not be None"),
    Error("where", lambda m: (m(3), m(3), m(3)), RuntimeError, "where expected condition to be a boolean tensor"),
    Error("bitwise_and", lambda m: (m(3), m(3)), NotImplementedError, "not implemented for"),
    Error("abs", lambda m: (m.bools(3),), NotImplementedError, "\"abs_cpu\" not implemented for 'Bool'"),
    Error("imag", lambda m: (m(3),), RuntimeError, "imag is not implemented for tensors with non-complex dtypes"),
    Error("complex", lambda m: (m(3), m(3).float()), RuntimeError, "Expected object of scalar type"),
    Error("Tensor.add_", lambda m: (m.const(3), m.const(2, 3)), RuntimeError, "output with shape [3] doesn't match the broadcast shape [2, 3]"),
    Error("Tensor.add_", lambda m: (m.ints(3), 1.5), RuntimeError, "can't be cast to the desired output type Long"),
    Error("Tensor.add_", lambda m: (m(3), 1), RuntimeError, "a leaf Variable that requires grad is being used in an in-place operation"),
    Error("Tensor.mul_", lambda m: (m.const(1, 3).expand(2, 3), 2), RuntimeError, "unsupported operation: more than one element"),
    Error("Tensor.copy_", lambda m: (m.const(3), m.const(4)), RuntimeError, "must match the size of tensor b (4)"),
    Error("Tensor.fill_", lambda m: (m.const(3), m.const(2)), RuntimeError, "fill_ only supports 0-dimension value tensor"),
    Error("sum", lambda m: (m(3), 2), IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 2)"),
    Error("sum", lambda m: (m(2, 3), (0, 0)), RuntimeError, "dim 0 appears multiple times in the list of dims"),
    Error("mean", lambda m: (m.ints(3),), RuntimeError, "mean(): could not infer output dtype. Input dtype must be either a floating"),
    Error("max", lambda m: (m(0),), RuntimeError, "max(): Expected reduction dim to be specified for input.numel() == 0"),
    Error("argmax", lambda m: (m(0),), IndexError, "argmax(): Expected reduction dim to be specified for input.numel() == 0"),
    Error("reshape", lambda m: (m(2, 3), (4, 2)), RuntimeError, "shape '[4, 2]' is invalid for input of size 6"),
    Error("reshape", lambda m: (m(2, 3), (-1, -1)), RuntimeError, "only one dimension can be inferred"),
    Error("Tensor.view", lambda m: (m(2, 3).t(), 6), RuntimeError, "view size is not compatible with input tensor's size and stride"),
    Error("Tensor.expand", lambda m: (m(3), 2), RuntimeError, "must match the existing size (3) at non-singleton dimension 0"),
    Error("cat", lambda m: ([m(2, 3), m(2, 2)],), RuntimeError, "Sizes of tensors must match except in dimension 0. Expected size 3 but got size 2"),
    Error("cat", lambda m: ([],), ValueError, "expected a non-empty list of Tensors"),
    Error("stack", lambda m: ([m(2), m(3)],), RuntimeError, "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1"),
    Error("split", lambda m: (m(5), [2, 2]), RuntimeError, "split_with_sizes expects split_sizes to sum exactly to 5"),
    Error("permute", lambda m: (m(2, 3), (0, 0)), RuntimeError, "duplicate dims are not allowed"),
    Error("transpose", lambda m: (m(2, 3), 0, 2), IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    Error("narrow", lambda m: (m(3), 0, 2, 2), RuntimeError, "exceeds dimension size (3)"),
    Error("flatten", lambda m: (m(2, 3, 4), 2, 1), RuntimeError, "flatten() has invalid args: start_dim cannot come after end_dim"),
    Error("t", lambda m: (m(2, 3, 4),), RuntimeError, "t() expects a tensor with <= 2 dimensions, but self is 3D"),
    Error("as_strided", lambda m: (m.values([1.0, 2.0]), (2,), (-1,)), RuntimeError, "as_strided: Negative"),
    Error("as_strided", lambda m: (m.values([1.0, 2.0]), (3,), (1,)), RuntimeError, "out of bounds for storage of size 16"),
    Error("Tensor.__getitem__", lambda m: (m(2, 3), (0, 0, 0)), IndexError, "too many indices for tensor of dimension 2"),
    Error("Tensor.__getitem__", lambda m: (m(2, 3), 2), IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
    Error("Tensor.__getitem__", lambda m: (m(2), slice(None, None, -1)), ValueError, "step must be greater than zero"),
    Error("Tensor.__getitem__", lambda m: (m(2), 1.0), IndexError, "are valid indices (got float)"),
    Error("Tensor.__getitem__", lambda m: (m(2, 3), m.index([True, False, True], "bool")), IndexError, "The shape of the mask [3] at index 0"),
    Error("Tensor.__getitem__", lambda m: (m(3), m.index([5])), IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
    Error("gather", lambda m: (m(3), 0, m.index([3])), RuntimeError, "index 3 is out of bounds for dimension 0 with size 3"),
    Error("gather", lambda m: (m(3), 0, m.index([[0]])), RuntimeError, "Index tensor must have the same number of dimensions as input tensor"),
    Error("scatter", lambda m: (m(3), 0, m.index([0]), m(1).float()), RuntimeError, "Expected self.dtype to be equal to src.dtype"),
    Error("index_select", lambda m: (m(3), 0, m.index([3])), IndexError, "index out of range in self"),
    Error("masked_fill", lambda m: (m(3), m.ints(3), 0.0), RuntimeError, "only supports boolean masks"),
    Error("matmul", lambda m: (m(2, 3), m(4, 5)), RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    Error("matmul", lambda m: (m(), m(2)), RuntimeError, "both arguments to matmul need to be at least 1D, but they are 0D and 1D"),
    Error("mm", lambda m: (m(2, 3), m(3)), RuntimeError, "mat2 must be a matrix"),
    Error("mm", lambda m: (m(2, 3), m(3, 2).float()), RuntimeError, "expected m1 and m2 to have the same dtype"),
    Error("bmm", lambda m: (m(2, 2, 3), m(3, 3, 2)), RuntimeError, "first two dimensions of batch2 tensor to be: [2, 3] but got: [3, 3]."),
    Error("dot", lambda m: (m(3), m(4)), RuntimeError, "inconsistent tensor size, expected tensor [3] and src [4]"),
    Error("einsum", lambda m: ("ij,jk->ik", m(2, 3)), RuntimeError, "einsum(): "),
    Error("einsum", lambda m: ("i->j", m(2)), RuntimeError, "einsum(): output subscript j does not appear in the equation for any input operand"),
    Error("arange", lambda m: (0, 3, 0), RuntimeError, "step must be nonzero"),
    Error("zeros", lambda m: (-1,), RuntimeError, "zeros: Dimension size must be non-negative"),
    Error("ones", lambda m: (-1,), RuntimeError, "Trying to create tensor with negative dimension -1: [-1]"),
    Error("tensor", lambda m: ([[1, 2], [3]],), ValueError, "expected sequence of length 2 at dim 1 (got 1)"),
    Error(F + "linear", lambda m: (m(2, 3), m(4, 5)), RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 5x4)"),
    Error(F + "conv2d", lambda m: (m(1, 2, 4, 4), m(3, 3, 2, 2)), RuntimeError, "to have 3 channels, but got 2 channels instead"),
    Error(F + "cross_entropy", lambda m: (m(2, 3), m.index([0, 3])), IndexError, "Target 3 is out of bounds."),
    Error(F + "mse_loss", lambda m: (m(2, 3), m(4)), RuntimeError, "must match the size of tensor b (4)"),
    Error(F + "layer_norm", lambda m: (m(2, 3), (4,)), RuntimeError, "Given normalized_shape=[4], expected input with shape [*, 4]"),
    Error(F + "embedding", lambda m: (m.index([5]), m(5, 2)), IndexError, "index out of range in self"),
    Error(F + "dropout", lambda m: (m(3), 1.5), ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
]
