"""Making tensors: from data, filled, and 'like' another tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import autograd_engine as engine
from mytorch import backends, dtypes, engine_state
from mytorch.autograd_engine import TensorBase
from mytorch.device import require_cpu
from mytorch.dtypes import cast, from_numpy_dtype, get_default_dtype, number_dtype
from mytorch.engine_state import get_mode
from mytorch.grad_mode import is_inference_mode_enabled
from mytorch.inplace import bump
from mytorch.ops.common import put_out, require_tensor
from mytorch.ops.layout import as_format, contiguous_format, new_in, new_like, preserve_format

__mytorch__ = True

_PYTHON_TYPES = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_, complex: dtypes.complex128}


def as_dtype(d: Any) -> dtypes.dtype:
    """A dtype from a dtype or one of Python's number types."""
    if isinstance(d, dtypes.dtype):
        return d
    if d in _PYTHON_TYPES:
        return _PYTHON_TYPES[d]
    raise TypeError(f"argument 'dtype' must be torch.dtype, not {d if isinstance(d, type) else type(d).__name__}")


def finished(array: ndarray[Any, Any], requires_grad: bool = False, device: Any = None, pin_memory: bool = False, layout: Any = None) -> Any:
    """The Tensor of a new array, on the device asked for."""
    if device is not None:
        require_cpu(device)
    t = engine_state.wrap(array) if type(array) is ndarray or not hasattr(array, "as_batched") else array.as_batched()
    if requires_grad:
        t.requires_grad_()
    if get_mode() is not None and is_inference_mode_enabled():
        t._storage = engine_state.InferenceStorage()
    return t


def sizes_of(function: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape of `f(2, 3)` or `f((2, 3))`, checked."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    shape = []
    for i, n in enumerate(size):
        if isinstance(n, TensorBase):
            n = n.item()  # type: ignore[attr-defined]
        if not isinstance(n, (int, np.integer)) or (isinstance(n, bool) and i == 0):  # torch looks for bools at the first size alone
            raise TypeError(f"{function}(): argument 'size' failed to unpack the object at pos {i + 1} with error "
                            f"\"type must be tuple of ints,but got {type(n).__name__}\"")
        if n < 0 and function == "zeros":
            raise RuntimeError(f"zeros: Dimension size must be non-negative, got {list(size)}")
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(size)}")
        if n >= 2**63:
            raise TypeError(f"{function}(): argument 'size' failed to unpack the object at pos {i + 1} with error \"Overflow when unpacking long "
                            f"long\": {n} does not fit into 64 bits")
        shape.append(int(n))
    return tuple(shape)


def allocated(function: str, make: Any, shape: tuple[int, ...], d: dtypes.dtype) -> ndarray[Any, Any]:
    """An array from NumPy, or torch's error when there is no memory for it."""
    try:
        array: ndarray[Any, Any] = make(shape, d.np)
    except (MemoryError, ValueError, OverflowError) as error:
        if isinstance(error, ValueError) and not any(words in str(error) for words in ("too big", "too large", "Maximum allowed")):
            raise
        size = math.prod(shape) * d.itemsize
        raise RuntimeError(f"[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate {size} bytes for {function} "
                           f"of shape {list(shape)}") from None
    return array


# ---- from data ----------------------------------------------------------------------------------------------------------------


def _plain(data: Any) -> Any:
    """Nested data with the tensors in it replaced by arrays."""
    if isinstance(data, TensorBase):
        return data._array if data._array.ndim else data._array[()]
    if isinstance(data, (list, tuple)):
        return [_plain(item) for item in data]
    return data


def _has_tensor(data: Any) -> bool:
    return isinstance(data, TensorBase) or (isinstance(data, (list, tuple)) and len(data) > 0 and _has_tensor(data[0]))


