"""Writes an object as the pickle that torch writes for it: protocol 2, torch's names, storages as persistent ids.

Only what the reader can read is written, so that every file saved here loads here; the names are torch's, so that
``torch.load(weights_only=True)`` reads the same file. Equal objects give equal bytes.

Source: the opcodes are described in CPython's Lib/pickletools.py.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from mytorch import dtypes
from mytorch.device import device
from mytorch.serialization.machine import PLAIN_KEY_TYPES
from mytorch.serialization.rebuild import FACTORIES, KEY_TYPES, LEGACY_STORAGES
from mytorch.size import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mytorch.tensor import Tensor

__mytorch__ = True

BATCH = 1000  # items between a MARK and its SETITEMS or APPENDS, as Python's pickler batches them
_WAY_OUT = "save plain containers, numbers, strings, tensors and state_dict() results"


class StorageTable:
    """The storages of one file: every block of memory that a tensor looks into, once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, dtypes.dtype]] = {}  # id of the block's owner -> (key, dtype)
        self._owners: list[Any] = []  # keeps the ids taken
        self.blocks: list[np.ndarray[Any, Any]] = []  # key -> its bytes

    def typed_blocks(self) -> list[tuple[np.ndarray[Any, Any], dtypes.dtype]]:
        """The blocks in the order of their keys, each with its dtype."""
        return [(self.blocks[key], dtype) for key, dtype in sorted(self._known.values(), key=lambda known: known[0])]

    def add(self, array: np.ndarray[Any, Any], dtype: dtypes.dtype) -> tuple[int, int, int, tuple[int, ...]]:
        """(key, number of elements, offset, strides) of the storage that holds the array, counted in elements.

        Raises:
            RuntimeError: if the same memory is already in the file under another dtype.
        """
        owner = _owner(array)
        block = _block(owner)
        layout = _layout(array, block, dtype.itemsize) if block is not None else None
        if block is None or layout is None:
            array = owner = np.ascontiguousarray(array)
            block, layout = array.reshape(-1).view(np.uint8), (0, _contiguous_strides(array.shape))
        key, known_as = self._known.setdefault(id(owner), (len(self.blocks), dtype))
        if known_as is not dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types: "
                               f"{known_as} and {dtype}; save a clone() of one of them")
        if key == len(self.blocks):
            self._owners.append(owner)
            self.blocks.append(block)
        return key, block.size // dtype.itemsize, *layout


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array at the end of the chain of views."""
    while True:
        base = array.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # as_strided puts an object of its own between
        if not isinstance(base, np.ndarray):
            return array
        array = base


def _block(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """The owner's memory as bytes in address order, or None if it is not one dense block."""
    order = sorted(range(owner.ndim), key=lambda axis: -owner.strides[axis])
    dense = owner.transpose(order)
    return dense.reshape(-1).view(np.uint8) if dense.flags.c_contiguous else None


