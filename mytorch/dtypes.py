"""Data types: the dtype objects, how arrays store them, and torch's promotion rules.

Every dtype has its own NumPy dtype, so an array tells which it is. bfloat16, which NumPy lacks, is stored as a
structured dtype around uint16: indexing, views and copies work, every ufunc refuses it, so nothing is silently wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch.backends import kernel

__mytorch__ = True

BOOL, INTEGER, FLOATING, COMPLEX = range(4)


class dtype:  # noqa: N801 - torch's name
    """The type of a tensor's elements, for example ``float32``; printed as torch prints it."""

    __slots__ = ("category", "is_complex", "is_floating_point", "is_signed", "itemsize", "name", "np")

    def __init__(self, name: str, np_dtype: Any, category: int, is_signed: bool) -> None:
        self.name = name
        self.np: np.dtype[Any] = np.dtype(np_dtype)
        self.category = category
        self.is_floating_point = category == FLOATING
        self.is_complex = category == COMPLEX
        self.is_signed = is_signed
        self.itemsize = self.np.itemsize

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self is bool_ else self.name

    def to_real(self) -> dtype:
        """The dtype of the real part: float32 for complex64, itself for a real dtype."""
        return {complex64: float32, complex128: float64}.get(self, self)

    def to_complex(self) -> dtype:
        """The complex dtype whose parts have this dtype: complex64 for float32."""
        return complex128 if self in (float64, complex128) else complex64


bool_ = dtype("bool", np.bool_, BOOL, False)
uint8 = dtype("uint8", np.uint8, INTEGER, False)
int8 = dtype("int8", np.int8, INTEGER, True)
int16 = dtype("int16", np.int16, INTEGER, True)
int32 = dtype("int32", np.int32, INTEGER, True)
int64 = dtype("int64", np.int64, INTEGER, True)
uint16 = dtype("uint16", np.uint16, INTEGER, False)
uint32 = dtype("uint32", np.uint32, INTEGER, False)
uint64 = dtype("uint64", np.uint64, INTEGER, False)
float16 = dtype("float16", np.float16, FLOATING, True)
bfloat16 = dtype("bfloat16", [("bfloat16", np.uint16)], FLOATING, True)
float32 = dtype("float32", np.float32, FLOATING, True)
float64 = dtype("float64", np.float64, FLOATING, True)
complex64 = dtype("complex64", np.complex64, COMPLEX, True)
complex128 = dtype("complex128", np.complex128, COMPLEX, True)

ALL = (bool_, uint8, int8, int16, int32, int64, uint16, uint32, uint64, float16, bfloat16, float32, float64, complex64, complex128)
BFLOAT16_NP = bfloat16.np
_OF_NUMPY: dict[np.dtype[Any], dtype] = {d.np: d for d in ALL}
_LEGACY = {float32: "Float", float64: "Double", float16: "Half", bfloat16: "BFloat16", uint8: "Byte", int8: "Char", int16: "Short",
           int32: "Int", int64: "Long", bool_: "Bool", complex64: "ComplexFloat", complex128: "ComplexDouble",
           uint16: "UInt16", uint32: "UInt32", uint64: "UInt64"}
_OF_LEGACY = {f"{name}Tensor": d for d, name in _LEGACY.items()}


def from_numpy_dtype(np_dtype: Any) -> dtype:
    """The dtype of arrays with this NumPy dtype.

    Raises:
        TypeError: if NumPy's dtype has no counterpart.
    """
    found = _OF_NUMPY.get(np_dtype)
    if found is None:
        native = np.dtype(np_dtype).newbyteorder("=")
        found = _OF_NUMPY.get(native)
    if found is None:
        kind = getattr(np_dtype, "type", None)
        raise TypeError(f"can't convert np.ndarray of type {'numpy.' + kind.__name__ if kind else np_dtype}. The supported types are: "
                        "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool.")
    return found


def legacy_name(d: dtype) -> str:
    """torch's old name of a dtype: 'Float' for float32, as in ``FloatTensor``."""
    return _LEGACY[d]


def from_legacy_name(name: str) -> dtype:
    """The dtype of 'FloatTensor' or 'torch.FloatTensor'; ValueError for an unknown name."""
    found = _OF_LEGACY.get(name.removeprefix("torch."))
    if found is None:
        raise ValueError(f"invalid type: '{name}'")
    return found


@kernel
def bfloat16_to_float32(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 values of an array of bfloat16 (exact: bfloat16 is the upper half of a float32)."""
    wide = array.view(np.uint16).astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


@kernel
def float32_to_bfloat16(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """bfloat16 values nearest to float32 values, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).reshape(np.shape(array))
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    rounded = np.where((bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000), np.uint32(0x7FC0), rounded)
    return np.asarray(rounded, np.uint16).view(BFLOAT16_NP)