def array_of(data: Any, dtype: dtypes.dtype | None = None) -> ndarray[Any, Any]:
    """A new array from numbers, nested sequences, arrays or tensors, of torch's dtype for them.

    Raises:
        ValueError: for sequences of unequal lengths.
        TypeError: for what is no number.
    """
    if isinstance(data, TensorBase):
        return cast(data._array, data._array.dtype if dtype is None else dtype.np)
    if isinstance(data, (ndarray, np.generic)):
        source = np.asarray(data)
        found = from_numpy_dtype(source.dtype)
        return np.array(source, found.np) if dtype is None else cast(source, dtype.np)
    if _has_tensor(data):
        data = _plain(data)
    try:
        array = np.array(data)
    except ValueError:
        _explain_ragged(data)
        raise
    except OverflowError:
        raise RuntimeError("value cannot be converted to type int64_t without overflow") from None
    if array.dtype.kind in "OUSVMm":
        bad = _first_odd(data)
        if isinstance(bad, int):
            raise ValueError(f"Overflow when unpacking long long: {bad} does not fit into 64 bits")
        if isinstance(bad, (str, bytes)):
            raise TypeError(f"new(): invalid data type '{type(bad).__name__}'")
        if dtype is not None:
            raise TypeError(f"must be real number, not {type(bad).__name__}")
        raise RuntimeError(f"Could not infer dtype of {type(bad).__name__}: expected numbers, or nested lists of numbers, arrays and tensors")
    if dtype is not None:
        return cast(array, dtype.np)
    if array.size == 0:
        return array.astype(get_default_dtype().np)
    if isinstance(data, (list, tuple)) and _holds_generic(data):
        return np.array(array, from_numpy_dtype(array.dtype).np)
    kinds = {"b": dtypes.bool_, "i": dtypes.int64, "u": dtypes.int64, "f": get_default_dtype(), "c": get_default_dtype().to_complex()}
    wanted = kinds[array.dtype.kind]
    return cast(array, wanted.np) if array.dtype != wanted.np else array


def _holds_generic(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (ndarray, np.generic)) and type(data) not in (float, int)


def _explain_ragged(data: Any, dim: int = 0) -> None:
    if not isinstance(data, (list, tuple)):
        return
    lengths = [len(item) if isinstance(item, (list, tuple, ndarray)) else None for item in data]
    for item, length in zip(data, lengths, strict=True):
        if length != lengths[0]:
            if length is None:
                raise TypeError(f"expected sequence at dim {dim + 1}, got {type(item).__name__}")
            raise ValueError(f"expected sequence of length {lengths[0]} at dim {dim + 1} (got {length})")
        _explain_ragged(item, dim + 1)


def _first_odd(data: Any) -> Any:
    if isinstance(data, (list, tuple)):
        for item in data:
            found = _first_odd(item)
            if found is not None:
                return found
        return None
    if isinstance(data, int) and not -2**63 <= data < 2**63:
        return data
    return None if isinstance(data, (int, float, complex, np.number)) else data


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """A new leaf tensor with a copy of the data: numbers, nested lists, arrays or tensors.

    Python floats become the default dtype (float32), ints int64; arrays keep theirs.

    Raises:
        ValueError: for sequences of unequal lengths.
        TypeError: for what is no number.
    """
    if isinstance(data, TensorBase):
        import warnings
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).", UserWarning, stacklevel=2)
    return finished(array_of(data, None if dtype is None else as_dtype(dtype)), requires_grad, device)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """The data as a tensor, without a copy where it is a tensor or an array of that dtype already."""
    if device is not None:
        require_cpu(device)
    if isinstance(data, TensorBase):
        return data if dtype is None else data.to(dtype)  # type: ignore[attr-defined]
    if isinstance(data, ndarray) and (dtype is None or data.dtype == as_dtype(dtype).np):
        return from_numpy(data)
    return tensor(data, dtype=dtype)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False) -> Any:
    """`as_tensor` with NumPy's name; copy=True always copies, copy=False never does."""
    y = tensor(obj, dtype=dtype) if copy and not isinstance(obj, TensorBase) else as_tensor(obj, dtype, device)
    if copy and y is obj:
        y = y.clone()
    if copy is False and isinstance(obj, (list, tuple, int, float)):
        raise ValueError("can't alias arbitrary sequence: copy=False needs a tensor or an array")
    return y.requires_grad_() if requires_grad else y


