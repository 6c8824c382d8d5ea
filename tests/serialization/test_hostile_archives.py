"""What a hostile or damaged archive, or a file of the old format, can do to load: raise a documented error, and nothing else."""

from __future__ import annotations

import io
import struct
import zipfile
from pickle import UnpicklingError

import numpy as np
import pytest

from mytorch.serialization import archive, load, save
from mytorch.tensor import _wrap
from tests.serialization.files import DOCUMENTED, NUMBERS, PKL, integer, items, name, packed, peak_memory, storage, tensor, text, zipped


def damaged(data: bytes, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        load(io.BytesIO(data))


def test_a_compressed_archive_of_honest_ratio_loads() -> None:
    rng = np.random.default_rng(0).integers(0, 4, 1000).astype(np.float32)
    with zipfile.ZipFile(io.BytesIO(packed(tensor(size=(1000,), stride=(1,), of=storage(numel=1000)), (rng,)))) as made:
        parts = [(path, made.read(path)) for path in made.namelist()]
    again = load(io.BytesIO(zipped(("archive/", b""), *parts, compression=zipfile.ZIP_DEFLATED)))
    assert np.array_equal(again._array, rng)
    assert again._array.flags.writeable


def test_zip_bombs_are_refused_before_they_unpack() -> None:
    data = zipped(("a/data.pkl", PKL), ("a/data/0", b"\0" * 50_000_000), compression=zipfile.ZIP_DEFLATED)
    assert peak_memory(data) < 1_000_000
    damaged(data, "beyond a ratio of 100")


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "a/./../x", "a\\..\\x", "a//x", "b/x", "x", "a/\0x"])
def test_names_that_leave_the_folder_are_refused(path: str) -> None:
    placeholder = "~" * len(path)  # zipfile would clean some of these names itself
    data = zipped(("a/data.pkl", PKL), (placeholder, b"")).replace(placeholder.encode(), path.encode())
    damaged(data, "unsafe name|not in the folder")


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("a/data.pkl", PKL), ("a/data.pkl", b"\x80\x02}."))
    damaged(data, "two members have the same name")


def test_links_and_encrypted_members_are_refused() -> None:
    buffer = io.BytesIO()
    info = zipfile.ZipInfo("a/data.pkl")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(info, PKL)
    damaged(buffer.getvalue(), "is a link")
    data = bytearray(zipped(("a/data.pkl", PKL)))
    data[6] |= 1
    damaged(bytes(data), "encrypted")
    damaged(zipped(("a/data.pkl", PKL), compression=zipfile.ZIP_BZIP2), "compressed in a way that torch never uses")


def test_members_that_overlap_are_refused() -> None:
    data = bytearray(zipped(("a/data.pkl", PKL), ("a/data/0", PKL)))
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        directory = made.start_dir
    second = data.index(b"PK\x01\x02", directory + 4)
    data[second + 42:second + 46] = struct.pack("<I", 0)  # both entries of the directory now lead to the first member
    damaged(bytes(data), "overlaps another|has another name")


def test_every_flipped_bit_of_the_data_is_noticed() -> None:
    data = packed(tensor())
    start = data.index(NUMBERS.tobytes())
    for at in range(start, start + NUMBERS.nbytes):
        damaged(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:], "checksum of member 'data/0' differs")


def test_sizes_that_disagree_are_refused() -> None:
    data = packed(tensor())
    directory = data.index(b"PK\x01\x02")
    entry = data.index(b"archive/data/0", directory) - 46
    for field in (20, 24):
        forged = bytearray(data)
        forged[entry + field:entry + field + 4] = struct.pack("<I", 0x7FFFFFFF)
        damaged(bytes(forged), "bytes and claims|overlaps|reaches into the directory")
        assert peak_memory(bytes(forged)) < 300_000


def test_a_directory_that_disagrees_with_the_members_is_refused() -> None:
    data = packed(tensor())
    directory = data.index(b"PK\x01\x02")
    last = bytearray(data)
    entry = data.rindex(b"PK\x01\x02")
    for field in (20, 24):
        last[entry + field:entry + field + 4] = struct.pack("<I", 140)
    damaged(bytes(last), "reaches into the directory")
    damaged(data[:directory].replace(b"archive/data/0", b"archive/data/1") + data[directory:], "has another name in its own header")
    damaged(data[:directory][:4] + data[4:directory].replace(b"PK\x03\x04", b"PK\x03\x05") + data[directory:], "has no header")
    damaged(b"PK\x03\x04" + zipped(), "it has no members")


