"""How files look and appear: members, byte order, atomic replacement, arguments, map_location."""

from __future__ import annotations

import io
import os
import pickle
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mytorch import dtypes, nn
from mytorch.device import device
from mytorch.serialization import get_unsafe_globals_in_checkpoint, load, save
from mytorch.tensor import Tensor, _wrap
from tests.serialization.files import DATA, NUMBERS, same_memory, sample, through_file, written

# ---- the archive ---------------------------------------------------------------------------------------------------------------


def test_members_are_torchs_stored_and_aligned() -> None:
    raw = written([_wrap(NUMBERS), _wrap(np.ones(1))])
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        infos = archive.infolist()
        assert archive.testzip() is None
        assert archive.read("archive/byteorder").decode() == sys.byteorder
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/data/0") == NUMBERS.tobytes()
    members = ("data.pkl", "byteorder", "data/0", "data/1", "version", ".data/serialization_id")
    assert [info.filename for info in infos] == [f"archive/{name}" for name in members]
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    for info in infos:
        name_length, extra_length = np.frombuffer(raw, "<u2", 2, info.header_offset + 26)
        assert (info.header_offset + 30 + int(name_length) + int(extra_length)) % 64 == 0


def test_a_file_object_needs_only_write_and_may_stand_past_zero(tmp_path: Path) -> None:
    class Slow:
        """Takes 100 bytes at a time, as a raw file may."""

        def __init__(self) -> None:
            self.taken = b""

        def write(self, data: Any) -> int:
            self.taken += bytes(data[:100])
            return min(len(data), 100)

    slow = Slow()
    save({"w": _wrap(NUMBERS)}, slow)
    assert slow.taken == written({"w": _wrap(NUMBERS)})
    buffer = io.BytesIO()
    buffer.write(b"header")
    save({"w": _wrap(NUMBERS)}, buffer)
    buffer.seek(6)
    assert np.array_equal(load(buffer)["w"]._array, NUMBERS)


