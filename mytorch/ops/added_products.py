"""A tensor and a multiple of a product or a quotient: addcmul, addcdiv."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch.backends import kernel
from mytorch.node_names import titled
from mytorch.ops.arithmetic import add, div, div_grad_divisor, mul, over
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, FLOAT32, FLOAT64, Op, apply, put_out, require_tensor
from mytorch.ops.former_calls import takes_former_calls
from mytorch.ops.pointwise import POINTWISE, times
from mytorch.ops.views import size_error

__mytorch__ = True


def _added_product(x: Any, a: Any, b: Any, *, value: float) -> Any:
    y = np.multiply(a, b, out=...)
    return np.add(x, y if value == 1 else np.multiply(y, value, out=y), out=...)


def _added_quotient(x: Any, a: Any, b: Any, *, value: float) -> Any:
    y = np.true_divide(a, b, out=...)
    return np.add(x, y if value == 1 else np.multiply(y, value, out=y), out=...)


def _scaled(g: Any, value: Any) -> Any:
    return g if value == 1 else times(g, value)


_addcmul_op = Op("addcmul", kernel(_added_product, name="addcmul"), lambda g: g, lambda g, b, value: times(_scaled(g, value), b),
                 lambda g, a, value: times(_scaled(g, value), a), inputs="x a b")
_addcdiv_op = Op("addcdiv", kernel(_added_quotient, name="addcdiv"), lambda g: g, lambda g, b, value: over(_scaled(g, value), b),
                 lambda g, a, b, value: div_grad_divisor(_scaled(g, value), a, b), inputs="x a b")
POINTWISE.update((_addcmul_op, _addcdiv_op))


def _fused(function: Any, x: Any, a: Any, b: Any, value: Any, out: Any) -> Any:
    require_tensor("addcmul", x)
    require_tensor("addcmul", a, "tensor1", 2)
    require_tensor("addcmul", b, "tensor2", 3)
    if x._array.dtype in (FLOAT16, BFLOAT16_NP) and x._array.dtype == a._array.dtype == b._array.dtype:  # round once, at the end
        y = _fused(function, x.float(), a.float(), b.float(), value, None).to(x.dtype)
        return y if out is None else put_out(y, out)
    kinds = {t._array.dtype.kind for t in (x, a, b)}
    if function is div and kinds <= {"b", "i", "u"}:
        raise RuntimeError("Integer division with addcdiv is no longer supported: use floats, or input + value * torch.div(tensor1, tensor2, "
                           "rounding_mode='trunc')")
    if kinds == {"b"}:
        raise NotImplementedError("\"addcmul_cpu_out\" not implemented for 'Bool'")
    kind = x._array.dtype
    if (kind is FLOAT32 or kind is FLOAT64) and a._array.dtype is kind is b._array.dtype and type(value) in (int, float):
        try:
            y = apply(_addcmul_op if function is mul else _addcdiv_op, (x, a, b), {"value": value})
        except ValueError as error:
            raise size_error(error, x._array, a._array, b._array) from None
        return y if out is None else put_out(y, out, False, (x, a, b))
    product = function(a, b)
    return add(x, product if value == 1 else mul(product, value), out=out)


@takes_former_calls("value")
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input + value * tensor1 * tensor2. Derivative: g; g * value * tensor2; g * value * tensor1."""
    return titled(_fused(mul, input, tensor1, tensor2, value, out), "addcmul")


@takes_former_calls("value")
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input + value * tensor1 / tensor2. Derivative: g; g * value / tensor2; -g * value * tensor1 / tensor2^2."""
    return titled(_fused(div, input, tensor1, tensor2, value, out), "addcdiv")
