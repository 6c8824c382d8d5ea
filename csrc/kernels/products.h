// Products on all threads, each shape in its quickest way: large ones by the unit of tiles.h or the packed panels of gemm.h, those of few
// rows or columns without packing B (few_rows.h), or as dot products.
#ifndef MYTORCH_KERNELS_PRODUCTS_H
#define MYTORCH_KERNELS_PRODUCTS_H

#include "few_rows.h"
#include "tile_products.h"

namespace mytorch {
namespace MYTORCH_ISA {

// With few rows every number of B is used a few times only.
constexpr int64_t FEW_ROWS = 3 * ROWS;
template <class T> constexpr int64_t FEW_VECTORS = 3 * WIDTH<T>;

// C (+)= A B for at most FEW_ROWS rows and a B whose rows lie along memory.
template <class T> void multiply_few_rows(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, Start start) {
    parallel_ranges(n, greatest<int64_t>(1, (1 << 15) / k) * COLUMNS<T>, [&](int64_t begin, int64_t end) {
        multiply_by_rows<T>(m, end - begin, k, a, b.data + begin, b.row_step, c + begin, n, start);
    });
}

// The same for at most FEW_VECTORS rows and a B whose columns lie along memory.
template <class T> void multiply_few_vectors(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, Start start) {
    constexpr int64_t W = WIDTH<T>;
    Scratch<T> left(round_up(m, W) * k);
    for (int64_t i = 0; i < m; i += W) {
        turn_rows<T>(left + i * k, {a.data + i * a.row_step, a.row_step, a.column_step}, least(W, m - i), k);
    }
    parallel_ranges(n, round_up((1 << 19) / (round_up(m, W) * k) + 1, W), [&](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < m; i += W) {
            multiply_by_columns<T>(least(W, m - i), k, left + i * k, b.data, b.column_step, c + i * n, n, begin, end, start);
        }
    });
}

// N columns of B, whose numbers lie along memory, against M rows of A.
template <class T, int M, int N> void dots(int64_t k, const T *a, int64_t a_step, const T *b, int64_t b_step, T *c, int64_t c_step, Start start) {
    constexpr int W = WIDTH<T>;
    Vec<T> sum[M][N] = {};
    int64_t p = 0;
    for (; p + W <= k; p += W) {
        for (int j = 0; j < N; ++j) {
            const Vec<T> column = load(b + j * b_step + p);
            for (int i = 0; i < M; ++i) {
                sum[i][j] += load(a + i * a_step + p) * column;
            }
        }
    }
    if (p < k) {
        for (int j = 0; j < N; ++j) {
            const Vec<T> column = load_some(b + j * b_step + p, k - p);
            for (int i = 0; i < M; ++i) {
                sum[i][j] += load_some(a + i * a_step + p, k - p) * column;
            }
        }
    }
    for (int i = 0; i < M; ++i) {
        for (int j = 0; j < N; ++j) {
            T &to = c[i * c_step + j];
            to = start == Start::keep ? to + sum_of(sum[i][j]) : sum_of(sum[i][j]);
        }
    }
}

// The same for all columns and rows [0, M).
template <class T, int M> void dots_of_rows(int64_t n, int64_t k, const T *a, int64_t a_step, const T *b, int64_t b_step, T *c, int64_t c_step,
                                            Start start) {
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) {
        dots<T, M, 4>(k, a, a_step, b + j * b_step, b_step, c + j, c_step, start);
    }
    for (; j < n; ++j) {
        dots<T, M, 1>(k, a, a_step, b + j * b_step, b_step, c + j, c_step, start);
    }
}

// C (+)= A B where the rows of A and the columns of B lie along memory, as in a Linear layer, and one of them are few.
template <class T> void multiply_dots(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, Start start) {
    constexpr int64_t WORK = 1 << 16;  // multiplications of one task
    const int64_t wide = least(n, round_up(greatest<int64_t>(1, WORK / k), 4));
    const int64_t tall = round_up(greatest<int64_t>(1, WORK / (k * wide)), 4);
    const int64_t down = (m + tall - 1) / tall;
    const int64_t across = (n + wide - 1) / wide;
    parallel(down * across, [&](int64_t task) {
        const int64_t j = task / down * wide;
        const int64_t columns = least(wide, n - j);
        const T *right = b.data + j * b.column_step;
        const int64_t end = least(m, (task % down + 1) * tall);
        int64_t i = task % down * tall;
        for (; i + 4 <= end; i += 4) {
            dots_of_rows<T, 4>(columns, k, a.data + i * a.row_step, a.row_step, right, b.column_step, c + i * n + j, n, start);
        }
        for (; i < end; ++i) {
            dots_of_rows<T, 1>(columns, k, a.data + i * a.row_step, a.row_step, right, b.column_step, c + i * n + j, n, start);
        }
    });
}

// C (m x n) = A (m x k) B (k x n) (+ bias, a number per column, unless it is NULL), C without gaps; in the way that is quickest for these
// sizes and strides, on all threads. Every number of threads gives the same bits.
template <class T>
void multiply_quickest(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, const T *bias = nullptr) {
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

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
