"""The nodes of the graph: AccumulateGrad for a leaf, BackwardFunction for an operation; and which node a tensor hangs on."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state
from mytorch.backends import MANY, NO_VIEW
from mytorch.dtypes import BFLOAT16_NP, from_numpy_dtype, legacy_name
from mytorch.engine_state import InferenceStorage, Storage, TensorBase, as_array, as_tensor, get_grad_enabled, get_mode, get_origin, state, storage_of
from mytorch.hooks import Hooks, RemovableHandle
from mytorch.late_product import taken

if TYPE_CHECKING:
    from mytorch.autograd_engine import Op
    from mytorch.engine_state import Edge
    from mytorch.grad_mode import Mode

__mytorch__ = True

NOTHING: Any = ()
NO_VERSIONS: Any = MappingProxyType({})  # nothing of what was saved had been written before
FREED: list[Any] = []  # marks saved values that a first backward has released
NO_VALUE, SEVERAL_VALUES = -1, -2  # in place of the place of the one saved value that a formula names
_MAX_FRAMES = 12
BACKWARD_TWICE = ("Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
                  "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True "
                  "if you need to backward through the graph a second time or if you need to access saved tensors after calling backward.")
_accumulate_lock = threading.Lock()
_leaf_lock = threading.RLock()
# What getrefcount adds in `AccumulateGrad.accumulate` to the references of the walk: one of that method and one of the call
# itself. From Python 3.14 on references are borrowed and the count tells less: copy.
_OWN_REFERENCES = 2 if sys.version_info < (3, 14) else -100


class Node:
    """One step of the graph. Its edges lead to its parents: for each input the output of the node that made it, None for a constant.

    An edge to the only output of a node, or the first of several, is that node itself: most edges are, and they cost no object.
    """

    __slots__ = ("__weakref__", "_metadata", "_storage", "careful", "code", "dtype", "edges", "hooks", "lasti", "outputs", "shape")

    edges: Sequence[Edge | None]
    _storage: Storage | None  # that of the (first) output: it counts the writes to it; None as long as nobody can have written
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
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The parents: one (node, output number) per input; (None, 0) for a constant."""
        return tuple((seen(node_of(edge)), number_of(edge)) for edge in self.edges)

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

    def remember_line(self, frame: Any) -> None:
        """Note the nearest caller outside the library, from this frame on: a code object and an offset, no text (0.1 us a frame)."""
        origin = get_origin()
        for _ in range(_MAX_FRAMES if origin is None else 5):  # inside a derivative that is recorded, the user is far away
            if "__mytorch__" not in frame.f_globals:
                self.code = frame.f_code
                self.lasti = frame.f_lasti
                return
            frame = frame.f_back
            if frame is None:
                break
        self.code, self.lasti = (None, 0) if origin is None else (origin.code, origin.lasti)

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

    def release(self) -> None:
        """Drop what was saved for backward."""

    def __call__(self, *grads: Any) -> Any:
        """Run the node by hand on gradients given as Tensors."""
        found = self.run(grads[0] if self.shape is not None else list(grads), True, None)
        return found[0] if len(found) == 1 else tuple(found)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class Output:
    """An edge to a later output of a node that has several; also one for a copy of an output, whose writes are counted apart."""

    __slots__ = ("_storage", "node", "nr")

    shape = dtype = None  # the node's list knows: see Node.outputs

    def __init__(self, node: Node, nr: int) -> None:
        self.node = node
        self.nr = nr
        self._storage: Storage | None = None


def node_of(edge: Any) -> Any:
    """The node that an edge leads to; None for a constant."""
    return edge.node if type(edge) is Output else edge


def number_of(edge: Any) -> int:
    """Which of the node's outputs an edge leads to."""
    return edge.nr if type(edge) is Output else 0


