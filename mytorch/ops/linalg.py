"""Products of matrices: matmul and its relatives, einsum, linear. The decompositions live in the face `mytorch.linalg`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.backends import kernel
from mytorch.node_names import titled
from mytorch.ops.arithmetic import add, mul
from mytorch.ops.autocast import full_precision, get_casting, lower_precision, lowered, without_autocast
from mytorch.ops.choices import where
from mytorch.ops.common import (
    BFLOAT16_NP,
    FLOAT16,
    Op,
    TensorBase,
    apply,
    apply_inplace,
    narrowed,
    put_out,
    require_tensor,
    result_dtype,
    widened,
    wrap_dim,
)
from mytorch.ops.contraction import contract
from mytorch.ops.former_calls import takes_former_calls
from mytorch.ops.pointwise import no_gradient
from mytorch.ops.shape import broadcast_tensors, reshape, shape_of, sum_to, unsqueeze

__mytorch__ = True

_HALVES = (FLOAT16, BFLOAT16_NP)


def _refuse_bool(x: Any) -> None:
    if x.dtype.kind == "b":
        raise NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Bool': convert with .long() or .float()")


@kernel
def matmul(a: Any, b: Any) -> Any:
    """Product of matrices or batches of them; 16-bit floats accumulate in float32."""
    _refuse_bool(a)
    wide_a, wide_b = widened(a), widened(b)
    if b.ndim > 2:
        if a.shape[-1] == 1:  # batches of outer products
            return narrowed(np.multiply(wide_a, wide_b), a.dtype)
        if b.shape[:-2] == a.shape[:-2] and b.size and not any(wide_b.strides[:-2]):  # one matrix, repeated by expand()
            wide_b = wide_b[(0,) * (b.ndim - 2)]
    if a.ndim > 2 and wide_b.ndim == 2 and wide_a.flags.c_contiguous:  # one large product instead of many small ones
        y = np.matmul(wide_a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), wide_b).reshape(*a.shape[:-1], b.shape[-1])
    else:
        y = np.matmul(wide_a, wide_b)
    return narrowed(y, a.dtype)


def product(a: Any, b: Any) -> Any:
    """a @ b of arrays by the kernel, which a backend may answer, or of Tensors: for formulas."""
    return matmul(a, b) if type(a) is np.ndarray else a @ b


def _grad_right(g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    shape = shape_of(a)
    if len(b_shape) == 2 and len(shape) > 2:
        rows = math.prod(shape[:-1])
        return product(a.reshape(rows, shape[-1]).mT, g.reshape(rows, b_shape[-1]))
    return product(a.mT, g)


_matmul_op = Op("mm", matmul, lambda g, b: product(g, b.mT), lambda g, a, b_shape: _grad_right(g, a, b_shape), inputs="a b")
_bmm_op = Op("bmm", matmul, lambda g, b: product(g, b.mT), lambda g, a, b_shape: _grad_right(g, a, b_shape), inputs="a b")


def _same_dtype(name: str, a: Any, b: Any) -> None:
    if a._array.dtype != b._array.dtype:
        raise RuntimeError(f"{name}: expected m1 and m2 to have the same dtype, but got: "
                           f"{_c_name(a)} != {_c_name(b)}. Convert one, for example with .to(other.dtype)")


def _c_name(x: Any) -> str:
    names = {dtypes.int64: "long", dtypes.int32: "int", dtypes.float32: "float", dtypes.float64: "double", dtypes.float16: "c10::Half",
             dtypes.bfloat16: "c10::BFloat16", dtypes.bool_: "bool"}
    return names.get(x.dtype, x.dtype.name)


def matmul_function(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002
    """Matrix product with torch's rules: 1-d tensors are vectors, leading dimensions are batches and broadcast.

    Shape: (*, n, k), (*, k, m) -> (*, n, m); (k), (k) -> (); (*, n, k), (k) -> (*, n); (k), (*, k, m) -> (*, m).
    Derivative: g @ other^T, input^T @ g.
    Raises:
        RuntimeError: if the inner sizes, the batches or the dtypes differ, or a tensor is 0-d.
    """
    require_tensor("matmul", input)
    if not isinstance(other, TensorBase):
        if isinstance(other, (int, float, complex, str, list, tuple, dict, np.ndarray, np.generic, type(None))):
            raise errors.type_error("matmul", "other", 2, "Tensor", other)
        return NotImplemented
    a, b = input._array, other._array
    if a.ndim == 2 == b.ndim:
        return mm(input, other) if out is None else mm(input, other, out=out)
    if get_casting() is not None and out is None:
        input, other = lowered(input, other)  # noqa: A001
        a, b = input._array, other._array
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    elif a.ndim == 1 or b.ndim == 1:
        y = _vector_product(input, other)
    else:
        _same_dtype("matmul", input, other)
        if a.shape[-1] != b.shape[-2]:
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({math.prod(a.shape[:-1])}x{a.shape[-1]} and "
                               f"{b.shape[-2]}x{b.shape[-1]}): matmul of {list(a.shape)} and {list(b.shape)}")
        try:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise RuntimeError(f"The batch sizes of tensor a {list(a.shape[:-2])} must match those of tensor b {list(b.shape[:-2])} "
                               "or be 1") from None
        y = apply(_bmm_op, (input, other))
    return y if out is None else put_out(y, out, True)


def _vector_product(a: Any, b: Any) -> Any:
    if a._array.ndim == 1 and b._array.ndim == 1:
        return dot(a, b)
    if a._array.ndim == 1:
        return titled(matmul_function(unsqueeze(a, 0), b).squeeze(-2), "squeeze")
    if a._array.ndim == 2:
        return mv(a, b)
    return matmul_function(a, unsqueeze(b, -1)).squeeze(-1)


def rmatmul(input: Any, other: Any) -> Any:  # noqa: A002
    """other @ input: the reflected product."""
    return matmul_function(other, input) if isinstance(other, TensorBase) else NotImplemented


def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:  # noqa: A002
    """Product of two matrices: (n, k), (k, m) -> (n, m). Derivative: g @ mat2^T, input^T @ g.

    Raises:
        RuntimeError: if an argument is not a matrix, or sizes or dtypes differ.
    """
    require_tensor("mm", input)
    require_tensor("mm", mat2, "mat2", 2)
    if get_casting() is not None and out is None:
        input, mat2 = lowered(input, mat2)  # noqa: A001
    a, b = input._array, mat2._array
    if a.ndim != 2 or b.ndim != 2:
        which, wrong = ("self", a) if a.ndim != 2 else ("mat2", b)
        raise RuntimeError(f"{which} must be a matrix, got {wrong.ndim}-D tensor of shape {list(wrong.shape)}")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]})")
    if a.dtype is not b.dtype:
        _same_dtype("mm", input, mat2)
    y = apply(_matmul_op, (input, mat2))
    return y if out is None else put_out(y, out, True)


def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:  # noqa: A002
    """Products of two batches of matrices: (B, n, k), (B, k, m) -> (B, n, m)."""
    require_tensor("bmm", input)
    require_tensor("bmm", mat2, "mat2", 2)
    a, b = input._array, mat2._array
    if a.ndim != 3 or b.ndim != 3:
        raise RuntimeError(f"batch1 must be a 3D tensor, batch2 must be a 3D tensor; got {list(a.shape)} and {list(b.shape)}")
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] "
                           f"but got: [{b.shape[0]}, {b.shape[1]}].")
    if get_casting() is not None and out is None:
        input, mat2 = lowered(input, mat2)  # noqa: A001
    _same_dtype("bmm", input, mat2)
    y = apply(_bmm_op, (input, mat2))
    return y if out is None else put_out(y, out, True)


def mv(input: Any, vec: Any, *, out: Any = None) -> Any:  # noqa: A002
    """Product of a matrix and a vector: (n, k), (k) -> (n)."""
    a, b = input._array, vec._array
    if a.ndim != 2 or b.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {list(a.shape)} and {list(b.shape)}")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({a.shape[0]}), mat ({a.shape[0]}x{a.shape[1]}), vec ({b.shape[0]})")
    _same_dtype("mv", input, vec)
    y = titled(apply(_matmul_op, (input, unsqueeze(vec, 1))).squeeze(1), "mv")
    return y if out is None else put_out(y, out, True)




def _dot(a: Any, b: Any) -> Any:
    _refuse_bool(a)
    return np.asarray(narrowed(np.dot(widened(a), widened(b)), a.dtype))


_dot_op = Op("dot", _dot, lambda g, b: g * b, lambda g, a: g * a)


def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:  # noqa: A002
    """The sum of products of two vectors of one length: (k), (k) -> (). Derivative: g * tensor, g * input."""
    require_tensor("dot", input)
    require_tensor("dot", tensor, "tensor", 2)
    a, b = input._array, tensor._array
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.size != b.size:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{a.size}] and src [{b.size}] to have the same number of elements, "
                           f"but got {a.size} and {b.size} elements respectively")
    if a.dtype != b.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {_c_name(input)} and {_c_name(tensor)}")
    y = apply(_dot_op, (input, tensor))
    return y if out is None else put_out(y, out, True)


def vdot(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002
    """`dot` with the first vector conjugated."""
    return dot(input.conj(), other, out=out)


def inner(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002
    """Sum of products over the last dimension of both."""
    if input._array.ndim == 0 or other._array.ndim == 0:
        return mul(input, other)
    return tensordot(input, other, dims=([-1], [-1]), out=out)


def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:  # noqa: A002
    """All products of two vectors: (n), (m) -> (n, m)."""
    if input._array.ndim != 1 or vec2._array.ndim != 1:
        raise RuntimeError(f"outer: Expected 1-D arguments, got {list(input._array.shape)} and {list(vec2._array.shape)}")
    y = mul(unsqueeze(input, 1), vec2)
    return y if out is None else put_out(y, out)


def _scaled_sum(function: Any, base: Any, a: Any, b: Any, beta: Any, alpha: Any, out: Any, lowers: bool = False) -> Any:
    """beta * base + alpha * function(a, b); where both are integers, so are the factors. A beta of 0 ignores NaN in base."""
    if lowers and get_casting() is not None and out is None:
        return _lowered_sum(function, base, a, b, beta, alpha, None)
    require_tensor("addmm", base)
    if base._array.dtype in _HALVES and a._array.dtype == b._array.dtype == base._array.dtype:  # round once, at the end
        y = _scaled_sum(function, base.float(), a.float(), b.float(), beta, alpha, None).to(base.dtype)
        return y if out is None else put_out(y, out, True)
    product = function(a, b)
    if base._array.dtype != product._array.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {dtypes.legacy_name(base.dtype)} and "
                           f"{dtypes.legacy_name(product.dtype)}")
    if base._array.ndim > product._array.ndim or any(n not in (1, m) for n, m in zip(base._array.shape[::-1], product._array.shape[::-1])):
        raise RuntimeError(f"The expanded size of the tensor {list(product._array.shape)} must match the existing size: "
                           f"input of shape {list(base._array.shape)} does not broadcast to it")
    kind = product._array.dtype.kind
    if kind in "iub":
        beta, alpha = (int(beta), int(alpha)) if kind != "b" else (bool(beta), bool(alpha))
    y = product if alpha == 1 else mul(product, alpha)
    if beta != 0:
        y = add(base if beta == 1 else mul(base, beta), y)
    return y if out is None else put_out(y, out, True)


_lowered_sum = lower_precision(_scaled_sum)  # under autocast


@takes_former_calls("beta", "alpha")
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """beta * input + alpha * mat1 @ mat2."""
    return titled(_scaled_sum(mm, input, mat1, mat2, beta, alpha, out, True), "addmm")


@takes_former_calls("beta", "alpha")
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """beta * input + alpha * mat @ vec."""
    return titled(_scaled_sum(mv, input, mat, vec, beta, alpha, out), "addmv")


@takes_former_calls("beta", "alpha")
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """beta * input + alpha * outer(vec1, vec2)."""
    return titled(_scaled_sum(outer, input, vec1, vec2, beta, alpha, out), "addr")


@takes_former_calls("beta", "alpha")
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """beta * input + alpha * batch1 @ batch2, per matrix of the batch."""
    return titled(_scaled_sum(bmm, input, batch1, batch2, beta, alpha, out, True), "baddbmm")


@takes_former_calls("beta", "alpha")
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """beta * input + alpha * the sum over the batch of batch1 @ batch2."""
    return _scaled_sum(lambda a, b: bmm(a, b).sum(0, dtype=a.dtype), input, batch1, batch2, beta, alpha, out, True)


_replace_op = Op("copy", lambda x, y: y, no_gradient, lambda g: g)


def _in_place(function: Any) -> Any:
    """The in-place variant of a function beta * input + alpha * a @ b."""
    name = f"{function.__name__}_"

    @without_autocast
    def inplace(self: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        return apply_inplace(_replace_op, (self, function(self.clone(), a, b, beta=beta, alpha=alpha)))

    inplace.__name__ = inplace.__qualname__ = name
    inplace.__doc__ = f"In-place `{function.__name__}`: writes into this tensor's memory and returns it."
    return takes_former_calls("beta", "alpha")(inplace)


addmm_ = _in_place(addmm)
addmv_ = _in_place(addmv)
addr_ = _in_place(addr)
baddbmm_ = _in_place(baddbmm)
addbmm_ = _in_place(addbmm)


def chain_matmul(*matrices: Any) -> Any:
    """Product of matrices, from left to right."""
    y = matrices[0]
    for m in matrices[1:]:
        y = mm(y, m)
    return y


def tensordot(a: Any, b: Any, dims: Any = 2, *, out: Any = None) -> Any:
    """Sum of products over `dims`: the last dims of a with the first of b, or two lists of dimensions."""
    if isinstance(dims, TensorBase):
        dims = dims.tolist()  # type: ignore[attr-defined]
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        left, right = list(range(a._array.ndim - dims, a._array.ndim)), list(range(dims))
    else:
        left = [wrap_dim(d, a._array.ndim) for d in dims[0]]
        right = [wrap_dim(d, b._array.ndim) for d in dims[1]]
    if len(left) != len(right):
        raise RuntimeError(f"both dimension lists should have same length: {dims[0]} and {dims[1]}")
    for i, j in zip(left, right):
        m, n = a._array.shape[i], b._array.shape[j]
        if m != n and 1 not in (m, n):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {m} in dim {i} and second has size {n} in dim {j}")
        if m < n:  # a size of 1 broadcasts: the other factor is summed first
            b = b.sum(j, keepdim=True, dtype=b.dtype)
        elif n < m:
            a = a.sum(i, keepdim=True, dtype=a.dtype)
    free_a = [d for d in range(a._array.ndim) if d not in left]
    free_b = [d for d in range(b._array.ndim) if d not in right]
    shape = [a._array.shape[d] for d in free_a] + [b._array.shape[d] for d in free_b]
    inner_size = math.prod(a._array.shape[d] for d in left)
    rows = reshape(a.permute(free_a + left), math.prod(shape[:len(free_a)]), inner_size)
    columns = reshape(b.permute(right + free_b), inner_size, math.prod(shape[len(free_a):]))
    y = reshape(mm(rows, columns), shape)
    return y if out is None else put_out(y, out, True)


# ---- linear: the layer's product with its bias, in one operation --------------------------------------------------------------


@kernel
def linear(x: Any, weight: Any, bias: Any) -> Any:
    """x @ weight^T + bias."""
    _refuse_bool(x)
    wide = widened(x)
    rows = wide.reshape(math.prod(x.shape[:-1]), x.shape[-1]) if x.ndim > 2 else wide
    y = np.asarray(np.matmul(rows, widened(weight).T))
    if bias is not None:
        y += widened(bias)
    return narrowed(y.reshape(*x.shape[:-1], weight.shape[0]), x.dtype)


def _linear_input(g: Any, weight: Any) -> Any:
    return matmul(g, weight) if type(g) is np.ndarray else g @ weight


def _linear_weight(g: Any, x: Any) -> Any:
    if type(g) is np.ndarray and g.ndim == 2:
        return matmul(g.T, x)
    g_shape, x_shape = shape_of(g), shape_of(x)
    rows = math.prod(x_shape[:-1])
    return product(g.reshape(rows, g_shape[-1]).mT, x.reshape(rows, x_shape[-1]))


@kernel
def linear_grad(g: Any, x: Any, weight: Any, *, needs: Any) -> Sequence[Any]:
    """Gradients of (x, weight, bias) where `needs` asks for them: all formulas at once, since each reads g. What no formula needs is None."""
    return (_linear_input(g, weight) if needs[0] else None, _linear_weight(g, x) if needs[1] else None,
            sum_to(g, shape=g.shape[-1:]) if needs[2] else None)


_linear_op = Op("addmm", linear, _linear_input, _linear_weight, lambda g: g,  # the engine sums what was broadcast, here the bias
                inputs="x weight bias").variant("linear")
_linear_op.at_once = lambda g, saved, needs: linear_grad(g, saved[0], saved[1], needs=needs)
_linear_plain_op = _linear_op.variant("linear_plain")


def linear_function(input: Any, weight: Any, bias: Any = None) -> Any:  # noqa: A002
    """y = x A^T + b.

    Shape: input (*, in_features), weight (out_features, in_features), bias (out_features) -> (*, out_features).
    Derivative: g @ A; g^T @ x; g summed over rows.
    Raises:
        RuntimeError: if the feature sizes or dtypes differ.
    """
    if not isinstance(input, TensorBase) or not isinstance(weight, TensorBase):
        require_tensor("linear", input)
        require_tensor("linear", weight, "weight", 2)
    if get_casting() is not None:
        input, weight, bias = lowered(input, weight, bias)  # noqa: A001
    x, w = input._array, weight._array
    if w.ndim != 2 or x.ndim == 0:
        product = matmul_function(input, weight.t())
        return product if bias is None else add(product, bias)
    if x.shape[-1] != w.shape[1]:
        rows = math.prod(x.shape[:-1])
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1]} and {w.shape[1]}x{w.shape[0]}): linear: input has "
                           f"{x.shape[-1]} features, weight expects {w.shape[1]}; input {tuple(x.shape)}, weight {tuple(w.shape)}")
    if x.dtype is not w.dtype and x.dtype != w.dtype:
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {dtypes.legacy_name(input.dtype)} and "
                           f"{dtypes.legacy_name(weight.dtype)}")
    return apply(_linear_op if bias is not None else _linear_plain_op, (input, weight, bias))


# ---- einsum -------------------------------------------------------------------------------------------------------------------


def _einsum_formula(g: Any, inputs: list[Any], shapes: list[Any], terms: tuple[str, ...], result: str, needs: tuple[bool, ...]) -> list[Any]:
    grads: list[Any] = []
    for i, (term, need) in enumerate(zip(terms, needs, strict=True)):
        if not need:
            grads.append(None)
            continue
        others = [x for j, x in enumerate(inputs) if j != i]
        other_terms = [t for j, t in enumerate(terms) if j != i]
        known = set(result).union(*other_terms) if other_terms else set(result)
        reached = "".join(letter for letter in term if letter in known)
        d = einsum_op(g, *others, terms=(result, *other_terms), result=reached)
        # letters that only this operand has were summed: every entry gets the same gradient
        full = tuple(shapes[i][k] if letter in known else 1 for k, letter in enumerate(term))
        from mytorch.ops.shape import expand_op, reshape_op
        grads.append(expand_op(reshape_op(d, shape=full), shape=tuple(shapes[i])))
    return grads


einsum_op = Op("einsum", contract, joint=_einsum_formula, inputs="")


def einsum(equation: Any, *operands: Any) -> Any:
    """Sums of products in Einstein's notation: `einsum('bij,bjk->bik', a, b)`; '...' broadcasts, a letter twice in one term takes the diagonal.

    Derivative: another einsum of g and the other operands.
    Raises:
        RuntimeError: if terms and operands disagree in number, dimensions or sizes.
    """
    if not isinstance(equation, str):
        equation, operands = _sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    if len(operands) > 1 and get_casting() is not None:
        operands = lowered(*operands)
    terms, result = _terms(equation.replace(" ", ""), operands)
    tensors = list(operands)
    for i, term in enumerate(terms):
        tensors[i], terms[i] = _without_repeats(tensors[i], term)
    _check_sizes(terms, tensors)
    if len({x._array.dtype for x in tensors}) > 1:
        raise RuntimeError(f"expected operands of one dtype, but got {[str(x.dtype) for x in tensors]}")
    if tensors[0]._array.dtype.kind in "biu" and any(sum(letter in term for term in terms) == 1 for letter in set("".join(terms)) - set(result)):
        tensors = [x.long() for x in tensors]  # there is a plain sum, and sums of integers are int64
    sizes = {letter: n for term, x in zip(terms, tensors, strict=True) for letter, n in zip(term, x._array.shape, strict=True) if n != 1}
    for i, (term, x) in enumerate(zip(terms, tensors, strict=True)):
        wanted = tuple(sizes.get(letter, 1) for letter in term)
        if wanted != x._array.shape:
            tensors[i] = x.expand(wanted)
    return apply(einsum_op, tuple(tensors), {"terms": tuple(terms), "result": result})


def _sublists(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    def letters(sub: Sequence[Any]) -> str:
        return "".join("..." if s is Ellipsis else chr(s + (ord("A") if s < 26 else ord("a") - 26)) for s in sub)
    pairs = [(args[i], letters(args[i + 1])) for i in range(0, len(args) - 1, 2)]
    equation = ",".join(term for _, term in pairs)
    if len(args) % 2:
        equation += "->" + letters(args[-1])
    return equation, tuple(x for x, _ in pairs)


def _terms(equation: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, with '...' spelled out in letters that the equation does not use."""
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        more = "fewer" if len(terms) > len(operands) else "more"
        raise RuntimeError(f"einsum(): {more} operands were provided than specified in the equation: {len(operands)} for '{equation}'")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    widths = [x._array.ndim - len(term.replace("...", "")) if "..." in term else 0 for term, x in zip(terms, operands, strict=True)]
    extra = "".join(free[:max(widths)])
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        if widths[i] < 0 or ("..." not in term and len(term) != x._array.ndim):
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(term.replace('...', ''))}) does not match the number of "
                               f"dimensions ({x._array.ndim}) for operand {i}")
        terms[i] = term.replace("...", extra[len(extra) - widths[i]:])
    if not arrow:
        joined = "".join(terms)
        result = extra + "".join(sorted(c for c in set(joined) if joined.count(c) == 1 and c not in extra))
    else:
        result = result.replace("...", extra)
    for c in result:
        if c not in "".join(terms):
            raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation for any input operand")
        if result.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
    return terms, result


