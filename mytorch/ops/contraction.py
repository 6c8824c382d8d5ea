"""Sums of products in Einstein's notation, on arrays: two at a time, as one product of matrices where that is what they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch.backends import MANY, kernels
from mytorch.ops.common import narrowed, widened
from mytorch.ops.layout import row_major

__mytorch__ = True

_FEW = 32768  # products; below, NumPy adds them up in less time than it takes to arrange matrices


def contract(*operands: Any, terms: tuple[str, ...], result: str) -> Any:
    """The sum over all letters that `result` lacks; no term has a letter twice."""
    arrays, left = [widened(x) for x in operands], list(terms)
    if len(arrays) > 2:
        for places in np.einsum_path(f"{','.join(terms)}->{result}", *arrays, optimize="greedy")[0][1:-1]:
            chosen = sorted(places, reverse=True)
            parts, named = [arrays.pop(i) for i in chosen], [left.pop(i) for i in chosen]
            needed = set(result).union(*left)
            left.append("".join(dict.fromkeys(letter for term in named for letter in term if letter in needed)))
            arrays.append(_contract_few(parts, named, left[-1]))
    y = _contract_few(arrays, left, result)
    return narrowed(row_major(y) if y.size < MANY else kernels["contiguous"](y), operands[0].dtype)


def _contract_few(arrays: Sequence[Any], terms: Sequence[str], result: str) -> Any:
    y = _product(arrays[0], arrays[1], terms[0], terms[1], result) if len(arrays) == 2 and arrays[0].dtype.kind in "fc" else None
    if y is None:
        y = np.einsum(",".join(terms) + "->" + result, *arrays)
    return np.array(y) if y.base is not None and any(np.may_share_memory(y, x) for x in arrays) else np.asarray(y)


def _product(a: Any, b: Any, of_a: str, of_b: str, result: str) -> Any:
    """Two arrays as stacks of matrices: (both, rows, summed) @ (both, summed, columns).

    None for few products, where no letter is summed over, and where no matrix is left.
    """
    sizes = {**dict(zip(of_a, a.shape, strict=True)), **dict(zip(of_b, b.shape, strict=True))}
    if math.prod(sizes.values()) < _FEW:
        return None
    a, of_a = _without(a, of_a, of_b + result)
    b, of_b = _without(b, of_b, of_a + result)
    both = "".join(letter for letter in result if letter in of_a and letter in of_b)
    rows = "".join(letter for letter in result if letter in of_a and letter not in of_b)
    columns = "".join(letter for letter in result if letter in of_b and letter not in of_a)
    summed = "".join(letter for letter in of_a if letter not in result)
    if not summed or (both and not rows and not columns):
        return None
    if rows and columns and result.find(columns[0]) < result.find(rows[0]):  # so that the product has the order of the result, or nearly
        a, b, of_a, of_b, rows, columns = b, a, of_b, of_a, columns, rows
    y = kernels["matmul"](_matrices(a, of_a, both, rows, summed), _matrices(b, of_b, both, columns, summed).swapaxes(-1, -2))
    order = both + rows + columns
    return y.reshape([sizes[letter] for letter in order]).transpose([order.index(letter) for letter in result])


def _without(x: Any, term: str, needed: str) -> tuple[Any, str]:
    """The array summed over what nobody else needs."""
    alone = tuple(i for i, letter in enumerate(term) if letter not in needed)
    return (x.sum(alone), "".join(letter for letter in term if letter in needed)) if alone else (x, term)


def _matrices(x: Any, term: str, both: str, rows: str, columns: str) -> Any:
    """(both, rows, columns), a view where the order of the letters allows one."""
    turned = bool(columns) and term[-1] not in columns
    order = both + (columns + rows if turned else rows + columns)
    x = x.transpose([term.index(letter) for letter in order])
    first = len(both) + len(columns if turned else rows)
    ends = (len(both), first, len(order))
    shape = [math.prod(x.shape[begin:end]) for begin, end in zip((0, *ends[:2]), ends, strict=True)]
    shape = shape if both else shape[1:]
    try:
        y = np.reshape(x, shape, copy=False)
    except ValueError:  # no view
        y = kernels["contiguous"](x).reshape(shape)
    return y.swapaxes(-1, -2) if turned else y
