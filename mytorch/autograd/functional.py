"""Products with Jacobians and Hessians, and whole ones, of functions of Tensors: torch.autograd.functional.

Functions take Tensors and return Tensors. Inputs given as a tuple come back as a tuple. Without `create_graph` results are constants.
`strict` refuses, with a RuntimeError, what would be zero because an output does not depend on an input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mytorch.autograd_engine import TensorBase, enable_grad, grad, requires_grad, set_grad_enabled, state
from mytorch.func.jacobians import _blocks, basis
from mytorch.func.transforms import constant, inside_vmap_leaf
from mytorch.func.transforms import jvp as forward_jvp
from mytorch.func.vmap import vmap
from mytorch.ops.joining import stack

__mytorch__ = True

_NOT_DEPENDENT = {  # why a result is zero: said in strict mode
    "outputs": "Output {} of the user-provided function does not require gradients. The outputs must be computed in a differentiable manner "
               "from the input when running in strict mode.",
    "grad_inputs": "The gradient with respect to input {} is independent of the inputs of the user-provided function. This is not allowed "
                   "in strict mode.",
    "jacobian": "While computing the hessian, found that the jacobian of the user-provided function with respect to input {} is independent "
                "of the input. This is not allowed in strict mode. You should ensure that your function is twice differentiable and that "
                "the jacobian depends on the inputs (this would be violated by a linear function for example).",
    "back": "The output of the user-provided function is independent of input {}. This is not allowed in strict mode.",
    "row": "{1} of the user-provided function is independent of input {0}. This is not allowed in strict mode.",
    "back_trick": "The gradient with respect to the input is independent of entry {} in the grad_outputs when using the double backward "
                  "trick to compute forward mode gradients. This is not allowed in strict mode.",
    "double_back": "The jacobian of the user-provided function is independent of input {}. This is not allowed in strict mode.",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {} in the grad_jacobian. This is not allowed in "
                         "strict mode as it prevents from using the double backward trick to replace forward mode AD.",
}


# ---- inputs and outputs -------------------------------------------------------------------------------------------------------


def _as_tuple(given: Any, what: str, function: str) -> tuple[bool, tuple[Any, ...]]:
    """Was it a tuple? And as a tuple of Tensors."""
    is_tuple = isinstance(given, tuple)
    found = given if is_tuple else (given,)
    for i, x in enumerate(found):
        if not isinstance(x, TensorBase):
            which = f"value at index {i}" if is_tuple else f"given {what}"
            raise TypeError(f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the {which} has type {type(x)}.")
    return is_tuple, found


_OUTPUTS = "outputs of the user-provided function"


def _own(inputs: Sequence[Any], create_graph: bool) -> list[Any]:
    """Inputs to differentiate by: views of those that the caller differentiates, else leaves of their own."""
    found = []
    for x in map(inside_vmap_leaf, inputs):
        if create_graph and requires_grad(x):
            found.append(x.view_as(x))
            continue
        if x._array.dtype.kind not in "fcV":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        found.append(constant(x).requires_grad_())
    return found


def _finish(results: Sequence[Any], is_tuple: bool, create_graph: bool) -> Any:
    found = tuple(x if create_graph else constant(x) for x in results)
    return found if is_tuple else found[0]


def _require_graph(tensors: Sequence[Any], what: str, strict: bool) -> None:
    for i, x in enumerate(tensors):
        if strict and not requires_grad(x):
            raise RuntimeError(_NOT_DEPENDENT[what].format(i))


def _vector(v: Any, like: Sequence[Any], is_tuple: bool, function: str, whose: str) -> tuple[Any, ...]:
    """The vector v, one part for each of `like`; where those are one number, 1."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {whose} a single Tensor with a single element.")
        return (like[0].new_ones(like[0].shape),)
    _, found = _as_tuple(v, "v", function)
    if len(found) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(found)}." if is_tuple
                           else "The given v should contain a single Tensor.")
    for i, (part, x) in enumerate(zip(found, like, strict=True)):
        if part.shape != x.shape:
            which = f"Entry {i} in " if is_tuple else ""
            raise RuntimeError(f"{which}v has invalid size: should be {x.shape} but got {part.shape}.")
    return found


def _gradients(outputs: Sequence[Any], inputs: Sequence[Any], weights: Sequence[Any] | None, create_graph: bool, keep: bool = False) -> list[Any]:
    """Gradients of those outputs that have one; None where none arrives."""
    weights = [None] * len(outputs) if weights is None else weights
    pairs = [(y, w) for y, w in zip(outputs, weights, strict=True) if y is not None and requires_grad(y)]
    if not pairs:
        return [None] * len(inputs)
    return list(grad([y for y, _ in pairs], inputs, [w for _, w in pairs], create_graph=create_graph, allow_unused=True,
                     retain_graph=keep or create_graph))