def _without_repeats(x: Any, term: str) -> tuple[Any, str]:
    """The diagonal for every letter that a term has twice."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            first = term.index(c)
            second = term.index(c, first + 1)
            if x._array.shape[first] != x._array.shape[second]:
                raise RuntimeError(f"einsum(): subscript {c} is repeated for operand but the sizes don't match, "
                                   f"{x._array.shape[second]} != {x._array.shape[first]}")
            x = x.diagonal(0, first, second)
            term = term[:first] + term[first + 1:second] + term[second + 1:] + c
    return x, term


def _check_sizes(terms: Sequence[str], tensors: Sequence[Any]) -> None:
    sizes: dict[str, int] = {}
    for i, (term, x) in enumerate(zip(terms, tensors, strict=True)):
        for c, n in zip(term, x._array.shape, strict=True):
            if sizes.setdefault(c, n) != n and 1 not in (sizes[c], n):
                raise RuntimeError(f"einsum(): subscript {c} has size {n} for operand {i} which does not broadcast with previously "
                                   f"seen size {sizes[c]}")
            sizes[c] = max(sizes[c], n)


def kron(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002
    """Kronecker product: every entry of the first times the whole second."""
    ndim = max(input._array.ndim, other._array.ndim)
    a = reshape(input, [n for size in (1,) * (ndim - input._array.ndim) + input._array.shape for n in (size, 1)])
    b = reshape(other, [n for size in (1,) * (ndim - other._array.ndim) + other._array.shape for n in (1, size)])
    product = mul(a, b)
    shape = [product._array.shape[2 * i] * product._array.shape[2 * i + 1] for i in range(ndim)]
    y = reshape(product, shape)
    return y if out is None else put_out(y, out, True)


def cross(input: Any, other: Any, dim: int | None = None, *, out: Any = None) -> Any:  # noqa: A002
    """Vector product of 3-vectors along a dimension (by default the first of size 3)."""
    if dim is None:
        dim = next((i for i, n in enumerate(input._array.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    a, b = input.unbind(dim), other.unbind(dim)
    if len(a) != 3 or len(b) != 3:
        raise RuntimeError(f"inputs dimension {dim} must have length 3. Got {len(a)} and {len(b)}")
    from mytorch.ops.shape import stack
    y = stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], dim)
    return y if out is None else put_out(y, out)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along a dimension of their broadcast shape."""
    x1, x2 = broadcast_tensors(x1, x2)
    common = result_dtype(x1._array, x2._array)
    if not common.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtypes.legacy_name(common)}")
    dot_product = mul(x1, x2).sum(dim)
    size_1 = (x1 * x1).sum(dim).clamp(min=eps * eps).sqrt()
    size_2 = (x2 * x2).sum(dim).clamp(min=eps * eps).sqrt()
    return dot_product / (size_1 * size_2)


