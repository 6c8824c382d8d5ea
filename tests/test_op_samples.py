"""What holds for every row of the table of operations, without torch: gradients are slopes, layouts do not matter, variants agree."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import mytorch
from tests.gradients import differentiable, gradcheck, gradgradcheck, tensors_of
from tests.samples import ERRORS, Maker, rows

# torch's own warnings, which some rows deserve: deprecated names, unusual shapes, an `out` that is resized
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def arguments(sample, **options):
    """Positional and keyword arguments of a row."""
    maker = Maker(mytorch, sample.name, **options)
    return sample.args(maker), sample.keywords(maker)


def run(sample, **options):
    """The result of a row, from the seed of every run."""
    args, kwargs = arguments(sample, **options)
    mytorch.manual_seed(0)
    return sample.call(mytorch, args, kwargs)


def flattened(args):
    """Positional arguments with lists of Tensors spelled out, and the function that puts them back."""
    flat = []
    for arg in args:
        flat.extend(arg if is_list_of_tensors(arg) else [arg])

    def restore(values):
        rest = iter(values)
        return [type(arg)(next(rest) for _ in arg) if is_list_of_tensors(arg) else next(rest) for arg in args]

    return flat, restore


def is_list_of_tensors(arg):
    return isinstance(arg, (list, tuple)) and len(arg) > 0 and all(isinstance(x, mytorch.Tensor) for x in arg)


def as_function(sample):
    """A row as a function of its positional arguments, with its arguments; a draw starts from the same seed each time."""
    args, kwargs = arguments(sample)
    flat, restore = flattened(args)

    def function(*values):
        mytorch.manual_seed(0)
        return sample.call(mytorch, restore(values), kwargs)

    return function, flat


def assert_same(found, expected):
    """Equal structure, dtypes, shapes and values."""
    found, expected = tensors_of(found), tensors_of(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, tuple(a.shape)) == (b.dtype, tuple(b.shape))
        tolerance = 1e-6 if a.dtype in (mytorch.float32, mytorch.complex64) else 1e-12
        np.testing.assert_allclose(a._array, b._array, tolerance, tolerance)


# ---- derivatives --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.slopes))
def test_gradient_is_the_slope(sample):
    gradcheck(*as_function(sample))


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.twice))
def test_second_gradient_is_the_slope_of_the_first(sample):
    gradgradcheck(*as_function(sample))


@pytest.mark.parametrize("sample", rows(lambda s: not s.grad and not s.random))
def test_what_has_no_derivative_requires_no_gradient_or_gives_zero(sample):
    args, kwargs = arguments(sample)
    leaves = [x for x in flattened(args)[0] if isinstance(x, mytorch.Tensor) and x.requires_grad]
    outputs = differentiable(sample.call(mytorch, args, kwargs))
    if not outputs or not leaves:
        assert not outputs
        return
    try:
        gradients = mytorch.autograd.grad([y.sum() for y in outputs], leaves, allow_unused=True)
    except NotImplementedError:
        return  # a derivative that is refused by name is as good
    for g in gradients:
        assert g is None or np.isfinite(g._array).all()


# ---- inputs of other layouts and shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["strided", "transposed", "shifted"])
@pytest.mark.parametrize("sample", rows(lambda s: "as_strided" not in s.name and s.name != "Tensor.view" and not s.random))
def test_layout_of_the_memory_does_not_matter(sample, layout):
    assert_same(run(sample, layout=layout), run(sample))


@pytest.mark.parametrize("sample", rows(lambda s: s.pointwise))
def test_zero_dim_tensors_give_zero_dim_results(sample):
    for y in tensors_of(run(sample, layout="zero_dim")):
        assert tuple(y.shape) == ()
        assert isinstance(y._array, np.ndarray)


@pytest.mark.parametrize("sample", rows(lambda s: s.pointwise))
def test_empty_tensors_give_empty_results_with_gradients(sample):
    args, kwargs = arguments(sample, layout="empty")
    outputs = tensors_of(sample.call(mytorch, args, kwargs))
    assert outputs
    for y in outputs:
        assert y.numel() == 0
    leaves = [x for x in args if isinstance(x, mytorch.Tensor) and x.requires_grad]
    for y in differentiable(outputs):
        for x, g in zip(leaves, mytorch.autograd.grad(y.sum() if not y.is_complex() else y.real.sum(), leaves, allow_unused=True), strict=True):
            assert g is None or g.shape == x.shape


@pytest.mark.parametrize("sample", rows(lambda s: s.pointwise))
def test_expanded_tensors_equal_their_copies(sample):
    args, kwargs = arguments(sample, layout="expanded", grad=False)
    copies = [x.clone() if isinstance(x, mytorch.Tensor) else x for x in args]
    copies = [mytorch.from_numpy(np.ascontiguousarray(x._array)) if isinstance(x, mytorch.Tensor) else x for x in copies]
    assert_same(sample.call(mytorch, args, kwargs), sample.call(mytorch, copies, kwargs))


@pytest.mark.parametrize("sample", rows(lambda s: not s.name.endswith("_") and "new_empty" not in s.name))
def test_inputs_are_not_changed(sample):
    args, kwargs = arguments(sample)
    tensors = [x for x in flattened(args)[0] if isinstance(x, mytorch.Tensor)]
    before = [(np.array(x._array), x._version) for x in tensors]
    sample.call(mytorch, args, kwargs)
    for x, (values, version) in zip(tensors, before, strict=True):
        np.testing.assert_array_equal(x._array, values)
        assert x._version == version


# ---- dtypes -------------------------------------------------------------------------------------------------------------------


def has_floats(sample):
    return any(isinstance(x, mytorch.Tensor) and x.is_floating_point() for x in flattened(arguments(sample)[0])[0])


@pytest.mark.parametrize("sample", rows(lambda s: not s.random and has_floats(s)))
def test_float32_gives_what_float64_gives_in_float32(sample):
    wide, narrow = tensors_of(run(sample)), tensors_of(run(sample, dtype="float32"))
    assert len(wide) == len(narrow)
    smaller = {mytorch.float64: mytorch.float32, mytorch.complex128: mytorch.complex64}
    kept = sample.name in ("float_power", "Tensor.to") or "dtype" in sample.keywords(Maker(mytorch, ""))
    for a, b in zip(wide, narrow, strict=True):
        assert b.dtype is (a.dtype if kept else smaller.get(a.dtype, a.dtype))
        if a.is_floating_point() or a.is_complex():
            np.testing.assert_allclose(b._array, a._array, 2e-4, 2e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("sample", rows(lambda s: s.pointwise and has_floats(s) and s.name not in ("complex", "polar", "isclose", "nextafter")))
def test_half_precision_is_computed_in_float32_and_rounded_once(sample, dtype):
    maker = Maker(mytorch, sample.name, dtype)
    args = sample.args(maker)
    narrow = sample.call(mytorch, args, sample.keywords(maker))
    wide = sample.call(mytorch, [x.float() if isinstance(x, mytorch.Tensor) and x.is_floating_point() else x for x in args], sample.keywords(maker))
    for a, b in zip(tensors_of(narrow), tensors_of(wide), strict=True):
        if sample.name in ("float_power", "Tensor.to"):
            continue
        expected = b.to(getattr(mytorch, dtype)) if b.is_floating_point() else b
        assert a.dtype is expected.dtype
        tolerance = 2.0 ** (-10 if dtype == "float16" else -7)  # one unit in the last place, where a composite rounds in between
        np.testing.assert_allclose(numbers(a), numbers(expected), tolerance, tolerance)


def numbers(t):
    return (t.float() if t.is_floating_point() else t)._array


# ---- variants -----------------------------------------------------------------------------------------------------------------


def method_name(sample):
    """The Tensor method that a row's function also is, or None."""
    name = sample.name.split(".")[-1]
    if sample.name.startswith(("Tensor.", "nn.", "linalg.")) or name == "where" or not callable(getattr(mytorch.Tensor, name, None)):
        return None  # Tensor.where has another order of arguments, and a row of its own
    args, _ = arguments(sample)
    return name if args and isinstance(args[0], mytorch.Tensor) else None


