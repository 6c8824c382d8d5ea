"""The format that torch wrote before version 1.6: five pickles one after the other, then the storages.

    magic number, protocol version 1001, a dict about the machine, the object, the list of storage keys,
    then for each key the number of elements (8 bytes) and the elements, little-endian.

The object is unpickled before its storages are read, so they are allocated at the size that the pickle claims; the
claims together may not exceed the bytes that are left in the file.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.serialization.machine import PickleMachine
from mytorch.serialization.rebuild import BUILDERS, KEY_TYPES, Storage, allowed_globals, as_text, check_storage_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from mytorch import dtypes

__mytorch__ = True

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
# pickle protocol 2, then the magic number as LONG1 of 10 bytes
MAGIC = b"\x80\x02\x8a\x0a" + MAGIC_NUMBER.to_bytes(10, "little")


class LegacyFile:
    """One file of the old format, all its bytes at hand."""

    def __init__(self, data: bytes, restore: Callable[[Storage, str], Storage], encoding: str) -> None:
        self.data = memoryview(data)
        self.position = 0
        self.restore = restore
        self.encoding = encoding
        self.storages: dict[str, Storage] = {}
        self.claimed = 0

    def load(self) -> Any:
        """The object in the file.

        Raises:
            RuntimeError: if this is not such a file.
            UnpicklingError, EOFError: if its pickles are damaged or name what no file may.
        """
        if self._unpickle() != MAGIC_NUMBER:
            raise RuntimeError("Invalid magic number; corrupt file?")
        version = self._unpickle()
        if type(version) is not int or version != PROTOCOL_VERSION:
            raise RuntimeError(f"Invalid protocol version: expected {PROTOCOL_VERSION}, got another")
        self._unpickle()  # sizes of C types on the machine that wrote it, which never mattered
        result = self._unpickle()
        keys = self._unpickle()
        if type(keys) is not list or len(keys) != len(self.storages) or {as_text(key) for key in keys} != set(self.storages):
            raise RuntimeError("the list of storages differs from the storages that the object uses; corrupt file?")
        for key in keys:
            self._fill(self.storages[as_text(key) or ""])
        return result

    def _unpickle(self) -> Any:
        machine = PickleMachine(self.data, allowed_globals(), self._storage, BUILDERS, KEY_TYPES, file_size=len(self.data),
                                position=self.position, encoding=self.encoding)
        result = machine.load()
        self.position = machine.position
        return result

    def _storage(self, m: PickleMachine, pid: Any) -> Storage:
        dtype, key, location, nbytes = check_storage_id(m, pid, 6)
        if dtype is None:
            m.refuse("an untyped storage in a file of the old format")
        if key not in self.storages:
            self.claimed += nbytes
            if self.claimed > len(self.data) - m.position:
                m.refuse("the storages are larger than the file")
            storage = Storage(np.empty(nbytes, np.uint8), dtype, foreign_order=sys.byteorder != "little", filled=False)
            self.storages[key] = self.restore(storage, location)
        storage = self.storages[key]
        if storage.dtype is not dtype or storage.nbytes() != nbytes:
            m.refuse("one storage is described in two ways")
        return storage if pid[5] is None else _part(m, storage, dtype, pid[5])

    def _fill(self, storage: Storage) -> None:
        dtype = storage.dtype
        start = self.position + 8
        end = start + storage.nbytes()
        if end > len(self.data):
            raise RuntimeError(f"the file ends {end - len(self.data)} bytes before the end of a storage")
        (numel,) = struct.unpack("<q", self.data[self.position:start])
        if dtype is None or storage.filled or numel != storage.size():
            raise RuntimeError(f"a storage has {numel} elements, its description says {storage.size()}; corrupt file?")
        storage.bytes[:] = np.frombuffer(self.data[start:end], np.uint8)
        storage.filled = True
        storage.ready(dtype)
        self.position = end


def _part(m: PickleMachine, storage: Storage, dtype: dtypes.dtype, view: Any) -> Storage:
    """The part of a storage that a view of it, (key, offset, number of elements), names."""
    if type(view) is not tuple or len(view) != 3 or any(type(n) is not int or n < 0 for n in view[1:]):
        m.refuse("a view of a storage must be (key, offset, number of elements)")
    start, end = view[1] * dtype.itemsize, (view[1] + view[2]) * dtype.itemsize
    if end > storage.nbytes():
        m.refuse("a view of a storage reaches past its end")
    return Storage(storage.bytes[start:end], dtype, foreign_order=False, filled=False)  # the whole is swapped once


def write_legacy(file: BinaryIO, pickled: bytes, write: Callable[[Any], bytes],
                 blocks: list[tuple[np.ndarray[Any, Any], dtypes.dtype]]) -> None:
    """Write the five pickles and the storages.

    Args:
        file: open for writing.
        pickled: the object.
        write: makes a pickle of plain data.
        blocks: the bytes and the dtype of each storage, in the order of their keys.
    """
    little = sys.byteorder == "little"
    machine = {"protocol_version": PROTOCOL_VERSION, "little_endian": little, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for part in (MAGIC + b".", write(PROTOCOL_VERSION), write(machine), pickled, write([str(key) for key in range(len(blocks))])):
        file.write(part)
    for block, dtype in blocks:
        file.write(struct.pack("<q", block.size // dtype.itemsize))
        storage = Storage(block if little else block.copy(), dtype, foreign_order=not little)
        file.write(storage.ready(dtype).data)
