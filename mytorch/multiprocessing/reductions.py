"""How a tensor is moved to shared memory, and how it is sent to another process: as the place where it lies."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np

from mytorch.autograd_engine import TensorBase, requires_grad
from mytorch.dtypes import dtype
from mytorch.multiprocessing import shared_memory
from mytorch.multiprocessing.shared_memory import Block, block_of, lock, shared_copy
from mytorch.ops.views import memory_of
from mytorch.tensor import wrap_as

__mytorch__ = True


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _bounds(memory: Any) -> tuple[int, int]:
    """The addresses of its first byte and after its last one."""
    return np.lib.array_utils.byte_bounds(memory) if memory.size else (_address(memory), _address(memory))


class _Bytes:
    """A piece of memory that NumPy reads as bytes, whatever the strides and the dtype of the array that owns it."""

    def __init__(self, start: int, end: int) -> None:
        self.__array_interface__ = {"data": (start, True), "shape": (end - start,), "typestr": "|u1", "version": 3}


def share(*tensors: Any) -> None:
    """Move the memory of tensors, and with it all their aliases in this process, to shared memory. What is there already stays."""
    with lock:
        alone: list[Any] = []
        aliased: dict[int, tuple[Any, list[Any]]] = {}
        for tensor in tensors:
            array = tensor._array
            block = block_of(array)
            if block is not None and block.can_be_sent:
                continue
            memory = memory_of(array)
            # An array is held by its tensor, by `array` and by the call that counts; a view holds the array that owns the memory instead.
            if memory.base is None and max(sys.getrefcount(memory), sys.getrefcount(array)) <= 3 + (array is memory):
                alone.append(tensor)
            else:
                aliased.setdefault(id(memory), (memory, []))[1].append(tensor)
        if aliased:
            _add_aliases(aliased)
        for tensor in alone:
            _move(memory_of(tensor._array), [tensor])
        for memory, found in aliased.values():
            _move(memory, found)


def _add_aliases(memories: dict[int, tuple[Any, list[Any]]]) -> None:
    """Add all other tensors of this process whose elements lie in these memories: views, detached ones, what `.data` has given.

    No list of them is kept, as nothing else needs one: so all objects are looked through, in some milliseconds.
    """
    kinds = {TensorBase}
    waiting = [TensorBase]
    while waiting:
        below = waiting.pop().__subclasses__()
        kinds.update(below)
        waiting += below
    known = {id(tensor) for _, tensors in memories.values() for tensor in tensors}
    for one in [one for one in gc.get_objects() if type(one) in kinds]:
        array = getattr(one, "_array", None)  # not yet there while a tensor is being made
        if array is not None and id(one) not in known:
            entry = memories.get(id(memory_of(array)))
            if entry is not None:
                entry[1].append(one)


def _move(memory: Any, tensors: list[Any]) -> None:
    start, end = _bounds(memory)
    moved = shared_copy(np.asarray(_Bytes(start, end)))
    for tensor in tensors:
        held = tensor._array
        tensor._array = np.ndarray(held.shape, held.dtype, moved, _address(held) - start, held.strides)


def reduce_tensor(tensor: Any) -> tuple[Any, ...]:
    """What is sent of a tensor that goes to another process: its place in shared memory, to which it is moved first.

    Raises:
        RuntimeError: if it was computed and needs a gradient: the graph stays in its process.
    """
    if tensor._edge is not None and requires_grad(tensor):
        raise RuntimeError("Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support crossing process "
                           "boundaries.  If you just want to transfer the data, call detach() on the tensor before serializing (e.g., "
                           "putting it on the queue).")
    if not shared_memory.AVAILABLE or type(tensor._array) is not np.ndarray:  # or a lazy layer's, without values
        return tensor.__reduce_ex__(5)  # by value: it looks who calls
    share(tensor)
    array = tensor._array
    block, memory = block_of(array), memory_of(array)
    assert block is not None
    start, end = _bounds(memory)
    place = (block, start - _address(np.frombuffer(block, np.uint8)), end - start, _address(array) - start)
    return rebuild_tensor, (type(tensor), *place, array.shape, array.strides, tensor.dtype, tensor._requires_grad, dict(tensor.__dict__))


def rebuild_tensor(kind: type[Any], block: Block, start: int, size: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...],
                   of: dtype, needs_grad: bool, attributes: dict[str, Any]) -> Any:
    """The tensor that `reduce_tensor` has sent.

    Args:
        block, start, size: the memory of the tensor, and of its aliases.
        offset: where in it the first element lies, in bytes, as the strides.
    """
    tensor = wrap_as(kind, np.ndarray(shape, of.np, block.piece(start, size), offset, strides), needs_grad)
    tensor.__dict__.update(attributes)
    return tensor


def init_reductions() -> None:
    """Nothing is left to do: a tensor notices by itself that it goes to another process, in `Tensor.__reduce_ex__`."""


__all__ = ["init_reductions", "rebuild_tensor", "reduce_tensor"]
