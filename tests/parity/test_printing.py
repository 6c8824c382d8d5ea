"""The printed text equals torch's, byte for byte."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import mytorch
import mytorch.nn
from mytorch import dtypes, printing

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

FLOATS = [dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64]
COMPLEXES = [dtypes.complex64, dtypes.complex128]
INTEGERS = [d for d in dtypes.ALL if d.category == dtypes.INTEGER]
SHAPES = [(), (1,), (2,), (7,), (30,), (1, 1), (2, 3), (3, 2, 2), (2, 1, 2, 2), (1, 40), (12, 12)]
EMPTY_SHAPES = [(0,), (0, 3), (3, 0), (2, 0, 4), (0, 0)]
LONG_SHAPES = [(1001,), (2000,), (7, 200), (200, 7), (6, 6, 40), (11, 12, 13), (2, 2, 300), (1, 1, 1, 1005)]
VALUES = [0.0, -0.0, 1.0, -2.0, 0.5, 1e-5, 1e-4, 123.456, 1000.0, 1001.0, 1e8, 1.5e8, -3e9, np.nan, np.inf, -np.inf]
OPTIONS = [
    {},
    {"precision": 2},
    {"precision": 0},
    {"precision": 8, "linewidth": 120},
    {"linewidth": 20},
    {"linewidth": 5},
    {"threshold": 5},
    {"threshold": 5, "edgeitems": 1},
    {"threshold": 5, "edgeitems": 0},
    {"edgeitems": 0},
    {"profile": "short", "threshold": 5},
    {"profile": "full"},
    {"profile": "full", "precision": 1},
    {"sci_mode": True},
    {"sci_mode": False},
]


@pytest.fixture(autouse=True)
def default_options():
    set_both(profile="default")
    yield
    set_both(profile="default")


def set_both(**options: Any) -> None:
    printing.set_printoptions(**options)
    torch.set_printoptions(**options)


def torch_dtype(d: dtypes.dtype) -> Any:
    return getattr(torch, d.name)


def to_torch(array: np.ndarray[Any, Any]) -> Any:
    """The torch tensor with the same bits."""
    if array.dtype == dtypes.BFLOAT16_NP:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def assert_same_text(array: np.ndarray[Any, Any], **facts: Any) -> None:
    d = dtypes.from_numpy_dtype(array.dtype)
    assert printing.tensor_text(array, d, **facts) == repr(to_torch(array))


def filled(shape: tuple[int, ...], d: dtypes.dtype, seed: int, scale: float = 1.0) -> np.ndarray[Any, Any]:
    """Random values of a dtype; every fifth seed gives whole numbers."""
    rng = np.random.default_rng(seed)
    values = np.asarray(rng.normal(size=shape) * scale)
    if d.category == dtypes.BOOL:
        return np.asarray(values > 0)
    if d.category == dtypes.INTEGER:
        info, shrink = np.iinfo(d.np), 3 ** min(seed, 30)
        return np.asarray(rng.integers(info.min // shrink, info.max // shrink, shape, dtype=d.np, endpoint=True))
    if seed % 5 == 0:
        values = np.asarray(np.round(values))
    if d.category == dtypes.COMPLEX:
        return np.asarray(values + 1j * rng.normal(size=shape) * scale).astype(d.np)
    if d is dtypes.bfloat16:
        return dtypes.float32_to_bfloat16(values.astype(np.float32))
    return values.astype(d.np)


@pytest.mark.parametrize("d", dtypes.ALL, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_dtype_and_shape_prints_as_in_torch(d, shape):
    for seed, scale in zip(range(6), [1.0, 0.01, 30.0, 500.0, 1e4, 1.0], strict=True):
        assert_same_text(filled(shape, d, seed, scale))


@pytest.mark.parametrize("d", dtypes.ALL, ids=str)
@pytest.mark.parametrize("shape", EMPTY_SHAPES, ids=str)
def test_empty_tensors_print_size_and_dtype_as_in_torch(d, shape):
    assert_same_text(np.empty(shape, d.np))


@pytest.mark.parametrize("d", dtypes.ALL, ids=str)
def test_long_tensors_are_summarised_as_in_torch(d):
    for seed, shape in enumerate(LONG_SHAPES):
        assert_same_text(filled(shape, d, seed))


@pytest.mark.parametrize("d", [*FLOATS, *COMPLEXES], ids=str)
def test_triples_of_special_values_print_as_in_torch(d):
    for triple in itertools.combinations(VALUES, 3):
        with np.errstate(over="ignore"):
            values = np.array(triple)
            if d in COMPLEXES:
                values = (values.astype(d.to_real().np) + 0j).astype(d.np)
                values.imag = np.array(triple[::-1])
                assert_same_text(values)
            elif d is dtypes.bfloat16:
                assert_same_text(dtypes.float32_to_bfloat16(values.astype(np.float32)))
            else:
                assert_same_text(values.astype(d.np))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_change_the_text_as_in_torch(options):
    set_both(**options)
    for d in (dtypes.float32, dtypes.complex64, dtypes.int64, dtypes.bool_, dtypes.bfloat16):
        for seed, shape in enumerate([(), (3,), (20,), (4, 5), (9, 9, 2), (0, 2)]):
            assert_same_text(filled(shape, d, seed, 100.0))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_are_remembered_as_in_torch(options):
    set_both(**options)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()


@pytest.mark.parametrize("default", FLOATS, ids=str)
@pytest.mark.parametrize("d", dtypes.ALL, ids=str)
def test_dtype_is_named_unless_default(default, d):
    torch.set_default_dtype(torch_dtype(default))
    try:
        for shape in [(2,), (0,)]:
            assert_same_text(filled(shape, d, 1), default_dtype=default)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("length", [*range(1, 14), 40])
def test_gradient_suffixes_break_lines_as_in_torch(length):
    for d in (dtypes.float32, dtypes.float64):
        array = filled((length,), d, 3)
        leaf = to_torch(array).requires_grad_()
        assert printing.tensor_text(array, d, requires_grad=True) == repr(leaf)
        doubled = leaf * 2
        text = printing.tensor_text(doubled.detach().numpy(), d, requires_grad=True, grad_fn_name="MulBackward0")
        assert text == repr(doubled)
        parameter = torch.nn.Parameter(to_torch(array))
        assert printing.tensor_text(array, d, requires_grad=True, is_parameter=True) == repr(parameter)
        square = np.repeat(array[:, None], 3, 1)
        assert printing.tensor_text(square, d, requires_grad=True) == repr(to_torch(square).requires_grad_())


def test_subclass_name_sets_the_indent_as_in_torch():
    class Named(torch.Tensor):
        pass

    for shape in [(2, 3), (40,), (3, 0)]:
        array = filled(shape, dtypes.float32, 1)
        assert printing.tensor_text(array, dtypes.float32, prefix="Named(") == repr(to_torch(array).as_subclass(Named))


def test_strided_views_print_as_in_torch():
    array = filled((6, 8), dtypes.float32, 1)
    for view in (array.T, array[::2, ::-1], array[:, 3], np.broadcast_to(array[0], (3, 8))):
        assert_same_text(view)
    half = filled((6, 8), dtypes.bfloat16, 1)
    assert_same_text(half.T)
    assert_same_text(half[::2, 1])


def test_random_tensors_print_as_in_torch():
    dtype_of = st.sampled_from(dtypes.ALL)
    shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)

    @hypothesis.settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @hypothesis.given(dtype_of, shapes, st.data())
    def check(d, shape, data):
        size = int(np.prod(shape, dtype=int))
        raw = data.draw(st.binary(min_size=size * d.itemsize, max_size=size * d.itemsize))
        if d is dtypes.bool_:
            raw = bytes(byte & 1 for byte in raw)
        assert_same_text(np.frombuffer(raw, d.np).reshape(shape))

    check()


def test_random_columns_of_special_values_print_as_in_torch():
    lists = st.lists(st.sampled_from(VALUES) | st.floats(width=32) | st.integers(-2000, 2000).map(float), min_size=1, max_size=30)

    @hypothesis.settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @hypothesis.given(lists, st.sampled_from([np.float32, np.float64]))
    def check(values, np_dtype):
        assert_same_text(np.array(values, np_dtype))

    check()


@pytest.mark.parametrize("d", dtypes.ALL, ids=str)
@pytest.mark.parametrize("spec", ["", ".3f", ">10", "e", "d", "08.2f", "s"])
def test_format_of_one_number_is_as_in_torch(d, spec):
    array = filled((), d, 7)
    try:
        expected: Any = format(to_torch(array), spec)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error), match=f"^{error}$"):
            printing.format_scalar(array, spec)
    else:
        assert printing.format_scalar(array, spec) == expected


# ---- the public face: repr of Tensors -----------------------------------------------------------------------------------------


def generated(t: Any, seed: int) -> Any:
    """A tensor of either library: dtype, size, scale, special values and gradient drawn from the seed."""
    rng = np.random.default_rng(seed)
    name = str(rng.choice(["float32", "float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool", "complex64"]))
    shape = tuple(int(n) for n in rng.choice([0, 1, 2, 3, 5, 12], rng.integers(0, 4), p=[0.05, 0.15, 0.25, 0.25, 0.2, 0.1]))
    if seed % 10 == 0:
        shape = (40, 40)
    values = np.asarray(rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6))
    if rng.random() < 0.3:
        values = np.asarray(np.round(values))
    if values.size and rng.random() < 0.3:
        values.reshape(-1)[rng.integers(values.size)] = rng.choice([np.nan, np.inf, -np.inf, 0.0]) if "float" in name else 0
    if name in ("int64", "int32", "uint8", "bool"):
        values = np.clip(np.nan_to_num(values), -1e6, 1e6) % (2 if name == "bool" else 200)
    if name == "complex64":
        values = values + 1j * values[..., ::-1] if values.ndim else values + 2j
    with np.errstate(over="ignore"):
        x = t.from_numpy(np.array(values)).to(getattr(t, name))
    if name in ("float32", "float64", "float16", "bfloat16", "complex64") and seed % 3 == 0:
        x.requires_grad_()
        if seed % 2:
            x = x * 2
    return t.nn.Parameter(x.detach()) if name == "float32" and seed % 7 == 0 else x


@pytest.mark.parametrize("options", [{}, {"profile": "short"}, {"precision": 2, "linewidth": 60}, {"sci_mode": True},
                                     {"edgeitems": 2, "threshold": 20}], ids=str)
def test_two_hundred_tensors_print_as_in_torch(options):
    set_both(**options)
    for seed in range(200):
        assert repr(generated(mytorch, seed)) == repr(generated(torch, seed)), seed
        assert str(generated(mytorch, seed)) == str(generated(torch, seed)), seed
        assert f"{generated(mytorch, seed)}" == f"{generated(torch, seed)}", seed
