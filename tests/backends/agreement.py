"""Does an override give what its NumPy reference gives: on every instruction set that runs here, on any number of threads?"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from mytorch import backends

NATIVE, REASON = backends.native_status()
needs_native = pytest.mark.skipif(not NATIVE, reason=f"no override is bound: {REASON}")

EDGES = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42, 3e38, -3e38], np.float32)


def floats(*shape, dtype=np.float32, seed=0, edges=False):
    """Normal draws, with `edges` every special value among them."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    if edges:
        x.reshape(-1)[: EDGES.size] = EDGES[: x.size]
    return x


def unaligned(x):
    """The same numbers at an odd address."""
    return np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)


def instruction_sets():
    """Names of the builds that run on this processor, the best one first."""
    if not NATIVE:
        return []
    from mytorch import _native

    found = []
    for isa in ("amx", "avx512", "avx2", "baseline"):
        with contextlib.suppress(ValueError):
            found.append(_native.kernels(isa)[0])
    return found


@contextlib.contextmanager
def native_as(isa=None, threads=None, least=0):
    """Kernels of that instruction set (the one in use), on that many threads, answering for arrays of at least that many elements."""
    from mytorch import _native
    from mytorch.backends.native.extension import K

    before = K.isa, _native.get_num_threads(), K.least
    if isa is not None:
        K.use(isa)
    K.least = least
    if threads is not None:
        _native.set_num_threads(threads)
    try:
        yield
    finally:
        K.use(before[0])
        _native.set_num_threads(before[1])
        K.least = before[2]


def _arrays(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def check(name, *arguments, rtol=1e-5, atol=1e-5, in_place=(), bitwise=False, **meta):
    """The override of kernel `name` answers, equals the reference, leaves its inputs alone, and is the same on 1 to 4 threads.

    Args:
        rtol, atol: of float32; float64 is held to a millionth of them.
        in_place: numbers of the arguments that the kernel writes to; they are compared as well.
        bitwise: whether results equal the reference's to the bit.
    """
    kernel = backends.kernels[name]
    copies = [a.copy() if i in in_place else a for i, a in enumerate(arguments)]
    expected = [*_arrays(kernel.reference(*copies, **meta)), *(copies[i] for i in in_place)]
    untouched = [None if i in in_place or not isinstance(a, np.ndarray) else a.copy() for i, a in enumerate(arguments)]
    for isa in instruction_sets():
        first = None
        for threads in (1, 2, 3, 4):
            given = [a.copy() if i in in_place else a for i, a in enumerate(arguments)]
            with native_as(isa, threads):
                answer = kernel.override(*given, **meta)
            assert answer is not NotImplemented, f"{name} declined on {isa}"
            found = [*_arrays(answer), *(given[i] for i in in_place)]
            if first is None:
                first = found
                _compare(found, expected, f"{name} on {isa}", rtol, atol, bitwise)
            for a, b in zip(first, found, strict=True):
                assert a is None or a.tobytes() == b.tobytes(), f"{name} on {isa}: {threads} threads give other bits than one"
        for a, before in zip(arguments, untouched, strict=True):
            if before is not None:
                np.testing.assert_array_equal(a, before, err_msg=f"{name} on {isa} wrote to an input")


def _compare(found, expected, what, rtol, atol, bitwise):
    assert len(found) == len(expected), what
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert (a is None) == (b is None), f"{what}, output {i}"
        if b is None:
            continue
        assert (a.dtype, a.shape) == (b.dtype, b.shape), f"{what}, output {i}"
        if bitwise or b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=f"{what}, output {i}")
        else:
            factor = 1e-6 if b.dtype == np.float64 else 1.0
            np.testing.assert_allclose(a, b, rtol * factor, atol * factor, err_msg=f"{what}, output {i}")


def declines(name, *arguments, **meta):
    """The override leaves these arguments to the reference, which answers."""
    kernel = backends.kernels[name]
    assert kernel.override(*arguments, **meta) is NotImplemented
    kernel(*arguments, **meta)
