"""The graph as users touch it: nodes and edges, hooks on what is saved, hooks on several gradients at once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mytorch import engine_state
from mytorch.autograd.saved_tensors import disable_saved_tensors_hooks as disable_saved_tensors_hooks
from mytorch.autograd.saved_tensors import saved_tensors_hooks as saved_tensors_hooks
from mytorch.autograd_engine import Node as Node
from mytorch.autograd_engine import gradient_edge, state
from mytorch.engine_state import GradientEdge as GradientEdge
from mytorch.engine_state import Storage, TensorBase, Walk, storage_of
from mytorch.hooks import RemovableHandle
from mytorch.inplace import apply_inplace, bump
from mytorch.nodes import node_of, number_of

if TYPE_CHECKING:
    from mytorch.autograd_engine import Op

__mytorch__ = True


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """Where the gradient of a tensor arrives: its node and which of that node's outputs it is.

    An edge may stand for its tensor in `autograd.grad` and `backward`, also when the tensor itself is gone.

    Raises:
        RuntimeError: if the tensor does not require a gradient.
    """
    edge = gradient_edge(tensor)
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(node_of(edge), number_of(edge))


def increment_version(tensor: Any) -> None:
    """Count a write to the memory of a tensor, or of each of several, that autograd could not see."""
    for t in (tensor,) if isinstance(tensor, TensorBase) else tensor:
        if not isinstance(t, TensorBase):
            raise RuntimeError("increment_version expects each element of the iterable to be a tensor")
        bump(t)


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - torch's name
    """Inside, tensors saved for backward wait in the host's memory. Here they always do: each is kept as it is.

    Args:
        pin_memory: keep a copy, as torch does to have it in page-locked memory.
        device_type: of the accelerator; there is none yet.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(tensor: Any) -> tuple[Any, Any]:
            return tensor.device, tensor.detach().clone() if pin_memory else tensor.detach()

        def unpack(packed: tuple[Any, Any]) -> Any:
            device, tensor = packed
            return tensor.to(device)

        super().__init__(pack, unpack)


# ---- one hook for several tensors -------------------------------------------------------------------------------------------------


class _MultiHandle:
    """Takes all the hooks of one `register_multi_grad_hook` out again."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take them out; a second call does nothing."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _MultiHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class _MultiHook:
    """What has arrived for the tensors of one multi-grad hook, for each backward walk that is under way."""

    def __init__(self, nodes: list[Node], call: Callable[[Any], None], every: bool) -> None:
        self.nodes = nodes
        self.call = call
        self.every = every
        self.lock = threading.Lock()
        # by walk, and only as long as it lasts: what arrived, and how many are still to come
        self.walks: weakref.WeakKeyDictionary[Walk, tuple[list[Any], int]] = weakref.WeakKeyDictionary()

    def arrived(self, place: int, g: Any) -> None:
        """Note a gradient; call the user's hook if it is the one that was waited for."""
        with self.lock:
            walk = state.walk
            if walk not in self.walks:
                coming = set(walk.nodes) if walk.needed is None else walk.needed  # and none of these nodes was visited before
                count = 1 + sum(i != place and node in coming for i, node in enumerate(self.nodes))
                self.walks[walk] = [None] * len(self.nodes), count
            grads, missing = self.walks[walk]
            first = all(found is None for found in grads)
            grads[place] = g
            self.walks[walk] = grads, missing - 1
        if self.every and missing == 1:
            self.call(grads)
        elif not self.every and first:
            self.call(g)


def register_multi_grad_hook(tensors: Sequence[Any], fn: Callable[[Any], None], *, mode: str = "all") -> _MultiHandle:
    """Call a hook once in each backward that reaches any of several tensors.

    Args:
        fn: with mode 'all', called with the list of their gradients when the last has arrived, None for those that this
            backward does not reach; with mode 'any', with the first gradient that arrives. What it returns is not used.
    Returns: a handle whose remove() takes the hook out.
    Raises:
        ValueError: for another mode.
        AssertionError: if a tensor does not require a gradient.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    edges = [gradient_edge(t) for t in tensors]
    if any(edge is None for edge in edges):
        raise AssertionError("Expected gradient function to be set: a tensor does not require a gradient")
    state.follow_walks = True
    nodes: list[Any] = [node_of(edge) for edge in edges]
    shared = _MultiHook(nodes, fn, mode == "all")

    def hook_for(place: int, nr: int) -> Callable[[tuple[Any, ...]], None]:
        return lambda grads: shared.arrived(place, grads[nr])

    return _MultiHandle([node.register_prehook(hook_for(place, number_of(edge)))
                         for place, (node, edge) in enumerate(zip(nodes, edges, strict=True))])


# ---- writes to saved tensors ------------------------------------------------------------------------------------------------------


class _Kept:
    """A saved tensor that is copied when its memory is about to be written."""

    __slots__ = ("__weakref__", "array", "owner", "storage", "version")

    def __init__(self, tensor: Any, owner: allow_mutation_on_saved_tensors) -> None:
        self.array = tensor._array
        self.storage = storage_of(tensor)
        self.version = self.storage.version
        self.owner = owner


class allow_mutation_on_saved_tensors(saved_tensors_hooks):  # noqa: N801 - torch's name
    """Inside, a tensor that backward still needs may be written in place: it is copied just before the write.

    Without it such a write makes backward raise. Backward has to run inside, too.

    Raises:
        RuntimeError: when nested.
        AssertionError: if backward needs a saved tensor after the context has ended.
    """

    _entered = False

    def __init__(self) -> None:
        super().__init__(self._keep, self._restore)
        self._by_storage: weakref.WeakKeyDictionary[Storage, list[weakref.ref[_Kept]]] = weakref.WeakKeyDictionary()

    def __enter__(self) -> allow_mutation_on_saved_tensors:
        mode = state.mode
        while mode is not None:
            if isinstance(mode, allow_mutation_on_saved_tensors):
                raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
            mode = mode._below
        super().__enter__()
        self._entered = True
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self.clear()
        self._entered = False

    def clear(self) -> None:
        """Forget what was saved so far."""
        self._by_storage.clear()

    def _keep(self, tensor: Any) -> _Kept:
        kept = _Kept(tensor, self)
        self._by_storage.setdefault(kept.storage, []).append(weakref.ref(kept))
        return kept

    def _restore(self, kept: _Kept) -> Any:
        if not self._entered:
            raise AssertionError("Trying to backward outside of the 'allow_mutation_on_saved_tensors' context "
                                 "in which the graph was originally recorded.")
        if kept.storage.version != kept.version:
            raise RuntimeError("a tensor saved for backward was written in a way that allow_mutation_on_saved_tensors does not see: "
                               f"it is at version {kept.storage.version}; expected version {kept.version}")
        return engine_state.wrap(kept.array)

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        """Copy what a write is about to change, then go on."""
        if run is apply_inplace:
            fresh = Storage()
            for ref in self._by_storage.pop(storage_of(inputs[0]), ()):
                kept = ref()
                if kept is not None:
                    kept.array, kept.storage, kept.version = kept.array.copy(), fresh, 0
        return super().handle(run, op, inputs, meta)


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """torch's switch of a warning about CUDA streams, of which there are none: it is accepted."""


def region_activation_memory_budget(*args: Any, **kwargs: Any) -> Any:
    """Not supported: a setting of torch's compiler.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("autograd.graph.region_activation_memory_budget is a setting of torch.compile, which is not supported: "
                              "use utils.checkpoint")


__all__ = ["GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge", "increment_version",
           "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks", "set_warn_on_accumulate_grad_stream_mismatch"]
