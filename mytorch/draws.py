"""From the generator's words to numbers, used by ``generator.py``. Kernels draw from a twister; the rest are pure functions on arrays.

`raw` is an array of 32-bit words that NumPy hands out widened to uint64. Where torch rounds once (its kernels are compiled to
fused multiply-adds), these functions round once too, so that the numbers agree to the last bit.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch import dtypes
from mytorch.backends import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from mytorch.twister import Twister

    Array = np.ndarray[Any, np.dtype[Any]]

__mytorch__ = True

CHUNK = 1 << 14  # values made at a time: words and results stay in the second-level cache
DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}  # bits of the significand
LARGEST = {"float16": 65504.0, "bfloat16": float.fromhex("0x1.fep+127"), "float32": float.fromhex("0x1.fffffep+127"),
           "float64": float.fromhex("0x1.fffffffffffffp+1023")}


def unit_float32(raw: Array, out: Array) -> None:
    """(word mod 2^24) / 2^24 for every word."""
    words = raw.astype(np.int32)  # int32, not uint32: its conversion to float32 is one vector instruction
    words &= 0xFFFFFF
    out[...] = words
    out *= np.float32(2.0**-24)


def long_words(raw: Array) -> Array:
    """Two words as one of 64 bits, the first one in the upper half."""
    words: Array = raw[0::2] << np.uint64(32)
    words |= raw[1::2]
    return words


def unit_float64(raw: Array, out: Array) -> None:
    """(long word mod 2^53) / 2^53 for every two words."""
    words = modulo(long_words(raw), 2**53)
    out[...] = words.view(np.int64)
    out *= 2.0**-53


def modulo(words: Array, count: int) -> Array:
    """words mod count, in place; a power of two needs no division."""
    if count & (count - 1) == 0:
        words &= words.dtype.type(count - 1)
    else:
        words %= words.dtype.type(count)
    return words


def store(values: Array, np_dtype: np.dtype[Any]) -> Array:
    """Values as the wanted dtype; the two half types are rounded from float32, as torch does."""
    if values.dtype == np_dtype:
        return values
    if np_dtype == np.float16 or np_dtype == dtypes.BFLOAT16_NP:
        values = values.astype(np.float32)
    return dtypes.cast(values, np_dtype)


def floating(function: str, np_dtype: Any) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The dtype wanted and the one computed in: float64 for itself, float32 for float32 and the half types.

    Raises:
        NotImplementedError: for any other dtype.
    """
    wanted: np.dtype[Any] = np.dtype(np_dtype)
    if wanted == np.float32:
        return wanted, wanted
    name = dtypes.from_numpy_dtype(wanted).name
    if name not in DIGITS:
        raise NotImplementedError(f'"{function}" not implemented for \'{dtypes.legacy_name(dtypes.from_numpy_dtype(wanted))}\' ({name}): '
                                  "ask for a floating-point dtype")
    return wanted, np.dtype(np.float64 if name == "float64" else np.float32)


def check_bounds(low: float, high: float, name: str) -> None:
    """Refuse bounds of a uniform draw that are no range, or not finite in the dtype. RuntimeError says which."""
    largest = LARGEST[name]
    for label, bound in (("from", low), ("to", high)):
        if not abs(bound) <= largest:
            raise RuntimeError(f"uniform_: {label} is out of bounds for {name}: got {bound}, expected at most {largest} in size")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")
    if high - low > largest:
        raise RuntimeError(f"uniform_ expects to - from <= {largest}, but found to={high} and from={low}")


# ---- draws: each takes its words from a twister, in the order of the elements ----------------------------------------------------

def fill(twister: Twister, out: Array, width: int, convert: Callable[[Array, Array], None]) -> None:
    """Let convert(raw, part) make the values of a flat array, each from `width` words, a cacheful at a time."""
    for start in range(0, out.size, CHUNK):
        part = out[start : start + CHUNK]
        convert(twister.random_raw(part.size * width), part)


@kernel
def draw_uniform(twister: Twister, shape: Any, dtype: np.dtype[Any], *, low: float, high: float) -> Array:
    """Uniform in [low, high), which are numbers of the dtype, float32 or float64."""
    out: Array = np.empty(shape, dtype)
    width = float(dtype.type(high) - dtype.type(low))

    def convert(raw: Array, part: Array) -> None:
        (unit_float64 if dtype == np.float64 else unit_float32)(raw, part)
        if low != 0 or high != 1:
            part[...] = scale(part, width, low)
            part[part == high] = low  # rounding may have reached the upper bound, which does not belong to the range

    fill(twister, out.reshape(-1), 2 if dtype == np.float64 else 1, convert)
    return out


