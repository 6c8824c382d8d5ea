"""What a hostile pickle can do to load: raise a documented error, and nothing else.

The cases follow published attacks: CVE-2025-32434 and CVE-2026-24747 (torch), CVE-2022-45907 (eval of type strings),
CVE-2026-0897 (sizes claimed and not present), pickle bombs.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pytest

from mytorch.serialization import archive, load, machine
from mytorch.serialization.rebuild import allowed_globals
from tests.serialization.files import DOCUMENTED, NUMBERS, call, integer, items, name, packed, peak_memory, refused, run, storage, tensor, text


def test_the_assembler_of_these_tests_makes_loadable_files() -> None:
    assert np.array_equal(run(tensor())._array, NUMBERS)
    assert run(call("collections.OrderedDict")) == OrderedDict()


def test_spellings_of_old_writers_load() -> None:
    size, stride = items(integer(3), integer(4)), items(integer(4), integer(1))
    assert np.array_equal(run(call("torch._utils._rebuild_tensor", storage(), integer(0), size, stride))._array, NUMBERS)
    python2 = name("collections.OrderedDict") + b"](U\x01aK\x01\x86U\x01\xe9K\x02\x86e\x85R"
    with pytest.raises(UnpicklingError, match="a string is not utf-8"):
        run(python2)
    data = packed(python2)
    assert load(io.BytesIO(data), encoding="latin1") == OrderedDict(a=1, é=2)
    assert load(io.BytesIO(data), encoding="bytes") == OrderedDict({b"a": 1, b"\xe9": 2})
    utf8 = items(b"U\x07storage", name("torch.FloatStorage"), b"U\x010", b"U\x03cpu", integer(12)) + b"Q"
    assert np.array_equal(run(tensor(of=utf8))._array, NUMBERS)
    assert run(call("__builtin__.bytes")) == b""
    assert run(call("builtins.bytearray", b"C\x02ab")) == bytearray(b"ab")
    assert run(items(name("__builtin__.set") + b"]K\x01a\x85R", b"\x8f", b"(K\x01\x91")) == ({1}, set(), frozenset({1}))


# ---- code --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr",
    "builtins.__import__",
    "builtins.open", "builtins.type", "builtins.object", "__builtin__.eval", "builtins.dict.fromkeys", "importlib.import_module",
    "pickle.loads",
    "torch.load", "torch.storage._load_from_bytes", "torch.hub.load", "torch.jit.load", "torch._utils._import_dotted_name",
    "torch.nn.Linear",
    "torch.nn.modules.linear.Linear", "torch.FloatTensor", "torch.serialization._get_layout", "collections.OrderedDict.__init__",
    "collections.deque",
    "torch._utils.eval", "torch.os.system", "numpy.load", "numpy.core.multiarray._reconstruct", "mytorch.load",
    "mytorch.serialization.load",
    "operator.attrgetter", "operator.itemgetter", "functools.partial", "types.FunctionType", "copyreg._reconstructor", "sys.exit",
    "", "a.b.c",
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


@pytest.mark.parametrize("opcode", [b"i", b"o", b"\x81", b"\x92", b"\x82", b"\x83", b"\x84", b"P", b"I", b"L", b"S", b"V", b"F",
                                    b"p", b"g", b"d", b"l", b"2", b"\x8b", b"\x97", b"\x98", b"\x00", b"\xff"], ids=repr)
def test_opcodes_that_make_instances_or_more_are_unknown(opcode: bytes) -> None:
    refused(name("collections.OrderedDict") + b")" + opcode, "unknown or does more than describe data .opcode 0x")


@pytest.mark.parametrize(("callee", "message"), [
    (b"K\x01", "not something to call: int"), (text("os.system"), "not something to call: str"),
    (b"]", "not something to call: list"),
    (name("torch.float32"), "not something to call: dtype"), (name("builtins.dict"), "not something to call: builtins.dict"),
    (name("torch.Tensor"), "not something to call: torch.Tensor"), (name("torch.FloatStorage"), "not something to call"),
    (name("torch.nn.parameter.Parameter"), "not something to call"), (tensor(), "not something to call: Tensor"),
    (storage(), "not something to call: Storage"),
])
def test_only_table_entries_can_be_called(callee: bytes, message: str) -> None:
    refused(callee + b")R", message)
    refused(name("collections.OrderedDict") + b"]R", "arguments must be a tuple, got list")


# ---- types per opcode --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"]", b")", b"K\x01", text("s"), tensor(), storage(), b"\x8f",
                                    name("collections.OrderedDict"), name("torch.float32"), call("torch.Size", b")"),
                                    call("torch.device", text("cpu"))])
def test_items_are_set_in_dicts_only(target: bytes) -> None:
    refused(target + b"K\x01K\x02s", "items can only be set in a dict")
    refused(target + b"(K\x01K\x02u", "items can only be set in a dict")


@pytest.mark.parametrize("target", [b"}", b")", b"K\x01", tensor(), b"\x8f", name("builtins.list"),
                                    call("collections.OrderedDict")])
def test_only_lists_are_appended_to(target: bytes) -> None:
    refused(target + b"K\x01a", "can only append to a list")
    refused(target + b"(K\x01e", "can only append to a list")
    if target != b"\x8f":
        refused(target + b"(K\x01\x90", "can only add to a set")


@pytest.mark.parametrize("target", [b"]", b"}", b"K\x01", text("s"), name("collections.OrderedDict"), name("torch.Tensor"),
                                    storage(), tensor(), call("torch.device", text("cpu")), call("collections.Counter"),
                                    name("torch._utils._rebuild_tensor_v2"),
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
    (b"", "expected one object"), (b"K\x01K\x02", "expected one object"), (b"(K\x01", "open marks"), (b"0", "stack underflow"),
    (b"a", "stack underflow"),
    (b"R", "stack underflow"), (b"b", "stack underflow"), (b"Q", "stack underflow"), (b"\x87", "stack underflow"),
    (b"q\x00", "stack underflow"),
    (b"t", "no MARK"), (b"e", "no MARK"), (b"u", "no MARK"), (b"1", "no MARK"), (b"}(K\x01u", "odd number"),
    (b"h\x07", "nothing was stored under number 7"),
    (b"j\xff\xff\xff\xff", "nothing was stored"), (b"X\xff\xff\xff\xffab", "truncated: 4294967295 bytes announced"),
    (b"\x8e" + b"\xff" * 8, "truncated"),
    (b"\x8d" + b"\xff" * 8, "truncated"), (b"\x96" + b"\xff" * 8, "truncated"), (b"T\xff\xff\xff\xff", "negative length"),
    (b"U\xffa", "truncated"),
    (b"\x8a\xffa", "truncated"), (b"J\x01", "truncated"), (b"G\x01", "truncated"), (b"X\x01\x00\x00\x00\xff", "not utf-8"),
    (b"U\x01\xff", "not utf-8"),
    (b"cos", "no newline"), (b"c" + b"a" * 600 + b"\nb\n", "no newline"), (b"c\xff\nb\n", "not utf-8"),
    (text("a" * 600) * 2 + b"\x93", "longer than 512"),
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


# ---- arguments of calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("program", "message"), [
    (call("builtins.bytearray", integer(1 << 40)), "bytearray: argument 0 must be bytes, got int"),
    (call("builtins.bytes", integer(1 << 40)), "bytes takes 0"),
    (call("_codecs.encode", text("s"), text("zlib")), "latin1 only"),
    (call("_codecs.encode", text("ё"), text("latin1")), "256 and above"),
    (call("builtins.set", text("abc")), "set: argument 0 must be list, got str"),
    (call("builtins.complex", text("1"), text("2")), "must be float"),
    (call("torch.Size", items(text("a"))), "integers only"), (call("torch.Size", items(b"\x88")), "integers only"),
    (call("torch.device", text("cpu"), text("0")), "must be int"), (call("torch.device", text("c" * 99)), "longer than 64"),
    (call("collections.defaultdict", name("torch._utils._rebuild_tensor_v2")), "default factory"),
    (call("collections.defaultdict", b"]"), "must be Global"),
    (call("collections.Counter", text("aab")), "must be dict"),
    (call("collections.OrderedDict", b"]K\x01a"), "a pair of key and value"),
    (tensor(hooks=b"}"), "must be OrderedDict or NoneType"),
    (tensor(hooks=call("collections.OrderedDict") + b"K\x01K\x02s"), "hooks are code"),
    (tensor(grad=b"K\x01"), "must be bool"),
    (tensor(extra=b"}" + text("conj") + b"\x88s"), "dtype torch.float32 has no conj flag"),
    (tensor(extra=b"}" + text("evil") + b"\x88s"), "conj and neg only"), (tensor(extra=b"]"), "must be dict"),
    (tensor(of=b"N"), "must be Storage"),
    (tensor(of=storage("torch.storage.UntypedStorage", numel=48)), "needs a dtype"), (tensor(offset=-1), "not negative"),
    (tensor(size=(-3, 4)), "not negative"),
    (tensor(stride=(4, -1)), "not negative"), (tensor(size=(3,)), "1 sizes and 2 strides"),
    (tensor(size=(1,) * 65, stride=(1,) * 65), "at most 64"),
    (tensor(size=(3, 5)), "element 12 of a storage of 12"), (tensor(offset=1), "element 12 of"),
    (tensor(stride=(2**62, 2**62)), "element .* of a storage of 12"),
    (tensor(size=(2**32, 2**32), stride=(0, 0)), "more bytes than an address"),
    (tensor(size=(2**2000, 1), stride=(0, 0)), "more bytes than an address"),
    (tensor(size=(0, 2**62), stride=(1, 1)), "more bytes"), (tensor(offset=2**2000), r"element 10\*\*30 and more"),
    (tensor(grad=b"\x88", of=storage("torch.IntStorage")), "cannot require a gradient"),
    (call("torch._utils._rebuild_parameter", storage(), b"\x88", b"N"), "must be Tensor"),
    (call("torch._tensor._rebuild_from_type_v2", name("builtins.set"), name("torch.Tensor"), items(b"]"), b"}"),
     "can only call a function that rebuilds"),
    (call("torch._tensor._rebuild_from_type_v2", name("torch._utils._rebuild_tensor_v2"), name("torch.nn.parameter.Parameter"),
          tensor().removeprefix(name("torch._utils._rebuild_tensor_v2"))[:-1], b"}"),
          "made a Tensor, the file says torch.nn.parameter.Parameter"),
])
def test_calls_check_their_arguments(program: bytes, message: str) -> None:
    refused(program, message)


@pytest.mark.parametrize("path", sorted(entry.name for entry in allowed_globals().values() if getattr(entry, "build", None)))
def test_every_callable_counts_and_checks_its_arguments(path: str) -> None:
    refused(call(path, *[b"N"] * 9), "takes . arguments, got 9")
    for count in range(1, 9):
        refused(call(path, *[b"K\x01"] * count), "takes . arguments, got|must be .*, got int")


def test_hooks_are_refused_wherever_a_tensor_carries_them() -> None:
    hooks = call("collections.OrderedDict") + b"K\x01K\x02s"
    untyped = storage("torch.storage.UntypedStorage", numel=48)
    size, stride = items(integer(3), integer(4)), items(integer(4), integer(1))

    def v3(hooks: bytes) -> bytes:
        return call("torch._utils._rebuild_tensor_v3", untyped, integer(0), size, stride, b"\x89", hooks, name("torch.float32"))

    assert np.array_equal(run(v3(b"N"))._array, NUMBERS)
    refused(v3(hooks), "hooks are code")
    refused(call("torch._utils._rebuild_parameter", tensor(), b"\x88", hooks), "hooks are code")
    assert run(call("torch._utils._rebuild_parameter", tensor(), b"\x88", b"N")).requires_grad


def test_a_parameter_of_integers_cannot_require_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="floating point"):
        run(call("torch._utils._rebuild_parameter", tensor(of=storage("torch.IntStorage")), b"\x88", b"N"))


@pytest.mark.parametrize(("program", "message"), [
    (storage(numel=11), "0' has 48 bytes"), (storage(numel=13), "has 48 bytes"), (storage(numel=2**62), "has 48 bytes"),
    (storage(numel=2**63), "63-bit"),
    (storage(numel=-1), "63-bit"), (storage("torch.DoubleStorage"), "has 48 bytes"), (storage(key="1"), "no storage '1'"),
    (storage(key="../data.pkl"), "no storage"),
    (storage() + storage("torch.IntStorage"), "described with two dtypes"), (text("storage") + b"Q", "tuple of 5 parts"),
    (b")Q", "tuple of 5"),
    (items(text("module"), b"N", b"N", b"N", b"N") + b"Q", "starts with 'storage'"),
    (items(text("storage"), *[b"N"] * 4) + b"Q", "storage type expected"),
    (storage("torch.Tensor"), "storage type expected"),
    (items(text("storage"), name("torch.FloatStorage"), b"K\x00", b"N", b"K\x0c") + b"Q", "must be strings"),
    (items(text("storage"), name("torch.FloatStorage"), text("0"), text("cpu"), b"\x88") + b"Q", "63-bit"),
])
def test_storages_are_what_the_archive_holds_and_not_what_the_pickle_claims(program: bytes, message: str) -> None:
    refused(program, message)


def test_objects_without_counterpart_say_why() -> None:
    for path, message in (("torch._utils._rebuild_sparse_tensor", "to_dense"), ("torch.float8_e4m3fn", "dtype is not supported"),
                          ("torch._utils._rebuild_meta_tensor_no_storage", "no data"), ("torch.QInt8Storage", "quantized")):
        with pytest.raises(NotImplementedError, match=message):
            run(name(path))


# ---- bombs -------------------------------------------------------------------------------------------------------------------


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


def test_copies_of_one_long_dict_are_limited() -> None:
    long = b"}(" + b"".join(text(f"k{i}") + b"N" for i in range(3000)) + b"uq\x00"
    state = name("collections.OrderedDict") + b"q\x01" + b"h\x01)Rh\x00b" * 500
    refused(b"(" + long + state + b"t", "copies far more data")
    refused(b"(" + long + name("collections.Counter") + b"q\x01" + b"h\x01h\x00\x85R" * 500 + b"t", "copies far more data")
    raw = b"B" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"q\x00"
    refused(b"(" + raw + name("builtins.bytearray") + b"q\x01" + b"h\x01h\x00\x85R" * 500 + b"t", "copies far more data")


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
