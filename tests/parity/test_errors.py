"""The catalogue of mistakes: for the 150 names that scripts use most, three each, the exception class is torch's and the message tells the facts.

tests/data/mistakes.txt lists the calls, and what the message must name: the value given, what was expected, the way out.
"""

from __future__ import annotations

import io
import pathlib
import warnings

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.optim
import mytorch.utils.data

torch = pytest.importorskip("torch")

DATA = pathlib.Path(__file__).parent.parent / "data"
LINES = [line for line in (DATA / "mistakes.txt").read_text().splitlines() if not line.startswith("#")]
ROWS = [tuple(part.strip() for part in line.split(" | ")) for line in LINES]
NAMES = [line.split("\t")[0] for line in (DATA / "api_usage_150.tsv").read_text().splitlines()[1:]]


def twice(function, y):
    function(y)
    function(y)


def infinite(module):
    for p in module.parameters():
        p.grad = p.detach() * float("inf")
    return list(module.parameters())


def scope(t):
    """What the calls of the table may use."""
    x = t.arange(6.0).reshape(2, 3)

    class Bare(t.nn.Module):
        def __init__(self):
            pass

    def under_no_grad(v):
        with t.no_grad():
            return (v * v).sum()

    return {
        "T": t, "nn": t.nn, "F": t.nn.functional, "np": np, "x": x, "v": x.clone().requires_grad_(), "i": t.tensor([0, 1]), "m": t.nn.Linear(3, 4),
        "Bare": Bare, "under_no_grad": under_no_grad, "twice": twice, "infinite": infinite, "text_file": lambda: io.BytesIO(b"only some text"),
    }


def error_of(t, call):
    """What the call raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            eval(call, scope(t))
        except Exception as error:
            return error
    return None


def test_the_catalogue_has_three_mistakes_for_each_of_the_150_names():
    assert [row[0] for row in ROWS] == [name for name in NAMES for _ in range(3)]
    assert all(len(row) == 3 for row in ROWS)
    assert len({row[1] for row in ROWS}) == len(ROWS) == 450


@pytest.mark.parametrize(("name", "call", "facts"), ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
def test_mistake_raises_torchs_class_and_tells_the_facts(name, call, facts):
    expected, found = error_of(torch, call), error_of(mytorch, call)
    assert expected is not None, "torch accepts this call: it is no mistake"
    assert type(found) is type(expected), f"{found!r}, torch has {expected!r}"
    text = str(found).lower()
    missing = [word for word in facts.lower().split() if word not in text]
    assert not missing, f"{found!r} does not name {missing}; torch says {expected!r}"


def test_sizes_without_memory_are_refused_and_the_process_goes_on():
    for call in ("T.empty(10 ** 15)", "T.ones(2 ** 40, 2 ** 40)", "T.zeros(-1)", "T.rand(10 ** 15)", "T.full((10 ** 15,), 1.0)",
                 "T.randn(10 ** 15)",
                 "T.empty(2 ** 62)", "T.zeros(2 ** 63)", "T.zeros(10 ** 30)", "T.arange(10 ** 15)", "T.eye(10 ** 8)", "T.linspace(0, 1, 10 ** 15)",
                 "x.new_zeros(10 ** 15)", "x.repeat(10 ** 10, 10 ** 8)", "T.randperm(-1)", "T.tensor([1.0]).expand(10 ** 15).clone()",
                 "T.ones(1, 1).expand(10 ** 8, 1) + T.ones(1, 1).expand(1, 10 ** 8)", "T.ones(1).expand(10 ** 14).exp()",
                 "T.ones(10 ** 5, 1) @ T.ones(1, 1).expand(1, 10 ** 12)", "T.nn.functional.pad(x, (0, 10 ** 15))", "T.ones(2).resize_(10 ** 15)"):
        expected, found = error_of(torch, call), error_of(mytorch, call)
        assert type(found) is type(expected), f"{call}: {found!r}, torch has {expected!r}"
        assert mytorch.ones(3).sum().item() == 3


def test_distances_of_rows_of_different_lengths_are_refused_as_in_torch():
    for call, words in (("T.cdist(T.ones(2, 3), T.ones(2, 4))", "X1: 3 X2: 4"), ("T.cdist(T.ones(3), T.ones(2, 3))", "X1 got: 1D")):
        assert type(error_of(torch, call)) is type(error_of(mytorch, call)) is RuntimeError
        assert words in str(error_of(mytorch, call))
    call = "T.cdist(T.ones(2, 3), T.ones(2, 3), compute_mode='mm')"
    assert type(error_of(torch, call)) is type(error_of(mytorch, call)) is ValueError


def test_what_is_made_in_inference_mode_stays_out_of_graphs():
    for t in (mytorch, torch):
        with t.inference_mode():
            made = [t.ones(2), t.from_numpy(np.ones(2)), t.rand(2), t.tensor([1.0]), t.zeros_like(t.ones(1)), t.arange(3.0), t.eye(2),
                    t.full((2,), 3.0),
                    t.linspace(0, 1, 3), t.randn(2), t.as_tensor(np.ones(1)), t.ones(2).new_zeros(2), t.ones(3)[0], t.ones(3).detach(),
                    t.ones(2) + 1, t.nn.Linear(2, 2).weight]
        assert [x.is_inference() for x in made] == [True] * len(made)
        for x in made[:3]:
            with pytest.raises(RuntimeError, match="Inplace update to inference tensor"):
                x.add_(1)
            with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
                t.ones(2, requires_grad=True) * x
        normal = t.ones(2)
        with t.inference_mode():
            assert not normal[0].is_inference()
            assert not normal.add_(1).is_inference()
        assert not t.ones(2).is_inference()
