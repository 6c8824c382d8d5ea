"""The autograd engine: what an operation is, and how one that runs becomes a node of the graph.

Running an operation goes through one door, `apply`:

1. the forward kernel runs on the arrays of the inputs;
2. if an input needs a gradient, a node is made. It remembers the operation, what the derivative formulas will need, and
   its edges: for each input the parent's own node, an `AccumulateGrad` node for a leaf that requires a gradient, or
   None for a constant;
3. the node is stored on the output tensor, where users see it as `grad_fn`.

A built-in operation (`Op`) is a kernel on arrays and one formula per input. Formulas use only operators and functions
that hold for arrays and for Tensors alike: the walk hands them arrays, or Tensors under `create_graph=True`, so that the
same formula serves first and higher derivatives.

The nodes themselves are in nodes.py, the walk back through them in backward_walk.py, writes in place in inplace.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state, errors
from mytorch.backward_walk import backward, grad, topological_order, walk
from mytorch.engine_state import Storage, TensorBase, get_grad_enabled, get_mode, register, state, storage_of
from mytorch.grad_mode import Mode, enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from mytorch.hooks import Hooks, RemovableHandle
from mytorch.nodes import (
    NO_VALUE,
    NO_VERSIONS,
    NOTHING,
    SEVERAL_VALUES,
    AccumulateGrad,
    BackwardFunction,
    Node,
    bare,
    edge_to,
    gradient_edge,
    leaf_node,
    requires_grad,
)

if TYPE_CHECKING:
    from mytorch.engine_state import Edge

__mytorch__ = True

_getframe = sys._getframe
_FLOAT32 = np.dtype(np.float32)
_DIFFERENTIABLE = frozenset("fcV")  # the kinds of dtypes that have gradients: real, complex, bfloat16


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
        kept: names of what else the kernel returns, behind its outputs: arrays for the formulas alone, which nobody is shown.
        view: the output is a view of the first input's memory wherever NumPy's is.
        holomorphic: complex differentiable; then a formula is written as for real numbers and conjugated here.
        composite: a plain composition of other operations with the same result, which is what `create_graph=True`
            differentiates where the formulas are not differentiable themselves.

    Attributes:
        over: the formula of a function of one array with its result written over g, where nobody else needs g; or None.
        at_once: a function of (g, saved, needs) on arrays that returns all gradients: `joint`, or where one kernel can compute what
            several formulas say; or None.
    """

    __slots__ = ("_plans", "at_once", "composite", "formulas", "holomorphic", "inputs", "joint", "keeps_output", "kept", "kernel",
                 "name", "output_count", "outputs", "over", "quick", "several", "title", "uses", "variadic", "view")

    def __init__(self, name: str, kernel: Callable[..., Any], *formulas: Callable[..., Any] | None, inputs: str | None = None,
                 joint: Callable[..., Any] | None = None, outputs: str = "y", kept: str = "", view: bool = False,
                 holomorphic: bool = True, composite: Callable[..., Any] | None = None) -> None:
        assert not kept or composite is not None, "formulas take what is kept for constants: derivatives of them need the composite"
        self.name = name
        self.kernel = kernel
        self.view = view
        self.holomorphic = holomorphic
        self.composite = composite
        self.over: Callable[..., Any] | None = None
        self.outputs = [*outputs.split(), *kept.split()]
        self.output_count = len(self.outputs)
        self.kept = len(kept.split())
        self.several = outputs != "y"
        self.inputs = _positional_names(kernel) if inputs is None else inputs.split()
        self.joint = joint
        self.variadic = joint is not None  # the number of inputs may differ from call to call
        self.uses = [_argument_names(f)[1:] for f in formulas] if joint is None else [_argument_names(joint)[1:]]
        self.keeps_output = any(name in self.outputs for names in self.uses for name in names)
        self.formulas = [self._bind(f, names) for f, names in zip(formulas if joint is None else (joint,), self.uses, strict=True)]
        self.at_once: Callable[..., Any] | None = None if joint is None else self.formulas[0]
        # What the walk calls: the formula itself where it names nothing that is saved (NO_VALUE) or one saved value (its place).
        places = [*self.inputs, *self.outputs]
        self.quick = [(bound, SEVERAL_VALUES) if formula is None or joint is not None else (formula, NO_VALUE) if not names
                      else (formula, places.index(names[0])) if len(names) == 1 and names[0] in places else (bound, SEVERAL_VALUES)
                      for formula, bound, names in zip(formulas, self.formulas, self.uses)]
        self._plans: dict[Any, tuple[list[int], list[int], bool, bool]] = {}
        self.title = name

    def variant(self, title: str) -> Op:
        """The same operation under another title, from which its nodes take their name (see node_names.py)."""
        twin = _variants.get((self, title))
        if twin is None:
            twin = _variants[self, title] = object.__new__(Op)
            for slot in Op.__slots__:
                setattr(twin, slot, getattr(self, slot))
            twin.title = title
        return twin

    def __call__(self, *inputs: Any, **meta: Any) -> Any:
        """The operation on arrays or on Tensors, whichever it is given."""
        for x in inputs:
            if type(x) is not ndarray and x is not None:
                break
        else:
            y = self.kernel(*inputs, **meta)
            return y if not self.kept else y[:-self.kept] if self.several else y[0]
        if any(isinstance(x, TensorBase) for x in inputs):
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
            known = {*self.inputs, *self.outputs, "inputs", "needs", "shapes"}  # and `meta`, which is all of it
            meta = self.composite is not None or any(name not in known and not name.endswith("_shape") for name in names)
            plan = self._plans[key] = (ins, outs, shapes, meta)
        return plan

    def composite_gradients(self, node: BackwardFunction, g: Any, saved: list[Any]) -> Sequence[Any]:
        """Gradients of a fused operation as Tensors with a graph of their own, through the plain composition of operations."""
        assert self.composite is not None
        count = len(node.edges)
        recording = state.grad_enabled
        with enable_grad():
            attached = [_alias(x) if isinstance(x, TensorBase) and edge is not None else x
                        for x, edge in zip(saved[:count], node.edges, strict=True)]
            outputs = self.composite(*attached, *saved[count:count + self.output_count - self.kept], **(saved[-1] or {}))
        targets = [x for x, edge in zip(attached, node.edges, strict=True) if edge is not None]
        outputs = [outputs] if isinstance(outputs, TensorBase) else outputs
        pairs = [(y, dy) for y, dy in zip(outputs, g if self.several else [g], strict=False) if dy is not None and requires_grad(y)]
        found = iter(grad([y for y, _ in pairs], targets, [dy for _, dy in pairs], create_graph=recording, allow_unused=True))
        return [None if edge is None else next(found) for edge in node.edges]

    def _bind(self, formula: Callable[..., Any] | None, names: list[str]) -> Callable[..., Any]:
        """The formula as a function of (g, saved), or (g, saved, needs) if joint; the names it uses are looked up once, here."""
        if formula is None:
            def refuse(g: Any, saved: Any) -> Any:
                raise NotImplementedError(f"derivative for {self.name} is not implemented")
            return refuse
        places = [self._place(name) for name in names]
        if self.joint is not None:
            return lambda g, saved, needs: formula(
                g, *[needs if at is None else saved[at] if key is None else saved[at][key] for at, key in places])
        if not names:
            return lambda g, saved: formula(g)
        if any(key is not None for _, key in places):
            return lambda g, saved: formula(g, *[saved[at] if key is None else saved[at][key] for at, key in places])
        pick: Any = itemgetter(*[at for at, _ in places])
        if len(names) == 1:
            return lambda g, saved: formula(g, pick(saved))
        return lambda g, saved: formula(g, *pick(saved))

    def _place(self, name: str) -> tuple[Any, Any]:
        """Where a formula finds what it names: the place in the list of what was saved (None for `needs`), and the key there, or None.

        The list holds the inputs (their number may vary), the outputs, then a list of the inputs' shapes, then the metadata.
        """
        if name == "needs":
            return None, None
        if name == "inputs":
            return slice(None, -2 - self.output_count), None
        if name == "shapes":
            return -2, None
        if name == "meta":
            return -1, None
        if name in self.outputs:
            return self.outputs.index(name) - 2 - self.output_count, None
        if name in self.inputs:
            return self.inputs.index(name), None
        if name.endswith("_shape") and name[:-6] in self.inputs:
            return -2, self.inputs.index(name[:-6])
        return -1, name


