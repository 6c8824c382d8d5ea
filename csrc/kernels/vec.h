// Vectors of one register, by the compiler's vector extensions: +, *, <, ?: work element by element. One source for every
// instruction set; only the width differs.
#ifndef MYTORCH_KERNELS_VEC_H
#define MYTORCH_KERNELS_VEC_H

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "array.h"


namespace mytorch {
namespace MYTORCH_VECTORS {

#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
#elif defined(__AVX__)
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif

typedef float VecF __attribute__((vector_size(REGISTER_BYTES)));
typedef double VecD __attribute__((vector_size(REGISTER_BYTES)));
typedef int32_t VecI __attribute__((vector_size(REGISTER_BYTES)));
typedef int64_t VecL __attribute__((vector_size(REGISTER_BYTES)));

// The vector of a number type, and of the integers as wide as it (what comparisons give: -1 for true, 0 for false).
template <class T> struct Vectors;
template <> struct Vectors<float> { using Vec = VecF; using Int = VecI; using Scalar = int32_t; };
template <> struct Vectors<double> { using Vec = VecD; using Int = VecL; using Scalar = int64_t; };
template <> struct Vectors<int32_t> { using Vec = VecI; using Int = VecI; using Scalar = int32_t; };
template <> struct Vectors<int64_t> { using Vec = VecL; using Int = VecL; using Scalar = int64_t; };
template <class T> using Vec = typename Vectors<T>::Vec;
template <class T> using Mask = typename Vectors<T>::Int;

template <class T> constexpr int WIDTH = REGISTER_BYTES / static_cast<int>(sizeof(T));

#define MYTORCH_INLINE inline __attribute__((always_inline))

template <class T> MYTORCH_INLINE Vec<T> load(const T *from) {
    Vec<T> v;
    std::memcpy(&v, from, sizeof(v));  // one unaligned load
    return v;
}

template <class T> MYTORCH_INLINE void store(T *to, Vec<T> v) { std::memcpy(to, &v, sizeof(v)); }

template <class T> MYTORCH_INLINE Vec<T> all(T x) { return x - Vec<T>{}; }  // not a sum: -0.0 + 0.0 is 0.0

// The first `count` elements, the others `fill`.
template <class T> MYTORCH_INLINE Vec<T> load_some(const T *from, int64_t count, T fill = T(0)) {
    Vec<T> v = Vec<T>{} + fill;
#if defined(__AVX512F__)
    const unsigned some = (1u << count) - 1;  // one instruction, where memcpy is a call
    if constexpr (sizeof(T) == 4) {
        return (Vec<T>)_mm512_mask_loadu_epi32((__m512i)v, static_cast<__mmask16>(some), from);
    } else {
        return (Vec<T>)_mm512_mask_loadu_epi64((__m512i)v, static_cast<__mmask8>(some), from);
    }
#else
    std::memcpy(&v, from, static_cast<size_t>(count) * sizeof(T));
    return v;
#endif
}

template <class T> MYTORCH_INLINE void store_some(T *to, Vec<T> v, int64_t count) {
#if defined(__AVX512F__)
    const unsigned some = (1u << count) - 1;
    if constexpr (sizeof(T) == 4) {
        _mm512_mask_storeu_epi32(to, static_cast<__mmask16>(some), (__m512i)v);
    } else {
        _mm512_mask_storeu_epi64(to, static_cast<__mmask8>(some), (__m512i)v);
    }
#else
    std::memcpy(to, &v, static_cast<size_t>(count) * sizeof(T));
#endif
}

// body(0), ... body(N - 1), with numbers that the compiler knows from the start: only so does it keep an array of vectors in registers.
template <class Body, int... K> MYTORCH_INLINE void unroll_over(const Body &body, std::integer_sequence<int, K...>) {
    (body(std::integral_constant<int, K>{}), ...);
}

template <int N, class Body> MYTORCH_INLINE void unroll(const Body &body) { unroll_over(body, std::make_integer_sequence<int, N>{}); }

// Ask for what a loop reads or writes soon: `distance` bytes on. Processors foresee reads within a page, but not those of the next
// page; a loop over arrays that are not in the nearest caches waits there each time, up to half of its time.
constexpr int64_t SOON = 2048;
template <bool WRITES = false> MYTORCH_INLINE void fetch(const void *at, int64_t distance = SOON) {
    __builtin_prefetch(reinterpret_cast<const void *>(reinterpret_cast<uintptr_t>(at) + static_cast<uintptr_t>(distance)), WRITES ? 1 : 0);
}

// y = f(x...) over n elements: `body` takes vectors and returns one; the last one is filled up with zeros. `distance` bytes on is
// what will be worked on next.
template <class T, class Body, class... In>
MYTORCH_INLINE void map_toward(int64_t distance, int64_t n, T *y, const Body &body, const In *...x) {
    constexpr int W = WIDTH<T>;
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        (fetch(x + i, distance), ...);
        fetch<true>(y + i, distance);
        store(y + i, body(load(x + i)...));
    }
    if (i < n) {
        store_some(y + i, body(load_some(x + i, n - i)...), n - i);
    }
}

template <class T, class Body, class... In> MYTORCH_INLINE void map(int64_t n, T *y, const Body &body, const In *...x) {
    map_toward(SOON, n, y, body, x...);
}

// The sum of a vector's elements, half added to half. By value: through memory it would take three times as long.
template <class V> MYTORCH_INLINE auto sum_of(V v) {
    using T = std::remove_reference_t<decltype(v[0] + 0)>;
    if constexpr (sizeof(V) == 2 * sizeof(T)) {
        return v[0] + v[1];
    } else {
        typedef T Half __attribute__((vector_size(sizeof(V) / 2)));
        Half halves[2];
        std::memcpy(halves, &v, sizeof(v));
        return sum_of(halves[0] + halves[1]);
    }
}

#if defined(__clang__)
// GCC's built-in function, which clang lacks: element i is that of the number places[i] in a, or in a followed by b. With places that
// the compiler knows this becomes one instruction too.
template <class V, class Places> MYTORCH_INLINE V __builtin_shuffle(V a, V b, Places places) {
    constexpr int count = sizeof(Places) / sizeof(places[0]);
    V y = a;
#pragma clang loop unroll(full)
    for (int i = 0; i < count; ++i) {
        y[i] = places[i] < count ? a[places[i] % count] : b[places[i] % count];
    }
    return y;
}

template <class V, class Places> MYTORCH_INLINE V __builtin_shuffle(V a, Places places) { return __builtin_shuffle(a, a, places); }
#endif

template <class V> MYTORCH_INLINE V larger(V a, V b) { return a > b ? a : b; }  // b where either is NaN
template <class V> MYTORCH_INLINE V smaller(V a, V b) { return a < b ? a : b; }
template <class V> MYTORCH_INLINE V larger_or_nan(V a, V b) { return (a > b) | (a != a) ? a : b; }

template <class To, class From> MYTORCH_INLINE To bits_as(From v) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    std::memcpy(&to, &v, sizeof(to));
    return to;
}

