"""Parameters as one long vector, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

__mytorch__ = True

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters in one vector, in order; differentiable.

    Args:
        parameters: Tensors of any shape, at least one.
    Returns:
        A Tensor of shape (total number of elements,).
    """
    from mytorch.ops.shape import cat

    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Let each parameter hold its slice of the vector, in order; they share the vector's memory.

    Args:
        vec: at least as many elements as the parameters have together.
        parameters: Tensors whose `.data` is replaced.
    Raises:
        TypeError: if `vec` is not a Tensor.
        RuntimeError: if `vec` is too short.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        end = start + p.numel()
        p.data = vec[start:end].view(p.shape).data
        start = end
