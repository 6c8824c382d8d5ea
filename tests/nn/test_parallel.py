"""DataParallel without GPUs: the module itself, under the names of checkpoints made with GPUs."""

from __future__ import annotations

import pytest

import mytorch as torch
import mytorch.nn.parallel
from mytorch import nn


def test_data_parallel_calls_its_module_and_prefixes_its_names():
    inner = nn.Linear(3, 2)
    wrapped = nn.DataParallel(inner)
    x = torch.randn(4, 3)
    assert wrapped(x).tolist() == inner(x).tolist()
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    assert wrapped.module is inner and wrapped.device_ids == []


def test_data_parallel_as_a_function_passes_keywords():
    assert mytorch.nn.parallel.data_parallel(nn.Bilinear(2, 3, 4), (torch.ones(5, 2),), module_kwargs={"input2": torch.ones(5, 3)}).shape == (5, 4)


def test_data_parallel_refuses_devices_that_are_not_there():
    with pytest.raises(RuntimeError, match="use device='cpu'"):
        nn.DataParallel(nn.Linear(1, 1), device_ids=[0, 1])
