"""Imports point down: each module of the package imports its own layer and the layers below it, read off the source.

Lazy imports, inside functions, count too: one that points up is listed in LAZY_UPWARD with its reason, or it is an error. Imports
for annotations alone (`if TYPE_CHECKING:`) do not run and are free, but for the two rooms that must not know what a Tensor is.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mytorch"

# Lowest first. A name is a module or a sub-package of mytorch, with all that is in it.
LAYERS = [
    {"backends"},
    {"_version", "torch_version", "version", "errors", "dtypes", "device", "size", "draws", "twister", "sampling", "generator", "printing"},
    {"engine_state", "hooks", "grad_mode", "node_names", "late_product"},
    {"nodes"},
    {"backward_walk"},
    {"autograd_engine"},
    {"inplace"},
    {"ops"},
    {"tensor_methods"},
    {"tensor"},
    {
        *("creation", "random", "autograd", "func", "amp", "linalg", "fft", "special", "signal", "cuda"),
        *("serialization", "inspect_tensors", "config", "accelerator", "compiler", "_dynamo", "_inductor", "cpu", "jit"),
        *("storage", "types", "hub", "multiprocessing"),
    },
    {"nn", "optim", "utils", "distributions", "testing", "profiler"},
    {"graph"},
    {"distributed"},
]
TOP = len(LAYERS)  # mytorch itself, whose __init__ gathers all the names
ABOVE = {"alias", "as_torch", "__main__", "functional"}  # stand on the whole package: `import torch` that means it, and its names again

# (importing module or package, imported module): why this import points up, and so has to wait until the function runs.
LAZY_UPWARD: dict[tuple[str, str], str] = {
    ("mytorch.grad_mode", "mytorch.backward_walk"): "a mode decides how a backward walk under it runs, and hands it to the engine's",
    ("mytorch.grad_mode", "mytorch.func.walking"): "the walk that modes follow: entered under vmap or forward mode alone",
    ("mytorch.nodes", "mytorch.autograd.saved_tensors"): "names of what a node keeps, `_saved_self`: few ask for them",
    ("mytorch.backward_walk", "mytorch.func.vmap"): "grad(is_grads_batched=True) maps the walk over a batch of gradients",
    ("mytorch.tensor", "mytorch.autograd.forward_ad"): "a tensor with a tangent prints it",
    ("mytorch.jit", "mytorch.nn.module"): "ScriptModule is a Module, made when somebody asks for it",
    ("mytorch.tensor", "mytorch.multiprocessing.reductions"): "share_memory_ and is_shared: what shares memory between processes loads when asked",
    ("mytorch.tensor", "mytorch.storage"): "the storage of a tensor as an object: few programs ask for it",
    ("mytorch.func.modules", "mytorch.nn"): "changes batch norms inside a Module, whose owner has loaded nn",
    ("mytorch.serialization", "mytorch.nn.parameter"): "a saved Parameter loads as a Parameter, and only files name one",
    ("mytorch.serialization", "mytorch.nn.lazy"): "so does one that had no shape yet",
}


class Import(NamedTuple):
    importer: str  # dotted module name
    target: str  # dotted module name, `mytorch` where a name of its __init__ is taken
    line: int
    when: str  # "load", "call" (inside a function) or "typing"

    def __str__(self):
        return f"{self.importer}:{self.line} imports {self.target}"


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(dotted):
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists() or (path / "__init__.py").exists()


def layer(dotted):
    """The rank of a module; LookupError for one that no layer names."""
    parts = dotted.split(".")
    if len(parts) == 1 or parts[1] in ABOVE:
        return TOP
    if parts[1] == "_native":
        return 0  # who may import it has a test of its own
    for rank, names in enumerate(LAYERS):
        if parts[1] in names:
            return rank
    raise LookupError(f"mytorch.{parts[1]} has no layer: add it to LAYERS in {Path(__file__).name}")


class Imports(ast.NodeVisitor):
    """Collects the imports of one module."""

    def __init__(self, importer, is_package):
        self.importer = importer
        self.package = importer if is_package else importer.rpartition(".")[0]
        self.when = "load"
        self.found = []

    def add(self, target, node):
        self.found.append(Import(self.importer, target, node.lineno, self.when))

    def visit_inside(self, nodes, when):
        before, self.when = self.when, when
        for node in nodes:
            self.visit(node)
        self.when = before

    def visit_FunctionDef(self, node):
        self.visit_inside(node.body, "typing" if self.when == "typing" else "call")

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self.visit_inside([node.body], "typing" if self.when == "typing" else "call")

    def visit_If(self, node):
        guarded = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self.visit_inside(node.body, "typing" if guarded else self.when)
        self.visit_inside(node.orelse, self.when)

    def visit_Import(self, node):
        for alias in node.names:
            self.add(alias.name, node)

    def visit_ImportFrom(self, node):
        base = node.module or ""
        if node.level:
            above = self.package.split(".")
            base = ".".join(above[: len(above) - node.level + 1] + ([base] if base else []))
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            self.add(inner if base.startswith("mytorch") and is_module(inner) else base, node)

    def visit_Call(self, node):
        called = ast.unparse(node.func)
        if called in ("__import__", "import_module", "importlib.import_module") and isinstance(node.args[0], ast.Constant):
            self.add(node.args[0].value, node)
        self.generic_visit(node)


def imports_of(source, importer, is_package=False):
    """The imports of mytorch's own modules in a source text."""
    visitor = Imports(importer, is_package)
    visitor.visit(ast.parse(source))
    return visitor.found


