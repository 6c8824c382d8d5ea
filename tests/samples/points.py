"""Rows of what reads images at points or in windows of its own choice, of CTC, and of the lower names of norms."""

from __future__ import annotations

from tests.samples.rows import Error, F, Sample


def grid(m, *shape):
    """Points inside and outside the image, none where a gradient jumps."""
    return m(*shape, low=-1.3, high=1.3)


GRIDS = [
    *[Sample(F + "grid_sample", lambda m: (m(2, 2, 3, 4), grid(m, 2, 2, 3, 2)), {"mode": mode, "padding_mode": padding, "align_corners": False})
      for mode in ("bilinear", "nearest", "bicubic") for padding in ("zeros", "border", "reflection")],
    Sample(F + "grid_sample", lambda m: (m(1, 2, 3, 4), grid(m, 1, 2, 3, 2)), {"padding_mode": "reflection", "align_corners": True}),
    Sample(F + "grid_sample", lambda m: (m(1, 2, 2, 3, 2), grid(m, 1, 2, 2, 2, 3)), {"padding_mode": "border", "align_corners": True}),
    Sample("grid_sampler", lambda m: (m(1, 2, 3, 4), grid(m, 1, 2, 3, 2), 0, 0, False)),
    Sample("grid_sampler_2d", lambda m: (m(1, 2, 3, 4), grid(m, 1, 2, 3, 2), 2, 1, True)),
    Sample("grid_sampler_3d", lambda m: (m(1, 2, 2, 3, 2), grid(m, 1, 2, 2, 2, 3), 0, 0, False)),
    Sample(F + "affine_grid", lambda m: (m(2, 2, 3), (2, 1, 3, 4)), {"align_corners": False}),
    Sample(F + "affine_grid", lambda m: (m(1, 3, 4), (1, 1, 2, 3, 4)), {"align_corners": True}),
]


def samples(m, *shape):
    """The draws of a fractional pooling."""
    return m.const(*shape, low=0.0, high=0.99)


POOLS = [
    Sample(F + "fractional_max_pool2d", lambda m: (m(2, 2, 6, 7), 2, (3, 4)), lambda m: {"_random_samples": samples(m, 2, 2, 2)}),
    Sample(F + "fractional_max_pool2d", lambda m: (m(2, 6, 7), (2, 3)), {"output_ratio": (0.5, 0.4)}, random=True),
    Sample(F + "fractional_max_pool2d_with_indices", lambda m: (m(1, 2, 5, 5), 2, 3), lambda m: {"_random_samples": samples(m, 1, 2, 2)}),
    Sample(F + "fractional_max_pool3d", lambda m: (m(1, 2, 5, 5, 5), 2, (2, 3, 2)), lambda m: {"_random_samples": samples(m, 1, 2, 3)}),
    Sample(F + "fractional_max_pool3d_with_indices", lambda m: (m(1, 1, 4, 4, 4), 2, 2), lambda m: {"_random_samples": samples(m, 1, 1, 3)}),
    Sample(F + "max_pool1d_with_indices", lambda m: (m(1, 2, 7), 3, 2)),
    Sample(F + "max_pool2d_with_indices", lambda m: (m(1, 2, 5, 4), 2)),
    Sample(F + "max_pool3d_with_indices", lambda m: (m(1, 1, 4, 4, 3), 2)),
    Sample(F + "adaptive_max_pool1d_with_indices", lambda m: (m(1, 2, 7), 3)),
    Sample(F + "adaptive_max_pool2d_with_indices", lambda m: (m(1, 2, 5, 4), 3)),
    Sample(F + "adaptive_max_pool3d_with_indices", lambda m: (m(1, 1, 3, 4, 3), 2)),
    *[Sample(F + "interpolate", lambda m: (m(1, 2, 5, 7),), {"size": (3, 9), "mode": mode, "antialias": True}) for mode in ("bilinear", "bicubic")],
]

LOSSES = [
    # the gradient is that of the logits behind the log-probabilities, see tests/test_ctc.py
    Sample(F + "ctc_loss", lambda m: (m(5, 2, 4).log_softmax(2), m.index([[1, 2, 2], [3, 1, 0]]), (5, 4), (3, 2)), slopes=False),
    Sample(F + "ctc_loss", lambda m: (m(5, 4).log_softmax(1), m.index([1, 2]), (4,), (2,)), {"reduction": "none", "blank": 3}, slopes=False),
    Sample(F + "ctc_loss", lambda m: (m(4, 2, 3).log_softmax(2), m.index([1, 1, 1, 2]), (3, 4), (3, 1)), {"zero_infinity": True, "reduction": "sum"},
           slopes=False),
    Sample(F + "linear_cross_entropy", lambda m: (m(3, 4), m(5, 4), m.ints(3)), lambda m: {"linear_bias": m(5)}),
    Sample(F + "linear_cross_entropy", lambda m: (m(3, 4), m(5, 2, 4), m.ints(3, 2)), {"reduction": "none", "label_smoothing": 0.1}),
    # torch's has no second derivative
    Sample(F + "linear_cross_entropy", lambda m: (m(5, 4), m(3, 4), m.ints(5, high=3)), lambda m: {
        "linear_bias": m(3), "reduction": "sum", "options": m.lib.nn.LinearCrossEntropyOptions(batch_chunk_size=2)}, torch=False),
    *[Sample(F + "pdist", lambda m: (m(4, 3), ), {"p": p}) for p in (1.0, 2.0, 3.0, float("inf"))],
    Sample("pdist", lambda m: (m(3, 2),)),
]

