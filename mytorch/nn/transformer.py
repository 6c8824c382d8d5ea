"""The Transformer: encoder and decoder layers, stacks of them, and the whole model without embeddings and output layer."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from mytorch import dtypes
from mytorch.autograd_engine import is_grad_enabled
from mytorch.nn import init
from mytorch.nn.activations import GELU, ReLU
from mytorch.nn.attention_layers import MultiheadAttention
from mytorch.nn.container import ModuleList
from mytorch.nn.dropout import Dropout
from mytorch.nn.linear import Linear
from mytorch.nn.module import Module
from mytorch.nn.normalization import LayerNorm
from mytorch.ops.activation import gelu, relu
from mytorch.ops.create import full
from mytorch.ops.multihead_attention import additive_mask
from mytorch.ops.shape import triu

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer"]


def _get_activation_fn(name: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if callable(name):
        return name
    known: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "gelu": gelu}
    if not isinstance(name, str):
        raise TypeError(f"activation should be 'relu', 'gelu' or a function, not {name!r}")
    if name not in known:
        raise RuntimeError(f"activation should be relu/gelu, not {name}")
    return known[name]


def _get_clones(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _causal_mask(size: int, device: Any = None, dtype: Any = None) -> Tensor:
    mask: Tensor = triu(full((size, size), -math.inf, dtype=dtype, device=device), diagonal=1)
    return mask


def _is_causal(mask: Tensor | None, is_causal: bool | None, sequences: Tensor, batch_first: bool) -> bool:
    """What the caller says; if nothing, whether the mask is the causal one."""
    if is_causal is not None or mask is None:
        return bool(is_causal)
    size = sequences.shape[-2] if batch_first or sequences.ndim == 2 else sequences.shape[0]
    if tuple(mask.shape) != (size, size) or not mask.is_floating_point():
        return False
    return bool((mask == _causal_mask(size, dtype=mask.dtype)).all())


class TransformerEncoderLayer(Module):
    """Self-attention, then two linear layers with an activation between them; each with dropout, a residual and a LayerNorm.

    x = norm1(x + attention(x)); y = norm2(x + linear2(activation(linear1(x)))). With norm_first each norm comes before its block:
    x = x + attention(norm1(x)), and so on.

    Args:
        d_model, nhead: width and number of heads. dim_feedforward: width between the linear layers.
        activation: 'relu', 'gelu' or a function.
        batch_first: tensors are (N, T, E), not (T, N, E).
        bias: False leaves all biases out.
    Shape: (T, N, d_model), kept.
    Source: Vaswani et al. 2017, arXiv:1706.03762; norm_first: Xiong et al. 2020, arXiv:2002.04745
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: str | Callable[[Tensor], Tensor] = relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        options = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **options)
        self.linear1 = Linear(d_model, dim_feedforward, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, **options)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _get_activation_fn(activation)

    def forward(self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                is_causal: bool = False) -> Tensor:
        """One layer. In the masks True means: does not take part; is_causal says that src_mask is the causal mask."""
        src_key_padding_mask = additive_mask(src_key_padding_mask, "src_key_padding_mask", src_mask, "src_mask", src)
        src_mask = additive_mask(src_mask, "src_mask", None, "", src)
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, src_mask, src_key_padding_mask, is_causal))
        y: Tensor = self.norm2(x + self._ff_block(x))
        return y

    def _sa_block(self, x: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None, is_causal: bool) -> Tensor:
        y = self.self_attn(x, x, x, attn_mask=attn_mask, key_padding_mask=key_padding_mask, need_weights=False, is_causal=is_causal)[0]
        dropped: Tensor = self.dropout1(y)
        return dropped

    def _ff_block(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return y


class TransformerDecoderLayer(Module):
    """Self-attention, attention to the encoder's output (memory), two linear layers; each with dropout, residual and LayerNorm.

    Arguments as for `TransformerEncoderLayer`.

    Shape: tgt (T, N, d_model), memory (S, N, d_model) -> as tgt.
    Source: Vaswani et al. 2017, arXiv:1706.03762
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: str | Callable[[Tensor], Tensor] = relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        options = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **options)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **options)
        self.linear1 = Linear(d_model, dim_feedforward, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, **options)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, **options)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _get_activation_fn(activation)

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None, tgt_is_causal: bool = False,
                memory_is_causal: bool = False) -> Tensor:
        """One layer. In the masks True means: does not take part."""
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory, memory_mask, memory_key_padding_mask, memory_is_causal)
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *own)
            x = x + self._mha_block(self.norm2(x), *other)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *own))
        x = self.norm2(x + self._mha_block(x, *other))
        y: Tensor = self.norm3(x + self._ff_block(x))
        return y

    def _sa_block(self, x: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None, is_causal: bool) -> Tensor:
        y = self.self_attn(x, x, x, attn_mask=attn_mask, key_padding_mask=key_padding_mask, is_causal=is_causal, need_weights=False)[0]
        dropped: Tensor = self.dropout1(y)
        return dropped

    def _mha_block(self, x: Tensor, memory: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None,
                   is_causal: bool) -> Tensor:
        y = self.multihead_attn(x, memory, memory, attn_mask=attn_mask, key_padding_mask=key_padding_mask, is_causal=is_causal,
                                need_weights=False)[0]
        dropped: Tensor = self.dropout2(y)
        return dropped

    def _ff_block(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return y


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after the other, and a norm at the end if one is given.

    In evaluation without gradients, where torch packs sequences, what is padded becomes 0 before the norm, as there.

    Args:
        encoder_layer: is copied num_layers times, with its weights.
        enable_nested_tensor: False leaves what is padded as it comes out.
        mask_check: torch's check that padding is at the end; here it is always made.
    Shape: (T, N, d_model), kept.
    """

    def __init__(self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None,
                 enable_nested_tensor: bool = True, mask_check: bool = True) -> None:
        super().__init__()
        self.layers = _get_clones(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                is_causal: bool | None = None) -> Tensor:
        """All layers. In the masks True means: does not take part; is_causal=None finds out whether mask is the causal one."""
        padding = additive_mask(src_key_padding_mask, "src_key_padding_mask", mask, "mask", src)
        mask = additive_mask(mask, "mask", None, "", src)
        first: Any = self.layers[0] if len(self.layers) else None
        batch_first = first is not None and first.self_attn.batch_first
        causal = _is_causal(mask, is_causal, src, batch_first)
        y = src
        for layer in self.layers:
            y = layer(y, src_mask=mask, is_causal=causal, src_key_padding_mask=padding)
        if padding is not None and mask is None and first is not None and self._packs(first, src, padding):
            y = y.masked_fill((padding == -math.inf).unsqueeze(2), 0.0)
        return y if self.norm is None else self.norm(y)

    def _packs(self, layer: Any, src: Tensor, padding: Tensor) -> bool:
        """Would torch leave the padding out of the computation and fill it with zeros afterwards?"""
        if self.training or not self.enable_nested_tensor or src.ndim != 3 or not isinstance(layer, TransformerEncoderLayer):
            return False
        attention = layer.self_attn
        plain = layer.activation in (relu, gelu) or isinstance(layer.activation, (ReLU, GELU))
        if (layer.norm_first or layer.norm1.eps != layer.norm2.eps or not attention.batch_first or attention.in_proj_bias is None
                or attention.num_heads % 2 or not plain):
            return False
        if is_grad_enabled() and (src.requires_grad or any(p.requires_grad for p in layer.parameters())):
            return False
        left_out = (padding == -math.inf).to(dtypes.int64)
        return bool((left_out.sort(dim=1)[0] == left_out).all())  # padding at the end only


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after the other, and a norm at the end if one is given.

    Shape: tgt (T, N, d_model), memory (S, N, d_model) -> as tgt.
    """

    def __init__(self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _get_clones(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
                tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Tensor:
        """All layers. In the masks True means: does not take part; tgt_is_causal=None finds out whether tgt_mask is the causal one."""
        first: Any = self.layers[0] if len(self.layers) else None
        causal = _is_causal(tgt_mask, tgt_is_causal, tgt, first is not None and first.self_attn.batch_first)
        y = tgt
        for layer in self.layers:
            y = layer(y, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
                      memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=causal, memory_is_causal=memory_is_causal)
        return y if self.norm is None else self.norm(y)


class Transformer(Module):
    """Encoder and decoder, between the embeddings and the output layer, which are the user's.

    All matrices start as `init.xavier_uniform_` draws them.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: as for the layers.
        num_encoder_layers, num_decoder_layers: how many.
        custom_encoder, custom_decoder: take these instead of building them.
    Shape: src (S, N, d_model), tgt (T, N, d_model) -> (T, N, d_model).
    Raises:
        RuntimeError: for batches that differ or other widths.
    Source: Vaswani et al. 2017, arXiv:1706.03762
    """

    def __init__(self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
                 dim_feedforward: int = 2048, dropout: float = 0.1, activation: str | Callable[[Tensor], Tensor] = relu,
                 custom_encoder: Any = None, custom_decoder: Any = None, layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        options = {"bias": bias, "device": device, "dtype": dtype}
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first)
        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            layer = TransformerEncoderLayer(*sizes, **options)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, LayerNorm(d_model, layer_norm_eps, **options))
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            decoder_layer = TransformerDecoderLayer(*sizes, **options)
            self.decoder = TransformerDecoder(decoder_layer, num_decoder_layers, LayerNorm(d_model, layer_norm_eps, **options))
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None,
                memory_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
                src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Tensor:
        """Encode src, decode tgt with it. In the masks True means: does not take part."""
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError(f"the batch number of src and tgt must be equal: got {src.shape[batch]} and {tgt.shape[batch]}")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError(f"the feature number of src and tgt must be equal to d_model, {self.d_model}: got {src.shape[-1]} and "
                               f"{tgt.shape[-1]}")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        y: Tensor = self.decoder(tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
                                 memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
                                 memory_is_causal=memory_is_causal)
        return y

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask (sz, sz): -inf above the diagonal, 0 elsewhere."""
        return _causal_mask(sz, device, dtype)
