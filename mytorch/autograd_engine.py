"""The autograd engine: how an operation becomes a node, and how a gradient finds its way back.

Running an operation goes through one door, `apply`:

1. the forward kernel runs on the arrays of the inputs;
2. if an input needs a gradient, a node is made. It remembers the operation, what the derivative formulas will need, and
   its edges: for each input the parent's own node, an `AccumulateGrad` node for a leaf that requires a gradient, or
   None for a constant;
3. the node is stored on the output tensor, where users see it as `grad_fn`.

`backward` walks that graph once, in reverse topological order. Each node turns the gradient of its output into one
gradient per input and hands it to the parent; leaves add it to `.grad`.

A built-in operation (`Op`) is a kernel on arrays and one formula per input. Formulas use only operators and functions
that hold for arrays and for Tensors alike: the walk hands them arrays, or Tensors under `create_graph=True`, so that the
same formula serves first and higher derivatives.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state
from mytorch.dtypes import BFLOAT16_NP, from_numpy_dtype, legacy_name
from mytorch.engine_state import CONSTANT, Edge, Storage, TensorBase, as_array, as_tensor, get_grad_enabled, get_mode, register, state, storage_of
from mytorch.grad_mode import Mode, enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from mytorch.hooks import Hooks, RemovableHandle

__mytorch__ = True

_getframe = sys._getframe
_NOTHING: Any = ()
_FREED: list[Any] = []  # marks saved values that a first backward has released
_MAX_FRAMES = 12
BACKWARD_TWICE = ("Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
                  "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True "
                  "if you need to backward through the graph a second time or if you need to access saved tensors after calling backward.")
_FLOAT32 = np.dtype(np.float32)
_accumulate_lock = threading.Lock()
# What getrefcount says in `AccumulateGrad.accumulate` of a gradient that nobody but the walk holds: one reference each in
# walk, _visit, accumulate and the call itself. From Python 3.14 on references are borrowed and the count tells less: copy.
_REFERENCES_OF_THE_WALK = 4 if sys.version_info < (3, 14) else 0


# ---- nodes --------------------------------------------------------------------------------------------------------------------


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
        return tuple(self.edges)

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
        if not leaf._requires_grad:  # since the forward pass: detach_(), or requires_grad_(False)
            return
        with _accumulate_lock:
            if leaf._grad is None:
                if isinstance(g, TensorBase):
                    leaf._grad = as_tensor(g).clone() if state.grad_enabled else g  # another leaf may get the same g
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
    """The node of a built-in operation. Each `Op` has its own subclass, named after it: `MulBackward0`."""

    __slots__ = ("conjugate", "saved", "versions")

    op: Op
    formulas: list[Callable[..., Any]]
    conjugate: bool  # only if careful: a complex function: its formulas, written as for real numbers, are conjugated
    saved: list[Any]  # inputs, outputs, input shapes, metadata: those that a formula names, None for the rest
    versions: list[tuple[TensorBase | Storage, int, int]]  # of each saved tensor: who knows its version, the version then, its place

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        for keeper, version, place in self.versions:
            storage = keeper._storage
            if storage is not None and storage.version != version:
                raise RuntimeError(self.modified(storage, version, place))
        if self.saved is _FREED:
            raise RuntimeError(BACKWARD_TWICE)
        if as_tensors:
            saved = self.saved_as_tensors()
            if self.op.composite is not None and state.grad_enabled:
                return _differentiate_composite(self, g, saved)
            return self._gradients(g, saved, needed)
        if not _holds_bfloat16(g, self.saved):
            return self._gradients(g, self.saved, needed)
        # NumPy has no arithmetic for bfloat16: let Tensors, which round through float32, do it.
        g = [as_tensor(part) for part in g] if isinstance(g, list) else as_tensor(g)
        return [as_array(d) for d in self._gradients(g, self.saved_as_tensors(), needed)]

    def _gradients(self, g: Any, saved: list[Any], needed: set[Node] | None) -> Sequence[Any]:
        conjugate = self.careful and getattr(self, "conjugate", False)
        if conjugate:
            g = _conjugate(g)
        if self.op.joint is not None:
            grads = list(self.formulas[0](g, saved, tuple(parent is not None for parent, _ in self.edges)))
        else:
            grads = [None if parent is None or (needed is not None and parent not in needed) else formula(g, saved)
                     for (parent, _), formula in zip(self.edges, self.formulas)]
        return [None if d is None else _conjugate(d) for d in grads] if conjugate else grads

    def saved_as_tensors(self) -> list[Any]:
        """The saved arrays as Tensors that are attached to the graph as they were when saved."""
        saved = list(self.saved)
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
        return saved

    def release(self) -> None:
        if self.versions:
            self.saved = _FREED
            self.versions = _NOTHING
            self.careful = True

    def modified(self, storage: Storage, version: int, place: int) -> str:
        value = self.saved[place]
        parent = self.edges[place][0] if place < len(self.edges) else self
        what = "a constant" if parent is None else f"output {0 if parent is self else self.edges[place][1]} of {parent.name()}"
        return ("one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[torch.{legacy_name(from_numpy_dtype(value.dtype))}Tensor {list(value.shape)}], which is {what}, is at version {storage.version}; "
                f"expected version {version} instead. Write out of place (x = x + 1, not x += 1), or clone() before writing.")


def _holds_bfloat16(g: Any, saved: Iterable[Any]) -> bool:
    parts = [*(g if isinstance(g, list) else [g]), *saved]
    return any(getattr(part, "dtype", None) == BFLOAT16_NP for part in parts)


def _differentiate_composite(node: BackwardFunction, g: Any, saved: list[Any]) -> Sequence[Any]:
    """Gradients of a fused operation as Tensors with a graph of their own, through the plain composition of operations."""
    op = node.op
    assert op.composite is not None
    count = len(node.edges)
    attached = [_alias(x) if isinstance(x, TensorBase) and parent is not None else x
                for x, (parent, _) in zip(saved[:count], node.edges, strict=True)]
    outputs = op.composite(*attached, *saved[count:count + op.output_count], **(saved[-1] or {}))
    targets = [x for x, (parent, _) in zip(attached, node.edges, strict=True) if parent is not None]
    pairs = [(y, dy) for y, dy in zip(_as_list(outputs), _as_list(g), strict=False) if dy is not None and requires_grad(y)]
    found = iter(grad([y for y, _ in pairs], targets, [dy for _, dy in pairs], create_graph=True, allow_unused=True))
    return [None if parent is None else next(found) for parent, _ in node.edges]


def _alias(x: TensorBase) -> Any:
    return apply(_identity, (x,))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


# ---- operations ---------------------------------------------------------------------------------------------------------------


class Op:
    """A built-in operation: a kernel on arrays and its derivative.

    Args:
        name: torch's name of the operation; its node is called after it.
        kernel: function of arrays (positional) and metadata (keyword) that returns an array or a tuple of arrays.
        formulas: one per input, each giving the gradient of that input. A formula names what it needs and nothing else
            is kept: `g`, the gradient of the output, then inputs (by the names in `inputs`), the output `y` (or the names
            in `outputs`), `<input>_shape`, or metadata. None for an input without a derivative: asking for it raises.
        joint: instead of formulas, one function that returns the gradients of all inputs at once (it may also name
            `needs`, a tuple of bools, and `inputs`, all inputs, where their number varies).
        outputs: names of the outputs; `g` is then a list with one gradient, or None, per output.
        view: the output is a view of the first input's memory wherever NumPy's is.
        holomorphic: complex differentiable; then a formula is written as for real numbers and conjugated here.
        composite: a plain composition of other operations with the same result, which is what `create_graph=True`
            differentiates where the formulas are not differentiable themselves.
    """

    __slots__ = ("_plans", "composite", "formulas", "holomorphic", "inputs", "joint", "keeps_output", "kernel", "name", "node_class",
                 "output_count", "outputs", "several", "uses", "variadic", "view")

    def __init__(self, name: str, kernel: Callable[..., Any], *formulas: Callable[..., Any] | None, inputs: str | None = None,
                 joint: Callable[..., Any] | None = None, outputs: str = "y", view: bool = False, holomorphic: bool = True,
                 composite: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.kernel = kernel
        self.view = view
        self.holomorphic = holomorphic
        self.composite = composite
        self.outputs = outputs.split()
        self.output_count = len(self.outputs)
        self.several = outputs != "y"
        self.inputs = _positional_names(kernel) if inputs is None else inputs.split()
        self.joint = joint
        self.variadic = joint is not None  # the number of inputs may differ from call to call
        self.uses = [_argument_names(f)[1:] for f in formulas] if joint is None else [_argument_names(joint)[1:]]
        self.keeps_output = any(name in self.outputs for names in self.uses for name in names)
        self.formulas = [self._bind(f, names) for f, names in zip(formulas if joint is None else (joint,), self.uses, strict=True)]
        self._plans: dict[Any, tuple[list[int], list[int], bool, bool]] = {}
        title = "".join(part.capitalize() for part in name.strip("_").split("_"))
        self.node_class = type(f"{title}Backward0", (BackwardFunction,), {"__slots__": (), "op": self, "formulas": self.formulas})

    def __call__(self, *inputs: Any, **meta: Any) -> Any:
        """The operation on arrays or on Tensors, whichever it is given."""
        for x in inputs:
            if isinstance(x, TensorBase):
                return apply(self, inputs, meta)
        # arithmetic of 0-d arrays in a formula makes NumPy scalars, which kernels would take for Python numbers
        return self.kernel(*[np.asarray(x) if isinstance(x, np.generic) else x for x in inputs], **meta)

    def plan(self, mask: int, count: int) -> tuple[list[int], list[int], bool, bool]:
        """What the formulas of the inputs in `mask` need: input positions, output positions, input shapes?, metadata?"""
        key = (mask, count) if self.variadic else mask
        plan = self._plans.get(key)
        if plan is None:
            if self.joint is not None:
                names = set(self.uses[0])
            else:
                names = {name for i, used in enumerate(self.uses) if mask >> i & 1 for name in used}
            every = "inputs" in names
            ins = [i for i in range(count) if every or (i < len(self.inputs) and self.inputs[i] in names)]
            outs = [i for i, name in enumerate(self.outputs) if name in names]
            if self.composite is not None:
                ins = list(range(count))
            shapes = any(name.endswith("_shape") for name in names) or "shapes" in names
            known = {*self.inputs, *self.outputs, "inputs", "needs", "shapes"}
            meta = self.composite is not None or any(name not in known and not name.endswith("_shape") for name in names)
            plan = self._plans[key] = (ins, outs, shapes, meta)
        return plan

    def _bind(self, formula: Callable[..., Any] | None, names: list[str]) -> Callable[..., Any]:
        """The formula as a function of (g, saved), or (g, saved, needs) if joint; the names it uses are looked up once, here."""
        if formula is None:
            def refuse(g: Any, saved: Any) -> Any:
                raise NotImplementedError(f"derivative for {self.name} is not implemented")
            return refuse
        if self.joint is not None:
            finders = [self._finder(name) for name in names]
            return lambda g, saved, needs: formula(g, *[find(saved, needs) for find in finders])
        if not names:
            return lambda g, saved: formula(g)
        if all(name in self.inputs or name in self.outputs for name in names):
            places = [self.inputs.index(n) if n in self.inputs else len(self.inputs) + self.outputs.index(n) for n in names]
            if len(places) == 1:
                place = places[0]
                return lambda g, saved: formula(g, saved[place])
            return lambda g, saved: formula(g, *[saved[place] for place in places])
        finders = [self._finder(name) for name in names]
        return lambda g, saved: formula(g, *[find(saved, None) for find in finders])

    def _finder(self, name: str) -> Callable[[list[Any], Any], Any]:
        # saved: the inputs (their number may vary), the outputs, then the inputs' shapes, then the metadata
        if name == "needs":
            return lambda saved, needs: needs
        if name == "inputs":
            return lambda saved, needs: saved[:-2 - self.output_count]
        if name == "shapes":
            return lambda saved, needs: saved[-2]
        if name in self.outputs:
            place = self.outputs.index(name) - 2 - self.output_count
            return lambda saved, needs: saved[place]
        if name in self.inputs:
            place = self.inputs.index(name)
            return lambda saved, needs: saved[place]
        if name.endswith("_shape") and name[:-6] in self.inputs:
            place = self.inputs.index(name[:-6])
            return lambda saved, needs: saved[-2][place]
        return lambda saved, needs: saved[-1][name]


def _argument_names(function: Callable[..., Any] | None) -> list[str]:
    if function is None:
        return ["g"]
    code = function.__code__
    return list(code.co_varnames[:code.co_argcount + code.co_kwonlyargcount])


def _positional_names(function: Callable[..., Any]) -> list[str]:
    code = getattr(function, "reference", function).__code__
    return list(code.co_varnames[:code.co_argcount])


def _is_complex(g: Any) -> bool:
    return bool(as_array(g).dtype.kind == "c")


def _conjugate(g: Any) -> Any:
    return g.conj() if _is_complex(g) else g


# ---- the door -----------------------------------------------------------------------------------------------------------------


def apply(op: Op, inputs: tuple[Any, ...], meta: dict[str, Any] | None = None) -> Any:
    """Run an operation on Tensors (and constants) and, where a gradient is needed, put its node into the graph."""
    if get_mode() is not None:
        return state.mode.handle(apply, op, inputs, meta)
    arrays = []
    edges = []
    mask = 0
    bit = 1
    for x in inputs:
        if isinstance(x, TensorBase):
            arrays.append(x._array)
            if x._view is not None:
                x._view.refresh(x)
            edge = x._edge
            if edge is None and x._requires_grad:
                edge = (leaf_node(x), 0)
            if edge is None:
                edges.append(CONSTANT)
            else:
                mask |= bit
                edges.append(edge)
        else:
            arrays.append(x)
            edges.append(CONSTANT)
        bit += bit
    y = op.kernel(*arrays, **meta) if meta else op.kernel(*arrays)
    if op.several:
        return _finish(op, inputs, arrays, edges, mask, meta, y)
    out = engine_state.wrap(y)
    if op.view:
        engine_state.note_view(op, inputs[0], out, meta, False)
    if mask and get_grad_enabled():
        dtype = y.dtype
        if dtype is _FLOAT32 or dtype.kind in "fcV":
            node = record(op, inputs, arrays, edges, mask, meta)
            node.shape = y.shape
            node.dtype = dtype
            if dtype is not _FLOAT32 and dtype.kind in "cV":
                node.careful, node.conjugate = True, op.holomorphic and dtype.kind == "c"
            if node.saved and op.keeps_output and op.plan(mask, len(arrays))[1]:
                node.saved[-3] = y
                out._storage = storage = Storage()
                node.versions.append((storage, 0, len(arrays)))
            out._edge = (node, 0)
    return out


def record(op: Op, inputs: Sequence[Any], arrays: list[Any], edges: list[Edge], mask: int, meta: Any) -> BackwardFunction:
    """A node that knows its operation, its parents, the inputs that its formulas need, and the user's line."""
    node: BackwardFunction = op.node_class()
    node.edges = edges
    node.hooks = None
    node.careful = op.variadic
    plan = op._plans.get((mask, len(arrays)) if op.variadic else mask)
    if plan is None:
        plan = op.plan(mask, len(arrays))
    ins, outs, shapes, uses_meta = plan
    if ins or outs or shapes or uses_meta:
        saved: list[Any] = [None] * (len(arrays) + op.output_count + 2)
        versions: list[tuple[TensorBase | Storage, int, int]] = []
        for i in ins:
            saved[i] = arrays[i]
            x = inputs[i]
            if isinstance(x, TensorBase):
                if arrays[i].dtype.kind == "V":
                    node.careful = True
                storage = x._storage
                versions.append((x, 0 if storage is None else storage.version, i))
        if shapes:
            saved[-2] = [getattr(a, "shape", ()) for a in arrays]
        if uses_meta:
            saved[-1] = meta
        node.saved = saved
        node.versions = versions
    else:
        node.saved = _NOTHING
        node.versions = _NOTHING
    frame: Any = _getframe(3)  # user -> public function -> apply -> here
    if "__mytorch__" in frame.f_globals:
        node.remember_line()
    else:
        node.code = frame.f_code
        node.lasti = frame.f_lasti
    return node


