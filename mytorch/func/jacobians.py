"""Whole Jacobians and Hessians: vjp or jvp for every vector of a basis, all at once through vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from mytorch.func.pytree import Spec, flatten, unflatten
from mytorch.func.transforms import Argnums, _chosen, _replaced, _tensors, _vjp, jvp
from mytorch.func.vmap import vmap
from mytorch.ops.create import eye
from mytorch.ops.joining import stack

__mytorch__ = True

_FEW_ROWS = 3  # up to so many a loop is not slower: it walks back on plain arrays, vmap on Tensors


def basis(xs: Sequence[Any]) -> list[Any]:
    """The standard basis of the space of all elements of xs: for each x a Tensor (elements of all xs, *x.shape)."""
    total = sum(x.numel() for x in xs)
    found = []
    before = 0
    for x in xs:
        n = x.numel()
        one = eye(n, dtype=x.dtype)
        rows = x.new_zeros((total, n)) if n != total else one
        if n != total and n:
            rows[before:before + n] = one
        found.append(rows.reshape(total, *x.shape))
        before += n
    return found


def _require_real(function: str, what: str, tensors: Sequence[Any]) -> None:
    for i, x in enumerate(tensors):
        if x.is_complex():
            raise RuntimeError(f"{function}: Expected all {what} to be real but received complex tensor at flattened input idx: {i}")


def _blocks(rows: Any, xs: Sequence[Any]) -> list[Any]:
    """(elements of all xs, ...) as one Tensor (*x.shape, ...) for each x."""
    return [part.reshape(*x.shape, *rows.shape[1:]) for x, part in zip(xs, rows.split([x.numel() for x in xs]), strict=True)]


def jacrev(func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None,
           _preallocate_and_copy: bool = False) -> Callable[..., Any]:
    """A function that returns the Jacobian of `func`, row by row in reverse mode: cheap where there are fewer outputs than inputs.

    Args:
        argnums: the argument, or a tuple of arguments, to differentiate by.
        has_aux: func returns (output, aux), and aux is passed on.
        chunk_size: how many rows at a time; 1 loops. Default: all.
    Shape: for an output of shape Y and an argument of shape X: (*Y, *X). Trees of outputs hold trees of arguments.
    Raises:
        RuntimeError: if func returns something else than Tensors, argnums names no argument, or for complex numbers.
        ValueError: for a chunk_size below 1.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @wraps(func)
    def wrapper(*args: Any) -> Any:
        _require_real("jacrev", "inputs", _tensors(_chosen(args, argnums))[0])
        output, pull_back, spec, aux = _vjp(func, args, argnums, has_aux)
        ys, out_spec = flatten(output)
        _require_real("jacrev", "outputs", ys)
        if not ys:
            return (output, aux) if has_aux else output
        vectors = basis(ys)
        count = len(vectors[0])

        def rows_of(*u: Any) -> tuple[Any, ...]:
            return tuple(flatten(pull_back(unflatten(out_spec, u)))[0])

        if count == 0:
            rows: Any = [x.new_zeros((0, *x.shape)) for x in _tensors(_chosen(args, argnums))[0]]
        elif chunk_size == 1 or count <= _FEW_ROWS:
            rows = [stack(column) for column in zip(*[rows_of(*[v[i] for v in vectors]) for i in range(count)], strict=True)]
        else:
            rows = vmap(rows_of, chunk_size=chunk_size)(*vectors)
        found = _by_output([_blocks(r, ys) for r in rows], out_spec, spec)
        return (found, aux) if has_aux else found

    return wrapper


def _by_output(blocks: list[list[Any]], out_spec: Spec, spec: Spec) -> Any:
    """Blocks by argument, then by output, as the tree of outputs, each leaf of which is the tree of arguments."""
    return unflatten(out_spec, [unflatten(spec, column) for column in zip(*blocks, strict=True)])


def jacfwd(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable[..., Any]:
    """A function that returns the Jacobian of `func`, column by column in forward mode: cheap where there are fewer inputs than outputs.

    Args:
        argnums: the argument, or a tuple of arguments, to differentiate by.
        has_aux: func returns (output, aux), and aux is passed on.
        randomness: what a draw of random numbers in func does: 'error', 'same' for all columns, or 'different'.
    Shape: as in `jacrev`.
    Raises:
        RuntimeError: if func returns something else than Tensors, or argnums names no argument.
    """
    @wraps(func)
    def wrapper(*args: Any) -> Any:
        xs, spec = _tensors(_chosen(args, argnums))
        _require_real("jacfwd", "inputs", xs)

        def column_of(*t: Any) -> Any:
            def of_leaves(*leaves: Any) -> Any:
                return func(*_replaced(args, argnums, unflatten(spec, leaves)))
            return jvp(of_leaves, tuple(xs), t, has_aux=has_aux)[1:]

        found = vmap(column_of, randomness=randomness)(*basis(xs))
        aux = None
        if has_aux:
            found, aux = found
            aux = unflatten(flatten(aux)[1], [x[0] for x in flatten(aux)[0]])
        else:
            found, = found
        columns, out_spec = flatten(found)
        _require_real("jacfwd", "outputs", columns)
        blocks = [[part.movedim(tuple(range(x.dim())), tuple(range(-x.dim(), 0))) for x, part in zip(xs, _blocks(c, xs), strict=True)]
                  for c in columns]
        result = unflatten(out_spec, [unflatten(spec, by_argument) for by_argument in blocks])
        return (result, aux) if has_aux else result

    return wrapper


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of `func`, forward over reverse: jacfwd(jacrev(func)).

    Shape: for an output of shape Y and arguments of shapes X1, X2: (*Y, *X1, *X2).
    """
    return jacfwd(jacrev(func, argnums), argnums)


__all__ = ["hessian", "jacfwd", "jacrev"]
