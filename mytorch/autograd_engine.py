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
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy import ndarray

from mytorch.dtypes import BFLOAT16_NP

__mytorch__ = True

Array = Any  # a NumPy array, or a Tensor where a formula is differentiated itself
Edge = tuple["Node | None", int]

_new = object.__new__
_getframe = sys._getframe
_CONSTANT: Edge = (None, 0)
_FREED: list[Any] = []  # marks saved values that a first backward has released
_MAX_FRAMES = 12
_FLOAT32 = np.dtype(np.float32)
_accumulate_lock = threading.Lock()


# Per thread (and per asynchronous task). A context variable reads in 12 ns, threading.local in 40 to 80.
_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_mode: ContextVar[Mode | None] = ContextVar("mode", default=None)
_origin: ContextVar[Node | None] = ContextVar("origin", default=None)
_get_grad_enabled = _grad_enabled.get
_get_mode = _mode.get


class _ThreadState:
    """What each thread knows of its own: is a graph recorded, which mode is on top, whose derivative is being taken."""

    grad_enabled = property(lambda self: _grad_enabled.get(), lambda self, value: _set(_grad_enabled, value))
    mode = property(lambda self: _mode.get(), lambda self, value: _set(_mode, value))
    origin = property(lambda self: _origin.get(), lambda self, value: _set(_origin, value))


def _set(variable: ContextVar[Any], value: Any) -> None:
    variable.set(value)


state = _ThreadState()


class TensorBase:
    """What the engine knows of a tensor; `mytorch.tensor.Tensor` adds everything that users see."""

    __slots__ = ("__dict__", "__weakref__", "_accumulate", "_array", "_edge", "_grad", "_hooks", "_requires_grad", "_storage", "_view")

    _array: ndarray[Any, Any]
    _edge: Edge | None  # (node, which of its outputs) for a computed tensor, None for a leaf
    _requires_grad: bool  # of a leaf
    _storage: Storage | None  # shared by all aliases; made when first needed
    _view: View | None
    _grad: Any
    _accumulate: weakref.ref[AccumulateGrad] | None
    _hooks: Hooks | None  # of a leaf; those of a computed tensor live on its node


class Storage:
    """The record that all aliases of one memory share: how often it was written in place."""

    version = 0


class InferenceStorage(Storage):
    """Memory of a tensor made in inference mode: its writes are not counted, so no graph may rely on it."""

    @property
    def version(self) -> int:  # type: ignore[override]
        raise RuntimeError("Inference tensors cannot be saved for backward and do not track version counter. "
                           "To work around you can make a clone to get a normal tensor and use it in autograd.")

    @version.setter
    def version(self, value: int) -> None:
        raise AssertionError("unreachable: bump() skips inference storage")


class View:
    """How a view came from the tensor that owns the memory: the root and the view operations to replay on it."""

    __slots__ = ("refusal", "root", "steps", "version")

    def __init__(self, root: TensorBase, steps: tuple[tuple[Op, Any], ...], version: int, refusal: str | None) -> None:
        self.root = root
        self.steps = steps
        self.version = version  # the storage's version when the view's edge was made
        self.refusal = refusal  # why autograd cannot follow an in-place write to it, if it cannot

    def replay(self, root: Array) -> Array:
        """The same view of another array or Tensor."""
        for op, meta in self.steps:
            root = op(root, **meta) if meta else op(root)
        return root


# ---- what tensor.py and ops/ register, so that the engine need not import upwards ---------------------------------------------

wrap: Callable[[ndarray[Any, Any]], Any]
sum_to: Callable[..., Array]  # reduce a gradient to the shape that was broadcast
to_dtype: Callable[..., Array]


def register(**callables: Callable[..., Any]) -> None:
    """Give the engine `wrap` (array to Tensor), `sum_to` and `to_dtype`."""
    globals().update(callables)


# ---- nodes --------------------------------------------------------------------------------------------------------------------


