"""TinyNet's `mytorch`: PyTorch's names and semantics on an autograd engine that one can read.

`import mytorch as torch`, and the rest of a PyTorch script runs as it is.
"""
# ruff: noqa: E402, I001 - the order of the imports is the order of the layers, and the warnings filter comes first

from __future__ import annotations

import math as _math
import warnings as _warnings
from typing import Any as _Any

from mytorch._version import __version__ as __version__

__mytorch__ = True

# NumPy warns of overflow, division by zero and NaN; torch computes inf and NaN in silence, and so does this package: by
# module, so that the user's own NumPy code keeps its warnings, and not by errstate, which costs 2 us per operation.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"mytorch\.")

from mytorch.autograd_engine import (
    enable_grad as enable_grad, inference_mode as inference_mode, is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled, no_grad as no_grad, set_grad_enabled as set_grad_enabled,
)
from mytorch.dtypes import (
    bfloat16 as bfloat16, bool_ as bool, complex64 as complex64, complex128 as complex128, dtype as dtype, finfo as finfo,
    float16 as float16, float32 as float32, float64 as float64, get_default_dtype as get_default_dtype, iinfo as iinfo, int8 as int8,
    int16 as int16, int32 as int32, int64 as int64, promote_types as promote_types, set_default_dtype as set_default_dtype, uint8 as uint8,
    uint16 as uint16, uint32 as uint32, uint64 as uint64,
)
from mytorch.dtypes import (
    complex64 as cfloat, complex128 as cdouble, float16 as half, float32 as float, float64 as double, int16 as short, int32 as int,
    int64 as long,
)
from mytorch.ops.activation import (
    celu as celu, celu_ as celu_, hardshrink as hardshrink, prelu as prelu, relu_ as relu_, selu as selu, selu_ as
    selu_, threshold as threshold, threshold_ as threshold_,
)
from mytorch.ops.adaptive_pool import (
    adaptive_avg_pool1d as adaptive_avg_pool1d, adaptive_max_pool1d as adaptive_max_pool1d,
)
from mytorch.ops.added_products import addcdiv as addcdiv, addcmul as addcmul
from mytorch.ops.arithmetic import (
    abs as abs, acos as acos, acosh as acosh, add as add, asin as asin, asinh as asinh,
    atan as atan, atan2 as atan2, atanh as atanh, ceil as ceil, copysign as copysign, cos as cos, cosh as cosh, deg2rad as
    deg2rad, div as div, erf as erf, erfc as erfc, exp as exp, exp2 as exp2, expm1 as expm1, float_power as float_power, floor as
    floor, floor_divide as floor_divide, fmod as fmod, frac as frac, gcd as gcd, heaviside as heaviside, hypot as hypot, lcm as
    lcm, ldexp as ldexp, log as log, log10 as log10, log1p as log1p, log2 as log2, logaddexp as logaddexp, logaddexp2 as
    logaddexp2, logit as logit, mul as mul, neg as neg, nextafter as nextafter, positive as positive, pow as pow, rad2deg as
    rad2deg, reciprocal as reciprocal, relu as relu, remainder as remainder, round as round, rsqrt as rsqrt, rsub as rsub, sgn as sgn, sigmoid
    as sigmoid, sign as sign, sin as sin, sinc as sinc, sinh as sinh, sqrt as sqrt, square as square, sub as sub, tan as tan, tanh
    as tanh, trunc as trunc, xlogy as xlogy,
)
from mytorch.ops.choices import (
    clamp as clamp, clamp_max as clamp_max, clamp_min as clamp_min, fmax as fmax, fmin as fmin, lerp as lerp, maximum as maximum,
    minimum as minimum, nan_to_num as nan_to_num, where as where,
)
from mytorch.ops.comparison import (
    allclose as allclose, bitwise_and as bitwise_and, bitwise_left_shift as bitwise_left_shift, bitwise_not as bitwise_not,
    bitwise_or as bitwise_or, bitwise_right_shift as bitwise_right_shift, bitwise_xor as bitwise_xor, eq as eq, equal as equal, ge
    as ge, gt as gt, isclose as isclose, isfinite as isfinite, isinf as isinf, isnan as isnan, isneginf as isneginf, isposinf as
    isposinf, isreal as isreal, le as le, logical_and as logical_and, logical_not as logical_not, logical_or as logical_or,
    logical_xor as logical_xor, lt as lt, ne as ne, signbit as signbit,
)
from mytorch.ops.complex_parts import (
    angle as angle, conj as conj, conj_physical as conj_physical, imag as imag, polar as polar, real as real, resolve_conj as
    resolve_conj, resolve_neg as resolve_neg, view_as_complex as view_as_complex, view_as_real as view_as_real,
)
from mytorch.ops.conv import (
    conv1d as conv1d, conv2d as conv2d, conv3d as conv3d, conv_transpose1d as conv_transpose1d, conv_transpose2d as
    conv_transpose2d, conv_transpose3d as conv_transpose3d, convolution as convolution,
)
from mytorch.ops.create import (
    as_tensor as as_tensor, asarray as asarray, empty as empty, empty_like as empty_like, empty_permuted as empty_permuted, empty_strided
    as empty_strided, eye as eye, from_numpy as from_numpy, frombuffer as frombuffer, full as full, full_like as full_like, ones as ones,
    ones_like as ones_like, resize_as_ as resize_as_, scalar_tensor as scalar_tensor, tril_indices as tril_indices, triu_indices as
    triu_indices, zeros as zeros, zeros_like as zeros_like,
)
from mytorch.ops.differences import (
    cumulative_trapezoid as cumulative_trapezoid, diff as diff, trapezoid as trapezoid, trapz as trapz,
)
from mytorch.ops.elementwise import (
    conj_physical_ as conj_physical_,
    abs_ as abs_, absolute as absolute, acos_ as acos_, acosh_ as acosh_, arccos as arccos, arccosh as arccosh, arcsin as arcsin,
    arcsinh as arcsinh, arctan as arctan, arctan2 as arctan2, arctanh as arctanh, asin_ as asin_, asinh_ as asinh_, atan_ as
    atan_, atanh_ as atanh_, ceil_ as ceil_, clamp_ as clamp_, clamp_max_ as clamp_max_, clamp_min_ as clamp_min_, clip as clip,
    clip_ as clip_, clone as clone, cos_ as cos_, cosh_ as cosh_, deg2rad_ as deg2rad_, divide as divide, erf_ as erf_, erfc_ as
    erfc_, exp2_ as exp2_, exp_ as exp_, expm1_ as expm1_, fill as fill, fill_ as fill_, fix as fix, floor_ as floor_, frac_ as
    frac_, gcd_ as gcd_, greater as greater, greater_equal as greater_equal, lcm_ as lcm_, ldexp_ as ldexp_, less as less,
    less_equal as less_equal, log10_ as log10_, log1p_ as log1p_, log2_ as log2_, log_ as log_, logit_ as logit_, multiply as
    multiply, nan_to_num_ as nan_to_num_, neg_ as neg_, negative as negative, negative_ as negative_, not_equal as not_equal,
    rad2deg_ as rad2deg_, reciprocal_ as reciprocal_, round_ as round_, rsqrt_ as rsqrt_, sigmoid_ as sigmoid_, sin_ as sin_,
    sinc_ as sinc_, sinh_ as sinh_, sqrt_ as sqrt_, square_ as square_, subtract as subtract, tan_ as tan_, tanh_ as tanh_,
    true_divide as true_divide, trunc_ as trunc_, xlogy_ as xlogy_, zero_ as zero_,
)
from mytorch.ops.extrema import (
    amax as amax, amin as amin, aminmax as aminmax, argmax as argmax, argmin as argmin, max as max, median as median, min as min,
    mode as mode, nanmedian as nanmedian,
)
from mytorch.ops.index import (
    argwhere as argwhere, gather as gather, index_add as index_add, index_copy as index_copy, index_fill as index_fill, index_select as index_select,
    masked_fill as masked_fill, masked_scatter as masked_scatter, masked_select as masked_select, put as put, repeat_interleave as
    repeat_interleave, scatter as scatter, scatter_add as scatter_add, take as take, take_along_dim as take_along_dim,
)
from mytorch.ops.indexing import (
    index_put as index_put, index_put_ as index_put_,
)
from mytorch.ops.joining import (
    atleast_1d as atleast_1d, atleast_2d as atleast_2d, atleast_3d as atleast_3d, block_diag as block_diag, cartesian_prod as
    cartesian_prod, cat as cat, chunk as chunk, column_stack as column_stack, combinations as combinations, dsplit as dsplit,
    dstack as dstack, hsplit as hsplit, hstack as hstack, row_stack as row_stack, split as split, split_with_sizes as
    split_with_sizes, stack as stack, tensor_split as tensor_split, unbind as unbind, vsplit as vsplit, vstack as vstack,
)
from mytorch.ops.linalg import (
    addbmm as addbmm, addmm as addmm, addmv as addmv, addmv_ as addmv_, addr as addr, baddbmm as baddbmm, bmm as bmm, cdist as
    cdist, chain_matmul as chain_matmul, cosine_similarity as cosine_similarity, cross as cross, dot as dot, einsum as einsum,
    inner as inner, kron as kron, mm as mm, mv as mv, outer as outer, tensordot as tensordot, vdot as vdot,
)
from mytorch.ops.loss import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits, kl_div as kl_div, poisson_nll_loss as poisson_nll_loss,
)
from mytorch.ops.margin_loss import (
    cosine_embedding_loss as cosine_embedding_loss, hinge_embedding_loss as hinge_embedding_loss, margin_ranking_loss as
    margin_ranking_loss, pairwise_distance as pairwise_distance, triplet_margin_loss as triplet_margin_loss,
)
from mytorch.ops.norm import (
    group_norm as group_norm, layer_norm as layer_norm, rms_norm as rms_norm,
)
from mytorch.ops.pool import (
    avg_pool1d as avg_pool1d, max_pool1d as max_pool1d, max_pool2d as max_pool2d, max_pool3d as max_pool3d,
)
from mytorch.ops.layout import (
    channels_last as channels_last, channels_last_3d as channels_last_3d, contiguous_format as contiguous_format,
    memory_format as memory_format, preserve_format as preserve_format,
)
from mytorch.ops.random import (
    bernoulli as bernoulli, multinomial as multinomial, normal as normal, poisson as poisson, rand as rand, rand_like as
    rand_like, randint as randint, randint_like as randint_like, randn as randn, randn_like as randn_like, randperm as randperm,
)
from mytorch.ops.ranges import (
    arange as arange, linspace as linspace, logspace as logspace, range_ as range,
)
from mytorch.ops.recurrent_network import (
    gru as gru, gru_cell as gru_cell, lstm as lstm, lstm_cell as lstm_cell, rnn_relu as rnn_relu, rnn_relu_cell as rnn_relu_cell,
    rnn_tanh as rnn_tanh, rnn_tanh_cell as rnn_tanh_cell,
)
from mytorch.ops.resize import (
    channel_shuffle as channel_shuffle, pixel_shuffle as pixel_shuffle, pixel_unshuffle as pixel_unshuffle,
)
from mytorch.ops.scan import (
    cummax as cummax, cummin as cummin, cumprod as cumprod, cumsum as cumsum, logcumsumexp as logcumsumexp,
)
from mytorch.ops.shape import (
    constant_pad_nd as constant_pad_nd, diag as diag, diag_embed as diag_embed, diagflat as diagflat, diagonal_scatter as
    diagonal_scatter, flip as flip, fliplr as fliplr, flipud as flipud, meshgrid as meshgrid, roll as roll, rot90 as rot90,
    select_scatter as select_scatter, slice_scatter as slice_scatter, tile as tile, trace as trace, tril as tril, triu as triu,
)
from mytorch.ops.scatter_reduce import (
    index_reduce as index_reduce, scatter_reduce as scatter_reduce,
)
from mytorch.ops.softmax import (
    log_softmax as log_softmax, softmax as softmax,
)
from mytorch.ops.sorting import (
    argsort as argsort, bincount as bincount, bucketize as bucketize, histc as histc, isin as isin, kthvalue as kthvalue, msort as
    msort, nonzero as nonzero, searchsorted as searchsorted, sort as sort, topk as topk, unique as unique, unique_consecutive as
    unique_consecutive,
)
from mytorch.ops.statistics import (
    dist as dist, logsumexp as logsumexp, nanquantile as nanquantile, norm as norm, quantile as quantile, std as std, std_mean as
    std_mean, var as var, var_mean as var_mean,
)
from mytorch.ops.sums import (
    all as all, any as any, count_nonzero as count_nonzero, mean as mean, nanmean as nanmean, nansum as nansum, prod as prod, sum
    as sum,
)
from mytorch.ops.unfold import (
    bilinear as bilinear,
)
from mytorch.ops.views import (
    as_strided as as_strided, as_strided_ as as_strided_, broadcast_shapes as broadcast_shapes, broadcast_tensors as
    broadcast_tensors, broadcast_to as broadcast_to, diagonal as diagonal, flatten as flatten, movedim as movedim, narrow as
    narrow, permute as permute, ravel as ravel, reshape as reshape, select as select, squeeze as squeeze, t as t, transpose as
    transpose, unflatten as unflatten, unsqueeze as unsqueeze,
)
from mytorch.ops.linalg import matmul_function as matmul
from mytorch.ops.elementwise import complex_ as complex
from mytorch.ops import return_types as return_types
from mytorch.size import Size as Size
from mytorch.generator import Generator as Generator, default_generator as default_generator
from mytorch.random import (
    fork_rng as fork_rng, get_rng_state as get_rng_state, initial_seed as initial_seed, manual_seed as manual_seed, seed as seed,
    set_rng_state as set_rng_state,
)
from mytorch.tensor import Tensor as Tensor, legacy_types as _legacy_types
from mytorch.device import device as device
from mytorch.ops.create import tensor as tensor
from mytorch.inspect_tensors import (
    are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled, can_cast as can_cast,
    get_num_threads as get_num_threads, is_complex as is_complex, is_floating_point as is_floating_point,
    is_nonzero as is_nonzero, is_storage as is_storage, is_tensor as is_tensor, numel as numel,
    result_type as result_type, set_default_device as set_default_device, set_default_tensor_type as set_default_tensor_type,
    set_float32_matmul_precision as set_float32_matmul_precision, set_num_threads as set_num_threads,
    use_deterministic_algorithms as use_deterministic_algorithms,
)

