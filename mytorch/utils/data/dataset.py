"""Datasets: samples by index (Dataset) or as a stream (IterableDataset), and the ways to combine and split them."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mytorch.generator import default_generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mytorch.generator import Generator
    from mytorch.tensor import Tensor

__mytorch__ = True

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples reached by index. A subclass writes ``__getitem__`` and, for most samplers, ``__len__``.

    It may also write ``__getitems__(indices) -> list of samples``: the DataLoader then asks for a whole batch at once.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> Dataset[Any]:
        return ConcatDataset([self, other])

    # No default __len__: list(dataset) and len(dataset) must see that there is none.


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """Samples as a stream. A subclass writes ``__iter__``; ``get_worker_info()`` there tells which part a worker should yield."""

    def __add__(self, other: Dataset[Any]) -> Dataset[Any]:
        return ChainDataset([self, other])


class TensorDataset(Dataset["tuple[Tensor, ...]"]):
    """Rows of tensors: sample i is ``(tensors[0][i], tensors[1][i], ...)``.

    Shape:
        each tensor (N, *), with the same N.
    Raises:
        AssertionError: if the first sizes differ.
    """

    def __init__(self, *tensors: Tensor) -> None:
        sizes = [tensor.size(0) for tensor in tensors]
        if len(set(sizes)) > 1:
            raise AssertionError(f"Size mismatch between tensors: first sizes {sizes}, expected all the same")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        length: int = self.tensors[0].size(0)
        return length


class StackDataset(Dataset[Any]):
    """Datasets side by side: a sample is the tuple of their samples, or a dict of them when they are given by keyword.

    Raises:
        ValueError: if no dataset is given, both ways are mixed, or the lengths differ.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError("StackDataset: got positional and keyword datasets; give all of one kind, for tuples or for dicts")
        self.datasets: tuple[Any, ...] | dict[str, Any] = args or kwargs
        lengths = [len(dataset) for dataset in self._parts()]
        if not lengths:
            raise ValueError("At least one dataset should be passed")
        if len(set(lengths)) > 1:
            raise ValueError(f"Size mismatch between datasets: lengths {lengths}, expected all the same")
        self._length = lengths[0]

    def _parts(self) -> list[Any]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def _join(self, sample: Iterable[Any]) -> Any:
        return dict(zip(self.datasets, sample)) if isinstance(self.datasets, dict) else tuple(sample)

    def __getitem__(self, index: Any) -> Any:
        return self._join(dataset[index] for dataset in self._parts())

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        columns = []
        for dataset in self._parts():
            column = samples_at(dataset, indices)
            if len(column) != len(indices):
                raise ValueError(f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(column)}")
            columns.append(column)
        return [self._join(sample) for sample in zip(*columns)]

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other, as one.

    Raises:
        AssertionError: if there is none, or one of them is an IterableDataset (chain those).
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset; use ChainDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """Where each dataset ends: the running sum of the lengths."""
        return list(itertools.accumulate(len(part) for part in sequence))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> T_co:
        if idx < 0:
            if -idx > len(self):
                raise ValueError(f"absolute value of index should not exceed dataset length: got {idx}, length {len(self)}")
            idx += len(self)
        part = bisect_right(self.cumulative_sizes, idx)
        start = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][idx - start]


class ChainDataset(IterableDataset[T_co]):
    """Streams one after the other, as one.

    Raises:
        AssertionError: when iterated or measured, if a part is not an IterableDataset (concatenate those).
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = datasets

    def _streams(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset; use ConcatDataset")
            yield dataset

    def __iter__(self) -> Iterator[T_co]:
        for stream in self._streams():
            yield from stream

    def __len__(self) -> int:
        return sum(len(stream) for stream in self._streams())


class Subset(Dataset[T_co]):
    """The samples of a dataset at chosen indices.

    A subclass that overrides ``__getitem__`` overrides ``__getitems__`` too, as batches are taken through the latter.
    """

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        kind = type(self)
        if kind.__getitem__ is not Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{kind.__name__} overrides __getitem__ but not __getitems__, through which the DataLoader takes batches; "
                "add: def __getitems__(self, indices): return [self[i] for i in indices]"
            )
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, idx: Any) -> T_co:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return samples_at(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def samples_at(dataset: Any, indices: Iterable[Any]) -> list[Any]:
    """The samples at these indices, in one request where the dataset takes such."""
    many = getattr(dataset, "__getitems__", None)
    return many(indices) if callable(many) else [dataset[index] for index in indices]


def rows_at(dataset: Any, indices: Any) -> list[Tensor] | None:
    """A whole batch of a TensorDataset, or of Subsets of one, by a single indexing per tensor; None where that does not apply.

    It equals collating row by row, without a Tensor per row.
    """
    while type(dataset) is Subset:
        indices = [dataset.indices[index] for index in indices]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or not indices or any(type(index) is not int for index in indices):
        return None
    return [tensor[indices] for tensor in dataset.tensors]


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[float], generator: Generator | None = default_generator
) -> list[Subset[T_co]]:
    """Split a dataset at random into Subsets that do not overlap.

    Args:
        dataset: the dataset, with a length.
        lengths: sizes that add up to its length; or fractions that add up to 1, where each part gets
            floor(fraction * length) samples and what is left goes one by one to the first parts.
        generator: draws the permutation, as torch draws it.
    Raises:
        ValueError: if a fraction lies outside [0, 1] or the lengths do not add up.
    """
    size = len(dataset)  # type: ignore[arg-type]
    total = sum(lengths)
    sizes: list[Any] = list(lengths)
    if math.isclose(total, 1) and total <= 1:
        sizes = _sizes_of_fractions(sizes, size)
    if sum(sizes) != size:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset! "
            f"The lengths {list(lengths)} add up to {total}, the dataset has {size} samples"
        )
    order = (generator or default_generator).permutation(size).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - length : end]) for end, length in zip(ends, sizes)]


def _sizes_of_fractions(fractions: list[float], size: int) -> list[int]:
    for index, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {index} is not between 0 and 1: got {fraction}")
    sizes = [math.floor(size * fraction) for fraction in fractions]
    for left in range(size - sum(sizes)):
        sizes[left % len(sizes)] += 1
    for index, length in enumerate(sizes):
        if length == 0:
            import warnings

            warnings.warn(f"Length of split at index {index} is 0. This might result in an empty dataset.", stacklevel=3)
    return sizes
