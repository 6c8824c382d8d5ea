"""What the rows of the table of samples compute. `python -m tests.backends.answers FILE` writes it down, for a process without kernels."""

from __future__ import annotations

import pickle
import sys
import warnings

import numpy as np

import mytorch
from tests.gradients import differentiable, tensors_of
from tests.samples import Maker, rows

CASES = [("float32", "plain"), ("float64", "plain"), ("float32", "strided")]


def cases():
    """(key, sample, dtype, layout) of every row that runs in that dtype."""
    found = {}
    for parameter in rows():
        sample = parameter.values[0] if hasattr(parameter, "values") else parameter
        for dtype, layout in CASES:
            key = f"{sample.name}-{dtype}-{layout}"
            number = 1
            while key in found:
                number += 1
                key = f"{sample.name}-{dtype}-{layout}-{number}"
            found[key] = (sample, dtype, layout)
    return found


def answer(sample, dtype, layout):
    """The row's results and the gradients of their weighted sum, as arrays; or the name of what it raises."""
    maker = Maker(mytorch, sample.name, dtype, layout)
    mytorch.manual_seed(0)
    try:
        args = sample.args(maker)
        results = tensors_of(sample.call(mytorch, args, sample.keywords(maker)))
        total, leaves = None, []
        for y in results if sample.grad else []:
            if differentiable(y) and y.requires_grad:
                weight = mytorch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)
                part = (y * weight).sum()
                total = part if total is None else total + part
        if total is not None:
            leaves = [x for a in args for x in (a if isinstance(a, (list, tuple)) else [a])
                      if isinstance(x, mytorch.Tensor) and x.requires_grad and x.is_leaf]
        # the sum of a complex result has no gradient by itself
        gradients = [] if not leaves else mytorch.autograd.grad(total.real if total.is_complex() else total, leaves, allow_unused=True)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        return type(error).__name__
    return [None if t is None else np.array(t.detach()._array) for t in (*results, *gradients)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with open(sys.argv[1], "wb") as file:
        pickle.dump({key: answer(*case) for key, case in cases().items()}, file)
