"""Distributions of extremes, of lifetimes and of sizes: Gumbel, Weibull, Pareto and HalfCauchy; and counts: Binomial, NegativeBinomial."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from mytorch import dtypes
from mytorch.autograd_engine import no_grad
from mytorch.distributions import constraints
from mytorch.distributions.continuous import Cauchy, Exponential
from mytorch.distributions.discrete import _TwoWays
from mytorch.distributions.distribution import Distribution, broadcast_all
from mytorch.distributions.gamma import Gamma
from mytorch.ops.activation import logsigmoid
from mytorch.ops.choices import where
from mytorch.ops.random import poisson, rand
from mytorch.ops.ranges import arange
from mytorch.ops.second_names import binomial

__mytorch__ = True

_EULER = 0.57721566490153286060


class Gumbel(Distribution):
    """The largest of many draws: loc - scale log(-log(u)) for a uniform u.

    log_prob(x) = y - e^y - log(scale), y = (loc - x) / scale
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.real

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * _EULER

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return (math.pi / math.sqrt(6) * self.scale).pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        info = dtypes.finfo(self.loc.dtype)
        u = info.tiny + rand(self._extended_shape(sample_shape), dtype=self.loc.dtype) * (1 - info.eps - info.tiny)
        return self.loc - self.scale * (-u.log()).log()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Any) -> Any:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Any:
        return self.scale.log() + (1 + _EULER)


class Weibull(Distribution):
    """Lifetimes whose hazard grows with the power concentration - 1: scale x^(1 / concentration) for an exponential x."""

    arg_constraints: ClassVar[dict[str, Any]] = {"scale": constraints.positive, "concentration": constraints.positive}
    has_rsample = True

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.positive

    @property
    def mean(self) -> Any:
        return self.scale * (1 + self.concentration.reciprocal()).lgamma().exp()

    @property
    def mode(self) -> Any:
        return self.scale * ((self.concentration - 1) / self.concentration) ** self.concentration.reciprocal()

    @property
    def variance(self) -> Any:
        inverse = self.concentration.reciprocal()
        return self.scale.pow(2) * ((1 + 2 * inverse).lgamma().exp() - (2 * (1 + inverse).lgamma()).exp())

    def rsample(self, sample_shape: Any = ()) -> Any:
        x = Exponential(self.scale.detach() * 0 + 1).rsample(sample_shape)
        return self.scale * x.pow(self.concentration.reciprocal())

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y = value / self.scale
        return (self.concentration / self.scale).log() + (self.concentration - 1) * y.log() - y.pow(self.concentration)

    def cdf(self, value: Any) -> Any:
        return -(-(value / self.scale).pow(self.concentration)).expm1()

    def icdf(self, value: Any) -> Any:
        return self.scale * (-(-value).log1p()).pow(self.concentration.reciprocal())

    def entropy(self) -> Any:
        inverse = self.concentration.reciprocal()
        return _EULER * (1 - inverse) + (self.scale * inverse).log() + 1


class Pareto(Distribution):
    """Sizes from `scale` on, of which a share (scale / x)^alpha is larger than x."""

    arg_constraints: ClassVar[dict[str, Any]] = {"alpha": constraints.positive, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)  # none up to 1: infinite
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.scale * Exponential(self.alpha).rsample(sample_shape).exp()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        x = (value / self.scale).log()
        return self.alpha.log() - (self.alpha + 1) * x - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return -(-self.alpha * (value / self.scale).log()).expm1()

    def icdf(self, value: Any) -> Any:
        return self.scale * (-(-value).log1p() / self.alpha).exp()

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class HalfCauchy(Distribution):
    """The size of a Cauchy draw around 0."""

    arg_constraints: ClassVar[dict[str, Any]] = {"scale": constraints.positive}
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        self._cauchy = Cauchy(0, self.scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.nonnegative

    @property
    def mean(self) -> Any:
        return self.scale.new_full(self._extended_shape(), math.inf)

    @property
    def mode(self) -> Any:
        return self.scale * 0

    @property
    def variance(self) -> Any:
        return self._cauchy.variance

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._cauchy.rsample(sample_shape).abs()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return where(value >= 0, self._cauchy.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 2 * self._cauchy.cdf(value) - 1

    def icdf(self, value: Any) -> Any:
        return self._cauchy.icdf((value + 1) / 2)

    def entropy(self) -> Any:
        return self._cauchy.entropy() - math.log(2)

    def __repr__(self) -> str:
        return "HalfCauchy()"


class _Tries(_TwoWays):
    """With a number of tries, `total_count`, besides the probability."""

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        given = probs if probs is not None else logits
        if given is not None:
            total, given = broadcast_all(total_count, given)
            self.total_count = total.type_as(given)
        super().__init__(None if probs is None else given, None if logits is None else given, validate_args)


class Binomial(_Tries):
    """How many of `total_count` tries succeed."""

    arg_constraints: ClassVar[dict[str, Any]] = {"total_count": constraints.nonnegative_integer, "probs": constraints.unit_interval,
                                                 "logits": constraints.real}
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(total_count, probs, logits, validate_args)

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, logits = self.total_count, self.logits
        positive = (logits.clamp(min=0) + logits - logits.clamp(max=0)) / 2  # the same as the first, with slope 1/2 at 0
        rest = n * positive + n * (-logits.abs()).exp().log1p() - (n + 1).lgamma()
        return value * logits - (value + 1).lgamma() - (n - value + 1).lgamma() - rest

    def entropy(self) -> Any:
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        total = int(self.total_count.max())
        if not self.total_count.min() == total:
            raise NotImplementedError("Inhomogeneous total count not supported by `enumerate_support`.")
        values = arange(1 + total, dtype=self._param.dtype).view((-1, *([1] * len(self._batch_shape))))
        return values.expand((-1, *self._batch_shape)) if expand else values


class NegativeBinomial(_Tries):
    """How many tries succeed before `total_count` have failed: a Poisson draw whose rate is a Gamma draw."""

    arg_constraints: ClassVar[dict[str, Any]] = {"total_count": constraints.greater_than_eq(0), "probs": constraints.half_open_interval(0.0, 1.0),
                                                 "logits": constraints.real}

    @property
    def support(self) -> Any:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return poisson(Gamma(self.total_count, (-self.logits).exp(), validate_args=False).sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n = self.total_count
        choose = (n + value).lgamma() - (1.0 + value).lgamma() - n.lgamma()
        choose = choose.masked_fill(n + value == 0.0, 0.0)
        return n * logsigmoid(-self.logits) + value * logsigmoid(self.logits) + choose


__all__ = ["Binomial", "Gumbel", "HalfCauchy", "NegativeBinomial", "Pareto", "Weibull"]
