"""Lazy layers against torch's: how they print, wait, take shape, load and refuse."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.optim

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same, outcome  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
LIBS = (mytorch, torch)

# (name, positional arguments, keywords, input shape)
ROWS = [
    ("LazyLinear", (3,), {}, (2, 5)),
    ("LazyLinear", (3,), {"bias": False}, (5,)),
    ("LazyConv1d", (4, 3), {}, (2, 3, 7)),
    ("LazyConv2d", (4, (3, 2)), {"stride": 2, "padding": 1, "groups": 2}, (1, 2, 6, 5)),
    ("LazyConv2d", (4, 3), {"padding_mode": "circular", "padding": 1}, (3, 6, 5)),
    ("LazyConv3d", (2, 2), {"bias": False}, (1, 2, 3, 4, 3)),
    ("LazyConvTranspose1d", (4, 3), {"stride": 2, "output_padding": 1}, (2, 3, 7)),
    ("LazyConvTranspose2d", (6, 2), {"groups": 2}, (1, 4, 5, 5)),
    ("LazyConvTranspose3d", (2, 2), {}, (1, 2, 3, 4, 3)),
    ("LazyBatchNorm1d", (), {}, (4, 3)),
    ("LazyBatchNorm2d", (), {"affine": False}, (2, 3, 4, 4)),
    ("LazyBatchNorm3d", (), {"track_running_stats": False, "bias": False}, (2, 3, 2, 2, 2)),
    ("LazyInstanceNorm1d", (), {}, (2, 3, 4)),
    ("LazyInstanceNorm2d", (), {"eps": 0.1, "momentum": 0.3}, (2, 3, 4, 4)),
    ("LazyInstanceNorm3d", (), {"track_running_stats": False}, (2, 3, 2, 2, 2)),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(ROWS)]


def made(row, T):
    T.manual_seed(0)
    return getattr(T.nn, row[0])(*row[1], **row[2])


def as_input(row, T):
    return T.tensor(np.random.default_rng(0).standard_normal(row[3]).astype(np.float32))


def words(T, text):
    """An address-free text in which both packages have one name."""
    return text.replace(T.__name__, "torch")


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_lazy_layer_waits_as_torchs(row):
    assert_same(lambda T: made(row, T))
    assert_same(lambda T: list(made(row, T).state_dict().items()))
    assert_same(lambda T: [made(row, T).has_uninitialized_params(), len(list(made(row, T).parameters()))])


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_first_input_makes_the_plain_layer_with_torchs_weights(row):
    found = []
    for T in LIBS:
        layer = made(row, T)
        before = list(layer.parameters())
        y = layer(as_input(row, T))
        assert type(layer).__name__ == row[0].removeprefix("Lazy")
        assert all(a is b for a, b in zip(before, layer.parameters(), strict=True))
        assert all(type(p) is T.nn.Parameter and p.requires_grad for p in layer.parameters())
        found.append((repr(layer), [y, layer(as_input(row, T)), *layer.state_dict().values()], list(layer.state_dict())))
    assert found[0][0] == found[1][0]
    assert found[0][2] == found[1][2]
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(np.asarray(ours.detach()), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_lazy_layer_loads_a_checkpoint_as_torchs(row):
    for T in LIBS:
        plain, lazy = made(row, T), made(row, T)
        plain(as_input(row, T))
        lazy.load_state_dict(plain.state_dict())
        assert not lazy.has_uninitialized_params()
        for a, b in zip(lazy.state_dict().values(), plain.state_dict().values(), strict=True):
            assert T.equal(a, b)
        if T is torch and "InstanceNorm" in row[0]:
            continue  # it expects 0 channels from then on
        plain.eval()
        lazy.eval()
        assert T.equal(lazy(as_input(row, T)), plain(as_input(row, T)))
        if T is mytorch:  # torch's goes on printing 0 channels
            assert repr(lazy) == repr(plain)


REFUSALS = {
    "arithmetic": lambda T: T.nn.LazyLinear(3).weight + 1,
    "shape": lambda T: T.nn.LazyLinear(3).weight.shape,
    "numel": lambda T: T.nn.LazyLinear(3).weight.numel(),
    "loading into a plain layer": lambda T: T.nn.Linear(4, 3).load_state_dict(T.nn.LazyLinear(3).state_dict()),
    "dimensions": lambda T: T.nn.LazyConv2d(3, 2)(T.ones(4)),
    "groups": lambda T: T.nn.LazyConv2d(4, 2, groups=2)(T.ones(1, 3, 5, 5)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_torchs(case):
    ours, theirs = (outcome(REFUSALS[case], T)[0] for T in LIBS)
    assert ours[:40] == theirs[:40]


def test_a_dtype_is_kept_until_the_shape_comes():
    for T in LIBS:
        model = T.nn.Sequential(T.nn.LazyLinear(4), T.nn.LazyBatchNorm1d(), T.nn.LazyLinear(2)).double()
        assert model[0].weight.dtype is T.float64
        assert model[1].running_mean.dtype is T.float64
        twin = copy.deepcopy(model[0])
        assert model(T.ones(3, 5, dtype=T.float64)).dtype is T.float64
        assert twin.has_uninitialized_params()
        assert [p.dtype for p in model.parameters()] == [T.float64] * 6


def test_an_optimizer_made_before_the_first_input_trains():
    losses = []
    for T in LIBS:
        T.manual_seed(3)
        model = T.nn.Sequential(T.nn.LazyLinear(4), T.nn.Tanh(), T.nn.LazyLinear(1))
        optimizer = T.optim.Adam(model.parameters(), lr=0.1)
        x = T.linspace(-1, 1, 10).reshape(5, 2)
        for _ in range(5):
            optimizer.zero_grad()
            loss = (model(x) - x[:, :1]).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def own_lazy_module(T):
    mixin = mytorch.nn.lazy.LazyModuleMixin if T is mytorch else torch.nn.modules.lazy.LazyModuleMixin

    class Scale(mixin, T.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = T.nn.UninitializedParameter()

        def initialize_parameters(self, x):
            if self.has_uninitialized_params():
                self.weight.materialize((x.shape[-1],))
                with T.no_grad():
                    self.weight.fill_(2.0)

        def forward(self, x):
            return x * self.weight

    return Scale()


@pytest.mark.parametrize("T", LIBS)
def test_a_lazy_module_of_ones_own(T):
    layer = own_lazy_module(T)
    assert layer(T.ones(2, 3)).tolist() == [[2.0] * 3] * 2
    assert layer(T.ones(2, 3)).sum().item() == 12.0


@pytest.mark.parametrize("kind", ["LazyLinear", "LazyBatchNorm1d"])
def test_a_checkpoint_of_a_waiting_layer_loads_into_a_waiting_layer(kind):
    def scenario(T):
        make = getattr(T.nn, kind)
        first, second = ((make(3), make(3)) if kind == "LazyLinear" else (make(), make()))
        return [first.load_state_dict(second.state_dict()), list(first.state_dict().items()), first.has_uninitialized_params()]

    assert_same(scenario)


@pytest.mark.parametrize("use", [
    lambda T, w: w + 1, lambda T, w: T.ones(1, 3) @ w, lambda T, w: w.sum(), lambda T, w: T.relu(w), lambda T, w: T.nn.init.zeros_(w),
    lambda T, w: w.numel(),
    lambda T, w: T.nn.functional.linear(T.ones(1, 3), w), lambda T, w: w.shape, lambda T, w: w.share_memory_(),
])
def test_using_what_has_no_shape_yet_raises_torchs_class(use):
    classes = []
    for T in LIBS:
        with pytest.raises((ValueError, RuntimeError)) as caught:
            use(T, T.nn.LazyLinear(3).weight)
        classes.append(caught.type)
    assert classes[0] is classes[1]


def test_a_waiting_layer_has_no_memory_to_share():
    assert_same(lambda T: T.nn.LazyLinear(3).share_memory())
    assert_same(lambda T: T.nn.LazyLinear(3).weight.size())
