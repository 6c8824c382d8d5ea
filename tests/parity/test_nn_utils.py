"""nn.utils against torch's: parametrizations, spectral and weight normalisation, fusion, layers without initial weights."""

from __future__ import annotations

import copy
import importlib
import io

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.optim

torch = pytest.importorskip("torch")

from tests.parity.nn_scenarios import LIBS, module_of, passes, same_numbers  # noqa: E402
from tests.parity.outcome import assert_same, outcome  # noqa: E402

LAYERS = [("Linear", (4, 3), (2, 4)), ("Linear", (3, 4), (2, 3)), ("Conv2d", (2, 4, 3), (1, 2, 5, 5)), ("ConvTranspose2d", (2, 3, 2), (1, 2, 3, 3)),
          ("Conv1d", (2, 2, 3), (2, 2, 5))]
LAYER_IDS = [f"{name}{i}" for i, (name, *_) in enumerate(LAYERS)]


def layer_of(T, row):
    return getattr(T.nn, row[0])(*row[1])


# ---- the older normalisations by hooks -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("row", LAYERS, ids=LAYER_IDS)
@pytest.mark.parametrize("kwargs", [{}, {"dim": 1}, {"dim": None}])
def test_weight_norm_by_a_hook_trains_as_torchs(row, kwargs):
    same_numbers(lambda T: passes(T, T.nn.utils.weight_norm(layer_of(T, row), **kwargs), row[2]))
    same_numbers(lambda T: passes(T, T.nn.utils.remove_weight_norm(T.nn.utils.weight_norm(layer_of(T, row), **kwargs)), row[2]))


@pytest.mark.parametrize("row", LAYERS, ids=LAYER_IDS)
@pytest.mark.parametrize("kwargs", [{}, {"n_power_iterations": 3, "eps": 1e-3}, {"dim": 1}])
def test_spectral_norm_by_a_hook_trains_as_torchs(row, kwargs):
    def made(T):
        return T.nn.utils.spectral_norm(layer_of(T, row), **kwargs)

    same_numbers(lambda T: passes(T, made(T), row[2]))

    def removed(T):
        module = T.nn.utils.remove_spectral_norm(made(T))
        return [passes(T, module, row[2]), len(module._forward_pre_hooks), len(module._state_dict_hooks)]

    same_numbers(removed)


def test_spectral_norm_loads_its_checkpoint():
    def loaded(T):
        a, b = (T.nn.utils.spectral_norm(T.nn.Linear(3, 2)) for _ in range(2))
        state = a.state_dict()
        result = b.load_state_dict(state)
        x = T.ones(1, 3)
        return [len(result.missing_keys), state._metadata[""]["spectral_norm"], a.eval()(x), b.eval()(x)]

    same_numbers(loaded)


