"""Functions of functions that differentiate: grad, vjp, jvp and what is made of them. They nest, and mix with vmap.

A reverse-mode transform runs the function on leaves of its own, which share the memory of the arguments. Its result stays in the graph
of whatever the caller differentiates, and in no other: what depends on nothing but the transform's own leaves comes out as a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from mytorch.autograd import forward_ad
from mytorch.autograd_engine import AccumulateGrad, Node, TensorBase, apply, enable_grad, gradient_edge, no_grad, requires_grad, state
from mytorch.autograd_engine import grad as engine_grad
from mytorch.func.pytree import Spec, flatten, map_leaves, unflatten
from mytorch.nodes import node_of

__mytorch__ = True

Argnums = int | tuple[int, ...]


# ---- arguments and results ----------------------------------------------------------------------------------------------------


def _positions(argnums: Any, count: int) -> tuple[int, ...]:
    """`argnums` as positions counted from the front."""
    if isinstance(argnums, bool) or not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    given = argnums if isinstance(argnums, tuple) else (argnums,)
    if not given:
        raise RuntimeError("argnums must be non-empty")
    if len(set(given)) != len(given):
        raise RuntimeError(f"argnums elements must be unique, got {given}")
    for i in given:
        if not isinstance(i, int):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(i)}")
        if not -count <= i < count:
            raise RuntimeError(f"Got argnum={i}, but only {count} positional inputs")
    return tuple(i % count for i in given)


def _chosen(args: tuple[Any, ...], argnums: Argnums) -> Any:
    """The arguments to differentiate by: one, or a tuple."""
    places = _positions(argnums, len(args))
    return args[places[0]] if isinstance(argnums, int) else tuple(args[i] for i in places)


def _replaced(args: tuple[Any, ...], argnums: Argnums, values: Any) -> tuple[Any, ...]:
    found = list(args)
    for i, value in zip(_positions(argnums, len(args)), [values] if isinstance(argnums, int) else values, strict=True):
        found[i] = value
    return tuple(found)


def _tensors(tree: Any) -> tuple[list[Any], Spec]:
    """The leaves of a tree of Tensors."""
    leaves, spec = flatten(tree)
    for x in leaves:
        if not isinstance(x, TensorBase):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    return leaves, spec


def _results(where: str, tree: Any) -> tuple[list[Any], Spec]:
    """The leaves of what a function returned."""
    leaves, spec = flatten(tree)
    for y in leaves:
        if not isinstance(y, TensorBase):
            raise RuntimeError(f"{where}: expected f(*{'primals' if 'primals' in where else 'args'}) to return only tensors, "
                               f"got unsupported type {type(y)}")
    return leaves, spec


def _split_aux(where: str, result: Any) -> tuple[Any, Any]:
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{where}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def _each_tensor(function: Callable[[Any], Any], tree: Any) -> Any:
    def run(x: Any) -> Any:
        if not isinstance(x, TensorBase):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(x)}")
        return function(x)
    return map_leaves(run, tree)


# ---- a graph of one's own -----------------------------------------------------------------------------------------------------


_WRITTEN = "is the argument of a function that is differentiated and is being modified inplace. Write to a clone() of it."


class _Graph:
    """What one transform records: its leaves, and what of the results belongs to somebody else's graph too."""

    def __init__(self) -> None:
        self.recording = state.grad_enabled  # does the caller differentiate what comes out?
        self.leaves: list[Any] = []
        self.nodes: set[Node] = set()

    def leaf(self, x: Any) -> Any:
        """x with a place of its own in the graph: a leaf, or, if it is in the caller's graph, a view of it there."""
        if x._array.dtype.kind not in "fcV":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        x = inside_vmap_leaf(x)
        if self.recording and requires_grad(x):
            with enable_grad():
                own = apply(forward_ad.alias_op, (x,))
            if own._view is not None:
                own._view.refusal = _WRITTEN
        else:
            own = constant(x)
            own.requires_grad_()
            self.nodes.add(node_of(_edge(own)))
        self.leaves.append(own)
        return own

    def is_shared(self, tensors: Iterable[Any]) -> bool:
        """Does the caller differentiate these: do they depend on a leaf that is not this transform's?"""
        if not self.recording:
            return False
        stack = [node_of(edge) for edge in map(_edge, tensors) if edge is not None]
        seen = set(stack)
        while stack:
            node = stack.pop()
            if isinstance(node, AccumulateGrad) and node not in self.nodes:
                return True
            for parent in map(node_of, node.edges):
                if parent is not None and parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
        return False

    def outside(self, y: Any) -> Any:
        """A result as the caller gets it: a constant, unless he differentiates it."""
        return y if not requires_grad(y) or self.is_shared([y]) else constant(y)

    def gradients(self, outputs: Sequence[Any], weights: Sequence[Any] | None, keep: bool, create: bool = True) -> list[Any]:
        """The gradient at each leaf; zeros where nothing arrives. With `create` in the caller's graph, if that needs it."""
        weights = [None] * len(outputs) if weights is None else weights
        pairs = [(y, w) for y, w in zip(outputs, weights, strict=True) if requires_grad(y)]
        found: Sequence[Any] = [None] * len(self.leaves)
        if pairs:
            create = create and (self.is_shared([y for y, _ in pairs]) or (state.grad_enabled and any(requires_grad(w) for _, w in pairs)))
            found = engine_grad([y for y, _ in pairs], self.leaves, [w for _, w in pairs], retain_graph=keep or create,
                                create_graph=create, allow_unused=True)
        return [x.new_zeros(x.shape) if g is None else self.outside(g) for x, g in zip(self.leaves, found, strict=True)]


