"""save and load: what comes back, what is shared, how files appear, which files torch wrote still load."""

from __future__ import annotations

import io
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mytorch import dtypes
from mytorch.device import device
from mytorch.nn.parameter import Parameter
from mytorch.serialization import get_unsafe_globals_in_checkpoint, load, save
from mytorch.size import Size
from mytorch.tensor import Tensor, _wrap

DATA = Path(__file__).parent / "data"
NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


def through_file(obj: object, **options: Any) -> Any:
    buffer = io.BytesIO()
    save(obj, buffer, **options)
    buffer.seek(0)
    return load(buffer)


def written(obj: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    save(obj, buffer, **options)
    return buffer.getvalue()


def sample(dtype: dtypes.dtype) -> np.ndarray[Any, Any]:
    return dtypes.cast(np.array([0, 1, 1], np.float32), dtype.np)


def same_memory(a: Tensor, b: Tensor) -> bool:
    return np.shares_memory(a._array, b._array)


PLAIN = [None, True, False, 0, 1, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**100, -(2**100), 1.5, float("inf"), -0.0, 1 - 2j,
         "", "é\n\ud800", b"", b"\x00\xff", bytearray(b"xy"), (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1, [2]], {}, {"a": {1: 2}},
         OrderedDict(b=1, a=2), Counter("aab"), defaultdict(list, {1: [2]}), defaultdict(None, {1: 2}), set(), {1, 2}, frozenset({"a"}),
         {(1, ("a", None)): 1.5, 2.5: True, b"k": 0}, Size((2, 3)), Size(()), device("cpu"), device("cuda", 1), dtypes.bfloat16, dtypes.bool_]


# ---- values ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_come_back_equal_and_of_the_same_type(value: Any, legacy: bool) -> None:
    back = through_file(value, _use_new_zipfile_serialization=not legacy)
    assert type(back) is type(value)
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_tensors_of_every_dtype_come_back_bit_for_bit(dtype: dtypes.dtype) -> None:
    array = sample(dtype)
    back = through_file(_wrap(array))
    assert type(back) is Tensor
    assert back.dtype is dtype
    assert back._array.tobytes() == array.tobytes()
    assert back._array.flags.writeable


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,), (1, 1), (2, 3, 4)], ids=str)
def test_shapes_come_back(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    back = through_file(_wrap(array))
    assert back.shape == Size(shape)
    assert np.array_equal(back._array, array)


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[1], lambda a: a[:, 2], lambda a: a[::2, 1::2], lambda a: a[1:1], lambda a: a[2, 3, ...],
                                  lambda a: np.broadcast_to(a, (2, 3, 4)), lambda a: a[::-1], lambda a: a[:, None, 1:2],
                                  lambda a: np.asfortranarray(a), lambda a: np.lib.stride_tricks.as_strided(a, (2, 2), (8, 4))])
def test_any_layout_comes_back(view: Any) -> None:
    array = view(NUMBERS.copy())
    assert np.array_equal(through_file(_wrap(array))._array, array)


def test_requires_grad_and_parameters_come_back() -> None:
    leaf = _wrap(NUMBERS.copy())
    leaf.requires_grad = True
    back = through_file({"leaf": leaf, "p": Parameter(_wrap(NUMBERS.copy())), "frozen": Parameter(_wrap(NUMBERS.copy()), False)})
    assert (back["leaf"].requires_grad, back["p"].requires_grad, back["frozen"].requires_grad) == (True, True, False)
    assert [type(back[k]) for k in back] == [Tensor, Parameter, Parameter]
    assert np.array_equal(back["p"]._array, NUMBERS)


def test_attributes_of_tensors_come_back() -> None:
    tensor, parameter = _wrap(NUMBERS.copy()), Parameter(_wrap(NUMBERS.copy()))
    tensor.note, parameter.tags = "a", ["b"]
    back = through_file([tensor, parameter])
    assert (back[0].note, back[1].tags) == ("a", ["b"])
    assert [type(t) for t in back] == [Tensor, Parameter]


