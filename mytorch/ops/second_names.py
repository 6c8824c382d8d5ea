"""Second names: functions of `torch` that are others under an older name, or with the arguments in the order of torch's C++ functions.

Programs rarely use them; `mytorch.swapaxes` and the like load this file when first touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mytorch import draws, dtypes, engine_state, errors
from mytorch.grad_mode import by_example
from mytorch.ops import dropout as dropouts
from mytorch.ops import elementwise, norm
from mytorch.ops.activation import rrelu as _rrelu
from mytorch.ops.activation import rrelu_ as rrelu_
from mytorch.ops.common import require_tensor, wrap_dim
from mytorch.ops.ctc import ctc_loss as _ctc_loss
from mytorch.ops.embedding import embedding as _embedding
from mytorch.ops.embedding import renorm_rows
from mytorch.ops.grid_sample import affine_grid
from mytorch.ops.joining import cat
from mytorch.ops.linalg import mm, outer
from mytorch.ops.matrix_functions import vander as _vander
from mytorch.ops.random import source
from mytorch.ops.resize import channel_shuffle
from mytorch.ops.shape import flip
from mytorch.ops.statistics import norm as _norm
from mytorch.ops.statistics import vector_norm
from mytorch.ops.views import matrix_transpose, movedim, transpose
from mytorch.ops.views import swapaxes as swapaxes

__mytorch__ = True

concat = concatenate = cat
moveaxis = movedim
swapdims = transpose
spmm = mm  # for dense matrices they are one
ger = outer
native_channel_shuffle = channel_shuffle
affine_grid_generator = affine_grid
fix_ = elementwise.trunc_
arccos_, arcsin_, arctan_ = elementwise.acos_, elementwise.asin_, elementwise.atan_
arccosh_, arcsinh_, arctanh_ = elementwise.acosh_, elementwise.asinh_, elementwise.atanh_


def detach(input: Any) -> Any:  # noqa: A002
    """The same memory outside of the graph: `x.detach()`."""
    return input.detach()


def detach_(input: Any) -> Any:  # noqa: A002
    """Take the tensor itself out of the graph: `x.detach_()`."""
    return input.detach_()


def adjoint(input: Any) -> Any:  # noqa: A002
    """The conjugate transpose of the last two dimensions: `x.mH`."""
    return matrix_transpose(input).conj()


# ---- dropout: (input, p, train), all of them given ----------------------------------------------------------------------------


def _dropping(function: Callable[..., Any], name: str, inplace: bool) -> Callable[..., Any]:
    def drop(input: Any, p: float, train: bool) -> Any:  # noqa: A002
        return function(input, p, train, inplace)

    drop.__name__ = drop.__qualname__ = name
    drop.__doc__ = f"""`nn.functional.{name.rstrip('_')}`{', in place' if inplace else ''}, where p and train have to be given."""
    return drop


def _channels(input: Any, p: float, train: bool, inplace: bool) -> Any:  # noqa: A002
    if input._array.ndim < 2:
        raise RuntimeError(f"Feature dropout requires at least 2 dimensions in the input, got {input._array.ndim}")
    return dropouts.drop_channels("feature_dropout", input, p, train, inplace)


dropout, dropout_ = _dropping(dropouts.dropout, "dropout", False), _dropping(dropouts.dropout, "dropout_", True)
alpha_dropout, alpha_dropout_ = (_dropping(dropouts.alpha_dropout, "alpha_dropout", False),
                                 _dropping(dropouts.alpha_dropout, "alpha_dropout_", True))
feature_dropout, feature_dropout_ = _dropping(_channels, "feature_dropout", False), _dropping(_channels, "feature_dropout_", True)
feature_alpha_dropout, feature_alpha_dropout_ = (_dropping(dropouts.feature_alpha_dropout, "feature_alpha_dropout", False),
                                                 _dropping(dropouts.feature_alpha_dropout, "feature_alpha_dropout_", True))


# ---- the C++ order of arguments -----------------------------------------------------------------------------------------------


def embedding(weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """`nn.functional.embedding` with the table first; padding_idx=-1 means none."""
    return _embedding(indices, weight, None if padding_idx == -1 else padding_idx, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def embedding_renorm_(input: Any, indices: Any, max_norm: float, norm_type: float) -> Any:  # noqa: A002
    """Scale those rows of a table that `indices` names down to a norm of max_norm, in place and outside of the graph."""
    require_tensor("embedding_renorm_", input)
    renorm_rows(input, indices._array, max_norm, norm_type)
    return input


def batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,  # noqa: A002
               eps: float, cudnn_enabled: bool) -> Any:
    """`nn.functional.batch_norm` with the parameters first. `cudnn_enabled` has no effect."""
    return norm.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool,  # noqa: A002
                  momentum: float, eps: float, cudnn_enabled: bool) -> Any:
    """`nn.functional.instance_norm` with the parameters first. `cudnn_enabled` has no effect."""
    return norm.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def rrelu(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None) -> Any:  # noqa: A002
    """`nn.functional.rrelu` as a function of `torch`.

    Raises:
        NotImplementedError: for a generator: the slopes come from the default one.
    """
    if generator is not None:
        raise NotImplementedError("rrelu(generator=...) is not supported: seed the default generator with torch.manual_seed")
    return _rrelu(input, lower, upper, training)


def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 1,
             zero_infinity: bool = False) -> Any:
    """`nn.functional.ctc_loss` with the reduction as a number: 0 'none', 1 'mean', 2 'sum'."""
    return _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, ("none", "mean", "sum")[reduction], zero_infinity)


# ---- norms and powers ---------------------------------------------------------------------------------------------------------


def frobenius_norm(input: Any, dim: Any, keepdim: bool = False) -> Any:  # noqa: A002
    """The square root of the sum of the squared magnitudes over one dimension or two."""
    return vector_norm(input, 2, dim, keepdim)


def nuclear_norm(input: Any, dim: Any = None, keepdim: bool = False) -> Any:  # noqa: A002
    """The sum of the singular values."""
    return _norm(input, "nuc", dim, keepdim)


def norm_except_dim(v: Any, pow: int = 2, dim: int = 0) -> Any:
    """The norm of each slice along `dim`, with the other dimensions kept as 1; of everything for dim=-1 (weight normalisation)."""
    require_tensor("norm_except_dim", v, "v", 1)
    if dim == -1:
        return vector_norm(v, pow)
    d = wrap_dim(dim, v._array.ndim)
    return vector_norm(v, pow, tuple(i for i in range(v._array.ndim) if i != d), True)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803
    """The Vandermonde matrix: the powers of each element of a 1-d tensor as a row, from x^(N-1) to 1, or `increasing`.

    Raises:
        RuntimeError: unless x has one dimension and N is not negative.
    """
    require_tensor("vander", x, "x", 1)
    if x._array.ndim != 1:
        raise RuntimeError(f"x must be a one-dimensional tensor, but got shape {list(x._array.shape)}")
    count = x._array.size if N is None else N
    if count < 0:
        raise RuntimeError(f"N must be non-negative, but got {count}")
    if count < 2:
        return x.new_ones((x._array.size, count), dtype=x.dtype if x._array.dtype.kind in "fcV" else dtypes.int64)
    y = _vander(x, count)
    return y if increasing else flip(y, 1)


@by_example
def binomial(count: Any, prob: Any, generator: Any = None) -> Any:
    """How many of `count` tries succeed, each with probability `prob`. See `draws.binomial`.

    Shape: both of one shape, kept. dtype: floating, kept.
    Raises:
        ValueError: for counts that are not floating; RuntimeError for shapes that differ, or probabilities outside of [0, 1].
    """
    require_tensor("binomial", count, "count", 1)
    require_tensor("binomial", prob, "prob", 2)
    if not count.is_floating_point():
        raise ValueError(f"binomial only supports floating-point dtypes for count, got: {dtypes.legacy_name(count.dtype)}")
    n, p = count.detach().double()._array, prob.detach().double()._array
    if n.shape != p.shape:
        raise RuntimeError(f"binomial: count and prob must have one shape, got {list(n.shape)} and {list(p.shape)}")
    if not ((p >= 0) & (p <= 1)).all() or np.isnan(n).any():
        raise RuntimeError("binomial: expected 0 <= prob <= 1 and counts that are numbers")
    drawn = source(generator)
    hits = [draws.binomial(tries, chance, lambda: drawn.random((1,), np.dtype(np.float64)).item())
            for tries, chance in zip(n.reshape(-1).tolist(), p.reshape(-1).tolist(), strict=True)]
    return engine_state.wrap(dtypes.cast(np.array(hits, np.float64).reshape(n.shape), count._array.dtype))


# ---- methods of Tensor --------------------------------------------------------------------------------------------------------


def map_(self: Any, tensor: Any, callable: Callable[[float, float], float]) -> Any:  # noqa: A002
    """Write callable(a, b), called with Python's numbers, over each element a, with b the other tensor's."""
    return _mapped("map_", self, [tensor], callable)


def map2_(self: Any, x: Any, y: Any, callable: Callable[[float, float, float], float]) -> Any:  # noqa: A002
    """Write callable(a, b, c), called with Python's numbers, over each element a, with b and c the other tensors'."""
    return _mapped("map2_", self, [x, y], callable)


def _mapped(name: str, self: Any, others: Sequence[Any], function: Callable[..., float]) -> Any:
    for i, other in enumerate(others):
        require_tensor(name, other, "tensor", i + 1)
        if other.dtype != self.dtype:
            raise TypeError(f"{name}: expected a tensor of {self.dtype}, but got {other.dtype}")
    if self.requires_grad:
        raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    columns = [x.expand(self._array.shape).reshape(-1).tolist() for x in (self, *others)]
    values = np.array([function(*row) for row in zip(*columns, strict=True)], np.float64 if self.is_floating_point() else None)
    return self.copy_(engine_state.wrap(dtypes.cast(values, self._array.dtype)).reshape(self._array.shape))


def is_set_to(self: Any, tensor: Any) -> bool:
    """Is it the same memory, read with the same shape and strides?"""
    require_tensor("is_set_to", tensor, "tensor", 1)
    return bool(self.data_ptr() == tensor.data_ptr() and self._array.shape == tensor._array.shape and self.stride() == tensor.stride())


def dim_order(self: Any) -> tuple[int, ...]:
    """The dimensions in the order in which they lie in memory, the outermost first."""
    strides = self.stride()
    return tuple(sorted(range(len(strides)), key=lambda d: -strides[d]))


def resize(self: Any, *sizes: Any) -> Any:
    """A tensor of the same elements in another shape; their number must not change. Deprecated in torch too."""
    if not sizes:
        raise errors.type_error("resize", "sizes", 1, "tuple of ints", None)
    return self.reshape(*sizes)


# ---- questions with one answer here -------------------------------------------------------------------------------------------


def is_conj(input: Any) -> bool:  # noqa: A002
    """Is it a conjugate that is still to be computed? Never: conjugates are computed at once."""
    return False


def is_neg(input: Any) -> bool:  # noqa: A002
    """Is it a negative that is still to be computed? Never: negatives are computed at once."""
    return False


def is_distributed(input: Any) -> bool:  # noqa: A002
    """Does it lie on several machines? Never."""
    return False


def is_inference(input: Any) -> bool:  # noqa: A002
    """Was it made in inference mode?"""
    return bool(input.is_inference())


def is_signed(input: Any) -> bool:  # noqa: A002
    """Does its dtype have negative numbers?"""
    return bool(input.is_signed())


def is_same_size(input: Any, other: Any) -> bool:  # noqa: A002
    """Have both the same shape?"""
    require_tensor("is_same_size", other, "other", 2)
    return bool(input._array.shape == other._array.shape)


def get_device(input: Any) -> int:  # noqa: A002
    """The number of the device that it lies on: -1, the CPU."""
    return -1


def const_data_ptr(self: Any) -> int:
    """The address of the first element: `data_ptr()`."""
    return int(self.data_ptr())


def to_dense(self: Any, dtype: Any = None, *, masked_grad: bool | None = None) -> Any:
    """The tensor itself, in a dtype: there are no sparse ones."""
    return self if dtype is None else self.to(dtype)
