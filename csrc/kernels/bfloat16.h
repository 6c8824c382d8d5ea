// bfloat16, the upper half of a float32, as an element type: in memory it is half as wide, in registers it is float32. Kernels that are
// templates of their element type T compute in Number<T>; load() widens and store() rounds, once, to the nearest and of two to the even.
#ifndef MYTORCH_KERNELS_BFLOAT16_H
#define MYTORCH_KERNELS_BFLOAT16_H

#include "vec.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

typedef uint32_t VecU __attribute__((vector_size(REGISTER_BYTES)));
typedef uint16_t Halves __attribute__((vector_size(REGISTER_BYTES / 2)));  // as many numbers as a vector of float32 holds

MYTORCH_INLINE VecF widened(Halves x) { return bits_as<VecF>(__builtin_convertvector(x, VecU) << 16u); }

// Every NaN becomes the same.
MYTORCH_INLINE Halves rounded(VecF x) {
    const VecU bits = bits_as<VecU>(x);
    const VecU nearest = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    return __builtin_convertvector(x != x ? VecU{} + 0x7fc0u : nearest, Halves);
}

struct bfloat16 {
    uint16_t bits;

    bfloat16() = default;
    explicit bfloat16(float x) {
        const uint32_t wide = bits_as<uint32_t>(x);
        bits = static_cast<uint16_t>(x != x ? 0x7fc0u : (wide + 0x7fffu + ((wide >> 16u) & 1u)) >> 16u);
    }
    operator float() const { return bits_as<float>(static_cast<uint32_t>(bits) << 16u); }
};

template <> constexpr int type_number<bfloat16>() { return MYTORCH_BFLOAT16; }
template <> struct Vectors<bfloat16> : Vectors<float> {};
template <> constexpr int WIDTH<bfloat16> = WIDTH<float>;
template <> struct Vectors<uint16_t> { using Scalar = int16_t; };  // its bits, where they are only moved

// What a kernel computes in.
template <class T> struct NumberOf { using Type = T; };
template <> struct NumberOf<bfloat16> { using Type = float; };
template <class T> using Number = typename NumberOf<T>::Type;

template <> MYTORCH_INLINE VecF load<bfloat16>(const bfloat16 *from) {
    Halves v;
    std::memcpy(&v, from, sizeof(v));
    return widened(v);
}

template <> MYTORCH_INLINE void store<bfloat16>(bfloat16 *to, VecF v) {
    const Halves y = rounded(v);
    std::memcpy(to, &y, sizeof(y));
}

template <> MYTORCH_INLINE VecF load_some<bfloat16>(const bfloat16 *from, int64_t count, bfloat16 fill) {
    Halves v = Halves{} + fill.bits;
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    v = (Halves)_mm256_mask_loadu_epi16((__m256i)v, static_cast<__mmask16>((1u << count) - 1), from);  // one instruction, where memcpy is a call
#else
    std::memcpy(&v, from, static_cast<size_t>(count) * sizeof(bfloat16));
#endif
    return widened(v);
}

template <> MYTORCH_INLINE void store_some<bfloat16>(bfloat16 *to, VecF v, int64_t count) {
    const Halves y = rounded(v);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), (__m256i)y);
#else
    std::memcpy(to, &y, static_cast<size_t>(count) * sizeof(bfloat16));
#endif
}

// Run one of the instances of a kernel that is a template, by the type of an array: float32, float64 or bfloat16. The kernel is a
// function of `T *`, which is NULL and only tells the type.
template <class Kernel> int by_type(const mytorch_array &x, const Kernel &kernel) {
    return holds<float>(x)      ? kernel(static_cast<float *>(nullptr))
           : holds<double>(x)   ? kernel(static_cast<double *>(nullptr))
           : holds<bfloat16>(x) ? kernel(static_cast<bfloat16 *>(nullptr))
                                : 0;
}

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