class RemovableHandle:
    """Returned by every register function of a hook; `remove()` takes the hook out again."""

    __slots__ = ("_id", "_table")
    _count = 0

    def __init__(self, table: dict[int, Any]) -> None:
        RemovableHandle._count += 1
        self._id = RemovableHandle._count
        self._table = table

    @property
    def id(self) -> int:
        """The key of the hook in its table."""
        return self._id

    def remove(self) -> None:
        """Take the hook out; a second call does nothing."""
        self._table.pop(self._id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one node: on each output's gradient, before and after the node runs, and who retains its gradient."""

    __slots__ = ("after", "before", "post_accumulate", "retain", "tensor")

    def __init__(self) -> None:
        self.tensor: dict[int, tuple[int, Callable[[Any], Any]]] = {}
        self.before: dict[int, Callable[[tuple[Any, ...]], Any]] = {}
        self.after: dict[int, Callable[..., Any]] = {}
        self.retain: dict[int, weakref.ref[TensorBase]] = {}
        self.post_accumulate: dict[int, Callable[[Any], None]] = {}

    def add(self, table: dict[int, Any], hook: Any) -> RemovableHandle:
        """Put a hook into one of the tables."""
        handle = RemovableHandle(table)
        table[handle.id] = hook
        return handle

    def on_gradients(self, grads: list[Any], as_tensors: bool) -> list[Any]:
        """The gradients of a node's outputs, after the hooks that may replace them have seen them."""
        tensors = [_as_tensor(g) for g in grads]
        for nr, hook in list(self.tensor.values()):
            if tensors[nr] is not None:
                tensors[nr] = _replacement(hook(tensors[nr]), tensors[nr])
        for prehook in list(self.before.values()):
            result = prehook(tuple(tensors))
            if result is not None:
                tensors = list(result) if isinstance(result, tuple) else [result]
        for nr, ref in self.retain.items():
            tensor = ref()
            if tensor is not None and tensors[nr] is not None:
                tensor._grad = tensors[nr] if tensor._grad is None else tensor._grad + tensors[nr]
        return tensors if as_tensors else [_as_array(t) for t in tensors]


def _as_tensor(g: Any) -> Any:
    return g if g is None or isinstance(g, TensorBase) else wrap(np.asarray(g))


def _as_array(g: Any) -> Any:
    return g._array if isinstance(g, TensorBase) else g


def _replacement(result: Any, given: Any) -> Any:
    if result is None:
        return given
    if not isinstance(result, TensorBase):
        raise TypeError(f"expected Variable, but hook returned '{type(result).__name__}'")
    if result._array.shape != given._array.shape:
        raise RuntimeError(f"hook has changed the size of value: it was given {given._array.shape} and returned {result._array.shape}")
    return result


class Node:
    """One step of the graph. `next_functions` are its parents: (node or None, which output of that node)."""

    __slots__ = ("__weakref__", "_metadata", "code", "dtype", "edges", "hooks", "lasti", "outputs", "shape")

    edges: Sequence[Edge]
    shape: tuple[int, ...] | None  # of the output; None for a node with several
    dtype: Any  # the output's NumPy dtype
    outputs: list[tuple[tuple[int, ...], Any]]  # shape and dtype of each, for a node with several
    hooks: Hooks | None

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
        """The gradient of each input from that of the output: arrays, or Tensors if `as_tensors`."""
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
                    leaf._grad = g
                else:
                    # Keep the array itself only if nobody else can write to it: torch does the same by its use count.
                    owned = type(g) is ndarray and g.base is None and sys.getrefcount(g) <= 4
                    leaf._grad = wrap(g if owned else np.array(g))
            elif state.grad_enabled:
                leaf._grad = leaf._grad + _as_tensor(g)
            else:
                leaf._grad.add_(_as_tensor(g))
        if self.hooks is not None:
            for hook in list(self.hooks.post_accumulate.values()):
                hook(leaf)


class BackwardFunction(Node):
    """The node of a built-in operation. Each `Op` has its own subclass, named after it: `MulBackward0`."""

    __slots__ = ("careful", "conjugate", "saved", "versions")

    op: Op
    formulas: list[Callable[..., Any]]
    careful: bool  # not just a list of plain formulas on real arrays
    conjugate: bool  # only if careful: a complex function: its formulas, written as for real numbers, are conjugated
    saved: list[Any]  # inputs, outputs, input shapes, metadata: those that a formula names, None for the rest
    versions: list[Any]  # of each saved tensor, three entries: its storage, its version then, its place in `saved`

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        versions = self.versions
        if versions and (versions[0].version != versions[1] or len(versions) > 3):
            self._check_versions()
        saved = self.saved
        if as_tensors or self.careful or saved is _FREED:
            return self._run_with_care(g, as_tensors, needed)
        grads = []
        try:
            for edge, formula in zip(self.edges, self.formulas):
                if edge is _CONSTANT or (needed is not None and edge[0] not in needed):
                    grads.append(None)
                else:
                    grads.append(formula(g, saved))
        except TypeError:
            if not _holds_bfloat16(g, saved):
                raise
            return self._run_with_care(g, as_tensors, needed)
        return grads

    def _run_with_care(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        """`run` for everything but plain formulas on real arrays."""
        if self.saved is _FREED:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
                "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
                "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
                "after calling backward.")
        if as_tensors:
            saved = self.saved_as_tensors()
            if self.op.composite is not None and state.grad_enabled:
                return _differentiate_composite(self, g, saved)
            return self._gradients(g, saved, needed)
        if not _holds_bfloat16(g, self.saved):
            return self._gradients(g, self.saved, needed)
        # NumPy has no arithmetic for bfloat16: let Tensors, which round through float32, do it.
        g = [_as_tensor(part) for part in g] if isinstance(g, list) else _as_tensor(g)
        return [_as_array(d) for d in self._gradients(g, self.saved_as_tensors(), needed)]

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
        count = len(self.edges)
        for i, value in enumerate(saved):
            if type(value) is not ndarray:
                continue
            tensor = wrap(value)
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
            self.versions = []

    def _check_versions(self) -> None:
        versions = self.versions
        for i in range(0, len(versions), 3):
            if versions[i].version != versions[i + 1]:
                raise RuntimeError(self._modified(*versions[i:i + 3]))

    def _modified(self, storage: Storage, version: int, place: int) -> str:
        value = self.saved[place]
        parent = self.edges[place][0] if place < len(self.edges) else self
        what = "a constant" if parent is None else f"output {0 if parent is self else self.edges[place][1]} of {parent.name()}"
        return ("one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[{value.dtype} {list(value.shape)}], which is {what}, is at version {storage.version}; "
                f"expected version {version} instead. Write out of place (x = x + 1, not x += 1), or clone() before writing.")


def _holds_bfloat16(g: Any, saved: Iterable[Any]) -> bool:
    parts = [*(g if isinstance(g, list) else [g]), *saved]
    return any(getattr(part, "dtype", None) == BFLOAT16_NP for part in parts)


def _differentiate_composite(node: BackwardFunction, g: Any, saved: list[Any]) -> Sequence[Any]:
    """Gradients of a fused operation as Tensors with a graph of their own, through the plain composition of operations."""
    op = node.op
    count = len(node.edges)
    attached = [_alias(x) if isinstance(x, TensorBase) and parent is not None else x
                for x, (parent, _) in zip(saved[:count], node.edges, strict=True)]
    outputs = op.composite(*attached, *saved[count:count + op.output_count], **(saved[-1] or {}))
    targets = [x for x, (parent, _) in zip(attached, node.edges, strict=True) if parent is not None]
    pairs = [(y, dy) for y, dy in zip(_as_list(outputs), _as_list(g), strict=False) if dy is not None and requires_grad(y)]
    found = iter(grad([y for y, _ in pairs], targets, [dy for _, dy in pairs], create_graph=True, allow_unused=True))
    return [None if parent is None else next(found) for parent, _ in node.edges]


def _alias(x: TensorBase) -> TensorBase:
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
            in `outputs`), `<input>_shape`, or metadata. None for an input without a derivative.
        joint: instead of formulas, one function that returns the gradients of all inputs at once (it may also name
            `needs`, a tuple of bools, and `inputs`, all inputs, where their number varies).
        outputs: names of the outputs; `g` is then a list with one gradient, or None, per output.
        view: the output is a view of the first input's memory wherever NumPy's is.
        holomorphic: complex differentiable; then a formula is written as for real numbers and conjugated here.
        composite: a plain composition of other operations with the same result, which is what `create_graph=True`
            differentiates where the formulas are not differentiable themselves.
    """

    __slots__ = ("_plans", "composite", "formulas", "holomorphic", "inputs", "joint", "kernel", "name", "node_class",
                 "output_count", "outputs", "plain", "uses", "variadic", "view")

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
        self.plain = not view and outputs == "y"
        self.inputs = _positional_names(kernel) if inputs is None else inputs.split()
        self.joint = joint
        self.variadic = joint is not None  # the number of inputs may differ from call to call
        self.uses = [_argument_names(f)[1:] for f in formulas] if joint is None else [_argument_names(joint)[1:]]
        self.formulas = [self._bind(f, names) for f, names in zip(formulas if joint is None else (joint,), self.uses, strict=True)]
        self._plans: dict[Any, tuple[list[int], list[int], bool, bool]] = {}
        title = "".join(part.capitalize() for part in name.strip("_").split("_"))
        self.node_class = type(f"{title}Backward0", (BackwardFunction,), {"__slots__": (), "op": self, "formulas": self.formulas})

    def __call__(self, *inputs: Any, **meta: Any) -> Any:
        """The operation on arrays or on Tensors, whichever it is given."""
        for x in inputs:
            if isinstance(x, TensorBase):
                return apply(self, inputs, meta)
        return self.kernel(*inputs, **meta)

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
            return lambda g, saved: None
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
    code = function.__code__  # type: ignore[attr-defined]
    return list(code.co_varnames[:code.co_argcount + code.co_kwonlyargcount])


def _positional_names(function: Callable[..., Any]) -> list[str]:
    code = getattr(function, "reference", function).__code__
    return list(code.co_varnames[:code.co_argcount])


def _is_complex(g: Any) -> bool:
    return bool(_as_array(g).dtype.kind == "c")


def _conjugate(g: Any) -> Any:
    return g.conj() if _is_complex(g) else g


# ---- modes --------------------------------------------------------------------------------------------------------------------


class Mode:
    """Sees every operation while it is entered, on this thread: subclasses define `handle`."""

    _below: Mode | None = None

    def __enter__(self) -> Mode:
        self._below, state.mode = state.mode, self
        return self

    def __exit__(self, *exc: object) -> None:
        state.mode = self._below

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        """Do what this mode does with the operation; `self.proceed(...)` passes it on. `run` is apply or apply_inplace."""
        return self.proceed(run, op, inputs, meta)

    def proceed(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        """Run the operation under the modes below this one."""
        state.mode = self._below
        try:
            return run(op, inputs, meta)
        finally:
            state.mode = self


# ---- the door -----------------------------------------------------------------------------------------------------------------


def apply(op: Op, inputs: tuple[Any, ...], meta: dict[str, Any] | None = None) -> Any:
    """Run an operation on Tensors (and constants) and, where a gradient is needed, put its node into the graph."""
    if _get_mode() is not None:
        return state.mode.handle(apply, op, inputs, meta)
    arrays = []
    edges = []
    mask = 0
    bit = 1
    for x in inputs:
        if isinstance(x, TensorBase):
            arrays.append(x._array)
            if x._view is not None:
                _refresh(x)
            edge = x._edge
            if edge is None and x._requires_grad:
                edge = (leaf_node(x), 0)
            if edge is None:
                edges.append(_CONSTANT)
            else:
                mask |= bit
                edges.append(edge)
        else:
            arrays.append(x)
            edges.append(_CONSTANT)
        bit += bit
    y = op.kernel(*arrays, **meta) if meta else op.kernel(*arrays)
    if not op.plain:
        return _finish(op, inputs, arrays, edges, mask, meta, y)
    out = wrap(y)
    if mask and _get_grad_enabled():
        dtype = y.dtype
        if dtype is _FLOAT32 or dtype.kind in "fcV":
            node = _record(op, inputs, arrays, edges, mask, meta)
            node.shape = y.shape
            node.dtype = dtype
            if dtype is not _FLOAT32 and dtype.kind == "c":
                node.careful = node.conjugate = op.holomorphic
            if len(node.saved) > len(arrays) and op.plan(mask, len(arrays))[1]:
                node.saved[-3] = y
                out._storage = storage = Storage()
                node.versions += (storage, 0, len(arrays))
            out._edge = (node, 0)
    return out


def _record(op: Op, inputs: Sequence[Any], arrays: list[Any], edges: list[Edge], mask: int, meta: Any) -> BackwardFunction:
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
        saved = [None] * (len(arrays) + op.output_count + 2)
        versions = []
        for i in ins:
            saved[i] = arrays[i]
            x = inputs[i]
            if isinstance(x, TensorBase):
                storage = x._storage
                if storage is None:
                    storage = x._storage = Storage()
                versions += (storage, storage.version, i)
        if shapes:
            saved[-2] = [getattr(a, "shape", ()) for a in arrays]
        if uses_meta:
            saved[-1] = meta
        node.saved = saved
        node.versions = versions
    else:
        node.saved = []
        node.versions = []
    frame: Any = _getframe(3)  # user -> public function -> apply -> here
    if "__mytorch__" in frame.f_globals:
        node.remember_line()
    else:
        node.code = frame.f_code
        node.lasti = frame.f_lasti
    return node


def _finish(op: Op, inputs: Sequence[Any], arrays: list[Any], edges: list[Edge], mask: int, meta: Any, result: Any) -> Any:
    """The end of `apply` for views and for operations with several outputs."""
    results = result if isinstance(result, (tuple, list)) else (result,)
    several = op.outputs != ["y"]
    outs = [wrap(y) for y in results]
    if op.view:
        for out in outs:
            _note_view(op, inputs[0], out, meta, len(outs) > 1 or several)
    if mask and state.grad_enabled and any(y.dtype.kind in "fcV" for y in results):
        node = _record(op, inputs, arrays, edges, mask, meta)
        node.shape, node.dtype = results[0].shape, results[0].dtype
        if node.dtype.kind == "c" and not several:
            node.careful = node.conjugate = op.holomorphic
        if several:
            node.shape = None
            node.outputs = [(y.shape, y.dtype) for y in results]
        for place in op.plan(mask, len(arrays))[1]:
            node.saved[len(arrays) + place] = results[place]
            node.versions += (storage_of(outs[place]), storage_of(outs[place]).version, len(arrays) + place)
        for nr, (out, y) in enumerate(zip(outs, results, strict=True)):
            if y.dtype.kind in "fcV":
                out._edge = (node, nr)
    return type(result)(outs) if isinstance(result, (tuple, list)) else outs[0]


def storage_of(x: TensorBase) -> Storage:
    """The record that x shares with its aliases."""
    if x._storage is None:
        x._storage = Storage()
    return x._storage


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
        _refresh(x)
    if x._edge is not None:
        return x._edge
    return (leaf_node(x), 0) if x._requires_grad else None


def requires_grad(x: Any) -> bool:
    """Does a gradient flow to x?"""
    if not isinstance(x, TensorBase):
        return False
    if x._view is not None:
        _refresh(x)
    return x._edge is not None or x._requires_grad


# ---- views and in-place -------------------------------------------------------------------------------------------------------


def _note_view(op: Op, x: TensorBase, out: TensorBase, meta: Any, several: bool) -> None:
    """Let a view share the storage record of its base and remember how it came from the root of that memory."""
    if not np.may_share_memory(x._array, out._array) and x._array.size:
        return  # a reshape that had to copy
    out._storage = storage_of(x)
    above = x._view
    root, steps, refusal = (x, (), None) if above is None else (above.root, above.steps, above.refusal)
    if refusal is None and several:
        refusal = ("is a view and is being modified inplace. This view is the output of a function that returns multiple views. Such "
                   "functions do not allow the output views to be modified inplace. You should replace the inplace operation by an "
                   "out-of-place one.")
    if not state.grad_enabled:
        refusal = ("is a view and is being modified inplace. A view was created in no_grad mode and is being modified inplace with grad "
                   "mode enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code "
                   "by moving both the view and the inplace either both inside the no_grad block (if you don't want the inplace to be "
                   "tracked) or both outside (if you want the inplace to be tracked).")
    version = 0 if isinstance(out._storage, InferenceStorage) else out._storage.version
    out._view = View(root, (*steps, (op, meta)), version, refusal)


def _refresh(x: TensorBase) -> None:
    """Give a view whose memory was written since a new edge: the same view of its root as the root is now."""
    view = x._view
    if view is None or isinstance(x._storage, InferenceStorage) or view.version == storage_of(x).version:
        return
    view.version = storage_of(x).version
    if not requires_grad(view.root) or (x._edge is None and x._requires_grad):
        return
    if view.refusal is not None:
        if x._edge is None:
            return
        raise RuntimeError(f"Output 0 of {x._edge[0].name() if x._edge[0] else 'a view'} {view.refusal}")
    with enable_grad():
        x._edge = view.replay(view.root)._edge


def bump(x: TensorBase) -> None:
    """Count a write to the memory of x."""
    storage = x._storage
    if storage is None:
        x._storage = storage = Storage()
    if not isinstance(storage, InferenceStorage):
        storage.version += 1


def check_inplace(x: TensorBase, others: Iterable[Any] = ()) -> bool:
    """Is this in-place write to x part of the graph? Refuses what autograd could not get right, with torch's errors."""
    if x._array.size > 1 and any(s == 0 and n > 1 for s, n in zip(x._array.strides, x._array.shape, strict=True)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
                           "Please clone() the tensor before performing the operation.")
    if not x._array.flags.writeable:
        x._array.flags.writeable = True  # NumPy broadcasts read-only; an overlap was refused above
    if not state.grad_enabled:
        return False
    tracked = requires_grad(x)
    if x._edge is None and x._requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation. "
                           "Write under torch.no_grad(), or to a clone().")
    view = x._view
    if view is not None:
        root = view.root
        if root._edge is None and root._requires_grad:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation. "
                               "Write under torch.no_grad(), or to a view of a clone().")
        if view.refusal is not None and (tracked or requires_grad(root) or any(requires_grad(o) for o in others)):
            raise RuntimeError(f"Output 0 of {x._edge[0].name() if x._edge and x._edge[0] else 'this operation'} {view.refusal}")
    return tracked or any(requires_grad(o) for o in others)