@pytest.mark.parametrize("sample", rows(lambda s: not s.random and method_name(s) is not None))
def test_method_is_the_function(sample):
    args, kwargs = arguments(sample)
    found = getattr(args[0], method_name(sample))(*args[1:], **kwargs)
    assert_same(found, run(sample))


def inplace_name(sample):
    """The in-place method of a row's operation, or None."""
    name = sample.name.split(".")[-1] + "_"
    if not hasattr(mytorch.Tensor, name) or sample.name.endswith("_") or sample.name.startswith("Tensor.__"):
        return None
    args, _ = arguments(sample)
    return name if args and isinstance(args[0], mytorch.Tensor) else None


SHAPES_ONLY = ("squeeze", "unsqueeze", "transpose", "swapaxes", "t", "as_strided", "Tensor.resize", "detach")  # they change shape or graph


@pytest.mark.parametrize("sample", rows(lambda s: not s.random and inplace_name(s) is not None and s.name not in SHAPES_ONLY))
def test_in_place_variant_writes_the_result_and_has_its_gradient(sample):
    expected = run(sample)
    args, kwargs = arguments(sample)
    target = args[0].clone()
    address, version = target.data_ptr(), target._version
    comparison = expected.dtype is mytorch.bool and target.dtype is not mytorch.bool
    if tuple(expected.shape) != tuple(target.shape) or (expected.dtype is not target.dtype and not comparison):
        with pytest.raises(RuntimeError):
            getattr(target, inplace_name(sample))(*args[1:], **kwargs)
        return
    found = getattr(target, inplace_name(sample))(*args[1:], **kwargs)
    assert found is target
    assert target.data_ptr() == address
    assert target._version > version
    assert_same(found.detach(), expected.detach().to(target.dtype))
    if not (sample.grad and expected.requires_grad):
        return
    leaves = [x for x in flattened(args)[0] if isinstance(x, mytorch.Tensor) and x.requires_grad]
    again, _ = arguments(sample)
    twins = [x for x in flattened(again)[0] if isinstance(x, mytorch.Tensor) and x.requires_grad]
    plain = sample.call(mytorch, again, kwargs)
    weight = mytorch.ones_like(plain)
    for a, b in zip(mytorch.autograd.grad(found, leaves, weight, allow_unused=True),
                    mytorch.autograd.grad(plain, twins, weight, allow_unused=True), strict=True):
        np.testing.assert_allclose(0 if a is None else a._array, 0 if b is None else b._array, 1e-12, 1e-12)


