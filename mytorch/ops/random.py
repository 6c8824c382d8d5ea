"""Random tensors: torch's draws from the default generator, or from one that is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes, errors
from mytorch.autograd_engine import TensorBase
from mytorch.dtypes import get_default_dtype
from mytorch.engine_state import state
from mytorch.generator import Generator, default_generator
from mytorch.grad_mode import by_example
from mytorch.inplace import check_inplace
from mytorch.ops.common import Op, apply, apply_inplace, bump, promoted, put_out, require_tensor
from mytorch.ops.create import allocated, as_dtype, empty_like, finished, sizes_of
from mytorch.ops.layout import dims_by_stride

__mytorch__ = True


def source(generator: Any) -> Generator:
    """The generator given, or the default one."""
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"expected a torch.Generator, but got {type(generator).__name__}")
    return generator


def _drawn(name: str, size: tuple[Any, ...], d: Any, draw: Any, generator: Any, requires_grad: bool, device: Any, out: Any) -> Any:
    d = as_dtype(d) if d is not None else get_default_dtype() if out is None else out.dtype
    _check_floating(name, d)
    y = finished(allocated(name, lambda shape, np_dtype: draw(source(generator), shape, np_dtype, True), sizes_of(name, size), d), requires_grad,
                 device)
    return y if out is None else put_out(y, out, warn=False)


def _check_floating(name: str, d: dtypes.dtype) -> None:
    if not (d.is_floating_point or d.is_complex):
        raise NotImplementedError(f'"{name}" not implemented for \'{dtypes.legacy_name(d)}\': expected a floating dtype')


def _uniform(generator: Generator, shape: Any, np_dtype: Any, contiguous: bool) -> Any:
    return generator.random(shape, np_dtype)


def _normal(generator: Generator, shape: Any, np_dtype: Any, contiguous: bool) -> Any:
    return generator.normal(shape, 0.0, 1.0, np_dtype, contiguous)


def rand(*size: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
         requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Any:
    """Uniform numbers in [0, 1), torch's draws."""
    return _drawn("rand", (named["size"],) if "size" in named else size, dtype, _uniform, generator, requires_grad, device, out)


def randn(*size: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
          requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Any:
    """Normal numbers of mean 0 and variance 1, torch's draws."""
    return _drawn("randn", (named["size"],) if "size" in named else size, dtype, _normal, generator, requires_grad, device, out)


def _like(input: Any, draw: Any, dtype: Any, device: Any, requires_grad: bool, memory_format: Any, generator: Any) -> Any:  # noqa: A002
    """Draws with the shape, strides and dtype of a tensor: an empty one is made, then filled in place."""
    y = empty_like(input, dtype=dtype, device=device, memory_format=memory_format)
    fill(y, draw, generator)
    return y.requires_grad_() if requires_grad else y


def rand_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: A002
              memory_format: Any = None, generator: Any = None) -> Any:
    """`rand` with the shape and dtype of another tensor."""
    require_tensor("rand_like", input)
    _check_floating("rand_like", input.dtype if dtype is None else as_dtype(dtype))
    return _like(input, _uniform, dtype, device, requires_grad, memory_format, generator)


def randn_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: A002
               memory_format: Any = None, generator: Any = None) -> Any:
    """`randn` with the shape and dtype of another tensor."""
    require_tensor("randn_like", input)
    _check_floating("randn_like", input.dtype if dtype is None else as_dtype(dtype))
    return _like(input, _normal, dtype, device, requires_grad, memory_format, generator)