_BY_PRODUCT = {"use_mm_for_euclid_dist_if_necessary": None, "use_mm_for_euclid_dist": True, "donot_use_mm_for_euclid_dist": False}


@full_precision
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """Distances in the p-norm between all rows: (*, n, d), (*, m, d) -> (*, n, m).

    Args:
        compute_mode: whether Euclidean distances are found by a product of matrices, from |a|^2 + |b|^2 - 2 a.b, which takes n * m numbers of
            memory instead of n * m * d, and loses digits where a is close to b: 'use_mm_for_euclid_dist',
            'donot_use_mm_for_euclid_dist', or by default where there are more than 25 rows.
    Derivative: g (a - b) / |a - b| for p = 2; 0 where a equals b.
    Raises:
        RuntimeError: for vectors, or rows of different lengths.
        ValueError: for another compute_mode.
    """
    if compute_mode not in _BY_PRODUCT:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for name, x in (("X1", x1), ("X2", x2)):
        require_tensor("cdist", x, name.lower(), 1 if x is x1 else 2)
        if x._array.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x._array.ndim}D")
    if x1._array.shape[-1] != x2._array.shape[-1]:
        raise RuntimeError("X1 and X2 must have the same number of columns. "
                           f"X1: {x1._array.shape[-1]} X2: {x2._array.shape[-1]} (shapes {list(x1._array.shape)} and {list(x2._array.shape)})")
    by_product = _BY_PRODUCT[compute_mode]
    if p == 2 and (by_product or (by_product is None and max(x1._array.shape[-2], x2._array.shape[-2]) > 25)):
        squares = x1.square().sum(-1, keepdim=True) + x2.square().sum(-1).unsqueeze(-2) - 2 * (x1 @ x2.mT)
        same = squares <= 0  # there the root has no derivative; the distance's is 0
        return where(same, 0, where(same, 1, squares).sqrt())
    return titled((unsqueeze(x1, -2) - unsqueeze(x2, -3)).norm(p, dim=-1), "cdist")
