"""The copying twins of views: `permute_copy` gives what `permute` gives, in memory of its own.

torch has them for compilers, which want operations without aliases. Each is one row: the view, and a clone of its results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mytorch.ops.common import TensorBase, put_out, require_tensor, wrap_dim
from mytorch.ops.complex_parts import view_as_complex, view_as_real
from mytorch.ops.elementwise import clone_for
from mytorch.ops.joining import chunk, split, unbind
from mytorch.ops.views import as_strided, diagonal, expand, narrow, permute, reshape, select, squeeze, t, transpose, unfold, unsqueeze, view

__mytorch__ = True


def _copied(x: Any) -> Any:
    """A clone, row by row in memory."""
    return x.contiguous() if not x.is_contiguous() else x.clone()


def _copying(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The twin of a function that gives a view or a tuple of views."""
    def copy(input: Any, *args: Any, out: Any = None, **options: Any) -> Any:  # noqa: A002 - torch's name
        require_tensor(name, input)
        found = function(input, *args, **options)
        if isinstance(found, TensorBase):
            return _copied(found) if out is None else put_out(found, out)
        if out is None:
            return tuple(_copied(part) for part in found)
        if len(out) != len(found):
            raise RuntimeError(f"{name}(): expected an out= list of {len(found)} tensors, but got {len(out)}")
        return tuple(put_out(part, target) for part, target in zip(found, out, strict=True))

    copy.__name__ = copy.__qualname__ = name
    copy.__doc__ = f"""A copy of what `{name.removesuffix('_copy').removeprefix('unsafe_')}` views, with its arguments, and `out=`.

    Derivative: that of the view.
    Raises:
        RuntimeError, IndexError: where the view does.
    """
    return copy


def _slice(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    return x[(slice(None),) * wrap_dim(dim, x._array.ndim) + (slice(start, end, step),)]


def _expand(x: Any, size: Sequence[int], *, implicit: bool = False) -> Any:
    return expand(x, size, implicit=implicit)


def _view(x: Any, size: Any = None, *, dtype: Any = None) -> Any:
    if dtype is not None or not isinstance(size, (tuple, list)):
        return view(x, dtype=size if dtype is None else dtype)
    return reshape(x, size)  # any strides will do, as it is copied


alias_copy = _copying(lambda x: x, "alias_copy")
as_strided_copy = _copying(as_strided, "as_strided_copy")
detach_copy = _copying(lambda x: x.detach(), "detach_copy")
diagonal_copy = _copying(diagonal, "diagonal_copy")
expand_copy = _copying(_expand, "expand_copy")
narrow_copy = _copying(narrow, "narrow_copy")
permute_copy = _copying(permute, "permute_copy")
select_copy = _copying(select, "select_copy")
slice_copy = _copying(_slice, "slice_copy")
split_copy = _copying(split, "split_copy")
split_with_sizes_copy = _copying(split, "split_with_sizes_copy")
squeeze_copy = _copying(squeeze, "squeeze_copy")
t_copy = _copying(t, "t_copy")
transpose_copy = _copying(transpose, "transpose_copy")
unbind_copy = _copying(unbind, "unbind_copy")
unfold_copy = _copying(unfold, "unfold_copy")
unsqueeze_copy = _copying(unsqueeze, "unsqueeze_copy")
view_as_complex_copy = _copying(view_as_complex, "view_as_complex_copy")
view_as_real_copy = _copying(view_as_real, "view_as_real_copy")
view_copy = _copying(_view, "view_copy")
# torch's "unsafe" parts share memory that nobody keeps account of; copies are what is safe to write to.
unsafe_chunk = _copying(chunk, "unsafe_chunk")
unsafe_split = _copying(split, "unsafe_split")
unsafe_split_with_sizes = _copying(split, "unsafe_split_with_sizes")


def as_strided_scatter(input: Any, src: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Any:  # noqa: A002
    """A copy with `src` written to where `as_strided(size, stride, storage_offset)` looks.

    Derivative: g elsewhere; g there.
    Raises:
        RuntimeError: if that reaches outside the memory, or src has another shape.
    """
    y = clone_for(input, src)
    part = as_strided(y, size, stride, storage_offset)
    if part._array.shape != src._array.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src._array.shape)}, "
                           f"slice size = {list(part._array.shape)}")
    part.copy_(src)
    return y
