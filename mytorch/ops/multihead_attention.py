"""Multi-head attention: inputs projected to several heads, scaled dot-product attention in each, the heads joined and projected.

`nn.MultiheadAttention` holds the weights; this is the function without state.
"""

from __future__ import annotations

import math
from typing import Any

from mytorch import dtypes
from mytorch.ops.attention import scaled_dot_product_attention
from mytorch.ops.common import apply, require_tensor
from mytorch.ops.dropout import dropout
from mytorch.ops.joining import cat, chunk
from mytorch.ops.linalg import linear_function, matmul_function
from mytorch.ops.shape import pad, permute, reshape, squeeze, unsqueeze
from mytorch.ops.softmax import softmax_op

__mytorch__ = True


def _check_dims(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any, num_heads: int) -> bool:
    """Is there a dimension of batches?"""
    for position, (name, x) in enumerate((("query", query), ("key", key), ("value", value)), 1):
        require_tensor("multi_head_attention_forward", x, name, position)
    ndim = query._array.ndim
    if ndim not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {ndim}-D query tensor")
    which = "batched (3-D)" if ndim == 3 else "unbatched (2-D)"
    if not key._array.ndim == value._array.ndim == ndim:
        raise AssertionError(f"For {which} `query`, expected `key` and `value` to be {ndim}-D but found {key._array.ndim}-D and "
                             f"{value._array.ndim}-D tensors respectively")
    if key_padding_mask is not None and key_padding_mask._array.ndim != ndim - 1:
        raise AssertionError(f"For {which} `query`, expected `key_padding_mask` to be `None` or {ndim - 1}-D but found "
                             f"{key_padding_mask._array.ndim}-D tensor instead")
    if attn_mask is not None and attn_mask._array.ndim not in (2, 3):
        raise AssertionError(f"For {which} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask._array.ndim}-D "
                             "tensor instead")
    if ndim == 2 and attn_mask is not None and attn_mask._array.ndim == 3:
        expected = (num_heads, query._array.shape[0], key._array.shape[0])
        if attn_mask._array.shape != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {tuple(attn_mask._array.shape)}")
    return ndim == 3


def additive_mask(mask: Any, name: str, other: Any, other_name: str, like: Any) -> Any:
    """A mask as numbers to add to the scores: -inf for the True of a bool mask, floats as they are.

    Raises:
        AssertionError: for other dtypes. Warns where two masks differ in dtype.
    """
    if mask is None:
        return None
    is_bool = mask.dtype is dtypes.bool_
    if not is_bool and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {name} are supported, got {mask.dtype}")
    if other is not None and other.dtype is not mask.dtype:
        import warnings
        warnings.warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.", UserWarning,
                      stacklevel=4)
    if not is_bool:
        return mask
    return like.new_zeros(mask._array.shape).masked_fill(mask, -math.inf)


def _projected(query: Any, key: Any, value: Any, in_proj_weight: Any, in_proj_bias: Any, separate: Any) -> tuple[Any, Any, Any]:
    """q, k and v of all heads side by side, (T, N, E)."""
    if separate is None:
        if query is key is value:
            return tuple(chunk(linear_function(query, in_proj_weight, in_proj_bias), 3, -1))
        separate = chunk(in_proj_weight, 3, 0)
    biases = (None, None, None) if in_proj_bias is None else chunk(in_proj_bias, 3, 0)
    q, k, v = (linear_function(x, w, b) for x, w, b in zip((query, key, value), separate, biases, strict=True))
    return q, k, v


def _heads(x: Any, batch: int, num_heads: int) -> Any:
    """(T, N, E) -> (N, heads, T, E / heads)."""
    return permute(reshape(x, (x._array.shape[0], batch, num_heads, x._array.shape[2] // num_heads)), (1, 2, 0, 3))


def _static(x: Any, name: str, batch: int, num_heads: int, width: int) -> Any:
    """Keys or values given ready-made, (N * heads, S, E / heads)."""
    shape = x._array.shape
    for d, expected in ((0, batch * num_heads), (2, width)):
        if shape[d] != expected:
            raise AssertionError(f"expecting {name}.size({d}) of {expected}, but got {shape[d]}")
    return reshape(x, (batch, num_heads, *shape[1:]))


def _check_widths(query: Any, key: Any, value: Any, embed_dim: int, num_heads: int, separate: Any) -> None:
    if query._array.shape[-1] != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got {query._array.shape[-1]}")
    if embed_dim % num_heads:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")
    if separate is not None:
        for name, w in zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), separate, strict=True):
            if w is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name} is None")
        if key._array.shape[:2] != value._array.shape[:2]:
            raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
    elif key._array.shape != value._array.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if query._array.ndim == 3 and key._array.shape[1] != query._array.shape[1]:
        raise RuntimeError(f"key and value have batches of {key._array.shape[1]}, query of {query._array.shape[1]}: "
                           f"shapes {list(key._array.shape)} and {list(query._array.shape)}")


def _check_mask_sizes(attn_mask: Any, key_padding_mask: Any, rows: int, cols: int, batch: int, num_heads: int) -> None:
    if attn_mask is not None:
        shape = attn_mask._array.shape
        expected = (rows, cols) if len(shape) == 2 else (batch * num_heads, rows, cols)
        if shape != expected:
            raise RuntimeError(f"The shape of the {len(shape)}D attn_mask is {attn_mask.shape}, but should be {expected}.")
    if key_padding_mask is not None:
        padding = key_padding_mask._array.shape
        for d, size in enumerate((batch, cols)):
            if padding[d] != size:
                raise AssertionError(f"Expected key_padded_mask.shape[{d}] to be {size}, but got {padding[d]}")


