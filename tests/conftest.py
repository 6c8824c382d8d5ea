"""What holds for every test: the same random numbers on each run, and no test that changes the world of the next one."""

from __future__ import annotations

import hypothesis
import pytest

from mytorch import autograd_engine, dtypes
from mytorch.generator import default_generator

# Examples are derived from the test itself: a run that passes here passes everywhere. Time limits do not suit shared machines.
hypothesis.settings.register_profile("mytorch", derandomize=True, deadline=None)
hypothesis.settings.load_profile("mytorch")


@pytest.fixture(autouse=True)
def fresh_state():
    """Seed 0 before each test; afterwards, grad mode and default dtype must be as they were."""
    default_generator.manual_seed(0)
    yield
    leaked = []
    if not autograd_engine.is_grad_enabled():
        leaked.append("gradients are off")
        autograd_engine.set_grad_enabled(True)
    if dtypes.get_default_dtype() is not dtypes.float32:
        leaked.append(f"the default dtype is {dtypes.get_default_dtype()}")
        dtypes.set_default_dtype(dtypes.float32)
    assert not leaked, f"the test leaves behind: {', '.join(leaked)}"
