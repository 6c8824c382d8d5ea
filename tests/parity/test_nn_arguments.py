"""Arguments that do not fit, and unusual ones that do: layers and functions of nn answer them as torch does.

Each expression is evaluated in both libraries. Where torch raises, mytorch raises the same class; else both give the same.
"""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

import mytorch
import mytorch.nn

torch = pytest.importorskip("torch")

EXPRESSIONS = """
F.pad(T.ones(2, 3), (1, 1), 'circular')
F.pad(T.ones(3), (1, 1), 'circular')
F.pad(T.ones(1, 2, 2, 2), (1, 1), 'circular')
F.pad(T.ones(2, 2), (1, 1, 1, 1), 'circular')
F.pad(T.ones(2, 2, 2, 2), (1, 1), 'reflect')
F.pad(T.ones(2), (1, 1), 'reflect')
F.pad(T.ones(2), (1, 1), 'replicate')
F.pad(T.ones(2, 2, 2, 2), (0, 0, 0, 0, 0, 0, 0, 0), 'reflect')
F.pad(T.ones(2, 2), [], 'reflect')
F.pad(T.ones(2, 2), [], 'constant')
F.pad(T.ones(0, 3), (1, 1), 'reflect')
F.pad(T.ones(0, 2, 3), (1, 1), 'reflect')
F.pad(T.ones(2, 3) > 0, (1, 1), 'reflect')
F.pad(T.ones(2, 3) > 0, (1, 1), 'replicate')
F.pad(T.ones(2, 2), T.tensor([1, 1]))
F.pad(T.ones(2, 2), 3)
F.pad(T.ones(2, 2), (1.5, 1))
F.pad(T.ones(2, 2), ('x', 1))
F.pad(T.ones(2, 2), (True, 1))
F.pad(T.ones(2, 2), (np.int64(1), T.tensor(1)))
F.pad(T.ones(2, 2), (1, 1), value=(1,))
nn.ReflectionPad2d(1.5)(T.ones(1, 3, 3))
nn.ReplicationPad1d('x')(T.ones(1, 3))
nn.ConstantPad1d(1, None)(T.ones(1, 3))
F.avg_pool1d(T.ones(1, 4), 2, ceil_mode=None)
F.avg_pool2d(T.ones(1, 4, 4), 2, ceil_mode=1)
F.avg_pool2d(T.ones(1, 4, 4), 2, count_include_pad='x')
F.avg_pool2d(T.ones(1, 4, 4), 2, divisor_override=1.5)
F.avg_pool2d(T.ones(1, 4, 4), 2, divisor_override=0)
F.avg_pool3d(T.ones(1, 4, 4, 1), 2, padding=1)
F.max_pool2d(T.ones(1, 4, 4), 2, ceil_mode=None)
F.max_pool2d(T.ones(1, 4, 4), 2, ceil_mode=0, return_indices=True)
F.adaptive_max_pool1d(T.ones(0, 3, 4), 2)
F.adaptive_max_pool2d(T.ones(0, 3, 4, 4), 2, return_indices=True)
F.adaptive_max_pool3d(T.ones(0, 3, 4, 4, 4), (2, None, 1))
F.avg_pool2d(T.ones(4, 4), 2)
F.avg_pool1d(T.ones(4), 2)
F.fractional_max_pool2d(T.ones(7, 6), 2, 3)
F.fractional_max_pool2d(T.ones(7, 6), 2, 3, _random_samples=T.ones(1, 1, 2))
F.fractional_max_pool2d(T.ones(7), 2, output_ratio=(0.5, 0.5))
F.fractional_max_pool2d(T.ones(1, 7, 6), 2, 'x')
F.fractional_max_pool2d(T.ones(1, 7, 6), 2, (-1, 2))
F.rms_norm(T.ones(2, 3, dtype=T.int64), (3,), T.ones(3))
F.adaptive_avg_pool1d(T.ones(1, 4, 4), None)
F.adaptive_avg_pool1d(T.ones(1, 4, 4), 1.5)
F.adaptive_avg_pool1d(T.ones(1, 4, 4), True)
F.adaptive_avg_pool1d(T.ones(1, 4, 4), T.tensor(2))
F.adaptive_avg_pool1d(T.ones(1, 4, 4), [2])
F.adaptive_avg_pool2d(T.ones(1, 4, 4), None)
F.adaptive_avg_pool2d(T.ones(1, 4, 4), 2.0)
F.adaptive_avg_pool2d(T.ones(1, 4, 4), (None, 2))
F.adaptive_avg_pool2d(T.ones(1, 4, 4), (1.5, 2))
F.adaptive_avg_pool2d(T.ones(1, 4, 4), (np.int64(2), 2))
F.adaptive_max_pool2d(T.ones(1, 4, 4), 'x')
nn.Conv1d(2, 2, 0)(T.ones(1, 2, 3))
nn.Conv2d(2, 2, (1, 0))(T.ones(1, 2, 3, 3))
nn.ConvTranspose2d(2, 0, 2)(T.ones(1, 2, 3, 3))
nn.ConvTranspose1d(2, 2, 2)(T.ones(1, 2, 0))
nn.ConvTranspose2d(1, 1, 2, padding='same')(T.ones(1, 1, 4, 4))
nn.Conv2d(1, 1, 1, dilation=(1,))
nn.Conv2d(3, 4, 2, groups=2)
nn.Conv2d(3, 4, 2, stride=2, padding='same')
nn.Conv2d(1, 1, 3, padding='same')._reversed_padding_repeated_twice
list(nn.Conv1d(1, 1, 4, padding=2, padding_mode='circular')._reversed_padding_repeated_twice)
nn.Linear(3, True).weight.shape
nn.Linear(True, 3).weight.shape
T.empty((True, 3)).shape
nn.Embedding(3, 2, padding_idx=True)(T.tensor([1]))
F.embedding(T.tensor([1]), T.ones(2, 2), scale_grad_by_freq=None)
F.embedding(T.tensor([1]), T.ones(2, 2), sparse='x')
F.embedding(T.tensor([1]), T.ones(2, 2), max_norm=(1,))
F.embedding(T.tensor([1]), T.ones(2, 2), padding_idx=T.tensor(1))
F.layer_norm(T.ones(2, 3), (3,), eps=None)
F.layer_norm(T.ones(2, 3), (3,), eps=(1,))
F.group_norm(T.ones(2, 4), 2, eps=None)
F.rms_norm(T.ones(2, 3), (3,), eps=(1,))
F.rms_norm(T.arange(6.0).view(2, 3), (3,), T.ones(3, dtype=T.float64))
F.rms_norm(T.ones(2, 3, dtype=T.bfloat16), (3,), T.ones(3)).dtype
F.instance_norm(T.ones(2, 3, 4), eps=None)
F.instance_norm(T.ones(2, 3, 4), momentum='x')
F.softplus(T.ones(2), (1,))
F.softplus(T.ones(2), 1, None)
F.softplus(T.ones(2), T.tensor(1.0), 20)
F.threshold(T.ones(2), (1,), 0)
F.threshold(T.ones(2), 1, None)
F.threshold(T.ones(2), 1, True)
F.gelu(T.ones(2), approximate=None)
F.gelu(T.ones(2), approximate='x')
F.glu(T.ones(2), True)
F.glu(T.ones(4), np.int64(0))
F.nll_loss(T.zeros(2, 3), T.tensor([0, 1]), ignore_index=1.5)
F.cross_entropy(T.zeros(2, 3), T.tensor([0, 1]), ignore_index='x')
F.cross_entropy(T.zeros(2, 3), T.tensor([0, 1]), size_average=False)
F.cross_entropy(T.zeros(2, 3), T.tensor([0, 1]), size_average=0, reduce=1)
F.cross_entropy(T.zeros(2, 3), T.tensor([0, 1]), reduce=0)
nn.MSELoss(size_average=0)(T.ones(2), T.zeros(2))
nn.MSELoss(reduce=0)(T.ones(2), T.zeros(2))
F.ctc_loss(T.ones(3, 1, 2).log_softmax(2), T.tensor([[1]]), (3,), (1,), blank=1.5)
F.ctc_loss(T.ones(3, 1, 2).log_softmax(2), T.tensor([[1]]), (3,), (1,), zero_infinity=1)
F.kl_div(T.ones(2), T.ones(2), reduction='sum', log_target=None)
F.kl_div(T.ones(2, dtype=T.int64), T.ones(2), reduction='sum')
F.kl_div(T.ones(2), T.ones(2, dtype=T.complex64), reduction='sum')
F.poisson_nll_loss(T.ones(2), T.ones(2), log_input=None)
F.poisson_nll_loss(T.ones(2), T.ones(2), full=1)
F.poisson_nll_loss(T.ones(2), T.ones(2), eps=None)
F.huber_loss(T.ones(2), T.zeros(2, dtype=T.float64))
F.huber_loss(T.ones(2, dtype=T.float64), T.zeros(2))
F.huber_loss(T.ones(2, dtype=T.int64), T.zeros(2))
F.soft_margin_loss(T.ones(2), T.ones(2, dtype=T.float64))
F.soft_margin_loss(T.ones(2, dtype=T.int64), T.ones(2))
F.soft_margin_loss(T.ones(2), T.ones(2, dtype=T.bool))
F.soft_margin_loss(T.ones(2, 1), T.ones(2, 2))
F.soft_margin_loss(T.ones(2, 2), T.ones(2, 1))
F.binary_cross_entropy_with_logits(T.ones(2, dtype=T.float64), T.ones(2))
F.binary_cross_entropy_with_logits(T.ones(2), T.ones(2, dtype=T.float64))
F.binary_cross_entropy_with_logits(T.ones(2, dtype=T.float64), T.ones(2), T.tensor([1.0, 2.0]), reduction='none')
F.binary_cross_entropy_with_logits(T.ones(2, dtype=T.int64), T.ones(2))
F.binary_cross_entropy_with_logits(T.ones(2, dtype=T.complex64), T.ones(2))
F.binary_cross_entropy(T.ones(2, dtype=T.int64), T.ones(2))
F.multilabel_soft_margin_loss(T.ones(2, 3), T.ones(3))
F.multilabel_soft_margin_loss(T.ones(3), T.ones(2, 3), T.tensor([1.0, 2.0, 0.5]), reduction='none')
F.multilabel_soft_margin_loss(T.ones(2, 3), 1)
F.multilabel_soft_margin_loss(T.ones(2, 3), T.ones(4))
F.multilabel_soft_margin_loss(T.ones(2, 3), T.tensor([[0, 1, 1], [1, 0, 0]]))
nn.RNN(2, 2, dropout=(1,))
nn.RNN(2, 2, dropout='a')
nn.LSTM(2, 2, dropout=None)
nn.LSTM(2, 3, proj_size=3)
nn.LSTMCell(2, 3)(T.ones(1, 2), T.ones(1, 3))
nn.TransformerEncoderLayer(4, 2, activation='tanh')
nn.TransformerEncoderLayer(4, 2, 8, activation=3)(T.ones(1, 1, 4))
nn.MultiheadAttention(4, 2, add_zero_attn='yes')(T.ones(2, 4), T.ones(2, 4), T.ones(2, 4))[1].shape
nn.MultiheadAttention(4, 2, batch_first=True)(T.ones(0, 3, 4), T.ones(0, 3, 4), T.ones(0, 3, 4))[0].shape
nn.MultiheadAttention(4, 2)(T.ones(0, 1, 4), T.ones(3, 1, 4), T.ones(3, 1, 4))[0].shape
nn.MultiheadAttention(4, 2).merge_masks(T.zeros(3, 3, dtype=T.bool), T.zeros(2, 3, dtype=T.bool), T.ones(2, 3, 4))
nn.MultiheadAttention(4, 2).merge_masks(None, T.zeros(2, 3, dtype=T.bool), T.ones(2, 3, 4))
nn.MultiheadAttention(4, 2).merge_masks(T.ones(4, 3, 3), T.ones(2, 3), T.ones(2, 3, 4))
nn.MultiheadAttention(4, 2).merge_masks(T.ones(3, 3), None, T.ones(2, 3, 4))
nn.MultiheadAttention(4, 2).merge_masks(None, None, T.ones(2, 3, 4))
nn.Unflatten('a', (2, 2))
nn.Unflatten(1, 3)
nn.Unflatten(1, (2, 'a'))
nn.Parameter(T.ones(2), requires_grad=3)
nn.Parameter(3)
""".strip().splitlines()


