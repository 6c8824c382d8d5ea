// A correlation (conv.h) on the vector units: the image is read in place, a row of taps after the other. For float
// and double, in conv_vectors.cpp.
#ifndef MYTORCH_KERNELS_CONV_VECTORS_H
#define MYTORCH_KERNELS_CONV_VECTORS_H

#include "conv.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

// A correlation on the vector units.
template <class T> struct VectorCorrelation : Correlation<T> {
    using Correlation<T>::axes, Correlation<T>::images, Correlation<T>::groups, Correlation<T>::channels, Correlation<T>::rows,
        Correlation<T>::x, Correlation<T>::bias, Correlation<T>::y, Correlation<T>::weight, Correlation<T>::group_step,
        Correlation<T>::row_step, Correlation<T>::channel_step, Correlation<T>::taps, Correlation<T>::depth, Correlation<T>::put;

    int64_t packed_size() const { return panels() * ROWS * depth(); }
    int64_t panels() const { return (rows + ROWS - 1) / ROWS; }
    int64_t first_row(int64_t panel) const { return rows * panel / panels(); }  // panels of about equal height: 16 rows are 8 and 8, not 14 and 2
    // The depth is worked off in pieces of some channels, whose panels stay in the first-level cache.
    int64_t pieces() const { return least(channels, (depth() + 319) / 320); }
    int64_t channels_at_once() const { return (channels + pieces() - 1) / pieces(); }

    // For each group and piece: panels of rows, as gemm.h has them.
    void pack_weight(T *to) const;
    // The outputs of one part of `count` images.
    void product(const T *a, Axes part, int64_t group, int64_t first, int64_t count) const;
};

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
