"""Rows of products of matrices and of what layers are made of."""

from __future__ import annotations

from tests.samples.rows import F, Sample, one

LINALG = [
    Sample("matmul", lambda m: (m(2, 3), m(3, 4))),
    Sample("matmul", lambda m: (m(2, 1, 3, 2), m(3, 2, 4))),
    Sample("matmul", lambda m: (m(2, 3, 2), m(2, 4))),
    Sample("matmul", lambda m: (m(3), m(2, 3, 4))),
    Sample("matmul", lambda m: (m(2, 3, 4), m(4))),
    Sample("matmul", lambda m: (m.complex(2, 3), m.complex(3, 2))),
    Sample("mm", lambda m: (m(2, 3), m(3, 4))),
    Sample("bmm", lambda m: (m(2, 3, 4), m(2, 4, 2))),
    Sample("mv", lambda m: (m(2, 3), m(3))),
    Sample("dot", lambda m: (m(3), m(3))),
    Sample("vdot", lambda m: (m.complex(3), m.complex(3))),
    Sample("inner", lambda m: (m(2, 3), m(4, 3))),
    Sample("outer", lambda m: (m(2), m(3))),
    Sample("addmm", lambda m: (m(2, 4), m(2, 3), m(3, 4)), {"beta": 0.5, "alpha": 2}),
    Sample("addmv", lambda m: (m(2), m(2, 3), m(3)), {"beta": 0.5, "alpha": 2}),
    Sample("addr", lambda m: (m(2, 3), m(2), m(3))),
    Sample("baddbmm", lambda m: (m(2, 2, 2), m(2, 2, 3), m(2, 3, 2))),
    Sample("addbmm", lambda m: (m(2, 2), m(2, 2, 3), m(2, 3, 2))),
    Sample("Tensor.addmm_", lambda m: (m(2, 4), m(2, 3), m(3, 4)), {"beta": 0.5, "alpha": 2}),
    Sample("chain_matmul", lambda m: (m(2, 3), m(3, 4), m(4, 2))),
    Sample("tensordot", lambda m: (m(2, 3, 4), m(4, 3, 2)), {"dims": ([1, 2], [1, 0])}),
    Sample("einsum", lambda m: ("bij,bjk->bik", m(2, 3, 4), m(2, 4, 2))),
    Sample("einsum", lambda m: ("ii->i", m(3, 3))),
    Sample("einsum", lambda m: ("i,j,jk->ik", m(2), m(3), m(3, 2))),
    Sample("einsum", lambda m: ("...i,i", m(2, 3), m(3))),
    Sample("kron", lambda m: (m(2, 3), m(2, 2))),
    Sample("cross", lambda m: (m(2, 3), m(2, 3)), {"dim": 1}),
    Sample("cosine_similarity", lambda m: (m(2, 3), m(2, 3))),
    Sample("cdist", lambda m: (m(2, 3), m(4, 3))),
    Sample("cdist", lambda m: (m(27, 2), m(3, 2))),  # by a product
    Sample("cdist", lambda m: (m(2, 3, 2), m(4, 2)), {"compute_mode": "use_mm_for_euclid_dist"}),
    Sample("cdist", lambda m: (m(27, 2), m(3, 2)), {"compute_mode": "donot_use_mm_for_euclid_dist"}),
    Sample(F + "linear", lambda m: (m(2, 3), m(4, 3), m(4))),
    Sample(F + "linear", lambda m: (m(2, 2, 3), m(4, 3))),
    Sample(F + "bilinear", lambda m: (m(2, 3), m(2, 4), m(5, 3, 4), m(5))),
]

ACTIVATIONS = [
    *one("elu selu celu gelu silu mish softplus softsign tanhshrink logsigmoid leaky_relu relu6 hardtanh hardsigmoid hardswish hardshrink "
         "softshrink relu sigmoid tanh", prefix=F),
    Sample(F + "gelu", lambda m: (m(2, 3),), {"approximate": "tanh"}, pointwise=True),
    Sample(F + "softplus", lambda m: (m(2, 3), 2.0, 1.0), pointwise=True),
    Sample(F + "threshold", lambda m: (m(2, 3), 0.3, 5.0), pointwise=True),
    Sample(F + "prelu", lambda m: (m(2, 3), m(3))),
    Sample(F + "glu", lambda m: (m(2, 4),)),
    Sample(F + "rrelu", lambda m: (m(2, 3),), pointwise=True),
    Sample(F + "rrelu", lambda m: (m(2, 3),), {"training": True}, random=True),
    Sample("softmax", lambda m: (m(2, 3), 1)),
    Sample(F + "softmax", lambda m: (m(2, 3),), {"dim": 0}),
    Sample("log_softmax", lambda m: (m(2, 3), 1)),
    Sample(F + "log_softmax", lambda m: (m(2, 3),), {"dim": 0}),
    Sample(F + "softmin", lambda m: (m(2, 3), 1)),
    Sample(F + "gumbel_softmax", lambda m: (m(2, 3),), random=True),
]

