"""Storages, the memory under tensors, and torch's other paths that are names for what is elsewhere."""

from __future__ import annotations

import copy
import hashlib
import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.error import URLError

import pytest

import mytorch as torch

ROOT = Path(__file__).parents[1]


# ---- storages -----------------------------------------------------------------------------------------------------------------


def test_storage_is_the_whole_memory_of_a_view():
    x = torch.arange(6.0).reshape(2, 3)
    view = x.t()[1:]
    elements, data = view.storage(), view.untyped_storage()
    assert (len(elements), elements.nbytes(), len(data), data.nbytes()) == (6, 24, 24, 24)
    assert elements.tolist() == [0, 1, 2, 3, 4, 5]
    assert elements.dtype is torch.float32
    assert elements.data_ptr() == data.data_ptr() == x.data_ptr() != view.data_ptr()
    assert elements.untyped().data_ptr() == x.data_ptr()


def test_storage_and_tensor_are_aliases():
    x = torch.zeros(4)
    x.storage()[1] = 5
    x.untyped_storage()[12:].copy_(torch.tensor([1.0]).untyped_storage())
    assert x.tolist() == [0, 5, 0, 1]
    assert x.storage()[3] == 1
    copied = x.storage().clone()
    copied.fill_(7)
    assert x[0] == 0
    assert copy.deepcopy(copied).tolist() == [7, 7, 7, 7]


@pytest.mark.parametrize("order", ["contiguous", "channels last", "Fortran"])
def test_bytes_come_in_the_order_of_memory(order):
    x = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 2, 2)
    if order == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif order == "Fortran":
        x = torch.from_numpy(x.numpy().reshape(4, 4).copy(order="F"))
    found = x.untyped_storage().tolist()
    assert found == x.as_strided((16,), (1,), 0).tolist()


def test_storage_is_shared_with_its_tensors():
    x = torch.ones(3)
    storage = x.untyped_storage()
    assert not storage.is_shared()
    storage.share_memory_()
    assert x.is_shared() and storage.is_shared()
    x.fill_(2)
    assert torch.empty(0).set_(storage).tolist() == [2, 2, 2]


def test_tensor_is_set_into_a_storage():
    x = torch.arange(6.0)
    y = torch.empty(0)
    assert y.set_(x.untyped_storage(), 1, (2, 2), (1, 2)) is y
    assert y.tolist() == [[1, 3], [2, 4]]
    y[0, 0] = 9
    assert x[1] == 9
    assert torch.empty(0).set_(x.storage()).shape == (6,)
    assert torch.empty(0).set_(x, 2, (2,)).tolist() == [2, 3]
    assert y.set_().shape == (0,)
    with pytest.raises(RuntimeError, match="out of bounds"):
        torch.empty(0).set_(x.storage(), 3, (4,))
    with pytest.raises(RuntimeError, match="Expected a Storage of type"):
        torch.empty(0, dtype=torch.float64).set_(x.storage())
    with pytest.raises(RuntimeError, match="Could not set tensor of type"):
        torch.empty(0, dtype=torch.float64).set_(x)


def test_tensor_is_made_over_a_storage():
    x = torch.ones(2)
    shared = x.untyped_storage()._new_shared(16)
    y = x.new(shared)
    assert (y.shape, y.dtype, y.is_shared()) == ((4,), torch.float32, True)
    out = y.resize_(2, 2)
    torch.stack([x, x + 1], 0, out=out)
    assert torch.empty(0).set_(shared).tolist() == [1, 1, 2, 2]
    assert x.storage()._new_shared(3).dtype is torch.float32


def test_storages_are_made_of_sizes_and_values():
    assert torch.FloatStorage([1, 2]).tolist() == [1, 2]
    assert torch.LongStorage(3).nbytes() == 24
    assert torch.TypedStorage([1.5], dtype=torch.float64).dtype is torch.float64
    assert torch.UntypedStorage(5).nbytes() == 5
    assert torch.UntypedStorage.from_buffer(b"abc", count=2, offset=1).tolist() == [98, 99]
    with pytest.raises(NotImplementedError, match="byte_order"):
        torch.UntypedStorage.from_buffer(b"abc", "little" if sys.byteorder == "big" else "big")
    with pytest.raises(AttributeError, match="SpeedStorage"):
        torch.storage.SpeedStorage  # noqa: B018
    assert torch.is_storage(torch.ones(1).storage()) and torch.is_storage(torch.UntypedStorage(1))
    assert not torch.is_storage(torch.ones(1))


def test_storage_of_another_size_is_refused():
    storage = torch.ones(2).untyped_storage()
    assert storage.resize_(8) is storage
    with pytest.raises(NotImplementedError, match=r"tensor\.resize_"):
        storage.resize_(0)


def test_storage_prints_its_elements_and_what_it_is():
    assert repr(torch.tensor([1.5, 2]).storage()) == " 1.5\n 2.0\n[torch.storage.TypedStorage(dtype=torch.float32, device=cpu) of size 2]"
    assert str(torch.ones(1, dtype=torch.uint8).untyped_storage()) == " 1\n[torch.storage.UntypedStorage(device=cpu) of size 1]"


