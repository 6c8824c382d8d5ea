// Running sums and products along a dimension, from the front or from the end, in float64, each rounded once, and in the order of the
// numbers: what NumPy gives, to the bit. Running extremes and their places.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

struct Sum {
    static constexpr double START = -0.0;  // which adds nothing, not even to -0.0
    template <class V> static V of(V a, V b) { return a + b; }
};
struct Product {
    static constexpr double START = 1.0;
    template <class V> static V of(V a, V b) { return a * b; }
};

// SIDE rows of n numbers along memory, which do not wait for each other.
template <class T, class JOIN, int SIDE> MYTORCH_INLINE void fold_rows(int64_t n, const T *x, T *y, int64_t first, int64_t step) {
    double so_far[SIDE];
    for (int k = 0; k < SIDE; ++k) {
        so_far[k] = JOIN::START;
    }
    for (int64_t i = 0, at = first; i < n; ++i, at += step) {
        for (int k = 0; k < SIDE; ++k) {
            so_far[k] = JOIN::of(so_far[k], static_cast<double>(x[k * n + at]));
            y[k * n + at] = static_cast<T>(so_far[k]);
        }
    }
}

// so_far = JOIN(so_far, x); y = so_far, for a vector of columns
template <class T, class JOIN> MYTORCH_INLINE void join_and_store(double *so_far, const T *x, T *y) {
    if constexpr (sizeof(T) == 8) {
        const Vec<T> joined = JOIN::of(load(so_far), load(x));
        store(so_far, joined);
        store(y, joined);
    } else {
        constexpr int HALF = WIDTH<T> / 2;
        typedef float Half __attribute__((vector_size(REGISTER_BYTES / 2)));
        Half halves[2];
        std::memcpy(halves, x, sizeof(halves));
        for (int h = 0; h < 2; ++h) {
            const VecD joined = JOIN::of(load(so_far + h * HALF), __builtin_convertvector(halves[h], VecD));
            store(so_far + h * HALF, joined);
            halves[h] = __builtin_convertvector(joined, Half);
        }
        std::memcpy(y, halves, sizeof(halves));
    }
}

// `width` columns of n numbers that are `inner` apart.
template <class T, class JOIN>
void fold_columns(int64_t n, int64_t inner, int64_t width, double *so_far, const T *x, T *y, int64_t first, int64_t step) {
    for (int64_t i = 0; i < width; ++i) {
        so_far[i] = JOIN::START;
    }
    const int64_t ahead = step * inner * static_cast<int64_t>(sizeof(T));
    for (int64_t j = 0, row = first * inner; j < n; ++j, row += step * inner) {
        int64_t i = 0;
        for (; i + WIDTH<T> <= width; i += WIDTH<T>) {
            fetch(x + row + i, ahead);
            fetch<true>(y + row + i, ahead);
            join_and_store<T, JOIN>(so_far + i, x + row + i, y + row + i);
        }
        for (; i < width; ++i) {
            so_far[i] = JOIN::of(so_far[i], static_cast<double>(x[row + i]));
            y[row + i] = static_cast<T>(so_far[i]);
        }
    }
}

// Arrays of (outer, n, inner) elements, which are scanned along n.
struct Shape {
    int64_t outer, n, inner;
};

Shape shape_of(const mytorch_array &x, const mytorch_argument &outer_size, const mytorch_argument &inner_size) {
    const int64_t outer = outer_size.integer, inner = inner_size.integer, count = count_of(x);
    require(outer > 0 && inner > 0 && outer <= (int64_t{1} << 40) && inner <= (int64_t{1} << 40) / outer && count % (outer * inner) == 0,
            "x is (outer, n, inner)");
    return {outer, count / (outer * inner), inner};
}

constexpr int64_t WIDE = 1024;  // columns that are scanned together, at most

// Share the work: rows(side, at) scans `side` rows, SIDE or 1, that lie one after the other from element `at` on, and
// columns(at, width) the first `width` columns from there.
template <int SIDE, class Rows, class Columns> void walk(const Shape &shape, const Rows &rows, const Columns &columns) {
    const auto [outer, n, inner] = shape;
    if (n == 0) {
        return;
    }
    if (inner == 1) {
        parallel_ranges(outer, round_up(greatest<int64_t>(1, GRAIN / n), SIDE), [&, n = n](int64_t begin, int64_t end) {
            for (; begin + SIDE <= end; begin += SIDE) {
                rows(std::integral_constant<int, SIDE>{}, begin * n);
            }
            for (; begin < end; ++begin) {
                rows(std::integral_constant<int, 1>{}, begin * n);
            }
        });
        return;
    }
    const int64_t width = least(inner, greatest<int64_t>(64, least(WIDE, round_up(GRAIN / n, REGISTER_BYTES))));
    const int64_t strips = (inner + width - 1) / width;
    parallel_ranges(outer * strips, strips > 1 ? 1 : greatest<int64_t>(1, GRAIN / (n * inner)), [&, n = n, inner = inner](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t first = task % strips * width;
            columns(task / strips * n * inner + first, least(width, inner - first));
        }
    });
}