class AccumulateGrad(Node):
    """Where gradients of a leaf arrive: adds them to the leaf's `.grad`. The leaf knows it only weakly."""

    __slots__ = ("variable",)

    edges = ()
    careful = True
    code, lasti = None, 0

    def __init__(self, variable: TensorBase) -> None:
        array = variable._array
        self.variable = variable
        self._storage = variable._storage
        self.shape = array.shape
        self.dtype = array.dtype
        self.hooks = variable._hooks

    def own_hooks(self) -> Hooks:
        if self.hooks is None:
            self.hooks = self.variable._hooks = Hooks()
        return self.hooks

    def accumulate(self, g: Any, holders: int = 0) -> None:
        """Add a gradient (array or Tensor) to the leaf's `.grad`; `holders`: how many references to it the walk has."""
        leaf = self.variable
        with _accumulate_lock:
            if leaf._grad is None:
                if isinstance(g, TensorBase):
                    shared = state.grad_enabled or state.mode is not None  # another leaf may get the same g
                    leaf._grad = as_tensor(g).clone() if shared else g
                else:
                    # Keep the array itself only if nobody else can write to it: torch does the same by its use count.
                    owned = type(g) is ndarray and type(g.base) in NO_VIEW and sys.getrefcount(g) <= holders + _OWN_REFERENCES
                    leaf._grad = engine_state.wrap(g if owned else np.array(g))
            elif get_grad_enabled():
                leaf._grad = leaf._grad + as_tensor(g)
            else:
                _add_to(leaf._grad, g)
        if self.hooks is not None:
            for hook in list(self.hooks.post_accumulate.values()):
                hook(leaf)


def _add_to(total: Any, g: Any) -> None:
    """total += g, unrecorded: without the questions that an in-place operation asks, where the answers are plain to see."""
    array = total._array
    if (type(g) is ndarray and g.dtype is array.dtype and g.dtype.kind == "f" and g.shape == array.shape and g.size < MANY
            and array.flags.c_contiguous and array.flags.writeable and total._edge is None is total._view and not total._requires_grad
            and get_mode() is None and type(total._storage) is not InferenceStorage):
        np.add(array, g, out=array)
        storage_of(total).version += 1
    else:
        total.add_(as_tensor(g))


