"""Scaled dot-product attention: every query takes a weighted mean of the values, weighted by how well it fits their keys.

The scores of all pairs, a matrix of (queries, keys) per head, are never kept: the forward pass keeps the logarithm of each row's sum
and the backward pass computes the scores again, block by block, each block small enough for the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel
from mytorch.generator import default_generator
from mytorch.ops.autocast import get_casting, lowered
from mytorch.ops.common import FLOAT32, Op, apply, compute_dtype, narrowed, require_tensor, widened
from mytorch.ops.elementwise import where
from mytorch.ops.index import repeat_interleave
from mytorch.ops.linalg import matmul_function
from mytorch.ops.softmax import softmax_op
from mytorch.ops.views import broadcast_shapes, broadcast_to

__mytorch__ = True

_BLOCK = 1 << 17  # scores per block: 512 KB of float32
_ROWS = 64  # queries per block under `causal`, where a block stops at its last key


# ---- blocks of scores ---------------------------------------------------------------------------------------------------------


def _flat(x: Any) -> Any:
    """(*, T, E) as (B, T, E), in the dtype to compute in."""
    return widened(x).reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def _blocks(batch: int, rows: int, cols: int, causal: bool) -> Iterator[tuple[slice, slice, int]]:
    """Heads, queries of them, and how many keys these look at."""
    height = max(1, min(rows, _BLOCK // max(cols, 1)))
    if causal:
        height = min(height, _ROWS)
    heads = max(1, _BLOCK // max(height * cols, 1))
    for b in range(0, batch, heads):
        for r in range(0, rows, height):
            end = min(r + height, rows)
            yield slice(b, min(b + heads, batch)), slice(r, end), min(cols, end) if causal else cols


class _Mask:
    """A mask, broadcast over heads, of which a block at a time is read."""

    def __init__(self, mask: Any, batch: tuple[int, ...], rows: int, cols: int) -> None:
        lead = mask.shape[:-2]
        self.values = np.broadcast_to(mask, (*lead, rows, cols)).reshape(math.prod(lead), rows, cols)
        self.which = np.broadcast_to(np.arange(math.prod(lead)).reshape(lead), batch).reshape(-1)

    def read(self, heads: slice, queries: slice, count: int) -> Any:
        if len(self.values) == 1:
            return self.values[0, queries, :count]
        return self.values[self.which[heads], queries, :count]


def _scores(q: Any, k: Any, mask: _Mask | None, block: tuple[slice, slice, int], causal: bool) -> Any:
    """q k^T plus the mask, -inf where a pair does not take part. q is scaled already."""
    heads, queries, count = block
    s = np.matmul(q[heads, queries], k[heads, :count].swapaxes(1, 2))
    if mask is not None:
        part = mask.read(heads, queries, count)
        if part.dtype == np.bool_:
            np.copyto(s, -np.inf, where=~part)
        else:
            s += widened(part)
    if causal:  # every query of the block sees the keys before its first
        later = np.arange(queries.start, count) > np.arange(queries.start, queries.stop)[:, None]
        np.copyto(s[:, :, queries.start:], -np.inf, where=later)
    return s


def _probabilities(s: Any, lse: Any) -> Any:
    s -= lse[..., None]
    return np.exp(s, out=s)


@kernel
def attention_forward(q: Any, k: Any, v: Any, mask: Any, keep: Any, *, scale: float, causal: bool, kept: float) -> Any:
    """y, and the logarithm of the sum of e^score over the keys of each query (0 where no key takes part, and y is 0).

    Args:
        q, k, v: (*, L, E), (*, S, E), (*, S, D), the same * for all.
        mask: bool, True where a pair takes part, or numbers to add to the scores; broadcasts to (*, L, S); or None.
        keep: which probabilities dropout keeps, bool (*, L, S), or None; kept: what it multiplies them with.
        causal: query i looks at keys 0 to i.
    """
    flat_q, flat_k, flat_v = _flat(q), _flat(k), _flat(v)
    (batch, rows, _), cols = flat_q.shape, flat_k.shape[1]
    flat_q = flat_q * flat_q.dtype.type(scale)
    reader = None if mask is None else _Mask(mask, q.shape[:-2], rows, cols)
    flat_keep = None if keep is None else keep.reshape(batch, rows, cols)
    y = np.zeros((batch, rows, v.shape[-1]), flat_q.dtype)
    lse = np.zeros((batch, rows), flat_q.dtype)
    for block in _blocks(batch, rows, cols, causal):
        heads, queries, count = block
        s = _scores(flat_q, flat_k, reader, block, causal)
        top = s.max(axis=-1, initial=-np.inf)
        top[top == -np.inf] = 0  # nothing takes part: every e^score is 0
        p = _probabilities(s, top)
        total = p.sum(axis=-1)
        total[total == 0] = 1
        if flat_keep is not None:
            p *= flat_keep[heads, queries, :count]
            p *= p.dtype.type(kept)
        # dividing the means costs less than dividing all weights
        y[heads, queries] = np.matmul(p, flat_v[heads, :count]) / total[..., None]
        lse[heads, queries] = top + np.log(total)
    return _laid_out_like(q, narrowed(y.reshape(*q.shape[:-1], v.shape[-1]), q.dtype)), lse.reshape(q.shape[:-1])


def _laid_out_like(q: Any, y: Any) -> Any:
    """y in q's order of dimensions, if there are four: heads within rows, as the layer around it wants them, stay there."""
    if y.ndim != 4 or q.flags.c_contiguous or 0 in q.strides:
        return y
    order = sorted(range(3), key=lambda dim: -q.strides[dim])
    return np.ascontiguousarray(y.transpose(*order, 3)).transpose(*(order.index(dim) for dim in range(3)), 3)


