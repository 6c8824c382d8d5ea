"""torch._foreach_*: every name that torch has, on lists of tensors, against torch: values, gradients, in-place variants, errors."""

from __future__ import annotations

import pytest

import mytorch
from mytorch.ops import foreach

torch = pytest.importorskip("torch")

NAMES = sorted(name for name in dir(torch) if name.startswith("_foreach_"))
IN_PLACE_ALONE = ("_foreach_copy_", "_foreach_zero_")


def lists(t, grad=False):
    a = [t.tensor([0.3, 0.7]), t.tensor([[0.2, 0.9], [0.5, 0.4]])]
    b = [t.tensor([0.6, 0.1]), t.tensor([[0.8, 0.3], [0.7, 0.2]])]
    return [x.requires_grad_(grad) for x in a], b


def calls(name, t):
    """The other arguments of the calls to compare."""
    _, b = lists(t)
    base = name.rstrip("_").removeprefix("_foreach_")
    if base in ("add", "sub"):
        return [(2,), (b,), ([1.5, 2.5],)]
    if base in ("mul", "div"):
        return [(2.0,), (b,), ([1.5, 2.5],), (t.tensor(3.0),)]
    if base in ("pow", "maximum", "minimum", "clamp_max", "clamp_min"):
        return [(0.5,), (b,), ([0.4, 0.6],)]
    if base in ("addcmul", "addcdiv"):
        return [(b, b), (b, b, 0.5), (b, b, [0.5, 2.0]), (b, b, t.tensor([0.5, 2.0]))]
    if base == "lerp":
        return [(b, 0.25), (b, b), (b, [0.25, 0.75])]
    if base == "copy":
        return [(b,)]
    if base in ("norm", "powsum"):
        return [(), (1,), (2,)]
    return [()]


def plain(found):
    return [x.detach().tolist() for x in found]


def approx(found):
    return [pytest.approx(x, rel=1e-5, abs=1e-6) for x in flat(found)]


def flat(values):
    return [v for part in values for v in (flat(part) if isinstance(part, list) else [part])]


def test_all_of_torchs_names_are_there():
    assert sorted(foreach.NAMES) == NAMES
    assert all(hasattr(mytorch, name) for name in NAMES)
    assert not hasattr(mytorch, "_foreach_unknown")


@pytest.mark.parametrize("name", [n for n in NAMES if n != "_foreach_mm"])
def test_values_and_gradients_are_torchs(name):
    for place in range(len(calls(name, torch))):
        outcomes, derivative = [], True
        for t in (torch, mytorch):
            in_place = name.endswith("_")
            a, _ = lists(t, grad=not in_place)
            result = getattr(t, name)(a, *calls(name, t)[place])
            if in_place:
                outcomes.append(plain(a if result is None else result))
                assert plain(a) == outcomes[-1]
            else:
                assert isinstance(result, tuple)
                outcomes.append(plain(result))
                try:
                    sum(y.sum() for y in result).backward() if derivative else None
                except RuntimeError as error:
                    if t is mytorch or "is not implemented" not in str(error):
                        raise
                    derivative = False  # torch has none
                if derivative:
                    outcomes[-1] += [x.grad.tolist() for x in a]
        assert flat(outcomes[1]) == approx(outcomes[0])


def test_matrices():
    for t in (torch, mytorch):
        a, b = lists(t)
        (y,) = t._foreach_mm(a[1:], b[1:])
        assert y.tolist() == a[1].mm(b[1]).tolist()


def test_a_number_to_the_power_of_each():
    found = [flat(plain(t._foreach_pow(2.0, lists(t)[0]))) for t in (torch, mytorch)]
    assert found[1] == approx([found[0]])


@pytest.mark.parametrize("call", [lambda t, a: t._foreach_add(a, [1.0]), lambda t, a: t._foreach_add(a, a[:1]),
                                  lambda t, a: t._foreach_add([], 1), lambda t, a: t._foreach_exp(a[0]), lambda t, a: t._foreach_sqrt([])],
                         ids=["few numbers", "few tensors", "empty", "no list", "empty unary"])
def test_errors_are_torchs(call):
    errors = []
    for t in (torch, mytorch):
        with pytest.raises((RuntimeError, TypeError)) as caught:
            call(t, lists(t)[0])
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0][0] is errors[1][0]
    if errors[0][0] is RuntimeError:
        assert errors[0] == errors[1]