def outcome(expression, T):
    """The class that the expression raises, or the text of its value."""
    T.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = eval(expression, {"T": T, "nn": T.nn, "F": T.nn.functional, "np": np})
        except Exception as error:
            return type(error)
    return repr(value).replace("mytorch", "torch")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_arguments_are_answered_as_by_torch(expression):
    assert outcome(expression, mytorch) == outcome(expression, torch)


def parameters_of(function):
    """Names, kinds and defaults; functions among the defaults by name. None where Python cannot tell, as for builtins."""
    try:
        given = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    return [(p.name, p.kind, getattr(p.default, "__name__", repr(p.default)).replace("mytorch", "torch")) for p in given]


# what differs, and why
OTHER_SIGNATURES = {
    "Container": "accepts positional arguments, which it ignores",
    "NLLLoss2d": "takes *args and **kwargs for the arguments of NLLLoss",
    "RNN": "takes *args and **kwargs for the arguments of RNNBase", "LSTM": "as RNN", "GRU": "as RNN",
}


@pytest.mark.parametrize("name", [n for n in dir(torch.nn) if inspect.isclass(getattr(torch.nn, n)) and n not in OTHER_SIGNATURES])
def test_every_class_of_nn_has_torchs_constructor(name):
    ours = getattr(mytorch.nn, name)
    assert parameters_of(ours) == parameters_of(getattr(torch.nn, name))
    for method in ("forward", "reset_parameters", "materialize"):
        if hasattr(getattr(torch.nn, name), method):
            assert parameters_of(getattr(ours, method)) == parameters_of(getattr(getattr(torch.nn, name), method))


