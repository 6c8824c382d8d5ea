// Softmax, its logarithm, their gradients, log-sum-exp, and the cross entropy that is fused with them.
#include "reduce.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr int64_t POWERS_GRAIN = GRAIN / 2;

template <class T, int BYTES = REGISTER_BYTES> MYTORCH_INLINE T largest_of(const T *from) {
    if constexpr (BYTES == sizeof(T)) {
        return *from;
    } else {
        typedef T Half __attribute__((vector_size(BYTES / 2)));
        Half low;
        Half high;
        std::memcpy(&low, from, sizeof(low));
        std::memcpy(&high, from + BYTES / 2 / sizeof(T), sizeof(high));
        low = larger(low, high);
        T part[BYTES / 2 / sizeof(T)];
        std::memcpy(part, &low, sizeof(low));
        return largest_of<T, BYTES / 2>(part);
    }
}

// ---- a line of numbers, as vectors ---------------------------------------------------------------------------------------------

// Along memory: one line, in pieces of a vector.
template <class T> struct Along {
    static constexpr int W = WIDTH<T>;
    int64_t steps, last;  // numbers in the last piece

    explicit Along(int64_t size) : steps((size + W - 1) / W), last(size - (steps - 1) * W) {}
    Vec<T> get(const T *from, int64_t i, T fill = T(0)) const { return i + 1 < steps || last == W ? load(from + i * W) : load_some(from + i * W, last, fill); }
    void put(T *to, int64_t i, Vec<T> v) const {
        if (i + 1 < steps || last == W) {
            store(to + i * W, v);
        } else {
            store_some(to + i * W, v, last);
        }
    }
    template <bool WRITES = false> void expect(const T *at, int64_t i) const { fetch<WRITES>(at + i * W); }
    void put_total(T *to, Vec<T> v) const { *to = v[0]; }
    static Vec<T> largest(Vec<T> v) {
        T part[W];
        store(part, v);
        return Vec<T>{} + largest_of<T>(part);
    }
    static Vec<T> sum(Vec<T> v) { return Vec<T>{} + sum_of(v); }
};

// Across memory: as many lines as a vector holds, number by number.
template <class T> struct Across {
    int64_t steps, stride, lanes;

    Vec<T> get(const T *from, int64_t i, T fill = T(0)) const {
        return lanes == WIDTH<T> ? load(from + i * stride) : load_some(from + i * stride, lanes, fill);
    }
    void put(T *to, int64_t i, Vec<T> v) const {
        if (lanes == WIDTH<T>) {
            store(to + i * stride, v);
        } else {
            store_some(to + i * stride, v, lanes);
        }
    }
    template <bool WRITES = false> void expect(const T *at, int64_t i) const { fetch<WRITES>(at + (i + 8) * stride, 0); }
    void put_total(T *to, Vec<T> v) const { put(to, 0, v); }
    static Vec<T> largest(Vec<T> v) { return v; }
    static Vec<T> sum(Vec<T> v) { return v; }
};

template <class T, class Line> MYTORCH_INLINE Vec<T> largest_in(const Line &line, const T *x) {
    Vec<T> top = Vec<T>{} - std::numeric_limits<T>::infinity();
    for (int64_t i = 0; i < line.steps; ++i) {
        line.expect(x, i);
        top = larger(line.get(x, i, -std::numeric_limits<T>::infinity()), top);
    }
    return line.largest(top);
}

// The sum of terms(i) over a line; by parts, which keeps the digits of long ones.
template <class T, class Line, class Body> MYTORCH_INLINE Vec<T> sum_in(const Line &line, const Body &terms) {
    constexpr int64_t PART = 64;
    Vec<T> sum{};
    for (int64_t begin = 0; begin < line.steps; begin += PART) {
        Vec<T> part{};
        for (int64_t i = begin; i < least(line.steps, begin + PART); ++i) {
            part += terms(i);
        }
        sum += part;
    }
    return line.sum(sum);
}

template <class T, class Line> MYTORCH_INLINE Vec<T> sum_of_powers(const Line &line, const T *x, Vec<T> top) {
    return sum_in<T>(line, [&](int64_t i) { return decay<T>(line.get(x, i, -std::numeric_limits<T>::infinity()) - top); });
}

