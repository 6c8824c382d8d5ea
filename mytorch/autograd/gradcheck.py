"""Formulas against finite differences: `gradcheck` for the first derivative, `gradgradcheck` for the second."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mytorch.autograd_engine import TensorBase, enable_grad, grad, no_grad, requires_grad
from mytorch.tensor import _wrap

__mytorch__ = True

_BATCH = 3  # gradients in the batch that check_batched_grad sends back at once


class GradcheckError(RuntimeError):
    """Raised when an analytical gradient differs from the numerical one."""


def _as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _outputs(result: Any) -> list[Any]:
    return [y for y in _as_list(result) if isinstance(y, TensorBase) and requires_grad(y)]


def _is_complex(x: Any) -> bool:
    return bool(x._array.dtype.kind == "c")


# ---- Jacobians ------------------------------------------------------------------------------------------------------------------
# A row per element of the output and a column per element of the input; for complex tensors, the real parts first, then the imaginary.


def _slope(function: Callable[..., Any], inputs: Sequence[Any], places: Sequence[Any], direction: Sequence[Any], place: int, eps: float) -> Any:
    """(f(x + eps v) - f(x - eps v)) / (2 eps) of one output, as a flat array."""
    values = []
    for step in (eps, -eps):
        for x, v in zip(places, direction, strict=True):
            x._array[...] += step * v
        with no_grad():
            values.append(_as_list(function(*inputs))[place]._array.reshape(-1).copy())
        for x, v in zip(places, direction, strict=True):
            x._array[...] -= step * v
    return (values[0] - values[1]) / (2 * eps)


def _numerical(function: Callable[..., Any], inputs: Sequence[Any], x: Any, place: int, eps: float) -> np.ndarray[Any, Any]:
    """The Jacobian d outputs[place] / d x by central differences."""
    columns = []
    array = x._array
    for step in (eps, 1j * eps) if _is_complex(x) else (eps,):
        for index in np.ndindex(array.shape):
            before = array[index]
            values = []
            for side in (1, -1):
                array[index] = before + side * step
                with no_grad():
                    values.append(_as_list(function(*inputs))[place]._array.reshape(-1).copy())
            array[index] = before
            columns.append((values[0] - values[1]) / (2 * eps))
    return _split_rows(np.stack(columns, axis=1)) if columns else np.zeros((0, 0))


def _split_rows(jacobian: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([jacobian.real, jacobian.imag]) if jacobian.dtype.kind == "c" else jacobian


def _flat_gradient(d: Any, x: Any) -> np.ndarray[Any, Any]:
    flat = np.zeros(x._array.size, x._array.dtype) if d is None else d._array.reshape(-1)
    return np.concatenate([flat.real, flat.imag]) if _is_complex(x) else flat


def _unit_gradients(y: Any) -> Iterator[Any]:
    """For each row of the Jacobian the gradient that picks it."""
    for seed in (1, 1j) if _is_complex(y) else (1,):
        for i in range(y._array.size):
            g = np.zeros(y._array.size, y._array.dtype)
            g[i] = seed
            yield _wrap(g.reshape(y._array.shape))


def _analytical(y: Any, x: Any) -> np.ndarray[Any, Any]:
    """The same Jacobian from the formulas: a backward for each row."""
    rows = [_flat_gradient(grad(y, x, g, retain_graph=True, allow_unused=True)[0], x) for g in _unit_gradients(y)]
    return np.stack(rows) if rows else np.zeros((0, 0))


def _forward(function: Callable[..., Any], inputs: Sequence[Any], x: Any, place: int) -> np.ndarray[Any, Any]:
    """The same Jacobian by forward mode: a pass for each column."""
    columns = []
    for g in _unit_gradients(x):
        y, tangent = _tangent(function, inputs, [x], [g], place)
        columns.append(np.zeros(y._array.size, y._array.dtype) if tangent is None else tangent._array.reshape(-1))
    return _split_rows(np.stack(columns, axis=1)) if columns else np.zeros((0, 0))


def _tangent(function: Callable[..., Any], inputs: Sequence[Any], places: Sequence[Any], direction: Sequence[Any], place: int) -> Any:
    """One output at the inputs moving in a direction: (value, tangent)."""
    from mytorch.autograd import forward_ad
    with forward_ad.dual_level():
        moving: list[Any] = []
        for x in inputs:
            v = next((v for p, v in zip(places, direction, strict=True) if p is x), None)
            moving.append(x if v is None else forward_ad.make_dual(x.detach(), v))
        return forward_ad.unpack_dual(_as_list(function(*moving))[place])


# ---- the checks -----------------------------------------------------------------------------------------------------------------


class _Check:
    """One call of gradcheck: the function, its inputs, and how exact to be."""

    def __init__(self, function: Callable[..., Any], inputs: Any, eps: float, atol: float, rtol: float, nondet_tol: float) -> None:
        self.function = function
        self.inputs = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
        self.eps, self.atol, self.rtol, self.nondet_tol = eps, atol, rtol, nondet_tol
        self.checked = [(i, x) for i, x in enumerate(self.inputs) if requires_grad(x)]
        if not self.checked:
            raise ValueError("gradcheck expects at least one input tensor to require gradient, "
                             "but none of the them have requires_grad=True.")
        for i, x in self.checked:
            if x._array.dtype not in (np.float64, np.complex128):
                warnings.warn(f"Input #{i} requires gradient and is not a double precision floating point or complex. This check will "
                              "likely fail if all the inputs are not of double precision floating point or complex. ", stacklevel=3)
            if any(step == 0 and n > 1 for step, n in zip(x._array.strides, x._array.shape, strict=True)):
                raise RuntimeError(f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping to "
                                   "be able to compute the numerical gradients correctly. You should call .contiguous on the input before "
                                   "passing it to gradcheck.")
        self.outputs = _as_list(function(*self.inputs))
        self.differentiable = [(place, y) for place, y in enumerate(self.outputs) if isinstance(y, TensorBase) and requires_grad(y)]

    def compare(self, got: Any, wanted: Any, place: int, i: int, how: str = "") -> None:
        """Raise unless the Jacobian from the formulas is the measured one."""
        if wanted.size and not np.allclose(got, wanted, self.rtol, self.atol):
            raise GradcheckError(f"Jacobian {how}mismatch for output {place} with respect to input {i},\nnumerical:{wanted}\nanalytical:{got}\n")

    def nothing_differentiable(self) -> None:
        """Outputs that require no gradient must not depend on the inputs."""
        for place, y in enumerate(self.outputs):
            for _, x in self.checked:
                if isinstance(y, TensorBase) and y._array.dtype.kind in "fc" and np.any(
                        _numerical(self.function, self.inputs, x, place, self.eps)):
                    raise GradcheckError("Numerical gradient for function expected to be zero")

    def slow(self, backward: bool, forward: bool) -> None:
        """Whole Jacobians: exact, and as many passes as they have rows or columns."""
        for place, y in self.differentiable:
            for i, x in self.checked:
                wanted = _numerical(self.function, self.inputs, x, place, self.eps)
                if forward:
                    self.compare(_forward(self.function, self.inputs, x, place), wanted, place, i, "computed with forward mode ")
                if backward:
                    got = _analytical(y, x)
                    self.compare(got, wanted, place, i)
                    if got.size and np.abs(got - _analytical(y, x)).max() > self.nondet_tol:
                        raise GradcheckError("Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                                             "gives different values, although analytical gradient matches numerical gradient."
                                             f"The tolerance for nondeterminism was {self.nondet_tol}.")

    def fast(self, backward: bool, forward: bool) -> None:
        """One random direction v of the inputs and one weighting u of each output: Re <u, J v> three ways."""
        draws = np.random.default_rng(0)

        def direction(x: Any) -> np.ndarray[Any, Any]:
            v = draws.standard_normal(x._array.shape)
            v = np.asarray(v + 1j * draws.standard_normal(x._array.shape) if _is_complex(x) else v)
            return np.asarray(v / max(np.linalg.norm(v), 1e-12)).astype(x._array.dtype)

        for place, y in self.differentiable:
            u = direction(y)
            for i, x in self.checked:
                v = direction(x)
                wanted = np.vdot(u, _slope(self.function, self.inputs, [x], [v], place, self.eps)).real
                if forward:
                    tangent = _tangent(self.function, self.inputs, [x], [_wrap(v)], place).tangent
                    self.compare_fast(0.0 if tangent is None else np.vdot(u, tangent._array).real, wanted, place, i, "computed with forward mode ")
                if backward:
                    (d,) = grad(y, x, _wrap(u), retain_graph=True, allow_unused=True)
                    self.compare_fast(0.0 if d is None else np.vdot(d._array, v).real, wanted, place, i)

    def compare_fast(self, got: Any, wanted: Any, place: int, i: int, how: str = "") -> None:
        """As `compare`, of one number; it says that the slow mode would tell more."""
        try:
            self.compare(np.asarray(got), np.asarray(wanted), place, i, how)
        except GradcheckError as error:
            raise GradcheckError(f"{error}The above quantities relating the numerical and analytical jacobians are computed in fast mode. "
                                 "Run with fast_mode=False to see the jacobians.") from None

    def batched(self) -> None:
        """A batch of gradients sent back at once gives what one after another gives."""
        draws = np.random.default_rng(1)
        for place, y in self.differentiable:
            g = draws.standard_normal((_BATCH, *y._array.shape)).astype(y._array.dtype)
            leaves = [x for _, x in self.checked]
            at_once = grad(y, leaves, _wrap(g), retain_graph=True, allow_unused=True, is_grads_batched=True)
            singly = [grad(y, leaves, _wrap(part), retain_graph=True, allow_unused=True) for part in g]
            for (i, _), batch, *parts in zip(self.checked, at_once, *singly, strict=True):
                if any(part is not None for part in parts) and (
                        batch is None or not np.allclose(batch._array, np.stack([p._array for p in parts]), self.rtol, self.atol)):
                    raise GradcheckError(f"For output {place} and input {i}: gradcheck failed while testing batched gradient computation: "
                                         "autograd.grad(..., is_grads_batched=True) gives other values than a loop over the gradients")

    def dtypes(self) -> None:
        """Gradients have the dtypes of their inputs."""
        for _, y in self.differentiable:
            for i, x in self.checked:
                (d,) = grad(y, x, _wrap(np.ones(y._array.shape, y._array.dtype)), retain_graph=True, allow_unused=True)
                if d is not None and d._array.dtype != x._array.dtype:
                    raise GradcheckError(f"Gradient has dtype mismatch: that of input {i} is {d.dtype}")


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
              check_batched_grad: bool = False, check_batched_forward_grad: bool = False, check_forward_ad: bool = False,
              check_backward_ad: bool = True, fast_mode: bool = False, masked: bool | None = None) -> bool:
    """Does every gradient of `func(*inputs)` agree with central differences?

    Args:
        inputs: a Tensor or a tuple; those that require a gradient are checked and should be float64.
        eps: the step. atol, rtol: |analytical - numerical| <= atol + rtol * |numerical| must hold.
        raise_exception: raise instead of returning False.
        nondet_tol: how far a second backward may be from the first.
        check_undefined_grad: that an output without a gradient counts as one with zeros: each output is checked without the
            others anyway, so that there is nothing to add.
        check_grad_dtypes: the dtypes, too.
        check_batched_grad: `autograd.grad(is_grads_batched=True)`, too.
        check_forward_ad, check_backward_ad: forward mode and backward.
        fast_mode: one random direction in place of whole Jacobians.
    Raises:
        GradcheckError: (a RuntimeError) naming the input and output whose Jacobians differ.
        ValueError: if no input requires a gradient.
        NotImplementedError: for check_batched_forward_grad and masked=True.
    """
    for name, value in (("check_batched_forward_grad", check_batched_forward_grad), ("masked", masked)):
        if value:
            raise NotImplementedError(f"gradcheck({name}=True) is not supported")
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    check = _Check(func, inputs, eps, atol, rtol, nondet_tol)
    try:
        if not check.differentiable:
            check.nothing_differentiable()
            return True
        (check.fast if fast_mode else check.slow)(check_backward_ad, check_forward_ad)
        if check_batched_grad:
            check.batched()
        if check_grad_dtypes:
            check.dtypes()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
                  rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0,
                  check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
                  check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False, masked: bool = False) -> bool:
    """`gradcheck` of the gradients of `func`, with respect to the inputs and to the gradients of the outputs.

    Args:
        grad_outputs: where to take the gradient; drawn by a fixed generator if None.
        gen_non_contig_grad_outputs: draw them not contiguous.
        check_fwd_over_rev, check_rev_over_rev: forward mode over backward, and backward over backward.
    """
    given = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    if grad_outputs is None:
        draws = np.random.default_rng(0)
        grad_outputs = []
        for y in _outputs(func(*given)):
            g = draws.standard_normal(y._array.shape)
            g = np.asarray(g + 1j * g if _is_complex(y) else g).astype(y._array.dtype)
            if gen_non_contig_grad_outputs:
                g = np.repeat(g[..., None], 2, axis=-1)[..., 0]
            grad_outputs.append(_wrap(g).requires_grad_())
    seeds = (grad_outputs,) if isinstance(grad_outputs, TensorBase) else tuple(grad_outputs)
    wanted = [i for i, x in enumerate(given) if requires_grad(x)]

    def first(*args: Any) -> tuple[Any, ...]:
        xs, gs = args[:len(given)], args[len(given):]
        with enable_grad():
            xs = tuple(x.requires_grad_() if i in wanted and not requires_grad(x) else x for i, x in enumerate(xs))
            return grad(_outputs(func(*xs)), [xs[i] for i in wanted], list(gs), create_graph=True, allow_unused=True, materialize_grads=True)

    return gradcheck(first, given + seeds, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, nondet_tol=nondet_tol,
                     check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
                     check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev, fast_mode=fast_mode, masked=masked)