@kernel
def draw_bernoulli(twister: Twister, shape: Any, *, threshold: int) -> Array:
    """Booleans, true where 53 bits of a long word are below the threshold."""
    out: Array = np.empty(shape, np.bool_)

    def convert(raw: Array, part: Array) -> None:
        np.less(modulo(long_words(raw), 2**53), np.uint64(threshold), out=part)

    fill(twister, out.reshape(-1), 2, convert)
    return out


@kernel
def draw_integers(twister: Twister, shape: Any, *, low: int, count: int) -> Array:
    """low + word mod count, int64; count is less than 2^32 and the results lie in int64."""
    out: Array = np.empty(shape, np.int64)

    def convert(raw: Array, part: Array) -> None:
        np.add(modulo(raw, count).view(np.int64), low, out=part)

    fill(twister, out.reshape(-1), 1, convert)
    return out


def draw_long_integers(twister: Twister, shape: Any, wanted: np.dtype[Any], *, low: int, count: int) -> Array:
    """low + long word mod count, in 64 bits, stored in the wanted dtype."""
    out: Array = np.empty(shape, wanted)

    def convert(raw: Array, part: Array) -> None:
        values = modulo(long_words(raw), count)
        values += np.uint64(low % 2**64)  # two's complement: wraps to the right int64
        part[...] = store(values.view(np.int64), wanted)

    fill(twister, out.reshape(-1), 2, convert)
    return out


@kernel
def draw_permutation(twister: Twister, n: int) -> Array:
    """The numbers 0 to n - 1 after swapping, for i = 0 to n - 2, places i and i + word mod (n - i)."""
    targets: Array = np.arange(n, dtype=np.int64)
    words: Array = np.empty(max(n - 1, 0), np.int64)
    fill(twister, words, 1, lambda raw, part: np.copyto(part, raw.view(np.int64)))
    targets[:-1] += words % np.arange(n, 1, -1)
    return shuffle(targets)


# ---- scaling with one rounding -------------------------------------------------------------------------------------------------

def scale(x: Array, factor: float, offset: float) -> Array:
    """x * factor + offset, rounded once; in float32 the parameters must be float32 numbers."""
    if offset == 0:
        return np.asarray(x * x.dtype.type(factor))
    if x.dtype == np.float32:  # the product is exact in float64, and so is the sum unless the offset dwarfs it
        wide = x.astype(np.float64)
        wide *= factor
        wide += offset
        return wide.astype(np.float32)
    return _fused_multiply_add(x, factor, offset)


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum and its exact error (Knuth, The Art of Computer Programming 2, section 4.2.2)."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def _split(a: Any) -> tuple[Any, Any]:
    """a as a sum of two numbers of 26 bits, whose products are exact (Dekker 1971)."""
    big = a * 134217729.0  # 2^27 + 1
    high = big - (big - a)
    return high, a - high


def _fused_multiply_add(x: Array, factor: float, offset: float) -> Array:
    """x * factor + offset in float64, rounded once (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums")."""
    if not 1e-200 < abs(factor) < 1e200 or not abs(offset) < 1e200:
        return x * factor + offset  # the splitting would over- or underflow
    product = x * factor
    (x_high, x_low), (f_high, f_low) = _split(x), _split(np.float64(factor))
    error = x_low * f_low - (((product - x_high * f_high) - x_low * f_high) - x_high * f_low)
    carry, carry_low = _two_sum(np.float64(offset), error)
    total, total_low = _two_sum(product, carry)
    tail, tail_error = _two_sum(carry_low, total_low)
    # rounding the tail to odd keeps a sticky bit, so that the last sum cannot be rounded twice
    even = (np.ascontiguousarray(tail).view(np.int64) & 1) == 0
    odd = np.nextafter(tail, np.where(tail_error > 0, np.inf, -np.inf))
    return np.asarray(total + np.where((tail_error != 0) & even, odd, tail))


# ---- normal values -------------------------------------------------------------------------------------------------------------