def _finish(op: Op, inputs: Sequence[Any], arrays: list[Any], edges: list[Edge], mask: int, meta: Any, results: Any) -> Any:
    """The end of `apply` for operations with several outputs."""
    outs = [engine_state.wrap(y) for y in results]
    if op.view:
        for out in outs:
            engine_state.note_view(op, inputs[0], out, meta, True)
    if mask and state.grad_enabled and any(y.dtype.kind in "fcV" for y in results):
        node = record(op, inputs, arrays, edges, mask, meta)
        node.careful, node.conjugate = True, False
        node.shape, node.dtype = None, results[0].dtype
        node.outputs = [(y.shape, y.dtype) for y in results]
        for place in op.plan(mask, len(arrays))[1]:
            node.saved[len(arrays) + place] = results[place]
            storage = storage_of(outs[place])
            node.versions.append((storage, storage.version, len(arrays) + place))
        for nr, (out, y) in enumerate(zip(outs, results, strict=True)):
            if y.dtype.kind in "fcV":
                out._edge = (node, nr)
    return type(results)(outs)


def leaf_node(x: TensorBase) -> AccumulateGrad:
    """The AccumulateGrad node of a leaf: the one that a living graph holds, or a new one."""
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


# ---- the walk -----------------------------------------------------------------------------------------------------------------


