// Interpolation along one dimension: each number of the result is a weighted sum of a few numbers along it, at places from a table.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// x (outer, n, inner) -> y (outer, out, inner): y[o, i, :] = sum over k of weights[i, k] * x[o, places[i, k], :]. Weights NULL: all are 1.
// Where `padded`, rows of the tables end with weights of zero that stand for nothing, not even for NaN.
template <class T> struct Blend {
    int64_t n, out, inner, terms;
    const int64_t *places;
    const T *weights, *x;
    T *y;
    bool padded;

    int64_t terms_of(int64_t i) const {
        int64_t count = terms;
        while (padded && count > 0 && weights[i * terms + count - 1] == 0) {
            --count;
        }
        return count;
    }

    // Rows [begin, end) of (outer, out), whose numbers lie along memory.
    void rows(int64_t begin, int64_t end) const {
        constexpr int W = WIDTH<T>;
        for (int64_t row = begin; row < end; ++row) {
            const int64_t i = row % out, count = terms_of(i);
            const T *const from = x + row / out * n * inner;
            const int64_t *const place = places + i * terms;
            const T *const weight = weights == nullptr ? nullptr : weights + i * terms;
            T *const to = y + row * inner;
            const auto sum = [&](int64_t j, const auto &read) {
                Vec<T> total = {};
                for (int64_t k = 0; k < count; ++k) {
                    const Vec<T> v = read(from + place[k] * inner + j);
                    total = k == 0 ? (weight == nullptr ? v : weight[0] * v) : total + (weight == nullptr ? v : weight[k] * v);
                }
                return total;
            };
            int64_t j = 0;
            for (; j + W <= inner; j += W) {
                store(to + j, sum(j, [](const T *p) { return load(p); }));
            }
            if (j < inner) {
                store_some(to + j, sum(j, [&](const T *p) { return load_some(p, inner - j); }), inner - j);
            }
        }
    }

    // Lines [begin, end) of the outer dimension where there is no inner one. The tables are turned: (terms, out).
    template <bool PADDED> void lines(int64_t begin, int64_t end, const int32_t *turned, const T *factors) const {
        for (int64_t line = begin; line < end; ++line) {
            const T *const from = x + line * n;
            T *const to = y + line * out;
            for (int64_t k = 0; k < terms; ++k) {
                const int32_t *const place = turned + k * out;
                const T *const factor = factors + k * out;
                for (int64_t i = 0; i < out; ++i) {
                    const T part = PADDED && factor[i] == 0 ? T(0) : factor[i] * from[place[i]];
                    to[i] = k == 0 ? part : to[i] + part;
                }
            }
        }
    }

    void run(int64_t outer) const {
        if (inner > 1) {
            parallel_ranges(outer * out, greatest<int64_t>(1, GRAIN / inner), [&](int64_t begin, int64_t end) { rows(begin, end); });
            return;
        }
        Scratch<int32_t> turned(terms * out);
        Scratch<T> factors(terms * out);
        for (int64_t i = 0; i < out; ++i) {
            for (int64_t k = 0; k < terms; ++k) {
                turned[k * out + i] = static_cast<int32_t>(places[i * terms + k]);
                factors[k * out + i] = weights == nullptr ? T(1) : weights[i * terms + k];
            }
        }
        parallel_ranges(outer, greatest<int64_t>(1, GRAIN / (out * terms)), [&](int64_t begin, int64_t end) {
            if (padded) {
                lines<true>(begin, end, turned, factors);
            } else {
                lines<false>(begin, end, turned, factors);
            }
        });
    }
};

// x, places, weights (None: 1), y, outer, inner, padded
template <class T> int blend_typed(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &places = arguments[1].array, &weights = arguments[2].array, &y = arguments[3].array;
    const int64_t outer = arguments[4].integer, inner = arguments[5].integer;
    require(outer > 0 && inner > 0 && count_of(x) % (outer * inner) == 0 && count_of(y) % (outer * inner) == 0 && count_of(y) > 0,
            "blend: sizes do not fit");
    const int64_t n = count_of(x) / (outer * inner), out = count_of(y) / (outer * inner);
    require(places.ndim == 2 && places.shape[0] == out && places.shape[1] > 0 && n < INT64_C(1) << 31, "blend: a row of places per number of y");
    const int64_t terms = places.shape[1];
    require(weights.data == nullptr || (weights.ndim == 2 && weights.shape[0] == out && weights.shape[1] == terms), "blend: a weight per place");
    const int64_t *const place = elements<int64_t>(places);
    for (int64_t i = 0; i < out * terms; ++i) {
        require(place[i] >= 0 && place[i] < n, "blend: a place outside of x");
    }
    const bool padded = arguments[6].integer != 0;
    require(!padded || weights.data != nullptr, "blend: padding needs weights");
    Blend<T>{n, out, inner, terms, place, elements<T>(weights), elements<T>(x), elements<T>(y), padded}.run(outer);
    return 1;
}

int blend(const mytorch_argument *x) {
    const mytorch_array &y = x[3].array;
    return holds<float>(y) ? blend_typed<float>(x) : holds<double>(y) ? blend_typed<double>(x) : 0;
}

}  // namespace

extern const mytorch_kernel resize_kernels[] = {{"blend", "rrRwiii", blend}, {nullptr, nullptr, nullptr}};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