// x (outer, n, inner), y, outer, inner, whether from the end
template <class T, class JOIN> int fold_typed(const mytorch_argument *arguments) {
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    require(same_shape(arguments[0].array, arguments[1].array), "x and y have one shape");
    const Shape shape = shape_of(arguments[0].array, arguments[2], arguments[3]);
    const int64_t n = shape.n, step = arguments[4].integer != 0 ? -1 : 1, first = step < 0 ? n - 1 : 0;
    walk<8>(shape, [&](auto side, int64_t at) { fold_rows<T, JOIN, side>(n, x + at, y + at, first, step); },
            [&](int64_t at, int64_t width) {
                double so_far[WIDE];
                fold_columns<T, JOIN>(n, shape.inner, width, so_far, x + at, y + at, first, step);
            });
    return 1;
}

template <class JOIN> int fold(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? fold_typed<float, JOIN>(x) : holds<double>(x[0].array) ? fold_typed<double, JOIN>(x) : 0;
}

// ---- the largest or smallest so far, and its place ------------------------------------------------------------------------------

// Whether v comes in the place of the best so far: also of an equal one, and always as NaN, which nothing but NaN replaces.
template <bool LARGEST, class V> MYTORCH_INLINE auto is_next(V v, V best) { return (LARGEST ? v >= best : v <= best) | (v != v); }

template <class T, bool LARGEST> void extreme_row(int64_t n, const T *x, T *y, int64_t *places) {
    T best = x[0];
    int64_t place = 0;
    for (int64_t i = 0; i < n; ++i) {
        const bool next = is_next<LARGEST>(x[i], best);
        y[i] = best = next ? x[i] : best;
        places[i] = place = next ? i : place;
    }
}

template <class T, bool LARGEST> void extreme_columns(int64_t n, int64_t inner, int64_t width, const T *x, T *y, int64_t *places) {
    using S = typename Vectors<T>::Scalar;
    T best[WIDE];
    S place[WIDE];
    std::memcpy(best, x, static_cast<size_t>(width) * sizeof(T));
    for (int64_t j = 0; j < n; ++j, x += inner, y += inner, places += inner) {
        int64_t i = 0;
        for (; i + WIDTH<T> <= width; i += WIDTH<T>) {
            const Vec<T> v = load(x + i), before = load(best + i);
            const Mask<T> next = is_next<LARGEST>(v, before);
            const Vec<T> now = next ? v : before;
            store(best + i, now);
            store(y + i, now);
            store<S>(place + i, next ? all(static_cast<S>(j)) : load(place + i));
        }
        for (; i < width; ++i) {
            const bool next = is_next<LARGEST>(x[i], best[i]);
            y[i] = best[i] = next ? x[i] : best[i];
            place[i] = next ? static_cast<S>(j) : place[i];
        }
        for (i = 0; i < width; ++i) {
            places[i] = place[i];
        }
    }
}

// x (outer, n, inner), y, places, outer, inner
template <class T, bool LARGEST> int extreme_typed(const mytorch_argument *arguments) {
    const mytorch_array &to = arguments[2].array;
    require(same_shape(arguments[0].array, arguments[1].array) && same_shape(arguments[0].array, to), "x, y and the places have one shape");
    require(to.type == MYTORCH_INT64 && is_contiguous(to), "the places are contiguous and of int64");
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    int64_t *places = static_cast<int64_t *>(to.data);
    const Shape shape = shape_of(arguments[0].array, arguments[3], arguments[4]);
    if (shape.n > std::numeric_limits<int32_t>::max()) {
        return 0;
    }
    walk<1>(shape, [&](auto, int64_t at) { extreme_row<T, LARGEST>(shape.n, x + at, y + at, places + at); },
            [&](int64_t at, int64_t width) { extreme_columns<T, LARGEST>(shape.n, shape.inner, width, x + at, y + at, places + at); });
    return 1;
}

template <bool LARGEST> int extreme(const mytorch_argument *x) {
    return holds<float>(x[0].array)    ? extreme_typed<float, LARGEST>(x)
           : holds<double>(x[0].array) ? extreme_typed<double, LARGEST>(x) : 0;
}

}  // namespace

extern const mytorch_kernel scan_kernels[] = {
    {"cumsum", "rwiii", fold<Sum>},
    {"cumprod", "rwiii", fold<Product>},
    {"cummax", "rwwii", extreme<true>},
    {"cummin", "rwwii", extreme<false>},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
