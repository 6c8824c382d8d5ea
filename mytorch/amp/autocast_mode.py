"""`torch.autocast`: run a region in mixed precision; and what user-defined Functions need under it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

from mytorch import dtypes
from mytorch.amp.state import (
    autocast_decrement_nesting,
    autocast_increment_nesting,
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)
from mytorch.tensor import Tensor

__mytorch__ = True

_LOWER = (dtypes.bfloat16, dtypes.float16)


class autocast:  # noqa: N801 - torch's name
    """Inside, products of matrices, convolutions and attention compute in a 16-bit type, losses and decompositions in float32.

    Weights stay in float32 and get float32 gradients: a cast is an operation of the graph, and a weight is cast once per context.
    Call `backward()` outside. A context manager and a decorator. Which function does what: `mytorch/ops/autocast.py`.

    Args:
        device_type: 'cpu'. On a machine without a GPU, which this package sees everywhere, 'cuda' warns and does nothing.
        dtype: bfloat16 (the CPU's default) or float16.
        enabled: False switches autocast off in this region.
        cache_enabled: keep cast weights until the outermost context ends.
    Raises:
        ValueError: if device_type is no string. RuntimeError: if there is no such device, or no autocast on it.
    Source: Micikevicius et al. 2018, arXiv:1710.03740
    """

    def __init__(self, device_type: str, dtype: dtypes.dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        kind = device_type.split(":")[0]
        if kind == "cuda" and enabled:
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", UserWarning, stacklevel=2)
            enabled = False
        elif kind == "cpu" and enabled and self.fast_dtype not in _LOWER:
            warnings.warn("In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                          "CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.", UserWarning, stacklevel=2)
            enabled = False
        self._enabled = enabled
        self._before: list[tuple[bool, dtypes.dtype, bool]] = []

    def __enter__(self) -> autocast:
        self._before.append((is_autocast_enabled(self.device), get_autocast_dtype(self.device), is_autocast_cache_enabled()))
        set_autocast_cache_enabled(self._cache_enabled)
        set_autocast_dtype(self.device, self.fast_dtype)
        set_autocast_enabled(self.device, self._enabled)
        autocast_increment_nesting()
        return self

    def __exit__(self, *exc: object) -> None:
        enabled, dtype, cache_enabled = self._before.pop()
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        set_autocast_enabled(self.device, enabled)
        set_autocast_dtype(self.device, dtype)
        set_autocast_cache_enabled(cache_enabled)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)
        return inside


def _cast(value: Any, dtype: dtypes.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() and value.dtype is not dtypes.float64 else value
    if isinstance(value, dict):
        return {_cast(key, dtype): _cast(part, dtype) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_cast(part, dtype) for part in value)
    return value


def _checked(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    return device_type


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: dtypes.dtype | None = None) -> Any:
    """Decorate the `forward` of an `autograd.Function`, so that its backward runs with autocast as it was (see `custom_bwd`).

    Args:
        cast_inputs: under autocast, give `forward` its floating tensors in this dtype, and switch autocast off in it.
    """
    _checked(device_type)
    if fwd is None:
        return lambda function: custom_fwd(function, device_type=device_type, cast_inputs=cast_inputs)

    @wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        ctx._dtype = get_autocast_dtype(device_type)
        active = is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = active and cast_inputs is None
        if cast_inputs is None or not active:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*_cast(args, cast_inputs), **_cast(kwargs, cast_inputs))
    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """Decorate the `backward` of an `autograd.Function`: it runs with autocast on or off, as its forward did."""
    _checked(device_type)
    if bwd is None:
        return lambda function: custom_bwd(function, device_type=device_type)

    @wraps(bwd)
    def backward(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)
    return backward
