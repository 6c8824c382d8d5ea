"""How a tensor looks when printed: the text of ``repr(tensor)``, laid out as torch lays it out.

A print has three steps. Long tensors are first cut to their edges; then all numbers that remain choose one common look (whole,
fixed or scientific) and one width; then rows are written with that look, with nested brackets around them and facts such as
the dtype behind.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch import dtypes

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": inf, "edgeitems": 3, "linewidth": 80},
}
_options: dict[str, Any] = {**_PROFILES["default"], "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors are printed from now on.

    Args:
        precision: digits after the point of floating numbers (4).
        threshold: tensors of more elements show their edges only (1000).
        edgeitems: how many items each edge shows (3).
        linewidth: characters a line holds before it is broken (80).
        profile: "default", "short" (2 digits, 2 edge items) or "full" (no threshold); the arguments above refine it.
        sci_mode: True or False forces scientific notation on or off; None, also when not given, lets the numbers decide.
    Raises:
        ValueError: if the profile is unknown (torch ignores it in silence).
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: unknown profile {profile!r}; choose one of 'default', 'short' and 'full'")
        _options.update(_PROFILES[profile])
    chosen = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({name: value for name, value in chosen.items() if value is not None})
    _options["sci_mode"] = sci_mode


def get_printoptions() -> dict[str, Any]:
    """A copy of the options in force: precision, threshold, edgeitems, linewidth and sci_mode."""
    return dict(_options)


# ---- one look for all numbers of a tensor --------------------------------------------------------------------------------------


class _Look:
    """Format and width shared by the numbers of one tensor, so that they stand in columns.

    Zeros, infinities and NaNs take the look but do not shape it: ``[nan, 1.]`` stays as narrow as ``1.`` allows.
    """

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.spec, self.suffix, self.width = "", "", 1
        shaping = values.ravel()
        if values.dtype.kind == "f":
            shaping = shaping[np.isfinite(shaping)].astype(np.float64)  # in this order: casting a signalling NaN warns
            shaping = shaping[shaping != 0]
            self._choose_float(shaping)
        self.width = max((len(self._bare(value)) for value in shaping.tolist()), default=1)

    def _choose_float(self, shaping: np.ndarray[Any, Any]) -> None:
        """Whole numbers print as ``2.``; a range too wide or too far from 1 for fixed digits prints as ``2.0000e+09``."""
        self.spec, self.suffix = ".0f", "."
        if not shaping.size:
            return
        sizes = np.abs(shaping)
        low, high = float(sizes.min()), float(sizes.max())
        scientific = _options["sci_mode"]
        if scientific is None:
            scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        if scientific:
            self.spec, self.suffix = f".{_options['precision']}e", ""
        elif (shaping != np.ceil(shaping)).any():
            self.spec, self.suffix = f".{_options['precision']}f", ""

    def _bare(self, value: Any) -> str:
        if not self.spec:
            return str(value)
        text = format(value, self.spec)
        return text + self.suffix if isfinite(value) else text

    def __call__(self, value: Any) -> str:
        return self._bare(value).rjust(self.width)


def _number_writer(values: np.ndarray[Any, Any]) -> tuple[Callable[[Any], str], int]:
    """What writes one number of the tensor, and the width it takes."""
    if values.dtype.kind != "c":
        look = _Look(values)
        return look, look.width
    real, imag = _Look(values.real), _Look(values.imag)

    def write(value: complex) -> str:
        tail = imag(value.imag).lstrip()
        return real(value.real) + (tail if tail[0] == "-" else "+" + tail) + "j"

    return write, real.width + imag.width + 1


# ---- brackets and lines --------------------------------------------------------------------------------------------------------


def _edges(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array without the inside of each dimension that is longer than two edges."""
    edge = _options["edgeitems"]
    kept = [[*range(edge), *range(size - edge, size)] if size > 2 * edge else range(size) for size in array.shape]
    return array[np.ix_(*[np.array(indices, np.intp) for indices in kept])]