// y = e^(x - top) over their sum, which is returned. `function` is the power of a vector.
template <class T, class Line, class F> MYTORCH_INLINE Vec<T> shares(const Line &line, const T *x, Vec<T> top, T *y, const F &function) {
    constexpr int HELD = 8;
    const auto at = [&](int64_t i) { return function(line.get(x, i, -std::numeric_limits<T>::infinity()) - top); };
    if (line.steps <= HELD) {  // kept here: to read back a part of a vector that was just written takes long
        Vec<T> held[HELD];
        Vec<T> sum{};
        for (int64_t i = 0; i < line.steps; ++i) {
            line.template expect<true>(y, i);
            held[i] = at(i);
            sum += held[i];
        }
        sum = line.sum(sum);
        const Vec<T> factor = T(1) / sum;
        for (int64_t i = 0; i < line.steps; ++i) {
            line.put(y, i, held[i] * factor);
        }
        return sum;
    }
    const Vec<T> sum = sum_in<T>(line, [&](int64_t i) {
        line.template expect<true>(y, i);
        const Vec<T> e = at(i);
        line.put(y, i, e);
        return e;
    });
    const Vec<T> factor = T(1) / sum;
    for (int64_t i = 0; i < line.steps; ++i) {
        line.put(y, i, line.get(y, i) * factor);
    }
    return sum;
}

struct Softmax {
    template <class T, class Line> static void of(const Line &line, const T *x, T *y) {
        shares(line, x, largest_in(line, x), y, [](Vec<T> v) { return exp<T>(v); });
    }
};
struct LogSoftmax {
    template <class T, class Line> static void of(const Line &line, const T *x, T *y) {
        const Vec<T> top = largest_in(line, x);
        const Vec<T> rest = log<T>(sum_of_powers(line, x, top));
        for (int64_t i = 0; i < line.steps; ++i) {
            line.template expect<true>(y, i);
            line.put(y, i, line.get(x, i) - top - rest);
        }
    }
};
struct LogSumExp {
    template <class T, class Line> static void of(const Line &line, const T *x, T *y) {
        const Vec<T> top = largest_in(line, x);
        const Vec<T> base = absolute<T>(top) == std::numeric_limits<T>::infinity() ? Vec<T>{} : top;  // inf - inf would be NaN
        const Vec<T> sum = sum_in<T>(line, [&](int64_t i) { return exp<T>(line.get(x, i, -std::numeric_limits<T>::infinity()) - base); });
        line.put_total(y, log<T>(sum) + base);
    }
};
struct SoftmaxGrad {
    template <class T, class Line> static void of(const Line &line, const T *g, const T *y, T *dx) {
        const Vec<T> sum = sum_in<T>(line, [&](int64_t i) {
            line.expect(g, i);
            line.expect(y, i);
            return line.get(g, i) * line.get(y, i);
        });
        for (int64_t i = 0; i < line.steps; ++i) {
            line.template expect<true>(dx, i);
            line.put(dx, i, line.get(y, i) * (line.get(g, i) - sum));
        }
    }
};
struct LogSoftmaxGrad {
    template <class T, class Line> static void of(const Line &line, const T *g, const T *y, T *dx) {
        const Vec<T> sum = sum_in<T>(line, [&](int64_t i) {
            line.expect(g, i);
            return line.get(g, i);
        });
        for (int64_t i = 0; i < line.steps; ++i) {
            line.expect(y, i);
            line.template expect<true>(dx, i);
            line.put(dx, i, line.get(g, i) - exp<T>(line.get(y, i)) * sum);
        }
    }
};

