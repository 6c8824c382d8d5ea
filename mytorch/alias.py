"""`import torch` that means this package: for programs that are to run unchanged.

`install_as_torch()`, or `python -m mytorch run script.py`, maps `torch` and `torch.x.y` to the very modules `mytorch` and
`mytorch.x.y` in this process. Nothing is copied or renamed: classes keep their `__module__`, so pickles read as before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from opcode import opmap
from types import ModuleType
from typing import Any

__mytorch__ = True

_IMPORT_FROM = opmap["IMPORT_FROM"]
_NEIGHBOURS = ("torchvision", "torchaudio", "torchtext")


def install_as_torch() -> None:
    """Let `import torch`, `import torch.nn as nn`, `from torch.utils.data import ...` give the modules of `mytorch` from now on.

    Call it before anything imports torch. A second call changes nothing. In this process, a name that does not exist says
    that `mytorch` has no such feature, and which names are nearest; and `torch.__version__` is the version of PyTorch that is
    followed, "2.13.0+mytorch0.1.0", for programs ask it what they may use.

    Raises:
        RuntimeError: if PyTorch itself is imported already: tensors of two libraries do not mix.
    """
    import mytorch
    found = sys.modules.get("torch")
    if found is mytorch:
        return
    if found is not None:
        where = getattr(found, "__file__", None) or "unknown place"
        raise RuntimeError(f"install_as_torch: PyTorch is already imported in this process (from {where}): call mytorch.install_as_torch() "
                           "before the first `import torch`, or start the program with `python -m mytorch run script.py`")
    import mytorch.version
    from mytorch.torch_version import __version__
    mytorch.__version__ = mytorch.version.__version__ = __version__
    sys.modules["torch"] = mytorch
    sys.meta_path.insert(0, _TorchFinder())
    _cover_loaded_modules()


class _TorchFinder:
    """Finds `torch.x` as the module `mytorch.x`. First in line: the path of `mytorch` would give a second copy under another name."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith("torch."):
            if fullname in _NEIGHBOURS and PathFinder.find_spec(fullname, path) is None:
                raise ModuleNotFoundError(f"No module named '{fullname}': it is no part of mytorch, and needs PyTorch itself; what stands in for "
                                          "torchvision.datasets in a few lines is in docs/coming_from_torch.md", name=fullname)
            return None
        parent, _, last = fullname.rpartition(".")
        held = getattr(sys.modules[parent], last, None)
        own = "mytorch" + fullname.removeprefix("torch")
        try:
            if held is not None and not isinstance(held, ModuleType):  # torch.tensor is a function here as there
                raise ModuleNotFoundError(name=own)
            module = held if held is not None else importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name is None or not own.startswith(error.name):
                raise
            text = f"No module named '{fullname}': mytorch has no such module{_nearest(sys.modules[parent], last, parent)}"
            raise ModuleNotFoundError(text, name=fullname) from None
        _cover_loaded_modules()
        return ModuleSpec(fullname, _Loader(module), is_package=hasattr(module, "__path__"))


class _Loader(Loader):
    """Hands over a module that is loaded already, and leaves its attributes as they are."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has put the alias there


# ---- names that do not exist, and names that hide a module ---------------------------------------------------------------------


def _cover_loaded_modules() -> None:
    """Let the modules loaded so far explain the absence of a name, and be found where a function of the same name hides them."""
    for name, module in list(sys.modules.items()):
        if not (name == "mytorch" or name.startswith("mytorch.")) or not isinstance(module, ModuleType) or "__mytorch__" not in vars(module):
            continue
        lookup = vars(module).get("__getattr__")
        if not hasattr(lookup, "explains"):
            vars(module)["__getattr__"] = _explaining(module, lookup)
        parent, _, last = name.rpartition(".")
        if "." in parent and vars(sys.modules[parent]).get(last, module) is not module:  # torch.autograd.gradcheck is both, as in torch
            sys.modules.setdefault("torch" + name.removeprefix("mytorch"), module)


def _explaining(module: ModuleType, lookup: Callable[[str], Any] | None) -> Callable[[str], Any]:
    """A module's `__getattr__` that, where `lookup` finds nothing, says what is nearest."""

    def __getattr__(name: str) -> Any:
        if lookup is not None:
            try:
                found = lookup(name)
            except AttributeError:
                pass
            else:
                if isinstance(found, ModuleType):
                    _cover_loaded_modules()
                return found
        public = "torch" + module.__name__.removeprefix("mytorch")
        frame = sys._getframe(1)
        importing = frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _IMPORT_FROM
        if name.startswith("__") or not (importing or "__mytorch__" not in frame.f_globals):
            raise AttributeError(f"module '{module.__name__}' has no attribute '{name}'", name=name, obj=module)
        if importing:  # `from m import name` would put a sentence of its own in the place of an AttributeError's
            raise ImportError(f"cannot import name '{name}' from '{public}': mytorch has no such feature{_nearest(module, name, public)}",
                              name=public)
        raise AttributeError(f"module '{public}' has no attribute '{name}': mytorch has no such feature{_nearest(module, name, public)}",
                             name=name, obj=module)

    __getattr__.explains = True  # type: ignore[attr-defined]
    return __getattr__


def _nearest(module: ModuleType, name: str, public: str) -> str:
    """'; nearest: torch.ones, torch.zeros', or nothing where nothing is near."""
    from difflib import get_close_matches
    names = {one for one in dir(module) if not one.startswith("_")}
    lower: dict[str, str] = {}
    for one in sorted(names):
        lower.setdefault(one.lower(), one)
    found = get_close_matches(name, names, 3) or [lower[one] for one in get_close_matches(name.lower(), lower, 3)]
    return "; nearest: " + ", ".join(f"{public}.{one}" for one in found) if found else ""
