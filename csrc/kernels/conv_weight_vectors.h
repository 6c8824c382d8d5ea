// The gradient of a convolution's weight on the vector units. For float and double, in conv_weight_vectors.cpp.
#ifndef MYTORCH_KERNELS_CONV_WEIGHT_VECTORS_H
#define MYTORCH_KERNELS_CONV_WEIGHT_VECTORS_H

#include "conv.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

// dw (groups * rows, channels, *) of g (images, groups * rows, *) and x (images, groups * channels, *).
template <class T>
void grad_weight_by_vectors(const Axes &axes, int64_t images, int64_t groups, int64_t channels, int64_t rows, const T *g, const T *x, T *dw);

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
