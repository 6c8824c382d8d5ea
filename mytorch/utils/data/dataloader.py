"""The DataLoader: batches of a dataset, in the order that torch's would give from the same seed."""

from __future__ import annotations

import warnings
from collections import deque
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mytorch.utils.data.collate import default_collate, default_convert, rules_are_own
from mytorch.utils.data.dataset import Dataset, IterableDataset, rows_at, samples_at
from mytorch.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from mytorch.utils.data.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mytorch.generator import Generator

__mytorch__ = True

T_co = TypeVar("T_co", covariant=True)

_workers_announced = False


def _announce_workers(num_workers: int) -> None:
    """Say once per process that workers are played in the main process."""
    global _workers_announced
    if not _workers_announced:
        _workers_announced = True
        warnings.warn(
            f"DataLoader: num_workers={num_workers} starts no processes here; the main process loads the data, with the worker "
            "seeds, worker_init_fn calls and get_worker_info() of torch's workers, so the batches are the same",
            UserWarning,
            stacklevel=3,
        )


def _check_worker_options(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool, multiprocessing_context: Any
) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. "
            "Let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if multiprocessing_context is not None:
        _check_context(multiprocessing_context, num_workers)


def _check_context(context: Any, num_workers: int) -> None:
    import multiprocessing

    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers=0"
        )
    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                f"multiprocessing_context={context!r}"
            )
    elif not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, but got "
            f"multiprocessing_context={context}"
        )


def _check_order_options(
    iterable: bool, batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if iterable:
        for name, value, refused in (
            ("shuffle", shuffle, bool(shuffle)),
            ("sampler", sampler, sampler is not None),
            ("batch_sampler", batch_sampler, batch_sampler is not None),
        ):
            if refused:
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}; "
                    "the dataset's __iter__ decides the order"
                )
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
    if batch_sampler is None and batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


