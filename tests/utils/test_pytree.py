"""utils._pytree: torch's names for functions on nested containers."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest

from mytorch.utils import _pytree as pytree

Point = namedtuple("Point", "x y")


def test_a_tree_comes_back_from_its_leaves():
    tree = {"b": 1, "a": [2, (3, None)], "p": Point(4, OrderedDict(z=5))}
    leaves, spec = pytree.tree_flatten(tree)
    assert leaves == [1, 2, 3, None, 4, 5] and spec == pytree.tree_structure(tree) and spec.num_leaves == 6
    assert pytree.tree_unflatten(leaves, spec) == tree
    assert pytree.tree_leaves(tree) == list(pytree.tree_iter(tree)) == leaves


def test_map_goes_through_trees_in_step():
    assert pytree.tree_map(lambda a, b: a * b, [2, {"k": 3}], [5, {"k": 7}]) == [10, {"k": 21}]
    assert pytree.tree_map(len, [[1, 2], [3]], is_leaf=lambda x: x in ([1, 2], [3])) == [2, 1]
    with pytest.raises(ValueError, match="structure"):
        pytree.tree_map(lambda a, b: a, [1, 2], [1])


def test_map_only_picks_by_type_or_function():
    tree = [1, "a", (2.0, 3)]
    assert pytree.tree_map_only(int, lambda x: x + 1, tree) == [2, "a", (2.0, 4)]
    assert pytree.tree_map_only((int, float), lambda x: -x, tree) == [-1, "a", (-2.0, -3)]
    assert pytree.tree_map_only(lambda x: x == "a", str.upper, tree) == [1, "A", (2.0, 3)]


def test_all_any_and_calls_for_their_effect():
    seen = []
    tree = (1, [2, 3])
    assert pytree.tree_map_(seen.append, tree) is tree and seen == [1, 2, 3]
    assert pytree.tree_all(lambda x: x > 0, tree) and pytree.tree_any(lambda x: x > 2, tree) and not pytree.tree_any(lambda x: x > 3, tree)


def test_leaves_of_a_type_are_asked_alone():
    seen = []
    tree = [1, "a", (2.0, 3)]
    assert pytree.tree_map_only_(int, seen.append, tree) is tree and seen == [1, 3]
    assert pytree.tree_all_only(int, lambda x: x > 0, tree) and not pytree.tree_all_only((int, float), lambda x: x < 3, tree)
    assert pytree.tree_any_only(int, lambda x: x == 3, tree) and not pytree.tree_any_only(int, lambda x: x == 2, tree)
