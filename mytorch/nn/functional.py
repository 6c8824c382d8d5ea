"""Functions of networks without state, under torch.nn.functional's names. Each lives in its family's file in ops/."""
# ruff: noqa: I001 - a face: names are imported to be re-exported

from __future__ import annotations

from mytorch.ops.activation import (
    celu as celu, celu_ as celu_, elu as elu, elu_ as elu_, gelu as gelu, glu as glu, hardshrink as hardshrink, hardsigmoid as
    hardsigmoid, hardswish as hardswish, hardtanh as hardtanh, hardtanh_ as hardtanh_, leaky_relu as leaky_relu, leaky_relu_ as
    leaky_relu_, logsigmoid as logsigmoid, mish as mish, prelu as prelu, relu as relu, relu6 as relu6, relu_ as relu_, rrelu as
    rrelu, rrelu_ as rrelu_, selu as selu, selu_ as selu_, silu as silu, softplus as softplus, softshrink as softshrink, softsign
    as softsign, tanhshrink as tanhshrink, threshold as threshold, threshold_ as threshold_,
)
from mytorch.ops.adaptive_pool import (
    adaptive_avg_pool1d as adaptive_avg_pool1d, adaptive_avg_pool2d as adaptive_avg_pool2d, adaptive_avg_pool3d as
    adaptive_avg_pool3d, adaptive_max_pool1d as adaptive_max_pool1d, adaptive_max_pool2d as adaptive_max_pool2d,
    adaptive_max_pool3d as adaptive_max_pool3d, lp_pool1d as lp_pool1d, lp_pool2d as lp_pool2d, lp_pool3d as lp_pool3d,
    max_unpool1d as max_unpool1d, max_unpool2d as max_unpool2d, max_unpool3d as max_unpool3d,
    adaptive_max_pool1d_with_indices as adaptive_max_pool1d_with_indices, adaptive_max_pool2d_with_indices as
    adaptive_max_pool2d_with_indices, adaptive_max_pool3d_with_indices as adaptive_max_pool3d_with_indices,
)
from mytorch.ops.arithmetic import sigmoid as sigmoid, tanh as tanh
from mytorch.ops.attention import scaled_dot_product_attention as scaled_dot_product_attention
from mytorch.ops.conv import (
    conv1d as conv1d, conv2d as conv2d, conv3d as conv3d, conv_transpose1d as conv_transpose1d, conv_transpose2d as
    conv_transpose2d, conv_transpose3d as conv_transpose3d,
)
from mytorch.ops.conv_tbc import conv_tbc as conv_tbc
from mytorch.ops.cross_entropy import cross_entropy as cross_entropy, nll_loss as nll_loss
from mytorch.ops.ctc import ctc_loss as ctc_loss
from mytorch.ops.dropout import (
    alpha_dropout as alpha_dropout, dropout as dropout, dropout1d as dropout1d, dropout2d as dropout2d, dropout3d as dropout3d,
    feature_alpha_dropout as feature_alpha_dropout,
)
from mytorch.ops.embedding import embedding as embedding, embedding_bag as embedding_bag, one_hot as one_hot
from mytorch.ops.fractional_pool import (
    fractional_max_pool2d as fractional_max_pool2d, fractional_max_pool2d_with_indices as fractional_max_pool2d_with_indices,
    fractional_max_pool3d as fractional_max_pool3d, fractional_max_pool3d_with_indices as fractional_max_pool3d_with_indices,
)
from mytorch.ops.grid_sample import affine_grid as affine_grid, grid_sample as grid_sample
from mytorch.ops.linalg import cosine_similarity as cosine_similarity
from mytorch.ops.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from mytorch.ops.loss import (
    binary_cross_entropy as binary_cross_entropy, binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    gaussian_nll_loss as gaussian_nll_loss, huber_loss as huber_loss, kl_div as kl_div, l1_loss as l1_loss, mse_loss as mse_loss,
    poisson_nll_loss as poisson_nll_loss, smooth_l1_loss as smooth_l1_loss,
)
from mytorch.ops.margin_loss import (
    cosine_embedding_loss as cosine_embedding_loss, hinge_embedding_loss as hinge_embedding_loss, margin_ranking_loss as
    margin_ranking_loss, multi_margin_loss as multi_margin_loss, multilabel_margin_loss as multilabel_margin_loss,
    multilabel_soft_margin_loss as multilabel_soft_margin_loss, pairwise_distance as pairwise_distance, soft_margin_loss as
    soft_margin_loss, triplet_margin_loss as triplet_margin_loss, triplet_margin_with_distance_loss as
    triplet_margin_with_distance_loss,
)
from mytorch.ops.multihead_attention import multi_head_attention_forward as multi_head_attention_forward
from mytorch.ops.norm import (
    batch_norm as batch_norm, group_norm as group_norm, instance_norm as instance_norm, layer_norm as layer_norm,
    local_response_norm as local_response_norm, normalize as normalize, rms_norm as rms_norm,
)
from mytorch.ops.pdist import pdist as pdist
from mytorch.ops.pool import (
    avg_pool1d as avg_pool1d, avg_pool2d as avg_pool2d, avg_pool3d as avg_pool3d, max_pool1d as max_pool1d, max_pool2d as
    max_pool2d, max_pool3d as max_pool3d, max_pool1d_with_indices as max_pool1d_with_indices, max_pool2d_with_indices as
    max_pool2d_with_indices, max_pool3d_with_indices as max_pool3d_with_indices,
)
from mytorch.ops.resize import (
    channel_shuffle as channel_shuffle, channel_shuffle as native_channel_shuffle,
    interpolate as interpolate, pixel_shuffle as pixel_shuffle, pixel_unshuffle as
    pixel_unshuffle, upsample as upsample, upsample_bilinear as upsample_bilinear, upsample_nearest as upsample_nearest,
)
from mytorch.ops.shape import pad as pad
from mytorch.ops.softmax import gumbel_softmax as gumbel_softmax, softmin as softmin
from mytorch.ops.unfold import bilinear as bilinear, fold as fold, unfold as unfold
from mytorch.ops.linalg import linear_function as linear
from mytorch.ops.softmax import functional_log_softmax as log_softmax
from mytorch.ops.softmax import functional_softmax as softmax

__mytorch__ = True