class DataLoader(Generic[T_co]):
    """Batches of a dataset, in a new order each pass if asked to shuffle.

    Args:
        dataset: samples by index, or an IterableDataset.
        batch_size: samples per batch; None yields single samples.
        shuffle: whether each pass has a new random order.
        sampler: the order of the samples, in place of shuffle.
        batch_sampler: the indices of each batch, in place of batch_size, shuffle, sampler and drop_last.
        num_workers: with 1 and more, torch starts processes. Here the main process does the loading and says so once; the
            batches are those of that many workers: each has its seed, its copy of the dataset and its ``get_worker_info()``.
        collate_fn: makes a batch of a list of samples; ``default_collate``, or ``default_convert`` if batch_size is None.
        pin_memory: accepted; memory here needs no pinning.
        drop_last: whether to leave out a last batch that is not full.
        timeout: accepted with num_workers > 0; there is nothing to wait for.
        worker_init_fn: called in each worker with its number, after seeding.
        multiprocessing_context: checked, and without effect.
        generator: shuffles and seeds the workers; the default generator if None.
        prefetch_factor: how many batches per worker the sampler is asked ahead; 2 with workers.
        persistent_workers: whether workers, and their random streams, live on from pass to pass.
        pin_memory_device: accepted, as pin_memory.
        in_order: accepted; batches always come in order.
    Raises:
        ValueError: for options that exclude each other.
        AssertionError: when iterated, for a timeout without workers or a prefetch_factor of 0.
    """

    _initialized = False
    _FIXED = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"})

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        self._iterable = isinstance(dataset, IterableDataset)
        _check_order_options(self._iterable, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if num_workers > 0:
            _announce_workers(num_workers)
            prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        if sampler is None:
            sampler = self._default_sampler(dataset, bool(shuffle), generator)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.dataset, self.generator, self.collate_fn = dataset, generator, collate_fn
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = batch_size, drop_last, sampler, batch_sampler
        self.num_workers, self.prefetch_factor, self.persistent_workers = num_workers, prefetch_factor, persistent_workers
        self.worker_init_fn, self.timeout, self.in_order = worker_init_fn, timeout, in_order
        self.multiprocessing_context = multiprocessing_context
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self._stream_length: int | None = None  # what len(dataset) said of a stream, once asked
        self._iterator: _Batches | None = None
        self._initialized = True

    def _default_sampler(self, dataset: Any, shuffle: bool, generator: Generator | None) -> Any:
        if self._iterable:
            return repeat(None)  # a stream has no indices: only the size of the batches counts
        return RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in self._FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized; make a new one")
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        """What yields the indices of each batch, or single indices where nothing is batched."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if not self.persistent_workers:
            return _Batches(self)
        if self._iterator is None:
            self._iterator = _Batches(self)
        else:
            self._iterator.restart()
        return self._iterator

    def __len__(self) -> int:
        """Number of batches; TypeError where the sampler, or the stream, has no length."""
        if not self._iterable:
            return len(self._index_sampler)
        length = self._stream_length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)


class _Reader:
    """Makes batches from the indices it is given, as the main process or as one worker."""

    def __init__(self, loader: DataLoader[Any], dataset: Any) -> None:
        self.dataset, self.collate_fn, self.drop_last = dataset, loader.collate_fn, loader.drop_last
        self.batched = loader.batch_sampler is not None
        self.stream = iter(dataset) if loader._iterable else None
        self.ended = False

    def rows(self, index: Any) -> Any:
        """The batch of these indices where it is plain rows of tensors, which no code of the user makes; None otherwise."""
        if self.batched and self.collate_fn is default_collate and rules_are_own():
            return rows_at(self.dataset, index)
        return None

    def read(self, index: Any) -> Any:
        """The batch of these indices, asked of the dataset. StopIteration when a stream has no more."""
        if self.stream is not None:
            return self.collate_fn(self._next_of_stream(index))
        return self.collate_fn(samples_at(self.dataset, index) if self.batched else self.dataset[index])

    def _next_of_stream(self, index: Any) -> Any:
        assert self.stream is not None
        if self.ended:
            raise StopIteration
        if not self.batched:
            return next(self.stream)
        samples = list(islice(self.stream, len(index)))
        self.ended = len(samples) < len(index)
        if not samples or (self.drop_last and self.ended):
            raise StopIteration
        return samples


class _Batches:
    """One pass over a DataLoader.

    The order of the draws is torch's: the pass takes its base seed first, then the sampler draws the order.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        if loader.timeout and not loader.num_workers:
            raise AssertionError(f"DataLoader without workers requires timeout == 0; got timeout={loader.timeout}, drop it")
        if loader.prefetch_factor == 0:
            raise AssertionError("DataLoader with workers requires prefetch_factor > 0; got 0")
        self._indices = iter(loader._index_sampler)
        self._yielded = 0
        base_seed = draw_seed(loader.generator)
        if loader.num_workers:
            count, init_fn = loader.num_workers, loader.worker_init_fn
            self._workers = [Worker(number, count, base_seed, loader.dataset, init_fn) for number in range(count)]
            self.restart()
        else:
            self._reader = _Reader(loader, loader.dataset)

    def restart(self) -> None:
        """Begin a pass with the workers there are: a sampler that draws in ``__iter__`` draws again, as in torch."""
        self._indices = iter(self._loader._index_sampler)
        self._yielded = 0
        self._turns: deque[tuple[Worker, _Reader]] = deque()
        for worker in self._workers:
            with worker:
                self._turns.append((worker, _Reader(self._loader, worker.info.dataset)))
        self._asked: deque[Any] = deque()
        for _ in range((self._loader.prefetch_factor or 0) * len(self._workers)):
            self._ask_ahead()

    def _next_of_main(self) -> Any:
        index = next(self._indices)
        batch = self._reader.rows(index)
        return self._reader.read(index) if batch is None else batch

    def _ask_ahead(self) -> None:
        self._asked.extend(islice(self._indices, 1))

    def _next_of_workers(self) -> Any:
        """The workers take turns; one whose stream has ended leaves the round."""
        while self._turns and self._asked:
            worker, reader = self._turns[0]
            index = self._asked.popleft()
            try:
                batch = reader.rows(index)  # draws nothing, so the worker's streams need not be fetched
                if batch is None:
                    with worker:
                        batch = reader.read(index)
            except StopIteration:
                self._turns.popleft()
                self._ask_ahead()
                continue
            self._turns.rotate(-1)
            self._ask_ahead()
            return batch
        raise StopIteration

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> Any:
        loader = self._loader
        batch = self._next_of_workers() if loader.num_workers else self._next_of_main()
        self._yielded += 1
        length = loader._stream_length
        if length is not None and self._yielded > length:
            warnings.warn(
                f"Length of IterableDataset {loader.dataset} was reported to be {length} (when accessing len(dataloader)), "
                f"but {self._yielded} samples have been fetched.",
                stacklevel=2,
            )
        return batch

    def __len__(self) -> int:
        return len(self._loader._index_sampler)
