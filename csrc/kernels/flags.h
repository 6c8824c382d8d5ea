// Bools in memory as masks of vectors.
#ifndef MYTORCH_KERNELS_FLAGS_H
#define MYTORCH_KERNELS_FLAGS_H

#include "vec.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

// A vector's worth of bools.
template <class T> MYTORCH_INLINE Mask<T> flags(const uint8_t *from) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {  // GCC converts bytes one by one
        return (Mask<T>)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i *>(from))) != 0;
    } else {
        return (Mask<T>)_mm512_maskz_cvtepu8_epi64(0xff, _mm_loadl_epi64(reinterpret_cast<const __m128i *>(from))) != 0;
    }
#else
    typename Vectors<T>::Scalar wide[WIDTH<T>];
    for (int i = 0; i < WIDTH<T>; ++i) {
        wide[i] = from[i];
    }
    return load(wide) != 0;
#endif
}

// `count` of them; the others are false.
template <class T> MYTORCH_INLINE Mask<T> flags(const uint8_t *from, int64_t count) {
    uint8_t bytes[WIDTH<T>] = {};
    std::memcpy(bytes, from, static_cast<size_t>(count));
    return flags<T>(bytes);
}

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
