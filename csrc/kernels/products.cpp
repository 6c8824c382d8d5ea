// The bodies of products.h: each shape in its quickest way, large ones by the unit of tiles.h or the packed panels of gemm.h, those of few
// rows or columns without packing B, or as dot products (few_rows.h).
#include "products.h"
#include "few_rows.h"
#include "tile_products.h"

namespace mytorch {
namespace MYTORCH_ISA {

template <class T> void multiply(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, const Result<T> &to) {
#if defined(__AMX_BF16__)
    if constexpr (sizeof(T) == sizeof(float)) {
        if (worth_tiles(m, n, k)) {
            multiply_in_pairs<Amx, float>(m, n, k, {a.data, a.row_step, a.column_step}, {b.data, b.column_step, b.row_step}, to);
            return;
        }
    }
#endif
    multiply_by_vectors<T>(m, n, k, a, b, to);
}

template <class T>
void multiply_quickest(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, const T *bias) {
    constexpr int64_t FEW_DOTS = 2;
    constexpr int64_t FEW_COLUMNS = 16;
    if (m == 0 || n == 0) {
        return;
    }
    const bool dots = (m <= FEW_DOTS || n <= FEW_COLUMNS) && k > 0 && a.column_step == 1 && b.row_step == 1;
    const bool by_rows = m <= FEW_ROWS && k > 0 && b.column_step == 1;
    if (!dots && !by_rows && !(m <= FEW_VECTORS<T> && k > 0 && b.row_step == 1)) {
        multiply<T>(m, n, k, a, b, {c, n, Start::zero, bias});
        return;
    }
    for (int64_t i = 0; bias != nullptr && i < m; ++i) {
        std::memcpy(c + i * n, bias, static_cast<size_t>(n) * sizeof(T));
    }
    const Start start = bias != nullptr ? Start::keep : Start::zero;
    if (dots) {
        multiply_dots(m, n, k, a, b, c, start);
    } else if (by_rows) {
        multiply_few_rows(m, n, k, a, b, c, start);
    } else {
        multiply_few_vectors(m, n, k, a, b, c, start);
    }
}

#define MYTORCH_PRODUCTS(T) \
    template void multiply<T>(int64_t, int64_t, int64_t, const Matrix<T> &, const Matrix<T> &, const Result<T> &); \
    template void multiply_quickest<T>(int64_t, int64_t, int64_t, const Matrix<T> &, const Matrix<T> &, T *, const T *);

MYTORCH_PRODUCTS(float)
MYTORCH_PRODUCTS(double)

}  // namespace MYTORCH_ISA
}  // namespace mytorch
