// One function over every element of contiguous arrays of one shape, and the kernels that are no more than that: x, y = F::at(x), and
// g, x (or y), dx = F::at(g, x).
#ifndef MYTORCH_KERNELS_EACH_H
#define MYTORCH_KERNELS_EACH_H

#include "bfloat16.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

// y = f(x...), on vectors of numbers of T's kind.
template <class T, class F, class... In> int each(const F &f, const mytorch_array &y, const In &...x) {
    require((same_shape(x, y) && ...), "the arrays have one shape");
    T *to = elements<T>(y);
    [&](const auto *...from) {
        parallel_ranges(count_of(y), GRAIN, [&](int64_t begin, int64_t end) { map(end - begin, to + begin, f, (from + begin)...); });
    }(elements<T>(x)...);
    return 1;
}

// F is written for float32 alone, which bfloat16 is computed in.
template <class F> int single(const mytorch_argument *x) {
    const auto f = [](auto... v) { return F::at(v...); };
    return holds<float>(x[0].array)      ? each<float>(f, x[1].array, x[0].array)
           : holds<bfloat16>(x[0].array) ? each<bfloat16>(f, x[1].array, x[0].array) : 0;
}

template <class F> int single_grad(const mytorch_argument *x) {
    const auto f = [](auto... v) { return F::at(v...); };
    return holds<float>(x[0].array)      ? each<float>(f, x[2].array, x[0].array, x[1].array)
           : holds<bfloat16>(x[0].array) ? each<bfloat16>(f, x[2].array, x[0].array, x[1].array) : 0;
}

// F::at is a template of the type of number.
template <class F> int unary(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return each<T>([](Vec<T> v) { return F::template at<Number<T>>(v); }, x[1].array, x[0].array);
    });
}

template <class F> int unary_grad(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return each<T>([](Vec<T> g, Vec<T> v) { return F::template at<Number<T>>(g, v); }, x[2].array, x[0].array, x[1].array);
    });
}

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
