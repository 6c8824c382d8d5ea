"""Views that share memory, and writes into it: which gradient goes where afterwards.

All aliases of one memory share a `Storage` that counts the writes. A view remembers its root and how to replay itself on it.
A write to a view gives the root a `CopySlices` node; a view whose memory was written since takes a new edge from the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from mytorch import engine_state
from mytorch.autograd_engine import Node, Op, gradient_edge, record, requires_grad
from mytorch.dtypes import from_numpy_dtype, legacy_name
from mytorch.engine_state import Array, InferenceStorage, TensorBase, as_array, get_grad_enabled, state, storage_of
from mytorch.grad_mode import enable_grad
from mytorch.nodes import BACKWARD_TWICE, attach, bare, copy_of, edge_to, node_of, number_of

if TYPE_CHECKING:
    from mytorch.engine_state import Edge

__mytorch__ = True


class View:
    """How a view came from the tensor that owns the memory: the root, and the view operations to replay on it."""

    __slots__ = ("above", "meta", "op", "refusal", "root", "version")

    root: TensorBase
    above: View | None  # the view that this one was made from, None for the root itself
    op: Op
    meta: Any
    version: int  # the storage's version when the view's edge was made
    refusal: str | None  # why autograd cannot follow an in-place write to it, if it cannot

    def owner(self) -> TensorBase:
        """The root; where a root was given another shape in place, the hidden tensor that kept the old one."""
        while self.root._view is not None:
            self.root = self.root._view.root
        return self.root

    @property
    def steps(self) -> list[tuple[Op, Any]]:
        """The view operations from the root to here."""
        steps = []
        view: View | None = self
        while view is not None:
            steps.append((view.op, view.meta))
            view = view.above
        return steps[::-1]

    def refresh(self, x: TensorBase) -> None:
        """Give x, whose view this is, a new edge if the memory was written since: the same view of its root as the root is now."""
        if isinstance(x._storage, InferenceStorage) or self.version == storage_of(x).version:
            return
        if not requires_grad(self.owner()) or (x._edge is None and x._requires_grad):
            self.version = storage_of(x).version
            return
        if self.refusal is not None:
            if self.refusal is _NO_GRAD:
                if not state.grad_enabled:
                    return
                raise RuntimeError(_STALE)
            raise RuntimeError(f"Output 0 of {node_of(x._edge).name() if x._edge else 'this operation'} {self.refusal}")
        self.version = storage_of(x).version
        with enable_grad():
            _move(x, _replay(self.steps, self.owner())._edge)


def _move(x: TensorBase, edge: Edge) -> None:
    """Give x a new node. If its gradient is retained, that moves along: asked for is the gradient of x as it is now."""
    before, nr = node_of(x._edge), number_of(x._edge)
    attach(x, edge)
    x._requires_grad = False
    if before is not None and before.hooks is not None:
        retained = before.hooks.retain.get(nr)
        if retained is not None and retained() is x:
            del before.hooks.retain[nr]
            node_of(edge).own_hooks().retain[number_of(edge)] = retained


def _replay(steps: list[tuple[Op, Any]], root: Array) -> Array:
    """The same view of another array or Tensor."""
    for op, meta in steps:
        root = op(root, **meta) if meta else op(root)
    return root


_SEVERAL = ("is a view and is being modified inplace. This view is the output of a function that returns multiple views. Such functions do "
            "not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one.")
_NO_GRAD = ("is a view and is being modified inplace. A view was created in no_grad mode and is being modified inplace with grad mode "
            "enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the "
            "view and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if "
            "you want the inplace to be tracked).")


_STALE = ("A view was created in no_grad mode and its base or another view of its base has been modified inplace with grad mode enabled. "
          "Given that this use case is ambiguous and error-prone, it is forbidden. Make the view again after the write, or clone() it "
          "when it is made.")


def note_view(op: Op, x: TensorBase, out: TensorBase, meta: Any, several: bool) -> None:
    """Let a view share the storage record of its base and remember how it came from the root of that memory."""
    source, base = x._array, out._array.base
    if base is not source and (base is None or base is not source.base) and source.size and not np.may_share_memory(source, out._array):
        return  # a reshape that had to copy
    storage = x._storage
    if storage is None:
        storage = storage_of(x)
    out._storage = storage
    above = x._view
    view = View()
    view.op = op
    view.meta = meta
    view.above = above
    view.version = 0 if type(storage) is InferenceStorage else storage.version
    if above is None:
        view.root = x
        view.refusal = None
    else:
        view.root = above.owner()
        view.refusal = above.refusal
    if several:
        view.refusal = view.refusal or _SEVERAL
    if not get_grad_enabled():
        view.refusal = _NO_GRAD
    out._view = view


def bump(x: TensorBase) -> None:
    """Count a write to the memory of x."""
    storage = x._storage
    if storage is None:
        storage = storage_of(x)
    if type(storage) is not InferenceStorage:
        storage.version += 1


def refuse_overlap(array: ndarray[Any, Any]) -> None:
    """Raise RuntimeError if several indices of an array that is to be written share one place, as after `expand`."""
    if array.size > 1 and any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
                           "Please clone() the tensor before performing the operation.")


def check_inplace(x: TensorBase, others: Iterable[Any] = ()) -> bool:
    """Is this in-place write to x part of the graph? Refuses what autograd could not get right, with torch's errors."""
    refuse_overlap(x._array)
    if not x._array.flags.writeable:
        x._array.flags.writeable = True  # NumPy broadcasts read-only; an overlap was refused above
    if not state.grad_enabled:
        return False
    if isinstance(x._storage, InferenceStorage):
        raise RuntimeError("Inplace update to inference tensor outside InferenceMode is not allowed. "
                           "You can make a clone to get a normal tensor before doing inplace update.")
    tracked = requires_grad(x)
    if x._edge is None and x._requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation. "
                           "Write under torch.no_grad(), or to a clone().")
    view = x._view
    if view is not None:
        root = view.owner()
        if root._edge is None and root._requires_grad:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation. "
                               "Write under torch.no_grad(), or to a view of a clone().")
        if view.refusal is not None and (tracked or requires_grad(root) or any(requires_grad(o) for o in others)):
            raise RuntimeError(f"Output 0 of {node_of(x._edge).name() if x._edge else 'this operation'} {view.refusal}")
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
        edges = [gradient_edge(i) if isinstance(i, TensorBase) else None for i in inputs]
        mask = sum(1 << i for i, edge in enumerate(edges) if edge is not None)
        node = record(op, inputs, arrays, edges, mask, meta)
        if node.saved and node.saved[0] is not None:
            node.saved[0] = arrays[0].copy()  # the formula wants the value before the write
            if edges[0] is not None:
                edges[0] = copy_of(edges[0])  # whose writes are not those of x
            else:
                node.keepers = node.keepers[1:]
        node._storage = storage_of(x)
        if node.saved:  # x itself must not be kept by its own node: that would be a cycle
            node.keepers = tuple(bare(x) if keeper is x else keeper for keeper in node.keepers)
    kernel = getattr(op.kernel, "into", op.kernel)
    y = kernel(*arrays, **meta) if meta else kernel(*arrays)
    if y is not x._array:
        _write(x, y)
    bump(x)
    if node is not None:
        node.shape, node.dtype = x._array.shape, x._array.dtype
        if node.dtype.kind in "cV":
            node.careful, node.conjugate = True, op.holomorphic and node.dtype.kind == "c"
        if op.plan(mask, len(arrays))[1]:
            node.saved[-3] = x._array
            others = [i for i, value in zip(inputs[1:], node.saved[1:]) if value is not None and isinstance(i, TensorBase)]
            if all(i._storage is not node._storage for i in others):  # else what they saved is gone: let backward say so
                node.versions = {**(node.versions or {}), storage_of(x): storage_of(x).version}
        rebase(x, node)
    return x


