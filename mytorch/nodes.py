"""The nodes of the graph: AccumulateGrad for a leaf, BackwardFunction for an operation; and which node a tensor hangs on."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state
from mytorch.dtypes import BFLOAT16_NP, from_numpy_dtype, legacy_name
from mytorch.engine_state import Edge, Storage, TensorBase, as_array, as_tensor, get_mode, state, storage_of
from mytorch.hooks import Hooks, RemovableHandle

if TYPE_CHECKING:
    from mytorch.autograd_engine import Op
    from mytorch.grad_mode import Mode

__mytorch__ = True

_getframe = sys._getframe
NOTHING: Any = ()
FREED: list[Any] = []  # marks saved values that a first backward has released
_MAX_FRAMES = 12
BACKWARD_TWICE = ("Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
                  "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True "
                  "if you need to backward through the graph a second time or if you need to access saved tensors after calling backward.")
_accumulate_lock = threading.Lock()
_leaf_lock = threading.RLock()
# What getrefcount says in `AccumulateGrad.accumulate` of a gradient that nobody but the walk holds: one reference each in
# walk, _visit, accumulate and the call itself. From Python 3.14 on references are borrowed and the count tells less: copy.
_REFERENCES_OF_THE_WALK = 4 if sys.version_info < (3, 14) else 0


class Node:
    """One step of the graph. `next_functions` are its parents: (node or None, which output of that node)."""

    __slots__ = ("__weakref__", "_metadata", "careful", "code", "dtype", "edges", "hooks", "lasti", "outputs", "shape")

    edges: Sequence[Edge]
    shape: tuple[int, ...] | None  # of the output; None for a node with several
    dtype: Any  # the output's NumPy dtype
    outputs: list[tuple[tuple[int, ...], Any]]  # shape and dtype of each, for a node with several
    hooks: Hooks | None
    careful: bool  # more than a list of plain formulas on real arrays: the walk takes its long way
    code: Any  # of the user's function that ran the operation, and where in it: see `line`
    lasti: int

    def name(self) -> str:
        """The name shown in `grad_fn=<...>`: the operation's name and 'Backward'."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[Edge, ...]:
        """The parents: one (node, output number) per input; (None, 0) for a constant."""
        return tuple((seen(parent), nr) for parent, nr in self.edges)

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own notes on this node."""
        if not hasattr(self, "_metadata"):
            self._metadata: dict[Any, Any] = {}
        return self._metadata

    @property
    def line(self) -> str | None:
        """The line of the user's code that ran this operation, as 'file:line, in function'."""
        code = getattr(self, "code", None)
        if code is None:
            return None
        for start, end, number in code.co_lines():
            if start <= self.lasti < end and number is not None:
                return f"{code.co_filename}:{number}, in {code.co_name}"
        return f"{code.co_filename}, in {code.co_name}"

    def remember_line(self) -> None:
        """Note the nearest caller outside the library (0.2 us: a code object and an offset, no text)."""
        frame: Any = _getframe(2)
        walked = 0
        while "__mytorch__" in frame.f_globals:
            frame = frame.f_back
            walked += 1
            if frame is None or walked == _MAX_FRAMES or (walked > 4 and state.origin is not None):
                origin = state.origin
                self.code, self.lasti = (None, 0) if origin is None else (origin.code, origin.lasti)
                return
        self.code = frame.f_code
        self.lasti = frame.f_lasti

    def own_hooks(self) -> Hooks:
        """The node's hooks, made when first asked for."""
        if self.hooks is None:
            self.hooks = Hooks()
            self.careful = True
        return self.hooks

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` after this node ran; what it returns replaces grad_inputs."""
        hooks = self.own_hooks()
        return hooks.add(hooks.after, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_outputs)` before this node runs; what it returns replaces grad_outputs."""
        hooks = self.own_hooks()
        return hooks.add(hooks.before, hook)

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        """The gradient of each input from that of the output: arrays, or Tensors if `as_tensors`.

        Args:
            g: the gradient of the output; a list, with None where nothing arrived, for a node with several.
            needed: the nodes on the way to the inputs asked for: other parents may get None. None if all are wanted.
        """
        raise NotImplementedError(f"{self.name()} has no derivative")

    def watch(self, storage: Storage, nr: int) -> None:
        """Output number `nr` got a storage record, so it may be written from now on: note its version if it was saved."""

    def release(self) -> None:
        """Drop what was saved for backward."""

    def __call__(self, *grads: Any) -> Any:
        """Run the node by hand on gradients given as Tensors."""
        found = self.run(grads[0] if self.shape is not None else list(grads), True, None)
        return found[0] if len(found) == 1 else tuple(found)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """Where gradients of a leaf arrive: adds them to the leaf's `.grad`. The leaf knows it only weakly."""

    __slots__ = ("variable",)

    def __init__(self, variable: TensorBase) -> None:
        self.variable = variable
        self.edges = ()
        self.shape = variable._array.shape
        self.dtype = variable._array.dtype
        self.hooks = variable._hooks
        self.careful = True
        self.code, self.lasti = None, 0

    def own_hooks(self) -> Hooks:
        if self.hooks is None:
            self.hooks = self.variable._hooks = Hooks()
        return self.hooks

    def accumulate(self, g: Any) -> None:
        """Add a gradient (array or Tensor) to the leaf's `.grad`."""
        leaf = self.variable
        with _accumulate_lock:
            if leaf._grad is None:
                if isinstance(g, TensorBase):
                    shared = state.grad_enabled or state.mode is not None  # another leaf may get the same g
                    leaf._grad = as_tensor(g).clone() if shared else g
                else:
                    # Keep the array itself only if nobody else can write to it: torch does the same by its use count.
                    owned = type(g) is ndarray and g.base is None and sys.getrefcount(g) <= _REFERENCES_OF_THE_WALK
                    leaf._grad = engine_state.wrap(g if owned else np.array(g))
            elif state.grad_enabled:
                leaf._grad = leaf._grad + as_tensor(g)
            else:
                leaf._grad.add_(as_tensor(g))
        if self.hooks is not None:
            for hook in list(self.hooks.post_accumulate.values()):
                hook(leaf)


