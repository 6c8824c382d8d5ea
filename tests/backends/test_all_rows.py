"""Every row of the table of samples, in values and gradients: the native kernels, at any size, against the reference on NumPy."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backends.agreement import native_as, needs_native
from tests.backends.answers import answer, cases

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore")]

CASES = cases() if not needs_native.args[0] else {}
UNINITIALISED = {"empty", "empty_like", "empty_strided", "Tensor.new_empty", "empty_permuted", "Tensor.resize_", "Tensor.new_empty_strided"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What a process without native kernels answers."""
    file = tmp_path_factory.mktemp("answers") / "reference.pickle"
    environment = os.environ | {"MYTORCH_BACKEND": "reference", "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-m", "tests.backends.answers", str(file)], check=True, env=environment, timeout=1200)
    return pickle.loads(file.read_bytes())


@pytest.fixture
def any_size(monkeypatch):
    """Kernels answer for arrays of any size, also where an operation does not ask for a small one."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mytorch.ops.") and isinstance(getattr(module, "MANY", None), int):
            monkeypatch.setattr(module, "MANY", 0)
    with native_as(threads=3):
        yield


@pytest.mark.parametrize("key", CASES)
def test_kernels_answer_as_the_reference_does(key, expected, any_size):
    sample = CASES[key][0]
    if sample.name in UNINITIALISED:
        pytest.skip("what it returns is any memory")
    found = answer(*CASES[key])
    wanted = expected[key]
    if isinstance(wanted, str):
        assert found == wanted
        return
    assert not isinstance(found, str), f"raises {found}"
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is None:
            continue
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype.kind in "fc":
            tolerance = 1e-10 if a.dtype in (np.float64, np.complex128) else 1e-4
            np.testing.assert_allclose(a, b, tolerance, tolerance)
        else:
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(("row", "kernel"), [("matmul", "matmul"), ("relu", "relu"), ("add", "add"), ("conv2d", "conv")])
def test_rows_reach_the_kernels_however_small_they_are(row, kernel, any_size, monkeypatch):
    from mytorch.backends.native.extension import K

    calls = []
    for name, function in list(vars(K).items()):
        if callable(function):
            monkeypatch.setitem(vars(K), name, lambda *args, function=function, name=name: (calls.append(name), function(*args))[1])
    answer(*CASES[f"{row}-float32-plain"])
    assert any(name.startswith(kernel) for name in calls), calls
