"""What the engine knows of a tensor and of the thread it runs on: the ground under nodes, views and modes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from typing import TypeAlias

    from mytorch.grad_mode import Mode
    from mytorch.hooks import Hooks
    from mytorch.inplace import View
    from mytorch.nodes import AccumulateGrad, Node, Output

    Edge: TypeAlias = "Node | Output"  # an output of a node, where its gradient arrives: the node itself for the first or only output

__mytorch__ = True

Array = Any  # a NumPy array, or a Tensor where a formula is differentiated itself


class GradientEdge(NamedTuple):
    """Where a gradient arrives: a node, and which of its outputs. `ownership_token` is torch's, always None here."""

    node: Node
    output_nr: int
    ownership_token: Any = None


# Per thread (and per asynchronous task). A context variable reads in 12 ns, threading.local in 40 to 80.
_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_mode: ContextVar[Mode | None] = ContextVar("mode", default=None)
_origin: ContextVar[Node | None] = ContextVar("origin", default=None)
_walk: ContextVar[Any] = ContextVar("walk", default=None)
get_grad_enabled, put_grad_enabled = _grad_enabled.get, _grad_enabled.set
get_mode = _mode.get
get_origin = _origin.get


class _ThreadState:
    """What each thread knows of its own: is a graph recorded, which mode is on top, whose derivative is being taken."""

    grad_enabled = property(lambda self: _grad_enabled.get(), lambda self, value: _set(_grad_enabled, value))
    mode = property(lambda self: _mode.get(), lambda self, value: _set(_mode, value))
    origin = property(lambda self: _origin.get(), lambda self, value: _set(_origin, value))
    walk = property(lambda self: _walk.get(), lambda self, value: _set(_walk, value))  # a Walk, if they are followed
    # Of the whole process, as in torch:
    check_nan = False  # does every backward search its gradients for NaN?
    watcher: Callable[..., None] | None = None  # takes every step of a backward walk in place of `_visit`, which it calls (the profiler)
    follow_walks = False  # does anybody ask for `walk`? Set once, by the first who does


def _set(variable: ContextVar[Any], value: Any) -> None:
    variable.set(value)


state = _ThreadState()


class Walk:
    """A backward walk that somebody follows: the nodes behind its roots, and those on the way to its targets (None: all)."""

    __slots__ = ("__weakref__", "needed", "nodes")

    def __init__(self, nodes: list[Node], needed: set[Node] | None) -> None:
        self.nodes = nodes
        self.needed = needed


class TensorBase:
    """What the engine knows of a tensor; `mytorch.tensor.Tensor` adds everything that users see."""

    __slots__ = ("__dict__", "__weakref__", "_accumulate", "_array", "_edge", "_grad", "_hooks", "_requires_grad", "_storage", "_tangents", "_view")

    _array: ndarray[Any, Any]
    _edge: Edge | None  # which output of which node a computed tensor is, None for a leaf
    _requires_grad: bool  # of a leaf
    _storage: Storage | None  # shared by all aliases; made when first needed
    _view: View | None
    _grad: Any
    _accumulate: weakref.ref[AccumulateGrad] | None
    _hooks: Hooks | None  # of a leaf; those of a computed tensor live on its node
    _tangents: dict[Mode, Any]  # its derivative along a direction at each forward-mode level; unset where there is none


class Storage:
    """The record that all aliases of one memory share: how often it was written in place."""

    version = 0


class InferenceStorage(Storage):
    """Memory of a tensor made in inference mode: its writes are not counted, so no graph may rely on it."""

    @property
    def version(self) -> int:
        raise RuntimeError("Inference tensors cannot be saved for backward and do not track version counter. "
                           "To work around you can make a clone to get a normal tensor and use it in autograd.")

    @version.setter
    def version(self, value: int) -> None:
        raise AssertionError("unreachable: bump() skips inference storage")


# ---- what tensor.py and ops/ register, so that the engine need not import upwards ---------------------------------------------

wrap: Callable[[ndarray[Any, Any]], Any]  # a Tensor around an array
sum_to: Callable[..., Array]  # reduce a gradient to the shape that was broadcast
to_dtype: Callable[..., Array]
note_view: Callable[..., None]  # by inplace.py, which lies above the engine


def register(**callables: Callable[..., Any]) -> None:
    """Give the engine `wrap` (array to Tensor), `sum_to` and `to_dtype`."""
    globals().update(callables)


def as_tensor(g: Any) -> Any:
    return g if g is None or isinstance(g, TensorBase) else wrap(np.asarray(g))  # noqa: F821 - given by register()


def as_array(g: Any) -> Any:
    return g._array if isinstance(g, TensorBase) else g


def storage_of(x: TensorBase) -> Storage:
    """The record that x shares with its aliases. Where gradients of x arrive, it is known too: nodes that saved x ask there."""
    storage = x._storage
    if storage is None:
        edge: Edge | None = x._edge
        if edge is None and x._accumulate is not None:
            edge = x._accumulate()
        storage = x._storage = (None if edge is None else edge._storage) or Storage()
        if edge is not None:
            edge._storage = storage
    return storage
