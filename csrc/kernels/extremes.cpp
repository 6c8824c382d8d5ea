// The largest and the smallest along a dimension, where they are, and their gradient. NaN wins; of equals the first counts.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr int64_t WIDE = 1024;  // columns of a task

// Whether v comes before `best`, of numbers or of vectors of them.
template <bool LARGEST, class V> MYTORCH_INLINE auto wins(V v, V best) { return (LARGEST ? v > best : v < best) | ((v != v) & (best == best)); }

// One row of numbers along memory.
template <class T, bool LARGEST> int64_t extreme_of_row(int64_t n, const T *x, T &value) {
    constexpr int W = WIDTH<T>;
    using I = Mask<T>;
    using S = typename Vectors<T>::Scalar;
    T best = x[0];
    int64_t place = 0, i = 1;
    if (n >= 2 * W) {
        Vec<T> bests = load(x);
        I places{};  // numbers of vectors
        for (i = W; i + W <= n; i += W) {
            const Vec<T> v = load(x + i);
            const I better = wins<LARGEST>(v, bests);
            bests = better ? v : bests;
            places = better ? I{} + static_cast<S>(i / W) : places;
        }
        best = bests[0];
        place = static_cast<int64_t>(places[0]) * W;
        for (int k = 1; k < W; ++k) {
            const int64_t at = static_cast<int64_t>(places[k]) * W + k;
            const bool equal = bests[k] == best || (bests[k] != bests[k] && best != best);
            if (wins<LARGEST>(T(bests[k]), best) || (equal && at < place)) {
                best = bests[k];
                place = at;
            }
        }
    }
    for (; i < n; ++i) {
        if (wins<LARGEST>(x[i], best)) {
            best = x[i];
            place = i;
        }
    }
    value = best;
    return place;
}

// The extreme alone: four searches side by side hide how long one comparison takes.
template <class T, bool LARGEST> T extreme_value(int64_t n, const T *x) {
    constexpr int W = WIDTH<T>, SIDE = 4;
    const auto better = [](auto v, auto best) { return (LARGEST ? v > best : v < best) | (v != v) ? v : best; };  // NaN stays
    T best = x[0];
    int64_t i = 1;
    if (n >= W) {
        Vec<T> bests[SIDE];
        unroll<SIDE>([&](auto s) { bests[s] = load(x); });
        for (i = W; i + SIDE * W <= n; i += SIDE * W) {
            unroll<SIDE>([&](auto s) { bests[s] = better(load(x + i + s * W), bests[s]); });
        }
        for (; i + W <= n; i += W) {
            bests[0] = better(load(x + i), bests[0]);
        }
        const Vec<T> last = better(better(bests[0], bests[1]), better(bests[2], bests[3]));
        best = last[0];
        for (int k = 1; k < W; ++k) {
            best = better(T(last[k]), best);
        }
    }
    for (; i < n; ++i) {
        best = better(x[i], best);
    }
    return best;
}

// n rows of `width` columns, `inner` apart. places may be NULL.
template <class T, bool LARGEST> void extremes_of_columns(int64_t n, int64_t inner, int64_t width, const T *x, T *values, int64_t *places) {
    constexpr int W = WIDTH<T>;
    using S = typename Vectors<T>::Scalar;
    S rows[WIDE];
    for (int64_t i = 0; i < width; ++i) {
        values[i] = x[i];
        rows[i] = 0;
    }
    const int64_t ahead = inner * static_cast<int64_t>(sizeof(T));
    for (int64_t j = 1; j < n; ++j) {
        const T *row = x + j * inner;
        int64_t i = 0;
        for (; i + W <= width; i += W) {
            fetch(row + i, ahead);
            const Vec<T> v = load(row + i), best = load(values + i);
            const Mask<T> better = wins<LARGEST>(v, best);
            store(values + i, better ? v : best);
            if (places != nullptr) {
                store<S>(rows + i, better ? Mask<T>{} + static_cast<S>(j) : load<S>(rows + i));
            }
        }
        for (; i < width; ++i) {
            if (wins<LARGEST>(row[i], values[i])) {
                values[i] = row[i];
                rows[i] = static_cast<S>(j);
            }
        }
    }
    for (int64_t i = 0; places != nullptr && i < width; ++i) {
        places[i] = rows[i];
    }
}

// x (outer, n, inner): the sizes, which are positive.
struct Sizes {
    int64_t outer, n, inner;

    Sizes(const mytorch_array &x, const mytorch_array &y, int64_t outer_, int64_t inner_) : outer(outer_), n(0), inner(inner_) {
        require(outer > 0 && inner > 0 && outer <= (int64_t{1} << 40) && inner <= (int64_t{1} << 40) / outer, "sizes are positive");
        require(count_of(y) == outer * inner && count_of(x) > 0 && count_of(x) % (outer * inner) == 0, "one result for each row along the dimension");
        n = count_of(x) / (outer * inner);
    }
    int64_t columns() const { return least(inner, least(WIDE, greatest<int64_t>(64, GRAIN / n / 16 * 16))); }

