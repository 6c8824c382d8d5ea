"""What a hostile or damaged file can do to load: raise a documented error, and nothing else.

The cases follow published attacks: CVE-2025-32434 and CVE-2026-24747 (torch), CVE-2022-45907 (eval of type strings),
CVE-2026-0897 (sizes claimed and not present), zip and pickle bombs, names that leave the archive.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mytorch import dtypes
from mytorch.serialization import archive, load, machine, save
from mytorch.serialization.rebuild import allowed_globals
from mytorch.tensor import Tensor, _wrap

DOCUMENTED = (UnpicklingError, RuntimeError, EOFError)
NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


# ---- pickles by hand -----------------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(path: str) -> bytes:
    module, _, attribute = path.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def items(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def call(path: str, *arguments: bytes) -> bytes:
    return name(path) + items(*arguments) + b"R"


def storage(kind: str = "torch.FloatStorage", key: str = "0", numel: int = 12, place: str = "cpu") -> bytes:
    return items(text("storage"), name(kind), text(key), text(place), integer(numel)) + b"Q"


def tensor(offset: int = 0, size: tuple[int, ...] = (3, 4), stride: tuple[int, ...] = (4, 1), hooks: bytes = call("collections.OrderedDict"),
           grad: bytes = b"\x89", extra: bytes = b"", of: bytes | None = None, function: str = "_rebuild_tensor_v2") -> bytes:
    return call(f"torch._utils.{function}", of or storage(), integer(offset), items(*map(integer, size)), items(*map(integer, stride)),
                grad, hooks, extra)


def packed(program: bytes, storages: tuple[np.ndarray[Any, Any], ...] = (NUMBERS,)) -> bytes:
    buffer = io.BytesIO()
    archive.write_archive(buffer, b"\x80\x02" + program + b".", storages)
    return buffer.getvalue()


def run(program: bytes, *storages: np.ndarray[Any, Any]) -> Any:
    return load(io.BytesIO(packed(program, storages or (NUMBERS,))))


def refused(program: bytes, message: str, *storages: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnpicklingError, match=message):
        run(program, *storages)


def peak_memory(data: bytes) -> int:
    """Bytes allocated at most while loading, whatever the outcome."""
    allowed_globals()
    tracemalloc.start()
    try:
        load(io.BytesIO(data))
    except DOCUMENTED:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def test_the_assembler_of_these_tests_makes_loadable_files() -> None:
    assert np.array_equal(run(tensor())._array, NUMBERS)
    assert run(call("collections.OrderedDict")) == OrderedDict()


# ---- code ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__",
    "builtins.open", "builtins.type", "builtins.object", "__builtin__.eval", "builtins.dict.fromkeys", "importlib.import_module", "pickle.loads",
    "torch.load", "torch.storage._load_from_bytes", "torch.hub.load", "torch.jit.load", "torch._utils._import_dotted_name", "torch.nn.Linear",
    "torch.nn.modules.linear.Linear", "torch.FloatTensor", "torch.serialization._get_layout", "collections.OrderedDict.__init__", "collections.deque",
    "torch._utils.eval", "torch.os.system", "numpy.load", "numpy.core.multiarray._reconstruct", "mytorch.load", "mytorch.serialization.load",
    "operator.attrgetter", "operator.itemgetter", "functools.partial", "types.FunctionType", "copyreg._reconstructor", "sys.exit", "", "a.b.c",
])
@pytest.mark.parametrize("how", ["GLOBAL", "STACK_GLOBAL"])
def test_globals_outside_the_table_are_refused_by_name(path: str, how: str) -> None:
    module, _, attribute = path.rpartition(".")
    program = name(path) if how == "GLOBAL" else text(module) + text(attribute) + b"\x93"
    refused(program + text("true") + b"\x85R", f"Unsupported global: .*{attribute}")


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_no_argument_makes_code_run(tmp_path: Path, weights_only: bool | None) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "attacked"),)

    for protocol in range(6):
        plain = pickle.dumps(Attack(), protocol=protocol)
        buffer = io.BytesIO()
        archive.write_archive(buffer, plain, ())
        for data in (buffer.getvalue(), plain, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + plain):
            with pytest.raises(DOCUMENTED):
                load(io.BytesIO(data), weights_only=weights_only)
    assert not (tmp_path / "attacked").exists()


def test_popen_by_reduce_with_data_arguments_is_refused() -> None:
    buffer = io.BytesIO()

    class Attack:
        def __reduce__(self) -> Any:
            return subprocess.Popen, (["true"],)

    archive.write_archive(buffer, pickle.dumps({"weights": [1, 2], "hook": Attack()}, 2), ())
    with pytest.raises(UnpicklingError, match=r"Popen is not among the types"):
        load(buffer_at_start(buffer))


def buffer_at_start(buffer: io.BytesIO) -> io.BytesIO:
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("opcode", [b"i", b"o", b"\x81", b"\x92", b"\x82", b"\x83", b"\x84", b"P", b"I", b"L", b"S", b"V", b"F", b"p", b"g", b"d", b"l", b"2",
                                    b"\x8b", b"\x97", b"\x98", b"\x00", b"\xff"], ids=repr)
def test_opcodes_that_make_instances_or_more_are_unknown(opcode: bytes) -> None:
    refused(name("collections.OrderedDict") + b")" + opcode, "unknown or does more than describe data .opcode 0x")


@pytest.mark.parametrize(("callee", "message"), [
    (b"K\x01", "not something to call: int"), (text("os.system"), "not something to call: str"), (b"]", "not something to call: list"),
    (name("torch.float32"), "not something to call: dtype"), (name("builtins.dict"), "not something to call: builtins.dict"),
    (name("torch.Tensor"), "not something to call: torch.Tensor"), (name("torch.FloatStorage"), "not something to call"),
    (name("torch.nn.parameter.Parameter"), "not something to call"), (tensor(), "not something to call: Tensor"),
    (storage(), "not something to call: Storage"),
])
def test_only_table_entries_can_be_called(callee: bytes, message: str) -> None:
    refused(callee + b")R", message)
    refused(name("collections.OrderedDict") + b"]R", "arguments must be a tuple, got list")


# ---- types per opcode --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"]", b")", b"K\x01", text("s"), tensor(), storage(), b"\x8f", name("collections.OrderedDict"), name("torch.float32"),
                                    call("torch.Size", b")"), call("torch.device", text("cpu"))])
def test_items_are_set_in_dicts_only(target: bytes) -> None:
    refused(target + b"K\x01K\x02s", "items can only be set in a dict")
    refused(target + b"(K\x01K\x02u", "items can only be set in a dict")


@pytest.mark.parametrize("target", [b"}", b")", b"K\x01", tensor(), b"\x8f", name("builtins.list"), call("collections.OrderedDict")])
def test_only_lists_are_appended_to(target: bytes) -> None:
    refused(target + b"K\x01a", "can only append to a list")
    refused(target + b"(K\x01e", "can only append to a list")
    if target != b"\x8f":
        refused(target + b"(K\x01\x90", "can only add to a set")


@pytest.mark.parametrize("target", [b"]", b"}", b"K\x01", text("s"), name("collections.OrderedDict"), name("torch.Tensor"), storage(), tensor(),
                                    call("torch.device", text("cpu")), name("torch._utils._rebuild_tensor_v2"), call("collections.Counter"),
                                    name("torch.float32")])
def test_state_is_given_to_ordered_dicts_only(target: bytes) -> None:
    refused(target + b"}" + text("x") + b"K\x01sb", "no state can be given")


@pytest.mark.parametrize("attribute", ["__class__", "__dict__", "items", "keys", "update", "__reduce__", "popitem"])
def test_state_cannot_hide_methods(attribute: str) -> None:
    refused(call("collections.OrderedDict") + b"}" + text(attribute) + b"K\x01sb", "attribute")
    with_state = call("torch._tensor._rebuild_from_type_v2", name("torch._utils._rebuild_tensor_v2"), name("torch.Tensor"),
                      tensor().removeprefix(name("torch._utils._rebuild_tensor_v2"))[:-1], b"}" + text("backward") + b"K\x01s")
    refused(with_state, "would hide its attribute 'backward'")
    refused(with_state.replace(text("backward"), text("_array")), "would hide its attribute '_array'")
    assert run(with_state.replace(text("backward"), text("mine"))).mine == 1


@pytest.mark.parametrize("state", [b"]", b"K\x01", text("s"), b"}K\x01K\x02s", b"NN\x86K\x01\x85\x86"])
def test_state_must_be_a_dict_of_names(state: bytes) -> None:
    refused(call("collections.OrderedDict") + state + b"b", "state of a OrderedDict")


@pytest.mark.parametrize("key", [b"]", b"}", b"\x8f", tensor(), storage(), b"(\x91", name("builtins.set"), b"]\x85"])
def test_keys_are_plain_values(key: bytes) -> None:
    refused(b"}" + key + b"K\x01s", "plain value")
    refused(b"\x8f(" + key + b"\x90", "plain value")
    refused(b"(" + key + b"\x91", "plain value")
    refused(name("builtins.set") + b"]" + key + b"a\x85R", "plain value")
    refused(name("collections.OrderedDict") + b"]" + key + b"K\x01\x86a\x85R", "plain value")


@pytest.mark.parametrize(("program", "message"), [
    (b"", "expected one object"), (b"K\x01K\x02", "expected one object"), (b"(K\x01", "open marks"), (b"0", "stack underflow"), (b"a", "stack underflow"),
    (b"R", "stack underflow"), (b"b", "stack underflow"), (b"Q", "stack underflow"), (b"\x87", "stack underflow"), (b"q\x00", "stack underflow"),
    (b"t", "no MARK"), (b"e", "no MARK"), (b"u", "no MARK"), (b"1", "no MARK"), (b"}(K\x01u", "odd number"), (b"h\x07", "nothing was stored under number 7"),
    (b"j\xff\xff\xff\xff", "nothing was stored"), (b"X\xff\xff\xff\xffab", "truncated: 4294967295 bytes announced"), (b"\x8e" + b"\xff" * 8, "truncated"),
    (b"\x8d" + b"\xff" * 8, "truncated"), (b"\x96" + b"\xff" * 8, "truncated"), (b"T\xff\xff\xff\xff", "negative length"), (b"U\xffa", "truncated"),
    (b"\x8a\xffa", "truncated"), (b"J\x01", "truncated"), (b"G\x01", "truncated"), (b"X\x01\x00\x00\x00\xff", "not utf-8"), (b"U\x01\xff", "not utf-8"),
    (b"cos", "no newline"), (b"c" + b"a" * 600 + b"\nb\n", "no newline"), (b"c\xff\nb\n", "not utf-8"), (text("a" * 600) * 2 + b"\x93", "longer than 512"),
    (b"K\x01K\x01\x93", "two strings"), (b"\x80\x09", "protocol: 9"), (b"(" * 1001, "deeper than 1000"),
])
def test_damaged_programs_are_refused(program: bytes, message: str) -> None:
    refused(program, message)


def test_a_pickle_without_stop_is_an_end_of_file() -> None:
    buffer = io.BytesIO()
    archive.write_archive(buffer, b"\x80\x02]", ())
    with pytest.raises(EOFError, match="no STOP opcode"):
        load(buffer_at_start(buffer))


def test_names_in_errors_are_printable() -> None:
    refused(b"cx\x1b[31m\nb\n", r"global: 'x\\x1b\[31m\.b'")


# ---- arguments of calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("program", "message"), [
    (call("builtins.bytearray", integer(1 << 40)), "bytearray: argument 0 must be bytes, got int"), (call("builtins.bytes", integer(1 << 40)), "bytes takes 0"),
    (call("_codecs.encode", text("s"), text("zlib")), "latin1 only"), (call("_codecs.encode", text("ё"), text("latin1")), "256 and above"),
    (call("builtins.set", text("abc")), "set: argument 0 must be list, got str"), (call("builtins.complex", text("1"), text("2")), "must be float"),
    (call("torch.Size", items(text("a"))), "integers only"), (call("torch.Size", items(b"\x88")), "integers only"),
    (call("torch.device", text("cpu"), text("0")), "must be int"), (call("torch.device", text("c" * 99)), "longer than 64"),
    (call("collections.defaultdict", name("torch._utils._rebuild_tensor_v2")), "default factory"), (call("collections.defaultdict", b"]"), "must be Global"),
    (call("collections.Counter", text("aab")), "must be dict"), (call("collections.OrderedDict", b"]K\x01a"), "a pair of key and value"),
    (tensor(hooks=b"}"), "must be OrderedDict or NoneType"), (tensor(hooks=call("collections.OrderedDict") + b"K\x01K\x02s"), "hooks are code"),
    (tensor(grad=b"K\x01"), "must be bool"), (tensor(extra=b"}" + text("conj") + b"\x88s"), "dtype torch.float32 has no conj flag"),
    (tensor(extra=b"}" + text("evil") + b"\x88s"), "conj and neg only"), (tensor(extra=b"]"), "must be dict"), (tensor(of=b"N"), "must be Storage"),
    (tensor(of=storage("torch.storage.UntypedStorage", numel=48)), "needs a dtype"), (tensor(offset=-1), "not negative"), (tensor(size=(-3, 4)), "not negative"),
    (tensor(stride=(4, -1)), "not negative"), (tensor(size=(3,)), "1 sizes and 2 strides"), (tensor(size=(1,) * 65, stride=(1,) * 65), "at most 64"),
    (tensor(size=(3, 5)), "element 12 of a storage of 12"), (tensor(offset=1), "element 12 of"), (tensor(stride=(2**62, 2**62)), "element .* of a storage of 12"),
    (tensor(size=(2**32, 2**32), stride=(0, 0)), "more bytes than an address"), (tensor(size=(2**2000, 1), stride=(0, 0)), "more bytes than an address"),
    (tensor(size=(0, 2**62), stride=(1, 1)), "more bytes"), (tensor(offset=2**2000), r"element 10\*\*30 and more"),
    (tensor(grad=b"\x88", of=storage("torch.IntStorage")), "cannot require a gradient"),
    (call("torch._utils._rebuild_parameter", storage(), b"\x88", b"N"), "must be Tensor"),
    (call("torch._tensor._rebuild_from_type_v2", name("builtins.set"), name("torch.Tensor"), items(b"]"), b"}"), "can only call a function that rebuilds"),
    (call("torch._tensor._rebuild_from_type_v2", name("torch._utils._rebuild_tensor_v2"), name("torch.nn.parameter.Parameter"),
          tensor().removeprefix(name("torch._utils._rebuild_tensor_v2"))[:-1], b"}"), "made a Tensor, the file says torch.nn.parameter.Parameter"),
])
def test_calls_check_their_arguments(program: bytes, message: str) -> None:
    refused(program, message)


@pytest.mark.parametrize(("program", "message"), [
    (storage(numel=11), "0' has 48 bytes"), (storage(numel=13), "has 48 bytes"), (storage(numel=2**62), "has 48 bytes"), (storage(numel=2**63), "63-bit"),
    (storage(numel=-1), "63-bit"), (storage("torch.DoubleStorage"), "has 48 bytes"), (storage(key="1"), "no storage '1'"), (storage(key="../data.pkl"), "no storage"),
    (storage() + storage("torch.IntStorage"), "described with two dtypes"), (text("storage") + b"Q", "tuple of 5 parts"), (b")Q", "tuple of 5"),
    (items(text("module"), b"N", b"N", b"N", b"N") + b"Q", "starts with 'storage'"), (items(text("storage"), *[b"N"] * 4) + b"Q", "storage type expected"),
    (storage("torch.Tensor"), "storage type expected"), (items(text("storage"), name("torch.FloatStorage"), b"K\x00", b"N", b"K\x0c") + b"Q", "must be strings"),
    (items(text("storage"), name("torch.FloatStorage"), text("0"), text("cpu"), b"\x88") + b"Q", "63-bit"),
])
def test_storages_are_what_the_archive_holds_and_not_what_the_pickle_claims(program: bytes, message: str) -> None:
    refused(program, message)


def test_objects_without_counterpart_say_why() -> None:
    for path, message in (("torch._utils._rebuild_sparse_tensor", "to_dense"), ("torch.float8_e4m3fn", "dtype is not supported"),
                          ("torch._utils._rebuild_meta_tensor_no_storage", "no data"), ("torch.QInt8Storage", "quantized")):
        with pytest.raises(NotImplementedError, match=message):
            run(name(path))


# ---- bombs -------------------------------------------------------------------------------------------------------------------------


def test_expanded_tensors_allocate_nothing() -> None:
    data = packed(tensor(size=(2**40, 4), stride=(0, 1)))
    assert load(io.BytesIO(data)).shape == (2**40, 4)
    assert peak_memory(data) < 200_000


def test_conjugates_cannot_multiply_a_storage() -> None:
    values = np.ones(1 << 16, np.complex64)
    flag = b"}" + text("conj") + b"\x88s"
    of = storage("torch.ComplexFloatStorage", numel=values.size)
    assert run(tensor(size=(1 << 16,), stride=(1,), of=of, extra=flag), values)._array[0] == 1
    refused(tensor(size=(1 << 40,), stride=(0,), of=of, extra=flag), "copies far more data than it holds", values)
    many = b"(" + tensor(size=(1 << 16,), stride=(1,), of=of, extra=flag) * 50 + b"t"
    refused(many, "copies far more data than it holds", values)


def test_copies_of_one_long_string_are_limited() -> None:
    long = text("a" * 100_000) + b"q\x00" + text("latin1") + b"q\x01" + name("_codecs.encode") + b"q\x02"
    data = packed(b"(" + long + b"h\x02h\x00h\x01\x86R" * 10_000 + b"t")  # 1 GB of bytes from 180 KB
    assert len(data) < 250_000
    with pytest.raises(UnpicklingError, match="copies far more data"):
        load(io.BytesIO(data))
    assert peak_memory(data) < 5_000_000


@pytest.mark.parametrize("copy", ["torch.Size", "builtins.set", "builtins.frozenset", "collections.OrderedDict"])
def test_copies_of_one_long_container_are_limited(copy: str) -> None:
    whole = {"torch.Size": b"(" + b"K\x01" * 5000 + b"t", "collections.OrderedDict": b"](" + b"K\x01K\x02\x86" * 5000 + b"e"}.get(
        copy, b"](" + b"".join(b"M" + struct.pack("<H", i) for i in range(5000)) + b"e")
    refused(b"(" + whole + b"q\x00" + name(copy) + b"q\x01" + b"h\x01h\x00\x85R" * 500 + b"t", "copies far more data")


def test_billion_laughs_stay_small_as_a_value_and_are_refused_as_a_key() -> None:
    laughs = b")" + b"q\x00h\x00\x86" * 200  # 2**200 leaves, shared
    data = packed(laughs)
    assert peak_memory(data) < 300_000
    load(io.BytesIO(data))
    refused(b"}" + laughs + b"K\x01s", "more than 1000 parts")
    refused(b"\x8f(" + laughs + b"\x90", "more than 1000 parts")


def test_very_deep_objects_do_not_exhaust_the_c_stack() -> None:
    deep = 200_000
    for program in (b")" + b"\x85" * deep, b"]" * (deep + 1) + b"a" * deep, b"}K\x01" * deep + b"}" + b"s" * deep):
        found = run(program)
        assert len(found) == 1
        del found  # the deallocator recurses too
    refused(b"})" + b"\x85" * 100_000 + b"K\x01s", "more than 1000 parts")


def test_the_stack_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAX_STACK", 100)
    refused(b"N" * 101, "more than 100 objects on the stack")


def test_huge_integers_are_refused() -> None:
    refused(b"\x8b\xff\xff\xff\x7f" + b"\x01" * 10, "unknown or does more")
    assert run(integer(1 << 2000)) == 1 << 2000


def test_memo_numbers_cost_nothing() -> None:
    assert peak_memory(packed(b"(" + b"".join(b"Nr" + struct.pack("<I", 0xFFFFFFFF - i) for i in range(100)) + b"t")) < 300_000


# ---- archives ------------------------------------------------------------------------------------------------------------------------


PKL = b"\x80\x02]."


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for path, data in members:
            made.writestr(path, data)
    return buffer.getvalue()


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
    data = zipped(("a/data.pkl", PKL), ("a/" + "n" * (len(path) - 2), b"")) if len(path) > 2 else zipped(("a/data.pkl", PKL), (path, b""))
    data = data.replace(("a/" + "n" * (len(path) - 2)).encode(), path.encode()) if len(path) > 2 else data
    damaged(data, "unsafe name|not in the folder|has another name")


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
    (b"", EOFError, "the file is empty"), (b"hello world", RuntimeError, "Invalid magic number"), (PKL, RuntimeError, "plain pickles are not read"),
    (b"PK\x03\x04", RuntimeError, "central directory"), (zipped(("a/other", b"")), RuntimeError, "a/data.pkl is missing"),
    (zipped(("a/data.pkl", PKL), ("a/constants.pkl", b"")), NotImplementedError, "TorchScript"),
    (zipped(("a/data.pkl", PKL), ("a/byteorder", b"middle")), RuntimeError, "endianness"),
    (b"x" + zipped(("a/data.pkl", PKL)), RuntimeError, "Invalid magic number"), (zipped(), RuntimeError, "Invalid magic number"),
])
def test_what_is_not_a_torch_file_is_named(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(io.BytesIO(data))


# ---- the old format ------------------------------------------------------------------------------------------------------------------


def old_format(program: bytes, keys: bytes = b"](" + text("0") + b"e", data: bytes = struct.pack("<q", 12) + NUMBERS.tobytes()) -> bytes:
    return b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + b"\x80\x02" + program + b"." + b"\x80\x02" + keys + b"." + data


def old_storage(numel: int = 12, view: bytes = b"N", kind: str = "torch.FloatStorage") -> bytes:
    return items(text("storage"), name(kind), text("0"), text("cpu"), integer(numel), view) + b"Q"


def test_old_storages_with_views_load() -> None:
    assert np.array_equal(load(io.BytesIO(old_format(tensor(of=old_storage()))))._array, NUMBERS)
    part = old_storage(view=items(text("1"), integer(4), integer(4)))
    whole, row = load(io.BytesIO(old_format(items(tensor(of=old_storage()), tensor(size=(4,), stride=(1,), of=part)))))
    assert row._array.tolist() == [4, 5, 6, 7]
    assert np.shares_memory(whole._array, row._array)


@pytest.mark.parametrize(("data", "message"), [
    (old_format(tensor(of=old_storage(2**40))), "larger than the file"), (old_format(tensor(of=old_storage(13)), data=struct.pack("<q", 12) + b"\0" * 99), "12 elements, its description says 13"),
    (old_format(tensor(of=old_storage()), keys=b"]"), "differs from the storages"), (old_format(tensor(of=old_storage()), keys=b"](" + text("9") + b"e"), "differs"),
    (old_format(tensor(of=old_storage()), keys=b"}"), "differs"), (old_format(tensor(of=old_storage()), data=b""), "bytes before the end of a storage"),
    (old_format(tensor(of=old_storage()), keys=b"](" + text("0") * 2 + b"e"), "differs"),
    (old_format(tensor(of=old_storage(view=items(text("1"), integer(8), integer(5))))), "reaches past its end"),
    (old_format(tensor(of=old_storage(view=b"K\x01"))), "a view of a storage must be"), (old_format(tensor()), "tuple of 6 parts"),
    (old_format(items(tensor(of=old_storage()), tensor(of=old_storage(kind="torch.IntStorage")))), "described in two ways"),
    (old_format(name("os.system")), "Unsupported global: os.system"), (old_format(b"]").replace(b"M\xe9\x03", b"M\xea\x03"), "Invalid protocol version"),
])
def test_the_old_format_is_checked(data: bytes, message: str) -> None:
    with pytest.raises(DOCUMENTED, match=message):
        load(io.BytesIO(data))
    assert peak_memory(data) < 300_000


# ---- random damage -------------------------------------------------------------------------------------------------------------------


def valid_files() -> list[bytes]:
    base = NUMBERS.copy()
    obj = {"views": [_wrap(base), _wrap(base.T), _wrap(base[1])], "u": _wrap(np.array([1], np.uint16)), "flags": _wrap(np.array([True, False])),
           "od": OrderedDict(a=1), "b": b"xx", "set": {1, 2}, "c": 1j, "dtype": dtypes.float32, "s": "text", "n": [None, 1.5, -3, 2**70]}
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
DAMAGE = st.lists(st.tuples(st.sampled_from(["set", "cut", "delete", "insert", "copy"]), PLACES, PLACES, st.integers(0, 255)), min_size=1, max_size=6)
FRAGMENTS = st.sampled_from([bytes([code]) for code in machine.STEPS] + [name(".".join(path)) for path in allowed_globals()] + [
    b"K\x00", b"K\x01", b"K\x0c", b"h\x00", b"q\x00", b"h\x01", b"q\x01", text("0"), text("cpu"), text("storage"), text("latin1"), storage(), tensor(),
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
    """Loading ends with a value or a documented error."""
    try:
        load(io.BytesIO(data))
    except DOCUMENTED as error:
        assert str(error)  # every refusal says something


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