// a - b of integers that may wrap around.
template <class V> MYTORCH_INLINE V wrapping_difference(V a, V b) {
    using Unsigned = std::make_unsigned_t<std::remove_reference_t<decltype(a[0] + 0)>>;
    typedef Unsigned U __attribute__((vector_size(sizeof(V))));
    return bits_as<V>(bits_as<U>(a) - bits_as<U>(b));
}

// Whether a comparison holds anywhere.
template <class V> MYTORCH_INLINE bool any(V mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#else
    const V none{};
    return std::memcmp(&mask, &none, sizeof(mask)) != 0;
#endif
}

template <class T> MYTORCH_INLINE Vec<T> absolute(Vec<T> v) {
    return bits_as<Vec<T>>(bits_as<Mask<T>>(v) & std::numeric_limits<typename Vectors<T>::Scalar>::max());
}

// y, which has no sign of its own, with that of x.
template <class T> MYTORCH_INLINE Vec<T> signed_as(Vec<T> x, Vec<T> y) {
    return bits_as<Vec<T>>(bits_as<Mask<T>>(y) | (bits_as<Mask<T>>(x) & std::numeric_limits<typename Vectors<T>::Scalar>::min()));
}

template <class T> MYTORCH_INLINE Vec<T> square_root(Vec<T> v) {
    for (int i = 0; i < WIDTH<T>; ++i) {
        v[i] = std::sqrt(v[i]);  // becomes one instruction
    }
    return v;
}

// ---- functions: after Cephes (Moshier) and Muller et al., Handbook of Floating-Point Arithmetic --------------------------------

template <class T> struct ExpConstants;
template <> struct ExpConstants<float> {
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, in the low bits
    static constexpr float log2e = 1.44269504088896341f;
    static constexpr float ln2_high = 0.693359375f;
    static constexpr float ln2_low = -2.12194440e-4f;
    static constexpr float lowest = -104.0f, low = -86.6f, highest = 88.8f;
    static constexpr int mantissa = 23, bias = 127;
};
template <> struct ExpConstants<double> {
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double log2e = 1.4426950408889634074;
    static constexpr double ln2_high = 6.93145751953125e-1;
    static constexpr double ln2_low = 1.42860682030941723212e-6;
    static constexpr double lowest = -746.0, low = -707.6, highest = 709.9;
    static constexpr int mantissa = 52, bias = 1023;
};

