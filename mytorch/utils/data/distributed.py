"""The sampler of data-parallel training: each process visits its own part of the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.generator import Generator
from mytorch.utils.data.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized

__mytorch__ = True


class DistributedSampler(Sampler[int]):
    """Every num_replicas-th index of an order that all processes share, starting at rank.

    Call ``set_epoch(epoch)`` before each epoch: seed + epoch decide the order.

    Args:
        dataset: anything with a length.
        num_replicas: number of processes.
        rank: which of them this is, from 0.
        shuffle: whether the shared order is random.
        seed: the same in all processes.
        drop_last: whether to drop the tail that cannot be dealt evenly; otherwise the first indices come again at the end.
    Raises:
        RuntimeError: if num_replicas or rank is missing: nothing else tells them.
        ValueError: if rank is not in [0, num_replicas - 1].
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise RuntimeError(
                "DistributedSampler requires distributed package to be available, or both numbers: "
                f"got num_replicas={num_replicas}, rank={rank}; pass num_replicas and rank"
            )
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        self.num_samples = len(dataset) // num_replicas if drop_last else -(-len(dataset) // num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        order = list(range(n))
        if self.shuffle:
            order = Generator().manual_seed(self.seed + self.epoch).permutation(n).tolist()
        while len(order) < self.total_size:
            order += order[: self.total_size - len(order)]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch
