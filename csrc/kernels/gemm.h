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

// The rows x columns corner of a tile: C (+)= A B over `depth`. The panel of A has room for TALL rows. b_step is the distance between
// the rows of B: COLUMNS in a panel, or that of a row-major matrix, of which then a whole vector pair must be readable in each row.
template <class T, int R, Order order, int TALL>
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
            a += blocks ? 1 : TALL;
            b += b_step;
        }
        a += blocks ? (TALL - 1) * W : 0;
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

template <class T, Order order = Order::depth_by_depth, int TALL = ROWS, int R = ROWS>
__attribute__((noinline)) void tile(int rows, int64_t depth, const T *a, const T *b, int64_t b_step, T *c, int64_t c_step, int columns,
                                    Start start) {
    if (rows == R) {
        tile_rows<T, R, order, TALL>(depth, a, b, b_step, c, c_step, columns, start);
    } else if constexpr (R > 1) {
        tile<T, order, TALL, R - 1>(rows, depth, a, b, b_step, c, c_step, columns, start);
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
                continue;
            }
            for (int64_t i = 0; i < WIDE; i += W) {
                store_some(target + i, load_some(source + i, least<int64_t>(W, greatest<int64_t>(0, width - i))), least<int64_t>(W, WIDE - i));
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

// Several panels of lines that are neighbours in memory, `height` lines each: depth by depth, so that what lies together is read
// together. With a line after the other's panel, a stride of a power of two would throw its own cache lines out. A panel with fewer
// than WIDE lines also gets some of the next one's, which no tile reads.
template <class T, int WIDE>
void pack_neighbours(T *to, const T *from, int64_t depth_step, int64_t lines, int64_t height, int64_t depth) {
    for (int64_t p = 0; p < depth; ++p) {
        const T *source = from + p * depth_step;
        T *target = to + p * WIDE;
        for (int64_t line = 0; line < lines; line += height, target += WIDE * depth) {
            if (line + WIDE <= lines) {
                std::memcpy(target, source + line, WIDE * sizeof(T));
            } else {
                for (int64_t i = 0; i < WIDE; ++i) {
                    target[i] = line + i < lines ? source[line + i] : T(0);
                }
            }
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

constexpr int64_t PANELS = 8;  // of A, or of B, that a task multiplies at a time: they stay in the second-level cache

// Panels [first, first + PANELS) of A, `height` rows each, over depth [p, p + deep).
template <class T> void pack_rows(T *to, const Matrix<T> &a, int64_t first, int64_t m, int64_t height, int64_t p, int64_t deep) {
    const int64_t row = first * height;
    if (a.row_step == 1) {
        pack_neighbours<T, ROWS>(to, a.data + row + p * a.column_step, a.column_step, least(PANELS * height, m - row), height, deep);
        return;
    }
    for (int64_t i = row; i < least(row + PANELS * height, m); i += height, to += ROWS * deep) {
        a.pack_left(to, i, least(height, m - i), p, deep);
    }
}

// Columns [begin, end) of B over depth [p, p + deep), panel by panel.
template <class T> void pack_columns(T *to, const Matrix<T> &b, int64_t begin, int64_t end, int64_t p, int64_t deep) {
    for (int64_t j = begin; j < end; j += COLUMNS<T>, to += COLUMNS<T> * deep) {
        b.pack_right(to, j, least<int64_t>(COLUMNS<T>, end - j), p, deep);
    }
}

// The product for an A of at most PANELS panels: it is packed first; then each task packs and multiplies columns of its own.
template <class T>
void multiply_flat(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, int64_t c_step, Start start) {
    const int64_t height = panel_height(m);
    const int64_t rows = (m + height - 1) / height * ROWS;  // of the packed A
    Scratch<T> left(rows * k);
    each_task(m * n * k, (k + DEPTH - 1) / DEPTH, [&](int64_t piece) {
        const int64_t p = piece * DEPTH;
        pack_rows<T>(left + rows * p, a, 0, m, height, p, least(DEPTH, k - p));
    });
    const int64_t panels = (n + COLUMNS<T> - 1) / COLUMNS<T>;
    const int64_t wide = COLUMNS<T> * least(PANELS, greatest<int64_t>(1, panels / 16));
    each_task(m * n * k, (n + wide - 1) / wide, [&](int64_t task) {
        const int64_t j = task * wide;
        const int64_t columns = least(wide, n - j);
        Scratch<T> right(wide * least(k, DEPTH));
        for (int64_t p = 0; p < k; p += DEPTH) {
            const int64_t deep = least(DEPTH, k - p);
            pack_columns<T>(right, b, j, j + columns, p, deep);
            multiply_panels<T>(m, columns, deep, left + rows * p, right, c + j, c_step, p == 0 ? start : Start::keep, height);
        }
    });
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
template <class T> void multiply_by_vectors(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, const Result<T> &to) {
    constexpr int64_t BLOCK = 64 * COLUMNS<T>;  // columns of C at a time
    T *const c = to.c;
    const int64_t c_step = to.c_step;
    const Start start = to.bias != nullptr ? Start::keep : to.start;
    for (int64_t i = 0; to.bias != nullptr && i < m; ++i) {
        if (to.start == Start::keep) {
            map(n, c + i * c_step, [](Vec<T> x, Vec<T> more) { return x + more; }, c + i * c_step, to.bias);
        } else {
            std::memcpy(c + i * c_step, to.bias, static_cast<size_t>(n) * sizeof(T));
        }
    }
    if (k == 0) {
        for (int64_t i = 0; start == Start::zero && i < m; ++i) {
            std::memset(c + i * c_step, 0, static_cast<size_t>(n) * sizeof(T));
        }
        return;
    }
    const int64_t height = panel_height(m);
    const int64_t panels_a = (m + height - 1) / height;
    if (panels_a <= PANELS) {
        multiply_flat(m, n, k, a, b, c, c_step, start);
        return;
    }
    // Where A is tall and B narrow, the tasks that multiply A pack it; otherwise several tasks share its panels, which are packed before.
    const bool tall = panels_a >= 3 * PANELS && n <= 2 * PANELS * COLUMNS<T>;
    const int64_t depth = least(k, DEPTH);
    const int64_t tasks_down = (panels_a + PANELS - 1) / PANELS;
    Scratch<T> left(tall ? 0 : panels_a * ROWS * depth);
    Scratch<T> right(round_up(least(n, BLOCK), COLUMNS<T>) * depth);
    for (int64_t p = 0; p < k; p += depth) {
        const int64_t deep = least(depth, k - p);
        for (int64_t j = 0; j < n; j += BLOCK) {
            const int64_t columns = least(BLOCK, n - j);
            const int64_t left_tasks = j == 0 && !tall ? tasks_down : 0;
            const int64_t few = 4 * COLUMNS<T>;  // columns that one task packs
            each_task(m * n * k, left_tasks + (columns + few - 1) / few, [&](int64_t task) {
                if (task < left_tasks) {
                    pack_rows<T>(left + task * PANELS * ROWS * deep, a, task * PANELS, m, height, p, deep);
                } else {
                    const int64_t begin = (task - left_tasks) * few;
                    pack_columns<T>(right + begin * deep, b, j + begin, j + least(begin + few, columns), p, deep);
                }
            });
            const int64_t wide = tall ? columns : PANELS * COLUMNS<T>;
            each_task(m * n * k, tasks_down * ((columns + wide - 1) / wide), [&](int64_t task) {
                const int64_t panel = task % tasks_down * PANELS;
                const int64_t row = panel * height;
                const int64_t column = task / tasks_down * wide;
                Scratch<T> own(tall ? PANELS * ROWS * deep : 0);
                if (tall) {
                    pack_rows<T>(own, a, panel, m, height, p, deep);
                }
                multiply_panels<T>(least(PANELS * height, m - row), least(wide, columns - column), deep,
                                   tall ? own : left + panel * ROWS * deep, right + column * deep, c + row * c_step + j + column, c_step,
                                   p == 0 ? start : Start::keep, height);
            });
        }
    }
}

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
