"""MultivariateNormal, and Independent, which makes one event of several places of a batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from mytorch.distributions import constraints
from mytorch.distributions.distribution import Distribution
from mytorch.linalg import cholesky, solve_triangular
from mytorch.ops.create import empty, eye
from mytorch.ops.views import broadcast_shapes

if TYPE_CHECKING:
    from mytorch.tensor import Tensor

__mytorch__ = True


class MultivariateNormal(Distribution):
    """Normal vectors of mean `loc`, with a covariance matrix, its inverse (precision), or its Cholesky factor (scale_tril) given.

    log_prob(x) = -(n log(2 pi) + |L^-1 (x - loc)|^2) / 2 - log det L,  covariance = L L^T

    Raises:
        ValueError: if loc has no dimension, or not exactly one matrix is given.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}
    has_rsample = True
    loc: Tensor

    def __init__(self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: matrix for name, matrix in given.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self._given = name
        self.loc = loc.expand(*batch, -1)
        self.__dict__[name] = matrix.expand(*batch, -1, -1)
        super().__init__(batch, self.loc.shape[-1:], validate_args=False)
        if Distribution._validate_args if validate_args is None else validate_args:
            self._validate_args = True
            for argument in ("loc", name):
                self._check_parameter(argument, self.arg_constraints[argument])
        self._factor = self._cholesky(self.__dict__[name])

    def _cholesky(self, matrix: Any) -> Any:
        if self._given == "scale_tril":
            return matrix
        if self._given == "covariance_matrix":
            return cholesky(matrix)
        # P = M M^T turned end for end gives the triangular inverse of the factor of P^-1
        factor = cholesky(matrix.flip((-2, -1))).flip((-2, -1)).mT
        return solve_triangular(factor, eye(matrix.shape[-1], dtype=matrix.dtype), upper=False)

    def __getattr__(self, name: str) -> Any:
        if name == "scale_tril":
            return self._factor
        if name == "covariance_matrix":
            return self._factor @ self._factor.mT
        if name == "precision_matrix":
            inverse = solve_triangular(self._factor, eye(self._factor.shape[-1], dtype=self.loc.dtype), upper=False)
            return inverse.mT @ inverse
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found._factor = self._factor.expand(*found.batch_shape, *self._factor.shape[-2:])
        return found

    @property
    def support(self) -> Any:
        return constraints.real_vector

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self._factor.pow(2).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = empty(self._extended_shape(sample_shape), dtype=self.loc.dtype).normal_()
        return self.loc + (self._factor @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        white = solve_triangular(self._factor, (value - self.loc).unsqueeze(-1), upper=False).squeeze(-1)
        half_log_det = self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + white.pow(2).sum(-1)) - half_log_det

    def entropy(self) -> Any:
        half_log_det = self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + half_log_det


class Independent(Distribution):
    """A distribution whose last batch dimensions are counted as one event: log_prob adds them up."""

    def __init__(self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None) -> None:
        count = reinterpreted_batch_ndims
        if count > len(base_distribution.batch_shape):
            raise ValueError("Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), "
                             f"actual {count} vs {len(base_distribution.batch_shape)}")
        shape = tuple(base_distribution.batch_shape + base_distribution.event_shape)
        split = len(shape) - count - len(base_distribution.event_shape)
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = count
        super().__init__(shape[:split], shape[split:], validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Has the base one?"""
        return bool(self.base_dist.has_rsample)

    @property
    def support(self) -> Any:
        count = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_dist.support, count) if count else self.base_dist.support

    mean = property(lambda self: self.base_dist.mean, doc="The expected value.")
    mode = property(lambda self: self.base_dist.mode, doc="The likeliest value.")
    variance = property(lambda self: self.base_dist.variance, doc="The expected squared distance from the mean.")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch shape."""
        own = tuple(self.event_shape)[:self.reinterpreted_batch_ndims]
        return Independent(self.base_dist.expand((*batch_shape, *own)), self.reinterpreted_batch_ndims, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self) -> Any:
        return self._summed(self.base_dist.entropy())

    def _summed(self, value: Any) -> Any:
        for _ in range(self.reinterpreted_batch_ndims):
            value = value.sum(-1)
        return value

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


__all__ = ["Independent", "MultivariateNormal"]
