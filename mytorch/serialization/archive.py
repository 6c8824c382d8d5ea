"""The zip files that torch writes: an archive of stored members below one folder, each aligned to 64 bytes.

    archive/data.pkl                    the object, with a number in place of each storage
    archive/byteorder                   "little" or "big"
    archive/data/0, archive/data/1 ...  the bytes of the storages
    archive/version                     "3"
    archive/.data/serialization_id      a digest of the members

The reader takes nothing on trust: names, sizes, overlaps, compression ratio, and the checksum of every member it reads.
"""

from __future__ import annotations

import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO
    from zipfile import ZipInfo

__mytorch__ = True

MAGIC = b"PK\x03\x04"
ALIGNMENT = 64
FORMAT_VERSION = b"3\n"
MAX_RATIO = 100  # torch never compresses; files that were packed again may, but a ratio beyond this is a bomb
ROOT = "archive"

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED, _UTF8 = 0x1, 0x800
_STORED, _DEFLATED = 0, 8
_ZIP64_FROM = 1 << 30  # sizes from here on get 64-bit fields; zipfile itself would switch between 1.9 and 2 GiB
_ZIP64_EXTRA = 20  # bytes of that field in a local header
_WORD = 16  # bytes; arrays in a mapped file must begin at a multiple, as allocated ones do
_CHUNK = 1 << 24  # bytes handed to zipfile at a time
_SYMLINK, _KIND_MASK = 0o120000, 0o170000


class Member(NamedTuple):
    """One member: where its bytes lie and what they must be."""

    offset: int
    stored_size: int
    size: int
    crc: int
    compressed: bool


class Archive:
    """The members of a zip file, read with suspicion.

    Args:
        file: seekable, standing where the archive begins; the archive ends where the file ends.
        mapped: map the file into memory and let storages be pages of it, private to this process; their checksums
            are not verified, since that would read every page.

    Raises:
        RuntimeError: if the file is not such an archive, or is damaged.
    """

    def __init__(self, file: BinaryIO, mapped: bool = False) -> None:
        import zipfile

        self.file = file
        start = file.tell()
        self.file_size = file.seek(0, 2) - start
        file.seek(start)
        try:
            with zipfile.ZipFile(file) as directory:
                infos, directory_at = directory.infolist(), directory.start_dir
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, OSError) as error:
            _damaged(f"failed finding central directory: {error}")
        self.root = _check_names(infos)
        self.members: dict[str, Member] = {}
        end = start
        for info in sorted(infos, key=lambda info: info.header_offset):
            member = self._locate(info, end)
            end = member.offset + member.stored_size
            self.members[info.filename[len(self.root) + 1:]] = member
        if end > directory_at:
            _damaged("a member reaches into the directory")
        self._map = _map(file) if mapped else None

    def _locate(self, info: ZipInfo, earliest: int) -> Member:
        """Where a member's bytes begin; its own header must agree with the directory, and no two members may overlap."""
        name = info.filename
        if info.header_offset < earliest:
            _damaged(f"member {name!r} overlaps another")
        self.file.seek(info.header_offset)
        header = self.file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != MAGIC:
            _damaged(f"member {name!r} has no header")
        _, _, flags, method, _, _, _, _, _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if self.file.read(name_length) != name.encode("utf-8" if flags & _UTF8 else "cp437", "replace"):
            _damaged(f"member {name!r} has another name in its own header")
        if flags & _ENCRYPTED or method != info.compress_type or method not in (_STORED, _DEFLATED):
            _damaged(f"member {name!r} is encrypted or compressed in a way that torch never uses")
        if info.external_attr >> 16 & _KIND_MASK == _SYMLINK:
            _damaged(f"member {name!r} is a link")
        if method == _STORED and info.compress_size != info.file_size:
            _damaged(f"stored member {name!r} has {info.compress_size} bytes and claims {info.file_size}")
        if info.file_size > MAX_RATIO * info.compress_size:
            _damaged(f"member {name!r} claims to unpack {info.compress_size} bytes to {info.file_size}, "
                     f"beyond a ratio of {MAX_RATIO}")
        offset = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        return Member(offset, info.compress_size, info.file_size, info.CRC, method == _DEFLATED)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def size(self, name: str) -> int:
        """Number of bytes of a member.

        Raises:
            RuntimeError: if there is no such member.
        """
        if name not in self.members:
            _damaged(f"member {self.root}/{name} is missing")
        return self.members[name].size

    def read(self, name: str) -> bytes:
        """The bytes of a member, checked against their checksum."""
        return self._read(name).tobytes()

    def storage(self, name: str) -> np.ndarray[Any, Any]:
        """The bytes of a member as a writable uint8 array of one dimension: a new one, or pages of the mapped file."""
        size, member = self.size(name), self.members[name]
        if self._map is None or member.compressed or member.offset % _WORD or not size:
            return self._read(name)
        return np.frombuffer(self._map, np.uint8, size, member.offset)

    def _read(self, name: str) -> np.ndarray[Any, Any]:
        size, member = self.size(name), self.members[name]
        self.file.seek(member.offset)
        if member.compressed:
            data = np.frombuffer(bytearray(_inflate(self.file.read(member.stored_size), size)), np.uint8)
        else:
            data = np.empty(size, np.uint8)
            read_into(self.file, data.data)
        if data.size != size or zlib.crc32(data.data) != member.crc:
            _damaged(f"the checksum of member {name!r} differs")
        return data


