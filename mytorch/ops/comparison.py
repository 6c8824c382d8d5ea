"""Comparisons, tests for special values, logic and bits: pointwise operations without a derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes, engine_state
from mytorch.dtypes import BFLOAT16_NP, bfloat16_to_float32
from mytorch.grad_mode import by_example
from mytorch.ops.common import TensorBase, require_tensor
from mytorch.ops.pointwise import binary, refusing, unary

__mytorch__ = True


def _comparison(name: str, function: Any, doc: str, numbers: str = "second") -> Any:
    return binary(name, function, None, None, rule="bool", doc=doc, numbers=numbers)


def _ordering(name: str, function: Any, doc: str) -> Any:
    """A comparison that complex numbers do not have."""
    return binary(name, function, None, None, rule="bool", doc=doc, careful=refusing("c", function, f"{name}_cpu"))


eq = _comparison("eq", np.equal, "a == b, pointwise.")
ne = _comparison("ne", np.not_equal, "a != b, pointwise.")
lt = _ordering("lt", np.less, "a < b, pointwise.")
le = _ordering("le", np.less_equal, "a <= b, pointwise.")
gt = _ordering("gt", np.greater, "a > b, pointwise.")
ge = _ordering("ge", np.greater_equal, "a >= b, pointwise.")
logical_and = _comparison("logical_and", np.logical_and, "a and b as truth values.", "none")
logical_or = _comparison("logical_or", np.logical_or, "a or b as truth values.", "none")
logical_xor = _comparison("logical_xor", np.logical_xor, "Exactly one of a and b is true.", "none")
logical_not = unary("logical_not", np.logical_not, None, "x is zero or False.", rule="bool")
isnan = unary("isnan", np.isnan, None, "x is not a number.", rule="bool")
isinf = unary("isinf", lambda x: np.isinf(x), None, "x is infinite.", rule="bool")
isfinite = unary("isfinite", np.isfinite, None, "x is neither infinite nor NaN.", rule="bool")
isposinf = unary("isposinf", refusing("c", np.isposinf, "isposinf does not support complex inputs.", RuntimeError), None,
                 "x is +inf.", rule="bool")
isneginf = unary("isneginf", refusing("c", np.isneginf, "isneginf does not support complex inputs.", RuntimeError), None,
                 "x is -inf.", rule="bool")
signbit = unary("signbit", refusing("c", lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0,
                                    "signbit is not implemented for complex tensors."), None, "The sign bit of x is set.", rule="bool")
isreal = unary("isreal", np.isreal, None, "The imaginary part of x is zero.", rule="bool")


def _integers_only(name: str, function: Any) -> Any:
    return refusing("fc", function, f"{name}_cpu")


bitwise_and = binary("bitwise_and", _integers_only("bitwise_and", np.bitwise_and), None, None, numbers="either",
                     doc="Bits set in both; `and` for bools.")
bitwise_or = binary("bitwise_or", _integers_only("bitwise_or", np.bitwise_or), None, None, numbers="either",
                    doc="Bits set in either; `or` for bools.")
bitwise_xor = binary("bitwise_xor", _integers_only("bitwise_xor", np.bitwise_xor), None, None, numbers="either",
                     doc="Bits set in one only.")
bitwise_not = unary("bitwise_not", _integers_only("bitwise_not", np.invert), None, "All bits flipped; `not` for bools.")
bitwise_left_shift = binary("bitwise_left_shift", _integers_only("lshift", np.left_shift), None, None, numbers="either",
                            doc="a * 2^b by shifting bits.")
bitwise_right_shift = binary("bitwise_right_shift", _integers_only("rshift", np.right_shift), None, None, numbers="either",
                             doc="a / 2^b by shifting bits.")


def rlshift(self: Any, other: Any) -> Any:
    """other << self: the reflected operator."""
    return bitwise_left_shift(other, self)


def rrshift(self: Any, other: Any) -> Any:
    """other >> self: the reflected operator."""
    return bitwise_right_shift(other, self)



def equals(self: Any, other: Any) -> Any:
    """`==`: pointwise for tensors and numbers, False for anything else."""
    return eq(self, other) if isinstance(other, (TensorBase, int, float, complex, np.generic)) else NotImplemented


def differs(self: Any, other: Any) -> Any:
    """`!=`: pointwise for tensors and numbers, True for anything else."""
    return ne(self, other) if isinstance(other, (TensorBase, int, float, complex, np.generic)) else NotImplemented


def _values(x: Any) -> Any:
    array = x._array
    return bfloat16_to_float32(array) if array.dtype == BFLOAT16_NP else array


def equal(input: Any, other: Any) -> bool:  # noqa: A002
    """Do two tensors have the same shape and elements?"""
    require_tensor("equal", input)
    require_tensor("equal", other, "other", 2)
    a, b = _values(input), _values(other)
    return bool(a.shape == b.shape and (a == b).all())


@by_example
def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:  # noqa: A002
    """|input - other| <= atol + rtol * |other|, pointwise."""
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: rtol and atol must be greater than or equal to zero, but got rtol={rtol} and atol={atol}")
    if input._array.dtype != other._array.dtype:
        raise RuntimeError(f"{dtypes.legacy_name(input.dtype)} did not match {dtypes.legacy_name(other.dtype)}")
    return engine_state.wrap(np.asarray(np.isclose(_values(input), _values(other), rtol, atol, equal_nan)))


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:  # noqa: A002
    """Are all elements close? See `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array.all())