def apply_inplace(op: Op, inputs: tuple[Any, ...], meta: dict[str, Any] | None = None) -> Any:
    """Run an operation and write its result into the memory of its first input, which then carries the new node."""
    if state.mode is not None:
        return state.mode.handle(apply_inplace, op, inputs, meta)
    x = inputs[0]
    tracked = check_inplace(x, inputs[1:])
    arrays = [i._array if isinstance(i, TensorBase) else i for i in inputs]
    node = None
    if tracked and x._array.dtype.kind in "fcV":
        edges: list[Edge] = [gradient_edge(i) or _CONSTANT if isinstance(i, TensorBase) else _CONSTANT for i in inputs]
        mask = sum(1 << i for i, (parent, _) in enumerate(edges) if parent is not None)
        node = _record(op, inputs, arrays, edges, mask, meta)
        if node.saved and node.saved[0] is not None:
            node.saved[0] = arrays[0].copy()  # the formula wants the value before the write
            node.versions = node.versions[3:]  # its place is 0: it was noted first
    y = op.kernel(*arrays, **meta) if meta else op.kernel(*arrays)
    _write(x, y)
    bump(x)
    if node is not None:
        node.shape, node.dtype = x._array.shape, x._array.dtype
        if node.dtype.kind == "c":
            node.careful = node.conjugate = op.holomorphic
        if op.plan(mask, len(arrays))[1]:
            node.saved[-3] = x._array
            node.versions += (storage_of(x), storage_of(x).version, len(arrays))
        rebase(x, node)
    return x


