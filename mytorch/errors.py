"""The wording of errors that several rooms share: what was given, what was expected, the way out."""

from __future__ import annotations

__mytorch__ = True


def type_error(function: str, argument: str, position: int, expected: str, given: object) -> TypeError:
    """TypeError as torch words it for an argument of the wrong type."""
    return TypeError(f"{function}(): argument '{argument}' (position {position}) must be {expected}, not {type(given).__name__}")


def dim_error(dim: int, ndim: int) -> IndexError:
    """IndexError for a dimension outside [-ndim, ndim - 1] (a 0-d tensor counts as 1-d, as in torch)."""
    bound = max(ndim, 1)
    return IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")


def missing_package(feature: str, package: str, extra: str) -> ImportError:
    """ImportError that names the command which installs what is missing."""
    return ImportError(f"{feature} needs the package '{package}', which is not installed: pip install {package}, "
                       f"or pip install 'tinynet-mytorch[{extra}]'")
