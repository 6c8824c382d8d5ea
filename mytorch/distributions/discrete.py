"""Distributions over countable values: Bernoulli, Categorical, OneHotCategorical, Multinomial, Geometric and Poisson."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from mytorch import dtypes
from mytorch.autograd_engine import no_grad
from mytorch.distributions import constraints
from mytorch.distributions.distribution import Distribution, broadcast_all, check_either, clamped
from mytorch.ops.arithmetic import xlogy
from mytorch.ops.create import eye, tensor, zeros
from mytorch.ops.loss import binary_cross_entropy_with_logits
from mytorch.ops.random import bernoulli, poisson
from mytorch.ops.ranges import arange
from mytorch.ops.views import broadcast_tensors

__mytorch__ = True


class _TwoWays(Distribution):
    """With one parameter per place: probs, or logits = log(probs / (1 - probs))."""

    arg_constraints: ClassVar[dict[str, Any]] = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        check_either(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        self._param = self.probs if probs is not None else self.logits
        super().__init__(self._param.shape, validate_args=validate_args)

    @cached_property
    def probs(self) -> Any:
        """The probability of a 1."""
        return self.logits.sigmoid()

    @cached_property
    def logits(self) -> Any:
        """log(p / (1 - p))."""
        p = clamped(self.probs)
        return p.log() - (-p).log1p()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found._param = self._param.expand(*found.batch_shape)
        return found


class Bernoulli(_TwoWays):
    """1 with probability probs, else 0."""

    has_enumerate_support = True

    @property
    def support(self) -> Any:
        return constraints.boolean

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        mode[self.probs == 0.5] = float("nan")
        return mode

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Any:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(2, dtype=self._param.dtype).view((-1, *([1] * len(self._batch_shape))))
        return values.expand((-1, *self._batch_shape)) if expand else values


class Geometric(_TwoWays):
    """How often a Bernoulli draw gives 0 before the first 1."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(probs, logits, validate_args)
        if self._validate_args and probs is not None and not (self.probs > 0).all():
            raise ValueError(f"Expected parameter probs ({type(self.probs).__name__} of shape {tuple(self.probs.shape)}) of distribution {self!r} "
                             f"to be positive but found invalid values:\n{self.probs[self.probs <= 0]}")

    @property
    def support(self) -> Any:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Any:
        return self.probs * 0

    @property
    def variance(self) -> Any:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            u = self.probs.new_empty(self._extended_shape(sample_shape)).uniform_(dtypes.finfo(self.probs.dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        from mytorch.special import xlog1py
        return xlog1py(value, -probs) + probs.log()

    def entropy(self) -> Any:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class Categorical(Distribution):
    """One of the classes 0 .. n - 1 of the last dimension.

    Args:
        probs: shares of each class, which are divided by their sum.
        logits: or their logarithms up to a constant.
    Raises:
        ValueError: if both or none is given, or has no dimension.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        check_either(probs, logits)
        given = probs if probs is not None else logits
        if given.dim() < 1:
            raise ValueError(f"`{'probs' if probs is not None else 'logits'}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(dim=-1, keepdim=True)
        self._param = self.probs if probs is not None else self.logits
        self._num_events = self._param.size()[-1]
        super().__init__(self._param.size()[:-1], validate_args=validate_args)

    @cached_property
    def probs(self) -> Any:
        """The probability of each class."""
        return self.logits.softmax(-1)

    @cached_property
    def logits(self) -> Any:
        """The logarithm of each probability."""
        return clamped(self.probs).log()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found._param = self._param.expand(*found.batch_shape, self._num_events)
        return found

    @property
    def param_shape(self) -> Any:
        """The shape of probs."""
        return self._param.size()

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Any:
        return self.probs.new_full(self._batch_shape, float("nan"))

    @property
    def mode(self) -> Any:
        return self.probs.argmax(dim=-1)

    @property
    def variance(self) -> Any:
        return self.probs.new_full(self._batch_shape, float("nan"))

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        count = 1
        for n in tuple(sample_shape):
            count *= n
        with no_grad():
            return self.probs.reshape(-1, self._num_events).multinomial(count, True).T.reshape(shape)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        value = value.long().unsqueeze(-1)
        value, log_pmf = broadcast_tensors(value, self.logits)
        return log_pmf.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Any:
        logits = self.logits.clamp(min=dtypes.finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(self._num_events).view((-1, *([1] * len(self._batch_shape))))
        return values.expand((-1, *self._batch_shape)) if expand else values


class OneHotCategorical(Distribution):
    """`Categorical`, whose draws are vectors with a 1 at the class."""

    arg_constraints: ClassVar[dict[str, Any]] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    probs = property(lambda self: self._categorical.probs, doc="The probability of each class.")
    logits = property(lambda self: self._categorical.logits, doc="The logarithm of each probability.")
    _param = property(lambda self: self._categorical._param)

    @property
    def support(self) -> Any:
        return constraints.one_hot

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return self._hot(self.probs.argmax(dim=-1))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def _hot(self, classes: Any) -> Any:
        return eye(self._event_shape[0], dtype=self.probs.dtype)[classes]

    def sample(self, sample_shape: Any = ()) -> Any:
        return self._hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._categorical.log_prob(value.max(-1)[1])

    def entropy(self) -> Any:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        n = self._event_shape[0]
        values = eye(n, dtype=self._param.dtype).view((n, *([1] * len(self._batch_shape)), n))
        return values.expand((n, *self._batch_shape, n)) if expand else values

    def __repr__(self) -> str:
        return "OneHotCategorical()"


class Multinomial(Distribution):
    """How often each class comes up in `total_count` draws of a Categorical."""

    arg_constraints: ClassVar[dict[str, Any]] = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    probs = property(lambda self: self._categorical.probs, doc="The probability of each class.")
    logits = property(lambda self: self._categorical.logits, doc="The logarithm of each probability.")

    @property
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        draws = self._categorical.sample((self.total_count, *tuple(sample_shape)))  # count x sample x batch
        draws = draws.permute(*range(1, draws.dim()), 0)
        counts = zeros(self._extended_shape(sample_shape), dtype=self.probs.dtype)
        counts.scatter_add_(-1, draws, self.probs.new_ones(draws.shape))
        return counts

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = broadcast_tensors(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -float("inf")), 0)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + (logits * value).sum(-1)

    def entropy(self) -> Any:
        """log n! is subtracted, the expected log k! of each class added to n times the Categorical's entropy."""
        n = tensor(self.total_count)
        binomial = _log_binomial(self.total_count, self.probs)
        counts = arange(1, self.total_count + 1, dtype=self.probs.dtype).view((-1, *([1] * self.probs.dim())))
        expected = (binomial[1:].exp() * (counts + 1).lgamma()).sum([0, -1])
        return self.total_count * self._categorical.entropy() - (n + 1).lgamma() + expected

    def __repr__(self) -> str:
        return "Multinomial()"


def _log_binomial(n: int, probs: Any) -> Any:
    """log P(k of n) for k = 0 .. n, along a new first dimension."""
    k = arange(n + 1, dtype=probs.dtype).view((-1, *([1] * probs.dim())))
    p = clamped(probs)
    choose = (k * 0 + n + 1).lgamma() - (k + 1).lgamma() - (n - k + 1).lgamma()
    return choose + k * p.log() + (n - k) * (-p).log1p()


class Poisson(Distribution):
    """How often something happens in a unit of time, at `rate` times on average: log_prob(k) = k log(rate) - rate - log(k!)."""

    arg_constraints: ClassVar[dict[str, Any]] = {"rate": constraints.nonnegative}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    @property
    def variance(self) -> Any:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return xlogy(value, rate) - rate - (value + 1).lgamma()


__all__ = ["Bernoulli", "Categorical", "Geometric", "Multinomial", "OneHotCategorical", "Poisson"]
