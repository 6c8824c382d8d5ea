// What both passes of scaled dot-product attention share. They work block by block, so that the matrix of all scores is never built
// (Dao et al. 2022, algorithms 1 and 4, arXiv:2205.14135). Scores are computed in units of log 2: a power of two is cheaper than one
// of e.
#ifndef MYTORCH_KERNELS_ATTENTION_H
#define MYTORCH_KERNELS_ATTENTION_H

#include "flags.h"
#include "tiles.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr double LOG2_E = 1.44269504088896340736;
constexpr double LN_2 = 0.69314718055994530942;

template <class T> constexpr T INFINITE = std::numeric_limits<T>::infinity();

struct ExpSeries {  // ln(2)^k / k!
    double at[14];
};
constexpr ExpSeries exp_series() {
    ExpSeries series{};
    series.at[0] = 1;
    for (int k = 1; k < 14; ++k) {
        series.at[k] = series.at[k - 1] * LN_2 / k;
    }
    return series;
}
constexpr ExpSeries SERIES = exp_series();

// 2^x for x <= 0, 0 below the normal numbers (so for -inf): n = round(x), 2^(x - n) by its Taylor polynomial. NaN passes.
template <class T> MYTORCH_INLINE Vec<T> exp2(Vec<T> x) {
    using C = ExpConstants<T>;
    using S = typename Vectors<T>::Scalar;
    constexpr T lowest = 1 - C::bias;
    constexpr int degree = sizeof(T) == 4 ? 7 : 13;
    const Mask<T> gone = x < lowest;
    x = gone ? Vec<T>{} + lowest : x;
    const Vec<T> shifted = x + C::magic;
    const Vec<T> r = x - (shifted - C::magic);
    Vec<T> p = Vec<T>{} + T(SERIES.at[degree]);
#pragma GCC unroll 13
    for (int k = degree - 1; k >= 0; --k) {
        p = p * r + T(SERIES.at[k]);
    }
    const Mask<T> n = bits_as<Mask<T>>(shifted) - bits_as<Mask<T>>(Vec<T>{} + C::magic);
    p = p * bits_as<Vec<T>>((n + S(C::bias)) << S(C::mantissa));
    return gone ? Vec<T>{} : p;
}

// 0, 1, 2, ... from a table: GCC does not see that a loop fills in constants.
template <class T> struct Lanes {
    typename Vectors<T>::Scalar at[WIDTH<T>];
    constexpr Lanes() : at() {
        for (int i = 0; i < WIDTH<T>; ++i) {
            at[i] = i;
        }
    }
};
template <class T> MYTORCH_INLINE Mask<T> lanes(int first) {
    static constexpr Lanes<T> numbers;
    return load(numbers.at) + first;
}

template <class T> void scale_all(T *x, int64_t count, T factor) {
    map(count, x, [&](Vec<T> v) { return v * factor; }, static_cast<const T *>(x));
}

// to[line * to_step + p] = panel[p * COLUMNS + line]
template <class T, class To> void unpack_panel(To *to, int64_t to_step, const T *panel, int64_t width, int64_t depth) {
    constexpr int W = WIDTH<T>;
    for (int64_t p = 0; p < depth; p += W) {
        const int64_t deep = least<int64_t>(W, depth - p);
        for (int64_t first = 0; first < width; first += W) {
            Vec<T> block[W];
            for (int i = 0; i < W; ++i) {
                block[i] = i < deep ? load(panel + (p + i) * COLUMNS<T> + first) : Vec<T>{};
            }
            transpose_block<T>(block);
            for (int i = 0; i < least<int64_t>(W, width - first); ++i) {
                To *target = to + (first + i) * to_step + p;
                if (deep == W) {
                    store(target, block[i]);
                } else {
                    store_some(target, block[i], deep);
                }
            }
        }
    }
}

// C (rows x COLUMNS) (+)= A B for packed panels of A, each `a_step` numbers from the next, and one panel of B.
template <class T>
void multiply_column(int64_t rows, int64_t height, int64_t depth, const T *a, int64_t a_step, const T *b, T *c, Start start) {
    for (int64_t i = 0; i < rows; i += height, a += a_step) {
        tile<T>(static_cast<int>(least(height, rows - i)), depth, a, ROWS, b, COLUMNS<T>, c + i * COLUMNS<T>, COLUMNS<T>, COLUMNS<T>, start);
    }
}

#if defined(__AMX_BF16__)

// Two numbers of float32 into words of bfloat16, as tiles.h has them: their first eight bits, and the next eight. What both leave out is
// 2^-17 of a number: a product with bfloat16 is as good as one of float32, for a result that is rounded to eight bits.
MYTORCH_INLINE void split_in_two(VecF x, VecF y, float *first, float *second) {
    constexpr uint32_t UPPER = 0xffff0000u, HALF = 0x8000u;
    for (float *to : {first, second}) {
        const VecF near_x = bits_as<VecF>((bits_as<VecU>(x) + HALF) & UPPER), near_y = bits_as<VecF>((bits_as<VecU>(y) + HALF) & UPPER);
        store(to, word_of(near_x, near_y));
        x = x - near_x;
        y = y - near_y;
    }
}

// A right factor of `depth` rows of COLUMNS numbers each, as two.
inline void split_rows(const float *rows, int64_t depth, float *first, float *second) {
    for (int64_t p = 0; p < depth; p += STEP, rows += STEP * BLOCK) {
        for (int64_t i = 0; i < SIDE; ++i) {
            for (int64_t half = 0; half < 2; ++half) {
                const int64_t at = p * SIDE + half * TILE + i * SIDE;
                const VecF x = p + i < depth ? load(rows + i * BLOCK + half * SIDE) : VecF{};
                const VecF y = p + i + SIDE < depth ? load(rows + (i + SIDE) * BLOCK + half * SIDE) : VecF{};
                split_in_two(x, y, first + at, second + at);
            }
        }
    }
}

