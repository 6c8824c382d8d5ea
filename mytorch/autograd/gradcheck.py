"""Formulas against finite differences: `gradcheck` for the first derivative, `gradgradcheck` for the second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mytorch.autograd_engine import TensorBase, enable_grad, grad, no_grad, requires_grad
from mytorch.tensor import _wrap

__mytorch__ = True


class GradcheckError(RuntimeError):
    """Raised when an analytical gradient differs from the numerical one."""


def _outputs(result: Any) -> list[Any]:
    found = list(result) if isinstance(result, (tuple, list)) else [result]
    return [y for y in found if isinstance(y, TensorBase) and requires_grad(y)]


def _numerical(function: Callable[..., Any], inputs: Sequence[Any], x: Any, place: int, eps: float) -> np.ndarray[Any, Any]:
    """The Jacobian d outputs[place] / d x by central differences: one column per real part, and per imaginary part, of x."""
    flat = x._array.reshape(-1)  # a view: gradcheck asks for contiguous inputs
    columns = []
    for step in (eps, 1j * eps) if flat.dtype.kind == "c" else (eps,):
        for i in range(flat.size):
            before = flat[i]
            values = []
            for side in (1, -1):
                flat[i] = before + side * step
                with no_grad():
                    result = function(*inputs)
                values.append((result[place] if isinstance(result, (tuple, list)) else result)._array.reshape(-1).copy())
            flat[i] = before
            columns.append((values[0] - values[1]) / (2 * eps))
    return np.stack(columns, axis=1) if columns else np.zeros((0, 0))


def _analytical(y: Any, x: Any) -> np.ndarray[Any, Any]:
    """The same Jacobian from the formulas: a backward for each element (and imaginary part) of y."""
    rows = []
    for seed in (1, 1j) if y._array.dtype.kind == "c" else (1,):
        for i in range(y._array.size):
            g = np.zeros(y._array.size, y._array.dtype)
            g[i] = seed
            (d,) = grad(y, x, _wrap(g.reshape(y._array.shape)), retain_graph=True, allow_unused=True)
            flat = np.zeros(x._array.size, x._array.dtype) if d is None else d._array.reshape(-1)
            rows.append(np.concatenate([flat.real, flat.imag]) if x._array.dtype.kind == "c" else flat)
    return np.stack(rows) if rows else np.zeros((0, 0))


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
              check_batched_grad: bool = False, check_forward_ad: bool = False, check_backward_ad: bool = True,
              fast_mode: bool = False) -> bool:
    """Does every gradient of `func(*inputs)` agree with central differences?

    Args:
        inputs: a Tensor or a tuple; those that require a gradient are checked and should be float64 and contiguous.
        eps: the step. atol, rtol: |analytical - numerical| <= atol + rtol * |numerical| must hold.
        raise_exception: raise instead of returning False.
    Raises:
        GradcheckError: (a RuntimeError) naming the input and output whose Jacobians differ.
        ValueError: if no input requires a gradient.
        NotImplementedError: for check_batched_grad and check_forward_ad.
    """
    for name, value in (("check_batched_grad", check_batched_grad), ("check_forward_ad", check_forward_ad)):
        if value:
            raise NotImplementedError(f"gradcheck({name}=True) is not supported")
    given = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    checked = [(i, x) for i, x in enumerate(given) if requires_grad(x)]
    if not checked:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True.")
    result = func(*given)
    found = list(result) if isinstance(result, (tuple, list)) else [result]
    for place, y in enumerate(found):
        if not requires_grad(y):
            continue
        for i, x in checked:
            wanted, got = _numerical(func, given, x, place, eps), _analytical(y, x)
            if y._array.dtype.kind == "c":
                wanted = np.concatenate([wanted.real, wanted.imag])
            if wanted.size and not np.allclose(got, wanted, rtol, atol):
                if not raise_exception:
                    return False
                raise GradcheckError(f"Jacobian mismatch for output {place} with respect to input {i},\nnumerical:{wanted}\nanalytical:{got}\n")
    return True


def gradgradcheck(func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
                  rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0,
                  check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
                  check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False) -> bool:
    """`gradcheck` of the gradients of `func`, with respect to the inputs and to the gradients of the outputs.

    Args:
        grad_outputs: where to take the gradient; drawn by a fixed generator if None.
    Raises:
        NotImplementedError: for check_batched_grad and check_fwd_over_rev.
    """
    if check_fwd_over_rev:
        raise NotImplementedError("gradgradcheck(check_fwd_over_rev=True) is not supported")
    given = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    if grad_outputs is None:
        draws = np.random.default_rng(0)
        grad_outputs = []
        for y in _outputs(func(*given)):
            g = draws.standard_normal(y._array.shape)
            grad_outputs.append(_wrap(np.asarray(g + 1j * g if y._array.dtype.kind == "c" else g).astype(y._array.dtype)).requires_grad_())
    seeds = (grad_outputs,) if isinstance(grad_outputs, TensorBase) else tuple(grad_outputs)

    def first(*args: Any) -> tuple[Any, ...]:
        xs, gs = args[:len(given)], args[len(given):]
        wanted = [x for x in xs if requires_grad(x)]
        with enable_grad():
            found = grad(_outputs(func(*xs)), wanted, list(gs), create_graph=True, allow_unused=True, materialize_grads=True)
        return found

    return gradcheck(first, given + seeds, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, check_batched_grad=check_batched_grad)
