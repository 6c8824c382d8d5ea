// Trigonometry, exponentials, logarithms, the error function and remainders of vectors.
// The polynomials were fitted for these intervals by Remez' exchange in
// 40 digits (mpmath), then rounded to float32; each comment says the error before rounding.
#ifndef MYTORCH_KERNELS_FUNCTIONS_H
#define MYTORCH_KERNELS_FUNCTIONS_H

#include "bfloat16.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

constexpr float FAR_TURN = 12000.0f;  // up to here n below has 13 bits at most

enum class Turn { sine, cosine, tangent };

// The C library's function, which reduces any number exactly.
template <Turn OF> __attribute__((noinline)) VecF circle_of_far(VecF x) {
    for (int i = 0; i < WIDTH<float>; ++i) {
        x[i] = OF == Turn::sine ? std::sin(x[i]) : OF == Turn::cosine ? std::cos(x[i]) : std::tan(x[i]);
    }
    return x;
}

// sin(x), cos(x) or tan(x). x = n pi / 2 + r with |r| <= pi / 4, pi / 2 in parts of 8 to 11 bits, whose products with n are exact (Cody
// and Waite 1980, Software Manual for the Elementary Functions, ch. 8): r keeps its digits also where it is small.
template <Turn OF> MYTORCH_INLINE VecF circle(VecF x) {
    constexpr bool COSINE = OF == Turn::cosine;
    const VecF size = absolute<float>(x);
    if (any(~(size <= FAR_TURN))) {  // NaN and infinity, too
        return circle_of_far<OF>(x);
    }
    const VecF shifted = size * 0.636619772367581343f + ExpConstants<float>::magic;
    const VecF n = shifted - ExpConstants<float>::magic;
    VecF r = size - n * 1.5703125f;
    r = r - n * 4.837512969970703125e-4f;
    r = r - n * 7.54953362047672271728515625e-8f;
    r = r - n * 2.56334406825708960e-12f;
    const VecF z = r * r;
    const VecF sine = r + r * z * ((z * -0.000195166561554f + 0.00833217354569f) * z - 0.166666548735f);  // 3.6e-9
    const VecF cosine = (z * -0.5f + 1.0f) + z * z * ((z * 2.44377304855e-5f - 0.00138873614535f) * z + 0.0416666467478f);  // 9.6e-11
    const VecI quarter = bits_as<VecI>(shifted) + (COSINE ? 1 : 0);  // the last two bits count
    if constexpr (OF == Turn::tangent) {
        const VecI odd = (quarter & 1) != 0;
        const VecI y = bits_as<VecI>((odd ? -cosine : sine) / (odd ? sine : cosine));
        return bits_as<VecF>(y ^ (bits_as<VecI>(x) & std::numeric_limits<int32_t>::min()));
    }
    const VecI y = bits_as<VecI>((quarter & 1) != 0 ? cosine : sine);
    const VecI turned = (quarter & 2) << 30;  // the other half of the circle: the sign changes
    return bits_as<VecF>(y ^ turned ^ (COSINE ? VecI{} : bits_as<VecI>(x) & std::numeric_limits<int32_t>::min()));
}

// erf(x): up to 1 x + x P(x^2) (relative error 1.2e-9), beyond 1 - e^(-x^2) t Q(t) with t = 1 / (1 + 0.375 |x|) (3e-9). Odd.
MYTORCH_INLINE VecF error_function(VecF x) {
    VecF size = absolute<float>(x);
    size = size > 8.0f ? VecF{} + 8.0f : size;
    const VecF z = size * size;
    VecF p = VecF{} + 7.85386192513e-5f;
    p = p * z - 0.000801019375218f;
    p = p * z + 0.00518832769414f;
    p = p * z - 0.0268538119362f;
    p = p * z + 0.112835851485f;
    p = p * z - 0.376126258242f;
    p = p * z + 0.128379165727f;
    const VecF t = inverse<float>(size * 0.375f + 1.0f);
    VecF q = VecF{} + 0.2716679184f;
    q = q * t + 0.135896323523f;
    q = q * t + 0.140108860042f;
    q = q * t + 0.248144937051f;
    q = q * t + 0.205073102079f;
    const VecF beyond = 1.0f - decay<float>(-z) * t * q;
    return signed_as<float>(x, size < 1.0f ? size + size * p : beyond);
}

