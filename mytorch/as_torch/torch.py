"""Imported as `torch` by processes that a program under `python -m mytorch run` has started with `spawn`: they inherit `sys.path`."""

import sys

import mytorch

__mytorch__ = True

del sys.modules["torch"]  # this file, which is being imported
mytorch.install_as_torch()
