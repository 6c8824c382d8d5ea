"""A file that appears under its name only when it is complete."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__mytorch__ = True


@contextmanager
def atomic_writer(path: str | bytes | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; on success it takes the name, on failure it goes away.

    Whoever opens ``path`` at any time, also after a crash or on a full disk, finds the old file or the new one, whole.
    The new file keeps the mode bits of the old one; a symbolic link stays one and its target is replaced. A path that is
    not a regular file (a pipe, /dev/null) is written to directly.

    Raises:
        RuntimeError: if the folder does not exist.
        OSError: if it cannot be written; the old file is as it was.
    """
    target = os.path.realpath(os.fsdecode(path))
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    old_mode = _mode(target)
    if old_mode is not None and not stat.S_ISREG(old_mode):
        with open(target, "wb") as file:
            yield file
        return
    # os.urandom and O_EXCL: no other writer has this name; 0o666 and the umask give the mode that open() would give
    temporary = os.path.join(folder, f".mytorch-{os.urandom(8).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(descriptor, "wb") as file:
            if old_mode is not None:
                os.chmod(temporary, stat.S_IMODE(old_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_folder(folder)


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _sync_folder(folder: str) -> None:
    """Make the new name durable, where folders can be synced (not on Windows, not on every network file system)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
