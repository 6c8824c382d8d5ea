"""Distribution: shapes, checks and what every distribution has in common; and parameters given as probabilities or as logits."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from mytorch.autograd_engine import no_grad
from mytorch.distributions import constraints
from mytorch.ops.choices import clamp
from mytorch.ops.create import tensor
from mytorch.ops.views import broadcast_tensors
from mytorch.size import Size
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__mytorch__ = True


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """The parameters as Tensors of one shape; Python numbers become tensors of the dtype of the Tensors among them.

    Raises:
        ValueError: for what is neither a number nor a Tensor.
    """
    if not all(isinstance(v, (Tensor, int, float)) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__.")
    like = next((v for v in values if isinstance(v, Tensor)), None)
    made = [v if isinstance(v, Tensor) else tensor(float(v)) if like is None else tensor(v, dtype=like.dtype) for v in values]
    return tuple(broadcast_tensors(*made))


class Distribution:
    """A probability distribution over events of shape `event_shape`, for each place of `batch_shape`.

    Args:
        batch_shape: the shape of the parameters, each of which has a distribution of its own.
        event_shape: the shape of one draw.
        validate_args: check parameters and values, and raise ValueError for those that do not fit; True by default.
    """

    arg_constraints: ClassVar[Mapping[str, Any]] = {}
    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (), validate_args: bool | None = None) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                if isinstance(constraint, constraints.Dependent) or (name not in self.__dict__ and isinstance(
                        getattr(type(self), name, None), cached_property)):
                    continue  # depends on others, or is derived from them
                self._check_parameter(name, constraint)

    def _check_parameter(self, name: str, constraint: constraints.Constraint) -> None:
        value = getattr(self, name)
        if not constraint.check(value).all():
            raise ValueError(f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution {self!r} to satisfy "
                             f"the constraint {constraint!r}, but found invalid values:\n{value}")

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Check arguments of all distributions from now on, or not."""
        if value not in (True, False):
            raise ValueError("set_default_validate_args() takes a bool")
        Distribution._validate_args = value

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one draw."""
        return self._event_shape

    @property
    def support(self) -> Any:
        """The constraint that draws satisfy."""
        raise NotImplementedError(f"{type(self).__name__}.support")

    @property
    def mean(self) -> Any:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__}.mean")

    @property
    def mode(self) -> Any:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self).__name__}.mode")

    @property
    def variance(self) -> Any:
        """The expected squared distance from the mean."""
        raise NotImplementedError(f"{type(self).__name__}.variance")

    @property
    def stddev(self) -> Any:
        """The root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws of shape sample_shape + batch_shape + event_shape, without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws with a gradient to the parameters, as a function of numbers drawn from a fixed distribution."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample: its draws are no differentiable function of its parameters; use sample()")

    def sample_n(self, n: int) -> Any:
        """n draws: `sample((n,))`."""
        return self.sample((n,))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density or probability at a value."""
        raise NotImplementedError(f"{type(self).__name__}.log_prob")

    def cdf(self, value: Any) -> Any:
        """The probability of a draw of at most the value."""
        raise NotImplementedError(f"{type(self).__name__}.cdf")

    def icdf(self, value: Any) -> Any:
        """The inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__}.icdf")

    def entropy(self) -> Any:
        """The expected -log_prob."""
        raise NotImplementedError(f"{type(self).__name__}.entropy")

    def perplexity(self) -> Any:
        """e to the entropy."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values of a discrete distribution, along a new first dimension."""
        raise NotImplementedError(f"{type(self).__name__}.enumerate_support")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch shape."""
        batch_shape = Size(batch_shape)
        found = type(self).__new__(type(self)) if _instance is None else _instance
        for name, value in self.__dict__.items():
            if isinstance(value, Tensor) and name in self.arg_constraints:
                own = self.arg_constraints[name].event_dim
                value = value.expand(*batch_shape, *value.shape[value.dim() - own:])
            elif isinstance(value, Distribution):  # the one that this one is made of
                value = value.expand(batch_shape)
            found.__dict__[name] = value
        found._batch_shape = batch_shape
        return found

    def _get_checked_instance(self, cls: type[Any], _instance: Any = None) -> Any:
        """What `expand` of a class written outside fills: a new instance, or the one that a subclass's `expand` has handed on."""
        if _instance is None and type(self).__init__ != cls.__init__:
            raise NotImplementedError(f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also define "
                                      "a custom .expand() method.")
        return self.__new__(type(self)) if _instance is None else _instance

    def _extended_shape(self, sample_shape: Any = ()) -> tuple[int, ...]:
        return (*Size(sample_shape), *self._batch_shape, *self._event_shape)

    def _validate_sample(self, value: Any) -> None:
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        events = len(self._event_shape)
        if events and tuple(value.shape[value.dim() - events:]) != tuple(self._event_shape):
            raise ValueError(f"The right-most size of value must match event_shape: {value.shape} vs {self._event_shape}.")
        expected = (*self._batch_shape, *self._event_shape)
        for i, j in zip(reversed(value.shape), reversed(expected)):
            if i != 1 and j != 1 and i != j:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs {Size(expected)}.")
        if not self.support.check(value).all():
            raise ValueError(f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support "
                             f"({self.support!r}) of the distribution {self!r}, but found invalid values:\n{value}")

    def __repr__(self) -> str:
        shown = [f"{name}: {_short(self.__dict__[name])}" for name in self.arg_constraints if self.__dict__.get(name) is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


def _short(value: Any) -> Any:
    """A parameter as `repr` shows it: a number, a tensor of one element, or the size of a larger one."""
    if not isinstance(value, Tensor):
        return value
    if value.dim() == 0:
        return value.item()
    return value if value.numel() == 1 else value.size()


def check_either(probs: Any, logits: Any) -> None:
    """Raise ValueError unless exactly one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


def clamped(probs: Any) -> Any:
    """Probabilities kept off 0 and 1 by the dtype's eps, so that their logarithms are finite."""
    from mytorch.dtypes import finfo
    eps = finfo(probs.dtype).eps
    return clamp(probs, eps, 1 - eps)


__all__ = ["Distribution", "broadcast_all", "check_either", "clamped"]