globals().update(_legacy_types())
e, inf, nan, pi, newaxis = _math.e, _math.inf, _math.nan, _math.pi, None
has_lapack, has_spectral, has_mkl, has_openmp = True, True, False, False
strided = "torch.strided"

# Loaded when first touched, so that `import mytorch` stays light.
_LAZY_MODULES = frozenset({"_dynamo", "_inductor", "torch_version", "accelerator", "amp", "distributed", "distributions", "compiler",
                           "cpu", "jit", "testing", "profiler", "nn", "optim", "utils", "multiprocessing", "functional", "types",
                           "storage", "hub", "autograd", "cuda", "backends", "serialization", "version", "random", "config", "printing",
                           "func", "fft", "special", "signal", "linalg"})
_LAZY_NAMES = {"save": "serialization", "load": "serialization", "set_printoptions": "printing", "show_config": "config",
               "from_dlpack": "utils.dlpack", "to_dlpack": "utils.dlpack", "vmap": "func"}
_LAZY_NAMES |= dict.fromkeys(("compile", "cond", "get_device_module", "is_warn_always_enabled", "set_warn_always"), "inspect_tensors")
_LAZY_NAMES |= dict.fromkeys(("is_anomaly_enabled", "is_anomaly_check_nan_enabled", "set_anomaly_enabled"), "autograd.anomaly_mode")
_LAZY_NAMES["install_as_torch"] = "alias"
_LAZY_NAMES |= dict.fromkeys((
    "UntypedStorage", "TypedStorage", "FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage",
    "ShortStorage", "CharStorage", "ByteStorage", "BoolStorage", "ComplexFloatStorage", "ComplexDoubleStorage"), "storage")