@kernel
def attention_grad(g: Any, q: Any, k: Any, v: Any, mask: Any, keep: Any, y: Any, lse: Any, *, scale: float, causal: bool,
                   kept: float) -> Any:
    """dq, dk, dv. With p the probabilities and dp = g v^T, the gradient of the scores is p * (dp - sum(g * y))."""
    flat_q, flat_k, flat_v = _flat(q), _flat(k), _flat(v)
    dq, dk, dv = np.zeros_like(flat_q), np.zeros_like(flat_k), np.zeros_like(flat_v)
    flat_q = flat_q * flat_q.dtype.type(scale)
    flat_g = _flat(g)
    for block, p, ds in _score_grads(flat_g, flat_q, flat_k, flat_v, q.shape[:-2], mask, keep, y, lse, causal, kept):
        heads, queries, count = block
        dv[heads, :count] += np.matmul(p.swapaxes(1, 2), flat_g[heads, queries])
        dq[heads, queries] = np.matmul(ds, flat_k[heads, :count])
        dk[heads, :count] += np.matmul(ds.swapaxes(1, 2), flat_q[heads, queries])
    dq *= dq.dtype.type(scale)
    return tuple(narrowed(d.reshape(x.shape), x.dtype) for d, x in ((dq, q), (dk, k), (dv, v)))


def _attention_mask_grad(g: Any, q: Any, k: Any, v: Any, mask: Any, keep: Any, y: Any, lse: Any, *, scale: float, causal: bool,
                         kept: float) -> Any:
    """The gradient of the scores, (*, L, S): what is added to them has it too."""
    flat_q = _flat(q) * widened(q).dtype.type(scale)
    flat_k = _flat(k)
    ds_all = np.zeros((*flat_q.shape[:2], flat_k.shape[1]), flat_q.dtype)
    for block, _, ds in _score_grads(_flat(g), flat_q, flat_k, _flat(v), q.shape[:-2], mask, keep, y, lse, causal, kept):
        heads, queries, count = block
        ds_all[heads, queries, :count] = ds
    return narrowed(ds_all.reshape(*q.shape[:-1], k.shape[-2]), q.dtype)


