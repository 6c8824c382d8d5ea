"""Probability distributions under torch.distributions' names: draws, densities, entropies and divergences."""

from __future__ import annotations

import sys

from mytorch.distributions import constraints, continuous, discrete, extremes, gamma, multivariate, relaxed, transforms
from mytorch.distributions.continuous import Cauchy, Exponential, HalfNormal, Laplace, LogNormal, Normal, Uniform
from mytorch.distributions.discrete import Bernoulli, Categorical, Geometric, Multinomial, OneHotCategorical, Poisson
from mytorch.distributions.distribution import Distribution
from mytorch.distributions.extremes import Binomial, Gumbel, HalfCauchy, NegativeBinomial, Pareto, Weibull
from mytorch.distributions.gamma import Beta, Chi2, Dirichlet, Gamma, StudentT
from mytorch.distributions.kl import kl_divergence, register_kl
from mytorch.distributions.multivariate import Independent, MultivariateNormal
from mytorch.distributions.relaxed import MixtureSameFamily, OneHotCategoricalStraightThrough, RelaxedBernoulli, RelaxedOneHotCategorical
from mytorch.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    SigmoidTransform,
    TanhTransform,
    Transform,
    TransformedDistribution,
    identity_transform,
)

__mytorch__ = True

# torch has a module for each: `from torch.distributions.normal import Normal`
_MODULES = {continuous: "cauchy exponential half_normal laplace log_normal normal uniform", multivariate: "independent multivariate_normal",
            discrete: "bernoulli categorical geometric multinomial one_hot_categorical poisson", transforms: "transformed_distribution",
            extremes: "binomial gumbel half_cauchy negative_binomial pareto weibull", gamma: "beta chi2 dirichlet gamma studentT",
            relaxed: "mixture_same_family relaxed_bernoulli relaxed_categorical"}
for _module, _names in _MODULES.items():
    for _name in _names.split():
        sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _module

__all__ = ["AffineTransform", "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Chi2", "ComposeTransform", "Dirichlet", "Distribution",
           "ExpTransform", "Exponential", "Gamma", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal", "Independent", "Laplace", "LogNormal",
           "MixtureSameFamily", "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical",
           "OneHotCategoricalStraightThrough", "Pareto", "Poisson", "RelaxedBernoulli", "RelaxedOneHotCategorical", "SigmoidTransform",
           "StudentT", "TanhTransform", "Transform", "TransformedDistribution", "Uniform", "Weibull", "constraints", "identity_transform",
           "kl_divergence", "register_kl", "transforms"]
