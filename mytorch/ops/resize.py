"""Images in other sizes: interpolation, and pixels moved between channels and space.

Interpolation is separable and linear: along one dimension each output is a weighted sum of a few inputs, `places` and `weights`.
One operation, applied to one dimension after the other, serves all modes; its derivative is its transpose.
"""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.node_names import titled
from mytorch.ops.adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, Op, apply, narrowed, require_tensor, widened
from mytorch.ops.shape import permute, reshape

__mytorch__ = True


@kernel
def blend(x: Any, *, dim: int, size: int, places: Any, weights: Any) -> Any:
    """y[i] = sum over k of weights[i, k] * x[places[i, k]] along a dimension; weights None: y[i] = x[places[i, 0]]."""
    if weights is None:
        return np.take(x, places[:, 0], axis=dim)
    if x.dtype == np.uint8:
        return _blend_bytes(x, dim, places, weights)
    wide = widened(x)
    shape = (-1, *[1] * (x.ndim - 1 - dim))
    y: Any = 0
    for k in range(places.shape[1]):
        part = np.take(wide, places[:, k], axis=dim)
        part *= weights[:, k].reshape(shape).astype(wide.dtype)
        y = part if k == 0 else np.add(y, part, out=y)
    return narrowed(y, x.dtype)


def _blend_bytes(x: Any, dim: int, places: Any, weights: Any) -> Any:
    """Blended bytes, as torch blends them: weights as 16-bit fractions, sums rounded to bytes after each dimension."""
    matrix = np.zeros((len(places), x.shape[dim]))
    np.add.at(matrix, (np.arange(len(places))[:, None], places), weights)
    bits = next(b for b in range(22) if int(0.5 + matrix.max() * 2 ** (b + 1)) >= 2 ** 15)
    matrix = np.trunc(matrix * 2 ** bits + np.where(matrix < 0, -0.5, 0.5))
    total = np.moveaxis(np.moveaxis(x, dim, -1).astype(np.float64) @ matrix.T, -1, dim)  # whole numbers below 2^53: exact
    return np.clip(np.floor(total / 2 ** bits + 0.5), 0, 255).astype(np.uint8)


@kernel
def blend_grad(g: Any, *, dim: int, size: int, places: Any, weights: Any) -> Any:
    """The transpose of `blend`: one product with the matrix of the weights."""
    wide = widened(g)
    out = g.shape[dim]
    matrix = np.zeros((size, out), wide.dtype)
    np.add.at(matrix, (places, np.arange(out)[:, None]), 1 if weights is None else weights)
    dx = np.matmul(matrix, wide.reshape(math.prod(g.shape[:dim]), out, math.prod(g.shape[dim + 1:])))
    return narrowed(dx.reshape(*g.shape[:dim], size, *g.shape[dim + 1:]), g.dtype)


_blend_op: Op = Op("upsample", blend, lambda g, dim, size, places, weights: _blend_grad_op(
    g, dim=dim, size=size, places=places, weights=weights))
_blend_grad_op: Op = Op("upsample_backward", blend_grad, lambda h, dim, size, places, weights: _blend_op(
    h, dim=dim, size=size, places=places, weights=weights))


def _source(out: int, scale: float, size: int, align_corners: bool, kind: Any) -> Any:
    """Where each output lies on the input's axis."""
    i = np.arange(out, dtype=kind)
    if align_corners:
        return i * kind((size - 1) / (out - 1) if out > 1 else 0)
    return (i + kind(0.5)) * kind(scale) - kind(0.5)


def _nearest(out: int, scale: float, size: int, exact: bool) -> tuple[Any, None]:
    i = np.arange(out, dtype=np.float32) + np.float32(0.5 if exact else 0)
    places = np.minimum(np.floor(i * np.float32(scale)).astype(np.int64), size - 1)
    return places[:, None], None


def _linear(out: int, scale: float, size: int, align_corners: bool, kind: Any) -> tuple[Any, Any]:
    where = np.maximum(_source(out, scale, size, align_corners, kind), 0)
    low = np.minimum(where.astype(np.int64), size - 1)
    share = where - low
    return np.stack([low, np.minimum(low + 1, size - 1)], 1), np.stack([1 - share, share], 1)


def _cubic(out: int, scale: float, size: int, align_corners: bool, kind: Any) -> tuple[Any, Any]:
    """Keys' cubic convolution with a = -0.75 over four neighbours; the border repeats."""
    where = _source(out, scale, size, align_corners, kind)
    low = np.floor(where).astype(np.int64)
    t = where - low
    a = kind(-0.75)
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (t + 1, 2 - t)]
    return np.clip(low[:, None] + np.arange(-1, 3), 0, size - 1), np.stack([far[0], near[0], near[1], far[1]], 1)


