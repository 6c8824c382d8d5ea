"""Collating samples into batches."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import mytorch
from mytorch.utils.data import default_collate, default_convert
from mytorch.utils.data.collate import collate, default_collate_fn_map

Point = namedtuple("Point", ["x", "y"])


def test_tensors_are_stacked():
    batch = default_collate([mytorch.ones(2, 3), mytorch.zeros(2, 3)])
    assert batch.shape == (2, 2, 3)
    assert batch[:, 0, 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("samples", "dtype"),
    [
        ([1.0, 2.0], mytorch.float64),
        ([1, 2], mytorch.int64),
        ([True, False], mytorch.bool),
        ([np.float32(1), np.float32(2)], mytorch.float32),
        ([np.ones(2, np.int16)] * 2, mytorch.int16),
    ],
)
def test_numbers_become_one_tensor(samples, dtype):
    batch = default_collate(samples)
    assert batch.dtype is dtype
    assert batch.tolist() == np.array(samples).tolist()


def test_containers_keep_their_class():
    batch = default_collate([OrderedDict(a=1), OrderedDict(a=2)])
    assert type(batch) is OrderedDict
    assert batch["a"].tolist() == [1, 2]
    point = default_collate([Point(1, "a"), Point(2, "b")])
    assert (type(point), point.x.tolist(), point.y) == (Point, [1, 2], ("a", "b"))


def test_tuples_become_lists():
    batch = default_collate([(1, "a"), (2, "b")])
    assert type(batch) is list
    assert (batch[0].tolist(), batch[1]) == ([1, 2], ("a", "b"))


def test_samples_are_not_changed():
    sample = {"a": [1, 2]}
    default_collate([sample, {"a": [3, 4]}])
    assert sample == {"a": [1, 2]}


def test_uneven_lists_are_refused_with_their_sizes():
    with pytest.raises(RuntimeError, match=r"should be of equal size; got sizes \[1, 2\]"):
        default_collate([[1], [1, 2]])


@pytest.mark.parametrize("sample", [None, {1}, 1 + 2j, np.array(["a"])])
def test_unknown_samples_are_refused(sample):
    with pytest.raises(TypeError, match="batch must contain tensors, numpy arrays, numbers, dicts or lists; found"):
        default_collate([sample])


def test_own_type_comes_before_the_type_it_inherits_from():
    rules = {int: lambda batch, *, collate_fn_map: "int", bool: lambda batch, *, collate_fn_map: "bool"}
    assert collate([True], collate_fn_map=rules) == "bool"
    del rules[bool]
    assert collate([True], collate_fn_map=rules) == "int"


def test_rules_can_be_added(monkeypatch):
    class Image:
        pass

    monkeypatch.setitem(default_collate_fn_map, Image, lambda batch, *, collate_fn_map: len(batch))
    assert default_collate([(Image(), 1)] * 3)[0] == 3


def test_convert_touches_arrays_only():
    converted = default_convert({"a": np.ones(2), "b": (1, "s"), "c": [np.float32(2)], "d": np.array(["x"])})
    assert converted["a"].dtype is mytorch.float64
    assert converted["b"] == [1, "s"]
    assert converted["c"][0].item() == 2.0
    assert isinstance(converted["d"], np.ndarray)
