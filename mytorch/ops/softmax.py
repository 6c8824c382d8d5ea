"""Softmax and its relatives along one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.grad_mode import by_example
from mytorch.ops.common import Op, apply, narrowed, put_out, require_tensor, widened, wrap_dim
from mytorch.ops.elementwise import exp, neg
from mytorch.ops.random import exponential_
from mytorch.ops.sums import converted, numpy_names, one_dim, sum_op

__mytorch__ = True

# ---- softmax: the derivative is an operation of its own, which the next derivative needs ---------------------------------------


_NARROW = 32  # NumPy reduces row by row, a call each; for rows up to this size there are faster ways


def _is_narrow(x: Any, dim: int) -> bool:
    return x.ndim > 1 and dim in (x.ndim - 1, -1) and 0 < x.shape[-1] <= _NARROW


def largest(x: Any, dim: int) -> Any:
    """The largest element along `dim`, which is kept; -inf of nothing."""
    if _is_narrow(x, dim):
        columns = np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T)
        return np.maximum.reduce(columns, axis=0).reshape(*x.shape[:-1], 1)
    return np.maximum.reduce(x, axis=dim, keepdims=True, initial=-np.inf)


def total(x: Any, dim: int) -> Any:
    """The sum along `dim`, which is kept."""
    if _is_narrow(x, dim):
        return np.dot(x, np.ones((x.shape[-1], 1), x.dtype))
    return np.add.reduce(x, axis=dim, keepdims=True)


@kernel
def softmax_forward(x: Any, *, dim: int) -> Any:
    """e^x / sum(e^x) along `dim`."""
    wide = widened(x)
    if wide.ndim == 0:
        return narrowed(np.asarray(wide - wide + 1), x.dtype)
    # subtract the largest: exp overflows float32 above 88
    y = np.subtract(wide, largest(wide, dim), out=..., order="C")
    np.exp(y, out=y)
    y /= total(y, dim)
    return narrowed(y, x.dtype)


@kernel
def softmax_backward(g: Any, y: Any, *, dim: int) -> Any:
    """y * (g - sum(g * y)): the gradient of x where y = softmax(x)."""
    wide_y, wide_g = widened(y), widened(g)
    dx = np.multiply(wide_g, wide_y, out=...)
    dx -= wide_y * (total(dx, dim) if y.ndim else dx)
    return narrowed(dx, y.dtype)


@kernel
def log_softmax_forward(x: Any, *, dim: int) -> Any:
    """x - log(sum(e^x)) along `dim`."""
    wide = widened(x)
    if wide.ndim == 0:
        return narrowed(np.asarray(wide - wide), x.dtype)
    y = np.subtract(wide, largest(wide, dim), out=..., order="C")
    y -= np.log(total(np.exp(y), dim))
    return narrowed(y, x.dtype)


@kernel
def log_softmax_backward(g: Any, y: Any, *, dim: int) -> Any:
    """g - e^y * sum(g): the gradient of x where y = log_softmax(x)."""
    wide_g = widened(g)
    dx = np.exp(widened(y), out=...)
    dx *= total(wide_g, dim) if y.ndim else wide_g
    np.subtract(wide_g, dx, out=dx)
    return narrowed(dx, y.dtype)


def _total(x: Any, dim: int) -> Any:
    return sum_op(x, dim=(dim,) if x.ndim else None, keepdim=True)


softmax_op: Op = Op("softmax", softmax_forward, lambda g, y, dim: softmax_grad_op(g, y, dim=dim))
softmax_grad_op: Op = Op("softmax_backward_data", softmax_backward,
                     lambda g, p, dim: softmax_grad_op(g, p, dim=dim),
                     lambda g, a, p, dim: g * (a - _total(a * p, dim)) - a * _total(g * p, dim), inputs="a p")
log_softmax_op: Op = Op("log_softmax", log_softmax_forward, lambda g, y, dim: log_softmax_grad_op(g, y, dim=dim))
log_softmax_grad_op: Op = Op("log_softmax_backward_data", log_softmax_backward,
                         lambda g, logp, dim: g - _total(g * exp(logp), dim),
                         lambda g, a, logp, dim: -g * exp(logp) * _total(a, dim), inputs="a logp")


def _along(name: str, op: Op, x: Any, dim: int, dtype: dtypes.dtype | None) -> Any:
    d = one_dim(name, x, dim)
    x = converted(x, dtype)
    if x._array.dtype.kind in "biuc":
        legacy = dtypes.legacy_name(dtypes.from_numpy_dtype(x._array.dtype))
        raise NotImplementedError(f"\"{name}_lastdim_kernel_impl\" not implemented for '{legacy}'; give dtype=torch.float32, "
                                  "or convert the input")
    return apply(op, (x,), {"dim": d})


@numpy_names
def softmax(input: Any, dim: int, dtype: dtypes.dtype | None = None, *, out: Any = None) -> Any:  # noqa: A002
    """y = e^x / sum(e^x) along a dimension: positive, summing to 1. This is `torch.softmax`; nn.functional has its own.

    Args:
        dtype: convert to this dtype first.
    Shape: x (D...) -> y, same shape. dtype: floating, kept.
    Raises:
        IndexError: for a dim that is not there; NotImplementedError for integers.
    Derivative: y (g - sum(g y)).
    """
    y = _along("softmax", softmax_op, input, dim, dtype)
    return y if out is None else put_out(y, out)


@numpy_names
def log_softmax(input: Any, dim: int, dtype: dtypes.dtype | None = None, *, out: Any = None) -> Any:  # noqa: A002
    """y = x - log(sum(e^x)) along a dimension: the logarithm of `softmax`, exact where that is tiny.

    Shape, Raises: as for `softmax`.
    Derivative: g - e^y sum(g).
    """
    y = _along("log_softmax", log_softmax_op, input, dim, dtype)
    return y if out is None else put_out(y, out)


# ---- the faces in nn.functional -----------------------------------------------------------------------------------------------


def _legacy_dim(name: str, x: Any, dim: int | None, stacklevel: int) -> int:
    """The dimension that torch of old chose where none is given, with its warning."""
    if dim is not None:
        return dim
    import warnings
    require_tensor(name, x)
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
                  UserWarning, stacklevel=stacklevel + 1)
    return 0 if x._array.ndim in (0, 1, 3) else 1


def functional_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: dtypes.dtype | None = None) -> Any:  # noqa: A002
    """`nn.functional.softmax`: y = e^x / sum(e^x) along a dimension.

    Args:
        dim: should be given; None chooses 0 for 0, 1 or 3 dimensions, else 1, and warns.
        dtype: convert to this dtype first.
    Shape: x (D...) -> y, same shape. dtype: floating, kept.
    Derivative: y (g - sum(g y)).
    """
    return _along("softmax", softmax_op, input, _legacy_dim("softmax", input, dim, _stacklevel), dtype)


def functional_log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: dtypes.dtype | None = None) -> Any:  # noqa: A002
    """`nn.functional.log_softmax`: y = x - log(sum(e^x)) along a dimension; arguments as for softmax there.

    Derivative: g - e^y sum(g).
    """
    return _along("log_softmax", log_softmax_op, input, _legacy_dim("log_softmax", input, dim, _stacklevel), dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: dtypes.dtype | None = None) -> Any:  # noqa: A002
    """softmax(-x): the smallest element gets the most."""
    dim = _legacy_dim("softmin", input, dim, _stacklevel)
    return _along("softmax", softmax_op, converted(neg(input), dtype), dim, None)


@by_example
def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A sample of the Gumbel-softmax distribution: softmax((logits + noise) / tau), noise = -log(exponential draws).

    Args:
        tau: temperature; the lower, the closer to one-hot.
        hard: return one-hot samples whose gradient is that of the soft ones.
        eps: deprecated, without effect.
    Source: Jang, Gu, Poole 2017, arXiv:1611.01144; Maddison, Mnih, Teh 2017, arXiv:1611.00712
    """
    if eps != 1e-10:
        import warnings
        warnings.warn("`eps` parameter is deprecated and has no effect.", UserWarning, stacklevel=2)
    require_tensor("gumbel_softmax", logits, "logits")
    noise = -exponential_(logits.detach().clone()).log()
    y = apply(softmax_op, ((logits + noise) / tau,), {"dim": wrap_dim(dim, logits._array.ndim)})
    if not hard:
        return y
    one_hot = np.zeros(y._array.shape, np.float32)
    np.put_along_axis(one_hot, np.argmax(widened(y._array), axis=dim, keepdims=True), 1, axis=dim)
    return logits.new_tensor(one_hot, dtype=logits.dtype) - y.detach() + y

