"""Distributions: torch's draws from the same seed, densities, moments, gradients, divergences, texts and errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.distributions

torch = pytest.importorskip("torch")

# name -> how to make it in a library, where t makes a float tensor
MADE = {
    "Normal": lambda D, t: D.Normal(t([0.5, -1.0, 2.0]), t([1.0, 0.3, 2.0])),
    "Normal of numbers": lambda D, t: D.Normal(0.5, 2.0),
    "LogNormal": lambda D, t: D.LogNormal(t([0.5, -1.0]), t([0.5, 0.3])),
    "HalfNormal": lambda D, t: D.HalfNormal(t([0.5, 2.0])),
    "Uniform": lambda D, t: D.Uniform(t([-1.0, 0.0]), t([1.0, 3.0])),
    "Exponential": lambda D, t: D.Exponential(t([0.5, 2.0])),
    "Laplace": lambda D, t: D.Laplace(t([0.5, -1.0]), t([1.0, 0.3])),
    "Cauchy": lambda D, t: D.Cauchy(t([0.5, -1.0]), t([1.0, 0.3])),
    "Bernoulli": lambda D, t: D.Bernoulli(t([0.2, 0.5, 0.9])),
    "Bernoulli of logits": lambda D, t: D.Bernoulli(logits=t([0.2, -3.0])),
    "Geometric": lambda D, t: D.Geometric(t([0.2, 0.7])),
    "Categorical": lambda D, t: D.Categorical(t([[0.2, 0.5, 0.9], [1.0, 0.1, 0.1]])),
    "Categorical of logits": lambda D, t: D.Categorical(logits=t([0.2, -3.0, 1.0])),
    "OneHotCategorical": lambda D, t: D.OneHotCategorical(t([[0.2, 0.5, 0.9], [1.0, 0.1, 0.1]])),
    "Multinomial": lambda D, t: D.Multinomial(7, t([[0.2, 0.5, 0.9], [1.0, 0.1, 0.1]])),
    "Poisson": lambda D, t: D.Poisson(t([0.5, 4.0])),
    "MultivariateNormal": lambda D, t: D.MultivariateNormal(t([0.5, -1.0]), t([[2.0, 0.3], [0.3, 1.0]])),
    "MultivariateNormal of a precision": lambda D, t: D.MultivariateNormal(t([0.5, -1.0]), precision_matrix=t([[2.0, 0.3], [0.3, 1.0]])),
    "MultivariateNormal of a factor": lambda D, t: D.MultivariateNormal(t([[0.5, -1.0], [1.0, 0.0]]), scale_tril=t([[2.0, 0.0], [0.3, 1.0]])),
    "Independent": lambda D, t: D.Independent(D.Normal(t([[0.5, -1.0, 2.0]]), t([[1.0, 0.3, 2.0]])), 1),
    "tanh of a Normal": lambda D, t: D.TransformedDistribution(D.Normal(t([0.5, -1.0]), t([1.0, 0.3])), [D.TanhTransform(cache_size=1)]),
    "affine exp of a Normal": lambda D, t: D.TransformedDistribution(D.Normal(t([0.5, -1.0]), t([1.0, 0.3])), [
        D.AffineTransform(1.0, -2.0), D.ExpTransform()]),
    "sigmoid of independent Normals": lambda D, t: D.TransformedDistribution(D.Independent(D.Normal(t([0.5, -1.0]), t([1.0, 0.3])), 1), [
        D.SigmoidTransform()]),
    "Gamma": lambda D, t: D.Gamma(t([0.5, 3.0]), t([1.0, 2.0])),
    "Chi2": lambda D, t: D.Chi2(t([0.5, 3.0])),
    "Beta": lambda D, t: D.Beta(t([0.5, 3.0]), t([1.5, 2.0])),
    "Beta of small weights": lambda D, t: D.Beta(t([0.5, 0.3]), t([0.7, 0.2])),
    "Dirichlet": lambda D, t: D.Dirichlet(t([[0.5, 3.0, 1.0], [2.0, 2.0, 7.0]])),
    "StudentT": lambda D, t: D.StudentT(t([1.5, 3.0]), t([1.0, -2.0]), t([1.0, 0.5])),
    "OneHotCategoricalStraightThrough": lambda D, t: D.OneHotCategoricalStraightThrough(t([[0.2, 0.5, 0.9], [1.0, 0.1, 0.1]])),
    "RelaxedOneHotCategorical": lambda D, t: D.RelaxedOneHotCategorical(t(0.7), t([[0.2, 0.5, 0.9], [1.0, 0.1, 0.1]])),
    "RelaxedOneHotCategorical of logits": lambda D, t: D.RelaxedOneHotCategorical(t(1.5), logits=t([0.2, -3.0, 1.0])),
    "RelaxedBernoulli": lambda D, t: D.RelaxedBernoulli(t(0.7), t([0.2, 0.5, 0.9])),
    "mixture of Normals": lambda D, t: D.MixtureSameFamily(D.Categorical(t([0.2, 0.8])), D.Normal(t([-1.0, 2.0]), t([0.5, 1.0]))),
    "batch of mixtures of vectors": lambda D, t: D.MixtureSameFamily(
        D.Categorical(logits=t([[0.2, 0.8], [1.0, 0.0], [0.3, 0.1]])),
        D.Independent(D.Normal(t([[[-1.0, 2.0], [0.5, 1.0]]]).expand(3, 2, 2), t([1.0, 0.5])), 1)),
    "Gumbel": lambda D, t: D.Gumbel(t([0.5, -1.0]), t([1.0, 0.3])),
    "Weibull": lambda D, t: D.Weibull(t([0.5, 2.0]), t([1.5, 3.0])),
    "Pareto": lambda D, t: D.Pareto(t([0.2, 0.3]), t([2.5, 3.0])),
    "HalfCauchy": lambda D, t: D.HalfCauchy(t([0.5, 2.0])),
    "Binomial": lambda D, t: D.Binomial(5, t([0.3, 0.9])),
    "Binomial of many tries": lambda D, t: D.Binomial(t([100.0, 1000.0, 40.0]), t([0.3, 0.5, 0.9])),
    "Binomial of logits": lambda D, t: D.Binomial(3, logits=t([0.3, -2.0])),
    "NegativeBinomial": lambda D, t: D.NegativeBinomial(t([5.0, 2.0]), t([0.3, 0.6])),
    "back of exp": lambda D, t: D.TransformedDistribution(D.Exponential(t([0.5, 2.0])), [D.ExpTransform().inv]),
}
APPROXIMATE = ("Gamma", "Chi2", "Beta", "Beta of small weights", "Dirichlet", "StudentT")  # torch's gradients of these draws are
DISCRETE = ("Bernoulli", "Geometric", "Categorical", "OneHotCategorical", "Multinomial", "Poisson")


def tensors(T: Any, leaves: list[Any]) -> Any:
    def make(values: Any) -> Any:
        leaf = T.tensor(values, requires_grad=True)
        leaves.append(leaf)
        return leaf
    return make


def array(value: Any) -> Any:
    return value.detach().numpy() if hasattr(value, "detach") else value


def both(name: str) -> Any:
    for T in (torch, mytorch):
        leaves: list[Any] = []
        T.manual_seed(3)
        yield T, MADE[name](T.distributions, tensors(T, leaves)), leaves


@pytest.mark.parametrize("shape", [(), (4,), (3, 2)])
@pytest.mark.parametrize("name", MADE)
def test_draws_are_torchs(name: str, shape: Any) -> None:
    found = []
    for T, distribution, _ in both(name):
        draws = distribution.sample(T.Size(shape))
        assert not draws.requires_grad
        found.append(array(draws))
        if distribution.has_rsample:
            found[-1] = np.concatenate([found[-1].ravel(), array(distribution.rsample(shape)).ravel()])
    assert found[0].dtype == found[1].dtype
    np.testing.assert_allclose(found[1], found[0], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", MADE)
def test_densities_and_their_gradients_are_torchs(name: str) -> None:
    found = []
    values = None
    for T, distribution, leaves in both(name):
        values = array(distribution.sample((5,))) if values is None else values
        density = distribution.log_prob(T.tensor(values))
        if leaves:
            density.sum().backward()
        found.append([array(density), *[array(leaf.grad) for leaf in leaves]])
    for expected, mine in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("what", ["mean", "mode", "variance", "stddev", "entropy", "perplexity", "batch_shape", "event_shape", "support",
                                  "repr", "enumerate_support", "expand", "cdf", "icdf", "gradient of rsample"])
@pytest.mark.parametrize("name", MADE)
def test_what_is_known_of_it_is_what_torch_knows(name: str, what: str) -> None:
    if what == "support" and ("Transformed" in name or name in ("back of exp", "Multinomial", "Uniform", "Pareto", "Binomial of many tries")):
        pytest.skip("torch shows no readable constraint")
    found = []
    for T, distribution, leaves in both(name):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = known(T, distribution, what, leaves)
        except NotImplementedError:
            value = "refused"
        found.append(value)
    if isinstance(found[0], str) and found[0] == "refused":
        return  # where torch has no answer, there may be one here
    if isinstance(found[0], (str, tuple)):
        assert found[1] == found[0]
    else:
        rtol = 1e-3 if what == "gradient of rsample" and name in APPROXIMATE else 2e-5
        np.testing.assert_allclose(found[1], found[0], rtol=rtol, atol=2e-5)


def known(T: Any, distribution: Any, what: str, leaves: list[Any]) -> Any:
    if what == "repr":
        return repr(distribution)
    if what == "support":
        return repr(distribution.support)
    if what == "expand":
        larger = distribution.expand(T.Size((3, *distribution.batch_shape)))
        return (tuple(larger.batch_shape), tuple(larger.sample().shape), repr(larger))
    if what in ("cdf", "icdf"):
        grid = {"cdf": [0.3, 0.5], "icdf": [0.2, 0.9]}[what]
        if tuple(distribution.batch_shape) != (2,) or distribution.event_shape:
            return "refused"
        return array(getattr(distribution, what)(T.tensor(grid)))
    if what == "gradient of rsample":
        if not distribution.has_rsample or not leaves:
            return "refused"
        distribution.rsample((4,)).square().sum().backward()
        return np.concatenate([array(leaf.grad).ravel() for leaf in leaves])
    value = getattr(distribution, what)
    value = value() if callable(value) else value
    return tuple(value) if what.endswith("shape") else array(value)


PAIRS = [
    ("Normal", lambda D, t: D.Normal(t([0.0, 1.0, 1.0]), t([2.0, 2.0, 0.5]))),
    ("LogNormal", lambda D, t: D.LogNormal(t([0.0, 1.0]), t([2.0, 2.0]))),
    ("HalfNormal", lambda D, t: D.HalfNormal(t([1.0, 1.0]))),
    ("Uniform", lambda D, t: D.Uniform(t([-2.0, 1.0]), t([2.0, 5.0]))),
    ("Exponential", lambda D, t: D.Exponential(t([1.0, 1.0]))),
    ("Laplace", lambda D, t: D.Laplace(t([0.0, 1.0]), t([2.0, 2.0]))),
    ("Cauchy", lambda D, t: D.Cauchy(t([0.0, 1.0]), t([2.0, 2.0]))),
    ("Bernoulli", lambda D, t: D.Bernoulli(t([0.5, 0.1, 0.9]))),
    ("Geometric", lambda D, t: D.Geometric(t([0.5, 0.1]))),
    ("Poisson", lambda D, t: D.Poisson(t([1.0, 1.0]))),
    ("Categorical", lambda D, t: D.Categorical(t([[0.4, 0.5, 0.1], [1.0, 1.0, 0.5]]))),
    ("OneHotCategorical", lambda D, t: D.OneHotCategorical(t([[0.4, 0.5, 0.1], [1.0, 1.0, 0.5]]))),
    ("MultivariateNormal", lambda D, t: D.MultivariateNormal(t([0.0, 1.0]), t([[1.0, 0.1], [0.1, 3.0]]))),
    ("Gamma", lambda D, t: D.Gamma(t([1.5, 0.2]), t([0.5, 1.0]))),
    ("Beta", lambda D, t: D.Beta(t([1.5, 0.2]), t([0.5, 1.0]))),
    ("Dirichlet", lambda D, t: D.Dirichlet(t([[1.5, 0.2, 1.0], [0.5, 1.0, 3.0]]))),
    ("OneHotCategoricalStraightThrough", lambda D, t: D.OneHotCategoricalStraightThrough(t([[0.4, 0.5, 0.1], [1.0, 1.0, 0.5]]))),
    ("Independent", lambda D, t: D.Independent(D.Normal(t([[0.0, 1.0, 1.0]]), t([[2.0, 2.0, 0.5]])), 1)),
]


@pytest.mark.parametrize(("name", "other"), PAIRS, ids=[name for name, _ in PAIRS])
def test_divergence_and_its_gradient_are_torchs(name: str, other: Any) -> None:
    found = []
    for T, p, leaves in both(name):
        q = other(T.distributions, tensors(T, leaves))
        value = T.distributions.kl_divergence(p, q)
        if bool(value.isfinite().all()):
            value.sum().backward()
        found.append([array(value), *[array(leaf.grad) for leaf in leaves if leaf.grad is not None]])
    for expected, mine in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=2e-5)


MISTAKES = [
    lambda D, t: D.Normal(t([0.0, 0.0]), t([1.0, -1.0])),
    lambda D, t: D.Normal(0.0, -1.0),
    lambda D, t: D.Normal("a", 1.0),
    lambda D, t: D.Normal(t([0.0, 0.0]), t([1.0, 1.0])).log_prob(t([1.0, 1.0, 1.0])),
    lambda D, t: D.Normal(t([0.0, 0.0]), t([1.0, 1.0])).log_prob(1.0),
    lambda D, t: D.Normal(t([0.0]), t([1.0])).log_prob(t([float("nan")])),
    lambda D, t: D.Categorical(t([0.5, -0.1])),
    lambda D, t: D.Categorical(),
    lambda D, t: D.Categorical(t(1.0)),
    lambda D, t: D.Categorical(t([0.5, 0.5]), t([0.5, 0.5])),
    lambda D, t: D.Categorical(t([0.5, 0.5])).log_prob(t(2.0)),
    lambda D, t: D.Categorical(t([0.5, 0.5])).rsample(),
    lambda D, t: D.Bernoulli(2.0),
    lambda D, t: D.Bernoulli(t([0.3])).log_prob(t([0.5])),
    lambda D, t: D.Uniform(1.0, 0.0),
    lambda D, t: D.Uniform(0.0, 1.0).log_prob(t(2.0)),
    lambda D, t: D.Exponential(-1.0),
    lambda D, t: D.MultivariateNormal(t([0.0, 0.0]), t([[-1.0, 0.0], [0.0, -1.0]])),
    lambda D, t: D.MultivariateNormal(t([0.0, 0.0])),
    lambda D, t: D.MultivariateNormal(t(0.0), t([[1.0]])),
    lambda D, t: D.Independent(D.Normal(0.0, 1.0), 1),
    lambda D, t: D.kl_divergence(D.Normal(0.0, 1.0), D.Bernoulli(0.5)),
    lambda D, t: D.register_kl(D.Normal, 3),
    lambda D, t: D.AffineTransform(0.0, 1.0, cache_size=2),
    lambda D, t: D.Gamma(-1.0, 1.0),
    lambda D, t: D.Beta(t([1.0]), t([0.0])),
    lambda D, t: D.Beta(0.5, 0.5).log_prob(t(1.5)),
    lambda D, t: D.Dirichlet(t(1.0)),
    lambda D, t: D.Dirichlet(t([1.0, 2.0])).log_prob(t([0.5, 0.6])),
    lambda D, t: D.StudentT(0.0),
    lambda D, t: D.MixtureSameFamily(D.Normal(0.0, 1.0), D.Normal(t([0.0, 1.0]), 1.0)),
    lambda D, t: D.MixtureSameFamily(D.Categorical(t([0.5, 0.5])), 3),
    lambda D, t: D.MixtureSameFamily(D.Categorical(t([0.5, 0.5])), D.Normal(t([0.0, 1.0, 2.0]), 1.0)),
    lambda D, t: D.RelaxedOneHotCategorical(t(0.5)),
    lambda D, t: D.RelaxedBernoulli(t(0.5), t([2.0])),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_raise_torchs_errors(mistake: Any) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever torch raises
        mistake(torch.distributions, torch.tensor)
    with pytest.raises(expected.type) as found:
        mistake(mytorch.distributions, mytorch.tensor)
    if isinstance(expected.value, ValueError):
        assert str(found.value)[:60] == str(expected.value)[:60]


def test_modules_are_where_torch_has_them() -> None:
    from mytorch.distributions.categorical import Categorical
    from mytorch.distributions.multivariate_normal import MultivariateNormal
    from mytorch.distributions.normal import Normal
    assert (Categorical, MultivariateNormal, Normal) == (
        mytorch.distributions.Categorical, mytorch.distributions.MultivariateNormal, mytorch.distributions.Normal)


def test_a_class_written_outside_expands_as_in_torch() -> None:
    for T in (torch, mytorch):
        D = T.distributions

        class Shifted(D.Distribution):
            arg_constraints = {"loc": D.constraints.real}  # noqa: RUF012
            support = D.constraints.real

            def __init__(self, loc: Any) -> None:
                self.loc = loc
                super().__init__(loc.shape)

            def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
                new = self._get_checked_instance(Shifted, _instance)
                new.loc = self.loc.expand(batch_shape)
                super(Shifted, new).__init__(batch_shape, validate_args=False)
                return new

        class Twice(Shifted):
            def __init__(self, loc: Any) -> None:
                super().__init__(2 * loc)

        assert Shifted(T.zeros(3)).expand((2, 3)).loc.shape == (2, 3)
        with pytest.raises(NotImplementedError, match="must also define"):
            Twice(T.zeros(3)).expand((2, 3))