def _merged(attn_mask: Any, key_padding_mask: Any, batch: int, num_heads: int) -> Any:
    """Both masks in one that broadcasts to (N, heads, L, S), or None."""
    if attn_mask is not None and attn_mask._array.ndim == 3:
        attn_mask = reshape(attn_mask, (batch, num_heads, *attn_mask._array.shape[1:]))
    if key_padding_mask is None:
        return attn_mask
    padding = reshape(key_padding_mask, (batch, 1, 1, key_padding_mask._array.shape[1]))
    return padding if attn_mask is None else attn_mask + padding


def _weighted(q: Any, k: Any, v: Any, mask: Any, dropout_p: float) -> tuple[Any, Any]:
    """What `scaled_dot_product_attention` computes, and the weights."""
    scores = matmul_function(q * math.sqrt(1.0 / q._array.shape[-1]), k.mT)
    if mask is not None:
        scores = scores + mask
    weights = apply(softmax_op, (scores,), {"dim": scores._array.ndim - 1})
    if dropout_p > 0:
        weights = dropout(weights, dropout_p)
    return matmul_function(weights, v), weights


def multi_head_attention_forward(
        query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any, in_proj_bias: Any, bias_k: Any,
        bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Any, out_proj_bias: Any, training: bool = True,
        key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None, use_separate_proj_weight: bool = False,
        q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None,
        average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Any, Any]:
    """Attention in several heads: y = concat(softmax(Q_h K_h^T / sqrt(d)) V_h for each head h) W^T + b.

    Args:
        in_proj_weight, in_proj_bias: (3 E, E) and (3 E): the projections to queries, keys and values, one below the other.
        use_separate_proj_weight: take q_proj_weight (E, E), k_proj_weight (E, kdim) and v_proj_weight (E, vdim) instead.
        bias_k, bias_v: (1, 1, E), one more key and its value, or None. add_zero_attn: one more of zeros.
        key_padding_mask: (N, S): True (or -inf) for keys that nobody looks at.
        attn_mask: (L, S) or (N * heads, L, S): True for pairs that do not take part, or floats to add to the scores.
        need_weights: return the weights as well, which costs time and memory; average_attn_weights: their mean over the heads.
        static_k, static_v: (N * heads, S, E / heads), instead of the projected keys and values.
        is_causal: a hint that attn_mask is the causal one.
    Shape: query (L, N, E), key (S, N, kdim), value (S, N, vdim), or without N
        -> y (L, N, E), and weights (N, L, S), (N, heads, L, S) if not averaged, or None.
    Raises:
        AssertionError: for shapes and dtypes that do not fit. RuntimeError: for masks that do not, or is_causal without attn_mask.
    Derivative: that of its parts.
    Source: Vaswani et al. 2017, section 3.2.2, arXiv:1706.03762
    """
    batched = _check_dims(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same = query is key is value
        query, key, value = (unsqueeze(x, 1) for x in (query, key, value))
        if same:
            key = value = query
        key_padding_mask = None if key_padding_mask is None else unsqueeze(key_padding_mask, 0)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    _check_widths(query, key, value, embed_dim_to_check, num_heads, separate)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
                           "`generate_square_subsequent_mask` to create this mask.")
    causal = is_causal and key_padding_mask is None and not need_weights
    rows, batch = query._array.shape[:2]
    _check_mask_sizes(attn_mask, key_padding_mask, rows, key._array.shape[0], batch, num_heads)
    padding = additive_mask(key_padding_mask, "key_padding_mask", attn_mask, "attn_mask", query)
    attn_mask = None if causal else additive_mask(attn_mask, "attn_mask", None, "", query)
    q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, separate)
    biased = bias_k is not None and bias_v is not None
    if biased:
        k, v = (cat([x, reshape(b, (1, 1, -1)).expand(1, batch, -1)]) for x, b in ((k, bias_k), (v, bias_v)))
    q, k, v = (_heads(x, batch, num_heads) for x in (q, k, v))
    k = k if static_k is None else _static(static_k, "static_k", batch, num_heads, q._array.shape[3])
    v = v if static_v is None else _static(static_v, "static_v", batch, num_heads, q._array.shape[3])
    if add_zero_attn:
        k, v = (cat([x, x.new_zeros((batch, num_heads, 1, x._array.shape[3]))], 2) for x in (k, v))
    extra = biased + bool(add_zero_attn)  # keys at the end that no mask knows of
    if extra:
        attn_mask, padding = (None if m is None else pad(m, (0, extra)) for m in (attn_mask, padding))
    mask = _merged(attn_mask, padding, batch, num_heads)
    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        y, weights = _weighted(q, k, v, mask, dropout_p)
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        y = scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
    joined = reshape(permute(y, (2, 0, 1, 3)), (rows * batch, embed_dim_to_check))  # (N, heads, L, E / heads) -> (L * N, E)
    y = reshape(linear_function(joined, out_proj_weight, out_proj_bias), (rows, batch, out_proj_weight._array.shape[0]))
    if batched:
        return y, weights
    return squeeze(y, 1), None if weights is None else squeeze(weights, 0)


__all__ = ["multi_head_attention_forward"]