def _score_grads(g: Any, q: Any, k: Any, v: Any, batch: tuple[int, ...], mask: Any, keep: Any, y: Any, lse: Any, causal: bool,
                 kept: float) -> Iterator[tuple[tuple[slice, slice, int], Any, Any]]:
    """Per block: where it is, the probabilities after dropout, and the gradient of the scores."""
    rows, cols = q.shape[1], k.shape[1]
    reader = None if mask is None else _Mask(mask, batch, rows, cols)
    flat_keep = None if keep is None else keep.reshape(-1, rows, cols)
    flat_lse = lse.reshape(-1, rows)
    delta = np.einsum("bld,bld->bl", g, _flat(y))
    for block in _blocks(len(q), rows, cols, causal):
        heads, queries, count = block
        p = _probabilities(_scores(q, k, reader, block, causal), flat_lse[heads, queries])
        ds = np.matmul(g[heads, queries], v[heads, :count].swapaxes(1, 2))
        dropped = p
        if flat_keep is not None:
            factor = flat_keep[heads, queries, :count] * p.dtype.type(kept)
            ds *= factor
            dropped = p * factor
        ds -= delta[heads, queries, None]
        ds *= p
        yield block, dropped, ds


def _attention_formula(g: Any, q: Any, k: Any, v: Any, mask: Any, keep: Any, y: Any, lse: Any, needs: tuple[bool, ...], scale: float,
                       causal: bool, kept: float) -> Any:
    saved, options = (g[0], q, k, v, mask, keep, y, lse), {"scale": scale, "causal": causal, "kept": kept}
    dq, dk, dv = _attention_grad_op(*saved, **options) if any(needs[:3]) else (None, None, None)
    dmask = _attention_mask_grad_op(*saved, **options) if needs[3] else None
    return [dq, dk, dv, dmask, None]


def _attention_plain(q: Any, k: Any, v: Any, mask: Any, keep: Any, y: Any, lse: Any, *, scale: float, causal: bool, kept: float) -> Any:
    """The same from plain operations; the softmax of a row in which nothing takes part is zeros."""
    s = matmul_function(q * scale, k.mT)
    if causal:
        s = s.masked_fill(s.new_tensor(np.triu(np.ones(s._array.shape[-2:], np.bool_), 1), dtype=dtypes.bool_), -math.inf)
    if mask is not None:
        s = s.masked_fill(mask.logical_not(), -math.inf) if mask.dtype is dtypes.bool_ else s + mask.to(s.dtype)
    empty = (s == -math.inf).all(-1, keepdim=True)
    p = where(empty, 0.0, apply(softmax_op, (s.masked_fill(empty, 0.0),), {"dim": s._array.ndim - 1}))
    if keep is not None:
        p = p * keep.to(p.dtype) * kept
    return matmul_function(p, v), lse


_attention_op: Op = Op("scaled_dot_product_attention", attention_forward, joint=_attention_formula, outputs="y lse",
                       composite=_attention_plain)
_attention_grad_op: Op = Op("scaled_dot_product_attention_backward", attention_grad, *[None] * 8, outputs="dq dk dv")
_attention_mask_grad_op: Op = Op("scaled_dot_product_attention_backward", _attention_mask_grad, *[None] * 8)


# ---- the door -----------------------------------------------------------------------------------------------------------------


def _check(query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool, dropout_p: float) -> None:
    given = {"query": query, "key": key, "value": value}
    for position, (name, x) in enumerate(given.items(), 1):
        require_tensor("scaled_dot_product_attention", x, name, position)
    q, k, v = (x._array for x in given.values())
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError("Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
                           f"{q.ndim} key.dim: {k.ndim} and value.dim: {v.ndim} instead.")
    if not q.dtype == k.dtype == v.dtype:
        raise RuntimeError("Expected query, key, and value to have the same dtype, but got query.dtype: "
                           f"{query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead.")
    if q.dtype.kind not in "fV":
        raise RuntimeError(f"scaled_dot_product_attention: expected a floating-point query, key and value, got {query.dtype}; "
                           "convert with .float()")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise RuntimeError("scaled_dot_product_attention: query (*, L, E), key (*, S, E) and value (*, S, D) must agree in E and S, got "
                           f"{list(q.shape)}, {list(k.shape)} and {list(v.shape)}")
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if attn_mask is None:
        return
    require_tensor("scaled_dot_product_attention", attn_mask, "attn_mask", 4)
    if is_causal:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    m = attn_mask._array.dtype
    if m != np.bool_ and m != q.dtype and m != FLOAT32:
        raise RuntimeError("Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
                           f"{attn_mask.dtype} and  query.dtype: {query.dtype} instead.")


