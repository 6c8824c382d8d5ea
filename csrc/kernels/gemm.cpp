// The bodies of gemm.h.
#include "gemm.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

namespace {

// A tile of R rows and COLUMNS columns.
template <class T, int R, Order order>
MYTORCH_INLINE void tile_rows(int64_t depth, const T *a, int64_t a_step, const T *b, int64_t b_step, T *c, int64_t c_step, Start start,
                              const T *bias) {
    constexpr int W = WIDTH<T>;
    Vec<T> sum[R][2];
    for (int r = 0; r < R; ++r) {
        sum[r][0] = sum[r][1] = Vec<T>{};
        fetch<true>(c + r * c_step, 0);
        fetch<true>(c + r * c_step + COLUMNS<T> - 1, 0);
    }
    constexpr bool blocks = order == Order::block_by_block, along = order == Order::row_by_row;
    const T *a_low = a + (along ? R / 2 * a_step : 0);  // the lower half of the rows, so that few registers hold their distances
    for (int64_t done = 0; done < depth; done += blocks ? W : depth) {
        const int64_t count = blocks ? least<int64_t>(W, depth - done) : depth;
        for (int64_t p = 0; p < count; ++p) {
            const Vec<T> left = load(b);
            const Vec<T> right = load(b + W);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const T x = !along ? a[blocks ? r * W : r] : r < R / 2 ? a[r * a_step] : a_low[(r - R / 2) * a_step];
                sum[r][0] += x * left;
                sum[r][1] += x * right;
            }
            a += order == Order::depth_by_depth ? a_step : 1;
            a_low += 1;
            b += b_step;
        }
        a += blocks ? (a_step - 1) * W : 0;
    }
    if (bias != nullptr) {
        const Vec<T> left = load(bias), right = load(bias + W);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            sum[r][0] += left;
            sum[r][1] += right;
        }
    }
    if (start == Start::keep) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            sum[r][0] += load(c + r * c_step);
            sum[r][1] += load(c + r * c_step + W);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        store(c + r * c_step, sum[r][0]);
        store(c + r * c_step + W, sum[r][1]);
    }
}

template <class T, Order order, int R = ROWS>
__attribute__((noinline)) void whole_tile(int rows, int64_t depth, const T *a, int64_t a_step, const T *b, int64_t b_step, T *c, int64_t c_step,
                                          Start start, const T *bias) {
    if (rows == R) {
        tile_rows<T, R, order>(depth, a, a_step, b, b_step, c, c_step, start, bias);
    } else if constexpr (R > 1) {
        whole_tile<T, order, R - 1>(rows, depth, a, a_step, b, b_step, c, c_step, start, bias);
    }
}

}  // namespace

template <class T, Order order>
void tile(int rows, int64_t depth, const T *a, int64_t a_step, const T *b, int64_t b_step, T *c, int64_t c_step, int columns, Start start,
          const T *bias) {
    if (columns == COLUMNS<T>) {
        whole_tile<T, order>(rows, depth, a, a_step, b, b_step, c, c_step, start, bias);
        return;
    }
    T sums[ROWS * COLUMNS<T>];
    whole_tile<T, order>(rows, depth, a, a_step, b, b_step, sums, COLUMNS<T>, Start::zero, nullptr);
    for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < columns; ++i) {
            const T value = sums[r * COLUMNS<T> + i] + (bias != nullptr ? bias[i] : T(0));
            c[r * c_step + i] = start == Start::keep ? value + c[r * c_step + i] : value;
        }
    }
}

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