    // body(outer, first column, columns)
    template <class Body> void each_strip(const Body &body) const {
        const int64_t width = columns(), strips = (inner + width - 1) / width;
        parallel_ranges(outer * strips, strips > 1 ? 1 : greatest<int64_t>(1, GRAIN / (n * inner)), [&](int64_t begin, int64_t end) {
            for (int64_t task = begin; task < end; ++task) {
                const int64_t first = task % strips * width;
                body(task / strips, first, least(width, inner - first));
            }
        });
    }
};

template <class T, bool LARGEST> int extremes_typed(const mytorch_array &x, const mytorch_array &y, const mytorch_array &index, const Sizes &size) {
    const T *from = elements<T>(x);
    T *to = elements<T>(y);
    int64_t *places = elements<int64_t>(index);
    require(places == nullptr || count_of(index) == count_of(y), "one place for each result");
    if (size.n > std::numeric_limits<int32_t>::max()) {
        return 0;
    }
    size.each_strip([&](int64_t outer, int64_t first, int64_t width) {
        const int64_t at = outer * size.inner + first;
        const T *block = from + outer * size.n * size.inner + first;
        if (size.inner > 1) {
            extremes_of_columns<T, LARGEST>(size.n, size.inner, width, block, to + at, places == nullptr ? nullptr : places + at);
            return;
        }
        if (places == nullptr) {
            to[at] = extreme_value<T, LARGEST>(size.n, block);
        } else {
            places[at] = extreme_of_row<T, LARGEST>(size.n, block, to[at]);
        }
    });
    return 1;
}

// x, values, places or None, outer, inner, whether the largest
int extremes(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &y = arguments[1].array, &places = arguments[2].array;
    const Sizes size(x, y, arguments[3].integer, arguments[4].integer);
    if (arguments[5].integer != 0) {
        return holds<float>(x) ? extremes_typed<float, true>(x, y, places, size) : holds<double>(x) ? extremes_typed<double, true>(x, y, places, size) : 0;
    }
    return holds<float>(x) ? extremes_typed<float, false>(x, y, places, size) : holds<double>(x) ? extremes_typed<double, false>(x, y, places, size) : 0;
}

// ---- the gradient, shared among equals -------------------------------------------------------------------------------------------

// g times 1 / ties where x == y, times 0 elsewhere; with NaN in y there are no ties, and all is NaN.
template <class T> void share_row(int64_t n, const T *x, T y, T g, T *dx) {
    constexpr int W = WIDTH<T>;
    using S = typename Vectors<T>::Scalar;
    Mask<T> count{};
    int64_t i = 0, ties = 0;
    for (; i + W <= n; i += W) {
        count -= load(x + i) == y;
    }
    for (; i < n; ++i) {
        ties += x[i] == y;
    }
    for (int k = 0; k < W; ++k) {
        ties += static_cast<S>(count[k]);
    }
    const Vec<T> one = Vec<T>{} + g * (T(1) / static_cast<T>(ties)), none = Vec<T>{} + g * (T(0) / static_cast<T>(ties));
    map(n, dx, [&](Vec<T> v) { return v == y ? one : none; }, x);
}

template <class T> void share_columns(int64_t n, int64_t inner, int64_t width, const T *x, const T *y, const T *g, T *dx) {
    T ties[WIDE] = {};
    for (int64_t j = 0; j < n; ++j) {
        map(width, ties, [](Vec<T> count, Vec<T> v, Vec<T> best) { return v == best ? count + T(1) : count; }, static_cast<const T *>(ties),
            x + j * inner, y);
    }
    T none[WIDE];
    for (int64_t i = 0; i < width; ++i) {
        none[i] = g[i] * (T(0) / ties[i]);
        ties[i] = g[i] * (T(1) / ties[i]);
    }
    for (int64_t j = 0; j < n; ++j) {
        map(width, dx + j * inner, [](Vec<T> v, Vec<T> best, Vec<T> one, Vec<T> rest) { return v == best ? one : rest; }, x + j * inner, y,
            static_cast<const T *>(ties), static_cast<const T *>(none));
    }
}

// g, x, y, dx, outer, inner
template <class T> int share_typed(const mytorch_argument *arguments) {
    const Sizes size(arguments[1].array, arguments[2].array, arguments[4].integer, arguments[5].integer);
    require(same_shape(arguments[1].array, arguments[3].array) && count_of(arguments[0].array) == count_of(arguments[2].array),
            "gradients have the shapes of what they belong to");
    const T *g = elements<T>(arguments[0].array), *x = elements<T>(arguments[1].array), *y = elements<T>(arguments[2].array);
    T *dx = elements<T>(arguments[3].array);
    if (size.n >= int64_t{1} << 24) {  // more than float32 counts
        return 0;
    }
    size.each_strip([&](int64_t outer, int64_t first, int64_t width) {
        const int64_t at = outer * size.inner + first, begin = outer * size.n * size.inner + first;
        if (size.inner == 1) {
            share_row(size.n, x + begin, y[at], g[at], dx + begin);
        } else {
            share_columns(size.n, size.inner, width, x + begin, y + at, g + at, dx + begin);
        }
    });
    return 1;
}

int extremes_grad(const mytorch_argument *x) {
    return holds<float>(x[1].array) ? share_typed<float>(x) : holds<double>(x[1].array) ? share_typed<double>(x) : 0;
}

}  // namespace

extern const mytorch_kernel extreme_kernels[] = {
    {"extremes", "rwWiii", extremes},
    {"extremes_grad", "rrrwii", extremes_grad},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
