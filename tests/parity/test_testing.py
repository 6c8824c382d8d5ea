"""torch.testing against torch: the same verdicts with the same words, and the same values from make_tensor."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")


def outcome(function):
    """('ok', what it returned) or (class, message), and the classes and first words of its warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = "ok", function()
        except Exception as error:
            found = type(error).__name__, str(error)
    return found, [(w.category.__name__, str(w.message)[:50]) for w in seen]


def comparisons(t):
    """Name -> a call of assert_close: most fail."""
    ac, T = t.testing.assert_close, t.tensor
    return {
        "scalar tensor": lambda: ac(T(1.0), T(2.0)),
        "vec": lambda: ac(T([1.0, 2.0, 3.0]), T([1.0, 2.5, 3.0])),
        "mat": lambda: ac(T([[1.0, 2.0], [3.0, 4.0]]), T([[1.0, 2.5], [3.0, 5.0]])),
        "int": lambda: ac(T([1, 2, 3]), T([1, 5, 3])),
        "bool": lambda: ac(T([True, False]), T([True, True])),
        "shape": lambda: ac(T([1.0, 2.0]), T([[1.0, 2.0]])),
        "dtype": lambda: ac(T([1.0, 2.0]), T([1.0, 2.0]).double()),
        "dtype off": lambda: ac(T([1.0, 2.0]), T([1.0, 3.0]).double(), check_dtype=False),
        "int float off": lambda: ac(T([1, 2]), T([1.0, 3.0]), check_dtype=False),
        "stride": lambda: ac(t.zeros(2, 3), t.zeros(3, 2).t(), check_stride=True),
        "nan": lambda: ac(T([1.0, float("nan")]), T([1.0, float("nan")])),
        "nan equal": lambda: ac(T([1.0, float("nan")]), T([2.0, float("nan")]), equal_nan=True),
        "inf": lambda: ac(T([1.0, float("inf")]), T([1.0, 2.0])),
        "zero expected": lambda: ac(T([0.1, 1.0]), T([0.0, 1.0])),
        "rtol only": lambda: ac(T([1.0]), T([2.0]), rtol=0.1),
        "atol only": lambda: ac(T([1.0]), T([2.0]), atol=0.1),
        "both": lambda: ac(T([1.0]), T([2.0]), rtol=0.1, atol=0.1),
        "exact": lambda: ac(T([1.0]), T([2.0]), rtol=0, atol=0),
        "number": lambda: ac(1.0, 2.0),
        "number int": lambda: ac(1, 2),
        "number nan": lambda: ac(float("nan"), float("nan")),
        "number dtype": lambda: ac(1, 1.0),
        "number vs tensor": lambda: ac(1.0, T(1.0)),
        "tensor vs number": lambda: ac(T(1.0), 1.0),
        "bool num": lambda: ac(True, False),
        "complex num": lambda: ac(1j, 2j),
        "seq": lambda: ac([T([1.0]), T([2.0])], [T([1.0]), T([3.0])]),
        "seq len": lambda: ac([T([1.0])], [T([1.0]), T([3.0])]),
        "seq type": lambda: ac([1.0], (2.0,)),
        "dict": lambda: ac({"a": T([1.0])}, {"a": T([2.0])}),
        "dict keys": lambda: ac({"a": 1, "b": 2}, {"a": 1, "c": 2}),
        "nested": lambda: ac({"a": [1.0, (2.0, 3.0)]}, {"a": [1.0, (2.0, 4.0)]}),
        "str": lambda: ac("a", "b"),
        "str same": lambda: ac("a", "a"),
        "none": lambda: ac(None, None),
        "none vs": lambda: ac(None, T(1.0)),
        "msg": lambda: ac(T([1.0]), T([2.0]), msg="mine"),
        "msg call": lambda: ac(T([1.0]), T([2.0]), msg=lambda m: "head\n" + m),
        "msg seq": lambda: ac([T([1.0])], [T([2.0])], msg=lambda m: "head\n" + m),
        "complex": lambda: ac(T([1 + 1j, 2.0]), T([1 + 1j, 3.0])),
        "half": lambda: ac(T([1.0]).half(), T([1.5]).half()),
        "bf16": lambda: ac(T([1.0]).bfloat16(), T([1.5]).bfloat16()),
        "double": lambda: ac(T([1.0]).double(), T([1.0 + 1e-06]).double()),
        "many": lambda: ac(t.arange(24.0).reshape(2, 3, 4), t.arange(24.0).reshape(2, 3, 4) + (t.arange(24.0) > 10).float().reshape(2, 3, 4)),
        "empty": lambda: ac(t.zeros(0, 3), t.zeros(0, 3)),
        "subclass": lambda: ac(t.nn.Parameter(T([1.0])), T([1.0]), allow_subclasses=False),
        "subclass ok": lambda: ac(t.nn.Parameter(T([1.0])), T([1.0])),
        "ndarray": lambda: ac(np.array([1.0, 2.0]), np.array([1.0, 3.0])),
        "ndarray vs tensor": lambda: ac(np.array([1.0, 2.0]), T([1.0, 3.0])),
        "uint8": lambda: ac(T([1], dtype=t.uint8), T([200], dtype=t.uint8)),
        "neg": lambda: ac(T([-1.0, 5.0]), T([1.0, 5.0])),
        "neg tol": lambda: ac(T([1.0]), T([2.0]), rtol=-1, atol=0),
        "requires": lambda: ac(T([1.0], requires_grad=True), T([2.0])),
        "set": lambda: ac({1}, {1}),
        "tuple num": lambda: ac((1.0, 2.0), (1.0, 2.5), rtol=0, atol=0.1),
        "aa": lambda: t.testing.assert_allclose(T([1.0]), T([2.0])),
        "aa2": lambda: t.testing.assert_allclose([1.0, 2.0], T([1.0, 2.5]), rtol=0.001, atol=0.001),
        "aa ok": lambda: t.testing.assert_allclose([1.0, 2.0], T([1.0, 2.0])),
        "scalar bool": lambda: ac(T(True), T(False)),
        "scalar int": lambda: ac(T(3), T(5)),
        "scalar expected zero": lambda: ac(T(3.0), T(0.0)),
        "number expected zero": lambda: ac(3.0, 0.0),
        "number numpy": lambda: ac(np.float64(1.0), np.float64(2.0)),
        "number no dtype": lambda: ac(1, 1.0, check_dtype=False),
        "number equal nan": lambda: ac(float("nan"), float("nan"), equal_nan=True),
        "infinite numbers": lambda: ac(float("inf"), float("inf")),
        "infinite number": lambda: ac(float("inf"), 1.0),
        "complex64": lambda: ac(T([1j]), T([2j]), rtol=0.1, atol=0.2),
        "3-d int": lambda: ac(t.arange(8).reshape(2, 2, 2), t.zeros(2, 2, 2, dtype=t.int64)),
        "within": lambda: ac(T([1.0, 2.0]), T([1.000001, 2.0])),
        "int8 wrap": lambda: ac(T([-128], dtype=t.int8), T([127], dtype=t.int8)),
        "list of numbers": lambda: ac([1, 2, 3], [1, 2, 4]),
        "deep": lambda: ac({"w": [T([1.0]), {"b": T([[1.0, 2.0]])}]}, {"w": [T([1.0]), {"b": T([[1.0, 3.0]])}]}),
        "infinities agree": lambda: ac(T([float("inf"), 1.0]), T([float("inf"), 1.0])),
        "infinities differ": lambda: ac(T([float("inf"), 1.0]), T([-float("inf"), 1.0])),
        "bfloat16 and float32": lambda: ac(T([1.0]).bfloat16(), T([1.01]), check_dtype=False),
        "numpy bools": lambda: ac(np.bool_(True), np.bool_(False)),
    }


