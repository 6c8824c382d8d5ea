"""What the tests of nn.utils share: a scenario run in both libraries, its numbers compared."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import mytorch
import mytorch.nn
import mytorch.optim

torch = pytest.importorskip("torch")

LIBS = (mytorch, torch)


def module_of(T, name):
    return importlib.import_module(f"{T.__name__}.nn.utils.{name}")


def numbers(value):
    """Tensors as arrays, through dicts and sequences."""
    if hasattr(value, "detach"):
        return value.detach().numpy().copy()
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    return [numbers(item) for item in value] if isinstance(value, (tuple, list)) else value


def same_numbers(scenario, rtol=1e-4, atol=1e-5):
    """A nested result with the same names, and values within rounding, in both libraries."""
    def compare(a, b, path):
        if isinstance(b, dict):
            assert list(a) == list(b), path
            for key in b:
                compare(a[key], b[key], f"{path}.{key}")
        elif isinstance(b, list):
            assert len(a) == len(b), path
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                compare(x, y, f"{path}.{i}")
        elif isinstance(b, np.ndarray):
            assert a.dtype == b.dtype and a.shape == b.shape, path
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=path)
        else:
            assert a == b, path

    results = []
    for T in LIBS:
        T.manual_seed(0)
        results.append(numbers(scenario(T)))
    compare(*results, "result")


def grads(module):
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def passes(T, module, shape, steps=3):
    """Some steps of training and a pass in evaluation: outputs, gradients, state."""
    optimizer = T.optim.SGD(module.parameters(), lr=0.1)
    seen = []
    for i in range(steps):
        x = T.tensor(np.random.default_rng(i).standard_normal(shape).astype(np.float32))
        optimizer.zero_grad()
        y = module(x)
        y.square().sum().backward()
        seen += [y, grads(module)]
        optimizer.step()
    module.eval()
    return [*seen, module(x), dict(module.state_dict())]
