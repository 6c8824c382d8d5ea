"""vmap's rules for products of matrices, convolutions, pooling, norms, losses, indexing and embedding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.autograd_engine import Op, apply
from mytorch.func.batching_rules import all_repeated, array_of, each, is_array, padded, repeated, rules, shape_in
from mytorch.ops.create import from_numpy
from mytorch.ops.elementwise import kept_op, where
from mytorch.ops.index import gather_op, scatter_op
from mytorch.ops.indexing import _SLOT, index_op, index_put_op
from mytorch.ops.linalg import linear_function, matmul_function
from mytorch.ops.sums import sum_op
from mytorch.ops.views import expand, movedim, reshape

__mytorch__ = True

# ---- products -----------------------------------------------------------------------------------------------------------------


@rules("mm bmm")
def product(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """One product of batches of matrices; a factor without a batch is shared."""
    ndim = max(len(shape_in(x, batched)) for x, batched in zip(xs, on, strict=True))
    return matmul_function(padded(xs[0], on[0], ndim), padded(xs[1], on[1], ndim))


@rules("dot")
def dot(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """(B, k), (B, k) -> (B)."""
    a, b = all_repeated(xs, on, size)
    return reshape(matmul_function(reshape(a, (size, 1, -1)), reshape(b, (size, b._array.shape[1], 1))), size)


@rules("addmm")
def linear(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """With shared weights the batch is one leading dimension more; else a product of batches, and the bias added."""
    x, weight, bias = xs
    if not on[1] and not on[2]:
        return linear_function(x, weight, bias)
    if on[1]:
        inner = shape_in(x, on[0])
        rows = reshape(x, (*([size] if on[0] else []), math.prod(inner[:-1]), inner[-1]))
        y = matmul_function(rows, weight.mT)
        y = reshape(y, (size, *inner[:-1], weight._array.shape[1]))
    else:
        y = linear_function(x, weight)
    return y if bias is None else y + padded(bias, on[2], y._array.ndim - 1)


@rules("einsum")
def einsum(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """A letter more, for the batch."""
    used = set("".join(meta["terms"])) | set(meta["result"])
    letter = next(c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in used)
    terms = tuple(letter + term if batched else term for term, batched in zip(meta["terms"], on, strict=True))
    return apply(op, tuple(xs), {"terms": terms, "result": letter + meta["result"]})


@rules("linalg_solve_ex linalg_solve_triangular cholesky_solve")
def solve(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Systems of equations: two batches of matrices."""
    ndim = max(len(shape_in(x, batched)) for x, batched in zip(xs, on, strict=True))
    return apply(op, tuple(padded(x, True, ndim) for x in all_repeated(xs, on, size)), meta)


# ---- convolutions: the batch joins the samples, or, where weights have one, the groups ----------------------------------------


def _join(x: Any, place: int) -> Any:
    """(B, ...) with the batch joined to an example's dimension `place`: B * n there."""
    x = movedim(x, 0, place)
    shape = x._array.shape
    return reshape(x, (*shape[:place], shape[place] * shape[place + 1], *shape[place + 2:]))


