"""`Function`: an operation whose forward and backward the user writes on Tensors, as in torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from numpy import ndarray

from mytorch import engine_state
from mytorch.autograd_engine import Node, TensorBase, gradient_edge, no_grad, requires_grad, set_grad_enabled, state, storage_of
from mytorch.engine_state import as_tensor
from mytorch.inplace import bump, check_inplace, rebase
from mytorch.nodes import BACKWARD_TWICE, attach, copy_of, edge_to, node_of, number_of

__mytorch__ = True


class FunctionCtx:
    """What `forward` tells `backward`. The context is the node itself."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for backward, with a check that they are not written in the meantime. None is allowed.

        Raises:
            TypeError: for anything else; keep that as an attribute of ctx.
        """
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, TensorBase):
                raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for `jvp`."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward has written in place; they must be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Shall backward get zeros (the default) or None for an output without a gradient?"""
        self.materialize_grads = bool(value)


class UserNode(Node, FunctionCtx):
    """The node of a user's Function, and the `ctx` that its methods get."""

    _function: type[Function]
    materialize_grads = True
    _to_save: tuple[Any, ...] = ()
    _dirty: tuple[Any, ...] = ()
    _non_differentiable: tuple[Any, ...] = ()
    _saved: list[Any] | None = None
    needs_input_grad: tuple[bool, ...] = ()
    tangents: dict[int, Any] | None = None  # of the outputs at each forward-mode level
    _notes: dict[str, Any] | None = None  # what the user called ctx.shape and the like: names that nodes use themselves

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {id(self):#x}>"

    def take_notes(self) -> None:
        """Put aside what the user's method has set under a name that the engine needs."""
        self._notes = {name: getattr(self, name) for name in ("shape", "dtype", "outputs", "code") if hasattr(self, name)} or None

    def serve(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the user's with this node as its ctx."""
        if self._notes is None:
            return method(self, *args)
        own = {name: getattr(self, name) for name in self._notes}
        for name, value in self._notes.items():
            setattr(self, name, value)
        try:
            return method(self, *args)
        finally:
            for name, value in own.items():
                setattr(self, name, value)

    def keep(self, outputs: Sequence[Any]) -> None:
        """Store what was saved. An output is stored without its node, so that no reference cycle exists."""
        kept: list[Any] = []
        for t in self._to_save:
            if t is None:
                kept.append(None)
                continue
            storage = storage_of(t)
            place = next((i for i, y in enumerate(outputs) if y is t), None)
            nr = None if t._edge is None else place  # an output without a gradient stays without one
            if state.mode is not None:  # saved-tensor hooks are a mode, too
                from mytorch.autograd.saved_tensors import pack_for_function
                packed = pack_for_function(t, place, self)
                if packed is not None:
                    kept.append((packed, nr, storage, storage.version))
                    continue
            kept.append((t if place is None else t._array, nr, storage, storage.version))
        self._saved = kept
        self._to_save = ()

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to `save_for_backward`.

        Raises:
            RuntimeError: if one was written since, or a first backward has freed them.
        """
        if self._saved is None:
            raise RuntimeError(BACKWARD_TWICE)
        return tuple(self._unpack(item) for item in self._saved)

    saved_variables = saved_tensors

    def _unpack(self, item: Any) -> Any:
        if item is None:
            return None
        nr: int | None
        value: Any
        value, nr, storage, version = item
        if not isinstance(value, (TensorBase, ndarray)):  # packed by hooks
            tensor = value.open_attached()
            if nr is not None:
                tensor._edge = copy_of(edge_to(self, nr))
            return tensor
        if storage.version != version:
            shape = list((value._array if isinstance(value, TensorBase) else value).shape)
            raise RuntimeError("one of the variables needed for gradient computation has been modified by an inplace operation: a tensor "
                               f"of shape {shape} saved by {self.name()} is at version {storage.version}; expected version {version} instead.")
        if isinstance(value, TensorBase):
            return value
        tensor = engine_state.wrap(value)
        tensor._storage = storage
        if nr is not None:
            attach(tensor, edge_to(self, nr))
        if self.tangents is not None and nr in self.tangents:
            tensor._tangents = self.tangents[nr]
        return tensor

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        grads = g if isinstance(g, list) else [g]
        given = []
        for d, (shape, dtype) in zip(grads, self.outputs, strict=True):
            if d is None and dtype is not None and self.materialize_grads:
                import numpy as np
                d = np.zeros(shape, dtype)
            given.append(as_tensor(d))
        found = self._call(given)
        return [self._checked(i, d, as_tensors) for i, d in enumerate(found)]

    def _call(self, given: list[Any]) -> Sequence[Any]:
        function = self._function
        # a subclass may define either; vjp is another name of backward
        other = function.vjp is not Function.vjp
        if other and function.backward is not Function.backward:
            raise RuntimeError("Implementing both 'backward' and 'vjp' for a custom Function is not allowed. "
                               "You should only implement one of them.")
        result = self.serve(function.vjp if other else function.backward, *given)
        found = result if isinstance(result, tuple) else (result,)
        count = len(self.edges)
        if len(found) > count and all(d is None for d in found[count:]):
            found = found[:count]
        if len(found) != count:
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients (expected {count}, got {len(found)})")
        return found

    def _checked(self, i: int, d: Any, as_tensors: bool) -> Any:
        edge = self.edges[i]
        parent, nr = node_of(edge), number_of(edge)
        if d is None or parent is None:
            return None
        if not isinstance(d, TensorBase):
            raise RuntimeError(f"expected Variable or None (got {type(d).__name__}) as gradient {i} of {self.name()}")
        shape = parent.shape if parent.shape is not None else parent.outputs[nr][0]
        given = d._array.shape
        if given != shape and (len(given) < len(shape) or any(n not in (1, m) for n, m in zip(shape[::-1], given[::-1], strict=False))):
            raise RuntimeError(f"Function {self.name()} returned an invalid gradient at index {i} - got {list(given)} but expected shape "
                               f"compatible with {list(shape)}")
        return d if as_tensors else d._array

    def release(self) -> None:
        if self._saved:
            self._saved = None


class _FunctionMeta(type):
    """Gives every Function its class of nodes, named after it."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        cls._backward_cls = type(f"{name}Backward", (UserNode,), {"_function": cls})


class Function(metaclass=_FunctionMeta):
    """Subclass it with static methods `forward(ctx, *args)` (or `forward(*args)` and `setup_context(ctx, inputs, output)`)
    and `backward(ctx, *grad_outputs)`, and call it through `apply`.

    `backward` returns one gradient, or None, per argument of forward.
    """

    _backward_cls: type[UserNode]

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from the arguments."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save for backward what forward computed; optional."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments from those of the outputs."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function to use it "
                                  "with backward mode AD.")

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Compute the tangents of the outputs from those of the arguments, for forward mode; None stands for zero."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    generate_vmap_rule = False  # may vmap run it example by example?

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """Run the function on a batch: args with the batch at in_dims; return the output and where its batch is.

        Args:
            info: has batch_size and randomness.
        """
        raise NotImplementedError("To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
                                  "generate_vmap_rule=True.")

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name of `backward`."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function to use it "
                                  "with backward mode AD.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function "
                           "with static forward method.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and put a node into the graph whose backward is the user's."""
        if state.mode is not None:
            return state.mode.handle_function(cls, cls._run, args, kwargs)[0]
        return cls._run(args, kwargs)[0]

    @classmethod
    def _run(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, UserNode]:
        """The output, and the node that served as ctx."""
        node: UserNode = object.__new__(cls._backward_cls)
        node.hooks = None
        node.careful = True
        tensors = [a for a in args if isinstance(a, TensorBase)]
        node.needs_input_grad = tuple(requires_grad(a) for a in args)
        track = state.grad_enabled and any(node.needs_input_grad)
        node._storage = None
        node.edges = [gradient_edge(a) if track and isinstance(a, TensorBase) else None for a in args]
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(node, args, output)
            else:
                output = cls.forward(node, *args, **kwargs)
        outputs = list(output) if isinstance(output, tuple) else [output]
        outputs = [_fresh(node, y, tensors) if isinstance(y, TensorBase) else y for y in outputs]
        if any(all(d is not y for y in outputs) for d in node._dirty):
            raise RuntimeError("Some elements marked as dirty during the forward method were not returned as output. The inputs that are "
                               "modified inplace must all be outputs of the Function.")
        if not track:
            node.keep([])
            for y in node._dirty:
                bump(y)
            return tuple(outputs) if isinstance(output, tuple) else outputs[0], node
        node.take_notes()
        node.remember_line(sys._getframe(1))
        node.shape = None
        node.dtype = None
        node.outputs = [(y._array.shape, y._array.dtype) if isinstance(y, TensorBase) else ((), None) for y in outputs]
        _link(node, args, outputs)
        node.keep(outputs)
        return tuple(outputs) if isinstance(output, tuple) else outputs[0], node


def _fresh(node: UserNode, y: Any, inputs: list[Any]) -> Any:
    """An output of its own: an input that is returned unwritten becomes an alias."""
    if any(y is d for d in node._dirty):
        return y
    if any(y is x for x in inputs) or y._edge is not None or y._requires_grad:
        alias = engine_state.wrap(y._array)
        alias._storage = storage_of(y)
        if any(y is d for d in node._non_differentiable):
            node._non_differentiable = (*node._non_differentiable, alias)
        node._to_save = tuple(alias if t is y and not any(y is x for x in inputs) else t for t in node._to_save)
        return alias
    return y


def _link(node: UserNode, args: Sequence[Any], outputs: list[Any]) -> None:
    """Make the outputs children of the node; those that are inputs written in place get it as their new node."""
    for nr, y in enumerate(outputs):
        if not isinstance(y, TensorBase):
            continue
        if any(y is d for d in node._dirty):
            with set_grad_enabled(True):
                check_inplace(y)
            bump(y)
            if y._view is not None and len(outputs) > 1:
                raise RuntimeError("If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return "
                                   "more than one Tensor. Write to a clone() of it, or split the Function in two.")
            rebase(y, node, nr, next((i for i, a in enumerate(args) if a is y), 0))
        elif y._array.dtype.kind in "fcV" and not any(y is t for t in node._non_differentiable):
            attach(y, edge_to(node, nr))


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a `backward` that cannot be differentiated itself: a second derivative through it raises RuntimeError."""
    from functools import wraps

    @wraps(function)
    def backward(ctx: Any, *grads: Any) -> Any:
        recording = state.grad_enabled
        with no_grad():
            result = function(ctx, *grads)
        if not recording or not any(requires_grad(g) for g in (*grads, *ctx.saved_tensors)):
            return result
        found = result if isinstance(result, tuple) else (result,)
        detached: list[Any] = list(found)
        marked = _Refuse.apply(len(found), *[d if d is None else d.detach() for d in detached],
                               *[g for g in (*grads, *ctx.saved_tensors) if requires_grad(g)])
        return marked if isinstance(result, tuple) else marked[0]

    return backward


class _Refuse(Function):
    """Passes gradients on; its own backward refuses."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Any) -> Any:
        return tuple(t if t is None else t.clone() for t in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


BackwardCFunction, FunctionMeta = UserNode, _FunctionMeta  # torch's names

__all__ = ["BackwardCFunction", "Function", "FunctionCtx", "FunctionMeta", "UserNode", "once_differentiable"]
