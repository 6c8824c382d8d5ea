// Sums and means over dimensions.
#include "reduce.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// ---- y[b, d] = sum over a and c of F(x[a, b, c, d]) / divisor ----------------------------------------------------------------------

// Along memory: each task adds up pieces of rows of c numbers.
template <class T, class F> void sum_along(const Dims &n, const T *x, T *y, double divisor) {
    constexpr int64_t PIECE = 1 << 15;
    const int64_t pieces = (n.c + PIECE - 1) / PIECE, rows = n.a * n.b;
    const int64_t share = greatest<int64_t>(1, PIECE / n.c);  // rows of a task
    Scratch<double> partial(rows * pieces);
    parallel((rows + share - 1) / share * pieces, [&](int64_t task) {
        const int64_t first = task / pieces * share, begin = task % pieces * PIECE;
        for (int64_t row = first; row < least(rows, first + share); ++row) {
            const T *from = x + row * n.c + begin;
            Total total;
            each_chunk([&](int64_t at, const Piece &piece) {
                double sum[1];
                add_chunk<T, 1>(piece, sum, [](Vec<T> v) { return Terms<T, 1>{{F::template at<Number<T>>(v)}}; }, from + at);
                total.add(sum[0]);
            }, least(PIECE, n.c - begin));
            partial[row * pieces + task % pieces] = total.value();
        }
    });
    for (int64_t b = 0; b < n.b; ++b) {
        Total total;
        for (int64_t a = 0; a < n.a; ++a) {
            for (int64_t i = 0; i < pieces; ++i) {
                total.add(partial[(a * n.b + b) * pieces + i]);
            }
        }
        y[b] = static_cast<T>(total.value() / divisor);
    }
}

// Across a few rows: of each vector of columns at once, without sums of their own in memory.
template <class T> void sum_few(const Dims &n, const T *x, T *y, double divisor) {
    constexpr int W = WIDTH<T>;
    constexpr int64_t PIECE = 1 << 12;
    const int64_t pieces = (n.d + PIECE - 1) / PIECE;
    parallel(n.b * pieces, [&](int64_t task) {
        const int64_t b = task / pieces, begin = task % pieces * PIECE, end = least(n.d, begin + PIECE);
        const T *from = x + b * n.c * n.d;
        for (int64_t i = begin; i < end; i += W) {
            double total[W] = {};
            const int64_t width = least<int64_t>(W, end - i);
            for (int64_t row = 0; row < n.c; ++row) {
                const T *at = from + row * n.d + i;
                add_lanes<T>(total, width == W ? load(at) : load_some(at, width));
            }
            Vec<T> sum{};
            for (int k = 0; k < W; ++k) {
                sum[k] = static_cast<Number<T>>(divisor == 1.0 ? total[k] : total[k] / divisor);
            }
            if (width == W) {
                store(y + b * n.d + i, sum);
            } else {
                store_some(y + b * n.d + i, sum, width);
            }
        }
    });
}

// x, y, the four sizes, divisor
template <class T, class F> int sum_typed(const mytorch_argument *arguments) {
    const Dims n{arguments[2].integer, arguments[3].integer, arguments[4].integer, arguments[5].integer};
    for (int i = 2; i < 6; ++i) {
        require(arguments[i].integer > 0 && arguments[i].integer <= (int64_t{1} << 40), "sizes are positive");
    }
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    require(n.a * n.b == count_of(arguments[0].array) / (n.c * n.d) && count_of(arguments[0].array) % (n.c * n.d) == 0, "x has a * b * c * d elements");
    require(n.b * n.d == count_of(arguments[1].array), "y has b * d elements");
    if (n.d == 1) {
        sum_along<T, F>(n, x, y, arguments[6].number);
    } else if (std::is_same_v<F, Itself> && n.a == 1 && n.c <= 8 && n.d >= WIDTH<T>) {
        sum_few(n, x, y, arguments[6].number);
    } else {
        sum_across<T, F>(n, x, y, arguments[6].number);
    }
    return 1;
}

int sum(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) { return sum_typed<std::remove_pointer_t<decltype(type)>, Itself>(x); });
}

int sum_of_squares(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? sum_typed<float, ItsSquare>(x) : holds<double>(x[0].array) ? sum_typed<double, ItsSquare>(x) : 0;
}