def without_v(T, layer, sigma, version=False):
    """A checkpoint as it was before v was saved: the normalised weight in its place."""
    state = layer.state_dict()
    state["weight"] = state["weight_orig"] / sigma
    del state["weight_v"]
    if not version:
        del state._metadata[""]["spectral_norm"]
    return state


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar:UserWarning")
@pytest.mark.parametrize(("kind", "args", "shape"), [("Linear", (3, 2), (1, 3)), ("Conv2d", (3, 2, 2), (1, 3, 2, 2)), ("Linear", (4, 4), (2, 4))])
def test_spectral_norm_loads_checkpoints_from_before_v_was_saved(kind, args, shape):
    def loaded(T):
        layer = T.nn.utils.spectral_norm(getattr(T.nn, kind)(*args))
        keys = layer.load_state_dict(without_v(T, layer, 2.5))
        return [list(keys), layer.eval()(T.ones(shape)), layer.weight_u.norm()]

    same_numbers(loaded, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar:UserWarning")
@pytest.mark.parametrize("name", ["weight", "weight_orig", "weight_u"])
@pytest.mark.parametrize("strict", [True, False])
def test_an_old_spectral_checkpoint_with_a_part_missing_is_as_torchs(name, strict):
    def scenario(T):
        layer = T.nn.utils.spectral_norm(T.nn.Linear(3, 2))
        state = without_v(T, layer, 2.5)
        del state[name]
        return layer.load_state_dict(state, strict=strict)

    assert_same(scenario)


def test_a_new_spectral_checkpoint_without_v_is_refused_as_by_torch():
    def scenario(T):
        layer = T.nn.utils.spectral_norm(T.nn.Linear(3, 2))
        return layer.load_state_dict(without_v(T, layer, 2.5, version=True))

    assert_same(scenario)


@pytest.mark.parametrize("scenario", [
    lambda T: T.nn.utils.remove_weight_norm(T.nn.Linear(2, 2)),
    lambda T: T.nn.utils.remove_spectral_norm(T.nn.Linear(2, 2)),
    lambda T: T.nn.utils.spectral_norm(T.nn.utils.spectral_norm(T.nn.Linear(2, 2))),
    lambda T: T.nn.utils.weight_norm(T.nn.utils.weight_norm(T.nn.Linear(2, 2))),
    lambda T: T.nn.utils.spectral_norm(T.nn.Linear(2, 2), n_power_iterations=0),
    lambda T: T.nn.utils.spectral_norm(T.nn.Linear(2, 2), "nope"),
    lambda T: T.nn.utils.weight_norm(T.nn.Linear(2, 2), "nope"),
])
def test_normalising_twice_or_not_at_all_raises_as_torch(scenario):
    assert outcome(scenario, mytorch)[0] == outcome(scenario, torch)[0]


# ---- parametrize ---------------------------------------------------------------------------------------------------------------


def parts(T):
    """A few parametrizations, right and wrong."""
    class Symmetric(T.nn.Module):
        def forward(self, X):
            return X.triu() + X.triu(1).mT

        def right_inverse(self, A):
            return A.triu()

    class Double(T.nn.Module):
        def forward(self, X):
            return X * 2

    class Sum(T.nn.Module):
        def forward(self, a, b):
            return a + b

        def right_inverse(self, X):
            return X / 4, X * 3 / 4

    class Rows(T.nn.Module):
        def forward(self, X):
            return X[:1]

    class ToDouble(T.nn.Module):
        def forward(self, X):
            return X.double()

    class Three(T.nn.Module):
        def forward(self, X):
            return 3

    class InverseThree(T.nn.Module):
        def forward(self, X):
            return X

        def right_inverse(self, X):
            return 3

    class InverseDouble(T.nn.Module):
        def forward(self, X):
            return X.float()

        def right_inverse(self, X):
            return X.double()

    class Taller(T.nn.Module):
        def forward(self, X):
            return X[:2]

        def right_inverse(self, X):
            return T.cat([X, X])

    return {kind.__name__: kind for kind in (Symmetric, Double, Sum, Rows, ToDouble, Three, InverseThree, InverseDouble, Taller)}


@pytest.mark.parametrize("names", [("Symmetric",), ("Sum",), ("Symmetric", "Double"), ("Double", "Symmetric"), ("Taller",)], ids="-".join)
@pytest.mark.parametrize("leave", [True, False])
def test_a_parametrized_layer_trains_and_is_restored_as_torchs(names, leave):
    def scenario(T):
        P = module_of(T, "parametrize")  # noqa: N806
        layer = T.nn.Linear(2, 2)
        before = layer.weight
        for name in names:
            assert P.register_parametrization(layer, "weight", parts(T)[name]()) is layer
        chain = layer.parametrizations.weight
        same = chain.original is before if chain.is_tensor else None
        shown = [repr(layer), P.is_parametrized(layer), P.is_parametrized(layer, "weight"), P.is_parametrized(layer, "bias"), same,
                 P.type_before_parametrizations(layer) is T.nn.Linear, [n for n, _ in layer.named_parameters()], "weight" in dir(layer)]
        trained = passes(T, layer, (3, 2))
        copied = passes(T, copy.deepcopy(layer).train(), (3, 2))
        if leave or names != ("Sum",):
            P.remove_parametrizations(layer, "weight", leave_parametrized=leave)
            shown += [repr(layer), type(layer) is T.nn.Linear, P.is_parametrized(layer), layer.weight is before if chain.is_tensor else None]
            if layer.weight.shape == (2, 2):  # the original of "Taller" is taller than the bias
                trained.append(layer.train()(T.ones(1, 2)))
        return [shown, trained, copied, dict(layer.state_dict())]

    same_numbers(scenario)


def test_a_parametrized_tensor_can_be_assigned_to():
    def scenario(T):
        layer = T.nn.Linear(2, 2)
        module_of(T, "parametrize").register_parametrization(layer, "weight", parts(T)["Symmetric"]())
        layer.weight = T.tensor([[1.0, 2.0], [2.0, 5.0]])
        return [layer.weight, dict(layer.state_dict())]

    same_numbers(scenario)


def test_a_buffer_is_parametrized_as_in_torch():
    def scenario(T):
        P, layer = module_of(T, "parametrize"), T.nn.BatchNorm1d(3)  # noqa: N806
        P.register_parametrization(layer, "running_mean", parts(T)["Double"]())
        shown = [repr(layer), list(layer.state_dict())]
        P.remove_parametrizations(layer, "running_mean")
        return [shown, dict(layer.state_dict()), [n for n, _ in layer.named_buffers()]]

    same_numbers(scenario)


def test_cached_computes_once():
    def scenario(T):
        P, layer = module_of(T, "parametrize"), T.nn.Linear(2, 2)  # noqa: N806
        P.register_parametrization(layer, "weight", parts(T)["Double"]())
        with P.cached():
            first = layer.weight
            with P.cached():
                inner = layer.weight is first
            after = layer.weight is first
        return [inner, after, layer.weight is first, layer.weight is layer.weight]

    assert_same(scenario)
    with module_of(mytorch, "parametrize").cached():
        assert scenario(mytorch)[:2] == [True, True]


@pytest.mark.parametrize("name", [None, "weight"])
def test_parametrizations_are_transferred_as_in_torch(name):
    def scenario(T):
        P = module_of(T, "parametrize")  # noqa: N806
        a = P.register_parametrization(T.nn.Linear(2, 2), "weight", parts(T)["Sum"]())
        P.register_parametrization(a, "bias", parts(T)["Double"]())
        b = P.transfer_parametrizations_and_params(a, T.nn.Linear(2, 2), name)
        chain = b.parametrizations.weight
        return [repr(b), chain.original0 is a.parametrizations.weight.original0, chain[0] is a.parametrizations.weight[0], dict(b.state_dict())]

    same_numbers(scenario)


WRONG = ["Rows", "ToDouble", "Three", "InverseThree", "InverseDouble", "Taller", "Sum"]


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize("first", [(), ("Symmetric",)])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_parametrizations_are_refused_as_in_torch(name, first, unsafe):
    def scenario(T):
        P, layer = module_of(T, "parametrize"), T.nn.Linear(2, 2)  # noqa: N806
        for part in first:
            P.register_parametrization(layer, "weight", parts(T)[part]())
        return P.register_parametrization(layer, "weight", parts(T)[name](), unsafe=unsafe)

    a, b = outcome(scenario, mytorch)[0], outcome(scenario, torch)[0]
    assert a == b or "parts.<locals>" in b  # a forward with too few arguments is named with its place in the test


@pytest.mark.parametrize("act", [
    lambda P, T: P.register_parametrization(T.nn.Linear(2, 2), "nope", parts(T)["Double"]()),
    lambda P, T: P.remove_parametrizations(T.nn.Linear(2, 2), "weight"),
    lambda P, T: P.remove_parametrizations(P.register_parametrization(T.nn.Linear(2, 2), "weight", parts(T)["Sum"]()), "weight", False),
    lambda P, T: setattr(P.register_parametrization(T.nn.Linear(2, 2), "weight", parts(T)["Double"]()), "weight", T.ones(2, 2)),
    lambda P, T: P.transfer_parametrizations_and_params(P.register_parametrization(T.nn.Linear(2, 2), "bias", parts(T)["Double"]()),
                                                        T.nn.Linear(2, 2), "weight"),
    lambda P, T: P.ParametrizationList([], T.ones(2)),
])
def test_impossible_requests_raise_as_in_torch(act):
    assert_same(lambda T: act(module_of(T, "parametrize"), T))


def test_a_parametrized_module_refuses_to_be_saved_whole():
    for T in LIBS:
        layer = module_of(T, "parametrizations").orthogonal(T.nn.Linear(2, 2))
        with pytest.raises(RuntimeError, match="only supported through state_dict"):
            T.save(layer, io.BytesIO())


def test_a_parametrized_module_refuses_to_pickle():
    import pickle
    for T in LIBS:
        layer = module_of(T, "parametrize").register_parametrization(T.nn.Linear(2, 2), "weight", T.nn.Identity())
        with pytest.raises(RuntimeError, match=r"Serialization of parametrized modules is only supported through state_dict\(\)"):
            pickle.dumps(layer)


# ---- parametrizations ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", LAYERS, ids=LAYER_IDS)
@pytest.mark.parametrize(("kind", "kwargs"), [("weight_norm", {}), ("weight_norm", {"dim": 1}), ("weight_norm", {"dim": None}), ("spectral_norm", {}),
                                              ("spectral_norm", {"n_power_iterations": 2, "dim": -1})])
def test_normalised_layers_train_as_torchs(row, kind, kwargs):
    def scenario(T):
        layer = getattr(module_of(T, "parametrizations"), kind)(layer_of(T, row), **kwargs)
        return [repr(layer), passes(T, layer, row[2])]

    same_numbers(scenario)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weight_norm_loads_the_older_checkpoints():
    def scenario(T):
        old = T.nn.Sequential(T.nn.utils.weight_norm(T.nn.Linear(3, 2)))
        new = T.nn.Sequential(module_of(T, "parametrizations").weight_norm(T.nn.Linear(3, 2)))
        new.load_state_dict(old.state_dict())
        return [new(T.ones(1, 3)), dict(new.state_dict())]

    same_numbers(scenario)


@pytest.mark.parametrize("trivialization", [True, False])
@pytest.mark.parametrize("orthogonal_map", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("sizes", [(3, 3), (4, 2), (2, 4)], ids=str)
def test_orthogonal_layers_train_as_torchs(sizes, orthogonal_map, trivialization):
    def scenario(T):
        layer = T.nn.Linear(*sizes)
        module_of(T, "parametrizations").orthogonal(layer, "weight", orthogonal_map, use_trivialization=trivialization)
        start = layer.weight
        return [repr(layer), start, passes(T, layer, (2, sizes[0]), steps=2)]

    same_numbers(scenario, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
def test_an_orthogonal_weight_is_orthogonal_and_can_be_assigned_to(orthogonal_map):
    T = mytorch
    layer = module_of(T, "parametrizations").orthogonal(T.nn.Linear(3, 5), "weight", orthogonal_map)
    q = T.linalg.qr(T.randn(5, 3)).Q
    layer.weight = q
    T.testing.assert_close(layer.weight, q, atol=1e-5, rtol=1e-4)
    passes(T, layer, (2, 3))
    T.testing.assert_close(layer.weight.mT @ layer.weight, T.eye(3), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("act", [
    lambda P, T: P.weight_norm(T.nn.Linear(2, 2), "nope"),
    lambda P, T: P.spectral_norm(T.nn.Linear(2, 2), "nope"),
    lambda P, T: P.spectral_norm(T.nn.Linear(2, 2), n_power_iterations=0),
    lambda P, T: P.spectral_norm(T.nn.Linear(2, 2), dim=7),
    lambda P, T: P.orthogonal(T.nn.Linear(2, 2), "nope"),
    lambda P, T: P.orthogonal(T.nn.Linear(2, 2), "bias"),
    lambda P, T: P.orthogonal(T.nn.Linear(2, 2), "weight", "foo"),
    lambda P, T: setattr(P.orthogonal(T.nn.Linear(2, 2), "weight", "cayley", use_trivialization=False), "weight", T.eye(2)),
    lambda P, T: setattr(P.orthogonal(T.nn.Linear(2, 2)), "weight", T.eye(3)),
])
def test_impossible_parametrizations_raise_as_in_torch(act):
    assert_same(lambda T: act(module_of(T, "parametrizations"), T))


# ---- fusion, layers without values, memory formats ------------------------------------------------------------------------------


def warmed(T, norm, shape):
    """A batch normalisation with statistics and parameters of its own, in evaluation."""
    norm(T.randn(shape) * 2 + 1)
    if norm.affine:
        with T.no_grad():
            norm.weight.uniform_(0.5, 2)
            norm.bias.uniform_(-1, 1)
    return norm.eval()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_a_fused_convolution_computes_both(transpose, bias, affine):
    def scenario(T):
        conv = (T.nn.ConvTranspose2d if transpose else T.nn.Conv2d)(2, 3, 2, bias=bias).eval()
        norm = warmed(T, T.nn.BatchNorm2d(3, affine=affine), (4, 3, 5, 5))
        fused = T.nn.utils.fuse_conv_bn_eval(conv, norm, transpose)
        x = T.randn(1, 2, 4, 4)
        assert T.allclose(fused(x), norm(conv(x)), atol=1e-4)
        return [fused(x), dict(fused.state_dict()), fused.weight.requires_grad, fused.bias.requires_grad]

    same_numbers(scenario)


@pytest.mark.parametrize("size", [3, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_a_fused_linear_layer_computes_both(bias, size):
    def scenario(T):
        layer, norm = T.nn.Linear(2, 3, bias=bias).eval(), warmed(T, T.nn.BatchNorm1d(size), (6, size))
        fused = T.nn.utils.fuse_linear_bn_eval(layer, norm)
        return [fused(T.randn(5, 2)), dict(fused.state_dict())]

    same_numbers(scenario)


@pytest.mark.parametrize("act", [
    lambda U, N: U.fuse_conv_bn_eval(N.Conv2d(2, 2, 1), N.BatchNorm2d(2)),
    lambda U, N: U.fuse_conv_bn_eval(N.Conv2d(2, 2, 1).eval(), N.BatchNorm2d(2, track_running_stats=False).eval()),
    lambda U, N: U.fuse_linear_bn_eval(N.Linear(2, 3).eval(), N.BatchNorm1d(2).eval()),
    lambda U, N: U.fuse_linear_bn_eval(N.Linear(2, 3), N.BatchNorm1d(3).eval()),
    lambda U, N: U.skip_init(3),
    lambda U, N: U.skip_init(int),
    lambda U, N: U.skip_init(N.ReLU),
])
def test_what_cannot_be_fused_or_skipped_raises_as_in_torch(act):
    assert_same(lambda T: act(T.nn.utils, T.nn))


def test_skip_init_draws_no_random_numbers():
    def scenario(T):
        layer = T.nn.utils.skip_init(T.nn.Linear, 3, 2, dtype=T.float64)
        return [tuple(layer.weight.shape), str(layer.weight.dtype)[-7:], layer.weight.requires_grad, T.rand(2)]

    same_numbers(scenario)


@pytest.mark.parametrize("dims", [2, 3])
def test_weights_of_convolutions_change_their_memory_format(dims):
    def scenario(T):
        name = {2: "conv2d", 3: "conv3d"}[dims]
        net = T.nn.Sequential(getattr(T.nn, f"Conv{dims}d")(3, 4, 3), getattr(T.nn, f"ConvTranspose{dims}d")(4, 2, 2), T.nn.Conv1d(2, 2, 2))
        changed = getattr(T.nn.utils, f"convert_{name}_weight_memory_format")(net, T.channels_last if dims == 2 else T.channels_last_3d)
        return [changed is net, [list(layer.weight.stride()) for layer in net], dict(net.state_dict())]

    same_numbers(scenario)


# ---- further names of nn: gradients of convolutions, former names, SyncBatchNorm ------------------------------------------------


@pytest.mark.parametrize(("dims", "options"), [
    (1, {}), (2, {"stride": 2, "padding": 1}), (2, {"dilation": (1, 2), "groups": 2}), (3, {"padding": (0, 1, 1), "stride": (2, 1, 1)}),
])
def test_the_gradients_of_a_convolution_are_torchs_and_have_gradients(dims, options):
    def scenario(T):
        rng = np.random.default_rng(0)
        x, w = (T.tensor(rng.standard_normal(size), requires_grad=True)
                for size in ((2, 4, *[5] * dims), (6, 4 // options.get("groups", 1), *[2] * dims)))
        y = getattr(T.nn.functional, f"conv{dims}d")(x, w, **options)
        g = T.tensor(rng.standard_normal(tuple(y.shape)), requires_grad=True)
        names = importlib.import_module(f"{T.__name__}.nn.grad")
        dx = getattr(names, f"conv{dims}d_input")(x.shape, w, g, **options)
        dw = getattr(names, f"conv{dims}d_weight")(x, w.shape, g, **options)
        return [dx, dw, T.autograd.grad((dx.square().sum() + dw.square().sum()), (x, w, g)), T.autograd.grad(y, (x, w), g)]

    same_numbers(scenario, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("act", [
    lambda G, T: G.conv2d_input((2, 3, 5, 5), T.ones(6, 2, 3, 3), T.ones(2, 6, 3, 3), groups=2),
    lambda G, T: G.conv2d_input((2, 4, 9, 9), T.ones(6, 4, 3, 3), T.ones(2, 6, 3, 3)),
    lambda G, T: G.conv1d_weight(T.ones(1, 2, 5), (2, 2, 2), T.ones(1, 2, 2)),
])
def test_sizes_of_gradients_of_convolutions_must_fit(act):
    for T in LIBS:
        with pytest.raises(RuntimeError):
            act(importlib.import_module(f"{T.__name__}.nn.grad"), T)


def test_former_names_warn_as_in_torch():
    assert_same(lambda T: T.nn.Container(a=T.nn.Linear(1, 1)))
    assert_same(lambda T: [T.nn.NLLLoss2d(reduction="sum"), T.nn.NLLLoss2d(ignore_index=1)(T.tensor([[-1.0, -2.0]]), T.tensor([0])).item()])


def test_sync_batch_norm_is_batch_norm_in_one_process():
    def scenario(T):
        net = T.nn.Sequential(T.nn.Conv1d(2, 3, 1), T.nn.BatchNorm1d(3), T.nn.Sequential(T.nn.BatchNorm2d(2, affine=False, momentum=None).eval()))
        weight = net[1].weight
        net = T.nn.SyncBatchNorm.convert_sync_batchnorm(net)
        layer = T.nn.SyncBatchNorm(3, eps=1e-3)
        x = T.randn(2, 3, 4)
        return [repr(net), net[1].weight is weight, net[2][0].training, layer(x), layer.eval()(x), dict(layer.state_dict())]

    same_numbers(scenario)
    assert_same(lambda T: T.nn.SyncBatchNorm(3)(T.ones(3)))
    with pytest.raises(NotImplementedError, match="process_group"):
        mytorch.nn.SyncBatchNorm(3, process_group=object())


def test_types_of_arguments_have_torchs_names():
    ours, theirs = (importlib.import_module(f"{T.__name__}.nn.common_types") for T in LIBS)
    assert [name for name in dir(theirs) if name.endswith("_t") and not hasattr(ours, name)] == []
    assert ours._size_2_t == theirs._size_2_t and ours._ratio_any_t == theirs._ratio_any_t


def test_every_public_name_of_nn_utils_is_there():
    for path in ("", ".parametrize", ".parametrizations", ".prune", ".fusion", ".init", ".spectral_norm", ".weight_norm", ".memory_format"):
        ours, theirs = (importlib.import_module(f"{T.__name__}.nn.utils{path}") for T in LIBS)
        assert [name for name in getattr(theirs, "__all__", []) if not hasattr(ours, name)] == []
    assert [name for name in torch.nn.utils.__all__ if not hasattr(mytorch.nn.utils, name)] == []
