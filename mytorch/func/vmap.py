"""vmap: a function of one example as a function of a batch, each of whose operations runs once for all examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mytorch.autograd_engine import grad
from mytorch.engine_state import TensorBase
from mytorch.func.batched import BatchedTensor, Level, is_batched_at
from mytorch.func.pytree import Spec, broadcast_prefix, flatten, unflatten
from mytorch.ops.joining import cat
from mytorch.ops.views import expand, movedim, narrow

__mytorch__ = True


def vmap(func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None) -> Any:
    """A function that maps `func` over a dimension of its arguments, in one pass: `vmap(torch.dot)(x, y)` is all dot products of rows.

    Inside, `func` sees one example. Each of its operations runs once on the whole batch, by a rule; operations without a rule loop
    over the examples. What depends on values in Python (`if x > 0`, `x.item()`, masks as indices) is refused: examples may differ.

    Args:
        func: takes Tensors, nested tuples, lists or dicts of them, and anything that is not mapped; returns Tensors, nested or not.
        in_dims: the dimension to map of each argument: an int for all, or a nested structure of ints and None (not mapped). Keyword
            arguments are not mapped.
        out_dims: where the mapped dimension shall be in each output; None for an output that does not depend on the example.
        randomness: 'error' refuses random draws, 'different' draws anew for every example, 'same' draws once for all.
        chunk_size: map so many examples at a time, to save memory; None for all at once.
    Raises:
        ValueError: for dims that do not fit the arguments or outputs, or mapped sizes that differ.
        RuntimeError: for what cannot be mapped: see above, and writes in place of a mapped value into a tensor that is not mapped.
    Derivative: as of the operations: examples do not mix. Gradients flow to mapped and unmapped arguments alike.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    from functools import wraps

    @wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, dims, spec = _mapped_leaves(func, in_dims, args)
        size = _batch_size(leaves, dims)
        if chunk_size is None or size <= chunk_size:
            return _finished(func, out_dims, *_run(func, leaves, dims, spec, kwargs, size, randomness), size)
        return _in_chunks(func, leaves, dims, spec, kwargs, size, randomness, chunk_size, out_dims)

    return mapped


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", repr(func))


# ---- arguments ----------------------------------------------------------------------------------------------------------------


