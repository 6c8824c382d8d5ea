"""Complex numbers: parts, conjugate, angle, and complex tensors from real ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.ops.autocast import full_precision
from mytorch.ops.choices import where
from mytorch.ops.common import Op, apply, put_out, require_tensor
from mytorch.ops.pointwise import is_complex_valued, no_gradient, unary

__mytorch__ = True


_conj_op = Op("conj", lambda x: np.conj(x, out=...), lambda g: conj(g), holomorphic=False)


def conj(input: Any) -> Any:  # noqa: A002
    """The complex conjugate; a real tensor itself. Derivative: conj(g)."""
    return _conj_op(input) if is_complex_valued(input) else input


def conj_physical(input: Any, *, out: Any = None) -> Any:  # noqa: A002
    """The complex conjugate as a copy; here `conj` always is one."""
    y = conj(input)
    return y if out is None else put_out(y, out)


def resolve_conj(input: Any) -> Any:  # noqa: A002
    """The tensor itself: conjugates are never postponed here."""
    return input


def resolve_neg(input: Any) -> Any:  # noqa: A002
    """The tensor itself: negations are never postponed here."""
    return input


_real_op = Op("real", lambda x: x.real, lambda g: g + 0j, view=True, holomorphic=False)
_imag_op = Op("imag", lambda x: x.imag, lambda g: g * 1j, view=True, holomorphic=False)


def real(input: Any) -> Any:  # noqa: A002
    """The real part, a view; a real tensor itself. Derivative: g."""
    return _real_op(input) if is_complex_valued(input) else input


def imag(input: Any) -> Any:  # noqa: A002
    """The imaginary part, a view. Derivative: g * i.

    Raises:
        RuntimeError: for a real tensor.
    """
    if not is_complex_valued(input):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _imag_op(input)


def _angle(x: Any) -> Any:
    y = np.angle(x)
    return np.where(np.isnan(x), x, y).astype(x.dtype) if x.dtype.kind == "f" else y


def _angle_formula(g: Any, x: Any) -> Any:
    if not is_complex_valued(x):
        return no_gradient(g)
    size = (x * x.conj()).real
    return where(size == 0, 0.0, (g * 1j) * x / where(size == 0, size * 0 + 1, size))


angle = unary("angle", _angle, _angle_formula, "The angle of a complex number in radians; 0 or pi for a real one.", rule="float", holomorphic=False)

_complex_op = Op("complex", lambda real, imag: np.asarray(real + 1j * imag, np.result_type(real.dtype, np.complex64)),
                 lambda g: g.real, lambda g: g.imag, holomorphic=False)


def complex_(real: Any, imag: Any, *, out: Any = None) -> Any:
    """real + i * imag, from two tensors of one floating dtype. Derivative: Re(g), Im(g)."""
    require_tensor("complex", real, "real", 1)
    require_tensor("complex", imag, "imag", 2)
    if real._array.dtype != imag._array.dtype:
        raise RuntimeError(f"Expected object of scalar type {dtypes.legacy_name(real.dtype)} but got scalar type "
                           f"{dtypes.legacy_name(imag.dtype)} for second argument")
    if real._array.dtype.kind != "f" or real._array.itemsize < 4:
        raise NotImplementedError(f"complex() of {real.dtype} parts is not supported: convert with .float()")
    y = apply(_complex_op, (real, imag))
    if out is not None and out._array.dtype != y._array.dtype:
        raise RuntimeError(f"Expected object of scalar type {dtypes.legacy_name(y.dtype)} but got scalar type "
                           f"{dtypes.legacy_name(out.dtype)} for argument 'out'")
    return y if out is None else put_out(y, out)


_polar_op: Op = Op("polar", lambda a, b: np.asarray(a * np.cos(b) + 1j * (a * np.sin(b)), np.result_type(a.dtype, np.complex64)),
               lambda g, b: (g * _polar_op(b * 0 + 1, -b)).real, lambda g, a, b: (g * _polar_op(a, -b) * -1j).real, holomorphic=False)


@full_precision
def polar(abs: Any, angle: Any, *, out: Any = None) -> Any:
    """abs * e^(i * angle). Derivative: Re(conj(g) e^(i angle)) and its like for the angle."""
    require_tensor("polar", abs, "abs", 1)
    require_tensor("polar", angle, "angle", 2)
    if abs._array.dtype != angle._array.dtype:
        raise RuntimeError(f"Expected object of scalar type {dtypes.legacy_name(abs.dtype)} but got scalar type "
                           f"{dtypes.legacy_name(angle.dtype)} for second argument")
    if abs._array.dtype.kind != "f":
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {dtypes.legacy_name(abs.dtype)} and "
                           f"{dtypes.legacy_name(angle.dtype)}")
    if abs.dtype is dtypes.float16:
        raise NotImplementedError("\"polar_cpu\" not implemented for 'Half': NumPy has no complex numbers of 16-bit floats; convert with .float()")
    y = _polar_op(abs, angle)
    return y if out is None else put_out(y, out)


_view_as_real_op = Op("view_as_real", lambda x: np.ascontiguousarray(x).view(x.real.dtype).reshape(*x.shape, 2)
                      if not x.flags.c_contiguous else x.reshape(*x.shape, 1).view(x.real.dtype),
                      lambda g: _view_as_complex_op(g), view=True, holomorphic=False)
_view_as_complex_op: Op = Op("view_as_complex", lambda x: np.ascontiguousarray(x).view(np.result_type(x.dtype, np.complex64))[..., 0],
                         lambda g: _view_as_real_op(g), view=True, holomorphic=False)


def view_as_real(input: Any) -> Any:  # noqa: A002
    """A complex tensor (*) as a real one (*, 2): a view."""
    if not is_complex_valued(input):
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _view_as_real_op(input)


@full_precision
def view_as_complex(input: Any) -> Any:  # noqa: A002
    """A real tensor (*, 2) as a complex one (*): a view."""
    if is_complex_valued(input) or input._array.shape[-1:] != (2,):
        raise RuntimeError(f"Tensor must be real with a last dimension of size 2, got shape {list(input._array.shape)}")
    if input._array.dtype.kind != "f" or input._array.itemsize < 4:
        raise NotImplementedError(f"view_as_complex() of a {input.dtype} tensor is not supported: convert with .float()")
    return _view_as_complex_op(input)