// Every line of arrays of shape (outer, size, inner): body(line, where it begins, where its one number is if it has but one).
template <class T, class Body> void each_line(int64_t outer, int64_t size, int64_t inner, const Body &body) {
    if (outer * size * inner == 0) {
        return;
    }
    if (inner == 1) {
        const Along<T> line(size);
        parallel_ranges(outer, greatest<int64_t>(1, POWERS_GRAIN / size), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                body(line, i * size, i);
            }
        });
        return;
    }
    constexpr int W = WIDTH<T>;
    const int64_t pieces = (inner + W - 1) / W;
    parallel_ranges(outer * pieces, greatest<int64_t>(1, POWERS_GRAIN / (size * W)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t row = i / pieces;
            const int64_t column = i % pieces * W;
            body(Across<T>{size, inner, least<int64_t>(W, inner - column)}, row * size * inner + column, row * inner + column);
        }
    });
}

struct Shape {
    int64_t outer = 1, size = 1, inner = 1;

    Shape(const mytorch_array &x, int64_t dim) {
        require(dim >= 0 && dim < x.ndim, "softmax: there is no such dimension");
        for (int i = 0; i < x.ndim; ++i) {
            (i < dim ? outer : i == dim ? size : inner) *= x.shape[i];
        }
    }
};

template <class T, class F> int forward_typed(const mytorch_array &x, int64_t dim, const mytorch_array &y, bool one) {
    const Shape shape(x, dim);
    require(one ? count_of(y) == shape.outer * shape.inner : same_shape(x, y), "softmax: x and y do not fit");
    const T *from = elements<T>(x);
    T *to = elements<T>(y);
    if (one && shape.size == 0) {
        return 0;
    }
    each_line<T>(shape.outer, shape.size, shape.inner, [&](const auto &line, int64_t at, int64_t number) {
        F::template of<T>(line, from + at, to + (one ? number : at));
    });
    return 1;
}

template <class F, bool ONE = false> int forward(const mytorch_argument *x) {
    const mytorch_array &from = x[0].array, &to = x[2].array;
    return holds<float>(from) ? forward_typed<float, F>(from, x[1].integer, to, ONE)
           : holds<double>(from) ? forward_typed<double, F>(from, x[1].integer, to, ONE) : 0;
}

template <class T, class F> int backward_typed(const mytorch_array &g, const mytorch_array &y, int64_t dim, const mytorch_array &dx) {
    require(same_shape(g, dx) && same_shape(y, dx), "softmax: g, y and dx have one shape");
    const Shape shape(y, dim);
    const T *slope = elements<T>(g);
    const T *from = elements<T>(y);
    T *to = elements<T>(dx);
    each_line<T>(shape.outer, shape.size, shape.inner, [&](const auto &line, int64_t at, int64_t) {
        F::template of<T>(line, slope + at, from + at, to + at);
    });
    return 1;
}

template <class F> int backward(const mytorch_argument *x) {
    const mytorch_array &g = x[0].array, &y = x[1].array, &dx = x[3].array;
    return holds<float>(y) ? backward_typed<float, F>(g, y, x[2].integer, dx)
           : holds<double>(y) ? backward_typed<double, F>(g, y, x[2].integer, dx) : 0;
}

// ---- cross entropy -------------------------------------------------------------------------------------------------------------

enum Reduction { EACH, MEAN, SUM };

// The classes of rows. False if one is neither a class nor the ignored number: the reference says which.
struct Targets {
    const int64_t *at;
    int64_t ignored;

    bool check(int64_t rows, int64_t classes, int64_t *counted) const {
        *counted = 0;
        for (int64_t i = 0; i < rows; ++i) {
            if (at[i] != ignored) {
                if (static_cast<uint64_t>(at[i]) >= static_cast<uint64_t>(classes)) {
                    return false;
                }
                ++*counted;
            }
        }
        return true;
    }
};

