"""Histograms with edges: how many elements, or how much weight, falls into each bin of one dimension or of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes, engine_state
from mytorch.grad_mode import by_example
from mytorch.ops import return_types
from mytorch.ops.common import Op, TensorBase, apply, put_out, require_tensor
from mytorch.ops.ranges import linspace

__mytorch__ = True


def _histogramdd(x: Any, weight: Any, *edges: Any, density: bool) -> Any:
    bins = [e.size - 1 for e in edges]
    y = np.zeros(bins, x.dtype)
    if x.size:
        rows = x.reshape(-1, x.shape[-1])
        inside = np.ones(rows.shape[0], np.bool_)
        places = np.zeros(rows.shape[0], np.int64)
        for column, e in zip(rows.T, edges, strict=True):
            inside &= (column >= e[0]) & (column <= e[-1])
            # [e0, e1), [e1, e2), ..., and the last bin holds its right edge too
            places = places * (e.size - 1) + np.minimum(np.searchsorted(e, column, "right") - 1, e.size - 2)
        masses = None if weight is None else weight.reshape(-1)[inside]
        y = np.bincount(places[inside], masses, math.prod(bins)).astype(x.dtype).reshape(bins)
    if density:
        y = y / y.sum()
        for d, e in enumerate(edges):
            y = y / np.diff(e).reshape([-1 if i == d else 1 for i in range(len(edges))])
    return np.asarray(y)


_histogramdd_op = Op("histogramdd", _histogramdd, inputs="x weight")


def _ranges(x: Any, given: Sequence[float] | None) -> list[tuple[float, float]]:
    """Where the bins of each dimension begin and end: as given, or the least and the largest element."""
    count = x.shape[-1]
    if given is not None:
        if len(given) != 2 * count:
            raise RuntimeError(f"torch.histogramdd: for a {count}-dimensional histogram range should have {2 * count} elements, "
                               f"but got {len(given)}")
        pairs = [(float(given[2 * d]), float(given[2 * d + 1])) for d in range(count)]
    elif not x.size:
        pairs = [(0.0, 1.0)] * count
    else:
        rows = x.reshape(-1, count)
        pairs = [(float(rows[:, d].min()), float(rows[:, d].max())) for d in range(count)]
    for d, (low, high) in enumerate(pairs):
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {d}'s range [{low:g}, {high:g}] is not finite")
        if low > high:
            raise RuntimeError(f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for dimension {d}")
    return [(low - 0.5, high + 0.5) if low == high else (low, high) for low, high in pairs]


def _check_edges(x: Any, bins: Sequence[Any]) -> None:
    for d, e in enumerate(bins):
        if e._array.dtype != x.dtype:
            raise RuntimeError(f"torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype {x.dtype} "
                               f"and bins for dimension {d} with dtype {e._array.dtype}")
        if e._array.ndim != 1:
            raise RuntimeError(f"torch.histogramdd: bins tensor should have one dimension, but got {e._array.ndim} dimensions in the bins tensor "
                               f"for dimension {d}")
        if not e._array.size:
            raise RuntimeError(f"torch.histogramdd: bins tensor should have at least 1 element, "
                               f"but got 0 elements in the bins tensor for dimension {d}")


def _counted(x: Any, bins: Sequence[Any], given: Sequence[float] | None, weight: Any, density: bool) -> tuple[Any, tuple[Any, ...]]:
    """The histogram of the rows of x, and the edges of its bins."""
    array = x._array
    if array.ndim < 2:
        raise RuntimeError(f"torch.histogramdd: input tensor should have at least 2 dimensions, but got {array.ndim}")
    if len(bins) != array.shape[-1]:
        raise RuntimeError("histogramdd: The size of bins must be equal to the innermost dimension of the input: "
                           f"got {len(bins)} bins for an input of shape {list(array.shape)}")
    if array.dtype not in (np.float32, np.float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{dtypes.legacy_name(dtypes.from_numpy_dtype(array.dtype))}'")
    if weight is not None and weight._array.dtype != array.dtype:
        raise RuntimeError("torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the same dtype, "
                           f"but got input({array.dtype}), and weight({weight._array.dtype})")
    if weight is not None and weight._array.shape != array.shape[:-1]:
        raise RuntimeError("torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor excluding its "
                           f"innermost dimension, but got input with shape {list(array.shape)} and weight with shape {list(weight._array.shape)}")
    if all(isinstance(b, TensorBase) for b in bins):
        _check_edges(array, bins)
        edges = tuple(b.detach().clone() for b in bins)
        counts = [e._array.size - 1 for e in edges]
    else:
        counts = [int(b) for b in bins]
        edges = ()
    for d, count in enumerate(counts):
        if count <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {count} for dimension {d}")
    if not edges:
        dtype = dtypes.from_numpy_dtype(array.dtype)
        edges = tuple(linspace(low, high, n + 1, dtype=dtype) for n, (low, high) in zip(counts, _ranges(array, given), strict=True))
    y = apply(_histogramdd_op, (x.detach(), None if weight is None else weight.detach(), *edges), {"density": density})
    return y, edges


@by_example
def histogram(input: Any, bins: Any = 100, *, range: Sequence[float] | None = None, weight: Any = None, density: bool = False,  # noqa: A002
              out: Any = None) -> Any:
    """How many elements fall into each bin, or how much weight: (hist, bin_edges).

    Bin i is [edge_i, edge_i+1); the last one holds its right edge too. What lies outside is not counted.

    Args:
        bins: how many bins of equal width, or a 1-d tensor of edges in increasing order.
        range: where bins of equal width begin and end; by default the least and the largest element.
        weight: of each element.
        density: divide by the total and by the widths, so that the area is 1.
    Shape: x of any shape -> hist (bins), bin_edges (bins + 1). dtype: float32 or float64, kept. No derivative.
    Raises:
        RuntimeError: for bins < 1, a range that is not finite or the wrong way round, a weight of another shape or dtype.
        NotImplementedError: for other dtypes.
    """
    require_tensor("histogram", input)
    if isinstance(bins, TensorBase) and range is not None:
        raise TypeError("histogram() received an invalid combination of arguments: range= goes with a number of bins, not with edges")
    y, edges = _counted(input.reshape(-1, 1), [bins], range, None if weight is None else weight.reshape(-1), density)
    if out is not None:
        return return_types.histogram((put_out(y, out[0]), put_out(edges[0], out[1])))
    return return_types.histogram((y, edges[0]))


@by_example
def histogramdd(input: Any, bins: Any, range: Sequence[float] | None = None, weight: Any = None, density: bool = False) -> Any:  # noqa: A002
    """A histogram in D dimensions of points with D coordinates: (hist, bin_edges).

    Args:
        bins: how many bins in every dimension, or a list of D such numbers, or of D tensors of edges.
        range: (low, high) of each dimension, in one list; by default the least and the largest coordinate.
        weight: of each point.
        density: divide by the total and by the volumes of the bins.
    Shape: x (*, D), weight (*) -> hist (bins_1, ..., bins_D), a tuple of D tensors of edges. dtype: float32 or float64. No derivative.
    Raises:
        RuntimeError: if the number of bins is not D, and as `histogram` does.
    """
    require_tensor("histogramdd", input)
    if isinstance(bins, (int, np.integer)):
        bins = [bins] * (input._array.shape[-1] if input._array.ndim else 1)
    y, edges = _counted(input, list(bins), range, weight, density)
    return return_types.histogramdd((y, tuple(engine_state.wrap(e._array) for e in edges)))