def test_a_compressed_member_that_does_not_unpack_is_refused() -> None:
    data = zipped(("a/data.pkl", PKL * 20), compression=zipfile.ZIP_DEFLATED)
    damaged(data.replace(data[40:44], b"\xff\xff\xff\xff"), "cannot be unpacked")


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    class Plain:
        """Has read and nothing else, a few bytes at a time."""

        def __init__(self, data: bytes) -> None:
            self.file = io.BytesIO(data)

        def read(self, count: int) -> bytes:
            return self.file.read(min(count, 3))

    for make in (io.BytesIO, Plain):
        buffer = bytearray(8)
        archive.read_into(make(b"12345678"), memoryview(buffer))
        assert buffer == b"12345678"
        with pytest.raises(RuntimeError, match="ends 1 bytes too early"):
            archive.read_into(make(b"1234567"), memoryview(buffer))


def test_every_truncation_is_an_error() -> None:
    buffer = io.BytesIO()
    save({"w": _wrap(NUMBERS)}, buffer)
    for length in range(len(buffer.getvalue())):
        with pytest.raises(DOCUMENTED):
            load(io.BytesIO(buffer.getvalue()[:length]))
    buffer = io.BytesIO()
    save({"w": _wrap(NUMBERS)}, buffer, _use_new_zipfile_serialization=False)
    for length in range(len(buffer.getvalue())):
        with pytest.raises(DOCUMENTED):
            load(io.BytesIO(buffer.getvalue()[:length]))


@pytest.mark.parametrize(("data", "error", "message"), [
    (b"", EOFError, "the file is empty"), (b"hello world", UnpicklingError, "Invalid magic number"),
    (PKL, RuntimeError, "plain pickles are not read"),
    (b"PK\x03\x04", RuntimeError, "central directory"), (zipped(("a/other", b"")), RuntimeError, "a/data.pkl is missing"),
    (zipped(("a/data.pkl", PKL), ("a/constants.pkl", b"")), NotImplementedError, "TorchScript"),
    (zipped(("a/data.pkl", PKL), ("a/byteorder", b"middle")), RuntimeError, "endianness"),
    (b"x" + zipped(("a/data.pkl", PKL)), UnpicklingError, "Invalid magic number"), (zipped(), UnpicklingError, "Invalid magic number"),
])
def test_what_is_not_a_torch_file_is_named(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(io.BytesIO(data))


# ---- the old format ----------------------------------------------------------------------------------------------------------


def old_format(program: bytes, keys: bytes = b"](" + text("0") + b"e",
               data: bytes = struct.pack("<q", 12) + NUMBERS.tobytes()) -> bytes:
    pickles = (b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", b"M\xe9\x03", b"}", program, keys)
    return b"".join(b"\x80\x02" + one + b"." for one in pickles) + data


def old_storage(numel: int = 12, view: bytes = b"N", kind: str = "torch.FloatStorage") -> bytes:
    return items(text("storage"), name(kind), text("0"), text("cpu"), integer(numel), view) + b"Q"


def test_old_storages_with_views_load() -> None:
    assert np.array_equal(load(io.BytesIO(old_format(tensor(of=old_storage()))))._array, NUMBERS)
    part = old_storage(view=items(text("1"), integer(4), integer(4)))
    whole, row = load(io.BytesIO(old_format(items(tensor(of=old_storage()), tensor(size=(4,), stride=(1,), of=part)))))
    assert row._array.tolist() == [4, 5, 6, 7]
    assert np.shares_memory(whole._array, row._array)


@pytest.mark.parametrize(("data", "message"), [
    (old_format(tensor(of=old_storage(2**40))), "larger than the file"),
    (old_format(tensor(of=old_storage(13)), data=struct.pack("<q", 12) + b"\0" * 99), "12 elements, its description says 13"),
    (old_format(tensor(of=old_storage()), keys=b"]"), "differs from the storages"),
    (old_format(tensor(of=old_storage()), keys=b"](" + text("9") + b"e"), "differs"),
    (old_format(tensor(of=old_storage()), keys=b"}"), "differs"),
    (old_format(tensor(of=old_storage()), data=b""), "bytes before the end of a storage"),
    (old_format(tensor(of=old_storage()), keys=b"](" + text("0") * 2 + b"e"), "differs"),
    (old_format(tensor(of=old_storage(view=items(text("1"), integer(8), integer(5))))), "reaches past its end"),
    (old_format(tensor(of=old_storage(view=b"K\x01"))), "a view of a storage must be"),
    (old_format(tensor()), "tuple of 6 parts"),
    (old_format(items(tensor(of=old_storage()), tensor(of=old_storage(kind="torch.IntStorage")))), "described in two ways"),
    (old_format(old_storage(48, kind="torch.storage.UntypedStorage")), "an untyped storage in a file of the old format"),
    (old_format(name("os.system")), "Unsupported global: os.system"),
    (old_format(b"]").replace(b"M\xe9\x03", b"M\xea\x03"), "Invalid protocol version"),
])
def test_the_old_format_is_checked(data: bytes, message: str) -> None:
    with pytest.raises(DOCUMENTED, match=message):
        load(io.BytesIO(data))
    assert peak_memory(data) < 300_000