// p = softmax(x); loss = log(sum(e^x)) - x[target] per row, then reduced in float64.
template <class T>
int cross_entropy_typed(const mytorch_array &x, const mytorch_array &target, int64_t ignored, int64_t reduction, const mytorch_array &y,
                        const mytorch_array &p) {
    require(x.ndim == 2 && same_shape(x, p), "cross entropy: x and p are matrices of one shape");
    const int64_t rows = x.shape[0];
    const int64_t classes = x.shape[1];
    require(count_of(target) == rows && count_of(y) == (reduction == EACH ? rows : 1), "cross entropy: one target per row");
    const Targets targets{elements<int64_t>(target), ignored};
    int64_t counted;
    if (!targets.check(rows, classes, &counted) || classes == 0) {
        return 0;
    }
    const T *from = elements<T>(x);
    T *to = elements<T>(p);
    T *result = elements<T>(y);
    Scratch<T> each(reduction == EACH ? 1 : rows);
    T *losses = reduction == EACH ? result : each;
    const Along<T> line(classes);
    parallel_ranges(rows, greatest<int64_t>(1, POWERS_GRAIN / classes), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const T *row = from + i * classes;
            const Vec<T> top = largest_in(line, row);
            const Vec<T> sum = shares(line, row, top, to + i * classes, [](Vec<T> v) { return decay<T>(v); });
            losses[i] = targets.at[i] == ignored ? T(0) : log<T>(sum)[0] - (row[targets.at[i]] - top[0]);
        }
    });
    if (reduction != EACH) {
        double total = 0;
        for (int64_t i = 0; i < rows; ++i) {
            total += static_cast<double>(losses[i]);
        }
        *result = static_cast<T>(reduction == MEAN ? total / static_cast<double>(counted) : total);
    }
    return 1;
}

int cross_entropy(const mytorch_argument *x) {
    const mytorch_array &from = x[0].array, &target = x[1].array, &y = x[4].array, &p = x[5].array;
    return holds<float>(from) ? cross_entropy_typed<float>(from, target, x[2].integer, x[3].integer, y, p)
           : holds<double>(from) ? cross_entropy_typed<double>(from, target, x[2].integer, x[3].integer, y, p) : 0;
}

// dx = slope of the row * (p - 1 at the target)
template <class T>
int cross_entropy_grad_typed(const mytorch_array &g, const mytorch_array &p, const mytorch_array &target, int64_t ignored, int64_t reduction,
                             const mytorch_array &dx) {
    require(p.ndim == 2 && same_shape(p, dx), "cross entropy: p and dx are matrices of one shape");
    const int64_t rows = p.shape[0];
    const int64_t classes = p.shape[1];
    require(count_of(target) == rows && count_of(g) == (reduction == EACH ? rows : 1), "cross entropy: one target per row");
    const Targets targets{elements<int64_t>(target), ignored};
    int64_t counted;
    if (!targets.check(rows, classes, &counted) || classes == 0) {
        return 0;
    }
    const T *slopes = elements<T>(g);
    const T *from = elements<T>(p);
    T *to = elements<T>(dx);
    const Along<T> line(classes);
    parallel_ranges(rows, greatest<int64_t>(1, POWERS_GRAIN / classes), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const bool counts = targets.at[i] != ignored;
            const T given = reduction == EACH ? slopes[i] : reduction == MEAN ? slopes[0] / static_cast<T>(counted) : slopes[0];
            const T slope = counts ? given : T(0);
            T *row = to + i * classes;
            for (int64_t j = 0; j < line.steps; ++j) {
                line.put(row, j, line.get(from + i * classes, j) * slope);
            }
            if (counts) {
                row[targets.at[i]] -= slope;
            }
        }
    });
    return 1;
}

int cross_entropy_grad(const mytorch_argument *x) {
    const mytorch_array &g = x[0].array, &p = x[1].array, &target = x[2].array, &dx = x[5].array;
    return holds<float>(p) ? cross_entropy_grad_typed<float>(g, p, target, x[3].integer, x[4].integer, dx)
           : holds<double>(p) ? cross_entropy_grad_typed<double>(g, p, target, x[3].integer, x[4].integer, dx) : 0;
}

}  // namespace

extern const mytorch_kernel softmax_kernels[] = {
    {"softmax", "riw", forward<Softmax>},
    {"log_softmax", "riw", forward<LogSoftmax>},
    {"logsumexp", "riw", forward<LogSumExp, true>},
    {"softmax_grad", "rriw", backward<SoftmaxGrad>},
    {"log_softmax_grad", "rriw", backward<LogSoftmaxGrad>},
    {"cross_entropy", "rriiww", cross_entropy},
    {"cross_entropy_grad", "rrriiw", cross_entropy_grad},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