@kernel
def box_muller(x: Array, *, mean: float, std: float) -> None:
    """In place, in blocks of 16: units u, v of the two halves give sqrt(-2 log(1 - u)) times cos(2 pi v) and sin(2 pi v)."""
    one, minus_two, two_pi = (x.dtype.type(c) for c in (1.0, -2.0, 2.0 * math.pi))
    for start in range(0, x.size, CHUNK):
        pairs = x[start : start + CHUNK].reshape(-1, 2, 8)
        radius = np.sqrt(minus_two * np.log(one - pairs[:, 0]))  # 1 - u lies in (0, 1]
        angle = two_pi * pairs[:, 1]
        np.multiply(radius, np.cos(angle), out=pairs[:, 0])
        np.multiply(radius, np.sin(angle), out=pairs[:, 1])
        if mean != 0 or std != 1:
            pairs[...] = scale(pairs, std, mean)


def box_muller_pairs(units: Array, count: int) -> tuple[Array, float | None]:
    """`count` values in float64: u, v give sqrt(-2 log(1 - v)) times cos(2 pi u), then sin. Also the value left over, if any."""
    if count <= 32:  # the C library's functions, which torch calls here: equal to the last bit
        radius: Any = np.array([math.sqrt(-2.0 * math.log1p(-v)) for v in units[1::2].tolist()])
        angles = [2.0 * math.pi * u for u in units[0::2].tolist()]
        cosine: Any = np.array([math.cos(a) for a in angles])
        sine: Any = np.array([math.sin(a) for a in angles])
    else:
        radius = np.sqrt(-2.0 * np.log1p(-units[1::2]))
        angle = 2.0 * math.pi * units[0::2]
        cosine, sine = np.cos(angle), np.sin(angle)
    out: Array = np.empty(units.size, np.float64)
    out[0::2] = radius * cosine
    out[1::2] = radius * sine
    return out[:count], float(out[-1]) if count < out.size else None


# ---- integer ranges ------------------------------------------------------------------------------------------------------------

def _nearest_integer(value: int, name: str) -> int:
    """The integer that a value becomes when it is stored as a floating dtype."""
    if abs(value) > LARGEST[name]:
        return value
    exact: Array = np.asarray(value, np.int64)
    stored = store(exact.astype(np.float64 if name == "float64" else np.float32), getattr(dtypes, name).np)
    return int(dtypes.cast(stored, np.dtype(np.float64)))


def integer_range(low: int, high: int | None, name: str) -> tuple[int, int]:
    """First value and number of values of [low, high) in a dtype; high = None goes up to the largest value.

    A floating dtype cannot hold every integer: a bound that it would round outside of the range moves inwards.

    Raises:
        RuntimeError: for an empty range or a bound outside the dtype.
    """
    if high is not None and low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    digits = DIGITS.get(name, 0)
    smallest: float
    largest: float
    if digits:
        smallest, largest = -LARGEST[name], LARGEST[name]
    elif name == "bool":
        smallest, largest = 0, 1
    else:  # torch's bounds are of int64 even for uint64
        smallest, largest = int(np.iinfo(name).min), min(int(np.iinfo(name).max), 2**63 - 1)
    last = high - 1 if high is not None else 2**digits if digits else int(largest)
    if digits and low < last:
        stored = _nearest_integer(low + 1, name)
        if stored < low:
            low = stored + (1 << (abs(low + 1).bit_length() - digits))
        stored = _nearest_integer(last, name)
        if high is not None and stored > last:
            last = stored - (1 << (abs(last).bit_length() - digits)) - 1
    for label, value in (("from", low), ("to - 1", last)):
        if not smallest <= value <= largest:
            raise RuntimeError(f"random_: {label} is out of bounds for {name}: got {value}, expected [{smallest}, {largest}]")
        if digits and abs(value) > 2**digits:
            warnings.warn(f"{label} is out of bounds [-(2^{digits}), 2^{digits}]: {name} does not hold every integer there, so "
                          "the draws are not uniform; use an integer dtype", UserWarning, stacklevel=4)
    if low > last:
        raise RuntimeError(f"random_ expects 'from' as {name} to be less than 'to', but got from={low} >= to={last + 1}")
    return low, last - low + 1


# ---- shuffles ------------------------------------------------------------------------------------------------------------------

def shuffle(targets: Array) -> Array:
    """The numbers 0 to n - 1 after swapping places i and targets[i] >= i for i = 0, 1, ... (Fisher and Yates 1938)."""
    return swap_one_by_one(targets) if targets.size < 500 else swap_all(targets)


