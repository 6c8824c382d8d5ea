"""Probability distributions under torch.distributions' names: draws, densities, entropies and divergences."""

from __future__ import annotations

import sys

from mytorch.distributions import constraints, continuous, discrete, multivariate, transforms
from mytorch.distributions.continuous import Cauchy, Exponential, HalfNormal, Laplace, LogNormal, Normal, Uniform
from mytorch.distributions.discrete import Bernoulli, Categorical, Geometric, Multinomial, OneHotCategorical, Poisson
from mytorch.distributions.distribution import Distribution
from mytorch.distributions.kl import kl_divergence, register_kl
from mytorch.distributions.multivariate import Independent, MultivariateNormal
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
            discrete: "bernoulli categorical geometric multinomial one_hot_categorical poisson", transforms: "transformed_distribution"}
for _module, _names in _MODULES.items():
    for _name in _names.split():
        sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _module

__all__ = ["AffineTransform", "Bernoulli", "Categorical", "Cauchy", "ComposeTransform", "Distribution", "ExpTransform", "Exponential", "Geometric",
           "HalfNormal", "Independent", "Laplace", "LogNormal", "Multinomial", "MultivariateNormal", "Normal", "OneHotCategorical", "Poisson",
           "SigmoidTransform", "TanhTransform", "Transform", "TransformedDistribution", "Uniform", "constraints", "identity_transform",
           "kl_divergence", "register_kl", "transforms"]