_variants: dict[tuple[Op, str], Op] = {}


def _argument_names(function: Callable[..., Any] | None) -> list[str]:
    if function is None:
        return ["g"]
    code = function.__code__
    return list(code.co_varnames[:code.co_argcount + code.co_kwonlyargcount])


def _positional_names(function: Callable[..., Any]) -> list[str]:
    code = getattr(function, "reference", function).__code__
    return list(code.co_varnames[:code.co_argcount])


def _alias(x: TensorBase) -> Any:
    return apply(_identity, (x,))


# ---- the door -----------------------------------------------------------------------------------------------------------------


def apply(op: Op, inputs: tuple[Any, ...], meta: dict[str, Any] | None = None) -> Any:
    """Run an operation on Tensors (and constants) and, where a gradient is needed, put its node into the graph."""
    if get_mode() is not None:
        return state.mode.handle(apply, op, inputs, meta)
    edges: list[Edge | None] = []
    mask = 0
    if get_grad_enabled():
        arrays = []
        bit = 1
        for x in inputs:
            if isinstance(x, TensorBase):
                arrays.append(x._array)
                if x._view is not None:
                    x._view.refresh(x)
                edge = x._edge
                if edge is not None:
                    mask |= bit
                    edges.append(edge)
                elif x._requires_grad:
                    mask |= bit
                    edges.append(leaf_node(x))
                else:
                    edges.append(None)
            else:
                arrays.append(x)
                edges.append(None)
            bit += bit
    else:
        arrays = [x._array if isinstance(x, TensorBase) else x for x in inputs]
    try:
        if meta:
            y = op.kernel(*arrays, **meta)
        elif len(arrays) == 2:  # without the star a tenth of a microsecond less
            y = op.kernel(arrays[0], arrays[1])
        elif len(arrays) == 1:
            y = op.kernel(arrays[0])
        else:
            y = op.kernel(*arrays)
    except MemoryError as error:
        raise errors.no_memory(op.name, error) from None
    if op.several:
        return _finish(op, inputs, arrays, edges, mask, meta, y)
    kept = ()
    if op.kept:
        y, *kept = y
    out = engine_state.wrap(y)
    if op.view:
        engine_state.note_view(op, inputs[0], out, meta, False)
    if mask:
        dtype = y.dtype
        if dtype is _FLOAT32 or dtype.kind in "fcV":
            node = record(op, inputs, arrays, edges, mask, meta, y, kept)
            node.shape = y.shape
            node.dtype = dtype
            node._storage = out._storage
            if dtype is not _FLOAT32 and dtype.kind in "cV":
                node.careful, node.conjugate = True, op.holomorphic and dtype.kind == "c"
            out._edge = node
    return out


