"""Nested containers as trees: the leaves in order, and what is needed to put others back in their places.

Tuples, named tuples, lists, dicts (also ordered and default ones) and deques are branches; everything else is a leaf, None too.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

__mytorch__ = True

_DICTS = (dict, OrderedDict, defaultdict)


class Spec:
    """The shape of a tree: the type of each branch and its children; a leaf is a Spec of type None.

    Args:
        kind: the container's type, None for a leaf.
        context: keys of a dict (and the factory of a defaultdict), maxlen of a deque, else None.
        children: the Spec of each child, in order.
    """

    __slots__ = ("children", "context", "kind", "num_leaves")

    def __init__(self, kind: type | None, context: Any, children: list[Spec]) -> None:
        self.kind = kind
        self.context = context
        self.children = children
        self.num_leaves: int = 1 if kind is None else sum(child.num_leaves for child in children)

    def is_leaf(self) -> bool:
        """Is the whole tree one leaf?"""
        return self.kind is None

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Spec) and self.kind is other.kind and self.context == other.context
                and self.children == other.children)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        name = "" if self.kind in (tuple, list, dict) else self.kind.__name__
        inner = ", ".join([f"{key!r}: {child}" for key, child in zip(self.context[0], self.children, strict=True)]
                          if self.kind in _DICTS else [str(child) for child in self.children])
        inner += "," * (self.kind is tuple and len(self.children) == 1)
        left, right = "{}" if self.kind in _DICTS else "[]" if self.kind in (list, deque) else "()"
        return f"{name}{left}{inner}{right}"


_LEAF = Spec(None, None, [])


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Spec]:
    """The leaves of a tree from left to right, and its Spec.

    Args:
        is_leaf: what else counts as a leaf, asked of every branch.
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves, is_leaf)


def _flatten(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> Spec:
    kind = type(tree)
    context: Any = None
    children: Iterable[Any]
    if is_leaf is not None and is_leaf(tree):
        leaves.append(tree)
        return _LEAF
    if kind is tuple or kind is list or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        children = tree
    elif kind in _DICTS:
        context = (list(tree), getattr(tree, "default_factory", None))
        children = tree.values()
    elif kind is deque:
        context = tree.maxlen
        children = tree
    else:
        leaves.append(tree)
        return _LEAF
    return Spec(kind, context, [_flatten(child, leaves, is_leaf) for child in children])


def unflatten(spec: Spec, leaves: Iterable[Any]) -> Any:
    """The tree of that Spec with these leaves.

    Raises:
        ValueError: if there are more or fewer leaves than places.
    """
    leaves = list(leaves)
    if len(leaves) != spec.num_leaves:
        raise ValueError(f"the tree {spec} has {spec.num_leaves} leaves, given are {len(leaves)}")
    return _unflatten(spec, iter(leaves))


def _unflatten(spec: Spec, leaves: Any) -> Any:
    kind = spec.kind
    if kind is None:
        return next(leaves)
    children = [_unflatten(child, leaves) for child in spec.children]
    make: Any = kind
    if kind in _DICTS:
        pairs = zip(spec.context[0], children, strict=True)
        return defaultdict(spec.context[1], pairs) if kind is defaultdict else make(pairs)
    if kind is deque:
        return deque(children, maxlen=spec.context)
    return getattr(kind, "_make", make)(children)  # a named tuple's own constructor takes its fields one by one


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same tree with `function` applied to every leaf, together with the leaves of other trees of the same shape."""
    leaves, spec = flatten(tree)
    columns = [leaves]
    for other in others:
        found, its = flatten(other)
        if its != spec:
            raise ValueError(f"the trees differ: {spec} and {its}")
        columns.append(found)
    return unflatten(spec, [function(*row) for row in zip(*columns, strict=True)])


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any] | None:
    """One value of `prefix` for each leaf of `tree`, where a leaf of the prefix stands for everything below it; None if they do not fit."""
    found: list[Any] = []
    return found if _spread(prefix, flatten(tree)[1], found) else None


def _spread(prefix: Any, spec: Spec, found: list[Any]) -> bool:
    leaves, own = flatten(prefix)
    if own.kind is None:
        found.extend([leaves[0]] * spec.num_leaves)
        return True
    if spec.kind is None or own.kind is not spec.kind or len(own.children) != len(spec.children):
        return False
    if own.kind in _DICTS and own.context[0] != spec.context[0]:
        return False
    branches = list(prefix.values()) if own.kind in _DICTS else list(prefix)
    return all(_spread(branch, child, found) for branch, child in zip(branches, spec.children, strict=True))


__all__ = ["Spec", "broadcast_prefix", "flatten", "map_leaves", "unflatten"]