def topological_order(roots: Iterable[Node]) -> list[Node]:
    """All nodes behind the roots, parents before children: postorder of an iterative depth-first search, O(nodes + edges)."""
    order: list[Node] = []
    visited: set[Node] = set()
    stack: list[Node | None] = list(roots)
    while stack:
        node = stack.pop()
        if node is None:  # everything behind the node below the mark is placed
            order.append(stack.pop())  # type: ignore[arg-type]
            continue
        if node in visited:
            continue
        visited.add(node)
        stack.append(node)
        stack.append(None)
        for parent, _ in node.edges:
            if parent is not None and parent not in visited:
                stack.append(parent)
    return order


def _needed_for(targets: set[Node], order: list[Node]) -> set[Node]:
    """The nodes through which a gradient reaches one of the targets."""
    needed = set(targets)
    for node in order:  # parents come first
        if any(parent in needed for parent, _ in node.edges):
            needed.add(node)
    return needed


def walk(roots: list[tuple[Edge, Any]], keep_graph: bool, create_graph: bool, targets: list[Edge] | None) -> list[Any] | None:
    """Send gradients from the roots through the graph.

    Without targets, leaves accumulate into `.grad`. With targets, the gradients that arrive at those edges are returned
    instead, and only nodes on the way to one of them run.
    """
    order: list[Any] = topological_order([edge[0] for edge, _ in roots if edge[0] is not None])
    wanted: dict[Node, list[tuple[int, int]]] = {}
    needed = None
    caught: list[Any] | None = None
    if targets is not None:
        for place, (target, nr) in enumerate(targets):
            wanted.setdefault(target, []).append((place, nr))  # type: ignore[arg-type]
        needed = _needed_for(set(wanted), order)
        caught = [None] * len(targets)
    pending: dict[Node, Any] = {}
    for (root, nr), g in roots:
        _hand_over(pending, root, nr, g)  # type: ignore[arg-type]
    plain = not create_graph and targets is None and not state.check_nan
    enabled, state.grad_enabled = state.grad_enabled, create_graph
    origin = state.origin
    try:
        while order:
            node = order.pop()
            g = pending.pop(node, None)
            if g is None:
                continue
            try:
                if node.careful or not plain:  # what follows is `_visit` and `run` for the plain case, unrolled for speed
                    _visit(node, g, pending, keep_graph, create_graph, needed, wanted, caught)
                    continue
                for keeper, version, place in node.versions:
                    storage = keeper._storage
                    if storage is not None and storage.version != version:
                        raise RuntimeError(node.modified(storage, version, place))
                saved = node.saved
                if node.versions and not keep_graph:
                    node.release()
                for (parent, nr), formula in zip(node.edges, node.formulas):
                    if parent is None:
                        continue
                    d = formula(g, saved)
                    if d is None:
                        continue
                    if d.dtype is _FLOAT32 is parent.dtype and d.shape == parent.shape:
                        before = pending.get(parent)
                        pending[parent] = d if before is None else before + d
                    else:
                        _hand_over(pending, parent, nr, d)
                saved = d = None
            except Exception as error:
                raise _name_line(error, node)  # noqa: B904 - the same exception, with the line added
    finally:
        state.grad_enabled = enabled
        state.origin = origin
    return caught


