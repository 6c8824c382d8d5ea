"""What nodes keep for backward, packed and unpacked by hooks of the user.

A pair of hooks is a `Mode`: it lets each operation run, and then replaces what the new node has saved by what `pack` made of
it. The node's class becomes one whose `opened` calls `unpack`. Without hooks nothing of this is loaded or asked for.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from mytorch import engine_state
from mytorch.autograd_engine import Mode, gradient_edge
from mytorch.engine_state import TensorBase, get_grad_enabled, storage_of
from mytorch.grad_mode import no_grad
from mytorch.inplace import CopySlices, apply_inplace
from mytorch.nodes import BACKWARD_TWICE, FREED, BackwardFunction, Node, copy_of, node_of, seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from mytorch.autograd_engine import Op
    from mytorch.engine_state import Edge

__mytorch__ = True

_innermost: ContextVar[saved_tensors_hooks | None] = ContextVar("saved_tensors_hooks", default=None)
_refusal: ContextVar[str | None] = ContextVar("refusal_of_saved_tensors_hooks", default=None)

WRITTEN_BY_PACK = ("A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be modified by "
                   "in-place operations as this can lead to unexpected side-effects. Write to a clone() of it.")


class Packed:
    """In the place of a saved tensor: what `pack` returned, and how to get the tensor back."""

    __slots__ = ("edge", "unpack", "value")

    def __init__(self, pack: Callable[[Any], Any], unpack: Callable[[Any], Any], tensor: Any, edge: Edge | None = None) -> None:
        storage = storage_of(tensor)
        before = storage.version
        with no_grad():
            self.value = pack(tensor)
        if storage.version != before:
            raise RuntimeError(WRITTEN_BY_PACK)
        self.unpack = unpack
        self.edge = edge  # for the nodes of a user's Function: built-in ones know theirs

    def open(self) -> Any:
        """The tensor, outside of any graph.

        Raises:
            TypeError: if the hook returned something else.
        """
        found = self.unpack(self.value)
        if not isinstance(found, TensorBase):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(found).__name__}")
        return found

    def open_attached(self) -> Any:
        """The tensor, at its old place in the graph."""
        found = engine_state.wrap(self.open()._array)
        found._edge = None if self.edge is None else copy_of(self.edge)
        return found


class _PackedNode:
    """Mixed into the class of a node some of whose saved values are `Packed`."""

    __slots__ = ()

    def opened(self: Any) -> list[Any]:
        """The saved values, unpacked."""
        return [value.open()._array if type(value) is Packed else value for value in self.saved]

    def release(self: Any) -> None:
        """Drop what was saved: versions, which other nodes are asked for, are not kept beside hooks."""
        self.saved = FREED


_packed_classes: dict[type[BackwardFunction], type[BackwardFunction]] = {}


def _pack_places(node: BackwardFunction, places: dict[int, Any], pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> None:
    """Pack the saved arrays at these places; the tensors given are those that the hook sees."""
    saved = list(node.saved)
    for i, tensor in places.items():
        saved[i] = Packed(pack, unpack, tensor)
    packed = [node.saved[i] for i in places]
    node.saved = saved
    node.keepers = tuple(keeper for keeper in node.keepers if all(keeper._array is not value for value in packed))  # torch leaves them unchecked
    node.careful = True
    plain = type(seen(node))
    if not issubclass(plain, _PackedNode):
        if plain not in _packed_classes:
            _packed_classes[plain] = type(plain.__name__, (_PackedNode, plain), {"__slots__": ()})
        node.__class__ = _packed_classes[plain]


class saved_tensors_hooks(Mode):  # noqa: N801 - torch's name
    """Inside, each tensor that is saved for backward goes through a pair of hooks.

    `packed = pack_hook(tensor)` is kept in its place, and backward uses `unpack_hook(packed)`. A tensor that several operations
    save is packed for each. Of nested pairs the innermost alone is called.

    Args:
        pack_hook: called with the tensor when it is saved; returns anything. It must not write to it.
        unpack_hook: called with that, each time backward needs the tensor; returns a Tensor of the same values.
    Raises:
        RuntimeError: inside `disable_saved_tensors_hooks`, or if pack_hook writes to its tensor.
        TypeError: in backward, if unpack_hook does not return a Tensor.
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> saved_tensors_hooks:
        refusal = _refusal.get()
        if refusal is not None:
            raise RuntimeError(refusal)
        super().__enter__()
        self._outer = _innermost.get()
        _innermost.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _innermost.set(self._outer)
        super().__exit__(*exc)

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        """Run the operation, then pack what its node has saved."""
        if not get_grad_enabled() or _innermost.get() is not self:
            return self.proceed(run, op, inputs, meta)
        written = run is apply_inplace
        before = _written_node(inputs[0]) if written else None
        result = self.proceed(run, op, inputs, meta)
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        node = _written_node(outputs[0]) if written else next((node_of(y._edge) for y in outputs if y._edge is not None), None)
        if isinstance(node, BackwardFunction) and node is not before and node.op is op and node.saved and node.saved is not FREED:
            self._pack(node, inputs, outputs)
        return result

    def _pack(self, node: BackwardFunction, inputs: tuple[Any, ...], outputs: list[Any]) -> None:
        count = len(node.saved) - 2 - node.op.output_count
        places = {}
        for i, value in enumerate(node.saved[:-2]):
            hidden = i >= count + len(outputs)  # an array that the operation keeps for its formulas
            tensor = None if hidden else inputs[i] if i < count else outputs[i - count]
            if type(value) is ndarray and (hidden or isinstance(tensor, TensorBase)):
                places[i] = tensor if tensor is not None and tensor._array is value else engine_state.wrap(value)
        if places:
            _pack_places(node, places, self.pack_hook, self.unpack_hook)