def test_metadata_of_a_state_dict_comes_back() -> None:
    state = OrderedDict(weight=_wrap(NUMBERS.copy()))
    state._metadata = OrderedDict({"": {"version": 2}})  # type: ignore[attr-defined]
    assert through_file(state)._metadata == {"": {"version": 2}}


# ---- sharing -----------------------------------------------------------------------------------------------------------------


def test_views_of_one_storage_share_memory_again() -> None:
    base = NUMBERS.copy()
    a, b, c, alone = through_file([_wrap(base), _wrap(base.T), _wrap(base[1]), _wrap(NUMBERS.copy())])
    a._array[1, 2] = 99
    assert b._array[2, 1] == 99
    assert c._array[2] == 99
    assert not same_memory(a, alone)


def test_a_view_takes_its_whole_storage_along_once() -> None:
    base = np.zeros(1000, np.float32)
    one, many = len(written(_wrap(base[:2]))), len(written([_wrap(base[i:i + 2]) for i in range(10)]))
    assert one > 4000
    assert many < one + 2500


def test_memory_shared_through_as_strided_is_shared_again() -> None:
    base = NUMBERS.copy()
    a, b = through_file([_wrap(base), _wrap(np.lib.stride_tricks.as_strided(base, (2, 2), (16, 4)))])
    assert same_memory(a, b)


def test_one_object_saved_twice_is_one_object_again() -> None:
    tensor, items, text = _wrap(NUMBERS.copy()), [1], b"bytes"
    back = through_file([tensor, tensor, items, items, (items,), text, text])
    assert back[0] is back[1]
    assert back[2] is back[3] is back[4][0]
    assert back[5] is back[6]


def test_cycles_come_back_as_cycles() -> None:
    items: list[Any] = []
    items += [items, (items,), {"self": items}]
    back = through_file(items)
    assert back[0] is back[1][0] is back[2]["self"] is back
    pair: Any = ([],)
    pair[0].append(pair)
    back = through_file(pair)
    assert back[0][0] is back


def test_two_dtypes_over_one_memory_are_refused() -> None:
    with pytest.raises(RuntimeError, match="view the same data as different types: torch.float32 and torch.int32"):
        written([_wrap(NUMBERS), _wrap(NUMBERS.view(np.int32))])


def test_equal_objects_give_equal_files(tmp_path: Path) -> None:
    def build() -> Any:
        return {"w": _wrap(NUMBERS.copy()), "tags": {"x", "y", "z", "a"}, "".join(["k", "ey"]): 1, "v": "key"}

    save(build(), tmp_path / "one.pt")
    save(build(), tmp_path / "two.pth")
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pth").read_bytes() == written(build())
    assert written(through_file(build())) == written(build())


# ---- the archive ---------------------------------------------------------------------------------------------------------------


def test_members_are_torchs_stored_and_aligned() -> None:
    raw = written([_wrap(NUMBERS), _wrap(np.ones(1))])
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        infos = archive.infolist()
        assert archive.testzip() is None
        assert archive.read("archive/byteorder").decode() == sys.byteorder
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/data/0") == NUMBERS.tobytes()
    assert [info.filename for info in infos] == [f"archive/{name}" for name in
                                                 ("data.pkl", "byteorder", "data/0", "data/1", "version", ".data/serialization_id")]
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


# ---- files appear whole ------------------------------------------------------------------------------------------------------------


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


# ---- arguments ---------------------------------------------------------------------------------------------------------------------


class Network:
    def state_dict(self) -> dict[str, int]:
        return {}


class Subclass(Tensor):
    pass


