// Losses of two arrays of one shape, element by element: each loss, their sum or mean in one pass, and the gradient.
#include "each.h"
#include "functions.h"
#include "reduce.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// Each loss has a value of a number x and its target t, and a slope by x: FACTOR times what slope() gives. `edge` is where smooth_l1 and
// huber turn from a parabola into a line.

struct Squared {
    static constexpr int FACTOR = 2;  // times g, not times x - t, which may be as large as numbers are
    template <class T> static Vec<T> value(Vec<T> x, Vec<T> t, T) {
        const Vec<T> d = x - t;
        return d * d;
    }
    template <class T> static Vec<T> slope(Vec<T> x, Vec<T> t, T) { return x - t; }
};

struct Absolute {
    static constexpr int FACTOR = 1;
    template <class T> static Vec<T> value(Vec<T> x, Vec<T> t, T) { return absolute<T>(x - t); }
    template <class T> static Vec<T> slope(Vec<T> x, Vec<T> t, T) { return sign<T>(x - t); }
};

struct SmoothAbsolute {
    static constexpr int FACTOR = 1;
    template <class T> static Vec<T> value(Vec<T> x, Vec<T> t, T edge) {
        const Vec<T> size = absolute<T>(x - t);
        return size < edge ? size * size * (T(0.5) / edge) : size - T(0.5) * edge;
    }
    template <class T> static Vec<T> slope(Vec<T> x, Vec<T> t, T edge) {
        const Vec<T> d = x - t;
        return edge == T(0) ? sign<T>(d) : absolute<T>(d) >= edge ? sign<T>(d) : d / edge;
    }
};

struct Huber {
    static constexpr int FACTOR = 1;
    template <class T> static Vec<T> value(Vec<T> x, Vec<T> t, T edge) {
        const Vec<T> size = absolute<T>(x - t);
        return size <= edge ? size * size * T(0.5) : (size - T(0.5) * edge) * edge;
    }
    template <class T> static Vec<T> slope(Vec<T> x, Vec<T> t, T edge) {
        const Vec<T> d = x - t;
        return absolute<T>(d) > edge ? sign<T>(d) * edge : d;
    }
};

struct Probabilities {  // the logarithms are kept above -100
    static constexpr int FACTOR = 1;
    template <class T> static Vec<T> kept(Vec<T> v) { return v < T(-100) ? all(T(-100)) : v; }
    template <class T> static Vec<T> value(Vec<T> x, Vec<T> t, T) {
        return (t - T(1)) * kept<T>(log1p<T>(-x)) - t * kept<T>(log<T>(x));
    }
    template <class T> static Vec<T> slope(Vec<T> x, Vec<T> t, T) {
        const Vec<T> below = (T(1) - x) * x;
        return (x - t) / (below < T(1e-12) ? all(T(1e-12)) : below);
    }
};

struct Logits {  // max(x, 0) - x t + log(1 + e^-|x|): no overflow on either side
    static constexpr int FACTOR = 1;
    template <class T> static Vec<T> value(Vec<T> x, Vec<T> t, T) {
        return larger<Vec<T>>(x, Vec<T>{}) - x * t + log1p<T>(decay<T>(-absolute<T>(x)));
    }
    template <class T> static Vec<T> slope(Vec<T> x, Vec<T> t, T) { return sigmoid<T>(x) - t; }
};

struct WeightedLogits {  // p is the weight of the targets that are 1
    template <class T> static Vec<T> value(Vec<T> x, Vec<T> t, Vec<T> p) {
        const Vec<T> rest = log1p<T>(decay<T>(-absolute<T>(x))) + larger<Vec<T>>(-x, Vec<T>{});
        return (T(1) - t) * x + ((p - T(1)) * t + T(1)) * rest;
    }
    template <class T> static Vec<T> slope(Vec<T> x, Vec<T> t, Vec<T> p) { return (p * t + T(1) - t) * sigmoid<T>(x) - p * t; }
};

// The sum of value(x...) over all elements.
template <class T, class Value, class... In> double sum_of_all(int64_t count, const Value &value, const In *...x) {
    constexpr int64_t PIECE = 1 << 14;  // elements that one task adds up
    const int64_t pieces = (count + PIECE - 1) / PIECE;
    Scratch<double> partial(pieces + 1);
    parallel(pieces, [&](int64_t piece) {
        const int64_t begin = piece * PIECE;
        Total total;
        each_chunk([&](int64_t at, const Piece &chunk) {
            double found[1];
            add_chunk<T, 1>(chunk, found, [&](auto... v) { return Terms<T, 1>{{value(v...)}}; }, (x + begin + at)...);
            total.add(found[0]);
        }, least(PIECE, count - begin));
        partial[piece] = total.value();
    });
    Total total;
    for (int64_t piece = 0; piece < pieces; ++piece) {
        total.add(partial[piece]);
    }
    return total.value();
}

// x, target, edge, y
template <class F> int values(const mytorch_argument *a) {
    const mytorch_array &x = a[0].array, &target = a[1].array, &y = a[3].array;
    return x.type != target.type || x.type != y.type ? 0 : by_type(x, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        using N = Number<T>;
        const N edge = static_cast<N>(a[2].number);
        return each<T>([&](Vec<T> v, Vec<T> t) { return F::template value<N>(v, t, edge); }, y, x, target);
    });
}