def _edge(x: Any) -> Any:
    """Where gradients of x go; inside vmap, those of the whole batch, on which graphs are recorded."""
    while hasattr(x, "_full"):
        x = x._full
    return gradient_edge(x)


def constant(x: Any) -> Any:
    """The values of x outside of any graph of reverse mode. Unlike detach() it keeps what modes know of x."""
    with no_grad():
        return apply(forward_ad.alias_op, (x,))


def inside_vmap_leaf(x: Any) -> Any:
    """x with an example of its own for each vmap around it, so that each has a gradient of its own."""
    if state.mode is None:
        return x
    from mytorch.func import batched
    return batched.inside_vmap_leaf(x)


# ---- reverse mode -------------------------------------------------------------------------------------------------------------


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func` and its value.

    Args:
        func: function of Tensors (or trees of them) that returns a Tensor of one element; with `has_aux`, a pair of that and anything
            made of Tensors.
        argnums: the argument, or a tuple of arguments, to differentiate by.
    Returns:
        (gradient, value), or (gradient, (value, aux)). The gradient has the structure of the argument, or is a tuple of such.
    Raises:
        RuntimeError: if func returns no Tensor of one element, or argnums names no argument.
    """
    where = "grad_and_value(f)(*args)"

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        graph = _Graph()
        leaves, spec = _tensors(_chosen(args, argnums))
        with enable_grad():
            own = unflatten(spec, [graph.leaf(x) for x in leaves])
            output = func(*_replaced(args, argnums, own), **kwargs)
            aux = None
            if has_aux:
                output, aux = _split_aux(where, output)
            if not isinstance(output, TensorBase):
                raise RuntimeError(f"{where}: Expected f(*args) to return a Tensor, got {type(output)}")
            if output.dim() != 0:  # type: ignore[attr-defined]
                raise RuntimeError(f"{where}: Expected f(*args) to return a scalar Tensor, got tensor with "
                                   f"{output.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?")  # type: ignore[attr-defined]
            found = graph.gradients([output], None, keep=has_aux)
        value = graph.outside(output)
        return unflatten(spec, found), (value, _each_tensor(graph.outside, aux)) if has_aux else value

    return wrapper


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func`: see `grad_and_value`. `grad(grad(f))` is the second derivative.

    Returns:
        the gradient, or (gradient, aux) with `has_aux`.
    """
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapper


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `func` at `primals`, and the function that multiplies a vector by its Jacobian from the left.

    Returns:
        (output, vjp_fn), and aux with `has_aux`. vjp_fn(cotangents) takes what has the structure of the output and gives a tuple with
        u J for each primal. It may be called several times.
    Raises:
        RuntimeError: if func returns something else than Tensors, or cotangents have another structure than the output.
    """
    output, pull_back, _, aux = _vjp(func, primals, tuple(range(len(primals))), has_aux)
    return (output, pull_back, aux) if has_aux else (output, pull_back)