def _visit(node: Node, g: Any, pending: dict[Node, Any], keep_graph: bool, create_graph: bool, needed: set[Node] | None,
           wanted: dict[Node, list[tuple[int, int]]], caught: list[Any] | None) -> None:
    """One step of the walk with everything that a plain node does without: hooks, targets, Tensors for arrays, nodes of other kinds."""
    if needed is not None and node not in needed:
        return
    if node.hooks is not None:
        g = _run_hooks(node, g, create_graph)
    if caught is not None and node in wanted:
        for place, nr in wanted[node]:
            caught[place] = g[nr] if type(g) is list else g
    if needed is not None and not any(parent in needed for parent, _ in node.edges):
        return  # a target with no other behind it: its own derivative is not asked for, and its saved values stay
    if type(node) is AccumulateGrad:
        if caught is None:
            node.accumulate(g)
        return
    if create_graph:
        state.origin = node
    grads = node.run(g, create_graph, needed)
    if state.check_nan:
        _refuse_nan(node, grads)
    if node.hooks is not None and node.hooks.after:
        grads = _run_after_hooks(node, grads, g, create_graph)
    if not keep_graph:
        node.release()
    for (parent, nr), d in zip(node.edges, grads, strict=True):
        if parent is not None and d is not None:
            _hand_over(pending, parent, nr, d)


