// Random draws from the Mersenne twister mt19937 (Matsumoto and Nishimura 1998, "Mersenne Twister: a 623-dimensionally
// equidistributed uniform pseudo-random number generator"), to the words of mytorch/generator.py.
//
// The state is NumPy's own: 624 words of 32 bits and the number of those already drawn. A stream of words has one order, so one
// thread makes them; what is long in a draw, logarithms and sines, is left to all threads.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

typedef uint32_t VecU __attribute__((vector_size(REGISTER_BYTES)));
typedef uint64_t VecW __attribute__((vector_size(REGISTER_BYTES)));

typedef uint32_t Words __attribute__((vector_size(REGISTER_BYTES / 2)));  // as many as a vector of float64

constexpr int64_t CHUNK = 1 << 12;  // words drawn at a time: they stay in the first-level cache until they are converted

template <class V> MYTORCH_INLINE V load_as(const void *from) {
    V v;
    std::memcpy(&v, from, sizeof(v));
    return v;
}

template <class V> MYTORCH_INLINE void store_as(void *to, V v) { std::memcpy(to, &v, sizeof(v)); }

class Twister {
public:
    explicit Twister(const mytorch_array &state) : state_(static_cast<uint32_t *>(state.data)) {
        require(state.itemsize == 4 && is_contiguous(state) && count_of(state) == N + 1, "the state is 625 words of 32 bits");
        require(state_[N] <= N, "the place in the state is at most 624");
    }

    // The next `count` words.
    void draw(uint32_t *to, int64_t count) {
        while (count > 0) {
            if (state_[N] == N) {
                renew();
            }
            const int64_t some = least<int64_t>(count, N - state_[N]);
            temper(state_ + state_[N], to, some);
            state_[N] += static_cast<uint32_t>(some);
            to += some;
            count -= some;
        }
    }

private:
    static constexpr int N = 624, M = 397;

    // x_{k+n} = x_{k+m} ^ twist(upper bit of x_k, lower bits of x_{k+1}): the next 624 words, in place. Words that a vector reads
    // ahead of itself are old ones, those behind are new ones, as in the loop over single words.
    void renew() {
        uint32_t *x = state_;
        int k = step_along(0, N - M, M);
        k = step_along(k, N - 1, M - N);
        x[k] = x[k + M - N] ^ twist(x[k], x[0]);
        x[N] = 0;
    }

    template <class V> static MYTORCH_INLINE V twist(V now, V next) {
        const V both = (now & 0x80000000u) | (next & 0x7fffffffu);
        return (both >> 1) ^ ((V{} - (next & 1u)) & 0x9908b0dfu);
    }

    int step_along(int k, int end, int distance) {
        uint32_t *x = state_;
        for (; k + WIDTH<int32_t> <= end; k += WIDTH<int32_t>) {
            store_as(x + k, load_as<VecU>(x + k + distance) ^ twist(load_as<VecU>(x + k), load_as<VecU>(x + k + 1)));
        }
        for (; k < end; ++k) {
            x[k] = x[k + distance] ^ twist(x[k], x[k + 1]);
        }
        return k;
    }

    template <class V> static MYTORCH_INLINE V tempered(V x) {
        x ^= x >> 11;
        x ^= (x << 7) & 0x9d2c5680u;
        x ^= (x << 15) & 0xefc60000u;
        return x ^ (x >> 18);
    }

    static void temper(const uint32_t *from, uint32_t *to, int64_t count) {
        int64_t i = 0;
        for (; i + WIDTH<int32_t> <= count; i += WIDTH<int32_t>) {
            store_as(to + i, tempered(load_as<VecU>(from + i)));
        }
        for (; i < count; ++i) {
            to[i] = tempered(from[i]);
        }
    }

    uint32_t *state_;
};

// Let convert(words, first, n) make elements first ... first + n - 1 of `count` from `each` words apiece. There are words for whole
// vectors: those behind the last element may be anything.
template <class Convert> void draw(const mytorch_array &state, int64_t count, int each, const Convert &convert) {
    Twister twister(state);
    alignas(64) uint32_t words[CHUNK + REGISTER_BYTES] = {};
    for (int64_t first = 0; first < count; first += CHUNK / each) {
        const int64_t n = least(CHUNK / each, count - first);
        twister.draw(words, n * each);
        convert(words, first, n);
    }
}

// ---- words to numbers ----------------------------------------------------------------------------------------------------------

