// Sums and means over dimensions.
#include "reduce.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// ---- y[b, d] = sum over a and c of x[a, b, c, d] / divisor ----------------------------------------------------------------------

// Along memory: each task adds up pieces of rows of c numbers.
template <class T> void sum_along(const Dims &n, const T *x, T *y, double divisor) {
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
                add_chunk<T, 1>(piece, sum, [](Vec<T> v) { return Terms<T, 1>{{v}}; }, from + at);
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

// x, y, the four sizes, divisor
template <class T> int sum_typed(const mytorch_argument *arguments) {
    const Dims n{arguments[2].integer, arguments[3].integer, arguments[4].integer, arguments[5].integer};
    for (int i = 2; i < 6; ++i) {
        require(arguments[i].integer > 0 && arguments[i].integer <= (int64_t{1} << 40), "sizes are positive");
    }
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    require(n.a * n.b == count_of(arguments[0].array) / (n.c * n.d) && count_of(arguments[0].array) % (n.c * n.d) == 0, "x has a * b * c * d elements");
    require(n.b * n.d == count_of(arguments[1].array), "y has b * d elements");
    if (n.d == 1) {
        sum_along(n, x, y, arguments[6].number);
    } else {
        sum_across(n, x, y, arguments[6].number);
    }
    return 1;
}

int sum(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) { return sum_typed<std::remove_pointer_t<decltype(type)>>(x); });
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

}  // namespace

extern const mytorch_kernel sum_kernels[] = {
    {"sum", "rwiiiif", sum},
    {"repeat", "rwf", repeat},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
