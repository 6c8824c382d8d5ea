"""The backward walk: how a gradient finds its way from an output to the leaves, and what users start it with: `backward`, `grad`.

The walk visits each node once, in reverse topological order from an iterative depth-first search. A node turns the gradient of its output
into one per input, from the formulas of its operation, and hands them to its parents; what comes in from several sides is added up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state
from mytorch.backends import MANY, NO_VIEW, kernels
from mytorch.dtypes import BFLOAT16_NP
from mytorch.engine_state import GradientEdge, TensorBase, as_array, as_tensor, get_grad_enabled, get_mode, put_grad_enabled, state
from mytorch.grad_mode import set_grad_enabled
from mytorch.late_product import LateProduct, taken
from mytorch.nodes import FREED, NO_VALUE, NOTHING, AccumulateGrad, Node, Output, attach, edge_to, gradient_edge, node_of, number_of

if TYPE_CHECKING:
    from mytorch.engine_state import Edge

__mytorch__ = True

_FLOAT32 = np.dtype(np.float32)
# References to a gradient that waits in `pending`, and that nobody else has: there, in the walk, and two here. From Python 3.14 on
# references are borrowed and the count tells less.
_WAITING = 4 if sys.version_info < (3, 14) else -1
_ALONE = 2 if sys.version_info < (3, 14) else -1  # the same of one that the walk has taken: there, and in the call


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
    pending: dict[Any, Any] = {}  # the gradients that have arrived, by node
    for edge, g in roots:
        _hand_over(pending, edge, g)
    as_tensors = create_graph or get_mode() is not None
    plain = not as_tensors and targets is None and not state.check_nan and state.watcher is None
    visit = state.watcher or _visit
    enabled = get_grad_enabled()
    put_grad_enabled(create_graph)
    origin = state.origin if as_tensors else None
    following = state.follow_walks
    if following:
        outer, state.walk = state.walk, engine_state.Walk(order[:], needed)
    node: Any = None
    try:
        while order:
            node = order.pop()
            g = pending.pop(node, None)
            if g is None:
                continue
            if type(g) is LateProduct:
                g = g.value()
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
            grads = None if op.at_once is None else op.at_once(g, saved, tuple([parent is not None for parent in node.edges]))
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
                    d = formula(g, saved[place]) if place >= 0 else formula(g) if place == NO_VALUE else formula(g, saved)
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
        put_grad_enabled(enabled)
        if as_tensors:
            state.origin = origin
        if following:
            state.walk = outer
    return caught


def _visit(node: Node, g: Any, pending: dict[Any, Any], keep_graph: bool, create_graph: bool,
           needed: set[Node] | None, wanted: dict[Node, list[tuple[int, int]]], caught: list[Any] | None) -> None:
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


def _is_own(g: Any) -> bool:
    """Whether an array is no view of another, and may be written."""
    return type(g.base) in NO_VIEW and g.flags.writeable


def _sum(waiting: Any, d: Any) -> Any:
    """The sum of two large float32 gradients: written over the first where only the walk knows it, which saves a third of the memory traffic."""
    if type(waiting) is LateProduct:
        return waiting + d
    if type(d) is LateProduct:
        return d + waiting
    owned = sys.getrefcount(waiting) <= _WAITING and _is_own(waiting)
    return kernels["add_to" if owned else "add"](waiting, d)


def _add(a: Any, b: Any) -> Any:
    if type(a) is ndarray:
        if a.dtype == BFLOAT16_NP:
            return (as_tensor(a) + as_tensor(b))._array
        if a.size >= MANY:
            return kernels["add"](a, b)
    return a + b


def _hand_over(pending: dict[Any, Any], edge: Edge, d: Any) -> None:
    """Give a gradient to a parent: reduced to the shape that was broadcast, cast to its dtype, added to what it has."""
    d = taken(d)
    parent: Any = edge
    nr = 0
    if type(edge) is Output:
        parent, nr = edge.node, edge.nr
    shape, dtype = parent.shape, parent.dtype
    if shape is None:
        shape, dtype = parent.outputs[nr]
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
    before = pending.get(parent)
    if parent.shape is None:
        slots = pending[parent] = before or [None] * len(parent.outputs)
        slots[nr] = d if slots[nr] is None else _add(slots[nr], d)
    else:
        pending[parent] = d if before is None else _add(before, d)


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


def _roots(outputs: Sequence[Any], grad_outputs: Any, form: Callable[[Any], Any]) -> list[tuple[Edge, Any]]:
    """Where the walk begins: the edge of each output and the gradient that enters there, as an array or a Tensor by `form`."""
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
            g = np.empty(array.shape, _FLOAT32)
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
        roots.append((edge, form(g)))
    return roots


def _start(outputs: Sequence[Any], grads: Any, keep: bool | None, create_graph: bool, inputs: Sequence[Any] | None) -> list[Any] | None:
    """Walk from the outputs, through the modes that want to see it; with inputs, their gradients."""
    run = walk_from if get_mode() is None else state.mode.walk_back
    return run(outputs, grads, create_graph if keep is None else keep, create_graph, inputs)


def walk_from(outputs: Sequence[Any], grads: Any, keep: bool, create_graph: bool, inputs: Sequence[Any] | None) -> list[Any] | None:
    """The walk itself: on arrays, or on Tensors if a graph of it is asked for or a mode is to see its operations."""
    targets = None if inputs is None else _target_edges(inputs)
    roots = _roots(outputs, grads, as_tensor if create_graph or get_mode() is not None else as_array)
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
    if isinstance(value, TensorBase):
        return [value]
    if isinstance(value, GradientEdge):
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
