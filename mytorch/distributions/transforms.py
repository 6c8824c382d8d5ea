"""Differentiable invertible functions, and the distribution of what one makes of a draw: TransformedDistribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mytorch.autograd_engine import no_grad
from mytorch.distributions import constraints
from mytorch.distributions.distribution import Distribution
from mytorch.ops.activation import softplus
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

__mytorch__ = True


class Transform:
    """y = transform(x), x = transform.inv(y), and the logarithm of the slope. Subclasses define `_call`, `_inverse` and
    `log_abs_det_jacobian(x, y)`. `cache_size=1` remembers the last pair, so that inv(y) gives back the very x."""

    bijective = True
    domain: Any = constraints.real
    codomain: Any = constraints.real

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)

    def __call__(self, x: Any) -> Any:
        """y for x."""
        if self._cache_size and self._last[0] is x:
            return self._last[1]
        y = self._call(x)
        if self._cache_size:
            self._last = (x, y)
        return y

    @property
    def inv(self) -> Transform:
        """The transform back."""
        return _InverseTransform(self)

    def _inverted(self, y: Any) -> Any:
        if self._cache_size and self._last[1] is y:
            return self._last[0]
        return self._inverse(y)

    def _call(self, x: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}._call")

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}._inverse")

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log |dy/dx|."""
        raise NotImplementedError(f"{type(self).__name__}.log_abs_det_jacobian")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _InverseTransform(Transform):
    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._inv = transform
        self.domain, self.codomain = transform.codomain, transform.domain

    @property
    def inv(self) -> Transform:
        return self._inv

    def _call(self, x: Any) -> Any:
        return self._inv._inverted(x)

    def _inverse(self, y: Any) -> Any:
        return self._inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._inv.log_abs_det_jacobian(y, x)


class ExpTransform(Transform):
    """y = e^x."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class SigmoidTransform(Transform):
    """y = 1 / (1 + e^-x)."""

    codomain = constraints.unit_interval

    def _call(self, x: Any) -> Any:
        from mytorch.dtypes import finfo
        limits = finfo(x.dtype)
        return x.sigmoid().clamp(limits.tiny, 1.0 - limits.eps)

    def _inverse(self, y: Any) -> Any:
        from mytorch.dtypes import finfo
        limits = finfo(y.dtype)
        y = y.clamp(limits.tiny, 1.0 - limits.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -softplus(-x) - softplus(x)


class TanhTransform(Transform):
    """y = tanh(x); with cache_size=1 where log_prob of a draw is asked for, since atanh of a y near 1 knows x badly."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))  # log(1 - tanh(x)^2), without cancellation

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TanhTransform)

    __hash__ = Transform.__hash__


class AffineTransform(Transform):
    """y = loc + scale x; event_dim last dimensions make up one event."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim
        self.domain = self.codomain = constraints.independent(constraints.real, event_dim) if event_dim else constraints.real

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        from mytorch.ops.create import full_like
        slope = self.scale.abs().log() if isinstance(self.scale, Tensor) else full_like(x, math.log(abs(self.scale)))
        return _summed(slope.expand(x.shape), self.event_dim)


class ComposeTransform(Transform):
    """One transform after the other."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        if self.parts:
            self.domain, self.codomain = self.parts[0].domain, self.parts[-1].codomain

    def _call(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part._inverted(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        most = self.domain.event_dim
        total: Any = 0.0
        for part in self.parts:
            after = part(x)
            total = total + _summed(part.log_abs_det_jacobian(x, after), most - part.domain.event_dim)
            x = after
        return total


def _summed(value: Any, count: int) -> Any:
    """The sum over the last dimensions."""
    return value.flatten(-count).sum(-1) if count > 0 else value


class TransformedDistribution(Distribution):
    """The distribution of transform(x) for x of a base distribution.

    log_prob(y) = base.log_prob(x) - log |dy/dx|
    """

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(f"transforms must be a Transform or a list of Transforms, but was {transforms}")
        self.base_dist = base_distribution
        super().__init__(base_distribution.batch_shape, base_distribution.event_shape, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Has the base one?"""
        return bool(self.base_dist.has_rsample)

    @property
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self.event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            x = self.base_dist.sample(sample_shape)
            for transform in self.transforms:
                x = transform(x)
            return x

    def rsample(self, sample_shape: Any = ()) -> Any:
        x = self.base_dist.rsample(sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        events = len(self.event_shape)
        found: Any = 0.0
        y = value
        for transform in reversed(self.transforms):
            x = transform._inverted(y)
            found = found - _summed(transform.log_abs_det_jacobian(x, y), events - transform.domain.event_dim)
            y = x
        return self.base_dist.log_prob(y) + found

    def _sign_of_slope(self) -> Any:
        sign: Any = 1
        for transform in self.transforms:
            scale = getattr(transform, "scale", 1)
            sign = sign * (scale.sign() if isinstance(scale, Tensor) else math.copysign(1, scale))
        return sign

    def cdf(self, value: Any) -> Any:
        for transform in reversed(self.transforms):
            value = transform._inverted(value)
        sign = self._sign_of_slope()
        return sign * (self.base_dist.cdf(value) - 0.5) + 0.5

    def icdf(self, value: Any) -> Any:
        x = self.base_dist.icdf(self._sign_of_slope() * (value - 0.5) + 0.5)
        for transform in self.transforms:
            x = transform(x)
        return x

    def __repr__(self) -> str:
        return "TransformedDistribution()"


identity_transform = ComposeTransform([])

__all__ = ["AffineTransform", "ComposeTransform", "ExpTransform", "SigmoidTransform", "TanhTransform", "Transform", "TransformedDistribution",
           "identity_transform"]