def _write(x: TensorBase, y: Any) -> None:
    target = x._array
    if y.shape != target.shape:
        raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(y.shape)}")
    if y.dtype is not target.dtype:
        given, wanted = from_numpy_dtype(y.dtype), from_numpy_dtype(target.dtype)
        if given.category > wanted.category:
            raise RuntimeError(f"result type {legacy_name(given)} can't be cast to the desired output type {legacy_name(wanted)}")
        y = as_array(engine_state.to_dtype(y, dtype=target.dtype))
    np.copyto(target, y)


def rebase(x: TensorBase, node: Node, nr: int = 0, place: int = 0) -> None:
    """After an in-place write: x's gradient now goes to `node`; if x is a view, so does that part of its root's.

    Args:
        nr: which output of `node` x is.
        place: which input of `node` it was.
    """
    view = x._view
    if view is None:
        _move(x, edge_to(node, nr))
        return
    root = view.owner()
    _move(root, CopySlices(gradient_edge(root), root, view, node, place))
    view.version = -1  # no version of the storage: refresh() always replays
    view.refresh(x)


class CopySlices(Node):
    """A root after a write to one of its views: the gradient of the written part goes through the write's own node."""

    __slots__ = ("order", "place", "steps", "write")

    def __init__(self, base: Edge | None, root: TensorBase, view: View, write: Node, place: int) -> None:
        self.steps: list[tuple[Op, Any]] = view.steps  # not the view: it knows its root, and that would be a cycle
        self.write: Node | None = write
        self.place = place  # which input of `write` was written to: its gradient goes to the root as it was before
        self.edges = [*write.edges[:place], base, *write.edges[place + 1:]]
        self.shape, self.dtype = root._array.shape, root._array.dtype
        strides = root._array.strides
        self.order = sorted(range(len(strides)), key=lambda d: -abs(strides[d]))  # the root's dimensions as they lie in memory
        self._storage = None
        self.hooks = None
        self.careful = True
        self.code, self.lasti = getattr(write, "code", None), getattr(write, "lasti", 0)

    def run(self, g: Any, as_tensors: bool, needed: set[Node] | None) -> Sequence[Any]:
        # `needed` does not hold for the write's own parents: the written input's is the view as it was before, which lies
        # off the way from the root to the targets.
        if self.write is None:
            raise RuntimeError(BACKWARD_TWICE)
        grads = list(self.write.run(_replay(self.steps, g), as_tensors, None))
        if self.edges[self.place] is not None:
            written = grads[self.place]
            before = self._copy(g, as_tensors)
            part = _replay(self.steps, before)
            if not as_tensors:
                np.copyto(part, np.zeros((), part.dtype) if written is None else written, casting="unsafe")
            elif written is None:
                part.zero_()
            else:
                part.copy_(written)
            grads[self.place] = before
        return grads

    def _copy(self, g: Any, as_tensors: bool) -> Any:
        """A copy of g laid out in memory as the root is, so that the view's steps find a view in it too."""
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        if as_tensors:
            return g.permute(self.order).contiguous().clone().permute(back)
        return np.array(g.transpose(self.order), order="C").transpose(back)

    def release(self) -> None:
        self.write = None  # what it saved may still be asked for: a saved output of it leads to it directly


engine_state.register(note_view=note_view)
