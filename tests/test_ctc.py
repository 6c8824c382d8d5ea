"""The CTC loss: what it computes, by counting all alignments; its gradients through log_softmax, where they are slopes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import mytorch
import mytorch.nn.functional as F
from tests.gradients import gradcheck, gradgradcheck


def scores(*shape, seed=0):
    return mytorch.tensor(np.random.default_rng(seed).standard_normal(shape)).requires_grad_()


def merged(path, blank):
    """An alignment without repetitions and blanks."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


@pytest.mark.parametrize("labels", [[1], [1, 2], [2, 2], [], [1, 2, 1]])
@pytest.mark.parametrize("blank", [0, 3])
def test_the_loss_sums_over_all_alignments(labels, blank):
    labels = [label if label != blank else 0 for label in labels]
    log_probs = scores(5, 4).log_softmax(1)
    table = np.asarray(log_probs.detach())
    total = sum(math.exp(sum(table[t, c] for t, c in enumerate(path)))
                for path in itertools.product(range(4), repeat=5) if merged(path, blank) == labels)
    loss = F.ctc_loss(log_probs, mytorch.tensor(labels, dtype=mytorch.int64), (5,), (len(labels),), blank=blank, reduction="none")
    assert loss.item() == pytest.approx(-math.log(total), rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients_of_the_scores_are_slopes(reduction):
    targets = mytorch.tensor([[1, 2, 2], [3, 1, 0], [2, 0, 0]])

    def loss(x):
        return F.ctc_loss(x.log_softmax(2), targets, (6, 5, 3), (3, 2, 1), reduction=reduction)

    gradcheck(loss, [scores(6, 3, 4)])
    gradgradcheck(loss, [scores(6, 3, 4)])


def test_labels_that_do_not_fit_cost_infinity_or_nothing():
    for zero_infinity, expected in ((False, math.inf), (True, 0.0)):
        x = scores(3, 2, 4)
        losses = F.ctc_loss(x.log_softmax(2), mytorch.tensor([[1, 1, 2], [1, 2, 0]]), (3, 3), (3, 2), reduction="none",
                            zero_infinity=zero_infinity)
        assert losses[0].item() == expected
        assert math.isfinite(losses[1].item())
        losses.sum().backward()
        assert bool(x.grad[:, 0].isnan().all()) is not zero_infinity
        assert bool(x.grad[:, 1].isfinite().all())


def test_frames_beyond_the_length_get_no_gradient():
    x = scores(6, 2, 3)
    F.ctc_loss(x.log_softmax(2), mytorch.tensor([[1], [2]]), (4, 0), (1, 0), reduction="sum").backward()
    assert not x.grad[4:, 0].any()
    assert not x.grad[:, 1].any()
    assert x.grad[:4, 0].all()


def test_labels_in_one_row_and_in_rows_give_one_loss():
    log_probs = scores(6, 2, 4).log_softmax(2)
    rows = F.ctc_loss(log_probs, mytorch.tensor([[1, 2, 3], [2, 99, 99]]), (6, 6), (3, 1))
    line = F.ctc_loss(log_probs, mytorch.tensor([1, 2, 3, 2]), mytorch.tensor([6, 6]), mytorch.tensor([3, 1]))
    assert rows.item() == line.item()


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(IndexError, match=r"labels must be in \[0, 4\), got 1 to 4"):
        F.ctc_loss(scores(6, 1, 4).log_softmax(2), mytorch.tensor([[1, 4]]), (6,), (2,))
