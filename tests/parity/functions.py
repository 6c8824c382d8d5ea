"""Runs one function of (library, *tensors) on torch and on mytorch: same structure, values and `requires_grad`, or same refusal."""

from __future__ import annotations

import numpy as np

import mytorch
from mytorch.func.pytree import flatten

CHECKED = 20  # letters at the start of an error's message that must be torch's


def as_tensors(lib, arrays):
    return [lib.tensor(np.array(a)) if isinstance(a, np.ndarray) else a for a in arrays]


def outcome(lib, function, arrays):
    """(leaves, structure) of the result, or (class, message) of the error."""
    lib.manual_seed(0)
    try:
        leaves, spec = flatten(function(lib, *as_tensors(lib, arrays)))
    except Exception as error:
        return type(error), str(error)
    return leaves, str(spec)


def assert_both(torch, function, *arrays, tolerance=1e-5):
    """The same from both libraries."""
    expected, shape = outcome(torch, function, arrays)
    found, structure = outcome(mytorch, function, arrays)
    if isinstance(expected, type):
        assert found is expected, (expected, shape, found, structure)
        assert structure[:CHECKED] == shape[:CHECKED]
        return
    assert not isinstance(found, type), (found, structure)
    assert structure == shape
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, torch.Tensor):
            assert tuple(a.shape) == tuple(b.shape)
            assert str(a.dtype) == str(b.dtype)
            assert a.requires_grad == b.requires_grad
            np.testing.assert_allclose(a.numpy(force=True), b.numpy(force=True), tolerance, tolerance)
        else:
            assert a == b
