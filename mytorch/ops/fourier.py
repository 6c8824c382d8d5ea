"""Discrete Fourier transforms: what `mytorch.fft` offers.

Three operations carry everything. Each is the adjoint of another one up to a factor on some coefficients, so that their derivatives
of every order are transforms again:

    complex to complex    y_k = s * sum_n x_n e^(-+2 pi i k n / N)
    real to complex       the first N // 2 + 1 of those y_k; the others are their conjugates
    complex to real       the inverse of that: the missing half is taken to be conjugate

`norm` says what s is: 'backward' (the default) divides in the inverse transforms by N, 'forward' in the others, 'ortho' in both by
sqrt(N). The transforms themselves are NumPy's (pocketfft), in float32 for float32.
Source: Cooley, Tukey 1965, An algorithm for the machine calculation of complex Fourier series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mytorch import errors
from mytorch.dtypes import FLOATING, cast, from_numpy_dtype, get_default_dtype, legacy_name
from mytorch.node_names import titled
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, Op, TensorBase, apply, floating, put_out
from mytorch.ops.complex_parts import conj
from mytorch.ops.create import as_dtype, finished
from mytorch.ops.layout import row_major
from mytorch.ops.shape import pad_op, roll
from mytorch.ops.views import narrow

__mytorch__ = True

# The adjoint of a transform runs the other way with the same factor, which has the other name there.
_ADJOINT = {"backward": "forward", "forward": "backward", "ortho": "ortho"}

# ---- the three operations -----------------------------------------------------------------------------------------------------


def _c2c(x: Any, *, dim: tuple[int, ...], norm: Any, inverse: bool) -> Any:
    x = floating(x)
    if not dim:
        return x.astype(np.result_type(x.dtype, np.complex64))
    return row_major((np.fft.ifftn if inverse else np.fft.fftn)(x, axes=dim, norm=norm))


def _r2c(x: Any, *, dim: int, norm: Any) -> Any:
    return row_major(np.fft.rfft(floating(x), axis=dim, norm=norm))


def _c2r(x: Any, *, dim: int, norm: Any, n: int) -> Any:
    return row_major(np.fft.irfft(floating(x), n, axis=dim, norm=norm))


def _weigh(x: Any, *, dim: int, n: int, factor: float) -> Any:
    """The coefficients that stand for two, themselves and their conjugates, times a factor: all but 0 and n / 2."""
    y = x.copy()
    y[(slice(None),) * dim + (slice(1, (n + 1) // 2),)] *= factor
    return y


c2c_op: Op = Op("fft_c2c", _c2c, lambda g, dim, norm, inverse: c2c_op(g, dim=dim, norm=_ADJOINT[norm], inverse=not inverse),
                holomorphic=False)
r2c_op: Op = Op("fft_r2c", _r2c, lambda g, x_shape, dim, norm: c2r_op(weigh_op(g, dim=dim, n=x_shape[dim], factor=0.5), dim=dim,
                                                                     norm=_ADJOINT[norm], n=x_shape[dim]), holomorphic=False)
c2r_op: Op = Op("fft_c2r", _c2r, lambda g, dim, norm, n: weigh_op(r2c_op(g, dim=dim, norm=_ADJOINT[norm]), dim=dim, n=n, factor=2.0),
                holomorphic=False)
weigh_op: Op = Op("fft_weigh", _weigh, lambda g, dim, n, factor: weigh_op(g, dim=dim, n=n, factor=factor))


# ---- checks at the door -------------------------------------------------------------------------------------------------------


def _check_input(name: str, x: Any, real: bool) -> None:
    if not isinstance(x, TensorBase):
        raise errors.type_error(f"fft_{name}", "input", 1, "Tensor", x)
    dtype = x._array.dtype
    if real and dtype.kind == "c":
        raise RuntimeError(f"{name} expects a real input tensor, but got {legacy_name(from_numpy_dtype(dtype))}")
    if dtype in (FLOAT16, BFLOAT16_NP):
        raise RuntimeError(f"Unsupported dtype {legacy_name(from_numpy_dtype(dtype))}: convert with .float() first")


def _check_norm(norm: Any) -> str:
    if norm is None:
        return "backward"
    if norm not in _ADJOINT:
        raise RuntimeError(f'Invalid normalization mode: "{norm}": expected "forward", "backward" or "ortho"')
    return str(norm)


def _check_dim(dim: int, ndim: int) -> int:
    if ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -ndim <= dim < ndim:
        raise errors.dim_error(dim, ndim)
    return dim % ndim


def _check_size(n: int) -> int:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _plan(name: str, x: Any, s: Any, dim: Any) -> tuple[list[int | None], tuple[int, ...]]:
    """The sizes asked for (None: as they are) and the dimensions to transform, counted from the front."""
    ndim = x._array.ndim
    s = (s,) if isinstance(s, int) else s
    dim = (dim,) if isinstance(dim, int) else dim
    if dim is not None:
        found = tuple(_check_dim(int(d), ndim) for d in dim)
        if len(set(found)) != len(found):
            raise RuntimeError("FFT dims must be unique")
    elif s is not None:
        if len(s) > ndim:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {ndim} dimensions.")
        found = tuple(range(ndim - len(s), ndim))
    else:
        found = tuple(range(ndim))
    if s is None:
        return [None] * len(found), found
    if len(s) != len(found):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    lone = name.endswith("fft")  # one dimension: there, -1 does not stand for all points
    return [None if n == -1 and not lone else _check_size(int(n)) for n in s], found


def _resized(x: Any, sizes: Sequence[int | None], dims: Sequence[int]) -> Any:
    """x cut, or padded with zeros, to the sizes along the dimensions."""
    for n, d in zip(sizes, dims, strict=True):
        have = x._array.shape[d]
        if n is None or n == have:
            _check_size(have)
        elif n < have:
            x = narrow(x, d, 0, n)
        else:
            widths = tuple((0, n - have if i == d else 0) for i in range(x._array.ndim))
            x = apply(pad_op, (x,), {"widths": widths, "value": 0.0})
    return x


# ---- transforms over any number of dimensions ---------------------------------------------------------------------------------


@full_precision
def _complex(name: str, x: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Any:
    _check_input(name, x, False)
    sizes, dims = _plan(name, x, s, dim)
    y = apply(c2c_op, (_resized(x, sizes, dims),), {"dim": dims, "norm": _check_norm(norm), "inverse": inverse})
    return y if inverse or x._array.dtype.kind == "c" else titled(y, "fft_r2c")


@full_precision
def _from_real(name: str, x: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Any:
    """rfftn, and ihfftn if inverse: half of the coefficients of a real tensor; the last dimension goes first."""
    _check_input(name, x, not inverse or name == "ihfft")
    sizes, dims = _plan(name, x, s, dim)
    _check_input(name, x, True)
    mode = _check_norm(norm)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    y = apply(r2c_op, (_resized(x, sizes, dims),), {"dim": dims[-1], "norm": _ADJOINT[mode] if inverse else mode})
    if inverse:  # the inverse of a real tensor is the conjugate of the forward transform with the inverse's factor
        y = conj(y)
    if len(dims) > 1:
        y = titled(apply(c2c_op, (y,), {"dim": dims[:-1], "norm": mode, "inverse": inverse}), "fft_r2c")
    return y


@full_precision
def _to_real(name: str, x: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Any:
    """irfftn, and hfftn if not inverse: a real tensor from half of the coefficients; the last dimension goes last."""
    _check_input(name, x, False)
    sizes, dims = _plan(name, x, s, dim)
    mode = _check_norm(norm)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    last = 2 * (x._array.shape[dims[-1]] - 1) if sizes[-1] is None else sizes[-1]
    _check_size(last)
    x = _resized(x, [*sizes[:-1], last // 2 + 1], dims)
    if len(dims) > 1:
        x = apply(c2c_op, (x,), {"dim": dims[:-1], "norm": mode, "inverse": inverse})
    if not inverse:  # the forward transform of x is the inverse of its conjugate with the forward's factor
        x = conj(x)
    return apply(c2r_op, (x,), {"dim": dims[-1], "norm": mode if inverse else _ADJOINT[mode], "n": last})


def _finish(name: str, y: Any, out: Any) -> Any:
    if out is None:
        return y
    if isinstance(out, TensorBase) and (out._array.dtype.kind == "c") != (y._array.dtype.kind == "c"):
        wanted = "complex" if y._array.dtype.kind == "c" else "floating point"
        raise RuntimeError(f"{name} expects a {wanted} output tensor, but got {legacy_name(from_numpy_dtype(out._array.dtype))}")
    return put_out(y, out)


_SHARED = """
Args:
    {size}
    {dim}
    norm: 'backward' (None is the same), 'forward' or 'ortho': which of the two directions divides by the number of points, or both by its root.