def test_objects_of_the_old_format_can_follow_each_other_in_one_stream() -> None:
    buffer = io.BytesIO()
    for number in (1, 2):
        save({"n": number, "w": _wrap(NUMBERS * number)}, buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    for number in (1, 2):
        back = load(buffer)
        assert back["n"] == number
        assert np.array_equal(back["w"]._array, NUMBERS * number)


def test_the_old_format_keeps_sharing_and_all_its_dtypes() -> None:
    base = NUMBERS.copy()
    a, b = through_file([_wrap(base), _wrap(base.T)], _use_new_zipfile_serialization=False)
    assert same_memory(a, b)
    for dtype in dtypes.ALL:
        tensor = _wrap(sample(dtype))
        if dtype in (dtypes.uint16, dtypes.uint32, dtypes.uint64):
            with pytest.raises(NotImplementedError, match=f"no {dtype}"):
                through_file(tensor, _use_new_zipfile_serialization=False)
        else:
            assert through_file(tensor, _use_new_zipfile_serialization=False)._array.tobytes() == sample(dtype).tobytes()


def test_a_mapped_file_gives_private_writable_tensors(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    save({"w": _wrap(NUMBERS), "empty": _wrap(np.empty(0)), "b": _wrap(np.array([True]))}, path)
    before = path.read_bytes()
    back = load(path, mmap=True)
    assert np.array_equal(back["w"]._array, NUMBERS)
    back["w"]._array[...] = 0
    assert path.read_bytes() == before
    assert back["empty"].shape == (0,)
    assert load(path)["w"]._array.sum() == NUMBERS.sum()


def test_a_mapped_file_can_be_replaced_while_its_tensors_live(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    save({"w": _wrap(np.arange(100_000.0))}, path)
    back = load(path, mmap=True)
    save(back, path)
    save({"w": _wrap(np.zeros(1))}, path)
    assert back["w"]._array.sum() == np.arange(100_000.0).sum()


def test_loading_holds_the_data_once(tmp_path: Path) -> None:
    save({"w": _wrap(np.zeros(1 << 20, np.float32))}, tmp_path / "w.pt")
    tracemalloc.start()
    back = load(tmp_path / "w.pt")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert back["w"]._array.nbytes <= peak < 1.2 * back["w"]._array.nbytes


def test_storages_of_the_other_byte_order_are_swapped() -> None:
    other = {"little": "big", "big": "little"}[sys.byteorder]
    for dtype in dtypes.ALL:
        raw = written(_wrap(sample(dtype)))
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        unit = {dtypes.complex64: 4, dtypes.complex128: 8}.get(dtype, dtype.itemsize)
        parts["archive/data/0"] = np.frombuffer(parts["archive/data/0"], f"u{unit}").byteswap().tobytes()
        parts["archive/byteorder"] = other.encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        buffer.seek(0)
        assert load(buffer)._array.tobytes() == sample(dtype).tobytes()


def test_bool_bytes_other_than_0_and_1_become_1() -> None:
    array = np.array([0, 1, 2, 255], np.uint8).view(np.bool_)
    assert through_file(_wrap(array))._array.view(np.uint8).tolist() == [0, 1, 1, 1]


# ---- files appear whole ------------------------------------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "w.pt"
    save({"n": 1}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save({"w": _wrap(np.zeros(100_000))}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(pickle.PicklingError):
        save({"f": print}, path)
    assert load(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]


def test_a_process_killed_while_it_saves_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    save({"n": 1}, path)
    program = ("import os, signal, sys; from mytorch.serialization import save\n"
               "os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
               "save({'n': 2}, sys.argv[1])")
    root = str(Path(__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", program, str(path)], env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == -9
    assert load(path) == {"n": 1}


def test_mode_bits_and_links_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    umask = os.umask(0o027)
    try:
        save(1, real)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    real.chmod(0o604)
    link.symlink_to(real)
    save(2, link)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o604
    assert load(real) == 2


def test_save_writes_to_what_is_not_a_regular_file() -> None:
    save({"n": 1}, os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Parent directory .*nowhere does not exist"):
        save(1, tmp_path / "nowhere" / "w.pt")


# ---- arguments ---------------------------------------------------------------------------------------------------------------


class Subclass(Tensor):
    pass


@pytest.mark.parametrize(("value", "error", "message"), [
    (nn.Sequential(), NotImplementedError, r"whole .*Sequential.* save its state_dict\(\)"),
    (print, pickle.PicklingError, "builtin_function_or_method"),
    (np.float64(1.5), pickle.PicklingError, r"value.item\(\)"), (np.ones(2), pickle.PicklingError, r"from_numpy"),
    (int, pickle.PicklingError, "builtins.type"), ({frozenset(): 1}, pickle.PicklingError, "key .* not frozenset"),
    (defaultdict(lambda: 1), pickle.PicklingError, "default_factory"), (1 << 3000, pickle.PicklingError, "376 bytes"),
    (slice(1), pickle.PicklingError, "builtins.slice"), ({(1, print): 1}, pickle.PicklingError, "plain value"),
], ids=["module", "function", "numpy scalar", "numpy array", "class", "key", "factory", "int", "slice", "key part"])
def test_what_a_file_cannot_hold_is_refused_with_a_way_out(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        written({"v": value})


def test_subclasses_of_tensor_are_refused() -> None:
    tensor = _wrap(NUMBERS.copy())
    odd = Subclass.__new__(Subclass)
    for slot in ("_array",):
        setattr(odd, slot, tensor._array)
    with pytest.raises(NotImplementedError, match="subclass Subclass"):
        written(odd)


def test_too_deep_nesting_is_refused_when_saving() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(pickle.PicklingError, match="too deeply"):
        written(deep)


def test_save_checks_its_arguments() -> None:
    with pytest.raises(AttributeError, match="'write' attribute, got int"):
        save(1, 3)
    with pytest.raises(ValueError, match="protocol must be 2, 3, 4 or 5, got 9"):
        save(1, io.BytesIO(), pickle_protocol=9)
    with pytest.raises(NotImplementedError, match="pickle_module='json'"):
        save(1, io.BytesIO(), pickle_module=pytest.importorskip("json"))
    assert written(1, pickle_module=pickle, pickle_protocol=4) == written(1)


def test_load_checks_its_arguments(tmp_path: Path) -> None:
    buffer = io.BytesIO(written(1))
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        load(buffer, pickle_module=pickle)
    assert load(buffer, pickle_module=pickle, weights_only=False) == 1
    with pytest.raises(NotImplementedError, match="no other module reads"):
        load(buffer, pickle_module=io, weights_only=False)
    with pytest.raises(NotImplementedError, match="encoding='utf-16'"):
        load(buffer, encoding="utf-16")
    with pytest.raises(NotImplementedError, match="fix_imports"):
        load(buffer, fix_imports=False)
    with pytest.raises(ValueError, match="must be a file path"):
        load(buffer, mmap=True)
    with pytest.raises(AttributeError, match="'int' object has no attribute 'read'"):
        load(3)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt")
    save(1, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="mmap can only be used"):
        load(tmp_path / "old.pt", mmap=True)
    with pytest.raises(TypeError, match="map_location must be"):
        load(buffer, map_location=3)


def from_cuda() -> io.BytesIO:
    """A file whose storage was on a GPU: 'cpu' in the pickle becomes 'cuda:0'."""
    with zipfile.ZipFile(io.BytesIO(written({"w": _wrap(NUMBERS)}))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["archive/data.pkl"] = parts["archive/data.pkl"].replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("map_location", ["cpu", "cpu:0", device("cpu"), {"cuda:0": "cpu"}, {"cuda:0": device("cpu")},
                                          lambda s, place: s, lambda s, place: s.cpu() if place == "cuda:0" else None], ids=str)
def test_map_location_brings_a_file_from_the_gpu_to_the_cpu(map_location: Any) -> None:
    assert np.array_equal(load(from_cuda(), map_location=map_location)["w"]._array, NUMBERS)


@pytest.mark.parametrize("map_location", [None, "cuda", device("cuda", 0), {"cpu": "cuda"}, {}, lambda s, place: None,
                                          lambda s, place: s.cuda()], ids=str)
def test_a_file_from_the_gpu_needs_map_location(map_location: Any) -> None:
    with pytest.raises(RuntimeError, match="CUDA"):
        load(from_cuda(), map_location=map_location)


def test_other_places_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"don't know how to restore data location .*tagged with 'moon'"):
        load(from_cuda(), map_location="moon")
    with pytest.raises(NotImplementedError, match="meta"):
        load(from_cuda(), map_location="meta")
    with pytest.raises(TypeError, match="must return a storage or None, got int"):
        load(from_cuda(), map_location=lambda storage, place: 5)


def test_unsafe_globals_are_listed_without_running_anything() -> None:
    assert get_unsafe_globals_in_checkpoint(DATA / "torch_training.pt") == []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([print, Counter, os.system], protocol=2))
    buffer.seek(0)
    assert get_unsafe_globals_in_checkpoint(buffer) == ["__builtin__.print", f"{os.name if os.name == 'nt' else 'posix'}.system"]
    with pytest.raises(ValueError, match=r"checkpoint returned by torch\.save"):
        get_unsafe_globals_in_checkpoint(io.BytesIO(b"text"))
