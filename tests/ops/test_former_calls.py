"""Calls as older programs write them, names that methods give their arguments, and operands of classes derived from Python's."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import pytest

import mytorch as torch

X, Y, V = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[3.0, 5.0], [7.0, 9.0]]), torch.tensor([2.0, 1.0])
Z = torch.stack([X, Y])

FORMER: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "torch.add": (lambda x: torch.add(x, 2, Y), lambda x: x + 2 * Y),
    "add": (lambda x: x.add(-0.5, Y), lambda x: x - 0.5 * Y),
    "add_": (lambda x: x.mul_(2).add_(-0.5, Y), lambda x: 2 * x - 0.5 * Y),
    "sub": (lambda x: x.sub(2, Y), lambda x: x - 2 * Y),
    "sub_": (lambda x: x.sub_(2, Y), lambda x: x - 2 * Y),
    "addcmul": (lambda x: x.addcmul(2, Y, Y), lambda x: x + 2 * Y * Y),
    "addcmul_": (lambda x: x.addcmul_(2, Y, Y), lambda x: x + 2 * Y * Y),
    "torch.addcdiv": (lambda x: torch.addcdiv(x, 2, X, Y), lambda x: x + 2 * X / Y),
    "addcdiv_": (lambda x: x.addcdiv_(-2, X, Y), lambda x: x - 2 * X / Y),
    "torch.addmm": (lambda x: torch.addmm(2, x, 3, X, Y), lambda x: 2 * x + 3 * X @ Y),
    "torch.addmm, beta alone": (lambda x: torch.addmm(2, x, X, Y), lambda x: 2 * x + X @ Y),
    "addmm": (lambda x: x.addmm(2, 3, X, Y), lambda x: 2 * x + 3 * X @ Y),
    "addmm_": (lambda x: x.addmm_(2, X, Y), lambda x: 2 * x + X @ Y),
    "addmv": (lambda x: x[0].addmv(2, 3, Y, V), lambda x: 2 * x[0] + 3 * Y @ V),
    "addr_": (lambda x: x.addr_(2, V, V), lambda x: 2 * x + torch.outer(V, V)),
    "addbmm": (lambda x: x.addbmm(2, Z, Z), lambda x: 2 * x + (Z @ Z).sum(0)),
    "baddbmm_": (lambda x: torch.stack([x, x]).baddbmm_(2, 3, Z, Z), lambda x: 2 * x + 3 * Z @ Z),
}


@pytest.mark.parametrize("name", FORMER)
def test_a_factor_in_front_multiplies_as_the_keyword_does(name: str) -> None:
    former, meant = FORMER[name]
    with pytest.warns(UserWarning, match="deprecated") as record:
        y = former(X.clone())
    torch.testing.assert_close(y, meant(X.clone()))
    assert record[0].filename == __file__


def test_gradients_go_through_the_former_call() -> None:
    x, y = X.clone().requires_grad_(), Y.clone().requires_grad_()
    with pytest.warns(UserWarning, match="add is deprecated"):
        x.add(3, y).sum().backward()
    assert x.grad.tolist() == [[1, 1], [1, 1]]
    assert y.grad.tolist() == [[3, 3], [3, 3]]


@pytest.mark.parametrize("call", [
    lambda: X.add(Y, Y), lambda: X.add(1, 2), lambda: torch.add(X, 1, Y, 2), lambda: X.clone().add_(Y, 2), lambda: X.addcmul(Y, Y, 2),
    lambda: X.addmm(1, 2, 3, X, Y), lambda: torch.addmm(1, 2, 3, 4), lambda: X.addmm(2, X, Y, beta=1),
])
def test_other_orders_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="takes"):
        call()


def test_methods_take_their_arguments_by_the_names_of_torch() -> None:
    x = torch.arange(6.0)
    assert [len(part) for part in x.split(split_size=4)] == [4, 2]
    assert [len(part) for part in x.split(split_size=[1, 5], dim=0)] == [1, 5]
    assert x.view(2, 3).swapaxes(axis0=0, axis1=1).shape == torch.swapaxes(x.view(2, 3), axis0=0, axis1=1).shape == (3, 2)
    assert x.view(2, 3).swapdims(dim0=0, dim1=1).shape == (3, 2)
    assert X.clone().mul_(other=2).pow_(exponent=2).tolist() == [[4, 16], [36, 64]]
    with pytest.raises(TypeError):
        X.clone().exp_(2)


def test_randint_like_takes_its_end_by_name() -> None:
    y = torch.randint_like(torch.zeros(50), high=3)
    assert set(y.tolist()) == {0, 1, 2}
    assert set(torch.randint_like(torch.zeros(50), 1, high=3).tolist()) == {1, 2}
    with pytest.raises(TypeError, match="end of its range"):
        torch.randint_like(y)


def test_a_number_of_a_class_derived_from_int_is_a_number() -> None:
    class Size(IntEnum):
        BIG = 3

    assert (X * Size.BIG).tolist() == [[3, 6], [9, 12]]
    assert (torch.tensor([1, 2]) + Size.BIG).dtype is torch.int64


def test_a_class_derived_from_tuple_may_multiply_a_tensor() -> None:
    class Pair(tuple):
        def __rmul__(self, other: Any) -> Pair:
            return Pair(other * x for x in self)

    assert [x.tolist() for x in torch.tensor([2.0]) * Pair((X[0], 3))] == [[2, 4], [6]]
    with pytest.raises(TypeError):
        X * (1, 2)
