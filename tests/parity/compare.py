"""Runs one function on torch and on mytorch and compares values, gradients and second gradients, in float64 and float32."""

from __future__ import annotations

import numpy as np

import mytorch

TOLERANCE = {"float64": 1e-9, "float32": 2e-4, "complex128": 1e-9, "complex64": 2e-4, "float16": 3e-3}


def parts(result):
    """The results of a function as a list."""
    return list(result) if isinstance(result, (tuple, list)) else [result]


def as_input(module, value, dtype):
    """An array as a Tensor of the module: floats in the dtype asked for, needing a gradient. Anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "f":
        value = value.astype(dtype)
    strides, value = value.strides, np.array(value, order="K")
    x = module.tensor(value) if strides == value.strides else module.from_numpy(value)
    return x.requires_grad_() if value.dtype.kind in "fc" else x


def constant(module, like, seed):
    """Random numbers of a tensor's shape and dtype: the gradient to enter with."""
    return module.tensor(np.asarray(np.random.default_rng(seed).uniform(0.5, 1.5, tuple(like.shape)))).to(like.dtype)


def array(x):
    """A Tensor as an array, None as it is."""
    return None if x is None else x.numpy(force=True)


def gradients(module, function, inputs, second):
    """(values, gradients, second gradients) as arrays; the gradients must not depend on create_graph."""
    results = parts(function(module, *inputs))
    wanted = [x for x in inputs if hasattr(x, "requires_grad") and x.requires_grad]
    outputs = [y for y in results if y.requires_grad]
    if not outputs:
        return [array(y) for y in results], [], []
    starts = [constant(module, y, i) for i, y in enumerate(outputs)]
    plain = module.autograd.grad(outputs, wanted, starts, allow_unused=True, retain_graph=True)
    first = module.autograd.grad(outputs, wanted, starts, allow_unused=True, create_graph=True)
    for a, b in zip(plain, first):
        if a is not None:
            np.testing.assert_allclose(array(a), array(b), rtol=TOLERANCE[str(array(a).dtype)], atol=1e-7, err_msg="create_graph differs")
    again = [g for g in first if g is not None and g.requires_grad] if second else []
    more = []
    if again:
        more = module.autograd.grad(again, wanted, [constant(module, g, 9 + i) for i, g in enumerate(again)], allow_unused=True)
    return [array(y) for y in results], [array(g) for g in first], [array(g) for g in more]


def assert_same(torch, function, *inputs, second=True, dtypes=("float64", "float32"), tolerance=None):
    """The same values, gradients and, unless `second` is off, second gradients as torch. Function of (module, *tensors)."""
    for dtype in dtypes:
        ours, theirs = (gradients(m, function, [as_input(m, x, dtype) for x in inputs], second) for m in (mytorch, torch))
        for what, mine, reference in zip(("value", "gradient", "second gradient"), ours, theirs, strict=True):
            for i in range(max(len(mine), len(reference))):
                a, b = (found[i] if i < len(found) else None for found in (mine, reference))
                if a is None or b is None:  # one of them knows that it is zero
                    known = b if a is None else a
                    assert known is None or np.all(np.abs(known) < 1e-6), f"{what} {i} in {dtype}: {a}, torch has {b}"
                    continue
                assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{what} {i} in {dtype}"
                close = TOLERANCE.get(str(b.dtype), 0) if tolerance is None else tolerance
                np.testing.assert_allclose(a, b, rtol=close, atol=close, err_msg=f"{what} {i} in {dtype}")


def outcome(module, function):
    """What a call raises: (class, first line of the message), or None."""
    try:
        function(module)
    except Exception as error:
        return type(error), str(error).split("\n")[0]
    return None


def assert_same_error(torch, function):
    """The same exception class as torch, and a message that begins as torch's does."""
    ours, theirs = outcome(mytorch, function), outcome(torch, function)
    assert theirs is not None, "torch accepts this"
    assert ours is not None, f"torch raises {theirs}"
    assert ours[0] is theirs[0], f"{ours}, torch raises {theirs}"
    assert ours[1].strip().startswith(theirs[1][:40].strip())
