"""Storages: the memory under tensors, in one dimension. Two tensors are aliases if their storages begin at the same address.

A storage here is a face of the memory that a tensor's array lies in; making one costs nothing and copies nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch import dtypes
from mytorch.device import CPU
from mytorch.inplace import bump
from mytorch.ops.create import tensor
from mytorch.ops.views import memory_of
from mytorch.tensor import Tensor, _wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mytorch.device import device

__mytorch__ = True

__all__ = ["TypedStorage", "UntypedStorage"]


class _Storage:
    """What both kinds have: a tensor of one dimension over the whole memory."""

    is_cuda = is_sparse = is_hpu = False

    def __init__(self, elements: Tensor) -> None:
        self._elements = elements

    @property
    def device(self) -> device:
        """Where the memory is: the CPU."""
        return CPU

    @property
    def _cdata(self) -> int:
        """A number that tells storages apart while they are alive: the address."""
        return self.data_ptr()

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return self._elements.data_ptr()

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._elements.nbytes

    def size(self) -> int:
        """The number of elements; bytes are those of an UntypedStorage."""
        return self._elements.numel()

    __len__ = size

    def element_size(self) -> int:
        """Bytes per element."""
        return self._elements.element_size()

    def tolist(self) -> list[Any]:
        """The elements as a list."""
        return list(self._elements.tolist())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)._over(self._elements[index])
        return self._elements[index].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements[index] = value

    @classmethod
    def _over(cls, elements: Tensor) -> Any:
        storage = object.__new__(cls)
        storage._elements = elements
        return storage

    def clone(self) -> Any:
        """A copy with memory of its own."""
        return type(self)._over(self._elements.clone())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return memo.setdefault(id(self), self.clone())

    def copy_(self, source: Any, non_blocking: bool | None = None) -> Any:
        """Take the elements of another storage of this size."""
        self._elements.copy_(source._elements)
        return self

    def fill_(self, value: Any) -> Any:
        """Set all elements."""
        self._elements.fill_(value)
        return self

    def resize_(self, size: int) -> Any:
        """Nothing for its own size. NotImplementedError otherwise: the tensors over it could not follow; make a new tensor."""
        if size != self.size():
            raise NotImplementedError(f"storage.resize_({size}) of a storage of size {self.size()} is not supported: make a new tensor, or use "
                                      "tensor.resize_()")
        return self

    def resizable(self) -> bool:
        """Always False."""
        return False

    def is_shared(self) -> bool:
        """Does it lie in memory that several processes can see?"""
        return self._elements.is_shared()

    def share_memory_(self) -> Any:
        """Move it, and all tensors over it, to memory that several processes can see."""
        self._elements.share_memory_()
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """Is it in page-locked memory? Never, here."""
        return False

    def cpu(self) -> Any:
        """This storage: it is on the CPU."""
        return self

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Any:
        """Raises RuntimeError: there is no CUDA device here."""
        return self._elements.cuda(device)

    def get_device(self) -> int:
        """-1, as for all memory of the CPU."""
        return -1

    def __str__(self) -> str:
        lines = "".join(f" {value}\n" for value in self.tolist())
        return f"{lines}[{self._described()} of size {self.size()}]"

    __repr__ = __str__

    def _described(self) -> str:
        return f"torch.storage.{type(self).__name__}(device=cpu)"


class UntypedStorage(_Storage):
    """Bytes. `UntypedStorage(n)` makes n of them, uninitialised; `tensor.untyped_storage()` gives those under a tensor."""

    def __init__(self, size: int | Sequence[int] = 0, *, device: Any = None) -> None:
        if isinstance(size, int):
            super().__init__(_wrap(np.empty(size, np.uint8)))
        else:
            super().__init__(tensor(size, dtype=dtypes.uint8))

    @classmethod
    def from_buffer(cls, buffer: Any, byte_order: str = "native", *, count: int = -1, offset: int = 0, dtype: Any = None) -> Any:
        """A storage with a copy of the bytes of an object with the buffer protocol.

        Raises:
            NotImplementedError: for the byte order of another machine.
        """
        import sys

        if byte_order not in ("native", sys.byteorder):
            raise NotImplementedError(f"from_buffer: byte_order={byte_order!r} is not supported; swap the bytes with NumPy")
        width = 1 if dtype is None else dtype.itemsize
        return cls._over(_wrap(np.frombuffer(buffer, np.uint8, count * width if count >= 0 else -1, offset).copy()))

    def untyped(self) -> UntypedStorage:
        """This storage."""
        return self

    def new(self) -> UntypedStorage:
        """An empty storage."""
        return UntypedStorage(0)

    @classmethod
    def _new_shared(cls, size: int, *, device: Any = "cpu") -> Any:
        """So many bytes that several processes can see."""
        return cls._over(_wrap(np.zeros(size, np.uint8)).share_memory_())

    def tolist(self) -> list[Any]:
        """The bytes as a list of numbers from 0 to 255."""
        return list(self._elements._array.tobytes())


class TypedStorage(_Storage):
    """Elements of one dtype. `tensor.storage()` gives those under a tensor.

    Args:
        args: the number of elements, or their values.
        wrap_storage: an UntypedStorage whose bytes are meant.
        dtype: of the elements; the default dtype if None.
    """

    _dtype: dtypes.dtype | None = None  # of FloatStorage and its relatives

    def __init__(self, *args: Any, wrap_storage: UntypedStorage | None = None, dtype: dtypes.dtype | None = None, device: Any = None) -> None:
        of = dtype or self._dtype or dtypes.get_default_dtype()
        if wrap_storage is not None:
            super().__init__(_elements_of(wrap_storage, of))
        elif not args or isinstance(args[0], int):
            super().__init__(_wrap(np.empty(args[0] if args else 0, of.np)))
        else:
            super().__init__(tensor(args[0], dtype=of))

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        return self._elements.dtype

    def untyped(self) -> UntypedStorage:
        """The bytes."""
        storage: UntypedStorage = UntypedStorage._over(_wrap(self._elements._array.view(np.uint8)))
        return storage

    _untyped_storage = property(untyped)

    def _new_shared(self, size: int, device: Any = None) -> Any:
        """So many elements that several processes can see."""
        return TypedStorage._over(_wrap(np.zeros(size, self.dtype.np)).share_memory_())

    def _converted(self, of: dtypes.dtype) -> Any:
        return TypedStorage._over(self._elements.to(of))

    def float(self) -> Any:
        """Converted to float32."""
        return self._converted(dtypes.float32)

    def double(self) -> Any:
        """Converted to float64."""
        return self._converted(dtypes.float64)

    def half(self) -> Any:
        """Converted to float16."""
        return self._converted(dtypes.float16)

    def long(self) -> Any:
        """Converted to int64."""
        return self._converted(dtypes.int64)

    def int(self) -> Any:
        """Converted to int32."""
        return self._converted(dtypes.int32)

    def _described(self) -> str:
        return f"torch.storage.TypedStorage(dtype={self.dtype}, device=cpu)"


def _elements_of(storage: Any, of: dtypes.dtype) -> Tensor:
    """A storage as a tensor of one dimension, of this dtype: bytes are read as such elements, others must be of this dtype.

    Raises:
        RuntimeError: if the elements are of another dtype.
    """
    array = storage._elements._array
    if isinstance(storage, TypedStorage):
        if storage.dtype is not of:
            raise RuntimeError(f"Expected a Storage of type {of} or an UntypedStorage, but got type {storage.dtype}")
        return _wrap(array)
    return _wrap(array[: array.size // of.itemsize * of.itemsize].view(of.np))


def bytes_under(x: Tensor) -> UntypedStorage:
    """All bytes of the memory that a tensor lies in: `tensor.untyped_storage()`."""
    memory: Any = memory_of(x._array)
    by_place = sorted(range(memory.ndim), key=lambda d: -memory.strides[d])
    storage: UntypedStorage = UntypedStorage._over(_wrap(memory.transpose(by_place).reshape(-1).view(np.uint8)))
    return storage


def elements_under(x: Tensor) -> TypedStorage:
    """All elements of the memory that a tensor lies in: `tensor.storage()`."""
    return TypedStorage(wrap_storage=bytes_under(x), dtype=x.dtype)


def set_to(x: Tensor, source: Any, storage_offset: int = 0, size: Sequence[int] | None = None, stride: Sequence[int] | None = None) -> None:
    """Let a tensor lie in the memory of another tensor, or in a storage: `tensor.set_(...)`.

    Args:
        source: None for no elements.
        storage_offset, size, stride: where in it, in elements; if not given, all of it.
    Raises:
        RuntimeError: if that reaches outside of the storage, or if the dtypes differ.
    """
    if isinstance(source, Tensor) and size is None:
        if source.dtype is not x.dtype:
            raise RuntimeError(f"Could not set tensor of type {source.dtype} to a tensor of type {x.dtype}")
        array = source._array
    elif source is None:
        array = np.empty(0, x._array.dtype)
    else:
        whole = elements_under(source)._elements if isinstance(source, Tensor) else _elements_of(source, x.dtype)
        size = (whole.numel() - storage_offset,) if size is None else tuple(size)
        stride = tuple(np.cumprod([1, *size[:0:-1]])[::-1].tolist()) if stride is None else tuple(stride)
        if not size:
            stride = ()
        array = whole.as_strided(size, stride, storage_offset)._array
    x._array = array
    bump(x)


def _of_dtype(name: str, of: dtypes.dtype) -> type[TypedStorage]:
    return type(name, (TypedStorage,), {"_dtype": of, "__module__": "torch", "__doc__": f"A TypedStorage of {of}."})


def __getattr__(name: str) -> Any:
    if name.endswith("Storage") and not name.startswith("_"):
        try:
            of = dtypes.from_legacy_name(name.removesuffix("Storage") + "Tensor")
        except ValueError:
            pass
        else:
            globals()[name] = found = _of_dtype(name, of)
            return found
    raise AttributeError(f"module 'mytorch.storage' has no attribute '{name}'")