// log(1 + x): the logarithm of u = 1 + x as rounded, and what the rounding took, (x - (u - 1)) / u (Higham 2002, Accuracy and Stability
// of Numerical Algorithms, problem 1.5).
template <class T> MYTORCH_INLINE Vec<T> log1p(Vec<T> x) {
    const Vec<T> u = x + T(1);
    const Vec<T> rounded_away = (x - (u - T(1))) / u;
    const Mask<T> simple = (u <= T(0)) | (u > std::numeric_limits<T>::max());  // -inf, NaN and inf come from the logarithm alone
    const Vec<T> y = log<T>(u);
    return x == T(0) ? x : simple ? y : y + rounded_away;  // -0.0 stays
}

// e^x - 1, from 2 (f q + f - 1/2) with f = 2^(n - 1) and e^r = 1 + q: twice a half, since float32 has no 2^128.
template <class T> MYTORCH_INLINE Vec<T> expm1(Vec<T> x) {
    using C = ExpConstants<T>;
    x = x > C::highest ? all(C::highest) : x < C::low ? all(C::low) : x;
    const Power<T> power = split_power<T, 1>(x);
    const Vec<T> f = scale<T>(power.bits, -1);
    const Vec<T> y = power.p * f + (f - T(0.5));
    return x == T(0) ? x : y + y;  // -0.0 stays
}

// 2^x. The power of two comes in two factors, so that results below the normal numbers are rounded once.
template <class T> MYTORCH_INLINE Vec<T> power_of_two(Vec<T> x) {
    using C = ExpConstants<T>;
    constexpr T highest = T(C::bias + 2), lowest = T(-C::bias - C::mantissa - 2);
    x = x > highest ? all(highest) : x < lowest ? all(lowest) : x;
    const Vec<T> shifted = x + C::magic;
    const Mask<T> n = wrapping_difference(bits_as<Mask<T>>(shifted), bits_as<Mask<T>>(all(C::magic)));
    const Mask<T> half = n >> 1;
    const Vec<T> p = exp_polynomial<T>((x - (shifted - C::magic)) * T(0.69314718055994530942));
    return p * scale<T>(half) * scale<T>(n - half);
}

template <class T> MYTORCH_INLINE Vec<T> log2(Vec<T> x) {
    constexpr T log2e = T(1.44269504088896340736);
    const Logarithm<T> part = split_log<T>(x);
    return with_log_edges<T>(x, part.n + (part.high * log2e + part.low * log2e));
}

template <class T> MYTORCH_INLINE Vec<T> log10(Vec<T> x) {
    constexpr T log10e = T(0.43429448190325182765);
    constexpr T high = T(0.30078125), low = T(2.48745663981195213739e-4);  // of log10(2), with n * high exact
    const Logarithm<T> part = split_log<T>(x);
    return with_log_edges<T>(x, part.n * high + (part.high * log10e + (part.low * log10e + part.n * low)));
}

// cosh(x) or sinh(x) = 2 (h +- 1 / (16 h)) with h = e^|x| / 4; sinh of small numbers (e + e / (1 + e)) / 2 with e = e^|x| - 1.
template <class T, bool ODD> MYTORCH_INLINE Vec<T> hyperbola(Vec<T> x) {
    constexpr T highest = sizeof(T) == 4 ? T(89.5) : T(710.5);
    Vec<T> size = absolute<T>(x);
    size = size > highest ? all(highest) : size;
    const Power<T> power = split_power<T, 1>(size);
    const Vec<T> f = scale<T>(power.bits, -2);
    const Vec<T> h = power.p * f + f;
    if constexpr (!ODD) {
        return T(2) * (h + T(0.0625) / h);
    }
    const Mask<T> small = size < T(1);
    const Vec<T> e = T(4) * (power.p * f + (f - T(0.25)));
    const Vec<T> part = (small ? e : all(T(0.0625))) / (small ? e + T(1) : h);
    return signed_as<T>(x, small ? T(0.5) * (e + part) : T(2) * (h - part));
}

// atan(x) for |x| <= 1: x + x z P(z) with z = x^2 (2.6e-9).
MYTORCH_INLINE VecF arc_of_small(VecF x) {
    const VecF z = x * x;
    VecF p = all(-0.00179362401742f);
    p = p * z + 0.0109146158458f;
    p = p * z - 0.031177864194f;
    p = p * z + 0.0579576114693f;
    p = p * z - 0.0840345134076f;
    p = p * z + 0.109521861084f;
    p = p * z - 0.142642417407f;
    p = p * z + 0.199985482895f;
    p = p * z - 0.333332990893f;
    return x + x * z * p;
}