@pytest.mark.parametrize(("value", "error", "message"), [
    (Network(), NotImplementedError, r"whole .*Network.* save its state_dict\(\)"), (print, pickle.PicklingError, "builtin_function_or_method"),
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
    with pytest.raises(NotImplementedError, match="another module"):
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


@pytest.mark.parametrize("map_location", ["cpu", "cpu:0", device("cpu"), {"cuda:0": "cpu"}, {"cuda:0": device("cpu")}, lambda s, place: s,
                                          lambda s, place: s.cpu() if place == "cuda:0" else None], ids=str)
def test_map_location_brings_a_file_from_the_gpu_to_the_cpu(map_location: Any) -> None:
    assert np.array_equal(load(from_cuda(), map_location=map_location)["w"]._array, NUMBERS)


@pytest.mark.parametrize("map_location", [None, "cuda", device("cuda", 0), {"cpu": "cuda"}, {}, lambda s, place: None, lambda s, place: s.cuda()], ids=str)
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
    with pytest.raises(ValueError, match="checkpoint returned by torch.save"):
        get_unsafe_globals_in_checkpoint(io.BytesIO(b"text"))


# ---- files that torch wrote --------------------------------------------------------------------------------------------------------


def check_views(found: dict[str, Any]) -> None:
    arrays = {name: value._array for name, value in found.items() if isinstance(value, Tensor)}
    assert np.array_equal(arrays["base"], NUMBERS)
    assert np.array_equal(arrays["transposed"], NUMBERS.T)
    assert arrays["column"].tolist() == [2, 6, 10]
    assert arrays["steps"].tolist() == [[1, 3], [9, 11]]
    assert arrays["expanded"].tolist() == [7] * 5
    assert arrays["scalar"].shape == ()
    assert arrays["empty"].shape == (0, 3)
    assert found["again"] is found["base"]
    arrays["base"][...] = -1
    assert all((arrays[name] == -1).all() for name in ("transposed", "row", "column", "steps"))


def check_training(found: dict[str, Any]) -> None:
    state = found["optimizer"]["state"][0]
    assert found["optimizer"]["param_groups"][0]["lr"] == 0.5
    assert state["step"]._array == 1
    assert np.allclose(state["exp_avg"]._array, 0.1)
    assert type(found["weight"]) is Parameter
    assert found["weight"].requires_grad
    assert np.allclose(found["weight"]._array, NUMBERS - 0.5)
    assert found["rng"]._array.tolist() == list(range(16))
    plain = {"epoch": 7, "loss": 0.25, "name": "run é", "best": None, "done": True, "classes": ["a", "b"], "shape": Size((3, 4)),
             "device": device("cpu"), "dtype": dtypes.bfloat16, "raw": b"\x00\xff", "big": 2**100, "members": {1, 2}, "pair": (1, (2, 3, 4, 5))}
    assert {name: found[name] for name in plain} == plain


def test_torchs_views_load_with_their_sharing() -> None:
    found = load(DATA / "torch_views.pt")
    assert found["conj"]._array.tolist() == [1 - 2j, 3 + 4j]
    check_views(found)


def test_torchs_training_state_loads() -> None:
    check_training(load(DATA / "torch_training.pt"))


def test_torchs_old_format_loads() -> None:
    found = load(DATA / "torch_legacy.pt")
    check_training(found)
    check_views(found)


def test_torchs_state_dict_loads_with_metadata() -> None:
    state = load(DATA / "torch_state_dict.pt")
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert np.array_equal(state["0.weight"]._array, NUMBERS)
    assert not state["0.weight"].requires_grad
    assert state["1.num_batches_tracked"].dtype is dtypes.int64
    assert state._metadata["1"] == {"version": 2}


def test_torchs_dtypes_load() -> None:
    found = load(DATA / "torch_dtypes.pt")
    assert set(found) == {dtype.name for dtype in dtypes.ALL}
    for dtype in dtypes.ALL:
        assert found[dtype.name].dtype is dtype
        assert found[dtype.name]._array.tobytes() == sample(dtype).tobytes()


def test_a_mapped_file_of_torch_loads() -> None:
    check_views(load(DATA / "torch_views.pt", mmap=True))
