"""Memory that several processes see: files in memory, mapped by each of them.

A `Block` is such a file together with this process's mapping of it. There are two strategies, named as in torch:

- ``file_descriptor``: the file has no name (``memfd_create``), and its descriptor is what is sent. The kernel frees it with its last
  user, however that one ends: nothing can stay behind. Each block keeps descriptors open.
- ``file_system``: the file has a name in /dev/shm, and what is sent is a name. Each process that has the block holds a name of its
  own (a hard link), which goes when the block does, or when the process exits; the kernel counts the links. If a process is killed,
  the resource tracker of Python's multiprocessing takes its names away.

Small tensors share blocks, so that a model of many small parameters does not use up the descriptors; what counts as small grows with
the number of blocks.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    Array = np.ndarray[Any, Any]

__mytorch__ = True

STRATEGIES = frozenset({"file_descriptor", "file_system"})
ALIGNMENT = 64  # bytes: a cache line
_COMMON = 1024 * 1024  # bytes of a block that tensors share
_SMALL = _COMMON // 16  # bytes: those up to this size do
_MANY = 100  # blocks: with more, both sizes are as many times larger
_LARGER = 16
_AT_EXIT = -10  # when names go: after queues have sent what they hold, which multiprocessing does at -5

AVAILABLE = hasattr(mmap, "MAP_SHARED")  # not on Windows
strategy = "file_descriptor"
lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: lock._at_fork_reinit())  # type: ignore[attr-defined]


class Block(mmap.mmap):
    """A file in memory, mapped. Mapping, descriptor and name are given back with the last array over it.

    Args:
        descriptor: of the open file, which the block takes over: it keeps or closes it.
        size: number of bytes.
        keep: whether it may be sent on.
        name: of the file, which the block takes over too.
    """

    descriptor: int | None  # what is sent, None if there is a name
    name: str | None  # this process's name of the file
    owner: int  # the process whose name it is
    pieces: weakref.WeakValueDictionary[tuple[int, int], Array]

    def __new__(cls, descriptor: int, size: int, keep: bool = True, name: str | None = None) -> Block:
        options: dict[str, Any] = {"flags": mmap.MAP_SHARED, "prot": mmap.PROT_READ | mmap.PROT_WRITE}
        if sys.version_info >= (3, 13):
            options["trackfd"] = False  # before, a mapping keeps a descriptor of its own
        if name is not None:
            keep = False
        block = None
        try:
            block = super().__new__(cls, descriptor, size, **options)
        finally:
            if block is None or not keep:
                os.close(descriptor)
        block.name, block.descriptor = name, descriptor if keep else None
        block.pieces = weakref.WeakValueDictionary()
        if keep:
            weakref.finalize(block, os.close, descriptor).atexit = False
        if name is not None:
            from multiprocessing.util import register_after_fork

            block.owner = os.getpid()
            block._forget_name_at_end()
            register_after_fork(block, Block._forget_name_at_end)  # a forkserver's process drops the finalizers of its arguments
        return block

    def _forget_name_at_end(self) -> None:
        from multiprocessing.util import Finalize

        if self.owner == os.getpid():  # not in a forked copy
            Finalize(self, _forget, (self.name,), exitpriority=_AT_EXIT)

    @property
    def can_be_sent(self) -> bool:
        """Whether other processes can be given this block; a batch of a DataLoader has no other user."""
        return self.descriptor is not None or self.name is not None

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is sent. The pickler keeps a memo: tensors of one message that share it send it once."""
        from multiprocessing.reduction import DupFd

        if self.name is not None:
            return _of_name, (_linked(self.name), len(self))
        assert self.descriptor is not None
        return _of_descriptor, (DupFd(self.descriptor), len(self))

    def piece(self, start: int, size: int) -> Array:
        """Bytes of the block; the same array for the same piece, since aliases are known by the array that owns their memory."""
        found = self.pieces.get((start, size))
        if found is None:
            found = self.pieces[start, size] = np.ndarray((size,), np.uint8, self, start)
        return found


# ---- files --------------------------------------------------------------------------------------------------------------------


def memory_file() -> int:
    """The descriptor of a new file in memory that has no name. OSError where the system has none, or gives none."""
    if not hasattr(os, "memfd_create"):
        raise OSError(f"{sys.platform} has no files without a name in memory")
    return os.memfd_create("mytorch")


def write(descriptor: int, views: Iterable[memoryview], start: int = 0) -> int:
    """Write bytes into a file, each view at a multiple of the alignment. Returns the end.

    OSError where the memory is used up: written through a mapping, that would be answered by SIGBUS.
    """
    for view in views:
        written = 0
        while written < view.nbytes:
            written += os.pwrite(descriptor, view[written:], start + written)
        start = aligned(start + view.nbytes)
    return start


def aligned(position: int) -> int:
    """The next multiple of the alignment."""
    return -(-position // ALIGNMENT) * ALIGNMENT


def _new_file() -> tuple[int, str | None]:
    """The descriptor of a new file, and its name if the strategy gives it one."""
    if strategy == "file_system":
        name = _new_name()
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), name
    if hasattr(os, "memfd_create"):
        return memory_file(), None
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="mytorch_")
    os.unlink(path)
    return descriptor, None


