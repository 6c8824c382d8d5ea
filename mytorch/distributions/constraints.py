"""Constraints: which values a parameter or a sample may have. `constraint.check(x)` is True for each value that satisfies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__mytorch__ = True


class Constraint:
    """A set of values.

    Attributes:
        is_discrete: are its values isolated?
        event_dim: how many last dimensions make up one value.
    """

    is_discrete = False
    event_dim = 0

    def check(self, value: Any) -> Any:
        """A bool Tensor: does each value lie in the set?"""
        raise NotImplementedError(f"{type(self).__name__}.check")

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


class Dependent(Constraint):
    """Depends on other parameters: nothing to check by itself."""

    def check(self, value: Any) -> Any:
        """Raises ValueError: what it depends on is not known here."""
        raise ValueError("Cannot determine validity of dependent constraint")


class Boolean(Constraint):
    """0 or 1."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class Real(Constraint):
    """Any number but NaN."""

    def check(self, value: Any) -> Any:
        return value == value


class _Bounded(Constraint):
    """Between bounds, which are shown as the class names them."""

    names: tuple[str, ...] = ("lower_bound", "upper_bound")

    def __init__(self, *bounds: Any) -> None:
        self.bounds = bounds
        for name, bound in zip(self.names, bounds):
            setattr(self, name, bound)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={bound}" for name, bound in zip(self.names, self.bounds))
        return f"{type(self).__name__}({inside})"


class Interval(_Bounded):
    """[lower, upper]."""

    def check(self, value: Any) -> Any:
        return (self.bounds[0] <= value) & (value <= self.bounds[1])


class HalfOpenInterval(_Bounded):
    """[lower, upper)."""

    def check(self, value: Any) -> Any:
        return (self.bounds[0] <= value) & (value < self.bounds[1])


class IntegerInterval(_Bounded):
    """Integers from lower to upper."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (self.bounds[0] <= value) & (value <= self.bounds[1])


class GreaterThan(_Bounded):
    """Above the bound."""

    names = ("lower_bound",)

    def check(self, value: Any) -> Any:
        return self.bounds[0] < value


class GreaterThanEq(GreaterThan):
    """The bound or above."""

    def check(self, value: Any) -> Any:
        return self.bounds[0] <= value


class IntegerGreaterThan(GreaterThan):
    """Integers from the bound on."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.bounds[0])


class LessThan(_Bounded):
    """Below the bound."""

    names = ("upper_bound",)

    def check(self, value: Any) -> Any:
        return value < self.bounds[0]


class Simplex(Constraint):
    """Vectors of shares: nothing negative, the sum 1."""

    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class OneHot(Constraint):
    """Vectors with a single 1."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class Multinomial(Constraint):
    """Vectors of counts that add up to a number."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: int) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class LowerCholesky(Constraint):
    """Lower triangular matrices with a positive diagonal."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        lower = value.tril() == value
        return lower.flatten(-2).all(-1) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class PositiveDefinite(Constraint):
    """Symmetric matrices with positive eigenvalues."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        from mytorch.linalg import cholesky_ex
        symmetric = (value - value.mT).abs().flatten(-2).amax(-1) <= 1e-6
        return symmetric & (cholesky_ex(value).info == 0)


class IndependentConstraint(Constraint):
    """A constraint on each of the values that together are one."""

    def __init__(self, base: Constraint, count: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base, count
        self.is_discrete, self.event_dim = base.is_discrete, base.event_dim + count

    def check(self, value: Any) -> Any:
        found = self.base_constraint.check(value)
        return found.reshape(*found.shape[:found.dim() - self.reinterpreted_batch_ndims], -1).all(-1)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """What each component of a mixture takes: the value is shown to all of them."""

    def __init__(self, base: Constraint) -> None:
        self.base_constraint, self.is_discrete, self.event_dim = base, base.is_discrete, base.event_dim

    def check(self, value: Any) -> Any:
        found = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return found.reshape(*found.shape[:value.dim() - self.event_dim], -1).all(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


independent = IndependentConstraint
interval, integer_interval, half_open_interval = Interval, IntegerInterval, HalfOpenInterval
greater_than, greater_than_eq, less_than, multinomial = GreaterThan, GreaterThanEq, LessThan, Multinomial
boolean, real, simplex, one_hot, dependent = Boolean(), Real(), Simplex(), OneHot(), Dependent()
real_vector = IndependentConstraint(real, 1)
positive, nonnegative, unit_interval = GreaterThan(0.0), GreaterThanEq(0.0), Interval(0.0, 1.0)
nonnegative_integer, positive_integer = IntegerGreaterThan(0), IntegerGreaterThan(1)
lower_cholesky, positive_definite = LowerCholesky(), PositiveDefinite()
