"""The fixed table of what a weights file may name, and how tensors are rebuilt from their storages.

Every entry checks the number and the exact types of its arguments before it acts; sizes, strides and offsets are held
against the bytes that the storage really has. The names on the left are torch's, as its files spell them.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, OrderedDict, defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch import dtypes
from mytorch.device import CPU, device
from mytorch.serialization.opcodes import Global, type_name
from mytorch.size import Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from mytorch.serialization.machine import PickleMachine
    from mytorch.tensor import Tensor

    Build = Callable[[PickleMachine, tuple[Any, ...]], Any]

__mytorch__ = True

MAX_DIMS = 64  # NumPy's limit, and torch's
MAX_BYTES = 2**63 - 1


class Storage:
    """The bytes of one storage of a file, shared by all tensors that name it; also what a ``map_location`` callable sees.

    Args:
        data: the bytes, uint8 of one dimension, as the file has them.
        dtype: of the elements; None for an untyped storage, whose tensors carry the dtype.
        foreign_order: whether the file has the other byte order.
        filled: False while the bytes are still to be read.
    """

    __slots__ = ("bytes", "dtype", "filled", "foreign_order", "holds_bool")

    def __init__(self, data: np.ndarray[Any, Any], dtype: dtypes.dtype | None, foreign_order: bool, filled: bool = True) -> None:
        self.bytes = data
        self.dtype = dtype
        self.foreign_order = foreign_order
        self.filled = filled
        self.holds_bool = False

    @property
    def device(self) -> device:
        """The CPU."""
        return CPU

    def nbytes(self) -> int:
        """Number of bytes."""
        return self.bytes.size

    def size(self) -> int:
        """Number of elements."""
        return self.bytes.size // (self.dtype.itemsize if self.dtype is not None else 1)

    __len__ = size

    def cpu(self) -> Storage:
        """Itself: all storages are in main memory."""
        return self

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Storage:
        """RuntimeError: there is no CUDA here."""
        raise RuntimeError("a storage cannot move to CUDA: mytorch computes on the CPU; return the storage itself")

    def ready(self, dtype: dtypes.dtype) -> np.ndarray[Any, Any]:
        """The bytes in this machine's byte order; for bool only 0 and 1, since any other byte makes NumPy's loops undefined."""
        if not self.filled:
            return self.bytes
        if self.foreign_order:
            self.foreign_order = False
            unit = dtype.np if dtype is not dtypes.bfloat16 else np.dtype(np.uint16)
            self.bytes[: self.bytes.size // unit.itemsize * unit.itemsize].view(unit).byteswap(inplace=True)
        if dtype is dtypes.bool_ and not self.holds_bool:
            self.holds_bool = True
            if self.bytes.size and self.bytes.max() > 1:
                np.minimum(self.bytes, 1, out=self.bytes)
        return self.bytes


def strided_view(m: PickleMachine, storage: Storage, dtype: dtypes.dtype, offset: int, size: tuple[int, ...],
                 stride: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """An array over the storage, after checking that all its elements lie inside it.

    Expanded dimensions (stride 0) are allowed: they name many elements but allocate none.
    """
    if len(size) != len(stride) or len(size) > MAX_DIMS:
        m.refuse(f"a tensor with {len(size)} sizes and {len(stride)} strides; expected as many of both, at most {MAX_DIMS}")
    if any(type(n) is not int or n < 0 for n in (offset, *size, *stride)):
        m.refuse("offset, sizes and strides of a tensor must be integers that are not negative")
    itemsize = dtype.itemsize
    # NumPy multiplies the sizes without the zeros
    if math.prod(n for n in size if n) * itemsize > MAX_BYTES:
        m.refuse("the sizes of a tensor multiply to more bytes than an address can count")
    data = storage.ready(dtype)
    if 0 in size:
        return np.ndarray(size, dtype.np, data)
    present = data.size // itemsize
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= present:
        m.refuse(f"a tensor reaches to element {_brief(last)} of a storage of {present} elements")
    # a dimension of one element may have any stride, also one that no address can hold
    steps = tuple(s * itemsize if s <= present else itemsize for s in stride)
    return np.ndarray(size, dtype.np, data, offset * itemsize, steps)


def _brief(number: int) -> str:
    """A number of the file for an error; str() refuses those of more than 4300 digits."""
    return str(number) if number < 10**30 else "10**30 and more"


def make_tensor(m: PickleMachine, array: np.ndarray[Any, Any], requires_grad: bool) -> Tensor:
    """The Tensor over an array; the one place where this package makes one."""
    from mytorch.tensor import _wrap

    tensor = _wrap(array)
    if requires_grad:
        if not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
            m.refuse(f"a tensor of dtype {tensor.dtype} cannot require a gradient")
        tensor.requires_grad = True
    return tensor


# ---- tensors -----------------------------------------------------------------------------------------------------------------


def rebuild_tensor(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    m.check_arguments("_rebuild_tensor", args, Storage, int, TUPLES, TUPLES)
    storage, offset, size, stride = args
    return _tensor(m, _typed(m, storage), storage, offset, size, stride, False)


def rebuild_tensor_v2(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    m.check_arguments("_rebuild_tensor_v2", args, Storage, int, TUPLES, TUPLES, bool, HOOKS, METADATA, optional=1)
    no_hooks(m, args[5])
    return _tensor(m, _typed(m, args[0]), *args[:5], *args[6:])


def rebuild_tensor_v3(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    m.check_arguments("_rebuild_tensor_v3", args, Storage, int, TUPLES, TUPLES, bool, HOOKS, dtypes.dtype, METADATA, optional=1)
    no_hooks(m, args[5])
    return _tensor(m, args[6], *args[:5], *args[7:])


def _typed(m: PickleMachine, storage: Storage) -> dtypes.dtype:
    if storage.dtype is None:
        m.refuse("a tensor over an untyped storage needs a dtype, which only _rebuild_tensor_v3 gives")
    return storage.dtype


def _tensor(m: PickleMachine, dtype: dtypes.dtype, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...],
            requires_grad: bool, metadata: dict[str, Any] | None = None) -> Tensor:
    array = strided_view(m, storage, dtype, offset, size, stride)
    for name, flag in (metadata or {}).items():
        if name not in ("conj", "neg") or type(flag) is not bool:
            m.refuse("the metadata of a tensor may hold the flags conj and neg only")
        if flag:  # torch notes a conjugate or a sign without computing it; here it is computed, which ends the sharing
            if array.dtype.kind not in ("c" if name == "conj" else "fc"):
                m.refuse(f"a tensor of dtype {dtype} has no {name} flag")
            m.charge(array.nbytes)
            array = np.conjugate(array) if name == "conj" else np.negative(array)
    return make_tensor(m, array, requires_grad)


def rebuild_parameter(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    from mytorch.nn.parameter import Parameter
    from mytorch.tensor import Tensor

    m.check_arguments("_rebuild_parameter", args, Tensor, bool, HOOKS)
    no_hooks(m, args[2])
    made: Tensor = Parameter(args[0], args[1])
    return made


def rebuild_parameter_with_state(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    m.check_arguments("_rebuild_parameter_with_state", args, None, None, None, None)
    parameter = rebuild_parameter(m, args[:3])
    set_attributes(m, parameter, args[3])
    return parameter


def uninitialized_parameter(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    from mytorch.nn.lazy import UninitializedParameter

    return _waiting(m, args, UninitializedParameter)


def uninitialized_buffer(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    from mytorch.nn.lazy import UninitializedBuffer

    return _waiting(m, args, UninitializedBuffer)


def _waiting(m: PickleMachine, args: tuple[Any, ...], kind: Any) -> Tensor:
    """A Parameter or buffer of a lazy layer that had no shape when it was saved: (requires_grad, device, dtype)."""
    m.check_arguments(kind.__name__, args, bool, None, dtypes.dtype, optional=2)
    if args[0] and len(args) == 3 and not (args[2].is_floating_point or args[2].is_complex):
        m.refuse(f"a tensor of dtype {args[2]} cannot require a gradient")
    made: Tensor = kind(args[0], None, *args[2:])
    return made


def rebuild_from_type(m: PickleMachine, args: tuple[Any, ...]) -> Tensor:
    m.check_arguments("_rebuild_from_type_v2", args, Global, Global, tuple, None)
    function, kind = args[0], args[1].type
    if function.build not in (rebuild_tensor, rebuild_tensor_v2, rebuild_tensor_v3, rebuild_parameter):
        m.refuse(f"_rebuild_from_type_v2 can only call a function that rebuilds a tensor, got {type_name(function)}")
    tensor: Tensor = function.build(m, args[2])
    if type(tensor) is not kind:
        m.refuse(f"_rebuild_from_type_v2: {type_name(function)} made a {type_name(tensor)}, the file says {type_name(args[1])}")
    set_attributes(m, tensor, args[3])
    return tensor


def no_hooks(m: PickleMachine, hooks: OrderedDict[Any, Any] | None) -> None:
    if hooks:
        m.refuse("a tensor with backward hooks: hooks are code, and code is not loaded")


def set_attributes(m: PickleMachine, target: Any, state: Any) -> None:
    """Give ``target`` the attributes that the file kept, unless a name would hide a method, a property or a slot of its type."""
    if type(state) is tuple and len(state) == 2 and not state[1]:
        state = state[0]  # (attributes, slots), and no slots
    if state is None:
        return
    if type(state) is not dict:
        m.refuse(f"the state of a {type_name(target)} must be a dict, got {type_name(state)}")
    for name in state:
        if type(name) is not str or name.startswith("__"):
            m.refuse(f"the state of a {type_name(target)} names an attribute that cannot be set")
        for base in type(target).__mro__:
            hidden = base.__dict__.get(name)
            if callable(hidden) or hasattr(hidden, "__get__"):
                m.refuse(f"the state of a {type_name(target)} would hide its attribute {name!r}")
    m.charge(len(state))
    target.__dict__.update(state)


# ---- plain Python --------------------------------------------------------------------------------------------------------------


def _pairs(m: PickleMachine, target: Any, pairs: list[Any]) -> Any:
    """Fill a dict from [[key, value], ...], as Python 2 wrote an OrderedDict."""
    m.charge(2 * len(pairs))
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            m.refuse(f"a pair of key and value expected, got {type_name(pair)}")
        m.set_items(target, list(pair))
    return target


def ordered_dict(m: PickleMachine, args: tuple[Any, ...]) -> OrderedDict[Any, Any]:
    m.check_arguments("OrderedDict", args, list, optional=1)
    made: OrderedDict[Any, Any] = OrderedDict()
    return _pairs(m, made, args[0]) if args else made


def counter(m: PickleMachine, args: tuple[Any, ...]) -> Counter[Any]:
    m.check_arguments("Counter", args, dict, optional=1)
    counts = args[0] if args else {}
    m.charge(len(counts))
    made: Counter[Any] = Counter()
    dict.update(made, counts)  # Counter's own update would add, and an addition runs code of the operands
    return made


def default_dict(m: PickleMachine, args: tuple[Any, ...]) -> defaultdict[Any, Any]:
    m.check_arguments("defaultdict", args, (Global, type(None)), optional=1)
    if not args or args[0] is None:
        return defaultdict(None)
    factory = args[0].type
    if factory not in FACTORIES:
        m.refuse(f"the default factory of a defaultdict cannot be {type_name(args[0])}")
    return defaultdict(factory)


def _members(m: PickleMachine, args: tuple[Any, ...]) -> list[Any]:
    m.check_arguments("set", args, list, optional=1)
    members: list[Any] = args[0] if args else []
    m.charge(len(members))
    for member in members:
        m.check_key(member)
    return members


def set_of(m: PickleMachine, args: tuple[Any, ...]) -> set[Any]:
    return set(_members(m, args))


def frozenset_of(m: PickleMachine, args: tuple[Any, ...]) -> frozenset[Any]:
    return frozenset(_members(m, args))


def encode(m: PickleMachine, args: tuple[Any, ...]) -> bytes:
    """How protocol 2 spells bytes: a string of code points below 256, to be encoded as Latin-1."""
    m.check_arguments("_codecs.encode", args, str, str)
    if args[1] not in ("latin1", "latin-1"):
        m.refuse("_codecs.encode is allowed for latin1 only")
    text: str = args[0]
    m.charge(len(text))
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        m.refuse("bytes are spelled with code points of 256 and above")


def bytes_of(m: PickleMachine, args: tuple[Any, ...]) -> bytes:
    m.check_arguments("bytes", args)
    return b""


def bytearray_of(m: PickleMachine, args: tuple[Any, ...]) -> bytearray:
    if len(args) == 2:
        return bytearray(encode(m, args))
    m.check_arguments("bytearray", args, bytes, optional=1)
    m.charge(sum(map(len, args)))
    return bytearray(*args)


def complex_of(m: PickleMachine, args: tuple[Any, ...]) -> complex:
    m.check_arguments("complex", args, float, float)
    return complex(*args)


def size_of(m: PickleMachine, args: tuple[Any, ...]) -> Size:
    m.check_arguments("torch.Size", args, (tuple, list))
    m.charge(len(args[0]))
    if any(type(n) is not int for n in args[0]):
        m.refuse("a torch.Size holds integers only")
    return Size(args[0])


def device_of(m: PickleMachine, args: tuple[Any, ...]) -> device:
    m.check_arguments("torch.device", args, str, int, optional=1)
    if len(args[0]) > 64:
        m.refuse("the name of a device is longer than 64 characters")
    return device(*args)


TUPLES = (tuple, Size)
HOOKS = (OrderedDict, type(None))
METADATA = (dict, type(None))
FACTORIES = frozenset({dict, list, set, int, float, str, tuple, bool, bytes, OrderedDict, Counter})
KEY_TYPES = frozenset({dtypes.dtype, device, Size})

_BUILTINS: dict[str, tuple[Build | None, type]] = {
    "set": (set_of, set), "frozenset": (frozenset_of, frozenset), "bytes": (bytes_of, bytes),
    "bytearray": (bytearray_of, bytearray), "complex": (complex_of, complex), "dict": (None, dict), "list": (None, list),
    "int": (None, int), "float": (None, float), "str": (None, str), "tuple": (None, tuple), "bool": (None, bool),
}
_QUANTIZED = "quantized tensors are not supported; save tensor.dequantize()"
_FOREIGN = "the tensor lives on a device without storages; save tensor.cpu()"
_NO_COUNTERPART = {
    "_rebuild_sparse_tensor": "sparse tensors are not supported; save tensor.to_dense()",
    "_rebuild_qtensor": _QUANTIZED,
    "_rebuild_nested_tensor": "nested tensors are not supported; save a list of tensors",
    "_rebuild_meta_tensor_no_storage": "a meta tensor has no data to load",
    "_rebuild_wrapper_subclass": "subclasses of Tensor are not supported; save plain tensors",
    "_rebuild_device_tensor_from_numpy": _FOREIGN,
    "_rebuild_device_tensor_from_cpu_tensor": _FOREIGN,
}
_OTHER_DTYPES = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2",
                 "complex32", "quint8", "qint8", "qint32", "quint4x2", "quint2x4", "bits8", "bits16", "bits1x8", "bits2x4",
                 "bits4x2", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 8)))
_OTHER_STORAGES = ("QUInt8", "QInt8", "QInt32", "QUInt4x2", "QUInt2x4")


@cache
def allowed_globals() -> dict[tuple[str, str], Any]:
    """(module, name) -> Global, or a dtype, or the reason why torch's object has no counterpart."""
    from mytorch.nn.parameter import Parameter
    from mytorch.tensor import Tensor

    table: dict[tuple[str, str], Any] = {}

    def allow(module: str, name: str, build: Build | None, kind: Any = None) -> None:
        table[module, name] = Global(f"{module}.{name}", build, kind)

    for name, (build, kind) in _BUILTINS.items():
        allow("builtins", name, build, kind)
        allow("__builtin__", name, build, kind)  # Python 2's name, which protocol 2 writes
    allow("__builtin__", "unicode", None, str)
    allow("__builtin__", "long", None, int)
    allow("collections", "OrderedDict", ordered_dict, OrderedDict)
    allow("collections", "Counter", counter, Counter)
    allow("collections", "defaultdict", default_dict, defaultdict)
    allow("_codecs", "encode", encode)
    allow("torch", "Size", size_of, Size)
    allow("torch", "device", device_of, device)
    allow("torch", "Tensor", None, Tensor)
    allow("torch.nn.parameter", "Parameter", None, Parameter)
    allow("torch.nn.parameter", "UninitializedParameter", uninitialized_parameter)
    allow("torch.nn.parameter", "UninitializedBuffer", uninitialized_buffer)
    for function in (rebuild_tensor, rebuild_tensor_v2, rebuild_tensor_v3, rebuild_parameter, rebuild_parameter_with_state):
        allow("torch._utils", f"_{function.__name__}", function)
    for name in ("_rebuild_from_type", "_rebuild_from_type_v2"):
        allow("torch._tensor", name, rebuild_from_type)
        allow("torch.tensor", name, rebuild_from_type)  # the module's name before torch 1.9
    for dtype in dtypes.ALL:
        table["torch", dtype.name] = dtype
    for dtype, name in LEGACY_STORAGES.items():
        allow("torch", f"{name}Storage", None, dtype)
    allow("torch.storage", "UntypedStorage", None, UNTYPED)
    for name, reason in _NO_COUNTERPART.items():
        table["torch._utils", name] = reason
    for name in _OTHER_DTYPES:
        table["torch", name] = "this dtype is not supported; convert the tensor before saving it"
    for name in _OTHER_STORAGES:
        table["torch", f"{name}Storage"] = _QUANTIZED
    return table