constexpr float HALF_PI = 1.57079637050628662109f, HALF_PI_REST = -4.37113900018624283e-8f;

MYTORCH_INLINE VecF arc_tangent(VecF x) {
    const VecF size = absolute<float>(x);
    const VecI far = size > 1.0f;
    const VecF arc = arc_of_small(far ? 1.0f / size : size);
    return signed_as<float>(x, far ? HALF_PI - (arc - HALF_PI_REST) : arc);
}

// The angle of the point (b, a), from that of the smaller distance to an axis; of points on no side of an axis, the sign of its zero says.
MYTORCH_INLINE VecF angle(VecF a, VecF b) {
    const VecF up = absolute<float>(a), along = absolute<float>(b);
    const VecI steep = up > along;
    const VecF most = steep ? up : along;
    const VecF ratio = up == along ? all(1.0f) : (steep ? along : up) / most;  // of two infinities, too
    const VecF arc = arc_of_small(most == 0.0f ? VecF{} : ratio);
    const VecF first = steep ? HALF_PI - (arc - HALF_PI_REST) : arc;
    const VecF y = bits_as<VecI>(b) < 0 ? 2 * HALF_PI - (first - 2 * HALF_PI_REST) : first;
    return (a != a) | (b != b) ? a + b : signed_as<float>(a, y);
}

// -1, 0 or 1; 0 for NaN, as in torch.
template <class T> MYTORCH_INLINE Vec<T> sign(Vec<T> x) { return x > T(0) ? all(T(1)) : x < T(0) ? all(T(-1)) : Vec<T>{}; }

// The C library's function, which takes any numbers.
inline __attribute__((noinline)) VecF modulus_of_far(VecF a, VecF b) {
    for (int i = 0; i < WIDTH<float>; ++i) {
        a[i] = std::fmod(a[i], b[i]);
    }
    return a;
}

// a - n b, exactly, where n is a / b without its fraction. Up to quotients of 28 bits in float64, which has room for n b: n is the
// nearest integer, and where that was one too many the rest is negative.
MYTORCH_INLINE VecF modulus(VecF a, VecF b) {
    typedef float HalfF __attribute__((vector_size(REGISTER_BYTES / 2)));
    constexpr double magic = ExpConstants<double>::magic;
    const VecF sizes[2] = {absolute<float>(a), absolute<float>(b)};
    HalfF halves[4];
    std::memcpy(halves, sizes, sizeof(sizes));
    VecL far{};
    for (int i = 0; i < 2; ++i) {
        const VecD n = __builtin_convertvector(halves[i], VecD), d = __builtin_convertvector(halves[2 + i], VecD);
        const VecD quotient = n / d;
        far |= ~(quotient < 268435456.0);  // NaN, too
        const VecD whole = (quotient + magic) - magic;
        VecD rest = n - whole * d;
        rest = rest < 0.0 ? rest + d : rest;
        rest = whole == 0.0 ? n : rest;  // also where b is infinite
        halves[i] = __builtin_convertvector(rest, HalfF);
    }
    if (any(far)) {
        return modulus_of_far(a, b);
    }
    VecF y;
    std::memcpy(&y, halves, sizeof(y));
    return signed_as<float>(a, y);
}

// Where a remainder m is not on b's side of zero, and so one b away from Python's.
MYTORCH_INLINE VecI is_other_side(VecF m, VecF b) { return (m != 0.0f) & ((b < 0.0f) ^ (m < 0.0f)); }

MYTORCH_INLINE VecF remainder(VecF a, VecF b) {
    const VecF m = modulus(a, b);
    return is_other_side(m, b) ? m + b : m;
}

// floor(a / b), of the exact quotient as long as float32 has its digits; a / b for b = 0.
MYTORCH_INLINE VecF floor_quotient(VecF a, VecF b) {
    const VecF m = modulus(a, b);
    const VecF quotient = (a - m) / b;
    const VecF near = is_other_side(m, b) ? quotient - 1.0f : quotient;
    VecF y = near;
    for (int i = 0; i < WIDTH<float>; ++i) {
        y[i] = std::floor(y[i]);
    }
    y = near - y > 0.5f ? y + 1.0f : y;
    const VecF ratio = a / b;
    y = near == 0.0f ? signed_as<float>(ratio, VecF{}) : y;
    return b == 0.0f ? ratio : y;
}

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