namespace {

// Panels of lines that are neighbours in memory, `height` lines each, `apart` numbers from one panel to the next: depth by depth, so
// that what lies together is read together. With a line after the other's panel, a stride of a power of two would throw its own cache
// lines out. A panel with fewer than WIDE lines also gets some of the next one's, which no tile reads.
template <class T, int WIDE>
void pack_neighbours(T *to, int64_t apart, const T *from, int64_t depth_step, int64_t lines, int64_t height, int64_t depth) {
    for (int64_t p = 0; p < depth; ++p) {
        const T *source = from + p * depth_step;
        T *target = to + p * WIDE;
        for (int64_t line = 0; line < lines; line += height, target += apart) {
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

constexpr int64_t PANELS = 8;  // of A, or of B, that a task multiplies at a time: they stay in the second-level cache

// The left factor of some tiles, `height` rows each: `apart` numbers lie between the first rows of two of them.
template <class T> struct Left {
    const T *data;
    int64_t height, apart, step;  // step is a tile's a_step
    decltype(&tile<T>) multiply;  // by a tile that reads rows in their order

    // Packed panels, of the rows from `data` on.
    static Left packed(const T *data, int64_t height, int64_t depth) { return {data, height, ROWS * depth, ROWS, tile<T>}; }
    // A matrix where it lies, its rows from `row` on over the depth from p on.
    static Left in_place(const Matrix<T> &a, int64_t height, int64_t row, int64_t p) {
        const T *const first = a.data + row * a.row_step + p * a.column_step;
        return a.column_step == 1 ? Left{first, height, height * a.row_step, a.row_step, tile<T, Order::row_by_row>}
                                  : Left{first, height, height * a.row_step, a.column_step, tile<T>};
    }
    // Is that as quick as packed panels? The rows of a tile, or their columns, lie in lines of the cache of their own, which throw each
    // other out where they are many, or a power of two apart.
    static bool lies_well(const Matrix<T> &a) {
        return ROWS <= 8 && (a.column_step == 1 || (a.row_step == 1 && a.column_step * static_cast<int64_t>(sizeof(T)) % 2048 != 0));
    }
};

// The right factor of some tiles, COLUMNS columns each: `apart` numbers lie between two of them, `step` between their rows.
template <class T> struct Right {
    const T *data;
    int64_t apart, step;

    static Right packed(const T *data, int64_t depth) { return {data, COLUMNS<T> * depth, COLUMNS<T>}; }
};

// C (rows x columns) (+)= A B (+ bias, unless it is NULL), on this thread.
template <class T>
void multiply_tiles(int64_t rows, int64_t columns, int64_t depth, const Left<T> &a, Right<T> b, const Result<T> &to) {
    for (int64_t j = 0; j < columns; j += COLUMNS<T>, b.data += b.apart) {
        const int width = static_cast<int>(least<int64_t>(COLUMNS<T>, columns - j));
        const T *from = a.data;
        for (int64_t i = 0; i < rows; i += a.height, from += a.apart) {
            a.multiply(static_cast<int>(least(a.height, rows - i)), depth, from, a.step, b.data, b.step, to.c + i * to.c_step + j, to.c_step, width,
                       to.start, to.bias == nullptr ? nullptr : to.bias + j);
        }
    }
}

// The rows [row, end) of A over depth [p, p + deep), in panels of `height` rows.
template <class T> void pack_rows(T *to, const Matrix<T> &a, int64_t row, int64_t end, int64_t height, int64_t p, int64_t deep) {
    for (int64_t i = row; i < end; i += height, to += ROWS * deep) {
        a.pack_left(to, i, least(height, end - i), p, deep);
    }
}

// All rows of A over depth [p, p + deep), on all threads, in tasks that read what lies together: rows, or depths.
template <class T> struct LeftPacking {
    const Matrix<T> &a;
    T *to;
    int64_t m, height, p, deep;

    static constexpr int64_t DEPTHS = 32;
    bool by_depth() const { return a.row_step == 1; }
    int64_t tasks() const { return by_depth() ? (deep + DEPTHS - 1) / DEPTHS : (m + PANELS * height - 1) / (PANELS * height); }
    void run(int64_t task) const {
        if (by_depth()) {
            const int64_t first = task * DEPTHS;
            pack_neighbours<T, ROWS>(to + first * ROWS, ROWS * deep, a.data + (p + first) * a.column_step, a.column_step, m, height,
                                     least(DEPTHS, deep - first));
        } else {
            const int64_t row = task * PANELS * height;
            pack_rows<T>(to + task * PANELS * ROWS * deep, a, row, least(m, row + PANELS * height), height, p, deep);
        }
    }
};

// Columns [begin, end) of B over depth [p, p + deep), panel by panel.
template <class T> void pack_columns(T *to, const Matrix<T> &b, int64_t begin, int64_t end, int64_t p, int64_t deep) {
    for (int64_t j = begin; j < end; j += COLUMNS<T>, to += COLUMNS<T> * deep) {
        b.pack_right(to, j, least<int64_t>(COLUMNS<T>, end - j), p, deep);
    }
}

// The product for an A of at most PANELS panels: it is packed first, unless it lies well; then each task packs and multiplies columns
// of its own.
template <class T> void multiply_flat(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, const Result<T> &to) {
    const int64_t height = panel_height(m), depth = depth_of(k);
    const int64_t rows = (m + height - 1) / height * ROWS;  // of the packed A
    const bool in_place = Left<T>::lies_well(a);
    Scratch<T> left(in_place ? 0 : rows * k);
    each_task(m * n * k, in_place ? 0 : (k + depth - 1) / depth, [&](int64_t piece) {
        const int64_t p = piece * depth;
        const LeftPacking<T> packing{a, left + rows * p, m, height, p, least(depth, k - p)};
        for (int64_t task = 0; task < packing.tasks(); ++task) {
            packing.run(task);
        }
    });
    const int64_t panels = (n + COLUMNS<T> - 1) / COLUMNS<T>;
    const int64_t wide = COLUMNS<T> * least(PANELS, greatest<int64_t>(1, panels / 16));
    each_task(m * n * k, (n + wide - 1) / wide, [&](int64_t task) {
        const int64_t j = task * wide;
        const int64_t columns = least(wide, n - j);
        Scratch<T> right(wide * depth);
        for (int64_t p = 0; p < k; p += depth) {
            const int64_t deep = least(depth, k - p);
            pack_columns<T>(right, b, j, j + columns, p, deep);
            const Left<T> from = in_place ? Left<T>::in_place(a, height, 0, p) : Left<T>::packed(left + rows * p, height, deep);
            multiply_tiles<T>(m, columns, deep, from, Right<T>::packed(right, deep), to.at(0, j, p == 0));
        }
    });
}

}  // namespace

template <class T> void multiply_by_vectors(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, const Result<T> &to) {
    constexpr int64_t BLOCK = 64 * COLUMNS<T>;  // columns of C at a time
    const int64_t height = panel_height(m);
    const int64_t panels_a = (m + height - 1) / height;
    if (k == 0) {
        for (int64_t i = 0; i < m; ++i) {
            T *const row = to.c + i * to.c_step;
            for (int64_t j = 0; j < n; ++j) {
                row[j] = (to.start == Start::keep ? row[j] : T(0)) + (to.bias != nullptr ? to.bias[j] : T(0));
            }
        }
        return;
    }
    if (panels_a <= PANELS) {
        multiply_flat(m, n, k, a, b, to);
        return;
    }
    // Where A does not lie well but is tall, and B narrow, the tasks that multiply A pack its rows; otherwise several tasks share its panels,
    // which are packed before.
    const bool in_place = Left<T>::lies_well(a), tall = a.row_step != 1 && panels_a >= 3 * PANELS && n <= 2 * PANELS * COLUMNS<T>;
    const int64_t depth = depth_of(k);
    const int64_t tasks_down = (panels_a + PANELS - 1) / PANELS;
    Scratch<T> left(in_place || tall ? 0 : panels_a * ROWS * depth);
    Scratch<T> right(round_up(least(n, BLOCK), COLUMNS<T>) * depth);
    for (int64_t p = 0; p < k; p += depth) {
        const int64_t deep = least(depth, k - p);
        for (int64_t j = 0; j < n; j += BLOCK) {
            const int64_t columns = least(BLOCK, n - j);
            const LeftPacking<T> packing{a, left, m, height, p, deep};
            const int64_t left_tasks = j == 0 && !in_place && !tall ? packing.tasks() : 0;
            const int64_t few = 4 * COLUMNS<T>;  // columns that one task packs
            each_task(m * n * k, left_tasks + (columns + few - 1) / few, [&](int64_t task) {
                if (task < left_tasks) {
                    packing.run(task);
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
                Scratch<T> own(tall && !in_place ? PANELS * ROWS * deep : 0);
                if (tall && !in_place) {
                    pack_rows<T>(own, a, row, least(m, row + PANELS * height), height, p, deep);
                }
                const Left<T> from = in_place ? Left<T>::in_place(a, height, row, p)
                                              : Left<T>::packed(tall ? own : left + panel * ROWS * deep, height, deep);
                multiply_tiles<T>(least(PANELS * height, m - row), least(wide, columns - column), deep, from,
                                  Right<T>::packed(right + column * deep, deep), to.at(row, j + column, p == 0));
            });
        }
    }
}

template <class T>
void multiply_by_rows(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const T *b, int64_t b_step, T *c, int64_t c_step, Start start) {
    const int64_t height = panel_height(m), depth = depth_of(k);
    const int64_t whole = n / COLUMNS<T> * COLUMNS<T>;  // columns that fill tiles; the others are packed
    const bool in_place = Left<T>::lies_well(a);
    Scratch<T> left(in_place ? 0 : (m + height - 1) / height * ROWS * depth);
    Scratch<T> last(n == whole ? 0 : COLUMNS<T> * depth);
    const Result<T> to = {c, c_step, start, nullptr};
    for (int64_t p = 0; p < k; p += depth) {
        const int64_t deep = least(depth, k - p);
        if (!in_place) {
            pack_rows<T>(left, a, 0, m, height, p, deep);
        }
        const Left<T> from = in_place ? Left<T>::in_place(a, height, 0, p) : Left<T>::packed(left, height, deep);
        multiply_tiles<T>(m, whole, deep, from, {b + p * b_step, COLUMNS<T>, b_step}, to.at(0, 0, p == 0));
        if (whole < n) {
            pack_panel<T, COLUMNS<T>>(last, b + p * b_step + whole, 1, b_step, n - whole, deep);
            multiply_tiles<T>(m, n - whole, deep, from, Right<T>::packed(last, deep), to.at(0, whole, p == 0));
        }
    }
}

// ---- what other files use -------------------------------------------------------------------------------------------------------

#define MYTORCH_TILE(T, ORDER) \
    template void tile<T, ORDER>(int, int64_t, const T *, int64_t, const T *, int64_t, T *, int64_t, int, Start, const T *);
#define MYTORCH_PACK(T, WIDE) template void pack_panel<T, WIDE>(T *, const T *, int64_t, int64_t, int64_t, int64_t);
#define MYTORCH_GEMM(T) \
    MYTORCH_TILE(T, Order::depth_by_depth) \
    MYTORCH_TILE(T, Order::block_by_block) \
    MYTORCH_PACK(T, ROWS) \
    MYTORCH_PACK(T, COLUMNS<T>) \
    MYTORCH_PACK(T, WIDTH<T>) \
    template void multiply_by_vectors<T>(int64_t, int64_t, int64_t, const Matrix<T> &, const Matrix<T> &, const Result<T> &); \
    template void multiply_by_rows<T>(int64_t, int64_t, int64_t, const Matrix<T> &, const T *, int64_t, T *, int64_t, Start);

MYTORCH_GEMM(float)
MYTORCH_GEMM(double)

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch
