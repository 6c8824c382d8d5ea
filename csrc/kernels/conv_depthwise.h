// Convolutions in which every output channel sees one input channel: conv_depthwise.cpp.
#ifndef MYTORCH_KERNELS_CONV_DEPTHWISE_H
#define MYTORCH_KERNELS_CONV_DEPTHWISE_H

#include "conv.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

// The first `count` numbers of a vector, `step` apart.
template <class T> MYTORCH_INLINE void put_line(T *to, Vec<T> values, int64_t count, int64_t step) {
    constexpr int W = WIDTH<T>;
    if (step == 1 && count == W) {
        store<T>(to, values);
        return;
    }
    T line[W];
    store<T>(line, values);
    if (step == 1) {
        copy<T, W / 2>(to, line, count);
    } else if (step == 2) {
        spread_even(to, line, count);
    } else {
        for (int64_t i = 0; i < count; ++i) {
            to[i * step] = line[i];
        }
    }
}

// y of (images, channels) planes; plane (n, o) sees plane (n, o / multiplier) of x. The phases write to different places of y.
template <class T>
void depthwise(const Axes *phases, int64_t number, int64_t images, int64_t channels, int64_t multiplier, const T *x, const T *weight,
               const T *bias, T *y);

template <class T>
void depthwise_grad_weight(const Axes &axes, int64_t images, int64_t channels, int64_t multiplier, const T *g, const T *x, T *dw);

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