_LAZY_NAMES |= {"autocast": "amp", "GradScaler": "amp"} | dict.fromkeys((
    "is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype", "set_autocast_dtype", "is_autocast_cache_enabled",
    "set_autocast_cache_enabled", "clear_autocast_cache", "autocast_increment_nesting", "autocast_decrement_nesting",
    "is_autocast_cpu_enabled", "set_autocast_cpu_enabled", "get_autocast_cpu_dtype", "set_autocast_cpu_dtype", "get_autocast_gpu_dtype",
    "set_autocast_gpu_dtype"), "amp.state")
_LAZY_NAMES |= dict.fromkeys(("stft", "istft"), "ops.stft")
_LAZY_NAMES |= dict.fromkeys(("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"), "ops.windows")
_LAZY_NAMES |= dict.fromkeys(("lgamma", "digamma", "polygamma", "mvlgamma"), "ops.special_gamma")
_LAZY_NAMES |= dict.fromkeys(("erfinv", "frexp"), "ops.special_normal") | dict.fromkeys(("igamma", "igammac"), "ops.special_incomplete")
_LAZY_NAMES |= dict.fromkeys(("i0", "i0_"), "ops.special_bessel")
_LAZY_NAMES |= dict.fromkeys((
    "get_default_device", "get_deterministic_debug_mode", "get_float32_matmul_precision", "get_num_interop_threads", "set_flush_denormal",
    "is_deterministic_algorithms_warn_only_enabled", "set_deterministic_debug_mode", "set_num_interop_threads", "typename"), "inspect_tensors")