def all_imports():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found += imports_of(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py")
    assert found, f"no import found under {PACKAGE}"
    return found


def is_own(name, package="mytorch"):
    return name == package or name.startswith(package + ".")


def upward(imports):
    own = [i for i in imports if is_own(i.target) and i.importer != "mytorch" and i.when != "typing"]
    return [i for i in own if layer(i.target) > layer(i.importer)]


def test_every_module_has_a_layer():
    names = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    homeless = names - set().union(*LAYERS, ABOVE) - {"__init__", "__pycache__"}
    assert not homeless, f"add these to LAYERS in {Path(__file__).name}: {sorted(homeless)}"


def test_imports_at_load_time_point_down():
    wrong = [str(i) for i in upward(all_imports()) if i.when == "load"]
    assert not wrong, "\n".join(wrong)


def reason_key(found):
    """The entry of LAZY_UPWARD that allows this import, or None."""
    return next((key for key in LAZY_UPWARD if is_own(found.importer, key[0]) and found.target == key[1]), None)


def test_lazy_upward_imports_are_listed():
    wrong = [str(i) for i in upward(all_imports()) if i.when == "call" and reason_key(i) is None]
    assert not wrong, "\n".join(wrong)


def test_the_list_of_lazy_upward_imports_is_not_stale():
    used = {reason_key(i) for i in upward(all_imports()) if i.when == "call"}
    assert set(LAZY_UPWARD) <= used
    assert all(len(reason.split()) > 3 for reason in LAZY_UPWARD.values())


def test_only_backends_import_the_extension_or_cupy():
    reach = [i for i in all_imports() if is_own(i.target, "mytorch._native") or is_own(i.target, "cupy")]
    assert not [str(i) for i in reach if not is_own(i.importer, "mytorch.backends")]


@pytest.mark.parametrize("room", ["mytorch.backends", "mytorch.autograd_engine", "mytorch.backward_walk"])
def test_backends_and_engine_do_not_know_tensor(room):
    free = ("typing",) if room == "mytorch.autograd_engine" else ()  # the engine may name the type in annotations
    inside = [i for i in all_imports() if is_own(i.importer, room) and i.when not in free]
    assert not [str(i) for i in inside if is_own(i.target, "mytorch.tensor") or i.target == "mytorch"]


def test_every_module_carries_the_mark_that_hides_its_frames():
    """The engine looks for the user's line by walking out of frames whose globals have __mytorch__."""
    bare = []
    for path in sorted(PACKAGE.rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        if not any(isinstance(node, ast.Assign) and ast.unparse(node) == "__mytorch__ = True" for node in body):
            bare.append(str(path.relative_to(ROOT)))
    assert not bare, f"these lack the line `__mytorch__ = True`: {bare}"


# The reader of imports, on texts whose answer is known.


@pytest.mark.parametrize(
    ("source", "importer", "expected"),
    [
        ("import mytorch.tensor", "mytorch.ops.reduce", [("mytorch.tensor", "load")]),
        ("from mytorch.tensor import Tensor", "mytorch.ops.reduce", [("mytorch.tensor", "load")]),
        ("from mytorch import config", "mytorch.ops.reduce", [("mytorch.config", "load")]),
        ("from mytorch import zeros", "mytorch.ops.reduce", [("mytorch", "load")]),
        ("from ..config import show", "mytorch.ops.reduce", [("mytorch.config", "load")]),
        ("from .. import config", "mytorch.ops.reduce", [("mytorch.config", "load")]),
        ("def f():\n    from mytorch import config", "mytorch.ops.reduce", [("mytorch.config", "call")]),
        ("class C:\n    def f(self):\n        import mytorch", "mytorch.ops.reduce", [("mytorch", "call")]),
        ("try:\n    import mytorch.config\nexcept E:\n    pass", "mytorch.ops.reduce", [("mytorch.config", "load")]),
        ("__import__('mytorch.config')", "mytorch.ops.reduce", [("mytorch.config", "load")]),
        ("f = lambda: import_module('mytorch.config')", "mytorch.ops.reduce", [("mytorch.config", "call")]),
        ("if TYPE_CHECKING:\n    from mytorch.config import C", "mytorch.ops.reduce", [("mytorch.config", "typing")]),
        ("if fast:\n    from mytorch.config import C", "mytorch.ops.reduce", [("mytorch.config", "load")]),
    ],
)
def test_reader_finds_the_import(source, importer, expected):
    assert [(i.target, i.when) for i in imports_of(source, importer)] == expected


def test_reader_tells_up_from_down():
    source = "from mytorch import errors\nfrom mytorch.graph import explain\ndef f():\n    import mytorch.nn"
    assert [(i.target, i.when) for i in upward(imports_of(source, "mytorch.ops.reduce"))] == [
        ("mytorch.graph", "load"),
        ("mytorch.nn", "call"),
    ]


def test_a_module_without_a_layer_is_an_error():
    with pytest.raises(LookupError, match=r"mytorch\.unheard_of has no layer: add it to LAYERS in test_layers\.py"):
        layer("mytorch.unheard_of.inner")