def _grouped(query: Any, key: Any, value: Any) -> tuple[Any, Any]:
    """Keys and values repeated, so that each head of the query has its own."""
    if query._array.ndim < 3 or key._array.ndim < 3 or value._array.ndim < 3:
        raise IndexError("enable_gqa needs a dimension of heads: query (*, Hq, L, E), key and value (*, H, S, E); got "
                         f"{list(query._array.shape)}")
    heads = query._array.shape[-3]
    found = []
    for x in (key, value):
        own = x._array.shape[-3]
        if own == 0 or heads % own:
            raise RuntimeError("Number of heads in key and value must divide the number of heads in query, but got "
                               f"{own} and {heads}")
        found.append(x if own == heads else repeat_interleave(x, heads // own, -3))
    return found[0], found[1]


def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False) -> Any:
    """Each query's mean of the values, weighted by the softmax of its products with the keys.

    y = softmax(scale * query @ key^T + attn_mask) @ value

    Args:
        attn_mask: bool, True where a pair takes part; or floats to add to the scores. Broadcasts to (*, L, S).
        dropout_p: drops weights with this probability, also in evaluation: give 0.0 there.
        is_causal: query i looks at keys 0 to i only; instead of attn_mask.
        scale: 1 / sqrt(E) if not given.
        enable_gqa: query has Hq heads (dimension -3), key and value a divisor of it: each of theirs serves a group.
    Shape: query (*, L, E), key (*, S, E), value (*, S, D) -> (*, L, D); * broadcasts. dtype: floating, kept.
        A query for which nothing takes part gets zeros.
    Raises:
        RuntimeError: for shapes or dtypes that do not fit, or attn_mask and is_causal together.
    Derivative: with p the weights and ds = p (g value^T - sum(g y)): dquery = scale ds key, dkey = scale ds^T query,
        dvalue = p^T g, dattn_mask = ds.
    Source: Vaswani et al. 2017, section 3.2.1, arXiv:1706.03762; backward from the saved sums: Dao et al. 2022, algorithm 4,
        arXiv:2205.14135; groups: Ainslie et al. 2023, arXiv:2305.13245
    """
    if get_casting() is not None:
        query, key, value, attn_mask = lowered(query, key, value, attn_mask)
    _check(query, key, value, attn_mask, is_causal, dropout_p)
    if enable_gqa:
        key, value = _grouped(query, key, value)
    shapes = [x._array.shape[:-2] for x in (query, key, value)]
    if not shapes[0] == shapes[1] == shapes[2]:
        batch = tuple(broadcast_shapes(*shapes))
        query, key, value = (broadcast_to(x, (*batch, *x._array.shape[-2:])) for x in (query, key, value))
    q = query._array
    scores = (*q.shape[:-1], key._array.shape[-2])
    if attn_mask is not None:
        wanted = tuple(broadcast_shapes(attn_mask._array.shape, scores))
        if wanted[-2:] != scores[-2:]:
            raise RuntimeError(f"attn_mask of shape {list(attn_mask._array.shape)} does not broadcast to the scores {list(scores)}")
        if wanted != scores:  # the mask has more batches than the query
            query, key, value = (broadcast_to(x, (*wanted[:-2], *x._array.shape[-2:])) for x in (query, key, value))
            scores = wanted
    keep, kept = _dropped(scores, dropout_p, compute_dtype(query.dtype))
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    return apply(_attention_op, (query, key, value, attn_mask, keep), {"scale": scale, "causal": is_causal, "kept": kept})[0]


def _dropped(scores: tuple[int, ...], p: float, kind: Any) -> tuple[Any, float]:
    """Which weights dropout keeps (None for all), as `dropout` draws them, and the factor of those."""
    if p == 0 or 0 in scores:
        return None, 1.0
    if p == 1:
        return np.zeros(scores, np.bool_), 0.0
    return default_generator.dropout_mask(p, scores), float(kind.type(1) / kind.type(1 - p))


__all__ = ["scaled_dot_product_attention"]
