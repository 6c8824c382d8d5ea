"""Initial weights: every function fills a tensor in place, outside any graph, and returns it.

Draws come from the default generator, or from `generator`, in torch's order: after `manual_seed(0)` the values are torch's own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mytorch import dtypes
from mytorch.autograd_engine import no_grad
from mytorch.generator import default_generator
from mytorch.inplace import bump

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mytorch.generator import Generator
    from mytorch.tensor import Tensor

__mytorch__ = True

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights must grow so that a nonlinearity keeps the variance of its input.

    1 for linear maps and sigmoid, 5/3 for tanh, sqrt(2) for relu, sqrt(2 / (1 + slope^2)) for leaky_relu, 3/4 for selu.

    Args:
        nonlinearity: the name of a function of nn.functional.
        param: the slope of leaky_relu, 0.01 by default.
    Raises:
        ValueError: for another name, or a slope that is no number.
    Source: He, Zhang, Ren, Sun 2015, arXiv:1502.01852, section 2.2. For selu, Klambauer et al. 2017, arXiv:1706.02515, ask for 1;
        3/4 is torch's.
    """
    if nonlinearity in _LINEAR or nonlinearity == "sigmoid":
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {slope} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


# ---- plain fills --------------------------------------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with values drawn evenly from [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal values of this mean and standard deviation."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity: ones on the diagonal.

    Raises:
        ValueError: unless the tensor has 2 dimensions.
    """
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _fill_from(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make the weight of a convolution pass its input through: channel i of each group to channel i, as far as both exist.

    Args:
        tensor: (out_channels, in_channels, k...), with 1 to 3 spatial dimensions.
        groups: the convolution's groups.
    Raises:
        ValueError: for another number of dimensions, or groups that do not divide out_channels.
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out_channels, in_channels, *kernel = tensor.shape
    if out_channels % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    weight = np.zeros(tensor.shape)
    centre = tuple(size // 2 for size in kernel)
    per_group = out_channels // groups
    for group in range(groups):
        for channel in range(min(per_group, in_channels)):
            weight[(group * per_group + channel, channel, *centre)] = 1
    return _fill_from(tensor, weight)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator: Generator | None = None) -> Tensor:
    """Fill with normal values, drawn again until they lie in [a, b].

    Where less than 0.3 of the normal mass lies there, evenly spread values are drawn instead, and kept with a probability
    proportional to the density.

    Args:
        mean, std: of the normal distribution before truncation.
        a, b: bounds, in the same unit as mean.
    Source: rejection sampling, von Neumann 1951; even proposals: Robert 1995, "Simulation of truncated normal variables"
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        import warnings
        warnings.warn("mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
                      "The distribution of values may be incorrect.", stacklevel=2)

    def below(bound: float) -> float:  # mass of the normal distribution below a bound
        return (1.0 + math.erf((bound - mean) / std / math.sqrt(2.0))) / 2.0

    accepts_often = below(b) - below(a) > 0.3
    nearest = (min(max(mean, a), b) - mean) / std  # the density in [a, b] is highest here
    source = default_generator if generator is None else generator
    target = tensor._array
    pending = np.ones(target.shape, bool)
    while pending.any():
        if accepts_often:
            values = _wide(source.normal(target.shape, mean, std, target.dtype))
            accepted = (values >= a) & (values <= b)
        else:
            values = _wide(source.uniform(target.shape, a, b, target.dtype))
            chance = _wide(source.random(target.shape, target.dtype))
            accepted = np.log(chance) <= (nearest**2 - ((values - mean) / std) ** 2) / 2
        fresh = pending & accepted
        target[fresh] = dtypes.cast(values[fresh], target.dtype)
        pending &= ~accepted
    bump(tensor)
    return tensor