class BackwardFunction(Node):
    """The node of a built-in operation. Users see it as one of its operation's own class, `MulBackward0`: see `seen`."""

    __slots__ = ("conjugate", "op", "saved", "tangents", "versions")

    op: Op
    conjugate: bool  # only if careful: a complex function: its formulas, written as for real numbers, are conjugated
    saved: list[Any]  # inputs, outputs, input shapes, metadata: those that a formula names, None for the rest
    versions: list[tuple[TensorBase | Storage, int, int]]  # of each saved tensor: who knows its version, the version then, its place
    tangents: dict[int, dict[Mode, Any]]  # set by forward-mode levels: those of the saved tensors, by place

    def name(self) -> str:
        kind = type(self).__name__
        if kind in _classes:
            return kind
        from mytorch.node_names import name_of
        return name_of(self)

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        for keeper, version, place in self.versions:
            storage = keeper._storage
            if storage is not None and storage.version != version:
                raise RuntimeError(self.modified(storage, version, place))
        if self.saved is FREED:
            raise RuntimeError(BACKWARD_TWICE)
        opened = self.opened()
        if as_tensors:
            saved = self.saved_as_tensors(opened)
            if self.op.composite is not None and (state.grad_enabled or state.mode is not None):
                return self.op.composite_gradients(self, g, saved)
            return self._gradients(g, saved, needed)
        if not _holds_bfloat16(g, opened):
            return self._gradients(g, opened, needed)
        # NumPy has no arithmetic for bfloat16: let Tensors, which round through float32, do it.
        g = [as_tensor(part) for part in g] if isinstance(g, list) else as_tensor(g)
        return [as_array(d) for d in self._gradients(g, self.saved_as_tensors(opened), needed)]

    def opened(self) -> list[Any]:
        """What was saved; a subclass whose values hooks have packed unpacks them here."""
        return self.saved

    def __getattr__(self, name: str) -> Any:
        """torch's `_saved_self`, `_raw_saved_result` and so on: what the node keeps for backward."""
        if not name.startswith(("_saved_", "_raw_saved_")):
            raise AttributeError(f"'{self.name()}' object has no attribute '{name}'")
        from mytorch.autograd.saved_tensors import saved_value
        return saved_value(self, name)

    def _gradients(self, g: Any, saved: list[Any], needed: set[Node] | None) -> Sequence[Any]:
        conjugate = self.careful and getattr(self, "conjugate", False)
        if conjugate:
            g = _conjugate(g)
        if self.op.joint is not None:
            grads = list(self.op.formulas[0](g, saved, tuple(parent is not None for parent, _ in self.edges)))
        else:
            grads = [None if parent is None or (needed is not None and parent not in needed) else formula(g, saved)
                     for (parent, _), formula in zip(self.edges, self.op.formulas)]
        return [None if d is None else _conjugate(d) for d in grads] if conjugate else grads

    def saved_as_tensors(self, opened: list[Any]) -> list[Any]:
        """The saved arrays as Tensors that are attached to the graph as they were when saved."""
        saved = list(opened)
        keepers = {place: keeper for keeper, _, place in self.versions}
        count = len(self.edges)
        for i, value in enumerate(saved):
            if type(value) is not ndarray:
                continue
            tensor = engine_state.wrap(value)
            keeper = keepers.get(i)
            if keeper is not None:  # a graph made from here on shall notice later writes as well
                tensor._storage = storage_of(keeper) if isinstance(keeper, TensorBase) else keeper
            if i < count:
                parent, nr = self.edges[i]
                if type(parent) is AccumulateGrad and parent.variable._array is value:
                    tensor = parent.variable
                elif parent is not None:
                    tensor._edge = (parent, nr)
            elif i - count < self.op.output_count and value.dtype.kind in "fcV":
                tensor._edge = (self, i - count)
            saved[i] = tensor
        if get_mode() is not None:
            state.mode.attach(self, saved)
        return saved

    def watch(self, storage: Storage, nr: int) -> None:
        place = len(self.edges) + nr
        if len(self.saved) > place and self.saved[place] is not None:
            self.versions.append((storage, storage.version, place))

    def release(self) -> None:
        if self.versions or (self.saved and self.saved[-3] is not None):  # an output has no version yet if nobody can have written to it
            self.saved = FREED
            self.versions = NOTHING
            self.careful = True

    def modified(self, storage: Storage, version: int, place: int) -> str:
        value = self.saved[place]
        parent = self.edges[place][0] if place < len(self.edges) else self
        what = "a constant" if parent is None else f"output {0 if parent is self else self.edges[place][1]} of {parent.name()}"
        return ("one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[torch.{legacy_name(from_numpy_dtype(value.dtype))}Tensor {list(value.shape)}], which is {what}, is at version {storage.version}; "
                f"expected version {version} instead. Write out of place (x = x + 1, not x += 1), or clone() before writing.")


