"""torch's own table of layers, `module_db`, run against mytorch.nn.

Each sample is built in both libraries from one seed and compared: names in state_dict, initial values, the printed form, outputs,
gradients of inputs and of Parameters, in training and evaluation, in float32 and float64; and the class of error for the table's wrong
arguments. A fixed part of the samples runs by default, all of them with MYTORCH_FULL=1.
"""

from __future__ import annotations

import os

import pytest

import mytorch
import mytorch.nn

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from torch.testing._internal.common_modules import module_db  # noqa: E402

from tests.parity.op_db_runner import check_equal, check_gradients, flat, fresh, quiet, to_mytorch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

FULL = bool(os.environ.get("MYTORCH_FULL"))
MOST = 10  # samples of a layer and mode where not all run: some tables have hundreds

# layers of the table that mytorch.nn does not have, and why
ABSENT: dict[str, str] = {}


def name_of(info):
    """The layer's name in torch.nn."""
    return info.module_cls.__name__


def converted(value):
    """Arguments for mytorch: Tensors, layers, and of the functions of torch only one is among them."""
    if value is torch.nn.functional.gelu:
        return mytorch.nn.functional.gelu
    if isinstance(value, torch.nn.Module):
        args, kwargs = value.built_with
        layer = getattr(mytorch.nn, type(value).__name__)(*converted(args), **converted(kwargs))
        layer.load_state_dict({key: to_mytorch(item) for key, item in value.state_dict().items()})
        return layer.to(to_mytorch(next(value.parameters()).detach()).dtype)
    if isinstance(value, tuple):
        return tuple(converted(item) for item in value)
    if isinstance(value, dict):
        return {key: converted(item) for key, item in value.items()}
    return to_mytorch(value)


@pytest.fixture
def layers_remember_arguments(monkeypatch):
    """The layers that stand as arguments in the table keep their own arguments, so that mytorch can build them too."""
    def remembering(build):
        def init(self, *args, **kwargs):
            build(self, *args, **kwargs)
            self.built_with = (args, kwargs)
        return init

    for kind in (torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer):
        monkeypatch.setattr(kind, "__init__", remembering(kind.__init__))


def samples(info, dtype, training):
    """The constructor's and forward's arguments of each sample."""
    torch.manual_seed(0)
    found = info.module_inputs_func(info, "cpu", dtype, True, training)
    return found if FULL else found[::-(-len(found) // MOST) or 1]


def states_agree(ours, theirs):
    """The same names, and where a seed decides, the same values."""
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if not isinstance(value, (torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer)):
            check_equal(ours[name], value, name)


def leaves(structure, module):
    """Inputs and Parameters that need a gradient."""
    tensors = (torch.Tensor, mytorch.Tensor)
    return [x for x in flat(structure) if isinstance(x, tensors) and x.requires_grad and x.is_leaf] + list(module.parameters())


def shown(module):
    """The printed form; functions of Python print an address."""
    import re
    return re.sub(r"<(?:built-in )?function (\w+).*?>", r"<function \1>", repr(module).replace("mytorch.", "torch."))


def built(sample, info, dtype, training):
    """The sample's layer in both libraries."""
    args, kwargs = sample.constructor_input.args, {k: v for k, v in sample.constructor_input.kwargs.items() if k != "device"}
    our_args, our_kwargs = converted((args, kwargs))
    theirs = quiet(info.module_cls, *args, **kwargs).to(dtype).train(training)
    ours = quiet(getattr(mytorch.nn, name_of(info)), *our_args, **our_kwargs).to(getattr(mytorch, str(dtype)[6:])).train(training)
    return ours, theirs


def gradients_are_near(found, expected, leaves, what):
    """As check_gradients, but by each gradient's largest entry: in float32 small entries are what is left of large ones, in either library."""
    for i, (a, b, x) in enumerate(zip(found, expected, leaves, strict=True)):
        try:
            check_gradients([a], [b], [x], f"{what} {i}:")
        except AssertionError:
            if a is None or b is None or tuple(a.shape) != tuple(b.shape):
                raise
            apart = (torch.from_numpy(a.detach().numpy().copy()) - b).abs().max()
            if not bool(apart <= 1e-3 * b.abs().max()):
                raise


def run(sample, info, dtype, training):
    """One sample in both libraries."""
    ours, theirs = built(sample, info, dtype, training)
    states_agree(ours.state_dict(), theirs.state_dict())
    assert shown(ours) == shown(theirs)
    if sample.forward_input is None:
        return
    call = fresh((sample.forward_input.args, sample.forward_input.kwargs))
    mine = converted(call)
    try:
        expected = quiet(theirs, *call[0], **call[1])
    except (RuntimeError, NotImplementedError):  # torch refuses its own sample
        return
    found = quiet(ours, *mine[0], **mine[1])
    check_equal(found, expected, "output")
    states_agree(ours.state_dict(), theirs.state_dict())
    outputs, expected_outputs = ([y for y in flat(part) if isinstance(y, kind) and y.requires_grad]
                                 for part, kind in ((found, mytorch.Tensor), (expected, torch.Tensor)))
    assert len(outputs) == len(expected_outputs)
    if not outputs:
        return
    weights = [torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1)) for y in expected_outputs]
    expected_leaves = leaves(call, theirs)
    grads = torch.autograd.grad(expected_outputs, expected_leaves, weights, allow_unused=True)
    found_grads = mytorch.autograd.grad(outputs, leaves(mine, ours), to_mytorch(weights), allow_unused=True)
    check = gradients_are_near if dtype is torch.float32 else check_gradients
    check(found_grads, grads, expected_leaves, "gradient")


@pytest.mark.usefixtures("layers_remember_arguments")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("info", [info for info in module_db if name_of(info) not in ABSENT], ids=name_of)
def test_layer_is_torchs(info, dtype, training):
    for sample in samples(info, dtype, training):
        try:
            run(sample, info, dtype, training)
        except Exception as error:
            raise AssertionError(f"{info.name} ({sample.desc or 'plain'}): {error}") from error


def raised(function):
    """The class of what a call raises, None for nothing."""
    try:
        quiet(function)
    except Exception as error:
        return type(error)
    return None


@pytest.mark.parametrize("info", [info for info in module_db if info.module_error_inputs_func], ids=name_of)
def test_wrong_arguments_raise_torchs_class(info):
    checked = 0
    for wrong in info.module_error_inputs_func(info, "cpu", torch.float64, True, True):
        sample = wrong.module_error_input
        args, kwargs = sample.constructor_input.args, {k: v for k, v in sample.constructor_input.kwargs.items() if k != "device"}
        our_args, our_kwargs = converted((args, kwargs))
        if wrong.error_on.name == "CONSTRUCTION_ERROR":
            expected = raised(lambda: info.module_cls(*args, **kwargs))  # noqa: B023 - called at once
            found = raised(lambda: getattr(mytorch.nn, name_of(info))(*our_args, **our_kwargs))  # noqa: B023
        else:
            ours, theirs = built(sample, info, torch.float64, True)
            call = sample.forward_input
            mine = converted((call.args, call.kwargs))
            expected = raised(lambda: theirs(*call.args, **call.kwargs))  # noqa: B023
            found = raised(lambda: ours(*mine[0], **mine[1]))  # noqa: B023
        assert found is expected, f"{info.name}: torch raises {expected}, mytorch {found} ({wrong.error_regex})"
        checked += 1
    assert checked


def test_every_layer_of_the_table_is_there_or_named():
    assert [name_of(info) for info in module_db if not hasattr(mytorch.nn, name_of(info))] == list(ABSENT)
