"""Tensor: an array and its place in the graph; what can be done with it is listed in tensor_methods.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import autograd_engine as engine
from mytorch import device as devices
from mytorch import dtypes, errors, nodes
from mytorch.autograd_engine import Node, TensorBase, apply, gradient_edge
from mytorch.engine_state import InferenceStorage, storage_of
from mytorch.inplace import bump
from mytorch.ops import create, elementwise
from mytorch.ops import layout as layouts
from mytorch.ops import shape as shaping
from mytorch.ops.common import wrap_dim
from mytorch.ops.views import memory_of
from mytorch.size import Size
from mytorch.tensor_methods import TensorMethods

__mytorch__ = True

_new = object.__new__
_bool = bool  # in the class below `bool` is a method
_DTYPES = dtypes._OF_NUMPY


def _wrap(array: ndarray[Any, Any]) -> Tensor:
    """A leaf Tensor around an array, which is shared, not copied."""
    t: Tensor = _new(Tensor)
    t._array = array
    t._edge = None
    t._requires_grad = False
    t._storage = None
    t._view = None
    t._grad = None
    t._accumulate = None
    t._hooks = None
    return t


engine.register(wrap=_wrap)


def wrap_as(kind: type[Any], array: ndarray[Any, Any], requires_grad: bool = False) -> Any:
    """A leaf of a subclass of Tensor around an array."""
    t = _new(kind)
    t._array, t._edge, t._requires_grad, t._storage = array, None, requires_grad, None
    t._view, t._grad, t._accumulate, t._hooks = None, None, None, None
    return t


class Tensor(TensorMethods):
    """A multi-dimensional array of one dtype that can record how it was computed.

    `Tensor(2, 3)` makes an uninitialised float32 tensor of that size and `Tensor([1, 2])` one of those values, as torch's
    legacy constructor does; `mytorch.tensor(data)` is the modern way.
    """

    __slots__ = ()
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return wrap_as(cls, _legacy_array(args, dtypes.get_default_dtype()))

    # ---- what it is -----------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        return Size(self._array.shape)

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        return _DTYPES[self._array.dtype]

    @property
    def device(self) -> devices.device:
        """Where the elements live: always the CPU."""
        return devices.CPU

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.size * self._array.itemsize

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        shape = self._array.shape
        if dim is None:
            return Size(shape)
        return shape[wrap_dim(dim, len(shape))] if shape else shape[wrap_dim(dim, 0)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """The step between neighbours of each dimension, in elements."""
        strides = layouts.strides_of(self._array)
        return strides if dim is None else strides[wrap_dim(dim, len(strides))]

    def storage_offset(self) -> int:
        """Where the first element lies in the memory, in elements."""
        base = memory_of(self._array)
        return (self.data_ptr() - int(base.__array_interface__["data"][0])) // self._array.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self._array.__array_interface__["data"][0])

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Do the elements lie in memory in the order of the indices, or in that of another memory format?"""
        if memory_format is None:
            return bool(self._array.flags.c_contiguous)
        wanted = layouts.as_format("is_contiguous", memory_format, layouts.contiguous_format)
        order = wanted.order
        if order is None:
            return bool(self._array.flags.c_contiguous)
        return len(order) == self._array.ndim and layouts.in_order(self._array, order)

    def is_floating_point(self) -> bool:
        """Is the dtype a floating one?"""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Is the dtype a complex one?"""
        return bool(self._array.dtype.kind == "c")

    def is_signed(self) -> bool:
        """Can the dtype hold negative numbers?"""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Was it made in inference mode?"""
        return isinstance(self._storage, InferenceStorage)

    def is_shared(self) -> bool:
        """Does it live in memory that several processes can see?"""
        shared_memory = sys.modules.get("mytorch.multiprocessing.shared_memory")  # not loaded: nothing is shared
        return shared_memory is not None and shared_memory.block_of(self._array) is not None

    def is_pinned(self, device: Any = None) -> bool:
        """Does it live in page-locked memory? Never, here."""
        return False

    is_cuda = is_sparse = is_quantized = is_meta = is_mps = is_mkldnn = is_xla = is_nested = is_xpu = is_ipu = is_vulkan = False
    is_cpu = True
    layout = "torch.strided"

    # ---- its place in the graph -----------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Does a gradient flow to it?"""
        return engine.requires_grad(self)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, _bool):
            raise RuntimeError(f"requires_grad must be a bool, got {type(value).__name__}")
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient, or no longer.

        Raises:
            RuntimeError: for an integer or bool tensor, or to switch it off on a tensor that was computed.
        """
        if not isinstance(requires_grad, _bool):
            raise errors.type_error("requires_grad_", "requires_grad", 1, "bool", requires_grad)
        if requires_grad and self._array.dtype.kind not in "fcV":
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        if self._edge is not None:
            if not requires_grad:
                raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a "
                                   "subgraph that doesn't require differentiation use var_no_grad = var.detach().")
            return self
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Was it made by the user (or does it need no gradient) rather than computed from what needs one?"""
        engine.requires_grad(self)
        return self._edge is None

    @property
    def grad_fn(self) -> Node | None:
        """The node that computed it, None for a leaf."""
        if self._view is not None:
            self._view.refresh(self)
        node: Node | None = nodes.seen(nodes.node_of(self._edge))
        return node

    @property
    def output_nr(self) -> int:
        """Which output of its node it is."""
        return nodes.number_of(self._edge)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have added up; for a leaf, or after `retain_grad()`."""
        if self._grad is None and self._edge is not None and not self.retains_grad:
            import warnings
            warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated "
                          "during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, use "
                          ".retain_grad() on the non-leaf Tensor.", UserWarning, stacklevel=2)
        return self._grad  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
            if value._array.shape != self._array.shape:
                raise RuntimeError(f"assigned grad has data of a different size: {list(value._array.shape)} for a tensor of size "
                                   f"{list(self._array.shape)}")
            if value._array.dtype != self._array.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: {value.dtype} for a tensor of {self.dtype}")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        """The same memory, outside the graph; writes to it are not counted."""
        return _wrap(self._array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._requires_grad and value._array.dtype.kind not in "fcV":
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        self._array = value._array
        ref = self._accumulate
        node = None if ref is None else ref()
        if node is not None:
            node.shape, node.dtype = value._array.shape, value._array.dtype

    @property
    def _version(self) -> int:
        """How often its memory was written in place."""
        return storage_of(self).version

    @property
    def _base(self) -> TensorBase | None:
        """The tensor that this one is a view of, None if it is no view."""
        return None if self._view is None else self._view.root

    @property
    def retains_grad(self) -> bool:
        """Was `retain_grad()` called on it?"""
        node = nodes.node_of(self._edge)
        if node is None or node.hooks is None:
            return False
        ref = node.hooks.retain.get(self.output_nr)
        return ref is not None and ref() is self

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None) -> None:
        """Compute the gradients of the leaves behind this tensor and add them to their `.grad`.

        Args:
            gradient: the gradient of this tensor, of its shape; 1 if it is a scalar.
            retain_graph: keep what the graph saved; default: the value of create_graph.
            create_graph: record the backward itself, for higher derivatives.
            inputs: tensors that alone shall accumulate.
        Raises:
            RuntimeError: if it needs no gradient, is no scalar and none is given, or the graph was freed.
        """
        engine.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def retain_grad(self) -> None:
        """Keep the gradient of this computed tensor in `.grad` as well."""
        edge = gradient_edge(self)
        if edge is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._edge is not None:
            import weakref
            nodes.node_of(edge).own_hooks().retain[nodes.number_of(edge)] = weakref.ref(self)

    def register_hook(self, hook: Callable[[Tensor], Any]) -> engine.RemovableHandle:
        """Call `hook(grad)` when this tensor's gradient is known; what it returns replaces the gradient."""
        edge = gradient_edge(self)
        if edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        hooks = self._leaf_hooks() if self._edge is None else nodes.node_of(edge).own_hooks()
        return hooks.add(hooks.tensor, (nodes.number_of(edge), hook))

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> engine.RemovableHandle:
        """Call `hook(self)` after a gradient was added to this leaf's `.grad`."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._edge is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        hooks = self._leaf_hooks()
        return hooks.add(hooks.post_accumulate, hook)

    def _leaf_hooks(self) -> engine.Hooks:
        if self._hooks is None:
            self._hooks = engine.Hooks()
            node = None if self._accumulate is None else self._accumulate()
            if node is not None:
                node.hooks = self._hooks
        return self._hooks

    def detach(self) -> Tensor:
        """The same memory as a constant; writes to it are counted together with this tensor's."""
        t = _wrap(self._array)
        t._storage = storage_of(self)
        return t

    def detach_(self) -> Tensor:
        """Make this tensor a leaf: the graph behind it is forgotten."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, "
                               "and gradient_as_bucket_view is set as True, gradients are views of DDP buckets.")
        storage_of(self)  # nodes that saved it ask its old edge for later writes
        self._edge = None
        self._requires_grad = False
        return self

    # ---- to and from the outside ----------------------------------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> ndarray[Any, Any]:
        """The array itself: memory is shared. Raises RuntimeError if a gradient would be lost, unless `force`."""
        if self.requires_grad and not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self._array.dtype == dtypes.BFLOAT16_NP:
            raise TypeError("Got unsupported ScalarType BFloat16: NumPy has no bfloat16; use .float().numpy()")
        return self._array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_wrap__(self, array: ndarray[Any, Any], context: Any = None, return_scalar: bool = False) -> Any:
        return _wrap(np.array(array, np.uint8 if array.dtype == bool and context is None else array.dtype))

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self._array.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def item(self) -> Any:
        """The only element, as a Python number. Raises RuntimeError if there are more."""
        array = self._array
        if array.size != 1:
            raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
        if array.dtype == dtypes.BFLOAT16_NP:
            array = dtypes.bfloat16_to_float32(array)
        return array.item()

    def tolist(self) -> Any:
        """The elements as nested lists, a number if 0-d."""
        array = self._array
        return (dtypes.bfloat16_to_float32(array) if array.dtype == dtypes.BFLOAT16_NP else array).tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        if sys._getframe(1).f_globals.get("__name__") == "multiprocessing.reduction":  # on its way to another process
            from mytorch.multiprocessing.reductions import reduce_tensor
            return reduce_tensor(self)
        if self._edge is not None:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol and pickling at the "
                               "moment: detach() or clone().detach() it first")
        array = self._array if self._array.dtype != dtypes.BFLOAT16_NP else self._array.view(np.uint16)
        return _rebuild, (type(self), np.array(array), self.dtype, self._requires_grad, dict(self.__dict__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._edge is not None:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
                               "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage")
        if id(self) in memo:
            return memo[id(self)]
        from copy import deepcopy
        t = wrap_as(type(self), self._array.copy(), self._requires_grad)
        memo[id(self)] = t
        if self._grad is not None:
            t._grad = deepcopy(self._grad, memo)
        t.__dict__.update(deepcopy(self.__dict__, memo))
        return t

    def __copy__(self) -> Any:
        t = wrap_as(type(self), self._array, self._requires_grad)
        t._edge, t._view, t._storage, t._grad = self._edge, self._view, storage_of(self), self._grad
        t.__dict__.update(self.__dict__)
        return t

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from mytorch.printing import tensor_text
        node = self.grad_fn
        prefix = "tensor(" if type(self) is Tensor or self._is_parameter() else f"{type(self).__name__}("
        tangent = None
        if hasattr(self, "_tangents"):
            from mytorch.autograd.forward_ad import unpack_dual
            tangent = unpack_dual(self).tangent
        return tensor_text(self._array, self.dtype, requires_grad=self.requires_grad, grad_fn_name=None if node is None else node.name(),
                           prefix=prefix, is_parameter=self._is_parameter(), tangent=None if tangent is None else f"{tangent}")

    def _is_parameter(self) -> bool:
        return False

    def __format__(self, spec: str) -> str:
        if self._array.ndim == 0 and type(self) is Tensor:
            from mytorch.printing import format_scalar
            return format_scalar(self._array, spec)
        return object.__format__(self, spec)

    def __len__(self) -> int:
        if not self._array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return int(self._array.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(shaping.unbind(self, 0))

    def __reversed__(self) -> Tensor:
        flipped: Tensor = shaping.flip(self, 0) if self._array.ndim else self
        return flipped

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, (TensorBase, int, float, complex)):
            return bool((self == value).any())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(value)}.")

    def __bool__(self) -> bool:
        if self._array.size != 1:
            if self._array.size == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self.item())

    is_nonzero = __nonzero__ = __bool__

    def _only(self) -> Any:
        """`item`, for Python's conversions, which raise ValueError."""
        if self._array.size != 1:
            raise ValueError(f"only one element tensors can be converted to Python scalars; this one has shape {list(self._array.shape)}")
        return self.item()

    def __int__(self) -> int:
        return int(self._only())

    def __float__(self) -> float:
        return float(self._only())

    def __complex__(self) -> complex:
        return complex(self._only())

    def __index__(self) -> int:
        if self._array.dtype.kind not in "iub" or self._array.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __hash__(self) -> int:
        return id(self)

    # ---- conversion -----------------------------------------------------------------------------------------------------------

    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, non_blocking: bool = False, memory_format: Any = None,
           other: Any = None) -> Any:
        """This tensor with another dtype (and on another device, where only 'cpu' exists); itself if nothing changes.

        `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`. Derivative: g, cast back.
        """
        for arg in args:
            if isinstance(arg, TensorBase):
                other = arg
            elif isinstance(arg, dtypes.dtype) or arg in (float, int, bool, complex):
                dtype = arg
            elif isinstance(arg, (str, devices.device)):
                device = arg
            elif isinstance(arg, bool):
                continue  # non_blocking
            elif isinstance(arg, int):
                device = devices.device("cuda", arg)
            elif arg is not None:
                raise TypeError(f"to() received an invalid combination of arguments - got ({type(arg).__name__}), but expected one of: "
                                "(torch.device device = None, torch.dtype dtype = None), (torch.dtype dtype), (Tensor other)")
        if device is not None:
            devices.require_cpu(device)
        wanted = self._array.dtype if dtype is None and other is None else other._array.dtype if dtype is None else create.as_dtype(dtype).np
        if memory_format is not None:
            form = layouts.as_format("to", memory_format, layouts.preserve_format)
            there = form is layouts.preserve_format or form is layouts.suggested(self._array)
            converted = self if wanted == self._array.dtype else apply(elementwise.to_dtype, (self,), {"dtype": wanted})
            return converted if there and not (copy and converted is self) else elementwise.clone(converted, memory_format=form)
        if wanted == self._array.dtype:
            return self.clone() if copy else self
        return apply(elementwise.to_dtype, (self,), {"dtype": wanted})

    def type(self, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
        """The legacy type name, such as 'torch.FloatTensor'; or this tensor converted to a dtype or legacy type."""
        if dtype is None:
            return f"torch.{dtypes.legacy_name(self.dtype)}Tensor"
        if getattr(dtype, "is_cuda", False) or (isinstance(dtype, str) and dtype.startswith("torch.cuda.")):  # torch.cuda.FloatTensor
            devices.require_cpu(devices.device("cuda"))
        if isinstance(dtype, str):
            return self.to(dtypes.from_legacy_name(dtype))
        found = dtype if isinstance(dtype, dtypes.dtype) else getattr(dtype, "dtype", dtype)
        if not isinstance(found, (dtypes.dtype, type)):
            raise TypeError(f"dtype must be a type, str, or dtype object, not {type(found).__name__}")
        return self.to(found)

    def as_subclass(self, cls: Any) -> Any:
        """A view of this tensor of the type of a subclass. Derivative: g.

        Raises:
            TypeError: if cls is no subclass of Tensor.
        """
        if not (isinstance(cls, type) and issubclass(cls, Tensor)):
            raise TypeError("Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. "
                            "Make sure your class inherits from Tensor.")
        view = self.view_as(self)
        view.__class__ = cls
        return view

    def record_stream(self, stream: Any) -> None:
        """Refused, as on any CPU: there are no streams to keep the memory for."""
        raise NotImplementedError("record_stream() is for tensors of an accelerator: this one is on the CPU, leave the call out")

    def type_as(self, other: Tensor) -> Any:
        """Converted to the dtype of another tensor."""
        return self.to(other)

    def float(self, *, memory_format: Any = None) -> Any:
        """Converted to float32."""
        return self.to(dtypes.float32)

    def double(self, *, memory_format: Any = None) -> Any:
        """Converted to float64."""
        return self.to(dtypes.float64)

    def half(self, *, memory_format: Any = None) -> Any:
        """Converted to float16."""
        return self.to(dtypes.float16)

    def bfloat16(self, *, memory_format: Any = None) -> Any:
        """Converted to bfloat16."""
        return self.to(dtypes.bfloat16)

    def long(self, *, memory_format: Any = None) -> Any:
        """Converted to int64, towards zero."""
        return self.to(dtypes.int64)

    def int(self, *, memory_format: Any = None) -> Any:
        """Converted to int32, towards zero."""
        return self.to(dtypes.int32)

    def short(self, *, memory_format: Any = None) -> Any:
        """Converted to int16."""
        return self.to(dtypes.int16)

    def char(self, *, memory_format: Any = None) -> Any:
        """Converted to int8."""
        return self.to(dtypes.int8)

    def byte(self, *, memory_format: Any = None) -> Any:
        """Converted to uint8."""
        return self.to(dtypes.uint8)

    def bool(self, *, memory_format: Any = None) -> Any:
        """Converted to bool: is it not zero?"""
        return self.to(dtypes.bool_)

    def cfloat(self, *, memory_format: Any = None) -> Any:
        """Converted to complex64."""
        return self.to(dtypes.complex64)

    def cdouble(self, *, memory_format: Any = None) -> Any:
        """Converted to complex128."""
        return self.to(dtypes.complex128)

    def cpu(self, *, memory_format: Any = None) -> Tensor:
        """This tensor: it is on the CPU."""
        return self

    def cuda(self, device: Any = None, non_blocking: _bool = False, memory_format: Any = None) -> Any:
        """Raises RuntimeError: there is no CUDA device here."""
        if device is not None and devices.device(device).type != "cuda":
            raise RuntimeError(f"Invalid device, must be cuda device, got '{device}'; for the CPU there is .cpu()")
        return devices.require_cpu(devices.device("cuda") if device is None else device)

    def contiguous(self, memory_format: Any = None) -> Any:
        """This tensor if its elements lie in order (or in that of another memory format), else a copy in which they do."""
        if memory_format is None or memory_format is layouts.contiguous_format:
            return self if self._array.flags.c_contiguous else apply(elementwise.contiguous_op, (self,))
        wanted = layouts.as_format("contiguous", memory_format, layouts.contiguous_format)
        if layouts.in_order(self._array, wanted.check(self._array.ndim)):
            return self
        if wanted is layouts.preserve_format:
            raise RuntimeError("preserve memory format is unsupported by the contiguous operator: ask for contiguous_format or channels_last")
        return apply(elementwise.laid_out_op, (self,), {"wanted": wanted})

    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy with memory of its own, in the same order unless memory_format says otherwise. Derivative: g."""
        return elementwise.clone(self, memory_format=memory_format)

    def new(self, *args: Any, **kwargs: Any) -> Any:
        """Legacy constructor: an uninitialised tensor of a size, one of given values, or one over a storage, with this dtype."""
        if len(args) == 1 and hasattr(args[0], "untyped"):
            return _wrap(np.empty(0, self._array.dtype)).set_(args[0])
        return _wrap(_legacy_array(args, self.dtype))

    def pin_memory(self, device: Any = None) -> Tensor:
        """This tensor: page-locked memory serves only transfers to a GPU."""
        return self

    def share_memory_(self) -> Tensor:
        """Move this tensor and all its aliases to memory that forked processes, and those it is sent to, see and may write."""
        from mytorch.multiprocessing.reductions import share
        share(self)
        return self

    def set_(self, source: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Use the memory of another tensor or of a storage from now on; `set_(source, storage_offset, size, stride)` takes a part of it."""
        from mytorch.storage import set_to
        set_to(self, source, *args, **kwargs)
        return self

    def untyped_storage(self) -> Any:
        """The bytes of the memory that it lies in."""
        from mytorch.storage import bytes_under
        return bytes_under(self)

    def storage(self) -> Any:
        """The elements of the memory that it lies in."""
        from mytorch.storage import elements_under
        return elements_under(self)

    _typed_storage = storage

    def apply_(self, function: Callable[[Any], Any]) -> Tensor:
        """Replace each element by function(element); slow, for tests."""
        if self.requires_grad:
            raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
        flat = np.array([function(v) for v in self._array.reshape(-1).tolist()]).astype(self._array.dtype)
        self._array[...] = flat.reshape(self._array.shape)
        bump(self)
        return self

    T = property(shaping.reversed_dims, doc=shaping.reversed_dims.__doc__)
    mT = property(shaping.matrix_transpose, doc=shaping.matrix_transpose.__doc__)
    H = property(lambda self: shaping.t(self).conj(), doc="The conjugate transpose of a matrix.")
    mH = property(lambda self: shaping.matrix_transpose(self).conj(), doc="The conjugate transpose of the last two dimensions.")
    real = property(elementwise.real, lambda self, value: elementwise.copy_(elementwise.real(self), value), doc=elementwise.real.__doc__)
    imag = property(elementwise.imag, lambda self, value: elementwise.copy_(elementwise.imag(self), value), doc=elementwise.imag.__doc__)


def _legacy_array(args: tuple[Any, ...], dtype: dtypes.dtype) -> ndarray[Any, Any]:
    """What torch's legacy constructors take: sizes, or data."""
    if len(args) == 1 and not isinstance(args[0], (int, Size)):
        data = args[0]
        if isinstance(data, TensorBase) and data._array.dtype == dtype.np:
            return data._array
        return create.array_of(data, dtype)
    return np.zeros(create.sizes_of("new", args), dtype.np)


def _rebuild(kind: type[Any], array: ndarray[Any, Any], dtype: dtypes.dtype, requires_grad: bool, attributes: dict[str, Any]) -> Any:
    t = wrap_as(kind, array.view(dtype.np), requires_grad)  # also: kernels ask `is FLOAT32`, and a pickled dtype is another object
    t.__dict__.update(attributes)
    return t


class _LegacyType(type):
    """The type of FloatTensor and its relatives: an instance check asks for the dtype."""

    dtype: dtypes.dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _wrap(_legacy_array(args, cls.dtype))


def legacy_types() -> dict[str, type[Any]]:
    """torch's old constructors: FloatTensor(2, 3), LongTensor([1, 2]), ..."""
    return {f"{dtypes.legacy_name(d)}Tensor": _LegacyType(f"{dtypes.legacy_name(d)}Tensor", (), {"dtype": d, "__module__": "torch"})
            for d in dtypes.ALL if d is dtypes.uint8 or (d.category != dtypes.COMPLEX and not d.name.startswith("uint"))}