def _write(x: TensorBase, y: Any) -> None:
    target = x._array
    if y.shape != target.shape:
        raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(y.shape)}")
    if y.dtype is not target.dtype:
        if "buifcV".index(y.dtype.kind.replace("V", "f")) > "bbifcV".index(target.dtype.kind.replace("V", "f").replace("u", "i")):
            from mytorch.dtypes import from_numpy_dtype, legacy_name
            given, wanted = (legacy_name(from_numpy_dtype(a.dtype)) for a in (y, target))
            raise RuntimeError(f"result type {given} can't be cast to the desired output type {wanted}")
        y = _as_array(to_dtype(y, dtype=target.dtype))
    np.copyto(target, y)


def rebase(x: TensorBase, node: Node) -> None:
    """After an in-place write: x's gradient now comes from `node`; if x is a view, so does that part of its root's."""
    if x._view is None:
        x._edge = (node, 0)
        x._requires_grad = False
        return
    view = x._view
    root = view.root
    root._edge = (CopySlices(gradient_edge(root) or _CONSTANT, root, view, node), 0)
    root._requires_grad = False
    view.version = -1
    _refresh(x)


class CopySlices(Node):
    """A root after a write to one of its views: the gradient of the written part goes through the write's own node."""

    __slots__ = ("view", "write")

    def __init__(self, base: Edge, root: TensorBase, view: View, write: Node) -> None:
        self.view = View(root, view.steps, 0, None)
        self.view.root = None  # type: ignore[assignment]  # only its steps are replayed: no cycle through the root
        self.write = write
        self.edges = [base, *write.edges[1:]]
        self.shape, self.dtype = root._array.shape, root._array.dtype
        self.hooks = None
        self.code, self.lasti = getattr(write, "code", None), getattr(write, "lasti", 0)

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        grads = list(self.write.run(self.view.replay(g), as_tensors, needed))
        if self.edges[0][0] is None:
            return grads[:1] + grads[1:] if len(grads) > 1 else [None]
        before = g.clone() if as_tensors else np.array(g)
        part = self.view.replay(before)
        if as_tensors:
            part.zero_() if grads[0] is None else part.copy_(grads[0])
        else:
            np.copyto(part, np.zeros((), part.dtype) if grads[0] is None else grads[0], casting="unsafe")
        return [before, *grads[1:]]

    def release(self) -> None:
        self.write.release()


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
    order = topological_order([edge[0] for edge, _ in roots if edge[0] is not None])
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
    enabled, state.grad_enabled = state.grad_enabled, create_graph
    origin = state.origin
    try:
        while order:
            node = order.pop()
            g = pending.pop(node, None)
            if g is None or (needed is not None and node not in needed):
                continue
            if create_graph:
                state.origin = node
            if node.hooks is not None:
                g = _run_hooks(node, g, create_graph)
            if caught is not None and node in wanted:
                for place, nr in wanted[node]:
                    caught[place] = g[nr] if type(g) is list else g
            if type(node) is AccumulateGrad:
                if targets is None:
                    node.accumulate(g)
                continue
            try:
                grads = node.run(g, create_graph, needed)
                if node.hooks is not None and node.hooks.after:
                    grads = _run_after_hooks(node, grads, g, create_graph)
            except Exception as error:
                raise _name_line(error, node)  # noqa: B904 - the same exception, with the line added
            if not keep_graph:
                node.release()
            for (parent, nr), d in zip(node.edges, grads):
                if d is None or parent is None:
                    continue
                if create_graph or d.shape != parent.shape or d.dtype is not parent.dtype:
                    try:
                        _hand_over(pending, parent, nr, d)
                    except RuntimeError as error:
                        raise _name_line(error, node)  # noqa: B904
                else:
                    before = pending.get(parent)
                    pending[parent] = d if before is None else before + d if d.dtype is _FLOAT32 else _add(before, d)
            grads = d = None
    finally:
        state.grad_enabled = enabled
        state.origin = origin
    return caught