def takes_out(sample):
    try:
        return "out" in inspect.signature(sample.function(mytorch)).parameters
    except (AttributeError, ValueError):
        return False


IN_DTYPE_OF_OUT = {"arange", "zeros", "ones", "full", "eye", "linspace", "sum", "nansum", "prod", "cumsum", "cumprod"}  # as torch computes them


@pytest.mark.parametrize("sample", rows(lambda s: takes_out(s) and not s.random))
def test_out_receives_the_result(sample):
    args, kwargs = arguments(sample, grad=False)
    expected = sample.call(mytorch, args, kwargs)
    single = isinstance(expected, mytorch.Tensor)
    outs = [mytorch.empty(0, dtype=y.dtype) for y in tensors_of(expected)]
    found = sample.call(mytorch, args, {**kwargs, "out": outs[0] if single else tuple(outs)})
    for y, out in zip(tensors_of(found), outs, strict=True):
        assert y is out
    assert_same(found, expected)
    if single and expected.is_floating_point() and expected.numel() and sample.name not in IN_DTYPE_OF_OUT:
        wrong = mytorch.empty(0, dtype=mytorch.int64)
        with pytest.raises((RuntimeError, TypeError)):
            sample.call(mytorch, args, {**kwargs, "out": wrong})


# ---- errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", rows(table=ERRORS))
def test_bad_call_raises_with_a_message_that_helps(error):
    maker = Maker(mytorch, error.name)
    with pytest.raises(error.kind) as caught:
        error.call(mytorch, error.args(maker), error.keywords(maker))
    assert error.text in str(caught.value)
