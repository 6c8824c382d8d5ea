"""Files that torch and mytorch exchange: what one writes, the other reads, to the same values, types and sharing."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pickletools import genops
from typing import Any

import numpy as np
import pytest

from mytorch import dtypes, nn, optim
from mytorch.device import device
from mytorch.nn.parameter import Parameter
from mytorch.serialization import get_unsafe_globals_in_checkpoint, load, save
from mytorch.size import Size
from mytorch.tensor import Tensor, _wrap

torch = pytest.importorskip("torch")

FORMATS = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])


def from_torch(obj: object, **options: Any) -> Any:
    """What mytorch reads from torch's file."""
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    buffer.seek(0)
    return load(buffer)


def to_torch(obj: object, weights_only: bool = True, **options: Any) -> Any:
    """What torch reads from mytorch's file."""
    buffer = io.BytesIO()
    save(obj, buffer, **options)
    buffer.seek(0)
    return torch.load(buffer, weights_only=weights_only)


def raw(tensor: Any) -> bytes:
    if isinstance(tensor, Tensor):
        return tensor._array.tobytes()
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def agree(ours: Any, theirs: Any) -> None:
    """The same object in both worlds, part by part."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, Tensor)
        assert isinstance(ours, Parameter) == isinstance(theirs, torch.nn.Parameter)
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert str(ours.dtype) == str(theirs.dtype)
        assert ours.requires_grad == theirs.requires_grad
        assert raw(ours) == raw(theirs.resolve_conj())
    elif isinstance(theirs, (torch.Size, torch.device, torch.dtype)):
        assert type(ours).__name__ == type(theirs).__name__
        assert repr(ours) == repr(theirs)
    elif isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        assert list(ours) == list(theirs)
        for key in theirs:
            agree(ours[key], theirs[key])
        if hasattr(theirs, "_metadata"):
            agree(ours._metadata, theirs._metadata)
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            agree(a, b)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs


def both_ways(theirs: object, **options: Any) -> None:
    """torch -> mytorch -> torch -> mytorch agrees at every step."""
    ours = from_torch(theirs, **options)
    agree(ours, theirs)
    back = to_torch(ours, **options)
    agree(ours, back)
    agree(from_torch(back, **options), theirs)


PLAIN = {"none": None, "flags": [True, False], "ints": [0, 255, 256, 65536, -1, 2**31, -(2**63), 2**200],
         "floats": [1.5, -0.0, float("inf")],
         "complex": 1 - 2j, "text": ["", "é", "a" * 300], "bytes": [b"", b"\x00\xff"], "bytearray": bytearray(b"ab"),
         "tuples": [(), (1,), (1, 2, 3, 4)],
         "nested": {"a": [{"b": ({},)}]}, 3: "int key", (1, "t"): "tuple key", "set": {1, "a"}, "ordered": OrderedDict(z=1, a=2),
         "counter": Counter("aab"),
         "many": list(range(2500)), "big": {str(i): i for i in range(2500)}}


@FORMATS
def test_plain_values_travel(as_zip: bool) -> None:
    both_ways(PLAIN, _use_new_zipfile_serialization=as_zip)


def test_torchs_own_types_travel() -> None:
    both_ways([torch.Size([2, 3]), torch.Size([]), torch.device("cpu"), torch.device("cuda", 1)])
    both_ways([getattr(torch, d.name) for d in dtypes.ALL])


WIDE_UNSIGNED = ("uint16", "uint32", "uint64")  # torch itself cannot read these in its old format
CASES = [(d.name, as_zip) for d in dtypes.ALL for as_zip in (True, False) if as_zip or d.name not in WIDE_UNSIGNED]


@pytest.mark.parametrize(("name", "as_zip"), CASES)
def test_tensors_of_every_dtype_travel(name: str, as_zip: bool) -> None:
    dtype = getattr(torch, name)
    values = torch.randint(0, 2**16 if dtype.itemsize > 1 else 2, (7, 3), generator=torch.Generator().manual_seed(0)).to(dtype)
    tensors = {"t": values, "scalar": values[0, 0].clone(), "empty": values[:0].clone(), "flat": values.t()}
    both_ways(tensors, _use_new_zipfile_serialization=as_zip)


@FORMATS
def test_layouts_and_sharing_travel(as_zip: bool) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    views = [base, base.permute(2, 0, 1), base[1], base[:, ::2, 1:3], base[0, 0, 2], base[1:1],
             torch.ones(1).expand(5), base.view(-1)[5:9],
             torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)]
    both_ways(views, _use_new_zipfile_serialization=as_zip)
    ours = from_torch(views, _use_new_zipfile_serialization=as_zip)
    theirs = to_torch(ours, _use_new_zipfile_serialization=as_zip)
    for t, original in zip(theirs, views, strict=True):
        if t.numel():
            assert t.storage_offset() == original.storage_offset()
            assert t.stride() == original.stride()
    ours[0]._array[...] = -1
    theirs[0].fill_(-1)
    assert all((o._array == -1).all() for o in ours[:6])
    assert all((t == -1).all() for t in theirs[:6])
    assert not (theirs[6] == -1).any()


def test_requires_grad_parameters_and_attributes_travel() -> None:
    tagged, parameter = torch.ones(2, requires_grad=True), torch.nn.Parameter(torch.ones(2))
    tagged.tag, parameter.tag = {"a": 1}, ["b"]
    theirs = {"leaf": torch.ones(2, requires_grad=True), "p": torch.nn.Parameter(torch.ones(3)),
              "frozen": torch.nn.Parameter(torch.ones(3), requires_grad=False),
              "tagged": tagged, "tagged_p": parameter, "buffer": torch.nn.Buffer(torch.ones(2)),
              "int_p": torch.nn.Parameter(torch.ones(2, dtype=torch.int64), False)}
    both_ways(theirs)
    back = to_torch(from_torch(theirs))
    assert (back["tagged"].tag, back["tagged_p"].tag) == ({"a": 1}, ["b"])


def test_conjugate_views_arrive_computed() -> None:
    z = torch.tensor([1 + 2j, 3 - 4j])
    agree(from_torch([z, z.conj()]), [z, z.conj().resolve_conj()])
    agree(from_torch(z.conj().imag), z.conj().imag.resolve_neg())


@FORMATS
def test_state_dicts_of_modules_travel(as_zip: bool) -> None:
    torch.manual_seed(0)
    def make() -> Any:
        return torch.nn.ModuleList([torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LSTM(4, 5, 2),
                                    torch.nn.MultiheadAttention(4, 2)])

    model, again = make(), make()
    both_ways(model.state_dict(), _use_new_zipfile_serialization=as_zip)
    again.load_state_dict(to_torch(from_torch(model.state_dict(), _use_new_zipfile_serialization=as_zip)))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.Adam(p, amsgrad=True),
                                  torch.optim.AdamW,
                                  torch.optim.RMSprop, torch.optim.Adagrad, lambda p: torch.optim.LBFGS(p, max_iter=2)])
def test_optimizer_states_travel(make: Any) -> None:
    weights = torch.nn.Linear(3, 2)
    optimizer = make(weights.parameters())

    def closure() -> Any:
        optimizer.zero_grad()
        loss = weights(torch.ones(4, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    state = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    both_ways(state)
    optimizer.load_state_dict(to_torch(from_torch(state))["optimizer"])


def test_generator_states_travel() -> None:
    generator = torch.Generator().manual_seed(7)
    state = generator.get_state()
    expected = torch.rand(3, generator=generator)
    generator.set_state(to_torch(from_torch({"rng": state}))["rng"])
    assert torch.equal(torch.rand(3, generator=generator), expected)


def test_defaultdicts_and_frozensets_travel_where_torch_reads_them() -> None:
    theirs = {"d": defaultdict(list, a=[1]), "none": defaultdict(None, a=1),
              "nested": defaultdict(dict, {0: {"x": torch.ones(2)}}), "f": frozenset({1})}
    ours = from_torch(theirs)
    agree(ours, theirs)
    assert ours["d"].default_factory is list
    back = to_torch(ours, weights_only=False)  # torch's safe reader refuses its own defaultdicts too
    agree(ours, back)
    assert back["d"].default_factory is list


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_torch_is_read(protocol: int) -> None:
    theirs = {**PLAIN, "t": torch.arange(6.0).reshape(2, 3), "p": torch.nn.Parameter(torch.ones(1)), "f": frozenset({3})}
    agree(from_torch(theirs, pickle_protocol=protocol), theirs)


def test_paths_and_maps_travel(tmp_path: Any) -> None:
    weights = torch.arange(6.0)
    torch.save({"w": weights}, tmp_path / "theirs.pt")
    ours = load(tmp_path / "theirs.pt", mmap=True)
    agree(ours, {"w": weights})
    save(ours, tmp_path / "ours.pt")
    for mapped in (True, False):
        agree(ours, torch.load(tmp_path / "ours.pt", mmap=mapped))
    assert torch.load(tmp_path / "ours.pt", map_location="meta")["w"].shape == (6,)


def test_our_archives_hold_the_members_and_the_pickle_that_torch_writes() -> None:
    state = torch.nn.Linear(2, 3).state_dict()
    theirs, ours = io.BytesIO(), io.BytesIO()
    torch.save(state, theirs)
    save(from_torch(state), ours)
    with zipfile.ZipFile(theirs) as a, zipfile.ZipFile(ours) as b:
        layout = {".format_version", ".storage_alignment"}  # promises about the byte layout that only torch's own writer keeps
        assert {n for n in a.namelist() if n.split("/")[1] not in layout} == set(b.namelist())
        for member in ("byteorder", "version", "data/0", "data/1"):
            assert a.read(f"archive/{member}") == b.read(f"archive/{member}")
        assert opcodes(a.read("archive/data.pkl")) == opcodes(b.read("archive/data.pkl"))


def opcodes(pickled: bytes) -> list[tuple[str, Any]]:
    """The program without the numbers of its memo, in which the two writers differ."""
    return [(op.name, argument if "GET" not in op.name else None) for op, argument, _ in genops(pickled) if "PUT" not in op.name]


def test_files_saved_on_a_gpu_load_on_the_cpu() -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    data = {}
    with zipfile.ZipFile(buffer) as made:
        data = {name: made.read(name) for name in made.namelist()}
    data["archive/data.pkl"] = data["archive/data.pkl"].replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    moved = io.BytesIO()
    with zipfile.ZipFile(moved, "w") as made:
        for name, part in data.items():
            made.writestr(name, part)
    messages = []
    for reader in (load, torch.load):
        moved.seek(0)
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device") as caught:
            reader(moved)
        messages.append(str(caught.value))
        moved.seek(0)
        assert reader(moved, map_location="cpu")["w"].shape == (2,)
    assert messages[0] == messages[1]


@pytest.mark.parametrize("value", [torch.nn.Linear(1, 1), torch.nn.Linear, torch.distributions.Normal(0.0, 1.0), np.float64(1.0),
                                   torch.ones], ids=str)
def test_what_torch_refuses_by_default_is_refused_by_name(value: Any) -> None:
    buffer = io.BytesIO()
    torch.save({"v": value}, buffer)
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(buffer)
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        load(buffer)
    buffer.seek(0)
    theirs = set(torch.serialization.get_unsafe_globals_in_checkpoint(buffer))
    buffer.seek(0)
    ours = {name.replace("__builtin__", "builtins") for name in get_unsafe_globals_in_checkpoint(buffer)}
    assert ours & theirs


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_torchs_objects_without_counterpart_raise_not_implemented() -> None:
    for value in (torch.eye(2).to_sparse(), torch.ones(2, device="meta"), torch.ones(2).to(torch.float8_e4m3fn),
                  torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)):
        with pytest.raises(NotImplementedError, match="in the file"):
            from_torch({"v": value})


def test_arguments_refused_by_both_raise_the_same_class(tmp_path: Any) -> None:
    saves, loads = [(1, 3), (1, tmp_path / "none" / "x.pt")], [(tmp_path / "no.pt",), (3,), (io.BytesIO(b""),)]
    for mine, theirs, arguments in [(save, torch.save, a) for a in saves] + [(load, torch.load, a) for a in loads]:
        with pytest.raises(Exception) as expected:  # noqa: PT011 - the class is what is compared
            theirs(*arguments)
        with pytest.raises(expected.type):
            mine(*arguments)


def test_tensors_made_here_travel() -> None:
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    bf16 = dtypes.float32_to_bfloat16(base)
    back = to_torch({"b": _wrap(bf16), "rev": _wrap(base[::-1]), "u": _wrap(np.array([1, 2**63], np.uint64)),
                     "z": _wrap(np.array(3.0)),
                     "size": Size((1, 2)), "device": device("cpu"), "dtype": dtypes.bool_})
    assert torch.equal(back["b"], torch.from_numpy(base).bfloat16())
    assert torch.equal(back["rev"], torch.from_numpy(base[::-1].copy()))
    assert back["u"].tolist() == [1, 2**63]
    assert back["z"] == 3
    assert (back["size"], back["device"], back["dtype"]) == (torch.Size([1, 2]), torch.device("cpu"), torch.bool)


class Pair(nn.Module):
    """Two parameters that are one, a buffer, and a submodule, as mytorch has them."""

    def __init__(self, fill: float) -> None:
        super().__init__()
        self.weight = Parameter(_wrap(np.full((2, 3), fill, np.float32)))
        self.tied = self.weight
        self.register_buffer("steps", _wrap(np.array(fill).astype(np.int64)))
        self.inner = nn.ParameterList([Parameter(_wrap(np.arange(3, dtype=np.float32) + fill))])


def test_state_dicts_of_our_modules_and_optimizers_travel_through_torch(tmp_path: Any) -> None:
    model = Pair(2.0)
    optimizer = optim.Adam(model.parameters(), lr=0.5)
    for parameter in model.parameters():
        parameter.grad = _wrap(np.ones_like(parameter._array))
    optimizer.step()
    save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "ours.pt")
    theirs = torch.load(tmp_path / "ours.pt")
    assert theirs["model"]["weight"].data_ptr() == theirs["model"]["tied"].data_ptr()
    torch.save(theirs, tmp_path / "theirs.pt")
    back = load(tmp_path / "theirs.pt")
    agree(back, theirs)
    again = Pair(0.0)
    again.load_state_dict(back["model"])
    resumed = optim.Adam(again.parameters(), lr=0.1)
    resumed.load_state_dict(back["optimizer"])
    assert resumed.param_groups[0]["lr"] == 0.5
    assert all(np.array_equal(a._array, b._array) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert raw(resumed.state_dict()["state"][0]["exp_avg"]) == raw(optimizer.state_dict()["state"][0]["exp_avg"])
