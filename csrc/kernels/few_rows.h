// Products with few rows or columns, in which numbers of B are used too few times to be worth packing: B is read where it lies. For float
// and double, in few_rows.cpp.
#ifndef MYTORCH_KERNELS_FEW_ROWS_H
#define MYTORCH_KERNELS_FEW_ROWS_H

#include "gemm.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

// At most a vector's number of rows of A, packed for multiply_by_columns.
template <class T> void turn_rows(T *to, const Matrix<T> &a, int64_t rows, int64_t depth) {
    pack_panel<T, WIDTH<T>>(to, a.data, a.row_step, a.column_step, rows, depth);
}

// C (+)= A B over columns [begin, end) on this thread, with A as turn_rows leaves it. The columns of B lie along memory, b_step apart.
template <class T>
void multiply_by_columns(int64_t rows, int64_t depth, const T *a, const T *b, int64_t b_step, T *c, int64_t c_step, int64_t begin, int64_t end,
                         Start start);

// The rest is C (m x n) (+)= A B on all threads, C without gaps.

// For an m of few rows (FEW_ROWS at most), and a B whose rows lie along memory.
constexpr int64_t FEW_ROWS = 3 * ROWS;
template <class T> void multiply_few_rows(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, Start start);

// For an m of few vectors (FEW_VECTORS at most), and a B whose columns lie along memory.
template <class T> constexpr int64_t FEW_VECTORS = 3 * WIDTH<T>;
template <class T> void multiply_few_vectors(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, Start start);

// Where the rows of A and the columns of B lie along memory, as in a Linear layer, and one of them are few.
template <class T> void multiply_dots(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, Start start);

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