# ---- names of what is elsewhere -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["functional", "types", "storage", "hub", "multiprocessing", "multiprocessing.spawn", "multiprocessing.reductions",
                                  "utils.model_zoo", "utils.collect_env", "utils.data._utils", "utils.data._utils.collate",
                                  "utils.data._utils.worker", "distributions.utils", "version"])
def test_path_of_torch_is_there(path):
    module = importlib.import_module(f"mytorch.{path}")
    assert all(hasattr(module, name) for name in getattr(module, "__all__", ()))


def test_functional_names_are_the_same_objects():
    assert all(getattr(torch.functional, name) is getattr(torch, name) for name in torch.functional.__all__)


def test_version_says_that_there_is_no_accelerator():
    v = torch.version
    assert (v.cuda, v.hip, v.rocm, v.xpu, v.debug) == (None, None, None, None, False)
    assert isinstance(v.git_version, str) and v.__version__ == torch.__version__


def test_environment_is_told_as_by_show_config():
    assert importlib.import_module("mytorch.utils.collect_env").get_pretty_env_info() == torch.show_config()


def test_rules_of_collate_are_those_of_the_loader():
    rules = importlib.import_module("mytorch.utils.data._utils.collate")

    class Point:
        pass

    rules.default_collate_fn_map[Point] = lambda batch, *, collate_fn_map=None: len(batch)
    try:
        assert torch.utils.data.default_collate([(Point(), 1.0)] * 3)[0] == 3
    finally:
        del rules.default_collate_fn_map[Point]
    assert rules.collate_tensor_fn([torch.ones(2)] * 3).shape == (3, 2)


def test_none_of_them_is_loaded_with_the_package():
    program = "import sys, mytorch; print(sorted(m for m in sys.modules if m.startswith('mytorch.') and m.split('.')[1] in " \
              "('storage', 'types', 'functional', 'hub', 'multiprocessing', 'utils', 'distributions')))"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- hub ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return torch.hub


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"w": torch.arange(3)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(tmp_path / f"net-{digest[:8]}.pth")


def test_folder_of_downloads_can_be_chosen(hub, tmp_path, monkeypatch):
    assert hub.get_dir() == str(tmp_path / "home" / "hub")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert hub.get_dir() == "/cache/torch/hub"
    hub.set_dir(tmp_path)
    assert hub.get_dir() == str(tmp_path)


def test_weights_are_downloaded_once(hub, weights, capsys):
    url = weights.as_uri()
    assert hub.load_state_dict_from_url(url, check_hash=True)["w"].tolist() == [0, 1, 2]
    kept = Path(hub.get_dir()) / "checkpoints" / weights.name
    assert kept.exists()
    assert "Downloading" in capsys.readouterr().err
    weights.unlink()
    assert hub.load_state_dict_from_url(url, progress=False)["w"].tolist() == [0, 1, 2]
    model_zoo = importlib.import_module("mytorch.utils.model_zoo")
    assert model_zoo.load_url(url)["w"].tolist() == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_damaged_download_is_refused_and_leaves_nothing(hub, weights, tmp_path):
    goal = tmp_path / "goal"
    with pytest.raises(RuntimeError, match="invalid hash value"):
        hub.download_url_to_file(weights.as_uri(), str(goal), hash_prefix="00000000000000000000", progress=False)
    with pytest.raises(URLError):
        hub.download_url_to_file((tmp_path / "none").as_uri(), str(goal), progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [weights.name]
    hub.download_url_to_file(weights.as_uri(), str(goal), progress=False)
    assert goal.read_bytes() == weights.read_bytes()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "hubconf.py").write_text(textwrap.dedent('''
        dependencies = ["json"]
        from hub_test_model import width_of

        def net(width=3, **options):
            """A net."""
            return ("net", width_of(width), options)
    '''))
    (tmp_path / "hub_test_model.py").write_text("def width_of(n):\n    return 2 * n\n")
    yield tmp_path
    sys.modules.pop("hub_test_model", None)


def test_model_comes_from_a_folder(hub, repository):
    before = list(sys.path)
    assert hub.load(repository, "net", 4, source="local", pretrained=True) == ("net", 8, {"pretrained": True})
    assert hub.list(str(repository)) == ["width_of", "net"]
    assert hub.help(repository, "net") == "A net."
    assert sys.path == before


def test_what_the_hub_cannot_do_is_said(hub, repository, tmp_path):
    with pytest.raises(NotImplementedError, match="source='github' is not supported"):
        hub.load("owner/name", "net")
    with pytest.raises(ValueError, match='Unknown source: "web"'):
        hub.load(repository, "net", source="web")
    with pytest.raises(RuntimeError, match="Cannot find callable nothing"):
        hub.load(repository, "nothing", source="local")
    with pytest.raises(FileNotFoundError):
        hub.load(tmp_path / "none", "net", source="local")
    (repository / "hubconf.py").write_text("dependencies = ['json', 'no_such_package']\n")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_package"):
        hub.load(repository, "net", source="local")
