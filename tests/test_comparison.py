"""equal, isclose and allclose: functions and methods that compare whole tensors."""

from __future__ import annotations

import pytest

import mytorch as torch


def test_equal_asks_for_the_same_shape_and_values():
    x = torch.tensor([1.0, 2.0])
    assert torch.equal(x, x.clone()) and x.equal(x.double())
    assert not torch.equal(x, torch.tensor([1.0, 3.0])) and not x.equal(torch.tensor([[1.0, 2.0]]))
    with pytest.raises(TypeError, match="must be Tensor"):
        torch.equal(x, 3)


def test_allclose_and_isclose_keep_their_tolerances():
    x = torch.tensor([1.0, float("nan")])
    y = torch.tensor([1.0 + 1e-6, float("nan")])
    assert torch.isclose(x, y).tolist() == [True, False]
    assert x.isclose(y, equal_nan=True).tolist() == [True, True]
    assert x.allclose(y, equal_nan=True) and not torch.allclose(x, y) and not x.allclose(y, rtol=1e-8, equal_nan=True)
    with pytest.raises(RuntimeError, match="greater than or equal to zero"):
        torch.isclose(x, y, rtol=-1.0)
    with pytest.raises(RuntimeError, match="did not match"):
        torch.isclose(x, y.double())