template <class T> struct Power {
    Vec<T> p;  // e^r - LESS
    Vec<T> n;
    Mask<T> bits;  // of a number whose last bits are n
};

// e^r by its Taylor polynomial, or e^r - 1, for |r| <= 0.35.
template <class T, int LESS = 0> MYTORCH_INLINE Vec<T> exp_polynomial(Vec<T> r) {
    Vec<T> p;
    if constexpr (sizeof(T) == 4) {
        p = Vec<T>{} + T(1.0 / 5040);
    } else {
        p = Vec<T>{} + T(1.0 / 6227020800.0);
        p = p * r + T(1.0 / 479001600.0);
        p = p * r + T(1.0 / 39916800.0);
        p = p * r + T(1.0 / 3628800.0);
        p = p * r + T(1.0 / 362880.0);
        p = p * r + T(1.0 / 40320.0);
        p = p * r + T(1.0 / 5040);
    }
    p = p * r + T(1.0 / 720);
    p = p * r + T(1.0 / 120);
    p = p * r + T(1.0 / 24);
    p = p * r + T(1.0 / 6);
    p = p * r + T(0.5);
    p = p * r + T(1);
    return LESS == 0 ? p * r + T(1) : p * r;
}

// x = n ln 2 + r with |r| <= 0.35.
template <class T, int LESS = 0> MYTORCH_INLINE Power<T> split_power(Vec<T> x) {
    using C = ExpConstants<T>;
    const Vec<T> shifted = x * C::log2e + C::magic;
    const Vec<T> n = shifted - C::magic;
    Vec<T> r = x - n * C::ln2_high;
    r = r - n * C::ln2_low;
    return {exp_polynomial<T, LESS>(r), n, bits_as<Mask<T>>(shifted)};
}

// 2^(n + more), where that is a normal number.
template <class T> MYTORCH_INLINE Vec<T> scale(Mask<T> bits, int more = 0) {
    using C = ExpConstants<T>;
    using S = typename Vectors<T>::Scalar;
    return bits_as<Vec<T>>((bits + S(C::bias + more)) << S(C::mantissa));  // of the bits above n nothing stays
}

// e^x where some results are below the normal numbers: those are put together from integers, because processors make a long detour
// wherever an operation gives one.
template <class T> __attribute__((noinline)) Vec<T> exp_of_low(Vec<T> x) {
    using C = ExpConstants<T>;
    using I = Mask<T>;
    using S = typename Vectors<T>::Scalar;
    constexpr T least_exponent = 2 - C::bias;
    x = x < C::lowest ? Vec<T>{} + C::lowest : x;
    const Power<T> power = split_power<T>(x);
    const I low = power.n < least_exponent;
    const I bits = low ? bits_as<I>(Vec<T>{} + (C::magic + least_exponent)) : power.bits;
    const Vec<T> y = (power.p + power.p) * scale<T>(bits, -1);
    const I digits = __builtin_convertvector(low ? power.p * (T(2) / std::numeric_limits<T>::epsilon()) : Vec<T>{}, I);
    const I shift = low ? bits - power.bits : I{} + S(1);
    return low ? bits_as<Vec<T>>((digits + ((I{} + S(1)) << (shift - S(1)))) >> shift) : y;
}

// e^x. NaN passes. Error below 2 ulp.
template <class T> MYTORCH_INLINE Vec<T> exp(Vec<T> x) {
    using C = ExpConstants<T>;
    x = x > C::highest ? Vec<T>{} + C::highest : x;
    if (any(x < C::low)) {
        return exp_of_low<T>(x);
    }
    const Power<T> power = split_power<T>(x);
    return (power.p + power.p) * scale<T>(power.bits, -1);  // twice p: float32 has no 2^128
}

// e^x for x <= 0, and 0 where that is below the normal numbers.
template <class T> MYTORCH_INLINE Vec<T> decay(Vec<T> x) {
    const Mask<T> gone = x < T(sizeof(T) == 4 ? -87.3 : -708.3);
    const Power<T> power = split_power<T>(gone ? Vec<T>{} : x);
    return gone ? Vec<T>{} : power.p * scale<T>(power.bits);
}