def seen(node: Any) -> Any:
    """The node as users see it, of its operation's own class. Until somebody looks, all nodes of operations are of one class:
    Python reads attributes of one class at a place in the code several times faster than those of many."""
    if type(node) is BackwardFunction:
        name = node.name()
        found = _classes.get(name)
        if found is None:
            found = _classes[name] = type(name, (BackwardFunction,), {"__slots__": ()})
        node.__class__ = found
    return node


_classes: dict[str, type[BackwardFunction]] = {}  # what users see nodes as, by name: torch's for this form of the operation


def _holds_bfloat16(g: Any, saved: Iterable[Any]) -> bool:
    parts = [*(g if isinstance(g, list) else [g]), *saved]
    return any(getattr(part, "dtype", None) == BFLOAT16_NP for part in parts)


def _is_complex(g: Any) -> bool:
    return bool(as_array(g).dtype.kind == "c")


def _conjugate(g: Any) -> Any:
    return g.conj() if _is_complex(g) else g


# ---- tensors and their nodes ---------------------------------------------------------------------------------------------------


def leaf_node(x: TensorBase) -> AccumulateGrad:
    """The AccumulateGrad node of a leaf: the one that a living graph holds, or a new one."""
    ref = x._accumulate
    node = None if ref is None else ref()
    if node is None:
        with _leaf_lock:  # threads that share the leaf must not make two: what one records, another could not find
            ref = x._accumulate
            node = None if ref is None else ref()
            if node is None:
                node = AccumulateGrad(x)
                x._accumulate = weakref.ref(node)
    return node


def gradient_edge(x: TensorBase) -> Edge | None:
    """Where gradients of x go: its own node, its AccumulateGrad if it is a leaf that requires one, else None."""
    if x._view is not None:
        x._view.refresh(x)
    if x._edge is not None:
        return x._edge
    return (leaf_node(x), 0) if x._requires_grad else None


def requires_grad(x: Any) -> bool:
    """Does a gradient flow to x?"""
    if not isinstance(x, TensorBase):
        return False
    if x._edge is None and x._view is not None:
        x._view.refresh(x)
    return x._edge is not None or x._requires_grad
