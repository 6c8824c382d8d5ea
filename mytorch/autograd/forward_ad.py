"""Forward-mode differentiation: tensors that carry a tangent, their derivative along one direction, through every operation.

Within a level, `make_dual(x, t)` is x with the tangent t; what is computed from it has the tangent J t, where J is the Jacobian of the
computation, and `unpack_dual(y)` gives both. One pass gives one column of J; reverse mode gives one row.

    with forward_ad.dual_level():
        y = f(forward_ad.make_dual(x, t))
        y, jvp = forward_ad.unpack_dual(y)

A level is a mode: it sees each operation, lets the modes below compute the result, and the tangent (tangents.py). So levels nest, and
both, result and tangent, are part of the graph of reverse mode.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mytorch import engine_state
from mytorch.autograd.tangents import cast, push_forward
from mytorch.autograd_engine import Mode, Op, TensorBase, apply, state
from mytorch.engine_state import as_tensor
from mytorch.errors import type_error
from mytorch.inplace import CopySlices, apply_inplace
from mytorch.nodes import node_of
from mytorch.ops.elementwise import clone_op, copy_op

__mytorch__ = True

alias_op = Op("view_as", lambda x: x[...], lambda g: g, view=True)


class Level(Mode):
    """The tangents of one direction: while it is entered, results of operations on tensors that have one have one too."""

    follows_backward = True
    paused = False  # while a user's Function runs, whose own jvp tells the tangents

    def __enter__(self) -> Level:
        """Enter below any vmap: examples do not mix, so the batch of tangents is the tangent of the batch."""
        above = _innermost_first()[-1:]
        if above:
            self._below, above[0]._below = above[0]._below, self
        else:
            super().__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if state.mode is self:
            state.mode = self._below
            return
        above = state.mode
        while above._below is not self:
            above = above._below
        above._below = self._below

    # ---- what a tensor's tangent is ---------------------------------------------------------------------------------------

    def tangent_of(self, x: Any) -> Any:
        """The tangent of x at this level, or None. A view of memory that was given a tangent later sees its part of that."""
        known = getattr(x, "_tangents", None)
        if known is not None and self in known:
            return known[self]
        view = x._view if isinstance(x, TensorBase) else None
        if view is None:
            return None
        t = (getattr(view.owner(), "_tangents", None) or {}).get(self)
        if t is not None:
            t = self._beneath(_replay, view.steps, t)
            self.set_tangent(x, t)
        return t

    def set_tangent(self, x: Any, t: Any) -> None:
        """Let t be the tangent of x; None says that it has none, whatever memory it shares."""
        known = getattr(x, "_tangents", None)
        if known is None:
            x._tangents = {self: t}
        else:
            known[self] = t

    def make_dual(self, x: Any, t: Any) -> Any:
        """A view of x with the tangent t."""
        batched = [mode for mode in _innermost_first() if _is_batched(x, mode) or _is_batched(t, mode)]
        if batched:  # inside vmap: make one of the whole batches
            from mytorch.func.batched import dress, strip
            for mode in batched:
                x, t = strip(x, mode), strip(t, mode)
            dual = self.make_dual(x, t)
            for mode in reversed(batched):
                dual = dress(dual, mode)
            return dual
        if self.tangent_of(x) is not None:
            raise RuntimeError("Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not supported.")
        if t._array.shape != x._array.shape:
            raise RuntimeError("Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
                               f"Tensor is of size {list(x._array.shape)} while the given forward gradient is of size {list(t._array.shape)}.")
        dual = self._unseen(apply, alias_op, (x,))
        self.set_tangent(dual, self._unseen(_laid_out_as, t, x))
        return dual

    def unpack(self, dual: Any) -> tuple[Any, Any]:
        """A view of the tensor without its tangent, and the tangent, or None."""
        if hasattr(dual, "_full"):  # inside vmap
            primal, t = self.unpack(dual._full)
            return dual.alike(primal), t if t is None else dual.alike(t)
        t = self.tangent_of(dual)
        primal = self._unseen(apply, alias_op, (dual,))
        self.set_tangent(primal, None)
        return primal, t if t is None else self._unseen(apply, alias_op, (t,))

    def _unseen(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something that all modes see but this one."""
        before, self.paused = self.paused, True
        try:
            return function(*args)
        finally:
            self.paused = before

    def _beneath(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something under the modes below this one."""
        above, state.mode = state.mode, self._below
        try:
            return function(*args)
        finally:
            state.mode = above

    # ---- operations -------------------------------------------------------------------------------------------------------

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        tangents = [self.tangent_of(x) if isinstance(x, TensorBase) else None for x in inputs]
        if self.paused or all(t is None for t in tangents):
            result = self.proceed(run, op, inputs, meta)
            if op.view and self in getattr(inputs[0], "_tangents", ()):  # a view of what was unpacked has no tangent either
                for y in result if isinstance(result, (tuple, list)) else [result]:
                    self.set_tangent(y, None)
            return result
        if run is apply_inplace:
            return self._write(op, inputs, tangents, meta)
        state.mode = self._below
        try:
            result = run(op, inputs, meta)
            outputs = list(result) if isinstance(result, (tuple, list)) else [result]
            found = self._push_forward(op, inputs, tangents, outputs, meta)
            for y, t in zip(outputs, found, strict=True):
                if t is not None:
                    self.set_tangent(y, t if op.view else _owned(t, y, tangents))
        finally:
            state.mode = self
        edge = outputs[0]._edge or next((y._edge for y in outputs if y._edge is not None), None)
        if edge is not None:
            self._note(node_of(edge), tangents, outputs)
        return result

    def _push_forward(self, op: Op, inputs: Sequence[Any], tangents: Sequence[Any], outputs: Sequence[Any], meta: Any) -> list[Any]:
        """The tangents of the outputs, computed beneath this level."""
        if op.composite is None:
            return push_forward(op, inputs, tangents, outputs, meta)
        # its own derivative may be a kernel without one: let this level see every operation of the plain composition
        state.mode = self
        try:
            given = [as_tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
            found = op.composite(*given, *outputs, **(meta or {}))
        finally:
            state.mode = self._below
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        return [self.tangent_of(y) for y in found] + [None] * (len(outputs) - len(found))

    def _write(self, op: Op, inputs: tuple[Any, ...], tangents: list[Any], meta: Any) -> Any:
        """An in-place operation: the tangent of what is written goes where the tangents of that memory are."""
        x, own = inputs[0], tangents[0]
        edge_before = (x if x._view is None else x._view.owner())._edge
        state.mode = self._below
        try:
            before = apply(clone_op, (x,))
            if own is not None:
                tangents = [apply(clone_op, (own,)), *tangents[1:]]
            fresh = apply(op, (before, *inputs[1:]), meta)
            t, = self._push_forward(op, (before, *inputs[1:]), tangents, [fresh], meta)
            apply_inplace(op, inputs, meta)
            if x._array.dtype.kind in "fcV":
                self._write_tangent(x, own, t)
        finally:
            state.mode = self
        edge = (x if x._view is None else x._view.owner())._edge
        if edge is not None and edge is not edge_before:  # else no graph was recorded
            node = node_of(edge)
            self._note(node.write if isinstance(node, CopySlices) else node, tangents, [x])
        return x

    def _write_tangent(self, x: Any, own: Any, t: Any) -> None:
        if own is None and t is not None:
            root = x if x._view is None else x._view.owner()
            zeros = engine_state.wrap(np.zeros_like(root._array))
            self.set_tangent(root, zeros)
            own = zeros if root is x else _replay(x._view.steps, zeros)
            self.set_tangent(x, own)
        if own is None:
            return
        if t is None:
            own.zero_()
        else:
            apply_inplace(copy_op, (own, t))

    def _note(self, node: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Keep the tangents of what a node saved, for the Tensors that are rebuilt from it in backward."""
        saved = getattr(node, "saved", ())
        if not saved:
            return
        known = getattr(node, "tangents", None)
        if known is None:
            known = node.tangents = {}
        results = outputs[:node.op.output_count]  # of an operation with any number of outputs none is ever saved
        for place, t in enumerate([*inputs, *[self.tangent_of(y) for y in results]]):
            if t is not None and saved[place] is not None:
                known.setdefault(place, {})[self] = t

    # ---- backward, and Functions of users ---------------------------------------------------------------------------------

    def attach(self, node: Any, saved: list[Any]) -> None:
        for place, known in getattr(node, "tangents", {}).items():
            if isinstance(saved[place], TensorBase) and not hasattr(saved[place], "_tangents"):
                saved[place]._tangents = dict(known)

    def check_out(self, y: Any) -> None:
        if self.tangent_of(y) is not None:
            raise NotImplementedError("Trying to use forward AD with an out= function, which does not support it: use the result instead")
        super().check_out(y)

    def handle_function(self, function: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tangents = [self.tangent_of(a) if isinstance(a, TensorBase) else None for a in args]
        if self.paused or all(t is None for t in tangents):
            return super().handle_function(function, run, args, kwargs)
        self.paused = True
        try:
            result, ctx = super().handle_function(function, run, args, kwargs)
            found = ctx.serve(function.jvp, *tangents)
        finally:
            self.paused = False
        outputs = result if isinstance(result, tuple) else (result,)
        found = found if isinstance(found, tuple) else (found,)
        if len(found) != len(outputs):
            raise RuntimeError(f"{function.__name__}.jvp returned {len(found)} tangents, forward returned {len(outputs)} outputs")
        for nr, (y, t) in enumerate(zip(outputs, found, strict=True)):
            if t is None or not isinstance(y, TensorBase):
                continue
            place = next((i for i, a in enumerate(args) if a is y), None)
            if place is None:
                self.set_tangent(y, self._beneath(_owned, t, y, tangents))
            elif t is not tangents[place]:  # written in place, and jvp has not written to the tangent itself
                self._beneath(self._write_tangent, y, tangents[place], t)
            ctx.tangents = {**(ctx.tangents or {}), nr: y._tangents}
        return result, ctx


def _innermost_first() -> list[Any]:
    """The vmaps entered."""
    batched: Any = sys.modules.get("mytorch.func.batched")
    return [] if batched is None else [mode for mode in batched.stack() if isinstance(mode, batched.Level)]


def _is_batched(x: Any, mode: Any) -> bool:
    while hasattr(x, "_full"):
        if x._level is mode:
            return True
        x = x._full
    return False


def _replay(steps: Sequence[tuple[Op, Any]], t: Any) -> Any:
    for op, meta in steps:
        t = op(t, **(meta or {}))
    return t


def _owned(t: Any, y: Any, others: Sequence[Any]) -> Any:
    """A tangent of y's dtype and layout, with memory of its own: writing to y writes to it."""
    t = cast(t, y._array.dtype)
    if t._array.strides != y._array.strides:
        t = _laid_out_as(t, y)
    if any(o is not None and (o._array is t._array or (t._array.base is not None and np.may_share_memory(o._array, t._array))) for o in others):
        t = apply(clone_op, (t,))
    return t


def _laid_out_as(t: Any, x: Any) -> Any:
    """The tangent with its dimensions in the same order in memory as x: a view of x then finds its part of t as a view."""
    strides = x._array.strides
    if t._array.strides == strides or t._array.size < 2:
        return t
    order = sorted(range(len(strides)), key=lambda d: -abs(strides[d]))
    back = sorted(range(len(order)), key=order.__getitem__)
    return t.permute(order).contiguous().clone().permute(back)


# ---- torch.autograd.forward_ad ------------------------------------------------------------------------------------------------


class _DualLevel(Level):
    """The level of `enter_dual_level`, of which there is one at a time."""


def _current() -> Level | None:
    """The level that `enter_dual_level` has entered on this thread."""
    mode = state.mode
    while mode is not None and not isinstance(mode, _DualLevel):
        mode = mode._below
    return mode


def enter_dual_level() -> int:
    """Enter the level in which dual tensors live; returns its number, 0.

    Raises:
        RuntimeError: if it is entered already; `func.jvp` nests.
    """
    if _current() is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _DualLevel().__enter__()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Leave the level: dual tensors are plain ones from now on.

    Raises:
        RuntimeError: if no level was entered.
    """
    leaving = _current()
    if leaving is None:
        raise RuntimeError("Dual level must be a positive number: no level was entered; call enter_dual_level() first.")
    if level not in (None, 0):
        raise RuntimeError(f"Trying to exit a forward AD level that was not the last one that was created: given {level}, expected 0.")
    leaving.__exit__()


def _no_level(what: str) -> RuntimeError:
    return RuntimeError(f"Trying to {what} for forward AD but no level exists, make sure to enter_dual_level() first.")


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """A view of `tensor` that carries `tangent`, its derivative along the direction of interest.

    Shape: both of the same shape. dtype: floating or complex.
    Raises:
        RuntimeError: outside a level, for shapes that differ, or for a tensor that has a tangent already.
        ValueError: for a dtype that has no derivative.
    """
    current = _current()
    if current is None:
        raise _no_level("create a dual Tensor")
    check_dual(tensor, tangent)
    return current.make_dual(tensor, tangent)


def check_dual(tensor: Any, tangent: Any) -> None:
    """Refuse what cannot have, or be, a tangent."""
    for what, x in (("primal", tensor), ("tangent", tangent)):
        if not isinstance(x, TensorBase):
            raise type_error("make_dual", "tensor" if what == "primal" else "tangent", 1 if what == "primal" else 2, "Tensor", x)
        if x._array.dtype.kind not in "fcV":
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {x.dtype}")  # type: ignore[attr-defined]


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns: `primal`, the tensor itself, and `tangent`, or None."""

    primal: Any
    tangent: Any


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and the tangent, which is None if nothing dual went into it.

    Derivative: both stay in the graph of reverse mode.
    """
    if not isinstance(tensor, TensorBase):
        raise type_error("unpack_dual", "dual", 1, "Tensor", tensor)
    current = _current()
    if current is None:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(*current.unpack(tensor))


class dual_level:  # noqa: N801 - torch's name
    """`with dual_level():` enters the level of dual tensors and leaves it at the end."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with dual_level():
                return function(*args, **kwargs)
        return inside


__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]