// x, target, edge, y of one element, divisor
template <class F> int sum(const mytorch_argument *a) {
    const mytorch_array &x = a[0].array, &target = a[1].array, &y = a[3].array;
    return x.type != target.type || x.type != y.type ? 0 : by_type(x, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        using N = Number<T>;
        require(same_shape(x, target) && count_of(y) == 1, "x and target have one shape, y one element");
        const N edge = static_cast<N>(a[2].number);
        const double total = sum_of_all<T>(count_of(x), [&](Vec<T> v, Vec<T> t) { return F::template value<N>(v, t, edge); },
                                           elements<T>(x), elements<T>(target));
        elements<T>(y)[0] = static_cast<T>(static_cast<N>(total / a[4].number));
        return 1;
    });
}

// g (of x's shape, or one number for all), x, target, edge, y, divisor of g
template <class F> int grad(const mytorch_argument *a) {
    const mytorch_array &g = a[0].array, &x = a[1].array, &target = a[2].array, &y = a[4].array;
    return x.type != target.type || x.type != y.type || x.type != g.type ? 0 : by_type(x, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        using N = Number<T>;
        const N edge = static_cast<N>(a[3].number);
        if (g.ndim == 0) {
            const N share = static_cast<N>(elements<T>(g)[0]) / static_cast<N>(a[5].number) * N(F::FACTOR);
            return each<T>([&](Vec<T> v, Vec<T> t) { return F::template slope<N>(v, t, edge) * share; }, y, x, target);
        }
        return each<T>([&](Vec<T> h, Vec<T> v, Vec<T> t) { return F::template slope<N>(v, t, edge) * (h * N(F::FACTOR)); }, y, g, x, target);
    });
}

// x, target, weights of x's shape, y of x's shape or of one element, divisor
int weighted_logits(const mytorch_argument *a) {
    const mytorch_array &x = a[0].array, &target = a[1].array, &weight = a[2].array, &y = a[3].array;
    return x.type != target.type || x.type != y.type || x.type != weight.type ? 0 : by_type(x, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const auto value = [](Vec<T> v, Vec<T> t, Vec<T> p) { return WeightedLogits::value<Number<T>>(v, t, p); };
        if (a[4].number == 0.0) {
            return each<T>(value, y, x, target, weight);
        }
        require(same_shape(x, target) && same_shape(x, weight) && count_of(y) == 1, "x, target and weights have one shape, y one element");
        const double total = sum_of_all<T>(count_of(x), value, elements<T>(x), elements<T>(target), elements<T>(weight));
        elements<T>(y)[0] = static_cast<T>(static_cast<Number<T>>(total / a[4].number));
        return 1;
    });
}

// g (of x's shape, or one number for all), x, target, weights of x's shape, y, divisor of g
int weighted_logits_grad(const mytorch_argument *a) {
    const mytorch_array &g = a[0].array, &x = a[1].array, &target = a[2].array, &weight = a[3].array, &y = a[4].array;
    return x.type != target.type || x.type != y.type || x.type != g.type || x.type != weight.type ? 0 : by_type(x, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        using N = Number<T>;
        if (g.ndim == 0) {
            const N share = static_cast<N>(elements<T>(g)[0]) / static_cast<N>(a[5].number);
            return each<T>([&](Vec<T> v, Vec<T> t, Vec<T> p) { return WeightedLogits::slope<N>(v, t, p) * share; }, y, x, target, weight);
        }
        return each<T>([&](Vec<T> h, Vec<T> v, Vec<T> t, Vec<T> p) { return WeightedLogits::slope<N>(v, t, p) * h; }, y, g, x, target, weight);
    });
}

}  // namespace

extern const mytorch_kernel loss_kernels[] = {
    {"mse_loss", "rrfw", values<Squared>},
    {"l1_loss", "rrfw", values<Absolute>},
    {"smooth_l1_loss", "rrfw", values<SmoothAbsolute>},
    {"huber_loss", "rrfw", values<Huber>},
    {"bce_loss", "rrfw", values<Probabilities>},
    {"bce_logits_loss", "rrfw", values<Logits>},
    {"mse_loss_sum", "rrfwf", sum<Squared>},
    {"l1_loss_sum", "rrfwf", sum<Absolute>},
    {"smooth_l1_loss_sum", "rrfwf", sum<SmoothAbsolute>},
    {"huber_loss_sum", "rrfwf", sum<Huber>},
    {"bce_loss_sum", "rrfwf", sum<Probabilities>},
    {"bce_logits_loss_sum", "rrfwf", sum<Logits>},
    {"mse_loss_grad", "rrrfwf", grad<Squared>},
    {"l1_loss_grad", "rrrfwf", grad<Absolute>},
    {"smooth_l1_loss_grad", "rrrfwf", grad<SmoothAbsolute>},
    {"huber_loss_grad", "rrrfwf", grad<Huber>},
    {"bce_loss_grad", "rrrfwf", grad<Probabilities>},
    {"bce_logits_loss_grad", "rrrfwf", grad<Logits>},
    {"bce_weighted_logits_loss", "rrrwf", weighted_logits},
    {"bce_weighted_logits_loss_grad", "rrrrwf", weighted_logits_grad},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
