"""Printing: layout, options and errors (the parity suite compares the text with torch's)."""

from __future__ import annotations

import numpy as np
import pytest

from mytorch import dtypes, printing
from mytorch.printing import format_scalar, get_printoptions, set_printoptions, tensor_text


@pytest.fixture(autouse=True)
def default_options():
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")


def text(values, np_dtype=np.float32, **facts):
    array = np.array(values, np_dtype)
    return tensor_text(array, dtypes.from_numpy_dtype(array.dtype), **facts)


@pytest.mark.parametrize(
    ("values", "np_dtype", "expected"),
    [
        (1.5, np.float32, "tensor(1.5000)"),
        (3, np.int64, "tensor(3)"),
        ([1, 2, 3], np.float32, "tensor([1., 2., 3.])"),
        ([1, -20, 3], np.int64, "tensor([  1, -20,   3])"),
        ([True, False], np.bool_, "tensor([ True, False])"),
        ([1.25, -10.5], np.float32, "tensor([  1.2500, -10.5000])"),
        ([1e-5, 1.0], np.float32, "tensor([1.0000e-05, 1.0000e+00])"),
        ([2e9, 1.0], np.float32, "tensor([2.0000e+09, 1.0000e+00])"),
        ([np.nan, np.inf, 1.0], np.float32, "tensor([nan, inf, 1.])"),
        ([np.nan, -np.inf, 0.5], np.float32, "tensor([   nan,   -inf, 0.5000])"),
        ([1.5 - 2j, 0.25j], np.complex64, "tensor([1.5000-2.0000j, 0.0000+0.2500j])"),
        ([1.5], np.float64, "tensor([1.5000], dtype=torch.float64)"),
        ([1.5], np.float16, "tensor([1.5000], dtype=torch.float16)"),
        ([7], np.uint8, "tensor([7], dtype=torch.uint8)"),
        ([], np.float32, "tensor([])"),
        ([], np.int64, "tensor([], dtype=torch.int64)"),
        (np.empty((0, 3)), np.float32, "tensor([], size=(0, 3))"),
        ([[1, 2], [3, 4]], np.float32, "tensor([[1., 2.],\n        [3., 4.]])"),
        ([[[1], [2]], [[3], [4]]], np.int64, "tensor([[[1],\n         [2]],\n\n        [[3],\n         [4]]])"),
    ],
)
def test_text_of_small_tensors(values, np_dtype, expected):
    assert text(values, np_dtype) == expected


def test_bfloat16_prints_its_values():
    array = dtypes.float32_to_bfloat16(np.array([1.5, -2.25], np.float32))
    assert tensor_text(array, dtypes.bfloat16) == "tensor([ 1.5000, -2.2500], dtype=torch.bfloat16)"


def test_long_tensor_shows_its_edges():
    assert text(np.arange(2000), np.int64) == "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"


def test_edges_alone_decide_width_and_notation():
    values = np.zeros(2000)
    values[1000] = 1e12
    assert text(values) == "tensor([0., 0., 0.,  ..., 0., 0., 0.])"


def test_printing_a_huge_tensor_touches_its_edges_only():
    huge = np.broadcast_to(np.float32(1), (10**6, 10**6))
    assert tensor_text(huge, dtypes.float32).count("1.") == 36


def test_line_breaks_at_80_characters():
    lines = text(np.arange(40), np.float32).split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("        14.,")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"requires_grad": True}, "tensor([1.], requires_grad=True)"),
        ({"requires_grad": True, "grad_fn_name": "MulBackward0"}, "tensor([1.], grad_fn=<MulBackward0>)"),
        ({"requires_grad": True, "is_parameter": True}, "Parameter containing:\ntensor([1.], requires_grad=True)"),
        ({"prefix": "Weight("}, "Weight([1.])"),
        ({"default_dtype": dtypes.float64}, "tensor([1.], dtype=torch.float32)"),
    ],
)
def test_facts_follow_the_numbers(facts, expected):
    assert text([1.0], **facts) == expected


def test_fact_that_does_not_fit_starts_a_line():
    assert text(np.full(7, 0.5), requires_grad=True).endswith("0.5000],\n       requires_grad=True)")


def test_default_dtype_in_force_goes_without_saying():
    dtypes.set_default_dtype(dtypes.float64)
    try:
        assert text([1.0], np.float64) == "tensor([1.])"
        assert text([1.0], np.float32) == "tensor([1.], dtype=torch.float32)"
    finally:
        dtypes.set_default_dtype(dtypes.float32)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"precision": 2}, "tensor([1.12, 2.50])"),
        ({"sci_mode": True}, "tensor([1.1250e+00, 2.5000e+00])"),
        ({"linewidth": 16}, "tensor([1.1250,\n        2.5000])"),
        ({"profile": "short"}, "tensor([1.12, 2.50])"),
        ({"profile": "short", "precision": 3}, "tensor([1.125, 2.500])"),
    ],
)
def test_options_change_the_text(options, expected):
    set_printoptions(**options)
    assert text([1.125, 2.5]) == expected


def test_full_profile_never_summarises():
    set_printoptions(profile="full")
    assert "..." not in text(np.arange(2000), np.int64)


def test_sci_mode_is_forgotten_by_the_next_call():
    set_printoptions(sci_mode=True)
    set_printoptions(precision=3)
    assert get_printoptions()["sci_mode"] is None
    assert get_printoptions()["precision"] == 3


def test_options_handed_out_are_a_copy():
    get_printoptions()["precision"] = 1
    assert get_printoptions() == {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def test_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="unknown profile 'tiny'"):
        set_printoptions(profile="tiny")


def test_one_number_takes_a_format_spec():
    assert format_scalar(np.array(1.23456, np.float32), ".3f") == "1.235"
    assert format_scalar(np.array(7), "04d") == "0007"
    assert format_scalar(dtypes.float32_to_bfloat16(np.array(2.5, np.float32)), "") == "2.5"


def test_many_numbers_take_no_format_spec():
    with pytest.raises(TypeError, match=r"unsupported format string passed to Tensor.__format__"):
        format_scalar(np.ones(2), ".3f")


def test_signalling_nan_prints_without_a_warning():
    array = np.array([0x7F800001], np.uint32).view(np.float32)
    assert printing.tensor_text(array, dtypes.float32) == "tensor([nan])"