def same_words(text):
    """The names of types differ in nothing but where they live."""
    return re.sub(r"<class '(?:mytorch|torch)[\w.]*\.(\w+)'>", r"<class '\1'>", text)


@pytest.mark.parametrize("name", list(comparisons(torch)))
def test_assert_close_says_what_torch_says(name):
    (verdict, text), _ = outcome(comparisons(mytorch)[name])
    (expected, wanted), _ = outcome(comparisons(torch)[name])
    assert verdict == expected, text
    if expected == "RuntimeError":  # torch prints its own objects
        return
    if expected != "ok":
        compare_words(same_words(text), same_words(wanted))


def compare_words(text, wanted):
    """The same words; numbers may differ in the last digits of a float."""
    number = re.compile(r"\d+\.\d{7,}(?:e[-+]?\d+)?")
    assert number.sub("#", text) == number.sub("#", wanted)
    for found, expected in zip(number.findall(text), number.findall(wanted)):
        assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_enough_of_these_comparisons_fail():
    assert sum(outcome(call)[0][0] == "AssertionError" for call in comparisons(torch).values()) >= 40


@pytest.mark.parametrize("t", [mytorch, torch], ids=["mytorch", "torch"])
def test_assert_allclose_warns_that_it_is_old(t):
    _, seen = outcome(lambda: t.testing.assert_allclose([1.0, 2.0], t.tensor([1.0, 2.0])))
    assert [name for name, _ in seen] == ["FutureWarning"]


# ---- make_tensor ----------------------------------------------------------------------------------------------------------------------

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "float16", "bfloat16", "float32", "float64", "complex64",
          "complex128"]
