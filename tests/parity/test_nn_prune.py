"""nn.utils.prune against torch's: what is pruned, trained, pruned again, removed and refused."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.parity.nn_scenarios import LIBS, module_of, passes, same_numbers  # noqa: E402
from tests.parity.outcome import assert_same  # noqa: E402

PRUNINGS = [
    lambda R, m, T: R.identity(m, "weight"),
    lambda R, m, T: R.l1_unstructured(m, "weight", 0.3),
    lambda R, m, T: R.l1_unstructured(m, "weight", 5),
    lambda R, m, T: R.l1_unstructured(m, "weight", 0),
    lambda R, m, T: R.l1_unstructured(m, "weight", 0.5, importance_scores=T.arange(12.0).view(3, 4)),
    lambda R, m, T: R.random_unstructured(m, "weight", 0.4),
    lambda R, m, T: R.random_structured(m, "weight", 0.5, 1),
    lambda R, m, T: R.random_structured(m, "weight", 1, 0),
    lambda R, m, T: R.ln_structured(m, "weight", 1, 2, 0),
    lambda R, m, T: R.ln_structured(m, "weight", 0.5, 1, -1),
    lambda R, m, T: R.ln_structured(m, "weight", 0.5, float("inf"), 1),
    lambda R, m, T: R.custom_from_mask(m, "weight", T.tensor([[1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 0]])),
]


@pytest.mark.parametrize("act", PRUNINGS, ids=range(len(PRUNINGS)))
def test_pruning_chooses_trains_and_is_removed_as_torchs(act):
    def scenario(T):
        R, layer = module_of(T, "prune"), T.nn.Linear(4, 3)  # noqa: N806
        assert act(R, layer, T) is layer
        shown = [R.is_pruned(layer), R.is_pruned(T.nn.Sequential(layer)), [n for n, _ in layer.named_parameters()],
                 [n for n, _ in layer.named_buffers()]]
        trained = passes(T, layer, (2, 4))
        R.remove(layer, "weight")
        return [shown, trained, R.is_pruned(layer), dict(layer.state_dict()), isinstance(layer.weight, T.nn.Parameter)]

    same_numbers(scenario)


@pytest.mark.parametrize("second", range(len(PRUNINGS)))
@pytest.mark.parametrize("first", [1, 6, 8])
def test_a_second_pruning_takes_from_what_is_left(first, second):
    def scenario(T):
        R, layer = module_of(T, "prune"), T.nn.Linear(4, 3)  # noqa: N806
        for i in (first, second):
            PRUNINGS[i](R, layer, T)
        hook = next(iter(layer._forward_pre_hooks.values()))
        return [layer.weight_mask, [type(method).__name__ for method in hook], layer.weight, len(hook)]

    same_numbers(scenario)


def test_global_pruning_takes_the_smallest_of_all():
    def scenario(T):
        R, net = module_of(T, "prune"), T.nn.Sequential(T.nn.Conv2d(1, 2, 3), T.nn.Flatten(), T.nn.Linear(8, 3))  # noqa: N806
        R.global_unstructured([(net[0], "weight"), (net[2], "weight")], R.L1Unstructured, amount=0.4)
        R.global_unstructured([(net[0], "weight"), (net[2], "weight"), (net[2], "bias")], R.RandomUnstructured, amount=7)
        return [dict(net.state_dict()), net(T.ones(1, 1, 4, 4))]

    same_numbers(scenario)


def test_a_tensor_can_be_pruned_alone():
    def scenario(T):
        R, t = module_of(T, "prune"), T.tensor([[3.0, 1.0, -2.0], [0.5, -4.0, 0.1]])  # noqa: N806
        return [R.L1Unstructured(2).prune(t), R.LnStructured(1, 1, 0).prune(t), R.L1Unstructured(2).prune(t, importance_scores=-t),
                R.L1Unstructured(1).prune(t, default_mask=T.tensor([[1.0, 0, 1], [1, 1, 1]])), R.RandomStructured(0.5, 1).prune(t)]

    same_numbers(scenario)


@pytest.mark.parametrize("act", [
    lambda R, m, T: R.l1_unstructured(m, "weight", 1.5),
    lambda R, m, T: R.l1_unstructured(m, "weight", -1),
    lambda R, m, T: R.l1_unstructured(m, "weight", 100),
    lambda R, m, T: R.l1_unstructured(m, "weight", "a"),
    lambda R, m, T: R.l1_unstructured(m, "nope", 1),
    lambda R, m, T: R.l1_unstructured(m, "weight", 1, importance_scores=T.ones(2)),
    lambda R, m, T: R.ln_structured(m, "bias", 1, 2, 0),
    lambda R, m, T: R.ln_structured(m, "weight", 1, 2, 5),
    lambda R, m, T: R.random_structured(m, "weight", 9, 0),
    lambda R, m, T: R.custom_from_mask(m, "weight", T.ones(2)),
    lambda R, m, T: R.remove(m, "weight"),
    lambda R, m, T: R.global_unstructured(m, R.L1Unstructured, amount=2),
    lambda R, m, T: R.global_unstructured([(m, "weight")], R.L1Unstructured, amount=2, importance_scores=3),
    lambda R, m, T: R.global_unstructured([(m, "weight")], R.CustomFromMask, mask=T.ones(12)),
    lambda R, m, T: R.PruningContainer().add_pruning_method(3),
    lambda R, m, T: R.BasePruningMethod(),
    lambda R, m, T: R.L1Unstructured(2).prune(T.ones(4), importance_scores=T.ones(3)),
])
def test_impossible_prunings_raise_as_in_torch(act):
    assert_same(lambda T: act(module_of(T, "prune"), T.nn.Linear(4, 3), T))


def test_a_refused_pruning_leaves_the_module_as_it_was():
    for T in LIBS:
        layer = T.nn.Linear(4, 3)
        weight = layer.weight
        with pytest.raises(ValueError, match="amount=100"):
            module_of(T, "prune").l1_unstructured(layer, "weight", 100)
        assert layer.weight is weight and sorted(layer.state_dict()) == ["bias", "weight"]