def _add(a: Any, b: Any) -> Any:
    if type(a) is ndarray and a.dtype == BFLOAT16_NP:
        return (_as_tensor(a) + _as_tensor(b))._array
    return a + b


def _hand_over(pending: dict[Node, Any], parent: Node, nr: int, d: Any) -> None:
    """Give a gradient to a parent: reduced to the shape that was broadcast, cast to its dtype, added to what it has."""
    shape, dtype = (parent.shape, parent.dtype) if parent.shape is not None else parent.outputs[nr]
    array = _as_array(d)
    if array.shape != shape:
        try:
            d = sum_to(d, shape=shape)
        except (ValueError, IndexError):
            raise RuntimeError(f"a gradient of shape {list(array.shape)} arrived at {parent.name()}, "
                               f"whose output has shape {list(shape)}") from None
        array = _as_array(d)
    if array.dtype != dtype:
        d = to_dtype(d.real if array.dtype.kind == "c" and dtype.kind != "c" else d, dtype=dtype)
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
    inputs = tuple(_as_tensor(d) for d in grads)
    outputs = tuple(_as_tensor(d) for d in (g if type(g) is list else [g]))
    for hook in list(node.hooks.after.values()):
        result = hook(inputs, outputs)
        if result is not None:
            inputs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    return inputs if as_tensors else [_as_array(d) for d in inputs]


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
            g = to_dtype(np.ones(array.shape, np.float32), dtype=array.dtype)
        elif not isinstance(g, TensorBase):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g._array.shape != array.shape:
            raise RuntimeError(f"Mismatch in shape: grad_output[{i}] has a shape of torch.Size({list(g._array.shape)}) and "
                               f"output[{i}] has a shape of torch.Size({list(array.shape)}).")
        roots.append((edge, g))
    return roots


