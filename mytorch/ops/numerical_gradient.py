"""The slope of sampled values by finite differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import errors
from mytorch.ops.common import TensorBase, require_tensor, wrap_dim, wrap_dims
from mytorch.ops.joining import cat
from mytorch.ops.views import narrow, reshape

__mytorch__ = True


def _even(x: Any, dim: int, h: Any, edge_order: int) -> Any:
    """Central differences at steps of h, one-sided ones at the ends."""
    n = x._array.shape[dim]

    def at(i: int) -> Any:
        return narrow(x, dim, i, 1)

    inside = (narrow(x, dim, 2, n - 2) - narrow(x, dim, 0, n - 2)) / (2 * h)
    if edge_order == 1:
        first, last = (at(1) - at(0)) / h, (at(n - 1) - at(n - 2)) / h
    else:
        first = (-1.5 * at(0) + 2 * at(1) - 0.5 * at(2)) / h
        last = (0.5 * at(n - 3) - 2 * at(n - 2) + 1.5 * at(n - 1)) / h
    return cat([first, inside, last], dim)


def _uneven(x: Any, dim: int, places: Any, edge_order: int) -> Any:
    """Three-point formulas at places a step p before and q after: exact for parabolas."""
    n = x._array.shape[dim]
    if places._array.size != n:
        raise RuntimeError(f"torch.gradient expected spacing of dimension {dim} to have one coordinate for each of its {n} entries, "
                           f"but got {places._array.size}")
    column = (-1, *(1,) * (x._array.ndim - dim - 1))
    steps = narrow(places, 0, 1, n - 1) - narrow(places, 0, 0, n - 1)

    def step(i: int) -> Any:
        return steps[i]

    def at(i: int) -> Any:
        return narrow(x, dim, i, 1)

    p, q = reshape(narrow(steps, 0, 0, n - 2), column), reshape(narrow(steps, 0, 1, n - 2), column)
    inside = (narrow(x, dim, 0, n - 2) * (-q / (p * (p + q))) + narrow(x, dim, 1, n - 2) * ((q - p) / (p * q))
              + narrow(x, dim, 2, n - 2) * (p / (q * (p + q))))
    if edge_order == 1:
        first, last = (at(1) - at(0)) / step(0), (at(n - 1) - at(n - 2)) / step(n - 2)
    else:
        a, b = step(0), step(1)
        first = at(0) * (-(2 * a + b) / (a * (a + b))) + at(1) * ((a + b) / (a * b)) + at(2) * (-a / (b * (a + b)))
        a, b = step(n - 3), step(n - 2)
        last = at(n - 3) * (b / (a * (a + b))) + at(n - 2) * (-(a + b) / (a * b)) + at(n - 1) * ((2 * b + a) / (b * (a + b)))
    return cat([first, inside, last], dim)


def gradient(input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple[Any, ...]:  # noqa: A002
    """The derivative of sampled values along each dimension: df/dx_i = (f(x_i + h) - f(x_i - h)) / 2h, one-sided at the ends.

    Args:
        spacing: the step h (1 by default), one step per dimension, or one tensor of coordinates per dimension.
        dim: which dimensions; all by default.
        edge_order: of the one-sided formulas at the ends, 1 or 2.
    Shape: x -> one tensor of that shape per dimension. dtype: floating or complex kept, integers become the default float.
    Derivative: the same formulas turned round; the result is linear in x.
    Raises:
        RuntimeError: for another edge_order, a dimension shorter than edge_order + 1, or as many steps as there are not dimensions.
    Source: Quarteroni, Sacco, Saleri, Numerical Mathematics, section 10.10.
    """
    require_tensor("gradient", input)
    ndim = input._array.ndim
    dims = (wrap_dim(int(dim), ndim),) if isinstance(dim, (int, np.integer)) else () if dim == () else wrap_dims(dim, ndim)
    several = isinstance(spacing, (tuple, list))
    if several and len(spacing) != len(dims):
        if dim is None:
            raise RuntimeError(f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to 'self.dim() = {ndim}', "
                               f"since dim argument was not given, but got a list of length {len(spacing)}")
        raise RuntimeError("torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the same length, "
                           f"but got a spacing argument of length {len(spacing)} and a dim argument of length {len(dims)}.")
    if edge_order not in (1, 2):
        raise RuntimeError(f"torch.gradient only supports edge_order=1 and edge_order=2, but got edge_order={edge_order}.")
    if input._array.dtype == np.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input: its differences wrap round. Convert with .to(torch.int16)")
    for d in dims:
        if ndim and input._array.shape[d] < edge_order + 1:
            raise RuntimeError(f"torch.gradient expected each dimension size to be at least edge_order+1 = {edge_order + 1}, "
                               f"but dimension {d} has size {input._array.shape[d]}")
    steps = _steps(spacing, len(dims)) if not several else list(spacing)
    _check_steps(steps)
    return tuple(_uneven(input, d, h, edge_order) if isinstance(h, TensorBase) and several else _even(input, d, h, edge_order)
                 for d, h in zip(dims, steps, strict=True))


def _steps(spacing: Any, count: int) -> Sequence[Any]:
    if isinstance(spacing, TensorBase) and spacing._array.ndim:
        raise errors.type_error("gradient", "spacing", 2, "number or tuple of Tensors", spacing)
    return [1.0 if spacing is None else spacing] * count


def _check_steps(steps: Sequence[Any]) -> None:
    """Steps are all numbers, or all 1-d tensors."""
    tensors = [isinstance(h, TensorBase) for h in steps]
    if any(tensors) and not all(tensors):
        raise TypeError(f"expected Tensor as element {tensors.index(False)} in argument 1, but got {type(steps[tensors.index(False)]).__name__}")
    for h in steps:
        if isinstance(h, TensorBase) and h._array.ndim > 1:
            raise RuntimeError("torch.gradient expected each element of spacing to have one dimension, "
                               f"but got an element with {h._array.ndim} dimensions!")