def _vjp(func: Callable[..., Any], args: tuple[Any, ...], argnums: Argnums, has_aux: bool) -> tuple[Any, Callable[..., Any], Spec, Any]:
    where = "vjp(f, *primals)"
    graph = _Graph()
    leaves, spec = _tensors(_chosen(args, argnums))
    with enable_grad():
        own = unflatten(spec, [graph.leaf(x) for x in leaves])
        output = func(*_replaced(args, argnums, own))
        aux = None
        if has_aux:
            output, aux = _split_aux(where, output)
        outputs, out_spec = _results(where, output)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        weights, given_spec = flatten(cotangents)
        if given_spec != out_spec:
            raise RuntimeError("Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                               f"cotangents: {given_spec}, primal output: {out_spec}")
        return unflatten(spec, graph.gradients(outputs, weights, retain_graph, create_graph is not False))

    return unflatten(out_spec, [graph.outside(y) for y in outputs]), vjp_fn, spec, _each_tensor(graph.outside, aux) if has_aux else None


# ---- forward mode -------------------------------------------------------------------------------------------------------------


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """The value of `func` at `primals`, and its Jacobian times `tangents`, in one pass.

    Args:
        primals, tangents: tuples of Tensors (or trees) of the same structure and shapes.
        strict: refuse an output that does not depend on the primals, whose tangent would be zero.
    Returns:
        (output, J t), and aux with `has_aux`.
    Raises:
        RuntimeError: for other structures, for shapes that differ, or if func returns something else than Tensors.
    """
    where = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{where}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    xs, spec = flatten(primals)
    ts, other = flatten(tangents)
    if spec != other:
        raise RuntimeError(f"{where}: Expected primals and tangents to have the same python structure. For example, if primals is a tuple of "
                           f"3 tensors, tangents also must be. Got primals with structure {spec} and tangents with structure {other}")
    if not xs:
        raise RuntimeError(f"{where}: Expected primals to contain at least one Tensor.")
    for name, leaves in (("primals", xs), ("tangents", ts)):
        for x in leaves:
            if not isinstance(x, TensorBase):
                raise RuntimeError(f"{where}: Expected {name} to only contain Tensors, got {type(x)}")
    with forward_ad.Level() as level:
        for x, t in zip(xs, ts, strict=True):
            forward_ad.check_dual(x, t)
        result = func(*unflatten(spec, [level.make_dual(x, t) for x, t in zip(xs, ts, strict=True)]))
        aux = None
        if has_aux:
            result, aux = _split_aux(where, result)
            aux = _each_tensor(lambda x: level.unpack(x)[0], aux)
        ys, out_spec = _results(where, result)
        pairs = [level.unpack(y) for y in ys]
    if strict and any(t is None for _, t in pairs):
        raise RuntimeError(f"{where[:-1]}, strict=True): The output of f is independent of the inputs. This is not allowed with strict=True.")
    output = unflatten(out_spec, [y for y, _ in pairs])
    found = unflatten(out_spec, [y.new_zeros(y.shape) if t is None else t for y, t in pairs])
    return (output, found, aux) if has_aux else (output, found)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of `func` at `primals`, and the linear function t -> J t, which does not compute `func` again.

    u J, recorded once for a vector u of no account, is linear in u: its derivative in the direction t is J t.

    Raises:
        RuntimeError: if tangents have another structure, shape or dtype than the primals.
    """
    output, pull_back = vjp(func, *primals)
    ys, out_spec = flatten(output)
    xs, spec = flatten(primals)
    with enable_grad():
        probes = [y.new_zeros(y.shape).requires_grad_() for y in ys]
        pulled = flatten(pull_back(unflatten(out_spec, probes)))[0]

    def jvp_fn(*tangents: Any) -> Any:
        ts, given = flatten(tangents)
        if given != spec:
            raise RuntimeError(f"Expected the tangents {given} to have the same argspec as the primals {spec}")
        for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
            for what in ("shape", "dtype"):
                if getattr(t, what) != getattr(x, what):
                    raise RuntimeError(f"tangent:{i} with {what} {getattr(t, what)} in flattened pytree doesn't match the {what} "
                                       f"{getattr(x, what)} of the corresponding primal.")
        pairs = [(v, t) for v, t in zip(pulled, ts, strict=True) if requires_grad(v)]
        found: Sequence[Any] = [None] * len(ys)
        if pairs:
            create = state.grad_enabled and any(requires_grad(t) for t in (*ts, *xs))
            found = engine_grad([v for v, _ in pairs], probes, [t for _, t in pairs], retain_graph=True, create_graph=create, allow_unused=True)
        return unflatten(out_spec, [y.new_zeros(y.shape) if t is None else t for y, t in zip(ys, found, strict=True)])

    return output, jvp_fn


__all__ = ["grad", "grad_and_value", "jvp", "linearize", "vjp"]