FUNCTIONS = [n for n, f in vars(torch.nn.functional).items() if not n.startswith("_") and inspect.isfunction(f)
             and f.__module__ == "torch.nn.functional" and not any(p.kind == p.VAR_POSITIONAL for p in inspect.signature(f).parameters.values())]
ABSENT_FUNCTIONS = {
    "assert_int_or_pair": "a helper that torch's own functions call",
    "grouped_mm": "products of groups of matrices, for mixtures of experts on a GPU",
    "scaled_mm": "products in 8 bits", "scaled_grouped_mm": "as scaled_mm",
}


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ABSENT_FUNCTIONS])
def test_every_function_of_nn_functional_has_torchs_parameters(name):
    theirs = parameters_of(getattr(torch.nn.functional, name))
    ours = [p for p in parameters_of(getattr(mytorch.nn.functional, name)) if p[0] != "out" or "out" in [q[0] for q in theirs]]

    def numbers(parameters):  # torch writes 2 and 2.0
        return [(p, kind, float(d) if d.replace(".", "", 1).isdigit() else d) for p, kind, d in parameters]

    assert numbers(ours) == numbers(theirs)


def test_what_nn_functional_lacks_is_listed():
    assert {n for n in FUNCTIONS if not hasattr(mytorch.nn.functional, n)} == set(ABSENT_FUNCTIONS)