CONVOLUTIONS = [
    Sample("conv1d", lambda m: (m(2, 2, 5), m(3, 2, 3), m(3)), {"padding": 1}),
    Sample("conv2d", lambda m: (m(1, 2, 4, 4), m(4, 1, 3, 3), m(4)), {"groups": 2, "padding": 1, "stride": 2}),
    Sample("conv2d", lambda m: (m(1, 2, 5, 5), m(2, 2, 2, 2)), {"dilation": 2}),
    Sample("conv3d", lambda m: (m(1, 1, 3, 3, 3), m(2, 1, 2, 2, 2), m(2))),
    Sample("conv_transpose1d", lambda m: (m(1, 2, 3), m(2, 2, 3), m(2)), {"stride": 2, "output_padding": 1}),
    Sample("conv_transpose2d", lambda m: (m(1, 2, 3, 3), m(2, 2, 2, 2), m(2)), {"stride": 2}),
    Sample("conv_transpose3d", lambda m: (m(1, 1, 2, 2, 2), m(1, 2, 2, 2, 2))),
    Sample("convolution", lambda m: (m(1, 2, 4), m(3, 2, 3), m(3), [1], [1], [1], False, [0], 1)),
    Sample(F + "unfold", lambda m: (m(1, 2, 4, 4), 2)),
    Sample(F + "fold", lambda m: (m(1, 8, 9), (4, 4), 2)),
    *[Sample(f"{F}max_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 2)) for d in (1, 2, 3)],
    Sample(F + "max_pool2d", lambda m: (m.const(1, 2, 4, 4), 2), grad=False),
    Sample(F + "max_pool2d", lambda m: (m(1, 2, 5, 5), 3), {"stride": 2, "padding": 1, "return_indices": True}),
    *[Sample(f"{F}avg_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 2)) for d in (1, 2, 3)],
    Sample(F + "avg_pool2d", lambda m: (m(1, 2, 5, 5), 3), {"stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True}),
    *[Sample(f"{F}adaptive_avg_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 3)) for d in (1, 2, 3)],
    *[Sample(f"{F}adaptive_max_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d), 3)) for d in (1, 2, 3)],
    *[Sample(f"{F}lp_pool{d}d", lambda m, d=d: (m(1, 2, *[4] * d, low=0.3), 2, 2)) for d in (1, 2, 3)],
    Sample(F + "max_unpool1d", lambda m: (m(1, 1, 2), m.index([[[1, 2]]]), 2)),
    Sample(F + "max_unpool2d", lambda m: (m(1, 1, 2, 2), m.index([[[[0, 3], [9, 14]]]]), 2)),
    Sample(F + "max_unpool3d", lambda m: (m(1, 1, 1, 1, 2), m.index([[[[[1, 2]]]]]), 2)),
    *[Sample(F + "interpolate", lambda m: (m(1, 2, 3, 4),), {"size": (5, 6), "mode": mode}) for mode in ("nearest", "bilinear", "bicubic", "area")],
    Sample(F + "interpolate", lambda m: (m(1, 2, 4),), {"scale_factor": 1.5, "mode": "linear", "align_corners": True}),
    Sample(F + "upsample_nearest", lambda m: (m(1, 2, 3, 4),), {"scale_factor": 2}),
    Sample(F + "upsample_bilinear", lambda m: (m(1, 2, 3, 4),), {"scale_factor": 2}),
    Sample(F + "upsample", lambda m: (m(1, 2, 3, 4),), {"scale_factor": 2}),
    Sample(F + "pixel_shuffle", lambda m: (m(1, 4, 2, 2), 2)),
    Sample(F + "pixel_unshuffle", lambda m: (m(1, 1, 4, 4), 2)),
    Sample(F + "channel_shuffle", lambda m: (m(1, 4, 2, 2), 2)),
]

NORMALIZATION = [
    Sample(F + "batch_norm", lambda m: (m(4, 3), m.const(3), m.const(3, low=0.5), m(3), m(3))),
    Sample(F + "batch_norm", lambda m: (m(2, 3, 4), None, None, m(3), m(3)), {"training": True}),
    Sample(F + "layer_norm", lambda m: (m(2, 3, 4), (3, 4), m(3, 4), m(3, 4))),
    Sample(F + "group_norm", lambda m: (m(2, 4, 3), 2, m(4), m(4))),
    Sample(F + "instance_norm", lambda m: (m(2, 3, 4),)),
    Sample(F + "rms_norm", lambda m: (m(2, 3, 4), (4,), m(4))),
    Sample(F + "local_response_norm", lambda m: (m(2, 4, 3), 2)),
    Sample(F + "normalize", lambda m: (m(2, 3),)),
]

LOSSES = [
    *[Sample(F + name, lambda m: (m(2, 3), m(2, 3))) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")],
    *[Sample(F + name, lambda m: (m(2, 3), m(2, 3)), {"reduction": "none"}, pointwise=True)
      for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")],
    Sample(F + "cross_entropy", lambda m: (m(3, 4), m.ints(3, high=4)), {"label_smoothing": 0.1}),
    Sample(F + "cross_entropy", lambda m: (m(2, 3, 4), m.ints(2, 4, high=3), m.const(3, low=0.5)), {"reduction": "sum", "ignore_index": 1}),
    Sample(F + "cross_entropy", lambda m: (m(3, 4), m(3, 4, low=0.1, high=0.4))),
    Sample(F + "nll_loss", lambda m: (m(3, 4), m.ints(3, high=4))),
    Sample(F + "nll_loss", lambda m: (m(2, 3, 4), m.ints(2, 4, high=3)), {"reduction": "none"}),
    Sample(F + "binary_cross_entropy", lambda m: (m(2, 3, low=0.1, high=0.9), m(2, 3, low=0.1, high=0.9))),
    Sample(F + "binary_cross_entropy_with_logits", lambda m: (m(2, 3), m(2, 3, low=0.1, high=0.9)),
           lambda m: {"pos_weight": m.const(3, low=0.5)}),
    Sample(F + "kl_div", lambda m: (m(2, 3), m(2, 3, low=0.1, high=0.9)), {"reduction": "batchmean"}),
    Sample(F + "poisson_nll_loss", lambda m: (m(2, 3), m(2, 3, low=0.5))),
    Sample(F + "gaussian_nll_loss", lambda m: (m(2, 3), m(2, 3), m(2, 3, low=0.5))),
    Sample(F + "soft_margin_loss", lambda m: (m(2, 3), m.const(2, 3).sign())),
    Sample(F + "hinge_embedding_loss", lambda m: (m(2, 3), m.const(2, 3).sign())),
    Sample(F + "margin_ranking_loss", lambda m: (m(3), m(3), m.const(3).sign())),
    Sample(F + "cosine_embedding_loss", lambda m: (m(3, 4), m(3, 4), m.const(3).sign())),
    Sample(F + "triplet_margin_loss", lambda m: (m(3, 4), m(3, 4), m(3, 4))),
    Sample(F + "triplet_margin_with_distance_loss", lambda m: (m(3, 4), m(3, 4), m(3, 4))),
    Sample(F + "pairwise_distance", lambda m: (m(3, 4), m(3, 4))),
    Sample(F + "multi_margin_loss", lambda m: (m(3, 4), m.ints(3, high=4))),
    Sample(F + "multilabel_margin_loss", lambda m: (m(2, 3), m.index([[0, -1, 1], [2, 1, -1]]))),
    Sample(F + "multilabel_soft_margin_loss", lambda m: (m(2, 3), m.ints(2, 3, high=2).to(m.dt(m.dtype)))),
]

EMBEDDING = [
    Sample(F + "embedding", lambda m: (m.ints(2, 3), m(5, 4))),
    Sample(F + "embedding", lambda m: (m.ints(2, 3), m(5, 4)), {"padding_idx": 1, "scale_grad_by_freq": True}, twice=False, slopes=False),
    *[Sample(F + "embedding_bag", lambda m: (m.ints(5), m(5, 4), m.index([0, 2])), {"mode": mode})
      for mode in ("sum", "mean", "max")],
    Sample(F + "one_hot", lambda m: (m.ints(2, 3), 6), grad=False),
]

RECURRENT = [
    *[Sample(name, lambda m: (m(3, 2, 4), m(1, 2, 3), [m(3, 4), m(3, 3), m(3), m(3)], True, 1, 0.0, False, False, False))
      for name in ("rnn_tanh", "rnn_relu")],
    Sample("gru", lambda m: (m(3, 2, 4), m(1, 2, 3), [m(9, 4), m(9, 3), m(9), m(9)], True, 1, 0.0, False, False, False)),
    Sample("lstm", lambda m: (m(3, 2, 4), [m(1, 2, 3), m(1, 2, 3)], [m(12, 4), m(12, 3), m(12), m(12)], True, 1, 0.0, False, False, False)),
    *[Sample(name, lambda m: (m(2, 4), m(2, 3), m(3, 4), m(3, 3), m(3), m(3))) for name in ("rnn_tanh_cell", "rnn_relu_cell")],
    Sample("gru_cell", lambda m: (m(2, 4), m(2, 3), m(9, 4), m(9, 3), m(9), m(9))),
    Sample("lstm_cell", lambda m: (m(2, 4), [m(2, 3), m(2, 3)], m(12, 4), m(12, 3), m(12), m(12))),
]

ROWS = [*LINALG, *ACTIVATIONS, *CONVOLUTIONS, *NORMALIZATION, *LOSSES, *EMBEDDING, *RECURRENT]
