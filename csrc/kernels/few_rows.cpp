// The bodies of few_rows.h.
#include "few_rows.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

namespace {

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

}  // namespace

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

template <class T> void multiply_few_rows(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, Start start) {
    parallel_ranges(n, greatest<int64_t>(1, (1 << 15) / k) * COLUMNS<T>, [&](int64_t begin, int64_t end) {
        multiply_by_rows<T>(m, end - begin, k, a, b.data + begin, b.row_step, c + begin, n, start);
    });
}

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

namespace {

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

}  // namespace

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

#define MYTORCH_FEW_ROWS(T) \
    template void multiply_by_columns<T>(int64_t, int64_t, const T *, const T *, int64_t, T *, int64_t, int64_t, int64_t, Start); \
    template void multiply_few_rows<T>(int64_t, int64_t, int64_t, const Matrix<T> &, const Matrix<T> &, T *, Start); \
    template void multiply_few_vectors<T>(int64_t, int64_t, int64_t, const Matrix<T> &, const Matrix<T> &, T *, Start); \
    template void multiply_dots<T>(int64_t, int64_t, int64_t, const Matrix<T> &, const Matrix<T> &, T *, Start);

MYTORCH_FEW_ROWS(float)
MYTORCH_FEW_ROWS(double)

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch
