"""The DataLoader: batches of a dataset, in the order that torch's would give from the same seed."""

from __future__ import annotations

import warnings
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mytorch.utils.data.collate import default_collate, default_convert
from mytorch.utils.data.dataset import Dataset, IterableDataset
from mytorch.utils.data.reader import Job, Reader
from mytorch.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from mytorch.generator import Generator

__mytorch__ = True

T_co = TypeVar("T_co", covariant=True)

def _warn_of_many_workers(num_workers: int) -> None:
    """As torch: more workers than processors slow each other down."""
    import os

    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:
        processors = os.cpu_count() or num_workers
    if num_workers > processors:
        warnings.warn(
            f"This DataLoader will create {num_workers} worker processes in total. Our suggested max number of worker in current system "
            f"is {processors}, which is smaller than what this DataLoader is going to create. More workers than processors can make "
            "loading slow, lower num_workers if it is",
            stacklevel=3,
        )


def _check_worker_options(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool) -> None:
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


def _context_of(context: Any, num_workers: int) -> Any:
    """The context of multiprocessing for a start method, or for a context; None for None."""
    if context is None:
        return None
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
        return multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, but got "
            f"multiprocessing_context={context}"
        )
    return context


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
        num_workers: how many processes load batches ahead; with 0 the main process loads each batch when it is asked for.
        collate_fn: makes a batch of a list of samples; ``default_collate``, or ``default_convert`` if batch_size is None.
        pin_memory: accepted; memory here needs no pinning.
        drop_last: whether to leave out a last batch that is not full.
        timeout: how many seconds to wait for a batch of a worker; 0 waits for ever.
        worker_init_fn: called in each worker with its number, after seeding.
        multiprocessing_context: "fork", "spawn", "forkserver" or a context of multiprocessing, whose default holds if None. All
            but fork need a dataset, collate_fn and worker_init_fn that can be pickled.
        generator: shuffles and seeds the workers; the default generator if None.
        prefetch_factor: how many batches per worker are loaded ahead; 2 with workers.
        persistent_workers: whether workers, and their random streams, live on from pass to pass.
        pin_memory_device: accepted, as pin_memory.
        in_order: whether batches come in the order of the sampler, also if a later one is ready first.
    Raises:
        ValueError: for options that exclude each other.
        RuntimeError: when iterated, if a worker dies or a batch takes longer than timeout; it names the worker and the sample.
            Then, and when the pass is left by ``break`` or an exception, the workers are ended. What the dataset raises in a
            worker is raised here, its class kept, with the worker's traceback as the message.
        AssertionError: when iterated, for a timeout without workers or a prefetch_factor of 0.
    """

    __initialized = False  # programs that fix the order of all passes switch it off, by the name that torch gives it, to set a sampler
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
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers)
        self._iterable = isinstance(dataset, IterableDataset)
        _check_order_options(self._iterable, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if num_workers > 0:
            _warn_of_many_workers(num_workers)
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
        self._iterator: Batches | None = None
        self.__initialized = True

    def _default_sampler(self, dataset: Any, shuffle: bool, generator: Generator | None) -> Any:
        if self._iterable:
            return repeat(None)  # a stream has no indices: only the size of the batches counts
        return RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)

    @property
    def multiprocessing_context(self) -> Any:
        """The context of multiprocessing that starts the workers; None for its default. A start method may be assigned."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        self._context = _context_of(context, self.num_workers)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__initialized and name in self._FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized; make a new one")
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        """What yields the indices of each batch, or single indices where nothing is batched."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _job(self) -> Job:
        return Job(self.dataset, self.collate_fn, self._iterable, self.batch_sampler is not None, self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            return MainBatches(self)
        from mytorch.utils.data.worker_batches import WorkerBatches

        if not self.persistent_workers:
            return WorkerBatches(self)
        if isinstance(self._iterator, WorkerBatches) and self._iterator.usable:
            self._iterator.restart(self)
        else:
            self._iterator = WorkerBatches(self)
        return self._iterator

    def __len__(self) -> int:
        """Number of batches; TypeError where the sampler, or the stream, has no length."""
        if not self._iterable:
            return len(self._index_sampler)
        length = self._stream_length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)


class Batches:
    """One pass over a DataLoader.

    The order of the draws is torch's: the pass takes its base seed first, then the sampler draws the order.
    """

    _hint = ""  # how there can be more of them than announced

    def __init__(self, loader: DataLoader[Any]) -> None:
        if loader.timeout and not loader.num_workers:
            raise AssertionError(f"DataLoader without workers requires timeout == 0; got timeout={loader.timeout}, drop it")
        self._dataset, self._index_sampler = loader.dataset, loader._index_sampler  # not the loader: it may keep this iterator
        self._indices = iter(self._index_sampler)
        self._base_seed = draw_seed(loader.generator)
        self._count_anew(loader)

    def _count_anew(self, loader: DataLoader[Any]) -> None:
        self._yielded = 0
        self._stream_length = loader._stream_length

    def _next_batch(self) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        batch = self._next_batch()
        self._yielded += 1
        length = self._stream_length
        if length is not None and self._yielded > length:
            warnings.warn(
                f"Length of IterableDataset {self._dataset} was reported to be {length} (when accessing len(dataloader)), "
                f"but {self._yielded} samples have been fetched.{self._hint}",
                stacklevel=2,
            )
        return batch

    def __len__(self) -> int:
        return len(self._index_sampler)


class MainBatches(Batches):
    """Batches that the main process loads, each when it is asked for."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        self._reader = Reader(loader._job())

    def _next_batch(self) -> Any:
        return self._reader.read(next(self._indices))
