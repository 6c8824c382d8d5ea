"""Images read at given points: `grid_sample`, and `affine_grid`, which makes points from affine maps.

Every mode comes down to one operation: y[n, c, q] = sum over k of weights[n, k, q] * x[n, c, places[n, k, q]], a weighted sum of the
neighbours of each point. It is linear in x and in the weights, so that it and its two gradients are each other's derivatives. The
weights are small functions of the coordinates, made of plain operations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.grad_mode import by_example
from mytorch.ops.autocast import full_precision, lower_precision
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, FLOAT32, Op, apply, narrowed, require_tensor, widened
from mytorch.ops.elementwise import where
from mytorch.ops.joining import stack
from mytorch.ops.linalg import matmul_function
from mytorch.ops.pointwise import no_gradient
from mytorch.ops.shape import reshape

__mytorch__ = True


# ---- weighted sums of points --------------------------------------------------------------------------------------------------


@kernel
def sample_points(x: Any, weights: Any, places: Any) -> Any:
    """y (N, C, Q): the sum over k of weights (N, K, Q) times x (N, C, P) at places (N, K, Q)."""
    wide, w = widened(x), widened(weights)
    y = np.zeros((*x.shape[:2], places.shape[2]), wide.dtype)
    for n, k in np.ndindex(places.shape[:2]):
        part = np.take(wide[n], places[n, k], axis=1)
        part *= w[n, k]
        y[n] += part
    return narrowed(y, x.dtype)


@kernel
def sample_points_grad_input(g: Any, weights: Any, places: Any, *, size: int) -> Any:
    """The gradient of x (N, C, size): each g (N, C, Q) times its weights, added where it was read."""
    wide, w = widened(g), widened(weights)
    dx = np.zeros((*g.shape[:2], size), wide.dtype)
    for n, c in np.ndindex(dx.shape[:2]):
        dx[n, c] = np.bincount(places[n].reshape(-1), (w[n] * wide[n, c]).reshape(-1), minlength=size)
    return narrowed(dx, g.dtype)


@kernel
def sample_points_grad_weight(g: Any, x: Any, places: Any) -> Any:
    """The gradient of the weights (N, K, Q): g times x where it was read, summed over the channels."""
    wide, values = widened(g), widened(x)
    dw = np.zeros(places.shape, wide.dtype)
    for n, k in np.ndindex(places.shape[:2]):
        dw[n, k] = np.einsum("cq,cq->q", wide[n], np.take(values[n], places[n, k], axis=1))
    return narrowed(dw, g.dtype)


_sample_op: Op = Op(
    "grid_sampler", sample_points,
    lambda g, weights, places, x_shape: _grad_input_op(g, weights, places, size=x_shape[2]),
    lambda g, x, places: _grad_weight_op(g, x, places), None)
_grad_input_op: Op = Op(
    "grid_sampler_backward", sample_points_grad_input,
    lambda h, weights, places: _sample_op(h, weights, places),
    lambda h, g, places: _grad_weight_op(g, h, places), None)
_grad_weight_op: Op = Op(
    "grid_sampler_backward", sample_points_grad_weight,
    lambda v, x, places: _sample_op(x, v, places),
    lambda v, g, places, x_shape: _grad_input_op(g, v, places, size=x_shape[2]), None)


# ---- coordinates --------------------------------------------------------------------------------------------------------------


def _reflected(x: Any, low: float, high: float) -> tuple[Any, Any]:
    """x mirrored at low and high until it lies between them, and the slope of that, 1 or -1."""
    span = x.dtype.type(high - low)
    if span == 0:
        return np.zeros_like(x), np.zeros_like(x)
    away = np.abs(x - x.dtype.type(low))
    rest = np.fmod(away, span)
    odd = np.floor(away / span) % 2 != 0
    sign = np.where(x < low, -1, 1) * np.where(odd, -1, 1)
    return np.where(odd, span - rest, rest) + x.dtype.type(low), sign.astype(x.dtype)


def _padded(x: Any, size: int, mode: str, align_corners: bool) -> tuple[Any, Any]:
    """Coordinates brought into the image as the padding mode says, and the slope of that."""
    if mode == "zeros":
        return x, np.ones_like(x)
    slope: Any = 1
    if mode == "reflection":
        x, slope = _reflected(x, 0, size - 1) if align_corners else _reflected(x, -0.5, size - 0.5)
    inside = (x > 0) & (x < size - 1)
    return np.fmin(np.fmax(x, 0), size - 1).astype(x.dtype, copy=False), (inside * slope).astype(x.dtype)


_padded_op: Op = Op(
    "grid_sampler_pad", lambda x, *, size, mode, align_corners: _padded(x, size, mode, align_corners)[0],
    lambda g, x, size, mode, align_corners: g * _slope_op(x, size=size, mode=mode, align_corners=align_corners))
_slope_op: Op = Op("grid_sampler_slope", lambda x, *, size, mode, align_corners: _padded(x, size, mode, align_corners)[1], no_gradient)


def _ones(first: Any, *others: Any) -> Any:
    """Ones of the coordinates' shape."""
    return np.ones_like(first)


