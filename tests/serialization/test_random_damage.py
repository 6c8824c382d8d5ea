"""Random damage to files, to pickles in sound archives, and random programs: load never raises an undocumented error."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections import OrderedDict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mytorch import dtypes
from mytorch.serialization import archive, load, opcodes, save
from mytorch.serialization.rebuild import allowed_globals
from mytorch.tensor import Tensor, _wrap
from tests.serialization.files import DOCUMENTED, NUMBERS, call, integer, items, name, packed, peak_memory, run, storage, tensor, text


def valid_files() -> list[bytes]:
    base = NUMBERS.copy()
    obj = {"views": [_wrap(base), _wrap(base.T), _wrap(base[1])], "u": _wrap(np.array([1], np.uint16)),
           "flags": _wrap(np.array([True, False])),
           "od": OrderedDict(a=1), "b": b"xx", "set": {1, 2}, "c": 1j, "dtype": dtypes.float32, "s": "text",
           "n": [None, 1.5, -3, 2**70]}
    obj["od"]._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    new, old = io.BytesIO(), io.BytesIO()
    save(obj, new)
    save({key: value for key, value in obj.items() if key != "u"}, old, _use_new_zipfile_serialization=False)
    return [new.getvalue(), old.getvalue()]


VALID = valid_files()
with zipfile.ZipFile(io.BytesIO(VALID[0])) as _made:
    VALID_PICKLE = _made.read("archive/data.pkl")
    VALID_STORAGES = tuple(np.frombuffer(_made.read(f"archive/data/{i}"), np.uint8) for i in range(3))
PLACES = st.floats(0, 1, exclude_max=True)
KINDS = st.sampled_from(["set", "cut", "delete", "insert", "copy"])
DAMAGE = st.lists(st.tuples(KINDS, PLACES, PLACES, st.integers(0, 255)), min_size=1, max_size=6)
FRAGMENTS = st.sampled_from([bytes([code]) for code in opcodes.STEPS] + [name(".".join(path)) for path in allowed_globals()] + [
    b"K\x00", b"K\x01", b"K\x0c", b"h\x00", b"q\x00", b"h\x01", b"q\x01", text("0"), text("cpu"), text("storage"), text("latin1"),
    storage(), tensor(),
    b"\x85R", b"\x86R", b")R", b"tR", items(integer(3)), call("collections.OrderedDict")])


def damage(data: bytes, steps: list[tuple[str, float, float, int]]) -> bytes:
    for kind, where, other, value in steps:
        at, end = sorted((int(where * len(data)), int(other * len(data))))
        if kind == "set" and data:
            data = data[:at] + bytes([value]) + data[at + 1:]
        elif kind == "cut":
            data = data[:end]
        elif kind == "delete":
            data = data[:at] + data[at + 1 + value % 8:]
        elif kind == "insert":
            data = data[:at] + bytes([value]) + data[at:]
        else:
            data = data[:at] + data[at:end][:40] + data[at:]
    return data


def survives(data: bytes) -> None:
    """Loading ends with a value or a documented error; any other exception fails the test."""
    with contextlib.suppress(*DOCUMENTED):
        load(io.BytesIO(data))


@settings(max_examples=400)
@given(st.sampled_from(VALID), DAMAGE)
def test_damaged_files_raise_documented_errors_only(data: bytes, steps: list[tuple[str, float, float, int]]) -> None:
    survives(damage(data, steps))


@settings(max_examples=400)
@given(DAMAGE)
def test_damaged_pickles_in_sound_archives_raise_documented_errors_only(steps: list[tuple[str, float, float, int]]) -> None:
    buffer = io.BytesIO()
    archive.write_archive(buffer, damage(VALID_PICKLE, steps), VALID_STORAGES)
    survives(buffer.getvalue())


@settings(max_examples=400)
@given(st.lists(FRAGMENTS, max_size=40).map(b"".join))
def test_random_programs_raise_documented_errors_only(program: bytes) -> None:
    survives(packed(program))


@settings(max_examples=60)
@given(st.sampled_from(VALID), DAMAGE)
def test_damaged_files_never_make_load_allocate_much(data: bytes, steps: list[tuple[str, float, float, int]]) -> None:
    assert peak_memory(damage(data, steps)) < 400_000 + 100 * len(data)


def test_the_undamaged_files_of_these_tests_load() -> None:
    for data in VALID:
        assert type(load(io.BytesIO(data))["views"][0]) is Tensor
    assert run(VALID_PICKLE.removeprefix(b"\x80\x02").removesuffix(b"."), *VALID_STORAGES)["s"] == "text"
