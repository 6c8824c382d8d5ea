// float16 as an element type, where the processor converts it. Only conversions know it: the header of the instructions takes long to read.
#ifndef MYTORCH_KERNELS_FLOAT16_H
#define MYTORCH_KERNELS_FLOAT16_H

#include "bfloat16.h"

#if defined(__F16C__)
#include <immintrin.h>

namespace mytorch {
namespace MYTORCH_VECTORS {

enum class float16 : uint16_t {};

template <> constexpr int type_number<float16>() { return MYTORCH_FLOAT16; }
template <> struct Vectors<float16> : Vectors<float> {};
template <> constexpr int WIDTH<float16> = WIDTH<float>;

MYTORCH_INLINE VecF widened_float16(Halves v) {
#if defined(__AVX512F__)
    return (VecF)_mm512_cvtph_ps((__m256i)v);
#else
    return (VecF)_mm256_cvtph_ps((__m128i)v);
#endif
}

MYTORCH_INLINE Halves rounded_to_float16(VecF v) {
#if defined(__AVX512F__)
    return (Halves)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT);
#else
    return (Halves)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#endif
}

template <> MYTORCH_INLINE VecF load<float16>(const float16 *from) {
    Halves v;
    std::memcpy(&v, from, sizeof(v));
    return widened_float16(v);
}

template <> MYTORCH_INLINE void store<float16>(float16 *to, VecF v) {
    const Halves y = rounded_to_float16(v);
    std::memcpy(to, &y, sizeof(y));
}

template <> MYTORCH_INLINE VecF load_some<float16>(const float16 *from, int64_t count, float16 fill) {
    Halves v = Halves{} + static_cast<uint16_t>(fill);
    std::memcpy(&v, from, static_cast<size_t>(count) * sizeof(float16));
    return widened_float16(v);
}

template <> MYTORCH_INLINE void store_some<float16>(float16 *to, VecF v, int64_t count) {
    const Halves y = rounded_to_float16(v);
    std::memcpy(to, &y, static_cast<size_t>(count) * sizeof(float16));
}

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif

#endif