def _part(y: Any, place: int, size: int) -> Any:
    """Undo `_join`."""
    shape = y._array.shape
    return movedim(reshape(y, (*shape[:place], size, shape[place] // size, *shape[place + 1:])), place, 0)


@rules("convolution conv_grad_input")
def convolution(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """x (N, C, *) and weight (O, C/groups, *): B * N samples, or B * groups."""
    x, weight, *bias = xs
    if not on[1] and not any(on[2:]):
        return _part(apply(op, (_join(x, 0), weight, *bias), meta), 0, size)
    x, weight = repeated(x, on[0], size), repeated(weight, on[1], size)
    bias = [None if b is None else reshape(repeated(b, batched, size), -1) for b, batched in zip(bias, on[2:], strict=True)]
    return _part(apply(op, (_join(x, 1), _join(weight, 0), *bias), {**meta, "groups": size * meta["groups"]}), 1, size)


@rules("conv_grad_weight")
def convolution_weight(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """g and x with B * groups groups."""
    g, x = all_repeated(xs, on, size)
    return _part(apply(op, (_join(g, 1), _join(x, 1)), {**meta, "groups": size * meta["groups"]}), 0, size)


@rules("max_pool max_pool_with_indices max_pool_backward max_pool_take max_pool_indices avg_pool avg_pool_backward adaptive_avg_pool "
       "adaptive_avg_pool_backward adaptive_max_pool pick paste max_unpool im2col col2im")
def samples(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Operations on each sample (N, ...) by itself: B * N samples."""
    return each(apply(op, tuple(_join(x, 0) for x in all_repeated(xs, on, size)), meta), lambda y: _part(y, 0, size))


@rules("scaled_dot_product_attention")
def attention(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """q, k, v with one leading dimension more, and the mask with as many."""
    q, k, v = all_repeated(xs[:3], on[:3], size)
    mask, keep = [x if not is_array(x) else padded(repeated(x, batched, size), True, q._array.ndim - 1) for x, batched in zip(xs[3:], on[3:])]
    return apply(op, (q, k, v, mask, keep), meta)


@rules("rnn gru lstm")
def recurrent(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """B * N sequences, where they share their weights and are of one length."""
    states = 2 if op.name == "lstm" else 1
    x, *given = xs[:1 + states]
    if any(on[1 + states:]) or len(shape_in(x, on[0])) != 3 or not size:
        return NotImplemented
    sequences = [_join(repeated(h, batched, size), 0) for h, batched in zip(given, on[1:1 + states], strict=True)]
    meta = {**meta, "batch_sizes": tuple(n * size for n in meta["batch_sizes"])}
    y, *rest = apply(op, (_join(repeated(x, on[0], size), 1), *sequences, *xs[1 + states:]), meta)
    return (_part(y, 1, size), *[_part(h, 0, size) for h in rest[:states]], *rest[states:])  # what is left is for backward alone


# ---- norms --------------------------------------------------------------------------------------------------------------------


@rules("native_batch_norm")
def batch_norm(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """B * C channels."""
    vectors = [None if v is None else reshape(repeated(v, batched, size), -1) for v, batched in zip(xs[1:], on[1:], strict=True)]
    y, mean, var = apply(op, (_join(repeated(xs[0], on[0], size), 1), *vectors), meta)
    return _part(y, 1, size), _part(mean, 0, size), _part(var, 0, size)


@rules("native_layer_norm rms_norm")
def row_norm(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The batch is one leading dimension more; weight and bias with a batch are applied afterwards."""
    x = repeated(xs[0], on[0], size)
    if not any(on[1:]):
        y, *statistics = apply(op, (x, *xs[1:]), meta)
    else:
        y, *statistics = apply(op, (x, *[None] * len(xs[1:])), meta)
        y = _affine(y, xs[1:], on[1:], x._array.ndim - 1, lambda p, batched: p)
    return (y, *[reshape(s, (size, s._array.size // size)) for s in statistics])


@rules("native_group_norm")
def group_norm(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """B * N samples; weight and bias with a batch are applied afterwards."""
    x = repeated(xs[0], on[0], size)
    shared = not any(on[1:])
    outputs = [_part(y, 0, size) for y in apply(op, (_join(x, 0), *(xs[1:] if shared else (None, None))), meta)]
    if not shared:
        ones = [1] * (x._array.ndim - 3)
        outputs[0] = _affine(outputs[0], xs[1:], on[1:], x._array.ndim - 1, lambda p, batched: reshape(p, (*p._array.shape, *ones)))
    return tuple(outputs)


def _affine(y: Any, parameters: list[Any], on: list[bool], ndim: int, shaped: Any) -> Any:
    weight, bias = (parameters[0], None) if len(parameters) == 1 else parameters
    if weight is not None:
        y = y * padded(shaped(weight, on[0]), on[0], ndim)
    return y if bias is None else y + padded(shaped(bias, on[1]), on[1], ndim)


# ---- losses -------------------------------------------------------------------------------------------------------------------


@rules("mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div")
def elementwise_loss(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The loss of each element, reduced over the elements of each example."""
    ndim = max(len(shape_in(x, batched)) for x, batched in zip(xs, on, strict=True) if is_array(x))
    inputs = [padded(x, batched, ndim) if is_array(x) else x for x, batched in zip(xs, on, strict=True)]
    if not on[0]:
        inputs[0] = repeated(xs[0], False, size)
    y = apply(op, tuple(inputs), {**meta, "reduction": "none"})
    return _reduced(y, meta["reduction"])


def _reduced(y: Any, reduction: str) -> Any:
    dims = tuple(range(1, y._array.ndim))
    if reduction == "none" or (not dims):
        return y
    total = sum_op(y, dim=dims, keepdim=False)
    return total if reduction == "sum" else total / math.prod(y._array.shape[1:])


@rules("cross_entropy_loss nll_loss")
def class_loss(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The loss of every target, then sums or weighted means over those of each example."""
    if on[2] or (not on[0] and xs[2] is not None) or meta["reduction"] not in ("none", "mean", "sum"):
        return NotImplemented
    x, target = repeated(xs[0], on[0], size), repeated(xs[1], on[1], size)
    weight = xs[2]
    single = x._array.ndim == 2  # an example is one row of class scores, and its target one number
    inner = () if single else target._array.shape[1:]
    scores = x if single else _join(x, 0)
    flat = reshape(target, -1) if single else _join(target, 0)
    found = apply(op, (scores, flat, weight), {**meta, "reduction": "none"})
    losses, *rest = found if isinstance(found, tuple) else (found,)
    y = reshape(losses, (size, *inner))
    if meta["reduction"] == "sum":
        y = _reduced(y, "sum")
    elif meta["reduction"] == "mean":
        y = _reduced(y, "sum") / _reduced(_target_weights(x, target, weight, meta["ignore_index"]), "sum")
    if not rest:
        return y
    return y, reshape(rest[0], (size, rest[0]._array.shape[0] // size, rest[0]._array.shape[1]))


def _target_weights(x: Any, target: Any, weight: Any, ignore_index: int) -> Any:
    counts = target != ignore_index
    if weight is None:
        return counts.to(x.dtype)
    return where(counts, weight[where(counts, target, 0)], 0.0).to(x.dtype)


@rules("nll_loss_backward")
def class_loss_backward(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Without reduction, with each target's share of g."""
    if on[2] or len(meta["shape"]) != 2:
        return NotImplemented
    g, target, weight = repeated(xs[0], on[0], size), repeated(xs[1], on[1], size), xs[2]
    if meta["reduction"] == "mean":
        g = g / _reduced(_target_weights(g, target, weight, meta["ignore_index"]), "sum")
    if meta["reduction"] != "none":
        g = expand(reshape(g, (size, 1)), target._array.shape)
    rows, classes = meta["shape"]
    d = apply(op, (reshape(g, -1), reshape(target, -1), weight), {**meta, "reduction": "none", "shape": (size * rows, classes)})
    return reshape(d, (size, rows, classes))


# ---- indexing -----------------------------------------------------------------------------------------------------------------


def _slots(key: tuple[Any, ...]) -> tuple[int, int, bool]:
    """Where index tensors stand in a key, how many, and whether next to each other."""
    places = [i for i, part in enumerate(key) if part is _SLOT]
    return places[0], len(places), places[-1] - places[0] + 1 == len(places)


def _kinds(indices: list[Any]) -> str:
    return "".join({array_of(i).dtype.kind for i in indices})


_MASK = ("vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over indexing with a boolean "
         "mask: use torch.where.")


def _index_arrays(indices: list[Any], on: list[bool], size: int) -> list[Any]:
    """Index tensors that broadcast together, those with a batch along it."""
    ndim = max(len(shape_in(i, batched)) for i, batched in zip(indices, on, strict=True))
    return [padded(i, batched, ndim) for i, batched in zip(indices, on, strict=True)]


@rules("index")
def index(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """x[key]: the batch is one dimension more of x, of the index tensors, or of both."""
    x, *indices = xs
    key = meta["key"]
    if any(part is not _SLOT and part != slice(None) for part in key):
        return NotImplemented
    if not any(on[1:]):
        y = index_op(x, *indices, key=(slice(None), *key))
        _, _, adjacent = _slots(key)
        lead = max(1 if _is_mask(i) else np.ndim(array_of(i)) for i in indices)
        return y if adjacent else movedim(y, lead, 0)
    if "b" in _kinds([i for i, batched in zip(indices, on[1:], strict=True) if batched]):
        raise RuntimeError(_MASK)
    if "b" in _kinds(indices):
        return NotImplemented
    first, _, adjacent = _slots(key)
    lead = max(len(shape_in(i, batched)) for i, batched in zip(indices, on[1:], strict=True))
    indices = _index_arrays(indices, on[1:], size)
    if not on[0]:
        y = index_op(x, *indices, key=key)
        return movedim(y, first, 0) if adjacent and first else y
    y = index_op(x, _count(size, lead), *indices, key=(_SLOT, *key))  # (B, lead..., the rest of x)
    if adjacent and first:
        y = movedim(y, tuple(range(1, lead + 1)), tuple(range(first + 1, first + lead + 1)))
    return y


def _is_mask(i: Any) -> bool:
    return bool(array_of(i).dtype.kind == "b")


def _count(size: int, ndim: int) -> Any:
    """0, 1, ... along the batch, with `ndim` dimensions after it."""
    return from_numpy(np.arange(size).reshape(size, *[1] * ndim))


@rules("index_put")
def index_put(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """x[key] = values."""
    x, values, *indices = xs
    key = meta["key"]
    batched_masks = [i for i, batched in zip(indices, on[2:], strict=True) if batched and _is_mask(i)]
    if len(indices) == 1 and batched_masks and not (is_array(values) and shape_in(values, on[1])):
        return _masked_put(repeated(x, on[0], size), indices[0], values, on[1], meta["accumulate"])
    if batched_masks:
        raise RuntimeError(_MASK)
    first, _, adjacent = _slots(key)
    if not adjacent or any(part is not _SLOT and part != slice(None) for part in key) or any(_is_mask(i) for i in indices):
        return NotImplemented
    lead = max(len(shape_in(i, batched)) for i, batched in zip(indices, on[2:], strict=True))
    x = repeated(x, on[0], size)
    arrays = _index_arrays(indices, on[2:], size)
    places = np.broadcast_shapes(*[shape_in(i, batched) for i, batched in zip(indices, on[2:], strict=True)])
    shape = (*x._array.shape[1:1 + first], *places, *x._array.shape[1 + first + len(indices):])  # of one example's x[key]
    if is_array(values):
        values = repeated(expand(padded(values, on[1], len(shape)), (size, *shape)), True, size)
        values = movedim(values, tuple(range(1 + first, 1 + first + lead)), tuple(range(1, 1 + lead))) if first else values
    return index_put_op(x, values, _count(size, lead), *arrays, key=(_SLOT, *key), accumulate=meta["accumulate"])


def _masked_put(x: Any, mask: Any, values: Any, on: bool, accumulate: bool) -> Any:
    """A number (or one for each example) where a mask of the leading dimensions is True."""
    wide = padded(values, on, x._array.ndim - 1) if is_array(values) else values
    mask = reshape(mask, (*mask._array.shape, *[1] * (x._array.ndim - mask._array.ndim)))
    return where(mask, x + wide if accumulate else wide, x).to(x.dtype)


def _with_dimension(x: Any, on: bool, size: int) -> Any:
    """A batch of 0-d examples as one of vectors of one element."""
    x = repeated(x, on, size)
    return reshape(x, (size, 1)) if is_array(x) and x._array.ndim == 1 else x


@rules("gather scatter scatter_reduce")
def gather(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """`dim` counted after the batch, along which the index tensor is repeated if it has none."""
    shape = shape_in(xs[1] if op.name == "gather" else xs[0], on[1] if op.name == "gather" else on[0])
    if len(xs) == 3 and is_array(xs[2]) and not shape_in(xs[2], on[2]) and shape_in(xs[1], on[1]):
        return NotImplemented
    y = apply(op, tuple(_with_dimension(x, batched, size) for x, batched in zip(xs, on, strict=True)), {**meta, "dim": meta["dim"] + 1})
    return reshape(y, (size, *shape))


@rules("index_select")
def index_select(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Slices along `dim`; where each example names its own, of a shared x as one long index, else as `gather`."""
    x, places = xs
    dim = meta["dim"]
    shape = shape_in(x, on[0])
    if not shape:
        return NotImplemented
    if not on[1]:
        return apply(op, (x, places), {"dim": dim + 1})
    count = places._array.shape[1]
    if not on[0]:
        y = apply(op, (x, reshape(places, -1)), {"dim": dim})
        return movedim(reshape(y, (*shape[:dim], size, count, *shape[dim + 1:])), dim, 0)
    return gather_op(x, _spread_index(places, (*shape[:dim], count, *shape[dim + 1:]), dim), dim=dim + 1)


def _spread_index(places: Any, shape: tuple[int, ...], dim: int) -> Any:
    """(B, n) -> (B, *shape), n along `dim` and the same everywhere else."""
    size, count = places._array.shape
    ones = [count if d == dim else 1 for d in range(len(shape))]
    return expand(reshape(places, (size, *ones)), (size, *shape))


@rules("index_add")
def index_add(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Slices added along `dim`."""
    dim = meta["dim"]
    if not shape_in(xs[0], on[0]) or not shape_in(xs[2], on[2]):
        return NotImplemented
    x, source = repeated(xs[0], on[0], size), repeated(xs[2], on[2], size)
    if not on[1]:
        return apply(op, (x, xs[1], source), {"dim": dim + 1})
    return scatter_op(x, _spread_index(xs[1], source._array.shape[1:], dim), source, dim=dim + 1, reduce="add")


@rules("embedding")
def embedding(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Rows of one table; or of B tables on top of each other."""
    table, places = xs
    if "rows" in meta or meta["by_frequency"]:
        return NotImplemented
    if not on[0]:
        return apply(op, (table, places), meta)
    if meta["padding_idx"] >= 0:  # the row that gets no gradient is another of each table
        return NotImplemented
    _, rows, width = table._array.shape
    places = repeated(places, on[1], size)
    shifted = places + _count(size, places._array.ndim - 1) * rows
    return apply(op, (reshape(table, (size * rows, width)), shifted), meta)


@rules("embedding_dense_backward")
def embedding_backward(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """The gradients of B tables on top of each other."""
    if meta["by_frequency"]:
        return NotImplemented
    g, places = all_repeated(xs, on, size)
    rows = meta["rows"]
    if meta["padding_idx"] >= 0:
        g = kept_op(g, (places != meta["padding_idx"]).unsqueeze(-1))
    d = apply(op, (g, places + _count(size, places._array.ndim - 1) * rows), {**meta, "rows": size * rows, "padding_idx": -1})
    return reshape(d, (size, rows, g._array.shape[-1]))


@rules("isin")
def isin(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Element by element, where all examples are looked up among the same."""
    return NotImplemented if on[1] else apply(op, tuple(xs), meta)


@rules("searchsorted")
def searchsorted(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Values looked up in one sequence; or rows of values in rows of sequences."""
    sequence, values, sorter = xs
    if sorter is not None or not is_array(values):
        return NotImplemented
    if not on[0] and sequence._array.ndim == 1:
        return apply(op, (sequence, values, None), meta)
    inner = shape_in(values, on[1])
    if len(shape_in(sequence, on[0])) > 1:
        return apply(op, (repeated(sequence, on[0], size), repeated(values, on[1], size), None), meta)
    rows = reshape(repeated(values, on[1], size), (size, math.prod(inner)))
    return reshape(apply(op, (sequence, rows, None), meta), (size, *inner))


# ---- what differs in shape from example to example ----------------------------------------------------------------------------


@rules("nonzero unique2 unique_consecutive")
def dynamic(op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any], size: int) -> Any:
    """Refused."""
    raise RuntimeError("vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over "
                       f"{op.name}: the shape of its result depends on the values, so examples would differ.")
