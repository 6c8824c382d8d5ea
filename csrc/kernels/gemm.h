// The one matrix kernel: a tile of C kept in registers while k runs, and the packing and blocking around it (Goto, van de Geijn 2008;
// Van Zee, van de Geijn 2015: BLIS). Products, convolutions and recurrent layers differ in how they fill the panels.
//
// A panel of A holds ROWS rows, k by k: panel[p * ROWS + r]; a panel of B holds COLUMNS columns: panel[p * COLUMNS + c]. Panels are
// filled up with zeros. C is row-major with any distance between rows. What has no body here is in gemm.cpp, for float and double.
#ifndef MYTORCH_KERNELS_GEMM_H
#define MYTORCH_KERNELS_GEMM_H

#include "vec.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

// With 32 vector registers 14 x 2 hold the tile, with 16 6 x 2 do.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS = 14;
#else
constexpr int ROWS = 6;
#endif
template <class T> constexpr int COLUMNS = 2 * WIDTH<T>;

// k is cut into pieces of about equal length, of which a panel of B and one of A stay in the first-level cache.
inline int64_t depth_of(int64_t k) {
    constexpr int64_t MOST = ROWS > 8 ? 256 : 384;
    const int64_t pieces = greatest<int64_t>(1, (k + MOST - 1) / MOST);
    return round_up((k + pieces - 1) / pieces, 8);
}

// What C holds before a product is added to it.
enum class Start { zero, keep };

// How the rows of A that a tile multiplies lie in memory, and what `a_step` is there. Blocks suit an A that a kernel computes itself,
// vector by vector along k, as the states of recurrent layers are.
enum class Order {
    depth_by_depth,  // a[p * a_step + r]: a panel, or a matrix whose columns lie along memory
    block_by_block,  // blocks of a vector's length W along k, for a_step rows each: a[p / W * a_step * W + r * W + p % W]
    row_by_row,      // a[r * a_step + p]: a matrix whose rows lie along memory
};

// The rows x columns corner of a tile of ROWS x COLUMNS: C (+)= A B (+ bias, a number per column, unless it is NULL) over `depth`; a whole
// tile is read from B. b_step is the distance between the rows of B: COLUMNS in a panel, or that of a row-major matrix.
template <class T, Order order = Order::depth_by_depth>
void tile(int rows, int64_t depth, const T *a, int64_t a_step, const T *b, int64_t b_step, T *c, int64_t c_step, int columns, Start start,
          const T *bias = nullptr);

// How many of its ROWS a panel of A uses, so that all panels are about equally tall: 32 rows are 11 + 11 + 10, not 14 + 14 + 4,
// since a flat tile cannot keep the arithmetic units busy.
inline int64_t panel_height(int64_t rows) {
    const int64_t panels = (rows + ROWS - 1) / ROWS;
    return panels == 0 ? ROWS : (rows + panels - 1) / panels;
}

// ---- panels from matrices of any strides --------------------------------------------------------------------------------------

// Transpose a W x W block in registers: log2 W rounds of exchanging halves, quarters, ... between rows.
template <class T, int S = WIDTH<T> / 2> MYTORCH_INLINE void transpose_block(Vec<T> *rows) {
    constexpr int W = WIDTH<T>;
    typename Vectors<T>::Int low;
    typename Vectors<T>::Int high;
    for (int i = 0; i < W; ++i) {
        low[i] = (i & S) != 0 ? W + i - S : i;
        high[i] = (i & S) != 0 ? W + i : i + S;
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) {
        if ((i & S) == 0) {
            const Vec<T> x = rows[i];
            const Vec<T> y = rows[i + S];
            rows[i] = __builtin_shuffle(x, y, low);
            rows[i + S] = __builtin_shuffle(x, y, high);
        }
    }
    if constexpr (S > 1) {
        transpose_block<T, S / 2>(rows);
    }
}

// One panel of `width` lines (rows of A, or columns of B): to[p * WIDE + line] = from[line * line_step + p * depth_step]. WIDE is ROWS,
// COLUMNS, or a vector's length.
template <class T, int WIDE> void pack_panel(T *to, const T *from, int64_t line_step, int64_t depth_step, int64_t width, int64_t depth);

// A matrix anywhere in memory, strides in elements.
template <class T> struct Matrix {
    const T *data;
    int64_t row_step;
    int64_t column_step;

    // Rows [i, i + rows) and depth [p, p + depth) as the left factor.
    void pack_left(T *to, int64_t i, int64_t rows, int64_t p, int64_t depth) const {
        pack_panel<T, ROWS>(to, data + i * row_step + p * column_step, row_step, column_step, rows, depth);
    }
    // Columns [j, j + columns) and depth [p, p + depth) as the right factor.
    void pack_right(T *to, int64_t j, int64_t columns, int64_t p, int64_t depth) const {
        pack_panel<T, COLUMNS<T>>(to, data + p * row_step + j * column_step, column_step, row_step, columns, depth);
    }
};

// Run body(i) for i in [0, count), on all threads if a product of that many multiplications is worth waking them.
template <class Body> void each_task(int64_t multiplications, int64_t count, const Body &body) {
    if (multiplications >= 1 << 20) {
        parallel(count, body);
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        body(i);
    }
}

// Where a product goes, what is there before, and a number per column that is added, unless it is NULL.
template <class T> struct Result {
    T *c;
    int64_t c_step;
    Start start;
    const T *bias;

    // The part from a row and column on; what is there before and the bias count once.
    Result at(int64_t row, int64_t column, bool first = true) const {
        return {c + row * c_step + column, c_step, first ? start : Start::keep, first && bias != nullptr ? bias + column : nullptr};
    }
};

// C (m x n) (+)= A (m x k) B (k x n) (+ bias) on all threads. The pieces depend on m, n and k alone, and the pieces of k are added in order,
// so that every number of threads gives the same bits.
template <class T> void multiply_by_vectors(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, const Result<T> &to);

// C (m x n) (+)= A (m x k) B (k x n) on this thread, for so small an m that numbers of B are used too few times to be worth packing: its
// rows, which lie along memory, are read where they are.
template <class T>
void multiply_by_rows(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const T *b, int64_t b_step, T *c, int64_t c_step, Start start);

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
