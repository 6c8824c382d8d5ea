"""Distances between many rows, which come from a product: where rows are equal, and where numbers are not finite."""

from __future__ import annotations

import pytest

import mytorch as torch


def test_equal_rows_have_no_distance_and_no_gradient():
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]]).repeat(20, 1).requires_grad_()
    distances = torch.cdist(x, x)
    assert distances[0, ::2].abs().max() == 0
    assert distances[0, 1].item() == pytest.approx(13**0.5)
    distances[0, ::2].sum().backward()
    assert torch.equal(x.grad, torch.zeros(40, 2))


@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"])
def test_a_row_that_is_not_a_number_is_at_no_known_distance(mode):
    x = torch.ones(3, 2)
    x[1, 0] = float("nan")
    assert torch.cdist(x, x, compute_mode=mode).isnan().tolist() == [[False, True, False], [True, True, True], [False, True, False]]


def test_both_ways_give_the_same_distances_and_gradients():
    torch.manual_seed(0)
    a, b = (torch.randn(2, n, 5, dtype=torch.float64, requires_grad=True) for n in (30, 4))
    found = []
    for mode in ("use_mm_for_euclid_dist_if_necessary", "donot_use_mm_for_euclid_dist"):
        distances = torch.cdist(a, b, compute_mode=mode)
        found.append((distances, *torch.autograd.grad((distances ** 3).sum(), (a, b))))
    for by_product, by_difference in zip(*found, strict=True):
        torch.testing.assert_close(by_product, by_difference)