def _filled(found: Sequence[Any], like: Sequence[Any], strict: bool, create_graph: bool, stage: str, whose: str = "") -> list[Any]:
    """Zeros for None; in strict mode an error instead, also for a result that a further derivative would find constant."""
    for i, g in enumerate(found):
        if strict and g is None:
            raise RuntimeError(_NOT_DEPENDENT[stage].format(i, whose))
        if strict and create_graph and not requires_grad(g):
            what = "hessian" if stage.startswith("double") else "jacobian"
            raise RuntimeError(f"The {what} of the user-provided function is independent of input {i}. "
                               "This is not allowed in strict mode when create_graph=True.")
    return [x.new_zeros(x.shape) if g is None else g for g, x in zip(found, like, strict=True)]


# ---- products with the Jacobian -----------------------------------------------------------------------------------------------


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The outputs of `func` and v J, v being a vector for each output.

    Raises:
        RuntimeError: if v does not have the shapes of the outputs; in strict mode.
        TypeError: for inputs, outputs or v other than Tensors and tuples of them.
    """
    with enable_grad():
        is_tuple, inputs = _as_tuple(inputs, "inputs", "vjp")
        xs = _own(inputs, create_graph)
        out_tuple, ys = _as_tuple(func(*xs), _OUTPUTS, "vjp")
        _require_graph(ys, "outputs", strict)
        v = _vector(v, ys, out_tuple, "vjp", "the user-provided function returns")
    with set_grad_enabled(create_graph or state.grad_enabled):
        found = _filled(_gradients(ys, xs, v, create_graph), xs, strict, create_graph, "back")
    return _finish(ys, out_tuple, create_graph), _finish(found, is_tuple, create_graph)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The outputs of `func` and J v, v being a vector for each input: as the derivative of u -> u J. `func.jvp` needs no backward.

    Raises:
        RuntimeError: if v does not have the shapes of the inputs; in strict mode.
        TypeError: for inputs, outputs or v other than Tensors and tuples of them.
    """
    with enable_grad():
        is_tuple, inputs = _as_tuple(inputs, "inputs", "jvp")
        xs = _own(inputs, create_graph)
        v = _vector(v, xs, is_tuple, "jvp", "the input to the user-provided function is")
        out_tuple, ys = _as_tuple(func(*xs), _OUTPUTS, "jvp")
        _require_graph(ys, "outputs", strict)
        us = [y.new_zeros(y.shape).requires_grad_() for y in ys]
        pulled = _filled(_gradients(ys, xs, us, create_graph=True), xs, strict, False, "back")
        _require_graph(pulled, "grad_inputs", strict)
    with set_grad_enabled(create_graph or state.grad_enabled):
        found = _filled(_gradients(pulled, us, v, create_graph), us, strict, create_graph, "back_trick")
    return _finish(ys, out_tuple, create_graph), _finish(found, out_tuple, create_graph)


# ---- products with the Hessian ------------------------------------------------------------------------------------------------


