"""torch's older place of `functional_call`; the newer one is `func.functional_call`."""

from __future__ import annotations

import warnings
from typing import Any

__mytorch__ = True


def functional_call(module: Any, parameters_and_buffers: dict[str, Any], args: Any = None, kwargs: dict[str, Any] | None = None, *,
                    tie_weights: bool = True, strict: bool = False) -> Any:
    """`func.functional_call` with one dictionary; gives a FutureWarning, as in torch."""
    from mytorch.func.modules import call_with

    warnings.warn("`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future version of "
                  "PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.", FutureWarning, stacklevel=2)
    return call_with(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)
