"""MultiheadAttention: the weights of attention in several heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn import init
from mytorch.nn.linear import Linear
from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.ops.create import empty
from mytorch.ops.multihead_attention import multi_head_attention_forward

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["MultiheadAttention", "NonDynamicallyQuantizableLinear"]


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear under the name that torch prints for the output projection."""


class MultiheadAttention(Module):
    """Attention in several heads: y = concat(softmax(Q_h K_h^T / sqrt(d)) V_h for each head h) W^T + b.

    The input projections start as `init.xavier_uniform_` draws them, biases at 0, the output projection as in `Linear`.

    Args:
        embed_dim: the width E of queries and outputs, divided evenly among num_heads.
        dropout: drops weights with this probability in training.
        bias: False leaves the biases of all projections out.
        add_bias_kv: one more key and value, learnt. add_zero_attn: one more of zeros.
        kdim, vdim: widths of keys and values, if not E.
        batch_first: tensors are (N, T, E), not (T, N, E).
    Shape: query (L, N, E), key (S, N, kdim), value (S, N, vdim), or without N -> y (L, N, E) and weights (N, L, S).
    Raises:
        AssertionError: if num_heads does not divide embed_dim, or inputs do not fit. ValueError: for sizes below 1.
        RuntimeError: for masks that do not fit.
    Source: Vaswani et al. 2017, section 3.2.2, arXiv:1706.03762
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None
    out_proj: NonDynamicallyQuantizableLinear

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
                 add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
                 device: Any = None, dtype: Any = None) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead")
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(f"embed_dim must be divisible by num_heads: got {embed_dim} and {num_heads}")
        sizes = {
            "in_proj_weight": (3 * embed_dim, embed_dim) if self._qkv_same_embed_dim else None,
            "q_proj_weight": None if self._qkv_same_embed_dim else (embed_dim, embed_dim),
            "k_proj_weight": None if self._qkv_same_embed_dim else (embed_dim, self.kdim),
            "v_proj_weight": None if self._qkv_same_embed_dim else (embed_dim, self.vdim),
            "in_proj_bias": (3 * embed_dim,) if bias else None,
            "bias_k": (1, 1, embed_dim) if add_bias_kv else None,
            "bias_v": (1, 1, embed_dim) if add_bias_kv else None,
        }
        for name, size in sizes.items():
            self.register_parameter(name, None if size is None else Parameter(empty(size, device=device, dtype=dtype)))
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            assert self.out_proj.bias is not None
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def merge_masks(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor) -> tuple[Tensor | None, int | None]:
        """Both masks as one, and its kind: 0 for the attention mask alone, 1 for the padding alone, 2 for one of (N, heads, L, S).

        Args:
            query: (N, L, E), for its sizes.
        """
        if attn_mask is None:
            return (None, None) if key_padding_mask is None else (key_padding_mask, 1)
        batch, length = query.shape[:2]
        if attn_mask.dim() == 3:
            merged = attn_mask.view(batch, -1, length, length)
        else:
            merged = attn_mask.view(1, 1, length, length).expand(batch, self.num_heads, -1, -1)
        if key_padding_mask is not None:
            merged = merged + key_padding_mask.view(batch, 1, 1, length).expand(-1, self.num_heads, -1, -1)
        return merged, 2

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
                attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """(y, weights). In both masks True means: does not take part; floats are added to the scores.

        Args:
            key_padding_mask: (N, S) or (S).
            need_weights: return the weights; without them it is faster.
            attn_mask: (L, S) or (N * num_heads, L, S).
            average_attn_weights: the mean over the heads, (N, L, S); else (N, num_heads, L, S).
            is_causal: a hint that attn_mask is the causal mask.
        """
        swapped = self.batch_first and query.ndim == 3
        if swapped:
            same = query is key is value
            query, key, value = (x.transpose(0, 1) if x.ndim == 3 else x for x in (query, key, value))
            if same:  # three views of one tensor: let the function see that it can project once
                key = value = query
        y, weights = multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k, self.bias_v,
            self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask,
            need_weights, attn_mask, not self._qkv_same_embed_dim, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal)
        return (y.transpose(0, 1) if swapped else y), weights