class BackwardFunction(Node):
    """The node of a built-in operation. Users see it as one of its operation's own class, `MulBackward0`: see `seen`."""

    __slots__ = ("conjugate", "keepers", "op", "saved", "tangents", "versions")

    op: Op
    conjugate: bool  # only if careful: a complex function: its formulas, written as for real numbers, are conjugated
    saved: list[Any]  # inputs, outputs, input shapes, metadata: those that a formula names, None for the rest
    # Set only if something was saved. An edge knows the storage of what was saved from there, and the output's is the node's own:
    keepers: tuple[TensorBase, ...]  # saved tensors that no edge leads to: constants, and later outputs
    versions: Any  # dict[Storage, int]: of the storages that had been written by then; None if only shapes and settings were saved
    tangents: dict[int, dict[Mode, Any]]  # set by forward-mode levels: those of the saved tensors, by place

    def name(self) -> str:
        kind = type(self).__name__
        if kind in _classes:
            return kind
        from mytorch.node_names import name_of
        return name_of(self)

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        if self.saved is FREED:
            raise RuntimeError(BACKWARD_TWICE)
        self.check_versions()
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
            needs = tuple(edge is not None for edge in self.edges)
            grads = [taken(d) if need else None for d, need in zip(self.op.formulas[0](g, saved, needs), needs)]
        else:
            grads = [None if edge is None or (needed is not None and node_of(edge) not in needed) else formula(g, saved)
                     for edge, formula in zip(self.edges, self.op.formulas)]
        return [None if d is None else _conjugate(d) for d in grads] if conjugate else grads

    def saved_as_tensors(self, opened: list[Any]) -> list[Any]:
        """The saved arrays as Tensors that are attached to the graph as they were when saved."""
        saved = list(opened)
        count = len(self.edges)
        for i, value in enumerate(saved):
            if type(value) is not ndarray:
                continue
            tensor = engine_state.wrap(value)
            for keeper in self.keepers:
                if keeper._array is value:  # a graph made from here on shall notice later writes as well
                    tensor._storage = storage_of(keeper)
            if i < count:
                edge = self.edges[i]
                if type(edge) is AccumulateGrad and edge.variable._array is value:
                    tensor = edge.variable
                elif edge is not None:
                    attach(tensor, edge if value is self.saved[i] else copy_of(edge))
            elif i - count < self.op.output_count - self.op.kept and value.dtype.kind in "fcV":
                attach(tensor, edge_to(self, i - count))
            saved[i] = tensor
        if get_mode() is not None:
            state.mode.attach(self, saved)
        return saved

    def check_versions(self) -> None:
        """RuntimeError if a saved tensor was written since it was saved."""
        if self.saved:
            versions = self.versions or NO_VERSIONS
            place = 0
            for edge in self.edges:
                storage = None if edge is None else edge._storage
                if storage is not None and storage.version != versions.get(storage, 0):
                    self.check_version(storage, place)
                place += 1
            if self._storage is not None:
                self.check_version(self._storage, place)
            for keeper in self.keepers:
                if keeper._storage is not None and keeper._storage.version != versions.get(keeper._storage, 0):
                    self.check_keeper(keeper)

    def check_version(self, storage: Storage, place: int) -> None:
        """The same for what was saved at one place, whose storage this is: that of an edge, or of the output, which come after the inputs."""
        value = self.saved[place] if self.saved else None
        if type(value) is ndarray and storage.version != self.versions.get(storage, 0):  # hooks may have packed it: torch leaves it unchecked
            edge = self.edges[place] if place < len(self.edges) else self
            self._refuse(storage, value, f"output {number_of(edge)} of {node_of(edge).name()}")

    def check_keeper(self, keeper: TensorBase) -> None:
        """The same for a saved tensor that no edge leads to."""
        storage = storage_of(keeper)
        if storage.version != self.versions.get(storage, 0):
            count = len(self.edges)
            outputs = [nr for nr, value in enumerate(self.saved[count:]) if value is keeper._array]
            self._refuse(storage, keeper._array, f"output {outputs[0]} of {self.name()}" if outputs else "a constant")

    def release(self) -> None:
        if self.saved and self.versions is not None:  # shapes and settings stay, and serve a second backward
            self.saved = FREED
            self.keepers = NOTHING
            self.careful = True

    def _refuse(self, storage: Storage, value: ndarray[Any, Any], what: str) -> None:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[torch.{legacy_name(from_numpy_dtype(value.dtype))}Tensor {list(value.shape)}], which is {what}, is at version {storage.version}; "
            f"expected version {self.versions.get(storage, 0)} instead. "
            "Write out of place (x = x + 1, not x += 1), or clone() before writing.")


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
    return leaf_node(x) if x._requires_grad else None


def edge_to(node: Node, nr: int) -> Edge:
    """The edge to an output of a node."""
    return node if nr == 0 else Output(node, nr)


def copy_of(edge: Edge) -> Edge:
    """The same edge for other memory, whose writes are counted apart."""
    return Output(node_of(edge), number_of(edge))


def attach(x: TensorBase, edge: Edge) -> None:
    """Make x the tensor at an edge: from now on both know the same record of its memory."""
    x._edge = edge
    if edge._storage is None:
        edge._storage = x._storage
    else:
        x._storage = edge._storage


def bare(x: TensorBase) -> TensorBase:
    """The memory of x and the record of its writes, without x's place in the graph: a node may keep that of its own output."""
    found: TensorBase = engine_state.wrap(x._array)
    found._storage = storage_of(x)
    return found


def requires_grad(x: Any) -> bool:
    """Does a gradient flow to x?"""
    if not isinstance(x, TensorBase):
        return False
    if x._edge is None and x._view is not None:
        x._view.refresh(x)
    return x._edge is not None or x._requires_grad