@kernel
def float16_to_float32(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 values of an array of float16."""
    return array.astype(np.float32)


@kernel
def float32_to_float16(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float16 values nearest to float32 values, ties to even; infinite where they are too large."""
    return array.astype(np.float16)


def cast(array: np.ndarray[Any, Any], np_dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A copy of the array with another dtype, through bfloat16 where one side is that; complex loses its imaginary part."""
    if array.dtype == BFLOAT16_NP:
        if np_dtype == BFLOAT16_NP:
            return array.copy()
        array = bfloat16_to_float32(array)
        if np_dtype == np.float32:
            return array
    if array.dtype.kind == "c" and np_dtype.kind not in "c":
        array = array.astype(bool) if np_dtype.kind == "b" else array.real
    if np_dtype == BFLOAT16_NP:
        return float32_to_bfloat16(array.astype(np.float32, copy=False))
    if np_dtype is float16.np and array.dtype is float32.np:
        return float32_to_float16(array)
    if np_dtype is float32.np and array.dtype is float16.np:
        return float16_to_float32(array)
    return array.astype(np_dtype)


# ---- promotion: https://docs.pytorch.org/docs/stable/tensor_attributes.html, "type promotion" ----------------------------------

_FLOAT_RANK = {float16: 1, bfloat16: 1, float32: 2, float64: 3}


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype of torch's lattice that holds both: uint8 with int8 gives int16, int64 with float16 gives float16.

    Raises:
        RuntimeError: for uint16, uint32 or uint64 with another integer type, which torch leaves undefined.
    """
    if a is b:
        return a
    low, high = (a, b) if a.category <= b.category else (b, a)
    if high.category == COMPLEX:
        return complex128 if float64 in (low, high) or complex128 in (low, high) else complex64
    if high.category == FLOATING:
        if low.category != FLOATING:
            return high
        if _FLOAT_RANK[low] == _FLOAT_RANK[high]:
            return float32
        return max(low, high, key=_FLOAT_RANK.__getitem__)
    if low.category == BOOL:
        return high
    wide_unsigned = {uint16, uint32, uint64}
    if low in wide_unsigned or high in wide_unsigned:
        raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, "
                           f"attempted to promote {legacy_name(a)} and {legacy_name(b)}")
    return from_numpy_dtype(np.promote_types(low.np, high.np))


def combine_priorities(dims: dtype | None, zero_dim: dtype | None, number: dtype | None) -> dtype:
    """Result dtype from the promoted dtypes of tensors with dimensions, of 0-d tensors and of Python numbers.

    A lower priority decides only when its category is higher: float32 tensor with a 0-d float64 stays float32.
    """
    result = dims
    for lower in (zero_dim, number):
        if lower is None:
            continue
        if result is None:
            result = lower
        elif lower.category > result.category:
            if lower.category == COMPLEX:
                result = result.to_complex() if result.category == FLOATING else lower
            else:
                result = lower
    if result is None:
        raise RuntimeError("result type of no operands")
    return result


_default = float32


def get_default_dtype() -> dtype:
    """The floating dtype that factories give to Python floats; float32 unless changed."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Let factories make tensors of ``d`` from Python floats.

    Raises:
        TypeError: if ``d`` is not one of float16, bfloat16, float32 and float64.
    """
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    _default = d


def number_dtype(value: Any) -> dtype:
    """The dtype of a Python number: bool, int64, the default float, or the complex of its width."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default
    if isinstance(value, (complex, np.complexfloating)):
        return _default.to_complex()
    raise TypeError(f"expected a number, got {type(value).__name__}")




class finfo:  # noqa: N801 - torch's name
    """Limits of a floating dtype: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type: dtype | None = None) -> None:  # noqa: A002 - torch's name
        d = type or get_default_dtype()
        if not (d.is_floating_point or d.is_complex):
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d}'")
        real = d.to_real()
        self.dtype = real.name
        self.bits = real.itemsize * 8
        if real is bfloat16:
            self.eps, self.max, self.tiny, self.resolution = 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126, 0.01
        else:
            info = np.finfo(real.np)
            self.eps, self.max, self.tiny = float(info.eps), float(info.max), float(info.tiny)
            self.resolution = float(info.resolution)
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:  # noqa: N801 - torch's name
    """Limits of an integer dtype: bits, max, min."""

    def __init__(self, type: dtype) -> None:  # noqa: A002 - torch's name
        if type.category != INTEGER:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        info = np.iinfo(type.np)
        self.dtype, self.bits, self.max, self.min = type.name, info.bits, int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
