"""Distributions made from gamma draws: Gamma, Chi2, Beta, Dirichlet and StudentT."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from mytorch import dtypes
from mytorch.autograd_engine import no_grad
from mytorch.distributions import constraints
from mytorch.distributions.distribution import Distribution, broadcast_all
from mytorch.ops.arithmetic import xlogy
from mytorch.ops.choices import where
from mytorch.ops.create import empty, eye, tensor
from mytorch.ops.joining import stack
from mytorch.ops.random import source
from mytorch.ops.special_incomplete import igamma, igammac

__mytorch__ = True


def standard_gamma(concentration: Any) -> Any:
    """Draws of Gamma(concentration, 1), one for each element, with their derivative.

    A draw x stays at its place of the distribution function, F(x, a) = u, while a moves: dx/da = -(dF/da) / (dF/dx).
    dF/da is measured with steps of a thousandth of a in float64; the second derivative is not there.

    Source: Marsaglia and Tsang 2000, doi:10.1145/358407.358414; Figurnov, Mohamed and Mnih 2018, arXiv:1805.08498, for dx/da.
    """
    with no_grad():
        a = concentration.detach()
        x = tensor(_gamma_draws(a._array.astype(np.float64)), dtype=dtypes.float64)
        drawn = x.to(a.dtype)
    if not concentration.requires_grad:
        return drawn
    return drawn + (concentration - a) * _slope(a.double(), x).to(a.dtype)


def _gamma_draws(concentrations: Any) -> Any:
    """One draw for each element, in order; numbers are taken from the generator as torch takes them."""
    generator = source(None)
    values = np.empty(concentrations.shape, np.float64)
    for place, a in enumerate(concentrations.reshape(-1).tolist()):
        values.reshape(-1)[place] = _gamma_draw(a, generator)
    return values


def _gamma_draw(a: float, generator: Any) -> float:
    scale = 1.0
    if a < 1:  # a draw for a + 1 is made smaller
        if a == 0:
            return 0.0
        scale = (1 - generator._unit(1).item()) ** (1 / a)
        a += 1
    d = a - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        x = generator._pairs(1).item()
        y = 1 + c * x
        if y <= 0:
            continue
        v = y * y * y
        u = 1 - generator._unit(1).item()
        if u < 1 - 0.0331 * x**4 or math.log(u) < 0.5 * x * x + d * (1 - v + math.log(v)):
            return scale * d * v


def _difference(function: Any, a: Any) -> Any:
    """The slope of a function at a, from its values around: exact up to the fifth power of the step."""
    step = a * 1e-3
    near = function(a + step) - function(a - step)
    far = function(a + 2 * step) - function(a - 2 * step)
    return (8 * near - far) / (12 * step)


def _slope(a: Any, x: Any) -> Any:
    """dx/da of a gamma draw, over the distribution function below a and over its complement above, where that is the smaller."""
    with no_grad():
        slope_of_f = where(x < a, _difference(lambda s: igamma(s, x), a), -_difference(lambda s: igammac(s, x), a))
        return -slope_of_f / ((a - 1) * x.log() - x - a.lgamma()).exp()


def _slope_of_share(a: Any, b: Any, x: Any) -> Any:
    """dx/da / (1 - x) of a Beta(a, b) draw."""
    with no_grad():
        below = x < (a + 1) / (a + b + 2)
        slope_of_f = where(below, _difference(lambda s: _beta_function(s, b, x), a), -_difference(lambda s: _beta_function(b, s, 1 - x), a))
        return -slope_of_f / ((a - 1) * x.log() + b * (-x).log1p() - _log_beta(a, b)).exp()


def _log_beta(a: Any, b: Any) -> Any:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


def _beta_function(a: Any, b: Any, x: Any) -> Any:
    """The distribution function of Beta(a, b) by its continued fraction, which is quick for x < (a + 1) / (a + b + 2).

    Source: NIST DLMF 8.17.22; the fraction is evaluated from the front (Lentz 1976).
    """
    d = 1 / (1 - (a + b) * x / (a + 1))
    c, fraction = a * 0 + 1, d
    for m in range(1, 400):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            fraction = fraction * (c * d)
        if ((c * d - 1).abs() < 1e-16).all():
            break
    return (a * x.log() + b * (-x).log1p() - a.log() - _log_beta(a, b)).exp() * fraction


class Gamma(Distribution):
    """The gamma distribution of a shape `concentration` and a `rate`.

    log_prob(x) = a log(rate) + (a - 1) log(x) - rate x - log Gamma(a)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"concentration": constraints.positive, "rate": constraints.positive}
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.nonnegative

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        value = standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        value.detach().clamp_(min=dtypes.finfo(value.dtype).tiny)
        return value

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, rate = self.concentration, self.rate
        return xlogy(a, rate) + xlogy(a - 1, value) - rate * value - a.lgamma()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return igamma(self.concentration, self.rate * value)

    def entropy(self) -> Any:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1.0 - a) * a.digamma()


