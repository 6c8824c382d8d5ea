"""torch's path of the functions on nested containers. The trees themselves are explained in `mytorch.func.pytree`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mytorch.func.pytree import Spec as TreeSpec
from mytorch.func.pytree import flatten as tree_flatten
from mytorch.func.pytree import unflatten

__mytorch__ = True

PyTree = Any


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree of that structure with these leaves."""
    return unflatten(treespec, leaves)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves from left to right."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Iterator[Any]:
    """The leaves from left to right, one after another."""
    yield from tree_leaves(tree, is_leaf)


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The tree without its leaves."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The tree with `func(leaf, leaves of the others in the same place...)` in the place of each leaf.

    Raises:
        ValueError: if another tree has another structure.
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [leaves]
    for other in rests:
        found, structure = tree_flatten(other, is_leaf)
        if structure != spec:
            raise ValueError(f"tree_map: trees of different structure: {spec} and {structure}")
        columns.append(found)
    return unflatten(spec, [func(*parts) for parts in zip(*columns, strict=True)])


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Call `func` on each leaf for what it does, and return the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(type_or_types_or_pred: Any, func: Callable[[Any], Any], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """As `tree_map`, of the leaves of a type (or several, or those that a function picks) alone."""
    chosen = type_or_types_or_pred
    picks = chosen if callable(chosen) and not isinstance(chosen, type) else lambda x: isinstance(x, chosen)
    return tree_map(lambda x: func(x) if picks(x) else x, tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred: Any, func: Callable[[Any], Any], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Call `func` on the leaves that are chosen as in `tree_map_only`, and return the tree itself."""
    tree_map_only(type_or_types_or_pred, func, tree, is_leaf)
    return tree


def tree_all_only(type_or_types: Any, pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Does it hold for every leaf of a type, or of several?"""
    return all(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def tree_any_only(type_or_types: Any, pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Does it hold for a leaf of a type, or of several?"""
    return any(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Does it hold for every leaf?"""
    return all(pred(x) for x in tree_leaves(tree, is_leaf))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Does it hold for a leaf?"""
    return any(pred(x) for x in tree_leaves(tree, is_leaf))


__all__ = ["PyTree", "TreeSpec", "tree_all", "tree_all_only", "tree_any", "tree_any_only", "tree_flatten", "tree_iter",
           "tree_leaves", "tree_map", "tree_map_", "tree_map_only", "tree_map_only_", "tree_structure", "tree_unflatten"]
