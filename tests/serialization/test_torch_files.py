"""Files that torch wrote, kept in tests/data, load for ever."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.device import device
from mytorch.nn.parameter import Parameter
from mytorch.serialization import load
from mytorch.size import Size
from mytorch.tensor import Tensor
from tests.serialization.files import DATA, NUMBERS, sample


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
             "device": device("cpu"), "dtype": dtypes.bfloat16, "raw": b"\x00\xff", "big": 2**100, "members": {1, 2},
             "pair": (1, (2, 3, 4, 5))}
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
