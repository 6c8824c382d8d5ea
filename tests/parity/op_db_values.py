"""From torch's tensors to mytorch's and back, and what counts as equal: what the runner of `op_db` compares with."""

from __future__ import annotations

import numpy as np
import torch

import mytorch
from mytorch.dtypes import BFLOAT16_NP
from mytorch.tensor import _wrap

TOLERANCES = {torch.float32: (1e-4, 1e-5), torch.complex64: (1e-4, 1e-5), torch.float64: (1e-7, 1e-7), torch.complex128: (1e-7, 1e-7),
              torch.float16: (4e-3, 1e-3), torch.bfloat16: (2e-2, 1e-2)}
SHORT = (torch.float16, torch.bfloat16)


def attribute(root, path):
    """The attribute that a dotted path names, or None."""
    for part in path.split("."):
        root = getattr(root, part, None)
        if root is None:
            return None
    return root


def array_of(tensor, memories):
    """A NumPy array with a tensor's values and strides. Tensors on one memory get arrays on one memory."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.ndim > 64:  # NumPy's limit is 64
        raise Unconvertible(f"a tensor of layout {tensor.layout} on {tensor.device}, {tensor.ndim}-d")
    bfloat16 = tensor.dtype is torch.bfloat16
    storage = tensor.untyped_storage()
    key = (storage.data_ptr(), tensor.dtype) if storage.nbytes() else id(tensor)
    if key not in memories:
        flat = torch.empty(0, dtype=tensor.dtype).set_(storage, 0, (storage.nbytes() // tensor.itemsize,), (1,))
        memories[key] = (tensor, (flat.view(torch.int16) if bfloat16 else flat).numpy().copy())  # the tensor keeps the address taken
    memory = memories[key][1][tensor.storage_offset():]
    array = np.lib.stride_tricks.as_strided(memory, tensor.shape, [s * tensor.itemsize for s in tensor.stride()])
    return array.view(BFLOAT16_NP) if bfloat16 else array


def to_mytorch(value, memories=None):
    """The same structure with mytorch's tensors, dtypes and devices for torch's; aliases stay aliases."""
    memories = {} if memories is None else memories
    if isinstance(value, torch.Tensor):
        return _wrap(array_of(value, memories)).requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype):
        return attribute(mytorch, str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return mytorch.device(str(value))
    if isinstance(value, torch.layout) and value is not torch.strided:
        raise Unconvertible(f"the layout {value}")
    if isinstance(value, (torch.memory_format, torch.layout)):
        return attribute(mytorch, str(value).removeprefix("torch."))
    if isinstance(value, torch.Generator):
        return mytorch.Generator().manual_seed(value.initial_seed())
    if isinstance(value, slice):
        return slice(*[to_mytorch(part, memories) for part in (value.start, value.stop, value.step)])
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (tuple, list)):
        return type(value)(to_mytorch(item, memories) for item in value)
    if isinstance(value, dict):
        return {key: to_mytorch(item, memories) for key, item in value.items()}
    if isinstance(value, torch.nn.LinearCrossEntropyOptions):
        return mytorch.nn.LinearCrossEntropyOptions(**{name: to_mytorch(getattr(value, name)) for name in value.__slots__})
    if type(value).__module__.startswith("torch."):
        raise Unconvertible(f"an argument of type {type(value).__name__}")
    return value


def to_torch(value):
    """The structure's leaves as a list, mytorch's tensors as torch's."""
    if isinstance(value, mytorch.Tensor):
        array = np.array(value._array)
        return [torch.from_numpy(array.view(np.int16)).view(torch.bfloat16) if array.dtype == BFLOAT16_NP else torch.from_numpy(array)]
    return [leaf for part in value for leaf in to_torch(part)] if is_nest(value) else [value]


def is_nest(value):
    """Is it a sequence of results? A shape is a value."""
    return isinstance(value, (tuple, list)) and not isinstance(value, (torch.Size, mytorch.Size))


def flat(value):
    """The leaves of nested tuples, lists and dicts, in order."""
    if isinstance(value, dict):
        value = tuple(value.values())
    return [leaf for part in value for leaf in flat(part)] if is_nest(value) else [value]