NATIVE = [
    Sample("native_layer_norm", lambda m: (m(2, 3, 4), (3, 4), m(3, 4), m(3, 4), 1e-5)),
    # torch marks the statistics as needing a gradient, and then has none
    Sample("native_group_norm", lambda m: (m(2, 4, 3), m(4), m(4), 2, 4, 3, 2, 1e-5), torch=False),
    Sample("native_batch_norm", lambda m: (m(4, 3), m(3), m(3), None, None, True, 0.1, 1e-5)),
    Sample("native_batch_norm", lambda m: (m(4, 3), m(3), m(3), m.const(3), m.const(3, low=0.5), False, 0.1, 1e-5)),
    Sample("_native_batch_norm_legit", lambda m: (m(4, 3), m(3), m(3), True, 0.1, 1e-5)),
    Sample("native_dropout", lambda m: (m(3, 4), 0.4, True), random=True),
    Sample("native_dropout_backward", lambda m: (m(3, 4), m.bools(3, 4), 1.5), torch=False),  # an operation of torch's, but no name of it
    Sample(F + "conv_tbc", lambda m: (m(5, 2, 3), m(2, 3, 4), m(4), 1)),
]

ROWS = [*GRIDS, *POOLS, *LOSSES, *NATIVE]

ERRORS = [
    Error(F + "grid_sample", lambda m: (m(1, 2, 3, 4), m(2, 2, 3, 2)), RuntimeError, "expected grid and input to have same batch size",
          {"align_corners": False}),
    Error(F + "grid_sample", lambda m: (m(1, 2, 3, 4), m(1, 2, 3, 3)), RuntimeError, "expected grid to have size 2 in last dimension",
          {"align_corners": False}),
    Error(F + "grid_sample", lambda m: (m(1, 2, 3, 4), m(1, 2, 3, 2)), ValueError, "expected mode to be 'bilinear', 'nearest' or 'bicubic'",
          {"mode": "cubic", "align_corners": False}),
    Error(F + "affine_grid", lambda m: (m(1, 2, 4), (1, 1, 3, 3)), ValueError, "Expected a batch of 2D affine matrices of shape Nx2x3",
          {"align_corners": False}),
    Error(F + "affine_grid", lambda m: (m(1, 2, 3), (1, 3, 3)), NotImplementedError, "affine_grid only supports 4D and 5D sizes",
          {"align_corners": False}),
    Error(F + "fractional_max_pool2d", lambda m: (m(1, 2, 5, 5), 2), ValueError, "requires specifying either an output_size or an output_ratio"),
    Error(F + "fractional_max_pool2d", lambda m: (m(1, 2, 5, 5), 4, 3), RuntimeError, "pool height 4 too large relative to input height 5"),
    Error(F + "ctc_loss", lambda m: (m(5, 2, 4), m.index([[1, 2], [1, 2]]), (6, 5), (2, 2)), RuntimeError,
          "Expected input_lengths to have value at most 5, but got value 6"),
    Error(F + "ctc_loss", lambda m: (m(5, 2, 4), m.index([[1, 2], [1, 2]]), (5, 5), (3, 2)), RuntimeError,
          "Expected tensor to have size at least 3 at dimension 1, but got size 2 for argument #2 'targets'"),
    Error(F + "ctc_loss", lambda m: (m(5, 2, 4), m.index([[1, 2], [1, 2]]), (5,), (2, 2)), RuntimeError, "input_lengths must be of size batch_size"),
    Error(F + "ctc_loss", lambda m: (m(5, 2, 4), m.index([[1, 2], [1, 2]]), (5, 5), (2, 2)), RuntimeError, "blank must be in label range",
          {"blank": 4}),
    Error(F + "linear_cross_entropy", lambda m: (m(3, 4), m(5, 3), m.ints(3)), RuntimeError,
          "expected equal input and linear_weight last dimensions (in_features), got 4 and 3"),
    Error(F + "pdist", lambda m: (m(3),), RuntimeError, "pdist only supports 2D tensors, got: 1D"),
    Error(F + "conv_tbc", lambda m: (m(5, 2, 3), m(2, 4, 4), m(4)), RuntimeError,
          "Input dim 2 (input channels) is not == dim 1 in the weight tensor"),
]
