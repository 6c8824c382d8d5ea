"""gradcheck and gradgradcheck for tests: the gradients of a function against the slopes that finite differences measure, in float64."""

from __future__ import annotations

import numpy as np

import mytorch


def gradcheck(function, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-4):
    """AssertionError unless the gradients of `function(*inputs)` are its slopes.

    The outputs are reduced to one real number L = Re(sum(conj(w) * y)) with fixed random weights w, so that one backward pass gives
    all gradients and two evaluations measure the slope of L along one element. A complex element has two slopes, and its gradient
    is dL/dRe + i dL/dIm.

    Args:
        inputs: positional arguments; the Tensors among them that require a gradient are checked.
    """
    floats = floating_outputs(function, inputs)
    places = [i for i, y in enumerate(floats) if y.requires_grad]
    outputs = [floats[i] for i in places]
    if not outputs:
        raise AssertionError("no output requires a gradient")
    weights = [weight_like(y, seed) for seed, y in enumerate(outputs)]
    checked = [x for x in inputs if isinstance(x, mytorch.Tensor) and x.requires_grad]
    gradients = mytorch.autograd.grad(outputs, checked, weights, allow_unused=True)

    def measure():
        with mytorch.no_grad():
            results = floating_outputs(function, inputs)
        return sum(float(np.real(np.vdot(w._array, results[i]._array))) for i, w in zip(places, weights, strict=True))

    for number, (x, g) in enumerate(zip(checked, gradients, strict=True)):
        slopes = np.zeros(x._array.shape, x._array.dtype)
        for place in np.ndindex(x._array.shape):
            slopes[place] = slope(measure, x._array, place, eps)
            if np.iscomplexobj(slopes):
                slopes[place] += 1j * slope(measure, x._array, place, 1j * eps)
        found = np.zeros_like(slopes) if g is None else g._array
        np.testing.assert_allclose(found, slopes, rtol, atol, err_msg=f"gradient of input {number} against its slopes")


def slope(measure, array, place, step):
    """The central difference of `measure()` when one element of the array moves by `step`."""
    before = array[place]
    array[place] = before + step
    above = measure()
    array[place] = before - step
    below = measure()
    array[place] = before
    return (above - below) / (2 * abs(step))


def gradgradcheck(function, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3):
    """AssertionError unless the second gradients are the slopes of the first: gradcheck of the gradient as a function of inputs and g."""
    outputs = differentiable(function(*inputs))
    if not outputs:
        raise AssertionError("no output requires a gradient")
    weights = [weight_like(y, seed + 100).requires_grad_() for seed, y in enumerate(outputs)]
    checked = [x for x in inputs if isinstance(x, mytorch.Tensor) and x.requires_grad]

    def gradient(*arguments):
        with mytorch.enable_grad():
            results = differentiable(function(*arguments[:len(inputs)]))
            found = mytorch.autograd.grad(results, checked, list(arguments[len(inputs):]), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    gradcheck(gradient, (*inputs, *weights), eps=eps, atol=atol, rtol=rtol)


def tensors_of(result):
    """The Tensors of a result: itself, or those in nested tuples and lists."""
    if isinstance(result, mytorch.Tensor):
        return [result]
    return [t for part in result for t in tensors_of(part)] if isinstance(result, (tuple, list)) else []


def floating_outputs(function, inputs):
    """The floating and complex Tensors of a call's result."""
    return [y for y in tensors_of(function(*inputs)) if y.is_floating_point() or y.is_complex()]


def differentiable(result):
    """The Tensors of a result that require a gradient."""
    return [y for y in tensors_of(result) if y.requires_grad]


def weight_like(y, seed):
    """Fixed random weights of the shape and dtype of y."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(y._array.shape)
    if y.is_complex():
        w = w + 1j * rng.standard_normal(y._array.shape)
    return mytorch.from_numpy(np.asarray(w).astype(y._array.dtype))