def _check_names(infos: list[ZipInfo]) -> str:
    """The one folder that holds all members, after refusing names that lead elsewhere or occur twice."""
    names = [info.filename for info in infos]
    if not names:
        _damaged("it has no members")
    if len(set(names)) != len(names):
        _damaged("two members have the same name")
    root = names[0].split("/", 1)[0]
    for info in infos:
        folder = info.filename.endswith("/") and not info.file_size
        parts = info.filename.removesuffix("/").split("/") if folder else info.filename.split("/")
        if info.orig_filename != info.filename or "\\" in info.filename or ".." in parts or "" in parts or not root:
            _damaged(f"a member has the unsafe name {info.orig_filename[:80]!r}")
        if (len(parts) < 2 and not folder) or parts[0] != root:
            _damaged(f"member {info.filename[:80]!r} is not in the folder {root[:80]!r}")
    return root


def read_into(file: BinaryIO, buffer: memoryview) -> None:
    """Fill the buffer from the file.

    Raises:
        RuntimeError: if the file ends first.
    """
    at = 0
    while at < len(buffer):
        if hasattr(file, "readinto"):
            count = file.readinto(buffer[at:])
        else:  # objects that have read and seek only
            chunk = file.read(min(len(buffer) - at, 1 << 20))
            count = len(chunk)
            buffer[at:at + count] = chunk
        if not count:
            _damaged(f"the file ends {len(buffer) - at} bytes too early")
        at += count


def _inflate(raw: bytes, size: int) -> bytes:
    """Unpack at most ``size`` bytes."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, size) if size else b""
    except zlib.error as error:
        _damaged(f"a compressed member cannot be unpacked: {error}")


def _map(file: BinaryIO) -> Any:
    import mmap

    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _damaged(why: str) -> NoReturn:
    raise RuntimeError(f"failed reading zip archive: {why}. The file is damaged, incomplete, or was not written by torch.save")


# ---- writing -------------------------------------------------------------------------------------------------------------------


def write_archive(file: BinaryIO, pickled: bytes, storages: Iterable[np.ndarray[Any, Any]], byteorder: bool = True) -> None:
    """Write the members in torch's order; the same objects give the same bytes, whatever the file is called.

    Args:
        file: only ``write`` is used; what was written before stays in front.
        pickled: data.pkl.
        storages: contiguous arrays, which become data/0, data/1, ...
        byteorder: whether to name the byte order.
    """
    import zipfile

    sink = _Sink(file)
    digest = 0
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]  # an object with write is enough

        def member(name: str, data: bytes | memoryview) -> None:
            nonlocal digest
            size = len(data)
            info = zipfile.ZipInfo(f"{ROOT}/{name}", (1980, 1, 1, 0, 0, 0))
            info.file_size = size
            wide = size >= _ZIP64_FROM
            header = sink.written + _LOCAL_HEADER.size + len(info.filename) + (_ZIP64_EXTRA if wide else 0)
            info.extra = _padding(header)
            with archive.open(info, "w", force_zip64=wide) as target:
                for at in range(0, size, _CHUNK):
                    target.write(memoryview(data)[at:at + _CHUNK])
            info.extra = b""  # the directory needs no padding
            digest = zlib.crc32(struct.pack("<I", info.CRC) + info.filename.encode(), digest)

        member("data.pkl", pickled)
        if byteorder:
            member("byteorder", sys.byteorder.encode())
        for key, storage in enumerate(storages):
            member(f"data/{key}", storage.reshape(-1).view(np.uint8).data)
        member("version", FORMAT_VERSION)
        member(".data/serialization_id", f"{digest:040d}".encode())


def _padding(header_end: int) -> bytes:
    """An extra field that moves the data after a header to the next multiple of the alignment."""
    room = -header_end % ALIGNMENT
    if room == 0:
        return b""
    if room < 4:  # the field's own id and length take 4 bytes
        room += ALIGNMENT
    return struct.pack("<2sH", b"FB", room - 4) + b"Z" * (room - 4)


class _Sink:
    """The user's file as zipfile sees it: something to write to, in order, from position 0."""

    def __init__(self, file: BinaryIO) -> None:
        self._write = file.write
        self.written = 0

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data)
        at = 0
        while at < len(view):
            count = self._write(view[at:] if at else data)
            at += len(view) if count is None else count  # raw files may take less than they are given
        self.written += len(view)
        return len(view)

    def flush(self) -> None:
        """zipfile asks for it; the owner of the file flushes."""
