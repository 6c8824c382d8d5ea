"""Samplers: in which order the samples of a dataset are visited, and how they are cut into batches.

Each draws as torch draws: the same seed gives the same order.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from mytorch.dtypes import float64
from mytorch.generator import Generator, default_generator
from mytorch.ops.create import as_tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Sized

__mytorch__ = True

T_co = TypeVar("T_co", covariant=True)


def draw_seed(generator: Generator | None = None) -> int:
    """A seed of 63 bits from a generator, the default one if None: ``torch.empty((), dtype=torch.int64).random_()``."""
    return int((generator or default_generator).random_full((), np.int64))


def check_positive(name: str, value: Any) -> None:
    """ValueError unless the value is an integer above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


class Sampler(Generic[T_co]):
    """An order to visit samples in. A subclass writes ``__iter__``, which yields indices, and most also ``__len__``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} should implement __iter__")

    # No default __len__, as for Dataset.


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... up to the length of the data source."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order.

    Args:
        data_source: anything with a length.
        replacement: whether an index may come again; if not, all indices come once before any comes again.
        num_samples: how many to yield; as many as the data source has if None.
        generator: where to draw from. If None, each pass draws a seed from the default generator and shuffles with a
            fresh generator of that seed, so that a pass moves the default stream by one value, whatever its length.
    Raises:
        TypeError: if replacement is no bool.
        ValueError: if num_samples, or the length that stands for it, is not above 0.
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Generator | None = None
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        """How many indices a pass yields; follows the data source when it grows."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n = len(self.data_source)
        generator = self.generator or Generator().manual_seed(draw_seed())
        block = 32 if self.replacement else n  # so many torch draws at a time
        whole, rest = divmod(self.num_samples, block)
        for length in itertools.chain(itertools.repeat(block, whole), (rest,)):  # the last one is drawn even if it gives none
            indices = generator.randint(0, n, (length,)) if self.replacement else generator.permutation(n)[:length]
            yield from indices.tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Given indices in random order, each once.

    Args:
        indices: the indices to visit.
        generator: where to draw from; the default generator if None.
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for place in (self.generator or default_generator).permutation(len(self.indices)).tolist():
            yield self.indices[place]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices 0 to len(weights) - 1, each as probable as its weight says.

    Args:
        weights: as many as there are samples, not negative; they need not add up to 1.
        num_samples: how many to draw.
        replacement: whether an index may come again.
        generator: where to draw from; the default generator if None.
    Shape:
        weights (N,), kept as a float64 tensor.
    Raises:
        ValueError: if num_samples is not above 0, replacement is no bool or the weights have not one dimension.
        RuntimeError: when iterated, if the weights cannot be drawn from: negative, all zero, too few without replacement.
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None) -> None:
        check_positive("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = as_tensor(weights, dtype=float64)
        if self.weights.dim() != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}")
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator, weights = self.generator or default_generator, self.weights.detach().numpy()
        drawn = generator.multinomial(weights, self.num_samples, self.replacement)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler["list[int]"]):
    """Lists of the next ``batch_size`` indices of another sampler.

    Args:
        sampler: any iterable of indices.
        batch_size: how many make a batch.
        drop_last: whether to leave out a last batch that is not full.
    Raises:
        ValueError: if batch_size is not above 0 or drop_last is no bool.
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        check_positive("batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        length = len(self.sampler)  # type: ignore[arg-type]
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)