def _antialiased(out: int, scale: float, size: int, cubic: bool, kind: Any) -> tuple[Any, Any]:
    """Weights of a filter as wide as the step between outputs, so that shrinking averages instead of skipping: a triangle, or Keys'
    cubic with a = -0.5."""
    widen = kind(max(scale, 1))
    centre = kind(scale) * (np.arange(out, dtype=kind) + kind(0.5))
    reach = (2 if cubic else 1) * widen
    first = np.maximum((centre - reach + kind(0.5)).astype(np.int64), 0)
    last = np.minimum((centre + reach + kind(0.5)).astype(np.int64), size)
    places = first[:, None] + np.arange(max(int((last - first).max(initial=1)), 1))
    d = np.abs((places - centre[:, None] + kind(0.5)) / widen).astype(kind)
    if cubic:
        weights = np.where(d < 1, (kind(1.5) * d - kind(2.5)) * d * d + 1, kind(-0.5) * (((d - 5) * d + 8) * d - 4))
        weights[d >= 2] = 0
    else:
        weights = np.maximum(1 - d, 0)
    weights[places >= last[:, None]] = 0
    return np.minimum(places, size - 1), weights / weights.sum(axis=1, keepdims=True)


@functools.lru_cache(maxsize=64)
def _table(mode: str, out: int, scale: float, size: int, align_corners: bool, antialias: bool, kind: Any) -> tuple[Any, Any]:
    """The places and weights of a mode, which networks ask for at every step. Nobody writes to them."""
    if mode.startswith("nearest"):
        return _nearest(out, scale, size, mode == "nearest-exact")
    if antialias:
        return _antialiased(out, scale, size, mode == "bicubic", kind)
    return (_cubic if mode == "bicubic" else _linear)(out, scale, size, align_corners, kind)


_LINEAR = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}
_AREA: dict[int, Any] = {3: adaptive_avg_pool1d, 4: adaptive_avg_pool2d, 5: adaptive_avg_pool3d}


def _output_size(x: Any, size: Any, scale_factor: Any,
                 recompute: bool | None) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    """The output's size, and the given factors where they, not the sizes, decide where to look."""
    spatial = x._array.shape[2:]
    dims = len(spatial)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        wanted = tuple(int(n) for n in size) if isinstance(size, (tuple, list)) else (int(size),) * dims
        if len(wanted) != dims:
            raise ValueError("Input and output must have the same number of spatial dimensions, but got input with spatial "
                             f"dimensions of {list(spatial)} and output size of {size}. Please provide input tensor in (N, C, d1, d2, "
                             "...,dK) format and output size in (o1, o2, ...,oK) format.")
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        factors = None
    elif scale_factor is not None:
        each = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * dims
        factors = tuple(float(f) for f in each)
        if len(factors) != dims:
            raise ValueError("Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
                             f"dimensions of {list(spatial)} and scale_factor of shape {scale_factor}. Please provide input "
                             "tensor in "
                             "(N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format.")
        wanted = tuple(math.floor(n * f) for n, f in zip(spatial, factors))
        factors = None if recompute else factors
    else:
        raise ValueError("either size or scale_factor should be defined")
    if min(spatial, default=0) <= 0 or min(wanted, default=0) <= 0:
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input {list(spatial)} and output "
                           f"{list(wanted)}")
    return wanted, factors


def _check_mode(x: Any, mode: str, align_corners: bool | None) -> None:
    ndim = x._array.ndim
    modes = ("nearest", "nearest-exact", "area", *_LINEAR)
    if ndim not in (3, 4, 5) or mode not in modes:
        raise NotImplementedError(f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: "
                                  f"{' | '.join(modes)} (got {mode})")
    if mode in _LINEAR:
        if _LINEAR[mode] != ndim:
            raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {_LINEAR[mode]}D input")
    elif align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
                         "trilinear")
    if x._array.dtype.kind in "biuc" and not (x._array.dtype == np.uint8 and mode in ("nearest", "nearest-exact", "bilinear", "bicubic")):
        raise NotImplementedError(f"\"upsample_{mode}\" not implemented for '{dtypes.legacy_name(x.dtype)}': convert with "
                                  ".float()")


def interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",  # noqa: A002
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False) -> Any:
    """Resize the spatial dimensions to `size`, or by `scale_factor`.

    Args:
        mode: 'nearest', 'nearest-exact', 'linear' (3 dimensions), 'bilinear' and 'bicubic' (4), 'trilinear' (5) or 'area'.
        align_corners: for the linear and cubic modes: corner pixels keep their centres, instead of the corners their place.
        recompute_scale_factor: take the factor from the rounded sizes, not from scale_factor.
        antialias: for 'bilinear' and 'bicubic': where the image shrinks, average over all pixels of a step (not for 16-bit floats).
    Shape: (N, C, *) with one to three spatial dimensions -> (N, C, *size).
    Raises:
        ValueError: for sizes, factors or options that do not fit.
        NotImplementedError: for other dtypes or modes.
    Derivative: the transposed interpolation of g.
    """
    require_tensor("interpolate", input)
    _check_mode(input, mode, align_corners)
    if antialias:
        if mode not in ("bilinear", "bicubic") or input._array.ndim != 4:
            raise ValueError("Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input")
        if input._array.dtype not in (np.float32, np.float64, np.uint8):
            raise NotImplementedError(f"\"compute_index_ranges_weights\" not implemented for '{dtypes.legacy_name(input.dtype)}': convert with "
                                      ".float()")
    wanted, factors = _output_size(input, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return _AREA[input._array.ndim](input, wanted)
    return _resized(input, wanted, factors, mode, bool(align_corners), antialias)


def _resized(x: Any, wanted: tuple[int, ...], factors: tuple[float | None, ...] | None, mode: str, align_corners: bool, antialias: bool) -> Any:
    """x blended along each spatial dimension to the sizes `wanted`; factors, where given, decide where to look."""
    kind = np.float64 if x._array.dtype in (np.float64, np.uint8) else np.float32
    short = mode in _LINEAR and x._array.dtype in (FLOAT16, BFLOAT16_NP)
    y = x.float() if short else x  # rounded once, after all dimensions
    # from the last dimension to the first: the order in which torch blends, for equal rounding
    for axis in reversed(range(len(wanted))):
        n, out = x._array.shape[2 + axis], wanted[axis]
        factor = None if factors is None else factors[axis]
        scale = 1 / factor if factor else n / out
        if antialias and align_corners:
            scale = (n - 1) / (out - 1) if out > 1 else 0
        places, weights = _table(mode, out, scale, n, align_corners, antialias, kind)
        y = apply(_blend_op, (y,), {"dim": 2 + axis, "size": n, "places": places, "weights": weights})
    return titled(y.to(x.dtype) if short else y, f"upsample_{mode.replace('-', '_')}")


def _upsample_bilinear2d_aa(input: Any, output_size: Any, align_corners: bool, scale_factors: Any = None, *,  # noqa: A002
                            scales_h: float | None = None, scales_w: float | None = None) -> Any:
    """`interpolate` with mode='bilinear' and antialias=True, under torch's lower name: by output_size, scale_factors, or a size and scales."""
    if scales_h is None and scales_w is None:
        factors = None if scale_factors is None else tuple(scale_factors)
        return interpolate(input, output_size, factors, "bilinear", align_corners, antialias=True)
    return _resized(input, tuple(output_size), (scales_h, scales_w), "bilinear", align_corners, True)


def upsample(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",  # noqa: A002
             align_corners: bool | None = None) -> Any:
    """`interpolate` under its old name."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:  # noqa: A002
    """`interpolate` with mode='nearest', under its old name."""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:  # noqa: A002
    """`interpolate` with mode='bilinear' and align_corners=True, under its old name."""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:  # noqa: A002
    """Channels become pixels: (*, C * r^2, H, W) -> (*, C, H * r, W * r).

    Raises:
        RuntimeError: if r^2 does not divide the channels.
    Source: Shi et al. 2016, arXiv:1609.05158
    """
    require_tensor("pixel_shuffle", input)
    shape, r = input._array.shape, upscale_factor
    if len(shape) < 3:
        raise RuntimeError(f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {len(shape)} "
                           "dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = shape
    if c % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                           "upscale_factor, "
                           f"but input.size(-3)={c} is not divisible by {r * r}")
    n = len(lead)
    split = reshape(input, (*lead, c // (r * r), r, r, h, w))
    moved = permute(split, (*range(n), n, n + 3, n + 1, n + 4, n + 2))  # (*, C, H, r, W, r)
    return reshape(moved, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:  # noqa: A002
    """Pixels become channels: (*, C, H * r, W * r) -> (*, C * r^2, H, W); the inverse of `pixel_shuffle`.

    Raises:
        RuntimeError: if r does not divide height and width.
    """
    require_tensor("pixel_unshuffle", input)
    shape, r = input._array.shape, downscale_factor
    if len(shape) < 3:
        raise RuntimeError(f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {len(shape)} "
                           "dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = shape
    for name, size, place in (("height", h, -2), ("width", w, -1)):
        if size % r:
            raise RuntimeError(f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                               f"input.size({place})={size} is not "
                               f"divisible by {r}")
    n = len(lead)
    split = reshape(input, (*lead, c, h // r, r, w // r, r))
    moved = permute(split, (*range(n), n, n + 2, n + 4, n + 1, n + 3))  # (*, C, r, r, H, W)
    return reshape(moved, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> Any:  # noqa: A002
    """Channels of groups interleaved: (N, groups * n, *) read as (groups, n), written as (n, groups).

    Source: Zhang et al. 2017, arXiv:1707.01083
    """
    require_tensor("channel_shuffle", input)
    shape = input._array.shape
    if len(shape) < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if shape[1] % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} groups.")
    split = reshape(input, (shape[0], groups, shape[1] // groups, *shape[2:]))
    return reshape(permute(split, (0, 2, 1, *range(3, len(shape) + 1))), shape)


__all__ = ["channel_shuffle", "interpolate", "pixel_shuffle", "pixel_unshuffle", "upsample", "upsample_bilinear",
           "upsample_nearest"]