def from_numpy(ndarray: Any) -> Any:
    """A tensor that shares memory with a NumPy array.

    Raises:
        TypeError: for anything but an array, or an array of a dtype that torch lacks.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    found = from_numpy_dtype(ndarray.dtype)
    if found.np != ndarray.dtype:
        raise ValueError("given numpy array has byte order different from the native byte order. Conversion between byte orders is "
                         "currently not supported.")
    if any(s < 0 for s in ndarray.strides):
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. "
                         "(You can probably work around this by making a copy of your array with array.copy().)")
    if not ndarray.flags.writeable:
        import warnings
        warnings.warn("The given NumPy array is not writable, and PyTorch does not support non-writable tensors. You may want to copy the array to "
                      "protect its data or make it writable before converting it to a tensor.", UserWarning, stacklevel=2)
    array = ndarray if type(ndarray) is np.ndarray else np.asarray(ndarray)
    return finished(array if array.dtype is found.np else array.view(found.np))  # an unpickled array has a dtype object of its own


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Any:
    """A 1-d tensor over the memory of a buffer."""
    return finished(np.frombuffer(buffer, as_dtype(dtype).np, count, offset), requires_grad)


# ---- filled -------------------------------------------------------------------------------------------------------------------


def _filled(name: str, make: Any) -> Any:
    def factory(*size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                pin_memory: bool = False, memory_format: Any = None, **named: Any) -> Any:
        if "size" in named:
            size = (named.pop("size"),)
        if named:
            raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
        d = as_dtype(dtype) if dtype is not None else get_default_dtype() if out is None else out.dtype
        shape = sizes_of(name, size)
        if memory_format is not None:
            if name != "empty":
                raise TypeError(f"{name}() got an unexpected keyword argument 'memory_format'; give it to contiguous()")
            layout_asked = as_format(name, memory_format, contiguous_format)
            return finished(new_in(shape, d.np, layout_asked, lambda sizes, _: allocated(name, make, sizes, d)), requires_grad, device)
        y = finished(allocated(name, make, shape, d), requires_grad, device)
        return y if out is None else put_out(y, out, warn=False)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"A new tensor of the given size: {name}(2, 3) or {name}((2, 3)); dtype defaults to float32."
    return factory


def _ones(shape: tuple[int, ...], np_dtype: Any) -> Any:
    return np.ones(shape, np_dtype) if np_dtype != dtypes.BFLOAT16_NP else cast(np.ones(shape, np.float32), np_dtype)


zeros = _filled("zeros", np.zeros)
ones = _filled("ones", _ones)
empty = _filled("empty", backends.empty)  # aligned to cache lines where it is large, as weights are: reading others takes a third longer


def number_of(x: Any) -> Any:
    """The Python number in a number or a tensor of one element."""
    return x.item() if isinstance(x, (TensorBase, np.generic)) else x  # type: ignore[union-attr]


def full(size: Any, fill_value: Any, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
         pin_memory: bool = False) -> Any:
    """A new tensor of one value; the dtype defaults to the value's."""
    value = fill_value._array if isinstance(fill_value, TensorBase) else np.asarray(fill_value)
    if dtype is not None or out is not None:
        d = as_dtype(out.dtype if dtype is None else dtype)
    else:
        d = from_numpy_dtype(value.dtype) if isinstance(fill_value, TensorBase) else number_dtype(fill_value)
    array = allocated("full", backends.empty, sizes_of("full", (size,) if not isinstance(size, (tuple, list)) else tuple(size)), d)
    array[...] = cast(value, d.np)
    y = finished(array, requires_grad, device)
    return y if out is None else put_out(y, out, warn=False)


def scalar_tensor(s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                  pin_memory: bool = False) -> Any:
    """A 0-d tensor of a number; float32 unless a dtype is given."""
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    return finished(cast(np.asarray(number_of(s)), d.np), requires_grad, device)


def _like(name: str, make: Any) -> Any:
    def factory(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: A002
                pin_memory: bool = False, memory_format: Any = None) -> Any:
        require_tensor(name, input)
        alike = getattr(input, "alike", None)
        if alike is not None:  # inside vmap: every example gets its own
            return alike(factory(input._full, dtype=dtype, device=device, requires_grad=requires_grad, memory_format=memory_format))
        d = input.dtype if dtype is None else as_dtype(dtype)
        if memory_format is None and input._array.flags.c_contiguous:
            return finished(allocated(name, make, input._array.shape, d), requires_grad, device)
        form = as_format(name, memory_format, preserve_format)
        array = new_like(input._array, d.np, form, lambda shape, _: allocated(name, make, shape, d))
        return finished(array, requires_grad, device)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"{name.removesuffix('_like')} with the shape, dtype and, unless memory_format says otherwise, strides of another tensor."
    return factory


zeros_like = _like("zeros_like", np.zeros)
ones_like = _like("ones_like", _ones)
empty_like = _like("empty_like", np.empty)


def full_like(input: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: A002
              pin_memory: bool = False, memory_format: Any = None) -> Any:
    """A tensor of one value with the shape, dtype and, unless memory_format says otherwise, strides of another."""
    require_tensor("full_like", input)
    alike = getattr(input, "alike", None)
    if alike is not None:
        return alike(full_like(input._full, fill_value, dtype=dtype, device=device, requires_grad=requires_grad, memory_format=memory_format))
    y = empty_like(input, dtype=dtype, device=device, memory_format=memory_format)
    np.copyto(y._array, cast(np.asarray(number_of(fill_value)), y._array.dtype))
    return y.requires_grad_() if requires_grad else y


def empty_strided(size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
                  layout: Any = None, pin_memory: bool = False) -> Any:
    """An uninitialised tensor of the given sizes and strides (in elements)."""
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    count = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else 0
    base = np.empty(count, d.np)
    return finished(np.lib.stride_tricks.as_strided(base, tuple(size), [s * d.itemsize for s in stride]), requires_grad, device)