// Two words as one of 64 bits, the first one in the upper half; its lower 53 bits.
MYTORCH_INLINE VecL long_words(const uint32_t *words) {
    const VecW v = load_as<VecW>(words);
    return bits_as<VecL>(((v << 32) | (v >> 32)) & ((uint64_t(1) << 53) - 1));
}

template <class T> struct Unit;
template <> struct Unit<float> {  // (word mod 2^24) / 2^24
    static constexpr int WORDS = 1;
    static MYTORCH_INLINE VecF at(const uint32_t *words) {
        return __builtin_convertvector(load_as<VecI>(words) & 0xffffff, VecF) * 0x1p-24f;
    }
};
template <> struct Unit<double> {  // (long word mod 2^53) / 2^53
    static constexpr int WORDS = 2;
    static MYTORCH_INLINE VecD at(const uint32_t *words) { return __builtin_convertvector(long_words(words), VecD) * 0x1p-53; }
};

// x * factor + offset, rounded once.
MYTORCH_INLINE VecF scaled(VecF x, float factor, float offset) {
    for (int i = 0; i < WIDTH<float>; ++i) {
        x[i] = __builtin_fmaf(x[i], factor, offset);
    }
    return x;
}
MYTORCH_INLINE VecD scaled(VecD x, double factor, double offset) {
    for (int i = 0; i < WIDTH<double>; ++i) {
        x[i] = __builtin_fma(x[i], factor, offset);
    }
    return x;
}

template <class T> MYTORCH_INLINE void put(T *to, Vec<T> v, int64_t count) {
    if (count >= WIDTH<T>) {
        store(to, v);
    } else {
        store_some(to, v, count);
    }
}

// ---- uniform -------------------------------------------------------------------------------------------------------------------

// Uniform in [low, high): rounding may reach high, which does not belong to the range and becomes low.
template <class T> int uniform_as(const mytorch_argument *x) {
    T *to = elements<T>(x[1].array);
    const T low = static_cast<T>(x[2].number), high = static_cast<T>(x[3].number);
    const T width = high - low;
    const bool unit = low == T(0) && high == T(1);
    draw(x[0].array, count_of(x[1].array), Unit<T>::WORDS, [&](const uint32_t *words, int64_t first, int64_t n) {
        for (int64_t i = 0; i < n; i += WIDTH<T>) {
            Vec<T> v = Unit<T>::at(words + i * Unit<T>::WORDS);
            if (!unit) {
                v = scaled(v, width, low);
                v = v == high ? all(low) : v;
            }
            put(to + first + i, v, n - i);
        }
    });
    return 1;
}

int uniform(const mytorch_argument *x) {
    return holds<float>(x[1].array) ? uniform_as<float>(x) : holds<double>(x[1].array) ? uniform_as<double>(x) : 0;
}

// ---- true with a probability: where 53 bits are below a threshold ---------------------------------------------------------------

int bernoulli(const mytorch_argument *x) {
    const mytorch_array &out = x[1].array;
    require(out.itemsize == 1 && is_contiguous(out), "out is a contiguous array of bools");
    uint8_t *to = static_cast<uint8_t *>(out.data);
    const int64_t threshold = x[2].integer;
    constexpr int W = WIDTH<int64_t>;
    typedef uint8_t Bytes __attribute__((vector_size(W)));
    draw(x[0].array, count_of(out), 2, [&](const uint32_t *words, int64_t first, int64_t n) {
        for (int64_t i = 0; i < n; i += W) {
            const Bytes kept = __builtin_convertvector((long_words(words + 2 * i) < threshold) & 1, Bytes);
            std::memcpy(to + first + i, &kept, static_cast<size_t>(least<int64_t>(W, n - i)));
        }
    });
    return 1;
}

// x times scale where the mask is true, times 0 elsewhere: NaN and infinities stay seen.
template <class T> int dropout_as(const mytorch_argument *x) {
    constexpr int W = WIDTH<T>;
    typedef uint8_t Bytes __attribute__((vector_size(W)));
    const mytorch_array &mask = x[1].array, &y = x[3].array;
    require(same_shape(x[0].array, y) && same_shape(mask, y), "x, mask and y have one shape");
    require(mask.itemsize == 1 && is_contiguous(mask), "the mask is a contiguous array of bools");
    const T *from = elements<T>(x[0].array);
    const uint8_t *kept = static_cast<const uint8_t *>(mask.data);
    T *to = elements<T>(y);
    const T scale = static_cast<T>(x[2].number);
    parallel_ranges(count_of(y), GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += W) {
            const int64_t n = least<int64_t>(W, end - i);
            Bytes keep{};
            std::memcpy(&keep, kept + i, static_cast<size_t>(n));
            put(to + i, (n == W ? load(from + i) : load_some(from + i, n)) * (__builtin_convertvector(keep, Vec<T>) * scale), n);
        }
    });
    return 1;
}