def _written_node(x: Any) -> Any:
    """The node of the last write to x; of a view, it hangs in its root's CopySlices."""
    if x._view is None:
        return node_of(x._edge)
    node = node_of(x._view.owner()._edge)
    return node.write if isinstance(node, CopySlices) else None


def pack_for_function(tensor: Any, nr: int | None, node: Node) -> Packed | None:
    """What a user's Function keeps instead of a tensor it saves, if hooks are set; `nr`: which output of it, if it is one."""
    hooks = _innermost.get()
    if hooks is None or all(edge is None for edge in node.edges):
        return None
    # An output's node is the one that keeps it: that edge is filled in when it is opened.
    return Packed(hooks.pack_hook, hooks.unpack_hook, tensor, gradient_edge(tensor) if nr is None else None)


class disable_saved_tensors_hooks:  # noqa: N801 - torch's name
    """Inside, entering `saved_tensors_hooks` raises RuntimeError(error_message).

    Raises:
        RuntimeError: at once, if hooks are set already.
    """

    def __init__(self, error_message: str) -> None:
        self._message = error_message

    def __enter__(self) -> None:
        if _innermost.get() is not None:
            raise RuntimeError(self._message)
        self._before = _refusal.get()
        _refusal.set(self._message)

    def __exit__(self, *exc: object) -> None:
        _refusal.set(self._before)


# ---- one saved tensor of one node: `y.grad_fn._saved_self`, `y.grad_fn._raw_saved_self` ---------------------------------------------

_FREED_MESSAGE = ("Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the graph are freed when "
                  "you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second "
                  "time or if you need to access saved variables after calling backward.")


class SavedTensor:
    """One tensor that a node keeps for backward; `register_hooks(pack, unpack)` packs it at once."""

    def __init__(self, node: BackwardFunction, place: int) -> None:
        self._node = node
        self._place = place

    def register_hooks(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        """Keep `pack_hook(tensor)`, and give backward what `unpack_hook` makes of it.

        Raises:
            RuntimeError: if the graph was freed, or the tensor has hooks already.
        """
        node, i = self._node, self._place
        if node.saved is FREED:
            raise RuntimeError(_FREED_MESSAGE)
        if type(node.saved[i]) is Packed:
            raise RuntimeError("Calling register_hooks on a saved tensor whose hooks have already been set. "
                               "Hint: only one pair of hooks is allowed at a time.")
        _pack_places(node, {i: node.saved_as_tensors(node.saved)[i]}, pack_hook, unpack_hook)


def saved_value(node: BackwardFunction, name: str) -> Any:
    """`_saved_<name>` and `_raw_saved_<name>` of a node: name is that of an input, 'self' and 'other' for the first two, or 'result'.

    Raises:
        AttributeError: if the node keeps nothing of that name.
        RuntimeError: if a first backward has freed it.
    """
    short = name.rpartition("_saved_")[2]
    op = node.op
    inputs = {"self": 0, "input": 0, "other": 1} | {known: i for i, known in enumerate(op.inputs)}
    outputs = {"result": 0} | {known: i for i, known in enumerate(op.outputs)}
    if node.saved is FREED:
        raise RuntimeError(BACKWARD_TWICE)
    count = len(node.edges)
    place = inputs[short] if inputs.get(short, count) < count else count + outputs[short] if short in outputs else None
    saved = node.saved or ()
    if place is None or place >= len(saved) - 2 or saved[place] is None:
        meta = saved[-1] if saved else None
        if name.startswith("_saved_") and meta and short in meta:
            return meta[short]
        raise AttributeError(f"'{node.name()}' object has no attribute '{name}'")
    return SavedTensor(node, place) if name.startswith("_raw") else node.saved_as_tensors(node.opened())[place]


__all__ = ["Packed", "SavedTensor", "disable_saved_tensors_hooks", "pack_for_function", "saved_tensors_hooks", "saved_value"]