def _refuse_nan(node: Node, grads: Sequence[Any]) -> None:
    for i, d in enumerate(grads):
        array = as_array(d)
        if array is not None and array.dtype.kind in "fc" and np.isnan(array).any():
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")


def _add(a: Any, b: Any) -> Any:
    if type(a) is ndarray and a.dtype == BFLOAT16_NP:
        return (as_tensor(a) + as_tensor(b))._array
    return a + b


def _hand_over(pending: dict[Node, Any], parent: Node, nr: int, d: Any) -> None:
    """Give a gradient to a parent: reduced to the shape that was broadcast, cast to its dtype, added to what it has."""
    shape, dtype = (parent.shape, parent.dtype) if parent.shape is not None else parent.outputs[nr]
    array = as_array(d)
    if array.shape != shape:
        try:
            d = engine_state.sum_to(d, shape=shape)
        except (ValueError, IndexError):
            raise RuntimeError(f"a gradient of shape {list(array.shape)} arrived at {parent.name()}, "
                               f"whose output has shape {list(shape)}") from None
        array = as_array(d)
    if array.dtype != dtype:
        d = engine_state.to_dtype(d.real if array.dtype.kind == "c" and dtype.kind != "c" else d, dtype=dtype)
    if parent.shape is None:
        slots = pending.setdefault(parent, [None] * len(parent.outputs))
        slots[nr] = d if slots[nr] is None else _add(slots[nr], d)
    elif parent in pending:
        pending[parent] = _add(pending[parent], d)
    else:
        pending[parent] = d


