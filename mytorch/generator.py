"""Random numbers: the Mersenne twister, seeded and read as torch's default CPU stream reads it.

The generator is mt19937 (Matsumoto and Nishimura 1998, "Mersenne Twister: a 623-dimensionally equidistributed uniform
pseudo-random number generator"); NumPy's implementation gives the 32-bit words. Every draw takes its words from this one
stream, in the order of the elements. The distributions are a few lines each on top (``draws.py``):

=====================  ===========================================================================================
word, long word        one output of the twister; two outputs, the first one in the upper half
unit float32           (word mod 2^24) / 2^24; float16 and bfloat16 round it
unit float64           (long word mod 2^53) / 2^53
integer in a range     low + word mod range; a long word from a range of 2^28 on
normal, 16 and more    Box and Muller 1958 ("A note on the generation of random normal deviates") on blocks of 16
normal, fewer          the same transform in float64, one pair at a time, its second value kept for the next call
=====================  ===========================================================================================

So ``manual_seed(0)`` gives torch's own initial weights, shuffles and dropout masks: equal to the last bit, but for the
rounding of logarithm, sine and cosine in the normal draws (a few units in the last place). Draws here are made on NumPy arrays;
the Tensor faces wrap them. They fill in C order, while torch fills a dense permuted tensor in the order of its memory.
torch 2.13's CPU wheel draws everything from this stream. Some older builds took Bernoulli draws with a number p (so dropout) and
exponential draws (so multinomial) from Intel's MKL on Intel processors: their values differ.
"""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from mytorch import draws, dtypes
from mytorch.sampling import Sampling, affine, watched
from mytorch.sampling import watcher as watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, np.dtype[Any]]
    Shape = int | tuple[int, ...]

__mytorch__ = True

DEFAULT_SEED = 67280421310721  # torch's: what a fresh Generator() starts from
_LONG_RANGE = 2**28  # integer ranges from here on take a long word per value
_LONG_PERMUTATION = 2**32 // 20  # torch shuffles this many and more by another rule
_STATE = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "key", "normal", "normal_is_valid", "normal32", "normal32_is_valid"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", 624), "<f8", "<i4", "<f4", "<u1"],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040, 5048, 5052],
        "itemsize": 5056,
    }
)

wrap_state: Callable[[Array], Any] | None = None  # the tensor face registers its wrapper here: get_state then returns a Tensor