// 1 / x for x from 1 to 2^120, to the last bit or the one before: an estimate and a step of Newton's method, where dividing takes longer.
template <class T> MYTORCH_INLINE Vec<T> inverse(Vec<T> x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
        const Vec<T> y = (Vec<T>)_mm512_maskz_rcp14_ps(0xffff, (__m512)x);
        return y + y * (T(1) - x * y);
    }
#endif
    return T(1) / x;
}

template <class T> struct Logarithm {
    Vec<T> n;
    Vec<T> high, low;  // log m in two parts
};

// x = 2^n m for x > 0: mantissa m in [sqrt(1/2), sqrt(2)), atanh series in s = (m - 1) / (m + 1): log m = 2 (s + s^3/3 + s^5/5 + ...).
template <class T> MYTORCH_INLINE Logarithm<T> split_log(Vec<T> x) {
    using C = ExpConstants<T>;
    using I = Mask<T>;
    using S = typename Vectors<T>::Scalar;
    constexpr T smallest = std::numeric_limits<T>::min();
    const Mask<T> tiny = x < smallest;  // below the normal numbers: scale up first
    const T scale = sizeof(T) == 4 ? T(33554432.0) : T(18014398509481984.0);  // 2^25, 2^54
    const Vec<T> scaled = tiny ? x * scale : x;
    const I bits = bits_as<I>(scaled);
    const I root_half = bits_as<I>(Vec<T>{} + T(0.70710678118654752440));
    const I e = wrapping_difference(bits, root_half) >> S(C::mantissa);
    const Vec<T> m = bits_as<Vec<T>>(wrapping_difference(bits, e << S(C::mantissa)));
    const Vec<T> s = (m - T(1)) / (m + T(1));
    const Vec<T> z = s * s;
    Vec<T> p;
    if constexpr (sizeof(T) == 4) {
        p = Vec<T>{} + T(2.0 / 9);
    } else {
        p = Vec<T>{} + T(2.0 / 21);
        p = p * z + T(2.0 / 19);
        p = p * z + T(2.0 / 17);
        p = p * z + T(2.0 / 15);
        p = p * z + T(2.0 / 13);
        p = p * z + T(2.0 / 11);
        p = p * z + T(2.0 / 9);
    }
    p = p * z + T(2.0 / 7);
    p = p * z + T(2.0 / 5);
    p = p * z + T(2.0 / 3);
    const Vec<T> n = __builtin_convertvector(e, Vec<T>) - (tiny ? Vec<T>{} + T(sizeof(T) == 4 ? 25 : 54) : Vec<T>{});
    return {n, s * T(2), s * z * p};
}

// y, the logarithm of x to any base above 1 where 0 < x < infinity; what it is elsewhere.
template <class T> MYTORCH_INLINE Vec<T> with_log_edges(Vec<T> x, Vec<T> y) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    y = x == infinity ? x : y;
    y = x == T(0) ? Vec<T>{} - infinity : y;
    return (x < T(0)) | (x != x) ? Vec<T>{} + std::numeric_limits<T>::quiet_NaN() : y;
}

template <class T> MYTORCH_INLINE Vec<T> log(Vec<T> x) {
    using C = ExpConstants<T>;
    const Logarithm<T> part = split_log<T>(x);
    return with_log_edges<T>(x, part.n * C::ln2_high + (part.high + (part.low + part.n * C::ln2_low)));
}

// 1 / (1 + e^-x), from e^-|x|, which cannot overflow. Close to 1 it is right to the last bit, as gates that let all pass want it.
template <class T> MYTORCH_INLINE Vec<T> sigmoid(Vec<T> x) {
    const Vec<T> e = decay<T>(-absolute<T>(x));
    const Vec<T> y = e * inverse<T>(e + T(1));
    return x < T(0) ? y : T(1) - y;
}

// tanh(x): odd; of |x|, with e = e^(-2|x|), (1 - e) / (1 + e) where that is small, from e - 1, which keeps the digits of small x (of
// e^r = 1 + q only q is computed), else 1 - 2 e / (1 + e), which is right to the last bit close to 1.
template <class T> MYTORCH_INLINE Vec<T> tanh(Vec<T> x) {
    using C = ExpConstants<T>;
    Vec<T> y = absolute<T>(x) * T(-2);
    y = y < C::low ? Vec<T>{} + C::low : y;
    const Power<T> power = split_power<T, 1>(y);
    const Vec<T> factor = scale<T>(power.bits);
    const Vec<T> less = power.p * factor + (factor - T(1));
    const Vec<T> over = inverse<T>(less + T(2));
    const Vec<T> size = y < T(-1) ? T(1) - T(2) * (power.p * factor + factor) * over : -less * over;
    return signed_as<T>(x, size);
}

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
