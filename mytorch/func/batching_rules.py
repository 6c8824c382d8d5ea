"""How vmap runs each operation on the whole batch at once: one rule per kind of operation.

A rule gets the operation, its inputs with the batch as dimension 0 where `on` says so, its metadata (as for one example) and the
number of examples. It returns the whole batch of results, or NotImplemented: then vmap loops over the examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch.autograd_engine import Op, apply
from mytorch.engine_state import TensorBase
from mytorch.ops import extrema
from mytorch.ops.common import result_dtype
from mytorch.ops.create import from_numpy
from mytorch.ops.elementwise import to_dtype
from mytorch.ops.pointwise import POINTWISE
from mytorch.ops.sums import kept_shape
from mytorch.ops.views import expand, reshape

__mytorch__ = True

Rule = Callable[[Op, list[Any], list[bool], dict[str, Any], int], Any]

RULES: dict[str, Rule] = {}


def rule_of(op: Op) -> Rule | None:
    """The rule for an operation; None where there is none."""
    return pointwise if op in POINTWISE else RULES.get(op.name)


def rules(names: str) -> Callable[[Rule], Rule]:
    """Make a function the rule for the operations of these names."""
    def note(rule: Rule) -> Rule:
        for name in names.split():
            RULES[name] = rule
        return rule
    return note


# ---- what rules are made with -------------------------------------------------------------------------------------------------


def is_array(x: Any) -> bool:
    """A Tensor or an array, rather than a number or None?"""
    return isinstance(x, (TensorBase, ndarray))


def array_of(x: Any) -> Any:
    """The array of a Tensor, or the array itself."""
    return x._array if isinstance(x, TensorBase) else x


def shape_in(x: Any, on: bool) -> tuple[int, ...]:
    """The shape of one example."""
    shape: tuple[int, ...] = array_of(x).shape
    return shape[1:] if on else shape


def padded(x: Any, on: bool, ndim: int) -> Any:
    """x with dimensions of size 1 after the batch, until an example has `ndim`; what has no batch broadcasts as it is."""
    shape = shape_in(x, on) if on else ()
    if not on or len(shape) >= ndim:
        return x
    return reshape(x, (x._array.shape[0], *[1] * (ndim - len(shape)), *shape))


def repeated(x: Any, on: bool, size: int) -> Any:
    """x with a batch: repeated (a view) if it has none."""
    if on or not is_array(x):
        return x
    return expand(x if isinstance(x, TensorBase) else from_numpy(x), (size, *shape_in(x, False)))


def all_repeated(xs: Sequence[Any], on: Sequence[bool], size: int) -> list[Any]:
    """All inputs with a batch."""
    return [repeated(x, batched, size) for x, batched in zip(xs, on, strict=True)]


def each(y: Any, change: Callable[[Any], Any]) -> Any:
    """One change to every output of an operation."""
    return type(y)([change(part) for part in y]) if isinstance(y, (tuple, list)) else change(y)


def shifted(dims: Any) -> Any:
    """Dimensions of an example as dimensions of the batch."""
    return dims + 1 if isinstance(dims, int) else tuple(d + 1 for d in dims)


# ---- pointwise ----------------------------------------------------------------------------------------------------------------

_MORE_POINTWISE = """
    alias bernoulli clone complex conj contiguous copy dropout alpha_dropout elu fill frexp frexp_backward gelu gelu_backward hardshrink
    hardsigmoid hardswish hardtanh imag clamp leaky_relu lerp log_sigmoid masked_fill mish nan_to_num normal polar polygamma prelu random
    real round rrelu_with_noise silu softplus softshrink threshold to_copy view_as where
