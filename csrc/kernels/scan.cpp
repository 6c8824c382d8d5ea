// Running sums along a dimension, from the front or from the end. In float64, each rounded once, and in the order of the numbers: what
// NumPy gives, to the bit.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// SIDE rows of n numbers along memory: sums that do not wait for each other.
template <class T, int SIDE> MYTORCH_INLINE void scan_rows(int64_t n, const T *x, T *y, int64_t first, int64_t step) {
    double sum[SIDE];
    for (int k = 0; k < SIDE; ++k) {
        sum[k] = -0.0;  // which adds nothing, not even to -0.0
    }
    for (int64_t i = 0, at = first; i < n; ++i, at += step) {
        for (int k = 0; k < SIDE; ++k) {
            sum[k] += static_cast<double>(x[k * n + at]);
            y[k * n + at] = static_cast<T>(sum[k]);
        }
    }
}

// sum += x; y = sum, for a vector of columns
template <class T> MYTORCH_INLINE void add_and_store(double *sum, const T *x, T *y) {
    if constexpr (sizeof(T) == 8) {
        const Vec<T> total = load(sum) + load(x);
        store(sum, total);
        store(y, total);
    } else {
        constexpr int HALF = WIDTH<T> / 2;
        typedef float Half __attribute__((vector_size(REGISTER_BYTES / 2)));
        Half halves[2];
        std::memcpy(halves, x, sizeof(halves));
        for (int h = 0; h < 2; ++h) {
            const VecD total = load(sum + h * HALF) + __builtin_convertvector(halves[h], VecD);
            store(sum + h * HALF, total);
            halves[h] = __builtin_convertvector(total, Half);
        }
        std::memcpy(y, halves, sizeof(halves));
    }
}

// n rows of which `width` columns are added up, `inner` apart.
template <class T> void scan_columns(int64_t n, int64_t inner, int64_t width, double *sum, const T *x, T *y, int64_t first, int64_t step) {
    for (int64_t i = 0; i < width; ++i) {
        sum[i] = -0.0;
    }
    const int64_t ahead = step * inner * static_cast<int64_t>(sizeof(T));
    for (int64_t j = 0, row = first * inner; j < n; ++j, row += step * inner) {
        int64_t i = 0;
        for (; i + WIDTH<T> <= width; i += WIDTH<T>) {
            fetch(x + row + i, ahead);
            fetch<true>(y + row + i, ahead);
            add_and_store<T>(sum + i, x + row + i, y + row + i);
        }
        for (; i < width; ++i) {
            sum[i] += static_cast<double>(x[row + i]);
            y[row + i] = static_cast<T>(sum[i]);
        }
    }
}

// x (outer, n, inner), y, outer, inner, whether from the end
template <class T> int cumsum_typed(const mytorch_argument *arguments) {
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    const int64_t outer = arguments[2].integer, inner = arguments[3].integer, count = count_of(arguments[0].array);
    require(same_shape(arguments[0].array, arguments[1].array), "x and y have one shape");
    require(outer > 0 && inner > 0 && outer <= (int64_t{1} << 40) && inner <= (int64_t{1} << 40) / outer && count % (outer * inner) == 0,
            "x is (outer, n, inner)");
    const int64_t n = count / (outer * inner), step = arguments[4].integer != 0 ? -1 : 1, first = step < 0 ? n - 1 : 0;
    if (count == 0) {
        return 1;
    }
    if (inner == 1) {
        constexpr int SIDE = 8;
        parallel_ranges(outer, round_up(greatest<int64_t>(1, GRAIN / n), SIDE), [&](int64_t begin, int64_t end) {
            for (; begin + SIDE <= end; begin += SIDE) {
                scan_rows<T, SIDE>(n, x + begin * n, y + begin * n, first, step);
            }
            for (; begin < end; ++begin) {
                scan_rows<T, 1>(n, x + begin * n, y + begin * n, first, step);
            }
        });
        return 1;
    }
    constexpr int64_t WIDE = 1024;
    const int64_t columns = least(inner, greatest<int64_t>(64, least(WIDE, round_up(GRAIN / n, WIDTH<T>))));
    const int64_t strips = (inner + columns - 1) / columns;
    parallel_ranges(outer * strips, strips > 1 ? 1 : greatest<int64_t>(1, GRAIN / (n * inner)), [&](int64_t begin, int64_t end) {
        double sum[WIDE];
        for (int64_t task = begin; task < end; ++task) {
            const int64_t at = task / strips * n * inner + task % strips * columns;
            scan_columns<T>(n, inner, least(columns, inner - task % strips * columns), sum, x + at, y + at, first, step);
        }
    });
    return 1;
}

int cumsum(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? cumsum_typed<float>(x) : holds<double>(x[0].array) ? cumsum_typed<double>(x) : 0;
}

}  // namespace

extern const mytorch_kernel scan_kernels[] = {
    {"cumsum", "rwiii", cumsum},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