# ---- fills whose scale follows from the shape ---------------------------------------------------------------------------------


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs each output sees, and the other way round: in_features and out_features, times the kernel's size.

    Raises:
        ValueError: for fewer than 2 dimensions.
    """
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    valid = ["fan_in", "fan_out"]
    if mode not in valid:
        raise ValueError(f"Mode {mode} not supported, please use one of {valid}")
    return _calculate_fan_in_and_fan_out(tensor)[valid.index(mode)]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill evenly from [-a, a), a = gain * sqrt(6 / (fan_in + fan_out)).

    Raises:
        ValueError: for fewer than 2 dimensions.
    Source: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16
    """
    std = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    bound = math.sqrt(3.0) * std  # a uniform distribution on [-a, a) has the standard deviation a / sqrt(3)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal values of standard deviation gain * sqrt(2 / (fan_in + fan_out)).

    Raises:
        ValueError: for fewer than 2 dimensions.
    Source: Glorot, Bengio 2010, eq. 12
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor))), generator)


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator: Generator | None = None) -> Tensor:
    """Fill evenly from [-bound, bound), bound = gain * sqrt(3 / fan).

    Args:
        a: slope of leaky_relu after this layer.
        mode: "fan_in" keeps the variance in the forward pass, "fan_out" in the backward pass.
        nonlinearity: name for `calculate_gain`.
    Raises:
        ValueError: for fewer than 2 dimensions, or an unknown mode or nonlinearity.
    Source: He, Zhang, Ren, Sun 2015, eq. 10 and 14, arXiv:1502.01852
    """
    if _is_empty(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    bound = math.sqrt(3.0) * (calculate_gain(nonlinearity, a) / math.sqrt(fan))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator: Generator | None = None) -> Tensor:
    """Fill with normal values of standard deviation gain / sqrt(fan); arguments and errors as for `kaiming_uniform_`."""
    if _is_empty(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a random matrix of orthonormal rows or columns, times `gain`; dimensions after the first are taken together.

    Raises:
        ValueError: for fewer than 2 dimensions.
    Source: Saxe, McClelland, Ganguli 2013, arXiv:1312.6120
    """
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    source = default_generator if generator is None else generator
    dtype = tensor._array.dtype
    matrix = source.normal((rows, columns), 0.0, 1.0, dtype if dtype.itemsize > 2 else np.dtype(np.float32))
    q, r = np.linalg.qr(matrix.T if rows < columns else matrix)
    q = q * np.sign(np.diag(r))  # signs as in the decomposition whose r has a positive diagonal: then q is evenly distributed
    return _fill_from(tensor, (q.T if rows < columns else q).reshape(tensor.shape) * gain)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Fill a matrix with normal values, then set a fraction `sparsity` of each column to zero.

    Raises:
        ValueError: unless the tensor has 2 dimensions.
    Source: Martens 2010, "Deep learning via Hessian-free optimization", section 5
    """
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    normal_(tensor, 0, std, generator)
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    for column in range(columns):
        dropped = default_generator.permutation(rows)[:zeros]
        tensor._array[dropped, column] = np.zeros((), tensor._array.dtype)
    bump(tensor)
    return tensor


def _is_empty(tensor: Tensor) -> bool:
    if 0 not in tensor.shape:
        return False
    import warnings

    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return True


def _wide(array: Any) -> Any:
    """The values in a dtype that NumPy can compute with."""
    return array if array.dtype.itemsize > 2 else dtypes.cast(array, np.dtype(np.float32))


def _fill_from(tensor: Tensor, values: Any) -> Tensor:
    np.copyto(tensor._array, dtypes.cast(values, tensor._array.dtype))
    bump(tensor)
    return tensor


# ---- old names ----------------------------------------------------------------------------------------------------------------


def _deprecated(function: Callable[..., Any]) -> Callable[..., Any]:
    new = function.__name__
    old = new[:-1]

    def renamed(*args: Any, **kwargs: Any) -> Any:
        import warnings

        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    renamed.__name__ = renamed.__qualname__ = old
    renamed.__doc__ = f"The old name of `{new}`."
    return renamed


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
