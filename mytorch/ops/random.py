"""Random tensors: torch's draws from the default generator, or from one that is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from mytorch import dtypes
from mytorch.autograd_engine import TensorBase
from mytorch.dtypes import get_default_dtype
from mytorch.generator import Generator, default_generator
from mytorch.inplace import check_inplace
from mytorch.ops.common import Op, apply_inplace, bump, promoted, put_out, require_tensor
from mytorch.ops.create import as_dtype, finished, sizes_of

__mytorch__ = True


def source(generator: Any) -> Generator:
    """The generator given, or the default one."""
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"expected a torch.Generator, but got {type(generator).__name__}")
    return generator


def _drawn(name: str, size: tuple[Any, ...], d: Any, draw: Any, generator: Any, requires_grad: bool, device: Any, out: Any) -> Any:
    d = get_default_dtype() if d is None else as_dtype(d)
    if not (d.is_floating_point or d.is_complex):
        raise RuntimeError(f'"{name}" not implemented for \'{dtypes.legacy_name(d)}\': expected a floating dtype')
    y = finished(draw(source(generator), sizes_of(name, size), d.np), requires_grad, device)
    return y if out is None else put_out(y, out)


def _uniform(generator: Generator, shape: Any, np_dtype: Any) -> Any:
    return generator.random(shape, np_dtype)


def _normal(generator: Generator, shape: Any, np_dtype: Any) -> Any:
    return generator.normal(shape, 0.0, 1.0, np_dtype)


def rand(*size: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
         requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Any:
    """Uniform numbers in [0, 1), torch's draws."""
    return _drawn("rand", (named["size"],) if "size" in named else size, dtype, _uniform, generator, requires_grad, device, out)


def randn(*size: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
          requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Any:
    """Normal numbers of mean 0 and variance 1, torch's draws."""
    return _drawn("randn", (named["size"],) if "size" in named else size, dtype, _normal, generator, requires_grad, device, out)


def rand_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: A002
              memory_format: Any = None, generator: Any = None) -> Any:
    """`rand` with the shape and dtype of another tensor."""
    return rand(input._array.shape, dtype=input.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad, generator=generator)


def randn_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: A002
               memory_format: Any = None, generator: Any = None) -> Any:
    """`randn` with the shape and dtype of another tensor."""
    return randn(input._array.shape, dtype=input.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad, generator=generator)


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
    y = finished(source(generator).randint(low, high, sizes_of("randint", (size,)), d.np), requires_grad, device)
    return y if out is None else put_out(y, out)


def randint_like(input: Any, low: int, high: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: A002
                 layout: Any = None, memory_format: Any = None) -> Any:
    """`randint` with the shape and dtype of another tensor."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input._array.shape, dtype=input.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)


def randperm(n: int, *, generator: Any = None, out: Any = None, dtype: Any = dtypes.int64, layout: Any = None, device: Any = None,
             requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """A random order of 0 ... n - 1."""
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    order = source(generator).permutation(n)
    y = finished(dtypes.cast(order, as_dtype(dtype).np), requires_grad, device)
    return y if out is None else put_out(y, out)


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
        y = finished(source(generator).normal(sizes_of("normal", (size,)), mean, std, d.np), requires_grad, device)
    return y if out is None else put_out(y, out)


def bernoulli(input: Any, p: float | None = None, *, generator: Any = None, out: Any = None) -> Any:  # noqa: A002
    """1 with the probability that each element gives (or p), else 0. Derivative: zero.

    Raises:
        RuntimeError: for a probability outside [0, 1].
    """
    require_tensor("bernoulli", input)
    if p is not None:
        return bernoulli_(input.clone(), p, generator=generator)
    x = input._array
    if x.dtype.kind in "biu":
        raise RuntimeError(f"Expected a floating dtype for the probabilities, got {input.dtype}")
    # the draws are float32 or float64 as the probabilities are; 16-bit ones count as float32
    chance = x if x.dtype == np.float64 else dtypes.cast(x, np.dtype(np.float32))
    if chance.size and not ((chance >= 0) & (chance <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    y = finished(dtypes.cast(source(generator).bernoulli(chance, x.shape), x.dtype))
    return y if out is None else put_out(y, out)


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None) -> Any:  # noqa: A002
    """Indices drawn with the probabilities that each row gives (not necessarily normalised).

    Shape: (n) or (m, n) -> (num_samples) or (m, num_samples), int64.
    Raises:
        RuntimeError: for negative, infinite or all-zero rows, or more samples than categories without replacement.
    """
    require_tensor("multinomial", input)
    probs = input._array
    if probs.ndim not in (1, 2):
        raise RuntimeError(f"prob_dist must be 1 or 2 dim, got {probs.ndim}")
    y = finished(np.asarray(source(generator).multinomial(probs.reshape(-1, probs.shape[-1]), num_samples, replacement)))
    y = y.reshape(*probs.shape[:-1], num_samples)
    return y if out is None else put_out(y, out)


def poisson(input: Any, generator: Any = None) -> Any:  # noqa: A002
    """Counts with the rates that each element gives. The draws are not torch's (its sampler is another)."""
    state = source(generator).randint(0, 2**31, (4,), np.dtype(np.int64))
    values = np.random.default_rng([int(v) for v in state]).poisson(dtypes.cast(input._array, np.dtype(np.float64)))
    return finished(dtypes.cast(values, input._array.dtype))


