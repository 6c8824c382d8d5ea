"""What save writes, load returns: values, types, dtypes, layouts and sharing."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mytorch import dtypes
from mytorch.device import device
from mytorch.nn.parameter import Parameter
from mytorch.serialization import save
from mytorch.size import Size
from mytorch.tensor import Tensor, _wrap
from tests.serialization.files import NUMBERS, same_memory, sample, through_file, written

PLAIN = [None, True, False, 0, 1, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**100, -(2**100), 1.5, float("inf"), -0.0, 1 - 2j,
         "", "é\n\ud800", b"", b"\x00\xff", bytearray(b"xy"), (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1, [2]], {},
         {"a": {1: 2}},
         OrderedDict(b=1, a=2), Counter("aab"), defaultdict(list, {1: [2]}), defaultdict(None, {1: 2}), set(), {1, 2},
         frozenset({"a"}),
         {(1, ("a", None)): 1.5, 2.5: True, b"k": 0}, Size((2, 3)), Size(()), device("cpu"), device("cuda", 1), dtypes.bfloat16,
         dtypes.bool_]


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


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[1], lambda a: a[:, 2], lambda a: a[::2, 1::2], lambda a: a[1:1],
                                  lambda a: a[2, 3, ...],
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
    with pytest.raises(RuntimeError, match=r"as different types: torch\.float32 and torch\.int32"):
        written([_wrap(NUMBERS), _wrap(NUMBERS.view(np.int32))])


def test_equal_objects_give_equal_files(tmp_path: Path) -> None:
    def build() -> Any:
        return {"w": _wrap(NUMBERS.copy()), "tags": {"x", "y", "z", "a"}, "".join(["k", "ey"]): 1, "v": "key"}

    save(build(), tmp_path / "one.pt")
    save(build(), tmp_path / "two.pth")
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pth").read_bytes() == written(build())
    assert written(through_file(build())) == written(build())
