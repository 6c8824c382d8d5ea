// The one matrix kernel: a tile of C kept in registers while k runs, and the packing and blocking around it (Goto, van de Geijn 2008;
// Van Zee, van de Geijn 2015: BLIS). Products, convolutions and recurrent layers differ in how they fill the panels.
//
// A panel of A holds ROWS rows, k by k: panel[p * ROWS + r]; a panel of B holds COLUMNS columns: panel[p * COLUMNS + c]. Panels are
// filled up with zeros. C is row-major with any distance between rows.
#ifndef MYTORCH_KERNELS_GEMM_H
#define MYTORCH_KERNELS_GEMM_H

#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

// With 32 vector registers 14 x 2 hold the tile, with 16 6 x 2 do.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS = 14;
#else
constexpr int ROWS = 6;
#endif
template <class T> constexpr int COLUMNS = 2 * WIDTH<T>;

constexpr int64_t DEPTH = 256;  // k is cut into pieces: a panel of B (32 KiB) stays in the first-level cache

// What C holds before a product is added to it.
enum class Start { zero, keep };

// How a panel of A lies in memory: k by k, or in blocks of a vector's length W along k, in each row by row: panel[p / W * ROWS * W +
// r * W + p % W]. Blocks suit an A that a kernel computes itself, vector by vector along k, as the states of recurrent layers are.
enum class Order { depth_by_depth, block_by_block };

// The rows x columns corner of a tile: C (+)= A B over `depth`. b_step is the distance between the rows of B: COLUMNS in a panel, or
// that of a row-major matrix, of which then a whole vector pair must be readable in each row.
template <class T, int R, Order order>
MYTORCH_INLINE void tile_rows(int64_t depth, const T *a, const T *b, int64_t b_step, T *c, int64_t c_step, int columns, Start start) {
    constexpr int W = WIDTH<T>;
    Vec<T> sum[R][2];
    for (int r = 0; r < R; ++r) {
        sum[r][0] = sum[r][1] = Vec<T>{};
    }
    constexpr bool blocks = order == Order::block_by_block;
    for (int64_t done = 0; done < depth; done += blocks ? W : depth) {
        const int64_t count = blocks ? least<int64_t>(W, depth - done) : depth;
        for (int64_t p = 0; p < count; ++p) {
            const Vec<T> left = load(b);
            const Vec<T> right = load(b + W);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const T x = a[blocks ? r * W : r];
                sum[r][0] += x * left;
                sum[r][1] += x * right;
            }
            a += blocks ? 1 : ROWS;
            b += b_step;
        }
        a += blocks ? (ROWS - 1) * W : 0;
    }
    if (columns == COLUMNS<T>) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            T *row = c + r * c_step;
            store(row, start == Start::keep ? sum[r][0] + load(row) : sum[r][0]);
            store(row + W, start == Start::keep ? sum[r][1] + load(row + W) : sum[r][1]);
        }
        return;
    }
    for (int r = 0; r < R; ++r) {
        T *row = c + r * c_step;
        T line[2 * W];
        store(line, sum[r][0]);
        store(line + W, sum[r][1]);
        for (int i = 0; i < columns; ++i) {
            row[i] = start == Start::keep ? line[i] + row[i] : line[i];
        }
    }
}

template <class T, Order order = Order::depth_by_depth, int R = ROWS>
__attribute__((noinline)) void tile(int rows, int64_t depth, const T *a, const T *b, int64_t b_step, T *c, int64_t c_step, int columns,
                                    Start start) {
    if (rows == R) {
        tile_rows<T, R, order>(depth, a, b, b_step, c, c_step, columns, start);
    } else if constexpr (R > 1) {
        tile<T, order, R - 1>(rows, depth, a, b, b_step, c, c_step, columns, start);
    }
}

// How many of its ROWS a panel of A uses, so that all panels are about equally tall: 32 rows are 11 + 11 + 10, not 14 + 14 + 4,
// since a flat tile cannot keep the arithmetic units busy.
inline int64_t panel_height(int64_t rows) {
    const int64_t panels = (rows + ROWS - 1) / ROWS;
    return panels == 0 ? ROWS : (rows + panels - 1) / panels;
}

