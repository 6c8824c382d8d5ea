"""The table of contents of Tensor: every operation that is also a method, each defined in its one place in ops/."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mytorch.autograd_engine import TensorBase
from mytorch.ops import (
    activation,
    arithmetic,
    choices,
    comparison,
    complex_parts,
    create,
    differences,
    elementwise,
    extrema,
    index,
    indexing,
    joining,
    linalg,
    scan,
    sorting,
    statistics,
    sums,
    views,
)
from mytorch.ops import random as draws
from mytorch.ops import scatter_reduce as scatter_reduction
from mytorch.ops import shape as shaping
from mytorch.ops import softmax as softmaxes

__mytorch__ = True


def _later(module: str, name: str) -> Any:
    """A method whose module is loaded by the first call: few programs use it, and the import of the package stays light."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(f"mytorch.ops.{module}"), name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name.removesuffix("_method")
    method.__doc__ = f"The operation `{method.__name__}` of this tensor: see mytorch/ops/{module.replace('.', '/')}.py."
    return method


class TensorMethods(TensorBase):
    """The operators and operations of a Tensor."""

    __slots__ = ()

    # ---- operators --------------------------------------------------------------------------------------------------------------

    __add__ = __radd__ = elementwise._add
    __sub__ = elementwise._sub
    __rsub__ = elementwise.rsub
    __mul__ = __rmul__ = elementwise.mul
    __truediv__ = elementwise._true_divide
    __rtruediv__ = __rdiv__ = elementwise.rdiv
    __floordiv__ = elementwise.floor_divide
    __rfloordiv__ = elementwise.rfloordiv
    __mod__ = elementwise.remainder
    __rmod__ = elementwise.rremainder
    __pow__ = elementwise._pow
    __rpow__ = elementwise.rpow
    __matmul__ = linalg.matmul_function
    __rmatmul__ = linalg.rmatmul
    __neg__ = elementwise.neg
    __pos__ = elementwise.positive
    __abs__ = elementwise.abs
    __invert__ = elementwise.bitwise_not
    __and__ = __rand__ = elementwise.bitwise_and
    __or__ = __ror__ = elementwise.bitwise_or
    __xor__ = __rxor__ = elementwise.bitwise_xor
    __lshift__ = elementwise.bitwise_left_shift
    __rshift__ = elementwise.bitwise_right_shift
    __rlshift__, __rrshift__ = comparison.rlshift, comparison.rrshift
    __ilshift__, __irshift__ = elementwise.bitwise_left_shift_, elementwise.bitwise_right_shift_
    __div__, __idiv__ = elementwise._true_divide, elementwise.div_
    __eq__ = elementwise.equals
    __ne__ = elementwise.differs
    __lt__ = elementwise.lt
    __le__ = elementwise.le
    __gt__ = elementwise.gt
    __ge__ = elementwise.ge
    __iadd__ = elementwise.add_
    __isub__ = elementwise.sub_
    __imul__ = elementwise.mul_
    __itruediv__ = elementwise.div_
    __ifloordiv__ = elementwise.floor_divide_
    __imod__ = elementwise.remainder_
    __ipow__ = elementwise.pow_
    __iand__ = elementwise.bitwise_and_
    __ior__ = elementwise.bitwise_or_
    __ixor__ = elementwise.bitwise_xor_
    __getitem__ = index.getitem
    __setitem__ = index.setitem

    # ---- pointwise --------------------------------------------------------------------------------------------------------------

    add = arithmetic.add
    add_ = elementwise.add_
    sub = arithmetic.sub
    sub_ = elementwise.sub_
    subtract, subtract_ = elementwise.subtract, elementwise.subtract_
    mul = arithmetic.mul
    mul_ = elementwise.mul_
    multiply, multiply_ = elementwise.multiply, elementwise.multiply_
    div = arithmetic.div
    div_ = elementwise.div_
    divide, divide_ = elementwise.divide, elementwise.divide_
    true_divide, true_divide_ = elementwise.true_divide, elementwise.true_divide_
    floor_divide = arithmetic.floor_divide
    floor_divide_ = elementwise.floor_divide_
    remainder = arithmetic.remainder
    remainder_ = elementwise.remainder_
    fmod = arithmetic.fmod
    fmod_ = elementwise.fmod_
    pow = arithmetic.pow
    pow_ = elementwise.pow_
    neg = arithmetic.neg
    neg_ = elementwise.neg_
    negative, negative_ = elementwise.negative, elementwise.negative_
    positive = arithmetic.positive
    abs = arithmetic.abs
    abs_ = elementwise.abs_
    absolute, absolute_ = elementwise.absolute, elementwise.absolute_
    sign = arithmetic.sign
    sign_ = elementwise.sign_
    sgn = arithmetic.sgn
    sgn_ = elementwise.sgn_
    square = arithmetic.square
    square_ = elementwise.square_
    reciprocal = arithmetic.reciprocal
    reciprocal_ = elementwise.reciprocal_
    sqrt = arithmetic.sqrt
    sqrt_ = elementwise.sqrt_
    rsqrt = arithmetic.rsqrt
    rsqrt_ = elementwise.rsqrt_
    exp = arithmetic.exp
    exp_ = elementwise.exp_
    exp2 = arithmetic.exp2
    exp2_ = elementwise.exp2_
    expm1 = arithmetic.expm1
    expm1_ = elementwise.expm1_
    log = arithmetic.log
    log_ = elementwise.log_
    log2 = arithmetic.log2
    log2_ = elementwise.log2_
    log10 = arithmetic.log10
    log10_ = elementwise.log10_
    log1p = arithmetic.log1p
    log1p_ = elementwise.log1p_
    logaddexp = arithmetic.logaddexp
    logaddexp2 = arithmetic.logaddexp2
    sin = arithmetic.sin
    sin_ = elementwise.sin_
    cos = arithmetic.cos
    cos_ = elementwise.cos_
    tan = arithmetic.tan
    tan_ = elementwise.tan_
    asin = arithmetic.asin
    asin_ = elementwise.asin_
    acos = arithmetic.acos
    acos_ = elementwise.acos_
    atan = arithmetic.atan
    atan_ = elementwise.atan_
    sinh = arithmetic.sinh
    sinh_ = elementwise.sinh_
    cosh = arithmetic.cosh
    cosh_ = elementwise.cosh_
    tanh = arithmetic.tanh
    tanh_ = elementwise.tanh_
    asinh = arithmetic.asinh
    asinh_ = elementwise.asinh_
    acosh = arithmetic.acosh
    acosh_ = elementwise.acosh_
    atanh = arithmetic.atanh
    atanh_ = elementwise.atanh_
    arcsin = elementwise.arcsin
    arccos = elementwise.arccos
    arctan = elementwise.arctan
    arcsinh = elementwise.arcsinh
    arccosh = elementwise.arccosh
    arctanh = elementwise.arctanh
    atan2 = arithmetic.atan2
    atan2_ = elementwise.atan2_
    arctan2 = elementwise.arctan2
    hypot = arithmetic.hypot
    hypot_ = elementwise.hypot_
    deg2rad = arithmetic.deg2rad
    deg2rad_ = elementwise.deg2rad_
    rad2deg = arithmetic.rad2deg
    rad2deg_ = elementwise.rad2deg_
    sigmoid = arithmetic.sigmoid
    sigmoid_ = elementwise.sigmoid_
    relu = arithmetic.relu
    relu_ = elementwise.relu_
    erf = arithmetic.erf
    erf_ = elementwise.erf_
    erfc = arithmetic.erfc
    erfc_ = elementwise.erfc_
    floor = arithmetic.floor
    floor_ = elementwise.floor_
    ceil = arithmetic.ceil
    ceil_ = elementwise.ceil_
    trunc = arithmetic.trunc
    trunc_ = elementwise.trunc_
    fix, fix_ = elementwise.fix, elementwise.trunc_
    arccos_, arcsin_, arctan_, arctan2_ = elementwise.acos_, elementwise.asin_, elementwise.atan_, elementwise.atan2_
    arccosh_, arcsinh_, arctanh_ = elementwise.acosh_, elementwise.asinh_, elementwise.atanh_
    frac = arithmetic.frac
    frac_ = elementwise.frac_
    round = arithmetic.round
    round_ = elementwise.round_
    maximum = choices.maximum
    minimum = choices.minimum
    fmax = choices.fmax
    fmin = choices.fmin
    clamp = choices.clamp
    clamp_ = elementwise.clamp_
    clip, clip_ = elementwise.clip, elementwise.clip_
    clamp_min = choices.clamp_min
    clamp_min_ = elementwise.clamp_min_
    clamp_max = choices.clamp_max
    clamp_max_ = elementwise.clamp_max_
    lerp = choices.lerp
    lerp_ = elementwise.lerp_
    addcmul = elementwise.addcmul
    addcmul_ = elementwise.addcmul_
    addcdiv = elementwise.addcdiv
    addcdiv_ = elementwise.addcdiv_
    nan_to_num = choices.nan_to_num
    nan_to_num_ = elementwise.nan_to_num_
    conj = complex_parts.conj
    conj_physical, conj_physical_ = complex_parts.conj_physical, elementwise.conj_physical_
    resolve_conj = complex_parts.resolve_conj
    resolve_neg = complex_parts.resolve_neg
    angle = complex_parts.angle
    eq = comparison.eq
    eq_ = elementwise.eq_
    ne = comparison.ne
    ne_ = elementwise.ne_
    lt = comparison.lt
    lt_ = elementwise.lt_
    le = comparison.le
    le_ = elementwise.le_
    gt = comparison.gt
    gt_ = elementwise.gt_
    ge = comparison.ge
    ge_ = elementwise.ge_
    greater, greater_ = elementwise.greater, elementwise.gt_
    greater_equal_, less_, less_equal_, not_equal_ = elementwise.ge_, elementwise.lt_, elementwise.le_, elementwise.ne_
    greater_equal = elementwise.greater_equal
    less = elementwise.less
    less_equal = elementwise.less_equal
    not_equal = elementwise.not_equal
    logical_and = comparison.logical_and
    logical_and_ = elementwise.logical_and_
    logical_or = comparison.logical_or
    logical_or_ = elementwise.logical_or_
    logical_xor = comparison.logical_xor
    logical_xor_ = elementwise.logical_xor_
    logical_not = comparison.logical_not
    logical_not_ = elementwise.logical_not_
    isnan = comparison.isnan
    isinf = comparison.isinf
    isfinite = comparison.isfinite
    isposinf = comparison.isposinf
    isneginf = comparison.isneginf
    isreal = comparison.isreal
    signbit = comparison.signbit
    bitwise_and = comparison.bitwise_and
    bitwise_and_ = elementwise.bitwise_and_
    bitwise_or = comparison.bitwise_or
    bitwise_or_ = elementwise.bitwise_or_
    bitwise_xor = comparison.bitwise_xor
    bitwise_xor_ = elementwise.bitwise_xor_
    bitwise_not = comparison.bitwise_not
    bitwise_not_ = elementwise.bitwise_not_
    bitwise_left_shift = comparison.bitwise_left_shift
    bitwise_right_shift = comparison.bitwise_right_shift
    copy_ = elementwise.copy_
    fill_ = elementwise.fill_
    zero_ = elementwise.zero_
    equal = comparison.equal
    isclose = comparison.isclose
    allclose = comparison.allclose
    bitwise_left_shift_ = elementwise.bitwise_left_shift_
    bitwise_right_shift_ = elementwise.bitwise_right_shift_
    copysign = arithmetic.copysign
    copysign_ = elementwise.copysign_
    float_power = arithmetic.float_power
    float_power_ = elementwise.float_power_
    gcd = arithmetic.gcd
    gcd_ = elementwise.gcd_
    heaviside = arithmetic.heaviside
    heaviside_ = elementwise.heaviside_
    lcm = arithmetic.lcm
    lcm_ = elementwise.lcm_
    ldexp = arithmetic.ldexp
    ldexp_ = elementwise.ldexp_
    logit = arithmetic.logit
    logit_ = elementwise.logit_
    nextafter = arithmetic.nextafter
    nextafter_ = elementwise.nextafter_
    sinc = arithmetic.sinc
    sinc_ = elementwise.sinc_
    xlogy = arithmetic.xlogy
    xlogy_ = elementwise.xlogy_
    where = choices.where_method

    # ---- reductions -------------------------------------------------------------------------------------------------------------

    sum = sums.sum
    mean = sums.mean
    prod = sums.prod
    var = statistics.var
    std = statistics.std
    max = extrema.max
    min = extrema.min
    amax = extrema.amax
    amin = extrema.amin
    aminmax = extrema.aminmax
    argmax = extrema.argmax
    argmin = extrema.argmin
    any = sums.any
    all = sums.all
    logsumexp = statistics.logsumexp
    cumsum = scan.cumsum
    cumprod = scan.cumprod
    cummax = scan.cummax
    cummin = scan.cummin
    norm = statistics.norm
    nansum = sums.nansum
    nanmean = sums.nanmean
    count_nonzero = sums.count_nonzero
    median = extrema.median
    dist = statistics.dist
    cumsum_ = scan.cumsum_
    cumprod_ = scan.cumprod_
    logcumsumexp = scan.logcumsumexp
    nanmedian = extrema.nanmedian
    nanquantile = statistics.nanquantile

    # ---- softmax and its relatives ----------------------------------------------------------------------------------------------

    softmax = softmaxes.softmax
    log_softmax = softmaxes.log_softmax
    hardshrink = activation.hardshrink
    prelu = activation.prelu

    # ---- order ------------------------------------------------------------------------------------------------------------------

    sort = sorting.sort
    argsort = sorting.argsort
    topk = sorting.topk
    kthvalue = sorting.kthvalue
    unique = sorting.unique
    unique_consecutive = sorting.unique_consecutive
    nonzero = sorting.nonzero
    bincount = sorting.bincount
    histc = sorting.histc
    histogram = _later("histogram", "histogram")
    nonzero_static = _later("coordinates", "nonzero_static")
    hash_tensor = _later("coordinates", "hash_tensor")
    msort = sorting.msort
    mode = extrema.mode
    quantile = statistics.quantile
    isin = sorting.isin

    # ---- shape ------------------------------------------------------------------------------------------------------------------

    reshape = views.reshape
    view = views.view
    view_as = views.view_as
    reshape_as = views.reshape_as
    flatten = views.flatten
    ravel = views.ravel
    unflatten = views.unflatten
    squeeze, squeeze_ = views.squeeze, views.squeeze_
    unsqueeze, unsqueeze_ = views.unsqueeze, views.unsqueeze_
    transpose, transpose_ = views.transpose, views.transpose_
    t, t_ = views.t, views.t_
    permute = views.permute
    movedim = views.movedim
    expand = views.expand
    expand_as = views.expand_as
    broadcast_to = views.broadcast_to
    sum_to_size = views.sum_to_size
    repeat = shaping.repeat
    tile = shaping.tile
    split = joining.split_method
    chunk = joining.chunk
    tensor_split = joining.tensor_split
    unbind = joining.unbind
    narrow = views.narrow
    select = views.select
    flip = shaping.flip
    fliplr = shaping.fliplr
    flipud = shaping.flipud
    roll = shaping.roll
    rot90 = shaping.rot90
    tril, tril_ = shaping.tril, shaping.tril_
    triu, triu_ = shaping.triu, shaping.triu_
    diagonal = views.diagonal
    diag = shaping.diag
    diag_embed = shaping.diag_embed
    trace = shaping.trace
    unfold = views.unfold
    as_strided, as_strided_ = views.as_strided, views.as_strided_
    diagflat = shaping.diagflat
    fill_diagonal_ = shaping.fill_diagonal_
    as_strided_scatter = _later("view_copies", "as_strided_scatter")
    narrow_copy = _later("view_copies", "narrow_copy")
    unsafe_chunk = _later("view_copies", "unsafe_chunk")
    unsafe_split = _later("view_copies", "unsafe_split")
    unsafe_split_with_sizes = _later("view_copies", "unsafe_split_with_sizes")
    diagonal_scatter = shaping.diagonal_scatter
    select_scatter = shaping.select_scatter
    slice_scatter = shaping.slice_scatter
    dsplit = joining.dsplit
    hsplit = joining.hsplit
    vsplit = joining.vsplit
    split_with_sizes = joining.split_with_sizes
    diff = differences.diff
    swapaxes = shaping.swapaxes
    swapdims = shaping.transpose
    swapaxes_ = swapdims_ = shaping.transpose_
    adjoint = _later("second_names", "adjoint")
    resize = _later("second_names", "resize")
    dim_order = _later("second_names", "dim_order")
    is_set_to = _later("second_names", "is_set_to")
    map_, map2_ = _later("second_names", "map_"), _later("second_names", "map2_")
    is_conj, is_neg = _later("second_names", "is_conj"), _later("second_names", "is_neg")
    is_distributed = _later("second_names", "is_distributed")
    is_same_size = _later("second_names", "is_same_size")
    get_device = _later("second_names", "get_device")
    const_data_ptr = _later("second_names", "const_data_ptr")
    to_dense = _later("second_names", "to_dense")
    moveaxis = shaping.movedim

    # ---- indexing ---------------------------------------------------------------------------------------------------------------

    gather = index.gather
    scatter, scatter_ = index.scatter, index.scatter_
    scatter_add, scatter_add_ = index.scatter_add, index.scatter_add_
    scatter_reduce, scatter_reduce_ = scatter_reduction.scatter_reduce, scatter_reduction.scatter_reduce_
    index_reduce, index_reduce_ = scatter_reduction.index_reduce, scatter_reduction.index_reduce_
    index_select = index.index_select
    index_add, index_add_ = index.index_add, index.index_add_
    index_fill, index_fill_ = index.index_fill, index.index_fill_
    index_copy, index_copy_ = index.index_copy, index.index_copy_
    index_put, index_put_ = indexing.index_put, indexing.index_put_
    take = index.take
    put, put_ = index.put, index.put_
    argwhere = index.argwhere
    take_along_dim = index.take_along_dim
    repeat_interleave = index.repeat_interleave
    masked_fill, masked_fill_ = index.masked_fill, index.masked_fill_
    masked_select = index.masked_select
    masked_scatter, masked_scatter_ = index.masked_scatter, index.masked_scatter_

    # ---- special functions ------------------------------------------------------------------------------------------------------

    lgamma, lgamma_ = _later("special_gamma", "lgamma"), _later("special_gamma", "lgamma_")
    digamma, digamma_ = _later("special_gamma", "digamma"), _later("special_gamma", "digamma_")
    polygamma, polygamma_ = _later("special_gamma", "polygamma_method"), _later("special_gamma", "polygamma_")
    mvlgamma, mvlgamma_ = _later("special_gamma", "mvlgamma"), _later("special_gamma", "mvlgamma_")
    igamma, igamma_ = _later("special_incomplete", "igamma"), _later("special_incomplete", "igamma_")
    igammac, igammac_ = _later("special_incomplete", "igammac"), _later("special_incomplete", "igammac_")
    i0, i0_ = _later("special_bessel", "i0"), _later("special_bessel", "i0_")
    erfinv, erfinv_ = _later("special_normal", "erfinv"), _later("special_normal", "erfinv_")
    frexp = _later("special_normal", "frexp")

    # ---- Fourier transforms -----------------------------------------------------------------------------------------------------

    stft = _later("stft", "stft")
    istft = _later("stft", "istft")

    # ---- products of matrices ---------------------------------------------------------------------------------------------------

    mm = linalg.mm
    bmm = linalg.bmm
    mv = linalg.mv
    dot = linalg.dot
    vdot = linalg.vdot
    inner = linalg.inner
    outer = ger = linalg.outer
    addmm, addmm_ = linalg.addmm, linalg.addmm_
    addmv = linalg.addmv
    addr = linalg.addr
    baddbmm = linalg.baddbmm
    addbmm = linalg.addbmm
    kron = linalg.kron
    cross = linalg.cross
    addbmm_ = linalg.addbmm_
    addmv_ = linalg.addmv_
    addr_ = linalg.addr_
    baddbmm_ = linalg.baddbmm_
    matmul = linalg.matmul_function
    cholesky, cholesky_inverse = _later("former_linalg", "cholesky"), _later("solvers", "cholesky_inverse")
    cholesky_solve, logdet = _later("solvers", "cholesky_solve"), _later("solvers", "logdet")
    det, slogdet, inverse = _later("solvers", "det"), _later("former_linalg", "slogdet"), _later("solvers", "inverse")
    lu, lu_solve, qr = _later("former_linalg", "lu"), _later("former_linalg", "lu_solve"), _later("former_linalg", "qr")
    svd, pinverse = _later("former_linalg", "svd"), _later("former_linalg", "pinverse")
    triangular_solve = _later("former_linalg", "triangular_solve")
    geqrf, orgqr, ormqr = _later("least_squares", "geqrf"), _later("least_squares", "orgqr"), _later("least_squares", "ormqr")
    matrix_exp, matrix_power = _later("matrix_functions", "matrix_exp"), _later("matrix_functions", "matrix_power")
    cov, corrcoef = _later("matrix_functions", "cov"), _later("matrix_functions", "corrcoef")
    renorm, renorm_ = _later("matrix_functions", "renorm"), _later("matrix_functions", "renorm_")

    # ---- random -----------------------------------------------------------------------------------------------------------------

    uniform_ = draws.uniform_
    normal_ = draws.normal_
    random_ = draws.random_
    bernoulli, bernoulli_ = draws.bernoulli, draws.bernoulli_
    exponential_ = draws.exponential_
    geometric_ = draws.geometric_
    cauchy_ = draws.cauchy_
    log_normal_ = draws.log_normal_
    multinomial = draws.multinomial

    # ---- new tensors like this one ----------------------------------------------------------------------------------------------

    new_tensor = create.new_tensor
    new_zeros = create.new_zeros
    new_ones = create.new_ones
    new_empty = create.new_empty
    new_full = create.new_full
    resize_ = create.resize_
    resize_as_ = create.resize_as_
    new_empty_strided = create.new_empty_strided