def randint(*args: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
            requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Any:
    """Integers in [low, high): randint(high, size) or randint(low, high, size).

    Raises:
        RuntimeError: if the range is empty.
    """
    values = list(args)
    size = named.get("size", values.pop() if len(values) > 1 and isinstance(values[-1], (tuple, list)) else None)
    high = named.get("high", values.pop() if values else None)
    if size is None or high is None:
        raise TypeError("randint() received an invalid combination of arguments: expected (int high, tuple of ints size) "
                        "or (int low, int high, tuple of ints size)")
    low = named.get("low", values.pop() if values else 0)
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    d = dtypes.int64 if dtype is None else as_dtype(dtype)
    y = finished(allocated("randint", lambda shape, np_dtype: source(generator).randint(low, high, shape, np_dtype), sizes_of("randint", (size,)), d),
                 requires_grad, device)
    return y if out is None else put_out(y, out, warn=False)


def randint_like(input: Any, low: int | None = None, high: int | None = None, *, dtype: Any = None, device: Any = None,  # noqa: A002
                 requires_grad: bool = False, layout: Any = None, memory_format: Any = None, generator: Any = None) -> Any:
    """`randint` with the shape and dtype of another tensor: `randint_like(x, high)` or `randint_like(x, low, high)`."""
    require_tensor("randint_like", input)
    if low is None and high is None:
        raise TypeError("randint_like() needs the end of its range: randint_like(input, high) or randint_like(input, low, high)")
    first, last = (0, int(low)) if low is not None and high is None else (int(low or 0), int(high or 0))
    if first >= last:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={first} >= to={last}")
    return _like(input, lambda g, shape, np_dtype, contiguous: g.randint(first, last, shape, np_dtype), dtype, device, requires_grad,
                 memory_format, generator)


def randperm(n: int, *, generator: Any = None, out: Any = None, dtype: Any = dtypes.int64, layout: Any = None, device: Any = None,
             requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """A random order of 0 ... n - 1."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise errors.type_error("randperm", "n", 1, "int", n)
    n = n.__index__()
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    order = source(generator).permutation(n)
    y = finished(dtypes.cast(order, as_dtype(dtype).np), requires_grad, device)
    return y if out is None else put_out(y, out, warn=False)


# torch's gradient of a draw is zero; distributions reparameterise it themselves
_normal_op = Op("normal", lambda mean, std, unit: promoted(lambda m, s, u: u * s + m, (mean, std, unit)), lambda g: g * 0, lambda g: g * 0, None)


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, out: Any = None, dtype: Any = None, device: Any = None,
           requires_grad: bool = False, layout: Any = None, pin_memory: bool = False) -> Any:
    """Normal numbers of the given mean and standard deviation, either of which may be a tensor (they broadcast)."""
    shapes = [x._array.shape for x in (mean, std) if isinstance(x, TensorBase)]
    if shapes:
        like: Any = mean if isinstance(mean, TensorBase) else std
        unit = randn(np.broadcast_shapes(*shapes), dtype=like.dtype, generator=generator)
        y = _normal_op(mean, std, unit)
    else:
        if size is None:
            raise TypeError("normal() with numbers for mean and std needs a size: normal(mean, std, size)")
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
        d = get_default_dtype() if dtype is None else as_dtype(dtype)
        array = allocated("normal", lambda shape, np_dtype: source(generator).normal(shape, mean, std, np_dtype), sizes_of("normal", (size,)), d)
        y = finished(array, requires_grad, device)
    return y if out is None else put_out(y, out)


_draw_op = Op("bernoulli", lambda x, values: values, lambda g: g * 0, None)


@by_example
def bernoulli(input: Any, p: float | None = None, *, generator: Any = None, out: Any = None) -> Any:  # noqa: A002
    """1 with the probability that each element gives (or p), else 0. Derivative: zero.

    Raises:
        RuntimeError: for a probability outside [0, 1].
    """
    require_tensor("bernoulli", input)
    if p is not None:
        return bernoulli_(input.clone(), p, generator=generator)
    x = input._array
    if x.dtype.kind in "biuc":
        raise NotImplementedError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{dtypes.legacy_name(input.dtype)}': expected floating "
                                  "probabilities")
    chance = probabilities(x)
    y = apply(_draw_op, (input, finished(dtypes.cast(source(generator).bernoulli(chance, x.shape), x.dtype))))
    return y if out is None else put_out(y, out)


def probabilities(x: Any) -> Any:
    """Probabilities as the draws that are compared with them are made: float64, or float32 also for the 16-bit floats."""
    chances = x if x.dtype == np.float64 else dtypes.cast(x, np.dtype(np.float32))
    if chances.size and not ((chances >= 0) & (chances <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: a probability lies outside [0, 1]")
    return chances


@by_example
def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None) -> Any:  # noqa: A002
    """Indices drawn with the probabilities that each row gives (not necessarily normalised).

    Shape: (n) or (m, n) -> (num_samples) or (m, num_samples), int64.
    Raises:
        RuntimeError: for negative, infinite or all-zero rows, or more samples than categories without replacement.
    """
    require_tensor("multinomial", input)
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {dtypes.legacy_name(out.dtype)}")
    y = finished(np.asarray(source(generator).multinomial(input._array, num_samples, replacement)))
    return y if out is None else put_out(y, out)


@by_example
def poisson(input: Any, generator: Any = None) -> Any:  # noqa: A002
    """Counts with the rates that each element gives. Derivative: zero.

    Raises:
        RuntimeError: for a negative rate.
    Source: Knuth, The Art of Computer Programming 2, section 3.4.1, and Hoermann 1993 (algorithm PTRS) from a rate of 10 on.
    """
    require_tensor("poisson", input)
    return finished(source(generator).poisson(input._array))


# ---- in-place draws: methods of Tensor ----------------------------------------------------------------------------------------

_overwrite_op = Op("random", lambda x, values: values, lambda g: g * 0, None)


def fill(x: Any, draw: Any, generator: Any, title: str = "random") -> Any:
    """Put drawn values into a tensor, in the order of its memory; what was there before gets no gradient.

    Args:
        draw: function of (generator, shape, NumPy dtype, whether x is contiguous) that makes the values.
    """
    tracked = check_inplace(x)
    array = x._array
    contiguous = array.flags.c_contiguous or state.mode is not None
    if contiguous:
        values = draw(source(generator), array.shape, array.dtype, True)
    else:
        order = dims_by_stride(array)
        values = draw(source(generator), tuple(array.shape[d] for d in order), array.dtype, False).transpose(np.argsort(order))
    if tracked or state.mode is not None:
        return apply_inplace(_overwrite_op.variant(title), (x, finished(values)))
    np.copyto(array, values if values.dtype == array.dtype else dtypes.cast(values, array.dtype))
    bump(x)
    return x


def uniform_(self: Any, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, **named: Any) -> Any:
    """Fill with uniform numbers in [from, to)."""
    low = named.get("from", from_)
    return fill(self, lambda g, shape, np_dtype, contiguous: g.uniform(shape, low, to, np_dtype), generator, "uniform")


def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with normal numbers."""
    return fill(self, lambda g, shape, np_dtype, contiguous: g.normal(shape, mean, std, np_dtype, contiguous), generator, "normal")


def random_(self: Any, from_: int | None = None, to: int | None = None, *, generator: Any = None, **named: Any) -> Any:
    """Fill with integers in [from, to), or [0, to), or the whole range of the dtype."""
    low: Any = named.get("from", from_)
    high: Any = to
    if low is None and high is None:
        return fill(self, lambda g, shape, np_dtype, contiguous: g.random_full(shape, np_dtype), generator)
    if high is None and to is None and "from" not in named and low is not None:
        low, high = 0, low
    return fill(self, lambda g, shape, np_dtype, contiguous: g.randint(int(low or 0), None if high is None else int(high), shape, np_dtype),
                generator)


def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fill with 1 where a draw falls below p (a number or a tensor), else 0.

    Raises:
        RuntimeError: for a probability outside [0, 1].
    """
    if not isinstance(p, TensorBase):
        return fill(self, lambda g, shape, np_dtype, contiguous: g.bernoulli(p, shape), generator, "bernoulli")
    given = p._array
    if given.dtype.kind in "biu":
        raise NotImplementedError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{dtypes.legacy_name(dtypes.from_numpy_dtype(given.dtype))}': "
                                  "expected floating probabilities")
    chances = probabilities(given)
    try:
        chances = np.broadcast_to(chances, self._array.shape)
    except ValueError:
        raise RuntimeError(f"The expanded size of p, {list(given.shape)}, must match the existing size {list(self._array.shape)}") from None
    if not self._array.flags.c_contiguous:
        chances = chances.transpose(dims_by_stride(self._array))
    return fill(self, lambda g, shape, np_dtype, contiguous: g.bernoulli(chances, shape), generator, "bernoulli")


def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with exponentially distributed numbers of rate lambd."""
    return fill(self, lambda g, shape, np_dtype, contiguous: g.exponential(shape, lambd, np_dtype), generator, "exponential")


def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
    """Fill with geometrically distributed numbers."""
    return fill(self, lambda g, shape, np_dtype, contiguous: g.geometric(shape, p, np_dtype), generator)


def cauchy_(self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with Cauchy distributed numbers."""
    return fill(self, lambda g, shape, np_dtype, contiguous: g.cauchy(shape, median, sigma, np_dtype), generator)


def log_normal_(self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
    """Fill with numbers whose logarithm is normal."""
    return fill(self, lambda g, shape, np_dtype, contiguous: g.log_normal(shape, mean, std, np_dtype), generator)


__all__ = [name for name in dir() if not name.startswith("_") and name != "annotations"]