// C (rows x columns) (+)= packed panels of A, each with `height` rows, times packed panels of B, on this thread.
template <class T>
void multiply_panels(int64_t rows, int64_t columns, int64_t depth, const T *a, const T *b, T *c, int64_t c_step, Start start,
                     int64_t height = ROWS) {
    for (int64_t j = 0; j < columns; j += COLUMNS<T>) {
        const int width = static_cast<int>(least<int64_t>(COLUMNS<T>, columns - j));
        const T *panel = a;
        for (int64_t i = 0; i < rows; i += height, panel += ROWS * depth) {
            const int tall = static_cast<int>(least(height, rows - i));
            tile<T>(tall, depth, panel, b + j * depth, COLUMNS<T>, c + i * c_step + j, c_step, width, start);
        }
    }
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

// One panel of `width` lines (rows of A, or columns of B): to[p * WIDE + line] = from[line * line_step + p * depth_step].
template <class T, int WIDE>
void pack_panel(T *to, const T *from, int64_t line_step, int64_t depth_step, int64_t width, int64_t depth) {
    constexpr int W = WIDTH<T>;
    if (line_step == 1) {
        for (int64_t p = 0; p < depth; ++p) {
            const T *source = from + p * depth_step;
            T *target = to + p * WIDE;
            if (width == WIDE) {
                std::memcpy(target, source, WIDE * sizeof(T));
            } else {
                for (int64_t i = 0; i < WIDE; ++i) {
                    target[i] = i < width ? source[i] : T(0);
                }
            }
        }
        return;
    }
    int64_t done = 0;
    if (depth_step == 1) {  // lines lie along memory: transpose blocks of W lines
        for (; done + W <= depth; done += W) {
            for (int64_t first = 0; first < WIDE; first += W) {
                Vec<T> block[W];
                for (int i = 0; i < W; ++i) {
                    block[i] = first + i < width ? load(from + (first + i) * line_step + done) : Vec<T>{};
                }
                transpose_block<T>(block);
                const int64_t kept = least<int64_t>(W, WIDE - first);
                for (int i = 0; i < W; ++i) {
                    T *target = to + (done + i) * WIDE + first;
                    // A panel narrower than a vector: what is written beyond a row, the next row overwrites.
                    if (kept == W || (WIDE < W && done + i + 1 < depth)) {
                        store(target, block[i]);
                    } else {
                        store_some(target, block[i], kept);
                    }
                }
            }
        }
    }
    for (int64_t p = done; p < depth; ++p) {
        for (int64_t i = 0; i < WIDE; ++i) {
            to[p * WIDE + i] = i < width ? from[i * line_step + p * depth_step] : T(0);
        }
    }
}

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

// C (m x n) (+)= A (m x k) B (k x n) on all threads. `Left` and `Right` fill panels as Matrix does. The pieces depend on m, n and k
// alone, and the pieces of k are added in order, so that every number of threads gives the same bits.
template <class T, class Left, class Right>
void multiply(int64_t m, int64_t n, int64_t k, const Left &a, const Right &b, T *c, int64_t c_step, Start start) {
    constexpr int64_t WIDE = 8 * COLUMNS<T>;
    constexpr int64_t BLOCK = 8 * WIDE;  // columns of C at a time
    if (k == 0) {
        for (int64_t i = 0; start == Start::zero && i < m; ++i) {
            std::memset(c + i * c_step, 0, static_cast<size_t>(n) * sizeof(T));
        }
        return;
    }
    const int64_t depth = least(k, DEPTH);
    const int64_t height = panel_height(m);
    const int64_t panels_a = (m + height - 1) / height;
    Scratch<T> left(panels_a * ROWS * depth);
    Scratch<T> right(round_up(least(n, BLOCK), COLUMNS<T>) * depth);
    const bool alone = m * n * k < 1 << 19;  // below this a second thread costs more than it brings
    const auto each = [&](int64_t count, const auto &body) {
        if (alone) {
            for (int64_t i = 0; i < count; ++i) {
                body(i);
            }
        } else {
            parallel(count, body);
        }
    };
    for (int64_t p = 0; p < k; p += depth) {
        const int64_t deep = least(depth, k - p);
        const Start begin = p == 0 ? start : Start::keep;
        for (int64_t j = 0; j < n; j += BLOCK) {
            const int64_t columns = least(BLOCK, n - j);
            const int64_t panels_b = (columns + COLUMNS<T> - 1) / COLUMNS<T>;
            const int64_t left_tasks = j == 0 ? (panels_a + 7) / 8 : 0;
            const int64_t right_tasks = (panels_b + 3) / 4;
            each(left_tasks + right_tasks, [&](int64_t task) {
                if (task < left_tasks) {
                    for (int64_t i = task * 8; i < least(task * 8 + 8, panels_a); ++i) {
                        a.pack_left(left + i * ROWS * deep, i * height, least(height, m - i * height), p, deep);
                    }
                    return;
                }
                const int64_t first = (task - left_tasks) * 4;
                for (int64_t i = first; i < least(first + 4, panels_b); ++i) {
                    const int64_t column = i * COLUMNS<T>;
                    b.pack_right(right + column * deep, j + column, least<int64_t>(COLUMNS<T>, columns - column), p, deep);
                }
            });
            const int64_t tasks_down = (panels_a + 7) / 8;
            const int64_t tasks_across = (columns + WIDE - 1) / WIDE;
            each(tasks_down * tasks_across, [&](int64_t task) {
                const int64_t panel = task % tasks_down * 8;
                const int64_t row = panel * height;
                const int64_t column = task / tasks_down * WIDE;
                multiply_panels(least(8 * height, m - row), least(WIDE, columns - column), deep, left + panel * ROWS * deep,
                                right + column * deep, c + row * c_step + j + column, c_step, begin, height);
            });
        }
    }
}

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
