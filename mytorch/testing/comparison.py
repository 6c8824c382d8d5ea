"""`assert_close`: are tensors, numbers, or containers of them equal up to rounding, and where are they not?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mytorch import dtypes
from mytorch.ops import choices, comparison, create, extrema
from mytorch.tensor import Tensor

__mytorch__ = True

# (rtol, atol) where none are given; every other dtype is compared exactly
_TOLERANCES = {
    dtypes.float16: (1e-3, 1e-5), dtypes.bfloat16: (1.6e-2, 1e-5), dtypes.float32: (1.3e-6, 1e-5), dtypes.float64: (1e-7, 1e-7),
    dtypes.complex64: (1.3e-6, 1e-5), dtypes.complex128: (1e-7, 1e-7),
}
_OLD_TOLERANCES = {dtypes.float16: (1e-3, 1e-3), dtypes.float32: (1e-4, 1e-5), dtypes.float64: (1e-5, 1e-8)}
_NUMBERS = (int, float, complex, np.number)
_NUMBER_DTYPES = {int: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}


class _Options(NamedTuple):
    rtol: float | None
    atol: float | None
    equal_nan: bool
    allow_subclasses: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool

    def tolerances(self, *kinds: Any) -> tuple[float, float]:
        """Those given, else the widest of the dtypes' own."""
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        pairs = [_TOLERANCES.get(kind, (0.0, 0.0)) for kind in kinds]
        return max(rtol for rtol, _ in pairs), max(atol for _, atol in pairs)


class _Mismatch(Exception):  # noqa: N818 - becomes an AssertionError with the place added
    """What is wrong with one pair."""


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
                 equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True,
                 check_stride: bool = False, msg: str | Callable[[str], str] | None = None) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    Args:
        actual, expected: tensors, arrays, numbers, bools, None, or sequences and mappings of these.
        allow_subclasses: may one tensor be of a subclass of the other's type?
        rtol, atol: both or none; default by dtype: 1.3e-6 and 1e-5 for float32, 1e-7 and 1e-7 for float64, 1e-3 and 1e-5 for
            float16, 1.6e-2 and 1e-5 for bfloat16, 0 for integers and bools; the wider ones of two dtypes.
        equal_nan: is NaN equal to NaN?
        check_device, check_dtype, check_layout, check_stride: must these be the same, too?
        msg: another message, or a function from the message to another.
    Raises:
        AssertionError: what differs, how many elements, and where the greatest differences are.
        ValueError: for rtol without atol, or the other way round.
        TypeError: if the two cannot be compared.
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {'rtol' if rtol is None else 'atol'}.")
    if (rtol is not None and rtol < 0) or (atol is not None and atol < 0):
        raise RuntimeError(f"rtol and atol must be greater than or equal to zero, but got rtol={rtol} and atol={atol}")
    options = _Options(rtol, atol, equal_nan, allow_subclasses, check_device, check_dtype, check_layout, check_stride)
    place: tuple[Any, ...] = ()
    try:
        pairs = [(where, _comparer(a, e, options), a, e) for where, a, e in _pairs(actual, expected, ())]
        for where, compare, a, e in pairs:
            place = where
            compare(a, e, options)
    except _Refused as refused:
        place, text = refused.args
        message = _with_place(text, place)
    except _Mismatch as mismatch:
        message = _with_place(str(mismatch), place)
    else:
        return
    raise AssertionError(msg(message) if callable(msg) else msg if msg is not None else message)


class _Refused(Exception):  # noqa: N818 - becomes an AssertionError with the place added
    """Containers that cannot be walked in step: (place, message)."""


def _with_place(message: str, place: tuple[Any, ...]) -> str:
    if not place:
        return message
    return f"{message}\n\nThe failure occurred for item {''.join(f'[{item!r}]' for item in place)}"


def _pairs(actual: Any, expected: Any, place: tuple[Any, ...]) -> Any:
    """The leaves of two containers side by side, each with its place: (place, actual, expected)."""
    if isinstance(actual, Sequence) and isinstance(expected, Sequence) and not isinstance(actual, str) and not isinstance(expected, str):
        if len(actual) != len(expected):
            raise _Refused(place, f"The length of the sequences mismatch: {len(actual)} != {len(expected)}")
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            yield from _pairs(a, e, (*place, i))
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        missing, additional = [[k for k in one if k not in other] for one, other in ((expected, actual), (actual, expected))]
        if missing or additional:
            raise _Refused(place, "The keys of the mappings do not match:\n"
                                  f"Missing keys in the actual mapping: {_sorted(missing)}\n"
                                  f"Additional keys in the actual mapping: {_sorted(additional)}")
        for key in _sorted(list(actual)):
            yield from _pairs(actual[key], expected[key], (*place, key))
    else:
        yield place, actual, expected


def _sorted(keys: list[Any]) -> list[Any]:
    try:
        return sorted(keys)
    except TypeError:  # keys of several types have no order
        return keys


# ---- pairs of one kind ------------------------------------------------------------------------------------------------------------


