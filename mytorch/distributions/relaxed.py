"""Classes with a gradient: draws that lie between the classes, or that pretend to (straight through); and mixtures."""

from __future__ import annotations

from typing import Any, ClassVar

from mytorch.autograd_engine import no_grad
from mytorch.distributions import constraints
from mytorch.distributions.discrete import Bernoulli, Categorical, OneHotCategorical
from mytorch.distributions.distribution import Distribution, broadcast_all, clamped
from mytorch.ops.create import as_tensor
from mytorch.ops.random import rand
from mytorch.ops.views import broadcast_tensors

__mytorch__ = True


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical`, whose draws have the gradient of `probs`.

    Source: Bengio, Leonard and Courville 2013, arXiv:1308.3432
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        draws = self.sample(sample_shape)
        return draws + (self.probs - self.probs.detach())

    def __repr__(self) -> str:
        return "OneHotCategoricalStraightThrough()"


class RelaxedOneHotCategorical(Distribution):
    """Points of the simplex, near its corners for a low `temperature`: softmax((logits + Gumbel noise) / temperature).

    Source: Maddison, Mnih and Teh 2017, arXiv:1611.00712; Jang, Gu and Poole 2017, arXiv:1611.01144
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self.temperature = as_tensor(temperature)
        self._categorical = Categorical(probs, logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    probs = property(lambda self: self._categorical.probs, doc="The probability of each class.")
    logits = property(lambda self: self._categorical.logits, doc="The logarithm of each probability.")

    @property
    def support(self) -> Any:
        return constraints.simplex

    def rsample(self, sample_shape: Any = ()) -> Any:
        uniform = clamped(rand(self._extended_shape(sample_shape), dtype=self.logits.dtype))
        scores = (self.logits - (-uniform.log()).log()) / self.temperature
        return (scores - scores.logsumexp(dim=-1, keepdim=True)).exp()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k = self._categorical._num_events
        logits, logarithm = broadcast_tensors(self.logits, value.log())
        scale = self.temperature.new_tensor(float(k)).lgamma() + self.temperature.log() * (k - 1)
        score = logits - logarithm * self.temperature
        return (score - score.logsumexp(dim=-1, keepdim=True)).sum(-1) + scale - logarithm.sum(-1)

    def __repr__(self) -> str:
        return "RelaxedOneHotCategorical()"


class RelaxedBernoulli(Distribution):
    """Numbers between 0 and 1, near the ends for a low `temperature`: sigmoid((logits + logistic noise) / temperature)."""

    arg_constraints: ClassVar[dict[str, Any]] = {"probs": constraints.unit_interval, "logits": constraints.real}
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self.temperature = as_tensor(temperature)
        self._bernoulli = Bernoulli(probs, logits)
        super().__init__(self._bernoulli.batch_shape, validate_args=validate_args)

    probs = property(lambda self: self._bernoulli.probs, doc="The probability of a 1.")
    logits = property(lambda self: self._bernoulli.logits, doc="log(p / (1 - p)).")

    @property
    def support(self) -> Any:
        return constraints.unit_interval

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        probs = clamped(self.probs.expand(shape))
        uniform = clamped(rand(shape, dtype=probs.dtype))
        return clamped(((uniform.log() - (-uniform).log1p() + probs.log() - (-probs).log1p()) / self.temperature).sigmoid())

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        inside = clamped(value)
        logit = inside.log() - (-inside).log1p()
        difference = logits - logit * self.temperature
        base = self.temperature.log() + difference - 2 * difference.exp().log1p()
        return base - inside.log() - (-inside).log1p()

    def __repr__(self) -> str:
        return "RelaxedBernoulli()"


class MixtureSameFamily(Distribution):
    """A class drawn from a Categorical, then a draw from that one of the component's last batch dimension.

    log_prob(x) = log(sum_k p_k exp(component_k.log_prob(x)))

    Args:
        mixture_distribution: a Categorical; its batch shape is that of the mixture.
        component_distribution: with one batch dimension more, as long as there are classes.
    Raises:
        ValueError: where these do not fit.
    """

    def __init__(self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of torch.distributions.Distribution")
        if mixture_distribution.logits.shape[-1] != component_distribution.batch_shape[-1]:
            raise ValueError(f"`mixture_distribution component` ({mixture_distribution.logits.shape[-1]}) does not equal "
                             f"`component_distribution.batch_shape[-1]` ({component_distribution.batch_shape[-1]})")
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        events = component_distribution.event_shape
        super().__init__(component_distribution.batch_shape[:-1], events, validate_args=validate_args)

    mixture_distribution = property(lambda self: self._mixture_distribution, doc="Which component.")
    component_distribution = property(lambda self: self._component_distribution, doc="The components.")

    @property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def _weights(self) -> Any:
        p = self._mixture_distribution.probs
        return p.reshape(*p.shape, *([1] * len(self.event_shape)))

    @property
    def mean(self) -> Any:
        return (self._weights() * self._component_distribution.mean).sum(-1 - len(self.event_shape))

    @property
    def variance(self) -> Any:
        """The expected variance of a component, and the variance of their means."""
        dim, p, parts = -1 - len(self.event_shape), self._weights(), self._component_distribution
        return (p * parts.variance).sum(dim) + (p * (parts.mean - self.mean.unsqueeze(dim)).pow(2)).sum(dim)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            dim = len(tuple(sample_shape)) + len(self.batch_shape)
            classes = self._mixture_distribution.sample(sample_shape)
            draws = self._component_distribution.sample(sample_shape)  # sample x batch x k x event
            index = classes.reshape(*classes.shape, *([1] * (len(self.event_shape) + 1))).expand(*classes.shape, 1, *self.event_shape)
            return draws.gather(dim, index).squeeze(dim)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        each = self._component_distribution.log_prob(value.unsqueeze(-1 - len(self.event_shape)))
        return (each + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def cdf(self, value: Any) -> Any:
        return (self._component_distribution.cdf(value.unsqueeze(-1 - len(self.event_shape))) * self._mixture_distribution.probs).sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch shape."""
        parts = self._component_distribution
        return type(self)(self._mixture_distribution.expand(batch_shape), parts.expand((*batch_shape, parts.batch_shape[-1])))

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"


__all__ = ["MixtureSameFamily", "OneHotCategoricalStraightThrough", "RelaxedBernoulli", "RelaxedOneHotCategorical"]