def fresh(value):
    """The same structure with clones of its tensors, strides kept, which need a gradient where the originals do."""
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided:
            return value
        base = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype) if value.numel() else torch.empty_like(value)
        return base.copy_(value.detach().clone()).requires_grad_(value.requires_grad) if 0 not in value.stride() or not value.numel() \
            else value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(fresh(item) for item in value)
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    return value


class Unconvertible(Exception):
    """An argument has no counterpart in mytorch."""


class Mismatch(AssertionError):
    """mytorch differs from torch."""


def check_equal(found, expected, what, values=True, places=True):
    """Mismatch unless both structures hold the same values (of integers only with `places`), dtypes and shapes."""
    found, expected = to_torch(found), flat(expected)
    if len(found) != len(expected):
        raise Mismatch(f"{what}: {len(found)} results, torch has {len(expected)}")
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, torch.Tensor):
            check_tensor(a, b.detach().resolve_conj().resolve_neg(), what, values and (places or b.dtype is not torch.int64))
        elif isinstance(b, (torch.dtype, torch.Size)):
            if str(a).replace("mytorch", "torch") != str(b):
                raise Mismatch(f"{what}: {a}, torch has {b}")
        elif values and not (a == b or (a != a and b != b) or np.allclose(a, b, equal_nan=True)):
            raise Mismatch(f"{what}: {a!r}, torch has {b!r}")


def check_tensor(a, b, what, values):
    if not isinstance(a, torch.Tensor):
        raise Mismatch(f"{what}: {type(a).__name__}, torch has a tensor of {tuple(b.shape)}")
    if a.dtype is not b.dtype or a.shape != b.shape:
        raise Mismatch(f"{what}: {a.dtype} {tuple(a.shape)}, torch has {b.dtype} {tuple(b.shape)}")
    if not values or not a.numel():
        return
    rtol, atol = TOLERANCES.get(b.dtype, (0, 0))
    close = torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True) if b.dtype is not torch.bool else a == b
    if not bool(close.all()):
        place = tuple(int(i) for i in (~close).nonzero()[0])
        raise Mismatch(f"{what}: {int((~close).sum())} of {a.numel()} differ, first at {place}: {a[place].item()!r}, torch has {b[place].item()!r}")


def check_gradients(found, expected, leaves, what):
    """Equal, where no gradient and a gradient of zeros are the same."""
    for i, (a, b, x) in enumerate(zip(found, expected, leaves, strict=True)):
        if a is None and b is None:
            continue
        b = torch.zeros_like(x) if b is None else b
        check_equal(mytorch.zeros(tuple(x.shape), dtype=to_mytorch(x.dtype)) if a is None else a, b, f"{what} {i}")


def as_float64(value):
    """The same structure with the 16-bit tensors in float64."""
    if isinstance(value, torch.Tensor):
        return value.detach().double() if value.dtype in SHORT else value
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(as_float64(item) for item in value)
    if isinstance(value, dict):
        return {key: as_float64(item) for key, item in value.items()}
    return value


def check_rounded(found, expected, what, precise, **flags):
    """`check_equal`; but of 16 bits, where each library rounds on its own way, it is enough to be as near as torch to the float64 result.

    Args:
        precise: function that computes torch's result in float64.
    """
    try:
        check_equal(found, expected, what, **flags)
    except Mismatch:
        pairs = list(zip(to_torch(found), flat(expected), strict=False))
        if not any(isinstance(b, torch.Tensor) and b.dtype in SHORT for _, b in pairs):
            raise
        exact = flat(precise())
        for (a, b), x in zip(pairs, exact, strict=True):
            if not isinstance(b, torch.Tensor) or b.dtype not in SHORT:
                check_equal(_wrap(a.numpy()) if isinstance(a, torch.Tensor) else a, b, what, **flags)
                continue
            if a.dtype is not b.dtype or a.shape != b.shape or x.shape != b.shape:
                raise
            rtol, atol = TOLERANCES[b.dtype]
            mine, theirs = (a.double() - x).abs(), (b.detach().double() - x).abs()
            if not bool(((mine <= theirs) | (mine <= atol + rtol * x.abs())).all()):
                raise
