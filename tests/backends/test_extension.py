"""The extension module itself: the binding, the threads, the pool of memory, the choice of instruction set."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import mytorch
from mytorch import backends
from tests.backends.agreement import NATIVE, REASON, floats, instruction_sets, native_as, needs_native


@needs_native
def test_every_override_is_bound_to_a_kernel_of_its_name():
    from mytorch.backends import native

    for name in ("mytorch.optim", "mytorch.linalg", "mytorch.ops.attention", "mytorch.ops.embedding"):  # what loads when it is first used
        __import__(name)
    bound = {name for name, kernel in backends.kernels.items() if kernel.override is not None}
    assert bound == set(native.overrides)


@needs_native
def test_every_instruction_set_has_the_same_kernels():
    from mytorch import _native

    tables = [set(_native.kernels(isa)[1]) for isa in instruction_sets()]
    assert tables[0]
    assert all(table == tables[0] for table in tables)


@needs_native
def test_the_binding_refuses_what_would_read_outside_memory():
    from mytorch.backends.native.extension import K

    x = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match="one shape"):
        K.relu(x, np.zeros(7, np.float32))
    with pytest.raises(ValueError, match="contiguous"):
        K.relu(np.zeros(16, np.float32)[::2], x)
    frozen = np.zeros(8, np.float32)
    frozen.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match=r"read-only|not writable"):
        K.relu(x, frozen)
    with pytest.raises(TypeError, match="takes 2 arguments"):
        K.relu(x)
    with pytest.raises(TypeError, match="bytes-like"):
        K.relu(x, None)
    with pytest.raises(ValueError, match="sizes do not fit"):
        K.matmul(np.zeros((2, 3), np.float32), np.zeros((4, 2), np.float32), None, np.zeros((2, 2), np.float32))


@needs_native
def test_an_unknown_kernel_says_how_to_get_it():
    from mytorch.backends.native.extension import K

    with pytest.raises(AttributeError, match="build it again"):
        K.no_such_kernel()


@needs_native
def test_the_list_of_signatures_is_the_extensions():
    from mytorch import _native
    from mytorch.backends.native.signatures import SIGNATURES

    assert _native.signatures() == SIGNATURES, "run `python -P mytorch/backends/native/signatures.py`"


@needs_native
@pytest.mark.parametrize("expected", [{"no_such_kernel": "rw"}, {"relu": "rrw"}])
def test_an_extension_that_lacks_a_kernel_is_refused_at_import(expected, monkeypatch):
    from mytorch.backends.native import extension, signatures

    monkeypatch.setattr(signatures, "SIGNATURES", expected)
    with pytest.raises(ImportError, match=rf"other kernels: {next(iter(expected))}\): build it again"):
        importlib.reload(extension)  # stops before it binds anything anew


@needs_native
def test_an_unknown_instruction_set_is_refused():
    environment = os.environ | {"MYTORCH_ISA": "mmx", "MYTORCH_BACKEND": "native"}
    done = subprocess.run([sys.executable, "-c", "import mytorch"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "MYTORCH_ISA is 'mmx'" in done.stderr


@needs_native
def test_memory_of_the_pool_is_used_again():
    from mytorch import _native
    from mytorch.backends.native.extension import empty

    if not _native.POOLED:
        pytest.skip("a build for a sanitizer has no pool")
    gc.collect()
    _native.empty_cache()
    shape, kind = (1000, 1000), np.dtype(np.float32)
    x = empty(shape, kind)
    place = x.ctypes.data
    used = _native.memory()[1]
    view = x[10:]
    del x
    assert _native.memory()[1] == used  # a view keeps it
    del view
    assert _native.memory()[1] == used - 4_194_304  # the size class of 4,000,000 bytes
    assert empty(shape, kind).ctypes.data == place


@needs_native
def test_empty_makes_arrays_of_any_size_and_refuses_what_is_no_shape():
    from mytorch.backends.native.extension import Block, empty

    for shape in ((), (0,), (3, 0, 2), (np.int64(5), 7), (300, 400)):
        for kind in (np.float32, np.float64, np.bool_, [("bfloat16", np.uint16)]):
            y = empty(shape, np.dtype(kind))
            assert y.shape == shape and y.dtype == np.dtype(kind) and y.flags.c_contiguous and y.flags.writeable
            assert isinstance(y.base, Block) == (y.nbytes >= 32768)
    with pytest.raises(ValueError, match="negative"):
        empty((-1, 2), np.dtype(np.float32))
    with pytest.raises(ValueError, match="too big"):
        empty((1 << 40, 1 << 40), np.dtype(np.float32))
    with pytest.raises(TypeError):
        empty((2.5,), np.dtype(np.float32))
    with pytest.raises(TypeError, match="tuple"):
        empty([2], np.dtype(np.float32))


@needs_native
def test_large_weights_begin_at_a_cache_line():
    for tensor in (mytorch.empty(300, 401), mytorch.nn.Linear(401, 300).weight, mytorch.randn(300, 401)):
        assert tensor.data_ptr() % 64 == 0


@needs_native
def test_threads_can_be_changed_and_are_bounded():
    from mytorch import _native

    with native_as(threads=3):
        assert _native.get_num_threads() == 3
    with pytest.raises(ValueError, match="1 to 256"):
        _native.set_num_threads(0)


@needs_native
def test_several_python_threads_call_kernels_at_once():
    a, b = floats(200, 300), floats(300, 250, seed=1)
    expected = backends.kernels["matmul"](a, b)
    wrong = []

    def work():
        for _ in range(30):
            if not np.array_equal(backends.kernels["matmul"](a, b), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FORKED = """
import os, numpy as np, mytorch
from mytorch import backends
a = np.ones((300, 300), np.float32)
product = backends.kernels["matmul"]
product(a, a)
child = os.fork()
if child == 0:
    os._exit(0 if (product(a, a) == 300).all() else 1)
_, status = os.waitpid(child, 0)
assert (product(a, a) == 300).all()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_computes_with_threads_of_its_own():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, timeout=60)


def test_show_config_names_versions_and_backend():
    text = mytorch.show_config()
    assert f"version {mytorch.__version__}" in text
    assert f"NumPy {np.__version__}, BLAS" in text
    assert f"kernels run on: {instruction_sets()[0] + ', ' if NATIVE and not os.environ.get('MYTORCH_ISA') else ''}" in text
    assert f"{mytorch.get_num_threads()} thread" in text
    assert f"backend: {'native' if NATIVE else 'reference (NumPy)'}, because {REASON}" in text
