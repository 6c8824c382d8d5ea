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

The nodes themselves are in nodes.py, writes in place in inplace.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state, errors
from mytorch.backends import MANY, NO_VIEW, kernels
from mytorch.dtypes import BFLOAT16_NP
from mytorch.engine_state import GradientEdge, Storage, TensorBase, as_array, as_tensor, get_grad_enabled, get_mode, register, state, storage_of
from mytorch.grad_mode import Mode, enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from mytorch.hooks import Hooks, RemovableHandle
from mytorch.nodes import (
    FREED,
    NO_VERSIONS,
    NOTHING,
    AccumulateGrad,
    BackwardFunction,
    Node,
    Output,
    attach,
    bare,
    edge_to,
    gradient_edge,
    leaf_node,
    node_of,
    number_of,
    requires_grad,
)

if TYPE_CHECKING:
    from mytorch.engine_state import Edge

__mytorch__ = True

_getframe = sys._getframe
_NONE, _SEVERAL = -1, -2  # how many saved values a formula names, where it is not one
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
        kept: names of what else the kernel returns, behind its one output: arrays for the formulas alone, which nobody is shown.
        view: the output is a view of the first input's memory wherever NumPy's is.
        holomorphic: complex differentiable; then a formula is written as for real numbers and conjugated here.
        composite: a plain composition of other operations with the same result, which is what `create_graph=True`
            differentiates where the formulas are not differentiable themselves.

    Attributes:
        over: the formula of a function of one array with its result written over g, where nobody else needs g; or None.
    """

    __slots__ = ("_plans", "composite", "formulas", "holomorphic", "inputs", "joint", "keeps_output", "kept", "kernel",
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
        # What the walk calls: the formula itself where it names nothing that is saved (_NONE) or one saved value (its place).
        places = [*self.inputs, *self.outputs]
        self.quick = [(bound, _SEVERAL) if formula is None or joint is not None else (formula, _NONE) if not names
                      else (formula, places.index(names[0])) if len(names) == 1 and names[0] in places else (bound, _SEVERAL)
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
            return y[0] if self.kept else y
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
        pairs = [(y, dy) for y, dy in zip(_as_list(outputs), g if self.several else [g], strict=False) if dy is not None and requires_grad(y)]
        found = iter(grad([y for y, _ in pairs], targets, [dy for _, dy in pairs], create_graph=recording, allow_unused=True))
        return [None if edge is None else next(found) for edge in node.edges]

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
        if name == "meta":
            return lambda saved, needs: saved[-1]
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
    outs = [engine_state.wrap(y) for y in results]
    if op.view:
        for out in outs:
            engine_state.note_view(op, inputs[0], out, meta, True)
    if not mask:
        return type(results)(outs)
    kinds = [y.dtype.kind for y in results]
    if not _DIFFERENTIABLE.isdisjoint(kinds):
        node = record(op, inputs, arrays, edges, mask, meta)
        if "c" in kinds or "V" in kinds:
            node.careful = True
        node.conjugate = False
        node.shape, node.dtype = None, results[0].dtype
        node.outputs = [(y.shape, y.dtype) for y in results]
        node._storage = None
        for nr in op.plan(mask, len(arrays))[1]:
            node.saved[len(arrays) + nr] = results[nr]
            node.keepers += (bare(outs[nr]),)
        for nr, out in enumerate(outs):
            if kinds[nr] in "fcV":
                out._edge = edge = edge_to(node, nr)
                edge._storage = out._storage
    return type(results)(outs)


# ---- the walk -----------------------------------------------------------------------------------------------------------------


def topological_order(roots: Iterable[Node]) -> list[Node]:
    """All nodes behind the roots, parents before children: postorder of an iterative depth-first search, O(nodes + edges)."""
    order: list[Node] = []
    visited: set[Node] = set()
    stack: list[Any] = list(roots)  # nodes, and None as a mark
    while stack:
        node = stack.pop()
        if node is None:  # everything behind the node below the mark is placed
            order.append(stack.pop())
        elif node not in visited:
            visited.add(node)
            stack += (node, None)
            for parent in node.edges:
                if parent is None or parent in visited:
                    continue
                if type(parent) is AccumulateGrad:  # nothing is behind a leaf: it is placed at once
                    visited.add(parent)
                    order.append(parent)
                else:
                    stack.append(parent.node if type(parent) is Output else parent)
    return order


def _needed_for(targets: set[Node], order: list[Node]) -> set[Node]:
    """The nodes through which a gradient reaches one of the targets."""
    needed = set(targets)
    for node in order:  # parents come first
        if any(node_of(edge) in needed for edge in node.edges):
            needed.add(node)
    return needed


def walk(roots: list[tuple[Edge, Any]], keep_graph: bool, create_graph: bool, targets: list[Edge] | None) -> list[Any] | None:
    """Send gradients from the roots through the graph.

    Without targets, leaves accumulate into `.grad`. With targets, the gradients that arrive at those edges are returned
    instead, and only nodes on the way to one of them run.
    """
    order: list[Any] = topological_order([node_of(edge) for edge, _ in roots])
    wanted: dict[Node, list[tuple[int, int]]] = {}
    needed = None
    caught: list[Any] | None = None
    if targets is not None:
        for place, edge in enumerate(targets):
            wanted.setdefault(node_of(edge), []).append((place, number_of(edge)))
        needed = _needed_for(set(wanted), order)
        caught = [None] * len(targets)
    pending: dict[Node, Any] = {}
    for edge, g in roots:
        _hand_over(pending, edge, g)
    as_tensors = create_graph or state.mode is not None
    plain = not as_tensors and targets is None and not state.check_nan and state.watcher is None
    visit = state.watcher or _visit
    enabled, state.grad_enabled = state.grad_enabled, create_graph
    origin = state.origin if as_tensors else None
    following = state.follow_walks
    if following:
        outer, state.walk = state.walk, engine_state.Walk(order, needed)
    try:
        while order:
            node = order.pop()
            g = pending.pop(node, None)
            if g is None:
                continue
            try:
                # What follows is `_visit` and `run` for the plain case, unrolled for speed.
                if type(node) is AccumulateGrad and plain and node.hooks is None:
                    if node.variable._requires_grad:  # else it was detached since
                        node.accumulate(g, 1)
                    continue
                if node.careful or not plain:
                    visit(node, g, pending, keep_graph, as_tensors, needed, wanted, caught)
                    continue
                saved = node.saved
                if saved:
                    if node._storage is not None:
                        node.check_version(node._storage, len(node.edges))
                    for keeper in node.keepers:
                        if keeper._storage is not None:
                            node.check_keeper(keeper)
                op = node.op
                quick = op.quick
                grads = None if op.joint is None else list(op.formulas[0](g, saved, tuple([parent is not None for parent in node.edges])))
                i = -1
                for parent in node.edges:
                    i += 1  # an enumerate() would take longer than all the rest of an idle round
                    if parent is None:
                        continue
                    storage = parent._storage
                    if storage is not None and saved and saved[i] is not None and storage.version != node.versions.get(storage, 0):
                        node.check_version(storage, i)  # somebody has written to this input since it was saved
                    if grads is not None:
                        d = grads[i]
                    else:
                        formula, place = quick[i]
                        if op.over is not None and g.size >= MANY and sys.getrefcount(g) == _ALONE and _is_own(g):
                            formula = op.over
                        d = formula(g, saved[place]) if place >= 0 else formula(g) if place == _NONE else formula(g, saved)
                    if d is None:
                        continue
                    if d.dtype is _FLOAT32 is parent.dtype and d.shape == parent.shape:
                        before = pending.get(parent)
                        pending[parent] = d if before is None else before + d if d.size < MANY else _sum(before, d)
                    else:
                        _hand_over(pending, parent, d)
                if saved and not keep_graph and node.versions is not None:  # node.release()
                    node.saved = FREED
                    node.keepers = NOTHING
                    node.careful = True
                saved = d = grads = before = None
            except Exception as error:
                raise _name_line(error, node)  # noqa: B904 - the same exception, with the line added
    finally:
        state.grad_enabled = enabled
        if as_tensors:
            state.origin = origin
        if following:
            state.walk = outer
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
    if needed is not None and not any(node_of(edge) in needed for edge in node.edges):
        return  # a target with no other behind it: its own derivative is not asked for, and its saved values stay
    if type(node) is AccumulateGrad:
        if caught is None and node.variable._requires_grad:  # else it was detached since
            node.accumulate(g, 2)
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
    for edge, d in zip(node.edges, grads, strict=True):
        if edge is not None and d is not None:
            _hand_over(pending, edge, d)


def _refuse_nan(node: Node, grads: Sequence[Any]) -> None:
    for i, d in enumerate(grads):
        array = as_array(d)
        if array is not None and array.dtype.kind in "fc" and np.isnan(array).any():
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")


# References to a gradient that waits in `pending`, and that nobody else has: there, in the walk, and two here. From Python 3.14 on
# references are borrowed and the count tells less.
_WAITING = 4 if sys.version_info < (3, 14) else -1
_ALONE = 2 if sys.version_info < (3, 14) else -1  # the same of one that the walk has taken: there, and in the call


def _is_own(g: Any) -> bool:
    """Whether an array is no view of another, and may be written."""
    return type(g.base) in NO_VIEW and g.flags.writeable


def _sum(waiting: Any, d: Any) -> Any:
    """The sum of two large float32 gradients: written over the first where only the walk knows it, which saves a third of the memory traffic."""
    owned = sys.getrefcount(waiting) <= _WAITING and _is_own(waiting)
    return kernels["add_to" if owned else "add"](waiting, d)


def _add(a: Any, b: Any) -> Any:
    if type(a) is ndarray:
        if a.dtype == BFLOAT16_NP:
            return (as_tensor(a) + as_tensor(b))._array
        if a.size >= MANY:
            return kernels["add"](a, b)
    return a + b


def _hand_over(pending: dict[Node, Any], edge: Edge, d: Any) -> None:
    """Give a gradient to a parent: reduced to the shape that was broadcast, cast to its dtype, added to what it has."""
    parent: Any = edge
    nr = 0
    if type(edge) is Output:
        parent, nr = edge.node, edge.nr
    shape, dtype = (parent.shape, parent.dtype) if parent.shape is not None else parent.outputs[nr]
    array = d if type(d) is ndarray else as_array(d)
    if array.shape != shape:
        try:
            d = kernels["sum_to"](d, shape=shape) if d is array else engine_state.sum_to(d, shape=shape)
        except (ValueError, IndexError):
            raise RuntimeError(f"a gradient of shape {list(array.shape)} arrived at {parent.name()}, "
                               f"whose output has shape {list(shape)}") from None
        array = as_array(d)
    if array.dtype is not dtype and array.dtype != dtype:
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
            g = np.empty(array.shape, np.float32)
            g.fill(1)
            if array.dtype is not _FLOAT32:
                g = engine_state.to_dtype(g, dtype=array.dtype)
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


def _start(outputs: Sequence[Any], grads: Any, keep: bool | None, create_graph: bool, inputs: Sequence[Any] | None) -> list[Any] | None:
    """Walk from the outputs, through the modes that want to see it; with inputs, their gradients."""
    run = walk_from if state.mode is None else state.mode.walk_back
    return run(outputs, grads, create_graph if keep is None else keep, create_graph, inputs)


def walk_from(outputs: Sequence[Any], grads: Any, keep: bool, create_graph: bool, inputs: Sequence[Any] | None) -> list[Any] | None:
    """The walk itself: on arrays, or on Tensors if a graph of it is asked for or a mode is to see its operations."""
    targets = None if inputs is None else _target_edges(inputs)
    as_tensors = create_graph or state.mode is not None
    roots = [(edge, as_tensor(g) if as_tensors else as_array(g)) for edge, g in _roots(outputs, grads)]
    return walk(roots, keep, create_graph, targets)


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
    outputs = _as_list(tensors)
    if grad_tensors is None:
        grad_tensors = grad_variables
    if inputs is None:
        _start(outputs, grad_tensors, retain_graph, create_graph, None)
        return
    inputs = _as_list(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    found = _start(outputs, grad_tensors, retain_graph, create_graph, inputs) or []
    for x, g in zip(inputs, found, strict=True):
        if g is not None and not getattr(x, "retains_grad", False):  # else it has the gradient already
            with set_grad_enabled(create_graph):
                AccumulateGrad(x).accumulate(g, 2)


def _as_list(value: Any) -> list[Any]:
    """One or several tensors as a list; for a GradientEdge its leaf, or a tensor that stands in for the node's output."""
    if isinstance(value, (TensorBase, GradientEdge)):
        value = [value]
    return [_stand_in(x) if type(x) is GradientEdge else x for x in value]


def _stand_in(edge: GradientEdge) -> TensorBase:
    node, nr, _ = edge
    if isinstance(node, AccumulateGrad):
        return node.variable
    shape, dtype = (node.shape, node.dtype) if node.shape is not None else node.outputs[nr]
    x: TensorBase = engine_state.wrap(np.broadcast_to(np.zeros((), dtype), shape))
    attach(x, edge_to(node, nr))
    return x


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
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    outputs = _as_list(outputs)
    inputs = _as_list(inputs)
    if is_grads_batched:
        from mytorch.func.vmap import batched_gradients
        return batched_gradients(outputs, inputs, grad_outputs, retain_graph=retain_graph, create_graph=create_graph,
                                 allow_unused=allow_unused, materialize_grads=materialize_grads)
    found = _start(outputs, grad_outputs, retain_graph, create_graph, inputs) or []
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
    "AccumulateGrad", "BackwardFunction", "Hooks", "Mode", "Node", "Op", "RemovableHandle", "Storage", "TensorBase", "apply", "backward",
    "enable_grad", "grad", "gradient_edge", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "leaf_node", "no_grad", "record",
    "register", "requires_grad", "set_grad_enabled", "state", "storage_of", "topological_order", "walk",
]