Shape:
    {shape}. float32 -> complex64, float64 -> complex128; integers count as the default float.
Raises:
    RuntimeError: for a size below 1, an unknown norm, dimensions given twice, 16-bit floats{more}.
    IndexError: for a dimension that is not there.
Derivative: {derivative}
Source: Cooley, Tukey 1965; see the module's text for the formula.
"""
_DERIVATIVE = "the adjoint: the transform of g in the other direction with the same factor"
_LONE = ("n: how many points to transform: the input is cut, or padded with zeros.", "dim: along which dimension.")
_MANY = ("s: how many points along each dimension: the input is cut, or padded with zeros; -1 takes all there are.",
         "dim: along which dimensions; all by default, or the last len(s).")


def _document(first: str, lengths: tuple[str, str], shape: str, more: str = "", derivative: str = _DERIVATIVE) -> str:
    size, dim = lengths
    return first + "\n" + _SHARED.format(size=size, dim=dim, shape=shape, more=more, derivative=derivative + ".")


def _family(base: str, run: Callable[..., Any], inverse: bool, what: str, shape: str, more: str = "") -> tuple[Any, Any, Any]:
    """The transforms of one, two and n dimensions: `fft`, `fft2` and `fftn` for base 'fft'."""

    def one(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:  # noqa: A002
        return _finish(base, run(base, input, None if n is None else (n,), (dim,), norm, inverse), out)

    def two(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:  # noqa: A002
        return _finish(f"{base}2", run(f"{base}2", input, s, dim, norm, inverse), out)

    def many(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:  # noqa: A002
        return _finish(f"{base}n", run(f"{base}n", input, s, dim, norm, inverse), out)

    texts = (("", "along one dimension"), ("2", "along two dimensions"), ("n", "along several dimensions"))
    for function, (suffix, where) in zip((one, two, many), texts, strict=True):
        function.__name__ = function.__qualname__ = base + suffix
        function.__doc__ = _document(f"{what} {where}.", _MANY if suffix else _LONE, shape, more)
    return one, two, many


_REAL = ", a complex input"
fft, fft2, fftn = _family("fft", _complex, False, "The discrete Fourier transform", "(*, n, *) -> the same, complex")
ifft, ifft2, ifftn = _family("ifft", _complex, True, "The inverse of `fft`", "(*, n, *) -> the same, complex")
rfft, rfft2, rfftn = _family("rfft", _from_real, False, "The transform of a real tensor, without the half that is conjugate,",
                             "(*, n, *) -> (*, n // 2 + 1, *), complex", _REAL)
irfft, irfft2, irfftn = _family("irfft", _to_real, True, "The inverse of `rfft`, a real tensor,",
                                "(*, m, *) -> (*, n, *), real; n is 2 (m - 1) unless given")
hfft, hfft2, hfftn = _family("hfft", _to_real, False, "The real transform of a tensor whose missing half is conjugate,",
                             "(*, m, *) -> (*, n, *), real; n is 2 (m - 1) unless given")
ihfft, ihfft2, ihfftn = _family("ihfft", _from_real, True, "The inverse of `hfft`, half of the coefficients,",
                                "(*, n, *) -> (*, n // 2 + 1, *), complex", _REAL)


# ---- frequencies and their order ----------------------------------------------------------------------------------------------


def _frequencies(name: str, counts: Any, n: int, d: float, out: Any, dtype: Any, device: Any, requires_grad: bool) -> Any:
    kind = get_default_dtype() if dtype is None and out is None else out.dtype if dtype is None else as_dtype(dtype)
    if kind.category < FLOATING:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    array = counts.astype(np.float64) * (1.0 / (n * d)) if n else counts.astype(np.float64)
    y = finished(cast(array, kind.np), requires_grad, device)
    return y if out is None else put_out(y, out)


def fftfreq(n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
            requires_grad: bool = False) -> Any:
    """The frequency of each coefficient of `fft`: [0, 1, ..., (n - 1) // 2, -(n // 2), ..., -1] / (d n).

    Args:
        d: the time between two samples.
    Raises:
        RuntimeError: for a dtype that is neither floating nor complex.
    """
    k = np.arange(n)
    return _frequencies("fftfreq", np.where(k < (n + 1) // 2, k, k - n), n, d, out, dtype, device, requires_grad)


def rfftfreq(n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """The frequency of each coefficient of `rfft`: [0, 1, ..., n // 2] / (d n).

    Args:
        d: the time between two samples.
    Raises:
        RuntimeError: for a dtype that is neither floating nor complex.
    """
    return _frequencies("rfftfreq", np.arange(n // 2 + 1), n, d, out, dtype, device, requires_grad)


def _shifted(name: str, x: Any, dim: Any, inverse: bool) -> Any:
    if not isinstance(x, TensorBase):
        raise errors.type_error(f"fft_{name}", "input", 1, "Tensor", x)
    shape = x._array.shape
    dims = tuple(range(len(shape))) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if not dims:
        return x.clone()  # type: ignore[attr-defined]
    found = [_check_dim(d, len(shape)) for d in dims]
    return roll(x, tuple((shape[d] + 1) // 2 if inverse else shape[d] // 2 for d in found), tuple(found))


def fftshift(input: Any, dim: Any = None) -> Any:  # noqa: A002
    """The coefficients in the order of their frequencies, zero in the middle. Derivative: `ifftshift` of g."""
    return _shifted("fftshift", input, dim, False)


def ifftshift(input: Any, dim: Any = None) -> Any:  # noqa: A002
    """The order of `fft` again: undoes `fftshift`. Derivative: `fftshift` of g."""
    return _shifted("ifftshift", input, dim, True)
