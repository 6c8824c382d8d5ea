// Copies: of arrays whose dimensions were permuted, into order (blocks of registers are transposed), and of arrays into a part of another.
#include "gemm.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr int MOST = 8;

// The dimensions of x as few as say the same, the innermost last; steps are in elements.
struct Walk {
    int ndim = 0;
    int64_t shape[MOST], step_x[MOST], step_y[MOST];
};

bool plan(const mytorch_array &x, Walk &walk) {
    for (int i = 0; i < x.ndim; ++i) {
        const int64_t size = x.shape[i], along = step(x, i);
        const int last = walk.ndim - 1;
        if (size == 1) {
            continue;
        }
        if (last >= 0 && walk.step_x[last] == along * size) {
            walk.shape[last] *= size;
            walk.step_x[last] = along;
        } else if (walk.ndim == MOST) {
            return false;
        } else {
            walk.shape[walk.ndim] = size;
            walk.step_x[walk.ndim++] = along;
        }
    }
    int64_t along = 1;
    for (int i = walk.ndim - 1; i >= 0; --i) {
        walk.step_y[i] = along;
        along *= walk.shape[i];
    }
    return true;
}

// y[i * step_y + j] = x[i + j * step_x] for i < rows, j < columns.
template <class T> void transpose(int64_t rows, int64_t columns, const T *x, int64_t step_x, T *y, int64_t step_y) {
    constexpr int W = WIDTH<T>;
    const int64_t whole_rows = rows / W * W, whole_columns = columns / W * W;
    for (int64_t j = 0; j < whole_columns; j += W) {
        for (int64_t i = 0; i < whole_rows; i += W) {
            Vec<T> block[W];
            for (int k = 0; k < W; ++k) {
                block[k] = load(x + i + (j + k) * step_x);
            }
            transpose_block<T>(block);
            for (int k = 0; k < W; ++k) {
                store(y + (i + k) * step_y + j, block[k]);
            }
        }
    }
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) {
            y[i * step_y + j] = x[i + j * step_x];
        }
    }
}

// A row of n numbers that lies along memory.
template <class T> MYTORCH_INLINE void copy_row(int64_t n, const T *from, T *to) {
    if constexpr (sizeof(T) == sizeof(uint16_t)) {
        std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    } else {
        map(n, to, [](Vec<T> v) { return v; }, from);
    }
}

template <class T> int copy_typed(const mytorch_array &x, const mytorch_array &y) {
    require(same_shape(x, y) && is_contiguous(y) && x.itemsize == y.itemsize, "x and y have one shape, and y lies in order");
    Walk walk;
    if (count_of(x) == 0) {
        return 1;
    }
    if (!plan(x, walk) || walk.ndim < 2) {
        return 0;
    }
    // Rows of y are taken together along one more dimension: the one that lies along x, or if rows of both do, the next.
    const int inner = walk.ndim - 1;
    const bool in_rows = walk.step_x[inner] == 1;
    int row = in_rows ? inner - 1 : -1;
    for (int i = 0; !in_rows && i < inner; ++i) {
        row = walk.step_x[i] == 1 ? i : row;
    }
    if (row < 0 || (sizeof(T) == sizeof(uint16_t) && !in_rows)) {
        return 0;
    }
    const int64_t length = walk.shape[inner], rows = walk.shape[row], step_x = walk.step_x[row], step_y = walk.step_y[row];
    const int64_t share = least(rows, greatest<int64_t>(in_rows ? 1 : 64, GRAIN / length));  // rows of a task
    const int64_t parts = (rows + share - 1) / share, others = count_of(x) / length / rows;
    const T *from = static_cast<const T *>(x.data);
    T *to = static_cast<T *>(y.data);
    parallel_ranges(others * parts, greatest<int64_t>(1, GRAIN / (share * length)), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t first = task % parts * share, count = least(share, rows - first);
            int64_t rest = task / parts, at_x = first * step_x, at_y = first * step_y;
            for (int i = inner - 1; i >= 0; --i) {
                if (i != row) {
                    const int64_t at = rest % walk.shape[i];
                    rest /= walk.shape[i];
                    at_x += at * walk.step_x[i];
                    at_y += at * walk.step_y[i];
                }
            }
            if constexpr (sizeof(T) > sizeof(uint16_t)) {
                if (!in_rows) {
                    transpose(count, length, from + at_x, walk.step_x[inner], to + at_y, step_y);
                }
            }
            for (int64_t i = 0; in_rows && i < count; ++i) {
                copy_row(length, from + (at_x + i * step_x), to + (at_y + i * step_y));
            }
        }
    });
    return 1;
}

// Elements of 4 and 8 bytes, whatever they stand for: nothing is computed. Of 2 bytes, if their rows lie along memory.
int copy(const mytorch_argument *x) {
    const mytorch_array &from = x[0].array, &to = x[1].array;
    return from.itemsize == 4 ? copy_typed<float>(from, to) : from.itemsize == 8 ? copy_typed<double>(from, to)
         : from.itemsize == 2 ? copy_typed<uint16_t>(from, to) : 0;
}

// y[:, begin:begin + n, :] = x, where x is (outer, n, inner) and y (outer, all, inner): rows of n * inner numbers go into longer ones.
template <class T> int put_typed(const mytorch_array &x, const mytorch_array &y, int64_t outer, int64_t begin) {
    require(is_contiguous(x) && is_contiguous(y) && x.itemsize == y.itemsize && outer > 0 && begin >= 0, "x and y lie in order");
    const int64_t count = count_of(x), all = count_of(y);
    require(count % outer == 0 && all % outer == 0 && begin <= all / outer - count / outer, "a row of x fits into a row of y");
    const int64_t length = count / outer, longer = all / outer;
    const T *from = static_cast<const T *>(x.data);
    T *to = static_cast<T *>(y.data) + begin;
    const int64_t piece = greatest<int64_t>(1, least(length, GRAIN)), pieces = (length + piece - 1) / piece;
    parallel_ranges(outer * pieces, greatest<int64_t>(1, GRAIN / piece), [&](int64_t first, int64_t end) {
        for (int64_t i = first; i < end; ++i) {
            const int64_t row = i / pieces, at = i % pieces * piece, n = least(piece, length - at);
            const int64_t next = pieces > 1 ? SOON : longer * static_cast<int64_t>(sizeof(T));
            for (int64_t k = 0; k + WIDTH<T> <= n; k += WIDTH<T>) {
                fetch<true>(to + (row * longer + at + k), next);
            }
            copy_row(n, from + (row * length + at), to + (row * longer + at));
        }
    });
    return 1;
}

int put(const mytorch_argument *x) {
    const mytorch_array &from = x[0].array, &to = x[1].array;
    return from.itemsize == 4 ? put_typed<float>(from, to, x[2].integer, x[3].integer)
           : from.itemsize == 8 ? put_typed<double>(from, to, x[2].integer, x[3].integer)
           : from.itemsize == 2 ? put_typed<uint16_t>(from, to, x[2].integer, x[3].integer) : 0;
}

}  // namespace

extern const mytorch_kernel copy_kernels[] = {
    {"copy", "rw", copy},
    {"put", "rwii", put},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