_ones_op: Op = Op("ones_like", _ones, joint=lambda g, inputs: [no_gradient(g)] * len(inputs))


def _source(x: Any, size: int, align_corners: bool) -> Any:
    """-1 to 1 as places on the axis: from first to last centre, or from edge to edge."""
    return (x + 1) * ((size - 1) / 2) if align_corners else ((x + 1) * size - 1) * 0.5


def _whole(x: Any) -> Any:
    """Whole numbers as int64; what no int64 can hold is far outside."""
    return np.where(np.abs(x) < 1e9, x, -1e9).astype(np.int64)


def _taps(sources: Sequence[Any], sizes: Sequence[int], mode: str, padding_mode: str,
          align_corners: bool) -> list[list[tuple[Any, Any]]]:
    """Per dimension, the neighbours along it: (places as an array, weights as a Tensor)."""
    found: list[list[tuple[Any, Any]]] = []
    for x, size in zip(sources, sizes, strict=True):
        pad = {"size": size, "mode": padding_mode, "align_corners": align_corners}
        if mode == "bicubic":
            low = np.floor(x._array)
            weights = _cubic_weights(x - x.new_tensor(low))
            found.append([(_whole(_padded(low + i, size, padding_mode, align_corners)[0]), w) for i, w in zip(range(-1, 3), weights)])
            continue
        x = x if padding_mode == "zeros" else apply(_padded_op, (x,), pad)
        if mode == "nearest":
            found.append([(_whole(np.rint(x._array)), apply(_ones_op, (x,)))])
        else:
            low = np.floor(x._array)
            share = x - x.new_tensor(low)
            found.append([(_whole(low), 1 - share), (_whole(low) + 1, share)])
    return found


def _cubic_weights(t: Any) -> list[Any]:
    """Keys' cubic convolution with a = -0.75 at the neighbours -1, 0, 1 and 2 of a point t behind neighbour 0."""
    a = -0.75

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _sampled(x: Any, grid: Any, mode: str, padding_mode: str, align_corners: bool) -> Any:
    sizes = x._array.shape[2:]
    shape = (x._array.shape[0], math.prod(grid._array.shape[1:-1]))
    # grid[..., 0] is the last dimension of x
    sources = [_source(reshape(grid[..., len(sizes) - 1 - d], shape), n, align_corners) for d, n in enumerate(sizes)]
    places, weights = [], []
    for corner in itertools.product(*_taps(sources, sizes, mode, padding_mode, align_corners)):
        flat: Any = 0
        inside: Any = True
        weight: Any = None
        for (place, w), n in zip(corner, sizes, strict=True):
            inside = inside & (place >= 0) & (place < n)
            flat = flat * n + np.clip(place, 0, n - 1)
            weight = w if weight is None else weight * w
        places.append(flat)
        weights.append(where(x.new_tensor(inside, dtype=dtypes.bool_), weight, 0.0))
    flat_x = reshape(x, (*x._array.shape[:2], math.prod(sizes)))
    y = apply(_sample_op, (flat_x, stack(weights, 1), np.stack(places, 1)))
    return reshape(y, (*x._array.shape[:2], *grid._array.shape[1:-1]))


# ---- the doors ----------------------------------------------------------------------------------------------------------------

_MODES, _PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def _warn_align() -> None:
    import warnings
    warnings.warn("Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
                  "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.", UserWarning,
                  stacklevel=3)