def swap_one_by_one(targets: Array) -> Array:
    """The definition of ``shuffle``."""
    places = list(range(targets.size))
    for i, j in enumerate(targets.tolist()):
        places[i], places[j] = places[j], places[i]
    return np.array(places, np.int64)


def swap_all(targets: Array) -> Array:
    """``shuffle`` without a loop over the places, several times faster from some hundred places on.

    Place i is final after step i, and gets what lies at j = targets[i]. That is what the last earlier step k that aimed at j left
    there: the value found at place k just before step k, call it origin[k]. If no step aimed at j, it is still j itself. In the
    same way origin[k] = origin[m] for the last step m < k that aimed at k, else k: a chain, followed by doubling.
    """
    n = targets.size
    index = np.arange(n, dtype=np.int64)
    origin = np.arange(n + 1, dtype=np.int64)
    origin[np.where(targets == index, n, targets)] = index  # of several steps aimed at one place the last one stays
    origin = origin[:n]
    further = np.empty_like(origin)
    while True:
        np.take(origin, origin, out=further, mode="wrap")  # wrap: no index is out of range, and no bounds are checked
        if np.array_equal(further, origin):
            break
        origin, further = further, origin
    bits = n.bit_length()
    order = (targets << bits) | index  # by target, then by step
    order.sort()
    step = order & ((1 << bits) - 1)
    order >>= bits
    again = np.flatnonzero(order[1:] == order[:-1])
    result = targets.copy()
    result[step[1:][again]] = origin[step[again]]
    return result


# ---- counts --------------------------------------------------------------------------------------------------------------------

def poisson(rate: float, unit: Callable[[], float]) -> float:
    """One count of a Poisson distribution from unit draws: multiplication below a rate of 10, transformed rejection from there on.

    Source: Knuth, The Art of Computer Programming 2, section 3.4.1; Hoermann 1993, "The transformed rejection method for
    generating Poisson random variables", algorithm PTRS.
    """
    if rate == 0:
        return 0.0
    if rate < 10:
        count, product, bound = -1, 1.0, math.exp(-rate)
        while product > bound or count < 0:
            product *= unit()
            count += 1
        return float(count)
    root, logarithm = math.sqrt(rate), math.log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    quick = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = unit() - 0.5
        v = unit()
        distance = 0.5 - abs(u)
        count = math.floor((2 * a / distance + b) * u + rate + 0.43) if distance else -1
        if distance >= 0.07 and v <= quick:
            return float(count)
        if count < 0 or (distance < 0.013 and v > distance) or v == 0:
            continue
        height = math.log(v) + math.log(inverse_alpha) - math.log(a / (distance * distance) + b)
        if height <= count * logarithm - rate - math.lgamma(count + 1):
            return float(count)


def binomial(count: float, chance: float, unit: Callable[[], float]) -> float:
    """How many of `count` tries succeed, from unit draws: waiting times where few succeed, transformed rejection from ten on.

    Source: Devroye 1986, Non-Uniform Random Variate Generation, section X.4.3 (waiting times); Hoermann 1993, "The generation of
    binomial random variates", algorithm BTRS.
    """
    if count <= 0 or chance <= 0:
        return 0.0
    if chance >= 1:
        return count
    if chance > 0.5:
        return count - binomial(count, 1 - chance, unit)
    if count * chance < 10:
        hits, place, logarithm = -1, 0.0, math.log1p(-chance)
        while place <= count:
            u = unit()
            place += math.ceil(math.log(u) / logarithm) if u else math.inf
            hits += 1
        return float(hits)
    deviation = math.sqrt(count * chance * (1 - chance))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    odds, middle = chance / (1 - chance), math.floor((count + 1) * chance)

    def height(k: float) -> float:
        return k * math.log(odds) - math.lgamma(k + 1) - math.lgamma(count - k + 1)

    while True:
        u = unit() - 0.5
        v = unit()
        distance = 0.5 - abs(u)
        k = math.floor((2 * a / distance + b) * u + count * chance + 0.5) if distance else -1
        if distance >= 0.07 and v <= 0.92 - 4.2 / b:
            return float(k)
        if 0 <= k <= count and v > 0 and math.log(v * (2.83 + 5.1 / b) * deviation / (a / (distance * distance) + b)) <= height(k) - height(middle):
            return float(k)