def record(op: Op, inputs: Sequence[Any], arrays: list[Any], edges: list[Edge | None], mask: int, meta: Any,
           y: Any = None, kept: Sequence[Any] = ()) -> BackwardFunction:
    """A node that knows its operation, its parents, what its formulas need (inputs, the only output y, and `kept`), and the user's line."""
    node = BackwardFunction()
    node.op = op
    node.edges = edges
    node.hooks = None
    node.careful = False
    plan = op._plans.get((mask, len(arrays)) if op.variadic else mask)
    if plan is None:
        plan = op.plan(mask, len(arrays))
    ins, outs, shapes, uses_meta = plan
    if ins or outs or shapes or uses_meta:
        saved: list[Any] = [None] * (len(arrays) + op.output_count + 2)
        keepers: tuple[TensorBase, ...] = ()
        versions: Any = NO_VERSIONS if ins or outs else None
        if kept:
            for nr in outs:
                saved[len(arrays) + nr] = kept[nr - 1] if nr else y
        elif outs and y is not None:
            saved[-3] = y
        for i in ins:
            array = saved[i] = arrays[i]
            edge = edges[i]
            if edge is not None:
                storage = edge._storage
            else:
                x = inputs[i]
                if x is array:  # a number
                    continue
                keepers += (x,)
                storage = x._storage
            if storage is not None and storage.version:
                if versions is NO_VERSIONS:
                    versions = {}
                versions[storage] = storage.version
            if array.dtype is not _FLOAT32 and array.dtype.kind == "V":
                node.careful = True
        if shapes:
            saved[-2] = [getattr(a, "shape", ()) for a in arrays]
        if uses_meta:
            saved[-1] = meta
        node.saved = saved
        node.keepers = keepers
        node.versions = versions
    else:
        node.saved = NOTHING
    frame: Any = _getframe(3)  # user -> public function -> apply -> here
    if "__mytorch__" in frame.f_globals:
        node.remember_line(frame)
    else:
        node.code = frame.f_code
        node.lasti = frame.f_lasti
    return node


def _finish(op: Op, inputs: Sequence[Any], arrays: list[Any], edges: list[Edge | None], mask: int, meta: Any, results: Any) -> Any:
    """The end of `apply` for operations with several outputs."""
    shown = results[:-op.kept] if op.kept else results
    outs = [engine_state.wrap(y) for y in shown]
    if op.view:
        for out in outs:
            engine_state.note_view(op, inputs[0], out, meta, True)
    if not mask:
        return type(results)(outs)
    kinds = [y.dtype.kind for y in shown]
    if not _DIFFERENTIABLE.isdisjoint(kinds):
        node = record(op, inputs, arrays, edges, mask, meta)
        if "c" in kinds or "V" in kinds:
            node.careful = True
        node.conjugate = False
        node.shape, node.dtype = None, results[0].dtype
        node.outputs = [(y.shape, y.dtype) for y in shown]
        node._storage = None
        for nr in op.plan(mask, len(arrays))[1]:
            node.saved[len(arrays) + nr] = results[nr]
            if nr < len(outs):
                node.keepers += (bare(outs[nr]),)
        for nr, out in enumerate(outs):
            if kinds[nr] in "fcV":
                out._edge = edge = edge_to(node, nr)
                edge._storage = out._storage
    return type(results)(outs)


_identity = Op("alias", lambda x: x[...], lambda g: g, view=True)

__all__ = [
    "AccumulateGrad", "BackwardFunction", "Hooks", "Mode", "Node", "Op", "RemovableHandle", "Storage", "TensorBase", "apply", "backward",
    "enable_grad", "grad", "gradient_edge", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "leaf_node", "no_grad", "record",
    "register", "requires_grad", "set_grad_enabled", "state", "storage_of", "topological_order", "walk",
]