int dropout(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? dropout_as<float>(x) : holds<double>(x[0].array) ? dropout_as<double>(x) : 0;
}

// ---- integers ------------------------------------------------------------------------------------------------------------------

// word mod count for a word and a count below 2^32. The quotient of two such integers is 2^-32 of itself or more away from the next
// integer, so that a division rounded to 53 bits finds it.
MYTORCH_INLINE VecD remainder(VecD word, VecD count) {
    const VecD quotient = word / count;
    const VecD nearest = quotient + 0x1p52 - 0x1p52;
    return word - (nearest > quotient ? nearest - 1.0 : nearest) * count;
}

// low + word mod count
int integers(const mytorch_argument *x) {
    int64_t *to = elements<int64_t>(x[1].array);
    const int64_t low = x[2].integer;
    require(x[3].integer >= 1 && x[3].integer < INT64_C(1) << 32, "count has 32 bits");
    const VecD count = all(static_cast<double>(x[3].integer));
    constexpr int W = WIDTH<double>;
    draw(x[0].array, count_of(x[1].array), 1, [&](const uint32_t *words, int64_t first, int64_t n) {
        for (int64_t i = 0; i < n; i += W) {
            const VecD word = __builtin_convertvector(load_as<Words>(words + i), VecD);
            put(to + first + i, __builtin_convertvector(remainder(word, count), VecL) + low, n - i);
        }
    });
    return 1;
}

// The numbers 0 to n - 1 after exchanging, for i = 0, 1, ... n - 2, those at places i and i + word mod (n - i) (Fisher and Yates
// 1938). Where a place lies is known well before its turn comes, so the processor is told to fetch it.
int permutation(const mytorch_argument *x) {
    const mytorch_array &out = x[1].array;
    int64_t *to = elements<int64_t>(out);
    const int64_t n = count_of(out);
    require(n < INT64_C(1) << 31, "fewer than 2^31 places");
    constexpr int W = WIDTH<double>;
    typedef int32_t Places __attribute__((vector_size(REGISTER_BYTES / 2)));
    Scratch<int32_t> places(n);  // 32 bits: twice as many of them in the cache
    for (int64_t i = 0; i < n; ++i) {
        places[i] = static_cast<int32_t>(i);
    }
    VecD lane;
    for (int k = 0; k < W; ++k) {
        lane[k] = k;
    }
    draw(x[0].array, n - 1, 1, [&](const uint32_t *words, int64_t first, int64_t count) {
        int32_t target[CHUNK + W];
        for (int64_t i = 0; i < count; i += W) {
            const VecD word = __builtin_convertvector(load_as<Words>(words + i), VecD);
            const VecD left = static_cast<double>(n - first - i) - lane;
            const VecD at = static_cast<double>(first + i) + lane + remainder(word, left);
            store_as(target + i, __builtin_convertvector(at, Places));
        }
        constexpr int64_t AHEAD = 32;
        for (int64_t i = 0; i < count; ++i) {
            __builtin_prefetch(places + target[least(i + AHEAD, count - 1)], 1);
            const int32_t here = places[first + i];
            places[first + i] = places[target[i]];
            places[target[i]] = here;
        }
    });
    for (int64_t i = 0; i < n; ++i) {
        to[i] = places[i];
    }
    return 1;
}

// ---- normal: Box and Muller 1958, "A note on the generation of random normal deviates" -------------------------------------------

template <class T> struct Quarter;  // pi / 2 in parts whose products with small integers are exact; Cephes' polynomials (Moshier)
template <> struct Quarter<float> {
    static constexpr float parts[3] = {1.5703125f, 4.837512969970703125e-4f, 7.54978995489188216e-8f};
    static constexpr float sine[3] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
    static constexpr float cosine[3] = {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f};
    static constexpr int TERMS = 3;
};
template <> struct Quarter<double> {
    static constexpr double parts[3] = {1.57079625129699707031, 7.54978941586159635336e-8, 5.39030285815811905290e-15};
    static constexpr double sine[6] = {1.58962301576546568060e-10, -2.50507477628578072866e-8, 2.75573136213857245213e-6,
                                       -1.98412698295895385996e-4, 8.33333333332211858878e-3, -1.66666666666666307295e-1};
    static constexpr double cosine[6] = {-1.13585365213876817300e-11, 2.08757008419747316778e-9, -2.75573141792967388112e-7,
                                         2.48015872888517045348e-5, -1.38888888888730564116e-3, 4.16666666666665929218e-2};
    static constexpr int TERMS = 6;
};