"""


def is_pointwise(op: Op) -> bool:
    """Do its inputs broadcast, element by element?"""
    return op in POINTWISE or RULES.get(op.name) is pointwise


def aligned(op: Op, xs: list[Any], on: list[bool], size: int, *, inplace: bool = False) -> list[Any]:
    """The inputs of a pointwise operation, made to broadcast as those of one example do."""
    if op.name in _REPLACING:
        shape = shape_in(xs[0], on[0])
        return [xs[0], expand(padded(xs[1], on[1], len(shape)), (size, *shape))] if is_array(xs[1]) else xs
    arrays: list[Any] = []
    ndim, least = 0, 99  # of one example, the most of all inputs and the least of those with a batch
    for x, batched in zip(xs, on):
        a = x._array if isinstance(x, TensorBase) else x if isinstance(x, ndarray) else None
        arrays.append(a)
        if a is not None:
            n = a.ndim - batched
            ndim = max(ndim, n)
            if batched and n < least:
                least = n
    if not least and not inplace:
        xs = _one_dtype(op, xs, on, arrays)
    return xs if least == ndim else [padded(x, batched, ndim) for x, batched in zip(xs, on)]


_REPLACING = frozenset(["copy", "random", "bernoulli"])  # their second input takes the place of the first


def _one_dtype(op: Op, xs: list[Any], on: list[bool], arrays: list[Any]) -> list[Any]:
    """Where examples are 0-d, their dtype counts less than that of others; a batch of them would count as much."""
    kinds = {a.dtype for a in arrays if a is not None}
    if len(kinds) == 1 or all(a.ndim > 1 for a, batched in zip(arrays, on) if batched) or op.name in ("masked_fill", "prelu"):
        return xs
    first = 1 if op.name == "where" else 0  # the condition has no part in it
    of_one = [x if a is None else np.broadcast_to(np.empty((), a.dtype), shape_in(a, batched)) for x, a, batched in zip(xs, arrays, on)]
    wanted = result_dtype(*[x for x in of_one[first:] if x is not None]).np
    return [*xs[:first], *[apply(to_dtype, (x,), {"dtype": wanted}) if batched and not shape_in(x, batched) else x
                           for x, batched in zip(xs[first:], on[first:])]]


@rules(_MORE_POINTWISE)
def pointwise(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Once on the whole batch; a layout that is asked for (`wanted`) is that of one example."""
    if "wanted" in meta:
        return NotImplemented
    return apply(op, tuple(aligned(op, xs, on, size)), meta)


# ---- along dimensions ---------------------------------------------------------------------------------------------------------


@rules("sum mean any all count_nonzero amax amin var std logsumexp linalg_vector_norm tie_share prod argmax argmin cumsum cumprod logcumsumexp "
       "cummax cummin softmax log_softmax softmax_backward_data log_softmax_backward_data sort topk kthvalue mode glu max min median")
