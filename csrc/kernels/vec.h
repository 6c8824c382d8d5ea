// Vectors of one register, by the compiler's vector extensions: +, *, <, ?: work element by element. One source for every
// instruction set; only the width differs.
#ifndef MYTORCH_KERNELS_VEC_H
#define MYTORCH_KERNELS_VEC_H

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "array.h"


namespace mytorch {
namespace MYTORCH_ISA {

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

template <class T> MYTORCH_INLINE Vec<T> all(T x) { return Vec<T>{} + x; }  // note: -0.0 becomes 0.0

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

// y = f(x...) over n elements: `body` takes vectors and returns one; the last one is filled up with zeros.
template <class T, class Body, class... In> MYTORCH_INLINE void map(int64_t n, T *y, const Body &body, const In *...x) {
    constexpr int W = WIDTH<T>;
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        store(y + i, body(load(x + i)...));
    }
    if (i < n) {
        store_some(y + i, body(load_some(x + i, n - i)...), n - i);
    }
}

// The sum of a vector's elements, half added to half.
template <class T, int BYTES = REGISTER_BYTES> MYTORCH_INLINE T sum_of(const T *from) {
    if constexpr (BYTES == sizeof(T)) {
        return *from;
    } else {
        typedef T Half __attribute__((vector_size(BYTES / 2)));
        Half low;
        Half high;
        std::memcpy(&low, from, sizeof(low));
        std::memcpy(&high, from + BYTES / 2 / sizeof(T), sizeof(high));
        low += high;
        T part[BYTES / 2 / sizeof(T)];
        std::memcpy(part, &low, sizeof(low));
        return sum_of<T, BYTES / 2>(part);
    }
}

template <class V> MYTORCH_INLINE auto sum_of(V v) {
    using T = std::remove_reference_t<decltype(v[0] + 0)>;
    T whole[sizeof(V) / sizeof(T)];
    std::memcpy(whole, &v, sizeof(v));
    return sum_of<T>(whole);
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

template <class T> MYTORCH_INLINE Vec<T> absolute(Vec<T> v) {
    return bits_as<Vec<T>>(bits_as<Mask<T>>(v) & std::numeric_limits<typename Vectors<T>::Scalar>::max());
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
    static constexpr float lowest = -104.0f, highest = 88.8f;
    static constexpr int mantissa = 23, bias = 127;
};
template <> struct ExpConstants<double> {
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double log2e = 1.4426950408889634074;
    static constexpr double ln2_high = 6.93145751953125e-1;
    static constexpr double ln2_low = 1.42860682030941723212e-6;
    static constexpr double lowest = -746.0, highest = 709.9;
    static constexpr int mantissa = 52, bias = 1023;
};

// exp(x): n = round(x / ln 2), exp(x - n ln 2) by its Taylor polynomial (|r| <= 0.35), times 2^n in two factors, so that results
// below the smallest normal number and above half the largest come out right. NaN passes. Error below 2 ulp.
template <class T> MYTORCH_INLINE Vec<T> exp(Vec<T> x) {
    using C = ExpConstants<T>;
    using I = Mask<T>;
    using S = typename Vectors<T>::Scalar;
    x = x < C::lowest ? Vec<T>{} + C::lowest : x;
    x = x > C::highest ? Vec<T>{} + C::highest : x;
    const Vec<T> shifted = x * C::log2e + C::magic;
    const Vec<T> n = shifted - C::magic;
    Vec<T> r = x - n * C::ln2_high;
    r = r - n * C::ln2_low;
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
    p = p * r + T(1);
    const I exponent = bits_as<I>(shifted) - bits_as<I>(Vec<T>{} + C::magic);
    const I half = exponent >> S(1);
    const I rest = exponent - half;
    p = p * bits_as<Vec<T>>((half + S(C::bias)) << S(C::mantissa));
    return p * bits_as<Vec<T>>((rest + S(C::bias)) << S(C::mantissa));
}

// log(x) for x > 0: mantissa m in [sqrt(1/2), sqrt(2)), atanh series in s = (m - 1) / (m + 1): log m = 2 (s + s^3/3 + s^5/5 + ...).
template <class T> MYTORCH_INLINE Vec<T> log(Vec<T> x) {
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
    Vec<T> y = n * C::ln2_high + (s * T(2) + (s * z * p + n * C::ln2_low));
    constexpr T infinity = std::numeric_limits<T>::infinity();
    y = x == infinity ? x : y;
    y = x == T(0) ? Vec<T>{} - infinity : y;
    return (x < T(0)) | (x != x) ? Vec<T>{} + std::numeric_limits<T>::quiet_NaN() : y;
}

template <class T> MYTORCH_INLINE Vec<T> sigmoid(Vec<T> x) { return T(1) / (exp<T>(-x) + T(1)); }

// tanh(x): odd; for |x| below 0.625 a polynomial in x^2 (Cephes), else 1 - 2 / (exp(2|x|) + 1).
template <class T> MYTORCH_INLINE Vec<T> tanh(Vec<T> x) {
    const Vec<T> size = absolute<T>(x);
    const Vec<T> far = T(1) - T(2) / (exp<T>(size + size) + T(1));
    const Vec<T> z = x * x;
    Vec<T> near;
    if constexpr (sizeof(T) == 4) {
        Vec<T> p = Vec<T>{} - 5.70498872745e-3f;
        p = p * z + 2.06390887954e-2f;
        p = p * z - 5.37397155531e-2f;
        p = p * z + 1.33314422036e-1f;
        p = p * z - 3.33332819422e-1f;
        near = p * z * x + x;
    } else {
        Vec<T> p = Vec<T>{} - 9.64399179425052238628e-1;
        p = p * z - 9.92877231001918586564e1;
        p = p * z - 1.61468768441708447952e3;
        Vec<T> q = z + 1.12811678491632931402e2;
        q = q * z + 2.23548839060100448583e3;
        q = q * z + 4.84406305325125486048e3;
        near = x + x * z * (p / q);
    }
    const Mask<T> sign = bits_as<Mask<T>>(x) & std::numeric_limits<typename Vectors<T>::Scalar>::min();
    return size < T(0.625) ? near : bits_as<Vec<T>>(bits_as<Mask<T>>(far) | sign);
}

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
