// Sine, cosine, the error function and log(1 + x) of vectors. The polynomials were fitted for these intervals by Remez' exchange in
// 40 digits (mpmath), then rounded to float32; each comment says the error before rounding.
#ifndef MYTORCH_KERNELS_FUNCTIONS_H
#define MYTORCH_KERNELS_FUNCTIONS_H

#include "bfloat16.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

constexpr float FAR_TURN = 12000.0f;  // up to here n below has 13 bits at most

// The C library's function, which reduces any number exactly.
template <bool COSINE> __attribute__((noinline)) VecF circle_of_far(VecF x) {
    for (int i = 0; i < WIDTH<float>; ++i) {
        x[i] = COSINE ? std::cos(x[i]) : std::sin(x[i]);
    }
    return x;
}

// sin(x) or cos(x). x = n pi / 2 + r with |r| <= pi / 4, pi / 2 in parts of 8 to 11 bits, whose products with n are exact (Cody and
// Waite 1980, Software Manual for the Elementary Functions, ch. 8): r keeps its digits also where it is small.
template <bool COSINE> MYTORCH_INLINE VecF circle(VecF x) {
    const VecF size = absolute<float>(x);
    if (any(~(size <= FAR_TURN))) {  // NaN and infinity, too
        return circle_of_far<COSINE>(x);
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
    const VecI y = bits_as<VecI>(size < 1.0f ? size + size * p : beyond);
    return bits_as<VecF>(y | (bits_as<VecI>(x) & std::numeric_limits<int32_t>::min()));
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

// -1, 0 or 1; NaN passes.
template <class T> MYTORCH_INLINE Vec<T> sign(Vec<T> x) { return x > T(0) ? all(T(1)) : x < T(0) ? all(T(-1)) : x == T(0) ? Vec<T>{} : x; }

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
