"""torch.autograd.functional: the same structures, values, graphs and refusals as torch."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.parity.functions import assert_both

torch = pytest.importorskip("torch")

# torch's own: vmap and forward mode go through deprecated parts of it
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

X = np.array([1.0, 2.0], np.float32)
V = np.array([1.0, 10.0], np.float32)
Y = np.array([3.0, 4.0], np.float32)


def face(lib):
    return importlib.import_module(f"{lib.__name__}.autograd.functional")


def cube(x):
    return x ** 3


def total(x):
    return (x ** 3).sum()


def two(x, y):
    return x * y, x.sum() * y


def scalar_of_two(x, y):
    return (x ** 2 * y).sum()


# function of (library, x, v, y) -> the arguments after the function's name
PRODUCTS = {
    "vector": lambda L, x, v, y: (cube, x, v),
    "no v": lambda L, x, v, y: (cube, x),
    "no v, one number out": lambda L, x, v, y: (total, x),
    "no v, one number in": lambda L, x, v, y: (cube, L.tensor(2.0)),
    "two": lambda L, x, v, y: (two, (x, y), (v, v)),
    "lists": lambda L, x, v, y: (two, [x, y], [v, v]),
    "tuple of one": lambda L, x, v, y: (cube, (x,), (v,)),
    "v of another shape": lambda L, x, v, y: (cube, x, L.ones(3)),
    "two v of another shape": lambda L, x, v, y: (two, (x, y), (v, L.ones(3))),
    "too many v": lambda L, x, v, y: (cube, x, (v, v)),
    "v no tensor": lambda L, x, v, y: (cube, x, 3),
    "input no tensor": lambda L, x, v, y: (cube, 3),
    "one input no tensor": lambda L, x, v, y: (cube, (x, 3), (v, v)),
    "output no tensor": lambda L, x, v, y: (lambda x: 3, x, v),
    "output a list": lambda L, x, v, y: (lambda x: [x * 2], x, v),
    "constant": lambda L, x, v, y: (lambda x: L.ones(2), x, v),
    "linear": lambda L, x, v, y: (lambda x: 2 * x, x, v),
    "in the graph": lambda L, x, v, y: (cube, x.requires_grad_(), v),
    "integers": lambda L, x, v, y: (cube, L.tensor([1, 2]), v),
    "complex": lambda L, x, v, y: (cube, (x * (1 + 2j)), v * (1 - 1j)),
}
SECOND = {
    "vector": lambda L, x, v, y: (total, x, v),
    "no v": lambda L, x, v, y: (total, x),
    "one number": lambda L, x, v, y: (total, L.tensor(2.0)),
    "two": lambda L, x, v, y: (scalar_of_two, (x, y), (v, v)),
    "vector out": lambda L, x, v, y: (cube, x, v),
    "tuple out": lambda L, x, v, y: (lambda x: (x.sum(),), x, v),
    "one element out": lambda L, x, v, y: (lambda x: (x ** 3).sum().reshape(1), x, v),
    "linear": lambda L, x, v, y: (lambda x: x.sum(), x, v),
    "constant": lambda L, x, v, y: (lambda x: L.tensor(1.0), x, v),
    "unused input": lambda L, x, v, y: (lambda x, y: (x ** 3).sum(), (x, y), (v, v)),
    "no tensor out": lambda L, x, v, y: (lambda x: 3, x, v),
    "v of another shape": lambda L, x, v, y: (total, x, L.ones(3)),
    "in the graph": lambda L, x, v, y: (total, x.requires_grad_(), v),
}
OPTIONS = [{}, {"create_graph": True}, {"strict": True}, {"strict": True, "create_graph": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("case", PRODUCTS)
@pytest.mark.parametrize("function", ["vjp", "jvp"])
def test_products_with_the_jacobian(function, case, options):
    assert_both(torch, lambda L, *xs: getattr(face(L), function)(*PRODUCTS[case](L, *xs), **options), X, V, Y)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("case", SECOND)
@pytest.mark.parametrize("function", ["vhp", "hvp"])
def test_products_with_the_hessian(function, case, options):
    assert_both(torch, lambda L, *xs: getattr(face(L), function)(*SECOND[case](L, *xs), **options), X, V, Y)


WHOLE = {
    "vector": lambda L, x, y: (cube, x),
    "two": lambda L, x, y: (two, (x, y)),
    "tuple of one": lambda L, x, y: (cube, (x,)),
    "tuple of one out": lambda L, x, y: (lambda x: (x * 2,), x),
    "matrix": lambda L, x, y: (lambda x: x.outer(y).sin(), x),
    "constant": lambda L, x, y: (lambda x: L.ones(2), x),
    "linear": lambda L, x, y: (lambda x: x * 2, x),
    "each of its own": lambda L, x, y: (lambda x, y: (x * 2, y ** 2), (x, y)),
    "no tensor out": lambda L, x, y: (lambda x: 3, x),
    "no tensor in": lambda L, x, y: (cube, 3),
    "integers": lambda L, x, y: (cube, L.tensor([1])),
    "in the graph": lambda L, x, y: (cube, x.requires_grad_()),
}
WHOLE_OPTIONS = [*OPTIONS, {"vectorize": True}, {"vectorize": True, "create_graph": True}, {"vectorize": True, "strict": True},
                 {"strategy": "forward-mode"}, {"strategy": "bad"}, {"vectorize": True, "strategy": "forward-mode", "create_graph": True}]


@pytest.mark.parametrize("options", WHOLE_OPTIONS, ids=str)
@pytest.mark.parametrize("case", WHOLE)
def test_jacobian(case, options):
    assert_both(torch, lambda L, *xs: face(L).jacobian(*WHOLE[case](L, *xs), **options), X, Y)


@pytest.mark.parametrize("case", [name for name in WHOLE if name not in ("two", "each of its own", "tuple of one", "tuple of one out", "integers",
                                                     "no tensor out", "in the graph")])
def test_jacobian_by_columns(case):  # where inputs or outputs are tuples torch gives lists, not as documented
    assert_both(torch, lambda L, *xs: face(L).jacobian(*WHOLE[case](L, *xs), vectorize=True, strategy="forward-mode"), X, Y)


def test_jacobian_by_columns_is_the_one_by_rows():
    def run(L, x, y):
        columns = face(L).jacobian(two, (x, y), vectorize=True, strategy="forward-mode")
        return tuple(tuple(row) for row in columns)

    assert_both(torch, run, X, Y)


HESSIANS = {
    "vector": lambda L, x, y: (total, x),
    "two": lambda L, x, y: (scalar_of_two, (x, y)),
    "one element out": lambda L, x, y: (lambda x: (x ** 3).sum().reshape(1), x),
    "vector out": lambda L, x, y: (cube, x),
    "tuple out": lambda L, x, y: (lambda x: (total(x),), x),
    "linear": lambda L, x, y: (lambda x: x.sum(), x),
    "constant": lambda L, x, y: (lambda x: L.tensor(1.0), x),
    "in the graph": lambda L, x, y: (total, x.requires_grad_()),
}


@pytest.mark.parametrize("options", [*OPTIONS, {"vectorize": True}, {"outer_jacobian_strategy": "forward-mode"},
                                     {"outer_jacobian_strategy": "bad"}], ids=str)
@pytest.mark.parametrize("case", HESSIANS)
def test_hessian(case, options):
    assert_both(torch, lambda L, *xs: face(L).hessian(*HESSIANS[case](L, *xs), **options), X, Y)


def test_hessian_forward_over_reverse():
    def run(L, x, y):
        found = face(L).hessian(scalar_of_two, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode")
        return tuple(tuple(h.detach() for h in row) for row in found)

    assert_both(torch, run, X, Y)


def test_no_grad_outside_does_not_matter():
    def run(L, x, y):
        with L.no_grad():
            return face(L).jacobian(cube, x), face(L).hessian(total, x), face(L).vjp(cube, x, y), face(L).hvp(total, x, y)

    assert_both(torch, run, X, Y)
