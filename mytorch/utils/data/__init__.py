"""Data on its way to the model: datasets hold samples, samplers choose their order, the DataLoader makes batches."""

from __future__ import annotations

from mytorch.utils.data.collate import default_collate, default_convert
from mytorch.utils.data.dataloader import DataLoader
from mytorch.utils.data.dataset import ChainDataset, ConcatDataset, Dataset, IterableDataset, StackDataset, Subset, TensorDataset, random_split
from mytorch.utils.data.distributed import DistributedSampler
from mytorch.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from mytorch.utils.data.worker import get_worker_info

__mytorch__ = True

__all__ = [
    # datasets
    "Dataset", "IterableDataset", "TensorDataset", "ConcatDataset", "ChainDataset", "Subset", "StackDataset", "random_split",
    # samplers
    "Sampler", "SequentialSampler", "RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler", "BatchSampler",
    "DistributedSampler",
    # batches
    "DataLoader", "default_collate", "default_convert", "get_worker_info",
]