// sin and cos of x in [0, 2 pi]: x less the nearest multiple of pi / 2, then a polynomial each, exchanged and negated by quadrant.
template <class T> MYTORCH_INLINE void sine_and_cosine(Vec<T> x, Vec<T> &sine, Vec<T> &cosine) {
    using Q = Quarter<T>;
    using C = ExpConstants<T>;
    using I = Mask<T>;
    const Vec<T> shifted = x * T(0.63661977236758134308) + C::magic;
    const Vec<T> n = shifted - C::magic;
    const I quadrant = bits_as<I>(shifted);  // its two lowest bits
    Vec<T> r = x - n * Q::parts[0];
    r = r - n * Q::parts[1];
    r = r - n * Q::parts[2];
    const Vec<T> z = r * r;
    Vec<T> s = Vec<T>{} + Q::sine[0], c = Vec<T>{} + Q::cosine[0];
    for (int i = 1; i < Q::TERMS; ++i) {
        s = s * z + Q::sine[i];
        c = c * z + Q::cosine[i];
    }
    s = s * z * r + r;
    c = c * z * z - z * T(0.5) + T(1);
    const I odd = (quadrant & 1) != 0;
    sine = odd ? c : s;
    cosine = odd ? s : c;
    sine = (quadrant & 2) != 0 ? -sine : sine;
    cosine = ((quadrant + 1) & 2) != 0 ? -cosine : cosine;
}

// Units u in the first and v in the second half of every 16 elements become sqrt(-2 log(1 - u)) cos(2 pi v) and ... sin(2 pi v),
// times std plus mean.
template <class T> void box_muller(T *x, int64_t count, T mean, T std) {
    constexpr int W = WIDTH<T>, HALF = 8, BLOCKS = 8;  // blocks at a time: their halves are sorted apart, into whole vectors
    parallel_ranges(count, GRAIN / 2, [&](int64_t begin, int64_t end) {
        const bool standard = mean == T(0) && std == T(1);
        for (int64_t i = begin; i < end; i += BLOCKS * 2 * HALF) {
            alignas(64) T u[BLOCKS * HALF] = {}, v[BLOCKS * HALF] = {};
            const int64_t blocks = least<int64_t>(BLOCKS, (end - i) / (2 * HALF));
            for (int64_t b = 0; b < blocks; ++b) {
                std::memcpy(u + b * HALF, x + i + b * 2 * HALF, HALF * sizeof(T));
                std::memcpy(v + b * HALF, x + i + b * 2 * HALF + HALF, HALF * sizeof(T));
            }
            for (int k = 0; k < BLOCKS * HALF; k += W) {
                const Vec<T> radius = square_root<T>(T(-2) * log<T>(T(1) - load(u + k)));
                Vec<T> sine, cosine;
                sine_and_cosine<T>(load(v + k) * T(6.28318530717958647692), sine, cosine);
                const Vec<T> first = radius * cosine, second = radius * sine;
                store(u + k, standard ? first : scaled(first, std, mean));
                store(v + k, standard ? second : scaled(second, std, mean));
            }
            for (int64_t b = 0; b < blocks; ++b) {
                std::memcpy(x + i + b * 2 * HALF, u + b * HALF, HALF * sizeof(T));
                std::memcpy(x + i + b * 2 * HALF + HALF, v + b * HALF, HALF * sizeof(T));
            }
        }
    });
}

template <class T> int normal_as(const mytorch_argument *x) {
    const int64_t count = count_of(x[0].array);
    require(count % 16 == 0, "values come in blocks of 16");
    box_muller(elements<T>(x[0].array), count, static_cast<T>(x[1].number), static_cast<T>(x[2].number));
    return 1;
}

int normal(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? normal_as<float>(x) : holds<double>(x[0].array) ? normal_as<double>(x) : 0;
}

}  // namespace

extern const mytorch_kernel draws_kernels[] = {
    {"draw_uniform", "wwff", uniform},
    {"draw_bernoulli", "wwi", bernoulli},
    {"draw_integers", "wwii", integers},
    {"draw_permutation", "ww", permutation},
    {"dropout", "rrfw", dropout},
    {"box_muller", "wff", normal},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
