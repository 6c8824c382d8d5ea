"""The wording of errors that several rooms share: what was given, what was expected, the way out."""

from __future__ import annotations

__mytorch__ = True


def type_error(function: str, argument: str, position: int, expected: str, given: object) -> TypeError:
    """TypeError as torch words it for an argument of the wrong type."""
    return TypeError(f"{function}(): argument '{argument}' (position {position}) must be {expected}, not {type(given).__name__}")


def require_bool(function: str, argument: str, position: int, given: object) -> None:
    """TypeError unless it is True or False."""
    if given is not True and given is not False and type(given).__name__ not in ("bool", "bool_"):
        raise type_error(function, argument, position, "bool", given)


def require_int(function: str, argument: str, position: int, given: object) -> None:
    """TypeError unless it is an integer, or a Tensor of one; a bool is none."""
    if type(given) is not int and (isinstance(given, bool) or not hasattr(given, "__index__")):
        raise type_error(function, argument, position, "int", given)


def require_float(function: str, argument: str, position: int, given: object, expected: str = "float") -> None:
    """TypeError unless it is a number, or a Tensor of one."""
    if type(given) is not float and not hasattr(given, "__float__"):
        raise type_error(function, argument, position, expected, given)


def require_numbers(function: str, **given: object) -> None:
    """`require_float` for the arguments that follow the input, in order."""
    for position, (argument, value) in enumerate(given.items(), 2):
        require_float(function, argument, position, value, "Number")


def dim_error(dim: int, ndim: int) -> IndexError:
    """IndexError for a dimension outside [-ndim, ndim - 1] (a 0-d tensor counts as 1-d, as in torch)."""
    bound = max(ndim, 1)
    return IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")


def no_memory(function: str, error: MemoryError) -> RuntimeError:
    """RuntimeError, as torch raises it, for an array that there is no memory for."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    size = dtype.itemsize if dtype is not None and shape is not None else 0
    for n in shape or ():
        size *= n
    what = f"you tried to allocate {size} bytes for a result of shape {list(shape)}" if shape is not None and size else str(error)
    return RuntimeError(f"{function}: [enforce fail] DefaultCPUAllocator: can't allocate memory: {what}")


def missing_package(feature: str, package: str, extra: str) -> ImportError:
    """ImportError that names the command which installs what is missing."""
    return ImportError(f"{feature} needs the package '{package}', which is not installed: pip install {package}, "
                       f"or pip install 'tinynet-mytorch[{extra}]'")