def _layout(array: np.ndarray[Any, Any], block: np.ndarray[Any, Any], itemsize: int) -> tuple[int, tuple[int, ...]] | None:
    """(offset, strides) of the array in its block, in elements; None if they are not whole or step backwards."""
    if array.size == 0:
        return 0, _contiguous_strides(array.shape)
    start = array.__array_interface__["data"][0] - block.__array_interface__["data"][0]
    if start % itemsize or block.size % itemsize:
        return None
    if array.flags.c_contiguous:
        return start // itemsize, _contiguous_strides(array.shape)
    strides = []
    for n, stride in zip(array.shape, array.strides, strict=True):
        if n == 1 and (stride < 0 or stride % itemsize):
            stride = itemsize  # the stride of a single element means nothing
        elif stride < 0 or stride % itemsize:
            return None
        strides.append(stride // itemsize)
    return start // itemsize, tuple(strides)


def _contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


class PickleWriter:
    """Writes one pickle.

    Args:
        storages: where the tensors' memory is noted.
        legacy: write storage ids as the format before torch 1.6 has them.
    """

    def __init__(self, storages: StorageTable, legacy: bool = False) -> None:
        self.out = bytearray(b"\x80\x02")
        self.storages = storages
        self.legacy = legacy
        self.memo: dict[Any, int] = {}
        self.kept: list[Any] = []  # ids in the memo stay taken while their objects live

    def dump(self, obj: Any) -> bytes:
        """The pickle of an object.

        Raises:
            PicklingError: for an object that no file may hold.
            NotImplementedError: for a whole Module, Optimizer or anything else that has a state_dict().
        """
        try:
            self.write(obj)
        except RecursionError:
            raise PicklingError("save: containers nest too deeply to be saved; flatten the object") from None
        self.out += b"."
        return bytes(self.out)

    def write(self, obj: Any) -> None:
        """Write one object: by its exact type, or as a tensor."""
        kind = type(obj)
        if kind is str:
            self._str(obj)
            return
        memo_key = id(obj)
        if kind not in _NO_MEMO and self._recall(memo_key):
            return
        writer = _WRITERS.get(kind)
        if writer is not None:
            writer(self, obj)
            return
        from mytorch.tensor import Tensor

        if not isinstance(obj, Tensor):
            refuse(obj)
        self._tensor(obj)

    # ---- memo ----------------------------------------------------------------------------------------------------------

    def _recall(self, key: Any) -> bool:
        index = self.memo.get(key)
        if index is None:
            return False
        self.out += struct.pack("<cB", b"h", index) if index < 256 else struct.pack("<cI", b"j", index)
        return True

    def _store(self, key: Any, obj: Any = None) -> None:
        index = self.memo[key] = len(self.memo)
        self.kept.append(obj)
        self.out += struct.pack("<cB", b"q", index) if index < 256 else struct.pack("<cI", b"r", index)

    def _call(self, name: str, *args: Any) -> None:
        """A global called with arguments; the caller stores the result."""
        self._global(name)
        self._plain_tuple(args)
        self.out += b"R"

    def _global(self, name: str) -> None:
        if not self._recall(("global", name)):
            module, _, attribute = name.rpartition(".")
            self.out += f"c{module}\n{attribute}\n".encode()
            self._store(("global", name))

    # ---- plain values ----------------------------------------------------------------------------------------------------

    def _none(self, obj: None) -> None:
        self.out += b"N"

    def _bool(self, obj: bool) -> None:
        self.out += b"\x88" if obj else b"\x89"

    def _int(self, obj: int) -> None:
        if 0 <= obj < 1 << 16:
            self.out += struct.pack("<cB", b"K", obj) if obj < 256 else struct.pack("<cH", b"M", obj)
        elif -1 << 31 <= obj < 1 << 31:
            self.out += struct.pack("<ci", b"J", obj)
        else:
            raw = obj.to_bytes(obj.bit_length() // 8 + 1, "little", signed=True)
            if len(raw) > 255:
                raise PicklingError(f"save: an int of {len(raw)} bytes is longer than the 255 that a file may hold; "
                                    "save it as a string")
            self.out += struct.pack("<cB", b"\x8a", len(raw)) + raw

    def _float(self, obj: float) -> None:
        self.out += struct.pack(">cd", b"G", obj)

    def _complex(self, obj: complex) -> None:
        self._call("__builtin__.complex", obj.real, obj.imag)
        self._store(id(obj), obj)

    def _str(self, obj: str) -> None:
        # by value, not by identity: equal objects give equal files, and repeated keys cost two bytes
        if not self._recall(("str", obj)):
            raw = obj.encode("utf-8", "surrogatepass")
            if len(raw) >= 1 << 32:
                raise PicklingError("save: a string of 4 GiB and more cannot be saved; save it in parts")
            self.out += struct.pack("<cI", b"X", len(raw)) + raw
            self._store(("str", obj))

    def _bytes(self, obj: bytes) -> None:
        # torch reads this spelling of empty bytes; it refuses Python's own, a call of bytes()
        self._call("_codecs.encode", obj.decode("latin-1"), "latin1")
        self._store(id(obj), obj)

    def _bytearray(self, obj: bytearray) -> None:
        self._call("__builtin__.bytearray", bytes(obj))
        self._store(id(obj), obj)

    # ---- containers ------------------------------------------------------------------------------------------------------

    def _tuple(self, obj: tuple[Any, ...]) -> None:
        if not obj:
            self.out += b")"
            return
        if len(obj) > 3:
            self.out += b"("
        for item in obj:
            self.write(item)
        if id(obj) in self.memo:  # an item led back to this tuple and wrote it: drop the items, take that one
            self.out += b"1" if len(obj) > 3 else b"0" * len(obj)
            self._recall(id(obj))
            return
        self.out += (b"\x85", b"\x86", b"\x87")[len(obj) - 1] if len(obj) <= 3 else b"t"
        self._store(id(obj), obj)

    def _plain_tuple(self, items: tuple[Any, ...]) -> None:
        """A tuple made for the file, which nothing can refer to."""
        self.out += b"(" if len(items) > 3 else b""
        for item in items:
            self.write(item)
        self.out += (b")", b"\x85", b"\x86", b"\x87")[len(items)] if len(items) <= 3 else b"t"

    def _list(self, obj: list[Any]) -> None:
        self.out += b"]"
        self._store(id(obj), obj)
        self._items(obj, 1, b"ae")

    def _dict(self, obj: dict[Any, Any]) -> None:
        self.out += b"}"
        self._store(id(obj), obj)
        self._dict_items(obj)

    def _dict_items(self, obj: dict[Any, Any]) -> None:
        for key in obj:
            check_key(key)
        self._items([part for item in obj.items() for part in item], 2, b"su")

    def _items(self, parts: list[Any], per_item: int, opcodes: bytes) -> None:
        """Add items to the object on the stack: a single one with the first opcode, a batch of them with the second."""
        for at in range(0, len(parts), per_item * BATCH):
            batch = parts[at:at + per_item * BATCH]
            single = len(batch) == per_item
            self.out += b"" if single else b"("
            for part in batch:
                self.write(part)
            self.out += opcodes[:1] if single else opcodes[1:]

    def _ordered_dict(self, obj: OrderedDict[Any, Any]) -> None:
        self._call("collections.OrderedDict")
        self._store(id(obj), obj)
        self._dict_items(obj)
        if obj.__dict__:  # _metadata of a state_dict
            self._dict(obj.__dict__)
            self.out += b"b"

    def _counter(self, obj: Counter[Any]) -> None:
        self._call("collections.Counter", dict(obj))
        self._store(id(obj), obj)

    def _default_dict(self, obj: defaultdict[Any, Any]) -> None:
        factory = obj.default_factory
        if factory is not None and factory not in FACTORIES:
            raise PicklingError(f"save: a defaultdict whose default_factory is {factory!r} cannot be stored: functions are code; "
                                "save dict(...) of it")
        self._global("collections.defaultdict")
        if factory is None:
            self.out += b")"
        else:
            # FACTORIES are classes: Python's own or those of collections
            module = "__builtin__" if factory.__module__ == "builtins" else factory.__module__
            self._global(f"{module}.{factory.__name__}")
            self.out += b"\x85"
        self.out += b"R"
        self._store(id(obj), obj)
        self._dict_items(obj)

    def _set(self, obj: Iterable[Any]) -> None:
        for member in obj:
            check_key(member)
        try:
            members = sorted(obj)  # a set of strings has another order in every process
        except TypeError:
            members = list(obj)
        self._call(f"__builtin__.{type(obj).__name__}", members)
        self._store(id(obj), obj)

    # ---- torch's types -----------------------------------------------------------------------------------------------------

    def _size(self, obj: Size) -> None:
        self._call("torch.Size", tuple(obj))
        self._store(id(obj), obj)

    def _device(self, obj: device) -> None:
        self._call("torch.device", *((obj.type,) if obj.index is None else (obj.type, obj.index)))
        self._store(id(obj), obj)

    def _dtype(self, obj: dtypes.dtype) -> None:
        self._global(str(obj))

    def _tensor(self, obj: Tensor) -> None:
        from mytorch.nn.parameter import Parameter
        from mytorch.tensor import Tensor

        if type(obj).__name__ in _WAITING and type(obj).__module__ == "mytorch.nn.lazy":
            given = (obj.requires_grad,) if obj.dtype is dtypes.get_default_dtype() else (obj.requires_grad, None, obj.dtype)
            self._call(f"torch.nn.parameter.{type(obj).__name__}", *given)
            self._store(id(obj), obj)
            return
        if type(obj) not in (Tensor, Parameter):
            raise NotImplementedError(f"save: a tensor of the subclass {type(obj).__name__} has no counterpart in a weights "
                                      "file; save a plain Tensor")
        state = dict(obj.__dict__)
        if type(obj) is Parameter:
            self._global("torch._utils._rebuild_parameter_with_state" if state else "torch._utils._rebuild_parameter")
            self.out += b"("
            self._plain_tensor(obj, False)
            self.write(obj.requires_grad)
            self._call("collections.OrderedDict")  # backward hooks, which are never saved
            if state:
                self._dict(state)
            self.out += b"tR"
        elif state:
            self._global("torch._tensor._rebuild_from_type_v2")
            self.out += b"("
            name, write_args = self._tensor_args(obj, obj.requires_grad)
            self._global(name)
            self._global("torch.Tensor")
            write_args()
            self._dict(state)
            self.out += b"tR"
        else:
            self._plain_tensor(obj, obj.requires_grad)
        self._store(id(obj), obj)

    def _plain_tensor(self, obj: Tensor, requires_grad: bool) -> None:
        name, write_args = self._tensor_args(obj, requires_grad)
        self._global(name)
        write_args()
        self.out += b"R"

    def _tensor_args(self, obj: Tensor, requires_grad: bool) -> tuple[str, Callable[[], None]]:
        """The function that rebuilds a tensor, and what writes the tuple of its arguments."""
        dtype = obj.dtype
        key, numel, offset, strides = self.storages.add(obj._array, dtype)
        typed = dtype in LEGACY_STORAGES
        if self.legacy and not typed:
            raise NotImplementedError(f"save: the format before torch 1.6 has no {dtype}; "
                                      "leave _use_new_zipfile_serialization on")

        def write_args() -> None:
            self.out += b"(("
            self.write("storage")
            self._global(f"torch.{LEGACY_STORAGES[dtype]}Storage" if typed else "torch.storage.UntypedStorage")
            self.write(str(key))
            self.write("cpu")
            self.write(numel if typed else numel * dtype.itemsize)
            self.out += b"NtQ" if self.legacy else b"tQ"  # None: not a view of another storage
            self.write(offset)
            self._plain_tuple(tuple(obj.shape))
            self._plain_tuple(strides)
            self.write(requires_grad)
            self._call("collections.OrderedDict")  # backward hooks, which are never saved
            if not typed:
                self._dtype(dtype)
            self.out += b"t"

        return ("torch._utils._rebuild_tensor_v2" if typed else "torch._utils._rebuild_tensor_v3"), write_args


def check_key(key: Any) -> None:
    """Refuse a key of a dict or a member of a set that the reader would refuse."""
    if type(key) is tuple:
        for part in key:
            check_key(part)
    elif type(key) not in PLAIN_KEY_TYPES and type(key) not in KEY_TYPES:
        raise PicklingError("save: a key of a dict or member of a set must be a plain value or a tuple of them, "
                            f"not {type(key).__name__}")


def refuse(obj: Any) -> NoReturn:
    """Say why an object cannot be saved and what to save instead."""
    name = f"{type(obj).__module__}.{type(obj).__qualname__}"
    if hasattr(obj, "state_dict"):
        if not isinstance(obj, type):
            obj.__getstate__()  # a parametrized module says by itself why it is not saved
        raise NotImplementedError(f"save: a whole {name} would be stored as code, which mytorch.load never runs; "
                                  "save its state_dict() and rebuild the object from its class")
    if isinstance(obj, (np.ndarray, np.generic)):
        raise PicklingError(f"save: {name} is NumPy's; save value.item() of a number, mytorch.from_numpy(array) of an array")
    raise PicklingError(f"save: an object of type {name} cannot be stored: a weights file holds data, never code; {_WAY_OUT}")


_WRITERS: dict[type, Callable[[PickleWriter, Any], None]] = {
    type(None): PickleWriter._none, bool: PickleWriter._bool, int: PickleWriter._int, float: PickleWriter._float,
    complex: PickleWriter._complex, bytes: PickleWriter._bytes, bytearray: PickleWriter._bytearray,
    tuple: PickleWriter._tuple, list: PickleWriter._list, dict: PickleWriter._dict, OrderedDict: PickleWriter._ordered_dict,
    Counter: PickleWriter._counter, defaultdict: PickleWriter._default_dict, set: PickleWriter._set, frozenset: PickleWriter._set,
    Size: PickleWriter._size, device: PickleWriter._device, dtypes.dtype: PickleWriter._dtype,
}
_WAITING = frozenset({"UninitializedParameter", "UninitializedBuffer"})  # of lazy layers: a dtype, and no values yet
_NO_MEMO = frozenset({type(None), bool, int, float, dtypes.dtype})
