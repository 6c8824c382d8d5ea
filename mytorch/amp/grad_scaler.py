"""`torch.amp.GradScaler`: keeps small gradients from vanishing in float16, by a factor that the steps themselves correct."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.dtypes import cast
from mytorch.inplace import bump
from mytorch.ops.common import narrowed, widened
from mytorch.tensor import Tensor, _wrap

if TYPE_CHECKING:
    from mytorch.optim.optimizer import Optimizer

__mytorch__ = True

_READY, _UNSCALED, _STEPPED = range(3)


class GradScaler:
    """Scales the loss, unscales the gradients, and skips steps whose gradients overflowed.

    scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()

    scale := scale * growth_factor after growth_interval steps without an overflow, scale * backoff_factor after one.

    Args:
        device: 'cpu'; 'cuda' (torch's default) warns that there is none, and disables the scaler: it passes everything through.
        init_scale, growth_factor, backoff_factor, growth_interval: see above.
        enabled: False makes every method do what a program without a scaler would.
    Raises:
        AssertionError: for factors on the wrong side of 1; for `step` or `update` before `scale`.
    Source: Micikevicius et al. 2018, section 3.2, arXiv:1710.03740
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0 ** 16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True) -> None:
        self._device = device
        if device == "cuda" and enabled:
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", UserWarning, stacklevel=2)
            enabled = False
        self._enabled = enabled
        if not enabled:
            return
        _require(growth_factor > 1.0, "The growth factor must be > 1.0.")
        _require(backoff_factor < 1.0, "The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._scale: Tensor | None = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._stages: dict[int, int] = {}  # of each optimizer since the last update, by id
        self._found_inf: dict[int, bool] = {}

    def scale(self, outputs: Any) -> Any:
        """outputs times the scale: a tensor, or an iterable of them (nested as one likes)."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._set(self._init_scale)
            return outputs * self._scale
        if isinstance(outputs, Iterable):
            scaled: Any = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the optimizer's gradients by the scale, in place: before clipping them, for example.

        Raises:
            RuntimeError: if it was done already since the last `update`, or after `step`.
            ValueError: if a gradient is in float16: weights are to stay in float32.
        """
        if not self._enabled:
            return
        self._check_scale("unscale_")
        stage = self._stages.get(id(optimizer), _READY)
        if stage == _UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage == _STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        self._unscale(optimizer, False)
        self._stages[id(optimizer)] = _UNSCALED

    def _unscale(self, optimizer: Optimizer, allow_fp16: bool) -> None:
        inverse = np.float32(1.0 / self.get_scale())
        found = False
        any_gradient = False
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                any_gradient = True
                g = p.grad._array
                if g.dtype == np.float16 and not allow_fp16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                wide = widened(g)
                found = found or not np.isfinite(wide).all()
                np.copyto(g, narrowed(np.multiply(wide, cast(np.asarray(inverse), wide.dtype)), g.dtype))
                bump(p.grad)
        if any_gradient:
            self._found_inf[id(optimizer)] = found

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(*args, **kwargs)` on unscaled gradients, unless one of them is infinite or NaN.

        Raises:
            RuntimeError: for a closure, for a second step before `update`. AssertionError: without gradients or scale.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_scale("step")
        key = id(optimizer)
        stage = self._stages.get(key, _READY)
        if stage == _STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if stage == _READY:
            self.unscale_(optimizer)
        _require(key in self._found_inf, "No inf checks were recorded for this optimizer.")
        result = None if self._found_inf[key] else optimizer.step(*args, **kwargs)
        self._stages[key] = _STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Correct the scale by what the steps since the last update have found, or set it."""
        if not self._enabled:
            return
        self._check_scale("update")
        if new_scale is not None:
            value = new_scale.item() if isinstance(new_scale, Tensor) else new_scale
            if isinstance(new_scale, Tensor):
                reason = ("new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with requires_grad=False.")
                _require(new_scale.numel() == 1 and not new_scale.requires_grad, reason)
            self._set(value)
        else:
            _require(bool(self._found_inf), "No inf checks were recorded prior to update.")
            if any(self._found_inf.values()):
                self._set(self.get_scale() * self._backoff_factor)
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    grown = np.float32(self.get_scale() * self._growth_factor)
                    if np.isfinite(grown):
                        self._set(float(grown))
                    self._growth_tracker = 0
        self._stages.clear()
        self._found_inf.clear()

    def get_scale(self) -> float:
        """The scale now; 1.0 of a disabled scaler."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale._array)

    def _set(self, value: float) -> None:
        self._scale = _wrap(np.array(value, np.float32))

    def _check_scale(self, name: str) -> None:
        _require(self._scale is not None, f"Attempted {name} but _scale is None.  This may indicate your script did not use "
                 "scaler.scale(loss or outputs) earlier in the iteration.")

    def is_enabled(self) -> bool:
        """Does this scaler scale?"""
        return self._enabled

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale shrinks by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale shrinks by after an overflow."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many steps without an overflow make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many steps without an overflow make the scale grow."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The scale, the factors and the count of good steps, as torch names them; empty if disabled."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`. RuntimeError for an empty one, unless this scaler is disabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.")
        self._init_scale = state_dict["scale"]
        if self._scale is not None:
            self._set(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]


def _require(fact: bool, text: str) -> None:
    if not fact:
        raise AssertionError(text)