class Generator(Sampling):
    """A stream of random numbers with its own state; ``mytorch.Generator().manual_seed(0)`` restarts it.

    The draws (``random`` to ``multinomial``) take a shape and a NumPy dtype and return a fresh C-ordered array; bfloat16 is
    ``dtypes.bfloat16.np``. Each draw holds the generator's lock, so threads may share one.

    Args:
        device: 'cpu'; other devices have no generator here.
    Raises:
        RuntimeError: for another device.
    """

    def __init__(self, device: Any = "cpu") -> None:
        if device is not None and str(device).split(":")[0] != "cpu":
            raise RuntimeError(f"Generator: got device '{device}', expected 'cpu'; only the CPU has a generator")
        self.device: Any = "cpu"
        self._lock = threading.RLock()
        self._twister: Any = None  # NumPy loads its random module at the first use: not needed to import the package
        self._next_normal: float | None = None  # second value of the last Box-Muller pair, of mean 0 and deviation 1
        self._next_normal32: float | None = None  # not used by CPU draws; kept so that a state comes back as it was given
        self._seed = DEFAULT_SEED
        self._untouched = True  # no word drawn since seeding: torch writes this state in its own way

    # ---- seed and state --------------------------------------------------------------------------------------------------------

    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream; the lower 32 bits decide. A negative seed counts from 2^64 downwards. Returns the generator.

        Raises:
            RuntimeError: if the seed is no integer.
            ValueError: if it lies outside [-2^63, 2^64 - 1].
        """
        if isinstance(seed, bool | np.bool_) or not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}; give an integer")
        value = seed.__index__()
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"manual_seed: Overflow when unpacking long long: got {value}, expected a seed in [-2^63, 2^64 - 1]")
        with self._lock:
            self._seed = value % 2**64
            self._next_normal = self._next_normal32 = None
            self._untouched = True
            if self._twister is not None:
                self._twister._legacy_seeding(self._seed & 0xFFFFFFFF)  # init_genrand of Matsumoto and Nishimura
        return self

    def initial_seed(self) -> int:
        """The seed that this stream was started with."""
        return self._seed

    def seed(self) -> int:
        """Restart the stream from a seed of 53 bits that the operating system chose, and return it."""
        value = int.from_bytes(os.urandom(8), "little") >> 11
        self.manual_seed(value)
        return value

    def _source(self) -> Any:
        if self._twister is None:
            from mytorch.twister import Twister
            twister = Twister(0)
            twister._legacy_seeding(self._seed & 0xFFFFFFFF)
            self._twister = twister
        return self._twister

    def state_array(self) -> Array:
        """The state as 5056 bytes in torch's layout: an array that ``torch.set_rng_state`` takes as it is."""
        record = np.zeros(1, _STATE)
        with self._lock:
            inner = self._source().state["state"]
            record["seed"], record["seeded"], record["key"] = self._seed, 1, inner["key"]
            record["left"] = 625 - inner["pos"]
            record["next"] = 0 if self._untouched else inner["pos"]
            record["normal_is_valid"], record["normal"] = self._next_normal is not None, self._next_normal or 0.0
            record["normal32_is_valid"], record["normal32"] = self._next_normal32 is not None, self._next_normal32 or 0.0
        return record.view(np.uint8)

    def get_state(self) -> Any:
        """The state for ``set_state``: a ByteTensor of 5056 elements in torch's layout."""
        state = self.state_array()
        return state if wrap_state is None else wrap_state(state)

    def set_state(self, state: Any) -> Generator:
        """Go on from a state that ``get_state`` gave, of a generator of this package or of torch. Returns the generator.

        Raises:
            TypeError: if the state is no tensor or array of uint8.
            RuntimeError: if it is not contiguous, not 5056 bytes long or no state of an mt19937.
        """
        array = getattr(state, "_array", state)
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            given = f"{array.dtype} elements" if isinstance(array, np.ndarray) else type(state).__name__
            raise TypeError(f"set_state: RNG state must be a torch.ByteTensor, but got {given}; give what get_state returned")
        if not array.flags.c_contiguous:
            raise RuntimeError("set_state: RNG state must be contiguous; call .contiguous() on it first")
        if array.size != _STATE.itemsize:
            raise RuntimeError(f"set_state: got {array.size} bytes, expected {_STATE.itemsize}; give what get_state returned")
        record = np.frombuffer(array.tobytes(), _STATE)[0]
        left, following = int(record["left"]), int(record["next"])
        untouched = left == 1 and following == 0
        if not record["seeded"] or not 1 <= left <= 624 or not (untouched or following == 625 - left):
            raise RuntimeError("set_state: Invalid mt19937 state; give what get_state returned")
        with self._lock:
            key = record["key"].astype(np.uint32)
            self._source().state = {"bit_generator": "Twister", "state": {"key": key, "pos": 625 - left}}
            self._seed, self._untouched = int(record["seed"]), untouched
            self._next_normal = float(record["normal"]) if record["normal_is_valid"] else None
            self._next_normal32 = float(record["normal32"]) if record["normal32_is_valid"] else None
        return self

    def clone_state(self) -> Generator:
        """A new generator at the same place of the same stream."""
        return type(self)(self.device).set_state(self.state_array())

    def graphsafe_get_state(self) -> Any:
        """Raises NotImplementedError, as torch's CPU generator does: it serves CUDA graphs."""
        raise NotImplementedError("graphsafe_get_state is not supported for a CPU generator: it serves CUDA graphs; use get_state()")

    def graphsafe_set_state(self, state: Any) -> Any:
        """Raises NotImplementedError, as torch's CPU generator does: it serves CUDA graphs."""
        raise NotImplementedError("graphsafe_set_state is not supported for a CPU generator: it serves CUDA graphs; use set_state()")

    def __reduce__(self) -> Any:
        return type(self), (str(self.device),), self.state_array()

    def __setstate__(self, state: Array) -> None:
        self.set_state(state)

    # ---- words -----------------------------------------------------------------------------------------------------------------

    def _draw(self, draw: Callable[..., Array], *args: Any, **options: Any) -> Array:
        """What draw(twister, ...) returns; every draw takes its words here."""
        with self._lock:
            values = draw(self._source(), *args, **options)
            if values.size:
                self._untouched = False
        return values

    def _unit(self, shape: Shape, dtype: Any = np.float64) -> Array:
        return self._draw(draws.draw_uniform, shape, np.dtype(dtype), low=0.0, high=1.0)

    # ---- uniform ---------------------------------------------------------------------------------------------------------------

    @watched(0)
    def random(self, shape: Shape, np_dtype: Any = np.float32) -> Array:
        """Uniform in [0, 1): ``torch.rand``. Takes one word per value, two for float64."""
        kind: np.dtype[Any] = np.dtype(np_dtype)
        if kind == np.float32 or kind == np.float64:
            return self._unit(shape, kind)
        return self.uniform(shape, 0.0, 1.0, np_dtype)

    @watched(0)
    def uniform(self, shape: Shape, low: float = 0.0, high: float = 1.0, np_dtype: Any = np.float32) -> Array:
        """Uniform in [low, high): ``Tensor.uniform_``. A complex dtype draws the real and imaginary parts in turn.

        Raises:
            RuntimeError: if low > high, or a bound or the distance is too large for the dtype.
            NotImplementedError: for an integer or bool dtype.
        """
        if np.dtype(np_dtype).kind == "c":
            return _complex(self.uniform, shape, np.dtype(np_dtype), low, high)
        wanted, inner = draws.floating("uniform", np_dtype)
        is_unit = low == 0 and high == 1
        if not is_unit:
            draws.check_bounds(low, high, dtypes.from_numpy_dtype(wanted).name)
        first, last = float(inner.type(low)), float(inner.type(high))
        values = self._draw(draws.draw_uniform, shape, inner, low=first, high=last)
        if wanted == inner:
            return values
        result = draws.store(values, wanted)
        # this rounding, too, may have reached the upper bound
        bound = dtypes.cast(draws.store(np.asarray(last, inner), wanted), inner)
        result[dtypes.cast(result, inner) == bound] = draws.store(np.asarray(first, inner), wanted)
        return result

    @watched(1)
    def bernoulli(self, p: Any, shape: Shape) -> Array:
        """Booleans, true with probability p, a number or an array that broadcasts to the shape: ``torch.bernoulli``.

        A number, and float64 probabilities, are compared with a unit float64 (two words a value), others with a unit float32.

        Raises:
            RuntimeError: if a probability lies outside [0, 1].
            NotImplementedError: for integer probabilities.
        """
        if isinstance(p, np.ndarray):
            out: Array = np.empty(shape, np.bool_)
            _, inner = draws.floating("bernoulli", p.dtype)
            chances = dtypes.cast(p, inner)
            if not np.all((chances >= 0) & (chances <= 1)):
                raise RuntimeError("bernoulli expects every p to be in [0, 1], but got one outside")
            np.less(self._unit(out.size, inner).reshape(out.shape), chances, out=out)
            return out
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        # w / 2^53 < p  <=>  w < ceil(p 2^53), in integers
        return self._draw(draws.draw_bernoulli, shape, threshold=math.ceil(float(p) * 2.0**53))

    @watched(1)
    def dropout_mask(self, p: float, shape: Shape) -> Array:
        """Which elements dropout with probability p keeps: the booleans that ``torch.nn.functional.dropout`` draws.

        torch draws nothing at p = 0 and p = 1, nor for an empty input: callers return early there.
        """
        return self.bernoulli(1.0 - p, shape)

    # ---- integers --------------------------------------------------------------------------------------------------------------

    @watched(2)
    def randint(self, low: int, high: int | None, shape: Shape, np_dtype: Any = np.int64) -> Array:
        """Integers in [low, high): ``torch.randint``, ``Tensor.random_(low, high)``; high = None means up to the dtype's largest.

        Raises:
            RuntimeError: if low >= high, or a bound lies outside the dtype.
            ValueError: if a bound lies outside int64.
        """
        wanted: np.dtype[Any] = np.dtype(np_dtype)
        name = dtypes.from_numpy_dtype(wanted).name
        if wanted.kind == "c":
            raise RuntimeError(f"random_ handles only integer, floating-point and bool dtypes, but got {name}")
        if any(bound is not None and not -(2**63) <= bound < 2**63 for bound in (low, high)):
            raise ValueError(f"random_: Overflow when unpacking long long: got from={low}, to={high}, expected 64-bit integers")
        if high is None and low == -(2**63):
            if name not in ("int64", "float64", "float32", "bfloat16"):
                raise RuntimeError(f"random_ over all 64-bit integers handles int64, double, float and bfloat16, but got {name}")
            return self._integers(shape, wanted, 2, 0, 2**64)
        base, count = draws.integer_range(low, high, name)
        return self._integers(shape, wanted, 2 if count >= _LONG_RANGE else 1, base, count)

    @watched(0)
    def random_full(self, shape: Shape, np_dtype: Any = np.int64) -> Array:
        """``Tensor.random_()``: integers from 0 to the dtype's largest, for a floating dtype to 2^(digits of its significand).

        Raises:
            NotImplementedError: for uint16, uint32, uint64 and complex dtypes.
        """
        wanted: np.dtype[Any] = np.dtype(np_dtype)
        name = dtypes.from_numpy_dtype(wanted).name
        if wanted.kind == "c" or name in ("uint16", "uint32", "uint64"):
            raise NotImplementedError(f"random_: not implemented for {name} without bounds; give from and to")
        count = 2 ** draws.DIGITS[name] + 1 if name in draws.DIGITS else 2 if name == "bool" else int(np.iinfo(wanted).max) + 1
        return self._integers(shape, wanted, 2 if name in ("int64", "float64") else 1, 0, count)

    def _integers(self, shape: Shape, wanted: np.dtype[Any], width: int, base: int, count: int) -> Array:
        """base + word mod count, in 64 bits, stored in the wanted dtype."""
        if width == 1:
            return draws.store(self._draw(draws.draw_integers, shape, low=base, count=count), wanted)
        return self._draw(draws.draw_long_integers, shape, wanted, low=base, count=count)

    @watched(None)
    def permutation(self, n: int) -> Array:
        """The numbers 0 to n - 1 in random order, int64: ``torch.randperm``. Takes n - 1 words.

        Raises:
            RuntimeError: for a negative n.
            NotImplementedError: from n = 2^32 / 20 on, where torch changes its rule (for 1.7 GB of indices and more).
        """
        if n < 0:
            raise RuntimeError(f"randperm: Trying to create tensor with negative dimension {n}: [{n}]")
        if n >= _LONG_PERMUTATION:
            raise NotImplementedError(f"randperm: n = {n} is not supported; expected less than {_LONG_PERMUTATION}")
        return self._draw(draws.draw_permutation, n) if n > 1 else np.zeros(n, np.int64)

    # ---- normal and what is made from it ---------------------------------------------------------------------------------------

    @watched(0)
    def normal(
        self, shape: Shape, mean: float = 0.0, std: float = 1.0, np_dtype: Any = np.float32, contiguous: bool = True
    ) -> Array:
        """Normal with this mean and standard deviation: ``torch.randn``, ``Tensor.normal_``.

        From 16 values on by blocks of 16; a rest is covered by drawing the last 16 values anew. Fewer values, and tensors that
        are not contiguous (``contiguous=False``), come in pairs one after the other. A complex dtype draws real and imaginary
        parts in turn, each with std / sqrt(2).

        Raises:
            RuntimeError: if std is negative or NaN.
            NotImplementedError: for an integer or bool dtype.
        """
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
        if np.dtype(np_dtype).kind == "c":
            return _complex(self.normal, shape, np.dtype(np_dtype), mean, std / math.sqrt(2.0), contiguous=contiguous)
        wanted, inner = draws.floating("normal", np_dtype)
        n = math.prod((shape,) if isinstance(shape, int) else shape)
        if n < 16 or not contiguous:
            return draws.store(affine(self._pairs(n), std, mean, wanted), wanted).reshape(shape)
        options = {"mean": float(inner.type(mean)), "std": float(inner.type(std))}
        whole = n - n % 16
        with self._lock:
            # torch draws a unit for every float32 and float64 value, but for the half types only for whole blocks
            values = self._unit(n, inner) if wanted == inner or n == whole else np.concatenate([self._unit(whole, inner), np.empty(n - whole, inner)])
            draws.box_muller(values[:whole], **options)
            if n > whole:
                values[n - 16 :] = self._unit(16, inner)
                draws.box_muller(values[n - 16 :], **options)
        return draws.store(values, wanted).reshape(shape)

    def _pairs(self, n: int) -> Array:
        """n normal values in float64, mean 0 and deviation 1: first the one kept from the last call, then by pairs."""
        with self._lock:
            kept = [] if self._next_normal is None or n == 0 else [self._next_normal]
            fresh = n - len(kept)
            values, left_over = draws.box_muller_pairs(self._unit(fresh + fresh % 2), fresh)
            if n:
                self._next_normal = left_over
        return np.concatenate([np.array(kept), values]) if kept else values


def _complex(draw: Callable[..., Array], shape: Shape, wanted: np.dtype[Any], *args: float, **options: bool) -> Array:
    """Complex values whose parts `draw` makes: real, imaginary, real, ..."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    parts = draw((*sizes, 2), *args, np.float64 if wanted == np.complex128 else np.float32, **options)
    return parts.view(wanted).reshape(sizes)


default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Restart the default generator, which serves every draw that names no other, and return it: ``torch.manual_seed``."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Restart the default generator from a seed that the operating system chose, and return that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator was started with."""
    return default_generator.initial_seed()
