// One function over every element of contiguous arrays of one shape.
#ifndef MYTORCH_KERNELS_EACH_H
#define MYTORCH_KERNELS_EACH_H

#include "bfloat16.h"

namespace mytorch {
namespace MYTORCH_ISA {

constexpr int64_t EACH_GRAIN = 1 << 14;  // elements that one task works on

// y = f(x...), on vectors of numbers of T's kind.
template <class T, class F, class... In> int each(const F &f, const mytorch_array &y, const In &...x) {
    require((same_shape(x, y) && ...), "the arrays have one shape");
    T *to = elements<T>(y);
    [&](const auto *...from) {
        parallel_ranges(count_of(y), EACH_GRAIN, [&](int64_t begin, int64_t end) { map(end - begin, to + begin, f, (from + begin)...); });
    }(elements<T>(x)...);
    return 1;
}

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
