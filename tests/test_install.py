"""The package installs from a copy of this tree: with a compiler, without one, and with one that does not work.

Run by `make test-install`: each test builds in a fresh place, and pip needs an index (or a local collection) to take NumPy and
the build backend from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.install

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ["pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", "csrc", "mytorch"]
TOOLS = ["cc", "gcc", "g++", "c++", "clang", "clang++", "cmake", "ninja"]

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ["c++", "g++", "clang++"])), reason="no C++ compiler on this machine"
)

COMPUTATION = """
import mytorch
x = mytorch.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
mytorch.relu(x @ x).sum().backward()
print(x.grad.tolist())
print(mytorch.relu(mytorch.ones(64, 64) - 2.0).sum().item())
"""
# x @ x = [[-5, -10], [15, 10]]: relu keeps the second row, so the gradient is g x^T + x^T g with g = [[0, 0], [1, 1]]
ANSWERS = ["[[3.0, 3.0], [3.0, 11.0]]", "0.0"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what a source distribution holds, so that no build writes into the checkout."""
    copy = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a fresh virtual environment, with nothing in it but pip."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


def environment(**more):
    """This process's environment without what steers a build or an import, and with `more`."""
    steering = ("CC", "CXX", "CMAKE_", "SKBUILD_", "MYTORCH_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)} | more


@pytest.fixture
def without_compiler(tmp_path):
    """An environment whose PATH is an empty folder: no compiler, no CMake, no Ninja."""
    (tmp_path / "bin").mkdir()
    env = environment(PATH=str(tmp_path / "bin"))
    assert not any(shutil.which(tool, path=env["PATH"]) for tool in TOOLS)
    return env


def run(command, env, cwd):
    done = subprocess.run([str(part) for part in command], env=env, cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command} failed\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def install(tree, python, env, cwd, editable, wheel=None):
    """Install the tree, or a wheel of it, afresh (NumPy may stay from before), and say what pip and the build printed."""
    run([python, "-m", "pip", "uninstall", "--yes", "tinynet-mytorch"], env, cwd)
    log = run([python, "-m", "pip", "install", "-v", *(["--editable"] if editable else []), wheel or tree], env, cwd)
    where = run([python, "-c", "import mytorch; print(mytorch.__file__)"], env, cwd).strip()
    assert Path(where).is_relative_to(tree) == editable
    return log


def build_wheel(tree, target, env):
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", target, tree], env, target)
    (wheel,) = target.glob("*.whl")
    return wheel, zipfile.ZipFile(wheel).namelist()


def show_config(python, env, cwd):
    return run([python, "-c", "import mytorch; print(mytorch.show_config())"], env, cwd)


@pytest.mark.parametrize("editable", [False, True], ids=["plain", "editable"])
def test_install_without_a_compiler_works_on_numpy_alone(tree, python, tmp_path, without_compiler, editable):
    log = install(tree, python, without_compiler, tmp_path, editable)
    assert "no C++ compiler found: mytorch is installed without its native kernels" in log
    assert not [line for line in log.splitlines() if line.lstrip().startswith(("Collecting cmake", "Collecting ninja"))]
    config = show_config(python, without_compiler, tmp_path)
    assert "backend: reference (NumPy), because the extension mytorch._native was not built" in config
    assert "a working C++17 compiler or the headers of Python are missing" in config
    assert run([python, "-c", COMPUTATION], without_compiler, tmp_path).splitlines() == ANSWERS


@needs_compiler
@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_install_with_a_compiler_answers_natively(tree, python, tmp_path, editable):
    env = environment(MYTORCH_BACKEND="native")
    wheel = None
    if not editable:
        wheel, names = build_wheel(tree, tmp_path, env)
        assert "-cp311-abi3-" in wheel.name
        (extension,) = [name for name in names if name.startswith("mytorch/_native.") and not name.endswith(".pyi")]
        assert extension.endswith((".abi3.so", ".pyd"))
    install(tree, python, env, tmp_path, editable, wheel)
    config = show_config(python, env, tmp_path)
    assert "backend: native, because the extension " in config
    assert " relu" in config.partition("of which native:")[2]
    assert run([python, "-c", COMPUTATION], env, tmp_path).splitlines() == ANSWERS


def test_wheel_without_a_compiler_is_pure_python(tree, tmp_path, without_compiler):
    wheel, names = build_wheel(tree, tmp_path, without_compiler)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in names if name.endswith((".so", ".pyd"))]
    assert "mytorch/py.typed" in names
    assert not [name for name in names if name.startswith(("csrc", "tests"))]


def test_no_native_variable_leaves_the_extension_out(tree, tmp_path):
    wheel, _ = build_wheel(tree, tmp_path, environment(MYTORCH_NO_NATIVE="1"))
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.skipif(os.name == "nt", reason="needs a program that fails in place of a compiler; here a shell script")
def test_compiler_that_fails_gives_a_pure_package(tree, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho this compiler is broken >&2\nexit 1\n")
    broken.chmod(0o755)
    (tmp_path / "wheels").mkdir()
    wheel, _ = build_wheel(tree, tmp_path / "wheels", environment(CC=str(broken), CXX=str(broken)))
    assert wheel.name.endswith("-py3-none-any.whl")
