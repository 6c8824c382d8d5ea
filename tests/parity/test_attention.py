"""Attention and the Transformer against torch: values, first and second gradients, masks, draws, names, initial weights, refusals."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest

import mytorch
import mytorch.nn

torch = pytest.importorskip("torch")

LIBS = (mytorch, torch)
pytestmark = [pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning"),
              pytest.mark.filterwarnings("ignore:.*nested tensor.*:UserWarning"),
              pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")]


def values(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def assert_close(ours, theirs, tolerance=1e-10):
    found, expected = np.asarray(ours.detach()), theirs.detach().numpy()
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def both_gradients(run, arrays, second=True):
    """Outputs, gradients and gradients of gradients of `run(lib, *tensors)` in both libraries, pairwise."""
    found = []
    for T in LIBS:
        T.manual_seed(3)
        leaves = [T.tensor(a).requires_grad_() for a in arrays]
        y = run(T, *leaves)
        rng = np.random.default_rng(9)
        grads = T.autograd.grad(y, leaves, T.tensor(rng.standard_normal(tuple(y.shape))), create_graph=second)
        parts = [y, *grads]
        if second:
            total = sum((g * T.tensor(rng.standard_normal(tuple(g.shape)))).sum() for g in grads)
            parts += T.autograd.grad(total, leaves)
        found.append(parts)
    return list(zip(*found, strict=True))


# ---- scaled_dot_product_attention ---------------------------------------------------------------------------------------------

MASK = np.array([[True, False, True, True], [False, False, False, False], [True, True, True, True]])
CALLS = {
    "plain": lambda T: {},
    "causal": lambda T: {"is_causal": True},
    "scale": lambda T: {"scale": 0.3},
    "bool mask": lambda T: {"attn_mask": T.tensor(MASK)},
    "mask per batch": lambda T: {"attn_mask": T.tensor(values(2, 1, 3, 4, seed=5))},
    "mask over heads": lambda T: {"attn_mask": T.tensor(values(5, 1, 4, seed=5))},
    "masked rows": lambda T: {"attn_mask": T.tensor(np.where(MASK, 0.0, -math.inf))},
    "dropout": lambda T: {"dropout_p": 0.4},
    "dropout and mask": lambda T: {"dropout_p": 0.4, "attn_mask": T.tensor(MASK)},
    "all dropped": lambda T: {"dropout_p": 1.0},
}


@pytest.mark.parametrize("call", CALLS)
def test_attention_and_its_gradients_are_torchs(call):
    arrays = [values(2, 5, n, w, seed=i) for i, (n, w) in enumerate([(3, 6), (4, 6), (4, 7)])]
    pairs = both_gradients(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, **CALLS[call](T)), arrays)
    for ours, theirs in pairs:
        assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (1, 4), (2, 1, 1, 4), (5, 3, 4)])
def test_the_gradient_of_a_float_mask_is_torchs(shape):
    arrays = [values(2, 5, 3, 6), values(2, 5, 4, 6, seed=1), values(2, 5, 4, 2, seed=2), values(*shape, seed=3)]
    for ours, theirs in both_gradients(lambda T, q, k, v, m: T.nn.functional.scaled_dot_product_attention(q, k, v, m), arrays):
        assert_close(ours, theirs)


@pytest.mark.parametrize("shapes", [[(3, 6), (4, 6), (4, 6)], [(2, 3, 6), (1, 4, 6), (2, 4, 6)], [(1, 5, 3, 6), (2, 1, 4, 6), (2, 5, 4, 6)]])
def test_attention_broadcasts_batches_as_torch_does(shapes):
    arrays = [values(*shape, seed=i) for i, shape in enumerate(shapes)]
    for ours, theirs in both_gradients(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v), arrays):
        assert_close(ours, theirs)


def test_groups_of_heads_share_keys_as_in_torch():
    arrays = [values(2, 6, 3, 4), values(2, 2, 5, 4, seed=1), values(2, 3, 5, 4, seed=2)]
    run = lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)  # noqa: E731
    for ours, theirs in both_gradients(run, arrays):
        assert_close(ours, theirs)


@pytest.mark.parametrize("rows", [130, 300])
def test_blocks_join_into_what_torch_computes(rows):
    """More pairs than a block holds: several blocks of queries, and several of heads."""
    arrays = [values(3, rows, 8), values(3, 1200, 8, seed=1), values(3, 1200, 4, seed=2)]
    run = lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=rows == 300)  # noqa: E731
    for ours, theirs in both_gradients(run, arrays, second=False):
        assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_rounded_once(dtype):
    arrays = [values(2, 2, 9, 8, seed=i) for i in range(3)]
    half = [mytorch.tensor(a).to(getattr(mytorch, dtype)).requires_grad_() for a in arrays]
    wide = [torch.tensor(a).to(getattr(torch, dtype)).to(torch.float64).requires_grad_() for a in arrays]
    y, exact = (T.nn.functional.scaled_dot_product_attention(*x, is_causal=True) for T, x in zip(LIBS, (half, wide), strict=True))
    y.sum().backward()
    exact.sum().backward()
    unit = mytorch.finfo(half[0].dtype).eps
    for ours, theirs in [(y, exact), *((h.grad, w.grad) for h, w in zip(half, wide, strict=True))]:
        assert ours.dtype is half[0].dtype
        np.testing.assert_allclose(np.asarray(ours.detach().double()), theirs.detach().numpy(), rtol=2 * unit, atol=4 * unit)


REFUSED = {
    "1-d": lambda T: (T.ones(3), T.ones(2, 3), T.ones(2, 3)),
    "dtypes": lambda T: (T.ones(2, 3), T.ones(2, 3).double(), T.ones(2, 3)),
    "not a tensor": lambda T: (T.ones(2, 3), 3, T.ones(2, 3)),
    "integers": lambda T: (T.ones(2, 3).long(), T.ones(2, 3).long(), T.ones(2, 3).long()),
    "widths": lambda T: (T.ones(2, 3), T.ones(2, 4), T.ones(2, 3)),
    "batches": lambda T: (T.ones(4, 2, 3), T.ones(3, 2, 3), T.ones(3, 2, 3)),
    "integer mask": lambda T: (T.ones(2, 3), T.ones(2, 3), T.ones(2, 3), T.ones(2, 2).long()),
    "mask of another size": lambda T: (T.ones(2, 3), T.ones(2, 3), T.ones(2, 3), T.ones(2, 3)),
    "mask and causal": lambda T: (T.ones(2, 3), T.ones(2, 3), T.ones(2, 3), T.ones(2, 2), 0.0, True),
    "dropout": lambda T: (T.ones(2, 3), T.ones(2, 3), T.ones(2, 3), None, 1.5),
}


def raised(run):
    try:
        run()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("case", REFUSED)
def test_attention_refuses_what_torch_refuses(case):
    ours, theirs = (raised(lambda T=T: T.nn.functional.scaled_dot_product_attention(*REFUSED[case](T))) for T in LIBS)
    assert type(ours) is type(theirs)


# ---- MultiheadAttention -------------------------------------------------------------------------------------------------------

HEADS = {
    "plain": {}, "no bias": {"bias": False}, "other widths": {"kdim": 3, "vdim": 5}, "bias_kv": {"add_bias_kv": True},
    "zero_attn": {"add_zero_attn": True}, "everything": {"kdim": 3, "vdim": 5, "add_bias_kv": True, "add_zero_attn": True, "bias": False},
    "dropout": {"dropout": 0.3}, "batch first": {"batch_first": True},
}


def heads(options, dtype="float64"):
    made = []
    for T in LIBS:
        T.manual_seed(1)
        made.append(T.nn.MultiheadAttention(6, 2, dtype=getattr(T, dtype), **options))
    return made


def test_signatures_are_torchs():
    for name in ("MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer", "TransformerEncoder", "TransformerDecoder",
                 "Transformer"):
        ours, theirs = (getattr(T.nn, name) for T in LIBS)
        for method in ("__init__", "forward"):
            found = [(p.name, p.kind) for p in inspect.signature(getattr(ours, method)).parameters.values()]
            assert found == [(p.name, p.kind) for p in inspect.signature(getattr(theirs, method)).parameters.values()], (name, method)
    functions = [T.nn.functional.multi_head_attention_forward for T in LIBS]
    assert list(inspect.signature(functions[0]).parameters) == list(inspect.signature(functions[1]).parameters)


@pytest.mark.parametrize("options", HEADS.values(), ids=HEADS)
def test_initial_weights_names_and_repr_are_torchs(options):
    ours, theirs = heads(options, "float32")
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, weight in theirs.state_dict().items():
        assert_close(ours.state_dict()[name], weight, 1e-6)


def masks(T, kind):
    """Keywords of forward for queries (3), keys (4) and a batch of 2."""
    padding = T.tensor(np.array([[False, False, True, True], [False, False, False, True]]))
    hidden = T.tensor(np.array([[False, True, False, False]] * 3))
    each = T.tensor(np.arange(48).reshape(4, 3, 4) % 5 == 1)
    return {
        "none": {},
        "padding": {"key_padding_mask": padding},
        "mask": {"attn_mask": hidden},
        "mask of floats": {"attn_mask": T.tensor(values(3, 4, seed=8))},
        "mask per head": {"attn_mask": each},
        "both": {"attn_mask": hidden, "key_padding_mask": padding},
        "mixed": {"attn_mask": T.tensor(values(3, 4, seed=8)), "key_padding_mask": padding},
    }[kind]


@pytest.mark.parametrize("options", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("kind", ["none", "padding", "mask", "mask of floats", "mask per head", "both", "mixed"])
@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_in_heads_is_torchs(options, kind, need_weights):
    q, k, v = values(3, 2, 6), values(4, 2, options.get("kdim", 6), seed=1), values(4, 2, options.get("vdim", 6), seed=2)
    if options.get("batch_first"):
        q, k, v = (x.swapaxes(0, 1).copy() for x in (q, k, v))
    for average, training in ((True, True), (False, False)):
        found = []
        for T, layer in zip(LIBS, heads(options), strict=True):
            layer.train(training)
            T.manual_seed(4)
            inputs = [T.tensor(x).requires_grad_() for x in (q, k, v)]
            y, weights = layer(*inputs, need_weights=need_weights, average_attn_weights=average, **masks(T, kind))
            total = (y * T.tensor(values(*y.shape, seed=6))).sum()
            if need_weights:
                total = total + (weights * T.tensor(values(*weights.shape, seed=7))).sum()
            else:
                assert weights is None
            total.backward()
            parts = [y, *([weights] if need_weights else []), *(x.grad for x in inputs), *(p.grad for p in layer.parameters())]
            found.append(parts)
        for ours, theirs in zip(*found, strict=True):
            assert_close(ours, theirs)


def test_self_attention_without_a_batch_is_torchs():
    ours, theirs = heads({})
    found = [layer(x, x, x, attn_mask=T.tensor(np.triu(np.ones((5, 5), bool), 1)), is_causal=True, need_weights=False)[0]
             for T, layer in zip(LIBS, (ours, theirs), strict=True) for x in [T.tensor(values(5, 6))]]
    assert_close(*found)


BAD = {
    "1-d": (lambda T, m: m(T.ones(5), T.ones(5), T.ones(5))),
    "dims differ": (lambda T, m: m(T.ones(5, 6), T.ones(5, 1, 6), T.ones(5, 6))),
    "dims differ, batched": (lambda T, m: m(T.ones(5, 1, 6), T.ones(5, 6), T.ones(5, 6))),
    "width": (lambda T, m: m(T.ones(5, 2, 5), T.ones(5, 2, 5), T.ones(5, 2, 5))),
    "keys and values": (lambda T, m: m(T.ones(5, 2, 6), T.ones(4, 2, 6), T.ones(3, 2, 6))),
    "padding's size": (lambda T, m: m(T.ones(5, 2, 6), T.ones(4, 2, 6), T.ones(4, 2, 6), T.zeros(2, 5).bool())),
    "padding's dims": (lambda T, m: m(T.ones(5, 2, 6), T.ones(4, 2, 6), T.ones(4, 2, 6), T.zeros(4).bool())),
    "padding's dims, unbatched": (lambda T, m: m(T.ones(5, 6), T.ones(4, 6), T.ones(4, 6), T.zeros(1, 4).bool())),
    "mask's size": (lambda T, m: m(T.ones(5, 2, 6), T.ones(4, 2, 6), T.ones(4, 2, 6), attn_mask=T.zeros(5, 5).bool())),
    "mask's heads": (lambda T, m: m(T.ones(5, 2, 6), T.ones(4, 2, 6), T.ones(4, 2, 6), attn_mask=T.zeros(2, 5, 4).bool())),
    "mask's dims": (lambda T, m: m(T.ones(5, 2, 6), T.ones(4, 2, 6), T.ones(4, 2, 6), attn_mask=T.zeros(1, 2, 5, 4).bool())),
    "mask's dtype": (lambda T, m: m(T.ones(5, 2, 6), T.ones(4, 2, 6), T.ones(4, 2, 6), attn_mask=T.zeros(5, 4).int())),
    "causal without mask": (lambda T, m: m(T.ones(5, 2, 6), T.ones(5, 2, 6), T.ones(5, 2, 6), is_causal=True)),
    "odd heads": (lambda T, m: T.nn.MultiheadAttention(6, 4)),
    "no heads": (lambda T, m: T.nn.MultiheadAttention(6, 0)),
}


@pytest.mark.parametrize("case", BAD)
def test_heads_refuse_what_torch_refuses(case):
    ours, theirs = (raised(lambda T=T, m=m: BAD[case](T, m)) for T, m in zip(LIBS, heads({}, "float32"), strict=True))
    assert type(ours) is type(theirs)
    first = str(theirs).split("\n")[0].split(":")[0][:60]
    assert first in str(ours)


# ---- Transformer --------------------------------------------------------------------------------------------------------------

LAYERS = {
    "plain": {}, "norm first": {"norm_first": True}, "gelu": {"activation": "gelu"}, "no bias": {"bias": False},
    "batch first": {"batch_first": True}, "no dropout": {"dropout": 0.0, "layer_norm_eps": 1e-3},
}


def transformers(options, dtype="float64"):
    made = []
    for T in LIBS:
        T.manual_seed(2)
        made.append(T.nn.Transformer(6, 2, 2, 2, 8, dtype=getattr(T, dtype), **options))
    return made


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_the_transformer_starts_and_prints_as_torchs(options):
    ours, theirs = transformers(options, "float32")
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, weight in theirs.state_dict().items():
        assert_close(ours.state_dict()[name], weight, 1e-6)


def transformer_masks(T, kind, batch_first):
    causal = T.nn.Transformer.generate_square_subsequent_mask(3, dtype=T.float64)
    ends = {"src_key_padding_mask": T.tensor(np.array([[False, False, False, True], [False, True, True, True]])),
            "tgt_key_padding_mask": T.tensor(np.array([[False, False, False], [False, False, True]])),
            "memory_key_padding_mask": T.tensor(np.array([[False, False, False, True], [False, True, True, True]]))}
    return {"none": {}, "causal": {"tgt_mask": causal}, "padding": ends, "both": {"tgt_mask": causal, **ends},
            "memory": {"memory_mask": T.tensor(values(3, 4, seed=8)), "src_mask": T.tensor(values(4, 4, seed=9))}}[kind]


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("kind", ["none", "causal", "padding", "both", "memory"])
@pytest.mark.parametrize("training", [True, False])
def test_the_transformer_and_its_gradients_are_torchs(options, kind, training):
    src, tgt = values(4, 2, 6), values(3, 2, 6, seed=1)
    if options.get("batch_first"):
        src, tgt = src.swapaxes(0, 1).copy(), tgt.swapaxes(0, 1).copy()
    found = []
    for T, model in zip(LIBS, transformers(options), strict=True):
        model.train(training)
        T.manual_seed(4)
        inputs = [T.tensor(x).requires_grad_() for x in (src, tgt)]
        y = model(*inputs, **transformer_masks(T, kind, options.get("batch_first")))
        (y * T.tensor(values(*y.shape, seed=6))).sum().backward()
        found.append([y, *(x.grad for x in inputs), *(p.grad for p in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("padding", [[[False, False, True], [False, True, True]], [[True, False, False], [False, False, False]]])
@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"activation": "gelu"}])
@pytest.mark.parametrize("norm", [True, False])
def test_an_encoder_in_evaluation_fills_padding_as_torch_does(padding, options, norm):
    found = []
    for T in LIBS:
        T.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer = T.nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, dtype=T.float64, **options)
            encoder = T.nn.TransformerEncoder(layer, 2, T.nn.LayerNorm(6, dtype=T.float64) if norm else None).eval()
            with T.no_grad():
                found.append(encoder(T.tensor(values(2, 3, 6)), src_key_padding_mask=T.tensor(np.array(padding))))
    assert_close(*found)


def test_the_transformer_refuses_what_torch_refuses():
    for sources in ([(4, 2, 6), (3, 1, 6)], [(4, 2, 6), (3, 2, 5)]):
        errors = [raised(lambda T=T, m=m: m(*[T.ones(*s) for s in sources]))  # noqa: B023 - runs at once
                  for T, m in zip(LIBS, transformers({}, "float32"), strict=True)]
        assert type(errors[0]) is type(errors[1]) is RuntimeError
        assert str(errors[1]).rstrip(".")[:40] in str(errors[0])
    errors = [raised(lambda T=T: T.nn.TransformerEncoderLayer(6, 2, activation="tanh")) for T in LIBS]
    assert str(errors[0]) == str(errors[1])


def test_a_function_of_a_module_can_be_the_activation():
    ours, theirs = (T.nn.TransformerDecoderLayer(6, 2, 8, activation=T.nn.SiLU()) for T in LIBS)
    assert repr(ours) == repr(theirs)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_gradients_per_example_equal_torchs():
    """vmap over grad over functional_call: attention, masks and norms under both modes."""
    found = []
    for T in LIBS:
        T.manual_seed(0)
        layer = T.nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True, dtype=T.float64)
        mask = T.nn.Transformer.generate_square_subsequent_mask(4, dtype=T.float64)

        def loss(parameters, x, layer=layer, mask=mask, T=T):
            return T.func.functional_call(layer, parameters, (x.unsqueeze(0), mask)).square().sum()

        parameters = {name: p.detach() for name, p in layer.named_parameters()}
        x = T.tensor(values(3, 4, 6))
        found.append(T.func.vmap(T.func.grad(loss), in_dims=(None, 0))(parameters, x))
    assert list(found[0]) == list(found[1])
    for name, theirs in found[1].items():
        assert_close(found[0][name], theirs)
