"""Reading: from the indices of a batch to the batch, in the main process and in worker processes alike."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from mytorch.utils.data.collate import default_collate, rules_are_own
from mytorch.utils.data.dataset import rows_at, samples_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__mytorch__ = True


class Job(NamedTuple):
    """What a reader needs of its DataLoader; a worker process is sent exactly this."""

    dataset: Any
    collate_fn: Callable[[Any], Any]
    iterable: bool  # whether the dataset is a stream
    batched: bool  # whether an index stands for a list of samples
    drop_last: bool


class Reader:
    """Makes batches of the indices it is given.

    Args:
        job: what to read and how.
        note: told the place (0, 1, ...) of each sample in its batch before it is read, and -1 before the batch is made of them:
            where a worker process stops, its parent knows at which sample.
    """

    def __init__(self, job: Job, note: Callable[[int], None] | None = None) -> None:
        self.job, self.note = job, note
        self.stream: Iterator[Any] | None = iter(job.dataset) if job.iterable else None
        self.ended = False

    def read(self, index: Any) -> Any:
        """The batch of these indices. StopIteration when a stream has no more."""
        job = self.job
        if job.batched and job.collate_fn is default_collate and rules_are_own():
            rows = rows_at(job.dataset, index)  # plain rows of tensors, at once
            if rows is not None:
                return rows
        samples = self._samples(index) if self.stream is None else self._next_of_stream(index)
        if self.note is not None:
            self.note(-1)
        return job.collate_fn(samples)

    def _samples(self, index: Any) -> Any:
        dataset = self.job.dataset
        if not self.job.batched:
            return dataset[index]
        if self.note is None or callable(getattr(dataset, "__getitems__", None)):
            return samples_at(dataset, index)
        return [dataset[one] for one in self._noted(index)]

    def _next_of_stream(self, index: Any) -> Any:
        assert self.stream is not None
        if self.ended:
            raise StopIteration
        if not self.job.batched:
            return next(self.stream)
        if self.note is None:
            samples = list(islice(self.stream, len(index)))
        else:
            samples = [sample for _, sample in zip(self._noted(index), self.stream)]
        self.ended = len(samples) < len(index)
        if not samples or (self.job.drop_last and self.ended):
            raise StopIteration
        return samples

    def _noted(self, indices: Iterable[Any]) -> Iterator[Any]:
        assert self.note is not None
        for place, index in enumerate(indices):
            self.note(place)
            yield index
