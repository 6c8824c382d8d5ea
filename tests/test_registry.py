"""Every public operation has a row in the table of samples and a docstring, and the rows reach every Op there is."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import types

import pytest

import mytorch
import mytorch.nn.functional
import mytorch.ops
from mytorch.autograd_engine import Op
from tests.gradients import differentiable, tensors_of
from tests.samples import SAMPLES, Maker

NAMESPACES = {"": mytorch, "nn.functional.": mytorch.nn.functional, "Tensor.": mytorch.Tensor, "fft.": mytorch.fft, "special.": mytorch.special,
              "signal.windows.": mytorch.signal.windows, "linalg.": mytorch.linalg}

# Public functions without a row: why.
WITHOUT_ROW: dict[str, str] = {"allclose": "gives a bool, see tests/test_comparison.py", "equal": "gives a bool, see tests/test_comparison.py"}
# Operations that no row reaches: why.
UNREACHED: dict[str, str] = {}


def public_functions():
    """Each function of mytorch.ops that users can call, with all its names."""
    for module in pkgutil.iter_modules(mytorch.ops.__path__):
        importlib.import_module(f"mytorch.ops.{module.name}")
    found: dict[int, list[str]] = {}
    for prefix, namespace in NAMESPACES.items():
        for name, value in vars(namespace).items():
            if isinstance(value, types.FunctionType) and value.__module__.startswith("mytorch.ops.") and not name.startswith("_"):
                found.setdefault(id(value), []).append(prefix + name)
    return sorted(found.values())


def rows_of():
    """The functions that rows call, by identity, and the names that rows have."""
    called = {id(sample.function(mytorch)) for sample in SAMPLES}
    names = {sample.name.split(".")[-1] for sample in SAMPLES}
    return called, names


def test_every_public_function_has_a_row():
    called, names = rows_of()
    identities = {name: id(vars(namespace)[name.removeprefix(prefix)]) for prefix, namespace in NAMESPACES.items()
                  for name in (prefix + n for n in vars(namespace))}
    missing = []
    for group in public_functions():
        if identities[group[0]] in called:
            continue
        # x.exp_() is tested with exp's row, x.clamp_min_() with clamp_min's
        if any(name.endswith("_") and name.split(".")[-1][:-1] in names for name in group):
            continue
        missing.append(group[0])
    assert sorted(missing) == sorted(WITHOUT_ROW), "add a row to tests/samples/"


def test_every_row_names_a_function():
    for sample in SAMPLES:
        assert callable(sample.function(mytorch)), sample.name


def test_every_public_function_has_a_docstring():
    bare = []
    for group in public_functions():
        prefix = next(p for p in sorted(NAMESPACES, key=len, reverse=True) if group[0].startswith(p))
        function = vars(NAMESPACES[prefix])[group[0].removeprefix(prefix)]
        if not (function.__doc__ or "").strip():
            bare.append(group[0])
    assert not bare


def all_ops():
    """Every Op that mytorch.ops made."""
    for module in pkgutil.iter_modules(mytorch.ops.__path__):
        importlib.import_module(f"mytorch.ops.{module.name}")
    return [op for op in gc.get_objects() if isinstance(op, Op) and home(op).startswith("mytorch.ops.")]


def home(op):
    """The module of an Op's kernel, or of its formulas where the kernel is NumPy's."""
    kernel = getattr(op.kernel, "reference", op.kernel)
    return getattr(kernel, "__module__", None) or ""


@pytest.fixture
def ran(monkeypatch):
    """The identities of the Ops whose kernels ran, so far, and the names of all."""
    seen = set()

    def recording(op, kernel):
        def run(*args, **kwargs):
            seen.add(id(op.formulas))  # which its variants share
            return kernel(*args, **kwargs)
        return run

    kernels = [(op, op.kernel) for op in all_ops()]
    names = {id(op.formulas): f"{home(op)}: {op.name}" for op, _ in kernels}
    for op, kernel in kernels:
        op.kernel = recording(op, kernel)
    yield seen, names
    for op, kernel in kernels:
        op.kernel = kernel


def exercise(sample):
    """Run a row forward, backward and, where it has second gradients, backward again."""
    maker = Maker(mytorch, sample.name)
    args, kwargs = sample.args(maker), sample.keywords(maker)
    mytorch.manual_seed(0)
    outputs = differentiable(sample.call(mytorch, args, kwargs))
    leaves = [x for x in tensors_of(list(args)) if x.requires_grad]
    if not outputs or not leaves or not sample.grad:
        return
    weights = [mytorch.ones_like(y).requires_grad_() for y in outputs]
    mytorch.autograd.grad(outputs, leaves, weights, allow_unused=True, retain_graph=True)
    if sample.twice:
        first = mytorch.autograd.grad(outputs, leaves, weights, allow_unused=True, create_graph=True)
        roots = differentiable(first)
        if roots:
            mytorch.autograd.grad(roots, [*leaves, *weights], [mytorch.ones_like(g) for g in roots], allow_unused=True)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_rows_reach_every_operation(ran):
    seen, names = ran
    for sample in SAMPLES:
        exercise(sample)
    assert sorted({name for op, name in names.items() if op not in seen}) == sorted(UNREACHED)
