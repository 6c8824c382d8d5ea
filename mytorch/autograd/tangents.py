"""The derivative of one operation along a direction: from the tangents of its inputs those of its outputs.

Reverse mode knows of each operation how to turn u into u J, J being its Jacobian. That is linear in u, so its own derivative with
respect to u gives J t: every operation that can be differentiated twice backwards can be differentiated forwards (the double vjp;
J. Townsend 2017, "A new trick for calculating Jacobian vector products"). Three families have a shorter way:

- pointwise ones: J is diagonal, so the formula that turns g into g J turns t into J t;
- linear ones: the operation itself, applied to the tangent;
- products, linear in each of several inputs: the sum of the products with one factor replaced by its tangent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state
from mytorch.autograd_engine import Op, TensorBase, enable_grad, grad, requires_grad, state
from mytorch.engine_state import as_tensor
from mytorch.ops import views
from mytorch.ops.pointwise import POINTWISE

__mytorch__ = True

# By the operation's name: which inputs it is linear in together, the others being constants.
LINEAR: Mapping[str, tuple[int, ...]] = dict.fromkeys((
    "sum", "mean", "cumsum", "sum_to", "slice_backward", "diagonal_backward", "unfold_backward", "repeat", "repeat_backward", "flip", "roll",
    "tril", "clone", "contiguous", "to_copy", "conj", "gather", "index_select", "masked_scatter_backward", "embedding", "pick", "paste",
    "adaptive_avg_pool", "adaptive_avg_pool_backward", "avg_pool", "avg_pool_backward", "max_pool_take", "max_unpool", "im2col", "col2im",
    "upsample", "upsample_backward", "dropout", "rrelu_with_noise",
), (0,)) | dict.fromkeys(("index_add", "masked_fill", "masked_scatter"), (0, 2)) | {"where": (1, 2), "index_put": (0, 1)}
# Which inputs are the factors of a product.
PRODUCTS: Mapping[str, tuple[int, ...]] = dict.fromkeys((
    "mm", "bmm", "dot", "addmm", "convolution", "conv_grad_input", "conv_grad_weight"), (0, 1))
ALL_LINEAR = frozenset({"cat", "stack"})


def push_forward(op: Op, inputs: Sequence[Any], tangents: Sequence[Any], outputs: Sequence[Any], meta: dict[str, Any] | None) -> list[Any]:
    """The tangent of each output, or None for zero, from those of the inputs.

    Args:
        tangents: one Tensor, or None, per input.
        outputs: what the operation gave for `inputs`.
    """
    meta = meta or {}
    if not any(_has_derivative(y) for y in outputs):
        return [None] * len(outputs)
    places = [i for i, t in enumerate(tangents) if t is not None]
    # as_strided counts in the memory of its input: its tangent must lie there in the same way
    if op.view and places == [0] and (op.name != "as_strided" or tangents[0]._array.strides == inputs[0]._array.strides):
        found = op(tangents[0], *inputs[1:], **meta)
        return list(found) if isinstance(found, (tuple, list)) else [found]
    if op in POINTWISE and (op.holomorphic or not _any_complex(inputs, outputs)):
        return [_pointwise(op, inputs, tangents, outputs[0], meta)]
    linear = LINEAR.get(op.name) or (tuple(range(len(inputs))) if op.name in ALL_LINEAR else ())
    if linear and all(i in linear for i in places):
        return [op(*[_or_zero(inputs[i], tangents[i]) if i in linear else x for i, x in enumerate(inputs)], **meta)]
    factors = PRODUCTS.get(op.name, ())
    if any(i in factors for i in places):
        return [_product(op, inputs, tangents, [i for i in factors if i in places], factors, meta)]
    return double_vjp(op, inputs, tangents, outputs, meta)


def _has_derivative(y: Any) -> bool:
    return isinstance(y, TensorBase) and y._array.dtype.kind in "fcV"


def _any_complex(inputs: Sequence[Any], outputs: Sequence[Any]) -> bool:
    return any(x._array.dtype.kind == "c" if isinstance(x, TensorBase) else isinstance(x, complex) for x in (*inputs, *outputs))


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


def _or_zero(x: Any, t: Any) -> Any:
    """The tangent of an input of a linear operation."""
    if t is not None:
        return t
    return views.zeros_for(x, x._array.shape) if isinstance(x, TensorBase) else x if x is None else type(x)(0)


def _product(op: Op, inputs: Sequence[Any], tangents: Sequence[Any], moving: list[int], factors: tuple[int, ...], meta: dict[str, Any]) -> Any:
    """The sum of the products with one factor replaced by its tangent; the tangent of what is added to a product (a bias) comes with the first."""
    total = None
    for i in moving:
        added = tangents if i == moving[0] else [None] * len(inputs)
        total = _sum(total, op(*[tangents[i] if j == i else x if j in factors else added[j] for j, x in enumerate(inputs)], **meta))
    return total


def _pointwise(op: Op, inputs: Sequence[Any], tangents: Sequence[Any], y: Any, meta: dict[str, Any]) -> Any:
    """Sum over the inputs of derivative times tangent, each tangent first cast and broadcast as the operation did with its input."""
    saved = [*inputs, y, _shapes(inputs) if _asks_for_shapes(op) else None, meta]
    total: Any = None
    for formula, t in zip(op.formulas, tangents, strict=True):
        if t is not None:
            total = _sum(total, formula(_expanded(cast(t, y._array.dtype), y._array.shape), saved))
    return _expanded(total, y._array.shape)


def _shapes(inputs: Sequence[Any]) -> list[tuple[int, ...]]:
    return [x._array.shape if isinstance(x, TensorBase) else np.shape(x) for x in inputs]


@cache
def _asks_for_shapes(op: Op) -> bool:
    return any(name.endswith("_shape") for names in op.uses for name in names)


def cast(t: Any, dtype: np.dtype[Any]) -> Any:
    """A tangent in another dtype: of a complex one only the real part, where a real one is wanted."""
    if t._array.dtype == dtype:
        return t
    return engine_state.to_dtype(t.real if t._array.dtype.kind == "c" != dtype.kind else t, dtype=dtype)


def _expanded(t: Any, shape: tuple[int, ...]) -> Any:
    return t if t._array.shape == shape else views.expand_op(t, shape=shape)


def _probe(y: Any) -> Any:
    ones = np.ones(y._array.shape, y._array.dtype)
    if ones.dtype.kind == "c":  # small, or complex eigenvectors refuse a gradient that depends on their phase
        ones *= 2.0 ** -16
    return engine_state.wrap(ones).requires_grad_()


def double_vjp(op: Op, inputs: Sequence[Any], tangents: Sequence[Any], outputs: Sequence[Any], meta: dict[str, Any]) -> list[Any]:
    """J t as the derivative of u -> u J in the direction t. Where that is evaluated is of no account: at ones, away from kinks at zero."""
    create_graph = state.grad_enabled and any(requires_grad(x) for x in (*inputs, *tangents))
    with enable_grad():
        probes = [_probe(y) if _has_derivative(y) else None for y in outputs]
        pulled = _pull_back(op, inputs, [t is not None for t in tangents], probes, outputs, meta)
        pairs = [(v, _expanded(cast(t, v._array.dtype), v._array.shape)) for v, t in zip(pulled, tangents, strict=True)
                 if t is not None and v is not None and requires_grad(v)]
    if not pairs:
        return [None] * len(outputs)
    asked = [u for u in probes if u is not None]
    found = iter(grad([v for v, _ in pairs], asked, [t for _, t in pairs], create_graph=create_graph, allow_unused=True))
    return [None if u is None else next(found) for u in probes]


def _pull_back(op: Op, inputs: Sequence[Any], needs: list[bool], probes: list[Any], outputs: Sequence[Any], meta: dict[str, Any]) -> list[Any]:
    """u J for each input that needs it, from the operation's own formulas."""
    saved = [as_tensor(x) if isinstance(x, ndarray) else x for x in (*inputs, *outputs)]
    saved += [_shapes(inputs), meta]
    conjugate = not op.several and op.holomorphic and outputs[0]._array.dtype.kind == "c"
    g = [_conjugated(u) for u in probes] if conjugate else probes
    given = g if op.several else g[0]
    if op.joint is not None:
        found = list(op.formulas[0](given, saved, tuple(needs)))
    else:
        found = [formula(given, saved) if need else None for formula, need in zip(op.formulas, needs, strict=True)]
    return [_conjugated(v) for v in found] if conjugate else found


def _conjugated(x: Any) -> Any:
    return x.conj() if x is not None and x._array.dtype.kind == "c" else x
