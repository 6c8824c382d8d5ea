"""`python -m mytorch run script.py args...`: run a PyTorch program unchanged, with `torch` meaning this package."""

from __future__ import annotations

import io
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

import mytorch

__mytorch__ = True

USAGE = """usage: python -m mytorch run [-m] SCRIPT [ARGUMENT ...]

Runs a Python program in which `import torch` gives mytorch.

  SCRIPT     a file; with -m, the name of a module, as for python -m
  ARGUMENT   what the program finds in sys.argv"""


def main(arguments: list[str]) -> int:
    """Run the program that the command line names; the exit status."""
    if arguments in (["-h"], ["--help"], ["run", "-h"], ["run", "--help"]):
        print(USAGE)
        return 0
    if arguments[:1] != ["run"] or len(arguments) < 2 or arguments[1:] == ["-m"]:
        print(USAGE, file=sys.stderr)
        return 2
    mytorch.install_as_torch()
    if arguments[1] == "-m":
        return run_module(arguments[2:])
    return run_script(arguments[1:])


def run_script(arguments: list[str]) -> int:
    """Run a file as Python itself would: `__main__`, `sys.argv`, and its folder first in `sys.path`."""
    script = arguments[0]
    try:
        with io.open_code(script) as file:
            source = file.read()
    except OSError as error:
        print(f"python -m mytorch run: can't open file '{script}': {error.strerror}", file=sys.stderr)
        return 2
    sys.argv[:] = arguments
    enter_path(str(Path(script).resolve().parent))
    module = ModuleType("__main__")
    vars(module).update(__file__=script, __builtins__=__builtins__, __cached__=None, __loader__=SourceFileLoader("__main__", script))
    sys.modules["__main__"] = module
    try:
        code: CodeType = compile(source, script, "exec", dont_inherit=True)
        exec(code, vars(module))
    except SystemExit:
        raise
    except BaseException as error:
        return show(error)
    return 0


def run_module(arguments: list[str]) -> int:
    """Run a module by its name, as `python -m` does."""
    import runpy
    sys.argv[:] = arguments
    enter_path(str(Path.cwd()))
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit:
        raise
    except BaseException as error:
        return show(error)
    return 0


def enter_path(folder: str) -> None:
    """Put the program's folder in front. Behind it, for processes that it spawns, a `torch` that leads to mytorch."""
    sys.path[:1] = [folder, str(Path(__file__).with_name("as_torch"))]


def show(error: BaseException) -> int:
    """Print the traceback from the program's first line on, not from this file's; the exit status."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and (trace.tb_frame.f_globals.get("__file__") == __file__ or "runpy" in trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
