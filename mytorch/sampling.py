"""Draws that are made from unit and normal draws: by inversion of a distribution function, by rejection, by look-up.

They are methods of ``Generator``, which gives the numbers that they start from.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mytorch import draws, dtypes

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, np.dtype[Any]]
    Shape = int | tuple[int, ...]

__mytorch__ = True

Draw = TypeVar("Draw", bound="Callable[..., Any]")
watcher: ContextVar[Any] = ContextVar("watcher", default=None)  # what vmap sets, to draw for all examples what one asks for


def watched(place: int | None) -> Callable[[Draw], Draw]:
    """Mark a draw that vmap may want to see; `place` is that of its argument `shape`."""
    def mark(draw: Draw) -> Draw:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            watch = watcher.get()
            return draw(self, *args, **kwargs) if watch is None else watch(call, place, self, args, kwargs)

        call.__name__, call.__qualname__, call.__doc__ = draw.__name__, draw.__qualname__, draw.__doc__
        return call  # type: ignore[return-value]

    return mark


def affine(values: Array, factor: float, offset: float, wanted: np.dtype[Any]) -> Array:
    """values * factor + offset in float64; rounding once instead of twice shows only where float64 is wanted."""
    if factor == 1 and offset == 0:
        return values
    return draws.scale(values, factor, offset) if wanted == np.float64 else values * factor + offset


class Sampling:
    """The draws of a Generator that need no words of their own."""

    _lock: Any
    _twister: Any
    _untouched: bool  # no word drawn since seeding

    if TYPE_CHECKING:
        def _source(self) -> Any: ...
        def _unit(self, shape: Shape, dtype: Any = np.float64) -> Array: ...
        def _pairs(self, n: int) -> Array: ...

    @watched(0)
    def log_normal(self, shape: Shape, mean: float = 1.0, std: float = 2.0, np_dtype: Any = np.float32) -> Array:
        """exp of a normal value, always drawn in pairs: ``Tensor.log_normal_``. RuntimeError unless std > 0."""
        if not std > 0:
            raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
        wanted, _ = draws.floating("log_normal", np_dtype)
        values = affine(self._pairs(np.empty(shape, wanted).size), std, mean, wanted)
        return draws.store(np.exp(values), wanted).reshape(shape)

    # ---- by inversion of the distribution function -----------------------------------------------------------------------------

    @watched(0)
    def exponential(self, shape: Shape, lambd: float = 1.0, np_dtype: Any = np.float32) -> Array:
        """-log(1 - u) / lambd: ``Tensor.exponential_``. RuntimeError unless lambd > 0."""
        if not lambd > 0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
        wanted, _ = draws.floating("exponential", np_dtype)
        values = self._unit(np.empty(shape, wanted).size)
        np.log1p(np.negative(values, out=values), out=values)
        values *= -1.0 / lambd
        return draws.store(values, wanted).reshape(shape)

    @watched(0)
    def geometric(self, shape: Shape, p: float, np_dtype: Any = np.float32) -> Array:
        """ceil(log(u) / log(1 - p)), trials up to the first success: ``Tensor.geometric_``. RuntimeError unless 0 < p < 1."""
        if not 0 < p < 1:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
        wanted: np.dtype[Any] = np.dtype(np_dtype)
        if dtypes.from_numpy_dtype(wanted).name in ("bool", "uint16", "uint32", "uint64", "complex64", "complex128"):
            raise NotImplementedError(f"geometric_: not implemented for {wanted}; use a signed integer or floating-point dtype")
        values = self._unit(np.empty(shape, wanted).size)
        np.log(values, out=values)
        values /= math.log1p(-p)
        return draws.store(np.ceil(values, out=values), wanted).reshape(shape)

    @watched(None)
    def poisson(self, rates: Array) -> Array:
        """Counts with the rates of an array's elements, in its dtype: ``torch.poisson``. Takes as many words as it happens to need.

        Raises:
            RuntimeError: for a negative rate.
            NotImplementedError: for rates of an integer or bool dtype.
        """
        wanted, _ = draws.floating("poisson", rates.dtype)
        chances = dtypes.cast(rates, np.dtype(np.float64)).reshape(-1).tolist()
        if any(not rate >= 0 for rate in chances):
            raise RuntimeError("invalid Poisson rate, expected rate to be non-negative; got a negative one or NaN")
        with self._lock:
            take = self._source().random_raw
            units: list[float] = []
            used, before = 0, self._twister.state

            def unit() -> float:
                nonlocal used
                if used == len(units):
                    units.extend(self._ahead(take, draws.CHUNK))
                used += 1
                return units[used - 1]

            counts = [draws.poisson(rate, unit) for rate in chances]
            self._twister.state = before  # only the words that were used are gone
            take(2 * used)
            self._untouched = self._untouched and not used
        return draws.store(np.array(counts, np.float64), wanted).reshape(rates.shape)

    @staticmethod
    def _ahead(take: Callable[[int], Array], count: int) -> list[float]:
        """The next unit float64 values."""
        values: Array = np.empty(count, np.float64)
        draws.unit_float64(take(2 * count), values)
        return values.tolist()

    @watched(0)
    def cauchy(self, shape: Shape, median: float = 0.0, sigma: float = 1.0, np_dtype: Any = np.float32) -> Array:
        """median + sigma tan(pi (u - 1/2)): ``Tensor.cauchy_``. RuntimeError unless sigma > 0."""
        if not sigma > 0:
            raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
        wanted, _ = draws.floating("cauchy", np_dtype)
        values = self._unit(np.empty(shape, wanted).size)
        values -= 0.5
        values *= math.pi
        return draws.store(affine(np.tan(values), sigma, median, wanted), wanted).reshape(shape)

    @watched(None)
    def multinomial(self, probs: Array, num_samples: int, replacement: bool = False) -> Array:
        """Indices drawn with the probabilities of each row, which need not sum to 1: ``torch.multinomial``.

        Without replacement, and for one sample, the largest of p / q with exponential q; otherwise unit float64 values are looked
        up in the cumulated row. Where several p / q are equal (zeros, when too few probabilities are positive), torch leaves the
        order open.

        Shape:
            probs (n,) or (rows, n), floating -> int64 (num_samples,) or (rows, num_samples).
        Raises:
            RuntimeError: for other shapes or dtypes, too many samples, a negative or not finite probability, or a row of zeros.
        """
        weights = _check_weights(probs, num_samples, replacement)
        if probs.size == 0:
            drawn = np.empty((*probs.shape[:-1], num_samples), np.int64)
            if drawn.size:
                raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0): there are no probabilities to draw from")
            return drawn
        if replacement and num_samples > 1:
            cumulated = np.add.accumulate(weights, axis=-1, dtype=weights.dtype)
            cumulated /= cumulated[..., -1:].copy()
            cumulated[..., -1] = 1
            units = self._unit(weights.size // weights.shape[-1] * num_samples).reshape(-1, num_samples)
            rows = [np.searchsorted(c, u) for c, u in zip(cumulated.reshape(-1, weights.shape[-1]), units)]
            return np.array(rows, np.int64).reshape(*probs.shape[:-1], num_samples)
        # torch's q has the strides of probs: a transposed matrix is drawn column by column
        transposed = probs.flags.f_contiguous and not probs.flags.c_contiguous
        q = self.exponential(probs.T.shape, 1.0, probs.dtype).T if transposed else self.exponential(probs.shape, 1.0, probs.dtype)
        scores = dtypes.cast(draws.store(weights / dtypes.cast(q, weights.dtype), probs.dtype), weights.dtype)
        if num_samples == 1:
            return np.asarray(np.argmax(scores, axis=-1, keepdims=True))
        best = np.argpartition(-scores, num_samples - 1, axis=-1)[..., :num_samples]
        order = np.argsort(-np.take_along_axis(scores, best, -1), axis=-1, kind="stable")
        return np.take_along_axis(best, order, -1)


def _check_weights(probs: Array, num_samples: int, replacement: bool) -> Array:
    """The probabilities of multinomial, checked, in float32 or float64."""
    if probs.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, but got shape {probs.shape}")
    if dtypes.from_numpy_dtype(probs.dtype).name not in draws.DIGITS:
        given = dtypes.legacy_name(dtypes.from_numpy_dtype(probs.dtype))
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {given}")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples; got {num_samples}")
    if not replacement and num_samples > probs.shape[-1]:
        raise RuntimeError("multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement; "
                           f"got {num_samples} of {probs.shape[-1]}, pass replacement=True or fewer")
    if probs.shape[-1] > 2**24:
        raise RuntimeError(f"multinomial: number of categories cannot exceed 2^24; got {probs.shape[-1]}")
    _, inner = draws.floating("multinomial", probs.dtype)
    weights = dtypes.cast(probs, inner)
    if weights.size and not (weights.max() < np.inf and weights.min() >= 0):
        raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    if weights.size and not np.all(weights.sum(axis=-1) > 0):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    return weights