# ---- blocks -------------------------------------------------------------------------------------------------------------------

# By device and inode of the file: a block that comes a second time is the one that is here, so that its tensors are aliases.
_blocks: weakref.WeakValueDictionary[tuple[int, int], Block] = weakref.WeakValueDictionary()


def block_of(array: Array) -> Block | None:
    """The block that an array lies in, None if its memory belongs to this process alone."""
    owner: Any = array
    while owner is not None and not isinstance(owner, Block):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner


def shared_copy(memory: Array) -> Array:
    """A copy of these bytes (one dimension of uint8) in shared memory."""
    if not AVAILABLE:
        raise NotImplementedError(f"share_memory_: memory cannot be shared on {sys.platform}; tensors that are sent to a process are copied")
    global _common
    with lock:
        scale = _LARGER if len(_blocks) > _MANY else 1
        if memory.size > _SMALL * scale:
            block = _new_block(aligned(memory.size), memory.data)
            return block.piece(0, memory.size)
        if _common is None or not _common.has_room_for(memory.size):
            _common = _Common(_COMMON * scale)
        return _common.add(memory)


def _new_block(size: int, contents: memoryview | None = None) -> Block:
    descriptor, name = _new_file()
    try:
        os.ftruncate(descriptor, size)
        write(descriptor, () if contents is None else [contents])
        found = os.fstat(descriptor)
    except BaseException:
        os.close(descriptor)
        if name is not None:
            _forget(name)
        raise
    block = _blocks[found.st_dev, found.st_ino] = Block(descriptor, size, name=name)
    return block


class _Common:
    """The block that small tensors are put into, one after the other. It lives as long as one of them does."""

    def __init__(self, size: int) -> None:
        block = _new_block(size)
        if block.descriptor is not None:
            self.descriptor = os.dup(block.descriptor)
        else:
            assert block.name is not None
            self.descriptor = os.open(block.name, os.O_RDWR)
        weakref.finalize(self, os.close, self.descriptor).atexit = False
        self.made: Block | None = block  # until a tensor holds it
        self.block = weakref.ref(block)
        self.end, self.size, self.owner, self.strategy = 0, size, os.getpid(), strategy

    def has_room_for(self, size: int) -> bool:
        """Not in a forked copy of the process: both would write to the same place."""
        alive = self.block() is not None and self.owner == os.getpid()
        return alive and self.strategy == strategy and self.end + size <= self.size

    def add(self, memory: Array) -> Array:
        block, self.made = self.block(), None
        assert block is not None
        piece = np.ndarray(memory.shape, np.uint8, block, self.end) if not memory.size else block.piece(self.end, memory.size)
        self.end = write(self.descriptor, [memory.data], self.end)
        return piece


_common: _Common | None = None


def _of_descriptor(sent: Any, size: int) -> Block:
    try:
        descriptor = sent.detach()
    except (FileNotFoundError, ConnectionError) as error:
        error.add_note("A tensor that is sent stays in the hands of its sender until it has arrived, and here the sender has ended before. "
                       "Let it wait, for example for an Event that the receiver sets; or send numbers or lists")
        raise
    return _arrived(descriptor, size, None)


def _of_name(sent: str, size: int) -> Block:
    descriptor = os.open(sent, os.O_RDWR)
    _track("register", sent)
    return _arrived(descriptor, size, sent)


def _arrived(descriptor: int, size: int, name: str | None) -> Block:
    with lock:
        found = os.fstat(descriptor)
        block = _blocks.get((found.st_dev, found.st_ino))
        if block is None:
            block = _blocks[found.st_dev, found.st_ino] = Block(descriptor, size, name=name)
            return block
    os.close(descriptor)
    if name is not None:
        _forget(name)
    return block


# ---- names --------------------------------------------------------------------------------------------------------------------


def _new_name() -> str:
    import secrets
    import tempfile

    folder = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    name = f"{folder}/mytorch_{os.getpid()}_{secrets.token_hex(8)}"
    _track("register", name)
    return name


def _linked(name: str) -> str:
    """Another name of the file, for the process that it is sent to."""
    other = _new_name()
    os.link(name, other)
    return other


def _forget(name: str) -> None:
    """Take a name away."""
    try:
        os.unlink(name)
    except FileNotFoundError:
        return
    _track("unregister", name)


def start_tracking() -> None:
    """Start the process that takes away what killed processes leave behind, so that processes started from now on share it."""
    from multiprocessing import parent_process, resource_tracker

    if parent_process() is None:
        resource_tracker.ensure_running()


def _track(action: str, name: str) -> None:
    """Tell that process of a name: "register" or "unregister" it."""
    from multiprocessing import parent_process, resource_tracker

    if parent_process() is not None and resource_tracker._resource_tracker._fd is None:  # type: ignore[attr-defined]
        return  # forked before there was one: one of its own would not hear of the names that others take away
    folder, _, last = name.rpartition("/")
    if folder == "/dev/shm":  # where that process looks
        getattr(resource_tracker, action)(f"/{last}", "shared_memory")