def _start(outputs: Sequence[Any], grads: Any, keep: bool | None, create_graph: bool, targets: list[Edge] | None) -> list[Any] | None:
    roots = [(edge, _as_tensor(g) if create_graph else _as_array(g)) for edge, g in _roots(outputs, grads)]
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
        if g is not None:
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
                g = wrap(np.zeros(x._array.shape, x._array.dtype))
            elif not allow_unused:
                raise RuntimeError("One of the differentiated Tensors appears to not have been used in the graph. "
                                   "Set allow_unused=True if this is the desired behavior.")
        result.append(_as_tensor(g))
    return tuple(result)


# ---- gradient modes -----------------------------------------------------------------------------------------------------------


class _GradMode:
    """A context manager and decorator that sets whether a graph is recorded on this thread."""

    _value = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(state.grad_enabled)
        state.grad_enabled = self._value

    def __exit__(self, *exc: object) -> None:
        state.grad_enabled = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _decorate(function, self.clone)

    def clone(self) -> Any:
        """A fresh context of the same kind: one per call of a decorated function."""
        return type(self)()


def _decorate(function: Callable[..., Any], context: Callable[[], Any]) -> Callable[..., Any]:
    from functools import wraps

    if function.__code__.co_flags & 0x20 if hasattr(function, "__code__") else False:  # a generator: enter around each step
        @wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Any:
            with context():
                generator = function(*args, **kwargs)
            sent = None
            while True:
                try:
                    with context():
                        item = generator.send(sent)
                except StopIteration as stop:
                    return stop.value
                sent = yield item
        return steps

    @wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)
    return inside


