"""nn.init by itself: the properties that each filling promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mytorch as torch
from mytorch.nn import Parameter, init


def values(tensor: Any) -> Any:
    return tensor.detach().numpy()


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(6 / (64 + 128))),
        (lambda t: init.kaiming_uniform_(t), math.sqrt(2) * math.sqrt(3 / 128)),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(128)),
        (lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="tanh"), 5 / 3 * math.sqrt(3 / 64)),
    ],
)
def test_uniform_fillings_reach_their_bound_and_no_further(fill: Any, bound: float) -> None:
    w = np.abs(values(fill(torch.empty(64, 128))))
    assert 0.99 * bound < w.max() <= bound * (1 + 1e-6)
    assert w.mean() == pytest.approx(bound / 2, rel=0.03)


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: init.normal_(t, 0.0, 0.3), 0.3),
        (lambda t: init.xavier_normal_(t), math.sqrt(2 / (64 * 9 + 32 * 9))),
        (lambda t: init.kaiming_normal_(t, nonlinearity="relu"), math.sqrt(2 / (32 * 9))),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="linear"), math.sqrt(1 / (64 * 9))),
    ],
)
def test_normal_fillings_have_their_deviation(fill: Any, std: float) -> None:
    w = values(fill(torch.empty(64, 32, 3, 3)))
    assert w.std() == pytest.approx(std, rel=0.03)
    assert abs(w.mean()) < 0.05 * std


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal_rows_or_columns_are_orthonormal_times_the_gain(shape: tuple[int, ...]) -> None:
    w = values(init.orthogonal_(torch.empty(*shape, dtype=torch.float64), gain=3.0)).reshape(shape[0], -1) / 3
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_sparse_columns_have_their_share_of_zeros() -> None:
    w = values(init.sparse_(torch.empty(10, 6), 0.25))
    assert (w == 0).sum(axis=0).tolist() == [3] * 6


def test_dirac_keeps_the_channels_of_each_group() -> None:
    w = values(init.dirac_(torch.empty(4, 3, 3, 3), groups=2))
    expected = np.zeros((4, 3, 3, 3))
    for channel in (0, 1):
        expected[channel, channel, 1, 1] = expected[channel + 2, channel, 1, 1] = 1
    np.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0.0, 1.0, -2.0, 2.0), (0.5, 2.0, 0.0, 1.0), (0.0, 1.0, 1.5, 9.0), (0.0, 1.0, -0.2, 0.2), (0.0, 1.0, 3.0, 7.0)],
)
@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
def test_truncated_normal_stays_in_its_bounds_and_has_the_distribution(mean: float, std: float, a: float, b: float) -> None:
    w = np.sort(values(init.trunc_normal_(torch.empty(20000), mean, std, a, b)))
    assert a <= w[0] <= w[-1] <= b
    below = np.array([math.erf((x - mean) / std / math.sqrt(2)) for x in (a, *w, b)])
    mass = (below - below[0]) / (below[-1] - below[0])
    # Kolmogorov's bound: the empirical distribution of n draws strays more than 1.95 / sqrt(n) once in a thousand times
    assert np.abs(mass[1:-1] - np.arange(1, w.size + 1) / w.size).max() < 1.95 / math.sqrt(w.size)


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.zeros_, init.ones_, init.eye_, init.orthogonal_,
                                  init.trunc_normal_, init.xavier_normal_, init.kaiming_uniform_, lambda t: init.sparse_(t, 0.5)])
def test_filling_writes_a_parameter_outside_any_graph_and_counts_the_write(fill: Any) -> None:
    p = Parameter(torch.full((4, 4), 9.0))
    assert fill(p) is p
    assert p.is_leaf
    assert p.requires_grad
    assert p._version > 0
    assert not (p == 9.0).any().item()


@pytest.mark.parametrize("fill", [init.eye_, init.orthogonal_, init.trunc_normal_, lambda t: init.sparse_(t, 0.5)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_tensors_get_the_float32_values_rounded(fill: Any, dtype: Any) -> None:
    torch.manual_seed(1)
    expected = fill(torch.empty(4, 4)).to(dtype)
    torch.manual_seed(1)
    found = fill(torch.empty(4, 4, dtype=dtype))
    assert found.dtype is dtype
    assert found.tolist() == expected.tolist()


def test_a_seed_repeats_the_draws_and_a_generator_leaves_the_default_one_alone() -> None:
    torch.manual_seed(5)
    first = init.kaiming_normal_(torch.empty(3, 3)).tolist()
    following = torch.rand(1).item()
    own = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    init.kaiming_normal_(torch.empty(3, 3))
    assert init.kaiming_normal_(torch.empty(3, 3), generator=own).tolist() == first
    assert torch.rand(1).item() == following
