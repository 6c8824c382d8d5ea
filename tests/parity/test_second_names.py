"""Settings and questions under torch's names give torch's answers."""

from __future__ import annotations

import pytest

import mytorch

torch = pytest.importorskip("torch")

QUESTIONS = {
    "typename of a tensor": lambda lib: lib.typename(lib.zeros(2, dtype=lib.float64)),
    "typename of a number": lambda lib: lib.typename(3),
    "default device": lambda lib: str(lib.get_default_device()),
    "matmul precision": lambda lib: lib.get_float32_matmul_precision(),
    "is_cpu": lambda lib: (lib.zeros(2).is_cpu, lib.zeros(2).is_xpu, lib.zeros(2).is_vulkan),
    "is_nonzero": lambda lib: (lib.tensor([0.0]).is_nonzero(), lib.tensor(2).is_nonzero()),
    "get_device": lambda lib: (lib.zeros(2).get_device(), lib.get_device(lib.zeros(2))),
    "dim_order": lambda lib: lib.zeros(2, 3, 4).permute(2, 0, 1).dim_order(),
    "is_set_to": lambda lib: [x.is_set_to(y) for x in [lib.zeros(2, 3)] for y in (x, x.view(2, 3), x.view(3, 2), lib.zeros(2, 3))],
    "is_same_size": lambda lib: (lib.zeros(2).is_same_size(lib.zeros(2)), lib.is_same_size(lib.zeros(2), lib.zeros(3))),
    "reversed": lambda lib: reversed(lib.arange(6).reshape(2, 3)).tolist(),
    "reflected shifts": lambda lib: ((1 << lib.tensor([1, 2])).tolist(), (8 >> lib.tensor([1, 2])).tolist()),
    "vander of nothing": lambda lib: [tuple(lib.vander(lib.tensor([1, 2]), n).shape) for n in (0, 1, 3)],
    "vander of ints": lambda lib: (lib.vander(lib.tensor([1, 2, 3])).tolist(), lib.vander(lib.tensor([1, 2, 3]), 2, True).tolist()),
    "norm_except_dim": lambda lib: [round(float(x), 5) for x in lib.norm_except_dim(lib.arange(6.0).reshape(2, 3), 2, 1).flatten()],
    "map2_": lambda lib: lib.ones(2, 2).map2_(lib.arange(2.0), lib.ones(2, 1), lambda a, b, c: a + 2 * b + c).tolist(),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_answer_is_torchs(name):
    assert QUESTIONS[name](mytorch) == QUESTIONS[name](torch)


def test_precision_that_was_set_is_remembered():
    try:
        mytorch.set_float32_matmul_precision("high")
        assert mytorch.get_float32_matmul_precision() == "high"
    finally:
        mytorch.set_float32_matmul_precision("highest")


def test_binomial_draws_have_the_mean_and_the_variance_of_the_distribution():
    mytorch.manual_seed(0)
    drawn = mytorch.binomial(mytorch.full((4000,), 10.0), mytorch.full((4000,), 0.3))
    assert abs(float(drawn.mean()) - 3.0) < 0.1
    assert abs(float(drawn.var()) - 2.1) < 0.2
    assert float(drawn.max()) <= 10