class no_grad(_GradMode):  # noqa: N801 - torch's name
    """Record no graph inside: `with no_grad():` or `@no_grad()` (or `@no_grad`)."""

    _value = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return object.__new__(cls) if function is None else _decorate(function, cls)


class enable_grad(no_grad):  # noqa: N801 - torch's name
    """Record a graph inside, also within `no_grad`."""

    _value = True


class set_grad_enabled(_GradMode):  # noqa: N801 - torch's name
    """Record a graph or not: as a function at once, as a context manager until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._value = bool(mode)
        self._entered_from: bool | None = state.grad_enabled
        state.grad_enabled = self._value

    def __enter__(self) -> None:
        self._before.append(state.grad_enabled if self._entered_from is None else self._entered_from)
        self._entered_from = None
        state.grad_enabled = self._value

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._entered_from is not None:
            state.grad_enabled = self._entered_from
        return _decorate(function, self.clone)

    def clone(self) -> set_grad_enabled:
        return set_grad_enabled(self._value)


class inference_mode(Mode):  # noqa: N801 - torch's name
    """Record nothing inside and never let its results enter a graph: a stricter `no_grad`."""

    def __new__(cls, mode: Any = True) -> Any:
        return _decorate(mode, cls) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.enabled = mode

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _decorate(function, lambda: inference_mode(self.enabled))

    def __enter__(self) -> inference_mode:
        super().__enter__()
        self._grad_before = state.grad_enabled
        if self.enabled:
            state.grad_enabled = False
        else:
            state.mode = self._below
            state.grad_enabled = True
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        state.grad_enabled = self._grad_before

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        result = self.proceed(run, op, inputs, meta)
        for out in _as_list(result):
            if out._storage is None:
                out._storage = InferenceStorage()
        return result


def is_grad_enabled() -> bool:
    """Is a graph recorded on this thread?"""
    return state.grad_enabled


def is_inference_mode_enabled() -> bool:
    """Is inference mode on for this thread?"""
    return isinstance(state.mode, inference_mode)


_identity = Op("alias", lambda x: x[...], lambda g: g, view=True)
