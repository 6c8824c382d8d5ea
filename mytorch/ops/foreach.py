"""`torch._foreach_*`: one operation on each tensor of a list. Optimizers written for speed on GPUs use them; here they are loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mytorch.engine_state import TensorBase
from mytorch.ops import arithmetic, choices, create, extrema, statistics

__mytorch__ = True

_UNARY = ("abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round rsqrt sigmoid "
          "sign sin sinh sqrt tan tanh trunc")
_BINARY = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "pow": "pow", "maximum": "maximum", "minimum": "minimum",
           "clamp_max": "clamp_max", "clamp_min": "clamp_min"}


def _checked(name: str, tensors: Any) -> list[Any]:
    """The list, or torch's error."""
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(t, TensorBase) for t in tensors):
        raise TypeError(f"{name}(): argument 'self' (position 1) must be tuple of Tensors, not {type(tensors).__name__}")
    if not tensors:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return list(tensors)


def _spread(tensors: list[Any], other: Any) -> list[Any]:
    """The other operand of each tensor: one for all, or one for each."""
    if not isinstance(other, (list, tuple)):
        return [other] * len(tensors)
    if len(other) != len(tensors):
        if other and isinstance(other[0], TensorBase):
            raise RuntimeError(f"Tensor lists must have the same number of tensors, got {len(tensors)} and {len(other)}")
        raise RuntimeError("Tensor list must have same number of elements as scalar list.")
    return list(other)


def _like(t: Any, x: Any) -> Any:
    """A number as a tensor of the dtype of t: maximum and minimum take no numbers."""
    return x if isinstance(x, TensorBase) else create.scalar_tensor(x, dtype=t.dtype)


def _given(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name.removeprefix('_foreach_')}` of each tensor of a list."
    return function


def _unary(name: str) -> None:
    def each(self: Any) -> tuple[Any, ...]:
        return tuple(getattr(t, name)() for t in _checked(f"_foreach_{name}", self))

    def each_(self: Any) -> Any:
        for t in _checked(f"_foreach_{name}_", self):
            getattr(t, f"{name}_")()
        return self

    globals()[f"_foreach_{name}"] = _given(f"_foreach_{name}", each)
    globals()[f"_foreach_{name}_"] = _given(f"_foreach_{name}_", each_)


def _binary(name: str, operation: str) -> None:
    extreme = operation in ("maximum", "minimum")

    def results(label: str, self: Any, other: Any, options: dict[str, Any]) -> list[Any]:
        if name == "pow" and not isinstance(self, (list, tuple)):  # a number to each power
            return [arithmetic.pow(self, t) for t in _checked(label, other)]
        tensors = _checked(label, self)
        return [getattr(t, operation)(_like(t, o) if extreme else o, **options) for t, o in zip(tensors, _spread(tensors, other), strict=True)]

    def each(self: Any, other: Any, **options: Any) -> tuple[Any, ...]:
        return tuple(results(f"_foreach_{name}", self, other, options))

    def each_(self: Any, other: Any, **options: Any) -> Any:
        for t, y in zip(self, results(f"_foreach_{name}_", self, other, options), strict=True):
            t.copy_(y)
        return self

    globals()[f"_foreach_{name}"] = _given(f"_foreach_{name}", each)
    globals()[f"_foreach_{name}_"] = _given(f"_foreach_{name}_", each_)


def _ternary(name: str) -> None:
    def results(label: str, self: Any, tensor1: Any, tensor2: Any, value: Any) -> list[Any]:
        tensors = _checked(label, self)
        values = value.tolist() if isinstance(value, TensorBase) else value  # type: ignore[attr-defined]
        return [getattr(t, name)(a, b, value=v) for t, a, b, v in
                zip(tensors, _spread(tensors, tensor1), _spread(tensors, tensor2), _spread(tensors, values), strict=True)]

    def each(self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> tuple[Any, ...]:
        return tuple(results(f"_foreach_{name}", self, tensor1, tensor2, value))

    def each_(self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
        for t, y in zip(self, results(f"_foreach_{name}_", self, tensor1, tensor2, value), strict=True):
            t.copy_(y)
        return self

    globals()[f"_foreach_{name}"] = _given(f"_foreach_{name}", each)
    globals()[f"_foreach_{name}_"] = _given(f"_foreach_{name}_", each_)


for _name in _UNARY.split():
    _unary(_name)
for _name, _operation in _BINARY.items():
    _binary(_name, _operation)
for _name in ("addcmul", "addcdiv"):
    _ternary(_name)


def _foreach_lerp(self: Any, tensors1: Any, weight: Any) -> tuple[Any, ...]:
    """`lerp` of each tensor of a list towards that of another; one weight, or one for each."""
    tensors = _checked("_foreach_lerp", self)
    return tuple(choices.lerp(t, end, w) for t, end, w in zip(tensors, _spread(tensors, tensors1), _spread(tensors, weight), strict=True))


def _foreach_lerp_(self: Any, tensors1: Any, weight: Any) -> Any:
    """`lerp_` of each tensor of a list."""
    for t, y in zip(self, _foreach_lerp(self, tensors1, weight), strict=True):
        t.copy_(y)
    return self


def _foreach_norm(self: Any, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:  # noqa: A002 - torch's name
    """The norm of each tensor of a list."""
    return tuple(statistics.norm(t, ord, dtype=dtype) for t in _checked("_foreach_norm", self))


def _foreach_powsum(self: Any, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:  # noqa: A002 - torch's name
    """The sum of |x|^ord over each tensor of a list: the norm without its root."""
    return tuple((t if dtype is None else t.to(dtype)).abs().pow(ord).sum() for t in _checked("_foreach_powsum", self))


def _foreach_mm(self: Any, mat2: Any) -> tuple[Any, ...]:
    """`mm` of each matrix of a list with that of another."""
    tensors = _checked("_foreach_mm", self)
    return tuple(t.mm(other) for t, other in zip(tensors, _spread(tensors, mat2), strict=True))


def _foreach_max(self: Any) -> tuple[Any, ...]:
    """The greatest element of each tensor of a list."""
    return tuple(extrema.max(t) for t in _checked("_foreach_max", self))


def _foreach_clone(self: Any) -> tuple[Any, ...]:
    """A copy of each tensor of a list."""
    return tuple(t.clone() for t in _checked("_foreach_clone", self))


def _foreach_copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Copy each tensor of one list into that of another."""
    tensors = _checked("_foreach_copy_", self)
    for t, source in zip(tensors, _spread(tensors, src), strict=True):
        t.copy_(source)
    return self


def _foreach_zero_(self: Any) -> Any:
    """Fill each tensor of a list with zeros."""
    for t in _checked("_foreach_zero_", self):
        t.zero_()
    return self


NAMES = [name for name in globals() if name.startswith("_foreach_")]
__all__ = ["NAMES"]
