"""Types of the optional C++ extension (csrc/module.c). Only mytorch.backends imports it."""

from types import NotImplementedType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

REVISION: int

def relu(x: Array, y: Array, /) -> Array | NotImplementedType: ...