def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
                   requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """An uninitialised tensor without gaps in memory, where its dimensions lie in the order of `physical_layout`, the outermost first."""
    order = tuple(physical_layout)
    if len(order) != len(size):
        raise RuntimeError("Number of dimensions in size does not match the length of the physical_layout; "
                           f"i.e. len(size) = {len(size)} is not equal to len(physical_layout) = {len(order)}")
    for i, d in enumerate(order):
        if not 0 <= d < len(order):
            raise RuntimeError(f"Dimension out of range (expected to be between 0 and {len(order) - 1}, but got {d} at index {i})")
    if len(set(order)) != len(order):
        raise RuntimeError(f"Duplicate dim not allowed: physical_layout is {list(order)}")
    y = empty([size[d] for d in order], dtype=dtype, device=device)
    return finished(y._array.transpose(sorted(range(len(order)), key=order.__getitem__)), requires_grad, device)


def eye(n: int, m: int | None = None, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
        pin_memory: bool = False) -> Any:
    """The n x m matrix with ones on its diagonal."""
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"n must be greater or equal to 0, got {n if n < 0 else m}")
    d = as_dtype(dtype) if dtype is not None else get_default_dtype() if out is None else out.dtype
    array = allocated("eye", np.zeros, (n, n if m is None else m), d)
    np.fill_diagonal(array, cast(np.ones((), np.float32), d.np))
    y = finished(array, requires_grad, device)
    return y if out is None else put_out(y, out, warn=False)


# ---- triangles ----------------------------------------------------------------------------------------------------------------


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None, layout: Any = None) -> Any:
    """Indices (2, n) of the lower triangle of a row x col matrix."""
    return finished(np.stack(np.tril_indices(row, offset, col)).astype(as_dtype(dtype).np), device=device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None, layout: Any = None) -> Any:
    """Indices (2, n) of the upper triangle of a row x col matrix."""
    return finished(np.stack(np.triu_indices(row, offset, col)).astype(as_dtype(dtype).np), device=device)


# ---- methods of Tensor: new_* -------------------------------------------------------------------------------------------------


def new_tensor(self: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A new tensor from data, of this tensor's dtype unless another is given (None keeps an array's own)."""
    if dtype is None and not isinstance(data, (ndarray, TensorBase, np.generic)):
        dtype = self.dtype
    return finished(array_of(data, None if dtype is None else as_dtype(dtype)), requires_grad, device)


def _new(name: str, make: Any) -> Any:
    def method(self: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
               pin_memory: bool = False, **named: Any) -> Any:
        if "size" in named:
            size = (named.pop("size"),)
        d = self.dtype if dtype is None else as_dtype(dtype)
        return finished(allocated(name, make, sizes_of(name, size), d), requires_grad, device)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{name.removeprefix('new_')} of the given size with this tensor's dtype."
    return method


new_zeros = _new("new_zeros", np.zeros)
new_ones = _new("new_ones", _ones)
new_empty = _new("new_empty", np.empty)


def new_full(self: Any, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
             pin_memory: bool = False) -> Any:
    """A tensor of one value with this tensor's dtype."""
    return full(size, fill_value, dtype=self.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)


def new_empty_strided(self: Any, size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, device: Any = None,
                      requires_grad: bool = False, layout: Any = None, pin_memory: bool = False) -> Any:
    """An uninitialised tensor of the given sizes and strides with this tensor's dtype."""
    return empty_strided(size, stride, dtype=self.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)


def resize_(self: Any, *sizes: Any, memory_format: Any = None) -> Any:
    """Give the tensor another size in place; elements beyond the old number are zero.

    Raises:
        RuntimeError: if the tensor requires a gradient.
    """
    if engine.requires_grad(self):
        raise RuntimeError("cannot resize variables that require grad")
    shape = sizes_of("resize_", sizes)
    count = math.prod(shape)
    if count <= self._array.size:
        self._array = np.ascontiguousarray(self._array).reshape(-1)[:count].reshape(shape)
    else:
        array = allocated("resize_", np.zeros, (count,), self.dtype)
        array[:self._array.size] = self._array.reshape(-1)
        self._array = array.reshape(shape)
    bump(self)
    return self


def unsupported(what: str) -> NotImplementedError:
    """The error for an option that this build does not have."""
    return NotImplementedError(f"{what} is not supported")


def resize_as_(self: Any, the_template: Any, *, memory_format: Any = None) -> Any:
    """`resize_` to the size of another tensor."""
    return resize_(self, the_template._array.shape)