class Chi2(Gamma):
    """The sum of `df` squared standard normal draws: Gamma(df / 2, 1 / 2)."""

    arg_constraints: ClassVar[dict[str, Any]] = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * broadcast_all(df)[0], 0.5, validate_args)

    @property
    def df(self) -> Any:
        """The degrees of freedom."""
        return self.concentration * 2

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found.concentration, found.rate = self.concentration.expand(batch_shape), self.rate.expand(batch_shape)
        return found

    def __repr__(self) -> str:
        return "Chi2()"


class Dirichlet(Distribution):
    """Shares that sum to 1, over the last dimension.

    log_prob(x) = sum((a - 1) log(x)) + log Gamma(sum(a)) - sum(log Gamma(a))
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"concentration": constraints.independent(constraints.positive, 1)}
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.simplex

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Any:
        above = (self.concentration - 1).clamp(min=0.0)
        flat = (self.concentration < 1).all(dim=-1, keepdim=True)  # then each corner is a mode: the first is told
        first = eye(self.concentration.size(-1), dtype=above.dtype)[0]
        return where(flat, first, above / above.sum(-1, True))

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws of Gamma divided by their sum. Each follows its own share's distribution; the others make room for it."""
        concentration = self.concentration.expand(self._extended_shape(sample_shape))
        with no_grad():
            a = concentration.detach().double()
            draws = _gamma_draws(a._array)
            x = tensor(draws / draws.sum(-1, keepdims=True), dtype=dtypes.float64)
            drawn = x.to(concentration.dtype).clamp(min=dtypes.finfo(concentration.dtype).tiny)
        if not concentration.requires_grad:
            return drawn
        slope = _slope_of_share(a, a.sum(-1, True) - a, x).to(concentration.dtype)
        moved = (concentration - concentration.detach()) * slope
        return drawn + moved - drawn * moved.sum(-1, True)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a = self.concentration
        return xlogy(a - 1.0, value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Any:
        a, k = self.concentration, self.concentration.size(-1)
        total = a.sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() - (k - total) * total.digamma() - ((a - 1.0) * a.digamma()).sum(-1)


class Beta(Distribution):
    """A share between 0 and 1: the first of a Dirichlet draw of two."""

    arg_constraints: ClassVar[dict[str, Any]] = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self._dirichlet = Dirichlet(stack(broadcast_all(concentration1, concentration0), -1), validate_args=validate_args)
        super().__init__(self._dirichlet.batch_shape, validate_args=validate_args)

    concentration1 = property(lambda self: self._dirichlet.concentration[..., 0], doc="The weight of 1.")
    concentration0 = property(lambda self: self._dirichlet.concentration[..., 1], doc="The weight of 0.")

    @property
    def support(self) -> Any:
        return constraints.unit_interval

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Any:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._dirichlet.log_prob(stack([value, 1.0 - value], -1))

    def entropy(self) -> Any:
        return self._dirichlet.entropy()

    def __repr__(self) -> str:
        return "Beta()"


class StudentT(Distribution):
    """Student's t distribution of `df` degrees of freedom, shifted by `loc` and stretched by `scale`.

    log_prob(x) = -(df + 1) / 2 log(1 + y^2 / df) - log(scale) - log(df pi) / 2 + log Gamma((df + 1) / 2) - log Gamma(df / 2), y = (x - loc) / scale
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.real

    @property
    def mean(self) -> Any:
        return where(self.df <= 1, float("nan"), self.loc)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        spread = self.scale.pow(2) * self.df / (self.df - 2)
        return where(self.df <= 1, float("nan"), where(self.df <= 2, float("inf"), spread))

    def rsample(self, sample_shape: Any = ()) -> Any:
        x = empty(self._extended_shape(sample_shape), dtype=self.df.dtype).normal_()
        return self.loc + self.scale * (x * (self._chi2.rsample(sample_shape) / self.df).rsqrt())

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y = (value - self.loc) / self.scale
        rest = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + (0.5 * self.df).lgamma() - (0.5 * (self.df + 1.0)).lgamma()
        return -0.5 * (self.df + 1.0) * (y**2.0 / self.df).log1p() - rest

    def entropy(self) -> Any:
        half, above = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = half.lgamma() + math.lgamma(0.5) - above.lgamma()
        return self.scale.log() + above * (above.digamma() - half.digamma()) + 0.5 * self.df.log() + log_beta


__all__ = ["Beta", "Chi2", "Dirichlet", "Gamma", "StudentT", "standard_gamma"]
