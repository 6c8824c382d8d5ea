// Small products on one thread, in which numbers of B are used too few times to be worth packing: B is read where it lies.
#ifndef MYTORCH_KERNELS_FEW_ROWS_H
#define MYTORCH_KERNELS_FEW_ROWS_H

#include "gemm.h"

namespace mytorch {
namespace MYTORCH_ISA {

// Where the rows of B lie along memory, B is read as it is but for the columns that do not fill a tile, and A packed unless it lies well.
// C (m x n) (+)= A (m x k) B (k x n).
template <class T> void multiply_by_rows(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const T *b, int64_t b_step, T *c, int64_t c_step, Start start) {
    const int64_t height = panel_height(m), depth = depth_of(k);
    const int64_t panels = (m + height - 1) / height;
    const int64_t whole = n / COLUMNS<T> * COLUMNS<T>;
    const bool in_place = Left<T>::lies_well(a);
    Scratch<T> left(in_place ? 0 : panels * ROWS * depth);
    Scratch<T> last(n == whole ? 0 : COLUMNS<T> * depth);
    const auto multiply = in_place && a.column_step == 1 ? tile<T, Order::row_by_row> : tile<T>;
    for (int64_t p = 0; p < k; p += depth) {
        const int64_t deep = least(depth, k - p);
        for (int64_t i = 0; !in_place && i < panels; ++i) {
            a.pack_left(left + i * ROWS * deep, i * height, least(height, m - i * height), p, deep);
        }
        const Left<T> from = in_place ? Left<T>::in_place(a, height, 0, p) : Left<T>::packed(left, height, deep);
        for (int64_t j = 0; j < n; j += COLUMNS<T>) {
            const T *right = b + p * b_step + j;
            if (j == whole) {
                pack_panel<T, COLUMNS<T>>(last, right, 1, b_step, n - j, deep);
                right = last;
            }
            for (int64_t i = 0; i < panels; ++i) {
                multiply(static_cast<int>(least(height, m - i * height)), deep, from.data + i * from.apart, from.step, right,
                         j < whole ? b_step : COLUMNS<T>, c + i * height * c_step + j, c_step, static_cast<int>(least<int64_t>(COLUMNS<T>, n - j)),
                         p == 0 ? start : Start::keep, nullptr);
            }
        }
    }
}

// Where the columns of B lie along memory, as those of a Linear layer's weight, the tile in the registers is the transpose of C's: A is
// packed with a vector of rows for each depth. This is a vector's number of columns, `b_step` apart, of which C gets `columns`.
template <class T>
__attribute__((noinline)) void turned_tile(int64_t rows, int64_t depth, const T *a, const T *b, int64_t b_step, T *c, int64_t c_step, int64_t columns,
                                           Start start) {
    constexpr int W = WIDTH<T>;
    constexpr int GROUP = least(W, 4);  // columns that one address register serves
    Vec<T> sum[W];
    const T *first[W / GROUP];
    for (int j = 0; j < W; ++j) {
        sum[j] = Vec<T>{};
        first[j / GROUP] = b + j / GROUP * GROUP * b_step;
    }
    for (int64_t p = 0; p < depth; ++p) {
        const Vec<T> x = load(a + p * W);
#pragma GCC unroll 16
        for (int j = 0; j < W; ++j) {
            sum[j] += first[j / GROUP][j % GROUP * b_step] * x;
        }
#pragma GCC unroll 8
        for (const T *&column : first) {
            ++column;
        }
    }
    transpose_block<T>(sum);
    for (int64_t r = 0; r < rows; ++r) {
        T *const to = c + r * c_step;
        if (columns == W) {
            store(to, start == Start::keep ? load(to) + sum[r] : sum[r]);
        } else {
            store_some(to, start == Start::keep ? load_some(to, columns) + sum[r] : sum[r], columns);
        }
    }
}

// At most a vector's number of rows of A, packed for it.
template <class T> void turn_rows(T *to, const Matrix<T> &a, int64_t rows, int64_t depth) {
    pack_panel<T, WIDTH<T>>(to, a.data, a.row_step, a.column_step, rows, depth);
}

// C (+)= A B over columns [begin, end), with A as turn_rows leaves it.
template <class T>
void multiply_by_columns(int64_t rows, int64_t depth, const T *a, const T *b, int64_t b_step, T *c, int64_t c_step, int64_t begin, int64_t end,
                         Start start) {
    constexpr int W = WIDTH<T>;
    const int64_t piece = depth_of(depth);
    for (int64_t p = 0; p < depth; p += piece) {
        const int64_t deep = least(piece, depth - p);
        const Start now = p == 0 ? start : Start::keep;
        int64_t j = begin;
        for (; j + W <= end; j += W) {
            turned_tile<T>(rows, deep, a + p * W, b + j * b_step + p, b_step, c + j, c_step, W, now);
        }
        if (j < end) {  // the tile reads W columns
            Scratch<T> last(W * deep);
            for (int64_t i = 0; i < W; ++i) {
                std::memcpy(last + i * deep, b + least(j + i, end - 1) * b_step + p, static_cast<size_t>(deep) * sizeof(T));
            }
            turned_tile<T>(rows, deep, a + p * W, last, deep, c + j, c_step, end - j, now);
        }
    }
}

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
