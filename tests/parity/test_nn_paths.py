"""torch's paths to the layers lead to the layers here, too."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import mytorch
import mytorch.nn

torch = pytest.importorskip("torch")

NO_LAYERS = {"_functions"}  # helpers of torch's own
FILES = sorted(m.name for m in pkgutil.iter_modules(torch.nn.modules.__path__) if m.name not in NO_LAYERS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_layers_holds_torchs_layers(name):
    ours, theirs = (importlib.import_module(f"{T.__name__}.nn.modules.{name}") for T in (mytorch, torch))
    wanted = list(getattr(theirs, "__all__", []))
    assert [n for n in wanted if not hasattr(ours, n)] == []
    for n in wanted:
        if hasattr(mytorch.nn, n):
            assert getattr(ours, n) is getattr(mytorch.nn, n)


def test_base_classes_are_found_where_torch_has_them():
    from mytorch.nn.modules.batchnorm import _BatchNorm
    from mytorch.nn.modules.conv import _ConvNd

    from mytorch.nn.modules.utils import _ntuple, _pair, _reverse_repeat_tuple, _single, _triple

    assert isinstance(mytorch.nn.BatchNorm2d(3), _BatchNorm)
    assert isinstance(mytorch.nn.Conv1d(1, 1, 1), _ConvNd)
    assert mytorch.nn.modules.Linear is mytorch.nn.Linear
    utils = torch.nn.modules.utils
    for value in (3, (1, 2), [4, 5], "ab"):
        for ours, theirs in ((_single, utils._single), (_pair, utils._pair), (_triple, utils._triple), (_ntuple(4), utils._ntuple(4))):
            assert ours(value) == theirs(value)
    assert _reverse_repeat_tuple((1, 2), 2) == utils._reverse_repeat_tuple((1, 2), 2)


def test_a_prefix_is_taken_off_a_checkpoint_as_in_torch():
    left = []
    for T in (mytorch, torch):
        model = T.nn.Sequential(T.nn.Linear(2, 3), T.nn.BatchNorm1d(3))
        state = T.nn.Sequential()
        state.module = model
        state = state.state_dict()
        importlib.import_module(f"{T.__name__}.nn.modules.utils").consume_prefix_in_state_dict_if_present(state, "module.")
        model.load_state_dict(state)
        left.append((list(state), dict(state._metadata)))
    assert left[0] == left[1]


def test_the_choice_of_an_attention_kernel_changes_no_value():
    from mytorch.nn.attention import SDPBackend, sdpa_kernel

    assert [(b.name, b.value) for b in SDPBackend] == [(n, int(v)) for n, v in torch.nn.attention.SDPBackend.__members__.items()]
    q = mytorch.randn(2, 3, 4)
    expected = mytorch.nn.functional.scaled_dot_product_attention(q, q, q)
    for choice in (SDPBackend.MATH, [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        with sdpa_kernel(choice):
            assert mytorch.equal(mytorch.nn.functional.scaled_dot_product_attention(q, q, q), expected)
    with pytest.raises(AssertionError, match="SDPBackend"), sdpa_kernel("math"):
        pass
