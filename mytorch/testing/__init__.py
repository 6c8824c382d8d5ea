"""What tests need: `assert_close` and `make_tensor`."""

from __future__ import annotations

from mytorch.testing.comparison import assert_allclose as assert_allclose
from mytorch.testing.comparison import assert_close as assert_close
from mytorch.testing.creation import make_tensor as make_tensor

__mytorch__ = True

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
