"""Every override gives what its NumPy reference gives. One row of SAMPLES per overridden kernel: the arguments to try."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch import backends

NATIVE, REASON = backends.native_status()
needs_native = pytest.mark.skipif(not NATIVE, reason=f"no override is bound: {REASON}")

EDGES = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42, 3e38, -3e38], np.float32)


def floats(*shape):
    """Normal draws with every special value among them."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x.reshape(-1)[: EDGES.size] = EDGES
    return x


# kernel name -> positional arguments that the override must answer (large, contiguous, float32)
ANSWERS = {
    "relu": [(floats(4096),), (floats(64, 65),), (floats(3, 5, 1001),), (floats(100_003),)],
}
# kernel name -> arguments that it must leave to the reference
DECLINES = {
    "relu": [
        (floats(32),),  # too small to gain anything
        (floats(4096).astype(np.float64),),
        (floats(4096).astype(">f4"),),
        (floats(4096, 2)[:, 0],),  # strided
        (floats(64, 128).T,),
        (np.frombuffer(b"\0" + floats(4096).tobytes(), np.uint8)[1:].view(np.float32),),  # not aligned
        (np.empty((0, 4096), np.float32),),
        (np.float32(1.0).reshape(()),),
    ],
}


def rows(table):
    return [pytest.param(name, arguments, id=f"{name}-{i}") for name in table for i, arguments in enumerate(table[name])]


@needs_native
def test_every_override_is_bound_to_a_kernel_of_its_name():
    from mytorch.backends import native

    bound = {name for name, kernel in backends.kernels.items() if kernel.override is not None}
    assert bound == set(native.overrides)


@needs_native
def test_every_override_has_samples_here():
    from mytorch.backends import native

    assert set(ANSWERS) == set(DECLINES) == set(native.overrides)


@needs_native
@pytest.mark.parametrize(("name", "arguments"), rows(ANSWERS))
def test_override_equals_reference(name, arguments):
    kernel = backends.kernels[name]
    before = [argument.copy() for argument in arguments]
    answer = kernel.override(*arguments)
    expected = kernel.reference(*arguments)
    assert answer is not NotImplemented
    assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(answer, expected)
    for argument, original in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(argument, original)
        assert not np.shares_memory(answer, argument)


@needs_native
@pytest.mark.parametrize(("name", "arguments"), rows(DECLINES))
def test_override_declines_and_the_kernel_still_answers(name, arguments):
    kernel = backends.kernels[name]
    assert kernel.override(*arguments) is NotImplemented
    np.testing.assert_array_equal(kernel(*arguments), kernel.reference(*arguments))


@needs_native
def test_native_relu_keeps_the_sign_of_zero_as_torch_does():
    y = backends.kernels["relu"].override(np.full(4096, -0.0, np.float32))
    assert np.signbit(y).all()


@needs_native
def test_the_binding_refuses_what_would_read_outside_memory():
    from mytorch import _native

    x = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match="32 and 28 bytes"):
        _native.relu(x, np.zeros(7, np.float32))
    with pytest.raises(ValueError, match="contiguous"):
        _native.relu(np.zeros(16, np.float32)[::2], x)
    frozen = np.zeros(8, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _native.relu(x, frozen)
    with pytest.raises(TypeError, match="takes 2 arguments"):
        _native.relu(x)
    with pytest.raises(TypeError, match="bytes-like"):
        _native.relu(x, None)


def test_show_config_names_versions_and_backend():
    text = mytorch.show_config()
    assert f"version {mytorch.__version__}" in text
    assert f"NumPy {np.__version__}, BLAS" in text
    assert f"backend: {'native' if NATIVE else 'reference (NumPy)'}, because {REASON}" in text