# ---- in-place draws: methods of Tensor ----------------------------------------------------------------------------------------

_overwrite_op = Op("random", lambda x, values: values, lambda g: g * 0, None)


def _overwrite(x: Any, values: Any) -> Any:
    """Put drawn values into a tensor; what was there before gets no gradient."""
    if check_inplace(x):
        return apply_inplace(_overwrite_op, (x, finished(values)))
    np.copyto(x._array, values if values.dtype == x._array.dtype else dtypes.cast(values, x._array.dtype))
    bump(x)
    return x


def uniform_(self: Any, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, **named: Any) -> Any:
    """Fill with uniform numbers in [from, to)."""
    low = named.get("from", from_)
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    return _overwrite(self, source(generator).uniform(self._array.shape, low, to, self._array.dtype))


def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with normal numbers."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _overwrite(self, source(generator).normal(self._array.shape, mean, std, self._array.dtype))


def random_(self: Any, from_: int | None = None, to: int | None = None, *, generator: Any = None, **named: Any) -> Any:
    """Fill with integers in [from, to), or [0, to), or the whole range of the dtype."""
    low: Any = named.get("from", from_)
    high: Any = to
    if low is None and high is None:
        return _overwrite(self, source(generator).random_full(self._array.shape, self._array.dtype))
    if high is None:
        low, high = 0, low
    return _overwrite(self, source(generator).randint(int(low or 0), int(high), self._array.shape, self._array.dtype))


def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fill with 1 where a draw falls below p (a number or a tensor), else 0."""
    chance = dtypes.cast(p._array, np.dtype(np.float64)) if isinstance(p, TensorBase) else p
    if not np.all((np.asarray(chance) >= 0) & (np.asarray(chance) <= 1)):
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _overwrite(self, source(generator).bernoulli(chance, self._array.shape))


def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with exponentially distributed numbers of rate lambd."""
    return _overwrite(self, source(generator).exponential(self._array.shape, lambd, self._array.dtype))


def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
    """Fill with geometrically distributed numbers."""
    return _overwrite(self, source(generator).geometric(self._array.shape, p, self._array.dtype))


def cauchy_(self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with Cauchy distributed numbers."""
    return _overwrite(self, source(generator).cauchy(self._array.shape, median, sigma, self._array.dtype))


def log_normal_(self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
    """Fill with numbers whose logarithm is normal."""
    return _overwrite(self, source(generator).log_normal(self._array.shape, mean, std, self._array.dtype))


__all__ = [name for name in dir() if not name.startswith("_") and name != "annotations"]
