"""nn.init and nn.utils: the same draws, gradients, error texts and warnings as torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same, outcome  # noqa: E402

FILLS = """
I.uniform_(E(3, 4))
I.uniform_(E(3, 4), -2., 5.)
I.uniform_(P(E(3, 4)), -2., 5.)
I.normal_(E(3, 4))
I.normal_(E(7, 9), 1., .3)
I.normal_(E(7, 9, dtype=T.float64), 1., .3)
I.constant_(E(2), 3)
I.ones_(E(2))
I.zeros_(E(2))
I.eye_(E(3, 4))
I.eye_(E(4, 3, dtype=T.bfloat16))
I.dirac_(E(3, 4, 3))
I.dirac_(E(4, 2, 3, 3), 2)
I.dirac_(E(4, 2, 3, 3, 2))
I.xavier_uniform_(E(5, 4))
I.xavier_uniform_(E(5, 4, 3, 3), gain=2.)
I.xavier_normal_(E(5, 4))
I.xavier_normal_(E(5, 4, 3), .5)
I.kaiming_uniform_(E(5, 4))
I.kaiming_uniform_(E(5, 4), a=5 ** .5)
I.kaiming_uniform_(E(5, 4, 3, 3), mode='fan_out', nonlinearity='relu')
I.kaiming_normal_(E(5, 4))
I.kaiming_normal_(E(5, 4, 3, 3), mode='fan_out', nonlinearity='relu')
I.kaiming_normal_(E(5, 4, 3, 3), mode='FAN_OUT', nonlinearity='tanh')
I.orthogonal_(E(5, 4))
I.orthogonal_(E(4, 5))
I.orthogonal_(E(4, 5, 2), gain=2.)
I.orthogonal_(E(6, 2, 2))
I.orthogonal_(E(0, 3))
I.orthogonal_(E(40, 50, dtype=T.float64))
I.sparse_(E(7, 5), .4)
I.sparse_(E(7, 5), .0, .3)
I.trunc_normal_(E(5))
I.trunc_normal_(E(50))
I.trunc_normal_(E(50), std=.02)
I.trunc_normal_(E(50), std=.02, a=-.04, b=.04)
I.trunc_normal_(E(50), 1., 2., 0., 1.)
I.trunc_normal_(E(50), 0., 1., 1., 9.)
I.trunc_normal_(E(50), 0., 1., -.38, .38)
I.trunc_normal_(E(50), 0., 1., -.39, .39)
I.trunc_normal_(E(50, dtype=T.float64), 0., 1., 1., 9.)
I.trunc_normal_(E(0))
I.trunc_normal_(P(E(4, 4)))
I.uniform_(E(3), generator=G().manual_seed(5))
I.normal_(E(3), generator=G().manual_seed(5))
I.kaiming_uniform_(E(3, 3), generator=G().manual_seed(5))
I.orthogonal_(E(3, 3), generator=G().manual_seed(5))
I.trunc_normal_(E(3, 3), generator=G().manual_seed(5))
I.sparse_(E(5, 3), .4, generator=G().manual_seed(5))
""".strip().splitlines()

TEXTS = """
I.trunc_normal_(E(50), 5.).shape
I.eye_(E(3))
I.dirac_(E(3))
I.xavier_normal_(E(3))
I.kaiming_normal_(E(3))
I.orthogonal_(E(3))
I.sparse_(E(3), .1)
I.dirac_(E(3, 2, 2), 2)
I.kaiming_normal_(E(0, 3)).shape
I.kaiming_uniform_(E(0, 3)).shape
I.xavier_uniform_(E(0, 3)).shape
I.kaiming_normal_(E(3, 3), mode='x')
I.kaiming_normal_(E(3, 3), nonlinearity='x')
I.kaiming_normal_(E(3, 3), a='x')
[I.calculate_gain(n) for n in ('linear', 'sigmoid', 'tanh', 'relu', 'leaky_relu', 'selu', 'conv2d')]
I.calculate_gain('gelu')
I.calculate_gain('leaky_relu', True)
I.calculate_gain('leaky_relu', .2)
[getattr(I, old)(E(3, 3), *more).shape for old, more in (('uniform', ()), ('normal', ()), ('constant', (2.,)), ('eye', ()))]
[getattr(I, 'xavier_' + kind)(E(3, 3)).shape for kind in ('uniform', 'normal')]
[getattr(I, old)(E(3, 3), *more).shape for old, more in (('orthogonal', ()), ('sparse', (.1,)), ('kaiming_normal', ()))]
I._calculate_fan_in_and_fan_out(E(4, 3, 2, 5))
I._calculate_correct_fan(E(4, 3, 2, 5), 'fan_out')
I.constant_(P(E(2)), 2)._version > 0
""".strip().splitlines()


def evaluate(expression: str, T: Any) -> Any:
    T.manual_seed(3)
    return eval(expression, {"T": T, "I": T.nn.init, "E": T.empty, "P": T.nn.Parameter, "G": T.Generator})


@pytest.mark.parametrize("expression", FILLS)
def test_fill_draws_what_torch_draws_and_leaves_the_generator_where_torch_does(expression: str) -> None:
    expected = evaluate(expression, torch)
    following = torch.rand(1).item()
    found = evaluate(expression, mytorch)
    assert mytorch.rand(1).item() == following
    assert (tuple(found.shape), found.requires_grad) == (tuple(expected.shape), expected.requires_grad)
    x, y = found.detach().to(mytorch.float64).numpy(), expected.detach().double().numpy()
    np.testing.assert_allclose(x, y, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("expression", TEXTS)
def test_texts_and_numbers_are_torchs(expression: str) -> None:
    assert_same(lambda T: evaluate(expression, T))


UTILITIES = """
U.clip_grad_norm_(ps, 1.)
U.clip_grad_norm_(ps, 100.)
U.clip_grad_norm_(ps[0], 1.)
U.clip_grad_norm_([], 1.)
U.clip_grad_norm_(ps, 1., 'inf')
U.clip_grad_norm_(ps, 1., float('inf'))
U.clip_grad_norm_(ps, 1., -float('inf'))
U.clip_grad_norm_(ps, 1., 0)
U.clip_grad_norm_(ps, 1., 1)
U.clip_grad_norm_(ps, 1., 3.)
U.clip_grad_norm_(ps, 1., -1)
U.clip_grad_norm_(infinite, 1.)
U.clip_grad_norm_(infinite, 1., error_if_nonfinite=True)
U.clip_grad_norm_((p for p in ps), 1.)
U.clip_grad_norm_((p for p in []), 1.)
U.clip_grad_norm(ps, 1.)
U.clip_grad_value_(ps, 1.5)
U.clip_grad_value_(ps[0], .5)
U.get_total_norm([T.ones(2), T.ones(2, dtype=T.float64)])
U.get_total_norm([T.ones(2, dtype=T.bfloat16)])
U.get_total_norm([T.tensor([3 + 4j])])
U.get_total_norm([])
U.get_total_norm(T.ones(4))
U.get_total_norm([T.ones(0)])
U.clip_grads_with_norm_(ps, 1., T.tensor(3.))
U.parameters_to_vector(ps[:2])
U.vector_to_parameters(T.arange(6.), ps)
U.vector_to_parameters([1], ps)
U.vector_to_parameters(T.arange(3.), ps)
U.vector_to_parameters(T.arange(9.), ps)
""".strip().splitlines()


@pytest.mark.parametrize("expression", UTILITIES)
def test_utility_has_torchs_outcome(expression: str) -> None:
    def scenario(T: Any) -> Any:
        ps = []
        for gradient in ([3.0, 4.0, 0.0], [1.0, -2.0], None, [3.0, float("inf")]):
            ps.append(T.nn.Parameter(T.ones(1 if gradient is None else len(gradient))))
            ps[-1].grad = None if gradient is None else T.tensor(gradient)
        result = eval(expression, {"T": T, "U": T.nn.utils, "ps": ps[:3], "infinite": ps[3:]})
        return result, [p.grad for p in ps], [p.detach() for p in ps]

    assert_same(scenario)


def test_clipping_bfloat16_gradients_gives_torchs_numbers() -> None:
    def scenario(T: Any) -> Any:
        p = T.nn.Parameter(T.ones(4, dtype=T.bfloat16))
        p.grad = T.tensor([3.0, -4.0, 1.0, 0.5], dtype=T.bfloat16)
        T.nn.utils.clip_grad_value_(p, 2.0)
        clamped = p.grad.clone()
        T.nn.utils.clip_grad_norm_(p, 1.0)
        return clamped, p.grad

    assert outcome(scenario, mytorch) == outcome(scenario, torch)
