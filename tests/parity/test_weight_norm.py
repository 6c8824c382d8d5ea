"""nn.utils.weight_norm against torch: values, gradients, names and shapes of parameters, removal, errors."""

from __future__ import annotations

import pytest

import mytorch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

CASES = {
    "linear": (lambda t: t.nn.Linear(3, 2), (4, 3), {}),
    "linear, dim 1": (lambda t: t.nn.Linear(3, 2), (4, 3), {"dim": 1}),
    "linear, all": (lambda t: t.nn.Linear(3, 2), (4, 3), {"dim": None}),
    "linear, dim -1": (lambda t: t.nn.Linear(3, 2), (4, 3), {"dim": -1}),
    "conv": (lambda t: t.nn.Conv2d(2, 3, 2), (1, 2, 4, 4), {}),
    "conv, dim 1": (lambda t: t.nn.ConvTranspose1d(2, 3, 2), (1, 2, 4), {"dim": 1}),
    "bias": (lambda t: t.nn.Linear(3, 2), (4, 3), {"name": "bias"}),
}


def run(t, make, shape, options):
    """Two steps of training, then removal: everything there is to see."""
    t.manual_seed(0)
    net = t.nn.utils.weight_norm(make(t), **options)
    x = t.randn(*shape)
    found = [[(name, list(p.shape)) for name, p in net.named_parameters()], list(net.state_dict())]
    optimizer = t.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        found += [p.grad.tolist() for p in net.parameters()]
        optimizer.step()
    before = net(x).tolist()
    t.nn.utils.remove_weight_norm(net, options.get("name", "weight"))
    found += [before, net(x).tolist(), [(name, list(p.shape)) for name, p in net.named_parameters()]]
    return found


@pytest.mark.parametrize("name", list(CASES))
def test_training_goes_as_in_torch(name):
    compare(run(mytorch, *CASES[name]), run(torch, *CASES[name]))


def compare(found, expected):
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for f, e in zip(found, expected):
            compare(f, e)
    else:
        assert found == (pytest.approx(expected, rel=1e-4, abs=1e-5) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("t", [mytorch, torch], ids=["mytorch", "torch"])
def test_errors_and_warnings(t):
    net = t.nn.Linear(3, 2)
    with pytest.raises(ValueError, match="weight_norm of 'weight' not found in Linear"):
        t.nn.utils.remove_weight_norm(net)
    with pytest.warns(FutureWarning, match="deprecated"):
        t.nn.utils.weight_norm(net)
    with pytest.raises(RuntimeError, match="Cannot register two weight_norm hooks on the same parameter weight"):
        t.nn.utils.weight_norm(net)