def _single_output(result: Any, function: str) -> tuple[Any, ...]:
    is_tuple, ys = _as_tuple(result, _OUTPUTS, function)
    if is_tuple:
        raise RuntimeError(f"The function given to {function} should return a single Tensor")
    if ys[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {function} should contain a single element")
    return ys


def _value_and_gradient(function: str, func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool) -> tuple[Any, ...]:
    is_tuple, inputs = _as_tuple(inputs, "inputs", function)
    xs = _own(inputs, create_graph)
    v = _vector(v, xs, is_tuple, function, "the input to the user-provided function is")
    ys = _single_output(func(*xs), function)
    _require_graph(ys, "outputs", strict)
    slopes = _filled(_gradients(ys, xs, None, create_graph=True), xs, strict, False, "back")
    _require_graph(slopes, "jacobian", strict)
    return is_tuple, xs, v, ys, slopes


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The output of `func`, one number, and v H: the gradient of (gradient * v).

    Raises:
        RuntimeError: if func returns more than one element or v does not have the shapes of the inputs; in strict mode.
        TypeError: for inputs, outputs or v other than Tensors and tuples of them.
    """
    with enable_grad():
        is_tuple, xs, v, ys, slopes = _value_and_gradient("vhp", func, inputs, v, create_graph, strict)
    with set_grad_enabled(create_graph or state.grad_enabled):
        found = _filled(_gradients(slopes, xs, v, create_graph), xs, strict, create_graph, "double_back")
    return _finish(ys, False, create_graph), _finish(found, is_tuple, create_graph)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The output of `func`, one number, and H v: as the derivative of u -> u H. `vhp` is cheaper, and equal where H is symmetric.

    Raises:
        RuntimeError: if func returns more than one element or v does not have the shapes of the inputs; in strict mode.
        TypeError: for inputs, outputs or v other than Tensors and tuples of them.
    """
    with enable_grad():
        is_tuple, xs, v, ys, slopes = _value_and_gradient("hvp", func, inputs, v, create_graph, strict)
        us = [x.new_zeros(x.shape).requires_grad_() for x in xs]
        pulled = _filled(_gradients(slopes, xs, us, create_graph=True), xs, strict, False, "double_back")
        _require_graph(pulled, "jacobian", strict)
    with set_grad_enabled(create_graph or state.grad_enabled):
        found = _filled(_gradients(pulled, us, v, create_graph), us, strict, create_graph, "double_back_trick")
    return _finish(ys, False, create_graph), _finish(found, is_tuple, create_graph)


# ---- whole Jacobians and Hessians ---------------------------------------------------------------------------------------------


def jacobian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """The Jacobian of `func`: a Tensor of shape (*output, *input), in tuples over outputs and inputs where those are tuples.

    Args:
        vectorize: all rows (or columns) at once through vmap, rather than one after the other.
        strategy: 'reverse-mode', by rows; 'forward-mode', by columns, for functions of few inputs; only with vectorize.
    Raises:
        RuntimeError: for strict with vectorize; in strict mode.
        NotImplementedError: for forward mode without vectorize, or with create_graph.
        TypeError: for inputs or outputs other than Tensors and tuples of them.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than '
                             'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".')
    if strategy == "forward-mode":
        return _by_columns(func, inputs, create_graph, vectorize)
    with enable_grad():
        is_tuple, inputs = _as_tuple(inputs, "inputs", "jacobian")
        xs = _own(inputs, create_graph)
        out_tuple, ys = _as_tuple(func(*xs), _OUTPUTS, "jacobian")
        _require_graph(ys, "outputs", strict)
        if vectorize and strict:
            raise RuntimeError("torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. "
                               "Please either set `strict=False` or `vectorize=False`.")
        rows = _rows_at_once(ys, xs, create_graph) if vectorize else [_rows(i, y, xs, create_graph, strict) for i, y in enumerate(ys)]
    found = tuple(_finish(row, is_tuple, create_graph) for row in rows)
    return found if out_tuple else found[0]


def _rows(i: int, y: Any, xs: Sequence[Any], create_graph: bool, strict: bool) -> list[Any]:
    """One row of the Jacobian after the other, for each input stacked to (*y, *x)."""
    found: list[list[Any]] = []
    for unit in basis([y]):
        for one in unit:
            row = _gradients([y], xs, [one], create_graph, keep=True)
            found.append(_filled(row, xs, strict, create_graph, "row", f"Output {i}"))
    if not found:
        return [x.new_zeros((*y.shape, *x.shape)) for x in xs]
    return [stack(column).reshape(*y.shape, *x.shape) for column, x in zip(zip(*found, strict=True), xs, strict=True)]


def _rows_at_once(ys: Sequence[Any], xs: Sequence[Any], create_graph: bool) -> list[list[Any]]:
    def rows(*u: Any) -> tuple[Any, ...]:
        return tuple(_filled(_gradients(ys, xs, u, create_graph, keep=True), xs, False, False, "back"))

    with set_grad_enabled(create_graph):
        found = [_blocks(r, ys) for r in vmap(rows)(*basis(ys))]
    return [list(of_output) for of_output in zip(*found, strict=True)]


def _by_columns(func: Callable[..., Any], inputs: Any, create_graph: bool, vectorize: bool) -> Any:
    if create_graph:
        raise NotImplementedError("torch.autograd.functional.jacobian: `create_graph=True` and `strategy=\"forward-mode\"` are not supported "
                                  "together (yet). Please either set `create_graph=False` or `strategy=\"reverse-mode\"`.")
    is_tuple, xs = _as_tuple(inputs, "inputs", "jacobian")
    if not vectorize:
        raise NotImplementedError("Computing Jacobian using forward-AD or forward-over-reverse Hessian is only implemented for `vectorize=True`.")
    out_tuple = False

    def column(*t: Any) -> tuple[Any, ...]:
        nonlocal out_tuple

        def checked(*args: Any) -> tuple[Any, ...]:
            nonlocal out_tuple
            out_tuple, ys = _as_tuple(func(*args), _OUTPUTS, "jacobian")
            return ys

        return tuple(forward_jvp(checked, xs, t)[1])

    found = []
    for c in vmap(column)(*basis(xs)):
        blocks = [part.movedim(tuple(range(x.dim())), tuple(range(-x.dim(), 0))) for x, part in zip(xs, _blocks(c, xs), strict=True)]
        found.append(_finish(blocks, is_tuple, False))
    return tuple(found) if out_tuple else found[0]


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of `func`, which returns one number: (*input, *input), in tuples of tuples for a tuple of inputs.

    Args:
        vectorize, outer_jacobian_strategy: of the Jacobian of the gradient, see `jacobian`.
    Raises:
        RuntimeError: if func returns more than one element; in strict mode.
        NotImplementedError: as for `jacobian`.
    """
    is_tuple, inputs = _as_tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def value(*xs: Any) -> Any:
        ys = _single_output(func(*xs), "hessian")
        _require_graph(ys, "outputs", strict)
        return ys[0].reshape(())

    def gradient(*xs: Any) -> Any:
        slopes = jacobian(value, xs, create_graph=True)
        _require_graph(slopes, "jacobian", strict)
        return slopes

    found = jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if is_tuple else found[0][0]


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