UNTYPED: Any = "untyped"  # the kind of torch.storage.UntypedStorage
# torch has no typed storage for the wide unsigned integers: they travel as untyped storages with the dtype beside them
LEGACY_STORAGES = {d: dtypes.legacy_name(d) for d in dtypes.ALL if d not in (dtypes.uint16, dtypes.uint32, dtypes.uint64)}
BUILDERS: dict[type, Callable[[PickleMachine, Any, Any], None]] = {OrderedDict: set_attributes}


def check_storage_id(m: PickleMachine, pid: Any, parts: int) -> tuple[dtypes.dtype | None, str, str, int]:
    """(dtype, key, location, bytes) of the persistent id ('storage', type, key, location, number of elements, ...)."""
    if type(pid) is not tuple or len(pid) != parts or as_text(pid[0]) != "storage":
        m.refuse(f"a persistent id must be a tuple of {parts} parts that starts with 'storage', got {type_name(pid)}")
    kind, key, location, numel = pid[1], as_text(pid[2]), as_text(pid[3]), pid[4]
    if type(kind) is not Global or not (isinstance(kind.type, dtypes.dtype) or kind.type is UNTYPED):
        m.refuse(f"a storage type expected, got {type_name(kind)}")
    dtype: dtypes.dtype | None = None if kind.type is UNTYPED else kind.type
    if type(numel) is not int or not 0 <= numel <= MAX_BYTES:
        m.refuse("the number of elements of a storage must be a 63-bit integer")
    if key is None or location is None:
        m.refuse("key and location of a storage must be strings")
    return dtype, key, location, numel * (dtype.itemsize if dtype is not None else 1)


def as_text(value: Any) -> str | None:
    """A str, also from the ASCII bytes that Python 2 wrote; None for anything else."""
    if type(value) is bytes and value.isascii():
        return value.decode("ascii")
    return value if type(value) is str else None


def is_foreign(byteorder: str) -> bool:
    """Whether bytes of this order must be swapped here."""
    return byteorder != sys.byteorder