def _comparer(actual: Any, expected: Any, options: _Options) -> Callable[..., None]:
    """The function that compares such a pair."""
    if actual is None or expected is None:
        return _compare_none
    if isinstance(actual, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)):
        return _compare_bools
    if isinstance(actual, _NUMBERS) and isinstance(expected, _NUMBERS) and not isinstance(actual, bool) and not isinstance(expected, bool):
        return _compare_numbers
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    same = type(actual) is type(expected)
    if related and (same or options.allow_subclasses) and all(isinstance(x, Tensor) or hasattr(x, "__array__") for x in (actual, expected)):
        return _compare_tensors
    raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")


def _compare_none(actual: Any, expected: Any, options: _Options) -> None:
    if actual is not expected:
        raise _Mismatch(f"None mismatch: {actual} is not {expected}")


def _compare_bools(actual: Any, expected: Any, options: _Options) -> None:
    if bool(actual) is not bool(expected):
        raise _Mismatch(f"Booleans mismatch: {bool(actual)} is not {bool(expected)}")


def _compare_numbers(actual: Any, expected: Any, options: _Options) -> None:
    a, e = [x.item() if isinstance(x, np.number) else x for x in (actual, expected)]
    if options.check_dtype and type(a) is not type(e):
        raise _Mismatch(f"The (d)types do not match: {type(a)} != {type(e)}.")
    rtol, atol = options.tolerances(_NUMBER_DTYPES[type(a)], _NUMBER_DTYPES[type(e)])
    if a == e or (options.equal_nan and a != a and e != e):
        return
    difference = abs(a - e)
    if not (math.isfinite(difference) and difference <= atol + rtol * abs(e)):
        raise _Mismatch(_scalar_mismatch(a, e, rtol, atol))


def _scalar_mismatch(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    difference = abs(actual - expected)
    relative = math.inf if expected == 0 else difference / abs(expected)
    lines = [f"Scalars are not {'equal' if exact else 'close'}!\n", f"Expected {expected} but got {actual}.",
             f"Absolute difference: {difference}{'' if exact else f' (up to {atol} allowed)'}",
             f"Relative difference: {relative}{'' if exact else f' (up to {rtol} allowed)'}"]
    return "\n".join(lines)


def _compare_tensors(actual: Any, expected: Any, options: _Options) -> None:
    a, e = [x if isinstance(x, Tensor) else create.as_tensor(np.asarray(x)) for x in (actual, expected)]
    checks: list[tuple[bool, str, Any, Any]] = [
        (True, "shape", a.shape, e.shape), (options.check_layout, "layout", a.layout, e.layout),
        (options.check_device, "device", a.device, e.device), (options.check_dtype, "dtype", a.dtype, e.dtype),
        (options.check_stride, "stride()", a.stride(), e.stride())]
    for wanted, name, of_a, of_e in checks:
        if wanted and of_a != of_e:
            raise _Mismatch(f"The values for attribute '{name}' do not match: {of_a} != {of_e}.")
    rtol, atol = options.tolerances(a.dtype, e.dtype)
    a, e = given = a.detach(), e.detach()
    if a.dtype != e.dtype:
        common = dtypes.promote_types(a.dtype, e.dtype)
        a, e = a.to(common), e.to(common)
    if not (a.dtype.is_floating_point or a.dtype.is_complex):
        a, e = a.to(dtypes.int64), e.to(dtypes.int64)
    matches = comparison.isclose(a, e, rtol=rtol, atol=atol, equal_nan=options.equal_nan)
    if bool(np.all(matches._array)):
        return
    if a.ndim == 0:
        raise _Mismatch(_scalar_mismatch(given[0].item(), given[1].item(), rtol, atol))
    raise _Mismatch(_tensor_mismatch(a, e, matches, rtol, atol))


def _tensor_mismatch(a: Any, e: Any, matches: Any, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    total, wrong = matches.numel(), matches.numel() - int(matches._array.sum())
    difference = choices.where(matches, 0, (a - e).abs())
    relative = choices.where(matches, 0, difference / e.abs())
    lines = [f"Tensor-likes are not {'equal' if exact else 'close'}!\n", f"Mismatched elements: {wrong} / {total} ({wrong / total:.1%})"]
    for kind, values, allowed in (("absolute", difference, atol), ("relative", relative, rtol)):
        greatest, place = extrema.max(values.flatten(), 0)
        index = tuple(int(i) for i in np.unravel_index(place.item(), tuple(a.shape)))
        lines.append(f"Greatest {kind} difference: {greatest.item()} at index {index}{'' if exact else f' (up to {allowed} allowed)'}")
    return "\n".join(lines)


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True,
                    msg: str = "") -> None:
    """The older `assert_close`: NaN is equal to NaN, dtypes are not compared, and the tolerances are wider.

    Raises:
        AssertionError: as `assert_close`.
    """
    import warnings
    warnings.warn("`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
                  "Please use `torch.testing.assert_close()` instead.", FutureWarning, stacklevel=2)
    if not isinstance(actual, Tensor):
        actual = create.tensor(actual)
    if not isinstance(expected, Tensor):
        expected = create.tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        pairs = [_OLD_TOLERANCES.get(x.dtype, (0.0, 0.0)) for x in (actual, expected)]
        rtol, atol = max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


__all__ = ["assert_allclose", "assert_close"]