_LAZY_NAMES |= {name: f"ops.{module}" for module, names in {
    "view_copies": "alias_copy as_strided_copy as_strided_scatter detach_copy diagonal_copy expand_copy narrow_copy permute_copy select_copy "
                   "slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsafe_chunk "
                   "unsafe_split unsafe_split_with_sizes unsqueeze_copy view_as_complex_copy view_as_real_copy view_copy",
    "histogram": "histogram histogramdd",
    "grid_sample": "grid_sampler grid_sampler_2d grid_sampler_3d",
    "pdist": "pdist",
    "resize": "_upsample_bilinear2d_aa",
    "native_norm": "native_batch_norm native_dropout native_dropout_backward native_group_norm native_layer_norm _native_batch_norm_legit "
                   "_batch_norm_with_update _softmax_backward_data",
    "segments": "segment_reduce _chunk_cat",
    "conv_tbc": "conv_tbc",
    "second_names": "adjoint affine_grid_generator alpha_dropout alpha_dropout_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ batch_norm "
                    "binomial concat concatenate ctc_loss detach detach_ dropout dropout_ embedding embedding_renorm_ feature_alpha_dropout "
                    "feature_alpha_dropout_ feature_dropout feature_dropout_ fix_ frobenius_norm ger get_device instance_norm is_conj is_distributed "
                    "is_inference is_neg is_same_size is_signed moveaxis "
                    "native_channel_shuffle norm_except_dim nuclear_norm rrelu rrelu_ spmm swapaxes swapdims vander",
    "numerical_gradient": "gradient",
    "coordinates": "unravel_index nonzero_static hash_tensor _unsafe_masked_index _unsafe_masked_index_put_accumulate",
    "solvers": "cholesky_inverse cholesky_solve det inverse logdet lu_unpack",
    "former_linalg": "cholesky lu lu_solve pinverse qr slogdet svd triangular_solve",
    "least_squares": "geqrf orgqr ormqr pca_lowrank svd_lowrank",
    "matrix_functions": "corrcoef cov matrix_exp matrix_power renorm",
}.items() for name in names.split()}


def __getattr__(name: str) -> _Any:
    import importlib
    if name.startswith("_foreach_"):
        return getattr(importlib.import_module("mytorch.ops.foreach"), name)
    if name in _LAZY_MODULES:
        return importlib.import_module(f"mytorch.{name}")
    if name in _LAZY_NAMES:
        found = getattr(importlib.import_module(f"mytorch.{_LAZY_NAMES[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'mytorch' has no attribute '{name}': if torch has it, it is not supported yet")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_NAMES})
