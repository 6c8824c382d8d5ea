"""nn.Module by itself: what it registers, calls, converts, saves and frees."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import mytorch as torch
from mytorch import nn, optim
from mytorch.nn import module_hooks


class Affine(nn.Module):
    """y = weight * x + shift, with a buffer that counts the calls."""

    def __init__(self, n: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n) * 2)
        self.register_buffer("calls", torch.tensor(0))
        self.shift = nn.Buffer(torch.ones(n), persistent=False)

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x * self.weight + self.shift


# ---- the call -----------------------------------------------------------------------------------------------------------------


def test_call_without_hooks_goes_straight_to_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_hooks, "any_global", False)  # another test may have had a hook for all modules
    monkeypatch.setattr(module_hooks, "call", lambda *args: pytest.fail("the slow way was taken"))
    assert Affine()(torch.ones(2)).tolist() == [3.0, 3.0]


def test_call_takes_the_way_with_hooks_from_the_first_registration_on() -> None:
    module, plain = Affine(), Affine()
    seen: list[Any] = []
    module.register_forward_hook(lambda m, args, y: seen.append(y.tolist()))
    module(torch.ones(2))
    plain(torch.ones(2))
    assert seen == [[3.0, 3.0]]


def test_call_goes_straight_to_forward_again_once_all_hooks_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Affine()
    handles = [module.register_forward_hook(lambda m, args, y: None), module.register_full_backward_hook(lambda m, gi, go: None),
               module_hooks.register_module_forward_pre_hook(lambda m, args: None)]
    for handle in handles:
        handle.remove()
    module(torch.ones(2))  # notices that none is left
    monkeypatch.setattr(module_hooks, "call", lambda *args: pytest.fail("the slow way was taken"))
    assert module(torch.ones(2)).tolist() == [3.0, 3.0]
    monkeypatch.undo()
    seen: list[Any] = []
    module.register_forward_hook(lambda m, args, y: seen.append(y.tolist()))
    module(torch.ones(2))
    assert seen == [[3.0, 3.0]]


def test_gradients_flow_through_nested_modules() -> None:
    network = nn.Sequential(Affine(), nn.Sequential(Affine(), Affine()))
    x = torch.ones(2, requires_grad=True)
    network(x).sum().backward()
    assert x.grad.tolist() == [8.0, 8.0]
    assert [p.grad.tolist() for p in network.parameters()] == [[4.0, 4.0], [6.0, 6.0], [7.0, 7.0]]


def test_hooked_backward_gives_the_gradients_of_the_plain_one() -> None:
    plain, hooked = nn.Sequential(Affine(), Affine()), nn.Sequential(Affine(), Affine())
    for module in hooked.modules():
        module.register_full_backward_hook(lambda m, gi, go: None)
        module.register_full_backward_pre_hook(lambda m, go: None)
    for network in (plain, hooked):
        (network(torch.tensor([1.0, -2.0], requires_grad=True)) ** 2).sum().backward()
    assert [p.grad.tolist() for p in plain.parameters()] == [p.grad.tolist() for p in hooked.parameters()]


# ---- memory -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hooked", [False, True])
def test_a_used_module_is_freed_without_the_garbage_collector(hooked: bool) -> None:
    module = nn.Sequential(Affine(), Affine())
    if hooked:
        module.register_forward_hook(lambda m, args, y: None)
        module[0].register_full_backward_hook(lambda m, gi, go: None)
        module[0].register_load_state_dict_pre_hook(lambda *args: None)
        module[0].register_state_dict_post_hook(lambda *args: None)
    gc.collect()
    gc.disable()
    try:
        module(torch.ones(2, requires_grad=True)).sum().backward()
        module.load_state_dict(module.state_dict())
        alive = weakref.ref(module[0])
        del module
        assert alive() is None
    finally:
        gc.enable()


def test_removing_a_hook_leaves_nothing_behind() -> None:
    module = Affine()
    handle = module.register_forward_hook(lambda m, args, kwargs, y: None, with_kwargs=True, always_call=True)
    handle.remove()
    handle.remove()
    assert not module._forward_hooks
    assert not module._forward_hooks_with_kwargs
    assert not module._forward_hooks_always_called


# ---- parameters and buffers ---------------------------------------------------------------------------------------------------


def test_parameter_shares_memory_and_version_with_its_data() -> None:
    data = torch.zeros(3)
    parameter = nn.Parameter(data)
    data += 1
    assert parameter.tolist() == [1.0, 1.0, 1.0]
    assert parameter._version == data._version == 1
    assert parameter.is_leaf
    assert parameter.requires_grad


def test_a_subclass_of_tensor_stays_itself_as_a_parameter() -> None:
    class Named(torch.Tensor):
        pass

    given = Named(2)
    parameter = nn.Parameter(given)
    assert type(parameter) is Named
    assert isinstance(parameter, nn.Parameter)
    assert not isinstance(given, nn.Parameter)
    module = nn.Module()
    module.p = parameter
    assert list(module.parameters()) == [parameter]


def test_parameter_of_something_else_says_what_to_do() -> None:
    with pytest.raises(AttributeError, match=r"got numpy\.ndarray, expected a Tensor; make one with torch\.tensor"):
        nn.Parameter(np.ones(3))


def test_deepcopy_is_independent_and_keeps_sharing() -> None:
    module = nn.Sequential(Affine(), Affine())
    module[1].weight = module[0].weight
    copied = copy.deepcopy(module)
    with torch.no_grad():
        copied[0].weight.fill_(7)
    assert copied[1].weight is copied[0].weight
    assert module[0].weight.tolist() == [2.0, 2.0]


def test_a_pickle_that_is_older_than_a_table_still_works() -> None:
    module = Affine()
    younger = ("_forward_pre_hooks", "_state_dict_pre_hooks")
    state = {name: value for name, value in module.__dict__.items() if name not in younger}
    old = Affine.__new__(Affine)
    old.__setstate__(state)
    old.register_forward_pre_hook(lambda m, args: None)
    assert old(torch.ones(2)).tolist() == [3.0, 3.0]


# ---- conversion ---------------------------------------------------------------------------------------------------------------


def test_conversion_keeps_the_parameter_objects_that_an_optimizer_holds() -> None:
    module = Affine()
    optimizer = optim.SGD(module.parameters(), lr=1.0)
    module.double()
    module(torch.ones(2, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert module.weight.dtype is torch.float64
    assert module.weight.tolist() == [1.0, 1.0]
    assert module.calls.dtype is torch.int64


def test_conversion_of_a_module_calls_the_apply_of_its_children() -> None:
    class Counting(Affine):
        applied = 0

        def _apply(self, fn: Any, recurse: bool = True) -> Any:
            self.applied += 1
            return super()._apply(fn, recurse)

    network = nn.Sequential(Counting())
    network.double()
    network[0].half()
    assert network[0].applied == 2


def test_conversion_to_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not compiled with CUDA enabled"):
        Affine().to("cuda")


# ---- checkpoints --------------------------------------------------------------------------------------------------------------


def test_state_dict_shares_memory_and_loading_copies_into_it() -> None:
    module = Affine()
    state = module.state_dict()
    assert list(state) == ["weight", "calls"]
    weight, before = module.weight, module.weight._version
    module.load_state_dict({"weight": torch.zeros(2), "calls": torch.tensor(5)})
    assert state["weight"].tolist() == [0.0, 0.0]
    assert state["calls"].item() == 5
    assert module.weight is weight
    assert module.weight._version > before


def test_a_failed_strict_load_names_everything_that_is_wrong_and_loads_the_rest() -> None:
    network = nn.Sequential(Affine(), Affine())
    state = {"0.weight": torch.zeros(3), "0.calls": torch.tensor(1), "1.weight": torch.zeros(2), "2.weight": torch.zeros(2)}
    with pytest.raises(RuntimeError) as caught:
        network.load_state_dict(state)
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for Sequential:\n\tMissing key(s) in state_dict: \"1.calls\". \n\t")
    assert 'Unexpected key(s) in state_dict: "2.weight". ' in text
    assert "size mismatch for 0.weight: copying a param with shape torch.Size([3]) from checkpoint" in text
    assert network[1].weight.tolist() == [0.0, 0.0]


def test_loading_with_assign_takes_the_tensors_themselves() -> None:
    module = Affine()
    weight = torch.zeros(2, dtype=torch.float64)
    module.load_state_dict({"weight": weight, "calls": torch.tensor(1)}, assign=True)
    weight += 1
    assert module.weight.tolist() == [1.0, 1.0]
    assert isinstance(module.weight, nn.Parameter)
    assert module.weight.requires_grad


def test_loading_leaves_the_given_dict_alone() -> None:
    module = Affine()
    module._register_load_state_dict_pre_hook(lambda state, *rest: state.clear())
    state = dict(module.state_dict())
    assert module.load_state_dict(state, strict=False).missing_keys == ["weight", "calls"]
    assert list(state) == ["weight", "calls"]


# ---- containers ---------------------------------------------------------------------------------------------------------------


def test_members_of_containers_are_parameters_of_the_module_that_holds_them() -> None:
    module = nn.Module()
    module.layers = nn.ModuleList([Affine(), Affine()])
    module.named = nn.ModuleDict({"a": Affine()})
    module.loose = nn.ParameterList([torch.ones(1), torch.ones(1)])
    module.table = nn.ParameterDict({"b": torch.ones(1)})
    assert [name for name, _ in module.named_parameters()] == [
        "layers.0.weight", "layers.1.weight", "named.a.weight", "loose.0", "loose.1", "table.b"]


def test_sequential_renumbers_after_a_deletion() -> None:
    first, second, third = Affine(), Affine(), Affine()
    network = nn.Sequential(first, second, third)
    del network[1]
    assert list(network._modules) == ["0", "1"]
    assert network[1] is third


def test_modules_of_deep_nesting_are_found_in_order() -> None:
    network = Affine()
    for _ in range(50):
        network = nn.Sequential(network)
    assert len(list(network.modules())) == 51
    assert [name for name, _ in network.named_parameters()] == ["0." * 50 + "weight"]