CALLS = [
    ((3,), {"dtype": "float32", "low": 0, "high": 1}),
    ((3,), {"dtype": "float32", "low": 0}),
    ((3,), {"dtype": "float32", "high": 0}),
    ((3,), {"dtype": "float32", "low": 1, "high": 1}),
    ((3,), {"dtype": "float32", "low": 2, "high": 1}),
    ((3,), {"dtype": "float32", "low": float("nan"), "high": 1}),
    ((3,), {"dtype": "float32", "low": 0, "high": float("inf")}),
    ((3,), {"dtype": "float16", "low": 0, "high": 1000000000.0}),
    ((3,), {"dtype": "uint8", "low": 300, "high": 400}),
    ((3,), {"dtype": "uint8", "low": -5, "high": 3}),
    ((6,), {"dtype": "int64", "low": 0.5, "high": 2.5}),
    ((6,), {"dtype": "int64", "low": 0.5, "high": 0.9}),
    ((6,), {"dtype": "bool", "low": 1, "high": 2}),
    ((6,), {"dtype": "bool", "low": -3, "high": 5}),
    ((6,), {"dtype": "bool", "low": 1, "high": 1}),
    ((6,), {"dtype": "int64", "low": 1, "high": 1}),
    ((2, 3), {"dtype": "float32", "noncontiguous": True}),
    ((1,), {"dtype": "float32", "noncontiguous": True}),
    ((), {"dtype": "float32", "noncontiguous": True}),
    ((20,), {"dtype": "int64", "low": 0, "high": 2, "exclude_zero": True}),
    ((2,), {"dtype": "float32", "low": 0, "high": 1e-46, "exclude_zero": True}),
    ((2,), {"dtype": "float32", "requires_grad": True}),
    ((2,), {"dtype": "int64", "requires_grad": True}),
    ([2, 2], {"dtype": "float32"}),
    ((2,), {"dtype": "uint16"}),
    ((2,), {"dtype": "uint32"}),
    ((2,), {"dtype": "int8", "low": -1000, "high": 1000}),
    ((2,), {"dtype": "int64", "low": -2 ** 63, "high": 2 ** 63 - 1}),
    ((4,), {"dtype": "complex64", "exclude_zero": True, "low": 0, "high": 1}),
    ((-2,), {"dtype": "float32"}),
    ((2,), {"dtype": "float32", "low": -3e+38, "high": 3e+38}),
    ((3,), {"dtype": "float16", "low": -60000, "high": 60000}),
    ((3,), {"dtype": "int64", "high": 5}),
    ((3,), {"dtype": "int64", "low": 50}),
    ((3,), {"dtype": "bool", "low": 0, "high": 1}),
]


def made(t, shape, options):
    t.manual_seed(0)
    options = {**options, "dtype": getattr(t, options["dtype"])}
    x = t.testing.make_tensor(shape, device="cpu", **options)
    return x.detach().to(t.complex128 if x.is_complex() else t.float64).tolist(), str(x.dtype), list(x.stride()), x.requires_grad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"low": 1, "high": 5}, {"noncontiguous": True}, {"exclude_zero": True, "low": 0, "high": 2}],
                         ids=["plain", "interval", "noncontiguous", "exclude_zero"])
def test_make_tensor_draws_torchs_values(dtype, options):
    options = {**options, "dtype": dtype}
    found = made(mytorch, (3, 4), options)
    if "exclude_zero" in options and dtype in ("uint16", "uint32"):  # torch cannot: its masked_fill_ lacks these dtypes
        assert all(0 not in row for row in found[0])
    else:
        assert found == made(torch, (3, 4), options)


@pytest.mark.parametrize(("shape", "options"), CALLS, ids=str)
def test_make_tensor_ends_as_in_torch(shape, options):
    found, found_warnings = outcome(lambda: made(mytorch, shape, options))
    expected, expected_warnings = outcome(lambda: made(torch, shape, options))
    assert found[0] == expected[0], found
    if expected[0] != "RuntimeError":  # of other functions, whose words are tested elsewhere
        assert found == expected
    assert found_warnings == expected_warnings


def test_make_tensor_draws_from_intervals_wider_than_the_greatest_number():
    found, expected = [made(t, (4,), {"dtype": "float64", "low": -1e308, "high": 1e308})[0] for t in (mytorch, torch)]
    assert found == pytest.approx(expected, rel=1e-15)


def test_make_tensor_lays_out_memory_as_asked():
    for t in (mytorch, torch):
        x = t.testing.make_tensor(1, 2, 2, 2, dtype=t.float32, device="cpu", memory_format=t.channels_last)
        assert x.stride() == (8, 1, 4, 2)
        with pytest.raises(ValueError, match="mutually exclusive"):
            t.testing.make_tensor(1, 2, 2, 2, dtype=t.float32, device="cpu", memory_format=t.channels_last, noncontiguous=True)


def test_make_tensor_refuses_what_is_no_dtype():
    for t in (mytorch, torch):
        with pytest.raises(TypeError, match="The requested dtype '3' is not supported"):
            t.testing.make_tensor(2, dtype=3, device="cpu")
        with pytest.raises(TypeError, match="device"):
            t.testing.make_tensor(2, dtype=t.float32)
