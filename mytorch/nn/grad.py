"""The two gradients of a convolution as functions of their own, under torch.nn.grad's names; both can be differentiated again.

For y = conv(x, w) and g = dL/dy:  dx[n, c, i] = sum over o, k of g[n, o, (i + padding - dilation k) / stride] w[o, c, k],
dw[o, c, k] = sum over n, j of g[n, o, j] x[n, c, stride j + dilation k - padding].
Source: Dumoulin, Visin 2016, chapter 4, arXiv:1603.07285
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.ops.common import require_tensor
from mytorch.ops.conv import _ints, grad_input_op, grad_weight_op, output_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mytorch.tensor import Tensor

    Sizes = int | tuple[int, ...]

__mytorch__ = True

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _geometry(function: str, dims: int, x_size: Sequence[int], weight_size: Sequence[int], g: Tensor, stride: Any, padding: Any,
              dilation: Any, groups: int) -> dict[str, Any]:
    """The convolution's options, checked: the sizes of all three fit each other."""
    for name, size in (("input_size", x_size), ("weight_size", weight_size), ("grad_output's size", g.shape)):
        if len(size) != dims + 2:
            raise RuntimeError(f"{function}: {name} must have {dims + 2} entries, but got {list(size)}")
    options = {name: _ints(function, name, value, dims) for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation))}
    if x_size[1] != weight_size[1] * groups:
        raise RuntimeError(f"Given groups={groups}, weight of size {list(weight_size)}, expected input{list(x_size)} to have "
                           f"{weight_size[1] * groups} channels, but got {x_size[1]} channels instead")
    out = output_size(tuple(x_size[2:]), tuple(weight_size[2:]), options["stride"], options["padding"], options["dilation"])
    expected = (x_size[0], weight_size[0], *out)
    if tuple(g.shape) != expected:
        raise RuntimeError(f"{function}: the convolution of {list(x_size)} by {list(weight_size)} has the size {list(expected)}, but "
                           f"grad_output has {list(g.shape)}")
    return {**options, "groups": groups}


def _input(dims: int, input_size: Sequence[int], weight: Any, grad_output: Any, *options: Any) -> Any:
    name = f"conv{dims}d_input"
    require_tensor(name, weight, "weight", 2)
    require_tensor(name, grad_output, "grad_output", 3)
    geometry = _geometry(name, dims, input_size, weight.shape, grad_output, *options)
    return grad_input_op(grad_output, weight, size=tuple(int(n) for n in input_size[2:]), **geometry)


def _weight(dims: int, x: Any, weight_size: Sequence[int], grad_output: Any, *options: Any) -> Any:
    name = f"conv{dims}d_weight"
    require_tensor(name, x, "input", 1)
    require_tensor(name, grad_output, "grad_output", 3)
    geometry = _geometry(name, dims, x.shape, weight_size, grad_output, *options)
    return grad_weight_op(grad_output, x, size=tuple(int(n) for n in weight_size[2:]), **geometry)


def conv1d_input(input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1,
                 groups: int = 1) -> Any:
    """The gradient of conv1d's input; see `conv2d_input`."""
    return _input(1, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,  # noqa: A002
                  dilation: Sizes = 1, groups: int = 1) -> Any:
    """The gradient of conv1d's weight; see `conv2d_weight`."""
    return _weight(1, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1,
                 groups: int = 1) -> Any:
    """The gradient of conv2d's input.

    Args:
        input_size: the shape of the input, (N, C, H, W).
        grad_output: the gradient of the output. stride, padding, dilation, groups: as for conv2d.
    Raises:
        RuntimeError: for sizes that do not fit.
    """
    return _input(2, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,  # noqa: A002
                  dilation: Sizes = 1, groups: int = 1) -> Any:
    """The gradient of conv2d's weight.

    Args:
        weight_size: the shape of the weight, (O, C / groups, kH, kW).
        grad_output: the gradient of the output. stride, padding, dilation, groups: as for conv2d.
    Raises:
        RuntimeError: for sizes that do not fit.
    """
    return _weight(2, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1,
                 groups: int = 1) -> Any:
    """The gradient of conv3d's input; see `conv2d_input`."""
    return _input(3, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,  # noqa: A002
                  dilation: Sizes = 1, groups: int = 1) -> Any:
    """The gradient of conv3d's weight; see `conv2d_weight`."""
    return _weight(3, input, weight_size, grad_output, stride, padding, dilation, groups)
