"""The seam itself: who answers a kernel's call, under which MYTORCH_BACKEND, and how a name is registered."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mytorch import backends


@pytest.fixture
def overrides(monkeypatch):
    """A throw-away override table and registry, so that probes leave no trace."""
    table = {}
    monkeypatch.setattr(backends, "_overrides", table)
    monkeypatch.setattr(backends, "kernels", {})
    return table


def test_override_answers(overrides):
    overrides["probe"] = lambda x, *, scale=1: ("override", x, scale)

    @backends.kernel
    def probe(x, *, scale=1):
        return ("reference", x, scale)

    assert probe(3, scale=2) == ("override", 3, 2)
    assert probe.reference(3, scale=2) == ("reference", 3, 2)
    assert probe.override is overrides["probe"]


def test_reference_answers_when_the_override_declines(overrides):
    asked = []

    def decline(x, *, scale=1):
        asked.append((x, scale))
        return NotImplemented

    overrides["probe"] = decline

    @backends.kernel
    def probe(x, *, scale=1):
        return ("reference", x, scale)

    assert probe(3, scale=2) == ("reference", 3, 2)
    assert asked == [(3, 2)]


def test_a_kernel_without_override_is_the_function_itself(overrides):
    def probe(x):
        return x

    bound = backends.kernel(probe)
    assert bound is probe
    assert bound.reference is probe
    assert bound.override is None


def test_an_overridden_kernel_keeps_name_doc_and_wrapped_function(overrides):
    overrides["probe"] = lambda x: NotImplemented

    def probe(x):
        """What probe does."""
        return x

    bound = backends.kernel(probe)
    assert bound is not probe
    assert (bound.__name__, bound.__doc__, bound.__wrapped__) == ("probe", "What probe does.", probe)


def test_a_lambda_becomes_a_kernel_by_a_given_name(overrides):
    overrides["probe"] = lambda x: NotImplemented
    bound = backends.kernel(lambda x: x + 1, name="probe")
    assert bound(1) == 2
    assert (bound.__name__, bound.reference.__name__, backends.kernels) == ("probe", "probe", {"probe": bound})


def test_an_error_of_the_override_is_not_swallowed(overrides):
    def fail(x):
        raise ZeroDivisionError("from the override")

    overrides["probe"] = fail

    @backends.kernel
    def probe(x):
        return x

    with pytest.raises(ZeroDivisionError, match="from the override"):
        probe(1)


def test_every_kernel_is_listed_by_name(overrides):
    @backends.kernel
    def probe(x):
        return x

    assert backends.kernels == {"probe": probe}


def test_a_name_cannot_be_taken_twice(overrides):
    def probe(x):
        return x

    backends.kernel(probe)
    with pytest.raises(ValueError, match=r"kernel: 'probe' in .*test_seam is already a kernel in .*test_seam; choose another"):
        backends.kernel(probe)


# Every choice of MYTORCH_BACKEND is read once per process, so each of these runs in one of its own.

PROBE = """
import sys
from mytorch import backends
import mytorch
print(backends.native_status())
print(sorted(name for name, kernel in backends.kernels.items() if kernel.override is not None))
print("mytorch._native" in sys.modules)
"""
HIDE_EXTENSION = "import sys\nsys.modules['mytorch._native'] = None\n"  # import then fails as if it were not built


def run_probe(choice, prelude="", code=PROBE):
    environment = {**os.environ, "MYTORCH_BACKEND": choice}
    return subprocess.run([sys.executable, "-c", prelude + code], env=environment, capture_output=True, text=True, timeout=120)


def test_reference_backend_binds_no_override_and_loads_no_extension():
    done = run_probe("reference")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(False, 'MYTORCH_BACKEND=reference asks for NumPy alone')", "[]", "False"]


def test_native_backend_without_the_extension_raises_import_error_with_the_reason():
    done = run_probe("native", prelude=HIDE_EXTENSION)
    assert done.returncode != 0
    assert "ImportError: MYTORCH_BACKEND=native, but the extension mytorch._native was not built" in done.stderr


def test_automatic_backend_without_the_extension_works_and_says_why():
    done = run_probe("", prelude=HIDE_EXTENSION, code=PROBE + "print(mytorch.show_config())")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(False, 'the extension mytorch._native was not built")
    assert "backend: reference (NumPy), because the extension mytorch._native was not built" in done.stdout


def test_an_extension_of_another_revision_is_refused_with_the_way_out():
    other = "import sys, types\nfake = types.ModuleType('mytorch._native')\nfake.REVISION = -1\nfake.__file__ = 'x'\n"
    done = run_probe("", prelude=other + "sys.modules['mytorch._native'] = fake\n")
    assert done.returncode == 0, done.stderr
    assert "is revision -1, this source expects" in done.stdout
    assert "pip install -e ." in done.stdout


def test_unknown_backend_is_refused():
    done = run_probe("cuda")
    assert done.returncode != 0
    assert "ValueError: MYTORCH_BACKEND is 'cuda'; expected auto, native or reference" in done.stderr