class _Layout:
    """Writes nested lists of numbers as bracketed rows; ``cut`` tells per dimension whether its inside was left out."""

    def __init__(self, write: Callable[[Any], str], width: int, cut: list[bool]) -> None:
        self.write, self.width, self.cut = write, width, cut

    def text(self, values: Any, indent: int, dim: int = 0) -> str:
        below = len(self.cut) - dim
        if below == 0:
            return self.write(values)
        if below == 1:
            return self._row([self.write(value) for value in values], indent, self.cut[dim])
        blocks = [self.text(value, indent + 1, dim + 1) for value in values]
        if self.cut[dim]:
            blocks.insert(len(blocks) // 2, "...")
        return "[" + ("," + "\n" * (below - 1) + " " * (indent + 1)).join(blocks) + "]"

    def _row(self, items: list[str], indent: int, cut: bool) -> str:
        if cut:
            items.insert(len(items) // 2, " ..." if items else "...")
        per_line = max(1, (_options["linewidth"] - indent) // (self.width + 2))
        lines = [", ".join(items[start : start + per_line]) for start in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _body(array: np.ndarray[Any, Any], indent: int) -> str:
    """The bracketed numbers of an array that has at least one element."""
    cut = [False] * array.ndim
    if array.size > _options["threshold"]:
        cut = [size > 2 * _options["edgeitems"] for size in array.shape]
        array = _edges(array)
    if array.dtype == dtypes.BFLOAT16_NP:
        array = dtypes.bfloat16_to_float32(array)
    write, width = _number_writer(array)
    return _Layout(write, width, cut).text(array.tolist(), indent)


def _facts(array: np.ndarray[Any, Any], dtype: dtypes.dtype, default_dtype: dtypes.dtype) -> list[str]:
    """What the numbers alone do not tell: the size of an empty tensor, and a dtype that they do not imply."""
    facts = []
    implied: tuple[dtypes.dtype, ...]
    if array.size == 0:
        implied = (default_dtype,)  # no element shows whether they would be integers
        show_size = array.ndim != 1
    else:
        default_complex = dtypes.complex128 if default_dtype is dtypes.float64 else dtypes.complex64
        implied = (default_dtype, default_complex, dtypes.int64, dtypes.bool_)
        show_size = _options["edgeitems"] == 0
    if show_size:
        facts.append(f"size={tuple(array.shape)}")
    if dtype not in implied:
        facts.append(f"dtype={dtype}")
    return facts


def tensor_text(
    array: np.ndarray[Any, Any],
    dtype: dtypes.dtype,
    *,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    prefix: str = "tensor(",
    is_parameter: bool = False,
    default_dtype: dtypes.dtype | None = None,
    tangent: str | None = None,
) -> str:
    """The text that ``repr`` gives for a tensor with these values.

    Args:
        array: the values, any shape and strides.
        dtype: the tensor's dtype; named in the text unless the values imply it.
        requires_grad: whether to say ``requires_grad=True``; a grad_fn takes its place.
        grad_fn_name: class name of the node that made the tensor, for ``grad_fn=<AddBackward0>``.
        prefix: how the text starts: "tensor(", or the name of a subclass and "(".
        is_parameter: whether to head the text with "Parameter containing:".
        default_dtype: the dtype that goes without saying; None takes the default in force.
        tangent: of a dual tensor, as text.
    """
    default_dtype = default_dtype or dtypes.get_default_dtype()
    indent = len(prefix)
    text = prefix + (_body(array, indent) if array.size else "[]")
    facts = _facts(array, dtype, default_dtype)
    if grad_fn_name is not None:
        facts.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        facts.append("requires_grad=True")
    if tangent is not None:
        facts.append(f"tangent={tangent}")
    last_line = len(text) - text.rfind("\n") + 1
    for fact in facts:
        if last_line + len(fact) + 2 > _options["linewidth"]:
            text += ",\n" + " " * indent + fact
            last_line = indent + len(fact)
        else:
            text += ", " + fact
            last_line += len(fact) + 2
    return ("Parameter containing:\n" if is_parameter else "") + text + ")"


def format_scalar(array: np.ndarray[Any, Any], spec: str) -> str:
    """The one number of a 0-d array under a format spec: ``format(loss, ".3f")``.

    Raises:
        TypeError: if the array has dimensions, as ``object.__format__`` words it.
        ValueError: if the spec does not suit the number's Python type.
    """
    if array.ndim:
        raise TypeError("unsupported format string passed to Tensor.__format__")
    if array.dtype == dtypes.BFLOAT16_NP:
        array = dtypes.bfloat16_to_float32(array)
    return format(array.item(), spec)
