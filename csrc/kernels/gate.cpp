// Gates: half of an array times the sigmoid of the other half, and mixtures of two arrays.
#include "bfloat16.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// body(row, begin, end) over rows of n numbers, of which a task takes several, or a piece of one.
template <class Body> void over_rows(int64_t rows, int64_t n, const Body &body) {
    const int64_t piece = least(n, GRAIN), pieces = (n + piece - 1) / piece;
    parallel_ranges(rows * pieces, greatest<int64_t>(1, GRAIN / piece), [&](int64_t first, int64_t end) {
        for (int64_t i = first; i < end; ++i) {
            const int64_t begin = i % pieces * piece;
            body(i / pieces, begin, least(n, begin + piece));
        }
    });
}

// x (outer, 2, half), y (outer, half): the length of a half, 0 if there are no numbers.
int64_t half_of(const mytorch_array &x, const mytorch_array &y, int64_t outer) {
    const int64_t count = count_of(y);
    require(outer > 0 && count % outer == 0 && count_of(x) == 2 * count && x.type == y.type, "x is twice as long as y");
    return count / outer;
}

// x, y, outer
template <class T> int glu_typed(const mytorch_array &x, const mytorch_array &y, int64_t outer) {
    const int64_t half = half_of(x, y, outer);
    const T *from = elements<T>(x);
    T *to = elements<T>(y);
    over_rows(half > 0 ? outer : 0, greatest<int64_t>(half, 1), [&](int64_t row, int64_t begin, int64_t end) {
        const T *a = from + 2 * row * half + begin;
        map(end - begin, to + row * half + begin, [](Vec<T> v, Vec<T> gate) { return v * sigmoid<Number<T>>(gate); }, a, a + half);
    });
    return 1;
}

int glu(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) { return glu_typed<std::remove_pointer_t<decltype(type)>>(x[0].array, x[1].array, x[2].integer); });
}

// g, x, dx, outer
template <class T> int glu_grad_typed(const mytorch_array &g, const mytorch_array &x, const mytorch_array &dx, int64_t outer) {
    const int64_t half = half_of(x, g, outer);
    require(same_shape(x, dx), "x and its gradient have one shape");
    const T *slope = elements<T>(g), *from = elements<T>(x);
    T *to = elements<T>(dx);
    over_rows(half > 0 ? outer : 0, greatest<int64_t>(half, 1), [&](int64_t row, int64_t begin, int64_t end) {
        const T *upper = slope + row * half + begin, *a = from + 2 * row * half + begin;
        T *da = to + 2 * row * half + begin;
        map(end - begin, da, [](Vec<T> v, Vec<T> gate) { return v * sigmoid<Number<T>>(gate); }, upper, a + half);
        map(end - begin, da + half, [](Vec<T> v, Vec<T> value, Vec<T> gate) {
            const Vec<T> s = sigmoid<Number<T>>(gate);
            return v * value * (s * (Number<T>(1) - s));
        }, upper, a, a + half);
    });
    return 1;
}

int glu_grad(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        return glu_grad_typed<std::remove_pointer_t<decltype(type)>>(x[0].array, x[1].array, x[2].array, x[3].integer);
    });
}

// a + weight (b - a), from the nearer end: a, b, weight, y
template <class T> int lerp_typed(const mytorch_array &a, const mytorch_array &b, double weight, const mytorch_array &y) {
    require(same_shape(a, y) && same_shape(b, y), "a, b and y have one shape");
    const T *first = elements<T>(a), *second = elements<T>(b);
    T *to = elements<T>(y);
    const T w = static_cast<T>(weight);
    const bool near_first = std::fabs(w) < T(0.5);
    const T share = near_first ? w : T(1) - w;
    parallel_ranges(count_of(y), GRAIN, [&](int64_t begin, int64_t end) {
        if (near_first) {
            map(end - begin, to + begin, [&](Vec<T> u, Vec<T> v) { return u + share * (v - u); }, first + begin, second + begin);
        } else {
            map(end - begin, to + begin, [&](Vec<T> u, Vec<T> v) { return v - (v - u) * share; }, first + begin, second + begin);
        }
    });
    return 1;
}

int lerp(const mytorch_argument *x) {
    return holds<float>(x[0].array)    ? lerp_typed<float>(x[0].array, x[1].array, x[2].number, x[3].array)
           : holds<double>(x[0].array) ? lerp_typed<double>(x[0].array, x[1].array, x[2].number, x[3].array) : 0;
}

}  // namespace

extern const mytorch_kernel gate_kernels[] = {
    {"glu", "rwi", glu},
    {"glu_grad", "rrwi", glu_grad},
    {"lerp", "rrfw", lerp},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
