"""Versions that order by their numbers."""

from __future__ import annotations

import pytest

from mytorch.torch_version import TorchVersion, __version__

IN_ORDER = ["1.9.1+cu111", "2.4", "2.13.0.dev20240101", "2.13.0a0", "2.13.0b2", "2.13.0rc1", "2.13.0", "2.13.0+cpu", "2.13.1", "3"]


def test_versions_order_by_their_numbers() -> None:
    assert sorted(map(TorchVersion, reversed(IN_ORDER))) == IN_ORDER
    assert [v <= w for v, w in zip(map(TorchVersion, IN_ORDER), IN_ORDER[1:], strict=False)] == [True] * 9


@pytest.mark.parametrize(("other", "relation"), [((2, 13), 0), ((2, 4), 1), ((3,), -1), ("2.13", 0), ("2.13.0", 0), ("2.9", 1), ([2, 14], -1)])
def test_a_version_compares_with_text_and_with_numbers(other: object, relation: int) -> None:
    version = TorchVersion("2.13.0")
    found = (version < other, version == other, version > other, version <= other, version >= other, version != other)
    assert found == (relation < 0, relation == 0, relation > 0, relation <= 0, relation >= 0, relation != 0)


def test_a_version_is_a_text_and_no_number() -> None:
    assert TorchVersion("2.13.0").split(".") == ["2", "13", "0"]
    assert {TorchVersion("2.13.0"): 1}["2.13.0"] == 1
    assert TorchVersion("2.13.0") != 2.13
    with pytest.raises(TypeError):
        TorchVersion("2.13.0") < 2.13  # noqa: B015
    assert TorchVersion("2.13.0") != "unknown"
    assert __version__.partition("+")[0] == "2.13.0"