def _mapped_leaves(func: Callable[..., Any], in_dims: Any, args: tuple[Any, ...]) -> tuple[list[Any], list[int | None], Spec]:
    """The leaves of the arguments, the mapped dimension of each (None: not mapped), and how to put them together again."""
    call = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(f"{call}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
                         f"got: {type(in_dims)}.")
    if not args:
        raise ValueError(f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
                         "function with no inputs. The latter is unsupported.")
    leaves, spec = flatten(args)
    dims = broadcast_prefix(in_dims, args)
    if dims is None:
        raise ValueError(f"{call}: in_dims is not compatible with the structure of `inputs`. in_dims has structure {flatten(in_dims)[1]} "
                         f"but inputs has structure {spec}.")
    found: list[int | None] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool)):
            raise ValueError(f"{call}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
        if dim is not None and not isinstance(leaf, TensorBase):
            raise ValueError(f"{call}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
                             "non-Tensor arguments, please use None as the respective in_dim")
        ndim = leaf._array.ndim if dim is not None else 0
        if dim is not None and not -ndim <= dim < ndim:
            raise ValueError(f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {ndim} so expected "
                             f"in_dim to satisfy -{ndim} <= in_dim < {ndim}.")
        found.append(None if dim is None else dim % ndim)
    return leaves, found, spec


def _batch_size(leaves: list[Any], dims: list[int | None]) -> int:
    sizes = [leaf._array.shape[dim] for leaf, dim in zip(leaves, dims, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(n != sizes[0] for n in sizes):
        raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension")
    return int(sizes[0])


# ---- the run ------------------------------------------------------------------------------------------------------------------


def _run(func: Callable[..., Any], leaves: list[Any], dims: list[int | None], spec: Spec, kwargs: dict[str, Any], size: int,
         randomness: str) -> tuple[Any, Level]:
    """The outputs of `func`, still batched, and the level that batches them."""
    level = Level(size, randomness)
    fulls = [leaf if not dim else movedim(leaf, dim, 0) for leaf, dim in zip(leaves, dims, strict=True)]
    with level:
        args = unflatten(spec, [full if dim is None else BatchedTensor.of(full, level) for full, dim in zip(fulls, dims, strict=True)])
        return func(*args, **kwargs), level


def _in_chunks(func: Callable[..., Any], leaves: list[Any], dims: list[int | None], spec: Spec, kwargs: dict[str, Any], size: int,
               randomness: str, chunk_size: int, out_dims: Any) -> Any:
    """Some examples at a time; the outputs joined."""
    from mytorch.generator import default_generator
    start = default_generator.get_state() if randomness == "same" else None
    parts = []
    for first in range(0, size, chunk_size):
        count = min(chunk_size, size - first)
        some = [leaf if dim is None else narrow(leaf, dim, first, count) for leaf, dim in zip(leaves, dims, strict=True)]
        if start is not None:
            default_generator.set_state(start)
        parts.append(_finished(func, out_dims, *_run(func, some, dims, spec, kwargs, count, randomness), count))
    out_spec = flatten(parts[0])[1]
    wanted = broadcast_prefix(out_dims, parts[0]) or []
    columns = zip(*[flatten(part)[0] for part in parts], strict=True)
    return unflatten(out_spec, [column[0] if dim is None else cat(list(column), dim) for column, dim in zip(columns, wanted, strict=True)])


def _finished(func: Callable[..., Any], out_dims: Any, outputs: Any, level: Level, size: int) -> Any:
    """The outputs with the mapped dimension where `out_dims` puts it."""
    name = _name(func)
    leaves, spec = flatten(outputs)
    call = f"vmap({name}, ..., out_dims={out_dims})(<inputs>)"
    if any(dim is not None and (not isinstance(dim, int) or isinstance(dim, bool)) for dim in flatten(out_dims)[0]):
        raise ValueError(f"{call.removesuffix('(<inputs>)')}: `out_dims` must be an int, None or a python collection of ints representing "
                         "where in the outputs the vmapped dimension should appear.")
    dims = broadcast_prefix(out_dims, outputs)
    if dims is None:
        raise ValueError(f"{call}: out_dims is not compatible with the structure of `outputs`. out_dims has structure {flatten(out_dims)[1]} "
                         f"but outputs has structure {spec}.")
    found = []
    for y, dim in zip(leaves, dims, strict=True):
        if dim is None:
            if is_batched_at(y, level):
                raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
            found.append(y)
            continue
        if not isinstance(y, TensorBase):
            raise ValueError(f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(y)}. Did you mean to set out_dims= "
                             "to None for output?")
        full = level.full(y)
        found.append(movedim(expand(y, (size, *y._array.shape)) if full is None else full, 0, dim))
    return unflatten(spec, found)


# ---- autograd.grad(..., is_grads_batched=True) --------------------------------------------------------------------------------


def batched_gradients(outputs: Sequence[Any], inputs: Sequence[Any], grad_outputs: Any, **options: Any) -> tuple[Any, ...]:
    """`autograd.grad` for every entry of the first dimension of `grad_outputs` at once: Jacobians from one walk.

    Raises:
        RuntimeError: if the other dimensions are not those of the outputs.
    """
    given = [grad_outputs] if isinstance(grad_outputs, TensorBase) or grad_outputs is None else list(grad_outputs)
    for i, (y, g) in enumerate(zip(outputs, given, strict=True)):
        if g is not None and g._array.shape[1:] != y._array.shape:
            raise RuntimeError("If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. The "
                               "sizes of the remaining dimensions are expected to match the shape of corresponding output, but a mismatch was "
                               f"detected: grad_output[{i}] has a shape of torch.Size({list(g._array.shape)}) and output[{i}] has a shape of "
                               f"torch.Size({list(y._array.shape)}). If you only want some tensors in `grad_output` to be considered batched, "
                               "consider using vmap.")
    present = [i for i, g in enumerate(given) if g is not None]
    absent: list[int] = []

    def one(*gs: Any) -> list[Any]:
        everything: list[Any] = [None] * len(given)
        for i, g in zip(present, gs, strict=True):
            everything[i] = g
        found = grad(outputs, inputs, everything, **options)
        absent[:] = [i for i, d in enumerate(found) if d is None]
        return [d for d in found if d is not None]

    rest = iter(vmap(one)(*[given[i] for i in present]))
    return tuple(None if i in absent else next(rest) for i in range(len(inputs)))