def along(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Operations along `dim`: one dimension, several, or None for all."""
    if op.name == "median" and "dim" not in meta:
        return NotImplemented
    xs = all_repeated(xs, on, size)
    shape = shape_in(xs[0], True)
    if "dim" not in meta:  # max() and min(): the extreme of all
        op, meta = {"max": extrema._amax_op, "min": extrema._amin_op}[op.name], {"dim": None, "keepdim": False}
    dim = meta["dim"]
    if not shape:  # 0-d examples: their only element is a dimension of its own
        y = apply(op, tuple(reshape(x, (size, 1)) for x in xs), {**meta, "dim": 1 if isinstance(dim, int) or op.name in _ONE_DIM else (1,)})
        return each(y, lambda part: reshape(part, size))
    if dim is not None:
        return apply(op, tuple(xs), {**meta, "dim": shifted(dim)})
    if op.name not in _ONE_DIM:
        return apply(op, tuple(xs), {**meta, "dim": tuple(range(1, len(shape) + 1))})
    y = apply(op, (reshape(xs[0], (size, math.prod(shape))),), {**meta, "dim": 1})
    return reshape(y, (size, *kept_shape(shape, None))) if meta.get("keepdim") else y


_ONE_DIM = frozenset(["prod", "argmax", "argmin"])


@rules("flip roll")
def flip(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """`dims` counted after the batch."""
    return apply(op, (xs[0],), {**meta, "dims": shifted(meta["dims"])})


@rules("split unbind unfold cat stack upsample upsample_backward fft_c2c fft_r2c fft_c2r fft_weigh")
def one_dim(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """`dim` counted after the batch; inputs that have none are repeated."""
    return apply(op, tuple(all_repeated(xs, on, size)), {**meta, "dim": shifted(meta["dim"])})


@rules("unfold_backward")
def fold(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """`dim` and `shape` with the batch."""
    return apply(op, (xs[0],), {**meta, "dim": meta["dim"] + 1, "shape": (size, *meta["shape"])})


# ---- shapes -------------------------------------------------------------------------------------------------------------------


@rules("view")
def view(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The batch stays in front."""
    return apply(op, (xs[0],), {"shape": (size, *meta["shape"])})


@rules("expand")
def expanded(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """New dimensions come after the batch."""
    return apply(op, (padded(xs[0], True, len(meta["shape"])),), {"shape": (size, *meta["shape"])})


@rules("sum_to")
def summed(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Sum over what was broadcast in one example."""
    wanted, have = meta["shape"], shape_in(xs[0], True)
    lead = len(have) - len(wanted)
    if lead < 0 or any(w not in (h, 1) for w, h in zip(wanted, have[lead:], strict=True)):
        raise ValueError(f"cannot reduce shape {have} to {wanted}")
    return apply(op, (reshape(xs[0], (size, math.prod(have[:lead]), *have[lead:])),), {"shape": (size, 1, *wanted)}).squeeze(1)


@rules("permute")
def permuted(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The batch stays in front."""
    return apply(op, (xs[0],), {"dims": (0, *shifted(meta["dims"]))})


@rules("slice")
def sliced(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """All of the batch, then the key."""
    return apply(op, (xs[0],), {"key": (slice(None), *meta["key"])})


@rules("slice_backward")
def pasted(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """All of the batch, then the key."""
    return apply(op, (xs[0],), {"shape": (size, *meta["shape"]), "key": (slice(None), *meta["key"])})


@rules("diagonal diagonal_backward")
def diagonal(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Dimensions counted after the batch."""
    more = {"shape": (size, *meta["shape"])} if "shape" in meta else {}
    return apply(op, (xs[0],), {**meta, **more, "dim1": meta["dim1"] + 1, "dim2": meta["dim2"] + 1})


@rules("as_strided")
def as_strided(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """One stride more: the batch's."""
    array = xs[0]._array
    step = array.strides[0] // array.itemsize
    own = tuple(s // array.itemsize for s in array.strides)
    if step < 0 or type(array) is not ndarray:
        return NotImplemented
    return apply(op, (xs[0],), {"size": (size, *meta["size"]), "stride": (step, *meta["stride"]), "shift": meta["shift"], "own": own})


@rules("repeat")
def tiled(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The batch once, an example's dimensions as often as asked."""
    return apply(op, (padded(xs[0], True, len(meta["reps"])),), {"reps": (1, *meta["reps"])})


@rules("repeat_backward")
def untiled(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The batch once."""
    shape, reps = meta["shape"], meta["reps"]
    y = apply(op, (xs[0],), {"shape": (size, *[1] * (len(reps) - len(shape)), *shape), "reps": (1, *reps)})
    return reshape(y, (size, *shape))


@rules("constant_pad_nd")
def pad(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """No padding of the batch."""
    return apply(op, (xs[0],), {**meta, "widths": ((0, 0), *meta["widths"])})


@rules("tril view_as_real view_as_complex prod_backward one_hot view_dtype linalg_inv_ex linalg_det linalg_slogdet linalg_lu_factor_ex "
       "linalg_ldl_factor_ex linalg_cholesky_ex linalg_qr linalg_eigh linalg_eigvalsh linalg_eig linalg_eigvals linalg_svd linalg_svdvals "
       "linalg_matrix_exp geqrf lu_permutation")
def last_dims(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Operations on the last dimensions: the batch is one leading dimension more."""
    if meta.get("mode") == "r":  # of QR: the Q that is not asked for has no batch
        return NotImplemented
    return apply(op, (xs[0],), meta)

