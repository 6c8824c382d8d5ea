"""Utilities around parameters and gradients, under torch.nn.utils' names."""

from __future__ import annotations

from mytorch.nn.utils import rnn as rnn
from mytorch.nn.utils import stateless as stateless
from mytorch.nn.utils.clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from mytorch.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from mytorch.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from mytorch.nn.utils.weight_norm import remove_weight_norm, weight_norm

__mytorch__ = True

# what few programs use loads when first asked for
_LAZY_MODULES = frozenset({"fusion", "init", "memory_format", "parametrizations", "parametrize", "prune"})
_LAZY_NAMES = {
    "fuse_conv_bn_eval": "fusion", "fuse_conv_bn_weights": "fusion", "fuse_linear_bn_eval": "fusion", "fuse_linear_bn_weights": "fusion",
    "skip_init": "init",
    "convert_conv2d_weight_memory_format": "memory_format", "convert_conv3d_weight_memory_format": "memory_format",
}


def __getattr__(name: str) -> object:
    import importlib
    if name in _LAZY_MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY_NAMES:
        found = getattr(importlib.import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module '{__name__}' has no attribute '{name}': if torch has it, it is not supported yet")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_NAMES})
