"""`torch.distributed.nn`: the collectives that autograd follows. There is one process, so they raise as those without gradients do."""

from mytorch.distributed import all_gather, all_reduce, all_to_all, all_to_all_single, broadcast, gather, reduce, reduce_scatter, scatter

__mytorch__ = True
__all__ = ["all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce", "reduce_scatter", "scatter"]
