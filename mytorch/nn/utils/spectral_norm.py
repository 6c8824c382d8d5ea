"""Spectral normalisation by a pre-hook: a weight divided by its largest singular value.

W / sigma,  sigma = u^T W v,  with u and v from one step of the power method per training pass:
v <- W^T u / ||W^T u||,  u <- W v / ||W v||

The newer way is `parametrizations.spectral_norm`. Source: Miyato et al. 2018, algorithm 1, arXiv:1802.05957
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mytorch.grad_mode import no_grad
from mytorch.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.ops.norm import normalize

if TYPE_CHECKING:
    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["SpectralNorm", "SpectralNormLoadStateDictPreHook", "SpectralNormStateDictHook", "remove_spectral_norm", "spectral_norm"]

M = TypeVar("M", bound=Module)


def output_dim(module: Module) -> int:
    """The dimension of a layer's weight that counts its outputs: 1 for transposed convolutions, else 0."""
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


def as_matrix(weight: Tensor, dim: int) -> Any:
    """The weight with `dim` as its rows and all others as its columns."""
    rows = weight.movedim(dim, 0)
    return rows.reshape(rows.shape[0], -1)


class SpectralNorm:
    """The pre-hook that computes the weight before each forward pass."""

    _version = 1  # 1: the vector v is saved; before, u alone

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def reshape_weight_to_matrix(self, weight: Tensor) -> Any:
        """The weight with `dim` as its rows."""
        return as_matrix(weight, self.dim)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Any:
        """The weight over its largest singular value; u and v, the module's buffers, improve in place where asked for."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalize(matrix.t().mv(u), dim=0, eps=self.eps))
                    u.copy_(normalize(matrix.mv(v), dim=0, eps=self.eps))
                # backward of this pass must not see the next pass write to the buffers
                u, v = u.clone(), v.clone()
        return weight / u.dot(matrix.mv(v))

    def remove(self, module: Module) -> None:
        """Put the normalised weight in place as an ordinary Parameter."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for part in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + part)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Split the parameter of this name and register the hooks."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight: Any = module._parameters[name]
        with no_grad():
            rows, columns = hook.reshape_weight_to_matrix(weight).shape
            u = normalize(weight.new_empty(rows).normal_(0, 1), dim=0, eps=eps)
            v = normalize(weight.new_empty(columns).normal_(0, 1), dim=0, eps=eps)
        delattr(module, name)
        module.register_parameter(f"{name}_orig", weight)
        setattr(module, name, weight.data)  # so that the attribute exists before the first forward pass
        module.register_buffer(f"{name}_u", u)
        module.register_buffer(f"{name}_v", v)
        module.register_forward_pre_hook(hook)
        module._register_state_dict_hook(SpectralNormStateDictHook(hook))
        module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(hook))
        return hook


class SpectralNormStateDictHook:
    """Notes the version in the metadata of a checkpoint."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, module: Module, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> None:
        local_metadata.setdefault("spectral_norm", {})[f"{self.fn.name}.version"] = self.fn._version


class SpectralNormLoadStateDictPreHook:
    """Finds the vector v for checkpoints from before it was saved, which hold the normalised weight W / sigma instead.

    v is the solution of W v = u of least norm, by the pseudo-inverse, scaled so that u^T W v is that sigma.
    """

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool, missing_keys: list[str],
                 unexpected_keys: list[str], error_msgs: list[str]) -> None:
        key = prefix + self.fn.name
        version = local_metadata.get("spectral_norm", {}).get(f"{self.fn.name}.version")
        has_v = all(f"{key}{suffix}" in state_dict for suffix in ("_orig", "_u", "_v")) and key not in state_dict
        if (version is not None and version >= 1) or has_v:
            return
        absent = [f"{key}{suffix}" for suffix in ("_orig", "", "_u") if f"{key}{suffix}" not in state_dict]
        if absent:
            missing_keys.extend(absent if strict else [])
            return
        with no_grad():
            original, u = state_dict[f"{key}_orig"], state_dict[f"{key}_u"]
            sigma = (original / state_dict.pop(key)).mean()
            matrix = self.fn.reshape_weight_to_matrix(original)
            v = matrix.pinverse().mv(u)
            state_dict[f"{key}_v"] = v * (sigma / u.dot(matrix.mv(v)))


def spectral_norm(module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> M:
    """Divide a parameter by its largest singular value before each forward pass, and return the module.

    Args:
        name: the parameter; what trains is `<name>_orig`, and the buffers `<name>_u` and `<name>_v` hold the singular vectors.
        n_power_iterations: steps of the power method per pass in training.
        eps: the least norm that u and v are divided by.
        dim: the dimension of outputs; 1 for transposed convolutions, else 0.
    Raises:
        ValueError: if n_power_iterations is not positive. KeyError: if there is no such parameter.
        RuntimeError: if the parameter is normalised already.
    """
    SpectralNorm.apply(module, name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Leave the normalised weight as an ordinary Parameter.

    Raises:
        ValueError: if the parameter is not normalised.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for table in (module._state_dict_hooks, module._load_state_dict_pre_hooks):
        for key, (hook, _) in list(table.items()):
            if isinstance(hook, (SpectralNormStateDictHook, SpectralNormLoadStateDictPreHook)) and hook.fn.name == name:
                del table[key]
    return module