// y (rows, length): each row one number of x, divided.
template <class T> int repeat_typed(const mytorch_argument *arguments) {
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    const int64_t rows = count_of(arguments[0].array), all = count_of(arguments[1].array);
    require(rows > 0 ? all % rows == 0 : all == 0, "every row of y has one length");
    const int64_t length = rows > 0 ? all / rows : 0;
    using N = Number<T>;
    const N divisor = static_cast<N>(arguments[2].number);
    parallel_ranges(rows, greatest<int64_t>(1, (1 << 14) / greatest<int64_t>(1, length)), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            T *to = y + row * length;
            const Vec<T> value = Vec<T>{} + N(x[row]) / divisor;
            int64_t i = 0;
            for (; i + WIDTH<T> <= length; i += WIDTH<T>) {
                store(to + i, value);
            }
            if (i < length) {
                store_some(to + i, value, length - i);
            }
        }
    });
    return 1;
}

int repeat(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) { return repeat_typed<std::remove_pointer_t<decltype(type)>>(x); });
}

// ---- blocks: x (rows, high, n, wide) and the mean of each, y (rows, n) -----------------------------------------------------------

struct Blocks {
    int64_t rows, high, n, wide, length;

    // large and small array, then the four sizes
    Blocks(const mytorch_array &x, const mytorch_array &y, const mytorch_argument *sizes)
        : rows(sizes[0].integer), high(sizes[1].integer), n(sizes[2].integer), wide(sizes[3].integer), length(n * wide) {
        for (int i = 0; i < 4; ++i) {
            require(sizes[i].integer > 0 && sizes[i].integer <= (int64_t{1} << 20), "sizes are positive and small");
        }
        require(length <= MOST && count_of(x) % (high * length) == 0 && count_of(x) / (high * length) == rows && count_of(y) == rows * n,
                "blocks: x is (rows, high, n, wide), y is (rows, n)");
    }
    int64_t grain() const { return greatest<int64_t>(1, (1 << 14) / (high * length)); }

    static constexpr int64_t MOST = 1024;  // numbers of a row
};

template <class T> int block_means_typed(const mytorch_argument *arguments) {
    const Blocks s(arguments[0].array, arguments[1].array, arguments + 2);
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    const T count = static_cast<T>(s.high * s.wide);
    parallel_ranges(s.rows, s.grain(), [&](int64_t begin, int64_t end) {
        T line[Blocks::MOST];
        for (int64_t row = begin; row < end; ++row) {
            const T *from = x + row * s.high * s.length;
            map(s.length, line, [](Vec<T> v) { return v; }, from);
            for (int64_t i = 1; i < s.high; ++i) {
                map(s.length, line, [](Vec<T> sum, Vec<T> v) { return sum + v; }, static_cast<const T *>(line), from + i * s.length);
            }
            for (int64_t i = 0; i < s.n; ++i) {
                T sum = line[i * s.wide];
                for (int64_t k = 1; k < s.wide; ++k) {
                    sum += line[i * s.wide + k];
                }
                y[row * s.n + i] = sum / count;
            }
        }
    });
    return 1;
}

template <class T> int block_spread_typed(const mytorch_argument *arguments) {
    const Blocks s(arguments[1].array, arguments[0].array, arguments + 2);
    const T *g = elements<T>(arguments[0].array);
    T *dx = elements<T>(arguments[1].array);
    const T count = static_cast<T>(s.high * s.wide);
    parallel_ranges(s.rows, s.grain(), [&](int64_t begin, int64_t end) {
        T line[Blocks::MOST];
        for (int64_t row = begin; row < end; ++row) {
            for (int64_t i = 0; i < s.n; ++i) {
                const T share = g[row * s.n + i] / count;
                for (int64_t k = 0; k < s.wide; ++k) {
                    line[i * s.wide + k] = share;
                }
            }
            for (int64_t i = 0; i < s.high; ++i) {
                map(s.length, dx + (row * s.high + i) * s.length, [](Vec<T> v) { return v; }, static_cast<const T *>(line));
            }
        }
    });
    return 1;
}

int block_means(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? block_means_typed<float>(x) : holds<double>(x[0].array) ? block_means_typed<double>(x) : 0;
}

int block_spread(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? block_spread_typed<float>(x) : holds<double>(x[0].array) ? block_spread_typed<double>(x) : 0;
}

}  // namespace

extern const mytorch_kernel sum_kernels[] = {
    {"block_means", "rwiiii", block_means},
    {"block_spread", "rwiiii", block_spread},
    {"sum", "rwiiiif", sum},
    {"sum_of_squares", "rwiiiif", sum_of_squares},
    {"repeat", "rwf", repeat},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
