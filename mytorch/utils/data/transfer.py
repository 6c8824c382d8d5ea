"""How a batch travels from a worker process to the main process: through shared memory, or else through the pipe.

A batch is pickled with its arrays left out (pickle protocol 5, PEP 574). Many bytes of arrays go into a file that exists in memory
only (a `Block` of ``mytorch.multiprocessing``), whose descriptor is sent over the pipe; the receiver maps it, so that no array is copied
on its side. Such a file has no name: it is gone with its last user, however that one ends, and needs no room in /dev/shm.
Few bytes, and all of them where the system has no such files or refuses one, follow the pickle through the pipe.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
import weakref
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch.dtypes import BFLOAT16_NP
from mytorch.multiprocessing.shared_memory import ALIGNMENT, Block, memory_file, write
from mytorch.tensor import Tensor, _rebuild

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__mytorch__ = True

SHARED_FROM = 64 * 1024  # bytes: fewer are cheaper through the pipe
MAPPED_AT_MOST = 128  # batches: each mapped one keeps a descriptor open, and a process may have no more than some 1000

_mapped: weakref.WeakSet[Block] = weakref.WeakSet()


class _Pickler(ForkingPickler):
    """Pickles tensors without the copy that ``Tensor.__reduce_ex__`` makes."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or value._edge is not None:
            return NotImplemented
        array = np.asarray(value._array, order="C")
        if array.dtype == BFLOAT16_NP:
            array = array.view(np.uint16)
        return _rebuild, (Tensor, array, value.dtype, value._requires_grad, dict(value.__dict__))


def socket_of(connection: Connection) -> socket.socket | None:
    """The socket under one end of a duplex pipe, which can send descriptors; None where pipes are no sockets (Windows)."""
    if not hasattr(socket, "send_fds"):
        return None
    channel = socket.socket(fileno=os.dup(connection.fileno()))
    channel.settimeout(None)  # a default timeout would make the pipe, which is the same socket, not wait
    return channel


def pack(value: Any) -> tuple[bytes, list[memoryview]]:
    """The value, pickled, and the bytes of its arrays apart from it."""
    stream = io.BytesIO()
    kept: list[pickle.PickleBuffer] = []
    _Pickler(stream, 5, True, kept.append).dump(value)
    return stream.getvalue(), [buffer.raw() for buffer in kept]


def send(connection: Connection, channel: socket.socket | None, header: Any, packed: tuple[bytes, list[memoryview]]) -> None:
    """Send a small header and a packed value of any size."""
    payload, views = packed
    sizes = [view.nbytes for view in views]
    file = _filled(views) if channel is not None and sum(sizes) >= SHARED_FROM else None
    body = b"".join(views) if file is None else None
    try:
        connection.send_bytes(pickle.dumps((header, payload, sizes, body), 5))
        if file is not None:
            assert channel is not None
            socket.send_fds(channel, [b"f"], [file])
    finally:
        if file is not None:
            os.close(file)


def receive(connection: Connection, channel: socket.socket | None) -> tuple[Any, Any]:
    """The next header, and what was packed, for ``unpack``."""
    header, payload, sizes, body = pickle.loads(connection.recv_bytes())
    if body is not None:
        return header, (payload, sizes, memoryview(bytearray(body)), 1)
    assert channel is not None
    mark, files, _, _ = socket.recv_fds(channel, 1, 1)
    if not mark:
        raise EOFError
    if not files:
        raise RuntimeError("DataLoader: Too many open files, no batch can be received; raise the limit with `ulimit -n`")
    return header, (payload, sizes, _contents(files[0]), ALIGNMENT)


def unpack(packed: tuple[bytes, list[int], memoryview, int]) -> Any:
    """The value that was sent; its arrays lie in the memory that was received, and may be written."""
    payload, sizes, memory, alignment = packed
    views, start = [], 0
    for size in sizes:
        views.append(memory[start : start + size])
        start = -(-(start + size) // alignment) * alignment
    return pickle.loads(payload, buffers=views)


def _filled(views: list[memoryview]) -> int | None:
    """A new file in memory with these bytes, each view at a multiple of the alignment; None where it cannot be made."""
    try:
        file = memory_file()
    except OSError:
        return None
    try:
        os.ftruncate(file, write(file, views))
    except OSError:  # no memory left for it
        os.close(file)
        return None
    return file


def _contents(file: int) -> memoryview:
    """The bytes of the file, which is closed: mapped; or copied when too many files are mapped already."""
    size = os.fstat(file).st_size
    if len(_mapped) < MAPPED_AT_MOST:
        block = Block(file, size, keep=False)
        _mapped.add(block)
        return memoryview(block)
    try:
        copied = np.empty(size, np.uint8).data
        done = 0
        while done < size:
            done += os.preadv(file, [copied[done:]], done)
        return copied
    finally:
        os.close(file)
