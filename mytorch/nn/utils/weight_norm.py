"""Weight normalisation: a weight as its direction and its length, which train apart.

w = g * v / ||v||,  the norm taken over all dimensions but `dim`

Source: Salimans and Kingma 2016, eq. 2, arXiv:1602.07868
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from mytorch.nn.lazy import is_lazy
from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.ops.statistics import norm

if TYPE_CHECKING:
    from mytorch.tensor import Tensor

__mytorch__ = True

M = TypeVar("M", bound=Module)


def _length(v: Any, dim: int | None) -> Any:
    """The norm of v over all dimensions but `dim`, which keeps its place; of all of v for None."""
    if dim is None:
        return norm(v)
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    return norm(v, 2, others, keepdim=True) if others else v.abs()


class WeightNorm:
    """The pre-hook that computes the weight before each forward pass."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = None if dim == -1 else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight from its direction and length."""
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / _length(v, self.dim))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replace a parameter by its length `<name>_g` and its direction `<name>_v`, and return the module.

    Args:
        name: the parameter. dim: the dimension that keeps a length of its own for each index; None for one length in all.
    Raises:
        RuntimeError: if the parameter is normalised already.
    """
    warnings.warn("`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.", FutureWarning,
                  stacklevel=2)
    if any(isinstance(hook, WeightNorm) and hook.name == name for hook in module._forward_pre_hooks.values()):
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight: Any = getattr(module, name)
    if is_lazy(weight):
        raise ValueError("The module passed to `WeightNorm` can't have uninitialized parameters. Make sure to run the dummy forward before "
                         "applying weight normalization")
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(_length(weight, hook.dim).detach()))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the parameter whole again.

    Raises:
        ValueError: if it is not normalised.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            weight = hook.compute_weight(module).detach()
            delattr(module, name)
            del module._parameters[f"{name}_g"], module._parameters[f"{name}_v"]
            module.register_parameter(name, Parameter(weight))
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")


__all__ = ["remove_weight_norm", "weight_norm"]
