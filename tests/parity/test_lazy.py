"""Lazy layers against torch's: how they print, wait, take shape, load and refuse."""

from __future__ import annotations

import copy
import io
import pickle

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


def saved(T, value, **options):
    stream = io.BytesIO()
    T.save(value, stream, **options)
    return io.BytesIO(stream.getvalue())


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("into", LIBS)
@pytest.mark.parametrize("out_of", LIBS)
def test_the_file_of_a_waiting_layer_is_exchanged_with_torch(out_of, into, options):
    def network(T):
        return T.nn.Sequential(T.nn.LazyLinear(3), T.nn.LazyBatchNorm1d(), T.nn.LazyLinear(2, bias=False))

    state = into.load(saved(out_of, network(out_of).state_dict(), **options), weights_only=False)
    assert [type(value).__name__ for value in state.values()] == [
        "UninitializedParameter", "UninitializedParameter", "UninitializedParameter", "UninitializedParameter", "UninitializedBuffer",
        "UninitializedBuffer", "Tensor", "UninitializedParameter"]
    net = network(into)
    assert net.load_state_dict(state) == ([], [])
    assert net(into.ones(4, 5)).shape == (4, 2)


def test_a_saved_waiting_parameter_keeps_dtype_and_whether_it_trains():
    waiting = mytorch.nn.UninitializedParameter(requires_grad=False, dtype=mytorch.float64)
    for T in LIBS:
        loaded = T.load(saved(mytorch, [waiting, waiting]), weights_only=False)
        assert (loaded[0].dtype, loaded[0].requires_grad) == (T.float64, False)
        assert loaded[0] is loaded[1]


def test_a_file_cannot_make_a_waiting_parameter_of_integers():
    with pytest.raises(pickle.UnpicklingError, match="cannot require a gradient"):
        mytorch.load(saved(torch, _Integers()))


class _Integers:
    """Pickles as a Parameter of integers that requires a gradient."""

    def __reduce__(self):
        return torch.nn.UninitializedParameter, (True, None, torch.int64)


@pytest.mark.parametrize("scenario", [
    lambda T: [T.nn.UninitializedBuffer(persistent=False).persistent, T.nn.UninitializedBuffer().persistent],
    lambda T: isinstance(T.nn.UninitializedBuffer(), T.nn.Buffer),
    lambda T: [T.nn.UninitializedParameter().data, T.nn.UninitializedParameter(dtype=T.float64).data],
    lambda T: [T.nn.parameter.is_lazy(param=T.nn.LazyLinear(3).weight), T.nn.parameter.is_lazy(3)],
    lambda T: T.nn.UninitializedParameter().cls_to_become.__name__,
    lambda T: isinstance(T.nn.UninitializedBuffer(), T.nn.parameter.UninitializedTensorMixin),
])
def test_what_waits_says_of_itself_what_torchs_says(scenario):
    assert_same(scenario)


@pytest.mark.parametrize("persistent", [True, False])
def test_a_waiting_buffer_is_a_buffer_of_its_module(persistent):
    for T in LIBS:
        layer = T.nn.Linear(1, 1, bias=False)
        layer.seen = T.nn.UninitializedBuffer(persistent=persistent)
        assert list(layer._buffers) == ["seen"]
        layer.seen.materialize((2,))
        assert list(layer.state_dict()) == (["weight", "seen"] if persistent else ["weight"])


@pytest.mark.parametrize("use", [
    lambda T, w: w.item(), lambda T, w: w.tolist(), lambda T, w: w.is_shared(), lambda T, w: w.clone(),
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