// Panels of tiles of all `lines` lines, each of `depth` numbers: BLOCK of them at a time.
template <bool by_line> void pack_all(float *to, const Lines<bfloat16> &x, int64_t lines, int64_t depth) {
    const int64_t size = blocks_of(depth) * STEP_SIZE<bfloat16>;
    for (int64_t i = 0; i < lines; i += BLOCK, to += size) {
        if (lines - i <= SIDE) {  // packing leaves the second half as it is
            std::memset(to, 0, static_cast<size_t>(size) * sizeof(float));
        }
        pack_tiles<by_line>(to, Lines<bfloat16>{x.data + i * x.line_step, x.line_step, x.depth_step}, least(BLOCK, lines - i), depth);
    }
}

#endif

inline int64_t panels_of(int64_t rows) {
    const int64_t height = panel_height(rows);
    return (rows + height - 1) / height;
}

// ---- arguments -----------------------------------------------------------------------------------------------------------------

// Where the matrix number `head` of x (*, rows, columns) begins, in elements.
inline int64_t begin_of(const mytorch_array &x, int64_t head) {
    int64_t at = 0;
    for (int i = x.ndim - 3; i >= 0; --i) {
        at += head % x.shape[i] * step(x, i);
        head /= x.shape[i];
    }
    return at;
}

template <class T> Matrix<T> matrix_of(const mytorch_array &x, int64_t head) {
    return {static_cast<const T *>(x.data) + begin_of(x, head), step(x, x.ndim - 2), step(x, x.ndim - 1)};
}

#if defined(__AMX_BF16__)

// Rows of a matrix as lines, or its columns.
inline Lines<bfloat16> lines_of(const mytorch_array &x, int64_t head, bool columns = false) {
    const Matrix<bfloat16> matrix = matrix_of<bfloat16>(x, head);
    return columns ? Lines<bfloat16>{matrix.data, matrix.column_step, matrix.row_step}
                   : Lines<bfloat16>{matrix.data, matrix.row_step, matrix.column_step};
}

#endif

// The rows of a matrix that is written, which lie along memory.
template <class T> T *rows_of(const mytorch_array &x, int64_t head) { return static_cast<T *>(x.data) + begin_of(x, head); }

inline void require_matrices(const mytorch_array &x, const mytorch_array &like, int64_t rows, int64_t columns, bool written) {
    require(x.ndim == like.ndim && x.type == like.type, "attention: all arrays have one type and number of dimensions");
    for (int i = 0; i < x.ndim - 2; ++i) {
        require(x.shape[i] == like.shape[i], "attention: all arrays have the same heads");
    }
    require(x.shape[x.ndim - 2] == rows && x.shape[x.ndim - 1] == columns, "attention: sizes do not fit");
    require(!written || columns == 1 || step(x, x.ndim - 1) == 1, "attention: rows of results lie along memory");
}

// True or a number per pair of query and key; broadcast by strides of 0.
struct PairMask {
    const mytorch_array &array;

    void check(const mytorch_array &q, int64_t keys) const {
        if (array.data == nullptr) {
            return;
        }
        require(array.ndim == q.ndim && array.shape[q.ndim - 2] == q.shape[q.ndim - 2] && array.shape[q.ndim - 1] == keys,
                "attention: the mask has one element per query and key");
        for (int i = 0; i < q.ndim - 2; ++i) {
            require(array.shape[i] == q.shape[i], "attention: the mask has the same heads");
        }
    }

    // What to add to the scores of a block, row by row, in units of log 2.
    template <class T> void read(T *to, int64_t head, int64_t query, int64_t rows, int64_t key, int64_t columns, int64_t to_step) const {
        const int64_t row_step = step(array, array.ndim - 2);
        const int64_t column_step = step(array, array.ndim - 1);
        const int64_t begin = begin_of(array, head) + query * row_step + key * column_step;
        for (int64_t i = 0; i < rows; ++i, to += to_step) {
            if (array.type == MYTORCH_BOOL) {
                const uint8_t *from = static_cast<const uint8_t *>(array.data) + begin + i * row_step;
                int64_t j = 0;
                for (; column_step == 1 && j + WIDTH<T> <= columns; j += WIDTH<T>) {
                    store(to + j, flags<T>(from + j) ? Vec<T>{} : Vec<T>{} - INFINITE<T>);
                }
                for (; j < columns; ++j) {
                    to[j] = from[j * column_step] != 0 ? T(0) : -INFINITE<T>;
                }
            } else {
                const T *from = static_cast<const T *>(array.data) + begin + i * row_step;
                if (column_step == 1) {
                    map(columns, to, [](Vec<T> v) { return v * T(LOG2_E); }, from);
                    continue;
                }
                for (int64_t j = 0; j < columns; ++j) {
                    to[j] = from[j * column_step] * T(LOG2_E);
                }
            }
        }
    }

    // A score that a bool forbids is -inf whatever it was.
    template <class T> void add(T *scores, const T *extra, int64_t size) const {
        const bool bools = array.type == MYTORCH_BOOL;
        for (int64_t i = 0; i < size; i += WIDTH<T>) {
            const Vec<T> term = load(extra + i);
            const Mask<T> replaced = bools ? term != T(0) : Mask<T>{};
            store(scores + i, replaced ? term : load(scores + i) + term);
        }
    }
};

}  // namespace

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