def _run_hooks(node: Node, g: Any, as_tensors: bool) -> Any:
    assert node.hooks is not None
    try:
        found = node.hooks.on_gradients(g if type(g) is list else [g], as_tensors)
    except Exception as error:
        raise _name_line(error, node)  # noqa: B904
    return found if type(g) is list else found[0]


def _run_after_hooks(node: Node, grads: Sequence[Any], g: Any, as_tensors: bool) -> Sequence[Any]:
    assert node.hooks is not None
    inputs = tuple(as_tensor(d) for d in grads)
    outputs = tuple(as_tensor(d) for d in (g if type(g) is list else [g]))
    for hook in list(node.hooks.after.values()):
        result = hook(inputs, outputs)
        if result is not None:
            inputs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    return inputs if as_tensors else [as_array(d) for d in inputs]


def _name_line(error: Exception, node: Node) -> Exception:
    """The same error; its message says which node failed and which line of the user's code made it."""
    if not getattr(error, "_mytorch_line", False) and (not error.args or isinstance(error.args[0], str)):
        where = node.line
        text = error.args[0] if error.args else ""
        error.args = (f"{text}\n  in the backward of {node.name()}" + (f", made at {where}" if where else ""), *error.args[1:])
        error._mytorch_line = True  # type: ignore[attr-defined]
    return error


def _roots(outputs: Sequence[Any], grad_outputs: Any) -> list[tuple[Edge, Any]]:
    """Where the walk begins: the edge of each output and the gradient that enters there."""
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    elif isinstance(grad_outputs, TensorBase):
        grad_outputs = [grad_outputs]
    if len(grad_outputs) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grad_outputs)} gradients")
    roots = []
    for i, (y, g) in enumerate(zip(outputs, grad_outputs, strict=True)):
        edge = gradient_edge(y)
        if edge is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        array = y._array
        if g is None:
            if array.size != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs; "
                                   f"this one has shape {list(array.shape)}: reduce it (.sum()) or pass a gradient")
            if array.dtype.kind == "c":
                raise RuntimeError("grad can be implicitly created only for real scalar outputs but got a complex one")
            g = engine_state.to_dtype(np.ones(array.shape, np.float32), dtype=array.dtype)
        elif not isinstance(g, TensorBase):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g._array.shape != array.shape:
            raise RuntimeError(f"Mismatch in shape: grad_output[{i}] has a shape of torch.Size({list(g._array.shape)}) and "
                               f"output[{i}] has a shape of torch.Size({list(array.shape)}).")
        elif (g._array.dtype.kind == "c") != (array.dtype.kind == "c"):
            raise RuntimeError("For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
                               f"grad_output[{i}] has a dtype of {as_tensor(g).dtype} and output[{i}] has a dtype of {y.dtype}.")
        roots.append((edge, g))
    return roots


def _start(outputs: Sequence[Any], grads: Any, keep: bool | None, create_graph: bool, targets: list[Edge] | None) -> list[Any] | None:
    roots = [(edge, as_tensor(g) if create_graph else as_array(g)) for edge, g in _roots(outputs, grads)]
    if state.mode is None:
        return walk(roots, create_graph if keep is None else keep, create_graph, targets)
    mode, state.mode = state.mode, None
    try:
        return walk(roots, create_graph if keep is None else keep, create_graph, targets)
    finally:
        state.mode = mode


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
             grad_variables: Any = None, inputs: Any = None) -> None:
    """Accumulate the gradients of `tensors` into the `.grad` of the leaves (or of `inputs` alone).

    Args:
        tensors: a Tensor or a sequence of Tensors of any shape.
        grad_tensors: their gradients, of the same shapes; None for a scalar means 1.
        retain_graph: keep what the graph saved, for another backward; default: the value of create_graph.
        create_graph: record a graph of the backward itself, for higher derivatives.
        inputs: Tensors that alone shall accumulate.
    Raises:
        RuntimeError: if an output does not require a gradient, a shape differs, or the graph was freed or written to.
    """
    outputs = [tensors] if isinstance(tensors, TensorBase) else list(tensors)
    if grad_tensors is None:
        grad_tensors = grad_variables
    if inputs is None:
        _start(outputs, grad_tensors, retain_graph, create_graph, None)
        return
    inputs = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    found = _start(outputs, grad_tensors, retain_graph, create_graph, _target_edges(inputs)) or []
    for x, g in zip(inputs, found, strict=True):
        if g is not None and not getattr(x, "retains_grad", False):  # else it has the gradient already
            with set_grad_enabled(create_graph):
                AccumulateGrad(x).accumulate(g)


def _target_edges(inputs: Sequence[Any]) -> list[Edge]:
    edges = []
    for x in inputs:
        edge = gradient_edge(x)
        if edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        edges.append(edge)
    return edges


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
         only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False,
         materialize_grads: bool = False) -> tuple[Any, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`, as a tuple; no `.grad` is touched.

    Raises:
        RuntimeError: if an input was not used and neither allow_unused nor materialize_grads is set.
        NotImplementedError: for is_grads_batched=True.
    """
    if is_grads_batched:
        raise NotImplementedError("autograd.grad(is_grads_batched=True) is not supported: loop over the gradients")
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    outputs = [outputs] if isinstance(outputs, TensorBase) else list(outputs)
    inputs = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    found = _start(outputs, grad_outputs, retain_graph, create_graph, _target_edges(inputs)) or []
    result = []
    for x, g in zip(inputs, found, strict=True):
        if g is None:
            if materialize_grads:
                g = engine_state.wrap(np.zeros(x._array.shape, x._array.dtype))
            elif not allow_unused:
                raise RuntimeError("One of the differentiated Tensors appears to not have been used in the graph. "
                                   "Set allow_unused=True if this is the desired behavior.")
        result.append(as_tensor(g))
    return tuple(result)


_identity = Op("alias", lambda x: x[...], lambda g: g, view=True)

__all__ = [
    "AccumulateGrad", "BackwardFunction", "Edge", "Hooks", "Mode", "Node", "Op", "RemovableHandle", "Storage", "TensorBase", "apply", "backward",
    "enable_grad", "grad", "gradient_edge", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "leaf_node", "no_grad", "record",
    "register", "requires_grad", "set_grad_enabled", "state", "storage_of", "topological_order", "walk",
]