@pytest.mark.parametrize(("base", "layers"), [
    ("conv._ConvNd", "Conv1d Conv2d ConvTranspose3d"), ("conv._ConvTransposeNd", "ConvTranspose1d ConvTranspose2d"),
    ("batchnorm._BatchNorm", "BatchNorm1d BatchNorm3d SyncBatchNorm"), ("batchnorm._NormBase", "BatchNorm2d InstanceNorm2d"),
    ("instancenorm._InstanceNorm", "InstanceNorm1d"), ("dropout._DropoutNd", "Dropout Dropout2d AlphaDropout"),
    ("pooling._MaxPoolNd", "MaxPool1d MaxPool3d"), ("pooling._AvgPoolNd", "AvgPool1d AvgPool2d"), ("pooling._LPPoolNd", "LPPool1d LPPool2d"),
    ("pooling._AdaptiveAvgPoolNd", "AdaptiveAvgPool1d AdaptiveAvgPool2d"), ("pooling._AdaptiveMaxPoolNd", "AdaptiveMaxPool3d"),
    ("pooling._MaxUnpoolNd", "MaxUnpool1d MaxUnpool2d"), ("padding._ConstantPadNd", "ConstantPad1d ZeroPad2d"),
    ("padding._ReflectionPadNd", "ReflectionPad1d ReflectionPad3d"), ("padding._ReplicationPadNd", "ReplicationPad2d"),
    ("padding._CircularPadNd", "CircularPad2d"), ("loss._Loss", "MSELoss CrossEntropyLoss"), ("loss._WeightedLoss", "CrossEntropyLoss BCELoss"),
    ("rnn.RNNBase", "RNN LSTM GRU"), ("rnn.RNNCellBase", "LSTMCell"), ("module.Module", "Linear"),
])
def test_families_of_layers_have_torchs_base_classes(base, layers):
    file, name = base.split(".")
    for T in (mytorch, torch):
        family = getattr(getattr(T.nn.modules, file), name)
        assert all(issubclass(getattr(T.nn, layer), family) for layer in layers.split())
        assert not issubclass(T.nn.Flatten, family) or base == "module.Module"


def test_names_that_programs_take_from_inside_are_there():
    for T in (mytorch, torch):
        modules = T.nn.modules
        assert modules.module._addindent("a\nb", 2) == "a\n  b"
        assert modules.module._IncompatibleKeys([], []) == ([], [])
        assert modules.transformer._get_activation_fn("relu") is T.nn.functional.relu
        clones = modules.transformer._get_clones(T.nn.Linear(1, 1), 2)
        assert isinstance(clones, T.nn.ModuleList)
        assert clones[0].weight is not clones[1].weight
