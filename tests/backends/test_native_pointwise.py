"""Pointwise functions: csrc/kernels/pointwise.cpp."""

from __future__ import annotations

import numpy as np
import pytest

from mytorch import backends
from tests.backends.agreement import check, declines, floats, needs_native, unaligned

pytestmark = needs_native


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (15,), (16,), (17,), (64, 65), (3, 5, 1001), (100_003,)])
def test_relu(shape, dtype):
    check("relu", floats(*shape, dtype=dtype, edges=True), bitwise=True)


def test_relu_keeps_the_sign_of_zero_as_torch_does():
    y = backends.kernels["relu"].override(np.full(4096, -0.0, np.float32))
    assert np.signbit(y).all()


@pytest.mark.parametrize("x", [
    floats(32),  # too small to gain anything
    floats(4096).astype(">f4"),
    floats(4096, 2)[:, 0],  # strided
    floats(64, 128).T,
    unaligned(floats(4096)),
], ids=["small", "big-endian", "strided", "transposed", "unaligned"])
def test_relu_declines(x):
    declines("relu", x)
