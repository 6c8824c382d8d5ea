"""Backward inside of vmap: which levels are taken off before the walk, and which modes see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mytorch import engine_state
from mytorch.backward_walk import walk_from
from mytorch.engine_state import TensorBase, state
from mytorch.func.batched import Level, dress, is_batched_at, stack, strip

__mytorch__ = True


def walk_under_modes(outputs: Sequence[Any], grads: Any, keep: bool, create_graph: bool, inputs: Sequence[Any] | None) -> Any:
    """A backward walk under modes that follow it.

    Levels that batch the outputs are taken off: the graph was recorded on whole batches, and is walked so. Levels that batch only
    the incoming gradients see the walk, which then runs on Tensors; so do other modes that follow.
    """
    modes: list[Any] = [mode for mode in stack() if mode.follows_backward]
    if inputs is None:
        if any(isinstance(mode, Level) for mode in modes):
            raise RuntimeError("backward() called inside a functorch transform. This is not supported, please use functorch.grad or functorch.vjp "
                               "instead or call backward() outside of functorch transforms.")
        return _walk_seen_by(modes, outputs, grads, keep, create_graph, inputs)
    gs = _given(outputs, grads)
    outputs, inputs = list(outputs), list(inputs)
    seen: list[Any] = []
    undo: list[Callable[[int, Any], Any]] = []
    for mode in modes:
        if not isinstance(mode, Level) or not any(is_batched_at(y, mode) for y in outputs):
            seen.append(mode)
            continue
        own = [is_batched_at(x, mode) for x in inputs]
        outputs, gs = [strip(y, mode) for y in outputs], [strip(g, mode) for g in gs]
        if all(own):
            undo.append(partial(_dressed, mode))
        else:
            spare = Level(mode.size)
            spare.depth = mode.depth
            gs = [dress(_one_at_a_time(g), spare) for g in gs]
            seen.append(spare)
            undo.append(partial(_dressed_anew, mode, spare, own))
        inputs = [strip(x, mode) if mine else x for x, mine in zip(inputs, own, strict=True)]
    if all(isinstance(mode, Level) for mode in seen) and not any(is_batched_at(g, mode) for g in gs for mode in seen):
        seen = []
    found = _walk_seen_by(seen, outputs, gs, keep, create_graph, inputs)
    result = []
    for i, d in enumerate(found):
        if d is not None:
            d = engine_state.as_tensor(d)
            for step in reversed(undo):
                d = step(i, d)
        result.append(d)
    return result


def _dressed(level: Level, i: int, d: Any) -> Any:
    return dress(d, level)


def _dressed_anew(level: Level, spare: Level, own: list[bool], i: int, d: Any) -> Any:
    """The gradients of one example at a time as those of each: for an input that is batched its own, for another all of them."""
    d = strip(d, spare)
    return dress(_diagonal(d) if own[i] else d, level)


def _given(outputs: Sequence[Any], grads: Any) -> list[Any]:
    """The gradient of each output: ones for an example's only element where none is given."""
    grads = [None] * len(outputs) if grads is None else [grads] if isinstance(grads, TensorBase) else list(grads)
    found = []
    for y, g in zip(outputs, grads, strict=True):
        if g is None and y._array.size == 1 and y._array.dtype.kind != "c":
            g = engine_state.to_dtype(engine_state.wrap(np.ones(y._array.shape, np.float32)), dtype=y._array.dtype)
        if g is None:
            raise RuntimeError("grad can be implicitly created only for scalar outputs; "
                               f"this one has shape {list(y._array.shape)}: reduce it (.sum()) or pass a gradient")
        found.append(g)
    return found


def _walk_seen_by(modes: list[Any], *args: Any) -> Any:
    """The walk with only these modes entered."""
    before = state.mode
    links = [(mode, mode._below) for mode in modes]
    for mode, below in zip(modes, [*modes[1:], None], strict=False):
        mode._below = below
    state.mode = modes[0] if modes else None
    try:
        return walk_from(*args)
    finally:
        for mode, below in links:
            mode._below = below
        state.mode = before


def _one_at_a_time(g: Any) -> Any:
    """(B, ...) -> (B, B, ...): the i-th is g where the example is the i-th, zero elsewhere."""
    return g.movedim(0, -1).diag_embed().movedim((-2, -1), (0, 1))


def _diagonal(d: Any) -> Any:
    """(B, B, ...) -> (B, ...): undoes `_one_at_a_time`."""
    return d.diagonal(0, 0, 1).movedim(-1, 0)
