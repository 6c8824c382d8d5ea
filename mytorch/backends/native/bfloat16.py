"""bfloat16: conversions and products of matrices; conversions of float16: csrc/kernels/bfloat16.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.backends.native.extension import BFLOAT16, FLOAT32, Array, K, empty

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

FLOAT16 = np.dtype(np.float16)
_SMALLEST = 16  # elements; NumPy needs a dozen calls
ANY_VECTORS = 0  # 1: AVX512-BF16 also where float32 is quicker than its vectors; for tests


def _cast(x: Array, kind: np.dtype[Any], wanted: np.dtype[Any]) -> Any:
    if x.dtype != kind or not K.worth(x.size, _SMALLEST):
        return NotImplemented
    if x.ndim < 2 or x.flags.c_contiguous:
        return K.cast(x, empty(x.shape, wanted))
    strides = x.strides  # as NumPy's astype does, keep the order of dimensions in memory
    order = sorted(range(x.ndim), key=lambda dim: -abs(strides[dim]))
    ordered = x.transpose(order)
    y = K.cast(ordered, empty(ordered.shape, wanted))
    return y if y is NotImplemented else y.transpose(np.argsort(order))


def bfloat16_to_float32(array: Array) -> Any:
    """The same numbers in twice the width."""
    return _cast(array, BFLOAT16, FLOAT32)


def float32_to_bfloat16(array: Array) -> Any:
    """The nearest numbers of half the width."""
    return _cast(array, FLOAT32, BFLOAT16)


def float16_to_float32(array: Array) -> Any:
    """The same numbers in twice the width."""
    return _cast(array, FLOAT16, FLOAT32)


def float32_to_float16(array: Array) -> Any:
    """The nearest numbers of half the width."""
    return _cast(array, FLOAT32, FLOAT16)


def product(a: Array, b: Array, bias: Array | None, y: Array) -> Any:
    """y = a @ b + bias of bfloat16 in any strides, added up in float32; without a unit for it, float32's own product, rounded."""
    done = K.matmul_bfloat16(a, b, bias if bias is None or y.dtype is not FLOAT32 else widened(bias), y, ANY_VECTORS)
    if done is NotImplemented:
        wide_bias = None if bias is None else widened(bias)
        wide = y if y.dtype is FLOAT32 else empty(y.shape, FLOAT32)
        done = K.matmul(widened(a), widened(b), wide_bias, wide)
        if wide is not y and done is not NotImplemented:
            done = K.cast(wide, y)
    return done


def widened(x: Array) -> Array:
    """The same numbers as float32."""
    return K.cast(x, empty(x.shape, FLOAT32))  # type: ignore[no-any-return]


def widening(override: Callable[..., Any], stay_wide: tuple[int, ...]) -> Callable[..., Any]:
    """The override; where it declines bfloat16 arguments, it computes in float32, and its outputs are rounded, but for those that the
    reference keeps."""
    def ask(*args: Any, **meta: Any) -> Any:
        y = override(*args, **meta)
        if y is not NotImplemented or args[0].dtype.kind != "V" or not K.worth(args[0].size, _SMALLEST):
            return y
        y = override(*[widened(x) if isinstance(x, np.ndarray) and x.dtype == BFLOAT16 else x for x in args], **meta)
        if isinstance(y, tuple):
            return tuple(part if part is None or i in stay_wide else _narrowed(part) for i, part in enumerate(y))
        return y if y is NotImplemented else _narrowed(y)

    return ask


def _narrowed(x: Array) -> Array:
    return K.cast(x, empty(x.shape, BFLOAT16))  # type: ignore[no-any-return]


# Kernels whose references widen bfloat16 and round at the end, with the numbers of their outputs that stay float32.
WIDENED: dict[str, tuple[int, ...]] = {"gelu_forward": (), "gelu_grad": (), "attention_forward": (1,), "attention_grad": (),
                                      "reduce_sum": (), "sum_to": (),
                                      "conv": (), "conv_transposed": (), "conv_grad_input": (), "conv_grad_weight": (),
                                      "batch_norm_forward": (1, 2), "batch_norm_grad": (1, 2),
                                      "max_pool": (), "max_pool_with_places": (1,), "max_pool_grad": (), "avg_pool": (), "avg_pool_grad": ()}

overrides = {"bfloat16_to_float32": bfloat16_to_float32, "float32_to_bfloat16": float32_to_bfloat16, "float16_to_float32": float16_to_float32,
             "float32_to_float16": float32_to_float16}