def _check(x: Any, grid: Any, mode: str) -> None:
    require_tensor("grid_sampler", x, "input", 1)
    require_tensor("grid_sampler", grid, "grid", 2)
    a, b = x._array, grid._array
    sizes = f"got input with sizes {list(a.shape)} and grid with sizes {list(b.shape)}"
    if a.shape[:1] != b.shape[:1]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, but {sizes}")
    if b.ndim == 0 or b.shape[-1] != a.ndim - 2:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {a.ndim - 2} in last dimension, but got grid with sizes "
                           f"{list(b.shape)}")
    if a.ndim not in (4, 5) or a.ndim != b.ndim:
        raise RuntimeError(f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but {sizes}")
    for d in range(2, a.ndim):
        if a.shape[d] == 0:
            raise RuntimeError(f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                               f"{list(a.shape)} with dimension {d} being empty")
    if mode == "bicubic" and a.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if a.dtype.kind not in "fV":
        raise NotImplementedError(f"\"grid_sampler_{a.ndim - 2}d_cpu_kernel_impl\" not implemented for '{dtypes.legacy_name(x.dtype)}': "
                                  "convert with .float()")
    if a.dtype != b.dtype:
        raise RuntimeError(f"grid_sampler(): expected scalar type {dtypes.legacy_name(x.dtype)} but found {dtypes.legacy_name(grid.dtype)}: "
                           "input and grid must have one dtype")


@by_example
def _run(x: Any, grid: Any, mode: str, padding_mode: str, align_corners: bool) -> Any:
    _check(x, grid, mode)
    if x._array.dtype in (FLOAT16, BFLOAT16_NP):
        wide = dtypes.from_numpy_dtype(FLOAT32)
        return _sampled(x.to(wide), grid.to(wide), mode, padding_mode, align_corners).to(x.dtype)
    return _sampled(x, grid, mode, padding_mode, align_corners)


@by_example
@full_precision
def grid_sample(input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None) -> Any:  # noqa: A002
    """Read images at points: y[n, :, i, j] is input[n] at the point grid[n, i, j] = (x, y), where -1 and 1 are the image's borders.

    Args:
        mode: 'bilinear' (of volumes: trilinear), 'nearest', or 'bicubic' (images only).
        padding_mode: what is outside: 'zeros', 'border' (the nearest pixel), 'reflection' (mirrored at the borders).
        align_corners: -1 and 1 are the centres of the corner pixels, not their outer edges. None means False, and warns.
    Shape: input (N, C, H, W), grid (N, H', W', 2) -> (N, C, H', W'); or (N, C, D, H, W), (N, D', H', W', 3) -> (N, C, D', H', W').
        dtype: floating, kept.
    Raises:
        ValueError: for an unknown mode. RuntimeError: for shapes or dtypes that do not fit. NotImplementedError: for integers.
    Derivative: for input g times the weights of the neighbours; for grid their slopes; zero for 'nearest'.
    Source: Jaderberg et al. 2015, section 3.3, arXiv:1506.02025; bicubic: Keys 1981, with a = -0.75
    """
    if mode not in _MODES:
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in _PADDINGS:
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
                         f"'{padding_mode}'")
    if align_corners is None:
        _warn_align()
    return _run(input, grid, mode, padding_mode, bool(align_corners))


@by_example
@full_precision
def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:  # noqa: A002
    """`nn.functional.grid_sample` with its modes as numbers: 0 'bilinear', 1 'nearest', 2 'bicubic'; 0 'zeros', 1 'border', 2 'reflection'."""
    return _run(input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], align_corners)


def grid_sampler_2d(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:  # noqa: A002
    """`grid_sampler` for images. Shape: input (N, C, H, W), grid (N, H', W', 2) -> (N, C, H', W')."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:  # noqa: A002
    """`grid_sampler` for volumes. Shape: input (N, C, D, H, W), grid (N, D', H', W', 3) -> (N, C, D', H', W')."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


@lower_precision
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    """Points for `grid_sample` under affine maps: grid[n, i, j] = theta[n] @ (x_j, y_i, 1).

    Args:
        size: of the images to be made, (N, C, H, W) or (N, C, D, H, W).
        align_corners: as for `grid_sample`.
    Shape: theta (N, 2, 3) -> (N, H, W, 2); theta (N, 3, 4) -> (N, D, H, W, 3). dtype: floating, kept.
    Raises:
        ValueError: for other shapes or dtypes. NotImplementedError: for sizes of other lengths.
    Derivative: the sum over all points of g times (x, y, 1).
    Source: Jaderberg et al. 2015, equation 1, arXiv:1506.02025
    """
    require_tensor("affine_grid_generator", theta, "theta", 1)
    sizes = tuple(int(n) for n in size)
    if align_corners is None:
        _warn_align()
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(sizes) not in (4, 5):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
                                  f"Got size {sizes}.")
    dims = len(sizes) - 2
    if theta._array.ndim != 3 or theta._array.shape[1:] != (dims, dims + 1):
        raise ValueError(f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size {sizes}. Got {theta.shape}.")
    if min(sizes) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {sizes}")
    if theta._array.shape[0] != sizes[0]:
        raise RuntimeError(f"affine_grid: theta has {theta._array.shape[0]} matrices, size asks for {sizes[0]} images")
    axes = []
    for n in sizes[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        axes.append(line if align_corners or n == 1 else line * ((n - 1) / n))
    points = np.stack([*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(sizes[2:])], -1).reshape(1, -1, dims + 1)
    return reshape(matmul_function(theta.new_tensor(points, dtype=theta.dtype).expand(sizes[0], -1, -1), theta.mT), (sizes[0], *sizes[2:], dims))


__all__ = ["affine_grid", "grid_sample", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d"]
